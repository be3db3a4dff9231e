// Growing arrays. Small and bounded by the input at hand, so exhausted memory aborts.
#ifndef FTC_RUNTIME_GROW_H
#define FTC_RUNTIME_GROW_H

#include <stddef.h>
#include <stdlib.h>

// Makes room for `needed` elements of `size` bytes; returns the array, moved or not.
static inline void *ftc_grow(void *array, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) return array;
    size_t larger = *capacity ? *capacity : 16;
    while (larger < needed) larger *= 2;
    array = realloc(array, larger * size);
    if (!array) abort();
    *capacity = larger;
    return array;
}

#endif
