// Packing: operands of the matrix product, as they lie in memory, brought into words (compiler/emit/gemm.h).
//
// Two functions for each form of a matrix: ftc.pack.n where the columns of B lie side by side, ftc.pack.t
// where k does. B is packed into panels; a block of rows of A is packed by the first as a panel whose columns
// are its rows, and by ftc.pack.rows as rows of words where its k lies side by side.
#include <stdio.h>

#include "compiler/codegen/scalar.h"
#include "compiler/emit/gemm.h"

enum {
    BYTES_PER_LINE = 64,
    PREFETCH_ROWS = 16, // packing reads a few lines a row, too little for the hardware to see the rows coming
    MAX_STEPS = 4,
};

// What a packing function is made for.
typedef struct {
    ftc_codegen *cg;
    ftc_gemm_shape shape;
    ftc_gemm_form form;
    int cols; // of a panel
    LLVMTypeRef element, word;
} packer;

static packer packer_for(ftc_codegen *cg, const ftc_gemm_shape *shape, ftc_gemm_form form, int cols) {
    return (packer){
        cg, *shape, form, cols, ftc_gemm_element_type(cg, form), shape->k_per_word == 1 ? cg->f32 : cg->i32};
}

LLVMTypeRef ftc_gemm_element_type(ftc_codegen *cg, ftc_gemm_form form) {
    return form == FTC_FORM_BF16 ? cg->i16 : cg->f32;
}

int ftc_gemm_element_bytes(ftc_gemm_form form) {
    return form == FTC_FORM_BF16 ? 2 : 4;
}

int64_t ftc_packed_size(const ftc_gemm_shape *shape, int64_t k, int64_t n) {
    int64_t words = (k + shape->k_per_word - 1) / shape->k_per_word;
    words = (words + shape->word_unit - 1) / shape->word_unit * shape->word_unit;
    return (n + shape->cols - 1) / shape->cols * shape->cols * words;
}

LLVMValueRef ftc_emit_packed_depth(ftc_codegen *cg, const ftc_gemm_shape *shape, LLVMValueRef k) {
    LLVMValueRef words = shape->k_per_word == 1 ? k : ftc_cg_ceil_div(cg, k, shape->k_per_word);
    return shape->word_unit == 1 ? words : ftc_cg_round_up(cg, words, shape->word_unit);
}

LLVMValueRef ftc_emit_packed_size(ftc_codegen *cg, const ftc_gemm_shape *shape, LLVMValueRef k,
                                  LLVMValueRef n) {
    return ftc_cg_mul(cg, ftc_emit_packed_depth(cg, shape, k), ftc_cg_round_up(cg, n, shape->cols));
}

// --- words --------------------------------------------------------------------------------------------

// A vector (lanes 1: one) of elements that lie side by side; masked-off ones are zero.
static LLVMValueRef load_elements(const packer *p, LLVMValueRef from, int lanes, LLVMValueRef mask) {
    LLVMTypeRef type = ftc_cg_vector_type(p->cg, p->element, lanes);
    return mask ? ftc_cg_load_masked(p->cg, type, from, mask) : ftc_cg_load(p->cg, type, from);
}

static LLVMValueRef f32_of(const packer *p, LLVMValueRef elements) {
    if (p->form == FTC_FORM_BF16) return ftc_cg_f32_from_bf16(p->cg, elements);
    if (p->form == FTC_FORM_F32) return elements;
    return ftc_cg_f32_from_bf16(p->cg, ftc_cg_bf16_from_f32(p->cg, elements));
}

static LLVMValueRef bf16_of(const packer *p, LLVMValueRef elements) {
    return p->form == FTC_FORM_BF16 ? elements : ftc_cg_bf16_from_f32(p->cg, elements);
}

// Words of neighbouring columns: the elements at `from` and, when there is a second of the pair, at `next`.
static LLVMValueRef words_across(const packer *p, LLVMValueRef from, LLVMValueRef next, int lanes,
                                 LLVMValueRef mask) {
    LLVMBuilderRef b = p->cg->builder;
    LLVMValueRef first = load_elements(p, from, lanes, mask);
    if (p->shape.k_per_word == 1) return f32_of(p, first);
    LLVMTypeRef type = ftc_cg_vector_type(p->cg, p->word, lanes);
    LLVMValueRef low = LLVMBuildZExt(b, bf16_of(p, first), type, "");
    if (!next) return low;
    LLVMValueRef second = load_elements(p, next, lanes, mask);
    LLVMValueRef high = LLVMBuildZExt(b, bf16_of(p, second), type, "");
    high = LLVMBuildShl(b, high, ftc_cg_splat(p->cg, ftc_cg_i32(p->cg, 16), lanes), "");
    return LLVMBuildOr(b, low, high, "");
}

// Words of neighbouring k.
static LLVMValueRef words_along(const packer *p, LLVMValueRef from, int lanes, LLVMValueRef mask) {
    LLVMValueRef elements = load_elements(p, from, lanes * p->shape.k_per_word, mask);
    if (p->shape.k_per_word == 1) return f32_of(p, elements);
    return LLVMBuildBitCast(p->cg->builder, bf16_of(p, elements), ftc_cg_vector_type(p->cg, p->word, lanes),
                            "");
}

// k in whole words.
static LLVMValueRef whole_words(const packer *p, LLVMValueRef k) {
    return p->shape.k_per_word == 1 ? k : ftc_cg_div(p->cg, k, ftc_cg_i64(p->cg, p->shape.k_per_word));
}

// Zeroes what lies between k and the packed depth, `width` columns at `to`.
static void fill_up(const packer *p, LLVMValueRef k, LLVMValueRef to, int width) {
    ftc_codegen *cg = p->cg;
    LLVMTypeRef type = ftc_cg_vector_type(cg, p->word, width);
    LLVMValueRef first = ftc_cg_ceil_div(cg, k, p->shape.k_per_word);
    ftc_cg_loop rest =
        ftc_cg_loop_begin(cg, first, ftc_emit_packed_depth(cg, &p->shape, k), ftc_cg_i64(cg, 1));
    LLVMValueRef at = ftc_cg_mul(cg, rest.index, ftc_cg_i64(cg, p->cols));
    ftc_cg_store(cg, LLVMConstNull(type), ftc_cg_at(cg, p->word, to, at));
    ftc_cg_loop_end(cg, &rest);
}

// --- functions ----------------------------------------------------------------------------------------

// Begins `void ftc.pack.<what>…(matrix, ld, k, n, packed)` unless the module has it: returns the function
// then.
static LLVMValueRef begin_function(const packer *p, const char *what, ftc_cg_function *f,
                                   LLVMValueRef arg[5]) {
    ftc_codegen *cg = p->cg;
    static const char *const forms[] = {"", ".bf16", ".rounded"};
    static const char *const kinds[] = {"", ".pairs", ".amx"};
    char name[64];
    snprintf(name, sizeof name, "ftc.pack.%s%s%s.%d", what, forms[p->form], kinds[p->shape.kind], p->cols);
    LLVMValueRef found = ftc_cg_function_find(cg, name);
    if (found) return found;
    LLVMTypeRef params[] = {cg->ptr, cg->i64, cg->i64, cg->i64, cg->ptr};
    *f = ftc_cg_function_begin(cg, name, cg->void_type, params, 5, FTC_CG_OUTLINED, true);
    LLVMGetParams(f->function, arg);
    return NULL;
}

// Columns that are packed at once: LLVM splits vectors of f32 into what the target has, of others it makes a
// mess.
static int vector_step(const packer *p) {
    return p->form == FTC_FORM_F32 || p->cols % p->cg->lanes ? p->cols : p->cg->lanes;
}

// One row of words of a panel: what is at `from` (and a row of the matrix further on, of a pair) goes to
// `to`.
static void pack_n_row(const packer *p, LLVMValueRef from, LLVMValueRef ld, bool half,
                       const LLVMValueRef *masks, LLVMValueRef to) {
    ftc_codegen *cg = p->cg;
    int step = vector_step(p);
    LLVMValueRef next = half || p->shape.k_per_word == 1 ? NULL : ftc_cg_at(cg, p->element, from, ld);
    for (int j = 0; j < p->cols; j += step) {
        LLVMValueRef offset = ftc_cg_i64(cg, j);
        LLVMValueRef words =
            words_across(p, ftc_cg_at(cg, p->element, from, offset),
                         next ? ftc_cg_at(cg, p->element, next, offset) : NULL, step, masks[j / step]);
        ftc_cg_store(cg, words, ftc_cg_at(cg, p->word, to, offset));
    }
}

// Brings what packing reads PREFETCH_ROWS further on than `from`, `width` columns, into L1: of each k of a
// word, which is a row of the matrix.
static void prefetch_rows(const packer *p, LLVMValueRef from, LLVMValueRef ld, int width) {
    ftc_codegen *cg = p->cg;
    int per_line = BYTES_PER_LINE / ftc_gemm_element_bytes(p->form);
    for (int row = 0; row < p->shape.k_per_word; row++) {
        LLVMValueRef ahead = ftc_cg_mul(cg, ld, ftc_cg_i64(cg, PREFETCH_ROWS + row));
        for (int j = 0; j < width; j += per_line)
            ftc_cg_prefetch(cg, p->element, from, ftc_cg_add(cg, ahead, ftc_cg_i64(cg, j)), FTC_CG_INTO_L1);
    }
}

// ftc.pack.n(b, ld, k, n, packed): for each panel, for each word of k, one row of the panel.
static LLVMValueRef pack_n_function(const packer *p) {
    ftc_codegen *cg = p->cg;
    ftc_cg_function f;
    LLVMValueRef arg[5], found = begin_function(p, "n", &f, arg);
    if (found) return found;
    LLVMValueRef b = arg[0], ld = arg[1], k = arg[2], n = arg[3], packed = arg[4];

    int per_word = p->shape.k_per_word;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1), width = ftc_cg_i64(cg, p->cols);
    LLVMValueRef depth = ftc_emit_packed_depth(cg, &p->shape, k), whole = whole_words(p, k);
    ftc_cg_loop panels = ftc_cg_loop_begin(cg, zero, n, width);
    LLVMValueRef left = ftc_cg_sub(cg, n, panels.index), masks[2][MAX_STEPS] = {0};
    for (int j = 0; j < p->cols && p->cols > 1; j += vector_step(p)) // a single column is there
        masks[1][j / vector_step(p)] =
            ftc_cg_tail_mask(cg, ftc_cg_sub(cg, left, ftc_cg_i64(cg, j)), vector_step(p));
    LLVMValueRef source = ftc_cg_at(cg, p->element, b, panels.index);
    LLVMValueRef panel = ftc_cg_at(cg, p->word, packed, ftc_cg_mul(cg, panels.index, depth));
    ftc_cg_if full = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSGE, left, width));
    for (int masked = 0; masked <= 1; masked++) {
        if (masked) ftc_cg_if_else(cg, &full);
        ftc_cg_loop rows = ftc_cg_loop_begin(cg, zero, whole, one);
        LLVMValueRef row = per_word == 1 ? rows.index : ftc_cg_mul(cg, rows.index, ftc_cg_i64(cg, per_word));
        LLVMValueRef from = ftc_cg_at(cg, p->element, source, ftc_cg_mul(cg, row, ld));
        prefetch_rows(p, from, ld, p->cols);
        LLVMValueRef to = ftc_cg_at(cg, p->word, panel, ftc_cg_mul(cg, rows.index, width));
        pack_n_row(p, from, ld, false, masks[masked], to);
        ftc_cg_loop_end(cg, &rows);
        if (per_word == 1) continue;
        LLVMValueRef done = ftc_cg_mul(cg, whole, ftc_cg_i64(cg, per_word));
        ftc_cg_if half = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, done, k));
        from = ftc_cg_at(cg, p->element, source, ftc_cg_mul(cg, done, ld));
        pack_n_row(p, from, ld, true, masks[masked],
                   ftc_cg_at(cg, p->word, panel, ftc_cg_mul(cg, whole, width)));
        ftc_cg_if_end(cg, &half);
    }
    ftc_cg_if_end(cg, &full);
    if (p->shape.word_unit > 1) fill_up(p, k, panel, p->cols);
    ftc_cg_loop_end(cg, &panels);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

// Transposes a lanes × lanes block held in v[lanes]: stage by stage, pairs of rows at distance d exchange the
// halves of their groups of 2d lanes.
static void transpose_vectors(ftc_codegen *cg, LLVMValueRef *v, int lanes) {
    for (int d = 1; d < lanes; d *= 2) {
        int low[FTC_CG_MAX_LANES], high[FTC_CG_MAX_LANES];
        for (int i = 0; i < lanes; i++) {
            bool upper = i & d;
            low[i] = upper ? lanes + i - d : i;
            high[i] = upper ? lanes + i : i + d;
        }
        for (int r = 0; r < lanes; r++) {
            if (r & d) continue;
            LLVMValueRef a = v[r], b = v[r + d];
            v[r] = ftc_cg_shuffle(cg, a, b, low, lanes);
            v[r + d] = ftc_cg_shuffle(cg, a, b, high, lanes);
        }
    }
}

// One vector of columns of a panel (columns from col0; `to` is where its first word goes), block by block of
// lanes × lanes words that are transposed in registers. The last block is moved back to end at `whole`: what
// it writes again is the same. Columns past n repeat column 0. Needs whole >= lanes.
static void pack_t_vectors(const packer *p, LLVMValueRef b, LLVMValueRef ld, LLVMValueRef whole,
                           LLVMValueRef n, LLVMValueRef col0, LLVMValueRef to) {
    ftc_codegen *cg = p->cg;
    int lanes = cg->lanes, per_word = p->shape.k_per_word;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), step = ftc_cg_i64(cg, lanes);
    LLVMValueRef column[FTC_CG_MAX_LANES], v[FTC_CG_MAX_LANES];
    for (int r = 0; r < lanes; r++) {
        LLVMValueRef col = ftc_cg_add(cg, col0, ftc_cg_i64(cg, r));
        col = ftc_cg_select(cg, ftc_cg_compare(cg, LLVMIntSLT, col, n), col, zero);
        column[r] = ftc_cg_at(cg, p->element, b, ftc_cg_mul(cg, col, ld));
    }
    ftc_cg_loop depth = ftc_cg_loop_begin(cg, zero, whole, step);
    LLVMValueRef word0 = ftc_cg_min(cg, depth.index, ftc_cg_sub(cg, whole, step));
    LLVMValueRef k0 = per_word == 1 ? word0 : ftc_cg_mul(cg, word0, ftc_cg_i64(cg, per_word));
    for (int r = 0; r < lanes; r++)
        v[r] = words_along(p, ftc_cg_at(cg, p->element, column[r], k0), lanes, NULL);
    transpose_vectors(cg, v, lanes);
    LLVMValueRef block = ftc_cg_at(cg, p->word, to, ftc_cg_mul(cg, word0, ftc_cg_i64(cg, p->cols)));
    for (int i = 0; i < lanes; i++)
        ftc_cg_store_aligned(cg, v[i], ftc_cg_at(cg, p->word, block, ftc_cg_i64(cg, (int64_t)i * p->cols)),
                             lanes * 4);
    ftc_cg_loop_end(cg, &depth);
}

// The same for words first … end - 1, one by one; `half`: the second of the pair is past the end.
static void pack_t_words(const packer *p, LLVMValueRef b, LLVMValueRef ld, LLVMValueRef first,
                         LLVMValueRef end, bool half, LLVMValueRef n, LLVMValueRef col0, LLVMValueRef to) {
    ftc_codegen *cg = p->cg;
    int per_word = p->shape.k_per_word;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1), cols = ftc_cg_i64(cg, p->cols);
    LLVMValueRef here = ftc_cg_min(cg, ftc_cg_sub(cg, n, col0), ftc_cg_i64(cg, cg->lanes));
    ftc_cg_loop col = ftc_cg_loop_begin(cg, zero, here, one);
    ftc_cg_loop depth = ftc_cg_loop_begin(cg, first, end, one);
    LLVMValueRef k = per_word == 1 ? depth.index : ftc_cg_mul(cg, depth.index, ftc_cg_i64(cg, per_word));
    LLVMValueRef from = ftc_cg_add(cg, ftc_cg_mul(cg, ftc_cg_add(cg, col0, col.index), ld), k);
    from = ftc_cg_at(cg, p->element, b, from);
    LLVMValueRef next = half || per_word == 1 ? NULL : ftc_cg_at(cg, p->element, from, one);
    LLVMValueRef at = ftc_cg_add(cg, ftc_cg_mul(cg, depth.index, cols), col.index);
    ftc_cg_store(cg, words_across(p, from, next, 1, NULL), ftc_cg_at(cg, p->word, to, at));
    ftc_cg_loop_end(cg, &depth);
    ftc_cg_loop_end(cg, &col);
}

// ftc.pack.t(b, ld, k, n, packed): one vector of columns after the other, up to the last that has one below
// n.
static LLVMValueRef pack_t_function(const packer *p) {
    ftc_codegen *cg = p->cg;
    ftc_cg_function f;
    LLVMValueRef arg[5], found = begin_function(p, "t", &f, arg);
    if (found) return found;
    LLVMValueRef b = arg[0], ld = arg[1], k = arg[2], n = arg[3], packed = arg[4];

    LLVMValueRef zero = ftc_cg_i64(cg, 0), cols = ftc_cg_i64(cg, p->cols), lanes = ftc_cg_i64(cg, cg->lanes);
    LLVMValueRef depth = ftc_emit_packed_depth(cg, &p->shape, k), whole = whole_words(p, k);
    ftc_cg_loop columns = ftc_cg_loop_begin(cg, zero, n, lanes);
    LLVMValueRef in_panel = ftc_cg_rem(cg, columns.index, cols);
    LLVMValueRef panel = ftc_cg_mul(cg, ftc_cg_sub(cg, columns.index, in_panel), depth);
    LLVMValueRef to = ftc_cg_at(cg, p->word, packed, ftc_cg_add(cg, panel, in_panel));
    ftc_cg_if deep = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSGE, whole, lanes));
    pack_t_vectors(p, b, ld, whole, n, columns.index, to);
    ftc_cg_if_else(cg, &deep);
    pack_t_words(p, b, ld, zero, whole, false, n, columns.index, to);
    ftc_cg_if_end(cg, &deep);
    if (p->shape.k_per_word > 1)
        pack_t_words(p, b, ld, whole, ftc_cg_ceil_div(cg, k, p->shape.k_per_word), true, n, columns.index,
                     to);
    if (p->shape.word_unit > 1) fill_up(p, k, to, cg->lanes);
    ftc_cg_loop_end(cg, &columns);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

void ftc_emit_pack(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_matrix *b, LLVMValueRef k,
                   LLVMValueRef n, LLVMValueRef packed) {
    packer p = packer_for(cg, shape, b->form, shape->cols);
    LLVMValueRef function = b->transposed ? pack_t_function(&p) : pack_n_function(&p);
    ftc_cg_call(cg, function, (LLVMValueRef[]){b->base, b->ld, k, n, packed}, 5);
}

// --- rows of A ----------------------------------------------------------------------------------------

// Distance, in words, from row to row of a block of A whose k lies side by side.
static LLVMValueRef row_words(ftc_codegen *cg, const ftc_gemm_shape *shape, LLVMValueRef k) {
    return ftc_cg_round_up(cg, ftc_cg_ceil_div(cg, k, shape->k_per_word), cg->lanes);
}

// Whether what lies `ld` apart in A is known to fall into few sets of L1.
static bool is_crowded(const ftc_gemm_shape *shape, const ftc_matrix *a) {
    if (!LLVMIsAConstantInt(a->ld)) return false;
    return LLVMConstIntGetSExtValue(a->ld) * ftc_gemm_element_bytes(a->form) % shape->crowding == 0;
}

bool ftc_gemm_reads_pairs(const ftc_gemm_shape *shape, const ftc_matrix *a) {
    if (shape->kind == FTC_GEMM_F32 || a->form != FTC_FORM_BF16 || a->transposed) return false;
    if (a->known_k <= 0 || a->known_k % (shape->k_per_word * shape->word_unit)) return false;
    if (!LLVMIsAConstantInt(a->ld) || LLVMConstIntGetSExtValue(a->ld) % shape->k_per_word) return false;
    return shape->kind != FTC_GEMM_AMX || !is_crowded(shape, a);
}

int64_t ftc_gemm_buffer_bytes(const ftc_gemm_shape *shape, const ftc_matrix *a, int64_t k) {
    if (shape->kind == FTC_GEMM_PAIRS && ftc_gemm_reads_pairs(shape, a)) return 0;
    bool is_f32 = shape->kind == FTC_GEMM_F32 && a->form == FTC_FORM_F32;
    if (is_f32 && !(a->transposed && is_crowded(shape, a))) return 0;
    int64_t words = (k + shape->k_per_word - 1) / shape->k_per_word, lanes = shape->cols / shape->vectors;
    words = (words + lanes - 1) / lanes * lanes;
    int64_t blocks = a->transposed ? shape->together : 1;
    return words * shape->rows * blocks * 4 * (shape->kind == FTC_GEMM_AMX ? 2 : 1);
}

// ftc.pack.rows(a, ld, k, m, to): row by row; the last vector of each is filled up with zeros.
static LLVMValueRef pack_rows_function(const packer *p) {
    ftc_codegen *cg = p->cg;
    ftc_cg_function f;
    LLVMValueRef arg[5], found = begin_function(p, "rows", &f, arg);
    if (found) return found;
    LLVMValueRef a = arg[0], ld = arg[1], k = arg[2], m = arg[3], packed = arg[4];

    int step = cg->lanes * p->shape.k_per_word;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1), words = row_words(cg, &p->shape, k);
    LLVMValueRef whole = ftc_cg_mul(cg, ftc_cg_div(cg, k, ftc_cg_i64(cg, step)), ftc_cg_i64(cg, step));
    LLVMValueRef mask = ftc_cg_tail_mask(cg, ftc_cg_sub(cg, k, whole), step);
    ftc_cg_loop row = ftc_cg_loop_begin(cg, zero, m, one);
    LLVMValueRef from = ftc_cg_at(cg, p->element, a, ftc_cg_mul(cg, row.index, ld));
    LLVMValueRef to = ftc_cg_at(cg, p->word, packed, ftc_cg_mul(cg, row.index, words));
    ftc_cg_loop depth = ftc_cg_loop_begin(cg, zero, whole, ftc_cg_i64(cg, step));
    for (int masked = 0; masked <= 1; masked++) {
        LLVMValueRef k0 = masked ? whole : depth.index;
        ftc_cg_if rest;
        if (masked) rest = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, whole, k));
        LLVMValueRef v = words_along(p, ftc_cg_at(cg, p->element, from, k0), cg->lanes, masked ? mask : NULL);
        LLVMValueRef word0 = ftc_cg_div(cg, k0, ftc_cg_i64(cg, p->shape.k_per_word));
        ftc_cg_store_aligned(cg, v, ftc_cg_at(cg, p->word, to, word0), cg->lanes * 4);
        if (masked)
            ftc_cg_if_end(cg, &rest);
        else
            ftc_cg_loop_end(cg, &depth);
    }
    ftc_cg_loop_end(cg, &row);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

// ftc.pack.turn(panel, _, depth, _, to): rows of words from a panel whose columns are the rows.
static LLVMValueRef turn_function(const packer *p) {
    ftc_codegen *cg = p->cg;
    ftc_cg_function f;
    LLVMValueRef arg[5], found = begin_function(p, "turn", &f, arg);
    if (found) return found;
    LLVMValueRef panel = arg[0], depth = arg[2], to = arg[4], v[FTC_CG_MAX_LANES];
    LLVMTypeRef vector = ftc_cg_vector_type(cg, p->word, cg->lanes);
    ftc_cg_loop words = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), depth, ftc_cg_i64(cg, cg->lanes));
    for (int row0 = 0; row0 < p->cols; row0 += cg->lanes) {
        for (int i = 0; i < cg->lanes; i++) {
            LLVMValueRef word = ftc_cg_add(cg, words.index, ftc_cg_i64(cg, i));
            LLVMValueRef at =
                ftc_cg_add(cg, ftc_cg_mul(cg, word, ftc_cg_i64(cg, p->cols)), ftc_cg_i64(cg, row0));
            v[i] = ftc_cg_load(cg, vector, ftc_cg_at(cg, p->word, panel, at));
        }
        transpose_vectors(cg, v, cg->lanes);
        for (int i = 0; i < cg->lanes; i++) {
            LLVMValueRef at = ftc_cg_add(cg, ftc_cg_mul(cg, ftc_cg_i64(cg, row0 + i), depth), words.index);
            ftc_cg_store(cg, v[i], ftc_cg_at(cg, p->word, to, at));
        }
    }
    ftc_cg_loop_end(cg, &words);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

// A word of k of all blocks that are packed together: what is at `from` (and, unless `half`, a row of the
// matrix further on) goes to `to`, each block's share `block_words` behind that of the block before.
static void pack_together_row(const packer *p, LLVMValueRef from, LLVMValueRef ld, bool half,
                              LLVMValueRef block_words, LLVMValueRef to) {
    ftc_codegen *cg = p->cg;
    int rows = p->cols * p->shape.together;
    int step = cg->lanes % p->cols || rows % cg->lanes ? p->cols : cg->lanes;
    LLVMValueRef next = half || p->shape.k_per_word == 1 ? NULL : ftc_cg_at(cg, p->element, from, ld);
    for (int r = 0; r < rows; r += step) {
        LLVMValueRef offset = ftc_cg_i64(cg, r);
        LLVMValueRef words = words_across(p, ftc_cg_at(cg, p->element, from, offset),
                                          next ? ftc_cg_at(cg, p->element, next, offset) : NULL, step, NULL);
        for (int c = 0; c < step; c += p->cols) {
            int lanes[FTC_CG_MAX_LANES];
            for (int i = 0; i < p->cols; i++) lanes[i] = c + i;
            LLVMValueRef block = ftc_cg_mul(cg, block_words, ftc_cg_i64(cg, (r + c) / p->cols));
            LLVMValueRef part = step == p->cols ? words : ftc_cg_shuffle(cg, words, words, lanes, p->cols);
            ftc_cg_store(cg, part, ftc_cg_at(cg, p->word, to, block));
        }
    }
}

// ftc.pack.together(a, ld, k, m, packed): all blocks of a transposed A that are packed together, word by word
// of k, when they are whole; else block by block.
static LLVMValueRef together_function(const packer *p) {
    ftc_codegen *cg = p->cg;
    ftc_cg_function f;
    LLVMValueRef arg[5], found = begin_function(p, "together", &f, arg);
    if (found) return found;
    LLVMValueRef a = arg[0], ld = arg[1], k = arg[2], m = arg[3], packed = arg[4];
    int rows = p->cols * p->shape.together, per_word = p->shape.k_per_word;
    LLVMValueRef all = ftc_cg_compare(cg, LLVMIntEQ, m, ftc_cg_i64(cg, rows)), whole = whole_words(p, k);
    LLVMValueRef cols = ftc_cg_i64(cg, p->cols), row = ftc_cg_mul(cg, ld, ftc_cg_i64(cg, per_word));
    LLVMValueRef block_words = ftc_cg_mul(cg, ftc_emit_packed_depth(cg, &p->shape, k), cols);
    ftc_cg_if together = ftc_cg_if_begin(cg, all);
    ftc_cg_loop depth = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), whole, ftc_cg_i64(cg, 1));
    LLVMValueRef from = ftc_cg_at(cg, p->element, a, ftc_cg_mul(cg, depth.index, row));
    prefetch_rows(p, from, ld, rows);
    pack_together_row(p, from, ld, false, block_words,
                      ftc_cg_at(cg, p->word, packed, ftc_cg_mul(cg, depth.index, cols)));
    ftc_cg_loop_end(cg, &depth);
    if (per_word > 1) {
        LLVMValueRef done = ftc_cg_mul(cg, whole, ftc_cg_i64(cg, per_word));
        ftc_cg_if half = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, done, k));
        pack_together_row(p, ftc_cg_at(cg, p->element, a, ftc_cg_mul(cg, whole, row)), ld, true, block_words,
                          ftc_cg_at(cg, p->word, packed, ftc_cg_mul(cg, whole, cols)));
        ftc_cg_if_end(cg, &half);
    }
    ftc_cg_if_else(cg, &together);
    ftc_cg_call(cg, pack_n_function(p), (LLVMValueRef[]){a, ld, k, m, packed}, 5);
    ftc_cg_if_end(cg, &together);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

ftc_matrix ftc_emit_pack_rows(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_matrix *a,
                              LLVMValueRef m, LLVMValueRef k, LLVMValueRef buffer) {
    packer p = packer_for(cg, shape, a->form, shape->rows);
    bool in_rows = !a->transposed || shape->kind == FTC_GEMM_AMX;
    LLVMValueRef ld = in_rows ? row_words(cg, shape, k) : ftc_cg_i64(cg, shape->rows);
    LLVMValueRef function = !a->transposed        ? pack_rows_function(&p)
                            : shape->together > 1 ? together_function(&p)
                                                  : pack_n_function(&p);
    LLVMValueRef to = buffer;
    if (a->transposed && in_rows) // a panel first, behind the rows
        to = ftc_cg_at(cg, p.word, buffer, ftc_cg_mul(cg, ld, ftc_cg_i64(cg, shape->rows)));
    ftc_cg_call(cg, function, (LLVMValueRef[]){a->base, a->ld, k, m, to}, 5);
    if (to != buffer) {
        LLVMValueRef unused = ftc_cg_i64(cg, 0);
        ftc_cg_call(cg, turn_function(&p), (LLVMValueRef[]){to, unused, ld, unused, buffer}, 5);
    }
    return (ftc_matrix){.base = buffer, .ld = ld, .transposed = !in_rows};
}
