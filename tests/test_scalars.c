// Step scalars: what follows from arguments, the number of the step and numbers alone is evaluated once a
// step in double, by the interpreter, op by op and in compiled programs alike.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "ir/formula.h"
#include "ir/interpret.h"
#include "ir/lang/parse.h"
#include "ir/op.h"
#include "ir/print.h"
#include "tests/call_program.h"
#include "tests/random_graph.h"

static ftc_graph *parse(const char *text) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("m.ir", text, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    return g;
}

// --- formulas -----------------------------------------------------------------------------------------

Test(formula, operations_are_those_of_the_language) {
    static const double values[] = {-2, -1, -0.5, 0, 0.25, 1, 3, INFINITY, NAN};
    enum { N = sizeof values / sizeof *values };
    static const struct {
        const char *name;
        int n_args;
        ftc_formula_op op;
    } operations[] = {
#define OP(name, n_args, value) {#name, n_args, FTC_FORMULA_##name},
        FTC_FORMULA_OPS(OP)
#undef OP
    };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        const ftc_op_info *info = ftc_op_get(ftc_op_find(operations[i].name));
        cr_assert(info && info->eval, "%s is no map", operations[i].name);
        cr_assert_eq(info->n_args, operations[i].n_args);
        const ftc_map_types types = {FTC_F32, {FTC_F32, FTC_F32, FTC_F32}};
        for (int k = 0; k < N * N * N; k++) {
            double x[] = {values[k % N], values[k / N % N], values[k / N / N]}, stack[3];
            double expected = info->eval(&types, x);
            memcpy(stack, x, sizeof x);
            cr_expect_eq(ftc_formula_apply(operations[i].op, stack + info->n_args), info->n_args);
            cr_expect(stack[0] == expected || (isnan(stack[0]) && isnan(expected)),
                      "%s(%g, %g, %g): %g, not %g", info->name, x[0], x[1], x[2], stack[0], expected);
        }
    }
}

static int32_t find(const void *names, const char *name) {
    const char *found = strstr(names, name);
    return found ? (int32_t)(found - (const char *)names) : -1;
}

Test(formula, text_is_read_as_it_is_written) {
    static const struct {
        const char *text;
        double value; // a is 0.5, c is 3, in the fifth step
    } good[] = {{"sub(1, pow(a, step))", 1 - 0x1p-5},
                {"step", 5},
                {"select(lt(step, 0x1.8p+1), a, -inf)", -INFINITY},
                {"div(sub(a, c), sub(step, 1e-3))", -2.5 / 4.999},
                {"neg(minimum(c, -2))", 2}};
    static const char *const bad[] = {
        "",           "1",        "sub(1, 2)",    "b",       "sub(a)", "sub(a, c",
        "sub(a, c) ", "sub(a,c)", "cast(a, i32)", "step(a)", "a c"};
    const double scalars[] = {0.5, 0, 3};
    ftc_formula_builder b;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert(ftc_formula_parse(good[i].text, find, "a.c", &b), "%s", good[i].text);
        double value = ftc_formula_value(&(ftc_formula){b.n, b.code}, scalars, 5);
        cr_expect_eq(value, good[i].value, "%s is %.17g", good[i].text, value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(!ftc_formula_parse(bad[i], find, "a.c", &b), "'%s' was read", bad[i]);
    char deep[FTC_FORMULA_LONGEST + 1] = "";
    for (int i = 0; i < 2 * FTC_FORMULA_DEPTH / 3; i++) strcat(deep, "add(a, ");
    cr_expect(!ftc_formula_parse(deep, find, "a.c", &b));
}

// --- models -------------------------------------------------------------------------------------------

static const char MODEL[] = "model scaled\naxis B <= 4\naxis H = 6\ninput x : f32[B, H]\n"
                            "arg beta : f32 = 0.999\narg tiny : f32 = 1e-9\n"
                            "y = x * (1 - pow(beta, step)) + (1 + tiny - 1)\n"
                            "z = select(step < 3, x, y) * beta\n"
                            "output y = y\noutput z = z\n";

// y and z of one x, by the definition.
static void by_hand(float x, double step, float *y, float *z) {
    *y = x * (float)(1 - pow(0.999, step)) + (float)(1 + 1e-9 - 1);
    *z = (step < 3 ? x : *y) * 0.999f;
}

Test(scalars, become_declarations) {
    ftc_graph *g = parse(MODEL);
    ftc_diagnostics d = {0};
    ftc_pass_options options = {.entry = FTC_ENTRY_EVAL};
    cr_assert(ftc_pass_scalars(g, &options, &d));
    cr_expect_neq(ftc_graph_find_decl(g, "sub(1, pow(beta, step))"), FTC_NO_DECL);
    cr_expect_neq(ftc_graph_find_decl(g, "sub(add(1, tiny), 1)"), FTC_NO_DECL);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        bool scalar = node->type.dtype == FTC_F32 && !node->type.axes.n;
        cr_expect(!scalar || ftc_node_class(node) != FTC_CLASS_MAP, "%%%u is left", id);
    }
    char *text = ftc_print_text(g), why[200];
    ftc_graph *again = parse(text);
    cr_expect(ftc_graph_equal(g, again, why, sizeof why), "%s", why);
    free(text);
    ftc_graph_free(again);
    ftc_graph_free(g);
}

static void check_cells(const char *what, uint32_t step, const float *got, const double *x, int64_t n,
                        bool z) {
    for (int64_t i = 0; i < n; i++) {
        float expected[2];
        by_hand((float)x[i], step, &expected[0], &expected[1]);
        cr_expect_float_eq(got[i], expected[z], 3e-7 * fabs((double)expected[z]) + 1e-16,
                           "%s, step %u: %.9g, not %.9g", what, step, (double)got[i], (double)expected[z]);
    }
}

// 1 + 1e-9 - 1 is 0 in f32, and 1 - 0.999 is off by 1e-5 of it where 0.999 is an f32 first.
Test(scalars, are_evaluated_in_double_by_compiled_programs) {
    ftc_graph *g = parse(MODEL);
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_EVAL, .check_text = true};
    ftc_loaded_program *loaded = test_compile(g, &options);
    for (uint32_t step = 1; step <= 4; step++) {
        test_values *v = test_values_new(g, step);
        v->b.step = step;
        test_call *call = test_call_new(ftc_program_of(loaded), g, v, 2);
        test_call_run(call, FTC_ENTRY_EVAL);
        const double *x = v->tensors[ftc_graph_find_decl(g, "x")];
        int64_t n;
        const float *y = test_call_output(call, "y", &n), *z = test_call_output(call, "z", &n);
        n = v->extents[0] * 6;
        check_cells("y", step, y, x, n, false);
        check_cells("z", step, z, x, n, true);
        test_call_free(call);
        test_values_free(v);
    }
    ftc_program_unload(loaded);
    ftc_graph_free(g);
}

Test(scalars, step_is_a_name_of_the_language) {
    static const char *const texts[] = {"model m\narg step : f32 = 1\noutput y = step\n",
                                        "model m\ninput step : f32\noutput y = step\n",
                                        "model m\noutput y = param \"step\" f32\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ftc_diagnostics d = {0};
        cr_expect_null(ftc_parse_text("m.ir", texts[i], NULL, &d));
        cr_assert(d.count > 0);
        cr_expect_not_null(strstr(d.list[0].text, "'step' is the number of the optimizer step"), "%s",
                           d.list[0].text);
        ftc_diag_free(&d);
    }
}
