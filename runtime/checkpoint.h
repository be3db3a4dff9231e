// Saved models and checkpoints: directories in Hugging Face's layout, each written beside and renamed.
//
// OUTPUT holds the model (config.json, model.safetensors, the tokenizer's files, model.ir) and
// OUTPUT/checkpoint-<step>/ the same, with optimizer.safetensors (the moments, "<parameter>.exp_avg") and
// trainer_state.json.
#ifndef FTC_RUNTIME_CHECKPOINT_H
#define FTC_RUNTIME_CHECKPOINT_H

#include "runtime/hf_dir.h"
#include "runtime/model_state.h"
#include "runtime/train_options.h"

#include <cjson/cJSON.h>

// What a model directory holds beside the weights.
typedef struct {
    ftc_hf_config_extra config;
    const char *tokenizer_dir; // whose tokenizer files are copied; NULL: none
} ftc_model_files;

// What a training run knows of itself and a checkpoint keeps. Position in the data, learning rate and random
// numbers are functions of `step`.
typedef struct {
    int64_t step;                       // optimizer steps done
    int64_t events_step;                // the last step whose logging, evaluation and saving are done
    int64_t epochs_ended;               // epochs whose evaluation and saving are done
    int64_t last_logged;                // step of the last log line
    double window_loss, window_seconds; // sums over the steps since then
    int64_t window_tokens;
    double total_loss; // sum over all steps
    int64_t tokens_seen;
    bool has_best;
    double best_metric;
    int64_t best_step;
    int64_t stale_evaluations; // since the last gain
    cJSON *log_history;        // array of log lines; owned
} ftc_train_state;

// The shape of a run. All but max_steps must be the same for a run to continue another: the position in the
// data and the random numbers depend on it.
typedef struct {
    int64_t examples, batch, accumulation, steps_per_epoch, seed, data_seed, max_steps;
} ftc_train_identity;

// Writes the model into `output`, replacing the files of one that is there; other files stay.
ftc_status ftc_model_save(const char *output, const ftc_model_state *state, const ftc_model_files *files);

// Writes OUTPUT/checkpoint-<step>; with options->save_only_model without moments and state. Fails, writing
// nothing, when a parameter is not finite.
ftc_status ftc_checkpoint_save(const ftc_train_options *options, const ftc_model_state *state,
                               const ftc_model_files *files, const ftc_train_state *train,
                               const ftc_train_identity *identity);

// "OUTPUT/checkpoint-<step>", allocated.
char *ftc_checkpoint_path(const char *output, int64_t step);

// The newest checkpoint of `output` that can be resumed, allocated; NULL when there is none.
char *ftc_checkpoint_latest(const char *output);

// Reads parameters, moments and the run's state back. Fails when `identity` is not that of the checkpoint.
ftc_status ftc_checkpoint_restore(const char *path, ftc_model_state *state,
                                  const ftc_train_identity *identity, ftc_train_state *train);

// Removes the oldest checkpoints of `output` until `limit` (at least 1) are left; never that of step `keep`
// (-1: none).
ftc_status ftc_checkpoint_rotate(const char *output, int64_t limit, int64_t keep);

void ftc_train_state_free(ftc_train_state *train);

#endif
