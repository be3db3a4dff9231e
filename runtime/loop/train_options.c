#include "runtime/loop/train_options.h"

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
    .weight_decay = -1,
    .beta1 = -1,
    .beta2 = -1,
    .eps = -1,
    .momentum = -1,
    .dropout = -1,
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
