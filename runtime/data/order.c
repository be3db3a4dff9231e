#include "runtime/data/order.h"

#include "ir/base/alloc.h"
#include "runtime/data/torch_random.h"

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

// Sorts stretches of 50 batches by length, or four stretches where the data is small, so that a batch holds
// examples of about one length while the batches of an epoch still vary. The longest of all comes first: what
// does not fit into memory shows at once.
static void group_by_length(const ftc_dataset *dataset, int64_t batch, int64_t *examples) {
    int64_t n = dataset->n, batches = n / (batch * 4), longest = 0;
    if (batches > 50) batches = 50;
    int64_t stretch = batches ? batches * batch : batch;
    sortable *items = ftc_alloc((size_t)(n ? n : 1), sizeof *items);
    for (int64_t i = 0; i < n; i++)
        items[i] = (sortable){ftc_dataset_length(dataset, examples[i]), i, examples[i]};
    for (int64_t at = 0; at < n; at += stretch) {
        qsort(items + at, (size_t)(n - at < stretch ? n - at : stretch), sizeof *items, by_length);
        if (items[at].length > items[longest].length) longest = at;
    }
    for (int64_t i = 0; i < n; i++) examples[i] = items[i].example;
    if (n) {
        examples[0] = items[longest].example;
        examples[longest] = items[0].example;
    }
    free(items);
}

void ftc_order_epoch(const ftc_order *order, const ftc_dataset *dataset, int64_t epoch, int64_t drawn,
                     int64_t *examples) {
    bool is_grouped = order->sampling == FTC_SAMPLING_GROUP_BY_LENGTH;
    if (order->sampling == FTC_SAMPLING_SEQUENTIAL) {
        for (int64_t i = 0; i < dataset->n; i++) examples[i] = i;
        return;
    }
    ftc_torch_random random;
    ftc_torch_random_seed(is_grouped ? order->seed : order->data_seed + (uint64_t)epoch, &random);
    int64_t skipped = is_grouped ? drawn + FTC_TORCH_DRAWS_OF_PASS : 0;
    for (int64_t i = 0; i < skipped; i++) ftc_torch_random_next(&random);
    ftc_torch_permutation(&random, dataset->n, examples);
    if (is_grouped) group_by_length(dataset, order->batch, examples);
}

int64_t ftc_order_draws(const ftc_order *order, int64_t n) {
    bool is_grouped = order->sampling == FTC_SAMPLING_GROUP_BY_LENGTH;
    return is_grouped ? FTC_TORCH_DRAWS_OF_PASS + ftc_torch_permutation_draws(n) : 0;
}
