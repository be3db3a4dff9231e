// Saved models and checkpoints: directories in Hugging Face's layout, each written beside and renamed.
//
// OUTPUT holds the model (config.json, model.safetensors, the tokenizer's files, model.ir; of a model with
// adapters adapter_model.safetensors and adapter_config.json instead of its weights, unless they are merged)
// and OUTPUT/checkpoint-<step>/ the same, with optimizer.safetensors (the moments, "<parameter>.exp_avg") and
// trainer_state.json.
#ifndef FTC_RUNTIME_CHECKPOINT_H
#define FTC_RUNTIME_CHECKPOINT_H

#include "runtime/hub/hf_dir.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/train_options.h"
#include "runtime/loop/train_state.h"

// What a model directory holds beside the weights.
typedef struct {
    ftc_hf_config_extra config;
    const char *tokenizer_dir; // whose tokenizer files are copied; NULL: none
    bool tokenizer_by_class;   // ftc_hf_tokenizer_copy
    const char
        *merged_source; // model.ir without adapters: they are merged into OUTPUT's weights; NULL: kept apart
    int64_t max_length; // most tokens of a text, for the tokenizer's configuration; 0: as it says
} ftc_model_files;

// Whether the program's model can be saved in `output`: adapters belong to a base model that lies elsewhere.
ftc_status ftc_model_check_output(const char *output, const ftc_program *program,
                                  const ftc_model_files *files);

// Writes the model into `output`, replacing the files of one that is there; other files stay.
ftc_status ftc_model_save(const char *output, const ftc_model_state *state, const ftc_model_files *files);

// Writes OUTPUT/checkpoint-<step>; with options->save_only_model without moments and resume.json. Fails,
// writing nothing, when a parameter is not finite.
ftc_status ftc_checkpoint_save(const ftc_train_options *options, const ftc_model_state *state,
                               const ftc_model_files *files, const ftc_train_state *train,
                               const ftc_train_identity *identity);

// The checkpoint of `output` that the last run there would be resumed from: the highest step of those that it
// recorded (folder.h) and that are complete, else of all; allocated; NULL when there is none. Unless NULL,
// *passed_over gets the one that would be it if it were complete, allocated, or NULL.
char *ftc_checkpoint_latest(const char *output, char **passed_over);

// The names of the files without which a training cannot go on from the directory, allocated; NULL: it has
// them all.
char *ftc_checkpoint_lacks(const char *dir);

// Reads parameters, moments and the run's state back (ftc_train_state_read). Fails, changing nothing, when
// `identity` is not that of the checkpoint.
ftc_status ftc_checkpoint_restore(const char *path, ftc_model_state *state,
                                  const ftc_train_identity *identity, ftc_train_state *train);

// The parameters alone.
ftc_status ftc_checkpoint_weights(const char *path, ftc_model_state *state);

// Removes the oldest checkpoints that this run recorded until `limit` (at least 1) of them are left; never
// that of step `keep` (-1: none).
ftc_status ftc_checkpoint_rotate(const char *output, int64_t limit, int64_t keep);

// Removes all checkpoints that this run recorded but that of `step`.
ftc_status ftc_checkpoint_keep(const char *output, int64_t step);

#endif
