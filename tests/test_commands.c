// The ftc command as people use it: what it prints, what it leaves behind, its exit status.
//
// All tests have one timeout: Criterion loses memory, which LeakSanitizer finds, where the timeouts of a
// suite differ.
#include "runtime/hub/safetensors.h"
#include "tests/command.h"

#include <sys/stat.h>

static const char MODEL[] = FTC_SOURCE_ROOT "/models/bert-cls.ir";
static const char TRAIN[] = FTC_SOURCE_ROOT "/models/data/reviews-train.csv";
static const char TEST[] = FTC_SOURCE_ROOT "/models/data/reviews-test.csv";
static const char TOKENIZER[] = FTC_SOURCE_ROOT "/models/data/tokenizer";

// A small model, quick to compile and to train.
#define SMALL "--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"

static void compile_small(const char *dir) {
    ASSERT_FTC(dir, 0, out, "", "compile", MODEL, SMALL, "-o", "small.ftc");
}

// --- the usual way ------------------------------------------------------------------------------------

Test(commands, compile_run_eval_predict, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    outcome o = FTC(dir, "run", "--select-train", "400", "--epochs", "2", "--lr", "2e-3");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cr_assert_eq(last_number(o.out, "eval_samples"), 500);
    cr_assert_eq(last_number(o.out, "step"), 100);
    cr_assert_gt(last_number(o.out, "train_samples_per_second"), 0);
    double loss = last_number(o.out, "eval_loss");
    cr_assert(strstr(o.err, "saved output"));
    forget(&o);
    static const char *const FILES[] = {"config.json", "model.safetensors", "model.ir", "vocab.txt"};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char *name = ftc_path_join("output", FILES[i]);
        cr_assert(exists(dir, name), "%s", name);
        free(name);
    }

    o = FTC(dir, "eval", "output", "--test", TEST, "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cr_assert_float_eq(last_number(o.out, "eval_loss"), loss, 1e-4); // the saved model is the trained one
    forget(&o);
    ASSERT_FTC(dir, 0, out, "\"label\": \"", "predict", "output", "--json", "wonderful", "terrible");
    ASSERT_FTC(dir, 0, out, "  wonderful", "predict", "output", "wonderful");
    ASSERT_FTC(dir, 0, out, "{\"input_ids\": [2, ", "tokenize", "output", "--json", "wonderful");
    ASSERT_FTC(dir, 0, out, "parameters", "inspect", "small.ftc");
    ASSERT_FTC(dir, 0, out, "classifier.weight", "inspect", "output");
    ASSERT_FTC(dir, 0, out, "[CLS]", "inspect", "--train", TRAIN, "--row", "7", "--tokenizer", TOKENIZER);
    scratch_free(dir);
}

// The arena of a step for 6 sequences, compiled so or compiled again.
static double arena_bytes(const char *dir, const char *artifact) {
    outcome o = FTC(dir, "bench", artifact, "--batch", "6", "--length", "64", "--steps", "1", "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    double bytes = last_number(o.out, "arena_bytes");
    forget(&o);
    return bytes;
}

Test(commands, compile_again_keeps_what_was_chosen, .timeout = 240) {
    char *dir = test_directory();
#define TWO_LAYERS MODEL, SMALL, "--set", "layers=2", "--max-length", "64"
#define CHOSEN     "--no-pass", "shrink", "--no-pass", "simplify", "--memory", "least"
    ASSERT_FTC(dir, 0, out, "wrote", "compile", TWO_LAYERS, CHOSEN, "--batch", "4", "-o", "four.ftc");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", TWO_LAYERS, CHOSEN, "--batch", "6", "-o", "six.ftc");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", TWO_LAYERS, "--batch", "6", "-o", "plain.ftc");
#undef TWO_LAYERS
#undef CHOSEN
    double expected = arena_bytes(dir, "six.ftc");
    cr_assert_neq(expected, arena_bytes(dir, "plain.ftc"), "the options do nothing here");
    cr_assert_eq(arena_bytes(dir, "four.ftc"), expected);
    scratch_free(dir);
}

Test(commands, bench_prints_one_object, .timeout = 240) {
    char *dir = test_directory();
    outcome o = FTC(dir, "bench", MODEL, SMALL, "--batch", "2", "--length", "16", "--steps", "3", "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    static const char *const FIELDS[] = {
        "step_ms_min", "step_ms_median", "tokens_per_second", "gflops",         "share_of_peak",
        "arena_bytes", "executed_gflop", "nominal_gflop",     "peak_rss_bytes", "compile_seconds"};
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++) {
        cr_assert(last_number(o.out, FIELDS[i]) > 0, "%s", FIELDS[i]);
    }
    cr_assert_leq(last_number(o.out, "step_ms_min"), last_number(o.out, "step_ms_median"));
    // One layer, of which the head reads one token: nearly nothing is left of its feed-forward block.
    cr_assert_lt(last_number(o.out, "executed_gflop"), 0.6 * last_number(o.out, "nominal_gflop"));
    forget(&o);
    ASSERT_FTC(dir, 0, out, "| all |", "bench", MODEL, SMALL, "--batch", "2", "--length", "16", "--steps",
               "1", "--kernels");
    scratch_free(dir);
}

// From a pipe, which can be read once.
Test(commands, a_model_is_read_once, .timeout = 240) {
    char *dir = test_directory(), *path = ftc_path_join(dir, "model.ir"), *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(FTC_SOURCE_ROOT "/models/mlp.ir", &text, &bytes));
    cr_assert_eq(mkfifo(path, 0600), 0);
    pid_t pid = start(dir, (const char *const[]){"bench", "model.ir", "--steps", "1", "--warmup", "0", NULL});
    int fd = open(path, O_WRONLY);
    cr_assert_eq(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
    outcome o = finish(dir, pid);
    cr_expect_eq(o.status, 0, "%s", o.err);
    forget(&o);
    free(text);
    free(path);
    scratch_free(dir);
}

Test(commands, tune_measures_and_the_artifact_remembers, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, err, "forward: tokens x 32, sum of 32", "compile", MODEL, SMALL, "--set", "layers=2",
               "--batch", "4", "--max-length", "32", "--tune", "-o", "tuned.ftc");
    ASSERT_FTC(dir, 0, out, "step_ms_min", "bench", "tuned.ftc", "--steps", "2");
    ASSERT_FTC(dir, 0, err, "compiled tuned.ftc again", "bench", "tuned.ftc", "--batch", "5", "--steps", "2");
    ASSERT_FTC(dir, 2, err, "leave out --gemm openblas", "compile", MODEL, SMALL, "--tune", "--gemm",
               "openblas");
    cr_assert_not(exists(dir, "bert-cls.ftc"));
    scratch_free(dir);
}

// Token ids are taken from the cache the second time, and nothing of the run changes.
Test(commands, token_ids_are_kept, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "s\nlabels:", "run", "--cache", "cache", "--max-steps", "3", "--output", "first");
    ASSERT_FTC(dir, 0, err, "s, from the cache\n", "run", "--cache", "cache", "--max-steps", "3", "--output",
               "second");
    assert_same_file(dir, "first/model.safetensors", dir, "second/model.safetensors");
    ASSERT_FTC(dir, 0, err, "s\nlabels:", "run", "--cache", "cache", "--max-steps", "3", "--max-length", "9");
    ASSERT_FTC(dir, 0, err, "s\nlabels:", "run", "--cache", "none", "--max-steps", "3");
    cr_assert_eq(count_files(dir, "cache"), 4); // training and test rows at either length
    outcome found = FTC(dir, "eval", "first", "--test", TEST, "--cache", "cache");
    cr_assert_eq(found.status, 0, "%s", found.err);
    cr_assert_eq(count_files(dir, "cache"), 4); // eval found what run had left
    outcome made = FTC(dir, "eval", "first", "--test", TEST, "--cache", "other");
    cr_assert_eq(count_files(dir, "other"), 1);
    outcome none = FTC(dir, "eval", "first", "--test", TEST, "--cache", "none");
    const char *scores = strstr(none.out, "loss ");
    cr_assert_not_null(scores, "%s", none.err);
    cr_assert(strstr(found.out, scores) && strstr(made.out, scores), "%s%s%s", found.out, made.out, none.out);
    forget(&found);
    forget(&made);
    forget(&none);
    scratch_free(dir);
}

// A file gives the ids that its texts give one by one, from any number of threads.
Test(commands, tokenize_files_on_all_threads, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "texts.csv", "text\nwonderful food\n\"terrible, \"\"never\"\" again\"\n");
    outcome words = FTC(dir, "tokenize", TOKENIZER, "--json", "wonderful food", "terrible, \"never\" again");
    for (int threads = 1; threads <= 3; threads++) {
        char n[8];
        snprintf(n, sizeof n, "%d", threads);
        outcome file = FTC(dir, "tokenize", TOKENIZER, "--json", "--file", "texts.csv", "--threads", n);
        cr_assert_eq(file.status, 0, "%s", file.err);
        cr_assert_str_eq(file.out, words.out);
        cr_assert(strstr(file.err, "2 texts, "), "%s", file.err);
        forget(&file);
    }
    forget(&words);
    scratch_free(dir);
}

Test(commands, args_follow_trainer, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    write_file(
        dir, "args.json",
        "{\"per_device_train_batch_size\": 4, \"max_steps\": 5, \"learning_rate\": 1e-3, \"logging_steps\": "
        "1,"
        " \"gradient_accumulation_steps\": 2, \"warmup_steps\": 2, \"push_to_hub\": true, \"fp16\": false}");
    outcome o = FTC(dir, "run", "--args", "args.json", "--metrics", "m.jsonl", "--lr", "2e-3");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cr_assert(strstr(o.err, "without meaning here, ignored: push_to_hub\n"));
    char *metrics = read_text(dir, "m.jsonl");
    cr_assert_eq(last_number(metrics, "step"), 5);
    cr_assert_float_eq(last_number(metrics, "learning_rate"), 2e-3 / 3, 1e-9); // the flag wins over the file
    cr_assert_gt(last_number(metrics, "grad_norm"), 0);                        // Trainer clips by default
    cr_assert(isnan(last_number(metrics, "eval_loss")));                       // and does not evaluate
    cr_assert(exists(dir, "output/checkpoint-5"));
    free(metrics);
    forget(&o);
    scratch_free(dir);
}

// A file of metrics is written again; nothing else is written over.
Test(commands, metrics_replace_metrics_alone, .timeout = 240) {
    static const char *const KEPT[] = {"label,text\n1,good\n0,bad\n", "{\"text\": \"good\", \"label\": 1}\n",
                                       "{"};
    char *dir = test_directory();
    compile_small(dir);
    for (int i = 0; i < 3; i++) {
        write_file(dir, "file", KEPT[i]);
        ASSERT_FTC(dir, 2, err, "--metrics file: the file has something else in it", "run", "--max-steps",
                   "1", "--metrics", "file");
        char *text = read_text(dir, "file");
        cr_expect_str_eq(text, KEPT[i]);
        free(text);
    }
    write_file(dir, "file", "");
    for (int i = 0; i < 2; i++)
        ASSERT_FTC(dir, 0, err, "saved", "run", "--max-steps", "1", "--eval-on-start", "--metrics", "file");
    scratch_free(dir);
}

// Two micro-batches of 4 without clipping are one batch of 8.
Test(commands, accumulation_is_the_larger_batch, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "saved", "run", "--batch", "8", "--dropout", "0", "--no-shuffle", "--max-steps",
               "20", "--lr", "2e-3", "--metrics", "whole.jsonl");
    ASSERT_FTC(dir, 0, err, "saved", "run", "--batch", "4", "--accumulation", "2", "--dropout", "0",
               "--no-shuffle", "--max-steps", "20", "--lr", "2e-3", "--metrics", "halves.jsonl");
    char *whole = read_text(dir, "whole.jsonl"), *halves = read_text(dir, "halves.jsonl");
    cr_assert_float_eq(last_number(whole, "train_loss"), last_number(halves, "train_loss"), 1e-5);
    cr_assert_float_eq(last_number(whole, "eval_loss"), last_number(halves, "eval_loss"), 1e-5);
    free(whole);
    free(halves);
    scratch_free(dir);
}

// The first value of a tensor that a run has saved.
static double saved_value(const char *dir, const char *file, const char *name) {
    char *path = ftc_path_join(dir, file);
    ftc_safetensors *tensors;
    ASSERT_OK(ftc_safetensors_open(path, &tensors));
    const ftc_safetensor *tensor = ftc_safetensors_find(tensors, name);
    cr_assert_not_null(tensor, "%s", name);
    double value = (double)*(const float *)tensor->data;
    ftc_safetensors_close(tensors);
    free(path);
    return value;
}

// A loss that says what it weighs: micro-batches and shards, of which each weighs something else, come to the
// gradient, norm and loss of the whole batch.
Test(commands, windows_and_shards_are_weighed_as_their_losses_say, .timeout = 240) {
    static const char *const WAYS[][6] = {{"--batch", "8"},
                                          {"--batch", "4", "--accumulation", "2"},
                                          {"--batch", "1", "--accumulation", "8"},
                                          {"--batch", "4", "--shards", "2"},
                                          {"--batch", "2", "--accumulation", "2", "--shards", "2"}};
    char *dir = test_directory(), rows[2048] = "label,x,trust\n";
    write_file(dir, "weighed.ir",
               "model weighed\naxis B <= 8, K = 2\ninput x : f32[B, K]\ninput label : f32[B] from label\n"
               "input trust : f32[B]\np = param \"p\" f32[K] init zeros\ny = dot(x, p; K)\n"
               "n = sum(trust; B)\nloss = sum(trust * mse(y, label); B) / maximum(n, 1e-9)\n"
               "output loss as loss weight n, y as scores\ntrain { lr = 0.01  optimizer = sgd }\n");
    for (int i = 0; i < 20; i++) { // the last window has less; some micro-batches weigh nothing
        size_t at = strlen(rows);
        snprintf(rows + at, sizeof rows - at, "%d,\"[%d, %d]\",%d\n", i % 3 - 1, i % 5, i % 2,
                 i < 4 ? 0 : i % 7);
    }
    write_file(dir, "rows.csv", rows);
    static const char *const NORMS[] = {"1e9", "0.5"};
    for (int norm = 0; norm < 2; norm++) {
        double loss = 0, p = 0;
        for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
            const char *const *way = WAYS[i];
            outcome o = FTC(dir, "run", "weighed.ir", "--train", "rows.csv", "--no-shuffle", "--epochs", "2",
                            "--max-grad-norm", NORMS[norm], "--metrics", "m.jsonl", way[0], way[1], way[2],
                            way[3], way[4], way[5]);
            cr_assert_eq(o.status, 0, "%s%s", o.out, o.err);
            forget(&o);
            double now = metric(dir, "train_loss"), value = saved_value(dir, "output/model.safetensors", "p");
            cr_expect(i ? fabs(now - loss) < 1e-6 && fabs(value - p) < 1e-6 : now > 0.1 && value != 0,
                      "%s %s: loss %g, not %g; p %g, not %g", way[2], way[3], now, loss, value, p);
            loss = i ? loss : now;
            p = i ? p : value;
        }
    }
    scratch_free(dir);
}

// State of the model's own counts optimizer steps and micro-batches, and goes on where a checkpoint left it.
Test(commands, state_is_assigned_once_a_step_and_survives_resuming, .timeout = 240) {
    static const char STATE[] = FTC_SOURCE_ROOT "/tests/golden/language/state.ir";
#define STATE_RUN(...)                                                                                       \
    "run", STATE, "--train", TRAIN, "--test", TEST, "--tokenizer", TOKENIZER, "--select-test", "16",         \
        "--select-train", "32", "--batch", "4", "--accumulation", "2", "--dropout", "0.3", __VA_ARGS__
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, err, "saved whole", STATE_RUN("--epochs", "2", "--output", "whole"));
    cr_expect_eq(saved_value(dir, "whole/model.safetensors", "steps"), 8);
    cr_expect_eq(saved_value(dir, "whole/model.safetensors", "batches"), 16);
    double evals = saved_value(dir, "whole/model.safetensors", "evals");
    cr_expect_gt(evals, 0);
    cr_expect_eq(saved_value(dir, "whole/model.safetensors", "both"), 8 + evals);
    cr_expect_neq(saved_value(dir, "whole/model.safetensors", "head.mean"), 0);
    // The first epoch's checkpoint has the state of then, from which the second one ends in the same bytes.
    ASSERT_FTC(
        dir, 0, err, "saved two",
        STATE_RUN("--epochs", "2", "--save-strategy", "epoch", "--save-total-limit", "0", "--output", "two"));
    cr_expect_eq(saved_value(dir, "two/checkpoint-4/model.safetensors", "steps"), 4);
    ASSERT_FTC(dir, 0, err, "resumed from",
               STATE_RUN("--epochs", "2", "--output", "cut", "--resume-from-checkpoint", "two/checkpoint-4"));
    assert_same_file(dir, "whole/model.safetensors", dir, "cut/model.safetensors");
    ASSERT_FTC(dir, 0, err, "saved one",
               STATE_RUN("--epochs", "1", "--output", "one", "--accumulation", "1"));
    cr_expect_eq(saved_value(dir, "one/model.safetensors", "steps"), 8);
    cr_expect_eq(saved_value(dir, "one/model.safetensors", "batches"), 8);
    write_file(dir, "plain.ir",
               "model plain\naxis B <= 4, V = 9, C = 2\naxis S ragged B <= 8\ninput ids : i32[B, S] in V\n"
               "input label : i32[B] in C\narg my_dropout : f32 = 0.1\n"
               "x = mean(embedding(\"e\", ids; V -> C); S) * (1 - my_dropout)\n"
               "output loss = mean(cross_entropy(x, label; C); B)\n");
    ASSERT_FTC(dir, 2, err, "the model plain has no dropout that can be set", "verify", "plain.ir",
               "--dropout", "0.5");
    ASSERT_FTC(dir, 0, out, "compiled", "verify", "plain.ir", "--dropout", "0");
    scratch_free(dir);
#undef STATE_RUN
}

Test(commands, compile_tells_what_a_step_takes, .timeout = 240) {
    static const char *const PARTS[] = {"bert_cls: 67109 parameters",
                                        "a step of 8 sequences of 128 tokens: ",
                                        " GFLOP (nominal), ",
                                        " MB moved",
                                        "memory ",
                                        ": parameters 0.3, moments 0.5, arena ",
                                        "kernels: step ",
                                        "fits: "};
    char *dir = test_directory();
    outcome o = FTC(dir, "compile", MODEL, SMALL, "-o", "small.ftc");
    cr_assert_eq(o.status, 0, "%s", o.err);
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        cr_assert(strstr(o.out, PARTS[i]), "no \"%s\" in: %s", PARTS[i], o.out);
    forget(&o);
    ASSERT_FTC(dir, 2, err, "the smallest is ", "compile", MODEL, SMALL, "--memory", "1MB");
    ASSERT_FTC(dir, 2, err, "MB is free; compile with", "compile", MODEL, SMALL, "--set", "vocab=1000000000");
    scratch_free(dir);
}

// A batch that is larger than the artifact's compiles it again, and says so.
Test(commands, another_structure_is_compiled_again, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "compiled small.ftc again: it was compiled for batches of 8, --batch asks for 12",
               "run", "--batch", "12", "--max-steps", "2");
    ASSERT_FTC(dir, 0, err, "compiled small.ftc again: it was compiled for fp32", "run", "--precision",
               "bf16", "--max-steps", "1");
    ASSERT_FTC(dir, 0, err, "parameters, bf16", "run", "--bf16", "--max-steps", "1");
    ASSERT_FTC(dir, 0, out, "", "compile", MODEL, SMALL, "--precision", "bf16", "-o", "small.ftc");
    ASSERT_FTC(dir, 0, err, "parameters, bf16", "run", "--batch", "12", "--max-steps", "1"); // still
    ASSERT_FTC(dir, 0, err, "(at most 20 a text)", "run", "--max-length", "20", "--max-steps", "1");
    ASSERT_FTC(dir, 0, err,
               "--eval-batch 9: the model is compiled for batches of 8, so 8 are evaluated at a time", "run",
               "--eval-batch", "9", "--max-steps", "1");
    char *card = read_text(dir, "output/README.md");
    cr_assert(strstr(card, "eval_batch_size: 8\n"), "%s", card);
    free(card);
    outcome fits = FTC(dir, "run", "--batch", "4", "--max-steps", "1"); // 8 was not asked for
    cr_assert(fits.status == 0 && !strstr(fits.err, "--eval-batch"), "%s", fits.err);
    forget(&fits);
    scratch_free(dir);
}

// --- interruption -------------------------------------------------------------------------------------

// Waits until the file `name` has something in it.
static void wait_for(const char *dir, const char *name) {
    for (int i = 0; i < 3000; i++) {
        if (exists(dir, name)) {
            char *text = read_text(dir, name);
            bool filled = *text != '\0';
            free(text);
            if (filled) return;
        }
        usleep(10000);
    }
    cr_assert_fail("%s stays empty", name);
}

Test(commands, sigterm_leaves_a_checkpoint_and_resume_is_bitwise, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    static const char *const CUT[] = {"run", "--epochs",  "3",         "--output",
                                      "cut", "--metrics", "cut.jsonl", NULL};
    ASSERT_FTC(dir, 0, err, "saved whole", "run", "--epochs", "3", "--output", "whole", "--metrics",
               "whole.jsonl");
    pid_t pid = start(dir, CUT);
    wait_for(dir, "cut.jsonl");
    kill(pid, SIGTERM);
    outcome o = finish(dir, pid);
    cr_assert_eq(o.status, 1, "exit status %d\n%s", o.status, o.err);
    cr_assert(strstr(o.err, "continue with --resume --output cut"), "%s", o.err);
    forget(&o);
    ASSERT_FTC(dir, 0, err, "resumed from cut/checkpoint-", "run", "--epochs", "3", "--output", "cut",
               "--metrics", "cut.jsonl", "--resume");
    assert_same_file(dir, "whole/model.safetensors", dir, "cut/model.safetensors");
    char *whole = read_text(dir, "whole.jsonl"), *cut = read_text(dir, "cut.jsonl");
    cr_assert_eq(last_number(whole, "train_loss"), last_number(cut, "train_loss"));
    cr_assert_eq(last_number(whole, "eval_loss"), last_number(cut, "eval_loss"));
    free(whole);
    free(cut);
    scratch_free(dir);
}

// Results go where the user says: not into what another run or another program has written, and not where a
// model's text says.
Test(commands, results_go_only_where_the_user_says, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 2, err, "holds small.ftc, which no earlier ftc run has written", "run", "--output", ".");
    cr_assert_not(exists(dir, ".ftc-run"));
    static const char *const LONG[] = {"run", "--epochs", "3000", "--metrics", "m.jsonl", NULL};
    pid_t pid = start(dir, LONG);
    wait_for(dir, "m.jsonl");
    char who[40];
    snprintf(who, sizeof who, "(process %d, started", (int)pid);
    char *second = test_join(dir, "second");
    ASSERT_OK(ftc_dir_make(second)); // its own standard output and error
    ASSERT_FTC(second, 2, err, who, "run", "../small.ftc", "--output", "../output", "--metrics",
               "../m.jsonl");
    kill(pid, SIGKILL);
    outcome o = finish(dir, pid);
    cr_assert_eq(o.status, 128 + SIGKILL, "%s", o.err);
    forget(&o);
    ASSERT_FTC(dir, 0, err, "saved output", "run", "--max-steps", "1", "--output", "output");

    static const struct {
        const char *entry, *message;
    } CASES[] = {{"output = \"victim\"", "output = \"victim\" in the train block"},
                 {"metrics = \"m\"", "not for a model's text to choose"},
                 {"cache = \"c\"", "not for a model's text to choose"},
                 {"args = \"a.json\"", "not for a model's text to choose"},
                 {"trust_model = \"true\"", "not for a model's text to choose"},
                 {"overwrite = \"true\"", "not for a model's text to choose"},
                 {"train = \"t.csv\"", "not for a model's text to choose"},
                 {"data = \"/etc/passwd\"", "files of its own folder only"},
                 {"data = \"../small.ftc\"", "files of its own folder only"},
                 {"tokenizer = \"data/../../t\"", "files of its own folder only"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text;
        cr_assert(asprintf(&text,
                           "model m\naxis B <= 8\naxis S ragged B <= 8\naxis V = 1660, C = 5\n"
                           "input ids : i32[B, S] in V from tokens\ninput label : i32[B] in C from label\n"
                           "logits = mean(embedding(\"e\", ids; V -> C); S)\n"
                           "loss = mean(cross_entropy(logits, label; C); B)\n"
                           "output loss as loss\noutput logits as scores over C\n"
                           "train { optimizer = sgd  lr = 0.1  max_steps = 1  batch = 8  %s }\n",
                           CASES[i].entry) > 0);
        write_file(dir, "evil.ir", text);
        free(text);
        ASSERT_FTC(dir, 2, err, CASES[i].message, "run", "evil.ir");
    }
    write_file(dir, "evil.ir",
               "model m\naxis B <= 8\naxis S ragged B <= 8\naxis V = 1660, C = 5\n"
               "input ids : i32[B, S] in V from tokens\ninput label : i32[B] in C from label\n"
               "logits = mean(embedding(\"e\", ids; V -> C); S)\n"
               "loss = mean(cross_entropy(logits, label; C); B)\n"
               "output loss as loss\noutput logits as scores over C\n"
               "train { optimizer = sgd  lr = 0.1  max_steps = 1  batch = 8  output = \"chosen\" }\n");
    ASSERT_FTC(dir, 0, err, "saved chosen", "run", "evil.ir", "--trust-model", "--train", TRAIN,
               "--tokenizer", TOKENIZER);
    free(second);
    scratch_free(dir);
}

// What texts and labels say is shown, not done; and code that others may have written is not run unless it is
// named.
Test(commands, texts_are_shown_and_foreign_code_is_named, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    write_file(dir, "t.csv", "label,text\n\x1b[31mred,good\x1b[2J\nb,bad\nc,bad\nd,bad\ne,bad\n");
    outcome o = FTC(dir, "run", "--train", "t.csv", "--max-steps", "1");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cr_expect(strstr(o.err, "\\x1b[31mred"), "%s", o.err);
    cr_expect_null(strchr(o.err, '\x1b'));
    forget(&o);
    char *card = read_text(dir, "output/README.md"), *report = read_text(dir, "output/report.html");
    cr_expect(strstr(card, "\\x1b[31mred"));
    cr_expect_null(strchr(card, '\x1b'));
    cr_expect_null(strchr(report, '\x1b'));
    free(card);
    free(report);
    o = FTC(dir, "predict", "output", "so\x1b]0;title\x07good \u202e");
    cr_expect(strstr(o.out, "so\\x1b]0;title\\x07good \\u202e"), "%s", o.out);
    cr_expect_null(strchr(o.out, '\x1b'));
    forget(&o);
    o = FTC(dir, "run", "--train", "\x1b[2J.csv");
    cr_expect(strstr(o.err, "\\x1b[2J.csv") && !strchr(o.err, '\x1b'), "%s", o.err);
    forget(&o);

    char *artifact = ftc_path_join(dir, "small.ftc");
    struct stat info;
    cr_assert_eq(stat(artifact, &info), 0);
    cr_expect_eq(info.st_mode & 022, 0);
    cr_assert_eq(chmod(artifact, 0666), 0);
    ASSERT_FTC(dir, 2, err, "if you trust it, name it (ftc run small.ftc)", "run", "--max-steps", "1");
    ASSERT_FTC(dir, 0, err, "saved output", "run", "small.ftc", "--max-steps", "1");
    ASSERT_FTC(dir, 0, out, "An artifact is code", "run", "--help");
    free(artifact);
    scratch_free(dir);
}

// A terminal that goes away leaves a checkpoint; a reader that does costs its lines alone.
Test(commands, lost_listeners_cost_no_training, .timeout = 240) {
    char *dir = test_directory(), *command;
    compile_small(dir);
    static const char *const LONG[] = {"run", "--epochs", "3000", "--metrics", "m.jsonl", NULL};
    pid_t pid = start(dir, LONG);
    wait_for(dir, "m.jsonl");
    kill(pid, SIGHUP);
    outcome o = finish(dir, pid);
    cr_assert_eq(o.status, 1, "exit status %d\n%s", o.status, o.err);
    cr_assert(strstr(o.err, "continue with --resume"), "%s", o.err);
    forget(&o);
    static const struct {
        const char *shell, *told;
    } CASES[] = {
        {"{ $FTC run $OPTIONS --output a 2>err; echo $? >status; } | head -1 >first",
         "nobody reads the metrics"},
        {"{ $FTC run $OPTIONS --output b 2>&1; echo $? >status; } | head -1 >first; : >err", ""},
        {"trap '' HUP; $FTC run $OPTIONS --epochs 3 --output c --metrics c.jsonl 2>err >first & "
         "until [ -s c.jsonl ]; do sleep 0.02; done; kill -HUP $!; wait $!; echo $? >status",
         "saved c\n"},
        // With nothing but the metrics to be written, they are all that is in their file.
        {"$FTC run $OPTIONS --output d --metrics d.jsonl <&- >&- 2>&-; echo $? >status; : >err", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        cr_assert(asprintf(&command, "cd %s && FTC=%s && OPTIONS='--epochs 1' && %s", dir, FTC_COMMAND,
                           CASES[i].shell) > 0);
        cr_assert_eq(system(command), 0, "%s", command);
        char *status = read_text(dir, "status"), *err = read_text(dir, "err");
        cr_assert_str_eq(status, "0\n", "%s: %s%s", command, status, err);
        size_t bytes = strlen(CASES[i].told);
        int times = 0;
        for (const char *at = err; bytes && (at = strstr(at, CASES[i].told)); at += bytes) times++;
        cr_assert_eq(times, bytes > 0, "%s", err);
        const char name[] = {(char)('a' + i), '/', 0};
        char *model = test_join(dir, name), *weights = ftc_path_join(model, "model.safetensors");
        cr_assert(ftc_file_exists(weights), "%s", weights);
        free(weights);
        free(model);
        free(status);
        free(err);
        free(command);
    }
    char *metrics = read_text(dir, "d.jsonl");
    cr_expect_gt(last_number(metrics, "train_loss"), 0);
    free(metrics);
    scratch_free(dir);
}

// An optimizer of the model's own: its state is saved under its name, and resuming continues bit by bit.
Test(commands, own_optimizers_are_saved_and_resumed, .timeout = 240) {
    static const char OWN[] =
        "\noptimizer plain(p, g, rate) also \"plain_momentum\" {\n    state sum_of_steps like p\n"
        "    sum = 0.5 * sum_of_steps + g\n    assign(sum, sum_of_steps)\n"
        "    assign(p - rate * sum, p)\n}\n";
    char *dir = test_directory(), *model = read_text(FTC_SOURCE_ROOT, "models/mlp.ir"), *text;
    cr_assert(asprintf(&text, "%s%s", model, OWN) > 0);
    char *path = ftc_path_join(dir, "own.ir");
    ASSERT_OK(ftc_file_write(path, text, strlen(text)));
#define PLAIN                                                                                                \
    "run", "own.ir", "--train", TRAIN, "--tokenizer", TOKENIZER, "--optim", "plain_momentum", "--lr", "0.1", \
        "--schedule", "constant", "--set", "hidden=16"
    ASSERT_FTC(dir, 0, err, "saved whole", PLAIN, "--max-steps", "6", "--output", "whole");
    ASSERT_FTC(dir, 0, err, "saved cut", PLAIN, "--max-steps", "3", "--save-strategy", "steps",
               "--save-steps", "3", "--output", "cut");
    char *header = read_text(dir, "cut/checkpoint-3/optimizer.safetensors");
    cr_expect_not_null(strstr(header + 8, "\"hidden.weight.sum_of_steps\""), "%s",
                       header + 8); // behind its length
    free(header);
    ASSERT_FTC(dir, 0, err, "resumed from cut/checkpoint-3", PLAIN, "--max-steps", "6", "--output", "cut",
               "--resume");
    assert_same_file(dir, "whole/model.safetensors", dir, "cut/model.safetensors");
    ASSERT_FTC(dir, 2, err, "did you mean 'plain'; there are plain, adamw,", "run", "own.ir", "--train",
               TRAIN, "--optim", "plane");
    free(path);
    free(text);
    free(model);
    scratch_free(dir);
}

// A second signal ends the run at once, whatever it is doing. Both are sent while it stands still, since it
// could end by the first one before the second is sent.
Test(commands, two_signals_end_at_once, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    static const char *const LONG[] = {"run", "--epochs", "3000", "--metrics", "m.jsonl", NULL};
    pid_t pid = start(dir, LONG);
    wait_for(dir, "m.jsonl");
    int status;
    kill(pid, SIGSTOP);
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
    kill(pid, SIGINT);
    kill(pid, SIGTERM);
    kill(pid, SIGCONT);
    outcome o = finish(dir, pid);
    cr_assert(o.status == 128 + SIGINT || o.status == 128 + SIGTERM, "exit status %d\n%s", o.status, o.err);
    cr_assert(strstr(o.err, "once more to end at once"), "%s", o.err);
    cr_assert_not(exists(dir, "output/model.safetensors"));
    forget(&o);
    scratch_free(dir);
}

// --- inputs from columns ------------------------------------------------------------------------------

// Rows feed numbers and lists of numbers, also as the label; a test set's loss weighs its batches as the
// model says.
Test(commands, rows_feed_numbers_and_lists, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "sums.ir",
               "model sums\naxis B <= 2\naxis U ragged B <= 4\naxis C = 3\n"
               "input hot : f32[B, C] from label\ninput parts : i32[B, U]\n"
               "input trust : f32[B] from column \"confidence\"\n"
               "p = param \"p\" f32[C] init zeros\nweight = sum(trust; B)\n"
               "of_row = sum(hot; C) + sum(cast(parts, f32); U)\n"
               "output loss = sum(trust * of_row; B) / weight + sum(p * p; C) as loss weight weight\n"
               "train { lr = 0 }\n");
    write_file(dir, "rows.jsonl",
               "{\"label\": [0, 1, 1], \"parts\": [1, 2], \"confidence\": 0.5}\n"
               "{\"label\": [1, 0, 1], \"parts\": [], \"confidence\": 1}\n"
               "{\"label\": [0, 1, 0], \"parts\": [4], \"confidence\": 0.25}\n");
    write_file(
        dir, "rows.csv",
        "label,parts,confidence\n\"[0, 1, 1]\",\"[1, 2]\",0.5\n\"[1, 0, 1]\",[],1\n\"[0, 1, 0]\",4,0.25\n");
    static const char *const FILES[] = {"rows.jsonl", "rows.csv"};
    for (int i = 0; i < 2; i++) {
        outcome o = FTC(dir, "run", "sums.ir", "--train", FILES[i], "--test", FILES[i], "--epochs", "1",
                        "--batch", "2", "--metrics", "m.jsonl");
        cr_assert_eq(o.status, 0, "%s%s", o.out, o.err);
        forget(&o);
        // (2 + 3) * 0.5, 2 * 1 and (1 + 4) * 0.25 of 1.75
        cr_expect_float_eq(metric(dir, "eval_loss"), 5.75 / 1.75, 1e-6, "%s", FILES[i]);
    }
    write_file(dir, "short.jsonl", "{\"label\": [0, 1], \"parts\": [1], \"confidence\": 0.5}\n");
    ASSERT_FTC(
        dir, 2, err,
        "short.jsonl:1: the row has 2 values for the input \"hot\" (the label column), the model takes 3",
        "run", "sums.ir", "--train", "short.jsonl");
    scratch_free(dir);
}

// What no row can feed is refused by its name before the file is asked for its column.
Test(commands, inputs_over_another_batch_are_refused) {
    char *dir = test_directory();
    write_file(dir, "far.ir",
               "model far\naxis B <= 2, N <= 3\ninput x : f32[B]\ninput far : f32[N]\n"
               "output loss = sum(x * param \"p\" f32[] init zeros; B) + sum(far; N) as loss\n");
    write_file(dir, "rows.csv", "x\n1\n2\n");
    ASSERT_FTC(dir, 2, err, "the input \"far\" of the model far is along N: bind it through the C API", "run",
               "far.ir", "--train", "rows.csv");
    scratch_free(dir);
}

// A model that gives an entry nothing to do says so, instead of naming a pass.
Test(commands, models_without_work_are_refused) {
    static const char HEAD[] = "model m\naxis B <= 3\ninput x : f32[B]\n";
    static const char *const BODIES[][2] = {
        {"output loss = sum(x; B)\n", "in the entry update: the model has no parameter that is trained"},
        {"w = param \"w\" f32[]\noutput loss = sum(x * w; B) entries(step, grad)\n",
         "in the entry eval: no output is given there"},
    };
    char *dir = test_directory(), text[400];
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s%s", HEAD, BODIES[i][0]);
        write_file(dir, "m.ir", text);
        ASSERT_FTC(dir, 2, err, BODIES[i][1], "compile", "m.ir");
    }
    scratch_free(dir);
}

// --- what is learned ----------------------------------------------------------------------------------

// Early stopping: the run says so and ends with the best checkpoint, which is kept.
Test(commands, early_stopping_ends_with_the_best, .timeout = 240) {
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
Test(commands, the_best_is_what_the_metric_says, .timeout = 240) {
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

// A checkpoint of the model alone is smaller and cannot be resumed, which is said.
Test(commands, a_checkpoint_of_the_model_only, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "saved output/checkpoint-2", "run", "--max-steps", "2", "--save-only-model");
    cr_assert(exists(dir, "output/checkpoint-2/model.safetensors"));
    cr_assert_not(exists(dir, "output/checkpoint-2/optimizer.safetensors"));
    ASSERT_FTC(dir, 2, err, "has no checkpoint to resume from", "run", "--max-steps", "4", "--resume");
    scratch_free(dir);
}

// A warm-up below 1 is a fraction of all steps.
Test(commands, warm_up_may_be_a_fraction, .timeout = 240) {
    static const char *const OPTIONS[] = {"--warmup-steps", "--warmup-ratio"};
    char *dir = test_directory();
    compile_small(dir);
    for (int i = 0; i < 2; i++) {
        ASSERT_FTC(dir, 0, err, "saved", "run", "--max-steps", "8", "--schedule", "constant_with_warmup",
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
Test(commands, one_label_is_regression, .timeout = 240) {
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
Test(commands, frozen_parts_cost_nothing, .timeout = 240) {
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

// The data sets of the tutorial in the forms that they come in, and the recipe of its Keras part.
Test(commands, sentences_and_pairs_of_glue, .timeout = 240) {
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

// --- bad input ----------------------------------------------------------------------------------------

Test(commands, wrong_usage, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 2, err, "did you mean compile?", "compil", "x");
    ASSERT_FTC(dir, 2, err, "did you mean --epochs?", "run", MODEL, "--epoch", "3");
    ASSERT_FTC(dir, 2, err, "did you mean --learning_rate", "run", MODEL, "--learning_rat", "3");
    ASSERT_FTC(dir, 2, err, "--lr x: expected a number", "run", MODEL, "--lr", "x");
    ASSERT_FTC(dir, 2, err, "--batch 0: expected at least 1", "run", MODEL, "--batch", "0");
    ASSERT_FTC(dir, 2, err, "--schedule line: expected linear|", "run", MODEL, "--schedule", "line");
    ASSERT_FTC(dir, 2, err, "--lr needs a value", "run", MODEL, "--lr");
    ASSERT_FTC(dir, 2, err, "there is no .ftc in this folder", "run");
    ASSERT_FTC(dir, 2, err, "hiden", "run", MODEL, "--set", "hiden=3");
    ASSERT_FTC(dir, 2, err, "expected NAME=VALUE", "run", MODEL, "--set", "hidden");
    ASSERT_FTC(dir, 2, err, "--dropout 1: expected less than 1", "run", MODEL, "--dropout", "1", SMALL);
    ASSERT_FTC(dir, 2, err, "--beta1 1: expected less than 1", "run", MODEL, "--beta1", "1", SMALL);
    ASSERT_FTC(dir, 2, err, "give one", "run", MODEL, "--test", TEST, "--split-test", "3");
    ASSERT_FTC(dir, 2, err, "--test", "run", MODEL, "--train", TRAIN, "--load-best-model-at-end");
    ASSERT_FTC(dir, 2, err, "pass optimizer: the graph has already updates", "opt", MODEL,
               "--passes=differentiate,optimizer,optimizer");
    ASSERT_FTC(dir, 0, out, "", "compile", MODEL, SMALL, "--emit", "ir", "-o", "/dev/null");
    ASSERT_FTC(dir, 2, err, "pass plan: the graph has no kernels", "opt", MODEL, "--passes=plan");
    // The output again is another name for a value.
    write_file(dir, "names.ir",
               "model names\naxis B <= 4\naxis H = 2\ninput x : f32[B, H]\n"
               "loss = sum(x * param \"w\" f32[H]; B, H)\noutput loss, again = detach(x)\n");
    ASSERT_FTC(dir, 2, err, "pass fuse: no kernel computes again as it is; run lower before", "opt",
               "names.ir", "--passes=differentiate,optimizer,fuse");
    ASSERT_FTC(dir, 0, out, "kernel rows", "opt", "names.ir", "--passes=differentiate,optimizer,lower,fuse");
    ASSERT_FTC(dir, 0, out, "[learning_rate]", "run", "--help");
    ASSERT_FTC(dir, 0, out, "predict", "--help");
    scratch_free(dir);
}

Test(commands, bad_files, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 2, err, "none.csv", "run", "--train", "none.csv");
    write_file(dir, "no-column.csv", "a,b\n1,2\n");
    ASSERT_FTC(dir, 2, err, "no-column.csv", "run", "--train", "no-column.csv");
    write_file(dir, "labels.csv", "label,text\n0,a\n1,b\n7,c\n8,d\n9,e\n10,f\n");
    ASSERT_FTC(dir, 2, err, "labels.csv", "run", "--train", "labels.csv");
    write_file(dir, "utf8.csv", "label,text\n0,\xff\xfe\n");
    ASSERT_FTC(dir, 2, err, "utf8.csv", "run", "--train", "utf8.csv");
    write_file(dir, "args.json", "{\"learning_rat\": 1}");
    ASSERT_FTC(dir, 2, err, "did you mean \"learning_rate\"?", "run", "--args", "args.json");
    write_file(dir, "args.json", "{\"eval_strategy\": \"epoch\"}");
    ASSERT_FTC(dir, 2, err, "eval_strategy needs data", "run", "--args", "args.json", "--train", TRAIN);
    write_file(dir, "args.json", "{");
    ASSERT_FTC(dir, 2, err, "not valid JSON", "run", "--args", "args.json");
    write_file(dir, "broken.ftc", "no artifact");
    ASSERT_FTC(dir, 2, err, "broken.ftc", "run", "broken.ftc");
    ASSERT_FTC(dir, 2, err, "config.json", "predict", ".", "a text");
    ASSERT_FTC(dir, 2, err, "no text is given", "tokenize", TOKENIZER);
    ASSERT_FTC(dir, 2, err, "MB of memory", "run", MODEL, "--set", "vocab=200000000");
    ASSERT_FTC(dir, 2, err, "has no checkpoint to resume from", "run", "small.ftc", "--resume");
    cr_assert_not(exists(dir, "output"));
    scratch_free(dir);
}

// Where there is no room, nothing half-written stays.
Test(commands, full_disks, .timeout = 240) {
    static const char *const CASES[][2] = {
        // the command; what it would have written
        {"tokenize $TOKENIZER wonderful >/dev/full", "none"},
        {"opt $MODEL >/dev/full", "none"},
        {"compile $MODEL --emit ir >/dev/full", "none"},
        {"compile $MODEL --emit llvm -o text", "text"},
        {"compile $MODEL -o artifact", "artifact"},
        {"run $MODEL --max-steps 1 --no-report --cache none --output full", "full/model.safetensors"},
        {"verify $MODEL --dump-grads gradients", "gradients"},
        {"compile $MODEL --dump-after optimizer --dump-dir . -o artifact", "03-optimizer.ir"},
    };
    char *dir = test_directory();
    setenv("MODEL", MODEL, 1);
    setenv("TOKENIZER", TOKENIZER, 1);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *line;
        if (asprintf(&line, "cd '%s' && ulimit -f 4 && " FTC_COMMAND " >/dev/null %s 2>stderr", dir,
                     CASES[i][0]) < 0)
            abort();
        int status = system(line);
        char *err = read_text(dir, "stderr");
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 2 && *err, "%s: status %d, %s", CASES[i][0],
                  status, err);
        cr_expect(!exists(dir, CASES[i][1]), "%s leaves %s", CASES[i][0], CASES[i][1]);
        free(err);
        free(line);
    }
    ASSERT_FTC(dir, 2, err, "/dev/full: cannot write all of the metrics", "run", MODEL, SMALL, "--max-steps",
               "1", "--metrics", "/dev/full");
    scratch_free(dir);
}

// Weights of another shape, and a file that is cut off.
Test(commands, bad_weights, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "saved output", "run", "--max-steps", "1");
    ASSERT_FTC(dir, 2, err, "have hidden_size = 32", "run", MODEL, "--pretrained", "output", "--set",
               "hidden=64");
    char *weights = ftc_path_join(dir, "output/model.safetensors"), *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(weights, &text, &bytes));
    ASSERT_OK(ftc_file_write(weights, text, bytes / 2));
    ASSERT_FTC(dir, 2, err, "model.safetensors", "predict", "output", "a text");
    ASSERT_FTC(dir, 2, err, "is it complete?", "run", MODEL, "--pretrained", "output");
    free(text);
    free(weights);
    scratch_free(dir);
}

// bf16 keeps fewer bits than f32, and is compared accordingly.
Test(commands, verify_in_either_precision, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "(at most 1e-05)", "verify", MODEL, SMALL);
    ASSERT_FTC(dir, 0, out, "compiled: loss ", "verify", MODEL, SMALL, "--precision", "bf16");
    scratch_free(dir);
}

// Every length that has room for the special tokens; and verify's own batch for what reads no tokens at all.
Test(commands, any_length_and_none, .timeout = 240) {
    static const char MEAN[] =
        "model short\nconfig { max_length = 1 }\naxis B <= 4\naxis S ragged B <= max_length\n"
        "axis C = 3, V = 1660, H = 4\ninput ids : i32[B, S] in V\ninput label : i32[B] in C\n"
        "logits = linear(\"c\", mean(embedding(\"e\", ids; V -> H); S); H -> C)\n"
        "loss = mean(cross_entropy(logits, label; C); B)\noutput loss, logits\n";
    static const char NONE[] = "model none\naxis B <= 4\naxis C = 3\ninput label : i32[B] in C\n"
                               "logits = fill(1; B, C) * param \"b\" f32[C]\n"
                               "loss = mean(cross_entropy(logits, label; C); B)\noutput loss, logits\n";
    char *dir = test_directory();
    write_file(dir, "short.ir", MEAN);
    write_file(dir, "none.ir", NONE);
    write_file(dir, "t.csv", "text,label\nthe soup,0\ngood,1\na waiter,2\n");
    ASSERT_FTC(dir, 0, out, "3 sequences, 3 tokens", "verify", "short.ir");
    ASSERT_FTC(dir, 0, out, "3 sequences, 0 tokens", "verify", "none.ir");
    ASSERT_FTC(dir, 2, err, "no room for the 2 special tokens", "run", "short.ir", "--train", "t.csv",
               "--tokenizer", TOKENIZER);
    ASSERT_FTC(dir, 0, err, "saved", "run", "short.ir", "--train", "t.csv", "--tokenizer", TOKENIZER, "--set",
               "max_length=2");
    scratch_free(dir);
}

// A table that is smaller than the texts have tokens: training ends with what there is, verify compares all
// the same.
Test(commands, an_index_outside_of_its_table_is_exit_2, .timeout = 240) {
    static const char TEXT[] =
        "model places\naxis B <= 4\naxis S ragged B <= 32\naxis C = 3, V = 1660, H = 4, P = 6\n"
        "input ids : i32[B, S] in V\ninput label : i32[B] in C\ninit normal(0.3)\n"
        "x = embedding(\"words\", ids; V -> H) + embedding(\"places\", index(S); P -> H)\n"
        "logits = linear(\"c\", mean(x; S); H -> C)\n"
        "loss = mean(cross_entropy(logits, label; C); B)\noutput loss, logits\n"
        "train { text_column = text  label_column = label  batch = 2 }\n";
    char *dir = test_directory();
    write_file(dir, "places.ir", TEXT);
    write_file(dir, "good.csv", "text,label\nthe soup,0\ngood,1\na waiter,2\n");
    write_file(dir, "bad.csv",
               "text,label\nthe soup,0\nthe soup was good and the waiter rude,1\na waiter,2\n");
    const char *why =
        "an index into \"places.weight\" lies outside of axis P, which has the positions 0 to 5 (line 8";
    ASSERT_FTC(dir, 2, err, why, "verify", "places.ir");
    ASSERT_FTC(dir, 2, err, why, "run", "places.ir", "--train", "bad.csv", "--tokenizer", TOKENIZER);
    ASSERT_FTC(dir, 2, err, why, "run", "places.ir", "--train", "bad.csv", "--tokenizer", TOKENIZER,
               "--gradient-accumulation-steps", "2");
    ASSERT_FTC(dir, 0, err, "saved", "run", "places.ir", "--train", "good.csv", "--tokenizer", TOKENIZER);
    ASSERT_FTC(dir, 2, err, why, "eval", "output", "--test", "bad.csv");
    scratch_free(dir);
}

// What a directory's config.json asks for and training here would not do.
Test(commands, other_problems_are_refused, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "config.json", "{\"problem_type\": \"multi_label_classification\"}");
    ASSERT_FTC(dir, 2, err, "which gives a text several classes", "compile", MODEL, SMALL, "--pretrained",
               ".");
    // What is asked for otherwise gets as far as the weights, which are not there.
    ASSERT_FTC(dir, 2, err, "has neither model.safetensors", "compile", MODEL, SMALL, "--pretrained", ".",
               "--loss", "cross_entropy");
    write_file(dir, "config.json", "{\"problem_type\": \"regression\", \"num_labels\": 3}");
    ASSERT_FTC(dir, 2, err, "several numbers", "compile", MODEL, SMALL, "--pretrained", ".");
    ASSERT_FTC(dir, 2, err, "has neither model.safetensors", "compile", MODEL, SMALL, "--pretrained", ".",
               "--set", "labels=1");
    scratch_free(dir);
}

// The task that a text is compiled for: the option's, else that of the directory's class, unless others are
// fine-tuned from it, else the text's own.
Test(commands, tasks_come_from_options_and_directories, .timeout = 240) {
    static const char TEXT[] =
        "model m config { task = whole labels = 2 }\n"
        "family { architecture = Whole  architecture parts = Parts  architecture blanks = Blanks\n"
        "         pretraining = \"blanks\"  head = \"w\"  head parts = \"part\" }\n"
        "axis B <= 4, C = labels\ninput x : f32[B] from column \"x\" input label : i32[B] in C from label\n"
        "if task == \"whole\" { w = param \"w\" f32[C] }\n"
        "else if task == \"parts\" { w = param \"part\" f32[C] }\n"
        "else { check task == \"blanks\" \"no task {task}\" w = param \"w.blank\" f32[C] }\n"
        "logits = outer (x * w)\nloss = mean(cross_entropy(logits, label; C); B)\n"
        "output loss as loss, logits as scores over C\ntrain { optimizer = sgd  lr = 0.1  epochs = 1  batch "
        "= 2 }\n";
    char *dir = test_directory();
    write_file(dir, "m.ir", TEXT);
    write_file(dir, "rows.csv", "x,label\n1,0\n2,1\n");
    ASSERT_FTC(dir, 0, err, "task: whole", "run", "m.ir", "--train", "rows.csv");
    ASSERT_FTC(dir, 0, err, "task: parts", "run", "m.ir", "--train", "rows.csv", "--task", "parts");
    char *config = read_text(dir, "output/config.json");
    cr_expect(strstr(config, "[\"Parts\"]"), "%s", config);
    free(config);
    ASSERT_FTC(dir, 0, err, "task: parts", "run", "m.ir", "--train", "rows.csv", "--pretrained", "output",
               "--output", "again");
    ASSERT_FTC(dir, 0, err, "newly initialized: w\n", "run", "m.ir", "--train", "rows.csv", "--pretrained",
               "output", "--task", "whole", "--output", "whole");
    ASSERT_FTC(dir, 0, err, "task: blanks", "run", "m.ir", "--train", "rows.csv", "--task", "blanks",
               "--output", "blanks");
    ASSERT_FTC(dir, 0, err, "task: whole", "run", "m.ir", "--train", "rows.csv", "--pretrained", "blanks",
               "--output", "base");
    ASSERT_FTC(dir, 2, err, "no task tokens", "run", "m.ir", "--train", "rows.csv", "--task", "tokens");
    write_file(dir, "typo.ir",
               "model m family { model_type parts = x } axis B <= 2 input x : f32[B] output y = x");
    ASSERT_FTC(dir, 2, err, "has no entry 'model_type parts'", "compile", "typo.ir");
    scratch_free(dir);
}

Test(commands, a_loss_that_is_not_finite_is_exit_1, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 1, err, "step ", "run", "--lr", "1e30", "--max-steps", "20", "--save-strategy", "steps",
               "--save-steps", "100");
    cr_assert_not(exists(dir, "output/model.safetensors"));
    static const char *const PARTS[] = {"the loss is nan",
                                        "First value that is not finite: ",
                                        " in ",
                                        "(…) : f32[",
                                        " at ",
                                        " (kernel ",
                                        ", cell B=0",
                                        "The weights are as they were before the step",
                                        "--lr"};
    char *text = read_text(dir, "stderr");
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        cr_assert(strstr(text, PARTS[i]), "no \"%s\" in: %s", PARTS[i], text);
    free(text);
    scratch_free(dir);
}
