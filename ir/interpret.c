#include "ir/interpret.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/base/random.h"
#include "ir/recurrence.h"

// --- sizes --------------------------------------------------------------------------------------------

// Positions of an axis; `element` is the coordinate on the axis that it is ragged over (not read for others).
static int64_t axis_count(const ftc_graph *g, const ftc_bindings *b, ftc_axis axis, int64_t element) {
    const ftc_extent_def *e = ftc_axis_extent(g, axis);
    switch (e->kind) {
    case FTC_EXTENT_CONST: return e->bound;
    case FTC_EXTENT_SYMBOL: return b->extents[g->axes[axis].extent];
    default: return b->lengths[g->axes[axis].extent][element];
    }
}

// Cells of the axes of `order` that are ragged over order->at[i], for one element of it.
static int64_t ragged_cells(const ftc_graph *g, const ftc_bindings *b, const ftc_axes *order, int i,
                            int64_t element) {
    int64_t cells = 1;
    for (int k = 0; k < order->n; k++)
        if (ftc_axis_over(g, order->at[k]) == order->at[i]) cells *= axis_count(g, b, order->at[k], element);
    return cells;
}

static bool has_ragged(const ftc_graph *g, const ftc_axes *axes, ftc_axis over) {
    for (int k = 0; k < axes->n; k++)
        if (ftc_axis_over(g, axes->at[k]) == over) return true;
    return false;
}

int64_t ftc_interp_cells(const ftc_graph *g, const ftc_bindings *b, const ftc_axes *axes) {
    int64_t cells = 1;
    for (int i = 0; i < axes->n; i++) {
        if (ftc_axis_over(g, axes->at[i]) != FTC_NO_AXIS) continue;
        int64_t count = axis_count(g, b, axes->at[i], 0), sum = 0;
        for (int64_t element = 0; element < count; element++) sum += ragged_cells(g, b, axes, i, element);
        cells *= sum;
    }
    return cells;
}

// --- walking ------------------------------------------------------------------------------------------

void ftc_walk_begin(ftc_walk *w, const ftc_graph *g, const ftc_bindings *b, const ftc_axes *space,
                    ftc_axis row) {
    *w = (ftc_walk){.g = g, .b = b};
    ftc_axes order = ftc_axes_packed_order(g, space);
    if (ftc_axes_has(&order, row) && !has_ragged(g, &order, row)) {
        ftc_axes last = ftc_axes_of(row), others = ftc_axes_minus(&order, &last);
        order = ftc_axes_union(&others, &last);
    }
    w->axes = order;
}

// Cells of the axes of `order`, given as they lie in memory.
static ftc_walk_layout lay_out(const ftc_walk *w, const ftc_axes *order) {
    const ftc_graph *g = w->g;
    ftc_walk_layout layout = {.order = *order}, *view = &layout;
    int64_t cells = 1;
    for (int i = view->order.n - 1; i >= 0; i--) {
        ftc_axis axis = view->order.at[i];
        view->inner[i] = cells;
        if (ftc_axis_over(g, axis) != FTC_NO_AXIS) continue; // counted with the axis that it is ragged over
        int64_t count = axis_count(g, w->b, axis, 0);
        if (has_ragged(g, &view->order, axis)) {
            int64_t *before = ftc_alloc((size_t)count + 1, sizeof *before);
            for (int64_t e = 0; e < count; e++)
                before[e + 1] = before[e] + ragged_cells(g, w->b, &view->order, i, e);
            view->before[i] = before;
            cells *= before[count];
        } else {
            cells *= count;
        }
    }
    return layout;
}

int ftc_walk_view_as(ftc_walk *w, const ftc_axes *axes, ftc_axis own, ftc_axis seen) {
    ftc_axes order = ftc_axes_packed_order(w->g, axes);
    ftc_walk_layout *view = &w->view[w->n_views];
    *view = lay_out(w, &order);
    for (int i = 0; i < view->order.n; i++)
        if (view->order.at[i] == own) view->order.at[i] = seen;
    return w->n_views++;
}

int ftc_walk_interface_view(ftc_walk *w, const ftc_axes *axes) {
    ftc_axes order = ftc_axes_interface_order(w->g, axes);
    w->view[w->n_views] = lay_out(w, &order);
    return w->n_views++;
}

int ftc_walk_view(ftc_walk *w, const ftc_axes *axes) {
    return ftc_walk_view_as(w, axes, FTC_NO_AXIS, FTC_NO_AXIS);
}

static int64_t coordinate(const ftc_walk *w, ftc_axis axis) {
    int i = ftc_axes_find(&w->axes, axis);
    return i < 0 ? 0 : w->coordinate[i];
}

// Positions of the i-th axis of the space, for the current coordinates of those before it.
static int64_t count_here(const ftc_walk *w, int i) {
    ftc_axis over = ftc_axis_over(w->g, w->axes.at[i]);
    return axis_count(w->g, w->b, w->axes.at[i], over == FTC_NO_AXIS ? 0 : coordinate(w, over));
}

// The first position of it that is visited, and the end.
static void range_here(const ftc_walk *w, int i, int64_t *begin, int64_t *end) {
    const ftc_walk_position *at = w->b->position;
    const int64_t count = count_here(w, i);
    *begin = 0;
    *end = count;
    if (!at || at->axis != w->axes.at[i]) return;
    *begin = at->from_end ? count - 1 - at->steps : at->steps;
    *end = *begin >= 0 && *begin < count ? *begin + 1 : *begin;
}

// Where the row begins in a view and how it goes on.
static void place_view(ftc_walk *w, int v) {
    const ftc_walk_layout *view = &w->view[v];
    ftc_axis row = w->axes.n ? w->axes.at[w->axes.n - 1] : FTC_NO_AXIS;
    int64_t ragged = 1; // cells of the ragged axes behind, within their element
    w->at[v] = 0;
    w->step[v] = 0;
    for (int i = view->order.n - 1; i >= 0; i--) {
        ftc_axis axis = view->order.at[i], over = ftc_axis_over(w->g, axis);
        int64_t c = coordinate(w, axis), stride = view->inner[i];
        if (view->before[i]) {
            w->at[v] += view->before[i][c] * stride;
            ragged = 1;
            continue;
        }
        stride *= ragged;
        if (over != FTC_NO_AXIS) ragged *= axis_count(w->g, w->b, axis, coordinate(w, over));
        w->at[v] += c * stride;
        if (axis == row) w->step[v] = stride;
    }
}

bool ftc_walk_next(ftc_walk *w) {
    int last = w->axes.n - 1, i = w->started ? last - !w->by_cell : 0;
    int64_t begin, end;
    if (w->started && i < 0) return false;
    if (w->started)
        w->coordinate[i]++;
    else if (last >= 0)
        range_here(w, 0, &w->coordinate[0], &end);
    w->started = true;
    // Carry outwards where an axis is exhausted, else go inwards from its first position.
    while (i <= last) {
        range_here(w, i, &begin, &end);
        if (w->coordinate[i] < end) {
            if (++i <= last) range_here(w, i, &w->coordinate[i], &end);
        } else {
            if (--i < 0) return false;
            w->coordinate[i]++;
        }
    }
    w->n = 1;
    if (last >= 0 && !w->by_cell) {
        range_here(w, last, &begin, &end);
        w->n = end - begin;
    }
    for (int v = 0; v < w->n_views; v++) place_view(w, v);
    return true;
}

void ftc_walk_end(ftc_walk *w) {
    for (int v = 0; v < w->n_views; v++)
        for (int i = 0; i < FTC_MAX_AXES; i++) free(w->view[v].before[i]);
}

int64_t ftc_walk_count(const ftc_walk *w, ftc_axis axis) {
    return axis_count(w->g, w->b, axis, 0);
}

int64_t ftc_walk_stride(const ftc_walk *w, int view, ftc_axis axis) {
    return w->view[view].inner[ftc_axes_find(&w->view[view].order, axis)];
}

// --- the interpreter ----------------------------------------------------------------------------------

struct ftc_interp {
    const ftc_graph *g;
    const ftc_bindings *given;
    ftc_bindings b; // as given, and where a recurrence is
    ftc_recurrences recurrences;
    ftc_id *order;       // [n_nodes - 1] in which nodes are evaluated
    double **value;      // [n_nodes] NULL: not computed yet, or no longer needed
    uint32_t *last_read; // [n_nodes] when the value is read last, in `order`; n_nodes: it is kept
};

ftc_interp *ftc_interp_new(const ftc_graph *g, const ftc_bindings *b) {
    ftc_interp *in = ftc_alloc(1, sizeof *in);
    *in = (ftc_interp){.g = g, .given = b, .b = *b, .recurrences = ftc_recurrences_find(g)};
    in->order = ftc_alloc(g->n_nodes, sizeof *in->order);
    ftc_recurrences_order(g, &in->recurrences, in->order);
    in->value = ftc_alloc(g->n_nodes, sizeof *in->value);
    in->last_read = ftc_alloc(g->n_nodes, sizeof *in->last_read);
    for (uint32_t i = 0, end; i < g->n_nodes - 1; i = end) {
        end = ftc_recurrences_end(g, &in->recurrences, in->order, i);
        for (uint32_t k = i; k < end; k++) {
            const ftc_node *node = ftc_graph_node(g, in->order[k]);
            bool keep = b->keep_all || ftc_node_class(node) == FTC_CLASS_ASSIGN;
            in->last_read[in->order[k]] = keep ? g->n_nodes : end - 1;
            for (int a = 0; a < node->n_args; a++)
                if (in->last_read[node->arg[a]] < end - 1) in->last_read[node->arg[a]] = end - 1;
        }
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) in->last_read[g->outputs[i].node] = g->n_nodes;
    return in;
}

const ftc_graph *ftc_interp_graph(const ftc_interp *in) {
    return in->g;
}
const ftc_bindings *ftc_interp_bindings(const ftc_interp *in) {
    return &in->b;
}
int64_t ftc_interp_first_slot(const ftc_interp *in, ftc_axis axis) {
    bool batch_like = ftc_axis_extent(in->g, axis)->kind == FTC_EXTENT_SYMBOL;
    return batch_like && in->b.first_slots ? in->b.first_slots[in->g->axes[axis].extent] : 0;
}

ftc_id ftc_interp_scan_of(const ftc_interp *in, ftc_id state) {
    return in->recurrences.scan[state];
}

double *ftc_interp_result(ftc_interp *in, ftc_id id) {
    return in->value[id];
}

const double *ftc_interp_value(const ftc_interp *in, ftc_id id, int64_t *n_cells) {
    if (in->value[id] && n_cells) *n_cells = ftc_interp_cells(in->g, &in->b, &in->g->nodes[id].type.axes);
    return in->value[id];
}

static void forget(ftc_interp *in, ftc_id id) {
    free(in->value[id]);
    in->value[id] = NULL;
}

static void interpret_map(ftc_interp *in, ftc_id id) {
    const ftc_node *node = ftc_graph_node(in->g, id);
    ftc_eval_fn *eval = ftc_op_get(node->op)->eval;
    ftc_map_types types = ftc_node_map_types(in->g, node);
    ftc_walk w;
    ftc_walk_begin(&w, in->g, &in->b, &node->type.axes, FTC_NO_AXIS);
    for (int i = 0; i < node->n_args; i++) ftc_walk_view(&w, &in->g->nodes[node->arg[i]].type.axes);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w)) {
        for (int64_t j = 0; j < w.n; j++) {
            double x[FTC_MAX_ARGS];
            for (int i = 0; i < node->n_args; i++) x[i] = in->value[node->arg[i]][w.at[i] + j * w.step[i]];
            in->value[id][w.at[o] + j * w.step[o]] = eval(&types, x);
        }
    }
    ftc_walk_end(&w);
}

// Copies an assigned value, whose axes may come in another order, to the declaration's tensor.
static void store(ftc_interp *in, ftc_id id) {
    const ftc_node *node = ftc_graph_node(in->g, id);
    double *tensor = in->b.tensors[node->decl];
    ftc_walk w;
    ftc_walk_begin(&w, in->g, &in->b, &node->type.axes, FTC_NO_AXIS);
    int x = ftc_walk_view(&w, &node->type.axes), o = ftc_walk_view(&w, &in->g->decls[node->decl].type.axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++)
            tensor[w.at[o] + j * w.step[o]] = in->value[id][w.at[x] + j * w.step[x]];
    ftc_walk_end(&w);
}

// Evaluates a node that is no map with the magnitudes of its operands: a sum is rounded as its terms are
// large.
static double *sum_of_magnitudes(ftc_interp *in, ftc_id id) {
    const ftc_node *node = ftc_graph_node(in->g, id);
    double *own = in->value[id], *operand[FTC_MAX_ARGS], *result;
    for (int k = 0; k < node->n_args; k++) {
        int64_t n = ftc_interp_cells(in->g, &in->b, &in->g->nodes[node->arg[k]].type.axes);
        double *magnitude = ftc_alloc((size_t)n, sizeof *magnitude);
        operand[k] = in->value[node->arg[k]];
        for (int64_t i = 0; i < n; i++) magnitude[i] = fabs(operand[k][i]);
        in->value[node->arg[k]] = magnitude;
    }
    in->value[id] = result =
        ftc_alloc((size_t)ftc_interp_cells(in->g, &in->b, &node->type.axes), sizeof *result);
    ftc_op_get(node->op)->interpret(in, id);
    for (int k = node->n_args; k-- > 0;) { // one value may be both operands
        forget(in, node->arg[k]);
        in->value[node->arg[k]] = operand[k];
    }
    in->value[id] = own;
    return result;
}

// How far off a computed value may be; 0: it is what it is.
static double noise_of(const ftc_interp *in, const ftc_node *node) {
    if (node->type.dtype == FTC_BF16) return node->op == FTC_OP_cast ? in->b.bf16_noise : 0;
    return node->type.dtype == FTC_F32 && ftc_op_get(node->op)->rounds ? in->b.noise : 0;
}

static void add_noise(ftc_interp *in, ftc_id id, double noise) {
    const ftc_node *node = ftc_graph_node(in->g, id);
    uint64_t key = ftc_random_fold(in->b.noise_seed, id);
    double *sum = ftc_node_class(node) == FTC_CLASS_MAP ? NULL : sum_of_magnitudes(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, in->g, &in->b, &node->type.axes, FTC_NO_AXIS);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) {
            double *cell = &in->value[id][w.at[o] + j * w.step[o]];
            double size = sum ? sum[cell - in->value[id]] : *cell;
            uint64_t bits; // equal numbers are rounded alike, which their sum shows
            memcpy(&bits, &size, sizeof bits);
            if (isfinite(size))
                *cell += noise * (2 * (double)ftc_random_cell(ftc_random_fold(key, bits), 0) - 1) * size;
        }
    ftc_walk_end(&w);
    free(sum);
}

// Zeroed cells for the value.
static void clear(ftc_interp *in, ftc_id id) {
    forget(in, id);
    in->value[id] =
        ftc_alloc((size_t)ftc_interp_cells(in->g, &in->b, &in->g->nodes[id].type.axes), sizeof(double));
}

static void evaluate(ftc_interp *in, ftc_id id) {
    const ftc_node *node = ftc_graph_node(in->g, id);
    const ftc_op_info *info = ftc_op_get(node->op);
    if (info->class == FTC_CLASS_MAP)
        interpret_map(in, id);
    else
        info->interpret(in, id);
    double noise = noise_of(in, node);
    if (noise != 0) add_noise(in, id, noise);
}

// The nodes [n] of a recurrence, the first of which is a state.
static void run_recurrence(ftc_interp *in, const ftc_id *nodes, uint32_t n) {
    const ftc_node *state = ftc_graph_node(in->g, nodes[0]);
    ftc_walk_position at = {.axis = state->axis, .from_end = ftc_op_get(state->op)->from_end};
    for (uint32_t i = 0; i < n; i++) clear(in, nodes[i]);
    in->b.position = &at;
    int64_t most = 0; // positions of the longest element
    for (int64_t e = 0; e < axis_count(in->g, &in->b, ftc_axis_over(in->g, at.axis), 0); e++)
        if (axis_count(in->g, &in->b, at.axis, e) > most) most = axis_count(in->g, &in->b, at.axis, e);
    for (; at.steps < most; at.steps++)
        for (uint32_t i = 0; i < n; i++) evaluate(in, nodes[i]);
    in->b.position = NULL;
}

void ftc_interp_run(ftc_interp *in) {
    const ftc_graph *g = in->g;
    in->b = *in->given;
    for (uint32_t i = 0, end; i < g->n_nodes - 1; i = end) {
        end = ftc_recurrences_end(g, &in->recurrences, in->order, i);
        if (in->recurrences.of[in->order[i]]) {
            run_recurrence(in, &in->order[i], end - i);
        } else {
            clear(in, in->order[i]);
            evaluate(in, in->order[i]);
        }
        for (uint32_t k = i; k < end; k++) {
            ftc_id id = in->order[k];
            const ftc_node *node = ftc_graph_node(g, id);
            for (int a = 0; a < node->n_args; a++)
                if (in->last_read[node->arg[a]] == end - 1) forget(in, node->arg[a]);
            if (in->last_read[id] == end - 1) forget(in, id);
        }
    }
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_node_class(ftc_graph_node(g, id)) == FTC_CLASS_ASSIGN) store(in, id);
}

void ftc_interp_free(ftc_interp *in) {
    if (!in) return;
    for (ftc_id id = 0; id < in->g->n_nodes; id++) free(in->value[id]);
    free(in->value);
    free(in->last_read);
    free(in->order);
    ftc_recurrences_free(&in->recurrences);
    free(in);
}
