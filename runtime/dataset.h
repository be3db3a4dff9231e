// Tokenized examples, packed one after the other.
#ifndef FTC_RUNTIME_DATASET_H
#define FTC_RUNTIME_DATASET_H

#include "runtime/tokenizer.h"

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

void ftc_dataset_free(ftc_dataset *dataset);

#endif
