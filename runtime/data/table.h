// Rows of labelled text out of CSV, TSV and JSON-lines files that may be larger than memory.
//
// Opening a file reads it once, checks every row and keeps the offset of each (8 bytes a row); rows are then
// read one by one. Blank lines do not count as rows. A row is named in messages by file and line:
// "reviews.csv:17".
//
//   CSV         RFC 4180: fields may be quoted, quoted fields may hold line ends, commas and doubled
//               quotes. Lines end in LF or CRLF. The first row is the header unless the options say
//               otherwise.
//   TSV         fields separated by tabs; quotes mean nothing. Whether there is a header: see
//               ftc_table_header.
//   JSON lines  one object a line. Numbers are read as text, integers without a point.
//
// All are UTF-8, with or without a byte order mark.
#ifndef FTC_RUNTIME_TABLE_H
#define FTC_RUNTIME_TABLE_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    FTC_TABLE_AUTO, // by the file's name: .tsv .txt → TSV, .jsonl .ndjson .json → JSON lines, else CSV
    FTC_TABLE_CSV,
    FTC_TABLE_TSV,
    FTC_TABLE_JSON_LINES,
} ftc_table_format;

typedef enum {
    // CSV: yes. TSV: yes, unless all columns are chosen by number and the first row looks like data, that is,
    // holds a number, or the second row holds none either. A TSV of one column that no column is chosen from
    // and whose first line is no default name has no header: each line is a text.
    FTC_TABLE_HEADER_AUTO,
    FTC_TABLE_HEADER_YES,
    FTC_TABLE_HEADER_NO,
} ftc_table_header;

// A column is chosen by its name or, where no column has that name, by its number from 0. NULL stands for the
// first of these names that the file has:
//   text:  text, sentence, review, content, comment, document, description
//   label: label, labels, stars, class, rating, category, target
// and, for `pair`, for none.
typedef struct {
    ftc_table_format format;
    ftc_table_header header;
    const char *text_column, *pair_column, *label_column;
    bool without_label; // do not look for a label column
    bool without_text;  // do not look for a text column unless text_column names one
    bool list_labels;   // a label may be a list of JSON
} ftc_table_options;

typedef struct ftc_table ftc_table;

// Fails on a missing or empty file, on rows that do not have as many fields as the first, on quotes that do
// not end, on bytes that are no UTF-8, on a NUL, on a column that is not there; names file, line and remedy.
ftc_status ftc_table_open(const char *path, const ftc_table_options *options, ftc_table **out);
void ftc_table_close(ftc_table *table);

size_t ftc_table_rows(const ftc_table *table);
const char *ftc_table_path(const ftc_table *table);

// The name of the label column: out of the header, or its number; NULL if there is none.
const char *ftc_table_label_column(const ftc_table *table);

// One row. All zero at first; the strings live until the next call with the same ftc_row. Each is NULL if the
// table has no such column.
typedef struct {
    const char *text, *pair, *label;
    struct ftc_row_buffer *buffer;
} ftc_row;

// Reads the row with this index (0 … rows - 1). Several threads may read one table at the same time, each
// into a row of its own; rows in a sequence are read ahead. Fails, besides on a file that has changed, when a
// field is empty or is neither text nor number.
ftc_status ftc_table_read(const ftc_table *table, size_t index, ftc_row *row);

// The same for the label alone: row->text and row->pair are NULL and not looked at.
ftc_status ftc_table_read_label(const ftc_table *table, size_t index, ftc_row *row);

// The index of the column of this name (or number, as above); NULL: that of the label column. Fails, naming
// the columns that there are.
ftc_status ftc_table_find_column(const ftc_table *table, const char *name, size_t *column);

// One cell of a row; a list or object of JSON as JSON text. The text lives as those of ftc_table_read, whose
// fields in *row are not set.
ftc_status ftc_table_read_cell(const ftc_table *table, size_t index, size_t column, ftc_row *row,
                               const char **text);

void ftc_row_free(ftc_row *row);

// A status for something wrong in a row: "reviews.csv:17: " and the formatted message.
ftc_status ftc_table_error(const ftc_table *table, size_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
