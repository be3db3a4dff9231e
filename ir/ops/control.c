// What steers differentiation and ends a step.
#include <stdio.h>
#include <string.h>

#include "ir/build.h"
#include "ir/interpret.h"
#include "ir/op.h"

static void interpret_copy(ftc_interp *in, ftc_id id) {
    int64_t n;
    const double *x = ftc_interp_value(in, ftc_graph_node(ftc_interp_graph(in), id)->arg[0], &n);
    if (n) memcpy(ftc_interp_result(in, id), x, (size_t)n * sizeof *x);
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
    if (decl->kind == FTC_DECL_INPUT || decl->kind == FTC_DECL_ARG) {
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
        "At the end of the step, the declared tensor takes the value. All reads in the step see the old one.",
    .example = "assign(W - lr * dW, W)",
    .class = FTC_CLASS_ASSIGN,
    .n_args = 1,
    .attrs = FTC_ATTR_DECL,
    .infer = infer_assign,
    .interpret = interpret_copy,
    .low = -2,
    .high = 2,
};
