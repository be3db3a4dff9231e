// Texts that a command is given: as arguments, or as a column of a file. For predict and tokenize.
#ifndef FTC_DRIVER_TEXTS_H
#define FTC_DRIVER_TEXTS_H

#include "compiler/driver/cli.h"
#include "compiler/driver/data.h"
#include "runtime/status.h"

typedef struct {
    bool json;
    const char *file;
    bool by_two; // arguments are pairs of texts
    ftc_data_options columns;
} ftc_text_options;

extern const ftc_option ftc_text_option_table[];

ftc_text_options ftc_text_options_default(void);

// Goes through the texts one by one.
typedef struct {
    const ftc_text_list *words; // the directory, then texts
    bool by_two;                // these are pairs
    ftc_table *table;           // NULL: the texts are the words
    size_t at;
    ftc_row row;
} ftc_texts;

// `words` are a command's positional arguments, of which the first is no text. Fails when there is no text,
// or both texts and a file; or, where they are pairs, when one has no second. `of_words`: a text of the file
// may be a list of words.
ftc_status ftc_texts_open(const ftc_text_options *options, bool of_words, const ftc_text_list *words,
                          ftc_texts *out);

// The next text and its pair (or NULL), valid until the next call; false at the end or after a failure.
bool ftc_texts_next(ftc_texts *texts, const char **text, const char **pair, ftc_status *status);

// The cells of the row that was read last as CSV, each behind a comma, read by way of `row`; without a file,
// `text`. Allocated; NULL after a failure.
ftc_status ftc_texts_cells(const ftc_texts *texts, const char *text, ftc_row *row, char **out);

void ftc_texts_close(ftc_texts *texts);

#endif
