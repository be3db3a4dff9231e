// The order in which an epoch goes through the examples: that of transformers' Trainer (5.x) with the same
// seed. It is a function of the options, the seeds, the epoch and a count of numbers alone, so that a resumed
// run finds its place again.
#ifndef FTC_RUNTIME_ORDER_H
#define FTC_RUNTIME_ORDER_H

#include "runtime/data/dataset.h"

#include <stdint.h>

typedef enum {
    FTC_SAMPLING_RANDOM, // accelerate's SeedableRandomSampler: PyTorch's permutation by data_seed + epoch
    FTC_SAMPLING_SEQUENTIAL,
    // transformers' LengthGroupedSampler: random, but examples of about the same length share a batch.
    FTC_SAMPLING_GROUP_BY_LENGTH,
} ftc_sampling;

// Their names, in the order of ftc_sampling.
#define FTC_SAMPLING_NAMES "random|sequential|group_by_length"

typedef struct {
    ftc_sampling sampling;
    int64_t batch;            // examples of an optimizer step, of which groups of one length are made
    uint64_t seed, data_seed; // group_by_length draws by the first, random by the second
} ftc_order;

// Fills examples[0 … dataset->n - 1] with the examples in the order of epoch `epoch` (from 0). `drawn` is how
// many numbers have been drawn before this epoch: group_by_length takes its own from PyTorch's global
// generator, which has served all epochs and evaluations before.
void ftc_order_epoch(const ftc_order *order, const ftc_dataset *dataset, int64_t epoch, int64_t drawn,
                     int64_t *examples);

// How many numbers an epoch of n examples draws; of an evaluation, which goes through its examples in an
// order that draws none, n is 0.
int64_t ftc_order_draws(const ftc_order *order, int64_t n);

#endif
