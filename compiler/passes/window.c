// Windows of tiles: which distances between two positions count at all, as a mask says.
//
// A tile computes its cells (i, j), i on the axis that is cut into blocks and j on the other ragged one. What
// leaves it, sums, maxima and contractions along one of both, is asked, for an interval of distances j - i:
// does every cell add nothing, by the ranges of its values (ir/range.h) at these distances? So
// exp(select(j <= i, s, -inf) - m) is 0 for all j > i. A cell that adds nothing where its row has any that
// does is left out also where the row has none, and the result is NaN in either case.
#include "compiler/passes/window.h"

#include <math.h>
#include <stdlib.h>

#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/range.h"

// A window is worth having if it leaves less than this share.
static const double WORTH_IT = 0.8;

enum { UNIT = 32 }; // about what the first position of a block is a multiple of (compiler/emit/tile.c)

typedef struct {
    const ftc_graph *g;
    ftc_id first, last; // the kernel's nodes: first … last - 1
    ftc_axis block, other;
    ftc_range *range; // by node, as far as the kernel's
    bool *zero;       // by node: zero, or NaN
} search;

static bool is_inside(const search *s, ftc_id id) {
    return id >= s->first && id < s->last;
}

// The axis whose positions, plus *offset, the value is, FTC_NO_AXIS: it is another.
static ftc_axis position_on(const ftc_graph *g, ftc_id id, double *offset) {
    const ftc_node *node = &g->nodes[id];
    const ftc_op_info *info = ftc_op_get(node->op);
    bool is_number = node->type.dtype == FTC_I32 || node->type.dtype == FTC_F32;
    *offset = 0;
    if (info->class == FTC_CLASS_SOURCE) return info->attrs & FTC_ATTR_AXIS ? node->axis : FTC_NO_AXIS;
    if (info->class != FTC_CLASS_MAP || !is_number) return FTC_NO_AXIS;
    if (info->attrs & FTC_ATTR_DTYPE) { // cast: of what is no whole number, no position
        ftc_axis axis = position_on(g, node->arg[0], offset);
        return *offset == floor(*offset) ? axis : FTC_NO_AXIS;
    }
    for (int i = 0; i < 2 && node->n_args == 2 && info->linear_all == 3; i++) { // plus or minus a number
        const ftc_node *number = &g->nodes[node->arg[1 - i]];
        ftc_axis axis = ftc_is_constant(number) ? position_on(g, node->arg[i], offset) : FTC_NO_AXIS;
        if (axis == FTC_NO_AXIS) continue;
        const ftc_map_types types = ftc_node_map_types(g, node);
        double first[2] = {number->value, number->value}, next[2] = {number->value, number->value};
        first[i] = *offset, next[i] = *offset + 1;
        *offset = info->eval(&types, first);
        return info->eval(&types, next) == *offset + 1 ? axis : FTC_NO_AXIS;
    }
    return FTC_NO_AXIS;
}

// The ranges of the operands. Those of what looks at the distance alone become the distance and zero.
static void operand_ranges(const search *s, const ftc_node *node, ftc_range distance, ftc_range *args) {
    for (int i = 0; i < node->n_args; i++)
        args[i] = is_inside(s, node->arg[i]) ? s->range[node->arg[i]]
                                             : ftc_range_any(s->g->nodes[node->arg[i]].type.dtype);
    if (!ftc_op_get(node->op)->of_difference) return;
    double offset[2];
    ftc_axis of[] = {position_on(s->g, node->arg[0], &offset[0]),
                     position_on(s->g, node->arg[1], &offset[1])};
    int other = of[0] == s->other ? 0 : 1;
    if (of[other] != s->other || of[1 - other] != s->block) return;
    args[other] = ftc_range_between(distance.low + offset[other], distance.high + offset[other]);
    args[1 - other] = ftc_range_between(offset[1 - other], offset[1 - other]);
}

static bool adds_nothing(const search *s, const ftc_node *node, const ftc_range *args) {
    const ftc_op_info *info = ftc_op_get(node->op);
    uint8_t zeros = 0;
    for (int i = 0; i < node->n_args; i++)
        if (is_inside(s, node->arg[i]) && s->zero[node->arg[i]]) zeros |= (uint8_t)(1 << i);
    switch (info->class) {
    case FTC_CLASS_MAP:
        if (info->chooses && args[0].low == args[0].high) return zeros >> (args[0].low != 0 ? 1 : 2) & 1;
        return zeros & info->zero_any || (info->zero_all && (zeros & info->zero_all) == info->zero_all);
    case FTC_CLASS_DOT: return zeros != 0;
    case FTC_CLASS_REDUCE: return info->identity == 0 && zeros;
    case FTC_CLASS_RENAME:
    case FTC_CLASS_DETACH: return zeros & 1;
    default: return false;
    }
}

// Whether the node has cells for pairs of positions.
static bool is_pair(const search *s, ftc_id id) {
    const ftc_axes *axes = &s->g->nodes[id].type.axes;
    return ftc_axes_has(axes, s->block) && ftc_axes_has(axes, s->other);
}

// Whether the cells that are reduced are those that change nothing: -inf for a maximum.
static bool is_identity(const search *s, const ftc_node *reduce) {
    const ftc_range *x = &s->range[reduce->arg[0]];
    double identity = ftc_op_get(reduce->op)->identity;
    return is_inside(s, reduce->arg[0]) && x->low == identity && x->high == identity;
}

// Whether what leaves the tile by this node is the same without the cells at the distances.
static bool loses_nothing(const search *s, const ftc_node *node) {
    const ftc_op_info *info = ftc_op_get(node->op);
    bool any_pair = false, any_zero = false;
    for (int i = 0; i < node->n_args; i++) {
        ftc_id arg = node->arg[i];
        if (!is_pair(s, arg)) continue;
        any_pair = true;
        any_zero |= is_inside(s, arg) && s->zero[arg];
    }
    if (!any_pair) return true;
    bool along = ftc_axes_has(&node->axes, s->other) || ftc_axes_has(&node->axes, s->block);
    switch (info->class) {
    case FTC_CLASS_REDUCE: return !along || (info->identity == 0 && any_zero) || is_identity(s, node);
    case FTC_CLASS_DOT: return !along || any_zero;
    case FTC_CLASS_SCATTER: return is_inside(s, node->arg[0]) && s->zero[node->arg[0]];
    case FTC_CLASS_MAP:
    case FTC_CLASS_RENAME:
    case FTC_CLASS_DETACH:
    case FTC_CLASS_GATHER: return true;
    default: return false;
    }
}

// Sets the range of a node, whose operands have theirs, at distances in [low, high].
static void set_range(search *s, ftc_id v, int64_t low, int64_t high, ftc_range *args) {
    operand_ranges(s, &s->g->nodes[v], ftc_range_between((double)low, (double)high), args);
    s->range[v] = ftc_range_of(s->g, &s->g->nodes[v], args);
}

// Whether the tile can leave out all cells whose distance is in [low, high].
static bool can_skip(search *s, int64_t low, int64_t high) {
    for (ftc_id v = s->first; v < s->last; v++) {
        const ftc_node *node = &s->g->nodes[v];
        ftc_range args[FTC_MAX_ARGS];
        set_range(s, v, low, high, args);
        bool is_zero = s->range[v].low == 0 && s->range[v].high == 0;
        s->zero[v] = is_zero || adds_nothing(s, node, args);
        if (!loses_nothing(s, node)) return false;
    }
    return true;
}

// The tile's cells are its own: none is read by another kernel.
static bool keeps_cells(const search *s) {
    const ftc_graph *g = s->g;
    for (ftc_id v = s->last; v < g->n_nodes; v++)
        for (int i = 0; i < g->nodes[v].n_args; i++)
            if (is_inside(s, g->nodes[v].arg[i]) && is_pair(s, g->nodes[v].arg[i])) return false;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (is_inside(s, g->outputs[i].node) && is_pair(s, g->outputs[i].node)) return false;
    return true;
}

// The other ragged axis of the tile with the block's extent; FTC_NO_AXIS: there is none, or several.
static ftc_axis find_other(const ftc_graph *g, ftc_id first, ftc_id last, ftc_axis block) {
    ftc_axis other = FTC_NO_AXIS;
    for (ftc_id v = first; v < last; v++)
        for (int i = 0; i < g->nodes[v].type.axes.n; i++) {
            ftc_axis axis = g->nodes[v].type.axes.at[i];
            if (axis == block || axis == other || ftc_axis_over(g, axis) == FTC_NO_AXIS) continue;
            if (other != FTC_NO_AXIS || g->axes[axis].extent != g->axes[block].extent) return FTC_NO_AXIS;
            other = axis;
        }
    return other;
}

// The share of a longest sequence's cells that a tile computes within the window.
static double share_of(const ftc_kernel *kernel, int64_t length) {
    int64_t cells = 0;
    for (int64_t i = 0; i < length; i += kernel->block_size) {
        int64_t begin, end;
        begin = i + kernel->window_low, end = i + kernel->block_size + kernel->window_high;
        begin = begin < 0 ? 0 : begin / UNIT * UNIT;
        end = end > length ? length : end;
        if (end > begin) cells += (end - begin) * kernel->block_size;
    }
    return (double)cells / (double)(length * length);
}

static void find_window(ftc_graph *g, uint32_t k, ftc_id first, ftc_id last, ftc_range *range, bool *zero) {
    ftc_kernel *kernel = &g->kernels[k];
    search s = {.g = g, .first = first, .last = last, .block = kernel->block, .range = range, .zero = zero};
    s.other = find_other(g, first, last, kernel->block);
    if (s.other == FTC_NO_AXIS || !keeps_cells(&s)) return;
    int64_t length = ftc_axis_extent(g, kernel->block)->bound, most = length - 1;
    int64_t low = -most, high = most;
    // The least distance from which on all can be left out, and the greatest up to which.
    for (int64_t below = -length, at; below + 1 < high;) {
        at = below + (high - below) / 2;
        *(can_skip(&s, at + 1, most) ? &high : &below) = at;
    }
    for (int64_t above = length, at; low + 1 < above;) {
        at = low + (above - low) / 2;
        *(can_skip(&s, -most, at - 1) ? &low : &above) = at;
    }
    if (low > high) return;
    kernel->window_low = (int32_t)low;
    kernel->window_high = (int32_t)high;
    kernel->has_window = share_of(kernel, length) < WORTH_IT;
    if (!kernel->has_window) kernel->window_low = kernel->window_high = 0;
}

uint8_t *ftc_window_known(const ftc_graph *g, uint32_t k, ftc_id first, ftc_id last) {
    const ftc_kernel *kernel = &g->kernels[k];
    search s = {.g = g, .first = first, .last = last, .block = kernel->block};
    s.other = find_other(g, first, last, kernel->block);
    s.range = ftc_alloc(g->n_nodes, sizeof *s.range);
    uint8_t *known = ftc_alloc(g->n_nodes, sizeof *known);
    for (ftc_id v = first; v < last; v++) {
        ftc_range args[FTC_MAX_ARGS];
        set_range(&s, v, kernel->window_low, kernel->window_high, args);
        const ftc_range *is = &s.range[v];
        if (g->nodes[v].type.dtype == FTC_BOOL && is_pair(&s, v) && is->low == is->high)
            known[v] = is->low ? FTC_KNOWN_TRUE : FTC_KNOWN_FALSE;
    }
    free(s.range);
    return known;
}

void ftc_window_find(ftc_graph *g) {
    ftc_range *range = ftc_alloc(g->n_nodes, sizeof *range);
    bool *zero = ftc_alloc(g->n_nodes, sizeof *zero);
    for (ftc_id first = 1, last; first < g->n_nodes; first = last) {
        uint32_t k = g->nodes[first].kernel;
        for (last = first; last < g->n_nodes && g->nodes[last].kernel == k;) last++;
        if (k && g->kernels[k].kind == FTC_KERNEL_TILE && g->kernels[k].block != FTC_NO_AXIS)
            find_window(g, k, first, last, range, zero);
    }
    free(range);
    free(zero);
}
