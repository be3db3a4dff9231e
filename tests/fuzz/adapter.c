// adapter_config.json of an adapter, whose base model is the directory itself where it says so: ".".
#include <stdlib.h>

#include "runtime/hub/adapter.h"
#include "runtime/hub/hf_dir.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ftc_adapter adapter;
    free(fuzz_file("config.json", (const uint8_t *)"{}", 2));
    free(fuzz_file("adapter_config.json", data, size));
    ftc_status status = ftc_adapter_read(fuzz_dir(), &adapter);
    if (status.code == FTC_OK) ftc_adapter_free(&adapter);
    fuzz_status(status);
    return 0;
}
