#include "compiler/cost.h"

#include <stdlib.h>

#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// Adds `per_cell` for every cell over the axes.
static void add_cells(const ftc_interface *in, const ftc_graph *g, const ftc_axes *axes, double per_cell,
                      double *cost) {
    cost[ftc_interface_count(in, g, axes)] += per_cell * (double)ftc_interface_each(g, axes);
}

static void add_flops(const ftc_interface *in, const ftc_graph *g, const ftc_node *dot, double each,
                      double *cost) {
    ftc_axes axes = ftc_axes_union(&dot->type.axes, &dot->axes);
    add_cells(in, g, &axes, each, cost);
}

static void add_bytes(const ftc_interface *in, const ftc_graph *g, const ftc_axes *axes,
                      const ftc_node *value, double *cost) {
    add_cells(in, g, axes, ftc_dtype_bytes(value->type.dtype), cost);
}

void ftc_cost_kernels(const ftc_interface *in, const ftc_graph *g, double *flops, double *bytes) {
    uint32_t *read_by = ftc_alloc(g->n_nodes, sizeof *read_by);
    bool *written = ftc_alloc(g->n_nodes, sizeof *written);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        ftc_op_class class = ftc_node_class(node);
        if (!node->kernel) continue;
        size_t own = (size_t)(node->kernel - 1) * (size_t)in->n_counts;
        if (class == FTC_CLASS_DOT) add_flops(in, g, node, 2, flops + own);
        if (class == FTC_CLASS_ASSIGN) add_bytes(in, g, &node->type.axes, node, bytes + own);
        for (int i = 0; i < node->n_args; i++) {
            ftc_id from = ftc_region_source(g, node->arg[i]);
            const ftc_node *value = &g->nodes[from];
            bool outside = value->kernel != node->kernel && ftc_node_class(value) != FTC_CLASS_SOURCE;
            if (!outside || read_by[from] == node->kernel) continue;
            read_by[from] = node->kernel;
            bool picked = class == FTC_CLASS_GATHER && i == 0;
            add_bytes(in, g, picked ? &node->type.axes : &value->type.axes, value, bytes + own);
            size_t maker = (size_t)(value->kernel - 1) * (size_t)in->n_counts;
            if (value->kernel && !written[from]) add_bytes(in, g, &value->type.axes, value, bytes + maker);
            written[from] = true;
        }
    }
    free(read_by);
    free(written);
}

void ftc_cost_nominal(const ftc_interface *in, const ftc_graph *source, double *flops) {
    for (ftc_id v = 1; v < source->n_nodes; v++)
        if (ftc_node_class(&source->nodes[v]) == FTC_CLASS_DOT)
            add_flops(in, source, &source->nodes[v], 3 * 2, flops);
}
