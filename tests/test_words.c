// Rows of words: files, tokens, labels and spans. (Goldens by tests/parity/make_words.py.)
#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ir/base/alloc.h"
#include "ir/base/clock.h"
#include "runtime/data/dataset.h"
#include "runtime/data/words.h"
#include "runtime/files.h"
#include "runtime/loop/spans.h"
#include "tests/paths.h"

static char *read_golden(const char *name) {
    char *path = test_golden(name), *text;
    size_t bytes;
    cr_assert_eq(ftc_file_read(path, &text, &bytes).code, FTC_OK, "%s", path);
    free(path);
    return text;
}

// --- tokens -------------------------------------------------------------------------------------------

static void expect_numbers(const cJSON *expected, const int32_t *got, size_t n, const char *line) {
    size_t i = 0;
    const cJSON *number;
    cr_assert_eq((size_t)cJSON_GetArraySize(expected), n, "%zu tokens: %s", n, line);
    cJSON_ArrayForEach(number, expected) {
        cr_assert_eq(number->valueint, got[i], "position %zu has %d: %s", i, got[i], line);
        i++;
    }
}

static bool encode_golden(const char *line, ftc_tokens *tokens) {
    cJSON *json = cJSON_Parse(line);
    char *path = test_golden(cJSON_GetObjectItem(json, "tokenizer")->valuestring);
    const cJSON *list = cJSON_GetObjectItem(json, "words"), *word;
    const char *words[32];
    size_t n = 0;
    cJSON_ArrayForEach(word, list) words[n++] = word->valuestring;
    ftc_tokenizer *tokenizer;
    cr_assert_eq(ftc_tokenizer_open(path, &tokenizer).code, FTC_OK, "%s", path);
    ftc_status status = ftc_tokenizer_encode_words(tokenizer, words, n,
                                                   cJSON_GetObjectItem(json, "max_length")->valueint, tokens);
    cr_assert_eq(status.code, FTC_OK, "%s: %s", status.message, line);
    expect_numbers(cJSON_GetObjectItem(json, "ids"), tokens->ids, tokens->count, line);
    expect_numbers(cJSON_GetObjectItem(json, "word_ids"), tokens->words, tokens->count, line);
    bool is_cut = tokens->is_cut;
    ftc_tokenizer_close(tokenizer);
    cJSON_Delete(json);
    free(path);
    return is_cut;
}

Test(words, tokens_of_words_as_hugging_face) {
    char *text = read_golden("words/words.jsonl");
    size_t cases = 0, cut = 0;
    ftc_tokens tokens = {0};
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), cases++)
        cut += encode_golden(line, &tokens);
    cr_expect_eq(cases, 48);
    cr_expect_gt(cut, 10);
    cr_expect_lt(cut, 24);
    ftc_tokens_free(&tokens);
    free(text);
}

// Those whose bytes are no whole characters, which the tokenizers library decodes to U+FFFD, read as their
// names.
Test(words, tokens_read_as_hugging_face_decodes_them) {
    char *text = read_golden("words/reads.jsonl");
    size_t blanks = 0, names = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *json = cJSON_Parse(line), *expected;
        char *path = test_golden(cJSON_GetObjectItem(json, "tokenizer")->valuestring);
        ftc_tokenizer *tokenizer;
        cr_assert_eq(ftc_tokenizer_open(path, &tokenizer).code, FTC_OK, "%s", path);
        int32_t id = 0;
        cJSON_ArrayForEach(expected, cJSON_GetObjectItem(json, "reads")) {
            char *read = ftc_tokenizer_read(tokenizer, id);
            bool is_name = strstr(expected->valuestring, "\uFFFD");
            cr_expect_str_eq(read, is_name ? ftc_tokenizer_token(tokenizer, id) : expected->valuestring);
            blanks += *read == ' ';
            names += is_name;
            free(read);
            id++;
        }
        cr_expect_eq(id, ftc_tokenizer_vocab_size(tokenizer));
        cr_expect_null(ftc_tokenizer_read(tokenizer, id));
        ftc_tokenizer_close(tokenizer);
        cJSON_Delete(json);
        free(path);
    }
    cr_expect_gt(blanks, 20);
    cr_expect_gt(names, 100);
    free(text);
}

// --- spans --------------------------------------------------------------------------------------------

enum { MOST_WORDS = 16, MOST_TAGS = 9 };

typedef struct {
    const char *names[MOST_TAGS];
    ftc_span_tag tags[MOST_TAGS];
    int32_t n;
} tag_set;

// The classes of one sentence, up to the "/" or "|" at *at.
static size_t read_sentence(tag_set *set, char **at, int32_t *classes) {
    size_t n = 0;
    for (char *word; (word = strsep(at, " ")) && *word != '/' && *word != '|';) {
        int32_t class = 0;
        while (class < set->n && strcmp(set->names[class], word) != 0) class ++;
        if (class == set->n) {
            set->names[set->n] = word;
            set->tags[set->n++] = ftc_span_tag_of(word);
        }
        classes[n++] = class;
    }
    return n;
}

// A row of seqeval's report at *at, "NAME precision recall f1 support".
static void expect_row(size_t number, char **at, const char *name, const ftc_one_class_scores *got) {
    char row[16];
    double expected[4], found[4] = {got->precision, got->recall, got->f1, (double)got->support};
    int end = 0;
    cr_assert_eq(sscanf(*at, " | %15s %lf %lf %lf %lf%n", row, &expected[0], &expected[1], &expected[2],
                        &expected[3], &end),
                 5, "case %zu: \"%s\"", number, *at);
    *at += end;
    cr_expect_str_eq(row, name, "case %zu", number);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(found[i], expected[i], 1e-12, "case %zu, %s, %d: %.17g, seqeval has %.17g", number,
                           name, i, found[i], expected[i]);
}

Test(words, spans_as_seqeval) {
    char *text = read_golden("words/spans.txt"), *rest;
    size_t cases = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), cases++) {
        tag_set set = {.n = 0};
        int32_t labels[2][MOST_WORDS], predictions[2][MOST_WORDS];
        size_t n[2];
        char *at = line;
        for (int i = 0; i < 2; i++) n[i] = read_sentence(&set, &at, labels[i]);
        for (int i = 0; i < 2; i++) cr_assert_eq(read_sentence(&set, &at, predictions[i]), n[i]);
        const char *types[MOST_TAGS];
        size_t n_types = ftc_spans_types(set.tags, (size_t)set.n, types);
        ftc_span_counts counts[MOST_TAGS] = {0};
        ftc_one_class_scores each[MOST_TAGS];
        ftc_span scratch[2 * MOST_WORDS];
        for (int i = 0; i < 2; i++)
            ftc_spans_count(set.tags, labels[i], predictions[i], n[i], scratch, types, n_types, counts);
        ftc_span_scores got = ftc_spans_score(counts, n_types, each);
        double accuracy, expected[3], found[3] = {got.micro.precision, got.micro.recall, got.micro.f1};
        int end = 0;
        cr_assert_eq(
            sscanf(at, "%lf %lf %lf %lf%n", &accuracy, &expected[0], &expected[1], &expected[2], &end), 4);
        for (int i = 0; i < 3; i++)
            cr_expect_float_eq(found[i], expected[i], 1e-12, "case %zu, score %d: %.17g, seqeval has %.17g",
                               cases, i, found[i], expected[i]);
        at += end;
        for (size_t k = 0; k < n_types; k++) {
            if (counts[k].expected + counts[k].predicted == 0) continue; // seqeval has no row of it
            expect_row(cases, &at, types[k], &each[k]);
        }
        expect_row(cases, &at, "micro", &got.micro);
        expect_row(cases, &at, "macro", &got.macro);
        expect_row(cases, &at, "weighted", &got.weighted);
    }
    cr_expect_eq(cases, 400);
    free(text);
}

// --- files --------------------------------------------------------------------------------------------

static const char CONLL[] =
    "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\r\n\n\n-DOCSTART- -X- O\n \nBoycott VB O\n. . O";

static ftc_table *open_words(const char *folder, const char *name, const char *text, char **path) {
    ftc_table *table;
    ftc_table_options options = {.words = true};
    *path = test_write(folder, name, text, strlen(text));
    ftc_status status = ftc_table_open(*path, &options, &table);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    return table;
}

Test(words, sentences_are_rows_of_conll) {
    char *folder = test_directory(), *path;
    ftc_table *table = open_words(folder, "x.txt", CONLL, &path);
    ftc_row row = {0};
    cr_assert_eq(ftc_table_rows(table), 2);
    cr_assert_eq(ftc_table_read(table, 1, &row).code, FTC_OK);
    cr_expect_str_eq(row.text, "[\"Boycott\", \".\"]");
    cr_assert_eq(ftc_table_read(table, 0, &row).code, FTC_OK);
    cr_expect_str_eq(row.text, "[\"EU\", \"rejects\"]");
    cr_expect_str_eq(row.label, "[\"B-ORG\", \"O\"]");
    ftc_status status = ftc_table_error(table, 1, "here");
    cr_expect(strstr(status.message, "x.txt:9: here"), "%s", status.message);
    ftc_status_free(&status);
    ftc_row_free(&row);
    ftc_table_close(table);
    remove(path);
    static const struct {
        const char *text, *message;
    } BAD[] = {{"a O\nb\n\n", "x.txt:2: the line has another number of columns"},
               {"a O\n\nb X O\n", "x.txt:3: the row has 3 fields, the first row has 2"},
               {"\n \n-DOCSTART-\n", "nothing but blank lines"}};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        free(path);
        path = test_write(folder, "x.txt", BAD[i].text, strlen(BAD[i].text));
        status = ftc_table_open(path, &(ftc_table_options){.words = true}, &table);
        cr_assert_eq(status.code, FTC_BAD_INPUT);
        cr_expect(strstr(status.message, BAD[i].message), "%s", status.message);
        ftc_status_free(&status);
        remove(path);
    }
    free(path);
    remove(folder);
    free(folder);
}

// Seconds of this thread that a sentence of `cells` cells takes, in lines of so many.
static double seconds_for_sentence(size_t cells, size_t columns) {
    char *text = malloc(2 * cells + 1);
    for (size_t i = 0; i < cells; i++) {
        text[2 * i] = 'x';
        text[2 * i + 1] = (i + 1) % columns ? ' ' : '\n';
    }
    ftc_fields fields = {0};
    size_t consumed;
    double start = ftc_clock_cpu_seconds();
    cr_assert_eq(ftc_words_parse_sentence(text, 2 * cells, true, '\n', &fields, &consumed), FTC_FIELDS_ROW);
    double seconds = ftc_clock_cpu_seconds() - start;
    cr_assert_eq(fields.count, columns);
    ftc_fields_free(&fields);
    free(text);
    return seconds;
}

// Sixteen times as many words, or columns, take sixteen times as long, not 256.
Test(words, time_grows_as_the_file_does) {
    for (int wide = 0; wide < 2; wide++) {
        enum { FEW = 2000, MANY = 16 * FEW };
        seconds_for_sentence(FEW, wide ? FEW : 2);
        double few = seconds_for_sentence(FEW, wide ? FEW : 2),
               many = seconds_for_sentence(MANY, wide ? MANY : 2);
        cr_expect_lt(many, few * 16 * 5, "%s: %.4f s become %.4f s", wide ? "columns" : "words", few, many);
    }
}

// Seconds of this thread that a sentence of so many lines takes, whose last one does not fit and is left out.
static double seconds_for_uneven(size_t lines) {
    char *folder = test_directory(), *text = malloc(4 * lines + 8), *at = text, *path;
    for (size_t i = 0; i < lines; i++) at = stpcpy(at, i == 1 ? "a O\n\n" : "b O\n");
    strcpy(at, "c\n");
    path = test_write(folder, "x.conll", text, strlen(text));
    ftc_table *table;
    double start = ftc_clock_cpu_seconds();
    ftc_status status = ftc_table_open(path, &(ftc_table_options){.skip_bad_rows = true}, &table);
    double seconds = ftc_clock_cpu_seconds() - start;
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    cr_expect_eq(ftc_table_rows(table), 1);
    cr_expect_eq(ftc_table_skipped_rows(table)->count, 2);
    ftc_table_close(table);
    remove(path);
    remove(folder);
    free(path);
    free(text);
    free(folder);
    return seconds;
}

Test(words, time_grows_as_the_lines_that_are_left_out_do) {
    seconds_for_uneven(2000);
    double few = seconds_for_uneven(2000), many = seconds_for_uneven(32000);
    cr_expect_lt(many, few * 16 * 5, "%.4f s become %.4f s", few, many);
}

// The same sentences in every form, longer than what is read at a time.
Test(words, forms_agree) {
    enum { SENTENCES = 30000 };
    char *folder = test_directory(), *texts[3], *paths[3];
    static const char *const NAMES[] = {"a.conll", "b.jsonl", "c.tsv"};
    ftc_table *tables[3];
    for (int form = 0; form < 3; form++) {
        ftc_text text;
        FILE *f = ftc_text_open(&text);
        if (form == 2) fputs("tokens\tner_tags\n", f);
        for (int i = 0; i < SENTENCES; i++)
            fprintf(f,
                    form == 0   ? "w%d\tB-X\nz \tO\n\n"
                    : form == 1 ? "{\"words\": [\"w%d\", \"z \"], \"labels\": [\"B-X\", \"O\"]}\n"
                                : "[\"w%d\", \"z \"]\tB-X O\n",
                    i);
        texts[form] = ftc_text_close(&text, NULL);
        tables[form] = open_words(folder, NAMES[form], texts[form], &paths[form]);
        cr_assert_eq(ftc_table_rows(tables[form]), SENTENCES);
    }
    ftc_row rows[3] = {0};
    ftc_fields words = {0};
    for (size_t i = 0; i < SENTENCES; i++) {
        char first[16];
        snprintf(first, sizeof first, "w%zu", i);
        for (int form = 0; form < 3; form++) {
            ftc_status status = ftc_table_read(tables[form], i, &rows[form]);
            cr_assert_eq(status.code, FTC_OK, "%s", status.message);
            cr_assert(ftc_words_read(rows[form].text, &words) && words.count == 2);
            cr_assert_str_eq(ftc_fields_get(&words, 0), first);
            cr_assert_str_eq(ftc_fields_get(&words, 1), "z ");
            cr_assert(ftc_words_read(rows[form].label, &words) && words.count == 2);
            cr_assert_str_eq(ftc_fields_get(&words, 0), "B-X");
        }
    }
    ftc_fields_free(&words);
    for (int form = 0; form < 3; form++) {
        ftc_row_free(&rows[form]);
        ftc_table_close(tables[form]);
        remove(paths[form]);
        free(paths[form]);
        free(texts[form]);
    }
    remove(folder);
    free(folder);
}

// --- labels -------------------------------------------------------------------------------------------

Test(words, labels_stand_at_the_first_token_or_all) {
    static const char TEXT[] = "{\"tokens\": [\"unaffable\", \"a\"], \"labels\": [\"B-X\", \"O\"]}\n"
                               "{\"tokens\": [\"a\", \"unaffable\"], \"labels\": [-100, \"B-X\"]}\n";
    char *folder = test_directory(), *path, *model = test_golden("tokenizer/uncased");
    ftc_table *table = open_words(folder, "x.jsonl", TEXT, &path);
    ftc_tokenizer *tokenizer;
    ftc_labels labels;
    ftc_threads *threads;
    cr_assert_eq(ftc_tokenizer_open(model, &tokenizer).code, FTC_OK);
    int classes;
    cr_assert_eq(ftc_labels_count(table, &classes).code, FTC_OK);
    cr_assert_eq(classes, 2);
    cr_assert_eq(ftc_labels_learn(table, 2, NULL, true, &labels).code, FTC_OK);
    cr_assert_eq(ftc_threads_create(1, &threads).code, FTC_OK);
    for (int tagging = FTC_TAG_FIRST; tagging <= FTC_TAG_ALL; tagging++) {
        ftc_dataset d;
        ftc_dataset_source source = {.table = table,
                                     .rows = (int64_t[]){0, 1},
                                     .n = 2,
                                     .tokenizer = tokenizer,
                                     .max_length = 100,
                                     .labels = &labels,
                                     .tagging = (ftc_tagging)tagging};
        cr_assert_eq(ftc_dataset_read(&source, threads, &d).code, FTC_OK);
        size_t n = (size_t)ftc_dataset_length(&d, 0);
        cr_assert_gt(n, 4, "unaffable is more than one token");
        cr_expect_eq(d.tags[0], FTC_NO_LABEL);
        cr_expect_eq(d.tags[1], 0);
        for (size_t i = 2; i < n - 2; i++) cr_expect_eq(d.tags[i], tagging == FTC_TAG_ALL ? 0 : FTC_NO_LABEL);
        cr_expect_eq(d.tags[n - 2], 1);
        cr_expect_eq(d.tags[n - 1], FTC_NO_LABEL);
        cr_expect_eq(d.tags[n + 1], FTC_NO_LABEL);
        cr_expect_eq(d.tags[n + 2], 0);
        cr_expect_str_eq(d.tag_names[0], "B-X");
        ftc_dataset_free(&d);
    }
    int32_t found[3];
    ftc_status status = ftc_labels_find_words(&labels, table, 0, "[\"O\", \"B-X\"]", 3, found);
    cr_expect(strstr(status.message, "x.jsonl:1: the sentence has 3 words and 2 labels"), "%s",
              status.message);
    ftc_status_free(&status);
    ftc_threads_free(threads);
    ftc_labels_free(&labels);
    ftc_tokenizer_close(tokenizer);
    ftc_table_close(table);
    remove(path);
    remove(folder);
    free(path);
    free(folder);
    free(model);
}
