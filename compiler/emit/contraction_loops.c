// A contraction, cut for threads, caches and registers.
//
//     threads      the micro-kernel blocks of C form a grid, row blocks × panels; it is cut into row ranges ×
//                  column ranges, one a thread, in the proportion that leaves the busiest thread the least
//     columns      of the thread's range, plan.cols at a time
//       rows       of the thread's range, plan.rows at a time: one tile of C
//         k        plan.k_chunk at a time: B[chunk × cols] is packed into scratch (once for all rows with
//                  keep_b), and the block product adds A[rows × chunk] · B to the tile
//         epilogue consumes the tile, a few rows at a time, as soon as their last chunk is added: they are in
//                  the cache then
//
// Packed B is what stays in L2; rows of A pass through L1, 8 × k_chunk at a time, and are read where they are
// unless their columns crowd the cache (compiler/emit/gemm.h). C's tile is touched once per chunk, little
// enough to leave L2.
//
// With keep_b (k is small or known) each column of B is packed once per thread and tiles are short, so that
// they stay in L2 from chunk to chunk. Without (k is the tokens of a batch, however many) tiles are
// tall, so that packing B again for each of them costs under one percent of the product.
//
// A result does not depend on the cut: each element of C is summed over k in chunks that start at multiples
// of k_chunk.
#include "compiler/emit/contraction_loops.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    EPILOGUE_ROWS = 32, // at once, or as many more as whole blocks have
    // What a thread pays besides its blocks of C, counted in blocks:
    READING_A = 1, // for each row of blocks
    PACKING_B = 4, // for each panel
};

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static int64_t round_up(int64_t a, int64_t b) {
    return (a + b - 1) / b * b;
}

// --- plans --------------------------------------------------------------------------------------------

// The cuts that suit extents up to (m, n, k), for a block of C that is given.
static ftc_contraction_plan plan_for_shape(const ftc_target *target, ftc_gemm_shape shape, int64_t m,
                                           int64_t n, int64_t k) {
    ftc_contraction_plan plan = {.shape = shape, .k_chunk = shape.k_chunk};
    int64_t k_bytes = (int64_t)sizeof(float) / shape.k_per_word; // of packed B, for each k and column
    int64_t panel_bytes = shape.cols * k_bytes, half_l2 = target->l2_bytes / 2;
    int64_t least = round_up(192, shape.cols); // fewer columns would read A too often
    plan.keep_b = k <= plan.k_chunk || k * least * k_bytes <= target->l2_bytes * 5 / 4;
    plan.packed_k = plan.keep_b ? k : plan.k_chunk;
    plan.cols = half_l2 / (max(plan.packed_k, 1) * panel_bytes) * shape.cols;
    plan.cols = min(max(plan.cols, least), 384 / shape.cols * shape.cols);
    plan.cols = min(plan.cols, round_up(n, shape.cols));
    int64_t most = round_up(plan.keep_b ? 128 : 1536, shape.rows * shape.together);
    plan.rows = min(most, round_up(m, shape.rows));
    return plan;
}

// By AMX a chunk of A and one of a panel fit in L1 together at half of the shape's chunk. That is better but
// where k is tokens, many: each chunk more goes over C once more.
static ftc_gemm_shape default_shape(const ftc_target *target, const ftc_contraction_case *c) {
    ftc_gemm_shape shape = ftc_gemm_shape_for(target, ftc_gemm_kind_for(target, c->a, c->b));
    if (shape.kind == FTC_GEMM_AMX && !c->extents[2]) shape.k_chunk /= 2;
    return shape;
}

ftc_contraction_plan ftc_contraction_plan_for(const ftc_target *target, const ftc_contraction_case *c) {
    return plan_for_shape(target, default_shape(target, c), c->m, c->n, c->k);
}

void ftc_contraction_case_text(const ftc_contraction_case *c, char text[FTC_CONTRACTION_TEXT]) {
    static const char *const forms[] = {"", ".bf16", ".rounded"};
    const int64_t bounds[3] = {c->m, c->n, c->k};
    char extent[3][24];
    for (int i = 0; i < 3; i++) {
        if (c->extents[i])
            snprintf(extent[i], sizeof extent[i], "%s", c->extents[i]);
        else
            snprintf(extent[i], sizeof extent[i], "%lld", (long long)bounds[i]);
    }
    snprintf(text, FTC_CONTRACTION_TEXT, "%s: %s x %s, sum of %s, a%s%s, b%s%s%s", c->role, extent[0],
             extent[1], extent[2], forms[c->a], c->a_transposed ? ".t" : "", forms[c->b],
             c->b_transposed ? ".t" : "", c->has_epilogue ? ", epilogue" : "");
}

void ftc_contraction_plan_text(const ftc_contraction_plan *plan, char text[FTC_CONTRACTION_TEXT]) {
    snprintf(text, FTC_CONTRACTION_TEXT, "%dx%d, tile %lldx%lld, k %lld, %s b", plan->shape.rows,
             plan->shape.vectors, (long long)plan->rows, (long long)plan->cols, (long long)plan->k_chunk,
             plan->keep_b ? "keep" : "repack");
}

bool ftc_contraction_plan_parse(const ftc_target *target, const ftc_contraction_case *c, const char *text,
                                ftc_contraction_plan *plan, const char **why) {
    ftc_contraction_plan p = {.shape = default_shape(target, c)};
    long long tile_rows, tile_cols, k_chunk;
    int rows, vectors, end = 0;
    char word[8];
    if (sscanf(text, "%dx%d, tile %lldx%lld, k %lld, %7s b%n", &rows, &vectors, &tile_rows, &tile_cols,
               &k_chunk, word, &end) != 6 ||
        !end || text[end] || (strcmp(word, "keep") && strcmp(word, "repack"))) {
        *why = "it is no plan, as \"8x3, tile 128x384, k 384, keep b\"";
        return false;
    }
    if (!ftc_gemm_shape_resize(target, &p.shape, rows, vectors)) {
        *why = "the registers cannot hold its block";
        return false;
    }
    if (tile_rows < 1 || tile_cols < 1 || tile_cols % p.shape.cols) {
        *why = "its tile's columns are no multiple of the block's";
        return false;
    }
    if (k_chunk < 1 || k_chunk % (p.shape.k_per_word * p.shape.word_unit)) {
        *why = "its chunk of k is cut within a word";
        return false;
    }
    p.rows = min(tile_rows, round_up(c->m, p.shape.rows));
    p.cols = min(tile_cols, round_up(c->n, p.shape.cols));
    p.k_chunk = k_chunk;
    // The plan may have been made for smaller batches: what is kept must fit a few caches.
    p.keep_b = !strcmp(word, "keep") && c->k * p.cols * (int64_t)sizeof(float) <= 4 * target->l2_bytes;
    p.packed_k = p.keep_b ? c->k : p.k_chunk;
    *plan = p;
    return true;
}

// --- code ---------------------------------------------------------------------------------------------

// Bytes of scratch: packed B, then the buffer for rows of A, then the tile of C.
typedef struct {
    int64_t packed, buffer, tile;
} scratch_parts;

static scratch_parts parts_of(const ftc_contraction_plan *plan, const ftc_matrix *a) {
    return (scratch_parts){
        .packed = ftc_packed_size(&plan->shape, plan->packed_k, plan->cols) * (int64_t)sizeof(float),
        .buffer = round_up(ftc_gemm_buffer_bytes(&plan->shape, a, plan->k_chunk), FTC_STEP_ALIGN),
        .tile = plan->rows * plan->cols * (int64_t)sizeof(float),
    };
}

int64_t ftc_contraction_scratch_bytes(const ftc_contraction_plan *plan, const ftc_matrix *a,
                                      bool has_epilogue) {
    scratch_parts parts = parts_of(plan, a);
    return round_up(parts.packed + parts.buffer + (has_epilogue ? parts.tile : 0), FTC_STEP_ALIGN);
}

// i64 ftc.gemm.row_ranges(row_blocks, panels, threads): into how many row ranges C is cut; there are threads
// / that column ranges. Tries all and takes the one whose largest range costs least: its blocks, a column of
// blocks more for reading A and a few rows of blocks more for packing B.
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
    for (int i = 0; i < 2; i++) { // the larger parts, rounded up, and what comes besides
        LLVMValueRef extent = i ? panels : row_blocks, ranges = i ? col_ranges : row_ranges;
        range[i] = ftc_cg_div(cg, ftc_cg_add(cg, extent, ftc_cg_sub(cg, ranges, one)), ranges);
        range[i] = ftc_cg_add(cg, range[i], ftc_cg_i64(cg, i ? READING_A : PACKING_B));
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

// The rows and columns of C that a thread has.
typedef struct {
    LLVMValueRef row_begin, row_end, col_begin, col_end;
} thread_range;

static thread_range range_of_thread(ftc_codegen *cg, const ftc_contraction *x) {
    const ftc_gemm_shape *shape = &x->plan.shape;
    LLVMValueRef row_blocks = ftc_cg_ceil_div(cg, x->m, shape->rows);
    LLVMValueRef panels = ftc_cg_ceil_div(cg, x->n, shape->cols);
    LLVMValueRef row_ranges =
        ftc_cg_call(cg, row_ranges_function(cg), (LLVMValueRef[]){row_blocks, panels, x->threads}, 3);
    LLVMValueRef col_ranges = ftc_cg_div(cg, x->threads, row_ranges);
    thread_range r;
    cut_range(cg, x->m, shape->rows, ftc_cg_rem(cg, x->thread, row_ranges), row_ranges, &r.row_begin,
              &r.row_end);
    cut_range(cg, x->n, shape->cols, ftc_cg_div(cg, x->thread, row_ranges), col_ranges, &r.col_begin,
              &r.col_end);
    LLVMValueRef works = ftc_cg_compare(cg, LLVMIntSLT, x->thread, ftc_cg_mul(cg, row_ranges, col_ranges));
    r.row_end = ftc_cg_select(cg, works, r.row_end, r.row_begin);
    return r;
}

// How many columns at a time: column blocks of the same width, as far as panels allow.
static LLVMValueRef columns_at_once(ftc_codegen *cg, const ftc_contraction_plan *plan,
                                    const thread_range *range) {
    int cols = plan->shape.cols;
    LLVMValueRef one = ftc_cg_i64(cg, 1);
    LLVMValueRef panels = ftc_cg_ceil_div(cg, ftc_cg_sub(cg, range->col_end, range->col_begin), cols);
    LLVMValueRef blocks = ftc_cg_max(cg, ftc_cg_ceil_div(cg, panels, plan->cols / cols), one);
    LLVMValueRef block_panels = ftc_cg_div(cg, ftc_cg_add(cg, panels, ftc_cg_sub(cg, blocks, one)), blocks);
    return ftc_cg_mul(cg, block_panels, ftc_cg_i64(cg, cols));
}

// A tile of C: rows row0 … row0 + rows - 1 and columns col0 … col0 + cols - 1 of it are at `base`.
typedef struct {
    LLVMValueRef base, ld, row0, rows, col0, cols;
} c_tile;

// B[chunk … chunk + depth × the tile's columns], packed into scratch: once for all rows from first_row on
// when it is kept, else for each tile.
static LLVMValueRef pack_chunk(ftc_codegen *cg, const ftc_contraction *x, const c_tile *tile,
                               LLVMValueRef first_row, LLVMValueRef chunk, LLVMValueRef depth) {
    const ftc_contraction_plan *plan = &x->plan;
    ftc_matrix b = x->b;
    b.base = b.transposed ? element(cg, b.form, b.base, tile->col0, b.ld, chunk)
                          : element(cg, b.form, b.base, chunk, b.ld, tile->col0);
    LLVMValueRef kept = ftc_emit_packed_size(cg, &plan->shape, chunk, tile->cols); // chunks before
    LLVMValueRef packed = ftc_cg_at(cg, cg->f32, x->scratch, plan->keep_b ? kept : ftc_cg_i64(cg, 0));
    LLVMValueRef is_first = ftc_cg_compare(cg, LLVMIntEQ, tile->row0, first_row);
    ftc_cg_if needed = ftc_cg_if_begin(cg, plan->keep_b ? is_first : ftc_cg_bool(cg, true));
    ftc_emit_pack(cg, &plan->shape, &b, depth, tile->cols, packed);
    ftc_cg_if_end(cg, &needed);
    return packed;
}

// tile += A[the tile's rows × chunk … chunk + depth] · packed B. With the last chunk the rows are finished,
// and the epilogue consumes them, a few at a time.
static void add_chunk(ftc_codegen *cg, const ftc_contraction *x, const c_tile *tile, LLVMValueRef packed,
                      LLVMValueRef buffer, LLVMValueRef chunk, LLVMValueRef depth) {
    const ftc_contraction_plan *plan = &x->plan;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), chunk_end = ftc_cg_add(cg, chunk, ftc_cg_i64(cg, plan->k_chunk));
    LLVMValueRef last = ftc_cg_compare(cg, LLVMIntSGE, chunk_end, x->k);
    LLVMValueRef step = ftc_cg_max(cg, tile->rows, ftc_cg_i64(cg, 1));
    if (x->epilogue) {
        LLVMValueRef few = ftc_cg_i64(cg, round_up(EPILOGUE_ROWS, plan->shape.rows));
        step = ftc_cg_select(cg, last, few, step);
    }
    ftc_cg_loop group = ftc_cg_loop_begin(cg, zero, tile->rows, step);
    LLVMValueRef rows = ftc_cg_min(cg, step, ftc_cg_sub(cg, tile->rows, group.index));
    LLVMValueRef row0 = ftc_cg_add(cg, tile->row0, group.index);
    LLVMValueRef c = ftc_cg_at(cg, cg->f32, tile->base, ftc_cg_mul(cg, group.index, tile->ld));
    ftc_matrix a = x->a;
    a.base = a.transposed ? element(cg, a.form, a.base, chunk, a.ld, row0)
                          : element(cg, a.form, a.base, row0, a.ld, chunk);
    ftc_gemm_soon soon = x->soon;
    for (int i = 0; i < soon.n; i++)
        soon.base[i] = element(cg, soon.form, soon.base[i], row0, soon.ld, tile->col0);
    ftc_emit_block(cg, &(ftc_gemm_block){
                           .shape = plan->shape,
                           .m = rows,
                           .n = tile->cols,
                           .k = depth,
                           .a = a,
                           .buffer = buffer,
                           .b = packed,
                           .c = c,
                           .ldc = tile->ld,
                           .accumulate = ftc_cg_compare(cg, LLVMIntNE, chunk, zero),
                           .soon = soon,
                           .is_last = last,
                       });
    if (x->epilogue) {
        ftc_cg_if finished = ftc_cg_if_begin(cg, last);
        x->epilogue(x->context, cg, c, tile->ld, row0, rows, tile->col0, tile->cols);
        ftc_cg_if_end(cg, &finished);
    }
    ftc_cg_loop_end(cg, &group);
}

void ftc_emit_contraction(ftc_codegen *cg, const ftc_contraction *x) {
    const ftc_contraction_plan *plan = &x->plan;
    const ftc_gemm_shape *shape = &plan->shape;
    scratch_parts parts = parts_of(plan, &x->a);
    assert(plan->cols % shape->cols == 0 && plan->k_chunk % (shape->k_per_word * shape->word_unit) == 0);
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);

    thread_range range = range_of_thread(cg, x);
    LLVMValueRef cols_at_once = columns_at_once(cg, plan, &range);
    LLVMValueRef buffer =
        parts.buffer ? ftc_cg_at(cg, cg->i8, x->scratch, ftc_cg_i64(cg, parts.packed)) : NULL;
    LLVMValueRef own_tile = ftc_cg_at(cg, cg->i8, x->scratch, ftc_cg_i64(cg, parts.packed + parts.buffer));
    LLVMValueRef rows_at_once = ftc_cg_i64(cg, plan->rows), k_at_once = ftc_cg_i64(cg, plan->k_chunk);
    LLVMValueRef k_end = ftc_cg_max(cg, x->k, one); // a chunk even with k = 0: C is zero then

    ftc_cg_loop col =
        ftc_cg_loop_begin(cg, range.col_begin, range.col_end, ftc_cg_max(cg, cols_at_once, one));
    c_tile tile = {.ld = x->epilogue ? ftc_cg_i64(cg, plan->cols) : x->ldc, .col0 = col.index};
    tile.cols = ftc_cg_min(cg, cols_at_once, ftc_cg_sub(cg, range.col_end, col.index));
    ftc_cg_loop row = ftc_cg_loop_begin(cg, range.row_begin, range.row_end, rows_at_once);
    tile.row0 = row.index;
    tile.rows = ftc_cg_min(cg, rows_at_once, ftc_cg_sub(cg, range.row_end, row.index));
    tile.base = x->epilogue ? own_tile : element(cg, FTC_FORM_F32, x->c, row.index, x->ldc, col.index);
    ftc_cg_loop chunk = ftc_cg_loop_begin(cg, zero, k_end, k_at_once);
    LLVMValueRef depth = ftc_cg_min(cg, k_at_once, ftc_cg_sub(cg, x->k, chunk.index));
    LLVMValueRef packed = pack_chunk(cg, x, &tile, range.row_begin, chunk.index, depth);
    add_chunk(cg, x, &tile, packed, buffer, chunk.index, depth);
    ftc_cg_loop_end(cg, &chunk);
    ftc_cg_loop_end(cg, &row);
    ftc_cg_loop_end(cg, &col);
}

// --- alone --------------------------------------------------------------------------------------------

typedef struct {
    LLVMValueRef c, ldc;
} copy_target;

static void copy_tile(void *context, ftc_codegen *cg, LLVMValueRef tile, LLVMValueRef tile_ld,
                      LLVMValueRef row0, LLVMValueRef rows, LLVMValueRef col0, LLVMValueRef cols) {
    copy_target *to = context;
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, cg->lanes);
    LLVMValueRef zero = ftc_cg_i64(cg, 0);
    ftc_cg_loop row = ftc_cg_loop_begin(cg, zero, rows, ftc_cg_i64(cg, 1));
    LLVMValueRef from = ftc_cg_at(cg, cg->f32, tile, ftc_cg_mul(cg, row.index, tile_ld));
    LLVMValueRef into = element(cg, FTC_FORM_F32, to->c, ftc_cg_add(cg, row0, row.index), to->ldc, col0);
    ftc_cg_loop col = ftc_cg_loop_begin(cg, zero, cols, ftc_cg_i64(cg, cg->lanes));
    LLVMValueRef value = ftc_cg_load(cg, vector, ftc_cg_at(cg, cg->f32, from, col.index));
    ftc_cg_store(cg, value, ftc_cg_at(cg, cg->f32, into, col.index));
    ftc_cg_loop_end(cg, &col);
    ftc_cg_loop_end(cg, &row);
}

int64_t ftc_emit_contraction_alone(ftc_codegen *cg, const char *symbol, const ftc_contraction_case *c,
                                   const ftc_contraction_plan *plan) {
    LLVMTypeRef params[] = {cg->i64, cg->i64, cg->i64, cg->ptr, cg->ptr, cg->ptr, cg->ptr, cg->i64, cg->i64};
    ftc_cg_function f = ftc_cg_function_begin(cg, symbol, cg->void_type, params, 9, FTC_CG_EXPORTED, false);
    LLVMValueRef arg[9], extent[3];
    LLVMGetParams(f.function, arg);
    const int64_t bounds[3] = {c->m, c->n, c->k};
    for (int i = 0; i < 3; i++) extent[i] = c->extents[i] ? arg[i] : ftc_cg_i64(cg, bounds[i]);
    copy_target target = {arg[5], ftc_cg_i64(cg, FTC_ALONE_LD(c->n))};
    ftc_matrix a = {.base = arg[3],
                    .ld = ftc_cg_i64(cg, c->a_transposed ? c->m : c->k),
                    .transposed = c->a_transposed,
                    .form = c->a};
    a.known_k = c->extents[2] ? 0 : c->k;
    ftc_emit_contraction(cg, &(ftc_contraction){
                                 .plan = *plan,
                                 .m = extent[0],
                                 .n = extent[1],
                                 .k = extent[2],
                                 .a = a,
                                 .b = {.base = arg[4],
                                       .ld = ftc_cg_i64(cg, c->b_transposed ? c->k : c->n),
                                       .transposed = c->b_transposed,
                                       .form = c->b},
                                 .c = target.c,
                                 .ldc = target.ldc,
                                 .scratch = arg[6],
                                 .thread = arg[7],
                                 .threads = arg[8],
                                 .epilogue = c->has_epilogue ? copy_tile : NULL,
                                 .context = &target,
                             });
    ftc_cg_function_end(cg, f, NULL);
    return ftc_contraction_scratch_bytes(plan, &a, c->has_epilogue);
}
