#include "runtime/dataset.h"

#include "runtime/grow.h"

#include <string.h>

int64_t ftc_dataset_tokens(const ftc_dataset *dataset) {
    return dataset->n ? dataset->offsets[dataset->n] : 0;
}

void ftc_dataset_add(ftc_dataset *d, const ftc_tokens *tokens, float label) {
    size_t n = (size_t)d->n, used = (size_t)ftc_dataset_tokens(d);
    d->offsets = ftc_grow(d->offsets, &d->offsets_capacity, n + 2, sizeof *d->offsets);
    d->ids = ftc_grow(d->ids, &d->ids_capacity, used + tokens->count, sizeof *d->ids);
    d->types = ftc_grow(d->types, &d->types_capacity, used + tokens->count, sizeof *d->types);
    d->labels = ftc_grow(d->labels, &d->labels_capacity, n + 1, sizeof *d->labels);
    memcpy(d->ids + used, tokens->ids, tokens->count * sizeof *d->ids);
    memcpy(d->types + used, tokens->types, tokens->count * sizeof *d->types);
    d->offsets[n] = (int64_t)used;
    d->offsets[n + 1] = (int64_t)(used + tokens->count);
    d->labels[n] = label;
    d->n++;
}

void ftc_dataset_free(ftc_dataset *dataset) {
    free(dataset->offsets);
    free(dataset->ids);
    free(dataset->types);
    free(dataset->labels);
    *dataset = (ftc_dataset){0};
}
