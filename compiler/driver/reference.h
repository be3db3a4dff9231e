// The loss, the gradients and the outputs of one batch, by each of the three ways to run a graph: what `ftc
// verify` compares.
#ifndef FTC_DRIVER_REFERENCE_H
#define FTC_DRIVER_REFERENCE_H

#include "ir/diag.h"
#include "ir/graph.h"
#include "runtime/data/batch.h"
#include "runtime/loop/stepper.h"

typedef struct {
    double loss, seconds;
    int32_t n_tensors, n_outputs;
    double *faults; // [n_checks] what the program's checks tell (ftc_check_info)
    // [n_tensors] by index of the parameter in the program, in stored form; NULL: it gets none.
    double **gradients;
    // [n_outputs] by index in the program, as a caller gets them; NULL: grad does not write it.
    double **outputs;
    int64_t *cells; // [n_outputs] of each output
} ftc_gradients;

void ftc_gradients_free(ftc_gradients *g);

// What the entry grad means, before anything is made of it: forward, gradients, accumulation. NULL after a
// diagnostic.
ftc_graph *ftc_reference_graph(const ftc_graph *source, ftc_diagnostics *d);

// Weights, scalars and seed are the stepper's; the call counts as step 1. The stepper's gradient tensors are
// not touched. noise, noise_seed: as in ftc_bindings; 0: the right result.
ftc_gradients ftc_reference_interpret(const ftc_graph *reference, const ftc_stepper *stepper,
                                      const ftc_batch *batch, double noise, uint64_t noise_seed);
ftc_gradients ftc_reference_eager(const ftc_graph *reference, const ftc_stepper *stepper,
                                  const ftc_batch *batch, ftc_sgemm_fn *sgemm);

// A cell that is not finite, by its node and its coordinates along `axes`.
typedef struct {
    ftc_id node;
    double value;
    ftc_axes axes;
    int64_t coordinate[FTC_MAX_AXES];
} ftc_not_finite;

// Runs the graph eagerly up to the first node, in graph order, whose value has a cell that is not finite.
// False when there is none.
bool ftc_reference_find_not_finite(const ftc_graph *reference, const ftc_stepper *stepper,
                                   const ftc_batch *batch, ftc_sgemm_fn *sgemm, uint32_t step,
                                   uint32_t micro_step, ftc_not_finite *out);

// Calls the compiled entry grad, which adds to the gradient tensors of the stepper's state.
ftc_gradients ftc_reference_compiled(ftc_stepper *stepper, const ftc_batch *batch);

#endif
