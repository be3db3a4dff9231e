// libftc: errors, nets and texts, as ftc.h declares them, on top of the driver's models.
#include "compiler/api/internal.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/text/tokenizer.h"

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

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;

static void release(void *mutex, size_t bytes) {
    (void)bytes;
    pthread_mutex_unlock(mutex);
}

void ftc_api_lock(void) {
    pthread_mutex_lock(&process_lock);
    ftc_care_begin(&process_lock, 0, release);
}

void ftc_api_unlock(void) {
    ftc_care_end(&process_lock);
    pthread_mutex_unlock(&process_lock);
}

void *ftc_api_allocate(size_t n, size_t size) {
    return ftc_alloc(n, size);
}

char *ftc_api_copy(const char *text) {
    return text ? ftc_strdup(text) : NULL;
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
    ftc_error *error = ftc_api_allocate(1, sizeof *error);
    *error = (ftc_error){status, message};
    return error;
}

static ftc_error out_of_memory = {FTC_EXIT_USAGE, "out of memory"};

ftc_error *ftc_api_given_up(const ftc_scope *scope) {
    ftc_error *error = ftc_alloc_or_null(sizeof *error);
    char *why = ftc_alloc_or_null(sizeof scope->why);
    if (error && why) {
        *error = (ftc_error){FTC_EXIT_USAGE, strcpy(why, scope->why)};
        return error;
    }
    free(error);
    free(why);
    return &out_of_memory;
}

// Takes `status`; NULL when it is no failure.
ftc_error *ftc_api_error(ftc_status status) {
    if (status.code == FTC_OK) return NULL;
    return make_error(status.code == FTC_BAD_INPUT ? FTC_EXIT_USAGE : FTC_EXIT_FAILED, status.message);
}

// Takes the diagnostics.
ftc_error *ftc_api_diagnostics(ftc_diagnostics *d) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    int kept = d->count < FTC_MAX_DIAGNOSTICS ? d->count : FTC_MAX_DIAGNOSTICS;
    for (int i = 0; i < kept; i++) fputs(d->list[i].text, f);
    if (d->count > kept) fprintf(f, "and %d more errors\n", d->count - kept);
    size_t size;
    char *message = ftc_text_close(&text, &size);
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
    if (!error || error == &out_of_memory) return;
    free(error->message);
    free(error);
}

// --- the net ------------------------------------------------------------------------------------------

// Whether only the runtime reads an output.
bool ftc_api_is_internal(const ftc_output_info *output) {
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
    net->extents = ftc_api_allocate((size_t)program->n_extents, sizeof *net->extents);
    for (int32_t i = 0; i < program->n_extents; i++) {
        const ftc_extent_info *e = &program->extents[i];
        const char *over = e->ragged_over < 0 ? NULL : program->extents[e->ragged_over].name;
        net->extents[i] = (ftc_extent_desc){e->name, over, e->least, e->bound};
    }
    net->inputs = ftc_api_allocate((size_t)program->n_inputs, sizeof *net->inputs);
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        net->inputs[i] = (ftc_input_desc){.name = input->name,
                                          .from = ftc_input_role_name(input->role),
                                          .type = (ftc_element)input->dtype,
                                          .bound = input->bound,
                                          .rank = input->rank};
        describe_axes(program, input->axes, input->rank, net->inputs[i].axes);
    }
    net->outputs = ftc_api_allocate((size_t)program->n_outputs, sizeof *net->outputs);
    for (int32_t i = 0; i < program->n_outputs; i++) {
        const ftc_output_info *output = &program->outputs[i];
        if (ftc_api_is_internal(output)) continue;
        ftc_output_desc *desc = &net->outputs[net->n_outputs++];
        *desc = (ftc_output_desc){.name = output->name,
                                  .as = ftc_output_role_name(output->role),
                                  .type = (ftc_element)output->dtype,
                                  .calls = output->entries,
                                  .rank = output->rank};
        describe_axes(program, output->axes, output->rank, desc->axes);
    }
}

static void describe(ftc_net *net) {
    const ftc_program *program = net->model.program;
    net->tensors = ftc_api_allocate((size_t)program->n_tensors, sizeof *net->tensors);
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
    net->scalars = ftc_api_allocate((size_t)program->n_scalars, sizeof *net->scalars);
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
    char *name = equals ? ftc_strndup(text, (size_t)(equals - text)) : ftc_api_copy(text), why[160];
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

// The graphs that take the place of calls' own.
static bool set_graphs(const ftc_net_options *from, ftc_model_options *to, ftc_diagnostics *d) {
    static const char *const NAMES[] = {"graph of step", "graph of grad", "graph of update", "graph of eval"};
    _Static_assert(sizeof NAMES / sizeof *NAMES == FTC_ENTRY_COUNT, "entries");
    for (int32_t i = 0; i < from->n_graphs; i++) {
        const ftc_graph_text *graph = &from->graphs[i];
        int entry = ftc_api_entry(graph->call);
        if (entry < 0) {
            ftc_diag_add(d, NULL, NULL, 0, 0, "graphs[%d].call is %#x: expected one of FTC_CALL_STEP, …",
                         (int)i, graph->call);
            return false;
        }
        if (!graph->text) {
            ftc_diag_add(d, NULL, NULL, 0, 0, "graphs[%d].text is NULL", (int)i);
            return false;
        }
        if (to->graph_texts[entry].text) {
            ftc_diag_add(d, NULL, NULL, 0, 0, "graphs[%d]: there is another %s before", (int)i, NAMES[entry]);
            return false;
        }
        to->graph_texts[entry] = (ftc_dump){graph->name ? graph->name : NAMES[entry], graph->text};
    }
    return true;
}

bool ftc_api_set_options(const ftc_net_options *from, ftc_model_options *to, ftc_diagnostics *d) {
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
    for (const char *const *file = from->kernels; file && *file; file++)
        ftc_text_list_add(&to->kernels, *file);
    to->schedule_text = from->edits;
    bool ok = set_graphs(from, to, d);
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

static void keep_options(ftc_net *net, const ftc_net_options *options) {
    size_t n = 0;
    while (options->options && options->options[n]) n++;
    net->options = ftc_api_allocate(n + 1, sizeof *net->options);
    for (size_t i = 0; i < n; i++) net->options[i] = ftc_api_copy(options->options[i]);
}

static void describe_times(ftc_net *net, const ftc_compile_times *times) {
    _Static_assert(sizeof(((ftc_time_desc *)0)->seconds) == FTC_ENTRY_COUNT * sizeof(double), "entries");
    net->n_times = times->n;
    net->times = ftc_api_allocate((size_t)times->n + 1, sizeof *net->times);
    for (int i = 0; i < times->n; i++) {
        net->times[i] = (ftc_time_desc){.name = times->list[i].name, .is_of_all = times->list[i].is_of_all};
        memcpy(net->times[i].seconds, times->list[i].seconds, sizeof net->times[i].seconds);
    }
}

static ftc_error *net_open(const char *path, const ftc_net_options *options, ftc_net **out) {
    static const ftc_net_options DEFAULTS = {0};
    if (!options) options = &DEFAULTS;
    ftc_net net = {0};
    ftc_diagnostics d = {0};
    ftc_model_options model = ftc_model_options_default();
    ftc_compile_times times = {0};
    bool ok = ftc_api_set_options(options, &model, &d);
    model.times = &times;
    if (ok) {
        ftc_api_lock();
        ok = open_model(path, &model, options->calls, &net, &d);
        ftc_api_unlock();
    }
    ftc_model_options_free(&model);
    if (!ok) {
        free(net.recompiled);
        return ftc_api_diagnostics(&d);
    }
    describe(&net);
    describe_times(&net, &times);
    keep_options(&net, options);
    ftc_net *opened = ftc_api_allocate(1, sizeof *opened);
    *opened = net;
    *out = opened;
    return NULL;
}

ftc_error *ftc_net_open(const char *path, const ftc_net_options *options, ftc_net **out) {
    return FTC_GUARDED(net_open(path, options, out));
}

static ftc_error *close_model(ftc_net *net) {
    ftc_api_lock();
    ftc_model_close(&net->model);
    ftc_api_unlock();
    return NULL;
}

void ftc_net_free(ftc_net *net) {
    if (!net) return;
    ftc_error_free(FTC_GUARDED(close_model(net)));
    for (char **option = net->options; *option; option++) free(*option);
    free(net->options);
    free(net->recompiled);
    free(net->tensors);
    free(net->extents);
    free(net->inputs);
    free(net->scalars);
    free(net->outputs);
    free(net->times);
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

const ftc_time_desc *ftc_net_times(const ftc_net *net, int32_t *n) {
    *n = net->n_times;
    return net->times;
}

// --- texts --------------------------------------------------------------------------------------------

static ftc_error *tokenizer_load(const char *directory, ftc_tokenizer **out) {
    return ftc_api_error(ftc_tokenizer_open(directory, out));
}

ftc_error *ftc_tokenizer_load(const char *directory, ftc_tokenizer **out) {
    return FTC_GUARDED(tokenizer_load(directory, out));
}

static ftc_error *tokenizer_load_by_class(const char *directory, ftc_tokenizer **out) {
    return ftc_api_error(ftc_tokenizer_open_as(directory, true, out));
}

ftc_error *ftc_tokenizer_load_by_class(const char *directory, ftc_tokenizer **out) {
    return FTC_GUARDED(tokenizer_load_by_class(directory, out));
}

static ftc_status save_tokenizer(const ftc_tokenizer *tokenizer, const char *directory) {
    FTC_RETURN_IF_ERROR(ftc_dir_make(directory));
    return ftc_hf_tokenizer_copy(ftc_tokenizer_directory(tokenizer), ftc_tokenizer_is_by_class(tokenizer),
                                 directory);
}

static ftc_error *tokenizer_save(const ftc_tokenizer *tokenizer, const char *directory) {
    return ftc_api_error(save_tokenizer(tokenizer, directory));
}

ftc_error *ftc_tokenizer_save(const ftc_tokenizer *tokenizer, const char *directory) {
    return FTC_GUARDED(tokenizer_save(tokenizer, directory));
}

void ftc_tokenizer_free(ftc_tokenizer *tokenizer) {
    ftc_tokenizer_close(tokenizer);
}

static ftc_error *tokenize(const ftc_tokenizer *tokenizer, const char *text, const char *pair,
                           int32_t max_length, int32_t *ids, int32_t *types, int32_t *count) {
    ftc_tokens tokens = {0};
    ftc_error *error = ftc_api_error(ftc_tokenizer_encode(tokenizer, text, pair, max_length, &tokens));
    if (!error) {
        if (tokens.count) memcpy(ids, tokens.ids, tokens.count * sizeof *ids);
        if (types && tokens.count) memcpy(types, tokens.types, tokens.count * sizeof *types);
        *count = (int32_t)tokens.count;
    }
    ftc_tokens_free(&tokens);
    return error;
}

ftc_error *ftc_tokenize(const ftc_tokenizer *tokenizer, const char *text, const char *pair,
                        int32_t max_length, int32_t *ids, int32_t *types, int32_t *count) {
    return FTC_GUARDED(tokenize(tokenizer, text, pair, max_length, ids, types, count));
}
