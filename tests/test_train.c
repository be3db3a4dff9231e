// The loop, against a model whose entries are written in C.
#include "runtime/loop/train.h"
#include "tests/bag_model.h"
#include "tests/scratch.h"

#include <math.h>

enum { MOST_LINES = 2048 };

// What a run told.
typedef struct {
    cJSON *lines[MOST_LINES];
    int n;
    char notes[512];
    int progress;
    volatile sig_atomic_t stop;
    int stop_after; // progress calls; 0: never
} record;

static void on_log(void *context, const cJSON *line) {
    record *r = context;
    cr_assert_lt(r->n, MOST_LINES);
    r->lines[r->n++] = cJSON_Duplicate(line, 1);
}

static void on_note(void *context, const char *text) {
    record *r = context;
    size_t n = strlen(r->notes);
    snprintf(r->notes + n, sizeof r->notes - n, "%s\n", text);
}

static void on_progress(void *context, const ftc_progress *progress) {
    record *r = context;
    if (strcmp(progress->what, "train") == 0 && ++r->progress == r->stop_after) r->stop = SIGTERM;
}

static void free_record(record *r) {
    for (int i = 0; i < r->n; i++) cJSON_Delete(r->lines[i]);
}

// The value `name` of line `index`; NaN when it has none.
static double value(const record *r, int index, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->lines[index], name);
    return item ? item->valuedouble : NAN;
}

// Collects the values of `name` over all lines that have it.
static int values(const record *r, const char *name, double *out) {
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        double v = value(r, i, name);
        if (!isnan(v)) out[n++] = v;
    }
    return n;
}

// Trains from seed 1 on `threads` threads; *weights (unless NULL) are those at the end.
static ftc_status train_on(const ftc_program *program, const ftc_dataset *train, const ftc_dataset *test,
                           const ftc_train_options *options, int32_t threads, record *r, float *weights) {
    ftc_threads *pool;
    ftc_model_state state;
    ASSERT_OK(ftc_threads_create(threads, &pool));
    ASSERT_OK(
        ftc_model_state_create(program, ftc_train_entries(options, test != NULL), &ftc_world_alone, &state));
    ftc_model_state_init(&state, 1);
    ftc_model_files files = {.config.n_labels = BAG_CLASSES};
    ftc_training training = {
        .program = program,
        .state = &state,
        .threads = pool,
        .train = train,
        .test = test,
        .options = options,
        .files = &files,
        .events = {.context = r, .log = on_log, .note = on_note, .progress = on_progress},
        .stop = &r->stop,
    };
    ftc_status status = ftc_train(&training, NULL);
    if (weights)
        memcpy(weights, ftc_model_state_tensor(&state, BAG_W), BAG_VOCAB * BAG_CLASSES * sizeof *weights);
    ftc_model_state_free(&state);
    ftc_threads_free(pool);
    return status;
}

static ftc_train_options fast_options(void) {
    ftc_train_options options = ftc_train_options_native();
    options.lr = 0.05;
    options.output = NULL;
    return options;
}

Test(train, native_loop_learns_and_says_so) {
    ftc_dataset train = bag_dataset(205, 1), test = bag_dataset(100, 2);
    ftc_train_options options = fast_options();
    options.lr = 0.5;
    record r = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, &test, &options, 2, &r, NULL));

    int steps = 3 * 26; // 25 batches of 8 and one of 5
    cr_assert_eq(r.n, steps + 3 + 1);
    double loss[MOST_LINES], accuracy[MOST_LINES], tokens[MOST_LINES], total = 0, mean = 0;
    cr_assert_eq(values(&r, "loss", loss), steps);
    cr_assert_eq(values(&r, "eval_accuracy", accuracy), 3);
    cr_assert_eq(values(&r, "tokens", tokens), steps);
    cr_assert_lt(loss[steps - 1], 0.6 * loss[0]);
    cr_assert_gt(accuracy[2], 0.7);
    for (int i = 0; i < steps; i++) {
        total += tokens[i];
        mean += loss[i] / steps;
    }
    cr_assert_eq(total, 3 * ftc_dataset_tokens(&train)); // every example once an epoch
    cr_assert_eq(value(&r, 0, "step"), 1);
    cr_assert_float_eq(value(&r, 0, "epoch"), 1 / 26.0, 1e-12);
    cr_assert_float_eq(value(&r, 0, "learning_rate"), 0.5, 1e-12);
    cr_assert_float_eq(value(&r, 1, "learning_rate"), 0.5 * (steps - 1) / steps, 1e-12);
    cr_assert_gt(value(&r, 0, "grad_norm"), 0);
    cr_assert_gt(value(&r, 0, "step_time"), 0);
    cr_assert_eq(value(&r, 26, "eval_samples"), 100);
    cr_assert_float_eq(value(&r, 26, "epoch"), 1, 1e-12);
    cr_assert_float_eq(value(&r, r.n - 1, "train_loss"), mean, 1e-9);
    cr_assert_gt(value(&r, r.n - 1, "train_samples_per_second"), 0);
    free_record(&r);
    ftc_dataset_free(&train);
    ftc_dataset_free(&test);
}

// With weights that stay as they are and without dropout, the epoch that is trained on is the one that is
// evaluated.
static void assert_same_scores(const ftc_train_options *options) {
    ftc_dataset train = bag_dataset(45, 1);
    record r = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, &train, options, 1, &r, NULL));
    double trained[MOST_LINES], evaluated[MOST_LINES], losses[MOST_LINES], eval_losses[MOST_LINES];
    cr_assert_eq(values(&r, "train_accuracy", trained), 2);
    cr_assert_eq(values(&r, "eval_accuracy", evaluated), 2);
    values(&r, "epoch_loss", losses);
    values(&r, "eval_loss", eval_losses);
    cr_assert_gt(trained[0], 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(trained[i], evaluated[i]);
        cr_assert_float_eq(losses[i], eval_losses[i], 1e-6);
    }
    free_record(&r);
    ftc_dataset_free(&train);
}

Test(train, accuracy_of_the_epoch_is_counted) {
    ftc_train_options options = fast_options();
    options.epochs = 2;
    options.lr = options.weight_decay = 0;
    assert_same_scores(&options);
    options.accumulation = 2;
    assert_same_scores(&options);
}

static void assert_same_weights(const ftc_train_options *x, int x_threads, const ftc_train_options *y,
                                int y_threads, bool same) {
    static float a[BAG_VOCAB * BAG_CLASSES], b[BAG_VOCAB * BAG_CLASSES];
    ftc_dataset train = bag_dataset(50, 1);
    record r = {0}, s = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, x, x_threads, &r, a));
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, y, y_threads, &s, b));
    cr_assert_eq(memcmp(a, b, sizeof a) == 0, same);
    free_record(&r);
    free_record(&s);
    ftc_dataset_free(&train);
}

Test(train, threads_do_not_matter) {
    ftc_train_options options = fast_options();
    options.dropout = 0.2;
    assert_same_weights(&options, 1, &options, 3, true);
}

Test(train, seeds_and_order_matter) {
    ftc_train_options options = fast_options(), other = options;
    options.dropout = other.dropout = 0.2;
    other.seed = 43;
    other.data_seed = 42; // only dropout differs
    assert_same_weights(&options, 1, &other, 1, false);
    other.dropout = options.dropout = 0;
    assert_same_weights(&options, 1, &other, 1, true);
    other.data_seed = 43; // only the order differs
    assert_same_weights(&options, 1, &other, 1, false);
    options.sampling = other.sampling = FTC_SAMPLING_SEQUENTIAL;
    assert_same_weights(&options, 1, &other, 1, true);
}

Test(train, entries_follow_the_options) {
    ftc_train_options options = fast_options();
    uint32_t both = 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_UPDATE;
    cr_assert_eq(ftc_train_entries(&options, true), 1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_EVAL);
    options.accumulation = 2;
    cr_assert_eq(ftc_train_entries(&options, false), both);
    options.accumulation = 1;
    options.max_grad_norm = 1;
    cr_assert_eq(ftc_train_entries(&options, false), both);
    options.max_grad_norm = INFINITY;
    cr_assert_eq(ftc_train_entries(&options, false), 1u << FTC_ENTRY_STEP);
}

// Two micro-batches of 4 are one batch of 8, also in the last window, which has 4 and 2 examples: there the
// mean of the means is another number than the mean, so 48 examples are trained on.
Test(train, accumulation_is_the_larger_batch) {
    float a[BAG_VOCAB * BAG_CLASSES], b[BAG_VOCAB * BAG_CLASSES];
    ftc_dataset train = bag_dataset(48, 1);
    ftc_train_options whole = fast_options(), halves = whole;
    halves.batch = 4;
    halves.accumulation = 2;
    record r = {0}, s = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, &whole, 1, &r, a));
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, &halves, 1, &s, b));
    cr_assert_eq(r.n, s.n);
    for (int i = 0; i + 1 < r.n; i++) {
        cr_assert_float_eq(value(&r, i, "loss"), value(&s, i, "loss"), 1e-5);
        cr_assert_float_eq(value(&r, i, "grad_norm"), value(&s, i, "grad_norm"), 1e-5);
    }
    for (int i = 0; i < BAG_VOCAB * BAG_CLASSES; i++) cr_assert_float_eq(a[i], b[i], 1e-4);
    free_record(&r);
    free_record(&s);
    ftc_dataset_free(&train);
}

// The last window of an epoch has one micro-batch: its gradient must not be halved.
Test(train, the_last_window_is_divided_by_what_it_has) {
    ftc_dataset train = bag_dataset(12, 1);
    ftc_train_options options = fast_options(), single = options;
    options.batch = single.batch = 4;
    options.accumulation = 2; // steps: batches 0 and 1, then batch 2 alone
    options.epochs = single.epochs = 1;
    options.sampling = single.sampling = FTC_SAMPLING_SEQUENTIAL;
    options.lr = single.lr = 1e-9; // the weights stay, so that gradients can be compared
    record r = {0}, s = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, NULL));
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, &single, 1, &s, NULL));
    cr_assert_eq(r.n, 3);
    cr_assert_float_eq(value(&r, 1, "grad_norm"), value(&s, 2, "grad_norm"), 1e-5);
    cr_assert_float_eq(value(&r, 0, "loss"), 0.5 * (value(&s, 0, "loss") + value(&s, 1, "loss")), 1e-6);
    free_record(&r);
    free_record(&s);
    ftc_dataset_free(&train);
}

Test(train, clipping_keeps_the_norm_of_before) {
    ftc_dataset train = bag_dataset(8, 1);
    ftc_train_options options = fast_options(), clipped = options;
    clipped.max_grad_norm = 1e-3;
    float a[BAG_VOCAB * BAG_CLASSES], b[BAG_VOCAB * BAG_CLASSES];
    record r = {0}, s = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, a));
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, &clipped, 1, &s, b));
    cr_assert_float_eq(value(&r, 0, "grad_norm"), value(&s, 0, "grad_norm"), 1e-6);
    cr_assert_neq(memcmp(a, b, sizeof a), 0);
    free_record(&r);
    free_record(&s);
    ftc_dataset_free(&train);
}

Test(train, steps_epochs_and_windows) {
    ftc_dataset train = bag_dataset(45, 1), test = bag_dataset(10, 2);
    ftc_train_options options = ftc_train_options_trainer(); // 6 batches of 8 an epoch, the last of 5
    options.lr = 0.05;
    options.output = NULL;
    options.max_grad_norm = 0;
    options.epochs = 1.5; // 9 steps
    options.logging_steps = 2;
    options.logging_first_step = true;
    options.eval_strategy = FTC_WHEN_STEPS;
    options.eval_steps = 4;
    record r = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, &test, &options, 1, &r, NULL));
    double step[MOST_LINES];
    // Twice: an evaluation; at the end one more, and the sum.
    static const double LOGGED[] = {1, 2, 4, 4, 6, 8, 8, 9, 9};
    cr_assert_eq(values(&r, "step", step), 9);
    for (int i = 0; i < 9; i++) cr_assert_eq(step[i], LOGGED[i]);
    double loss[MOST_LINES], eval_loss[MOST_LINES];
    cr_assert_eq(values(&r, "loss", loss), 5);
    cr_assert_eq(values(&r, "eval_loss", eval_loss), 3);
    free_record(&r);

    options.drop_last = true; // 5 batches an epoch
    options.epochs = 1;
    options.logging_steps = 0.5; // ⌈2.5⌉ = 3
    options.logging_first_step = false;
    options.eval_strategy = FTC_WHEN_NO;
    record s = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &s, NULL));
    cr_assert_eq(values(&s, "loss", loss), 1);
    cr_assert_eq(value(&s, 0, "step"), 3);
    free_record(&s);
    ftc_dataset_free(&train);
    ftc_dataset_free(&test);
}

// When is evaluated and logged: before training, not before so many epochs, once an epoch, never.
Test(train, evaluations_and_logs_when_asked_for) {
    ftc_dataset train = bag_dataset(40, 1), test = bag_dataset(10, 2); // 5 steps an epoch
    ftc_train_options options = fast_options();
    options.eval_on_start = true;
    options.eval_delay = 2;
    options.logging_strategy = FTC_WHEN_EPOCH;
    record r = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, &test, &options, 1, &r, NULL));
    static const double STEPS[] = {0, 5, 10, 10, 15, 15, 15};
    double step[MOST_LINES], some[MOST_LINES];
    cr_assert_eq(values(&r, "step", step), 7);
    for (int i = 0; i < 7; i++) cr_assert_eq(step[i], STEPS[i], "line %d", i);
    cr_assert_eq(values(&r, "loss", some), 3);
    cr_assert_eq(values(&r, "eval_loss", some), 3);
    free_record(&r);

    options.eval_on_start = false;
    options.eval_strategy = options.logging_strategy = FTC_WHEN_NO;
    record s = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, &test, &options, 1, &s, NULL));
    cr_assert_eq(s.n, 1); // the end
    free_record(&s);
    ftc_dataset_free(&train);
    ftc_dataset_free(&test);
}

// Batches by length: of about one length, the longest first, another order each epoch, every example once.
Test(train, batches_of_about_one_length) {
    enum { N = 1000, BATCH = 8 };
    ftc_dataset train = {0};
    ftc_tokens tokens = {.ids = calloc(64, sizeof(int32_t)), .types = calloc(64, sizeof(int32_t))};
    uint32_t random = 1;
    for (int i = 0; i < N; i++) {
        random = random * 1664525 + 1013904223;
        tokens.count = 1 + (random >> 26); // 1 … 64
        ftc_dataset_add(&train, &tokens, 0);
    }
    int64_t order[N], other[N], seen[N] = {0}, spread[2] = {0};
    ftc_order how = {.batch = BATCH, .seed = 1, .data_seed = 1};
    for (int grouped = 0; grouped < 2; grouped++) {
        how.sampling = grouped ? FTC_SAMPLING_GROUP_BY_LENGTH : FTC_SAMPLING_RANDOM;
        ftc_order_epoch(&how, &train, 0, 0, order);
        for (int i = 0; i < N; i += BATCH) {
            int64_t longest = 0, shortest = 64;
            for (int k = i; k < i + BATCH; k++) {
                int64_t length = ftc_dataset_length(&train, order[k]);
                longest = length > longest ? length : longest;
                shortest = length < shortest ? length : shortest;
                seen[order[k]]++;
            }
            spread[grouped] += longest - shortest;
        }
    }
    cr_assert_lt(spread[1] * 8, spread[0]);
    for (int i = 0; i < N; i++) cr_assert_eq(seen[i], 2);
    cr_assert_geq(ftc_dataset_length(&train, order[0]), 60);
    ftc_order_epoch(&how, &train, 1, ftc_order_draws(&how, N), other);
    cr_assert_neq(memcmp(order, other, sizeof order), 0);
    ftc_tokens_free(&tokens);
    ftc_dataset_free(&train);
}

Test(train, early_stopping) {
    ftc_dataset train = bag_dataset(40, 1), test = bag_dataset(10, 2);
    ftc_train_options options = fast_options();
    options.epochs = 50;
    options.patience = 2;
    options.patience_threshold = 10; // no gain is ever large enough after the first
    record r = {0};
    ASSERT_OK(train_on(&BAG_PROGRAM, &train, &test, &options, 1, &r, NULL));
    double accuracy[MOST_LINES];
    cr_assert_eq(values(&r, "eval_accuracy", accuracy), 3);
    free_record(&r);
    ftc_dataset_free(&train);
    ftc_dataset_free(&test);
}

Test(train, a_loss_that_is_not_finite_ends_the_run) {
    ftc_dataset train = bag_dataset(40, 1);
    ftc_train_options options = fast_options();
    options.lr = 1e38;
    record r = {0};
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, NULL), FTC_FAILED, "step ");
    free_record(&r);
    ftc_dataset_free(&train);
}

Test(train, bad_input_is_named) {
    ftc_dataset train = bag_dataset(40, 1), empty = {0};
    ftc_train_options options = fast_options();
    record r = {0};
    options.batch = BAG_MAX_BATCH + 1;
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, NULL), FTC_BAD_INPUT, "--batch 17");
    options.batch = 8;
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &empty, NULL, &options, 1, &r, NULL), FTC_BAD_INPUT,
                 "0 training examples");
    train.labels[3] = BAG_CLASSES;
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, NULL), FTC_BAD_INPUT,
                 "example 3 has the label 3");
    train.labels[3] = 0;
    train.ids[0] = BAG_VOCAB;
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, NULL), FTC_BAD_INPUT, "\"ids\" is 50");
    train.ids[0] = 1;
    options.label_smoothing = 0.1;
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, NULL), FTC_BAD_INPUT,
                 "label smoothing");
    options.label_smoothing = 0;
    options.load_best = true;
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &train, NULL, &options, 1, &r, NULL), FTC_BAD_INPUT, "--test");
    options.load_best = false;
    options.best_metric = "accuraccy";
    ASSERT_FAILS(train_on(&BAG_PROGRAM, &train, &train, &options, 1, &r, NULL), FTC_BAD_INPUT,
                 "accuraccy: no evaluation of bag gives it; there are loss, accuracy, f1");
    free_record(&r);
    ftc_dataset_free(&train);
}

Test(train, the_model_lacks_an_entry) {
    ftc_program program = BAG_PROGRAM;
    program.entries[FTC_ENTRY_GRAD].fn = NULL;
    ftc_dataset train = bag_dataset(40, 1);
    ftc_train_options options = fast_options();
    options.accumulation = 2;
    record r = {0};
    ASSERT_FAILS(train_on(&program, &train, NULL, &options, 1, &r, NULL), FTC_BAD_INPUT,
                 "without the entry \"grad\"");
    free_record(&r);
    ftc_dataset_free(&train);
}

static void expect_notes(const ftc_program *program, const ftc_train_options *options,
                         const ftc_dataset *train, const char *notes) {
    record r = {0};
    ASSERT_OK(train_on(program, train, NULL, options, 1, &r, NULL));
    cr_expect_str_eq(r.notes, notes);
    free_record(&r);
}

// Each by its name; what Trainer's arguments always have is told of the schedule alone.
Test(train, what_changes_nothing_is_told) {
    ftc_dataset train = bag_dataset(10, 1);
    ftc_train_options options = fast_options();
    options.max_steps = 1;
    options.momentum = 0.5;
    options.schedule_power = 2;
    options.schedule_rise = FTC_SLOPE_COSINE;
    expect_notes(&BAG_PROGRAM, &options, &train,
                 "momentum 0.5 changes nothing: the optimizer of the model bag takes none\n"
                 "schedule_power changes nothing: the schedule has none\n"
                 "schedule_rise changes nothing: the schedule has none\n");

    options.momentum = -1;
    options.weight_decay = 0.1;
    options.schedule_rise = FTC_SLOPE_LINEAR;
    options.schedule = FTC_SCHEDULE_POLYNOMIAL;
    options.warmup_steps = 1;
    expect_notes(&BAG_PROGRAM, &options, &train, "");

    options = ftc_train_options_trainer();
    options.output = NULL;
    options.max_steps = 1;
    options.schedule = FTC_SCHEDULE_CONSTANT;
    options.warmup_steps = 1;
    expect_notes(&BAG_PROGRAM, &options, &train, "warmup changes nothing: the schedule has none\n");
    ftc_dataset_free(&train);
}

Test(train, an_optimizer_without_a_rate_is_told) {
    ftc_dataset train = bag_dataset(10, 1);
    ftc_train_options options = fast_options();
    ftc_program program = BAG_PROGRAM;
    ftc_scalar_info scalars[32];
    memcpy(scalars, program.scalars, (size_t)program.n_scalars * sizeof *scalars);
    for (int32_t i = 0; i < program.n_scalars; i++)
        if (!strcmp(scalars[i].name, "lr")) scalars[i].name = "pace";
    program.scalars = scalars;
    options.max_steps = 1;
    options.lr = 0.25;
    expect_notes(&program, &options, &train,
                 "lr 0.25 and its schedule change nothing: the optimizer of the model bag reads no learning "
                 "rate\n");
    ftc_dataset_free(&train);
}

Test(train, progress_is_one_line) {
    ftc_progress progress = {"train", 150, 375, 1.2, 1.234, 0.512, 83.14, 10250, 21};
    char text[256];
    ftc_progress_format(&progress, 10, text, sizeof text);
    cr_assert_str_eq(text,
                     "train [####......] 150/375  epoch 1.20  loss 1.2340  accuracy 0.512  83.1 examples/s  "
                     "10250 tokens/s  0:21 left");
    progress.loss = -1.5; // as of a likelihood; only what is not known is not shown
    progress.accuracy = NAN;
    ftc_progress_format(&progress, 0, text, sizeof text);
    cr_assert_str_eq(text,
                     "train 150/375  epoch 1.20  loss -1.5000  83.1 examples/s  10250 tokens/s  0:21 left");
}

// Every step is in the curve, at first by itself, then in ever wider means.
Test(train, curves_keep_all_steps_in_bounded_memory) {
    enum { STEPS = 5 * FTC_CURVE_MOST_POINTS + 3 };
    ftc_curve curve = {0};
    for (int64_t step = 1; step <= STEPS; step++) {
        ftc_curve_add(&curve, step, 2.0 * (double)step, NAN, 1);
        cr_assert_leq(curve.n, FTC_CURVE_MOST_POINTS);
        if (step == FTC_CURVE_MOST_POINTS) {
            cr_assert_eq(curve.n, FTC_CURVE_MOST_POINTS);
            cr_assert_eq(curve.points[3].step, 4);
        }
    }
    cr_assert_eq(curve.width, 8);
    int64_t steps = 0;
    for (int64_t i = 0; i < curve.n; i++) {
        const ftc_curve_point *p = &curve.points[i];
        cr_assert_eq(p->steps, i + 1 < curve.n ? 8 : STEPS % 8);
        cr_assert_float_eq(p->step, (double)steps + (double)(p->steps + 1) / 2, 1e-9);
        cr_assert_float_eq(p->loss, 2 * p->step, 1e-9);
        cr_assert(isnan(p->grad_norm));
        cr_assert_float_eq(p->learning_rate, 1, 1e-12);
        steps += p->steps;
    }
    cr_assert_eq(steps, STEPS);
    ftc_curve_free(&curve);
}
