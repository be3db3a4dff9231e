// The first pass over a file of rows: where each begins, how its fields are written, what its columns are
// called. For runtime/data/table.c alone.
#ifndef FTC_RUNTIME_SCAN_H
#define FTC_RUNTIME_SCAN_H

#include "runtime/data/fields.h"
#include "runtime/data/table.h"
#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *path;        // for messages
    int fd;                  // of text in UTF-8 (runtime/data/decode.h)
    ftc_table_format format; // never AUTO
    bool is_array;           // of JSON: the file is one array
    ftc_dialect dialect;     // of CSV and TSV
    uint64_t *offsets;       // [rows + 1] of each row's first byte; the last: of the end of the file
    size_t rows, capacity;
    ftc_fields names;    // the fields of the first row; of JSON, the names in its first object
    bool has_numbers[2]; // the first, the second row holds a number
    ftc_table_skipped skipped;
} ftc_layout;

// Fills a layout that has path, fd and format. `options` say the rest.
ftc_status ftc_scan(const ftc_table_options *options, ftc_layout *layout);
void ftc_layout_free(ftc_layout *layout);

// Cuts the row at the start of `data` into fields (ftc_fields_parse); of JSON, its one field is the value.
ftc_fields_result ftc_layout_parse(const ftc_layout *layout, const char *data, size_t size, bool last,
                                   ftc_fields *fields, size_t *consumed);

// What there is to say about a file whose rows have one field, because something else separates them: "" or
// "; …".
const char *ftc_layout_hint(const ftc_layout *layout);

// Line ends in `size` bytes of the file.
size_t ftc_layout_lines(const ftc_layout *layout, const char *data, size_t size);

// Counts a row that is left out; takes the status that says why.
void ftc_layout_skip(ftc_layout *layout, ftc_status why);

#endif
