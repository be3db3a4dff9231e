// Eager execution: op by op, in f32, every intermediate in a buffer of its own, each contraction calls of a
// BLAS: how frameworks run a graph that nobody compiles. For `ftc verify`, for tests, and to compare the
// compiled step with.
//
// Buffers. A cell has four bytes: f32 and bf16 values are floats (those of bf16 rounded), i32 and u32 values
// integers, bools the integers 0 and 1. Cells lie in packed order (ir/interpret.h). A buffer lives until its
// last reader has run.
#ifndef FTC_EAGER_H
#define FTC_EAGER_H

#include "ir/graph.h"
#include "ir/interpret.h"

typedef union {
    float f;
    int32_t i;
} ftc_cell;

// False ends the run there, with nothing assigned.
typedef bool ftc_eager_visit(void *context, ftc_id id, const ftc_cell *cells, int64_t n_cells);

// What a call gives. The caller owns everything; it must stay valid until ftc_eager_free.
typedef struct {
    const int64_t *extents;        // [n_extents] symbol: the extent in this call (others are not read)
    const int32_t *const *lengths; // [n_extents] ragged: length for each element of the axis it is over
    void *const *tensors; // [n_decls] as in ftc_step_args: values of each declaration's own type; an arg has
                          // one f32. Assigned ones are overwritten
    const int64_t *first_slots; // [n_extents] as in ftc_step_args; NULL: zeros
    uint64_t seed;
    uint32_t step, micro_step;
    ftc_entry_kind entry; // what `training` depends on
    ftc_sgemm_fn *sgemm;
    ftc_eager_visit *visit; // called with each node's value, in graph order; NULL: not called
    void *context;
} ftc_eager_bindings;

typedef struct ftc_eager ftc_eager;

// `g` need not be fused or planned; kernels and offsets are ignored.
ftc_eager *ftc_eager_new(const ftc_graph *g, const ftc_eager_bindings *b);

// Evaluates all nodes, then writes assigned values to their tensors. May be called again after the bindings
// changed. Aborts when memory is exhausted.
void ftc_eager_run(ftc_eager *e);

// The cells of an output's node and, when n_cells is given, how many; valid until the next run.
const ftc_cell *ftc_eager_value(const ftc_eager *e, ftc_id id, int64_t *n_cells);

void ftc_eager_free(ftc_eager *e);

// --- for dot.c ----------------------------------------------------------------------------------

const ftc_graph *ftc_eager_graph(const ftc_eager *e);
const ftc_eager_bindings *ftc_eager_bindings_of(const ftc_eager *e);
const ftc_bindings *ftc_eager_walk_bindings(const ftc_eager *e); // extents and lengths, as walks take them
// Of an operand, or of the node that is being evaluated.
ftc_cell *ftc_eager_cells(const ftc_eager *e, ftc_id id);

// At least n cells for use within one node; `which` (0 … 4) tells several from each other.
ftc_cell *ftc_eager_scratch(ftc_eager *e, int which, int64_t n);

void ftc_eager_dot(ftc_eager *e, ftc_id id);

#endif
