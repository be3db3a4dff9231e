#include "runtime/loop/train.h"

#include "ir/base/alloc.h"
#include "ir/base/clock.h"
#include "ir/base/name.h"
#include "runtime/files.h"
#include "runtime/loop/agree.h"
#include "runtime/loop/metrics.h"
#include "runtime/loop/folder.h"
#include "runtime/loop/shards.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One run. Where it stands is `at`; the epoch, the position in it and the learning rate follow from at.step.
typedef struct {
    const ftc_training *t;
    const ftc_train_options *o;
    const ftc_world *world;
    ftc_shards *shards; // NULL: one shard, which is the whole batch
    bool is_stopped;    // a signal came, to any process
    ftc_stepper stepper;
    ftc_batch batch;
    ftc_train_identity identity;
    ftc_schedule schedule;
    ftc_train_state at;
    int64_t logging_steps, eval_steps, save_steps; // as numbers of steps; 0: never
    int64_t eval_batch;
    ftc_order sampling;
    int64_t *order;      // [train->n] in the order of epoch order_epoch
    int64_t order_epoch; // -1: none yet
    double last_lr;
    double last_grad_norm; // NaN: the program does not tell it
    double last_loss;
    int64_t last_tokens, last_padded; // the latter as if each text were as long as its batch's longest
    bool is_evaluating;
    bool is_ended;       // by the one who steers
    ftc_evaluation kept; // ftc_train_result.evaluation
    int64_t kept_step;   // -1: none
    ftc_profile profile;
    bool counts_correct; // the program tells logits, and its labels are classes
    // Of this call, for speeds: a resumed run begins in the middle.
    double start;
    double step_seconds;
    int64_t start_step, examples, tokens;
} run;

// --- options ------------------------------------------------------------------------------------------

static bool clips(const ftc_train_options *o) {
    return o->max_grad_norm > 0 && isfinite(o->max_grad_norm);
}

static bool is_one_call(const ftc_train_options *o) {
    return !clips(o) && o->accumulation == 1 && o->shards == 1;
}

// What is called for each micro-batch.
static ftc_entry_kind first_entry(const ftc_train_options *o) {
    return is_one_call(o) ? FTC_ENTRY_STEP : FTC_ENTRY_GRAD;
}

uint32_t ftc_train_entries(const ftc_train_options *o, bool with_test) {
    uint32_t entries = is_one_call(o) ? 1u << FTC_ENTRY_STEP : 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_UPDATE;
    return with_test ? entries | 1u << FTC_ENTRY_EVAL : entries;
}

int64_t ftc_train_eval_batch(const ftc_train_options *o, const ftc_program *program) {
    ftc_row_extents rows = ftc_program_row_extents(program);
    int64_t most = rows.sequences >= 0 ? program->extents[rows.sequences].bound : 1;
    most /= ftc_program_texts_per_row(program);
    int64_t batch = o->eval_batch ? o->eval_batch : 8; // Trainer's
    return batch < most ? batch : most;
}

// The examples of a micro-batch, over all shards.
static int64_t global_batch(const ftc_train_options *o) {
    return o->batch * o->shards;
}

// Outside of embeddings.
static int64_t count_parameters(const ftc_program *program) {
    int64_t count = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *tensor = &program->tensors[i];
        if (tensor->role == FTC_ROLE_PARAM && !tensor->is_table) count += ftc_tensor_elements(tensor);
    }
    return count;
}

static ftc_status plan(run *r) {
    const ftc_train_options *o = r->o;
    int64_t n = r->t->train->n, batch = global_batch(o);
    int64_t batches = o->drop_last ? n / batch : (n + batch - 1) / batch;
    if (batches == 0) {
        return ftc_status_make(FTC_BAD_INPUT, "%lld training examples make no batch of %lld%s", (long long)n,
                               (long long)batch, n ? "; leave out --drop-last or lower --batch" : "");
    }
    int64_t per_epoch = (batches + o->accumulation - 1) / o->accumulation;
    int64_t most = (n + batch - 1) / batch; // more than these have all examples, too
    double steps = o->max_steps >= 0 ? (double)o->max_steps : ceil(o->epochs * (double)per_epoch);
    if (!(steps <= FTC_MOST_STEPS)) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "%g steps are more than the %d that a training may have: lower %s", steps,
                               FTC_MOST_STEPS, o->max_steps >= 0 ? "--max-steps" : "--epochs");
    }
    int64_t total = (int64_t)steps;
    r->identity = (ftc_train_identity){
        .examples = n,
        .data = ftc_dataset_hash(r->t->train),
        .sampling = o->sampling,
        .batch = o->batch,
        .shards = o->shards,
        .accumulation = o->accumulation,
        .batches_per_epoch = batches,
        .steps_per_epoch = per_epoch,
        .seed = o->seed,
        .data_seed = o->data_seed >= 0 ? o->data_seed : o->seed,
        .max_steps = total,
        .flos = 6 * count_parameters(r->t->program),
    };
    r->sampling = (ftc_order){
        .sampling = (ftc_sampling)o->sampling,
        .batch = batch * (o->accumulation < most ? o->accumulation : most),
        .seed = (uint64_t)r->identity.seed,
        .data_seed = (uint64_t)r->identity.data_seed,
    };
    r->schedule = ftc_train_schedule(o, total);
    r->at.plateau = ftc_plateau_begin(&r->schedule);
    r->logging_steps = ftc_train_steps(o->logging_steps, total);
    r->eval_steps = o->eval_steps > 0 ? ftc_train_steps(o->eval_steps, total) : r->logging_steps;
    r->save_steps = ftc_train_steps(o->save_steps, total);
    r->eval_batch = ftc_train_eval_batch(o, r->t->program);
    return FTC_STATUS_OK;
}

static void note(const run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(const run *r, const char *format, ...) {
    if (!r->t->events.note) return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->t->events.note(r->t->events.context, text);
}

// The step arguments that stay the same through the run.
static ftc_status set_scalars(run *r) {
    const ftc_train_options *o = r->o;
    ftc_stepper *s = &r->stepper;
    const struct {
        const char *name;
        double value; // below 0: what the optimizer has
    } hyperparameters[] = {
        {"beta1", o->beta1},
        {"beta2", o->beta2},
        {"eps", o->eps},
        {"momentum", o->momentum},
        {"weight_decay", o->weight_decay},
        {"weight_decay_no_decay", o->decay_all ? o->weight_decay : 0},
    };
    enum { DECAY = 4 };
    bool is_read[sizeof hyperparameters / sizeof *hyperparameters];
    for (size_t i = 0; i < sizeof hyperparameters / sizeof *hyperparameters; i++)
        is_read[i] = hyperparameters[i].value < 0 ||
                     ftc_stepper_set(s, hyperparameters[i].name, hyperparameters[i].value);
    is_read[DECAY] |= o->weight_decay == 0 || is_read[DECAY + 1];
    for (int i = 0; i <= DECAY && o->decay_all; i++) // Trainer's arguments have all of them, always
        if (!is_read[i])
            note(r, "%s %g changes nothing: the optimizer of the model %s takes none",
                 hyperparameters[i].name, hyperparameters[i].value, r->t->program->model);
    if (!ftc_stepper_set(s, "lr", o->lr))
        note(r, "lr %g and its schedule change nothing: the optimizer of the model %s reads no learning rate",
             o->lr, r->t->program->model);
    const char *unread[FTC_TRAIN_SCHEDULE_OPTIONS];
    for (int i = 0, n = ftc_train_unread_by_schedule(o, unread); i < n; i++)
        note(r, "%s changes nothing: the schedule has none", unread[i]);
    ftc_stepper_set(s, "max_grad_norm", clips(o) ? o->max_grad_norm : INFINITY);
    if (!ftc_stepper_set(s, "label_smoothing", o->label_smoothing) && o->label_smoothing > 0) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s has no label smoothing: its loss takes no \"label_smoothing\"",
                               r->t->program->model);
    }
    if (o->focal_gamma >= 0 && !ftc_stepper_set(s, "focal_gamma", o->focal_gamma)) {
        return ftc_status_make(FTC_BAD_INPUT, "the model %s has no focal loss: pass --loss focal",
                               r->t->program->model);
    }
    if (o->dropout >= 0) FTC_RETURN_IF_ERROR(ftc_stepper_set_dropout(s, o->dropout));
    for (int32_t i = 0; i < r->t->program->n_scalars; i++)
        FTC_RETURN_IF_ERROR(ftc_scalar_check(&r->t->program->scalars[i], s->arguments[i]));
    return FTC_STATUS_OK;
}

// --- telling ------------------------------------------------------------------------------------------

static double epoch_of(const run *r) {
    return ftc_train_epoch(&r->at, &r->identity);
}

// Asks the one who steers, if there is one.
static ftc_status reach(run *r, ftc_train_moment moment) {
    if (!r->t->events.moment) return FTC_STATUS_OK;
    const ftc_train_standing standing = {.step = r->at.step,
                                         .max_steps = r->identity.max_steps,
                                         .epoch = epoch_of(r),
                                         .loss = r->last_loss,
                                         .grad_norm = r->last_grad_norm,
                                         .learning_rate = r->last_lr,
                                         .tokens = r->last_tokens,
                                         .flos = (double)(r->last_padded * r->identity.flos)};
    ftc_train_decision decision = r->t->events.moment(r->t->events.context, moment, &standing);
    if (decision == FTC_DECISION_STOP) r->is_ended = true;
    if (decision != FTC_DECISION_ABORT) return FTC_STATUS_OK;
    return ftc_status_make(FTC_FAILED, "ended from outside after step %lld", (long long)r->at.step);
}

// Tells a log line and keeps it in the history; takes it.
static void tell(run *r, cJSON *line) {
    if (r->t->events.log) r->t->events.log(r->t->events.context, line);
    ftc_history_add(&r->at.history, line);
}

static cJSON *new_line(const run *r) {
    cJSON *line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "step", (double)r->at.step);
    cJSON_AddNumberToObject(line, "epoch", epoch_of(r));
    return line;
}

// Logs the steps since the last log line: their mean loss, tokens and time; norm and rate of the last one.
static void log_steps(run *r) {
    double steps = (double)(r->at.step - r->at.last_logged);
    if (steps == 0) return;
    cJSON *line = new_line(r);
    cJSON_AddNumberToObject(line, "loss", r->at.window_loss / steps);
    if (!isnan(r->last_grad_norm)) cJSON_AddNumberToObject(line, "grad_norm", r->last_grad_norm);
    cJSON_AddNumberToObject(line, "learning_rate", r->last_lr);
    cJSON_AddNumberToObject(line, "tokens", (double)r->at.window_tokens / steps);
    cJSON_AddNumberToObject(line, "step_time", r->at.window_seconds / steps);
    r->at.window_loss = r->at.window_seconds = 0;
    r->at.window_tokens = 0;
    r->at.last_logged = r->at.step;
    tell(r, line);
}

static ftc_epoch_scores epoch_scores(const run *r) {
    double n = (double)r->at.epoch_examples;
    return (ftc_epoch_scores){
        .epoch = epoch_of(r),
        .loss = r->at.epoch_weight > 0 ? r->at.epoch_loss / r->at.epoch_weight : NAN,
        .accuracy = n > 0 && r->counts_correct ? (double)r->at.epoch_correct / n : NAN,
    };
}

static void tell_progress(const run *r) {
    if (!r->t->events.progress) return;
    int64_t done = r->at.step - r->start_step;
    double accuracy = epoch_scores(r).accuracy;
    ftc_progress progress = {
        .what = "train",
        .done = r->at.step,
        .total = r->identity.max_steps,
        .epoch = epoch_of(r),
        .loss = r->last_loss,
        .accuracy = accuracy,
        .examples_per_second = (double)r->examples / r->step_seconds,
        .tokens_per_second = (double)r->tokens / r->step_seconds,
        .seconds_left = r->step_seconds / (double)done * (double)(r->identity.max_steps - r->at.step),
    };
    r->t->events.progress(r->t->events.context, &progress);
}

static void tell_eval_progress(void *context, int64_t done, int64_t total) {
    const run *r = context;
    ftc_progress progress = {.what = "eval",
                             .done = done,
                             .total = total,
                             .epoch = -1,
                             .loss = NAN,
                             .accuracy = NAN,
                             .seconds_left = -1};
    r->t->events.progress(r->t->events.context, &progress);
}

// --- one step -----------------------------------------------------------------------------------------

// One call's part of an epoch's global micro-batch number `index`: what its shard has of it.
typedef struct {
    int64_t first, n; // examples in the epoch's order
    int64_t slot;     // place of the first one in the global micro-batch
    int64_t of;       // examples of the global micro-batch
} piece;

static piece piece_of(const run *r, int64_t index, int64_t shard) {
    int64_t batch = r->o->batch, whole = global_batch(r->o), left = r->t->train->n - index * whole;
    piece p = {.slot = shard * batch, .of = left < whole ? left : whole};
    p.first = index * whole + p.slot;
    p.n = p.of - p.slot < batch ? p.of - p.slot : batch;
    if (p.n < 0) p.n = 0;
    return p;
}

// An epoch draws its order; a run that is resumed in the middle of one has drawn it already.
static void begin_epoch(run *r) {
    r->at.drawn_before_epoch = r->at.drawn;
    r->at.drawn += ftc_order_draws(&r->sampling, r->t->train->n);
}

// Packs it.
static ftc_status fill_batch(run *r, int64_t epoch, int64_t step, int64_t micro, const piece *p) {
    const ftc_dataset *train = r->t->train;
    if (r->order_epoch != epoch) {
        ftc_order_epoch(&r->sampling, train, epoch, r->at.drawn_before_epoch, r->order);
        r->order_epoch = epoch;
    }
    r->batch.draw = (ftc_draw){(uint64_t)r->o->seed, (uint32_t)step, (uint32_t)micro, p->slot};
    FTC_RETURN_IF_ERROR(ftc_batch_fill(&r->batch, train, r->order + p->first, p->n));
    int32_t sequences = r->batch.rows.sequences;
    if (sequences >= 0) r->batch.first_slots[sequences] = p->slot * r->batch.texts_per_row;
    return FTC_STATUS_OK;
}

static void set_lr(run *r, int64_t step) {
    bool is_plateau = r->schedule.kind == FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU;
    const ftc_plateau *plateau = r->t->plateau ? r->t->plateau : &r->at.plateau;
    r->last_lr = is_plateau ? plateau->lr : ftc_schedule_lr(&r->schedule, step);
    ftc_stepper_set(&r->stepper, "lr", r->last_lr);
}

// Ends the run at a step whose batch is still at hand.
static ftc_status not_finite(const run *r, const char *what, double value, int64_t micro) {
    const ftc_train_events *events = &r->t->events;
    int64_t number = r->at.step + 1;
    char *where = events->trace ? events->trace(events->context, &r->stepper, &r->batch, (uint32_t)number,
                                                (uint32_t)micro)
                                : NULL;
    ftc_status status = ftc_status_make(
        FTC_FAILED,
        "step %lld: %s is %g. %s%sThe weights are as they were before the step; nothing of it is saved. "
        "Try a smaller --lr, a --warmup-ratio, or clip gradients with --max-grad-norm 1",
        (long long)number, what, value, where ? where : "", where ? ". " : "");
    free(where);
    return status;
}

// The micro-batches of one optimizer step.
typedef struct {
    int64_t epoch, first, n; // global micro-batches first … first + n - 1 of the epoch
} window;

// What they add up to, in one shard or all; words of 64 bits, which processes exchange.
typedef struct {
    int64_t examples, tokens, padded, correct;
    int64_t stops;                // signals that came
    double loss;                  // sum over the micro-batches
    double weighted_loss, weight; // sums over what the losses are means over
} window_sums;

// The examples of the batch at hand that the largest of their logits [sequences, columns] gets right.
static int64_t count_correct(const ftc_batch *batch, const float *logits, int64_t columns) {
    int64_t correct = 0;
    for (int64_t i = 0; i < batch->sequences; i++) {
        correct += ftc_argmax(logits + i * columns, columns) == batch->classes[i];
    }
    return correct;
}

static ftc_status call(run *r, ftc_entry_kind entry, int64_t step, int64_t micro) {
    FTC_RETURN_IF_ERROR(ftc_stepper_call(&r->stepper, entry, &r->batch, (uint32_t)step, (uint32_t)micro));
    ftc_profile_add(&r->profile, entry);
    return FTC_STATUS_OK;
}

// Calls `entry` for a shard's part of all micro-batches of a step. Gradients are means over the examples of a
// global micro-batch, and over the micro-batches; or where the loss says what it weighs, by these weights.
static ftc_status call_shard(run *r, ftc_entry_kind entry, int64_t step, const window *w, int64_t shard,
                             window_sums *sums) {
    const float *loss = ftc_stepper_result(&r->stepper, FTC_OUTPUT_LOSS, entry);
    const float *logits = ftc_stepper_result(&r->stepper, FTC_OUTPUT_SCORES, entry);
    int64_t columns = ftc_program_score_columns(r->t->program);
    for (int64_t micro = 0; micro < w->n; micro++) {
        piece p = piece_of(r, w->first + micro, shard);
        if (p.n == 0) continue; // of the epoch's last batch, the last shards
        double share = (double)p.n / (double)p.of;
        bool weighs = ftc_program_weighs_loss(r->t->program);
        ftc_stepper_set(&r->stepper, "accumulation", weighs ? 1 : (double)w->n / share);
        FTC_RETURN_IF_ERROR(fill_batch(r, w->epoch, step, micro, &p));
        if (r->shards && micro + 1 == w->n) FTC_RETURN_IF_ERROR(ftc_shards_expect(r->shards, (int32_t)shard));
        FTC_RETURN_IF_ERROR(call(r, entry, step, micro));
        if (!isfinite(*loss)) return not_finite(r, "the loss", (double)*loss, micro);
        sums->loss += (double)*loss * share;
        double weight = ftc_stepper_loss_weight(&r->stepper, &r->batch, entry);
        sums->weighted_loss += (double)*loss * weight;
        sums->weight += weight;
        sums->examples += p.n;
        sums->tokens += r->batch.tokens;
        sums->padded += r->batch.longest * r->batch.sequences;
        if (r->counts_correct) sums->correct += count_correct(&r->batch, logits, columns);
        if (micro + 1 < w->n) FTC_RETURN_IF_ERROR(reach(r, FTC_MOMENT_SUBSTEP_END));
    }
    sums->stops = r->t->stop && *r->t->stop;
    return FTC_STATUS_OK;
}

static void add_sums(window_sums *to, const window_sums *shard) {
    to->examples += shard->examples;
    to->tokens += shard->tokens;
    to->padded += shard->padded;
    to->correct += shard->correct;
    to->stops += shard->stops;
    to->loss += shard->loss;
    to->weighted_loss += shard->weighted_loss;
    to->weight += shard->weight;
}

static ftc_status name_rows(run *r, int64_t step, const window *w) {
    for (int64_t shard = 0; shard < r->o->shards; shard++) {
        for (int64_t micro = 0; micro < w->n; micro++) {
            piece p = piece_of(r, w->first + micro, shard);
            if (p.n == 0) continue;
            FTC_RETURN_IF_ERROR(fill_batch(r, w->epoch, step, micro, &p));
            ftc_shards_name(r->shards, &r->batch);
        }
    }
    return FTC_STATUS_OK;
}

// The gradient of this process' shards, and the sum over all; per_shard is [shards], zero.
static ftc_status call_shards(run *r, int64_t step, const window *w, window_sums *per_shard) {
    const ftc_world *world = r->world;
    int64_t n = r->o->shards;
    ftc_shards_begin(r->shards);
    FTC_RETURN_IF_ERROR(name_rows(r, step, w));
    for (int64_t shard = ftc_world_first(world, world->rank, n);
         shard < ftc_world_first(world, world->rank + 1, n); shard++) {
        FTC_RETURN_IF_ERROR(call_shard(r, FTC_ENTRY_GRAD, step, w, shard, &per_shard[shard]));
        FTC_RETURN_IF_ERROR(ftc_shards_take(r->shards, (int32_t)shard));
    }
    ftc_shards_finish(r->shards);
    return FTC_STATUS_OK;
}

static ftc_status sum_shards(run *r, int64_t step, const window *w, window_sums *sums) {
    int64_t n = r->o->shards;
    window_sums *per_shard = ftc_alloc((size_t)n, sizeof *per_shard);
    ftc_status status = call_shards(r, step, w, per_shard);
    if (status.code == FTC_OK) ftc_world_share(r->world, per_shard, n, sizeof *per_shard);
    for (int64_t shard = 0; shard < n; shard++) add_sums(sums, &per_shard[shard]);
    r->stepper.window_weight = sums->weight; // of all processes
    free(per_shard);
    return status;
}

// One optimizer step: all micro-batches of its window and the update.
static ftc_status step(run *r) {
    double start = ftc_clock_seconds();
    int64_t per_epoch = r->identity.steps_per_epoch, accumulation = r->o->accumulation,
            number = r->at.step + 1;
    window w = {.epoch = r->at.step / per_epoch, .first = r->at.step % per_epoch * accumulation};
    int64_t left = r->identity.batches_per_epoch - w.first;
    w.n = left < accumulation ? left : accumulation;
    ftc_entry_kind entry = first_entry(r->o);
    ftc_entry_kind last = is_one_call(r->o) ? FTC_ENTRY_STEP : FTC_ENTRY_UPDATE;
    const float *norm = ftc_stepper_result(&r->stepper, FTC_OUTPUT_NORM, last);
    window_sums sums = {0};
    if (w.first == 0) begin_epoch(r);
    if (w.first == 0 || r->at.step == r->start_step) FTC_RETURN_IF_ERROR(reach(r, FTC_MOMENT_EPOCH_BEGIN));
    FTC_RETURN_IF_ERROR(reach(r, FTC_MOMENT_STEP_BEGIN));
    set_lr(r, number);
    FTC_RETURN_IF_ERROR(r->shards ? sum_shards(r, number, &w, &sums)
                                  : call_shard(r, entry, number, &w, 0, &sums));
    FTC_RETURN_IF_ERROR(reach(r, FTC_MOMENT_PRE_UPDATE));
    if (entry != last) FTC_RETURN_IF_ERROR(call(r, last, number, 0));
    FTC_RETURN_IF_ERROR(reach(r, FTC_MOMENT_UPDATED));
    if (norm && !isfinite(*norm)) {
        ftc_shards_settle(r->shards); // the source is sought in weights when other processes may have ended
        return not_finite(r, "the gradient's norm", (double)*norm, w.n - 1);
    }

    double seconds = ftc_clock_seconds() - start;
    r->last_loss = sums.loss / (double)w.n;
    if (ftc_program_weighs_loss(r->t->program) && sums.weight > 0)
        r->last_loss = sums.weighted_loss / sums.weight;
    r->last_grad_norm = norm ? (double)*norm : NAN;
    r->last_tokens = sums.tokens;
    r->last_padded = sums.padded;
    r->step_seconds += seconds;
    r->tokens += sums.tokens;
    r->examples += sums.examples;
    r->at.step = number;
    r->at.window_loss += r->last_loss;
    r->at.window_seconds += seconds;
    r->at.window_tokens += sums.tokens;
    r->at.total_loss += r->last_loss;
    r->at.examples_seen += sums.examples;
    r->at.tokens_seen += sums.tokens;
    r->at.tokens_padded += sums.padded;
    r->at.epoch_examples += sums.examples;
    r->at.epoch_correct += sums.correct;
    r->at.epoch_loss += sums.weighted_loss;
    r->at.epoch_weight += sums.weight;
    r->is_stopped = sums.stops > 0;
    ftc_curve_add(&r->at.curve, number, r->last_loss, r->last_grad_norm, r->last_lr);
    return FTC_STATUS_OK;
}

// --- evaluating ---------------------------------------------------------------------------------------

static const char *best_metric(const ftc_train_options *o) {
    return o->best_metric ? o->best_metric : "loss";
}

// The metric that the best model has most or least of, in an evaluation's line; NULL: it is not there.
static const cJSON *find_best_metric(const ftc_train_options *o, const cJSON *line) {
    const char *metric = best_metric(o);
    char name[128];
    snprintf(name, sizeof name, "%s%s", strncmp(metric, "eval_", 5) == 0 ? "" : "eval_", metric);
    return cJSON_GetObjectItemCaseSensitive(line, name);
}

// Refuses a metric that no evaluation will give, before anything is trained.
static ftc_status check_best_metric(const run *r) {
    if (!r->t->test || !ftc_train_watches_best(r->o)) return FTC_STATUS_OK;
    ftc_evaluation nothing = {.scoring = ftc_program_scoring(r->t->program), .program = r->t->program};
    cJSON *line = cJSON_CreateObject();
    ftc_evaluation_report(&nothing, line);
    bool is_known = find_best_metric(r->o, line);
    ftc_text text;
    FILE *to = ftc_text_open(&text);
    for (const cJSON *item = line->child; item; item = item->next)
        fprintf(to, "%s%s", item == line->child ? "" : ", ", item->string + strlen("eval_"));
    char *names = ftc_text_close(&text, NULL);
    cJSON_Delete(line);
    ftc_status status =
        is_known ? FTC_STATUS_OK
                 : ftc_status_make(FTC_BAD_INPUT,
                                   "--metric-for-best-model %s: no evaluation of %s gives it; there are %s",
                                   best_metric(r->o), r->t->program->model, names);
    free(names);
    return status;
}

// Compares an evaluation with the best one so far: whether it is better.
static bool is_best(run *r, const cJSON *line) {
    const ftc_train_options *o = r->o;
    const char *metric = best_metric(o);
    bool greater = o->greater_is_better == FTC_CHOICE_AUTO ? !ftc_name_ends_with(metric, "loss")
                                                           : o->greater_is_better == FTC_CHOICE_YES;
    double value = find_best_metric(o, line)->valuedouble;
    double gain = greater ? value - r->at.best_metric : r->at.best_metric - value;
    bool gained = !isnan(value) && (!r->at.has_best || gain > 0);
    bool counts = !r->at.has_best || gain > o->patience_threshold;
    r->at.stale_evaluations = counts ? 0 : r->at.stale_evaluations + 1;
    if (isnan(value))
        note(r, "step %lld has no %s: the evaluation gives no number for it, so it is not the best",
             (long long)r->at.step, metric);
    if (gained) {
        r->at.has_best = true;
        r->at.best_metric = value;
        r->at.best_step = r->at.step;
    }
    return gained;
}

// Evaluates and tells it. What is evaluated before the first step is no candidate for the best model: it has
// no checkpoint.
static ftc_status evaluate(run *r, bool *gained) {
    *gained = false;
    if (!r->t->test) return FTC_STATUS_OK;
    const ftc_train_events *events = &r->t->events;
    ftc_evaluate_watch watch = {events->progress ? tell_eval_progress : NULL, r,
                                r->world->size == 1 ? r->t->stop : NULL};
    ftc_evaluation evaluation;
    ftc_epoch_scores train = epoch_scores(r);
    r->is_evaluating = true;
    FTC_RETURN_IF_ERROR(
        ftc_evaluate(&r->stepper, &r->batch, r->t->test, r->eval_batch, r->world, &watch, &evaluation));
    r->is_evaluating = false;
    r->at.drawn += ftc_order_draws(&r->sampling, 0);
    cJSON *line = new_line(r);
    if (!isnan(train.loss)) cJSON_AddNumberToObject(line, "epoch_loss", train.loss);
    if (!isnan(train.accuracy)) cJSON_AddNumberToObject(line, "train_accuracy", train.accuracy);
    ftc_evaluation_report(&evaluation, line);
    bool is_candidate = ftc_train_watches_best(r->o) && r->at.step > 0;
    if (is_candidate && r->schedule.kind == FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU)
        ftc_plateau_step(&r->at.plateau, &r->schedule, find_best_metric(r->o, line)->valuedouble);
    if (is_candidate) *gained = is_best(r, line);
    tell(r, line);
    if (events->evaluated) events->evaluated(events->context, &evaluation, &train);
    if (r->o->load_best && !*gained) { // the weights at hand are not those that the run ends with
        ftc_evaluation_free(&evaluation);
        return FTC_STATUS_OK;
    }
    ftc_evaluation_free(&r->kept);
    r->kept = evaluation;
    r->kept_step = r->at.step;
    return FTC_STATUS_OK;
}

// --- saving -------------------------------------------------------------------------------------------

// The first process writes; the others wait until it has. Where it fails, it ends them (ftc_world.fail).
static ftc_status wait_for_first(const run *r, ftc_status own) {
    const ftc_world *world = r->world;
    if (own.code != FTC_OK) return own;
    int32_t *words = ftc_alloc((size_t)world->size, sizeof *words);
    ftc_world_share(world, words, world->size, sizeof *words);
    free(words);
    return FTC_STATUS_OK;
}

// Whether the best model is in the checkpoint about to be saved, or in one from before.
static bool has_checkpoint_of_best(const run *r) {
    if (r->at.best_step == r->at.step) return true;
    char *path = ftc_checkpoint_path(r->o->output, r->at.best_step);
    bool is_there = ftc_file_exists(path);
    free(path);
    return is_there;
}

static ftc_status rotate(const run *r) {
    if (r->o->save_total_limit == 0) return FTC_STATUS_OK;
    return ftc_checkpoint_rotate(r->o->output, r->o->save_total_limit,
                                 r->at.best_saved > 0 ? r->at.best_saved : -1);
}

static ftc_status write_checkpoint(run *r, const ftc_train_options *options) {
    const ftc_train_options *o = options;
    FTC_RETURN_IF_ERROR(ftc_folder_add(o->output, r->at.step));
    FTC_RETURN_IF_ERROR(
        ftc_status_annotate(ftc_checkpoint_save(o, r->t->state, r->t->files, &r->at, &r->identity),
                            "step %lld", (long long)r->at.step));
    note(r, "saved %s/checkpoint-%lld", o->output, (long long)r->at.step);
    return rotate(r);
}

static ftc_status save_checkpoint(run *r, const ftc_train_options *options) {
    if (!options->output) return FTC_STATUS_OK;
    if (r->at.has_best && has_checkpoint_of_best(r)) r->at.best_saved = r->at.best_step; // in all processes
    if (r->world->rank == 0) return wait_for_first(r, write_checkpoint(r, options));
    return wait_for_first(r, options->save_only_model ? FTC_STATUS_OK : ftc_model_state_lend(r->t->state));
}

static bool is_multiple(int64_t step, int64_t of) {
    return of > 0 && step % of == 0;
}

// What is due after a step, once.
static ftc_status end_step(run *r) {
    const ftc_train_options *o = r->o;
    int64_t step = r->at.step;
    bool last = step >= r->identity.max_steps, gained = false;
    if ((o->logging_strategy == FTC_WHEN_STEPS && is_multiple(step, r->logging_steps)) ||
        (step == 1 && o->logging_first_step)) {
        log_steps(r);
    }
    if (o->eval_strategy == FTC_WHEN_STEPS && (double)step >= o->eval_delay &&
        (is_multiple(step, r->eval_steps) || last)) {
        FTC_RETURN_IF_ERROR(evaluate(r, &gained));
    }
    r->at.events_step = step;
    FTC_RETURN_IF_ERROR(reach(r, FTC_MOMENT_STEP_END));
    bool save = o->save_strategy == FTC_WHEN_STEPS && (is_multiple(step, r->save_steps) || last);
    return save || (gained && o->save_strategy == FTC_WHEN_BEST) ? save_checkpoint(r, o) : FTC_STATUS_OK;
}

// What is due after an epoch, once.
static ftc_status end_epoch(run *r) {
    const ftc_train_options *o = r->o;
    bool gained = false;
    if (o->logging_strategy == FTC_WHEN_EPOCH) log_steps(r);
    if (o->eval_strategy == FTC_WHEN_EPOCH && epoch_of(r) >= o->eval_delay)
        FTC_RETURN_IF_ERROR(evaluate(r, &gained));
    FTC_RETURN_IF_ERROR(reach(r, FTC_MOMENT_EPOCH_END));
    r->at.epochs_ended++;
    r->at.epoch_examples = r->at.epoch_correct = 0;
    r->at.epoch_loss = r->at.epoch_weight = 0;
    bool save = o->save_strategy == FTC_WHEN_EPOCH || (gained && o->save_strategy == FTC_WHEN_BEST);
    return save ? save_checkpoint(r, o) : FTC_STATUS_OK;
}

// --- the run ------------------------------------------------------------------------------------------

// Of several processes, all stop after the same step.
static bool is_stopped(const run *r) {
    return r->world->size > 1 ? r->is_stopped : r->t->stop && *r->t->stop;
}

// A signal came: leaves a checkpoint that can be resumed.
static ftc_status interrupt(run *r) {
    ftc_shards_settle(r->shards);
    if (!r->o->output) {
        return ftc_status_make(FTC_INTERRUPTED,
                               "interrupted after step %lld; nothing was saved (no --output)",
                               (long long)r->at.step);
    }
    ftc_train_options options = *r->o;
    options.save_only_model = false;
    FTC_RETURN_IF_ERROR(save_checkpoint(r, &options));
    return ftc_status_make(FTC_INTERRUPTED,
                           "interrupted after step %lld of %lld; continue with --resume --output %s",
                           (long long)r->at.step, (long long)r->identity.max_steps, options.output);
}

static bool is_patience_over(const run *r) {
    return r->o->patience > 0 && r->at.stale_evaluations >= r->o->patience;
}

// Whether a failure is only that a signal ended an evaluation; then frees it.
static bool is_evaluation_cut(const run *r, ftc_status *status) {
    if (!is_stopped(r) || status->code != FTC_FAILED || !r->is_evaluating) return false;
    ftc_status_free(status);
    return true;
}

static ftc_status loop(run *r) {
    bool has_told = r->at.history.lines->child != NULL; // a run that was interrupted before its first step
    if (r->at.step == 0 && r->o->eval_on_start && !has_told) {
        bool gained;
        FTC_RETURN_IF_ERROR(evaluate(r, &gained));
    }
    for (;;) {
        int64_t number = r->at.step, ended = r->at.epochs_ended * r->identity.steps_per_epoch;
        bool is_last = number >= r->identity.max_steps || r->is_ended || is_patience_over(r);
        ftc_status status = FTC_STATUS_OK;
        if (r->at.events_step < number) {
            status = end_step(r);
        } else if (number - ended >= r->identity.steps_per_epoch || (is_last && number > ended)) {
            status = end_epoch(r);
        } else if (is_last) {
            return FTC_STATUS_OK;
        } else if (is_stopped(r)) {
            return interrupt(r);
        } else {
            status = step(r);
            if (status.code == FTC_OK) tell_progress(r);
        }
        if (status.code != FTC_OK) return is_evaluation_cut(r, &status) ? interrupt(r) : status;
    }
}

// Tells directories apart that have weights and no state to go on with, as Hugging Face's Trainer leaves
// them.
static ftc_status check_is_checkpoint(const char *path) {
    char *resume = ftc_path_join(path, "resume.json"), *config = ftc_path_join(path, "config.json");
    char *lacks = ftc_checkpoint_lacks(path);
    ftc_status status = FTC_STATUS_OK;
    if (lacks && ftc_file_exists(resume))
        status =
            ftc_status_make(FTC_BAD_INPUT, "%s: lacks %s, so a training cannot go on from it", path, lacks);
    else if (lacks && ftc_file_exists(config))
        status = ftc_status_make(FTC_BAD_INPUT,
                                 "%s: has no resume.json, so a training of ftc cannot go on from it (it is "
                                 "Hugging Face's, or from "
                                 "--save-only-model); to begin anew from its weights, say --pretrained %s",
                                 path, path);
    else if (lacks)
        status = ftc_status_make(FTC_BAD_INPUT,
                                 "%s: is no checkpoint, which has a resume.json; runs save them in "
                                 "OUTPUT/checkpoint-STEP",
                                 path);
    free(lacks);
    free(resume);
    free(config);
    return status;
}

ftc_status ftc_train_find_checkpoint(const ftc_train_options *o, char **path, char **passed_over) {
    char *passed = NULL, *told = NULL;
    *path = NULL;
    if (passed_over) *passed_over = NULL;
    if (!o->resume) return FTC_STATUS_OK;
    bool is_last = strcmp(o->resume, "last") == 0;
    char *found = is_last ? ftc_checkpoint_latest(o->output, &passed) : ftc_strdup(o->resume);
    if (passed) {
        char *lacks = ftc_checkpoint_lacks(passed);
        told = ftc_format("%s lacks %s", passed, lacks);
        free(lacks);
    }
    ftc_status status =
        found ? check_is_checkpoint(found)
              : ftc_status_make(FTC_BAD_INPUT,
                                "%s: has no checkpoint to resume from%s%s; leave out --resume, or say "
                                "--pretrained DIR to begin from the weights of a model",
                                o->output, told ? ": " : "", told ? told : "");
    if (status.code == FTC_OK && passed_over)
        *passed_over = told;
    else
        free(told);
    if (status.code == FTC_OK)
        *path = found;
    else
        free(found);
    free(passed);
    return status;
}

static ftc_status resume(run *r) {
    char *path, *passed_over;
    FTC_RETURN_IF_ERROR(ftc_train_find_checkpoint(r->o, &path, &passed_over));
    ftc_status status = ftc_checkpoint_restore(path, r->t->state, &r->identity, &r->at);
    if (status.code == FTC_OK && passed_over) note(r, "%s: passed over", passed_over);
    if (status.code == FTC_OK) note(r, "resumed from %s", path);
    free(passed_over);
    free(path);
    // The run may have ended between writing its last checkpoint and removing an older one.
    bool is_last = strcmp(r->o->resume, "last") == 0;
    bool rotates = status.code == FTC_OK && is_last && r->world->rank == 0;
    return rotates ? rotate(r) : status;
}

// Ends with the best model that a checkpoint has, if any, as Trainer does.
static ftc_status load_best(run *r) {
    int64_t step = r->at.best_saved, ends_with = step ? step : r->at.step;
    ftc_status status = FTC_STATUS_OK;
    if (r->at.has_best && step != r->at.best_step)
        note(r, "the best model, that of step %lld, is in no checkpoint: the run ends with that of step %lld",
             (long long)r->at.best_step, (long long)ends_with);
    else if (r->at.has_best)
        note(r, "the best model is that of step %lld (%.9g)", (long long)step, r->at.best_metric);
    if (ends_with != r->at.step) {
        char *dir = ftc_checkpoint_path(r->o->output, step);
        status = ftc_checkpoint_weights(dir, r->t->state);
        free(dir);
    }
    if (r->kept_step != ends_with) { // it is of other weights
        ftc_evaluation_free(&r->kept);
        r->kept_step = -1;
    }
    return status;
}

// So many steps are done, by a run that left no checkpoint.
static void continue_from(run *r, int64_t steps) {
    r->at.step = r->at.events_step = r->at.last_logged = steps;
    r->at.epochs_ended = steps / r->identity.steps_per_epoch;
    r->at.drawn = r->at.epochs_ended * ftc_order_draws(&r->sampling, r->t->train->n);
    if (steps % r->identity.steps_per_epoch) begin_epoch(r);
}

static ftc_status finish(run *r) {
    const ftc_train_options *o = r->o;
    ftc_shards_settle(r->shards);
    double seconds = ftc_clock_seconds() - r->start, steps = (double)(r->at.step - r->start_step);
    cJSON *line = new_line(r);
    cJSON_AddNumberToObject(line, "train_runtime", seconds);
    cJSON_AddNumberToObject(line, "train_samples_per_second", (double)r->examples / seconds);
    cJSON_AddNumberToObject(line, "train_steps_per_second", steps / seconds);
    cJSON_AddNumberToObject(line, "train_tokens_per_second", (double)r->tokens / seconds);
    cJSON_AddNumberToObject(line, "total_flos", ftc_train_flos(&r->at, &r->identity));
    cJSON_AddNumberToObject(line, "train_loss", r->at.step ? r->at.total_loss / (double)r->at.step : 0);
    if (r->world->size > 1) ftc_traffic_report(ftc_shards_traffic(r->shards), steps, line);
    tell(r, line);
    if (r->at.step < r->identity.max_steps && !r->is_ended)
        note(r, "stopped early: %lld evaluations without a gain", (long long)r->at.stale_evaluations);
    if (o->load_best) FTC_RETURN_IF_ERROR(load_best(r));
    if (!o->output) return FTC_STATUS_OK;
    ftc_status saved =
        r->world->rank == 0 ? ftc_model_save(o->output, r->t->state, r->t->files) : FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(wait_for_first(r, saved));
    if (o->save_total_limit == 1 && r->at.best_saved > 0 &&
        r->world->rank == 0) // the newest was for resuming
        FTC_RETURN_IF_ERROR(ftc_checkpoint_keep(o->output, r->at.best_saved));
    note(r, "saved %s", o->output);
    return FTC_STATUS_OK;
}

static void note_eval_batch(const run *r) {
    long long asked_for = (long long)r->o->eval_batch, used = (long long)r->eval_batch;
    if (!r->t->test || used >= asked_for) return;
    note(r,
         "--eval-batch %lld: the model is compiled for batches of %lld, so %lld are evaluated at a time; the "
         "scores are "
         "the same",
         asked_for, used, used);
}

static ftc_status check_shards(run *r) {
    const ftc_program *program = r->t->program;
    int64_t n = r->o->shards;
    if (n < r->world->size) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "--shards %lld for %d processes: each needs one at least; set --shards to %d or "
            "more, or start fewer processes",
            (long long)n, r->world->size, r->world->size);
    }
    if (r->world->size == 1 && r->o->wire != FTC_WIRE_FP32) note(r, "--wire: one process sends nothing");
    if (n == 1) return FTC_STATUS_OK;
    if (n > r->t->train->n) {
        return ftc_status_make(FTC_BAD_INPUT, "--shards %lld: there are only %lld training examples",
                               (long long)n, (long long)r->t->train->n);
    }
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (!program->tensors[i].each_micro_batch) continue;
        return ftc_status_make(
            FTC_BAD_INPUT,
            "the model %s assigns its state \"%s\" each micro-batch: shards would each come to "
            "another one; leave out --shards",
            program->model, program->tensors[i].name);
    }
    FTC_RETURN_IF_ERROR(
        ftc_shards_create(r->t->state, r->world, (int32_t)n, (ftc_wire)r->o->wire, &r->shards));
    if (r->world->size > 1) r->stepper.shards = r->shards;
    return FTC_STATUS_OK;
}

static ftc_status prepare(run *r) {
    const ftc_training *t = r->t;
    FTC_RETURN_IF_ERROR(ftc_train_check(r->o, t->test != NULL, t->plateau != NULL));
    if (t->steps_done < 0 || t->steps_done > FTC_MOST_STEPS)
        return ftc_status_make(FTC_BAD_INPUT, "%lld steps are done: expected 0 to %d",
                               (long long)t->steps_done, FTC_MOST_STEPS);
    FTC_RETURN_IF_ERROR(ftc_batch_check_feed(t->program));
    FTC_RETURN_IF_ERROR(ftc_batch_create(t->program, &r->batch));
    FTC_RETURN_IF_ERROR(plan(r));
    note_eval_batch(r);
    uint32_t entries = ftc_train_entries(r->o, t->test != NULL);
    FTC_RETURN_IF_ERROR(ftc_stepper_create(t->program, t->state, t->threads, entries, t->sgemm, &r->stepper));
    ftc_entry_kind entry = first_entry(r->o);
    if (!ftc_stepper_result(&r->stepper, FTC_OUTPUT_LOSS, entry)) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s declares no output as the loss: it cannot be trained",
                               t->program->model);
    }
    r->counts_correct = ftc_program_scoring(t->program) == FTC_SCORE_CLASSES &&
                        ftc_stepper_result(&r->stepper, FTC_OUTPUT_SCORES, entry);
    r->stepper.seed = (uint64_t)r->o->seed;
    ftc_profile_create(t->program, &r->profile);
    r->stepper.ticks = r->profile.ticks;
    FTC_RETURN_IF_ERROR(set_scalars(r));
    r->order = ftc_alloc((size_t)t->train->n, sizeof *r->order);
    FTC_RETURN_IF_ERROR(check_best_metric(r));
    if (ftc_train_watches_best(r->o) && r->o->eval_strategy == FTC_WHEN_NO)
        note(r, "nothing is evaluated (--eval-strategy no), so no model is the best: the run ends with its "
                "last weights");
    FTC_RETURN_IF_ERROR(check_shards(r));
    if (r->o->output && r->world->rank == 0) { // not only after hours of training
        FTC_RETURN_IF_ERROR(ftc_dir_make(r->o->output));
        FTC_RETURN_IF_ERROR(ftc_history_open(&r->at.history, r->o->output));
    }
    continue_from(r, t->steps_done);
    if (r->o->resume) FTC_RETURN_IF_ERROR(resume(r));
    return ftc_agree(t, r->world, &r->identity, &r->schedule, &r->stepper, r->at.step);
}

// Moves what reports are made of out of the run.
static ftc_train_result take_result(run *r) {
    ftc_train_result result = {
        .state = r->at,
        .evaluation = r->kept,
        .evaluation_step = r->kept_step,
        .profile = r->profile,
        .step_seconds = r->step_seconds,
        .steps = r->at.step - r->start_step,
    };
    r->at = (ftc_train_state){0};
    r->kept = (ftc_evaluation){0};
    r->profile = (ftc_profile){0};
    return result;
}

void ftc_train_result_free(ftc_train_result *result) {
    ftc_train_state_free(&result->state);
    ftc_evaluation_free(&result->evaluation);
    ftc_profile_free(&result->profile);
}

ftc_status ftc_train(const ftc_training *training, ftc_train_result *result) {
    run r = {.t = training,
             .o = training->options,
             .world = training->world ? training->world : &ftc_world_alone,
             .order_epoch = -1,
             .last_grad_norm = NAN,
             .kept_step = -1,
             .start = ftc_clock_seconds(),
             .at.history = ftc_history_make()};
    ftc_status status = prepare(&r);
    if (status.code == FTC_OK) {
        r.start_step = r.at.step;
        status = loop(&r);
        if (status.code == FTC_OK) status = finish(&r);
        if (status.code == FTC_OK && result) *result = take_result(&r);
    }
    free(r.order);
    ftc_evaluation_free(&r.kept);
    ftc_profile_free(&r.profile);
    ftc_train_state_free(&r.at);
    ftc_shards_free(r.shards);
    ftc_batch_free(&r.batch);
    ftc_stepper_free(&r.stepper);
    return status;
}
