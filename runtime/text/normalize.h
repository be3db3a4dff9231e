// Text normalization: a list of steps over code points, as the "normalizer" of a tokenizer.json describes it.
#ifndef FTC_RUNTIME_NORMALIZE_H
#define FTC_RUNTIME_NORMALIZE_H

#include "runtime/text/charsmap.h"
#include "runtime/text/regex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A growing array of code points; all zero is an empty one. Owned by whoever declares it.
typedef struct {
    uint32_t *data;
    size_t count, capacity;
} ftc_codepoints;

void ftc_codepoints_push(ftc_codepoints *text, uint32_t c);
void ftc_codepoints_free(ftc_codepoints *text);

typedef enum {
    FTC_NORMALIZE_CLEAN,         // drops NUL, U+FFFD and controls; every white space becomes a blank
    FTC_NORMALIZE_SPACE_CHINESE, // a blank before and after every CJK ideograph
    FTC_NORMALIZE_NFD,           // the four normalization forms of UAX #15
    FTC_NORMALIZE_NFC,
    FTC_NORMALIZE_NFKD,
    FTC_NORMALIZE_NFKC,
    FTC_NORMALIZE_STRIP_NONSPACING, // drops category Mn
    FTC_NORMALIZE_STRIP_MARKS,      // drops categories M*
    FTC_NORMALIZE_LOWER,
    FTC_NORMALIZE_STRIP_LEFT,    // drops white space at the start of the text …
    FTC_NORMALIZE_STRIP_RIGHT,   // … at its end
    FTC_NORMALIZE_SQUEEZE,       // every run of blanks becomes one blank
    FTC_NORMALIZE_REPLACE,       // every occurrence of `pattern` by `content`
    FTC_NORMALIZE_REPLACE_REGEX, // every match of `regex` by `content`
    FTC_NORMALIZE_CHARSMAP,      // grapheme clusters and characters by `map`
} ftc_normalize_kind;

typedef struct {
    ftc_normalize_kind kind;
    ftc_codepoints pattern, content; // FTC_NORMALIZE_REPLACE; content: FTC_NORMALIZE_REPLACE_REGEX, too
    ftc_regex *regex;
    ftc_charsmap *map;
} ftc_normalize_step;

#define FTC_NORMALIZE_MAX_STEPS 16

// All zero is the normalizer that changes nothing.
typedef struct {
    ftc_normalize_step steps[FTC_NORMALIZE_MAX_STEPS];
    size_t count;
} ftc_normalizer;

// Appends a step. Returns NULL when there are FTC_NORMALIZE_MAX_STEPS already.
ftc_normalize_step *ftc_normalizer_add(ftc_normalizer *normalizer, ftc_normalize_kind kind);

void ftc_normalizer_free(ftc_normalizer *normalizer);

// Whether a text of ASCII characters stays what it is.
bool ftc_normalizer_keeps_ascii(const ftc_normalizer *normalizer);

// Whether of a text of ASCII characters each becomes what it becomes between others, white space apart.
bool ftc_normalizer_is_by_character(const ftc_normalizer *normalizer);

// Whether what stands between two blanks becomes the same by itself as in its text, if it has no white space
// at its ends and no grapheme cluster crosses them.
bool ftc_normalizer_is_local(const ftc_normalizer *normalizer);

// Whether no two blanks stand side by side in the end.
bool ftc_normalizer_squeezes(const ftc_normalizer *normalizer);

// Applies all steps to `text`; `spare` is room to work in, reused across calls. Returns NULL, or why it
// gave up: a regular expression did, or the text becomes far longer than it was.
const char *ftc_normalizer_apply(const ftc_normalizer *normalizer, ftc_codepoints *text,
                                 ftc_codepoints *spare);

#endif
