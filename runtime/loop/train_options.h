// How a model is trained: the fields of transformers' TrainingArguments that have a meaning here, and a few
// more.
#ifndef FTC_RUNTIME_TRAIN_OPTIONS_H
#define FTC_RUNTIME_TRAIN_OPTIONS_H

#include "runtime/data/order.h"
#include "runtime/loop/schedule.h"
#include "runtime/status.h"

#include <stdbool.h>
#include <stdint.h>

// When something is done during training. Names in the order of the values.
typedef enum { FTC_WHEN_NO, FTC_WHEN_STEPS, FTC_WHEN_EPOCH, FTC_WHEN_BEST } ftc_when;
#define FTC_WHEN_NAMES         "no|steps|epoch"
#define FTC_WHEN_OR_BEST_NAMES "no|steps|epoch|best" // best: when an evaluation is better than all before it

// What gradients are while they go from one process to another. Names in the order of the values.
typedef enum { FTC_WIRE_FP32, FTC_WIRE_BF16 } ftc_wire;
#define FTC_WIRE_NAMES "fp32|bf16"

typedef enum { FTC_CHOICE_AUTO, FTC_CHOICE_YES, FTC_CHOICE_NO } ftc_choice;
#define FTC_CHOICE_NAMES "auto|true|false"

// Numbers of steps below 1 are fractions of all steps. The enumerations are int32_t so that tables can fill
// them.
typedef struct {
    double epochs;
    int64_t max_steps; // at most so many optimizer steps, instead of `epochs`; -1: as the epochs say
    int64_t batch;
    int64_t eval_batch;   // 0: 8; never more than the program takes (ftc_train_eval_batch)
    int64_t shards;       // parts of a micro-batch, of `batch` examples each, whose gradients are added up
    int32_t wire;         // ftc_wire
    int64_t accumulation; // micro-batches an optimizer step
    bool drop_last;       // leave out an epoch's last batch when it is not full
    int32_t sampling;     // ftc_sampling
    int64_t seed;         // of new weights and of dropout
    int64_t data_seed;    // of the order of the examples; -1: seed

    int32_t schedule; // ftc_schedule_kind
    double lr;
    double warmup_steps; // a fraction when below 1
    double warmup_ratio; // fraction of all steps; counts when warmup_steps is 0
    double schedule_cycles, schedule_power, schedule_end, schedule_timescale; // -1: the schedule's default
    double schedule_min_lr, schedule_min_share;                               // the least; as a share of lr
    int64_t schedule_stable, schedule_decay;                                  // steps of warmup_stable_decay
    int32_t schedule_rise, schedule_fall;                                     // ftc_slope
    double schedule_factor, schedule_threshold;                               // of reduce_lr_on_plateau
    int64_t schedule_patience, schedule_cooldown;
    double weight_decay;                // -1: what the optimizer has
    bool decay_all;                     // also on biases and LayerNorm
    double beta1, beta2, eps, momentum; // -1: what the optimizer has
    double max_grad_norm;               // 0: no clipping
    double label_smoothing;
    double focal_gamma; // -1: as the model says
    double dropout;     // every dropout probability; -1: as the model says

    int32_t logging_strategy, eval_strategy, save_strategy; // ftc_when
    double logging_steps, eval_steps, save_steps;           // eval_steps 0: logging_steps
    bool logging_first_step, eval_on_start;
    double eval_delay;        // no evaluation before so many steps (or epochs, by eval_strategy)
    int64_t save_total_limit; // newest checkpoints to keep (and the best one); 0: all
    bool save_only_model;     // no moments: such a checkpoint cannot be resumed
    bool load_best;           // end with the best checkpoint's weights
    // Name of an evaluation metric, "eval_" may be missing; NULL: loss when one is needed.
    const char *best_metric;
    int32_t greater_is_better; // ftc_choice; auto: unless the metric is a loss
    int64_t patience;          // stop after so many evaluations without a gain; 0: never
    double patience_threshold; // what counts as a gain
    const char *output;        // directory; NULL: nothing is saved
    const char *resume; // checkpoint to continue from: a directory, or "last" (of `output`); NULL: start anew
} ftc_train_options;

// The native PyTorch loop of Hugging Face's tutorial: a line a step, evaluation and a checkpoint each epoch,
// AdamW with PyTorch's defaults, no clipping.
ftc_train_options ftc_train_options_native(void);

// The defaults of transformers' Trainer.
ftc_train_options ftc_train_options_trainer(void);

// Checks what can be checked before anything is loaded: numbers that are none or out of range, and options
// that contradict each other. `is_steered`: whoever steers the run evaluates, not the run.
ftc_status ftc_train_check(const ftc_train_options *options, bool with_test, bool is_steered);

// Whether evaluations are compared with the best one so far.
bool ftc_train_watches_best(const ftc_train_options *options);

// A number of steps, or below 1 a fraction of all, rounded up.
int64_t ftc_train_steps(double steps, int64_t total);

// The schedule of a run of `total` steps.
ftc_schedule ftc_train_schedule(const ftc_train_options *options, int64_t total);

// The names of the options that are set and that the schedule does not read.
#define FTC_TRAIN_SCHEDULE_OPTIONS 15
int ftc_train_unread_by_schedule(const ftc_train_options *options,
                                 const char *names[FTC_TRAIN_SCHEDULE_OPTIONS]);

#endif
