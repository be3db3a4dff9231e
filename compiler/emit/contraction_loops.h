// The loops around the block product: a whole contraction C[m × n] = A[m × k] · B[k × n], executed by all
// threads of the step together (SPMD), in tiles that are handed to an epilogue when they are complete. The
// algorithm is described in contraction_loops.c.
#ifndef FTC_EMIT_CONTRACTION_LOOPS_H
#define FTC_EMIT_CONTRACTION_LOOPS_H

#include "compiler/emit/gemm.h"

// How a contraction is cut. Nothing of it but k_chunk changes a result.
typedef struct {
    ftc_gemm_shape shape; // the block of C in registers, and what makes the products
    int64_t rows, cols;   // largest tile of C; cols is a multiple of the gemm shape's
    int64_t k_chunk;      // k is summed in chunks of this length, the chunks' sums in order
    int64_t packed_k;     // rows of B packed at once: k_chunk, or all of k when keep_b
    bool keep_b; // B's packed columns are kept for all tiles below each other, else packed again for each
} ftc_contraction_plan;

// What a plan is chosen for.
typedef struct {
    int64_t m, n, k;        // upper bounds
    const char *extents[3]; // of m, n, k: "tokens", "batch" when the call gives them; NULL: always the bound
    ftc_gemm_form a, b;
    bool a_transposed, b_transposed;
    bool has_epilogue;
    const char *role; // "forward", "input gradient", "weight gradient": for people
} ftc_contraction_case;

enum { FTC_CONTRACTION_TEXT = 160 };

// The case in words, without the bounds of the batch: "forward: tokens x 1536, sum of 384, b.t, epilogue".
void ftc_contraction_case_text(const ftc_contraction_case *c, char text[FTC_CONTRACTION_TEXT]);

// The plan that is taken unless one was tuned (compiler/emit/tune.h).
ftc_contraction_plan ftc_contraction_plan_for(const ftc_target *target, const ftc_contraction_case *c);

// A plan in words, "8x3, tile 128x384, k 384, keep b", and back. False, *plan untouched: the text is no plan,
// or none that this target can execute; *why (a constant) says what is wrong.
void ftc_contraction_plan_text(const ftc_contraction_plan *plan, char text[FTC_CONTRACTION_TEXT]);
bool ftc_contraction_plan_parse(const ftc_target *target, const ftc_contraction_case *c, const char *text,
                                ftc_contraction_plan *plan, const char **why);

// Scratch that one thread needs, in bytes: a multiple of FTC_STEP_ALIGN. Without an epilogue C itself is the
// tile. Of A's base nothing is asked.
int64_t ftc_contraction_scratch_bytes(const ftc_contraction_plan *plan, const ftc_matrix *a,
                                      bool has_epilogue);

// Emits code that consumes finished rows of a tile of C: rows row0 … row0 + rows - 1, columns col0 … col0 +
// cols - 1 (i64, run-time values). Element (r, c) of them is at tile[r * tile_ld + c] (f32); whole vectors
// may be read and written up to the next multiple of the lane count past `cols` (what is there is
// unspecified). Called once, at code generation time. tile_ld and col0 are multiples of the gemm shape's
// `cols`.
typedef void ftc_tile_epilogue(void *context, ftc_codegen *cg, LLVMValueRef tile, LLVMValueRef tile_ld,
                               LLVMValueRef row0, LLVMValueRef rows, LLVMValueRef col0, LLVMValueRef cols);

typedef struct {
    ftc_contraction_plan plan;
    LLVMValueRef m, n, k; // i64, constants where they are known; within what the plan was made for
    ftc_matrix a, b;
    LLVMValueRef thread, threads; // i64
    LLVMValueRef scratch;         // this thread's own, 64-byte aligned, of ftc_contraction_scratch_bytes
    LLVMValueRef c, ldc;          // where C goes when there is no epilogue
    ftc_gemm_soon soon;           // matrices like C that the epilogue reads
    ftc_tile_epilogue *epilogue;  // NULL: none
    void *context;
} ftc_contraction;

// Emits the loops at the builder's position. The caller places barriers.
void ftc_emit_contraction(ftc_codegen *cg, const ftc_contraction *contraction);

// A contraction by itself, to be measured: an exported function on dense matrices with the bounds as their
// extents, but for rows of C, which lie FTC_ALONE_LD(n) apart. An epilogue copies the tiles to C. Extents
// that the case does not fix are those of the call. Returns the scratch that each thread needs, in bytes.
typedef void ftc_contraction_fn(int64_t m, int64_t n, int64_t k, const void *a, const void *b, float *c,
                                void *scratch, int64_t thread, int64_t threads);
#define FTC_ALONE_LD(n) (((n) + 63) / 64 * 64)
int64_t ftc_emit_contraction_alone(ftc_codegen *cg, const char *symbol, const ftc_contraction_case *c,
                                   const ftc_contraction_plan *plan);

#endif
