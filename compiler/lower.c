// lower: rewrites what no kernel does into what kernels do.
//
//   contraction   with more than one row, column or summed axis at each position of its batch axes, with none
//   at all, or
//                 whose operands are no matrices as they lie in memory: a sum of products
//   output        that is a parameter or an input as it is, or the same value as another output: a copy,
//   since each
//                 output has memory of its own
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

static bool is_taken(const ftc_graph *g, uint32_t output) {
    for (uint32_t i = 0; i < output; i++)
        if (g->outputs[i].node == g->outputs[output].node) return true;
    return ftc_node_class(&g->nodes[ftc_region_source(g, g->outputs[output].node)]) == FTC_CLASS_LEAF;
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
        if (ftc_node_class(node) == FTC_CLASS_DOT && !has_kernel(g, node))
            map[v] = sum_of_products(out, node, map[node->arg[0]], map[node->arg[1]]);
        else
            map[v] = ftc_graph_copy_node(out, g, v, map);
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (is_taken(g, i)) g->outputs[i].node = copy_of(g, g->outputs[i].node);
    return true;
}
