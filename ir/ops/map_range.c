#include "ir/ops/map_range.h"

#include <math.h>

// Beyond this, f32 does not hold every integer.
static const double LARGEST_EXACT = 0x1p24;

// A little wider where the bounds themselves were rounded, as doubles; infinity never is.
static ftc_range widened(ftc_range r, bool exact) {
    if (!exact && !isinf(r.low)) r.low = (double)nextafterf((float)r.low, -INFINITY);
    if (!exact && !isinf(r.high)) r.high = (double)nextafterf((float)r.high, INFINITY);
    return r;
}

ftc_range ftc_range_add(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    ftc_range r = ftc_range_between(x[0].low + x[1].low, x[0].high + x[1].high);
    bool exact = r.low - x[0].low == x[1].low && r.low - x[1].low == x[0].low &&
                 r.high - x[0].high == x[1].high && r.high - x[1].high == x[0].high;
    r.nan = x[0].nan || x[1].nan || isinf(r.low) || isinf(r.high); // inf - inf
    if (isnan(r.low)) r.low = INFINITY;    // one is inf alone: so is the sum, unless it is NaN
    if (isnan(r.high)) r.high = -INFINITY; // one is -inf alone
    for (int i = 0; i < 2; i++)
        if (x[i].high <= 0) r.below = x[1 - i].below;
    return widened(r, exact);
}

ftc_range ftc_range_neg(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    return (ftc_range){-x[0].high, -x[0].low, x[0].nan, FTC_NO_EXTENT};
}

ftc_range ftc_range_sub(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    ftc_range terms[] = {x[0], ftc_range_neg(g, node, &x[1])};
    return ftc_range_add(g, node, terms);
}

// The extremes of products lie at ends of both operands; two f32 numbers have an exact product.
ftc_range ftc_range_mul(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    double ends[] = {x[0].low * x[1].low, x[0].low * x[1].high, x[0].high * x[1].low, x[0].high * x[1].high};
    ftc_range r = ftc_range_between(INFINITY, -INFINITY);
    r.nan = x[0].nan || x[1].nan;
    for (int i = 0; i < 4; i++) {
        r.nan |= isnan(ends[i]);
        r.low = fmin(r.low, isnan(ends[i]) ? -INFINITY : ends[i]);
        r.high = fmax(r.high, isnan(ends[i]) ? INFINITY : ends[i]);
    }
    return r;
}

ftc_range ftc_range_div(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    if (x[1].nan || x[1].low <= 0 || isinf(x[1].high)) return ftc_range_any(node->type.dtype);
    ftc_range factors[] = {x[0], ftc_range_between(1 / x[1].high, 1 / x[1].low)};
    return widened(ftc_range_mul(g, node, factors), false);
}

ftc_range ftc_range_abs(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    double a = fabs(x[0].low), b = fabs(x[0].high);
    return (ftc_range){x[0].low <= 0 && x[0].high >= 0 ? 0 : fmin(a, b), fmax(a, b), x[0].nan, FTC_NO_EXTENT};
}

// Where one operand is NaN the result is the other.
ftc_range ftc_range_minimum(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    ftc_range r = ftc_range_hull(x[0], x[1]);
    if (!x[0].nan && !x[1].nan) r.below = x[0].below != FTC_NO_EXTENT ? x[0].below : x[1].below;
    if (!x[0].nan) r.high = fmin(r.high, x[0].high);
    if (!x[1].nan) r.high = fmin(r.high, x[1].high);
    r.nan = x[0].nan && x[1].nan;
    return r;
}

ftc_range ftc_range_maximum(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    ftc_range r = ftc_range_hull(x[0], x[1]);
    if (!x[0].nan) r.low = fmax(r.low, x[0].low);
    if (!x[1].nan) r.low = fmax(r.low, x[1].low);
    r.nan = x[0].nan && x[1].nan;
    return r;
}

ftc_range ftc_range_select(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    if (x[0].low == x[0].high) return x[0].low != 0 ? x[1] : x[2];
    return ftc_range_hull(x[1], x[2]);
}

ftc_range ftc_range_cast(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    ftc_dtype from = g->nodes[node->arg[0]].type.dtype, to = node->type.dtype;
    if (to == FTC_BOOL || to == FTC_BF16) return ftc_range_any(to);
    ftc_range r = x[0];
    if (r.high > LARGEST_EXACT) r.below = FTC_NO_EXTENT; // a larger float may round up
    if (to == FTC_F32 || from == FTC_I32 || from == FTC_U32 || from == FTC_BOOL) return r;
    r.low = r.nan ? (double)FTC_LEAST_INTEGER : trunc(ftc_within_i32(r.low));
    r.high = trunc(ftc_within_i32(r.high));
    r.nan = false;
    return r;
}

ftc_range ftc_range_exp(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    ftc_range r = ftc_range_between(0, 0);
    if (x[0].high > -INFINITY) r = widened(ftc_range_between(exp(x[0].low), exp(x[0].high)), false);
    r.low = fmax(r.low, 0);
    r.nan = x[0].nan;
    return r;
}

// --- conditions: 0 where it never holds, 1 where it always does ----------------------------------------

static ftc_range holds(bool always, bool never) {
    return ftc_range_between(always, !never);
}

// Nothing is equal to NaN, nor before or behind it.
static ftc_range compared(const ftc_range *x, bool always, bool never) {
    return holds(always && !x[0].nan && !x[1].nan, never);
}

ftc_range ftc_range_eq(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    bool one = x[0].low == x[0].high && x[1].low == x[1].high && x[0].low == x[1].low;
    return compared(x, one, x[0].high < x[1].low || x[1].high < x[0].low);
}

ftc_range ftc_range_lt(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    return compared(x, x[0].high < x[1].low, x[0].low >= x[1].high);
}

ftc_range ftc_range_le(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    return compared(x, x[0].high <= x[1].low, x[0].low > x[1].high);
}

ftc_range ftc_range_and(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    return holds(x[0].low != 0 && x[1].low != 0, x[0].high == 0 || x[1].high == 0);
}

ftc_range ftc_range_or(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    return holds(x[0].low != 0 || x[1].low != 0, x[0].high == 0 && x[1].high == 0);
}

ftc_range ftc_range_not(const ftc_graph *g, const ftc_node *node, const ftc_range *x) {
    (void)g, (void)node;
    return holds(x[0].high == 0, x[0].low != 0);
}
