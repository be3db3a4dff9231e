// When assignments run: once an optimizer step, each micro-batch, in evaluation. An entry can only assign
// what it knows: the update of several micro-batches has no batch, and a parameter's new value is there once
// an optimizer step.
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/lang/elaborator.h"
#include "ir/op.h"

static bool is_of_batch(const ftc_graph *g, const ftc_node *node) {
    return node->op == FTC_OP_input || !ftc_axes_are_constant(g, &node->type.axes);
}

static bool is_updated(const ftc_graph *g, const ftc_node *node) {
    (void)g;
    return node->op == FTC_OP_updated;
}

// The last node, from `id` back, on which the value of `id` depends and of which `is` holds; 0: none.
static ftc_id find_source(const ftc_graph *g, ftc_id id, bool (*is)(const ftc_graph *, const ftc_node *)) {
    ftc_id found = 0;
    bool *needed = ftc_alloc(id + 1, sizeof *needed);
    needed[id] = true;
    for (ftc_id v = id; v > 0; v--) {
        const ftc_node *node = &g->nodes[v];
        if (!needed[v]) continue;
        if (is(g, node)) found = v;
        for (int i = 0; i < node->n_args; i++) needed[node->arg[i]] = true;
    }
    free(needed);
    return found;
}

// "input 'x'", "axis B": by what a node of the batch is one.
static const char *batch_text(ftc_elaborator *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    if (node->op == FTC_OP_input) return ftc_graph_format(e->g, "input '%s'", e->g->decls[node->decl].name);
    int i = 0;
    while (ftc_axis_extent(e->g, node->type.axes.at[i])->kind == FTC_EXTENT_CONST) i++;
    return ftc_graph_format(e->g, "axis %s", e->g->axes[node->type.axes.at[i]].name);
}

static const char *updated_name(const ftc_graph *g, ftc_id updated) {
    return g->decls[g->nodes[g->nodes[updated].arg[0]].decl].name;
}

static bool is_assigned(const ftc_graph *g, ftc_decl decl) {
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (g->nodes[id].op == FTC_OP_assign && g->nodes[id].decl == decl) return true;
    return false;
}

static bool has_new_value(const ftc_graph *g, ftc_decl decl) {
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (g->nodes[id].op == FTC_OP_updated && g->nodes[g->nodes[id].arg[0]].decl == decl) return true;
    return false;
}

static bool check_entries(ftc_elaborator *e, const ftc_expr *call, uint32_t entries) {
    bool steps = entries >> FTC_ENTRY_STEP & 1, grads = entries >> FTC_ENTRY_GRAD & 1,
         updates = entries >> FTC_ENTRY_UPDATE & 1;
    if (steps == (grads || updates) && !(grads && updates)) return true;
    ftc_elab_error(
        e, call->place,
        "step is grad and update in one: what it assigns is assigned in update, too, once an "
        "optimizer step: entries(step, update); or in grad, each micro-batch: entries(step, grad)");
    return false;
}

bool ftc_elab_check_assign(ftc_elaborator *e, const ftc_expr *call, const ftc_node *node) {
    const ftc_graph *g = e->g;
    const char *name = g->decls[node->decl].name;
    if (is_assigned(g, node->decl)) {
        ftc_elab_error(e, call->place, "%s is assigned already", name);
        return false;
    }
    // What a pass makes, and a dump, has been checked.
    if (!e->main || e->main->flat || g->cursor_phase != FTC_PHASE_FORWARD) return true;
    const uint32_t entries = node->entries ? node->entries : FTC_ENTRIES_ONCE_A_STEP;
    if (!check_entries(e, call, entries)) return false;
    if (has_new_value(g, node->decl)) {
        ftc_elab_error(e, call->place, "%s is assigned by the model: updated(…) is of trained parameters",
                       name);
        return false;
    }
    ftc_id batch = find_source(g, node->arg[0], is_of_batch),
           updated = find_source(g, node->arg[0], is_updated);
    if (batch && entries >> FTC_ENTRY_UPDATE & 1) {
        ftc_elab_error(e, call->args->place,
                       "this value depends on the batch, by %s, and an optimizer step may have several: say "
                       "assign(…) each micro_batch",
                       batch_text(e, batch));
        return false;
    }
    if (updated && entries >> FTC_ENTRY_GRAD & 1) {
        ftc_elab_error(
            e, call->args->place,
            "this value depends on updated(\"%s\"), which is known once an optimizer step, not each "
            "micro-batch",
            updated_name(g, updated));
        return false;
    }
    return true;
}

bool ftc_elab_check_updated(ftc_elaborator *e, const ftc_expr *call, const ftc_node *node) {
    const ftc_node *leaf = &e->g->nodes[node->arg[0]];
    if (ftc_node_class(leaf) != FTC_CLASS_LEAF || !is_assigned(e->g, leaf->decl)) return true;
    ftc_elab_error(e, call->place, "%s is assigned by the model: updated(…) is of trained parameters",
                   e->g->decls[leaf->decl].name);
    return false;
}

bool ftc_elab_check_loss(ftc_elaborator *e, ftc_place place, ftc_id loss) {
    ftc_id updated = find_source(e->g, loss, is_updated);
    if (!updated) return true;
    ftc_elab_error(e, place, "the loss depends on updated(\"%s\"), which depends on the loss",
                   updated_name(e->g, updated));
    return false;
}
