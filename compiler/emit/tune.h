// Plans of contractions chosen by measurement: --tune.
//
// The choices are those of ftc_contraction_plan; its default is made in contraction_loops.c and the search is
// here. What was found is recorded in the artifact, and taken again whenever it is compiled for such a CPU.
// Only the k_chunk of a plan can change a result, in its rounding.
#ifndef FTC_TUNE_H
#define FTC_TUNE_H

#include "compiler/compile.h"
#include "compiler/emit/contraction_loops.h"

// The best plan of one contraction, as texts (ftc_contraction_case_text, ftc_contraction_plan_text).
typedef struct {
    char *contraction, *plan;
    double gain; // the default plan's time divided by this one's
} ftc_tuned_plan;

// Owns its texts.
typedef struct ftc_tuned {
    ftc_tuned_plan *list;
    int n;
} ftc_tuned;

void ftc_tuned_add(ftc_tuned *tuned, const char *contraction, const char *plan, double gain); // copies
void ftc_tuned_free(ftc_tuned *tuned);

// The plan for a contraction: the tuned one (`tuned` may be NULL), else the default.
ftc_contraction_plan ftc_tuned_plan_for(const ftc_tuned *tuned, const ftc_target *target,
                                        const ftc_contraction_case *c);

// Enters fn on every thread and returns when all have returned.
typedef void ftc_tune_run(void *pool, void (*fn)(void *context, int32_t thread, int32_t threads),
                          void *context);

// Told of every contraction that was measured, after it. `contraction` and `plan` are texts; seconds of one
// call.
typedef void ftc_tune_told(void *context, const char *contraction, const char *plan, double default_seconds,
                           double seconds);

typedef struct {
    ftc_tune_run *run;
    void *pool;
    int32_t threads; // of the pool
    ftc_tune_told *told;
    void *context;
} ftc_tune_options;

// Measures candidates for the contractions of the model's step that count, at the model's bounds, and adds
// those that are faster than the default to *tuned. False after a diagnostic: there is nothing to measure, or
// not here.
bool ftc_tune(const ftc_graph *source, const ftc_compile_options *options, const ftc_tune_options *tune,
              ftc_tuned *tuned, ftc_diagnostics *d);

#endif
