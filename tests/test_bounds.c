// Indices that are computed: which of them are shown to be rows when a model is compiled (ir/range.h), and
// what happens in a call that has another (compiler/passes/bounds.c).
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/bounds.h"
#include "compiler/pipeline.h"
#include "ir/lang/parse.h"
#include "ir/op.h"
#include "ir/range.h"
#include "tests/call_program.h"
#include "tests/eager_values.h"
#include "tests/random_graph.h"

static const char DECLARATIONS[] = "axis B <= 5, H = 6, V = 7, P = 3\n"
                                   "axis S ragged B <= 4\naxis R = B\n"
                                   "input x : f32[B, S, H]\n"
                                   "input z : f32[B]\n"
                                   "input ids : i32[B, S] in V\n"
                                   "input wild : i32[B, S]\n"
                                   "input far : u32[B]\n"
                                   "input row : i32[R] in B\n"
                                   "m = param \"m\" f32[V, H]\n"
                                   "pos = param \"pos\" f32[P, H]\n";

static ftc_graph *parse(const char *text) {
    ftc_diagnostics d = {0};
    char *whole;
    cr_assert_geq(asprintf(&whole, "model bounds\n%s%s\n", DECLARATIONS, text), 0);
    ftc_graph *g = ftc_parse_text("bounds.ir", whole, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    free(whole);
    return g;
}

// --- ranges -------------------------------------------------------------------------------------------

static const struct {
    const char *text;
    double low, high;
    bool nan;
} RANGES[] = {
    {"ids", 0, 6, false},
    {"wild", INT32_MIN, INT32_MAX, false},
    {"far", 0, UINT32_MAX, false},
    {"x", -INFINITY, INFINITY, true},
    {"fill(3; B)", 3, 3, false},
    {"index(S)", 0, 3, false},
    {"ids + 2", 2, 8, false},
    {"ids + index(S)", 0, 9, false},
    {"wild + 1", INT32_MIN, INT32_MAX, false}, // wraps
    {"ids - index(S)", -3, 6, false},
    {"ids * 3", 0, 18, false},
    {"(ids - 3) * (ids - 2)", -12, 12, false},
    {"ids * 1000000000", INT32_MIN, INT32_MAX, false},
    {"-ids", -6, 0, false},
    {"minimum(wild, 5)", INT32_MIN, 5, false},
    {"maximum(wild, 0)", 0, INT32_MAX, false},
    {"minimum(maximum(wild, 0), 5)", 0, 5, false},
    {"minimum(far, 5)", 0, 5, false},
    {"select(ids < 2, ids, index(S))", 0, 6, false},
    {"cast(ids < 2, i32)", 0, 1, false},
    {"cast(wild, u32)", 0, UINT32_MAX, false},
    {"cast(ids - 1, u32)", 0, UINT32_MAX, false}, // wraps
    {"cast(ids, f32) / 2", -0x1p-149, 3.0000002384185791, false},
    {"cast(cast(ids, f32) / 2, i32)", 0, 3, false},
    {"cast(x, i32)", INT32_MIN, 2147483520, false},
    {"cast(minimum(x, 2), i32)", INT32_MIN, 2, false},
    {"cast(maximum(minimum(x, 2), 0), i32)", 0, 2, false},
    {"maximum(x, x)", -INFINITY, INFINITY, true},
    {"abs(cast(ids - 5, f32))", 0, 5, false},
    {"random(; B)", 0, 0.999999940395355225, false},
    {"cast(random(; B) * 30522, i32)", 0, 30521, false},
    {"max(cast(ids, f32); B, S)", -INFINITY, 6, false}, // all sequences may be empty
    {"max(cast(row, f32); R)", 0, 4, false},
    {"gather(index(V), V, ids)", 0, 6, false},
    {"at(ids, S, 0)", 0, 6, false},
    {"place(rename(row; R -> B), S, 1; B, S)", 0, 4, false},
    {"detach(cast(ids, f32))", 0, 6, false},
    {"sum(cast(ids, f32); S)", -INFINITY, INFINITY, true},
};

Test(range, is_what_the_operations_say) {
    for (size_t i = 0; i < sizeof RANGES / sizeof *RANGES; i++) {
        char *text;
        cr_assert_geq(asprintf(&text, "output v = %s", RANGES[i].text), 0);
        ftc_graph *g = parse(text);
        ftc_range *ranges = calloc(g->n_nodes, sizeof *ranges);
        ftc_range_find(g, ranges);
        ftc_range r = ranges[test_output(g, "v")];
        cr_expect(r.low == RANGES[i].low && r.high == RANGES[i].high && r.nan == RANGES[i].nan,
                  "%s: from %.18g to %.18g%s", RANGES[i].text, r.low, r.high, r.nan ? ", or NaN" : "");
        free(ranges);
        ftc_graph_free(g);
        free(text);
    }
}

// Of every operation, whatever its range is.
Test(range, holds_every_value_that_is_computed) {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        test_graph_options options = {.n_nodes = 30, .quadratic = seed % 3 == 0};
        ftc_graph *g = test_random_graph(seed, &options);
        test_values *v = test_values_new(g, seed);
        ftc_interp *in = ftc_interp_new(g, &v->b);
        ftc_interp_run(in);
        ftc_range *ranges = calloc(g->n_nodes, sizeof *ranges);
        ftc_range_find(g, ranges);
        for (ftc_id id = 1; id < g->n_nodes; id++) {
            int64_t n, outside = 0;
            const double *x = ftc_interp_value(in, id, &n);
            const ftc_range *r = &ranges[id];
            double end = r->below == FTC_NO_EXTENT ? INFINITY : (double)g->extents[r->below].bound;
            if (r->below != FTC_NO_EXTENT && g->extents[r->below].kind == FTC_EXTENT_SYMBOL)
                end = (double)v->extents[r->below];
            for (int64_t k = 0; k < n; k++)
                outside +=
                    isnan(x[k]) ? !r->nan : x[k] < r->low || x[k] > r->high || x[k] >= end + isinf(end);
            cr_expect_eq(outside, 0, "seed %llu: %lld values of %s", (unsigned long long)seed,
                         (long long)outside, ftc_op_get(g->nodes[id].op)->name);
        }
        free(ranges);
        ftc_interp_free(in);
        test_values_free(v);
        ftc_graph_free(g);
    }
}

static const struct {
    const char *text;
    int n_checks;
} TABLES[] = {
    {"gather(m, V, ids)", 0},
    {"gather(pos, P, minimum(index(S), 2))", 0},
    {"gather(pos, P, index(S))", 1}, // a sequence may have four
    {"gather(m, V, wild)", 1},
    {"gather(m, V, wild) + gather(m * 2, V, wild)", 1}, // the same index into the same axis
    {"gather(m, V, wild) * gather(pos, P, wild)", 2},
    {"gather(z, B, index(R))", 0}, // as many as there are
    {"gather(z, B, row)", 1},      // `in B` is checked against the bound of B
    {"scatter_add(x, V, ids)", 0},
    {"scatter_add(x, V, wild)", 1},
};

// --- calls --------------------------------------------------------------------------------------------

// What an entry means: the passes up to the optimizer.
static ftc_graph *entry_of(const ftc_graph *source, ftc_entry_kind entry) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(source, entry);
    ftc_pipeline_options options = {.pass = {.entry = entry}, .check_text = true};
    for (int i = 0; i < ftc_n_passes; i++) {
        cr_assert(ftc_pipeline_run_pass(g, &ftc_passes[i], &options, &d), "%s",
                  d.count ? d.list[0].text : "");
        if (!strcmp(ftc_passes[i].name, "optimizer")) break;
    }
    return g;
}

Test(bounds, checks_what_is_not_shown) {
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        char *text;
        cr_assert_geq(
            asprintf(&text, "y = %s\noutput loss = sum(y; axes(y)) + param \"scalar\" f32", TABLES[i].text),
            0);
        ftc_graph *g = parse(text), *step = entry_of(g, FTC_ENTRY_STEP);
        int n = 0;
        for (uint32_t k = 0; k < step->n_outputs; k++) n += step->outputs[k].role == FTC_OUTPUT_FAULT;
        cr_expect_eq(n, TABLES[i].n_checks, "%s: %d checks", TABLES[i].text, n);
        ftc_id unproven;
        cr_expect(ftc_bounds_proven(step, &unproven), "%s", TABLES[i].text);
        cr_expect_eq(ftc_bounds_proven(g, &unproven), TABLES[i].n_checks == 0, "%s", TABLES[i].text);
        ftc_graph_free(step);
        ftc_graph_free(g);
        free(text);
    }
}

// A model that reads, scatters, and trains by indices that are given as they come.
static const char WILD[] =
    "e = gather(m, V, ids) * gather(pos, P, wild) + gather(m, V, cast(far, i32))\n"
    "s = scatter_add(e, P, wild)\n"
    "loss = sum(e * x; B, S, H) + sum(s * pos; P, H) + sum(gather(z, B, row) * rename(z; B -> R); R)\n"
    "output loss";

static double *cells_of(const ftc_graph *g, const test_values *v, const char *name, int64_t *n) {
    ftc_decl decl = ftc_graph_find_decl(g, name);
    *n = ftc_interp_cells(g, &v->b, &g->decls[decl].type.axes);
    return v->tensors[decl];
}

enum { TAME, HIGH, LOW, WILDEST, N_WILD };

// Values for which nothing, or the given kind of thing, is wrong with the indices.
static test_values *values_of(const ftc_graph *g, uint64_t seed, int wildness) {
    test_values *v = test_values_new(g, seed);
    int64_t n, k;
    double *wild = cells_of(g, v, "wild", &n), *far = cells_of(g, v, "far", &k), *row;
    for (int64_t i = 0; i < n; i++) wild[i] = (double)((int64_t)wild[i] % 3);
    row = cells_of(g, v, "row", &k);
    for (int64_t i = 0; i < k; i++) row[i] = (double)i;
    test_random r = {.state = seed};
    if (wildness == HIGH && n) wild[n - 1] = 3;
    if (wildness == LOW && n) wild[n / 2] = -1;
    if (wildness == WILDEST) {
        for (int64_t i = 0; i < n; i++) wild[i] = (double)(int32_t)test_random_next(&r);
        for (int64_t i = 0; i < k; i++) far[i] = (double)(uint32_t)test_random_next(&r);
        for (int64_t i = 0; i < k; i++) row[i] = 4; // within `in B`, but perhaps not in this call
    }
    return v;
}

// The tensors of a program, before and after a call.
static float **copy_tensors(const ftc_program *program, const test_call *call) {
    float **copies = calloc((size_t)program->n_tensors + 1, sizeof *copies);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        int64_t n;
        const float *x = test_call_tensor(call, program->tensors[i].name, &n);
        size_t bytes = (size_t)n * (size_t)ftc_dtype_bytes(program->tensors[i].dtype);
        copies[i] = memcpy(malloc(bytes + 1), x, bytes);
    }
    return copies;
}

static int count_changed(const ftc_program *program, float **before, float **after) {
    int changed = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        size_t bytes = (size_t)ftc_dtype_bytes(t->dtype);
        for (int k = 0; k < t->rank; k++) bytes *= (size_t)t->dims[k];
        changed += memcmp(before[i], after[i], bytes) != 0;
        free(before[i]);
        free(after[i]);
    }
    free(before);
    free(after);
    return changed;
}

static void check_call(const ftc_program *program, const ftc_graph *g, ftc_entry_kind entry, uint64_t seed,
                       int wildness, int32_t threads) {
    test_values *v = values_of(g, seed, wildness);
    test_eager *eager = test_eager_new(g, v);
    ftc_eager_run(eager->run);
    test_call *call = test_call_new(program, g, v, threads);
    float **before = copy_tensors(program, call);
    ftc_interp *in = ftc_interp_new(g, &v->b);
    ftc_interp_run(in);
    test_call_run(call, entry);
    bool fails = false;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i].role != FTC_OUTPUT_FAULT) continue;
        int64_t n;
        double expected = ftc_interp_value(in, g->outputs[i].node, NULL)[0];
        float got = *test_call_output(call, g->outputs[i].name, &n);
        float by_eager = ftc_eager_value(eager->run, g->outputs[i].node, NULL)->f;
        cr_expect(expected == (double)got && got == by_eager,
                  "%s, seed %llu, %d threads, %s: %g by the interpreter, %g eager, %g compiled",
                  ftc_entry_name(entry), (unsigned long long)seed, threads, g->outputs[i].name, expected,
                  (double)by_eager, (double)got);
        fails |= got != -INFINITY;
    }
    if (wildness == TAME) cr_expect(!fails);
    int changed = count_changed(program, before, copy_tensors(program, call));
    bool changes = !fails && (entry == FTC_ENTRY_STEP || entry == FTC_ENTRY_GRAD);
    cr_expect_eq(changed > 0, changes, "%s, seed %llu: %d tensors changed", ftc_entry_name(entry),
                 (unsigned long long)seed, changed);
    ftc_interp_free(in);
    test_call_free(call);
    test_eager_free(eager);
    test_values_free(v);
}

// Interpreter, eager and compiled code find the same fault, which nothing survives, for any number of
// threads.
Test(bounds, a_faulty_call_changes_nothing) {
    ftc_graph *source = parse(WILD);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        ftc_compile_options options = {.bf16 = bf16};
        ftc_loaded_program *loaded = test_compile(source, &options);
        const ftc_program *program = ftc_program_of(loaded);
        cr_assert_eq(program->n_checks, 3); // wild, for gather and scatter_add; far; row
        for (int32_t i = 0; i < program->n_checks; i++) {
            const ftc_check_info *check = &program->checks[i];
            cr_expect(check->line >= 13 && check->line <= 15 && check->extent >= 0);
            cr_expect_str_eq(program->extents[check->extent].name, "B");
        }
        static const ftc_entry_kind entries[] = {FTC_ENTRY_STEP, FTC_ENTRY_GRAD, FTC_ENTRY_EVAL};
        for (int i = 0; i < 3; i++) {
            ftc_graph *g = entry_of(source, entries[i]);
            for (uint64_t seed = 1; seed <= 8; seed++)
                for (int wildness = 0; wildness < N_WILD; wildness++)
                    for (int threads = 1; threads <= 5; threads += threads < 2 ? 1 : 3)
                        check_call(program, g, entries[i], seed, wildness, threads);
            ftc_graph_free(g);
        }
        ftc_program_unload(loaded);
    }
    ftc_graph_free(source);
}
