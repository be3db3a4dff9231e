// SentencePiece's precompiled character map ("Precompiled" of a tokenizer.json): what starts of a text
// become.
#ifndef FTC_RUNTIME_CHARSMAP_H
#define FTC_RUNTIME_CHARSMAP_H

#include <stddef.h>

typedef struct ftc_charsmap ftc_charsmap;

// From its text in base 64; NULL: it is no such map.
ftc_charsmap *ftc_charsmap_new(const char *base64);
void ftc_charsmap_free(ftc_charsmap *map);

// What the shortest start of `bytes` that the map has becomes, UTF-8; NULL: it has none.
const char *ftc_charsmap_find(const ftc_charsmap *map, const char *bytes, size_t size);

#endif
