// Windows of tile kernels (compiler/passes/window.c), for fuse and the emitter.
#ifndef FTC_WINDOW_H
#define FTC_WINDOW_H

#include "ir/graph.h"

// Gives a window to each tile kernel that has one and gains by it.
void ftc_window_find(ftc_graph *g);

enum { FTC_KNOWN_FALSE = 1, FTC_KNOWN_TRUE };

// By node id: for conditions of the kernel, nodes first … last - 1, what they are in all cells within its
// window, where that is known; 0 for all other nodes. To be freed.
uint8_t *ftc_window_known(const ftc_graph *g, uint32_t k, ftc_id first, ftc_id last);

#endif
