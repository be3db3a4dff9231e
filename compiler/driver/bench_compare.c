// What `ftc bench` tells of several programs: each beside the first.
#include "compiler/driver/bench.h"
#include "compiler/driver/ratio.h"
#include "compiler/driver/synthetic.h"
#include "ir/base/alloc.h"
#include "ir/print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *verdict(const ftc_ratio *ratio) {
    if (!ftc_ratio_differs(ratio)) return "no difference seen";
    return ratio->low > 1 ? "slower" : "faster";
}

static double least_of(const double *x, int64_t n) {
    double least = x[0];
    for (int64_t i = 1; i < n; i++) least = fmin(least, x[i]);
    return least;
}

static cJSON *ratio_json(const ftc_ratio *ratio) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "ratio", ratio->median);
    cJSON_AddNumberToObject(object, "low", ratio->low);
    cJSON_AddNumberToObject(object, "high", ratio->high);
    cJSON_AddBoolToObject(object, "differs", ftc_ratio_differs(ratio));
    return object;
}

// " 1.130 | 1.121 to 1.139 | slower |"
static void print_ratio(const ftc_ratio *ratio) {
    printf(" %.3f | %.3f to %.3f | %s |\n", ratio->median, ratio->low, ratio->high, verdict(ratio));
}

// --- kernels ------------------------------------------------------------------------------------------

// The kernels of one line of the model in one phase, on both sides. Which kernels a line becomes may differ:
// that is what is compared.
typedef struct {
    ftc_phase phase;
    int32_t line;
    double *seconds[2]; // [steps]; NULL: that side has none
    char *names[2];     // "tile x 5, rows x 5"
} line_group;

// The kinds of a side's kernels of a group with their counts. To be freed.
static char *names_of(const ftc_bench_side *side, const line_group *group) {
    const ftc_entry *entry = &side->model.program->entries[FTC_ENTRY_STEP];
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    for (int kind = 0; kind <= FTC_KERNEL_EXTERN; kind++) {
        const char *name = ftc_kernel_kind_name((ftc_kernel_kind)kind);
        int32_t n = 0;
        for (int32_t k = 0; k < entry->n_kernels; k++) {
            const ftc_kernel_info *info = &entry->kernel_info[k];
            bool is_of_kind = strncmp(entry->kernels[k], name, strcspn(entry->kernels[k], "0123456789")) == 0;
            n += info->line == group->line && info->phase == group->phase && is_of_kind;
        }
        if (n) fprintf(f, "%s%s x %d", ftell(f) ? ", " : "", name, n);
    }
    return ftc_text_close(&text, NULL);
}

static line_group *group_of(line_group *groups, int32_t *n, const ftc_kernel_info *info) {
    for (int32_t i = 0; i < *n; i++)
        if (groups[i].line == info->line && groups[i].phase == info->phase) return &groups[i];
    groups[*n] = (line_group){.phase = info->phase, .line = info->line};
    return &groups[(*n)++];
}

static void add_side(line_group *groups, int32_t *n, const ftc_bench_side *side, int which, int64_t steps) {
    const ftc_entry *entry = &side->model.program->entries[FTC_ENTRY_STEP];
    for (int32_t k = 0; k < entry->n_kernels; k++) {
        line_group *group = group_of(groups, n, &entry->kernel_info[k]);
        if (!group->seconds[which]) {
            group->seconds[which] = ftc_alloc((size_t)steps, sizeof(double));
            group->names[which] = names_of(side, group);
        }
        for (int64_t i = 0; i < steps; i++)
            group->seconds[which][i] += side->kernel_seconds[i * entry->n_kernels + k];
    }
}

static double most_seconds(const line_group *group, int64_t steps) {
    double most = 0;
    for (int s = 0; s < 2; s++)
        if (group->seconds[s]) most = fmax(most, ftc_median(group->seconds[s], steps));
    return most;
}

static int by_most_seconds(const void *a, const void *b, void *steps) {
    double x = most_seconds(a, *(int64_t *)steps), y = most_seconds(b, *(int64_t *)steps);
    return (x < y) - (x > y);
}

static cJSON *group_json(const line_group *group, int64_t steps) {
    static const char *const KERNELS[] = {"first_kernels", "kernels"}, *const MS[] = {"first_ms", "ms"};
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "line", group->line);
    cJSON_AddStringToObject(object, "phase", ftc_phase_name(group->phase));
    for (int s = 0; s < 2; s++) {
        if (!group->seconds[s]) continue;
        cJSON_AddStringToObject(object, KERNELS[s], group->names[s]);
        cJSON_AddNumberToObject(object, MS[s], 1e3 * ftc_median(group->seconds[s], steps));
    }
    if (group->seconds[0] && group->seconds[1]) {
        ftc_ratio ratio = ftc_ratio_of_pairs(group->seconds[0], group->seconds[1], steps);
        cJSON_AddItemToObject(object, "to_first", ratio_json(&ratio));
    }
    return object;
}

static void print_group(const line_group *group, int64_t steps) {
    printf("| %d | %s |", group->line, ftc_phase_name(group->phase));
    for (int s = 0; s < 2; s++) {
        if (group->seconds[s])
            printf(" %s | %.3f |", group->names[s], 1e3 * ftc_median(group->seconds[s], steps));
        else
            printf(" | |");
    }
    if (group->seconds[0] && group->seconds[1]) {
        ftc_ratio ratio = ftc_ratio_of_pairs(group->seconds[0], group->seconds[1], steps);
        print_ratio(&ratio);
    } else {
        printf(" | | |\n");
    }
}

// The kernels of `other` beside those of `first`, by the model's line, those that take most first. People are
// told of lines that take a hundredth of the step.
static cJSON *compare_kernels(const ftc_bench_side *first, const ftc_bench_side *other,
                              const ftc_bench_options *o) {
    const size_t most = (size_t)(ftc_bench_kernels(first) + ftc_bench_kernels(other));
    line_group *groups = ftc_alloc(most + 1, sizeof *groups);
    int32_t n = 0;
    int64_t steps = o->steps;
    cJSON *list = cJSON_CreateArray();
    add_side(groups, &n, first, 0, steps);
    add_side(groups, &n, other, 1, steps);
    qsort_r(groups, (size_t)n, sizeof *groups, by_most_seconds, &steps);
    if (!o->json) {
        printf("\n| line | phase | %s | ms | %s | ms | ratio | 95 %% | |\n", first->path, other->path);
        printf("|--:|---|---|--:|---|--:|--:|---|---|\n");
    }
    const double least = ftc_median(first->seconds, steps) / 100;
    for (int32_t i = 0; i < n; i++) {
        if (!o->json && most_seconds(&groups[i], steps) >= least) print_group(&groups[i], steps);
        cJSON_AddItemToArray(list, group_json(&groups[i], steps));
        for (int s = 0; s < 2; s++) free(groups[i].seconds[s]), free(groups[i].names[s]);
    }
    free(groups);
    return list;
}

// --- steps --------------------------------------------------------------------------------------------

static cJSON *side_json(const ftc_bench_side *side, const ftc_bench_options *o, int32_t threads) {
    const ftc_entry *entry = &side->model.program->entries[FTC_ENTRY_STEP];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "artifact", side->path);
    cJSON_AddNumberToObject(object, "step_ms_median", 1e3 * ftc_median(side->seconds, o->steps));
    cJSON_AddNumberToObject(object, "step_ms_min", 1e3 * least_of(side->seconds, o->steps));
    cJSON_AddNumberToObject(object, "arena_bytes",
                            (double)(entry->arena_bytes + threads * entry->scratch_bytes));
    cJSON_AddNumberToObject(object, "tokens", (double)side->batch.tokens);
    cJSON_AddNumberToObject(object, "loss", side->loss);
    return object;
}

static void print_side(const ftc_bench_side *side, const ftc_bench_side *first, const ftc_bench_options *o) {
    printf("| %s | %.3f | %.3f |", side->path, 1e3 * ftc_median(side->seconds, o->steps),
           1e3 * least_of(side->seconds, o->steps));
    if (side == first) {
        printf(" | | |\n");
    } else {
        ftc_ratio ratio = ftc_ratio_of_pairs(first->seconds, side->seconds, o->steps);
        print_ratio(&ratio);
    }
}

void ftc_bench_compare(const ftc_bench_side *sides, int32_t n, const ftc_bench_options *o, int32_t threads) {
    if (!o->json) {
        char *sizes = ftc_synthetic_sizes(&sides[0].batch);
        printf("%lld rounds in turns, %s a step, %d threads\n\n", (long long)o->steps, sizes, threads);
        free(sizes);
        printf("| step | median, ms | least, ms | ratio | 95 %% | |\n|---|--:|--:|--:|---|---|\n");
        for (int32_t s = 0; s < n; s++) print_side(&sides[s], &sides[0], o);
    }
    cJSON *object = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(object, "sides");
    cJSON_AddNumberToObject(object, "rounds", (double)o->steps);
    cJSON_AddNumberToObject(object, "threads", threads);
    for (int32_t s = 0; s < n; s++) {
        cJSON *side = side_json(&sides[s], o, threads);
        cJSON_AddItemToArray(list, side);
        if (s == 0) continue;
        ftc_ratio ratio = ftc_ratio_of_pairs(sides[0].seconds, sides[s].seconds, o->steps);
        cJSON_AddItemToObject(side, "to_first", ratio_json(&ratio));
        if (o->kernels) cJSON_AddItemToObject(side, "kernels", compare_kernels(&sides[0], &sides[s], o));
    }
    if (o->json)
        ftc_bench_print(object, true);
    else
        cJSON_Delete(object);
}
