#include "compiler/driver/peak.h"

#include "compiler/codegen/target.h"
#include "ir/base/alloc.h"
#include "ir/base/clock.h"

#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Independent accumulators: two units times a latency of up to six cycles.
enum { ACCUMULATORS = 12, ROUNDS = 1 << 21, MEASUREMENTS = 12, WIDEST_BITS = 512 };

// What is measured is the loop, not a sanitizer's checks in it.
#define BARE no_sanitize("address", "undefined", "thread")
#if defined(__clang__)
#define OPTIMIZED noinline, BARE
#define AVX512    "avx512f"
#else
#define OPTIMIZED noinline, optimize("O3"), BARE
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

// A loop that reads `n` words, whole multiples of READ_WORDS, in vectors of `bytes` bytes; returns what keeps
// the compiler from removing it.
#define READ_LOOP(name, attributes, bytes)                                                                   \
    __attribute__((OPTIMIZED attributes)) static uint64_t name(const uint64_t *words, size_t n) {            \
        typedef uint64_t vector __attribute__((vector_size(bytes)));                                         \
        vector sums[READ_SUMS] = {{0}};                                                                      \
        const vector *end = (const vector *)(words + n);                                                     \
        for (const vector *at = (const vector *)words; at < end; at += READ_SUMS) {                          \
            _Pragma("GCC unroll 4") for (int k = 0; k < READ_SUMS; k++) sums[k] += at[k];                    \
        }                                                                                                    \
        uint64_t total = 0;                                                                                  \
        for (int k = 0; k < READ_SUMS; k++) total += sums[k][0];                                             \
        return total;                                                                                        \
    }

enum { READ_SUMS = 4, READ_WORDS = READ_SUMS * WIDEST_BITS / 64 };

FMA_LOOP(loop_baseline, , 16)
READ_LOOP(read_baseline, , 16)
#if defined(__x86_64__)
#define TARGET(features) , target(features)
FMA_LOOP(loop_avx2, TARGET("avx2,fma"), 32)
READ_LOOP(read_avx2, TARGET("avx2"), 32)
FMA_LOOP(loop_avx512, TARGET(AVX512), 64)
READ_LOOP(read_avx512, TARGET(AVX512), 64)

// The same of pairs of bf16, each of whose sums is two multiply-adds.
__attribute__((OPTIMIZED, target("avx512f,avx512bf16"))) static float loop_bf16(int64_t rounds) {
    __m512 sums[ACCUMULATORS];
    const __m512bh one = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.001f), _mm512_set1_ps(0.001f));
    for (int i = 0; i < ACCUMULATORS; i++) sums[i] = _mm512_set1_ps((float)i);
    for (int64_t r = 0; r < rounds; r++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++) sums[i] =
            _mm512_dpbf16_ps(sums[i], one, one);
    }
    float total = 0;
    for (int i = 0; i < ACCUMULATORS; i++) total += _mm512_cvtss_f32(sums[i]);
    return total;
}

enum { AMX_TILES = 4, AMX_ROWS = 16, AMX_ROW_BYTES = 64 };

// Tiles of zeros: four of sums, two by two operands.
__attribute__((OPTIMIZED, target("amx-tile,amx-bf16"))) static float loop_amx(int64_t rounds) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config __attribute__((aligned(64))) = {.palette = 1};
    for (int i = 0; i < 8; i++) config.row_bytes[i] = AMX_ROW_BYTES, config.rows[i] = AMX_ROWS;
    float sums[AMX_ROWS * AMX_ROW_BYTES / sizeof(float)];
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, AMX_ROW_BYTES);
    _tile_release();
    return sums[0];
}
#endif

typedef struct {
    const char *name;
    float (*loop)(int64_t rounds); // NULL: the CPU has nothing of the kind
    double flops;                  // a round
    uint64_t (*read)(const uint64_t *words, size_t n);
} choice;

static choice choose(int vector_bits) {
    const double flops = 2.0 * ACCUMULATORS; // of a lane
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (vector_bits >= 512 && __builtin_cpu_supports("avx512f"))
        return (choice){"AVX-512", loop_avx512, 16 * flops, read_avx512};
    if (vector_bits >= 256 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (choice){"AVX2", loop_avx2, 8 * flops, read_avx2};
#else
    (void)vector_bits;
#endif
    return (choice){"baseline", loop_baseline, 4 * flops, read_baseline};
}

static choice choose_bf16(void) {
#if defined(__x86_64__)
    const ftc_target *host = ftc_target_host();
    if (host->has_amx)
        return (choice){"AMX", loop_amx, AMX_TILES * 2.0 * AMX_ROWS * AMX_ROWS * (AMX_ROW_BYTES / 2), NULL};
    if (host->has_avx512_bf16) return (choice){"AVX-512", loop_bf16, 16 * 2 * 2.0 * ACCUMULATORS, NULL};
#endif
    return (choice){0};
}

const char *ftc_peak_vectors(int vector_bits) {
    return choose(vector_bits).name;
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

static double gflops_of(choice what, ftc_threads *threads, double clock(void)) {
    measurement m = {.what = what};
    double flops = what.flops * ROUNDS * ftc_threads_count(threads), best = 0;
    for (int i = 0; i < MEASUREMENTS; i++) {
        double start = clock();
        ftc_threads_run(threads, measure, &m);
        double gflops = flops / (clock() - start) / 1e9;
        if (gflops > best) best = gflops;
    }
    return best;
}

double ftc_peak_gflops(ftc_threads *threads) {
    return gflops_of(choose(WIDEST_BITS), threads, ftc_clock_seconds);
}

double ftc_peak_gflops_by(ftc_threads *threads, int vector_bits, double clock(void)) {
    return gflops_of(choose(vector_bits), threads, clock);
}

double ftc_peak_bf16_gflops(ftc_threads *threads) {
    choice what = choose_bf16();
    return what.loop ? gflops_of(what, threads, ftc_clock_seconds) : 0;
}

// --- memory -------------------------------------------------------------------------------------------

enum { MEMORY_BYTES = 256 << 20, L2_PASSES = 200 };

typedef struct {
    uint64_t (*read)(const uint64_t *words, size_t n);
    const uint64_t *words;
    size_t n;     // of all threads
    int passes;   // over each thread's share
    uint64_t sum; // keeps the compiler from reading nothing
} memory_read;

static void read_share(void *context, int32_t thread, int32_t threads) {
    memory_read *r = context;
    size_t units = r->n / READ_WORDS, begin = units * (size_t)thread / (size_t)threads;
    size_t end = units * (size_t)(thread + 1) / (size_t)threads;
    uint64_t sum = 0;
    for (int pass = 0; pass < r->passes; pass++) {
        sum += r->read(r->words + begin * READ_WORDS, (end - begin) * READ_WORDS);
        __asm__ volatile("" ::: "memory"); // each pass reads
    }
    __atomic_fetch_add(&r->sum, sum, __ATOMIC_RELAXED);
}

static double gigabytes_of(size_t bytes, int passes, int measurements, ftc_threads *threads) {
    uint64_t *words = ftc_alloc_aligned(64, bytes);
    memory_read r = {
        .read = choose(WIDEST_BITS).read, .words = words, .n = bytes / sizeof *words, .passes = passes};
    for (size_t i = 0; i < r.n; i++) words[i] = i; // in pages of its own, not in the one of zeros
    double best = 0;
    for (int i = 0; i < measurements; i++) {
        double start = ftc_clock_seconds();
        ftc_threads_run(threads, read_share, &r);
        double gigabytes = (double)bytes * passes / (ftc_clock_seconds() - start) / 1e9;
        if (gigabytes > best) best = gigabytes;
    }
    free(words);
    return best;
}

double ftc_peak_gigabytes(ftc_threads *threads) {
    return gigabytes_of(MEMORY_BYTES, 1, MEASUREMENTS / 4, threads);
}

double ftc_peak_l2_gigabytes(ftc_threads *threads) {
    size_t share = (size_t)ftc_target_host()->l2_bytes / 2 / 512 * 512;
    return gigabytes_of(share * (size_t)ftc_threads_count(threads), L2_PASSES, MEASUREMENTS, threads);
}
