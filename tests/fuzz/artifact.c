// Artifacts, behind their hash: the object file in them and its sections. Nothing is executed.
#include "compiler/artifact.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *bytes = malloc(size + 1);
    if (!bytes) abort();
    if (size) memcpy(bytes, data, size);
    ftc_object object = {bytes, size};
    ftc_diagnostics d = {0};
    ftc_manifest *m = ftc_artifact_describe(&object, &d);
    if (!m != !!d.count) abort();
    ftc_manifest_free(m);
    free(ftc_artifact_section(&object, "graph", &d));
    ftc_diag_free(&d);
    free(bytes);
    return 0;
}
