#include "runtime/data/select.h"

#include "ir/base/alloc.h"

#include <stdlib.h>
#include <string.h>

// --- SeedSequence -------------------------------------------------------------------------------------

// Mixes `count` 32-bit words of entropy into a pool and draws PCG64's 256 bits of state from it
// (numpy/random/bit_generator.pyx; after Melissa O'Neill's seed_seq).
enum { POOL = 4 };

static uint32_t mix(uint32_t x, uint32_t y) {
    uint32_t r = x * 0xCA01F9DDu - y * 0x4973F715u;
    return r ^ r >> 16;
}

static uint32_t hash(uint32_t value, uint32_t *constant) {
    value ^= *constant;
    *constant *= 0x931E8875u;
    value *= *constant;
    return value ^ value >> 16;
}

static void seed_sequence(const uint32_t *entropy, size_t count, uint64_t state[4]) {
    uint32_t pool[POOL], constant = 0x43B0D7E5u;
    for (size_t i = 0; i < POOL; i++) pool[i] = hash(i < count ? entropy[i] : 0, &constant);
    for (size_t from = 0; from < POOL; from++)
        for (size_t to = 0; to < POOL; to++)
            if (from != to) pool[to] = mix(pool[to], hash(pool[from], &constant));
    for (size_t from = POOL; from < count; from++)
        for (size_t to = 0; to < POOL; to++) pool[to] = mix(pool[to], hash(entropy[from], &constant));
    uint32_t words[8];
    constant = 0x8B51F9DDu;
    for (size_t i = 0; i < 8; i++) {
        uint32_t value = pool[i % POOL] ^ constant;
        constant *= 0x58F38DEDu;
        value *= constant;
        words[i] = value ^ value >> 16;
    }
    for (size_t i = 0; i < 4; i++) state[i] = words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
}

// --- PCG64 --------------------------------------------------------------------------------------------

__extension__ typedef unsigned __int128 uint128;

typedef struct {
    uint128 state, increment;
    uint32_t spare; // the upper half of the last 64 bits
    bool has_spare;
} pcg64;

static void pcg64_step(pcg64 *g) {
    const uint128 multiplier = (uint128)2549297995355413924ull << 64 | 4865540595714422341ull;
    g->state = g->state * multiplier + g->increment;
}

static pcg64 pcg64_new(const uint32_t *entropy, size_t count) {
    uint64_t s[4];
    seed_sequence(entropy, count, s);
    pcg64 g = {.increment = ((uint128)s[2] << 64 | s[3]) << 1 | 1};
    pcg64_step(&g);
    g.state += (uint128)s[0] << 64 | s[1];
    pcg64_step(&g);
    return g;
}

static uint64_t pcg64_next(pcg64 *g) { // XSL-RR
    pcg64_step(g);
    uint64_t x = (uint64_t)(g->state >> 64) ^ (uint64_t)g->state;
    unsigned rotation = (unsigned)(g->state >> 122);
    return x >> rotation | x << (-rotation & 63);
}

static uint32_t pcg64_next32(pcg64 *g) {
    if (g->has_spare) {
        g->has_spare = false;
        return g->spare;
    }
    uint64_t x = pcg64_next(g);
    g->spare = (uint32_t)(x >> 32);
    g->has_spare = true;
    return (uint32_t)x;
}

// A uniform integer 0 … max: the lowest bits that can hold it, drawn until they do not exceed it
// (random_interval of numpy/random/src/distributions).
static uint64_t pcg64_interval(pcg64 *g, uint64_t max) {
    uint64_t mask = UINT64_MAX >> __builtin_clzll(max | 1), value;
    do value = (max <= UINT32_MAX ? pcg64_next32(g) : pcg64_next(g)) & mask;
    while (value > max);
    return value;
}

static void permute(pcg64 g, size_t n, int64_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = (int64_t)i;
    for (size_t i = n; i-- > 1;) {
        size_t j = pcg64_interval(&g, i);
        int64_t kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}

// The 32-bit words of an integer as NumPy sees it: the lowest first, at least one.
static size_t push_words(uint64_t value, uint32_t *words) {
    words[0] = (uint32_t)value;
    words[1] = (uint32_t)(value >> 32);
    return words[1] ? 2 : 1;
}

void ftc_numpy_permutation(uint64_t seed, size_t n, int64_t *out) {
    uint32_t entropy[2];
    size_t count = push_words(seed, entropy);
    permute(pcg64_new(entropy, count), n, out);
}

// --- rows ---------------------------------------------------------------------------------------------

static ftc_selection slice(const int64_t *order, size_t begin, size_t count) {
    ftc_selection s = {ftc_alloc(count, sizeof *order), count};
    memcpy(s.rows, order + begin, count * sizeof *order);
    return s;
}

ftc_status ftc_select_split(size_t rows, bool shuffle, uint64_t seed, size_t train, size_t test,
                            ftc_selection *train_out, ftc_selection *test_out) {
    if (test > rows || (train == FTC_SELECT_ALL && test == rows) ||
        (train != FTC_SELECT_ALL && train > rows - test))
        return train == FTC_SELECT_ALL || !test
                   ? ftc_status_make(FTC_BAD_INPUT, "%zu row%s asked for, but there %s %zu%s",
                                     test ? test : train, (test ? test : train) == 1 ? " was" : "s were",
                                     rows == 1 ? "is" : "are", rows,
                                     test ? ", and some must be left for training" : "")
                   : ftc_status_make(FTC_BAD_INPUT,
                                     "%zu rows for training and %zu for testing were asked for, but there "
                                     "are %zu",
                                     train, test, rows);
    if (train == 0) return ftc_status_make(FTC_BAD_INPUT, "no row was asked for; choose at least 1");
    if (train == FTC_SELECT_ALL) train = rows - test;
    int64_t *order = ftc_alloc(rows, sizeof *order);
    if (shuffle)
        ftc_numpy_permutation(seed, rows, order);
    else
        for (size_t i = 0; i < rows; i++) order[i] = (int64_t)i;
    *train_out = slice(order, 0, train);
    if (test_out) *test_out = slice(order, train, test);
    free(order);
    return FTC_STATUS_OK;
}

void ftc_selection_free(ftc_selection *selection) {
    free(selection->rows);
    *selection = (ftc_selection){0};
}
