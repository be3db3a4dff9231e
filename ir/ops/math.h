// The transcendental functions as scalar bodies (ir/scalar.h): polynomials without branches or tables.
//
// Each, unless it says otherwise, is within 2 ulp of the true value for every float, with and without a fused
// multiply-add, subnormal arguments and results included; infinities and NaN give what C's functions of the
// same name give (tests/test_math.c measures it).
#ifndef FTC_OPS_MATH_H
#define FTC_OPS_MATH_H

#include "ir/scalar.h"

ftc_scalar ftc_math_exp(const ftc_scalar_builder *b, ftc_scalar x);
ftc_scalar ftc_math_log(const ftc_scalar_builder *b, ftc_scalar x);
ftc_scalar ftc_math_erf(const ftc_scalar_builder *b, ftc_scalar x);
ftc_scalar ftc_math_tanh(const ftc_scalar_builder *b, ftc_scalar x);

// Within 2.5 ulp for angles up to FTC_MATH_LARGEST_ANGLE; beyond, where neighbouring floats are a hundredth
// apart, NaN.
#define FTC_MATH_LARGEST_ANGLE 1e5f
ftc_scalar ftc_math_sin(const ftc_scalar_builder *b, ftc_scalar x);
ftc_scalar ftc_math_cos(const ftc_scalar_builder *b, ftc_scalar x);

// The distribution function of the standard normal distribution, Φ(x) = (1 + erf(x / √2)) / 2: within 2 ulp
// for x >= 0, within 2^-24 for the others, where it loses bits as exp(-x²/2) does; never below 4e-11.
ftc_scalar ftc_math_normal_cdf(const ftc_scalar_builder *b, ftc_scalar x);

#endif
