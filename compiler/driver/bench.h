// The steps of programs, timed in turns: what `ftc bench` measures and what it tells.
#ifndef FTC_DRIVER_BENCH_H
#define FTC_DRIVER_BENCH_H

#include "compiler/driver/model.h"
#include "runtime/data/batch.h"
#include "runtime/json.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/shards.h"
#include "runtime/loop/stepper.h"

typedef struct {
    int64_t batch, length, steps, warmup, threads;
    bool json, peak, kernels;
    int vector_bits;        // of what --peak measures: those of --target
    const ftc_world *world; // of several processes, each computes a shard of a training step
} ftc_bench_options;

// What processes exchange in a step. Apart: it begins only when the backward phase is over, and ends before
// the next step begins.
typedef struct {
    double bytes_sent, seconds, waited, apart_waited; // sums over steps
    double *apart_seconds;                            // [steps] that these took
} ftc_bench_exchange;

// One program, with what it needs to be called, and what was measured of it.
typedef struct {
    const char *path;
    ftc_model model;
    ftc_model_state state;
    ftc_stepper stepper;
    ftc_batch batch;
    ftc_entry_kind entry; // step; of several processes grad, which update follows
    ftc_shards *shards;   // of several processes; else NULL
    ftc_bench_exchange exchange;
    double *seconds;        // [steps]
    uint64_t *ticks;        // [n_kernels + 1] of one step; NULL: kernels are not timed
    double *kernel_seconds; // [steps, n_kernels] shares of the step, as the clock of thread 0 saw them
    double flops;           // nominal, a step
    double loss;            // of the last step
} ftc_bench_side;

// A kernel of a side: its share of a mean step, and what it does.
typedef struct {
    const char *name;
    ftc_kernel_info info;
    int32_t calls;
    double seconds, flops, bytes;
} ftc_kernel_line;

// Opens an artifact, or compiles MODEL.ir; tells on standard error where the artifact is compiled again.
// False after a diagnostic. What was opened is to be closed in any case; zeros are allowed.
bool ftc_bench_open(const char *path, const ftc_model_options *asked, const ftc_bench_options *o,
                    ftc_bench_side *side, ftc_diagnostics *d);
void ftc_bench_close(ftc_bench_side *side);

// Times o->steps steps of each, in turns, on made-up data.
ftc_status ftc_bench_measure(ftc_bench_side *sides, int32_t n, const ftc_bench_options *o,
                             ftc_threads *threads);

int32_t ftc_bench_kernels(const ftc_bench_side *side); // how many a step has

// One after the other; to be freed.
ftc_kernel_line *ftc_bench_kernel_lines(const ftc_bench_side *side, const ftc_bench_options *o);

// Prints an object, "name value" a line or as JSON, and frees it.
void ftc_bench_print(cJSON *object, bool json);

// Tells of one side, beside what the machine can do.
void ftc_bench_report(const ftc_bench_side *side, const ftc_bench_options *o, ftc_threads *threads);

// Tells of several, each beside the first.
void ftc_bench_compare(const ftc_bench_side *sides, int32_t n, const ftc_bench_options *o, int32_t threads);

#endif
