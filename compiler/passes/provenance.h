// Where kernels come from and what lives while they run, for reports.
#ifndef FTC_PROVENANCE_H
#define FTC_PROVENANCE_H

#include "ir/graph.h"
#include "ir/step_abi.h"

// Describes the kernels 1 … n_kernels - 1 of a planned graph in their order; *n: their number. To be freed.
ftc_kernel_info *ftc_provenance_kernels(const ftc_graph *g, int *n);

#endif
