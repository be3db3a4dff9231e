// Token ids kept between runs, found by the content that they were made from: the texts of the rows in their
// order, the files of the tokenizer, and the maximum length. The name of a data file, its form and its other
// columns do not matter.
#ifndef FTC_RUNTIME_TOKEN_CACHE_H
#define FTC_RUNTIME_TOKEN_CACHE_H

#include "runtime/data/dataset.h"

#include <stdbool.h>

// Does what ftc_dataset_read does. When `dir` (NULL: no cache) holds the ids of the very same content they
// are read from there, and *hit is true; else the rows are tokenized and their ids are left there for the
// next time. The directory is made where there is none; one that cannot be read or written is as good as
// none. Of the files in it the 32 used last are kept.
ftc_status ftc_token_cache_read(const ftc_dataset_source *source, const char *dir, ftc_threads *threads,
                                ftc_dataset *out, bool *hit);

#endif
