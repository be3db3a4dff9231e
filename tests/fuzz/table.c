// Rows of a file in the format that FUZZ_TABLE_FORMAT names, as it is and with its bad rows left out.
#include "runtime/data/table.h"
#include "runtime/data/words.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void read_rows(const char *path, const ftc_table_options *options) {
    ftc_table *table = NULL;
    ftc_status status = ftc_table_open(path, options, &table);
    if (status.code == FTC_OK) {
        ftc_row row = {0};
        ftc_fields words = {0};
        for (size_t i = 0; i < ftc_table_rows(table); i++) {
            ftc_status read = ftc_table_read(table, i, &row);
            if (read.code == FTC_OK && row.text && strlen(row.text) > 1 << 20) abort();
            if (read.code == FTC_OK && row.text) ftc_words_read(row.text, &words);
            fuzz_status(read);
            fuzz_status(ftc_table_read_label(table, i, &row));
        }
        free(ftc_table_describe(table));
        ftc_fields_free(&words);
        ftc_row_free(&row);
        ftc_table_close(table);
    }
    fuzz_status(status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *path = fuzz_file("rows", data, size);
    ftc_table_options options = {.format = FUZZ_TABLE_FORMAT};
    options.words = options.format == FTC_TABLE_CONLL;
    read_rows(path, &options);
    options.skip_bad_rows = options.without_label = options.list_labels = options.words = true;
    options.text_column = "0";
    read_rows(path, &options);
    free(path);
    return 0;
}
