// Tokenized examples, packed one after the other.
#ifndef FTC_RUNTIME_DATASET_H
#define FTC_RUNTIME_DATASET_H

#include "runtime/data/labels.h"
#include "runtime/status.h"
#include "runtime/data/table.h"
#include "runtime/loop/threads.h"
#include "runtime/text/tokenizer.h"

#include <stdint.h>

// Start with all zero; ftc_dataset_add appends.
typedef struct {
    int64_t n;            // examples
    int64_t *offsets;     // [n + 1] example i has the tokens offsets[i] … offsets[i + 1] - 1
    int32_t *ids, *types; // [offsets[n]]
    float *labels;        // [n] the class (an integer) or the value to predict
    size_t offsets_capacity, ids_capacity, types_capacity, labels_capacity;
} ftc_dataset;

void ftc_dataset_add(ftc_dataset *dataset, const ftc_tokens *tokens, float label);

static inline int64_t ftc_dataset_length(const ftc_dataset *dataset, int64_t example) {
    return dataset->offsets[example + 1] - dataset->offsets[example];
}

int64_t ftc_dataset_tokens(const ftc_dataset *dataset);

// Which rows of which file become examples, and how.
typedef struct {
    const ftc_table *table;
    const int64_t *rows; // [n]
    size_t n;
    const ftc_tokenizer *tokenizer;
    int max_length;           // tokens of an example, special ones included
    const ftc_labels *labels; // NULL: every label is 0
} ftc_dataset_source;

// Reads and tokenizes the rows, on all threads of the pool. The examples stand in the order of `rows`.
ftc_status ftc_dataset_read(const ftc_dataset_source *source, ftc_threads *threads, ftc_dataset *out);

void ftc_dataset_free(ftc_dataset *dataset);

#endif
