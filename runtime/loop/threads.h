// A pool of threads that all enter one function (SPMD), and the barrier between its phases.
//
// The pool's threads live as long as the pool. A barrier spins for some microseconds and then yields its
// processor at every look; when there are more threads than processors it yields at once.
#ifndef FTC_RUNTIME_THREADS_H
#define FTC_RUNTIME_THREADS_H

#include "runtime/status.h"

#include <stdint.h>

typedef struct ftc_threads ftc_threads;

// Entered by every thread of the pool; thread in 0 … threads-1.
typedef void ftc_threads_fn(void *context, int32_t thread, int32_t threads);

// The number of processors that this process may use.
int32_t ftc_threads_available(void);

// Starts threads-1 threads; the caller of ftc_threads_run is the other one.
ftc_status ftc_threads_create(int32_t threads, ftc_threads **out);

void ftc_threads_free(ftc_threads *pool);

int32_t ftc_threads_count(const ftc_threads *pool);

// Calls fn on every thread and returns when all have returned. One caller at a time; the caller is thread 0.
void ftc_threads_run(ftc_threads *pool, ftc_threads_fn *fn, void *context);

// Waits until every thread of the pool has arrived. An ftc_barrier_fn: `pool` is the ftc_threads.
void ftc_threads_barrier(void *pool, int32_t thread);

#endif
