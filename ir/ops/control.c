// What steers differentiation and ends a step.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/interpret.h"
#include "ir/op.h"

static void interpret_copy(ftc_interp *in, ftc_id id) {
    int64_t n;
    const double *x = ftc_interp_value(in, ftc_graph_node(ftc_interp_graph(in), id)->arg[0], &n);
    if (n) memcpy(ftc_interp_result(in, id), x, (size_t)n * sizeof *x);
}

static ftc_range range_same(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    (void)g, (void)node;
    return args[0];
}

// --- detach -------------------------------------------------------------------------------------------

static bool infer_detach(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    (void)error, (void)error_size;
    *type = ftc_graph_node(g, node->arg[0])->type;
    return true;
}

const ftc_op_info ftc_op_info_detach = {
    .name = "detach",
    .doc = "The same value, through which no gradient flows.",
    .example = "m = detach(max(x; T))",
    .class = FTC_CLASS_DETACH,
    .n_args = 1,
    .infer = infer_detach,
    .interpret = interpret_copy,
    .range = range_same,
    .low = -2,
    .high = 2,
};

// --- functions with gradient text of their own --------------------------------------------------------
//
// What such a function returns is own_gradient(detach(y), x, dx): its value is y, and dx is what the gradient
// text returned, where upstream(detach(y)) stood for the gradient that arrives. `differentiate` copies dx
// with that in place. Several parameters make a chain over the same detach(y).

static bool infer_upstream(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                           int error_size) {
    *type = ftc_graph_node(g, node->arg[0])->type;
    if (type->dtype == FTC_F32) return true;
    snprintf(error, (size_t)error_size, "no gradient arrives at %s", ftc_dtype_name(type->dtype));
    return false;
}

const ftc_op_info ftc_op_info_upstream = {
    .name = "upstream",
    .doc = "In gradient text: the gradient that arrives at the function's result. It stands there until "
           "gradients are "
           "made.",
    .example = "dy = upstream(x)",
    .class = FTC_CLASS_UPSTREAM,
    .n_args = 1,
    .infer = infer_upstream,
    .interpret = interpret_copy,
    .low = -2,
    .high = 2,
};

static bool infer_own_gradient(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                               int error_size) {
    const ftc_type *y = &ftc_graph_node(g, node->arg[0])->type, *x = &ftc_graph_node(g, node->arg[1])->type,
                   *dx = &ftc_graph_node(g, node->arg[2])->type;
    char is[256], of[256];
    ftc_type_text(g, x, of, sizeof of);
    if (y->dtype != FTC_F32 || (x->dtype != FTC_F32 && x->dtype != FTC_BF16)) {
        snprintf(error, (size_t)error_size, "%s has no gradient",
                 y->dtype != FTC_F32 ? ftc_type_text(g, y, is, sizeof is) : of);
        return false;
    }
    ftc_axes missing = ftc_axes_minus(&x->axes, &dx->axes);
    if (dx->dtype != FTC_F32 || missing.n) {
        snprintf(error, (size_t)error_size, "the gradient of %s cannot be %s%s%s", of,
                 ftc_type_text(g, dx, is, sizeof is), missing.n ? ", which lacks axis " : "",
                 missing.n ? g->axes[missing.at[0]].name : "");
        return false;
    }
    *type = *y;
    return true;
}

// Copies what was made from `value` on and what node `dx` needs, with `grad` where upstream(value) stands.
static ftc_id copy_gradient_text(ftc_graph *g, ftc_id value, ftc_id dx, ftc_id grad) {
    bool *needed = ftc_alloc(dx + 1, sizeof *needed);
    ftc_id *map = ftc_alloc(dx + 1, sizeof *map);
    needed[dx] = true;
    for (ftc_id id = dx; id > value; id--)
        for (int i = 0; needed[id] && i < g->nodes[id].n_args; i++) needed[g->nodes[id].arg[i]] = true;
    for (ftc_id id = 1; id <= dx; id++) {
        ftc_node node = g->nodes[id];
        map[id] = id;
        if (id <= value || !needed[id] || ftc_node_class(&node) == FTC_CLASS_LEAF) continue;
        map[id] = grad;
        if (node.op == FTC_OP_upstream && node.arg[0] == value) continue;
        for (int i = 0; i < node.n_args; i++) node.arg[i] = map[node.arg[i]];
        node.phase = g->cursor_phase;
        if (ftc_node_class(&node) == FTC_CLASS_BEFORE) node.index = g->next_site++; // another state
        map[id] = ftc_graph_append(g, node);
    }
    ftc_id copy = map[dx];
    free(needed);
    free(map);
    return copy;
}

static void gradient_of_call(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    const ftc_node *node = ftc_graph_node(g, id);
    ftc_id value = node->arg[0];
    while (g->nodes[value].op == FTC_OP_own_gradient) value = g->nodes[value].arg[0];
    out[0] = grad;
    out[1] = copy_gradient_text(g, value, node->arg[2], grad);
}

const ftc_op_info ftc_op_info_own_gradient = {
    .name = "own_gradient",
    .doc = "The first value; what a function with gradient text of its own returns. The second value gets "
           "the third as "
           "its gradient, in which upstream() of the first is the gradient that arrives.",
    .example = "z = own_gradient(x, y, y)",
    .class = FTC_CLASS_CALL,
    .n_args = 3,
    .infer = infer_own_gradient,
    .gradient = gradient_of_call,
    .interpret = interpret_copy,
    .range = range_same,
    .low = -2,
    .high = 2,
};

// --- functions that are not the compiler's ------------------------------------------------------------

// Whether strides and offsets tell where its cells are: no two axes are ragged over one.
static bool has_strides(const ftc_graph *g, const ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++) {
        ftc_axis over = ftc_axis_over(g, axes->at[i]);
        if (over != FTC_NO_AXIS && ftc_axes_over(g, axes, over).n > 1) return false;
    }
    return true;
}

static bool infer_extern(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    *type = ftc_graph_node(g, node->arg[0])->type;
    if (node->symbol >= g->n_symbols) {
        snprintf(error, (size_t)error_size, "it names no kernel");
        return false;
    }
    for (int i = 0; i < node->n_args; i++) { // the first is the result's
        const ftc_type *own = &ftc_graph_node(g, node->arg[i])->type;
        if (has_strides(g, &own->axes)) continue;
        char text[256];
        snprintf(
            error, (size_t)error_size,
            "%s %d of kernel %s is %s, over two axes that are ragged over one: strides cannot tell where its "
            "cells are; give the kernel what it is made of",
            i ? "operand" : "result", i ? i - 1 : (int)node->index, g->symbols[node->symbol],
            ftc_type_text(g, own, text, sizeof text));
        return false;
    }
    return true;
}

// As if it were computed by its meaning. One that has a gradient of its own stands behind a detach.
static void gradient_extern(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    (void)g, (void)id;
    out[0] = grad;
}

const ftc_op_info ftc_op_info_extern = {
    .name = "extern",
    .doc =
        "What a kernel that is given at compile time (`--kernel`) computes of the values behind the first: "
        "result "
        "number N of the function of that name. The first value is what this means: the interpreter computes "
        "it, gradients are made from it, and `ftc verify` compares the two. Functions say it with `extern`.",
    .example = "z = extern(x * y, x, y, 0, \"times\"; H)",
    .class = FTC_CLASS_EXTERN,
    .n_args = 1,
    .variadic = true,
    .attrs = FTC_ATTR_INDEX | FTC_ATTR_SYMBOL | FTC_ATTR_AXES | FTC_ATTR_MAY_LACK_AXES,
    .infer = infer_extern,
    .gradient = gradient_extern,
    .interpret = interpret_copy,
    .rounds = true,
    .low = -2,
    .high = 2,
};

// --- updated ------------------------------------------------------------------------------------------

static bool infer_updated(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                          int error_size) {
    const ftc_node *leaf = ftc_graph_node(g, node->arg[0]);
    *type = leaf->type;
    if (leaf->op == FTC_OP_param && g->decls[leaf->decl].kind == FTC_DECL_PARAM) return true;
    snprintf(error, (size_t)error_size, "only a parameter has a new value");
    return false;
}

const ftc_op_info ftc_op_info_updated = {
    .name = "updated",
    .doc = "The value that a trained parameter has after the optimizer's step; in grad and eval, or where "
           "nothing "
           "trains it, the parameter itself. No gradient flows through it.",
    .example = "assign(0.999 * E + 0.001 * updated(W), E)",
    .class = FTC_CLASS_UPDATED,
    .n_args = 1,
    .infer = infer_updated,
    .interpret = interpret_copy,
    .low = -2,
    .high = 2,
};

// --- assign -------------------------------------------------------------------------------------------

static bool infer_assign(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    const ftc_type *x = &ftc_graph_node(g, node->arg[0])->type;
    if (node->decl >= g->n_decls) {
        snprintf(error, (size_t)error_size, "it names no declaration");
        return false;
    }
    const ftc_decl_def *decl = &g->decls[node->decl];
    if (decl->kind == FTC_DECL_INPUT || decl->kind == FTC_DECL_ARG || decl->kind == FTC_DECL_SCALAR) {
        snprintf(error, (size_t)error_size, "%s is given at each call and cannot be assigned", decl->name);
        return false;
    }
    if (x->dtype != decl->type.dtype || !ftc_axes_same_set(&x->axes, &decl->type.axes)) {
        char value[256], declared[256];
        snprintf(error, (size_t)error_size, "%s is %s, the value is %s", decl->name,
                 ftc_type_text(g, &decl->type, declared, sizeof declared),
                 ftc_type_text(g, x, value, sizeof value));
        return false;
    }
    *type = *x;
    return true;
}

const ftc_op_info ftc_op_info_assign = {
    .name = "assign",
    .doc =
        "At the end of the call, the declared tensor takes the value; all reads in the call see the old one. "
        "It runs once an optimizer step, unless it says: each micro_batch, or entries(…).",
    .example = "assign(0.999 * E + 0.001 * W, E)",
    .class = FTC_CLASS_ASSIGN,
    .n_args = 1,
    .attrs = FTC_ATTR_DECL,
    .infer = infer_assign,
    .interpret = interpret_copy,
    .range = range_same,
    .low = -2,
    .high = 2,
};
