// What kernels cost: multiply-adds that they execute, bytes that they move.
#ifndef FTC_COST_H
#define FTC_COST_H

#include "compiler/interface.h"
#include "ir/graph.h"

// Adds flops and bytes of every kernel of a graph after the pass `plan`, as coefficients of the interface's
// counts, which has the graph: [n_kernels, n_counts], where row k - 1 is kernel k's.
//
// flops: every contraction, 2 a multiply-add; maps and reductions count nothing. bytes: what a kernel reads
// that others or the caller have made, and what others will read of its own, each once; rows picked from a
// table count, not the table.
void ftc_cost_kernels(const ftc_interface *in, const ftc_graph *g, double *flops, double *bytes);

// Adds the nominal floating-point operations of one training step whose forward phase is `source`, which the
// interface has: [n_counts]. Counts each contraction three times (forward, both gradients).
void ftc_cost_nominal(const ftc_interface *in, const ftc_graph *source, double *flops);

#endif
