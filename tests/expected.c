#include "tests/expected.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A unit in the last place of f32 is 2^-23, of bf16 2^-7; functions are off by up to two.
const test_rounding test_f32 = {.noise = 0x1p-22, .factor = 8, .vague = 1e-2};
const test_rounding test_bf16 = {.noise = 0x1p-8, .factor = 8, .vague = 0.5};

enum { RUNS = 5 }; // the first one is right

struct test_expected {
    const ftc_graph *g;
    const test_rounding *rounding;
    test_values *given, *values[RUNS];
    ftc_interp *run[RUNS];
};

static test_values *values_of(const ftc_graph *g, ftc_entry_kind entry, uint64_t seed,
                              const bool *all_touched) {
    test_values *v = test_values_new(g, seed);
    v->b.entry = entry;
    for (uint32_t i = 0; all_touched && i < g->n_decls; i++) {
        int64_t n = ftc_interp_cells(g, &v->b, &g->decls[i].type.axes);
        for (int64_t k = 0; all_touched[i] && k < n; k++) v->tensors[i][k] = 1;
    }
    return v;
}

test_expected *test_expected_new(const ftc_graph *g, ftc_entry_kind entry, uint64_t seed,
                                 const test_rounding *rounding, const bool *all_touched) {
    test_expected *x = calloc(1, sizeof *x);
    *x = (test_expected){.g = g, .rounding = rounding, .given = values_of(g, entry, seed, all_touched)};
    for (int r = 0; r < RUNS; r++) {
        x->values[r] = values_of(g, entry, seed, all_touched);
        x->values[r]->b.noise = r ? rounding->noise : 0;
        x->values[r]->b.noise_seed = (uint64_t)r;
        x->run[r] = ftc_interp_new(g, &x->values[r]->b);
        ftc_interp_run(x->run[r]); // overwrites the tensors that are assigned
    }
    return x;
}

void test_expected_free(test_expected *x) {
    for (int r = 0; r < RUNS; r++) {
        ftc_interp_free(x->run[r]);
        test_values_free(x->values[r]);
    }
    test_values_free(x->given);
    free(x);
}

const test_values *test_expected_values(const test_expected *x) {
    return x->given;
}

static double *cells_of(const test_expected *x, int run, ftc_id id, ftc_decl decl, const ftc_axes *axes,
                        int64_t *n) {
    const test_values *v = x->values[run];
    if (id) return test_cells_as(x->run[run], x->g, &v->b, id, axes, n);
    *n = ftc_interp_cells(x->g, &v->b, &x->g->decls[decl].type.axes);
    double *cells = calloc((size_t)*n + 1, sizeof *cells);
    memcpy(cells, v->tensors[decl], (size_t)*n * sizeof *cells);
    return cells;
}

// The square of the distance; equal infinities have none.
static double distance2(double x, double y) {
    return x == y ? 0 : (x - y) * (x - y);
}

const char *test_expected_compare(const test_expected *x, ftc_id id, ftc_decl decl, const ftc_axes *axes,
                                  const float *got, int64_t n, test_counts *counts, char why[256]) {
    double *cells[RUNS], error = 0, typical = 0, norm = 0;
    int64_t expected_n = n;
    for (int r = 0; r < RUNS; r++) cells[r] = cells_of(x, r, id, decl, axes, &expected_n);
    const char *wrong = NULL;
    if (expected_n != n) {
        snprintf(why, 256, "%lld cells, not %lld", (long long)n, (long long)expected_n);
        wrong = why;
    }
    for (int64_t i = 0; i < n && !wrong; i++) {
        double expected = cells[0][i], spread = 0;
        for (int r = 1; r < RUNS; r++) spread += distance2(cells[r][i], expected) / (RUNS - 1);
        error += distance2((double)got[i], expected);
        typical += spread;
        norm += isfinite(expected) ? expected * expected : 0;
        if (expected != 0 || spread != 0 || got[i] == 0) continue;
        snprintf(why, 256, "cell %lld is %.3g where there is nothing", (long long)i, (double)got[i]);
        wrong = why;
    }
    for (int r = 0; r < RUNS; r++) free(cells[r]);
    double allowed = x->rounding->factor * sqrt(typical) + 1e-30;
    // Values are about 1; where all cells cancel, that is what they are to be compared with.
    // Where some roundings make infinity or NaN, so may others.
    bool is_vague = !(allowed <= x->rounding->vague * fmax(sqrt(norm), 0.1));
    counts->compared++;
    counts->vague += is_vague;
    if (!wrong && !is_vague && !(sqrt(error) <= allowed)) {
        snprintf(why, 256, "differs by %.3g, which is %.3g of its norm and %.3g of what is allowed",
                 sqrt(error), sqrt(error / norm), sqrt(error) / allowed);
        wrong = why;
    }
    return wrong;
}
