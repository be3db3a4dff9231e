// Texts that are cut into words already, with a label each: rows of a file whose cells hold lists.
#ifndef FTC_RUNTIME_WORDS_H
#define FTC_RUNTIME_WORDS_H

#include "runtime/data/fields.h"

#include <stdbool.h>
#include <stddef.h>

// The items of a cell: those of a list of JSON, texts, numbers or bools, else what stands between white
// space. False: it is a list of something else.
bool ftc_words_read(const char *cell, ftc_fields *words);

// Reads the sentence at the start of `data`, as ftc_fields_parse reads a row: a line a word, of columns
// between blanks (between tabs, where the line has one), up to an empty line. Its fields are the columns,
// each the list of JSON of its cells. Empty lines and those that begin with -DOCSTART- become a row without
// fields.
ftc_fields_result ftc_words_parse_sentence(const char *data, size_t size, bool last, char line_end,
                                           ftc_fields *fields, size_t *consumed);

#endif
