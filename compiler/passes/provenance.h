// Where kernels come from and what lives while they run, for reports.
#ifndef FTC_PROVENANCE_H
#define FTC_PROVENANCE_H

#include "compiler/interface.h"
#include "ir/arena.h"
#include "ir/graph.h"

// Describes the kernels 1 … n_kernels - 1 of a planned graph, which the interface has, in their order; *n:
// their number. They live in the arena.
ftc_kernel_info *ftc_provenance_kernels(ftc_arena *arena, const ftc_interface *in, const ftc_graph *g,
                                        int *n);

#endif
