// What the ftc command learns: the best model, schedules, numbers and pairs, frozen parts.
#include "runtime/hub/safetensors.h"
#include "tests/small_model.h"

// Early stopping: the run says so and ends with the best checkpoint, which is kept.
Test(learning, early_stopping_ends_with_the_best, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "stopped early: 2 evaluations without a gain", "run", "--lr", "0", "--metrics",
               "m.jsonl", "--eval-strategy", "steps", "--eval-steps", "5", "--save-strategy", "steps",
               "--save-steps", "5", "--save-total-limit", "1", "--load-best-model-at-end",
               "--early-stopping-patience", "2");
    cr_assert_eq(metric(dir, "step"), 15);
    cr_assert(exists(dir, "output/checkpoint-5"));
    assert_same_file(dir, "output/model.safetensors", dir, "output/checkpoint-5/model.safetensors");
    scratch_free(dir);
}

// What is best is said by the metric, and by --greater-is-better against it.
Test(learning, the_best_is_what_the_metric_says, .timeout = 240) {
    static const char *const WAYS[][3] = {{"accuracy", "auto", "eval_accuracy"},
                                          {"eval_accuracy", "false", "eval_accuracy"},
                                          {"loss", "auto", "eval_loss"},
                                          {"roc_auc", "auto", "eval_roc_auc"}};
    char *dir = test_directory();
    compile_small(dir);
    for (int way = 0; way < 4; way++) {
        bool greater = way == 0 || way == 3;
        ASSERT_FTC(dir, 0, err, "saved output", "run", "--lr", "2e-3", "--metrics", "m.jsonl",
                   "--eval-strategy", "steps", "--eval-steps", "25", "--max-steps", "150", "--save-strategy",
                   "best", "--metric-for-best-model", WAYS[way][0], "--greater-is-better", WAYS[way][1],
                   "--save-total-limit", "1");
        char *metrics = read_text(dir, "m.jsonl");
        double best = greater ? -INFINITY : INFINITY, best_step = 0;
        for (const char *line = metrics; line && *line;
             line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            cJSON *json = cJSON_ParseWithLength(line, strcspn(line, "\n"));
            const cJSON *item = cJSON_GetObjectItem(json, WAYS[way][2]);
            if (item && (greater ? item->valuedouble > best : item->valuedouble < best)) {
                best = item->valuedouble;
                best_step = cJSON_GetObjectItem(json, "step")->valuedouble;
            }
            cJSON_Delete(json);
        }
        char name[64], *path;
        snprintf(name, sizeof name, "output/checkpoint-%.0f", best_step);
        cr_assert(exists(dir, name), "%s", name);
        cJSON *state;
        strcat(name, "/trainer_state.json");
        ASSERT_OK(ftc_json_read(path = ftc_path_join(dir, name), &state));
        cr_assert_float_eq(cJSON_GetObjectItem(state, "best_metric")->valuedouble, best, 1e-8);
        cJSON_Delete(state);
        free(path);
        free(metrics);
    }
    scratch_free(dir);
}

// Test rows of one class have no area under the ROC: null in the log, and said where the best is to have
// most.
Test(learning, a_metric_that_is_no_number_is_never_the_best, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    write_file(dir, "one.csv", "text,label\nfine,3\nnice,3\n");
    outcome o =
        FTC(dir, "run", "--test", "one.csv", "--max-steps", "2", "--eval-strategy", "steps", "--eval-steps",
            "2", "--save-strategy", "best", "--metric-for-best-model", "roc_auc", "--metrics", "m.jsonl");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cr_expect(strstr(o.err, "step 2 has no roc_auc: the evaluation gives no number"), "%s", o.err);
    cr_expect_not(exists(dir, "output/checkpoint-2"));
    forget(&o);
    char *metrics = read_text(dir, "m.jsonl"), *card = read_text(dir, "output/README.md"),
         *report = read_text(dir, "output/report.html");
    cr_expect(strstr(metrics, "\"eval_roc_auc\": null"), "%s", metrics);
    cr_expect(!strstr(card, "Roc Auc") && !strstr(report, "Roc Auc"));
    free(metrics);
    free(card);
    free(report);
    scratch_free(dir);
}

// A checkpoint of the model alone is smaller and cannot be resumed, which is said.
Test(learning, a_checkpoint_of_the_model_only, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "saved output/checkpoint-2", "run", "--max-steps", "2", "--save-only-model");
    cr_assert(exists(dir, "output/checkpoint-2/model.safetensors"));
    cr_assert_not(exists(dir, "output/checkpoint-2/optimizer.safetensors"));
    ASSERT_FTC(dir, 2, err,
               "output: has no checkpoint to resume from: output/checkpoint-2 lacks optimizer.safetensors, "
               "resume.json; leave out --resume",
               "run", "--max-steps", "4", "--resume");
    scratch_free(dir);
}

// A later checkpoint that lacks a file is passed over, which is said; named itself, it is refused.
Test(learning, an_incomplete_checkpoint_is_told, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "saved output/checkpoint-2", "run", "--max-steps", "2", "--save-strategy",
               "steps", "--save-steps", "1", "--save-total-limit", "0");
    char *moments = ftc_path_join(dir, "output/checkpoint-2/optimizer.safetensors");
    cr_assert_eq(remove(moments), 0);
    ASSERT_FTC(dir, 2, err,
               "output/checkpoint-2: lacks optimizer.safetensors, so a training cannot go on from it", "run",
               "--resume-from-checkpoint", "output/checkpoint-2", "--train", "nowhere.csv");
    ASSERT_FTC(
        dir, 0, err,
        "output/checkpoint-2 lacks optimizer.safetensors: passed over\nresumed from output/checkpoint-1\n",
        "run", "--max-steps", "2", "--save-strategy", "steps", "--save-steps", "1", "--resume");
    free(moments);
    scratch_free(dir);
}

// A tokenizer of another vocabulary than the weights' is told; a table that is padded is not.
Test(learning, a_tokenizer_that_is_another_models, .timeout = 240) {
    static const char *const VOCAB[] = {"vocab=1664", "vocab=1676", "vocab=1677", "vocab=1792"};
    char *dir = test_directory();
    for (int i = 0; i < 4; i++) {
        ASSERT_FTC(dir, 0, err, "saved base", "run", MODEL, SMALL, "--set", VOCAB[i], "--max-steps", "1",
                   "--output", "base");
        outcome o = FTC(dir, "run", MODEL, "--pretrained", "base", "--tokenizer", TOKENIZER, "--train", TRAIN,
                        "--max-steps", "1");
        cr_assert_eq(o.status, 0, "%s", o.err);
        const char *told = strstr(o.err, " has 1660 tokens, and the weights of base are of ");
        cr_expect_eq(told != NULL, i >= 2, "%s: %s", VOCAB[i], o.err);
        cr_expect(!told || strstr(told, i == 2 ? " 1677: do they belong" : " 1792: do they belong"), "%s",
                  o.err);
        forget(&o);
        ASSERT_FTC(dir, 0, out, "", "compile", MODEL, "--pretrained", "base", "-o", "model.ftc");
        o = FTC(dir, "run", "model.ftc", "--train", TRAIN, "--max-steps", "1");
        cr_expect(o.status == 0 && !strstr(o.err, "warning"), "%s", o.err); // of its own nothing is asked
        forget(&o);
    }
    scratch_free(dir);
}

// A warm-up below 1 is a fraction of all steps.
Test(learning, warm_up_may_be_a_fraction, .timeout = 240) {
    static const char *const OPTIONS[] = {"--warmup-steps", "--warmup-ratio"};
    static const char *const TOLD[] = {"saved", "--warmup-steps 0.5 says the same"};
    char *dir = test_directory();
    compile_small(dir);
    for (int i = 0; i < 2; i++) {
        ASSERT_FTC(dir, 0, err, TOLD[i], "run", "--max-steps", "8", "--schedule", "constant_with_warmup",
                   "--lr", "1e-3", OPTIONS[i], "0.5", "--metrics", "m.jsonl");
        char *metrics = read_text(dir, "m.jsonl");
        cr_assert(strstr(metrics, "\"learning_rate\": 0.00075,"), "%s", metrics); // three of four steps
        cr_assert_float_eq(last_number(metrics, "learning_rate"), 1e-3, 1e-12);
        free(metrics);
    }
    scratch_free(dir);
}

// One label is regression: numbers are predicted, by the mean of squares, and Pearson and Spearman judge
// them.
Test(learning, one_label_is_regression, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, err, "labels: numbers", "run", MODEL, SMALL, "--set", "labels=1", "--epochs", "3",
               "--lr", "3e-3", "--metrics", "m.jsonl");
    cr_assert_float_eq(metric(dir, "eval_loss"), metric(dir, "eval_mse"), 1e-7); // of f32 losses, of doubles
    cr_assert_gt(metric(dir, "eval_pearson"), 0.5);
    cr_assert_gt(metric(dir, "eval_spearmanr"), 0.5);
    ASSERT_FTC(dir, 0, out, "pearson    0.", "eval", "output", "--test", TEST);
    ASSERT_FTC(dir, 2, err, "mse needs one label, not 5", "run", MODEL, SMALL, "--loss", "mse");
    scratch_free(dir);
}

// The frozen part's backward work is not in the step that is compiled, and its bytes do not change.
Test(learning, frozen_parts_cost_nothing, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    outcome whole = FTC(dir, "inspect", "small.ftc", "--kernels");
    ASSERT_FTC(dir, 0, out, "", "compile", MODEL, SMALL, "--freeze", "bert.*", "-o", "head.ftc");
    outcome head = FTC(dir, "inspect", "head.ftc", "--kernels");
    int kernels, fewer;
    cr_assert_eq(sscanf(strstr(whole.out, "  step "), "  step %d", &kernels), 1);
    cr_assert_eq(sscanf(strstr(head.out, "  step "), "  step %d", &fewer), 1);
    cr_assert(fewer < kernels / 2, "%d kernels of %d", fewer, kernels);
    ASSERT_FTC(dir, 0, out, "frozen", "inspect", "head.ftc", "--tensors");
    ASSERT_FTC(dir, 0, err, "saved one", "run", "head.ftc", "--max-steps", "1", "--output", "one");
    ASSERT_FTC(dir, 0, err, "saved ten", "run", "head.ftc", "--max-steps", "10", "--output", "ten");
    char *one = ftc_path_join(dir, "one/model.safetensors"),
         *ten = ftc_path_join(dir, "ten/model.safetensors");
    ftc_safetensors *a, *b;
    ASSERT_OK(ftc_safetensors_open(one, &a));
    ASSERT_OK(ftc_safetensors_open(ten, &b));
    for (int32_t i = 0; i < ftc_safetensors_count(a); i++) {
        const ftc_safetensor *x = ftc_safetensors_at(a, i), *y = ftc_safetensors_at(b, i);
        cr_assert_str_eq(x->name, y->name);
        bool same = memcmp(x->data, y->data, (size_t)x->bytes) == 0;
        cr_assert_eq(same, strncmp(x->name, "bert.", 5) == 0, "%s", x->name);
    }
    ftc_safetensors_close(a);
    ftc_safetensors_close(b);
    free(one);
    free(ten);
    forget(&whole);
    forget(&head);
    scratch_free(dir);
}

// 0.0302 of 2000 rows: a part of a row is a row.
Test(learning, test_rows_may_be_a_fraction, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, ", 61 of it to test;", "run", "--train", TRAIN, "--select-train", "10",
               "--split-test", "0.0302", "--max-steps", "1");
    cr_assert(exists(dir, "output/model.safetensors"));
    scratch_free(dir);
}

// The data sets of the tutorial in the forms that they come in, and the recipe of its Keras part.
Test(learning, sentences_and_pairs_of_glue, .timeout = 240) {
    char *vocabulary = test_shared("vocab/bert-base-uncased.txt"),
         *cola = test_shared("cola/raw/in_domain_train.tsv");
    char *sst = test_shared("sst2/train_full.tsv"), *sst_dev = test_shared("sst2/dev.tsv");
    char *mrpc = test_shared("mrpc/msr_paraphrase_train.txt"),
         *mrpc_test = test_shared("mrpc/msr_paraphrase_test.txt");
    char *dir = test_directory();
    char *tokenizer = ftc_path_join(dir, "tokenizer"), *copy = ftc_path_join(tokenizer, "vocab.txt");
    ASSERT_OK(ftc_dir_make(tokenizer));
    ASSERT_OK(ftc_file_copy(vocabulary, copy));
#define GLUE                                                                                                 \
    SMALL, "--set", "labels=2", "--set", "vocab=30522", "--tokenizer", "tokenizer", "--metrics", "m.jsonl"
    static const char COLA[] = FTC_SOURCE_ROOT "/models/bert-cola.ir";
    ASSERT_FTC(dir, 0, err, "labels: 0 → 0, 1 → 1", "run", COLA, GLUE, "--train", cola, "--select-train",
               "167", "--test", cola, "--select-test", "50");
    cr_assert_eq(metric(dir, "step"), 10); // batches of 16, and what is left over is dropped
    // Constant; random weights need larger steps.
    cr_assert_float_eq(metric(dir, "learning_rate"), 5e-4, 1e-12);
    cr_assert(!isnan(metric(dir, "train_accuracy")));
    cr_assert(!isnan(metric(dir, "eval_matthews_correlation")));
    ASSERT_FTC(dir, 0, err, "20 examples of ", "run", MODEL, GLUE, "--train", sst, "--test", sst_dev,
               "--select-train", "20", "--select-test", "20", "--epochs", "1");
    ASSERT_FTC(dir, 0, err, "20 examples of ", "run", MODEL, GLUE, "--train", mrpc, "--test", mrpc_test,
               "--text-column", "#1 String", "--pair-column", "#2 String", "--label-column", "Quality",
               "--select-train", "20", "--select-test", "20", "--epochs", "1");
    cr_assert(!isnan(metric(dir, "eval_f1")));
    ASSERT_FTC(dir, 0, out, "pair       \"Yucaipa", "inspect", "--train", mrpc, "--text-column", "#1 String",
               "--pair-column", "#2 String", "--label-column", "Quality", "--row", "1", "--tokenizer",
               "tokenizer");
    char *const paths[] = {vocabulary, cola, sst, sst_dev, mrpc, mrpc_test, tokenizer, copy};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) free(paths[i]);
    scratch_free(dir);
}
