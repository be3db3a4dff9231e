#include "runtime/loop/agree.h"

#include "ir/base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint64_t hash_text(const char *text, uint64_t seed) {
    return text ? XXH3_64bits_withSeed(text, strlen(text), seed) : seed;
}

// The rates along the run, and what a plateau makes of them.
static uint64_t hash_rates(const ftc_schedule *s) {
    enum { PLACES = 64 };
    double x[PLACES + 7] = {(double)s->kind,     s->factor,    (double)s->patience,
                            (double)s->cooldown, s->threshold, s->min_lr};
    double last = s->total_steps > 1 ? (double)s->total_steps - 1 : 0;
    for (int i = 0; i <= PLACES; i++) x[6 + i] = ftc_schedule_lr(s, 1 + (int64_t)(last * i / PLACES));
    return XXH3_64bits(x, sizeof x);
}

// When there is something to do that processes do together, and when they end.
static uint64_t hash_events(const ftc_train_options *o) {
    const double x[] = {
        o->logging_steps,    o->eval_strategy,
        o->eval_steps,       o->eval_delay,
        o->eval_on_start,    (double)o->eval_batch,
        o->save_strategy,    o->save_steps,
        o->save_only_model,  (double)o->save_total_limit,
        o->load_best,        o->greater_is_better,
        (double)o->patience, o->patience_threshold,
        o->output != NULL,
    };
    return hash_text(o->best_metric, XXH3_64bits(x, sizeof x));
}

static uint64_t hash_weights(const ftc_model_state *state, uint64_t seed) {
    for (int32_t i = 0; i < state->program->n_tensors; i++) {
        const ftc_tensor_info *info = &state->program->tensors[i];
        if (info->role != FTC_ROLE_PARAM) continue;
        seed = XXH3_64bits_withSeed(ftc_model_state_tensor(state, i), (size_t)ftc_tensor_bytes(info), seed);
    }
    return seed;
}

ftc_status ftc_agree(const ftc_training *training, const ftc_world *world, const ftc_train_identity *identity,
                     const ftc_schedule *schedule, const ftc_stepper *stepper, int64_t steps_done) {
    const ftc_program *program = training->program;
    const ftc_train_options *o = training->options;
    if (world->size == 1) return FTC_STATUS_OK;
    const struct {
        const char *what;
        uint64_t hash;
    } common[] = {
        {"the model", hash_text(program->source, 0)},
        {"what it is compiled for (precision and processor)",
         hash_text(program->features, hash_text(program->precision, 0))},
        {"the training data or options that set batches and order", XXH3_64bits(identity, sizeof *identity)},
        {"--wire", (uint64_t)o->wire},
        {"the learning rates", hash_rates(schedule)},
        {"the optimizer's numbers",
         XXH3_64bits(stepper->arguments, (size_t)program->n_scalars * sizeof *stepper->arguments)},
        {"the test data", training->test ? (uint64_t)ftc_dataset_hash(training->test) : 0},
        {"when it evaluates, saves and ends", hash_events(o)},
        {"the weights or the checkpoint that it begins with",
         hash_weights(training->state, (uint64_t)steps_done)},
    };
    enum { COUNT = sizeof common / sizeof *common };
    uint64_t *all = ftc_alloc((size_t)world->size * COUNT, sizeof *all);
    for (int i = 0; i < COUNT; i++) all[world->rank * COUNT + i] = common[i].hash;
    ftc_world_share(world, all, world->size, COUNT * sizeof *all);
    ftc_status status = FTC_STATUS_OK;
    for (int i = 0; i < COUNT && status.code == FTC_OK; i++) {
        if (all[i] == common[i].hash) continue;
        status = ftc_status_make(FTC_BAD_INPUT, "process %d of %d differs from the first one in %s",
                                 world->rank, world->size, common[i].what);
    }
    free(all);
    return status;
}
