#include "ir/range.h"

#include <math.h>

#include "ir/op.h"

ftc_range ftc_range_between(double low, double high) {
    return (ftc_range){.low = low, .high = high, .below = FTC_NO_EXTENT};
}

ftc_range ftc_range_any(ftc_dtype dtype) {
    switch (dtype) {
    case FTC_I32: return ftc_range_between(INT32_MIN, INT32_MAX);
    case FTC_U32: return ftc_range_between(0, UINT32_MAX);
    case FTC_BOOL: return ftc_range_between(0, 1);
    default: return (ftc_range){-INFINITY, INFINITY, true, FTC_NO_EXTENT};
    }
}

ftc_range ftc_range_hull(ftc_range a, ftc_range b) {
    return (ftc_range){.low = fmin(a.low, b.low),
                       .high = fmax(a.high, b.high),
                       .nan = a.nan || b.nan,
                       .below = a.below == b.below ? a.below : FTC_NO_EXTENT};
}

// What becomes of a range in the arithmetic of the dtype: integers wrap around, floats are rounded (or not,
// where a multiplication and an addition become one instruction).
static ftc_range held_by(ftc_dtype dtype, ftc_range r) {
    ftc_range any = ftc_range_any(dtype);
    bool fits = r.low >= any.low && r.high <= any.high; // false where one is NaN
    if (!fits) return any;
    if (dtype == FTC_BF16) return any;
    if (dtype != FTC_F32) return r;
    r.low = fmin(r.low, (double)(float)r.low);
    r.high = fmax(r.high, (double)(float)r.high);
    return r;
}

ftc_range ftc_range_of(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    const ftc_op_info *info = ftc_op_get(node->op);
    return info->range ? held_by(node->type.dtype, info->range(g, node, args))
                       : ftc_range_any(node->type.dtype);
}

void ftc_range_find(const ftc_graph *g, ftc_range *ranges) {
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        ftc_range args[FTC_MAX_ARGS];
        for (int i = 0; i < node->n_args; i++) args[i] = ranges[node->arg[i]];
        ranges[id] = ftc_range_of(g, node, args);
    }
}

bool ftc_range_within(const ftc_graph *g, const ftc_range *range, ftc_axis axis) {
    const ftc_extent_def *extent = ftc_axis_extent(g, axis);
    if (range->nan || range->low < 0) return false;
    if (extent->kind == FTC_EXTENT_CONST) return range->high < (double)extent->bound;
    return range->below == g->axes[axis].extent;
}
