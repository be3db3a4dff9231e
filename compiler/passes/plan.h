// The buffers of a planned graph, for whoever wants to see or check them.
#ifndef FTC_PLAN_H
#define FTC_PLAN_H

#include "ir/diag.h"
#include "ir/graph.h"

// A value in the arena: bytes [offset, offset + bytes) hold it from barrier interval `from` to `to`, both
// included.
typedef struct {
    ftc_id node;
    int64_t offset, bytes;
    uint32_t from, to;
} ftc_buffer;

// The buffers that the graph's values need, in order of `from`; offsets are -1 before the plan pass. *n:
// their number. To be freed by the caller.
ftc_buffer *ftc_plan_buffers(const ftc_graph *g, int *n);

// Whether a planned graph that somebody has changed may run: each value that outlives its kernel lies where
// nothing else lies meanwhile, and threads wait wherever what they read was written by others. False after a
// diagnostic.
bool ftc_plan_check(const ftc_graph *g, ftc_diagnostics *d);
bool ftc_schedule_check(const ftc_graph *g, ftc_diagnostics *d);

// Whether each kernel of such a graph is one that there is code for: as one of `own`, or such as the pass
// fuse may make. Tile kernels are as one of `own`, but for the size of their blocks.
bool ftc_kernels_check(ftc_graph *g, const ftc_graph *own, ftc_diagnostics *d);

#endif
