// From label columns to class ids and numbers.
#include "runtime/files.h"
#include "runtime/data/labels.h"
#include "tests/paths.h"

#include <string.h>

static char *directory;

static void make_directory(void) {
    directory = test_directory();
}

static void remove_directory(void) {
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}

TestSuite(labels, .init = make_directory, .fini = remove_directory);

// A table, in a file of this name, whose rows have these labels (separated by blanks).
static ftc_table *table_named(const char *name, const char *labels) {
    char *data = NULL, *copy = strdup(labels);
    size_t size = 0;
    FILE *out = open_memstream(&data, &size);
    fprintf(out, "text,label\n");
    for (char *label = strtok(copy, " "); label; label = strtok(NULL, " ")) fprintf(out, "t,%s\n", label);
    fclose(out);
    char *path = test_write(directory, name, data, size);
    ftc_table *table = NULL;
    cr_assert_eq(ftc_table_open(path, &(ftc_table_options){0}, &table).code, FTC_OK);
    free(path);
    free(data);
    free(copy);
    return table;
}

static ftc_table *table_of(const char *labels) {
    return table_named("labels.csv", labels);
}

static void expect_mapping(const char *data, int count, const char *const *id2label, bool may_sort,
                           ftc_labels_kind kind, const char *description) {
    ftc_table *table = table_of(data);
    ftc_labels labels = {0};
    ftc_status status = ftc_labels_learn(table, count, id2label, may_sort, &labels);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    char *text = ftc_labels_describe(&labels);
    cr_expect_eq(labels.kind, kind, "%s", data);
    cr_expect_str_eq(text, description);
    free(text);
    ftc_labels_free(&labels);
    ftc_table_close(table);
}

static void expect_message(ftc_status status, const char *part) {
    cr_assert_eq(status.code, FTC_BAD_INPUT, "expected \"%s\"", part);
    cr_expect_not_null(strstr(status.message, part), "\"%s\" is not in: %s", part, status.message);
    ftc_status_free(&status);
}

static void expect_failure(const char *data, int count, const char *const *id2label, bool may_sort,
                           const char *part) {
    ftc_table *table = table_of(data);
    ftc_labels labels = {0};
    expect_message(ftc_labels_learn(table, count, id2label, may_sort, &labels), part);
    cr_expect_null(labels.values);
    ftc_table_close(table);
}

static const char *const sentiments[] = {"negative", "positive"};

Test(labels, chooses_the_mapping) {
    expect_mapping("positive negative positive", 2, sentiments, true, FTC_LABELS_NAMES,
                   "negative → 0, positive → 1");
    expect_mapping("1 0 0 1", 2, sentiments, true, FTC_LABELS_IDS, "0 → 0, 1 → 1");
    expect_mapping("1 1 2", 5, NULL, true, FTC_LABELS_IDS, "0 → 0, 1 → 1, 2 → 2, 3 → 3, 4 → 4");
    expect_mapping("4.0 0.0 2.0", 5, NULL, true, FTC_LABELS_IDS, "0 → 0, 1 → 1, 2 → 2, 3 → 3, 4 → 4");
    expect_mapping("5 3 1 2 4", 5, NULL, true, FTC_LABELS_SORTED, "1 → 0, 2 → 1, 3 → 2, 4 → 3, 5 → 4");
    expect_mapping("10 9 -1 2.5", 4, NULL, true, FTC_LABELS_SORTED, "-1 → 0, 2.5 → 1, 9 → 2, 10 → 3");
    expect_mapping("b10 b9 a", 3, NULL, true, FTC_LABELS_SORTED, "a → 0, b10 → 1, b9 → 2");
    expect_mapping("pos neg", 2, sentiments, true, FTC_LABELS_SORTED, "neg → 0, pos → 1");
    expect_mapping("true false", 2, NULL, true, FTC_LABELS_SORTED, "false → 0, true → 1");
    expect_mapping("7 9", 3, NULL, true, FTC_LABELS_SORTED, "7 → 0, 9 → 1");
    expect_mapping("0.1 0.30000000000000004", 2, NULL, true, FTC_LABELS_SORTED,
                   "0.1 → 0, 0.30000000000000004 → 1");
    expect_mapping("0.5 -3 1e3", 1, NULL, true, FTC_LABELS_NUMBERS, "numbers");
}

Test(labels, keeps_names_for_the_directory) {
    ftc_table *table = table_of("1 0");
    ftc_labels labels;
    cr_assert_eq(ftc_labels_learn(table, 2, sentiments, true, &labels).code, FTC_OK);
    cr_expect_str_eq(labels.names[1], "positive");
    ftc_labels_free(&labels);
    cr_assert_eq(ftc_labels_learn(table, 2, NULL, true, &labels).code, FTC_OK);
    cr_expect_str_eq(labels.names[1], "1");
    ftc_labels_free(&labels);
    ftc_table_close(table);
    table = table_of("7 9");
    cr_assert_eq(ftc_labels_learn(table, 3, NULL, true, &labels).code, FTC_OK);
    cr_expect_str_eq(labels.names[1], "9");
    cr_expect_str_eq(labels.names[2], "LABEL_2");
    cr_expect_null(labels.values[2]);
    ftc_labels_free(&labels);
    ftc_table_close(table);
}

Test(labels, maps_rows_of_another_file) {
    ftc_table *train = table_of("5 3 1 2 4"), *test = table_named("test.csv", "3.0 4 6");
    ftc_labels labels;
    cr_assert_eq(ftc_labels_learn(train, 5, NULL, true, &labels).code, FTC_OK);
    float label = -1;
    cr_expect_eq(ftc_labels_find(&labels, test, 0, "3.0", &label).code, FTC_OK);
    cr_expect_eq(label, 2);
    cr_expect_eq(ftc_labels_find(&labels, test, 1, " 4 ", &label).code, FTC_OK);
    cr_expect_eq(label, 3);
    expect_message(ftc_labels_find(&labels, test, 2, "6", &label),
                   "test.csv:4: the label \"6\" is none of those that the model knows: \"1\", \"2\", "
                   "\"3\", \"4\", \"5\"; correct it, leave the row out");
    cr_expect_eq(label, 3);
    ftc_labels_free(&labels);
    ftc_table_close(train);
    ftc_table_close(test);
}

Test(labels, regression_reads_numbers) {
    ftc_table *table = table_of("1.5 -2");
    ftc_labels labels;
    cr_assert_eq(ftc_labels_learn(table, 1, NULL, true, &labels).code, FTC_OK);
    float label = 0;
    cr_expect_eq(ftc_labels_find(&labels, table, 0, "1.5", &label).code, FTC_OK);
    cr_expect_eq(label, 1.5f);
    expect_message(ftc_labels_find(&labels, table, 1, "nan", &label),
                   "labels.csv:3: the label \"nan\" is no number");
    ftc_labels_free(&labels);
    ftc_table_close(table);
}

static void expect_count(const char *data, int expected, const char *message) {
    ftc_table *table = table_of(data);
    int count = 0;
    ftc_status status = ftc_labels_count(table, &count);
    if (message)
        expect_message(status, message);
    else
        cr_expect(status.code == FTC_OK && count == expected, "%s: %d, %s", data, count, status.message);
    ftc_table_close(table);
}

Test(labels, classes_are_counted) {
    expect_count("1 2 3.0 3 5 5", 4, NULL);
    expect_count("pos neg pos", 2, NULL);
    expect_count("-1 1 -1", 2, NULL);
    expect_count("0.5 1.5", 0,
                 "has numbers with fractions (\"0.5\", \"1.5\"): to predict a number, pass --set labels=1");
    expect_count("1 1", 0, "has the label \"1\" in every row: there is nothing to learn");
}

// -1 beside 0, 1, … is a class only where the number of classes says so; else it may be no label.
Test(labels, minus_one_is_no_class_by_accident) {
    static const char unclear[] =
        "has the label -1 beside 0 and 1: if it is a class, pass --set labels=3; if";
    expect_count("0 -1 1", 0, unclear);
    expect_failure("0 -1 1", 5, NULL, true, unclear);
    expect_failure("0 -1 1", 2, NULL, true, unclear);
    expect_failure("0 -1 1", 3, NULL, false, unclear);
    expect_mapping("0 -1 1", 3, NULL, true, FTC_LABELS_SORTED, "-1 → 0, 0 → 1, 1 → 2");
    char *path = test_write(directory, "m.csv", "text,label\na,0\nb,-1\nc,1\n", 24);
    ftc_table_options options = {.missing_label = "-1"};
    ftc_table *table;
    int count = 0;
    cr_assert_eq(ftc_table_open(path, &options, &table).code, FTC_OK);
    expect_message(ftc_labels_count(table, &count), "m.csv:3: the row has no label: \"label\" is -1;");
    ftc_table_close(table);
    options.skip_bad_rows = true;
    cr_assert_eq(ftc_table_open(path, &options, &table).code, FTC_OK);
    cr_expect_eq(ftc_labels_count(table, &count).code, FTC_OK);
    cr_expect_eq(count, 2);
    ftc_table_close(table);
    free(path);
}

Test(labels, says_what_does_not_fit) {
    expect_failure("1 2 3 4 5", 2, NULL, true,
                   "column \"label\" has 5 different labels (\"1\", \"2\", \"3\", \"4\", \"5\"), the model "
                   "has 2: pass --set labels=5");
    expect_failure("1 2", 2, sentiments, false,
                   "are neither the names of the model's labels nor numbers 0 to 1");
    expect_failure("0 1e39", 1, NULL, true, "labels.csv:3: the label \"1e+39\" is too large for a float");
    expect_failure("0 1 x", 1, NULL, true, "labels.csv:4: the label \"x\" is no number");
    char *many = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&many, &size);
    for (int i = 0; i < 1500; i++) fprintf(out, "%d ", i);
    fclose(out);
    expect_failure(many, 5, NULL, true, "has more than 1000 different labels");
    free(many);
}
