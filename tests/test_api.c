// libftc, through ftc.h and the shared library alone: on models/mlp.ir, as an artifact where nothing is to be
// compiled.
#include "compiler/api/ftc.h"
#include "runtime/loop/schedule.h"
#include "tests/scratch.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

#define MODEL     FTC_SOURCE_ROOT "/models/mlp.ir"
#define TOKENIZER FTC_SOURCE_ROOT "/models/data/tokenizer"

enum { N = 24, BATCH = 8, LABELS = 5 };

// Asserts success.
#define OK(expr)                                                                                             \
    do {                                                                                                     \
        ftc_error *error_ = (expr);                                                                          \
        cr_assert_null(error_, "%s", ftc_error_message(error_));                                             \
    } while (0)

// Asserts that `expr` fails with this status and a message that contains `text`.
#define FAILS(expr, status, text)                                                                            \
    do {                                                                                                     \
        ftc_error *error_ = (expr);                                                                          \
        cr_assert_not_null(error_);                                                                          \
        cr_assert_eq(ftc_error_status(error_), status);                                                      \
        cr_assert(strstr(ftc_error_message(error_), text), "\"%s\" lacks \"%s\"", ftc_error_message(error_), \
                  text);                                                                                     \
        ftc_error_free(error_);                                                                              \
    } while (0)

static ftc_net *open_artifact(void) {
    ftc_net *net;
    OK(ftc_net_open(FTC_TEST_ARTIFACT, NULL, &net));
    return net;
}

static ftc_trainer *create(const ftc_net *net, int32_t threads) {
    ftc_trainer *trainer;
    OK(ftc_trainer_create(net, &(ftc_trainer_options){.threads = threads, .seed = 7}, &trainer));
    ftc_trainer_init(trainer);
    return trainer;
}

// N sequences of 3 to 9 tokens, packed; the first token tells the label.
typedef struct {
    int64_t offsets[N + 1];
    int32_t ids[N * 9];
    float labels[N];
} examples;

static examples make_examples(void) {
    examples e = {0};
    for (int i = 0; i < N; i++) {
        int64_t at = e.offsets[i];
        int length = 3 + i * 5 % 7;
        e.labels[i] = (float)(i % LABELS);
        for (int k = 0; k < length; k++)
            e.ids[at + k] = k == 0 ? 100 + i % LABELS : 200 + (i * 31 + k * 17) % 300;
        e.offsets[i + 1] = at + length;
    }
    return e;
}

static void bind(ftc_trainer *trainer, const examples *e, int first, int n) {
    OK(ftc_trainer_bind_packed(trainer, n, e->offsets + first, e->ids, NULL, e->labels + first));
}

static void train(ftc_trainer *trainer, const examples *e, int steps) {
    OK(ftc_trainer_set(trainer, "lr", 5e-3));
    for (int i = 0; i < steps; i++) {
        bind(trainer, e, i * BATCH % N, BATCH);
        OK(ftc_trainer_step(trainer));
    }
}

static int64_t elements(const ftc_tensor_desc *tensor) {
    int64_t n = 1;
    for (int i = 0; i < tensor->rank; i++) n *= tensor->dims[i];
    return n;
}

// Copies every tensor between two trainers of one net.
static void copy_tensors(const ftc_net *net, ftc_trainer *from, ftc_trainer *to) {
    int32_t n;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    for (int32_t i = 0; i < n; i++) {
        memcpy(ftc_trainer_tensor(to, tensors[i].name), ftc_trainer_tensor(from, tensors[i].name),
               (size_t)elements(&tensors[i]) * sizeof(float));
    }
}

static void assert_same_tensors(const ftc_net *net, ftc_trainer *a, ftc_trainer *b) {
    int32_t n;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    for (int32_t i = 0; i < n; i++) {
        const char *name = tensors[i].name;
        cr_assert_arr_eq(ftc_trainer_tensor(a, name), ftc_trainer_tensor(b, name),
                         (size_t)elements(&tensors[i]) * sizeof(float), "%s", name);
    }
}

// --- the net ------------------------------------------------------------------------------------------

static const ftc_tensor_desc *find_tensor(const ftc_net *net, const char *name) {
    int32_t n;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    int32_t i = 0;
    while (i < n && strcmp(tensors[i].name, name) != 0) i++;
    cr_assert_lt(i, n, "no %s", name);
    return &tensors[i];
}

Test(net, describes_itself) {
    ftc_net *net = open_artifact();
    cr_assert_str_eq(ftc_net_name(net), "mlp");
    cr_assert_null(ftc_net_pretrained(net));
    cr_assert_null(ftc_net_recompiled(net));
    cr_assert_eq(ftc_net_max_sequences(net), 32);
    cr_assert_eq(ftc_net_max_length(net), 128);
    cr_assert_eq(ftc_net_calls(net), FTC_CALL_STEP | FTC_CALL_GRAD | FTC_CALL_UPDATE | FTC_CALL_EVAL);

    const ftc_tensor_desc *weight = find_tensor(net, "hidden.weight");
    cr_assert_eq(weight->kind, FTC_TENSOR_PARAMETER);
    cr_assert_eq(weight->type, FTC_ELEMENT_F32);
    cr_assert_eq(weight->rank, 2);
    cr_assert_eq(weight->dims[0], 128);
    cr_assert_eq(weight->dims[1], 64);
    cr_assert(weight->trainable);
    cr_assert_eq(find_tensor(net, "hidden.weight.grad")->kind, FTC_TENSOR_GRADIENT);
    cr_assert_eq(find_tensor(net, "hidden.weight.exp_avg_sq")->kind, FTC_TENSOR_MOMENT);

    int32_t n;
    const ftc_input_desc *inputs = ftc_net_inputs(net, &n);
    cr_assert_eq(n, 2);
    for (int32_t i = 0; i < n; i++) {
        bool is_label = strcmp(inputs[i].name, "label") == 0;
        cr_assert(is_label || strcmp(inputs[i].name, "ids") == 0);
        cr_assert_eq(inputs[i].type, FTC_ELEMENT_I32);
        cr_assert_eq(inputs[i].rank, is_label ? 1 : 2);
        cr_assert_str_eq(inputs[i].axes[0].extent, "B");
        cr_assert_eq(inputs[i].bound, is_label ? LABELS : 1660);
    }
    int found = 0;
    const ftc_scalar_desc *scalars = ftc_net_scalars(net, &n);
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(scalars[i].name, "beta1") == 0) found += scalars[i].initial == 0.9;
        if (strcmp(scalars[i].name, "dropout") == 0) found += scalars[i].initial == 0.1;
    }
    cr_assert_eq(found, 2);
    const ftc_output_desc *outputs = ftc_net_outputs(net, &n);
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(outputs[i].name, "grad_norm") == 0) cr_assert_eq(outputs[i].calls, FTC_CALL_UPDATE);
        if (strcmp(outputs[i].name, "logits") == 0)
            cr_assert(outputs[i].rank == 2 && outputs[i].axes[1].size == LABELS &&
                      !outputs[i].axes[1].extent);
    }
    ftc_net_free(net);
}

Test(net, takes_compile_options) {
    const char *const more[] = {"set=hidden=32", "set=labels=3", "no-pass=cse", NULL};
    ftc_net *net;
    OK(ftc_net_open(MODEL,
                    &(ftc_net_options){.batch = 4, .max_length = 16, .calls = FTC_CALL_EVAL, .options = more},
                    &net));
    cr_assert_eq(ftc_net_max_sequences(net), 4);
    cr_assert_eq(ftc_net_max_length(net), 16);
    cr_assert_eq(ftc_net_calls(net), FTC_CALL_EVAL);
    cr_assert_eq(find_tensor(net, "classifier.weight")->dims[0], 3);
    cr_assert_eq(find_tensor(net, "hidden.weight")->dims[1], 32);
    ftc_trainer *trainer;
    FAILS(ftc_trainer_create(net, &(ftc_trainer_options){.calls = FTC_CALL_STEP}, &trainer), 2, "\"step\"");
    ftc_net_free(net);
}

Test(net, tells_why_an_artifact_was_compiled_again) {
    ftc_net *net;
    OK(ftc_net_open(FTC_TEST_ARTIFACT, &(ftc_net_options){.batch = 64, .calls = FTC_CALL_EVAL}, &net));
    cr_assert_eq(ftc_net_max_sequences(net), 64);
    cr_assert(strstr(ftc_net_recompiled(net), "batches of 32"));
    ftc_net_free(net);
}

static ftc_error *open_with(const char *option) {
    const char *const more[] = {option, NULL};
    ftc_net *net = NULL;
    ftc_error *error = ftc_net_open(MODEL, &(ftc_net_options){.options = more}, &net);
    cr_assert_null(net);
    return error;
}

Test(net, refuses_bad_models_and_options) {
    ftc_net *net = NULL;
    FAILS(ftc_net_open("no-such.ir", NULL, &net), 2, "no-such.ir");
    FAILS(ftc_net_open("no-such.ftc", NULL, &net), 2, "ftc compile");
    FAILS(ftc_net_open(TOKENIZER, NULL, &net), 2, "config.json");
    FAILS(ftc_net_open(MODEL, &(ftc_net_options){.batch = -1}, &net), 2, "batch is -1");
    FAILS(ftc_net_open(MODEL, &(ftc_net_options){.calls = 64}, &net), 2, "FTC_CALL_STEP");
    cr_assert_null(net);
    FAILS(open_with("gem=openblas"), 2, "did you mean gemm?");
    FAILS(open_with("memory"), 2, "expected NAME=VALUE");
    FAILS(open_with("gemm=mkl"), 2, "openblas");
    FAILS(open_with("set=hiden=3"), 2, "hidden");
    ftc_error_free(NULL);
    ftc_net_free(NULL);
    ftc_trainer_free(NULL);
    ftc_tokenizer_free(NULL);
}

// --- texts --------------------------------------------------------------------------------------------

Test(tokenizer, encodes_texts_and_pairs) {
    ftc_tokenizer *tokenizer = NULL;
    FAILS(ftc_tokenizer_load("no-such-folder", &tokenizer), 2, "no-such-folder");
    cr_assert_null(tokenizer);
    OK(ftc_tokenizer_load(TOKENIZER, &tokenizer));
    int32_t ids[16], types[16], count, short_count, pair_count;
    OK(ftc_tokenize(tokenizer, "The soup was good.", NULL, 16, ids, NULL, &count));
    int32_t cls = ids[0], sep = ids[count - 1];
    OK(ftc_tokenize(tokenizer, "The soup was good.", NULL, 4, ids, types, &short_count));
    cr_assert_eq(short_count, 4);
    cr_assert(ids[0] == cls && ids[3] == sep && types[3] == 0);
    OK(ftc_tokenize(tokenizer, "The soup", "was good.", 16, ids, types, &pair_count));
    cr_assert_eq(pair_count, count + 1); // one separator more
    cr_assert(types[0] == 0 && types[pair_count - 1] == 1);
    FAILS(ftc_tokenize(tokenizer, "broken \xff text", NULL, 16, ids, types, &count), 2, "UTF-8");
    ftc_tokenizer_free(tokenizer);
}

// --- training -----------------------------------------------------------------------------------------

// The first number of an output.
static float number(const ftc_trainer *trainer, const char *name) {
    return *(const float *)ftc_trainer_output(trainer, name, NULL);
}

Test(trainer, learns) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 2);
    examples e = make_examples();
    int64_t cells;
    const float *loss = ftc_trainer_output(trainer, "loss", NULL);
    const float *logits = ftc_trainer_output(trainer, "logits", NULL);
    cr_assert_null(ftc_trainer_output(trainer, "perplexity", NULL));
    train(trainer, &e, 90);
    cr_assert_eq(ftc_trainer_steps(trainer), 90);
    bind(trainer, &e, 0, N);
    OK(ftc_trainer_eval(trainer));
    cr_assert_eq(ftc_trainer_output(trainer, "logits", &cells), logits);
    cr_assert_eq(cells, N * LABELS);
    cr_assert_lt(*loss, 0.2);
    for (int i = 0; i < N; i++) {
        int best = 0;
        for (int c = 1; c < LABELS; c++) best = logits[i * LABELS + c] > logits[i * LABELS + best] ? c : best;
        cr_assert_eq(best, (int)e.labels[i]);
    }
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

Test(trainer, calls_openblas_where_the_net_asks_for_it) {
    const char *const more[] = {"gemm=openblas", NULL};
    ftc_net *native = open_artifact(), *net;
    OK(ftc_net_open(MODEL, &(ftc_net_options){.calls = FTC_CALL_EVAL, .options = more}, &net));
    ftc_trainer *ours = create(native, 2), *theirs = create(net, 2);
    examples e = make_examples();
    bind(ours, &e, 0, N);
    bind(theirs, &e, 0, N);
    OK(ftc_trainer_eval(ours));
    OK(ftc_trainer_eval(theirs));
    cr_assert_float_eq(number(ours, "loss"), number(theirs, "loss"), 1e-5);
    ftc_trainer_free(ours);
    ftc_trainer_free(theirs);
    ftc_net_free(net);
    ftc_net_free(native);
}

Test(trainer, gives_the_same_bits_for_any_number_of_threads) {
    ftc_net *net = open_artifact();
    ftc_trainer *one = create(net, 1), *three = create(net, 3);
    examples e = make_examples();
    train(one, &e, 5);
    train(three, &e, 5);
    assert_same_tensors(net, one, three);
    ftc_trainer_free(one);
    ftc_trainer_free(three);
    ftc_net_free(net);
}

Test(trainer, binds_sequences_packed_or_one_by_one) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    examples e = make_examples();
    const int32_t *ids[3], zeros[9] = {0}, *types[3] = {zeros, zeros, zeros};
    int32_t lengths[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = e.ids + e.offsets[5 + i];
        lengths[i] = (int32_t)(e.offsets[6 + i] - e.offsets[5 + i]);
    }
    const float *loss = ftc_trainer_output(trainer, "loss", NULL),
                *logits = ftc_trainer_output(trainer, "logits", NULL);
    bind(trainer, &e, 5, 3);
    OK(ftc_trainer_eval(trainer));
    float packed_loss = *loss, packed[3 * LABELS];
    memcpy(packed, logits, sizeof packed);
    bind(trainer, &e, 0, 1);
    OK(ftc_trainer_eval(trainer)); // something else in between
    cr_assert_neq(*loss, packed_loss);
    OK(ftc_trainer_bind(trainer, 3, ids, types, lengths, e.labels + 5));
    OK(ftc_trainer_eval(trainer));
    cr_assert_eq(*loss, packed_loss);
    cr_assert_arr_eq(logits, packed, sizeof packed);
    OK(ftc_trainer_bind(trainer, 3, ids, NULL, lengths, NULL)); // without labels
    OK(ftc_trainer_eval(trainer));
    cr_assert_arr_eq(logits, packed, sizeof packed);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

static double loss_at(ftc_trainer *trainer, float *weight, float value) {
    float kept = *weight;
    *weight = value;
    OK(ftc_trainer_eval(trainer));
    *weight = kept;
    return number(trainer, "loss");
}

Test(trainer, gives_gradients_that_differences_confirm) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 2);
    examples e = make_examples();
    train(trainer, &e, 10);
    OK(ftc_trainer_set(trainer, "dropout", 0));
    bind(trainer, &e, 0, BATCH);
    OK(ftc_trainer_grad(trainer));
    float *weight = ftc_trainer_tensor(trainer, "classifier.bias"), h = 1e-2f;
    const float *gradient = ftc_trainer_tensor(trainer, "classifier.bias.grad");
    for (int i = 0; i < LABELS; i++) {
        double slope =
            (loss_at(trainer, &weight[i], weight[i] + h) - loss_at(trainer, &weight[i], weight[i] - h)) /
            (2 * (double)h);
        cr_assert_float_eq((double)gradient[i], slope, 2e-4);
    }
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// What a model assigns to state of its own, by the calls of this library.
Test(trainer, assigns_state_once_a_step) {
    char *dir = test_directory(), *command;
    cr_assert(asprintf(&command, "%s compile %s/tests/golden/language/state.ir -o %s/state.ftc > %s/out",
                       FTC_COMMAND, FTC_SOURCE_ROOT, dir, dir) > 0);
    cr_assert_eq(system(command), 0);
    char *path = ftc_path_join(dir, "state.ftc");
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    ftc_trainer *trainer = create(net, 2);
    examples e = make_examples();
    bind(trainer, &e, 0, BATCH);
    OK(ftc_trainer_step(trainer));
    OK(ftc_trainer_eval(trainer));
    for (int i = 0; i < 3; i++) OK(ftc_trainer_grad(trainer));
    OK(ftc_trainer_update(trainer));
    OK(ftc_trainer_eval(trainer));
    OK(ftc_trainer_eval(trainer));
    static const struct {
        const char *name;
        float value;
    } expected[] = {{"steps", 2}, {"batches", 4}, {"evals", 3}, {"both", 5}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect_eq(*(float *)ftc_trainer_tensor(trainer, expected[i].name), expected[i].value, "%s",
                     expected[i].name);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    free(path);
    free(command);
    scratch_free(dir);
}

Test(trainer, accumulates_and_clips) {
    ftc_net *net = open_artifact();
    ftc_trainer *whole = create(net, 2), *halves = create(net, 2), *clipped = create(net, 2);
    examples e = make_examples();
    ftc_trainer *all[] = {whole, halves, clipped};
    for (int i = 0; i < 3; i++) {
        OK(ftc_trainer_set(all[i], "dropout", 0));
        OK(ftc_trainer_set(all[i], "max_grad_norm", i == 2 ? 1e-3 : INFINITY));
    }
    bind(whole, &e, 0, 2 * BATCH);
    OK(ftc_trainer_step(whole));
    for (int i = 1; i < 3; i++) {
        OK(ftc_trainer_set(all[i], "accumulation", 2));
        for (int k = 0; k < 2; k++) {
            bind(all[i], &e, k * BATCH, BATCH);
            OK(ftc_trainer_grad(all[i]));
        }
    }
    // The norm, from the gradients themselves.
    int32_t n;
    double squares = 0;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    for (int32_t i = 0; i < n; i++) {
        if (tensors[i].kind != FTC_TENSOR_GRADIENT) continue;
        const float *g = ftc_trainer_tensor(halves, tensors[i].name);
        for (int64_t k = 0; k < elements(&tensors[i]); k++) squares += (double)g[k] * (double)g[k];
    }
    OK(ftc_trainer_update(halves));
    OK(ftc_trainer_update(clipped));
    const float *norm = ftc_trainer_output(halves, "grad_norm", NULL);
    cr_assert_gt(squares, 0);
    cr_assert_float_eq((double)*norm, sqrt(squares), 1e-5 * sqrt(squares));
    cr_assert_float_eq(number(clipped, "grad_norm"), *norm, 1e-6); // before clipping

    // Two halves are one whole; the moment of clipped gradients is smaller by the factor.
    double factor = 1e-3 / (sqrt(squares) + 1e-6);
    const float *a = ftc_trainer_tensor(whole, "hidden.weight.exp_avg");
    const float *b = ftc_trainer_tensor(halves, "hidden.weight.exp_avg");
    const float *c = ftc_trainer_tensor(clipped, "hidden.weight.exp_avg");
    double largest = 0;
    for (int i = 0; i < 128 * 64; i++) {
        cr_assert_float_eq(a[i], b[i], 1e-7);
        cr_assert_float_eq((double)c[i], (double)b[i] * factor, 1e-9);
        largest = fmax(largest, fabs((double)b[i]));
    }
    cr_assert_gt(largest, 1e-5);
    const float *left = ftc_trainer_tensor(halves, "hidden.weight.grad");
    for (int i = 0; i < 128 * 64; i++) cr_assert_eq(left[i], 0);
    cr_assert_eq(ftc_trainer_steps(halves), 1);
    for (int i = 0; i < 3; i++) ftc_trainer_free(all[i]);
    ftc_net_free(net);
}

Test(trainer, continues_another_bit_by_bit) {
    ftc_net *net = open_artifact();
    ftc_trainer *first = create(net, 2), *second;
    examples e = make_examples();
    train(first, &e, 4);
    OK(ftc_trainer_create(net, &(ftc_trainer_options){.seed = 7}, &second));
    ftc_trainer_init(second);
    copy_tensors(net, first, second);
    ftc_trainer_set_steps(second, ftc_trainer_steps(first));
    train(first, &e, 3);
    train(second, &e, 3);
    assert_same_tensors(net, first, second);
    ftc_trainer_free(first);
    ftc_trainer_free(second);
    ftc_net_free(net);
}

// Both train alike: by steps, by accumulation, with evaluations of rows not seen so far in between.
static void train_in_all_ways(ftc_trainer *trainer, const examples *e) {
    OK(ftc_trainer_set(trainer, "accumulation", 2));
    for (int i = 0; i < 6; i++) {
        OK(ftc_trainer_set(trainer, "lr", 1e-2 / (1 + i)));
        OK(ftc_trainer_set(trainer, "weight_decay", 0.5));
        int first = i / 2 * 4; // two steps on the same rows
        for (int half = 0; half < 1 + i % 2; half++) {
            bind(trainer, e, first + 2 * half, i % 2 ? 2 : 4);
            if (i % 2)
                OK(ftc_trainer_grad(trainer));
            else
                OK(ftc_trainer_step(trainer));
        }
        if (i % 2) OK(ftc_trainer_update(trainer));
        bind(trainer, e, first + 6, 4);
        OK(ftc_trainer_eval(trainer));
    }
}

Test(trainer, leaves_untouched_rows_for_later_bit_by_bit) {
    ftc_net *net = open_artifact();
    ftc_trainer *lazy = create(net, 2), *dense = create(net, 1);
    examples e = make_examples();
    ftc_trainer_tensor(dense, "embedding.weight"); // whoever holds the address has every row updated at once
    ftc_trainer *both[] = {lazy, dense};
    float loss[2];
    for (int i = 0; i < 2; i++) {
        train_in_all_ways(both[i], &e);
        loss[i] = number(both[i], "loss");
    }
    cr_assert_eq(loss[0], loss[1]);
    assert_same_tensors(net, lazy, dense);
    ftc_trainer *fresh = create(net, 1);
    const float *after = ftc_trainer_tensor(lazy, "embedding.weight"),
                *before = ftc_trainer_tensor(fresh, "embedding.weight");
    cr_assert_neq(after[1600 * 64], before[1600 * 64]); // a row that no example has: only decayed
    // Product of 1 - lr / 2.
    cr_assert_float_eq((double)after[1600 * 64] / (double)before[1600 * 64], 0.98781, 2e-5);
    for (int i = 0; i < 2; i++) ftc_trainer_free(both[i]);
    ftc_trainer_free(fresh);
    ftc_net_free(net);
}

Test(net, shows_nothing_that_only_the_runtime_understands) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    int32_t n_outputs, n_tensors;
    const ftc_output_desc *outputs = ftc_net_outputs(net, &n_outputs);
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n_tensors);
    cr_assert_eq(n_outputs, 3); // loss, logits, grad_norm
    for (int32_t i = 0; i < n_outputs; i++)
        cr_expect(ftc_trainer_output(trainer, outputs[i].name, NULL), "%s", outputs[i].name);
    for (int32_t i = 0; i < n_tensors; i++)
        cr_expect(ftc_trainer_tensor(trainer, tensors[i].name), "%s", tensors[i].name);
    cr_expect_null(ftc_trainer_output(trainer, "embedding.weight.untouched", NULL));
    cr_expect_null(ftc_trainer_tensor(trainer, "embedding.weight.touched"));
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

static void *train_alone(void *net) {
    ftc_trainer *trainer = create(net, 2);
    examples e = make_examples();
    train(trainer, &e, 20);
    return trainer;
}

static void *open_and_train(void *out) {
    ftc_net *net;
    OK(ftc_net_open(MODEL, &(ftc_net_options){.calls = FTC_CALL_STEP}, &net));
    *(ftc_net **)out = net;
    return train_alone(net);
}

Test(trainer, runs_beside_others) {
    ftc_net *nets[2];
    pthread_t threads[4];
    void *trainers[4];
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, open_and_train, &nets[i]), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_join(threads[i], &trainers[i]), 0);
    for (int i = 2; i < 4; i++) cr_assert_eq(pthread_create(&threads[i], NULL, train_alone, nets[0]), 0);
    for (int i = 2; i < 4; i++) cr_assert_eq(pthread_join(threads[i], &trainers[i]), 0);
    for (int i = 1; i < 4; i++) {
        assert_same_tensors(nets[0], trainers[0], trainers[i]);
        ftc_trainer_free(trainers[i]);
    }
    ftc_trainer_free(trainers[0]);
    for (int i = 0; i < 2; i++) ftc_net_free(nets[i]);
}

// --- bad input ----------------------------------------------------------------------------------------

Test(trainer, refuses_what_does_not_fit) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = NULL;
    examples e = make_examples();
    FAILS(ftc_trainer_create(net, &(ftc_trainer_options){.threads = -2}, &trainer), 2, "-2 threads");
    FAILS(ftc_trainer_create(net, &(ftc_trainer_options){.calls = 64}, &trainer), 2, "FTC_CALL_STEP");
    cr_assert_null(trainer);
    OK(ftc_trainer_create(net, &(ftc_trainer_options){.threads = 1, .calls = FTC_CALL_STEP}, &trainer));
    cr_assert_null(ftc_trainer_tensor(trainer, "no.such"));
    cr_assert_null(ftc_trainer_tensor(trainer, "hidden.weight.grad")); // FTC_CALL_STEP keeps none
    cr_assert_null(ftc_trainer_output(trainer, "grad_norm", NULL));
    FAILS(ftc_trainer_load(trainer, NULL), 2, "ftc_trainer_init");
    FAILS(ftc_trainer_save(trainer, "never", NULL, NULL), 2, "no weights");
    bind(trainer, &e, 0, 4);
    FAILS(ftc_trainer_step(trainer), 2, "no weights");
    ftc_trainer_init(trainer);
    FAILS(ftc_trainer_eval(trainer), 2, "without FTC_CALL_EVAL");
    FAILS(ftc_trainer_set(trainer, "drop-out", 0), 2, "did you mean \"dropout\"?");
    FAILS(ftc_trainer_set(trainer, "learning", 0), 2, "no scalar \"learning\"");

    FAILS(ftc_trainer_bind_packed(trainer, 0, e.offsets, e.ids, NULL, e.labels), 2, "0 sequences");
    FAILS(ftc_trainer_step(trainer), 2, "no batch");
    FAILS(ftc_trainer_bind_packed(trainer, 33, e.offsets, e.ids, NULL, e.labels), 2, "1 to 32");
    int64_t long_offsets[] = {0, 129};
    FAILS(ftc_trainer_bind_packed(trainer, 1, long_offsets, e.ids, NULL, e.labels), 2, "129 tokens");
    const int32_t *rows[] = {e.ids}, lengths[] = {-3};
    FAILS(ftc_trainer_bind(trainer, 1, rows, NULL, lengths, NULL), 2, "sequence 0 has -3 tokens");
    examples bad = e;
    bad.ids[e.offsets[2]] = 1660;
    FAILS(ftc_trainer_bind_packed(trainer, 4, bad.offsets, bad.ids, NULL, bad.labels), 2, "1660");
    bad = e;
    bad.labels[3] = LABELS;
    FAILS(ftc_trainer_bind_packed(trainer, 4, bad.offsets, bad.ids, NULL, bad.labels), 2, "label 5");
    FAILS(ftc_trainer_step(trainer), 2, "no batch");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// The mean of nothing is 0, so that such a sequence's logits are those of any other empty one.
Test(trainer, takes_empty_sequences) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 2);
    examples e = make_examples();
    const float *logits = ftc_trainer_output(trainer, "logits", NULL);
    const int64_t offsets[] = {0, 0, 4, 4, 7, 7};
    OK(ftc_trainer_bind_packed(trainer, 1, offsets, e.ids, NULL, e.labels));
    OK(ftc_trainer_eval(trainer));
    float alone[LABELS];
    memcpy(alone, logits, sizeof alone);
    for (int i = 0; i < LABELS; i++) cr_assert(isfinite(alone[i]));
    OK(ftc_trainer_bind_packed(trainer, 5, offsets, e.ids, NULL, e.labels));
    OK(ftc_trainer_eval(trainer));
    for (int i = 0; i < 5; i += 2) cr_expect_arr_eq(logits + i * LABELS, alone, sizeof alone);
    OK(ftc_trainer_grad(trainer));
    OK(ftc_trainer_update(trainer)); // no gradient is NaN
    OK(ftc_trainer_step(trainer));
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// --- batches of any shape -----------------------------------------------------------------------------

// A batch of two sequences, of 2 and 0 tokens along S, 0 and 3 along U; N has one element, G always two.
typedef struct {
    ftc_extent_size extents[7];
    int32_t n_extents;
    ftc_input_cells inputs[7];
    int32_t n_inputs;
} binding;

static const int64_t S_OFFSETS[] = {7, 9, 9}, U_OFFSETS[] = {0, 0, 3}, Q_OFFSETS[] = {0, 2},
                     R_OFFSETS[] = {0, 1, 1};
static const float X_CELLS[] = {1, 2}, Y_CELLS[] = {4, 8, 16}, FAR_CELLS[] = {0.5f}, G_CELLS[] = {32};
static const int32_t K_CELLS[] = {3, 4};
static const uint8_t M_CELLS[] = {1, 0};

static binding wide_batch(void) {
    return (binding){
        .extents = {{"S", 2, S_OFFSETS}, {"U", 2, U_OFFSETS}, {"Q", 1, Q_OFFSETS}, {"R", 2, R_OFFSETS}},
        .n_extents = 4,
        .inputs = {{"x", X_CELLS},
                   {"y", Y_CELLS},
                   {"far", FAR_CELLS},
                   {"m", M_CELLS},
                   {"k", K_CELLS},
                   {"g", G_CELLS}},
        .n_inputs = 6,
    };
}

static ftc_error *bind_wide(ftc_trainer *trainer, const binding *b) {
    return ftc_trainer_bind_inputs(trainer, b->extents, b->n_extents, b->inputs, b->n_inputs);
}

static ftc_net *open_wide(char *dir) {
    static const char TEXT[] =
        "model wide\naxis B <= 3, N <= 2, G = 2, C = 5, idle <= 9\naxis S ragged B <= 4\naxis U ragged B <= "
        "3\n"
        "axis Q ragged N <= 2\naxis R ragged G <= 2\n"
        "input x : f32[B, S]\ninput y : f32[B, U]\ninput far : f32[N]\ninput m : bool[N, Q]\n"
        "input k : i32[B] in C\ninput g : f32[G, R]\np = param \"p\" f32[C] init ones\n"
        "sums = (sum(x; S) + sum(y; U)) * gather(p, C, k)\n"
        "output loss = sum(sums; B) as loss\noutput twice = x * 2, sums, other = select(m, far, 0 - far), "
        "of_g = sum(g; R)\n"
        "train { lr = 0 }\n";
    char *path = test_write(dir, "wide.ir", TEXT, strlen(TEXT));
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    free(path);
    return net;
}

static void check_output(const ftc_trainer *trainer, const char *name, int n, const float *expected) {
    int64_t cells;
    const float *got = ftc_trainer_output(trainer, name, &cells);
    cr_assert(got && cells == n, "%s: %lld cells", name, (long long)cells);
    for (int i = 0; i < n; i++)
        cr_expect_float_eq(got[i], expected[i], 1e-6, "%s[%d]: %g", name, i, (double)got[i]);
}

Test(trainer, binds_inputs_over_axes_of_every_kind) {
    char *dir = test_directory();
    ftc_net *net = open_wide(dir);
    ftc_trainer *trainer = create(net, 2);
    binding b = wide_batch();
    OK(bind_wide(trainer, &b));
    OK(ftc_trainer_eval(trainer));
    check_output(trainer, "loss", 1, (float[]){31});
    check_output(trainer, "sums", 2, (float[]){3, 28});
    check_output(trainer, "twice", 2, (float[]){2, 4});
    check_output(trainer, "other", 2, (float[]){0.5f, -0.5f});
    check_output(trainer, "of_g", 2, (float[]){32, 0});
    OK(ftc_trainer_step(trainer));

    // In another order, batch-like extents too; lengths of nothing alone, whose cells may be NULL.
    static const int64_t nothing[] = {5, 5, 5, 5};
    b.extents[0] = (ftc_extent_size){"N", 1, NULL};
    b.extents[1] = (ftc_extent_size){"U", 3, nothing};
    b.extents[4] = (ftc_extent_size){"B", 3, NULL};
    b.extents[5] = (ftc_extent_size){"S", 3, nothing};
    b.extents[6] = (ftc_extent_size){"G", 2, NULL};
    b.n_extents = 7;
    b.inputs[0] = (ftc_input_cells){"k", (int32_t[]){0, 0, 0}};
    b.inputs[4] = (ftc_input_cells){"x", NULL};
    b.inputs[1].cells = NULL;
    OK(bind_wide(trainer, &b));
    OK(ftc_trainer_step(trainer));
    check_output(trainer, "sums", 3, (float[]){0, 0, 0});
    check_output(trainer, "twice", 0, NULL);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    scratch_free(dir);
}

Test(trainer, says_what_does_not_fit_a_batch) {
    static const int64_t decreasing[] = {0, 2, 1}, far_apart[] = {INT64_MIN, INT64_MAX, INT64_MAX},
                         too_long[] = {0, 5, 5}, four[] = {0, 0, 0, 0, 0};
    static const struct {
        int place; // in the binding's extents
        ftc_extent_size size;
        const char *message;
    } EXTENTS[] = {
        {0, {"T", 2, S_OFFSETS}, "no extent \"T\""},
        {4, {"idle", 3, NULL}, "no extent \"idle\""}, // nothing is over it
        {0, {"U", 2, U_OFFSETS}, "\"U\" is given twice"},
        {4, {"N", 1, S_OFFSETS}, "\"N\" is not ragged: give it n alone"},
        {0, {"S", 2, NULL}, "\"S\" is ragged: give it offsets"},
        {4, {"B", 3, NULL}, "\"B\" is given 2 elements and 3"},
        {4, {"B", -1, NULL}, "\"B\" is given -1 elements"},
        {0, {"S", -1, S_OFFSETS}, "\"B\" is given -1 elements"},
        {0, {"S", 4, four}, "\"S\" has 4 lengths, but the model wide was compiled for at most 3"},
        {0, {"S", 0, four}, "given 0 elements and 2"},
        {0, {"S", 2, decreasing}, "\"S\" are negative or decrease: 2 is followed by 1"},
        {0, {"S", 2, far_apart}, "\"S\" are negative or decrease: -9223372036854775808 is"},
        {0,
         {"S", 2, too_long},
         "length 0 of the extent \"S\" is 5, but the model wide was compiled for at most 4"},
        {2, {"Q", 0, Q_OFFSETS}, "nothing along axis N"},
        {3, {"R", 1, R_OFFSETS}, "1 elements along axis G, which always has 2"},
    };
    static const int32_t k_above[] = {0, 5}, k_below[] = {-1, 0};
    static const uint8_t m_above[] = {1, 2};
    static const struct {
        int place;
        ftc_input_cells input;
        const char *message;
    } INPUTS[] = {
        {0, {"z", X_CELLS}, "no input \"z\""},
        {0, {"y", Y_CELLS}, "\"y\" is given twice"},
        {6, {"x", X_CELLS}, "\"x\" is given twice"},
        {0, {"x", NULL}, "\"x\" is given no cells"},
        {4, {"k", k_above}, "value 0: \"k\" is 5, the model takes 0 to 4"},
        {4, {"k", k_below}, "example 0, value 0: \"k\" is -1"},
        {3, {"m", m_above}, "element 0, value 1: \"m\" is 2, but a bool is 0 or 1"},
    };
    char *dir = test_directory();
    ftc_net *net = open_wide(dir);
    ftc_trainer *trainer = create(net, 2);
    binding good = wide_batch();
    for (size_t i = 0; i < sizeof EXTENTS / sizeof *EXTENTS; i++) {
        binding b = good;
        b.extents[EXTENTS[i].place] = EXTENTS[i].size;
        b.n_extents += EXTENTS[i].place == b.n_extents;
        OK(bind_wide(trainer, &good));
        FAILS(bind_wide(trainer, &b), 2, EXTENTS[i].message);
        FAILS(ftc_trainer_step(trainer), 2, "no batch");
    }
    for (size_t i = 0; i < sizeof INPUTS / sizeof *INPUTS; i++) {
        binding b = good;
        b.inputs[INPUTS[i].place] = INPUTS[i].input;
        b.n_inputs += INPUTS[i].place == b.n_inputs;
        OK(bind_wide(trainer, &good));
        FAILS(bind_wide(trainer, &b), 2, INPUTS[i].message);
        FAILS(ftc_trainer_step(trainer), 2, "no batch");
    }
    binding b = good;
    b.n_extents--;
    FAILS(bind_wide(trainer, &b), 2, "the extent \"R\" of the model wide is missing");
    b = good;
    b.n_inputs--;
    FAILS(bind_wide(trainer, &b), 2, "the input \"g\" of the model wide is missing");
    FAILS(ftc_trainer_bind_inputs(trainer, NULL, 0, NULL, 0), 2, "is missing");
    const int32_t *no_tokens[] = {NULL}, lengths[] = {0};
    FAILS(ftc_trainer_bind(trainer, 1, no_tokens, NULL, lengths, NULL), 2,
          "is along N: bind it through the C API");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    scratch_free(dir);
}

// at(x, S, 3) reads a token that a sequence of three has not: an error, before anything is read.
Test(trainer, wants_the_positions_that_the_model_names) {
    static const char TEXT[] = "model fourth\naxis B <= 8\naxis S ragged B <= 16\naxis H = 4, V = 60, C = 3\n"
                               "input ids : i32[B, S] in V\ninput label : i32[B] in C\n"
                               "x = embedding(\"embedding\", ids; V -> H)\n"
                               "logits = linear(\"head\", at(x, S, 3); H -> C)\n"
                               "loss = mean(cross_entropy(logits, label; C); B)\noutput loss, logits\n";
    char *dir = test_directory(), *path = test_write(dir, "fourth.ir", TEXT, strlen(TEXT));
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    ftc_trainer *trainer = create(net, 1);
    const int64_t offsets[] = {0, 4, 7};
    const int32_t ids[7] = {0};
    const float labels[2] = {0};
    OK(ftc_trainer_bind_packed(trainer, 1, offsets, ids, NULL, labels));
    OK(ftc_trainer_step(trainer));
    FAILS(ftc_trainer_bind_packed(trainer, 2, offsets, ids, NULL, labels), 2,
          "example 1 has 3 positions along axis S, but the model fourth names position 3 of it (line 8)");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    free(path);
    scratch_free(dir);
}

// A model whose positions are told by its tokens: ids beyond the table of positions make a call fail that
// changes nothing.
Test(trainer, changes_nothing_when_an_index_leaves_its_table) {
    static const char TEXT[] =
        "model places\naxis B <= 8\naxis S ragged B <= 16\naxis H = 4, V = 60, P = 10, C = 3\n"
        "input ids : i32[B, S] in V\ninput label : i32[B] in C\ninit normal(0.3)\n"
        "x = embedding(\"words\", ids; V -> H) + embedding(\"places\", ids - 1; P -> H)\n"
        "logits = linear(\"head\", mean(x; S); H -> C)\n"
        "loss = mean(cross_entropy(logits, label; C); B)\noutput loss, logits\n";
    char *dir = test_directory(), *path = test_write(dir, "places.ir", TEXT, strlen(TEXT));
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    ftc_trainer *trainer = create(net, 2), *other = create(net, 1);
    int32_t n;
    const ftc_output_desc *outputs = ftc_net_outputs(net, &n);
    for (int32_t i = 0; i < n; i++) cr_expect_null(strchr(outputs[i].name, ':'), "%s", outputs[i].name);
    const int64_t offsets[] = {0, 2, 4, 6};
    const int32_t good[6] = {1, 2, 3, 4, 5, 10}, bad[6] = {1, 2, 3, 11, 0, 4};
    const float labels[3] = {0, 1, 2};
    for (int with_faults = 0; with_faults < 2; with_faults++) {
        ftc_trainer *t = with_faults ? trainer : other;
        for (int i = 0; i < 3; i++) {
            OK(ftc_trainer_bind_packed(t, 3, offsets, good, NULL, labels));
            OK(ftc_trainer_step(t));
            OK(ftc_trainer_grad(t));
            if (with_faults) {
                const char *what =
                    "sequence 1 along axis B: an index into \"places.weight\" lies outside of axis P, "
                    "which has the positions 0 to 9 (line 8 of the model)";
                OK(ftc_trainer_bind_packed(t, 3, offsets, bad, NULL, labels));
                FAILS(ftc_trainer_step(t), 2, what);
                FAILS(ftc_trainer_grad(t), 2, what);
                FAILS(ftc_trainer_eval(t), 2, what);
                cr_assert_eq(ftc_trainer_steps(t), 2 * i + 1);
                OK(ftc_trainer_bind_packed(t, 3, offsets, good, NULL, labels));
            }
            OK(ftc_trainer_grad(t));
            OK(ftc_trainer_update(t));
        }
    }
    assert_same_tensors(net, trainer, other);
    ftc_trainer_free(trainer);
    ftc_trainer_free(other);
    ftc_net_free(net);
    free(path);
    scratch_free(dir);
}

Test(trainer, refuses_numbers_beyond_their_range) {
    static const struct {
        const char *name;
        double value;
    } BAD[] = {{"lr", NAN},           {"lr", INFINITY},     {"lr", 1e39},          {"beta1", 1},
               {"beta2", -0.1},       {"beta2", 1 - 1e-9},  {"dropout", 1},        {"accumulation", 0},
               {"accumulation", NAN}, {"max_grad_norm", 0}, {"max_grad_norm", NAN}};
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        FAILS(ftc_trainer_set(trainer, BAD[i].name, BAD[i].value), 2, "expected a number");
    OK(ftc_trainer_set(trainer, "max_grad_norm", INFINITY));
    OK(ftc_trainer_set(trainer, "lr", -1e-3));
    examples e = make_examples();
    bind(trainer, &e, 0, 4);
    static const int64_t STEPS[] = {INT64_MAX, INT32_MAX, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
        ftc_trainer_set_steps(trainer, STEPS[i]);
        FAILS(ftc_trainer_step(trainer), 2, "steps are done: expected 0 to");
    }
    ftc_trainer_set_steps(trainer, INT32_MAX - 1);
    OK(ftc_trainer_step(trainer));
    static const int64_t NEGATIVE[] = {-3, 2}, FAR[] = {INT64_MIN, INT64_MAX};
    FAILS(ftc_trainer_bind_packed(trainer, 1, NEGATIVE, e.ids, NULL, e.labels), 2, "-1 tokens");
    FAILS(ftc_trainer_bind_packed(trainer, 1, FAR, e.ids, NULL, e.labels), 2, "-1 tokens");
    char *dir = test_directory();
    FAILS(ftc_trainer_save(trainer, dir, "nowhere", NULL), 2,
          "nowhere: has none of the files of a tokenizer");
    scratch_free(dir);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

Test(trainer, tells_a_loss_that_is_not_finite) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    examples e = make_examples();
    char *dir = test_directory();
    ((float *)ftc_trainer_tensor(trainer, "classifier.bias"))[2] = NAN;
    bind(trainer, &e, 0, 4);
    FAILS(ftc_trainer_eval(trainer), 1, "the loss is");
    cr_assert(isnan(number(trainer, "loss")));
    FAILS(ftc_trainer_save(trainer, dir, NULL, NULL), 1, "\"classifier.bias\" is not finite");
    char *weights = ftc_path_join(dir, "model.safetensors");
    cr_assert(!ftc_file_exists(weights));
    free(weights);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    scratch_free(dir);
}

Test(trainer, leaves_everything_as_it_is_when_the_loss_is_not_finite) {
    enum { COUNT = 5 };
    static const char *const NAMES[] = {"classifier.weight", "classifier.weight.exp_avg",
                                        "classifier.weight.exp_avg_sq"};
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    examples e = make_examples();
    float before[3][COUNT], *bias = ftc_trainer_tensor(trainer, "classifier.bias"), was = bias[2];
    bind(trainer, &e, 0, 4);
    OK(ftc_trainer_step(trainer));
    for (int i = 0; i < 3; i++) memcpy(before[i], ftc_trainer_tensor(trainer, NAMES[i]), sizeof before[i]);
    cr_assert_neq(before[2][0], 0); // the step before did change something
    bias[2] = INFINITY;
    FAILS(ftc_trainer_step(trainer), 1, "the loss is");
    for (int i = 0; i < 3; i++)
        cr_assert_arr_eq(before[i], ftc_trainer_tensor(trainer, NAMES[i]), sizeof before[i]);
    cr_assert(isinf(bias[2]));
    bias[2] = was;
    OK(ftc_trainer_step(trainer)); // goes on from there
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// --- saving -------------------------------------------------------------------------------------------

static void assert_file_contains(const char *dir, const char *name, const char *part) {
    char *path = ftc_path_join(dir, name), *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(path, &text, &bytes));
    cr_assert(strstr(text, part), "%s lacks %s", path, part);
    free(text);
    free(path);
}

Test(saving, gives_a_directory_that_loads) {
    static const char *const NAMES[LABELS] = {"bad", "poor", "fair", "good", "great"};
    ftc_net *net = open_artifact(), *again, *other;
    ftc_trainer *trainer = create(net, 2), *loaded;
    examples e = make_examples();
    char *dir = test_directory();
    train(trainer, &e, 9);
    OK(ftc_trainer_save(trainer, dir, TOKENIZER, NAMES));
    assert_file_contains(dir, "config.json", "\"great\"");
    assert_file_contains(dir, "vocab.txt", "[SEP]");

    OK(ftc_net_open(dir, &(ftc_net_options){.calls = FTC_CALL_EVAL}, &again));
    cr_assert_str_eq(ftc_net_pretrained(again), dir);
    OK(ftc_trainer_create(again, NULL, &loaded));
    OK(ftc_trainer_load(loaded, NULL));
    int32_t n;
    ftc_trainer_initialized(loaded, &n);
    cr_assert_eq(n, 0);
    bind(trainer, &e, 0, 6);
    bind(loaded, &e, 0, 6);
    OK(ftc_trainer_eval(trainer));
    OK(ftc_trainer_eval(loaded));
    cr_assert_arr_eq(ftc_trainer_output(loaded, "logits", NULL), ftc_trainer_output(trainer, "logits", NULL),
                     6 * LABELS * sizeof(float));
    ftc_trainer_free(loaded);
    ftc_net_free(again);

    const char *const two[] = {"set=labels=2", NULL}; // another head
    OK(ftc_net_open(MODEL, &(ftc_net_options){.calls = FTC_CALL_EVAL, .options = two}, &other));
    OK(ftc_trainer_create(other, NULL, &loaded));
    OK(ftc_trainer_load(loaded, dir));
    const char *const *names = ftc_trainer_initialized(loaded, &n);
    cr_assert_eq(n, 2);
    cr_assert_str_eq(names[0], "classifier.weight");
    ftc_trainer_unused(loaded, &n);
    cr_assert_eq(n, 0);
    FAILS(ftc_trainer_load(loaded, TOKENIZER), 2, "model.safetensors");
    ftc_trainer_free(loaded);
    ftc_net_free(other);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    scratch_free(dir);
}

// --- and `ftc -----------------------------------------------------------------------------------------
// run`

// Reads the file dir/model.safetensors.
static char *read_weights(const char *dir, size_t *bytes) {
    char *path = ftc_path_join(dir, "model.safetensors"), *text;
    ASSERT_OK(ftc_file_read(path, &text, bytes));
    free(path);
    return text;
}

static void run_command(const char *data, const char *output) {
    char *command;
    cr_assert_gt(
        asprintf(
            &command,
            "'%s' run '%s' --train '%s' --test '%s' --tokenizer '%s' --epochs 3 --batch 4 --lr 1e-3 --seed 7 "
            "--no-shuffle --metrics /dev/null --output '%s' 2>/dev/null",
            FTC_COMMAND, FTC_TEST_ARTIFACT, data, data, TOKENIZER, output),
        0);
    int status = system(command);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", command);
    free(command);
}

Test(loop, ends_in_the_same_bytes_as_the_command) {
    static const char *const TEXTS[] = {"The soup was wonderful.",
                                        "Cold food, rude staff. Never again!",
                                        "A dull plot.",
                                        "Fair prices and excellent service.",
                                        "It broke after one day.",
                                        "A beautiful book, warmly recommended."};
    enum { TEXT_COUNT = sizeof TEXTS / sizeof *TEXTS, STEPS = 3 * 2 };
    char *dir = test_directory(), *data = ftc_path_join(dir, "data.csv"),
         *theirs = ftc_path_join(dir, "theirs"), *ours = ftc_path_join(dir, "ours");
    FILE *csv = fopen(data, "w");
    fprintf(csv, "label,text\n");
    for (int i = 0; i < TEXT_COUNT; i++) fprintf(csv, "%d,\"%s\"\n", i % LABELS, TEXTS[i]);
    fclose(csv);
    run_command(data, theirs);

    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 2);
    ftc_tokenizer *tokenizer;
    OK(ftc_tokenizer_load(TOKENIZER, &tokenizer));
    int32_t ids[TEXT_COUNT][32], lengths[TEXT_COUNT];
    const int32_t *rows[TEXT_COUNT];
    float labels[TEXT_COUNT];
    for (int i = 0; i < TEXT_COUNT; i++) {
        OK(ftc_tokenize(tokenizer, TEXTS[i], NULL, 32, ids[i], NULL, &lengths[i]));
        rows[i] = ids[i];
        labels[i] = (float)(i % LABELS);
    }
    ftc_schedule schedule = ftc_schedule_make(FTC_SCHEDULE_LINEAR, 1e-3, 0, STEPS);
    for (int step = 1; step <= STEPS; step++) {
        int first = step % 2 ? 0 : 4, n = step % 2 ? 4 : TEXT_COUNT - 4;
        OK(ftc_trainer_set(trainer, "lr", ftc_schedule_lr(&schedule, step)));
        OK(ftc_trainer_bind(trainer, n, rows + first, NULL, lengths + first, labels + first));
        OK(ftc_trainer_step(trainer));
    }
    OK(ftc_trainer_save(trainer, ours, NULL, NULL));
    size_t a_bytes, b_bytes;
    char *a = read_weights(theirs, &a_bytes), *b = read_weights(ours, &b_bytes);
    cr_assert_eq(a_bytes, b_bytes);
    cr_assert_arr_eq(a, b, a_bytes);
    free(a);
    free(b);
    ftc_tokenizer_free(tokenizer);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    free(data);
    free(theirs);
    free(ours);
    scratch_free(dir);
}
