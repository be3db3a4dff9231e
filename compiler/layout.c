// layout: the order of each value's axes in memory.
//
// Token axes come first (ftc_axes_packed_order); of the others the order in a node's type is the order in
// memory. Values that end in an update take the order of the stored tensor, so that the update runs along
// both, and this order moves up through the maps to the contraction that makes the gradient. Outputs
// keep the order that the model gave them; everything else keeps the order that the operations gave it.
#include <stdlib.h>

#include "compiler/passes.h"
#include "ir/op.h"

bool ftc_pass_layout(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)options;
    (void)d;
    bool *is_assigned = calloc(g->n_nodes, sizeof *is_assigned);
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
                ftc_op_class class = ftc_node_class(arg);
                bool free_order =
                    class == FTC_CLASS_MAP || class == FTC_CLASS_DOT || class == FTC_CLASS_REDUCE;
                if (free_order && node->phase == FTC_PHASE_UPDATE &&
                    ftc_axes_same_set(&arg->type.axes, &node->type.axes))
                    arg->type.axes = node->type.axes;
            }
        }
    }
    for (uint32_t i = g->n_outputs; i-- > 0;) { // the first of several that are one value
        ftc_node *node = &g->nodes[g->outputs[i].node];
        if (ftc_node_class(node) != FTC_CLASS_LEAF && !is_assigned[g->outputs[i].node])
            node->type.axes = g->outputs[i].order;
    }
    free(is_assigned);
    return true;
}
