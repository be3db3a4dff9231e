// The processes that train together, and what the loop asks of them. One process alone is a world of one.
//
// MPI 3 counts in int: no more words than FTC_WORLD_MOST_WORDS in one call.
//
// share, begin_share, begin_exchange and end are collective: every rank calls them, in the same order and
// with sizes that fit. A failure of the transport ends all processes. One thread makes all calls.
#ifndef FTC_RUNTIME_WORLD_H
#define FTC_RUNTIME_WORLD_H

#include "ir/step_abi.h"
#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FTC_WORLD_MOST_WORDS INT32_MAX

// What was begun and may not be over.
typedef struct ftc_transfer ftc_transfer;

typedef struct ftc_world {
    int32_t rank, size;
    int32_t neighbours; // ranks on this machine, this one included
    // What others call an MPI: "Open MPI v4.1.4"; NULL: a world of one.
    const char *library;
    // Words of 32 bits. Rank r has those of `values` from starts[r] to before starts[r + 1]; all ranks get
    // all of them.
    void (*share)(void *values, const int64_t *starts);
    // As share, but returns at once. Until it is over, what is sent stays as it is, and what is received may
    // not be touched. NULL: it is over already.
    ftc_transfer *(*begin_share)(void *values, const int64_t *starts);
    // The same for sending the words of `send` from send_starts[r] to before send_starts[r + 1] to each other
    // rank r, and receiving those of rank r into `receive` from receive_starts[r] on.
    ftc_transfer *(*begin_exchange)(const float *send, const int64_t *send_starts, float *receive,
                                    const int64_t *receive_starts);
    // Whether it is over, which frees it; with `waits`, once it is. Moves on whatever is under way.
    bool (*finish)(ftc_transfer *transfer, bool waits);
    void (*end)(void);        // waits until all ranks have come to their end
    void (*fail)(int status); // ends all processes with this exit status, at once; not collective
} ftc_world;

extern const ftc_world ftc_world_alone;

// The world that this process was started in: by mpirun, mpiexec or srun, through the plugin that fits the
// launcher's MPI, else alone. *out lives as long as the process. Fails when the launcher is known but its
// plugin cannot be loaded.
ftc_status ftc_world_open(const ftc_world **out);

// Threads of this process: one for each of the `available` processors that it may use. Where its launcher has
// left all processors of the machine to all of its processes, its part of them.
int32_t ftc_world_threads(const ftc_world *world, int32_t available);

// The first of `n` things that are this rank's, when each has about as many as the others; with rank + 1 the
// end of them.
static inline int64_t ftc_world_first(const ftc_world *world, int32_t rank, int64_t n) {
    return n / world->size * rank + n % world->size * rank / world->size;
}

// Which rows of its updates this process does (ftc_step_args.slice).
static inline ftc_slice ftc_world_slice(const ftc_world *world) {
    return (ftc_slice){world->rank, world->size};
}

// Shares `n` things of `bytes` bytes, a multiple of 4: each rank has those from its ftc_world_first on, all
// get all.
void ftc_world_share(const ftc_world *world, void *things, int64_t n, size_t bytes);

#endif
