// Made-up batches for any program: what `ftc verify` and `ftc bench` run on where no file is given.
#ifndef FTC_DRIVER_SYNTHETIC_H
#define FTC_DRIVER_SYNTHETIC_H

#include "runtime/data/batch.h"

typedef struct {
    int64_t sequences; // of the rows' axis; other batch-like axes have as many, up to their bounds
    int64_t length;    // the longest, along every ragged axis, up to its bound
    bool varied;       // lengths differ: all, half, one; else all are the longest
    uint64_t seed;
} ftc_synthetic;

// Binds a batch of such sizes. Integers are drawn from the range that their input declares, or from 0 to 9;
// of the label, classes take turns; token types rise along a text; other numbers are uniform in [-1, 1).
ftc_status ftc_synthetic_fill(ftc_batch *batch, const ftc_synthetic *sizes);

// How large a batch is, "512 tokens"; of a model without tokens the elements of its extents, "B 8, N 96". To
// be freed.
char *ftc_synthetic_sizes(const ftc_batch *batch);

#endif
