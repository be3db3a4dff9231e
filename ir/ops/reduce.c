// Reductions and contractions: sums of cells along named axes.
#include <math.h>
#include <stdio.h>

#include "ir/build.h"
#include "ir/interpret.h"
#include "ir/op.h"

// The summed axes must be axes of `x`, named "operand %d" in the error.
static bool check_summed(const ftc_graph *g, const ftc_node *node, int i, char *error, int error_size) {
    const ftc_type *x = &ftc_graph_node(g, node->arg[i])->type;
    ftc_axes missing = ftc_axes_minus(&node->axes, &x->axes);
    char text[256];
    if (x->dtype != FTC_F32 && !(x->dtype == FTC_BF16 && node->op == FTC_OP_dot)) {
        snprintf(error, (size_t)error_size, "operand %d is %s, it must be f32", i + 1,
                 ftc_type_text(g, x, text, sizeof text));
        return false;
    }
    if (missing.n) {
        snprintf(error, (size_t)error_size, "axis %s is summed over, but operand %d, %s, lacks it",
                 g->axes[missing.at[0]].name, i + 1, ftc_type_text(g, x, text, sizeof text));
        return false;
    }
    if (!node->axes.n) {
        snprintf(error, (size_t)error_size, "it names no axis");
        return false;
    }
    return true;
}

// --- sum, max -----------------------------------------------------------------------------------------

static bool infer_reduce(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    if (!check_summed(g, node, 0, error, error_size)) return false;
    *type = (ftc_type){.dtype = FTC_F32,
                       .axes = ftc_axes_minus(&ftc_graph_node(g, node->arg[0])->type.axes, &node->axes)};
    return true;
}

static void gradient_sum(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_axes axes = ftc_graph_node(g, ftc_graph_node(g, id)->arg[0])->type.axes;
    out[0] = ftc_build_broadcast(g, grad, &axes);
}

static void interpret_sum(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const ftc_axes *axes = &ftc_graph_node(g, node->arg[0])->type.axes;
    const double *x = ftc_interp_value(in, node->arg[0], NULL);
    double *out = ftc_interp_result(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), axes, FTC_NO_AXIS);
    int a = ftc_walk_view(&w, axes), o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) out[w.at[o] + j * w.step[o]] += x[w.at[a] + j * w.step[a]];
    ftc_walk_end(&w);
}

static ftc_scalar body_sum(const ftc_scalar_builder *b, const ftc_map_types *types, const ftc_scalar *x) {
    (void)types;
    return b->fadd(b, x[0], x[1]);
}

const ftc_op_info ftc_op_info_sum = {
    .name = "sum",
    .doc = "The sum over the named axes. Over a ragged axis it covers the cells that are there.",
    .example = "y = sum(x; H)",
    .class = FTC_CLASS_REDUCE,
    .n_args = 1,
    .attrs = FTC_ATTR_AXES,
    .infer = infer_reduce,
    .gradient = gradient_sum,
    .interpret = interpret_sum,
    .body = body_sum,
    .identity = 0,
    .linear_any = 1,
    .rounds = true,
    .low = -2,
    .high = 2,
};

// Each of n equal largest cells gets 1/n of the gradient.
static void gradient_max(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = ftc_graph_node(g, id)->arg[0];
    ftc_axes axes = ftc_graph_node(g, id)->axes;
    ftc_id hit = ftc_build_cast(g, FTC_F32, ftc_build_map2(g, FTC_OP_eq, x, id));
    ftc_id share = ftc_build_map2(g, FTC_OP_div, grad, ftc_build_sum(g, hit, &axes));
    out[0] = ftc_build_map2(g, FTC_OP_mul, hit, share);
}

static void interpret_max(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_bindings *b = ftc_interp_bindings(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const ftc_axes *axes = &ftc_graph_node(g, node->arg[0])->type.axes;
    const double *x = ftc_interp_value(in, node->arg[0], NULL);
    double *out = ftc_interp_result(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, g, b, &node->type.axes, FTC_NO_AXIS);
    int r = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) out[w.at[r] + j * w.step[r]] = -INFINITY;
    ftc_walk_end(&w);
    ftc_walk_begin(&w, g, b, axes, FTC_NO_AXIS);
    int a = ftc_walk_view(&w, axes), o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w)) {
        for (int64_t j = 0; j < w.n; j++) {
            double *cell = &out[w.at[o] + j * w.step[o]], value = x[w.at[a] + j * w.step[a]];
            if (value > *cell || isnan(value)) *cell = value;
        }
    }
    ftc_walk_end(&w);
}

static ftc_scalar body_max(const ftc_scalar_builder *b, const ftc_map_types *types, const ftc_scalar *x) {
    (void)types;
    return b->fmax(b, x[0], x[1]);
}

// One of the cells, or -inf where a sequence may be empty.
static ftc_range range_max(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    ftc_range r = args[0];
    for (int i = 0; i < node->axes.n; i++) {
        const ftc_extent_def *extent = ftc_axis_extent(g, node->axes.at[i]);
        if (extent->kind == FTC_EXTENT_RAGGED && !extent->least) r.low = -INFINITY;
    }
    return r;
}

const ftc_op_info ftc_op_info_max = {
    .name = "max",
    .doc = "The largest cell along the named axes, -inf where there is none. Equal largest cells share the "
           "gradient.",
    .example = "y = max(x; T)",
    .class = FTC_CLASS_REDUCE,
    .n_args = 1,
    .attrs = FTC_ATTR_AXES,
    .infer = infer_reduce,
    .gradient = gradient_max,
    .interpret = interpret_max,
    .range = range_max,
    .body = body_max,
    .identity = -INFINITY,
    .low = -2,
    .high = 2,
};

// --- dot ----------------------------------------------------------------------------------------------

static bool infer_dot(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error, int error_size) {
    if (!check_summed(g, node, 0, error, error_size) || !check_summed(g, node, 1, error, error_size))
        return false;
    ftc_axes x = ftc_axes_minus(&ftc_graph_node(g, node->arg[0])->type.axes, &node->axes);
    ftc_axes y = ftc_axes_minus(&ftc_graph_node(g, node->arg[1])->type.axes, &node->axes);
    if (x.n + ftc_axes_minus(&y, &x).n > FTC_MAX_AXES) {
        snprintf(error, (size_t)error_size, "the result has more than %d axes", FTC_MAX_AXES);
        return false;
    }
    *type = (ftc_type){.dtype = FTC_F32, .axes = ftc_axes_union(&x, &y)};
    return true;
}

// With respect to one operand: the gradient contracted with the other operand over all axes that the first
// lacks.
static ftc_id gradient_of_side(ftc_graph *g, ftc_id grad, ftc_id side, ftc_id other) {
    ftc_axes summed =
        ftc_axes_minus(&ftc_graph_node(g, grad)->type.axes, &ftc_graph_node(g, side)->type.axes);
    return ftc_build_dot(g, grad, other, &summed);
}

static void gradient_dot(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = ftc_graph_node(g, id)->arg[0], y = ftc_graph_node(g, id)->arg[1];
    out[0] = gradient_of_side(g, grad, x, y);
    out[1] = gradient_of_side(g, grad, y, x);
}

// The axis that lies innermost in most of the three values, so that rows run along memory.
static ftc_axis row_axis(const ftc_graph *g, const ftc_type *const types[3]) {
    ftc_axis last[3], best = FTC_NO_AXIS;
    int best_votes = 0;
    for (int i = 0; i < 3; i++) {
        ftc_axes order = ftc_axes_packed_order(g, &types[i]->axes);
        last[i] = order.n ? order.at[order.n - 1] : FTC_NO_AXIS;
    }
    for (int i = 0; i < 3; i++) {
        int votes = (last[0] == last[i]) + (last[1] == last[i]) + (last[2] == last[i]);
        if (last[i] != FTC_NO_AXIS && votes > best_votes) best = last[i], best_votes = votes;
    }
    return best;
}

static void interpret_dot(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const ftc_type *const types[3] = {&ftc_graph_node(g, node->arg[0])->type,
                                      &ftc_graph_node(g, node->arg[1])->type, &node->type};
    const double *x = ftc_interp_value(in, node->arg[0], NULL), *y = ftc_interp_value(in, node->arg[1], NULL);
    double *out = ftc_interp_result(in, id);
    ftc_axes space = ftc_axes_union(&node->type.axes, &node->axes);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), &space, row_axis(g, types));
    int a = ftc_walk_view(&w, &types[0]->axes), b = ftc_walk_view(&w, &types[1]->axes);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w)) {
        const double *p = x + w.at[a], *q = y + w.at[b];
        double *r = out + w.at[o];
        int64_t s = w.step[a], t = w.step[b], u = w.step[o];
        if (u == 0) {
            double sum = 0;
            for (int64_t j = 0; j < w.n; j++) sum += p[j * s] * q[j * t];
            *r += sum;
        } else {
            for (int64_t j = 0; j < w.n; j++) r[j * u] += p[j * s] * q[j * t];
        }
    }
    ftc_walk_end(&w);
}

const ftc_op_info ftc_op_info_dot = {
    .name = "dot",
    .doc = "The sum of products over the named axes, which must occur in both operands. Other axes that both "
           "have are kept "
           "(one product for each position); axes of one operand alone are kept too. Operands may be bf16, "
           "the result is "
           "f32.",
    .example = "y = dot(x, W; H)",
    .class = FTC_CLASS_DOT,
    .n_args = 2,
    .attrs = FTC_ATTR_AXES,
    .infer = infer_dot,
    .gradient = gradient_dot,
    .interpret = interpret_dot,
    .rounds = true,
    .low = -2,
    .high = 2,
};
