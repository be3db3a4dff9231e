// Where a training run stands, as a checkpoint keeps it: trainer_state.json in the form of transformers'
// Trainer, for people and tools, and resume.json with what a resumed run needs exactly.
#ifndef FTC_RUNTIME_TRAIN_STATE_H
#define FTC_RUNTIME_TRAIN_STATE_H

#include "runtime/loop/curve.h"
#include "runtime/loop/history.h"
#include "runtime/loop/train_options.h"
#include "runtime/status.h"

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

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
    int64_t examples_seen, tokens_seen;
    // Numbers that the order of the examples has drawn (order.h), and those before the epoch that it is in.
    int64_t drawn, drawn_before_epoch;
    int64_t tokens_padded;                 // what tokens_seen would be, padded to the longest of each batch
    int64_t epoch_examples, epoch_correct; // of the epoch so far
    double epoch_loss, epoch_weight;       // sums: of the losses times their weights, of the weights
    bool has_best;
    double best_metric;
    int64_t best_step;
    ftc_plateau plateau;       // of reduce_lr_on_plateau
    int64_t best_saved;        // step of the checkpoint that the run would end with as the best; 0: none yet
    int64_t stale_evaluations; // since the last gain
    ftc_curve curve;           // of all steps
    ftc_history history;       // of what was logged
} ftc_train_state;

// The shape of a run. All but max_steps and flos must be the same for a run to continue another: the position
// in the data and the random numbers depend on it.
typedef struct {
    int64_t examples, data; // how many, and a hash of them
    int64_t batch, shards, accumulation, batches_per_epoch, steps_per_epoch, sampling, seed, data_seed,
        max_steps;
    int64_t flos; // a token, as transformers estimates them
} ftc_train_identity;

// How many times the run has gone through the data, as Trainer counts: by batches, of which an epoch's last
// step may have fewer than the others.
double ftc_train_epoch(const ftc_train_state *train, const ftc_train_identity *identity);

// Floating-point operations so far as Trainer.floating_point_ops of transformers estimates them: 6 for each
// token, padding included, and parameter outside of embeddings.
double ftc_train_flos(const ftc_train_state *train, const ftc_train_identity *identity);

// Writes both files into the directory `dir`; with options->save_only_model only the first.
ftc_status ftc_train_state_write(const char *dir, const ftc_train_options *options,
                                 const ftc_train_state *train, const ftc_train_identity *identity);

// Reads them back over `out`, whose history gets the lines that were logged. Fails, and changes nothing, when
// `identity` is not that of the run that wrote them.
ftc_status ftc_train_state_read(const char *dir, const ftc_train_identity *identity, ftc_train_state *out);

void ftc_train_state_free(ftc_train_state *train);

// "OUTPUT/checkpoint-<step>", allocated.
char *ftc_checkpoint_path(const char *output, int64_t step);

#endif
