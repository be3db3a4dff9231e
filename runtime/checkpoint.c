#include "runtime/checkpoint.h"

#include "runtime/files.h"
#include "runtime/json.h"

#include <dirent.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void ftc_train_state_free(ftc_train_state *train) {
    cJSON_Delete(train->log_history);
    *train = (ftc_train_state){0};
}

char *ftc_checkpoint_path(const char *output, int64_t step) {
    char name[40];
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)step);
    return ftc_path_join(output, name);
}

// ---------------------------------------------------------------------------------------------- the model

static ftc_status check_finite(const ftc_model_state *state) {
    for (int32_t i = 0; i < state->program->n_tensors; i++) {
        const ftc_tensor_info *info = &state->program->tensors[i];
        if (info->role != FTC_ROLE_PARAM || info->dtype != FTC_F32) continue;
        const float *values = state->tensors[i];
        int64_t n = ftc_tensor_elements(info);
        for (int64_t k = 0; k < n; k++) {
            if (!isfinite(values[k])) {
                return ftc_status_make(
                    FTC_FAILED,
                    "element %lld of \"%s\" is not finite: nothing is saved; try a smaller "
                    "learning rate or clipping (--max-grad-norm 1)",
                    (long long)k, info->name);
            }
        }
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

// Everything that makes `dir` a model directory.
static ftc_status write_model(const char *dir, const ftc_model_state *state, const ftc_model_files *files) {
    const ftc_program *program = state->program;
    FTC_RETURN_IF_ERROR(check_finite(state));
    WITH_PATH(dir, "model.safetensors", ftc_model_state_save(state, FTC_ROLE_PARAM, path));
    WITH_PATH(dir, "config.json", ftc_hf_config_write(program, &files->config, path));
    if (program->source)
        WITH_PATH(dir, "model.ir", ftc_file_write(path, program->source, strlen(program->source)));
    return files->tokenizer_dir ? ftc_hf_tokenizer_copy(files->tokenizer_dir, dir) : FTC_STATUS_OK;
}

ftc_status ftc_model_save(const char *output, const ftc_model_state *state, const ftc_model_files *files) {
    FTC_RETURN_IF_ERROR(ftc_dir_make(output));
    char *final = ftc_path_join(output, "model"), *temporary;
    ftc_status status = ftc_dir_begin(final, &temporary);
    free(final);
    if (status.code != FTC_OK) return status;
    status = write_model(temporary, state, files);
    if (status.code == FTC_OK) {
        status = ftc_dir_merge(temporary, output);
    } else {
        ftc_status removed = ftc_dir_remove(temporary); // the first failure is the one to report
        ftc_status_free(&removed);
    }
    free(temporary);
    return status;
}

// ----------------------------------------------------------------------------------------------
// trainer_state.json

// The numbers of the state that must come back exactly. Doubles are written as hexadecimal text.
typedef struct {
    const char *name;
    size_t offset;
    bool is_double;
} state_field;

#define INTEGER(field) {#field, offsetof(ftc_train_state, field), false}
#define DOUBLE(field)  {#field, offsetof(ftc_train_state, field), true}
static const state_field STATE_FIELDS[] = {
    INTEGER(step),        INTEGER(events_step),   INTEGER(epochs_ended),  INTEGER(last_logged),
    DOUBLE(window_loss),  DOUBLE(window_seconds), INTEGER(window_tokens), DOUBLE(total_loss),
    INTEGER(tokens_seen), DOUBLE(best_metric),    INTEGER(best_step),     INTEGER(stale_evaluations),
};
#undef INTEGER
#undef DOUBLE

static const struct {
    const char *name, *option; // as people set it
    size_t offset;
} IDENTITY_FIELDS[] = {
    {"examples", "the training data", offsetof(ftc_train_identity, examples)},
    {"batch", "--batch", offsetof(ftc_train_identity, batch)},
    {"accumulation", "--accumulation", offsetof(ftc_train_identity, accumulation)},
    {"steps_per_epoch", "--drop-last", offsetof(ftc_train_identity, steps_per_epoch)},
    {"seed", "--seed", offsetof(ftc_train_identity, seed)},
    {"data_seed", "--data-seed", offsetof(ftc_train_identity, data_seed)},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static cJSON *state_to_json(const ftc_train_options *options, const ftc_train_state *train,
                            const ftc_train_identity *identity) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "global_step", (double)train->step);
    cJSON_AddNumberToObject(json, "epoch", (double)train->step / (double)identity->steps_per_epoch);
    cJSON_AddNumberToObject(json, "max_steps", (double)identity->max_steps);
    cJSON_AddNumberToObject(json, "num_train_epochs",
                            ceil((double)identity->max_steps / (double)identity->steps_per_epoch));
    cJSON_AddNumberToObject(json, "train_batch_size", (double)identity->batch);
    cJSON_AddNumberToObject(json, "logging_steps", options->logging_steps);
    cJSON_AddNumberToObject(json, "eval_steps", options->eval_steps);
    cJSON_AddNumberToObject(json, "save_steps", options->save_steps);
    cJSON_AddNumberToObject(json, "num_input_tokens_seen", (double)train->tokens_seen);
    if (train->has_best) {
        char *path = ftc_checkpoint_path(options->output, train->best_step);
        cJSON_AddNumberToObject(json, "best_metric", train->best_metric);
        cJSON_AddNumberToObject(json, "best_global_step", (double)train->best_step);
        cJSON_AddStringToObject(json, "best_model_checkpoint", path);
        free(path);
    } else {
        cJSON_AddNullToObject(json, "best_metric");
        cJSON_AddNullToObject(json, "best_global_step");
        cJSON_AddNullToObject(json, "best_model_checkpoint");
    }
    cJSON *own = cJSON_AddObjectToObject(json, "ftc"); // what a resumed run needs exactly
    for (size_t i = 0; i < COUNT(STATE_FIELDS); i++) {
        const char *field = (const char *)train + STATE_FIELDS[i].offset;
        char text[40];
        if (STATE_FIELDS[i].is_double) {
            snprintf(text, sizeof text, "%a", *(const double *)field);
            cJSON_AddStringToObject(own, STATE_FIELDS[i].name, text);
        } else {
            cJSON_AddNumberToObject(own, STATE_FIELDS[i].name, (double)*(const int64_t *)field);
        }
    }
    cJSON_AddBoolToObject(own, "has_best", train->has_best);
    cJSON *same = cJSON_AddObjectToObject(own, "run");
    for (size_t i = 0; i < COUNT(IDENTITY_FIELDS); i++) {
        int64_t value = *(const int64_t *)((const char *)identity + IDENTITY_FIELDS[i].offset);
        cJSON_AddNumberToObject(same, IDENTITY_FIELDS[i].name, (double)value);
    }
    cJSON_AddItemToObject(json, "log_history",
                          train->log_history ? cJSON_Duplicate(train->log_history, 1) : cJSON_CreateArray());
    return json;
}

static ftc_status state_from_json(const char *path, const cJSON *json, const ftc_train_identity *identity,
                                  ftc_train_state *out) {
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(json, "ftc");
    const cJSON *same = cJSON_GetObjectItemCaseSensitive(own, "run");
    ftc_train_state train = {0};
    for (size_t i = 0; i < COUNT(IDENTITY_FIELDS); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(same, IDENTITY_FIELDS[i].name);
        int64_t ours = *(const int64_t *)((const char *)identity + IDENTITY_FIELDS[i].offset);
        if (!cJSON_IsNumber(item)) {
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s: was not written by ftc, or is damaged; it cannot be resumed", path);
        }
        if ((double)ours != item->valuedouble) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "%s: was made with %s = %.0f, this run has %lld; make %s the same, or start anew "
                "without --resume",
                path, IDENTITY_FIELDS[i].name, item->valuedouble, (long long)ours, IDENTITY_FIELDS[i].option);
        }
    }
    for (size_t i = 0; i < COUNT(STATE_FIELDS); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(own, STATE_FIELDS[i].name);
        char *field = (char *)&train + STATE_FIELDS[i].offset;
        if (STATE_FIELDS[i].is_double && cJSON_IsString(item)) {
            *(double *)field = strtod(item->valuestring, NULL);
        } else if (!STATE_FIELDS[i].is_double && ftc_json_count(item, (int64_t *)field)) {
            continue;
        } else {
            return ftc_status_make(FTC_BAD_INPUT, "%s: lacks \"%s\"; it cannot be resumed", path,
                                   STATE_FIELDS[i].name);
        }
    }
    train.has_best = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(own, "has_best"));
    const cJSON *history = cJSON_GetObjectItemCaseSensitive(json, "log_history");
    train.log_history = cJSON_IsArray(history) ? cJSON_Duplicate(history, 1) : cJSON_CreateArray();
    *out = train;
    return FTC_STATUS_OK;
}

// ---------------------------------------------------------------------------------------------- checkpoints

static ftc_status write_checkpoint(const char *dir, const ftc_train_options *options,
                                   const ftc_model_state *state, const ftc_model_files *files,
                                   const ftc_train_state *train, const ftc_train_identity *identity) {
    FTC_RETURN_IF_ERROR(write_model(dir, state, files));
    if (options->save_only_model) return FTC_STATUS_OK;
    WITH_PATH(dir, "optimizer.safetensors", ftc_model_state_save(state, FTC_ROLE_MOMENT, path));
    cJSON *json = state_to_json(options, train, identity);
    char *path = ftc_path_join(dir, "trainer_state.json");
    ftc_status status = ftc_json_write(path, json);
    free(path);
    cJSON_Delete(json);
    return status;
}

ftc_status ftc_checkpoint_save(const ftc_train_options *options, const ftc_model_state *state,
                               const ftc_model_files *files, const ftc_train_state *train,
                               const ftc_train_identity *identity) {
    FTC_RETURN_IF_ERROR(ftc_dir_make(options->output));
    char *final = ftc_checkpoint_path(options->output, train->step), *temporary;
    ftc_status status = ftc_dir_begin(final, &temporary);
    if (status.code == FTC_OK) {
        status = write_checkpoint(temporary, options, state, files, train, identity);
        if (status.code == FTC_OK) {
            status = ftc_dir_commit(temporary, final);
        } else {
            ftc_status removed = ftc_dir_remove(temporary); // the first failure is the one to report
            ftc_status_free(&removed);
        }
        free(temporary);
    }
    free(final);
    return status;
}

// A checkpoint-<step> directory.
typedef struct {
    int64_t step;
    struct timespec written;
    bool resumable;
} found;

static int by_time(const void *a, const void *b) {
    const found *x = a, *y = b;
    if (x->written.tv_sec != y->written.tv_sec) return x->written.tv_sec < y->written.tv_sec ? -1 : 1;
    if (x->written.tv_nsec != y->written.tv_nsec) return x->written.tv_nsec < y->written.tv_nsec ? -1 : 1;
    return (x->step > y->step) - (x->step < y->step);
}

// The checkpoints in `output`, oldest first.
static size_t list_checkpoints(const char *output, found **out) {
    DIR *dir = opendir(output);
    size_t n = 0;
    found *list = NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        long long step;
        int length;
        if (sscanf(entry->d_name, "checkpoint-%lld%n", &step, &length) != 1 || entry->d_name[length])
            continue;
        char *path = ftc_path_join(output, entry->d_name), *state = ftc_path_join(path, "trainer_state.json");
        char *weights = ftc_path_join(path, "model.safetensors");
        struct stat info;
        if (stat(weights, &info) == 0) {
            list = realloc(list, (n + 1) * sizeof *list);
            if (!list) abort();
            list[n++] = (found){step, info.st_mtim, ftc_file_exists(state)};
        }
        free(path);
        free(state);
        free(weights);
    }
    if (dir) closedir(dir);
    if (n > 0) qsort(list, n, sizeof *list, by_time);
    *out = list;
    return n;
}

char *ftc_checkpoint_latest(const char *output) {
    found *list;
    size_t n = list_checkpoints(output, &list);
    while (n > 0 && !list[n - 1].resumable) n--;
    char *path = n > 0 ? ftc_checkpoint_path(output, list[n - 1].step) : NULL;
    free(list);
    return path;
}

ftc_status ftc_checkpoint_rotate(const char *output, int64_t limit, int64_t keep) {
    found *list;
    size_t n = list_checkpoints(output, &list), left = n;
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i + 1 < n && left > (size_t)limit && status.code == FTC_OK; i++) { // never the newest
        if (list[i].step == keep) continue;
        char *path = ftc_checkpoint_path(output, list[i].step);
        status = ftc_dir_remove(path);
        free(path);
        left--;
    }
    free(list);
    return status;
}

ftc_status ftc_checkpoint_restore(const char *path, ftc_model_state *state,
                                  const ftc_train_identity *identity, ftc_train_state *train) {
    char *weights = ftc_path_join(path, "model.safetensors"),
         *moments = ftc_path_join(path, "optimizer.safetensors");
    char *state_path = ftc_path_join(path, "trainer_state.json");
    cJSON *json = NULL;
    ftc_train_state read = {0};
    ftc_status status = ftc_json_read(state_path, &json);
    if (status.code == FTC_OK) status = state_from_json(state_path, json, identity, &read);
    if (status.code == FTC_OK) status = ftc_model_state_restore(state, FTC_ROLE_PARAM, weights);
    if (status.code == FTC_OK) status = ftc_model_state_restore(state, FTC_ROLE_MOMENT, moments);
    cJSON_Delete(json);
    free(weights);
    free(moments);
    free(state_path);
    if (status.code != FTC_OK) {
        ftc_train_state_free(&read);
        return status;
    }
    *train = read;
    return FTC_STATUS_OK;
}
