#include "runtime/data/table.h"

#include "ir/base/alloc.h"
#include "runtime/data/decode.h"
#include "runtime/data/scan.h"
#include "runtime/json.h"
#include "runtime/text/shown.h"
#include "ir/base/name.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 18 };

enum { TEXT, PAIR, LABEL, ROLES };

struct ftc_table {
    ftc_layout layout; // its names: of the columns; without a header "0", "1", …
    char *path;
    ftc_fields first; // the first row, where there is no header to name the columns by
    const char *hint; // what messages about columns end with: "" or "; …"
    bool has_header;
    size_t columns[ROLES]; // index of the column in each role, NONE
    bool list_labels, several_labels, words, pairs;
    char *missing_label;   // or NULL
    size_t *label_columns; // [n_label_columns]
    size_t n_label_columns;
};

struct ftc_row_buffer {
    char *window; // bytes of the file
    size_t capacity, size;
    uint64_t offset; // of the window in the file
    size_t next;     // index of the row behind the one read last
    ftc_fields fields;
    char *labels; // of the row read last, listed out of their columns; or NULL
};

#define NONE SIZE_MAX

// --- JSON ---------------------------------------------------------------------------------------------

// Appends the value as a field, null as an empty one; false if it is a list or an object.
static bool push_json(ftc_fields *fields, const cJSON *value) {
    char number[32];
    const char *text = number;
    if (cJSON_IsString(value)) {
        text = value->valuestring;
    } else if (cJSON_IsBool(value)) {
        text = cJSON_IsTrue(value) ? "true" : "false";
    } else if (cJSON_IsNumber(value)) {
        double v = value->valuedouble;
        if (fabs(v) < 1e15 && v == floor(v))
            snprintf(number, sizeof number, "%.0f", v);
        else
            snprintf(number, sizeof number, "%.17g", v);
    } else if (cJSON_IsNull(value)) {
        text = "";
    } else {
        return false;
    }
    ftc_fields_push(fields, text, strlen(text));
    return true;
}

// Appends a list as JSON text.
static void push_list(ftc_fields *fields, const cJSON *list) {
    char *text = cJSON_PrintUnformatted(list);
    ftc_fields_push(fields, text, strlen(text));
    cJSON_free(text);
}

// --- columns ------------------------------------------------------------------------------------------

static const char *const default_texts[] = {"text",    "sentence", "review",      "content",
                                            "comment", "document", "description", NULL};
static const char *const default_labels[] = {"label",    "labels", "stars",     "class", "rating",
                                             "category", "target", "sentiment", NULL};

static const char *const word_texts[] = {"tokens",  "words",   "text",     "sentence",    "review",
                                         "content", "comment", "document", "description", NULL};
static const char *const word_labels[] = {"ner_tags", "tags",       "labels", "label",
                                          "pos_tags", "chunk_tags", NULL};

static const char *const first_texts[] = {"anchor", "query", "question", "sentence1", "premise", NULL};
static const char *const second_texts[] = {"positive", "answer", "passage", "sentence2", "hypothesis", NULL};

// The names of the column in a role where none is asked for.
static const char *const *default_names(const ftc_table *t, int role) {
    if (role == LABEL) return t->words ? word_labels : default_labels;
    if (t->pairs) return role == TEXT ? first_texts : second_texts;
    return t->words ? word_texts : default_texts;
}

static size_t find_column(const ftc_table *t, const char *name) {
    for (size_t i = 0; i < t->layout.names.count; i++)
        if (strcmp(ftc_fields_get(&t->layout.names, i), name) == 0) return i;
    return NONE;
}

// The first of the names that the file has, be it in capitals.
static size_t find_default(const ftc_table *t, const char *const *names) {
    size_t column = NONE;
    for (const char *const *name = names; *name && column == NONE; name++) column = find_column(t, *name);
    for (const char *const *name = names; *name && column == NONE; name++)
        for (size_t i = 0; i < t->layout.names.count && column == NONE; i++)
            if (strcasecmp(ftc_fields_get(&t->layout.names, i), *name) == 0) column = i;
    return column;
}

static bool is_column_number(const char *text) {
    return *text && strspn(text, "0123456789") == strlen(text);
}

// Writes "NAME"; of one that is long, as a text in a first row that is no header, its beginning.
static void write_name(FILE *out, const char *name) {
    enum { COLUMNS = 40 };
    size_t bytes;
    char *shown = ftc_shown(name);
    ftc_shown_columns(shown, COLUMNS, &bytes);
    fprintf(out, "\"%.*s%s\"", (int)bytes, shown, shown[bytes] ? "…" : "");
    free(shown);
}

// "did you mean "text"? The columns are "label", "text"", allocated; without a header what is in them.
static char *list_columns(const ftc_table *t, const char *wanted) {
    enum { SHOWN = 20 };
    size_t n = t->layout.names.count;
    const ftc_fields *fields = t->first.count ? &t->first : &t->layout.names;
    ftc_text text;
    FILE *out = ftc_text_open(&text);
    const char **names = ftc_alloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) names[i] = ftc_fields_get(fields, i);
    const char *nearest = wanted && fields != &t->first ? ftc_name_nearest(wanted, names, (int)n) : NULL;
    if (nearest) fprintf(out, "did you mean \"%s\"? ", nearest);
    if (fields != &t->first)
        fprintf(out, n == 1 ? "The only column is" : "The columns are");
    else if (n == 1)
        fprintf(out, "There is no header, and one column, which begins with");
    else
        fprintf(out, "There is no header: the columns are 0 to %zu, and begin with", n - 1);
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        fputs(i ? ", " : " ", out);
        write_name(out, names[i]);
    }
    if (n > SHOWN) fprintf(out, " and %zu more", n - SHOWN);
    free(names);
    return ftc_text_close(&text, NULL);
}

static ftc_status no_column(const ftc_table *t, const char *wanted, const char *role,
                            const char *const *defaults) {
    char *columns = list_columns(t, wanted);
    ftc_status status;
    if (wanted)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: there is no column \"%s\"%s %s%s", t->path, wanted,
                                 *columns == 'd' ? ";" : ".", columns, t->hint);
    else
        status = ftc_status_make(
            FTC_BAD_INPUT,
            "%s: no column is called \"%s\" or \"%s\"; name the one of the %ss (--%s-column). %s%s", t->path,
            defaults[0], defaults[1], role, role, columns, t->hint);
    free(columns);
    return status;
}

// The column of this number or, if there are not so many, called `wanted`; NULL: the first of the defaults
// that there is. `role`: what it is for, in messages.
static ftc_status find_wanted(const ftc_table *t, const char *role, const char *wanted,
                              const char *const *defaults, size_t *out) {
    size_t column = NONE, count = t->layout.names.count;
    bool by_number = wanted && is_column_number(wanted);
    if (by_number && strlen(wanted) < 10 && strtoul(wanted, NULL, 10) < count) {
        *out = strtoul(wanted, NULL, 10);
        return FTC_STATUS_OK;
    }
    column = wanted ? find_column(t, wanted) : find_default(t, defaults);
    if (column == NONE && by_number)
        return ftc_status_make(FTC_BAD_INPUT, "%s: there is no column %s: there %s %zu, numbered from 0",
                               t->path, wanted, count == 1 ? "is" : "are", count);
    for (size_t other = column + 1; column != NONE && other < t->layout.names.count; other++)
        if (t->layout.format != FTC_TABLE_JSON_LINES &&
            strcmp(ftc_fields_get(&t->layout.names, other), ftc_fields_get(&t->layout.names, column)) == 0)
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s: the columns %zu and %zu are both called \"%s\"; rename one", t->path,
                                   column, other, ftc_fields_get(&t->layout.names, other));
    if (column == NONE) return no_column(t, wanted, role, defaults);
    *out = column;
    return FTC_STATUS_OK;
}

static const char *const ROLE_NAMES[ROLES] = {"text", "pair", "label"};

// A text that is its own label teaches nothing; one that is its own pair may (of texts that belong together).
static ftc_status check_label(const ftc_table *t, size_t label) {
    for (int role = 0; role < LABEL; role++)
        if (t->columns[role] == label)
            return ftc_status_make(
                FTC_BAD_INPUT,
                "%s: the column \"%s\" is both the %s's (--%s-column) and the label's; name "
                "another",
                t->path, ftc_fields_get(&t->layout.names, label), ROLE_NAMES[role], ROLE_NAMES[role]);
    return FTC_STATUS_OK;
}

static ftc_status choose_column(ftc_table *t, int role, const char *wanted) {
    size_t column;
    FTC_RETURN_IF_ERROR(find_wanted(t, ROLE_NAMES[role], wanted, default_names(t, role), &column));
    if (role == LABEL) FTC_RETURN_IF_ERROR(check_label(t, column));
    t->columns[role] = column;
    return FTC_STATUS_OK;
}

static bool is_default_name(const ftc_table *t, const char *name) {
    for (int role = 0; role < ROLES; role++)
        for (const char *const *known = default_names(t, role); *known; known++)
            if (strcasecmp(*known, name) == 0) return true;
    return false;
}

static bool has_header(const ftc_table *t, const ftc_table_options *o) {
    if (t->layout.format != FTC_TABLE_CSV && t->layout.format != FTC_TABLE_TSV) return false;
    if (o->header != FTC_TABLE_HEADER_AUTO) return o->header == FTC_TABLE_HEADER_YES;
    for (size_t i = 0; i < t->layout.names.count; i++)
        if (is_default_name(t, ftc_fields_get(&t->layout.names, i))) return true;
    const char *chosen[ROLES] = {o->text_column, o->pair_column,
                                 o->label_columns ? o->label_columns : o->label_column};
    size_t numbered = 0, named = 0;
    for (int role = 0; role < ROLES; role++) {
        if (!chosen[role]) continue;
        if (is_column_number(chosen[role]))
            numbered++;
        else
            named++;
    }
    if (numbered && !named) return !t->layout.has_numbers[0] && t->layout.has_numbers[1];
    return named || t->layout.names.count > 1;
}

static void number_columns(ftc_table *t) {
    size_t count = t->layout.names.count;
    t->first = t->layout.names;
    t->layout.names = (ftc_fields){0};
    for (size_t i = 0; i < count; i++) {
        char number[24];
        ftc_fields_push(&t->layout.names, number, (size_t)snprintf(number, sizeof number, "%zu", i));
    }
}

// The columns that are a label each.
static ftc_status choose_label_columns(ftc_table *t, const char *names) {
    ftc_status status = FTC_STATUS_OK;
    for (size_t n; *names && status.code == FTC_OK; names += n + (names[n] == ',')) {
        n = strcspn(names, ",");
        char *name = ftc_strndup(names, n);
        size_t column;
        status = find_wanted(t, "label", name, default_labels, &column);
        free(name);
        if (status.code == FTC_OK) status = check_label(t, column);
        for (size_t i = 0; i < t->n_label_columns && status.code == FTC_OK; i++)
            if (t->label_columns[i] == column)
                status = ftc_status_make(FTC_BAD_INPUT, "%s: --label-columns names the column \"%s\" twice",
                                         t->path, ftc_fields_get(&t->layout.names, column));
        if (status.code != FTC_OK) break;
        t->label_columns = ftc_realloc(t->label_columns, t->n_label_columns + 1, sizeof *t->label_columns);
        t->label_columns[t->n_label_columns++] = column;
    }
    if (status.code == FTC_OK && !t->n_label_columns)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: --label-columns names no column", t->path);
    if (status.code == FTC_OK) t->columns[LABEL] = t->label_columns[0];
    return status;
}

// Of pairs whose columns nobody names, neither an option nor the file: where it has two, and none of a label,
// these.
static bool has_two_columns(const ftc_table *t, const ftc_table_options *o) {
    if (!t->pairs || o->text_column || o->pair_column || t->layout.names.count != 2) return false;
    for (size_t i = 0; i < 2; i++)
        if (is_default_name(t, ftc_fields_get(&t->layout.names, i))) return false;
    return true;
}

static ftc_status choose_columns(ftc_table *t, const ftc_table_options *o) {
    bool lines = false; // every line is a text
    t->hint = ftc_layout_hint(&t->layout);
    t->has_header = has_header(t, o);
    if (t->has_header && !*t->hint && t->layout.has_numbers[0])
        t->hint = "; if the first row is no header, choose columns by number, as --text-column 1";
    if (t->has_header) {
        t->layout.rows--;
        memmove(t->layout.offsets, t->layout.offsets + 1, (t->layout.rows + 1) * sizeof *t->layout.offsets);
    } else if (t->layout.format != FTC_TABLE_JSON_LINES) {
        lines = t->layout.names.count == 1;
        number_columns(t);
    }
    if (t->layout.rows == 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: there is a header, but no row%s", t->path, t->hint);
    for (int role = 0; role < ROLES; role++) t->columns[role] = NONE;
    bool conll = t->layout.format == FTC_TABLE_CONLL;
    bool two = has_two_columns(t, o);
    const char *text = o->text_column ? o->text_column : lines || conll || two ? "0" : NULL;
    const char *pair = two ? "1" : o->pair_column;
    if (!o->without_text || o->text_column) FTC_RETURN_IF_ERROR(choose_column(t, TEXT, text));
    if (o->pair_column && t->words)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: labelled words have no second text; leave out --pair-column", t->path);
    if (pair || t->pairs) FTC_RETURN_IF_ERROR(choose_column(t, PAIR, pair));
    if (o->label_columns && !o->without_label) return choose_label_columns(t, o->label_columns);
    if (!o->without_label && conll && !o->label_column)
        t->columns[LABEL] = t->layout.names.count - 1;
    else if (!o->without_label)
        FTC_RETURN_IF_ERROR(choose_column(t, LABEL, o->label_column));
    return FTC_STATUS_OK;
}

// --- open, close --------------------------------------------------------------------------------------

static bool ends_with(const char *path, size_t size, const char *end) {
    size_t n = strlen(end);
    return size > n && strncasecmp(path + size - n, end, n) == 0;
}

static ftc_table_format format_of(const char *path, const ftc_table_options *options) {
    static const struct {
        const char *end;
        ftc_table_format format;
    } ENDS[] = {{".tsv", FTC_TABLE_TSV},         {".tab", FTC_TABLE_TSV},
                {".txt", FTC_TABLE_TSV},         {".jsonl", FTC_TABLE_JSON_LINES},
                {".json", FTC_TABLE_JSON_LINES}, {".ndjson", FTC_TABLE_JSON_LINES},
                {".conll", FTC_TABLE_CONLL},     {".bio", FTC_TABLE_CONLL},
                {".iob", FTC_TABLE_CONLL},       {".iob2", FTC_TABLE_CONLL}};
    size_t size = strlen(path);
    if (strcmp(path, "-") == 0) return FTC_TABLE_TSV; // lines
    if (ends_with(path, size, ".gz")) size -= 3;
    if (options->words && ends_with(path, size, ".txt")) return FTC_TABLE_CONLL;
    if (options->txt_is_lines && ends_with(path, size, ".txt")) return FTC_TABLE_LINES;
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        if (ends_with(path, size, ENDS[i].end)) return ENDS[i].format;
    return FTC_TABLE_CSV;
}

// Leaves out the rows whose columns cannot be read.
static ftc_status drop_bad_rows(ftc_table *t) {
    size_t kept = 0, rows = t->layout.rows;
    ftc_row row = {0};
    for (size_t i = 0; i < rows; i++) {
        ftc_status status = ftc_table_read(t, i, &row);
        if (status.code == FTC_OK)
            t->layout.offsets[kept++] = t->layout.offsets[i];
        else
            ftc_layout_skip(&t->layout, status);
    }
    ftc_row_free(&row);
    t->layout.offsets[kept] = t->layout.offsets[rows];
    t->layout.rows = kept;
    if (kept) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: none of its rows can be read; the first: %s", t->path,
                           t->layout.skipped.why[0]);
}

static ftc_status open_table(ftc_table *t, const char *path, const ftc_table_options *options) {
    if (options->decoded)
        t->layout.fd = fcntl(*options->decoded, F_DUPFD_CLOEXEC, 0);
    else
        FTC_RETURN_IF_ERROR(ftc_decode_open(path, options->encoding, &t->layout.fd));
    FTC_RETURN_IF_ERROR(ftc_scan(options, &t->layout));
    if (t->layout.rows == 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: the file holds %s", t->path,
                               t->layout.format == FTC_TABLE_JSON_LINES ? "no object"
                                                                        : "nothing but blank lines");
    FTC_RETURN_IF_ERROR(choose_columns(t, options));
    return options->skip_bad_rows ? drop_bad_rows(t) : FTC_STATUS_OK;
}

ftc_status ftc_table_open(const char *path, const ftc_table_options *options, ftc_table **out) {
    ftc_table *t = ftc_alloc(1, sizeof *t);
    t->path = ftc_strdup(ftc_decode_name(path));
    t->layout.path = t->path;
    t->layout.fd = -1;
    t->layout.format = options->format == FTC_TABLE_AUTO ? format_of(path, options) : options->format;
    t->words = options->words || t->layout.format == FTC_TABLE_CONLL;
    t->pairs = options->pairs;
    t->list_labels = options->list_labels;
    t->several_labels = options->several_labels;
    if (options->missing_label) t->missing_label = ftc_strdup(options->missing_label);
    ftc_status status = open_table(t, path, options);
    if (status.code == FTC_OK)
        *out = t;
    else
        ftc_table_close(t);
    return status;
}

void ftc_table_close(ftc_table *t) {
    if (!t) return;
    if (t->layout.fd >= 0) close(t->layout.fd);
    ftc_layout_free(&t->layout);
    ftc_fields_free(&t->first);
    free(t->missing_label);
    free(t->label_columns);
    free(t->path);
    free(t);
}

const ftc_table_skipped *ftc_table_skipped_rows(const ftc_table *t) {
    return &t->layout.skipped;
}

static void write_column(FILE *out, const ftc_table *t, const char *role, size_t column) {
    if (column == NONE) return;
    fprintf(out, "; %s: ", role);
    if (t->has_header || t->layout.format == FTC_TABLE_JSON_LINES)
        fprintf(out, "\"%s\"", ftc_fields_get(&t->layout.names, column));
    else
        fprintf(out, "column %zu", column);
}

char *ftc_table_describe(const ftc_table *t) {
    enum { SHOWN = 12 };
    size_t n = t->layout.names.count;
    const ftc_layout *l = &t->layout;
    ftc_text text;
    FILE *out = ftc_text_open(&text);
    if (l->format == FTC_TABLE_JSON_LINES)
        fprintf(out, l->is_array ? "array of JSON objects" : "JSON objects");
    else if (l->format == FTC_TABLE_CONLL)
        fprintf(out, "sentences of words with %zu column%s", n, n == 1 ? "" : "s");
    else
        fprintf(out, t->has_header ? "header" : "no header");
    for (size_t i = 0; t->has_header && i < n && i < SHOWN; i++) {
        fputs(i ? ", " : " ", out);
        write_name(out, ftc_fields_get(&l->names, i));
    }
    if (t->has_header && n > SHOWN) fprintf(out, " and %zu more", n - SHOWN);
    if (l->format == FTC_TABLE_TSV && l->dialect.quotes) fprintf(out, "; quoted fields");
    if (l->dialect.line_end == '\r') fprintf(out, "; lines end with CR");
    write_column(out, t, t->words ? "words" : "text", t->columns[TEXT]);
    write_column(out, t, "pair", t->columns[PAIR]);
    if (!t->n_label_columns) write_column(out, t, t->words ? "labels" : "label", t->columns[LABEL]);
    for (size_t i = 0; i < t->n_label_columns && i < SHOWN; i++)
        write_column(out, t, i ? "and" : "labels", t->label_columns[i]);
    if (t->n_label_columns > SHOWN) fprintf(out, "; and %zu more", t->n_label_columns - SHOWN);
    return ftc_text_close(&text, NULL);
}

size_t ftc_table_rows(const ftc_table *t) {
    return t->layout.rows;
}

const char *ftc_table_path(const ftc_table *t) {
    return t->path;
}

ftc_status ftc_table_find_column(const ftc_table *t, const char *name, size_t *column) {
    if (name || t->columns[LABEL] == NONE)
        return find_wanted(t, "label", name, default_names(t, LABEL), column);
    *column = t->columns[LABEL];
    return FTC_STATUS_OK;
}

bool ftc_table_has_words(const ftc_table *t) {
    return t->words;
}

bool ftc_table_has_pairs(const ftc_table *t) {
    return t->columns[PAIR] != NONE;
}

const char *ftc_table_label_column(const ftc_table *t) {
    return t->columns[LABEL] == NONE ? NULL : ftc_fields_get(&t->layout.names, t->columns[LABEL]);
}

size_t ftc_table_label_columns(const ftc_table *t) {
    return t->n_label_columns;
}

const char *ftc_table_label_name(const ftc_table *t, size_t index) {
    return ftc_fields_get(&t->layout.names, t->label_columns[index]);
}

// --- rows ---------------------------------------------------------------------------------------------

static ftc_status changed(const ftc_table *t) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: the file has changed since it was opened", t->path);
}

// Makes the window hold the row; reads ahead when rows are read in a sequence.
static ftc_status fill_window(const ftc_table *t, size_t index, struct ftc_row_buffer *b) {
    uint64_t begin = t->layout.offsets[index], end = t->layout.offsets[index + 1];
    if (b->size && begin >= b->offset && end <= b->offset + b->size) return FTC_STATUS_OK;
    size_t wanted = (size_t)(end - begin);
    if (index == b->next && wanted < READ_BYTES) {
        uint64_t rest = t->layout.offsets[t->layout.rows] - begin;
        wanted = rest < READ_BYTES ? (size_t)rest : READ_BYTES;
    }
    b->window = ftc_grow(b->window, &b->capacity, wanted, 1);
    b->offset = begin;
    b->size = 0;
    while (b->size < wanted) {
        ssize_t n = pread(t->layout.fd, b->window + b->size, wanted - b->size, (off_t)(begin + b->size));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ftc_status_make(FTC_BAD_INPUT, "%s: cannot read: %s", t->path, strerror(errno));
        if (n == 0) return changed(t);
        b->size += (size_t)n;
    }
    return FTC_STATUS_OK;
}

// Replaces the one field, a JSON object, by the fields of the roles asked for; columns[] then tells which,
// NONE for those that are not there. The columns that are a label each come last.
static ftc_status pick_json(const ftc_table *t, size_t index, bool lists, ftc_fields *fields,
                            size_t columns[ROLES]) {
    const char *line = ftc_fields_get(fields, 0);
    cJSON *json = ftc_json_parse_object(line, strlen(line), NULL);
    if (!json) return changed(t);
    ftc_fields_clear(fields);
    ftc_status status = FTC_STATUS_OK;
    for (int role = 0; role < ROLES && status.code == FTC_OK; role++) {
        if (columns[role] == NONE) continue;
        const char *name = ftc_fields_get(&t->layout.names, columns[role]);
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, name);
        bool is_there = value && !(t->several_labels && role == LABEL && cJSON_IsNull(value));
        columns[role] = is_there ? fields->count : NONE;
        if (!is_there) continue;
        if (((lists && role == LABEL) || t->words) && cJSON_IsArray(value))
            push_list(fields, value);
        else if (!push_json(fields, value))
            status = ftc_table_error(t, index, "\"%s\" is neither a text nor a number%s", name,
                                     cJSON_IsObject(value) ? "; if the file is a table by columns, make rows "
                                                             "of it (pandas: to_json(orient=\"records\"))"
                                                           : "");
    }
    for (size_t i = 0; i < t->n_label_columns; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, ftc_table_label_name(t, i));
        if (!value || !push_json(fields, value)) ftc_fields_push(fields, "", 0);
    }
    cJSON_Delete(json);
    return status;
}

// Cuts the row into fields, in the buffer; of JSON one, the object.
static ftc_status cut_row(const ftc_table *t, size_t index, ftc_row *row) {
    if (!row->buffer) row->buffer = ftc_alloc(1, sizeof *row->buffer);
    struct ftc_row_buffer *b = row->buffer;
    FTC_RETURN_IF_ERROR(fill_window(t, index, b));
    b->next = index + 1;
    size_t consumed, size = (size_t)(t->layout.offsets[index + 1] - t->layout.offsets[index]);
    const char *data = b->window + (t->layout.offsets[index] - b->offset);
    ftc_fields_result result = ftc_layout_parse(&t->layout, data, size, true, &b->fields, &consumed);
    return result == FTC_FIELDS_ROW ? FTC_STATUS_OK : changed(t);
}

// The texts of the roles; `lists`: of JSON, the label may be one. NULL where an object has none.
static ftc_status read_roles(const ftc_table *t, size_t index, const size_t roles[ROLES], bool lists,
                             ftc_row *row, const char *values[ROLES]) {
    size_t columns[ROLES] = {roles[TEXT], roles[PAIR], roles[LABEL]};
    FTC_RETURN_IF_ERROR(cut_row(t, index, row));
    ftc_fields *fields = &row->buffer->fields;
    if (t->layout.format == FTC_TABLE_JSON_LINES)
        FTC_RETURN_IF_ERROR(pick_json(t, index, lists, fields, columns));
    for (int role = 0; role < ROLES; role++) {
        if (columns[role] == NONE) continue;
        if (columns[role] >= fields->count) return changed(t);
        values[role] = ftc_fields_get(fields, columns[role]);
    }
    return FTC_STATUS_OK;
}

static bool is_empty(const char *text) {
    return text[strspn(text, " \t\r\n")] == '\0';
}

// A missing label, as files and pandas have it.
static bool is_missing(const ftc_table *t, const char *label) {
    return (is_empty(label) && !t->several_labels) || strcasecmp(label, "nan") == 0 ||
           (t->missing_label && strcmp(label, t->missing_label) == 0);
}

static ftc_status lacks(const ftc_table *t, size_t index, size_t column) {
    return ftc_table_error(t, index, "the object has no \"%s\"", ftc_fields_get(&t->layout.names, column));
}

static ftc_status no_label(const ftc_table *t, size_t index, size_t column, const char *label) {
    const char *name = ftc_fields_get(&t->layout.names, column);
    return ftc_table_error(
        t, index,
        "the row has no label: \"%s\" is %s; fill it in, or pass --skip-bad-rows to leave such "
        "rows out",
        name,
        !label            ? "not there"
        : is_empty(label) ? "empty"
                          : label);
}

// Whether a cell says that the row has the label, of those that are a column each; false: it says nothing.
static bool read_bit(const char *text, bool *has) {
    char *end;
    double number = strtod(text, &end);
    bool is_number = end != text && is_empty(end) && (number == 0 || number == 1);
    *has = is_number ? number == 1 : strcasecmp(text, "true") == 0;
    return is_number || *has || strcasecmp(text, "false") == 0;
}

// The labels that the row has, out of a column each, as JSON text; the row has just been read.
static ftc_status list_label_columns(const ftc_table *t, size_t index, struct ftc_row_buffer *b) {
    cJSON *list = cJSON_CreateArray();
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < t->n_label_columns && status.code == FTC_OK; i++) {
        bool is_json = t->layout.format == FTC_TABLE_JSON_LINES, has;
        size_t field = is_json ? b->fields.count - t->n_label_columns + i : t->label_columns[i];
        const char *text = ftc_fields_get(&b->fields, field);
        if (is_empty(text) || is_missing(t, text))
            status = no_label(t, index, t->label_columns[i], text);
        else if (!read_bit(text, &has))
            status = ftc_table_error(t, index, "the label column \"%s\" holds \"%.40s\": expected 1 or 0",
                                     ftc_table_label_name(t, i), text);
        else if (has)
            cJSON_AddItemToArray(list, cJSON_CreateString(ftc_table_label_name(t, i)));
    }
    free(b->labels);
    b->labels = cJSON_PrintUnformatted(list);
    cJSON_Delete(list);
    return status;
}

static ftc_status read_row(const ftc_table *t, size_t index, const size_t roles[ROLES], bool lists,
                           ftc_row *row) {
    const char *values[ROLES] = {NULL};
    FTC_RETURN_IF_ERROR(read_roles(t, index, roles, lists, row, values));
    for (int role = 0; role < LABEL; role++)
        if (roles[role] != NONE && !values[role]) return lacks(t, index, roles[role]);
    if (t->n_label_columns) {
        FTC_RETURN_IF_ERROR(list_label_columns(t, index, row->buffer));
        values[LABEL] = row->buffer->labels;
    } else if (roles[LABEL] != NONE && (!values[LABEL] || is_missing(t, values[LABEL]))) {
        return no_label(t, index, roles[LABEL], values[LABEL]);
    }
    row->text = values[TEXT];
    row->pair = values[PAIR];
    row->label = values[LABEL];
    return FTC_STATUS_OK;
}

ftc_status ftc_table_read(const ftc_table *table, size_t index, ftc_row *row) {
    return read_row(table, index, table->columns, table->list_labels, row);
}

ftc_status ftc_table_read_label(const ftc_table *table, size_t index, ftc_row *row) {
    return read_row(table, index, (size_t[ROLES]){NONE, NONE, table->columns[LABEL]}, table->list_labels,
                    row);
}

ftc_status ftc_table_read_cell(const ftc_table *table, size_t index, size_t column, ftc_row *row,
                               const char **text) {
    const char *values[ROLES] = {NULL};
    FTC_RETURN_IF_ERROR(read_roles(table, index, (size_t[ROLES]){NONE, NONE, column}, true, row, values));
    if (!values[LABEL]) return lacks(table, index, column);
    if (is_empty(values[LABEL]))
        return ftc_table_error(table, index,
                               "column \"%s\" is empty in this row; remove the row or fill it in",
                               ftc_fields_get(&table->layout.names, column));
    *text = values[LABEL];
    return FTC_STATUS_OK;
}

size_t ftc_table_columns(const ftc_table *t) {
    return t->layout.names.count;
}

const char *ftc_table_column(const ftc_table *t, size_t column) {
    return ftc_fields_get(&t->layout.names, column);
}

// Replaces the one field, a JSON object, by the fields of all columns.
static ftc_status spread_json(const ftc_table *t, ftc_fields *fields) {
    const char *line = ftc_fields_get(fields, 0);
    cJSON *json = ftc_json_parse_object(line, strlen(line), NULL);
    if (!json) return changed(t);
    ftc_fields_clear(fields);
    for (size_t i = 0; i < t->layout.names.count; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, ftc_table_column(t, i));
        if (!value)
            ftc_fields_push(fields, "", 0);
        else if (!push_json(fields, value))
            push_list(fields, value);
    }
    cJSON_Delete(json);
    return FTC_STATUS_OK;
}

ftc_status ftc_table_read_cells(const ftc_table *t, size_t index, ftc_row *row, const char **cells) {
    FTC_RETURN_IF_ERROR(cut_row(t, index, row));
    ftc_fields *fields = &row->buffer->fields;
    if (t->layout.format == FTC_TABLE_JSON_LINES) FTC_RETURN_IF_ERROR(spread_json(t, fields));
    if (fields->count != t->layout.names.count) return changed(t);
    for (size_t i = 0; i < fields->count; i++) cells[i] = ftc_fields_get(fields, i);
    return FTC_STATUS_OK;
}

void ftc_row_free(ftc_row *row) {
    if (row->buffer) {
        free(row->buffer->window);
        free(row->buffer->labels);
        ftc_fields_free(&row->buffer->fields);
        free(row->buffer);
    }
    *row = (ftc_row){0};
}

// The number of the line, from 1, on which the row begins; 0 if the file cannot be read any more.
static size_t line_of(const ftc_table *t, size_t index) {
    char block[4096];
    size_t line = 1;
    uint64_t end = t->layout.offsets[index];
    for (uint64_t at = 0; at < end;) {
        size_t wanted = end - at < sizeof block ? (size_t)(end - at) : sizeof block;
        ssize_t n = pread(t->layout.fd, block, wanted, (off_t)at);
        if (n <= 0) return 0;
        line += ftc_layout_lines(&t->layout, block, (size_t)n);
        at += (uint64_t)n;
    }
    return line;
}

ftc_status ftc_table_error(const ftc_table *table, size_t index, const char *format, ...) {
    char *message = NULL;
    va_list args;
    va_start(args, format);
    message = ftc_format_args(format, args);
    va_end(args);
    ftc_status status = ftc_status_make(FTC_BAD_INPUT, "%s:%zu: %s", table->path, line_of(table, index),
                                        message ? message : "out of memory");
    free(message);
    return status;
}
