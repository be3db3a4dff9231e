// How the body of a scalar operation is described without saying what executes it.
//
// An operation's body (ftc_op_info.body) is a function that builds an expression through this interface. The
// emitter implements it over LLVM vectors of any width; every handle stands for one lane of such a vector. A
// handle has one of three types: f32, i32 (signedness is a matter of the operation) or bool.
#ifndef FTC_SCALAR_H
#define FTC_SCALAR_H

#include <stdint.h>

// A value of the implementation's own (for LLVM: an LLVMValueRef). Owned by the implementation.
typedef void *ftc_scalar;

// Comparisons; on floats all are ordered (false with a NaN) but FTC_NE, which is true with a NaN.
typedef enum { FTC_EQ, FTC_NE, FTC_LT, FTC_LE, FTC_GT, FTC_GE } ftc_predicate;

typedef struct ftc_scalar_builder ftc_scalar_builder;
typedef ftc_scalar ftc_scalar_unary(const ftc_scalar_builder *b, ftc_scalar x);
typedef ftc_scalar ftc_scalar_binary(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar y);
typedef ftc_scalar ftc_scalar_ternary(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar y, ftc_scalar z);
typedef ftc_scalar ftc_scalar_compare(const ftc_scalar_builder *b, ftc_predicate p, ftc_scalar x,
                                      ftc_scalar y);

struct ftc_scalar_builder {
    void *self; // the implementation's state
    ftc_scalar (*const_f32)(const ftc_scalar_builder *b, float value);
    ftc_scalar (*const_i32)(const ftc_scalar_builder *b, int32_t value);
    ftc_scalar (*const_bool)(const ftc_scalar_builder *b, int value);
    // f32 × f32 → f32, round to nearest even; fma rounds once where the target has it
    ftc_scalar_binary *fadd, *fsub, *fmul, *fdiv;
    ftc_scalar_binary *fmin, *fmax; // the other operand when one is NaN
    ftc_scalar_ternary *fma;        // x * y + z
    ftc_scalar_unary *fneg, *fabs, *fsqrt;
    ftc_scalar_unary *frint; // to the nearest integer, ties to even
    // x · 2ⁿ for an integer n in f32, rounded once; NULL where that takes several steps.
    ftc_scalar_binary *fscale;
    ftc_scalar_compare *fcmp;
    // i32 × i32 → i32, wrapping; shifts by less than 32
    ftc_scalar_binary *iadd, *isub, *imul, *shl, *lshr, *ashr, *iand, *ior, *ixor;
    ftc_scalar_compare *icmp; // signed
    // bool
    ftc_scalar_binary *band, *bor;
    ftc_scalar_unary *bnot;
    ftc_scalar_ternary *select; // bool, T, T → T
    // conversions
    ftc_scalar_unary *bits_from_f32, *f32_from_bits;
    ftc_scalar_unary *f32_from_i32, *f32_from_u32, *i32_from_f32; // the last truncates
    ftc_scalar_unary *f32_from_bool, *i32_from_bool;
    ftc_scalar_unary *round_to_bf16; // f32 → f32: the nearest value that bf16 can hold
};

#endif
