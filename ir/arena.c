#include "ir/arena.h"

#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"

enum { BLOCK_BYTES = 64 * 1024, ALIGNMENT = 16 };

typedef struct block {
    struct block *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char bytes[];
} block;

struct ftc_arena {
    block *blocks; // the first is the one that is being filled
};

static void release(void *arena, size_t bytes) {
    (void)bytes;
    ftc_arena_free(arena);
}

ftc_arena *ftc_arena_new(void) {
    ftc_arena *arena = ftc_alloc(1, sizeof *arena);
    ftc_care_begin(arena, 0, release);
    return arena;
}

void ftc_arena_free(ftc_arena *arena) {
    if (!arena) return;
    ftc_care_end(arena);
    for (block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}

void *ftc_arena_alloc(ftc_arena *arena, size_t size) {
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    block *b = arena->blocks;
    if (!b || b->size - b->used < size) {
        size_t capacity = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        b = ftc_alloc(1, sizeof(block) + capacity);
        b->size = capacity;
        b->next = arena->blocks;
        arena->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += size;
    return p;
}

char *ftc_arena_strndup(ftc_arena *arena, const char *s, size_t n) {
    char *copy = ftc_arena_alloc(arena, n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *ftc_arena_strdup(ftc_arena *arena, const char *s) {
    return ftc_arena_strndup(arena, s, strlen(s));
}
