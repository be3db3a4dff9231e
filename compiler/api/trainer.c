// libftc: the trainer, as ftc.h declares it, on top of the runtime.
#include "compiler/api/internal.h"

#include "compiler/driver/blas.h"
#include "ir/base/clock.h"
#include "ir/base/name.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/hub/safetensors.h"
#include "runtime/loop/checkpoint.h"
#include "runtime/loop/embeddings.h"
#include "runtime/loop/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *call, *function;
} CALLS[FTC_ENTRY_COUNT] = {
    [FTC_ENTRY_STEP] = {"FTC_CALL_STEP", "ftc_trainer_step"},
    [FTC_ENTRY_GRAD] = {"FTC_CALL_GRAD", "ftc_trainer_grad"},
    [FTC_ENTRY_UPDATE] = {"FTC_CALL_UPDATE", "ftc_trainer_update"},
    [FTC_ENTRY_EVAL] = {"FTC_CALL_EVAL", "ftc_trainer_eval"},
};

const ftc_program *ftc_api_program(const ftc_trainer *trainer) {
    return trainer->net->model.program;
}

static ftc_status find_sgemm(const ftc_program *program, ftc_sgemm_fn **out) {
    if (!program->needs_sgemm) return FTC_STATUS_OK;
    ftc_api_lock();
    ftc_status status = ftc_blas_open(out);
    ftc_api_unlock();
    return status;
}

static ftc_status set_up(ftc_trainer *t, const ftc_trainer_options *options) {
    const ftc_program *program = ftc_api_program(t);
    ftc_sgemm_fn *sgemm = NULL;
    t->calls = options->calls ? options->calls : ftc_net_calls(t->net);
    if (t->calls >> FTC_ENTRY_COUNT) {
        return ftc_status_make(FTC_BAD_INPUT, "calls is %#x: expected a sum of FTC_CALL_STEP, …", t->calls);
    }
    int32_t threads = options->threads ? options->threads : ftc_threads_available();
    FTC_RETURN_IF_ERROR(find_sgemm(program, &sgemm));
    FTC_RETURN_IF_ERROR(ftc_program_check_memory(program, t->calls, threads, FTC_ALL_ROWS));
    FTC_RETURN_IF_ERROR(ftc_threads_create(threads, &t->threads));
    FTC_RETURN_IF_ERROR(ftc_model_state_create(program, t->calls, &ftc_world_alone, &t->state));
    FTC_RETURN_IF_ERROR(ftc_stepper_create(program, &t->state, t->threads, t->calls, sgemm, &t->stepper));
    FTC_RETURN_IF_ERROR(ftc_batch_create(program, &t->batch));
    t->stepper.seed = options->seed;
    ftc_profile_create(program, &t->profile);
    t->stepper.ticks = t->profile.ticks;
    size_t most = (size_t)t->batch.max_sequences;
    t->order = ftc_api_allocate(most, sizeof *t->order);
    for (size_t i = 0; i < most; i++) t->order[i] = (int64_t)i;
    t->offsets = ftc_api_allocate(most + 1, sizeof *t->offsets);
    t->no_labels = ftc_api_allocate(most, sizeof *t->no_labels);
    return FTC_STATUS_OK;
}

static ftc_error *trainer_create(const ftc_net *net, const ftc_trainer_options *options, ftc_trainer **out) {
    static const ftc_trainer_options DEFAULTS = {0};
    ftc_trainer *trainer = ftc_api_allocate(1, sizeof *trainer);
    trainer->net = net;
    ftc_error *error = ftc_api_error(set_up(trainer, options ? options : &DEFAULTS));
    if (error) {
        ftc_trainer_free(trainer);
        return error;
    }
    *out = trainer;
    return NULL;
}

ftc_error *ftc_trainer_create(const ftc_net *net, const ftc_trainer_options *options, ftc_trainer **out) {
    return FTC_GUARDED(trainer_create(net, options, out));
}

void ftc_trainer_free(ftc_trainer *trainer) {
    if (!trainer) return;
    ftc_batch_free(&trainer->batch);
    ftc_stepper_free(&trainer->stepper);
    ftc_model_state_free(&trainer->state);
    ftc_threads_free(trainer->threads);
    ftc_profile_free(&trainer->profile);
    free(trainer->kernels);
    ftc_load_report_free(&trainer->report);
    ftc_dataset_free(&trainer->packed);
    free(trainer->directory);
    free(trainer->order);
    free(trainer->offsets);
    free(trainer->no_types);
    free(trainer->no_labels);
    free(trainer);
}

// --- weights ------------------------------------------------------------------------------------------

void ftc_trainer_init(ftc_trainer *trainer) {
    ftc_model_state_init(&trainer->state, trainer->stepper.seed);
    trainer->has_weights = true;
}

static ftc_error *trainer_load(ftc_trainer *trainer, const char *directory) {
    if (!directory) directory = ftc_api_program(trainer)->pretrained;
    if (!directory) {
        return INPUT_ERROR("the model %s was compiled against no directory: say which one to load, or start "
                           "from new weights with ftc_trainer_init",
                           ftc_api_program(trainer)->model);
    }
    ftc_load_report report;
    char *kept = ftc_api_copy(directory); // `directory` may be the one of the last load
    trainer->has_weights = false;
    ftc_error *error =
        ftc_api_error(ftc_model_state_load(&trainer->state, kept, trainer->stepper.seed, &report));
    if (error) {
        free(kept);
        return error;
    }
    ftc_load_report_free(&trainer->report);
    free(trainer->directory);
    trainer->report = report;
    trainer->directory = kept;
    trainer->has_weights = true;
    return NULL;
}

ftc_error *ftc_trainer_load(ftc_trainer *trainer, const char *directory) {
    return FTC_GUARDED(trainer_load(trainer, directory));
}

const char *const *ftc_trainer_initialized(const ftc_trainer *trainer, int32_t *n) {
    *n = trainer->report.n_initialized;
    return trainer->report.initialized;
}

const char *const *ftc_trainer_unused(const ftc_trainer *trainer, int32_t *n) {
    *n = trainer->report.n_unused;
    return (const char *const *)trainer->report.unused;
}

// The number of a tensor by its name; -1: there is none.
static int32_t find_tensor(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_tensors; i++)
        if (program->tensors[i].role != FTC_ROLE_TOUCHED && strcmp(program->tensors[i].name, name) == 0)
            return i;
    return -1;
}

void *ftc_trainer_tensor(ftc_trainer *trainer, const char *name) {
    int32_t i = find_tensor(ftc_api_program(trainer), name);
    if (i < 0) return NULL;
    ftc_embeddings_expose(trainer->state.tables, i);
    return ftc_model_state_tensor(&trainer->state, i);
}

void *ftc_trainer_borrow(ftc_trainer *trainer, const char *name) {
    int32_t i = find_tensor(ftc_api_program(trainer), name);
    return i < 0 ? NULL : ftc_model_state_tensor(&trainer->state, i);
}

void ftc_trainer_sync(ftc_trainer *trainer) {
    for (int32_t i = 0; i < ftc_api_program(trainer)->n_tensors; i++)
        ftc_embeddings_settle(trainer->state.tables, i);
}

static ftc_error *assign(ftc_trainer *trainer, const ftc_weight *weight, bool *given) {
    const ftc_program *program = ftc_api_program(trainer);
    int32_t i = find_tensor(program, weight->name);
    if (i < 0 || program->tensors[i].role != FTC_ROLE_PARAM)
        return INPUT_ERROR("the model %s has no parameter \"%s\"", program->model, weight->name);
    const ftc_tensor_info *info = &program->tensors[i];
    if (given[i]) return INPUT_ERROR("the parameter \"%s\" is given twice", weight->name);
    if (info->dtype != FTC_F32) return INPUT_ERROR("the parameter \"%s\" is not of f32", weight->name);
    size_t dims = (size_t)info->rank * sizeof *info->dims;
    if (weight->rank != info->rank || memcmp(weight->dims, info->dims, dims) != 0) {
        char theirs[128], ours[128];
        return INPUT_ERROR("the parameter \"%s\" is given with the shape %s, the model's has %s",
                           weight->name, ftc_shape_format(weight->dims, weight->rank, theirs),
                           ftc_shape_format(info->dims, info->rank, ours));
    }
    int64_t n = ftc_tensor_elements(info), at = ftc_first_not_finite(weight->values, n);
    if (at >= 0)
        return INPUT_ERROR("element %lld of the parameter \"%s\" is %g", (long long)at, weight->name,
                           (double)weight->values[at]);
    if (n) memcpy(trainer->state.tensors[i], weight->values, (size_t)n * sizeof *weight->values);
    given[i] = true;
    return NULL;
}

static ftc_error *trainer_assign(ftc_trainer *trainer, const ftc_weight *weights, int32_t n) {
    const ftc_program *program = ftc_api_program(trainer);
    bool *given = ftc_api_allocate((size_t)program->n_tensors, sizeof *given);
    ftc_error *error = NULL;
    trainer->has_weights = false;
    for (int32_t k = 0; k < n && !error; k++) error = assign(trainer, &weights[k], given);
    for (int32_t i = 0; i < program->n_tensors && !error; i++)
        if (program->tensors[i].role == FTC_ROLE_PARAM && !given[i])
            error = INPUT_ERROR("the parameter \"%s\" of the model %s is missing", program->tensors[i].name,
                                program->model);
    free(given);
    ftc_embeddings_replaced(trainer->state.tables);
    trainer->has_weights = !error;
    return error;
}

ftc_error *ftc_trainer_assign(ftc_trainer *trainer, const ftc_weight *weights, int32_t n) {
    return FTC_GUARDED(trainer_assign(trainer, weights, n));
}

static ftc_error *trainer_save(const ftc_trainer *trainer, const char *directory, const char *tokenizer,
                               const char *const *labels) {
    if (!trainer->has_weights) {
        return INPUT_ERROR(
            "%s: there are no weights to save; call ftc_trainer_init or ftc_trainer_load first", directory);
    }
    const ftc_program *program = ftc_api_program(trainer);
    const ftc_model_files files = {
        .config = {.base_dir = trainer->directory,
                   .labels = labels,
                   .n_labels = (int32_t)ftc_program_score_columns(program),
                   .problem_type = ftc_program_problem_type(program)},
        .tokenizer_dir = tokenizer,
    };
    return ftc_api_error(ftc_model_save(directory, &trainer->state, &files));
}

ftc_error *ftc_trainer_save(const ftc_trainer *trainer, const char *directory, const char *tokenizer,
                            const char *const *labels) {
    return FTC_GUARDED(trainer_save(trainer, directory, tokenizer, labels));
}

// --- scalars ------------------------------------------------------------------------------------------

static ftc_error *no_scalar(const ftc_trainer *trainer, const char *name) {
    const ftc_net *net = trainer->net;
    const char **names = ftc_api_allocate((size_t)net->n_scalars, sizeof *names);
    for (int32_t i = 0; i < net->n_scalars; i++) names[i] = net->scalars[i].name;
    const char *near = ftc_name_nearest(name, names, net->n_scalars);
    free(names);
    return INPUT_ERROR("the model %s has no scalar \"%s\"%s%s%s", ftc_api_program(trainer)->model, name,
                       near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static ftc_error *trainer_set(ftc_trainer *trainer, const char *name, double value) {
    const ftc_program *program = ftc_api_program(trainer);
    for (int32_t i = 0; i < program->n_scalars; i++) {
        if (strcmp(program->scalars[i].name, name) != 0) continue;
        ftc_error *error = ftc_api_error(ftc_scalar_check(&program->scalars[i], value));
        if (!error) trainer->stepper.arguments[i] = value;
        return error;
    }
    return no_scalar(trainer, name);
}

ftc_error *ftc_trainer_set(ftc_trainer *trainer, const char *name, double value) {
    return FTC_GUARDED(trainer_set(trainer, name, value));
}

// --- the batch ----------------------------------------------------------------------------------------

// At least `n` zeros.
static int32_t *no_types(ftc_trainer *trainer, size_t n) {
    if (n > trainer->no_types_capacity) {
        int32_t *larger = ftc_api_allocate(n, sizeof *larger);
        free(trainer->no_types);
        trainer->no_types = larger;
        trainer->no_types_capacity = n;
    }
    return trainer->no_types;
}

static ftc_error *check_count(const ftc_trainer *trainer, int32_t n) {
    if (n >= 1 && n <= trainer->batch.max_sequences) return NULL;
    return INPUT_ERROR("a batch of %d sequences, but the model %s was compiled for 1 to %lld", n,
                       ftc_api_program(trainer)->model, (long long)trainer->batch.max_sequences);
}

// The length between two offsets; -1 where they have none, being negative or out of order.
static int64_t length_between(const int64_t offsets[2]) {
    return offsets[0] >= 0 && offsets[1] >= offsets[0] ? offsets[1] - offsets[0] : -1;
}

static ftc_error *check_length(const ftc_trainer *trainer, int32_t sequence, int64_t length) {
    if (length >= 0 && length <= trainer->batch.max_length) return NULL;
    return INPUT_ERROR("sequence %d has %lld tokens, but the model %s was compiled for 0 to %lld", sequence,
                       (long long)length, ftc_api_program(trainer)->model,
                       (long long)trainer->batch.max_length);
}

// The number of an extent or input by its name; -1: there is none.
static int32_t find_extent(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_extents; i++)
        if (strcmp(program->extents[i].name, name) == 0) return i;
    return -1;
}

static int32_t find_input(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (strcmp(program->inputs[i].name, name) == 0) return i;
    return -1;
}

// The sizes of a batch by extent: elements, -1 where they are not known; lengths, NULL where not.
typedef struct {
    int64_t *elements;
    int32_t **lengths;
    bool *given; // by the caller
} batch_sizes;

static ftc_error *set_elements(const ftc_program *program, batch_sizes *sizes, int32_t extent, int64_t n) {
    const char *name = program->extents[extent].name;
    int64_t before = sizes->elements[extent];
    if (n < 0) return INPUT_ERROR("the extent \"%s\" is given %lld elements", name, (long long)n);
    if (before >= 0 && before != n)
        return INPUT_ERROR("the extent \"%s\" is given %lld elements and %lld", name, (long long)before,
                           (long long)n);
    sizes->elements[extent] = n;
    return NULL;
}

static ftc_error *set_lengths(const ftc_program *program, batch_sizes *sizes, int32_t extent,
                              const ftc_extent_size *size) {
    const ftc_extent_info *info = &program->extents[extent], *over = &program->extents[info->ragged_over];
    ftc_error *error = set_elements(program, sizes, info->ragged_over, size->n);
    if (error) return error;
    if (size->n > over->bound)
        return INPUT_ERROR(
            "the extent \"%s\" has %lld lengths, but the model %s was compiled for at most %lld", size->name,
            (long long)size->n, program->model, (long long)over->bound);
    sizes->lengths[extent] = ftc_api_allocate((size_t)size->n, sizeof **sizes->lengths);
    for (int64_t i = 0; i < size->n; i++) {
        int64_t length = length_between(size->offsets + i);
        if (length < 0)
            return INPUT_ERROR(
                "the offsets of the extent \"%s\" are negative or decrease: %lld is followed by %lld",
                size->name, (long long)size->offsets[i], (long long)size->offsets[i + 1]);
        if (length > info->bound)
            return INPUT_ERROR(
                "length %lld of the extent \"%s\" is %lld, but the model %s was compiled for at most %lld",
                (long long)i, size->name, (long long)length, program->model, (long long)info->bound);
        sizes->lengths[extent][i] = (int32_t)length;
    }
    return NULL;
}

static ftc_error *set_size(const ftc_program *program, batch_sizes *sizes, const ftc_extent_size *size) {
    int32_t e = find_extent(program, size->name);
    if (e < 0) return INPUT_ERROR("the model %s has no extent \"%s\"", program->model, size->name);
    bool ragged = program->extents[e].ragged_over >= 0;
    if (ragged != !!size->offsets)
        return INPUT_ERROR("the extent \"%s\" is %s: give it %s", size->name,
                           ragged ? "ragged" : "not ragged", ragged ? "offsets" : "n alone");
    if (sizes->given[e]) return INPUT_ERROR("the extent \"%s\" is given twice", size->name);
    sizes->given[e] = true;
    return ragged ? set_lengths(program, sizes, e, size) : set_elements(program, sizes, e, size->n);
}

// That every extent has a size; a constant one has it from the model.
static ftc_error *complete_sizes(const ftc_program *program, batch_sizes *sizes) {
    for (int32_t e = 0; e < program->n_extents; e++) {
        const ftc_extent_info *info = &program->extents[e];
        bool ragged = info->ragged_over >= 0;
        if (!ragged && sizes->elements[e] < 0 && info->least == info->bound) sizes->elements[e] = info->bound;
        if (ragged ? !sizes->lengths[e] : sizes->elements[e] < 0)
            return INPUT_ERROR("the extent \"%s\" of the model %s is missing", info->name, program->model);
    }
    return NULL;
}

static ftc_error *copy_inputs(ftc_trainer *trainer, const ftc_input_cells *inputs, int32_t n) {
    const ftc_program *program = ftc_api_program(trainer);
    bool *given = ftc_api_allocate((size_t)program->n_inputs, sizeof *given);
    ftc_error *error = NULL;
    for (int32_t k = 0; k < n && !error; k++) {
        int32_t i = find_input(program, inputs[k].name);
        if (i < 0 || given[i]) {
            error = i < 0 ? INPUT_ERROR("the model %s has no input \"%s\"", program->model, inputs[k].name)
                          : INPUT_ERROR("the input \"%s\" is given twice", inputs[k].name);
            break;
        }
        size_t bytes =
            (size_t)(ftc_batch_cells(&trainer->batch, i) * ftc_dtype_bytes(program->inputs[i].dtype));
        if (bytes && !inputs[k].cells)
            error = INPUT_ERROR("the input \"%s\" is given no cells", inputs[k].name);
        else if (bytes)
            memcpy(trainer->batch.inputs[i], inputs[k].cells, bytes);
        given[i] = true;
    }
    for (int32_t i = 0; i < program->n_inputs && !error; i++)
        if (!given[i] && program->inputs[i].role != FTC_FROM_CONFIG)
            error = INPUT_ERROR("the input \"%s\" of the model %s is missing", program->inputs[i].name,
                                program->model);
    free(given);
    return error;
}

static ftc_error *trainer_bind_inputs(ftc_trainer *trainer, const ftc_extent_size *extents, int32_t n_extents,
                                      const ftc_input_cells *inputs, int32_t n_inputs) {
    const ftc_program *program = ftc_api_program(trainer);
    batch_sizes sizes = {ftc_api_allocate((size_t)program->n_extents, sizeof *sizes.elements),
                         ftc_api_allocate((size_t)program->n_extents, sizeof *sizes.lengths),
                         ftc_api_allocate((size_t)program->n_extents, sizeof *sizes.given)};
    ftc_error *error = NULL;
    trainer->has_batch = false;
    for (int32_t e = 0; e < program->n_extents; e++) sizes.elements[e] = -1;
    for (int32_t i = 0; i < n_extents && !error; i++) error = set_size(program, &sizes, &extents[i]);
    if (!error) error = complete_sizes(program, &sizes);
    if (!error)
        error = ftc_api_error(
            ftc_batch_resize(&trainer->batch, sizes.elements, (const int32_t *const *)sizes.lengths, NULL));
    if (!error) error = copy_inputs(trainer, inputs, n_inputs);
    if (!error) error = ftc_api_error(ftc_batch_check(&trainer->batch, NULL));
    for (int32_t e = 0; e < program->n_extents; e++) free(sizes.lengths[e]);
    free(sizes.lengths);
    free(sizes.elements);
    free(sizes.given);
    trainer->has_batch = !error;
    return error;
}

ftc_error *ftc_trainer_bind_inputs(ftc_trainer *trainer, const ftc_extent_size *extents, int32_t n_extents,
                                   const ftc_input_cells *inputs, int32_t n_inputs) {
    return FTC_GUARDED(trainer_bind_inputs(trainer, extents, n_extents, inputs, n_inputs));
}

static ftc_error *bind(ftc_trainer *trainer, int32_t n, const ftc_dataset *sequences) {
    ftc_error *unfit = ftc_api_error(ftc_batch_check_feed(ftc_api_program(trainer)));
    if (unfit) return unfit;
    ftc_error *error = ftc_api_error(ftc_batch_fill(&trainer->batch, sequences, trainer->order, n));
    trainer->has_batch = !error;
    return error;
}

static ftc_error *trainer_bind(ftc_trainer *trainer, int32_t n, const int32_t *const *ids,
                               const int32_t *const *types, const int32_t *lengths, const float *labels) {
    trainer->has_batch = false;
    ftc_error *error = check_count(trainer, n);
    for (int32_t i = 0; i < n && !error; i++) error = check_length(trainer, i, lengths[i]);
    if (error) return error;
    trainer->packed.n = 0;
    for (int32_t i = 0; i < n; i++) {
        size_t length = (size_t)lengths[i];
        ftc_tokens tokens = {.ids = (int32_t *)ids[i],
                             .types = types ? (int32_t *)types[i] : no_types(trainer, length),
                             .count = length};
        ftc_dataset_add(&trainer->packed, &tokens, labels ? labels[i] : 0); // copies the tokens
    }
    return bind(trainer, n, &trainer->packed);
}

ftc_error *ftc_trainer_bind(ftc_trainer *trainer, int32_t n, const int32_t *const *ids,
                            const int32_t *const *types, const int32_t *lengths, const float *labels) {
    return FTC_GUARDED(trainer_bind(trainer, n, ids, types, lengths, labels));
}

static ftc_error *trainer_bind_packed(ftc_trainer *trainer, int32_t n, const int64_t *offsets,
                                      const int32_t *ids, const int32_t *types, const float *labels) {
    trainer->has_batch = false;
    ftc_error *error = check_count(trainer, n);
    for (int32_t i = 0; i < n && !error; i++) error = check_length(trainer, i, length_between(offsets + i));
    if (error) return error;
    for (int32_t i = 0; i <= n; i++) trainer->offsets[i] = offsets[i] - offsets[0];
    const ftc_dataset sequences = {
        // Borrows; ftc_batch_fill only reads.
        .n = n,
        .offsets = trainer->offsets,
        .ids = (int32_t *)ids + offsets[0],
        .types = types ? (int32_t *)types + offsets[0] : no_types(trainer, (size_t)trainer->offsets[n]),
        .labels = labels ? (float *)labels : trainer->no_labels,
    };
    return bind(trainer, n, &sequences);
}

ftc_error *ftc_trainer_bind_packed(ftc_trainer *trainer, int32_t n, const int64_t *offsets,
                                   const int32_t *ids, const int32_t *types, const float *labels) {
    return FTC_GUARDED(trainer_bind_packed(trainer, n, offsets, ids, types, labels));
}

// --- the calls ----------------------------------------------------------------------------------------

static ftc_error *check_call(const ftc_trainer *trainer, ftc_entry_kind entry) {
    const char *function = CALLS[entry].function;
    if (!(trainer->calls & 1u << entry)) {
        return INPUT_ERROR("%s: the trainer was created without %s", function, CALLS[entry].call);
    }
    if (!trainer->has_weights) {
        return INPUT_ERROR("%s: there are no weights; call ftc_trainer_init or ftc_trainer_load first",
                           function);
    }
    if (!trainer->has_batch && entry != FTC_ENTRY_UPDATE) {
        return INPUT_ERROR("%s: there is no batch at hand; call ftc_trainer_bind first", function);
    }
    if (trainer->steps < 0 || trainer->steps >= FTC_MOST_STEPS) {
        return INPUT_ERROR("%s: %lld steps are done: expected 0 to %d, where it ends", function,
                           (long long)trainer->steps, FTC_MOST_STEPS);
    }
    return NULL;
}

// Runs an entry; fails when the output of the role `watched` is not finite afterwards.
static ftc_error *call(ftc_trainer *trainer, ftc_entry_kind entry, ftc_output_role watched) {
    ftc_error *error = check_call(trainer, entry);
    if (error) return error;
    int64_t step = trainer->steps + 1;
    double start = ftc_clock_seconds();
    error = ftc_api_error(
        ftc_stepper_call(&trainer->stepper, entry, &trainer->batch, (uint32_t)step, trainer->micro_steps));
    if (error) return error;
    trainer->seconds[entry] += ftc_clock_seconds() - start;
    trainer->made[entry]++;
    ftc_profile_add(&trainer->profile, entry);
    if (entry == FTC_ENTRY_GRAD) {
        trainer->micro_steps++;
    } else if (entry != FTC_ENTRY_EVAL) {
        trainer->steps = step;
        trainer->micro_steps = 0;
    }
    const float *value = ftc_stepper_result(&trainer->stepper, watched, entry);
    if (!value || isfinite(*value)) return NULL;
    return ftc_api_error(ftc_status_make(
        FTC_FAILED, "%s: step %lld: the %s is %g; try a smaller \"lr\", or clipping", CALLS[entry].function,
        (long long)step, watched == FTC_OUTPUT_NORM ? "grad_norm" : "loss", (double)*value));
}

static ftc_error *trainer_step(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_STEP, FTC_OUTPUT_LOSS);
}

ftc_error *ftc_trainer_step(ftc_trainer *trainer) {
    return FTC_GUARDED(trainer_step(trainer));
}

static ftc_error *trainer_grad(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_GRAD, FTC_OUTPUT_LOSS);
}

ftc_error *ftc_trainer_grad(ftc_trainer *trainer) {
    return FTC_GUARDED(trainer_grad(trainer));
}

static ftc_error *trainer_update(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_UPDATE, FTC_OUTPUT_NORM);
}

ftc_error *ftc_trainer_update(ftc_trainer *trainer) {
    return FTC_GUARDED(trainer_update(trainer));
}

static ftc_error *trainer_eval(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_EVAL, FTC_OUTPUT_LOSS);
}

ftc_error *ftc_trainer_eval(ftc_trainer *trainer) {
    return FTC_GUARDED(trainer_eval(trainer));
}

const void *ftc_trainer_output(const ftc_trainer *trainer, const char *name, int64_t *cells) {
    const ftc_program *program = ftc_api_program(trainer);
    for (int32_t i = 0; i < program->n_outputs; i++) {
        const ftc_output_info *output = &program->outputs[i];
        bool own = ftc_api_is_internal(output) || !(output->entries & trainer->calls);
        if (own || strcmp(output->name, name) != 0) continue;
        if (cells) *cells = output->each * (int64_t)trainer->batch.counts[output->count];
        return trainer->stepper.outputs[i];
    }
    return NULL;
}

int64_t ftc_trainer_steps(const ftc_trainer *trainer) {
    return trainer->steps;
}

void ftc_trainer_set_steps(ftc_trainer *trainer, int64_t steps) {
    trainer->steps = steps;
    trainer->micro_steps = 0;
}
