// Appending nodes with their types inferred: what gradient rules, passes and the parser build graphs with.
//
// Every function appends one node (or returns an existing operand where that is the same value) and returns
// its id. The node's location, phase and other provenance come from the builder's cursor, so a pass sets them
// once.
#ifndef FTC_BUILD_H
#define FTC_BUILD_H

#include "ir/graph.h"

// Location and phase given to the nodes that are appended next.
void ftc_build_cursor(ftc_graph *g, ftc_loc loc, ftc_phase phase);

// Infers the type of `node` and appends it. On a type error returns 0 and describes it in `error`.
ftc_id ftc_build_try(ftc_graph *g, ftc_node node, char *error, int error_size);

// The same for nodes that must be right by construction: aborts with the error.
ftc_id ftc_build(ftc_graph *g, ftc_node node);

ftc_id ftc_build_const(ftc_graph *g, double value); // f32 scalar

// A const when axes is empty.
ftc_id ftc_build_fill(ftc_graph *g, double value, ftc_dtype dtype, const ftc_axes *axes);

// Maps; `outer` is set when no operand's axes contain the others'. dtype is for cast alone.
ftc_id ftc_build_map(ftc_graph *g, ftc_op op, ftc_dtype dtype, int n_args, const ftc_id *args);
ftc_id ftc_build_map1(ftc_graph *g, ftc_op op, ftc_id x);
ftc_id ftc_build_map2(ftc_graph *g, ftc_op op, ftc_id x, ftc_id y);
ftc_id ftc_build_select(ftc_graph *g, ftc_id condition, ftc_id x, ftc_id y);
ftc_id ftc_build_cast(ftc_graph *g, ftc_dtype dtype, ftc_id x); // x itself when it has that type

// x * fill(1; axes and those of x); x itself when it has them all.
ftc_id ftc_build_broadcast(ftc_graph *g, ftc_id x, const ftc_axes *axes);

// Whether the node is such a product, with axes that x lacks; if so, gives x.
bool ftc_is_broadcast(const ftc_graph *g, const ftc_node *node, ftc_id *x);

ftc_id ftc_build_sum(ftc_graph *g, ftc_id x, const ftc_axes *axes);           // x itself when axes is empty
ftc_id ftc_build_max(ftc_graph *g, ftc_id x, const ftc_axes *axes);           // x itself when axes is empty
ftc_id ftc_build_dot(ftc_graph *g, ftc_id x, ftc_id y, const ftc_axes *axes); // a mul when axes is empty
ftc_id ftc_build_rename(ftc_graph *g, ftc_id x, ftc_axis from, ftc_axis to);
ftc_id ftc_build_shift(ftc_graph *g, ftc_id x, ftc_axis from, ftc_axis to, int64_t by);
ftc_id ftc_build_at(ftc_graph *g, ftc_id x, ftc_axis axis, int64_t index);
ftc_id ftc_build_place(ftc_graph *g, ftc_id x, ftc_axis axis, int64_t index, const ftc_axes *axes);
ftc_id ftc_build_gather(ftc_graph *g, ftc_id table, ftc_axis axis, ftc_id indices, int64_t dead_row);
ftc_id ftc_build_scatter_add(ftc_graph *g, ftc_id x, ftc_axis axis, ftc_id indices, int64_t dead_row,
                             const ftc_axes *kept);

// The state of a recurrence along the axis, from its first position or from its last one, of a site of its
// own; and the recurrence that computes it.
ftc_id ftc_build_state(ftc_graph *g, ftc_id initial, ftc_axis axis, bool from_end);
ftc_id ftc_build_scan(ftc_graph *g, ftc_id state, ftc_id next);

#endif
