// Random numbers of the runtime (initial values, the order of the examples): SplitMix64, whose state is a
// counter. Dropout's random numbers are the compiled code's own.
#ifndef FTC_RUNTIME_RANDOM_H
#define FTC_RUNTIME_RANDOM_H

#include <stdint.h>

typedef struct {
    uint64_t state;
    double spare; // second number of a pair from ftc_random_normal
    int has_spare;
} ftc_random;

// A generator for one purpose: streams with different (seed, name) have nothing in common.
ftc_random ftc_random_named(uint64_t seed, const char *name);

uint64_t ftc_random_next(ftc_random *random);

// Uniform in [-1, 1).
double ftc_random_uniform(ftc_random *random);

// Normal with mean 0 and standard deviation 1 (Box and Muller).
double ftc_random_normal(ftc_random *random);

#endif
