#include "compiler/driver/ratio.h"

#include "ir/base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const double *sorted, int64_t n) {
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double ftc_median(const double *x, int64_t n) {
    double *sorted = ftc_alloc((size_t)n, sizeof *sorted);
    memcpy(sorted, x, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    double median = middle(sorted, n);
    free(sorted);
    return median;
}

// How many of n sorted values lie below the interval, and above it: the most k with 2 P(X <= k) <= 0.05,
// where X is the number of heads of n throws.
static int64_t outside(int64_t n) {
    double tail = 0;
    for (int64_t k = 0;; k++) {
        tail += exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) -
                    (double)n * M_LN2);
        if (2 * tail > 0.05) return k - 1;
    }
}

ftc_ratio ftc_ratio_of_pairs(const double *a, const double *b, int64_t n) {
    double *ratios = ftc_alloc((size_t)n, sizeof *ratios);
    for (int64_t i = 0; i < n; i++) ratios[i] = b[i] / a[i];
    qsort(ratios, (size_t)n, sizeof *ratios, by_value);
    int64_t k = outside(n);
    ftc_ratio ratio = {middle(ratios, n), ratios[k], ratios[n - 1 - k]};
    free(ratios);
    return ratio;
}

bool ftc_ratio_differs(const ftc_ratio *ratio) {
    return ratio->low > 1 || ratio->high < 1;
}
