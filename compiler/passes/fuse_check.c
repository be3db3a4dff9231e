// Kernels that somebody has changed in a dump: whether there is code for them.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/fuse.h"
#include "compiler/passes/plan.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/print.h"

typedef struct {
    ftc_graph *g;
    const ftc_graph *own;
    ftc_diagnostics *d;
    ftc_fusion f;
    ftc_id *first, *end;         // by kernel: its nodes
    ftc_id *own_first, *own_end; // of the model's own
    bool *leaves, *own_leaves;   // by node: others read it, or it is an output
} kernel_check;

__attribute__((format(printf, 3, 4))) static void report(kernel_check *c, ftc_id node, const char *format,
                                                         ...) {
    const ftc_loc *loc = &c->g->nodes[node].loc;
    va_list args;
    va_start(args, format);
    char *message = ftc_format_args(format, args);
    va_end(args);
    const char *file = loc->line && loc->file < c->g->n_files ? c->g->files[loc->file] : NULL;
    ftc_diag_add(c->d, file, NULL, (int)loc->line, 0, "%%%u = %s: %s", node,
                 ftc_op_get(c->g->nodes[node].op)->name, message);
    free(message);
}

static void find_nodes(const ftc_graph *g, ftc_id **first, ftc_id **end) {
    *first = ftc_alloc(g->n_kernels + 1, sizeof **first);
    *end = ftc_alloc(g->n_kernels + 1, sizeof **end);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        uint32_t k = g->nodes[v].kernel;
        if (!(*first)[k]) (*first)[k] = v;
        (*end)[k] = v + 1;
    }
}

static bool *find_leaving(const ftc_graph *g) {
    bool *leaves = ftc_alloc(g->n_nodes, sizeof *leaves);
    for (uint32_t i = 0; i < g->n_outputs; i++) leaves[g->outputs[i].node] = true;
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < g->nodes[v].n_args; i++)
            leaves[g->nodes[v].arg[i]] |= g->nodes[g->nodes[v].arg[i]].kernel != g->nodes[v].kernel;
    return leaves;
}

// --- as the model's own -------------------------------------------------------------------------------

static bool same_axes(const ftc_graph *g, const ftc_axes *a, const ftc_graph *h, const ftc_axes *b) {
    bool same = a->n == b->n;
    for (int i = 0; i < a->n && same; i++) same = !strcmp(g->axes[a->at[i]].name, h->axes[b->at[i]].name);
    return same;
}

static bool same_axis(const ftc_graph *g, ftc_axis a, const ftc_graph *h, ftc_axis b) {
    if (a == FTC_NO_AXIS || b == FTC_NO_AXIS) return a == b;
    return !strcmp(g->axes[a].name, h->axes[b].name);
}

static bool same_type(const ftc_graph *g, const ftc_type *a, const ftc_graph *h, const ftc_type *b) {
    return a->dtype == b->dtype && same_axes(g, &a->axes, h, &b->axes);
}

// Whether an operand is the same value of the kernel, or one of the same form from outside.
static bool same_operand(const kernel_check *c, uint32_t k, ftc_id a, uint32_t own_k, ftc_id b) {
    const ftc_node *x = &c->g->nodes[a], *y = &c->own->nodes[b];
    if ((x->kernel == k) != (y->kernel == own_k)) return false;
    if (x->kernel == k) return a - c->first[k] == b - c->own_first[own_k];
    bool leaf = ftc_node_class(x) == FTC_CLASS_LEAF;
    if (leaf != (ftc_node_class(y) == FTC_CLASS_LEAF)) return false;
    return same_type(c->g, &x->type, c->own, &y->type);
}

static bool same_node(const kernel_check *c, uint32_t k, ftc_id a, uint32_t own_k, ftc_id b) {
    const ftc_node *x = &c->g->nodes[a], *y = &c->own->nodes[b];
    bool same = x->op == y->op && x->n_args == y->n_args && x->step == y->step && x->outer == y->outer &&
                same_type(c->g, &x->type, c->own, &y->type) && same_axes(c->g, &x->axes, c->own, &y->axes) &&
                same_axis(c->g, x->axis, c->own, y->axis) && same_axis(c->g, x->to, c->own, y->to);
    for (int i = 0; i < x->n_args && same; i++) same = same_operand(c, k, x->arg[i], own_k, y->arg[i]);
    if (same && ftc_node_class(x) == FTC_CLASS_EXTERN)
        same = x->index == y->index && !strcmp(c->g->symbols[x->symbol], c->own->symbols[y->symbol]);
    if (same && ftc_node_class(x) == FTC_CLASS_ASSIGN)
        same = !strcmp(c->g->decls[x->decl].name, c->own->decls[y->decl].name);
    return same;
}

static bool is_as(const kernel_check *c, uint32_t k, uint32_t own_k) {
    const ftc_kernel *x = &c->g->kernels[k], *y = &c->own->kernels[own_k];
    bool same = x->kind == y->kind && same_axes(c->g, &x->rows, c->own, &y->rows) &&
                same_axes(c->g, &x->cols, c->own, &y->cols) && same_axis(c->g, x->block, c->own, y->block) &&
                c->end[k] - c->first[k] == c->own_end[own_k] - c->own_first[own_k];
    for (ftc_id v = c->first[k]; v < c->end[k] && same; v++) {
        ftc_id there = v - c->first[k] + c->own_first[own_k];
        same = same_node(c, k, v, own_k, there) && c->leaves[v] == c->own_leaves[there];
    }
    return same;
}

static bool is_own(const kernel_check *c, uint32_t k) {
    for (uint32_t own_k = 1; own_k < c->own->n_kernels; own_k++)
        if (is_as(c, k, own_k)) return true;
    return false;
}

// --- as fuse may make it ------------------------------------------------------------------------------

// Whether the expression of `id` within kernel k reaches a value that the kernel makes, or a tensor that it
// writes.
static bool reaches_own(const kernel_check *c, uint32_t k, ftc_id id) {
    const ftc_node *node = &c->g->nodes[id];
    if (ftc_node_class(node) == FTC_CLASS_LEAF) {
        for (ftc_id v = c->first[k]; v < c->end[k]; v++)
            if (ftc_node_class(&c->g->nodes[v]) == FTC_CLASS_ASSIGN && c->g->nodes[v].decl == node->decl)
                return true;
        return false;
    }
    if (node->kernel != k) return false;
    if (c->f.anchored[id]) return true;
    for (int i = 0; i < node->n_args; i++)
        if (reaches_own(c, k, node->arg[i])) return true;
    return false;
}

// Reads that need the whole of what they read: it must be complete when the kernel begins.
static bool check_reads(kernel_check *c, uint32_t k, ftc_id id) {
    const ftc_node *node = &c->g->nodes[id];
    const ftc_kernel *kernel = &c->g->kernels[k];
    ftc_op_class class = ftc_node_class(node);
    bool whole = class == FTC_CLASS_DOT || class == FTC_CLASS_SCATTER || class == FTC_CLASS_GATHER ||
                 class == FTC_CLASS_AT || class == FTC_CLASS_PLACE || class == FTC_CLASS_RENAME ||
                 class == FTC_CLASS_SHIFT || class == FTC_CLASS_EXTERN ||
                 (class == FTC_CLASS_REDUCE && kernel->kind == FTC_KERNEL_COLUMNS);
    for (int i = 0; i < node->n_args && whole; i++)
        if (reaches_own(c, k, node->arg[i])) {
            report(
                c, id,
                "it needs all of %%%u, which kernel %s makes or writes itself: compute it in a later kernel",
                node->arg[i], kernel->name);
            return false;
        }
    for (int i = 0; i < 2 && class == FTC_CLASS_DOT; i++)
        if (c->g->nodes[ftc_region_operand(c->g, node->arg[i])].kernel == k) {
            report(c, id, "its operand %%%u must come from another kernel", node->arg[i]);
            return false;
        }
    return true;
}

// The value that the kernel is there for.
static ftc_id find_founder(kernel_check *c, uint32_t k) {
    const ftc_kernel *kernel = &c->g->kernels[k];
    for (ftc_id v = c->first[k]; v < c->end[k]; v++) {
        if (!c->f.anchored[v]) continue;
        const ftc_node *node = &c->g->nodes[v];
        ftc_kernel made;
        if (ftc_node_class(node) == FTC_CLASS_DOT) {
            if (!ftc_region_is_matrix_product(c->g, node)) continue;
            ftc_dot_shape shape = ftc_region_dot_shape(c->g, node);
            made = (ftc_kernel){.kind = FTC_KERNEL_DOT, .rows = shape.rows, .cols = shape.cols};
        } else {
            made = ftc_fuse_kernel_for(&c->f, v);
        }
        if (made.kind == kernel->kind && same_axes(c->g, &made.rows, c->g, &kernel->rows) &&
            same_axes(c->g, &made.cols, c->g, &kernel->cols))
            return v;
    }
    return 0;
}

// A state or a scan of the kernel; 0: it computes no recurrence.
static ftc_id find_recurrence(const kernel_check *c, uint32_t k) {
    for (ftc_id v = c->first[k]; v < c->end[k]; v++) {
        ftc_op_class class = ftc_node_class(&c->g->nodes[v]);
        if (class == FTC_CLASS_BEFORE || class == FTC_CLASS_SCAN) return v;
    }
    return 0;
}

static void check_kernel(kernel_check *c, uint32_t k) {
    const ftc_kernel *kernel = &c->g->kernels[k];
    ftc_id recurrent = find_recurrence(c, k);
    if (recurrent && kernel->kind == FTC_KERNEL_TILE && kernel->block_size != 1) {
        report(c, recurrent, "kernel %s goes along a recurrence position by position: its block has size 1",
               kernel->name);
        return;
    }
    if (is_own(c, k)) return;
    if (recurrent) {
        report(c, recurrent, "no kernel of the model computes a recurrence as %s does; leave it as it was",
               kernel->name);
        return;
    }
    if (kernel->kind == FTC_KERNEL_TILE) {
        report(c, c->first[k],
               "no tile kernel of the model is as %s; only the size of its block may be another",
               kernel->name);
        return;
    }
    ftc_id founder = find_founder(c, k);
    if (!founder) {
        report(c, c->first[k], "nothing in kernel %s is computed by %s over its axes", kernel->name,
               ftc_kernel_kind_name(kernel->kind));
        return;
    }
    for (ftc_id v = c->first[k]; v < c->end[k]; v++) {
        if (!check_reads(c, k, v)) return;
        if (v == founder || !c->f.anchored[v] || ftc_fuse_fits(&c->f, v, k, true)) continue;
        report(c, v, "kernel %s, %s over its axes, cannot compute it", kernel->name,
               ftc_kernel_kind_name(kernel->kind));
        return;
    }
}

// --- all of them --------------------------------------------------------------------------------------

// What is computed once and kept: what others read, and what no expression repeats.
static bool is_anchored(const kernel_check *c, ftc_id id) {
    switch (ftc_node_class(&c->g->nodes[id])) {
    case FTC_CLASS_LEAF:
    case FTC_CLASS_DOT:
    case FTC_CLASS_REDUCE:
    case FTC_CLASS_SCATTER:
    case FTC_CLASS_EXTERN:
    case FTC_CLASS_BEFORE:
    case FTC_CLASS_SCAN:
    case FTC_CLASS_ASSIGN: return true;
    default: return c->leaves[id];
    }
}

static bool check_regions(kernel_check *c) {
    for (ftc_id v = 1; v < c->g->n_nodes; v++) {
        bool leaf = ftc_node_class(&c->g->nodes[v]) == FTC_CLASS_LEAF;
        if (leaf == !c->g->nodes[v].kernel) continue;
        report(c, v, leaf ? "what is declared stands before all kernels" : "it stands in no kernel");
        return false;
    }
    for (uint32_t k = 1; k < c->g->n_kernels; k++) {
        const ftc_kernel *kernel = &c->g->kernels[k];
        if (!c->first[k]) {
            ftc_diag_add(c->d, c->d->file, NULL, 0, 0, "kernel %s computes nothing", kernel->name);
            return false;
        }
        int64_t bound = kernel->block == FTC_NO_AXIS ? 1 : ftc_axis_extent(c->g, kernel->block)->bound;
        bool has_block = kernel->block != FTC_NO_AXIS;
        if (has_block && (kernel->block_size < 1 || kernel->block_size > (bound < 32 ? 32 : bound))) {
            report(c, c->first[k], "kernel %s has blocks of %d along %s, which has at most %lld positions",
                   kernel->name, kernel->block_size, c->g->axes[kernel->block].name, (long long)bound);
            return false;
        }
    }
    return true;
}

bool ftc_kernels_check(ftc_graph *g, const ftc_graph *own, ftc_diagnostics *d) {
    int errors = d->count;
    kernel_check c = {.g = g, .own = own, .d = d};
    const ftc_pass_options options = {0};
    c.f = (ftc_fusion){.g = g, .options = &options, .memory = ftc_arena_new()};
    c.f.stamp = ftc_arena_alloc(c.f.memory, g->n_nodes * sizeof *c.f.stamp);
    c.f.anchored = ftc_arena_alloc(c.f.memory, g->n_nodes * sizeof *c.f.anchored);
    c.leaves = find_leaving(g);
    c.own_leaves = find_leaving(own);
    for (ftc_id v = 1; v < g->n_nodes; v++) c.f.anchored[v] = is_anchored(&c, v);
    find_nodes(g, &c.first, &c.end);
    find_nodes(own, &c.own_first, &c.own_end);
    if (check_regions(&c))
        for (uint32_t k = 1; k < g->n_kernels; k++) check_kernel(&c, k);
    free(c.first);
    free(c.end);
    free(c.own_first);
    free(c.own_end);
    free(c.leaves);
    free(c.own_leaves);
    ftc_arena_free(c.f.memory);
    return d->count == errors;
}
