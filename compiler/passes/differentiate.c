// differentiate: appends the gradient of the loss with respect to every trained parameter.
//
// How, ir/gradient.h says: the pass decides what is trained, and where gradients begin and end.
//
// Of a loss that says how much it weighs, the entry grad gives the gradient times that weight, so that those
// of several calls add up to the gradient of their mean.
//
// Functions with gradient text of their own bring it as a node like the others (own_gradient,
// ir/ops/control.c). None is left when the pass is done, whatever the entry.
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/passes.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/gradient.h"
#include "ir/op.h"

static bool is_trained(const ftc_graph *g, const ftc_node *node) {
    if (ftc_node_class(node) != FTC_CLASS_LEAF) return false;
    const ftc_decl_def *decl = &g->decls[node->decl];
    return decl->kind == FTC_DECL_PARAM && !decl->frozen && ftc_dtype_is_float(decl->type.dtype);
}

static bool *find_trained(const ftc_graph *g, ftc_id end) {
    bool *trained = ftc_alloc(end, sizeof *trained);
    for (ftc_id id = 1; id < end; id++) trained[id] = is_trained(g, ftc_graph_node(g, id));
    return trained;
}

static ftc_id find_loss(const ftc_graph *g, ftc_diagnostics *d) {
    const ftc_output *loss = ftc_graph_find_output(g, FTC_OUTPUT_LOSS);
    if (!loss) {
        ftc_diag_add(
            d, g->model, NULL, 0, 0,
            "the model declares no output as the loss, which training minimizes: output NAME as loss");
        return 0;
    }
    const ftc_node *node = ftc_graph_node(g, loss->node);
    if (node->type.dtype == FTC_F32 && !node->type.axes.n) return loss->node;
    char type[256];
    ftc_diag_add(d, node->loc.line ? g->files[node->loc.file] : NULL, NULL, (int)node->loc.line, 0,
                 "the loss is %s; to be minimized it must be one f32 number: take its mean or sum",
                 ftc_type_text(g, &node->type, type, sizeof type));
    return 0;
}

// What carried a gradient of its own is a value like any other from now on. Nobody reads its gradient text.
static void detach_calls(ftc_graph *g) {
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_node *node = ftc_graph_node(g, id);
        ftc_op_class class = ftc_node_class(node);
        if (class != FTC_CLASS_CALL && class != FTC_CLASS_UPSTREAM) continue;
        node->op = FTC_OP_detach;
        node->n_args = 1;
        node->arg[1] = node->arg[2] = 0;
    }
}

// From now on a kernel that is not the compiler's is code: what it means is zeros of its type.
static void forget_meanings(ftc_graph *g) {
    if (!g->n_symbols) return;
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_node node = *ftc_graph_node(g, id);
        for (int i = 0; i < node.n_args; i++) node.arg[i] = map[node.arg[i]];
        ftc_build_cursor(out, node.loc, node.phase);
        if (ftc_node_class(&node) == FTC_CLASS_EXTERN)
            node.arg[0] = ftc_build_fill(out, 0, node.type.dtype, &node.type.axes);
        map[id] = ftc_graph_append(out, node);
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
}

static void append_gradients(ftc_graph *g, ftc_id loss, ftc_entry_kind entry) {
    const ftc_id end = g->n_nodes;
    bool *trained = find_trained(g, end), *active = ftc_gradient_active(g, trained, end);
    ftc_build_cursor(g, ftc_graph_node(g, loss)->loc, FTC_PHASE_BACKWARD);
    const ftc_output *weight = ftc_graph_find_output(g, FTC_OUTPUT_WEIGHT);
    ftc_id seed = weight && entry == FTC_ENTRY_GRAD ? weight->node : ftc_build_const(g, 1);
    ftc_id *gradient = ftc_gradient_append(g, loss, seed, active, end, FTC_PHASE_BACKWARD);
    for (ftc_id id = 1; id < end; id++) {
        if (!gradient[id] || !trained[id]) continue;
        ftc_decl of = ftc_graph_node(g, id)->decl;
        const char *name = ftc_graph_format(g, "grad:%s", g->decls[of].name);
        ftc_output *output = ftc_graph_add_output(g, name, gradient[id], 1u << entry);
        output->role = FTC_OUTPUT_GRADIENT;
        output->of = of;
    }
    free(trained);
    free(active);
    free(gradient);
}

bool ftc_pass_differentiate(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    if (options->entry == FTC_ENTRY_STEP || options->entry == FTC_ENTRY_GRAD) {
        ftc_id loss = find_loss(g, d);
        if (!loss) return false;
        append_gradients(g, loss, options->entry);
    }
    detach_calls(g);
    if (!options->keeps_meanings) forget_meanings(g);
    return true;
}
