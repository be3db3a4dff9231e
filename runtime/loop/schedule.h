// Learning-rate schedules, exactly those of transformers' get_scheduler (transformers/optimization.py).
#ifndef FTC_RUNTIME_SCHEDULE_H
#define FTC_RUNTIME_SCHEDULE_H

#include <stdint.h>

typedef enum {
    FTC_SCHEDULE_LINEAR,
    FTC_SCHEDULE_COSINE,
    FTC_SCHEDULE_COSINE_WITH_RESTARTS,
    FTC_SCHEDULE_POLYNOMIAL,
    FTC_SCHEDULE_CONSTANT,
    FTC_SCHEDULE_CONSTANT_WITH_WARMUP,
    FTC_SCHEDULE_INVERSE_SQRT,
    FTC_SCHEDULE_COSINE_WITH_MIN_LR,
    FTC_SCHEDULE_WARMUP_STABLE_DECAY,
    FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU,
} ftc_schedule_kind;

// Their names, in the order of ftc_schedule_kind.
#define FTC_SCHEDULE_NAMES                                                                                   \
    "linear|cosine|cosine_with_restarts|polynomial|constant|constant_with_warmup|inverse_sqrt|"              \
    "cosine_with_min_lr|warmup_stable_decay|reduce_lr_on_plateau"

// Forms of the two slopes of warmup_stable_decay. Names in the order of the values.
typedef enum { FTC_SLOPE_LINEAR, FTC_SLOPE_COSINE, FTC_SLOPE_ROOT } ftc_slope;
#define FTC_SLOPE_NAMES "linear|cosine|1-sqrt"

typedef struct {
    ftc_schedule_kind kind;
    double lr; // the peak
    // The rate rises linearly from 0 over so many steps (not with FTC_SCHEDULE_CONSTANT).
    int64_t warmup_steps;
    int64_t total_steps;
    double cycles;        // cosine: waves, 0.5 by default; cosine_with_restarts: restarts, 1 by default
    double lr_end, power; // polynomial: 1e-7 and 1 by default
    double timescale;     // inverse_sqrt: by default warmup_steps, or 10000 without warm-up
    // cosine_with_min_lr and warmup_stable_decay: the least, as a share of lr; 0 by default.
    double least;
    // warmup_stable_decay: the steps between the slopes, by default all that these leave.
    int64_t stable_steps, decay_steps;
    ftc_slope rise, fall;
    // reduce_lr_on_plateau: 0.1, 10, 0.0001, 0 and 0 by default.
    double factor; // of the rate, after more than `patience` evaluations without a gain
    int64_t patience, cooldown;
    double threshold; // what counts as a gain, as a share of the best
    double min_lr;
} ftc_schedule;

// What reduce_lr_on_plateau remembers (torch.optim.lr_scheduler.ReduceLROnPlateau).
typedef struct {
    double lr; // of now
    double best;
    int64_t bad, cooldown; // evaluations without a gain; those that do not count yet
} ftc_plateau;

ftc_plateau ftc_plateau_begin(const ftc_schedule *schedule);

// Takes in an evaluation, of whose metric less is better.
void ftc_plateau_step(ftc_plateau *plateau, const ftc_schedule *schedule, double metric);

// A schedule with the defaults of its kind.
ftc_schedule ftc_schedule_make(ftc_schedule_kind kind, double lr, int64_t warmup_steps, int64_t total_steps);

// The learning rate of optimizer step `step` (from 1); of reduce_lr_on_plateau the first one.
double ftc_schedule_lr(const ftc_schedule *schedule, int64_t step);

#endif
