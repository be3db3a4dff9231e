// What chunks of text were cut into: most of a text is made of few words, which so are normalized and cut
// once. For any number of threads at the same time.
#ifndef FTC_RUNTIME_CHUNK_CACHE_H
#define FTC_RUNTIME_CHUNK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ftc_chunk_cache ftc_chunk_cache;

// Empty; it never takes more than 8 MiB, since chunks that come when their places are taken are not kept.
ftc_chunk_cache *ftc_chunk_cache_new(void);
void ftc_chunk_cache_free(ftc_chunk_cache *cache); // while no thread uses it

// The ids of a chunk of `size` bytes, [*n], which live as long as the cache; NULL: they are not there.
const int32_t *ftc_chunk_cache_find(const ftc_chunk_cache *cache, const char *chunk, size_t size, size_t *n);

// Keeps the n ids of a chunk, unless it is long or there is no place for it.
void ftc_chunk_cache_keep(ftc_chunk_cache *cache, const char *chunk, size_t size, const int32_t *ids,
                          size_t n);

#endif
