#include "runtime/data/random.h"

#include "ir/base/name.h"

#include <math.h>

// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t ftc_random_next(ftc_random *random) {
    return mix(random->state += 0x9e3779b97f4a7c15u);
}

ftc_random ftc_random_named(uint64_t seed, const char *name) {
    return (ftc_random){.state = mix(mix(seed + 1) ^ ftc_name_hash(name))};
}

double ftc_random_uniform(ftc_random *random) {
    return (double)(ftc_random_next(random) >> 11) * 0x1p-52 - 1;
}

double ftc_random_normal(ftc_random *random) {
    if (random->has_spare) {
        random->has_spare = 0;
        return random->spare;
    }
    double u = (double)((ftc_random_next(random) >> 11) + 1) * 0x1p-53; // in (0, 1]
    double angle = 6.283185307179586 * ((double)(ftc_random_next(random) >> 11) * 0x1p-53);
    double radius = sqrt(-2 * log(u)), sine, cosine;
    sincos(angle, &sine, &cosine);
    random->spare = radius * sine;
    random->has_spare = 1;
    return radius * cosine;
}
