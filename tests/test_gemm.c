// The block product and the contraction loops, compiled for each vector width, against a plain product in
// double: odd extents, all orientations, both ways of packing, with and without an epilogue; and the same
// bits for any thread count.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/emit/amx.h"
#include "compiler/emit/contraction_loops.h"
#include "compiler/emit/gemm.h"
#include "compiler/codegen/object.h"

enum { MAX_M = 130, MAX_N = 150, MAX_K = 180, PAD = 5, MAX_THREADS = 4, N_SHAPES = 60, SLACK = 64 };

typedef void contraction_fn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                            int64_t ldb, float *c, int64_t ldc, float *scratch, int64_t thread,
                            int64_t threads);
typedef void block_fn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                      int64_t ldb, float *c, int64_t ldc, float *packed, int64_t accumulate);

// --- emitted functions --------------------------------------------------------------------------------

typedef struct {
    LLVMValueRef c, ldc;
} epilogue_context;

// C += 2 · tile, element by element: a tile that comes twice or not at all shows.
static void add_twice(void *context, ftc_codegen *cg, LLVMValueRef tile, LLVMValueRef tile_ld,
                      LLVMValueRef row0, LLVMValueRef rows, LLVMValueRef col0, LLVMValueRef cols) {
    epilogue_context *x = context;
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);
    ftc_cg_loop r = ftc_cg_loop_begin(cg, zero, rows, one);
    ftc_cg_loop c = ftc_cg_loop_begin(cg, zero, cols, one);
    LLVMValueRef from = ftc_cg_add(cg, ftc_cg_mul(cg, r.index, tile_ld), c.index);
    LLVMValueRef to = ftc_cg_mul(cg, ftc_cg_add(cg, row0, r.index), x->ldc);
    to = ftc_cg_at(cg, cg->f32, x->c, ftc_cg_add(cg, to, ftc_cg_add(cg, col0, c.index)));
    LLVMValueRef value = ftc_cg_load(cg, cg->f32, ftc_cg_at(cg, cg->f32, tile, from));
    value = ftc_cg_fmul(cg, value, ftc_cg_f32(cg, 2));
    ftc_cg_store(cg, ftc_cg_fadd(cg, value, ftc_cg_load(cg, cg->f32, to)), to);
    ftc_cg_loop_end(cg, &c);
    ftc_cg_loop_end(cg, &r);
}

static const ftc_contraction_case LARGEST = {.m = MAX_M, .n = MAX_N, .k = MAX_K, .role = "forward"};

// A small plan, so that small extents already have several tiles, column blocks and chunks.
static ftc_contraction_plan small_plan(const ftc_target *target, bool keep_b) {
    ftc_contraction_plan plan = ftc_contraction_plan_for(target, &LARGEST);
    ftc_gemm_shape shape = plan.shape;
    plan.rows = 3 * shape.rows;
    plan.cols = 2 * shape.cols;
    plan.k_chunk = 48;
    plan.keep_b = keep_b;
    plan.packed_k = keep_b ? MAX_K : plan.k_chunk;
    return plan;
}

static void contraction_name(char name[32], int variant) {
    snprintf(name, 32, "contraction_%d", variant);
}

// Plans that --tune might choose, and odd ones, with the lanes that their columns are for. What a target
// cannot execute is left to the others.
static const struct {
    int lanes;
    const char *text;
} forced[] = {{16, "14x2, tile 42x64, k 50, keep b"}, {16, "6x4, tile 13x128, k 33, repack b"},
              {16, "9x3, tile 9x48, k 7, keep b"},    {16, "1x1, tile 5x80, k 64, repack b"},
              {8, "4x3, tile 16x48, k 50, keep b"},   {8, "6x2, tile 7x16, k 33, repack b"},
              {8, "12x1, tile 25x24, k 7, keep b"},   {8, "1x1, tile 5x40, k 64, repack b"},
              {4, "2x4, tile 8x32, k 50, keep b"},    {4, "1x1, tile 3x4, k 33, repack b"}};

// Variants: bit 0 A transposed, bit 1 B transposed, bit 2 keep_b, bit 3 epilogue; from bit 4 on: 0 the small
// plan, 1 the default one, 2 and more the forced ones of this target (none left: the small one again).
enum { N_VARIANTS = 96 };

// With both transposed, A's distance from k to k is CROWDED, known when code is made: its rows are packed
// then.
enum { CROWDED = 1024 };
static bool is_crowded(int variant) {
    return (variant & 3) == 3;
}

static ftc_contraction_plan plan_of(const ftc_target *target, int variant) {
    int which = (variant >> 4) - 2;
    if (which == -1) return ftc_contraction_plan_for(target, &LARGEST);
    ftc_contraction_plan plan = small_plan(target, variant >> 2 & 1);
    for (size_t i = 0; which >= 0 && i < sizeof forced / sizeof *forced; i++) {
        const char *why;
        if (forced[i].lanes * 32 != target->vector_bits || which-- != 0) continue;
        cr_assert(ftc_contraction_plan_parse(target, &LARGEST, forced[i].text, &plan, &why), "%s: %s",
                  forced[i].text, why);
    }
    return plan;
}

static int64_t emit_contraction(ftc_codegen *cg, int variant) {
    char name[32];
    contraction_name(name, variant);
    LLVMTypeRef params[] = {cg->i64, cg->i64, cg->i64, cg->ptr, cg->i64, cg->ptr,
                            cg->i64, cg->ptr, cg->i64, cg->ptr, cg->i64, cg->i64};
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 12, FTC_CG_EXPORTED, false);
    LLVMValueRef arg[12];
    LLVMGetParams(f.function, arg);
    epilogue_context context = {arg[7], arg[8]};
    bool epilogue = variant >> 3 & 1;
    ftc_contraction x = {
        .plan = plan_of(cg->target, variant),
        .m = arg[0],
        .n = arg[1],
        .k = arg[2],
        .a = {arg[3], is_crowded(variant) ? ftc_cg_i64(cg, CROWDED) : arg[4], variant & 1},
        .b = {arg[5], arg[6], variant >> 1 & 1},
        .c = arg[7],
        .ldc = arg[8],
        .scratch = arg[9],
        .thread = arg[10],
        .threads = arg[11],
        .epilogue = epilogue ? add_twice : NULL,
        .context = &context,
        .soon = {.n = epilogue ? 2 : 0, .base = {arg[7], arg[7]}, .ld = arg[8]},
    };
    ftc_emit_contraction(cg, &x);
    ftc_cg_function_end(cg, f, NULL);
    return ftc_contraction_scratch_bytes(&x.plan, &x.a, epilogue);
}

// One block.
static void emit_block(ftc_codegen *cg, bool a_transposed) {
    LLVMTypeRef params[] = {cg->i64, cg->i64, cg->i64, cg->ptr, cg->i64, cg->ptr,
                            cg->i64, cg->ptr, cg->i64, cg->ptr, cg->i64};
    const char *name = a_transposed ? "block_t" : "block";
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 11, FTC_CG_EXPORTED, false);
    LLVMValueRef arg[11];
    LLVMGetParams(f.function, arg);
    ftc_gemm_shape shape = ftc_gemm_shape_for(cg->target, FTC_GEMM_F32);
    ftc_emit_pack(cg, &shape, &(ftc_matrix){.base = arg[5], .ld = arg[6]}, arg[2], arg[1], arg[9]);
    ftc_emit_block(cg, &(ftc_gemm_block){
                           .shape = shape,
                           .m = arg[0],
                           .n = arg[1],
                           .k = arg[2],
                           .a = {.base = arg[3], .ld = arg[4], .transposed = a_transposed},
                           .b = arg[9],
                           .c = arg[7],
                           .ldc = arg[8],
                           .accumulate = ftc_cg_compare(cg, LLVMIntNE, arg[10], ftc_cg_i64(cg, 0)),
                       });
    ftc_cg_function_end(cg, f, NULL);
}

typedef struct {
    ftc_codegen *cg;
    ftc_loaded_object *loaded;
    int64_t scratch_bytes[N_VARIANTS];
} compiled;

static ftc_code *find(compiled *c, const char *name) {
    char *error = NULL;
    ftc_code *code = ftc_object_lookup(c->loaded, name, &error);
    cr_assert(code, "%s", error);
    return code;
}

static compiled compile_for(const char *target_name) {
    const ftc_target *target = ftc_target_named(target_name);
    if (!ftc_target_supported_here(target)) cr_skip_test("this CPU cannot execute %s code", target_name);
    compiled c = {0};
    char *error = NULL;
    c.cg = ftc_codegen_new(target, "gemm", &error);
    cr_assert(c.cg, "%s", error);
    for (int v = 0; v < N_VARIANTS; v++) c.scratch_bytes[v] = emit_contraction(c.cg, v);
    emit_block(c.cg, true);
    emit_block(c.cg, false);
    cr_assert(ftc_object_optimize(c.cg, &error), "%s", error);
    size_t size;
    char *object = ftc_object_emit(c.cg, &size, &error);
    cr_assert(object, "%s", error);
    c.loaded = ftc_object_load(object, size, &error);
    cr_assert(c.loaded, "%s", error);
    free(object);
    return c;
}

static void free_compiled(compiled *c) {
    ftc_object_unload(c->loaded);
    ftc_codegen_free(c->cg);
}

// --- reference ----------------------------------------------------------------------------------------

static uint32_t random_state = 1;

static int64_t random_below(int64_t n) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

// Extents that are small, odd, or at the edge of a block.
static int64_t random_extent(int64_t most) {
    static const int64_t special[] = {1, 2, 5, 6, 7, 8, 9, 15, 16, 17, 24, 32, 47, 48, 49, 96, 97};
    int64_t n =
        random_below(2) ? special[random_below(sizeof special / sizeof *special)] : 1 + random_below(most);
    return n < most ? n : most;
}

static float *random_floats(int64_t n) {
    float *x = aligned_alloc(64, ((size_t)(n + SLACK) * sizeof *x + 63) / 64 * 64);
    for (int64_t i = 0; i < n + SLACK; i++) x[i] = (float)(random_below(2001) - 1000) / 1000;
    return x;
}

// Compares the m × n elements of C with start + factor · A · B; the columns between n and ldc must be as they
// were.
static void check(const float *c, int64_t ldc, const float *before, int64_t m, int64_t n, int64_t k,
                  const float *a, int64_t a_row, int64_t a_col, const float *b, int64_t b_row, int64_t b_col,
                  bool add, double factor, const char *what) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < ldc; j++) {
            float was = before[i * ldc + j], is = c[i * ldc + j];
            if (j >= n) {
                cr_assert(is == was, "%s: wrote outside C at (%ld, %ld)", what, (long)i, (long)j);
                continue;
            }
            double sum = add ? was : 0, size = 1;
            for (int64_t l = 0; l < k; l++) {
                double product = (double)a[i * a_row + l * a_col] * b[l * b_row + j * b_col];
                sum += factor * product;
                size += fabs(product);
            }
            cr_assert(fabs(is - sum) <= 1e-6 * size, "%s: (%ld, %ld) of %ld x %ld x %ld is %g, not %g", what,
                      (long)i, (long)j, (long)m, (long)n, (long)k, is, sum);
        }
}

// --- tests --------------------------------------------------------------------------------------------

static void check_contractions(const char *target_name) {
    compiled c = compile_for(target_name);
    for (int s = 0; s < N_SHAPES; s++)
        for (int v = 0; v < N_VARIANTS; v++) {
            int64_t m = random_extent(MAX_M), n = random_extent(MAX_N), k = random_extent(MAX_K);
            bool at = v & 1, bt = v >> 1 & 1, epilogue = v >> 3 & 1;
            int64_t lda = (at ? m : k) + random_below(PAD), ldb = (bt ? k : n) + random_below(PAD);
            if (is_crowded(v)) lda = CROWDED;
            int64_t ldc = n + random_below(PAD);
            float *a = random_floats((at ? k : m) * lda), *b = random_floats((bt ? n : k) * ldb);
            float *start = random_floats(m * ldc), *first = random_floats(m * ldc),
                  *again = random_floats(m * ldc);
            float *scratch = aligned_alloc(64, (size_t)c.scratch_bytes[v]);
            memset(scratch, 0xff, (size_t)c.scratch_bytes[v]); // NaN
            char name[32];
            contraction_name(name, v);
            contraction_fn *run = (contraction_fn *)find(&c, name);
            for (int threads = 1; threads <= MAX_THREADS; threads++) {
                float *out = threads == 1 ? first : again;
                memcpy(out, start, (size_t)(m * ldc) * sizeof *out);
                for (int t = 0; t < threads; t++) run(m, n, k, a, lda, b, ldb, out, ldc, scratch, t, threads);
                cr_assert(threads == 1 || memcmp(out, first, (size_t)(m * ldc) * sizeof *out) == 0,
                          "%s: %d threads give other bits than one", name, threads);
            }
            check(first, ldc, start, m, n, k, a, at ? 1 : lda, at ? lda : 1, b, bt ? 1 : ldb, bt ? ldb : 1,
                  epilogue, epilogue ? 2 : 1, name);
            free(a);
            free(b);
            free(start);
            free(first);
            free(again);
            free(scratch);
        }
    free_compiled(&c);
}

static void check_blocks(const char *target_name) {
    compiled c = compile_for(target_name);
    ftc_gemm_shape shape = ftc_gemm_shape_for(c.cg->target, FTC_GEMM_F32);
    for (int s = 0; s < N_SHAPES * 4; s++) {
        int64_t m = random_extent(MAX_M), n = random_extent(MAX_N), k = random_extent(MAX_K) - s % 2;
        int64_t pad = random_below(PAD), ldb = n + random_below(PAD), ldc = n + random_below(PAD);
        float *a = random_floats((m + PAD) * (k + PAD)), *b = random_floats(k * ldb),
              *start = random_floats(m * ldc);
        float *out = random_floats(m * ldc), *packed = random_floats(ftc_packed_size(&shape, k, n));
        for (int variant = 0; variant < 4; variant++) {
            bool transposed = variant & 1;
            int64_t lda = (transposed ? m : k) + pad;
            block_fn *run = (block_fn *)find(&c, transposed ? "block_t" : "block");
            memcpy(out, start, (size_t)(m * ldc) * sizeof *out);
            run(m, n, k, a, lda, b, ldb, out, ldc, packed, variant >> 1);
            check(out, ldc, start, m, n, k, a, transposed ? 1 : lda, transposed ? lda : 1, b, ldb, 1,
                  variant >> 1, 1, "block");
        }
        free(a);
        free(b);
        free(start);
        free(out);
        free(packed);
    }
    free_compiled(&c);
}

Test(gemm, contraction_native) {
    check_contractions("native");
}
Test(gemm, contraction_avx2) {
    check_contractions("avx2");
}
Test(gemm, contraction_generic) {
    check_contractions("generic");
}
Test(gemm, block_native) {
    check_blocks("native");
}
Test(gemm, block_avx2) {
    check_blocks("avx2");
}
Test(gemm, block_generic) {
    check_blocks("generic");
}

// A gradient of a weight reads A along columns: with rows of 768, 4 sets of L1 have all of a row's words.
Test(gemm, rows_are_packed_where_they_crowd_the_cache) {
    static const struct {
        const char *target;
        int64_t ld;
        bool packed;
    } cases[] = {{"avx2", 384, true},    {"avx2", 768, true},     {"avx2", 1024, true},
                 {"avx2", 1000, false},  {"avx512", 384, false},  {"avx512", 768, false},
                 {"avx512", 1024, true}, {"generic", 768, false}, {"generic", 1024, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *error = NULL;
        ftc_codegen *cg = ftc_codegen_new(ftc_target_named(cases[i].target), "gemm", &error);
        cr_assert(cg, "%s", error);
        ftc_gemm_shape shape = ftc_gemm_shape_for(cg->target, FTC_GEMM_F32);
        ftc_matrix a = {.ld = ftc_cg_i64(cg, cases[i].ld), .transposed = true};
        int64_t bytes = cases[i].packed ? shape.rows * shape.together * 384 * 4 : 0;
        cr_expect_eq(ftc_gemm_buffer_bytes(&shape, &a, 384), bytes, "%s, %ld words apart", cases[i].target,
                     (long)cases[i].ld);
        a.transposed = false;
        cr_expect_eq(ftc_gemm_buffer_bytes(&shape, &a, 384), 0);
        ftc_codegen_free(cg);
    }
}

// --- bf16 ---------------------------------------------------------------------------------------------

// What stands for AMX's instructions where no CPU has them: eight tiles in memory.
static LLVMValueRef tile_row(ftc_codegen *cg, int tile, LLVMValueRef row) {
    LLVMTypeRef type = LLVMArrayType2(cg->f32, 8 * 16 * 16);
    LLVMValueRef tiles = LLVMGetNamedGlobal(cg->module, "test.tiles");
    if (!tiles) {
        tiles = LLVMAddGlobal(cg->module, type, "test.tiles");
        LLVMSetInitializer(tiles, LLVMConstNull(type));
        LLVMSetLinkage(tiles, LLVMInternalLinkage);
        LLVMSetAlignment(tiles, 64);
    }
    LLVMValueRef at = ftc_cg_add(cg, ftc_cg_mul(cg, row, ftc_cg_i64(cg, 16)), ftc_cg_i64(cg, tile * 256));
    return ftc_cg_at(cg, cg->f32, tiles, at);
}

static ftc_cg_loop sixteen(ftc_codegen *cg) {
    return ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), ftc_cg_i64(cg, 16), ftc_cg_i64(cg, 1));
}

static void emulated_configure(ftc_codegen *cg) {
    (void)cg;
}

static void emulated_zero(ftc_codegen *cg, int tile) {
    ftc_cg_loop row = sixteen(cg);
    ftc_cg_store(cg, LLVMConstNull(ftc_cg_vector_type(cg, cg->f32, 16)), tile_row(cg, tile, row.index));
    ftc_cg_loop_end(cg, &row);
}

static void move_tile(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride, bool load) {
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, 16);
    ftc_cg_loop row = sixteen(cg);
    LLVMValueRef outside = ftc_cg_at(cg, cg->i8, address, ftc_cg_mul(cg, row.index, stride));
    LLVMValueRef inside = tile_row(cg, tile, row.index);
    ftc_cg_store(cg, ftc_cg_load(cg, vector, load ? outside : inside), load ? inside : outside);
    ftc_cg_loop_end(cg, &row);
}

static void emulated_load(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride) {
    move_tile(cg, tile, address, stride, true);
}

static void emulated_store(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride) {
    move_tile(cg, tile, address, stride, false);
}

// One of the two bf16 of each word, as f32.
static LLVMValueRef half_of(ftc_codegen *cg, LLVMValueRef words, bool upper) {
    LLVMValueRef bits =
        upper
            ? LLVMBuildAnd(cg->builder, words, ftc_cg_splat(cg, ftc_cg_i32(cg, (int32_t)0xffff0000), 16), "")
            : LLVMBuildShl(cg->builder, words, ftc_cg_splat(cg, ftc_cg_i32(cg, 16), 16), "");
    return LLVMBuildBitCast(cg->builder, bits, ftc_cg_vector_type(cg, cg->f32, 16), "");
}

static void emulated_add_products(ftc_codegen *cg, int c, int a, int b) {
    LLVMTypeRef words = ftc_cg_vector_type(cg, cg->i32, 16), floats = ftc_cg_vector_type(cg, cg->f32, 16);
    ftc_cg_loop i = sixteen(cg), w = sixteen(cg);
    LLVMValueRef left = ftc_cg_at(cg, cg->i32, tile_row(cg, a, i.index), w.index);
    left = ftc_cg_splat(cg, ftc_cg_load(cg, cg->i32, left), 16);
    LLVMValueRef right = ftc_cg_load(cg, words, tile_row(cg, b, w.index));
    LLVMValueRef at = tile_row(cg, c, i.index), sum = ftc_cg_load(cg, floats, at);
    for (int upper = 0; upper < 2; upper++)
        sum = ftc_cg_fma(cg, half_of(cg, left, upper), half_of(cg, right, upper), sum);
    ftc_cg_store(cg, sum, at);
    ftc_cg_loop_end(cg, &w);
    ftc_cg_loop_end(cg, &i);
}

static const ftc_amx emulation = {emulated_configure, emulated_zero, emulated_load, emulated_store,
                                  emulated_add_products};

// Variants: bit 0 A transposed, bit 1 B transposed, bits 2 and 3 A and B f32, rounded while it is packed, bit
// 4 blocks of C whose rows are no whole vectors, where registers hold them, bit 5 k is MAX_K always: rows of
// an A that is not transposed are whole pairs then.
enum { N_BF16 = 64 };

static ftc_contraction_case bf16_case(int variant) {
    ftc_contraction_case c = LARGEST;
    for (int i = 0; i < 2 + !(variant >> 5 & 1); i++) c.extents[i] = "tokens";
    c.a_transposed = variant & 1;
    c.b_transposed = variant >> 1 & 1;
    c.a = variant >> 2 & 1 ? FTC_FORM_ROUNDED : FTC_FORM_BF16;
    c.b = variant >> 3 & 1 ? FTC_FORM_ROUNDED : FTC_FORM_BF16;
    return c;
}

static float rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The operand as the contraction reads it: x itself, or its upper halves after rounding. To be freed.
static void *stored(const float *x, int64_t n, ftc_gemm_form form) {
    uint16_t *halves = aligned_alloc(64, ((size_t)(n + SLACK) * sizeof(float) + 63) / 64 * 64);
    if (form == FTC_FORM_ROUNDED) return memcpy(halves, x, (size_t)(n + SLACK) * sizeof *x);
    for (int64_t i = 0; i < n + SLACK; i++) {
        float value = rounded(x[i]);
        memcpy(&halves[i], (char *)&value + 2, sizeof *halves);
    }
    return halves;
}

static ftc_codegen *emit_bf16(const ftc_target *target, int64_t scratch_bytes[N_BF16]) {
    char *error = NULL, name[32];
    ftc_codegen *cg = ftc_codegen_new(target, "bf16", &error);
    cr_assert(cg, "%s", error);
    for (int v = 0; v < N_BF16; v++) {
        contraction_name(name, v);
        ftc_contraction_case c = bf16_case(v);
        ftc_contraction_plan plan = ftc_contraction_plan_for(target, &c);
        if (v >> 4 & 1) ftc_gemm_shape_resize(target, &plan.shape, 12, 1);
        scratch_bytes[v] = ftc_emit_contraction_alone(cg, name, &c, &plan);
    }
    cr_assert(ftc_object_optimize(cg, &error), "%s", error);
    return cg;
}

static void check_bf16(const ftc_target *target) {
    if (!ftc_target_supported_here(target)) cr_skip_test("this CPU cannot execute %s code", target->name);
    compiled c = {0};
    int64_t scratch_bytes[N_BF16];
    c.cg = emit_bf16(target, scratch_bytes);
    char *error = NULL, name[32];
    size_t size;
    char *object = ftc_object_emit(c.cg, &size, &error);
    c.loaded = object ? ftc_object_load(object, size, &error) : NULL;
    cr_assert(c.loaded, "%s", error);
    free(object);
    float *a = random_floats(MAX_M * MAX_K), *b = random_floats(MAX_K * MAX_N);
    const int64_t ldc = FTC_ALONE_LD(MAX_N);
    float *before = random_floats(MAX_M * ldc), *out = random_floats(MAX_M * ldc);
    for (int v = 0; v < N_BF16; v++) {
        ftc_contraction_case what = bf16_case(v);
        void *left = stored(a, MAX_M * MAX_K, what.a), *right = stored(b, MAX_K * MAX_N, what.b);
        char *scratch = aligned_alloc(64, (size_t)scratch_bytes[v]);
        contraction_name(name, v);
        ftc_contraction_fn *run = (ftc_contraction_fn *)find(&c, name);
        for (int s = 0; s < 12; s++) {
            int64_t m = random_extent(MAX_M), n = random_extent(MAX_N), k = random_extent(MAX_K);
            if (!what.extents[2]) k = MAX_K;
            memset(scratch, 0xff, (size_t)scratch_bytes[v]); // NaN
            memcpy(out, before, (size_t)(MAX_M * ldc) * sizeof *out);
            for (int t = 0; t < 2; t++) run(m, n, k, left, right, out, scratch, t, 2);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < n; j++) {
                    double sum = 0, magnitude = 1;
                    for (int64_t l = 0; l < k; l++) {
                        double x = rounded(a[what.a_transposed ? l * MAX_M + i : i * MAX_K + l]);
                        double y = rounded(b[what.b_transposed ? j * MAX_K + l : l * MAX_N + j]);
                        sum += x * y;
                        magnitude += fabs(x * y);
                    }
                    double is = out[i * ldc + j];
                    cr_assert(fabs(is - sum) <= 1e-6 * magnitude,
                              "%s: (%ld, %ld) of %ld x %ld x %ld is %g, not %g", name, (long)i, (long)j,
                              (long)m, (long)n, (long)k, is, sum);
                }
        }
        free(left);
        free(right);
        free(scratch);
    }
    free(a);
    free(b);
    free(before);
    free(out);
    free_compiled(&c);
}

Test(gemm, bf16_native) {
    ftc_target target = *ftc_target_host();
    fprintf(stderr, "bf16 here: %s\n", ftc_gemm_bf16_text(&target));
    check_bf16(&target);
}
Test(gemm, bf16_widened) {
    ftc_target target = *ftc_target_host();
    target.has_amx = target.bf16_pairs_are_fast = false;
    check_bf16(&target);
}
Test(gemm, bf16_avx2) {
    check_bf16(ftc_target_named("avx2"));
}

// The loops and the packing around AMX's instructions, with an emulation in their place.
Test(gemm, bf16_amx_emulated) {
    ftc_target target = *ftc_target_named("avx512");
    target.has_amx = true;
    target.amx = &emulation;
    check_bf16(&target);
}

// The instructions themselves: compiled for a CPU that has them.
Test(gemm, bf16_amx_compiles) {
    ftc_target target = *ftc_target_named("avx512");
    char *error = NULL;
    int64_t scratch_bytes[N_BF16];
    size_t size;
    target.cpu = "sapphirerapids";
    target.features = "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx512bf16,+amx-tile,+amx-bf16";
    target.has_avx512_bf16 = target.has_amx = true;
    ftc_codegen *cg = emit_bf16(&target, scratch_bytes);
    char *assembly = ftc_object_emit_assembly(cg, &size, &error);
    cr_assert(assembly, "%s", error);
    cr_expect(strstr(assembly, "tdpbf16ps") && strstr(assembly, "tileloadd") &&
              strstr(assembly, "ldtilecfg"));
    cr_expect(strstr(ftc_gemm_bf16_text(&target), "AMX"));
    if (!ftc_target_host()->has_amx)
        fprintf(stderr, "AMX code: compiled, not executed: this CPU has no tiles\n");
    free(assembly);
    ftc_codegen_free(cg);
}

Test(gemm, plans_are_texts) {
    const ftc_target *target = ftc_target_named("avx512");
    ftc_contraction_plan plan = ftc_contraction_plan_for(target, &LARGEST), again;
    char text[FTC_CONTRACTION_TEXT], twice[FTC_CONTRACTION_TEXT];
    const char *why = NULL;
    ftc_contraction_plan_text(&plan, text);
    cr_assert(ftc_contraction_plan_parse(target, &LARGEST, text, &again, &why), "%s: %s", text, why);
    ftc_contraction_plan_text(&again, twice);
    cr_expect_str_eq(text, twice);
    cr_expect_eq(again.packed_k, plan.packed_k);
    static const struct {
        const char *text, *why;
    } bad[] = {{"", "no plan"},
               {"8x3, tile 128x384, k 384, keep b or so", "no plan"},
               {"8x3, tile 128x384, k 384, drop b", "no plan"},
               {"8x4, tile 128x384, k 384, keep b", "registers"},
               {"0x3, tile 128x384, k 384, keep b", "registers"},
               {"8x3, tile 128x100, k 384, keep b", "multiple"},
               {"8x3, tile 128x384, k 0, keep b", "chunk"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why = "";
        cr_expect_not(ftc_contraction_plan_parse(target, &LARGEST, bad[i].text, &again, &why));
        cr_expect(strstr(why, bad[i].why), "\"%s\" is refused because %s", bad[i].text, why);
    }
}

// The tokens that a thread gets change with the thread count, the sums do not: nor with the extent around
// them.
Test(gemm, no_rows) {
    compiled c = compile_for("native");
    contraction_fn *run = (contraction_fn *)find(&c, "contraction_16");
    float x[64] = {0};
    run(0, 8, 8, x, 8, x, 8, NULL, 8, NULL, 0, 1);
    free_compiled(&c);
}
