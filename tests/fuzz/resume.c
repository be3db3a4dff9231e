// resume.json and trainer_state.json of a checkpoint, in one input with a NUL between them.
#include <stdlib.h>

#include "runtime/loop/train_state.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    // That of the corpus.
    const ftc_train_identity identity = {.examples = 40,
                                         .data = 7,
                                         .batch = 8,
                                         .shards = 1,
                                         .accumulation = 1,
                                         .batches_per_epoch = 5,
                                         .steps_per_epoch = 5,
                                         .seed = 42,
                                         .data_seed = 42,
                                         .max_steps = 15};
    const uint8_t *part;
    size_t n = fuzz_part(&data, &size, &part);
    free(fuzz_file("resume.json", part, n));
    free(fuzz_file("trainer_state.json", data, size));
    ftc_train_state state = {.history = ftc_history_make()};
    ftc_status status = ftc_train_state_read(fuzz_dir(), &identity, &state);
    if (status.code == FTC_OK) {
        if (state.step < 0 || state.step > identity.max_steps) abort();
        ftc_train_epoch(&state, &identity);
    }
    ftc_train_state_free(&state);
    fuzz_status(status);
    return 0;
}
