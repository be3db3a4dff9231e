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

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static int64_t round_up(int64_t a, int64_t b) {
    return (a + b - 1) / b * b;
}

ftc_contraction_plan ftc_contraction_plan_for(const ftc_target *target, ftc_gemm_kind kind, int64_t m,
                                              int64_t n, int64_t k) {
    ftc_gemm_shape shape = ftc_gemm_shape_for(target, kind);
    ftc_contraction_plan plan = {.kind = kind, .k_chunk = shape.k_chunk};
    int64_t k_bytes = (int64_t)sizeof(float) / shape.k_per_word; // of packed B, for each k and column
    int64_t panel_bytes = shape.cols * k_bytes, half_l2 = target->l2_bytes / 2;
    int64_t least = round_up(96, shape.cols); // fewer columns would read A too often
    plan.keep_b = k <= plan.k_chunk || k * least * k_bytes <= target->l2_bytes * 5 / 4;
    plan.packed_k = plan.keep_b ? k : plan.k_chunk;
    plan.cols = half_l2 / (max(plan.packed_k, 1) * panel_bytes) * shape.cols;
    plan.cols = min(max(plan.cols, least), 384 / shape.cols * shape.cols);
    plan.cols = min(plan.cols, round_up(n, shape.cols));
    plan.rows = min(plan.keep_b ? 128 : 1536, round_up(m, shape.rows));
    return plan;
}

// Bytes of scratch: packed B, then the buffer for rows of A, then the tile of C.
typedef struct {
    int64_t packed, buffer, tile;
} scratch_parts;

static scratch_parts parts_of(const ftc_contraction_plan *plan, const ftc_gemm_shape *shape,
                              ftc_gemm_form a) {
    return (scratch_parts){
        .packed = ftc_packed_size(shape, plan->packed_k, plan->cols) * (int64_t)sizeof(float),
        .buffer = ftc_gemm_buffer_bytes(shape, a, plan->k_chunk),
        .tile = plan->rows * plan->cols * (int64_t)sizeof(float),
    };
}

int64_t ftc_contraction_scratch_bytes(const ftc_target *target, const ftc_contraction_plan *plan,
                                      ftc_gemm_form a, bool has_epilogue) {
    ftc_gemm_shape shape = ftc_gemm_shape_for(target, plan->kind);
    scratch_parts parts = parts_of(plan, &shape, a);
    return round_up(parts.packed + parts.buffer + (has_epilogue ? parts.tile : 0), FTC_STEP_ALIGN);
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

static LLVMValueRef element(ftc_codegen *cg, ftc_gemm_form form, LLVMValueRef base, LLVMValueRef row,
                            LLVMValueRef ld, LLVMValueRef col) {
    LLVMTypeRef type = ftc_gemm_element_type(cg, form);
    return ftc_cg_at(cg, type, base, ftc_cg_add(cg, ftc_cg_mul(cg, row, ld), col));
}

void ftc_emit_contraction(ftc_codegen *cg, const ftc_contraction *x) {
    const ftc_contraction_plan *plan = &x->plan;
    ftc_gemm_shape shape = ftc_gemm_shape_for(cg->target, plan->kind);
    scratch_parts parts = parts_of(plan, &shape, x->a.form);
    assert(plan->cols % shape.cols == 0 && plan->k_chunk % (shape.k_per_word * shape.word_unit) == 0);
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

    LLVMValueRef buffer =
        parts.buffer ? ftc_cg_at(cg, cg->i8, x->scratch, ftc_cg_i64(cg, parts.packed)) : NULL;
    LLVMValueRef own_tile = ftc_cg_at(cg, cg->i8, x->scratch, ftc_cg_i64(cg, parts.packed + parts.buffer));
    LLVMValueRef a_row = x->a.transposed ? one : x->a.ld, a_col = x->a.transposed ? x->a.ld : one;
    LLVMValueRef k_chunk = ftc_cg_i64(cg, plan->k_chunk), k_end = ftc_cg_max(cg, x->k, one);

    ftc_cg_loop col = ftc_cg_loop_begin(cg, col_begin, col_end, ftc_cg_max(cg, block_cols, one));
    LLVMValueRef cols = ftc_cg_min(cg, block_cols, ftc_cg_sub(cg, col_end, col.index));
    ftc_cg_loop row = ftc_cg_loop_begin(cg, row_begin, row_end, ftc_cg_i64(cg, plan->rows));
    LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_i64(cg, plan->rows), ftc_cg_sub(cg, row_end, row.index));
    LLVMValueRef tile_ld = x->epilogue ? ftc_cg_i64(cg, plan->cols) : x->ldc;
    LLVMValueRef tile =
        x->epilogue ? own_tile : element(cg, FTC_FORM_F32, x->c, row.index, x->ldc, col.index);

    ftc_cg_loop chunk = ftc_cg_loop_begin(cg, zero, k_end, k_chunk); // once with k = 0: C is zero then
    LLVMValueRef depth = ftc_cg_min(cg, k_chunk, ftc_cg_sub(cg, x->k, chunk.index));
    ftc_matrix b = x->b;
    b.base = b.transposed ? element(cg, b.form, b.base, col.index, b.ld, chunk.index)
                          : element(cg, b.form, b.base, chunk.index, b.ld, col.index);
    LLVMValueRef kept = ftc_emit_packed_size(cg, &shape, chunk.index, cols); // chunks before
    LLVMValueRef packed = ftc_cg_at(cg, cg->f32, x->scratch, plan->keep_b ? kept : zero);
    LLVMValueRef first_tile = ftc_cg_compare(cg, LLVMIntEQ, row.index, row_begin);
    ftc_cg_if needed = ftc_cg_if_begin(cg, plan->keep_b ? first_tile : ftc_cg_bool(cg, true));
    ftc_emit_pack(cg, &shape, &b, depth, cols, packed);
    ftc_cg_if_end(cg, &needed);
    ftc_emit_block(
        cg, &(ftc_gemm_block){
                .kind = plan->kind,
                .m = rows,
                .n = cols,
                .k = depth,
                .a = element(cg, x->a.form, x->a.base, row.index, a_row, ftc_cg_mul(cg, chunk.index, a_col)),
                .a_row = a_row,
                .a_col = a_col,
                .a_form = x->a.form,
                .buffer = buffer,
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
