// Windows of tile kernels (compiler/passes/window.c), for fuse.
#ifndef FTC_WINDOW_H
#define FTC_WINDOW_H

#include "ir/graph.h"

// The first position of a block's window is a multiple of this: so sums are made as without a window, and
// have its bits.
#define FTC_WINDOW_UNIT 32

// Gives a window to each tile kernel that has one and gains by it.
void ftc_window_find(ftc_graph *g);

#endif
