#include "runtime/text/charsmap.h"

#include "ir/base/alloc.h"
#include "runtime/text/unicode.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// A trie as a double array, in units of 32 bits: a label of 8 bits (bit 31 marks values), whether a value
// follows (bit 8), and where the children are, in bits 10 and above, shifted by 8 more where bit 9 is set.
// Then texts that end with NUL, which the values are places in.
struct ftc_charsmap {
    char *bytes; // all of it, and a NUL
    uint32_t *units;
    size_t n_units;
    const char *texts;
    size_t n_texts; // bytes
};

static int digit_of(char c) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(DIGITS, c) : NULL;
    return at ? (int)(at - DIGITS) : -1;
}

// Allocated, with a NUL behind the last byte; NULL: no base 64.
static char *decode_base64(const char *text, size_t *n) {
    size_t size = strlen(text);
    char *bytes = ftc_alloc(size / 4 * 3 + 4, 1), *to = bytes;
    uint32_t bits = 0;
    int n_bits = 0;
    for (; *text && *text != '='; text++) {
        int digit = digit_of(*text);
        if (digit < 0) break;
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        *to++ = (char)(bits >> n_bits);
    }
    *to = '\0';
    *n = (size_t)(to - bytes);
    if (text[strspn(text, "=")] == '\0') return bytes;
    free(bytes);
    return NULL;
}

ftc_charsmap *ftc_charsmap_new(const char *base64) {
    size_t n;
    uint32_t trie_bytes;
    char *bytes = decode_base64(base64, &n);
    if (!bytes) return NULL;
    if (n >= 4) memcpy(&trie_bytes, bytes, 4); // little-endian, as are the machines that ftc runs on
    if (n < 8 || trie_bytes < 4 || trie_bytes % 4 || trie_bytes > n - 4 ||
        ftc_utf8_check(bytes + 4 + trie_bytes, n - 4 - trie_bytes) < n - 4 - trie_bytes) {
        free(bytes);
        return NULL;
    }
    ftc_charsmap *map = ftc_alloc(1, sizeof *map);
    map->units = ftc_alloc(trie_bytes, 1);
    memcpy(map->units, bytes + 4, trie_bytes);
    map->bytes = bytes;
    map->n_units = trie_bytes / 4;
    map->texts = bytes + 4 + trie_bytes;
    map->n_texts = n - 4 - trie_bytes;
    return map;
}

void ftc_charsmap_free(ftc_charsmap *map) {
    if (!map) return;
    free(map->units);
    free(map->bytes);
    free(map);
}

static size_t children_of(uint32_t unit) {
    return (size_t)(unit >> 10) << (unit & 1u << 9 ? 8 : 0);
}

const char *ftc_charsmap_find(const ftc_charsmap *map, const char *bytes, size_t size) {
    size_t at = children_of(map->units[0]);
    for (size_t i = 0; i < size; i++) {
        at ^= (uint8_t)bytes[i];
        if (at >= map->n_units) return NULL;
        uint32_t unit = map->units[at];
        if ((unit & (1u << 31 | 0xFF)) != (uint8_t)bytes[i]) return NULL;
        at ^= children_of(unit);
        if (at >= map->n_units) return NULL;
        if (!(unit & 1u << 8)) continue;
        size_t place = map->units[at] & ~(1u << 31);
        return place <= map->n_texts ? map->texts + place : NULL;
    }
    return NULL;
}
