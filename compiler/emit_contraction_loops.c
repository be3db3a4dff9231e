// A contraction, cut for threads, caches and registers.
//
//     threads      the micro-kernel blocks of C form a grid, row blocks × panels; it is cut into row ranges ×
//     column
//                  ranges, one a thread, in the proportion that gives the busiest thread the least to do
//     columns      of the thread's range, plan.cols at a time
//       rows       of the thread's range, plan.rows at a time: one tile of C
//         k        plan.k_chunk at a time: B[chunk × cols] is packed into scratch (once for all rows with
//         keep_b), and
//                  the block product adds A[rows × chunk] · B to the tile
//         epilogue consumes the tile
//
// Packed B is what stays in L2; rows of A pass through L1, 8 × k_chunk at a time, and are read where they
// are: broadcasts of single elements cost the same at any stride. C's tile is touched once per chunk, little
// enough to leave L2.
//
// With keep_b (k is small or known) each column of B is packed once per thread and tiles are short, so that
// they are in L2 when the epilogue reads them. Without (k is the tokens of a batch, however many) tiles are
// tall, so that packing B again for each of them costs under one percent of the product.
//
// A result does not depend on the cut: each element of C is summed over k in chunks that start at multiples
// of k_chunk.
#include "compiler/emit_contraction_loops.h"

#include <assert.h>

#include "compiler/emit_gemm.h"

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static int64_t round_up(int64_t a, int64_t b) {
    return (a + b - 1) / b * b;
}

ftc_contraction_plan ftc_contraction_plan_for(const ftc_target *target, int64_t m, int64_t n, int64_t k) {
    ftc_gemm_shape shape = ftc_gemm_shape_for(target);
    ftc_contraction_plan plan = {.k_chunk = shape.k_chunk};
    int64_t panel_bytes = shape.cols * (int64_t)sizeof(float), half_l2 = target->l2_bytes / 2;
    int64_t least = round_up(96, shape.cols); // fewer columns would read A too often
    plan.keep_b = k <= plan.k_chunk || k * least * (int64_t)sizeof(float) <= target->l2_bytes * 5 / 4;
    plan.packed_k = plan.keep_b ? k : plan.k_chunk;
    plan.cols = half_l2 / (max(plan.packed_k, 1) * panel_bytes) * shape.cols;
    plan.cols = min(max(plan.cols, least), 384 / shape.cols * shape.cols);
    plan.cols = min(plan.cols, round_up(n, shape.cols));
    plan.rows = min(plan.keep_b ? 128 : 1536, round_up(m, shape.rows));
    return plan;
}

int64_t ftc_contraction_scratch_bytes(const ftc_contraction_plan *plan, bool has_epilogue) {
    int64_t floats = plan->packed_k * plan->cols + (has_epilogue ? plan->rows * plan->cols : 0);
    return round_up(floats * (int64_t)sizeof(float), FTC_STEP_ALIGN);
}

// i64 ftc.gemm.row_ranges(row_blocks, panels, threads): into how many row ranges C is cut; there are threads
// / that column ranges. Tries all and takes the one whose largest range costs least: its blocks, and a row or
// column of blocks more for reading A and packing B.
static LLVMValueRef row_ranges_function(ftc_codegen *cg) {
    LLVMValueRef found = ftc_cg_function_find(cg, "ftc.gemm.row_ranges");
    if (found) return found;
    LLVMTypeRef params[] = {cg->i64, cg->i64, cg->i64};
    ftc_cg_function f =
        ftc_cg_function_begin(cg, "ftc.gemm.row_ranges", cg->i64, params, 3, FTC_CG_OUTLINED, false);
    LLVMValueRef row_blocks = LLVMGetParam(f.function, 0), panels = LLVMGetParam(f.function, 1);
    LLVMValueRef threads = LLVMGetParam(f.function, 2), one = ftc_cg_i64(cg, 1);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, one, ftc_cg_add(cg, threads, one), one);
    LLVMValueRef best = ftc_cg_loop_carry(cg, &loop, one);
    LLVMValueRef least = ftc_cg_loop_carry(cg, &loop, ftc_cg_i64(cg, INT64_MAX));
    LLVMValueRef row_ranges = loop.index, col_ranges = ftc_cg_div(cg, threads, row_ranges), range[2], cost;
    for (int i = 0; i < 2; i++) { // the larger halves, rounded up, and one
        LLVMValueRef extent = i ? panels : row_blocks, ranges = i ? col_ranges : row_ranges;
        range[i] = ftc_cg_div(cg, ftc_cg_add(cg, extent, ftc_cg_sub(cg, ranges, one)), ranges);
        range[i] = ftc_cg_add(cg, range[i], one);
    }
    cost = ftc_cg_mul(cg, range[0], range[1]);
    LLVMValueRef better = ftc_cg_compare(cg, LLVMIntSLT, cost, least);
    ftc_cg_loop_next(&loop, best, ftc_cg_select(cg, better, row_ranges, best));
    ftc_cg_loop_next(&loop, least, ftc_cg_select(cg, better, cost, least));
    ftc_cg_loop_end(cg, &loop);
    ftc_cg_function_end(cg, f, ftc_cg_loop_result(&loop, best));
    return f.function;
}

// The part of 0 … extent - 1 that range `i` of `ranges` has, when each has whole multiples of `unit`. Ranges
// beyond the last are empty.
static void cut_range(ftc_codegen *cg, LLVMValueRef extent, int64_t unit, LLVMValueRef i, LLVMValueRef ranges,
                      LLVMValueRef *first, LLVMValueRef *end) {
    LLVMValueRef units = ftc_cg_ceil_div(cg, extent, unit), next = ftc_cg_add(cg, i, ftc_cg_i64(cg, 1));
    LLVMValueRef bound[2] = {i, next};
    for (int e = 0; e < 2; e++) {
        bound[e] = ftc_cg_div(cg, ftc_cg_mul(cg, bound[e], units), ranges);
        bound[e] = ftc_cg_min(cg, ftc_cg_mul(cg, bound[e], ftc_cg_i64(cg, unit)), extent);
    }
    *first = bound[0];
    *end = bound[1];
}

static LLVMValueRef element(ftc_codegen *cg, LLVMValueRef base, LLVMValueRef row, LLVMValueRef ld,
                            LLVMValueRef col) {
    return ftc_cg_at(cg, cg->f32, base, ftc_cg_add(cg, ftc_cg_mul(cg, row, ld), col));
}

void ftc_emit_contraction(ftc_codegen *cg, const ftc_contraction *x) {
    const ftc_contraction_plan *plan = &x->plan;
    ftc_gemm_shape shape = ftc_gemm_shape_for(cg->target);
    assert(plan->cols % shape.cols == 0);
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);

    // This thread's rows and columns of C.
    LLVMValueRef row_blocks = ftc_cg_ceil_div(cg, x->m, shape.rows),
                 panels = ftc_cg_ceil_div(cg, x->n, shape.cols);
    LLVMValueRef row_ranges =
        ftc_cg_call(cg, row_ranges_function(cg), (LLVMValueRef[]){row_blocks, panels, x->threads}, 3);
    LLVMValueRef col_ranges = ftc_cg_div(cg, x->threads, row_ranges);
    LLVMValueRef row_begin, row_end, col_begin, col_end;
    cut_range(cg, x->m, shape.rows, ftc_cg_rem(cg, x->thread, row_ranges), row_ranges, &row_begin, &row_end);
    cut_range(cg, x->n, shape.cols, ftc_cg_div(cg, x->thread, row_ranges), col_ranges, &col_begin, &col_end);
    LLVMValueRef works = ftc_cg_compare(cg, LLVMIntSLT, x->thread, ftc_cg_mul(cg, row_ranges, col_ranges));
    row_end = ftc_cg_select(cg, works, row_end, row_begin);

    // Column blocks of the same width, as far as panels allow.
    LLVMValueRef range_panels = ftc_cg_ceil_div(cg, ftc_cg_sub(cg, col_end, col_begin), shape.cols);
    LLVMValueRef blocks = ftc_cg_max(cg, ftc_cg_ceil_div(cg, range_panels, plan->cols / shape.cols), one);
    LLVMValueRef block_panels =
        ftc_cg_div(cg, ftc_cg_add(cg, range_panels, ftc_cg_sub(cg, blocks, one)), blocks);
    LLVMValueRef block_cols = ftc_cg_mul(cg, block_panels, ftc_cg_i64(cg, shape.cols));

    LLVMValueRef own_tile = ftc_cg_at(cg, cg->f32, x->scratch, ftc_cg_i64(cg, plan->packed_k * plan->cols));
    LLVMValueRef a_row = x->a.transposed ? one : x->a.ld, a_col = x->a.transposed ? x->a.ld : one;
    LLVMValueRef k_chunk = ftc_cg_i64(cg, plan->k_chunk), k_end = ftc_cg_max(cg, x->k, one);

    ftc_cg_loop col = ftc_cg_loop_begin(cg, col_begin, col_end, ftc_cg_max(cg, block_cols, one));
    LLVMValueRef cols = ftc_cg_min(cg, block_cols, ftc_cg_sub(cg, col_end, col.index));
    ftc_cg_loop row = ftc_cg_loop_begin(cg, row_begin, row_end, ftc_cg_i64(cg, plan->rows));
    LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_i64(cg, plan->rows), ftc_cg_sub(cg, row_end, row.index));
    LLVMValueRef tile_ld = x->epilogue ? ftc_cg_i64(cg, plan->cols) : x->ldc;
    LLVMValueRef tile = x->epilogue ? own_tile : element(cg, x->c, row.index, x->ldc, col.index);

    ftc_cg_loop chunk = ftc_cg_loop_begin(cg, zero, k_end, k_chunk); // once with k = 0: C is zero then
    LLVMValueRef depth = ftc_cg_min(cg, k_chunk, ftc_cg_sub(cg, x->k, chunk.index));
    LLVMValueRef b_at = x->b.transposed ? element(cg, x->b.base, col.index, x->b.ld, chunk.index)
                                        : element(cg, x->b.base, chunk.index, x->b.ld, col.index);
    LLVMValueRef kept = ftc_cg_mul(cg, chunk.index, ftc_cg_round_up(cg, cols, shape.cols)); // chunks before
    LLVMValueRef packed = ftc_cg_at(cg, cg->f32, x->scratch, plan->keep_b ? kept : zero);
    LLVMValueRef first_tile = ftc_cg_compare(cg, LLVMIntEQ, row.index, row_begin);
    ftc_cg_if needed = ftc_cg_if_begin(cg, plan->keep_b ? first_tile : ftc_cg_bool(cg, true));
    ftc_emit_pack(cg, x->b.transposed, b_at, x->b.ld, depth, cols, packed);
    ftc_cg_if_end(cg, &needed);
    ftc_emit_block(cg, &(ftc_gemm_block){
                           .m = rows,
                           .n = cols,
                           .k = depth,
                           .a = element(cg, x->a.base, row.index, a_row, ftc_cg_mul(cg, chunk.index, a_col)),
                           .a_row = a_row,
                           .a_col = a_col,
                           .b = packed,
                           .c = tile,
                           .ldc = tile_ld,
                           .accumulate = ftc_cg_compare(cg, LLVMIntNE, chunk.index, zero),
                       });
    ftc_cg_loop_end(cg, &chunk);
    if (x->epilogue) x->epilogue(x->context, cg, tile, tile_ld, row.index, rows, col.index, cols);
    ftc_cg_loop_end(cg, &row);
    ftc_cg_loop_end(cg, &col);
}
