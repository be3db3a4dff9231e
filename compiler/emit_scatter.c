// Scatter kernels: rows added into a table at given indices (the gradient of an embedding).
//
// Destination row v belongs to thread v mod threads: this thread zeroes it and adds to it in token order, so
// that the result does not depend on the number of threads.
#include "compiler/emit.h"
#include "compiler/regions.h"
#include "ir/op.h"

void ftc_emit_scatter_kernel(ftc_emitter *e) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    ftc_id scatter = e->last - 1;
    const ftc_node *node = &g->nodes[scatter];
    ftc_id x = node->arg[0], indices = node->arg[1];
    ftc_axes result = ftc_axes_packed_order(g, &node->type.axes), table = ftc_axes_of(node->axis);
    ftc_axes cols = ftc_axes_minus(&result, &table);
    ftc_axes from = ftc_axes_packed_order(g, &g->nodes[indices].type.axes);
    int64_t width = ftc_region_constant_size(g, &cols);
    LLVMValueRef row_size = ftc_cg_i64(cg, width), base = e->storage[scatter].base;

    ftc_cg_loop rows = ftc_cg_loop_begin(cg, e->thread, ftc_emit_extent(e, node->axis, NULL), e->threads);
    LLVMValueRef row = ftc_cg_at(cg, cg->f32, base, ftc_cg_mul(cg, rows.index, row_size));
    LLVMBuildMemSet(cg->builder, row, LLVMConstInt(cg->i8, 0, 0), ftc_cg_i64(cg, width * 4), 4);
    ftc_cg_loop_end(cg, &rows);

    LLVMValueRef sequence = ftc_cg_variable(cg, cg->i64);
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), sequence);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), ftc_emit_total(e, &from), ftc_cg_i64(cg, 1));
    ftc_env env = ftc_env_empty(e);
    ftc_emit_bind_rows(e, &env, &from, loop.index, sequence);
    LLVMValueRef index = ftc_emit_value(e, indices, &env, NULL);
    index = LLVMBuildSExt(cg->builder, index, cg->i64, "");
    LLVMValueRef mine = ftc_cg_compare(cg, LLVMIntEQ, ftc_cg_rem(cg, index, e->threads), e->thread);
    if (node->index >= 0) {
        LLVMValueRef live = ftc_cg_compare(cg, LLVMIntNE, index, ftc_cg_i64(cg, node->index));
        mine = LLVMBuildAnd(cg->builder, mine, live, "");
    }
    ftc_cg_if owner = ftc_cg_if_begin(cg, mine);
    env.index[node->axis] = index;
    // One axis over the lanes, the others in loops of their own.
    ftc_cg_loop outer[FTC_MAX_AXES];
    for (int i = 0; i + 1 < cols.n; i++) {
        LLVMValueRef extent = ftc_emit_extent(e, cols.at[i], &env);
        outer[i] = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), extent, ftc_cg_i64(cg, 1));
        env.index[cols.at[i]] = outer[i].index;
    }
    int lanes = cols.n && ftc_axis_extent(g, cols.at[cols.n - 1])->bound % cg->lanes == 0 ? cg->lanes : 1;
    LLVMValueRef end = cols.n ? ftc_emit_extent(e, cols.at[cols.n - 1], &env) : ftc_cg_i64(cg, 1);
    ftc_cg_loop inner = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), end, ftc_cg_i64(cg, lanes));
    if (cols.n) {
        env.index[cols.at[cols.n - 1]] = inner.index;
        env.lanes = lanes;
        if (lanes > 1) env.vector_axis = cols.at[cols.n - 1];
    }
    LLVMValueRef v = ftc_emit_value(e, x, &env, NULL);
    if (ftc_cg_lanes_of(LLVMTypeOf(v)) != lanes) v = ftc_cg_splat(cg, v, lanes);
    ftc_emit_store(e, scatter, ftc_cg_fadd(cg, ftc_emit_load(e, scatter, &env), v), &env);
    ftc_cg_loop_end(cg, &inner);
    for (int i = cols.n - 2; i >= 0; i--) ftc_cg_loop_end(cg, &outer[i]);
    ftc_cg_if_end(cg, &owner);
    ftc_cg_loop_end(cg, &loop);
}
