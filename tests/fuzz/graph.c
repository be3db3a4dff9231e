// Random graphs that are valid by construction: each byte of the input is a choice. Compiled, called in
// guarded memory, beside the interpreter.
#include "tests/fuzz/fuzz.h"
#include "tests/random_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return -1;
    test_graph_options options = {.n_nodes = 2 + data[0] % 12,
                                  .quadratic = data[1] & 1,
                                  .wide = data[1] & 2,
                                  .smooth = data[1] & 4,
                                  .step_abi = true,
                                  .bytes = data + 2,
                                  .n_bytes = size - 2};
    ftc_graph *g = test_random_graph(data[1] >> 3, &options);
    bool compiled = fuzz_check_model(g, data[1] >> 3);
    ftc_graph_free(g);
    return compiled ? 0 : -1;
}
