// libftc: what ftc.h declares, on top of the driver's models and the runtime.
#include "compiler/api/ftc.h"

#include "compiler/driver/blas.h"
#include "compiler/driver/model.h"
#include "runtime/data/batch.h"
#include "runtime/loop/checkpoint.h"
#include "runtime/loop/embeddings.h"
#include "runtime/loop/evaluate.h"
#include "runtime/loop/model_state.h"
#include "ir/base/name.h"
#include "runtime/loop/stepper.h"
#include "runtime/loop/threads.h"
#include "runtime/text/tokenizer.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// The numbers of ftc.h are those of the step's ABI.
_Static_assert(FTC_CALL_STEP == 1 << FTC_ENTRY_STEP && FTC_CALL_GRAD == 1 << FTC_ENTRY_GRAD, "calls");
_Static_assert(FTC_CALL_UPDATE == 1 << FTC_ENTRY_UPDATE && FTC_CALL_EVAL == 1 << FTC_ENTRY_EVAL, "calls");
_Static_assert((int)FTC_ELEMENT_F32 == FTC_F32 && (int)FTC_ELEMENT_BF16 == FTC_BF16, "elements");
_Static_assert((int)FTC_ELEMENT_I32 == FTC_I32 && (int)FTC_ELEMENT_U32 == FTC_U32, "elements");
_Static_assert((int)FTC_ELEMENT_BOOL == FTC_BOOL, "elements");
_Static_assert((int)FTC_TENSOR_PARAMETER == FTC_ROLE_PARAM && (int)FTC_TENSOR_MOMENT == FTC_ROLE_MOMENT,
               "kinds");
_Static_assert((int)FTC_TENSOR_GRADIENT == FTC_ROLE_GRADIENT && FTC_MAX_DIMS == 4, "kinds");

static const struct {
    const char *call, *function;
} CALLS[FTC_ENTRY_COUNT] = {
    [FTC_ENTRY_STEP] = {"FTC_CALL_STEP", "ftc_trainer_step"},
    [FTC_ENTRY_GRAD] = {"FTC_CALL_GRAD", "ftc_trainer_grad"},
    [FTC_ENTRY_UPDATE] = {"FTC_CALL_UPDATE", "ftc_trainer_update"},
    [FTC_ENTRY_EVAL] = {"FTC_CALL_EVAL", "ftc_trainer_eval"},
};

// Held by whoever makes LLVM or OpenBLAS set up what they keep for the whole process.
static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;

static void *allocate(size_t n, size_t size) {
    void *zeros = calloc(n ? n : 1, size);
    if (!zeros) abort();
    return zeros;
}

static char *copy_text(const char *text) {
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) abort();
    return copy;
}

const char *ftc_version(void) {
    return FTC_VERSION;
}

// --- errors -------------------------------------------------------------------------------------------

struct ftc_error {
    int status;
    char *message;
};

// Takes `message`.
static ftc_error *make_error(int status, char *message) {
    ftc_error *error = allocate(1, sizeof *error);
    *error = (ftc_error){status, message ? message : copy_text("out of memory")};
    return error;
}

// Takes `status`; NULL when it is no failure.
static ftc_error *status_error(ftc_status status) {
    if (status.code == FTC_OK) return NULL;
    return make_error(status.code == FTC_FAILED ? FTC_EXIT_FAILED : FTC_EXIT_USAGE, status.message);
}

#define INPUT_ERROR(...) status_error(ftc_status_make(FTC_BAD_INPUT, __VA_ARGS__))

// Takes the diagnostics.
static ftc_error *diagnostics_error(ftc_diagnostics *d) {
    char *message = NULL;
    size_t size;
    FILE *f = open_memstream(&message, &size);
    if (!f) abort();
    int kept = d->count < FTC_MAX_DIAGNOSTICS ? d->count : FTC_MAX_DIAGNOSTICS;
    for (int i = 0; i < kept; i++) fputs(d->list[i].text, f);
    if (d->count > kept) fprintf(f, "and %d more errors\n", d->count - kept);
    fclose(f);
    if (size > 0 && message[size - 1] == '\n') message[size - 1] = '\0';
    ftc_diag_free(d);
    return make_error(FTC_EXIT_USAGE, message);
}

const char *ftc_error_message(const ftc_error *error) {
    return error->message;
}

int ftc_error_status(const ftc_error *error) {
    return error->status;
}

void ftc_error_free(ftc_error *error) {
    if (!error) return;
    free(error->message);
    free(error);
}

// --- the net ------------------------------------------------------------------------------------------

struct ftc_net {
    ftc_model model;
    char *recompiled;         // why, or NULL
    ftc_tensor_desc *tensors; // [n_tensors]
    int32_t n_tensors;
    ftc_extent_desc *extents; // [n_extents]
    ftc_input_desc *inputs;
    ftc_scalar_desc *scalars; // [n_scalars]
    int32_t n_scalars;
    ftc_output_desc *outputs; // [n_outputs]
    int32_t n_outputs;
};

// Whether only the runtime reads an output.
static bool is_runtimes_own(const ftc_output_info *output) {
    return output->role == FTC_OUTPUT_FACTOR || output->role == FTC_OUTPUT_FAULT;
}

static void describe_axes(const ftc_program *program, const ftc_axis_info *axes, int32_t rank,
                          ftc_axis_desc *out) {
    for (int32_t i = 0; i < rank; i++)
        out[i] = (ftc_axis_desc){
            axes[i].name, axes[i].extent < 0 ? NULL : program->extents[axes[i].extent].name, axes[i].size};
}

static void describe_interface(ftc_net *net) {
    const ftc_program *program = net->model.program;
    net->extents = allocate((size_t)program->n_extents, sizeof *net->extents);
    for (int32_t i = 0; i < program->n_extents; i++) {
        const ftc_extent_info *e = &program->extents[i];
        const char *over = e->ragged_over < 0 ? NULL : program->extents[e->ragged_over].name;
        net->extents[i] = (ftc_extent_desc){e->name, over, e->least, e->bound};
    }
    net->inputs = allocate((size_t)program->n_inputs, sizeof *net->inputs);
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        net->inputs[i] = (ftc_input_desc){.name = input->name,
                                          .type = (ftc_element)input->dtype,
                                          .bound = input->bound,
                                          .rank = input->rank};
        describe_axes(program, input->axes, input->rank, net->inputs[i].axes);
    }
    net->outputs = allocate((size_t)program->n_outputs, sizeof *net->outputs);
    for (int32_t i = 0; i < program->n_outputs; i++) {
        const ftc_output_info *output = &program->outputs[i];
        if (is_runtimes_own(output)) continue;
        ftc_output_desc *desc = &net->outputs[net->n_outputs++];
        *desc = (ftc_output_desc){.name = output->name,
                                  .type = (ftc_element)output->dtype,
                                  .calls = output->entries,
                                  .rank = output->rank};
        describe_axes(program, output->axes, output->rank, desc->axes);
    }
}

static void describe(ftc_net *net) {
    const ftc_program *program = net->model.program;
    net->tensors = allocate((size_t)program->n_tensors, sizeof *net->tensors);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->role == FTC_ROLE_TOUCHED) continue; // the runtime's own
        ftc_tensor_desc *desc = &net->tensors[net->n_tensors++];
        *desc = (ftc_tensor_desc){.name = t->name,
                                  .kind = (ftc_tensor_kind)t->role,
                                  .type = (ftc_element)t->dtype,
                                  .rank = t->rank,
                                  .trainable = t->trainable};
        memcpy(desc->dims, t->dims, sizeof t->dims);
    }
    net->scalars = allocate((size_t)program->n_scalars, sizeof *net->scalars);
    for (int32_t i = 0; i < program->n_scalars; i++) {
        const ftc_scalar_info *scalar = &program->scalars[i];
        if (scalar->formula.n) continue; // nobody sets it
        net->scalars[net->n_scalars++] = (ftc_scalar_desc){scalar->name, scalar->value};
    }
    describe_interface(net);
}

// Sets one of ftc_net_options.options, "NAME=VALUE".
static bool set_option(const char *text, ftc_model_options *options, ftc_diagnostics *d) {
    const ftc_option_group groups[] = {
        {"", ftc_model_option_table, options}, {"", ftc_weights_option_table, options}, {0}};
    const ftc_option *option;
    const ftc_option_group *group;
    const char *equals = strchr(text, '=');
    char *name = equals ? strndup(text, (size_t)(equals - text)) : copy_text(text), why[160];
    if (!name) abort();
    bool found = ftc_cli_find(groups, name, &option, &group), ok = false;
    if (!equals) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "option \"%s\": expected NAME=VALUE", text);
    } else if (!found) {
        const char *near = ftc_cli_nearest_option(groups, name);
        ftc_diag_add(d, NULL, NULL, 0, 0, "option \"%s\": there is no %s%s%s%s", text, name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    } else if (!(ok = ftc_option_set(option, options, equals + 1, why, sizeof why))) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "option \"%s\": %s", text, why);
    }
    free(name);
    return ok;
}

static bool set_options(const ftc_net_options *from, ftc_model_options *to, ftc_diagnostics *d) {
    to->pretrained = from->pretrained;
    to->batch = from->batch;
    to->max_length = from->max_length;
    if (from->batch < 0 || from->max_length < 0) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "%s is %lld: expected at least 1, or 0 for what the model says",
                     from->batch < 0 ? "batch" : "max_length",
                     (long long)(from->batch < 0 ? from->batch : from->max_length));
        return false;
    }
    if (from->calls >> FTC_ENTRY_COUNT) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "calls is %#x: expected a sum of FTC_CALL_STEP, …", from->calls);
        return false;
    }
    bool ok = true;
    for (const char *const *option = from->options; option && *option; option++) {
        ok = set_option(*option, to, d) && ok;
    }
    return ok;
}

static bool open_model(const char *path, const ftc_model_options *options, uint32_t calls, ftc_net *net,
                       ftc_diagnostics *d) {
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return ftc_model_open_dir(path, options, calls, &net->model, d);
    }
    ftc_model_candidate candidate;
    return ftc_model_find(path, options, &candidate, d) &&
           ftc_model_finish(&candidate, options, calls, &net->model, &net->recompiled, d);
}

ftc_error *ftc_net_open(const char *path, const ftc_net_options *options, ftc_net **out) {
    static const ftc_net_options DEFAULTS = {0};
    if (!options) options = &DEFAULTS;
    ftc_net net = {0};
    ftc_diagnostics d = {0};
    ftc_model_options model = ftc_model_options_default();
    bool ok = set_options(options, &model, &d);
    if (ok) {
        pthread_mutex_lock(&process_lock);
        ok = open_model(path, &model, options->calls, &net, &d);
        pthread_mutex_unlock(&process_lock);
    }
    ftc_model_options_free(&model);
    if (!ok) {
        free(net.recompiled);
        return diagnostics_error(&d);
    }
    describe(&net);
    ftc_net *opened = allocate(1, sizeof *opened);
    *opened = net;
    *out = opened;
    return NULL;
}

void ftc_net_free(ftc_net *net) {
    if (!net) return;
    pthread_mutex_lock(&process_lock);
    ftc_model_close(&net->model);
    pthread_mutex_unlock(&process_lock);
    free(net->recompiled);
    free(net->tensors);
    free(net->extents);
    free(net->inputs);
    free(net->scalars);
    free(net->outputs);
    free(net);
}

const char *ftc_net_name(const ftc_net *net) {
    return net->model.program->model;
}

const char *ftc_net_pretrained(const ftc_net *net) {
    return net->model.program->pretrained;
}

const char *ftc_net_recompiled(const ftc_net *net) {
    return net->recompiled;
}

static int64_t bound_of(const ftc_program *program, int32_t extent) {
    return extent < 0 ? 0 : program->extents[extent].bound;
}

int64_t ftc_net_max_sequences(const ftc_net *net) {
    return bound_of(net->model.program, ftc_program_row_extents(net->model.program).sequences);
}

int64_t ftc_net_max_length(const ftc_net *net) {
    return bound_of(net->model.program, ftc_program_row_extents(net->model.program).tokens);
}

unsigned ftc_net_calls(const ftc_net *net) {
    unsigned calls = 0;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        if (net->model.program->entries[i].fn) calls |= 1u << i;
    }
    return calls;
}

const ftc_tensor_desc *ftc_net_tensors(const ftc_net *net, int32_t *n) {
    *n = net->n_tensors;
    return net->tensors;
}

const ftc_extent_desc *ftc_net_extents(const ftc_net *net, int32_t *n) {
    *n = net->model.program->n_extents;
    return net->extents;
}

const ftc_input_desc *ftc_net_inputs(const ftc_net *net, int32_t *n) {
    *n = net->model.program->n_inputs;
    return net->inputs;
}

const ftc_scalar_desc *ftc_net_scalars(const ftc_net *net, int32_t *n) {
    *n = net->n_scalars;
    return net->scalars;
}

const ftc_output_desc *ftc_net_outputs(const ftc_net *net, int32_t *n) {
    *n = net->n_outputs;
    return net->outputs;
}

// --- texts --------------------------------------------------------------------------------------------

ftc_error *ftc_tokenizer_load(const char *directory, ftc_tokenizer **out) {
    return status_error(ftc_tokenizer_open(directory, out));
}

void ftc_tokenizer_free(ftc_tokenizer *tokenizer) {
    ftc_tokenizer_close(tokenizer);
}

ftc_error *ftc_tokenize(const ftc_tokenizer *tokenizer, const char *text, const char *pair,
                        int32_t max_length, int32_t *ids, int32_t *types, int32_t *count) {
    ftc_tokens tokens = {0};
    ftc_error *error = status_error(ftc_tokenizer_encode(tokenizer, text, pair, max_length, &tokens));
    if (!error) {
        memcpy(ids, tokens.ids, tokens.count * sizeof *ids);
        if (types) memcpy(types, tokens.types, tokens.count * sizeof *types);
        *count = (int32_t)tokens.count;
    }
    ftc_tokens_free(&tokens);
    return error;
}

// --- the trainer --------------------------------------------------------------------------------------

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
    int64_t steps;        // and updates, so far
    uint32_t micro_steps; // gradients since the last update
    // For binding.
    ftc_dataset packed; // sequences that were given one by one
    int64_t *order;     // [batch.max_sequences] 0, 1, 2, …
    int64_t *offsets;   // [batch.max_sequences + 1]
    int32_t *no_types;  // zeros
    float *no_labels;   // [batch.max_sequences] zeros
    size_t no_types_capacity;
};

static const ftc_program *program_of(const ftc_trainer *trainer) {
    return trainer->net->model.program;
}

static ftc_status find_sgemm(const ftc_program *program, ftc_sgemm_fn **out) {
    if (!program->needs_sgemm) return FTC_STATUS_OK;
    pthread_mutex_lock(&process_lock);
    ftc_status status = ftc_blas_open(out);
    pthread_mutex_unlock(&process_lock);
    return status;
}

static ftc_status set_up(ftc_trainer *t, const ftc_trainer_options *options) {
    const ftc_program *program = program_of(t);
    ftc_sgemm_fn *sgemm = NULL;
    t->calls = options->calls ? options->calls : ftc_net_calls(t->net);
    if (t->calls >> FTC_ENTRY_COUNT) {
        return ftc_status_make(FTC_BAD_INPUT, "calls is %#x: expected a sum of FTC_CALL_STEP, …", t->calls);
    }
    int32_t threads = options->threads ? options->threads : ftc_threads_available();
    FTC_RETURN_IF_ERROR(find_sgemm(program, &sgemm));
    FTC_RETURN_IF_ERROR(ftc_program_check_memory(program, t->calls, threads));
    FTC_RETURN_IF_ERROR(ftc_threads_create(threads, &t->threads));
    FTC_RETURN_IF_ERROR(ftc_model_state_create(program, t->calls, &t->state));
    FTC_RETURN_IF_ERROR(ftc_stepper_create(program, &t->state, t->threads, t->calls, sgemm, &t->stepper));
    FTC_RETURN_IF_ERROR(ftc_batch_create(program, &t->batch));
    t->stepper.seed = options->seed;
    size_t most = (size_t)t->batch.max_sequences;
    t->order = allocate(most, sizeof *t->order);
    for (size_t i = 0; i < most; i++) t->order[i] = (int64_t)i;
    t->offsets = allocate(most + 1, sizeof *t->offsets);
    t->no_labels = allocate(most, sizeof *t->no_labels);
    return FTC_STATUS_OK;
}

ftc_error *ftc_trainer_create(const ftc_net *net, const ftc_trainer_options *options, ftc_trainer **out) {
    static const ftc_trainer_options DEFAULTS = {0};
    ftc_trainer *trainer = allocate(1, sizeof *trainer);
    trainer->net = net;
    ftc_error *error = status_error(set_up(trainer, options ? options : &DEFAULTS));
    if (error) {
        ftc_trainer_free(trainer);
        return error;
    }
    *out = trainer;
    return NULL;
}

void ftc_trainer_free(ftc_trainer *trainer) {
    if (!trainer) return;
    ftc_batch_free(&trainer->batch);
    ftc_stepper_free(&trainer->stepper);
    ftc_model_state_free(&trainer->state);
    ftc_threads_free(trainer->threads);
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

ftc_error *ftc_trainer_load(ftc_trainer *trainer, const char *directory) {
    if (!directory) directory = program_of(trainer)->pretrained;
    if (!directory) {
        return INPUT_ERROR("the model %s was compiled against no directory: say which one to load, or start "
                           "from new weights with ftc_trainer_init",
                           program_of(trainer)->model);
    }
    ftc_load_report report;
    char *kept = copy_text(directory); // `directory` may be the one of the last load
    ftc_error *error =
        status_error(ftc_model_state_load(&trainer->state, kept, trainer->stepper.seed, &report));
    if (error) {
        trainer->has_weights = false;
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

const char *const *ftc_trainer_initialized(const ftc_trainer *trainer, int32_t *n) {
    *n = trainer->report.n_initialized;
    return trainer->report.initialized;
}

const char *const *ftc_trainer_unused(const ftc_trainer *trainer, int32_t *n) {
    *n = trainer->report.n_unused;
    return (const char *const *)trainer->report.unused;
}

void *ftc_trainer_tensor(ftc_trainer *trainer, const char *name) {
    const ftc_program *program = program_of(trainer);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role == FTC_ROLE_TOUCHED || strcmp(info->name, name) != 0) continue;
        ftc_embeddings_expose(trainer->state.tables, i);
        return ftc_model_state_tensor(&trainer->state, i);
    }
    return NULL;
}

ftc_error *ftc_trainer_save(const ftc_trainer *trainer, const char *directory, const char *tokenizer,
                            const char *const *labels) {
    if (!trainer->has_weights) {
        return INPUT_ERROR(
            "%s: there are no weights to save; call ftc_trainer_init or ftc_trainer_load first", directory);
    }
    const ftc_program *program = program_of(trainer);
    const ftc_model_files files = {
        .config = {.base_dir = trainer->directory,
                   .labels = labels,
                   .n_labels = (int32_t)ftc_program_score_columns(program),
                   .regression = ftc_program_is_regression(program)},
        .tokenizer_dir = tokenizer,
    };
    return status_error(ftc_model_save(directory, &trainer->state, &files));
}

// --- scalars ------------------------------------------------------------------------------------------

static ftc_error *no_scalar(const ftc_trainer *trainer, const char *name) {
    const ftc_net *net = trainer->net;
    const char **names = allocate((size_t)net->n_scalars, sizeof *names);
    for (int32_t i = 0; i < net->n_scalars; i++) names[i] = net->scalars[i].name;
    const char *near = ftc_name_nearest(name, names, net->n_scalars);
    free(names);
    return INPUT_ERROR("the model %s has no scalar \"%s\"%s%s%s", program_of(trainer)->model, name,
                       near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

ftc_error *ftc_trainer_set(ftc_trainer *trainer, const char *name, double value) {
    const ftc_program *program = program_of(trainer);
    for (int32_t i = 0; i < program->n_scalars; i++) {
        if (strcmp(program->scalars[i].name, name) != 0) continue;
        ftc_error *error = status_error(ftc_scalar_check(&program->scalars[i], value));
        if (!error) trainer->stepper.arguments[i] = value;
        return error;
    }
    return no_scalar(trainer, name);
}

// --- the batch ----------------------------------------------------------------------------------------

// At least `n` zeros.
static int32_t *no_types(ftc_trainer *trainer, size_t n) {
    if (n > trainer->no_types_capacity) {
        free(trainer->no_types);
        trainer->no_types = allocate(n, sizeof *trainer->no_types);
        trainer->no_types_capacity = n;
    }
    return trainer->no_types;
}

static ftc_error *check_count(const ftc_trainer *trainer, int32_t n) {
    if (n >= 1 && n <= trainer->batch.max_sequences) return NULL;
    return INPUT_ERROR("a batch of %d sequences, but the model %s was compiled for 1 to %lld", n,
                       program_of(trainer)->model, (long long)trainer->batch.max_sequences);
}

// The length between two offsets; -1 where they have none, being negative or out of order.
static int64_t length_between(const int64_t offsets[2]) {
    return offsets[0] >= 0 && offsets[1] >= offsets[0] ? offsets[1] - offsets[0] : -1;
}

static ftc_error *check_length(const ftc_trainer *trainer, int32_t sequence, int64_t length) {
    if (length >= 0 && length <= trainer->batch.max_length) return NULL;
    return INPUT_ERROR("sequence %d has %lld tokens, but the model %s was compiled for 0 to %lld", sequence,
                       (long long)length, program_of(trainer)->model, (long long)trainer->batch.max_length);
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
    sizes->lengths[extent] = allocate((size_t)size->n, sizeof **sizes->lengths);
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
    const ftc_program *program = program_of(trainer);
    bool *given = allocate((size_t)program->n_inputs, sizeof *given);
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
        if (!given[i])
            error = INPUT_ERROR("the input \"%s\" of the model %s is missing", program->inputs[i].name,
                                program->model);
    free(given);
    return error;
}

ftc_error *ftc_trainer_bind_inputs(ftc_trainer *trainer, const ftc_extent_size *extents, int32_t n_extents,
                                   const ftc_input_cells *inputs, int32_t n_inputs) {
    const ftc_program *program = program_of(trainer);
    batch_sizes sizes = {allocate((size_t)program->n_extents, sizeof *sizes.elements),
                         allocate((size_t)program->n_extents, sizeof *sizes.lengths),
                         allocate((size_t)program->n_extents, sizeof *sizes.given)};
    ftc_error *error = NULL;
    trainer->has_batch = false;
    for (int32_t e = 0; e < program->n_extents; e++) sizes.elements[e] = -1;
    for (int32_t i = 0; i < n_extents && !error; i++) error = set_size(program, &sizes, &extents[i]);
    if (!error) error = complete_sizes(program, &sizes);
    if (!error)
        error = status_error(
            ftc_batch_resize(&trainer->batch, sizes.elements, (const int32_t *const *)sizes.lengths, NULL));
    if (!error) error = copy_inputs(trainer, inputs, n_inputs);
    if (!error) error = status_error(ftc_batch_check(&trainer->batch, NULL));
    for (int32_t e = 0; e < program->n_extents; e++) free(sizes.lengths[e]);
    free(sizes.lengths);
    free(sizes.elements);
    free(sizes.given);
    trainer->has_batch = !error;
    return error;
}

static ftc_error *bind(ftc_trainer *trainer, int32_t n, const ftc_dataset *sequences) {
    ftc_error *unfit = status_error(ftc_batch_check_feed(program_of(trainer)));
    if (unfit) return unfit;
    ftc_error *error = status_error(ftc_batch_fill(&trainer->batch, sequences, trainer->order, n));
    trainer->has_batch = !error;
    return error;
}

ftc_error *ftc_trainer_bind(ftc_trainer *trainer, int32_t n, const int32_t *const *ids,
                            const int32_t *const *types, const int32_t *lengths, const float *labels) {
    trainer->has_batch = false;
    ftc_error *error = check_count(trainer, n);
    for (int32_t i = 0; i < n && !error; i++) error = check_length(trainer, i, lengths[i]);
    if (error) return error;
    trainer->packed.n = 0;
    for (int32_t i = 0; i < n; i++) {
        size_t length = (size_t)lengths[i];
        ftc_tokens tokens = {(int32_t *)ids[i], types ? (int32_t *)types[i] : no_types(trainer, length),
                             length, 0};
        ftc_dataset_add(&trainer->packed, &tokens, labels ? labels[i] : 0); // copies the tokens
    }
    return bind(trainer, n, &trainer->packed);
}

ftc_error *ftc_trainer_bind_packed(ftc_trainer *trainer, int32_t n, const int64_t *offsets,
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
    error = status_error(
        ftc_stepper_call(&trainer->stepper, entry, &trainer->batch, (uint32_t)step, trainer->micro_steps));
    if (error) return error;
    if (entry == FTC_ENTRY_GRAD) {
        trainer->micro_steps++;
    } else if (entry != FTC_ENTRY_EVAL) {
        trainer->steps = step;
        trainer->micro_steps = 0;
    }
    const float *value = ftc_stepper_result(&trainer->stepper, watched, entry);
    if (!value || isfinite(*value)) return NULL;
    return status_error(ftc_status_make(
        FTC_FAILED, "%s: step %lld: the %s is %g; try a smaller \"lr\", or clipping", CALLS[entry].function,
        (long long)step, watched == FTC_OUTPUT_NORM ? "grad_norm" : "loss", (double)*value));
}

ftc_error *ftc_trainer_step(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_STEP, FTC_OUTPUT_LOSS);
}

ftc_error *ftc_trainer_grad(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_GRAD, FTC_OUTPUT_LOSS);
}

ftc_error *ftc_trainer_update(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_UPDATE, FTC_OUTPUT_NORM);
}

ftc_error *ftc_trainer_eval(ftc_trainer *trainer) {
    return call(trainer, FTC_ENTRY_EVAL, FTC_OUTPUT_LOSS);
}

const void *ftc_trainer_output(const ftc_trainer *trainer, const char *name, int64_t *cells) {
    const ftc_program *program = program_of(trainer);
    for (int32_t i = 0; i < program->n_outputs; i++) {
        const ftc_output_info *output = &program->outputs[i];
        bool own = is_runtimes_own(output) || !(output->entries & trainer->calls);
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
