// The register-blocked matrix product: functions that are emitted into the module once each, on first use,
// and called by every contraction and attention kernel.
//
// A block is C[m × n] (+)= A[m × k] · B[k × n]; C is f32, A and B are f32 or bf16. Products are made in one
// of several kinds, and what they read is counted in *words* of 32 bits: one f32, or a pair of bf16 at k and
// k + 1 (zero for a k past the end). B is packed into panels of `cols` columns,
//
//     packed[panel][word of k][cols], panel p has columns p*cols … p*cols + cols - 1, anything past the last
//
// A is read where it is when it is f32 and so are the products, or its rows are pairs already; otherwise, and
// where the words of its rows would crowd few sets of the cache, each block of rows is brought into words in
// a small buffer first: of a transposed A several blocks at once, where a line has more than one block's
// words.
// A block of rows stays in L1 while the panels of B pass, and `rows × cols` of C stay in registers over all
// of k:
//
//     f32, bf16 pairs  AVX-512  8 × 48    AVX2  6 × 16    SSE  4 × 8
//     AMX              32 × 32
//
// unless another shape is asked for (compiler/emit/tune.c).
//
// Each element of C is a chain of additions over k in ascending order from zero, to which C is added at the
// end when accumulating (AMX begins with it): its value does not depend on where the element lies in the
// block, nor on the block's extents.
#ifndef FTC_EMIT_GEMM_H
#define FTC_EMIT_GEMM_H

#include "compiler/codegen/codegen.h"

// How an operand lies in memory, and what is multiplied.
typedef enum {
    FTC_FORM_F32,     // f32
    FTC_FORM_BF16,    // bf16
    FTC_FORM_ROUNDED, // f32, rounded to bf16 as it is read: a parameter
} ftc_gemm_form;

// What makes the products.
typedef enum {
    FTC_GEMM_F32,   // fused multiply-adds of f32; bf16 is widened
    FTC_GEMM_PAIRS, // vdpbf16ps: two products of bf16 a lane; flushes denormals
    FTC_GEMM_AMX,   // tdpbf16ps: 16 × 16 × 32 products of bf16 an instruction; flushes denormals
} ftc_gemm_kind;

// The fastest kind that `target` has for operands of these forms: f32 when either is.
ftc_gemm_kind ftc_gemm_kind_for(const ftc_target *target, ftc_gemm_form a, ftc_gemm_form b);

// The kind for two bf16 operands, in words for people: what is used and why.
const char *ftc_gemm_bf16_text(const ftc_target *target);

typedef struct {
    ftc_gemm_kind kind;
    int rows;       // of C held in registers
    int row_unit;   // a block of fewer rows takes a multiple of this
    int vectors;    // of C in a row held in registers
    int cols;       // vectors * lanes: the width of a panel of packed B
    int k_per_word; // 1: f32, 2: bf16
    int word_unit;  // packed words of k are filled up with zeros to a multiple of this
    int crowding;   // bytes: rows of a transposed A are packed where each k lies a multiple of this apart,
    int together;   // … so many blocks of them at once
    int k_chunk;    // k that one block should span so that rows × k of A stays in L1
} ftc_gemm_shape;

ftc_gemm_shape ftc_gemm_shape_for(const ftc_target *target, ftc_gemm_kind kind);

// Gives the shape other blocks of C. False, and nothing changed, when the target's registers cannot hold
// them.
bool ftc_gemm_shape_resize(const ftc_target *target, ftc_gemm_shape *shape, int rows, int vectors);

// A matrix in memory with unit stride along one of its axes. For A[m × k]: element (m, k) at base[m * ld +
// k], or base[k * ld + m] when transposed. For B[k × n]: element (k, n) at base[k * ld + n], or base[n * ld +
// k].
typedef struct {
    LLVMValueRef base;
    LLVMValueRef ld; // in elements
    bool transposed;
    ftc_gemm_form form;
    int64_t known_k; // of A: the extent of k in every call; 0 or less: it is not the same in all
} ftc_matrix;

// Whether the micro-kernel can read the rows of A where they lie: they are whole words of pairs, and do not
// crowd a few sets of the cache. (AMX reads whole blocks of rows there; one that is not is packed.)
bool ftc_gemm_reads_pairs(const ftc_gemm_shape *shape, const ftc_matrix *a);

LLVMTypeRef ftc_gemm_element_type(ftc_codegen *cg, ftc_gemm_form form); // as it lies in memory
int ftc_gemm_element_bytes(ftc_gemm_form form);

// Number of packed words of k, and of words that B[k × n] takes when packed.
LLVMValueRef ftc_emit_packed_depth(ftc_codegen *cg, const ftc_gemm_shape *shape, LLVMValueRef k);
LLVMValueRef ftc_emit_packed_size(ftc_codegen *cg, const ftc_gemm_shape *shape, LLVMValueRef k,
                                  LLVMValueRef n);
int64_t ftc_packed_size(const ftc_gemm_shape *shape, int64_t k, int64_t n);

// Packs B[k × n] into `packed` (64-byte aligned). Reads only elements of B.
void ftc_emit_pack(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_matrix *b, LLVMValueRef k,
                   LLVMValueRef n, LLVMValueRef packed);

// Bytes of the buffer for a block of rows of A; 0 when A is read where it is. Of A's base nothing is asked.
int64_t ftc_gemm_buffer_bytes(const ftc_gemm_shape *shape, const ftc_matrix *a, int64_t k);

// What is read at the places of C behind the product, from row to row `ld` elements apart, all of them. It is
// brought into L2 while the products are made: those of a transposed A, or, by AMX, any.
enum { FTC_GEMM_SOON = 3 };
typedef struct {
    int n;              // 0: nothing
    ftc_gemm_form form; // of all of them: f32, or, for AMX, bf16
    LLVMValueRef base[FTC_GEMM_SOON], ld;
} ftc_gemm_soon;

// Whole vectors of C are read: up to `cols` - 1 elements past the last one must be readable
// (FTC_STEP_SLACK_BYTES is enough). Only elements of C are written. A and B must not overlap C.
typedef struct {
    ftc_gemm_shape shape;
    LLVMValueRef m, n, k; // any extents >= 0; k == 0 gives zero (or leaves C when accumulating)
    ftc_matrix a;
    LLVMValueRef buffer;     // 64-byte aligned, of ftc_gemm_buffer_bytes; NULL when that is 0
    LLVMValueRef b;          // packed, from the first of the k words on; `depth` words from panel to panel
    LLVMValueRef depth;      // NULL: as many as k takes
    LLVMValueRef c, ldc;     // element (m, n) at c[m * ldc + n]
    LLVMValueRef accumulate; // i1: add to C (else overwrite it)
    ftc_gemm_soon soon;
    LLVMValueRef is_last; // i1: nothing more is added to C, and `soon` is read then; NULL where that is empty
} ftc_gemm_block;

// A call of the block function.
void ftc_emit_block(ftc_codegen *cg, const ftc_gemm_block *block);

// --- pack.c, for gemm.c
// Brings A[m × k] into words in `buffer`, block after block: one, or shape->together of a transposed A.
// Returns the matrix of words that the first of them is then.
ftc_matrix ftc_emit_pack_rows(ftc_codegen *cg, const ftc_gemm_shape *shape, const ftc_matrix *a,
                              LLVMValueRef m, LLVMValueRef k, LLVMValueRef buffer);

#endif
