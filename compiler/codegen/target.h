// The CPU that code is compiled for: what LLVM must be told, and what the emitters choose block shapes by.
#ifndef FTC_TARGET_H
#define FTC_TARGET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *name;     // "native", "avx512", "avx2", "generic"
    const char *cpu;      // LLVM's name of the CPU
    const char *features; // LLVM's feature string, "+avx2,+fma,…"; may be empty
    int vector_bits;      // width of the widest usable vector: 512, 256 or 128
    int vector_registers;
    bool fma;
    int64_t l1d_bytes, l2_bytes; // of one core
    bool has_avx512_bf16;        // vdpbf16ps
    bool bf16_pairs_are_fast;    // vdpbf16ps takes no longer than an FMA, for two products instead of one
    const struct ftc_amx *amx;   // compiler/emit/amx.h: what stands for its instructions; NULL: they do
    bool has_amx;                // AMX tiles with bf16: CPUID and the kernel's permission both say so
} ftc_target;

// The CPU that this process runs on, caches included. The pointer stays valid; the first call asks the kernel
// for the permission to use AMX where the CPU has it.
const ftc_target *ftc_target_host(void);

// "native" (the host), "avx512" (x86-64-v4), "avx2" (x86-64-v3), "generic" (x86-64: SSE2, no FMA); NULL when
// unknown.
const ftc_target *ftc_target_named(const char *name);

// Whether code for `target`, or for a feature string that an artifact recorded, can be executed by this
// process: the host has every feature that the string adds.
bool ftc_target_supported_here(const ftc_target *target);
bool ftc_target_features_supported_here(const char *features);

#endif
