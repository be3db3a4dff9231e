// Opens the tokenizer in fuzz_dir() and lets it cut some texts, the input itself too.
#ifndef FTC_TESTS_FUZZ_TOKENIZER_H
#define FTC_TESTS_FUZZ_TOKENIZER_H

#include <stdlib.h>

#include "runtime/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

static inline void fuzz_tokenizer(const char *own) {
    ftc_tokenizer *tokenizer = NULL;
    ftc_status status = ftc_tokenizer_open(fuzz_dir(), &tokenizer);
    if (status.code == FTC_OK) {
        static const int LENGTHS[] = {2, 3, 512};
        const char *texts[] = {"", "the soup was coldish, un\xc3\xa9tonnante \xe4\xb8\xad [MASK] x<s>y", own};
        ftc_tokens tokens = {0};
        for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++)
            for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
                ftc_status encoded =
                    ftc_tokenizer_encode(tokenizer, texts[k], i % 2 ? texts[1] : NULL, LENGTHS[i], &tokens);
                bool wrong = tokens.count > (size_t)LENGTHS[i];
                for (size_t t = 0; encoded.code == FTC_OK && t < tokens.count; t++)
                    wrong |= tokens.ids[t] < 0 || tokens.ids[t] >= ftc_tokenizer_vocab_size(tokenizer);
                if (encoded.code == FTC_OK && wrong) abort();
                fuzz_status(encoded);
            }
        for (int32_t id = -1; id < 100; id++) ftc_tokenizer_token(tokenizer, id);
        ftc_tokens_free(&tokens);
        ftc_tokenizer_close(tokenizer);
    }
    fuzz_status(status);
}

#endif
