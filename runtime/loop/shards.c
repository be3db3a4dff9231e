#include "runtime/loop/shards.h"

#include "ir/base/alloc.h"
#include "ir/base/bf16.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HELD = 32 }; // subtrees of one process: one for each bit of a shard's number

// Values of the update up to so many bytes are brought together at once; each that has more by itself.
enum { GATHERED_BYTES = 4 << 20 };

// Such a value, of which each process has some rows.
typedef struct {
    char *values;
    int64_t rows, row_bytes;
} sliced;

// The accumulator of one parameter, and which of its rows are exchanged.
typedef struct {
    float *gradient; // [rows, width]
    int64_t rows, width;
    bool is_sliced;    // each process updates its own rows
    int32_t param, by; // indices of the parameter, and of the input that names rows; by -1: all rows
    uint8_t *is_named; // [rows]
    int64_t *named;    // [n_named] ascending
    int64_t n_named;
} part;

// The sum over the shards first … first + size - 1: packed, what is exchanged. First the rows that process 0
// owns of all sliced parts, then those of process 1, …; behind these the other parts.
typedef struct {
    int32_t first, size;
    float *values;
} subtree;

struct ftc_shards {
    ftc_model_state *state;
    const ftc_world *world;
    int32_t n;
    ftc_wire wire;
    part *parts;
    int32_t n_parts;
    bool is_named; // the lists `named` are made
    int64_t words; // of a packed gradient in this step
    ftc_memory blocks[MOST_HELD];
    subtree held[MOST_HELD]; // of this process, ascending; held[i] lies in blocks[i]
    int32_t n_held;
    // Over all processes:
    subtree *all, *sums; // [n_all] what they hold, ascending; room for adding that up
    int32_t *all_of;     // [size + 1] those of rank r begin at all_of[r]
    int32_t n_all;
    // [size + 1] where in a packed gradient begin: the rows that each rank owns of sliced parts; what each
    // rank adds up of the other parts.
    int64_t *owned, *common;
    int64_t *starts, *zeros; // [size + 1]
    ftc_memory received;
    // What goes to and comes from others where that is not what lies in memory; [size + 1] where each rank's
    // words begin in it.
    ftc_memory sending, receiving;
    int64_t *send_starts, *receive_starts;
    sliced *gathered; // [n_gathered] small values that are still to be brought together
    int32_t n_gathered;
    int64_t gathered_bytes;
    ftc_memory gathering; // [GATHERED_BYTES] room for that
    int64_t bytes_sent;
};

// --- the parts ----------------------------------------------------------------------------------------

static int32_t find_touched(const ftc_program *program, int32_t param) {
    for (int32_t i = 0; i < program->n_tensors; i++)
        if (program->tensors[i].role == FTC_ROLE_TOUCHED && program->tensors[i].of == param) return i;
    return -1;
}

static part make_part(const ftc_model_state *state, int32_t gradient) {
    const ftc_program *program = state->program;
    const ftc_tensor_info *info = &program->tensors[gradient];
    int32_t touched = find_touched(program, info->of);
    bool by_rows = touched >= 0 && state->tensors[touched], is_sliced = program->tensors[info->of].is_sliced;
    part p = {.gradient = state->tensors[gradient],
              .rows = by_rows || is_sliced ? info->dims[0] : 1,
              .is_sliced = is_sliced,
              .param = info->of,
              .by = by_rows ? program->tensors[touched].by : -1};
    p.width = ftc_tensor_elements(info) / p.rows;
    return p;
}

// The subtrees that a process holds which has these shards, without their values; their number.
static int32_t subtrees_of(int64_t first, int64_t end, subtree *list) {
    int32_t n = 0;
    int64_t size = 1;
    for (int64_t at = first; at < end; at += size, n++) {
        for (size = 1; at % (2 * size) == 0 && at + 2 * size <= end;) size *= 2;
        list[n] = (subtree){.first = (int32_t)at, .size = (int32_t)size};
    }
    return n;
}

static void make_parts(ftc_shards *shards) {
    const ftc_model_state *state = shards->state;
    shards->parts = ftc_alloc((size_t)state->program->n_tensors + 1, sizeof *shards->parts);
    for (int32_t i = 0; i < state->program->n_tensors; i++) {
        if (state->program->tensors[i].role != FTC_ROLE_GRADIENT) continue;
        part *p = &shards->parts[shards->n_parts++];
        *p = make_part(state, i);
        if (p->by < 0) continue;
        p->is_named = ftc_alloc((size_t)p->rows, sizeof *p->is_named);
        p->named = ftc_alloc((size_t)p->rows, sizeof *p->named);
    }
}

// The rows of a sliced part that a rank owns: from its first to before that of the next.
static int64_t first_owned(const ftc_shards *shards, const part *p, int32_t rank) {
    return ftc_slice_first((ftc_slice){rank, shards->world->size}, p->rows);
}

static void find_owned(ftc_shards *shards) {
    for (int32_t r = 0; r < shards->world->size; r++) {
        shards->owned[r + 1] = shards->owned[r];
        for (int32_t i = 0; i < shards->n_parts; i++) {
            const part *p = &shards->parts[i];
            int64_t rows = first_owned(shards, p, r + 1) - first_owned(shards, p, r);
            if (p->is_sliced) shards->owned[r + 1] += rows * p->width;
        }
    }
}

static void make_lists(ftc_shards *shards) {
    const ftc_world *world = shards->world;
    size_t ranks = (size_t)world->size + 1;
    shards->all = ftc_alloc((size_t)shards->n, sizeof *shards->all);
    shards->sums = ftc_alloc((size_t)shards->n, sizeof *shards->sums);
    shards->all_of = ftc_alloc(ranks, sizeof *shards->all_of);
    shards->owned = ftc_alloc(ranks, sizeof *shards->owned);
    shards->common = ftc_alloc(ranks, sizeof *shards->common);
    shards->starts = ftc_alloc(ranks, sizeof *shards->starts);
    shards->send_starts = ftc_alloc(ranks, sizeof *shards->send_starts);
    shards->receive_starts = ftc_alloc(ranks, sizeof *shards->receive_starts);
    shards->zeros = ftc_alloc(ranks, sizeof *shards->zeros);
    for (int32_t r = 0; r < world->size; r++) {
        int64_t first = ftc_world_first(world, r, shards->n), end = ftc_world_first(world, r + 1, shards->n);
        shards->n_all += subtrees_of(first, end, shards->all + shards->n_all);
        shards->all_of[r + 1] = shards->n_all;
    }
    find_owned(shards);
}

ftc_status ftc_shards_create(ftc_model_state *state, const ftc_world *world, int32_t n, ftc_wire wire,
                             ftc_shards **out) {
    if (world->size > 1 && ftc_program_parameters(state->program) > FTC_WORLD_MOST_WORDS) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s has more gradients than the %d words that processes exchange at "
                               "a time; train it in one process",
                               state->program->model, FTC_WORLD_MOST_WORDS);
    }
    ftc_shards *shards = ftc_alloc(1, sizeof *shards);
    *shards = (ftc_shards){.state = state, .world = world, .n = n, .wire = wire};
    make_parts(shards);
    make_lists(shards);
    ftc_status status = ftc_memory_map(GATHERED_BYTES, "what processes have updated", &shards->gathering);
    if (status.code == FTC_OK)
        *out = shards;
    else
        ftc_shards_free(shards);
    return status;
}

void ftc_shards_free(ftc_shards *shards) {
    if (!shards) return;
    for (int32_t i = 0; i < shards->n_parts; i++) {
        free(shards->parts[i].is_named);
        free(shards->parts[i].named);
    }
    for (int i = 0; i < MOST_HELD; i++) ftc_memory_unmap(&shards->blocks[i]);
    ftc_memory_unmap(&shards->received);
    ftc_memory_unmap(&shards->gathering);
    free(shards->gathered);
    free(shards->parts);
    free(shards->all);
    free(shards->sums);
    free(shards->all_of);
    free(shards->owned);
    free(shards->common);
    ftc_memory_unmap(&shards->sending);
    ftc_memory_unmap(&shards->receiving);
    free(shards->send_starts);
    free(shards->receive_starts);
    free(shards->starts);
    free(shards->zeros);
    free(shards);
}

void ftc_shards_begin(ftc_shards *shards) {
    for (int32_t i = 0; i < shards->n_parts; i++) {
        part *p = &shards->parts[i];
        for (int64_t k = 0; k < p->n_named; k++) p->is_named[p->named[k]] = 0;
        p->n_named = 0;
    }
    shards->n_held = 0;
    shards->is_named = false;
}

void ftc_shards_name(ftc_shards *shards, const ftc_batch *batch) {
    for (int32_t i = 0; i < shards->n_parts; i++) {
        part *p = &shards->parts[i];
        if (p->by < 0) continue;
        const int32_t *rows = batch->inputs[p->by];
        int64_t n = ftc_batch_cells(batch, p->by);
        for (int64_t k = 0; k < n; k++) p->is_named[rows[k]] = 1;
    }
}

// The lists of named rows, and how long a packed gradient therefore is.
static void list_named(ftc_shards *shards) {
    const ftc_world *world = shards->world;
    int64_t words = 0; // of what no process owns
    for (int32_t i = 0; i < shards->n_parts; i++) {
        part *p = &shards->parts[i];
        for (int64_t row = 0; p->by >= 0 && row < p->rows; row++)
            if (p->is_named[row]) p->named[p->n_named++] = row;
        if (!p->is_sliced) words += (p->by < 0 ? p->rows : p->n_named) * p->width;
    }
    for (int32_t r = 0; r <= world->size; r++)
        shards->common[r] = shards->owned[world->size] + ftc_world_first(world, r, words);
    shards->words = shards->common[world->size];
    shards->is_named = true;
}

typedef void move_fn(float *packed, float *gradient, int64_t n);

// Calls `move` for each stretch of the accumulators that a rank owns, with its place in a packed gradient.
static void each_owned(const ftc_shards *shards, int32_t rank, float *packed, move_fn *move) {
    packed += shards->owned[rank];
    for (int32_t i = 0; i < shards->n_parts; i++) {
        const part *p = &shards->parts[i];
        if (!p->is_sliced) continue;
        int64_t first = first_owned(shards, p, rank), n = first_owned(shards, p, rank + 1) - first;
        move(packed, p->gradient + first * p->width, n * p->width);
        packed += n * p->width;
    }
}

// The same for what is exchanged and no rank owns.
static void each_common(const ftc_shards *shards, float *packed, move_fn *move) {
    packed += shards->common[0];
    for (int32_t i = 0; i < shards->n_parts; i++) {
        const part *p = &shards->parts[i];
        int64_t n = p->is_sliced ? 0 : p->by < 0 ? p->rows : p->n_named;
        for (int64_t k = 0; k < n; k++, packed += p->width)
            move(packed, p->gradient + (p->by < 0 ? k : p->named[k]) * p->width, p->width);
    }
}

static void pack(float *packed, float *gradient, int64_t n) {
    memcpy(packed, gradient, (size_t)n * sizeof *packed);
    memset(gradient, 0, (size_t)n * sizeof *gradient);
}

static void unpack(float *packed, float *gradient, int64_t n) {
    memcpy(gradient, packed, (size_t)n * sizeof *packed);
}

// --- the tree -----------------------------------------------------------------------------------------

// Adds the last of the list to the one before it.
static void merge_last(subtree *list, int32_t *n, int64_t words) {
    subtree *left = &list[*n - 2];
    const subtree *right = &list[*n - 1];
    for (int64_t i = 0; i < words; i++) left->values[i] += right->values[i];
    left->size *= 2; // also where the right one ends early, with the last shard
    --*n;
}

// Appends a subtree, and adds those up that are the two halves of one.
static void push(subtree *list, int32_t *n, subtree next, int64_t words) {
    list[(*n)++] = next;
    while (*n > 1) {
        const subtree *left = &list[*n - 2], *right = &list[*n - 1];
        if (left->size != right->size || left->first & left->size) return;
        merge_last(list, n, words);
    }
}

// A block of at least so many bytes, whose contents may be lost.
static ftc_status reserve(ftc_memory *block, int64_t words) {
    size_t bytes = (size_t)words * sizeof(float);
    if (block->data && block->bytes >= bytes) return FTC_STATUS_OK;
    ftc_memory_unmap(block);
    return ftc_memory_map(bytes + bytes / 4, "the gradients of shards", block); // the next step has more rows
}

ftc_status ftc_shards_take(ftc_shards *shards, int32_t shard) {
    if (!shards->is_named) list_named(shards);
    ftc_memory *block = &shards->blocks[shards->n_held];
    FTC_RETURN_IF_ERROR(reserve(block, shards->words));
    for (int32_t r = 0; r < shards->world->size; r++) each_owned(shards, r, (float *)block->data, pack);
    each_common(shards, (float *)block->data, pack);
    push(shards->held, &shards->n_held, (subtree){shard, 1, (float *)block->data}, shards->words);
    return FTC_STATUS_OK;
}

// --- the exchange -------------------------------------------------------------------------------------

static void narrow(const float *values, int64_t n, uint16_t *halves) {
    for (int64_t i = 0; i < n; i++) halves[i] = ftc_bf16_of(values[i]);
}

static void widen(const uint16_t *halves, int64_t n, float *values) {
    for (int64_t i = 0; i < n; i++) values[i] = ftc_bf16_value(halves[i]);
}

// As ftc_world.exchange, by halves: two in a word.
static ftc_status exchange_bf16(ftc_shards *shards, const float *send, const int64_t *slices, float *receive,
                                const int64_t *starts) {
    const ftc_world *world = shards->world;
    int64_t *from = shards->send_starts, *to = shards->receive_starts;
    for (int32_t r = 0; r < world->size; r++) {
        from[r + 1] = from[r] + (slices[r + 1] - slices[r] + 1) / 2;
        to[r + 1] = to[r] + (starts[r + 1] - starts[r] + 1) / 2;
    }
    FTC_RETURN_IF_ERROR(reserve(&shards->sending, from[world->size] + 1));
    FTC_RETURN_IF_ERROR(reserve(&shards->receiving, to[world->size] + 1));
    float *sent = (float *)shards->sending.data, *received = (float *)shards->receiving.data;
    for (int32_t r = 0; r < world->size && send; r++)
        narrow(send + slices[r], slices[r + 1] - slices[r], (uint16_t *)(sent + from[r]));
    world->exchange(sent, from, received, to);
    for (int32_t r = 0; r < world->size; r++)
        widen((const uint16_t *)(received + to[r]), starts[r + 1] - starts[r], receive + starts[r]);
    return FTC_STATUS_OK;
}

// Sends each rank its slice of a packed gradient (NULL: sends nothing, the slices being empty), and receives.
static ftc_status exchange(ftc_shards *shards, const float *packed, const int64_t *slices, float *receive,
                           const int64_t *starts) {
    const ftc_world *world = shards->world;
    bool is_bf16 = shards->wire == FTC_WIRE_BF16;
    int64_t all = slices[world->size] - slices[0], own = slices[world->rank + 1] - slices[world->rank];
    shards->bytes_sent += (all - own) * (is_bf16 ? 2 : 4);
    if (is_bf16) return exchange_bf16(shards, packed, slices, receive, starts);
    world->exchange(packed, slices, receive, starts);
    return FTC_STATUS_OK;
}

// Brings slice r of every subtree, what lies from slices[r] to slices[r + 1], to rank r: into received,
// subtree after subtree; all[i].values points there. Round j brings the j-th subtree of each rank.
static ftc_status exchange_slices(ftc_shards *shards, const int64_t *slices) {
    const ftc_world *world = shards->world;
    int64_t slice = slices[world->rank + 1] - slices[world->rank], *starts = shards->starts;
    FTC_RETURN_IF_ERROR(reserve(&shards->received, shards->n_all * slice + 1));
    float *at = (float *)shards->received.data;
    for (int32_t round = 0, left = shards->n_all; left > 0; round++) {
        for (int32_t r = 0; r < world->size; r++) {
            int32_t i = shards->all_of[r] + round;
            bool has_one = i < shards->all_of[r + 1];
            starts[r + 1] = starts[r] + (has_one ? slice : 0);
            if (has_one) shards->all[i].values = at + starts[r];
            left -= has_one;
        }
        bool sends = round < shards->n_held;
        FTC_RETURN_IF_ERROR(exchange(shards, sends ? shards->held[round].values : NULL,
                                     sends ? slices : shards->zeros, at, starts));
        at += starts[world->size];
    }
    return FTC_STATUS_OK;
}

// Adds this rank's slices of all subtrees up, into the first that it holds.
static ftc_status sum_slices(ftc_shards *shards, const int64_t *slices) {
    const ftc_world *world = shards->world;
    if (slices[world->size] == slices[0]) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(exchange_slices(shards, slices));
    int64_t first = slices[world->rank], slice = slices[world->rank + 1] - first;
    int32_t n = 0;
    for (int32_t i = 0; i < shards->n_all; i++) push(shards->sums, &n, shards->all[i], slice);
    while (n > 1) merge_last(shards->sums, &n, slice);
    if (slice) memcpy(shards->held[0].values + first, shards->sums[0].values, (size_t)slice * sizeof(float));
    return FTC_STATUS_OK;
}

static ftc_status sum_over_ranks(ftc_shards *shards) {
    const ftc_world *world = shards->world;
    FTC_RETURN_IF_ERROR(sum_slices(shards, shards->owned));
    FTC_RETURN_IF_ERROR(sum_slices(shards, shards->common));
    world->share(shards->held[0].values, shards->common);
    int64_t slice = shards->common[world->rank + 1] - shards->common[world->rank];
    shards->bytes_sent += slice * (world->size - 1) * (int64_t)sizeof(float);
    return FTC_STATUS_OK;
}

ftc_status ftc_shards_finish(ftc_shards *shards) {
    if (shards->world->size > 1) {
        FTC_RETURN_IF_ERROR(sum_over_ranks(shards));
    } else {
        while (shards->n_held > 1) merge_last(shards->held, &shards->n_held, shards->words);
    }
    each_owned(shards, shards->world->rank, shards->held[0].values, unpack);
    each_common(shards, shards->held[0].values, unpack);
    for (int32_t i = 0; i < shards->n_parts; i++) {
        const part *p = &shards->parts[i];
        if (p->by >= 0) ftc_embeddings_touch(shards->state->tables, p->param, p->named, p->n_named);
    }
    return FTC_STATUS_OK;
}

// --- the update ---------------------------------------------------------------------------------------

// The bytes of a value that a rank has made.
static int64_t made_bytes(const ftc_shards *shards, const sliced *s, int32_t rank) {
    ftc_slice slice = {rank, shards->world->size};
    return (ftc_slice_end(slice, s->rows) - ftc_slice_first(slice, s->rows)) * s->row_bytes;
}

// Copies what a rank has made of the small values between them and their place in `packed`, one after the
// other; gives the end of these.
static char *move_gathered(const ftc_shards *shards, int32_t rank, char *packed, bool packs) {
    for (int32_t i = 0; i < shards->n_gathered; i++) {
        const sliced *s = &shards->gathered[i];
        char *values =
            s->values + ftc_slice_first((ftc_slice){rank, shards->world->size}, s->rows) * s->row_bytes;
        size_t bytes = (size_t)made_bytes(shards, s, rank);
        memcpy(packs ? packed : values, packs ? values : packed, bytes);
        packed += bytes;
    }
    return packed;
}

static void bring_gathered(ftc_shards *shards) {
    const ftc_world *world = shards->world;
    if (!shards->n_gathered) return;
    int64_t *starts = shards->starts;
    for (int32_t r = 0; r < world->size; r++) {
        starts[r + 1] = starts[r];
        for (int32_t i = 0; i < shards->n_gathered; i++)
            starts[r + 1] += made_bytes(shards, &shards->gathered[i], r) / (int64_t)sizeof(float);
    }
    float *packed = (float *)shards->gathering.data;
    move_gathered(shards, world->rank, (char *)(packed + starts[world->rank]), true);
    world->share(packed, starts);
    char *at = (char *)packed;
    for (int32_t r = 0; r < world->size; r++) at = move_gathered(shards, r, at, false);
    shards->n_gathered = 0;
    shards->gathered_bytes = 0;
}

void ftc_shards_gather(void *context, void *values, int64_t rows, int64_t row_bytes) {
    ftc_shards *shards = context;
    const ftc_world *world = shards->world;
    const sliced s = {values, rows, row_bytes};
    int64_t bytes = rows * row_bytes;
    if (!values || shards->gathered_bytes + bytes > GATHERED_BYTES) bring_gathered(shards);
    if (!values) return;
    shards->bytes_sent += made_bytes(shards, &s, world->rank) * (world->size - 1);
    if (bytes > GATHERED_BYTES) {
        ftc_world_share(world, values, rows, (size_t)row_bytes);
        return;
    }
    shards->gathered =
        ftc_realloc(shards->gathered, (size_t)shards->n_gathered + 1, sizeof *shards->gathered);
    shards->gathered[shards->n_gathered++] = s;
    shards->gathered_bytes += bytes;
}

int64_t ftc_shards_bytes_sent(const ftc_shards *shards) {
    return shards->bytes_sent;
}
