// A bump allocator: many small allocations, freed all at once.
#ifndef FTC_ARENA_H
#define FTC_ARENA_H

#include <stddef.h>

typedef struct ftc_arena ftc_arena;

ftc_arena *ftc_arena_new(void);
void ftc_arena_free(ftc_arena *arena); // NULL is allowed

// Zeroed memory, aligned for any type; valid until the arena is freed.
void *ftc_arena_alloc(ftc_arena *arena, size_t size);

char *ftc_arena_strdup(ftc_arena *arena, const char *s);
char *ftc_arena_strndup(ftc_arena *arena, const char *s, size_t n); // n bytes and a NUL

#endif
