// Minimum cuts of directed networks (Dinic 1970).
#ifndef FTC_MINCUT_H
#define FTC_MINCUT_H

#include <stdbool.h>
#include <stdint.h>

#define FTC_INFINITE_CAPACITY (INT64_MAX / 4)

typedef struct {
    uint32_t to, next; // next edge of the same vertex, 0: none
    int64_t capacity;  // what is left of it
} ftc_network_edge;

// Vertices are 0 … n_vertices - 1.
typedef struct {
    ftc_network_edge *edges; // edges[0] and [1] unused; edge i and i^1 are each other's reverse
    uint32_t n_edges, capacity;
    uint32_t *first; // by vertex
    uint32_t n_vertices;
} ftc_network;

ftc_network ftc_network_new(uint32_t n_vertices);
void ftc_network_add_edge(ftc_network *n, uint32_t from, uint32_t to, int64_t capacity);

// Which vertices are on the sink's side of the minimum cut; of several cuts, the one nearest to the sink. To
// be freed. The capacities are used up.
bool *ftc_network_cut(ftc_network *n, uint32_t source, uint32_t sink);
void ftc_network_free(ftc_network *n);

#endif
