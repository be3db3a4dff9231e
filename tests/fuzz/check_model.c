#include <stdlib.h>
#include <string.h>

#include "compiler/artifact.h"
#include "compiler/codegen/target.h"
#include "compiler/passes/passes.h"
#include "ir/verify.h"
#include "tests/compare_outputs.h"
#include "tests/fuzz/fuzz.h"

static bool has_gradients(const ftc_graph *g) {
    bool loss = false, params = false;
    for (uint32_t i = 0; i < g->n_outputs; i++) loss |= g->outputs[i].role == FTC_OUTPUT_LOSS;
    for (uint32_t i = 0; i < g->n_decls; i++) params |= g->decls[i].kind == FTC_DECL_PARAM;
    return loss && params;
}

static void run(const ftc_graph *source, ftc_entry_kind entry, const ftc_program *program, uint64_t seed) {
    ftc_diagnostics d = {0};
    test_counts counts = {0};
    ftc_graph *g = ftc_compile_entry_graph(source, entry);
    ftc_pass_options options = {.entry = entry};
    bool ok = ftc_pass_bounds(g, &options, &d) &&
              (entry == FTC_ENTRY_EVAL || ftc_pass_differentiate(g, &options, &d)) && ftc_verify_graph(g, &d);
    if (!ok) abort(); // the compiler has done it
    test_compare_outputs(g, entry, program, seed, 1, ftc_entry_name(entry), &counts);
    ftc_graph_free(g);
}

bool fuzz_check_model(const ftc_graph *source, uint64_t seed) {
    bool gradients = has_gradients(source);
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_EVAL | (uint32_t)gradients << FTC_ENTRY_GRAD,
                                   .target = ftc_target_named("generic"),
                                   .bf16 = false,
                                   .guard = true,
                                   .check_text = seed % 16 == 0};
    ftc_diagnostics d = {0};
    ftc_compiled compiled;
    bool ok = ftc_compile(source, &options, &compiled, &d);
    if (ok) {
        ftc_loaded_program *loaded = ftc_program_take(&compiled, &d);
        if (!loaded) abort();
        run(source, FTC_ENTRY_EVAL, ftc_program_of(loaded), seed);
        if (gradients) run(source, FTC_ENTRY_GRAD, ftc_program_of(loaded), seed);
        ftc_program_unload(loaded);
    }
    for (int i = 0; i < d.count && i < FTC_MAX_DIAGNOSTICS; i++)
        if (strstr(d.list[i].text, "internal error")) abort();
    ftc_diag_free(&d);
    return ok;
}
