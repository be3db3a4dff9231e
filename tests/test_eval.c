// What evaluations tell: of fifty classes with long names, of the command, the card and the report.
#include "ir/base/alloc.h"
#include "tests/small_model.h"

enum { CLASSES = 50 };

// Names of one length in columns; the last has a letter of two bytes.
static void class_name(int k, char name[static 80]) {
    snprintf(name, 80, "%s %02d, as %s as names of classes get", k == CLASSES - 1 ? "catégorie" : "category ",
             k, k % 2 ? "long" : "wide");
}

static char *write_classes(const char *dir) {
    char *text, *path;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    fputs("text,label\n", out);
    for (int i = 0; i < 3 * CLASSES; i++) {
        char name[80];
        class_name(i % CLASSES, name);
        fprintf(out, "text number %d of them,\"%s\"\n", i, name);
    }
    fclose(out);
    path = test_write(dir, "many.csv", text, bytes);
    free(text);
    return path;
}

// The table of ftc eval: under its heading a line for each class and two for the means, all as wide.
static void check_table(const char *printed) {
    const char *line = strstr(printed, "\nclass ");
    cr_assert_not_null(line, "no table in %s", printed);
    line++;
    size_t wide = strcspn(line, "\n");
    for (int row = 0; row < CLASSES + 2; row++) {
        line = strchr(line, '\n') + 1;
        char name[80];
        class_name(row, name);
        const char *expected = row == CLASSES ? "mean of classes" : row > CLASSES ? "mean of examples" : name;
        cr_assert_eq(strncmp(line, expected, strnlen(expected, 16)), 0, "%.40s, not %s", line, expected);
        cr_assert_eq(strcspn(line, "\n"), wide + (row == CLASSES - 1), "%.80s", line); // é has two bytes
    }
}

static void check_json(const char *text) {
    cJSON *json = cJSON_Parse(text);
    const cJSON *one, *classes = cJSON_GetObjectItem(json, "eval_classes"),
                      *matrix = cJSON_GetObjectItem(json, "eval_confusion_matrix");
    int k = 0;
    cJSON_ArrayForEach(one, classes) {
        const cJSON *row = cJSON_GetArrayItem(matrix, k);
        double support = 0, hits = cJSON_GetArrayItem(row, k)->valuedouble;
        const cJSON *cell;
        cJSON_ArrayForEach(cell, row) support += cell->valuedouble;
        cr_assert_eq(cJSON_GetObjectItem(one, "support")->valuedouble, support);
        cr_assert_float_eq(cJSON_GetObjectItem(one, "recall")->valuedouble, hits / support, 1e-8);
        char name[80];
        class_name(k++, name);
        cr_assert_str_eq(cJSON_GetObjectItem(one, "label")->valuestring, name);
    }
    cr_assert_eq(k, CLASSES);
    double area = cJSON_GetObjectItem(json, "eval_roc_auc")->valuedouble;
    cr_assert(area > 0 && area < 1, "%g", area);
    cJSON_Delete(json);
}

Test(eval, fifty_classes_have_a_table, .timeout = 240) {
    char *dir = test_directory(), *data = write_classes(dir);
    ASSERT_FTC(dir, 0, err, "report: ", "run", MODEL, SMALL, "--train", data, "--test", data, "--max-steps",
               "8", "--output", "out");
    outcome o = FTC(dir, "eval", "out", "--test", data);
    cr_assert_eq(o.status, 0, "%s", o.err);
    check_table(o.out);
    forget(&o);
    o = FTC(dir, "eval", "out", "--test", data, "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    check_json(o.out);
    forget(&o);
    char *card = read_text(dir, "out/README.md"), *report = read_text(dir, "out/report.html"), name[80];
    for (int k = 0; k < CLASSES; k++) {
        class_name(k, name);
        char *row = ftc_format("\n| %s | ", name);
        cr_assert(strstr(card, row), "%s is not in the card", row);
        cr_assert(strstr(report, name), "%s is not in the report", name);
        free(row);
    }
    // No page has room for the matrix.
    cr_assert_null(strstr(report, "Confusion matrix"));
    cr_assert(strstr(report, "What is most often taken for what"));
    free(card);
    free(report);
    free(data);
    scratch_free(dir);
}

// Of a file the rows that ftc run takes by the same options.
Test(eval, takes_the_first_rows, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, err, "saved out", "run", MODEL, SMALL, "--train", TRAIN, "--test", TEST,
               "--select-test", "20", "--shuffle-seed", "7", "--max-steps", "20", "--no-report", "--output",
               "out", "--metrics", "m.jsonl");
    double trained = metric(dir, "eval_loss"), loss[2];
    for (int shuffled = 0; shuffled <= 1; shuffled++) {
        outcome o = FTC(dir, "eval", "out", "--test", TEST, "--json", "--select-test", "20", "--shuffle-seed",
                        shuffled ? "7" : "8");
        cr_assert_eq(o.status, 0, "%s", o.err);
        cr_expect_eq(last_number(o.out, "eval_samples"), 20);
        loss[shuffled] = last_number(o.out, "eval_loss");
        forget(&o);
    }
    cr_expect_float_eq(loss[1], trained, 1e-4);
    cr_expect(fabs(loss[0] - trained) > 1e-4);
    ASSERT_FTC(dir, 2, err, "--select-test 100000: ", "eval", "out", "--test", TEST, "--select-test",
               "100000");
    write_file(dir, "none.csv", "text,label\n");
    ASSERT_FTC(dir, 2, err, "none.csv", "eval", "out", "--test", "none.csv");
    scratch_free(dir);
}

// Names that are numbers, too: which label is which class nobody could tell otherwise.
Test(eval, tells_which_label_is_which_class, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "stars.csv", "text,label\na,1\nb,2\nc,3\n");
    write_file(dir, "names.csv", "text,label\na,1\nb,2\n");
    write_file(dir, "ids.csv", "text,label\na,0\nb,2\n");
    ASSERT_FTC(dir, 0, err, "saved out", "run", MODEL, SMALL, "--train", "stars.csv", "--max-steps", "1",
               "--no-report", "--output", "out");
    ASSERT_FTC(dir, 0, err, "labels: 1 → 0, 2 → 1, 3 → 2\n", "eval", "out", "--test", "names.csv");
    ASSERT_FTC(dir, 0, err, "labels: 0 → 0, 1 → 1, 2 → 2\n", "eval", "out", "--test", "ids.csv", "--json");
    scratch_free(dir);
}
