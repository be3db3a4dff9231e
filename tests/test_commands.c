// The ftc command as people use it: what it prints, what it leaves behind, its exit status.
#include "runtime/hub/safetensors.h"
#include "tests/small_model.h"

#include <sys/stat.h>

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

// What a saved model answers in bf16 is near what it answers in fp32, and is not the same.
Test(commands, answers_in_bf16, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 0, err, "saved output", "run", "--max-steps", "40", "--lr", "2e-3");
    double score[2], loss[2];
    for (int bf16 = 0; bf16 <= 1; bf16++) {
        const char *precision = bf16 ? "bf16" : "fp32";
        outcome o = FTC(dir, "predict", "output", "--json", "--precision", precision, "wonderful");
        cr_assert_eq(o.status, 0, "%s", o.err);
        score[bf16] = last_number(o.out, "score");
        forget(&o);
        o = FTC(dir, "eval", "output", "--test", TEST, "--json", "--precision", precision);
        cr_assert_eq(o.status, 0, "%s", o.err);
        loss[bf16] = last_number(o.out, "eval_loss");
        forget(&o);
    }
    cr_assert(score[0] != score[1] && loss[0] != loss[1]);
    cr_assert_float_eq(score[1], score[0], 0.01);
    cr_assert_float_eq(loss[1], loss[0], 0.01);
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

#if defined(__x86_64__)
// The peak beside an artifact is that of its own vectors, not of the widest that the machine has.
Test(commands, bench_measures_the_peak_of_its_artifact, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "wrote", "compile", FTC_SOURCE_ROOT "/docs/tiny.ir", "--target", "generic", "-o",
               "tiny.ftc");
    ASSERT_FTC(dir, 0, out, "\"vectors\": \"baseline\"", "bench", "tiny.ftc", "--steps", "1", "--json");
    scratch_free(dir);
}
#endif

// Numbers of elements are made up as each batch has them.
Test(commands, verify_makes_up_indices_that_the_batch_has, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "picks.ir",
               "model picks\nconfig { batch = 8 }\naxis B <= batch, N <= 4, H = 2\ninput x : f32[B, "
               "H]\ninput row : i32[N] in B\n"
               "picked = gather(x, B, row) * param \"w\" f32[H] init ones\n"
               "output loss = mean(picked; N, H) as loss\n");
    ASSERT_FTC(dir, 0, out, "compiled", "verify", "picks.ir");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", "picks.ir", "-o", "picks.ftc");
    ASSERT_FTC(dir, 0, out, "step_ms_min", "bench", "picks.ftc", "--batch", "2", "--steps", "2");
    scratch_free(dir);
}

// A model whose inputs are not texts: steps are as large as its bounds, and told in its own terms.
Test(commands, bench_runs_models_without_tokens, .timeout = 240) {
    char *dir = test_directory();
    outcome o = FTC(dir, "bench", FTC_SOURCE_ROOT "/docs/tiny.ir", "--steps", "2", "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cr_expect(strstr(o.out, "\"sizes\": \"B 4, S 32\"") && !strstr(o.out, "tokens"), "%s", o.out);
    cr_expect_gt(last_number(o.out, "executed_gflop"), 0);
    cr_expect_gt(last_number(o.out, "loss"), 0);
    forget(&o);
    ASSERT_FTC(dir, 0, out, "6 rounds in turns, B 4, S 32 a step", "bench", FTC_SOURCE_ROOT "/docs/tiny.ir",
               FTC_SOURCE_ROOT "/docs/tiny.ir", "--steps", "6");
    ASSERT_FTC(dir, 0, out, "tiny: B 3, S ", "verify", FTC_SOURCE_ROOT "/docs/tiny.ir");
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

// What options and files say goes to the entries of the config block that are declared to take it.
Test(commands, entries_of_config_are_found_by_their_roles, .timeout = 240) {
    static const char *const SAVED[] = {"rows = 3 as batch", "most = 12 as max_length",
                                        "way = \"pairs\" as task", "pool = cls as text_pooling"};
    char *dir = test_directory();
    write_file(dir, "pairs.csv", "anchor,positive\none good,two good\nthree bad,four bad\n");
    write_file(dir, "none.ir", "model none axis B <= 4 input x : f32[B] output y = x");
    write_file(dir, "m.ir",
               "model m\nconfig {\n  way = other as task\n  rows = 4 as batch\n  most = 9 as max_length\n"
               "  limit = 12 as longest\n  how = auto as loss\n"
               "  pool = cls as text_pooling\n}\nfamily {\n  model_type = m\n  architecture = A\n"
               "  architecture pairs = P\n}\ncheck how == \"auto\" \"how is {how}\"\n"
               "axis B <= 2 * rows, S ragged B <= most, V = 2000, H = 4, other = B\n"
               "input ids : i32[B, S] in V from tokens\ninput mate : i32[B] from partner\n"
               "x = at(embedding(\"e\", ids; V -> H), S, 0)\ncosine = dot(x, rename(x; B -> other); H)\n"
               "own = sum(select(outer (mate == index(other)), cosine, 0); other)\n"
               "output loss = mean(own; B) as loss, x as embedding\n"
               "train { optimizer = sgd  lr = 0.1  epochs = 1  batch = 2 }\n");
    ASSERT_FTC(dir, 0, err, "takes at most 12 tokens", "run", "m.ir", "--train", "pairs.csv", "--tokenizer",
               TOKENIZER, "--task", "pairs", "--batch", "3", "--max-length", "99", "--output", "saved");
    char *text = read_text(dir, "saved/model.ir"), *config = read_text(dir, "saved/config.json"),
         *pooling = read_text(dir, "saved/1_Pooling/config.json");
    for (size_t i = 0; i < sizeof SAVED / sizeof *SAVED; i++)
        cr_expect(strstr(text, SAVED[i]), "%s: %s", SAVED[i], text);
    cr_expect(strstr(config, "\"P\""), "%s", config);
    cr_expect_not_null(strstr(pooling, "\"pooling_mode_cls_token\":\ttrue"), "%s", pooling);
    ASSERT_FTC(dir, 2, err, "how is focal", "compile", "m.ir", "--loss", "focal");
    ASSERT_FTC(dir, 2, err, "--batch batch=3: the config block has no entry 'batch'", "compile", "none.ir",
               "--batch", "3");
    free(text);
    free(config);
    free(pooling);
    scratch_free(dir);
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

// A model of pairs knows that it is one: where texts stand alone, it is told.
Test(commands, pairs_are_remembered, .timeout = 240) {
    static const char NOTE[] = "learned from pairs of texts, and these stand alone";
    char *dir = test_directory();
    write_file(dir, "pairs.csv", "a,b,label\nthe soup,was good,1\nthe waiter,was rude,0\n");
    write_file(dir, "one.csv", "a,b\nthe soup,was good\n");
    ASSERT_FTC(dir, 0, err, "saved out", "run", MODEL, SMALL, "--train", "pairs.csv", "--text-column", "a",
               "--pair-column", "b", "--max-steps", "1", "--no-report", "--output", "out");
    outcome file =
                FTC(dir, "predict", "out", "--file", "one.csv", "--text-column", "a", "--pair-column", "b"),
            given = FTC(dir, "predict", "out", "--pairs", "the soup", "was good"),
            alone = FTC(dir, "predict", "out", "the soup", "was good");
    cr_assert_eq(file.status, 0, "%s", file.err);
    cr_assert_str_eq(given.out, file.out);
    cr_assert_null(strstr(file.err, NOTE), "%s", file.err);
    cr_assert_null(strstr(given.err, NOTE), "%s", given.err);
    cr_assert_not_null(strstr(alone.err, NOTE), "%s", alone.err);
    forget(&file);
    forget(&given);
    forget(&alone);
    ASSERT_FTC(dir, 0, err, NOTE, "eval", "out", "--test", "pairs.csv", "--text-column", "a");
    ASSERT_FTC(dir, 0, err, NOTE, "predict", "out", "--file", "one.csv", "--text-column", "a");
    ASSERT_FTC(dir, 2, err, "--pairs: the text \"rude\" has no second one: 3 are given", "predict", "out",
               "--pairs", "the soup", "was good", "rude");
    ASSERT_FTC(dir, 2, err, "--pair-column names", "predict", "out", "--pairs", "--file", "one.csv");
    ASSERT_FTC(dir, 0, out, "[CLS] the soup [SEP] was good [SEP]\n", "tokenize", TOKENIZER, "--pairs",
               "the soup", "was good");
    // One that is trained on single texts from there is of these.
    ASSERT_FTC(dir, 0, err, "saved more", "run", MODEL, "--pretrained", "out", "--train", "pairs.csv",
               "--text-column", "a", "--max-steps", "1", "--no-report", "--output", "more");
    outcome more = FTC(dir, "predict", "more", "the soup");
    cr_assert_eq(more.status, 0, "%s", more.err);
    cr_assert_null(strstr(more.err, NOTE), "%s", more.err);
    forget(&more);
    scratch_free(dir);
}
