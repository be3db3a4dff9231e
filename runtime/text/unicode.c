#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

typedef struct {
    uint32_t first, last;
    unsigned flags;
} ftc_unicode_range;

typedef struct {
    uint32_t first, last;
    int32_t delta;   // lower case is the code point plus this …
    uint32_t second; // … followed by this, if not 0
} ftc_unicode_lower_range;

#include "ir/base/alloc.h"
#include "runtime/text/unicode_exceptions.inc"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static unsigned utf8proc_flags(uint32_t c) {
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    unsigned flags = 0;
    switch (p->category) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        if (c != '\t' && c != '\n' && c != '\r') flags = FTC_UNICODE_CONTROL;
        break;
    case UTF8PROC_CATEGORY_PC: flags = FTC_UNICODE_PUNCTUATION | FTC_UNICODE_WORD; break;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: flags = FTC_UNICODE_PUNCTUATION; break;
    case UTF8PROC_CATEGORY_MN: flags = FTC_UNICODE_NONSPACING | FTC_UNICODE_MARK | FTC_UNICODE_WORD; break;
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: flags = FTC_UNICODE_MARK | FTC_UNICODE_WORD; break;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: flags = FTC_UNICODE_WORD; break;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
        if (c < 0x80) flags = FTC_UNICODE_PUNCTUATION; // $ + < = > ^ ` | ~
        break;
    default: break;
    }
    if (c == 0x200C || c == 0x200D) flags |= FTC_UNICODE_WORD; // joiners
    if (p->combining_class != 0) flags |= FTC_UNICODE_REORDERED;
    bool hangul = c >= 0xAC00 && c <= 0xD7A3; // decomposed by arithmetic, not by table
    if (hangul || p->decomp_seqindex != UINT16_MAX) flags |= FTC_UNICODE_COMPATIBLE;
    if (hangul || (p->decomp_seqindex != UINT16_MAX && p->decomp_type == 0)) flags |= FTC_UNICODE_CANONICAL;
    return flags;
}

unsigned ftc_unicode_flags(uint32_t c) {
    if (c < exceptions[0].first) return utf8proc_flags(c);
    size_t low = 0, high = COUNT(exceptions);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > exceptions[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < COUNT(exceptions) && c >= exceptions[low].first) return exceptions[low].flags;
    return utf8proc_flags(c);
}

bool ftc_unicode_is_space(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t ftc_unicode_lower(uint32_t c, uint32_t out[2]) {
    for (size_t i = 0; i < COUNT(lower_exceptions) && c >= lower_exceptions[i].first; i++) {
        if (c > lower_exceptions[i].last) continue;
        out[0] = c + (uint32_t)lower_exceptions[i].delta;
        out[1] = lower_exceptions[i].second;
        return out[1] ? 2 : 1;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

size_t ftc_unicode_decompose(uint32_t c, bool compatible, uint32_t out[FTC_UNICODE_MAX_DECOMPOSED]) {
    if (c >= 0x80 && (ftc_unicode_flags(c) & (compatible ? FTC_UNICODE_COMPATIBLE : FTC_UNICODE_CANONICAL))) {
        utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, (utf8proc_int32_t *)out,
                                                     FTC_UNICODE_MAX_DECOMPOSED, options, NULL);
        if (n > 0) return (size_t)n;
    }
    out[0] = c;
    return 1;
}

static int combining_class(uint32_t c) {
    if (c < 0x300 || !(ftc_unicode_flags(c) & FTC_UNICODE_REORDERED)) return 0;
    return utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
}

// Sorts a few marks by class, stably.
static void sort_few(uint32_t *marks, size_t n) {
    for (size_t i = 1; i < n; i++) {
        uint32_t c = marks[i];
        int class = combining_class(c);
        size_t j = i;
        for (; j > 0 && combining_class(marks[j - 1]) > class; j--) marks[j] = marks[j - 1];
        marks[j] = c;
    }
}

// The same for many, by counting: in a time that grows as they do.
static void sort_many(uint32_t *marks, size_t n) {
    size_t places[257] = {0}; // by class, where its next mark goes
    uint32_t *sorted = ftc_alloc(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++) places[combining_class(marks[i]) + 1]++;
    for (int class = 0; class < 256; class ++) places[class + 1] += places[class];
    for (size_t i = 0; i < n; i++) sorted[places[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, sorted, n * sizeof *sorted);
    free(sorted);
}

void ftc_unicode_reorder(uint32_t *text, size_t count) {
    enum { FEW = 16 };
    for (size_t begin = 0, end; begin < count; begin = end + 1) {
        for (end = begin; end < count && combining_class(text[end]) != 0; end++) {
        }
        if (end - begin > FEW) {
            sort_many(text + begin, end - begin);
        } else {
            sort_few(text + begin, end - begin);
        }
    }
}

size_t ftc_unicode_compose(uint32_t *text, size_t count) {
    utf8proc_option_t options = UTF8PROC_COMPOSE | UTF8PROC_STABLE;
    utf8proc_ssize_t n = utf8proc_normalize_utf32((utf8proc_int32_t *)text, (utf8proc_ssize_t)count, options);
    return n < 0 ? count : (size_t)n;
}

bool ftc_unicode_breaks_cluster(uint32_t before, uint32_t after, int32_t *state) {
    return utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)after, state);
}
