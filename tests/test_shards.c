// Gradients that processes exchange while they compute, and new values that they bring together. The
// processes are threads here, and their world keeps to what MPI promises and no more: data moves when a
// process calls, and is read where it lies until then.
#include "ir/base/alloc.h"
#include "runtime/loop/shards.h"
#include "tests/scratch.h"

#include <pthread.h>
#include <string.h>

enum { MOST_RANKS = 4, MOST_TRANSFERS = 4096, MATRICES = 6, VECTORS = 3, PARAMS = MATRICES + VECTORS };
enum { SHARDS = 7, STEPS = 3, ROWS = 9 };

// --- the world ----------------------------------------------------------------------------------------

typedef struct {
    bool is_share;
    int n_begun, n_moved;
    bool has_moved[MOST_RANKS];
    float *sent[MOST_RANKS], *received[MOST_RANKS]; // by each rank
    int64_t sent_starts[MOST_RANKS][MOST_RANKS + 1], received_starts[MOST_RANKS][MOST_RANKS + 1];
} operation;

struct ftc_transfer {
    int number;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static operation operations[MOST_TRANSFERS];
static int size;
static _Thread_local int rank, n_begun, n_over; // of this process

// Moves what comes to this rank, of all that every rank has begun.
static void move(void) {
    for (int i = 0; i < n_begun; i++) {
        operation *o = &operations[i];
        if (o->n_begun < size || o->has_moved[rank]) continue;
        for (int r = 0; r < size; r++) {
            if (r == rank) continue;
            int from = o->is_share ? r : rank;
            int64_t n = o->sent_starts[r][from + 1] - o->sent_starts[r][from];
            cr_assert_eq(o->received_starts[rank][r + 1] - o->received_starts[rank][r], n);
            if (n)
                memcpy(o->received[rank] + o->received_starts[rank][r], o->sent[r] + o->sent_starts[r][from],
                       (size_t)n * sizeof(float));
        }
        o->has_moved[rank] = true;
        o->n_moved++;
        pthread_cond_broadcast(&moved);
    }
}

static ftc_transfer *begin(bool is_share, const float *send, const int64_t *send_starts, float *receive,
                           const int64_t *receive_starts) {
    ftc_transfer *transfer = ftc_alloc(1, sizeof *transfer);
    pthread_mutex_lock(&mutex);
    cr_assert_lt(n_begun, MOST_TRANSFERS);
    transfer->number = n_begun++;
    operation *o = &operations[transfer->number];
    cr_assert(o->n_begun == 0 || o->is_share == is_share);
    o->is_share = is_share;
    o->sent[rank] = (float *)(uintptr_t)send;
    o->received[rank] = receive;
    memcpy(o->sent_starts[rank], send_starts, ((size_t)size + 1) * sizeof *send_starts);
    memcpy(o->received_starts[rank], receive_starts, ((size_t)size + 1) * sizeof *receive_starts);
    o->n_begun++;
    move();
    pthread_mutex_unlock(&mutex);
    return transfer;
}

static ftc_transfer *begin_share(void *values, const int64_t *starts) {
    return begin(true, values, starts, values, starts);
}

static ftc_transfer *begin_exchange(const float *send, const int64_t *send_starts, float *receive,
                                    const int64_t *receive_starts) {
    return begin(false, send, send_starts, receive, receive_starts);
}

static bool finish(ftc_transfer *transfer, bool waits) {
    pthread_mutex_lock(&mutex);
    const operation *o = &operations[transfer->number];
    for (move(); waits && o->n_moved < size; move()) pthread_cond_wait(&moved, &mutex);
    bool is_over = o->n_moved == size;
    pthread_mutex_unlock(&mutex);
    n_over += is_over;
    if (is_over) free(transfer);
    return is_over;
}

static void share(void *values, const int64_t *starts) {
    finish(begin_share(values, starts), true);
}

// --- the model ----------------------------------------------------------------------------------------

static ftc_tensor_info tensors[2 * PARAMS]; // parameters, then their gradients

static const ftc_program PROGRAM = {
    .model = "shards", .n_tensors = 2 * PARAMS, .tensors = tensors, .n_counts = 1};

static void make_tensors(void) {
    for (int i = 0; i < PARAMS; i++) {
        bool is_matrix = i < MATRICES;
        tensors[i] = (ftc_tensor_info){.name = "w",
                                       .role = FTC_ROLE_PARAM,
                                       .rank = is_matrix ? 2 : 1,
                                       .dims = {is_matrix ? ROWS : 5 + i, 11 + i},
                                       .of = -1,
                                       .by = -1,
                                       .is_sliced = is_matrix,
                                       .zero_row = -1};
        tensors[PARAMS + i] = tensors[i];
        tensors[PARAMS + i].role = FTC_ROLE_GRADIENT;
        tensors[PARAMS + i].of = i;
    }
}

// What a shard adds to a cell: of all magnitudes, so that another order of sums has other bits.
static float part_of(int step, int64_t shard, int tensor, int64_t cell) {
    uint32_t x = (uint32_t)(step * 7919 + shard * 104729 + tensor * 1299709 + cell * 15485863);
    x ^= x >> 13;
    x *= 0x9e3779b1u;
    x ^= x >> 16;
    return (float)(x % 2000) - 1000.5f + (float)(x >> 11) * 1e-5f;
}

// --- the exchange -------------------------------------------------------------------------------------

typedef struct {
    int rank;
    float *sums[STEPS][PARAMS]; // what the update of each step finds
    int begun_behind[STEPS];    // transfers, before the last shard's call was over
} process;

// A call of grad for the last micro-batch of a shard: the later parameters' gradients come first.
static void add_gradients(ftc_model_state *state, ftc_shards *shards, int step, int64_t shard) {
    for (int i = PARAMS - 1; i >= 0; i--) {
        float *gradient = state->tensors[PARAMS + i];
        for (int64_t k = 0; k < ftc_tensor_elements(&tensors[i]); k++)
            gradient[k] += part_of(step, shard, i, k);
        ftc_shards_ready(shards, PARAMS + i);
    }
}

static void *train(void *context) {
    process *p = context;
    ftc_world world = ftc_world_alone;
    rank = p->rank;
    if (size > 1)
        world = (ftc_world){rank,        size,           size,   "threads",           share,
                            begin_share, begin_exchange, finish, ftc_world_alone.end, ftc_world_alone.fail};
    ftc_model_state state;
    ftc_shards *shards;
    ASSERT_OK(ftc_model_state_create(&PROGRAM, 1u << FTC_ENTRY_GRAD, &world, &state));
    ASSERT_OK(ftc_shards_create(&state, &world, SHARDS, FTC_WIRE_FP32, &shards));
    for (int step = 0; step < STEPS; step++) {
        ftc_shards_begin(shards);
        int64_t end = ftc_world_first(&world, rank + 1, SHARDS);
        for (int64_t shard = ftc_world_first(&world, rank, SHARDS); shard < end; shard++) {
            ASSERT_OK(ftc_shards_expect(shards, (int32_t)shard));
            int before = n_begun;
            add_gradients(&state, shards, step, shard);
            cr_assert(shard + 1 == end || n_begun == before, "begun before the last shard");
            p->begun_behind[step] = n_begun - before;
            ASSERT_OK(ftc_shards_take(shards, (int32_t)shard));
        }
        ftc_shards_finish(shards);
        cr_assert_eq(n_over, n_begun, "%d of %d transfers are over", n_over, n_begun);
        for (int i = 0; i < PARAMS; i++) {
            size_t bytes = (size_t)ftc_tensor_elements(&tensors[i]) * sizeof(float);
            p->sums[step][i] = memcpy(ftc_alloc(1, bytes), state.tensors[PARAMS + i], bytes);
            memset(state.tensors[PARAMS + i], 0, bytes);
        }
    }
    ftc_shards_free(shards);
    ftc_model_state_free(&state);
    return NULL;
}

static void run(int n, void *(*body)(void *), process *processes) {
    pthread_t threads[MOST_RANKS];
    size = n;
    memset(operations, 0, sizeof operations);
    for (int r = 0; r < n; r++) {
        processes[r] = (process){.rank = r};
        cr_assert_eq(pthread_create(&threads[r], NULL, body, &processes[r]), 0);
    }
    for (int r = 0; r < n; r++) pthread_join(threads[r], NULL);
}

// The cells that a process updates by: of matrices its rows, of vectors all.
static void check_sums(const process *alone, const process *p, int n) {
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < PARAMS; i++) {
            int64_t rows = tensors[i].dims[0], width = ftc_tensor_elements(&tensors[i]) / rows;
            ftc_slice slice = i < MATRICES ? (ftc_slice){p->rank, n} : FTC_ALL_ROWS;
            int64_t first = ftc_slice_first(slice, rows) * width, end = ftc_slice_end(slice, rows) * width;
            cr_expect_arr_eq(p->sums[step][i] + first, alone->sums[step][i] + first,
                             (size_t)(end - first) * sizeof(float), "step %d, tensor %d, process %d of %d",
                             step, i, p->rank, n);
        }
}

static void free_sums(process *p) {
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < PARAMS; i++) free(p->sums[step][i]);
}

// Any number of processes comes to the same bits; after the first step, which shows in which order gradients
// become complete, most chunks are under way before the last call is over.
Test(shards, are_exchanged_behind_the_last_call, .timeout = 60) {
    process alone, processes[MOST_RANKS];
    make_tensors();
    run(1, train, &alone);
    for (int n = 2; n <= MOST_RANKS; n++) {
        run(n, train, processes);
        for (int r = 0; r < n; r++) {
            check_sums(&alone, &processes[r], n);
            for (int step = 1; step < STEPS; step++)
                cr_expect_gt(processes[r].begun_behind[step], MATRICES, "%d of %d: step %d: %d", r, n, step,
                             processes[r].begun_behind[step]);
            free_sums(&processes[r]);
        }
    }
    free_sums(&alone);
}

// --- the update ---------------------------------------------------------------------------------------

enum { VALUES = 180, WIDTH = 5 };

// Small values, of which each room holds some and all rooms not all, and large ones.
static int64_t rows_of(int i) {
    return i % 20 == 7 ? 70000 : 20000 + 13 * i;
}

// Whether all processes' rows of value number i are there.
static bool is_whole(const float *values, int i) {
    for (int64_t k = 0; k < rows_of(i) * WIDTH; k++)
        if (values[k] != part_of(i, 0, 0, k)) return false;
    return true;
}

// Makes this process' rows of all values and brings them together; waits for all at once, or for one after
// the other, each process in an order of its own.
static void gather_all(ftc_gathering *gathering, const ftc_world *world, bool at_once) {
    float *values[VALUES];
    for (int i = 0; i < VALUES; i++) {
        values[i] = ftc_alloc((size_t)rows_of(i) * WIDTH, sizeof(float));
        int64_t end = ftc_slice_end(ftc_world_slice(world), rows_of(i)) * WIDTH;
        for (int64_t k = ftc_slice_first(ftc_world_slice(world), rows_of(i)) * WIDTH; k < end; k++)
            values[i][k] = part_of(i, 0, 0, k);
        ftc_gathering_add(gathering, values[i], rows_of(i), WIDTH * sizeof(float));
    }
    cr_expect_gt(n_begun, n_over, "nothing is under way before any is waited for");
    if (at_once)
        ftc_gathering_add(gathering, NULL, 0, 0);
    else
        ftc_gathering_send(gathering);
    for (int k = 0; k < VALUES; k++) {
        int i = (7 * k + rank) % VALUES;
        if (!at_once) ftc_gathering_await(gathering, values[i]);
        cr_expect(is_whole(values[i], i), "value %d, process %d of %d", i, rank, size);
    }
    cr_assert_eq(n_over, n_begun);
    for (int i = 0; i < VALUES; i++) free(values[i]);
}

static void *gather(void *context) {
    const process *p = context;
    rank = p->rank;
    ftc_world world = {rank,        size,           size,   "threads",           share,
                       begin_share, begin_exchange, finish, ftc_world_alone.end, ftc_world_alone.fail};
    ftc_traffic traffic = {.world = &world};
    ftc_gathering *gathering;
    ASSERT_OK(ftc_gathering_create(&traffic, &gathering));
    gather_all(gathering, &world, true);
    gather_all(gathering, &world, false);
    ftc_gathering_await_all(gathering);
    cr_expect(traffic.under_way == 0 && traffic.seconds > 0 && traffic.waited > 0);
    ftc_gathering_free(gathering);
    return NULL;
}

Test(shards, are_gathered_behind_the_next, .timeout = 60) {
    process processes[MOST_RANKS];
    make_tensors();
    for (int n = 2; n <= MOST_RANKS; n++) run(n, gather, processes);
}
