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
} ftc_schedule_kind;

// Their names, in the order of ftc_schedule_kind.
#define FTC_SCHEDULE_NAMES                                                                                   \
    "linear|cosine|cosine_with_restarts|polynomial|constant|constant_with_warmup|inverse_sqrt"

typedef struct {
    ftc_schedule_kind kind;
    double lr; // the peak
    // The rate rises linearly from 0 over so many steps (not with FTC_SCHEDULE_CONSTANT).
    int64_t warmup_steps;
    int64_t total_steps;
    double cycles;        // cosine: waves, 0.5 by default; cosine_with_restarts: restarts, 1 by default
    double lr_end, power; // polynomial: 1e-7 and 1 by default
    double timescale;     // inverse_sqrt: by default warmup_steps, or 10000 without warm-up
} ftc_schedule;

// A schedule with the defaults of its kind.
ftc_schedule ftc_schedule_make(ftc_schedule_kind kind, double lr, int64_t warmup_steps, int64_t total_steps);

// The learning rate of optimizer step `step` (from 1).
double ftc_schedule_lr(const ftc_schedule *schedule, int64_t step);

#endif
