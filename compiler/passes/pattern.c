#include "compiler/passes/pattern.h"
#include "ir/base/alloc.h"

#include <ctype.h>
#include <string.h>

#include "ir/build.h"
#include "ir/op.h"

ftc_id ftc_rule_fold(ftc_graph *g, ftc_id id) {
    ftc_node node = *ftc_graph_node(g, id);
    if (ftc_node_class(&node) != FTC_CLASS_MAP) return 0;
    double x[FTC_MAX_ARGS];
    for (int i = 0; i < node.n_args; i++) {
        const ftc_node *arg = ftc_graph_node(g, node.arg[i]);
        if (!ftc_is_constant(arg)) return 0;
        x[i] = arg->value;
    }
    ftc_map_types types = ftc_node_map_types(g, &node);
    return ftc_build_fill(g, ftc_op_get(node.op)->eval(&types, x), node.type.dtype, &node.type.axes);
}

// --- parsing ------------------------------------------------------------------------------------------

typedef struct {
    const char *text, *at;
    ftc_pattern pattern;
} parser;

static _Noreturn void fail(const parser *p) {
    ftc_fault("pattern '%s' is wrong at '%s'", p->text, p->at);
}

static void skip_blanks(parser *p) {
    p->at += strspn(p->at, " ");
}

static bool accept(parser *p, char c) {
    skip_blanks(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static int parse_term(parser *p) {
    if (p->pattern.n == FTC_PATTERN_TERMS) fail(p);
    int index = p->pattern.n++;
    ftc_term term = {0};
    skip_blanks(p);
    if (isdigit((unsigned char)*p->at) || *p->at == '-') {
        char *end;
        term.kind = FTC_TERM_NUMBER;
        term.number = strtod(p->at, &end);
        p->at = end;
    } else {
        char name[32];
        size_t n = strspn(p->at, "abcdefghijklmnopqrstuvwxyz_");
        if (n == 0 || n >= sizeof name) fail(p);
        memcpy(name, p->at, n);
        name[n] = 0;
        if (n == 1) {
            term.kind = name[0] < 'x' ? FTC_TERM_CONSTANT : FTC_TERM_ANY;
            term.letter = name[0];
        } else {
            term.kind = FTC_TERM_OP;
            term.op = ftc_op_find(name);
            if (term.op == FTC_OP_NONE) fail(p);
        }
        p->at += n;
        if (term.kind == FTC_TERM_OP && accept(p, '(')) {
            do {
                if (term.n_args == FTC_MAX_ARGS) fail(p);
                term.arg[term.n_args++] = parse_term(p);
            } while (accept(p, ','));
            if (!accept(p, ')')) fail(p);
        }
        if (term.kind == FTC_TERM_OP && term.n_args != ftc_op_get(term.op)->n_args) fail(p);
    }
    p->pattern.term[index] = term;
    return index;
}

ftc_pattern ftc_pattern_parse(const char *text) {
    parser p = {.text = text, .at = text};
    parse_term(&p);
    skip_blanks(&p);
    if (*p.at) fail(&p);
    return p.pattern;
}

// --- matching -----------------------------------------------------------------------------------------

static bool match_term(const ftc_pattern *p, int index, const ftc_graph *g, ftc_id id,
                       ftc_pattern_match *match);

// Matches operands in the given order, or the two swapped; leaves *match alone when they do not.
static bool match_args(const ftc_pattern *p, const ftc_term *term, const ftc_graph *g, const ftc_node *node,
                       bool swapped, ftc_pattern_match *match) {
    ftc_pattern_match trial = *match;
    for (int i = 0; i < term->n_args; i++)
        if (!match_term(p, term->arg[swapped ? 1 - i : i], g, node->arg[i], &trial)) return false;
    *match = trial;
    return true;
}

static bool match_term(const ftc_pattern *p, int index, const ftc_graph *g, ftc_id id,
                       ftc_pattern_match *match) {
    const ftc_term *term = &p->term[index];
    const ftc_node *node = ftc_graph_node(g, id);
    switch (term->kind) {
    case FTC_TERM_NUMBER: return ftc_is_constant(node) && node->value == term->number;
    case FTC_TERM_OP:
        if (node->op != term->op) return false;
        return match_args(p, term, g, node, false, match) ||
               (ftc_op_get(term->op)->commutative && match_args(p, term, g, node, true, match));
    default: {
        ftc_id *bound = &match->node[(int)term->letter];
        if (*bound) return *bound == id;
        if (term->kind == FTC_TERM_CONSTANT && !ftc_is_constant(node)) return false;
        *bound = id;
        return true;
    }
    }
}

bool ftc_pattern_matches(const ftc_pattern *p, const ftc_graph *g, ftc_id id, ftc_pattern_match *match) {
    *match = (ftc_pattern_match){0};
    return match_term(p, 0, g, id, match);
}

static ftc_id build_term(const ftc_pattern *p, int index, ftc_graph *g, const ftc_pattern_match *match,
                         ftc_dtype dtype) {
    const ftc_term *term = &p->term[index];
    if (term->kind == FTC_TERM_NUMBER) return ftc_build_fill(g, term->number, dtype, &(ftc_axes){0});
    if (term->kind != FTC_TERM_OP) return match->node[(int)term->letter];
    ftc_id args[FTC_MAX_ARGS];
    for (int i = 0; i < term->n_args; i++) args[i] = build_term(p, term->arg[i], g, match, dtype);
    ftc_id map = ftc_build_map(g, term->op, dtype, term->n_args, args), constant = ftc_rule_fold(g, map);
    return constant ? constant : map;
}

ftc_id ftc_pattern_build(const ftc_pattern *p, ftc_graph *g, const ftc_pattern_match *match,
                         ftc_dtype dtype) {
    return build_term(p, 0, g, match, dtype);
}
