#include "compiler/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/simplify.h"
#include "ir/base/alloc.h"
#include "ir/base/clock.h"
#include "ir/base/name.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"

#define FROM_UPDATES (FTC_HAS_UPDATES | FTC_HAS_KERNELS | FTC_HAS_MEMORY)
#define FROM_KERNELS (FTC_HAS_KERNELS | FTC_HAS_MEMORY)

const ftc_pass ftc_passes[] = {
    {"freeze", ftc_pass_freeze, false, 0, FTC_HAS_GRADIENTS | FROM_UPDATES,
     "marks the parameters that the train block excludes from training"},
    {"bounds", ftc_pass_bounds, false, 0, FTC_HAS_GRADIENTS | FROM_UPDATES,
     "lets no index leave its table: what is not shown to be a row is replaced by the nearest, and checked"},
    {"shrink", ftc_pass_simplify, true, 0, FTC_HAS_GRADIENTS | FROM_UPDATES,
     "simplify before there are gradients: computes what the outputs read, and the backward phase inherits "
     "it"},
    {"differentiate", ftc_pass_differentiate, false, 0, FTC_HAS_GRADIENTS | FROM_UPDATES,
     "appends the gradient of the loss with respect to every trained parameter; no gradient text is left"},
    {"optimizer", ftc_pass_optimizer, false, 0, FROM_UPDATES,
     "appends the update, or the accumulation, of every trained parameter"},
    {"assign", ftc_pass_assign, false, 0, FROM_KERNELS,
     "gives updated(W) the optimizer's value, and puts what the model's own assignments need behind the "
     "updates"},
    {"simplify", ftc_pass_simplify, true, 0, FROM_KERNELS,
     "rewrites to a fixed point: algebra, constants, demand"},
    {"cse", ftc_pass_cse, true, 0, FROM_KERNELS, "computes equal values once"},
    {"dce", ftc_pass_dce, true, 0, FROM_KERNELS, "drops what no output and no update needs"},
    {"scalars", ftc_pass_scalars, false, 0, FROM_KERNELS,
     "leaves to the caller what follows from arguments and the step alone: computed in double, once a step"},
    {"remat", ftc_pass_remat, false, 0, FROM_KERNELS,
     "recomputes in the backward phase what is cheaper to make again than to keep"},
    {"precision", ftc_pass_precision, false, 0, FROM_KERNELS,
     "with --precision bf16: rounds what contractions read and what is kept for the backward phase"},
    {"layout", ftc_pass_layout, false, 0, FROM_KERNELS, "chooses the order of axes in memory"},
    {"lower", ftc_pass_lower, false, 0, FROM_KERNELS,
     "rewrites contractions that no kernel does, and outputs without a kernel"},
    {"fuse", ftc_pass_fuse, false, 0, FROM_KERNELS,
     "groups the nodes into kernels, in an order that frees gradients at once"},
    {"schedule", ftc_pass_schedule, false, FTC_HAS_KERNELS, FTC_HAS_MEMORY, "decides where all threads wait"},
    {"plan", ftc_pass_plan, false, FTC_HAS_KERNELS, FTC_HAS_MEMORY,
     "gives every value that outlives its kernel a fixed place in one arena"},
};
const int ftc_n_passes = sizeof ftc_passes / sizeof *ftc_passes;

const ftc_pass *ftc_pass_find(const char *name) {
    for (int i = 0; i < ftc_n_passes; i++)
        if (!strcmp(ftc_passes[i].name, name)) return &ftc_passes[i];
    return NULL;
}

// Adds "OPTION NAME: WHY; did you mean NEAREST?"; always false.
static bool refuse(const char *option, const char *name, const char *why, const char *nearest,
                   ftc_diagnostics *d) {
    ftc_diag_add(d, NULL, NULL, 0, 0, "%s %s: %s%s%s%s", option, name, why, nearest ? "; did you mean " : "",
                 nearest ? nearest : "", nearest ? "?" : "");
    return false;
}

bool ftc_pass_check_name(const char *option, const char *name, const char *const *also, ftc_diagnostics *d) {
    const char *names[sizeof ftc_passes / sizeof *ftc_passes + 8];
    int n = 0;
    for (; also && also[n]; n++) names[n] = also[n];
    for (int i = 0; i < ftc_n_passes; i++) names[n++] = ftc_passes[i].name;
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return true;
    return refuse(option, name, "there is no such pass", ftc_name_nearest(name, names, n), d);
}

// The rule in PASS:RULE; NULL: the name is that of a pass, or has another pass.
static const char *rule_of(const char *name, const ftc_pass *pass) {
    size_t n = strlen(pass->name);
    return !strncmp(name, pass->name, n) && name[n] == ':' ? name + n + 1 : NULL;
}

static const char NO_PASS[] = "--no-pass";

static bool check_rule(const char *name, const ftc_pass *pass, const char *rule, ftc_diagnostics *d) {
    if (pass->run != ftc_pass_simplify) return refuse(NO_PASS, name, "the pass has no rules", NULL, d);
    const char **names = ftc_alloc((size_t)ftc_n_simplify_rules, sizeof *names);
    bool found = false;
    for (int i = 0; i < ftc_n_simplify_rules; i++) {
        names[i] = ftc_simplify_rules[i].name;
        found |= !strcmp(names[i], rule);
    }
    const char *nearest = found ? NULL : ftc_name_nearest(rule, names, ftc_n_simplify_rules);
    char whole[128];
    if (nearest) snprintf(whole, sizeof whole, "%s:%s", pass->name, nearest);
    free(names);
    return found || refuse(NO_PASS, name, "there is no such rule", nearest ? whole : NULL, d);
}

bool ftc_pass_check_skip(const char *name, ftc_diagnostics *d) {
    for (int i = 0; i < ftc_n_passes; i++) {
        const char *rule = rule_of(name, &ftc_passes[i]);
        if (rule) return check_rule(name, &ftc_passes[i], rule, d);
    }
    if (!ftc_pass_check_name(NO_PASS, name, NULL, d)) return false;
    return ftc_pass_find(name)->optional || refuse(NO_PASS, name, "the pass cannot be left out", NULL, d);
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

static unsigned stage_of(const ftc_graph *g) {
    unsigned stage = (g->n_kernels > 1 ? FTC_HAS_KERNELS : 0) | (g->arena_bytes ? FTC_HAS_MEMORY : 0);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        if (g->nodes[id].phase == FTC_PHASE_BACKWARD) stage |= FTC_HAS_GRADIENTS;
        if (g->nodes[id].phase == FTC_PHASE_UPDATE) stage |= FTC_HAS_UPDATES;
    }
    return stage;
}

// Whether a pass can run on the graph. It always can in the table's order; `ftc opt` runs passes in any.
static bool check_stage(const ftc_graph *g, const ftc_pass *pass, ftc_diagnostics *d) {
    static const char *const NAMES[] = {"gradients", "updates", "kernels", "places in memory"};
    unsigned stage = stage_of(g), missing = pass->needs & ~stage, beyond = pass->bars & stage;
    for (int i = 0; i < 4; i++)
        if ((missing | beyond) >> i & 1) {
            ftc_diag_add(
                d, NULL, NULL, 0, 0,
                "pass %s: the graph has %s %s; ftc compile --time-passes lists the passes in their order",
                pass->name, missing >> i & 1 ? "no" : "already", NAMES[i]);
            return false;
        }
    return true;
}

bool ftc_pipeline_run_pass(ftc_graph *g, const ftc_pass *pass, const ftc_pipeline_options *options,
                           ftc_diagnostics *d) {
    if (!check_stage(g, pass, d)) return false;
    ftc_pass_options own = options->pass;
    const char **rules = ftc_alloc((size_t)options->n_skip + 1, sizeof *rules);
    for (int i = 0; i < options->n_skip; i++) {
        const char *rule = rule_of(options->skip[i], pass);
        if (rule) rules[own.n_rules_left_out++] = rule;
    }
    own.rules_left_out = rules;
    double start = ftc_clock_seconds();
    bool ok = pass->run(g, &own, d);
    double seconds = ftc_clock_seconds() - start;
    free(rules);
    if (!ok) return false;
    g->stage = pass->name;
    g->stage_of = options->pass.entry;
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

// The first pass of the table that is behind the graph's stage.
static int first_missing(const ftc_graph *g) {
    const ftc_pass *last = g->stage ? ftc_pass_find(g->stage) : NULL;
    return last ? (int)(last - ftc_passes) + 1 : 0;
}

bool ftc_pipeline_run(ftc_graph *g, const ftc_pipeline_options *options, ftc_diagnostics *d) {
    for (int i = first_missing(g); i < ftc_n_passes; i++) {
        const ftc_pass *pass = &ftc_passes[i];
        bool skipped = false;
        for (int s = 0; s < options->n_skip; s++) skipped |= !strcmp(options->skip[s], pass->name);
        if (!skipped && !ftc_pipeline_run_pass(g, pass, options, d)) return false;
    }
    return true;
}
