// Which rows are trained and tested on, and in which order.
#ifndef FTC_RUNTIME_SELECT_H
#define FTC_RUNTIME_SELECT_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The permutation of 0 … n-1 that NumPy's np.random.default_rng(seed).permutation(n) gives, which is also the
// order of datasets.Dataset.shuffle(seed): PCG64 seeded by SeedSequence, Fisher-Yates from the end, Lemire's
// bounded integers. Writes n indices to `out`.
void ftc_numpy_permutation(uint64_t seed, size_t n, int64_t *out);

// Indices of rows of a table; owned by whoever asked for them.
typedef struct {
    int64_t *rows;
    size_t count;
} ftc_selection;

#define FTC_SELECT_ALL ((size_t)-1)

// The rows for training: the first `train` rows, or all (FTC_SELECT_ALL) that the test rows leave; and as
// test rows the `test` rows behind them (0: none). With `shuffle`, of the rows in the order of
// ftc_numpy_permutation(seed). Fails if there are not so many rows.
ftc_status ftc_select_split(size_t rows, bool shuffle, uint64_t seed, size_t train, size_t test,
                            ftc_selection *train_out, ftc_selection *test_out);

void ftc_selection_free(ftc_selection *selection);

#endif
