// Indices that cannot be shown to be rows of their table are checked at each call: an output of the entry
// tells the lowest place that had another.
#ifndef FTC_BOUNDS_H
#define FTC_BOUNDS_H

#include "ir/graph.h"

// Such outputs are f32 scalars "fault:N", N telling the gather or scatter_add among those of the source
// graph. Their value is -inf, or minus the lowest position along the indices' batch axis (0: they have none)
// with an index outside.
#define FTC_FAULT_PREFIX "fault:"

// What the output of this name checks: everything but the indices of the output and of the extents in the
// program, for which it gives the axes: the indices' batch axis, or FTC_NO_AXIS, and the one that is indexed.
ftc_check_info ftc_bounds_describe(const ftc_graph *source, const char *output, ftc_axis *batch,
                                   ftc_axis *indexed);

// Whether all indices of a graph are shown to be rows, those that are checked included; else `unproven` is
// the first node of which one is not.
bool ftc_bounds_proven(const ftc_graph *g, ftc_id *unproven);

#endif
