#include "ir/gradient.h"

#include <stdlib.h>

#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

bool *ftc_gradient_active(const ftc_graph *g, const bool *marked, ftc_id end) {
    bool *active = ftc_alloc(end, sizeof *active);
    for (ftc_id id = 1; id < end; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        active[id] = marked[id];
        if (!ftc_op_get(node->op)->gradient || !ftc_dtype_is_float(node->type.dtype)) continue;
        for (int i = 0; i < node->n_args; i++) active[id] |= active[node->arg[i]];
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

ftc_id *ftc_gradient_append(ftc_graph *g, ftc_id y, ftc_id seed, const bool *active, ftc_phase phase) {
    ftc_id *gradient = ftc_alloc(y + 1, sizeof *gradient);
    gradient[y] = seed;
    for (ftc_id id = y; id > 0; id--) {
        ftc_node node = *ftc_graph_node(g, id);
        if (!active[id] || !gradient[id] || !node.n_args) continue;
        ftc_build_cursor(g, node.loc, phase);
        ftc_id out[FTC_MAX_ARGS] = {0};
        ftc_op_get(node.op)->gradient(g, id, gradient[id], out);
        for (int i = 0; i < node.n_args; i++)
            if (active[node.arg[i]] && out[i]) accumulate(g, node.arg[i], out[i], gradient);
    }
    return gradient;
}
