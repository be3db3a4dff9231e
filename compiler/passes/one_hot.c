// one_hot: a sum that picks one of many by comparing an index with each of them is a look-up. A rule of
// simplify.
//
//   sum(cast(i == index(R), f32) * x; R)     →   gather(x, R, i)
//   dot(select(i == index(R), 1, 0), x; R)   →   the same
//
// Where i is not shown to be a position of R, it is select(r == i, gather(x, R, r), 0), r being i moved onto
// the axis. What is not picked may be infinite: 0 times that is NaN in the sum, and nothing in the look-up.
#include <stdlib.h>

#include "compiler/passes/pattern.h"
#include "compiler/passes/simplify.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

static const ftc_type *type_of(const ftc_graph *g, ftc_id id) {
    return &ftc_graph_node(g, id)->type;
}

// The index that the value compares with each position of the axis; 0: it is no such value.
static ftc_id index_of(const ftc_graph *g, ftc_id one_hot, ftc_axis axis) {
    static const char *const forms[] = {"cast(eq(x, y))", "select(eq(x, y), 1, 0)"};
    if (type_of(g, one_hot)->dtype != FTC_F32) return 0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        ftc_pattern pattern = ftc_pattern_parse(forms[i]);
        ftc_pattern_match match;
        if (!ftc_pattern_matches(&pattern, g, one_hot, &match)) continue;
        for (int k = 0; k < 2; k++) {
            ftc_id position = match.node[k ? 'y' : 'x'], index = match.node[k ? 'x' : 'y'];
            const ftc_node *node = ftc_graph_node(g, position);
            bool is_position = ftc_node_class(node) == FTC_CLASS_SOURCE && node->axis == axis;
            bool is_index =
                type_of(g, index)->dtype == FTC_I32 && !ftc_axes_has(&type_of(g, index)->axes, axis);
            if (is_position && is_index) return index;
        }
    }
    return 0;
}

static ftc_id i32_constant(ftc_graph *g, int64_t value) {
    return ftc_build_fill(g, (double)value, FTC_I32, &(ftc_axes){0});
}

static bool is_within(const ftc_graph *g, ftc_id index, ftc_axis axis) {
    ftc_range *ranges = ftc_alloc(g->n_nodes, sizeof *ranges);
    ftc_range_find(g, ranges);
    bool within = ftc_range_within(g, &ranges[index], axis);
    free(ranges);
    return within;
}

static ftc_id looked_up(ftc_graph *g, ftc_id x, ftc_axis axis, ftc_id index) {
    if (is_within(g, index, axis)) return ftc_build_cast(g, FTC_F32, ftc_build_gather(g, x, axis, index, -1));
    int64_t last = ftc_axis_extent(g, axis)->bound - 1;
    ftc_id row = ftc_build_map2(g, FTC_OP_maximum, index, i32_constant(g, 0));
    row = ftc_build_map2(g, FTC_OP_minimum, row, i32_constant(g, last));
    ftc_id cell = ftc_build_cast(g, FTC_F32, ftc_build_gather(g, x, axis, row, -1));
    return ftc_build_select(g, ftc_build_map2(g, FTC_OP_eq, row, index), cell, ftc_build_const(g, 0));
}

// Whether the value is computed from the state of a recurrence, which has no look-ups.
static bool is_of_state(const ftc_graph *g, ftc_id id) {
    bool *needed = ftc_alloc(id + 1, sizeof *needed), found = false;
    needed[id] = true;
    for (ftc_id v = id; v > 0 && !found; v--) {
        const ftc_node *node = ftc_graph_node(g, v);
        found = needed[v] && ftc_node_class(node) == FTC_CLASS_BEFORE;
        for (int i = 0; i < node->n_args && needed[v]; i++) needed[node->arg[i]] = true;
    }
    free(needed);
    return found;
}

ftc_id ftc_rule_one_hot(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id), product = node;
    if (node.axes.n != 1 || ftc_axis_extent(g, node.axes.at[0])->kind != FTC_EXTENT_CONST) return 0;
    if (ftc_is_sum(&node)) product = *ftc_graph_node(g, node.arg[0]);
    bool multiplies =
        ftc_node_class(&node) == FTC_CLASS_DOT || (ftc_is_sum(&node) && ftc_scales_by(&product, 0));
    for (int i = 0; i < 2 && multiplies; i++) {
        ftc_id x = product.arg[1 - i], index = index_of(g, product.arg[i], node.axes.at[0]);
        if (index && ftc_axes_has(&type_of(g, x)->axes, node.axes.at[0]) && !is_of_state(g, x))
            return looked_up(g, x, node.axes.at[0], index);
    }
    return 0;
}
