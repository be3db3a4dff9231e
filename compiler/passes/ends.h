// Why kernels end where they end, and what they compute that others compute, too: read from a fused graph.
#ifndef FTC_ENDS_H
#define FTC_ENDS_H

#include <stdio.h>

#include "ir/graph.h"

// Why the node `reader` is not computed in the kernel of `value`, which it reads. A line of text.
void ftc_ends_why(const ftc_graph *g, ftc_id value, ftc_id reader, FILE *f);

// By node: the first node of another kernel before it that computes the same value; 0: there is none. To be
// freed.
ftc_id *ftc_ends_repeats(const ftc_graph *g);

#endif
