// Answers as CSV.
#ifndef FTC_DRIVER_CSV_H
#define FTC_DRIVER_CSV_H

#include "runtime/data/table.h"

#include <stdbool.h>
#include <stdio.h>

// A field, quoted where it must be; `first` of its row.
void ftc_csv_write(FILE *out, const char *text, bool first);

// The heading of a column of our own: called "predicted_…" where the file (or NULL) has one of this name.
void ftc_csv_write_heading(FILE *out, const ftc_table *table, const char *name, bool first);

// The headings of the file's columns, or without one that of the text, and the end of the row.
void ftc_csv_write_columns(FILE *out, const ftc_table *table);

#endif
