// Text to token ids, exactly as Hugging Face's tokenizers do it: WordPiece, byte-level BPE, Unigram.
#ifndef FTC_RUNTIME_TOKENIZER_H
#define FTC_RUNTIME_TOKENIZER_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ftc_tokenizer ftc_tokenizer;

// Reads the tokenizer of a Hugging Face directory:
//   - tokenizer.json if there is one: its normalizer, pre-tokenizer, template and added tokens are
//     honoured, or refused by name; the truncation and padding stored in it are ignored;
//   - else vocab.txt, with do_lower_case, strip_accents, tokenize_chinese_chars and the names of the
//     special tokens from tokenizer_config.json (which may be missing: then those of BERT, uncased);
//   - else vocab.json and merges.txt, as RoBERTa and GPT-2 have them.
// The special tokens that tokenizer_config.json names are recognized in texts ("[SEP]", "[MASK]", …), if the
// vocabulary has them.
ftc_status ftc_tokenizer_open(const char *directory, ftc_tokenizer **out);

// The same; `by_class`: normalizer and pre-tokenizer are not tokenizer.json's, but those that transformers 5
// makes by the tokenizer's class (tokenizer_class.h).
ftc_status ftc_tokenizer_open_as(const char *directory, bool by_class, ftc_tokenizer **out);
void ftc_tokenizer_close(ftc_tokenizer *tokenizer);

// The tokens of one text or pair. All zero at first; ftc_tokenizer_encode fills it, reusing its memory.
typedef struct {
    int32_t *ids, *types; // [count]; a type is 0 in the first text, 1 in the second
    size_t count, capacity;
    // Of words alone: [count] the word that a token is of, -1 of a special one; and what was cut off of the
    // text.
    int32_t *words;
    size_t words_capacity;
    bool is_cut;
} ftc_tokens;

void ftc_tokens_free(ftc_tokens *tokens);

// Encodes `text`, or `text` and `pair` (NULL: none), as "[CLS] text [SEP]" or "[CLS] text [SEP] pair [SEP]"
// (or what the post-processor of tokenizer.json says), cut to `max_length` tokens, special ones included: the
// longer of the two loses first. Several threads may use one tokenizer at the same time. Fails if a text is
// no UTF-8 or `max_length` has no room for the special tokens; *out is then undefined, but may be used
// again.
ftc_status ftc_tokenizer_encode(const ftc_tokenizer *tokenizer, const char *text, const char *pair,
                                int max_length, ftc_tokens *out);

// The same for one text that is cut into words already (is_split_into_words of transformers): each is encoded
// by itself, behind a blank where the model is BPE over bytes. Fills out->words.
ftc_status ftc_tokenizer_encode_words(const ftc_tokenizer *tokenizer, const char *const *words,
                                      size_t n_words, int max_length, ftc_tokens *out);

// The largest id plus 1: what the model's embedding must at least have as rows.
int32_t ftc_tokenizer_vocab_size(const ftc_tokenizer *tokenizer);

// The ids of the padding, the unknown and the mask token; -1 if there is no such token.
int32_t ftc_tokenizer_pad_id(const ftc_tokenizer *tokenizer);
int32_t ftc_tokenizer_unk_id(const ftc_tokenizer *tokenizer);
int32_t ftc_tokenizer_mask_id(const ftc_tokenizer *tokenizer);

// Sets is_special[id], [ftc_tokenizer_vocab_size], of the tokens that are no part of a text: those that have
// a role (unknown, padding, mask, …) and the added ones that are called special.
void ftc_tokenizer_mark_special(const ftc_tokenizer *tokenizer, uint8_t *is_special);

// The text of a token, NULL for an id that no token has; lives as long as the tokenizer.
const char *ftc_tokenizer_token(const ftc_tokenizer *tokenizer, int32_t id);

// How a token reads where it stands alone, as the tokenizers library decodes it; allocated, NULL for an id
// that no token has. One whose bytes are no whole characters reads as its name.
char *ftc_tokenizer_read(const ftc_tokenizer *tokenizer, int32_t id);

// model_max_length of tokenizer_config.json, in tokens; 0 if it names none.
int ftc_tokenizer_model_max_length(const ftc_tokenizer *tokenizer);

// What it was opened by.
const char *ftc_tokenizer_directory(const ftc_tokenizer *tokenizer);
bool ftc_tokenizer_is_by_class(const ftc_tokenizer *tokenizer);

// The class by which transformers 5 would cut texts otherwise than tokenizer.json says, and so than this
// tokenizer does; NULL: there is none.
const char *ftc_tokenizer_other_class(const ftc_tokenizer *tokenizer);

// A hash of all files that it was read from.
uint64_t ftc_tokenizer_fingerprint(const ftc_tokenizer *tokenizer);

#endif
