#include "compiler/passes/mincut.h"

#include "ir/base/alloc.h"

#include <stdlib.h>
#include <string.h>

ftc_network ftc_network_new(uint32_t n_vertices) {
    return (ftc_network){
        .n_vertices = n_vertices, .first = ftc_alloc(n_vertices, sizeof(uint32_t)), .n_edges = 2};
}

void ftc_network_free(ftc_network *n) {
    free(n->edges);
    free(n->first);
}

void ftc_network_add_edge(ftc_network *n, uint32_t from, uint32_t to, int64_t capacity) {
    if (n->n_edges + 2 > n->capacity) {
        n->capacity = n->capacity ? n->capacity * 2 : 1024;
        n->edges = ftc_realloc(n->edges, n->capacity, sizeof *n->edges);
    }
    n->edges[n->n_edges] = (ftc_network_edge){to, n->first[from], capacity};
    n->first[from] = n->n_edges++;
    n->edges[n->n_edges] = (ftc_network_edge){from, n->first[to], 0};
    n->first[to] = n->n_edges++;
}

typedef struct {
    int32_t *level;  // by vertex: edges from the source, -1: not reached
    uint32_t *queue; // [n_vertices]
    uint32_t *next;  // by vertex: the edge that is tried next
    uint32_t *path;  // [n_vertices] edges from the source to where the search is
} search;

// Breadth-first levels of what is left of the network.
static bool set_levels(const ftc_network *n, uint32_t source, uint32_t sink, search *s) {
    memset(s->level, 0xff, n->n_vertices * sizeof *s->level);
    uint32_t head = 0, tail = 0;
    s->level[source] = 0;
    s->queue[tail++] = source;
    while (head < tail) {
        uint32_t v = s->queue[head++];
        for (uint32_t e = n->first[v]; e; e = n->edges[e].next) {
            if (n->edges[e].capacity == 0 || s->level[n->edges[e].to] >= 0) continue;
            s->level[n->edges[e].to] = s->level[v] + 1;
            s->queue[tail++] = n->edges[e].to;
        }
    }
    return s->level[sink] >= 0;
}

// Pushes flow along one level path; iterative, since a path can be as long as the model is deep.
static int64_t push_path(ftc_network *n, uint32_t source, uint32_t sink, search *s) {
    uint32_t depth = 0, v = source;
    while (v != sink) {
        uint32_t e = s->next[v];
        while (e && !(n->edges[e].capacity > 0 && s->level[n->edges[e].to] == s->level[v] + 1))
            e = n->edges[e].next;
        s->next[v] = e;
        if (e) {
            s->path[depth++] = e;
            v = n->edges[e].to;
        } else {
            if (v == source) return 0;
            e = s->path[--depth];
            v = n->edges[e ^ 1].to;
            s->next[v] = n->edges[e].next;
        }
    }
    int64_t flow = FTC_INFINITE_CAPACITY;
    for (uint32_t i = 0; i < depth; i++)
        if (n->edges[s->path[i]].capacity < flow) flow = n->edges[s->path[i]].capacity;
    for (uint32_t i = 0; i < depth; i++) {
        n->edges[s->path[i]].capacity -= flow;
        n->edges[s->path[i] ^ 1].capacity += flow;
    }
    return flow;
}

// The vertices from which the sink can still be reached.
static bool *reach_back(const ftc_network *n, uint32_t sink, uint32_t *queue) {
    bool *reaches = ftc_alloc(n->n_vertices, sizeof *reaches);
    uint32_t head = 0, tail = 0;
    reaches[sink] = true;
    queue[tail++] = sink;
    while (head < tail) {
        uint32_t v = queue[head++];
        for (uint32_t e = n->first[v]; e; e = n->edges[e].next) {
            uint32_t from = n->edges[e].to;
            if (n->edges[e ^ 1].capacity == 0 || reaches[from]) continue;
            reaches[from] = true;
            queue[tail++] = from;
        }
    }
    return reaches;
}

bool *ftc_network_cut(ftc_network *n, uint32_t source, uint32_t sink) {
    search s = {.level = ftc_alloc(n->n_vertices, sizeof *s.level),
                .queue = ftc_alloc(n->n_vertices, sizeof *s.queue),
                .next = ftc_alloc(n->n_vertices, sizeof *s.next),
                .path = ftc_alloc(n->n_vertices, sizeof *s.path)};
    while (set_levels(n, source, sink, &s)) {
        memcpy(s.next, n->first, n->n_vertices * sizeof *s.next);
        while (push_path(n, source, sink, &s) > 0) {
        }
    }
    bool *reaches = reach_back(n, sink, s.queue);
    free(s.level);
    free(s.queue);
    free(s.next);
    free(s.path);
    return reaches;
}
