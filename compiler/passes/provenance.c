#include "compiler/passes/provenance.h"

#include <stdlib.h>

#include "compiler/cost.h"
#include "compiler/passes/plan.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// The node that a kernel is there for: its first contraction, else its last node.
static void choose_nodes(const ftc_graph *g, ftc_id *chosen) {
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        ftc_id *c = &chosen[g->nodes[v].kernel];
        if (!*c || ftc_node_class(&g->nodes[*c]) != FTC_CLASS_DOT) *c = v;
    }
}

ftc_kernel_info *ftc_provenance_kernels(ftc_arena *arena, const ftc_interface *in, const ftc_graph *g,
                                        int *n) {
    int n_kernels = g->n_kernels ? (int)g->n_kernels - 1 : 0, n_buffers;
    size_t n_costs = (size_t)n_kernels * (size_t)in->n_counts;
    ftc_kernel_info *infos = ftc_arena_alloc(arena, (size_t)n_kernels * sizeof *infos);
    double *flops = ftc_arena_alloc(arena, n_costs * sizeof *flops);
    double *bytes = ftc_arena_alloc(arena, n_costs * sizeof *bytes);
    ftc_id *chosen = ftc_alloc((size_t)g->n_kernels + 1, sizeof *chosen);
    // By barrier interval, which the plan counts from 1.
    int64_t *live = ftc_alloc((size_t)g->n_kernels + 2, sizeof *live);
    ftc_buffer *buffers = ftc_plan_buffers(g, &n_buffers);
    for (int i = 0; i < n_buffers; i++)
        for (uint32_t t = buffers[i].from; t <= buffers[i].to; t++) live[t] += buffers[i].bytes;
    choose_nodes(g, chosen);
    uint32_t interval = 1;
    for (int i = 0; i < n_kernels; i++) {
        interval += g->kernels[i + 1].barrier;
        const ftc_node *node = &g->nodes[chosen[i + 1]];
        infos[i] = (ftc_kernel_info){.line = ftc_model_line(&node->loc),
                                     .phase = node->phase,
                                     .live_bytes = live[interval],
                                     .plain = g->kernels[i + 1].plain,
                                     .n_counts = in->n_counts,
                                     .flops = flops + i * in->n_counts,
                                     .bytes = bytes + i * in->n_counts};
    }
    ftc_cost_kernels(in, g, flops, bytes);
    free(buffers);
    free(live);
    free(chosen);
    *n = n_kernels;
    return infos;
}
