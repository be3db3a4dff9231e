#include "runtime/hub/safetensors.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *path = fuzz_file("model.safetensors", data, size);
    ftc_safetensors *file = NULL;
    ftc_status status = ftc_safetensors_open(path, &file);
    if (status.code == FTC_OK) {
        for (int32_t i = 0; i < ftc_safetensors_count(file); i++) {
            const ftc_safetensor *t = ftc_safetensors_at(file, i);
            int64_t n = 1;
            for (int32_t k = 0; k < t->rank; k++) n *= t->dims[k];
            if (t->bytes > (int64_t)size || !ftc_safetensors_find(file, t->name)) abort();
            if (t->dtype == FTC_SAFE_OTHER || t->dtype == FTC_SAFE_I32 || t->dtype == FTC_SAFE_U32) continue;
            if (n < 0 || n > t->bytes) abort();
            float *values = calloc((size_t)n + 1, sizeof *values);
            fuzz_status(ftc_safetensors_read_f32(t, values));
            ftc_safetensors_release(t);
            free(values);
        }
        ftc_safetensors_close(file);
    }
    fuzz_status(status);
    free(path);
    return 0;
}
