// Rewrite rules as text: "mul(neg(x), c)" → "mul(x, neg(c))".
//
//   op(t, …)   a node of that operation; operands of commutative operations match in either order
//   op         a node of an operation without operands, such as random
//   x y z      any node; the same letter twice: the same node
//   c d        a constant
//   1 -0.5     a constant of that value
#ifndef FTC_PATTERN_H
#define FTC_PATTERN_H

#include "ir/graph.h"

#define FTC_PATTERN_TERMS 12

typedef enum { FTC_TERM_OP, FTC_TERM_ANY, FTC_TERM_CONSTANT, FTC_TERM_NUMBER } ftc_term_kind;

typedef struct {
    ftc_term_kind kind;
    ftc_op op;
    char letter;
    double number;
    int n_args;
    int arg[FTC_MAX_ARGS]; // indices of terms
} ftc_term;

// term[0] is the root.
typedef struct {
    int n;
    ftc_term term[FTC_PATTERN_TERMS];
} ftc_pattern;

// Which node each letter stands for.
typedef struct {
    ftc_id node['z' + 1];
} ftc_pattern_match;

// Parses a pattern. Aborts when the text is none: patterns are part of the compiler.
ftc_pattern ftc_pattern_parse(const char *text);

bool ftc_pattern_matches(const ftc_pattern *p, const ftc_graph *g, ftc_id id, ftc_pattern_match *match);

// Builds the expression; numbers become constants of `dtype`, maps of constants too.
ftc_id ftc_pattern_build(const ftc_pattern *p, ftc_graph *g, const ftc_pattern_match *match, ftc_dtype dtype);

// The rule of simplify that a map of constants is a constant: builds it, or returns 0 for any other node.
ftc_id ftc_rule_fold(ftc_graph *g, ftc_id id);

#endif
