// scalars: what follows from arguments, the number of the step and numbers alone is computed by the caller,
// once a step and in double, as the language says (ir/formula.h).
//
// The largest such expressions of f32 become declarations with a formula; what no one else reads of them
// goes.
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/formula.h"
#include "ir/op.h"

// The declarations of the values that a formula gives, by node; FTC_NO_DECL: none. A value that only larger
// formulas read needs none.
static ftc_decl *declare_formulas(ftc_graph *g) {
    ftc_decl *scalar = ftc_alloc(g->n_nodes, sizeof *scalar);
    bool *read = ftc_alloc(g->n_nodes, sizeof *read); // by an output, or by a node that is no formula
    for (uint32_t i = 0; i < g->n_outputs; i++) read[g->outputs[i].node] = true;
    for (ftc_id id = g->n_nodes; id-- > 1;) {
        const ftc_node *node = ftc_graph_node(g, id);
        ftc_formula_builder formula;
        scalar[id] = FTC_NO_DECL;
        if (node->type.dtype == FTC_F32 && ftc_formula_of(g, id, &formula)) {
            if (read[id] && ftc_node_class(node) != FTC_CLASS_LEAF)
                scalar[id] = ftc_formula_declare(g, &formula);
            if (!read[id] || scalar[id] != FTC_NO_DECL) continue;
        }
        for (int i = 0; i < node->n_args; i++) read[node->arg[i]] = true;
    }
    free(read);
    return scalar;
}

bool ftc_pass_scalars(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    ftc_decl *scalar = declare_formulas(g);
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        ftc_build_cursor(out, node->loc, node->phase);
        if (scalar[id] == FTC_NO_DECL)
            map[id] = ftc_graph_copy_node(out, g, id, map);
        else if (!(map[id] = ftc_graph_leaf(out, scalar[id])))
            map[id] = ftc_build(
                out,
                (ftc_node){.op = FTC_OP_arg, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS, .decl = scalar[id]});
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
    free(scalar);
    return ftc_pass_dce(g, options, d);
}
