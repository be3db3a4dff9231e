// Recurrences: tile kernels that compute one position after the other.
//
//   each thread has some of the sequences, shared by length; it packs the matrices of all contractions once
//     for each group of its sequences
//       for each position, in the order in which states follow one another
//         for each step: row operations, sequence by sequence, or a contraction
//
// A contraction multiplies the rows of all sequences of the group at once, so that the packed matrix passes
// once for all of them; a row's cells do not depend on which other rows there are (compiler/emit/gemm.h), nor
// on what is multiplied in the place of a sequence that has ended. What passes from one step to the next lies
// in scratch by coordinates, since a step may read it under other names.
#include <stdlib.h>

#include "compiler/emit/emit.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

enum { MOST_SEQUENCES = 8 }; // of a group

typedef struct {
    ftc_emitter *e;
    const ftc_kernel *kernel;
    ftc_axis over, along;
    bool from_end;
    int n_steps;
    ftc_id *dot_of;             // by step: its contraction, 0: row operations
    LLVMValueRef *packed;       // by step: the right operand
    LLVMValueRef left, product; // of contractions: rows of the group
    LLVMValueRef first, count;  // the group's sequences
    LLVMValueRef steps;         // positions that are computed already
} recurrence;

ftc_id ftc_emit_find_state(const ftc_emitter *e) {
    for (ftc_id id = e->first; id < e->last; id++)
        if (ftc_node_class(&e->g->nodes[id]) == FTC_CLASS_BEFORE) return id;
    return 0;
}

// --- the sequences of a group -------------------------------------------------------------------------

// Code for each sequence that has the position.
typedef struct {
    ftc_cg_loop loop;
    ftc_cg_if there;
    ftc_env env;
} each_sequence;

static each_sequence each_begin(const recurrence *r) {
    ftc_codegen *cg = r->e->cg;
    each_sequence each = {.env = ftc_env_empty(r->e)};
    each.loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), r->count, ftc_cg_i64(cg, 1));
    each.env.index[r->over] = ftc_cg_add(cg, r->first, each.loop.index);
    each.env.block_row = each.loop.index;
    LLVMValueRef length = ftc_emit_extent(r->e, r->along, &each.env);
    each.there = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, r->steps, length));
    LLVMValueRef last = ftc_cg_sub(cg, length, ftc_cg_i64(cg, 1));
    each.env.index[r->along] = r->from_end ? ftc_cg_sub(cg, last, r->steps) : r->steps;
    return each;
}

static void each_end(const recurrence *r, each_sequence *each) {
    ftc_cg_if_end(r->e->cg, &each->there);
    ftc_cg_loop_end(r->e->cg, &each->loop);
}

// --- steps --------------------------------------------------------------------------------------------

static void emit_rows(const recurrence *r, int step) {
    ftc_emitter *e = r->e;
    ftc_codegen *cg = e->cg;
    ftc_axes outer = {0}, cols = {0};
    for (ftc_id id = e->first; id < e->last && !cols.n; id++) {
        const ftc_node *node = &e->g->nodes[id];
        // What is neither stored nor summed may be read through a rename, and have other axes.
        bool counts = ftc_node_class(node) == FTC_CLASS_REDUCE || e->storage[id].kind != FTC_STORED_NOWHERE;
        if (node->step == step && counts) ftc_region_step_loops(e->g, node, r->kernel, &outer, &cols);
    }
    each_sequence each = each_begin(r);
    ftc_cg_loop loops[FTC_MAX_AXES];
    for (int i = 0; i < outer.n; i++) {
        LLVMValueRef extent = ftc_emit_extent(e, outer.at[i], &each.env);
        loops[i] = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), extent, ftc_cg_i64(cg, 1));
        each.env.index[outer.at[i]] = loops[i].index;
    }
    ftc_row row = ftc_row_of(e, &cols, &each.env);
    row.step = (uint16_t)step;
    ftc_emit_row(e, &row, &each.env);
    for (int i = outer.n; i-- > 0;) ftc_cg_loop_end(cg, &loops[i]);
    each_end(r, &each);
}

// Where the row of a contraction's operand or result begins.
static LLVMValueRef row_of(const recurrence *r, ftc_id id, const ftc_axes *cols, const ftc_env *at) {
    ftc_env env = *at;
    for (int i = 0; i < cols->n; i++) env.index[cols->at[i]] = ftc_cg_i64(r->e->cg, 0);
    return ftc_emit_operand(r->e, id, &env, &(ftc_axes){0}, cols).base;
}

static ftc_gemm_shape shape_of(const recurrence *r, const ftc_dot_shape *c) {
    const ftc_target *target = r->e->cg->target;
    return ftc_gemm_shape_for(
        target, ftc_gemm_kind_for(target, ftc_emit_form(r->e->g, c->a), ftc_emit_form(r->e->g, c->b)));
}

static void copy_row(ftc_codegen *cg, LLVMValueRef to, LLVMValueRef from, int64_t bytes) {
    LLVMBuildMemCpy(cg->builder, to, 1, from, 1, ftc_cg_i64(cg, bytes));
}

static void emit_dot(const recurrence *r, int step) {
    ftc_emitter *e = r->e;
    ftc_codegen *cg = e->cg;
    ftc_dot_shape c = ftc_region_dot_shape(e->g, &e->g->nodes[r->dot_of[step]]);
    ftc_gemm_form form = ftc_emit_form(e->g, c.a);
    LLVMTypeRef element = ftc_gemm_element_type(cg, form);
    const int64_t k = ftc_region_constant_size(e->g, &c.sums), n = ftc_region_constant_size(e->g, &c.cols);
    LLVMValueRef lda = ftc_cg_i64(cg, ftc_emit_row_distance(k)),
                 ldc = ftc_cg_i64(cg, ftc_emit_row_distance(n));
    each_sequence each = each_begin(r);
    LLVMValueRef to = ftc_cg_at(cg, element, r->left, ftc_cg_mul(cg, each.env.block_row, lda));
    copy_row(cg, to, row_of(r, c.a, &c.sums, &each.env), k * ftc_gemm_element_bytes(form));
    each_end(r, &each);

    ftc_gemm_block block = {.shape = shape_of(r, &c),
                            .a = {.base = r->left, .ld = lda, .form = form},
                            .m = r->count,
                            .n = ftc_cg_i64(cg, n),
                            .k = ftc_cg_i64(cg, k),
                            .b = r->packed[step],
                            .c = r->product,
                            .ldc = ldc,
                            .accumulate = ftc_cg_bool(cg, false)};
    block.a.known_k = k;
    int64_t buffer_bytes = ftc_gemm_buffer_bytes(&block.shape, &block.a, k);
    if (buffer_bytes) block.buffer = ftc_emit_scratch(e, buffer_bytes);
    ftc_emit_block(cg, &block);

    each = each_begin(r);
    LLVMValueRef from = ftc_cg_at(cg, cg->f32, r->product, ftc_cg_mul(cg, each.env.block_row, ldc));
    copy_row(cg, row_of(r, r->dot_of[step], &c.cols, &each.env), from, n * 4);
    each_end(r, &each);
    e->ready[r->dot_of[step]] = true;
}

static void emit_group(recurrence *r) {
    ftc_codegen *cg = r->e->cg;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);
    ftc_cg_loop lengths = ftc_cg_loop_begin(cg, zero, r->count, one);
    LLVMValueRef longest = ftc_cg_loop_carry(cg, &lengths, zero);
    ftc_env env = ftc_env_empty(r->e);
    env.index[r->over] = ftc_cg_add(cg, r->first, lengths.index);
    ftc_cg_loop_next(&lengths, longest, ftc_cg_max(cg, longest, ftc_emit_extent(r->e, r->along, &env)));
    ftc_cg_loop_end(cg, &lengths);
    ftc_cg_loop positions = ftc_cg_loop_begin(cg, zero, ftc_cg_loop_result(&lengths, longest), one);
    r->steps = positions.index;
    for (int s = 0; s < r->n_steps; s++) r->dot_of[s] ? emit_dot(r, s) : emit_rows(r, s);
    ftc_cg_loop_end(cg, &positions);
}

// --- the kernel ---------------------------------------------------------------------------------------

// Values that pass from one step to another, and what contractions read and make.
static void place_in_scratch(recurrence *r) {
    ftc_emitter *e = r->e;
    const ftc_graph *g = e->g;
    for (ftc_id id = e->first; id < e->last; id++)
        for (int i = 0; i < g->nodes[id].n_args; i++) {
            ftc_id arg = ftc_region_source(g, g->nodes[id].arg[i]);
            const ftc_node *node = &g->nodes[arg];
            bool passes = node->kernel == e->kernel && node->step != g->nodes[id].step;
            if (!passes || e->storage[arg].kind != FTC_STORED_NOWHERE) continue;
            ftc_axes own = {.n = 2, .at = {r->over, r->along}}, rest = ftc_axes_minus(&node->type.axes, &own);
            int64_t ld = ftc_emit_row_distance(ftc_region_constant_size(g, &rest));
            e->storage[arg] = (ftc_storage){FTC_STORED_STEP, ftc_emit_scratch(e, MOST_SEQUENCES * ld * 4),
                                            ftc_cg_i64(e->cg, ld)};
        }
    int64_t k_most = 0, n_most = 0;
    for (int s = 0; s < r->n_steps; s++) {
        if (!r->dot_of[s]) continue;
        ftc_dot_shape c = ftc_region_dot_shape(g, &g->nodes[r->dot_of[s]]);
        ftc_gemm_shape shape = shape_of(r, &c);
        int64_t k = ftc_region_constant_size(g, &c.sums), n = ftc_region_constant_size(g, &c.cols);
        r->packed[s] = ftc_emit_scratch(e, ftc_packed_size(&shape, k, n) * 4);
        k_most = k > k_most ? k : k_most;
        n_most = n > n_most ? n : n_most;
    }
    if (!k_most) return;
    r->left = ftc_emit_scratch(e, MOST_SEQUENCES * ftc_emit_row_distance(k_most) * 4);
    r->product = ftc_emit_scratch(e, (MOST_SEQUENCES + 1) * ftc_emit_row_distance(n_most) * 4);
}

static void emit_pack(const recurrence *r, int step) {
    ftc_emitter *e = r->e;
    ftc_codegen *cg = e->cg;
    ftc_dot_shape c = ftc_region_dot_shape(e->g, &e->g->nodes[r->dot_of[step]]);
    ftc_env env = ftc_env_empty(e);
    ftc_axes all = ftc_axes_union(&c.sums, &c.cols);
    for (int i = 0; i < all.n; i++) env.index[all.at[i]] = ftc_cg_i64(cg, 0);
    ftc_operand b = ftc_emit_operand(e, c.b, &env, &c.sums, &c.cols);
    bool along_cols = LLVMIsAConstantInt(b.col_stride) && LLVMConstIntGetSExtValue(b.col_stride) == 1;
    ftc_matrix matrix = {.base = b.base,
                         .ld = along_cols ? b.row_stride : b.col_stride,
                         .transposed = !along_cols,
                         .form = ftc_emit_form(e->g, c.b)};
    ftc_gemm_shape shape = shape_of(r, &c);
    ftc_emit_pack(cg, &shape, &matrix, ftc_cg_i64(cg, ftc_region_constant_size(e->g, &c.sums)),
                  ftc_cg_i64(cg, ftc_region_constant_size(e->g, &c.cols)), r->packed[step]);
}

// The sequences of this thread: those that start in its share of all positions.
static void find_own(const recurrence *r, LLVMValueRef *begin, LLVMValueRef *end) {
    ftc_codegen *cg = r->e->cg;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);
    ftc_env env = ftc_env_empty(r->e);
    LLVMValueRef n = ftc_emit_extent(r->e, r->over, &env);
    LLVMValueRef total = ftc_cg_max(cg, ftc_emit_sequence_start(r->e, r->along, n), one);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, zero, n, one);
    LLVMValueRef first = ftc_cg_loop_carry(cg, &loop, n), last = ftc_cg_loop_carry(cg, &loop, zero);
    LLVMValueRef start = ftc_emit_sequence_start(r->e, r->along, loop.index);
    LLVMValueRef owner = ftc_cg_div(cg, ftc_cg_mul(cg, start, r->e->threads), total);
    LLVMValueRef mine = ftc_cg_compare(cg, LLVMIntEQ, owner, r->e->thread);
    ftc_cg_loop_next(&loop, first, ftc_cg_select(cg, mine, ftc_cg_min(cg, first, loop.index), first));
    ftc_cg_loop_next(&loop, last, ftc_cg_select(cg, mine, ftc_cg_add(cg, loop.index, one), last));
    ftc_cg_loop_end(cg, &loop);
    *begin = ftc_cg_loop_result(&loop, first);
    *end = ftc_cg_loop_result(&loop, last);
}

void ftc_emit_recurrence(ftc_emitter *e, ftc_id state) {
    ftc_codegen *cg = e->cg;
    const ftc_node *node = &e->g->nodes[state];
    recurrence r = {.e = e, .kernel = &e->g->kernels[e->kernel], .along = node->axis};
    r.over = ftc_axis_over(e->g, r.along);
    r.from_end = ftc_op_get(node->op)->from_end;
    for (ftc_id id = e->first; id < e->last; id++)
        if (e->g->nodes[id].step + 1 > r.n_steps) r.n_steps = e->g->nodes[id].step + 1;
    r.dot_of = ftc_alloc((size_t)r.n_steps, sizeof *r.dot_of);
    r.packed = ftc_alloc((size_t)r.n_steps, sizeof *r.packed);
    for (ftc_id id = e->first; id < e->last; id++)
        if (ftc_node_class(&e->g->nodes[id]) == FTC_CLASS_DOT) r.dot_of[e->g->nodes[id].step] = id;
    place_in_scratch(&r);
    LLVMValueRef begin, end, most = ftc_cg_i64(cg, MOST_SEQUENCES);
    find_own(&r, &begin, &end);
    ftc_cg_if any = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, begin, end));
    for (int s = 0; s < r.n_steps; s++)
        if (r.dot_of[s]) emit_pack(&r, s);
    ftc_cg_loop groups = ftc_cg_loop_begin(cg, begin, end, most);
    r.first = groups.index;
    r.count = ftc_cg_min(cg, ftc_cg_sub(cg, end, groups.index), most);
    emit_group(&r);
    ftc_cg_loop_end(cg, &groups);
    ftc_cg_if_end(cg, &any);
    free(r.dot_of);
    free(r.packed);
}
