#include "runtime/loop/spans.h"

#include <stdbool.h>
#include <stdlib.h>
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

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t ftc_spans_types(const ftc_span_tag *tags, size_t n, const char **types) {
    size_t count = 0, distinct = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_one_of(tags[i].place, "O.")) types[count++] = tags[i].type;
    qsort(types, count, sizeof *types, by_name);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(types[i], types[distinct - 1]) != 0) types[distinct++] = types[i];
    return distinct;
}

static size_t type_of(const ftc_span *span, const char *const *types, size_t n_types) {
    const char *const *type = bsearch(&span->type, types, n_types, sizeof *types, by_name);
    return (size_t)(type - types);
}

void ftc_spans_count(const ftc_span_tag *tags, const int32_t *labels, const int32_t *predictions, size_t n,
                     ftc_span *scratch, const char *const *types, size_t n_types, ftc_span_counts *counts) {
    ftc_span *expected = scratch, *predicted = scratch + n;
    size_t n_expected = ftc_spans_find(tags, labels, n, expected);
    size_t n_predicted = ftc_spans_find(tags, predictions, n, predicted);
    for (size_t k = 0; k < n_predicted; k++) counts[type_of(&predicted[k], types, n_types)].predicted++;
    for (size_t i = 0, k = 0; i < n_expected; i++) { // both in the order of their ends
        ftc_span_counts *of_type = &counts[type_of(&expected[i], types, n_types)];
        while (k < n_predicted && predicted[k].last < expected[i].last) k++;
        of_type->expected++;
        of_type->found += k < n_predicted && same(&expected[i], &predicted[k]);
    }
}

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

static ftc_one_class_scores score(const ftc_span_counts *c) {
    double found = (double)c->found, expected = (double)c->expected, predicted = (double)c->predicted;
    return (ftc_one_class_scores){.precision = ratio(found, predicted),
                                  .recall = ratio(found, expected),
                                  .f1 = ratio(2 * found, predicted + expected),
                                  .support = c->expected,
                                  .predicted = c->predicted};
}

static void add(ftc_one_class_scores *to, const ftc_one_class_scores *one, double share) {
    to->precision += share * one->precision;
    to->recall += share * one->recall;
    to->f1 += share * one->f1;
    to->support += one->support;
    to->predicted += one->predicted;
}

ftc_span_scores ftc_spans_score(const ftc_span_counts *counts, size_t n_types, ftc_one_class_scores *each) {
    ftc_span_scores scores = {0};
    ftc_span_counts all = {0};
    double occurring = 0;
    for (size_t k = 0; k < n_types; k++) {
        each[k] = score(&counts[k]);
        all.expected += counts[k].expected;
        all.predicted += counts[k].predicted;
        all.found += counts[k].found;
        occurring += counts[k].expected + counts[k].predicted > 0;
    }
    scores.micro = score(&all);
    for (size_t k = 0; k < n_types; k++) {
        bool occurs = counts[k].expected + counts[k].predicted > 0;
        add(&scores.macro, &each[k], occurs ? 1 / occurring : 0);
        add(&scores.weighted, &each[k], ratio((double)counts[k].expected, (double)all.expected));
    }
    return scores;
}
