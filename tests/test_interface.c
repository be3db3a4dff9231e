// What a program reads and writes: inputs and outputs of every dtype, over several batch-like and ragged
// axes, in every order of axes, against the interpreter. The numbers of random graphs come from a first seed
// and a count: FTC_TEST_SEEDS=10000,2000 checks others than the tests do.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/artifact.h"
#include "compiler/codegen/target.h"
#include "compiler/compile.h"
#include "compiler/passes/passes.h"
#include "ir/lang/parse.h"
#include "ir/op.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/call_program.h"
#include "tests/compare_outputs.h"
#include "tests/expected.h"
#include "tests/foreign.h"
#include "tests/random_graph.h"

static const double TOLERANCE = 2e-4; // of a value's norm; the graphs' values are of the order of 1

// Reals by the norm of their difference over the norm, others by how many cells differ.
static double difference(ftc_dtype dtype, const double *expected, const double *got, int64_t n) {
    double sum = 0, norm = 0;
    int64_t differ = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = got[i] - expected[i];
        if (isnan(x)) return INFINITY;
        sum += x * x;
        norm += expected[i] * expected[i];
        differ += x != 0;
    }
    return ftc_dtype_is_float(dtype) ? sqrt(sum) / fmax(sqrt(norm), 1e-2) : (double)differ;
}

// The cells of an output as the step has them in memory, by the interpreter. To be freed.
static double *expected_output(const ftc_graph *g, const ftc_interp *in, const test_values *v,
                               const ftc_output *output, int64_t *n) {
    double *packed = test_cells_as(in, g, &v->b, output->node, &output->order, n);
    ftc_type type = {g->nodes[output->node].type.dtype, output->order};
    double *cells = test_interface_cells(g, &v->b, &type, packed);
    free(packed);
    return cells;
}

// The forward phase, by the entry eval, on some threads.
static void check_outputs(const ftc_graph *g, const ftc_program *program, test_values *v, int32_t threads,
                          const char *what) {
    v->b.entry = FTC_ENTRY_EVAL;
    ftc_interp *in = ftc_interp_new(g, &v->b);
    ftc_interp_run(in);
    test_call *call = test_call_new(program, g, v, threads);
    test_call_run(call, FTC_ENTRY_EVAL);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ftc_output *output = &g->outputs[i];
        int64_t n, m;
        double *expected = expected_output(g, in, v, output, &n),
               *got = test_call_cells(call, output->name, &m);
        cr_assert_eq(n, m, "%s, %s: %lld cells, not %lld", what, output->name, (long long)m, (long long)n);
        double error = difference(g->nodes[output->node].type.dtype, expected, got, n);
        char *text = error > TOLERANCE && getenv("FTC_TEST_PRINT") ? ftc_print_text(g) : NULL;
        cr_expect(error <= TOLERANCE, "%s, %s: differs by %.3g\n%s", what, output->name, error,
                  text ? text : "");
        free(text);
        free(expected);
        free(got);
    }
    test_call_free(call);
    ftc_interp_free(in);
}

static ftc_graph *with_gradients(const ftc_graph *forward) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(forward, FTC_ENTRY_GRAD);
    ftc_pass_options options = {.entry = FTC_ENTRY_GRAD};
    cr_assert(ftc_pass_differentiate(g, &options, &d) && ftc_verify_graph(g, &d), "%s",
              d.count ? d.list[0].text : "");
    return g;
}

// The gradients of all parameters.
static void check_gradients(const ftc_graph *forward, const ftc_program *program, test_values *v,
                            const char *what) {
    ftc_graph *g = with_gradients(forward);
    v->b.entry = FTC_ENTRY_GRAD;
    ftc_interp *in = ftc_interp_new(g, &v->b);
    ftc_interp_run(in);
    test_call *call = test_call_new(program, g, v, 2);
    test_call_run(call, FTC_ENTRY_GRAD);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ftc_output *output = &g->outputs[i];
        if (output->role != FTC_OUTPUT_GRADIENT) continue;
        const ftc_decl_def *param = &g->decls[output->of];
        char tensor[128];
        snprintf(tensor, sizeof tensor, "%s.grad", param->name);
        int64_t n, m;
        double *expected = test_cells_as(in, g, &v->b, output->node, &param->type.axes, &n);
        const float *cells = test_call_tensor(call, tensor, &m);
        double *got = calloc((size_t)n + 1, sizeof *got);
        for (int64_t k = 0; k < n; k++) got[k] = (double)cells[k];
        double error = difference(FTC_F32, expected, got, n);
        cr_expect(error <= TOLERANCE, "%s, gradient of %s: differs by %.3g", what, param->name, error);
        free(expected);
        free(got);
    }
    test_call_free(call);
    ftc_interp_free(in);
    ftc_graph_free(g);
}

// A model on some values, as a part of a larger batch.
static void check(const ftc_graph *g, uint64_t seed, const ftc_target *target, bool gradients,
                  const char *what) {
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_EVAL | (uint32_t)gradients << FTC_ENTRY_GRAD,
                                   .target = target,
                                   .check_text = true};
    if (getenv("FTC_TEST_PRINT")) ftc_print_graph(g, stderr);
    ftc_loaded_program *loaded = test_compile(g, &options);
    test_values *v = test_values_new(g, seed);
    int64_t *first = calloc(g->n_extents + 1, sizeof *first); // a part of a larger batch
    for (uint32_t i = 0; i < g->n_extents; i++) first[i] = (int64_t)(seed % 5) * (i + 3);
    v->b.first_slots = first;
    static const int32_t threads[] = {1, 2, 5};
    check_outputs(g, ftc_program_of(loaded), v, threads[seed % 3], what);
    if (gradients) check_gradients(g, ftc_program_of(loaded), v, what);
    free(first);
    test_values_free(v);
    ftc_program_unload(loaded);
}

// --- random graphs ------------------------------------------------------------------------------------

static test_counts counts; // of this test

static void check_random(const char *target_name, uint64_t first, uint64_t n) {
    static const int32_t threads[] = {1, 2, 5};
    const ftc_target *target = ftc_target_named(target_name);
    test_skip_unless_runs(target);
    for (uint64_t seed = first; seed < first + n; seed++) {
        test_graph_options options = {
            .n_nodes = 4 + (int)(seed % 12), .quadratic = seed % 3 == 0, .wide = true, .step_abi = true};
        ftc_compile_options compile = {.entries = 1u << FTC_ENTRY_EVAL | 1u << FTC_ENTRY_GRAD,
                                       .target = target,
                                       .check_text = seed % 8 == 0};
        ftc_graph *g = test_random_graph(seed, &options);
        if (getenv("FTC_TEST_PRINT")) ftc_print_graph(g, stderr);
        char what[64];
        snprintf(what, sizeof what, "%s, seed %llu", target_name, (unsigned long long)seed);
        ftc_loaded_program *loaded = test_compile(g, &compile);
        ftc_graph *forward = ftc_compile_entry_graph(g, FTC_ENTRY_EVAL), *grad = with_gradients(g);
        test_compare_outputs(forward, FTC_ENTRY_EVAL, ftc_program_of(loaded), seed, threads[seed % 3], what,
                             &counts);
        test_compare_outputs(grad, FTC_ENTRY_GRAD, ftc_program_of(loaded), seed, threads[seed % 3], what,
                             &counts);
        ftc_graph_free(forward);
        ftc_graph_free(grad);
        ftc_program_unload(loaded);
        ftc_graph_free(g);
    }
    printf("%d tensors compared, %d of them in vain: rounding decides\n", counts.compared, counts.vague);
    cr_expect(counts.compared > 0 && counts.vague * 50 <= counts.compared);
}

Test(interface, native_code_agrees_with_the_interpreter) {
    unsigned long long first = 1, n = 100;
    const char *asked = getenv("FTC_TEST_SEEDS");
    if (asked) cr_assert_eq(sscanf(asked, "%llu,%llu", &first, &n), 2, "FTC_TEST_SEEDS=FIRST,N");
    check_random("native", first, n);
}

Test(interface, avx2_code_agrees_with_the_interpreter) {
    check_random("avx2", 1001, 25);
}

Test(interface, generic_code_agrees_with_the_interpreter) {
    check_random("generic", 2001, 25);
}

Test(interface, aarch64_code_agrees_with_the_interpreter) {
    check_random("aarch64", 3001, 10);
}

// --- what random graphs seldom have -------------------------------------------------------------------

static const struct {
    const char *name, *text;
} MODELS[] = {
    {"an output over tokens",
     "input x : f32[B, S, H]\noutput y = tanh(x)\noutput loss = sum(x * w; B, S, H)"},
    {"features before tokens", "input x : f32[H, A, B, S]\noutput y = x * w, z = sum(x * w; H)\n"
                               "output loss = sum(x * w; B, S, H, A)"},
    {"an input of six axes", "axis D = 2\ninput x : f32[A, B, D, H, S, V]\noutput y = x * w\n"
                             "output loss = sum(x * w; A, B, D, H, S, V)"},
    {"features around tokens",
     "input x : f32[H, B, S, A]\noutput y = x * w\noutput loss = sum(x * w; B, S, H, A)"},
    {"features around pairs of tokens", "input x : f32[H, B, S, T]\noutput y = x * w, z = sum(x * w; S)\n"
                                        "output loss = sum(tanh(x * w); B, S, T, H)"},
    {"scores as an output",
     "input x : f32[B, S, H]\nk = rename(x; S -> T)\np = softmax(dot(x * w, k; H); T)\n"
     "output p, loss = sum(tanh(dot(p, k; T)); B, S, H)"},
    {"an output whose batch axis lies further back",
     "input x : f32[B, S]\nf = fill(1; B, S, A, N)\noutput f\n"
     "output loss = sum(f; B, S, A, N) + sum(x; B, S) * sum(w; H)"},
    {"a product along a batch axis behind the tokens",
     "input x : f32[B, S, H, N]\ninput y : f32[B, S, H]\nf = dot(x, y * w; H)\noutput f\n"
     "output loss = sum(tanh(f); B, S, N)"},
    {"a product along a batch axis before the tokens'",
     "input x : f32[N, B, S, H]\ninput y : f32[B, S, H]\nf = dot(x, y * w; H)\noutput f\n"
     "output loss = sum(tanh(f); B, S, N)"},
    {"pairs of tokens under another name",
     "input x : i32[B, S] in V\ninput y : i32[B, U] in V\noutput pairs = rename(outer (y + x); S -> T)\n"
     "output loss = sum(w; H)"},
    {"a second ragged axis", "input x : f32[B, S, H]\ninput y : f32[B, U, H]\n"
                             "m = mean(x; S) * mean(y * w; U)\noutput m\noutput loss = sum(m; B, H)"},
    {"a second batch axis", "input x : f32[B, H]\ninput y : f32[N, H]\ns = dot(x * w, y; H)\noutput s\n"
                            "output loss = sum(s; B, N)"},
    {"two groups of ragged axes",
     "input x : f32[B, S, H]\ninput y : f32[N, Q, H]\n"
     "s = outer (sum(x * w; H) * sum(y; H))\noutput loss = sum(tanh(s); B, S, N, Q)\n"
     "output t = sum(s; N, Q)"},
    {"a batch axis and features behind tokens of another",
     "input m : bool[N, Q]\ninput x : f32[B, H]\ny = outer select(m, 0.5 * x, x)\noutput y\n"
     "output loss = sum(y; N, Q, B, H) * sum(w; H)"},
    {"a mask of pairs of tokens", "input x : f32[B, S, H]\ninput m : f32[B, S, T]\nk = rename(x; S -> T)\n"
                                  "p = softmax(dot(x * w, k; H) + m; T)\ny = dot(p, k; T)\n"
                                  "output y, loss = sum(y; B, S, H)"},
    {"numbers of every type", "input i : i32[B, S] in V\ninput u : u32[B]\ninput b : bool[B, S]\n"
                              "output j = i * 3, v = u + u, c = not b, r = cast(i, f32)\n"
                              "output loss = sum(select(b, cast(i, f32), 0.5); B, S) * sum(w; H)"},
    {"inputs as outputs", "input x : f32[H, B, S]\ninput y : i32[N]\noutput a = x, b = y, c = x\n"
                          "output loss = sum(x * w; B, S, H)"},
    {"a constant axis that others are ragged over",
     "axis G = 3\naxis R ragged G <= 4\ninput x : f32[G, R, H]\n"
     "y = sum(x * w; R)\noutput y, loss = sum(y; G, H)"},
    {"random numbers over two batch axes", "input x : f32[B, N]\noutput y = x * random(; B, N)\n"
                                           "output loss = sum(x; B, N) * sum(w; H)"},
};

Test(interface, models_agree_with_the_interpreter) {
    static const char *const targets[] = {"native", "generic"};
    for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++) {
        char text[2000];
        snprintf(
            text, sizeof text,
            "model m\naxis B <= 5, N <= 3\naxis S ragged B <= 6\naxis T = S\naxis U ragged B <= 4\n"
            "axis Q ragged N <= 3\naxis H = 5, A = 2, V = 7\nw = param \"w\" f32[H] init normal(1)\n%s\n",
            MODELS[i].text);
        ftc_diagnostics d = {0};
        ftc_graph *g = ftc_parse_text(MODELS[i].name, text, NULL, &d);
        cr_assert(g, "%s: %s", MODELS[i].name, d.count ? d.list[0].text : "");
        for (int t = 0; t < 2; t++)
            for (uint64_t seed = 1; seed <= 3; seed++)
                check(g, seed, ftc_target_named(targets[t]), true, MODELS[i].name);
        ftc_graph_free(g);
    }
}
