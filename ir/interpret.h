// The plain reference: one loop per primitive, values in double (integers and bools as exact numbers), no
// LLVM.
//
// Packing. A value's cells lie in the order of ftc_axes_packed_order(g, &node.type.axes), row-major. Where
// ragged axes S1 … Sk over B follow B, element b contributes length1(b) × … × lengthk(b) cells, one element
// after the other, so that f32[B, S, H] is one row of H cells for each token and f32[B, A, S, T] has Σ
// length² × A cells in the order b, s, t, a. Parameters have constant axes only: their packed order is their
// stored form.
#ifndef FTC_INTERPRET_H
#define FTC_INTERPRET_H

#include "ir/graph.h"

// Of walks while a recurrence is computed: along this axis they visit one position alone, so many from the
// first, or from the last.
typedef struct {
    ftc_axis axis;
    int64_t steps;
    bool from_end;
} ftc_walk_position;

// What a call gives. The caller owns everything; it must stay valid until ftc_interp_free.
typedef struct {
    const int64_t *extents;        // [n_extents] symbol: the extent in this call (others are not read)
    const int32_t *const *lengths; // [n_extents] ragged: length for each element of the axis it is over
    // [n_decls] cells of each declaration; an arg has one. Assigned ones are overwritten.
    double *const *tensors;
    const int64_t *first_slots; // [n_extents] as in ftc_step_args; NULL: zeros
    bool rounds_scalars; // args and step scalars are rounded to f32 where tensors are computed from them
    uint64_t seed;
    uint32_t step, micro_step;
    ftc_entry_kind entry; // what `training` depends on
    // Every f32 value that is computed (ftc_op_info.rounds) is off by up to this share of itself, at
    // random: what another rounding might have made of it; so is every value that is cast to bf16, by the
    // other share.
    double noise, bf16_noise;
    uint64_t noise_seed;
    const ftc_walk_position *position; // NULL: walks visit all
    bool keep_all; // every value stays readable after the run; else outputs and assigned values only
} ftc_bindings;

typedef struct ftc_interp ftc_interp;

ftc_interp *ftc_interp_new(const ftc_graph *g, const ftc_bindings *b);

// Evaluates all nodes, then copies assigned values to b->tensors. May be called again after the bindings
// changed.
void ftc_interp_run(ftc_interp *in);

// The cells of a node's value and, when n_cells is given, how many. NULL: not kept.
const double *ftc_interp_value(const ftc_interp *in, ftc_id id, int64_t *n_cells);

void ftc_interp_free(ftc_interp *in);

// Number of cells of a value over these axes in this call.
int64_t ftc_interp_cells(const ftc_graph *g, const ftc_bindings *b, const ftc_axes *axes);

// --- walking ------------------------------------------------------------------------------------------
//
// A walk visits all coordinates of a set of axes (the space), row by row, and says where the cells of each
// row lie in any number of values seen along it (the views). Views may lack axes of the space (their cells
// are repeated) and may have others, for which they stand at position 0.
//
//     ftc_walk w;
//     ftc_walk_begin(&w, g, bindings, &space, FTC_NO_AXIS);
//     int x = ftc_walk_view(&w, &axes_of_x);
//     while (ftc_walk_next(&w))
//         for (int64_t j = 0; j < w.n; j++) … cells[w.at[x] + j * w.step[x]] …
//     ftc_walk_end(&w);

#define FTC_WALK_VIEWS 4

typedef struct {
    ftc_axes order;              // as the cells lie in memory
    int64_t inner[FTC_MAX_AXES]; // cells of all axes behind the axis and the ragged axes beside it
    // Axis with ragged axes over it: times inner, the cells before each element.
    int64_t *before[FTC_MAX_AXES];
} ftc_walk_layout;

typedef struct {
    // the current row
    int64_t n;                        // its cells
    int64_t at[FTC_WALK_VIEWS];       // index of the first cell in each view
    int64_t step[FTC_WALK_VIEWS];     // distance to the next
    int64_t coordinate[FTC_MAX_AXES]; // of the first cell, in the order of `axes`
    // what is walked
    ftc_axes axes; // the space; the last one is the row's
    int n_views;
    ftc_walk_layout view[FTC_WALK_VIEWS];
    const ftc_graph *g;
    const ftc_bindings *b;
    bool started;
    bool by_cell; // may be set before the first row: each coordinate of the space is a row of its own
} ftc_walk;

// `row`: the axis along which rows had better run; FTC_NO_AXIS, or when others of the space are ragged over
// it: the last one in packed order.
void ftc_walk_begin(ftc_walk *w, const ftc_graph *g, const ftc_bindings *b, const ftc_axes *space,
                    ftc_axis row);

// Adds a view of a value over `axes` (any order); ..._as when its axis `own` is called `seen` in the space.
int ftc_walk_view(ftc_walk *w, const ftc_axes *axes);
int ftc_walk_view_as(ftc_walk *w, const ftc_axes *axes, ftc_axis own, ftc_axis seen);
// A view of an input or output over `axes` as the caller has it in memory (ir/step_abi.h).
int ftc_walk_interface_view(ftc_walk *w, const ftc_axes *axes);

bool ftc_walk_next(ftc_walk *w); // false: no further row
void ftc_walk_end(ftc_walk *w);

// Of an axis that is not ragged: its number of positions, and the distance between neighbours in a view.
int64_t ftc_walk_count(const ftc_walk *w, ftc_axis axis);
int64_t ftc_walk_stride(const ftc_walk *w, int view, ftc_axis axis);

// --- for the operations (ir/ops) ----------------------------------------------------------------------

const ftc_graph *ftc_interp_graph(const ftc_interp *in);
const ftc_bindings *ftc_interp_bindings(const ftc_interp *in);
int64_t ftc_interp_first_slot(const ftc_interp *in, ftc_axis axis); // 0 for axes that are not batch-like
ftc_id ftc_interp_scan_of(const ftc_interp *in, ftc_id state);
double *ftc_interp_result(ftc_interp *in, ftc_id id); // zeroed cells of the node that is being evaluated

#endif
