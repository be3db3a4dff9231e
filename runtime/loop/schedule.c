#include "runtime/loop/schedule.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

ftc_schedule ftc_schedule_make(ftc_schedule_kind kind, double lr, int64_t warmup_steps, int64_t total_steps) {
    return (ftc_schedule){
        .kind = kind,
        .lr = lr,
        .warmup_steps = warmup_steps,
        .total_steps = total_steps,
        .cycles = kind == FTC_SCHEDULE_COSINE ? 0.5 : 1,
        .lr_end = 1e-7,
        .power = 1,
        .timescale = warmup_steps ? (double)warmup_steps : 10000,
    };
}

static double at_least(double least, double x) {
    return x > least ? x : least;
}

double ftc_schedule_lr(const ftc_schedule *s, int64_t step) {
    if (s->kind == FTC_SCHEDULE_CONSTANT) return s->lr;
    double current = (double)(step - 1), warmup = (double)s->warmup_steps, total = (double)s->total_steps;
    if (current < warmup) return s->lr * (current / at_least(1, warmup));
    double length = at_least(1, total - warmup), progress = (current - warmup) / length, factor = 1;
    switch (s->kind) {
    case FTC_SCHEDULE_LINEAR: factor = at_least(0, (total - current) / length); break;
    case FTC_SCHEDULE_COSINE: factor = at_least(0, 0.5 * (1 + cos(PI * s->cycles * 2 * progress))); break;
    case FTC_SCHEDULE_COSINE_WITH_RESTARTS:
        factor = progress >= 1 ? 0 : at_least(0, 0.5 * (1 + cos(PI * fmod(s->cycles * progress, 1))));
        break;
    case FTC_SCHEDULE_POLYNOMIAL: {
        double remaining = current > total ? 0 : 1 - progress;
        factor = ((s->lr - s->lr_end) * pow(remaining, s->power) + s->lr_end) / s->lr;
        break;
    }
    case FTC_SCHEDULE_INVERSE_SQRT:
        factor = 1 / sqrt((current + s->timescale - warmup) / s->timescale);
        break;
    case FTC_SCHEDULE_CONSTANT:
    case FTC_SCHEDULE_CONSTANT_WITH_WARMUP: break;
    }
    return s->lr * factor;
}
