#include "ir/gradient.h"

#include <stdlib.h>

#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/recurrence.h"

// A state or a scan.
static bool is_recurrent(const ftc_node *node) {
    return ftc_node_class(node) == FTC_CLASS_BEFORE || ftc_node_class(node) == FTC_CLASS_SCAN;
}

bool *ftc_gradient_active(const ftc_graph *g, const bool *marked, ftc_id end) {
    bool *active = ftc_alloc(end, sizeof *active);
    for (bool again = true; again;) { // once more where a scan is found to be, and so its state
        again = false;
        for (ftc_id id = 1; id < end; id++) {
            const ftc_node *node = ftc_graph_node(g, id);
            const bool in_cycle = is_recurrent(node);
            active[id] |= marked[id];
            if ((!ftc_op_get(node->op)->gradient && !in_cycle) || !ftc_dtype_is_float(node->type.dtype))
                continue;
            for (int i = 0; i < node->n_args; i++) active[id] |= active[node->arg[i]];
            ftc_id state = ftc_node_class(node) == FTC_CLASS_SCAN && active[id] ? node->arg[0] : 0;
            again |= state && !active[state];
            if (state) active[state] = true;
        }
    }
    return active;
}

// Adds `contribution`, which may have axes that the value `id` lacks, to its gradient.
static void accumulate(ftc_graph *g, ftc_id id, ftc_id contribution, ftc_id *gradient) {
    ftc_axes repeated =
        ftc_axes_minus(&ftc_graph_node(g, contribution)->type.axes, &ftc_graph_node(g, id)->type.axes);
    ftc_id sum = ftc_build_sum(g, contribution, &repeated);
    gradient[id] = gradient[id] ? ftc_build_map2(g, FTC_OP_add, gradient[id], sum) : sum;
}

// The gradient of a recurrence is one that runs the other way. What follows a state gets the scan's gradient
// at its own position, and what the state gets at the next position: that is a state from the other end,
// whose scan is the gradient of the first one's state.
static ftc_id begin_reverse(ftc_graph *g, ftc_id id) {
    const ftc_node state = *ftc_graph_node(g, ftc_graph_node(g, id)->arg[0]);
    ftc_axes own = {.n = 2, .at = {ftc_axis_over(g, state.axis), state.axis}};
    ftc_axes rest = ftc_axes_minus(&state.type.axes, &own);
    return ftc_build_state(g, ftc_build_fill(g, 0, FTC_F32, &rest), state.axis,
                           !ftc_op_get(state.op)->from_end);
}

// Gives the gradient of what the recurrence begins with: that of its state at the first position.
static ftc_id end_reverse(ftc_graph *g, ftc_id id, ftc_id reverse, ftc_id grad) {
    const ftc_node state = *ftc_graph_node(g, id);
    ftc_axes along = ftc_axes_of(state.axis),
             own = {.n = 2, .at = {ftc_axis_over(g, state.axis), state.axis}};
    if (!grad) grad = ftc_build_fill(g, 0, FTC_F32, &state.type.axes);
    ftc_build_scan(g, reverse, grad);
    ftc_id ones = ftc_build_fill(g, 1, FTC_F32, &own);
    ftc_id others = ftc_build_shift(g, ones, state.axis, state.axis, ftc_op_get(state.op)->from_end ? -1 : 1);
    ftc_id is_first = ftc_build_map2(g, FTC_OP_eq, others, ftc_build_const(g, 0));
    return ftc_build_sum(g, ftc_build_select(g, is_first, grad, ftc_build_const(g, 0)), &along);
}

// By node: whether y is computed from it. To be freed.
static bool *find_needed_by(const ftc_graph *g, ftc_id y, const ftc_recurrences *r) {
    bool *needed = ftc_alloc(g->n_nodes, sizeof *needed);
    needed[y] = true;
    for (bool again = true; again;) { // once more for a scan that is needed by its state alone
        again = false;
        for (ftc_id id = g->n_nodes; id-- > 1;) {
            const ftc_node *node = ftc_graph_node(g, id);
            for (int i = 0; i < node->n_args && needed[id]; i++) needed[node->arg[i]] = true;
            again |= needed[id] && r->scan[id] && !needed[r->scan[id]];
            if (needed[id] && r->scan[id]) needed[r->scan[id]] = true;
        }
    }
    return needed;
}

ftc_id *ftc_gradient_append(ftc_graph *g, ftc_id y, ftc_id seed, const bool *active, ftc_id end,
                            ftc_phase phase) {
    ftc_recurrences r = ftc_recurrences_find(g);
    bool *needed = find_needed_by(g, y, &r);
    ftc_id *gradient = ftc_alloc(end, sizeof *gradient), *reverse = ftc_alloc(end, sizeof *reverse);
    gradient[y] = seed;
    for (ftc_id id = end; id-- > 1;) {
        ftc_node node = *ftc_graph_node(g, id);
        ftc_op_class class = ftc_node_class(&node);
        if (!active[id] || !node.n_args || !needed[id]) continue;
        ftc_build_cursor(g, node.loc, phase);
        ftc_id out[FTC_MAX_ARGS] = {0};
        if (class == FTC_CLASS_SCAN) {
            if (gradient[id]) accumulate(g, node.arg[1], gradient[id], gradient);
            out[1] = reverse[node.arg[0]] = begin_reverse(g, id);
        } else if (class == FTC_CLASS_BEFORE) {
            out[0] = end_reverse(g, id, reverse[id], gradient[id]);
        } else if (gradient[id]) {
            ftc_op_get(node.op)->gradient(g, id, gradient[id], out);
        }
        for (int i = 0; i < node.n_args; i++)
            if (active[node.arg[i]] && out[i]) accumulate(g, node.arg[i], out[i], gradient);
    }
    free(needed);
    free(reverse);
    ftc_recurrences_free(&r);
    return gradient;
}
