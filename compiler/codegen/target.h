// The CPU that code is compiled for: what LLVM must be told, and what the emitters choose block shapes by.
// The emitters are the same for all: what differs from one kind of machine to another stands here.
#ifndef FTC_TARGET_H
#define FTC_TARGET_H

#include <stdbool.h>
#include <stdint.h>

// A kind of machine: whose instructions the code has.
typedef struct {
    const char *name;     // for people: "x86-64", "AArch64"
    const char *triple;   // LLVM's
    uint16_t elf_machine; // in an object's header
} ftc_arch;

// The kind with this number in an object's header; NULL: none that ftc compiles for.
const ftc_arch *ftc_arch_of_elf(uint16_t machine);

// Lets LLVM know the kind of machine, for code and for its disassembler.
void ftc_arch_initialize(const ftc_arch *arch);

typedef struct {
    const char *name; // "native", "avx512", "avx2", "generic", "aarch64", "sve256"
    const ftc_arch *arch;
    const char *cpu;      // LLVM's name of the CPU
    const char *march;    // the C compiler's, as in -march=armv8-a
    const char *features; // LLVM's feature string, "+avx2,+fma,…"; may be empty
    int vector_bits;      // width of the widest usable vector: 512, 256 or 128
    int vector_registers;
    bool sve; // vectors are SVE's, whose registers have `vector_bits`
    bool fma;
    bool rounds;                 // has an instruction that rounds to an integer
    int64_t l1d_bytes, l2_bytes; // of one core
    bool has_avx512_bf16;        // vdpbf16ps
    bool bf16_pairs_are_fast;    // vdpbf16ps takes no longer than an FMA, for two products instead of one
    const struct ftc_amx *amx;   // compiler/emit/amx.h: what stands for its instructions; NULL: they do
    bool has_amx;                // AMX tiles with bf16: CPUID and the kernel's permission both say so
} ftc_target;

// The CPU that this process runs on, caches included. The pointer stays valid; the first call asks the kernel
// for the permission to use AMX where the CPU has it.
const ftc_target *ftc_target_host(void);

// "native" (the host), "avx512" (x86-64-v4), "avx2" (x86-64-v3), "generic" (x86-64: SSE2, no FMA), "aarch64"
// (Armv8-A: NEON), "sve256" (SVE with vectors of 256 bits, no more and no less); NULL when unknown.
const ftc_target *ftc_target_named(const char *name);

// These names, for people.
#define FTC_TARGET_NAMES "native, avx512, avx2, generic, aarch64 and sve256"

// Width of the widest vectors that code of x86-64 with these features may have; 128 of other kinds.
int ftc_target_vector_bits(const char *features);

// Whether code for `target`, or for a kind of machine and a feature string that an artifact recorded, can be
// executed by this process: the host is of the kind and has every feature that the string adds.
bool ftc_target_supported_here(const ftc_target *target);
bool ftc_target_features_supported_here(const ftc_arch *arch, const char *features);

#endif
