// tokenizer.json of a model directory.
#include "tests/fuzz/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    free(fuzz_file("tokenizer.json", data, size));
    fuzz_tokenizer(text);
    free(text);
    return 0;
}
