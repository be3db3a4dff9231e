#include "compiler/driver/peak.h"

#include "ir/base/alloc.h"
#include "ir/base/clock.h"

#include <stdint.h>

// Independent accumulators: two units times a latency of up to six cycles.
enum { ACCUMULATORS = 12, ROUNDS = 1 << 21, MEASUREMENTS = 12 };

#if defined(__clang__)
#define OPTIMIZED noinline
#define AVX512    "avx512f"
#else
#define OPTIMIZED noinline, optimize("O3")
#define AVX512    "avx512f,prefer-vector-width=512"
#endif

// A loop of ACCUMULATORS multiply-adds on vectors of `bytes` bytes; returns what keeps the compiler from
// removing it. `x * factor + addend` converges, so that no operand ever becomes subnormal.
#define FMA_LOOP(name, attributes, bytes)                                                                    \
    __attribute__((OPTIMIZED attributes)) static float name(int64_t rounds) {                                \
        typedef float vector __attribute__((vector_size(bytes)));                                            \
        vector sums[ACCUMULATORS], factor = (vector){0} + 0.999f, addend = (vector){0} + 0.001f;             \
        for (int i = 0; i < ACCUMULATORS; i++) sums[i] = addend * (float)i;                                  \
        for (int64_t r = 0; r < rounds; r++) {                                                               \
            _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++) sums[i] =                        \
                sums[i] * factor + addend;                                                                   \
        }                                                                                                    \
        float total = 0;                                                                                     \
        for (int i = 0; i < ACCUMULATORS; i++) total += sums[i][0];                                          \
        return total;                                                                                        \
    }

FMA_LOOP(loop_baseline, , 16)
#if defined(__x86_64__)
#define TARGET(features) , target(features)
FMA_LOOP(loop_avx2, TARGET("avx2,fma"), 32)
FMA_LOOP(loop_avx512, TARGET(AVX512), 64)
#endif

typedef struct {
    const char *name;
    float (*loop)(int64_t rounds);
    int lanes;
} choice;

static choice choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return (choice){"AVX-512", loop_avx512, 16};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (choice){"AVX2", loop_avx2, 8};
#endif
    return (choice){"baseline", loop_baseline, 4};
}

const char *ftc_peak_vectors(void) {
    return choose().name;
}

typedef struct {
    choice what;
    volatile float sink;
} measurement;

static void measure(void *context, int32_t thread, int32_t threads) {
    (void)threads;
    measurement *m = context;
    float total = m->what.loop(ROUNDS);
    if (thread == 0) m->sink = total;
}

double ftc_peak_gflops(ftc_threads *threads) {
    measurement m = {.what = choose()};
    double flops = 2.0 * ACCUMULATORS * ROUNDS * m.what.lanes * ftc_threads_count(threads), best = 0;
    for (int i = 0; i < MEASUREMENTS; i++) {
        double start = ftc_clock_seconds();
        ftc_threads_run(threads, measure, &m);
        double gflops = flops / (ftc_clock_seconds() - start) / 1e9;
        if (gflops > best) best = gflops;
    }
    return best;
}

// --- memory -------------------------------------------------------------------------------------------

enum { MEMORY_BYTES = 256 << 20, MEMORY_PASSES = 3 };

typedef struct {
    const uint64_t *words;
    size_t n;
    uint64_t sum; // keeps the compiler from reading nothing
} memory_read;

// Each thread its share, four sums at once.
static void read_share(void *context, int32_t thread, int32_t threads) {
    memory_read *r = context;
    size_t begin = r->n / 4 * (size_t)thread / (size_t)threads * 4;
    size_t end = r->n / 4 * (size_t)(thread + 1) / (size_t)threads * 4;
    uint64_t sums[4] = {0};
    for (size_t i = begin; i < end; i += 4)
        for (int k = 0; k < 4; k++) sums[k] += r->words[i + (size_t)k];
    __atomic_fetch_add(&r->sum, sums[0] + sums[1] + sums[2] + sums[3], __ATOMIC_RELAXED);
}

double ftc_peak_gigabytes(ftc_threads *threads) {
    uint64_t *words = ftc_alloc_aligned(64, MEMORY_BYTES);
    memory_read r = {.words = words, .n = MEMORY_BYTES / sizeof *words};
    for (size_t i = 0; i < r.n; i++) words[i] = i; // in pages of its own, not in the one of zeros
    double best = 0;
    for (int i = 0; i < MEMORY_PASSES; i++) {
        double start = ftc_clock_seconds();
        ftc_threads_run(threads, read_share, &r);
        double gigabytes = MEMORY_BYTES / (ftc_clock_seconds() - start) / 1e9;
        if (gigabytes > best) best = gigabytes;
    }
    free(words);
    return best;
}
