// What an artifact says of its code.
#include "compiler/manifest.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    ftc_diagnostics d = {0};
    ftc_manifest *m = ftc_manifest_read(text, &d);
    if (!m != !!d.count) abort();
    if (m) {
        char *written = ftc_manifest_write(m);
        ftc_manifest *again = ftc_manifest_read(written, &d);
        if (!again) abort();
        ftc_manifest_free(again);
        free(written);
        ftc_manifest_free(m);
    }
    ftc_diag_free(&d);
    free(text);
    return 0;
}
