// Calls the entries of a compiled model: holds what a call needs beside the batch (arena, threads, scalars,
// outputs). The only place of the runtime that fills an ftc_step_args in.
#ifndef FTC_RUNTIME_STEPPER_H
#define FTC_RUNTIME_STEPPER_H

#include "ir/step_abi.h"
#include "runtime/data/batch.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/shards.h"
#include "runtime/loop/threads.h"
#include "runtime/status.h"

typedef struct {
    const ftc_program *program; // outlives the stepper, as do state and threads
    ftc_model_state *state;
    ftc_threads *threads;
    uint64_t seed;                      // of dropout
    double *arguments;                  // [n_scalars] the step arguments; the program's defaults until set
    float *scalars;                     // [n_scalars] those and what follows from them, as a call reads them
    void **outputs;                     // [n_outputs]
    ftc_memory arenas[FTC_ENTRY_COUNT]; // of each entry in a guarded program; else the first is that of all
    ftc_memory output_block;
    double window_weight; // of the losses whose gradients `grad` has added up since the last `update`
    ftc_sgemm_fn *sgemm;
    uint64_t *ticks; // NULL, or where the entries write ftc_step_args.ticks
    // Where processes train together, who exchanges their gradients behind calls of `grad`, and brings
    // together what they update; NULL: one process does all.
    ftc_shards *shards;
} ftc_stepper;

// Of these entries the one that needs the most room for arena and scratch, which is that of all; NULL: none.
const ftc_entry *ftc_program_largest(const ftc_program *program, uint32_t entries, int32_t threads);

// Bytes that calling these entries takes: resident tensors, arena, scratch of all threads.
// In a process with this slice of the moments that can be cut.
int64_t ftc_program_memory(const ftc_program *program, uint32_t entries, int32_t threads, ftc_slice slice);

// Fails when that is more than there is; to be called before anything is allocated.
ftc_status ftc_program_check_memory(const ftc_program *program, uint32_t entries, int32_t threads,
                                    ftc_slice slice);

// Allocates for the entries in `entries` (bits 1 << ftc_entry_kind), each of which the program must have.
// `sgemm` may be NULL when the program needs none.
ftc_status ftc_stepper_create(const ftc_program *program, ftc_model_state *state, ftc_threads *threads,
                              uint32_t entries, ftc_sgemm_fn *sgemm, ftc_stepper *out);
void ftc_stepper_free(ftc_stepper *stepper);

// The most optimizer steps of a training: a call takes their number in 32 bits.
#define FTC_MOST_STEPS INT32_MAX

// Whether a step argument may have this value: a number that a float holds; from 0 to below 1 where one minus
// it is divided by; at least 1 where gradients are divided by it. max_grad_norm may be infinite.
ftc_status ftc_scalar_check(const ftc_scalar_info *scalar, double value);

// Sets the step argument `name`; returns 0 when the program has none of this name.
int ftc_stepper_set(ftc_stepper *stepper, const char *name, double value);

// Sets the step arguments whose role is dropout; fails when there is none and the probability is not 0.
ftc_status ftc_stepper_set_dropout(ftc_stepper *stepper, double probability);

// The value of the step argument `name`, or `otherwise` when the program has none.
double ftc_stepper_get(const ftc_stepper *stepper, const char *name, double otherwise);

// Where the entries write the output `name`, in its own type; NULL when `entry` writes no output of this
// name.
const void *ftc_stepper_output(const ftc_stepper *stepper, const char *name, ftc_entry_kind entry);

// The same for the output of a role, which is f32 for all of them but FTC_OUTPUT_VALUE.
const float *ftc_stepper_result(const ftc_stepper *stepper, ftc_output_role role, ftc_entry_kind entry);

// The index of the first output of a role; -1: none.
int32_t ftc_program_output(const ftc_program *program, ftc_output_role role);

// Scores of one sequence; 0: the program tells none.
int64_t ftc_program_score_columns(const ftc_program *program);

// Classes that a label can be: as many as there are scores, or, without scores, as the label's input takes;
// 0: any number.
int64_t ftc_program_classes(const ftc_program *program);

// Over how many examples the loss of the last call is the mean: what the program says, or else the sequences.
double ftc_stepper_loss_weight(const ftc_stepper *stepper, const ftc_batch *batch, ftc_entry_kind entry);

// Whether the program says so: then a window's gradient is the mean by these weights, and else over its
// calls.
bool ftc_program_weighs_loss(const ftc_program *program);

// Fails when the last call, of `entry`, met an index outside of its table, which the model had computed.
ftc_status ftc_stepper_find_fault(const ftc_stepper *stepper, ftc_entry_kind entry);

// Computes what follows from the arguments and the step, then runs one entry on all threads. `step` counts
// optimizer steps from 1, `micro_step` micro-batches of one step from 0. Fails as ftc_stepper_find_fault
// does: then no tensor has changed, and an `update` would lack what a `grad` should have added.
ftc_status ftc_stepper_call(ftc_stepper *stepper, ftc_entry_kind entry, const ftc_batch *batch, uint32_t step,
                            uint32_t micro_step);

#endif
