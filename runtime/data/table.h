// Rows of labelled text out of CSV, TSV and JSON-lines files that may be larger than memory.
//
// Opening a file reads it once, checks every row and keeps the offset of each (8 bytes a row); rows are then
// read one by one. Blank lines do not count as rows, but for blank_lines. A row is named in messages by file
// and line: "reviews.csv:17".
//
//   CSV   RFC 4180: fields may be quoted, quoted fields may hold line ends, commas and doubled quotes.
//   TSV   fields separated by tabs. Quotes are characters, unless the whole file reads well as quoted fields
//         and one of them holds what only quotes allow (a tab, a line end, a doubled quote), or all texts of
//         the file are quoted.
//   CoNLL a line a word, of columns between blanks or tabs; an empty line ends a sentence, which is a row.
//         Lines that begin with -DOCSTART- do not count.
//   JSON  one object a line, or one array of objects. Numbers are read as text, integers without a point.
//
// Lines end in LF or CRLF, or, if no LF ends one, in CR. Files are UTF-8, with or without a byte order mark,
// or in the encoding of the options, packed by gzip or not; "-" is standard input.
#ifndef FTC_RUNTIME_TABLE_H
#define FTC_RUNTIME_TABLE_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    // By the file's name (before .gz): .tsv .tab .txt → TSV, .jsonl .ndjson .json → JSON, .conll .bio .iob
    // .iob2 → CoNLL, standard input → TSV, else CSV. Of words: .txt → CoNLL.
    FTC_TABLE_AUTO,
    FTC_TABLE_CSV,
    FTC_TABLE_TSV,
    FTC_TABLE_JSON_LINES,
    FTC_TABLE_CONLL,
    FTC_TABLE_LINES, // a text a line, whatever is in it; no header
} ftc_table_format;

typedef enum {
    // The first row is a header if one of its fields is a default name (below). Else, where all columns are
    // chosen by number: if it holds no number and the second row does. Else: if there are several columns or
    // one is chosen by name; a file of one column without a header is a text a line.
    FTC_TABLE_HEADER_AUTO,
    FTC_TABLE_HEADER_YES,
    FTC_TABLE_HEADER_NO,
} ftc_table_header;

typedef enum {
    FTC_TABLE_QUOTING_AUTO, // CSV: yes; TSV: see above
    FTC_TABLE_QUOTING_YES,
    FTC_TABLE_QUOTING_NO, // quotes are characters
} ftc_table_quoting;

// A column is chosen by its number from 0 or, where there are not so many, by its name. NULL stands for the
// first of these names that the file has, be it in capitals:
//   text:  text, sentence, review, content, comment, document, description
//   label: label, labels, stars, class, rating, category, target, sentiment
// and, for `pair`, for none. Of words:
//   text:  tokens, words, then as above
//   label: ner_tags, tags, labels, label, pos_tags, chunk_tags
// and in CoNLL the first and the last column. Of pairs that stand apart (`pairs`):
//   text:  anchor, query, question, sentence1, premise
//   pair:  positive, answer, passage, sentence2, hypothesis
// and where the file has two columns, and none of these, the first and the second one.
typedef struct {
    ftc_table_format format;
    ftc_table_header header;
    ftc_table_quoting quoting;
    char delimiter;       // between the fields of CSV and TSV; 0: as the format has it
    const char *encoding; // a name that iconv knows; NULL: UTF-8, or what a byte order mark says
    const int *decoded;   // the file, out of ftc_decode_open and left open; NULL: it is decoded here
    const char *text_column, *pair_column, *label_column;
    const char *label_columns; // with commas between, each a label that a row has (1) or not (0); or NULL
    const char *missing_label; // what a label is where there is none, beside nothing and NaN; or NULL
    bool without_label;        // do not look for a label column
    bool pairs;                // a row is two texts that stand apart
    bool without_text;         // do not look for a text column unless text_column names one
    bool list_labels;          // a label may be a list of JSON
    bool words; // text and label are lists (runtime/data/words.h): a row is a sentence, with a label a word
    bool several_labels; // an empty label is an empty list
    bool txt_is_lines;   // FTC_TABLE_AUTO: .txt → lines
    bool skip_bad_rows;  // leave out rows that cannot be read, or have no label
    bool blank_lines;    // a blank line is a row, an empty text, in TSV of one column and in lines
} ftc_table_options;

typedef struct ftc_table ftc_table;

// Fails on a missing or empty file, on rows that do not have as many fields as the first, on quotes that do
// not end, on bytes that are no UTF-8, on a NUL (with skip_bad_rows such rows are left out), on a column that
// is not there; names file, line and remedy.
ftc_status ftc_table_open(const char *path, const ftc_table_options *options, ftc_table **out);
void ftc_table_close(ftc_table *table);

size_t ftc_table_rows(const ftc_table *table);
const char *ftc_table_path(const ftc_table *table);

// The rows that were left out, and of the first of them why; owned by the table.
enum { FTC_TABLE_SKIPPED_NAMED = 10 };
typedef struct {
    size_t count;
    char *why[FTC_TABLE_SKIPPED_NAMED]; // "reviews.csv:17: …"
} ftc_table_skipped;
const ftc_table_skipped *ftc_table_skipped_rows(const ftc_table *table);

// One line for people, allocated: what was taken as the header, and which columns were chosen.
char *ftc_table_describe(const ftc_table *table);

// Whether rows are sentences of words with a label each: as the options had it, or the file's form.
bool ftc_table_has_words(const ftc_table *table);

// Whether a row has two texts.
bool ftc_table_has_pairs(const ftc_table *table);

// The name of the label column: out of the header, or its number; NULL if there is none.
const char *ftc_table_label_column(const ftc_table *table);

// The columns that are a label each (label_columns): how many, and their names. The label of a row is the
// list of those that it has, as JSON text.
size_t ftc_table_label_columns(const ftc_table *table);
const char *ftc_table_label_name(const ftc_table *table, size_t index);

// One row. All zero at first; the strings live until the next call with the same ftc_row. Each is NULL if the
// table has no such column.
typedef struct {
    const char *text, *pair, *label;
    struct ftc_row_buffer *buffer;
} ftc_row;

// Reads the row with this index (0 … rows - 1). Several threads may read one table at the same time, each
// into a row of its own; rows in a sequence are read ahead. A text may be empty; null of JSON is. Fails,
// besides on a file that has changed, when there is no label (it is empty, null, not there, or NaN), and when
// a value of JSON is a list or an object.
ftc_status ftc_table_read(const ftc_table *table, size_t index, ftc_row *row);

// The same for the label alone: row->text and row->pair are NULL and not looked at.
ftc_status ftc_table_read_label(const ftc_table *table, size_t index, ftc_row *row);

// The index of the column of this name (or number, as above); NULL: that of the label column. Fails, naming
// the columns that there are.
ftc_status ftc_table_find_column(const ftc_table *table, const char *name, size_t *column);

// The columns, by their names in the header or first object, or their numbers.
size_t ftc_table_columns(const ftc_table *table);
const char *ftc_table_column(const ftc_table *table, size_t column);

// All cells of a row, into cells[columns]: "" where an object has none or null, lists and objects as JSON
// text. They live as the texts of ftc_table_read, whose fields in *row are not set.
ftc_status ftc_table_read_cells(const ftc_table *table, size_t index, ftc_row *row, const char **cells);

// One cell of a row, which may not be empty; a list of JSON as JSON text. The text lives as those of
// ftc_table_read, whose fields in *row are not set.
ftc_status ftc_table_read_cell(const ftc_table *table, size_t index, size_t column, ftc_row *row,
                               const char **text);

void ftc_row_free(ftc_row *row);

// A status for something wrong in a row: "reviews.csv:17: " and the formatted message.
ftc_status ftc_table_error(const ftc_table *table, size_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
