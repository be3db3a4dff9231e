// Unicode as Hugging Face's tokenizers see it: UTF-8, character classes, decomposition, lower case.
//
// The data is utf8proc's, corrected where the tables inside the tokenizers library are of another Unicode
// version (unicode_exceptions.inc), so that token ids are equal for every code point.
#ifndef FTC_RUNTIME_UNICODE_H
#define FTC_RUNTIME_UNICODE_H

#include "ir/base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FTC_UNICODE_CONTROL = 1 << 0, // categories Cc, Cf, Co, but not tab, line feed and carriage return
    // Categories P*, and every ASCII character that is no letter, digit or blank.
    FTC_UNICODE_PUNCTUATION = 1 << 1,
    FTC_UNICODE_NONSPACING = 1 << 2, // category Mn: what BERT strips as an accent
    FTC_UNICODE_MARK = 1 << 3,       // categories M*
    FTC_UNICODE_WORD = 1 << 4,       // a word character of a regular expression (\w)
    FTC_UNICODE_REORDERED = 1 << 5,  // has a canonical combining class other than 0
    FTC_UNICODE_CANONICAL = 1 << 6,  // has a canonical decomposition
    FTC_UNICODE_COMPATIBLE = 1 << 7, // has a decomposition of either kind
};

// The longest decomposition of one code point (U+FDFA: 18), rounded up.
#define FTC_UNICODE_MAX_DECOMPOSED 32

// The classes of a code point, FTC_UNICODE_* or-ed.
unsigned ftc_unicode_flags(uint32_t c);

// White_Space, as Rust's char::is_whitespace.
bool ftc_unicode_is_space(uint32_t c);

// Lower case of one code point, without context (so a final sigma is an ordinary one). Writes 1 or 2 code
// points, returns how many.
size_t ftc_unicode_lower(uint32_t c, uint32_t out[2]);

// The canonical (or, if `compatible`, compatibility) decomposition of one code point, down to the last level.
// Returns the number of code points written: at least 1.
size_t ftc_unicode_decompose(uint32_t c, bool compatible, uint32_t out[FTC_UNICODE_MAX_DECOMPOSED]);

// Canonical ordering, in place: sorts each run of combining marks by class, stably.
void ftc_unicode_reorder(uint32_t *text, size_t count);

// Canonical composition, in place, of a decomposed and reordered text. Returns the new count.
size_t ftc_unicode_compose(uint32_t *text, size_t count);

// Whether a grapheme cluster ends between two neighbours; *state is 0 at the start of a cluster.
bool ftc_unicode_breaks_cluster(uint32_t before, uint32_t after, int32_t *state);

#endif
