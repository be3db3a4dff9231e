// The ranges of maps (ftc_op_info.range), and where a cast to an integer ends.
#ifndef FTC_MAP_RANGE_H
#define FTC_MAP_RANGE_H

#include <math.h>

#include "ir/op.h"

// The integers that f32 holds, of those of i32: a cast makes the nearest of what lies beyond them, the least
// of NaN.
#define FTC_LEAST_INTEGER (-0x1p31f)
#define FTC_MOST_INTEGER  0x1.fffffep30f

static inline double ftc_within_i32(double x) {
    return fmin(fmax(x, (double)FTC_LEAST_INTEGER), (double)FTC_MOST_INTEGER);
}

ftc_range_fn ftc_range_add, ftc_range_sub, ftc_range_mul, ftc_range_div, ftc_range_neg, ftc_range_abs,
    ftc_range_minimum, ftc_range_maximum, ftc_range_select, ftc_range_cast, ftc_range_exp, ftc_range_eq,
    ftc_range_lt, ftc_range_le, ftc_range_and, ftc_range_or, ftc_range_not;

#endif
