// What kernels cost: multiply-adds that they execute, bytes that they move.
#ifndef FTC_COST_H
#define FTC_COST_H

#include "ir/graph.h"
#include "ir/step_abi.h"

// Sets flops and bytes of every kernel of a graph after the pass `plan`: infos[k - 1] is that of kernel k.
//
// flops: every contraction, 2 a multiply-add; maps and reductions count nothing. bytes: what a kernel reads
// that others or the caller have made, and what others will read of its own, each once; rows picked from a
// table count, not the table.
void ftc_cost_kernels(const ftc_graph *g, ftc_kernel_info *infos);

// Nominal floating-point operations of one training step whose forward phase is `source`: tokens * *per_token
// + Σ length² * *per_token_squared. Counts each contraction three times (forward, both gradients); those over
// sequences only are left out.
void ftc_cost_nominal(const ftc_graph *source, double *per_token, double *per_token_squared);

#endif
