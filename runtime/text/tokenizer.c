#include "ir/base/alloc.h"
#include "runtime/text/tokenizer_internal.h"

#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

// One call of ftc_tokenizer_encode.
typedef struct {
    const ftc_tokenizer *tokenizer;
    ftc_tokens *out;
    int32_t *ids; // word pieces and added tokens of both texts, in out->types until the template is applied
    size_t count, limit; // the text at hand adds no id beyond `limit`
    bool adds_blank;     // before each piece of a text that begins with none
    ftc_codepoints codepoints, spare;
    char *utf8; // normalized text
    size_t utf8_capacity;
    struct {
        char *text;
        size_t capacity;
    } changed[FTC_MAX_CUTS + 1]; // the piece that a step hands on, where that is not part of what it got
    ftc_regex_match match;
    const char *problem; // what stopped it; NULL: nothing
} encoder;

static bool is_full(const encoder *e) {
    return e->count >= e->limit || e->problem;
}

static void reserve(encoder *e, size_t more) {
    ftc_tokens *out = e->out;
    size_t capacity = out->capacity;
    out->ids = ftc_grow(out->ids, &capacity, e->count + more, sizeof *out->ids);
    out->types = ftc_grow(out->types, &out->capacity, e->count + more, sizeof *out->types);
    e->ids = out->types;
}

static void push_ids(encoder *e, const int32_t *ids, size_t n) {
    if (is_full(e)) return;
    if (n > e->limit - e->count) n = e->limit - e->count;
    reserve(e, n);
    if (n) memcpy(e->ids + e->count, ids, n * sizeof *ids);
    e->count += n;
}

static void push_word(encoder *e, const char *word, size_t size) {
    if (is_full(e)) return;
    reserve(e, size);
    const ftc_tokenizer *t = e->tokenizer;
    size_t n = t->bpe       ? ftc_bpe_cut(t->bpe, word, size, e->ids + e->count)
               : t->unigram ? ftc_unigram_cut(t->unigram, word, size, e->ids + e->count)
                            : ftc_wordpiece_cut(t->vocabulary, word, size, e->ids + e->count);
    if (n == 0) push_ids(e, &t->unk_id, 1);
    e->count += n;
    if (e->count > e->limit) e->count = e->limit;
}

// --- added tokens -------------------------------------------------------------------------------------

void ftc_added_tokens_push(ftc_added_tokens *list, ftc_added_token token) {
    list->tokens = ftc_grow(list->tokens, &list->capacity, list->count + 1, sizeof *list->tokens);
    token.text = ftc_strndup(token.text, token.size);
    if (!list->places) list->places = ftc_wordpiece_new("", 0);
    ftc_wordpiece_add(list->places, token.text, token.size, (int32_t)list->count);
    list->tokens[list->count++] = token;
    list->bytes += token.size;
    list->starts[(uint8_t)token.text[0]] = true;
}

// The longest token that a text begins with, NULL: none.
static const ftc_added_token *longest_added(const ftc_added_tokens *list, const char *text, size_t size) {
    const ftc_added_token *longest = NULL;
    uint32_t node = 0;
    int32_t place;
    for (size_t i = 0; i < size && ftc_wordpiece_step(list->places, (uint8_t)text[i], &node, &place); i++)
        if (place >= 0) longest = &list->tokens[place];
    return longest;
}

typedef struct {
    const ftc_added_token *token; // NULL: none is left
    size_t begin, end;            // bytes that it covers, swallowed white space included
} added_match;

static bool word_before(const char *text, size_t at) {
    size_t start = at;
    while (start > 0 && ((uint8_t)text[--start] & 0xC0) == 0x80) {
    }
    uint32_t c;
    return start < at && ftc_utf8_decode(text + start, at - start, &c) &&
           (ftc_unicode_flags(c) & FTC_UNICODE_WORD);
}

static bool word_after(const char *text, size_t size, size_t at) {
    uint32_t c;
    return ftc_utf8_decode(text + at, size - at, &c) && (ftc_unicode_flags(c) & FTC_UNICODE_WORD);
}

static size_t skip_spaces_left(const char *text, size_t at) {
    while (at > 0) {
        size_t start = at;
        while (start > 0 && ((uint8_t)text[--start] & 0xC0) == 0x80) {
        }
        uint32_t c;
        if (ftc_utf8_decode(text + start, at - start, &c) != at - start || !ftc_unicode_is_space(c)) break;
        at = start;
    }
    return at;
}

static size_t skip_spaces_right(const char *text, size_t size, size_t at) {
    uint32_t c;
    size_t n;
    while ((n = ftc_utf8_decode(text + at, size - at, &c)) != 0 && ftc_unicode_is_space(c)) at += n;
    return at;
}

// The next added token: leftmost, then longest. *search is where to look; bytes before `covered` are taken
// already.
static added_match next_added(const ftc_added_tokens *list, const char *text, size_t size, size_t *search,
                              size_t covered) {
    for (size_t at = *search; at < size; at++) {
        if (!list->starts[(uint8_t)text[at]]) continue;
        const ftc_added_token *longest = longest_added(list, text + at, size - at);
        if (!longest) continue;
        added_match match = {longest, at, at + longest->size};
        *search = match.end;
        at = match.end - 1; // where to go on if the match does not count
        if (longest->single_word && (word_before(text, match.begin) || word_after(text, size, match.end)))
            continue;
        if (longest->lstrip) match.begin = skip_spaces_left(text, match.begin);
        if (match.begin < covered) match.begin = covered;
        if (longest->rstrip) match.end = skip_spaces_right(text, size, match.end);
        if (match.end < match.begin) match.end = match.begin;
        return match;
    }
    return (added_match){NULL, size, size};
}

// --- words --------------------------------------------------------------------------------------------

int ftc_split_class(unsigned split, uint32_t c) {
    if ((split & (FTC_SPLIT_SPACES | FTC_SPLIT_SYMBOLS)) && ftc_unicode_is_space(c)) return FTC_CHAR_SPACE;
    unsigned flags = ftc_unicode_flags(c);
    if ((split & FTC_SPLIT_PUNCTUATION) && (flags & FTC_UNICODE_PUNCTUATION)) return FTC_CHAR_ALONE;
    if ((split & FTC_SPLIT_SYMBOLS) && !(flags & FTC_UNICODE_WORD)) return FTC_CHAR_SYMBOL;
    return FTC_CHAR_WORD;
}

static void encode_piece(encoder *e, size_t step, const char *text, size_t size);

static void cut_by_classes(encoder *e, size_t step, const char *text, size_t size) {
    unsigned split = e->tokenizer->cuts[step].split;
    size_t begin = 0, at = 0;
    int open = FTC_CHAR_SPACE; // the class of the word that begins at `begin`
    while (at < size && !is_full(e)) {
        uint32_t c = 0;
        size_t n = ftc_utf8_decode(text + at, size - at, &c);
        int class = ftc_split_class(split, c);
        if (class != open || class == FTC_CHAR_ALONE) {
            if (open != FTC_CHAR_SPACE) encode_piece(e, step + 1, text + begin, at - begin);
            begin = at;
            open = class;
        }
        at += n;
    }
    if (open != FTC_CHAR_SPACE) encode_piece(e, step + 1, text + begin, at - begin);
}

static void cut_by_regex(encoder *e, size_t step, const char *text, size_t size) {
    const ftc_cut *cut = &e->tokenizer->cuts[step];
    for (size_t at = 0; at < size && !is_full(e);) {
        size_t begin = size, end = size;
        e->problem = ftc_regex_find(cut->regex, &e->match, text, size, at, &begin, &end);
        if (!cut->drops_others) encode_piece(e, step + 1, text + at, begin - at);
        if (!cut->drops_matches) encode_piece(e, step + 1, text + begin, end - begin);
        at = end;
    }
}

// Room for a piece that is handed on to step `next`.
static char *changed_piece(encoder *e, size_t next, size_t size) {
    return e->changed[next].text = ftc_grow(e->changed[next].text, &e->changed[next].capacity, size, 1);
}

// Before step `next`.
static void prefix_space(encoder *e, size_t next, const char *text, size_t size) {
    if (size && *text != ' ') {
        char *prefixed = changed_piece(e, next, size + 1);
        prefixed[0] = ' ';
        memcpy(prefixed + 1, text, size++);
        text = prefixed;
    }
    encode_piece(e, next, text, size);
}

static const char METASPACE[] = "\u2581";
enum { METASPACE_BYTES = sizeof METASPACE - 1 };

static bool is_metaspace(const char *text, size_t size) {
    return size >= METASPACE_BYTES && memcmp(text, METASPACE, METASPACE_BYTES) == 0;
}

static void cut_at_metaspace(encoder *e, size_t step, const char *text, size_t size) {
    const ftc_cut *cut = &e->tokenizer->cuts[step];
    char *begin = changed_piece(e, step + 1, METASPACE_BYTES * (size + 1)), *to = begin;
    if (cut->prepends && *text != ' ' && !is_metaspace(text, size))
        to = mempcpy(to, METASPACE, METASPACE_BYTES);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ')
            to = mempcpy(to, METASPACE, METASPACE_BYTES);
        else
            *to++ = text[i];
    }
    for (char *at = begin + 1; at < to && cut->splits; at++) {
        if (!is_metaspace(at, (size_t)(to - at))) continue;
        encode_piece(e, step + 1, begin, (size_t)(at - begin));
        begin = at;
    }
    encode_piece(e, step + 1, begin, (size_t)(to - begin));
}

// A piece of normalized text without added tokens, before a step of the pre-tokenizer.
static void encode_piece(encoder *e, size_t step, const char *text, size_t size) {
    const ftc_tokenizer *t = e->tokenizer;
    if (size == 0 || is_full(e)) return;
    if (step == t->n_cuts) {
        push_word(e, text, size);
        return;
    }
    switch (t->cuts[step].kind) {
    case FTC_CUT_CLASSES: cut_by_classes(e, step, text, size); return;
    case FTC_CUT_REGEX: cut_by_regex(e, step, text, size); return;
    case FTC_CUT_PREFIX_SPACE: prefix_space(e, step + 1, text, size); return;
    case FTC_CUT_METASPACE: cut_at_metaspace(e, step, text, size); return;
    }
}

static bool is_ascii(const char *text, size_t size) {
    unsigned char all = 0;
    for (size_t i = 0; i < size; i++) all |= (unsigned char)text[i];
    return all < 0x80;
}

// The normalized text: *text and *size become its own.
static ftc_status normalize(encoder *e, const char **text, size_t *size, size_t offset) {
    if (e->tokenizer->keeps_ascii && is_ascii(*text, *size)) return FTC_STATUS_OK;
    e->codepoints.count = 0;
    for (size_t at = 0; at < *size;) {
        uint32_t c;
        size_t n = ftc_utf8_decode(*text + at, *size - at, &c);
        if (n == 0)
            return ftc_status_make(FTC_BAD_INPUT, "the text is not valid UTF-8 (byte 0x%02x at offset %zu)",
                                   (uint8_t)(*text)[at], offset + at);
        ftc_codepoints_push(&e->codepoints, c);
        at += n;
    }
    e->problem = ftc_normalizer_apply(&e->tokenizer->normalizer, &e->codepoints, &e->spare);
    e->utf8 = ftc_grow(e->utf8, &e->utf8_capacity, e->codepoints.count * 4 + 1, 1);
    *size = 0;
    for (size_t i = 0; i < e->codepoints.count; i++)
        *size += ftc_utf8_encode(e->codepoints.data[i], e->utf8 + *size);
    *text = e->utf8;
    return FTC_STATUS_OK;
}

// Any text without unnormalized added tokens. `offset` is where it stands in what the user gave.
static ftc_status encode_slowly(encoder *e, const char *text, size_t size, size_t offset) {
    FTC_RETURN_IF_ERROR(normalize(e, &text, &size, offset));
    size_t covered = 0, search = 0;
    while (!is_full(e)) {
        added_match match = next_added(&e->tokenizer->normalized, text, size, &search, covered);
        if (e->adds_blank)
            prefix_space(e, 0, text + covered, match.begin - covered);
        else
            encode_piece(e, 0, text + covered, match.begin - covered);
        if (!match.token) break;
        push_ids(e, &match.token->id, 1);
        covered = match.end;
    }
    if (e->problem)
        return ftc_status_make(FTC_BAD_INPUT, "the text cannot be cut into words: %s", e->problem);
    return FTC_STATUS_OK;
}

// Whether what a chunk becomes does not depend on the blanks beside it: before it is normalized …
static bool stands_alone(const char *chunk, size_t size) {
    uint32_t first, last;
    size_t start = size;
    while (start > 0 && ((uint8_t)chunk[--start] & 0xC0) == 0x80) {
    }
    if (!ftc_utf8_decode(chunk, size, &first) || !ftc_utf8_decode(chunk + start, size - start, &last))
        return false;
    int32_t states[2] = {0};
    return !ftc_unicode_is_space(first) && !ftc_unicode_is_space(last) &&
           ftc_unicode_breaks_cluster(' ', first, &states[0]) &&
           ftc_unicode_breaks_cluster(last, ' ', &states[1]);
}

// … and behind that. Blanks at its ends do not matter where a class of its own drops them.
static bool still_stands_alone(const ftc_tokenizer *t, const char *text, size_t size) {
    size_t search = 0;
    bool has_blanks = !size || *text == ' ' || text[size - 1] == ' ' || is_metaspace(text, size);
    return (!has_blanks || t->cuts[0].kind == FTC_CUT_CLASSES) &&
           !next_added(&t->normalized, text, size, &search, 0).token;
}

// What stands between two blanks. False: it has to be encoded with what is beside it.
static bool encode_chunk(encoder *e, const char *chunk, size_t size) {
    const ftc_tokenizer *t = e->tokenizer;
    size_t n, before = e->count, normal_size = size;
    const int32_t *ids = ftc_chunk_cache_find(t->chunks, chunk, size, &n);
    if (ids) {
        push_ids(e, ids, n);
        return true;
    }
    const char *text = chunk;
    if (!stands_alone(chunk, size)) return false;
    ftc_status status = normalize(e, &text, &normal_size, 0);
    bool ok = status.code == FTC_OK && !e->problem && still_stands_alone(t, text, normal_size);
    ftc_status_free(&status);
    if (!ok) return false;
    encode_piece(e, 0, text, normal_size);
    if (!is_full(e)) ftc_chunk_cache_keep(t->chunks, chunk, size, e->ids + before, e->count - before);
    return true;
}

// The same where the chunk's bytes can be taken one by one, which is faster than to look it up. False: not
// all of them can.
static bool encode_bytes(encoder *e, const char *chunk, size_t size) {
    const uint8_t *class = e->tokenizer->class, *normal = e->tokenizer->normal;
    e->utf8 = ftc_grow(e->utf8, &e->utf8_capacity, size, 1);
    for (size_t i = 0; i < size; i++) {
        if (class[(uint8_t)chunk[i]] == FTC_CHAR_SLOW) return false;
        e->utf8[i] = (char)normal[(uint8_t)chunk[i]];
    }
    for (size_t at = 0; at < size;) {
        size_t begin = at++;
        int open = class[(uint8_t)chunk[begin]];
        while (open != FTC_CHAR_ALONE && at < size && class[(uint8_t)chunk[at]] == open) at++;
        push_word(e, e->utf8 + begin, at - begin);
    }
    return true;
}

// Chunk by chunk. False: the text has to be encoded as a whole.
static bool encode_chunks(encoder *e, const char *text, size_t size) {
    const bool *is_blank = e->tokenizer->is_blank;
    for (size_t at = 0, end; at < size && !is_full(e); at = end) {
        for (end = at; end < size && !is_blank[(uint8_t)text[end]]; end++) {
        }
        size_t n = end - at;
        if (n && !encode_bytes(e, text + at, n) && !encode_chunk(e, text + at, n)) return false;
        bool ends_in_blank = end < size;
        while (end < size && is_blank[(uint8_t)text[end]]) end++;
        if (end < size || !ends_in_blank) continue;
        const char *blank = " ";
        n = 1;
        ftc_status status = normalize(e, &blank, &n, 0);
        if (status.code == FTC_OK) encode_piece(e, 0, blank, n);
        ftc_status_free(&status);
    }
    return !e->problem;
}

// Text without unnormalized added tokens.
static ftc_status encode_segment(encoder *e, const char *text, size_t size, size_t offset) {
    size_t before = e->count;
    if (e->tokenizer->chunks && encode_chunks(e, text, size)) return FTC_STATUS_OK;
    e->count = before;
    e->problem = NULL;
    return encode_slowly(e, text, size, offset);
}

static ftc_status encode_text(encoder *e, const char *text) {
    size_t size = strlen(text), covered = 0, search = 0;
    while (!is_full(e)) {
        added_match match = next_added(&e->tokenizer->raw, text, size, &search, covered);
        FTC_RETURN_IF_ERROR(encode_segment(e, text + covered, match.begin - covered, covered));
        if (!match.token) break;
        push_ids(e, &match.token->id, 1);
        covered = match.end;
    }
    return FTC_STATUS_OK;
}

// --- whole inputs -------------------------------------------------------------------------------------

// Cuts the lengths of two texts so that they hold at most `room` tokens: the longer one gives first
// (the tokenizers library's "longest_first").
static void truncate_pair(size_t room, size_t *first, size_t *second) {
    if (*first + *second <= room) return;
    size_t *shorter = *first > *second ? second : first, *longer = shorter == first ? second : first;
    *longer = *shorter > room || room - *shorter < *shorter ? *shorter : room - *shorter;
    if (*shorter + *longer > room) {
        *shorter = room / 2;
        *longer = room - room / 2;
    }
}

static size_t part_length(const ftc_template_part *part, const size_t lengths[2]) {
    return part->text < 0 ? 1 : lengths[part->text];
}

static void apply_template(encoder *e, const ftc_template *template, const size_t begins[2],
                           const size_t lengths[2]) {
    ftc_tokens *out = e->out;
    size_t n = 0;
    for (size_t p = 0; p < template->count; p++) n += part_length(&template->parts[p], lengths);
    reserve(e, n);
    n = 0;
    for (size_t p = 0; p < template->count; p++) {
        const ftc_template_part *part = &template->parts[p];
        size_t length = part_length(part, lengths);
        if (!length) continue;
        const int32_t *ids = part->text < 0 ? &part->id : e->ids + begins[part->text];
        memcpy(out->ids + n, ids, length * sizeof *ids);
        n += length;
    }
    out->count = n;
    n = 0;
    for (size_t p = 0; p < template->count; p++) {
        const ftc_template_part *part = &template->parts[p];
        size_t length = part_length(part, lengths);
        while (length-- > 0) out->types[n++] = part->type;
    }
}

// How many tokens of texts have room in max_length beside the template's own.
static ftc_status room_in(const ftc_template *template, bool pair, int max_length, size_t *room) {
    size_t special = 0;
    for (size_t p = 0; p < template->count; p++) special += template->parts[p].text < 0;
    if (max_length < 0 || (size_t)max_length < special)
        return ftc_status_make(FTC_BAD_INPUT,
                               "a maximum length of %d has no room for the %zu special tokens that this "
                               "tokenizer adds to %s: set a maximum length of more than %zu (%zu leaves "
                               "nothing of a text)",
                               max_length, special, pair ? "two texts" : "a text", special, special);
    *room = (size_t)max_length - special;
    return FTC_STATUS_OK;
}

static ftc_status encode(encoder *e, const char *text, const char *pair, int max_length) {
    const ftc_template *template = &e->tokenizer->templates[pair ? FTC_TEMPLATE_PAIR : FTC_TEMPLATE_SINGLE];
    size_t room, begins[2] = {0}, lengths[2] = {0};
    FTC_RETURN_IF_ERROR(room_in(template, pair, max_length, &room));
    const char *texts[2] = {text, pair};
    for (int i = 0; i < 2 && texts[i]; i++) {
        begins[i] = e->count;
        e->limit = pair ? SIZE_MAX : room; // which of two texts is longer decides where they are cut
        FTC_RETURN_IF_ERROR(encode_text(e, texts[i]));
        lengths[i] = e->count - begins[i];
    }
    truncate_pair(room, &lengths[0], &lengths[1]);
    apply_template(e, template, begins, lengths);
    return FTC_STATUS_OK;
}

// out->words, of as many tokens as the template allows: for now, of each token of the text.
static void name_tokens(encoder *e, size_t before, size_t word) {
    ftc_tokens *out = e->out;
    out->words = ftc_grow(out->words, &out->words_capacity, e->count, sizeof *out->words);
    for (size_t i = before; i < e->count; i++) out->words[i] = (int32_t)word;
}

// The tokens of the text stand side by side in the template; the others are of no word.
static void move_names(ftc_tokens *out, const ftc_template *template, size_t length) {
    size_t begin = 0;
    out->words = ftc_grow(out->words, &out->words_capacity, out->count, sizeof *out->words);
    while (template->parts[begin].text < 0) begin++;
    if (length) memmove(out->words + begin, out->words, length * sizeof *out->words);
    for (size_t i = 0; i < out->count; i++)
        if (i < begin || i >= begin + length) out->words[i] = -1;
}

static ftc_status encode_words(encoder *e, const char *const *words, size_t n_words, int max_length) {
    const ftc_tokenizer *t = e->tokenizer;
    const ftc_template *template = &t->templates[FTC_TEMPLATE_SINGLE];
    size_t room, begins[2] = {0}, lengths[2] = {0};
    FTC_RETURN_IF_ERROR(room_in(template, false, max_length, &room));
    e->limit = room + 1; // so that one more than there is room for tells that the text is cut
    e->adds_blank = t->bpe != NULL;
    for (size_t i = 0; i < t->n_cuts; i++) e->adds_blank &= t->cuts[i].kind != FTC_CUT_PREFIX_SPACE;
    for (size_t i = 0; i < n_words && !is_full(e); i++) {
        size_t before = e->count;
        FTC_RETURN_IF_ERROR(encode_text(e, words[i]));
        name_tokens(e, before, i);
    }
    e->out->is_cut = e->count > room;
    lengths[0] = e->out->is_cut ? room : e->count;
    apply_template(e, template, begins, lengths);
    move_names(e->out, template, lengths[0]);
    return FTC_STATUS_OK;
}

static void free_encoder(encoder *e) {
    ftc_codepoints_free(&e->codepoints);
    ftc_codepoints_free(&e->spare);
    ftc_regex_match_free(&e->match);
    free(e->utf8);
    for (size_t i = 0; i <= FTC_MAX_CUTS; i++) free(e->changed[i].text);
}

ftc_status ftc_tokenizer_encode(const ftc_tokenizer *tokenizer, const char *text, const char *pair,
                                int max_length, ftc_tokens *out) {
    encoder e = {.tokenizer = tokenizer, .out = out};
    ftc_status status = encode(&e, text, pair, max_length);
    free_encoder(&e);
    return status;
}

ftc_status ftc_tokenizer_encode_words(const ftc_tokenizer *tokenizer, const char *const *words,
                                      size_t n_words, int max_length, ftc_tokens *out) {
    encoder e = {.tokenizer = tokenizer, .out = out};
    ftc_status status = encode_words(&e, words, n_words, max_length);
    free_encoder(&e);
    return status;
}

void ftc_tokens_free(ftc_tokens *tokens) {
    free(tokens->words);
    free(tokens->ids);
    free(tokens->types);
    *tokens = (ftc_tokens){0};
}

// --- the tokenizer ------------------------------------------------------------------------------------

// Whether the pre-tokenizer begins a word at each blank, and makes the same of it as of the start of a text.
static bool cuts_at_blanks(const ftc_tokenizer *t) {
    if (t->bpe || t->n_cuts == 0) return false;
    bool by_classes = t->cuts[0].kind == FTC_CUT_CLASSES;
    if (by_classes && !(t->cuts[0].split & (FTC_SPLIT_SPACES | FTC_SPLIT_SYMBOLS))) return false;
    if (by_classes && t->n_cuts == 1) return true;
    const ftc_cut *last = &t->cuts[t->n_cuts - 1];
    return t->n_cuts == 1 + (size_t)by_classes && last->kind == FTC_CUT_METASPACE && last->prepends &&
           last->splits && (by_classes || ftc_normalizer_squeezes(&t->normalizer));
}

// What the normalizer makes of a character of ASCII between others; -1: not one of ASCII.
static int normal_byte(const ftc_tokenizer *t, uint32_t c) {
    ftc_codepoints text = {0}, spare = {0};
    const uint32_t around[] = {'x', c, 'x'};
    for (size_t i = 0; i < 3; i++) ftc_codepoints_push(&text, around[i]);
    const char *problem = ftc_normalizer_apply(&t->normalizer, &text, &spare);
    bool is_one = !problem && text.count == 3 && text.data[0] == 'x' && text.data[2] == 'x';
    int normal = is_one && text.data[1] < 0x80 ? (int)text.data[1] : -1;
    ftc_codepoints_free(&text);
    ftc_codepoints_free(&spare);
    return normal;
}

// Of WordPiece, whose words are found and cut so quickly, the bytes that need not be looked at with others.
static void prepare_bytes(ftc_tokenizer *t) {
    bool by_bytes = !t->unigram && t->n_cuts == 1 && ftc_normalizer_is_by_character(&t->normalizer);
    for (uint32_t c = 0; c < 256; c++) {
        int normal = c < 0x80 ? normal_byte(t, c) : -1;
        bool fast = by_bytes && normal >= 0 && !t->normalized.starts[normal];
        int class = fast ? ftc_split_class(t->cuts[0].split, (uint32_t)normal) : FTC_CHAR_SLOW;
        t->is_blank[c] = c < 0x80 && ftc_unicode_is_space(c) && normal == ' ';
        t->class[c] = (uint8_t)(class == FTC_CHAR_SPACE ? FTC_CHAR_SLOW : class);
        t->normal[c] = (uint8_t)(fast ? normal : 0);
    }
}

void ftc_tokenizer_prepare(ftc_tokenizer *t) {
    t->keeps_ascii = ftc_normalizer_keeps_ascii(&t->normalizer);
    bool by_chunks = cuts_at_blanks(t) && ftc_normalizer_is_local(&t->normalizer);
    for (size_t i = 0; i < t->normalized.count; i++) // one may begin in one chunk and end in another
        for (const char *c = t->normalized.tokens[i].text; *c; c++) by_chunks &= *c != ' ';
    if (!by_chunks) return;
    t->chunks = ftc_chunk_cache_new();
    prepare_bytes(t);
}

static void added_tokens_free(ftc_added_tokens *list) {
    for (size_t i = 0; i < list->count; i++) free(list->tokens[i].text);
    free(list->tokens);
    ftc_wordpiece_free(list->places);
}

void ftc_tokenizer_close(ftc_tokenizer *t) {
    if (!t) return;
    ftc_normalizer_free(&t->normalizer);
    for (size_t i = 0; i < t->n_cuts; i++) ftc_regex_free(t->cuts[i].regex);
    ftc_bpe_free(t->bpe);
    ftc_unigram_free(t->unigram);
    ftc_wordpiece_free(t->vocabulary);
    ftc_chunk_cache_free(t->chunks);
    added_tokens_free(&t->raw);
    added_tokens_free(&t->normalized);
    free(t->directory);
    free(t);
}

int32_t ftc_tokenizer_vocab_size(const ftc_tokenizer *t) {
    return ftc_wordpiece_size(t->vocabulary);
}

int32_t ftc_tokenizer_pad_id(const ftc_tokenizer *t) {
    return t->pad_id;
}

int32_t ftc_tokenizer_unk_id(const ftc_tokenizer *t) {
    return t->unk_id;
}

int32_t ftc_tokenizer_mask_id(const ftc_tokenizer *t) {
    return t->mask_id;
}

void ftc_tokenizer_mark_special(const ftc_tokenizer *t, uint8_t *is_special) {
    const ftc_added_tokens *lists[] = {&t->raw, &t->normalized};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++)
            if (lists[l]->tokens[i].special) is_special[lists[l]->tokens[i].id] = 1;
    const int32_t roles[] = {t->unk_id, t->pad_id, t->mask_id};
    for (size_t i = 0; i < 3; i++)
        if (roles[i] >= 0) is_special[roles[i]] = 1;
}

const char *ftc_tokenizer_token(const ftc_tokenizer *t, int32_t id) {
    return ftc_wordpiece_token(t->vocabulary, id);
}

// With blanks for U+2581, but none at the start.
static char *read_metaspace(const char *token) {
    enum { SIZE = sizeof METASPACE - 1 };
    char *text = ftc_alloc(strlen(token) + 1, 1), *to = text;
    for (const char *from = token; *from;) {
        bool is_blank = strncmp(from, METASPACE, SIZE) == 0;
        if (!is_blank)
            *to++ = *from;
        else if (from != token)
            *to++ = ' ';
        from += is_blank ? SIZE : 1;
    }
    return text;
}

char *ftc_tokenizer_read(const ftc_tokenizer *t, int32_t id) {
    const char *token = ftc_tokenizer_token(t, id);
    size_t n;
    char *bytes = token && t->bpe ? ftc_bpe_bytes_of(token, &n) : NULL;
    if (bytes && ftc_utf8_check(bytes, n) == n) return bytes;
    free(bytes);
    if (token && t->unigram) return read_metaspace(token);
    return token ? ftc_strdup(token) : NULL;
}

int ftc_tokenizer_model_max_length(const ftc_tokenizer *t) {
    return t->model_max_length;
}

const char *ftc_tokenizer_directory(const ftc_tokenizer *t) {
    return t->directory;
}

bool ftc_tokenizer_is_by_class(const ftc_tokenizer *t) {
    return t->is_by_class;
}

const char *ftc_tokenizer_other_class(const ftc_tokenizer *t) {
    return t->other_class;
}

uint64_t ftc_tokenizer_fingerprint(const ftc_tokenizer *t) {
    return t->fingerprint;
}
