// remat: what is stored for the backward pass, and what is computed again there.
//
// Every value that the forward phase makes and a later phase reads is either kept in memory until then or
// recomputed from others that are kept. The cheapest choice is a minimum cut (as in Chen et al. 2016,
// "Training Deep Nets with Sublinear Memory Cost", posed as in PyTorch's min-cut partitioner): a network with
// one vertex pair in → out per forward node, whose capacity is the node's bytes; edges of infinite capacity
// follow the data; the sink is what later phases read; the source is what cannot be recomputed at the price
// that we are willing to pay. Cutting in → out of a node means storing it. Parameters and inputs are in
// memory anyway, so that they cost nothing and feed nobody.
//
//   never stored     values over two ragged axes of the same batch (attention scores: Σ length² cells a head)
//   never recomputed contractions and reductions, except those never-stored ones
//   recomputed free  maps, gathers, random masks, renames, constants
//
// Among cuts of equal cost the one nearest to the backward pass is taken (the residual sum rather than both
// its terms).
#include <stdlib.h>
#include <string.h>

#include "compiler/passes.h"
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

static bool is_recomputable(const ftc_graph *g, const ftc_node *node) {
    switch (ftc_node_class(node)) {
    case FTC_CLASS_REDUCE:
    case FTC_CLASS_DOT: return ftc_region_is_quadratic(g, &node->type);
    case FTC_CLASS_SCATTER:
    case FTC_CLASS_ASSIGN: return false;
    default: return true;
    }
}

// Decides for each forward node whether it is stored. in(v) = 2v, out(v) = 2v + 1, source 0, sink 1 (node 0
// is unused).
static void choose_stored(const ftc_graph *g, const bool *needed_later, bool *stored) {
    network n = {.n_vertices = 2 * g->n_nodes};
    n.first = calloc(n.n_vertices, sizeof *n.first);
    n.cursor = calloc(n.n_vertices, sizeof *n.cursor);
    n.level = calloc(n.n_vertices, sizeof *n.level);
    n.queue = calloc(n.n_vertices, sizeof *n.queue);
    uint32_t *path = calloc(n.n_vertices, sizeof *path);

    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (node->phase != FTC_PHASE_FORWARD) continue;
        ftc_op_class class = ftc_node_class(node);
        if (class == FTC_CLASS_LEAF) continue; // in memory already: stops the search at no cost
        int64_t bytes = ftc_type_max_elements(g, &node->type) * ftc_dtype_bytes(node->type.dtype);
        bool quadratic = ftc_region_is_quadratic(g, &node->type);
        add_edge(&n, 2 * v, 2 * v + 1, quadratic ? INFINITE : bytes);
        if (!is_recomputable(g, node)) add_edge(&n, 0, 2 * v, INFINITE);
        for (int i = 0; i < node->n_args; i++) {
            const ftc_node *arg = &g->nodes[node->arg[i]];
            if (ftc_node_class(arg) != FTC_CLASS_LEAF && is_recomputable(g, node))
                add_edge(&n, 2 * node->arg[i] + 1, 2 * v, INFINITE);
        }
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
    for (ftc_id v = 1; v < g->n_nodes; v++) stored[v] = reaches[2 * v + 1] && !reaches[2 * v];
    free(reaches);
    free(path);
    free(n.edges);
    free(n.first);
    free(n.cursor);
    free(n.level);
    free(n.queue);
}

// The id in `out` under which a later phase reads forward node `id`: the stored value, or a copy made here.
// What only lives inside of the backward phase's kernels is part of that phase.
static ftc_id recomputed(ftc_graph *out, const ftc_graph *g, ftc_id id, const bool *stored, const ftc_id *map,
                         ftc_id *again) {
    const ftc_node *node = &g->nodes[id];
    if (node->phase != FTC_PHASE_FORWARD || stored[id] || ftc_node_class(node) == FTC_CLASS_LEAF)
        return map[id];
    if (again[id]) return again[id];
    ftc_node copy = *node;
    for (int i = 0; i < copy.n_args; i++) copy.arg[i] = recomputed(out, g, copy.arg[i], stored, map, again);
    copy.phase = ftc_region_is_quadratic(g, &copy.type) ? FTC_PHASE_BACKWARD : FTC_PHASE_RECOMPUTE;
    return again[id] = ftc_graph_append(out, copy);
}

bool ftc_pass_remat(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)options;
    (void)d;
    bool *needed_later = calloc(g->n_nodes, sizeof *needed_later);
    bool *stored = calloc(g->n_nodes, sizeof *stored);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (g->nodes[v].phase != FTC_PHASE_FORWARD)
            for (int i = 0; i < g->nodes[v].n_args; i++) needed_later[g->nodes[v].arg[i]] = true;
    choose_stored(g, needed_later, stored);

    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = calloc(g->n_nodes, sizeof *map), *again = calloc(g->n_nodes, sizeof *again);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        ftc_node node = g->nodes[v];
        for (int i = 0; i < node.n_args; i++)
            node.arg[i] = node.phase == FTC_PHASE_FORWARD
                              ? map[node.arg[i]]
                              : recomputed(out, g, node.arg[i], stored, map, again);
        map[v] = ftc_graph_append(out, node);
    }
    ftc_graph_replace_nodes(g, out, map);
    free(needed_later);
    free(stored);
    free(map);
    free(again);
    return true;
}
