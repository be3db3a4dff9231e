// The library (ir/std), interpreted in double, against what PyTorch computed in double:
// tests/golden/language/library.*, written by tests/tools/make_library_goldens.py.
#include <math.h>
#include <string.h>

#include "ir/interpret.h"
#include "ir/parse.h"
#include "tests/paths.h"

enum { MOST_VALUES = 64 };

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
        if (decl->kind == FTC_DECL_ARG && !v.n) f.tensors[i][0] = (double)decl->value;
        bool state =
            decl->kind == FTC_DECL_MOMENT || decl->kind == FTC_DECL_GRADIENT || decl->kind == FTC_DECL_ARG;
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
        *tensor(&f, "bias_correction1") = 1 - pow(0.9, step);
        *tensor(&f, "bias_correction2_sqrt") = sqrt(1 - pow(0.999, step));
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
