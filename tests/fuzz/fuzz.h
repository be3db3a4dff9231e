// What fuzz targets share. Each target defines LLVMFuzzerTestOneInput (libFuzzer) for one format.
#ifndef FTC_TESTS_FUZZ_H
#define FTC_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "ir/graph.h"
#include "runtime/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The bytes as text, up to a NUL where they have one; to be freed.
char *fuzz_text(const uint8_t *data, size_t size);

// A folder of this process in memory, which goes at its end. Writes NAME there; its path is allocated.
const char *fuzz_dir(void);
char *fuzz_file(const char *name, const uint8_t *data, size_t size);

// Several files in one input, split by NUL: takes what lies before the first one and moves on behind it.
size_t fuzz_part(const uint8_t **data, size_t *size, const uint8_t **part);

// What a reader said: its message must be one line, and is freed.
void fuzz_status(ftc_status status);

// Compiles a verified graph for the generic target, with a gradient where it has a loss, runs it in guarded
// memory on values of the seed and compares it with the interpreter. Dies where they differ. False: it was
// refused.
bool fuzz_check_model(const ftc_graph *source, uint64_t seed);

#endif
