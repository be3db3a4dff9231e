// config.json of a model directory, and what is read of it.
#include <stdlib.h>

#include "runtime/hub/hf_dir.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ftc_hf_config *config = NULL;
    free(fuzz_file("config.json", data, size));
    ftc_status status = ftc_hf_config_read(fuzz_dir(), &config);
    if (status.code == FTC_OK) {
        const struct cJSON *at = NULL;
        const char *name, *text;
        char *value;
        double number;
        while (ftc_hf_config_next(config, &at, &name, &value)) {
            ftc_hf_config_number(config, name, &number);
            ftc_hf_config_text(config, name, &text);
            free(value);
        }
        int32_t labels = ftc_hf_config_label_count(config);
        for (int32_t i = 0; i < labels && i < 100; i++) ftc_hf_config_label(config, i);
        ftc_hf_label_count(fuzz_dir(), config);
        ftc_hf_config_free(config);
    }
    fuzz_status(status);
    return 0;
}
