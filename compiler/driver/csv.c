#include "compiler/driver/csv.h"

#include "ir/base/alloc.h"

#include <string.h>

void ftc_csv_write(FILE *out, const char *text, bool first) {
    if (!first) fputc(',', out);
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void ftc_csv_write_heading(FILE *out, const ftc_table *table, const char *name, bool first) {
    bool is_taken = false;
    for (size_t i = 0; table && i < ftc_table_columns(table); i++)
        is_taken |= strcmp(ftc_table_column(table, i), name) == 0;
    char *heading = ftc_format("%s%s", is_taken ? "predicted_" : "", name);
    ftc_csv_write(out, heading, first);
    free(heading);
}

void ftc_csv_write_columns(FILE *out, const ftc_table *table) {
    for (size_t i = 0; table && i < ftc_table_columns(table); i++)
        ftc_csv_write(out, ftc_table_column(table, i), false);
    fputs(table ? "\n" : ",text\n", out);
}
