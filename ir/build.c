#include "ir/build.h"
#include "ir/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/op.h"

void ftc_build_cursor(ftc_graph *g, ftc_loc loc, ftc_phase phase) {
    g->cursor_loc = loc;
    g->cursor_phase = phase;
}

ftc_id ftc_build_try(ftc_graph *g, ftc_node node, char *error, int error_size) {
    ftc_type type;
    if (!ftc_op_get(node.op)->infer(g, &node, &type, error, error_size)) return 0;
    ftc_axis lone;
    if (!ftc_axes_ragged_complete(g, &type.axes, &lone)) {
        snprintf(error, (size_t)error_size,
                 "the result has axis %s but not %s, whose elements each have their own %s",
                 g->axes[lone].name, g->axes[ftc_axis_over(g, lone)].name, g->axes[lone].name);
        return 0;
    }
    node.type = type;
    node.loc = g->cursor_loc;
    node.phase = g->cursor_phase;
    return ftc_graph_append(g, node);
}

ftc_id ftc_build(ftc_graph *g, ftc_node node) {
    char error[512];
    ftc_id id = ftc_build_try(g, node, error, sizeof error);
    if (id) return id;
    ftc_fault("%s: %s", ftc_op_get(node.op)->name, error);
}

// A node without attributes.
static ftc_node blank(ftc_op op) {
    return (ftc_node){.op = op, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS, .decl = FTC_NO_DECL};
}

ftc_id ftc_build_const(ftc_graph *g, double value) {
    ftc_node node = blank(FTC_OP_const);
    node.value = value;
    return ftc_build(g, node);
}

ftc_id ftc_build_fill(ftc_graph *g, double value, ftc_dtype dtype, const ftc_axes *axes) {
    ftc_node node = blank(axes->n ? FTC_OP_fill : FTC_OP_const);
    node.value = value;
    node.type.dtype = dtype;
    node.axes = *axes;
    return ftc_build(g, node);
}

ftc_id ftc_build_map(ftc_graph *g, ftc_op op, ftc_dtype dtype, int n_args, const ftc_id *args) {
    ftc_node node = blank(op);
    node.type.dtype = dtype;
    node.n_args = (uint8_t)n_args;
    ftc_axes all = {0};
    for (int i = 0; i < n_args; i++) {
        node.arg[i] = args[i];
        all = ftc_axes_union(&all, &g->nodes[args[i]].type.axes);
    }
    node.outer = true;
    for (int i = 0; i < n_args; i++)
        if (g->nodes[args[i]].type.axes.n == all.n) node.outer = false;
    return ftc_build(g, node);
}

ftc_id ftc_build_map1(ftc_graph *g, ftc_op op, ftc_id x) {
    return ftc_build_map(g, op, 0, 1, &x);
}

ftc_id ftc_build_map2(ftc_graph *g, ftc_op op, ftc_id x, ftc_id y) {
    return ftc_build_map(g, op, 0, 2, (ftc_id[]){x, y});
}

ftc_id ftc_build_select(ftc_graph *g, ftc_id condition, ftc_id x, ftc_id y) {
    return ftc_build_map(g, FTC_OP_select, 0, 3, (ftc_id[]){condition, x, y});
}

ftc_id ftc_build_broadcast(ftc_graph *g, ftc_id x, const ftc_axes *axes) {
    const ftc_type type = g->nodes[x].type;
    if (ftc_axes_subset(axes, &type.axes)) return x;
    ftc_axes all = ftc_axes_union(axes, &type.axes);
    return ftc_build_map2(g, FTC_OP_mul, x, ftc_build_fill(g, 1, type.dtype, &all));
}

bool ftc_is_broadcast(const ftc_graph *g, const ftc_node *node, ftc_id *x) {
    if (node->op != FTC_OP_mul) return false;
    for (int i = 0; i < 2; i++) {
        const ftc_node *fill = ftc_graph_node(g, node->arg[i]), *other = ftc_graph_node(g, node->arg[1 - i]);
        if (!ftc_is_constant(fill) || fill->value != 1) continue;
        if (ftc_axes_subset(&fill->type.axes, &other->type.axes)) continue;
        *x = node->arg[1 - i];
        return true;
    }
    return false;
}

ftc_id ftc_build_cast(ftc_graph *g, ftc_dtype dtype, ftc_id x) {
    return g->nodes[x].type.dtype == dtype ? x : ftc_build_map(g, FTC_OP_cast, dtype, 1, &x);
}

static ftc_id reduce(ftc_graph *g, ftc_op op, ftc_id x, const ftc_axes *axes) {
    if (!axes->n) return x;
    ftc_node node = blank(op);
    node.n_args = 1;
    node.arg[0] = x;
    node.axes = *axes;
    return ftc_build(g, node);
}

ftc_id ftc_build_sum(ftc_graph *g, ftc_id x, const ftc_axes *axes) {
    return reduce(g, FTC_OP_sum, x, axes);
}

ftc_id ftc_build_max(ftc_graph *g, ftc_id x, const ftc_axes *axes) {
    return reduce(g, FTC_OP_max, x, axes);
}

ftc_id ftc_build_dot(ftc_graph *g, ftc_id x, ftc_id y, const ftc_axes *axes) {
    if (!axes->n)
        return ftc_build_map2(g, FTC_OP_mul, ftc_build_cast(g, FTC_F32, x), ftc_build_cast(g, FTC_F32, y));
    ftc_node node = blank(FTC_OP_dot);
    node.n_args = 2;
    node.arg[0] = x;
    node.arg[1] = y;
    node.axes = *axes;
    return ftc_build(g, node);
}

ftc_id ftc_build_rename(ftc_graph *g, ftc_id x, ftc_axis from, ftc_axis to) {
    if (from == to) return x;
    ftc_node node = blank(FTC_OP_rename);
    node.n_args = 1;
    node.arg[0] = x;
    node.axis = from;
    node.to = to;
    return ftc_build(g, node);
}

ftc_id ftc_build_shift(ftc_graph *g, ftc_id x, ftc_axis from, ftc_axis to, int64_t by) {
    ftc_node node = blank(FTC_OP_shift);
    node.n_args = 1;
    node.arg[0] = x;
    node.axis = from;
    node.to = to;
    node.index = by;
    return ftc_build(g, node);
}

ftc_id ftc_build_at(ftc_graph *g, ftc_id x, ftc_axis axis, int64_t index) {
    ftc_node node = blank(FTC_OP_at);
    node.n_args = 1;
    node.arg[0] = x;
    node.axis = axis;
    node.index = index;
    return ftc_build(g, node);
}

ftc_id ftc_build_place(ftc_graph *g, ftc_id x, ftc_axis axis, int64_t index, const ftc_axes *axes) {
    ftc_node node = blank(FTC_OP_place);
    node.n_args = 1;
    node.arg[0] = x;
    node.axis = axis;
    node.index = index;
    node.axes = *axes;
    return ftc_build(g, node);
}

static ftc_id indexed(ftc_graph *g, ftc_op op, ftc_id x, ftc_axis axis, ftc_id indices, int64_t dead_row,
                      const ftc_axes *kept) {
    ftc_node node = blank(op);
    node.n_args = 2;
    node.arg[0] = x;
    node.arg[1] = indices;
    node.axis = axis;
    node.index = dead_row;
    node.axes = *kept;
    return ftc_build(g, node);
}

ftc_id ftc_build_gather(ftc_graph *g, ftc_id table, ftc_axis axis, ftc_id indices, int64_t dead_row) {
    return indexed(g, FTC_OP_gather, table, axis, indices, dead_row, &(ftc_axes){0});
}

ftc_id ftc_build_scatter_add(ftc_graph *g, ftc_id x, ftc_axis axis, ftc_id indices, int64_t dead_row,
                             const ftc_axes *kept) {
    return indexed(g, FTC_OP_scatter_add, x, axis, indices, dead_row, kept);
}

ftc_id ftc_build_state(ftc_graph *g, ftc_id initial, ftc_axis axis, bool from_end) {
    ftc_node node = blank(from_end ? FTC_OP_after : FTC_OP_before);
    node.n_args = 1;
    node.arg[0] = initial;
    node.axis = axis;
    node.index = g->next_site++;
    return ftc_build(g, node);
}

ftc_id ftc_build_scan(ftc_graph *g, ftc_id state, ftc_id next) {
    ftc_node node = blank(FTC_OP_scan);
    node.n_args = 2;
    node.arg[0] = state;
    node.arg[1] = next;
    return ftc_build(g, node);
}
