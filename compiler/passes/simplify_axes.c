// The rules of simplify that look at axes.
//
// Two notions carry most of them. A *broadcast*, x * fill(1; axes), repeats a value along axes; it moves
// outwards, through maps and reductions, where it vanishes as soon as another operand has the axes anyway. A
// fill counts as the broadcast of a number. A *rename* moves outwards too, so that what is computed on both
// sides of it becomes the same.
#include "compiler/passes/pattern.h"
#include "compiler/passes/regions.h"
#include "compiler/passes/simplify.h"
#include "ir/build.h"
#include "ir/op.h"

static const ftc_axes *axes_of(const ftc_graph *g, ftc_id id) {
    return &ftc_graph_node(g, id)->type.axes;
}

// --- what does nothing --------------------------------------------------------------------------------

bool ftc_keeps_dtype(const ftc_graph *g, const ftc_node *cast) {
    return ftc_graph_node(g, cast->arg[0])->type.dtype == cast->type.dtype;
}

// --- empty sequences ----------------------------------------------------------------------------------

bool ftc_may_sum_nothing(const ftc_graph *g, const ftc_node *sum, ftc_id factor) {
    for (int i = 0; i < sum->axes.n; i++) {
        ftc_axis over = ftc_axis_over(g, sum->axes.at[i]);
        if (over == FTC_NO_AXIS || !ftc_axes_has(axes_of(g, factor), over)) continue;
        bool is_there = ftc_axis_extent(g, sum->axes.at[i])->least > 0;
        // A cell of the result may lie in a sequence that has some length.
        for (int k = 0; k < sum->type.axes.n; k++)
            is_there |= ftc_axis_extent(g, sum->type.axes.at[k]) == ftc_axis_extent(g, sum->axes.at[i]);
        if (!is_there) return true;
    }
    return false;
}

// --- broadcasts ---------------------------------------------------------------------------------------

// What `id` repeats: the operand of a broadcast, the number of a fill; 0 when it is neither.
static ftc_id repeated(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    ftc_id x;
    if (ftc_is_constant(&node) && node.type.axes.n)
        return ftc_build_fill(g, node.value, node.type.dtype, &(ftc_axes){0});
    return ftc_is_broadcast(g, &node, &x) ? x : 0;
}

// map(broadcast(x), y) → map(x, y), broadcast where y does not have the axes.
ftc_id ftc_rule_lift_broadcast(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (ftc_node_class(&node) != FTC_CLASS_MAP) return 0;
    ftc_id inner = 0, args[FTC_MAX_ARGS];
    bool is_broadcast = ftc_is_broadcast(g, &node, &inner), found = false;
    ftc_axes all = {0};
    for (int i = 0; i < node.n_args; i++) {
        bool is_ones = is_broadcast && node.arg[i] != inner;
        ftc_id x = is_ones ? 0 : repeated(g, node.arg[i]);
        args[i] = x ? x : node.arg[i];
        found |= x != 0;
        all = ftc_axes_union(&all, axes_of(g, args[i]));
    }
    bool multiplies = node.type.dtype != FTC_BOOL && node.type.dtype != FTC_BF16;
    if (!found || (!multiplies && all.n < node.type.axes.n)) return 0;
    return ftc_build_broadcast(g, ftc_build_map(g, node.op, node.type.dtype, node.n_args, args),
                               &node.type.axes);
}

// The axes and those over which they are ragged.
static ftc_axes with_parents(const ftc_graph *g, const ftc_axes *axes) {
    ftc_axes all = {0};
    for (int i = 0; i < axes->n; i++) {
        ftc_axis over = ftc_axis_over(g, axes->at[i]);
        if (over != FTC_NO_AXIS) ftc_axes_add(&all, over);
    }
    return ftc_axes_union(&all, axes);
}

// How many cells the axes have: for each element of the axes that they are ragged over and that are not
// counted.
static ftc_id count_cells(ftc_graph *g, const ftc_axes *axes) {
    ftc_axes all = with_parents(g, axes);
    return ftc_build_sum(g, ftc_build_fill(g, 1, FTC_F32, &all), axes);
}

// sum(fill(v)) → v times the size of the constant axes, times a count of the others.
ftc_id ftc_rule_sum_constant(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (!ftc_is_sum(&node) || !ftc_is_constant(ftc_graph_node(g, node.arg[0]))) return 0;
    double value = ftc_graph_node(g, node.arg[0])->value, size = 1;
    ftc_axes counted = {0};
    for (int i = 0; i < node.axes.n; i++) {
        const ftc_extent_def *extent = ftc_axis_extent(g, node.axes.at[i]);
        if (extent->kind == FTC_EXTENT_CONST)
            size *= (double)extent->bound;
        else
            ftc_axes_add(&counted, node.axes.at[i]);
    }
    for (int i = 0; i < counted.n;
         i++) { // a constant axis whose elements have lengths that are counted stays, too
        ftc_axis over = ftc_axis_over(g, counted.at[i]);
        if (over == FTC_NO_AXIS || !ftc_axes_has(&node.axes, over) || ftc_axes_has(&counted, over)) continue;
        ftc_axes_add(&counted, over);
        size /= (double)ftc_axis_extent(g, over)->bound;
    }
    if (!counted.n) return ftc_build_fill(g, value * size, FTC_F32, &node.type.axes);
    ftc_axes needed = with_parents(g, &counted);
    if (value == 1 && ftc_axes_same_set(&needed, axes_of(g, node.arg[0]))) return 0;
    ftc_id count = count_cells(g, &counted);
    ftc_id scaled = ftc_build_map2(g, FTC_OP_mul, count, ftc_build_const(g, value * size));
    return ftc_build_broadcast(g, scaled, &node.type.axes);
}

// sum(broadcast(x); R): what x lacks of R is a count, the rest a smaller sum.
ftc_id ftc_rule_sum_broadcast(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    ftc_id x;
    if (!ftc_is_sum(&node) || !ftc_is_broadcast(g, ftc_graph_node(g, node.arg[0]), &x)) return 0;
    ftc_axes own = ftc_axes_intersect(&node.axes, axes_of(g, x)),
             lacking = ftc_axes_minus(&node.axes, axes_of(g, x));
    if (lacking.n) x = ftc_build_map2(g, FTC_OP_mul, x, count_cells(g, &lacking));
    return ftc_build_broadcast(g, ftc_build_sum(g, x, &own), &node.type.axes);
}

// sum(x * y; R) → sum(x; R) * y where y has none of R; the same for what else scales (x / y, -x). Not where
// there may be nothing to sum: y may be infinite there.
ftc_id ftc_rule_sum_factor(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (!ftc_is_sum(&node)) return 0;
    ftc_node inner = *ftc_graph_node(g, node.arg[0]);
    ftc_id unused;
    if (ftc_is_broadcast(g, &inner, &unused)) return 0;
    if (ftc_node_class(&inner) != FTC_CLASS_MAP) return 0;
    if (inner.n_args == 1 && ftc_op_get(inner.op)->linear_any)
        return ftc_build_map1(g, inner.op, ftc_build_sum(g, inner.arg[0], &node.axes));
    for (int i = 0; i < 2; i++) { // i: the factor
        if (!ftc_scales_by(&inner, i)) continue;
        ftc_axes shared = ftc_axes_intersect(axes_of(g, inner.arg[i]), &node.axes);
        ftc_axis lone;
        ftc_axes rest = ftc_axes_minus(axes_of(g, inner.arg[1 - i]), &node.axes);
        if (shared.n || !ftc_axes_ragged_complete(g, &rest, &lone)) continue;
        if (ftc_may_sum_nothing(g, &node, inner.arg[i])) continue;
        return ftc_build_map2(g, inner.op, ftc_build_sum(g, inner.arg[1 - i], &node.axes), inner.arg[i]);
    }
    return 0;
}

// One division in place of many.
bool ftc_repeats_divisor(const ftc_graph *g, const ftc_node *quotient) {
    int y_axes = axes_of(g, quotient->arg[1])->n;
    return y_axes > 0 && y_axes < quotient->type.axes.n;
}

// dot(broadcast(x), y; R): y is summed over what x lacks of R.
ftc_id ftc_rule_dot_broadcast(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (ftc_node_class(&node) != FTC_CLASS_DOT) return 0;
    for (int i = 0; i < 2; i++) {
        ftc_id x = repeated(g, node.arg[i]), y = node.arg[1 - i];
        if (!x) continue;
        ftc_axes lacking = ftc_axes_minus(&node.axes, axes_of(g, x)),
                 own = ftc_axes_minus(&node.axes, &lacking);
        ftc_axes rest = ftc_axes_minus(axes_of(g, y), &lacking);
        ftc_axis lone;
        if (!ftc_axes_ragged_complete(g, &rest, &lone)) continue;
        y = ftc_build_sum(g, ftc_build_cast(g, FTC_F32, y), &lacking);
        return ftc_build_broadcast(g, ftc_build_dot(g, x, y, &own), &node.type.axes);
    }
    return 0;
}

// --- renames ------------------------------------------------------------------------------------------

static bool is_rename(const ftc_node *node) {
    return ftc_node_class(node) == FTC_CLASS_RENAME;
}

static ftc_axes replaced(ftc_axes axes, ftc_axis from, ftc_axis to) {
    int i = ftc_axes_find(&axes, from);
    if (i >= 0) axes.at[i] = to;
    return axes;
}

ftc_id ftc_rule_rename_chain(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (!is_rename(&node)) return 0;
    ftc_node inner = *ftc_graph_node(g, node.arg[0]);
    if (!is_rename(&inner) || inner.to != node.axis) return 0;
    return ftc_build_rename(g, inner.arg[0], inner.axis, node.to);
}

// Sources are made along the new axis at once. Random numbers depend on coordinates, not on the names of
// axes.
ftc_id ftc_rule_rename_source(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (!is_rename(&node)) return 0;
    ftc_node source = *ftc_graph_node(g, node.arg[0]);
    if (ftc_node_class(&source) != FTC_CLASS_SOURCE) return 0;
    bool is_position = ftc_op_get(source.op)->attrs & FTC_ATTR_AXIS;
    if (is_position && source.axis != node.axis) return 0;
    source.axes = replaced(source.axes, node.axis, node.to);
    if (is_position) source.axis = node.to;
    return ftc_build(g, source);
}

ftc_id ftc_rule_rename_broadcast(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    ftc_id x;
    if (!is_rename(&node) || !ftc_is_broadcast(g, ftc_graph_node(g, node.arg[0]), &x)) return 0;
    if (ftc_axes_has(axes_of(g, x), node.axis)) x = ftc_build_rename(g, x, node.axis, node.to);
    return ftc_build_broadcast(g, x, &node.type.axes);
}

bool ftc_unrenamed(const ftc_graph *g, const ftc_node *node, ftc_node *inner, ftc_axis *from, ftc_axis *to) {
    switch (ftc_node_class(node)) {
    case FTC_CLASS_MAP:
    case FTC_CLASS_REDUCE:
    case FTC_CLASS_DOT:
    case FTC_CLASS_AT:
    case FTC_CLASS_DETACH: break;
    default: return false;
    }
    const ftc_node *rename = NULL;
    for (int i = 0; i < node->n_args && !rename; i++)
        if (is_rename(ftc_graph_node(g, node->arg[i]))) rename = ftc_graph_node(g, node->arg[i]);
    if (!rename) return false;
    *inner = *node;
    for (int i = 0; i < node->n_args; i++) {
        const ftc_node *arg = ftc_graph_node(g, node->arg[i]);
        if (ftc_axes_has(&arg->type.axes, rename->axis)) return false;
        if (!ftc_axes_has(&arg->type.axes, rename->to)) continue;
        if (!is_rename(arg) || arg->axis != rename->axis || arg->to != rename->to) return false;
        inner->arg[i] = arg->arg[0];
    }
    inner->axes = replaced(node->axes, rename->to, rename->axis);
    inner->type.axes = replaced(node->type.axes, rename->to, rename->axis);
    if (node->axis == rename->to) inner->axis = rename->axis;
    *from = rename->axis;
    *to = rename->to;
    return true;
}

// f(rename(x), rename(y)) → rename(f(x, y)); no rename remains where f sums over the axis. One rename on one
// operand stays where it is: moving it would gain nothing and part the operand from values that have the new
// axis.
ftc_id ftc_rule_lift_rename(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id), inner;
    ftc_axis from, to;
    if (!ftc_unrenamed(g, &node, &inner, &from, &to)) return 0;
    bool vanishes = !ftc_axes_has(&node.type.axes, to);
    int n_renames = 0;
    for (int i = 0; i < node.n_args; i++) n_renames += inner.arg[i] != node.arg[i];
    if (!vanishes && n_renames < 2) return 0;
    ftc_id lifted = ftc_build(g, inner);
    return vanishes ? lifted : ftc_build_rename(g, lifted, from, to);
}

// --- positions ----------------------------------------------------------------------------------------

bool ftc_known_at(const ftc_node *source, ftc_axis axis, int64_t index, double *value) {
    if (ftc_is_constant(source)) {
        *value = source->value;
        return true;
    }
    if (!(ftc_op_get(source->op)->attrs & FTC_ATTR_AXIS) || source->axis != axis) return false;
    *value = (double)index;
    return true;
}

// at(…) of what is known at the position: constants, indices, placed values.
ftc_id ftc_rule_at_known(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (ftc_node_class(&node) != FTC_CLASS_AT) return 0;
    ftc_node x = *ftc_graph_node(g, node.arg[0]);
    double value;
    if (ftc_node_class(&x) == FTC_CLASS_SOURCE && ftc_known_at(&x, node.axis, node.index, &value))
        return ftc_build_fill(g, value, x.type.dtype, &node.type.axes);
    if (ftc_node_class(&x) != FTC_CLASS_PLACE || x.axis != node.axis) return 0;
    return x.index == node.index ? x.arg[0] : ftc_build_fill(g, 0, x.type.dtype, &node.type.axes);
}

// at(f(x, y), S, i) → f(at(x, S, i), y) for maps and gathers over two ragged axes: others may want the whole,
// but nobody stores it.
ftc_id ftc_rule_at_pairs(ftc_graph *g, ftc_id id) {
    ftc_node at = *ftc_graph_node(g, id);
    if (ftc_node_class(&at) != FTC_CLASS_AT || ftc_axis_over(g, at.axis) == FTC_NO_AXIS) return 0;
    ftc_node node = *ftc_graph_node(g, at.arg[0]);
    ftc_op_class class = ftc_node_class(&node);
    if (class != FTC_CLASS_MAP && class != FTC_CLASS_GATHER) return 0;
    if (!ftc_region_is_quadratic(g, &node.type)) return 0;
    for (int i = 0; i < node.n_args; i++)
        if (ftc_axes_has(&ftc_graph_node(g, node.arg[i])->type.axes, at.axis))
            node.arg[i] = ftc_build_at(g, node.arg[i], at.axis, at.index);
    return class == FTC_CLASS_MAP ? ftc_build_map(g, node.op, node.type.dtype, node.n_args, node.arg)
                                  : ftc_build(g, node);
}

// at(shift(x)) is x at the position that it comes from, if every sequence has that one.
ftc_id ftc_rule_at_shift(ftc_graph *g, ftc_id id) {
    ftc_node at = *ftc_graph_node(g, id);
    if (ftc_node_class(&at) != FTC_CLASS_AT) return 0;
    ftc_node shift = *ftc_graph_node(g, at.arg[0]);
    if (ftc_node_class(&shift) != FTC_CLASS_SHIFT || shift.to != at.axis) return 0;
    const ftc_extent_def *from = ftc_axis_extent(g, shift.axis);
    int64_t index = at.index - shift.index;
    if (index < 0 || index >= from->bound) return ftc_build_fill(g, 0, at.type.dtype, &at.type.axes);
    if (from->kind != FTC_EXTENT_CONST && index > at.index) return 0;
    return ftc_build_at(g, shift.arg[0], shift.axis, index);
}

// A shift of nothing, by nothing, or of a shift that loses no cell that is read.
ftc_id ftc_rule_shift(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (ftc_node_class(&node) != FTC_CLASS_SHIFT) return 0;
    ftc_node x = *ftc_graph_node(g, node.arg[0]);
    int64_t size = ftc_axis_extent(g, node.axis)->bound, new_size = ftc_axis_extent(g, node.to)->bound;
    if (ftc_is_zero(&x)) return ftc_build_fill(g, 0, x.type.dtype, &node.type.axes);
    if (node.index == 0 && size == new_size) return ftc_build_rename(g, node.arg[0], node.axis, node.to);
    if (ftc_node_class(&x) != FTC_CLASS_SHIFT || x.to != node.axis) return 0;
    // Cells from `first` to before `end` of the operand's operand arrive, if they are not lost in between.
    int64_t by = x.index + node.index, old_size = ftc_axis_extent(g, x.axis)->bound;
    int64_t first = by < 0 ? -by : 0, end = old_size < new_size - by ? old_size : new_size - by;
    if (first >= end) return ftc_build_fill(g, 0, node.type.dtype, &node.type.axes);
    if (first + x.index < 0 || end + x.index > size) return 0;
    return ftc_build_shift(g, x.arg[0], x.axis, node.to, by);
}

ftc_id ftc_rule_place_zero(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (ftc_node_class(&node) != FTC_CLASS_PLACE) return 0;
    const ftc_node *x = ftc_graph_node(g, node.arg[0]);
    return ftc_is_zero(x) ? ftc_build_fill(g, 0, x->type.dtype, &node.axes) : 0;
}
