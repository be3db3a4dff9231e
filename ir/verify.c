#include "ir/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/recurrence.h"

typedef struct {
    const ftc_graph *g;
    ftc_diagnostics *d;
    bool ok;
} verifier;

static void report(verifier *v, ftc_loc loc, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void report(verifier *v, ftc_loc loc, const char *format, ...) {
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const char *file = loc.line && loc.file < v->g->n_files ? v->g->files[loc.file] : NULL;
    ftc_diag_add(v->d, file, NULL, (int)loc.line, 0, "%s", message);
    v->ok = false;
}

static void report_node(verifier *v, ftc_id id, const char *message) {
    const ftc_node *node = ftc_graph_node(v->g, id);
    report(v, node->loc, "%%%u = %s: %s", id, ftc_op_get(node->op)->name, message);
}

// --- tables -------------------------------------------------------------------------------------------

static void verify_axes(verifier *v) {
    const ftc_graph *g = v->g;
    for (uint32_t i = 0; i < g->n_extents; i++) {
        const ftc_extent_def *e = &g->extents[i];
        if (e->bound < 1) report(v, (ftc_loc){0}, "extent %s has bound %lld", e->name, (long long)e->bound);
        if (e->kind != FTC_EXTENT_RAGGED) continue;
        if (e->over >= g->n_axes)
            report(v, (ftc_loc){0}, "extent %s is ragged over no axis", e->name);
        else if (ftc_axis_extent(g, e->over)->kind == FTC_EXTENT_RAGGED)
            report(v, (ftc_loc){0}, "extent %s is ragged over %s, which is ragged itself", e->name,
                   g->axes[e->over].name);
    }
    for (uint32_t i = 0; i < g->n_axes; i++)
        if (g->axes[i].extent >= g->n_extents)
            report(v, (ftc_loc){0}, "axis %s has no extent", g->axes[i].name);
}

static bool verify_distinct(verifier *v, ftc_loc loc, const char *what, const ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++) {
        if (axes->at[i] >= v->g->n_axes) {
            report(v, loc, "%s names an axis that does not exist", what);
            return false;
        }
        for (int k = 0; k < i; k++) {
            if (axes->at[k] != axes->at[i]) continue;
            report(v, loc, "%s has axis %s twice", what, v->g->axes[axes->at[i]].name);
            return false;
        }
    }
    return true;
}

// The axes of a value: distinct, and a ragged axis with the one that it is ragged over.
static bool verify_axis_list(verifier *v, ftc_loc loc, const char *what, const ftc_axes *axes) {
    if (!verify_distinct(v, loc, what, axes)) return false;
    ftc_axis lone;
    if (ftc_axes_ragged_complete(v->g, axes, &lone)) return true;
    report(v, loc, "%s has axis %s without %s, over which it is ragged", what, v->g->axes[lone].name,
           v->g->axes[ftc_axis_over(v->g, lone)].name);
    return false;
}

static void verify_decls(verifier *v) {
    const ftc_graph *g = v->g;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        if (!verify_axis_list(v, decl->loc, decl->name, &decl->type.axes)) continue;
        bool scalar = decl->kind == FTC_DECL_ARG || decl->kind == FTC_DECL_SCALAR;
        bool tensor = decl->kind != FTC_DECL_INPUT && !scalar;
        if (scalar && (decl->type.axes.n || decl->type.dtype != FTC_F32))
            report(v, decl->loc, "%s is not one f32 number", decl->name);
        bool belongs = tensor && decl->kind != FTC_DECL_PARAM;
        if (belongs && decl->of >= g->n_decls)
            report(v, decl->loc, "%s does not say which parameter it belongs to", decl->name);
        if (decl->kind == FTC_DECL_TOUCHED && decl->by >= g->n_decls)
            report(v, decl->loc, "%s does not say which input names the rows", decl->name);
        if (!tensor) continue;
        int n = 0;
        for (int k = 0; k < decl->n_dims; k++)
            for (int j = 0; j < decl->dims[k].n; j++, n++)
                if (n >= decl->type.axes.n || decl->dims[k].at[j] != decl->type.axes.at[n])
                    report(v, decl->loc, "the stored form of %s has other axes than its type", decl->name);
        if (n != decl->type.axes.n)
            report(v, decl->loc, "the stored form of %s lacks axes of its type", decl->name);
        for (int k = 0; k < decl->type.axes.n; k++)
            if (ftc_axis_extent(g, decl->type.axes.at[k])->kind != FTC_EXTENT_CONST)
                report(v, decl->loc, "axis %s of %s has no constant extent",
                       g->axes[decl->type.axes.at[k]].name, decl->name);
    }
}

// --- nodes --------------------------------------------------------------------------------------------

static bool verify_structure(verifier *v, ftc_id id) {
    const ftc_graph *g = v->g;
    const ftc_node *node = ftc_graph_node(g, id);
    if (node->op <= FTC_OP_NONE || node->op >= FTC_OP_COUNT) {
        report(v, node->loc, "%%%u is no operation", id);
        return false;
    }
    const ftc_op_info *info = ftc_op_get(node->op);
    if (node->n_args < info->n_args || (node->n_args > info->n_args && !info->variadic)) {
        report_node(v, id, "it has the wrong number of operands");
        return false;
    }
    for (int i = 0; i < node->n_args; i++) {
        if (node->arg[i] > 0 && node->arg[i] < id) continue;
        report_node(v, id, "an operand does not come before it");
        return false;
    }
    if (node->kernel >= g->n_kernels) {
        report_node(v, id, "its kernel does not exist");
        return false;
    }
    return verify_distinct(v, node->loc, info->name, &node->axes) &&
           verify_axis_list(v, node->loc, info->name, &node->type.axes);
}

static void verify_type(verifier *v, ftc_id id) {
    const ftc_node *node = ftc_graph_node(v->g, id);
    char message[1024], got[256], expected[256];
    ftc_type type;
    if (!ftc_op_get(node->op)->infer(v->g, node, &type, message, sizeof message)) {
        report_node(v, id, message);
        return;
    }
    if (type.dtype == node->type.dtype && ftc_axes_same_set(&type.axes, &node->type.axes)) return;
    snprintf(message, sizeof message, "its type is %s, the operation gives %s",
             ftc_type_text(v->g, &node->type, got, sizeof got),
             ftc_type_text(v->g, &type, expected, sizeof expected));
    report_node(v, id, message);
}

static void verify_leaves(verifier *v) {
    const ftc_graph *g = v->g;
    uint32_t *leaves = ftc_alloc(g->n_decls + 1, sizeof *leaves),
             *assigns = ftc_alloc(g->n_decls + 1, sizeof *assigns);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        if (ftc_node_class(node) == FTC_CLASS_LEAF) leaves[node->decl]++;
        if (ftc_node_class(node) == FTC_CLASS_ASSIGN) assigns[node->decl]++;
    }
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        if (leaves[i] != 1) report(v, decl->loc, "%s has %u leaves, it must have one", decl->name, leaves[i]);
        if (assigns[i] > 1) report(v, decl->loc, "%s is assigned %u times", decl->name, assigns[i]);
    }
    free(leaves);
    free(assigns);
}

static void verify_outputs(verifier *v) {
    const ftc_graph *g = v->g;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].node == 0 || g->outputs[i].node >= g->n_nodes)
            report(v, (ftc_loc){0}, "output %s is no node", g->outputs[i].name);
}

// --- kernels and memory -------------------------------------------------------------------------------

static void verify_kernels(verifier *v) {
    const ftc_graph *g = v->g;
    bool *closed = ftc_alloc(g->n_kernels, sizeof *closed);
    // The kernel of the assign, 0: none yet.
    uint32_t *assigned_in = ftc_alloc(g->n_decls + 1, sizeof *assigned_in);
    uint32_t current = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        if (node->kernel && node->kernel != current) {
            closed[current] = true;
            current = node->kernel;
            if (closed[current]) report_node(v, id, "the nodes of its kernel are not contiguous");
        }
        for (int i = 0; i < node->n_args; i++) {
            const ftc_node *arg = ftc_graph_node(g, node->arg[i]);
            if (ftc_node_class(arg) != FTC_CLASS_LEAF) continue;
            uint32_t writer = assigned_in[arg->decl];
            if (writer && writer != node->kernel)
                report_node(v, id, "it reads a tensor after its assignment");
        }
        if (ftc_node_class(node) == FTC_CLASS_ASSIGN) assigned_in[node->decl] = node->kernel;
    }
    free(closed);
    free(assigned_in);
}

static void verify_memory(verifier *v) {
    const ftc_graph *g = v->g;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        if (node->offset < 0) continue;
        int64_t bytes = ftc_type_max_elements(g, &node->type) * ftc_dtype_bytes(node->type.dtype);
        if (node->offset % FTC_STEP_ALIGN) report_node(v, id, "its offset is not aligned");
        if (node->offset + bytes > g->arena_bytes) report_node(v, id, "its buffer ends beyond the arena");
    }
}

static void report_recurrence(void *v, ftc_id wrong, const char *message) {
    report_node(v, wrong, message);
}

static void verify_recurrences(verifier *v) {
    ftc_recurrences r = ftc_recurrences_find(v->g);
    ftc_recurrences_check(v->g, &r, report_recurrence, v);
    ftc_recurrences_free(&r);
}

bool ftc_verify_graph(const ftc_graph *g, ftc_diagnostics *d) {
    verifier v = {.g = g, .d = d, .ok = true};
    verify_axes(&v);
    if (!v.ok) return false;
    verify_decls(&v);
    for (ftc_id id = 1; id < g->n_nodes && v.ok; id++)
        if (verify_structure(&v, id)) verify_type(&v, id);
    verify_outputs(&v);
    if (!v.ok) return false;
    verify_leaves(&v);
    verify_recurrences(&v);
    if (g->n_kernels > 1) verify_kernels(&v);
    if (g->arena_bytes) verify_memory(&v);
    return v.ok;
}
