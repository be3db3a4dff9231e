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
//   never stored      values over two ragged axes of the same batch (attention scores: Σ length² cells a
//                     head)
//   never recomputed  reductions and what has an effect, except those never-stored values
//   at a price        contractions: their floating-point operations, in bytes
//   recomputed free   maps, gathers, random masks, renames, constants
//
// Among cuts of equal cost the one nearest to the backward pass is taken (the residual sum rather than both
// its terms).
//
// Copies have the phase `recompute`. A contraction that is computed again brings copies of all that it needs,
// of its own: attention probabilities, which live in the kernel that reads them, are made once for the
// context and once more for the backward pass.
#include "compiler/remat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/regions.h"
#include "ir/op.h"

typedef struct {
    uint32_t to, next; // next edge of the same vertex, 0: none
    int64_t capacity;
} edge;

typedef struct {
    edge *edges; // edges[0] unused; edge i and i^1 are each other's reverse
    uint32_t n_edges, capacity;
    uint32_t *first, *cursor; // per vertex
    int32_t *level;
    uint32_t n_vertices, *queue;
} network;

#define INFINITE (INT64_MAX / 4)

static void add_edge(network *n, uint32_t from, uint32_t to, int64_t capacity) {
    if (n->n_edges + 2 > n->capacity) {
        n->capacity = n->capacity ? n->capacity * 2 : 1024;
        n->edges = realloc(n->edges, n->capacity * sizeof *n->edges);
    }
    if (n->n_edges == 0) n->n_edges = 2; // so that pairs are even/odd and 0 means none
    n->edges[n->n_edges] = (edge){to, n->first[from], capacity};
    n->first[from] = n->n_edges++;
    n->edges[n->n_edges] = (edge){from, n->first[to], 0};
    n->first[to] = n->n_edges++;
}

// Breadth-first levels of the residual network from `source` (Dinic 1970).
static bool set_levels(network *n, uint32_t source, uint32_t sink) {
    memset(n->level, 0xff, n->n_vertices * sizeof *n->level);
    uint32_t head = 0, tail = 0;
    n->level[source] = 0;
    n->queue[tail++] = source;
    while (head < tail) {
        uint32_t v = n->queue[head++];
        for (uint32_t e = n->first[v]; e; e = n->edges[e].next) {
            if (n->edges[e].capacity == 0 || n->level[n->edges[e].to] >= 0) continue;
            n->level[n->edges[e].to] = n->level[v] + 1;
            n->queue[tail++] = n->edges[e].to;
        }
    }
    return n->level[sink] >= 0;
}

// Pushes flow along one level path; iterative, since a path can be as long as the model is deep.
static int64_t push_path(network *n, uint32_t source, uint32_t sink, uint32_t *path) {
    uint32_t depth = 0, v = source;
    while (v != sink) {
        uint32_t e = n->cursor[v];
        while (e && !(n->edges[e].capacity > 0 && n->level[n->edges[e].to] == n->level[v] + 1))
            e = n->edges[e].next;
        n->cursor[v] = e;
        if (e) {
            path[depth++] = e;
            v = n->edges[e].to;
        } else {
            if (v == source) return 0;
            e = path[--depth];
            v = n->edges[e ^ 1].to;
            n->cursor[v] = n->edges[e].next;
        }
    }
    int64_t flow = INFINITE;
    for (uint32_t i = 0; i < depth; i++)
        if (n->edges[path[i]].capacity < flow) flow = n->edges[path[i]].capacity;
    for (uint32_t i = 0; i < depth; i++) {
        n->edges[path[i]].capacity -= flow;
        n->edges[path[i] ^ 1].capacity += flow;
    }
    return flow;
}

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
    return bytes < (double)INFINITE ? (int64_t)bytes : INFINITE;
}

void ftc_remat_choose(const ftc_graph *g, const ftc_remat_prices *prices, ftc_remat_choice *choice) {
    bool *needed_later = calloc(g->n_nodes, sizeof *needed_later);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (g->nodes[v].phase != FTC_PHASE_FORWARD)
            for (int i = 0; i < g->nodes[v].n_args; i++) needed_later[g->nodes[v].arg[i]] = true;

    // in(v) = 2v, out(v) = 2v + 1, source 0, sink 1 (node 0 is unused)
    network n = {.n_vertices = 2 * g->n_nodes};
    n.first = calloc(n.n_vertices, sizeof *n.first);
    n.cursor = calloc(n.n_vertices, sizeof *n.cursor);
    n.level = calloc(n.n_vertices, sizeof *n.level);
    n.queue = calloc(n.n_vertices, sizeof *n.queue);
    uint32_t *path = calloc(n.n_vertices, sizeof *path);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (node->phase != FTC_PHASE_FORWARD) continue;
        if (ftc_node_class(node) == FTC_CLASS_LEAF)
            continue; // in memory already: stops the search at no cost
        int64_t bytes = ftc_type_max_elements(g, &node->type) * ftc_dtype_bytes(node->type.dtype);
        int64_t price = price_of(g, v, prices);
        add_edge(&n, 2 * v, 2 * v + 1, ftc_region_is_quadratic(g, &node->type) ? INFINITE : bytes);
        if (price > 0) add_edge(&n, 0, 2 * v, price);
        for (int i = 0; i < node->n_args && price < INFINITE; i++)
            if (ftc_node_class(&g->nodes[node->arg[i]]) != FTC_CLASS_LEAF)
                add_edge(&n, 2 * node->arg[i] + 1, 2 * v, INFINITE);
        if (needed_later[v]) add_edge(&n, 2 * v + 1, 1, INFINITE);
    }
    while (set_levels(&n, 0, 1)) {
        memcpy(n.cursor, n.first, n.n_vertices * sizeof *n.cursor);
        while (push_path(&n, 0, 1, path) > 0) {
        }
    }
    // The cut nearest to the sink: the vertices that still reach the sink are on its side.
    uint32_t head = 0, tail = 0;
    bool *reaches = calloc(n.n_vertices, sizeof *reaches);
    reaches[1] = true;
    n.queue[tail++] = 1;
    while (head < tail) {
        uint32_t v = n.queue[head++];
        for (uint32_t e = n.first[v]; e; e = n.edges[e].next) {
            uint32_t from = n.edges[e].to;
            if (n.edges[e ^ 1].capacity == 0 || reaches[from]) continue;
            reaches[from] = true;
            n.queue[tail++] = from;
        }
    }
    for (ftc_id v = 1; v < g->n_nodes; v++)
        choice[v] = !reaches[2 * v + 1] ? FTC_REMAT_UNUSED
                    : reaches[2 * v]    ? FTC_REMAT_AGAIN
                                        : FTC_REMAT_STORED;
    free(needed_later);
    free(reaches);
    free(path);
    free(n.edges);
    free(n.first);
    free(n.cursor);
    free(n.level);
    free(n.queue);
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
    copy.phase = ftc_region_is_quadratic(r->g, &copy.type) ? FTC_PHASE_BACKWARD : FTC_PHASE_RECOMPUTE;
    return r->again[id] = ftc_graph_append(r->out, copy);
}

void ftc_remat_apply(ftc_graph *g, const ftc_remat_choice *choice) {
    rewriting r = {.g = g, .choice = choice, .out = ftc_graph_new_like(g)};
    r.map = calloc(g->n_nodes, sizeof *r.map);
    r.rebuilt = calloc(g->n_nodes, sizeof *r.rebuilt);
    r.again = calloc(g->n_nodes, sizeof *r.again);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        ftc_node node = g->nodes[v];
        bool is_forward = node.phase == FTC_PHASE_FORWARD;
        for (int i = 0; i < node.n_args; i++)
            node.arg[i] = is_forward ? r.map[node.arg[i]] : read_later(&r, node.arg[i]);
        r.map[v] = ftc_graph_append(r.out, node);
    }
    ftc_graph_replace_nodes(g, r.out, r.map);
    free(r.map);
    free(r.rebuilt);
    free(r.again);
}
