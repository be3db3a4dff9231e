// 2 × 2 tiles of C, two of A and two of B: four products for four loads. LLVM is given the registers by
// number and allocates none: its allocator spills tiles wrongly in several versions.
#include "compiler/emit/amx.h"

enum {
    TILE_ROWS = 16,
    TILE_WORDS = 16,
    TILE_BYTES = TILE_WORDS * 4,
    FIRST_A = 4, // tiles: 0 … 3 C, 4 … 5 A, 6 … 7 B
    FIRST_B = 6,
    FETCHING_TURNS = 16, // of the loop: as many as a long chunk of k has
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

// Rows of a block of C, `vectors` wide; of each row's last vector the lanes of the mask.
typedef struct {
    LLVMValueRef base, ld; // in elements
} c_rows;

static void copy_rows(ftc_codegen *cg, c_rows from, c_rows to, LLVMValueRef rows, int vectors,
                      LLVMValueRef mask) {
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, TILE_WORDS);
    ftc_cg_loop row = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), rows, ftc_cg_i64(cg, 1));
    LLVMValueRef from_row = ftc_cg_at(cg, cg->f32, from.base, ftc_cg_mul(cg, row.index, from.ld));
    LLVMValueRef to_row = ftc_cg_at(cg, cg->f32, to.base, ftc_cg_mul(cg, row.index, to.ld));
    for (int j = 0; j < vectors; j++) {
        LLVMValueRef column = ftc_cg_i64(cg, j * TILE_WORDS);
        LLVMValueRef source = ftc_cg_at(cg, cg->f32, from_row, column);
        LLVMValueRef target = ftc_cg_at(cg, cg->f32, to_row, column);
        if (j < vectors - 1)
            ftc_cg_store(cg, ftc_cg_load(cg, vector, source), target);
        else
            ftc_cg_store_masked(cg, ftc_cg_load_masked(cg, vector, source, mask), target, mask);
    }
    ftc_cg_loop_end(cg, &row);
}

// Moves the tiles of C from or to memory.
static void move_tiles(ftc_codegen *cg, c_rows c, int row_tiles, int vectors,
                       void (*move)(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride)) {
    LLVMValueRef stride = ftc_cg_mul(cg, c.ld, ftc_cg_i64(cg, 4));
    for (int i = 0; i < row_tiles; i++) {
        LLVMValueRef row = ftc_cg_mul(cg, c.ld, ftc_cg_i64(cg, i * TILE_ROWS));
        for (int j = 0; j < vectors; j++) {
            LLVMValueRef at = ftc_cg_add(cg, row, ftc_cg_i64(cg, j * TILE_WORDS));
            move(cg, i * vectors + j, ftc_cg_at(cg, cg->f32, c.base, at), stride);
        }
    }
}

// Some rows of the matrices that are read behind the product, from `row` on. Returns the row after them.
static LLVMValueRef fetch_rows(ftc_codegen *cg, int rows, int vectors, const ftc_amx_fetch *fetch,
                               LLVMValueRef row) {
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < vectors; j++) {
            LLVMValueRef line = ftc_cg_at(cg, cg->i8, row, ftc_cg_i64(cg, j * TILE_BYTES));
            ftc_cg_prefetch(cg, cg->i8, line, ftc_cg_i64(cg, 0), FTC_CG_INTO_L2);
            for (int i = 0; i < FTC_GEMM_SOON - 1; i++)
                ftc_cg_prefetch(cg, cg->i8, line, fetch->beside[i], FTC_CG_INTO_L2);
        }
        row = ftc_cg_at(cg, cg->i8, row, fetch->step);
    }
    return row;
}

// A turn's share of these rows: the fewest with which a chunk of k, whose turns may be few, fetches all of
// the block's.
static LLVMValueRef fetch_share(ftc_codegen *cg, int rows, int vectors, const ftc_amx_block *block,
                                LLVMValueRef depth, LLVMValueRef at) {
    const ftc_amx_fetch *fetch = &block->fetch;
    int share = rows / FETCHING_TURNS;
    LLVMValueRef end = ftc_cg_i64(cg, FETCHING_TURNS * TILE_WORDS), next = ftc_cg_variable(cg, cg->ptr);
    ftc_cg_store(cg, at, next);
    LLVMValueRef left = ftc_cg_compare(cg, LLVMIntSLT, depth, end);
    ftc_cg_if fetching = ftc_cg_if_begin(cg, LLVMBuildAnd(cg->builder, fetch->wanted, left, ""));
    LLVMValueRef row = fetch_rows(cg, share, vectors, fetch, at);
    ftc_cg_store(cg, row, next);
    ftc_cg_if few = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, block->k, end));
    ftc_cg_store(cg, fetch_rows(cg, share, vectors, fetch, row), next);
    ftc_cg_if_end(cg, &few);
    ftc_cg_if_end(cg, &fetching);
    return ftc_cg_load(cg, cg->ptr, next);
}

void ftc_amx_emit_kernel(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_amx_block *block, int rows,
                         int vectors) {
    const ftc_amx *amx = amx_of(cg);
    int row_tiles = rows / TILE_ROWS;
    LLVMValueRef word_bytes = ftc_cg_i64(cg, 4), step = ftc_cg_i64(cg, TILE_WORDS);
    LLVMValueRef ldb = ftc_cg_i64(cg, shape->cols), lda = block->lda;
    LLVMValueRef a_stride = ftc_cg_mul(cg, lda, word_bytes), b_stride = ftc_cg_mul(cg, ldb, word_bytes);
    // A block that is not whole is made beside C.
    LLVMValueRef sums = ftc_cg_variable(cg, LLVMArrayType2(cg->f32, (uint64_t)(rows * vectors * TILE_WORDS)));
    LLVMSetAlignment(sums, 64);
    LLVMValueRef mask = ftc_cg_tail_mask(cg, block->last, TILE_WORDS);
    LLVMValueRef whole =
        LLVMBuildAnd(cg->builder, ftc_cg_compare(cg, LLVMIntEQ, block->rows, ftc_cg_i64(cg, rows)),
                     ftc_cg_compare(cg, LLVMIntEQ, block->last, step), "");
    LLVMValueRef part = LLVMBuildNot(cg->builder, whole, "");
    c_rows c = {block->c, block->ldc}, beside = {sums, ftc_cg_i64(cg, vectors * TILE_WORDS)};
    c_rows made = {ftc_cg_select(cg, whole, c.base, beside.base), ftc_cg_select(cg, whole, c.ld, beside.ld)};
    ftc_cg_if adding = ftc_cg_if_begin(cg, block->accumulate);
    ftc_cg_if copying = ftc_cg_if_begin(cg, part);
    copy_rows(cg, c, beside, block->rows, vectors, mask);
    ftc_cg_if_end(cg, &copying);
    move_tiles(cg, made, row_tiles, vectors, amx->load);
    ftc_cg_if_else(cg, &adding);
    for (int t = 0; t < row_tiles * vectors; t++) amx->zero(cg, t);
    ftc_cg_if_end(cg, &adding);

    ftc_cg_loop depth = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), block->k, step);
    LLVMValueRef ahead = ftc_cg_loop_carry(cg, &depth, block->fetch.ahead);
    LLVMValueRef next = fetch_share(cg, rows, vectors, block, depth.index, ahead);
    // Each operand is loaded right before its first product.
    for (int i = 0; i < row_tiles; i++)
        for (int j = 0; j < vectors; j++) {
            if (i == 0) {
                LLVMValueRef offset =
                    ftc_cg_add(cg, ftc_cg_mul(cg, ldb, depth.index), ftc_cg_i64(cg, j * TILE_WORDS));
                amx->load(cg, FIRST_B + j, ftc_cg_at(cg, cg->i32, block->b, offset), b_stride);
            }
            if (j == 0) {
                LLVMValueRef offset = ftc_cg_mul(cg, lda, ftc_cg_i64(cg, i * TILE_ROWS));
                offset = ftc_cg_add(cg, offset, depth.index);
                amx->load(cg, FIRST_A + i, ftc_cg_at(cg, cg->i32, block->a, offset), a_stride);
            }
            amx->add_products(cg, i * vectors + j, FIRST_A + i, FIRST_B + j);
        }
    ftc_cg_loop_next(&depth, ahead, next);
    ftc_cg_loop_end(cg, &depth);

    move_tiles(cg, made, row_tiles, vectors, amx->store);
    copying = ftc_cg_if_begin(cg, part);
    copy_rows(cg, beside, c, block->rows, vectors, mask);
    ftc_cg_if_end(cg, &copying);
}
