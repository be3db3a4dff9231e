// Kernels of one contraction: a matrix product over all threads, the maps that follow it applied to each
// finished tile.
#include "compiler/emit/contraction_loops.h"
#include "compiler/emit/emit.h"
#include "compiler/passes/regions.h"
#include "compiler/emit/tune.h"
#include "ir/op.h"

// Renames the axis where the side has it.
static void rename_axis(ftc_axes *side, ftc_axis from, ftc_axis to) {
    int i = ftc_axes_find(side, from);
    if (i >= 0) side->at[i] = to;
}

ftc_operand ftc_emit_operand(ftc_emitter *e, ftc_id id, const ftc_env *at, const ftc_axes *row,
                             const ftc_axes *col) {
    ftc_env env = *at;
    ftc_axes sides[] = {*row, *col};
    LLVMValueRef strides[2], lane_stride, lane_offsets;
    // The names that the axes have where the data lies.
    ftc_id cells = ftc_region_operand(e->g, id);
    for (; id != ftc_region_source(e->g, id); id = e->g->nodes[id].arg[0]) {
        const ftc_node *view = &e->g->nodes[id];
        if (ftc_node_class(view) == FTC_CLASS_AT)
            env.index[view->axis] = ftc_cg_i64(e->cg, view->index);
        else if (view->to != FTC_NO_AXIS)
            env.index[view->axis] = ftc_cg_sub(e->cg, env.index[view->to], ftc_cg_i64(e->cg, view->index));
        for (int i = 0; i < 2 && view->to != FTC_NO_AXIS; i++) rename_axis(&sides[i], view->to, view->axis);
    }
    ftc_axes order = ftc_region_view_order(e->g, cells);
    LLVMValueRef base = ftc_emit_address(e, cells, &env, &lane_stride, &lane_offsets);
    for (int i = 0; i < 2; i++)
        strides[i] = sides[i].n == 0 ? ftc_cg_i64(e->cg, 0)
                                     : ftc_emit_stride(e, &order, sides[i].at[sides[i].n - 1], &env);
    return (ftc_operand){base, strides[0], strides[1]};
}

int64_t ftc_emit_row_distance(int64_t cols) {
    int64_t distance = (cols + 15) / 16 * 16;
    return distance % 256 ? distance : distance + 16;
}

typedef struct {
    ftc_emitter *e;
    const ftc_kernel *kernel;
    ftc_id dot;
    LLVMValueRef sequence; // variable: the sequence of the current row
} tile_context;

static void emit_epilogue(void *context, ftc_codegen *cg, LLVMValueRef tile, LLVMValueRef tile_ld,
                          LLVMValueRef row0, LLVMValueRef rows, LLVMValueRef col0, LLVMValueRef cols) {
    tile_context *t = context;
    ftc_emitter *e = t->e;
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), t->sequence); // tiles come in any order
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), rows, ftc_cg_i64(cg, 1));
    ftc_env env = ftc_env_empty(e);
    if (t->kernel->rows.n)
        ftc_emit_bind_rows(e, &env, &t->kernel->rows, ftc_cg_add(cg, row0, loop.index), t->sequence);
    ftc_row row = ftc_row_of(e, &t->kernel->cols, &env);
    // Tiles start and end at whole vectors, or at the end.
    row.granule = row.granule % cg->lanes ? 1 : cg->lanes;
    row.begin = col0;
    row.end = ftc_cg_add(cg, col0, cols);
    row.tile_node = t->dot;
    row.tile = ftc_cg_at(cg, cg->f32, tile, ftc_cg_mul(cg, loop.index, tile_ld));
    ftc_emit_row(e, &row, &env);
    ftc_cg_loop_end(cg, &loop);
}

// Rows and columns of the tiles that OpenBLAS is called on: fixed, so that results do not depend on the
// thread count.
#define BLAS_ROWS 128
#define BLAS_COLS 768

static LLVMValueRef tile_of(ftc_codegen *cg, const ftc_matrix *m, LLVMValueRef offset, bool along_ld) {
    return ftc_cg_at(cg, cg->f32, m->base, along_ld ? ftc_cg_mul(cg, offset, m->ld) : offset);
}

// The contraction by calls of ftc_step_args.sgemm (--gemm openblas), tiles shared among the threads in turn.
static void emit_blas(ftc_emitter *e, const ftc_contraction *c) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef across = ftc_cg_ceil_div(cg, c->n, BLAS_COLS);
    LLVMValueRef tiles = ftc_cg_mul(cg, ftc_cg_ceil_div(cg, c->m, BLAS_ROWS), across);
    LLVMValueRef scratch = c->epilogue ? ftc_emit_scratch(e, BLAS_ROWS * BLAS_COLS * 4) : NULL;
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, e->thread, tiles, e->threads);
    LLVMValueRef row0 = ftc_cg_mul(cg, ftc_cg_div(cg, loop.index, across), ftc_cg_i64(cg, BLAS_ROWS));
    LLVMValueRef col0 = ftc_cg_mul(cg, ftc_cg_rem(cg, loop.index, across), ftc_cg_i64(cg, BLAS_COLS));
    LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_sub(cg, c->m, row0), ftc_cg_i64(cg, BLAS_ROWS));
    LLVMValueRef cols = ftc_cg_min(cg, ftc_cg_sub(cg, c->n, col0), ftc_cg_i64(cg, BLAS_COLS));
    LLVMValueRef tile = scratch, ld = ftc_cg_i64(cg, BLAS_COLS);
    if (!c->epilogue) {
        ld = ftc_cg_max(cg, c->ldc, c->n);
        tile = ftc_cg_at(cg, cg->f32, c->c, ftc_cg_add(cg, ftc_cg_mul(cg, row0, ld), col0));
    }
    // The stride of a single row may be anything; BLAS wants the row to fit.
    LLVMTypeRef i32 = cg->i32, i64 = cg->i64, ptr = cg->ptr;
    LLVMTypeRef params[] = {i32, i32, i64, i64, i64, ptr, i64, ptr, i64, cg->f32, ptr, i64};
    LLVMValueRef args[] = {ftc_cg_i32(cg, c->a.transposed),
                           ftc_cg_i32(cg, c->b.transposed),
                           rows,
                           cols,
                           c->k,
                           tile_of(cg, &c->a, row0, !c->a.transposed),
                           ftc_cg_max(cg, c->a.ld, c->a.transposed ? c->m : c->k),
                           tile_of(cg, &c->b, col0, c->b.transposed),
                           ftc_cg_max(cg, c->b.ld, c->b.transposed ? c->k : c->n),
                           ftc_cg_f32(cg, 0),
                           tile,
                           ld};
    LLVMTypeRef type = LLVMFunctionType(cg->void_type, params, 12, 0);
    LLVMBuildCall2(cg->builder, type, ftc_emit_field(e, offsetof(ftc_step_args, sgemm), ptr), args, 12, "");
    if (c->epilogue) c->epilogue(c->context, cg, tile, ld, row0, rows, col0, cols);
    ftc_cg_loop_end(cg, &loop);
}

ftc_gemm_form ftc_emit_form(const ftc_graph *g, ftc_id operand) {
    if (g->nodes[operand].type.dtype == FTC_F32) return FTC_FORM_F32;
    bool is_stored = g->nodes[ftc_region_operand(g, operand)].type.dtype == FTC_BF16;
    return is_stored ? FTC_FORM_BF16 : FTC_FORM_ROUNDED;
}

static int64_t bound_of(const ftc_graph *g, const ftc_axes *axes) {
    ftc_type type = {FTC_F32, *axes};
    return ftc_type_max_elements(g, &type);
}

// The operand as a matrix: unit stride along `inner`.
static ftc_matrix matrix(ftc_emitter *e, ftc_id id, const ftc_axes *outer, const ftc_axes *inner) {
    LLVMValueRef start = ftc_cg_i64(e->cg, ftc_region_slice_start(e->g, id));
    LLVMValueRef base = ftc_cg_at(e->cg, ftc_gemm_element_type(e->cg, ftc_emit_form(e->g, id)),
                                  e->storage[ftc_region_operand(e->g, id)].base, start);
    ftc_axes order = ftc_region_view_order(e->g, id);
    int64_t outer_stride, inner_stride;
    ftc_region_as_matrix(e->g, &order, outer, inner, &outer_stride, &inner_stride);
    bool transposed = inner_stride != 1;
    ftc_matrix m = {.base = base,
                    .ld = ftc_cg_i64(e->cg, transposed ? inner_stride : outer_stride),
                    .transposed = transposed,
                    .form = ftc_emit_form(e->g, id)};
    m.known_k = ftc_region_constant_size(e->g, inner);
    return m;
}

static bool is_transposed(const ftc_graph *g, ftc_id id, const ftc_axes *outer, const ftc_axes *inner) {
    ftc_axes order = ftc_region_view_order(g, id);
    int64_t outer_stride, inner_stride;
    ftc_region_as_matrix(g, &order, outer, inner, &outer_stride, &inner_stride);
    return inner_stride != 1;
}

// What the extent is called that the axes have together when each call gives it.
static const char *varying_extent(const ftc_graph *g, const ftc_axes *axes) {
    const char *name = NULL;
    for (int i = 0; i < axes->n; i++) {
        ftc_extent_kind kind = ftc_axis_extent(g, axes->at[i])->kind;
        if (kind == FTC_EXTENT_RAGGED) return "tokens";
        if (kind == FTC_EXTENT_SYMBOL) name = "batch";
    }
    return name;
}

ftc_contraction_case ftc_contraction_case_of(const ftc_graph *g, ftc_id first, ftc_id last, ftc_id *dot) {
    ftc_contraction_case c = {0};
    for (ftc_id id = first; id < last; id++) {
        if (ftc_node_class(&g->nodes[id]) == FTC_CLASS_DOT)
            *dot = id;
        else if (ftc_emit_has_buffer(g, id))
            c.has_epilogue = true;
    }
    ftc_dot_shape shape = ftc_region_dot_shape(g, &g->nodes[*dot]);
    const ftc_axes *groups[3] = {&shape.rows, &shape.cols, &shape.sums};
    for (int i = 0; i < 3; i++) c.extents[i] = varying_extent(g, groups[i]);
    c.m = bound_of(g, &shape.rows);
    c.n = bound_of(g, &shape.cols);
    c.k = bound_of(g, &shape.sums);
    c.a = ftc_emit_form(g, shape.a);
    c.b = ftc_emit_form(g, shape.b);
    c.a_transposed = is_transposed(g, shape.a, &shape.rows, &shape.sums);
    c.b_transposed = is_transposed(g, shape.b, &shape.sums, &shape.cols);
    bool backward = g->nodes[*dot].phase != FTC_PHASE_FORWARD;
    c.role = !backward ? "forward" : c.extents[2] ? "weight gradient" : "input gradient";
    return c;
}

// What the epilogue reads cell by cell, as an update reads its parameter and moments: matrices of one form,
// as many as can be fetched behind the product.
static ftc_gemm_soon read_soon(const ftc_emitter *e, const ftc_dot_shape *shape, ftc_gemm_kind kind) {
    const ftc_graph *g = e->g;
    int64_t columns = ftc_region_constant_size(g, &shape->cols), row_stride, col_stride;
    ftc_gemm_soon soon = {.ld = ftc_cg_i64(e->cg, columns)};
    for (int i = 0; i < e->n_bindings && soon.n < FTC_GEMM_SOON; i++) {
        ftc_id id = e->bindings[i];
        ftc_axes order = ftc_region_view_order(g, id);
        ftc_dtype dtype = g->nodes[id].type.dtype;
        if (!e->ready[id] || (dtype != FTC_F32 && (dtype != FTC_BF16 || kind != FTC_GEMM_AMX))) continue;
        ftc_gemm_form form = dtype == FTC_F32 ? FTC_FORM_F32 : FTC_FORM_BF16;
        if (soon.n && soon.form != form) continue;
        if (!ftc_region_as_matrix(g, &order, &shape->rows, &shape->cols, &row_stride, &col_stride)) continue;
        if (row_stride != columns || col_stride != 1) continue;
        soon.form = form;
        soon.base[soon.n++] = e->storage[id].base;
    }
    return soon;
}

void ftc_emit_dot_kernel(ftc_emitter *e) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    tile_context t = {.e = e, .kernel = &g->kernels[e->kernel]};
    ftc_contraction_case what = ftc_contraction_case_of(g, e->first, e->last, &t.dot);
    ftc_dot_shape shape = ftc_region_dot_shape(g, &g->nodes[t.dot]);
    ftc_contraction c = {.m = ftc_emit_total(e, &shape.rows),
                         .n = ftc_emit_total(e, &shape.cols),
                         .k = ftc_emit_total(e, &shape.sums),
                         .a = matrix(e, shape.a, &shape.rows, &shape.sums),
                         .b = matrix(e, shape.b, &shape.sums, &shape.cols),
                         .thread = e->thread,
                         .threads = e->threads,
                         .plan = ftc_tuned_plan_for(e->options.tuned, cg->target, &what)};
    if (what.has_epilogue) {
        t.sequence = ftc_cg_variable(cg, cg->i64);
        c.epilogue = emit_epilogue;
        c.context = &t;
        c.soon = read_soon(e, &shape, c.plan.shape.kind);
    } else {
        c.c = e->storage[t.dot].base;
        c.ldc = ftc_cg_i64(cg, ftc_region_constant_size(g, &shape.cols));
    }
    if (e->options.use_blas && c.a.form == FTC_FORM_F32 && c.b.form == FTC_FORM_F32) {
        emit_blas(e, &c);
        return;
    }
    c.scratch = ftc_emit_scratch(e, ftc_contraction_scratch_bytes(&c.plan, &c.a, what.has_epilogue));
    ftc_emit_contraction(cg, &c);
}
