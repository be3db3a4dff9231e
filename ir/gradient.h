// Reverse mode, graph to graph: what the pass differentiate does to the loss, and grad(y, x) of the language
// to any value.
//
// Nothing here knows an operation: each brings its own rule (ftc_op_info.gradient), which says what the
// gradient of the result means for each operand. What is decided here is which nodes matter; the
// contributions of a value's readers are added up and summed over the axes along which it was repeated. And
// recurrences, which are several nodes: their gradients are recurrences that run the other way.
#ifndef FTC_GRADIENT_H
#define FTC_GRADIENT_H

#include "ir/graph.h"

// Whether a change of one of the marked nodes changes each node smoothly: [end], as `marked`; to be freed.
bool *ftc_gradient_active(const ftc_graph *g, const bool *marked, ftc_id end);

// Appends the gradients of node `y`, whose own is `seed`, in this phase; each with the place of the node that
// it is of a reader of. By active node, [end]: 0: it gets none. To be freed. `end` is behind all nodes that y
// is computed from, those of recurrences included.
ftc_id *ftc_gradient_append(ftc_graph *g, ftc_id y, ftc_id seed, const bool *active, ftc_id end,
                            ftc_phase phase);

#endif
