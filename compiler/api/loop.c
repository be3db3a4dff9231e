// libftc: the loop of `ftc run`, steered from outside, and evaluation over a data set.
#include "compiler/api/internal.h"

#include "runtime/loop/evaluate.h"
#include "runtime/loop/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)FTC_AT_EPOCH_BEGIN == FTC_MOMENT_EPOCH_BEGIN &&
                   (int)FTC_AT_EPOCH_END == FTC_MOMENT_EPOCH_END &&
                   (int)FTC_AT_STEP_END == FTC_MOMENT_STEP_END,
               "moments");

// --- examples -----------------------------------------------------------------------------------------

static bool has_one_label(const ftc_examples *e) {
    return e->labels && !e->several;
}

// That each token's class is one of the model's.
static ftc_error *check_tags(const ftc_program *program, const ftc_examples *e) {
    int64_t classes = ftc_program_classes(program);
    for (int64_t i = 0; i < e->n && classes; i++)
        for (int64_t k = e->offsets[i]; k < e->offsets[i + 1]; k++)
            if (e->tags[k] != FTC_NO_LABEL && (e->tags[k] < 0 || e->tags[k] >= classes))
                return INPUT_ERROR(
                    "example %lld, token %lld has the label %d; the model %s takes the classes 0 "
                    "to %lld, or %d where there is none",
                    (long long)i, (long long)(k - e->offsets[i]), e->tags[k], program->model,
                    (long long)classes - 1, FTC_NO_LABEL);
    return NULL;
}

static ftc_error *check_labels(const ftc_program *program, const ftc_examples *e) {
    ftc_label_kind kind = ftc_program_label(program);
    if (e->several < 0 || (e->several > 0 && e->n > INT64_MAX / e->several))
        return INPUT_ERROR("the examples have %lld labels each", (long long)e->several);
    bool of_tokens = kind == FTC_LABEL_TOKENS || ftc_program_masks(program);
    if (of_tokens ? e->labels != NULL : e->tags != NULL)
        return INPUT_ERROR("the model %s learns a label a %s, and these examples have one a %s",
                           program->model, of_tokens ? "token" : "text", of_tokens ? "text" : "token");
    if (e->labels && (kind == FTC_LABEL_SEVERAL) != (e->several > 0))
        return INPUT_ERROR("the model %s takes %s, but these examples have %s", program->model,
                           kind == FTC_LABEL_SEVERAL ? "several labels a text" : "one label a text",
                           e->several ? "several" : "one");
    return e->tags ? check_tags(program, e) : NULL;
}

static bool is_share(double x) {
    return x >= 0 && x <= 1;
}

static ftc_error *check_masks(const ftc_program *program, const ftc_mask_options *m) {
    if (!ftc_program_masks(program))
        return INPUT_ERROR("the model %s predicts no masked tokens", program->model);
    if (!is_share(m->probability) || !is_share(m->replaced) || !is_share(m->random) ||
        m->replaced + m->random > 1)
        return INPUT_ERROR(
            "masks: the probability %g, %g of it replaced, %g of it random: expected numbers from "
            "0 to 1, and not more than 1 of the last two together",
            m->probability, m->replaced, m->random);
    if (m->vocabulary < 1 || m->mask_id < 0 || m->mask_id >= m->vocabulary || !m->special)
        return INPUT_ERROR("masks: the mask token %d of a vocabulary of %d, %s", m->mask_id, m->vocabulary,
                           m->special ? "which has none such" : "and `special` is missing");
    return NULL;
}

// Borrows.
static ftc_masking *make_masking(const ftc_mask_options *m) {
    ftc_masking *masking = ftc_api_allocate(1, sizeof *masking);
    *masking = (ftc_masking){.probability = m->probability,
                             .replaced = m->replaced,
                             .random = m->random,
                             .seed = m->seed,
                             .mask_id = m->mask_id,
                             .vocabulary = m->vocabulary,
                             .is_special = (uint8_t *)m->special};
    return masking;
}

// The numbers of several labels a text, as the column that feeds them.
static ftc_number_lists *make_label_lists(const ftc_examples *e) {
    ftc_number_lists *lists = ftc_api_allocate(1, sizeof *lists);
    int64_t cells = e->n * e->several;
    lists->offsets = ftc_api_allocate((size_t)e->n + 1, sizeof *lists->offsets);
    lists->values = ftc_api_allocate((size_t)cells, sizeof *lists->values);
    for (int64_t i = 0; i <= e->n; i++) lists->offsets[i] = i * e->several;
    for (int64_t k = 0; k < cells; k++) lists->values[k] = (double)e->labels[k];
    return lists;
}

// Borrows from the examples but for what they leave out, and several labels, which free_dataset frees.
static ftc_error *make_dataset(const ftc_trainer *trainer, const ftc_examples *e, ftc_dataset *out) {
    if (e->n < 0 || e->offsets[0] != 0) return INPUT_ERROR("the examples' offsets do not begin with 0");
    for (int64_t i = 0; i < e->n; i++)
        if (e->offsets[i + 1] < e->offsets[i])
            return INPUT_ERROR("the offsets of example %lld decrease", (long long)i);
    ftc_error *error = check_labels(ftc_api_program(trainer), e);
    if (!error && e->masks) error = check_masks(ftc_api_program(trainer), e->masks);
    if (error) return error;
    *out = (ftc_dataset){
        .n = e->n,
        .offsets = (int64_t *)e->offsets,
        .ids = (int32_t *)e->ids,
        .types =
            e->types ? (int32_t *)e->types : ftc_api_allocate((size_t)e->offsets[e->n], sizeof *out->types),
        .labels = has_one_label(e) ? (float *)e->labels : ftc_api_allocate((size_t)e->n, sizeof *out->labels),
        .tags = (int32_t *)e->tags,
        .columns = e->labels && e->several ? make_label_lists(e) : NULL,
        .n_columns = e->labels && e->several,
        .masking = e->masks ? make_masking(e->masks) : NULL,
    };
    return NULL;
}

static void free_dataset(ftc_dataset *dataset, const ftc_examples *e) {
    if (!e->types) free(dataset->types);
    if (!has_one_label(e)) free(dataset->labels);
    free((ftc_masking *)dataset->masking);
    if (!dataset->columns) return;
    free(dataset->columns->offsets);
    free(dataset->columns->values);
    free(dataset->columns);
}

// --- training -----------------------------------------------------------------------------------------

typedef struct {
    ftc_loop_fn *moment;
    void *context;
} host;

static ftc_train_decision on_moment(void *context, ftc_train_moment moment, const ftc_train_standing *s) {
    const host *h = context;
    const ftc_loop_standing standing = {s->step,      s->max_steps,     s->epoch,  s->loss,
                                        s->grad_norm, s->learning_rate, s->tokens, s->flos};
    int decision = h->moment(h->context, (ftc_loop_moment)moment, &standing);
    return decision == 0 ? FTC_DECISION_GO_ON : decision == 1 ? FTC_DECISION_STOP : FTC_DECISION_ABORT;
}

// The place of a name in "one|two|three"; -1: it is none of them.
static int32_t choice(const char *names, const char *name) {
    size_t length = strlen(name);
    for (int32_t i = 0;; i++) {
        size_t n = strcspn(names, "|");
        if (n == length && strncmp(names, name, n) == 0) return i;
        if (!names[n]) return -1;
        names += n + 1;
    }
}

// `name` NULL: as it is.
static ftc_error *set_choice(const char *field, const char *names, const char *name, int32_t *to) {
    int32_t i = name ? choice(names, name) : *to;
    if (i < 0) return INPUT_ERROR("%s is \"%s\": expected one of %s", field, name, names);
    *to = i;
    return NULL;
}

static ftc_error *set_schedule(const ftc_loop_options *from, ftc_train_options *to) {
    ftc_error *error = set_choice("schedule", FTC_SCHEDULE_NAMES, from->schedule, &to->schedule);
    if (!error) error = set_choice("schedule_rise", FTC_SLOPE_NAMES, from->schedule_rise, &to->schedule_rise);
    if (!error) error = set_choice("schedule_fall", FTC_SLOPE_NAMES, from->schedule_fall, &to->schedule_fall);
    if (error) return error;
    to->lr = from->lr;
    to->warmup_steps = from->warmup_steps < 0 ? 0 : from->warmup_steps;
    to->schedule_cycles = from->schedule_cycles;
    to->schedule_power = from->schedule_power;
    to->schedule_end = from->schedule_end;
    to->schedule_timescale = from->schedule_timescale;
    to->schedule_min_lr = from->schedule_min_lr;
    to->schedule_min_share = from->schedule_min_share;
    to->schedule_decay = from->schedule_decay;
    to->schedule_stable = from->schedule_stable;
    to->schedule_factor = from->schedule_factor;
    to->schedule_threshold = from->schedule_threshold;
    to->schedule_patience = from->schedule_patience;
    to->schedule_cooldown = from->schedule_cooldown;
    return NULL;
}

static ftc_error *set_options(const ftc_loop_options *from, ftc_train_options *to) {
    ftc_train_options o = ftc_train_options_trainer();
    ftc_error *error = set_choice("order", FTC_SAMPLING_NAMES, from->order, &o.sampling);
    if (!error) error = set_schedule(from, &o);
    if (error) return error;
    o.epochs = from->epochs;
    o.max_steps = from->max_steps < 0 ? -1 : from->max_steps;
    o.batch = from->batch;
    o.accumulation = from->accumulation;
    o.drop_last = from->drop_last;
    o.seed = (int64_t)from->seed;
    o.data_seed = (int64_t)from->data_seed;
    o.weight_decay = from->weight_decay;
    o.beta1 = from->beta1;
    o.beta2 = from->beta2;
    o.eps = from->eps;
    o.momentum = from->momentum;
    o.max_grad_norm = from->max_grad_norm;
    o.label_smoothing = from->label_smoothing < 0 ? 0 : from->label_smoothing;
    o.dropout = from->dropout;
    o.logging_strategy = o.eval_strategy = o.save_strategy = FTC_WHEN_NO; // the host's
    o.output = NULL;
    *to = o;
    return ftc_api_error(ftc_train_check(to, false, true));
}

static ftc_error *check_run(const ftc_trainer *trainer, const ftc_train_options *options) {
    if (!trainer->has_weights)
        return INPUT_ERROR("ftc_trainer_run: there are no weights; call ftc_trainer_init or ftc_trainer_load "
                           "first");
    if (ftc_train_entries(options, false) & ~trainer->calls)
        return INPUT_ERROR("ftc_trainer_run: the trainer was created without the calls that this loop makes");
    return NULL;
}

static ftc_error *trainer_evaluated(ftc_trainer *trainer, double metric) {
    if (!trainer->has_plateau)
        return INPUT_ERROR("ftc_trainer_evaluated: no run with the schedule reduce_lr_on_plateau is at hand");
    if (isnan(metric)) return INPUT_ERROR("ftc_trainer_evaluated: the metric is not a number");
    ftc_plateau_step(&trainer->plateau, &trainer->schedule, metric);
    return NULL;
}

ftc_error *ftc_trainer_evaluated(ftc_trainer *trainer, double metric) {
    return FTC_GUARDED(trainer_evaluated(trainer, metric));
}

// The plateau of a run that whoever steers it tells of evaluations.
static ftc_error *begin_plateau(ftc_trainer *trainer, const ftc_loop_options *options,
                                const ftc_train_options *o) {
    trainer->has_plateau = o->schedule == FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU;
    trainer->schedule = ftc_train_schedule(o, 0); // a plateau's does not depend on the number of steps
    trainer->plateau = ftc_plateau_begin(&trainer->schedule);
    ftc_error *error = NULL;
    for (int64_t i = 0; i < options->n_evaluated && trainer->has_plateau && !error; i++)
        error = trainer_evaluated(trainer, options->evaluated[i]);
    return error;
}

static ftc_error *trainer_run(ftc_trainer *trainer, const ftc_examples *examples,
                              const ftc_loop_options *options, ftc_loop_fn *moment, void *context) {
    ftc_train_options o;
    ftc_dataset dataset;
    ftc_error *error = set_options(options, &o);
    if (!error) error = check_run(trainer, &o);
    if (!error) error = begin_plateau(trainer, options, &o);
    if (!error) error = make_dataset(trainer, examples, &dataset);
    if (error) return error;
    host h = {moment, context};
    const ftc_training training = {
        .program = ftc_api_program(trainer),
        .state = &trainer->state,
        .threads = trainer->threads,
        .sgemm = trainer->stepper.sgemm,
        .train = &dataset,
        .options = &o,
        .steps_done = options->steps_done,
        .plateau = &trainer->plateau,
        .events = {.context = &h, .moment = moment ? on_moment : NULL},
    };
    ftc_train_result result;
    error = ftc_api_error(ftc_train(&training, &result));
    trainer->has_plateau = false;
    free_dataset(&dataset, examples);
    const ftc_memory *gradients = &trainer->state.blocks[FTC_ROLE_GRADIENT];
    if (error && gradients->data) memset(gradients->data, 0, gradients->bytes); // of a step that was cut off
    if (error) return error;
    ftc_trainer_set_steps(trainer, result.state.step);
    ftc_train_result_free(&result);
    return NULL;
}

ftc_error *ftc_trainer_run(ftc_trainer *trainer, const ftc_examples *examples,
                           const ftc_loop_options *options, ftc_loop_fn *moment, void *context) {
    return FTC_GUARDED(trainer_run(trainer, examples, options, moment, context));
}

static ftc_error *trainer_save_moments(const ftc_trainer *trainer, const char *file) {
    return ftc_api_error(ftc_model_state_save(&trainer->state, FTC_ROLE_MOMENT, file));
}

ftc_error *ftc_trainer_save_moments(const ftc_trainer *trainer, const char *file) {
    return FTC_GUARDED(trainer_save_moments(trainer, file));
}

static ftc_error *trainer_load_moments(ftc_trainer *trainer, const char *file) {
    return ftc_api_error(ftc_model_state_restore(&trainer->state, FTC_ROLE_MOMENT, file));
}

ftc_error *ftc_trainer_load_moments(ftc_trainer *trainer, const char *file) {
    return FTC_GUARDED(trainer_load_moments(trainer, file));
}

// --- evaluating ---------------------------------------------------------------------------------------

typedef struct {
    ftc_evaluate_fn *done;
    void *context;
    volatile sig_atomic_t stop;
} watcher;

static void on_progress(void *context, int64_t done, int64_t total) {
    watcher *w = context;
    if (w->done(w->context, done, total)) w->stop = 1;
}

static ftc_error *trainer_evaluate(ftc_trainer *trainer, const ftc_examples *examples, int64_t batch,
                                   ftc_evaluate_fn *done, void *context, double *loss, float *scores) {
    if (!trainer->has_weights || !(trainer->calls & FTC_CALL_EVAL))
        return INPUT_ERROR("ftc_trainer_evaluate: %s",
                           trainer->has_weights ? "the trainer was created without FTC_CALL_EVAL"
                                                : "there are no weights; call ftc_trainer_init first");
    ftc_error *error =
        batch < 1 ? INPUT_ERROR("batch is %lld: at least 1 is needed", (long long)batch) : NULL;
    if (!error) error = ftc_api_error(ftc_batch_check_feed(ftc_api_program(trainer)));
    ftc_dataset dataset;
    if (!error) error = make_dataset(trainer, examples, &dataset);
    if (error) return error;
    watcher w = {done, context, 0};
    const ftc_evaluate_watch watch = {done ? on_progress : NULL, &w, &w.stop};
    ftc_evaluation e;
    trainer->has_batch = false;
    error = ftc_api_error(
        ftc_evaluate(&trainer->stepper, &trainer->batch, &dataset, batch, &ftc_world_alone, &watch, &e));
    if (!error && w.stop)
        error = ftc_api_error(ftc_status_make(FTC_FAILED, "the evaluation was interrupted"));
    if (!error) {
        *loss = e.loss_by_examples;
        bool of_tokens = ftc_program_scores_tokens(ftc_api_program(trainer));
        int64_t rows = of_tokens ? ftc_dataset_tokens(&dataset) : e.samples;
        if (scores) memcpy(scores, e.logits, (size_t)(rows * e.columns) * sizeof *scores);
        ftc_evaluation_free(&e);
    }
    free_dataset(&dataset, examples);
    return error;
}

ftc_error *ftc_trainer_evaluate(ftc_trainer *trainer, const ftc_examples *examples, int64_t batch,
                                ftc_evaluate_fn *done, void *context, double *loss, float *scores) {
    return FTC_GUARDED(trainer_evaluate(trainer, examples, batch, done, context, loss, scores));
}
