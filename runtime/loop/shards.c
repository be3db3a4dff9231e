#include "runtime/loop/shards.h"

#include "ir/base/alloc.h"
#include "ir/base/bf16.h"
#include "runtime/loop/gather.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HELD = 32 }; // subtrees of one process: one for each bit of a shard's number

// Parts are exchanged once they have so many words together, or this part of the words of all.
enum { CHUNK_WORDS = 1 << 20, CHUNK_PART = 8 };

// The accumulator of one parameter, and which of its rows are exchanged.
typedef struct {
    float *gradient; // [rows, width]
    int64_t rows, width;
    bool is_sliced;    // each process updates its own rows
    int32_t param, by; // indices of the parameter, and of the input that names rows; by -1: all rows
    uint8_t *is_named; // [rows]
    int64_t *named;    // [n_named] ascending
    int64_t n_named;
    bool is_complete; // has all that this process' last call of the step adds
} part;

// The sum over the shards first … first + size - 1: packed, what is exchanged, chunk after chunk.
typedef struct {
    int32_t first, size;
    float *values;
} subtree;

// Parts that are exchanged at once: all of them sliced, or none.
typedef struct {
    int32_t *parts; // [n_parts]
    int32_t n_parts;
    bool is_sliced;
    int64_t *starts; // [size + 1] where in a packed gradient begins what each rank owns, or else adds up
    float *received; // others' subtrees of that, by rounds
    // With FTC_WIRE_BF16 what goes to and comes from others, two halves in a word.
    float *sent_halves, *received_halves;
    ftc_transfer **rounds; // [n_rounds]
    ftc_transfer *sums;    // of what no process owns
} chunk;

struct ftc_shards {
    ftc_model_state *state;
    const ftc_world *world;
    int32_t n;
    ftc_wire wire;
    part *parts;
    int32_t n_parts;
    int32_t *part_of; // [n_tensors] of accumulators
    // The parts in the order in which the first process has seen them become complete, which all learn after
    // the first step.
    int32_t *sequence; // [n_parts]
    int32_t n_seen;
    bool *is_seen; // [n_parts]
    bool is_learned;
    chunk *chunks; // [n_chunks] in the order in which all processes begin them
    int32_t n_chunks, n_begun;
    int32_t *members;      // [n_parts] their parts
    int64_t *chunk_starts; // [n_chunks, size + 1]
    ftc_transfer **rounds; // [n_chunks, n_rounds]
    int32_t n_rounds;      // the most subtrees that a process holds
    bool is_laid_out;      // the lists `named` are made, and places in packed gradients known
    bool is_last;          // the call to come, or under way, is this process' last one of the step
    int64_t words;         // of a packed gradient in this step
    ftc_memory blocks[MOST_HELD];
    subtree held[MOST_HELD]; // of this process, ascending; held[i] lies in blocks[i]
    int32_t n_held;
    // Over all processes:
    subtree *all, *sums; // [n_all] what they hold, ascending; room for adding that up
    int32_t *all_of;     // [size + 1] those of rank r begin at all_of[r]
    int32_t n_all;
    int64_t *starts, *zeros; // [size + 1]
    ftc_memory received, sent_halves, received_halves;
    int64_t *send_starts, *receive_starts; // [size + 1]
    ftc_traffic traffic;
    ftc_gathering *gathering;
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
    shards->part_of = ftc_alloc((size_t)state->program->n_tensors + 1, sizeof *shards->part_of);
    for (int32_t i = 0; i < state->program->n_tensors; i++) {
        if (state->program->tensors[i].role != FTC_ROLE_GRADIENT) continue;
        shards->part_of[i] = shards->n_parts;
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

// --- chunks -------------------------------------------------------------------------------------------

// Appends a chunk of these parts.
static void add_chunk(ftc_shards *shards, const int32_t *parts, int32_t n, bool is_sliced) {
    int32_t i = shards->n_chunks++;
    int32_t *members = i ? shards->chunks[i - 1].parts + shards->chunks[i - 1].n_parts : shards->members;
    memcpy(members, parts, (size_t)n * sizeof *parts);
    shards->chunks[i] = (chunk){.parts = members,
                                .n_parts = n,
                                .is_sliced = is_sliced,
                                .starts = shards->chunk_starts + i * (shards->world->size + 1),
                                .rounds = shards->rounds + i * shards->n_rounds};
}

// Cuts the parts, in their sequence, into chunks: of those that are sliced and of the others.
static void make_chunks(ftc_shards *shards) {
    int32_t n = shards->n_parts, n_open[2] = {0};
    int32_t *open[2] = {ftc_alloc((size_t)n, sizeof **open), ftc_alloc((size_t)n, sizeof **open)};
    int64_t words[2] = {0}, enough[2] = {0};
    for (int32_t i = 0; i < n; i++)
        enough[shards->parts[i].is_sliced] += shards->parts[i].rows * shards->parts[i].width;
    for (int k = 0; k < 2; k++)
        enough[k] = enough[k] / CHUNK_PART < CHUNK_WORDS ? enough[k] / CHUNK_PART : CHUNK_WORDS;
    shards->n_chunks = 0;
    for (int32_t i = 0; i < n; i++) {
        const part *p = &shards->parts[shards->sequence[i]];
        int k = p->is_sliced;
        open[k][n_open[k]++] = shards->sequence[i];
        words[k] += p->rows * p->width;
        if (words[k] < enough[k]) continue;
        add_chunk(shards, open[k], n_open[k], k);
        words[k] = n_open[k] = 0;
    }
    for (int k = 1; k >= 0; k--)
        if (n_open[k]) add_chunk(shards, open[k], n_open[k], k);
    for (int k = 0; k < 2; k++) free(open[k]);
}

static void make_lists(ftc_shards *shards) {
    const ftc_world *world = shards->world;
    size_t ranks = (size_t)world->size + 1, n_parts = (size_t)shards->n_parts;
    shards->all = ftc_alloc((size_t)shards->n, sizeof *shards->all);
    shards->sums = ftc_alloc((size_t)shards->n, sizeof *shards->sums);
    shards->all_of = ftc_alloc(ranks, sizeof *shards->all_of);
    shards->starts = ftc_alloc(ranks, sizeof *shards->starts);
    shards->send_starts = ftc_alloc(ranks, sizeof *shards->send_starts);
    shards->receive_starts = ftc_alloc(ranks, sizeof *shards->receive_starts);
    shards->zeros = ftc_alloc(ranks, sizeof *shards->zeros);
    for (int32_t r = 0; r < world->size; r++) {
        int64_t first = ftc_world_first(world, r, shards->n), end = ftc_world_first(world, r + 1, shards->n);
        int32_t n = subtrees_of(first, end, shards->all + shards->n_all);
        shards->n_all += n;
        shards->all_of[r + 1] = shards->n_all;
        if (n > shards->n_rounds) shards->n_rounds = n;
    }
    shards->chunks = ftc_alloc(n_parts, sizeof *shards->chunks);
    shards->members = ftc_alloc(n_parts, sizeof *shards->members);
    shards->chunk_starts = ftc_alloc(n_parts * ranks, sizeof *shards->chunk_starts);
    shards->rounds = ftc_alloc(n_parts * (size_t)shards->n_rounds, sizeof(ftc_transfer *));
    shards->is_seen = ftc_alloc(n_parts, sizeof *shards->is_seen);
    shards->sequence = ftc_alloc(n_parts, sizeof *shards->sequence);
    for (int32_t i = 0; i < shards->n_parts; i++) shards->sequence[i] = i;
    make_chunks(shards);
}

// All processes take the order over in which the first one has seen gradients become complete.
static void learn_sequence(ftc_shards *shards) {
    for (int32_t i = 0; i < shards->n_parts; i++)
        if (!shards->is_seen[i]) shards->sequence[shards->n_seen++] = i;
    for (int32_t r = 0; r < shards->world->size; r++) shards->starts[r + 1] = shards->n_parts;
    shards->world->share(shards->sequence, shards->starts);
    shards->is_learned = true;
    make_chunks(shards);
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
    *shards = (ftc_shards){.state = state, .world = world, .n = n, .wire = wire, .traffic = {.world = world}};
    make_parts(shards);
    make_lists(shards);
    ftc_status status = ftc_gathering_create(&shards->traffic, &shards->gathering);
    if (status.code != FTC_OK) {
        ftc_shards_free(shards);
        return status;
    }
    state->arriving = shards->gathering;
    *out = shards;
    return FTC_STATUS_OK;
}

void ftc_shards_free(ftc_shards *shards) {
    if (!shards) return;
    shards->state->arriving = NULL;
    if (shards->traffic.under_way)
        return; // of a process that fails in the middle of a step, others still read
    for (int32_t i = 0; i < shards->n_parts; i++) {
        free(shards->parts[i].is_named);
        free(shards->parts[i].named);
    }
    for (int i = 0; i < MOST_HELD; i++) ftc_memory_unmap(&shards->blocks[i]);
    ftc_memory_unmap(&shards->received);
    ftc_memory_unmap(&shards->sent_halves);
    ftc_memory_unmap(&shards->received_halves);
    ftc_gathering_free(shards->gathering);
    free(shards->parts);
    free(shards->part_of);
    free(shards->sequence);
    free(shards->is_seen);
    free(shards->chunks);
    free(shards->members);
    free(shards->chunk_starts);
    free(shards->rounds);
    free(shards->all);
    free(shards->sums);
    free(shards->all_of);
    free(shards->starts);
    free(shards->send_starts);
    free(shards->receive_starts);
    free(shards->zeros);
    free(shards);
}

void ftc_shards_begin(ftc_shards *shards) {
    for (int32_t i = 0; i < shards->n_parts; i++) {
        part *p = &shards->parts[i];
        for (int64_t k = 0; k < p->n_named; k++) p->is_named[p->named[k]] = 0;
        p->n_named = 0;
        p->is_complete = false;
    }
    shards->n_held = shards->n_begun = 0;
    shards->is_laid_out = shards->is_last = false;
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

static int64_t words_of(const part *p) {
    return (p->by < 0 ? p->rows : p->n_named) * p->width;
}

// The words of a chunk that this process adds up.
static int64_t own_words(const ftc_shards *shards, const chunk *c) {
    return c->starts[shards->world->rank + 1] - c->starts[shards->world->rank];
}

// Where the chunk lies in a packed gradient, from `at` on: sliced parts by their owners; the end.
static int64_t lay_out_chunk(const ftc_shards *shards, const chunk *c, int64_t at) {
    const ftc_world *world = shards->world;
    int64_t words = 0;
    for (int32_t i = 0; i < c->n_parts; i++) words += words_of(&shards->parts[c->parts[i]]);
    for (int32_t r = 0; r <= world->size; r++) {
        c->starts[r] = at + (c->is_sliced ? 0 : ftc_world_first(world, r, words));
        for (int32_t i = 0; i < c->n_parts && c->is_sliced; i++) {
            const part *p = &shards->parts[c->parts[i]];
            c->starts[r] += first_owned(shards, p, r) * p->width;
        }
    }
    return at + words;
}

// A block of at least so many bytes, whose contents may be lost.
static ftc_status reserve(ftc_memory *block, int64_t words) {
    size_t bytes = (size_t)words * sizeof(float);
    if (block->data && block->bytes >= bytes) return FTC_STATUS_OK;
    ftc_memory_unmap(block);
    return ftc_memory_map(bytes + bytes / 4, "the gradients of shards", block); // the next step has more rows
}

// Finds room for what chunks send and receive.
static ftc_status make_room(ftc_shards *shards) {
    const ftc_world *world = shards->world;
    int64_t held = shards->all_of[world->rank + 1] - shards->all_of[world->rank],
            others = shards->n_all - held;
    for (int pass = 0; pass < 2; pass++) { // first sizes, then addresses
        float *received = (float *)shards->received.data, *sent = (float *)shards->sent_halves.data,
              *halves = (float *)shards->received_halves.data;
        int64_t n_received = 1, n_sent = 1, n_halves = 1;
        for (int32_t i = 0; i < shards->n_chunks; i++) {
            chunk *c = &shards->chunks[i];
            int64_t own = own_words(shards, c), words = c->starts[world->size] - c->starts[0];
            if (pass) c->received = received + n_received;
            n_received += others * own;
            if (shards->wire != FTC_WIRE_BF16) continue;
            if (pass) c->sent_halves = sent + n_sent;
            if (pass) c->received_halves = halves + n_halves;
            n_sent += held * (words / 2 + world->size);
            n_halves += others * (own / 2 + 1);
        }
        if (pass) break;
        FTC_RETURN_IF_ERROR(reserve(&shards->received, n_received));
        FTC_RETURN_IF_ERROR(reserve(&shards->sent_halves, n_sent));
        FTC_RETURN_IF_ERROR(reserve(&shards->received_halves, n_halves));
    }
    return FTC_STATUS_OK;
}

// Lists the named rows, and thereby how long a packed gradient is; finds room for the next shard's.
static ftc_status lay_out(ftc_shards *shards) {
    if (!shards->is_laid_out) {
        for (int32_t i = 0; i < shards->n_parts; i++) {
            part *p = &shards->parts[i];
            for (int64_t row = 0; p->by >= 0 && row < p->rows; row++)
                if (p->is_named[row]) p->named[p->n_named++] = row;
        }
        shards->words = 0;
        for (int32_t i = 0; i < shards->n_chunks; i++)
            shards->words = lay_out_chunk(shards, &shards->chunks[i], shards->words);
        if (shards->world->size > 1) FTC_RETURN_IF_ERROR(make_room(shards));
        shards->is_laid_out = true;
    }
    return reserve(&shards->blocks[shards->n_held], shards->words);
}

typedef void move_fn(float *packed, float *gradient, int64_t n);

// Calls `move` for each stretch of the accumulators that a rank owns of a chunk of sliced parts, with its
// place in a packed gradient.
static void each_owned(const ftc_shards *shards, const chunk *c, int32_t rank, float *packed, move_fn *move) {
    packed += c->starts[rank];
    for (int32_t i = 0; i < c->n_parts; i++) {
        const part *p = &shards->parts[c->parts[i]];
        int64_t first = first_owned(shards, p, rank), n = first_owned(shards, p, rank + 1) - first;
        move(packed, p->gradient + first * p->width, n * p->width);
        packed += n * p->width;
    }
}

// The same for all of what is exchanged of a chunk.
static void each_stretch(const ftc_shards *shards, const chunk *c, float *packed, move_fn *move) {
    for (int32_t r = 0; r < shards->world->size && c->is_sliced; r++) each_owned(shards, c, r, packed, move);
    packed += c->starts[0];
    for (int32_t i = 0; i < c->n_parts && !c->is_sliced; i++) {
        const part *p = &shards->parts[c->parts[i]];
        int64_t n = p->by < 0 ? p->rows : p->n_named;
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

// Moves a chunk of a shard's gradient out of the accumulators, and adds to it what is held.
static void take_chunk(ftc_shards *shards, const chunk *c, int32_t shard) {
    float *block = (float *)shards->blocks[shards->n_held].data;
    int64_t first = c->starts[0], words = c->starts[shards->world->size] - first;
    subtree list[MOST_HELD];
    int32_t n = shards->n_held;
    each_stretch(shards, c, block, pack);
    for (int32_t i = 0; i < n; i++)
        list[i] = (subtree){shards->held[i].first, shards->held[i].size, shards->held[i].values + first};
    push(list, &n, (subtree){shard, 1, block + first}, words);
}

// --- the exchange -------------------------------------------------------------------------------------

static void narrow(const float *values, int64_t n, uint16_t *halves) {
    for (int64_t i = 0; i < n; i++) halves[i] = ftc_bf16_of(values[i]);
}

static void widen(const uint16_t *halves, int64_t n, float *values) {
    for (int64_t i = 0; i < n; i++) values[i] = ftc_bf16_value(halves[i]);
}

// Sends each other rank its slice of a packed gradient by halves, and receives others' of shards->starts.
// *sent and *received move on to where the next round's are.
static ftc_transfer *exchange_bf16(ftc_shards *shards, const float *packed, const int64_t *slices,
                                   float **sent, float **received) {
    const ftc_world *world = shards->world;
    int64_t *from = shards->send_starts, *to = shards->receive_starts;
    for (int32_t r = 0; r < world->size; r++) {
        int64_t n = r == world->rank ? 0 : slices[r + 1] - slices[r];
        from[r + 1] = from[r] + (n + 1) / 2;
        to[r + 1] = to[r] + (shards->starts[r + 1] - shards->starts[r] + 1) / 2;
        if (n) narrow(packed + slices[r], n, (uint16_t *)(*sent + from[r]));
    }
    ftc_transfer *transfer = ftc_traffic_exchange(&shards->traffic, *sent, from, *received, to);
    *sent += from[world->size];
    *received += to[world->size];
    return transfer;
}

static void widen_round(const ftc_shards *shards, const float **halves, float *at) {
    for (int32_t r = 0; r < shards->world->size; r++) {
        int64_t n = shards->starts[r + 1] - shards->starts[r];
        widen((const uint16_t *)*halves, n, at + shards->starts[r]);
        *halves += (n + 1) / 2;
    }
}

// Round j brings each rank's slice of the j-th subtree of each other. Sets shards->starts to where they come
// in, behind `at`, and the values of shards->all; the end of that.
static float *place_round(ftc_shards *shards, const chunk *c, int32_t round, float *at) {
    const ftc_world *world = shards->world;
    int64_t own = own_words(shards, c), *starts = shards->starts;
    for (int32_t r = 0; r < world->size; r++) {
        int32_t i = shards->all_of[r] + round;
        bool has_one = i < shards->all_of[r + 1], is_own = r == world->rank;
        starts[r + 1] = starts[r] + (has_one && !is_own ? own : 0);
        if (has_one)
            shards->all[i].values =
                is_own ? (float *)shards->blocks[round].data + c->starts[r] : at + starts[r];
    }
    return at + starts[world->size];
}

static void begin_chunk(ftc_shards *shards, chunk *c) {
    const ftc_world *world = shards->world;
    int32_t held = shards->all_of[world->rank + 1] - shards->all_of[world->rank];
    float *at = c->received, *sent = c->sent_halves, *received = c->received_halves;
    for (int32_t round = 0; round < shards->n_rounds; round++) {
        float *next = place_round(shards, c, round, at);
        const float *packed = (const float *)shards->blocks[round].data;
        const int64_t *slices = round < held ? c->starts : shards->zeros;
        c->rounds[round] = shards->wire == FTC_WIRE_BF16
                               ? exchange_bf16(shards, packed, slices, &sent, &received)
                               : ftc_traffic_exchange(&shards->traffic, packed, slices, at, shards->starts);
        at = next;
    }
}

// Begins what can be: all processes begin the same chunks, in the same order.
static void begin_complete(ftc_shards *shards, int32_t shard) {
    for (; shards->n_begun < shards->n_chunks; shards->n_begun++) {
        chunk *c = &shards->chunks[shards->n_begun];
        for (int32_t i = 0; i < c->n_parts; i++)
            if (!shards->parts[c->parts[i]].is_complete) return;
        take_chunk(shards, c, shard);
        if (shards->world->size > 1) begin_chunk(shards, c);
    }
}

// Looks after what is under way.
static void look(ftc_shards *shards) {
    for (int32_t i = 0; i < shards->n_begun; i++)
        for (int32_t round = 0; round < shards->n_rounds; round++)
            if (shards->chunks[i].rounds[round]) {
                ftc_traffic_look(&shards->traffic, &shards->chunks[i].rounds[round]);
                return;
            }
}

// The last shard of this process.
static int32_t last_shard(const ftc_shards *shards) {
    return (int32_t)ftc_world_first(shards->world, shards->world->rank + 1, shards->n) - 1;
}

ftc_status ftc_shards_expect(ftc_shards *shards, int32_t shard) {
    if (shard != last_shard(shards)) return FTC_STATUS_OK;
    shards->is_last = true;
    return lay_out(shards);
}

void ftc_shards_ready(void *context, int32_t tensor) {
    ftc_shards *shards = context;
    int32_t i = shards->part_of[tensor];
    if (!shards->is_learned && !shards->is_seen[i]) {
        shards->is_seen[i] = true;
        shards->sequence[shards->n_seen++] = i;
    }
    if (!shards->is_last) return;
    shards->parts[i].is_complete = true;
    begin_complete(shards, last_shard(shards));
    look(shards);
}

ftc_status ftc_shards_take(ftc_shards *shards, int32_t shard) {
    FTC_RETURN_IF_ERROR(lay_out(shards));
    if (shard == last_shard(shards)) {
        for (int32_t i = 0; i < shards->n_parts; i++) shards->parts[i].is_complete = true;
        begin_complete(shards, shard);
    } else {
        for (int32_t i = 0; i < shards->n_chunks; i++) take_chunk(shards, &shards->chunks[i], shard);
    }
    // Their chunks have been added up.
    float *block = (float *)shards->blocks[shards->n_held].data;
    push(shards->held, &shards->n_held, (subtree){shard, 1, block}, 0);
    return FTC_STATUS_OK;
}

// Adds this rank's slices of all subtrees of a chunk up, once they are there.
static void sum_chunk(ftc_shards *shards, chunk *c) {
    const ftc_world *world = shards->world;
    float *at = c->received;
    const float *halves = c->received_halves;
    for (int32_t round = 0; round < shards->n_rounds; round++) {
        ftc_traffic_wait(&shards->traffic, &c->rounds[round]);
        float *next = place_round(shards, c, round, at);
        if (shards->wire == FTC_WIRE_BF16) widen_round(shards, &halves, at);
        at = next;
    }
    int64_t own = own_words(shards, c);
    int32_t n = 0;
    for (int32_t i = 0; i < shards->n_all; i++) push(shards->sums, &n, shards->all[i], own);
    while (n > 1) merge_last(shards->sums, &n, own);
    float *packed = (float *)shards->blocks[0].data, *sum = packed + c->starts[world->rank];
    if (sum != shards->sums[0].values) memcpy(sum, shards->sums[0].values, (size_t)own * sizeof *sum);
    if (c->is_sliced)
        each_owned(shards, c, world->rank, packed, unpack);
    else
        c->sums = ftc_traffic_share(&shards->traffic, packed, c->starts);
}

static void sum_over_ranks(ftc_shards *shards) {
    for (int32_t i = 0; i < shards->n_chunks; i++) sum_chunk(shards, &shards->chunks[i]);
    for (int32_t i = 0; i < shards->n_chunks; i++) {
        chunk *c = &shards->chunks[i];
        if (c->is_sliced) continue;
        ftc_traffic_wait(&shards->traffic, &c->sums);
        each_stretch(shards, c, (float *)shards->blocks[0].data, unpack);
    }
}

void ftc_shards_finish(ftc_shards *shards) {
    if (shards->world->size > 1) {
        sum_over_ranks(shards);
    } else {
        while (shards->n_held > 1) merge_last(shards->held, &shards->n_held, shards->words);
        for (int32_t i = 0; i < shards->n_chunks; i++)
            each_stretch(shards, &shards->chunks[i], shards->held[0].values, unpack);
    }
    for (int32_t i = 0; i < shards->n_parts; i++) {
        const part *p = &shards->parts[i];
        if (p->by >= 0) ftc_embeddings_touch(shards->state->tables, p->param, p->named, p->n_named);
    }
    if (!shards->is_learned) learn_sequence(shards);
    ftc_shards_settle(shards); // what the update is about to replace must have been sent
}

void ftc_shards_gather(void *context, void *values, int64_t rows, int64_t row_bytes) {
    ftc_shards *shards = context;
    ftc_gathering_add(shards->gathering, values, rows, row_bytes);
}

void ftc_shards_await(void *context, int32_t tensor) {
    ftc_shards *shards = context;
    ftc_gathering_await(shards->gathering, shards->state->tensors[tensor]);
}

void ftc_shards_updated(ftc_shards *shards) {
    ftc_gathering_send(shards->gathering);
}

void ftc_shards_settle(ftc_shards *shards) {
    if (shards) ftc_gathering_await_all(shards->gathering);
}

const ftc_traffic *ftc_shards_traffic(const ftc_shards *shards) {
    return &shards->traffic;
}
