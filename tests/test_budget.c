// The memory budget: plans that meet it give the same bits, and what cannot be met is told.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/passes/passes.h"
#include "ir/lang/parse.h"
#include "runtime/loop/stepper.h"
#include "tests/call_program.h"
#include "tests/paths.h"
#include "tests/random_graph.h"

enum { STEPS = 3, THREADS = 2 };

// BERT with four small layers and dropout.
static ftc_graph *bert(void) {
    static const char *const values[][2] = {{"hidden", "32"}, {"layers", "4"},     {"heads", "4"},
                                            {"vocab", "40"},  {"positions", "24"}, {"intermediate", "96"},
                                            {"labels", "3"},  {"batch", "4"},      {"max_length", "24"}};
    enum { N = sizeof values / sizeof *values };
    ftc_override overrides[N];
    for (int i = 0; i < N; i++)
        overrides[i] = (ftc_override){values[i][0], values[i][1], "test", FTC_OVERRIDE_CONFIG};
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_file(FTC_SOURCE_ROOT "/models/bert-cls.ir", &(ftc_settings){overrides, N}, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    return g;
}

static uint32_t entries_with(ftc_entry_kind entry) {
    return 1u << entry | (entry == FTC_ENTRY_GRAD) << FTC_ENTRY_UPDATE;
}

static ftc_loaded_program *compiled(const ftc_graph *g, ftc_entry_kind entry, int64_t budget) {
    ftc_compile_options options = {
        .entries = entries_with(entry), .memory_budget_bytes = budget, .threads = THREADS};
    return test_compile(g, &options);
}

static int64_t arena_of(const ftc_loaded_program *program, ftc_entry_kind entry) {
    return ftc_program_of(program)->entries[entry].arena_bytes;
}

// All that a budget counts: what the runtime will map.
static int64_t memory_of(const ftc_loaded_program *program, ftc_entry_kind entry) {
    return ftc_program_memory(ftc_program_of(program), entries_with(entry), THREADS, FTC_ALL_ROWS);
}

// Runs an entry of two programs for the same graph on the same values; all tensors must end in the same
// bytes.
static void expect_same(const ftc_loaded_program *a, const ftc_loaded_program *b, const ftc_graph *g,
                        ftc_entry_kind entry, int threads) {
    test_values *v = test_values_new(g, 7);
    test_call *calls[2] = {test_call_new(ftc_program_of(a), g, v, 1),
                           test_call_new(ftc_program_of(b), g, v, threads)};
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < 2; i++) test_call_run(calls[i], entry);
    int64_t n, m;
    float loss = *test_call_output(calls[0], "loss", &n);
    cr_expect(isfinite(loss) && loss > 0, "loss %g", (double)loss);
    cr_expect_eq(loss, *test_call_output(calls[1], "loss", &n));
    const ftc_program *program = ftc_program_of(a);
    for (int i = 0; i < program->n_tensors; i++) {
        const char *name = program->tensors[i].name;
        const float *x = test_call_tensor(calls[0], name, &n), *y = test_call_tensor(calls[1], name, &m);
        cr_assert_eq(n, m);
        cr_expect(!memcmp(x, y, (size_t)n * sizeof *x), "%s differs", name);
    }
    test_call_free(calls[0]);
    test_call_free(calls[1]);
    test_values_free(v);
}

static void check_entry(ftc_entry_kind entry) {
    ftc_graph *g = bert();
    ftc_loaded_program *fastest = compiled(g, entry, 0), *least = compiled(g, entry, FTC_LEAST_MEMORY);
    int64_t most = arena_of(fastest, entry), smallest = arena_of(least, entry);
    cr_expect(smallest < most * 2 / 3, "%lld bytes of %lld are left", (long long)smallest, (long long)most);
    expect_same(fastest, least, g, entry, 2);
    int64_t rest = memory_of(fastest, entry) - most, last = INT64_MAX;
    cr_expect(ftc_program_of(fastest)->entries[entry].scratch_bytes > 0);
    for (int i = 0; i < 4; i++) { // from tight to loose
        int64_t budget = rest + smallest + (most - smallest) * i / 3;
        ftc_loaded_program *within = compiled(g, entry, budget);
        cr_expect(memory_of(within, entry) <= budget, "%lld bytes, budget %lld",
                  (long long)memory_of(within, entry), (long long)budget);
        int32_t kernels = ftc_program_of(within)->entries[entry].n_kernels;
        cr_expect(kernels <= last, "%d kernels where memory is tighter, %d here", (int)last, kernels);
        last = kernels;
        expect_same(fastest, within, g, entry, 1 + i);
        ftc_program_unload(within);
    }
    ftc_program_unload(fastest);
    ftc_program_unload(least);
    ftc_graph_free(g);
}

Test(budget, steps_within_it_give_the_same_bits) {
    check_entry(FTC_ENTRY_STEP);
}

Test(budget, gradients_within_it_give_the_same_bits) {
    check_entry(FTC_ENTRY_GRAD);
}

Test(budget, the_smallest_that_can_be_met_is_told) {
    ftc_graph *g = bert();
    ftc_compile_options options = {
        .entries = 1u << FTC_ENTRY_STEP, .memory_budget_bytes = 100000, .threads = THREADS};
    ftc_diagnostics d = {0};
    ftc_compiled compiled = {0};
    cr_assert(!ftc_compile(g, &options, &compiled, &d));
    cr_assert_eq(d.count, 1);
    const char *told = strstr(d.list[0].text, "the smallest is ");
    cr_assert_not_null(told, "%s", d.list[0].text);
    double megabytes = strtod(told + strlen("the smallest is "), NULL);
    ftc_diag_free(&d);
    options.memory_budget_bytes = (int64_t)((megabytes + 0.05) * 1e6); // it is told with one digit
    cr_expect(ftc_compile(g, &options, &compiled, &d), "%s", d.count ? d.list[0].text : "");
    ftc_compiled_free(&compiled);
    ftc_graph_free(g);
}

// Whatever the graph: with all that can be computed again, the gradients are the same but for rounding.
Test(budget, random_graphs_have_the_same_gradients) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        test_graph_options options = {.n_nodes = 10 + (int)(seed % 10), .quadratic = seed % 2};
        ftc_graph *g = test_random_graph(seed, &options);
        uint32_t kept = 0; // outputs over tokens are none of the ABI's
        for (uint32_t i = 0; i < g->n_outputs; i++)
            if (!strcmp(g->outputs[i].name, "loss")) g->outputs[kept++] = g->outputs[i];
        g->n_outputs = kept;
        ftc_loaded_program *programs[2] = {compiled(g, FTC_ENTRY_GRAD, 0),
                                           compiled(g, FTC_ENTRY_GRAD, FTC_LEAST_MEMORY)};
        cr_expect(arena_of(programs[1], FTC_ENTRY_GRAD) <= arena_of(programs[0], FTC_ENTRY_GRAD));
        test_values *v = test_values_new(g, seed);
        test_call *calls[2];
        for (int i = 0; i < 2; i++) {
            calls[i] = test_call_new(ftc_program_of(programs[i]), g, v, 1);
            test_call_run(calls[i], FTC_ENTRY_GRAD);
        }
        const ftc_program *program = ftc_program_of(programs[0]);
        for (int i = 0; i < program->n_tensors; i++) {
            if (program->tensors[i].role != FTC_ROLE_GRADIENT) continue;
            int64_t n;
            const float *x = test_call_tensor(calls[0], program->tensors[i].name, &n);
            const float *y = test_call_tensor(calls[1], program->tensors[i].name, &n);
            double difference = 0, norm = 1e-4;
            for (int64_t j = 0; j < n; j++) {
                difference += pow((double)x[j] - (double)y[j], 2);
                norm += pow((double)x[j], 2);
            }
            cr_expect(difference <= 1e-10 * norm, "seed %llu, %s", (unsigned long long)seed,
                      program->tensors[i].name);
        }
        for (int i = 0; i < 2; i++) {
            test_call_free(calls[i]);
            ftc_program_unload(programs[i]);
        }
        test_values_free(v);
        ftc_graph_free(g);
    }
}
