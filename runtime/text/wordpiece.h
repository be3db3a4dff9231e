// A WordPiece vocabulary: tokens and their ids, and the greedy cutting of a word into the longest pieces it
// has.
#ifndef FTC_RUNTIME_WORDPIECE_H
#define FTC_RUNTIME_WORDPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ftc_wordpiece ftc_wordpiece;

#define FTC_WORDPIECE_MAX_ID ((1 << 23) - 1)

// An empty vocabulary; `prefix` marks a piece that continues a word ("##"), a word of more than `max_chars`
// code points is unknown.
ftc_wordpiece *ftc_wordpiece_new(const char *prefix, int max_chars);
void ftc_wordpiece_free(ftc_wordpiece *vocabulary);

// Gives `token` (UTF-8, `size` bytes, at least 1) the id 0 … FTC_WORDPIECE_MAX_ID; a token may be given
// another id later. All tokens together must have less than 16 MiB.
void ftc_wordpiece_add(ftc_wordpiece *vocabulary, const char *token, size_t size, int32_t id);

// The same for a token that no word is cut into.
void ftc_wordpiece_add_name(ftc_wordpiece *vocabulary, const char *token, size_t size, int32_t id);

// The id of a token that words are cut into, -1 if there is none such.
int32_t ftc_wordpiece_id(const ftc_wordpiece *vocabulary, const char *token, size_t size);

// Goes on by one byte through the tokens that a text begins with: *node is 0 at first. False: no token goes
// on so. *token is the id of the one that ends there, -1: none does.
bool ftc_wordpiece_step(const ftc_wordpiece *vocabulary, uint8_t byte, uint32_t *node, int32_t *token);

// The token of an id, NULL if there is none such; lives as long as the vocabulary.
const char *ftc_wordpiece_token(const ftc_wordpiece *vocabulary, int32_t id);

// The largest id plus 1.
int32_t ftc_wordpiece_size(const ftc_wordpiece *vocabulary);

// Cuts the word (UTF-8) into pieces: ids to `out`, which has room for `size` of them. Returns their number, 0
// if the word has no such pieces or is too long.
size_t ftc_wordpiece_cut(const ftc_wordpiece *vocabulary, const char *word, size_t size, int32_t *out);

#endif
