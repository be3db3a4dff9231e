// The graph of an entry, made from the one graph of the source: what `training` is there, which assignments
// run, and whether parameters have new values.
#include <stdlib.h>

#include "compiler/compile.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

// The node of `g` for node `v` of the source. `training`, which has none until something needs it, is a
// constant.
static ftc_id in_entry(ftc_graph *g, const ftc_graph *source, ftc_id v, ftc_entry_kind entry, ftc_id *map) {
    const ftc_axes none = {0};
    if (ftc_op_get(source->nodes[v].op)->of_entry && !map[v])
        map[v] = ftc_build_fill(g, ftc_entry_trains(entry), FTC_BOOL, &none);
    return map[v];
}

// What `training` chooses where node `v` is a select on it; 0: nothing, or less than all axes of the result.
static ftc_id chosen_by_training(const ftc_graph *g, const ftc_graph *source, ftc_id v, ftc_entry_kind entry,
                                 const ftc_id *map) {
    const ftc_node *node = &source->nodes[v];
    if (!ftc_op_get(node->op)->chooses || !ftc_op_get(source->nodes[node->arg[0]].op)->of_entry) return 0;
    ftc_id chosen = map[node->arg[ftc_entry_trains(entry) ? 1 : 2]];
    return chosen && ftc_axes_same_set(&g->nodes[chosen].type.axes, &node->type.axes) ? chosen : 0;
}

// Whether an entry runs an assignment of the source.
static bool is_run(const ftc_node *assign, ftc_entry_kind entry) {
    uint32_t entries = assign->entries ? assign->entries : FTC_ENTRIES_ONCE_A_STEP;
    return entries >> entry & 1;
}

// What the entry takes for node `v`: nothing is updated in grad and eval, and others' assignments are values
// that nobody reads. 0: the node itself.
static ftc_id replaced_in_entry(ftc_graph *g, const ftc_graph *source, ftc_id v, ftc_entry_kind entry,
                                ftc_id *map) {
    const ftc_node *node = &source->nodes[v];
    ftc_op_class class = ftc_node_class(node);
    bool keeps = entry == FTC_ENTRY_GRAD || entry == FTC_ENTRY_EVAL;
    bool passes = class == FTC_CLASS_UPDATED ? keeps : class == FTC_CLASS_ASSIGN && !is_run(node, entry);
    if (passes) return in_entry(g, source, node->arg[0], entry, map);
    return chosen_by_training(g, source, v, entry, map);
}

ftc_graph *ftc_compile_entry_graph(const ftc_graph *source, ftc_entry_kind entry) {
    ftc_graph *g = ftc_graph_new_like(source);
    g->stage = "expand";
    g->stage_of = entry;
    ftc_id *map = ftc_alloc(source->n_nodes, sizeof *map);
    for (ftc_id v = 1; v < source->n_nodes; v++) {
        ftc_node node = source->nodes[v];
        ftc_build_cursor(g, node.loc, node.phase);
        map[v] = replaced_in_entry(g, source, v, entry, map);
        if (map[v] || ftc_op_get(node.op)->of_entry) continue;
        for (int i = 0; i < node.n_args; i++) node.arg[i] = in_entry(g, source, node.arg[i], entry, map);
        node.entries = 0;
        map[v] = ftc_graph_append(g, node);
    }
    // The update needs the forward phase only to see how parameters are read.
    const uint32_t never = entry == FTC_ENTRY_UPDATE ? 1u << FTC_ENTRY_UPDATE : 0;
    for (uint32_t i = 0; i < source->n_outputs; i++) {
        const ftc_output *output = &source->outputs[i];
        ftc_id node = in_entry(g, source, output->node, entry, map);
        ftc_output *added = ftc_graph_add_output(g, output->name, node, output->entries & ~never);
        added->role = output->role;
        added->order = output->order;
    }
    // What others assign tells that, too: no output of any entry, but read until the optimizer has seen it.
    const bool updates = FTC_ENTRIES_ONCE_A_STEP >> entry & 1;
    for (ftc_id v = 1; v < source->n_nodes && updates; v++) {
        const ftc_node *node = &source->nodes[v];
        if (ftc_node_class(node) == FTC_CLASS_ASSIGN && !is_run(node, entry))
            ftc_graph_add_output(g, ftc_graph_format(g, "assign:%s", source->decls[node->decl].name), map[v],
                                 0);
    }
    free(map);
    return g;
}
