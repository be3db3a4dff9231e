#include "tests/compare_outputs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/base/alloc.h"
#include "tests/call_program.h"

// The cells of an output in the order of `axes`, packed.
static float *packed_output(const test_call *call, const ftc_graph *g, const test_values *v, const char *name,
                            const ftc_axes *axes, int64_t *n) {
    double *cells = test_call_cells(call, name, n);
    float *out = calloc((size_t)*n + 1, sizeof *out);
    ftc_walk w;
    ftc_walk_begin(&w, g, &v->b, axes, FTC_NO_AXIS);
    int from = ftc_walk_interface_view(&w, axes), to = ftc_walk_view(&w, axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++)
            out[w.at[to] + j * w.step[to]] = (float)cells[w.at[from] + j * w.step[from]];
    ftc_walk_end(&w);
    free(cells);
    return out;
}

void test_compare_outputs(const ftc_graph *g, ftc_entry_kind entry, const ftc_program *program, uint64_t seed,
                          int32_t threads, const char *what, test_counts *counts) {
    test_expected *expected = test_expected_new(g, NULL, entry, seed, &test_f32, NULL);
    const test_values *v = test_expected_values(expected);
    test_call *call = test_call_new(program, g, v, threads);
    test_call_run(call, entry);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ftc_output *output = &g->outputs[i];
        bool is_gradient = output->role == FTC_OUTPUT_GRADIENT;
        const ftc_axes *axes = is_gradient ? &g->decls[output->of].type.axes : &output->order;
        char *tensor = is_gradient ? ftc_format("%s.grad", g->decls[output->of].name) : NULL, why[256];
        int64_t n;
        float *own = is_gradient ? NULL : packed_output(call, g, v, output->name, axes, &n);
        const float *got = is_gradient ? test_call_tensor(call, tensor, &n) : own;
        if (test_expected_compare(expected, output->node, FTC_NO_DECL, axes, got, n, counts, why))
            cr_expect_fail("%s, %s: %s", what, output->name, why);
        free(own);
        free(tensor);
    }
    test_call_free(call);
    test_expected_free(expected);
}
