#include "runtime/data/order.h"

#include "runtime/data/select.h"

#include <stdlib.h>

typedef struct {
    int64_t length, position, example;
} sortable;

// Longest first; of the same length, as they stood.
static int by_length(const void *a, const void *b) {
    const sortable *x = a, *y = b;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    return (x->position > y->position) - (x->position < y->position);
}

// Sorts stretches of 50 batches by length, as transformers' LengthGroupedSampler does, so that a batch holds
// examples of about one length while the batches of an epoch still vary.
static void group_by_length(const ftc_dataset *dataset, int64_t batch, int64_t *order) {
    int64_t n = dataset->n, stretch = 50 * batch;
    if (stretch > n / 4) stretch = n / 4 / batch * batch;
    if (stretch < batch) stretch = batch;
    sortable *items = malloc((size_t)n * sizeof *items);
    if (!items) abort();
    for (int64_t i = 0; i < n; i++) items[i] = (sortable){ftc_dataset_length(dataset, order[i]), i, order[i]};
    for (int64_t at = 0; at < n; at += stretch) {
        qsort(items + at, (size_t)(n - at < stretch ? n - at : stretch), sizeof *items, by_length);
    }
    for (int64_t i = 0; i < n; i++) order[i] = items[i].example;
    free(items);
}

void ftc_order_epoch(ftc_sampling sampling, const ftc_dataset *dataset, int64_t batch, uint64_t seed,
                     int64_t epoch, int64_t *order) {
    if (sampling == FTC_SAMPLING_SEQUENTIAL) {
        for (int64_t i = 0; i < dataset->n; i++) order[i] = i;
        return;
    }
    ftc_permutation(seed, (uint32_t)epoch, (size_t)dataset->n, order);
    if (sampling == FTC_SAMPLING_GROUP_BY_LENGTH) group_by_length(dataset, batch, order);
}
