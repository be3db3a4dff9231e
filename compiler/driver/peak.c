#include "compiler/driver/peak.h"

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
