#include "compiler/driver/texts.h"

#include "compiler/driver/csv.h"
#include "ir/base/alloc.h"

#include <stddef.h>
#include <stdlib.h>

#define FIELD(name) offsetof(ftc_text_options, name)
const ftc_option ftc_text_option_table[] = {
    {"json", NULL, FTC_OPTION_FLAG, FIELD(json), NULL, 0, "print one JSON object a line"},
    {"file", NULL, FTC_OPTION_ROWS, FIELD(file), "FILE", 0,
     "take the texts from a column of this file; - is standard input, a text a line"},
    {"pairs", NULL, FTC_OPTION_FLAG, FIELD(by_two), NULL, 0,
     "the texts behind the directory are pairs: the first with the second, the third with the fourth, …"},
    {"max-length", NULL, FTC_OPTION_INT, FIELD(columns.max_length), "N", 1, "cut texts to so many tokens"},
    {0},
};
#undef FIELD

ftc_text_options ftc_text_options_default(void) {
    return (ftc_text_options){.columns = ftc_data_options_default()};
}

ftc_status ftc_texts_open(const ftc_text_options *options, bool of_words, const ftc_text_list *words,
                          ftc_texts *out) {
    ftc_texts texts = {.words = words, .by_two = options->by_two, .at = 1};
    if (options->file && words->n > 1) {
        return ftc_status_make(FTC_BAD_INPUT, "both --file and the text \"%s\" are given", words->items[1]);
    }
    if (!options->file && words->n < 2) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "no text is given; write it behind the directory, or name --file FILE (- for "
                               "standard input)");
    }
    if (options->by_two && options->file)
        return ftc_status_make(FTC_BAD_INPUT, "--pairs is for texts on the command line; of a file, "
                                              "--pair-column names the column of the second texts");
    if (options->by_two && words->n % 2 == 0)
        return ftc_status_make(FTC_BAD_INPUT, "--pairs: the text \"%s\" has no second one: %zu %s given",
                               words->items[words->n - 1], words->n - 1, words->n == 2 ? "is" : "are");
    if (options->file) {
        texts.at = 0;
        ftc_data_options columns = options->columns;
        columns.words = of_words;
        columns.blank_lines = true; // one answer a line
        FTC_RETURN_IF_ERROR(ftc_data_open(options->file, &columns, false, &texts.table));
    }
    *out = texts;
    return FTC_STATUS_OK;
}

bool ftc_texts_next(ftc_texts *texts, const char **text, const char **pair, ftc_status *status) {
    if (!texts->table) {
        if (texts->at >= texts->words->n) return false;
        *text = texts->words->items[texts->at++];
        *pair = texts->by_two ? texts->words->items[texts->at++] : NULL;
        return true;
    }
    if (texts->at >= ftc_table_rows(texts->table)) return false;
    *status = ftc_table_read(texts->table, texts->at++, &texts->row);
    *text = texts->row.text;
    *pair = texts->row.pair;
    return status->code == FTC_OK;
}

ftc_status ftc_texts_cells(const ftc_texts *texts, const char *text, ftc_row *row, char **out) {
    ftc_text written;
    FILE *file = ftc_text_open(&written);
    ftc_status status = FTC_STATUS_OK;
    if (texts->table) {
        size_t n = ftc_table_columns(texts->table);
        const char **cells = ftc_alloc(n + 1, sizeof *cells);
        status = ftc_table_read_cells(texts->table, texts->at - 1, row, cells);
        for (size_t i = 0; i < n && status.code == FTC_OK; i++) ftc_csv_write(file, cells[i], false);
        free(cells);
    } else {
        ftc_csv_write(file, text, false);
    }
    *out = ftc_text_close(&written, NULL);
    if (status.code == FTC_OK) return status;
    free(*out);
    *out = NULL;
    return status;
}

void ftc_texts_close(ftc_texts *texts) {
    ftc_row_free(&texts->row);
    ftc_table_close(texts->table);
    *texts = (ftc_texts){0};
}
