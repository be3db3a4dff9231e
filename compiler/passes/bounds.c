// bounds: no index leaves its table.
//
// An index of gather or scatter_add that the ranges of values (ir/range.h) show to be a row costs nothing.
// Any other is replaced by the nearest row, and
//
//   row    = minimum(maximum(index, 0), last)           what the table is read at
//   inside = row == index                               scatter_add adds 0 where it is false
//   fault  = max(select(inside, -inf, -position))       an output: the lowest position along the batch axis
//
// so that a check is a value like others, the same for any number of threads, and in every way to run a
// graph. The pass optimizer lets no assignment change anything in a call with a fault; the caller reads the
// outputs (ftc_program.checks).
//
// It stands before differentiate: gradients are made with the indices that are rows.
#include "compiler/passes/bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/passes.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

static bool is_indexed(const ftc_node *node) {
    return ftc_node_class(node) == FTC_CLASS_GATHER || ftc_node_class(node) == FTC_CLASS_SCATTER;
}

// --- checks -------------------------------------------------------------------------------------------

// An index into an axis, and what is made of it.
typedef struct {
    ftc_id index;
    ftc_extent extent;
    ftc_id row, inside;
    const char *output; // NULL: no output of the entry and no assignment needs it
    ftc_id fault;
} check;

typedef struct {
    ftc_graph *to;
    check *list; // [n]
    int n;
} checks;

// The last position of an axis, of the indices' dtype: a constant, or as many as the call has of a symbol.
static ftc_id last_position(ftc_graph *g, ftc_axis axis, ftc_dtype dtype) {
    const ftc_extent_def *extent = ftc_axis_extent(g, axis);
    if (extent->kind == FTC_EXTENT_CONST)
        return ftc_build_fill(g, (double)extent->bound - 1, dtype, &(ftc_axes){0});
    ftc_id index =
        ftc_build(g, (ftc_node){.op = FTC_OP_index, .axis = axis, .to = FTC_NO_AXIS, .decl = FTC_NO_DECL});
    ftc_axes along = ftc_axes_of(axis);
    return ftc_build_cast(g, dtype, ftc_build_max(g, ftc_build_cast(g, FTC_F32, index), &along));
}

// The axis whose position a fault tells: the first that a call has any number of; FTC_NO_AXIS: none.
static ftc_axis batch_axis(const ftc_graph *g, const ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++)
        if (ftc_axis_extent(g, axes->at[i])->kind == FTC_EXTENT_SYMBOL) return axes->at[i];
    return FTC_NO_AXIS;
}

// Minus the lowest position with an index outside, -inf: there is none.
static ftc_id build_fault(ftc_graph *g, ftc_id inside) {
    ftc_axes axes = g->nodes[inside].type.axes;
    ftc_axis batch = batch_axis(g, &axes);
    ftc_id place = ftc_build_const(g, 0);
    if (batch != FTC_NO_AXIS) {
        place = ftc_build(
            g, (ftc_node){.op = FTC_OP_index, .axis = batch, .to = FTC_NO_AXIS, .decl = FTC_NO_DECL});
        place = ftc_build_map1(g, FTC_OP_neg, ftc_build_cast(g, FTC_F32, place));
    }
    return ftc_build_max(g, ftc_build_select(g, inside, ftc_build_const(g, -INFINITY), place), &axes);
}

// The check of an index; made where there is none yet.
static check *check_of(checks *c, ftc_id index, ftc_axis axis) {
    ftc_graph *g = c->to;
    ftc_extent extent = g->axes[axis].extent;
    for (int i = 0; i < c->n; i++)
        if (c->list[i].index == index && c->list[i].extent == extent) return &c->list[i];
    ftc_dtype dtype = g->nodes[index].type.dtype;
    ftc_id first = ftc_build_fill(g, 0, dtype, &(ftc_axes){0}), last = last_position(g, axis, dtype);
    ftc_id row = ftc_build_map2(g, FTC_OP_minimum, ftc_build_map2(g, FTC_OP_maximum, index, first), last);
    check made = {index, extent, row, ftc_build_map2(g, FTC_OP_eq, row, index), NULL, 0};
    c->list = ftc_realloc(c->list, (size_t)(c->n + 1), sizeof *c->list);
    c->list[c->n] = made;
    return &c->list[c->n++];
}

// What outputs of the entry and assignments need; [n_nodes].
static bool *find_needed(const ftc_graph *g, ftc_entry_kind entry) {
    bool *needed = ftc_alloc(g->n_nodes, sizeof *needed);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].entries >> entry & 1) needed[g->outputs[i].node] = true;
    for (ftc_id id = g->n_nodes; id-- > 1;) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) == FTC_CLASS_ASSIGN) needed[id] = true;
        for (int i = 0; i < node->n_args && needed[id]; i++) needed[node->arg[i]] = true;
    }
    return needed;
}

bool ftc_pass_bounds(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)d;
    ftc_range *ranges = ftc_alloc(g->n_nodes, sizeof *ranges);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    bool *needed = find_needed(g, options->entry);
    ftc_range_find(g, ranges);
    checks c = {.to = ftc_graph_new_like(g)};
    int ordinal = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_node node = g->nodes[id];
        for (int i = 0; i < node.n_args; i++) node.arg[i] = map[node.arg[i]];
        if (is_indexed(&node)) ordinal++;
        if (is_indexed(&node) && !ftc_range_within(g, &ranges[g->nodes[id].arg[1]], node.axis)) {
            ftc_build_cursor(c.to, node.loc, node.phase);
            check *k = check_of(&c, node.arg[1], node.axis);
            node.arg[1] = k->row;
            if (ftc_node_class(&node) == FTC_CLASS_SCATTER)
                node.arg[0] = ftc_build_select(c.to, k->inside, node.arg[0], ftc_build_const(c.to, 0));
            if (needed[id] && !k->output) {
                k->output = ftc_graph_format(g, FTC_FAULT_PREFIX "%d", ordinal);
                k->fault = build_fault(c.to, k->inside);
            }
        }
        map[id] = ftc_graph_append(c.to, node);
    }
    ftc_graph_replace_nodes(g, c.to, map);
    for (int i = 0; i < c.n; i++)
        if (c.list[i].output)
            ftc_graph_add_output(g, c.list[i].output, c.list[i].fault, 1u << options->entry)->role =
                FTC_OUTPUT_FAULT;
    free(c.list);
    free(needed);
    free(map);
    free(ranges);
    return true;
}

// --- questions ----------------------------------------------------------------------------------------

ftc_check_info ftc_bounds_describe(const ftc_graph *source, const char *output, ftc_axis *batch,
                                   ftc_axis *indexed) {
    int ordinal = atoi(output + strlen(FTC_FAULT_PREFIX));
    ftc_id id = 0;
    while (ordinal > 0) ordinal -= is_indexed(&source->nodes[++id]);
    const ftc_node *node = &source->nodes[id], *table = &source->nodes[node->arg[0]];
    bool is_leaf = ftc_node_class(node) == FTC_CLASS_GATHER && ftc_node_class(table) == FTC_CLASS_LEAF;
    *batch = batch_axis(source, &source->nodes[node->arg[1]].type.axes);
    *indexed = node->axis;
    return (ftc_check_info){.what = is_leaf ? source->decls[table->decl].name : ftc_op_get(node->op)->name,
                            .axis = source->axes[node->axis].name,
                            .bound = ftc_axis_extent(source, node->axis)->bound,
                            .line = ftc_model_line(&node->loc)};
}

bool ftc_bounds_proven(const ftc_graph *g, ftc_id *unproven) {
    ftc_range *ranges = ftc_alloc(g->n_nodes, sizeof *ranges);
    ftc_range_find(g, ranges);
    *unproven = 0;
    for (ftc_id id = 1; id < g->n_nodes && !*unproven; id++)
        if (is_indexed(&g->nodes[id]) &&
            !ftc_range_within(g, &ranges[g->nodes[id].arg[1]], g->nodes[id].axis))
            *unproven = id;
    free(ranges);
    return !*unproven;
}
