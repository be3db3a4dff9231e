#include "runtime/data/torch_random.h"

enum { WORDS = FTC_TORCH_RANDOM_WORDS, AHEAD = 397 };

void ftc_torch_random_seed(uint64_t seed, ftc_torch_random *out) {
    out->words[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < WORDS; i++) {
        uint32_t before = out->words[i - 1];
        out->words[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    out->next = WORDS;
}

// The recurrence over all words: each from itself, the next one and the one AHEAD, of which those before it
// are new already.
static void renew(uint32_t *words) {
    for (int i = 0; i < WORDS; i++) {
        uint32_t joined = (words[i] & 0x80000000u) | (words[(i + 1) % WORDS] & 0x7fffffffu);
        words[i] = words[(i + AHEAD) % WORDS] ^ joined >> 1 ^ (joined & 1 ? 0x9908b0dfu : 0);
    }
}

uint32_t ftc_torch_random_next(ftc_torch_random *random) {
    if (random->next == WORDS) {
        renew(random->words);
        random->next = 0;
    }
    uint32_t y = random->words[random->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

// From so many on, 32 bits would make some orders visibly more frequent: randperm then draws 64, and fills
// from the inside out.
static const int64_t MANY = UINT32_MAX / 20;

static void permute_many(ftc_torch_random *random, int64_t n, int64_t *out) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t upper = ftc_torch_random_next(random), lower = ftc_torch_random_next(random);
        int64_t j = (int64_t)((upper << 32 | lower) % (uint64_t)(i + 1));
        out[i] = i;
        out[i] = out[j];
        out[j] = i;
    }
}

void ftc_torch_permutation(ftc_torch_random *random, int64_t n, int64_t *out) {
    if (n >= MANY) {
        permute_many(random, n, out);
        return;
    }
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = 0; i < n - 1; i++) {
        int64_t j = i + ftc_torch_random_next(random) % (n - i), kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}

int64_t ftc_torch_permutation_draws(int64_t n) {
    if (n >= MANY) return 2 * n;
    return n > 0 ? n - 1 : 0;
}
