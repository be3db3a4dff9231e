#include "compiler/driver/sentence.h"

#include "compiler/driver/csv.h"
#include "ir/base/alloc.h"
#include "runtime/loop/metrics.h"
#include "runtime/text/shown.h"
#include "runtime/text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// --- reading ------------------------------------------------------------------------------------------

// The bytes of the character at the start of the text if it is punctuation, else 0.
static size_t punctuation_at(const char *text, size_t size) {
    uint32_t c;
    size_t n = ftc_utf8_decode(text, size, &c);
    return n && (ftc_unicode_flags(c) & FTC_UNICODE_PUNCTUATION) ? n : 0;
}

// What stands between white space, without the punctuation at its ends, whose characters are words, too.
static void push_words(ftc_fields *words, const char *text, size_t size) {
    for (size_t n; (n = punctuation_at(text, size)); text += n, size -= n) ftc_fields_push(words, text, n);
    size_t end = size, last;
    for (; end; end = last) {
        last = end - 1;
        while (last && ((unsigned char)text[last] & 0xC0) == 0x80) last--;
        if (!punctuation_at(text + last, end - last)) break;
    }
    if (end) ftc_fields_push(words, text, end);
    for (size_t n; end < size; end += n) {
        n = punctuation_at(text + end, size - end);
        ftc_fields_push(words, text + end, n);
    }
}

static bool split(const char *text, ftc_fields *words) {
    static const char BLANKS[] = " \t\r\n";
    if (text[strspn(text, BLANKS)] == '[' && ftc_words_read(text, words)) return true;
    ftc_fields_clear(words);
    for (size_t n; *(text += strspn(text, BLANKS)); text += n) {
        n = strcspn(text, BLANKS);
        push_words(words, text, n);
    }
    return true;
}

ftc_status ftc_sentence_read(const ftc_classifier *c, const char *text, int max_length, ftc_tokens *tokens,
                             ftc_sentence *out) {
    ftc_sentence s = {0};
    split(text, &s.words);
    const char **list = ftc_alloc(s.words.count + 1, sizeof *list);
    for (size_t i = 0; i < s.words.count; i++) list[i] = ftc_fields_get(&s.words, i);
    ftc_status status = ftc_tokenizer_encode_words(c->tokenizer, list, s.words.count, max_length, tokens);
    free(list);
    if (status.code != FTC_OK) {
        ftc_sentence_free(&s);
        return status;
    }
    s.word_of = ftc_alloc(tokens->count + 1, sizeof *s.word_of);
    if (tokens->count) memcpy(s.word_of, tokens->words, tokens->count * sizeof *s.word_of);
    *out = s;
    return FTC_STATUS_OK;
}

void ftc_sentence_free(ftc_sentence *s) {
    ftc_fields_free(&s->words);
    free(s->word_of);
    *s = (ftc_sentence){0};
}

// --- the answer ---------------------------------------------------------------------------------------

// Of the words that have a token; those that are cut off, or come to nothing, have no answer.
typedef struct {
    const ftc_sentence *sentence;
    size_t n;
    size_t *words;         // [n] their places in the sentence
    const float **logits;  // [n]
    int32_t *classes;      // [n]
    double *probabilities; // [n] of these classes
    const char **names;    // [columns]
    int64_t columns;
    ftc_span *spans; // [n_spans], by places among the n words
    size_t n_spans;
} answer;

static double probability(const float *logits, int64_t columns, int32_t class) {
    double sum = 0;
    for (int64_t i = 0; i < columns; i++) sum += exp((double)logits[i] - (double)logits[class]);
    return 1 / sum;
}

static answer answer_of(const ftc_classifier *c, const ftc_sentence *s, size_t n_tokens,
                        const float *logits) {
    int64_t columns = ftc_program_score_columns(c->model.program);
    size_t most = n_tokens + 1;
    answer a = {.sentence = s,
                .words = ftc_alloc(most, sizeof *a.words),
                .logits = ftc_alloc(most, sizeof *a.logits),
                .classes = ftc_alloc(most, sizeof *a.classes),
                .probabilities = ftc_alloc(most, sizeof *a.probabilities),
                .names = ftc_alloc((size_t)columns, sizeof *a.names),
                .columns = columns,
                .spans = ftc_alloc(most, sizeof *a.spans)};
    ftc_span_tag *tags = ftc_alloc((size_t)columns, sizeof *tags);
    for (int32_t i = 0; i < columns; i++) {
        const char *name = ftc_hf_config_label(c->config, i);
        a.names[i] = name ? name : "O"; // that of a class without a name says no span
        tags[i] = ftc_span_tag_of(a.names[i]);
    }
    for (size_t i = 0; i < n_tokens; i++) {
        if (s->word_of[i] < 0 || (i && s->word_of[i] == s->word_of[i - 1])) continue;
        a.words[a.n] = (size_t)s->word_of[i];
        a.logits[a.n] = logits + (int64_t)i * columns;
        a.classes[a.n] = ftc_argmax(a.logits[a.n], columns);
        a.probabilities[a.n] = probability(a.logits[a.n], columns, a.classes[a.n]);
        a.n++;
    }
    a.n_spans = ftc_spans_find(tags, a.classes, a.n, a.spans);
    free(tags);
    return a;
}

static void free_answer(answer *a) {
    free(a->words);
    free(a->logits);
    free(a->classes);
    free(a->probabilities);
    free(a->names);
    free(a->spans);
}

// The mean of its words' probabilities.
static double span_score(const answer *a, const ftc_span *span) {
    double sum = 0;
    for (size_t i = span->first; i <= span->last; i++) sum += a->probabilities[i];
    return sum / (double)(span->last - span->first + 1);
}

// The words of a span with blanks between them, allocated.
static char *span_text(const answer *a, const ftc_span *span) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    for (size_t i = span->first; i <= span->last; i++)
        fprintf(f, "%s%s", i > span->first ? " " : "", ftc_fields_get(&a->sentence->words, a->words[i]));
    return ftc_text_close(&text, NULL);
}

// --- its forms ----------------------------------------------------------------------------------------

// "[PER 0.98 Anna Smith] lives in [LOC 0.99 Oslo] ."
static void print_text(const answer *a) {
    size_t span = 0, at = 0;
    for (size_t word = 0; word < a->sentence->words.count; word++) {
        const char *text = ftc_fields_get(&a->sentence->words, word);
        const ftc_span *s = span < a->n_spans ? &a->spans[span] : NULL;
        while (at < a->n && a->words[at] < word) at++;
        bool begins = s && a->words[s->first] == word, ends = s && a->words[s->last] == word;
        if (word) putchar(' ');
        if (begins) {
            putchar('[');
            ftc_shown_write(stdout, s->type, strlen(s->type), true);
            printf(" %.2f ", span_score(a, s));
        }
        ftc_shown_write(stdout, text, strlen(text), true);
        if (ends) putchar(']');
        span += ends;
    }
    putchar('\n');
}

static void print_json(const answer *a) {
    cJSON *line = cJSON_CreateObject(), *spans = cJSON_AddArrayToObject(line, "spans");
    for (size_t i = 0; i < a->n_spans; i++) {
        const ftc_span *s = &a->spans[i];
        char *text = span_text(a, s);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "label", s->type);
        cJSON_AddNumberToObject(item, "score", span_score(a, s));
        cJSON_AddNumberToObject(item, "first", (double)a->words[s->first]);
        cJSON_AddNumberToObject(item, "last", (double)a->words[s->last]);
        cJSON_AddStringToObject(item, "text", text);
        cJSON_AddItemToArray(spans, item);
        free(text);
    }
    cJSON *words = cJSON_AddArrayToObject(line, "words"), *labels = cJSON_AddArrayToObject(line, "labels"),
          *scores = cJSON_AddArrayToObject(line, "scores"), *logits = cJSON_AddArrayToObject(line, "logits");
    for (size_t word = 0, at = 0; word < a->sentence->words.count; word++) {
        bool has_answer = at < a->n && a->words[at] == word;
        cJSON *row = has_answer ? cJSON_CreateArray() : cJSON_CreateNull();
        cJSON_AddItemToArray(words, cJSON_CreateString(ftc_fields_get(&a->sentence->words, word)));
        cJSON_AddItemToArray(labels,
                             has_answer ? cJSON_CreateString(a->names[a->classes[at]]) : cJSON_CreateNull());
        cJSON_AddItemToArray(scores,
                             has_answer ? cJSON_CreateNumber(a->probabilities[at]) : cJSON_CreateNull());
        for (int64_t i = 0; has_answer && i < a->columns; i++)
            cJSON_AddItemToArray(row, cJSON_CreateNumber((double)a->logits[at][i]));
        cJSON_AddItemToArray(logits, row);
        at += has_answer;
    }
    char *text = ftc_metrics_line(line);
    puts(text);
    free(text);
    cJSON_Delete(line);
}

void ftc_sentence_print_headings(const ftc_table *table) {
    static const char *const OWN[] = {"row", "label", "score", "first", "last", "span"};
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++)
        ftc_csv_write_heading(stdout, table, OWN[i], i == 0);
    ftc_csv_write_columns(stdout, table);
}

// A row a span; of a sentence without any, one whose own fields are empty.
static void print_csv(const answer *a, size_t row, const char *cells) {
    if (!a->n_spans) printf("%zu,,,,,%s\n", row, cells);
    for (size_t i = 0; i < a->n_spans; i++) {
        const ftc_span *s = &a->spans[i];
        char *text = span_text(a, s);
        printf("%zu", row);
        ftc_csv_write(stdout, s->type, false);
        printf(",%.6g,%zu,%zu", span_score(a, s), a->words[s->first], a->words[s->last]);
        ftc_csv_write(stdout, text, false);
        puts(cells);
        free(text);
    }
}

void ftc_sentence_print(const ftc_classifier *c, const ftc_sentence *sentence, size_t n_tokens,
                        const float *logits, ftc_answer_form form, size_t row, const char *cells) {
    answer a = answer_of(c, sentence, n_tokens, logits);
    switch (form) {
    case FTC_ANSWER_TEXT: print_text(&a); break;
    case FTC_ANSWER_JSON: print_json(&a); break;
    case FTC_ANSWER_CSV: print_csv(&a, row, cells); break;
    }
    free_answer(&a);
}
