// The rewrite rules of simplify, as a table, and what runs them.
#ifndef FTC_SIMPLIFY_H
#define FTC_SIMPLIFY_H

#include "ir/graph.h"

// A rule is one of
//   pattern, replacement  text (compiler/passes/pattern.h); a replacement has maps only. `when`, unless NULL,
//                         says whether the rule applies to a node that the pattern matches
//   apply                 looks at the node `id`, the last one of `g`; returns the node that takes its
//                         place, of the same dtype and the same axes, or 0. It may append nodes.
//   sweep                 rewrites a whole graph; returns whether it changed anything
typedef struct {
    const char *name;
    const char *pattern, *replacement;
    bool (*when)(const ftc_graph *g, const ftc_node *node);
    ftc_id (*apply)(ftc_graph *g, ftc_id id);
    bool (*sweep)(ftc_graph *g);
    bool exact; // gives equal numbers, but for the sign of zero; else they may differ in rounding, or where a
                // value is not finite
    bool after_gradient; // only once nothing remains to be differentiated
    const char *needs;   // a rule without which this one is not applied: no kernel does what it leaves
} ftc_rule;

extern const ftc_rule ftc_simplify_rules[];
extern const int ftc_n_simplify_rules;

// Applies `rules` until none applies any more. What no output and no assignment needs is dropped, but for the
// leaves of declarations. applied[i], unless NULL, is increased by the number of times that rule i was
// applied.
void ftc_simplify(ftc_graph *g, const ftc_rule *rules, int n_rules, bool differentiated, int *applied);

// --- rules that look at axes (compiler/passes/simplify_axes.c) -----------------------------------------

// Whether a sum or contraction may be over nothing, an empty sequence, in a place that has a value of
// `factor` of its own. The sum is 0 there; times a factor behind it, which may be infinite or NaN where there
// is nothing, it is not.
bool ftc_may_sum_nothing(const ftc_graph *g, const ftc_node *sum, ftc_id factor);

// Whether all operands of the node that have some axis `to` are renames of it from the same axis `from`,
// which no operand has: then the node is rename(inner; from -> to), or `inner` itself where the result lacks
// the axis.
bool ftc_unrenamed(const ftc_graph *g, const ftc_node *node, ftc_node *inner, ftc_axis *from, ftc_axis *to);

ftc_id ftc_rule_lift_broadcast(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_sum_constant(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_sum_broadcast(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_sum_factor(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_dot_broadcast(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_rename_chain(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_rename_source(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_rename_broadcast(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_lift_rename(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_at_known(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_at_pairs(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_at_shift(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_shift(ftc_graph *g, ftc_id id);
ftc_id ftc_rule_place_zero(ftc_graph *g, ftc_id id);

// compiler/passes/one_hot.c
ftc_id ftc_rule_one_hot(ftc_graph *g, ftc_id id);

// What rules with text ask besides (`when`).
bool ftc_repeats_divisor(const ftc_graph *g, const ftc_node *quotient);
bool ftc_keeps_dtype(const ftc_graph *g, const ftc_node *cast);

// Whether all cells of a source with position `index` on the axis hold one number; if so, gives it.
bool ftc_known_at(const ftc_node *source, ftc_axis axis, int64_t index, double *value);

// --- rules that look at the whole graph (compiler/passes/demand.c) -------------------------------------

bool ftc_sweep_demand(ftc_graph *g);
bool ftc_sweep_support(ftc_graph *g);

// Rebuilds the graph node by node. rewrite() gives what takes the place of node `id`, made in `to`, where
// map[…] is what has become of the nodes before, or 0: a copy does. uses: how often each node is read.
// Returns whether it changed anything.
typedef ftc_id ftc_sweep_fn(ftc_graph *to, const ftc_graph *g, const uint32_t *uses, const ftc_id *map,
                            ftc_id id);
bool ftc_sweep(ftc_graph *g, ftc_sweep_fn *rewrite);

// --- compiler/passes/associate.c, distances.c, factors.c -----------------------------------------------

bool ftc_sweep_distances(ftc_graph *g);
bool ftc_sweep_associate(ftc_graph *g);
bool ftc_sweep_factors(ftc_graph *g);

#endif
