// What the machine can do at most: a loop of nothing but fused multiply-adds on all threads at once.
#ifndef FTC_DRIVER_PEAK_H
#define FTC_DRIVER_PEAK_H

#include "runtime/loop/threads.h"

// fp32 GFLOP/s of all threads of the pool together, the best of several short measurements (about half a
// second in all). A multiply-add counts two.
double ftc_peak_gflops(ftc_threads *threads);

// The same with vectors of at most so many bits, by another clock of the calling thread (ir/base/clock.h).
double ftc_peak_gflops_by(ftc_threads *threads, int vector_bits, double clock(void));

// The same of multiply-adds of bf16 that are summed in fp32: by AMX's tiles, else by AVX-512's pairs; 0: the
// CPU has neither.
double ftc_peak_bf16_gflops(ftc_threads *threads);

// The bytes that all threads together read from memory in a second, in units of 10⁹: the best of a few passes
// over more than caches hold.
double ftc_peak_gigabytes(ftc_threads *threads);

// The same from caches: each thread reads half as much as the second-level cache of a core holds, again and
// again.
double ftc_peak_l2_gigabytes(ftc_threads *threads);

// The vectors of ftc_peak_gflops_by: "AVX-512", "AVX2", "baseline".
const char *ftc_peak_vectors(int vector_bits);

#endif
