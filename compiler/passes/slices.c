#include "compiler/passes/slices.h"

#include <stdlib.h>

#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// The parameter that the node updates, or whose gradient or state it reads; FTC_NO_DECL: none.
static ftc_decl updated_by(const ftc_graph *g, const ftc_node *node) {
    ftc_op_class class = ftc_node_class(node);
    if (class != FTC_CLASS_ASSIGN && class != FTC_CLASS_LEAF) return FTC_NO_DECL;
    const ftc_decl_def *decl = &g->decls[node->decl];
    if (decl->kind == FTC_DECL_MOMENT || decl->kind == FTC_DECL_GRADIENT) return decl->of;
    return decl->kind == FTC_DECL_PARAM && class == FTC_CLASS_ASSIGN ? node->decl : FTC_NO_DECL;
}

static bool is_in_memory(const ftc_graph *g, ftc_id id) {
    return ftc_node_class(&g->nodes[id]) == FTC_CLASS_ASSIGN || g->nodes[id].offset >= 0 ||
           ftc_graph_output_of(g, id);
}

// Whether the kernel's node makes each row from what belongs to that row, and leaves it where that row is.
static bool is_by_rows(const ftc_graph *g, ftc_id id, const ftc_axes *rows) {
    ftc_op_class class = ftc_node_class(&g->nodes[id]);
    if (class != FTC_CLASS_MAP && class != FTC_CLASS_REDUCE && class != FTC_CLASS_SOURCE &&
        class != FTC_CLASS_ASSIGN)
        return false;
    if (!is_in_memory(g, id)) return true;
    if (ftc_dtype_bytes(g->nodes[id].type.dtype) != 4) return false; // processes exchange words
    ftc_axes order = ftc_region_memory_order(g, id);
    return ftc_region_starts_with(&order, 0, rows);
}

typedef struct {
    const ftc_graph *g;
    bool *may; // by declaration: the parameter's update may be cut, as far as is known
} search;

// What can be said before looking at kernels.
static bool may_be_cut(const ftc_graph *g, ftc_decl param) {
    const ftc_decl_def *p = &g->decls[param];
    if (p->kind != FTC_DECL_PARAM || p->frozen || p->n_dims < 2) return false;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *its = &g->decls[i];
        if (its->of != param) continue;
        if (its->kind == FTC_DECL_TOUCHED || !its->n_dims) return false;
        if (!ftc_region_starts_with(&its->dims[0], 0, &p->dims[0]) || its->dims[0].n != p->dims[0].n)
            return false;
    }
    return true;
}

// The nodes of one kernel: first … last - 1.
typedef struct {
    ftc_id first, last;
} span;

// Lists the parameters that the kernel updates, or whose gradient or state it reads; their number. Some may
// be listed twice; `list` has room for all operands.
static int list_updated(const ftc_graph *g, span kernel, ftc_decl *list) {
    int n = 0;
    for (ftc_id id = kernel.first; id < kernel.last; id++)
        for (int i = -1; i < g->nodes[id].n_args; i++) {
            ftc_decl param = updated_by(g, &g->nodes[i < 0 ? id : g->nodes[id].arg[i]]);
            if (param != FTC_NO_DECL) list[n++] = param;
        }
    return n;
}

// Whether the kernel, which has to do with these parameters, goes by their rows.
static bool goes_by_rows(const search *s, span kernel, const ftc_decl *params, int n) {
    const ftc_graph *g = s->g;
    const ftc_axes *rows = &g->decls[params[0]].dims[0];
    const ftc_kernel *k = &g->kernels[g->nodes[kernel.first].kernel];
    if (k->kind != FTC_KERNEL_ROWS || !ftc_region_starts_with(&k->rows, 0, rows)) return false;
    for (int i = 0; i < n; i++)
        if (!s->may[params[i]] || !ftc_axes_same_set(rows, &g->decls[params[i]].dims[0])) return false;
    for (ftc_id id = kernel.first; id < kernel.last; id++)
        if (!is_by_rows(g, id, rows)) return false;
    return true;
}

// The rows that the kernel is cut by. Where it cannot be, the parameters that it has to do with may not be
// cut: sets *changed if that is new.
static ftc_axes cut(search *s, span kernel, bool *changed) {
    const ftc_graph *g = s->g;
    ftc_decl *params = ftc_alloc((size_t)(kernel.last - kernel.first) * (FTC_MAX_ARGS + 1), sizeof *params);
    int n = list_updated(g, kernel, params);
    ftc_axes rows = {0};
    if (n && goes_by_rows(s, kernel, params, n)) {
        rows = g->decls[params[0]].dims[0];
    } else {
        for (int i = 0; i < n; i++) {
            *changed |= s->may[params[i]];
            s->may[params[i]] = false;
        }
    }
    free(params);
    return rows;
}

ftc_slices ftc_slices_find(const ftc_graph *g, ftc_entry_kind entry) {
    ftc_slices slices = {ftc_alloc(g->n_kernels + 1, sizeof *slices.rows)};
    if (entry != FTC_ENTRY_UPDATE) return slices;
    search s = {g, ftc_alloc(g->n_decls + 1, sizeof *s.may)};
    for (uint32_t i = 0; i < g->n_decls; i++) s.may[i] = may_be_cut(g, (ftc_decl)i);
    for (bool changed = true; changed;) {
        changed = false;
        for (ftc_id first = 1, last; first < g->n_nodes; first = last) {
            uint32_t k = g->nodes[first].kernel;
            for (last = first + 1; last < g->n_nodes && g->nodes[last].kernel == k;) last++;
            if (k) slices.rows[k] = cut(&s, (span){first, last}, &changed);
        }
    }
    free(s.may);
    return slices;
}

void ftc_slices_free(ftc_slices *slices) {
    free(slices->rows);
    *slices = (ftc_slices){0};
}

int64_t ftc_slices_rows(const ftc_slices *slices, const ftc_graph *g, uint32_t k) {
    return slices->rows[k].n ? ftc_region_constant_size(g, &slices->rows[k]) : 0;
}

bool ftc_slices_gathers(const ftc_slices *slices, const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    const ftc_axes *rows = &slices->rows[node->kernel];
    if (!node->kernel || !rows->n || !is_in_memory(g, id)) return false;
    if (ftc_node_class(node) == FTC_CLASS_ASSIGN) return g->decls[node->decl].kind == FTC_DECL_PARAM;
    if (ftc_graph_output_of(g, id)) return true;
    for (ftc_id reader = id + 1; reader < g->n_nodes; reader++)
        for (int i = 0; i < g->nodes[reader].n_args; i++)
            if (g->nodes[reader].arg[i] == id &&
                !ftc_axes_same_set(rows, &slices->rows[g->nodes[reader].kernel]))
                return true;
    return false;
}
