#include "runtime/text/bpe.h"

#include "ir/base/alloc.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

typedef struct {
    uint32_t start, size; // in `bytes`
    int32_t id;           // -1: free slot
    bool is_word;         // what a word of these bytes is cut into
} token_slot;

typedef struct {
    uint64_t pair; // left id << 32 | right id
    int32_t id;    // what they become; -1: free slot
    uint32_t rank; // lower ones go first
} merge_slot;

struct ftc_bpe {
    bool whole_words;
    char *bytes; // of all tokens
    size_t n_bytes, bytes_capacity;
    token_slot *tokens; // [token_slots] a hash table, at most half full
    size_t n_tokens, token_slots;
    merge_slot *merges; // the same
    size_t n_merges, merge_slots;
    int32_t of_byte[256];
};

// --- names --------------------------------------------------------------------------------------------

// The byte that a character of a byte-level vocabulary stands for, -1: none. Bytes that are seen stand for
// themselves, the others are numbered from U+0100 on.
static int byte_of(uint32_t c) {
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255)) return (int)c;
    if (c < 256 || c > 323) return -1;
    return (int)(c <= 288 ? c - 256 : c <= 322 ? c - 289 + 127 : 173);
}

char *ftc_bpe_bytes_of(const char *token, size_t *n_bytes) {
    size_t size = strlen(token), n;
    char *bytes = ftc_alloc(size + 1, 1), *to = bytes;
    uint32_t c;
    for (; (n = ftc_utf8_decode(token, size, &c)) != 0; token += n, size -= n) {
        int byte = byte_of(c);
        if (byte < 0) break;
        *to++ = (char)byte;
    }
    *n_bytes = (size_t)(to - bytes);
    if (size == 0) return bytes;
    free(bytes);
    return NULL;
}

// --- tables -------------------------------------------------------------------------------------------

static token_slot *find_token(const ftc_bpe *b, const char *bytes, size_t size) {
    size_t at = (size_t)XXH3_64bits(bytes, size) & (b->token_slots - 1);
    for (;; at = (at + 1) & (b->token_slots - 1)) {
        token_slot *slot = &b->tokens[at];
        if (slot->id < 0 || (slot->size == size && memcmp(b->bytes + slot->start, bytes, size) == 0))
            return slot;
    }
}

static merge_slot *find_merge(const ftc_bpe *b, uint64_t pair) {
    uint64_t hash = pair * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 32) & (b->merge_slots - 1);
    while (b->merges[at].id >= 0 && b->merges[at].pair != pair) at = (at + 1) & (b->merge_slots - 1);
    return &b->merges[at];
}

static void make_room_for_token(ftc_bpe *b) {
    if (2 * b->n_tokens < b->token_slots) return;
    token_slot *old = b->tokens;
    size_t n = b->token_slots;
    b->token_slots = n ? 2 * n : 1024;
    b->tokens = ftc_alloc(b->token_slots, sizeof *b->tokens);
    for (size_t i = 0; i < b->token_slots; i++) b->tokens[i] = (token_slot){.id = -1};
    for (size_t i = 0; i < n; i++)
        if (old[i].id >= 0) *find_token(b, b->bytes + old[i].start, old[i].size) = old[i];
    free(old);
}

static void make_room_for_merge(ftc_bpe *b) {
    if (2 * b->n_merges < b->merge_slots) return;
    merge_slot *old = b->merges;
    size_t n = b->merge_slots;
    b->merge_slots = n ? 2 * n : 1024;
    b->merges = ftc_alloc(b->merge_slots, sizeof *b->merges);
    for (size_t i = 0; i < b->merge_slots; i++) b->merges[i] = (merge_slot){.id = -1};
    for (size_t i = 0; i < n; i++)
        if (old[i].id >= 0) *find_merge(b, old[i].pair) = old[i];
    free(old);
}

ftc_bpe *ftc_bpe_new(bool whole_words) {
    ftc_bpe *b = ftc_alloc(1, sizeof *b);
    b->whole_words = whole_words;
    make_room_for_token(b);
    make_room_for_merge(b);
    return b;
}

void ftc_bpe_free(ftc_bpe *b) {
    if (!b) return;
    free(b->bytes);
    free(b->tokens);
    free(b->merges);
    free(b);
}

void ftc_bpe_add_token(ftc_bpe *b, const char *bytes, size_t size, int32_t id) {
    make_room_for_token(b);
    token_slot *slot = find_token(b, bytes, size);
    if (slot->id >= 0) {
        slot->id = id;
        return;
    }
    b->bytes = ftc_grow(b->bytes, &b->bytes_capacity, b->n_bytes + size, 1);
    memcpy(b->bytes + b->n_bytes, bytes, size);
    *slot = (token_slot){(uint32_t)b->n_bytes, (uint32_t)size, id, false};
    b->n_bytes += size;
    b->n_tokens++;
}

int32_t ftc_bpe_id(const ftc_bpe *b, const char *bytes, size_t size) {
    return find_token(b, bytes, size)->id;
}

static uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

bool ftc_bpe_add_merge(ftc_bpe *b, const char *bytes, size_t size, size_t left) {
    int32_t first = ftc_bpe_id(b, bytes, left), second = ftc_bpe_id(b, bytes + left, size - left),
            whole = ftc_bpe_id(b, bytes, size);
    if (first < 0 || second < 0 || whole < 0) return false;
    make_room_for_merge(b);
    merge_slot *slot = find_merge(b, pair_of(first, second));
    *slot = (merge_slot){pair_of(first, second), whole,
                         (uint32_t)b->n_merges++}; // of two such the later one holds
    return true;
}

// --- cutting ------------------------------------------------------------------------------------------

// A word on its way: symbols in a list by their first byte, and the merges that may come next in a heap.
typedef struct {
    int32_t id;         // -1: it has become part of the symbol before it
    int32_t next, prev; // -1: none
} symbol;

typedef struct {
    uint32_t rank;
    int32_t at; // the left symbol
    uint64_t pair;
} candidate;

typedef struct {
    symbol *symbols;
    candidate *heap;
    size_t n_heap;
} word;

static bool goes_before(const candidate *a, const candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(word *w, candidate c) {
    size_t at = w->n_heap++;
    for (; at > 0 && goes_before(&c, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = c;
}

static candidate pop(word *w) {
    candidate top = w->heap[0], last = w->heap[--w->n_heap];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < w->n_heap; at = child) {
        if (child + 1 < w->n_heap && goes_before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!goes_before(&w->heap[child], &last)) break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = last;
    return top;
}

// The pair of a symbol and the one behind it, if they can be joined.
static void push_pair(const ftc_bpe *b, word *w, int32_t left) {
    if (left < 0 || w->symbols[left].next < 0) return;
    uint64_t pair = pair_of(w->symbols[left].id, w->symbols[w->symbols[left].next].id);
    const merge_slot *merge = find_merge(b, pair);
    if (merge->id >= 0) push(w, (candidate){merge->rank, left, pair});
}

// Joins until nothing can be joined. There are never more candidates than pairs of bytes and two for each
// join.
static size_t merge_all(const ftc_bpe *b, word *w, const char *bytes, size_t size, int32_t *out) {
    int32_t n = (int32_t)size;
    for (int32_t i = 0; i < n; i++)
        w->symbols[i] = (symbol){b->of_byte[(uint8_t)bytes[i]], i + 1 < n ? i + 1 : -1, i - 1};
    for (int32_t i = 0; i < n; i++) push_pair(b, w, i);
    while (w->n_heap) {
        candidate c = pop(w);
        symbol *left = &w->symbols[c.at];
        if (left->id < 0 || left->next < 0) continue;
        symbol *right = &w->symbols[left->next];
        if (pair_of(left->id, right->id) != c.pair) continue; // one of them has changed
        left->id = find_merge(b, c.pair)->id;
        right->id = -1;
        left->next = right->next;
        if (left->next >= 0) w->symbols[left->next].prev = c.at;
        push_pair(b, w, left->prev);
        push_pair(b, w, c.at);
    }
    size_t count = 0;
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next) out[count++] = w->symbols[i].id;
    return count;
}

static size_t cut_by_merges(const ftc_bpe *b, const char *bytes, size_t size, int32_t *out) {
    enum { FEW = 64 };
    symbol few_symbols[FEW];
    candidate few_candidates[3 * FEW];
    if (size <= FEW) return merge_all(b, &(word){few_symbols, few_candidates, 0}, bytes, size, out);
    word w = {ftc_alloc(size, sizeof *w.symbols), ftc_alloc(3 * size, sizeof *w.heap), 0};
    size_t count = merge_all(b, &w, bytes, size, out);
    free(w.symbols);
    free(w.heap);
    return count;
}

int ftc_bpe_prepare(ftc_bpe *b) {
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool in_utf8 = byte < 0xC0 || (byte >= 0xC2 && byte <= 0xF4);
        b->of_byte[byte] = ftc_bpe_id(b, &c, 1);
        if (b->of_byte[byte] < 0 && in_utf8) return byte;
    }
    int32_t *ids = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < b->token_slots; i++) {
        token_slot *slot = &b->tokens[i];
        if (slot->id < 0) continue;
        ids = ftc_grow(ids, &capacity, slot->size, sizeof *ids);
        size_t n = b->whole_words ? 1 : cut_by_merges(b, b->bytes + slot->start, slot->size, ids);
        slot->is_word = b->whole_words || (n == 1 && ids[0] == slot->id);
    }
    free(ids);
    return -1;
}

size_t ftc_bpe_cut(const ftc_bpe *b, const char *bytes, size_t size, int32_t *out) {
    const token_slot *slot = find_token(b, bytes, size);
    if (slot->id < 0 || !slot->is_word) return cut_by_merges(b, bytes, size, out);
    out[0] = slot->id;
    return 1;
}
