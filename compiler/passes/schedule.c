// schedule: where all threads wait.
//
// The kernels run in the order that fuse gave them. A kernel waits when it reads what a kernel since the last
// barrier wrote, or overwrites a tensor that such a kernel read: the two may split their work differently.
// Kernels between two barriers run side by side; plan counts lifetimes in these intervals.
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/plan.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// waits[k]: whether the threads must wait before kernel k, where they do before those of `given`; NULL: where
// they must.
static void find_waits(const ftc_graph *g, const bool *given, bool *waits) {
    uint32_t last_barrier = 0; // the kernel before which threads last waited
    // By declaration: the last kernel that read its tensor.
    uint32_t *last_read = ftc_alloc(g->n_decls + 1, sizeof *last_read);
    uint32_t *last_write = ftc_alloc(g->n_decls + 1, sizeof *last_write);
    ftc_id start = 1;
    while (start < g->n_nodes && g->nodes[start].kernel == 0) start++;
    while (start < g->n_nodes) {
        uint32_t k = g->nodes[start].kernel;
        ftc_id end = start;
        if (given && given[k]) last_barrier = k;
        for (; end < g->n_nodes && g->nodes[end].kernel == k; end++) {
            const ftc_node *node = &g->nodes[end];
            for (int i = 0; i < node->n_args; i++) {
                const ftc_node *arg = &g->nodes[node->arg[i]];
                if (arg->kernel != k && arg->kernel != 0 && arg->kernel >= last_barrier) waits[k] = true;
                if (ftc_node_class(arg) == FTC_CLASS_LEAF && last_write[arg->decl] &&
                    last_write[arg->decl] >= last_barrier)
                    waits[k] |= last_write[arg->decl] != k;
            }
            if (ftc_node_class(node) == FTC_CLASS_ASSIGN && last_read[node->decl] &&
                last_read[node->decl] >= last_barrier)
                waits[k] |= last_read[node->decl] != k;
        }
        for (ftc_id v = start; v < end; v++) {
            const ftc_node *node = &g->nodes[v];
            for (int i = 0; i < node->n_args; i++)
                if (ftc_node_class(&g->nodes[node->arg[i]]) == FTC_CLASS_LEAF)
                    last_read[g->nodes[node->arg[i]].decl] = k;
            if (ftc_node_class(node) == FTC_CLASS_ASSIGN) last_write[node->decl] = k;
        }
        if (waits[k]) last_barrier = k;
        start = end;
    }
    free(last_read);
    free(last_write);
}

bool ftc_pass_schedule(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)options;
    (void)d;
    bool *waits = ftc_alloc(g->n_kernels + 1, sizeof *waits);
    find_waits(g, NULL, waits);
    for (uint32_t k = 1; k < g->n_kernels; k++) g->kernels[k].barrier = waits[k];
    free(waits);
    return true;
}

bool ftc_schedule_check(const ftc_graph *g, ftc_diagnostics *d) {
    int errors = d->count;
    bool *waits = ftc_alloc(g->n_kernels + 1, sizeof *waits),
         *given = ftc_alloc(g->n_kernels + 1, sizeof *given);
    for (uint32_t k = 1; k < g->n_kernels; k++) given[k] = g->kernels[k].barrier;
    find_waits(g, given, waits);
    uint32_t told = 0;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (node->kernel == told || !waits[node->kernel] || given[node->kernel]) continue;
        told = node->kernel;
        const char *file = node->loc.line && node->loc.file < g->n_files ? g->files[node->loc.file] : NULL;
        ftc_diag_add(d, file, NULL, (int)node->loc.line, 0,
                     "kernel %s must wait for what others write: put `barrier` behind its axes",
                     g->kernels[told].name);
    }
    free(waits);
    free(given);
    return d->count == errors;
}
