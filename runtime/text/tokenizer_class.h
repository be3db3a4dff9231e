// What transformers 5 makes of a tokenizer.json. Of most classes (tokenizer_class) it takes vocabulary, added
// tokens and post-processor from the file, and makes normalizer and pre-tokenizer anew, by the class and by
// what tokenizer_config.json says; transformers 4 and the tokenizers library follow the file.
#ifndef FTC_RUNTIME_TOKENIZER_CLASS_H
#define FTC_RUNTIME_TOKENIZER_CLASS_H

#include "json/value.h"
#include "runtime/status.h"

#include <stdbool.h>

typedef struct ftc_tokenizer_class ftc_tokenizer_class;

// The class by which transformers 5 reads a directory: `config` is tokenizer_config.json, `model` config.json
// (each NULL where there is none). *out is NULL where that is one that follows the file. Fails where the
// class is not known here, or nothing names one.
ftc_status ftc_tokenizer_class_find(const cJSON *config, const cJSON *model, const ftc_tokenizer_class **out);

// The names that a class gives special tokens which no file names; NULL: none.
typedef struct {
    const char *begin, *end, *unknown, *pad, *mask;
    bool ends_twice; // between the texts of a pair
} ftc_tokenizer_names;

const ftc_tokenizer_names *ftc_tokenizer_class_names(const ftc_tokenizer_class *class);

const char *ftc_tokenizer_class_name(const ftc_tokenizer_class *class);

// Makes the parts of `tokenizer`, a tokenizer.json, what transformers 5 makes of them. Returns whether texts
// are cut otherwise by that.
bool ftc_tokenizer_class_apply(const ftc_tokenizer_class *class, const cJSON *config, cJSON *tokenizer);

// Whether it would.
bool ftc_tokenizer_class_differs(const ftc_tokenizer_class *class, const cJSON *config,
                                 const cJSON *tokenizer);

// Names in `config` what the class stands for, so that a class that follows the file reads the same tokens in
// both versions: PreTrainedTokenizerFast, with this one's special tokens and inputs where none are named.
void ftc_tokenizer_class_pin(const ftc_tokenizer_class *class, cJSON *config);

#endif
