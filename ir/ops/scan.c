// Recurrences along a ragged axis: states and scans. What the two are together, ir/recurrence.h says.
#include <stdio.h>

#include "ir/interpret.h"
#include "ir/op.h"

static bool infer_state(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                        int error_size) {
    const ftc_type *initial = &ftc_graph_node(g, node->arg[0])->type;
    ftc_axis over = node->axis < g->n_axes ? ftc_axis_over(g, node->axis) : FTC_NO_AXIS;
    char text[256];
    if (over == FTC_NO_AXIS) {
        snprintf(error, (size_t)error_size,
                 "a recurrence runs along a ragged axis%s%s%s; declare it so: axis S ragged B <= 128",
                 node->axis < g->n_axes ? ", which " : "",
                 node->axis < g->n_axes ? g->axes[node->axis].name : "",
                 node->axis < g->n_axes ? " is not" : "");
        return false;
    }
    bool fits = initial->dtype == FTC_F32;
    for (int i = 0; i < initial->axes.n; i++)
        fits &=
            initial->axes.at[i] == over || ftc_axis_extent(g, initial->axes.at[i])->kind == FTC_EXTENT_CONST;
    if (!fits) {
        snprintf(error, (size_t)error_size,
                 "the first state is f32 over constant axes and %s, which it may lack; this is %s",
                 g->axes[over].name, ftc_type_text(g, initial, text, sizeof text));
        return false;
    }
    ftc_axes own = {.n = 2, .at = {over, node->axis}};
    if (ftc_axes_minus(&initial->axes, &own).n + 2 > FTC_MAX_AXES) {
        snprintf(error, (size_t)error_size, "the state has more than %d axes", FTC_MAX_AXES);
        return false;
    }
    *type = (ftc_type){.dtype = FTC_F32, .axes = ftc_axes_union(&own, &initial->axes)};
    return true;
}

// At the position that the recurrence is at.
static void interpret_state(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const double *initial = ftc_interp_value(in, node->arg[0], NULL);
    const double *scan = ftc_interp_value(in, ftc_interp_scan_of(in, id), NULL);
    double *out = ftc_interp_result(in, id);
    const bool is_first = ftc_interp_bindings(in)->position->steps == 0;
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), &node->type.axes, FTC_NO_AXIS);
    int i = ftc_walk_view(&w, &ftc_graph_node(g, node->arg[0])->type.axes);
    int s = ftc_walk_view(&w, &ftc_graph_node(g, ftc_interp_scan_of(in, id))->type.axes);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w)) {
        int64_t back = ftc_walk_stride(&w, s, node->axis);
        if (ftc_op_get(node->op)->from_end) back = -back;
        for (int64_t j = 0; j < w.n; j++)
            out[w.at[o] + j * w.step[o]] =
                is_first ? initial[w.at[i] + j * w.step[i]] : scan[w.at[s] + j * w.step[s] - back];
    }
    ftc_walk_end(&w);
}

const ftc_op_info ftc_op_info_before = {
    .name = "before",
    .doc =
        "A state: at each position along a ragged axis what its scan is at the position before, and the "
        "operand at the first one. It has the operand's axes, the ragged one and that which this is ragged "
        "over.",
    .example = "h = before(fill(0; H), S)  z = scan(h, 0.5 * h + x)",
    .class = FTC_CLASS_BEFORE,
    .n_args = 1,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_INDEX,
    .infer = infer_state,
    .interpret = interpret_state,
    .low = -1,
    .high = 1,
};

const ftc_op_info ftc_op_info_after = {
    .name = "after",
    .doc = "The same from the end: what its scan is at the position behind, and the operand at the last one.",
    .example = "h = after(fill(0; H), S)  z = scan(h, 0.5 * h + x)",
    .class = FTC_CLASS_BEFORE,
    .n_args = 1,
    .attrs = FTC_ATTR_AXIS | FTC_ATTR_INDEX,
    .infer = infer_state,
    .interpret = interpret_state,
    .from_end = true,
    .low = -1,
    .high = 1,
};

static bool infer_scan(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                       int error_size) {
    const ftc_node *state = ftc_graph_node(g, node->arg[0]);
    const ftc_type *next = &ftc_graph_node(g, node->arg[1])->type;
    char is[256], of[256];
    if (ftc_node_class(state) != FTC_CLASS_BEFORE) {
        snprintf(error, (size_t)error_size, "its first operand is a state: before(FIRST, AXIS) or after(…)");
        return false;
    }
    if (next->dtype != FTC_F32 || !ftc_axes_same_set(&next->axes, &state->type.axes)) {
        snprintf(error, (size_t)error_size, "the state is %s, and what follows it %s",
                 ftc_type_text(g, &state->type, of, sizeof of), ftc_type_text(g, next, is, sizeof is));
        return false;
    }
    *type = state->type;
    return true;
}

static void interpret_scan(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    const double *next = ftc_interp_value(in, node->arg[1], NULL);
    double *out = ftc_interp_result(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), &node->type.axes, FTC_NO_AXIS);
    int x = ftc_walk_view(&w, &ftc_graph_node(g, node->arg[1])->type.axes);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) out[w.at[o] + j * w.step[o]] = next[w.at[x] + j * w.step[x]];
    ftc_walk_end(&w);
}

const ftc_op_info ftc_op_info_scan = {
    .name = "scan",
    .doc =
        "A recurrence: the second operand, which is computed from the first, a state; this is the result at "
        "the position before. Everything between the two is computed position by position, whatever else it "
        "reads at once.",
    .example = "h = before(fill(0; H), S)  z = scan(h, 0.5 * h + x)",
    .class = FTC_CLASS_SCAN,
    .n_args = 2,
    .infer = infer_scan,
    .interpret = interpret_scan,
    .low = -1,
    .high = 1,
};
