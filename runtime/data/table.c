#include "runtime/data/table.h"

#include "runtime/data/fields.h"
#include "runtime/grow.h"
#include "runtime/json.h"
#include "ir/base/name.h"
#include "runtime/text/unicode.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 18 };

enum { TEXT, PAIR, LABEL, ROLES };

struct ftc_table {
    char *path;
    int fd;
    ftc_table_format format; // never AUTO
    uint64_t *offsets;       // [rows + 1] of each row's first byte; the last: of the end of the file
    size_t rows, capacity;
    ftc_fields names;      // of the columns; without a header: "0", "1", …
    size_t columns[ROLES]; // index of the column in each role, NONE
    bool list_labels;
};

struct ftc_row_buffer {
    char *window; // bytes of the file
    size_t capacity, size;
    uint64_t offset; // of the window in the file
    size_t next;     // index of the row behind the one read last
    ftc_fields fields;
};

#define NONE SIZE_MAX

static char separator(const ftc_table *t) {
    return t->format == FTC_TABLE_CSV ? ',' : t->format == FTC_TABLE_TSV ? '\t' : '\0';
}

static ftc_fields_result parse_row(const ftc_table *t, const char *data, size_t size, bool last,
                                   ftc_fields *fields, size_t *consumed) {
    return ftc_fields_parse(data, size, last, separator(t), t->format == FTC_TABLE_CSV, fields, consumed);
}

static size_t count_lines(const char *data, size_t size) {
    size_t lines = 0;
    for (const char *end = data + size; (data = memchr(data, '\n', (size_t)(end - data))); data++) lines++;
    return lines;
}

// --- JSON ---------------------------------------------------------------------------------------------

// Appends the value as a field; false if it is neither text nor number nor truth value.
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
    } else {
        return false;
    }
    ftc_fields_push(fields, text, strlen(text));
    return true;
}

// Appends a list as JSON text.
static void push_list(ftc_fields *fields, const cJSON *list) {
    char *text = cJSON_PrintUnformatted(list);
    if (!text) abort();
    ftc_fields_push(fields, text, strlen(text));
    cJSON_free(text);
}

// --- the first pass -----------------------------------------------------------------------------------

// What the first pass carries from row to row.
typedef struct {
    ftc_table *table;
    char *data; // [size] bytes of the file from `offset` on
    size_t size, capacity;
    uint64_t offset;
    bool last; // the end of the file is in `data`
    size_t line;
    ftc_fields fields;
    bool numbers[2]; // whether the first, second row holds a number
} scanner;

static ftc_status read_more(scanner *s, size_t consumed) {
    s->size -= consumed;
    s->offset += consumed;
    if (consumed && s->size) memmove(s->data, s->data + consumed, s->size);
    s->data = ftc_grow(s->data, &s->capacity, s->size + READ_BYTES, 1);
    for (;;) {
        ssize_t n =
            pread(s->table->fd, s->data + s->size, s->capacity - s->size, (off_t)(s->offset + s->size));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return ftc_status_make(FTC_BAD_INPUT, "%s: cannot read: %s", s->table->path, strerror(errno));
        s->last = n == 0;
        s->size += (size_t)n;
        return FTC_STATUS_OK;
    }
}

// How a file begins that is no text, and what makes a text of it.
static const struct {
    const char *start, *what, *remedy;
} BINARIES[] = {
    {"\x1F\x8B", "compressed", "unpack it (gunzip)"},
    {"BZh91AY&SY", "compressed", "unpack it (bunzip2)"},
    {"\xFD\x37zXZ", "compressed", "unpack it (unxz)"},
    {"\x28\xB5\x2F\xFD", "compressed", "unpack it (unzstd)"},
    {"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save it as CSV"},
    {"PAR1\x15", "a Parquet file", "save it as CSV or JSON lines"},
};

static ftc_status check_start(scanner *s, size_t *at) {
    const unsigned char *d = (const unsigned char *)s->data;
    const char *path = s->table->path;
    if (s->size == 0) return ftc_status_make(FTC_BAD_INPUT, "%s: the file is empty", path);
    if (s->size >= 2 && ((d[0] == 0xFF && d[1] == 0xFE) || (d[0] == 0xFE && d[1] == 0xFF)))
        return ftc_status_make(FTC_BAD_INPUT, "%s: the file is UTF-16; convert it (iconv -f UTF-16 -t UTF-8)",
                               path);
    for (size_t i = 0; i < sizeof BINARIES / sizeof *BINARIES; i++) {
        size_t size = strlen(BINARIES[i].start);
        if (s->size > size && memcmp(d, BINARIES[i].start, size) == 0)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the file is %s; %s", path, BINARIES[i].what,
                                   BINARIES[i].remedy);
    }
    *at = s->size >= 3 && memcmp(d, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    return FTC_STATUS_OK;
}

static ftc_status check_bytes(const scanner *s, const char *row, size_t size) {
    const ftc_table *t = s->table;
    const char *nul = memchr(row, '\0', size);
    if (nul)
        return ftc_status_make(
            FTC_BAD_INPUT, "%s:%zu: a NUL byte at offset %zu; is this a text file in UTF-8?", t->path,
            s->line + count_lines(row, (size_t)(nul - row)), (size_t)s->offset + (size_t)(nul - s->data));
    size_t bad = ftc_utf8_check(row, size);
    if (bad < size)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s:%zu: not UTF-8: byte 0x%02x at offset %zu; convert the file (iconv -f ENCODING -t UTF-8)",
            t->path, s->line + count_lines(row, bad), (uint8_t)row[bad],
            (size_t)s->offset + (size_t)(row - s->data) + bad);
    return FTC_STATUS_OK;
}

static ftc_status check_json_row(scanner *s) {
    ftc_table *t = s->table;
    const char *line = ftc_fields_get(&s->fields, 0);
    while (*line == ' ' || *line == '\t') line++;
    if (t->rows == 0 && *line == '[')
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: the file is a JSON array; one object a line is expected (jq -c '.[]')",
                               t->path);
    ftc_json_fault fault;
    cJSON *json = ftc_json_parse_object(line, strlen(line), &fault);
    if (!json)
        return ftc_status_make(FTC_BAD_INPUT, "%s:%zu: %s", t->path, s->line,
                               fault.kind == FTC_JSON_NUL
                                   ? "a string with \\u0000 cannot be read"
                                   : "not a JSON object; one object a line is expected");
    const cJSON *item;
    if (t->rows == 0)
        cJSON_ArrayForEach(item, json) ftc_fields_push(&t->names, item->string, strlen(item->string));
    cJSON_Delete(json);
    return FTC_STATUS_OK;
}

static bool is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return *end == '\0' && text[strcspn(text, "0123456789")] != '\0'; // no "nan", no "inf"
}

// What to do about a file in one column because something else than commas stands between its fields.
static const char *separator_hint(const ftc_table *t) {
    if (t->format != FTC_TABLE_CSV || t->names.count != 1) return "";
    const char *name = ftc_fields_get(&t->names, 0);
    if (strchr(name, '\t')) return "; its fields are separated by tabs: pass --format tsv";
    if (strchr(name, '\r')) return "; its lines end with CR alone: end them with LF (tr '\\r' '\\n')";
    return strchr(name, ';') ? "; its fields are separated by semicolons: save it with commas" : "";
}

static ftc_status check_row(scanner *s) {
    ftc_table *t = s->table;
    if (t->format == FTC_TABLE_JSON_LINES) return check_json_row(s);
    if (t->rows < 2)
        for (size_t i = 0; i < s->fields.count; i++)
            s->numbers[t->rows] |= is_number(ftc_fields_get(&s->fields, i));
    if (t->rows == 0)
        for (size_t i = 0; i < s->fields.count; i++) {
            const char *name = ftc_fields_get(&s->fields, i);
            ftc_fields_push(&t->names, name, strlen(name));
        }
    if (s->fields.count != t->names.count) {
        const char *hint = separator_hint(t);
        if (!*hint && t->format == FTC_TABLE_CSV)
            hint = "; a field with a comma or a line end must be quoted";
        return ftc_status_make(FTC_BAD_INPUT, "%s:%zu: the row has %zu fields, the first row has %zu%s",
                               t->path, s->line, s->fields.count, t->names.count, hint);
    }
    return FTC_STATUS_OK;
}

// Whether there is nothing on the line but its end.
static bool is_blank(const ftc_table *t, const ftc_fields *fields) {
    if (fields->count != 1) return false;
    const char *text = ftc_fields_get(fields, 0);
    return t->format == FTC_TABLE_JSON_LINES ? text[strspn(text, " \t")] == '\0' : *text == '\0';
}

static void push_offset(ftc_table *t, uint64_t offset) {
    t->offsets = ftc_grow(t->offsets, &t->capacity, t->rows + 1, sizeof *t->offsets);
    t->offsets[t->rows] = offset;
}

static ftc_status scan(scanner *s) {
    ftc_table *t = s->table;
    size_t at = 0;
    FTC_RETURN_IF_ERROR(read_more(s, 0));
    FTC_RETURN_IF_ERROR(check_start(s, &at));
    for (s->line = 1;;) {
        if (at == s->size && s->last) break;
        size_t consumed = 0;
        ftc_fields_result result = parse_row(t, s->data + at, s->size - at, s->last, &s->fields, &consumed);
        switch (result) {
        case FTC_FIELDS_MORE:
            FTC_RETURN_IF_ERROR(read_more(s, at));
            at = 0;
            continue;
        case FTC_FIELDS_UNTERMINATED:
            return ftc_status_make(FTC_BAD_INPUT, "%s:%zu: a quoted field of this row has no closing quote",
                                   t->path, s->line);
        case FTC_FIELDS_AFTER_QUOTE:
            return ftc_status_make(
                FTC_BAD_INPUT,
                "%s:%zu: text behind a closing quote; a quote inside a quoted field is written twice",
                t->path, s->line + count_lines(s->data + at, consumed));
        case FTC_FIELDS_ROW: break;
        }
        FTC_RETURN_IF_ERROR(check_bytes(s, s->data + at, consumed));
        if (!is_blank(t, &s->fields)) {
            FTC_RETURN_IF_ERROR(check_row(s));
            push_offset(t, s->offset + at);
            t->rows++;
        }
        s->line += count_lines(s->data + at, consumed);
        at += consumed;
    }
    push_offset(t, s->offset + s->size);
    return FTC_STATUS_OK;
}

// --- columns ------------------------------------------------------------------------------------------

static const char *const default_texts[] = {"text",    "sentence", "review",      "content",
                                            "comment", "document", "description", NULL};
static const char *const default_labels[] = {"label",  "labels",   "stars",  "class",
                                             "rating", "category", "target", NULL};

static size_t find_column(const ftc_table *t, const char *name) {
    for (size_t i = 0; i < t->names.count; i++)
        if (strcmp(ftc_fields_get(&t->names, i), name) == 0) return i;
    return NONE;
}

static bool is_column_number(const char *text) {
    return *text && strspn(text, "0123456789") == strlen(text);
}

// "did you mean "text"? The columns are "label", "text"", allocated.
static char *list_columns(const ftc_table *t, const char *wanted) {
    enum { SHOWN = 20 };
    char *text = NULL;
    size_t size = 0, n = t->names.count;
    FILE *out = open_memstream(&text, &size);
    const char **names = calloc(n + 1, sizeof *names);
    if (!out || !names) abort();
    for (size_t i = 0; i < n; i++) names[i] = ftc_fields_get(&t->names, i);
    const char *nearest = wanted ? ftc_name_nearest(wanted, names, (int)n) : NULL;
    if (nearest) fprintf(out, "did you mean \"%s\"? ", nearest);
    fprintf(out, n == 1 ? "The only column is" : "The columns are");
    for (size_t i = 0; i < n && i < SHOWN; i++) fprintf(out, "%s \"%s\"", i ? "," : "", names[i]);
    if (n > SHOWN) fprintf(out, " and %zu more", n - SHOWN);
    fclose(out);
    free(names);
    return text;
}

static ftc_status no_column(const ftc_table *t, const char *wanted, const char *role,
                            const char *const *defaults) {
    char *columns = list_columns(t, wanted);
    ftc_status status;
    if (wanted)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: there is no column \"%s\"%s %s%s", t->path, wanted,
                                 *columns == 'd' ? ";" : ".", columns, separator_hint(t));
    else
        status = ftc_status_make(
            FTC_BAD_INPUT,
            "%s: no column is called \"%s\" or \"%s\"; name the one of the %ss (--%s-column). %s%s", t->path,
            defaults[0], defaults[1], role, role, columns, separator_hint(t));
    free(columns);
    return status;
}

// The column called `wanted`, or else of this number; NULL: the first of the defaults that there is. `role`:
// what it is for, in messages.
static ftc_status find_wanted(const ftc_table *t, const char *role, const char *wanted,
                              const char *const *defaults, size_t *out) {
    size_t column = NONE;
    if (wanted)
        column = find_column(t, wanted);
    else
        for (const char *const *name = defaults; *name && column == NONE; name++)
            column = find_column(t, *name);
    if (column == NONE && wanted && is_column_number(wanted)) {
        column = strtoul(wanted, NULL, 10);
        if (column >= t->names.count)
            return ftc_status_make(FTC_BAD_INPUT, "%s: there is no column %s: there are %zu, numbered from 0",
                                   t->path, wanted, t->names.count);
    }
    for (size_t other = column + 1; column != NONE && other < t->names.count; other++)
        if (t->format != FTC_TABLE_JSON_LINES &&
            strcmp(ftc_fields_get(&t->names, other), ftc_fields_get(&t->names, column)) == 0)
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s: the columns %zu and %zu are both called \"%s\"; rename one", t->path,
                                   column, other, ftc_fields_get(&t->names, other));
    if (column == NONE) return no_column(t, wanted, role, defaults);
    *out = column;
    return FTC_STATUS_OK;
}

static ftc_status choose_column(ftc_table *t, int role, const char *wanted) {
    static const char *const names[ROLES] = {"text", "pair", "label"};
    return find_wanted(t, names[role], wanted, role == LABEL ? default_labels : default_texts,
                       &t->columns[role]);
}

static bool has_header(const ftc_table *t, const ftc_table_options *o, const bool numbers[2]) {
    if (t->format == FTC_TABLE_JSON_LINES) return false;
    if (o->header != FTC_TABLE_HEADER_AUTO) return o->header == FTC_TABLE_HEADER_YES;
    if (t->format == FTC_TABLE_CSV) return true;
    const char *chosen[ROLES] = {o->text_column, o->pair_column, o->label_column};
    size_t numbered = 0, named = 0;
    for (int role = 0; role < ROLES; role++) {
        if (!chosen[role]) continue;
        if (is_column_number(chosen[role]))
            numbered++;
        else
            named++;
    }
    if (numbered && !named) return !numbers[0] && numbers[1];
    if (!numbered && !named && t->names.count == 1) {
        for (const char *const *name = default_texts; *name; name++)
            if (find_column(t, *name) == 0) return true;
        return false;
    }
    return true;
}

static void number_columns(ftc_table *t) {
    size_t count = t->names.count;
    ftc_fields_clear(&t->names);
    for (size_t i = 0; i < count; i++) {
        char number[24];
        ftc_fields_push(&t->names, number, (size_t)snprintf(number, sizeof number, "%zu", i));
    }
}

static ftc_status choose_columns(ftc_table *t, const ftc_table_options *o, const bool numbers[2]) {
    bool lines = false; // every line is a text
    if (has_header(t, o, numbers)) {
        t->rows--;
        memmove(t->offsets, t->offsets + 1, (t->rows + 1) * sizeof *t->offsets);
    } else if (t->format != FTC_TABLE_JSON_LINES) {
        lines = t->names.count == 1;
        number_columns(t);
    }
    if (t->rows == 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: there is a header, but no row%s", t->path,
                               separator_hint(t));
    for (int role = 0; role < ROLES; role++) t->columns[role] = NONE;
    if (!o->without_text || o->text_column)
        FTC_RETURN_IF_ERROR(choose_column(t, TEXT, o->text_column ? o->text_column : lines ? "0" : NULL));
    if (o->pair_column) FTC_RETURN_IF_ERROR(choose_column(t, PAIR, o->pair_column));
    if (!o->without_label) FTC_RETURN_IF_ERROR(choose_column(t, LABEL, o->label_column));
    return FTC_STATUS_OK;
}

// --- open, close --------------------------------------------------------------------------------------

static ftc_table_format format_of(const char *path) {
    const char *dot = strrchr(path, '.');
    if (!dot) return FTC_TABLE_CSV;
    if (strcasecmp(dot, ".tsv") == 0 || strcasecmp(dot, ".txt") == 0) return FTC_TABLE_TSV;
    if (strcasecmp(dot, ".jsonl") == 0 || strcasecmp(dot, ".ndjson") == 0 || strcasecmp(dot, ".json") == 0)
        return FTC_TABLE_JSON_LINES;
    return FTC_TABLE_CSV;
}

static ftc_status open_table(ftc_table *t, const ftc_table_options *options) {
    struct stat info;
    t->fd = open(t->path, O_RDONLY | O_CLOEXEC);
    if (t->fd < 0 || fstat(t->fd, &info) != 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: cannot open: %s", t->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return ftc_status_make(FTC_BAD_INPUT, "%s: not a file%s", t->path,
                               S_ISDIR(info.st_mode) ? "" : "; it is read more than once, so save it as one");
    scanner s = {.table = t};
    ftc_status status = scan(&s);
    if (status.code == FTC_OK && t->rows == 0)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: the file holds nothing but blank lines", t->path);
    if (status.code == FTC_OK) status = choose_columns(t, options, s.numbers);
    free(s.data);
    ftc_fields_free(&s.fields);
    return status;
}

ftc_status ftc_table_open(const char *path, const ftc_table_options *options, ftc_table **out) {
    ftc_table *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->path = strdup(path);
    t->fd = -1;
    t->format = options->format == FTC_TABLE_AUTO ? format_of(path) : options->format;
    t->list_labels = options->list_labels;
    ftc_status status = open_table(t, options);
    if (status.code == FTC_OK)
        *out = t;
    else
        ftc_table_close(t);
    return status;
}

void ftc_table_close(ftc_table *t) {
    if (!t) return;
    if (t->fd >= 0) close(t->fd);
    ftc_fields_free(&t->names);
    free(t->offsets);
    free(t->path);
    free(t);
}

size_t ftc_table_rows(const ftc_table *t) {
    return t->rows;
}

const char *ftc_table_path(const ftc_table *t) {
    return t->path;
}

ftc_status ftc_table_find_column(const ftc_table *t, const char *name, size_t *column) {
    if (name || t->columns[LABEL] == NONE) return find_wanted(t, "label", name, default_labels, column);
    *column = t->columns[LABEL];
    return FTC_STATUS_OK;
}

const char *ftc_table_label_column(const ftc_table *t) {
    return t->columns[LABEL] == NONE ? NULL : ftc_fields_get(&t->names, t->columns[LABEL]);
}

// --- rows ---------------------------------------------------------------------------------------------

static ftc_status changed(const ftc_table *t) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: the file has changed since it was opened", t->path);
}

// Makes the window hold the row; reads ahead when rows are read in a sequence.
static ftc_status fill_window(const ftc_table *t, size_t index, struct ftc_row_buffer *b) {
    uint64_t begin = t->offsets[index], end = t->offsets[index + 1];
    if (b->size && begin >= b->offset && end <= b->offset + b->size) return FTC_STATUS_OK;
    size_t wanted = (size_t)(end - begin);
    if (index == b->next && wanted < READ_BYTES) {
        uint64_t rest = t->offsets[t->rows] - begin;
        wanted = rest < READ_BYTES ? (size_t)rest : READ_BYTES;
    }
    b->window = ftc_grow(b->window, &b->capacity, wanted, 1);
    b->offset = begin;
    b->size = 0;
    while (b->size < wanted) {
        ssize_t n = pread(t->fd, b->window + b->size, wanted - b->size, (off_t)(begin + b->size));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ftc_status_make(FTC_BAD_INPUT, "%s: cannot read: %s", t->path, strerror(errno));
        if (n == 0) return changed(t);
        b->size += (size_t)n;
    }
    return FTC_STATUS_OK;
}

// Replaces the one field, a JSON object, by the fields of the roles asked for; columns[] then tells which.
static ftc_status pick_json(const ftc_table *t, size_t index, bool lists, ftc_fields *fields,
                            size_t columns[ROLES]) {
    const char *line = ftc_fields_get(fields, 0);
    cJSON *json = ftc_json_parse_object(line, strlen(line), NULL);
    if (!json) return changed(t);
    ftc_fields_clear(fields);
    ftc_status status = FTC_STATUS_OK;
    for (int role = 0; role < ROLES && status.code == FTC_OK; role++) {
        if (columns[role] == NONE) continue;
        const char *name = ftc_fields_get(&t->names, columns[role]);
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, name);
        columns[role] = fields->count;
        if (!value)
            status = ftc_table_error(t, index, "the object has no \"%s\"", name);
        else if (lists && role == LABEL && cJSON_IsArray(value))
            push_list(fields, value);
        else if (!push_json(fields, value))
            status = ftc_table_error(t, index, "\"%s\" is neither a text nor a number", name);
    }
    cJSON_Delete(json);
    return status;
}

static bool is_empty(const char *text) {
    return text && text[strspn(text, " \t\r\n")] == '\0';
}

// `lists`: of JSON, the label may be one.
static ftc_status read_row(const ftc_table *t, size_t index, const size_t roles[ROLES], bool lists,
                           ftc_row *row) {
    if (!row->buffer) {
        row->buffer = calloc(1, sizeof *row->buffer);
        if (!row->buffer) abort();
    }
    struct ftc_row_buffer *b = row->buffer;
    FTC_RETURN_IF_ERROR(fill_window(t, index, b));
    b->next = index + 1;
    size_t consumed, size = (size_t)(t->offsets[index + 1] - t->offsets[index]);
    size_t columns[ROLES] = {roles[TEXT], roles[PAIR], roles[LABEL]};
    if (parse_row(t, b->window + (t->offsets[index] - b->offset), size, true, &b->fields, &consumed) !=
        FTC_FIELDS_ROW)
        return changed(t);
    if (t->format == FTC_TABLE_JSON_LINES)
        FTC_RETURN_IF_ERROR(pick_json(t, index, lists, &b->fields, columns));
    const char *values[ROLES] = {NULL};
    for (int role = 0; role < ROLES; role++) {
        if (columns[role] == NONE) continue;
        if (columns[role] >= b->fields.count) return changed(t);
        values[role] = ftc_fields_get(&b->fields, columns[role]);
        if (is_empty(values[role]))
            return ftc_table_error(t, index,
                                   "column \"%s\" is empty in this row; remove the row or fill it in",
                                   ftc_fields_get(&t->names, roles[role]));
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
    return read_row(table, index, (size_t[ROLES]){NONE, NONE, table->columns[LABEL]}, false, row);
}

ftc_status ftc_table_read_cell(const ftc_table *table, size_t index, size_t column, ftc_row *row,
                               const char **text) {
    ftc_row cell = {.buffer = row->buffer};
    ftc_status status = read_row(table, index, (size_t[ROLES]){NONE, NONE, column}, true, &cell);
    row->buffer = cell.buffer;
    if (status.code == FTC_OK) *text = cell.label;
    return status;
}

void ftc_row_free(ftc_row *row) {
    if (row->buffer) {
        free(row->buffer->window);
        ftc_fields_free(&row->buffer->fields);
        free(row->buffer);
    }
    *row = (ftc_row){0};
}

// The number of the line, from 1, on which the row begins; 0 if the file cannot be read any more.
static size_t line_of(const ftc_table *t, size_t index) {
    char block[4096];
    size_t line = 1;
    uint64_t end = t->offsets[index];
    for (uint64_t at = 0; at < end;) {
        size_t wanted = end - at < sizeof block ? (size_t)(end - at) : sizeof block;
        ssize_t n = pread(t->fd, block, wanted, (off_t)at);
        if (n <= 0) return 0;
        line += count_lines(block, (size_t)n);
        at += (uint64_t)n;
    }
    return line;
}

ftc_status ftc_table_error(const ftc_table *table, size_t index, const char *format, ...) {
    char *message = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&message, format, args) < 0) message = NULL;
    va_end(args);
    ftc_status status = ftc_status_make(FTC_BAD_INPUT, "%s:%zu: %s", table->path, line_of(table, index),
                                        message ? message : "out of memory");
    free(message);
    return status;
}
