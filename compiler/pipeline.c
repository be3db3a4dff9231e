#include "compiler/pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ir/parse.h"
#include "ir/print.h"
#include "ir/verify.h"

const ftc_pass ftc_passes[] = {
    {"freeze", ftc_pass_freeze, false, "marks the parameters that the train block excludes from training"},
    {"differentiate", ftc_pass_differentiate, false,
     "appends the gradient of the loss with respect to every trained parameter; no gradient text is left"},
    {"optimizer", ftc_pass_optimizer, false,
     "appends the update, or the accumulation, of every trained parameter"},
    {"simplify", ftc_pass_simplify, true, "rewrites to a fixed point: algebra, constants, demand"},
    {"cse", ftc_pass_cse, true, "computes equal values once"},
    {"dce", ftc_pass_dce, true, "drops what no output and no update needs"},
    {"remat", ftc_pass_remat, false,
     "recomputes in the backward phase what is cheaper to make again than to keep"},
    {"precision", ftc_pass_precision, false,
     "with --precision bf16: rounds what contractions read and what is kept for the backward phase"},
    {"layout", ftc_pass_layout, false, "chooses the order of axes in memory"},
    {"lower", ftc_pass_lower, false,
     "rewrites contractions that no kernel does, and outputs without a kernel"},
    {"fuse", ftc_pass_fuse, false, "groups the nodes into kernels, in an order that frees gradients at once"},
    {"schedule", ftc_pass_schedule, false, "decides where all threads wait"},
    {"plan", ftc_pass_plan, false, "gives every value that outlives its kernel a fixed place in one arena"},
};
const int ftc_n_passes = sizeof ftc_passes / sizeof *ftc_passes;

const ftc_pass *ftc_pass_find(const char *name) {
    for (int i = 0; i < ftc_n_passes; i++)
        if (!strcmp(ftc_passes[i].name, name)) return &ftc_passes[i];
    return NULL;
}

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Whether the graph's text, parsed back, is the graph.
static bool survives_text(const ftc_graph *g, ftc_diagnostics *d) {
    char *text = ftc_print_text(g), why[256];
    ftc_graph *again = ftc_parse_text("printed graph", text, NULL, d);
    bool equal = again && ftc_graph_equal(g, again, why, sizeof why);
    if (again && !equal) ftc_diag_add(d, NULL, NULL, 0, 0, "%s", why);
    if (again) ftc_graph_free(again);
    free(text);
    return equal;
}

bool ftc_pipeline_run_pass(ftc_graph *g, const ftc_pass *pass, const ftc_pipeline_options *options,
                           ftc_diagnostics *d) {
    double start = now_seconds();
    if (!pass->run(g, &options->pass, d)) return false;
    double seconds = now_seconds() - start;
    if (!ftc_verify_graph(g, d)) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "internal error: pass %s left a graph that does not verify",
                     pass->name);
        return false;
    }
    if (options->check_text && !survives_text(g, d)) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "internal error: after pass %s the graph does not survive its text",
                     pass->name);
        return false;
    }
    if (options->after) options->after(options->context, pass, g, seconds);
    return true;
}

bool ftc_pipeline_run(ftc_graph *g, const ftc_pipeline_options *options, ftc_diagnostics *d) {
    for (int i = 0; i < ftc_n_passes; i++) {
        const ftc_pass *pass = &ftc_passes[i];
        bool skipped = false;
        for (int s = 0; s < options->n_skip; s++) skipped |= !strcmp(options->skip[s], pass->name);
        if (!skipped && !ftc_pipeline_run_pass(g, pass, options, d)) return false;
    }
    return true;
}
