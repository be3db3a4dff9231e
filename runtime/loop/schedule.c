#include "runtime/loop/schedule.h"

#include <math.h>
#include <stdbool.h>

static const double PI = 3.14159265358979323846;

ftc_schedule ftc_schedule_make(ftc_schedule_kind kind, double lr, int64_t warmup_steps, int64_t total_steps) {
    return (ftc_schedule){
        .kind = kind,
        .lr = lr,
        .warmup_steps = warmup_steps,
        .total_steps = total_steps,
        .cycles = kind == FTC_SCHEDULE_COSINE_WITH_RESTARTS ? 1 : 0.5,
        .lr_end = 1e-7,
        .power = 1,
        .timescale = warmup_steps ? (double)warmup_steps : 10000,
        .stable_steps = -1,
        .fall = FTC_SLOPE_COSINE,
        .factor = 0.1,
        .patience = 10,
        .threshold = 1e-4,
    };
}

static double at_least(double least, double x) {
    return x > least ? x : least;
}

// From 0 to 1.
static double rise(ftc_slope form, double progress) {
    if (form == FTC_SLOPE_LINEAR) return progress;
    return form == FTC_SLOPE_COSINE ? 0.5 * (1 - cos(PI * progress)) : 1 - sqrt(1 - progress);
}

// From 1 to 0.
static double fall(ftc_slope form, double cycles, double progress) {
    if (form == FTC_SLOPE_LINEAR) return 1 - progress;
    return form == FTC_SLOPE_COSINE ? 0.5 * (1 + cos(PI * cycles * 2 * progress)) : 1 - sqrt(progress);
}

static double above_least(const ftc_schedule *s, double factor) {
    return at_least(0, factor * (1 - s->least) + s->least);
}

static double stable_factor(const ftc_schedule *s, double current) {
    double warmup = (double)s->warmup_steps, decay = (double)s->decay_steps;
    double stable = s->stable_steps >= 0 ? (double)s->stable_steps : (double)s->total_steps - warmup - decay;
    if (current < warmup) return above_least(s, rise(s->rise, current / at_least(1, warmup)));
    double of_decay = current - warmup - stable;
    if (of_decay < 0) return 1;
    return of_decay < decay ? above_least(s, fall(s->fall, s->cycles, of_decay / at_least(1, decay)))
                            : s->least;
}

ftc_plateau ftc_plateau_begin(const ftc_schedule *schedule) {
    return (ftc_plateau){.lr = schedule->lr, .best = INFINITY};
}

void ftc_plateau_step(ftc_plateau *p, const ftc_schedule *s, double metric) {
    bool gained = metric < p->best * (1 - s->threshold);
    if (gained) p->best = metric;
    p->bad = gained ? 0 : p->bad + 1;
    if (p->cooldown > 0) {
        p->cooldown--;
        p->bad = 0;
    }
    if (p->bad <= s->patience) return;
    double lr = at_least(s->min_lr, p->lr * s->factor);
    if (p->lr - lr > 1e-8) p->lr = lr; // PyTorch's eps
    p->cooldown = s->cooldown;
    p->bad = 0;
}

double ftc_schedule_lr(const ftc_schedule *s, int64_t step) {
    if (s->kind == FTC_SCHEDULE_CONSTANT || s->kind == FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU) return s->lr;
    double current = (double)(step - 1), warmup = (double)s->warmup_steps, total = (double)s->total_steps;
    if (s->kind == FTC_SCHEDULE_WARMUP_STABLE_DECAY) return s->lr * stable_factor(s, current);
    if (current < warmup) return s->lr * (current / at_least(1, warmup));
    double length = at_least(1, total - warmup), progress = (current - warmup) / length, factor = 1;
    switch (s->kind) {
    case FTC_SCHEDULE_LINEAR: factor = at_least(0, (total - current) / length); break;
    case FTC_SCHEDULE_COSINE: factor = at_least(0, 0.5 * (1 + cos(PI * s->cycles * 2 * progress))); break;
    case FTC_SCHEDULE_COSINE_WITH_MIN_LR:
        factor = above_least(s, fall(FTC_SLOPE_COSINE, s->cycles, progress));
        break;
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
    case FTC_SCHEDULE_CONSTANT_WITH_WARMUP:
    case FTC_SCHEDULE_WARMUP_STABLE_DECAY:
    case FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU: break;
    }
    return s->lr * factor;
}
