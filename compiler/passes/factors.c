// factors: factors of a contraction are multiplied where there are fewest cells. A rule of simplify that
// looks at the whole graph.
//
//   out   dot(x * r, y; A) → dot(x, y; A) * r where r has none of A and the result has fewer cells than x;
//         the same for x / r, and through select(c, x * r, 0). So attention's probabilities are never divided
//         by their sums: the context is. And the gradient of the sums is made from the context, not from the
//         probabilities (Dao et al. 2022, "FlashAttention", section 3.1).
//   in    dot(x, y; A) * r → dot(x * r, y; A) where the result is over two ragged axes and x has fewer cells.
//         So queries are scaled, not scores.
//
// Nobody else may read what is taken apart.
#include "compiler/passes/pattern.h"
#include "compiler/passes/regions.h"
#include "compiler/passes/simplify.h"
#include "ir/build.h"
#include "ir/op.h"

enum { MAX_STEPS = 8 };

// What lies between a contraction and the value x: factors of x, and conditions where it counts.
typedef struct {
    ftc_id x;
    struct { // from the contraction to x
        ftc_op op;
        bool masks; // op(value, …, 0), else op(…, value), which scales
        ftc_id value;
    } step[MAX_STEPS];
    int n_steps, n_factors;
} operand;

static const ftc_axes *axes_of(const ftc_graph *g, ftc_id id) {
    return &ftc_graph_node(g, id)->type.axes;
}

static int64_t cells_of(const ftc_graph *g, ftc_id id) {
    return ftc_type_max_elements(g, &ftc_graph_node(g, id)->type);
}

// Which operand of a product or quotient is a factor without any of the axes, the other one having all axes
// of the node: -1 when there is none.
static int factor_of(const ftc_graph *g, const ftc_node *node, const ftc_axes *axes) {
    for (int i = 0; i < 2; i++) {
        if (!ftc_scales_by(node, i)) continue;
        bool whole = axes_of(g, node->arg[1 - i])->n == node->type.axes.n;
        if (whole && !ftc_axes_intersect(axes_of(g, node->arg[i]), axes).n) return i;
    }
    return -1;
}

// Takes operand `id` of a contraction apart.
static operand take_apart(const ftc_graph *g, const uint32_t *uses, ftc_id id, const ftc_node *dot) {
    const ftc_axes *axes = &dot->axes;
    operand o = {.x = id};
    while (uses[o.x] == 1 && o.n_steps < MAX_STEPS) {
        const ftc_node *node = ftc_graph_node(g, o.x);
        int factor = factor_of(g, node, axes);
        bool masks = ftc_op_get(node->op)->chooses && ftc_is_zero(ftc_graph_node(g, node->arg[2])) &&
                     axes_of(g, node->arg[1])->n == node->type.axes.n;
        if (factor < 0 && !masks) break;
        if (!masks && ftc_may_sum_nothing(g, dot, node->arg[factor])) break;
        o.step[o.n_steps].op = node->op;
        o.step[o.n_steps].masks = masks;
        o.step[o.n_steps++].value = node->arg[masks ? 0 : factor];
        o.n_factors += !masks;
        o.x = node->arg[masks ? 1 : 1 - factor];
    }
    return o;
}

// The contraction with x for its operand `side`.
static ftc_id with_operand(ftc_graph *to, const ftc_node *dot, const ftc_id *map, int side, ftc_id x) {
    return side ? ftc_build_dot(to, map[dot->arg[0]], x, &dot->axes)
                : ftc_build_dot(to, x, map[dot->arg[1]], &dot->axes);
}

// The contraction with the factors of one operand behind it, those with the fewest axes first.
static ftc_id move_out(ftc_graph *to, const ftc_graph *g, const ftc_id *map, ftc_id id, int side,
                       const operand *o) {
    const ftc_node *dot = ftc_graph_node(g, id);
    ftc_id x = map[o->x], zero = ftc_build_const(to, 0);
    for (int i = o->n_steps - 1; i >= 0; i--)
        if (o->step[i].masks)
            x = ftc_build_map(to, o->step[i].op, FTC_F32, 3, (ftc_id[]){map[o->step[i].value], x, zero});
    ftc_id result = with_operand(to, dot, map, side, x);
    for (int n = 0; n <= dot->type.axes.n; n++)
        for (int i = 0; i < o->n_steps; i++)
            if (!o->step[i].masks && axes_of(g, o->step[i].value)->n == n)
                result = ftc_build_map2(to, o->step[i].op, result, map[o->step[i].value]);
    return result;
}

// The product of a contraction and a factor, with the factor in the operand that has fewer cells than the
// result; 0 when there is none.
static ftc_id move_in(ftc_graph *to, const ftc_graph *g, const uint32_t *uses, const ftc_id *map, ftc_id id) {
    const ftc_node *node = ftc_graph_node(g, id);
    if (!ftc_region_is_quadratic(g, &node->type)) return 0;
    for (int i = 0; i < 2; i++) {
        if (!ftc_scales_by(node, i)) continue;
        ftc_id factor = node->arg[i], product = node->arg[1 - i];
        const ftc_node *dot = ftc_graph_node(g, product);
        if (ftc_node_class(dot) != FTC_CLASS_DOT || uses[product] != 1) continue;
        for (int side = 0; side < 2; side++) {
            ftc_id x = dot->arg[side];
            if (cells_of(g, x) >= cells_of(g, product)) continue;
            if (!ftc_axes_subset(axes_of(g, factor), axes_of(g, x))) continue;
            if (!ftc_axes_subset(axes_of(g, factor), &dot->type.axes)) continue;
            return with_operand(to, dot, map, side, ftc_build_map2(to, node->op, map[x], map[factor]));
        }
    }
    return 0;
}

static ftc_id rewritten(ftc_graph *to, const ftc_graph *g, const uint32_t *uses, const ftc_id *map,
                        ftc_id id) {
    const ftc_node *node = ftc_graph_node(g, id);
    if (ftc_node_class(node) != FTC_CLASS_DOT) return move_in(to, g, uses, map, id);
    for (int side = 0; side < 2; side++) {
        if (cells_of(g, id) >= cells_of(g, node->arg[side])) continue;
        operand o = take_apart(g, uses, node->arg[side], node);
        if (o.n_factors) return move_out(to, g, map, id, side, &o);
    }
    return 0;
}

bool ftc_sweep_factors(ftc_graph *g) {
    return ftc_sweep(g, rewritten);
}
