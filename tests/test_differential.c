// The three ways to run a graph against each other, on random graphs: the interpreter is right, the others
// must agree.
#include <cblas.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/eager/eager.h"
#include "compiler/passes/passes.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/call_program.h"
#include "tests/random_graph.h"

// Norm of the difference over the norm. Both round every intermediate to f32; values are about 1.
static const double TOLERANCE = 2e-5, SMALLEST_NORM = 1e-2;

static double difference(const double *expected, const float *got, int64_t n) {
    double sum = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)got[i] - expected[i];
        if (isnan(x)) return INFINITY;
        sum += x * x;
        norm += expected[i] * expected[i];
    }
    return sqrt(sum) / fmax(sqrt(norm), SMALLEST_NORM);
}

static ftc_graph *random_graph(uint64_t seed, int n_nodes) {
    test_graph_options options = {.n_nodes = n_nodes, .quadratic = seed % 3 == 0, .step_abi = true};
    return test_random_graph(seed, &options);
}

// The graph with an output "grad:NAME" for each parameter's gradient.
static ftc_graph *with_gradients(const ftc_graph *forward) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_graph_clone(forward);
    ftc_pass_options options = {.entry = FTC_ENTRY_GRAD};
    bool ok = ftc_pass_differentiate(g, &options, &d) && ftc_verify_graph(g, &d);
    cr_assert(ok, "%s", d.count ? d.list[0].text : "");
    return g;
}

// Whether rounding may decide, as where a maximum takes one of two values that are nearly the same: the
// interpreter itself gives something else for inputs that differ by some roundings.
static bool rounding_decides(const ftc_graph *given, uint64_t seed) {
    static const double steps[] = {0, 2e-7, -2e-7};
    enum { RUNS = sizeof steps / sizeof *steps };
    bool is_forward = true;
    for (uint32_t i = 0; i < given->n_outputs; i++)
        is_forward &= strncmp(given->outputs[i].name, "grad:", 5) != 0;
    ftc_graph *g = is_forward ? with_gradients(given) : ftc_graph_clone(given);
    test_values *v[RUNS];
    ftc_interp *in[RUNS];
    bool decides = false;
    for (int run = 0; run < RUNS; run++) {
        v[run] = test_values_new(g, seed);
        for (uint32_t i = 0; i < g->n_decls; i++) {
            int64_t n = ftc_interp_cells(g, &v[run]->b, &g->decls[i].type.axes);
            for (int64_t k = 0; k < n && g->decls[i].type.dtype == FTC_F32; k++)
                v[run]->tensors[i][k] += (i + 1) * steps[run];
        }
        in[run] = ftc_interp_new(g, &v[run]->b);
        ftc_interp_run(in[run]);
        for (uint32_t i = 0; i < g->n_outputs; i++) {
            int64_t n;
            const double *expected = ftc_interp_value(in[0], g->outputs[i].node, &n),
                         *got = ftc_interp_value(in[run], g->outputs[i].node, &n);
            float *rounded = calloc((size_t)n + 1, sizeof *rounded);
            for (int64_t k = 0; k < n; k++) rounded[k] = (float)got[k];
            decides |= difference(expected, rounded, n) > TOLERANCE;
            free(rounded);
        }
    }
    for (int run = 0; run < RUNS; run++) {
        ftc_interp_free(in[run]);
        test_values_free(v[run]);
    }
    ftc_graph_free(g);
    return decides;
}

static void print_failure(const ftc_graph *g, const char *what, uint64_t seed, const char *name,
                          double error) {
    if (rounding_decides(g, seed)) return;
    char *text = ftc_print_text(g);
    cr_expect_fail("%s, seed %llu, %s: differs by %.3g\n%s", what, (unsigned long long)seed, name, error,
                   getenv("FTC_TEST_PRINT") ? text : "(set FTC_TEST_PRINT to see the graph)");
    free(text);
}

// --- eager --------------------------------------------------------------------------------------------

static void sgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (blasint)m,
                (blasint)n, (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

static void check_eager(uint64_t seed) {
    ftc_graph *forward = random_graph(seed, 12 + (int)(seed % 30)), *g = with_gradients(forward);
    test_values *v = test_values_new(g, seed);
    ftc_interp *in = ftc_interp_new(g, &v->b);
    ftc_interp_run(in);
    void **tensors = calloc(g->n_decls + 1, sizeof *tensors);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        int64_t n = ftc_interp_cells(g, &v->b, &g->decls[i].type.axes);
        ftc_cell *cells = calloc((size_t)n + 1, sizeof *cells);
        for (int64_t k = 0; k < n; k++) {
            if (g->decls[i].type.dtype == FTC_F32)
                cells[k].f = (float)v->tensors[i][k];
            else
                cells[k].i = (int32_t)v->tensors[i][k];
        }
        tensors[i] = cells;
    }
    ftc_eager_bindings b = {.extents = v->extents,
                            .lengths = v->b.lengths,
                            .tensors = tensors,
                            .seed = v->b.seed,
                            .step = v->b.step,
                            .micro_step = v->b.micro_step,
                            .sgemm = sgemm};
    ftc_eager *eager = ftc_eager_new(g, &b);
    for (int run = 0; run < 2; run++) { // the second must not see what the first left
        ftc_eager_run(eager);
        for (uint32_t i = 0; i < g->n_outputs; i++) {
            int64_t n, m;
            const double *expected = ftc_interp_value(in, g->outputs[i].node, &n);
            const ftc_cell *got = ftc_eager_value(eager, g->outputs[i].node, &m);
            cr_assert_eq(n, m);
            double error = difference(expected, &got->f, n);
            if (error > TOLERANCE) print_failure(g, "eager", seed, g->outputs[i].name, error);
        }
    }
    ftc_eager_free(eager);
    for (uint32_t i = 0; i < g->n_decls; i++) free(tensors[i]);
    free(tensors);
    ftc_interp_free(in);
    test_values_free(v);
    ftc_graph_free(g);
    ftc_graph_free(forward);
}

Test(differential, eager_agrees_with_the_interpreter) {
    enum { GRAPHS = 400 };
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) check_eager(seed);
}

// --- compiled -----------------------------------------------------------------------------------------

// The cells of a gradient in the order of its parameter, or those of another output; to be freed.
static double *expected_cells(const ftc_graph *g, const ftc_interp *in, const test_values *v,
                              const ftc_output *output, int64_t *n) {
    ftc_axes axes = g->nodes[output->node].type.axes;
    if (!strncmp(output->name, "grad:", 5))
        axes = g->decls[ftc_graph_find_decl(g, output->name + 5)].type.axes;
    return test_cells_as(in, g, &v->b, output->node, &axes, n);
}

static void check_gradients(const ftc_graph *g, const ftc_interp *in, const test_values *v,
                            const test_call *call, uint64_t seed, const char *what) {
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        int64_t n, m;
        const char *name = g->outputs[i].name;
        bool is_gradient = !strncmp(name, "grad:", 5);
        char tensor[128];
        snprintf(tensor, sizeof tensor, "%s.grad", name + 5);
        double *expected = expected_cells(g, in, v, &g->outputs[i], &n);
        const float *got =
            is_gradient ? test_call_tensor(call, tensor, &m) : test_call_output(call, name, &m);
        cr_assert_eq(n, m, "%s: %lld cells, not %lld", name, (long long)m, (long long)n);
        double error = difference(expected, got, n);
        if (error > TOLERANCE) print_failure(g, what, seed, name, error);
        free(expected);
    }
}

// A program whose graph was rewritten before the optimizer came may read a table in another way, and update
// all of its rows.
static void touch_what_is_unknown(const ftc_graph *g, test_values *v, const ftc_program *program) {
    for (uint32_t i = 0; i < g->n_decls; i++) {
        if (g->decls[i].kind != FTC_DECL_TOUCHED) continue;
        bool known = false;
        for (int k = 0; k < program->n_tensors; k++)
            known |= !strcmp(program->tensors[k].name, g->decls[i].name);
        int64_t n = ftc_interp_cells(g, &v->b, &g->decls[i].type.axes);
        for (int64_t k = 0; k < n && !known; k++) v->tensors[i][k] = 1;
    }
}

// The whole step: what it leaves in weights and moments.
static void check_step(const ftc_graph *forward, const ftc_program *program, uint64_t seed) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(forward, FTC_ENTRY_STEP);
    ftc_pass_options options = {.entry = FTC_ENTRY_STEP};
    cr_assert(ftc_pass_differentiate(g, &options, &d) && ftc_pass_optimizer(g, &options, &d));
    test_values *v = test_values_new(g, seed);
    touch_what_is_unknown(g, v, program);
    test_call *call = test_call_new(program, g, v, 2);
    test_call_use_sgemm(call, sgemm);
    ftc_interp *in = ftc_interp_new(g, &v->b);
    ftc_interp_run(in); // overwrites the tensors that are assigned
    test_call_run(call, FTC_ENTRY_STEP);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        int64_t n;
        if (decl->kind != FTC_DECL_PARAM && decl->kind != FTC_DECL_MOMENT) continue;
        const float *got = test_call_tensor(call, decl->name, &n);
        // Where a gradient is zero but for rounding, the direction of the weight's step is arbitrary.
        double error = difference(v->tensors[i], got, n),
               most = decl->kind == FTC_DECL_PARAM ? 1e-3 : TOLERANCE;
        if (error > most) print_failure(forward, "step", seed, decl->name, error);
    }
    ftc_interp_free(in);
    test_call_free(call);
    test_values_free(v);
    ftc_graph_free(g);
}

// Evaluation, gradients and, if asked for, the step of a graph.
static void check_compiled(const ftc_graph *forward, uint64_t seed, const ftc_target *target, bool use_blas,
                           bool with_step) {
    ftc_graph *g = with_gradients(forward);
    test_values *v = test_values_new(g, seed);
    v->b.entry = FTC_ENTRY_EVAL;
    ftc_interp *in = ftc_interp_new(g, &v->b);
    ftc_interp_run(in);
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_EVAL |
                                              (uint32_t)with_step << FTC_ENTRY_STEP,
                                   .target = target,
                                   .use_blas = use_blas,
                                   .tile_rows = seed % 2 ? 2 : 0, // sequences of several blocks, or of one
                                   .check_text = seed % 16 == 0};
    ftc_loaded_program *loaded = test_compile(forward, &options);
    const ftc_program *program = ftc_program_of(loaded);
    test_call *call = test_call_new(program, g, v, 1 + (int)(seed % 3));
    test_call_use_sgemm(call, sgemm);
    test_call_run(call, FTC_ENTRY_EVAL);
    for (uint32_t i = 0; i < forward->n_outputs; i++) {
        int64_t n;
        const double *expected = ftc_interp_value(in, g->outputs[i].node, &n);
        double error = difference(expected, test_call_output(call, g->outputs[i].name, &n), n);
        if (error > TOLERANCE) print_failure(forward, "compiled, forward", seed, g->outputs[i].name, error);
    }
    v->b.entry = FTC_ENTRY_GRAD;
    ftc_interp_run(in);
    test_call_run(call, FTC_ENTRY_GRAD);
    check_gradients(g, in, v, call, seed, target->name);
    if (with_step) check_step(forward, program, seed);
    test_call_free(call);
    ftc_program_unload(loaded);
    ftc_interp_free(in);
    test_values_free(v);
    ftc_graph_free(g);
}

static void check_target(const char *name, bool use_blas, uint64_t first, uint64_t n) {
    const ftc_target *target = ftc_target_named(name);
    if (!ftc_target_supported_here(target)) cr_skip_test("this CPU does not have %s", name);
    for (uint64_t seed = first; seed < first + n; seed++) {
        ftc_graph *forward = random_graph(seed, 6 + (int)(seed % 12));
        check_compiled(forward, seed, target, use_blas, seed % 4 == 0);
        ftc_graph_free(forward);
    }
}

Test(differential, native_code_agrees_with_the_interpreter) {
    check_target("native", false, 1, 100);
}
Test(differential, avx2_code_agrees_with_the_interpreter) {
    check_target("avx2", false, 1001, 30);
}
Test(differential, generic_code_agrees_with_the_interpreter) {
    check_target("generic", false, 2001, 30);
}

Test(differential, openblas_agrees_with_the_interpreter) {
    check_target("native", true, 3001, 30);
}

// --- what is easy to get wrong ------------------------------------------------------------------------

static const char DECLARATIONS[] = "axis B <= 5, H = 6, A = 2, D = 3, V = 7\n"
                                   "axis S ragged B <= 4\n"
                                   "axis T = S\n"
                                   "input x : f32[B, S, A, D]\n"
                                   "input y : f32[B, S]\n"
                                   "input z : f32[B]\n"
                                   "input ids : i32[B, S] in V\n"
                                   "w = param \"w\" f32[H]\n"
                                   "m = param \"m\" f32[V, H]\n"
                                   "u = param \"u\" f32[A, D]\n";

static const struct {
    const char *name, *text;
} MODELS[] = {
    {"outputs_without_kernels", "output out = w, again = w, seen = detach(w * 2)\nloss = sum(w; H)"},
    {"outputs_in_other_orders_than_they_are_made",
     "k = param \"k\" f32[H, A, D]\na = at(outer add(scatter_add(x, V, ids), k), V, 1)\n"
     "output out = tanh(a), again = tanh(a + k), other = tanh(k + a)\nloss = sum(exp(a); A, D, H)"},
    {"one_output_twice", "e = exp(w)\noutput out = e, again = e\nloss = sum(e; H)"},
    {"sum_of_ragged_and_constant_axes", "loss = sum(sum(x; S, A, D) * z; B)"},
    {"sum_over_tokens_of_sequences", "loss = sum(sum(y; S) * z; B)"},
    {"first_token_of_scalars", "loss = sum(at(exp(y), S, 0) * z; B)"},
    {"position_in_flat_rows", "loss = sum(at(m, V, 1) * m; V, H)"},
    {"place_and_position", "loss = sum(place(at(m, V, 2), V, 5; V, H) * m; V, H)"},
    {"contraction_of_everything", "loss = dot(m * 2, exp(m); V, H)"},
    {"matrix_times_vector", "loss = sum(exp(dot(m, w; H)); V)"},
    {"an_axis_of_size_one", "axis E = 1\nl = param \"l\" f32[E, H]\n"
                            "loss = sum(exp(dot(exp(dot(gather(m, V, ids), l; H)), l; E)); B, S, H)"},
    {"tokens_times_vector", "loss = sum(softmax(dot(exp(x), u; A, D); S) * y; B, S)"},
    {"vector_times_matrix", "loss = sum(exp(dot(sum(m; H), m; V)); H)"},
    {"contraction_for_each_token", "loss = sum(exp(dot(x, x * u; D)); B, S, A)"},
    {"contraction_over_two_axes_for_each_token", "loss = sum(exp(dot(x, x; A, D)); B, S)"},
    {"contraction_over_tokens", "loss = sum(exp(dot(x, gather(m, V, ids); S)); B, A, D, H)"},
    {"batch_axis_innermost", "loss = sum(exp(dot(gather(m, V, ids), m; H)); B, S, V)"},
    {"outer_product", "loss = sum(outer (w * u); H, A, D)"},
    {"random_numbers_gathered",
     "first = at(ids, S, 0)\npicked = gather(random(; V), V, first)\n"
     "output picked, place = cast(gather(index(V), V, first), f32)\n"
     "loss = sum(exp(gather(random(; V, H), V, ids) * w); B, S, H) + sum(picked * z; B)"},
    {"gather_renamed", "g = gather(m, V, ids)\nloss = sum(exp(dot(g, rename(g; S -> T); H)); B, S, T)"},
    {"attention",
     "q = x * u\nloss = sum(attention(q, rename(x; S -> T), rename(q; S -> T), 0.25; D, T); B, S, A, D)"},
    {"mean_of_attention", "q = x * u\nh = attention(q, rename(q; S -> T), rename(q; S -> T), 0.25; D, "
                          "T)\nloss = sum(mean(h; S); B, A, D)"},
    {"mean_of_causal_attention", "h = sum(x * u; A)\nk = rename(h; S -> T)\ns = select(outer (index(T) <= "
                                 "index(S)), dot(h, k; D), -inf)\n"
                                 "loss = sum(mean(dot(softmax(s; T), k; T); S); B, D)"},
    {"heads_of_queries_on_shared_keys", "k = rename(sum(x * u; A); S -> T)\nh = attention(x * u, k, k, 0.25; "
                                        "D, T)\nloss = sum(exp(h); B, S, A, D)"},
    {"contraction_within_sequences_before_pairs", "k = rename(x * u; S -> T)\np = outer (y * exp(dot(sum(x; "
                                                  "S), k; D)))\nloss = sum(p * dot(x, k; D); B, S, A, T)"},
    {"sum_of_a_contraction_for_each_position",
     "v = dot(m * 2, exp(m); V, H)\n"
     "k = param \"k\" f32[V, A, D]\ns = sum(dot(k, u; A); V)\noutput out = s * v\nloss = sum(s; D) + v"},
    {"attention_on_attention",
     "q = x * u\nh = attention(q, rename(q; S -> T), rename(q; S -> T), 0; D, T)\n"
     "h = attention(h, rename(h; S -> T), rename(h; S -> T), 0; D, T)\nloss = sum(mean(h; S); B, A, D)"},
    {"contraction_of_random_numbers",
     "loss = sum(exp(dot(random(; B, A, S, T), rename(x * u; S -> T); T)); B, S, A, D)"},
    {"sum_over_pairs_of_tokens", "loss = sum(outer (y * rename(y; S -> T)); B, S, T)"},
    {"vector_times_a_matrix_for_each_token",
     "g = gather(m, V, ids)\nloss = sum(exp(dot(outer minimum(m, y), g; H)); B, S, V)"},
    {"matrix_product_for_each_token",
     "g = gather(m, V, ids)\na = outer minimum(m, y)\nb = outer maximum(g, u)\n"
     "loss = sum(exp(dot(a, sum(b; D); H)); B, S, V, A)"},
    {"weights_in_their_own_gradient", "loss = sum(w * w * w; H) + sum(m * m; V, H) + sum(exp(u); A, D)"},
    {"weights_at_a_position_in_their_own_gradient",
     "loss = sum(w * at(w, H, 0); H) + sum(m * at(m, V, 1); V, H)"},
    {"weights_in_each_others_gradients", "v = param \"v\" f32[H]\nn = param \"n\" f32[V, H]\nloss = sum(w * "
                                         "v; H) + sum(m * at(n, V, 1) + n; V, H)"},
    {"shared_table", "loss = sum(exp(dot(gather(m, V, ids), w; H)); B, S) + sum(dot(m, w; H); V)"},
    {"attention_that_pools",
     "s = dot(x, u; A, D)\n"
     "loss = sum(exp(sum(softmax(s; S) * y; S)); B) + sum(dot(softmax(s; S), x; S); B, A, D)"},
    {"mean_and_softmax", "loss = sum(mean(softmax(x; D) * x; S); B, A, D)"},
    {"two_axes_of_one_constant", "axis K = 3\nloss = sum(exp(rename(x * u; D -> K)); B, S, A, K)"},
    {"maximum", "loss = sum(max(x; D); B, S, A) + max(w; H)"},
    {"gradients_where_sigmoid_saturates", "loss = sum(silu(w * 1000) + sigmoid(w * 400); H)"},
    {"gradient_text_for_two_parameters",
     "fn scaled(a, b; A, D) { return sum(a * b; A, D) }\n"
     "gradient(y, dy -> a) { return outer (dy * b) }\n"
     "gradient(y, dy -> b) { return dy * a }\n"
     "loss = sum(exp(scaled(x * u, u; A, D)); B, S) + sum(sigmoid(scaled(u, exp(u); A, D)) * z; B)"},
    {"scores_that_the_gradient_alone_reads",
     "k = rename(x * u; S -> T)\nr = dot(gather(m, V, ids), dot(x, k; D); S)\n"
     "loss = sum(sum(normal_cdf(r - r); T) * outer (w * sum(u; D)); B, A, H)"},
    {"gradient_text_behind_one_position", "loss = sum(at(sigmoid(x * u), S, 0); B, A, D)"},
};

Test(differential, corner_cases_agree) {
    for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++) {
        ftc_diagnostics d = {0};
        char *text;
        if (asprintf(&text, "model %s\n%s%s\noutput loss\n", MODELS[i].name, DECLARATIONS, MODELS[i].text) <
            0)
            abort();
        ftc_graph *g = ftc_parse_text(MODELS[i].name, text, NULL, &d);
        cr_assert(g, "%s", d.count ? d.list[0].text : "");
        for (uint64_t seed = 1; seed <= 2; seed++) {
            check_compiled(g, seed, ftc_target_named("native"), false, true);
            check_compiled(g, seed, ftc_target_named("native"), true, false);
        }
        ftc_graph_free(g);
        free(text);
    }
}

// What a model assigns itself: every reader sees the old values, wherever the new ones come from.
Test(differential, assignments_see_the_old_values) {
    static const char *const texts[] = {
        "assign(l, k)\nassign(k, l)", // swapped
        "assign(l * at(k, H, 1), k)\nassign(k * 2, l)",
        "assign(n * at(n, V, 2), n)",
        "assign(rename(k * 2; H -> G), o)\nassign(rename(o; G -> H), k)",
        "new = k * 2\nassign(new, k)\noutput out = dot(new * 3, n * k; H)",
        "assign(sum(n; V), k)\nassign(n + dot(n, k; H), n)",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ftc_diagnostics d = {0};
        char *text;
        if (asprintf(
                &text,
                "model assigns\n%saxis G = H\nk = param \"k\" f32[H] frozen\nl = param \"l\" f32[H] frozen\n"
                "n = param \"n\" f32[V, H] frozen\no = param \"o\" f32[G] frozen\n%s\noutput loss = sum(w * "
                "k; H)\n",
                DECLARATIONS, texts[i]) < 0)
            abort();
        ftc_graph *g = ftc_parse_text("assigns", text, NULL, &d);
        cr_assert(g, "%s", d.count ? d.list[0].text : "");
        ftc_compile_options options = {.entries = 1u << FTC_ENTRY_STEP};
        ftc_loaded_program *loaded = test_compile(g, &options);
        check_step(g, ftc_program_of(loaded), 1);
        ftc_program_unload(loaded);
        ftc_graph_free(g);
        free(text);
    }
}
