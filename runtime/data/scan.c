#include "runtime/data/scan.h"

#include "ir/base/alloc.h"
#include "runtime/data/words.h"
#include "runtime/files.h"
#include "runtime/json.h"
#include "runtime/text/unicode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 18 };

ftc_fields_result ftc_layout_parse(const ftc_layout *l, const char *data, size_t size, bool last,
                                   ftc_fields *fields, size_t *consumed) {
    if (l->format == FTC_TABLE_CONLL)
        return ftc_words_parse_sentence(data, size, last, l->dialect.line_end, fields, consumed);
    return l->is_array ? ftc_fields_parse_element(data, size, last, fields, consumed)
                       : ftc_fields_parse(data, size, last, &l->dialect, fields, consumed);
}

size_t ftc_layout_lines(const ftc_layout *l, const char *data, size_t size) {
    size_t lines = 0;
    for (const char *end = data + size; (data = memchr(data, l->dialect.line_end, (size_t)(end - data)));
         data++)
        lines++;
    return lines;
}

void ftc_layout_skip(ftc_layout *l, ftc_status why) {
    if (l->skipped.count++ < FTC_TABLE_SKIPPED_NAMED) {
        l->skipped.why[l->skipped.count - 1] = why.message;
        why.message = NULL;
    }
    ftc_status_free(&why);
}

void ftc_layout_free(ftc_layout *l) {
    for (size_t i = 0; i < FTC_TABLE_SKIPPED_NAMED; i++) free(l->skipped.why[i]);
    ftc_fields_free(&l->names);
    free(l->offsets);
}

const char *ftc_layout_hint(const ftc_layout *l) {
    if (l->format != FTC_TABLE_CSV || l->names.count != 1) return "";
    const char *name = ftc_fields_get(&l->names, 0);
    if (strchr(name, '\t')) return "; its fields are separated by tabs: pass --format tsv";
    if (strchr(name, ';')) return "; its fields are separated by semicolons: pass --delimiter ';'";
    return strchr(name, '|') ? "; its fields are separated by bars: pass --delimiter '|'" : "";
}

// --- reading ------------------------------------------------------------------------------------------

// What the pass carries from row to row.
typedef struct {
    ftc_layout *layout;
    bool skips;                  // rows that cannot be read are left out
    bool takes_blank, all_blank; // blank lines may be rows; all rows so far are such ones
    char *data;                  // [size] bytes of the file from `offset` on
    size_t size, capacity;
    uint64_t offset;
    bool last;   // the end of the file is in `data`
    size_t at;   // of the row at hand, in `data`
    size_t line; // on which it begins
    ftc_fields fields;
    bool needs_quotes, is_bare; // of all rows so far
} scanner;

static ftc_status read_more(scanner *s) {
    s->size -= s->at;
    s->offset += s->at;
    if (s->at && s->size) memmove(s->data, s->data + s->at, s->size);
    s->at = 0;
    s->data = ftc_grow(s->data, &s->capacity, s->size + READ_BYTES, 1);
    for (;;) {
        ssize_t n =
            pread(s->layout->fd, s->data + s->size, s->capacity - s->size, (off_t)(s->offset + s->size));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return ftc_status_make(FTC_BAD_INPUT, "%s: cannot read: %s", s->layout->path, strerror(errno));
        s->last = n == 0;
        s->size += (size_t)n;
        return FTC_STATUS_OK;
    }
}

// Debian has no library for them.
#define OF_ARROW                                                                                             \
    "make JSON lines of it (python3 -m ftc rows FILE > rows.jsonl; docs/data.md), or train in Python "       \
    "(ftc.Trainer with ftc.read_rows)"

// How a file begins that is no text, and what makes a text of it.
static const struct {
    const char *start, *what, *remedy;
} BINARIES[] = {
    {"BZh91AY&SY", "compressed", "unpack it (bunzip2)"},
    {"\xFD\x37zXZ", "compressed", "unpack it (unxz)"},
    {"\x28\xB5\x2F\xFD", "compressed", "unpack it (unzstd)"},
    {"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save it as CSV"},
    {FTC_LFS_POINTER, "a Git LFS pointer, not what it points to", "fetch that (git lfs pull)"},
    {"PAR1", "a Parquet file", OF_ARROW},
    {"ARROW1", "an Arrow file", OF_ARROW},
    {"\xFF\xFF\xFF\xFF", "an Arrow stream", OF_ARROW},
};

// Whether the first block has CR where other files have LF: it has none of the latter outside of quotes.
static bool ends_with_cr(const scanner *s) {
    const char *end = s->data + s->size;
    bool quoted = false, found = false;
    for (const char *at = s->data; at < end; at++) {
        if (*at == '\n' && !quoted) return false;
        quoted ^= *at == '"' && s->layout->dialect.quotes;
        found |= *at == '\r' && !quoted;
    }
    return found;
}

static ftc_status check_start(scanner *s) {
    ftc_layout *l = s->layout;
    if (s->size == 0) return ftc_status_make(FTC_BAD_INPUT, "%s: the file is empty", l->path);
    for (size_t i = 0; i < sizeof BINARIES / sizeof *BINARIES; i++) {
        size_t size = strlen(BINARIES[i].start);
        if (s->size > size && memcmp(s->data, BINARIES[i].start, size) == 0)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the file is %s; %s", l->path, BINARIES[i].what,
                                   BINARIES[i].remedy);
    }
    if (s->size >= 3 && memcmp(s->data, "\xEF\xBB\xBF", 3) == 0) s->at = 3;
    if (l->format == FTC_TABLE_JSON_LINES) {
        size_t at = s->at;
        while (at < s->size && strchr(" \t\r\n", s->data[at])) at++;
        l->is_array = at < s->size && s->data[at] == '[';
        if (l->is_array) {
            for (at++; at < s->size && strchr(" \t\r\n", s->data[at]);) at++;
            s->line += ftc_layout_lines(l, s->data, at);
            s->at = at;
        }
    } else if (ends_with_cr(s)) {
        l->dialect.line_end = '\r';
    }
    return FTC_STATUS_OK;
}

// --- one row ------------------------------------------------------------------------------------------

static ftc_status check_bytes(const scanner *s, const char *row, size_t size) {
    const ftc_layout *l = s->layout;
    const char *nul = memchr(row, '\0', size);
    if (nul)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s:%zu: a NUL byte at offset %zu; is this a text file in UTF-8?", l->path,
                               s->line + ftc_layout_lines(l, row, (size_t)(nul - row)),
                               (size_t)s->offset + (size_t)(nul - s->data));
    size_t bad = ftc_utf8_check(row, size);
    if (bad < size)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s:%zu: not UTF-8: byte 0x%02x at offset %zu; name the file's encoding, as --encoding latin1",
            l->path, s->line + ftc_layout_lines(l, row, bad), (uint8_t)row[bad],
            (size_t)s->offset + (size_t)(row - s->data) + bad);
    return FTC_STATUS_OK;
}

static ftc_status check_json_row(scanner *s) {
    ftc_layout *l = s->layout;
    const char *value = ftc_fields_get(&s->fields, 0);
    ftc_json_fault fault;
    cJSON *json = ftc_json_parse_object(value, strlen(value), &fault);
    const char *what = json ? NULL : ftc_json_fault_text(&fault);
    if (what)
        return ftc_status_make(FTC_BAD_INPUT, "%s:%zu: at byte %zu of the object: %s", l->path, s->line,
                               fault.at, what);
    if (!json)
        return ftc_status_make(
            FTC_BAD_INPUT, "%s:%zu: %s", l->path, s->line,
            l->is_array ? "not a JSON object; an array of objects is expected"
                        : "not a JSON object; one object a line, or an array of them, is expected");
    const cJSON *item;
    if (l->rows == 0)
        cJSON_ArrayForEach(item, json) ftc_fields_push(&l->names, item->string, strlen(item->string));
    cJSON_Delete(json);
    return FTC_STATUS_OK;
}

static bool is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return *end == '\0' && text[strcspn(text, "0123456789")] != '\0'; // no "nan", no "inf"
}

static ftc_status check_row(scanner *s) {
    ftc_layout *l = s->layout;
    if (l->format == FTC_TABLE_JSON_LINES) return check_json_row(s);
    if (s->all_blank && s->fields.count > 1) { // there are columns: they were no rows
        ftc_fields_clear(&l->names);
        l->rows = 0;
    }
    if (l->rows == 0)
        for (size_t i = 0; i < s->fields.count; i++) {
            const char *name = ftc_fields_get(&s->fields, i);
            ftc_fields_push(&l->names, name, strlen(name));
        }
    if (s->fields.count != l->names.count) {
        const char *hint = ftc_layout_hint(l);
        if (!*hint && l->format == FTC_TABLE_CSV)
            hint = "; a field with a comma or a line end must be quoted";
        return ftc_status_make(FTC_BAD_INPUT, "%s:%zu: the row has %zu field%s, the first row has %zu%s",
                               l->path, s->line, s->fields.count, s->fields.count == 1 ? "" : "s",
                               l->names.count, hint);
    }
    if (l->rows < 2)
        for (size_t i = 0; i < s->fields.count; i++)
            l->has_numbers[l->rows] |= is_number(ftc_fields_get(&s->fields, i));
    s->needs_quotes |= s->fields.needs_quotes;
    s->is_bare |= s->fields.is_bare;
    return FTC_STATUS_OK;
}

// Whether there is nothing on the line but its end; an empty field in quotes is something.
static bool is_blank(const scanner *s) {
    const ftc_layout *l = s->layout;
    if (l->format == FTC_TABLE_CONLL) return s->fields.count == 0;
    if (l->is_array || s->fields.count != 1) return false;
    const char *text = ftc_fields_get(&s->fields, 0);
    if (l->format == FTC_TABLE_JSON_LINES) return text[strspn(text, " \t")] == '\0';
    return *text == '\0' && !(l->dialect.quotes && s->data[s->at] == '"');
}

static void push_offset(ftc_layout *l, uint64_t offset) {
    l->offsets = ftc_grow(l->offsets, &l->capacity, l->rows + 1, sizeof *l->offsets);
    l->offsets[l->rows] = offset;
}

// What is wrong with the row at hand by the parser's result; `consumed` as of that.
static ftc_status check_result(const scanner *s, ftc_fields_result result, size_t consumed) {
    const ftc_layout *l = s->layout;
    switch (result) {
    case FTC_FIELDS_UNTERMINATED:
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s:%zu: a quoted field of this row has no closing quote; where quotes are "
                               "but characters, pass --quoting no",
                               l->path, s->line);
    case FTC_FIELDS_AFTER_QUOTE:
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s:%zu: text behind a closing quote; a quote inside a quoted field is written "
            "twice, or, where quotes are but characters, pass --quoting no",
            l->path, s->line + ftc_layout_lines(l, s->data + s->at, consumed));
    case FTC_FIELDS_NO_COMMA:
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s:%zu: the array goes on without \",\" or \"]\" behind this value; is the file complete?",
            l->path, s->line);
    case FTC_FIELDS_UNEVEN:
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s:%zu: the line has another number of columns than the one before; an empty line "
            "ends a sentence",
            l->path, s->line + ftc_layout_lines(l, s->data + s->at, consumed));
    case FTC_FIELDS_MORE:
    case FTC_FIELDS_ROW: break;
    }
    return FTC_STATUS_OK;
}

// The bytes of the line at hand, its end included.
static size_t line_bytes(const scanner *s) {
    const char *row = s->data + s->at;
    const char *end = memchr(row, s->layout->dialect.line_end, s->size - s->at);
    return end ? (size_t)(end - row) + 1 : s->size - s->at;
}

// Takes the row at hand, which is *consumed bytes long, or leaves it out; of one that cannot be cut into
// fields, its first line, or the lines before the one that does not fit.
static ftc_status take_row(scanner *s, ftc_fields_result result, size_t *consumed) {
    ftc_layout *l = s->layout;
    ftc_status status = check_result(s, result, *consumed);
    bool is_cut = status.code == FTC_OK;
    if (is_cut) status = check_bytes(s, s->data + s->at, *consumed);
    bool blank = is_cut && status.code == FTC_OK && is_blank(s);
    if (blank && !(s->takes_blank && l->names.count <= 1)) return FTC_STATUS_OK;
    if (is_cut && status.code == FTC_OK) status = check_row(s);
    if (status.code == FTC_OK) {
        s->all_blank = blank && (l->rows == 0 || s->all_blank);
        push_offset(l, s->offset + s->at);
        l->rows++;
        return FTC_STATUS_OK;
    }
    bool is_first = l->rows == 0 && l->format != FTC_TABLE_JSON_LINES; // it says what the columns are
    if (!s->skips || is_first || l->is_array) return status;
    if (!is_cut && result != FTC_FIELDS_UNEVEN) *consumed = line_bytes(s);
    ftc_layout_skip(l, status);
    return FTC_STATUS_OK;
}

// --- the file -----------------------------------------------------------------------------------------

// Behind the last element of an array: its bracket, and nothing more.
static ftc_status check_array_end(scanner *s) {
    size_t at = s->at + 1;
    while (at < s->size && strchr(" \t\r\n", s->data[at])) at++;
    bool ends = s->at < s->size && at == s->size;
    return ends ? FTC_STATUS_OK
                : ftc_status_make(FTC_BAD_INPUT, "%s:%zu: the array %s", s->layout->path, s->line,
                                  s->at < s->size ? "ends here, but the file does not"
                                                  : "has no end; is the file complete?");
}

static ftc_status scan(scanner *s) {
    ftc_layout *l = s->layout;
    FTC_RETURN_IF_ERROR(read_more(s));
    FTC_RETURN_IF_ERROR(check_start(s));
    for (;;) {
        bool is_end = s->at == s->size;
        if (is_end && s->last) break;
        if (l->is_array && !is_end && s->data[s->at] == ']') {
            if (s->last) break;
            FTC_RETURN_IF_ERROR(read_more(s));
            continue;
        }
        size_t consumed = 0;
        ftc_fields_result result =
            ftc_layout_parse(l, s->data + s->at, s->size - s->at, s->last, &s->fields, &consumed);
        if (result == FTC_FIELDS_MORE) {
            FTC_RETURN_IF_ERROR(read_more(s));
            continue;
        }
        FTC_RETURN_IF_ERROR(take_row(s, result, &consumed));
        s->line += ftc_layout_lines(l, s->data + s->at, consumed);
        s->at += consumed;
    }
    push_offset(l, s->offset + s->size);
    return l->is_array ? check_array_end(s) : FTC_STATUS_OK;
}

// One pass; *is_quoted: whether quotes are what the file is written with, not characters of it.
static ftc_status pass(ftc_layout *l, const ftc_table_options *options, bool skips, bool *is_quoted) {
    bool has_lines = l->format == FTC_TABLE_TSV || l->format == FTC_TABLE_LINES;
    scanner s = {.layout = l, .skips = skips, .takes_blank = options->blank_lines && has_lines, .line = 1};
    ftc_status status = scan(&s);
    *is_quoted = status.code == FTC_OK && (s.needs_quotes || !s.is_bare);
    free(s.data);
    ftc_fields_free(&s.fields);
    return status;
}

static void forget(ftc_layout *l) {
    ftc_layout_free(l);
    *l = (ftc_layout){.path = l->path, .fd = l->fd, .format = l->format, .dialect = l->dialect};
}

ftc_status ftc_scan(const ftc_table_options *options, ftc_layout *l) {
    static const char SEPARATORS[] = {[FTC_TABLE_CSV] = ',',
                                      [FTC_TABLE_TSV] = '\t',
                                      [FTC_TABLE_JSON_LINES] = 0,
                                      [FTC_TABLE_CONLL] = 0,
                                      [FTC_TABLE_LINES] = 0};
    bool is_quoted, tries = l->format == FTC_TABLE_TSV && options->quoting == FTC_TABLE_QUOTING_AUTO;
    char separator = options->delimiter ? options->delimiter : SEPARATORS[l->format];
    if (l->format != FTC_TABLE_CSV && l->format != FTC_TABLE_TSV) separator = 0;
    bool quotes = options->quoting == FTC_TABLE_QUOTING_AUTO ? l->format == FTC_TABLE_CSV
                                                             : options->quoting == FTC_TABLE_QUOTING_YES;
    l->dialect = (ftc_dialect){separator, (quotes || tries) && separator, '\n'};
    if (!tries) return pass(l, options, options->skip_bad_rows, &is_quoted);
    ftc_status status = pass(l, options, false, &is_quoted);
    if (status.code == FTC_OK && is_quoted) return status;
    ftc_status_free(&status);
    forget(l);
    l->dialect.quotes = false;
    l->dialect.line_end = '\n';
    return pass(l, options, options->skip_bad_rows, &is_quoted);
}
