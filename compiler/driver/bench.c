// ftc bench: the time of the step alone, beside what the machine can do; or of several programs, in turns.
#include "compiler/driver/bench.h"
#include "compiler/driver/blas.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/peak.h"
#include "compiler/driver/ratio.h"
#include "compiler/driver/synthetic.h"
#include "ir/base/alloc.h"
#include "ir/base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELD(name) offsetof(ftc_bench_options, name)
static const ftc_option OPTIONS[] = {
    {"batch", NULL, FTC_OPTION_INT, FIELD(batch), "N", 1, "sequences; the model's bound unless set"},
    {"length", NULL, FTC_OPTION_INT, FIELD(length), "N", 1, "tokens of each; the model's bound unless set"},
    {"steps", NULL, FTC_OPTION_INT, FIELD(steps), "N", 1,
     "steps to time; 10 unless set, 30 of each where there are several"},
    {"warmup", NULL, FTC_OPTION_INT, FIELD(warmup), "N", 0, "steps before that"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1, "threads; one a processor unless set"},
    {"kernels", NULL, FTC_OPTION_FLAG, FIELD(kernels), NULL, 0,
     "time, share of peak and bytes of every kernel too"},
    {"peak", NULL, FTC_OPTION_FLAG, FIELD(peak), NULL, 0,
     "only measure what the machine can do, with the vectors of --target"},
    {"json", NULL, FTC_OPTION_FLAG, FIELD(json), NULL, 0, "print one JSON object"},
    {0},
};
#undef FIELD

static void print_peak(ftc_threads *threads, const ftc_bench_options *o) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "peak_gflops",
                            ftc_peak_gflops_by(threads, o->vector_bits, ftc_clock_seconds));
    cJSON_AddNumberToObject(object, "threads", ftc_threads_count(threads));
    cJSON_AddStringToObject(object, "vectors", ftc_peak_vectors(o->vector_bits));
    ftc_bench_print(object, o->json);
}

// --- the measurement ----------------------------------------------------------------------------------

int32_t ftc_bench_kernels(const ftc_bench_side *side) {
    return side->model.program->entries[FTC_ENTRY_STEP].n_kernels;
}

static uint32_t entries_of(const ftc_bench_options *o) {
    return o->world->size > 1 ? 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_UPDATE : 1u << FTC_ENTRY_STEP;
}

// Sequences would be cut at the model's bound.
static ftc_status check_length(const ftc_bench_side *side, int64_t length) {
    const ftc_program *program = side->model.program;
    int64_t most = 0;
    for (int32_t e = 0; e < program->n_extents; e++) {
        const ftc_extent_info *extent = &program->extents[e];
        if (extent->ragged_over >= 0 && extent->bound > most) most = extent->bound;
    }
    if (length <= most) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT,
                           "--length %lld: sequences of %s have at most %lld; compile it for longer ones",
                           (long long)length, side->path, (long long)most);
}

// The data of a rank.
static ftc_status fill(ftc_bench_side *side, const ftc_bench_options *o, int32_t rank) {
    const ftc_synthetic sizes = {.sequences = o->batch ? o->batch : INT64_MAX,
                                 .length = o->length ? o->length : INT64_MAX,
                                 .seed = (uint64_t)rank + 1};
    FTC_RETURN_IF_ERROR(check_length(side, o->length));
    return ftc_synthetic_fill(&side->batch, &sizes);
}

static ftc_status prepare_exchange(ftc_bench_side *side, const ftc_bench_options *o) {
    FTC_RETURN_IF_ERROR(
        ftc_shards_create(&side->state, o->world, o->world->size, FTC_WIRE_FP32, &side->shards));
    side->stepper.shards = side->shards;
    side->exchange.apart_seconds = ftc_alloc((size_t)o->steps, sizeof *side->exchange.apart_seconds);
    return FTC_STATUS_OK;
}

// What a side needs to be called. All sides share the threads, so that those of one never wait for work while
// another is timed.
static ftc_status prepare(ftc_bench_side *side, const ftc_bench_options *o, ftc_threads *threads) {
    const ftc_program *program = side->model.program;
    const uint32_t entries = entries_of(o);
    const size_t n_kernels = (size_t)ftc_bench_kernels(side);
    ftc_sgemm_fn *sgemm = NULL;
    if (program->needs_sgemm) FTC_RETURN_IF_ERROR(ftc_blas_open(&sgemm));
    FTC_RETURN_IF_ERROR(
        ftc_program_check_memory(program, entries, ftc_threads_count(threads), ftc_world_slice(o->world)));
    FTC_RETURN_IF_ERROR(ftc_batch_create(program, &side->batch));
    FTC_RETURN_IF_ERROR(ftc_model_state_create(program, entries, o->world, &side->state));
    ftc_model_state_init(&side->state, 1);
    FTC_RETURN_IF_ERROR(ftc_stepper_create(program, &side->state, threads, entries, sgemm, &side->stepper));
    ftc_stepper_set(&side->stepper, "lr", 1e-5);
    FTC_RETURN_IF_ERROR(fill(side, o, o->world->rank));
    side->entry = o->world->size > 1 ? FTC_ENTRY_GRAD : FTC_ENTRY_STEP;
    if (o->world->size > 1) FTC_RETURN_IF_ERROR(prepare_exchange(side, o));
    side->flops = ftc_program_cost(program, program->nominal_flops, side->batch.counts);
    side->seconds = ftc_alloc((size_t)o->steps, sizeof *side->seconds);
    if (!o->kernels) return FTC_STATUS_OK;
    side->stepper.ticks = side->ticks = ftc_alloc(n_kernels + 1, sizeof *side->ticks);
    side->kernel_seconds = ftc_alloc((size_t)o->steps * n_kernels + 1, sizeof *side->kernel_seconds);
    return FTC_STATUS_OK;
}

// Calls the step number `number`, from 1 on; *seconds is what it took.
static ftc_status call(ftc_bench_side *side, int64_t number, double *seconds) {
    double start = ftc_clock_seconds();
    FTC_RETURN_IF_ERROR(ftc_stepper_call(&side->stepper, FTC_ENTRY_STEP, &side->batch, (uint32_t)number, 0));
    *seconds = ftc_clock_seconds() - start;
    return FTC_STATUS_OK;
}

static void keep_kernels(ftc_bench_side *side, int64_t step) {
    const int32_t n = ftc_bench_kernels(side);
    const double total = (double)(side->ticks[n] - side->ticks[0]);
    for (int32_t k = 0; k < n; k++)
        side->kernel_seconds[step * n + k] =
            (double)(side->ticks[k + 1] - side->ticks[k]) / total * side->seconds[step];
}

// A step of training in which each process computes one shard.
static ftc_status call_shard(ftc_bench_side *side, const ftc_bench_options *o, int64_t number, bool apart) {
    const ftc_world *world = o->world;
    ftc_shards_begin(side->shards);
    for (int32_t i = 1; i <= world->size; i++) { // this process' own data are the last
        FTC_RETURN_IF_ERROR(fill(side, o, (world->rank + i) % world->size));
        ftc_shards_name(side->shards, &side->batch);
    }
    if (!apart) FTC_RETURN_IF_ERROR(ftc_shards_expect(side->shards, world->rank));
    FTC_RETURN_IF_ERROR(ftc_stepper_call(&side->stepper, FTC_ENTRY_GRAD, &side->batch, (uint32_t)number, 0));
    FTC_RETURN_IF_ERROR(ftc_shards_take(side->shards, world->rank));
    ftc_shards_finish(side->shards);
    FTC_RETURN_IF_ERROR(
        ftc_stepper_call(&side->stepper, FTC_ENTRY_UPDATE, &side->batch, (uint32_t)number, 0));
    if (apart) ftc_shards_settle(side->shards);
    return FTC_STATUS_OK;
}

static ftc_status time_shard(ftc_bench_side *side, const ftc_bench_options *o, int64_t number, bool apart,
                             double *seconds) {
    double start = ftc_clock_seconds();
    FTC_RETURN_IF_ERROR(call_shard(side, o, number, apart));
    *seconds = ftc_clock_seconds() - start;
    return FTC_STATUS_OK;
}

// Steps whose exchange is hidden, and in turns with them steps whose exchange is apart. Before each of the
// former goes one that is not timed: new values arrive behind the step that follows.
static ftc_status time_exchange(ftc_bench_side *side, const ftc_bench_options *o) {
    ftc_bench_exchange *e = &side->exchange;
    const ftc_traffic *traffic = ftc_shards_traffic(side->shards);
    for (int64_t i = 0; i < o->warmup; i++) FTC_RETURN_IF_ERROR(call_shard(side, o, i + 1, false));
    for (int64_t i = 0; i < o->steps; i++) {
        int64_t number = o->warmup + 3 * i + 1;
        FTC_RETURN_IF_ERROR(call_shard(side, o, number, false));
        const ftc_traffic before = *traffic;
        const double under_way = ftc_traffic_seconds(traffic);
        FTC_RETURN_IF_ERROR(time_shard(side, o, number + 1, false, &side->seconds[i]));
        e->waited += traffic->waited - before.waited;
        e->seconds += ftc_traffic_seconds(traffic) - under_way;
        e->bytes_sent += (double)(traffic->bytes_sent - before.bytes_sent);
        ftc_shards_settle(side->shards);
        const double waited = traffic->waited;
        FTC_RETURN_IF_ERROR(time_shard(side, o, number + 2, true, &e->apart_seconds[i]));
        e->apart_waited += traffic->waited - waited;
    }
    return FTC_STATUS_OK;
}

static void keep_loss(ftc_bench_side *side) {
    const float *loss = ftc_stepper_result(&side->stepper, FTC_OUTPUT_LOSS, side->entry);
    side->loss = loss ? (double)*loss : 0;
}

// Rounds in which each of the sides has its turn, the first of them another one in each round. Where there
// are several, a step that is not timed goes before each: the caches then hold what this side needs, not what
// others have left.
static ftc_status time_steps(ftc_bench_side *sides, int32_t n, const ftc_bench_options *o) {
    const int64_t calls = n > 1 ? 2 : 1;
    double ignored;
    for (int32_t s = 0; s < n; s++)
        for (int64_t i = 0; i < o->warmup; i++) FTC_RETURN_IF_ERROR(call(&sides[s], i + 1, &ignored));
    for (int64_t step = 0; step < o->steps; step++)
        for (int32_t turn = 0; turn < n; turn++) {
            ftc_bench_side *side = &sides[(step + turn) % n];
            int64_t number = o->warmup + step * calls + 1;
            if (n > 1) FTC_RETURN_IF_ERROR(call(side, number++, &ignored));
            FTC_RETURN_IF_ERROR(call(side, number, &side->seconds[step]));
            if (o->kernels) keep_kernels(side, step);
        }
    return FTC_STATUS_OK;
}

ftc_status ftc_bench_measure(ftc_bench_side *sides, int32_t n, const ftc_bench_options *o,
                             ftc_threads *threads) {
    for (int32_t s = 0; s < n; s++) FTC_RETURN_IF_ERROR(prepare(&sides[s], o, threads));
    FTC_RETURN_IF_ERROR(o->world->size > 1 ? time_exchange(sides, o) : time_steps(sides, n, o));
    for (int32_t s = 0; s < n; s++) keep_loss(&sides[s]);
    return FTC_STATUS_OK;
}

void ftc_bench_close(ftc_bench_side *side) {
    free(side->seconds);
    free(side->exchange.apart_seconds);
    ftc_shards_free(side->shards);
    free(side->ticks);
    free(side->kernel_seconds);
    ftc_batch_free(&side->batch);
    ftc_stepper_free(&side->stepper);
    ftc_model_state_free(&side->state);
    ftc_model_close(&side->model);
}

bool ftc_bench_open(const char *path, const ftc_model_options *asked, const ftc_bench_options *o,
                    ftc_bench_side *side, ftc_diagnostics *d) {
    ftc_model_options options = *asked;
    ftc_model_candidate candidate;
    char *why = NULL;
    side->path = path;
    if (!ftc_model_find(path, &options, &candidate, d)) return false;
    options.batch = o->batch;
    options.max_length = o->length;
    if (!ftc_model_finish(&candidate, &options, entries_of(o), &side->model, &why, d)) return false;
    if (why) fprintf(stderr, "compiled %s again: %s\n", path, why);
    free(why);
    return true;
}

// --- the command --------------------------------------------------------------------------------------

static int bench(const ftc_command *self, const ftc_text_list *paths, const ftc_model_options *model,
                 const ftc_bench_options *o, ftc_threads *threads) {
    ftc_diagnostics d = {0};
    int32_t n = (int32_t)paths->n;
    ftc_bench_side *sides = ftc_alloc(paths->n, sizeof *sides);
    bool opened = true;
    for (int32_t s = 0; s < n && opened; s++)
        opened = ftc_bench_open(paths->items[s], model, o, &sides[s], &d);
    int code = opened ? ftc_status_report(self->name, ftc_bench_measure(sides, n, o, threads))
                      : ftc_diag_report(self->name, &d);
    if (code == FTC_EXIT_OK && n == 1) ftc_bench_report(&sides[0], o, threads);
    if (code == FTC_EXIT_OK && n > 1) ftc_bench_compare(sides, n, o, ftc_threads_count(threads));
    for (int32_t s = 0; s < n; s++) ftc_bench_close(&sides[s]);
    free(sides);
    return code;
}

static int bench_on_threads(const ftc_command *self, const ftc_text_list *paths,
                            const ftc_model_options *model, const ftc_bench_options *o) {
    ftc_threads *threads = NULL;
    int32_t n = o->threads ? (int32_t)o->threads : ftc_world_threads(o->world, ftc_threads_available());
    int code = ftc_status_report(self->name, ftc_threads_create(n, &threads));
    if (code == FTC_EXIT_OK && o->peak) print_peak(threads, o);
    if (code == FTC_EXIT_OK && !o->peak) code = bench(self, paths, model, o, threads);
    ftc_threads_free(threads);
    return code;
}

// Of several processes, the first one tells; one that fails ends the others.
static int bench_in_world(const ftc_command *self, const ftc_text_list *paths, const ftc_model_options *model,
                          ftc_bench_options *o) {
    ftc_status status = ftc_world_open(&o->world);
    if (status.code != FTC_OK) return ftc_status_report(self->name, status);
    int code = FTC_EXIT_USAGE;
    if (o->world->size > 1 && (paths->n > 1 || o->kernels || o->peak))
        code = ftc_cli_error(self->name, "several processes time the steps of one model together, without "
                                         "--kernels and --peak");
    else if (o->world->rank == 0 || freopen("/dev/null", "w", stdout))
        code = bench_on_threads(self, paths, model, o);
    fflush(stdout);
    if (code == FTC_EXIT_OK)
        o->world->end();
    else
        o->world->fail(code);
    return code;
}

int ftc_command_bench(const ftc_command *self, int argc, char **argv) {
    ftc_bench_options options = {.warmup = 2};
    ftc_model_options model = ftc_model_options_default();
    ftc_option_group groups[] = {{"Options", OPTIONS, &options},
                                 {"Compiling (as for ftc compile)", ftc_model_option_table, &model},
                                 {"Weights (as for ftc compile)", ftc_weights_option_table, &model},
                                 {0}};
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    if (parsed != FTC_CLI_OK) {
        // told already
    } else if (options.peak ? words.n != 0 : words.n == 0) {
        code =
            ftc_cli_error(self->name, "artifacts or MODEL.ir are expected, one or several, or --peak alone");
    } else if (words.n > 1 && options.steps && options.steps < FTC_FEWEST_PAIRS) {
        code = ftc_cli_error(self->name, "--steps %lld: to compare, at least %d steps of each are needed",
                             (long long)options.steps, FTC_FEWEST_PAIRS);
    } else {
        ftc_diagnostics d = {0};
        const ftc_target *target = ftc_model_target(&model, &d);
        if (target) {
            options.vector_bits = target->vector_bits;
            if (!options.steps) options.steps = words.n > 1 ? 30 : 10;
            code = bench_in_world(self, &words, &model, &options);
        } else {
            code = ftc_diag_report(self->name, &d);
        }
    }
    ftc_text_list_free(&words);
    ftc_model_options_free(&model);
    return code;
}
