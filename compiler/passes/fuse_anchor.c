// fuse, first part: which values are computed once, and what reads what.
//
// Contractions, reductions, states of recurrences and kernels that are not the compiler's always are; a map
// when it is read in a way that needs memory (operand of a contraction, table of a gather, stored for a later
// phase, assigned, an output), when it ends the chain of maps behind a contraction, when several readers
// would repeat a wide expression, or when a decision depends on its last bit.
#include <stdlib.h>

#include "compiler/passes/fuse.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"

static void find_users(ftc_fusion *f) {
    const ftc_graph *g = f->g;
    f->user_start = ftc_arena_alloc(f->memory, (g->n_nodes + 2) * sizeof *f->user_start);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < g->nodes[v].n_args; i++) f->user_start[g->nodes[v].arg[i] + 2]++;
    for (ftc_id v = 2; v < g->n_nodes + 2; v++) f->user_start[v] += f->user_start[v - 1];
    f->users = ftc_arena_alloc(f->memory, (f->user_start[g->n_nodes + 1] + 1) * sizeof *f->users);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < g->nodes[v].n_args; i++) f->users[f->user_start[g->nodes[v].arg[i] + 1]++] = v;
    f->is_output = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *f->is_output);
    for (uint32_t i = 0; i < g->n_outputs; i++) f->is_output[g->outputs[i].node] = true;
}

static uint32_t count_users(const ftc_fusion *f, ftc_id id) {
    return f->user_start[id + 1] - f->user_start[id];
}

static void find_updates(ftc_fusion *f) {
    const ftc_graph *g = f->g;
    f->first_update = ftc_arena_alloc(f->memory, (g->n_decls + 1) * sizeof *f->first_update);
    f->next_update = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *f->next_update);
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        if (ftc_fuse_class(f, v) != FTC_CLASS_ASSIGN) continue;
        ftc_decl decl = g->nodes[v].decl, of = g->decls[decl].of;
        f->next_update[v] = ftc_fuse_first_update(f, v);
        f->first_update[of == FTC_NO_DECL ? decl : of] = v;
    }
}

// --- what an expression reads -------------------------------------------------------------------------

typedef struct {
    ftc_fusion *f;
    ftc_fuse_read *reads; // [n_reads] anchored values and leaves, each as often as it is an operand
    uint32_t n_reads, capacity;
} expression;

// Adds what the inlined expression `id` reads. `moved`, `renamed`: what lies between it and the reader.
static void walk(expression *e, ftc_id id, bool moved, bool renamed) {
    ftc_fusion *f = e->f;
    if (f->anchored[id] || ftc_fuse_class(f, id) == FTC_CLASS_LEAF) {
        if (e->n_reads == e->capacity) {
            e->capacity = e->capacity ? e->capacity * 2 : 64;
            e->reads = ftc_realloc(e->reads, e->capacity, sizeof *e->reads);
        }
        e->reads[e->n_reads++] = (ftc_fuse_read){id, moved, renamed};
        return;
    }
    if (f->stamp[id] == f->current_stamp) return;
    f->stamp[id] = f->current_stamp;
    const ftc_node *node = &f->g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    renamed |= class == FTC_CLASS_RENAME || class == FTC_CLASS_SHIFT || class == FTC_CLASS_AT;
    for (int i = 0; i < node->n_args; i++) {
        bool moves = class == FTC_CLASS_AT || class == FTC_CLASS_RENAME || class == FTC_CLASS_PLACE ||
                     class == FTC_CLASS_SHIFT || (class == FTC_CLASS_GATHER && i == 0);
        walk(e, node->arg[i], moved || moves, renamed);
    }
}

// What the operands of `id` read. `moved`: `id` reads them at other coordinates.
static void read_operands(expression *e, ftc_id id, bool moved) {
    const ftc_node *node = &e->f->g->nodes[id];
    e->n_reads = 0;
    e->f->current_stamp++;
    for (int i = 0; i < node->n_args; i++) walk(e, node->arg[i], moved, false);
}

// --- anchors ------------------------------------------------------------------------------------------

static void anchor(ftc_fusion *f, ftc_id id) {
    id = ftc_region_source(f->g, id);
    if (ftc_fuse_class(f, id) != FTC_CLASS_LEAF) f->anchored[id] = true;
}

// The chain of maps behind a contraction, each the only reader of the one before, belongs to its kernel: its
// end is what goes to memory.
static void anchor_chain_end(ftc_fusion *f, ftc_id dot) {
    const ftc_graph *g = f->g;
    ftc_id end = dot;
    while (!f->is_output[end] && count_users(f, end) == 1) {
        ftc_id user = f->users[f->user_start[end]];
        const ftc_node *node = &g->nodes[user];
        bool same_phase = node->phase == g->nodes[dot].phase || node->phase == FTC_PHASE_UPDATE;
        if (ftc_node_class(node) != FTC_CLASS_MAP || !same_phase ||
            !ftc_axes_same_set(&node->type.axes, &g->nodes[dot].type.axes))
            break;
        end = user;
    }
    if (g->nodes[end].type.dtype == FTC_F32) f->anchored[end] = true;
}

// What a later phase reads of the forward phase is stored until then.
static void anchor_stored_operands(ftc_fusion *f, ftc_id id) {
    const ftc_node *node = &f->g->nodes[id];
    for (int i = 0; i < node->n_args && node->phase != FTC_PHASE_FORWARD; i++) {
        const ftc_node *arg = &f->g->nodes[node->arg[i]];
        ftc_op_class class = ftc_node_class(arg);
        if (arg->phase == FTC_PHASE_FORWARD && arg->type.axes.n > 0 && class != FTC_CLASS_SOURCE &&
            class != FTC_CLASS_LEAF)
            anchor(f, ftc_region_operand(f->g, node->arg[i]));
    }
}

// A map with several readers that itself reads several values as large as it is.
static bool is_repeated_wide(expression *e, ftc_id id) {
    const ftc_graph *g = e->f->g;
    const ftc_type *type = &g->nodes[id].type;
    if (ftc_fuse_class(e->f, id) != FTC_CLASS_MAP || type->axes.n < 2 || count_users(e->f, id) < 2 ||
        ftc_region_is_quadratic(g, type))
        return false;
    int wide = 0;
    read_operands(e, id, false);
    for (uint32_t i = 0; i < e->n_reads; i++)
        wide += e->reads[i].moved || ftc_axes_same_set(&g->nodes[e->reads[i].id].type.axes, &type->axes);
    return wide >= 2;
}

// A scalar that is made from several computed values: a word of memory, for which the links of a long sum, as
// the global norm's, all have the same form instead of one expression that grows with the model.
static bool is_link(expression *e, ftc_id id) {
    const ftc_type *type = &e->f->g->nodes[id].type;
    if (ftc_fuse_class(e->f, id) != FTC_CLASS_MAP || type->axes.n > 0 || type->dtype != FTC_F32) return false;
    int computed = 0;
    read_operands(e, id, false);
    for (uint32_t i = 0; i < e->n_reads; i++) computed += e->f->anchored[e->reads[i].id];
    return computed >= 2;
}

// Whether a decision depends on it that is not its only reader.
static bool is_shared_decisive(const ftc_fusion *f, ftc_id id) {
    if (f->g->nodes[id].type.axes.n == 0 || f->g->nodes[id].type.dtype != FTC_F32) return false;
    return count_users(f, id) > 1 || !ftc_region_decides(f->g, &f->g->nodes[f->users[f->user_start[id]]]);
}

static void find_anchors(expression *e) {
    ftc_fusion *f = e->f;
    const ftc_graph *g = f->g;
    bool *decisive = ftc_region_find_decisive(g);
    f->anchored = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *f->anchored);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        switch (ftc_node_class(node)) {
        case FTC_CLASS_DOT:
            f->anchored[v] = true;
            anchor(f, ftc_region_operand(g, node->arg[0]));
            anchor(f, ftc_region_operand(g, node->arg[1]));
            anchor_chain_end(f, v);
            break;
        case FTC_CLASS_REDUCE:
        case FTC_CLASS_BEFORE:
        case FTC_CLASS_SCAN:
        case FTC_CLASS_SCATTER: f->anchored[v] = true; break;
        case FTC_CLASS_GATHER:
        case FTC_CLASS_AT:
        case FTC_CLASS_SHIFT: {
            // What is computed from coordinates alone is computed at the other coordinates instead, and so is
            // what is only rounded.
            bool is_table = ftc_node_class(node) == FTC_CLASS_GATHER;
            ftc_id cells = is_table ? node->arg[0] : ftc_region_operand(g, node->arg[0]);
            if (ftc_fuse_class(f, ftc_region_source(g, cells)) != FTC_CLASS_SOURCE) anchor(f, cells);
            break;
        }
        case FTC_CLASS_EXTERN: // numbers are part of its code
            f->anchored[v] = true;
            for (int i = 1; i < node->n_args; i++)
                if (!ftc_is_constant(&g->nodes[node->arg[i]]) || g->nodes[node->arg[i]].type.axes.n)
                    anchor(f, node->arg[i]);
            break;
        case FTC_CLASS_ASSIGN: anchor(f, node->arg[0]); break;
        default: break;
        }
        if (f->is_output[v] || (decisive[v] && is_shared_decisive(f, v))) anchor(f, v);
        anchor_stored_operands(f, v);
    }
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (!f->anchored[v]) f->anchored[v] = is_repeated_wide(e, v) || is_link(e, v);
    free(decisive);
}

// --- units --------------------------------------------------------------------------------------------

// Each value and leaf once; it is moved or renamed when it is in any of its places.
static void merge_reads(expression *e) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n_reads; i++) {
        uint32_t k = 0;
        while (k < n && e->reads[k].id != e->reads[i].id) k++;
        if (k == n) {
            e->reads[n++] = e->reads[i];
        } else {
            e->reads[k].moved |= e->reads[i].moved;
            e->reads[k].renamed |= e->reads[i].renamed;
        }
    }
    e->n_reads = n;
}

static void find_reads(expression *e) {
    ftc_fusion *f = e->f;
    f->units = ftc_arena_alloc(f->memory, f->g->n_nodes * sizeof *f->units);
    for (ftc_id v = 1; v < f->g->n_nodes; v++) {
        ftc_op_class class = ftc_fuse_class(f, v);
        if (!f->anchored[v] && class != FTC_CLASS_ASSIGN) continue;
        read_operands(e, v,
                      class == FTC_CLASS_DOT || class == FTC_CLASS_AT || class == FTC_CLASS_PLACE ||
                          class == FTC_CLASS_SHIFT || class == FTC_CLASS_GATHER || class == FTC_CLASS_EXTERN);
        merge_reads(e);
        ftc_fuse_unit *u = &f->units[v];
        u->n_reads = e->n_reads;
        u->reads = ftc_arena_alloc(f->memory, e->n_reads * sizeof *u->reads);
        for (uint32_t i = 0; i < e->n_reads; i++) u->reads[i] = e->reads[i];
    }
}

// The other way round: for each value and leaf, the units that read it, in order.
static void find_readers(ftc_fusion *f) {
    for (ftc_id v = 1; v < f->g->n_nodes; v++)
        for (uint32_t i = 0; i < f->units[v].n_reads; i++) f->units[f->units[v].reads[i].id].n_readers++;
    for (ftc_id v = 1; v < f->g->n_nodes; v++) {
        ftc_fuse_unit *u = &f->units[v];
        u->readers = ftc_arena_alloc(f->memory, u->n_readers * sizeof *u->readers);
        u->n_readers = 0;
    }
    for (ftc_id v = 1; v < f->g->n_nodes; v++)
        for (uint32_t i = 0; i < f->units[v].n_reads; i++) {
            ftc_fuse_read r = f->units[v].reads[i];
            ftc_fuse_unit *read = &f->units[r.id];
            read->readers[read->n_readers++] = (ftc_fuse_read){v, r.moved, r.renamed};
        }
}

void ftc_fuse_anchor(ftc_fusion *f) {
    expression e = {.f = f};
    find_users(f);
    find_updates(f);
    find_anchors(&e);
    find_reads(&e);
    find_readers(f);
    free(e.reads);
}
