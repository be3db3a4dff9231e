#include "compiler/passes/ends.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/op.h"

// --- ends ---------------------------------------------------------------------------------------------

// The axes that a node loops over.
static ftc_axes loops_of(const ftc_graph *g, const ftc_node *node) {
    bool reduces = ftc_node_class(node) == FTC_CLASS_REDUCE;
    return ftc_axes_packed_order(g, reduces ? &g->nodes[node->arg[0]].type.axes : &node->type.axes);
}

// What the kernel of `reader` needs that is computed behind kernel k; 0: nothing.
static ftc_id comes_later(const ftc_graph *g, uint32_t k, ftc_id reader) {
    for (int i = 0; i < g->nodes[reader].n_args; i++) {
        ftc_id arg = g->nodes[reader].arg[i];
        if (g->nodes[arg].kernel > k && g->nodes[arg].kernel != g->nodes[reader].kernel) return arg;
        ftc_id inner = g->nodes[arg].kernel == g->nodes[reader].kernel && g->nodes[arg].kernel
                           ? comes_later(g, k, arg)
                           : 0;
        if (inner) return inner;
    }
    return 0;
}

// Whether the node reads `value` at other coordinates than its own.
static bool is_moved(const ftc_node *reader) {
    switch (ftc_node_class(reader)) {
    case FTC_CLASS_GATHER:
    case FTC_CLASS_SCATTER:
    case FTC_CLASS_AT:
    case FTC_CLASS_PLACE:
    case FTC_CLASS_RENAME:
    case FTC_CLASS_EXTERN:
    case FTC_CLASS_SHIFT: return true;
    default: return false;
    }
}

// Whether a work item of the kernel has all cells that the node adds up.
static bool adds_within(const ftc_kernel *kernel, const ftc_node *node) {
    bool has_rows = kernel->kind == FTC_KERNEL_ROWS || kernel->kind == FTC_KERNEL_TILE;
    return has_rows && ftc_axes_same_set(&node->axes, &kernel->cols);
}

// Whether another kernel reads it.
static bool is_stored(const ftc_graph *g, ftc_id id) {
    for (ftc_id r = id + 1; r < g->n_nodes; r++)
        for (int i = 0; i < g->nodes[r].n_args; i++)
            if (g->nodes[r].arg[i] == id && g->nodes[r].kernel != g->nodes[id].kernel) return true;
    return false;
}

// What the reader is computed for: a map belongs to what its kernel makes of it.
static ftc_id purpose_of(const ftc_graph *g, ftc_id reader) {
    while (ftc_node_class(&g->nodes[reader]) == FTC_CLASS_MAP && !is_stored(g, reader)) {
        ftc_id user = 0;
        for (ftc_id r = reader + 1; r < g->n_nodes && g->nodes[r].kernel == g->nodes[reader].kernel && !user;
             r++)
            for (int i = 0; i < g->nodes[r].n_args; i++)
                if (g->nodes[r].arg[i] == reader) user = r;
        if (!user || ftc_node_class(&g->nodes[user]) == FTC_CLASS_ASSIGN) break;
        reader = user;
    }
    return reader;
}

void ftc_ends_why(const ftc_graph *g, ftc_id value, ftc_id reader, FILE *f) {
    if (!is_moved(&g->nodes[reader])) reader = purpose_of(g, reader);
    const ftc_node *node = &g->nodes[reader];
    const uint32_t k = g->nodes[value].kernel;
    const ftc_kernel *kernel = &g->kernels[k];
    const char *name = ftc_op_get(node->op)->name;
    ftc_axes own = ftc_axes_union(&kernel->rows, &kernel->cols), space = loops_of(g, node);
    char theirs[256], ours[256];
    ftc_axes_text(g, &space, theirs, sizeof theirs);
    ftc_axes_text(g, &own, ours, sizeof ours);
    ftc_id later = comes_later(g, k, reader);
    if (ftc_node_class(node) == FTC_CLASS_DOT)
        fprintf(f, "the contraction %%%u reads each cell many times", reader);
    else if (is_moved(node))
        fprintf(f, "%s %%%u reads it at other positions than it is computed at", name, reader);
    else if (later)
        fprintf(f, "%s %%%u needs %%%u too, which kernel %s makes later", name, reader, later,
                g->kernels[g->nodes[later].kernel].name);
    else if (ftc_node_class(node) == FTC_CLASS_REDUCE && !adds_within(kernel, node))
        fprintf(f, "%s %%%u goes across what the threads share here", name, reader);
    else if (kernel->kind != FTC_KERNEL_TILE && !ftc_axes_same_set(&space, &own))
        fprintf(f, "%s %%%u loops over %s, this kernel over %s", name, reader, *theirs ? theirs : "nothing",
                *ours ? ours : "nothing");
    else if (g->nodes[value].phase == FTC_PHASE_FORWARD && node->phase != FTC_PHASE_FORWARD)
        fprintf(f, "%s %%%u reads it in the %s phase", name, reader, ftc_phase_name(node->phase));
    else
        fprintf(f, "%s %%%u is computed with what else its kernel makes", name, reader);
}

// --- repeats ------------------------------------------------------------------------------------------

typedef struct {
    const ftc_graph *g;
    ftc_id *number; // by node: the first that computes the same value
    ftc_id *slots;  // open addressing
    uint32_t n_slots;
} numbering;

static uint64_t hash_of(const numbering *n, ftc_id id) {
    const ftc_node *node = &n->g->nodes[id];
    uint64_t h = (uint64_t)node->op * 0x9e3779b97f4a7c15u + (uint64_t)node->index * 31 + node->decl;
    for (int i = 0; i < node->n_args; i++) h = (h ^ n->number[node->arg[i]]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static bool computes_same(const numbering *n, ftc_id a, ftc_id b) {
    const ftc_node *x = &n->g->nodes[a], *y = &n->g->nodes[b];
    if (x->op != y->op || x->n_args != y->n_args || x->index != y->index || x->decl != y->decl ||
        x->symbol != y->symbol)
        return false;
    for (int i = 0; i < x->n_args; i++)
        if (n->number[x->arg[i]] != n->number[y->arg[i]]) return false;
    return x->axis == y->axis && x->to == y->to && !memcmp(&x->value, &y->value, sizeof x->value) &&
           ftc_axes_same_set(&x->axes, &y->axes) && x->type.dtype == y->type.dtype &&
           ftc_axes_same_set(&x->type.axes, &y->type.axes);
}

ftc_id *ftc_ends_repeats(const ftc_graph *g) {
    numbering n = {.g = g, .number = ftc_alloc(g->n_nodes, sizeof *n.number), .n_slots = 64};
    while (n.n_slots < 2 * g->n_nodes) n.n_slots *= 2;
    n.slots = ftc_alloc(n.n_slots, sizeof *n.slots);
    ftc_id *repeats = ftc_alloc(g->n_nodes, sizeof *repeats);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        uint32_t at = (uint32_t)hash_of(&n, v) & (n.n_slots - 1);
        while (n.slots[at] && !computes_same(&n, n.slots[at], v)) at = (at + 1) & (n.n_slots - 1);
        if (!n.slots[at]) n.slots[at] = v;
        n.number[v] = n.slots[at];
        if (n.number[v] != v && g->nodes[v].kernel != g->nodes[n.number[v]].kernel) repeats[v] = n.number[v];
    }
    free(n.number);
    free(n.slots);
    return repeats;
}
