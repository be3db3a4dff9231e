// Spans of words, as classes of their words say them (B-PER I-PER O …), and how well they are found:
// seqeval's default, where any change of type or tag that can begin or end a span does.
#ifndef FTC_RUNTIME_SPANS_H
#define FTC_RUNTIME_SPANS_H

#include "runtime/loop/metrics.h"

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

// The types that spans of these tags can have, sorted, into types[n]; how many there are.
size_t ftc_spans_types(const ftc_span_tag *tags, size_t n, const char **types);

// Of one type, sums over sentences: spans that the labels say, that the predictions say, and that both do.
typedef struct {
    int64_t expected, predicted, found;
} ftc_span_counts;

// Counts a sentence in, counts[k] those of types[k]; `scratch` has room for 2 * n.
void ftc_spans_count(const ftc_span_tag *tags, const int32_t *labels, const int32_t *predictions, size_t n,
                     ftc_span *scratch, const char *const *types, size_t n_types, ftc_span_counts *counts);

// As in seqeval's classification_report; a score that would divide by zero is 0.
typedef struct {
    double accuracy;            // of words
    ftc_one_class_scores micro; // over all spans together
    // Means over the types that occur in labels or predictions, and by how many spans the labels say.
    ftc_one_class_scores macro, weighted;
} ftc_span_scores;

// Fills each[n_types], and the result but for its accuracy.
ftc_span_scores ftc_spans_score(const ftc_span_counts *counts, size_t n_types, ftc_one_class_scores *each);

#endif
