// What the files of libftc share: the handles, and how errors are made.
#ifndef FTC_API_INTERNAL_H
#define FTC_API_INTERNAL_H

#include "compiler/api/ftc.h"

#include "compiler/driver/model.h"
#include "ir/base/alloc.h"
#include "runtime/data/batch.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/profile.h"
#include "runtime/loop/schedule.h"
#include "runtime/loop/stepper.h"
#include "runtime/loop/threads.h"

#include <stdbool.h>

#pragma GCC visibility push(hidden)

// Held by whoever makes LLVM or OpenBLAS set up what they keep for the whole process.
void ftc_api_lock(void);
void ftc_api_unlock(void);

// Zeros; never NULL.
void *ftc_api_allocate(size_t n, size_t size);

// NULL for NULL.
char *ftc_api_copy(const char *text);

// Takes the status or the diagnostics. NULL when the status is no failure.
ftc_error *ftc_api_error(ftc_status status);
ftc_error *ftc_api_diagnostics(ftc_diagnostics *d);

// What is returned where the work of a scope was given up. Allocates nothing that must be there.
ftc_error *ftc_api_given_up(const ftc_scope *scope);

// The error of `call`, which may be given up: so every function of ftc.h that returns one begins.
#define FTC_GUARDED(call)                                                                                    \
    __extension__({                                                                                          \
        ftc_scope scope_;                                                                                    \
        ftc_error *volatile error_;                                                                          \
        ftc_scope_open(&scope_);                                                                             \
        if (ftc_scope_enter(&scope_)) {                                                                      \
            error_ = (call);                                                                                 \
        } else {                                                                                             \
            error_ = ftc_api_given_up(&scope_);                                                              \
        }                                                                                                    \
        ftc_scope_close(&scope_);                                                                            \
        error_;                                                                                              \
    })

#define INPUT_ERROR(...) ftc_api_error(ftc_status_make(FTC_BAD_INPUT, __VA_ARGS__))

struct ftc_net {
    ftc_model model;
    char *recompiled;         // why, or NULL
    char **options;           // what ftc_net_open was asked for; ends with NULL
    ftc_tensor_desc *tensors; // [n_tensors]
    int32_t n_tensors;
    ftc_extent_desc *extents; // [n_extents]
    ftc_input_desc *inputs;
    ftc_scalar_desc *scalars; // [n_scalars]
    int32_t n_scalars;
    ftc_output_desc *outputs; // [n_outputs]
    int32_t n_outputs;
    ftc_time_desc *times; // [n_times]
    int32_t n_times;
};

// Whether only the runtime reads an output.
bool ftc_api_is_internal(const ftc_output_info *output);

struct ftc_trainer {
    const ftc_net *net;
    uint32_t calls;
    ftc_threads *threads;
    ftc_model_state state;
    ftc_stepper stepper;
    ftc_batch batch;
    char *directory; // of the last load, NULL when none
    ftc_load_report report;
    bool has_weights, has_batch;
    ftc_profile profile;
    double seconds[FTC_ENTRY_COUNT]; // of the calls so far
    int64_t made[FTC_ENTRY_COUNT];   // their number
    ftc_kernel_desc *kernels;        // of the last ftc_trainer_kernels
    int64_t steps;                   // and updates, so far
    uint32_t micro_steps;            // gradients since the last update
    ftc_schedule schedule;           // of the run at hand, which follows `plateau`
    ftc_plateau plateau;
    bool has_plateau;
    // For binding.
    ftc_dataset packed; // sequences that were given one by one
    int64_t *order;     // [batch.max_sequences] 0, 1, 2, …
    int64_t *offsets;   // [batch.max_sequences + 1]
    int32_t *no_types;  // zeros
    float *no_labels;   // [batch.max_sequences] zeros
    size_t no_types_capacity;
};

const ftc_program *ftc_api_program(const ftc_trainer *trainer);

// The entry of exactly one FTC_CALL_…; -1: it is not one.
int ftc_api_entry(unsigned call);

// What ftc_net_open was asked for as the driver's options; these are to be freed, and borrow from the
// arguments. False after diagnostics.
bool ftc_api_set_options(const ftc_net_options *from, ftc_model_options *to, ftc_diagnostics *d);

#pragma GCC visibility pop

#endif
