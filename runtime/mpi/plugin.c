// A world (runtime/loop/world.h) made of MPI. Built once for each MPI that the machine has, because their
// binaries do not go together, and loaded only where the process was started by a launcher of that MPI.
#include "runtime/loop/world.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ftc_world world;
static char library[MPI_MAX_LIBRARY_VERSION_STRING];

// MPI reads the lists until the transfer is over.
struct ftc_transfer {
    MPI_Request request;
    int lists[]; // [4 * size]
};

static ftc_transfer *make_transfer(void) {
    ftc_transfer *transfer = calloc(1, sizeof *transfer + 4 * (size_t)world.size * sizeof(int));
    if (!transfer) MPI_Abort(MPI_COMM_WORLD, 2);
    return transfer;
}

// Counts, and behind them places.
static int *list(ftc_transfer *transfer, int which, const int64_t *starts) {
    int *counts = transfer->lists + 2 * which * world.size, *places = counts + world.size;
    for (int32_t r = 0; r < world.size; r++) {
        counts[r] = (int)(starts[r + 1] - starts[r]);
        places[r] = (int)starts[r];
    }
    return counts;
}

static ftc_transfer *begin_share(void *values, const int64_t *starts) {
    ftc_transfer *transfer = make_transfer();
    int *counts = list(transfer, 0, starts);
    MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, counts, counts + world.size, MPI_INT32_T,
                    MPI_COMM_WORLD, &transfer->request);
    return transfer;
}

static ftc_transfer *begin_exchange(const float *send, const int64_t *send_starts, float *receive,
                                    const int64_t *receive_starts) {
    ftc_transfer *transfer = make_transfer();
    int *sent = list(transfer, 0, send_starts), *received = list(transfer, 1, receive_starts);
    sent[world.rank] = received[world.rank] = 0;
    MPI_Ialltoallv(send, sent, sent + world.size, MPI_FLOAT, receive, received, received + world.size,
                   MPI_FLOAT, MPI_COMM_WORLD, &transfer->request);
    return transfer;
}

static bool finish(ftc_transfer *transfer, bool waits) {
    int is_over = 1;
    if (waits)
        MPI_Wait(&transfer->request, MPI_STATUS_IGNORE);
    else
        MPI_Test(&transfer->request, &is_over, MPI_STATUS_IGNORE);
    if (is_over) free(transfer);
    return is_over;
}

static void share(void *values, const int64_t *starts) {
    finish(begin_share(values, starts), true);
}

static void end(void) {
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
}

// The others may be telling what they met, too. Of those that fail together the lowest ends all: two aborts
// at once can crash Open MPI 4's mpirun, whose own death would then be the status that the user gets.
static void fail(int status) {
    int last_apart = 15; // those above it wait no longer, so that all end in about two seconds
    usleep(500000 + 100000 * (useconds_t)(world.rank < last_apart ? world.rank : last_apart));
    MPI_Abort(MPI_COMM_WORLD, status);
}

static void name_library(void) {
    int length;
    MPI_Get_library_version(library, &length);
    library[strcspn(library, ",\n")] = 0; // the rest says how it was built
    for (char *c = library; *c; c++)
        if (*c == '\t') *c = ' ';
}

// What runtime/loop/world.c looks for. NULL: MPI is not to be had, and has said why.
__attribute__((visibility("default"))) const ftc_world *ftc_world_of_mpi(void) {
    int provided, rank, size, neighbours;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) return NULL;
    MPI_Comm machine;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine);
    MPI_Comm_size(machine, &neighbours);
    MPI_Comm_free(&machine);
    name_library();
    world = (ftc_world){.rank = rank,
                        .size = size,
                        .neighbours = neighbours,
                        .library = library,
                        .share = share,
                        .begin_share = begin_share,
                        .begin_exchange = begin_exchange,
                        .finish = finish,
                        .end = end,
                        .fail = fail};
    return &world;
}
