// How far a run is, as one line of text.
#ifndef FTC_RUNTIME_PROGRESS_H
#define FTC_RUNTIME_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *what;    // "train", "eval"
    int64_t done, total; // steps, or examples of an evaluation
    double epoch;        // negative: not shown
    double loss;         // nan: not shown
    double accuracy;     // of the epoch so far; nan: not shown
    double examples_per_second, tokens_per_second;
    double seconds_left;
} ftc_progress;

// "train  [#####.....] 150/375  epoch 1.20  loss 1.2340  accuracy 0.512  83.1 examples/s  10250 tokens/s 0:21
// left", with a bar of `bar_width` characters (0: none).
void ftc_progress_format(const ftc_progress *progress, int bar_width, char *text, size_t bytes);

#endif
