// associate: a contraction of a contraction, a · (x · w), computed in the cheaper order: (a · x) · w. A rule
// of simplify that looks at the whole graph.
//
// Of the layer that the head reads one token of, demand leaves one query q for each sequence, whose scores
// are q · (x · K). As (q · K) · x they cost as much as a few tokens, and no key is computed; the same for
// values. With a query for each token the usual order is the cheaper one, and stays.
//
// x · w may carry a bias: a · (x · w + b) = (a · x) · w + a · b, and - likewise. Nobody else may read what is
// taken apart.
#include "compiler/passes/simplify.h"
#include "ir/build.h"
#include "ir/op.h"

// dot(a, v; outer) where v = rename(dot(x, w; inner) + bias; from -> to), to be
// dot(dot(a, x; outer), w; inner) + dot(a, bias; outer) with x, w and bias renamed. For + any linear map.
typedef struct {
    ftc_id a, x, w, bias; // bias 0: none
    ftc_op plus;
    int term; // which operand of it the product is
    ftc_axes outer, inner;
    ftc_axis from, to; // FTC_NO_AXIS: no rename
} chain;

static ftc_axes renamed_axes(const ftc_graph *g, const chain *c, ftc_id id) {
    ftc_axes axes = ftc_graph_node(g, id)->type.axes;
    for (int i = 0; i < axes.n; i++)
        if (axes.at[i] == c->from) axes.at[i] = c->to;
    return axes;
}

// Multiply-adds, at the upper bounds, of a contraction of operands with these axes.
static double cost(const ftc_graph *g, const ftc_axes *a, const ftc_axes *b) {
    ftc_type all = {.axes = ftc_axes_union(a, b)};
    return (double)ftc_type_max_elements(g, &all);
}

// Whether a contraction of operands with these axes is not too wide.
static bool is_possible(const ftc_axes *a, const ftc_axes *b) {
    return a->n + ftc_axes_minus(b, a).n <= FTC_MAX_AXES;
}

// Whether the sums may change places, and are less than half the work then.
static bool is_better(const ftc_graph *g, const chain *c) {
    ftc_axes a = ftc_graph_node(g, c->a)->type.axes, x = renamed_axes(g, c, c->x),
             w = renamed_axes(g, c, c->w);
    if (ftc_axes_intersect(&c->outer, &w).n || ftc_axes_intersect(&c->inner, &a).n) return false;
    if (!is_possible(&a, &x)) return false;
    ftc_axes all = ftc_axes_union(&a, &x), first = ftc_axes_minus(&all, &c->outer);
    ftc_axis lone;
    if (!ftc_axes_ragged_complete(g, &first, &lone) || !is_possible(&first, &w)) return false;
    all = ftc_axes_union(&x, &w);
    ftc_axes v = ftc_axes_minus(&all, &c->inner);
    double now = cost(g, &x, &w) + cost(g, &a, &v), then = cost(g, &a, &x) + cost(g, &first, &w);
    if (c->bias) { // a is summed over what the bias lacks, first
        ftc_axes bias = renamed_axes(g, c, c->bias), lacking = ftc_axes_minus(&c->outer, &bias);
        ftc_axes rest = ftc_axes_minus(&a, &lacking);
        then += cost(g, &a, &lacking) + cost(g, &rest, &bias);
    }
    return 2 * then < now;
}

// Whether the node is of this class and has one reader.
static bool is_own(const ftc_graph *g, const uint32_t *uses, ftc_id id, ftc_op_class class) {
    return ftc_node_class(ftc_graph_node(g, id)) == class && uses[id] == 1;
}

// Tries dot(c->a, v; c->outer) with v = product + c->bias.
static bool find_product(const ftc_graph *g, const uint32_t *uses, ftc_id product, chain *c) {
    const ftc_node *node = ftc_graph_node(g, product);
    if (!is_own(g, uses, product, FTC_CLASS_DOT) || ftc_axes_has(&node->axes, c->to)) return false;
    c->inner = node->axes;
    for (int first = 0; first < 2; first++) {
        c->x = node->arg[first];
        c->w = node->arg[1 - first];
        if (is_better(g, c)) return true;
    }
    return false;
}

// Finds a chain behind the contraction `id`.
static bool find_chain(const ftc_graph *g, const uint32_t *uses, ftc_id id, chain *c) {
    const ftc_node *node = ftc_graph_node(g, id);
    if (ftc_node_class(node) != FTC_CLASS_DOT) return false;
    for (int side = 0; side < 2; side++) {
        *c = (chain){.a = node->arg[1 - side], .outer = node->axes, .from = FTC_NO_AXIS, .to = FTC_NO_AXIS};
        ftc_id v = node->arg[side];
        if (is_own(g, uses, v, FTC_CLASS_RENAME)) {
            const ftc_node *rename = ftc_graph_node(g, v);
            c->from = rename->axis;
            c->to = rename->to;
            v = rename->arg[0];
        }
        if (find_product(g, uses, v, c)) return true;
        const ftc_node *sum = ftc_graph_node(g, v);
        bool adds = sum->n_args == 2 && ftc_op_get(sum->op)->linear_all == 3;
        if (!adds || !is_own(g, uses, v, FTC_CLASS_MAP)) continue;
        c->plus = sum->op;
        for (c->term = 0; c->term < 2; c->term++) {
            c->bias = sum->arg[1 - c->term];
            bool whole = ftc_graph_node(g, sum->arg[c->term])->type.axes.n == sum->type.axes.n;
            if (whole && find_product(g, uses, sum->arg[c->term], c)) return true;
        }
    }
    return false;
}

static ftc_id renamed(ftc_graph *g, const chain *c, ftc_id id) {
    return ftc_axes_has(&ftc_graph_node(g, id)->type.axes, c->from) ? ftc_build_rename(g, id, c->from, c->to)
                                                                    : id;
}

// dot(a, b; axes), where b may lack some of the axes.
static ftc_id contracted(ftc_graph *g, ftc_id a, ftc_id b, const ftc_axes *axes) {
    ftc_axes shared = ftc_axes_intersect(axes, &ftc_graph_node(g, b)->type.axes);
    ftc_axes alone = ftc_axes_minus(axes, &shared);
    return ftc_build_dot(g, ftc_build_sum(g, a, &alone), b, &shared);
}

static ftc_id rewritten(ftc_graph *g, const chain *c, const ftc_id *map) {
    ftc_id x = renamed(g, c, map[c->x]), w = renamed(g, c, map[c->w]);
    ftc_id product = ftc_build_dot(g, ftc_build_dot(g, map[c->a], x, &c->outer), w, &c->inner);
    if (!c->bias) return product;
    ftc_id bias = contracted(g, map[c->a], renamed(g, c, map[c->bias]), &c->outer);
    return c->term ? ftc_build_map2(g, c->plus, bias, product) : ftc_build_map2(g, c->plus, product, bias);
}

static ftc_id associated(ftc_graph *to, const ftc_graph *g, const uint32_t *uses, const ftc_id *map,
                         ftc_id id) {
    chain c;
    return find_chain(g, uses, id, &c) ? rewritten(to, &c, map) : 0;
}

bool ftc_sweep_associate(ftc_graph *g) {
    return ftc_sweep(g, associated);
}
