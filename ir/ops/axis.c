// Moving along axes: cells chosen by position, by index, or under another name.
#include <stdio.h>
#include <stdlib.h>

#include "ir/build.h"
#include "ir/interpret.h"
#include "ir/op.h"

static const ftc_type *operand(const ftc_graph *g, const ftc_node *node, int i) {
    return &ftc_graph_node(g, node->arg[i])->type;
}

static bool check_has(const ftc_graph *g, const ftc_node *node, ftc_axis axis, char *error, int error_size) {
    char text[256];
    if (axis < g->n_axes && ftc_axes_has(&operand(g, node, 0)->axes, axis)) return true;
    snprintf(error, (size_t)error_size, "the operand, %s, has no axis %s",
             ftc_type_text(g, operand(g, node, 0), text, sizeof text),
             axis < g->n_axes ? g->axes[axis].name : "of that name");
    return false;
}

static bool check_position(const ftc_graph *g, ftc_axis axis, int64_t index, char *error, int error_size) {
    const ftc_extent_def *e = ftc_axis_extent(g, axis);
    if (index >= 0 && index < e->bound) return true;
    snprintf(error, (size_t)error_size, "axis %s has %s%lld positions, there is no position %lld",
             g->axes[axis].name, e->kind == FTC_EXTENT_CONST ? "" : "at most ", (long long)e->bound,
             (long long)index);
    return false;
}

static bool check_indices(const ftc_graph *g, const ftc_node *node, char *error, int error_size) {
    if (node->axis < g->n_axes && ftc_axis_over(g, node->axis) != FTC_NO_AXIS) {
        const char *axis = g->axes[node->axis].name;
        snprintf(error, (size_t)error_size,
                 "axis %s is ragged: its positions cannot be chosen by index; multiply by where the index is "
                 "the position: dot(VALUE, cast(outer (INDEX == index(%s)), f32); AXES)",
                 axis, axis);
        return false;
    }
    ftc_dtype dtype = operand(g, node, 1)->dtype;
    if (dtype != FTC_I32 && dtype != FTC_U32) {
        snprintf(error, (size_t)error_size, "the indices are %s, they must be i32 or u32",
                 ftc_dtype_name(dtype));
        return false;
    }
    return true;
}

// The row that an index means: its own, or the nearest where it is none.
static int64_t row_of(double index, int64_t count) {
    return index < 0 ? 0 : index < (double)count ? (int64_t)index : count - 1;
}

static ftc_range range_same(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    (void)g, (void)node;
    return args[0];
}

// --- gather -------------------------------------------------------------------------------------------

static bool infer_gather(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    if (!check_has(g, node, node->axis, error, error_size) || !check_indices(g, node, error, error_size))
        return false;
    ftc_axes removed = ftc_axes_of(node->axis);
    const ftc_axes *ids = &operand(g, node, 1)->axes;
    ftc_axes rest = ftc_axes_minus(&operand(g, node, 0)->axes, &removed);
    rest = ftc_axes_minus(&rest, ids);
    if (ftc_axes_has(ids, node->axis)) {
        snprintf(error, (size_t)error_size, "table and indices both have axis %s; rename one of them",
                 g->axes[node->axis].name);
        return false;
    }
    if (rest.n + ids->n > FTC_MAX_AXES) {
        snprintf(error, (size_t)error_size, "the result has more than %d axes", FTC_MAX_AXES);
        return false;
    }
    *type = (ftc_type){.dtype = operand(g, node, 0)->dtype, .axes = ftc_axes_union(ids, &rest)};
    return true;
}

static void gradient_gather(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_node node = *ftc_graph_node(g, id);
    ftc_axes kept = ftc_axes_intersect(&operand(g, &node, 0)->axes, &operand(g, &node, 1)->axes);
    out[0] = ftc_build_scatter_add(g, grad, node.axis, node.arg[1], node.index, &kept);
}

static void interpret_gather(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const double *table = ftc_interp_value(in, node->arg[0], NULL),
                 *ids = ftc_interp_value(in, node->arg[1], NULL);
    double *out = ftc_interp_result(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), &node->type.axes, FTC_NO_AXIS);
    int t = ftc_walk_view(&w, &operand(g, node, 0)->axes), i = ftc_walk_view(&w, &operand(g, node, 1)->axes);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w)) {
        int64_t stride = ftc_walk_stride(&w, t, node->axis), count = ftc_walk_count(&w, node->axis);
        for (int64_t j = 0; j < w.n; j++) {
            int64_t row = row_of(ids[w.at[i] + j * w.step[i]], count);
            out[w.at[o] + j * w.step[o]] = table[w.at[t] + j * w.step[t] + row * stride];
        }
    }
    ftc_walk_end(&w);
}

const ftc_op_info ftc_op_info_gather = {
    .name = "gather",
    .doc = "Rows of a table: the cells whose position on the named axis is given by the indices. The result "
           "has the indices' axes, then the table's others. An axis that both have is one: each position has "
           "a table of its own. An index that is no position counts as the nearest that is one; compiled, "
           "such a call changes nothing and is an error. A row may be named that gets no gradient (-1: "
           "none).",
    .example = "x = gather(table, V, ids)",
    .class = FTC_CLASS_GATHER,
    .n_args = 2,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_INDEX,
    .infer = infer_gather,
    .gradient = gradient_gather,
    .interpret = interpret_gather,
    .range = range_same,
    .low = -2,
    .high = 2,
};

// --- scatter_add --------------------------------------------------------------------------------------

static bool infer_scatter_add(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                              int error_size) {
    const ftc_type *x = operand(g, node, 0);
    const ftc_axes *ids = &operand(g, node, 1)->axes;
    if (!check_indices(g, node, error, error_size)) return false;
    if (x->dtype != FTC_F32) {
        snprintf(error, (size_t)error_size, "operand 1 is %s, it must be f32", ftc_dtype_name(x->dtype));
        return false;
    }
    ftc_axes missing = ftc_axes_minus(ids, &x->axes);
    if (missing.n) {
        snprintf(error, (size_t)error_size, "the indices have axis %s, which the added value lacks",
                 g->axes[missing.at[0]].name);
        return false;
    }
    if (node->axis >= g->n_axes || ftc_axes_has(&x->axes, node->axis)) {
        snprintf(error, (size_t)error_size, "the added value has the destination's axis already");
        return false;
    }
    ftc_axes unknown = ftc_axes_minus(&node->axes, ids);
    if (unknown.n) {
        snprintf(error, (size_t)error_size, "the indices have no axis %s that could be kept",
                 g->axes[unknown.at[0]].name);
        return false;
    }
    ftc_axes row = ftc_axes_of(node->axis), rest = ftc_axes_minus(&x->axes, ids);
    ftc_axes result = ftc_axes_union(&node->axes, &row);
    *type = (ftc_type){.dtype = FTC_F32, .axes = ftc_axes_union(&result, &rest)};
    return true;
}

// The rows of the gradient; nothing from the dead row, into which nothing was added.
static void gradient_scatter_add(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_node node = *ftc_graph_node(g, id);
    ftc_dtype dtype = ftc_graph_node(g, node.arg[1])->type.dtype;
    out[0] = ftc_build_gather(g, grad, node.axis, node.arg[1], -1);
    if (node.index < 0) return;
    ftc_id dead = ftc_build_fill(g, (double)node.index, dtype, &(ftc_axes){0});
    ftc_id is_dead = ftc_build_map2(g, FTC_OP_eq, node.arg[1], dead);
    out[0] = ftc_build_select(g, is_dead, ftc_build_const(g, 0), out[0]);
}

static void interpret_scatter_add(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const double *x = ftc_interp_value(in, node->arg[0], NULL),
                 *ids = ftc_interp_value(in, node->arg[1], NULL);
    double *out = ftc_interp_result(in, id);
    const ftc_axes *axes = &operand(g, node, 0)->axes;
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), axes, FTC_NO_AXIS);
    int a = ftc_walk_view(&w, axes), i = ftc_walk_view(&w, &operand(g, node, 1)->axes);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w)) {
        int64_t stride = ftc_walk_stride(&w, o, node->axis), count = ftc_walk_count(&w, node->axis);
        for (int64_t j = 0; j < w.n; j++) {
            double index = ids[w.at[i] + j * w.step[i]];
            int64_t row = row_of(index, count);
            if (row == node->index || (double)row != index) continue;
            out[w.at[o] + j * w.step[o] + row * stride] += x[w.at[a] + j * w.step[a]];
        }
    }
    ftc_walk_end(&w);
}

const ftc_op_info ftc_op_info_scatter_add = {
    .name = "scatter_add",
    .doc = "The converse of gather: each row of the value is added to the row of the result that its index "
           "names, in the order of the rows. Over axes of the indices that follow, nothing is added up: each "
           "position has a result of its own. What would be added to the dead row (-1: none), or where there "
           "is none, is left out.",
    .example = "dtable = scatter_add(dx, V, ids; B)",
    .class = FTC_CLASS_SCATTER,
    .n_args = 2,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_INDEX | FTC_ATTR_AXES | FTC_ATTR_MAY_LACK_AXES,
    .infer = infer_scatter_add,
    .gradient = gradient_scatter_add,
    .interpret = interpret_scatter_add,
    .rounds = true,
    .low = -2,
    .high = 2,
};

// --- at, place ----------------------------------------------------------------------------------------

static bool infer_at(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error, int error_size) {
    if (!check_has(g, node, node->axis, error, error_size)) return false;
    if (!check_position(g, node->axis, node->index, error, error_size)) return false;
    ftc_axes removed = ftc_axes_of(node->axis);
    *type = (ftc_type){.dtype = operand(g, node, 0)->dtype,
                       .axes = ftc_axes_minus(&operand(g, node, 0)->axes, &removed)};
    return true;
}

static void gradient_at(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_node node = *ftc_graph_node(g, id);
    ftc_axes axes = operand(g, &node, 0)->axes;
    out[0] = ftc_build_place(g, grad, node.axis, node.index, &axes);
}

// Walks the axes of the wide side (operand of at, result of place) and copies the cells at the position.
static void interpret_position(ftc_interp *in, ftc_id id, const ftc_axes *wide) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const double *x = ftc_interp_value(in, node->arg[0], NULL);
    double *out = ftc_interp_result(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), wide, FTC_NO_AXIS);
    int a = ftc_walk_view(&w, &operand(g, node, 0)->axes), o = ftc_walk_view(&w, &node->type.axes);
    int k = ftc_axes_find(&w.axes, node->axis);
    while (ftc_walk_next(&w)) {
        bool along = k == w.axes.n - 1; // the row runs along the axis: one cell of it
        int64_t first = along ? node->index : 0;
        int64_t end = along ? node->index + 1 : w.coordinate[k] == node->index ? w.n : 0;
        for (int64_t j = first; j < end && j < w.n; j++)
            out[w.at[o] + j * w.step[o]] = x[w.at[a] + j * w.step[a]];
    }
    ftc_walk_end(&w);
}

static void interpret_at(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    interpret_position(in, id, &operand(g, ftc_graph_node(g, id), 0)->axes);
}

const ftc_op_info ftc_op_info_at = {
    .name = "at",
    .doc = "The cells at one position of an axis, which the result lacks. Every element of a ragged axis "
           "must have that "
           "position.",
    .example = "cls = at(x, S, 0)",
    .class = FTC_CLASS_AT,
    .n_args = 1,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_INDEX,
    .infer = infer_at,
    .gradient = gradient_at,
    .interpret = interpret_at,
    .range = range_same,
    .low = -2,
    .high = 2,
};

static bool infer_place(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                        int error_size) {
    const ftc_type *x = operand(g, node, 0);
    if (node->axis >= g->n_axes || !ftc_axes_has(&node->axes, node->axis) ||
        ftc_axes_has(&x->axes, node->axis)) {
        snprintf(error, (size_t)error_size,
                 "the result must have the axis of the position and the operand must not");
        return false;
    }
    ftc_axes expected = x->axes;
    ftc_axes_add(&expected, node->axis);
    if (!ftc_axes_same_set(&expected, &node->axes)) {
        char narrow[256], wide[256];
        snprintf(error, (size_t)error_size, "the result's axes, %s, are not those of the operand, %s, and %s",
                 ftc_axes_text(g, &node->axes, wide, sizeof wide), ftc_type_text(g, x, narrow, sizeof narrow),
                 g->axes[node->axis].name);
        return false;
    }
    if (!check_position(g, node->axis, node->index, error, error_size)) return false;
    *type = (ftc_type){.dtype = x->dtype, .axes = node->axes};
    return true;
}

static void gradient_place(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_node node = *ftc_graph_node(g, id);
    out[0] = ftc_build_at(g, grad, node.axis, node.index);
}

static void interpret_place(ftc_interp *in, ftc_id id) {
    interpret_position(in, id, &ftc_graph_node(ftc_interp_graph(in), id)->type.axes);
}

static ftc_range range_place(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    (void)g, (void)node;
    return ftc_range_hull(args[0], ftc_range_between(0, 0));
}

const ftc_op_info ftc_op_info_place = {
    .name = "place",
    .doc = "The converse of at: the value at one position of an axis that is added, zero at the others.",
    .example = "dx = place(dcls, S, 0; B, S, H)",
    .class = FTC_CLASS_PLACE,
    .n_args = 1,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_INDEX | FTC_ATTR_AXES,
    .infer = infer_place,
    .gradient = gradient_place,
    .interpret = interpret_place,
    .range = range_place,
    .low = -2,
    .high = 2,
};

// --- rename -------------------------------------------------------------------------------------------

// Whether two axes have as many elements in every batch: one extent, or one constant written twice.
static bool same_extent(const ftc_graph *g, ftc_axis a, ftc_axis b) {
    const ftc_extent_def *x = ftc_axis_extent(g, a), *y = ftc_axis_extent(g, b);
    return x == y || (x->kind == FTC_EXTENT_CONST && y->kind == FTC_EXTENT_CONST && x->bound == y->bound);
}

static bool infer_rename(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    const ftc_type *x = operand(g, node, 0);
    char text[256];
    if (!check_has(g, node, node->axis, error, error_size)) return false;
    if (node->to >= g->n_axes || ftc_axes_has(&x->axes, node->to)) {
        snprintf(error, (size_t)error_size, "the operand, %s, has the new axis already",
                 ftc_type_text(g, x, text, sizeof text));
        return false;
    }
    if (!same_extent(g, node->axis, node->to)) {
        const ftc_extent_def *from = ftc_axis_extent(g, node->axis), *to = ftc_axis_extent(g, node->to);
        snprintf(error, (size_t)error_size, "axes %s (%s%lld) and %s (%s%lld) have different extents",
                 g->axes[node->axis].name, from->kind == FTC_EXTENT_CONST ? "" : "up to ",
                 (long long)from->bound, g->axes[node->to].name, to->kind == FTC_EXTENT_CONST ? "" : "up to ",
                 (long long)to->bound);
        return false;
    }
    *type = *x;
    type->axes.at[ftc_axes_find(&x->axes, node->axis)] = node->to;
    return true;
}

static void gradient_rename(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_node node = *ftc_graph_node(g, id);
    out[0] = ftc_build_rename(g, grad, node.to, node.axis);
}

static void interpret_rename(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const ftc_axes *axes = &operand(g, node, 0)->axes;
    const double *x = ftc_interp_value(in, node->arg[0], NULL);
    double *out = ftc_interp_result(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), axes, FTC_NO_AXIS);
    int a = ftc_walk_view(&w, axes), o = ftc_walk_view_as(&w, &node->type.axes, node->to, node->axis);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) out[w.at[o] + j * w.step[o]] = x[w.at[a] + j * w.step[a]];
    ftc_walk_end(&w);
}

const ftc_op_info ftc_op_info_rename = {
    .name = "rename",
    .doc = "The same cells under another name of an axis; both axes must have the same extent.",
    .example = "k = rename(x; S -> T)",
    .class = FTC_CLASS_RENAME,
    .n_args = 1,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_TO,
    .infer = infer_rename,
    .gradient = gradient_rename,
    .interpret = interpret_rename,
    .range = range_same,
    .low = -2,
    .high = 2,
};

// --- shift --------------------------------------------------------------------------------------------

static bool infer_shift(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                        int error_size) {
    const ftc_type *x = operand(g, node, 0);
    if (!check_has(g, node, node->axis, error, error_size)) return false;
    if (node->to >= g->n_axes || (node->to != node->axis && ftc_axes_has(&x->axes, node->to))) {
        char text[256];
        snprintf(error, (size_t)error_size, "the operand, %s, has the new axis already",
                 ftc_type_text(g, x, text, sizeof text));
        return false;
    }
    const ftc_extent_def *from = ftc_axis_extent(g, node->axis), *to = ftc_axis_extent(g, node->to);
    if (from != to && (from->kind != FTC_EXTENT_CONST || to->kind != FTC_EXTENT_CONST)) {
        snprintf(error, (size_t)error_size,
                 "axes %s and %s have different extents, which only constant ones may",
                 g->axes[node->axis].name, g->axes[node->to].name);
        return false;
    }
    ftc_axes ragged = ftc_axes_over(g, &x->axes, node->axis);
    if (ragged.n) {
        snprintf(error, (size_t)error_size, "axis %s has other lengths at each position of %s",
                 g->axes[ragged.at[0]].name, g->axes[node->axis].name);
        return false;
    }
    bool is_constant = from->kind == FTC_EXTENT_CONST; // bounds may be set as low as one likes
    if (is_constant && (node->index >= to->bound || node->index <= -from->bound)) {
        snprintf(error, (size_t)error_size, "none of %lld positions is left by a shift of %lld",
                 (long long)from->bound, (long long)node->index);
        return false;
    }
    *type = *x;
    type->axes.at[ftc_axes_find(&x->axes, node->axis)] = node->to;
    return true;
}

static void gradient_shift(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_node node = *ftc_graph_node(g, id);
    out[0] = ftc_build_shift(g, grad, node.to, node.axis, -node.index);
}

static void interpret_shift(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const double *x = ftc_interp_value(in, node->arg[0], NULL);
    double *out = ftc_interp_result(in, id);
    const ftc_extent_def *from = ftc_axis_extent(g, node->axis);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), &node->type.axes, node->to);
    int a = ftc_walk_view_as(&w, &operand(g, node, 0)->axes, node->axis, node->to),
        o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w)) {
        int64_t count = from->kind == FTC_EXTENT_CONST ? from->bound : w.n;
        for (int64_t j = 0; j < w.n; j++) {
            int64_t i = j - node->index;
            if (i >= 0 && i < count) out[w.at[o] + j * w.step[o]] = x[w.at[a] + i * w.step[a]];
        }
    }
    ftc_walk_end(&w);
}

const ftc_op_info ftc_op_info_shift = {
    .name = "shift",
    .doc = "The cells moved along an axis: at position i the cell of position i - n, zero where there is "
           "none; along a ragged axis within each sequence. The result may have another axis instead, of "
           "other extent where both are constant: shift(x, -3; A -> C) are the cells of A from position 3 "
           "on, as many as C has.",
    .example = "before = shift(x, 1; S)",
    .class = FTC_CLASS_SHIFT,
    .n_args = 1,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_TO | FTC_ATTR_INDEX | FTC_ATTR_SIGNED,
    .infer = infer_shift,
    .gradient = gradient_shift,
    .interpret = interpret_shift,
    .range = range_place,
    .low = -2,
    .high = 2,
};
