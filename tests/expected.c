#include "tests/expected.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"

// A unit in the last place of f32 is 2^-23, of bf16 2^-7; functions are off by up to two.
const test_rounding test_f32 = {.noise = 0x1p-22, .factor = 4, .vague = 1e-3};
const test_rounding test_bf16 = {.noise = 0x1p-22, .bf16_noise = 0x1p-8, .factor = 4, .vague = 0.5};

enum { NOISY_RUNS = 4, INTERVAL_RUNS = 40 };

// A run of the interpreter.
typedef struct {
    const ftc_graph *g;
    test_values *values;
    ftc_interp *interp;
} run;

struct test_expected {
    const ftc_graph *g;
    ftc_graph *rounded; // NULL: g
    const test_rounding *rounding;
    test_values *given;
    run right, noisy[NOISY_RUNS];
};

static void *copy_of(const void *from, int64_t n, size_t size) {
    return memcpy(calloc((size_t)n + 1, size), from, (size_t)n * size);
}

// The same values for another graph of the same names; what is new in it is zero, arguments are what they are
// declared to be, and all rows touched.
static test_values *values_for(const ftc_graph *g, const ftc_graph *given_for, const test_values *given) {
    test_values *v = calloc(1, sizeof *v);
    *v = (test_values){.b = given->b,
                       .extents = calloc(g->n_extents + 1, sizeof *v->extents),
                       .lengths = calloc(g->n_extents + 1, sizeof *v->lengths),
                       .tensors = calloc(g->n_decls + 1, sizeof *v->tensors),
                       .n_extents = g->n_extents,
                       .n_decls = g->n_decls};
    v->b.extents = v->extents;
    v->b.lengths = (const int32_t *const *)v->lengths;
    v->b.tensors = v->tensors;
    for (uint32_t e = 0; e < g->n_extents; e++) { // passes add extents behind those that there are
        v->extents[e] = e < given->n_extents ? given->extents[e] : g->extents[e].bound;
        if (g->extents[e].kind != FTC_EXTENT_RAGGED) continue;
        int64_t n = given->extents[g->axes[g->extents[e].over].extent];
        v->lengths[e] = copy_of(given->lengths[e], n, sizeof **v->lengths);
    }
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        int64_t n = ftc_interp_cells(g, &v->b, &decl->type.axes);
        ftc_decl same = ftc_graph_find_decl(given_for, decl->name);
        v->tensors[i] = same == FTC_NO_DECL ? calloc((size_t)n + 1, sizeof **v->tensors)
                                            : copy_of(given->tensors[same], n, sizeof **v->tensors);
        double value = decl->kind == FTC_DECL_ARG ? decl->value : decl->kind == FTC_DECL_TOUCHED;
        for (int64_t k = 0; same == FTC_NO_DECL && k < n; k++) v->tensors[i][k] = value;
    }
    return v;
}

// scale: of the noise; 0: the right result.
static run begin(const test_expected *x, double scale, uint64_t noise_seed) {
    const ftc_graph *g = scale != 0 && x->rounded ? x->rounded : x->g;
    run r = {.g = g, .values = values_for(g, x->g, x->given)};
    r.values->b.noise = scale * x->rounding->noise;
    r.values->b.bf16_noise = scale * x->rounding->bf16_noise;
    r.values->b.noise_seed = noise_seed;
    r.interp = ftc_interp_new(g, &r.values->b);
    ftc_interp_run(r.interp); // overwrites the tensors that are assigned
    return r;
}

static void end(run *r) {
    ftc_interp_free(r->interp);
    test_values_free(r->values);
}

test_expected *test_expected_new(const ftc_graph *g, ftc_graph *rounded, ftc_entry_kind entry, uint64_t seed,
                                 const test_rounding *rounding, const bool *all_touched) {
    test_expected *x = calloc(1, sizeof *x);
    *x = (test_expected){.g = g, .rounded = rounded, .rounding = rounding, .given = test_values_new(g, seed)};
    x->given->b.entry = entry;
    for (uint32_t i = 0; all_touched && i < g->n_decls; i++) {
        int64_t n = ftc_interp_cells(g, &x->given->b, &g->decls[i].type.axes);
        for (int64_t k = 0; all_touched[i] && k < n; k++) x->given->tensors[i][k] = 1;
    }
    x->right = begin(x, 0, 0);
    for (int i = 0; i < NOISY_RUNS; i++) x->noisy[i] = begin(x, 1, 1 + (uint64_t)i);
    return x;
}

void test_expected_free(test_expected *x) {
    end(&x->right);
    for (int i = 0; i < NOISY_RUNS; i++) end(&x->noisy[i]);
    test_values_free(x->given);
    if (x->rounded) ftc_graph_free(x->rounded);
    free(x);
}

const test_values *test_expected_values(const test_expected *x) {
    return x->given;
}

// What is compared: the value of a node or, when id is 0, what is assigned to a declaration.
typedef struct {
    ftc_id id;
    ftc_decl decl;
    const ftc_axes *axes;
} quantity;

static const char *name_of(const ftc_graph *g, ftc_id id) {
    uint32_t i = 0;
    while (g->outputs[i].node != id) i++;
    return g->outputs[i].name;
}

// The same in the graph that is compiled, where gradients are assigned.
static quantity in_rounded(const test_expected *x, quantity q) {
    const char *name = q.id ? name_of(x->g, q.id) : x->g->decls[q.decl].name;
    q.decl = q.id ? FTC_NO_DECL : ftc_graph_find_decl(x->rounded, name);
    if (q.id) q.id = test_output(x->rounded, name);
    if (q.id || q.decl != FTC_NO_DECL) return q;
    char *gradient = ftc_format("%s.grad", name + strlen("grad:"));
    q.decl = ftc_graph_find_decl(x->rounded, gradient);
    free(gradient);
    return q;
}

static double *cells_of(const test_expected *x, const run *r, quantity q, int64_t *n) {
    if (r->g != x->g) q = in_rounded(x, q);
    if (q.id) return test_cells_as(r->interp, r->g, &r->values->b, q.id, q.axes, n);
    *n = ftc_interp_cells(r->g, &r->values->b, &r->g->decls[q.decl].type.axes);
    return copy_of(r->values->tensors[q.decl], *n, sizeof(double));
}

// The square of the distance; equal infinities have none.
static double distance2(double x, double y) {
    return x == y ? 0 : (x - y) * (x - y);
}

// How far the cells are outside of what roundings `factor` times as large make of each. A result may jump
// where a number passes zero (AdamW's first step is g / (|g| + eps)): few runs seldom see that, and then one
// cell is far off. Nor do they always see how far a single cell may be, such as the loss.
static double outside_of_intervals(const test_expected *x, quantity q, const float *got, int64_t n) {
    double *low = cells_of(x, &x->right, q, &n), *high = copy_of(low, n, sizeof *high), error = 0;
    for (int k = 0; k < INTERVAL_RUNS; k++) {
        run r = begin(x, x->rounding->factor, 100 + (uint64_t)k);
        double *cells = cells_of(x, &r, q, &n);
        for (int64_t i = 0; i < n; i++) {
            low[i] = fmin(low[i], cells[i]);
            high[i] = fmax(high[i], cells[i]);
        }
        free(cells);
        end(&r);
    }
    for (int64_t i = 0; i < n; i++) {
        double inside = fmin(fmax((double)got[i], low[i]), high[i]);
        error += isnan(got[i]) ? INFINITY : distance2((double)got[i], inside);
    }
    free(low);
    free(high);
    return sqrt(error);
}

const char *test_expected_compare(const test_expected *x, ftc_id id, ftc_decl decl, const ftc_axes *axes,
                                  const float *got, int64_t n, test_counts *counts, char why[256]) {
    const quantity q = {id, decl, axes};
    double *right, *moved[NOISY_RUNS], error = 0, typical = 0, norm = 0;
    int64_t expected_n = n;
    right = cells_of(x, &x->right, q, &expected_n);
    for (int r = 0; r < NOISY_RUNS; r++) moved[r] = cells_of(x, &x->noisy[r], q, &expected_n);
    const char *wrong = NULL;
    if (expected_n != n) {
        snprintf(why, 256, "%lld cells, not %lld", (long long)n, (long long)expected_n);
        wrong = why;
    }
    for (int64_t i = 0; i < n && !wrong; i++) {
        double spread = 0;
        for (int r = 0; r < NOISY_RUNS; r++) spread += distance2(moved[r][i], right[i]) / NOISY_RUNS;
        double stored = isfinite(right[i]) ? right[i] * 0x1p-24 : 0; // as f32, whatever made it
        error += distance2((double)got[i], right[i]);
        typical += spread + stored * stored;
        norm += isfinite(right[i]) ? right[i] * right[i] : 0;
        if (right[i] != 0 || spread != 0 || got[i] == 0) continue;
        snprintf(why, 256, "cell %lld is %.3g where there is nothing", (long long)i, (double)got[i]);
        wrong = why;
    }
    for (int r = 0; r < NOISY_RUNS; r++) free(moved[r]);
    free(right);
    double allowed = x->rounding->factor * sqrt(typical) + 1e-30;
    // Values are about 1; where all cells cancel, that is what they are to be compared with.
    // Where some roundings make infinity or NaN, so may others.
    bool is_vague = !(allowed <= x->rounding->vague * fmax(sqrt(norm), 0.1));
    counts->compared++;
    counts->vague += is_vague;
    if (!wrong && !is_vague && !(sqrt(error) <= allowed)) {
        counts->by_interval++;
        double outside = outside_of_intervals(x, q, got, n);
        snprintf(why, 256,
                 "differs by %.3g, which is %.3g of its norm and %.3g of what is allowed, and by %.3g from "
                 "what rounding makes of it",
                 sqrt(error), sqrt(error / norm), sqrt(error) / allowed, outside);
        wrong = outside <= allowed ? NULL : why;
    }
    return wrong;
}
