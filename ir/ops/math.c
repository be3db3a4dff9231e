// Coefficients are minimax fits of the stated function on the stated interval, weighted so that the error is
// relative to the result, and rounded to float one after the other, the lowest first, each time fitting the
// rest again. The error that is given is that of the rounded polynomial evaluated exactly.
#include "ir/ops/math.h"

#include <math.h>

#define SIGN_BIT INT32_MIN

static ftc_scalar number(const ftc_scalar_builder *b, float value) {
    return b->const_f32(b, value);
}
static ftc_scalar integer(const ftc_scalar_builder *b, int32_t value) {
    return b->const_i32(b, value);
}

// c[0] + c[1] x + … + c[n - 1] xⁿ⁻¹
static ftc_scalar polynomial(const ftc_scalar_builder *b, const float *c, int n, ftc_scalar x) {
    ftc_scalar sum = number(b, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) sum = b->fma(b, sum, x, number(b, c[i]));
    return sum;
}

// x where it is not above (below) the bound; NaN stays NaN.
static ftc_scalar at_most(const ftc_scalar_builder *b, ftc_scalar x, float bound) {
    return b->select(b, b->fcmp(b, FTC_GT, x, number(b, bound)), number(b, bound), x);
}

static ftc_scalar at_least(const ftc_scalar_builder *b, ftc_scalar x, float bound) {
    return b->select(b, b->fcmp(b, FTC_LT, x, number(b, bound)), number(b, bound), x);
}

// x with the sign of `sign`; x >= 0.
static ftc_scalar with_sign(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar sign) {
    ftc_scalar bit = b->iand(b, b->bits_from_f32(b, sign), integer(b, SIGN_BIT));
    return b->f32_from_bits(b, b->ior(b, b->bits_from_f32(b, x), bit));
}

// 2ⁿ for n in -126 … 127.
static ftc_scalar power_of_two(const ftc_scalar_builder *b, ftc_scalar n) {
    return b->f32_from_bits(b, b->shl(b, b->iadd(b, n, integer(b, 127)), integer(b, 23)));
}

// log 2 in two parts; the first has 10 significant bits, so that its product with an exponent is exact.
#define LOG2_HIGH 0x1.63p-1f
#define LOG2_LOW  -0x1.bd0106p-13f

// p · 2ⁿ for an integer n in -126 … 127.
static ftc_scalar scaled(const ftc_scalar_builder *b, ftc_scalar p, ftc_scalar n) {
    if (b->fscale) return b->fscale(b, p, n);
    return b->fmul(b, p, power_of_two(b, b->i32_from_f32(b, n)));
}

// The same for n in -252 … 254: in two halves, as 2ⁿ may be out of range where the product is not. At -254
// both halves are zero, for which -127 stands.
static ftc_scalar scaled_far(const ftc_scalar_builder *b, ftc_scalar p, ftc_scalar n) {
    ftc_scalar whole = b->i32_from_f32(b, n), half = b->ashr(b, whole, integer(b, 1));
    p = b->fmul(b, p, power_of_two(b, half));
    return b->fmul(b, p, power_of_two(b, b->isub(b, whole, half)));
}

// eˣ = p · 2ⁿ with n = round(x / log 2): eʳ = 1 + r + r² q(r) on |r| <= log(2) / 2, error 2^-28.2.
static ftc_scalar exp_parts(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar *n) {
    static const float q[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558b4p-5f, 0x1.12399ep-7f, 0x1.6a493p-10f};
    ftc_scalar whole = b->frint(b, b->fmul(b, x, number(b, 0x1.715476p+0f)));
    ftc_scalar r = b->fma(b, whole, number(b, -LOG2_HIGH), x);
    r = b->fma(b, whole, number(b, -LOG2_LOW), r);
    *n = whole;
    ftc_scalar tail = b->fma(b, b->fmul(b, r, r), polynomial(b, q, 5, r), r);
    return b->fadd(b, tail, number(b, 1));
}

// eˣ for |x| <= 87.
static ftc_scalar exp_bounded(const ftc_scalar_builder *b, ftc_scalar x) {
    ftc_scalar n, p = exp_parts(b, x, &n);
    return scaled(b, p, n);
}

// 2ˣ for |x| <= 126: 2ⁿ · 2ʳ with n = round x; 2ʳ = 1 + r p(r) on |r| <= 1/2, error 2^-28.3.
static ftc_scalar exp2_bounded(const ftc_scalar_builder *b, ftc_scalar x) {
    static const float p[] = {0x1.62e43p-1f, 0x1.ebfbdcp-3f,  0x1.c6af7cp-5f,
                              0x1.3b2dep-7f, 0x1.5f082ep-10f, 0x1.416b5ep-13f};
    ftc_scalar n = b->frint(b, x), r = b->fsub(b, x, n);
    return scaled(b, b->fma(b, polynomial(b, p, 6, r), r, number(b, 1)), n);
}

// Past the bounds the result is infinite or zero. Zero is no product that falls below what f32 holds: such a
// one takes Intel's cores a hundred times as long, and attention has masked scores, -inf, in every row. Where
// there is vscalefps, its lanes are masked; else n ends at -254.
ftc_scalar ftc_math_exp(const ftc_scalar_builder *b, ftc_scalar x) {
    ftc_scalar n, most = at_most(b, x, 89);
    if (!b->fscale) {
        ftc_scalar p = exp_parts(b, at_least(b, most, -176), &n);
        return scaled_far(b, p, n);
    }
    ftc_scalar p = exp_parts(b, most, &n);
    return b->select(b, b->fcmp(b, FTC_LT, x, number(b, -104)), number(b, 0), b->fscale(b, p, n));
}

// x = m · 2ᵉ with m in [2/3, 4/3), f = m - 1: log(1 + f) = f - f²/2 + f³ p(f), error 2^-27.7.
ftc_scalar ftc_math_log(const ftc_scalar_builder *b, ftc_scalar x) {
    static const float p[] = {0x1.555506p-2f, -0x1.fffefap-3f, 0x1.99d054p-3f, -0x1.559c54p-3f,
                              0x1.1ed508p-3f, -0x1.f335dp-4f,  0x1.1e6eb6p-3f, -0x1.07bc3cp-3f};
    ftc_scalar subnormal = b->fcmp(b, FTC_LT, x, number(b, 0x1p-126f));
    ftc_scalar scaled = b->select(b, subnormal, b->fmul(b, x, number(b, 0x1p23f)), x);
    ftc_scalar bits = b->bits_from_f32(b, scaled), two_thirds = integer(b, 0x3f2aaaab);
    ftc_scalar e = b->ashr(b, b->isub(b, bits, two_thirds), integer(b, 23));
    ftc_scalar m = b->f32_from_bits(b, b->isub(b, bits, b->shl(b, e, integer(b, 23))));
    e = b->f32_from_i32(b, b->isub(b, e, b->select(b, subnormal, integer(b, 23), integer(b, 0))));

    ftc_scalar f = b->fsub(b, m, number(b, 1));
    ftc_scalar tail = b->fma(b, polynomial(b, p, 8, f), f, number(b, -0.5f));
    tail = b->fma(b, e, number(b, LOG2_LOW), b->fmul(b, b->fmul(b, f, f), tail));
    ftc_scalar result = b->fma(b, e, number(b, LOG2_HIGH), b->fadd(b, f, tail));

    ftc_scalar regular =
        b->band(b, b->fcmp(b, FTC_GT, x, number(b, 0)), b->fcmp(b, FTC_LT, x, number(b, INFINITY)));
    // inf, NaN: x itself.
    ftc_scalar special = b->select(b, b->fcmp(b, FTC_LT, x, number(b, 0)), number(b, NAN), x);
    special = b->select(b, b->fcmp(b, FTC_EQ, x, number(b, 0)), number(b, -INFINITY), special);
    return b->select(b, regular, result, special);
}

// |x| < 0.93: erf x = x + x p(x²), error 2^-25.8; else erf |x| = 1 - exp(q(|x|)), q = log erfc on [0.92, 4],
// with an error of 2^-29.3 in the result. From 4 on it is 1.
ftc_scalar ftc_math_erf(const ftc_scalar_builder *b, ftc_scalar x) {
    static const float p[] = {0x1.06eba6p-3f,  -0x1.8126e2p-2f, 0x1.ce1986p-4f,
                              -0x1.b67c04p-6f, 0x1.46d9e2p-8f,  -0x1.38741cp-11f};
    static const float q[] = {-0x1.9a5cb2p-13f, -0x1.20af5ap+0f, -0x1.463cbep-1f, -0x1.a9b43ep-4f,
                              0x1.6c2a84p-6f,   -0x1.8ee142p-9f, 0x1.9ae80ap-13f};
    ftc_scalar t = b->fabs(b, x);
    ftc_scalar near = b->fma(b, polynomial(b, p, 6, b->fmul(b, x, x)), x, x);
    ftc_scalar rest = exp_bounded(b, polynomial(b, q, 7, at_most(b, t, 4)));
    ftc_scalar far = with_sign(b, b->fsub(b, number(b, 1), rest), x);
    return b->select(b, b->fcmp(b, FTC_LT, t, number(b, 0.93f)), near, far);
}

// Φ(-t) = 2^q(t), q = log2 Φ(-t) on [0, 6.5], with an error of 2^-27.1 in the result; Φ(t) = 1 - Φ(-t). Below
// -6.5, where it is 4e-11, it stays.
ftc_scalar ftc_math_normal_cdf(const ftc_scalar_builder *b, ftc_scalar x) {
    static const float q[] = {-1,
                              -0x1.26aed2p+0f,
                              -0x1.d63b5cp-2f,
                              -0x1.adef12p-5f,
                              0x1.cca374p-8f,
                              -0x1.806850p-14f,
                              -0x1.cbdf56p-13f,
                              0x1.bb9902p-15f,
                              -0x1.7de388p-18f,
                              0x1.049396p-22f};
    ftc_scalar tail = exp2_bounded(b, polynomial(b, q, 10, at_most(b, b->fabs(b, x), 6.5f)));
    return b->select(b, b->fcmp(b, FTC_LT, x, number(b, 0)), tail, b->fsub(b, number(b, 1), tail));
}

// |x| < 0.63: tanh x = x + x³ p(x²), error 2^-27.6; else tanh |x| = 1 - 2 / (e^(2|x|) + 1). From 10 on it
// is 1.
ftc_scalar ftc_math_tanh(const ftc_scalar_builder *b, ftc_scalar x) {
    static const float p[] = {-0x1.55553p-2f, 0x1.110684p-3f, -0x1.b82628p-5f, 0x1.51904p-6f, -0x1.732bdp-8f};
    ftc_scalar t = b->fabs(b, x), square = b->fmul(b, x, x);
    ftc_scalar near = b->fma(b, b->fmul(b, polynomial(b, p, 5, square), square), x, x);
    ftc_scalar e = exp_bounded(b, b->fmul(b, at_most(b, t, 10), number(b, 2)));
    ftc_scalar far = b->fdiv(b, number(b, 2), b->fadd(b, e, number(b, 1)));
    far = with_sign(b, b->fsub(b, number(b, 1), far), x);
    return b->select(b, b->fcmp(b, FTC_LT, t, number(b, 0.63f)), near, far);
}

// sin(x + quarters · π/2): x = n · π/2 + r, where π/2 is a sum of parts of 8 bits, whose products with n are
// exact. On |r| <= π/4, sin r = r + r³ p(r²) and cos r = 1 - r²/2 + r⁴ q(r²), errors 2^-27 and 2^-28.
static ftc_scalar sine(const ftc_scalar_builder *b, ftc_scalar x, int32_t quarters) {
    static const float half_pi[] = {0x1.92p+0f,  0x1.ep-12f,  0x1.b4p-16f,
                                    0x1.44p-24f, 0x1.08p-34f, 0x1.a308d4p-41f};
    static const float p[] = {-0x1.555546p-3f, 0x1.11073cp-7f, -0x1.9943f2p-13f};
    static const float q[] = {0x1.55554ap-5f, -0x1.6c0c34p-10f, 0x1.99eb9cp-16f};
    ftc_scalar is_angle = b->fcmp(b, FTC_LE, b->fabs(b, x), number(b, FTC_MATH_LARGEST_ANGLE));
    ftc_scalar r = b->select(b, is_angle, x, number(b, 0));
    ftc_scalar n = b->frint(b, b->fmul(b, r, number(b, 0x1.45f306p-1f)));
    for (int i = 0; i < 6; i++) r = b->fma(b, n, number(b, -half_pi[i]), r);
    ftc_scalar square = b->fmul(b, r, r);
    ftc_scalar odd = b->fma(b, b->fmul(b, polynomial(b, p, 3, square), square), r, r);
    ftc_scalar even = b->fma(b, b->fmul(b, polynomial(b, q, 3, square), square), square,
                             b->fma(b, square, number(b, -0.5f), number(b, 1)));
    ftc_scalar quadrant = b->iadd(b, b->i32_from_f32(b, n), integer(b, quarters));
    ftc_scalar is_even = b->icmp(b, FTC_NE, b->iand(b, quadrant, integer(b, 1)), integer(b, 0));
    ftc_scalar sign = b->shl(b, b->iand(b, quadrant, integer(b, 2)), integer(b, 30));
    ftc_scalar bits = b->bits_from_f32(b, b->select(b, is_even, even, odd));
    return b->select(b, is_angle, b->f32_from_bits(b, b->ixor(b, bits, sign)), number(b, NAN));
}

ftc_scalar ftc_math_sin(const ftc_scalar_builder *b, ftc_scalar x) {
    return sine(b, x, 0);
}

ftc_scalar ftc_math_cos(const ftc_scalar_builder *b, ftc_scalar x) {
    return sine(b, x, 1);
}
