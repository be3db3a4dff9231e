#include "runtime/loop/memory.h"
#include "runtime/loop/guard.h"

#include "ir/base/alloc.h"
#include "ir/step_abi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE_BYTES = 2 << 20 };

static void release(void *data, size_t bytes) {
    munmap(data, bytes + FTC_STEP_SLACK_BYTES);
}

ftc_status ftc_memory_map(size_t bytes, const char *what, ftc_memory *out) {
    if (bytes == 0) {
        *out = (ftc_memory){NULL, 0};
        return FTC_STATUS_OK;
    }
    size_t mapped = bytes + FTC_STEP_SLACK_BYTES;
    void *data =
        mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        return ftc_status_make(FTC_BAD_INPUT, "cannot map %.1f MB for %s: %s", (double)bytes / 1e6, what,
                               strerror(errno));
    }
    if (mapped >= HUGE_PAGE_BYTES) madvise(data, mapped, MADV_HUGEPAGE); // fewer TLB misses; only a hint
    ftc_care_begin(data, bytes, release);
    *out = (ftc_memory){data, bytes};
    return FTC_STATUS_OK;
}

void ftc_memory_unmap(ftc_memory *memory) {
    ftc_guard_forget(memory);
    if (memory->data) {
        ftc_care_end(memory->data);
        release(memory->data, memory->bytes);
    }
    *memory = (ftc_memory){NULL, 0};
}

void ftc_memory_use_small_pages(void *data, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data, end = begin + bytes;
    begin = (begin + page - 1) / page * page;
    end = end / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_NOHUGEPAGE); // only a hint
}

size_t ftc_memory_place(size_t bytes, bool guarded, size_t *at) {
    size_t begin = *at;
    if (guarded) {
        *at += (size_t)ftc_guarded_bytes((int64_t)bytes);
        return begin + (size_t)ftc_guarded_offset((int64_t)bytes);
    }
    *at += (bytes + FTC_STEP_SLACK_BYTES + FTC_STEP_ALIGN - 1) / FTC_STEP_ALIGN * FTC_STEP_ALIGN;
    return begin;
}

// The number in the first line of `path`, or `otherwise`.
static int64_t read_number(const char *path, int64_t otherwise) {
    FILE *file = fopen(path, "r");
    if (!file) return otherwise;
    long long value;
    if (fscanf(file, "%lld", &value) != 1) value = otherwise;
    fclose(file);
    return value;
}

int64_t ftc_memory_available(void) {
    int64_t available = INT64_MAX;
    FILE *file = fopen("/proc/meminfo", "r");
    if (file) {
        char line[128];
        long long kb;
        while (fgets(line, sizeof line, file)) {
            if (sscanf(line, "MemAvailable: %lld kB", &kb) == 1) available = kb * 1024;
        }
        fclose(file);
    }
    int64_t limit = read_number("/sys/fs/cgroup/memory.max", INT64_MAX);
    int64_t used = read_number("/sys/fs/cgroup/memory.current", 0);
    if (limit != INT64_MAX && limit - used < available) available = limit - used;
    return available;
}

ftc_status ftc_memory_check(int64_t bytes, const char *what, const char *advice) {
    int64_t available = ftc_memory_available();
    if (bytes <= available) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s needs %.1f MB of memory, but only %.1f MB is free; %s", what,
                           (double)bytes / 1e6, (double)available / 1e6, advice);
}
