// ftc run: trains a model.
#include "compiler/driver/blas.h"
#include "compiler/driver/class_weights.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/data.h"
#include "compiler/driver/model.h"
#include "compiler/driver/run_options.h"
#include "compiler/driver/trace.h"
#include "ir/base/alloc.h"
#include "ir/base/clock.h"
#include "ir/lang/parse.h"
#include "runtime/files.h"
#include "runtime/hub/adapter.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/hub/pooling.h"
#include "runtime/loop/metrics.h"
#include "runtime/loop/folder.h"
#include "runtime/report/summary.h"
#include "runtime/report/tensorboard.h"
#include "runtime/loop/train.h"
#include "runtime/loop/world.h"
#include "runtime/text/shown.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// --- what it prints -----------------------------------------------------------------------------------

// Where metrics and progress go.
typedef struct {
    FILE *metrics;    // NULL: nowhere
    bool loses_lines; // and has told it
    bool steps_too;   // step lines as well, not only evaluations and the end
    bool is_terminal; // of standard error: a bar that is redrawn, else now and then a line
    bool shows_progress;
    bool bar_is_drawn;
    double last_progress;   // on the clock
    ftc_tensorboard events; // for TensorBoard, if asked for
    const char *model;      // the file
    const ftc_model_options *model_options;
} console;

static void clear_bar(console *c) {
    if (c->bar_is_drawn) fputs("\r\033[K", stderr);
    c->bar_is_drawn = false;
}

// Nobody reads any more what was read so far, as of `ftc run | head`: the lines are dropped, the training
// goes on.
static void drop_metrics(console *c) {
    clear_bar(c);
    fputs("ftc run: nobody reads the metrics any more; they are dropped from here on, the training goes on\n",
          stderr);
    bool is_stdout = c->metrics == stdout;
    FILE *nowhere = is_stdout ? freopen("/dev/null", "w", stdout) : NULL; // also what it still holds
    (void)nowhere;
    if (!is_stdout) fclose(c->metrics);
    c->metrics = NULL;
}

static void on_log(void *context, const cJSON *line) {
    console *c = context;
    ftc_tensorboard_log(&c->events, line);
    if (!c->metrics || (!c->steps_too && cJSON_HasObjectItem(line, "loss"))) return;
    char *text = ftc_metrics_line(line);
    if (c->metrics == stdout) clear_bar(c);
    fprintf(c->metrics, "%s\n", text);
    int error = fflush(c->metrics) != 0 ? errno : 0;
    free(text);
    if (error == EPIPE) drop_metrics(c);
    if (!error || error == EPIPE || c->loses_lines) return;
    clear_bar(c);
    fprintf(stderr, "ftc run: the metrics cannot be written (%s); the training goes on\n", strerror(error));
    c->loses_lines = true;
}

static void on_progress(void *context, const ftc_progress *progress) {
    console *c = context;
    double now = ftc_clock_seconds();
    bool is_end = progress->done == progress->total;
    if (!c->shows_progress || (!is_end && now - c->last_progress < (c->is_terminal ? 0.1 : 10))) return;
    char text[256];
    ftc_progress_format(progress, c->is_terminal ? 20 : 0, text, sizeof text);
    if (c->is_terminal) {
        fprintf(stderr, "\r%s\033[K", text);
        c->bar_is_drawn = true;
    } else {
        fprintf(stderr, "%s\n", text);
    }
    c->last_progress = now;
}

static void on_note(void *context, const char *text) {
    clear_bar(context);
    ftc_shown_write(stderr, text, strlen(text), false);
    fputc('\n', stderr);
}

static void on_evaluated(void *context, const ftc_evaluation *e, const ftc_epoch_scores *train) {
    clear_bar(context);
    fprintf(stderr, "epoch %.4g", train->epoch);
    if (!isnan(train->loss)) fprintf(stderr, "  loss %.4f", train->loss);
    if (!isnan(train->accuracy)) fprintf(stderr, "  accuracy %.4f", train->accuracy);
    fprintf(stderr, "  test loss %.4f", e->loss);
    if (e->scoring == FTC_SCORE_VALUES) {
        fprintf(stderr, "  pearson %.4f  spearman %.4f", e->values.pearson, e->values.spearman);
    } else if (e->scoring == FTC_SCORE_SPANS) {
        fprintf(stderr, "  accuracy %.4f  precision %.4f  recall %.4f  f1 %.4f", e->spans.accuracy,
                e->spans.micro.precision, e->spans.micro.recall, e->spans.micro.f1);
    } else if (e->scoring == FTC_SCORE_CLASSES) {
        fprintf(stderr, "  accuracy %.4f  f1 %.4f  matthews %.4f", e->classes.accuracy, e->classes.f1,
                e->classes.matthews);
    } else if (e->scoring == FTC_SCORE_LABELS) {
        fprintf(stderr, "  all labels right %.4f  f1 micro %.4f  macro %.4f", e->labels.accuracy,
                e->labels.f1_micro, e->labels.f1_macro);
    }
    for (int32_t i = 0; i < e->program->n_outputs; i++)
        if (e->program->outputs[i].role == FTC_OUTPUT_METRIC)
            fprintf(stderr, "  %s %.4f", e->program->outputs[i].name, e->metrics[i]);
    fprintf(stderr, "  (%lld example%s in %.1f s)\n", (long long)e->samples, e->samples == 1 ? "" : "s",
            e->seconds);
}

static char *on_trace(void *context, const ftc_stepper *stepper, const ftc_batch *batch, uint32_t step,
                      uint32_t micro_step) {
    console *c = context;
    clear_bar(c);
    return ftc_trace_not_finite(c->model, c->model_options, stepper, batch, step, micro_step);
}

static void print_names(const char *title, const char *const *names, int32_t n) {
    enum { MOST = 8 };
    if (n == 0) return;
    fprintf(stderr, "%s", title);
    for (int32_t i = 0; i < n && i < MOST; i++) {
        fputs(i ? ", " : " ", stderr);
        ftc_shown_write(stderr, names[i], strlen(names[i]), true);
    }
    if (n > MOST) fprintf(stderr, " and %d more", n - MOST);
    fputc('\n', stderr);
}

static void print_model(const ftc_program *program, int32_t threads, const ftc_world *world) {
    fprintf(stderr, "model %s: %.1f M parameters, %s, %d thread%s", program->model,
            (double)ftc_program_parameters(program) / 1e6, program->precision, threads,
            threads == 1 ? "" : "s");
    if (world->size > 1) fprintf(stderr, " in each of %d processes (%s)", world->size, world->library);
    fputc('\n', stderr);
    const char *task = ftc_program_task(program);
    if (task) fprintf(stderr, "task: %s\n", task);
}

static void print_data(const ftc_training_data *data, const ftc_data_options *options) {
    fprintf(stderr, "data: %lld example%s of %s", (long long)data->train.n, data->train.n == 1 ? "" : "s",
            options->train);
    if (data->has_test)
        fprintf(stderr, ", %lld of %s", (long long)data->test.n,
                options->test ? options->test : "it to test");
    fprintf(stderr, "; %lld tokens (at most %d a text) in %.2f s%s\n",
            (long long)(ftc_dataset_tokens(&data->train) + ftc_dataset_tokens(&data->test)), data->max_length,
            data->seconds, data->from_cache ? ", from the cache" : "");
    const char *class = data->tokenizer ? ftc_tokenizer_other_class(data->tokenizer) : NULL;
    if (class)
        fprintf(stderr,
                "  cut as tokenizer.json says; transformers 5 cuts otherwise, by %s (--tokenizer-by-class): "
                "what is "
                "saved names PreTrainedTokenizerFast, which follows the file\n",
                class);
    char *labels = ftc_labels_describe(&data->labels);
    fprintf(stderr, "labels: %s\n", labels);
    free(labels);
    if (data->labels.occurring && data->labels.occurring < data->labels.count)
        fprintf(stderr, "  %d of the model's %d classes occur in %s\n", data->labels.occurring,
                data->labels.count, options->train);
}

// --- signals ------------------------------------------------------------------------------------------

static volatile sig_atomic_t stop_signal, model_is_saved, is_silent; // silent: another process tells

// For handlers.
static void tell_at_once(const char *text) {
    if (is_silent) return;
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

// The first signal ends the training at the next step, after a checkpoint; the second, or one that comes when
// only card and report are left to write, ends the run at once. They come one after the other: the handler
// blocks them all, and the pool's threads take none.
static void on_signal(int number) {
    if (stop_signal) _exit(128 + number);
    stop_signal = number;
    if (model_is_saved) {
        tell_at_once("\nftc run: interrupted; the model is saved, its report is not\n");
        _exit(128 + number);
    }
    tell_at_once("\nftc run: saving a checkpoint; once more to end at once\n");
}

static void catch_signals(void) {
    static const int NUMBERS[] = {SIGINT, SIGTERM, SIGHUP};
    enum { COUNT = sizeof NUMBERS / sizeof *NUMBERS };
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, was;
    for (int i = 0; i < COUNT; i++) sigaddset(&action.sa_mask, NUMBERS[i]);
    for (int i = 0; i < COUNT; i++) {
        bool is_ignored = sigaction(NUMBERS[i], NULL, &was) == 0 && was.sa_handler == SIG_IGN; // nohup
        if (!is_ignored) sigaction(NUMBERS[i], &action, NULL);
    }
}

// --- the run ------------------------------------------------------------------------------------------

// The newest .ftc of the current folder, allocated; NULL when there is none. It is code that nobody has
// named: *is_own says whether it is the user's, and nobody else may write it.
static char *newest_artifact(bool *is_own) {
    DIR *dir = opendir(".");
    char *newest = NULL;
    struct timespec newest_time = {0};
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t n = strlen(entry->d_name);
        struct stat info;
        if (n < 5 || strcmp(entry->d_name + n - 4, ".ftc") != 0 || stat(entry->d_name, &info) != 0) continue;
        struct timespec t = info.st_mtim;
        if (newest && (t.tv_sec < newest_time.tv_sec ||
                       (t.tv_sec == newest_time.tv_sec && t.tv_nsec < newest_time.tv_nsec))) {
            continue;
        }
        free(newest);
        newest = ftc_strdup(entry->d_name);
        newest_time = t;
        *is_own = info.st_uid == geteuid() && !(info.st_mode & (S_IWGRP | S_IWOTH));
    }
    if (dir) closedir(dir);
    return newest;
}

// What a run holds; all of it is freed at the end however far it came.
typedef struct {
    const char *path; // of the model
    const ftc_world *world;
    ftc_run_options options;
    ftc_model model;
    ftc_threads *threads;
    ftc_training_data data;
    ftc_model_state state;
    console console;
    ftc_folder output;
    char *merged_source; // --lora-merge: the model's text without adapters
    bool is_saved;       // the model, at the end
} run;

// Of several processes, the first one writes and tells; the others tell only what ends them.
static bool is_first(const run *r) {
    return r->world->rank == 0;
}

// Adapters of masked language models train without the head, which is pretrained: it must be there.
static ftc_status check_head(const ftc_program *program, const ftc_load_report *report) {
    if (!ftc_program_masks(program) || !ftc_adapter_in(program) || !report->n_initialized)
        return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s: lacks %s, and --lora trains adapters alone: a head for masked tokens would "
                           "stay random; name a directory that has one (a …ForMaskedLM), or leave out --lora",
                           program->pretrained, report->initialized[0]);
}

// Parameters: from the pretrained directory, or from the seed.
static ftc_status load_weights(run *r) {
    const ftc_program *program = r->model.program;
    const ftc_train_options *train = &r->options.run.train;
    uint64_t seed = (uint64_t)train->seed;
    uint32_t entries = ftc_train_entries(train, r->data.has_test);
    FTC_RETURN_IF_ERROR(ftc_model_state_create(program, entries, r->world, &r->state));
    if (train->resume) return FTC_STATUS_OK; // the checkpoint has them
    if (!program->pretrained) {
        ftc_model_state_init(&r->state, seed);
        if (is_first(r)) fprintf(stderr, "weights: random, from seed %lld\n", (long long)train->seed);
        return FTC_STATUS_OK;
    }
    ftc_load_report report;
    FTC_RETURN_IF_ERROR(ftc_model_state_load(&r->state, program->pretrained, seed, &report));
    if (is_first(r)) {
        fprintf(stderr, "weights: %s\n", program->pretrained);
        print_names("  newly initialized:", report.initialized, report.n_initialized);
        print_names("  not used:", (const char *const *)report.unused, report.n_unused);
        const char *pooling = ftc_pooling_of(program->pretrained);
        if (pooling && ftc_program_texts_per_row(program) == 1)
            fprintf(
                stderr,
                "  a folder of sentence-transformers: its pooling (%s) is ignored, the model's text has its "
                "own\n",
                pooling);
    }
    ftc_status status = check_head(program, &report);
    ftc_load_report_free(&report);
    return status;
}

// What the weights are from, as the directory's config.json names it, else the directory's own name.
// Allocated.
static char *base_model(const char *dir) {
    ftc_hf_config *config = NULL;
    const char *name = NULL;
    ftc_status status = ftc_hf_config_read(dir, &config); // read before, when the weights were loaded
    bool is_hub_name = status.code == FTC_OK && ftc_hf_config_text(config, "_name_or_path", &name) && *name &&
                       *name != '.' && *name != '/';
    char *base = is_hub_name ? ftc_strdup(name) : ftc_summary_base_name(dir);
    ftc_status_free(&status);
    ftc_hf_config_free(config);
    return base;
}

static int64_t peak_rss_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss * 1024;
}

// Writes the model card and the report.
static ftc_status write_summary(const run *r, const ftc_train_result *result) {
    const ftc_run_options *o = &r->options;
    const ftc_program *program = r->model.program;
    if (!o->run.train.output || !is_first(r)) return FTC_STATUS_OK;
    char *base = program->pretrained ? base_model(program->pretrained) : NULL;
    const ftc_summary summary = {
        .program = program,
        .options = &o->run.train,
        .result = result,
        .base_model = base,
        .is_adapter = ftc_adapter_in(program) && !r->merged_source,
        .train_file = o->data.train,
        .test_file = o->data.test,
        .labels = &r->data.labels,
        .train = &r->data.train,
        .test_table = r->data.test_table ? r->data.test_table : r->data.train_table,
        .test_rows = r->data.test_rows.rows,
        .test = r->data.has_test ? &r->data.test : NULL,
        .max_length = r->data.max_length,
        .threads = ftc_threads_count(r->threads),
        .slice = ftc_world_slice(r->world),
        .peak_rss_bytes = peak_rss_bytes(),
    };
    ftc_status status = ftc_summary_save(&summary, !o->run.no_report);
    free(base);
    if (status.code == FTC_OK && !o->run.no_report)
        fprintf(stderr, "report: %s/report.html\n", o->run.train.output);
    return status;
}

// Metrics take the place of earlier ones, and of nothing else: data, say.
static ftc_status check_metrics_file(const char *path) {
    static const char START[] = "{\"step\":";
    char text[sizeof START] = "";
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) return FTC_STATUS_OK;
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, strlen(START), f) : 0;
    if (f) fclose(f);
    if (n == strlen(START) && memcmp(text, START, n) == 0) return FTC_STATUS_OK;
    return ftc_status_make(
        FTC_BAD_INPUT,
        "--metrics %s: the file has something else in it, which would be lost; choose another "
        "name, or remove it",
        path);
}

// Before there is work for them. A folder in --output is made with that.
static ftc_status check_metrics(const run *r) {
    const char *path = r->options.run.metrics, *output = r->options.run.train.output;
    size_t n = output ? strlen(output) : 0;
    if (!path || !is_first(r)) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(check_metrics_file(path));
    bool is_in_output = n && strncmp(path, output, n) == 0 && path[n] == '/';
    if (is_in_output || ftc_file_can_be_written(path, false)) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: cannot write the metrics: %s", path, strerror(errno));
}

// Before there is work for them, as well.
static ftc_status check_events(const run *r) {
    const ftc_run_flags *flags = &r->options.run;
    if (flags->report_to == FTC_REPORT_TO_NONE || !flags->logging_dir || !is_first(r) ||
        ftc_dir_can_be_made(flags->logging_dir))
        return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "--logging-dir %s: cannot write there: %s", flags->logging_dir,
                           strerror(errno));
}

static ftc_status open_metrics(run *r) {
    const char *path = r->options.run.metrics;
    r->console = (console){
        .metrics = is_first(r) ? stdout : NULL,
        .steps_too = path || !isatty(STDOUT_FILENO), // a person at a terminal has the progress bar
        .is_terminal = isatty(STDERR_FILENO),
        .shows_progress = !r->options.run.disable_progress,
        .model = r->path ? r->path : r->model.program->model,
        .model_options = &r->options.model,
    };
    if (!path || !is_first(r)) return FTC_STATUS_OK;
    r->console.metrics = fopen(path, r->options.run.train.resume ? "a" : "w");
    if (r->console.metrics) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: cannot write the metrics: %s", path, strerror(errno));
}

// Whether all lines of --metrics have arrived.
static ftc_status close_metrics(run *r) {
    FILE *metrics = r->console.metrics;
    if (!metrics || metrics == stdout) return FTC_STATUS_OK; // of standard output, main tells
    bool arrived = !ferror(metrics);
    r->console.metrics = NULL;
    errno = 0;
    if (fclose(metrics) == 0 && arrived) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: cannot write all of the metrics%s%s", r->options.run.metrics,
                           errno ? ": " : "; is the disk full?", errno ? strerror(errno) : "");
}

// Begins the event file, with the run's options and the model's configuration.
static ftc_status open_events(run *r, const ftc_hf_config_extra *config) {
    const ftc_run_flags *flags = &r->options.run;
    if (flags->report_to == FTC_REPORT_TO_NONE || !is_first(r)) return FTC_STATUS_OK;
    char *dir =
        flags->logging_dir ? ftc_strdup(flags->logging_dir) : ftc_tensorboard_dir(flags->train.output);
    ftc_status status = ftc_tensorboard_open(dir, &r->console.events);
    cJSON *json = NULL;
    r->output.is_kept = status.code == FTC_OK;
    if (status.code == FTC_OK) status = ftc_hf_config_make(r->model.program, config, &json);
    if (status.code == FTC_OK) {
        ftc_option_group groups[FTC_RUN_OPTION_GROUPS];
        ftc_run_option_groups(&r->options, groups);
        char *args = ftc_option_group_json(&groups[0]), *text = cJSON_Print(json);
        ftc_tensorboard_text(&r->console.events, "args", args);
        ftc_tensorboard_text(&r->console.events, "model_config", text);
        fprintf(stderr, "events: %s\n", dir);
        free(args);
        free(text);
    }
    cJSON_Delete(json);
    free(dir);
    return status;
}

// --lora-merge: what is saved then is a model like any other.
static ftc_status make_merged_source(run *r) {
    const ftc_program *program = r->model.program;
    static const ftc_override NONE = {"lora", "", "--lora-merge", FTC_OVERRIDE_TRAIN};
    if (!r->options.run.lora_merge) return FTC_STATUS_OK;
    if (!ftc_adapter_in(program))
        return ftc_status_make(FTC_BAD_INPUT,
                               "--lora-merge: the model has no adapters; --lora says which modules get some");
    ftc_diagnostics d = {0};
    r->merged_source = ftc_parse_override(program->model, program->source, &(ftc_settings){&NONE, 1}, &d);
    ftc_diag_free(&d);
    return FTC_STATUS_OK;
}

static ftc_status train(run *r) {
    const ftc_program *program = r->model.program;
    const ftc_run_options *o = &r->options;
    ftc_sgemm_fn *sgemm = NULL;
    int32_t threads =
        o->run.threads ? (int32_t)o->run.threads : ftc_world_threads(r->world, ftc_threads_available());
    FTC_RETURN_IF_ERROR(ftc_threads_create(threads, &r->threads));
    if (program->needs_sgemm) FTC_RETURN_IF_ERROR(ftc_blas_open(&sgemm));
    uint32_t entries = ftc_train_entries(&o->run.train, o->data.test || o->data.split_test > 0);
    FTC_RETURN_IF_ERROR(ftc_program_check_memory(program, entries, threads, ftc_world_slice(r->world)));
    if (is_first(r)) print_model(program, threads, r->world);
    FTC_RETURN_IF_ERROR(ftc_data_read(program, &o->data, program->pretrained, r->threads, &r->data));
    if (is_first(r)) print_data(&r->data, &o->data);
    FTC_RETURN_IF_ERROR(load_weights(r));
    FTC_RETURN_IF_ERROR(open_metrics(r));
    FTC_RETURN_IF_ERROR(make_merged_source(r));
    const ftc_model_files files = {
        .config = {.base_dir = program->pretrained,
                   .labels = (const char *const *)r->data.labels.names,
                   .n_labels = r->data.labels.count,
                   .problem_type = ftc_program_problem_type(program),
                   .of_pairs =
                       ftc_program_texts_per_row(program) == 1 && ftc_table_has_pairs(r->data.train_table)},
        .tokenizer_dir = r->data.tokenizer ? r->data.tokenizer_dir : NULL,
        .tokenizer_by_class = o->data.tokenizer_by_class,
        .merged_source = r->merged_source,
        .max_length = r->data.max_length,
    };
    FTC_RETURN_IF_ERROR(open_events(r, &files.config));
    if (o->run.train.output && is_first(r))
        FTC_RETURN_IF_ERROR(ftc_model_check_output(o->run.train.output, program, &files));
    const ftc_training training = {
        .program = program,
        .state = &r->state,
        .threads = r->threads,
        .sgemm = sgemm,
        .train = &r->data.train,
        .test = r->data.has_test ? &r->data.test : NULL,
        .options = &o->run.train,
        .files = &files,
        .events = is_first(r) ? (ftc_train_events){&r->console, on_log, on_evaluated, on_progress, on_note,
                                                   on_trace, NULL}
                              : (ftc_train_events){.context = &r->console, .trace = on_trace},
        .world = r->world,
        .stop = &stop_signal,
    };
    catch_signals();
    ftc_train_result result;
    FTC_RETURN_IF_ERROR(ftc_train(&training, &result));
    model_is_saved = r->is_saved = true;
    ftc_status metrics = close_metrics(r), events = ftc_tensorboard_close(&r->console.events);
    ftc_status status = stop_signal ? ftc_status_make(FTC_INTERRUPTED, "interrupted before it was written")
                                    : write_summary(r, &result);
    ftc_train_result_free(&result);
    if (status.code != FTC_OK) ftc_status_free(&metrics);
    if (status.code != FTC_OK || metrics.code != FTC_OK) ftc_status_free(&events);
    status = ftc_status_annotate(status, "the model is saved, its card and report are not");
    return status.code != FTC_OK ? status : metrics.code != FTC_OK ? metrics : events;
}

static void free_run(run *r) {
    if (r->console.metrics && r->console.metrics != stdout) fclose(r->console.metrics);
    ftc_status events = ftc_tensorboard_close(&r->console.events); // of a run that has failed already
    ftc_status_free(&events);
    ftc_model_state_free(&r->state);
    ftc_training_data_free(&r->data);
    if (r->options.data.decoded >= 0) close(r->options.data.decoded);
    ftc_threads_free(r->threads);
    ftc_model_close(&r->model);
    ftc_folder_release(&r->output, r->is_saved);
    free(r->merged_source);
    ftc_run_options_free(&r->options);
}

// Takes --output, before anything is written there or anywhere else.
static ftc_status claim_output(run *r) {
    const ftc_run_flags *flags = &r->options.run;
    const char *resume = flags->train.resume;
    const ftc_folder_request request = {.dir = flags->train.output,
                                        .continues = resume && strcmp(resume, "last") == 0,
                                        .overwrite = flags->overwrite,
                                        .metrics = flags->metrics,
                                        .events = flags->report_to ? flags->logging_dir : NULL};
    return request.dir && is_first(r) ? ftc_folder_claim(&request, &r->output) : FTC_STATUS_OK;
}

static ftc_status check_resumes(const ftc_train_options *o) {
    char *checkpoint;
    FTC_RETURN_IF_ERROR(ftc_train_find_checkpoint(o, &checkpoint, NULL));
    free(checkpoint);
    return FTC_STATUS_OK;
}

// What inputs of the model's text take the label of a row as; FTC_LABEL_NONE: as neither a class nor several
// labels, or the model is compiled already.
static ftc_label_kind label_of_text(const ftc_graph *g) {
    for (uint32_t i = 0; g && i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        if (decl->kind != FTC_DECL_INPUT || decl->from != FTC_FROM_LABEL) continue;
        if (decl->type.dtype == FTC_I32) return FTC_LABEL_CLASS; // also of tokens
        if (decl->type.dtype == FTC_F32 && decl->type.axes.n == 2) return FTC_LABEL_SEVERAL;
    }
    return FTC_LABEL_NONE;
}

static bool has_set(const ftc_model_options *options, const char *name) {
    for (size_t i = 0; i < options->set.n; i++) {
        const char *set = options->set.items[i];
        size_t n = strcspn(set, "=");
        if (n == strlen(name) && strncmp(set, name, n) == 0) return true;
    }
    return false;
}

// Whether the model's text has a number of classes that is but its default: neither --set nor a directory
// says it.
static bool takes_classes_of_data(const ftc_model_candidate *c, const ftc_model_options *options) {
    const ftc_graph *g = c->source.graph;
    const char *entry = NULL;
    if (c->texts.config && ftc_hf_label_count(c->texts.pretrained, c->texts.config)) return false;
    for (uint32_t i = 0; i < g->n_config; i++) {
        const ftc_graph_setting *setting = &g->config[i];
        if (setting->hf_name && strcmp(setting->hf_name, FTC_HF_LABELS) == 0 && setting->number > 1)
            entry = setting->name;
    }
    return entry && !has_set(options, entry) && !has_set(options, FTC_HF_LABELS);
}

// Whether the label of the model's text is one of each token.
static bool labels_tokens(const ftc_graph *g) {
    for (uint32_t i = 0; i < g->n_decls; i++)
        if (g->decls[i].kind == FTC_DECL_INPUT && g->decls[i].from == FTC_FROM_LABEL &&
            g->decls[i].type.dtype == FTC_I32 && g->decls[i].type.axes.n == 2)
            return true;
    return false;
}

// Whether the model's text has a task, and no option says which.
static bool has_open_task(const ftc_graph *g, const ftc_model_options *options) {
    const ftc_graph_setting *task = g ? ftc_graph_config(g, FTC_CONFIG_TASK) : NULL;
    return task && !options->task && !has_set(options, task->name);
}

// Lets data that are labelled words say that the task is to label tokens, where no option says what it is.
static ftc_status settle_task(const ftc_model_candidate *c, ftc_run_options *options) {
    const ftc_graph *g = c->source.graph;
    ftc_model_options *model = &options->model;
    bool is_open = has_open_task(g, model) && options->data.train;
    options->data.words = g && labels_tokens(g);
    if (!is_open || options->data.words) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(ftc_data_has_words(&options->data, &options->data.words));
    if (options->data.words) model->task = "tokens";
    return FTC_STATUS_OK;
}

// Whether nobody says that the task is to find one class of a text: it may be to find several.
static bool takes_task_of_data(const ftc_model_candidate *c, const ftc_model_options *options) {
    const ftc_graph *g = c->source.graph;
    const ftc_graph_setting *loss = ftc_graph_config(g, FTC_CONFIG_LOSS);
    return has_open_task(g, options) && loss && strcmp(loss->text, "auto") == 0 &&
           strcmp(ftc_graph_config(g, FTC_CONFIG_TASK)->text, "classification") == 0;
}

// Lets the data say where nothing else does how many classes there are, and whether a text has several of
// them.
static ftc_status settle_labels(const ftc_model_candidate *c, ftc_run_options *options) {
    ftc_label_kind label = label_of_text(c->source.graph);
    if (!options->data.train || label == FTC_LABEL_NONE) return FTC_STATUS_OK;
    bool several = label == FTC_LABEL_SEVERAL;
    bool may_find = !several && takes_task_of_data(c, &options->model);
    bool counts = takes_classes_of_data(c, &options->model);
    int classes = 0;
    if (!may_find && !counts) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(ftc_data_count_classes(&options->data, may_find, &several, counts ? &classes : NULL));
    options->model.labels = classes;
    if (!may_find || !several) return FTC_STATUS_OK;
    options->model.task = "multi_label";
    if (!options->data.is_silent)
        fprintf(stderr, "%s: a text has several labels (%s): --task multi_label\n", options->data.train,
                options->data.label_columns ? "--label-columns" : "there are lists of them");
    return FTC_STATUS_OK;
}

// A number of the config block, of a text or of what was compiled.
static double config_number(const ftc_model_candidate *c, const char *hf_name) {
    const ftc_graph *g = c->source.graph;
    const ftc_program *program = c->artifact.program;
    for (uint32_t i = 0; g && i < g->n_config; i++)
        if (g->config[i].hf_name && strcmp(g->config[i].hf_name, hf_name) == 0) return g->config[i].number;
    for (int32_t i = 0; program && i < program->n_config; i++)
        if (program->config[i].hf_name && strcmp(program->config[i].hf_name, hf_name) == 0)
            return program->config[i].number;
    return 0;
}

// What --class-weights asks for, as an entry of config.
static ftc_status settle_class_weights(const ftc_model_candidate *c, ftc_run_options *options) {
    const char *asked = options->run.class_weights;
    const ftc_model_options *model = &options->model;
    if (!asked || !options->data.train) return FTC_STATUS_OK;
    double count = model->labels ? (double)model->labels : config_number(c, FTC_HF_LABELS);
    bool several = (model->task && strcmp(model->task, "multi_label") == 0) ||
                   label_of_text(c->source.graph) == FTC_LABEL_SEVERAL ||
                   (c->artifact.program && ftc_program_label(c->artifact.program) == FTC_LABEL_SEVERAL);
    bool has_none = c->source.graph && label_of_text(c->source.graph) == FTC_LABEL_NONE;
    if (has_none || count < 1 || (count == 1 && !several))
        return ftc_status_make(FTC_BAD_INPUT, "--class-weights: the model's labels are no classes");
    char *weights;
    FTC_RETURN_IF_ERROR(
        ftc_class_weights(&options->data, asked, several, (int32_t)count, c->pretrained, &weights));
    ftc_text_list_add(&options->owned, weights);
    options->model.class_weights = weights;
    return FTC_STATUS_OK;
}

// Finds the model, settles the options, takes the output, compiles where needed.
static bool prepare(const ftc_command *self, int argc, char **argv, const char *path, run *r) {
    ftc_diagnostics d = {0};
    ftc_model_candidate candidate;
    char *why = NULL;
    r->path = path;
    if (!ftc_model_find(path, &r->options.model, &candidate, &d)) {
        ftc_diag_report(self->name, &d);
        return false;
    }
    r->options.data.is_silent = !is_first(r);
    if (!ftc_run_options_resolve(self, argc, argv, &candidate, &r->options)) {
        ftc_model_candidate_free(&candidate);
        return false;
    }
    r->options.run.train.shards = r->options.run.shards ? r->options.run.shards : r->world->size;
    const ftc_train_options *o = &r->options.run.train;
    bool with_test = r->options.data.test || r->options.data.split_test > 0;
    if (o->warmup_ratio > 0 && is_first(r))
        fprintf(stderr, "warmup_ratio is gone from transformers 5; --warmup-steps %g says the same\n",
                o->warmup_ratio);
    ftc_status status = ftc_train_check(o, with_test, false);
    if (status.code == FTC_OK) status = check_resumes(o);
    if (status.code == FTC_OK) status = check_metrics(r);
    if (status.code == FTC_OK) status = check_events(r);
    if (status.code == FTC_OK && r->options.data.train) status = ftc_data_decode(&r->options.data);
    if (status.code == FTC_OK) status = settle_task(&candidate, &r->options);
    if (status.code == FTC_OK) status = settle_labels(&candidate, &r->options);
    if (status.code == FTC_OK) status = settle_class_weights(&candidate, &r->options);
    if (status.code == FTC_OK) status = claim_output(r);
    if (status.code != FTC_OK) {
        ftc_model_candidate_free(&candidate);
        ftc_status_report(self->name, status);
        return false;
    }
    bool ok =
        ftc_model_finish(&candidate, &r->options.model, ftc_train_entries(o, with_test), &r->model, &why, &d);
    if (!ok) ftc_diag_report(self->name, &d);
    if (ok && why && is_first(r)) fprintf(stderr, "compiled %s again: %s\n", path, why);
    free(why);
    return ok;
}

// Of several processes, one that fails ends the others.
static int run_in_world(const ftc_command *self, int argc, char **argv, const char *path, run *r) {
    ftc_status status = ftc_world_open(&r->world);
    if (status.code != FTC_OK) return ftc_status_report(self->name, status);
    is_silent = !is_first(r);
    bool ends_together = false;
    int code = FTC_EXIT_USAGE;
    if (prepare(self, argc, argv, path, r)) {
        status = train(r);
        ends_together = status.code == FTC_OK || status.code == FTC_INTERRUPTED;
        if (ends_together && !is_first(r)) ftc_status_free(&status); // the first process tells
        code = ftc_status_report(self->name, status);
    }
    if (ends_together)
        r->world->end();
    else
        r->world->fail(code);
    return code;
}

int ftc_command_run(const ftc_command *self, int argc, char **argv) {
    run r = {.options = ftc_run_options_default()};
    ftc_option_group groups[FTC_RUN_OPTION_GROUPS];
    ftc_text_list positional = {0};
    char *newest = NULL;
    signal(SIGPIPE, SIG_IGN); // of lines that nobody reads
    ftc_run_option_groups(&r.options, groups);
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &positional);
    int code = ftc_cli_exit(parsed);
    const char *path = positional.n > 0 ? positional.items[0] : NULL;
    bool is_own = true;
    bool by_directory = !path && r.options.model.pretrained;
    if (parsed == FTC_CLI_OK && !path && !by_directory) path = newest = newest_artifact(&is_own);
    if (parsed != FTC_CLI_OK) {
        // told already
    } else if (positional.n > 1) {
        code = ftc_cli_error(self->name, "one model is expected, not also %s", positional.items[1]);
    } else if (!path && !by_directory) {
        code = ftc_cli_error(
            self->name, "there is no .ftc in this folder; make one with ftc compile MODEL.ir, or name the "
                        "directory of a model with --pretrained DIR");
    } else if (!is_own) {
        code = ftc_cli_error(
            self->name,
            "%s is the newest .ftc of this folder, but not yours alone to write, and an artifact is "
            "code: if you trust it, name it (ftc run %s)",
            path, path);
    } else {
        code = run_in_world(self, argc, argv, path, &r);
    }
    free_run(&r);
    free(newest);
    ftc_text_list_free(&positional);
    return code;
}
