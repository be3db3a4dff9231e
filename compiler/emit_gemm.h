// The register-blocked matrix product: functions that are emitted into the module once each, on first use,
// and called by every contraction and attention kernel.
//
// A block is C[m × n] (+)= A[m × k] · B[k × n] in f32. B is packed into panels of `cols` columns,
//
//     packed[panel][k][cols], panel p holding columns p*cols … p*cols + cols - 1, anything past the last
//     column
//
// (or lies unpacked with unit stride along n), A is read where it is, at any pair of strides, one broadcast
// an element. `rows × cols` of C stay in registers over all of k:
//
//     AVX-512  8 × 48    AVX2  6 × 16    SSE  4 × 8
//
// Each element of C is a chain of FMAs over k in ascending order from zero, to which C is added at the end
// when accumulating: its value does not depend on where the element lies in the block, nor on the block's
// extents.
#ifndef FTC_EMIT_GEMM_H
#define FTC_EMIT_GEMM_H

#include "compiler/codegen.h"

typedef struct {
    int rows;    // of C held in registers
    int vectors; // of C in a row held in registers
    int cols;    // vectors * lanes: the width of a panel of packed B
    int k_chunk; // k that one block should span so that rows × k of A stays in L1
} ftc_gemm_shape;

ftc_gemm_shape ftc_gemm_shape_for(const ftc_target *target);

// Number of floats that B[k × n] takes when packed.
LLVMValueRef ftc_emit_packed_size(ftc_codegen *cg, LLVMValueRef k, LLVMValueRef n);
int64_t ftc_packed_size(const ftc_target *target, int64_t k, int64_t n);

// Packs B[k × n] into `packed` (64-byte aligned). Not transposed: element (k, n) at b[k * ld + n];
// transposed: at b[n * ld + k]. Reads only elements of B.
void ftc_emit_pack(ftc_codegen *cg, bool transposed, LLVMValueRef b, LLVMValueRef ld, LLVMValueRef k,
                   LLVMValueRef n, LLVMValueRef packed);

// Whole vectors of C, and of B when it is not packed, are read: up to `cols` - 1 elements past the last one
// must be readable (FTC_STEP_SLACK_BYTES is enough). Only elements of C are written. A and B must not overlap
// C.
typedef struct {
    LLVMValueRef m, n, k; // any extents >= 0; k == 0 gives zero (or leaves C when accumulating)
    LLVMValueRef a;       // element (m, k) at a[m * a_row + k * a_col]
    LLVMValueRef a_row, a_col;
    LLVMValueRef b; // packed, when ldb is NULL; else element (k, n) at b[k * ldb + n]
    LLVMValueRef ldb;
    LLVMValueRef c, ldc;     // element (m, n) at c[m * ldc + n]
    LLVMValueRef accumulate; // i1: add to C (else overwrite it)
} ftc_gemm_block;

// A call of the block function.
void ftc_emit_block(ftc_codegen *cg, const ftc_gemm_block *block);

#endif
