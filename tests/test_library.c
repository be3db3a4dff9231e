// The library (ir/std), interpreted in double, against what PyTorch computed in double:
// tests/golden/language/library.*, written by tests/tools/make_library_goldens.py. Gradient text of the
// library, where there is some, against the gradients that are derived without it.
#include <math.h>
#include <string.h>

#include "compiler/passes/passes.h"
#include "ir/lang/elaborate.h"
#include "ir/interpret.h"
#include "ir/lang/parse.h"
#include "tests/paths.h"
#include "tests/random_graph.h"

enum { MOST_VALUES = 128 };

static const int32_t LENGTHS[] = {3, 4};

typedef struct {
    int n;
    double at[MOST_VALUES];
} values;

// The golden values of that name; n is 0 when there are none.
static values golden(const char *name) {
    char *path = test_golden("language/library.txt"), line[4096];
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    values v = {0};
    size_t length = strlen(name);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, name, length) || line[length] != ' ') continue;
        char *p = line + length;
        for (char *end; v.n < MOST_VALUES; p = end) {
            double x = strtod(p, &end);
            if (end == p) break;
            v.at[v.n++] = x;
        }
    }
    fclose(f);
    free(path);
    return v;
}

static void expect_close(const char *name, const double *got, int64_t n) {
    values expected = golden(name);
    cr_assert_eq(n, expected.n, "%s: %lld values, PyTorch has %d", name, (long long)n, expected.n);
    for (int i = 0; i < expected.n; i++)
        cr_expect(fabs(got[i] - expected.at[i]) <= 1e-12 * fmax(1, fabs(expected.at[i])),
                  "%s[%d] = %.17g, PyTorch: %.17g", name, i, got[i], expected.at[i]);
}

typedef struct {
    ftc_graph *g;
    double **tensors;
    ftc_bindings *bindings;
    ftc_interp *interp;
} fixture;

static fixture setup(void) {
    fixture f = {0};
    ftc_diagnostics d = {0};
    char *path = test_golden("language/library.ir");
    f.g = ftc_parse_file(path, NULL, &d);
    cr_assert_not_null(f.g, "%s", d.count ? d.list[0].text : "");
    free(path);
    int64_t *extents = calloc(f.g->n_extents, sizeof *extents);
    const int32_t **lengths = calloc(f.g->n_extents, sizeof *lengths);
    for (uint32_t i = 0; i < f.g->n_extents; i++) {
        extents[i] = 2; // only B is a symbol
        lengths[i] = LENGTHS;
    }
    f.tensors = calloc(f.g->n_decls, sizeof *f.tensors);
    for (uint32_t i = 0; i < f.g->n_decls; i++) {
        const ftc_decl_def *decl = &f.g->decls[i];
        values v = golden(decl->name);
        f.tensors[i] = calloc(MOST_VALUES, sizeof **f.tensors);
        memcpy(f.tensors[i], v.at, sizeof v.at);
        if (decl->kind == FTC_DECL_ARG && !v.n) f.tensors[i][0] = decl->value;
        bool state = decl->kind == FTC_DECL_MOMENT || decl->kind == FTC_DECL_GRADIENT || !decl->type.axes.n;
        cr_assert(v.n || state, "no golden values for %s", decl->name);
    }
    f.bindings = malloc(sizeof *f.bindings);
    *f.bindings = (ftc_bindings){.extents = extents, .lengths = lengths, .tensors = f.tensors, .step = 1};
    f.interp = ftc_interp_new(f.g, f.bindings);
    return f;
}

static double *tensor(const fixture *f, const char *name) {
    ftc_decl decl = ftc_graph_find_decl(f->g, name);
    cr_assert_neq(decl, FTC_NO_DECL, "%s", name);
    return f->tensors[decl];
}

static void teardown(fixture *f) {
    ftc_interp_free(f->interp);
    for (uint32_t i = 0; i < f->g->n_decls; i++) free(f->tensors[i]);
    free(f->tensors);
    free((void *)f->bindings->extents);
    free((void *)f->bindings->lengths);
    free(f->bindings);
    ftc_graph_free(f->g);
}

Test(library, functions_are_those_of_pytorch) {
    fixture f = setup();
    *tensor(&f, "max_grad_norm") = 0.5;
    ftc_interp_run(f.interp);
    cr_assert(f.g->n_outputs > 20);
    for (uint32_t i = 0; i < f.g->n_outputs; i++) {
        int64_t n;
        const double *got = ftc_interp_value(f.interp, f.g->outputs[i].node, &n);
        expect_close(f.g->outputs[i].name, got, n);
    }
    teardown(&f);
}

Test(library, dropout_keeps_a_share_and_scales_it) {
    fixture f = setup();
    *tensor(&f, "p") = 0.5;
    ftc_interp_run(f.interp);
    values x = golden("x");
    int zeros = 0;
    for (uint32_t i = 0; i < f.g->n_outputs; i++) {
        if (strcmp(f.g->outputs[i].name, "dropout_x")) continue;
        const double *got = ftc_interp_value(f.interp, f.g->outputs[i].node, NULL);
        for (int j = 0; j < x.n; j++) {
            zeros += got[j] == 0;
            cr_expect(got[j] == 0 || fabs(got[j] - 2 * x.at[j]) < 1e-12, "%g became %g", x.at[j], got[j]);
        }
    }
    cr_expect(zeros > x.n / 5 && zeros < x.n * 4 / 5, "%d of %d are zero", zeros, x.n);
    teardown(&f);
}

Test(library, adamw_is_that_of_pytorch) {
    static const double rates[] = {0.1, 0.05, 0.02};
    fixture f = setup();
    values g = golden("g");
    *tensor(&f, "beta1") = 0.9;
    *tensor(&f, "beta2") = 0.999;
    *tensor(&f, "eps") = 1e-8;
    *tensor(&f, "weight_decay") = 0.01;
    *tensor(&f, "accumulation") = 2;
    for (int step = 1; step <= 3; step++) {
        *tensor(&f, "lr") = rates[step - 1];
        f.bindings->step = (uint32_t)step;
        for (int i = 0; i < g.n; i++) tensor(&f, "g")[i] = g.at[i] * step;
        ftc_interp_run(f.interp);
    }
    expect_close("w.after", tensor(&f, "w"), g.n);
    expect_close("w.exp_avg.after", tensor(&f, "w.exp_avg"), g.n);
    expect_close("w.exp_avg_sq.after", tensor(&f, "w.exp_avg_sq"), g.n);
    for (int i = 0; i < g.n; i++) // (1 + 2 + 3) / 2 gradients
        cr_expect(fabs(tensor(&f, "w.grad")[i] - 3 * g.at[i]) < 1e-12);
    teardown(&f);
}

// --- gradient text ------------------------------------------------------------------------------------

enum { LONGEST_TEXT = 4096 };

static const struct {
    const char *name, *use;
} SAMPLES[] = {
    {"sigmoid", "sum(sigmoid(w * 3) * x; H)"},
    {"softplus", "sum(softplus(w * 3) * x; H)"},
    // H is the vocabulary, R what is multiplied; T: the tokens. The last block is not full.
    {"vocabulary_log_sum",
     "fill(1; R) * sum(vocabulary_log_sum(rename(w; H -> T), x, at(x, R, 1); R, H, K, L, N -> T); T)"},
    {"vocabulary_log_sum",
     "fill(1; R) * sum(vocabulary_log_sum(rename(x; H -> T), w, at(x, R, 1); R, H, K, L, N -> T); T)"},
    {"vocabulary_log_sum",
     "fill(1; R) * sum(vocabulary_log_sum(rename(x; H -> T), x, at(w, R, 1); R, H, K, L, N -> T); T)"},
};

// The text of a function of the library, cut where its gradient text begins.
static bool derived_text(const char *name, char text[LONGEST_TEXT]) {
    char head[64];
    snprintf(head, sizeof head, "\nfn %s(", name);
    for (const ftc_library_file *file = ftc_library_files; file->name; file++) {
        const char *start = strstr(file->text, head), *end = start ? strstr(start, "} gradient(") : NULL;
        if (!end) continue;
        snprintf(text, LONGEST_TEXT, "%.*s", (int)(end + 1 - start), start);
        return true;
    }
    return false;
}

// The gradient for w of a model with these functions and that loss; n cells.
static double *gradient_of(const char *functions, const char *loss, int64_t *n) {
    char text[2 * LONGEST_TEXT];
    ftc_diagnostics d = {0};
    snprintf(text, sizeof text,
             "model m\nconfig { vocab_block = 5 }\naxis R = 4, H = 9, T = H, K = 5, L = K, N = K\nw = param "
             "\"w\" f32[R, H]\nx = param \"x\" f32[R, H]\n%s\n"
             "output loss = sum(%s; R)\n",
             functions, loss);
    ftc_graph *g = ftc_parse_text("m.ir", text, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    ftc_pass_options options = {.entry = FTC_ENTRY_GRAD};
    cr_assert(ftc_pass_differentiate(g, &options, &d));
    test_values *values = test_values_new(g, 1);
    ftc_interp *interp = ftc_interp_new(g, &values->b);
    ftc_interp_run(interp);
    const double *cells = ftc_interp_value(interp, test_output(g, "grad:w"), n);
    double *copy = malloc((size_t)*n * sizeof *copy);
    memcpy(copy, cells, (size_t)*n * sizeof *copy);
    ftc_interp_free(interp);
    test_values_free(values);
    ftc_graph_free(g);
    return copy;
}

Test(library, gradient_text_gives_what_is_derived) {
    int n_texts = 0, n_samples = sizeof SAMPLES / sizeof *SAMPLES;
    for (const ftc_library_file *file = ftc_library_files; file->name; file++)
        for (const char *at = file->text; (at = strstr(at, "} gradient(")); at++) n_texts++;
    cr_expect_eq(n_texts, n_samples, "each gradient text of the library needs a sample here");
    for (int i = 0; i < n_samples; i++) {
        char text[LONGEST_TEXT];
        int64_t n, n_derived;
        cr_assert(derived_text(SAMPLES[i].name, text), "%s has no gradient text", SAMPLES[i].name);
        double *own = gradient_of("", SAMPLES[i].use, &n),
               *derived = gradient_of(text, SAMPLES[i].use, &n_derived);
        cr_assert_eq(n, n_derived);
        double size = 0;
        for (int64_t k = 0; k < n; k++) {
            size += fabs(derived[k]);
            cr_expect(fabs(own[k] - derived[k]) <= 1e-13 * fmax(1, fabs(derived[k])),
                      "%s: %.17g, derived: %.17g", SAMPLES[i].name, own[k], derived[k]);
        }
        cr_expect(size > 0.01, "%s: the gradient is zero", SAMPLES[i].name);
        free(own);
        free(derived);
    }
}
