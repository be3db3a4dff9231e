// UTF-8, one code point after the other.
#ifndef FTC_UTF8_H
#define FTC_UTF8_H

#include <stddef.h>
#include <stdint.h>

// Decodes one code point at `text` (`size` bytes are readable). Returns its length in bytes, 0 if the bytes
// are no UTF-8 (overlong forms and surrogates included).
size_t ftc_utf8_decode(const char *text, size_t size, uint32_t *out);

// Writes 1 to 4 bytes, returns how many.
size_t ftc_utf8_encode(uint32_t c, char out[4]);

// The offset of the first byte that is no UTF-8, `size` if there is none.
size_t ftc_utf8_check(const char *text, size_t size);

#endif
