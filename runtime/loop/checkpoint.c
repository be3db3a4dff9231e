#include "runtime/loop/checkpoint.h"

#include "ir/base/alloc.h"
#include "runtime/data/batch.h"
#include "runtime/files.h"
#include "runtime/hub/adapter.h"
#include "runtime/hub/pooling.h"
#include "runtime/loop/adapted.h"
#include "runtime/loop/folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- the model ----------------------------------------------------------------------------------------

static ftc_status check_finite(const ftc_model_state *state) {
    for (int32_t i = 0; i < state->program->n_tensors; i++) {
        const ftc_tensor_info *info = &state->program->tensors[i];
        if (info->role != FTC_ROLE_PARAM || info->dtype != FTC_F32) continue;
        int64_t at = ftc_first_not_finite(ftc_model_state_tensor(state, i), ftc_tensor_elements(info));
        if (at < 0) continue;
        return ftc_status_make(FTC_FAILED,
                               "element %lld of \"%s\" is not finite: nothing is saved; try a smaller "
                               "learning rate or clipping (--max-grad-norm 1)",
                               (long long)at, info->name);
    }
    return FTC_STATUS_OK;
}

// Runs `expr` with `path` = dir/name.
#define WITH_PATH(dir, name, expr)                                                                           \
    do {                                                                                                     \
        char *path = ftc_path_join(dir, name);                                                               \
        ftc_status written = expr;                                                                           \
        free(path);                                                                                          \
        FTC_RETURN_IF_ERROR(written);                                                                        \
    } while (0)

// The adapters, and what they belong to.
static ftc_status write_adapter(const char *dir, const ftc_model_state *state, const ftc_model_files *files) {
    char *base = NULL;
    FTC_RETURN_IF_ERROR(ftc_adapter_base(files->config.base_dir, &base));
    char *real = realpath(base, NULL), *weights = ftc_path_join(dir, "adapter_model.safetensors");
    ftc_status status = ftc_adapted_save(state, base, weights);
    free(weights);
    char *config = ftc_path_join(dir, "adapter_config.json");
    if (status.code == FTC_OK) status = ftc_adapter_write(state->program, real ? real : base, config);
    free(config);
    free(real);
    free(base);
    return status;
}

// How the program makes the vectors of pairs' texts: a word of sentence-transformers; NULL: it makes none.
static const char *pooling_of(const ftc_program *program, int64_t *width) {
    int32_t embedding = -1;
    for (int32_t i = 0; i < program->n_outputs; i++)
        if (program->outputs[i].role == FTC_OUTPUT_EMBEDDING) embedding = i;
    if (embedding < 0 || ftc_program_texts_per_row(program) == 1) return NULL;
    *width = program->outputs[embedding].each;
    const ftc_setting *pooling = ftc_program_config(program, FTC_CONFIG_TEXT_POOLING);
    return pooling ? pooling->text : NULL;
}

// Everything that makes `dir` a model directory.
static ftc_status write_model(const char *dir, const ftc_model_state *state, const ftc_model_files *files,
                              bool merges) {
    const ftc_program *program = state->program;
    const char *source = merges ? files->merged_source : program->source;
    FTC_RETURN_IF_ERROR(check_finite(state));
    if (merges)
        WITH_PATH(dir, "model.safetensors", ftc_adapted_save_merged(state, path));
    else if (ftc_adapter_in(program))
        FTC_RETURN_IF_ERROR(write_adapter(dir, state, files));
    else
        WITH_PATH(dir, "model.safetensors", ftc_model_state_save(state, FTC_ROLE_PARAM, path));
    WITH_PATH(dir, "config.json", ftc_hf_config_write(program, &files->config, path));
    int64_t width;
    const char *pooling = pooling_of(program, &width);
    if (pooling) FTC_RETURN_IF_ERROR(ftc_pooling_write(dir, pooling, width, files->max_length));
    if (source) WITH_PATH(dir, "model.ir", ftc_file_write(path, source, strlen(source)));
    if (!files->tokenizer_dir) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(ftc_hf_tokenizer_copy(files->tokenizer_dir, files->tokenizer_by_class, dir));
    if (ftc_program_label(program) == FTC_LABEL_TOKENS) FTC_RETURN_IF_ERROR(ftc_hf_tokenizer_for_words(dir));
    return files->max_length ? ftc_hf_tokenizer_limit(dir, files->max_length) : FTC_STATUS_OK;
}

ftc_status ftc_model_check_output(const char *output, const ftc_program *program,
                                  const ftc_model_files *files) {
    if (!ftc_adapter_in(program) || files->merged_source) return FTC_STATUS_OK;
    if (!files->config.base_dir)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: adapters belong to the weights of a pretrained model, whose directory "
                               "is to be named: --pretrained DIR; or merge them: --lora-merge",
                               output);
    char *base = NULL;
    FTC_RETURN_IF_ERROR(ftc_adapter_base(files->config.base_dir, &base));
    char *there = realpath(base, NULL), *here = realpath(output, NULL);
    bool same = there && here && strcmp(there, here) == 0;
    free(there);
    free(here);
    free(base);
    if (!same) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s: the base model that the adapters belong to lies there; choose another folder",
                           output);
}

static void remove_file(const char *dir, const char *name) {
    char *path = ftc_path_join(dir, name);
    unlink(path);
    free(path);
}

// What is no longer of the model in `output`: whole weights beside adapters, or the converse; what says that
// it is one of sentence-transformers.
static void remove_others(const char *output, bool is_adapter, bool has_pooling) {
    if (is_adapter) {
        remove_file(output, "model.safetensors");
    } else {
        remove_file(output, "adapter_config.json");
        remove_file(output, "adapter_model.safetensors");
    }
    if (!has_pooling) remove_file(output, "modules.json");
}

ftc_status ftc_model_save(const char *output, const ftc_model_state *state, const ftc_model_files *files) {
    bool merges = files->merged_source != NULL;
    FTC_RETURN_IF_ERROR(ftc_model_check_output(output, state->program, files));
    FTC_RETURN_IF_ERROR(ftc_dir_make(output));
    char *final = ftc_path_join(output, "model"), *temporary;
    ftc_status status = ftc_dir_begin(final, &temporary);
    free(final);
    if (status.code != FTC_OK) return status;
    status = ftc_dir_end(write_model(temporary, state, files, merges), temporary, ftc_dir_merge, output);
    int64_t width;
    if (status.code == FTC_OK)
        remove_others(output, ftc_adapter_in(state->program) && !merges,
                      pooling_of(state->program, &width) != NULL);
    return status;
}

// --- checkpoints --------------------------------------------------------------------------------------

static ftc_status write_checkpoint(const char *dir, const ftc_train_options *options,
                                   const ftc_model_state *state, const ftc_model_files *files,
                                   const ftc_train_state *train, const ftc_train_identity *identity) {
    FTC_RETURN_IF_ERROR(write_model(dir, state, files, false));
    if (!options->save_only_model)
        WITH_PATH(dir, "optimizer.safetensors", ftc_model_state_save(state, FTC_ROLE_MOMENT, path));
    return ftc_train_state_write(dir, options, train, identity);
}

ftc_status ftc_checkpoint_save(const ftc_train_options *options, const ftc_model_state *state,
                               const ftc_model_files *files, const ftc_train_state *train,
                               const ftc_train_identity *identity) {
    FTC_RETURN_IF_ERROR(ftc_dir_make(options->output));
    char *final = ftc_checkpoint_path(options->output, train->step), *temporary;
    ftc_status status = ftc_dir_begin(final, &temporary);
    if (status.code == FTC_OK) {
        status = write_checkpoint(temporary, options, state, files, train, identity);
        status = ftc_dir_end(status, temporary, ftc_dir_commit, final);
    }
    free(final);
    return status;
}

// A checkpoint-<step> directory.
typedef struct {
    int64_t step;
    bool is_resumable; // it has all that this takes
    bool is_recorded;  // this run made it, or the runs that it continues
} found;

static int by_step(const void *a, const void *b) {
    const found *x = a, *y = b;
    return (x->step > y->step) - (x->step < y->step);
}

static bool has_file(const char *dir, const char *name) {
    char *path = ftc_path_join(dir, name);
    bool has = ftc_file_exists(path);
    free(path);
    return has;
}

char *ftc_checkpoint_lacks(const char *dir) {
    bool is_adapted = has_file(dir, "adapter_model.safetensors");
    const char *const names[] = {is_adapted ? "adapter_model.safetensors" : "model.safetensors",
                                 "optimizer.safetensors", "resume.json", "trainer_state.json"};
    char *lacks = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (has_file(dir, names[i])) continue;
        char *longer = ftc_format("%s%s%s", lacks ? lacks : "", lacks ? ", " : "", names[i]);
        free(lacks);
        lacks = longer;
    }
    return lacks;
}

static bool is_among(const int64_t *steps, size_t n, int64_t step) {
    for (size_t i = 0; i < n; i++)
        if (steps[i] == step) return true;
    return false;
}

// The checkpoints in `output`, by step.
static size_t list_checkpoints(const char *output, found **out) {
    DIR *dir = opendir(output);
    size_t n = 0, n_recorded;
    int64_t *recorded = ftc_folder_steps(output, &n_recorded);
    found *list = NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        int64_t step;
        if (!ftc_folder_checkpoint(entry->d_name, "", &step)) continue;
        char *path = ftc_path_join(output, entry->d_name), *lacks = ftc_checkpoint_lacks(path);
        list = ftc_realloc(list, n + 1, sizeof *list);
        list[n++] = (found){step, !lacks, is_among(recorded, n_recorded, step)};
        free(lacks);
        free(path);
    }
    if (dir) closedir(dir);
    if (n > 0) qsort(list, n, sizeof *list, by_step);
    free(recorded);
    *out = list;
    return n;
}

// The one to go on from, among a number of them by step; NULL: there is none.
static const found *find_latest(const found *list, size_t n, bool is_complete) {
    const found *latest = NULL;
    for (size_t i = 0; i < n; i++) {
        bool is_better = !latest || list[i].is_recorded >= latest->is_recorded;
        if ((list[i].is_resumable || !is_complete) && is_better) latest = &list[i];
    }
    return latest;
}

char *ftc_checkpoint_latest(const char *output, char **passed_over) {
    found *list;
    size_t n = list_checkpoints(output, &list);
    const found *latest = find_latest(list, n, true), *any = find_latest(list, n, false);
    if (passed_over) *passed_over = any != latest ? ftc_checkpoint_path(output, any->step) : NULL;
    char *path = latest ? ftc_checkpoint_path(output, latest->step) : NULL;
    free(list);
    return path;
}

// Removes a directory so that an interruption leaves nothing that looks like a checkpoint.
static ftc_status remove_checkpoint(const char *path) {
    char *name = ftc_format("%s.removing", path);
    ftc_status status = ftc_dir_remove(name);
    if (status.code == FTC_OK) status = ftc_dir_commit(path, name);
    if (status.code == FTC_OK) status = ftc_dir_remove(name);
    free(name);
    return status;
}

ftc_status ftc_checkpoint_rotate(const char *output, int64_t limit, int64_t keep) {
    found *list;
    size_t all = list_checkpoints(output, &list), n = 0;
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < all; i++)
        if (list[i].is_recorded) list[n++] = list[i];
    size_t left = n;
    for (size_t i = 0; i + 1 < n && left > (size_t)limit && status.code == FTC_OK; i++) { // never the newest
        if (list[i].step == keep) continue;
        char *path = ftc_checkpoint_path(output, list[i].step);
        status = remove_checkpoint(path);
        free(path);
        left--;
    }
    free(list);
    return status;
}

ftc_status ftc_checkpoint_keep(const char *output, int64_t step) {
    found *list;
    size_t n = list_checkpoints(output, &list);
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < n && status.code == FTC_OK; i++) {
        if (!list[i].is_recorded || list[i].step == step) continue;
        char *path = ftc_checkpoint_path(output, list[i].step);
        status = remove_checkpoint(path);
        free(path);
    }
    free(list);
    return status;
}

ftc_status ftc_checkpoint_weights(const char *path, ftc_model_state *state) {
    ftc_load_report report;
    if (ftc_adapter_is(path)) {
        FTC_RETURN_IF_ERROR(ftc_model_state_load(state, path, 0, &report));
        ftc_load_report_free(&report);
        return FTC_STATUS_OK;
    }
    char *weights = ftc_path_join(path, "model.safetensors");
    ftc_status status = ftc_model_state_restore(state, FTC_ROLE_PARAM, weights);
    free(weights);
    return status;
}

ftc_status ftc_checkpoint_restore(const char *path, ftc_model_state *state,
                                  const ftc_train_identity *identity, ftc_train_state *train) {
    char *moments = ftc_path_join(path, "optimizer.safetensors");
    ftc_status status = ftc_train_state_read(path, identity, train);
    if (status.code == FTC_OK) status = ftc_checkpoint_weights(path, state);
    if (status.code == FTC_OK) status = ftc_model_state_restore(state, FTC_ROLE_MOMENT, moments);
    free(moments);
    return status;
}
