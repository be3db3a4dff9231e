// The loops around the block product: a whole contraction C[m × n] = A[m × k] · B[k × n], executed by all
// threads of the step together (SPMD), in tiles that are handed to an epilogue when they are complete. The
// algorithm is described in emit_contraction_loops.c.
#ifndef FTC_EMIT_CONTRACTION_LOOPS_H
#define FTC_EMIT_CONTRACTION_LOOPS_H

#include "compiler/codegen.h"

// Emits code that consumes a finished tile of C: rows row0 … row0 + rows - 1, columns col0 … col0 + cols - 1
// (i64, run-time values). Element (r, c) of the tile is at tile[r * tile_ld + c] (f32); whole vectors from
// any multiple of the lane count may be read past `cols` (what is there is unspecified). The tile may be
// overwritten. Called once, at code generation time; col0 is a multiple of the gemm shape's `cols`.
typedef void ftc_tile_epilogue(void *context, ftc_codegen *cg, LLVMValueRef tile, LLVMValueRef tile_ld,
                               LLVMValueRef row0, LLVMValueRef rows, LLVMValueRef col0, LLVMValueRef cols);

// A matrix in memory with unit stride along one of its axes. For A[m × k]: element (m, k) at base[m * ld +
// k], or base[k * ld + m] when transposed. For B[k × n]: element (k, n) at base[k * ld + n], or base[n * ld +
// k].
typedef struct {
    LLVMValueRef base;
    LLVMValueRef ld;
    bool transposed;
} ftc_matrix;

typedef struct {
    LLVMValueRef m, n, k; // i64, constants where they are known
    ftc_matrix a, b;
    LLVMValueRef thread, threads; // i64
    LLVMValueRef scratch;         // this thread's own, 64-byte aligned, ftc_contraction_scratch_bytes
    LLVMValueRef c, ldc;          // where C goes when there is no epilogue
    ftc_tile_epilogue *epilogue;  // NULL: none
    void *context;
} ftc_contraction;

// Emits the loops at the builder's position. The caller places barriers.
void ftc_emit_contraction(ftc_codegen *cg, const ftc_contraction *contraction);

// Scratch that one thread needs, in bytes, for extents up to (m, n, k): a multiple of FTC_STEP_ALIGN.
int64_t ftc_contraction_scratch_bytes(const ftc_target *target, int64_t m, int64_t n, int64_t k,
                                      bool a_transposed, bool b_transposed, bool has_epilogue);

#endif
