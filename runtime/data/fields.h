// Cutting the bytes of a CSV or TSV file into rows and fields.
#ifndef FTC_RUNTIME_FIELDS_H
#define FTC_RUNTIME_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

// The fields of one row, each ending in a zero byte. All zero at first; filled again and again.
typedef struct {
    char *text;
    size_t size, capacity;
    size_t *starts; // [count] offsets into text
    size_t count, starts_capacity;
} ftc_fields;

void ftc_fields_clear(ftc_fields *fields);
void ftc_fields_free(ftc_fields *fields);

// Appends a field of `size` bytes.
void ftc_fields_push(ftc_fields *fields, const char *text, size_t size);

const char *ftc_fields_get(const ftc_fields *fields, size_t index);

typedef enum {
    FTC_FIELDS_ROW,          // one row was read
    FTC_FIELDS_MORE,         // the row goes on behind the bytes given
    FTC_FIELDS_UNTERMINATED, // the last quoted field has no closing quote
    FTC_FIELDS_AFTER_QUOTE,  // something other than a separator follows a closing quote
} ftc_fields_result;

// Reads the row at the start of `data` (`size` bytes, of which `last` says that nothing follows them) and
// sets *consumed to its length in bytes, line end included; on FTC_FIELDS_AFTER_QUOTE to where the row is
// wrong. `separator` is the byte between fields, 0: the whole line is one field. With `quotes`, a field may
// be quoted.
ftc_fields_result ftc_fields_parse(const char *data, size_t size, bool last, char separator, bool quotes,
                                   ftc_fields *fields, size_t *consumed);

#endif
