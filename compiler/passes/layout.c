// layout: the order of each value's axes in memory.
//
// Token axes come first (ftc_axes_packed_order); of the others the order in a node's type is the order in
// memory. Values that end in an update take the order of the stored tensor, so that the update runs along
// both, and this order moves up through the maps to the contraction that makes the gradient. Values over two
// ragged axes, as scores of attention are, all have these in one order, since the kernel that holds them is
// cut into blocks along the first: an axis along which a maximum is taken comes last, else the order is that
// of declaration; tables that these read along a row lie along that axis, too. Outputs keep the order that
// the model gave them; what a kernel that is not the compiler's reads and makes has the axes that it names
// last, in its order; everything else keeps the order that the operations gave it.
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// Whether nothing but the layout decides in which order the node's axes lie.
static bool is_free(const ftc_node *node) {
    ftc_op_class class = ftc_node_class(node);
    return class == FTC_CLASS_MAP || class == FTC_CLASS_DOT || class == FTC_CLASS_REDUCE;
}

// Whether a maximum of a value over two ragged axes is taken along each axis, [n_axes]; to be freed.
static bool *find_maximized(const ftc_graph *g) {
    bool *maximized = ftc_alloc(g->n_axes, sizeof *maximized);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        bool maximizes = ftc_node_class(node) == FTC_CLASS_REDUCE && !ftc_is_sum(node);
        if (!maximizes || !ftc_region_is_quadratic(g, &g->nodes[node->arg[0]].type)) continue;
        for (int i = 0; i < node->axes.n; i++) maximized[node->axes.at[i]] = true;
    }
    return maximized;
}

static void order_ragged(const ftc_graph *g, const bool *maximized, ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++) {
        for (int j = i + 1; j < axes->n; j++) {
            ftc_axis a = axes->at[i], b = axes->at[j];
            if (ftc_axis_over(g, a) == FTC_NO_AXIS || ftc_axis_over(g, b) == FTC_NO_AXIS) continue;
            if (maximized[a] == maximized[b] ? a < b : maximized[b]) continue;
            axes->at[i] = b;
            axes->at[j] = a;
        }
    }
}

// What is read along the last ragged axis by an index that runs along with it lies along the indexed axis.
static void order_runs(ftc_graph *g) {
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        double slope;
        if (ftc_node_class(node) != FTC_CLASS_GATHER || !ftc_region_is_quadratic(g, &node->type)) continue;
        ftc_node *table = &g->nodes[ftc_region_source(g, node->arg[0])];
        bool made = is_free(table) || ftc_node_class(table) == FTC_CLASS_GATHER;
        ftc_axes packed = ftc_axes_packed_order(g, &g->nodes[node->arg[1]].type.axes);
        if (!made || !ftc_axes_has(&table->type.axes, node->axis) ||
            !ftc_region_slope(g, node->arg[1], packed.at[packed.n - 1], &slope) || slope != 1)
            continue;
        ftc_axes last = ftc_axes_of(node->axis), others = ftc_axes_minus(&table->type.axes, &last);
        table->type.axes = ftc_axes_union(&others, &last);
    }
}

// The axes without those named, then these.
static ftc_axes named_last(const ftc_axes *axes, const ftc_axes *named) {
    ftc_axes others = ftc_axes_minus(axes, named), own = ftc_axes_intersect(named, axes);
    return ftc_axes_union(&others, &own);
}

static void order_for_kernels(ftc_graph *g) {
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        ftc_node *node = &g->nodes[v];
        if (ftc_node_class(node) != FTC_CLASS_EXTERN) continue;
        node->type.axes = named_last(&node->type.axes, &node->axes);
        for (int i = 1; i < node->n_args; i++) {
            ftc_node *operand = &g->nodes[node->arg[i]];
            if (is_free(operand)) operand->type.axes = named_last(&operand->type.axes, &node->axes);
        }
    }
}

bool ftc_pass_layout(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)options;
    (void)d;
    bool *is_assigned = ftc_alloc(g->n_nodes, sizeof *is_assigned);
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        ftc_node *node = &g->nodes[v];
        if (ftc_node_class(node) == FTC_CLASS_ASSIGN) {
            is_assigned[node->arg[0]] = true;
            node->type.axes = g->decls[node->decl].type.axes;
            if (ftc_node_class(&g->nodes[node->arg[0]]) != FTC_CLASS_LEAF)
                g->nodes[node->arg[0]].type.axes = node->type.axes;
        } else if (ftc_node_class(node) == FTC_CLASS_MAP) {
            for (int i = 0; i < node->n_args; i++) {
                ftc_node *arg = &g->nodes[node->arg[i]];
                if (is_free(arg) && node->phase == FTC_PHASE_UPDATE &&
                    ftc_axes_same_set(&arg->type.axes, &node->type.axes))
                    arg->type.axes = node->type.axes;
            }
        }
    }
    bool *maximized = find_maximized(g);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (is_free(&g->nodes[v]) && ftc_region_is_quadratic(g, &g->nodes[v].type))
            order_ragged(g, maximized, &g->nodes[v].type.axes);
    free(maximized);
    order_runs(g);
    order_for_kernels(g);
    for (uint32_t i = g->n_outputs; i-- > 0;) { // the first of several that are one value
        ftc_node *node = &g->nodes[g->outputs[i].node];
        if (ftc_node_class(node) != FTC_CLASS_LEAF && !is_assigned[g->outputs[i].node])
            node->type.axes = g->outputs[i].order;
    }
    free(is_assigned);
    return true;
}
