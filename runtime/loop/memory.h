// Memory from the kernel: page-aligned, zero, not resident until touched, with the slack that the step's ABI
// asks for.
#ifndef FTC_RUNTIME_MEMORY_H
#define FTC_RUNTIME_MEMORY_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One mapping. `data` is readable FTC_STEP_SLACK_BYTES past `bytes`; NULL when bytes is 0.
typedef struct {
    char *data;
    size_t bytes;
} ftc_memory;

// Maps `bytes` zeroed bytes. `what` names them in the message of a failure.
ftc_status ftc_memory_map(size_t bytes, const char *what, ftc_memory *out);

void ftc_memory_unmap(ftc_memory *memory);

// Maps this part of a mapping in small pages, before it is touched: where few rows of a tensor are used, the
// others stay out of memory.
void ftc_memory_use_small_pages(void *data, size_t bytes);

// Where a buffer of `bytes` lies in a mapping whose first *at bytes are taken; adds to *at what it takes with
// its slack. Of a guarded program it is then to be given to ftc_guard_add (runtime/loop/guard.h).
size_t ftc_memory_place(size_t bytes, bool guarded, size_t *at);

// Bytes that this process can still touch without swapping (the system's and its control group's); INT64_MAX
// when that cannot be found out.
int64_t ftc_memory_available(void);

// Fails when `bytes` are more than ftc_memory_available(); `what` names their use, `advice` says what to do.
ftc_status ftc_memory_check(int64_t bytes, const char *what, const char *advice);

#endif
