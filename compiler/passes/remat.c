// The choice of what is stored for the backward pass, as a minimum cut (as in Chen et al. 2016, "Training
// Deep Nets with Sublinear Memory Cost", posed as in PyTorch's min-cut partitioner).
//
// Every value that the forward phase makes and a later phase reads is either kept in memory until then or
// recomputed from others that are kept. The network has one vertex pair in → out per forward node, whose
// capacity is the node's bytes; edges of infinite capacity follow the data, from out to in; the sink is what
// later phases read; from the source an edge leads to in, whose capacity is what recomputing the node costs.
// Cutting in → out of a node means storing it, cutting source → in recomputing it. Parameters and inputs are
// in memory anyway, so that they cost nothing and feed nobody.
//
//   never stored      for later: values over two ragged axes of the same batch (attention scores: Σ length²
//                     cells a head). Where no tile takes them they are in memory within their phase
//   never recomputed  states of recurrences and scans, reductions, kernels that are not the compiler's and
//                     what has an effect, except those never-stored values
//   at a price        contractions: their floating-point operations, in bytes
//   recomputed free   maps, gathers, random masks, renames, constants
//   as somebody asks  ftc_node.kept: never computed again, or never stored
//   stored if read    what a decision depends on bit by bit (ftc_region_find_decisive): the winners of a
//                     maximum, the sign of an activation
//
// A never-stored value that is compared with a reduction of such a value is compared with one that is made
// again from the same copy: else not even the largest score might equal the maximum.
//
// Among cuts of equal cost the one nearest to the backward pass is taken (the residual sum rather than both
// its terms).
//
// Copies have the phase `recompute`. A contraction that is computed again brings copies of all that it needs,
// of its own: attention probabilities, which live in the kernel that reads them, are made once for the
// context and once more for the backward pass.
#include "compiler/passes/remat.h"

#include <math.h>
#include <stdlib.h>

#include "compiler/passes/mincut.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/print.h"

// What a node costs to compute again, in floating-point operations; INFINITY: it cannot be done.
static double flops_of(const ftc_graph *g, const ftc_node *node) {
    if (ftc_region_is_quadratic(g, &node->type)) return 0;
    switch (ftc_node_class(node)) {
    case FTC_CLASS_DOT: {
        ftc_type all = {.axes = ftc_axes_union(&node->type.axes, &node->axes)};
        return 2 * (double)ftc_type_max_elements(g, &all);
    }
    case FTC_CLASS_REDUCE:
    case FTC_CLASS_SCATTER:
    case FTC_CLASS_EXTERN:
    case FTC_CLASS_BEFORE:
    case FTC_CLASS_SCAN:
    case FTC_CLASS_ASSIGN: return INFINITY;
    default: return 0;
    }
}

bool ftc_remat_has_price(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    return node->phase == FTC_PHASE_FORWARD && ftc_node_class(node) == FTC_CLASS_DOT && flops_of(g, node) > 0;
}

// The price in bytes.
static int64_t price_of(const ftc_graph *g, ftc_id id, const ftc_remat_prices *prices) {
    double flops = flops_of(g, &g->nodes[id]);
    if (flops == 0) return 0;
    double bytes = flops * (id < prices->until ? prices->bytes_per_flop : prices->rest);
    return bytes < (double)FTC_INFINITE_CAPACITY ? (int64_t)bytes : FTC_INFINITE_CAPACITY;
}

static bool reduces_quadratic(const ftc_graph *g, const ftc_node *node) {
    return ftc_node_class(node) == FTC_CLASS_REDUCE &&
           ftc_region_is_quadratic(g, &g->nodes[node->arg[0]].type);
}

// By node: whether it is never stored, since of two ragged axes, or a reduction that is compared with such
// a value. To be freed.
static bool *find_never_stored(const ftc_graph *g) {
    bool *never = ftc_alloc(g->n_nodes, sizeof *never);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        never[v] |= ftc_region_is_quadratic(g, &node->type);
        if (!never[v] || !ftc_region_decides(g, node)) continue;
        for (int i = 0; i < node->n_args; i++) {
            ftc_id arg = ftc_region_source(g, node->arg[i]);
            never[arg] |= reduces_quadratic(g, &g->nodes[arg]);
        }
    }
    return never;
}

void ftc_remat_choose(const ftc_graph *g, const ftc_remat_prices *prices, ftc_remat_choice *choice) {
    bool *never_stored = find_never_stored(g), *decisive = ftc_region_find_decisive(g);
    bool *needed_later = ftc_alloc(g->n_nodes, sizeof *needed_later);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (g->nodes[v].phase != FTC_PHASE_FORWARD)
            for (int i = 0; i < g->nodes[v].n_args; i++) needed_later[g->nodes[v].arg[i]] = true;

    enum { SOURCE, SINK }; // in(v) = 2v, out(v) = 2v + 1; there is no node 0
    ftc_network n = ftc_network_new(2 * g->n_nodes);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (node->phase != FTC_PHASE_FORWARD) continue;
        // In memory already: stops the search at no cost.
        if (ftc_node_class(node) == FTC_CLASS_LEAF) continue;
        int64_t bytes = ftc_type_max_elements(g, &node->type) * ftc_dtype_bytes(node->type.dtype);
        int64_t price = decisive[v] ? FTC_INFINITE_CAPACITY : price_of(g, v, prices);
        if (node->kept == FTC_KEPT_STORED) price = FTC_INFINITE_CAPACITY;
        if (never_stored[v] || node->kept == FTC_KEPT_RECOMPUTED) bytes = FTC_INFINITE_CAPACITY, price = 0;
        ftc_network_add_edge(&n, 2 * v, 2 * v + 1, bytes);
        if (price > 0) ftc_network_add_edge(&n, SOURCE, 2 * v, price);
        for (int i = 0; i < node->n_args && price < FTC_INFINITE_CAPACITY; i++)
            if (ftc_node_class(&g->nodes[node->arg[i]]) != FTC_CLASS_LEAF)
                ftc_network_add_edge(&n, 2 * node->arg[i] + 1, 2 * v, FTC_INFINITE_CAPACITY);
        if (needed_later[v]) ftc_network_add_edge(&n, 2 * v + 1, SINK, FTC_INFINITE_CAPACITY);
    }
    bool *reaches = ftc_network_cut(&n, SOURCE, SINK);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        choice[v] = !reaches[2 * v + 1] ? FTC_REMAT_UNUSED
                    : reaches[2 * v]    ? FTC_REMAT_AGAIN
                                        : FTC_REMAT_STORED;
    free(never_stored);
    free(decisive);
    free(needed_later);
    free(reaches);
    ftc_network_free(&n);
}

// Why the node cannot be as it asks; NULL: it can.
static const char *why_not(const ftc_graph *g, ftc_id id, const bool *decisive, const bool *never_stored) {
    const ftc_node *node = &g->nodes[id];
    if (node->phase != FTC_PHASE_FORWARD || ftc_node_class(node) == FTC_CLASS_LEAF)
        return "only what the forward phase computes is stored for later phases, or computed again there";
    if (node->kept == FTC_KEPT_STORED)
        return never_stored[id] ? "values over two ragged axes are not stored for later phases" : NULL;
    if (decisive[id])
        return "a decision depends on its last bit, so that it must be computed once and stored";
    return flops_of(g, node) == INFINITY ? "only contractions, maps and the like are computed again" : NULL;
}

static bool refuse(const ftc_graph *g, ftc_id id, const char *why, ftc_diagnostics *d) {
    const ftc_node *node = &g->nodes[id];
    const ftc_loc *loc = &node->loc;
    const char *file = loc->line && loc->file < g->n_files ? g->files[loc->file] : NULL;
    ftc_diag_add(d, file, NULL, (int)loc->line, 0, "%%%u = %s cannot be %s: %s", id,
                 ftc_op_get(node->op)->name, ftc_kept_name(node->kept), why);
    return false;
}

bool ftc_remat_check_kept(const ftc_graph *g, ftc_diagnostics *d) {
    bool *never_stored = find_never_stored(g), *decisive = ftc_region_find_decisive(g), ok = true;
    for (ftc_id v = 1; v < g->n_nodes && ok; v++) {
        const char *why = g->nodes[v].kept ? why_not(g, v, decisive, never_stored) : NULL;
        ok = !why || refuse(g, v, why, d);
    }
    free(never_stored);
    free(decisive);
    ftc_remat_choice *choice = ftc_alloc(g->n_nodes, sizeof *choice);
    if (ok) ftc_remat_choose(g, &(ftc_remat_prices){INFINITY, INFINITY, 0}, choice);
    for (ftc_id v = 1; v < g->n_nodes && ok; v++)
        if (g->nodes[v].kept && choice[v] == FTC_REMAT_UNUSED)
            ok = refuse(g, v, "no later phase needs it", d);
    free(choice);
    return ok;
}

typedef struct {
    const ftc_graph *g;
    const ftc_remat_choice *choice;
    ftc_graph *out;
    ftc_id *map;     // by node of g: its own copy in `out`
    ftc_id *rebuilt; // the copy that contractions which are computed again read; 0: none yet
    ftc_id *again;   // the copy that later phases read; 0: none yet
} rewriting;

static bool is_kept(const rewriting *r, ftc_id id) {
    const ftc_node *node = &r->g->nodes[id];
    return node->phase != FTC_PHASE_FORWARD || r->choice[id] != FTC_REMAT_AGAIN ||
           ftc_node_class(node) == FTC_CLASS_LEAF;
}

// What a contraction that is computed again reads instead of forward node `id`.
static ftc_id rebuild(rewriting *r, ftc_id id) {
    if (is_kept(r, id)) return r->map[id];
    if (r->rebuilt[id]) return r->rebuilt[id];
    ftc_node copy = r->g->nodes[id];
    for (int i = 0; i < copy.n_args; i++) copy.arg[i] = rebuild(r, copy.arg[i]);
    copy.phase = FTC_PHASE_RECOMPUTE;
    return r->rebuilt[id] = ftc_graph_append(r->out, copy);
}

// What a later phase reads instead of node `id`. Copies that only live inside of the backward phase's kernels
// are part of that phase.
static ftc_id read_later(rewriting *r, ftc_id id) {
    if (is_kept(r, id)) return r->map[id];
    if (ftc_remat_has_price(r->g, id)) return rebuild(r, id);
    if (r->again[id]) return r->again[id];
    ftc_node copy = r->g->nodes[id];
    for (int i = 0; i < copy.n_args; i++) copy.arg[i] = read_later(r, copy.arg[i]);
    bool in_kernel = ftc_region_is_quadratic(r->g, &copy.type) || reduces_quadratic(r->g, &r->g->nodes[id]);
    copy.phase = in_kernel ? FTC_PHASE_BACKWARD : FTC_PHASE_RECOMPUTE;
    return r->again[id] = ftc_graph_append(r->out, copy);
}

void ftc_remat_apply(ftc_graph *g, const ftc_remat_choice *choice) {
    rewriting r = {.g = g, .choice = choice, .out = ftc_graph_new_like(g)};
    r.map = ftc_alloc(g->n_nodes, sizeof *r.map);
    r.rebuilt = ftc_alloc(g->n_nodes, sizeof *r.rebuilt);
    r.again = ftc_alloc(g->n_nodes, sizeof *r.again);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        ftc_node node = g->nodes[v];
        bool is_forward = node.phase == FTC_PHASE_FORWARD;
        for (int i = 0; i < node.n_args; i++)
            node.arg[i] = is_forward ? r.map[node.arg[i]] : read_later(&r, node.arg[i]);
        r.map[v] = ftc_graph_append(r.out, node);
    }
    for (ftc_id v = 1; v < r.out->n_nodes; v++) r.out->nodes[v].kept = FTC_KEPT_AS_IS_CHEAPEST;
    ftc_graph_replace_nodes(g, r.out, r.map);
    free(r.map);
    free(r.rebuilt);
    free(r.again);
}
