#include "runtime/data/labels.h"

#include "ir/base/alloc.h"
#include "json/value.h"
#include "runtime/data/words.h"
#include "runtime/text/shown.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DISTINCT = 1000 }; // more different labels than this are no classes

// --- one label ----------------------------------------------------------------------------------------

static bool parse_number(const char *text, double *out) {
    char *end;
    if (!isdigit((unsigned char)text[strspn(text, "+-.")])) return false; // no "nan", no "inf"
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

// The form in which labels are compared, allocated.
static char *canonical(const char *text) {
    text += strspn(text, " \t\r\n");
    size_t size = strlen(text);
    while (size && strchr(" \t\r\n", text[size - 1])) size--;
    char *trimmed = ftc_strndup(text, size), *number = NULL;
    double v;
    if (!parse_number(trimmed, &v)) return trimmed;
    free(trimmed);
    if (v == 0) v = 0; // not -0
    if (v == floor(v) && fabs(v) < 1e15) {
        number = ftc_format("%.0f", v);
        return number;
    }
    for (int digits = 15; digits <= 17; digits++) { // as few as tell it from all others: 0.1
        free(number);
        number = ftc_format("%.*g", digits, v);
        if (strtod(number, NULL) == v) break;
    }
    return number;
}

// --- the distinct labels ------------------------------------------------------------------------------

typedef struct {
    char **values;
    size_t count, capacity;
    size_t last;   // where the label before was found
    bool complete; // false if there are more than were kept
    bool all_numbers;
} label_set;

static void set_free(label_set *set) {
    for (size_t i = 0; i < set->count; i++) free(set->values[i]);
    free(set->values);
}

// Adds a label if it is new; kept in the order of strcmp.
static void set_add(label_set *set, const char *text) {
    if (set->count && strcmp(set->values[set->last], text) == 0) return;
    char *value = canonical(text);
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(set->values[middle], value) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    set->last = low;
    if (low < set->count && strcmp(set->values[low], value) == 0) {
        free(value);
        return;
    }
    double number;
    set->all_numbers = set->all_numbers && parse_number(value, &number);
    set->values = ftc_grow(set->values, &set->capacity, set->count + 1, sizeof *set->values);
    memmove(set->values + low + 1, set->values + low, (set->count - low) * sizeof *set->values);
    set->values[low] = value;
    set->count++;
}

// What the labels of words have where a word has none.
static bool is_no_label(const char *text) {
    return strcmp(text, "-100") == 0;
}

static ftc_status bad_list(const ftc_table *table, size_t index) {
    return ftc_table_error(
        table, index,
        "column \"%s\" holds no list of labels, a text or number for each word; for one label a "
        "text, pass --task classification",
        ftc_table_label_column(table));
}

// Adds the label of a row, or those of its words.
static ftc_status set_add_row(label_set *set, const ftc_table *table, size_t index, const char *text,
                              ftc_fields *words) {
    if (!ftc_table_has_words(table)) {
        set_add(set, text);
        return FTC_STATUS_OK;
    }
    if (!ftc_words_read(text, words)) return bad_list(table, index);
    for (size_t i = 0; i < words->count; i++)
        if (!is_no_label(ftc_fields_get(words, i))) set_add(set, ftc_fields_get(words, i));
    return FTC_STATUS_OK;
}

static ftc_status set_collect(const ftc_table *table, size_t most, label_set *set) {
    ftc_row row = {0};
    ftc_fields words = {0};
    ftc_status status = FTC_STATUS_OK;
    size_t rows = ftc_table_rows(table);
    set->all_numbers = set->complete = true;
    for (size_t i = 0; i < rows && set->complete; i++) {
        status = ftc_table_read_label(table, i, &row);
        if (status.code == FTC_OK) status = set_add_row(set, table, i, row.label, &words);
        if (status.code != FTC_OK) break;
        set->complete = set->count <= most;
    }
    ftc_fields_free(&words);
    ftc_row_free(&row);
    return status;
}

static bool set_has(const label_set *set, const char *value) {
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->values[i], value) == 0) return true;
    return false;
}

// Whether -1 stands beside 0, 1, …: perhaps for no label.
static bool is_minus_one_unclear(const label_set *set) {
    return set->all_numbers && set_has(set, "-1") && set_has(set, "0") && set_has(set, "1");
}

static int compare_numbers(const void *a, const void *b) {
    double x = strtod(*(char *const *)a, NULL), y = strtod(*(char *const *)b, NULL);
    return (x > y) - (x < y);
}

// --- the mapping --------------------------------------------------------------------------------------

static char *copy(const char *text) {
    char *result = ftc_strdup(text);
    return result;
}

static int32_t id_of(const ftc_labels *labels, const char *canonical_text) {
    for (int id = 0; id < labels->count; id++)
        if (labels->values[id] && strcmp(labels->values[id], canonical_text) == 0) return id;
    return -1;
}

static bool has_all(const ftc_labels *labels, const label_set *set) {
    for (size_t i = 0; i < set->count; i++)
        if (id_of(labels, set->values[i]) < 0) return false;
    return set->complete;
}

static ftc_labels new_labels(ftc_labels_kind kind, int count) {
    ftc_labels labels = {.kind = kind,
                         .count = count,
                         .values = ftc_alloc((size_t)count, sizeof(char *)),
                         .names = ftc_alloc((size_t)count, sizeof(char *))};
    return labels;
}

static ftc_labels labels_from_names(int count, const char *const *id2label) {
    ftc_labels labels = new_labels(FTC_LABELS_NAMES, count);
    for (int id = 0; id < count; id++) {
        labels.values[id] = canonical(id2label[id]);
        labels.names[id] = copy(id2label[id]);
    }
    return labels;
}

static ftc_labels labels_from_ids(int count, const char *const *id2label) {
    ftc_labels labels = new_labels(FTC_LABELS_IDS, count);
    for (int id = 0; id < count; id++) {
        labels.values[id] = ftc_format("%d", id);
        labels.names[id] = copy(id2label ? id2label[id] : labels.values[id]);
    }
    return labels;
}

static ftc_labels labels_from_sorted(int count, const label_set *set) {
    ftc_labels labels = new_labels(FTC_LABELS_SORTED, count);
    for (int id = 0; id < count; id++) {
        if ((size_t)id < set->count) {
            labels.values[id] = copy(set->values[id]);
            labels.names[id] = copy(set->values[id]);
        } else {
            labels.names[id] = ftc_format("LABEL_%d", id);
        }
    }
    return labels;
}

// The first of the labels, for messages: "\"1\", \"2\", …"; allocated.
static char *quote_some(char *const *values, size_t count) {
    enum { SHOWN = 8 };
    size_t shown = 0;
    ftc_text text;
    FILE *out = ftc_text_open(&text);
    for (size_t i = 0; i < count && shown < SHOWN; i++)
        if (values[i]) fprintf(out, "%s\"%s\"", shown++ ? ", " : "", values[i]);
    if (count > SHOWN) fprintf(out, ", …");
    return ftc_text_close(&text, NULL);
}

static ftc_status does_not_fit(const ftc_table *table, int count, const label_set *set, bool may_sort) {
    char *some = quote_some(set->values, set->count);
    const char *path = ftc_table_path(table), *column = ftc_table_label_column(table);
    ftc_status status;
    if (!may_sort)
        status = ftc_status_make(
            FTC_BAD_INPUT,
            "%s: the labels in column \"%s\" (%s) are neither the names of the model's labels nor "
            "numbers 0 to %d",
            path, column, some, count - 1);
    else if (set->complete)
        status = ftc_status_make(
            FTC_BAD_INPUT,
            "%s: column \"%s\" has %zu different labels (%s), the model has %d: pass --set labels=%zu", path,
            column, set->count, some, count, set->count);
    else
        status = ftc_status_make(
            FTC_BAD_INPUT,
            "%s: column \"%s\" has more than %zu different labels (%s), the model has %d: choose another "
            "column with --label-column, or, to predict a number, pass --set labels=1",
            path, column, set->count - 1, some, count);
    free(some);
    return status;
}

static ftc_status unclear_minus_one(const ftc_table *table, const label_set *set) {
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s: column \"%s\" has the label -1 beside 0 and 1: if it is a class, pass --set "
                           "labels=%zu; if it says that there is no label, pass --missing-label -1",
                           ftc_table_path(table), ftc_table_label_column(table), set->count);
}

ftc_status ftc_labels_count(const ftc_table *table, int *out) {
    label_set set = {0};
    ftc_status status = set_collect(table, MAX_DISTINCT, &set);
    const char *path = ftc_table_path(table), *column = ftc_table_label_column(table), *fraction = NULL;
    for (size_t i = 0; i < set.count && set.all_numbers; i++)
        if (strpbrk(set.values[i], ".e")) fraction = set.values[i];
    if (status.code != FTC_OK) {
        // told
    } else if (!set.complete || fraction) {
        char *some = quote_some(set.values, set.count);
        status = ftc_status_make(
            FTC_BAD_INPUT,
            "%s: column \"%s\" %s (%s): to predict a number, pass --set labels=1; for classes, pass "
            "--set labels=N%s",
            path, column, fraction ? "has numbers with fractions" : "has more than 1000 different labels",
            some, fraction ? "" : ", or choose another column with --label-column");
        free(some);
    } else if (is_minus_one_unclear(&set)) {
        status = unclear_minus_one(table, &set);
    } else if (set.count == 1) {
        status = ftc_status_make(
            FTC_BAD_INPUT,
            "%s: column \"%s\" has the label \"%s\" in every row: there is nothing to learn; choose another "
            "column with --label-column, or say how many classes there are (--set labels=N)",
            path, column, set.values[0]);
    } else {
        *out = (int)set.count;
    }
    set_free(&set);
    return status;
}

static ftc_status check_numbers(const ftc_table *table) {
    ftc_labels labels = {.kind = FTC_LABELS_NUMBERS, .count = 1};
    ftc_row row = {0};
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < ftc_table_rows(table) && status.code == FTC_OK; i++) {
        float label;
        status = ftc_table_read_label(table, i, &row);
        if (status.code == FTC_OK) status = ftc_labels_find(&labels, table, i, row.label, &label);
    }
    ftc_row_free(&row);
    return status;
}

// The mapping for the labels of the set; false if none fits.
static bool choose(label_set *set, int count, const char *const *id2label, bool may_sort, ftc_labels *out) {
    if (id2label) {
        *out = labels_from_names(count, id2label);
        if (has_all(out, set)) return true;
        ftc_labels_free(out);
    }
    *out = labels_from_ids(count, id2label);
    if (has_all(out, set)) return true;
    ftc_labels_free(out);
    bool sorts = may_sort && set->complete && set->count <= (size_t)count &&
                 (set->count == (size_t)count || !is_minus_one_unclear(set));
    if (!sorts) return false;
    if (set->all_numbers) qsort(set->values, set->count, sizeof *set->values, compare_numbers);
    *out = labels_from_sorted(count, set);
    return true;
}

ftc_status ftc_labels_learn(const ftc_table *table, int count, const char *const *id2label, bool may_sort,
                            ftc_labels *out) {
    if (count == 1) {
        FTC_RETURN_IF_ERROR(check_numbers(table));
        *out = (ftc_labels){.kind = FTC_LABELS_NUMBERS, .count = 1};
        return FTC_STATUS_OK;
    }
    label_set set = {0};
    ftc_labels labels;
    ftc_status status = set_collect(table, count > MAX_DISTINCT ? (size_t)count : MAX_DISTINCT, &set);
    if (status.code == FTC_OK && choose(&set, count, id2label, may_sort, &labels)) {
        labels.occurring = (int)set.count;
        *out = labels;
    } else if (status.code == FTC_OK) {
        status = is_minus_one_unclear(&set) ? unclear_minus_one(table, &set)
                                            : does_not_fit(table, count, &set, may_sort);
    }
    set_free(&set);
    return status;
}

void ftc_labels_free(ftc_labels *labels) {
    for (int id = 0; labels->values && id < labels->count; id++) {
        free(labels->values[id]);
        free(labels->names[id]);
    }
    free(labels->values);
    free(labels->names);
    *labels = (ftc_labels){0};
}

static ftc_status unknown_label(const ftc_table *table, size_t index, const char *label, const char *known) {
    return ftc_table_error(
        table, index,
        "the label \"%s\" is none of those that the model knows: %s; correct it, leave the row "
        "out, or train with rows of this label",
        label, known);
}

ftc_status ftc_labels_find(const ftc_labels *labels, const ftc_table *table, size_t index, const char *text,
                           float *out) {
    if (labels->kind == FTC_LABELS_UNUSED || labels->several) {
        *out = 0;
        return FTC_STATUS_OK;
    }
    char *value = canonical(text);
    ftc_status status = FTC_STATUS_OK;
    if (labels->kind == FTC_LABELS_NUMBERS) {
        double number;
        if (parse_number(value, &number) && isfinite((float)number))
            *out = (float)number;
        else if (parse_number(value, &number))
            status = ftc_table_error(table, index, "the label \"%s\" is too large for a float", value);
        else
            status = ftc_table_error(table, index,
                                     "the label \"%s\" is no number, which a model with one label needs; "
                                     "for classes pass --set labels=N",
                                     value);
    } else {
        int32_t id = id_of(labels, value);
        char *some = id < 0 ? quote_some(labels->values, (size_t)labels->count) : NULL;
        if (id >= 0)
            *out = (float)id;
        else
            status = unknown_label(table, index, value, some);
        free(some);
    }
    free(value);
    return status;
}

ftc_status ftc_labels_find_words(const ftc_labels *labels, const ftc_table *table, size_t index,
                                 const char *text, size_t n_words, int32_t *classes) {
    ftc_fields words = {0};
    ftc_status status = ftc_words_read(text, &words) ? FTC_STATUS_OK : bad_list(table, index);
    if (status.code == FTC_OK && words.count != n_words)
        status = ftc_table_error(
            table, index, "the sentence has %zu word%s and %zu label%s", n_words, n_words == 1 ? "" : "s",
            words.count, words.count == 1 ? "; for one label a text pass --task classification" : "s");
    for (size_t i = 0; i < n_words && status.code == FTC_OK; i++) {
        float class = FTC_NO_LABEL;
        const char *word = ftc_fields_get(&words, i);
        if (!is_no_label(word)) status = ftc_labels_find(labels, table, index, word, &class);
        classes[i] = (int32_t)class;
    }
    ftc_fields_free(&words);
    return status;
}

// --- several labels a text ----------------------------------------------------------------------------

// What the label of one text lists.
typedef struct {
    char **items; // [n] canonical
    size_t n, capacity;
    bool is_numeric; // a list of JSON, of numbers alone
} label_list;

static void list_free(label_list *list) {
    for (size_t i = 0; i < list->n; i++) free(list->items[i]);
    free(list->items);
    *list = (label_list){0};
}

// Takes the text.
static void list_add(label_list *list, char *text) {
    list->items = ftc_grow(list->items, &list->capacity, list->n + 1, sizeof *list->items);
    list->items[list->n++] = canonical(text);
    free(text);
}

// The elements of a list of JSON; false: it is none, or has elements that are no texts or numbers.
static bool list_json(const char *text, label_list *list) {
    cJSON *json = text[strspn(text, " \t\r\n")] == '[' ? ftc_json_parse(text, strlen(text), NULL) : NULL,
          *item;
    bool ok = cJSON_IsArray(json);
    list->is_numeric = ok;
    cJSON_ArrayForEach(item, json) {
        bool is_number = cJSON_IsNumber(item) || cJSON_IsBool(item);
        ok = ok && (is_number || cJSON_IsString(item));
        list->is_numeric &= is_number;
        if (ok && is_number)
            list_add(list, ftc_format("%.17g", cJSON_IsBool(item) ? cJSON_IsTrue(item) : item->valuedouble));
        else if (ok)
            list_add(list, ftc_strdup(item->valuestring));
    }
    cJSON_Delete(json);
    return ok;
}

// ['a', "b"], as Python prints a list of texts, and pandas writes it to CSV: not JSON.
static bool is_of_python(const char *text) {
    text += strspn(text, " \t\r\n");
    return text[0] == '[' && text[1 + strspn(text + 1, " \t\r\n")] == '\'';
}

// Cuts the label of a text into its list.
static ftc_status list_read(const ftc_table *table, size_t index, const char *text, label_list *list) {
    if (list_json(text, list)) return FTC_STATUS_OK;
    list_free(list);
    if (is_of_python(text))
        return ftc_table_error(table, index,
                               "the label %.40s is a list as Python prints it, not one of JSON: write the "
                               "column with json.dumps, or as names with | between",
                               text);
    for (size_t n; *text; text += n + (text[n] == '|')) {
        n = strcspn(text, "|");
        if (strspn(text, " \t\r\n") < n) list_add(list, ftc_strndup(text, n));
    }
    return FTC_STATUS_OK;
}

// What the lists of a table have in common.
typedef struct {
    label_set set;   // of all their elements
    size_t length;   // of those that are not empty, if all have the same
    bool is_numeric; // all are of numbers alone
    bool same_length;
    bool whole; // whole numbers from 0
    double most;
} list_survey;

static void survey_list(list_survey *s, const label_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        double number = -1;
        parse_number(list->items[i], &number);
        s->whole &= number >= 0 && number == floor(number);
        if (number > s->most) s->most = number;
        set_add(&s->set, list->items[i]);
    }
    s->is_numeric &= list->is_numeric || list->n == 0;
    if (list->n && !s->length) s->length = list->n;
    s->same_length &= !list->n || list->n == s->length;
}

static ftc_status survey_lists(const ftc_table *table, size_t most, list_survey *s) {
    ftc_row row = {0};
    ftc_status status = FTC_STATUS_OK;
    label_list list = {0};
    *s = (list_survey){.is_numeric = true, .same_length = true, .whole = true};
    s->set.all_numbers = s->set.complete = true;
    for (size_t i = 0; i < ftc_table_rows(table) && status.code == FTC_OK && s->set.complete; i++) {
        status = ftc_table_read_label(table, i, &row);
        if (status.code != FTC_OK) break;
        status = list_read(table, i, row.label, &list);
        survey_list(s, &list);
        list_free(&list);
        s->set.complete = s->set.count <= most;
    }
    ftc_row_free(&row);
    return status;
}

// Whether the lists have a number for each of `count` labels (0: of as many as they are long).
static bool are_numbers(const list_survey *s, size_t count) {
    if (!s->is_numeric || !s->length) return false;
    if (s->same_length && s->length == count) return true;
    return !s->whole || (s->most <= 1 && s->same_length);
}

bool ftc_labels_are_lists(const ftc_table *table) {
    ftc_row row = {0};
    label_list list = {0};
    bool found = ftc_table_label_columns(table) > 0;
    for (size_t i = 0; i < ftc_table_rows(table) && !found; i++) {
        ftc_status status = ftc_table_read_label(table, i, &row);
        found = status.code == FTC_OK && (list_json(row.label, &list) || is_of_python(row.label));
        ftc_status_free(&status); // who reads the labels tells
        list_free(&list);
    }
    ftc_row_free(&row);
    return found;
}

ftc_status ftc_labels_count_several(const ftc_table *table, int *out) {
    list_survey s;
    const char *path = ftc_table_path(table), *column = ftc_table_label_column(table);
    if (ftc_table_label_columns(table)) {
        *out = (int)ftc_table_label_columns(table);
        return FTC_STATUS_OK;
    }
    ftc_status status = survey_lists(table, MAX_DISTINCT, &s);
    double count = are_numbers(&s, 0)                       ? (double)s.length
                   : s.is_numeric && s.whole && s.set.count ? s.most + 1
                                                            : (double)s.set.count;
    if (status.code != FTC_OK) {
        // told
    } else if (!s.set.complete || count > MAX_DISTINCT) {
        status =
            ftc_status_make(FTC_BAD_INPUT,
                            "%s: column \"%s\" has more than %d different labels: choose another column with "
                            "--label-column, or pass --set labels=N",
                            path, column, MAX_DISTINCT);
    } else if (count < 1) {
        status = ftc_status_make(FTC_BAD_INPUT,
                                 "%s: column \"%s\" gives no text a label: there is nothing to learn", path,
                                 column);
    } else {
        *out = (int)count;
    }
    set_free(&s.set);
    return status;
}

// The labels that are columns: as the directory numbers them where it has their names, else in their order.
static ftc_status learn_columns(const ftc_table *table, int count, const char *const *id2label,
                                bool may_choose, ftc_labels *out) {
    size_t n = ftc_table_label_columns(table), known = 0;
    ftc_labels labels = new_labels(FTC_LABELS_COLUMNS, count);
    for (int id = 0; id < count; id++) {
        const char *name = id2label         ? id2label[id]
                           : (size_t)id < n ? ftc_table_label_name(table, (size_t)id)
                                            : "";
        labels.values[id] = canonical(name);
        labels.names[id] = copy(name);
    }
    for (size_t i = 0; i < n; i++) {
        char *value = canonical(ftc_table_label_name(table, i));
        known += id_of(&labels, value) >= 0;
        free(value);
    }
    labels.several = true;
    labels.occurring = (int)n;
    if (known == n && (id2label || n == (size_t)count)) {
        *out = labels;
        return FTC_STATUS_OK;
    }
    ftc_labels_free(&labels);
    if (id2label && may_choose && n == (size_t)count) return learn_columns(table, count, NULL, true, out);
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: --label-columns names %zu labels, the model has %d%s: name all of them, as the model "
        "does, or pass --set labels=%zu",
        ftc_table_path(table), n, count, n == (size_t)count ? " others" : "", n);
}

ftc_status ftc_labels_learn_several(const ftc_table *table, int count, const char *const *id2label,
                                    bool may_sort, ftc_labels *out) {
    if (ftc_table_label_columns(table)) return learn_columns(table, count, id2label, may_sort, out);
    list_survey s;
    ftc_labels labels;
    ftc_status status = survey_lists(table, count > MAX_DISTINCT ? (size_t)count : MAX_DISTINCT, &s);
    if (status.code != FTC_OK) {
        // told
    } else if (are_numbers(&s, (size_t)count)) {
        labels = id2label ? labels_from_names(count, id2label) : labels_from_ids(count, NULL);
        labels.kind = FTC_LABELS_LISTS;
        labels.several = true;
        *out = labels;
    } else if (choose(&s.set, count, id2label, may_sort, &labels)) {
        labels.occurring = (int)s.set.count;
        labels.several = true;
        *out = labels;
    } else {
        status = does_not_fit(table, count, &s.set, may_sort);
    }
    set_free(&s.set);
    return status;
}

// A list of numbers as it is.
static ftc_status find_numbers(const ftc_labels *labels, const ftc_table *table, size_t index,
                               const label_list *list, double *numbers) {
    if (list->n && list->n != (size_t)labels->count)
        return ftc_table_error(table, index, "the label lists %zu numbers, the model has %d labels", list->n,
                               labels->count);
    for (size_t i = 0; i < list->n; i++)
        if (!parse_number(list->items[i], &numbers[i]))
            return ftc_table_error(table, index,
                                   "the label lists \"%s\": expected numbers, as in the rows before",
                                   list->items[i]);
    return FTC_STATUS_OK;
}

ftc_status ftc_labels_find_several(const ftc_labels *labels, const ftc_table *table, size_t index,
                                   const char *text, double *numbers) {
    label_list list = {0};
    memset(numbers, 0, (size_t)labels->count * sizeof *numbers);
    ftc_status status = list_read(table, index, text, &list);
    if (labels->kind == FTC_LABELS_LISTS && status.code == FTC_OK)
        status = find_numbers(labels, table, index, &list, numbers);
    for (size_t i = 0; i < list.n && status.code == FTC_OK && labels->kind != FTC_LABELS_LISTS; i++) {
        int32_t id = id_of(labels, list.items[i]);
        if (id >= 0) {
            numbers[id] = 1;
            continue;
        }
        char *some = quote_some(labels->values, (size_t)labels->count);
        status = unknown_label(table, index, list.items[i], some);
        free(some);
    }
    list_free(&list);
    return status;
}

char *ftc_labels_describe(const ftc_labels *labels) {
    ftc_text text;
    FILE *out = ftc_text_open(&text);
    if (labels->kind == FTC_LABELS_NUMBERS) fprintf(out, "numbers");
    if (labels->kind == FTC_LABELS_UNUSED) fprintf(out, "not used as a class or value");
    if (labels->several)
        fprintf(out, "several a text, %s: ",
                labels->kind == FTC_LABELS_COLUMNS ? "each a column"
                : labels->kind == FTC_LABELS_LISTS ? "lists of numbers"
                                                   : "listed");
    bool first = true;
    for (int id = 0; labels->values && id < labels->count; id++) {
        if (!labels->values[id]) continue;
        char *shown = ftc_shown(labels->values[id]);
        fprintf(out, "%s%s → %d", first ? "" : ", ", shown, id);
        free(shown);
        first = false;
    }
    return ftc_text_close(&text, NULL);
}
