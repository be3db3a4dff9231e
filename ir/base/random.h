// Random numbers as a function of where they are used: uniform in [0, 1), keyed by seed, optimizer step,
// micro-step, site and logical coordinates (batch slot, position in the sequence, feature), never by an
// offset in memory. So whoever computes a cell, in whatever order, draws the same number. The emitter writes
// the same arithmetic as code.
//
//   row key   h = seed; then, for each word w of step, micro_step, site, and the coordinates of all axes of
//             the random node but the last, in the node's order:  h = mix(h ^ (w + 0x9E3779B97F4A7C15))
//             (64 bits, wrapping) where mix is the finalizer of splitmix64.
//             k0 = low 32 bits of h, k1 = high 32 bits.
//   cell      from the last coordinate j (0 for a node over no axes), in 32 bits, wrapping:
//             x = j * 0x9E3779B1 + k0;  x ^= x >> 16;  x *= 0x21F0AAAD;  x ^= x >> 15;
//             x += k1;                  x *= 0x735A2D97;  x ^= x >> 15;   value = (x >> 8) * 2^-24
//
// The multipliers 0x21F0AAAD and 0x735A2D97 are those of hash-prospector's best two-round 32-bit integer
// hash.
#ifndef FTC_RANDOM_H
#define FTC_RANDOM_H

#include <stdint.h>

static inline uint64_t ftc_random_fold(uint64_t h, uint64_t word) {
    uint64_t x = h ^ (word + 0x9E3779B97F4A7C15u);
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9u;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static inline float ftc_random_cell(uint64_t row_key, uint32_t j) {
    uint32_t x = j * 0x9E3779B1u + (uint32_t)row_key;
    x ^= x >> 16;
    x *= 0x21F0AAADu;
    x ^= x >> 15;
    x += (uint32_t)(row_key >> 32);
    x *= 0x735A2D97u;
    x ^= x >> 15;
    return (float)(x >> 8) * 0x1p-24f;
}

#endif
