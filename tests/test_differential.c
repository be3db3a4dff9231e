// The three ways to run a graph against each other, on random graphs: the interpreter is right, the others
// must agree.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/passes.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/call_program.h"
#include "tests/eager_values.h"
#include "tests/expected.h"
#include "tests/foreign.h"
#include "tests/random_graph.h"
#include "tests/recurrences.h"
#include "tests/random_layers.h"

static ftc_graph *random_graph(uint64_t seed, int n_nodes) {
    test_graph_options options = {.n_nodes = n_nodes, .quadratic = seed % 3 == 0, .step_abi = true};
    return test_random_graph(seed, &options);
}

// The graph with an output "grad:NAME" for each parameter's gradient.
static ftc_graph *with_gradients(const ftc_graph *forward) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(forward, FTC_ENTRY_GRAD);
    ftc_pass_options options = {.entry = FTC_ENTRY_GRAD};
    bool ok = ftc_pass_differentiate(g, &options, &d) && ftc_verify_graph(g, &d);
    cr_assert(ok, "%s", d.count ? d.list[0].text : "");
    return g;
}

// --- comparing ----------------------------------------------------------------------------------------

// What is compared with the interpreter, tensor by tensor.
typedef struct {
    const char *what;
    const ftc_graph *shown; // what is printed where they differ
    uint64_t seed;
    const test_expected *expected;
} comparison;

static test_counts counts; // of this test

static void compare(const comparison *c, const char *name, ftc_id id, ftc_decl decl, const ftc_axes *axes,
                    const float *got, int64_t n) {
    char why[256];
    if (!test_expected_compare(c->expected, id, decl, axes, got, n, &counts, why)) return;
    char *text = ftc_print_text(c->shown);
    cr_expect_fail("%s, seed %llu, %s: %s\n%s", c->what, (unsigned long long)c->seed, name, why,
                   getenv("FTC_TEST_PRINT") ? text : "(set FTC_TEST_PRINT to see the graph)");
    free(text);
}

// Few comparisons may say nothing because rounding decides, as which of two values that are nearly the same
// is the larger one.
static void report_counts(void) {
    printf("%d tensors compared, %d of them in vain: rounding decides; %d cell by cell\n", counts.compared,
           counts.vague, counts.by_interval);
    cr_expect(counts.compared > 0 && counts.vague * 50 <= counts.compared);
}

// --- eager --------------------------------------------------------------------------------------------

static void check_eager(const ftc_graph *forward, uint64_t seed) {
    ftc_graph *g = with_gradients(forward);
    test_expected *expected = test_expected_new(g, NULL, FTC_ENTRY_GRAD, seed, &test_f32, NULL);
    const test_values *v = test_expected_values(expected);
    const comparison c = {"eager", g, seed, expected};
    test_eager *eager = test_eager_new(g, v);
    for (int run = 0; run < 2; run++) { // the second must not see what the first left
        ftc_eager_run(eager->run);
        for (uint32_t i = 0; i < g->n_outputs; i++) {
            int64_t n;
            ftc_id id = g->outputs[i].node;
            const ftc_cell *got = ftc_eager_value(eager->run, id, &n);
            compare(&c, g->outputs[i].name, id, FTC_NO_DECL, &g->nodes[id].type.axes, &got->f, n);
        }
    }
    test_eager_free(eager);
    test_expected_free(expected);
    ftc_graph_free(g);
}

Test(differential, eager_agrees_with_the_interpreter) {
    enum { GRAPHS = 400 };
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        ftc_graph *g = random_graph(seed, 12 + (int)(seed % 30));
        check_eager(g, seed);
        ftc_graph_free(g);
    }
    report_counts();
}

// --- compiled -----------------------------------------------------------------------------------------

// Gradients come in the order of their parameters.
static void check_gradients(const comparison *c, const ftc_graph *g, const test_call *call) {
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        int64_t n;
        const char *name = g->outputs[i].name;
        ftc_id id = g->outputs[i].node;
        if (strncmp(name, "grad:", 5) != 0) {
            const float *got = test_call_output(call, name, &n);
            compare(c, name, id, FTC_NO_DECL, &g->nodes[id].type.axes, got, n);
            continue;
        }
        char tensor[128];
        snprintf(tensor, sizeof tensor, "%s.grad", name + 5);
        const float *got = test_call_tensor(call, tensor, &n);
        compare(c, name, id, FTC_NO_DECL, &g->decls[ftc_graph_find_decl(g, name + 5)].type.axes, got, n);
    }
}

// A program whose graph was rewritten before the optimizer came may read a table in another way, and update
// all of its rows. By declaration; to be freed.
static bool *find_all_touched(const ftc_graph *g, const ftc_program *program) {
    bool *all = calloc(g->n_decls + 1, sizeof *all);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        all[i] = g->decls[i].kind == FTC_DECL_TOUCHED;
        for (int k = 0; k < program->n_tensors; k++)
            all[i] &= strcmp(program->tensors[k].name, g->decls[i].name) != 0;
    }
    return all;
}

// The weights after a step, in bits, on some threads.
static float *weights_after_step(const ftc_graph *g, const ftc_program *program, const test_values *v,
                                 int32_t threads, int64_t *n) {
    test_call *call = test_call_new(program, g, v, threads);
    test_call_use_sgemm(call, test_sgemm);
    test_call_run(call, FTC_ENTRY_STEP);
    float *all = NULL;
    *n = 0;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        int64_t m;
        if (g->decls[i].kind != FTC_DECL_PARAM) continue;
        const float *cells = test_call_tensor(call, g->decls[i].name, &m);
        all = realloc(all, (size_t)(*n + m) * sizeof *all);
        memcpy(all + *n, cells, (size_t)m * sizeof *all);
        *n += m;
    }
    test_call_free(call);
    return all;
}

static void expect_same_bits(const ftc_graph *g, const ftc_program *program, const test_values *v,
                             const char *what) {
    int64_t n;
    float *one = weights_after_step(g, program, v, 1, &n);
    for (int32_t threads = 2; threads <= 5; threads += 3) {
        float *others = weights_after_step(g, program, v, threads, &n);
        cr_expect(!memcmp(one, others, (size_t)n * sizeof *one), "%s, %d threads", what, threads);
        free(others);
    }
    free(one);
}

// What the compiler makes of an entry.
static ftc_graph *planned(const ftc_graph *forward, ftc_entry_kind entry,
                          const ftc_compile_options *options) {
    ftc_diagnostics d = {0};
    ftc_graph *plan = ftc_compile_plan(forward, entry, options, &d);
    cr_assert(plan, "%s", d.count ? d.list[0].text : "");
    return plan;
}

// The whole step: what it leaves in weights and moments, and that these are the same bits on any number of
// threads.
static void check_step(const ftc_graph *forward, const ftc_program *program, uint64_t seed,
                       const ftc_compile_options *options) {
    const test_rounding *rounding = options->bf16 ? &test_bf16 : &test_f32;
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(forward, FTC_ENTRY_STEP);
    ftc_pass_options passes = {.entry = FTC_ENTRY_STEP};
    cr_assert(ftc_pass_differentiate(g, &passes, &d) && ftc_pass_optimizer(g, &passes, &d));
    bool *all_touched = find_all_touched(g, program);
    test_expected *expected = test_expected_new(g, planned(forward, FTC_ENTRY_STEP, options), FTC_ENTRY_STEP,
                                                seed, rounding, all_touched);
    const comparison c = {"step", forward, seed, expected};
    test_call *call = test_call_new(program, g, test_expected_values(expected), 2);
    test_call_use_sgemm(call, test_sgemm);
    test_call_run(call, FTC_ENTRY_STEP);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        int64_t n;
        if (decl->kind != FTC_DECL_PARAM && decl->kind != FTC_DECL_MOMENT) continue;
        const float *got = test_call_tensor(call, decl->name, &n);
        compare(&c, decl->name, 0, (ftc_decl)i, &decl->type.axes, got, n);
    }
    char what[64];
    snprintf(what, sizeof what, "step, seed %llu", (unsigned long long)seed);
    expect_same_bits(g, program, test_expected_values(expected), what);
    test_expected_free(expected);
    test_call_free(call);
    free(all_touched);
    ftc_graph_free(g);
}

typedef struct {
    const char *target;
    bool use_blas, bf16, with_step, least_memory;
} way;

// Evaluation, gradients and, if asked for, the step of a graph.
static void check_compiled(const ftc_graph *forward, uint64_t seed, way w) {
    const test_rounding *rounding = w.bf16 ? &test_bf16 : &test_f32;
    ftc_graph *g = with_gradients(forward);
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_EVAL |
                                              (uint32_t)w.with_step << FTC_ENTRY_STEP,
                                   .target = ftc_target_named(w.target),
                                   .use_blas = w.use_blas,
                                   .bf16 = w.bf16,
                                   .memory_budget_bytes = w.least_memory ? FTC_LEAST_MEMORY : 0,
                                   .threads = 2,
                                   .tile_rows = seed % 2 ? 2 : 0, // sequences of several blocks, or of one
                                   .check_text = seed % 16 == 0};
    ftc_loaded_program *loaded = test_compile(forward, &options);
    const ftc_program *program = ftc_program_of(loaded);
    test_expected *expected = test_expected_new(g, planned(forward, FTC_ENTRY_GRAD, &options), FTC_ENTRY_GRAD,
                                                seed, rounding, NULL),
                  *evaluated = test_expected_new(forward, planned(forward, FTC_ENTRY_EVAL, &options),
                                                 FTC_ENTRY_EVAL, seed, rounding, NULL);
    test_call *call = test_call_new(program, g, test_expected_values(expected), 1 + (int)(seed % 3));
    test_call_use_sgemm(call, test_sgemm);
    test_call_run(call, FTC_ENTRY_EVAL);
    const comparison evaluation = {"evaluation", forward, seed, evaluated},
                     c = {w.target, forward, seed, expected};
    for (uint32_t i = 0; i < forward->n_outputs; i++) {
        int64_t n;
        const char *name = forward->outputs[i].name;
        ftc_id id = forward->outputs[i].node;
        const float *got = test_call_output(call, name, &n);
        compare(&evaluation, name, id, FTC_NO_DECL, &forward->nodes[id].type.axes, got, n);
    }
    test_call_run(call, FTC_ENTRY_GRAD);
    check_gradients(&c, g, call);
    if (w.with_step) check_step(forward, program, seed, &options);
    test_call_free(call);
    ftc_program_unload(loaded);
    test_expected_free(expected);
    test_expected_free(evaluated);
    ftc_graph_free(g);
}

static ftc_graph *small_graph(uint64_t seed) {
    return random_graph(seed, 6 + (int)(seed % 12));
}

// Under a sanitizer a third of the graphs: it looks at the compiler, and their numbers are the same without.
#ifdef __SANITIZE_ADDRESS__
enum { EVERY = 3 };
#else
enum { EVERY = 1 };
#endif

// FTC_TEST_SEEDS=FIRST,N takes other graphs instead.
static void check_graphs(way w, ftc_graph *make(uint64_t seed), uint64_t first, uint64_t n) {
    const char *seeds = getenv("FTC_TEST_SEEDS");
    test_skip_unless_runs(ftc_target_named(w.target));
    if (seeds && sscanf(seeds, "%" SCNu64 ",%" SCNu64, &first, &n) != 2)
        cr_assert_fail("FTC_TEST_SEEDS=FIRST,N");
    for (uint64_t seed = first; seed < first + n; seed += EVERY) {
        ftc_graph *forward = make(seed);
        w.with_step = seed % 4 == 0;
        check_compiled(forward, seed, w);
        ftc_graph_free(forward);
    }
    report_counts();
}

static void check_target(way w, uint64_t first, uint64_t n) {
    check_graphs(w, small_graph, first, n);
}

Test(differential, native_code_agrees_with_the_interpreter) {
    check_target((way){.target = "native"}, 1, 100);
}
Test(differential, avx2_code_agrees_with_the_interpreter) {
    check_target((way){.target = "avx2"}, 1001, 30);
}
Test(differential, generic_code_agrees_with_the_interpreter) {
    check_target((way){.target = "generic"}, 2001, 30);
}

Test(differential, aarch64_code_agrees_with_the_interpreter) {
    check_target((way){.target = "aarch64"}, 5001, 20);
}
Test(differential, sve256_code_agrees_with_the_interpreter) {
    check_target((way){.target = "sve256"}, 7001, 10);
}
Test(differential, aarch64_code_in_bf16_agrees_with_the_interpreter) {
    check_target((way){.target = "aarch64", .bf16 = true}, 6001, 10);
}

Test(differential, openblas_agrees_with_the_interpreter) {
    check_target((way){.target = "native", .use_blas = true}, 3001, 30);
}

Test(differential, bf16_agrees_with_the_interpreter) {
    check_target((way){.target = "native", .bf16 = true}, 4001, 60);
}

Test(layers, agree_with_the_interpreter) {
    check_graphs((way){.target = "native"}, test_random_layers, 1, 60);
}
Test(layers, of_least_memory_agree) {
    check_graphs((way){.target = "native", .least_memory = true}, test_random_layers, 1001, 10);
}
Test(layers, in_bf16_agree) {
    check_graphs((way){.target = "native", .bf16 = true}, test_random_layers, 2001, 20);
}
Test(layers, for_avx2_agree) {
    check_graphs((way){.target = "avx2"}, test_random_layers, 3001, 10);
}
Test(layers, for_any_machine_agree) {
    check_graphs((way){.target = "generic"}, test_random_layers, 4001, 10);
}
Test(layers, for_aarch64_agree) {
    check_graphs((way){.target = "aarch64"}, test_random_layers, 5001, 10);
}

// Models that faults were found by.
Test(layers, that_differed_agree) {
    static const struct {
        uint64_t seed;
        way way;
    } MODELS_FOUND[] = {
        {200392, {.target = "generic", .with_step = true}}, // the gradient of a softmax over one key: zero
        {200056, {.target = "native", .bf16 = true, .with_step = true}}, // one whole update apart
        {200596, {.target = "native", .bf16 = true, .with_step = true}}, // the same
        // A contraction stood in its tile before what it reads, which waited for another part of the tile.
        {201912, {.target = "native", .least_memory = true, .with_step = true}},
    };
    for (size_t i = 0; i < sizeof MODELS_FOUND / sizeof *MODELS_FOUND; i++) {
        ftc_graph *g = test_random_layers(MODELS_FOUND[i].seed);
        check_compiled(g, MODELS_FOUND[i].seed, MODELS_FOUND[i].way);
        ftc_graph_free(g);
    }
    report_counts();
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
    {"sum_of_ragged_and_constant_axes", "loss = sum(sum(x; S, A, D) * z; B) + sum(w; H)"},
    {"sum_over_tokens_of_sequences", "loss = sum(sum(y; S) * z; B) + sum(w; H)"},
    {"first_token_of_scalars", "loss = sum(at(exp(y), S, 0) * z; B) + sum(w; H)"},
    {"position_in_flat_rows", "loss = sum(at(m, V, 1) * m; V, H)"},
    {"place_and_position", "loss = sum(place(at(m, V, 2), V, 5; V, H) * m; V, H)"},
    {"contraction_of_everything", "loss = dot(m * 2, exp(m); V, H)"},
    {"matrix_times_vector", "loss = sum(exp(dot(m, w; H)); V)"},
    {"an_axis_of_size_one", "axis E = 1\nl = param \"l\" f32[E, H]\n"
                            "loss = sum(exp(dot(exp(dot(gather(m, V, ids), l; H)), l; E)); B, S, H)"},
    {"tokens_times_vector", "loss = sum(softmax(dot(exp(x), u; A, D); S) * y; B, S)"},
    {"vector_times_matrix", "loss = sum(exp(dot(sum(m; H), m; V)); H)"},
    {"contraction_for_each_token", "loss = sum(exp(dot(x, x * u; D)); B, S, A)"},
    {"contraction_over_two_axes_for_each_token", "loss = sum(exp(dot(x, x; A, D)); B, S) + sum(w; H)"},
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
    {"sum_over_pairs_of_tokens", "loss = sum(outer (y * rename(y; S -> T)); B, S, T) + sum(w; H)"},
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
    {"mean_and_softmax", "loss = sum(mean(softmax(x; D) * x; S); B, A, D) + sum(w; H)"},
    {"two_axes_of_one_constant", "axis K = 3\nloss = sum(exp(rename(x * u; D -> K)); B, S, A, K)"},
    {"maximum", "loss = sum(max(x; D); B, S, A) + max(w; H)"},
    // The largest cell is known by its bits, which are the same where it is found and where it gets its
    // gradient.
    {"winners_among_tokens",
     "p = x * u + 0.25\nq = p - p / (1 + mean(p * p; D))\nloss = sum(max(q; S) * u; B, A, D)"},
    {"winners_among_rows_of_a_table",
     "p = gather(m, V, ids) + 0.25\nq = p - p / (1 + mean(p * p; H))\nloss = sum(max(q; S) * w; B, H)"},
    {"winners_in_a_row", "p = x * u + 0.25\nq = p * 0.7 - p * p\nloss = sum(max(q; A, D) * y; B, S)"},
    {"winners_in_another_order", "p = x * u + 0.25\nq = abs(p - p / (1 + mean(p * p; D)))\n"
                                 "h = outer (rename(q; S -> T) * y)\nloss = sum(max(h; T) * u; B, S, A, D) + "
                                 "sum(max(q; S) * z; B, A, D)"},
    {"winners_among_scores",
     "k = rename(x * u; S -> T)\ns = dot(x, k; D) * 0.7 + outer (y * rename(y; S -> T)) * 0.1\n"
     "loss = sum(max(s; T) * y; B, S, A) + sum(dot(softmax(s; T), k; T); B, S, A, D)"},
    {"winners_that_the_model_asks_for",
     "p = x * u + 0.25\nq = p - p / (1 + mean(p * p; D))\nwon = q == max(q; S)\n"
     "loss = sum(select(won, q * u, 0); B, S, A, D) + sum(cast(won, f32); B, S, A, D)"},
    {"signs_at_exact_zeros",
     "p = x * u\nq = outer (cast(index(S), f32) * p) - outer (p * cast(index(S), f32))\n"
     "loss = sum(relu(q + 0) * u + abs(q) + minimum(q, 0); B, S, A, D) + sum(p; B, S, A, D)"},
    {"gradients_where_sigmoid_saturates", "loss = sum(silu(w * 1000) + sigmoid(w * 400); H)"},
    {"gradient_text_for_two_parameters",
     "fn scaled(a, b; A, D) { return sum(a * b; A, D) }\n"
     "gradient(y, dy -> a) { return outer (dy * b) }\n"
     "gradient(y, dy -> b) { return dy * a }\n"
     "loss = sum(exp(scaled(x * u, u; A, D)); B, S) + sum(sigmoid(scaled(u, exp(u); A, D)) * z; B)"},
    {"scores_that_the_gradient_alone_reads",
     "k = rename(x * u; S -> T)\nr = dot(gather(m, V, ids), dot(x, k; D); S)\n"
     "loss = sum(sum(normal_cdf(r - r); T) * outer (w * sum(u; D)); B, A, H)"},
    {"keys_without_queries",
     "axis U ragged B <= 3\ninput c : f32[B, U, A, D]\nk = c * u\n"
     "loss = sum(tanh(dot(softmax(dot(x * u, k; D); U), k; U)); B, S, A, D) + sum(k; B, U, A, D)"},
    {"tokens_before_and_behind",
     "q = shift(x * u, 1; S)\nk = rename(shift(x, -2; S); S -> T)\nh = attention(q, k, k, 0.25; D, T)\n"
     "loss = sum(tanh(shift(h, 1; S) - shift(h, 3; S)); B, S, A, D) + sum(at(shift(q, -1; S), S, 0) * u; B, "
     "A, D)"},
    {"a_row_moved_along_its_only_axis",
     "loss = sum(exp(shift(y, 2; S)) * shift(y, -1; S); B, S) + sum(w; H)"},
    {"scores_moved_along_keys", "k = rename(x * u; S -> T)\ns = shift(dot(x, k; D), 1; T) + dot(x, k; D)\n"
                                "loss = sum(tanh(dot(softmax(s; T), k; T)); B, S, A, D)"},
    {"parts_of_one_axis",
     "axis G = 10, E = 4, F = 6\ng = concat(dot(gather(m, V, ids), m; H), sum(x * u; A); V, D -> G)\n"
     "a = shift(g, 0; G -> E)\nb = shift(g, -4; G -> F)\n"
     "loss = sum(exp(a); B, S, E) + sum(dot(b, param \"wf\" f32[F, H]; F) * gather(m, V, ids); B, S, H)"},
    {"parts_of_a_parameter",
     "axis P = 5, E = 2\np = param \"p\" f32[P, H]\na = shift(p, 0; P -> D)\nb = shift(p, -3; P -> E)\n"
     "s = dot(gather(m, V, ids), b; H)\nloss = sum(tanh(dot(x, a; D) * at(s, E, 1)); B, S, A, H) + "
     "sum(exp(s); B, S, E)"},
    {"numbers_moved_that_nobody_stores",
     "loss = sum(shift(random(; B, S, H), 1; H) * shift(cast(index(S), f32), 2; S) * w; B, S, H)"},
    {"moved_out_of_what_is_there_and_back",
     "loss = sum(shift(shift(x * u, 2; D), -2; D) + shift(shift(x, -1; S), 1; S); B, S, A, D)"},
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
            check_compiled(g, seed, (way){.target = "native", .with_step = true});
            check_compiled(g, seed, (way){.target = "native", .use_blas = seed == 1, .bf16 = seed == 2});
        }
        ftc_graph_free(g);
        free(text);
    }
    report_counts();
}

// --- what no tile kernel computes ---------------------------------------------------------------------

// Each with a kernel of its step: why it is a plain one, "": there is none, for the values are stored alone.
static const struct {
    const char *name, *plain, *text;
} PAIRS[] = {
    {"additive_attention", "no sum along A, D of B, S, T, A, D",
     "s = dot(tanh(outer (dot(x, wq; H) + rename(dot(x, wk; H); S -> T))), u; A, D)\n"
     "y = dot(softmax(s; T), rename(x; S -> T); T)\nloss = sum(exp(y * 0.1); B, S, H)"},
    {"heads_averaged", "no sum along A of B, S, T, A",
     "m = mean(softmax(dot(q, k; D); T); A)\ny = dot(m, rename(x; S -> T); T)\nloss = sum(y * y; B, S, H)"},
    {"scores_passed_on", "",
     "s = dot(q, k; D)\ny = x + dot(dot(softmax(s; T), v; T), wo; A, D)\n"
     "r = dot(dot(y, wq; H), rename(dot(y, wk; H); S -> T); D)\n"
     "loss = sum(tanh(dot(softmax(r + s; T), v; T)); B, S, A, D)"},
    {"two_feature_axes_of_queries", "",
     "p = softmax(dot(q, k; A, D); T)\nloss = sum(tanh(dot(p, v; T)); B, S, A, D)"},
    {"two_feature_axes_of_values", "",
     "s = dot(x, rename(rename(dot(x, wh; H); S -> T); H2 -> H); H)\n"
     "loss = sum(tanh(dot(softmax(s; T), v; T)); B, S, A, D)"},
    {"rotary_positions", "",
     "axis N = 2, E = 2\nwr = param \"wr\" f32[H, A, N, E]\nz = dot(x, wr; H)\n"
     "a = outer (cast(index(S), f32) * exp(cast(index(E), f32) * -0.5))\n"
     "z0 = at(z, N, 0)\nz1 = at(z, N, 1)\n"
     "r = place(z0 * cos(a) - z1 * sin(a), N, 0; axes(z)) + place(z1 * cos(a) + z0 * sin(a), N, 1; axes(z))\n"
     "p = dropout(softmax(dot(r, rename(r; S -> T); N, E); T), 0.2)\n"
     "loss = sum(tanh(dot(p, rename(z; S -> T); T)); B, S, A, N, E)"},
    {"relative_bias", "",
     "axis R = 9\nrb = param \"rb\" f32[R, A]\nd = outer (index(S) - index(T))\n"
     "d = select(d < -4, -4, select(d > 4, 4, d)) + 4\n"
     "p = softmax(dot(q, k; D) + gather(rb, R, d); T)\nloss = sum(tanh(dot(p, v; T)); B, S, A, D)"},
    {"relative_bias_of_two_layers", "",
     "axis R = 9\nrb = param \"rb\" f32[R, A]\nd = outer (index(T) - index(S))\nf = maximum(d, -d)\n"
     "r = select(f < 3, f, 3 + cast(f > 6, i32)) + cast(d > 0, i32) * 4\nb = gather(rb, R, r)\n"
     "y = x + dot(dot(softmax(dot(q, k; D) + b; T), v; T), wo; A, D)\n"
     "s = dot(dot(y, wq; H), rename(dot(y, wk; H); S -> T); D)\n"
     "loss = sum(tanh(dot(dropout(softmax(s + b; T), 0.2), v; T)); B, S, A, D)"},
    {"relative_bias_without_a_row", "",
     "axis R = 9\nrb = param \"rb\" f32[R]\nd = minimum(maximum(outer (index(S) - index(T)), -4), 4) + 4\n"
     "p = softmax(dot(q, k; D) + gather(rb, R, d, 4); T)\nloss = sum(tanh(dot(p, v; T)); B, S, A, D)"},
    {"first_token_of_the_last_layer", "",
     "axis R = 9\nrb = param \"rb\" f32[R, A]\nd = minimum(maximum(outer (index(T) - index(S)), -4), 4) + 4\n"
     "b = gather(rb, R, d)\n"
     "y = x + dot(dot(softmax(dot(q, k; D) + b; T), v; T), wo; A, D)\n"
     "s = dot(dot(y, wq; H), rename(dot(y, wk; H); S -> T); D) + b\n"
     "loss = sum(tanh(at(dot(softmax(s; T), v; T), S, 0)); B, A, D)"},
    {"bias_by_distance_through_a_layer", "",
     "axis R = 9, K = 3\nrb = param \"rb\" f32[R, K]\nka = param \"ka\" f32[K, A]\n"
     "d = minimum(maximum(outer (index(S) - index(T)), -4), 4) + 4\n"
     "p = softmax(dot(q, k; D) + dot(tanh(gather(rb, R, d)), ka; K); T)\n"
     "loss = sum(tanh(dot(p, v; T)); B, S, A, D)"},
    {"bias_by_two_tokens", "",
     "axis R = 9\nrb = param \"rb\" f32[R, A]\nc = cast(minimum(maximum(x, -0.9), 0.9) * 2 + 2, i32)\n"
     "c = at(c, H, 0)\nd = minimum(outer (c + rename(c; S -> T)), 8)\n"
     "p = softmax(dot(q, k; D) + gather(rb, R, d); T)\nloss = sum(tanh(dot(p, v; T)); B, S, A, D)"},
    {"content_to_position_and_back", "",
     "axis R = 9\nrb = param \"rb\" f32[R, A, D]\nd = outer (index(S) - index(T))\n"
     "d = minimum(maximum(d, -4), 4) + 4\ncp = dot(q, rb; D)\npc = dot(k, rb; D)\n"
     "p = softmax(dot(q, k; D) + gather(cp, R, d) + gather(pc, R, 8 - d); T)\n"
     "loss = sum(tanh(dot(p, v; T)); B, S, A, D)"},
    {"pairs_beside_their_converse", "no dot along H",
     "axis R = S\nz = tanh(outer (dot(x, wq; H) + rename(dot(x, wk; H); S -> T)))\n"
     "wz = param \"wz\" f32[A, D, H]\nc = rename(rename(rename(z; S -> R); T -> S); R -> T)\n"
     "loss = sum(tanh(dot(z, c; B, S, T)); A, D) + sum(tanh(dot(c, wz; A, D)); B, S, T, H)"},
    {"softmax_over_heads", "no max along A of B, S, T, A",
     "loss = sum(tanh(dot(softmax(dot(q, k; D); A), v; T)); B, S, A, D)"},
    {"talking_heads", "no dot along A",
     "axis A2 = A\nth = param \"th\" f32[A2, A]\np = softmax(dot(dot(q, k; D), th; A); T)\n"
     "loss = sum(tanh(dot(rename(p; A2 -> A), v; T)); B, S, A, D)"},
    {"decay", "no sum along A of B, S, T, A",
     "la = -sigmoid(sum(q; D))\nm = select(outer (index(T) <= index(S)), 1.0, 0.0)\n"
     "c = dot(m, rename(la; S -> T); T)\n"
     "l = select(outer (index(T) <= index(S)), exp(minimum(outer (c - rename(c; S -> T)), 0)), 0)\n"
     "y = dot(dot(dot(x, wh; H), rename(rename(x; H -> H2); S -> T); H2) * l, v; T)\n"
     "loss = sum(tanh(y); B, S, A, D)"},
    {"content_to_position", "",
     "axis R = 9\nrb = param \"rb\" f32[R, A, D]\nd = outer (index(S) - index(T))\n"
     "d = select(d < -4, -4, select(d > 4, 4, d)) + 4\nc = dot(q, rb; D)\n"
     "b = sum(outer (cast(outer (d == index(R)), f32) * c); R)\n"
     "p = softmax(dot(q, k; D) + b; T)\nloss = sum(tanh(dot(p, v; T)); B, S, A, D)"},
};

static ftc_graph *model_of_pairs(const char *name, const char *body, int longest) {
    ftc_diagnostics d = {0};
    char *text;
    if (asprintf(&text,
                 "model %s\naxis B <= 5, H = 6, A = 2, D = 4, H2 = H\naxis S ragged B <= %d\naxis T = S\n"
                 "input x : f32[B, S, H]\nwq = param \"wq\" f32[H, A, D]\nwk = param \"wk\" f32[H, A, D]\n"
                 "wv = param \"wv\" f32[H, A, D]\nwo = param \"wo\" f32[A, D, H]\n"
                 "wh = param \"wh\" f32[H, H2]\nu = param \"u\" f32[A, D]\n"
                 "q = dot(x, wq; H)\nk = rename(dot(x, wk; H); S -> T)\nv = rename(dot(x, wv; H); S -> T)\n"
                 "%s\noutput loss\n",
                 name, longest, body) < 0)
        abort();
    ftc_graph *g = ftc_parse_text(name, text, NULL, &d);
    cr_assert(g, "%s: %s", name, d.count ? d.list[0].text : "");
    free(text);
    return g;
}

static ftc_graph *pairs_model(size_t i) {
    return model_of_pairs(PAIRS[i].name, PAIRS[i].text, 45);
}

static void check_ways(const ftc_graph *g) {
    check_compiled(g, 1, (way){.target = "native", .with_step = true});
    check_compiled(g, 2, (way){.target = "native", .bf16 = true});
    check_compiled(g, 3, (way){.target = "native", .least_memory = true});
    check_compiled(g, 4, (way){.target = "native", .use_blas = true});
    check_compiled(g, 5, (way){.target = "generic"});
    if (ftc_target_supported_here(ftc_target_named("avx2"))) check_compiled(g, 6, (way){.target = "avx2"});
}

Test(differential, what_no_tile_computes_agrees) {
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        ftc_graph *g = pairs_model(i);
        check_ways(g);
        check_eager(g, 7);
        ftc_graph_free(g);
    }
    report_counts();
}

Test(differential, plain_kernels_say_why) {
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        ftc_diagnostics d = {0};
        ftc_graph *g = pairs_model(i);
        ftc_graph *plan = ftc_compile_plan(g, FTC_ENTRY_STEP, &(ftc_compile_options){0}, &d);
        cr_assert(plan, "%s: %s", PAIRS[i].name, d.count ? d.list[0].text : "");
        char all[2000] = "";
        for (uint32_t k = 1; k < plan->n_kernels; k++)
            if (plan->kernels[k].plain)
                snprintf(all + strlen(all), sizeof all - strlen(all), "%s: %s\n", plan->kernels[k].name,
                         plan->kernels[k].plain);
        cr_expect(*PAIRS[i].plain ? strstr(all, PAIRS[i].plain) != NULL : !*all, "%s: not '%s' but\n%s",
                  PAIRS[i].name, PAIRS[i].plain, all);
        ftc_graph_free(plan);
        ftc_graph_free(g);
    }
}

static void check_bits(ftc_graph *g, const char *name, uint64_t seed) {
    ftc_loaded_program *loaded =
        test_compile(g, &(ftc_compile_options){.entries = 1u << FTC_ENTRY_STEP, .bf16 = seed % 2});
    test_values *v = test_values_new(g, seed);
    expect_same_bits(g, ftc_program_of(loaded), v, name);
    test_values_free(v);
    ftc_program_unload(loaded);
    ftc_graph_free(g);
}

Test(differential, what_no_tile_computes_has_the_same_bits_on_any_number_of_threads) {
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) check_bits(pairs_model(i), PAIRS[i].name, i);
}

// --- recurrences --------------------------------------------------------------------------------------

Test(differential, recurrences_agree) {
    for (int i = 0;; i += EVERY) {
        ftc_graph *g = test_recurrence(i);
        if (!g) break;
        check_ways(g);
        check_eager(g, 7);
        ftc_graph_free(g);
    }
    report_counts();
}

Test(differential, recurrences_have_the_same_bits_on_any_number_of_threads) {
    for (int i = 0;; i += EVERY) {
        ftc_graph *g = test_recurrence(i);
        if (!g) break;
        check_bits(g, g->model, (uint64_t)i); // which frees it
    }
}

// --- windows ------------------------------------------------------------------------------------------

// Heads of more features than a panel of packed keys has columns.
#define WIDE                                                                                                 \
    "axis W = 50\nq = 0.1 * tanh(dot(x, param \"wide_q\" f32[H, A, W]; H))\n"                                \
    "k = rename(tanh(dot(x, param \"wide_k\" f32[H, A, W]; H)); S -> T)\n"

// Masks by distance, of sequences of at most 160 positions, and the windows that tiles derive from them.
static const struct {
    const char *name;
    bool has_window;
    int32_t low, high;
    const char *text;
} WINDOWS[] = {
    {"near", true, -9, 9, "p = softmax(select(and(d <= 9, -d < 10), dot(q, k; D), -inf); T)"},
    {"near_by_float", true, -9, 9,
     "p = softmax(dot(q, k; D) + select(abs(cast(d, f32)) <= 9.5, 0, -inf); T)"},
    {"causal", true, -159, 0, "p = softmax(select(outer (index(T) <= index(S)), dot(q, k; D), -inf); T)"},
    {"causal_and_near", true, -20, 0, "p = softmax(select(and(d <= 0, d >= -20), dot(q, k; D), -inf); T)"},
    {"behind", true, 2, 8, "p = 0.1 * exp(select(not (d < 2 or d > 8), dot(q, k; D), -inf))"},
    {"a_product", true, -5, 5, "p = 0.1 * dot(q, k; D) * select(abs(cast(d, f32)) < 6, 1.0, 0.0)"},
    {"near_with_dropout_and_bias", true, -12, 12,
     "axis R = 5\nrb = param \"rb\" f32[R, A]\nb = gather(rb, R, minimum(maximum(d, -2), 2) + 2)\n"
     "s = select(and(d <= 12, d >= -12), dot(q, k; D) + b, -inf)\np = dropout(softmax(s; T), 0.3)"},
    {"near_by_positions_in_f32", true, -9, 9,
     "e = outer (cast(index(T), f32) - cast(index(S), f32))\np = softmax(select(abs(e) < 9.5, dot(q, k; D), "
     "-inf); T)"},
    {"before_a_later_position", true, -7, 12,
     "a = outer (index(T) <= index(S) + 12)\nb = outer (cast(index(S), f32) - 7.5 < cast(index(T), f32))\n"
     "p = softmax(select(and(a, b), dot(q, k; D), -inf); T)"},
    {"finite", false, 0, 0, "p = softmax(select(and(d <= 9, d >= -9), dot(q, k; D), -100); T)"},
    {"of_one_head", false, 0, 0,
     "first = outer or(index(A) == 1, and(d <= 9, d >= -9))\n"
     "p = softmax(select(first, dot(q, k; D), -inf); T)"},
    {"of_all_but_few", false, 0, 0, "p = softmax(select(d < 150, dot(q, k; D), -inf); T)"},
    {"causal_of_wide_heads", true, -159, 0, WIDE "p = softmax(select(d <= 0, dot(q, k; W), -inf); T)"},
    {"near_of_wide_heads", true, -40, 31,
     WIDE "p = softmax(select(and(d < 32, d >= -40), dot(q, k; W), -inf); T)"},
    {"ahead_of_wide_heads", true, 0, 159,
     WIDE "p = dropout(softmax(select(not (d < 0), dot(q, k; W), -inf); T), 0.2)"},
};

static ftc_graph *window_model(size_t i) {
    char text[1000];
    snprintf(text, sizeof text,
             "d = outer (index(T) - index(S))\n%s\nloss = 0.001 * sum(tanh(dot(p, v; T)); B, S, A, D)",
             WINDOWS[i].text);
    return model_of_pairs(WINDOWS[i].name, text, 160);
}

Test(differential, windows_agree) {
    for (size_t i = 0; i < sizeof WINDOWS / sizeof *WINDOWS; i++) {
        ftc_graph *g = window_model(i);
        check_compiled(g, 10, (way){.target = "native"}); // blocks of several strips, and of two rows
        check_compiled(g, 11, (way){.target = "native", .with_step = true});
        bool has_avx2 = ftc_target_supported_here(ftc_target_named("avx2"));
        if (i % 3 == 0) check_compiled(g, 12, (way){.target = "native", .bf16 = true});
        if (i % 3 == 1) check_compiled(g, 13, (way){.target = "generic", .least_memory = true});
        if (i % 3 == 2 && has_avx2) check_compiled(g, 14, (way){.target = "avx2"});
        ftc_graph_free(g);
    }
    report_counts();
}

Test(differential, windows_have_the_same_bits_on_any_number_of_threads) {
    for (size_t i = 0; i < sizeof WINDOWS / sizeof *WINDOWS; i++)
        check_bits(window_model(i), WINDOWS[i].name, i);
}

Test(differential, windows_are_those_of_the_masks) {
    for (size_t i = 0; i < sizeof WINDOWS / sizeof *WINDOWS; i++) {
        ftc_diagnostics d = {0};
        ftc_graph *g = window_model(i);
        ftc_graph *plan = ftc_compile_plan(g, FTC_ENTRY_STEP, &(ftc_compile_options){0}, &d);
        cr_assert(plan, "%s: %s", WINDOWS[i].name, d.count ? d.list[0].text : "");
        int n_tiles = 0;
        for (uint32_t k = 1; k < plan->n_kernels; k++) {
            const ftc_kernel *kernel = &plan->kernels[k];
            if (kernel->kind != FTC_KERNEL_TILE) continue;
            n_tiles++;
            cr_expect_eq(kernel->has_window, WINDOWS[i].has_window, "%s: %s", WINDOWS[i].name, kernel->name);
            cr_expect(!kernel->has_window ||
                          (kernel->window_low == WINDOWS[i].low && kernel->window_high == WINDOWS[i].high),
                      "%s: %s has the window %d … %d", WINDOWS[i].name, kernel->name, kernel->window_low,
                      kernel->window_high);
        }
        cr_expect_geq(n_tiles, 2, "%s", WINDOWS[i].name); // forward and backward
        ftc_graph_free(plan);
        ftc_graph_free(g);
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
        check_step(g, ftc_program_of(loaded), 1, &options);
        ftc_program_unload(loaded);
        ftc_graph_free(g);
        free(text);
    }
    report_counts();
}
