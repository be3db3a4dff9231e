// The resident tensors of a model: parameters, optimizer moments and gradient accumulators of an ftc_program.
#ifndef FTC_RUNTIME_MODEL_STATE_H
#define FTC_RUNTIME_MODEL_STATE_H

#include "runtime/hub/safetensors.h"
#include "ir/step_abi.h"
#include "runtime/loop/embeddings.h"
#include "runtime/loop/gather.h"
#include "runtime/loop/memory.h"
#include "runtime/loop/world.h"
#include "runtime/status.h"

typedef struct {
    const ftc_program *program; // outlives the state
    const ftc_world *world;     // whose processes share the moments of sliced parameters; outlives the state
    // [n_tensors] what ftc_step_args.tensors points to, for the entries; others call ftc_model_state_tensor.
    // Of a moment of which this process has a slice, where its first row would be.
    void **tensors;
    ftc_memory blocks[FTC_ROLE_COUNT]; // by role: its tensors, one after the other
    ftc_embeddings *tables;            // whose rows may be behind
    ftc_gathering *arriving;           // by which new values come from other processes; NULL: none do
} ftc_model_state;

// What ftc_model_state_load did beside copying.
typedef struct {
    const char **initialized; // [n_initialized] parameters that are missing, or a head in another shape
    char **unused;            // [n_unused] tensors of the directory that the model has no use for
    int32_t n_initialized, n_unused;
} ftc_load_report;

// Bytes that the tensors take which the entries in `entries` use, in a process with this slice of the moments
// that can be cut; of all roles, or of one.
int64_t ftc_model_state_bytes(const ftc_program *program, uint32_t entries, ftc_slice slice);
int64_t ftc_model_role_bytes(const ftc_program *program, ftc_tensor_role role, uint32_t entries,
                             ftc_slice slice);

// Allocates, all zero, what the entries in `entries` (bits 1 << ftc_entry_kind) use: parameters always,
// moments and touched rows for step and update, gradients for grad and update. Of moments that can be cut,
// this process' slice.
ftc_status ftc_model_state_create(const ftc_program *program, uint32_t entries, const ftc_world *world,
                                  ftc_model_state *out);
void ftc_model_state_free(ftc_model_state *state);

// A tensor's values as they are, whatever the entries have put off: in stored form, to be read or written
// until the next call of an entry. NULL where no entry of the state uses it. Of a moment of which this
// process has a slice, only these rows are there.
void *ftc_model_state_tensor(const ftc_model_state *state, int32_t index);

// Gives every parameter its initial value. The normal numbers of a parameter are a function of seed and its
// name.
void ftc_model_state_init(ftc_model_state *state, uint64_t seed);

// Fills the parameters from DIR/model.safetensors, under the names that the program's family has for them
// (runtime/hub/names.h). A parameter of the encoder that is missing or has another shape is an error; what
// the file may lack, and a head that is missing or of another shape, is initialised. Fills the report, which
// is to be freed.
ftc_status ftc_model_state_load(ftc_model_state *state, const char *dir, uint64_t seed,
                                ftc_load_report *report);
// Whether the directory's weights fill the program's encoder, as ftc_model_state_load asks; reads no tensor.
// And which parameters they have in their shapes, [n_tensors], allocated.
ftc_status ftc_model_state_find(const ftc_program *program, const char *dir, bool **found);
ftc_status ftc_model_state_check(const ftc_program *program, const char *dir);

void ftc_load_report_free(ftc_load_report *report);

// A tensor's name, shape and values, as safetensors are written.
ftc_safetensor ftc_model_state_describe(const ftc_model_state *state, int32_t index);

// Writes all tensors of a role as safetensors, under the program's names and in stored form; parameters as
// they are once all their rows are up to date. Moments that processes share are brought together: while one
// of them saves these, every other calls ftc_model_state_lend.
ftc_status ftc_model_state_save(const ftc_model_state *state, ftc_tensor_role role, const char *path);

ftc_status ftc_model_state_lend(const ftc_model_state *state);

// Reads back what ftc_model_state_save wrote, perhaps for another compilation of the same model: every tensor
// of the role must be there in the same shape.
ftc_status ftc_model_state_restore(ftc_model_state *state, ftc_tensor_role role, const char *path);

// The first element of `values` that is not finite, -1 when all are.
int64_t ftc_first_not_finite(const float *values, int64_t n);

int64_t ftc_tensor_elements(const ftc_tensor_info *info);
int64_t ftc_tensor_bytes(const ftc_tensor_info *info);

// Elements of all parameters.
int64_t ftc_program_parameters(const ftc_program *program);

// What all kernels of an entry do for a batch of these counts, [n_counts]; zero where it is not known.
typedef struct {
    double flops, bytes;
} ftc_work;
ftc_work ftc_entry_work(const ftc_program *program, ftc_entry_kind entry, const double *counts);

#endif
