// Preloaded into a program: counts its allocations, and fails one of them, or all from one on.
//
//   FTC_EXHAUST=own:17       the 17th allocation of ftc and the C libraries that it calls fails
//   FTC_EXHAUST=own:17+      and all after it, LLVM's too
//   FTC_EXHAUST=llvm:4000+   counts those of LLVM and the C++ library
//   FTC_EXHAUST_COUNT=FILE   writes "<own> <llvm>" there at the end
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

typedef enum { NOBODY, OWN, LLVM, CLASSES } class;

static struct {
    uintptr_t begin, end;
    class of;
} ranges[16];
static int n_ranges;
static atomic_int state; // 0: to be set up, 1: being set up, 2: set up
static atomic_long counts[CLASSES];
static class failing;
static long at;
static bool stays, is_out;

static int add_object(struct dl_phdr_info *info, size_t size, void *context) {
    static const struct {
        const char *part;
        class of;
    } names[] = {{"libLLVM", LLVM},    {"libstdc++", LLVM}, {"libftc", OWN},
                 {"libc.so", OWN},     {"libcjson", OWN},   {"libpcre2", OWN},
                 {"libutf8proc", OWN}, {"libxxhash", OWN},  {"libz.so", OWN}};
    (void)size;
    class of = *(bool *)context ? OWN : NOBODY; // the first object is the program
    *(bool *)context = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(info->dlpi_name, names[i].part)) of = names[i].of;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (of == NOBODY || part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        ranges[n_ranges].begin = begin;
        ranges[n_ranges].end = begin + part->p_memsz;
        ranges[n_ranges++].of = of;
    }
    return 0;
}

static void set_up(void) {
    int none = 0;
    if (!atomic_compare_exchange_strong(&state, &none, 1)) return;
    bool first = true;
    dl_iterate_phdr(add_object, &first);
    const char *text = getenv("FTC_EXHAUST");
    if (text) {
        failing = strncmp(text, "own", 3) == 0 ? OWN : LLVM;
        at = strtol(strchr(text, ':') + 1, NULL, 10);
        stays = strchr(text, '+') != NULL;
    }
    atomic_store(&state, 2);
}

// Whether this allocation fails.
static bool fails(const void *caller) {
    if (atomic_load(&state) == 0) set_up();
    class of = NOBODY;
    for (int i = 0; i < n_ranges; i++)
        if ((uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end) of = ranges[i].of;
    if (of == NOBODY) return false; // the loader's, above all
    long n = atomic_fetch_add(&counts[of], 1) + 1;
    bool is_it = of == failing && n == at;
    if (is_it && stays) is_out = true;
    if (is_it || is_out) errno = ENOMEM;
    return is_it || is_out;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t bytes) {
    return fails(CALLER) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t n, size_t size) {
    return fails(CALLER) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t bytes) {
    return fails(CALLER) ? NULL : __libc_realloc(p, bytes);
}

void *reallocarray(void *p, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || fails(CALLER)) return NULL;
    return __libc_realloc(p, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return fails(CALLER) ? NULL : __libc_memalign(alignment, bytes);
}

int posix_memalign(void **p, size_t alignment, size_t bytes) {
    if (fails(CALLER)) return ENOMEM;
    *p = __libc_memalign(alignment, bytes);
    return *p ? 0 : ENOMEM;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (fails(CALLER)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("FTC_EXHAUST_COUNT");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
    if (file < 0) return;
    dprintf(file, "%ld %ld\n", atomic_load(&counts[OWN]), atomic_load(&counts[LLVM]));
    close(file);
}
