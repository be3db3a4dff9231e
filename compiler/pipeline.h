// Running passes one after the other: timed, verified, dumped where asked.
#ifndef FTC_PIPELINE_H
#define FTC_PIPELINE_H

#include "compiler/passes/passes.h"

typedef struct {
    ftc_pass_options pass;
    const char *const *skip; // what --no-pass switches off: passes, and rules as "simplify:demand"
    int n_skip;
    // Called after each pass with the graph as it is then; NULL: not.
    void (*after)(void *context, const ftc_pass *pass, const ftc_graph *g, double seconds);
    void *context;
    bool check_text; // print, parse back and compare after each pass
} ftc_pipeline_options;

// Runs the table's passes on `g` in order, those behind its stage where it has one. False after diagnostics;
// a graph that does not verify afterwards names the pass in a diagnostic.
bool ftc_pipeline_run(ftc_graph *g, const ftc_pipeline_options *options, ftc_diagnostics *d);

// Runs one pass with the same care.
bool ftc_pipeline_run_pass(ftc_graph *g, const ftc_pass *pass, const ftc_pipeline_options *options,
                           ftc_diagnostics *d);

#endif
