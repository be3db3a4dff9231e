#include "runtime/text/normalize.h"

#include "ir/base/alloc.h"
#include "runtime/text/unicode.h"

#include <string.h>

void ftc_codepoints_push(ftc_codepoints *text, uint32_t c) {
    text->data = ftc_grow(text->data, &text->capacity, text->count + 1, sizeof *text->data);
    text->data[text->count++] = c;
}

void ftc_codepoints_free(ftc_codepoints *text) {
    free(text->data);
    *text = (ftc_codepoints){0};
}

ftc_normalize_step *ftc_normalizer_add(ftc_normalizer *normalizer, ftc_normalize_kind kind) {
    if (normalizer->count == FTC_NORMALIZE_MAX_STEPS) return NULL;
    ftc_normalize_step *step = &normalizer->steps[normalizer->count++];
    *step = (ftc_normalize_step){.kind = kind};
    return step;
}

void ftc_normalizer_free(ftc_normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->count; i++) {
        ftc_codepoints_free(&normalizer->steps[i].pattern);
        ftc_codepoints_free(&normalizer->steps[i].content);
        ftc_regex_free(normalizer->steps[i].regex);
        ftc_charsmap_free(normalizer->steps[i].map);
    }
    normalizer->count = 0;
}

static bool has_space(const ftc_codepoints *text) {
    for (size_t i = 0; i < text->count; i++)
        if (ftc_unicode_is_space(text->data[i])) return true;
    return false;
}

bool ftc_normalizer_is_local(const ftc_normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->count; i++) {
        const ftc_normalize_step *step = &normalizer->steps[i], *before = i ? step - 1 : NULL;
        bool strips = step->kind == FTC_NORMALIZE_STRIP_LEFT || step->kind == FTC_NORMALIZE_STRIP_RIGHT;
        // What others leave at an end would be stripped there alone.
        if (strips && before && before->kind != FTC_NORMALIZE_STRIP_LEFT) return false;
        if (step->kind == FTC_NORMALIZE_REPLACE_REGEX) return false;
        if (step->kind == FTC_NORMALIZE_REPLACE && has_space(&step->pattern)) return false;
    }
    return true;
}

bool ftc_normalizer_is_by_character(const ftc_normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->count; i++) {
        ftc_normalize_kind kind = normalizer->steps[i].kind;
        if (kind == FTC_NORMALIZE_REPLACE || kind == FTC_NORMALIZE_REPLACE_REGEX ||
            kind == FTC_NORMALIZE_CHARSMAP)
            return false;
    }
    return true;
}

bool ftc_normalizer_squeezes(const ftc_normalizer *normalizer) {
    return normalizer->count && normalizer->steps[normalizer->count - 1].kind == FTC_NORMALIZE_SQUEEZE;
}

bool ftc_normalizer_keeps_ascii(const ftc_normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->count; i++) {
        ftc_normalize_kind kind = normalizer->steps[i].kind;
        if (kind < FTC_NORMALIZE_NFD || kind > FTC_NORMALIZE_STRIP_MARKS) return false;
    }
    return true;
}

// --- the steps ----------------------------------------------------------------------------------------

// As the tokenizers library has it, which begins at 2B920 where Unicode's block begins at 2B820.
static bool is_chinese(uint32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static void clean(ftc_codepoints *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t c = text->data[i];
        if (c == 0xFFFD || (ftc_unicode_flags(c) & FTC_UNICODE_CONTROL)) continue;
        text->data[n++] = ftc_unicode_is_space(c) ? ' ' : c;
    }
    text->count = n;
}

static void drop(ftc_codepoints *text, unsigned flag) {
    size_t n = 0;
    for (size_t i = 0; i < text->count; i++)
        if (!(ftc_unicode_flags(text->data[i]) & flag)) text->data[n++] = text->data[i];
    text->count = n;
}

static void space_chinese(const ftc_codepoints *text, ftc_codepoints *out) {
    for (size_t i = 0; i < text->count; i++) {
        bool chinese = is_chinese(text->data[i]);
        if (chinese) ftc_codepoints_push(out, ' ');
        ftc_codepoints_push(out, text->data[i]);
        if (chinese) ftc_codepoints_push(out, ' ');
    }
}

static void lower(const ftc_codepoints *text, ftc_codepoints *out) {
    for (size_t i = 0; i < text->count; i++) {
        uint32_t c[2];
        size_t n = ftc_unicode_lower(text->data[i], c);
        for (size_t k = 0; k < n; k++) ftc_codepoints_push(out, c[k]);
    }
}

static void decompose(const ftc_codepoints *text, bool compatible, ftc_codepoints *out) {
    for (size_t i = 0; i < text->count; i++) {
        uint32_t c[FTC_UNICODE_MAX_DECOMPOSED];
        size_t n = ftc_unicode_decompose(text->data[i], compatible, c);
        for (size_t k = 0; k < n; k++) ftc_codepoints_push(out, c[k]);
    }
    ftc_unicode_reorder(out->data, out->count);
}

static void compose(ftc_codepoints *text) {
    text->count = ftc_unicode_compose(text->data, text->count);
}

static void strip_left(ftc_codepoints *text) {
    size_t n = 0;
    while (n < text->count && ftc_unicode_is_space(text->data[n])) n++;
    text->count -= n;
    if (n && text->count) memmove(text->data, text->data + n, text->count * sizeof *text->data);
}

static void strip_right(ftc_codepoints *text) {
    while (text->count && ftc_unicode_is_space(text->data[text->count - 1])) text->count--;
}

static void squeeze(ftc_codepoints *text) {
    size_t n = 0;
    for (size_t i = 0; i < text->count; i++)
        if (text->data[i] != ' ' || n == 0 || text->data[n - 1] != ' ') text->data[n++] = text->data[i];
    text->count = n;
}

static const char TOO_LONG[] = "the normalizer makes it too long";

// `most`: code points that the result may have.
static const char *replace(const ftc_codepoints *text, const ftc_normalize_step *step, size_t most,
                           ftc_codepoints *out) {
    const ftc_codepoints *pattern = &step->pattern;
    for (size_t i = 0; i < text->count;) {
        if (out->count > most) return TOO_LONG;
        if (text->count - i >= pattern->count &&
            memcmp(text->data + i, pattern->data, pattern->count * sizeof *pattern->data) == 0) {
            for (size_t k = 0; k < step->content.count; k++) ftc_codepoints_push(out, step->content.data[k]);
            i += pattern->count;
        } else {
            ftc_codepoints_push(out, text->data[i++]);
        }
    }
    return NULL;
}

static void push_utf8(ftc_codepoints *out, const char *text, size_t size) {
    uint32_t c;
    for (size_t n; (n = ftc_utf8_decode(text, size, &c)) != 0; text += n, size -= n)
        ftc_codepoints_push(out, c);
}

static const char *replace_regex(const ftc_codepoints *text, const ftc_normalize_step *step, size_t most,
                                 ftc_codepoints *out) {
    char *utf8 = ftc_alloc(4 * text->count + 1, 1);
    ftc_regex_match match = {0};
    const char *problem = NULL;
    size_t size = 0;
    for (size_t i = 0; i < text->count; i++) size += ftc_utf8_encode(text->data[i], utf8 + size);
    for (size_t at = 0; at < size && !problem;) {
        size_t begin = size, end = size;
        problem =
            out->count > most ? TOO_LONG : ftc_regex_find(step->regex, &match, utf8, size, at, &begin, &end);
        push_utf8(out, utf8 + at, begin - at);
        for (size_t k = 0; begin < end && k < step->content.count; k++)
            ftc_codepoints_push(out, step->content.data[k]);
        at = end;
    }
    ftc_regex_match_free(&match);
    free(utf8);
    return problem;
}

// One grapheme cluster: as a whole where it is short and the map has a start of it, else character by
// character. (So the tokenizers library does it.)
static void map_cluster(const ftc_charsmap *map, const uint32_t *cluster, size_t n, ftc_codepoints *out) {
    enum { SHORT = 6 }; // bytes: shorter ones
    char utf8[4 * SHORT];
    size_t size = 0;
    for (size_t i = 0; i < n && size < SHORT; i++) size += ftc_utf8_encode(cluster[i], utf8 + size);
    const char *mapped = size < SHORT ? ftc_charsmap_find(map, utf8, size) : NULL;
    if (mapped) {
        push_utf8(out, mapped, strlen(mapped));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        mapped = ftc_charsmap_find(map, utf8, ftc_utf8_encode(cluster[i], utf8));
        if (mapped)
            push_utf8(out, mapped, strlen(mapped));
        else
            ftc_codepoints_push(out, cluster[i]);
    }
}

static const char *map_characters(const ftc_codepoints *text, const ftc_charsmap *map, size_t most,
                                  ftc_codepoints *out) {
    for (size_t begin = 0, end; begin < text->count; begin = end) {
        if (out->count > most) return TOO_LONG;
        int32_t state = 0;
        for (end = begin + 1; end < text->count; end++)
            if (ftc_unicode_breaks_cluster(text->data[end - 1], text->data[end], &state)) break;
        map_cluster(map, text->data + begin, end - begin, out);
    }
    return NULL;
}

const char *ftc_normalizer_apply(const ftc_normalizer *normalizer, ftc_codepoints *text,
                                 ftc_codepoints *spare) {
    size_t most = 32 * text->count + ((size_t)1 << 20); // each step could multiply it
    for (size_t i = 0; i < normalizer->count; i++) {
        const ftc_normalize_step *step = &normalizer->steps[i];
        spare->count = 0;
        bool moved = true; // the result is in `spare`
        const char *problem = NULL;
        switch (step->kind) {
        case FTC_NORMALIZE_SPACE_CHINESE: space_chinese(text, spare); break;
        case FTC_NORMALIZE_NFD:
        case FTC_NORMALIZE_NFC: decompose(text, false, spare); break;
        case FTC_NORMALIZE_NFKD:
        case FTC_NORMALIZE_NFKC: decompose(text, true, spare); break;
        case FTC_NORMALIZE_LOWER: lower(text, spare); break;
        case FTC_NORMALIZE_REPLACE: problem = replace(text, step, most, spare); break;
        case FTC_NORMALIZE_REPLACE_REGEX: problem = replace_regex(text, step, most, spare); break;
        case FTC_NORMALIZE_CHARSMAP: problem = map_characters(text, step->map, most, spare); break;
        default: moved = false; break;
        }
        if (problem) return problem;
        if (moved) {
            ftc_codepoints result = *spare;
            *spare = *text;
            *text = result;
        }
        switch (step->kind) {
        case FTC_NORMALIZE_CLEAN: clean(text); break;
        case FTC_NORMALIZE_STRIP_NONSPACING: drop(text, FTC_UNICODE_NONSPACING); break;
        case FTC_NORMALIZE_STRIP_MARKS: drop(text, FTC_UNICODE_MARK); break;
        case FTC_NORMALIZE_NFC:
        case FTC_NORMALIZE_NFKC: compose(text); break;
        case FTC_NORMALIZE_STRIP_LEFT: strip_left(text); break;
        case FTC_NORMALIZE_STRIP_RIGHT: strip_right(text); break;
        case FTC_NORMALIZE_SQUEEZE: squeeze(text); break;
        default: break;
        }
    }
    return NULL;
}
