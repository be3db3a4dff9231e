// Which parameters move, and how: every optimizer, groups and layer-wise rates against 20 steps of PyTorch
// (tests/golden/language/optimizers.txt, written by tests/tools/make_optimizer_goldens.py); frozen
// parameters.
#include <math.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/passes/passes.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/lang/parse.h"
#include "ir/verify.h"
#include "tests/paths.h"

static const char MODEL[] = "model small\n"
                            "axis B = 4, H = 3, I = 4, C = 2\n"
                            "input x : f32[B, H]\n"
                            "input target : f32[B, C]\n"
                            "h = x * param \"embed.scale\" f32[H]\n"
                            "h = tanh(linear(\"layer.0\", h; H -> I))\n"
                            "h = tanh(linear(\"layer.1\", h; I -> H))\n"
                            "loss = mean(mse(linear(\"head\", h; H -> C), target); B, C)\n"
                            "output loss\n"
                            "train { %s }\n";

enum { STEPS = 20, MOST_CELLS = 20, MOST_TENSORS = 64 };

// Fills `cells` with the golden values of that name and returns how many there are, 0: none.
static int golden(const char *name, double *cells) {
    char *path = test_golden("language/optimizers.txt"), line[2048];
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    int n = 0;
    size_t length = strlen(name);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, name, length) || line[length] != ' ') continue;
        for (char *p = line + length, *end; n < MOST_CELLS; p = end) {
            cells[n] = strtod(p, &end);
            if (end == p) break;
            n++;
        }
    }
    fclose(f);
    free(path);
    return n;
}

// The model with these entries in its train block; NULL: none.
static ftc_graph *model(const char *train) {
    char *text;
    cr_assert(asprintf(&text, MODEL, train) > 0);
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("small.ir", text, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    free(text);
    return g;
}

// The graph of an entry up to the optimizer; NULL after diagnostics.
static ftc_graph *entry_graph(const char *train, ftc_entry_kind entry, ftc_diagnostics *d) {
    ftc_graph *source = model(train), *g = ftc_compile_entry_graph(source, entry);
    ftc_graph_free(source);
    ftc_pass_options options = {.entry = entry};
    if (ftc_pass_freeze(g, &options, d) && ftc_pass_differentiate(g, &options, d) &&
        ftc_pass_optimizer(g, &options, d)) {
        cr_assert(ftc_verify_graph(g, d), "%s", d->list[0].text);
        return g;
    }
    ftc_graph_free(g);
    return NULL;
}

typedef struct {
    ftc_graph *g;
    ftc_bindings bindings;
    ftc_interp *interp;
    int64_t extents[16];
    double *tensors[MOST_TENSORS], cells[MOST_TENSORS][MOST_CELLS];
} fixture;

static double *tensor(fixture *f, const char *name) {
    ftc_decl decl = ftc_graph_find_decl(f->g, name);
    return decl == FTC_NO_DECL ? NULL : f->cells[decl];
}

static fixture *setup(const char *train) {
    ftc_diagnostics d = {0};
    fixture *f = calloc(1, sizeof *f);
    f->g = entry_graph(train, FTC_ENTRY_STEP, &d);
    cr_assert_not_null(f->g, "%s", d.count ? d.list[0].text : "");
    cr_assert(f->g->n_decls <= MOST_TENSORS && f->g->n_extents <= 16);
    for (uint32_t i = 0; i < f->g->n_decls; i++) {
        f->tensors[i] = f->cells[i];
        if (!golden(f->g->decls[i].name, f->cells[i])) f->cells[i][0] = f->g->decls[i].value;
    }
    f->bindings = (ftc_bindings){.extents = f->extents, .tensors = f->tensors, .step = 1};
    f->interp = ftc_interp_new(f->g, &f->bindings);
    return f;
}

static void teardown(fixture *f) {
    ftc_interp_free(f->interp);
    ftc_graph_free(f->g);
    free(f);
}

static void set(fixture *f, const char *name, double value) {
    if (tensor(f, name)) *tensor(f, name) = value;
}

static double output(const fixture *f, const char *name) {
    for (uint32_t i = 0; i < f->g->n_outputs; i++)
        if (!strcmp(f->g->outputs[i].name, name))
            return *ftc_interp_value(f->interp, f->g->outputs[i].node, NULL);
    return NAN;
}

// Twenty steps with the betas and epsilon given, compared with the golden `run`.
static void expect_run(const char *run, const char *train, double beta2, double eps) {
    fixture *f = setup(train);
    double losses[MOST_CELLS], expected[MOST_CELLS];
    char name[200];
    set(f, "beta1", 0.9);
    set(f, "beta2", beta2);
    set(f, "eps", eps);
    set(f, "momentum", 0.9);
    set(f, "weight_decay", 0.1);
    set(f, "weight_decay_no_decay", 0.1);
    for (int step = 1; step <= STEPS; step++) {
        set(f, "lr", 0.05 * (1 - (step - 1) / (double)STEPS));
        f->bindings.step = (uint32_t)step;
        ftc_interp_run(f->interp);
        losses[step - 1] = output(f, "loss");
    }
    snprintf(name, sizeof name, "%s:loss", run);
    cr_assert_eq(golden(name, expected), STEPS, "%s", name);
    for (int i = 0; i < STEPS; i++)
        cr_expect(fabs(losses[i] - expected[i]) < 1e-10, "%s: loss %.17g at step %d, not %.17g", run,
                  losses[i], i + 1, expected[i]);
    int compared = 0, moments = 0;
    for (uint32_t i = 0; i < f->g->n_decls; i++) {
        const ftc_decl_def *decl = &f->g->decls[i];
        if (decl->kind != FTC_DECL_PARAM && decl->kind != FTC_DECL_MOMENT) continue;
        snprintf(name, sizeof name, "%s:%s", run, decl->name);
        int n = golden(name, expected);
        cr_expect(n > 0, "there is no %s", name);
        for (int j = 0; j < n; j++)
            cr_expect(fabs(f->cells[i][j] - expected[j]) < 1e-10, "%s[%d] = %.17g, not %.17g", name, j,
                      f->cells[i][j], expected[j]);
        compared++;
        moments += decl->kind == FTC_DECL_MOMENT;
    }
    cr_expect(compared - moments == 7 && moments >= 7, "%d parameters, %d moments", compared - moments,
              moments);
    teardown(f);
}

Test(updates, adamw_is_that_of_pytorch) {
    expect_run("adamw", "optimizer = adamw_torch", 0.999, 1e-8);
    expect_run("adamw", "", 0.999, 1e-8); // it is the default
}

Test(updates, adam_is_that_of_pytorch) {
    expect_run("adam", "optimizer = adam", 0.999, 1e-8);
}

Test(updates, adam_keras_is_that_of_keras) {
    expect_run("adam_keras", "optimizer = adam_keras", 0.999, 1e-7);
}

Test(updates, sgd_is_that_of_pytorch) {
    expect_run("sgd", "optimizer = sgd", 0, 0);
}

Test(updates, lion_is_that_of_its_paper) {
    expect_run("lion", "optimizer = lion", 0.99, 0);
}

Test(updates, adafactor_is_that_of_transformers) {
    expect_run("adafactor", "optimizer = adafactor", 0, 0);
}

Test(updates, groups_have_their_own_rate_and_decay) {
    expect_run("groups", "group = \"layer.*: lr=0.5x, weight_decay=0.25; *.bias: weight_decay=0\"", 0.999,
               1e-8);
}

Test(updates, rates_decay_from_layer_to_layer) {
    expect_run("layers", "layer_decay = 0.5", 0.999, 1e-8);
}

Test(updates, defaults_are_those_of_each_optimizer) {
    static const struct {
        const char *optimizer, *argument;
        double value;
    } expected[] = {{"adamw", "weight_decay", 0.01}, {"adam", "weight_decay", 0}, {"adamw", "eps", 1e-8},
                    {"adam_keras", "eps", 1e-7},     {"lion", "beta2", 0.99},     {"adamw", "beta2", 0.999},
                    {"sgd", "momentum", 0.9},        {"sgd", "weight_decay", 0}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char train[64];
        snprintf(train, sizeof train, "optimizer = %s", expected[i].optimizer);
        ftc_diagnostics d = {0};
        ftc_graph *g = entry_graph(train, FTC_ENTRY_STEP, &d);
        ftc_decl decl = ftc_graph_find_decl(g, expected[i].argument);
        cr_assert_neq(decl, FTC_NO_DECL);
        cr_expect_eq(g->decls[decl].value, expected[i].value, "%s of %s", expected[i].argument,
                     expected[i].optimizer);
        ftc_graph_free(g);
    }
}

static uint32_t count_nodes(const ftc_graph *g, ftc_phase phase) {
    uint32_t n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) n += g->nodes[id].phase == phase;
    return n;
}

// Freezing the first layers: what stands behind them has the same gradients, and the work for them is gone.
Test(updates, frozen_parameters_cost_nothing) {
    fixture *all = setup(""), *some = setup("freeze = \"embed.*, layer.0.*\"");
    ftc_interp_run(all->interp);
    ftc_interp_run(some->interp);
    cr_expect_eq(output(some, "loss"), output(all, "loss"));
    for (uint32_t i = 0; i < all->g->n_decls; i++) {
        const char *name = all->g->decls[i].name;
        bool frozen = !strncmp(name, "embed.", 6) || !strncmp(name, "layer.0.", 8);
        double *got = tensor(some, name);
        if (all->g->decls[i].kind == FTC_DECL_MOMENT) {
            cr_expect_eq(got == NULL, frozen, "%s", name);
            for (int j = 0; got && j < MOST_CELLS; j++)
                cr_expect_eq(got[j], all->cells[i][j], "%s[%d]", name, j);
        } else if (all->g->decls[i].kind == FTC_DECL_PARAM) {
            double start[MOST_CELLS];
            int n = golden(name, start);
            for (int j = 0; j < n; j++)
                cr_expect_eq(got[j], frozen ? start[j] : all->cells[i][j], "%s[%d]", name, j);
        }
    }
    static const ftc_phase phases[] = {FTC_PHASE_BACKWARD, FTC_PHASE_UPDATE};
    for (int i = 0; i < 2; i++) {
        uint32_t before = count_nodes(all->g, phases[i]), now = count_nodes(some->g, phases[i]);
        cr_expect(now < before * 3 / 4, "phase %d: %u nodes of %u remain", phases[i], now, before);
    }
    teardown(all);
    teardown(some);
}

static void count_kernels(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                          double seconds) {
    (void)seconds, (void)pass;
    if (entry == FTC_ENTRY_STEP) *(uint32_t *)context = g->n_kernels;
}

static uint32_t kernels_of(const char *train) {
    ftc_graph *g = model(train);
    uint32_t kernels = 0;
    ftc_compile_options options = {
        .entries = 1u << FTC_ENTRY_STEP, .after = count_kernels, .context = &kernels};
    ftc_diagnostics d = {0};
    ftc_compiled compiled = {0};
    cr_assert(ftc_compile(g, &options, &compiled, &d), "%s", d.count ? d.list[0].text : "");
    ftc_compiled_free(&compiled);
    ftc_graph_free(g);
    return kernels;
}

Test(updates, frozen_parameters_have_no_kernels) {
    uint32_t all = kernels_of(""), some = kernels_of("freeze = \"embed.*, layer.0.*\"");
    cr_expect(some + 4 < all, "%u kernels, %u with frozen parameters", all, some);
}

// Later patterns count: what is frozen, and then not, trains.
Test(updates, frozen_but_for_some) {
    ftc_diagnostics d = {0};
    ftc_graph *g = entry_graph("freeze = \"*, !head.*, !layer.0.*, head.bias\"", FTC_ENTRY_STEP, &d);
    cr_assert_not_null(g);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const char *name = g->decls[i].name;
        if (g->decls[i].kind != FTC_DECL_PARAM) continue;
        bool trains =
            !strncmp(name, "layer.0.", 8) || (!strncmp(name, "head.", 5) && strcmp(name, "head.bias"));
        cr_expect_eq(g->decls[i].frozen, !trains, "%s", name);
    }
    ftc_graph_free(g);
}

static void expect_refused(const char *train, const char *part) {
    ftc_diagnostics d = {0};
    ftc_graph *g = entry_graph(train, FTC_ENTRY_STEP, &d);
    cr_expect_null(g, "%s is accepted", train);
    cr_assert(d.count > 0);
    cr_expect_not_null(strstr(d.list[0].text, part), "%s: %s", train, d.list[0].text);
    ftc_diag_free(&d);
}

Test(updates, wrong_entries_are_refused) {
    expect_refused("freeze = \"layers.0.*\"", "no parameter has such a name; there is 'layer.0.*'");
    expect_refused("freeze = \"*\"", "nothing is left to train");
    expect_refused("freeze = \"*, !heads.*\"", "freeze 'heads.*': no parameter has such a name");
    expect_refused("freeze = 1", "patterns of names are expected");
    expect_refused("group = \"head.wait: lr=2x\"", "there is 'head.weight'");
    expect_refused("group = \"head.*\"", "expected PATTERN:VALUE");
    expect_refused("group = \"head.*: lr=2\"", "expected lr=FACTORx");
    expect_refused("group = \"head.*: lr=-2x\"", "expected lr=FACTORx");
    expect_refused("group = \"head.*: beta1=0.5\"", "expected lr=FACTORx");
    expect_refused("layer_decay = 0", "a number above 0");
    expect_refused("optimizer = adan", "did you mean 'adam'");
}
