#include "runtime/loop/threads.h"

#include "ir/base/alloc.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Looks at a changing word before the processor is yielded; a look takes some tens of cycles.
enum { SPIN_LOOKS = 4000 };

typedef struct {
    ftc_threads *pool;
    int32_t thread;
    pthread_t handle;
} worker;

struct ftc_threads {
    // The barrier: the last to arrive resets `arrived` and moves on to the next `phase`.
    alignas(64) atomic_int arrived;
    alignas(64) atomic_uint phase;
    // The work: workers wait for the next `job`, first spinning, then asleep.
    alignas(64) atomic_uint job;
    ftc_threads_fn *fn; // NULL: end
    void *context;
    alignas(64) pthread_mutex_t mutex;
    pthread_cond_t new_job;
    int32_t threads, spin_looks;
    atomic_bool is_given_up; // a thread has given up its share of the job
    worker *workers;         // [threads - 1]
};

static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

int32_t ftc_threads_available(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

int32_t ftc_threads_count(const ftc_threads *pool) {
    return pool->threads;
}

void ftc_threads_barrier(void *context, int32_t thread) {
    (void)thread;
    ftc_threads *pool = context;
    if (pool->threads == 1) return;
    unsigned phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == pool->threads - 1) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->phase, phase + 1, memory_order_release);
        return;
    }
    for (int32_t looks = 0; atomic_load_explicit(&pool->phase, memory_order_acquire) == phase; looks++) {
        if (looks < pool->spin_looks) {
            cpu_relax();
        } else {
            sched_yield();
        }
    }
}

// Waits for a job other than `seen`.
static void wait_for_job(ftc_threads *pool, unsigned seen) {
    for (int32_t looks = 0; looks < pool->spin_looks; looks++) {
        if (atomic_load_explicit(&pool->job, memory_order_acquire) != seen) return;
        cpu_relax();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->job, memory_order_acquire) == seen) {
        pthread_cond_wait(&pool->new_job, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}

static void start_job(ftc_threads *pool, ftc_threads_fn *fn, void *context) {
    pthread_mutex_lock(&pool->mutex);
    pool->fn = fn;
    pool->context = context;
    atomic_fetch_add_explicit(&pool->job, 1, memory_order_release);
    pthread_cond_broadcast(&pool->new_job);
    pthread_mutex_unlock(&pool->mutex);
}

// Work is given up in the thread that does it, and then by who waits for all of them.
static void do_share(ftc_threads *pool, int32_t thread, ftc_threads_fn *fn, void *context) {
    ftc_scope scope;
    ftc_scope_open(&scope);
    if (ftc_scope_enter(&scope)) {
        fn(context, thread, pool->threads);
    } else {
        atomic_store(&pool->is_given_up, true);
    }
    ftc_scope_close(&scope);
}

static void *work(void *arg) {
    worker *self = arg;
    ftc_threads *pool = self->pool;
    for (unsigned job = 0;; job++) {
        wait_for_job(pool, job);
        if (!pool->fn) return NULL;
        do_share(pool, self->thread, pool->fn, pool->context);
        ftc_threads_barrier(pool, self->thread);
    }
}

void ftc_threads_run(ftc_threads *pool, ftc_threads_fn *fn, void *context) {
    if (pool->threads > 1) start_job(pool, fn, context);
    do_share(pool, 0, fn, context);
    ftc_threads_barrier(pool, 0);
    if (atomic_exchange(&pool->is_given_up, false)) ftc_out_of_memory(0);
}

// Ends the first `n` workers and frees everything.
static void end(ftc_threads *pool, int32_t n) {
    if (n > 0) start_job(pool, NULL, NULL);
    for (int32_t i = 0; i < n; i++) pthread_join(pool->workers[i].handle, NULL);
    pthread_cond_destroy(&pool->new_job);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

// Workers inherit what the thread that makes them blocks. Signals from outside are the caller's: its handler
// then runs on a thread of its own, one at a time. Faults stay, and the profiler's clock.
static void block_signals(sigset_t *before) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigset_t outside;
    sigfillset(&outside);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&outside, own[i]);
    pthread_sigmask(SIG_BLOCK, &outside, before);
}

static int start_workers(ftc_threads *pool, int32_t *started) {
    int error = 0;
    sigset_t before;
    block_signals(&before);
    for (int32_t i = 0; i < pool->threads - 1 && !error; i++) {
        pool->workers[i] = (worker){pool, i + 1, 0};
        error = pthread_create(&pool->workers[i].handle, NULL, work, &pool->workers[i]);
        *started = error ? i : i + 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void release(void *pool, size_t bytes) {
    (void)bytes;
    ftc_threads_free(pool);
}

ftc_status ftc_threads_create(int32_t threads, ftc_threads **out) {
    enum { MOST = 4096 }; // more than a machine has processors: they would take what others need
    if (threads < 1 || threads > MOST)
        return ftc_status_make(FTC_BAD_INPUT, "%d threads: from 1 to %d can be had", threads, MOST);
    worker *workers = ftc_alloc((size_t)threads, sizeof *workers);
    ftc_threads *pool = ftc_alloc_aligned(64, (sizeof *pool + 63) / 64 * 64);
    pool->threads = threads;
    pool->spin_looks = threads > ftc_threads_available() ? 0 : SPIN_LOOKS;
    pool->workers = workers;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->new_job, NULL);
    int32_t started = 0;
    int error = start_workers(pool, &started);
    if (error) {
        end(pool, started);
        return ftc_status_make(FTC_FAILED, "cannot start thread %d of %d: %s; try a smaller --threads",
                               started + 1, threads, strerror(error));
    }
    ftc_care_begin(pool, 0, release);
    *out = pool;
    return FTC_STATUS_OK;
}

void ftc_threads_free(ftc_threads *pool) {
    if (!pool) return;
    ftc_care_end(pool);
    end(pool, pool->threads - 1);
}
