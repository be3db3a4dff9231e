// The passes that rewrite the graph: every rule of simplify by itself, and all of them on random graphs,
// against the interpreter.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/pattern.h"
#include "compiler/pipeline.h"
#include "compiler/passes/simplify.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/random_graph.h"

// --- comparing ----------------------------------------------------------------------------------------

static void verify(const ftc_graph *g) {
    ftc_diagnostics d = {0};
    cr_assert(ftc_verify_graph(g, &d), "%s", d.list[0].text);
    ftc_diag_free(&d);
}

// All outputs of `b` have the cells that they have in `a`, within `tolerance` of the largest.
static void expect_same_values(const ftc_graph *a, const ftc_graph *b, uint64_t seed, double tolerance,
                               const char *what) {
    test_values *v = test_values_new(a, seed);
    ftc_interp *p = ftc_interp_new(a, &v->b), *q = ftc_interp_new(b, &v->b);
    ftc_interp_run(p);
    ftc_interp_run(q);
    for (uint32_t i = 0; i < a->n_outputs; i++) {
        int64_t n, m;
        ftc_id x = a->outputs[i].node, y = test_output(b, a->outputs[i].name);
        cr_assert(y, "%s: output %s is gone", what, a->outputs[i].name);
        const double *expected = ftc_interp_value(p, x, &n);
        double *got = test_cells_as(q, b, &v->b, y, &a->nodes[x].type.axes, &m);
        cr_assert_eq(n, m);
        double scale = 1e-3;
        for (int64_t c = 0; c < n; c++) scale = fmax(scale, fabs(expected[c]));
        for (int64_t c = 0; c < n; c++)
            cr_assert(expected[c] == got[c] || fabs(expected[c] - got[c]) <= tolerance * scale,
                      "%s, seed %llu: output %s is %.17g, was %.17g", what, (unsigned long long)seed,
                      a->outputs[i].name, got[c], expected[c]);
        free(got);
    }
    ftc_interp_free(p);
    ftc_interp_free(q);
    test_values_free(v);
}

static void run_pass(ftc_pass_fn *pass, ftc_graph *g, ftc_entry_kind entry) {
    ftc_diagnostics d = {0};
    ftc_pass_options options = {.entry = entry};
    cr_assert(pass(g, &options, &d), "%s", d.count ? d.list[0].text : "no diagnostic");
    verify(g);
    ftc_diag_free(&d);
}

static int count_op(const ftc_graph *g, ftc_op op) {
    int n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) n += ftc_graph_node(g, id)->op == op;
    return n;
}

static const ftc_rule *find_rule(const char *name) {
    for (int i = 0; i < ftc_n_simplify_rules; i++)
        if (!strcmp(ftc_simplify_rules[i].name, name)) return &ftc_simplify_rules[i];
    cr_assert(false, "there is no rule %s", name);
    return NULL;
}

// Applies one rule alone, checks that it applied and that the outputs keep their values.
static void apply_rule(ftc_graph *g, const char *name) {
    const ftc_rule *rule = find_rule(name);
    ftc_graph *before = ftc_graph_clone(g);
    int applied = 0;
    verify(g);
    ftc_simplify(g, rule, 1, true, &applied);
    verify(g);
    cr_expect(applied > 0, "%s does not apply", name);
    for (uint64_t seed = 1; seed <= 3; seed++)
        expect_same_values(before, g, seed, rule->exact ? 0 : 1e-13, name);
    ftc_graph_free(before);
}

// --- rules with patterns ------------------------------------------------------------------------------

typedef struct {
    test_axes t;
    const ftc_pattern *pattern;
    ftc_id letter['z' + 1];
    int variant;
} pattern_builder;

static bool takes_bool(ftc_op op, int operand) {
    return op == FTC_OP_and || op == FTC_OP_or || op == FTC_OP_not || (op == FTC_OP_select && operand == 0);
}

// Builds a graph that the pattern matches; letters are inputs over axes that the variant chooses.
static ftc_id build_pattern(pattern_builder *p, int index, bool is_bool) {
    ftc_graph *g = p->t.g;
    test_axes *t = &p->t;
    const ftc_term *term = &p->pattern->term[index];
    ftc_axes wide = test_list(3, t->B, t->S, t->H);
    ftc_axes axes[3][3] = {{wide, wide, wide},
                           {wide, test_list(1, t->H), test_list(2, t->B, t->S)},
                           {test_list(2, t->B, t->S), wide, test_list(1, t->H)}};
    ftc_dtype dtype = is_bool ? FTC_BOOL : FTC_F32;
    if (term->kind == FTC_TERM_NUMBER)
        return ftc_build_fill(g, term->number, dtype, p->variant == 2 ? &wide : &(ftc_axes){0});
    if (term->kind == FTC_TERM_OP && term->op == FTC_OP_random) {
        ftc_node node = {.op = FTC_OP_random, .axes = wide, .decl = FTC_NO_DECL};
        return ftc_build(g, node);
    }
    if (term->kind == FTC_TERM_OP) {
        ftc_id args[FTC_MAX_ARGS];
        for (int i = 0; i < term->n_args; i++) {
            bool inherits = term->op == FTC_OP_select && i > 0 && is_bool;
            args[i] = build_pattern(p, term->arg[i], takes_bool(term->op, i) || inherits);
        }
        return ftc_build_map(g, term->op, 0, term->n_args, args);
    }
    ftc_id *known = &p->letter[(int)term->letter];
    if (*known) return *known;
    if (term->kind == FTC_TERM_CONSTANT) {
        *known = ftc_build_fill(g, 0.75 + term->letter - 'c', dtype, &(ftc_axes){0});
    } else {
        const char name[] = {term->letter, 0};
        *known = test_input(g, name, dtype, axes[p->variant][term->letter - 'x'], FTC_NO_AXIS);
        // Positive, for sqrt.
        if (!is_bool) *known = ftc_build_map2(g, FTC_OP_add, *known, ftc_build_const(g, 1.5));
    }
    return *known;
}

Test(simplify, applies_each_pattern) {
    int tested = 0;
    for (int r = 0; r < ftc_n_simplify_rules; r++) {
        const ftc_rule *rule = &ftc_simplify_rules[r];
        if (!rule->pattern) continue;
        ftc_pattern pattern = ftc_pattern_parse(rule->pattern);
        int applied = 0;
        for (int variant = 0; variant < 3; variant++) {
            pattern_builder p = {.t = test_axes_new(rule->name), .pattern = &pattern, .variant = variant};
            ftc_id root = build_pattern(&p, 0, takes_bool(pattern.term[0].op, 1));
            ftc_graph_add_output(p.t.g, "result", root, 0xf);
            // a fill that is wider than the other operands is a broadcast, which is not a pattern's business
            ftc_id x;
            const ftc_node *node = ftc_graph_node(p.t.g, root);
            bool fits = !ftc_is_broadcast(p.t.g, node, &x) && (!rule->when || rule->when(p.t.g, node));
            if (variant < 2 && fits) {
                apply_rule(p.t.g, rule->name);
                applied++;
            }
            ftc_simplify(p.t.g, ftc_simplify_rules, ftc_n_simplify_rules, true, NULL);
            verify(p.t.g);
            ftc_graph_free(p.t.g);
        }
        cr_expect(applied > 0, "%s is never tried", rule->name);
        tested++;
    }
    cr_assert(tested > 30);
}

// --- rules on axes ------------------------------------------------------------------------------------

typedef struct {
    test_axes t;
    ftc_graph *g;
    ftc_id x, y, w, b; // [B, S, H], [B, S, H], [A, H], [B]
} fixture;

static fixture begin(void) {
    fixture f = {.t = test_axes_new("rules")};
    f.g = f.t.g;
    f.x = test_input(f.g, "x", FTC_F32, test_list(3, f.t.B, f.t.S, f.t.H), FTC_NO_AXIS);
    f.y = test_input(f.g, "y", FTC_F32, test_list(3, f.t.B, f.t.S, f.t.H), FTC_NO_AXIS);
    f.w = test_param(f.g, "w", test_list(2, f.t.A, f.t.H));
    f.b = test_input(f.g, "b", FTC_F32, test_list(1, f.t.B), FTC_NO_AXIS);
    return f;
}

// Applies the rule to the value; checks how many nodes of an operation remain.
static void check_rule(fixture *f, ftc_id value, const char *rule, ftc_op op, int expected) {
    ftc_graph_add_output(f->g, "result", value, 0xf);
    apply_rule(f->g, rule);
    cr_expect_eq(count_op(f->g, op), expected, "%s: %d nodes %s", rule, count_op(f->g, op),
                 ftc_op_get(op)->name);
    ftc_graph_free(f->g);
}

static ftc_id broadcast_b(fixture *f) {
    ftc_axes axes = test_list(3, f->t.B, f->t.S, f->t.H);
    return ftc_build_broadcast(f->g, f->b, &axes);
}

static ftc_id map2(fixture *f, ftc_op op, ftc_id x, ftc_id y) {
    return ftc_build_map2(f->g, op, x, y);
}

Test(simplify, folds_constants) {
    fixture f = begin();
    ftc_axes axes = test_list(2, f.t.B, f.t.S);
    ftc_id sum = map2(&f, FTC_OP_add, ftc_build_fill(f.g, 2, FTC_F32, &axes), ftc_build_const(f.g, 3));
    check_rule(&f, ftc_build_map1(f.g, FTC_OP_exp, sum), "fold", FTC_OP_exp, 0);
}

Test(simplify, drops_broadcasts_that_another_operand_covers) {
    fixture f = begin();
    check_rule(&f, map2(&f, FTC_OP_add, f.x, broadcast_b(&f)), "lift_broadcast", FTC_OP_fill, 0);
    f = begin();
    ftc_axes axes = test_list(3, f.t.B, f.t.S, f.t.H);
    check_rule(&f, map2(&f, FTC_OP_add, f.x, ftc_build_fill(f.g, 2, FTC_F32, &axes)), "lift_broadcast",
               FTC_OP_fill, 0);
}

Test(simplify, lifts_broadcasts_through_maps) {
    fixture f = begin();
    ftc_id x = ftc_build_map1(f.g, FTC_OP_exp, broadcast_b(&f));
    ftc_graph_add_output(f.g, "result", x, 0xf);
    apply_rule(f.g, "lift_broadcast");
    for (ftc_id id = 1; id < f.g->n_nodes; id++)
        if (f.g->nodes[id].op == FTC_OP_exp) cr_expect_eq(f.g->nodes[id].type.axes.n, 1);
    ftc_graph_free(f.g);
}

Test(simplify, sums_constants) {
    fixture f = begin();
    ftc_axes axes = test_list(3, f.t.B, f.t.S, f.t.H), h = test_list(1, f.t.H),
             sh = test_list(2, f.t.S, f.t.H);
    check_rule(&f, ftc_build_sum(f.g, ftc_build_fill(f.g, 0.5, FTC_F32, &axes), &h), "sum_constant",
               FTC_OP_sum, 0);
    f = begin(); // the lengths remain a sum
    check_rule(&f, ftc_build_sum(f.g, ftc_build_fill(f.g, 0.5, FTC_F32, &axes), &sh), "sum_constant",
               FTC_OP_sum, 1);
    f = begin();
    check_rule(&f, ftc_build_sum(f.g, ftc_build_fill(f.g, 0.5, FTC_F32, &axes), &axes), "sum_constant",
               FTC_OP_sum, 1);
}

Test(simplify, sums_broadcasts_by_counting) {
    for (int variant = 0; variant < 4; variant++) {
        fixture f = begin();
        ftc_axes axes[] = {test_list(1, f.t.H), test_list(2, f.t.S, f.t.H), test_list(3, f.t.B, f.t.S, f.t.H),
                           test_list(2, f.t.B, f.t.S)};
        ftc_id sum = ftc_build_sum(f.g, broadcast_b(&f), &axes[variant]);
        ftc_graph_add_output(f.g, "result", sum, 0xf);
        apply_rule(f.g, "sum_broadcast");
        ftc_graph_free(f.g);
    }
}

// What is summed along S may be nothing, where a factor may be infinite.
Test(simplify, keeps_factors_of_what_may_be_nothing) {
    for (int is_named = 0; is_named < 2; is_named++) {
        fixture f = begin();
        ftc_axes s = test_list(2, f.t.S, f.t.H);
        ftc_graph_add_output(f.g, "sum", ftc_build_sum(f.g, map2(&f, FTC_OP_div, f.x, f.b), &s), 0xf);
        if (is_named) ftc_graph_add_output(f.g, "at", ftc_build_at(f.g, f.x, f.t.S, 0), 0xf);
        int applied = 0;
        ftc_simplify(f.g, find_rule("sum_factor"), 1, true, &applied);
        cr_expect_eq(applied > 0, is_named);
        ftc_graph_free(f.g);
    }
}

Test(simplify, takes_factors_out_of_sums) {
    fixture f = begin();
    ftc_axes s = test_list(1, f.t.H);
    check_rule(&f, ftc_build_sum(f.g, map2(&f, FTC_OP_mul, f.b, f.x), &s), "sum_factor", FTC_OP_mul, 1);
    f = begin();
    ftc_id positive = map2(&f, FTC_OP_add, f.b, ftc_build_const(f.g, 2));
    ftc_id quotient = ftc_build_sum(f.g, map2(&f, FTC_OP_div, f.x, positive), &s);
    ftc_id negative = ftc_build_sum(f.g, ftc_build_map1(f.g, FTC_OP_neg, f.y), &s);
    ftc_graph_add_output(f.g, "negative", negative, 0xf);
    ftc_graph_add_output(f.g, "result", quotient, 0xf);
    apply_rule(f.g, "sum_factor");
    for (ftc_id id = 1; id < f.g->n_nodes; id++)
        if (f.g->nodes[id].op == FTC_OP_div || f.g->nodes[id].op == FTC_OP_neg)
            cr_expect_eq(f.g->nodes[id].type.axes.n, 2);
    ftc_graph_free(f.g);
}

Test(simplify, divides_once_where_the_divisor_repeats) {
    fixture f = begin();
    ftc_axes h = test_list(1, f.t.H);
    ftc_id divisor = ftc_build_map1(f.g, FTC_OP_exp, ftc_build_sum(f.g, f.x, &h));
    check_rule(&f, map2(&f, FTC_OP_div, f.x, divisor), "div_repeated", FTC_OP_mul, 1);
}

Test(simplify, contracts_broadcasts_by_summing) {
    fixture f = begin();
    ftc_axes s = test_list(1, f.t.S), sh = test_list(2, f.t.S, f.t.H), h = test_list(1, f.t.H);
    check_rule(&f, ftc_build_dot(f.g, f.x, broadcast_b(&f), &sh), "dot_broadcast", FTC_OP_dot, 0);
    f = begin();
    check_rule(&f, ftc_build_dot(f.g, broadcast_b(&f), f.x, &s), "dot_broadcast", FTC_OP_dot, 0);
    f = begin(); // H is summed as a product, S as a sum
    ftc_axes bsh = test_list(3, f.t.B, f.t.S, f.t.H);
    ftc_id row = test_param(f.g, "row", h);
    check_rule(&f, ftc_build_dot(f.g, ftc_build_broadcast(f.g, row, &bsh), f.x, &sh), "dot_broadcast",
               FTC_OP_dot, 1);
}

// A sum that picks by an index, which may be no row of the table, or a sum of others.
Test(simplify, looks_up_what_sums_pick) {
    for (int variant = 0; variant < 5; variant++) {
        fixture f = begin();
        ftc_axes v = test_list(1, f.t.V), vh = test_list(2, f.t.V, f.t.H), bs = test_list(2, f.t.B, f.t.S);
        ftc_id ids = test_input(f.g, "ids", FTC_I32, bs, f.t.V), table = test_param(f.g, "table", vh);
        ftc_id two = ftc_build_fill(f.g, 2, FTC_I32, &(ftc_axes){0});
        ftc_id rows = ftc_build(f.g, (ftc_node){.op = FTC_OP_index, .axis = f.t.V, .decl = FTC_NO_DECL});
        ftc_id index = variant < 2 ? ids : map2(&f, variant == 2 ? FTC_OP_sub : FTC_OP_add, ids, two);
        ftc_id hit = map2(&f, FTC_OP_eq, variant % 2 ? rows : index, variant % 2 ? index : rows);
        ftc_id one_hot = variant % 2
                             ? ftc_build_cast(f.g, FTC_F32, hit)
                             : ftc_build_select(f.g, hit, ftc_build_const(f.g, 1), ftc_build_const(f.g, 0));
        ftc_id sum = variant < 3
                         ? ftc_build_dot(f.g, one_hot, table, &v)
                         : ftc_build_sum(f.g, map2(&f, FTC_OP_mul, table, one_hot), variant == 3 ? &v : &vh);
        if (variant < 4) {
            check_rule(&f, sum, "one_hot", FTC_OP_gather, 1);
            continue;
        }
        ftc_graph_add_output(f.g, "result", sum, 0xf); // over H, too: left as it is
        int applied = 0;
        ftc_simplify(f.g, find_rule("one_hot"), 1, true, &applied);
        cr_expect_eq(applied, 0);
        ftc_graph_free(f.g);
    }
}

Test(simplify, joins_shifts_that_lose_nothing) {
    static const struct {
        int first, second, left; // to V, which has one position more than H, and back; shifts that are left
    } cases[] = {{1, -1, 0}, {0, 0, 0}, {1, 0, 1}, {0, -1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f = begin();
        ftc_id wide = ftc_build_shift(f.g, f.x, f.t.H, f.t.V, cases[i].first);
        check_rule(&f, ftc_build_shift(f.g, wide, f.t.V, f.t.H, cases[i].second), "shift", FTC_OP_shift,
                   cases[i].left);
    }
    fixture f = begin();
    check_rule(&f, ftc_build_shift(f.g, ftc_build_shift(f.g, f.x, f.t.S, f.t.S, 1), f.t.S, f.t.S, 2), "shift",
               FTC_OP_shift, 1);
    f = begin();
    check_rule(&f, ftc_build_at(f.g, ftc_build_shift(f.g, f.x, f.t.H, f.t.V, 1), f.t.V, 3), "at_shift",
               FTC_OP_shift, 0);
}

Test(simplify, keeps_shifts_that_lose_cells) {
    fixture f = begin();
    ftc_id wide = ftc_build_shift(f.g, f.x, f.t.H, f.t.V, -1);
    ftc_graph_add_output(f.g, "result", ftc_build_shift(f.g, wide, f.t.V, f.t.H, 1), 0xf);
    int applied = 0;
    ftc_simplify(f.g, find_rule("shift"), 1, true, &applied);
    cr_expect_eq(applied, 0);
    ftc_graph_free(f.g);
}

Test(simplify, joins_and_moves_renames) {
    fixture f = begin();
    ftc_id t = ftc_build_rename(f.g, f.x, f.t.S, f.t.T);
    check_rule(&f, ftc_build_rename(f.g, t, f.t.T, f.t.S), "rename_chain", FTC_OP_rename, 0);

    f = begin();
    ftc_node random = {
        .op = FTC_OP_random, .axes = test_list(3, f.t.B, f.t.S, f.t.H), .index = 4, .decl = FTC_NO_DECL};
    ftc_node index = {.op = FTC_OP_index, .axis = f.t.S, .decl = FTC_NO_DECL};
    ftc_axes bs = test_list(2, f.t.B, f.t.S);
    ftc_id sources[] = {ftc_build(f.g, random), ftc_build(f.g, index), ftc_build_fill(f.g, 3, FTC_F32, &bs)};
    for (int i = 1; i < 3; i++)
        ftc_graph_add_output(f.g, i == 1 ? "index" : "fill", ftc_build_rename(f.g, sources[i], f.t.S, f.t.T),
                             0xf);
    check_rule(&f, ftc_build_rename(f.g, sources[0], f.t.S, f.t.T), "rename_source", FTC_OP_rename, 0);

    f = begin();
    ftc_id wide = broadcast_b(&f);
    check_rule(&f, ftc_build_rename(f.g, wide, f.t.S, f.t.T), "rename_broadcast", FTC_OP_rename, 0);

    f = begin(); // two operands renamed alike: one rename remains
    ftc_id p = ftc_build_rename(f.g, f.x, f.t.S, f.t.T), q = ftc_build_rename(f.g, f.y, f.t.S, f.t.T);
    check_rule(&f, map2(&f, FTC_OP_mul, p, q), "lift_rename", FTC_OP_rename, 1);

    f = begin(); // the renamed axis is summed: none remains
    p = ftc_build_rename(f.g, f.x, f.t.S, f.t.T), q = ftc_build_rename(f.g, f.y, f.t.S, f.t.T);
    ftc_axes tt = test_list(1, f.t.T);
    ftc_graph_add_output(f.g, "sum", ftc_build_sum(f.g, p, &tt), 0xf);
    ftc_graph_add_output(f.g, "at", ftc_build_at(f.g, q, f.t.T, 0), 0xf);
    check_rule(&f, ftc_build_dot(f.g, p, q, &tt), "lift_rename", FTC_OP_rename, 0);
}

Test(simplify, knows_cells_at_positions) {
    fixture f = begin();
    ftc_id first = ftc_build_at(f.g, f.x, f.t.S, 0);
    ftc_id placed = ftc_build_place(f.g, first, f.t.S, 0, &f.g->nodes[f.x].type.axes);
    ftc_node index = {.op = FTC_OP_index, .axis = f.t.H, .decl = FTC_NO_DECL};
    ftc_graph_add_output(f.g, "index", ftc_build_at(f.g, ftc_build(f.g, index), f.t.H, 3), 0xf);
    check_rule(&f, ftc_build_at(f.g, placed, f.t.S, 0), "at_known", FTC_OP_at, 1);

    f = begin();
    ftc_axes bh = test_list(2, f.t.B, f.t.H), bsh = test_list(3, f.t.B, f.t.S, f.t.H);
    ftc_id nothing = ftc_build_fill(f.g, 0, FTC_F32, &bh);
    check_rule(&f, ftc_build_place(f.g, nothing, f.t.S, 0, &bsh), "place_zero", FTC_OP_place, 0);
}

Test(simplify, drops_what_does_nothing) {
    fixture f = begin();
    ftc_node same = {
        .op = FTC_OP_cast, .n_args = 1, .arg = {f.x}, .type.dtype = FTC_F32, .decl = FTC_NO_DECL};
    check_rule(&f, ftc_build(f.g, same), "cast_same", FTC_OP_cast, 0);
    f = begin();
    ftc_node detach = {.op = FTC_OP_detach, .n_args = 1, .arg = {f.x}, .decl = FTC_NO_DECL};
    check_rule(&f, ftc_build(f.g, detach), "detach(x)", FTC_OP_detach, 0);
}

Test(simplify, keeps_detach_until_gradients_are_there) {
    fixture f = begin();
    ftc_node detach = {.op = FTC_OP_detach, .n_args = 1, .arg = {f.w}, .decl = FTC_NO_DECL};
    ftc_id w = map2(&f, FTC_OP_mul, ftc_build(f.g, detach), f.w);
    ftc_axes all = f.g->nodes[w].type.axes;
    ftc_graph_add_output(f.g, "loss", ftc_build_sum(f.g, w, &all), 0xf)->role = FTC_OUTPUT_LOSS;
    run_pass(ftc_pass_simplify, f.g, FTC_ENTRY_STEP);
    cr_expect_eq(count_op(f.g, FTC_OP_detach), 1);
    run_pass(ftc_pass_differentiate, f.g, FTC_ENTRY_STEP);
    run_pass(ftc_pass_simplify, f.g, FTC_ENTRY_STEP);
    cr_expect_eq(count_op(f.g, FTC_OP_detach), 0);
    ftc_graph_free(f.g);
}

// --- one position of an axis --------------------------------------------------------------------------

static int count_axis(const ftc_graph *g, ftc_axis axis, ftc_op op) {
    int n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++)
        n += g->nodes[id].op == op && ftc_axes_has(&g->nodes[id].type.axes, axis);
    return n;
}

Test(demand, moves_up_to_leaves) {
    fixture f = begin();
    ftc_axes h = test_list(1, f.t.H);
    ftc_node random = {
        .op = FTC_OP_random, .axes = test_list(3, f.t.B, f.t.S, f.t.A), .index = 4, .decl = FTC_NO_DECL};
    ftc_id y = ftc_build_dot(f.g, ftc_build_map1(f.g, FTC_OP_tanh, f.x), f.w, &h); // [B, S, A]
    y = map2(&f, FTC_OP_mul, y, ftc_build_sum(f.g, ftc_build_map1(f.g, FTC_OP_exp, f.x), &h));
    y = map2(&f, FTC_OP_mul, y, ftc_build(f.g, random));
    ftc_graph_add_output(f.g, "result", ftc_build_at(f.g, y, f.t.S, 0), 0xf);
    apply_rule(f.g, "demand");
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_dot) + count_axis(f.g, f.t.S, FTC_OP_mul), 0);
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_tanh) + count_axis(f.g, f.t.S, FTC_OP_exp), 0);
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_random), 1); // its coordinates stay
    ftc_graph_free(f.g);
}

// The parts of one contraction are read of one token alone, as in the last layer of a gated encoder.
Test(demand, passes_parts) {
    fixture f = begin();
    ftc_axes h = test_list(1, f.t.H);
    ftc_id both = ftc_build_dot(f.g, f.x, f.w, &h); // [B, S, A]
    ftc_id a = ftc_build_at(f.g, both, f.t.A, 0), b = ftc_build_at(f.g, both, f.t.A, 1);
    ftc_id gated = map2(&f, FTC_OP_mul, ftc_build_map1(f.g, FTC_OP_tanh, a), b);
    ftc_graph_add_output(f.g, "result", ftc_build_at(f.g, gated, f.t.S, 0), 0xf);
    apply_rule(f.g, "demand");
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_dot) + count_axis(f.g, f.t.S, FTC_OP_tanh), 0);
    cr_expect_eq(count_axis(f.g, f.t.A, FTC_OP_dot), 1);
    ftc_graph_free(f.g);
}

Test(demand, passes_keys_by) {
    fixture f = begin();
    ftc_axes h = test_list(1, f.t.H), t = test_list(1, f.t.T);
    ftc_id keys = ftc_build_rename(f.g, ftc_build_map1(f.g, FTC_OP_tanh, f.y), f.t.S, f.t.T);
    ftc_id scores = ftc_build_dot(f.g, ftc_build_map1(f.g, FTC_OP_exp, f.x), keys, &h); // [B, S, T]
    ftc_id result = ftc_build_dot(f.g, scores, keys, &t);
    ftc_graph_add_output(f.g, "result", ftc_build_at(f.g, result, f.t.S, 0), 0xf);
    apply_rule(f.g, "demand");
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_exp), 0);
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_tanh), 1); // every key is read
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_dot), 0);
    ftc_graph_free(f.g);
}

Test(demand, stops_where_others_read_everything) {
    fixture f = begin();
    ftc_axes sh = test_list(2, f.t.S, f.t.H);
    ftc_id shared = ftc_build_map1(f.g, FTC_OP_tanh, f.x), y = ftc_build_map1(f.g, FTC_OP_exp, shared);
    ftc_graph_add_output(f.g, "all", ftc_build_sum(f.g, shared, &sh), 0xf);
    ftc_graph_add_output(f.g, "result", ftc_build_at(f.g, y, f.t.S, 0), 0xf);
    apply_rule(f.g, "demand");
    cr_expect_eq(count_op(f.g, FTC_OP_tanh), 1);
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_tanh), 1);
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_exp), 0);
    ftc_graph_free(f.g);
}

// A function with gradient text, of which one position along T is read.
static ftc_graph *read_model(const char *gradient) {
    char text[1024];
    snprintf(text, sizeof text,
             "model m\naxis H = 3, T = 4, C = 2\ninput a : f32[H, T]\n"
             "fn f(x; A) { return x * exp(x) } gradient(y, dy -> x) { return %s }\n"
             "w = param \"w\" f32[H, C] init normal(1)\n"
             "y = f(dot(a, w; H); T)\n"
             "output loss = sum(at(y, T, 0) * at(y, T, 0); C)\n",
             gradient);
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("model", text, NULL, &d);
    cr_assert(g, "%s", d.list[0].text);
    ftc_diag_free(&d);
    return g;
}

Test(demand, passes_gradient_text_that_stays_at_its_position) {
    static const struct {
        const char *gradient;
        bool pointwise;
    } CASES[] = {{"dy * (y + exp(x))", true}, {"dy * y + 0 * sum(dy; A)", false}};
    for (int i = 0; i < 2; i++) {
        ftc_graph *whole = read_model(CASES[i].gradient), *one = ftc_graph_clone(whole);
        ftc_simplify(one, find_rule("demand"), 1, true, NULL);
        ftc_axis t = ftc_graph_find_axis(one, "T");
        cr_expect_eq(count_axis(one, t, FTC_OP_exp) == 0, CASES[i].pointwise, "%s", CASES[i].gradient);
        run_pass(ftc_pass_differentiate, whole, FTC_ENTRY_GRAD);
        run_pass(ftc_pass_differentiate, one, FTC_ENTRY_GRAD);
        expect_same_values(whole, one, 1, 1e-13, CASES[i].gradient);
        ftc_graph_free(whole);
        ftc_graph_free(one);
    }
}

Test(support, moves_down_through_products_and_contractions) {
    fixture f = begin();
    ftc_axes h = test_list(1, f.t.H), bs = test_list(2, f.t.B, f.t.S), s = test_list(1, f.t.S);
    ftc_id first = ftc_build_at(f.g, f.y, f.t.S, 0);
    ftc_id g = ftc_build_place(f.g, first, f.t.S, 0, &f.g->nodes[f.x].type.axes);
    g = ftc_build_map1(f.g, FTC_OP_neg, map2(&f, FTC_OP_mul, g, f.x));
    ftc_id weight = ftc_build_dot(f.g, g, ftc_build_dot(f.g, f.x, f.w, &h), &bs); // [H, A]
    ftc_graph_add_output(f.g, "weight", weight, 0xf);
    ftc_graph_add_output(f.g, "sum", ftc_build_sum(f.g, g, &s), 0xf);
    ftc_graph_add_output(f.g, "row", ftc_build_dot(f.g, g, f.w, &h), 0xf);
    apply_rule(f.g, "support");
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_mul) + count_axis(f.g, f.t.S, FTC_OP_neg), 0);
    cr_expect_eq(count_op(f.g, FTC_OP_place), 1); // of the row
    cr_expect_eq(count_op(f.g, FTC_OP_sum), 0);
    ftc_graph_free(f.g);
}

Test(support, leaves_sums_with_others_alone) {
    fixture f = begin();
    ftc_id first = ftc_build_at(f.g, f.y, f.t.S, 0);
    ftc_id g = ftc_build_place(f.g, first, f.t.S, 0, &f.g->nodes[f.x].type.axes);
    ftc_id twice = map2(&f, FTC_OP_add, g, ftc_build_place(f.g, first, f.t.S, 0, &f.g->nodes[f.x].type.axes));
    ftc_graph_add_output(f.g, "result", ftc_build_map1(f.g, FTC_OP_exp, map2(&f, FTC_OP_add, twice, f.x)),
                         0xf);
    apply_rule(f.g, "support");
    cr_expect_eq(count_op(f.g, FTC_OP_place), 1);
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_add), 1);
    cr_expect_eq(count_axis(f.g, f.t.S, FTC_OP_exp), 1);
    ftc_graph_free(f.g);
}

// --- leaving rules out --------------------------------------------------------------------------------

Test(rules, are_left_out_by_name) {
    static const char *const SKIPS[][2] = {{"simplify:detach", NULL},  // another rule
                                           {"shrink:mul(x, 1)", NULL}, // of another pass
                                           {"simplify:mul(x, 1)", NULL},
                                           {"simplify:detach", "simplify:mul(x, 1)"}};
    const ftc_pass *simplify = ftc_pass_find("simplify");
    for (int i = 0; i < 4; i++) {
        fixture f = begin();
        ftc_graph_add_output(f.g, "result", map2(&f, FTC_OP_mul, f.x, ftc_build_const(f.g, 1)), 0xf);
        ftc_diagnostics d = {0};
        ftc_pipeline_options options = {.skip = SKIPS[i], .n_skip = SKIPS[i][1] ? 2 : 1};
        cr_assert(ftc_pipeline_run_pass(f.g, simplify, &options, &d));
        cr_expect_eq(count_op(f.g, FTC_OP_mul), i >= 2, "without %s", SKIPS[i][0]);
        ftc_graph_free(f.g);
    }
}

Test(rules, that_do_not_exist_are_diagnosed) {
    static const char *const NAMES[][2] = {
        {"simplify", NULL},
        {"simplify:demand", NULL},
        {"shrink:mul(x, 1)", NULL},
        {"simplfy", "there is no such pass; did you mean simplify?"},
        {"fuse", "the pass cannot be left out"},
        {"simplify:demnd", "there is no such rule; did you mean simplify:demand?"},
        {"shrink:mul(x,1)", "there is no such rule; did you mean shrink:mul(x, 1)?"},
        {"simplify:", "there is no such rule"},
        {"cse:demand", "the pass has no rules"},
        {"simplfy:demand", "there is no such pass"},
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        ftc_diagnostics d = {0};
        char expected[128];
        bool ok = ftc_pass_check_skip(NAMES[i][0], &d);
        cr_expect_eq(ok, !NAMES[i][1], "%s", NAMES[i][0]);
        snprintf(expected, sizeof expected, "--no-pass %s: %s\n", NAMES[i][0],
                 NAMES[i][1] ? NAMES[i][1] : "");
        if (!ok) cr_expect(strstr(d.list[0].text, expected), "%s, not %s", d.list[0].text, expected);
        ftc_diag_free(&d);
    }
}

// --- random graphs ------------------------------------------------------------------------------------

// The whole sequence of passes keeps the values, and has nothing to do a second time.
Test(passes, keep_the_values_of_random_graphs) {
    for (uint64_t seed = 1; seed <= 200; seed++) {
        ftc_graph *g = test_random_graph(
            seed, &(test_graph_options){.n_nodes = 4 + (int)(seed % 40), .quadratic = true});
        run_pass(ftc_pass_differentiate, g, FTC_ENTRY_GRAD);
        ftc_graph *before = ftc_graph_clone(g);
        run_pass(ftc_pass_simplify, g, FTC_ENTRY_GRAD);
        expect_same_values(before, g, seed, 1e-9, "simplify");
        int applied[128] = {0};
        ftc_simplify(g, ftc_simplify_rules, ftc_n_simplify_rules, true, applied);
        for (int r = 0; r < ftc_n_simplify_rules; r++)
            cr_expect_eq(applied[r], 0, "%s again", ftc_simplify_rules[r].name);
        run_pass(ftc_pass_cse, g, FTC_ENTRY_GRAD);
        expect_same_values(before, g, seed, 1e-9, "cse");
        uint32_t n = g->n_nodes;
        run_pass(ftc_pass_cse, g, FTC_ENTRY_GRAD);
        run_pass(ftc_pass_dce, g, FTC_ENTRY_GRAD);
        expect_same_values(before, g, seed, 1e-9, "dce");
        cr_expect(g->n_nodes <= n);
        ftc_graph_free(before);
        ftc_graph_free(g);
    }
}

// Values of which one position alone is read: the demand and its gradient.
Test(passes, keep_the_values_of_random_graphs_at_a_position) {
    int narrowed = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        ftc_graph *g = test_random_graph(seed, &(test_graph_options){.n_nodes = 30, .quadratic = true});
        ftc_axis s = ftc_graph_find_axis(g, "S"), t = ftc_graph_find_axis(g, "T");
        ftc_id loss = ftc_build_const(g, 0);
        g->n_outputs = 0;
        int n = 0;
        for (ftc_id id = g->n_nodes - 1; id > 0 && n < 3; id--) {
            const ftc_type *type = &g->nodes[id].type;
            if (type->dtype != FTC_F32 || !ftc_axes_has(&type->axes, s) || ftc_axes_has(&type->axes, t))
                continue;
            ftc_id x = ftc_build_at(g, id, s, 0);
            ftc_axes rest = g->nodes[x].type.axes;
            loss = ftc_build_map2(g, FTC_OP_add, loss, ftc_build_sum(g, x, &rest));
            n++;
        }
        ftc_graph_add_output(g, "loss", loss, 0xf)->role = FTC_OUTPUT_LOSS;
        run_pass(ftc_pass_differentiate, g, FTC_ENTRY_GRAD);
        ftc_graph *before = ftc_graph_clone(g);
        int applied[128] = {0};
        ftc_simplify(g, ftc_simplify_rules, ftc_n_simplify_rules, true, applied);
        verify(g);
        expect_same_values(before, g, seed, 1e-9, "demand");
        narrowed += applied[find_rule("demand") - ftc_simplify_rules] > 0;
        narrowed += applied[find_rule("support") - ftc_simplify_rules] > 0;
        ftc_graph_free(before);
        ftc_graph_free(g);
    }
    cr_expect(narrowed > 200, "only %d", narrowed);
}

// --- operands that an operation does not have ---------------------------------------------------------

// No pass and no rule may look at an operand before it knows that the operation has it: where there is none
// stands a number that is no node, nor the index of any memory.
static void mark_missing_operands(ftc_graph *g) {
    for (ftc_id id = 1; id < g->n_nodes; id++)
        for (int i = g->nodes[id].n_args; i < FTC_MAX_ARGS; i++) g->nodes[id].arg[i] = UINT32_MAX;
}

// Random graphs have no nodes that functions alone make, and nothing is assigned.
static void append_other_operations(ftc_graph *g) {
    ftc_id x = g->decls[ftc_graph_find_decl(g, "w.H")].leaf;
    ftc_decl_def rate = {.kind = FTC_DECL_ARG, .name = "rate", .of = FTC_NO_DECL, .bound = FTC_NO_AXIS};
    ftc_node nodes[] = {
        {.op = FTC_OP_arg, .decl = ftc_graph_add_decl(g, rate)},
        {.op = FTC_OP_upstream, .n_args = 1, .arg = {x}},
        {.op = FTC_OP_own_gradient, .n_args = 3, .arg = {x, x, x}},
        {.op = FTC_OP_extern, .n_args = 2, .arg = {x, x}, .symbol = ftc_graph_add_symbol(g, "f")},
        {.op = FTC_OP_updated, .n_args = 1, .arg = {x}},
        {.op = FTC_OP_assign, .n_args = 1, .arg = {x}, .decl = g->nodes[x].decl}};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) ftc_build(g, nodes[i]);
}

// Every rule on nodes is tried on every node, whatever its operation.
static void try_rules(ftc_graph *g, int *met) {
    for (uint32_t n = g->n_nodes; n > 1; g->n_nodes = --n) {
        ftc_id id = n - 1;
        met[g->nodes[id].op]++;
        for (int r = 0; r < ftc_n_simplify_rules; r++) {
            const ftc_rule *rule = &ftc_simplify_rules[r];
            ftc_node before = g->nodes[id];
            ftc_id after = rule->apply ? rule->apply(g, id) : 0;
            if (after)
                cr_expect(g->nodes[after].type.dtype == before.type.dtype &&
                              ftc_axes_same_set(&g->nodes[after].type.axes, &before.type.axes),
                          "%s: another type", rule->name);
            g->n_nodes = n;
        }
    }
}

Test(passes, look_at_no_operand_that_an_operation_lacks) {
    int met[FTC_OP_COUNT] = {0};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ftc_graph *g = test_random_graph(
            seed, &(test_graph_options){.n_nodes = 60, .quadratic = true, .step_abi = true});
        run_pass(ftc_pass_differentiate, g, FTC_ENTRY_GRAD);
        append_other_operations(g);
        mark_missing_operands(g);
        for (int r = 0; r < ftc_n_simplify_rules; r++) {
            ftc_graph *copy = ftc_graph_clone(g);
            if (ftc_simplify_rules[r].sweep) ftc_simplify_rules[r].sweep(copy);
            ftc_graph_free(copy);
        }
        ftc_graph *copy = ftc_graph_clone(g);
        ftc_simplify(copy, ftc_simplify_rules, ftc_n_simplify_rules, true, NULL);
        ftc_graph_free(copy);
        try_rules(g, met);
        ftc_graph_free(g);
    }
    for (int op = 1; op < FTC_OP_COUNT; op++)
        cr_expect(met[op] > 0, "no graph has %s", ftc_op_get((ftc_op)op)->name);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ftc_graph *g = test_random_graph(seed, &(test_graph_options){.n_nodes = 12, .step_abi = true});
        for (int p = 0; p < ftc_n_passes; p++) {
            mark_missing_operands(g);
            run_pass(ftc_passes[p].run, g, FTC_ENTRY_STEP);
        }
        ftc_graph_free(g);
    }
}

// --- products of three --------------------------------------------------------------------------------

static ftc_graph *attention_of(const char *query_axes, const char *loss) {
    ftc_diagnostics d = {0};
    char *text;
    if (asprintf(
            &text,
            "model m\naxis B <= 4, H = 6, A = 2, D = 3\naxis S ragged B <= 8\naxis T = S\n"
            "input x : f32[B, S, H]\ninput q : f32[%s]\n"
            "k = rename(dot(x, param \"k.weight\" f32[A, D, H]; H) + param \"k.bias\" f32[A, D]; S -> T)\n"
            "v = rename(dot(x, param \"v.weight\" f32[A, D, H]; H) + param \"v.bias\" f32[A, D]; S -> T)\n"
            "loss = %s\noutput loss\n",
            query_axes, loss) < 0)
        abort();
    ftc_graph *source = ftc_parse_text("m.ir", text, NULL, &d);
    cr_assert(source, "%s", d.count ? d.list[0].text : "");
    ftc_graph *g = ftc_compile_entry_graph(source, FTC_ENTRY_GRAD); // where dropout is
    ftc_graph_free(source);
    free(text);
    return g;
}

// Contractions that make keys or values.
static int count_projections(const ftc_graph *g) {
    int n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++)
        n += g->nodes[id].op == FTC_OP_dot && g->nodes[id].type.axes.n == 4 &&
             ftc_axes_has(&g->nodes[id].type.axes, ftc_graph_find_axis(g, "D"));
    return n;
}

Test(associate, makes_neither_keys_nor_values_for_one_query) {
    ftc_graph *g = attention_of("B, A, D", "sum(exp(dot(softmax(dot(q, k; D); T), v; T)); B, A, D)");
    apply_rule(g, "associate");
    cr_expect_eq(count_projections(g), 0);
    ftc_graph_free(g);
    // With its gradients, from text to graph: the backward phase inherits it.
    g = attention_of("B, A, D", "sum(exp(dot(softmax(dot(q, k; D); T), v; T)); B, A, D)");
    ftc_graph *plain = ftc_graph_clone(g);
    run_pass(ftc_pass_simplify, g, FTC_ENTRY_GRAD);
    run_pass(ftc_pass_differentiate, g, FTC_ENTRY_GRAD);
    run_pass(ftc_pass_simplify, g, FTC_ENTRY_GRAD);
    run_pass(ftc_pass_differentiate, plain, FTC_ENTRY_GRAD);
    cr_expect_eq(count_projections(g), 0);
    for (uint64_t seed = 1; seed <= 3; seed++) expect_same_values(plain, g, seed, 1e-11, "associate");
    ftc_graph_free(plain);
    ftc_graph_free(g);
}

Test(associate, takes_a_difference_apart_as_it_does_a_sum) {
    static const char *const PROJECTIONS[] = {"dot(x, w; H) - b", "b - dot(x, w; H)", "b + dot(x, w; H)"};
    for (int i = 0; i < 3; i++) {
        ftc_diagnostics d = {0};
        char text[512];
        snprintf(text, sizeof text,
                 "model m\naxis B <= 4, H = 6, A = 2, D = 3\naxis S ragged B <= 8\naxis T = S\n"
                 "input x : f32[B, S, H]\ninput q : f32[B, A, D]\n"
                 "w = param \"w\" f32[A, D, H]\nb = param \"b\" f32[A, D]\n"
                 "k = rename(%s; S -> T)\nloss = sum(exp(dot(q, k; D)); B, A, T)\noutput loss\n",
                 PROJECTIONS[i]);
        ftc_graph *g = ftc_parse_text("m.ir", text, NULL, &d);
        cr_assert(g, "%s", d.count ? d.list[0].text : "");
        apply_rule(g, "associate");
        cr_expect_eq(count_projections(g), 0, "%s", PROJECTIONS[i]);
        ftc_graph_free(g);
    }
}

Test(associate, leaves_what_would_cost_more_or_is_read_by_others) {
    static const char *const CASES[][2] = {
        {"B, S, A, D", "sum(exp(dot(softmax(dot(q, k; D); T), v; T)); B, S, A, D)"}, // a query for each token
        {"B, A, D", "sum(exp(dot(q, k; D)); B, A, T) + sum(exp(k); B, T, A, D) + sum(v; B, T, A, D)"},
    };
    for (int i = 0; i < 2; i++) {
        ftc_graph *g = attention_of(CASES[i][0], CASES[i][1]);
        int applied = 0;
        ftc_simplify(g, find_rule("associate"), 1, true, &applied);
        cr_expect_eq(applied, 0, "case %d", i);
        ftc_graph_free(g);
    }
}

// The other order would hold nine axes at once.
Test(associate, leaves_what_would_be_too_wide) {
    static const char MODEL[] =
        "model m\naxis P = 2, Q = 2, R = 2, S = 2, T = 2, U = 2, V = 2, K = 2, H = 2\n"
        "x = outer (param \"p\" f32[P, Q, K] * param \"q\" f32[R, S, H])\n"
        "v = dot(x, param \"w\" f32[H]; H)\n"
        "y = dot(param \"a\" f32[T, U, V, K], v; K)\n"
        "loss = sum(exp(y); P, Q, R, S, T, U, V)\noutput loss\n";
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("m.ir", MODEL, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    int applied = 0;
    ftc_simplify(g, find_rule("associate"), 1, true, &applied);
    cr_expect_eq(applied, 0);
    ftc_graph_free(g);
}

// --- factors of contractions --------------------------------------------------------------------------

#define ATTENTION "dot(dropout(softmax(dot(q, k; D) * 0.5; T), 0.25), v; T)"

// Nodes of the operation that read a value for each query and key.
static int count_on_scores(const ftc_graph *g, ftc_op op) {
    ftc_axis s = ftc_graph_find_axis(g, "S"), t = ftc_graph_find_axis(g, "T");
    int n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        if (g->nodes[id].op != op) continue;
        const ftc_axes *axes = &g->nodes[g->nodes[id].arg[0]].type.axes;
        n += ftc_axes_has(axes, s) && ftc_axes_has(axes, t);
    }
    return n;
}

Test(factors, scale_queries_and_divide_contexts) {
    ftc_graph *g = attention_of("B, S, A, D", "sum(exp(" ATTENTION "); B, S, A, D)");
    cr_expect_eq(count_on_scores(g, FTC_OP_mul), 2); // by 0.5, by 1 / (1 - 0.25)
    cr_expect_eq(count_on_scores(g, FTC_OP_div), 1); // by the sum
    apply_rule(g, "factors");
    cr_expect_eq(count_on_scores(g, FTC_OP_mul) + count_on_scores(g, FTC_OP_div), 0);
    ftc_graph_free(g);
}

// The gradient that follows sums the context, not the probabilities.
Test(factors, leave_one_sum_over_keys_forward_and_backward) {
    ftc_graph *g = attention_of("B, S, A, D", "sum(exp(" ATTENTION "); B, S, A, D)");
    ftc_graph *plain = ftc_graph_clone(g);
    for (int i = 0; i < 2; i++) {
        ftc_graph *each = i ? plain : g;
        if (!i) run_pass(ftc_pass_simplify, g, FTC_ENTRY_GRAD);
        run_pass(ftc_pass_differentiate, each, FTC_ENTRY_GRAD);
        run_pass(ftc_pass_simplify, each, FTC_ENTRY_GRAD);
        run_pass(ftc_pass_cse, each, FTC_ENTRY_GRAD);
        run_pass(ftc_pass_dce, each, FTC_ENTRY_GRAD);
    }
    cr_expect_eq(count_on_scores(g, FTC_OP_sum), 1);
    cr_expect_eq(count_on_scores(plain, FTC_OP_sum), 2);
    for (uint64_t seed = 1; seed <= 3; seed++) expect_same_values(plain, g, seed, 1e-11, "factors");
    ftc_graph_free(plain);
    ftc_graph_free(g);
}

Test(factors, stay_where_others_read_them_or_more_cells_would_follow) {
    static const char *const LOSSES[] = {
        "sum(exp(dot(k * 0.5, v; T)); B, A, D) + sum(exp(k * 0.5); B, T, A, D)", // another reads it
        "sum(exp(dot(q * 2, k; D)); B, S, A, T)",                                // fewer queries than scores
        // it has the axis of the sum
        "sum(exp(dot(exp(q) * sum(q; A, D), x; S)); B, A, D, H) + sum(k; B, T, A, D)",
        "sum(exp(2 * dot(x, x; S)); B, H) + sum(k; B, T, A, D)", // no scores
    };
    for (int i = 0; i < 4; i++) {
        ftc_graph *g = attention_of("B, S, A, D", LOSSES[i]);
        run_pass(ftc_pass_cse, g, FTC_ENTRY_GRAD);
        int applied = 0;
        ftc_simplify(g, find_rule("factors"), 1, true, &applied);
        cr_expect_eq(applied, 0, "%s", LOSSES[i]);
        ftc_graph_free(g);
    }
}

// --- sharing and dropping -----------------------------------------------------------------------------

Test(cse, shares_equal_values_but_no_random_sites) {
    fixture f = begin();
    ftc_node random = {.op = FTC_OP_random, .axes = test_list(1, f.t.B), .index = 0, .decl = FTC_NO_DECL};
    ftc_id r0 = ftc_build(f.g, random), again = ftc_build(f.g, random);
    random.index = 1;
    ftc_id r1 = ftc_build(f.g, random);
    ftc_id a = map2(&f, FTC_OP_add, r0, r1), b = map2(&f, FTC_OP_add, r1, again);
    ftc_graph_add_output(f.g, "result", map2(&f, FTC_OP_mul, a, b), 0xf);
    ftc_graph *before = ftc_graph_clone(f.g);
    run_pass(ftc_pass_cse, f.g, FTC_ENTRY_STEP);
    cr_expect_eq(count_op(f.g, FTC_OP_random), 2);
    cr_expect_eq(count_op(f.g, FTC_OP_add), 1);
    expect_same_values(before, f.g, 1, 0, "cse");
    ftc_graph_free(before);
    ftc_graph_free(f.g);
}

Test(cse, sees_through_renames) {
    fixture f = begin();
    ftc_axes h = test_list(1, f.t.H);
    ftc_id mean = ftc_build_sum(f.g, ftc_build_map1(f.g, FTC_OP_exp, f.x), &h);
    ftc_id keys = ftc_build_rename(f.g, f.x, f.t.S, f.t.T);
    ftc_id key_mean = ftc_build_sum(f.g, ftc_build_map1(f.g, FTC_OP_exp, keys), &h);
    ftc_graph_add_output(f.g, "mean", mean, 0xf);
    ftc_graph_add_output(f.g, "keys", key_mean, 0xf);
    ftc_graph *before = ftc_graph_clone(f.g);
    run_pass(ftc_pass_cse, f.g, FTC_ENTRY_STEP);
    run_pass(ftc_pass_dce, f.g, FTC_ENTRY_STEP);
    cr_expect_eq(count_op(f.g, FTC_OP_exp), 1);
    cr_expect_eq(count_op(f.g, FTC_OP_sum), 1);
    cr_expect_eq(count_op(f.g, FTC_OP_rename), 1);
    expect_same_values(before, f.g, 1, 0, "cse");
    ftc_graph_free(before);
    ftc_graph_free(f.g);
}

Test(dce, keeps_what_the_entry_writes_and_every_leaf) {
    fixture f = begin();
    ftc_node assign = {.op = FTC_OP_assign, .n_args = 1, .decl = f.g->nodes[f.w].decl};
    assign.arg[0] = ftc_build_map1(f.g, FTC_OP_neg, f.w);
    ftc_build(f.g, assign);
    ftc_graph_add_output(f.g, "exp", ftc_build_map1(f.g, FTC_OP_exp, f.x), 1 << FTC_ENTRY_EVAL);
    ftc_graph_add_output(f.g, "tanh", ftc_build_map1(f.g, FTC_OP_tanh, f.x), 1 << FTC_ENTRY_STEP);
    run_pass(ftc_pass_dce, f.g, FTC_ENTRY_STEP);
    cr_expect_eq(count_op(f.g, FTC_OP_exp), 0);
    cr_expect_eq(count_op(f.g, FTC_OP_tanh), 1);
    cr_expect_eq(count_op(f.g, FTC_OP_neg), 1);
    cr_expect_eq(count_op(f.g, FTC_OP_assign), 1);
    cr_expect_eq(count_op(f.g, FTC_OP_input), 3);
    cr_expect_eq(f.g->n_outputs, 1);
    ftc_graph_free(f.g);
}

// --- the model ----------------------------------------------------------------------------------------

// The head reads the first token: of the last layer, feed-forward and queries are computed for that one
// alone, forward and backward; keys and values for all.
Test(model, computes_one_token_of_the_last_layer) {
    const char *const values[][2] = {{"layers", "1"}, {"hidden", "24"},    {"intermediate", "40"},
                                     {"vocab", "50"}, {"max_length", "6"}, {"batch", "3"}};
    enum { N = sizeof values / sizeof *values };
    ftc_override overrides[N];
    for (int i = 0; i < N; i++)
        overrides[i] = (ftc_override){.name = values[i][0], .value = values[i][1], .origin = "test"};
    ftc_settings settings = {overrides, N};
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_file(FTC_SOURCE_ROOT "/models/bert-cls.ir", &settings, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "no diagnostic");
    run_pass(ftc_pass_differentiate, g, FTC_ENTRY_STEP);
    ftc_graph *before = ftc_graph_clone(g);
    run_pass(ftc_pass_simplify, g, FTC_ENTRY_STEP);
    run_pass(ftc_pass_cse, g, FTC_ENTRY_STEP);
    run_pass(ftc_pass_dce, g, FTC_ENTRY_STEP);
    ftc_axis s = ftc_graph_find_axis(g, "S"), t = ftc_graph_find_axis(g, "T"),
             i = ftc_graph_find_axis(g, "I");
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        bool tokens = ftc_axes_has(&node->type.axes, s), keys = ftc_axes_has(&node->type.axes, t);
        cr_expect(!(tokens && ftc_axes_has(&node->type.axes, i)), "%%%u: feed-forward of all tokens", id);
        cr_expect(!(tokens && keys) || node->op == FTC_OP_random, "%%%u: scores of all tokens", id);
    }
    expect_same_values(g, before, 1, 1e-9, "model");
    ftc_graph_free(before);
    ftc_graph_free(g);
    ftc_diag_free(&d);
}
