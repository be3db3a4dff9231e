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

// void ftc.gemm.amx.<rows>x<vectors>.<cols>(a, lda, b, c, ldc, k, last, accumulate, rows): as the other
// micro-kernels (gemm.c), for `rows` (16 or 32) of which the last parameter says how many exist. Words of
// A and B past k are zero up to a multiple of 16; A is not transposed.
LLVMValueRef ftc_amx_kernel_function(ftc_codegen *cg, const ftc_gemm_shape *shape, const char *name, int rows,
                                     int vectors);

#endif
