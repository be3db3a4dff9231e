// Tile kernels: attention and its like. One work item for each cell of the kernel's `rows` (a sequence and a
// head), its rows in blocks of `block_size`, everything between the first and the last step in this thread's
// scratch.
//
//   for each item (shared among threads by cost, length²)
//     pack the right operands that hold for the whole item (keys and values)
//     for each block of rows
//       for each step: a contraction (compiler/emit/gemm.h) or row operations (ftc_emit_row)
//
// Where the kernel has a window, the other ragged axis is cut, too: each strip of a few rows of the block
// computes the positions alone that are within the window of one of them, and reads the part of the packed
// operands that is theirs. Contractions over the blocked axis compute what is within the block's: they find
// zeros where a strip has computed nothing.
//
// Recurrences are tile kernels, too, of one position after the other: compiler/emit/recurrence.c.
//
// A contraction over the blocked axis adds block by block, in order, into its result in memory; every other
// result is complete within the block.
#include <stdio.h>
#include <stdlib.h>

#include "compiler/emit/emit.h"
#include "compiler/passes/regions.h"
#include "compiler/passes/window.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// Rows of a block, and the positions that are within the window of one of them.
typedef struct {
    LLVMValueRef first, rows;
    LLVMValueRef window_first, window_size; // before the first block, of the whole sequence
} tile_part;

typedef struct {
    ftc_emitter *e;
    const ftc_kernel *kernel;
    int n_steps;
    ftc_id *dot_of;       // by step: its contraction, 0: row operations
    LLVMValueRef *packed; // by step: the packed right operand
    ftc_env env;          // rows bound
    tile_part block, now; // what is computed now is the block or a strip of its rows
    ftc_axis windowed;    // the axis that the window cuts; FTC_NO_AXIS: none
    uint8_t *known;       // within the window (compiler/passes/window.h)
} tile_emitter;

// The contraction with the blocked axis among its rows where it has it at all outside of the sums.
static ftc_dot_shape dot_shape(const tile_emitter *t, ftc_id dot) {
    ftc_dot_shape c = ftc_region_dot_shape(t->e->g, &t->e->g->nodes[dot]);
    if (ftc_axes_has(&c.cols, t->kernel->block))
        return (ftc_dot_shape){
            .a = c.b, .b = c.a, .batch = c.batch, .rows = c.cols, .cols = c.rows, .sums = c.sums};
    return c;
}

static bool has_block(const tile_emitter *t, ftc_id id) {
    return t->kernel->block != FTC_NO_AXIS && ftc_axes_has(&t->e->g->nodes[id].type.axes, t->kernel->block);
}

// The first position of the axis that is computed now.
static LLVMValueRef start(const tile_emitter *t, ftc_axis axis) {
    if (axis == t->kernel->block) return t->now.first;
    return axis == t->windowed ? t->now.window_first : ftc_cg_i64(t->e->cg, 0);
}

// Where this position is in the block's scratch; NULL: that begins with it.
static LLVMValueRef local_start(const tile_emitter *t, ftc_axis axis) {
    if (axis == FTC_NO_AXIS) return NULL;
    if (axis == t->kernel->block && t->now.first != t->block.first)
        return ftc_cg_sub(t->e->cg, t->now.first, t->block.first);
    if (axis == t->windowed && t->now.window_first != t->block.window_first)
        return ftc_cg_sub(t->e->cg, t->now.window_first, t->block.window_first);
    return NULL;
}

// One side of a contraction has one axis, several of constant size that lie side by side, or none.
static LLVMValueRef extent(tile_emitter *t, const ftc_axes *side) {
    if (side->n != 1) return ftc_cg_i64(t->e->cg, ftc_region_constant_size(t->e->g, side));
    ftc_axis axis = side->at[0];
    if (axis == t->kernel->block) return t->now.rows;
    if (axis == t->windowed) return t->now.window_size;
    return ftc_emit_extent(t->e, axis, &t->env);
}

static int64_t bound(const tile_emitter *t, const ftc_axes *side) {
    int64_t cells = 1;
    for (int i = 0; i < side->n; i++)
        cells *= side->at[i] == t->kernel->block ? t->kernel->block_size
                                                 : ftc_axis_extent(t->e->g, side->at[i])->bound;
    return cells;
}

static ftc_operand operand_of(tile_emitter *t, ftc_id id, const ftc_axes *row, const ftc_axes *col) {
    ftc_emitter *e = t->e;
    ftc_codegen *cg = e->cg;
    ftc_env env = t->env;
    ftc_axes sides[] = {*row, *col};
    LLVMValueRef strides[2];
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < sides[i].n; k++) env.index[sides[i].at[k]] = start(t, sides[i].at[k]);
    const ftc_storage *s = &e->storage[ftc_region_source(e->g, id)];
    if (s->kind == FTC_STORED_LOCAL) {
        LLVMTypeRef type = ftc_emit_stored_type(e, e->g->nodes[id].type.dtype);
        LLVMValueRef base = s->base;
        for (int i = 0; i < 2; i++) {
            ftc_axis axis = sides[i].n ? sides[i].at[0] : FTC_NO_AXIS;
            strides[i] = axis == FTC_NO_AXIS        ? ftc_cg_i64(cg, 0)
                         : axis == t->kernel->block ? s->ld
                                                    : ftc_cg_i64(cg, 1);
            LLVMValueRef before = local_start(t, axis);
            if (before) base = ftc_cg_at(cg, type, base, ftc_cg_mul(cg, before, strides[i]));
        }
        return (ftc_operand){base, strides[0], strides[1]};
    }
    return ftc_emit_operand(e, id, &env, row, col);
}

static bool is_constant(LLVMValueRef v, int64_t value) {
    return LLVMIsAConstantInt(v) && LLVMConstIntGetSExtValue(v) == value;
}

// A rows x cols matrix in scratch.
static ftc_operand dense(tile_emitter *t, const ftc_axes *row, const ftc_axes *col) {
    int64_t ld = ftc_emit_row_distance(bound(t, col));
    return (ftc_operand){ftc_emit_scratch(t->e, bound(t, row) * ld * 4), ftc_cg_i64(t->e->cg, ld),
                         ftc_cg_i64(t->e->cg, 1)};
}

static LLVMValueRef cell(ftc_codegen *cg, ftc_gemm_form form, const ftc_operand *o, LLVMValueRef i,
                         LLVMValueRef j) {
    LLVMValueRef offset = ftc_cg_add(cg, ftc_cg_mul(cg, i, o->row_stride), ftc_cg_mul(cg, j, o->col_stride));
    return ftc_cg_at(cg, ftc_gemm_element_type(cg, form), o->base, offset);
}

// to = from, or to += from where `add` (i1, f32 only; NULL: never) is true; cell by cell.
static void emit_copy(tile_emitter *t, ftc_gemm_form form, const ftc_operand *from, const ftc_operand *to,
                      LLVMValueRef rows, LLVMValueRef cols, LLVMValueRef add) {
    ftc_codegen *cg = t->e->cg;
    LLVMTypeRef type = ftc_gemm_element_type(cg, form);
    ftc_cg_loop i = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), rows, ftc_cg_i64(cg, 1));
    ftc_cg_loop j = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), cols, ftc_cg_i64(cg, 1));
    LLVMValueRef value = ftc_cg_load(cg, type, cell(cg, form, from, i.index, j.index));
    LLVMValueRef address = cell(cg, form, to, i.index, j.index);
    if (add) {
        LLVMValueRef sum = ftc_cg_fadd(cg, ftc_cg_load(cg, cg->f32, address), value);
        value = ftc_cg_select(cg, add, sum, value);
    }
    ftc_cg_store(cg, value, address);
    ftc_cg_loop_end(cg, &j);
    ftc_cg_loop_end(cg, &i);
}

static ftc_gemm_shape gemm_shape(const tile_emitter *t, const ftc_dot_shape *c) {
    const ftc_target *target = t->e->cg->target;
    ftc_gemm_form a = ftc_emit_form(t->e->g, c->a), b = ftc_emit_form(t->e->g, c->b);
    return ftc_gemm_shape_for(target, ftc_gemm_kind_for(target, a, b));
}

// The operand, copied to scratch when neither of its axes is innermost in memory.
static ftc_operand packable(tile_emitter *t, ftc_id id, const ftc_axes *row, const ftc_axes *col) {
    ftc_operand o = operand_of(t, id, row, col);
    if (!row->n || !col->n) return o;
    if (is_constant(o.row_stride, 1) || is_constant(o.col_stride, 1)) return o;
    ftc_operand copy = dense(t, row, col);
    emit_copy(t, ftc_emit_form(t->e->g, id), &o, &copy, extent(t, row), extent(t, col), NULL);
    return copy;
}

static void emit_pack(tile_emitter *t, int step) {
    ftc_emitter *e = t->e;
    ftc_dot_shape c = dot_shape(t, t->dot_of[step]);
    ftc_operand b = packable(t, c.b, &c.sums, &c.cols);
    bool along_cols = is_constant(b.col_stride, 1) || !c.cols.n;
    ftc_matrix matrix = {.base = b.base,
                         .ld = along_cols ? b.row_stride : b.col_stride,
                         .transposed = !along_cols,
                         .form = ftc_emit_form(e->g, c.b)};
    ftc_gemm_shape shape = gemm_shape(t, &c);
    ftc_emit_pack(e->cg, &shape, &matrix, extent(t, &c.sums), extent(t, &c.cols), t->packed[step]);
}

// Whether what is added up in memory starts from zero: there is no block that has all of it.
static bool is_cleared(const tile_emitter *t, ftc_id id) {
    const ftc_node *node = &t->e->g->nodes[id];
    if (ftc_node_class(node) == FTC_CLASS_SCATTER) return true;
    if (ftc_node_class(node) != FTC_CLASS_DOT || !ftc_axes_has(&node->axes, t->kernel->block)) return false;
    // Without positions on the block's axis there is no block at all, and the sum is zero.
    const ftc_extent_def *block = ftc_axis_extent(t->e->g, t->kernel->block);
    bool may_lack_blocks = block->kind == FTC_EXTENT_RAGGED && block->least == 0;
    for (int i = 0; i < node->type.axes.n; i++)
        may_lack_blocks &= ftc_axis_extent(t->e->g, node->type.axes.at[i]) != block; // nor has the sum cells
    return may_lack_blocks || (t->windowed != FTC_NO_AXIS && ftc_axes_has(&node->type.axes, t->windowed));
}

// The right operand of a step, of one that is packed for the whole item the part within the window.
static void bind_packed(tile_emitter *t, int step, const ftc_dot_shape *c, ftc_gemm_block *block) {
    ftc_codegen *cg = t->e->cg;
    block->b = t->packed[step];
    if (t->windowed == FTC_NO_AXIS || has_block(t, c->b)) return;
    const ftc_gemm_shape *shape = &block->shape;
    LLVMValueRef before = ftc_cg_i64(cg, 0); // words
    if (ftc_axes_has(&c->sums, t->windowed)) {
        LLVMValueRef length = ftc_emit_extent(t->e, t->windowed, &t->env);
        block->depth = ftc_emit_packed_depth(cg, shape, length);
        before = ftc_emit_packed_depth(cg, shape, t->now.window_first);
        before = ftc_cg_mul(cg, before, ftc_cg_i64(cg, shape->cols));
    } else if (ftc_axes_has(&c->cols, t->windowed)) {
        before = ftc_emit_packed_size(cg, shape, block->k, t->now.window_first);
    }
    block->b = ftc_cg_at(cg, cg->f32, block->b, before);
}

static void emit_dot(tile_emitter *t, int step) {
    ftc_emitter *e = t->e;
    ftc_id dot = t->dot_of[step];
    ftc_dot_shape c = dot_shape(t, dot);
    if (has_block(t, c.b)) emit_pack(t, step);
    bool sums_blocks = ftc_axes_has(&c.sums, t->kernel->block);
    ftc_operand a = packable(t, c.a, &c.rows, &c.sums);
    bool transposed = !is_constant(a.col_stride, 1);
    ftc_operand result = operand_of(t, dot, &c.rows, &c.cols), made = result;
    bool strided = c.cols.n && !is_constant(result.col_stride, 1);
    if (strided) made = dense(t, &c.rows, &c.cols);
    LLVMValueRef accumulate = ftc_cg_bool(e->cg, sums_blocks);
    if (sums_blocks && !is_cleared(t, dot))
        accumulate = ftc_cg_compare(e->cg, LLVMIntSGT, t->now.first, ftc_cg_i64(e->cg, 0));
    ftc_gemm_block block = {.shape = gemm_shape(t, &c),
                            .a = {.base = a.base,
                                  .ld = transposed ? a.col_stride : a.row_stride,
                                  .transposed = transposed,
                                  .form = ftc_emit_form(e->g, c.a)},
                            .m = extent(t, &c.rows),
                            .n = extent(t, &c.cols),
                            .k = extent(t, &c.sums),
                            .c = made.base,
                            .ldc = made.row_stride,
                            .accumulate = strided ? ftc_cg_bool(e->cg, false) : accumulate};
    block.a.known_k = ftc_region_constant_size(e->g, &c.sums);
    int64_t buffer_bytes = ftc_gemm_buffer_bytes(&block.shape, &block.a, bound(t, &c.sums));
    if (buffer_bytes) block.buffer = ftc_emit_scratch(e, buffer_bytes);
    bind_packed(t, step, &c, &block);
    ftc_emit_block(e->cg, &block);
    if (strided)
        emit_copy(t, FTC_FORM_F32, &made, &result, extent(t, &c.rows), extent(t, &c.cols), accumulate);
    e->ready[dot] = true;
}

// The columns of a row that are within the window, where what the window is made of need not be computed.
static void bind_known(tile_emitter *t, ftc_row *row, LLVMValueRef position) {
    ftc_codegen *cg = t->e->cg;
    int64_t low = t->kernel->window_low, high = t->kernel->window_high;
    int64_t most = ftc_axis_extent(t->e->g, t->windowed)->bound - 1;
    LLVMValueRef first = ftc_cg_sub(cg, position, t->block.window_first);
    row->known = t->known;
    row->known_begin = row->begin, row->known_end = row->end;
    if (low > -most) {
        row->known_begin = ftc_cg_max(cg, ftc_cg_add(cg, first, ftc_cg_i64(cg, low)), row->begin);
        row->known_begin = ftc_cg_min(cg, row->known_begin, row->end);
    }
    if (high >= most) return;
    LLVMValueRef end = ftc_cg_add(cg, first, ftc_cg_i64(cg, high + 1));
    row->known_end = ftc_cg_max(cg, ftc_cg_min(cg, end, row->end), row->begin);
}

// Whether a contraction reads the value in all rows of the block at once.
static bool is_summed_over_block(const tile_emitter *t, ftc_id id) {
    for (ftc_id dot = t->e->first; dot < t->e->last; dot++) {
        const ftc_node *node = &t->e->g->nodes[dot];
        if (ftc_node_class(node) != FTC_CLASS_DOT || !ftc_axes_has(&node->axes, t->kernel->block)) continue;
        for (int i = 0; i < node->n_args; i++)
            if (ftc_region_source(t->e->g, node->arg[i]) == id) return true;
    }
    return false;
}

static void clear_columns(tile_emitter *t, LLVMTypeRef type, LLVMValueRef row, LLVMValueRef begin,
                          LLVMValueRef end) {
    ftc_codegen *cg = t->e->cg;
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, begin, end, ftc_cg_i64(cg, cg->lanes));
    LLVMValueRef zeros = LLVMConstNull(ftc_cg_vector_type(cg, type, cg->lanes));
    ftc_cg_store(cg, zeros, ftc_cg_at(cg, type, row, loop.index));
    ftc_cg_loop_end(cg, &loop);
}

// Zeroes the cells of the block's window beside that of the strip which has the row. Whole vectors: they
// begin at multiples of one, and so do rows in scratch.
static void clear_beside(tile_emitter *t, const ftc_row *row, LLVMValueRef block_row) {
    ftc_emitter *e = t->e;
    for (ftc_id id = e->first; id < e->last; id++) {
        const ftc_storage *s = &e->storage[id];
        const ftc_node *node = &e->g->nodes[id];
        if (node->step != row->step || s->kind != FTC_STORED_LOCAL || !is_summed_over_block(t, id)) continue;
        LLVMTypeRef type = ftc_emit_stored_type(e, node->type.dtype);
        LLVMValueRef base = ftc_cg_at(e->cg, type, s->base, ftc_cg_mul(e->cg, block_row, s->ld));
        clear_columns(t, type, base, ftc_cg_i64(e->cg, 0), row->begin);
        clear_columns(t, type, base, row->end, t->block.window_size);
    }
}

// The axes of a step of row operations, but for those of the item and of the block.
static ftc_axes columns_of(const tile_emitter *t, int step) {
    const ftc_emitter *e = t->e;
    ftc_axes cols = {0};
    for (ftc_id id = e->first; id < e->last; id++) {
        const ftc_node *node = &e->g->nodes[id];
        ftc_op_class class = ftc_node_class(node);
        bool reduces = class == FTC_CLASS_REDUCE || class == FTC_CLASS_SCATTER; // what its operand alone has
        // What is neither stored nor summed may be read through a rename, and have other axes.
        bool counts = reduces || e->storage[id].kind != FTC_STORED_NOWHERE;
        if (node->step != step || !counts || cols.n) continue;
        ftc_axes local =
            ftc_axes_minus(&e->g->nodes[reduces ? node->arg[0] : id].type.axes, &t->kernel->rows);
        ftc_axes block = ftc_axes_of(t->kernel->block);
        local = ftc_axes_packed_order(e->g, &local);
        cols = ftc_axes_minus(&local, &block);
    }
    return cols;
}

static void emit_rows(tile_emitter *t, int step) {
    ftc_emitter *e = t->e;
    ftc_codegen *cg = e->cg;
    ftc_axes cols = columns_of(t, step);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), t->now.rows, ftc_cg_i64(cg, 1));
    ftc_env env = t->env;
    LLVMValueRef rows_before = local_start(t, t->kernel->block), begin = local_start(t, t->windowed);
    env.block_row = rows_before ? ftc_cg_add(cg, rows_before, loop.index) : loop.index;
    if (t->kernel->block != FTC_NO_AXIS)
        env.index[t->kernel->block] = ftc_cg_add(cg, t->now.first, loop.index);
    ftc_row row = ftc_row_of(e, &cols, &env);
    row.step = (uint16_t)step;
    bool windowed = cols.n == 1 && cols.at[0] == t->windowed;
    if (windowed) {
        row.origin = t->block.window_first;
        if (begin) row.begin = begin;
        row.end = ftc_cg_add(cg, row.begin, t->now.window_size);
        bind_known(t, &row, env.index[t->kernel->block]);
    }
    ftc_emit_row(e, &row, &env);
    if (windowed && begin) clear_beside(t, &row, env.block_row);
    ftc_cg_loop_end(cg, &loop);
}

// Values that pass from one step to another, and packed operands, get their place in scratch.
static void place_in_scratch(tile_emitter *t) {
    ftc_emitter *e = t->e;
    const ftc_graph *g = e->g;
    for (ftc_id id = e->first; id < e->last; id++)
        for (int i = 0; i < g->nodes[id].n_args; i++) {
            ftc_id arg = ftc_region_source(g, g->nodes[id].arg[i]);
            const ftc_node *node = &g->nodes[arg];
            if (node->kernel != e->kernel || node->step == g->nodes[id].step) continue;
            if (e->storage[arg].kind != FTC_STORED_NOWHERE) continue;
            int64_t cols = 1;
            for (int a = 0; a < node->type.axes.n; a++) {
                ftc_axis axis = node->type.axes.at[a];
                if (ftc_axes_has(&t->kernel->rows, axis) || axis == t->kernel->block) continue;
                cols *= ftc_axis_extent(g, axis)->bound;
            }
            int64_t ld = ftc_emit_row_distance(cols);
            e->storage[arg] = (ftc_storage){
                FTC_STORED_LOCAL, ftc_emit_scratch(e, t->kernel->block_size * ld * 4), ftc_cg_i64(e->cg, ld)};
        }
    for (int s = 0; s < t->n_steps; s++) {
        if (!t->dot_of[s]) continue;
        ftc_dot_shape c = dot_shape(t, t->dot_of[s]);
        int64_t k = bound(t, &c.sums);
        ftc_gemm_shape shape = gemm_shape(t, &c);
        t->packed[s] = ftc_emit_scratch(e, ftc_packed_size(&shape, k, bound(t, &c.cols)) * 4);
    }
}

static int64_t common_multiple(int64_t a, int64_t b) {
    int64_t multiple = a;
    while (multiple % b) multiple += a;
    return multiple;
}

// What the first position of a window is a multiple of: rows are then added up as without a window, lane by
// lane, and panels and words of packed operands begin there.
static int64_t window_unit(const tile_emitter *t) {
    int64_t unit = t->e->cg->lanes;
    for (int s = 0; s < t->n_steps; s++) {
        if (!t->dot_of[s]) continue;
        ftc_dot_shape c = dot_shape(t, t->dot_of[s]);
        ftc_gemm_shape shape = gemm_shape(t, &c);
        if (ftc_axes_has(&c.sums, t->windowed))
            unit = common_multiple(unit, (int64_t)shape.word_unit * shape.k_per_word);
        if (ftc_axes_has(&c.cols, t->windowed)) unit = common_multiple(unit, shape.cols);
    }
    return unit;
}

// Rows of a block from `first` on, and the positions that are within the window of one of them, as whole
// vectors, in a sequence of this length.
static tile_part part_of(const tile_emitter *t, LLVMValueRef first, LLVMValueRef rows, LLVMValueRef length) {
    ftc_codegen *cg = t->e->cg;
    tile_part part = {first, rows, t->now.window_first, t->now.window_size};
    if (t->windowed == FTC_NO_AXIS) return part;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), last = ftc_cg_sub(cg, length, ftc_cg_i64(cg, 1));
    LLVMValueRef low = ftc_cg_add(cg, first, ftc_cg_i64(cg, t->kernel->window_low));
    LLVMValueRef end = ftc_cg_add(cg, first, rows);
    end = ftc_cg_max(cg, ftc_cg_add(cg, end, ftc_cg_i64(cg, t->kernel->window_high)), zero);
    end = ftc_cg_min(cg, ftc_cg_round_up(cg, end, cg->lanes), length);
    low = ftc_cg_min(cg, ftc_cg_max(cg, low, zero), last);
    part.window_first = ftc_cg_sub(cg, low, ftc_cg_rem(cg, low, ftc_cg_i64(cg, window_unit(t))));
    part.window_size = ftc_cg_max(cg, ftc_cg_sub(cg, end, part.window_first), zero);
    return part;
}

// Rows of a strip: what the micro-kernels take at once, some vectors of a row at least.
static int64_t strip_rows(const tile_emitter *t) {
    int64_t rows = 16;
    for (int s = 0; s < t->n_steps; s++) {
        if (!t->dot_of[s]) continue;
        ftc_dot_shape c = dot_shape(t, t->dot_of[s]);
        ftc_gemm_shape shape = gemm_shape(t, &c);
        if (shape.rows > rows) rows = shape.rows;
    }
    return rows;
}

// Whether a step computes each strip of rows within the window of its own.
static bool has_strips(const tile_emitter *t, int step) {
    if (t->windowed == FTC_NO_AXIS || strip_rows(t) >= t->kernel->block_size) return false;
    if (!t->dot_of[step]) {
        ftc_axes cols = columns_of(t, step);
        return cols.n == 1 && cols.at[0] == t->windowed;
    }
    ftc_dot_shape c = dot_shape(t, t->dot_of[step]);
    if (!ftc_axes_has(&c.rows, t->kernel->block)) return false;
    return ftc_axes_has(&c.sums, t->windowed) ||
           (ftc_axes_has(&c.cols, t->windowed) && !is_summed_over_block(t, t->dot_of[step]));
}

static void emit_step(tile_emitter *t, int step, LLVMValueRef length) {
    ftc_codegen *cg = t->e->cg;
    bool strips = has_strips(t, step);
    ftc_cg_loop strip;
    if (strips) {
        LLVMValueRef most = ftc_cg_i64(cg, strip_rows(t));
        LLVMValueRef end = ftc_cg_add(cg, t->block.first, t->block.rows);
        strip = ftc_cg_loop_begin(cg, t->block.first, end, most);
        LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_sub(cg, end, strip.index), most);
        t->now = part_of(t, strip.index, rows, length);
    }
    if (t->dot_of[step])
        emit_dot(t, step);
    else
        emit_rows(t, step);
    if (strips) ftc_cg_loop_end(cg, &strip);
    t->now = t->block;
}

static void emit_item(tile_emitter *t) {
    ftc_emitter *e = t->e;
    ftc_codegen *cg = e->cg;
    bool blocked = t->kernel->block != FTC_NO_AXIS;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), length = NULL;
    t->block = (tile_part){zero, ftc_cg_i64(cg, 1), zero, NULL};
    if (t->windowed != FTC_NO_AXIS) t->block.window_size = ftc_emit_extent(e, t->windowed, &t->env);
    t->now = t->block;
    for (ftc_id id = e->first; id < e->last; id++)
        if (is_cleared(t, id)) ftc_emit_clear(e, id, &t->env);
    for (int s = 0; s < t->n_steps; s++)
        if (t->dot_of[s] && !has_block(t, dot_shape(t, t->dot_of[s]).b)) emit_pack(t, s);
    ftc_cg_loop blocks;
    if (blocked) {
        length = ftc_emit_extent(e, t->kernel->block, &t->env);
        blocks = ftc_cg_loop_begin(cg, zero, length, ftc_cg_i64(cg, t->kernel->block_size));
        LLVMValueRef most = ftc_cg_i64(cg, t->kernel->block_size);
        LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_sub(cg, length, blocks.index), most);
        t->now = t->block = part_of(t, blocks.index, rows, length);
    }
    for (int s = 0; s < t->n_steps; s++) emit_step(t, s, length);
    if (blocked) ftc_cg_loop_end(cg, &blocks);
}

// What an item of the sequence that is bound costs: its length along the ragged axis, times the positions
// that a block computes; 1 when there is none.
static LLVMValueRef cost_of(tile_emitter *t, ftc_axis ragged) {
    ftc_codegen *cg = t->e->cg;
    if (ragged == FTC_NO_AXIS) return ftc_cg_i64(cg, 1);
    LLVMValueRef length = ftc_emit_extent(t->e, ragged, &t->env), each = length;
    if (t->kernel->has_window) {
        int64_t most = (int64_t)t->kernel->window_high - t->kernel->window_low + t->kernel->block_size;
        each = ftc_cg_min(cg, length, ftc_cg_i64(cg, most));
    }
    return ftc_cg_mul(cg, length, each);
}

// Items of the sequence that is bound: `rest` may have the sequence's tokens.
static LLVMValueRef count_of(tile_emitter *t, const ftc_axes *rest) {
    LLVMValueRef count = ftc_cg_i64(t->e->cg, 1);
    for (int i = 0; i < rest->n; i++)
        count = ftc_cg_mul(t->e->cg, count, ftc_emit_extent(t->e, rest->at[i], &t->env));
    return count;
}

static void bind_rest(tile_emitter *t, const ftc_axes *rest, LLVMValueRef item) {
    ftc_codegen *cg = t->e->cg;
    for (int i = rest->n - 1; i >= 0; i--) {
        LLVMValueRef extent = ftc_emit_extent(t->e, rest->at[i], &t->env);
        t->env.index[rest->at[i]] = i ? ftc_cg_rem(cg, item, extent) : item;
        if (i) item = ftc_cg_div(cg, item, extent);
    }
}

void ftc_emit_tile_kernel(ftc_emitter *e) {
    ftc_id state = ftc_emit_find_state(e);
    if (state) {
        ftc_emit_recurrence(e, state);
        return;
    }
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    tile_emitter t = {
        .e = e, .kernel = &g->kernels[e->kernel], .env = ftc_env_empty(e), .windowed = FTC_NO_AXIS};
    ftc_axis ragged = FTC_NO_AXIS;
    for (ftc_id id = e->first; id < e->last; id++) {
        const ftc_node *node = &g->nodes[id];
        if (node->step + 1 > t.n_steps) t.n_steps = node->step + 1;
        for (int i = 0; i < node->type.axes.n; i++)
            if (ftc_axis_extent(g, node->type.axes.at[i])->kind == FTC_EXTENT_RAGGED &&
                !ftc_axes_has(&t.kernel->rows, node->type.axes.at[i]))
                ragged = node->type.axes.at[i];
    }
    if (t.kernel->has_window)
        for (ftc_id id = e->first; id < e->last; id++)
            for (int i = 0; i < g->nodes[id].type.axes.n; i++) {
                ftc_axis axis = g->nodes[id].type.axes.at[i];
                if (axis != t.kernel->block && ftc_axis_over(g, axis) != FTC_NO_AXIS) t.windowed = axis;
            }
    t.dot_of = ftc_alloc((size_t)t.n_steps, sizeof *t.dot_of);
    t.packed = ftc_alloc((size_t)t.n_steps, sizeof *t.packed);
    for (ftc_id id = e->first; id < e->last; id++)
        if (ftc_node_class(&g->nodes[id]) == FTC_CLASS_DOT) t.dot_of[g->nodes[id].step] = id;
    if (t.windowed != FTC_NO_AXIS) t.known = ftc_window_known(g, e->kernel, e->first, e->last);
    place_in_scratch(&t);

    // Items are ordered by (sequence, the rest); an item goes to the thread in whose share of the cost it
    // starts.
    ftc_axis first = t.kernel->rows.at[0];
    ftc_axes rest = t.kernel->rows, head = ftc_axes_of(first);
    rest = ftc_axes_minus(&rest, &head);
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);
    LLVMValueRef n = ftc_emit_extent(e, first, &t.env);
    bool by_length = ragged != FTC_NO_AXIS && ftc_axis_extent(g, ragged)->over == first;
    ftc_axis measured = by_length ? ragged : FTC_NO_AXIS;
    ftc_cg_loop sum = ftc_cg_loop_begin(cg, zero, n, one);
    LLVMValueRef total = ftc_cg_loop_carry(cg, &sum, zero);
    t.env.index[first] = sum.index;
    LLVMValueRef all = ftc_cg_mul(cg, cost_of(&t, measured), count_of(&t, &rest));
    ftc_cg_loop_next(&sum, total, ftc_cg_add(cg, total, all));
    ftc_cg_loop_end(cg, &sum);
    total = ftc_cg_max(cg, ftc_cg_loop_result(&sum, total), one);

    ftc_cg_loop outer = ftc_cg_loop_begin(cg, zero, n, one);
    LLVMValueRef before = ftc_cg_loop_carry(cg, &outer, zero);
    t.env.index[first] = outer.index;
    LLVMValueRef cost = cost_of(&t, measured), n_rest = count_of(&t, &rest);
    ftc_cg_loop_next(&outer, before, ftc_cg_add(cg, before, ftc_cg_mul(cg, cost, n_rest)));
    ftc_cg_loop inner = ftc_cg_loop_begin(cg, zero, n_rest, one);
    LLVMValueRef start = ftc_cg_add(cg, before, ftc_cg_mul(cg, cost, inner.index));
    LLVMValueRef owner = ftc_cg_div(cg, ftc_cg_mul(cg, start, e->threads), total);
    ftc_cg_if mine = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntEQ, owner, e->thread));
    bind_rest(&t, &rest, inner.index);
    emit_item(&t);
    ftc_cg_if_end(cg, &mine);
    ftc_cg_loop_end(cg, &inner);
    ftc_cg_loop_end(cg, &outer);
    free(t.dot_of);
    free(t.packed);
    free(t.known);
}
