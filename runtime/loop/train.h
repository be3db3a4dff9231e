// The training loop.
#ifndef FTC_RUNTIME_TRAIN_H
#define FTC_RUNTIME_TRAIN_H

#include "runtime/data/batch.h"
#include "runtime/loop/checkpoint.h"
#include "runtime/loop/evaluate.h"
#include "runtime/loop/profile.h"
#include "runtime/loop/progress.h"
#include "runtime/loop/stepper.h"
#include "runtime/loop/train_options.h"
#include "runtime/loop/world.h"

// How the epoch went so far, while it was trained: with dropout, and by weights that changed meanwhile.
typedef struct {
    double epoch;    // fractions too
    double loss;     // mean over the epoch's examples; NaN before the first
    double accuracy; // NaN where it is not known: the program does not tell logits, or predicts no classes
} ftc_epoch_scores;

// Where a loop that somebody steers (ftc_train_events.moment) tells where it stands: the places at which
// transformers' Trainer calls its callbacks.
typedef enum {
    FTC_MOMENT_EPOCH_BEGIN,
    FTC_MOMENT_STEP_BEGIN,
    FTC_MOMENT_SUBSTEP_END, // of a micro-batch that is not the last of its step
    FTC_MOMENT_PRE_UPDATE,  // where forward, backward and update are one call: after it
    FTC_MOMENT_UPDATED,
    FTC_MOMENT_STEP_END,
    FTC_MOMENT_EPOCH_END,
} ftc_train_moment;

// Of the last step, once there is one: the mean loss of its micro-batches, the gradients' norm (NaN: not
// known), the learning rate it was made with, its tokens, its floating point operations as transformers
// estimates them (TrainerState.total_flos adds them up).
typedef struct {
    int64_t step, max_steps; // steps done, steps to do
    double epoch;
    double loss, grad_norm, learning_rate;
    int64_t tokens;
    double flos;
} ftc_train_standing;

// What the one who steers decides.
typedef enum {
    FTC_DECISION_GO_ON,
    FTC_DECISION_STOP,  // the run ends after this step, as if it had been the last
    FTC_DECISION_ABORT, // it ends at once, with FTC_FAILED
} ftc_train_decision;

// Whom the loop tells what happens. Any function may be NULL.
typedef struct {
    void *context;
    void (*log)(void *context, const cJSON *line); // a step, an evaluation, the end
    // After the evaluation's log line.
    void (*evaluated)(void *context, const ftc_evaluation *evaluation, const ftc_epoch_scores *train);
    void (*progress)(void *context, const ftc_progress *progress); // after each step
    void (*note)(void *context, const char *text);                 // "saved output/checkpoint-375"
    // Where a value that is not finite comes from: a sentence, allocated, or NULL. Weights and moments are
    // those before the step.
    char *(*trace)(void *context, const ftc_stepper *stepper, const ftc_batch *batch, uint32_t step,
                   uint32_t micro_step);
    ftc_train_decision (*moment)(void *context, ftc_train_moment moment, const ftc_train_standing *standing);
} ftc_train_events;

// Everything that a run needs. The caller owns it all.
typedef struct {
    const ftc_program *program;
    ftc_model_state *state; // made for ftc_train_entries; parameters initialised or loaded
    ftc_threads *threads;
    ftc_sgemm_fn *sgemm; // NULL unless the program needs it
    const ftc_dataset *train;
    const ftc_dataset *test; // NULL: no evaluation
    const ftc_train_options *options;
    int64_t steps_done; // by a run that this one continues, where no checkpoint says so (options->resume)
    // Of reduce_lr_on_plateau where whoever steers the run evaluates (ftc_plateau_step); NULL: the run's own.
    const ftc_plateau *plateau;
    const ftc_model_files *files;
    ftc_train_events events;
    const ftc_world *world; // NULL: this process alone; the first one writes what is saved
    // A signal's number ends the run at the next step, after a checkpoint; or NULL.
    const volatile sig_atomic_t *stop;
} ftc_training;

// The entries that a run with these options calls, as bits 1 << ftc_entry_kind: step alone, or grad and
// update when it accumulates or clips.
uint32_t ftc_train_entries(const ftc_train_options *options, bool with_test);

// The examples of a batch of evaluation: what the options say, or as many as the program takes where these
// are fewer. The scores are the same but for rounding.
int64_t ftc_train_eval_batch(const ftc_train_options *options, const ftc_program *program);

// The checkpoint that a run with these options goes on from, allocated; NULL: it begins anew. Refuses where
// there is none, so that nothing is compiled or read for a run that cannot be. Unless NULL, *passed_over gets
// what the later checkpoint that is incomplete lacks, "output/checkpoint-9 lacks resume.json", allocated;
// NULL: there is none.
ftc_status ftc_train_find_checkpoint(const ftc_train_options *options, char **path, char **passed_over);

// What a run that came to its end leaves, for reports.
typedef struct {
    ftc_train_state state;
    ftc_evaluation evaluation; // the last one of the weights that were saved
    int64_t evaluation_step;   // -1: there was none
    ftc_profile profile;       // of the steps of this call, not of those before a resumption
    double step_seconds;       // they took together
    int64_t steps;
} ftc_train_result;

// Runs to the end, and saves the model to options->output. Ends with FTC_FAILED when the loss is not finite,
// with FTC_INTERRUPTED when `stop` was raised. `result` may be NULL; else it is to be freed after success.
ftc_status ftc_train(const ftc_training *training, ftc_train_result *result);
void ftc_train_result_free(ftc_train_result *result);

#endif
