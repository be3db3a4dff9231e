// What sentence-transformers keeps beside an encoder: which vector of its tokens' stands for a text.
// https://sbert.net/docs/package_reference/sentence_transformer/models.html
//
//   modules.json               the encoder, then Pooling and Normalize with the folders of their settings
//   1_Pooling/config.json      the mode, and how wide a vector is
//   sentence_bert_config.json  how many tokens a text has at most
#ifndef FTC_RUNTIME_POOLING_H
#define FTC_RUNTIME_POOLING_H

#include "runtime/status.h"

#include <stdint.h>

// The files and folders of a directory that this writes, NULL behind the last.
extern const char *const ftc_pooling_files[];

// The mode that a directory names, as sentence-transformers calls it: "mean", "cls", "max", "lasttoken", …;
// "unknown" where modules.json names another; NULL: the directory is none of sentence-transformers.
const char *ftc_pooling_of(const char *dir);

// Writes the files into `dir`: vectors of so many numbers by this mode, "mean" or "cls", and of length 1, out
// of at most `max_length` tokens (0: as many as the tokenizer says).
ftc_status ftc_pooling_write(const char *dir, const char *mode, int64_t width, int64_t max_length);

#endif
