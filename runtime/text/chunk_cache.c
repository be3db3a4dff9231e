#include "runtime/text/chunk_cache.h"

#include "ir/base/alloc.h"

#include <stdatomic.h>
#include <string.h>

#include <xxhash.h>

enum {
    SLOTS = 1 << 16,
    NEIGHBOURS = 4, // slots in which a chunk may lie
    MOST_BYTES = 32,
    MOST_IDS = 16,
};

// Does not change once other threads can see it.
typedef struct {
    uint32_t size, n;
    int32_t ids[];
    // char chunk[size], behind the ids
} entry;

struct ftc_chunk_cache {
    _Atomic(entry *) slots[SLOTS]; // NULL: free; what is there stays
};

static bool is_of(const entry *e, const char *chunk, size_t size) {
    return e->size == size && memcmp(e->ids + e->n, chunk, size) == 0;
}

static size_t first_slot(const char *chunk, size_t size) {
    return (size_t)XXH3_64bits(chunk, size) % (SLOTS - NEIGHBOURS + 1);
}

ftc_chunk_cache *ftc_chunk_cache_new(void) {
    return ftc_alloc(1, sizeof(ftc_chunk_cache));
}

void ftc_chunk_cache_free(ftc_chunk_cache *cache) {
    if (!cache) return;
    for (size_t i = 0; i < SLOTS; i++) free(atomic_load_explicit(&cache->slots[i], memory_order_relaxed));
    free(cache);
}

const int32_t *ftc_chunk_cache_find(const ftc_chunk_cache *cache, const char *chunk, size_t size, size_t *n) {
    if (size > MOST_BYTES) return NULL;
    size_t first = first_slot(chunk, size);
    for (size_t i = first; i < first + NEIGHBOURS; i++) {
        const entry *e = atomic_load_explicit(&cache->slots[i], memory_order_acquire);
        if (!e) return NULL;
        if (!is_of(e, chunk, size)) continue;
        *n = e->n;
        return e->ids;
    }
    return NULL;
}

void ftc_chunk_cache_keep(ftc_chunk_cache *cache, const char *chunk, size_t size, const int32_t *ids,
                          size_t n) {
    if (size > MOST_BYTES || n > MOST_IDS) return;
    entry *new = ftc_alloc(1, sizeof *new + n * sizeof *ids + size);
    *new = (entry){.size = (uint32_t)size, .n = (uint32_t)n};
    if (n) memcpy(new->ids, ids, n * sizeof *ids);
    memcpy(new->ids + n, chunk, size);
    size_t first = first_slot(chunk, size);
    for (size_t i = first; i < first + NEIGHBOURS; i++) {
        entry *there = NULL;
        if (atomic_compare_exchange_strong_explicit(&cache->slots[i], &there, new, memory_order_acq_rel,
                                                    memory_order_acquire))
            return;
        if (is_of(there, chunk, size)) break; // another thread was first
    }
    free(new);
}
