// What the ftc command refuses: it says what and where, ends with status 2, and leaves nothing behind.
#include "tests/small_model.h"

#include <sys/stat.h>

Test(refused, wrong_usage, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 2, err, "did you mean compile?", "compil", "x");
    ASSERT_FTC(dir, 2, err, "did you mean --epochs?", "run", MODEL, "--epoch", "3");
    ASSERT_FTC(dir, 2, err, "did you mean --learning_rate", "run", MODEL, "--learning_rat", "3");
    ASSERT_FTC(dir, 2, err, "--lr x: expected a number", "run", MODEL, "--lr", "x");
    ASSERT_FTC(dir, 2, err, "--lr 1e400: expected a number that 64 bits hold", "run", MODEL, "--lr", "1e400");
    ASSERT_FTC(dir, 2, err, "--max-grad-norm 1e-400: expected a number that 64 bits hold", "run", MODEL,
               "--max-grad-norm", "1e-400");
    ASSERT_FTC(dir, 2, err, "--max-grad-norm 1e-60: expected 0, or at least 1.4e-45", "run", MODEL,
               "--max-grad-norm", "1e-60");
    ASSERT_FTC(dir, 2, err, "1e-400", "run", MODEL, "--set", "dropout=1e-400");
    ASSERT_FTC(dir, 2, err, "expected lr=FACTORx", "compile", MODEL, SMALL, "--group", "*: lr=1e-400x");
    ASSERT_FTC(dir, 2, err, "--dump-after is for artifacts, and --emit writes a text alone", "compile", MODEL,
               "--emit", "ir", "--dump-after", "cse");
    ASSERT_FTC(dir, 2, err, "--dump-dir d: which dumps? name --dump-after PASS", "compile", MODEL,
               "--dump-dir", "d");
    ASSERT_FTC(dir, 2, err, "--batch 0: expected at least 1", "run", MODEL, "--batch", "0");
    ASSERT_FTC(dir, 2, err, "--schedule line: expected linear|", "run", MODEL, "--schedule", "line");
    ASSERT_FTC(dir, 2, err, "--lr needs a value", "run", MODEL, "--lr");
    ASSERT_FTC(dir, 2, err, "there is no .ftc in this folder", "run");
    ASSERT_FTC(dir, 2, err, "hiden", "run", MODEL, "--set", "hiden=3");
    ASSERT_FTC(dir, 2, err, "expected NAME=VALUE", "run", MODEL, "--set", "hidden");
    ASSERT_FTC(dir, 2, err, "--dropout 1: expected less than 1", "run", MODEL, "--dropout", "1", SMALL);
    ASSERT_FTC(dir, 2, err, "--beta1 1: expected less than 1", "run", MODEL, "--beta1", "1", SMALL);
    ASSERT_FTC(dir, 2, err, "--train is given twice, at last with b.csv: one file is read", "run", MODEL,
               "--train", "a.csv", "--data=b.csv");
    ASSERT_FTC(dir, 2, err, "--file is given twice", "tokenize", TOKENIZER, "--file", TEST, "--file", TRAIN);
    ASSERT_FTC(dir, 2, err, "give one", "run", MODEL, "--test", TEST, "--split-test", "3");
    ASSERT_FTC(dir, 2, err, "--split-test 1.5: expected a number of rows, or a fraction below 1", "run",
               MODEL, "--train", TRAIN, "--split-test", "1.5");
    ASSERT_FTC(dir, 2, err, "--test", "run", MODEL, "--train", TRAIN, "--load-best-model-at-end");
    scratch_free(dir);
}

// What is said of test rows where there are none; the model's train block may say it.
Test(refused, evaluations_without_test_rows, .timeout = 240) {
    char *dir = test_directory();
    static const char *const EVALUATES[][2] = {{"--eval-strategy", "epoch"},
                                               {"--eval_strategy", "steps"},
                                               {"--eval-steps", "5"},
                                               {"--eval-delay", "1"}};
    for (size_t i = 0; i < sizeof EVALUATES / sizeof *EVALUATES; i++)
        ASSERT_FTC(dir, 2, err, ": there are no test rows to evaluate on; give --test FILE or --split-test N",
                   "run", MODEL, "--train", TRAIN, EVALUATES[i][0], EVALUATES[i][1]);
    ASSERT_FTC(dir, 2, err, "--eval-on-start: there are no test rows", "run", MODEL, "--train", TRAIN,
               "--eval-on-start", "--eval-strategy=no");
    ASSERT_FTC(dir, 2, err, "--select-test takes the first rows of a file of test rows: give --test FILE\n",
               "run", MODEL, "--train", TRAIN, "--select-test", "5");
    ASSERT_FTC(dir, 2, err, "; --split-test N says itself how many there are\n", "run", MODEL, "--train",
               TRAIN, "--select-test", "5", "--split-test", "10");
    ASSERT_FTC(dir, 2, err, "none.csv", "run", MODEL, "--train", "none.csv", "--eval-strategy", "no",
               "--eval-steps", "5", "--eval-on-start=false");
    scratch_free(dir);
}

Test(refused, what_nothing_reads_is_told_of, .timeout = 240) {
    char *dir = test_directory();
    static const char *const UNREAD[][4] = {
        {"--eval-steps", "5", "--eval-strategy=epoch",
         "--eval-steps changes nothing without --eval-strategy steps"},
        {"--eval-delay", "1", "--eval-strategy=no", "--eval-delay changes nothing without --eval-strategy "},
        {"--save-steps", "5", "--save-strategy=epoch",
         "--save-steps changes nothing without --save-strategy steps"},
        {"--logging-steps", "5", "--logging-strategy=epoch",
         "--logging-steps changes nothing without --logging-s"},
        {"--early-stopping-threshold", "1", "--eval-strategy=epoch",
         "--early-stopping-threshold changes nothing "}};
    for (size_t i = 0; i < sizeof UNREAD / sizeof *UNREAD; i++)
        ASSERT_FTC(dir, 2, err, UNREAD[i][3], "run", MODEL, "--train", "none.csv", "--split-test", "5",
                   UNREAD[i][0], UNREAD[i][1], UNREAD[i][2]);
    scratch_free(dir);
}

Test(refused, passes_out_of_their_order, .timeout = 240) {
    char *dir = test_directory();
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

Test(refused, bad_files, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 2, err, "none.csv", "run", "--train", "none.csv");
    write_file(dir, "no-column.csv", "a,b\n1,2\n");
    ASSERT_FTC(dir, 2, err, "no-column.csv", "run", "--train", "no-column.csv");
    write_file(dir, "labels.csv", "label,text\n0,a\n1,b\n7,c\n8,d\n9,e\n10,f\n");
    ASSERT_FTC(dir, 2, err, "labels.csv", "run", "--train", "labels.csv");
    ASSERT_FTC(dir, 2, err,
               "--label-all-tokens changes nothing: the model bert_cls finds no labels of tokens", "run",
               "--train", "labels.csv", "--label-all-tokens");
    ASSERT_FTC(dir, 2, err, "--mlm-probability changes nothing: the model bert_cls predicts no masked tokens",
               "run", "--train", "labels.csv", "--mlm-probability", "0.2");
    write_file(dir, "utf8.csv", "label,text\n0,\xff\xfe\n");
    ASSERT_FTC(dir, 2, err, "utf8.csv", "run", "--train", "utf8.csv");
    ASSERT_FTC(dir, 2, err, "each file of rows stands behind an option of its own", "run", "--pretrained",
               ".", "--train", "labels.csv", "utf8.csv");
    write_file(dir, "three.csv", "label,text\n0,a\n1,b\n2,c\n");
    ASSERT_FTC(dir, 2, err, "--split-test 100: three.csv: 100 rows were asked for, but there are 3", "run",
               "--train", "three.csv", "--split-test", "100");
    ASSERT_FTC(dir, 2, err, "--split-test 0.99: three.csv: 3 rows were asked for", "run", "--train",
               "three.csv", "--split-test", "0.99");
    ASSERT_FTC(dir, 2, err, "--select-train 4: three.csv: 4 rows were asked for", "run", "--train",
               "three.csv", "--select-train", "4");
    ASSERT_FTC(dir, 2, err,
               "--select-train 2: --split-test 2: three.csv: 2 rows for training and 2 for testing", "run",
               "--train", "three.csv", "--select-train", "2", "--split-test", "2");
    ASSERT_FTC(dir, 2, err, "--select-test 4: three.csv: 4 rows were asked for", "run", "--train",
               "three.csv", "--test", "three.csv", "--select-test", "4");
    cr_assert_not(exists(dir, "output"));
    scratch_free(dir);
}

Test(refused, bad_settings, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    write_file(dir, "args.json", "{\"learning_rat\": 1}");
    ASSERT_FTC(dir, 2, err, "did you mean \"learning_rate\"?", "run", "--args", "args.json");
    write_file(dir, "args.json", "{\"eval_strategy\": \"epoch\"}");
    ASSERT_FTC(dir, 2, err, "eval_strategy needs data", "run", "--args", "args.json", "--train", TRAIN);
    write_file(dir, "args.json", "{\"eval_on_start\": true}");
    ASSERT_FTC(dir, 2, err, "args.json: eval_on_start needs data", "run", "--args", "args.json", "--train",
               TRAIN);
    write_file(dir, "args.json", "{");
    ASSERT_FTC(dir, 2, err, "not valid JSON", "run", "--args", "args.json");
    write_file(dir, "broken.ftc", "no artifact");
    ASSERT_FTC(dir, 2, err, "broken.ftc: error: not an artifact, which", "run", "broken.ftc");
    ASSERT_FTC(dir, 2, err, "config.json", "predict", ".", "a text");
    ASSERT_FTC(dir, 2, err, "no text is given", "tokenize", TOKENIZER);
    ASSERT_FTC(dir, 2, err, "MB of memory", "run", MODEL, "--set", "vocab=200000000");
    cr_assert_not(exists(dir, "output"));
    scratch_free(dir);
}

// Before anything is read or compiled.
Test(refused, places_where_nothing_can_be_written, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    write_file(dir, "labels.csv", "label,text\n0,a\n");
    ASSERT_FTC(dir, 2, err, "none/m.jsonl: cannot write the metrics: No such file", "run", "small.ftc",
               "--metrics", "none/m.jsonl", "--train", "nowhere.csv");
    ASSERT_FTC(dir, 2, err, "labels.csv: the file has something else in it", "run", "small.ftc", "--metrics",
               "labels.csv", "--train", "nowhere.csv");
    ASSERT_FTC(dir, 2, err, "--logging-dir labels.csv/x: cannot write there: Not a directory", "run",
               "small.ftc", "--report-to", "tensorboard", "--logging-dir", "labels.csv/x", "--train",
               "nowhere.csv");
    ASSERT_FTC(dir, 2, err, "nowhere.csv", "run", "small.ftc", "--metrics", "output/m.jsonl", "--train",
               "nowhere.csv");
    ASSERT_FTC(dir, 2, err, "none/x.ftc: error: cannot write there: No such file", "compile", "nowhere.ir",
               "-o", "none/x.ftc");
    ASSERT_FTC(dir, 2, err, ".: error: cannot write there: Is a directory", "compile", "nowhere.ir", "-o",
               ".");
    ASSERT_FTC(dir, 2, err, "none/x.ll: error: cannot write there", "compile", "nowhere.ir", "--emit", "llvm",
               "-o", "none/x.ll");
    char *taken = test_join(dir, "nowhere.ftc");
    cr_assert_eq(mkdir(taken, 0777), 0);
    free(taken);
    ASSERT_FTC(dir, 2, err, "nowhere.ftc: error: cannot write there: Is a directory", "compile",
               "nowhere.ir");
    ASSERT_FTC(dir, 2, err, "none/x.html: cannot write there", "view", "nowhere.ftc", "-o", "none/x.html");
    ASSERT_FTC(dir, 2, err, "--dump-grads none/g: cannot write there", "verify", "nowhere.ir", "--dump-grads",
               "none/g");
    cr_assert_not(exists(dir, "output"));
    scratch_free(dir);
}

// Before any data is read.
Test(refused, what_cannot_be_gone_on_from, .timeout = 240) {
    char *dir = test_directory();
    compile_small(dir);
    ASSERT_FTC(dir, 2, err, "has no checkpoint to resume from", "run", "small.ftc", "--resume", "--train",
               "nowhere.csv");
    ASSERT_FTC(dir, 2, err, "nowhere: is no checkpoint", "run", "small.ftc", "--resume-from-checkpoint",
               "nowhere", "--train", "nowhere.csv");
    ASSERT_FTC(dir, 2, err, "small.ftc is a file; name the directory", "predict", "small.ftc", "a text");
    ASSERT_FTC(dir, 2, err, "small.ftc is a file; name the directory", "eval", "small.ftc", "--test", TEST);
    ASSERT_FTC(dir, 2, err, "small.ftc is a file; name the directory", "compile", "--pretrained",
               "small.ftc");
    ASSERT_FTC(dir, 2, err, "--lora-rank: the model has no adapters", "run", MODEL, "--lora-rank", "4");
    ASSERT_FTC(dir, 2, err, "from 1 to 4096 can be had", "run", "small.ftc", "--threads", "5000");
    cr_assert_not(exists(dir, "output"));
    scratch_free(dir);
}

// Messages come in one piece, however many faults they tell, since several processes may tell theirs at once:
// in a pipe of packets each write is one.
Test(refused, messages_are_written_at_once) {
    char *dir = test_directory(), *line, packet[4096];
    int ends[2];
    write_file(
        dir, "faults.ir",
        "model faults\naxis B <= 4\ninput x : f32[B]\na = nothing1\nb = nothing2\noutput loss = sum(x; B)\n");
    cr_assert_eq(pipe2(ends, O_DIRECT), 0);
    if (asprintf(&line, FTC_COMMAND " compile '%s/faults.ir'", dir) < 0) abort();
    int kept = dup(2);
    dup2(ends[1], 2);
    int status = system(line);
    dup2(kept, 2);
    close(kept);
    close(ends[1]);
    cr_assert_eq(WEXITSTATUS(status), 2);
    ssize_t n = read(ends[0], packet, sizeof packet - 1);
    cr_assert_gt(n, 0);
    packet[n] = '\0';
    cr_expect(strstr(packet, "faults.ir:4:5: error: ") && strstr(packet, "'nothing2'"), "%s", packet);
    cr_expect_eq(read(ends[0], packet, sizeof packet), 0);
    close(ends[0]);
    free(line);
    scratch_free(dir);
}

// Where there is no room, nothing half-written stays.
Test(refused, full_disks, .timeout = 240) {
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
    // Which is also told at once, of a run that may not get to its end.
    ASSERT_FTC(dir, 2, err, "(No space left on device); the training goes on", "run", MODEL, SMALL,
               "--max-steps", "1", "--metrics", "/dev/full", "--overwrite");
    scratch_free(dir);
}

// Weights of another shape, and a file that is cut off.
Test(refused, bad_weights, .timeout = 240) {
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
    ASSERT_FTC(dir, 2, err, "is it complete?", "compile", MODEL, "--pretrained", "output");
    ASSERT_OK(ftc_file_write(weights, text, bytes)); // and a tokenizer that no run could take
    write_file(dir, "output/vocab.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    ASSERT_FTC(dir, 2, err, "vocab.txt: the file is a Git LFS pointer", "compile", MODEL, "--pretrained",
               "output");
    free(text);
    free(weights);
    scratch_free(dir);
}

// bf16 keeps fewer bits than f32, and is compared accordingly.
Test(refused, verify_in_either_precision, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "(at most 1e-05)", "verify", MODEL, SMALL);
    ASSERT_FTC(dir, 0, out, "compiled: loss ", "verify", MODEL, SMALL, "--precision", "bf16");
    scratch_free(dir);
}

// Where the values that verify makes up mean nothing to the model, it says so.
Test(refused, verify_of_a_loss_that_is_not_finite, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "m.ir",
               "model m\naxis B <= 3\naxis C = 4\ninput x : f32[B, C]\nw = param \"w\" f32[C]\n"
               "output loss = log(0 * sum(x * w; B, C))\n");
    ASSERT_FTC(dir, 1, err, "the loss of these values is -inf, so that nothing can be compared", "verify",
               "m.ir");
    scratch_free(dir);
}

// Every length that has room for the special tokens; and verify's own batch for what reads no tokens at all.
Test(refused, any_length_and_none, .timeout = 240) {
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
    ASSERT_FTC(dir, 0, out, "none: B 3", "verify", "none.ir");
    ASSERT_FTC(dir, 2, err, "no room for the 2 special tokens", "run", "short.ir", "--train", "t.csv",
               "--tokenizer", TOKENIZER);
    ASSERT_FTC(dir, 0, err, "saved", "run", "short.ir", "--train", "t.csv", "--tokenizer", TOKENIZER, "--set",
               "max_length=2");
    scratch_free(dir);
}

// A table that is smaller than the texts have tokens: training ends with what there is, verify compares all
// the same.
Test(refused, an_index_outside_of_its_table_is_exit_2, .timeout = 240) {
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
Test(refused, other_problems_are_refused, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "config.json", "{\"problem_type\": \"multi_label_classification\"}");
    write_file(dir, "one.ir",
               "model one config { loss = auto labels = 2 \"num_labels\" }\naxis B <= 4, C = labels\n"
               "input label : i32[B] in C from label\nx = outer (param \"p\" f32[C] + fill(0; B))\n"
               "output loss = mean(cross_entropy(x, label; C); B) as loss, x as scores over C\n");
    ASSERT_FTC(dir, 2, err, "which gives a text several classes", "compile", "one.ir", "--pretrained", ".");
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
Test(refused, tasks_come_from_options_and_directories, .timeout = 240) {
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

// Of sentence pairs, what they have not; their folder is one of sentence-transformers until another model
// Of one class there is nothing to learn: with one label a model predicts a number.
Test(refused, losses_of_classes_for_one_label) {
    static const char *const LOSSES[] = {"cross_entropy", "focal"};
    char *dir = test_directory();
    for (int i = 0; i < 2; i++)
        ASSERT_FTC(dir, 2, err, "is for two classes or more", "compile", MODEL, SMALL, "--set", "labels=1",
                   "--loss", LOSSES[i]);
    scratch_free(dir);
}

// lies in it.
Test(refused, what_pairs_do_not_have, .timeout = 240) {
    static const struct {
        const char *why, *option, *value;
    } CASES[] = {
        {"which have no label", "--label-column", "label"},
        {"does not take several labels", "--label-columns", "label"},
        {"labels are no classes", "--class-weights", "balanced"},
        {"is not known for pairs", "--loss", "bce"},
        {"has no label smoothing", "--label-smoothing", "0.1"},
        {"must be more than 0", "--set", "scale=0"},
        {"text_pooling 'max' is not known", "--set", "text_pooling=max"},
    };
    char *dir = test_directory();
    write_file(dir, "pairs.csv", "anchor,positive,label\none good,two good,1\nthree bad,four bad,0\n");
    write_file(dir, "columns.ir",
               "model columns config { task = pairs }\naxis B <= 4, V = 2000\naxis S ragged B <= 9\n"
               "input ids : i32[B, S] in V from tokens\ninput mate : i32[B] from partner\n"
               "input more : f32[B] from column \"label\"\nw = param \"w\" f32[V]\n"
               "output loss = mean(sum(gather(w, V, ids); S) * more; B)\n"
               "train { optimizer = sgd  lr = 0.1  epochs = 1  batch = 2 }\n");
    ASSERT_FTC(dir, 2, err, "no row of a file can feed the input \"more\"", "run", "columns.ir", "--train",
               "pairs.csv", "--tokenizer", TOKENIZER);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        ASSERT_FTC(dir, 2, err, CASES[i].why, "run", MODEL, SMALL, "--set", "task=pairs", "--train",
                   "pairs.csv", "--tokenizer", TOKENIZER, CASES[i].option, CASES[i].value);
    for (int i = 0; i < 2; i++) // twice: into the folder of the first
        ASSERT_FTC(dir, 0, err, "saved", "run", MODEL, SMALL, "--set", "task=pairs", "--train", "pairs.csv",
                   "--tokenizer", TOKENIZER, "--output", "saved");
    char *modules = read_text(dir, "saved/modules.json");
    cr_expect(strstr(modules, "\"1_Pooling\""), "%s", modules);
    free(modules);
    ASSERT_FTC(dir, 2, err, "says how near two texts are", "predict", "saved", "one");
    ASSERT_FTC(dir, 2, err, "--top-k is for classes", "predict", "saved", "one", "two", "--top-k", "2");
    ASSERT_FTC(dir, 2, err, "--embeddings are JSON", "predict", "saved", "one", "--embeddings", "--csv");
    ASSERT_FTC(dir, 0, err, "saved", "run", MODEL, SMALL, "--train", TRAIN, "--max-steps", "1", "--tokenizer",
               TOKENIZER, "--output", "saved");
    ASSERT_FTC(dir, 2, err, "is none for pairs", "predict", "saved", "one", "--embeddings");
    char *path = ftc_path_join(dir, "saved/modules.json");
    cr_expect_not(ftc_file_exists(path));
    free(path);
    scratch_free(dir);
}

Test(refused, a_loss_that_is_not_finite_is_exit_1, .timeout = 240) {
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
    cr_expect_null(strstr(text, "\\n"), "a line end is shown as its escape: %s", text);
    free(text);
    scratch_free(dir);
}

// A model that gives an entry nothing to do says so, instead of naming a pass.
Test(refused, models_without_work_are_refused) {
    static const char HEAD[] = "model m\naxis B <= 3\ninput x : f32[B]\n";
    static const char *const BODIES[][2] = {
        {"output loss = sum(x; B)\n", "in the entry update: the model has no parameter that is trained"},
        {"w = param \"w\" f32[]\noutput loss = sum(x * w; B) entries(step, grad)\n",
         "in the entry eval: no output is given there"},
        {"w = param \"w\" f32[]\noutput loss = sum(select(w * x > 0, x, 0); B)\n",
         "m.ir:5: error: the loss depends on no parameter that is trained"},
        {"w = param \"w\" i32[]\noutput loss = sum(x * cast(w, f32); B)\n",
         "m.ir:4:1: error: parameter w is i32, and only f32 is trained; declare it frozen, or as f32"},
    };
    char *dir = test_directory(), text[400];
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s%s", HEAD, BODIES[i][0]);
        write_file(dir, "m.ir", text);
        ASSERT_FTC(dir, 2, err, BODIES[i][1], "compile", "m.ir");
    }
    scratch_free(dir);
}
