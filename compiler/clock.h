// Time since some fixed moment, for what the compiler says of itself.
#ifndef FTC_CLOCK_H
#define FTC_CLOCK_H

#include <time.h>

static inline double ftc_now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
