// Files as people have them, through the command: data without headers, empty texts, classes that the data
// says, artifacts that are run elsewhere, lengths, what predict reads and writes.
#include "tests/small_model.h"

#include <sys/ioctl.h>
#include <sys/stat.h>

#define SHORTLY "--max-steps", "1", "--no-report", "--cache", "none"

// The file of `dir` has the text.
static void expect_in_file(const char *dir, const char *name, const char *part) {
    char *text = read_text(dir, name);
    cr_expect(strstr(text, part), "%s: \"%s\" is not in: %s", name, part, text);
    free(text);
}

Test(files, classes_come_from_the_data, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "polarity.csv", "\"2\",\"good food, good wine\"\n\"1\",\"bad\"\n\"2\",\"\"\n");
    ASSERT_FTC(dir, 0, err, "polarity.csv: no header; text: column 1; label: column 0", "run", MODEL, SMALL,
               SHORTLY, "--train", "polarity.csv", "--text-column", "1", "--label-column", "0", "--output",
               "two");
    expect_in_file(dir, "two/config.json", "\"label2id\":\t{\n\t\t\"1\":\t0,\n\t\t\"2\":\t1\n\t}");
    ASSERT_FTC(dir, 0, err, "  2 of the model's 3 classes occur", "run", MODEL, SMALL, SHORTLY, "--train",
               "polarity.csv", "--text-column", "1", "--label-column", "0", "--set", "labels=3", "--output",
               "three");
    ASSERT_FTC(dir, 0, err, "1 of the 3 examples has no token of a text: its text is empty", "run", MODEL,
               SMALL, SHORTLY, "--train", "polarity.csv", "--text-column", "1", "--label-column", "0",
               "--output", "again");
    write_file(dir, "unclear.csv", "text,label\na,0\nb,-1\nc,1\n");
    ASSERT_FTC(dir, 2, err, "if it is a class, pass --set labels=3", "run", MODEL, SMALL, SHORTLY, "--train",
               "unclear.csv", "--output", "no");
    ASSERT_FTC(dir, 0, err, "unclear.csv: 1 row is left out", "run", MODEL, SMALL, SHORTLY, "--train",
               "unclear.csv", "--output", "yes", "--missing-label", "-1", "--skip-bad-rows");
    scratch_free(dir);
}

// What is asked of the data before the training (task, classes, their weights) and the training itself read
// the file by one descriptor, so that it may be a pipe.
Test(files, training_data_are_decoded_once, .timeout = 240) {
    static const char ROWS[] = "text,label\ngood,1\nbad,2\ngood,1\n";
    char *dir = test_directory(), *path = ftc_path_join(dir, "rows.csv");
    cr_assert_eq(mkfifo(path, 0600), 0);
    const char *const args[] = {"run",     MODEL,      SMALL, "--class-weights", "balanced", SHORTLY,
                                "--train", "rows.csv", NULL};
    int fd = open(path, O_RDWR | O_CLOEXEC); // the writer is there before the reader
    cr_assert_eq(write(fd, ROWS, sizeof ROWS - 1), (ssize_t)sizeof ROWS - 1);
    pid_t pid = start(dir, args);
    for (int left = 1; left; usleep(1000)) ioctl(fd, FIONREAD, &left);
    close(fd);
    outcome o = finish(dir, pid);
    cr_expect_eq(o.status, 0, "%s", o.err);
    cr_expect(strstr(o.err, "labels: 1 → 0, 2 → 1"), "%s", o.err);
    forget(&o);
    ASSERT_FTC(dir, 2, err, "--train and --test are both standard input", "run", MODEL, SMALL, SHORTLY,
               "--train", "-", "--test", "-");
    free(path);
    scratch_free(dir);
}

// An artifact knows its data and tokenizer from the root; what a run cuts texts to, its tokenizer says.
Test(files, artifacts_run_in_any_folder, .timeout = 240) {
    char *dir = test_directory(), *other = test_directory(), *artifact = ftc_path_join(dir, "small.ftc");
    char *tokenizer = ftc_path_join(dir, "tokenizer"),
         *text = read_text(FTC_SOURCE_ROOT, "models/data/tokenizer/vocab.txt");
    ASSERT_OK(ftc_dir_make(tokenizer));
    write_file(tokenizer, "vocab.txt", text);
    write_file(tokenizer, "tokenizer_config.json", "{\"model_max_length\": 16}\n"); // asked for more below
    write_file(dir, "rows.csv", "text,label\ngood,1\nbad,2\n");
    free(text);
    char *base = ftc_path_join(dir, "bert-cls.ir");
    ASSERT_OK(ftc_file_copy(MODEL, base));
    write_file(dir, "own.ir",
               "use \"bert-cls.ir\"\n"
               "train { data = \"rows.csv\" tokenizer = \"tokenizer\" test = \"rows.csv\" }\n");
    ASSERT_FTC(dir, 0, err, "--max-length 600: the model has positions for 128 tokens", "compile", "own.ir",
               SMALL, "-o", "small.ftc", "--max-length", "600", "--set", "labels=2");
    ASSERT_FTC(other, 0, err, "labels: 1 → 0, 2 → 1", "run", artifact, SHORTLY, "--max-length", "48",
               "--output", "out");
    expect_in_file(other, "out/tokenizer_config.json", "\"model_max_length\":\t48");
    // What is asked for goes before that limit, but not beyond the model's.
    static const char *const LENGTHS[] = {"48", "90", "300"};
    static char longest[600];
    for (int i = 0; i < 100; i++) strcat(longest, "good ");
    outcome own = FTC(other, "predict", "out", "--json", longest);
    for (int i = 0; i < 3; i++) {
        outcome o = FTC(other, "predict", "out", "--json", "--max-length", LENGTHS[i], longest);
        bool is_told = strstr(o.err, "--max-length 300: the model bert_cls takes at most 128 tokens");
        cr_expect_eq(is_told, i == 2, "%s", o.err);
        cr_expect_eq(strcmp(o.out, own.out) == 0, i == 0, "%s", o.out);
        forget(&o);
    }
    forget(&own);
    free(base);
    free(tokenizer);
    free(artifact);
    scratch_free(other);
    scratch_free(dir);
}

// One answer a row, empty texts too; with --csv every column of the file behind it, as it was.
Test(files, predict_answers_every_row, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "train.csv", "text,label\ngood,yes\nbad,\"n,o\"\n");
    ASSERT_FTC(dir, 0, err, "labels: n,o → 0, yes → 1", "run", MODEL, SMALL, SHORTLY, "--train", "train.csv",
               "--output", "out", "--tokenizer", FTC_SOURCE_ROOT "/models/data/tokenizer", "--test",
               "train.csv");
    write_file(dir, "rows.csv", "id,review,label\n7,\"a, \"\"b\"\"\",x\n8,,\n9,\"two\nlines\",z\n");
    outcome o =
        FTC(dir, "predict", "out", "--file", "rows.csv", "--text-column", "review", "--csv", "--top-k", "2");
    cr_assert_eq(o.status, 0, "%s", o.err);
    static const char *const PARTS[] = {"row,predicted_label,score,label_2,score_2,id,review,label\n0,",
                                        ",7,\"a, \"\"b\"\"\",x\n1,", ",8,,\n2,", ",9,\"two\nlines\",z\n",
                                        "\"n,o\",0."};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) cr_expect(strstr(o.out, PARTS[i]), "%s", o.out);
    forget(&o);
    ASSERT_FTC(dir, 2, err, "--threshold is for several labels a text", "predict", "out", "--threshold",
               "0.9", "good");
    write_file(dir, "one.csv", "text\n\"\"\nhello\n");
    o = FTC(dir, "predict", "out", "--file", "one.csv", "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    const char *second = strchr(o.out, '\n');
    cr_expect(second && strchr(second + 1, '\n') && strstr(o.out, "\"probabilities\": [0."), "%s", o.out);
    forget(&o);
    write_file(dir, "lines.txt", "\nhello\n\n");
    o = FTC(dir, "predict", "out", "--file", "lines.txt", "--csv");
    cr_expect(strstr(o.out, "\n0,") && strstr(o.out, "\n2,") && !strstr(o.out, "\n3,"), "%s%s", o.out, o.err);
    forget(&o);
    ASSERT_FTC(dir, 2, err, "give one", "predict", "out", "a", "--json", "--csv");
    scratch_free(dir);
}
