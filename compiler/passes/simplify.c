// simplify: rewrites to a fixed point by the rules of one table.
//
// Rules on a node run from operands to users, as the graph is rebuilt; when a round of them changes nothing
// more, rules on the whole graph (demand, support) get their turn, and it starts again until nothing changes
// at all.
#include "compiler/passes/simplify.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/pattern.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

#define EXACT(from, to)   {.name = from, .pattern = from, .replacement = to, .exact = true}
#define INEXACT(from, to) {.name = from, .pattern = from, .replacement = to}
// Forgets an operand, whose gradient is then zero, which is not the same as having none.
#define EXACT_FORGETS(from, to)                                                                              \
    {.name = from, .pattern = from, .replacement = to, .exact = true, .after_gradient = true}
#define INEXACT_FORGETS(from, to) {.name = from, .pattern = from, .replacement = to, .after_gradient = true}

const ftc_rule ftc_simplify_rules[] = {
    // constants and axes: these come first, so that patterns meet folded constants and narrow operands
    {.name = "fold", .apply = ftc_rule_fold, .exact = true},
    {.name = "lift_broadcast", .apply = ftc_rule_lift_broadcast, .exact = true},
    {.name = "one_hot", .apply = ftc_rule_one_hot},
    {.name = "sum_constant", .apply = ftc_rule_sum_constant},
    {.name = "sum_broadcast", .apply = ftc_rule_sum_broadcast},
    {.name = "sum_factor", .apply = ftc_rule_sum_factor},
    {.name = "div_repeated",
     .pattern = "div(x, y)",
     .replacement = "mul(x, div(1, y))",
     .when = ftc_repeats_divisor,
     .after_gradient = true},
    {.name = "dot_broadcast", .apply = ftc_rule_dot_broadcast},
    {.name = "rename_chain", .apply = ftc_rule_rename_chain, .exact = true},
    {.name = "rename_source", .apply = ftc_rule_rename_source, .exact = true},
    {.name = "rename_broadcast", .apply = ftc_rule_rename_broadcast, .exact = true},
    {.name = "lift_rename", .apply = ftc_rule_lift_rename, .exact = true},
    {.name = "at_known", .apply = ftc_rule_at_known, .exact = true, .after_gradient = true},
    {.name = "at_pairs", .apply = ftc_rule_at_pairs, .exact = true},
    {.name = "at_shift", .apply = ftc_rule_at_shift, .exact = true, .after_gradient = true},
    {.name = "shift", .apply = ftc_rule_shift, .exact = true, .after_gradient = true},
    {.name = "place_zero", .apply = ftc_rule_place_zero, .exact = true},
    {.name = "cast_same", .pattern = "cast(x)", .replacement = "x", .when = ftc_keeps_dtype, .exact = true},
    EXACT_FORGETS("detach(x)", "x"),
    // neutral elements
    EXACT("add(x, 0)", "x"),
    EXACT("sub(x, 0)", "x"),
    EXACT("sub(0, x)", "neg(x)"),
    EXACT("mul(x, 1)", "x"),
    EXACT("mul(x, -1)", "neg(x)"),
    EXACT("div(x, 1)", "x"),
    EXACT("div(x, -1)", "neg(x)"),
    INEXACT_FORGETS("mul(x, 0)", "0"),
    INEXACT_FORGETS("div(0, x)", "0"),
    INEXACT_FORGETS("sub(x, x)", "0"),
    // signs move outwards and vanish
    EXACT("neg(neg(x))", "x"),
    EXACT("add(x, neg(y))", "sub(x, y)"),
    EXACT("sub(x, neg(y))", "add(x, y)"),
    EXACT("neg(sub(x, y))", "sub(y, x)"),
    EXACT("neg(mul(x, c))", "mul(x, neg(c))"),
    EXACT("mul(neg(x), c)", "mul(x, neg(c))"),
    EXACT("mul(neg(x), y)", "neg(mul(x, y))"),
    EXACT("div(neg(x), y)", "neg(div(x, y))"),
    EXACT("div(x, neg(y))", "neg(div(x, y))"),
    EXACT("abs(neg(x))", "abs(x)"),
    EXACT("abs(abs(x))", "abs(x)"),
    // constant factors meet
    EXACT("div(1, sqrt(x))", "rsqrt(x)"),
    INEXACT("div(x, c)", "mul(x, div(1, c))"),
    INEXACT("mul(mul(x, c), d)", "mul(x, mul(c, d))"),
    INEXACT("add(add(x, c), d)", "add(x, add(c, d))"),
    INEXACT("add(mul(x, c), mul(x, d))", "mul(x, add(c, d))"),
    // conditions
    EXACT_FORGETS("select(1, x, y)", "x"),
    EXACT_FORGETS("select(0, x, y)", "y"),
    EXACT("select(x, y, y)", "y"),
    EXACT("select(not(x), y, z)", "select(x, z, y)"),
    EXACT("not(not(x))", "x"),
    EXACT("and(x, 1)", "x"),
    EXACT("and(x, 0)", "0"),
    EXACT("and(x, x)", "x"),
    EXACT("or(x, 0)", "x"),
    EXACT("or(x, 1)", "1"),
    EXACT("or(x, x)", "x"),
    EXACT("minimum(x, x)", "x"),
    EXACT("maximum(x, x)", "x"),
    // random numbers lie in [0, 1): dropout with probability 0 keeps everything
    EXACT("le(0, random)", "1"),
    EXACT("lt(random, 0)", "0"),
    EXACT("lt(random, 1)", "1"),
    EXACT("le(1, random)", "0"),
    // one position of an axis
    {.name = "demand", .sweep = ftc_sweep_demand, .exact = true},
    {.name = "support", .sweep = ftc_sweep_support, .needs = "demand"},
    // once for each distance
    {.name = "distances", .sweep = ftc_sweep_distances, .exact = true},
    // products of three
    {.name = "associate", .sweep = ftc_sweep_associate},
    {.name = "factors", .sweep = ftc_sweep_factors},
};
const int ftc_n_simplify_rules = sizeof ftc_simplify_rules / sizeof *ftc_simplify_rules;

enum { MAX_ROUNDS = 1000 }; // many more than any graph needs: rules that undo each other are a bug

typedef struct {
    const ftc_rule *rule;
    int n_rules;
    ftc_pattern *pattern, *replacement; // of rules with text
    int *rules_of[FTC_OP_COUNT]; // by operation: the rules on nodes that may apply to it, in order, then -1
    int *applied;
} rewriter;

// The replacement with the axes of the node that it replaces; 0 when it cannot be widened.
static ftc_id widened(ftc_graph *g, ftc_id id, ftc_id replacement) {
    ftc_type type = ftc_graph_node(g, id)->type;
    const ftc_node *r = ftc_graph_node(g, replacement);
    if (ftc_axes_same_set(&r->type.axes, &type.axes)) return replacement;
    if (ftc_is_constant(r)) return ftc_build_fill(g, r->value, type.dtype, &type.axes);
    return type.dtype == FTC_BOOL ? 0 : ftc_build_broadcast(g, replacement, &type.axes);
}

// Applies rule r to the last node; 0 when it does not apply.
static ftc_id apply_rule(const rewriter *w, int r, ftc_graph *g, ftc_id id, bool is_broadcast) {
    if (w->rule[r].apply) return w->rule[r].apply(g, id);
    ftc_pattern_match match;
    // a broadcast is what widened() makes: rewriting it would not end
    if (is_broadcast || !ftc_pattern_matches(&w->pattern[r], g, id, &match)) return 0;
    if (w->rule[r].when && !w->rule[r].when(g, ftc_graph_node(g, id))) return 0;
    ftc_dtype dtype = ftc_graph_node(g, id)->type.dtype;
    return widened(g, id, ftc_pattern_build(&w->replacement[r], g, &match, dtype));
}

static _Noreturn void fail(const char *where) {
    ftc_fault("simplify does not end: %s", where);
}

static ftc_id rewritten(const rewriter *w, ftc_graph *g, ftc_id id, bool *changed) {
    for (int round = 0; round < MAX_ROUNDS; round++) {
        ftc_id next = 0, repeated;
        bool is_broadcast = ftc_is_broadcast(g, ftc_graph_node(g, id), &repeated);
        for (const int *r = w->rules_of[ftc_graph_node(g, id)->op]; *r >= 0 && !next; r++) {
            next = apply_rule(w, *r, g, id, is_broadcast);
            if (next && w->applied) w->applied[*r]++;
        }
        if (!next) return id;
        *changed = true;
        id = next;
    }
    fail(ftc_op_get(ftc_graph_node(g, id)->op)->name);
}

// One round of rules on nodes over the graph.
static bool sweep_nodes(const rewriter *w, ftc_graph *g) {
    bool changed = false, *needed = ftc_alloc(g->n_nodes, sizeof *needed);
    ftc_graph_find_needed(g, needed);
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        if (!needed[id]) continue;
        ftc_node node = *ftc_graph_node(g, id);
        ftc_build_cursor(out, node.loc, node.phase);
        for (int i = 0; i < node.n_args; i++) node.arg[i] = map[node.arg[i]];
        bool is_map = ftc_node_class(&node) == FTC_CLASS_MAP;
        map[id] = is_map ? ftc_build_map(out, node.op, node.type.dtype, node.n_args, node.arg)
                         : ftc_build(out, node);
        map[id] = rewritten(w, out, map[id], &changed);
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
    free(needed);
    return changed;
}

bool ftc_sweep(ftc_graph *g, ftc_sweep_fn *rewrite) {
    uint32_t *uses = ftc_alloc(g->n_nodes, sizeof *uses);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    ftc_graph_count_uses(g, uses);
    ftc_graph *out = ftc_graph_new_like(g);
    bool changed = false;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        ftc_build_cursor(out, node->loc, node->phase);
        map[id] = rewrite(out, g, uses, map, id);
        changed |= map[id] != 0;
        if (!map[id]) map[id] = ftc_graph_copy_node(out, g, id, map);
    }
    if (changed)
        ftc_graph_replace_nodes(g, out, map);
    else
        ftc_graph_free(out);
    free(uses);
    free(map);
    return changed;
}

static bool sweep_graph(const rewriter *w, ftc_graph *g) {
    bool changed = false;
    for (int r = 0; r < w->n_rules; r++) {
        if (!w->rule[r].sweep || !w->rule[r].sweep(g)) continue;
        if (w->applied) w->applied[r]++;
        changed = true;
    }
    return changed;
}

// Lists for each operation the rules that may apply to a node of it.
static void list_rules(rewriter *w, bool differentiated) {
    for (int op = 0; op < FTC_OP_COUNT; op++) {
        int n = 0, *list = w->rules_of[op] = ftc_alloc((size_t)w->n_rules + 1, sizeof *list);
        for (int r = 0; r < w->n_rules; r++) {
            const ftc_rule *rule = &w->rule[r];
            bool fits = rule->apply || (rule->pattern && (int)w->pattern[r].term[0].op == op);
            if (fits && (differentiated || !rule->after_gradient)) list[n++] = r;
        }
        list[n] = -1;
    }
}

void ftc_simplify(ftc_graph *g, const ftc_rule *rules, int n_rules, bool differentiated, int *applied) {
    rewriter w = {.rule = rules, .n_rules = n_rules, .applied = applied};
    w.pattern = ftc_alloc((size_t)n_rules + 1, sizeof *w.pattern);
    w.replacement = ftc_alloc((size_t)n_rules + 1, sizeof *w.replacement);
    for (int r = 0; r < n_rules; r++) {
        if (!rules[r].pattern) continue;
        w.pattern[r] = ftc_pattern_parse(rules[r].pattern);
        w.replacement[r] = ftc_pattern_parse(rules[r].replacement);
    }
    list_rules(&w, differentiated);
    do {
        while (sweep_nodes(&w, g)) {
        }
    } while (sweep_graph(&w, g));
    for (int op = 0; op < FTC_OP_COUNT; op++) free(w.rules_of[op]);
    free(w.pattern);
    free(w.replacement);
}

// Whether nothing remains to be differentiated in the entry's graph.
static bool is_differentiated(const ftc_graph *g, ftc_entry_kind entry) {
    if (entry == FTC_ENTRY_EVAL || entry == FTC_ENTRY_UPDATE) return true;
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_graph_node(g, id)->phase == FTC_PHASE_BACKWARD) return true;
    return false;
}

static bool is_left_out(const ftc_pass_options *options, const ftc_rule *rule) {
    for (int i = 0; i < options->n_rules_left_out; i++) {
        const char *name = options->rules_left_out[i];
        if (!strcmp(name, rule->name) || (rule->needs && !strcmp(name, rule->needs))) return true;
    }
    return false;
}

bool ftc_pass_simplify(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)d;
    ftc_rule rules[sizeof ftc_simplify_rules / sizeof *ftc_simplify_rules];
    int n = 0;
    for (int r = 0; r < ftc_n_simplify_rules; r++)
        if (!is_left_out(options, &ftc_simplify_rules[r])) rules[n++] = ftc_simplify_rules[r];
    ftc_simplify(g, rules, n, is_differentiated(g, options->entry), NULL);
    return true;
}
