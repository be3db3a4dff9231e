// Texts of models that are small enough to be run: compiled, called in guarded memory, beside the
// interpreter.
#include <stdlib.h>

#include "ir/lang/parse.h"
#include "ir/op.h"
#include "tests/fuzz/fuzz.h"

enum { MOST_NODES = 400, LARGEST_AXIS = 16, MOST_CELLS = 2048 };

static bool is_small(const ftc_graph *g) {
    if (g->n_nodes > MOST_NODES) return false;
    for (uint32_t i = 0; i < g->n_extents; i++)
        if (g->extents[i].bound > LARGEST_AXIS) return false;
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_type_max_elements(g, &g->nodes[id].type) > MOST_CELLS) return false;
    return true;
}

// A source has no kernels and no memory, and no gradients or updates yet.
static bool is_source(const ftc_graph *g) {
    for (uint32_t i = 0; i < g->n_decls; i++)
        if (g->decls[i].kind == FTC_DECL_MOMENT || g->decls[i].kind == FTC_DECL_GRADIENT ||
            g->decls[i].kind == FTC_DECL_TOUCHED || g->decls[i].kind == FTC_DECL_SCALAR)
            return false;
    return g->n_kernels <= 1 && !g->arena_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("fuzz", text, NULL, &d);
    bool compiled = g && is_source(g) && is_small(g) && fuzz_check_model(g, size);
    if (g) ftc_graph_free(g);
    ftc_diag_free(&d);
    free(text);
    return compiled ? 0 : -1; // the corpus grows by models that compile
}
