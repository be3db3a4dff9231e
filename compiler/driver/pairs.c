#include "compiler/driver/pairs.h"

#include "compiler/driver/csv.h"
#include "ir/base/alloc.h"
#include "runtime/loop/metrics.h"
#include "runtime/text/shown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Pairs are read, answered and printed so many at a time.
enum { GROUP = 256 };

// --- scores -------------------------------------------------------------------------------------------

typedef struct {
    ftc_classifier *c;
    ftc_answer_form form;
    ftc_dataset examples;
    char *shown[GROUP]; // what is printed beside the score: both texts, or the row's cells
    size_t first;       // row of the first
    ftc_tokens tokens[2];
    ftc_row row;
} scores;

static void print_score(const scores *s, double score, int64_t i) {
    if (s->form == FTC_ANSWER_CSV)
        printf("%zu,%.6g%s\n", s->first + (size_t)i, score, s->shown[i]);
    else if (s->form == FTC_ANSWER_TEXT)
        printf("%.4f  %s\n", score, s->shown[i]);
    else
        printf("{\"score\": %.9g}\n", score);
}

static ftc_status print_group(scores *s, const ftc_table *table) {
    ftc_evaluation e;
    if (s->examples.n == 0) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(ftc_classifier_evaluate(s->c, &s->examples, &e));
    if (s->form == FTC_ANSWER_CSV && s->first == 0) {
        ftc_csv_write_heading(stdout, table, "row", true);
        ftc_csv_write_heading(stdout, table, "score", false);
        ftc_csv_write_columns(stdout, table);
    }
    for (int64_t i = 0; i < e.samples; i++) print_score(s, (double)e.logits[i], i);
    ftc_evaluation_free(&e);
    return FTC_STATUS_OK;
}

static void empty_group(scores *s) {
    s->first += (size_t)s->examples.n;
    for (int64_t i = 0; i < s->examples.n; i++) free(s->shown[i]);
    ftc_dataset_free(&s->examples);
}

// "a text | its pair", each to the end of its first line.
static char *both(const char *first, const char *second) {
    ftc_text written;
    FILE *out = ftc_text_open(&written);
    const char *texts[] = {first, second};
    for (int i = 0; i < 2; i++) {
        fputs(i ? " | " : "", out);
        ftc_shown_write(out, texts[i], strcspn(texts[i], "\n"), false);
        fputs(strchr(texts[i], '\n') ? " …" : "", out);
    }
    return ftc_text_close(&written, NULL);
}

static ftc_status add_pair(scores *s, const ftc_texts *texts, const char *first, const char *second) {
    const ftc_tokenizer *tokenizer = s->c->tokenizer;
    char **shown = &s->shown[s->examples.n];
    FTC_RETURN_IF_ERROR(ftc_tokenizer_encode(tokenizer, first, NULL, s->c->max_length, &s->tokens[0]));
    FTC_RETURN_IF_ERROR(ftc_tokenizer_encode(tokenizer, second, NULL, s->c->max_length, &s->tokens[1]));
    if (s->form == FTC_ANSWER_CSV)
        FTC_RETURN_IF_ERROR(ftc_texts_cells(texts, second, &s->row, shown));
    else
        *shown = both(first, second);
    ftc_dataset_add_pair(&s->examples, &s->tokens[0], &s->tokens[1], 0);
    return FTC_STATUS_OK;
}

ftc_status ftc_pairs_print_scores(ftc_classifier *c, const ftc_text_options *options,
                                  const ftc_text_list *words, ftc_answer_form form) {
    ftc_text_options of_pairs = *options;
    ftc_texts texts;
    of_pairs.columns.pairs = true;
    if (!options->file && words->n == 2)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "the model %s says how near two texts are: name others behind the text, or a file "
            "with pairs (--file FILE); or ask for the text's vector (--embeddings)",
            c->model.program->model);
    FTC_RETURN_IF_ERROR(ftc_texts_open(&of_pairs, false, words, &texts));
    scores s = {.c = c, .form = form};
    const char *text, *pair, *query = NULL;
    ftc_status status = FTC_STATUS_OK;
    if (!texts.table && !texts.by_two) ftc_texts_next(&texts, &query, &pair, &status);
    while (status.code == FTC_OK && ftc_texts_next(&texts, &text, &pair, &status)) {
        status = query ? add_pair(&s, &texts, query, text) : add_pair(&s, &texts, text, pair);
        if (status.code != FTC_OK || s.examples.n < GROUP) continue;
        status = print_group(&s, texts.table);
        empty_group(&s);
    }
    if (status.code == FTC_OK) status = print_group(&s, texts.table);
    empty_group(&s);
    ftc_row_free(&s.row);
    for (int i = 0; i < 2; i++) ftc_tokens_free(&s.tokens[i]);
    ftc_texts_close(&texts);
    return status;
}

// --- embeddings ---------------------------------------------------------------------------------------

static ftc_tokens tokens_of(const ftc_dataset *texts, int64_t i) {
    return (ftc_tokens){.ids = texts->ids + texts->offsets[i],
                        .types = texts->types + texts->offsets[i],
                        .count = (size_t)ftc_dataset_length(texts, i)};
}

static void print_vector(const float *vector, int64_t n) {
    fputs("{\"embedding\": [", stdout);
    for (int64_t i = 0; i < n; i++) printf("%s%.9g", i ? ", " : "", (double)vector[i]);
    puts("]}");
}

// As many texts as a batch has at most: the second half of them stand as the pairs of the first, whose
// vectors they do not touch; of an odd number the last one is its own.
static ftc_status print_vectors(ftc_classifier *c, const ftc_dataset *texts) {
    ftc_evaluation e;
    ftc_dataset pairs = {0};
    int64_t n = texts->n, half = (n + 1) / 2;
    if (n == 0) return FTC_STATUS_OK;
    for (int64_t i = 0; i < half; i++) {
        ftc_tokens first = tokens_of(texts, i), second = tokens_of(texts, i + half < n ? i + half : i);
        ftc_dataset_add_pair(&pairs, &first, &second, 0);
    }
    ftc_status status = ftc_classifier_evaluate(c, &pairs, &e);
    ftc_dataset_free(&pairs);
    if (status.code != FTC_OK) return status;
    int32_t output = ftc_program_output(c->model.program, FTC_OUTPUT_EMBEDDING);
    int64_t width = c->model.program->outputs[output].each;
    const float *vectors = ftc_stepper_result(&c->stepper, FTC_OUTPUT_EMBEDDING, FTC_ENTRY_EVAL);
    for (int64_t i = 0; i < n; i++) print_vector(vectors + i * width, width);
    ftc_evaluation_free(&e);
    return FTC_STATUS_OK;
}

ftc_status ftc_pairs_print_embeddings(ftc_classifier *c, const ftc_text_options *options,
                                      const ftc_text_list *words) {
    ftc_texts texts;
    ftc_dataset group = {0};
    ftc_tokens tokens = {0};
    const char *text, *pair;
    FTC_RETURN_IF_ERROR(ftc_texts_open(options, false, words, &texts));
    ftc_status status = FTC_STATUS_OK;
    while (status.code == FTC_OK && ftc_texts_next(&texts, &text, &pair, &status)) {
        status = ftc_tokenizer_encode(c->tokenizer, text, NULL, c->max_length, &tokens);
        if (status.code == FTC_OK) ftc_dataset_add(&group, &tokens, 0);
        if (status.code != FTC_OK || group.n < 2 * c->batch.max_rows) continue;
        status = print_vectors(c, &group);
        ftc_dataset_free(&group);
    }
    if (status.code == FTC_OK) status = print_vectors(c, &group);
    ftc_dataset_free(&group);
    ftc_tokens_free(&tokens);
    ftc_texts_close(&texts);
    return status;
}
