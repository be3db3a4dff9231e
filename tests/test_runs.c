// How runs begin, are interrupted and go on, and where their results go.
#include "tests/small_model.h"

#include <sys/stat.h>

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

Test(runs, sigterm_leaves_a_checkpoint_and_resume_is_bitwise, .timeout = 240) {
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

// A signal before there is anything to save: the folder is the next run's as if nothing had been there.
Test(runs, a_run_killed_before_its_first_step_leaves_the_folder_to_the_next, .timeout = 240) {
    char *dir = test_directory();
    static const char *const EARLY[] = {"run", MODEL, SMALL, "--max-steps", "1", "--output", "early", NULL};
    pid_t pid = start(dir, EARLY);
    wait_for(dir, "early/.ftc-run");
    cr_assert_eq(kill(pid, SIGKILL), 0);
    outcome o = finish(dir, pid);
    cr_assert(o.status == 128 + SIGKILL && count_files(dir, "early") == 0, "status %d\n%s", o.status, o.err);
    forget(&o);
    ASSERT_FTC(dir, 2, err, "early: has no checkpoint to resume from", "run", MODEL, SMALL, "--max-steps",
               "1", "--output", "early", "--resume");
    ASSERT_FTC(dir, 2, err, "config.json", "predict", "early", "a text");
    cr_assert(exists(dir, "early/.ftc-run"));
    ASSERT_FTC(dir, 0, err, "saved early", "run", MODEL, SMALL, "--max-steps", "1", "--output", "early");
    scratch_free(dir);
}

// Results go where the user says: not into what another run or another program has written, and not where a
// model's text says.
Test(runs, results_go_only_where_the_user_says, .timeout = 240) {
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
Test(runs, texts_are_shown_and_foreign_code_is_named, .timeout = 240) {
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
Test(runs, lost_listeners_cost_no_training, .timeout = 240) {
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
Test(runs, own_optimizers_are_saved_and_resumed, .timeout = 240) {
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
Test(runs, two_signals_end_at_once, .timeout = 240) {
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
