#include "runtime/data/fields.h"

#include "ir/base/alloc.h"

#include <string.h>

void ftc_fields_clear(ftc_fields *fields) {
    fields->size = fields->count = 0;
}

void ftc_fields_free(ftc_fields *fields) {
    free(fields->text);
    free(fields->starts);
    *fields = (ftc_fields){0};
}

static void begin_field(ftc_fields *f) {
    f->starts = ftc_grow(f->starts, &f->starts_capacity, f->count + 1, sizeof *f->starts);
    f->starts[f->count++] = f->size;
}

static void append(ftc_fields *f, const char *text, size_t size) {
    f->text = ftc_grow(f->text, &f->capacity, f->size + size + 1, 1);
    if (size) memcpy(f->text + f->size, text, size);
    f->size += size;
}

static void end_field(ftc_fields *f) {
    append(f, "", 0);
    f->text[f->size++] = '\0';
}

void ftc_fields_push(ftc_fields *fields, const char *text, size_t size) {
    begin_field(fields);
    append(fields, text, size);
    end_field(fields);
}

const char *ftc_fields_get(const ftc_fields *fields, size_t index) {
    return fields->text + fields->starts[index];
}

static bool must_be_quoted(const char *text, size_t size, const ftc_dialect *dialect) {
    return memchr(text, dialect->separator, size) || memchr(text, '\n', size) || memchr(text, '\r', size);
}

static bool is_number(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!strchr("0123456789+-.eE", text[i])) return false;
    return true;
}

// A quoted field whose opening quote is at data[*at]; moves *at behind the closing one.
static ftc_fields_result parse_quoted(const char *data, size_t size, bool last, const ftc_dialect *dialect,
                                      ftc_fields *fields, size_t *at) {
    begin_field(fields);
    for (size_t begin = *at + 1;;) {
        const char *quote = memchr(data + begin, '"', size - begin);
        if (!quote) return last ? FTC_FIELDS_UNTERMINATED : FTC_FIELDS_MORE;
        size_t end = (size_t)(quote - data);
        append(fields, data + begin, end - begin);
        fields->needs_quotes |= must_be_quoted(data + begin, end - begin, dialect);
        if (end + 1 == size && !last) return FTC_FIELDS_MORE;
        if (end + 1 == size || data[end + 1] != '"') {
            end_field(fields);
            *at = end + 1;
            return FTC_FIELDS_ROW;
        }
        append(fields, "\"", 1);
        fields->needs_quotes = true;
        begin = end + 2;
    }
}

ftc_fields_result ftc_fields_parse(const char *data, size_t size, bool last, const ftc_dialect *dialect,
                                   ftc_fields *fields, size_t *consumed) {
    char separator = dialect->separator, line_end = dialect->line_end;
    ftc_fields_clear(fields);
    fields->needs_quotes = fields->is_bare = false;
    for (size_t at = 0;; at++) { // once a field; `at` then is at the separator
        if (dialect->quotes && at < size && data[at] == '"') {
            ftc_fields_result result = parse_quoted(data, size, last, dialect, fields, &at);
            if (result != FTC_FIELDS_ROW) return result;
            if (at + 1 >= size && !last) return FTC_FIELDS_MORE;
            bool two_bytes = line_end == '\n' && at < size && data[at] == '\r';
            if (two_bytes && (at + 1 == size || data[at + 1] == '\n')) at++;
            if (at < size && data[at] != separator && data[at] != line_end) {
                *consumed = at;
                return FTC_FIELDS_AFTER_QUOTE;
            }
        } else {
            size_t begin = at;
            while (at < size && data[at] != line_end && (data[at] != separator || !separator)) at++;
            if (at == size && !last) return FTC_FIELDS_MORE;
            bool ends_line = at == size || data[at] == line_end;
            bool two_bytes = line_end == '\n' && ends_line && at > begin && data[at - 1] == '\r';
            size_t length = at - begin - two_bytes;
            ftc_fields_push(fields, data + begin, length);
            fields->is_bare |= !is_number(data + begin, length);
        }
        if (at < size && data[at] != line_end) continue;
        *consumed = at < size ? at + 1 : size;
        return FTC_FIELDS_ROW;
    }
}

// --- arrays -------------------------------------------------------------------------------------------

static bool is_json_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Where the JSON value at the start of `data` ends: at the comma or bracket behind it, or at white space;
// `size` when it may go on.
static size_t json_value_end(const char *data, size_t size) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = data[i];
        if (in_string) {
            if (c == '\\') i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (depth == 0 && (c == ',' || c == ']' || is_json_space(c))) {
            return i;
        } else if ((c == '}' || c == ']') && depth && --depth == 0) {
            return i + 1;
        }
    }
    return size;
}

ftc_fields_result ftc_fields_parse_element(const char *data, size_t size, bool last, ftc_fields *fields,
                                           size_t *consumed) {
    size_t end = json_value_end(data, size), at = end;
    while (at < size && is_json_space(data[at])) at++;
    bool comma = at < size && data[at] == ',';
    if (comma) at++;
    while (at < size && is_json_space(data[at])) at++;
    if (at == size && !last) return FTC_FIELDS_MORE;
    ftc_fields_clear(fields);
    ftc_fields_push(fields, data, end);
    *consumed = at;
    return comma || (at < size && data[at] == ']') ? FTC_FIELDS_ROW : FTC_FIELDS_NO_COMMA;
}
