// The order in which an epoch goes through the examples: a function of the options, the seed and the epoch
// alone, so that a resumed run finds its place again.
#ifndef FTC_RUNTIME_ORDER_H
#define FTC_RUNTIME_ORDER_H

#include "runtime/data/dataset.h"

#include <stdint.h>

typedef enum {
    FTC_SAMPLING_RANDOM,
    FTC_SAMPLING_SEQUENTIAL,
    FTC_SAMPLING_GROUP_BY_LENGTH, // random, but examples of about the same length share a batch
} ftc_sampling;

// Their names, in the order of ftc_sampling.
#define FTC_SAMPLING_NAMES "random|sequential|group_by_length"

// Fills order[0 … dataset->n - 1] with the examples in the order of epoch `epoch` (from 0).
void ftc_order_epoch(ftc_sampling sampling, const ftc_dataset *dataset, int64_t batch, uint64_t seed,
                     int64_t epoch, int64_t *order);

#endif
