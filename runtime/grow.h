// Growing arrays. Small and bounded by the input at hand, so exhausted memory aborts.
#ifndef FTC_RUNTIME_GROW_H
#define FTC_RUNTIME_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Makes room for `needed` elements of `size` bytes; returns the array, moved or not.
static inline void *ftc_grow(void *array, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) return array;
    size_t larger = *capacity ? *capacity : 16, bytes;
    while (larger < needed && larger <= SIZE_MAX / 2) larger *= 2;
    bool fits = larger >= needed && !__builtin_mul_overflow(larger, size, &bytes);
    array = fits ? realloc(array, bytes) : NULL;
    if (!array) abort();
    *capacity = larger;
    return array;
}

#endif
