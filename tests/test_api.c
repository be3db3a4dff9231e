// libftc, through ftc.h and the shared library alone: on models/mlp.ir, as an artifact where nothing is to be
// compiled. What a batch may be: test_api_batch.c.
#include "runtime/loop/schedule.h"
#include "tests/api.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

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

// What is saved are the files of the one that was loaded.
Test(tokenizer, is_saved_as_it_was_loaded) {
    ftc_tokenizer *tokenizer = NULL, *saved = NULL;
    char *directory = test_directory();
    int32_t ids[2][16], n[2];
    FAILS(ftc_tokenizer_load_by_class("no-such-folder", &tokenizer), 2, "no-such-folder");
    OK(ftc_tokenizer_load_by_class(TOKENIZER, &tokenizer));
    OK(ftc_tokenizer_save(tokenizer, directory));
    OK(ftc_tokenizer_load(directory, &saved));
    OK(ftc_tokenize(tokenizer, "The soup was good.", NULL, 16, ids[0], NULL, &n[0]));
    OK(ftc_tokenize(saved, "The soup was good.", NULL, 16, ids[1], NULL, &n[1]));
    cr_assert(n[0] == n[1] && memcmp(ids[0], ids[1], (size_t)n[0] * sizeof *ids[0]) == 0);
    ftc_tokenizer_free(tokenizer);
    ftc_tokenizer_free(saved);
    scratch_free(directory);
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

// What can be seen of it: its text at every stage, and what the interpreter makes of a batch.
Test(net, shows_its_text_at_every_stage) {
    static const struct {
        const char *stage, *has;
    } STAGES[] = {{"source", "model mlp"},    {"expand", "embedding.weight"},
                  {"differentiate", "grad:"}, {"optimizer", "exp_avg"},
                  {"fuse", "kernel"},         {"kernels", "arena"},
                  {"llvm", "define"},         {"asm", ".text"}};
    ftc_net *net = open_artifact();
    for (size_t i = 0; i < sizeof STAGES / sizeof *STAGES; i++) {
        char *text;
        OK(ftc_net_text(net, FTC_CALL_STEP, STAGES[i].stage, &text));
        cr_expect(strstr(text, STAGES[i].has), "%s: %.200s", STAGES[i].stage, text);
        ftc_text_free(text);
    }
    char *text;
    FAILS(ftc_net_text(net, FTC_CALL_STEP, "fusee", &text), 2, "fuse");
    FAILS(ftc_net_text(net, FTC_CALL_STEP | FTC_CALL_GRAD, "fuse", &text), 2, "call is 0x3");
    ftc_net_free(net);
}

Test(trainer, computes_what_the_interpreter_computes) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 2);
    const examples e = make_examples();
    ftc_interpretation *right;
    FAILS(ftc_trainer_interpret(trainer, &right), 2, "no batch");
    bind(trainer, &e, 0, BATCH);
    OK(ftc_trainer_interpret(trainer, &right));
    OK(ftc_trainer_grad(trainer));
    int64_t cells, n;
    const float *loss = ftc_trainer_output(trainer, "loss", NULL);
    cr_expect_float_eq(*ftc_interpretation_value(right, "loss", &n), (double)*loss, 1e-5);
    const float *logits = ftc_trainer_output(trainer, "logits", &cells);
    const double *wanted = ftc_interpretation_value(right, "logits", &n);
    cr_assert_eq(n, cells);
    for (int64_t i = 0; i < n; i++) cr_expect_float_eq(wanted[i], (double)logits[i], 1e-5);
    const float *gradient = ftc_trainer_tensor(trainer, "hidden.weight.grad");
    wanted = ftc_interpretation_value(right, "hidden.weight.grad", &n);
    cr_assert_eq(n, 128 * 64);
    for (int64_t i = 0; i < n; i++) cr_expect_float_eq(wanted[i], (double)gradient[i], 1e-6);
    cr_expect_null(ftc_interpretation_value(right, "hidden.weigh", &n));
    ftc_interpretation_free(right);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

Test(trainer, tells_where_the_time_goes) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    const examples e = make_examples();
    int32_t n;
    const ftc_kernel_desc *kernels = ftc_trainer_kernels(trainer, FTC_CALL_STEP, &n);
    cr_assert(n > 5);
    double most = 0, flops = 0, seconds = 0;
    for (int32_t i = 0; i < n; i++) most += kernels[i].flops;
    cr_expect_eq(kernels[0].seconds, 0);
    train(trainer, &e, 3);
    kernels = ftc_trainer_kernels(trainer, FTC_CALL_STEP, &n);
    for (int32_t i = 0; i < n; i++) {
        flops += kernels[i].flops;
        seconds += kernels[i].seconds;
        cr_expect(kernels[i].name && kernels[i].phase && kernels[i].line >= 0 && kernels[i].bytes > 0);
    }
    cr_expect(flops > 0 && flops < most, "%g of at most %g", flops, most);
    cr_expect(seconds > 0 && seconds < 1);
    cr_expect_null(ftc_trainer_kernels(trainer, 3, &n));
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// Weights that a caller assigns, and borrowed ones, end in the bits of a trainer that keeps them to itself.
Test(trainer, lends_parameters_between_a_sync_and_a_call) {
    ftc_net *net = open_artifact();
    ftc_trainer *a = create(net, 2), *b;
    OK(ftc_trainer_create(net, &(ftc_trainer_options){.threads = 2, .seed = 7}, &b));
    const examples e = make_examples();
    int32_t n, n_weights = 0;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    ftc_weight weights[32];
    for (int32_t i = 0; i < n; i++)
        if (tensors[i].kind == FTC_TENSOR_PARAMETER)
            weights[n_weights++] = (ftc_weight){tensors[i].name, tensors[i].rank, tensors[i].dims,
                                                ftc_trainer_borrow(a, tensors[i].name)};
    FAILS(ftc_trainer_assign(b, weights, n_weights - 1), 2, "is missing");
    FAILS(ftc_trainer_step(b), 2, "no weights");
    ftc_weight other = weights[0];
    other.rank = 1;
    FAILS(ftc_trainer_assign(b, &other, 1), 2, "shape");
    other = (ftc_weight){"nothing", 1, weights[0].dims, weights[0].values};
    FAILS(ftc_trainer_assign(b, &other, 1), 2, "no parameter \"nothing\"");
    OK(ftc_trainer_assign(b, weights, n_weights));
    float *table = ftc_trainer_borrow(b, "embedding.weight");
    train(a, &e, 2);
    train(b, &e, 2);
    ftc_trainer_sync(b);
    const float *kept = ftc_trainer_tensor(a, "embedding.weight");
    cr_expect_arr_eq(table, kept, 1660 * 64 * sizeof *table);
    ftc_trainer_free(a);
    ftc_trainer_free(b);
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
    FAILS(ftc_trainer_create(net, &(ftc_trainer_options){.threads = 5000}, &trainer), 2, "from 1 to 4096");
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

// --- the loop -----------------------------------------------------------------------------------------

// What a loop told, a letter a moment, and when it is to end.
typedef struct {
    char told[256];
    int n, step, decision;
    ftc_trainer *trainer;
    const ftc_examples *examples;
    double last_lr, rates[8]; // of the last step; of each
} listener;

static int listen(void *context, ftc_loop_moment moment, const ftc_loop_standing *standing) {
    listener *l = context;
    l->told[l->n++] = "esmpuSE"[moment];
    if (moment != FTC_AT_STEP_END) return 0;
    double loss;
    OK(ftc_trainer_evaluate(l->trainer, l->examples, 5, NULL, NULL, &loss, NULL));
    cr_assert(standing->loss > 0 && standing->grad_norm > 0 && loss > 0);
    l->last_lr = standing->learning_rate;
    return standing->step == l->step ? l->decision : 0;
}

static ftc_error *run_loop(listener *l, ftc_loop_options options) {
    return ftc_trainer_run(l->trainer, l->examples, &options, listen, l);
}

Test(loop, asks_who_steers_it_at_every_moment) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 2);
    const examples e = make_examples();
    // 24: five batches, three steps an epoch.
    const ftc_examples list = {.n = N, .offsets = e.offsets, .ids = e.ids, .labels = e.labels};
    listener l = {.trainer = trainer, .examples = &list};
    OK(run_loop(&l, LOOP));
    cr_expect_str_eq(l.told, "esmpuSsmpuSspuSEesmpuSsmpuSspuSE");
    cr_expect_eq(ftc_trainer_steps(trainer), 6);
    l = (listener){.trainer = trainer, .examples = &list, .step = 4, .decision = 1};
    OK(run_loop(&l, LOOP));
    cr_expect_str_eq(l.told, "esmpuSsmpuSspuSEesmpuSE");
    cr_expect_eq(ftc_trainer_steps(trainer), 4);
    l = (listener){.trainer = trainer, .examples = &list, .step = 2, .decision = 2};
    FAILS(run_loop(&l, LOOP), 1, "ended from outside after step 2");
    ftc_loop_options bad = LOOP;
    bad.order = "sequentially";
    FAILS(run_loop(&l, bad), 2, "expected one of random|sequential");
    bad = LOOP;
    bad.batch = 0;
    FAILS(run_loop(&l, bad), 2, "batch is 0: expected a number from 1");
    ftc_examples several = list;
    several.several = 2;
    FAILS(ftc_trainer_run(trainer, &several, &LOOP, NULL, NULL), 2, "takes one label a text, but these");
    several.several = -1;
    FAILS(ftc_trainer_run(trainer, &several, &LOOP, NULL, NULL), 2, "-1 labels each");
    double loss;
    OK(ftc_trainer_evaluate(trainer, &list, INT64_MAX, NULL, NULL, &loss, NULL)); // all at once
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// The numbers of a loop are held to ranges as those of the command are.
Test(loop, refuses_numbers_beyond_their_range) {
#define DOUBLE(field, value)  {#field, offsetof(ftc_loop_options, field), value, 0}
#define INTEGER(field, value) {#field, offsetof(ftc_loop_options, field), 0, value}
    static const struct {
        const char *name;
        size_t offset;
        double number;
        int64_t integer; // where it is one
    } BAD[] = {DOUBLE(epochs, NAN),
               DOUBLE(epochs, -1),
               DOUBLE(epochs, INFINITY),
               DOUBLE(lr, NAN),
               DOUBLE(lr, -1e-3),
               DOUBLE(lr, 1e39),
               DOUBLE(warmup_steps, NAN),
               DOUBLE(warmup_steps, 1e300),
               DOUBLE(schedule_power, NAN),
               DOUBLE(weight_decay, INFINITY),
               DOUBLE(beta1, NAN),
               DOUBLE(max_grad_norm, NAN),
               DOUBLE(dropout, NAN),
               DOUBLE(label_smoothing, NAN),
               INTEGER(batch, -1),
               INTEGER(batch, INT64_MAX),
               INTEGER(accumulation, INT64_MIN),
               INTEGER(accumulation, INT64_MAX),
               INTEGER(max_steps, INT64_MAX),
               INTEGER(schedule_decay, INT64_MAX),
               INTEGER(steps_done, -5),
               INTEGER(steps_done, INT64_MAX)};
#undef DOUBLE
#undef INTEGER
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    const examples e = make_examples();
    const ftc_examples list = {.n = N, .offsets = e.offsets, .ids = e.ids, .labels = e.labels};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        ftc_loop_options options = LOOP;
        char *field = (char *)&options + BAD[i].offset;
        if (BAD[i].integer)
            *(int64_t *)field = BAD[i].integer;
        else
            *(double *)field = BAD[i].number;
        ftc_error *error = ftc_trainer_run(trainer, &list, &options, NULL, NULL);
        cr_assert(error, "%s %zu", BAD[i].name, i);
        cr_expect_eq(ftc_error_status(error), 2);
        cr_expect(strstr(ftc_error_message(error), "expected"), "%s: %s", BAD[i].name,
                  ftc_error_message(error));
        ftc_error_free(error);
        cr_expect_eq(ftc_trainer_steps(trainer), 0);
    }
    ftc_loop_options many = LOOP; // of an epoch's examples each step takes all, however many it asks for
    many.accumulation = INT32_MAX;
    many.order = "group_by_length";
    OK(ftc_trainer_run(trainer, &list, &many, NULL, NULL));
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

static int tell_evaluations(void *context, ftc_loop_moment moment, const ftc_loop_standing *standing) {
    listener *l = context;
    if (moment != FTC_AT_STEP_END) return 0;
    l->rates[standing->step] = standing->learning_rate;
    OK(ftc_trainer_evaluated(l->trainer, 1)); // never a gain but the first time
    FAILS(ftc_trainer_evaluated(l->trainer, (double)NAN), 2, "not a number");
    return 0;
}

Test(loop, lowers_the_rate_by_evaluations_that_it_is_told) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    const examples e = make_examples();
    const ftc_examples list = {.n = N, .offsets = e.offsets, .ids = e.ids, .labels = e.labels};
    listener l = {.trainer = trainer, .examples = &list};
    ftc_loop_options options = LOOP;
    options.schedule = "reduce_lr_on_plateau";
    options.schedule_factor = 0.5;
    options.schedule_patience = 1;
    OK(ftc_trainer_run(trainer, &list, &options, tell_evaluations, &l));
    const double rates[] = {0, 1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4};
    for (int i = 1; i <= 6; i++) cr_expect_float_eq(l.rates[i], rates[i], 1e-12, "step %d", i);
    FAILS(ftc_trainer_evaluated(trainer, 1), 2, "no run with the schedule reduce_lr_on_plateau");
    const double before[] = {1, 1, 1};
    options.evaluated = before;
    options.n_evaluated = 3;
    OK(ftc_trainer_run(trainer, &list, &options, tell_evaluations, &l));
    cr_expect_float_eq(l.rates[1], 5e-4, 1e-12);
    options.schedule_factor = 1;
    FAILS(ftc_trainer_run(trainer, &list, &options, tell_evaluations, &l), 2, "less than 1");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

Test(loop, goes_on_with_weights_and_moments_bit_by_bit) {
    ftc_net *net = open_artifact();
    ftc_trainer *whole = create(net, 2), *other = create(net, 1);
    const examples e = make_examples();
    const ftc_examples list = {.n = N, .offsets = e.offsets, .ids = e.ids, .labels = e.labels};
    char dir[] = "/tmp/ftc-api-XXXXXX", file[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/moments", dir);
    listener l = {.trainer = whole, .examples = &list, .step = 4, .decision = 1};
    OK(run_loop(&l, LOOP));
    OK(ftc_trainer_save_moments(whole, file));
    OK(ftc_trainer_load_moments(other, file));
    int32_t n, n_weights = 0;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    ftc_weight weights[32];
    for (int32_t i = 0; i < n; i++)
        if (tensors[i].kind == FTC_TENSOR_PARAMETER)
            weights[n_weights++] = (ftc_weight){tensors[i].name, tensors[i].rank, tensors[i].dims,
                                                ftc_trainer_borrow(whole, tensors[i].name)};
    OK(ftc_trainer_assign(other, weights, n_weights));
    ftc_loop_options rest = LOOP;
    rest.steps_done = 4;
    ftc_trainer *both[] = {whole, other};
    for (int i = 0; i < 2; i++) {
        l = (listener){.trainer = both[i], .examples = &list};
        OK(run_loop(&l, rest));
        cr_expect_str_eq(l.told, "esmpuSspuSE");
        cr_expect_eq(ftc_trainer_steps(both[i]), 6);
    }
    assert_same_tensors(net, whole, other);
    remove(file);
    remove(dir);
    for (int i = 0; i < 2; i++) ftc_trainer_free(both[i]);
    ftc_net_free(net);
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
