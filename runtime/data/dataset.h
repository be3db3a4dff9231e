// Tokenized examples, packed one after the other.
#ifndef FTC_RUNTIME_DATASET_H
#define FTC_RUNTIME_DATASET_H

#include "runtime/data/fields.h"
#include "runtime/data/labels.h"
#include "runtime/data/masking.h"
#include "runtime/status.h"
#include "runtime/data/table.h"
#include "runtime/loop/threads.h"
#include "runtime/text/tokenizer.h"

#include <stdint.h>

// Numbers out of a column of a file: a list of them for each example.
typedef struct {
    int64_t *offsets; // [n + 1] example i has the numbers offsets[i] … offsets[i + 1] - 1
    double *values;   // [offsets[n]]
    size_t offsets_capacity, values_capacity;
} ftc_number_lists;

// Start with all zero; ftc_dataset_add appends.
typedef struct {
    int64_t n;            // examples
    int64_t *offsets;     // [n + 1] example i has the tokens offsets[i] … offsets[i + 1] - 1
    int32_t *ids, *types; // [offsets[n]]
    int32_t *firsts; // [n] of pairs whose texts stand apart: tokens of the first text; NULL: one text each
    size_t firsts_capacity;
    float *labels; // [n] the class (an integer) or the value to predict
    // [offsets[n]] the class of each token, FTC_NO_LABEL where it has none; NULL: of no token. Where texts
    // are masked already, what each masked token was.
    int32_t *tags;
    size_t tags_capacity;
    const char *const *tag_names; // [n_tag_names] of the classes, as of the labels that they are from
    int32_t n_tag_names;
    int64_t cut; // examples of words that were too long
    size_t offsets_capacity, ids_capacity, types_capacity, labels_capacity;
    ftc_number_lists *columns; // [n_columns] what feeds the program's other inputs (ftc_program_columns)
    int32_t n_columns;
    const ftc_masking *masking; // not its own; NULL: the texts are masked already, or not at all
} ftc_dataset;

void ftc_dataset_add(ftc_dataset *dataset, const ftc_tokens *tokens, float label);

static inline int64_t ftc_dataset_length(const ftc_dataset *dataset, int64_t example) {
    return dataset->offsets[example + 1] - dataset->offsets[example];
}

int64_t ftc_dataset_tokens(const ftc_dataset *dataset);

// Of tokens, labels and where texts end; cut to what a JSON number holds exactly. 0: there are none.
int64_t ftc_dataset_hash(const ftc_dataset *dataset);

// Appends an example of two texts that stand apart.
void ftc_dataset_add_pair(ftc_dataset *dataset, const ftc_tokens *first, const ftc_tokens *second,
                          float label);

// Of a word's tokens, which have its label.
typedef enum { FTC_TAG_FIRST, FTC_TAG_ALL } ftc_tagging;

// Appends an example of words (ftc_tokenizer_encode_words), whose classes are classes[n_words].
void ftc_dataset_add_words(ftc_dataset *dataset, const ftc_tokens *tokens, const int32_t *classes,
                           ftc_tagging tagging);

// The tokens of a cell of words (runtime/data/words.h), which become *words.
ftc_status ftc_words_encode(const ftc_tokenizer *tokenizer, const char *cell, int max_length,
                            ftc_fields *words, ftc_tokens *tokens);

// Which rows of which file become examples, and how. Where the table has words, labels are theirs.
typedef struct {
    const ftc_table *table;
    const int64_t *rows; // [n]
    size_t n;
    const ftc_tokenizer *tokenizer; // NULL: the texts are not read, examples have no tokens
    int max_length;                 // tokens of an example, special ones included
    const ftc_labels *labels;       // NULL: every label is 0
    ftc_tagging tagging;
    const ftc_masking *masking; // NULL: the texts are not masked
    bool apart;                 // the two texts of a row are encoded each by itself
} ftc_dataset_source;

// Reads and tokenizes the rows, on all threads of the pool. The examples stand in the order of `rows`.
ftc_status ftc_dataset_read(const ftc_dataset_source *source, ftc_threads *threads, ftc_dataset *out);

// Reads the numbers of `n` rows out of the columns of these names, [n_columns]; NULL stands for the label
// column. A cell is a number, or a list of numbers as JSON writes it, "[0.5, 1]". Fails, naming row and
// column.
ftc_status ftc_dataset_read_columns(const ftc_dataset_source *source, const char *const *names,
                                    int32_t n_columns, ftc_dataset *dataset);

void ftc_dataset_free(ftc_dataset *dataset);

#endif
