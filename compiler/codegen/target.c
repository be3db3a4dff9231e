#include "compiler/codegen/target.h"

#include <elf.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include "compiler/codegen/llvm.h"
#include "ir/base/alloc.h"

static const ftc_arch x86_64 = {.name = "x86-64", .triple = "x86_64-pc-linux-gnu", .elf_machine = EM_X86_64};

static const ftc_arch aarch64 = {
    .name = "AArch64", .triple = "aarch64-unknown-linux-gnu", .elf_machine = EM_AARCH64};

const ftc_arch *ftc_arch_of_elf(uint16_t machine) {
    return machine == x86_64.elf_machine ? &x86_64 : machine == aarch64.elf_machine ? &aarch64 : NULL;
}

void ftc_arch_initialize(const ftc_arch *arch) {
#define INITIALIZE(kind)                                                                                     \
    do {                                                                                                     \
        LLVMInitialize##kind##TargetInfo();                                                                  \
        LLVMInitialize##kind##Target();                                                                      \
        LLVMInitialize##kind##TargetMC();                                                                    \
        LLVMInitialize##kind##AsmPrinter();                                                                  \
        LLVMInitialize##kind##Disassembler();                                                                \
    } while (0)
    if (arch == &x86_64)
        INITIALIZE(X86);
    else
        INITIALIZE(AArch64);
#undef INITIALIZE
}

// The x86-64 micro-architecture levels, spelt out so that they can be compared with the host's features.
#define V2_FEATURES "+cx16,+sse3,+sse4.1,+sse4.2,+ssse3,+popcnt"
#define V3_FEATURES V2_FEATURES ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe"
#define V4_FEATURES V3_FEATURES ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

// What every AArch64 machine has under Linux.
#define AARCH64_FEATURES "+fp-armv8,+neon"

static const ftc_target named_targets[] = {
    {.name = "avx512",
     .arch = &x86_64,
     .cpu = "x86-64-v4",
     .march = "x86-64-v4",
     .features = V4_FEATURES,
     .vector_bits = 512,
     .vector_registers = 32,
     .fma = true,
     .rounds = true,
     .l1d_bytes = 32 << 10,
     .l2_bytes = 1 << 20},
    {.name = "avx2",
     .arch = &x86_64,
     .cpu = "x86-64-v3",
     .march = "x86-64-v3",
     .features = V3_FEATURES,
     .vector_bits = 256,
     .vector_registers = 16,
     .fma = true,
     .rounds = true,
     .l1d_bytes = 32 << 10,
     .l2_bytes = 256 << 10},
    {.name = "generic",
     .arch = &x86_64,
     .cpu = "x86-64",
     .march = "x86-64",
     .features = "",
     .vector_bits = 128,
     .vector_registers = 16,
     .fma = false,
     .l1d_bytes = 32 << 10,
     .l2_bytes = 256 << 10},
    {.name = "aarch64",
     .arch = &aarch64,
     .cpu = "generic",
     .march = "armv8-a",
     .features = AARCH64_FEATURES,
     .vector_bits = 128,
     .vector_registers = 32,
     .fma = true,
     .rounds = true,
     .l1d_bytes = 32 << 10,
     .l2_bytes = 256 << 10},
    {.name = "sve256",
     .arch = &aarch64,
     .cpu = "generic",
     .march = "armv8.2-a+sve",
     .features = AARCH64_FEATURES ",+sve",
     .vector_bits = 256,
     .sve = true,
     .vector_registers = 32,
     .fma = true,
     .rounds = true,
     .l1d_bytes = 64 << 10,
     .l2_bytes = 1 << 20},
};

static ftc_target host;

// Whether the comma-separated list has the entry "+name" (given with its sign and length).
static bool has_feature(const char *list, const char *entry, size_t length) {
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, entry, length) == 0 && (at[length] == ',' || at[length] == '\0')) return true;
    }
    return false;
}

int ftc_target_vector_bits(const char *features) {
#define HAS(feature) has_feature(features, "+" feature, strlen("+" feature))
    bool avx512 = HAS("avx512f") && HAS("avx512bw") && HAS("avx512dq") && HAS("avx512vl");
    return avx512 ? 512 : HAS("avx2") ? 256 : 128;
#undef HAS
}

static int64_t cache_bytes(int name, int64_t otherwise) {
    long bytes = sysconf(name);
    return bytes > 0 ? bytes : otherwise;
}

#if defined(__x86_64__)

#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA  18

// CPUID says that the CPU has the tiles, arch_prctl whether this process may use them.
static bool amx_is_permitted(void) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    bool has_bf16_tiles = (edx >> 22 & 1) && (edx >> 24 & 1);
    return has_bf16_tiles && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static void find_features(char *features) {
    host.arch = &x86_64;
    host.features = features;
#define HAS(feature) has_feature(host.features, "+" feature, strlen("+" feature))
    host.vector_bits = ftc_target_vector_bits(host.features);
    bool avx512 = host.vector_bits == 512;
    host.vector_registers = avx512 ? 32 : 16;
    host.fma = HAS("fma");
    host.rounds = host.vector_bits > 128;
    host.has_avx512_bf16 = avx512 && HAS("avx512bf16");
    // AMD's do since Zen 4; Intel's are microcode and take four times as long.
    host.bf16_pairs_are_fast = host.has_avx512_bf16 && strncmp(host.cpu, "znver", strlen("znver")) == 0;
#undef HAS
    host.has_amx = amx_is_permitted();
    // Without the permission code with tiles cannot run here, whatever the CPU says.
    if (!host.has_amx)
        for (char *amx = features; (amx = strstr(amx, "+amx-"));) *amx = '-';
}

#else

static void find_features(char *features) {
    host.arch = &aarch64;
    host.vector_bits = 128;
    host.vector_registers = 32;
    host.fma = host.rounds = true;
    // Our code for SVE is for registers of 256 bits.
    if ((prctl(PR_SVE_GET_VL) & PR_SVE_VL_LEN_MASK) != 256 / 8)
        for (char *sve = features; (sve = strstr(sve, "+sve"));) *sve = '-';
    // An emulator may not tell what every such machine has.
    host.features = ftc_format("%s%s%s", AARCH64_FEATURES, *features ? "," : "", features);
    LLVMDisposeMessage(features);
}

#endif

static void find_host(void) {
    ftc_llvm_enter();
    host.cpu = LLVMGetHostCPUName(); // never freed: the host target lives as long as the process
    char *features = LLVMGetHostCPUFeatures();
    ftc_llvm_leave();
    if (!host.cpu || !features) ftc_out_of_memory(0); // LLVM's copies of texts have no handler
    find_features(features);
    host.march = "native";
    host.l1d_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    host.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 256 << 10);
    host.name = "native";
}

static void unlock(void *lock, size_t bytes) {
    (void)bytes;
    pthread_mutex_unlock(lock);
}

const ftc_target *ftc_target_host(void) {
    static pthread_mutex_t lock =
        PTHREAD_MUTEX_INITIALIZER; // of a pthread_once nobody could give up the work
    pthread_mutex_lock(&lock);
    ftc_care_begin(&lock, 0, unlock);
    if (!host.name) find_host();
    ftc_care_end(&lock);
    pthread_mutex_unlock(&lock);
    return &host;
}

const ftc_target *ftc_target_named(const char *name) {
    if (strcmp(name, "native") == 0) return ftc_target_host();
    for (size_t i = 0; i < sizeof named_targets / sizeof *named_targets; i++)
        if (strcmp(name, named_targets[i].name) == 0) return &named_targets[i];
    return NULL;
}

bool ftc_target_features_supported_here(const ftc_arch *arch, const char *features) {
    if (arch != ftc_target_host()->arch) return false;
    const char *host_features = ftc_target_host()->features;
    for (const char *at = features; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (*at == '+' && !has_feature(host_features, at, strcspn(at, ","))) return false;
    }
    return true;
}

bool ftc_target_supported_here(const ftc_target *target) {
    return ftc_target_features_supported_here(target->arch, target->features);
}
