// What `ftc bench` tells of one program.
#include "compiler/artifact.h"
#include "compiler/codegen/target.h"
#include "compiler/driver/bench.h"
#include "compiler/driver/blas.h"
#include "compiler/driver/peak.h"
#include "compiler/driver/ratio.h"
#include "compiler/driver/synthetic.h"
#include "ir/base/alloc.h"
#include "ir/base/clock.h"
#include "ir/print.h"
#include "runtime/loop/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void ftc_bench_print(cJSON *object, bool json) {
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

ftc_kernel_line *ftc_bench_kernel_lines(const ftc_bench_side *side, const ftc_bench_options *o) {
    const ftc_program *program = side->model.program;
    const ftc_entry *entry = &program->entries[FTC_ENTRY_STEP];
    const int32_t n = entry->n_kernels;
    ftc_kernel_line *lines = ftc_alloc((size_t)n + 1, sizeof *lines);
    for (int32_t k = 0; k < n; k++) {
        const ftc_kernel_info *info = &entry->kernel_info[k];
        double seconds = 0;
        for (int64_t i = 0; i < o->steps; i++) seconds += side->kernel_seconds[i * n + k];
        lines[k] = (ftc_kernel_line){entry->kernels[k],
                                     *info,
                                     1,
                                     seconds / (double)o->steps,
                                     ftc_program_cost(program, info->flops, side->batch.counts),
                                     ftc_program_cost(program, info->bytes, side->batch.counts)};
    }
    return lines;
}

static cJSON *kernels_json(const ftc_kernel_line *lines, int32_t n_lines) {
    double total = 0;
    for (int32_t k = 0; k < n_lines; k++) total += lines[k].seconds;
    cJSON *list = cJSON_CreateArray();
    for (int32_t k = 0; k < n_lines; k++) {
        const ftc_kernel_line *l = &lines[k];
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
static bool is_same(const ftc_kernel_line *a, const ftc_kernel_line *b) {
    size_t kind = strcspn(a->name, "0123456789");
    return strncmp(a->name, b->name, kind) == 0 && strcspn(b->name, "0123456789") == kind &&
           a->info.line == b->info.line && a->info.phase == b->info.phase && a->flops == b->flops &&
           a->bytes == b->bytes;
}

static int by_seconds(const void *a, const void *b) {
    double x = ((const ftc_kernel_line *)a)->seconds, y = ((const ftc_kernel_line *)b)->seconds;
    return (x < y) - (x > y);
}

// The kernels that take the most time first, those of the layers summed, as a Markdown table.
static void print_kernels(const ftc_kernel_line *lines, int32_t n_lines, double peak_gflops) {
    ftc_kernel_line *groups = ftc_alloc((size_t)n_lines + 1, sizeof *groups), all = {.name = "all"};
    int32_t *first = ftc_alloc((size_t)n_lines + 1, sizeof *first), n = 0; // of each group
    for (int32_t k = 0; k < n_lines; k++) {
        int32_t i = 0;
        while (i < n && !is_same(&lines[first[i]], &lines[k])) i++;
        if (i == n) {
            first[n] = k;
            groups[n++] = (ftc_kernel_line){.name = lines[k].name, .info = lines[k].info};
        }
        ftc_kernel_line *sums[] = {&groups[i], &all};
        for (int s = 0; s < 2; s++) {
            sums[s]->calls++;
            sums[s]->seconds += lines[k].seconds;
            sums[s]->flops += lines[k].flops;
            sums[s]->bytes += lines[k].bytes;
        }
    }
    free(first);
    qsort(groups, (size_t)n, sizeof *groups, by_seconds);
    groups[n++] = all;
    printf("| kernel | phase | line | calls | ms | of the step | GFLOP | GFLOP/s | of peak | MB | GB/s |\n");
    printf("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (int32_t i = 0; i < n; i++) {
        const ftc_kernel_line *l = &groups[i];
        printf("| %s%s%s | %s | %d | %d | %.2f | %.1f %% |", l->name, l->info.plain ? " plain: " : "",
               l->info.plain ? l->info.plain : "", i + 1 < n ? ftc_phase_name(l->info.phase) : "",
               l->info.line, l->calls, 1e3 * l->seconds, 100 * l->seconds / all.seconds);
        if (l->flops > 0)
            printf(" %.2f | %.1f | %.0f %% |", l->flops / 1e9, l->flops / l->seconds / 1e9,
                   100 * l->flops / l->seconds / 1e9 / peak_gflops);
        else
            printf(" | | |");
        printf(" %.1f | %.1f |\n", l->bytes / 1e6, l->bytes / l->seconds / 1e9);
    }
    printf("\n");
    free(groups);
}

static void add_sizes(cJSON *object, const ftc_batch *batch) {
    char *sizes = ftc_synthetic_sizes(batch);
    cJSON_AddStringToObject(object, "sizes", sizes);
    free(sizes);
}

static void add_exchange(cJSON *object, const ftc_bench_side *side, const ftc_bench_options *o) {
    const ftc_bench_exchange *e = &side->exchange;
    const double steps = (double)o->steps;
    cJSON_AddNumberToObject(object, "processes", o->world->size);
    cJSON_AddNumberToObject(object, "bytes_sent", e->bytes_sent / steps);
    cJSON_AddNumberToObject(object, "exchange_ms", e->seconds / steps * 1e3);
    cJSON_AddNumberToObject(object, "exchange_hidden", e->seconds > 0 ? 1 - e->waited / e->seconds : 0);
    cJSON_AddNumberToObject(object, "waited_ms", e->waited / steps * 1e3);
    cJSON_AddNumberToObject(object, "apart_step_ms_median", ftc_median(e->apart_seconds, o->steps) * 1e3);
    cJSON_AddNumberToObject(object, "apart_waited_ms", e->apart_waited / steps * 1e3);
}

// Rates are those of the fastest step, as the peak is the best of its measurements.
void ftc_bench_report(const ftc_bench_side *side, const ftc_bench_options *o, ftc_threads *pool) {
    const ftc_program *program = side->model.program;
    const int32_t threads = ftc_threads_count(pool);
    // What its own instructions can do, whatever else the machine has.
    const int vector_bits = ftc_target_vector_bits(ftc_program_manifest(side->model.loaded)->cpu_features);
    const double peak_gflops = ftc_peak_gflops_by(pool, vector_bits, ftc_clock_seconds);
    const ftc_entry *entry = &program->entries[side->entry];
    ftc_work work = ftc_entry_work(program, side->entry, side->batch.counts);
    double fastest = side->seconds[0];
    for (int64_t i = 1; i < o->steps; i++) fastest = fmin(fastest, side->seconds[i]);
    const double gflops = side->flops / fastest / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "step_ms_min", fastest * 1e3);
    cJSON_AddNumberToObject(object, "step_ms_median", ftc_median(side->seconds, o->steps) * 1e3);
    if (side->batch.rows.tokens >= 0)
        cJSON_AddNumberToObject(object, "tokens_per_second", (double)side->batch.tokens / fastest);
    cJSON_AddNumberToObject(object, "gflops", gflops);
    cJSON_AddNumberToObject(object, "peak_gflops", peak_gflops);
    cJSON_AddStringToObject(object, "vectors", ftc_peak_vectors(vector_bits));
    cJSON_AddNumberToObject(object, "share_of_peak", gflops / peak_gflops);
    cJSON_AddNumberToObject(object, "nominal_gflop", side->flops / 1e9);
    cJSON_AddNumberToObject(object, "executed_gflop", work.flops / 1e9);
    cJSON_AddNumberToObject(object, "arena_bytes",
                            (double)(entry->arena_bytes + threads * entry->scratch_bytes));
    cJSON_AddNumberToObject(object, "peak_rss_bytes", (double)usage.ru_maxrss * 1024);
    cJSON_AddNumberToObject(object, "compile_seconds", program->compile_seconds);
    cJSON_AddNumberToObject(object, "threads", threads);
    if (side->shards) add_exchange(object, side, o);
    if (side->batch.rows.tokens >= 0)
        cJSON_AddNumberToObject(object, "tokens", (double)side->batch.tokens);
    else
        add_sizes(object, &side->batch);
    cJSON_AddNumberToObject(object, "loss", side->loss);
    if (program->needs_sgemm) cJSON_AddStringToObject(object, "openblas", ftc_blas_kernels());
    if (o->kernels) {
        ftc_kernel_line *kernels = ftc_bench_kernel_lines(side, o);
        if (!o->json) print_kernels(kernels, ftc_bench_kernels(side), peak_gflops);
        cJSON_AddItemToObject(object, "kernels", kernels_json(kernels, ftc_bench_kernels(side)));
        free(kernels);
    }
    ftc_bench_print(object, o->json);
}
