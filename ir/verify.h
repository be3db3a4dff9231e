// Whether a graph is well formed. Run after parsing and after every pass; what it reports after a pass is a
// bug.
#ifndef FTC_VERIFY_H
#define FTC_VERIFY_H

#include "ir/diag.h"
#include "ir/graph.h"

// Checks that
//   - ids and attributes name things that exist, operands come before their users;
//   - each node's type is what its operation gives (the order of its axes is the compiler's choice), and a
//     type with a ragged axis has the axis that it is ragged over, which is not ragged itself;
//   - each declaration has exactly one leaf and its stored form is made of its axes; none is assigned
//     twice;
//   - once there are kernels: the nodes of each are contiguous, and none reads a tensor after the kernel
//     that assigns it;
//   - once there is an arena: every buffer is aligned and within it.
// Adds a diagnostic for each fault and returns false if there was one.
bool ftc_verify_graph(const ftc_graph *g, ftc_diagnostics *d);

#endif
