#include "runtime/loop/gather.h"

#include "ir/base/alloc.h"
#include "runtime/loop/memory.h"

#include <string.h>

// Values of fewer bytes than LARGE go together, in one of the rooms: one is filled while others are under
// way. Rooms take memory once they are filled.
enum { LARGE_BYTES = 1 << 20, ROOM_BYTES = 4 << 20, ROOMS = 16 };

// Each process has some rows of it.
typedef struct {
    char *values;
    int64_t rows, row_bytes;
} sliced;

typedef struct {
    ftc_memory memory; // [ROOM_BYTES] what the first process has made, then the second, …
    sliced *list;      // [n]
    int32_t n;
    size_t capacity;
    int64_t bytes;
    ftc_transfer *transfer;
} room;

// One that goes by itself.
typedef struct {
    const char *values;
    ftc_transfer *transfer;
} large;

struct ftc_gathering {
    ftc_traffic *traffic;
    room rooms[ROOMS];
    int32_t filling;
    large *large; // [n_large] since all was there
    int32_t n_large;
    size_t capacity;
    int64_t *starts; // [size + 1]
};

ftc_status ftc_gathering_create(ftc_traffic *traffic, ftc_gathering **out) {
    ftc_gathering *g = ftc_alloc(1, sizeof *g);
    g->traffic = traffic;
    g->starts = ftc_alloc((size_t)traffic->world->size + 1, sizeof *g->starts);
    ftc_status status = FTC_STATUS_OK;
    for (int i = 0; i < ROOMS && status.code == FTC_OK; i++)
        status = ftc_memory_map(ROOM_BYTES, "what processes have updated", &g->rooms[i].memory);
    if (status.code == FTC_OK)
        *out = g;
    else
        ftc_gathering_free(g);
    return status;
}

void ftc_gathering_free(ftc_gathering *g) {
    if (!g) return;
    for (int i = 0; i < ROOMS; i++) {
        ftc_memory_unmap(&g->rooms[i].memory);
        free(g->rooms[i].list);
    }
    free(g->large);
    free(g->starts);
    free(g);
}

// Where the rows begin that a rank has made, in bytes.
static int64_t first_made(const ftc_gathering *g, const sliced *s, int32_t rank) {
    return ftc_slice_first((ftc_slice){rank, g->traffic->world->size}, s->rows) * s->row_bytes;
}

// Copies what a rank has made between the values and their place in the room.
static void move_made(const ftc_gathering *g, const room *r, int32_t rank, bool packs) {
    char *packed = r->memory.data + g->starts[rank] * 4;
    for (int32_t i = 0; i < r->n; i++) {
        const sliced *s = &r->list[i];
        int64_t first = first_made(g, s, rank);
        size_t bytes = (size_t)(first_made(g, s, rank + 1) - first);
        memcpy(packs ? packed : s->values + first, packs ? s->values + first : packed, bytes);
        packed += bytes;
    }
}

// Sets g->starts to where each rank's words begin in the room.
static void find_starts(ftc_gathering *g, const room *r) {
    for (int32_t rank = 0; rank < g->traffic->world->size; rank++) {
        g->starts[rank + 1] = g->starts[rank];
        for (int32_t i = 0; i < r->n; i++)
            g->starts[rank + 1] +=
                (first_made(g, &r->list[i], rank + 1) - first_made(g, &r->list[i], rank)) / 4;
    }
}

static void send(ftc_gathering *g, room *r) {
    find_starts(g, r);
    move_made(g, r, g->traffic->world->rank, true);
    r->transfer = ftc_traffic_share(g->traffic, r->memory.data, g->starts);
}

// Empties the room, once what it has is there.
static void empty(ftc_gathering *g, room *r) {
    if (!r->n) return;
    ftc_traffic_wait(g->traffic, &r->transfer);
    find_starts(g, r);
    for (int32_t rank = 0; rank < g->traffic->world->size; rank++)
        if (rank != g->traffic->world->rank) move_made(g, r, rank, false);
    r->n = 0;
    r->bytes = 0;
}

void ftc_gathering_send(ftc_gathering *g) {
    if (!g->rooms[g->filling].n) return;
    send(g, &g->rooms[g->filling]);
    g->filling = (g->filling + 1) % ROOMS;
    empty(g, &g->rooms[g->filling]);
}

static void send_large(ftc_gathering *g, const sliced *s) {
    for (int32_t rank = 0; rank < g->traffic->world->size; rank++)
        g->starts[rank + 1] = first_made(g, s, rank + 1) / 4;
    g->large = ftc_grow(g->large, &g->capacity, (size_t)g->n_large + 1, sizeof *g->large);
    g->large[g->n_large++] = (large){s->values, ftc_traffic_share(g->traffic, s->values, g->starts)};
}

void ftc_gathering_add(ftc_gathering *g, void *values, int64_t rows, int64_t row_bytes) {
    const sliced s = {values, rows, row_bytes};
    int64_t bytes = rows * row_bytes;
    if (!values) {
        ftc_gathering_send(g);
        ftc_gathering_await_all(g);
    } else if (bytes >= LARGE_BYTES) {
        send_large(g, &s);
    } else {
        if (g->rooms[g->filling].bytes + bytes > ROOM_BYTES) ftc_gathering_send(g);
        room *r = &g->rooms[g->filling];
        r->list = ftc_grow(r->list, &r->capacity, (size_t)r->n + 1, sizeof *r->list);
        r->list[r->n++] = s;
        r->bytes += bytes;
    }
}

void ftc_gathering_await(ftc_gathering *g, const void *values) {
    for (int i = 0; i < ROOMS; i++) {
        room *r = &g->rooms[i];
        bool has_it = false;
        for (int32_t k = 0; k < r->n; k++) has_it |= r->list[k].values == values;
        if (has_it)
            empty(g, r);
        else
            ftc_traffic_look(g->traffic, &r->transfer);
    }
    for (int32_t i = 0; i < g->n_large; i++) {
        if (g->large[i].values == values)
            ftc_traffic_wait(g->traffic, &g->large[i].transfer);
        else
            ftc_traffic_look(g->traffic, &g->large[i].transfer);
    }
}

void ftc_gathering_await_all(ftc_gathering *g) {
    for (int i = 0; i < ROOMS; i++) empty(g, &g->rooms[i]);
    for (int32_t i = 0; i < g->n_large; i++) ftc_traffic_wait(g->traffic, &g->large[i].transfer);
    g->n_large = g->filling = 0; // rooms that have been filled before take no more memory
}
