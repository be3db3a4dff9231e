// lower: rewrites what no kernel does into what kernels do.
//
// - A contraction with more than one row, column or summed axis at each position of its batch axes, or without
//   columns, or whose operands are no matrices as they lie in memory, becomes a sum of products.
// - A reduction of a value over two ragged axes along several axes becomes two: along the last ragged one, which
//   makes a value that can be in memory, then along the others.
// - An output that is a parameter or an input, another name for a value, or the same value as another output
//   becomes a copy, since each output has memory of its own.
#include <stdlib.h>

#include "compiler/passes.h"
#include "compiler/regions.h"
#include "ir/build.h"
#include "ir/op.h"

// Whether a dot or tile kernel computes it (compiler/fuse.c, compiler/emit_tile.c).
static bool has_kernel(const ftc_graph *g, const ftc_node *dot) {
    ftc_dot_shape c = ftc_region_dot_shape(g, dot);
    if (c.cols.n == 0) return false; // a matrix times a vector
    if (c.batch.n == 0) return ftc_region_is_matrix_product(g, dot);
    return c.rows.n <= 1 && c.cols.n <= 1 && c.sums.n <= 1;
}

static ftc_id sum_of_products(ftc_graph *g, const ftc_node *dot, ftc_id a, ftc_id b) {
    ftc_build_cursor(g, dot->loc, dot->phase);
    a = ftc_build_cast(g, FTC_F32, a);
    b = ftc_build_cast(g, FTC_F32, b);
    ftc_id sum = ftc_build_sum(g, ftc_build_map2(g, FTC_OP_mul, a, b), &dot->axes);
    g->nodes[sum].type.axes = dot->type.axes; // the layout that was chosen
    return sum;
}

// The axis to reduce first; FTC_NO_AXIS when one reduction does.
static ftc_axis first_reduced(const ftc_graph *g, const ftc_node *reduce) {
    const ftc_type *type = &g->nodes[reduce->arg[0]].type;
    ftc_axes order = ftc_axes_packed_order(g, &type->axes);
    if (reduce->axes.n == 1 || !ftc_region_is_quadratic(g, type)) return FTC_NO_AXIS;
    for (int i = order.n - 1; i >= 0; i--)
        if (ftc_axes_has(&reduce->axes, order.at[i]) && ftc_axis_over(g, order.at[i]) != FTC_NO_AXIS)
            return order.at[i];
    return FTC_NO_AXIS;
}

static ftc_id reduced_twice(ftc_graph *g, const ftc_node *reduce, ftc_id x, ftc_axis first) {
    ftc_build_cursor(g, reduce->loc, reduce->phase);
    ftc_node inner = *reduce, outer = *reduce;
    inner.axes = ftc_axes_of(first);
    inner.arg[0] = x;
    outer.axes = ftc_axes_minus(&reduce->axes, &inner.axes);
    outer.arg[0] = ftc_build(g, inner);
    ftc_id result = ftc_build(g, outer);
    g->nodes[result].type.axes = reduce->type.axes;
    return result;
}

static bool needs_copy(const ftc_graph *g, uint32_t output) {
    ftc_id id = g->outputs[output].node;
    for (uint32_t i = 0; i < output; i++)
        if (g->outputs[i].node == id) return true;
    return ftc_region_source(g, id) != id || ftc_node_class(&g->nodes[id]) == FTC_CLASS_LEAF;
}

static ftc_id copy_of(ftc_graph *g, ftc_id x) {
    const ftc_node *node = &g->nodes[x];
    ftc_dtype dtype = node->type.dtype;
    ftc_build_cursor(g, node->loc, node->phase);
    if (dtype == FTC_BOOL) return ftc_build_map2(g, FTC_OP_or, x, x);
    return ftc_build_map2(g, FTC_OP_mul, x, ftc_build_fill(g, 1, dtype, &(ftc_axes){0}));
}

bool ftc_pass_lower(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)options;
    (void)d;
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = calloc(g->n_nodes, sizeof *map);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        ftc_op_class class = ftc_node_class(node);
        ftc_axis first = class == FTC_CLASS_REDUCE ? first_reduced(g, node) : FTC_NO_AXIS;
        if (class == FTC_CLASS_DOT && !has_kernel(g, node))
            map[v] = sum_of_products(out, node, map[node->arg[0]], map[node->arg[1]]);
        else if (first != FTC_NO_AXIS)
            map[v] = reduced_twice(out, node, map[node->arg[0]], first);
        else
            map[v] = ftc_graph_copy_node(out, g, v, map);
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (needs_copy(g, i)) g->outputs[i].node = copy_of(g, g->outputs[i].node);
    return true;
}
