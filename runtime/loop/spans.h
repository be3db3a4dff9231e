// Spans of words, as classes of their words say them (B-PER I-PER O …), and how well they are found:
// seqeval's default, where any change of type or tag that can begin or end a span does.
#ifndef FTC_RUNTIME_SPANS_H
#define FTC_RUNTIME_SPANS_H

#include <stddef.h>
#include <stdint.h>

// What the name of a class says. All zero is none.
typedef struct {
    char place;       // B, I, E, S; O: of no span
    const char *type; // PER; "_" where the name says none. Lives as long as the name
} ftc_span_tag;

ftc_span_tag ftc_span_tag_of(const char *class_name);

typedef struct {
    const char *type;
    size_t first, last; // words
} ftc_span;

// The spans of the words of one sentence into spans[n]; how many there are.
size_t ftc_spans_find(const ftc_span_tag *tags, const int32_t *classes, size_t n, ftc_span *spans);

// Sums over sentences; words of 64 bits, which processes exchange.
typedef struct {
    int64_t words, correct; // labels, those that are predicted
    int64_t expected, predicted, found;
} ftc_span_counts;

// Counts a sentence in; `scratch` has room for 2 * n.
void ftc_spans_count(const ftc_span_tag *tags, const int32_t *labels, const int32_t *predictions, size_t n,
                     ftc_span *scratch, ftc_span_counts *counts);
void ftc_spans_add(ftc_span_counts *to, const ftc_span_counts *more);

// Over all spans together (micro). A score that would divide by zero is 0.
typedef struct {
    double accuracy; // of words
    double precision, recall, f1;
} ftc_span_scores;

ftc_span_scores ftc_spans_score(const ftc_span_counts *counts);

#endif
