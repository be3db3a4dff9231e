// Column kernels: reductions over rows (bias and LayerNorm gradients, a mean over tokens or sequences).
//
// The result's last axis is cut into vectors that the threads share; its other axes are work items as well. A
// thread adds all rows of its columns in order, in blocks of ROWS_PER_BLOCK whose sums are then added: the
// result does not depend on the number of threads, and its rounding error grows with the number of blocks
// instead of rows.
#include <stdlib.h>

#include "compiler/emit/emit.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

#define VECTORS_PER_ITEM 4
#define ROWS_PER_BLOCK   64

typedef struct {
    ftc_emitter *e;
    const ftc_kernel *kernel;
    ftc_env env;
    ftc_values values;
    LLVMValueRef *block, *total; // by node id: variables
    LLVMValueRef rows_in_block;  // variable, i64
} column_emitter;

static bool is_reduce(const column_emitter *c, ftc_id id) {
    return ftc_node_class(&c->e->g->nodes[id]) == FTC_CLASS_REDUCE;
}

static void flush_block(column_emitter *c) {
    ftc_emitter *e = c->e;
    LLVMTypeRef type = ftc_cg_vector_type(e->cg, e->cg->f32, c->env.lanes);
    for (ftc_id id = e->first; id < e->last; id++)
        if (is_reduce(c, id)) {
            LLVMValueRef total = ftc_cg_load(e->cg, type, c->total[id]);
            LLVMValueRef block = ftc_cg_load(e->cg, type, c->block[id]);
            ftc_cg_store(e->cg, ftc_emit_combine(e, id, total, block), c->total[id]);
            ftc_cg_store(e->cg, ftc_emit_reduce_identity(e, id, c->env.lanes), c->block[id]);
        }
    ftc_cg_store(e->cg, ftc_cg_i64(e->cg, 0), c->rows_in_block);
}

// Loops over the reduced axes from position i of kernel->rows; the innermost body accumulates.
static void emit_row_loops(column_emitter *c, int i) {
    ftc_emitter *e = c->e;
    ftc_codegen *cg = e->cg;
    if (i < c->kernel->rows.n) {
        ftc_axis axis = c->kernel->rows.at[i];
        LLVMValueRef extent = ftc_emit_extent(e, axis, &c->env);
        ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), extent, ftc_cg_i64(cg, 1));
        c->env.index[axis] = loop.index;
        emit_row_loops(c, i + 1);
        ftc_cg_loop_end(cg, &loop);
        return;
    }
    ftc_values_clear_vectors(e, &c->values);
    for (ftc_id id = e->first; id < e->last; id++)
        if (is_reduce(c, id)) ftc_emit_accumulate(e, id, c->block[id], &c->env, &c->values);
    LLVMValueRef n = ftc_cg_add(cg, ftc_cg_load(cg, cg->i64, c->rows_in_block), ftc_cg_i64(cg, 1));
    ftc_cg_store(cg, n, c->rows_in_block);
    ftc_cg_if full = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntEQ, n, ftc_cg_i64(cg, ROWS_PER_BLOCK)));
    flush_block(c);
    ftc_cg_if_end(cg, &full);
}

// The columns that env binds: reduce, then what is computed from the sums.
static void emit_item(column_emitter *c) {
    ftc_emitter *e = c->e;
    ftc_codegen *cg = e->cg;
    LLVMTypeRef type = ftc_cg_vector_type(cg, cg->f32, c->env.lanes);
    for (ftc_id id = e->first; id < e->last; id++)
        if (is_reduce(c, id)) {
            if (!c->block[id]) {
                c->block[id] = ftc_cg_variable(cg, type);
                c->total[id] = ftc_cg_variable(cg, type);
            }
            ftc_cg_store(cg, ftc_emit_reduce_identity(e, id, c->env.lanes), c->block[id]);
            ftc_cg_store(cg, ftc_emit_reduce_identity(e, id, c->env.lanes), c->total[id]);
        }
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), c->rows_in_block);
    c->values.in_loop = true;
    emit_row_loops(c, 0);
    flush_block(c);
    for (int i = 0; i < c->kernel->rows.n; i++) c->env.index[c->kernel->rows.at[i]] = NULL;
    ftc_values_clear_vectors(e, &c->values);
    for (ftc_id id = e->first; id < e->last; id++)
        if (is_reduce(c, id)) c->values.vector[id] = ftc_cg_load(cg, type, c->total[id]);
    for (int assigns = 0; assigns <= 1;
         assigns++) // the old value is read by everybody before it is overwritten
        for (ftc_id id = e->first; id < e->last; id++) {
            if (e->storage[id].kind == FTC_STORED_NOWHERE) continue;
            if ((ftc_node_class(&e->g->nodes[id]) == FTC_CLASS_ASSIGN) != assigns) continue;
            ftc_emit_store(e, id, ftc_emit_value(e, id, &c->env, &c->values), &c->env);
        }
}

void ftc_emit_columns_kernel(ftc_emitter *e) {
    ftc_codegen *cg = e->cg;
    column_emitter c = {.e = e, .kernel = &e->g->kernels[e->kernel], .values = ftc_values_new(e)};
    c.block = ftc_alloc(e->g->n_nodes, sizeof *c.block);
    c.total = ftc_alloc(e->g->n_nodes, sizeof *c.total);
    c.rows_in_block = ftc_cg_variable(cg, cg->i64);
    ftc_axes outer = c.kernel->cols;
    ftc_axis last = outer.n ? outer.at[outer.n - 1] : FTC_NO_AXIS;
    if (outer.n) outer.n--;
    int64_t bound = last == FTC_NO_AXIS ? 1 : ftc_axis_extent(e->g, last)->bound;
    // Of a ragged last axis each item has as many vectors as the bound has; some are beyond its extent. The
    // batch axis goes one by one when the rows are ragged over it: their number differs.
    bool ragged = last != FTC_NO_AXIS && ftc_axis_over(e->g, last) != FTC_NO_AXIS;
    bool single = last == FTC_NO_AXIS || (!ragged && ftc_region_is_token_axis(e->g, &c.kernel->rows, last));
    if (single && last != FTC_NO_AXIS) ftc_axes_add(&outer, last);
    int lanes = cg->lanes * VECTORS_PER_ITEM;
    if (lanes > FTC_CG_MAX_LANES) lanes = FTC_CG_MAX_LANES;
    while (lanes > 1 && lanes / 2 >= bound) lanes /= 2;
    if (single) lanes = 1;

    LLVMValueRef extent = single   ? ftc_cg_i64(cg, 1)
                          : ragged ? ftc_cg_i64(cg, bound)
                                   : ftc_emit_extent(e, last, NULL);
    LLVMValueRef per_outer = lanes > 1 ? ftc_cg_ceil_div(cg, extent, lanes) : extent;
    LLVMValueRef begin, end, sequence = ftc_cg_variable(cg, cg->i64);
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), sequence);
    ftc_emit_split(e, ftc_cg_mul(cg, ftc_emit_total(e, &outer), per_outer), &begin, &end);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, begin, end, ftc_cg_i64(cg, 1));
    c.env = ftc_env_empty(e);
    if (outer.n) ftc_emit_bind_rows(e, &c.env, &outer, ftc_cg_div(cg, loop.index, per_outer), sequence);
    ftc_cg_if inside = {0};
    if (!single) {
        LLVMValueRef first = ftc_cg_mul(cg, ftc_cg_rem(cg, loop.index, per_outer), ftc_cg_i64(cg, lanes));
        c.env.index[last] = first;
        if (ragged) {
            extent = ftc_emit_extent(e, last, &c.env);
            inside = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, first, extent));
        }
        if (lanes > 1) {
            c.env.vector_axis = last;
            c.env.lanes = lanes;
            if (bound % lanes || ftc_axis_extent(e->g, last)->kind != FTC_EXTENT_CONST)
                c.env.mask = ftc_cg_tail_mask(cg, ftc_cg_sub(cg, extent, first), lanes);
        }
    }
    emit_item(&c);
    if (ragged) ftc_cg_if_end(cg, &inside);
    ftc_cg_loop_end(cg, &loop);
    ftc_values_free(&c.values);
    free(c.block);
    free(c.total);
}
