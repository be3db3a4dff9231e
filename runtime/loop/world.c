#include "runtime/loop/world.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- alone --------------------------------------------------------------------------------------------

static void share_alone(void *values, const int64_t *starts) {
    (void)values;
    (void)starts;
}

static ftc_transfer *begin_share_alone(void *values, const int64_t *starts) {
    share_alone(values, starts);
    return NULL;
}

static ftc_transfer *begin_exchange_alone(const float *send, const int64_t *send_starts, float *receive,
                                          const int64_t *receive_starts) {
    (void)send;
    (void)send_starts;
    (void)receive;
    (void)receive_starts;
    return NULL;
}

static bool finish_alone(ftc_transfer *transfer, bool waits) {
    (void)transfer;
    (void)waits;
    return true;
}

static void end_alone(void) {}

static void fail_alone(int status) {
    (void)status;
}

const ftc_world ftc_world_alone = {
    .size = 1,
    .neighbours = 1,
    .share = share_alone,
    .begin_share = begin_share_alone,
    .begin_exchange = begin_exchange_alone,
    .finish = finish_alone,
    .end = end_alone,
    .fail = fail_alone,
};

int32_t ftc_world_threads(const ftc_world *world, int32_t available) {
    if (available < sysconf(_SC_NPROCESSORS_ONLN)) return available;
    return available < world->neighbours ? 1 : available / world->neighbours;
}

void ftc_world_share(const ftc_world *world, void *things, int64_t n, size_t bytes) {
    int64_t *starts = ftc_alloc((size_t)world->size + 1, sizeof *starts);
    for (int32_t r = 0; r <= world->size; r++)
        starts[r] = ftc_world_first(world, r, n) * (int64_t)(bytes / 4);
    world->share(things, starts);
    free(starts);
}

// --- by MPI -------------------------------------------------------------------------------------------

// What a launcher sets for each process that it starts, and nobody else: SLURM_* alone is there in every
// batch script.
static const struct {
    const char *variable, *plugin, *mpi;
} LAUNCHERS[] = {
    {"OMPI_COMM_WORLD_RANK", "ftc-openmpi.so", "Open MPI"}, // mpirun, mpiexec, srun --mpi=pmix
    {"PMI_RANK", "ftc-mpich.so", "MPICH"},                  // mpiexec.hydra, srun --mpi=pmi2
};

// Beside the command, as in a build, or where it is installed.
static void *load(const char *plugin) {
    char command[4096];
    ssize_t n = readlink("/proc/self/exe", command, sizeof command - 1);
    void *handle = NULL;
    if (n > 0) {
        command[n] = 0;
        char *slash = strrchr(command, '/');
        *slash = 0;
        char *beside = ftc_path_join(command, plugin);
        // MPI's own plugins look for its symbols among those of all.
        if (ftc_file_exists(beside)) handle = dlopen(beside, RTLD_NOW | RTLD_GLOBAL);
        free(beside);
    }
    if (handle) return handle;
    char *installed = ftc_path_join(FTC_PLUGIN_DIR, plugin);
    handle = dlopen(installed, RTLD_NOW | RTLD_GLOBAL);
    free(installed);
    return handle;
}

ftc_status ftc_world_open(const ftc_world **out) {
    *out = &ftc_world_alone;
    for (size_t i = 0; i < sizeof LAUNCHERS / sizeof *LAUNCHERS; i++) {
        if (!getenv(LAUNCHERS[i].variable)) continue;
        void *plugin = load(LAUNCHERS[i].plugin);
        const ftc_world *(*open)(void) = NULL;
        if (plugin) *(void **)&open = dlsym(plugin, "ftc_world_of_mpi");
        if (!open) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "started by a launcher of %s (%s is set), but %s cannot be loaded: %s. Build ftc "
                "where %s is installed (./dev setup --mpi), or start it without a launcher",
                LAUNCHERS[i].mpi, LAUNCHERS[i].variable, LAUNCHERS[i].plugin, dlerror(), LAUNCHERS[i].mpi);
        }
        *out = open();
        return *out ? FTC_STATUS_OK : ftc_status_make(FTC_FAILED, "%s does not start", LAUNCHERS[i].mpi);
    }
    return FTC_STATUS_OK;
}
