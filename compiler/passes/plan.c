// plan: every value that outlives its kernel gets a fixed place in one arena.
//
// Time is counted in barrier intervals: kernels of one interval run side by side, so that all buffers that
// any of them touches are alive at once. Buffers are placed largest first, each at the lowest offset where it
// overlaps no placed buffer that is alive with it (the greedy-by-size heuristic of Pisarchyk and Lee 2020,
// arXiv:2001.03288). Then the result is checked pair by pair. peak_live_bytes is the largest sum of live
// buffers in an interval: no plan can be smaller.
//
// Scans are stored even where no other kernel reads them: their states do.
//
// In a guarded program every buffer has pages of its own instead, in order of size: no memory is used twice.
#include "compiler/passes/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

static int64_t aligned(int64_t bytes) {
    return (bytes + FTC_STEP_ALIGN - 1) / FTC_STEP_ALIGN * FTC_STEP_ALIGN;
}

ftc_buffer *ftc_plan_buffers(const ftc_graph *g, int *n) {
    uint32_t *interval = ftc_alloc(g->n_kernels + 1, sizeof *interval); // by kernel
    uint32_t now = 1;
    for (uint32_t k = 1; k < g->n_kernels; k++) interval[k] = now += g->kernels[k].barrier;
    // By node: interval of the last reader in another kernel.
    uint32_t *last = ftc_alloc(g->n_nodes, sizeof *last);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < g->nodes[v].n_args; i++) {
            ftc_id arg = g->nodes[v].arg[i];
            if (g->nodes[arg].kernel && g->nodes[arg].kernel != g->nodes[v].kernel)
                last[arg] = interval[g->nodes[v].kernel];
        }
    ftc_buffer *buffers = ftc_alloc(g->n_nodes, sizeof *buffers);
    *n = 0;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        // The state reads it at another position.
        if (ftc_node_class(node) == FTC_CLASS_SCAN && !last[v]) last[v] = interval[node->kernel];
        if (!last[v] || ftc_graph_output_of(g, v)) continue;
        int64_t bytes = ftc_type_max_elements(g, &node->type) * ftc_dtype_bytes(node->type.dtype);
        buffers[(*n)++] = (ftc_buffer){v, node->offset, aligned(bytes), interval[node->kernel], last[v]};
    }
    free(interval);
    free(last);
    return buffers;
}

static int by_size(const void *a, const void *b) {
    const ftc_buffer *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->node < y->node ? -1 : 1;
}

static bool is_before(const ftc_buffer *a, const ftc_buffer *b) {
    return a->offset != b->offset ? a->offset < b->offset : a->node < b->node;
}

static bool alive_together(const ftc_buffer *a, const ftc_buffer *b) {
    return a->from <= b->to && b->from <= a->to;
}

// The lowest offset at which buffer b overlaps none of the placed ones that live with it.
static int64_t lowest_offset(const ftc_buffer *b, ftc_buffer **placed, int n_placed) {
    int64_t offset = 0;
    for (int i = 0; i < n_placed; i++) { // in order of offset
        if (!alive_together(b, placed[i])) continue;
        if (placed[i]->offset - offset >= b->bytes) break;
        if (placed[i]->offset + placed[i]->bytes > offset) offset = placed[i]->offset + placed[i]->bytes;
    }
    return offset;
}

static int64_t peak_of(const ftc_buffer *buffers, int n) {
    int64_t peak = 0;
    for (int i = 0; i < n; i++) { // the live set only grows where a buffer begins
        int64_t live = 0;
        for (int j = 0; j < n; j++)
            if (buffers[j].from <= buffers[i].from && buffers[i].from <= buffers[j].to)
                live += buffers[j].bytes;
        if (live > peak) peak = live;
    }
    return peak;
}

// Two buffers that are alive together and overlap; false: there are none.
static bool find_overlap(const ftc_buffer *buffers, int n, const ftc_buffer **first,
                         const ftc_buffer **second) {
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) {
            const ftc_buffer *a = &buffers[i], *b = &buffers[j];
            if (!alive_together(a, b) || a->offset + a->bytes <= b->offset ||
                b->offset + b->bytes <= a->offset)
                continue;
            *first = a;
            *second = b;
            return true;
        }
    return false;
}

// Adds a diagnostic where the node comes from.
__attribute__((format(printf, 4, 5))) static void report(const ftc_graph *g, ftc_id node, ftc_diagnostics *d,
                                                         const char *format, ...) {
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    ftc_loc loc = g->nodes[node].loc;
    const char *file = loc.line && loc.file < g->n_files ? g->files[loc.file] : NULL;
    ftc_diag_add(d, file, NULL, (int)loc.line, 0, "%%%u = %s: %s", node, ftc_op_get(g->nodes[node].op)->name,
                 message);
}

bool ftc_plan_check(const ftc_graph *g, ftc_diagnostics *d) {
    int n, errors = d->count;
    ftc_buffer *buffers = ftc_plan_buffers(g, &n);
    const ftc_buffer *a, *b;
    int64_t end = 0;
    for (int i = 0; i < n; i++) {
        if (buffers[i].offset < 0)
            report(g, buffers[i].node, d,
                   "another kernel reads it, and it has no place in the arena (@OFFSET)");
        if (buffers[i].offset + buffers[i].bytes > end) end = buffers[i].offset + buffers[i].bytes;
    }
    if (d->count == errors && find_overlap(buffers, n, &a, &b))
        report(g, a->node, d, "%%%u lies in the same place of the arena while both are needed", b->node);
    if (d->count == errors && g->arena_bytes < aligned(end + FTC_STEP_SLACK_BYTES))
        ftc_diag_add(d, d->file, NULL, 0, 0, "the arena has %lld bytes, %lld are needed",
                     (long long)g->arena_bytes, (long long)aligned(end + FTC_STEP_SLACK_BYTES));
    free(buffers);
    return d->count == errors;
}

// Places buffers [n] in order of size; the arena's size.
static int64_t place_closely(ftc_buffer *buffers, int n) {
    ftc_buffer **placed = ftc_alloc((size_t)n + 1, sizeof *placed);
    int64_t bytes = 0;
    for (int i = 0; i < n; i++) {
        buffers[i].offset = lowest_offset(&buffers[i], placed, i);
        if (buffers[i].offset + buffers[i].bytes > bytes) bytes = buffers[i].offset + buffers[i].bytes;
        int at = i;
        for (; at > 0 && is_before(&buffers[i], placed[at - 1]); at--) placed[at] = placed[at - 1];
        placed[at] = &buffers[i];
    }
    free(placed);
    return aligned(bytes + FTC_STEP_SLACK_BYTES);
}

static int64_t place_guarded(ftc_buffer *buffers, int n) {
    int64_t bytes = 0;
    for (int i = 0; i < n; i++) {
        buffers[i].offset = bytes + ftc_guarded_offset(buffers[i].bytes);
        bytes += ftc_guarded_bytes(buffers[i].bytes);
    }
    return bytes;
}

bool ftc_pass_plan(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)d;
    int n;
    ftc_buffer *buffers = ftc_plan_buffers(g, &n);
    qsort(buffers, (size_t)n, sizeof *buffers, by_size);
    g->arena_bytes = (options->guard ? place_guarded : place_closely)(buffers, n);
    for (int i = 0; i < n; i++) g->nodes[buffers[i].node].offset = buffers[i].offset;
    g->peak_live_bytes = peak_of(buffers, n);
    const ftc_buffer *a, *b;
    if (find_overlap(buffers, n, &a, &b))
        ftc_fault("plan of %s: %%%u and %%%u are alive together and overlap", g->model, a->node, b->node);
    free(buffers);
    return true;
}
