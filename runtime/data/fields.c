#include "runtime/data/fields.h"

#include "runtime/grow.h"

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

// A quoted field whose opening quote is at data[*at]; moves *at behind the closing one.
static ftc_fields_result parse_quoted(const char *data, size_t size, bool last, ftc_fields *fields,
                                      size_t *at) {
    begin_field(fields);
    for (size_t begin = *at + 1;;) {
        const char *quote = memchr(data + begin, '"', size - begin);
        if (!quote) return last ? FTC_FIELDS_UNTERMINATED : FTC_FIELDS_MORE;
        size_t end = (size_t)(quote - data);
        append(fields, data + begin, end - begin);
        if (end + 1 == size && !last) return FTC_FIELDS_MORE;
        if (end + 1 == size || data[end + 1] != '"') {
            end_field(fields);
            *at = end + 1;
            return FTC_FIELDS_ROW;
        }
        append(fields, "\"", 1);
        begin = end + 2;
    }
}

ftc_fields_result ftc_fields_parse(const char *data, size_t size, bool last, char separator, bool quotes,
                                   ftc_fields *fields, size_t *consumed) {
    ftc_fields_clear(fields);
    for (size_t at = 0;; at++) { // once a field; `at` then is at the separator
        if (quotes && at < size && data[at] == '"') {
            ftc_fields_result result = parse_quoted(data, size, last, fields, &at);
            if (result != FTC_FIELDS_ROW) return result;
            if (at + 1 >= size && !last) return FTC_FIELDS_MORE;
            if (at < size && data[at] == '\r' && (at + 1 == size || data[at + 1] == '\n')) at++;
            if (at < size && data[at] != separator && data[at] != '\n') {
                *consumed = at;
                return FTC_FIELDS_AFTER_QUOTE;
            }
        } else {
            size_t begin = at;
            while (at < size && data[at] != '\n' && (data[at] != separator || !separator)) at++;
            if (at == size && !last) return FTC_FIELDS_MORE;
            bool ends_line = at == size || data[at] == '\n';
            size_t end = ends_line && at > begin && data[at - 1] == '\r' ? at - 1 : at;
            ftc_fields_push(fields, data + begin, end - begin);
        }
        if (at < size && data[at] != '\n') continue;
        *consumed = at < size ? at + 1 : size;
        return FTC_FIELDS_ROW;
    }
}
