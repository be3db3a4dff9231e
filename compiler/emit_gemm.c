#include "compiler/emit_gemm.h"

#include <stdio.h>

#include "compiler/emit_amx.h"

enum {
    MAX_ACCUMULATORS = 32,
    PREFETCH_K = 32, // when A is contiguous along m a line for each k is too little to be seen coming
};

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
ftc_gemm_shape ftc_gemm_shape_for(const ftc_target *target, ftc_gemm_kind kind) {
    int lanes = target->vector_bits / 32;
    ftc_gemm_shape shape = target->vector_registers >= 32 ? (ftc_gemm_shape){.rows = 8, .vectors = 3}
                           : target->fma                  ? (ftc_gemm_shape){.rows = 6, .vectors = 2}
                                                          : (ftc_gemm_shape){.rows = 4, .vectors = 2};
    shape.row_unit = 1;
    if (kind == FTC_GEMM_AMX) shape = (ftc_gemm_shape){.rows = 32, .vectors = 2, .row_unit = 16};
    shape.kind = kind;
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

static const char *const kernel_names[] = {
    [FTC_GEMM_F32] = "ftc.gemm", [FTC_GEMM_PAIRS] = "ftc.gemm.pairs", [FTC_GEMM_AMX] = "ftc.gemm.amx"};

// void ftc.gemm.<rows>x<vectors>(a, a_row, a_col, b, ldb, c, ldc, k, last, accumulate): a whole `rows` ×
// `vectors` block of accumulators; of the last vector only the first `last` lanes exist in C (whole vectors
// of C are read). Distances in A and B and k count words.
static LLVMValueRef kernel_function(ftc_codegen *cg, ftc_gemm_kind kind, int rows, int vectors) {
    char name[32];
    snprintf(name, sizeof name, "%s.%dx%d", kernel_names[kind], rows, vectors);
    LLVMValueRef found = ftc_cg_function_find(cg, name); // shapes share their smaller blocks
    if (found) return found;
    if (kind == FTC_GEMM_AMX) return ftc_amx_kernel_function(cg, name, rows, vectors);
    LLVMTypeRef params[] = {cg->ptr, cg->i64, cg->i64, cg->ptr, cg->i64,
                            cg->ptr, cg->i64, cg->i64, cg->i64, cg->i1};
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 10, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[10];
    LLVMGetParams(f.function, arg);
    LLVMValueRef a = arg[0], a_row = arg[1], a_col = arg[2], b = arg[3], ldb = arg[4], c = arg[5],
                 ldc = arg[6];
    LLVMValueRef k = arg[7], last = arg[8], accumulate = arg[9];

    int lanes = cg->lanes, n_acc = rows * vectors;
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, lanes);
    LLVMValueRef acc[MAX_ACCUMULATORS], address[MAX_ACCUMULATORS], a_offset[MAX_ACCUMULATORS];
    // C is needed at the end; the rows of A below are those of the next block, where the hardware does not
    // look yet.
    for (int r = 0; r < rows; r++) {
        a_offset[r] = ftc_cg_mul(cg, a_row, ftc_cg_i64(cg, r));
        ftc_cg_prefetch(cg, cg->f32, a, ftc_cg_mul(cg, a_row, ftc_cg_i64(cg, rows + r)));
        LLVMValueRef c_row = ftc_cg_at(cg, cg->f32, c, ftc_cg_mul(cg, ldc, ftc_cg_i64(cg, r)));
        for (int j = 0; j < vectors; j++) {
            address[r * vectors + j] = ftc_cg_at(cg, cg->f32, c_row, ftc_cg_i64(cg, j * lanes));
            ftc_cg_prefetch(cg, cg->f32, c_row, ftc_cg_i64(cg, j * lanes));
        }
    }

    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), k, ftc_cg_i64(cg, 1));
    LLVMValueRef a_at = ftc_cg_loop_carry(cg, &loop, a), b_at = ftc_cg_loop_carry(cg, &loop, b);
    for (int i = 0; i < n_acc; i++) acc[i] = ftc_cg_loop_carry(cg, &loop, LLVMConstNull(vector));
    ftc_cg_prefetch(cg, cg->f32, a_at, ftc_cg_mul(cg, a_col, ftc_cg_i64(cg, PREFETCH_K)));
    LLVMValueRef b_vector[MAX_ACCUMULATORS];
    for (int j = 0; j < vectors; j++)
        b_vector[j] = ftc_cg_load(cg, vector, ftc_cg_at(cg, cg->f32, b_at, ftc_cg_i64(cg, j * lanes)));
    for (int r = 0; r < rows; r++) {
        LLVMValueRef x = broadcast(cg, kind, ftc_cg_at(cg, cg->f32, a_at, a_offset[r]));
        for (int j = 0; j < vectors; j++) {
            LLVMValueRef *sum = &acc[r * vectors + j];
            ftc_cg_loop_next(&loop, *sum, add_products(cg, kind, x, b_vector[j], *sum));
        }
    }
    ftc_cg_loop_next(&loop, a_at, ftc_cg_at(cg, cg->f32, a_at, a_col));
    ftc_cg_loop_next(&loop, b_at, ftc_cg_at(cg, cg->f32, b_at, ldb));
    ftc_cg_loop_end(cg, &loop);

    ftc_cg_if adding = ftc_cg_if_begin(cg, accumulate);
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(cg->builder)};
    LLVMValueRef sum[MAX_ACCUMULATORS];
    for (int i = 0; i < n_acc; i++) sum[i] = ftc_cg_fadd(cg, ftc_cg_load(cg, vector, address[i]), acc[i]);
    ftc_cg_if_else(cg, &adding);
    from[1] = LLVMGetInsertBlock(cg->builder);
    ftc_cg_if_end(cg, &adding);
    for (int i = 0; i < n_acc; i++) {
        LLVMValueRef phi = LLVMBuildPhi(cg->builder, vector, "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){sum[i], acc[i]}, from, 2);
        sum[i] = phi;
    }
    for (int i = 0; i < n_acc; i++)
        if (i % vectors < vectors - 1) ftc_cg_store(cg, sum[i], address[i]);
    LLVMValueRef mask = ftc_cg_tail_mask(cg, last, lanes);
    ftc_cg_if full = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntEQ, last, ftc_cg_i64(cg, lanes)));
    for (int i = vectors - 1; i < n_acc; i += vectors) ftc_cg_store(cg, sum[i], address[i]);
    ftc_cg_if_else(cg, &full);
    for (int i = vectors - 1; i < n_acc; i += vectors) ftc_cg_store_masked(cg, sum[i], address[i], mask);
    ftc_cg_if_end(cg, &full);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

// The table of micro-kernels, [rows / row_unit - 1][vectors - 1], as a constant.
static LLVMValueRef kernel_table(ftc_codegen *cg, const ftc_gemm_shape *shape) {
    char name[48];
    snprintf(name, sizeof name, "%s.kernels.%dx%d", kernel_names[shape->kind], shape->rows, shape->vectors);
    LLVMValueRef table = LLVMGetNamedGlobal(cg->module, name);
    if (table) return table;
    LLVMValueRef kernels[MAX_ACCUMULATORS];
    int n = 0;
    for (int rows = shape->row_unit; rows <= shape->rows; rows += shape->row_unit)
        for (int vectors = 1; vectors <= shape->vectors; vectors++)
            kernels[n++] = kernel_function(cg, shape->kind, rows, vectors);
    table = LLVMAddGlobal(cg->module, LLVMArrayType2(cg->ptr, (uint64_t)n), name);
    LLVMSetInitializer(table, LLVMConstArray2(cg->ptr, kernels, (uint64_t)n));
    LLVMSetGlobalConstant(table, 1);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    return table;
}

// --- the block ----------------------------------------------------------------------------------------

enum { BLOCK_PARAMS = 12 };

// Calls the micro-kernel for the rows and columns that there are: at most shape->rows and shape->cols. Fills in
// args[8], the lanes of the last vector, and args[10], the rows, which AMX's takes.
static void call_kernel(ftc_codegen *cg, const ftc_gemm_shape *shape, LLVMValueRef rows, LLVMValueRef cols,
                        LLVMValueRef args[11]) {
    LLVMValueRef table = kernel_table(cg, shape), one = ftc_cg_i64(cg, 1), lanes = ftc_cg_i64(cg, cg->lanes);
    char name[32];
    snprintf(name, sizeof name, "%s.%dx1", kernel_names[shape->kind], shape->row_unit);
    LLVMTypeRef type = LLVMGlobalGetValueType(ftc_cg_function_find(cg, name));
    LLVMValueRef row = ftc_cg_sub(cg, rows, one);
    if (shape->row_unit > 1) row = ftc_cg_div(cg, row, ftc_cg_i64(cg, shape->row_unit));
    row = ftc_cg_mul(cg, row, ftc_cg_i64(cg, shape->vectors));
    LLVMValueRef whole = ftc_cg_div(cg, ftc_cg_sub(cg, cols, one), lanes);
    args[8] = ftc_cg_sub(cg, cols, ftc_cg_mul(cg, whole, lanes));
    LLVMValueRef kernel = ftc_cg_load(cg, cg->ptr, ftc_cg_at(cg, cg->ptr, table, ftc_cg_add(cg, row, whole)));
    args[10] = rows;
    LLVMBuildCall2(cg->builder, type, kernel, args, LLVMCountParamTypes(type), "");
}

// void ftc.gemm.block…(m, n, k, a, a_row, a_col, b, ldb, panel, c, ldc, accumulate, buffer): `panel` is the
// distance of one panel of B from the next, in words as ldb. A row block of A stays in L1 while the panels of
// B pass by. `buffered`: it is packed first, and A has unit stride along k, or along m when `transposed`.
static LLVMValueRef block_function(ftc_codegen *cg, const ftc_gemm_shape *shape, ftc_gemm_form form,
                                   bool buffered, bool transposed) {
    static const char *const forms[] = {"", ".bf16", ".rounded"};
    char name[64];
    snprintf(name, sizeof name, "%s.block.%dx%d%s%s", kernel_names[shape->kind], shape->rows, shape->vectors,
             buffered ? forms[form] : "", buffered && transposed ? ".t" : "");
    LLVMValueRef found = ftc_cg_function_find(cg, name);
    if (found) return found;
    LLVMTypeRef params[] = {cg->i64, cg->i64, cg->i64, cg->ptr, cg->i64, cg->i64, cg->ptr,
                            cg->i64, cg->i64, cg->ptr, cg->i64, cg->i1,  cg->ptr};
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, BLOCK_PARAMS + buffered,
                                              FTC_CG_OUTLINED, true);
    LLVMValueRef arg[BLOCK_PARAMS + 1];
    LLVMGetParams(f.function, arg);
    LLVMValueRef m = arg[0], n = arg[1], k = arg[2], a = arg[3], a_row = arg[4], a_col = arg[5], b = arg[6];
    LLVMValueRef ldb = arg[7], panel = arg[8], c = arg[9], ldc = arg[10], accumulate = arg[11];

    LLVMValueRef zero = ftc_cg_i64(cg, 0);
    LLVMValueRef words = buffered ? ftc_emit_packed_depth(cg, shape, k) : k;
    if (shape->kind == FTC_GEMM_AMX) ftc_amx_configure(cg);
    ftc_cg_loop row = ftc_cg_loop_begin(cg, zero, m, ftc_cg_i64(cg, shape->rows));
    LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_sub(cg, m, row.index), ftc_cg_i64(cg, shape->rows));
    LLVMValueRef a_at = ftc_cg_at(cg, ftc_gemm_element_type(cg, form), a, ftc_cg_mul(cg, row.index, a_row));
    if (buffered) {
        ftc_matrix block = {a_at, transposed ? a_col : a_row, transposed, form};
        ftc_emit_pack_rows(cg, shape, &block, rows, k, arg[BLOCK_PARAMS], &a_row, &a_col);
        a_at = arg[BLOCK_PARAMS];
    }
    LLVMValueRef c_row = ftc_cg_at(cg, cg->f32, c, ftc_cg_mul(cg, row.index, ldc));
    ftc_cg_loop col = ftc_cg_loop_begin(cg, zero, n, ftc_cg_i64(cg, shape->cols));
    LLVMValueRef b_at = ftc_cg_loop_carry(cg, &col, b);
    LLVMValueRef cols = ftc_cg_min(cg, ftc_cg_sub(cg, n, col.index), ftc_cg_i64(cg, shape->cols));
    LLVMValueRef c_at = ftc_cg_at(cg, cg->f32, c_row, col.index);
    call_kernel(cg, shape, rows, cols,
                (LLVMValueRef[11]){a_at, a_row, a_col, b_at, ldb, c_at, ldc, words, NULL, accumulate});
    ftc_cg_loop_next(&col, b_at, ftc_cg_at(cg, cg->f32, b_at, panel));
    ftc_cg_loop_end(cg, &col);
    ftc_cg_loop_end(cg, &row);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

static bool is_one(LLVMValueRef v) {
    return LLVMIsAConstantInt(v) && LLVMConstIntGetSExtValue(v) == 1;
}

void ftc_emit_block(ftc_codegen *cg, const ftc_gemm_block *g) {
    const ftc_gemm_shape *shape = &g->shape;
    bool buffered = ftc_gemm_buffer_bytes(shape, g->a_form, 1) > 0;
    LLVMValueRef function = block_function(cg, shape, g->a_form, buffered, !is_one(g->a_col));
    LLVMValueRef cols = ftc_cg_i64(cg, shape->cols), ldb = g->ldb ? g->ldb : cols;
    LLVMValueRef panel = g->ldb ? cols : ftc_cg_mul(cg, ftc_emit_packed_depth(cg, shape, g->k), cols);
    LLVMValueRef args[] = {g->m, g->n,  g->k, g->a,   g->a_row,      g->a_col, g->b,
                           ldb,  panel, g->c, g->ldc, g->accumulate, g->buffer};
    ftc_cg_call(cg, function, args, BLOCK_PARAMS + buffered);
}
