// 2 × 2 tiles of C, two of A and two of B: four products for four loads. LLVM is given the registers by
// number and allocates none: its allocator spills tiles wrongly in several versions.
#include "compiler/emit/amx.h"

enum {
    TILE_ROWS = 16,
    TILE_WORDS = 16,
    TILE_BYTES = TILE_WORDS * 4,
    FIRST_A = 4, // tiles: 0 … 3 C, 4 … 5 A, 6 … 7 B
    FIRST_B = 6,
};

// --- the instructions ---------------------------------------------------------------------------------

static LLVMValueRef number(ftc_codegen *cg, int tile) {
    return LLVMConstInt(cg->i8, (unsigned)tile, 0);
}

// The 64 bytes that ldtilecfg reads: palette 1, bytes in a row of each tile from 16, rows from 48.
static void instruction_configure(ftc_codegen *cg) {
    LLVMValueRef config = LLVMGetNamedGlobal(cg->module, "ftc.amx.config");
    if (!config) {
        LLVMValueRef bytes[64];
        for (int i = 0; i < 64; i++) {
            int value = i == 0                            ? 1
                        : i >= 48 && i < 56               ? TILE_ROWS
                        : i >= 16 && i < 32 && i % 2 == 0 ? TILE_BYTES
                                                          : 0;
            bytes[i] = number(cg, value);
        }
        config = LLVMAddGlobal(cg->module, LLVMArrayType2(cg->i8, 64), "ftc.amx.config");
        LLVMSetInitializer(config, LLVMConstArray2(cg->i8, bytes, 64));
        LLVMSetGlobalConstant(config, 1);
        LLVMSetLinkage(config, LLVMInternalLinkage);
        LLVMSetAlignment(config, 64);
    }
    ftc_cg_intrinsic(cg, "llvm.x86.ldtilecfg", NULL, 0, &config, 1);
}

static void instruction_zero(ftc_codegen *cg, int tile) {
    LLVMValueRef args[] = {number(cg, tile)};
    ftc_cg_intrinsic(cg, "llvm.x86.tilezero", NULL, 0, args, 1);
}

static void instruction_load(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride) {
    LLVMValueRef args[] = {number(cg, tile), address, stride};
    ftc_cg_intrinsic(cg, "llvm.x86.tileloadd64", NULL, 0, args, 3);
}

static void instruction_store(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride) {
    LLVMValueRef args[] = {number(cg, tile), address, stride};
    ftc_cg_intrinsic(cg, "llvm.x86.tilestored64", NULL, 0, args, 3);
}

static void instruction_add_products(ftc_codegen *cg, int c, int a, int b) {
    LLVMValueRef args[] = {number(cg, c), number(cg, a), number(cg, b)};
    ftc_cg_intrinsic(cg, "llvm.x86.tdpbf16ps", NULL, 0, args, 3);
}

static const ftc_amx *amx_of(const ftc_codegen *cg) {
    static const ftc_amx instructions = {instruction_configure, instruction_zero, instruction_load,
                                         instruction_store, instruction_add_products};
    return cg->target->amx ? cg->target->amx : &instructions;
}

void ftc_amx_configure(ftc_codegen *cg) {
    static const char done[] = "ftc.amx.configured";
    LLVMValueRef f = cg->function;
    unsigned length = sizeof done - 1;
    if (LLVMGetStringAttributeAtIndex(f, LLVMAttributeFunctionIndex, done, length)) return;
    LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(cg->context, done, length, "", 0));
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->builder);
    LLVMValueRef first = LLVMGetFirstInstruction(LLVMGetEntryBasicBlock(f));
    if (first) LLVMPositionBuilderBefore(cg->builder, first);
    amx_of(cg)->configure(cg);
    LLVMPositionBuilderAtEnd(cg->builder, here);
}

// --- the micro-kernel ---------------------------------------------------------------------------------

// C = or C += the tiles' sums, which lie in `sums` (rows × vectors * 16).
static void emit_result(ftc_codegen *cg, LLVMValueRef sums, int vectors, LLVMValueRef c, LLVMValueRef ldc,
                        LLVMValueRef rows, LLVMValueRef last, LLVMValueRef accumulate) {
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, TILE_WORDS);
    LLVMValueRef mask = ftc_cg_tail_mask(cg, last, TILE_WORDS);
    ftc_cg_loop row = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), rows, ftc_cg_i64(cg, 1));
    for (int j = 0; j < vectors; j++) {
        LLVMValueRef column = ftc_cg_i64(cg, j * TILE_WORDS);
        LLVMValueRef from = ftc_cg_mul(cg, row.index, ftc_cg_i64(cg, vectors * TILE_WORDS));
        LLVMValueRef to = ftc_cg_add(cg, ftc_cg_mul(cg, row.index, ldc), column);
        to = ftc_cg_at(cg, cg->f32, c, to);
        LLVMValueRef sum =
            ftc_cg_load(cg, vector, ftc_cg_at(cg, cg->f32, sums, ftc_cg_add(cg, from, column)));
        ftc_cg_if adding = ftc_cg_if_begin(cg, accumulate);
        LLVMValueRef added = ftc_cg_fadd(cg, ftc_cg_load(cg, vector, to), sum);
        LLVMBasicBlockRef blocks[2] = {LLVMGetInsertBlock(cg->builder)};
        ftc_cg_if_else(cg, &adding);
        blocks[1] = LLVMGetInsertBlock(cg->builder);
        ftc_cg_if_end(cg, &adding);
        LLVMValueRef result = LLVMBuildPhi(cg->builder, vector, "");
        LLVMAddIncoming(result, (LLVMValueRef[]){added, sum}, blocks, 2);
        if (j < vectors - 1)
            ftc_cg_store(cg, result, to);
        else
            ftc_cg_store_masked(cg, result, to, mask);
    }
    ftc_cg_loop_end(cg, &row);
}

LLVMValueRef ftc_amx_kernel_function(ftc_codegen *cg, const ftc_gemm_shape *shape, const char *name, int rows,
                                     int vectors) {
    LLVMTypeRef params[] = {cg->ptr, cg->i64, cg->ptr, cg->ptr, cg->i64, cg->i64, cg->i64, cg->i1, cg->i64};
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 9, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[9];
    LLVMGetParams(f.function, arg);
    LLVMValueRef a = arg[0], lda = arg[1], b = arg[2], k = arg[5], ldb = ftc_cg_i64(cg, shape->cols);
    const ftc_amx *amx = amx_of(cg);
    int row_tiles = rows / TILE_ROWS;
    LLVMValueRef word_bytes = ftc_cg_i64(cg, 4), step = ftc_cg_i64(cg, TILE_WORDS);
    LLVMValueRef a_stride = ftc_cg_mul(cg, lda, word_bytes), b_stride = ftc_cg_mul(cg, ldb, word_bytes);
    for (int c = 0; c < row_tiles * vectors; c++) amx->zero(cg, c);

    ftc_cg_loop depth = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), k, step);
    for (int i = 0; i < row_tiles; i++) {
        LLVMValueRef offset = ftc_cg_mul(cg, lda, ftc_cg_i64(cg, i * TILE_ROWS));
        amx->load(cg, FIRST_A + i, ftc_cg_at(cg, cg->i32, a, ftc_cg_add(cg, offset, depth.index)), a_stride);
    }
    for (int j = 0; j < vectors; j++) {
        LLVMValueRef offset =
            ftc_cg_add(cg, ftc_cg_mul(cg, ldb, depth.index), ftc_cg_i64(cg, j * TILE_WORDS));
        amx->load(cg, FIRST_B + j, ftc_cg_at(cg, cg->i32, b, offset), b_stride);
    }
    for (int i = 0; i < row_tiles; i++)
        for (int j = 0; j < vectors; j++) amx->add_products(cg, i * vectors + j, FIRST_A + i, FIRST_B + j);
    ftc_cg_loop_end(cg, &depth);

    LLVMValueRef sums = ftc_cg_variable(cg, LLVMArrayType2(cg->f32, (uint64_t)(rows * vectors * TILE_WORDS)));
    LLVMSetAlignment(sums, 64);
    for (int i = 0; i < row_tiles; i++)
        for (int j = 0; j < vectors; j++) {
            int64_t at = (i * TILE_ROWS * vectors + j) * TILE_WORDS;
            amx->store(cg, i * vectors + j, ftc_cg_at(cg, cg->f32, sums, ftc_cg_i64(cg, at)),
                       ftc_cg_i64(cg, vectors * TILE_BYTES));
        }
    emit_result(cg, sums, vectors, arg[3], arg[4], arg[8], arg[6], arg[7]);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}
