// A world (runtime/loop/world.h) made of MPI. Built once for each MPI that the machine has, because their
// binaries do not go together, and loaded only where the process was started by a launcher of that MPI.
#include "runtime/loop/world.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ftc_world world;
static int *counts[2], *places[2]; // [size] of what is sent, of what is received
static char library[MPI_MAX_LIBRARY_VERSION_STRING];

static void list(int which, const int64_t *starts) {
    for (int32_t r = 0; r < world.size; r++) {
        counts[which][r] = (int)(starts[r + 1] - starts[r]);
        places[which][r] = (int)starts[r];
    }
}

static void share(void *values, const int64_t *starts) {
    list(0, starts);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, counts[0], places[0], MPI_INT32_T,
                   MPI_COMM_WORLD);
}

static void exchange(const float *send, const int64_t *send_starts, float *receive,
                     const int64_t *receive_starts) {
    list(0, send_starts);
    list(1, receive_starts);
    MPI_Alltoallv(send, counts[0], places[0], MPI_FLOAT, receive, counts[1], places[1], MPI_FLOAT,
                  MPI_COMM_WORLD);
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
    for (int i = 0; i < 2; i++) {
        counts[i] = calloc((size_t)size, sizeof *counts[i]);
        places[i] = calloc((size_t)size, sizeof *places[i]);
        if (!counts[i] || !places[i]) MPI_Abort(MPI_COMM_WORLD, 2);
    }
    name_library();
    world = (ftc_world){rank, size, neighbours, library, share, exchange, end, fail};
    return &world;
}
