#include "runtime/loop/guard.h"

#include "ir/base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

// A buffer and its pages: the pattern from `begin` to data and from data + bytes to `end`, where the page
// begins that is not to be touched.
typedef struct {
    char *begin, *end, *data;
    size_t bytes;
    int error; // why the page cannot be protected; 0: it is
    char name[128];
} guard;

static struct {
    pthread_mutex_t lock;
    guard *list;
    size_t n, capacity;
    struct sigaction before;
} guards = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void release(void *mutex, size_t bytes) {
    (void)bytes;
    pthread_mutex_unlock(mutex);
}

static void lock(void) {
    pthread_mutex_lock(&guards.lock);
    ftc_care_begin(&guards.lock, 0, release);
}

static void unlock(void) {
    ftc_care_end(&guards.lock);
    pthread_mutex_unlock(&guards.lock);
}

// --- the pattern --------------------------------------------------------------------------------------

// As f32 and bf16 NaN, as i32 negative, as bool neither 0 nor 1.
static char pattern_at(const char *at) {
    return (uintptr_t)at & 1 ? '\xff' : '\xe5';
}

static void fill(char *begin, char *end) {
    for (; begin < end; begin++) *begin = pattern_at(begin);
}

// The first byte that is not as it was filled; NULL: none.
static const char *spoiled(const char *begin, const char *end) {
    for (; begin < end; begin++)
        if (*begin != pattern_at(begin)) return begin;
    return NULL;
}

// --- the page -----------------------------------------------------------------------------------------

static const char *access_of(const ucontext_t *context) {
#if defined(__x86_64__)
    return context->uc_mcontext.gregs[REG_ERR] & 2 ? "written" : "read";
#else
    (void)context;
    return "read or written";
#endif
}

// Says which buffer's page was touched, and leaves the rest to whoever handled the signal before.
static void tell_fault(int signal, siginfo_t *info, void *context) {
    const char *at = info->si_addr;
    for (size_t i = 0; i < guards.n; i++) {
        const guard *g = &guards.list[i];
        if (at < g->end || at >= g->end + FTC_PAGE_BYTES) continue;
        char text[512];
        int n = snprintf(text, sizeof text,
                         "guard: something is %s %zd bytes behind the end of a buffer: %s, %zu bytes\n",
                         access_of(context), at - (g->data + g->bytes), g->name, g->bytes);
        if (write(STDERR_FILENO, text, (size_t)n) < 0) break;
    }
    sigaction(signal, &guards.before, NULL); // the access is tried once more
}

// --- buffers ------------------------------------------------------------------------------------------

void ftc_guard_add(void *data, size_t bytes, const char *name) {
    char *begin = (char *)data - ftc_guarded_offset((int64_t)bytes);
    guard added = {
        .begin = begin, .end = begin + ftc_guarded_room((int64_t)bytes), .data = data, .bytes = bytes};
    snprintf(added.name, sizeof added.name, "%s", name);
    fill(added.begin, added.data);
    fill(added.data + bytes, added.end);
    if (mprotect(added.end, FTC_PAGE_BYTES, PROT_NONE) != 0) added.error = errno;
    lock();
    if (!guards.n) {
        struct sigaction action = {.sa_sigaction = tell_fault, .sa_flags = SA_SIGINFO};
        sigaction(SIGSEGV, &action, &guards.before);
    }
    guards.list = ftc_grow(guards.list, &guards.capacity, guards.n + 1, sizeof *guards.list);
    guards.list[guards.n++] = added;
    unlock();
}

void *ftc_guard_resize(void *data, size_t bytes) {
    lock();
    for (size_t i = 0; i < guards.n; i++) {
        guard *g = &guards.list[i];
        if (g->data != data) continue;
        g->bytes = bytes;
        data = g->data = g->begin + (g->end - g->begin) - ftc_guarded_room((int64_t)bytes) +
                         ftc_guarded_offset((int64_t)bytes);
        fill(g->begin, g->end);
        break;
    }
    unlock();
    return data;
}

static bool lies_in(const guard *g, const ftc_memory *memory) {
    return g->begin >= memory->data && g->begin < memory->data + memory->bytes;
}

void ftc_guard_spoil(const ftc_memory *memory) {
    lock();
    for (size_t i = 0; i < guards.n; i++)
        if (lies_in(&guards.list[i], memory)) fill(guards.list[i].begin, guards.list[i].end);
    unlock();
}

void ftc_guard_forget(const ftc_memory *memory) {
    lock();
    size_t kept = 0;
    for (size_t i = 0; i < guards.n; i++)
        if (!lies_in(&guards.list[i], memory)) guards.list[kept++] = guards.list[i];
    if (guards.n && !kept) sigaction(SIGSEGV, &guards.before, NULL);
    guards.n = kept;
    unlock();
}

static ftc_status check(const guard *g, const char *who) {
    const char *before = spoiled(g->begin, g->data), *after = spoiled(g->data + g->bytes, g->end);
    if (g->error)
        return ftc_status_make(FTC_BAD_INPUT, "guard: cannot protect a page behind a buffer: %s: %s", g->name,
                               strerror(g->error));
    if (!before && !after) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "guard: %s has written %zd bytes %s of a buffer: %s, %zu bytes",
                           who, before ? g->data - before : after - (g->data + g->bytes),
                           before ? "before the begin" : "behind the end", g->name, g->bytes);
}

ftc_status ftc_guard_check(const char *who) {
    ftc_status status = FTC_STATUS_OK;
    lock();
    for (size_t i = 0; i < guards.n && status.code == FTC_OK; i++) status = check(&guards.list[i], who);
    unlock();
    return status;
}

// --- arenas -------------------------------------------------------------------------------------------

ftc_status ftc_guard_map_arena(const ftc_entry *entry, int32_t threads, ftc_memory *out) {
    int64_t bytes = entry->arena_bytes + threads * entry->scratch_bytes;
    FTC_RETURN_IF_ERROR(ftc_memory_map((size_t)bytes, "an arena", out));
    for (int32_t i = 0; i < entry->n_buffers; i++) {
        const ftc_buffer_info *buffer = &entry->buffers[i];
        ftc_guard_add(out->data + buffer->offset, (size_t)buffer->bytes, buffer->name);
    }
    // All of it but the page at its end; where in it kernels begin, only the code knows.
    int64_t used = entry->scratch_bytes - FTC_PAGE_BYTES - FTC_STEP_SLACK_BYTES;
    for (int32_t i = 0; i < threads && used > 0; i++)
        ftc_guard_add(out->data + entry->arena_bytes + i * entry->scratch_bytes, (size_t)used,
                      "scratch of a thread");
    return FTC_STATUS_OK;
}
