// A unigram language model: a word is cut into the tokens whose scores together are highest.
#ifndef FTC_RUNTIME_UNIGRAM_H
#define FTC_RUNTIME_UNIGRAM_H

#include "runtime/text/wordpiece.h"

typedef struct ftc_unigram ftc_unigram;

// Over the tokens of a vocabulary, which lives as long; `scores` by id, [n]. What no token covers is the
// token `unk_id`.
ftc_unigram *ftc_unigram_new(const ftc_wordpiece *vocabulary, const double *scores, size_t n, int32_t unk_id);
void ftc_unigram_free(ftc_unigram *unigram);

// Cuts a word (UTF-8, at least one byte): ids to `out`, which has room for `size` of them. Returns how many.
// Unknown characters that stand side by side are one token.
size_t ftc_unigram_cut(const ftc_unigram *unigram, const char *word, size_t size, int32_t *out);

#endif
