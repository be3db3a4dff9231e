#include "runtime/loop/train_state.h"

#include "runtime/files.h"
#include "runtime/json.h"
#include "runtime/loop/stepper.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ftc_train_state_free(ftc_train_state *train) {
    ftc_curve_free(&train->curve);
    ftc_history_free(&train->history);
    *train = (ftc_train_state){0};
}

char *ftc_checkpoint_path(const char *output, int64_t step) {
    char name[40];
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)step);
    return ftc_path_join(output, name);
}

// The numbers of the state that must come back exactly. Doubles are written as hexadecimal text.
typedef struct {
    const char *name;
    size_t offset;
    bool is_double;
} state_field;

#define INTEGER(field) {#field, offsetof(ftc_train_state, field), false}
#define DOUBLE(field)  {#field, offsetof(ftc_train_state, field), true}
static const state_field STATE_FIELDS[] = {
    INTEGER(step),
    INTEGER(events_step),
    INTEGER(epochs_ended),
    INTEGER(last_logged),
    DOUBLE(window_loss),
    DOUBLE(window_seconds),
    INTEGER(window_tokens),
    DOUBLE(total_loss),
    INTEGER(drawn),
    INTEGER(drawn_before_epoch),
    INTEGER(examples_seen),
    INTEGER(tokens_seen),
    INTEGER(tokens_padded),
    INTEGER(epoch_examples),
    INTEGER(epoch_correct),
    DOUBLE(epoch_loss),
    DOUBLE(epoch_weight),
    DOUBLE(best_metric),
    INTEGER(best_step),
    INTEGER(best_saved),
    DOUBLE(plateau.lr),
    DOUBLE(plateau.best),
    INTEGER(plateau.bad),
    INTEGER(plateau.cooldown),
    INTEGER(stale_evaluations),
};
#undef INTEGER
#undef DOUBLE

static const struct {
    const char *name, *option; // as people set it
    size_t offset;
} IDENTITY_FIELDS[] = {
    {"examples", "the training data", offsetof(ftc_train_identity, examples)},
    {"data", "the training data", offsetof(ftc_train_identity, data)},
    {"batch", "--batch", offsetof(ftc_train_identity, batch)},
    {"shards", "--shards", offsetof(ftc_train_identity, shards)},
    {"accumulation", "--accumulation", offsetof(ftc_train_identity, accumulation)},
    {"steps_per_epoch", "--drop-last", offsetof(ftc_train_identity, steps_per_epoch)},
    {"sampling", "--no-shuffle or --group-by-length", offsetof(ftc_train_identity, sampling)},
    {"seed", "--seed", offsetof(ftc_train_identity, seed)},
    {"data_seed", "--data-seed", offsetof(ftc_train_identity, data_seed)},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

// --- trainer_state.json -------------------------------------------------------------------------------

static void add_best(cJSON *json, const char *output, const ftc_train_state *train) {
    char *path = train->best_saved > 0 ? ftc_checkpoint_path(output, train->best_saved) : NULL;
    cJSON *metric = train->has_best ? cJSON_CreateNumber(train->best_metric) : cJSON_CreateNull();
    cJSON *step = train->has_best ? cJSON_CreateNumber((double)train->best_step) : cJSON_CreateNull();
    cJSON_AddItemToObject(json, "best_metric", metric);
    cJSON_AddItemToObject(json, "best_global_step", step);
    cJSON_AddItemToObject(json, "best_model_checkpoint",
                          path ? cJSON_CreateString(path) : cJSON_CreateNull());
    free(path);
}

// What Trainer's loop is asked for where it is resumed: nothing but to stop at the end.
static void add_callbacks(cJSON *json, const ftc_train_state *train, const ftc_train_identity *identity) {
    static const char *const ASKS[] = {"should_epoch_stop", "should_save", "should_evaluate", "should_log"};
    cJSON *callbacks = cJSON_AddObjectToObject(json, "stateful_callbacks");
    cJSON *control = cJSON_AddObjectToObject(callbacks, "TrainerControl");
    cJSON *args = cJSON_AddObjectToObject(control, "args");
    cJSON_AddBoolToObject(args, "should_training_stop", train->step >= identity->max_steps);
    for (size_t i = 0; i < COUNT(ASKS); i++) cJSON_AddBoolToObject(args, ASKS[i], false);
    cJSON_AddObjectToObject(control, "attributes");
}

double ftc_train_epoch(const ftc_train_state *train, const ftc_train_identity *identity) {
    int64_t whole = train->step / identity->steps_per_epoch,
            batches = train->step % identity->steps_per_epoch * identity->accumulation;
    return (double)whole + (double)batches / (double)identity->batches_per_epoch;
}

double ftc_train_flos(const ftc_train_state *train, const ftc_train_identity *identity) {
    return (double)train->tokens_padded * (double)identity->flos;
}

// The fields of transformers' TrainerState, but for the log.
static cJSON *make_trainer_state(const ftc_train_options *options, const ftc_train_state *train,
                                 const ftc_train_identity *identity) {
    cJSON *json = cJSON_CreateObject();
    double per_epoch = (double)identity->steps_per_epoch;
    cJSON_AddNumberToObject(json, "global_step", (double)train->step);
    cJSON_AddNumberToObject(json, "epoch", ftc_train_epoch(train, identity));
    cJSON_AddNumberToObject(json, "max_steps", (double)identity->max_steps);
    cJSON_AddNumberToObject(json, "num_train_epochs", ceil((double)identity->max_steps / per_epoch));
    cJSON_AddNumberToObject(json, "train_batch_size", (double)identity->batch);
    double eval_steps = options->eval_steps > 0 ? options->eval_steps : options->logging_steps;
    cJSON_AddNumberToObject(json, "logging_steps",
                            (double)ftc_train_steps(options->logging_steps, identity->max_steps));
    cJSON_AddNumberToObject(json, "eval_steps", (double)ftc_train_steps(eval_steps, identity->max_steps));
    cJSON_AddNumberToObject(json, "save_steps",
                            (double)ftc_train_steps(options->save_steps, identity->max_steps));
    cJSON_AddNumberToObject(json, "num_input_tokens_seen", (double)train->tokens_seen);
    cJSON_AddNumberToObject(json, "total_flos", ftc_train_flos(train, identity));
    cJSON_AddBoolToObject(json, "is_local_process_zero", true);
    cJSON_AddBoolToObject(json, "is_world_process_zero", true);
    cJSON_AddBoolToObject(json, "is_hyper_param_search", false);
    cJSON_AddNullToObject(json, "trial_name");
    cJSON_AddNullToObject(json, "trial_params");
    add_callbacks(json, train, identity);
    add_best(json, options->output, train);
    return json;
}

// --- resume.json --------------------------------------------------------------------------------------

static cJSON *make_resume(const ftc_train_state *train, const ftc_train_identity *identity) {
    cJSON *json = cJSON_CreateObject(), *run = cJSON_AddObjectToObject(json, "run");
    for (size_t i = 0; i < COUNT(IDENTITY_FIELDS); i++) {
        int64_t value = *(const int64_t *)((const char *)identity + IDENTITY_FIELDS[i].offset);
        cJSON_AddNumberToObject(run, IDENTITY_FIELDS[i].name, (double)value);
    }
    for (size_t i = 0; i < COUNT(STATE_FIELDS); i++) {
        const char *field = (const char *)train + STATE_FIELDS[i].offset;
        char text[40];
        if (STATE_FIELDS[i].is_double) {
            snprintf(text, sizeof text, "%a", *(const double *)field);
            cJSON_AddStringToObject(json, STATE_FIELDS[i].name, text);
        } else {
            cJSON_AddNumberToObject(json, STATE_FIELDS[i].name, (double)*(const int64_t *)field);
        }
    }
    cJSON_AddBoolToObject(json, "has_best", train->has_best);
    cJSON_AddItemToObject(json, "curve", ftc_curve_to_json(&train->curve));
    return json;
}

static ftc_status check_identity(const char *path, const cJSON *run, const ftc_train_identity *identity) {
    for (size_t i = 0; i < COUNT(IDENTITY_FIELDS); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(run, IDENTITY_FIELDS[i].name);
        int64_t ours = *(const int64_t *)((const char *)identity + IDENTITY_FIELDS[i].offset);
        if (!cJSON_IsNumber(item)) {
            return ftc_status_make(FTC_BAD_INPUT, "%s: lacks \"%s\"; it cannot be resumed", path,
                                   IDENTITY_FIELDS[i].name);
        }
        if ((double)ours != item->valuedouble) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "%s: was made with %s = %.0f, this run has %lld; make %s the same, or start anew "
                "without --resume",
                path, IDENTITY_FIELDS[i].name, item->valuedouble, (long long)ours, IDENTITY_FIELDS[i].option);
        }
    }
    return FTC_STATUS_OK;
}

// The most numbers that the order of the examples has drawn: for each epoch, and for an evaluation at the
// start, after each step and each epoch.
static int64_t most_drawn(const ftc_train_identity *identity, int64_t step, int64_t epochs) {
    const ftc_order order = {.sampling = (ftc_sampling)identity->sampling};
    return epochs * ftc_order_draws(&order, identity->examples) +
           (1 + step + epochs) * ftc_order_draws(&order, 0);
}

// Whether the numbers are those of a run that stands somewhere: the loop counts with them.
static bool is_consistent(const ftc_train_state *s, const ftc_train_identity *identity) {
    int64_t per_epoch = identity->steps_per_epoch, step = s->step;
    int64_t begun = (step + per_epoch - 1) / per_epoch; // epochs; the last of them has ended, or not yet
    return step <= FTC_MOST_STEPS && s->events_step <= step && s->last_logged <= step &&
           s->best_step <= step && s->best_saved <= s->best_step && s->stale_evaluations <= step + 1 &&
           s->epochs_ended <= begun && s->epochs_ended + 1 >= begun &&
           s->epoch_examples <= identity->examples && s->epoch_correct <= s->epoch_examples &&
           s->drawn_before_epoch <= s->drawn && s->drawn <= most_drawn(identity, step, begun);
}

// A number as "%a" wrote it; 0 when it is none. The best metrics may be infinite.
static bool read_double(const cJSON *item, bool may_be_infinite, double *out) {
    const char *text = cJSON_GetStringValue(item);
    char *end = NULL;
    double value = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || (!isfinite(value) && !may_be_infinite)) return false;
    *out = value;
    return true;
}

static ftc_status read_resume(const char *path, const cJSON *json, const ftc_train_identity *identity,
                              ftc_train_state *out) {
    FTC_RETURN_IF_ERROR(check_identity(path, cJSON_GetObjectItemCaseSensitive(json, "run"), identity));
    ftc_train_state train = {.history = out->history};
    for (size_t i = 0; i < COUNT(STATE_FIELDS); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, STATE_FIELDS[i].name);
        char *field = (char *)&train + STATE_FIELDS[i].offset;
        bool is_metric = STATE_FIELDS[i].offset == offsetof(ftc_train_state, best_metric) ||
                         STATE_FIELDS[i].offset == offsetof(ftc_train_state, plateau.best);
        bool ok = STATE_FIELDS[i].is_double ? read_double(item, is_metric, (double *)field)
                                            : ftc_json_count(item, (int64_t *)field);
        if (!ok)
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s: lacks \"%s\", or it is no number of its kind; it cannot be resumed",
                                   path, STATE_FIELDS[i].name);
    }
    if (!is_consistent(&train, identity))
        return ftc_status_make(
            FTC_BAD_INPUT, "%s: its numbers are none of a run that got to step %lld; it cannot be resumed",
            path, (long long)train.step);
    train.has_best = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "has_best"));
    if (!ftc_curve_from_json(cJSON_GetObjectItemCaseSensitive(json, "curve"), train.step, &train.curve))
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: lacks \"curve\", or it is not that of a run up to step %lld; it cannot be "
            "resumed",
            path, (long long)train.step);
    *out = train;
    return FTC_STATUS_OK;
}

// --- both ---------------------------------------------------------------------------------------------

ftc_status ftc_train_state_write(const char *dir, const ftc_train_options *options,
                                 const ftc_train_state *train, const ftc_train_identity *identity) {
    cJSON *state = make_trainer_state(options, train, identity);
    char *path = ftc_path_join(dir, "trainer_state.json");
    ftc_status status = ftc_history_write(&train->history, state, path);
    free(path);
    cJSON_Delete(state);
    if (status.code != FTC_OK || options->save_only_model) return status;
    cJSON *resume = make_resume(train, identity);
    path = ftc_path_join(dir, "resume.json");
    status = ftc_json_write(path, resume);
    free(path);
    cJSON_Delete(resume);
    return status;
}

ftc_status ftc_train_state_read(const char *dir, const ftc_train_identity *identity, ftc_train_state *out) {
    char *resume_path = ftc_path_join(dir, "resume.json"),
         *trainer_path = ftc_path_join(dir, "trainer_state.json");
    cJSON *resume = NULL, *trainer = NULL;
    ftc_train_state train = {.history = out->history};
    ftc_status status = ftc_json_read(resume_path, &resume);
    if (status.code == FTC_OK) status = read_resume(resume_path, resume, identity, &train);
    if (status.code == FTC_OK) status = ftc_json_read(trainer_path, &trainer);
    if (status.code == FTC_OK) {
        cJSON *lines = cJSON_GetObjectItemCaseSensitive(trainer, "log_history");
        while (cJSON_IsArray(lines) && lines->child)
            ftc_history_add(&train.history, cJSON_DetachItemViaPointer(lines, lines->child));
        *out = train;
    } else {
        ftc_curve_free(&train.curve);
    }
    cJSON_Delete(resume);
    cJSON_Delete(trainer);
    free(resume_path);
    free(trainer_path);
    return status;
}
