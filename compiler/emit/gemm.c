#include "compiler/emit/gemm.h"

#include <stdio.h>
#include <string.h>

#include "compiler/emit/amx.h"

enum {
    MAX_ACCUMULATORS = 32,
    WORDS_PER_TURN = 4, // of the micro-kernel's loop
    WAY_BYTES = 4096,   // of L1 on x86: addresses a multiple of this apart fall into one set
    LINE_BYTES = 64,
    PREFETCH_WORDS = 32, // when A is contiguous along m a line for each word is too little to be seen coming
};

// The parameters of a micro-kernel.
enum { A, LDA, B, C, LDC, K, LAST, ACCUMULATE, AHEAD, AHEAD_STEP, N_PARAMS };
// When A is transposed, what is ahead is what is read behind the product: where the first matrix has the
// block, its `ld` in bytes, the others' distances from it, and whether it is to be fetched.
enum { BESIDE = N_PARAMS, FETCHES = BESIDE + FTC_GEMM_SOON - 1, N_PARAMS_T };
// AMX's have all of them and, behind these, the rows of the block that exist.
enum { ROWS = N_PARAMS_T, N_PARAMS_AMX, MOST_PARAMS = N_PARAMS_AMX };

ftc_gemm_kind ftc_gemm_kind_for(const ftc_target *target, ftc_gemm_form a, ftc_gemm_form b) {
    if (a == FTC_FORM_F32 || b == FTC_FORM_F32) return FTC_GEMM_F32;
    return target->has_amx ? FTC_GEMM_AMX : target->bf16_pairs_are_fast ? FTC_GEMM_PAIRS : FTC_GEMM_F32;
}

const char *ftc_gemm_bf16_text(const ftc_target *target) {
    switch (ftc_gemm_kind_for(target, FTC_FORM_BF16, FTC_FORM_BF16)) {
    case FTC_GEMM_AMX: return "multiplied by AMX tiles (tdpbf16ps), which this CPU has";
    case FTC_GEMM_PAIRS: return "multiplied in pairs (vdpbf16ps), at twice the rate of fp32 on this CPU";
    default: break;
    }
    if (target->has_avx512_bf16)
        return "stored as bf16 and multiplied as fp32: without AMX, this CPU's vdpbf16ps is slower than an "
               "FMA";
    return "stored as bf16 and multiplied as fp32: this CPU has no instructions for bf16";
}

// The extents of packed panels are chosen so that the accumulators, one row of B and one broadcast element of
// A fit in the vector registers: 8 * 3 + 3 + 1 of 32, 6 * 2 + 2 + 1 and 4 * 2 + 2 + 1 of 16. AMX has eight
// tiles: 2 * 2 of C, two of A and two of B.
//
// A chunk of a transposed A has a line of L1 at each k. On AVX2, where six of a line's sixteen words are one
// block's, rows are packed unless those lines are spread over all 64 sets, and six blocks at once, so that a
// line is seldom fetched again: gradients of BERT's weights then go from 61 to 76 GFLOP/s to 75 to 81, on
// Zen 4. On AVX-512 it costs more than it gives, unless all lines are in one set. Pairs are packed always,
// four blocks at once, whose cells are one line.
ftc_gemm_shape ftc_gemm_shape_for(const ftc_target *target, ftc_gemm_kind kind) {
    int lanes = target->vector_bits / 32;
    ftc_gemm_shape shape = target->vector_registers >= 32 ? (ftc_gemm_shape){.rows = 8, .vectors = 3}
                           : target->fma                  ? (ftc_gemm_shape){.rows = 6, .vectors = 2}
                                                          : (ftc_gemm_shape){.rows = 4, .vectors = 2};
    shape.row_unit = 1;
    if (kind == FTC_GEMM_AMX) shape = (ftc_gemm_shape){.rows = 32, .vectors = 2, .row_unit = 16};
    shape.kind = kind;
    bool is_avx2 = target->vector_registers < 32 && target->fma;
    shape.crowding = is_avx2 ? WAY_BYTES / 32 : WAY_BYTES;
    shape.together = is_avx2 ? 6 : kind == FTC_GEMM_PAIRS ? 4 : 1;
    shape.cols = shape.vectors * lanes;
    shape.k_per_word = kind == FTC_GEMM_F32 ? 1 : 2;
    shape.word_unit = kind == FTC_GEMM_AMX ? lanes : 1;
    shape.k_chunk = kind == FTC_GEMM_AMX ? 512 : 384 * shape.k_per_word;
    return shape;
}

bool ftc_gemm_shape_resize(const ftc_target *target, ftc_gemm_shape *shape, int rows, int vectors) {
    if (rows < 1 || vectors < 1) return false;
    if (shape->kind == FTC_GEMM_AMX) return rows == shape->rows && vectors == shape->vectors;
    if (rows > MAX_ACCUMULATORS || rows * vectors + vectors + 1 > target->vector_registers) return false;
    shape->cols = shape->cols / shape->vectors * vectors;
    shape->rows = rows;
    shape->vectors = vectors;
    return true;
}

// --- the micro-kernel ---------------------------------------------------------------------------------

// The word at `address` in every lane.
static LLVMValueRef broadcast(ftc_codegen *cg, ftc_gemm_kind kind, LLVMValueRef address) {
    LLVMTypeRef word = kind == FTC_GEMM_F32 ? cg->f32 : cg->i32;
    return ftc_cg_splat(cg, ftc_cg_load(cg, word, address), cg->lanes);
}

// sum + a · b, word by word.
static LLVMValueRef add_products(ftc_codegen *cg, ftc_gemm_kind kind, LLVMValueRef a, LLVMValueRef b,
                                 LLVMValueRef sum) {
    if (kind == FTC_GEMM_F32) return ftc_cg_fma(cg, a, b, sum);
    LLVMTypeRef pairs = ftc_cg_vector_type(cg, cg->bf16, 2 * cg->lanes);
    LLVMValueRef args[] = {sum, LLVMBuildBitCast(cg->builder, a, pairs, ""),
                           LLVMBuildBitCast(cg->builder, b, pairs, "")};
    return ftc_cg_intrinsic(cg, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, args, 3);
}

// A value that LLVM knows nothing about. It would make the address of each row of A from that of the row
// before: additions in the innermost loop, which on Intel's cores take places of FMAs.
static LLVMValueRef opaque(ftc_codegen *cg, LLVMValueRef v) {
    LLVMTypeRef type = LLVMFunctionType(cg->i64, &cg->i64, 1, 0);
    LLVMValueRef code =
        LLVMGetInlineAsm(type, "", 0, "=r,0", strlen("=r,0"), 0, 0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(cg->builder, type, code, &v, 1, "");
}

// A block of accumulators and what makes them.
typedef struct {
    ftc_gemm_kind kind;
    int rows, vectors;
    LLVMValueRef row[MAX_ACCUMULATORS];     // where the rows of A are, in words
    LLVMValueRef address[MAX_ACCUMULATORS]; // where its vectors lie in C
    LLVMValueRef sum[MAX_ACCUMULATORS];
} accumulators;

// One word of k: that of A's first row is at `a`, the panel's row at `b`.
static void add_word(ftc_codegen *cg, accumulators *c, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, cg->lanes);
    LLVMValueRef b_vector[MAX_ACCUMULATORS];
    for (int j = 0; j < c->vectors; j++)
        b_vector[j] = ftc_cg_load(cg, vector, ftc_cg_at(cg, cg->f32, b, ftc_cg_i64(cg, j * cg->lanes)));
    for (int r = 0; r < c->rows; r++) {
        LLVMValueRef x = broadcast(cg, c->kind, ftc_cg_at(cg, cg->f32, a, c->row[r]));
        for (int j = 0; j < c->vectors; j++) {
            LLVMValueRef *sum = &c->sum[r * c->vectors + j];
            *sum = add_products(cg, c->kind, x, b_vector[j], *sum);
        }
    }
}

enum { NAME_SIZE = 64 };

// ftc.gemm<what>[.pairs|.amx][.t].<rows>x<vectors>.<cols>: `cols` is that of the panels of B.
static void name_function(char name[NAME_SIZE], const char *what, const ftc_gemm_shape *shape,
                          bool transposed, int rows, int vectors) {
    static const char *const kinds[] = {
        [FTC_GEMM_F32] = "", [FTC_GEMM_PAIRS] = ".pairs", [FTC_GEMM_AMX] = ".amx"};
    snprintf(name, NAME_SIZE, "ftc.gemm%s%s%s.%dx%d.%d", what, kinds[shape->kind], transposed ? ".t" : "",
             rows, vectors, shape->cols);
}

static int lines_of(const ftc_codegen *cg, int vectors) {
    return (vectors * cg->lanes * (int)sizeof(float) + LINE_BYTES - 1) / LINE_BYTES;
}

// One line of each of the matrices that are read behind the product: that of the block's first row, then of
// its others, then the next ones. Returns where the line for the next turn is.
static LLVMValueRef fetch_line(ftc_codegen *cg, const accumulators *block, const LLVMValueRef arg[N_PARAMS_T],
                               LLVMValueRef word, LLVMValueRef at) {
    ftc_cg_prefetch(cg, cg->i8, at, ftc_cg_i64(cg, 0), FTC_CG_INTO_L2);
    for (int i = 1; i < FTC_GEMM_SOON; i++)
        ftc_cg_prefetch(cg, cg->i8, at, arg[BESIDE + i - 1], FTC_CG_INTO_L2);
    LLVMValueRef step = arg[AHEAD_STEP], last = ftc_cg_i64(cg, block->rows - 1);
    if (lines_of(cg, block->vectors) > 1) {
        LLVMValueRef turn = ftc_cg_div(cg, word, ftc_cg_i64(cg, WORDS_PER_TURN));
        LLVMValueRef row = ftc_cg_rem(cg, turn, ftc_cg_i64(cg, block->rows));
        LLVMValueRef back = ftc_cg_sub(cg, ftc_cg_i64(cg, LINE_BYTES), ftc_cg_mul(cg, step, last));
        step = ftc_cg_select(cg, ftc_cg_compare(cg, LLVMIntEQ, row, last), back, step);
    }
    return ftc_cg_at(cg, cg->i8, at, step);
}

// A block of zeros: where its rows of A are and its vectors of C, which are brought into L1 for the end.
static accumulators begin_block(ftc_codegen *cg, const ftc_gemm_shape *shape, bool transposed, int rows,
                                int vectors, const LLVMValueRef arg[N_PARAMS_T]) {
    accumulators block = {.kind = shape->kind, .rows = rows, .vectors = vectors};
    for (int r = 0; r < rows; r++) {
        LLVMValueRef row = ftc_cg_i64(cg, r);
        block.row[r] = transposed ? row : opaque(cg, ftc_cg_mul(cg, arg[LDA], row));
        LLVMValueRef c_row = ftc_cg_at(cg, cg->f32, arg[C], ftc_cg_mul(cg, arg[LDC], row));
        for (int j = 0; j < vectors; j++) {
            LLVMValueRef col = ftc_cg_i64(cg, j * cg->lanes);
            block.address[r * vectors + j] = ftc_cg_at(cg, cg->f32, c_row, col);
            block.sum[r * vectors + j] = LLVMConstNull(ftc_cg_vector_type(cg, cg->f32, cg->lanes));
            ftc_cg_prefetch(cg, cg->f32, c_row, col, FTC_CG_INTO_L1);
        }
    }
    return block;
}

// Where the micro-kernel is: in A, in the panel of B, and in what is ahead.
enum { IN_A, IN_B, IN_NEXT, MAX_POINTERS };

// The loop over words `first` … `end` - 1 of k, `words` of them a turn, each of which fetches something that
// is ahead, if `fetches`. `at` and the block's sums go on from where they are.
static void add_words(ftc_codegen *cg, const ftc_gemm_shape *shape, bool transposed, bool fetches,
                      const LLVMValueRef arg[N_PARAMS_T], LLVMValueRef first, LLVMValueRef end, int words,
                      LLVMValueRef at[MAX_POINTERS], accumulators *block) {
    int n_pointers = fetches ? MAX_POINTERS : IN_NEXT, n_sums = block->rows * block->vectors;
    LLVMValueRef a_step = transposed ? arg[LDA] : ftc_cg_i64(cg, 1), b_step = ftc_cg_i64(cg, shape->cols);
    LLVMValueRef pointers[MAX_POINTERS], sums[MAX_ACCUMULATORS];
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, first, end, ftc_cg_i64(cg, words));
    for (int i = 0; i < n_pointers; i++) pointers[i] = at[i] = ftc_cg_loop_carry(cg, &loop, at[i]);
    for (int i = 0; i < n_sums; i++) sums[i] = block->sum[i] = ftc_cg_loop_carry(cg, &loop, block->sum[i]);
    if (fetches && transposed) {
        at[IN_NEXT] = fetch_line(cg, block, arg, loop.index, at[IN_NEXT]);
    } else if (fetches) {
        ftc_cg_prefetch(cg, cg->i8, at[IN_NEXT], ftc_cg_i64(cg, 0), FTC_CG_INTO_L2);
        at[IN_NEXT] = ftc_cg_at(cg, cg->i8, at[IN_NEXT], arg[AHEAD_STEP]);
    }
    for (int w = 0; w < words; w++) {
        if (transposed) {
            LLVMValueRef ahead = ftc_cg_mul(cg, arg[LDA], ftc_cg_i64(cg, PREFETCH_WORDS));
            ftc_cg_prefetch(cg, cg->f32, at[IN_A], ahead, FTC_CG_INTO_L1);
        }
        add_word(cg, block, at[IN_A], at[IN_B]);
        at[IN_A] = ftc_cg_at(cg, cg->f32, at[IN_A], a_step);
        at[IN_B] = ftc_cg_at(cg, cg->f32, at[IN_B], b_step);
    }
    for (int i = 0; i < n_pointers; i++) ftc_cg_loop_next(&loop, pointers[i], at[i]);
    for (int i = 0; i < n_sums; i++) ftc_cg_loop_next(&loop, sums[i], block->sum[i]);
    ftc_cg_loop_end(cg, &loop);
    for (int i = 0; i < n_pointers; i++) at[i] = ftc_cg_loop_result(&loop, pointers[i]);
    for (int i = 0; i < n_sums; i++) block->sum[i] = ftc_cg_loop_result(&loop, sums[i]);
}

// What is in C comes on top, if `accumulate` says so; of each row's last vector the first `last` lanes count.
static void add_what_is_there(ftc_codegen *cg, LLVMValueRef accumulate, LLVMValueRef last,
                              accumulators *block) {
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, cg->lanes);
    int n_sums = block->rows * block->vectors;
    ftc_cg_if adding = ftc_cg_if_begin(cg, accumulate);
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(cg->builder)};
    LLVMValueRef sum[MAX_ACCUMULATORS],
        mask = cg->reads_exactly ? ftc_cg_tail_mask(cg, last, cg->lanes) : NULL;
    for (int i = 0; i < n_sums; i++) {
        bool is_last = i % block->vectors == block->vectors - 1;
        LLVMValueRef old = ftc_cg_load_overhanging(cg, vector, block->address[i], is_last ? mask : NULL);
        sum[i] = ftc_cg_fadd(cg, old, block->sum[i]);
    }
    ftc_cg_if_else(cg, &adding);
    from[1] = LLVMGetInsertBlock(cg->builder);
    ftc_cg_if_end(cg, &adding);
    for (int i = 0; i < n_sums; i++) {
        LLVMValueRef phi = LLVMBuildPhi(cg->builder, vector, "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){sum[i], block->sum[i]}, from, 2);
        block->sum[i] = phi;
    }
}

// The block into C; of each row's last vector the first `last` lanes.
static void store_block(ftc_codegen *cg, LLVMValueRef last, const accumulators *block) {
    int n_sums = block->rows * block->vectors, vectors = block->vectors;
    for (int i = 0; i < n_sums; i++)
        if (i % vectors < vectors - 1) ftc_cg_store(cg, block->sum[i], block->address[i]);
    LLVMValueRef mask = ftc_cg_tail_mask(cg, last, cg->lanes);
    ftc_cg_if full = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntEQ, last, ftc_cg_i64(cg, cg->lanes)));
    for (int i = vectors - 1; i < n_sums; i += vectors) ftc_cg_store(cg, block->sum[i], block->address[i]);
    ftc_cg_if_else(cg, &full);
    for (int i = vectors - 1; i < n_sums; i += vectors)
        ftc_cg_store_masked(cg, block->sum[i], block->address[i], mask);
    ftc_cg_if_end(cg, &full);
}

static void emit_kernel(ftc_codegen *cg, const ftc_gemm_shape *shape, bool transposed, int rows, int vectors,
                        const LLVMValueRef arg[N_PARAMS_T]) {
    accumulators block = begin_block(cg, shape, transposed, rows, vectors, arg);
    LLVMValueRef at[MAX_POINTERS] = {[IN_A] = arg[A], [IN_B] = arg[B], [IN_NEXT] = arg[AHEAD]};
    LLVMValueRef k = arg[K], zero = ftc_cg_i64(cg, 0), fetched = zero, in_turns = zero;
    if (rows == shape->rows) {
        in_turns = LLVMBuildAnd(cg->builder, k, ftc_cg_i64(cg, -WORDS_PER_TURN), "");
        fetched = in_turns;
        if (transposed) {
            LLVMValueRef all = ftc_cg_i64(cg, (int64_t)WORDS_PER_TURN * rows * lines_of(cg, vectors));
            fetched = ftc_cg_min(cg, in_turns, ftc_cg_select(cg, arg[FETCHES], all, zero));
        }
        add_words(cg, shape, transposed, true, arg, zero, fetched, WORDS_PER_TURN, at, &block);
        if (transposed) add_words(cg, shape, true, false, arg, fetched, in_turns, WORDS_PER_TURN, at, &block);
    }
    add_words(cg, shape, transposed, false, arg, in_turns, k, 1, at, &block);
    add_what_is_there(cg, arg[ACCUMULATE], arg[LAST], &block);
    store_block(cg, arg[LAST], &block);
}

static void emit_amx_kernel(ftc_codegen *cg, const ftc_gemm_shape *shape, int rows, int vectors,
                            const LLVMValueRef arg[N_PARAMS_AMX]) {
    ftc_amx_block block = {.a = arg[A],
                           .lda = arg[LDA],
                           .b = arg[B],
                           .c = arg[C],
                           .ldc = arg[LDC],
                           .k = arg[K],
                           .last = arg[LAST],
                           .accumulate = arg[ACCUMULATE],
                           .rows = arg[ROWS],
                           .fetch = {.ahead = arg[AHEAD], .step = arg[AHEAD_STEP], .wanted = arg[FETCHES]}};
    memcpy(block.fetch.beside, &arg[BESIDE], sizeof block.fetch.beside);
    ftc_amx_emit_kernel(cg, shape, &block, rows, vectors);
}

// void ftc.gemm….<rows>x<vectors>.<cols>(a, lda, b, c, ldc, k, last, accumulate, ahead, ahead_step, …): a
// whole `rows` × `vectors` block of accumulators from words of A and a panel of B; of the last vector only
// the first `last` lanes exist in C (whole vectors of C are read). Word (m, k) of A is at a[m * lda + k], or
// at a[k * lda + m] when transposed (.t). Rows of A that come next are brought into L2 meanwhile: what is at
// `ahead` and, with each turn of the loop, ahead_step bytes further on; when A is transposed, what is read
// behind the product, in the first turns. Blocks of fewer rows than shape->rows are the last: no time is
// spent on making them fast.
static LLVMValueRef kernel_function(ftc_codegen *cg, const ftc_gemm_shape *shape, bool transposed, int rows,
                                    int vectors) {
    char name[NAME_SIZE];
    name_function(name, "", shape, transposed, rows, vectors);
    LLVMValueRef found = ftc_cg_function_find(cg, name);
    if (found) return found;
    LLVMTypeRef params[MOST_PARAMS] = {cg->ptr, cg->i64, cg->ptr, cg->ptr, cg->i64, cg->i64, cg->i64,
                                       cg->i1,  cg->ptr, cg->i64, cg->i64, cg->i64, cg->i1,  cg->i64};
    bool is_amx = shape->kind == FTC_GEMM_AMX;
    int n_params = is_amx ? N_PARAMS_AMX : transposed ? N_PARAMS_T : N_PARAMS;
    ftc_cg_function f =
        ftc_cg_function_begin(cg, name, cg->void_type, params, n_params, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[MOST_PARAMS] = {0};
    LLVMGetParams(f.function, arg);
    if (is_amx)
        emit_amx_kernel(cg, shape, rows, vectors, arg);
    else
        emit_kernel(cg, shape, transposed, rows, vectors, arg);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

// The table of micro-kernels, [rows / row_unit - 1][vectors - 1], as a constant.
static LLVMValueRef kernel_table(ftc_codegen *cg, const ftc_gemm_shape *shape, bool transposed) {
    char name[NAME_SIZE];
    name_function(name, ".kernels", shape, transposed, shape->rows, shape->vectors);
    LLVMValueRef table = LLVMGetNamedGlobal(cg->module, name);
    if (table) return table;
    LLVMValueRef kernels[MAX_ACCUMULATORS];
    int n = 0;
    for (int rows = shape->row_unit; rows <= shape->rows; rows += shape->row_unit)
        for (int vectors = 1; vectors <= shape->vectors; vectors++)
            kernels[n++] = kernel_function(cg, shape, transposed, rows, vectors);
    table = LLVMAddGlobal(cg->module, LLVMArrayType2(cg->ptr, (uint64_t)n), name);
    LLVMSetInitializer(table, LLVMConstArray2(cg->ptr, kernels, (uint64_t)n));
    LLVMSetGlobalConstant(table, 1);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    return table;
}

// --- the block ----------------------------------------------------------------------------------------

// Those of the block function; behind them, as far as it has them, the buffer and what is read behind the
// product.
enum {
    BLOCK_PARAMS = 10,
    SOON_PARAMS = 3 + FTC_GEMM_SOON,
    MOST_BLOCK_PARAMS = BLOCK_PARAMS + 1 + SOON_PARAMS,
};

// Whether blocks fetch what is read behind the product.
static bool fetches_soon(const ftc_gemm_shape *shape, bool transposed) {
    return transposed || shape->kind == FTC_GEMM_AMX;
}

// Calls the micro-kernel for the rows and columns that there are: at most shape->rows and shape->cols. Fills
// in args[LAST], the lanes of the last vector, and, for AMX, args[ROWS].
static void call_kernel(ftc_codegen *cg, const ftc_gemm_shape *shape, bool transposed, LLVMValueRef rows,
                        LLVMValueRef cols, LLVMValueRef args[MOST_PARAMS]) {
    LLVMValueRef table = kernel_table(cg, shape, transposed), one = ftc_cg_i64(cg, 1);
    LLVMValueRef lanes = ftc_cg_i64(cg, cg->lanes);
    LLVMTypeRef type =
        LLVMGlobalGetValueType(kernel_function(cg, shape, transposed, shape->rows, shape->vectors));
    LLVMValueRef row = ftc_cg_sub(cg, rows, one);
    if (shape->row_unit > 1) row = ftc_cg_div(cg, row, ftc_cg_i64(cg, shape->row_unit));
    row = ftc_cg_mul(cg, row, ftc_cg_i64(cg, shape->vectors));
    LLVMValueRef whole = ftc_cg_div(cg, ftc_cg_sub(cg, cols, one), lanes);
    args[LAST] = ftc_cg_sub(cg, cols, ftc_cg_mul(cg, whole, lanes));
    LLVMValueRef kernel = ftc_cg_load(cg, cg->ptr, ftc_cg_at(cg, cg->ptr, table, ftc_cg_add(cg, row, whole)));
    args[ROWS] = rows;
    LLVMBuildCall2(cg->builder, type, kernel, args, LLVMCountParamTypes(type), "");
}

// In bytes.
static LLVMValueRef distance(ftc_codegen *cg, LLVMValueRef from, LLVMValueRef to) {
    LLVMValueRef begin = LLVMBuildPtrToInt(cg->builder, from, cg->i64, "");
    return ftc_cg_sub(cg, LLVMBuildPtrToInt(cg->builder, to, cg->i64, ""), begin);
}

// The rows of `a`, those of a block that begins at `row` of m, packed in `buffer`: with the first of the
// blocks that are packed together those of all.
static ftc_matrix packed_rows(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_matrix *a,
                              LLVMValueRef row, LLVMValueRef m, LLVMValueRef k, LLVMValueRef buffer) {
    LLVMValueRef most = ftc_cg_i64(cg, (int64_t)shape->rows * shape->together);
    LLVMValueRef before = ftc_cg_rem(cg, row, most), left = ftc_cg_sub(cg, m, row);
    ftc_cg_if first = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntEQ, before, ftc_cg_i64(cg, 0)));
    ftc_matrix packed = ftc_emit_pack_rows(cg, shape, a, ftc_cg_min(cg, left, most), k, buffer);
    ftc_cg_if_end(cg, &first);
    LLVMValueRef depth = ftc_emit_packed_depth(cg, shape, k);
    packed.base = ftc_cg_at(cg, cg->f32, buffer, ftc_cg_mul(cg, before, depth));
    return packed;
}

// The rows of A that are read where they lie, in words, or, of fewer than a whole block, the packed ones: AMX
// reads all rows of a tile.
static ftc_matrix rows_in_place(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_matrix *a,
                                LLVMValueRef rows, LLVMValueRef k, LLVMValueRef buffer) {
    LLVMValueRef base = ftc_cg_variable(cg, cg->ptr), ld = ftc_cg_variable(cg, cg->i64);
    ftc_cg_store(cg, a->base, base);
    ftc_cg_store(cg, ftc_cg_div(cg, a->ld, ftc_cg_i64(cg, shape->k_per_word)), ld);
    ftc_cg_if part = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, rows, ftc_cg_i64(cg, shape->rows)));
    ftc_matrix packed = ftc_emit_pack_rows(cg, shape, a, rows, k, buffer);
    ftc_cg_store(cg, packed.base, base);
    ftc_cg_store(cg, packed.ld, ld);
    ftc_cg_if_end(cg, &part);
    return (ftc_matrix){.base = ftc_cg_load(cg, cg->ptr, base), .ld = ftc_cg_load(cg, cg->i64, ld)};
}

// How a block has its rows of A.
typedef enum { ROWS_READ, ROWS_PACKED, ROWS_IN_PLACE } rows_mode; // IN_PLACE: read, packed when not whole

static rows_mode rows_mode_of(const ftc_gemm_shape *shape, const ftc_matrix *a) {
    if (ftc_gemm_buffer_bytes(shape, a, 1) == 0) return ROWS_READ;
    return ftc_gemm_reads_pairs(shape, a) ? ROWS_IN_PLACE : ROWS_PACKED;
}

// The rows of `a`, `rows` of them from `row` of m on, as words.
static ftc_matrix rows_of_block(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_matrix *a,
                                rows_mode mode, LLVMValueRef row, LLVMValueRef rows, LLVMValueRef m,
                                LLVMValueRef k, LLVMValueRef buffer) {
    ftc_matrix in_words = *a;
    in_words.ld = ftc_cg_div(cg, a->ld, ftc_cg_i64(cg, shape->k_per_word));
    if (mode == ROWS_READ) return in_words;
    if (mode == ROWS_IN_PLACE) return rows_in_place(cg, shape, a, rows, k, buffer);
    if (a->transposed && shape->together > 1) return packed_rows(cg, shape, a, row, m, k, buffer);
    return ftc_emit_pack_rows(cg, shape, a, rows, k, buffer);
}

// void ftc.gemm.block…(m, n, k, a, lda, b, c, ldc, accumulate, b_depth[, buffer][, soon, soon_step, beside…,
// fetches, size]): a row block of A stays in L1 while the panels of B pass by; meanwhile the rows that come
// next are prefetched, one with each panel, or, when A is transposed and by AMX, what is read behind the
// product.
static LLVMValueRef block_function(ftc_codegen *cg, const ftc_gemm_shape *shape, ftc_gemm_form form,
                                   rows_mode mode, bool transposed) {
    static const char *const whats[] = {".block.packing", ".block.bf16", ".block.rounded"};
    char name[NAME_SIZE];
    name_function(name, mode == ROWS_PACKED ? whats[form] : ".block", shape, transposed, shape->rows,
                  shape->vectors);
    LLVMValueRef found = ftc_cg_function_find(cg, name);
    if (found) return found;
    LLVMTypeRef params[MOST_BLOCK_PARAMS] = {cg->i64, cg->i64, cg->i64, cg->ptr, cg->i64,
                                             cg->ptr, cg->ptr, cg->i64, cg->i1,  cg->i64},
                first_soon[SOON_PARAMS] = {cg->ptr, cg->i64, cg->i64, cg->i64, cg->i1, cg->i64};
    int n_params = BLOCK_PARAMS;
    bool buffered = mode != ROWS_READ;
    if (buffered) params[n_params++] = cg->ptr;
    bool fetches = fetches_soon(shape, transposed);
    for (int i = 0; fetches && i < SOON_PARAMS; i++) params[n_params++] = first_soon[i];
    ftc_cg_function f =
        ftc_cg_function_begin(cg, name, cg->void_type, params, n_params, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[MOST_BLOCK_PARAMS], *soon = arg + BLOCK_PARAMS + buffered;
    LLVMGetParams(f.function, arg);
    LLVMValueRef m = arg[0], n = arg[1], k = arg[2], lda = arg[4], b = arg[5], c = arg[6], ldc = arg[7];

    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);
    LLVMTypeRef element = ftc_gemm_element_type(cg, form);
    LLVMValueRef a_row = transposed ? one : lda, depth = ftc_emit_packed_depth(cg, shape, k);
    int64_t turn_bytes = WORDS_PER_TURN * shape->k_per_word * ftc_gemm_element_bytes(form);
    ftc_cg_loop row = ftc_cg_loop_begin(cg, zero, m, ftc_cg_i64(cg, shape->rows));
    LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_sub(cg, m, row.index), ftc_cg_i64(cg, shape->rows));
    ftc_matrix a = {.base = ftc_cg_at(cg, element, arg[3], ftc_cg_mul(cg, row.index, a_row)),
                    .ld = lda,
                    .transposed = transposed,
                    .form = form};
    LLVMValueRef next_rows =
        ftc_cg_at(cg, element, a.base, ftc_cg_mul(cg, a_row, ftc_cg_i64(cg, shape->rows)));
    a = rows_of_block(cg, shape, &a, mode, row.index, rows, m, k, arg[BLOCK_PARAMS]);
    LLVMValueRef c_row = ftc_cg_at(cg, cg->f32, c, ftc_cg_mul(cg, row.index, ldc));
    ftc_cg_loop col = ftc_cg_loop_begin(cg, zero, n, ftc_cg_i64(cg, shape->cols));
    LLVMValueRef ahead = ftc_cg_loop_carry(cg, &col, next_rows);
    LLVMValueRef cols = ftc_cg_min(cg, ftc_cg_sub(cg, n, col.index), ftc_cg_i64(cg, shape->cols));
    LLVMValueRef panel = ftc_cg_at(cg, cg->f32, b, ftc_cg_mul(cg, col.index, arg[9]));
    LLVMValueRef c_at = ftc_cg_at(cg, cg->f32, c_row, col.index);
    LLVMValueRef args[MOST_PARAMS] = {a.base, a.ld, panel,  c_at,  ldc,
                                      depth,  NULL, arg[8], ahead, ftc_cg_i64(cg, turn_bytes)};
    if (fetches) {
        memcpy(&args[AHEAD], soon, (FETCHES + 1 - AHEAD) * sizeof *soon);
        LLVMValueRef soon_row = ftc_cg_at(cg, cg->i8, soon[0], ftc_cg_mul(cg, row.index, soon[1]));
        args[AHEAD] = ftc_cg_at(cg, cg->i8, soon_row, ftc_cg_mul(cg, col.index, soon[SOON_PARAMS - 1]));
    }
    call_kernel(cg, shape, a.transposed, rows, cols, args);
    ftc_cg_loop_next(&col, ahead, ftc_cg_at(cg, element, ahead, a_row));
    ftc_cg_loop_end(cg, &col);
    ftc_cg_loop_end(cg, &row);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

void ftc_emit_block(ftc_codegen *cg, const ftc_gemm_block *g) {
    if (g->shape.kind == FTC_GEMM_AMX) ftc_amx_configure(cg);
    rows_mode mode = rows_mode_of(&g->shape, &g->a);
    LLVMValueRef function = block_function(cg, &g->shape, g->a.form, mode, g->a.transposed);
    LLVMValueRef depth = g->depth ? g->depth : ftc_emit_packed_depth(cg, &g->shape, g->k);
    LLVMValueRef args[MOST_BLOCK_PARAMS] = {g->m, g->n, g->k,   g->a.base,     g->a.ld,
                                            g->b, g->c, g->ldc, g->accumulate, depth};
    int n_args = BLOCK_PARAMS;
    if (mode != ROWS_READ) args[n_args++] = g->buffer;
    if (fetches_soon(&g->shape, g->a.transposed)) {
        const ftc_gemm_soon *soon = &g->soon;
        LLVMValueRef size = ftc_cg_i64(cg, ftc_gemm_element_bytes(soon->form)), zero = ftc_cg_i64(cg, 0);
        args[n_args++] = soon->n ? soon->base[0] : g->c;
        args[n_args++] = soon->n ? ftc_cg_mul(cg, soon->ld, size) : zero;
        for (int i = 1; i < FTC_GEMM_SOON; i++)
            args[n_args++] = i < soon->n ? distance(cg, soon->base[0], soon->base[i]) : zero;
        args[n_args++] = soon->n ? g->is_last : ftc_cg_bool(cg, false);
        args[n_args++] = size;
    }
    ftc_cg_call(cg, function, args, n_args);
}
