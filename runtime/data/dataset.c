#include "runtime/data/dataset.h"

#include "ir/base/alloc.h"
#include "json/value.h"
#include "runtime/data/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int64_t ftc_dataset_tokens(const ftc_dataset *dataset) {
    return dataset->n ? dataset->offsets[dataset->n] : 0;
}

// Appends tokens to those of the last example.
static void extend(ftc_dataset *d, const ftc_tokens *tokens) {
    size_t used = (size_t)ftc_dataset_tokens(d);
    d->ids = ftc_grow(d->ids, &d->ids_capacity, used + tokens->count, sizeof *d->ids);
    d->types = ftc_grow(d->types, &d->types_capacity, used + tokens->count, sizeof *d->types);
    if (tokens->count) {
        memcpy(d->ids + used, tokens->ids, tokens->count * sizeof *d->ids);
        memcpy(d->types + used, tokens->types, tokens->count * sizeof *d->types);
    }
    d->offsets[d->n] += (int64_t)tokens->count;
}

void ftc_dataset_add(ftc_dataset *d, const ftc_tokens *tokens, float label) {
    size_t n = (size_t)d->n;
    int64_t used = ftc_dataset_tokens(d);
    d->offsets = ftc_grow(d->offsets, &d->offsets_capacity, n + 2, sizeof *d->offsets);
    d->labels = ftc_grow(d->labels, &d->labels_capacity, n + 1, sizeof *d->labels);
    d->offsets[n] = d->offsets[n + 1] = used;
    d->labels[n] = label;
    d->n++;
    extend(d, tokens);
}

void ftc_dataset_add_pair(ftc_dataset *d, const ftc_tokens *first, const ftc_tokens *second, float label) {
    size_t n = (size_t)d->n;
    d->firsts = ftc_grow(d->firsts, &d->firsts_capacity, n + 1, sizeof *d->firsts);
    d->firsts[n] = (int32_t)first->count;
    ftc_dataset_add(d, first, label);
    extend(d, second);
}

void ftc_dataset_add_words(ftc_dataset *d, const ftc_tokens *tokens, const int32_t *classes,
                           ftc_tagging tagging) {
    size_t used = (size_t)ftc_dataset_tokens(d);
    ftc_dataset_add(d, tokens, 0);
    d->tags = ftc_grow(d->tags, &d->tags_capacity, used + tokens->count, sizeof *d->tags);
    for (size_t i = 0; i < tokens->count; i++) {
        int32_t word = tokens->words[i];
        bool first = i == 0 || tokens->words[i - 1] != word;
        d->tags[used + i] = word >= 0 && (first || tagging == FTC_TAG_ALL) ? classes[word] : FTC_NO_LABEL;
    }
    d->cut += tokens->is_cut;
}

// --- reading ------------------------------------------------------------------------------------------

// One thread's share of the rows.
typedef struct {
    ftc_dataset examples;
    ftc_status status;
} share;

// The tokens of the row that is read; the second text's where its texts stand apart.
typedef struct {
    ftc_tokens first, second;
} row_tokens;

typedef struct {
    const ftc_dataset_source *source;
    share *shares; // [threads]
} reading;

ftc_status ftc_words_encode(const ftc_tokenizer *tokenizer, const char *cell, int max_length,
                            ftc_fields *words, ftc_tokens *tokens) {
    if (!ftc_words_read(cell, words)) return ftc_status_make(FTC_BAD_INPUT, "the words are no list of texts");
    const char **list = ftc_alloc(words->count + 1, sizeof *list);
    for (size_t i = 0; i < words->count; i++) list[i] = ftc_fields_get(words, i);
    ftc_status status = ftc_tokenizer_encode_words(tokenizer, list, words->count, max_length, tokens);
    free(list);
    return status;
}

// A row of words, which row->text and row->label list.
static ftc_status read_words(const ftc_dataset_source *source, size_t at, const ftc_row *row,
                             ftc_tokens *tokens, ftc_dataset *to) {
    ftc_fields words = {0};
    ftc_status encoded = ftc_words_encode(source->tokenizer, row->text, source->max_length, &words, tokens);
    ftc_status status = FTC_STATUS_OK;
    if (encoded.code != FTC_OK) status = ftc_table_error(source->table, at, "%s", encoded.message);
    ftc_status_free(&encoded);
    int32_t *classes = ftc_alloc(words.count + 1, sizeof *classes);
    for (size_t i = 0; i < words.count; i++) classes[i] = FTC_NO_LABEL;
    if (status.code == FTC_OK && source->labels)
        status = ftc_labels_find_words(source->labels, source->table, at, row->label, words.count, classes);
    if (status.code == FTC_OK) ftc_dataset_add_words(to, tokens, classes, source->tagging);
    free(classes);
    ftc_fields_free(&words);
    return status;
}

static ftc_status encode_row(const ftc_dataset_source *source, const ftc_row *row, row_tokens *tokens) {
    const ftc_tokenizer *tokenizer = source->tokenizer;
    if (!source->apart)
        return ftc_tokenizer_encode(tokenizer, row->text, row->pair, source->max_length, &tokens->first);
    FTC_RETURN_IF_ERROR(ftc_tokenizer_encode(tokenizer, row->text, NULL, source->max_length, &tokens->first));
    return ftc_tokenizer_encode(tokenizer, row->pair, NULL, source->max_length, &tokens->second);
}

static ftc_status read_row(const ftc_dataset_source *source, size_t index, ftc_row *row, row_tokens *tokens,
                           ftc_dataset *to) {
    size_t at = (size_t)source->rows[index];
    float label = 0;
    FTC_RETURN_IF_ERROR(ftc_table_read(source->table, at, row));
    if (ftc_table_has_words(source->table)) return read_words(source, at, row, &tokens->first, to);
    if (source->labels) {
        FTC_RETURN_IF_ERROR(ftc_labels_find(source->labels, source->table, at, row->label, &label));
    }
    if (!source->tokenizer) {
        ftc_dataset_add(to, &tokens->first, label);
        return FTC_STATUS_OK;
    }
    ftc_status status = encode_row(source, row, tokens);
    if (status.code != FTC_OK) {
        ftc_status located = ftc_table_error(source->table, at, "%s", status.message);
        ftc_status_free(&status);
        return located;
    }
    if (source->apart)
        ftc_dataset_add_pair(to, &tokens->first, &tokens->second, label);
    else
        ftc_dataset_add(to, &tokens->first, label);
    return FTC_STATUS_OK;
}

static void read_share(void *context, int32_t thread, int32_t threads) {
    const reading *r = context;
    share *mine = &r->shares[thread];
    size_t n = r->source->n, end = n * (size_t)(thread + 1) / (size_t)threads;
    ftc_row row = {0};
    row_tokens tokens = {0};
    for (size_t i = n * (size_t)thread / (size_t)threads; i < end && mine->status.code == FTC_OK; i++) {
        mine->status = read_row(r->source, i, &row, &tokens, &mine->examples);
    }
    ftc_row_free(&row);
    ftc_tokens_free(&tokens.first);
    ftc_tokens_free(&tokens.second);
}

static void append(ftc_dataset *to, const ftc_dataset *from) {
    size_t used = (size_t)ftc_dataset_tokens(to), more = (size_t)ftc_dataset_tokens(from);
    if (from->tags) {
        to->tags = ftc_grow(to->tags, &to->tags_capacity, used + more, sizeof *to->tags);
        memcpy(to->tags + used, from->tags, more * sizeof *to->tags);
    }
    if (from->firsts) {
        size_t n = (size_t)to->n, examples = (size_t)from->n;
        to->firsts = ftc_grow(to->firsts, &to->firsts_capacity, n + examples, sizeof *to->firsts);
        memcpy(to->firsts + n, from->firsts, examples * sizeof *to->firsts);
    }
    to->cut += from->cut;
    for (int64_t i = 0; i < from->n; i++) {
        int64_t at = from->offsets[i];
        ftc_tokens tokens = {
            .ids = from->ids + at, .types = from->types + at, .count = (size_t)ftc_dataset_length(from, i)};
        ftc_dataset_add(to, &tokens, from->labels[i]);
    }
}

ftc_status ftc_dataset_read(const ftc_dataset_source *source, ftc_threads *threads, ftc_dataset *out) {
    int32_t n = ftc_threads_count(threads);
    reading r = {source, ftc_alloc((size_t)n, sizeof *r.shares)};
    ftc_threads_run(threads, read_share, &r);
    ftc_dataset all = {0};
    ftc_status status = FTC_STATUS_OK;
    for (int32_t i = 0; i < n; i++) { // the first share that failed has the first row that did
        share *part = &r.shares[i];
        if (status.code == FTC_OK) {
            status = part->status;
            append(&all, &part->examples);
        } else {
            ftc_status_free(&part->status);
        }
        ftc_dataset_free(&part->examples);
    }
    free(r.shares);
    if (status.code != FTC_OK) {
        ftc_dataset_free(&all);
        return status;
    }
    if (all.tags && source->labels) {
        all.tag_names = (const char *const *)source->labels->names;
        all.n_tag_names = source->labels->count;
    }
    *out = all;
    return FTC_STATUS_OK;
}

// --- columns of numbers -------------------------------------------------------------------------------

static void add_number(ftc_number_lists *lists, size_t *used, double value) {
    lists->values = ftc_grow(lists->values, &lists->values_capacity, *used + 1, sizeof *lists->values);
    lists->values[(*used)++] = value;
}

// Appends the numbers of a JSON value, lists of lists one after the other, true and false as 1 and 0; false:
// it holds something else.
static bool add_json(ftc_number_lists *lists, size_t *used, const cJSON *json) {
    if (cJSON_IsNumber(json) || cJSON_IsBool(json)) {
        double value = cJSON_IsNumber(json) ? json->valuedouble : cJSON_IsTrue(json);
        add_number(lists, used, value);
        return isfinite(value);
    }
    if (!cJSON_IsArray(json)) return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (!add_json(lists, used, item)) return false;
    }
    return true;
}

// Appends the numbers of a cell: JSON, a number as C reads it (" 1.", "+2"), or a bool as Python writes it.
static bool add_cell(ftc_number_lists *lists, size_t *used, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end != text && end[strspn(end, " \t\r\n")] == '\0') {
        add_number(lists, used, value);
        return isfinite(value);
    }
    if (!strcmp(text, "True") || !strcmp(text, "False")) {
        add_number(lists, used, *text == 'T');
        return true;
    }
    cJSON *json = ftc_json_parse(text, strlen(text), NULL);
    bool ok = json && add_json(lists, used, json);
    cJSON_Delete(json);
    return ok;
}

// The lists of labels, as a number for each label.
static ftc_status read_several_labels(const ftc_dataset_source *source, ftc_number_lists *lists) {
    const ftc_labels *labels = source->labels;
    size_t used = 0;
    ftc_row row = {0};
    double *numbers = ftc_alloc((size_t)labels->count, sizeof *numbers);
    lists->offsets =
        ftc_grow(lists->offsets, &lists->offsets_capacity, source->n + 1, sizeof *lists->offsets);
    lists->offsets[0] = 0;
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < source->n && status.code == FTC_OK; i++) {
        size_t at = (size_t)source->rows[i];
        status = ftc_table_read_label(source->table, at, &row);
        if (status.code == FTC_OK)
            status = ftc_labels_find_several(labels, source->table, at, row.label, numbers);
        for (int k = 0; k < labels->count && status.code == FTC_OK; k++) add_number(lists, &used, numbers[k]);
        lists->offsets[i + 1] = (int64_t)used;
    }
    free(numbers);
    ftc_row_free(&row);
    return status;
}

static ftc_status read_column(const ftc_dataset_source *source, const char *name, ftc_number_lists *lists) {
    if (!name && source->labels && source->labels->several) return read_several_labels(source, lists);
    size_t column, used = 0;
    ftc_row row = {0};
    FTC_RETURN_IF_ERROR(ftc_table_find_column(source->table, name, &column));
    lists->offsets =
        ftc_grow(lists->offsets, &lists->offsets_capacity, source->n + 1, sizeof *lists->offsets);
    lists->offsets[0] = 0;
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < source->n && status.code == FTC_OK; i++) {
        const char *text;
        size_t at = (size_t)source->rows[i];
        status = ftc_table_read_cell(source->table, at, column, &row, &text);
        if (status.code != FTC_OK) break;
        if (!add_cell(lists, &used, text))
            status = ftc_table_error(
                source->table, at,
                "column \"%s\" holds \"%.40s\": expected a number or a list of numbers, [1, 2]",
                name ? name : ftc_table_label_column(source->table), text);
        lists->offsets[i + 1] = (int64_t)used;
    }
    ftc_row_free(&row);
    return status;
}

ftc_status ftc_dataset_read_columns(const ftc_dataset_source *source, const char *const *names,
                                    int32_t n_columns, ftc_dataset *dataset) {
    dataset->columns = ftc_alloc((size_t)n_columns + 1, sizeof *dataset->columns);
    dataset->n_columns = n_columns;
    for (int32_t i = 0; i < n_columns; i++)
        FTC_RETURN_IF_ERROR(read_column(source, names[i], &dataset->columns[i]));
    return FTC_STATUS_OK;
}

void ftc_dataset_free(ftc_dataset *dataset) {
    for (int32_t i = 0; i < dataset->n_columns; i++) {
        free(dataset->columns[i].offsets);
        free(dataset->columns[i].values);
    }
    free(dataset->columns);
    free(dataset->offsets);
    free(dataset->ids);
    free(dataset->types);
    free(dataset->firsts);
    free(dataset->labels);
    free(dataset->tags);
    *dataset = (ftc_dataset){0};
}

int64_t ftc_dataset_hash(const ftc_dataset *d) {
    if (!d->n) return 0;
    uint64_t hash = XXH3_64bits(d->ids, (size_t)ftc_dataset_tokens(d) * sizeof *d->ids);
    hash = XXH3_64bits_withSeed(d->types, (size_t)ftc_dataset_tokens(d) * sizeof *d->types, hash);
    for (int32_t i = 0; i < d->n_columns; i++) {
        const ftc_number_lists *c = &d->columns[i];
        hash = XXH3_64bits_withSeed(c->offsets, (size_t)(d->n + 1) * sizeof *c->offsets, hash);
        hash = XXH3_64bits_withSeed(c->values, (size_t)c->offsets[d->n] * sizeof *c->values, hash);
    }
    if (d->firsts) hash = XXH3_64bits_withSeed(d->firsts, (size_t)d->n * sizeof *d->firsts, hash);
    if (d->masking)
        hash = XXH3_64bits_withSeed(&d->masking->probability, sizeof d->masking->probability, hash);
    if (d->tags) hash = XXH3_64bits_withSeed(d->tags, (size_t)ftc_dataset_tokens(d) * sizeof *d->tags, hash);
    hash = XXH3_64bits_withSeed(d->labels, (size_t)d->n * sizeof *d->labels, hash);
    hash = XXH3_64bits_withSeed(d->offsets, (size_t)(d->n + 1) * sizeof *d->offsets, hash);
    return (int64_t)(hash >> 12);
}
