#include "runtime/loop/spans.h"

#include <stdbool.h>
#include <string.h>

ftc_span_tag ftc_span_tag_of(const char *name) {
    if (!*name) return (ftc_span_tag){'O', "_"};
    const char *type = name + 1;
    while (((unsigned char)*type & 0xC0) == 0x80) type++; // the first character has more bytes
    const char *dash = strchr(type, '-');
    if (dash) type = dash + 1;
    return (ftc_span_tag){*name, *type ? type : "_"};
}

static bool is_one_of(char place, const char *places) {
    return place && strchr(places, place);
}

static bool other_type(ftc_span_tag a, ftc_span_tag b) {
    return !a.type || !b.type || strcmp(a.type, b.type) != 0;
}

static bool ends(ftc_span_tag before, ftc_span_tag tag) {
    if (is_one_of(before.place, "ES")) return true;
    if (is_one_of(before.place, "BI") && is_one_of(tag.place, "BSO")) return true;
    return !is_one_of(before.place, "O.") && other_type(before, tag);
}

static bool begins(ftc_span_tag before, ftc_span_tag tag) {
    if (is_one_of(tag.place, "BS")) return true;
    if (is_one_of(before.place, "ESO") && is_one_of(tag.place, "EI")) return true;
    return !is_one_of(tag.place, "O.") && other_type(before, tag);
}

size_t ftc_spans_find(const ftc_span_tag *tags, const int32_t *classes, size_t n, ftc_span *spans) {
    const ftc_span_tag none = {'O', "_"};
    ftc_span_tag before = {'O', NULL};
    size_t count = 0, first = 0;
    for (size_t i = 0; i <= n; i++) {
        ftc_span_tag tag = i < n ? tags[classes[i]] : none;
        if (ends(before, tag)) spans[count++] = (ftc_span){before.type, first, i - 1};
        if (begins(before, tag)) first = i;
        before = tag;
    }
    return count;
}

static bool same(const ftc_span *a, const ftc_span *b) {
    return a->first == b->first && a->last == b->last && strcmp(a->type, b->type) == 0;
}

void ftc_spans_count(const ftc_span_tag *tags, const int32_t *labels, const int32_t *predictions, size_t n,
                     ftc_span *scratch, ftc_span_counts *counts) {
    ftc_span *expected = scratch, *predicted = scratch + n;
    size_t n_expected = ftc_spans_find(tags, labels, n, expected);
    size_t n_predicted = ftc_spans_find(tags, predictions, n, predicted);
    counts->words += (int64_t)n;
    for (size_t i = 0; i < n; i++) counts->correct += labels[i] == predictions[i];
    counts->expected += (int64_t)n_expected;
    counts->predicted += (int64_t)n_predicted;
    for (size_t i = 0, k = 0; i < n_expected; i++) { // both in the order of their ends
        while (k < n_predicted && predicted[k].last < expected[i].last) k++;
        counts->found += k < n_predicted && same(&expected[i], &predicted[k]);
    }
}

void ftc_spans_add(ftc_span_counts *to, const ftc_span_counts *more) {
    to->words += more->words;
    to->correct += more->correct;
    to->expected += more->expected;
    to->predicted += more->predicted;
    to->found += more->found;
}

static double ratio(int64_t part, int64_t whole) {
    return whole ? (double)part / (double)whole : 0;
}

ftc_span_scores ftc_spans_score(const ftc_span_counts *c) {
    return (ftc_span_scores){.accuracy = ratio(c->correct, c->words),
                             .precision = ratio(c->found, c->predicted),
                             .recall = ratio(c->found, c->expected),
                             .f1 = ratio(2 * c->found, c->predicted + c->expected)};
}
