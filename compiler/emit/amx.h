// The micro-kernel of matrix products by AMX tiles.
#ifndef FTC_EMIT_AMX_H
#define FTC_EMIT_AMX_H

#include "compiler/emit/gemm.h"

// What the micro-kernel is made of: operations on eight tiles of 16 rows of 16 words. The CPU's instructions,
// or what a test puts in their place (ftc_target.amx).
typedef struct ftc_amx {
    void (*configure)(ftc_codegen *cg); // once, before any other, without branches
    void (*zero)(ftc_codegen *cg, int tile);
    // `stride`: bytes from row to row.
    void (*load)(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride);
    void (*store)(ftc_codegen *cg, int tile, LLVMValueRef address, LLVMValueRef stride);
    // c[i][j] += Σ a[i][w] · b[w][j] over 16 words of two bf16 each
    void (*add_products)(ftc_codegen *cg, int c, int a, int b);
} ftc_amx;

// Emits configure at the beginning of the function that is being built, once: it takes as long as some of a
// tile kernel's products.
void ftc_amx_configure(ftc_codegen *cg);

// What is brought into L2 meanwhile, `step` bytes from row to row: what is read behind the product, whole
// rows of the block at `ahead` and at FTC_GEMM_SOON - 1 distances from there, in bytes; i1: whether at all.
typedef struct {
    LLVMValueRef ahead, step, beside[FTC_GEMM_SOON - 1], wanted;
} ftc_amx_fetch;

// The operands of a micro-kernel (gemm.c). Words of A and B past k are zero up to a multiple of 16; A is not
// transposed, and 16 rows of each of its tiles can be read, whether they exist or not.
typedef struct {
    LLVMValueRef a, lda, b, c, ldc, k;
    LLVMValueRef last;       // lanes of the last vector of C that exist
    LLVMValueRef accumulate; // i1: the sums begin with what is in C
    LLVMValueRef rows;       // that exist
    ftc_amx_fetch fetch;
} ftc_amx_block;

// The body of a micro-kernel of `rows` (16 or 32) × `vectors`.
void ftc_amx_emit_kernel(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_amx_block *block, int rows,
                         int vectors);

#endif
