// Questions about values that several passes and emitters ask: where does a view lead, how does a value lie
// in memory.
#ifndef FTC_REGIONS_H
#define FTC_REGIONS_H

#include "ir/graph.h"

// The type has two ragged axes (attention scores: Σ length² cells). Such values are in the arena only where
// no tile kernel keeps them in its scratch.
bool ftc_region_is_quadratic(const ftc_graph *g, const ftc_type *type);

// Whether the node's value or an operand is such.
bool ftc_region_touches_quadratic(const ftc_graph *g, const ftc_node *node);

// The batch axis and the ragged axes over it: the axes that are packed into one row for each token.
bool ftc_region_is_token_axis(const ftc_graph *g, const ftc_axes *of, ftc_axis axis);

// Whether the node takes cells of its operand by constant positions of a constant axis, and nothing else: one
// position, or some in a row.
bool ftc_region_is_part(const ftc_graph *g, const ftc_node *node);

// Follows what moves no data, rename, detach, and slices (parts that lie side by side, or do so for each
// token), to the node that holds the cells.
ftc_id ftc_region_source(const ftc_graph *g, ftc_id id);

// Whether the view has some of its source's cells of each token: it is no matrix.
bool ftc_region_is_slice_of_tokens(const ftc_graph *g, ftc_id id);

// Of any other view: where its first cell is in the source.
int64_t ftc_region_slice_start(const ftc_graph *g, ftc_id id);

// Whether no kernel makes the value: a tensor, or another name for a value.
bool ftc_region_is_view(const ftc_graph *g, ftc_id id);

// Whether an output is a value that a kernel computes for it, with the axes in the order that the model has:
// no view, nor what an earlier output is.
bool ftc_region_is_own_output(const ftc_graph *g, uint32_t output);

// The node whose cells a contraction reads as its operand `id`: its source; or, when that is a parameter or
// an input rounded to bf16, this, which is rounded while it is packed and never stored twice.
ftc_id ftc_region_operand(const ftc_graph *g, ftc_id id);

// Whether the node makes something discrete of a number: a comparison, a cast to an integer.
bool ftc_region_decides(const ftc_graph *g, const ftc_node *node);

// By node: whether a decision depends on its last bit. Computed again beside other operations it may be
// rounded otherwise, and the decision be another one: it must be computed once and read from memory. To be
// freed.
bool *ftc_region_find_decisive(const ftc_graph *g);

// Whether order[from …] starts with exactly the axes of `group`, in its order; an empty group always does.
bool ftc_region_starts_with(const ftc_axes *order, int from, const ftc_axes *group);

// The order of the value's axes where it is in memory: inputs, outputs and tensors have that of the
// interface.
ftc_axes ftc_region_memory_order(const ftc_graph *g, ftc_id id);

// How a value's cells are addressed as a matrix: cell (r, c) of the axes `rows` and `cols` at base + r *
// row_stride + c * col_stride (elements; one of the strides is 1). `order` is the packed order of the value's
// axes. False when the two groups are not each contiguous in that order, or do not make up the whole of it.
bool ftc_region_as_matrix(const ftc_graph *g, const ftc_axes *order, const ftc_axes *rows,
                          const ftc_axes *cols, int64_t *row_stride, int64_t *col_stride);

// The axes of the source of `id` as they are called at `id` (renames applied), in the source's packed order.
ftc_axes ftc_region_view_order(const ftc_graph *g, ftc_id id);

// How much the integer grows from each position on the axis to the next; false where that is not the same
// everywhere.
bool ftc_region_slope(const ftc_graph *g, ftc_id id, ftc_axis axis, double *slope);

// Number of cells over constant axes; -1 when one is not constant.
int64_t ftc_region_constant_size(const ftc_graph *g, const ftc_axes *axes);

// The two sides of a contraction seen as C[rows, cols] = Σ_sums A[rows, sums] · B[sums, cols], for the
// result's order.
typedef struct {
    ftc_id a, b;    // operands of the dot (before views are resolved)
    ftc_axes batch; // axes of both operands that are not summed
    ftc_axes rows, cols, sums;
} ftc_dot_shape;
ftc_dot_shape ftc_region_dot_shape(const ftc_graph *g, const ftc_node *dot);

// A contraction that one matrix product on buffers in memory computes (no batch axes, both operands and the
// result are matrices over the groups).
bool ftc_region_is_matrix_product(const ftc_graph *g, const ftc_node *dot);

// A contraction of which a recurrence along the axis computes one position at a time as a row times a matrix.
bool ftc_region_is_step_product(const ftc_graph *g, const ftc_node *dot, ftc_axis axis);

// How a value of one position of a recurrence is computed: rows of cells along `cols`, one axis or none, for
// each position on the axes of `outer`.
void ftc_region_step_loops(const ftc_graph *g, const ftc_node *node, const ftc_kernel *kernel,
                           ftc_axes *outer, ftc_axes *cols);

// Whether a dot or tile kernel computes the contraction. What has none is no contraction any more after
// lower.
bool ftc_region_has_kernel(const ftc_graph *g, const ftc_node *dot);

#endif
