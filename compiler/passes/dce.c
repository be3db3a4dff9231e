// dce: drops what the entry does not need.
//
// Kept are the outputs that the entry writes, the assignments, what these read, and the leaf of every
// declaration. Outputs of other entries go first, so that a training step does not compute logits that only
// evaluation reports.
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "ir/base/alloc.h"

bool ftc_pass_dce(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)d;
    uint32_t n_outputs = 0;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].entries >> options->entry & 1) g->outputs[n_outputs++] = g->outputs[i];
    g->n_outputs = n_outputs;

    bool *needed = ftc_alloc(g->n_nodes, sizeof *needed);
    ftc_graph_find_needed(g, needed);
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (needed[id]) map[id] = ftc_graph_copy_node(out, g, id, map);
    ftc_graph_replace_nodes(g, out, map);
    free(map);
    free(needed);
    return true;
}
