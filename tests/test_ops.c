// The operations: gradients against central differences, bodies against evaluation, on samples drawn from
// each operation's own range. A new operation is tested without a line here.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/passes.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/base/random.h"
#include "ir/verify.h"
#include "tests/random_graph.h"
#include "tests/recurrences.h"
#include "tests/scalar_now.h"

// --- gradients ----------------------------------------------------------------------------------------

static void differentiate(ftc_graph *g) {
    ftc_diagnostics d = {0};
    ftc_pass_options options = {.entry = FTC_ENTRY_GRAD};
    bool ok = ftc_pass_differentiate(g, &options, &d) && ftc_verify_graph(g, &d);
    cr_assert(ok, "%s", d.count ? d.list[0].text : "no diagnostic");
    ftc_diag_free(&d);
}

static double run_loss(const ftc_graph *g, const ftc_bindings *b) {
    ftc_interp *in = ftc_interp_new(g, b);
    ftc_interp_run(in);
    double loss = ftc_interp_value(in, test_output(g, "loss"), NULL)[0];
    ftc_interp_free(in);
    return loss;
}

// A value for each cell of each declaration.
static double **new_cells(const ftc_graph *g, const ftc_bindings *b) {
    double **cells = calloc(g->n_decls + 1, sizeof *cells);
    for (uint32_t i = 0; i < g->n_decls; i++)
        cells[i] = calloc((size_t)ftc_interp_cells(g, b, &g->decls[i].type.axes) + 1, sizeof **cells);
    return cells;
}

static void free_cells(const ftc_graph *g, double **cells) {
    for (uint32_t i = 0; i < g->n_decls; i++) free(cells[i]);
    free(cells);
}

// The loss where every parameter is moved by `step` times its direction.
static double loss_at(const ftc_graph *g, const ftc_bindings *b, double **direction, double step) {
    double **moved = new_cells(g, b);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        int64_t n = ftc_interp_cells(g, b, &g->decls[i].type.axes);
        for (int64_t c = 0; c < n; c++) moved[i][c] = b->tensors[i][c] + step * direction[i][c];
    }
    ftc_bindings there = *b;
    there.tensors = moved;
    double loss = run_loss(g, &there);
    free_cells(g, moved);
    return loss;
}

// The derivative of the loss along random directions through all parameters, by the gradients and by
// differences.
static void check_gradient(const ftc_graph *forward, uint64_t seed, const char *what) {
    enum { DIRECTIONS = 3 };
    ftc_graph *g = ftc_graph_clone(forward);
    differentiate(g);
    test_values *v = test_values_new(g, seed);
    test_random r = {.state = seed};
    ftc_interp *in = ftc_interp_new(g, &v->b);
    ftc_interp_run(in);
    for (int k = 0; k < DIRECTIONS; k++) {
        double **direction = new_cells(g, &v->b), expected = 0;
        for (uint32_t i = 0; i < g->n_decls; i++) {
            if (g->decls[i].kind != FTC_DECL_PARAM) continue;
            int64_t n = ftc_interp_cells(g, &v->b, &g->decls[i].type.axes);
            for (int64_t c = 0; c < n; c++) direction[i][c] = test_random_between(&r, -1, 1);
            char name[128];
            snprintf(name, sizeof name, "grad:%s", g->decls[i].name);
            ftc_id id = test_output(g, name);
            if (!id) continue;
            double *gradient = test_cells_as(in, g, &v->b, id, &g->decls[i].type.axes, &n);
            for (int64_t c = 0; c < n; c++) expected += gradient[c] * direction[i][c];
            free(gradient);
        }
        // two steps: the longer one may cross a kink of minimum, maximum, max or abs
        double error = INFINITY, got = 0;
        for (double step = 1e-5; error > 1e-6 && step > 1e-8; step /= 100) {
            double right = loss_at(forward, &v->b, direction, step),
                   left = loss_at(forward, &v->b, direction, -step);
            got = (right - left) / (2 * step);
            error = fabs(got - expected) / fmax(1e-2, fmax(fabs(got), fabs(expected)));
        }
        cr_expect(error <= 1e-6, "%s, seed %llu: gradient %.12g, differences %.12g", what,
                  (unsigned long long)seed, expected, got);
        free_cells(g, direction);
    }
    ftc_interp_free(in);
    test_values_free(v);
    ftc_graph_free(g);
}

// A value in [low, high] that depends on a parameter: an input times the parameter, moved into the range.
static ftc_id sample(ftc_graph *g, const ftc_op_info *info, int operand, ftc_axes wide, ftc_axes narrow) {
    ftc_id x = test_input(g, ftc_graph_format(g, "x%d", operand), FTC_F32, wide, FTC_NO_AXIS);
    ftc_id w = test_param(g, ftc_graph_format(g, "w%d", operand), narrow);
    ftc_id product = ftc_build_map2(g, FTC_OP_mul, x, w);
    ftc_id scaled = ftc_build_map2(g, FTC_OP_mul, product, ftc_build_const(g, (info->high - info->low) / 2));
    return ftc_build_map2(g, FTC_OP_add, scaled, ftc_build_const(g, (info->high + info->low) / 2));
}

// The mean of the cells, each with a weight of its own.
static void add_loss(ftc_graph *g, ftc_id y) {
    ftc_axes axes = g->nodes[y].type.axes;
    ftc_id weight = test_input(g, "weight", FTC_F32, axes, FTC_NO_AXIS);
    ftc_id loss = ftc_build_sum(g, ftc_build_map2(g, FTC_OP_mul, y, weight), &axes);
    ftc_graph_add_output(g, "loss", loss, 0xf)->role = FTC_OUTPUT_LOSS;
}

// The operation on samples over different axes; variant chooses which.
static void check_operation(ftc_op op, int variant) {
    const ftc_op_info *info = ftc_op_get(op);
    test_axes t = test_axes_new(info->name);
    ftc_graph *g = t.g;
    ftc_axes wide[] = {test_list(3, t.B, t.S, t.H), test_list(2, t.A, t.H), test_list(4, t.B, t.S, t.T, t.H)};
    ftc_axes narrow[] = {test_list(1, t.H), test_list(2, t.B, t.H), test_list(2, t.B, t.S)};
    ftc_axes h = test_list(1, t.H);
    ftc_node node = {
        .op = op, .n_args = info->n_args, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS, .decl = FTC_NO_DECL};
    ftc_id ids = test_input(g, "ids", FTC_I32, test_list(2, t.B, t.S), t.A);
    bool indexed = info->class == FTC_CLASS_GATHER || info->class == FTC_CLASS_SCATTER;
    bool reduces = info->class == FTC_CLASS_REDUCE || info->class == FTC_CLASS_DOT;
    for (int i = 0; i < info->n_args; i++) {
        bool is_narrow = (info->class == FTC_CLASS_MAP && i == info->n_args - 1 && i > 0 && variant != 1);
        ftc_axes axes = is_narrow ? narrow[variant] : wide[variant];
        if (info->class == FTC_CLASS_GATHER) axes = test_list(2, t.A, t.H);
        if (info->class == FTC_CLASS_SCATTER) axes = test_list(3, t.B, t.S, t.H);
        if (info->class == FTC_CLASS_DOT && i == 1) axes = ftc_axes_union(&h, &(ftc_axes){1, {t.D}});
        ftc_axes parameter = ftc_axes_has(&axes, t.H) ? h : (ftc_axes){0};
        node.arg[i] = sample(g, info, i, axes, parameter);
    }
    if (indexed) node.arg[1] = ids;
    if (op == FTC_OP_select)
        node.arg[0] = ftc_build_map2(g, FTC_OP_lt, ids, ftc_build_fill(g, 1, FTC_I32, &(ftc_axes){0}));
    node.axes = reduces ? h : (ftc_axes){0};
    if (info->class == FTC_CLASS_REDUCE && variant == 0) node.axes = test_list(2, t.B, t.S);
    node.axis = indexed ? t.A : t.H;
    node.index = info->class == FTC_CLASS_GATHER ? -1 : info->class == FTC_CLASS_SCATTER ? variant - 1 : 1;
    if (info->class == FTC_CLASS_PLACE)
        node.axis = t.D, node.axes = wide[variant], ftc_axes_add(&node.axes, t.D);
    if (info->class == FTC_CLASS_RENAME)
        node.axis = t.H, node.to = ftc_graph_add_axis(g, "G", g->axes[t.H].extent);
    if (info->class == FTC_CLASS_SHIFT) { // along a ragged axis, to a longer one, to a shorter one
        node.axis = variant == 0 ? t.S : t.H;
        node.to = (ftc_axis[]){t.S, t.V, t.D}[variant];
        node.index = (int64_t[]){1, 2, -2}[variant];
    }
    node.outer = op == FTC_OP_select;
    ftc_id y = ftc_build(g, node);
    add_loss(g, y);
    for (uint64_t seed = 1; seed <= 3; seed++) check_gradient(g, seed, info->name);
    ftc_graph_free(g);
}

Test(gradient, of_each_operation) {
    int tested = 0;
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        if (!info->gradient || info->class == FTC_CLASS_CALL || info->class == FTC_CLASS_EXTERN)
            continue; // whose gradient is an operand
        for (int variant = 0; variant < 3; variant++) check_operation((ftc_op)op, variant);
        tested++;
    }
    cr_assert(tested >= 20);
}

Test(gradient, of_random_graphs) {
    for (uint64_t seed = 1; seed <= 150; seed++) {
        test_graph_options options = {.n_nodes = 4 + (int)(seed % 30), .quadratic = seed % 2, .smooth = true};
        ftc_graph *g = test_random_graph(seed, &options);
        check_gradient(g, seed, "random graph");
        ftc_graph_free(g);
    }
}

Test(gradient, of_recurrences) {
    for (int i = 0;; i++) {
        ftc_graph *g = test_recurrence(i);
        if (!g) break;
        for (uint64_t seed = 1; seed <= 4; seed++) check_gradient(g, seed, g->model);
        ftc_graph_free(g);
    }
}

Test(gradient, is_shared_among_ties_of_max) {
    test_axes t = test_axes_new("ties");
    ftc_axes h = test_list(1, t.H);
    ftc_id w = test_param(t.g, "w", h);
    ftc_graph_add_output(t.g, "loss", ftc_build_max(t.g, w, &h), 0xf)->role = FTC_OUTPUT_LOSS;
    differentiate(t.g);
    test_values *v = test_values_new(t.g, 1);
    const double cells[] = {3, 1, 3, 2, 3, 0};
    memcpy(v->tensors[0], cells, sizeof cells);
    ftc_interp *in = ftc_interp_new(t.g, &v->b);
    ftc_interp_run(in);
    const double *gradient = ftc_interp_value(in, test_output(t.g, "grad:w"), NULL);
    for (int i = 0; i < 6; i++) cr_expect_float_eq(gradient[i], cells[i] == 3 ? 1.0 / 3 : 0, 1e-15);
    ftc_interp_free(in);
    test_values_free(v);
    ftc_graph_free(t.g);
}

Test(gradient, leaves_the_dead_row_alone) {
    test_axes t = test_axes_new("dead");
    ftc_id table = test_param(t.g, "table", test_list(2, t.A, t.H));
    ftc_id ids = test_input(t.g, "ids", FTC_I32, test_list(2, t.B, t.S), t.A);
    ftc_id x = ftc_build_gather(t.g, table, t.A, ids, 1);
    ftc_axes all = t.g->nodes[x].type.axes;
    ftc_graph_add_output(t.g, "loss", ftc_build_sum(t.g, x, &all), 0xf)->role = FTC_OUTPUT_LOSS;
    differentiate(t.g);
    test_values *v = test_values_new(t.g, 6);
    int64_t n;
    ftc_interp *in = ftc_interp_new(t.g, &v->b);
    ftc_interp_run(in);
    const double *gradient = ftc_interp_value(in, test_output(t.g, "grad:table"), NULL);
    const double *rows = ftc_interp_value(in, ids, &n);
    double zeros = 0;
    for (int64_t i = 0; i < n; i++) zeros += rows[i] == 0;
    cr_assert(zeros > 0 && zeros < (double)n);
    for (int h = 0; h < 6; h++) {
        cr_expect_eq(gradient[h], zeros);
        cr_expect_eq(gradient[6 + h], 0);
    }
    ftc_interp_free(in);
    test_values_free(v);
    ftc_graph_free(t.g);
}

Test(gradient, does_not_pass_detach_nor_reach_frozen_parameters) {
    test_axes t = test_axes_new("frozen");
    ftc_axes h = test_list(1, t.H);
    ftc_id a = test_param(t.g, "a", h), b = test_param(t.g, "b", h), c = test_param(t.g, "c", h);
    t.g->decls[t.g->nodes[b].decl].frozen = true;
    ftc_node detach = {.op = FTC_OP_detach, .n_args = 1, .arg = {c}, .decl = FTC_NO_DECL};
    ftc_id x = ftc_build_map2(t.g, FTC_OP_mul, ftc_build_map2(t.g, FTC_OP_mul, a, b), ftc_build(t.g, detach));
    ftc_graph_add_output(t.g, "loss", ftc_build_sum(t.g, x, &h), 0xf)->role = FTC_OUTPUT_LOSS;
    differentiate(t.g);
    cr_expect(test_output(t.g, "grad:a") != 0);
    cr_expect_eq(test_output(t.g, "grad:b"), 0);
    cr_expect_eq(test_output(t.g, "grad:c"), 0);
    ftc_graph_free(t.g);
}

static void expect_refused(ftc_graph *g, const char *part) {
    ftc_diagnostics d = {0};
    ftc_pass_options options = {.entry = FTC_ENTRY_STEP};
    cr_expect(!ftc_pass_differentiate(g, &options, &d));
    cr_assert_eq(d.count, 1);
    cr_expect(strstr(d.list[0].text, part) != NULL, "%s", d.list[0].text);
    ftc_diag_free(&d);
}

Test(gradient, needs_a_loss_that_is_one_number) {
    test_axes t = test_axes_new("losses");
    ftc_id w = test_param(t.g, "w", test_list(1, t.H));
    expect_refused(t.g, "no output as the loss");
    ftc_graph_add_output(t.g, "loss", w, 0xf)->role = FTC_OUTPUT_LOSS;
    expect_refused(t.g, "f32[H]");
    ftc_graph_free(t.g);
}

// --- bodies -------------------------------------------------------------------------------------------

static double drawn(test_random *r, const ftc_op_info *info, ftc_dtype dtype) {
    switch (dtype) {
    case FTC_F32: return test_random_between(r, info->low, info->high);
    case FTC_BF16: return test_random_below(r, 256) / 64.0 - 2;
    case FTC_I32: return (int32_t)test_random_next(r) >> test_random_below(r, 31);
    case FTC_U32: return (uint32_t)test_random_next(r) >> test_random_below(r, 31);
    default: return test_random_below(r, 2);
    }
}

static ftc_scalar pushed(ftc_dtype dtype, double x) {
    switch (dtype) {
    case FTC_F32:
    case FTC_BF16: return test_scalar_f32((float)x);
    case FTC_I32: return test_scalar_i32((int32_t)x);
    case FTC_U32: return test_scalar_i32((int32_t)(uint32_t)x);
    default: return test_scalar_bool(x != 0);
    }
}

static double number_of(ftc_dtype dtype, ftc_scalar x) {
    switch (dtype) {
    case FTC_F32:
    case FTC_BF16: return test_f32_of(x);
    case FTC_I32: return test_i32_of(x);
    case FTC_U32: return (uint32_t)test_i32_of(x);
    default: return test_bool_of(x);
    }
}

// Compares body and evaluation on samples of these operand dtypes; false when the operation does not take
// them.
static bool check_body(const ftc_op_info *info, ftc_op op, ftc_dtype to, const ftc_dtype *from) {
    test_axes t = test_axes_new("body");
    ftc_node node = {.op = op, .n_args = info->n_args, .decl = FTC_NO_DECL, .type.dtype = to};
    for (int i = 0; i < info->n_args; i++)
        node.arg[i] = test_input(t.g, ftc_graph_format(t.g, "x%d", i), from[i], (ftc_axes){0}, FTC_NO_AXIS);
    char error[256];
    ftc_type type;
    bool taken = info->infer(t.g, &node, &type, error, sizeof error);
    if (taken) {
        node.type = type;
        ftc_map_types types = ftc_node_map_types(t.g, &node);
        test_random r = {.state = op};
        for (int k = 0; k < 200; k++) {
            double x[FTC_MAX_ARGS] = {0};
            ftc_scalar s[FTC_MAX_ARGS] = {0};
            test_scalar_reset();
            for (int i = 0; i < info->n_args; i++) {
                x[i] = drawn(&r, info, from[i]);
                if (i > 0 && from[i] == from[0] && k % 8 == 0) x[i] = x[0]; // ties
                s[i] = pushed(from[i], x[i]);
            }
            double expected = info->eval(&types, x),
                   got = number_of(type.dtype, info->body(&test_scalar_now, &types, s));
            bool is_f32 = type.dtype == FTC_F32;
            if (is_f32 && !info->rounds)
                expected = (float)expected; // chosen among the operands, or converted
            double tolerance = is_f32 && info->rounds ? 4e-7 * fmax(1, fabs(expected)) : 0;
            cr_expect(fabs(got - expected) <= tolerance, "%s of %s (%.9g, %.9g, %.9g): %.9g, evaluation %.9g",
                      info->name, ftc_dtype_name(from[0]), x[0], x[1], x[2], got, expected);
        }
    }
    ftc_graph_free(t.g);
    return taken;
}

Test(body, computes_what_evaluation_does) {
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        if (info->class != FTC_CLASS_MAP) continue;
        int taken = 0;
        for (int a = FTC_F32; a <= FTC_BOOL; a++) {
            for (int b = FTC_F32; b <= FTC_BOOL; b++) {
                for (int to = FTC_F32; to <= (info->attrs & FTC_ATTR_DTYPE ? FTC_BOOL : FTC_F32); to++) {
                    if (info->n_args == 1 && b != a) continue;
                    ftc_dtype from[] = {(ftc_dtype)a, (ftc_dtype)b, (ftc_dtype)b};
                    taken += check_body(info, (ftc_op)op, (ftc_dtype)to, from);
                }
            }
        }
        cr_expect(taken > 0, "%s takes no operands", info->name);
    }
}

Test(table, is_complete) {
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        cr_expect_eq(ftc_op_find(info->name), (ftc_op)op);
        cr_expect(info->doc && info->example && info->infer, "%s lacks a part", info->name);
        bool is_map = info->class == FTC_CLASS_MAP;
        cr_expect(is_map ? info->eval && info->body : info->interpret != NULL, "%s cannot be computed",
                  info->name);
        cr_expect(!is_map || info->n_args > 0);
    }
}

Test(table, says_which_operands_make_a_map_zero) {
    test_random r = {.state = 7};
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        if (info->class != FTC_CLASS_MAP) continue;
        ftc_map_types types = {FTC_F32, {FTC_F32, FTC_F32, FTC_F32}};
        for (int k = 0; k < 100; k++) {
            double x[FTC_MAX_ARGS];
            for (int i = 0; i < FTC_MAX_ARGS; i++) x[i] = test_random_between(&r, 0.25, 2) * (k % 2 ? 1 : -1);
            for (int i = 0; i < info->n_args; i++) {
                if (!(info->zero_any >> i & 1)) continue;
                double kept = x[i];
                x[i] = 0;
                cr_expect_eq(info->eval(&types, x), 0, "%s", info->name);
                x[i] = kept;
            }
            for (int i = 0; i < info->n_args; i++)
                if (info->zero_all >> i & 1) x[i] = 0;
            if (info->zero_all) cr_expect_eq(info->eval(&types, x), 0, "%s", info->name);
        }
    }
}

// f(a x + b y) against a f(x) + b f(y), where the operands of the mask change and the others stay.
static void check_linear(const ftc_op_info *info, uint8_t mask, test_random *r) {
    ftc_map_types types = {FTC_F32, {FTC_F32, FTC_F32, FTC_F32}};
    double x[FTC_MAX_ARGS], y[FTC_MAX_ARGS], both[FTC_MAX_ARGS], a = drawn(r, info, FTC_F32), b = 1 - 2 * a;
    for (int i = 0; i < FTC_MAX_ARGS; i++) {
        x[i] = drawn(r, info, FTC_F32);
        y[i] = mask >> i & 1 ? drawn(r, info, FTC_F32) : x[i];
        both[i] = mask >> i & 1 ? a * x[i] + b * y[i] : x[i];
    }
    double expected = a * info->eval(&types, x) + b * info->eval(&types, y), got = info->eval(&types, both);
    cr_expect(fabs(got - expected) <= 1e-12 * fmax(1, fabs(expected)), "%s: %.17g, linear %.17g", info->name,
              got, expected);
}

Test(table, says_which_operands_a_map_is_linear_in) {
    test_random r = {.state = 8};
    int tested = 0;
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        cr_expect(info->class == FTC_CLASS_MAP || info->class == FTC_CLASS_REDUCE ||
                  !(info->linear_any | info->linear_all));
        if (info->class != FTC_CLASS_MAP) continue;
        for (int k = 0; k < 100; k++) {
            for (int i = 0; i < info->n_args; i++)
                if (info->linear_any >> i & 1) check_linear(info, (uint8_t)(1 << i), &r);
            if (info->linear_all) check_linear(info, info->linear_all, &r);
        }
        tested += info->linear_any || info->linear_all;
    }
    cr_expect(tested >= 5);
}

// One that is linear is the sum.
Test(table, says_which_reductions_add) {
    const double cells[][2] = {{1, 2}, {-1, 0.5}, {3, -4}};
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        if (info->class != FTC_CLASS_REDUCE) continue;
        bool adds = info->identity == 0;
        for (int k = 0; k < 3; k++) {
            test_scalar_reset();
            ftc_scalar x[] = {pushed(FTC_F32, cells[k][0]), pushed(FTC_F32, cells[k][1])};
            ftc_map_types types = {FTC_F32, {FTC_F32, FTC_F32}};
            adds &= number_of(FTC_F32, info->body(&test_scalar_now, &types, x)) == cells[k][0] + cells[k][1];
        }
        cr_expect_eq(info->linear_any, adds, "%s", info->name);
    }
}

Test(table, says_which_map_chooses) {
    ftc_map_types types = {FTC_F32, {FTC_BOOL, FTC_F32, FTC_F32}};
    int tested = 0;
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        if (!info->chooses) continue;
        cr_expect_eq(info->eval(&types, (double[]){1, 2, 3}), 2, "%s", info->name);
        cr_expect_eq(info->eval(&types, (double[]){0, 2, 3}), 3, "%s", info->name);
        tested++;
    }
    cr_expect(tested > 0);
}

// --- random numbers, ragged axes ----------------------------------------------------------------------

Test(random, depends_on_coordinates_alone) {
    test_axes t = test_axes_new("random");
    ftc_node node = {
        .op = FTC_OP_random, .axes = test_list(3, t.B, t.S, t.H), .index = 5, .decl = FTC_NO_DECL};
    ftc_id x = ftc_build(t.g, node);
    test_values *v = test_values_new(t.g, 11), *w = test_values_new(t.g, 11);
    int64_t two = 2;
    v->extents[t.g->axes[t.B].extent] = w->extents[t.g->axes[t.B].extent] = two;
    int32_t first[] = {2, 4}, second[] = {5, 3};
    memcpy(v->lengths[t.g->axes[t.S].extent] = realloc(v->lengths[t.g->axes[t.S].extent], sizeof first),
           first, sizeof first);
    memcpy(w->lengths[t.g->axes[t.S].extent] = realloc(w->lengths[t.g->axes[t.S].extent], sizeof second),
           second, sizeof second);
    ftc_interp *a = ftc_interp_new(t.g, &v->b), *b = ftc_interp_new(t.g, &w->b);
    ftc_interp_run(a);
    ftc_interp_run(b);
    const double *p = ftc_interp_value(a, x, NULL), *q = ftc_interp_value(b, x, NULL);
    // sequence 1, position 2, feature 3 lies at different places
    cr_expect_eq(p[(2 + 2) * 6 + 3], q[(5 + 2) * 6 + 3]);
    uint64_t key = 11;
    const uint64_t words[] = {3, 1, 5, 1, 2}; // step, micro-step, site, sequence, position
    for (int i = 0; i < 5; i++) key = ftc_random_fold(key, words[i]);
    cr_expect_eq(p[(2 + 2) * 6 + 3], (double)ftc_random_cell(key, 3));
    ftc_interp_free(a);
    ftc_interp_free(b);
    test_values_free(v);
    test_values_free(w);
    ftc_graph_free(t.g);
}

Test(random, is_uniform) {
    enum { ROWS = 256, CELLS = 256, BINS = 16 };
    int bins[BINS] = {0};
    double sum = 0, products = 0;
    for (uint64_t row = 0; row < ROWS; row++) {
        uint64_t key = ftc_random_fold(ftc_random_fold(1, 2), row),
                 next = ftc_random_fold(ftc_random_fold(1, 2), row + 1);
        for (uint32_t j = 0; j < CELLS; j++) {
            double x = ftc_random_cell(key, j), y = ftc_random_cell(next, j);
            cr_assert(x >= 0 && x < 1);
            bins[(int)(x * BINS)]++;
            sum += x;
            products += (x - 0.5) * (y - 0.5);
        }
    }
    double n = (double)ROWS * CELLS;
    cr_expect_float_eq(sum / n, 0.5, 5 / sqrt(12 * n));
    cr_expect_float_eq(products / n, 0, 5 / (12 * sqrt(n)));
    for (int i = 0; i < BINS; i++) cr_expect_float_eq(bins[i], n / BINS, 5 * sqrt(n / BINS));
}

Test(interpret, packs_ragged_axes) {
    test_axes t = test_axes_new("ragged");
    ftc_graph *g = t.g;
    ftc_id x = test_input(g, "x", FTC_F32, test_list(3, t.B, t.A, t.S), FTC_NO_AXIS); // packed [B, S, A]
    ftc_axes a = test_list(1, t.A), s = test_list(1, t.S);
    ftc_id scores = ftc_build_dot(g, x, ftc_build_rename(g, x, t.S, t.T), &a);
    ftc_id columns = ftc_build_sum(g, scores, &s), second = ftc_build_at(g, scores, t.S, 1);
    ftc_id placed = ftc_build_place(g, second, t.S, 0, &g->nodes[scores].type.axes);
    test_values *v = test_values_new(g, 1);
    v->extents[g->axes[t.B].extent] = 2;
    int32_t lengths[] = {2, 3};
    double cells[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    const int32_t *all_lengths[8] = {0};
    all_lengths[g->axes[t.S].extent] = lengths;
    double *tensors[] = {cells};
    ftc_bindings b = v->b;
    b.lengths = all_lengths;
    b.tensors = tensors;
    ftc_interp *in = ftc_interp_new(g, &b);
    ftc_interp_run(in);
    const struct {
        ftc_id id;
        int64_t n;
        double cells[13];
    } expected[] = {
        {scores, 13, {1, 3, 3, 13, 41, 59, 77, 59, 85, 111, 77, 111, 145}},
        {columns, 5, {4, 16, 177, 255, 333}},
        {second, 5, {3, 13, 59, 85, 111}},
        {placed, 13, {3, 13, 0, 0, 59, 85, 111, 0, 0, 0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int64_t n;
        const double *got = ftc_interp_value(in, expected[i].id, &n);
        cr_assert_eq(n, expected[i].n);
        for (int64_t k = 0; k < n; k++)
            cr_expect_eq(got[k], expected[i].cells[k], "value %zu, cell %d", i, (int)k);
    }
    ftc_interp_free(in);
    test_values_free(v);
    ftc_graph_free(g);
}

// --- errors -------------------------------------------------------------------------------------------

static void expect_error(ftc_graph *g, ftc_node node, const char *part) {
    char error[512] = "";
    node.decl = FTC_NO_DECL;
    cr_expect_eq(ftc_build_try(g, node, error, sizeof error), 0, "%s was accepted", part);
    cr_expect(strstr(error, part) != NULL, "'%s' does not say '%s'", error, part);
}

Test(infer, says_what_is_wrong) {
    test_axes t = test_axes_new("errors");
    ftc_graph *g = t.g;
    ftc_id x = test_input(g, "x", FTC_F32, test_list(3, t.B, t.S, t.H), FTC_NO_AXIS);
    ftc_id w = test_param(g, "w", test_list(2, t.A, t.H)),
           ids = test_input(g, "ids", FTC_I32, test_list(1, t.B), t.V);
    expect_error(g, (ftc_node){.op = FTC_OP_add, .n_args = 2, .arg = {x, w}},
                 "has axis A, which f32[B, S, H] lacks");
    expect_error(g, (ftc_node){.op = FTC_OP_add, .n_args = 2, .arg = {x, ids}},
                 "operand 1 is f32, operand 2 is i32");
    expect_error(g, (ftc_node){.op = FTC_OP_exp, .n_args = 1, .arg = {ids}}, "exp takes f32");
    expect_error(g, (ftc_node){.op = FTC_OP_select, .n_args = 3, .arg = {x, x, x}}, "must be bool");
    expect_error(g, (ftc_node){.op = FTC_OP_sum, .n_args = 1, .arg = {x}, .axes = test_list(1, t.A)},
                 "axis A is summed over, but operand 1, f32[B, S, H], lacks it");
    expect_error(g, (ftc_node){.op = FTC_OP_sum, .n_args = 1, .arg = {x}, .axes = test_list(1, t.B)},
                 "the result has axis S but not B");
    expect_error(g, (ftc_node){.op = FTC_OP_rename, .n_args = 1, .arg = {x}, .axis = t.S, .to = t.A},
                 "different extents");
    expect_error(g, (ftc_node){.op = FTC_OP_at, .n_args = 1, .arg = {x}, .axis = t.H, .index = 6},
                 "no position 6");
    expect_error(g, (ftc_node){.op = FTC_OP_gather, .n_args = 2, .arg = {w, x}, .axis = t.A}, "must be i32");
    expect_error(g, (ftc_node){.op = FTC_OP_gather, .n_args = 2, .arg = {x, ids}, .axis = t.S},
                 "axis S is ragged");
    ftc_graph_free(g);
}

Test(table, takes_part_in_random_graphs) {
    int count[FTC_OP_COUNT] = {0};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        ftc_graph *g = test_random_graph(seed, &(test_graph_options){.n_nodes = 40, .quadratic = true});
        for (ftc_id id = 1; id < g->n_nodes; id++) count[ftc_graph_node(g, id)->op]++;
        ftc_graph_free(g);
    }
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        bool drawn_at_all = info->class != FTC_CLASS_ASSIGN && info->class != FTC_CLASS_CALL &&
                            info->class != FTC_CLASS_UPSTREAM && info->class != FTC_CLASS_UPDATED &&
                            info->class != FTC_CLASS_EXTERN && op != FTC_OP_arg;
        cr_expect(!drawn_at_all || count[op] >= 5, "%s occurs %d times", info->name, count[op]);
    }
}
