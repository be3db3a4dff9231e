// vocab.json, merges.txt and tokenizer_config.json of a model directory, in one input with NULs between them.
#include "tests/fuzz/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    static const char *const FILES[] = {"vocab.json", "merges.txt"};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        const uint8_t *part;
        size_t n = fuzz_part(&data, &size, &part);
        free(fuzz_file(FILES[i], part, n));
    }
    free(fuzz_file("tokenizer_config.json", data, size));
    fuzz_tokenizer(text);
    free(text);
    return 0;
}
