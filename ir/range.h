// What the cells of a value can be, whatever the inputs: intervals, from the operations' own rules
// (ftc_op_info.range). So an index is shown to be a row of its table when the model is compiled.
#ifndef FTC_RANGE_H
#define FTC_RANGE_H

#include "ir/graph.h"

typedef struct {
    double low, high; // cells lie between these, both included, unless they are NaN
    bool nan;         // a cell may be NaN
    ftc_extent
        below; // cells are less than this extent in every call, however large it then is; FTC_NO_EXTENT
} ftc_range;

// Any value that a dtype can hold.
ftc_range ftc_range_any(ftc_dtype dtype);
ftc_range ftc_range_between(double low, double high);
ftc_range ftc_range_hull(ftc_range a, ftc_range b); // what is in one of them

// The range of a node whose operands have these.
ftc_range ftc_range_of(const ftc_graph *g, const ftc_node *node, const ftc_range *args);

// The ranges of all nodes: ranges has n_nodes entries.
void ftc_range_find(const ftc_graph *g, ftc_range *ranges);

// Whether each cell, as an index, is a position of the axis in every call.
bool ftc_range_within(const ftc_graph *g, const ftc_range *range, ftc_axis axis);

#endif
