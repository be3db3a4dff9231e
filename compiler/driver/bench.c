// ftc bench: the time of the step alone, beside what the machine can do.
#include "compiler/driver/blas.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/model.h"
#include "compiler/driver/peak.h"
#include "compiler/driver/synthetic.h"
#include "ir/print.h"
#include "ir/base/clock.h"
#include "runtime/loop/metrics.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/stepper.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct {
    int64_t batch, length, steps, warmup, threads;
    bool json, peak, kernels;
} bench_options;

#define FIELD(name) offsetof(bench_options, name)
static const ftc_option OPTIONS[] = {
    {"batch", NULL, FTC_OPTION_INT, FIELD(batch), "N", 1, "sequences; the model's bound unless set"},
    {"length", NULL, FTC_OPTION_INT, FIELD(length), "N", 1, "tokens of each; the model's bound unless set"},
    {"steps", NULL, FTC_OPTION_INT, FIELD(steps), "N", 1, "steps to time"},
    {"warmup", NULL, FTC_OPTION_INT, FIELD(warmup), "N", 0, "steps before that"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1, "threads; one a processor unless set"},
    {"kernels", NULL, FTC_OPTION_FLAG, FIELD(kernels), NULL, 0,
     "time, share of peak and bytes of every kernel too"},
    {"peak", NULL, FTC_OPTION_FLAG, FIELD(peak), NULL, 0, "only measure what the machine can do"},
    {"json", NULL, FTC_OPTION_FLAG, FIELD(json), NULL, 0, "print one JSON object"},
    {0},
};
#undef FIELD

static void print_object(cJSON *object, bool json) {
    if (json) {
        char *line = ftc_metrics_line(object);
        puts(line);
        free(line);
    } else {
        for (const cJSON *item = object->child; item; item = item->next) {
            if (cJSON_IsNumber(item)) printf("%-20s %.6g\n", item->string, item->valuedouble);
            if (cJSON_IsString(item)) printf("%-20s %s\n", item->string, item->valuestring);
        }
    }
    cJSON_Delete(object);
}

static void print_peak(ftc_threads *threads, bool json) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "peak_gflops", ftc_peak_gflops(threads));
    cJSON_AddNumberToObject(object, "threads", ftc_threads_count(threads));
    cJSON_AddStringToObject(object, "vectors", ftc_peak_vectors());
    print_object(object, json);
}

// --- the measurement ----------------------------------------------------------------------------------

// Sums over the timed steps, by kernel.
typedef struct {
    uint64_t *ticks; // [n + 1] of one step
    double *sums;    // [n] cycles
    int32_t n;
} kernel_times;

typedef struct {
    double *seconds; // [steps], sorted in the end
    kernel_times kernels;
    int64_t tokens; // a step
    double *counts; // [n_counts] of the batch
    double flops;   // nominal, a step
    double peak_gflops;
    double loss;
} result;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void set_scalars(ftc_stepper *stepper) {
    ftc_stepper_set(stepper, "lr", 1e-5);
}

static ftc_status time_steps(ftc_stepper *stepper, const ftc_batch *batch, const bench_options *o,
                             result *r) {
    for (int64_t i = 0; i < o->warmup + o->steps; i++) {
        double start = ftc_clock_seconds();
        FTC_RETURN_IF_ERROR(ftc_stepper_call(stepper, FTC_ENTRY_STEP, batch, (uint32_t)i + 1, 0));
        if (i < o->warmup) continue;
        r->seconds[i - o->warmup] = ftc_clock_seconds() - start;
        for (int32_t k = 0; stepper->ticks && k < r->kernels.n; k++) {
            r->kernels.sums[k] += (double)(stepper->ticks[k + 1] - stepper->ticks[k]);
        }
    }
    qsort(r->seconds, (size_t)o->steps, sizeof *r->seconds, by_value);
    const float *loss = ftc_stepper_result(stepper, FTC_OUTPUT_LOSS, FTC_ENTRY_STEP);
    r->loss = loss ? (double)*loss : 0;
    return FTC_STATUS_OK;
}

static ftc_status measure_with(const ftc_program *program, const bench_options *o, ftc_threads *threads,
                               ftc_model_state *state, ftc_stepper *stepper, ftc_batch *batch, result *r) {
    ftc_sgemm_fn *sgemm = NULL;
    uint32_t entries = 1u << FTC_ENTRY_STEP;
    if (program->needs_sgemm) FTC_RETURN_IF_ERROR(ftc_blas_open(&sgemm));
    FTC_RETURN_IF_ERROR(ftc_program_check_memory(program, entries, ftc_threads_count(threads)));
    FTC_RETURN_IF_ERROR(ftc_batch_create(program, batch));
    FTC_RETURN_IF_ERROR(ftc_model_state_create(program, entries, state));
    ftc_model_state_init(state, 1);
    FTC_RETURN_IF_ERROR(ftc_stepper_create(program, state, threads, entries, sgemm, stepper));
    set_scalars(stepper);

    const ftc_synthetic sizes = {.sequences = o->batch ? o->batch : batch->max_sequences,
                                 .length = o->length ? o->length : batch->max_length,
                                 .seed = 1};
    FTC_RETURN_IF_ERROR(ftc_synthetic_fill(batch, &sizes));
    r->tokens = batch->tokens;
    r->counts = calloc((size_t)program->n_counts + 1, sizeof *r->counts);
    if (!r->counts) abort();
    memcpy(r->counts, batch->counts, (size_t)program->n_counts * sizeof *r->counts);
    r->flops = ftc_program_cost(program, program->nominal_flops, r->counts);
    r->kernels.n = program->entries[FTC_ENTRY_STEP].n_kernels;
    if (o->kernels)
        stepper->ticks = r->kernels.ticks = calloc((size_t)r->kernels.n + 1, sizeof *stepper->ticks);
    r->kernels.sums = calloc((size_t)r->kernels.n + 1, sizeof *r->kernels.sums);
    r->seconds = calloc((size_t)o->steps, sizeof *r->seconds);
    if (!r->kernels.sums || !r->seconds || (o->kernels && !stepper->ticks)) abort();
    FTC_RETURN_IF_ERROR(time_steps(stepper, batch, o, r));
    r->peak_gflops = ftc_peak_gflops(threads);
    return FTC_STATUS_OK;
}

static ftc_status measure(const ftc_program *program, const bench_options *o, ftc_threads *threads,
                          result *r) {
    ftc_model_state state = {0};
    ftc_stepper stepper = {0};
    ftc_batch batch = {0};
    ftc_status status = measure_with(program, o, threads, &state, &stepper, &batch, r);
    ftc_batch_free(&batch);
    ftc_stepper_free(&stepper);
    ftc_model_state_free(&state);
    return status;
}

// --- the report ---------------------------------------------------------------------------------------

// What is known of a kernel, or of the same kernel of all layers. Seconds are those of a mean step.
typedef struct {
    const char *name; // of the first
    ftc_kernel_info info;
    int32_t calls;
    double seconds, flops, bytes;
} kernel_line;

// Every kernel's share of the step, as the clock of thread 0 saw it. To be freed.
static kernel_line *list_kernels(const ftc_program *program, const result *r, const bench_options *o) {
    const ftc_entry *entry = &program->entries[FTC_ENTRY_STEP];
    double total = 0, seconds = 0;
    for (int32_t k = 0; k < r->kernels.n; k++) total += r->kernels.sums[k];
    for (int64_t i = 0; i < o->steps; i++) seconds += r->seconds[i];
    kernel_line *lines = calloc((size_t)r->kernels.n + 1, sizeof *lines);
    if (!lines) abort();
    for (int32_t k = 0; k < r->kernels.n; k++) {
        const ftc_kernel_info *info = &entry->kernel_info[k];
        lines[k] = (kernel_line){entry->kernels[k],
                                 *info,
                                 1,
                                 r->kernels.sums[k] / total * seconds / (double)o->steps,
                                 ftc_program_cost(program, info->flops, r->counts),
                                 ftc_program_cost(program, info->bytes, r->counts)};
    }
    return lines;
}

static cJSON *kernels_json(const kernel_line *lines, const result *r) {
    double total = 0;
    for (int32_t k = 0; k < r->kernels.n; k++) total += lines[k].seconds;
    cJSON *list = cJSON_CreateArray();
    for (int32_t k = 0; k < r->kernels.n; k++) {
        const kernel_line *l = &lines[k];
        cJSON *kernel = cJSON_CreateObject();
        cJSON_AddStringToObject(kernel, "kernel", l->name);
        cJSON_AddStringToObject(kernel, "phase", ftc_phase_name(l->info.phase));
        cJSON_AddNumberToObject(kernel, "line", l->info.line);
        cJSON_AddNumberToObject(kernel, "ms", 1e3 * l->seconds);
        cJSON_AddNumberToObject(kernel, "share", l->seconds / total);
        cJSON_AddNumberToObject(kernel, "gflop", l->flops / 1e9);
        cJSON_AddNumberToObject(kernel, "megabytes", l->bytes / 1e6);
        if (l->info.plain) cJSON_AddStringToObject(kernel, "plain", l->info.plain);
        cJSON_AddItemToArray(list, kernel);
    }
    return list;
}

// Kernels of one kind from one line of the model, phase and cost are those of its layers.
static bool is_same(const kernel_line *a, const kernel_line *b) {
    size_t kind = strcspn(a->name, "0123456789");
    return strncmp(a->name, b->name, kind) == 0 && strcspn(b->name, "0123456789") == kind &&
           a->info.line == b->info.line && a->info.phase == b->info.phase &&
           !memcmp(&a->info.flops, &b->info.flops, sizeof a->info.flops) &&
           !memcmp(&a->info.bytes, &b->info.bytes, sizeof a->info.bytes);
}

static int by_seconds(const void *a, const void *b) {
    double x = ((const kernel_line *)a)->seconds, y = ((const kernel_line *)b)->seconds;
    return (x < y) - (x > y);
}

// The kernels that take the most time first, those of the layers summed, as a Markdown table.
static void print_kernels(const kernel_line *lines, const result *r) {
    kernel_line *groups = calloc((size_t)r->kernels.n + 1, sizeof *groups), all = {.name = "all"};
    if (!groups) abort();
    int32_t n = 0;
    for (int32_t k = 0; k < r->kernels.n; k++) {
        int32_t i = 0;
        while (i < n && !is_same(&groups[i], &lines[k])) i++;
        if (i == n) groups[n++] = (kernel_line){.name = lines[k].name, .info = lines[k].info};
        kernel_line *sums[] = {&groups[i], &all};
        for (int s = 0; s < 2; s++) {
            sums[s]->calls++;
            sums[s]->seconds += lines[k].seconds;
            sums[s]->flops += lines[k].flops;
            sums[s]->bytes += lines[k].bytes;
        }
    }
    qsort(groups, (size_t)n, sizeof *groups, by_seconds);
    groups[n++] = all;
    printf("| kernel | phase | line | calls | ms | of the step | GFLOP | GFLOP/s | of peak | MB | GB/s |\n");
    printf("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (int32_t i = 0; i < n; i++) {
        const kernel_line *l = &groups[i];
        printf("| %s%s%s | %s | %d | %d | %.2f | %.1f %% |", l->name, l->info.plain ? " plain: " : "",
               l->info.plain ? l->info.plain : "", i + 1 < n ? ftc_phase_name(l->info.phase) : "",
               l->info.line, l->calls, 1e3 * l->seconds, 100 * l->seconds / all.seconds);
        if (l->flops > 0)
            printf(" %.2f | %.1f | %.0f %% |", l->flops / 1e9, l->flops / l->seconds / 1e9,
                   100 * l->flops / l->seconds / 1e9 / r->peak_gflops);
        else
            printf(" | | |");
        printf(" %.1f | %.1f |\n", l->bytes / 1e6, l->bytes / l->seconds / 1e9);
    }
    printf("\n");
    free(groups);
}

// Rates are those of the fastest step, as the peak is the best of its measurements.
static void report(const ftc_program *program, const bench_options *o, const result *r, int32_t threads) {
    const ftc_entry *entry = &program->entries[FTC_ENTRY_STEP];
    ftc_work work = ftc_entry_work(program, FTC_ENTRY_STEP, r->counts);
    double fastest = r->seconds[0], gflops = r->flops / fastest / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "step_ms_min", fastest * 1e3);
    cJSON_AddNumberToObject(object, "step_ms_median", r->seconds[o->steps / 2] * 1e3);
    cJSON_AddNumberToObject(object, "tokens_per_second", (double)r->tokens / fastest);
    cJSON_AddNumberToObject(object, "gflops", gflops);
    cJSON_AddNumberToObject(object, "peak_gflops", r->peak_gflops);
    cJSON_AddNumberToObject(object, "share_of_peak", gflops / r->peak_gflops);
    cJSON_AddNumberToObject(object, "nominal_gflop", r->flops / 1e9);
    cJSON_AddNumberToObject(object, "executed_gflop", work.flops / 1e9);
    cJSON_AddNumberToObject(object, "arena_bytes",
                            (double)(entry->arena_bytes + threads * entry->scratch_bytes));
    cJSON_AddNumberToObject(object, "peak_rss_bytes", (double)usage.ru_maxrss * 1024);
    cJSON_AddNumberToObject(object, "compile_seconds", program->compile_seconds);
    cJSON_AddNumberToObject(object, "threads", threads);
    cJSON_AddNumberToObject(object, "tokens", (double)r->tokens);
    cJSON_AddNumberToObject(object, "loss", r->loss);
    if (program->needs_sgemm) cJSON_AddStringToObject(object, "openblas", ftc_blas_kernels());
    if (o->kernels) {
        kernel_line *kernels = list_kernels(program, r, o);
        if (!o->json) print_kernels(kernels, r);
        cJSON_AddItemToObject(object, "kernels", kernels_json(kernels, r));
        free(kernels);
    }
    print_object(object, o->json);
}

static int bench(const ftc_command *self, const char *path, ftc_model_options *model_options,
                 const bench_options *o, ftc_threads *threads) {
    ftc_diagnostics d = {0};
    ftc_model_candidate candidate;
    ftc_model model;
    char *why = NULL;
    result r = {0};
    if (!ftc_model_find(path, model_options, &candidate, &d)) return ftc_diag_report(&d);
    model_options->batch = o->batch;
    model_options->max_length = o->length;
    if (!ftc_model_finish(&candidate, model_options, 1u << FTC_ENTRY_STEP, &model, &why, &d))
        return ftc_diag_report(&d);
    if (why) fprintf(stderr, "compiled %s again: %s\n", path, why);
    free(why);
    ftc_status status = measure(model.program, o, threads, &r);
    if (status.code == FTC_OK) report(model.program, o, &r, ftc_threads_count(threads));
    free(r.seconds);
    free(r.counts);
    free(r.kernels.ticks);
    free(r.kernels.sums);
    ftc_model_close(&model);
    return ftc_status_report(self->name, status);
}

int ftc_command_bench(const ftc_command *self, int argc, char **argv) {
    bench_options options = {.steps = 10, .warmup = 2};
    ftc_model_options model = ftc_model_options_default();
    ftc_option_group groups[] = {{"Options", OPTIONS, &options},
                                 {"Compiling (as for ftc compile)", ftc_model_option_table, &model},
                                 {"Weights (as for ftc compile)", ftc_weights_option_table, &model},
                                 {0}};
    ftc_text_list words = {0};
    ftc_threads *threads = NULL;
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    if (parsed != FTC_CLI_OK) {
        // told already
    } else if (options.peak ? words.n != 0 : words.n != 1) {
        code = ftc_cli_error(self->name, "one artifact or MODEL.ir is expected, or --peak alone");
    } else {
        int32_t n = options.threads ? (int32_t)options.threads : ftc_threads_available();
        code = ftc_status_report(self->name, ftc_threads_create(n, &threads));
        if (code == FTC_EXIT_OK && options.peak) print_peak(threads, options.json);
        if (code == FTC_EXIT_OK && !options.peak)
            code = bench(self, words.items[0], &model, &options, threads);
        ftc_threads_free(threads);
    }
    ftc_text_list_free(&words);
    ftc_model_options_free(&model);
    return code;
}
