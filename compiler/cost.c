#include "compiler/cost.h"

#include <stdlib.h>

#include "compiler/passes/regions.h"
#include "ir/op.h"

// Adds `each` for every cell over the axes.
static void add_cells(const ftc_graph *g, const ftc_axes *axes, double each, ftc_cost *cost) {
    int symbols = 0, ragged = 0;
    for (int i = 0; i < axes->n; i++) {
        const ftc_extent_def *extent = ftc_axis_extent(g, axes->at[i]);
        if (extent->kind == FTC_EXTENT_CONST) each *= (double)extent->bound;
        symbols += extent->kind == FTC_EXTENT_SYMBOL;
        ragged += extent->kind == FTC_EXTENT_RAGGED;
    }
    double *part = ragged > 1    ? &cost->per_token_squared
                   : ragged == 1 ? &cost->per_token
                   : symbols     ? &cost->per_sequence
                                 : &cost->fixed;
    *part += each;
}

static void add_flops(const ftc_graph *g, const ftc_node *dot, double each, ftc_cost *cost) {
    ftc_axes axes = ftc_axes_union(&dot->type.axes, &dot->axes);
    add_cells(g, &axes, each, cost);
}

static void add_bytes(const ftc_graph *g, const ftc_axes *axes, const ftc_node *value, ftc_cost *cost) {
    add_cells(g, axes, ftc_dtype_bytes(value->type.dtype), cost);
}

void ftc_cost_kernels(const ftc_graph *g, ftc_kernel_info *infos) {
    uint32_t *read_by = calloc(g->n_nodes, sizeof *read_by);
    bool *written = calloc(g->n_nodes, sizeof *written);
    if (!read_by || !written) abort();
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        ftc_op_class class = ftc_node_class(node);
        if (!node->kernel) continue;
        ftc_kernel_info *own = &infos[node->kernel - 1];
        if (class == FTC_CLASS_DOT) add_flops(g, node, 2, &own->flops);
        if (class == FTC_CLASS_ASSIGN) add_bytes(g, &node->type.axes, node, &own->bytes);
        for (int i = 0; i < node->n_args; i++) {
            ftc_id from = ftc_region_source(g, node->arg[i]);
            const ftc_node *value = &g->nodes[from];
            bool outside = value->kernel != node->kernel && ftc_node_class(value) != FTC_CLASS_SOURCE;
            if (!outside || read_by[from] == node->kernel) continue;
            read_by[from] = node->kernel;
            bool picked = class == FTC_CLASS_GATHER && i == 0;
            add_bytes(g, picked ? &node->type.axes : &value->type.axes, value, &own->bytes);
            if (value->kernel && !written[from])
                add_bytes(g, &value->type.axes, value, &infos[value->kernel - 1].bytes);
            written[from] = true;
        }
    }
    free(read_by);
    free(written);
}

void ftc_cost_nominal(const ftc_graph *source, double *per_token, double *per_token_squared) {
    ftc_cost cost = {0};
    for (ftc_id v = 1; v < source->n_nodes; v++)
        if (ftc_node_class(&source->nodes[v]) == FTC_CLASS_DOT)
            add_flops(source, &source->nodes[v], 3 * 2, &cost);
    *per_token = cost.per_token;
    *per_token_squared = cost.per_token_squared;
}
