#include "runtime/loop/train_options.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

// What the native loop and Trainer agree on.
static const ftc_train_options COMMON = {
    .epochs = 3,
    .max_steps = -1,
    .batch = 8,
    .shards = 1,
    .accumulation = 1,
    .sampling = FTC_SAMPLING_RANDOM,
    .seed = 42,
    .data_seed = -1,
    .schedule = FTC_SCHEDULE_LINEAR,
    .lr = 5e-5,
    .schedule_cycles = -1,
    .schedule_power = -1,
    .schedule_end = -1,
    .schedule_timescale = -1,
    .schedule_min_lr = -1,
    .schedule_min_share = -1,
    .schedule_stable = -1,
    .schedule_decay = -1,
    .schedule_rise = FTC_SLOPE_LINEAR,
    .schedule_fall = FTC_SLOPE_COSINE,
    .schedule_factor = -1,
    .schedule_threshold = -1,
    .schedule_patience = -1,
    .schedule_cooldown = -1,
    .weight_decay = -1,
    .beta1 = -1,
    .beta2 = -1,
    .eps = -1,
    .momentum = -1,
    .dropout = -1,
    .focal_gamma = -1,
    .logging_strategy = FTC_WHEN_STEPS,
    .greater_is_better = FTC_CHOICE_AUTO,
    .output = "output",
};

ftc_train_options ftc_train_options_native(void) {
    ftc_train_options options = COMMON;
    options.decay_all = true;
    options.logging_steps = 1;
    options.eval_strategy = FTC_WHEN_EPOCH;
    options.save_strategy = FTC_WHEN_EPOCH;
    options.save_total_limit = 1;
    options.save_steps = 500;
    return options;
}

ftc_train_options ftc_train_options_trainer(void) {
    ftc_train_options options = COMMON;
    options.weight_decay = 0;
    options.beta1 = 0.9;
    options.beta2 = 0.999;
    options.eps = 1e-8;
    options.momentum = 0;
    options.max_grad_norm = 1;
    options.logging_steps = 500;
    options.eval_strategy = FTC_WHEN_NO;
    options.save_strategy = FTC_WHEN_STEPS;
    options.save_steps = 500;
    return options;
}

// --- what they mean together -----------------------------------------------------------------------------

bool ftc_train_watches_best(const ftc_train_options *o) {
    return o->load_best || o->best_metric || o->schedule == FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU ||
           o->patience > 0 || o->save_strategy == FTC_WHEN_BEST;
}

// The checkpoints that load_best needs, as TrainingArguments asks for them: where one is saved there is an
// evaluation.
static ftc_status check_load_best(const ftc_train_options *o) {
    if (o->save_strategy == FTC_WHEN_BEST) return FTC_STATUS_OK;
    if (o->save_strategy != o->eval_strategy) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "load_best_model_at_end needs a checkpoint at each evaluation: make "
                               "--save-strategy and --eval-strategy the same, or save by \"best\"");
    }
    if (o->eval_strategy != FTC_WHEN_STEPS) return FTC_STATUS_OK;
    double eval = o->eval_steps > 0 ? o->eval_steps : o->logging_steps, save = o->save_steps;
    bool is_mixed = (eval < 1) != (save < 1);
    double scale = eval < 1 ? 1e6 : 1; // fractions are compared to six digits
    if (fmod(save, eval) == 0 || (!is_mixed && fmod(round(save * scale), round(eval * scale)) == 0))
        return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT,
                           "load_best_model_at_end needs --save-steps to be a multiple of --eval-steps%s: %g "
                           "is none of %g",
                           is_mixed ? ", both as numbers of steps or both as fractions" : "", save, eval);
}

static ftc_status check_best(const ftc_train_options *o, bool with_test) {
    bool evaluates = o->eval_strategy != FTC_WHEN_NO;
    if (o->save_strategy == FTC_WHEN_BEST && !o->load_best && !o->best_metric) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "--save-strategy best needs --metric-for-best-model (loss, accuracy, …)");
    }
    if ((ftc_train_watches_best(o) && evaluates && !with_test) || (o->patience > 0 && !evaluates)) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the best model is found by evaluating: give --test (or --split-test) and "
                               "--eval-strategy steps or epoch");
    }
    return o->load_best ? check_load_best(o) : FTC_STATUS_OK;
}

// What transformers' get_scheduler asks for.
static ftc_status check_schedule(const ftc_train_options *o, bool is_steered) {
    bool has_lr = o->schedule_min_lr >= 0, has_share = o->schedule_min_share >= 0;
    if (o->schedule == FTC_SCHEDULE_COSINE_WITH_MIN_LR && has_lr == has_share) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "cosine_with_min_lr needs its least learning rate: give either "
                               "--schedule-min-lr (min_lr) or --schedule-min-share (min_lr_rate)");
    }
    if (o->schedule == FTC_SCHEDULE_WARMUP_STABLE_DECAY && o->schedule_decay < 0) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "warmup_stable_decay needs --schedule-decay (num_decay_steps): how many steps "
                               "the learning rate falls at the end");
    }
    if (o->schedule == FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU && o->schedule_factor >= 1)
        return ftc_status_make(FTC_BAD_INPUT, "--schedule-factor %g: must be less than 1",
                               o->schedule_factor);
    if (o->schedule == FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU && o->eval_strategy == FTC_WHEN_NO && !is_steered) {
        return ftc_status_make(
            FTC_BAD_INPUT, "reduce_lr_on_plateau goes by evaluations: set --eval-strategy steps or epoch");
    }
    return FTC_STATUS_OK;
}

// The numbers that callers of the library give as they are; the command's come through its table of options.
typedef struct {
    const char *name;
    size_t offset;
    bool is_integer;
    double least, most;
} number_range;

#define INTEGER(field, least)  {#field, offsetof(ftc_train_options, field), true, least, INT32_MAX}
#define NUMBER(field, least)   {#field, offsetof(ftc_train_options, field), false, least, FLT_MAX}
#define PERHAPS_INTEGER(field) INTEGER(field, -INT32_MAX) // below 0: not set
#define PERHAPS_NUMBER(field)  NUMBER(field, -FLT_MAX)
static const number_range RANGES[] = {
    INTEGER(batch, 1),
    INTEGER(shards, 1),
    INTEGER(accumulation, 1),
    INTEGER(max_steps, -1),
    NUMBER(epochs, 0),
    NUMBER(lr, 0),
    {"warmup_steps", offsetof(ftc_train_options, warmup_steps), false, 0, INT32_MAX},
    PERHAPS_NUMBER(schedule_cycles),
    PERHAPS_NUMBER(schedule_power),
    PERHAPS_NUMBER(schedule_end),
    PERHAPS_NUMBER(schedule_timescale),
    PERHAPS_NUMBER(schedule_min_lr),
    PERHAPS_NUMBER(schedule_min_share),
    PERHAPS_INTEGER(schedule_decay),
    PERHAPS_INTEGER(schedule_stable),
    PERHAPS_NUMBER(schedule_factor),
    PERHAPS_NUMBER(schedule_threshold),
    PERHAPS_INTEGER(schedule_patience),
    PERHAPS_INTEGER(schedule_cooldown),
    PERHAPS_NUMBER(weight_decay),
    PERHAPS_NUMBER(beta1),
    PERHAPS_NUMBER(beta2),
    PERHAPS_NUMBER(eps),
    PERHAPS_NUMBER(momentum),
    {"max_grad_norm", offsetof(ftc_train_options, max_grad_norm), false, -FLT_MAX, INFINITY},
    NUMBER(label_smoothing, 0),
    PERHAPS_NUMBER(dropout),
};
#undef INTEGER
#undef NUMBER
#undef PERHAPS_INTEGER
#undef PERHAPS_NUMBER

static ftc_status check_ranges(const ftc_train_options *o) {
    for (size_t i = 0; i < sizeof RANGES / sizeof *RANGES; i++) {
        const number_range *range = &RANGES[i];
        const char *field = (const char *)o + range->offset;
        double value = range->is_integer ? (double)*(const int64_t *)field : *(const double *)field;
        if (!(value >= range->least && value <= range->most))
            return ftc_status_make(FTC_BAD_INPUT, "%s is %.17g: expected a number from %g to %.10g",
                                   range->name, value, range->least, range->most);
    }
    return FTC_STATUS_OK;
}

ftc_status ftc_train_check(const ftc_train_options *o, bool with_test, bool is_steered) {
    FTC_RETURN_IF_ERROR(check_ranges(o));
    if (o->logging_strategy == FTC_WHEN_STEPS && o->logging_steps == 0) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "--logging-steps 0 never logs: set it, or --logging-strategy no");
    }
    if (o->save_strategy == FTC_WHEN_STEPS && o->save_steps == 0) {
        return ftc_status_make(FTC_BAD_INPUT, "--save-steps 0 never saves: set it, or --save-strategy no");
    }
    FTC_RETURN_IF_ERROR(check_best(o, with_test));
    FTC_RETURN_IF_ERROR(check_schedule(o, is_steered));
    double lr_end = o->schedule_end >= 0 ? o->schedule_end : 1e-7;
    if (o->schedule == FTC_SCHEDULE_POLYNOMIAL && !(o->lr > lr_end)) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the polynomial schedule ends at a learning rate of %g: --lr must be larger",
                               lr_end);
    }
    if (o->resume && !o->output) return ftc_status_make(FTC_BAD_INPUT, "--resume needs --output");
    return FTC_STATUS_OK;
}

int64_t ftc_train_steps(double steps, int64_t total) {
    return steps < 1 ? (int64_t)ceil(steps * (double)total) : (int64_t)steps;
}

ftc_schedule ftc_train_schedule(const ftc_train_options *o, int64_t total) {
    double warmup = o->warmup_steps > 0 ? o->warmup_steps : fmin(o->warmup_ratio, 0.999999);
    ftc_schedule schedule =
        ftc_schedule_make((ftc_schedule_kind)o->schedule, o->lr, ftc_train_steps(warmup, total), total);
    if (o->schedule_cycles >= 0) schedule.cycles = o->schedule_cycles;
    if (o->schedule_power >= 0) schedule.power = o->schedule_power;
    if (o->schedule_end >= 0) schedule.lr_end = o->schedule_end;
    if (o->schedule_timescale > 0) schedule.timescale = o->schedule_timescale;
    if (o->schedule_min_lr >= 0) schedule.min_lr = o->schedule_min_lr;
    if (o->schedule_min_lr >= 0 && o->lr > 0) schedule.least = o->schedule_min_lr / o->lr;
    if (o->schedule_min_share >= 0) schedule.least = o->schedule_min_share;
    if (o->schedule_stable >= 0) schedule.stable_steps = o->schedule_stable;
    if (o->schedule_decay >= 0) schedule.decay_steps = o->schedule_decay;
    schedule.rise = (ftc_slope)o->schedule_rise;
    schedule.fall = (ftc_slope)o->schedule_fall;
    if (o->schedule_factor >= 0) schedule.factor = o->schedule_factor;
    if (o->schedule_threshold >= 0) schedule.threshold = o->schedule_threshold;
    if (o->schedule_patience >= 0) schedule.patience = o->schedule_patience;
    if (o->schedule_cooldown >= 0) schedule.cooldown = o->schedule_cooldown;
    return schedule;
}

int ftc_train_unread_by_schedule(const ftc_train_options *o, const char *names[FTC_TRAIN_SCHEDULE_OPTIONS]) {
    enum {
        WAVES = 1 << FTC_SCHEDULE_COSINE | 1 << FTC_SCHEDULE_COSINE_WITH_RESTARTS,
        POLYNOMIAL = 1 << FTC_SCHEDULE_POLYNOMIAL,
        ROOT = 1 << FTC_SCHEDULE_INVERSE_SQRT,
        LEAST = 1 << FTC_SCHEDULE_COSINE_WITH_MIN_LR,
        STABLE = 1 << FTC_SCHEDULE_WARMUP_STABLE_DECAY,
        PLATEAU = 1 << FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU,
        LEVEL = 1 << FTC_SCHEDULE_CONSTANT | PLATEAU,
    };
    const struct {
        const char *name;
        bool is_set;
        int readers; // bits of ftc_schedule_kind
    } options[FTC_TRAIN_SCHEDULE_OPTIONS] = {
        {"warmup", o->warmup_steps > 0 || o->warmup_ratio > 0, ~LEVEL},
        {"schedule_cycles", o->schedule_cycles >= 0, WAVES | LEAST | STABLE},
        {"schedule_power", o->schedule_power >= 0, POLYNOMIAL},
        {"schedule_end", o->schedule_end >= 0, POLYNOMIAL},
        {"schedule_timescale", o->schedule_timescale > 0, ROOT},
        {"schedule_min_lr", o->schedule_min_lr >= 0, LEAST | STABLE | PLATEAU},
        {"schedule_min_share", o->schedule_min_share >= 0, LEAST | STABLE},
        {"schedule_stable", o->schedule_stable >= 0, STABLE},
        {"schedule_decay", o->schedule_decay >= 0, STABLE},
        {"schedule_rise", o->schedule_rise != FTC_SLOPE_LINEAR, STABLE},
        {"schedule_fall", o->schedule_fall != FTC_SLOPE_COSINE, STABLE},
        {"schedule_factor", o->schedule_factor >= 0, PLATEAU},
        {"schedule_patience", o->schedule_patience >= 0, PLATEAU},
        {"schedule_threshold", o->schedule_threshold >= 0, PLATEAU},
        {"schedule_cooldown", o->schedule_cooldown >= 0, PLATEAU},
    };
    int n = 0;
    for (int i = 0; i < FTC_TRAIN_SCHEDULE_OPTIONS; i++)
        if (options[i].is_set && !(options[i].readers >> o->schedule & 1)) names[n++] = options[i].name;
    return n;
}
