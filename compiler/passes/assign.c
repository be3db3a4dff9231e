// assign: what the model assigns to its own state, now that the optimizer's updates are there.
//
// Where updated(W) stood, stands the value that the optimizer assigns to W, or W itself where nothing trains
// it; what depends on that is made behind the updates. What only assignments read, and what needs no batch,
// belongs to the update phase: an average of the weights takes no memory while gradients are made.
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

static bool *flags(const ftc_graph *g) {
    bool *list = ftc_alloc(g->n_nodes, sizeof *list);
    return list;
}

// Which nodes depend on a new value; false: none.
static bool find_after_update(const ftc_graph *g, bool *after) {
    bool any = false;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        after[id] = ftc_node_class(node) == FTC_CLASS_UPDATED;
        for (int i = 0; i < node->n_args; i++) after[id] |= after[node->arg[i]];
        any |= after[id];
    }
    return any;
}

static bool is_of_batch(const ftc_graph *g, const ftc_node *node) {
    if (!ftc_axes_are_constant(g, &node->type.axes)) return true;
    return ftc_node_class(node) == FTC_CLASS_LEAF && g->decls[node->decl].kind == FTC_DECL_INPUT;
}

// Moves to the update phase what the forward phase does for nobody else.
static void sink(ftc_graph *g) {
    bool *of_batch = flags(g), *early = flags(g); // early: read in another phase
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        of_batch[id] = is_of_batch(g, node);
        for (int i = 0; i < node->n_args; i++) of_batch[id] |= of_batch[node->arg[i]];
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) early[g->outputs[i].node] = true;
    for (ftc_id id = g->n_nodes; id-- > 1;) {
        ftc_node *node = &g->nodes[id];
        bool stays = early[id] || of_batch[id] || ftc_node_class(node) == FTC_CLASS_LEAF;
        if (node->phase == FTC_PHASE_FORWARD && !stays) node->phase = FTC_PHASE_UPDATE;
        for (int i = 0; i < node->n_args; i++) early[node->arg[i]] |= node->phase != FTC_PHASE_UPDATE;
    }
    free(of_batch);
    free(early);
}

// The node whose value a parameter's leaf has after the step: what is assigned to it, else the leaf itself.
static ftc_id new_value(const ftc_graph *g, ftc_id leaf) {
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) == FTC_CLASS_ASSIGN && node->decl == g->nodes[leaf].decl)
            return node->arg[0];
    }
    return leaf;
}

// Puts new values in their places: first what does not depend on them, then what does, then the assignments.
static void resolve(ftc_graph *g, const bool *after) {
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    for (int round = 0; round < 3; round++)
        for (ftc_id id = 1; id < g->n_nodes; id++) {
            const ftc_node *node = &g->nodes[id];
            ftc_op_class class = ftc_node_class(node);
            if (round != (class == FTC_CLASS_ASSIGN ? 2 : after[id])) continue;
            if (class == FTC_CLASS_UPDATED) {
                map[id] = map[new_value(g, node->arg[0])];
                continue;
            }
            map[id] = ftc_graph_copy_node(out, g, id, map);
            if (round) out->nodes[map[id]].phase = FTC_PHASE_UPDATE;
        }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
}

// The new value of a parameter follows from the loss, and so the loss cannot follow from it.
static bool check_loss(const ftc_graph *g, const bool *after, ftc_diagnostics *d) {
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_UPDATED || !after[new_value(g, node->arg[0])]) continue;
        ftc_diag_add(d, node->loc.line ? g->files[node->loc.file] : NULL, NULL, (int)node->loc.line, 0,
                     "the new value of %s depends on itself", g->decls[g->nodes[node->arg[0]].decl].name);
        return false;
    }
    return true;
}

bool ftc_pass_assign(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    if (options->entry == FTC_ENTRY_EVAL) return true; // which updates nothing
    bool *after = flags(g), any = find_after_update(g, after), ok = !any || check_loss(g, after, d);
    if (ok && any) resolve(g, after);
    if (ok) sink(g);
    free(after);
    return ok;
}
