// The ratio of two times that were measured in turns, and how well it is known.
#ifndef FTC_DRIVER_RATIO_H
#define FTC_DRIVER_RATIO_H

#include <stdbool.h>
#include <stdint.h>

// The fewest pairs that an interval of 95 % can be told from.
enum { FTC_FEWEST_PAIRS = 6 };

typedef struct {
    double median;    // of b / a over the pairs
    double low, high; // the interval that holds the true median with a confidence of at least 95 %
} ftc_ratio;

// Of the pairs (a[i], b[i]), n >= FTC_FEWEST_PAIRS. The interval is that of the sign test: two of the sorted
// ratios, as far from the ends as the binomial distribution allows. It asks nothing of how times are
// distributed but that pairs are independent (Conover, Practical Nonparametric Statistics, third edition,
// 3.2; David and Nagaraja, Order Statistics, third edition, 7.1).
ftc_ratio ftc_ratio_of_pairs(const double *a, const double *b, int64_t n);

// Whether the interval says that they differ.
bool ftc_ratio_differs(const ftc_ratio *ratio);

// The median of n >= 1 numbers, which stay as they are.
double ftc_median(const double *x, int64_t n);

#endif
