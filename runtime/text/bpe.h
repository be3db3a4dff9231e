// Byte-pair encoding over bytes: a word begins as its bytes, and the pair of neighbours that was learned
// first is joined, again and again.
#ifndef FTC_RUNTIME_BPE_H
#define FTC_RUNTIME_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ftc_bpe ftc_bpe;

// The bytes that a token of a vocabulary over bytes stands for by its name ("Ġgood": " good"), allocated,
// with a zero behind them; NULL where it has other characters.
char *ftc_bpe_bytes_of(const char *token, size_t *n_bytes);

// Without tokens and merges. `whole_words`: a word that is a token becomes that one, whatever the merges make
// of it.
ftc_bpe *ftc_bpe_new(bool whole_words);
void ftc_bpe_free(ftc_bpe *bpe);

// A token of `size` bytes (at least 1), with an id from 0 on. Tokens come before merges.
void ftc_bpe_add_token(ftc_bpe *bpe, const char *bytes, size_t size, int32_t id);

// The id of a token, -1: there is none such.
int32_t ftc_bpe_id(const ftc_bpe *bpe, const char *bytes, size_t size);

// The next merge: of the first `left` bytes of a text with the others. False if a part or the whole is no
// token.
bool ftc_bpe_add_merge(ftc_bpe *bpe, const char *bytes, size_t size, size_t left);

// Finds out which words are known without their merges; to be called once, after the last merge. Returns a
// byte of UTF-8 that is no token, -1: all are.
int ftc_bpe_prepare(ftc_bpe *bpe);

// Cuts a word of at least one byte into tokens: ids to `out`, which has room for `size` of them. Returns how
// many.
size_t ftc_bpe_cut(const ftc_bpe *bpe, const char *word, size_t size, int32_t *out);

#endif
