// The file of `ftc run --args`.
#include <stdlib.h>

#include "compiler/driver/run_options.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const ftc_command self = {.name = "run"};
    const ftc_model_candidate candidate = {.path = "model.ir"};
    char *path = fuzz_file("args.json", data, size), *argv[] = {"--args", path, NULL};
    ftc_run_options options = ftc_run_options_default();
    options.run.args = path;
    ftc_run_options_resolve(&self, 2, argv, &candidate, &options);
    ftc_run_options_free(&options);
    free(path);
    return 0;
}
