// What a loaded tokenizer consists of: filled by tokenizer_load.c, used by tokenizer.c.
#ifndef FTC_RUNTIME_TOKENIZER_INTERNAL_H
#define FTC_RUNTIME_TOKENIZER_INTERNAL_H

#include "runtime/text/bpe.h"
#include "runtime/text/chunk_cache.h"
#include "runtime/text/normalize.h"
#include "runtime/text/regex.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/unigram.h"
#include "runtime/text/wordpiece.h"

#include <stdbool.h>

// A token that is sought in the text itself, before words are split.
typedef struct {
    char *text;
    size_t size; // bytes, at least 1
    int32_t id;
    bool single_word;    // not where a word character stands beside it
    bool lstrip, rstrip; // swallows the white space to its left, right
    bool special;        // no part of a text
} ftc_added_token;

typedef struct {
    ftc_added_token *tokens;
    size_t count, capacity;
    size_t bytes;          // of their texts
    ftc_wordpiece *places; // of each token in `tokens`, by its text; NULL where there is none
    bool starts[256];      // whether some token begins with this byte
} ftc_added_tokens;

// How the pre-tokenizer cuts normalized text into words; all flags together are a Sequence.
enum {
    FTC_SPLIT_SPACES = 1,      // at white space, which is dropped
    FTC_SPLIT_PUNCTUATION = 2, // around every punctuation character
    FTC_SPLIT_SYMBOLS = 4,     // between word characters and others (\w+|[^\w\s]+)
};

// The class that splitting gives to a character: neighbours of one class stand in one word.
enum {
    FTC_CHAR_WORD,
    FTC_CHAR_SYMBOL,
    FTC_CHAR_ALONE, // a word of its own
    FTC_CHAR_SPACE, // no part of a word
    FTC_CHAR_SLOW,  // (bytes only) not to be taken by itself
};

// A step of the pre-tokenizer: what it makes of a piece of normalized text, the next step gets, and after the
// last one the model.
typedef struct {
    enum {
        FTC_CUT_CLASSES,      // by the classes of characters
        FTC_CUT_REGEX,        // around every match
        FTC_CUT_PREFIX_SPACE, // not at all: a blank before it where there is none
        FTC_CUT_METASPACE,    // before every blank, which becomes U+2581, as one that is put before it
    } kind;
    unsigned split; // FTC_CUT_CLASSES: FTC_SPLIT_*
    ftc_regex *regex;
    bool drops_matches, drops_others; // FTC_CUT_REGEX
    bool prepends, splits;            // FTC_CUT_METASPACE
} ftc_cut;

enum { FTC_MAX_CUTS = 8 };

// One part of the template by which special tokens are put around the texts.
typedef struct {
    int32_t text; // 0: the first text, 1: the second, -1: the token `id`
    int32_t id, type;
} ftc_template_part;

enum { FTC_TEMPLATE_SINGLE, FTC_TEMPLATE_PAIR, FTC_TEMPLATE_MAX_PARTS = 16 };

typedef struct {
    ftc_template_part parts[FTC_TEMPLATE_MAX_PARTS];
    size_t count;
} ftc_template;

struct ftc_tokenizer {
    ftc_normalizer normalizer;
    ftc_cut cuts[FTC_MAX_CUTS];
    size_t n_cuts;
    ftc_wordpiece *vocabulary;        // all tokens by their names
    ftc_bpe *bpe;                     // what cuts words where it is BPE …
    ftc_unigram *unigram;             // … or a unigram model; else the vocabulary does
    ftc_added_tokens raw, normalized; // sought before, after normalization
    ftc_template templates[2];
    int32_t unk_id, pad_id, mask_id; // -1: none
    int model_max_length;
    char *directory;
    bool is_by_class;
    uint64_t fingerprint;    // of the files read so far
    const char *other_class; // by which transformers 5 would cut otherwise; NULL: none

    // Derived by ftc_tokenizer_prepare.
    bool keeps_ascii;        // whether the normalizer does
    ftc_chunk_cache *chunks; // NULL: what stands between two blanks cannot be encoded by itself
    bool is_blank[256];      // the bytes that chunks stand between; a run of them is as good as one
    uint8_t class[256];      // FTC_CHAR_* of a chunk's bytes that become what they become by themselves …
    uint8_t normal[256];     // … and what that is
};

// Appends a copy of the token. All texts together must have less than 16 MiB.
void ftc_added_tokens_push(ftc_added_tokens *list, ftc_added_token token);

// The class of a normalized character.
int ftc_split_class(unsigned split, uint32_t c);

// Fills the derived fields in; to be called when everything else is there.
void ftc_tokenizer_prepare(ftc_tokenizer *tokenizer);

#endif
