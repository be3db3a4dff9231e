// Cutting the bytes of a CSV or TSV file into rows and fields, and those of a JSON array into its elements.
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
    // Of the row that was parsed last:
    bool needs_quotes; // a quoted field holds what it could not without quotes
    bool is_bare;      // a field without quotes holds more than a number
} ftc_fields;

void ftc_fields_clear(ftc_fields *fields);
void ftc_fields_free(ftc_fields *fields);

// Appends a field of `size` bytes.
void ftc_fields_push(ftc_fields *fields, const char *text, size_t size);

const char *ftc_fields_get(const ftc_fields *fields, size_t index);

// How the fields of a file are written.
typedef struct {
    char separator; // the byte between fields; 0: the whole line is one field
    bool quotes;    // a field may be quoted
    char line_end;  // '\n', before which there may be a '\r'; or '\r'
} ftc_dialect;

typedef enum {
    FTC_FIELDS_ROW,          // one row was read
    FTC_FIELDS_MORE,         // the row goes on behind the bytes given
    FTC_FIELDS_UNTERMINATED, // the last quoted field has no closing quote
    FTC_FIELDS_AFTER_QUOTE,  // something other than a separator follows a closing quote
    FTC_FIELDS_UNEVEN,   // a line of a sentence has other columns than the one before (runtime/data/words.h)
    FTC_FIELDS_NO_COMMA, // something other than "," and "]" follows the element of an array
} ftc_fields_result;

// Reads the row at the start of `data` (`size` bytes, of which `last` says that nothing follows them) and
// sets *consumed to its length in bytes, line end included; on FTC_FIELDS_AFTER_QUOTE to where the row is
// wrong.
ftc_fields_result ftc_fields_parse(const char *data, size_t size, bool last, const ftc_dialect *dialect,
                                   ftc_fields *fields, size_t *consumed);

// The same for the element of a JSON array at the start of `data`, which becomes the one field: *consumed is
// its length with the comma and the white space behind it. What the element is, is not looked at.
ftc_fields_result ftc_fields_parse_element(const char *data, size_t size, bool last, ftc_fields *fields,
                                           size_t *consumed);

#endif
