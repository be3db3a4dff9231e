#include "tests/random_graph.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/build.h"
#include "ir/op.h"

// --- numbers ------------------------------------------------------------------------------------------

uint64_t test_random_next(test_random *r) {
    if (r->n_bytes) {
        r->n_bytes--;
        return *r->bytes++;
    }
    uint64_t x = r->state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

int test_random_below(test_random *r, int n) {
    return (int)(test_random_next(r) % (uint64_t)n);
}

double test_random_between(test_random *r, double low, double high) {
    double unit = (double)(test_random_next(r) >> 11) * 0x1p-53;
    return (float)(low + (high - low) * unit);
}

// --- axes and leaves ----------------------------------------------------------------------------------

ftc_axes test_list(int n, ...) {
    ftc_axes axes = {0};
    va_list args;
    va_start(args, n);
    for (int i = 0; i < n; i++) ftc_axes_add(&axes, (ftc_axis)va_arg(args, int));
    va_end(args);
    return axes;
}

static ftc_axis add_axis(ftc_graph *g, const char *name, ftc_extent_kind kind, int64_t bound, ftc_axis over) {
    ftc_extent_def extent = {.kind = kind, .name = name, .bound = bound, .over = over};
    return ftc_graph_add_axis(g, name, ftc_graph_add_extent(g, extent));
}

test_axes test_axes_new(const char *model) {
    test_axes t = {.g = ftc_graph_new(model)};
    t.B = add_axis(t.g, "B", FTC_EXTENT_SYMBOL, 4, FTC_NO_AXIS);
    t.S = add_axis(t.g, "S", FTC_EXTENT_RAGGED, 5, t.B);
    t.T = ftc_graph_add_axis(t.g, "T", t.g->axes[t.S].extent);
    t.H = add_axis(t.g, "H", FTC_EXTENT_CONST, 6, FTC_NO_AXIS);
    t.A = add_axis(t.g, "A", FTC_EXTENT_CONST, 2, FTC_NO_AXIS);
    t.D = add_axis(t.g, "D", FTC_EXTENT_CONST, 3, FTC_NO_AXIS);
    t.V = add_axis(t.g, "V", FTC_EXTENT_CONST, 7, FTC_NO_AXIS);
    t.N = t.U = t.Q = FTC_NO_AXIS;
    return t;
}

test_axes test_axes_new_wide(const char *model) {
    test_axes t = test_axes_new(model);
    t.N = add_axis(t.g, "N", FTC_EXTENT_SYMBOL, 3, FTC_NO_AXIS);
    t.U = add_axis(t.g, "U", FTC_EXTENT_RAGGED, 4, t.B);
    t.Q = add_axis(t.g, "Q", FTC_EXTENT_RAGGED, 3, t.N);
    return t;
}

static ftc_id add_leaf(ftc_graph *g, ftc_op op, ftc_decl_def def) {
    def.of = FTC_NO_DECL;
    def.zero_row = -1;
    ftc_node node = {.op = op, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS};
    node.decl = ftc_graph_add_decl(g, def);
    return ftc_build(g, node);
}

ftc_id test_param(ftc_graph *g, const char *name, ftc_axes axes) {
    ftc_decl_def def = {.kind = FTC_DECL_PARAM, .name = name, .type = {FTC_F32, axes}, .bound = FTC_NO_AXIS};
    for (int i = 0; i < axes.n; i++) def.dims[def.n_dims++] = ftc_axes_of(axes.at[i]);
    return add_leaf(g, FTC_OP_param, def);
}

ftc_id test_input(ftc_graph *g, const char *name, ftc_dtype dtype, ftc_axes axes, ftc_axis bound) {
    ftc_decl_def def = {
        .kind = FTC_DECL_INPUT, .name = name, .type = {dtype, axes}, .bound = bound, .column = name};
    return add_leaf(g, FTC_OP_input, def);
}

// --- graphs -------------------------------------------------------------------------------------------

enum { MAX_VALUES = 512, MAX_RESULT_AXES = 4 };

typedef struct {
    test_axes t;
    test_random random;
    const test_graph_options *options;
    ftc_id value[MAX_VALUES];
    bool exact[MAX_VALUES];   // the same number in f32 and double: may be compared and cast to integers
    double limit[MAX_VALUES]; // no cell is larger than this in absolute value
    int n_values;
} generator;

static void add_value(generator *m, ftc_id id, bool exact, double limit) {
    if (m->n_values == MAX_VALUES) return;
    m->value[m->n_values] = id;
    m->exact[m->n_values] = exact;
    m->limit[m->n_values++] = limit;
}

static ftc_axis any_axis(generator *m) {
    return (ftc_axis)test_random_below(&m->random, (int)m->t.g->n_axes);
}

static ftc_axes some_axes(generator *m, ftc_axes from) {
    ftc_axes axes = {0};
    for (int i = 0; i < from.n; i++)
        if (test_random_below(&m->random, 2)) ftc_axes_add(&axes, from.at[i]);
    return axes;
}

static ftc_axes random_type(generator *m) {
    ftc_axes axes = {0};
    int n = test_random_below(&m->random, MAX_RESULT_AXES);
    for (int i = 0; i < n; i++) {
        ftc_axis axis = any_axis(m);
        if (ftc_axis_over(m->t.g, axis) != FTC_NO_AXIS) ftc_axes_add(&axes, ftc_axis_over(m->t.g, axis));
        ftc_axes_add(&axes, axis);
    }
    return axes;
}

// The largest |result| of a map on operands within the limits, by trying a grid of values.
static double map_limit(const ftc_op_info *info, const ftc_map_types *types, const double *limit) {
    enum { STEPS = 12 };
    double largest = 0;
    for (int a = 0; a <= STEPS; a++) {
        for (int b = 0; b <= STEPS; b++) {
            double x[FTC_MAX_ARGS] = {limit[0] * (2.0 * a / STEPS - 1), limit[1] * (2.0 * b / STEPS - 1), 0};
            if (info->n_args == 3) x[0] = a % 2, x[2] = limit[2];
            double y = fabs(info->eval(types, x));
            if (isfinite(y) && y > largest) largest = y;
        }
    }
    return largest;
}

static double cells_bound(const ftc_graph *g, const ftc_axes *axes) {
    ftc_type type = {FTC_F32, *axes};
    return (double)ftc_type_max_elements(g, &type);
}

// The operand moved into the range [low, high] that the operation is tested on.
static ftc_id fitted(generator *m, ftc_id x, double limit, const ftc_op_info *info) {
    ftc_graph *g = m->t.g;
    double middle = (info->low + info->high) / 2, half = (info->high - info->low) / 2;
    if (middle == 0 && limit <= half) return x;
    ftc_id scaled = ftc_build_map2(g, FTC_OP_mul, x, ftc_build_const(g, (float)(half / fmax(limit, 0.25))));
    return ftc_build_map2(g, FTC_OP_add, scaled, ftc_build_const(g, (float)middle));
}

// Attributes for an operation: drawn at random, those that make no sense are refused by its rule.
static void draw_attributes(generator *m, ftc_node *node) {
    ftc_graph *g = m->t.g;
    ftc_op_class class = ftc_op_get(node->op)->class;
    const ftc_axes none = {0};
    const ftc_axes *first = node->n_args ? &g->nodes[node->arg[0]].type.axes : &none;
    node->axis = first->n ? first->at[test_random_below(&m->random, first->n)] : any_axis(m);
    node->to = any_axis(m);
    node->outer = test_random_below(&m->random, 8) == 0;
    node->axes = some_axes(m, *first);
    node->index = test_random_below(&m->random, 2);
    node->value = 0.5 * test_random_below(&m->random, 5) - 1;
    if (class == FTC_CLASS_SOURCE) node->axes = random_type(m), node->axis = any_axis(m);
    if (node->op == FTC_OP_random) node->index = g->next_site++;
    if (class == FTC_CLASS_AT || class == FTC_CLASS_PLACE) {
        if (class == FTC_CLASS_PLACE) node->axis = any_axis(m);
        // Elements may have one position.
        if (ftc_axis_extent(g, node->axis)->kind != FTC_EXTENT_CONST) node->index = 0;
        node->axes = *first;
        if (class == FTC_CLASS_PLACE && first->n < FTC_MAX_AXES) ftc_axes_add(&node->axes, node->axis);
    }
    if (class == FTC_CLASS_SHIFT) {
        node->index = test_random_below(&m->random, 9) - 4;
        if (test_random_below(&m->random, 2)) node->to = node->axis;
    }
    if (class == FTC_CLASS_GATHER || class == FTC_CLASS_SCATTER) {
        const ftc_node *ids = &g->nodes[node->arg[1]];
        // Others may exceed the axis.
        node->axis = ids->op == FTC_OP_input ? g->decls[ids->decl].bound : FTC_NO_AXIS;
        node->index =
            m->options->smooth && class == FTC_CLASS_GATHER ? -1 : test_random_below(&m->random, 3) - 1;
        node->axes = test_random_below(&m->random, 2) ? some_axes(m, ids->type.axes) : none;
    }
}

// Takes away the attributes that the operation does not have.
static void clear_attributes(ftc_node *node) {
    const ftc_op_info *info = ftc_op_get(node->op);
    if (!(info->attrs & FTC_ATTR_AXES)) node->axes = (ftc_axes){0};
    if (!(info->attrs & FTC_ATTR_AXIS)) node->axis = FTC_NO_AXIS;
    if (!(info->attrs & FTC_ATTR_TO)) node->to = FTC_NO_AXIS;
    if (!(info->attrs & FTC_ATTR_VALUE)) node->value = 0;
    if (!(info->attrs & FTC_ATTR_INDEX)) node->index = 0;
    if (info->class != FTC_CLASS_MAP) node->outer = false;
}

static bool wanted(const generator *m, const ftc_type *type) {
    if (type->axes.n > MAX_RESULT_AXES) return false;
    bool quadratic = ftc_axes_over(m->t.g, &type->axes, m->t.B).n > 1;
    return !quadratic || m->options->quadratic;
}

// Tries to append the operation on random operands with random attributes.
static void try_operation(generator *m, ftc_op op) {
    ftc_graph *g = m->t.g;
    ftc_node node = {.op = op, .decl = FTC_NO_DECL};
    const ftc_op_info *info = ftc_op_get(op);
    bool exact = true;
    double limit[FTC_MAX_ARGS] = {0};
    node.n_args = info->n_args;
    node.type.dtype =
        (ftc_dtype[]){FTC_F32, FTC_I32, FTC_BF16}[test_random_below(&m->random, m->options->smooth ? 2 : 3)];
    for (int i = 0; i < node.n_args; i++) {
        int k = test_random_below(&m->random, m->n_values);
        node.arg[i] = m->value[k];
        exact &= m->exact[k];
        limit[i] = m->limit[k];
    }
    draw_attributes(m, &node);
    clear_attributes(&node);
    char error[256];
    ftc_type type;
    ftc_axis lone;
    if (!info->infer(g, &node, &type, error, sizeof error) || !ftc_axes_ragged_complete(g, &type.axes, &lone))
        return;
    if (!wanted(m, &type)) return;
    bool is_map = info->class == FTC_CLASS_MAP,
         from_f32 = node.n_args && g->nodes[node.arg[0]].type.dtype == FTC_F32;
    if (is_map && from_f32 && type.dtype != FTC_F32 && !exact) return;
    double result = limit[0];
    if (is_map && from_f32 && type.dtype == FTC_F32) {
        for (int i = 0; i < node.n_args; i++) {
            node.arg[i] = fitted(m, node.arg[i], limit[i], info);
            limit[i] = fmax(fabs(info->low), fabs(info->high));
        }
    }
    if (is_map) {
        ftc_map_types types = ftc_node_map_types(g, &node);
        types.to = type.dtype;
        result = map_limit(info, &types, limit);
    } else if (info->class == FTC_CLASS_DOT) {
        result = limit[0] * limit[1] * cells_bound(g, &node.axes);
    } else if (info->class == FTC_CLASS_SOURCE) {
        result = node.op == FTC_OP_index ? 8 : 1;
    } else if (info->class == FTC_CLASS_REDUCE || info->class == FTC_CLASS_SCATTER) {
        result =
            limit[0] *
            cells_bound(g, info->class == FTC_CLASS_REDUCE ? &node.axes : &g->nodes[node.arg[1]].type.axes);
    }
    bool moves = !is_map && info->class != FTC_CLASS_DOT && info->class != FTC_CLASS_REDUCE &&
                 info->class != FTC_CLASS_SCATTER;
    bool integral = type.dtype != FTC_F32;
    if (integral && result > 1e4) return;
    ftc_id id = ftc_build_try(g, node, error, sizeof error);
    if (!id) return;
    if (!integral && result > 2) { // keep everything of the same magnitude
        id = ftc_build_map2(g, FTC_OP_mul, id, ftc_build_const(g, (float)(2 / result)));
        result = 2;
        exact = false;
    }
    add_value(m, id, exact && (moves || integral), result);
}

// --- recurrences --------------------------------------------------------------------------------------

// An f32 value over some of the axes, scaled to at most 1; a number where none is found.
static ftc_id some_value(generator *m, const ftc_axes *axes) {
    ftc_graph *g = m->t.g;
    for (int tries = 0; tries < 20; tries++) {
        int k = test_random_below(&m->random, m->n_values);
        const ftc_type *type = &g->nodes[m->value[k]].type;
        if (type->dtype != FTC_F32 || !ftc_axes_subset(&type->axes, axes)) continue;
        return ftc_build_map2(g, FTC_OP_mul, m->value[k],
                              ftc_build_const(g, (float)(1 / fmax(m->limit[k], 1))));
    }
    return ftc_build_const(g, 0.75);
}

// One more operation on a value of a recurrence over `all`, of which `features` are constant. None makes a
// difference of values larger: many positions follow one another.
static ftc_id step_further(generator *m, ftc_id x, ftc_id state, const ftc_axes *all,
                           const ftc_axes *features) {
    ftc_graph *g = m->t.g;
    ftc_axis own = features->n ? features->at[test_random_below(&m->random, features->n)] : FTC_NO_AXIS;
    ftc_axes along = ftc_axes_of(own);
    int choice = test_random_below(&m->random, own == FTC_NO_AXIS ? 4 : 9);
    ftc_id half = ftc_build_const(g, 0.5);
    if (choice == 0) return ftc_build_map1(g, FTC_OP_tanh, x);
    if (choice == 1) return ftc_build_map2(g, FTC_OP_mul, x, some_value(m, all));
    if (choice == 2) return ftc_build_map2(g, FTC_OP_add, x, some_value(m, all));
    if (choice == 3) return ftc_build_map2(g, FTC_OP_mul, x, state);
    const double size = (double)ftc_axis_extent(g, own)->bound;
    ftc_id share = ftc_build_const(g, (float)(0.5 / size));
    if (choice == 4) {
        ftc_id sum = ftc_build_map2(g, FTC_OP_mul, ftc_build_sum(g, x, &along), share);
        return ftc_build_map2(g, FTC_OP_add, ftc_build_map2(g, FTC_OP_mul, x, half), sum);
    }
    if (choice == 5) return ftc_build_shift(g, x, own, own, size > 1 ? 1 : 0);
    if (choice == 6)
        return ftc_build_map2(g, FTC_OP_mul, x, ftc_build_map1(g, FTC_OP_tanh, ftc_build_at(g, x, own, 0)));
    if (choice == 7 && !m->options->smooth)
        return ftc_build_map2(g, FTC_OP_sub, x,
                              ftc_build_map2(g, FTC_OP_mul, ftc_build_max(g, x, &along), half));
    ftc_axis other = ftc_graph_add_axis(g, ftc_graph_format(g, "R%u", g->n_axes), g->axes[own].extent);
    ftc_id w = test_param(g, ftc_graph_format(g, "u%u", g->n_decls), test_list(2, own, other));
    ftc_id product = ftc_build_map2(g, FTC_OP_mul, ftc_build_dot(g, x, w, &along), share);
    return ftc_build_rename(g, product, other, own);
}

// One or two states that depend on each other, along a ragged axis.
static void add_recurrence(generator *m, bool from_end) {
    ftc_graph *g = m->t.g;
    const test_axes *t = &m->t;
    ftc_axis axis =
        (ftc_axis[]){t->S, t->U, t->Q}[test_random_below(&m->random, t->U == FTC_NO_AXIS ? 1 : 3)];
    ftc_axes features = (ftc_axes[]){test_list(1, t->H),
                                     test_list(2, t->A, t->D),
                                     {0},
                                     test_list(1, t->D)}[test_random_below(&m->random, 4)];
    ftc_axes over = ftc_axes_of(ftc_axis_over(g, axis)), initial = ftc_axes_union(&over, &features);
    ftc_id state[2], next[2];
    int n = 1 + test_random_below(&m->random, 2);
    for (int i = 0; i < n; i++)
        state[i] =
            ftc_build_state(g, ftc_build_broadcast(g, some_value(m, &initial), &features), axis, from_end);
    const ftc_axes all = g->nodes[state[0]].type.axes;
    for (int i = 0; i < n; i++) {
        next[i] = ftc_build_map2(g, FTC_OP_add, state[n - 1 - i], some_value(m, &all));
        for (int k = test_random_below(&m->random, 5); k > 0; k--)
            next[i] = step_further(m, next[i], state[test_random_below(&m->random, n)], &all, &features);
        next[i] =
            ftc_build_map2(g, FTC_OP_mul, ftc_build_map1(g, FTC_OP_tanh, next[i]), ftc_build_const(g, 0.5));
    }
    for (int i = 0; i < n; i++) {
        ftc_id scan = ftc_build_scan(g, state[i], next[i]);
        if (test_random_below(&m->random, 3)) add_value(m, scan, false, 0.5);
        if (!test_random_below(&m->random, 3)) add_value(m, state[i], false, 1);
        if (!test_random_below(&m->random, 3)) add_value(m, next[i], false, 0.5);
    }
}

// The sum of all cells of a value, over a bound on how many there are.
static ftc_id summed(ftc_graph *g, ftc_id x) {
    ftc_axes axes = g->nodes[x].type.axes;
    double n = sqrt(cells_bound(g, &axes));
    return ftc_build_map2(g, FTC_OP_mul, ftc_build_sum(g, x, &axes), ftc_build_const(g, (float)(1 / n)));
}

// All ragged axes of an output are ragged over one axis.
static bool step_abi_gives(const generator *m, const ftc_type *type) {
    ftc_axes over = {0};
    for (int i = 0; i < type->axes.n; i++)
        if (ftc_axis_over(m->t.g, type->axes.at[i]) != FTC_NO_AXIS)
            ftc_axes_add(&over, ftc_axis_over(m->t.g, type->axes.at[i]));
    return m->options->wide ? over.n <= 1 : over.n == 0 && type->dtype == FTC_F32;
}

// Sizes around those of vectors, blocks and loops that run once.
static void draw_sizes(generator *m) {
    enum { CHOICES = 4 };
    const test_axes *t = &m->t;
    const struct {
        ftc_axis axis;
        int64_t sizes[CHOICES];
    } list[] = {{t->B, {4, 4, 1, 6}}, {t->S, {5, 5, 2, 18}}, {t->H, {6, 1, 16, 24}},
                {t->A, {2, 2, 1, 3}}, {t->D, {3, 3, 8, 1}},  {t->V, {7, 7, 17, 33}},
                {t->N, {3, 1, 5, 2}}, {t->U, {4, 1, 9, 17}}, {t->Q, {3, 2, 1, 6}}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].axis != FTC_NO_AXIS)
            t->g->extents[t->g->axes[list[i].axis].extent].bound =
                list[i].sizes[test_random_below(&m->random, CHOICES)];
}

// Inputs over the axes of wide graphs, in orders that no kernel has its operands in.
static void add_wide_inputs(generator *m) {
    const test_axes *t = &m->t;
    add_value(m, test_input(t->g, "x_N", FTC_F32, test_list(1, t->N), FTC_NO_AXIS), true, 1);
    add_value(m, test_input(t->g, "x_HBU", FTC_F32, test_list(3, t->H, t->B, t->U), FTC_NO_AXIS), true, 1);
    add_value(m, test_input(t->g, "x_ANQ", FTC_F32, test_list(3, t->A, t->N, t->Q), FTC_NO_AXIS), true, 1);
    add_value(m, test_input(t->g, "x_SDNB", FTC_F32, test_list(4, t->S, t->D, t->N, t->B), FTC_NO_AXIS), true,
              1);
    add_value(m, test_input(t->g, "ids_BU", FTC_I32, test_list(2, t->B, t->U), t->V), true, 7);
    add_value(m, test_input(t->g, "is_NQ", FTC_BOOL, test_list(2, t->N, t->Q), FTC_NO_AXIS), true, 1);
}

ftc_graph *test_random_graph(uint64_t seed, const test_graph_options *options) {
    generator m = {.t = options->wide ? test_axes_new_wide("random") : test_axes_new("random"),
                   .random = {seed, options->bytes, options->n_bytes},
                   .options = options};
    test_axes t = m.t;
    ftc_graph *g = t.g;
    draw_sizes(&m);
    add_value(&m, test_param(g, "w.VH", test_list(2, t.V, t.H)), true, 1);
    add_value(&m, test_param(g, "w.HAD", test_list(3, t.H, t.A, t.D)), true, 1);
    add_value(&m, test_param(g, "w.H", test_list(1, t.H)), true, 1);
    add_value(&m, test_param(g, "w.AD", test_list(2, t.A, t.D)), true, 1);
    add_value(&m, test_input(g, "x_BSH", FTC_F32, test_list(3, t.B, t.S, t.H), FTC_NO_AXIS), true, 1);
    add_value(&m, test_input(g, "x_BSAD", FTC_F32, test_list(4, t.B, t.S, t.A, t.D), FTC_NO_AXIS), true, 1);
    add_value(&m, test_input(g, "x_B", FTC_F32, test_list(1, t.B), FTC_NO_AXIS), true, 1);
    add_value(&m, test_input(g, "ids_BS", FTC_I32, test_list(2, t.B, t.S), t.V), true, 7);
    add_value(&m, test_input(g, "ids_B", FTC_I32, test_list(1, t.B), t.A), true, 2);
    if (options->wide) add_wide_inputs(&m);
    int first = m.n_values;
    for (int round = 0; round < options->n_nodes; round++) {
        ftc_op op = (ftc_op)(1 + test_random_below(&m.random, FTC_OP_COUNT - 1));
        ftc_op_class class = ftc_op_get(op)->class;
        if (class == FTC_CLASS_LEAF || class == FTC_CLASS_ASSIGN) continue;
        if (class == FTC_CLASS_CALL || class == FTC_CLASS_UPSTREAM || class == FTC_CLASS_EXTERN)
            continue;                             // made by functions, never alone
        if (class == FTC_CLASS_UPDATED) continue; // what assignments and outputs read, and no loss
        if (class == FTC_CLASS_DETACH && options->smooth) continue;
        if (class == FTC_CLASS_BEFORE) {
            add_recurrence(&m, ftc_op_get(op)->from_end);
            continue;
        }
        if (class == FTC_CLASS_SCAN) continue; // with its states
        int n_values = m.n_values;
        for (int tries = 0; tries < 200 && m.n_values == n_values; tries++) try_operation(&m, op);
    }

    ftc_id loss = ftc_build_const(g, 0);
    int n_terms = 0;
    for (int i = m.n_values - 1; i >= first && n_terms < 5; i--) {
        if (g->nodes[m.value[i]].type.dtype != FTC_F32) continue;
        loss = ftc_build_map2(g, FTC_OP_add, loss, summed(g, m.value[i]));
        bool is_output = !options->step_abi || step_abi_gives(&m, &g->nodes[m.value[i]].type);
        if (n_terms++ < 2 && is_output)
            ftc_graph_add_output(g, ftc_graph_format(g, "value%d", n_terms), m.value[i], 0xf);
    }
    ftc_graph_add_output(g, "loss", loss, 0xf)->role = FTC_OUTPUT_LOSS;
    for (int i = m.n_values - 1; i >= 0 && options->wide && g->n_outputs < 6;
         i -= 3) { // of any dtype, inputs too
        if (!step_abi_gives(&m, &g->nodes[m.value[i]].type)) continue;
        ftc_graph_add_output(g, ftc_graph_format(g, "wide%u", g->n_outputs), m.value[i], 0xf);
    }
    return g;
}

// --- values -------------------------------------------------------------------------------------------

static double draw_cell(test_random *r, const ftc_graph *g, const ftc_decl_def *decl) {
    if (decl->kind == FTC_DECL_MOMENT || decl->kind == FTC_DECL_GRADIENT) return 0;
    if (decl->kind == FTC_DECL_ARG) return decl->value;
    if (decl->type.dtype == FTC_F32) return test_random_between(r, -1, 1);
    if (decl->type.dtype == FTC_BOOL) return test_random_below(r, 2);
    int n = decl->bound == FTC_NO_AXIS ? 5 : (int)ftc_axis_extent(g, decl->bound)->bound;
    return test_random_below(r, n);
}

// The least length of a ragged extent's sequences: what is named by number must be there, and the maximum of
// nothing is not finite.
static int64_t least_length(const ftc_graph *g, uint32_t extent) {
    bool has_maximum = false;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        bool of_nothing = ftc_node_class(node) == FTC_CLASS_REDUCE && isinf(ftc_op_get(node->op)->identity);
        for (int i = 0; i < node->axes.n && of_nothing; i++)
            has_maximum |= g->axes[node->axes.at[i]].extent == extent;
    }
    int64_t least = g->extents[extent].least;
    return least ? least : has_maximum;
}

test_values *test_values_new(const ftc_graph *g, uint64_t seed) {
    test_random r = {.state = seed ^ 0x5DEECE66Du};
    test_values *v = calloc(1, sizeof *v);
    v->n_extents = g->n_extents;
    v->n_decls = g->n_decls;
    v->extents = calloc(g->n_extents + 1, sizeof *v->extents);
    v->lengths = calloc(g->n_extents + 1, sizeof *v->lengths);
    v->tensors = calloc(g->n_decls + 1, sizeof *v->tensors);
    for (uint32_t e = 0; e < g->n_extents; e++) {
        int bound = (int)g->extents[e].bound;
        v->extents[e] = g->extents[e].kind == FTC_EXTENT_CONST ? bound : 1 + test_random_below(&r, bound);
    }
    for (uint32_t e = 0; e < g->n_extents; e++) {
        if (g->extents[e].kind != FTC_EXTENT_RAGGED) continue;
        int64_t n = v->extents[g->axes[g->extents[e].over].extent], least = least_length(g, e);
        v->lengths[e] = calloc((size_t)n, sizeof **v->lengths);
        for (int64_t i = 0; i < n; i++)
            v->lengths[e][i] = (int32_t)least + test_random_below(&r, (int)(g->extents[e].bound - least) + 1);
    }
    v->b = (ftc_bindings){.extents = v->extents,
                          .lengths = (const int32_t *const *)v->lengths,
                          .tensors = v->tensors,
                          .seed = seed,
                          .step = 3,
                          .micro_step = 1,
                          .keep_all = true};
    for (uint32_t i = 0; i < g->n_decls; i++) {
        int64_t n = ftc_interp_cells(g, &v->b, &g->decls[i].type.axes);
        v->tensors[i] = calloc((size_t)n + 1, sizeof **v->tensors);
        for (int64_t k = 0; k < n; k++) v->tensors[i][k] = draw_cell(&r, g, &g->decls[i]);
    }
    return v;
}

void test_values_free(test_values *v) {
    if (!v) return;
    for (uint32_t i = 0; i < v->n_extents; i++) free(v->lengths[i]);
    for (uint32_t i = 0; i < v->n_decls; i++) free(v->tensors[i]);
    free(v->extents);
    free(v->lengths);
    free(v->tensors);
    free(v);
}

double *test_cells_as(const ftc_interp *in, const ftc_graph *g, const ftc_bindings *b, ftc_id id,
                      const ftc_axes *axes, int64_t *n) {
    const double *x = ftc_interp_value(in, id, n);
    double *out = calloc((size_t)*n + 1, sizeof *out);
    ftc_walk w;
    ftc_walk_begin(&w, g, b, axes, FTC_NO_AXIS);
    int from = ftc_walk_view(&w, &g->nodes[id].type.axes), to = ftc_walk_view(&w, axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) out[w.at[to] + j * w.step[to]] = x[w.at[from] + j * w.step[from]];
    ftc_walk_end(&w);
    return out;
}

double *test_interface_cells(const ftc_graph *g, const ftc_bindings *b, const ftc_type *type,
                             const double *packed) {
    double *out = calloc((size_t)ftc_interp_cells(g, b, &type->axes) + 1, sizeof *out);
    ftc_walk w;
    ftc_walk_begin(&w, g, b, &type->axes, FTC_NO_AXIS);
    int from = ftc_walk_view(&w, &type->axes), to = ftc_walk_interface_view(&w, &type->axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++)
            out[w.at[to] + j * w.step[to]] = packed[w.at[from] + j * w.step[from]];
    ftc_walk_end(&w);
    return out;
}

ftc_id test_output(const ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) return g->outputs[i].node;
    return 0;
}
