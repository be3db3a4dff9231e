#include "compiler/passes/regions.h"

#include <math.h>
#include <stdlib.h>

#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/range.h"

bool ftc_region_is_quadratic(const ftc_graph *g, const ftc_type *type) {
    int ragged = 0;
    for (int i = 0; i < type->axes.n; i++)
        ragged += ftc_axis_extent(g, type->axes.at[i])->kind == FTC_EXTENT_RAGGED;
    return ragged >= 2;
}

bool ftc_region_touches_quadratic(const ftc_graph *g, const ftc_node *node) {
    bool touches = ftc_region_is_quadratic(g, &node->type);
    for (int i = 0; i < node->n_args; i++)
        touches |= ftc_region_is_quadratic(g, &g->nodes[node->arg[i]].type);
    return touches;
}

bool ftc_region_is_token_axis(const ftc_graph *g, const ftc_axes *of, ftc_axis axis) {
    if (ftc_axis_extent(g, axis)->kind == FTC_EXTENT_RAGGED) return true;
    for (int i = 0; i < of->n; i++) {
        const ftc_extent_def *extent = ftc_axis_extent(g, of->at[i]);
        if (extent->kind == FTC_EXTENT_RAGGED && extent->over == axis) return true;
    }
    return false;
}

bool ftc_region_is_part(const ftc_graph *g, const ftc_node *node) {
    ftc_op_class class = ftc_node_class(node);
    if (class != FTC_CLASS_AT && class != FTC_CLASS_SHIFT) return false;
    const ftc_extent_def *from = ftc_axis_extent(g, node->axis);
    if (from->kind != FTC_EXTENT_CONST || class == FTC_CLASS_AT) return from->kind == FTC_EXTENT_CONST;
    return node->index <= 0 && ftc_axis_extent(g, node->to)->bound - node->index <= from->bound;
}

// Whether the part lies side by side where the whole does: it is one along the first axis that is no token
// axis.
static bool is_slice(const ftc_graph *g, const ftc_node *node) {
    if (!ftc_region_is_part(g, node)) return false;
    ftc_axes order = ftc_region_view_order(g, node->arg[0]);
    int first = 0;
    while (ftc_region_is_token_axis(g, &order, order.at[first])) first++;
    return order.at[first] == node->axis;
}

static bool is_view(const ftc_graph *g, const ftc_node *node) {
    ftc_op_class class = ftc_node_class(node);
    return class == FTC_CLASS_RENAME || class == FTC_CLASS_DETACH || is_slice(g, node);
}

ftc_id ftc_region_source(const ftc_graph *g, ftc_id id) {
    while (is_view(g, &g->nodes[id])) id = g->nodes[id].arg[0];
    return id;
}

bool ftc_region_is_slice_of_tokens(const ftc_graph *g, ftc_id id) {
    for (; is_view(g, &g->nodes[id]); id = g->nodes[id].arg[0]) {
        const ftc_axes *axes = &g->nodes[g->nodes[id].arg[0]].type.axes;
        for (int i = 0; i < axes->n && is_slice(g, &g->nodes[id]); i++)
            if (ftc_region_is_token_axis(g, axes, axes->at[i])) return true;
    }
    return false;
}

int64_t ftc_region_slice_start(const ftc_graph *g, ftc_id id) {
    int64_t start = 0;
    for (; is_view(g, &g->nodes[id]); id = g->nodes[id].arg[0]) {
        const ftc_node *node = &g->nodes[id];
        if (!is_slice(g, node)) continue;
        ftc_axes own = ftc_axes_of(node->axis),
                 inner = ftc_axes_minus(&g->nodes[node->arg[0]].type.axes, &own);
        int64_t position = ftc_node_class(node) == FTC_CLASS_AT ? node->index : -node->index;
        start += position * ftc_region_constant_size(g, &inner);
    }
    return start;
}

bool ftc_region_is_view(const ftc_graph *g, ftc_id id) {
    return ftc_region_source(g, id) != id || ftc_node_class(&g->nodes[id]) == FTC_CLASS_LEAF;
}

static bool is_read(const ftc_graph *g, ftc_id id) {
    for (ftc_id user = id + 1; user < g->n_nodes; user++)
        for (int i = 0; i < g->nodes[user].n_args; i++)
            if (g->nodes[user].arg[i] == id) return true;
    return false;
}

bool ftc_region_is_own_output(const ftc_graph *g, uint32_t output) {
    ftc_id id = g->outputs[output].node;
    if (ftc_graph_output_of(g, id) != &g->outputs[output]) return false;
    // What is only written can be written in any order: each cell goes where it belongs.
    if (ftc_node_class(&g->nodes[id]) == FTC_CLASS_MAP && !is_read(g, id)) return true;
    ftc_axes made = ftc_axes_packed_order(g, &g->nodes[id].type.axes),
             wanted = ftc_axes_interface_order(g, &g->outputs[output].order);
    for (int k = 0; k < made.n; k++)
        if (made.at[k] != wanted.at[k]) return false;
    return !ftc_region_is_view(g, id);
}

ftc_id ftc_region_operand(const ftc_graph *g, ftc_id id) {
    id = ftc_region_source(g, id);
    const ftc_node *node = &g->nodes[id];
    if (ftc_node_class(node) != FTC_CLASS_MAP || node->type.dtype != FTC_BF16) return id;
    const ftc_node *arg = &g->nodes[node->arg[0]];
    return ftc_node_class(arg) == FTC_CLASS_LEAF && arg->type.dtype == FTC_F32 ? node->arg[0] : id;
}

bool ftc_region_decides(const ftc_graph *g, const ftc_node *node) {
    if (ftc_node_class(node) != FTC_CLASS_MAP || ftc_dtype_is_float(node->type.dtype)) return false;
    return ftc_dtype_is_float(g->nodes[node->arg[0]].type.dtype);
}

// Whether the node's bits are those of its operands', wherever it is computed.
static bool keeps_bits(const ftc_node *node) {
    switch (ftc_node_class(node)) {
    case FTC_CLASS_MAP: return !ftc_op_get(node->op)->rounds && node->type.dtype != FTC_BF16;
    case FTC_CLASS_RENAME:
    case FTC_CLASS_DETACH:
    case FTC_CLASS_GATHER:
    case FTC_CLASS_AT:
    case FTC_CLASS_PLACE:
    case FTC_CLASS_SHIFT: return true;
    default: return false;
    }
}

// By node: whether it is an f32 that is a whole number which f32 holds, made of such by sums, differences and
// choices: it is exact, and its bits the same wherever it is computed. To be freed.
static bool *find_whole(const ftc_graph *g) {
    bool *whole = ftc_alloc(g->n_nodes, sizeof *whole);
    ftc_range *ranges = ftc_alloc(g->n_nodes, sizeof *ranges);
    ftc_range_find(g, ranges);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        const ftc_op_info *info = ftc_op_get(node->op);
        bool is_sum = info->linear_all && info->linear_all == (1 << node->n_args) - 1;
        whole[v] =
            node->type.dtype == FTC_F32 && fabs(ranges[v].low) <= 0x1p24 && fabs(ranges[v].high) <= 0x1p24;
        if (ftc_is_constant(node))
            whole[v] &= node->value == floor(node->value);
        else
            whole[v] &= info->class == FTC_CLASS_MAP && (is_sum || !info->rounds);
        for (int i = 0; i < node->n_args; i++)
            whole[v] &= whole[node->arg[i]] || !ftc_dtype_is_float(g->nodes[node->arg[i]].type.dtype);
    }
    free(ranges);
    return whole;
}

bool *ftc_region_find_decisive(const ftc_graph *g) {
    bool *decisive = ftc_alloc(g->n_nodes, sizeof *decisive), *asked = ftc_alloc(g->n_nodes, sizeof *asked);
    bool *whole = find_whole(g);
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        const ftc_node *node = &g->nodes[v];
        ftc_op_class class = ftc_node_class(node);
        bool passes_on = asked[v] && keeps_bits(node);
        decisive[v] =
            asked[v] && !passes_on && class != FTC_CLASS_LEAF && class != FTC_CLASS_SOURCE && !whole[v];
        for (int i = 0; i < node->n_args && (passes_on || ftc_region_decides(g, node)); i++)
            asked[node->arg[i]] |= ftc_dtype_is_float(g->nodes[node->arg[i]].type.dtype);
    }
    free(asked);
    free(whole);
    return decisive;
}

ftc_axes ftc_region_memory_order(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    if (class == FTC_CLASS_LEAF || class == FTC_CLASS_ASSIGN)
        return ftc_axes_interface_order(g, &g->decls[node->decl].type.axes);
    const ftc_output *output = ftc_graph_output_of(g, id);
    return output ? ftc_axes_interface_order(g, &output->order) : ftc_axes_packed_order(g, &node->type.axes);
}

ftc_axes ftc_region_view_order(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    if (!is_view(g, node))
        return class == FTC_CLASS_LEAF ? node->type.axes : ftc_axes_packed_order(g, &node->type.axes);
    ftc_axes order = ftc_region_view_order(g, node->arg[0]), own = ftc_axes_of(node->axis);
    if (class == FTC_CLASS_AT) return ftc_axes_minus(&order, &own);
    int i = ftc_axes_find(&order, node->axis);
    if (i >= 0 && class != FTC_CLASS_DETACH) order.at[i] = node->to;
    return order;
}

bool ftc_region_slope(const ftc_graph *g, ftc_id id, ftc_axis axis, double *slope) {
    const ftc_node *node = &g->nodes[id];
    const ftc_op_info *info = ftc_op_get(node->op);
    double slopes[FTC_MAX_ARGS] = {0};
    *slope = 0;
    if (node->type.dtype != FTC_I32) return false;
    if (!ftc_axes_has(&node->type.axes, axis)) return true;
    bool is_position = info->class == FTC_CLASS_SOURCE && info->attrs & FTC_ATTR_AXIS;
    if (is_position) *slope = node->axis == axis;
    if (info->class != FTC_CLASS_MAP || info->linear_all != (1 << info->n_args) - 1) return is_position;
    for (int i = 0; i < node->n_args; i++)
        if (!ftc_region_slope(g, node->arg[i], axis, &slopes[i])) return false;
    ftc_map_types types = ftc_node_map_types(g, node);
    *slope = info->eval(&types, slopes);
    return true;
}

int64_t ftc_region_constant_size(const ftc_graph *g, const ftc_axes *axes) {
    int64_t size = 1;
    for (int i = 0; i < axes->n; i++) {
        const ftc_extent_def *extent = ftc_axis_extent(g, axes->at[i]);
        if (extent->kind != FTC_EXTENT_CONST) return -1;
        size *= extent->bound;
    }
    return size;
}

bool ftc_region_starts_with(const ftc_axes *order, int from, const ftc_axes *group) {
    if (from < 0 || from + group->n > order->n) return false;
    for (int i = 0; i < group->n; i++)
        if (order->at[from + i] != group->at[i]) return false;
    return true;
}

bool ftc_region_as_matrix(const ftc_graph *g, const ftc_axes *order, const ftc_axes *rows,
                          const ftc_axes *cols, int64_t *row_stride, int64_t *col_stride) {
    if (order->n != rows->n + cols->n) return false;
    if (ftc_region_starts_with(order, 0, rows) && ftc_region_starts_with(order, rows->n, cols)) {
        int64_t stride = ftc_region_constant_size(g, cols);
        if (stride < 0) {
            if (rows->n > 0) return false;
            stride = 0; // a single row: never multiplied
        }
        *row_stride = stride;
        *col_stride = 1;
        return true;
    }
    if (ftc_region_starts_with(order, 0, cols) && ftc_region_starts_with(order, cols->n, rows)) {
        int64_t stride = ftc_region_constant_size(g, rows);
        if (stride < 0) return false;
        *row_stride = 1;
        *col_stride = stride;
        return true;
    }
    return false;
}

ftc_dot_shape ftc_region_dot_shape(const ftc_graph *g, const ftc_node *dot) {
    ftc_dot_shape c = {.sums = dot->axes};
    ftc_axes left = ftc_region_view_order(g, dot->arg[0]), right = ftc_region_view_order(g, dot->arg[1]);
    ftc_axes shared = ftc_axes_intersect(&left, &right);
    c.batch = ftc_axes_minus(&shared, &dot->axes);
    ftc_axes order = ftc_axes_packed_order(g, &dot->type.axes);
    ftc_axes own = ftc_axes_minus(&order, &c.batch);
    // A is the side that owns the result's outermost axis; a vector times a matrix is a product with one row.
    bool left_first = own.n == 0 || ftc_axes_has(&left, own.at[0]);
    if (ftc_axes_subset(&own, left_first ? &left : &right)) left_first = !left_first;
    c.a = dot->arg[left_first ? 0 : 1];
    c.b = dot->arg[left_first ? 1 : 0];
    ftc_axes a = left_first ? left : right, b = left_first ? right : left;
    ftc_axes a_order = ftc_axes_minus(&a, &dot->axes), b_order = ftc_axes_minus(&b, &dot->axes);
    c.rows = ftc_axes_minus(&a_order, &c.batch);
    c.cols = ftc_axes_minus(&b_order, &c.batch);
    c.sums = ftc_axes_intersect(&a, &dot->axes); // in A's order
    return c;
}

bool ftc_region_is_matrix_product(const ftc_graph *g, const ftc_node *dot) {
    ftc_dot_shape c = ftc_region_dot_shape(g, dot);
    if (c.batch.n > 0 || dot->type.dtype != FTC_F32) return false;
    ftc_axes a = ftc_region_view_order(g, c.a), b = ftc_region_view_order(g, c.b);
    ftc_axes result = ftc_axes_packed_order(g, &dot->type.axes);
    int64_t row, col;
    return ftc_region_as_matrix(g, &a, &c.rows, &c.sums, &row, &col) &&
           ftc_region_as_matrix(g, &b, &c.sums, &c.cols, &row, &col) &&
           ftc_region_as_matrix(g, &result, &c.rows, &c.cols, &row, &col) && col == 1;
}

bool ftc_region_is_step_product(const ftc_graph *g, const ftc_node *dot, ftc_axis axis) {
    ftc_dot_shape c = ftc_region_dot_shape(g, dot);
    ftc_axes row = {.n = 2, .at = {ftc_axis_over(g, axis), axis}};
    return c.cols.n > 0 && ftc_axes_same_set(&c.rows, &row) && ftc_region_is_matrix_product(g, dot);
}

void ftc_region_step_loops(const ftc_graph *g, const ftc_node *node, const ftc_kernel *kernel,
                           ftc_axes *outer, ftc_axes *cols) {
    bool reduces = ftc_node_class(node) == FTC_CLASS_REDUCE;
    ftc_axes space = ftc_axes_packed_order(g, reduces ? &g->nodes[node->arg[0]].type.axes : &node->type.axes);
    ftc_axes block = ftc_axes_of(kernel->block);
    space = ftc_axes_minus(&space, &kernel->rows);
    space = ftc_axes_minus(&space, &block);
    *cols = reduces ? node->axes : space.n ? ftc_axes_of(space.at[space.n - 1]) : (ftc_axes){0};
    *outer = ftc_axes_minus(&space, cols);
}

// Whether one index runs over the axes where they lie in `order`: one axis, or several of constant size side
// by side.
static bool is_one_index(const ftc_graph *g, const ftc_axes *order, const ftc_axes *axes) {
    if (axes->n <= 1) return true;
    return ftc_region_constant_size(g, axes) >= 0 &&
           ftc_region_starts_with(order, ftc_axes_find(order, axes->at[0]), axes);
}

bool ftc_region_has_kernel(const ftc_graph *g, const ftc_node *dot) {
    ftc_dot_shape c = ftc_region_dot_shape(g, dot);
    if (c.cols.n == 0) return false; // a matrix times a vector
    // A vector times what would have to be stored for it alone.
    if (c.batch.n == 0 && c.rows.n == 0 && ftc_region_touches_quadratic(g, dot)) return false;
    if (c.batch.n == 0) return ftc_region_is_matrix_product(g, dot);
    ftc_axes a = ftc_region_view_order(g, c.a), b = ftc_region_view_order(g, c.b);
    ftc_axes result = ftc_axes_packed_order(g, &dot->type.axes);
    return is_one_index(g, &a, &c.rows) && is_one_index(g, &a, &c.sums) && is_one_index(g, &b, &c.sums) &&
           is_one_index(g, &b, &c.cols) && is_one_index(g, &result, &c.rows) &&
           is_one_index(g, &result, &c.cols);
}
