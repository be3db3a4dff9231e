// fuse: groups the nodes into kernels.
//
// A value is either *anchored*, computed once by one kernel, or inlined: its expression is repeated in every
// kernel that reads it. The pass has four parts, in this order:
//
//   anchor   decides which values are anchored: contractions and reductions always; a map when it is read in
//   a way that
//            needs memory (operand of a contraction, table of a gather, stored for a later phase, assigned,
//            an output), when it ends the chain of maps behind a contraction, or when several readers would
//            repeat a wide expression
//   order    lists the anchored values so that every one follows what it reads, an update follows every
//   reader of the old
//            weight, and a gradient stands just before its update, so that it dies there
//   place    walks this list and puts each value in the kernel of its latest operand when that kernel can
//   take it,
//            else in a new one: so no cycle can arise
//   rebuild  writes the nodes kernel by kernel, inlined expressions copied into each
//
// Values over two ragged axes (attention scores) live only inside tile kernels: one work item for each
// (sequence, head), rows in blocks, everything in scratch. Contractions with batch axes go there too. A tile
// kernel is a list of steps, each a small contraction or a group of row operations.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes.h"
#include "compiler/regions.h"
#include "ir/op.h"

// A place in the program: kernel, and step within a tile kernel. Compared as one number.
typedef uint64_t position;
#define AT_STEP(kernel, step) (((position)(kernel) << 16) | (step))
#define KERNEL_OF(p)          ((uint32_t)((p) >> 16))
#define STEP_OF(p)            ((uint16_t)((p) & 0xffff))
#define AFTER_KERNEL(k)       AT_STEP((k) + 1, 0)

// One operand of an anchored value once the inlined expressions are looked through.
typedef struct {
    ftc_id id;    // anchored node or leaf
    bool moved;   // read at other coordinates than the reader's own (at, gather, rename, operand of a
                  // contraction)
    bool renamed; // under another name of an axis: at all of its positions
} reading;

typedef struct {
    ftc_id node;
    reading *reads;
    int n_reads, capacity;
    uint32_t first_reader; // units that read it: readers[first_reader] … readers[first_reader + n_readers]
    uint32_t n_readers;
} unit;

typedef struct {
    bool is_rows; // else a contraction
    ftc_axes cols;
    bool accumulates; // sums over the blocked axis: complete only when the kernel ends
} tile_step;

typedef struct {
    tile_step *steps;
    int n_steps;
    ftc_id cluster; // whose values it holds
} tile;

typedef struct {
    ftc_graph *g;
    const ftc_pass_options *options;
    uint32_t *user_start, *users; // users of id: users[user_start[id] … user_start[id + 1]]
    bool *is_output, *anchored;
    unit *units; // by node id; only anchored and assign nodes are filled in, and the readers of leaves
    reading *readers;
    ftc_id *order;
    uint32_t n_order;
    bool *visited, *entered;
    bool *in_tile;                      // by node: can only be computed inside a tile kernel
    ftc_id *cluster;                    // by node: the values of a tile kernel have the same
    ftc_id *first_member, *next_member; // of each cluster, by cluster and by node, in order
    ftc_id *first_update,
        *next_update; // assignments to a parameter and its state: by declaration and by node
    bool *late;       // by node: an assignment that stands alone, behind all that read the old value
    uint32_t *stamp, current_stamp;
    position *place;
    tile *tiles;      // by kernel
    ftc_phase *phase; // by kernel: of the value that it was made for
    uint32_t kernels_capacity;
} fusion;

static ftc_op_class class_of(const fusion *f, ftc_id id) {
    return ftc_node_class(&f->g->nodes[id]);
}

// The axes that a value loops over.
static ftc_axes space_of(const fusion *f, ftc_id id) {
    const ftc_node *node = &f->g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    const ftc_type *type = class == FTC_CLASS_REDUCE ? &f->g->nodes[node->arg[0]].type : &node->type;
    return ftc_axes_packed_order(f->g, &type->axes);
}

static void *grow(void *array, int n, int *capacity, size_t size) {
    if (n < *capacity) return array;
    *capacity = *capacity ? *capacity * 2 : 8;
    return realloc(array, (size_t)*capacity * size);
}

// --- anchor
// -------------------------------------------------------------------------------------------------------

static void find_users(fusion *f) {
    const ftc_graph *g = f->g;
    f->user_start = calloc(g->n_nodes + 2, sizeof *f->user_start);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < g->nodes[v].n_args; i++) f->user_start[g->nodes[v].arg[i] + 2]++;
    for (ftc_id v = 2; v < g->n_nodes + 2; v++) f->user_start[v] += f->user_start[v - 1];
    f->users = calloc(f->user_start[g->n_nodes + 1] + 1, sizeof *f->users);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < g->nodes[v].n_args; i++) f->users[f->user_start[g->nodes[v].arg[i] + 1]++] = v;
    for (uint32_t i = 0; i < g->n_outputs; i++) f->is_output[g->outputs[i].node] = true;
}

static ftc_decl parameter_of(const ftc_graph *g, ftc_decl decl) {
    return g->decls[decl].of == FTC_NO_DECL ? decl : g->decls[decl].of;
}

static void find_updates(fusion *f) {
    const ftc_graph *g = f->g;
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        if (class_of(f, v) != FTC_CLASS_ASSIGN) continue;
        ftc_id *first = &f->first_update[parameter_of(g, g->nodes[v].decl)];
        f->next_update[v] = *first;
        *first = v;
    }
}

static uint32_t count_users(const fusion *f, ftc_id id) {
    return f->user_start[id + 1] - f->user_start[id];
}

static void anchor(fusion *f, ftc_id id) {
    id = ftc_region_source(f->g, id);
    if (class_of(f, id) != FTC_CLASS_LEAF) f->anchored[id] = true;
}

// Walks the inlined expression below `id`; calls see(reading) for each anchored value or leaf in it, once.
// `so_far`: what lies between it and the reader.
static void walk_expression(fusion *f, ftc_id id, reading so_far, void (*see)(fusion *, void *, reading),
                            void *context) {
    if (f->anchored[id] || class_of(f, id) == FTC_CLASS_LEAF) {
        see(f, context, (reading){id, so_far.moved, so_far.renamed});
        return;
    }
    if (f->stamp[id] == f->current_stamp) return;
    f->stamp[id] = f->current_stamp;
    const ftc_node *node = &f->g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    for (int i = 0; i < node->n_args; i++) {
        bool moves = class == FTC_CLASS_AT || class == FTC_CLASS_RENAME || class == FTC_CLASS_PLACE ||
                     (class == FTC_CLASS_GATHER && i == 0);
        reading next = {0, so_far.moved || moves, so_far.renamed || class == FTC_CLASS_RENAME};
        walk_expression(f, node->arg[i], next, see, context);
    }
}

typedef struct {
    const ftc_type *type;
    int wide; // operands as large as the value itself
} width;

static void see_width(fusion *f, void *context, reading r) {
    width *w = context;
    const ftc_node *node = &f->g->nodes[r.id];
    w->wide += ftc_axes_same_set(&node->type.axes, &w->type->axes) || r.moved;
}

static bool is_repeated_wide(fusion *f, ftc_id id) {
    if (f->g->nodes[id].type.axes.n < 2 || count_users(f, id) < 2) return false;
    if (ftc_node_class(&f->g->nodes[id]) != FTC_CLASS_MAP) return false;
    width w = {&f->g->nodes[id].type, 0};
    f->current_stamp++;
    const ftc_node *node = &f->g->nodes[id];
    for (int i = 0; i < node->n_args; i++) walk_expression(f, node->arg[i], (reading){0}, see_width, &w);
    return w.wide >= 2;
}

static void see_computed(fusion *f, void *context, reading r) {
    int *computed = context;
    *computed += f->anchored[r.id];
}

// A scalar that is made from several computed values: a word of memory, for which the links of a long sum, as
// the global norm's, all have the same form instead of one expression that grows with the model.
static bool is_link(fusion *f, ftc_id id) {
    const ftc_node *node = &f->g->nodes[id];
    if (ftc_node_class(node) != FTC_CLASS_MAP || node->type.axes.n > 0 || node->type.dtype != FTC_F32)
        return false;
    int computed = 0;
    f->current_stamp++;
    for (int i = 0; i < node->n_args; i++)
        walk_expression(f, node->arg[i], (reading){0}, see_computed, &computed);
    return computed >= 2;
}

// The chain of maps behind a contraction, each the only reader of the one before, belongs to its kernel: its
// end is what goes to memory.
static void anchor_chain_end(fusion *f, ftc_id dot) {
    const ftc_graph *g = f->g;
    ftc_id end = dot;
    for (;;) {
        if (f->is_output[end] || count_users(f, end) != 1) break;
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

static void find_anchors(fusion *f) {
    const ftc_graph *g = f->g;
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
        case FTC_CLASS_SCATTER: f->anchored[v] = true; break;
        case FTC_CLASS_GATHER:
        case FTC_CLASS_AT:
            // What is computed from coordinates alone is computed at the other coordinates instead.
            if (class_of(f, ftc_region_source(g, node->arg[0])) != FTC_CLASS_SOURCE) anchor(f, node->arg[0]);
            break;
        case FTC_CLASS_ASSIGN: anchor(f, node->arg[0]); break;
        default: break;
        }
        if (f->is_output[v]) anchor(f, v);
        if (node->phase != FTC_PHASE_FORWARD)
            for (int i = 0; i < node->n_args; i++) {
                const ftc_node *arg = &g->nodes[node->arg[i]];
                if (arg->phase == FTC_PHASE_FORWARD && arg->type.axes.n > 0 &&
                    ftc_node_class(arg) != FTC_CLASS_SOURCE && ftc_node_class(arg) != FTC_CLASS_LEAF)
                    anchor(f, ftc_region_operand(g, node->arg[i]));
            }
    }
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (!f->anchored[v] &&
            ((!ftc_region_is_quadratic(g, &g->nodes[v].type) && is_repeated_wide(f, v)) || is_link(f, v)))
            f->anchored[v] = true;
}

static void see_reading(fusion *f, void *context, reading r) {
    (void)f;
    unit *u = context;
    for (int i = 0; i < u->n_reads; i++)
        if (u->reads[i].id == r.id) {
            u->reads[i].moved |= r.moved;
            u->reads[i].renamed |= r.renamed;
            return;
        }
    u->reads = grow(u->reads, u->n_reads, &u->capacity, sizeof *u->reads);
    u->reads[u->n_reads++] = r;
}

static void find_readings(fusion *f) {
    const ftc_graph *g = f->g;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (!f->anchored[v] && ftc_node_class(node) != FTC_CLASS_ASSIGN) continue;
        unit *u = &f->units[v];
        u->node = v;
        f->current_stamp++;
        reading own = {0};
        own.moved = ftc_node_class(node) == FTC_CLASS_DOT || ftc_node_class(node) == FTC_CLASS_AT ||
                    ftc_node_class(node) == FTC_CLASS_PLACE || ftc_node_class(node) == FTC_CLASS_GATHER;
        for (int i = 0; i < node->n_args; i++) walk_expression(f, node->arg[i], own, see_reading, u);
    }
}

// The other way round: for each value and leaf, the units that read it, in order.
static void find_readers(fusion *f) {
    const ftc_graph *g = f->g;
    uint32_t total = 0;
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < f->units[v].n_reads; i++) f->units[f->units[v].reads[i].id].n_readers++;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        f->units[v].first_reader = total;
        total += f->units[v].n_readers;
        f->units[v].n_readers = 0;
    }
    f->readers = calloc(total + 1, sizeof *f->readers);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        for (int i = 0; i < f->units[v].n_reads; i++) {
            unit *read = &f->units[f->units[v].reads[i].id];
            f->readers[read->first_reader + read->n_readers++] =
                (reading){v, f->units[v].reads[i].moved, f->units[v].reads[i].renamed};
        }
}

// --- order
// --------------------------------------------------------------------------------------------------------

// Values that can only be computed inside a tile kernel.
static bool is_tile_unit(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    if (ftc_region_is_quadratic(g, &node->type)) return true;
    if (ftc_node_class(node) == FTC_CLASS_REDUCE)
        return ftc_region_is_quadratic(g, &g->nodes[node->arg[0]].type);
    return ftc_node_class(node) == FTC_CLASS_DOT && ftc_region_dot_shape(g, node).batch.n > 0;
}

// Whether a tile value is needed with, or made from, values that only its kernel holds.
static bool touches_quadratic(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    bool touches = ftc_region_is_quadratic(g, &node->type);
    for (int i = 0; i < node->n_args; i++)
        touches |= ftc_region_is_quadratic(g, &g->nodes[node->arg[i]].type);
    return touches;
}

// Tile values that read one another share a kernel: clusters, by union-find. A contraction that stands alone
// before them may be read from memory, and its kernel may be cut into blocks along another axis, or not at
// all.
static ftc_id cluster_of(const fusion *f, ftc_id id) {
    while (f->cluster[id] != id) id = f->cluster[id];
    return id;
}

static void find_clusters(fusion *f) {
    const ftc_graph *g = f->g;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        f->cluster[v] = v;
        f->in_tile[v] = f->anchored[v] && is_tile_unit(g, v);
    }
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (!f->in_tile[v]) continue;
        for (int i = 0; i < f->units[v].n_reads; i++) {
            ftc_id read = f->units[v].reads[i].id;
            bool alone = f->cluster[read] == read && !touches_quadratic(g, read);
            if (f->in_tile[read] && !alone && g->nodes[read].phase == g->nodes[v].phase)
                f->cluster[cluster_of(f, v)] = cluster_of(f, read);
        }
    }
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        if (!f->in_tile[v]) continue;
        f->cluster[v] = cluster_of(f, v);
        f->next_member[v] = f->first_member[f->cluster[v]];
        f->first_member[f->cluster[v]] = v;
    }
}

// Whether computing `id` needs a member of the cluster. Stamped nodes are known not to.
static bool needs_cluster(fusion *f, ftc_id id, ftc_id cluster, uint32_t stamp) {
    if (!f->anchored[id] || f->stamp[id] == stamp) return false;
    if (f->in_tile[id] && f->cluster[id] == cluster) return true;
    for (int i = 0; i < f->units[id].n_reads; i++)
        if (needs_cluster(f, f->units[id].reads[i].id, cluster, stamp)) return true;
    f->stamp[id] = stamp;
    return false;
}

// Whether `r` reads each cell of the tensor where it computes the same cell.
static bool reads_own_cells(const fusion *f, reading r, ftc_id leaf) {
    ftc_axes space = space_of(f, r.id);
    return !r.moved && ftc_axes_same_set(&space, &f->g->nodes[leaf].type.axes);
}

typedef enum { UNSEEN, ON_PATH, DONE } mark;

typedef struct {
    mark *marks;  // by node
    ftc_id *path; // units, each needed before the one before it
    ftc_id *via;  // … because this assignment overwrites what it reads; 0: its value is read
    uint32_t n;
    bool cyclic;
} ordering;

static void follow(fusion *f, ordering *o, ftc_id id, ftc_id via) {
    if (o->cyclic || o->marks[id] == DONE) return;
    if (o->marks[id] == ON_PATH) { // one of the assignments on the way has to wait
        for (uint32_t i = o->n; !via && o->path[i - 1] != id;) via = o->via[--i];
        f->late[via] = o->cyclic = true;
        return;
    }
    o->marks[id] = ON_PATH;
    o->path[o->n] = id;
    o->via[o->n++] = via;
    const unit *u = &f->units[id];
    for (int i = 0; i < u->n_reads; i++)
        if (f->anchored[u->reads[i].id]) follow(f, o, u->reads[i].id, 0);
    for (uint32_t i = f->user_start[id]; i < f->user_start[id + 1]; i++) {
        ftc_id assign = f->users[i];
        if (class_of(f, assign) != FTC_CLASS_ASSIGN || f->late[assign]) continue;
        const unit *old = &f->units[ftc_graph_leaf(f->g, f->g->nodes[assign].decl)];
        for (uint32_t k = 0; k < old->n_readers; k++)
            if (f->readers[old->first_reader + k].id != id)
                follow(f, o, f->readers[old->first_reader + k].id, assign);
    }
    o->marks[id] = DONE;
    o->n--;
}

// A new value is written where it is computed, after all that read the old one. Where these need the new
// value themselves, or new values need each other's old ones, or the value the old one of other cells, it is
// computed like any other value and copied at the end.
static void find_late_assignments(fusion *f) {
    const ftc_graph *g = f->g;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (class_of(f, v) != FTC_CLASS_ASSIGN) continue;
        ftc_id leaf = ftc_graph_leaf(g, g->nodes[v].decl), value = g->nodes[v].arg[0];
        const unit *old = &f->units[leaf];
        for (uint32_t i = 0; i < old->n_readers; i++) {
            reading r = f->readers[old->first_reader + i];
            f->late[v] |= r.id == value && !reads_own_cells(f, r, leaf);
        }
    }
    ordering o = {.marks = calloc(g->n_nodes, sizeof *o.marks),
                  .path = calloc(g->n_nodes, sizeof *o.path),
                  .via = calloc(g->n_nodes, sizeof *o.via)};
    do {
        memset(o.marks, 0, g->n_nodes * sizeof *o.marks);
        o.n = 0;
        o.cyclic = false;
        for (ftc_id v = 1; v < g->n_nodes; v++)
            if (f->anchored[v]) follow(f, &o, v, 0);
    } while (o.cyclic);
    free(o.marks);
    free(o.path);
    free(o.via);
}

static bool reads_only_visited(const fusion *f, const unit *u) {
    for (int i = 0; i < u->n_reads; i++)
        if (f->anchored[u->reads[i].id] && !f->visited[u->reads[i].id]) return false;
    return true;
}

static void visit(fusion *f, ftc_id id);

// The first visit of a cluster: everything from outside comes first, then all contractions that are ready. So
// the tile kernel is complete once it starts, and has few steps.
static void enter_cluster(fusion *f, ftc_id cluster) {
    uint32_t stamp = ++f->current_stamp;
    for (ftc_id member = f->first_member[cluster]; member; member = f->next_member[member]) {
        const unit *u = &f->units[member];
        for (int i = 0; i < u->n_reads; i++)
            if (f->anchored[u->reads[i].id] && !needs_cluster(f, u->reads[i].id, cluster, stamp))
                visit(f, u->reads[i].id);
    }
    for (ftc_id member = f->first_member[cluster]; member; member = f->next_member[member])
        if (!f->visited[member] && class_of(f, member) == FTC_CLASS_DOT &&
            reads_only_visited(f, &f->units[member])) {
            f->visited[member] = true;
            f->order[f->n_order++] = member;
        }
}

// Everything that reads what the assignment overwrites.
static void visit_readers(fusion *f, ftc_id assign) {
    const ftc_node *node = &f->g->nodes[assign];
    const unit *old = &f->units[ftc_graph_leaf(f->g, node->decl)];
    for (uint32_t i = 0; i < old->n_readers; i++) {
        ftc_id reader = f->readers[old->first_reader + i].id;
        if (reader != node->arg[0] || f->late[assign]) visit(f, reader);
    }
}

static void visit(fusion *f, ftc_id id) {
    if (f->visited[id]) return;
    const unit *u = &f->units[id];
    if (f->in_tile[id] && !f->entered[f->cluster[id]]) {
        f->entered[f->cluster[id]] = true;
        enter_cluster(f, f->cluster[id]);
        if (f->visited[id]) return;
    }
    f->visited[id] = true;
    if (class_of(f, id) == FTC_CLASS_ASSIGN && f->late[id]) visit_readers(f, id);
    for (uint32_t i = f->user_start[id]; i < f->user_start[id + 1]; i++)
        if (class_of(f, f->users[i]) == FTC_CLASS_ASSIGN && !f->late[f->users[i]])
            visit_readers(f, f->users[i]);
    for (int i = 0; i < u->n_reads; i++)
        if (f->anchored[u->reads[i].id]) visit(f, u->reads[i].id);
    f->order[f->n_order++] = id;
}

// The last value of the backward phase that an update needs: updates are ordered by it.
static ftc_id last_gradient(const fusion *f, ftc_id id) {
    const unit *u = &f->units[id];
    ftc_id last = 0;
    for (int i = 0; i < u->n_reads; i++) {
        ftc_id read = u->reads[i].id;
        if (!f->anchored[read]) continue;
        ftc_id candidate = f->g->nodes[read].phase == FTC_PHASE_UPDATE ? last_gradient(f, read) : read;
        if (candidate > last) last = candidate;
    }
    return last;
}

typedef struct {
    ftc_id assign, gradient;
    int rank; // the weight before its moments
} update;

static int compare_updates(const void *a, const void *b) {
    const update *x = a, *y = b;
    if (x->gradient != y->gradient) return x->gradient < y->gradient ? -1 : 1;
    if (x->rank != y->rank) return x->rank - y->rank;
    return x->assign < y->assign ? -1 : 1;
}

static void find_order(fusion *f) {
    const ftc_graph *g = f->g;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        ftc_id output = g->outputs[i].node;
        if (g->nodes[output].phase == FTC_PHASE_FORWARD) visit(f, output);
    }
    update *updates = calloc(g->n_nodes, sizeof *updates);
    uint32_t n = 0;
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (class_of(f, v) == FTC_CLASS_ASSIGN)
            updates[n++] =
                (update){v, last_gradient(f, v), g->decls[g->nodes[v].decl].kind != FTC_DECL_PARAM};
    qsort(updates, n, sizeof *updates, compare_updates);
    for (uint32_t i = 0; i < n; i++) visit(f, updates[i].assign);
    free(updates);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (f->anchored[v]) visit(f, v);
}

// --- place
// --------------------------------------------------------------------------------------------------------

// Whether every value in the expression of `id` has none of `group`'s axes or all of them side by side in its
// order, so that one flat index runs over the group.
static bool expression_is_flat(fusion *f, ftc_id id, const ftc_axes *group) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    ftc_axes common = ftc_axes_intersect(&node->type.axes, group);
    if (common.n > 0) {
        if (common.n != group->n) return false;
        ftc_axes order = ftc_axes_packed_order(g, &node->type.axes);
        int at = ftc_axes_find(&order, group->at[0]);
        for (int i = 0; i < group->n; i++)
            if (at + i >= order.n || order.at[at + i] != group->at[i]) return false;
        ftc_op_class class = ftc_node_class(node);
        if (class == FTC_CLASS_SOURCE &&
            (ftc_op_get(node->op)->attrs & FTC_ATTR_INDEX || node->axis != FTC_NO_AXIS))
            return false; // index and random need the coordinates one by one
    }
    if (f->stamp[id] == f->current_stamp) return true;
    f->stamp[id] = f->current_stamp;
    if (f->anchored[id] || ftc_node_class(node) == FTC_CLASS_LEAF) return true;
    for (int i = 0; i < node->n_args; i++)
        if (!expression_is_flat(f, node->arg[i], group)) return false;
    return true;
}

static bool operands_are_flat(fusion *f, ftc_id id, const ftc_axes *group) {
    const ftc_node *node = &f->g->nodes[id];
    if (group->n <= 1) return true;
    f->current_stamp++;
    if (ftc_node_class(node) == FTC_CLASS_SOURCE) return false;
    for (int i = 0; i < node->n_args; i++)
        if (!expression_is_flat(f, node->arg[i], group)) return false;
    ftc_axes order = ftc_axes_packed_order(f->g, &node->type.axes);
    int at = ftc_axes_find(&order, group->at[0]);
    for (int i = 0; at >= 0 && i < group->n; i++)
        if (order.at[at + i] != group->at[i]) return false;
    return true;
}

static bool is_token_group(const ftc_graph *g, const ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++)
        if (!ftc_region_is_token_axis(g, axes, axes->at[i])) return false;
    return true;
}

// Whether the axes of `set` come last in `order`, which gives them as `cols`, and one index can run over
// them: a ragged axis has no other beside it.
static bool cols_are_a_row(const ftc_graph *g, const ftc_axes *order, const ftc_axes *set, ftc_axes *cols) {
    *cols = (ftc_axes){0};
    for (int i = order->n - set->n; i < order->n; i++) {
        if (i < 0 || !ftc_axes_has(set, order->at[i])) return false;
        ftc_axes_add(cols, order->at[i]);
    }
    return cols->n == 1 || ftc_region_constant_size(g, cols) >= 0;
}

// Kind and loops of a new kernel for a value that is no contraction.
static ftc_kernel kernel_for(fusion *f, ftc_id id) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    ftc_axes space = space_of(f, id), cols = {0};
    ftc_kernel k = {.kind = FTC_KERNEL_ROWS, .block = FTC_NO_AXIS};
    if (ftc_node_class(node) == FTC_CLASS_SCATTER) {
        k.kind = FTC_KERNEL_SCATTER;
        k.rows = ftc_axes_of(node->axis);
        k.cols = ftc_axes_minus(&space, &k.rows);
        return k;
    }
    if (ftc_node_class(node) == FTC_CLASS_REDUCE) {
        bool is_row = cols_are_a_row(g, &space, &node->axes, &cols) && cols.n < space.n;
        if (is_row && operands_are_flat(f, id, &cols)) {
            k.cols = cols;
            k.rows = ftc_axes_minus(&space, &cols);
            return k;
        }
        k.kind = FTC_KERNEL_COLUMNS;
        k.rows = ftc_axes_intersect(&space, &node->axes);
        k.cols = ftc_axes_minus(&space, &k.rows);
        return k;
    }
    for (int i = 0; i < space.n; i++)
        if (!ftc_region_is_token_axis(g, &space, space.at[i])) ftc_axes_add(&cols, space.at[i]);
    if (cols.n == space.n || cols.n == 0 || !operands_are_flat(f, id, &cols))
        cols = space.n ? ftc_axes_of(space.at[space.n - 1]) : (ftc_axes){0};
    k.cols = cols;
    k.rows = ftc_axes_minus(&space, &cols);
    return k;
}

// The first position at which `id` can be computed.
static position earliest(fusion *f, ftc_id id) {
    const ftc_graph *g = f->g;
    const unit *u = &f->units[id];
    position first = AT_STEP(1, 0);
    for (int i = 0; i < u->n_reads; i++) {
        if (!f->anchored[u->reads[i].id]) continue;
        position p = f->place[u->reads[i].id];
        const ftc_kernel *k = &g->kernels[KERNEL_OF(p)];
        if (k->kind == FTC_KERNEL_TILE) {
            if (f->tiles[KERNEL_OF(p)].steps[STEP_OF(p)].accumulates || u->reads[i].renamed)
                p = AFTER_KERNEL(KERNEL_OF(p));
            else if (!f->tiles[KERNEL_OF(p)].steps[STEP_OF(p)].is_rows || class_of(f, id) == FTC_CLASS_DOT)
                p++;
        } else if (u->reads[i].moved ||
                   (k->kind == FTC_KERNEL_COLUMNS && class_of(f, id) == FTC_CLASS_REDUCE)) {
            p = AFTER_KERNEL(KERNEL_OF(p));
        }
        if (p > first) first = p;
    }
    return first;
}

// Of an assignment: the first to the same parameter or its state, from which next_update leads on; else 0.
static ftc_id first_update(const fusion *f, ftc_id user) {
    if (class_of(f, user) != FTC_CLASS_ASSIGN) return 0;
    return f->first_update[parameter_of(f->g, f->g->nodes[user].decl)];
}

// An update must come after every reader of the old value that is not the same cell of the same kernel.
static position earliest_assign(fusion *f, ftc_id assign, position first) {
    const ftc_graph *g = f->g;
    ftc_id value = g->nodes[assign].arg[0], leaf = ftc_graph_leaf(g, g->nodes[assign].decl);
    const unit *old = &f->units[leaf];
    for (uint32_t i = 0; i < old->n_readers; i++) {
        reading r = f->readers[old->first_reader + i];
        if (r.id == value || !f->place[r.id]) continue;
        position p = reads_own_cells(f, r, leaf) ? f->place[r.id] : AFTER_KERNEL(KERNEL_OF(f->place[r.id]));
        if (p > first) first = p;
    }
    return first;
}

static position new_kernel(fusion *f, ftc_kernel kernel, const char *kind, ftc_phase phase) {
    kernel.name = ftc_graph_format(f->g, "%s%u", kind, f->g->n_kernels ? f->g->n_kernels : 1);
    uint32_t k = ftc_graph_add_kernel(f->g, kernel);
    if (k >= f->kernels_capacity) {
        uint32_t old = f->kernels_capacity;
        f->kernels_capacity = k * 2 + 16;
        f->phase = realloc(f->phase, f->kernels_capacity * sizeof *f->phase);
        f->tiles = realloc(f->tiles, f->kernels_capacity * sizeof *f->tiles);
        memset(f->tiles + old, 0, (f->kernels_capacity - old) * sizeof *f->tiles);
    }
    f->phase[k] = phase;
    return AT_STEP(k, 0);
}

static position new_step(fusion *f, uint32_t kernel, tile_step step) {
    tile *t = &f->tiles[kernel];
    t->steps = realloc(t->steps, (size_t)(t->n_steps + 1) * sizeof *t->steps);
    t->steps[t->n_steps] = step;
    return AT_STEP(kernel, (uint16_t)t->n_steps++);
}

// Puts `id` into tile kernel k at or after `first`; 0 when the kernel cannot take it.
static position join_tile(fusion *f, ftc_id id, uint32_t k, position first) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    const ftc_kernel *kernel = &g->kernels[k];
    if (KERNEL_OF(first) > k || (f->in_tile[id] && f->tiles[k].cluster != f->cluster[id])) return 0;
    if (ftc_node_class(node) == FTC_CLASS_DOT) {
        ftc_dot_shape c = ftc_region_dot_shape(g, node);
        if (!ftc_axes_same_set(&c.batch, &kernel->rows)) return 0;
        bool accumulates = ftc_axes_has(&c.sums, kernel->block);
        ftc_axes own = ftc_axes_union(&c.rows, &c.cols);
        if (!accumulates && kernel->block != FTC_NO_AXIS && !ftc_axes_has(&own, kernel->block)) return 0;
        return new_step(f, k, (tile_step){.cols = c.cols, .accumulates = accumulates});
    }
    ftc_op_class class = ftc_node_class(node);
    if (class != FTC_CLASS_MAP && class != FTC_CLASS_REDUCE && class != FTC_CLASS_SOURCE) return 0;
    ftc_axes space = space_of(f, id), local = ftc_axes_minus(&space, &kernel->rows);
    if (!ftc_axes_subset(&kernel->rows, &space)) return 0;
    if (kernel->block != FTC_NO_AXIS) {
        if (!ftc_axes_has(&local, kernel->block)) return 0;
        ftc_axes block = ftc_axes_of(kernel->block);
        local = ftc_axes_minus(&local, &block);
    }
    if (local.n > 1) return 0;
    if (ftc_node_class(node) == FTC_CLASS_REDUCE && !ftc_axes_same_set(&node->axes, &local)) return 0;
    tile *t = &f->tiles[k];
    for (int s = KERNEL_OF(first) == k ? STEP_OF(first) : 0; s < t->n_steps; s++) {
        if (!t->steps[s].is_rows) continue;
        if (local.n && t->steps[s].cols.n && !ftc_axes_same_set(&local, &t->steps[s].cols)) continue;
        if (local.n) t->steps[s].cols = local;
        return AT_STEP(k, (uint16_t)s);
    }
    return new_step(f, k, (tile_step){.is_rows = true, .cols = local});
}

// Puts `id` into kernel k, which holds or follows everything that it reads; 0 when the kernel cannot take it.
static position join_kernel(fusion *f, ftc_id id, uint32_t k, bool follows_operand) {
    const ftc_graph *g = f->g;
    const ftc_kernel *kernel = &g->kernels[k];
    const ftc_node *node = &g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    ftc_axes space = space_of(f, id), loops = ftc_axes_union(&kernel->rows, &kernel->cols);
    bool whole = ftc_axes_same_set(&space, &loops);
    bool is_map = class != FTC_CLASS_REDUCE && class != FTC_CLASS_DOT && class != FTC_CLASS_SCATTER;
    bool fits = false;
    switch (kernel->kind) {
    case FTC_KERNEL_ROWS:
        if (is_map && whole)
            fits = operands_are_flat(f, id, &kernel->cols);
        else if (is_map)
            fits = follows_operand && ftc_axes_same_set(&space, &kernel->rows);
        else if (class == FTC_CLASS_REDUCE)
            fits = whole && ftc_axes_same_set(&node->axes, &kernel->cols) &&
                   operands_are_flat(f, id, &kernel->cols);
        break;
    case FTC_KERNEL_COLUMNS:
        if (is_map)
            fits = follows_operand && ftc_axes_same_set(&space, &kernel->cols);
        else if (class == FTC_CLASS_REDUCE)
            fits = whole && ftc_axes_same_set(&node->axes, &kernel->rows);
        break;
    case FTC_KERNEL_DOT:
        fits = is_map && follows_operand && whole && operands_are_flat(f, id, &kernel->cols) &&
               (is_token_group(g, &kernel->rows) || operands_are_flat(f, id, &kernel->rows));
        break;
    case FTC_KERNEL_SCATTER:
        fits = is_map && follows_operand && whole && operands_are_flat(f, id, &kernel->cols);
        break;
    default: break;
    }
    return fits ? AT_STEP(k, 0) : 0;
}

static position new_tile(fusion *f, ftc_id id) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    ftc_kernel kernel = {.kind = FTC_KERNEL_TILE, .block = FTC_NO_AXIS, .block_size = 1};
    if (ftc_node_class(node) == FTC_CLASS_DOT) {
        ftc_dot_shape c = ftc_region_dot_shape(g, node);
        if (c.rows.n > 1 || c.cols.n > 1 || c.sums.n > 1) return 0;
        kernel.rows = c.batch;
        if (c.rows.n) kernel.block = c.rows.at[0];
    } else {
        ftc_axes space = space_of(f, id);
        for (int i = 0; i < space.n; i++) {
            bool ragged = ftc_axis_extent(g, space.at[i])->kind == FTC_EXTENT_RAGGED;
            if (!ragged)
                ftc_axes_add(&kernel.rows, space.at[i]);
            else if (kernel.block == FTC_NO_AXIS)
                kernel.block = space.at[i];
        }
    }
    if (kernel.block != FTC_NO_AXIS) kernel.block_size = f->options->tile_rows ? f->options->tile_rows : 32;
    position p = new_kernel(f, kernel, "tile", node->phase);
    f->tiles[KERNEL_OF(p)].cluster = f->cluster[id];
    return p;
}

// Values that only tile kernels can hold may not be read from another kernel.
static bool stays_in_tile(const fusion *f, ftc_id id, position p) {
    const unit *u = &f->units[id];
    for (int i = 0; i < u->n_reads; i++) {
        ftc_id read = u->reads[i].id;
        if (f->anchored[read] && ftc_region_is_quadratic(f->g, &f->g->nodes[read].type) &&
            KERNEL_OF(f->place[read]) != KERNEL_OF(p))
            return false;
    }
    return true;
}

// Computes a value once more as late as can be: in the newest kernel, or in the latest one that reads its
// operand cell by cell.
static position join_late(fusion *f, ftc_id id, position first) {
    const unit *u = &f->units[id];
    ftc_axes space = space_of(f, id);
    uint32_t latest = 0, newest = f->g->n_kernels ? f->g->n_kernels - 1 : 0;
    for (int i = 0; i < u->n_reads; i++) {
        const unit *operand = &f->units[u->reads[i].id];
        if (u->reads[i].moved || !ftc_axes_same_set(&f->g->nodes[u->reads[i].id].type.axes, &space)) continue;
        for (uint32_t j = 0; j < operand->n_readers; j++) {
            reading r = f->readers[operand->first_reader + j];
            if (!r.moved && KERNEL_OF(f->place[r.id]) > latest) latest = KERNEL_OF(f->place[r.id]);
        }
    }
    position p = 0;
    for (int i = 0; i < 2 && !p; i++) {
        uint32_t k = i ? latest : newest;
        const ftc_kernel *kernel = &f->g->kernels[k];
        ftc_axes loops = ftc_axes_union(&kernel->rows, &kernel->cols);
        if (k >= KERNEL_OF(first) && f->phase[k] != FTC_PHASE_FORWARD && kernel->kind != FTC_KERNEL_TILE &&
            ftc_axes_same_set(&space, &loops))
            p = join_kernel(f, id, k, true);
    }
    return p;
}

// Whether kernel k holds something that `id` reads, or reads it too; a count reads nothing and fits anywhere.
static bool shares_operand(const fusion *f, ftc_id id, uint32_t k) {
    const unit *u = &f->units[id];
    if (u->n_reads == 0) return true;
    for (int i = 0; i < u->n_reads; i++) {
        const unit *operand = &f->units[u->reads[i].id];
        if (KERNEL_OF(f->place[u->reads[i].id]) == k) return true;
        for (uint32_t j = 0; j < operand->n_readers; j++) {
            ftc_id reader = f->readers[operand->first_reader + j].id;
            if (reader != id && KERNEL_OF(f->place[reader]) == k) return true;
        }
    }
    return false;
}

// The latest kernel that updates one of the tensors that `id` is updated with, 0: none yet. Their new values
// read each other's old ones, so they belong together.
static uint32_t kernel_of_update(const fusion *f, ftc_id id) {
    uint32_t latest = 0;
    for (uint32_t u = f->user_start[id]; u < f->user_start[id + 1]; u++)
        for (ftc_id assign = first_update(f, f->users[u]); assign; assign = f->next_update[assign]) {
            uint32_t k = KERNEL_OF(f->place[ftc_region_source(f->g, f->g->nodes[assign].arg[0])]);
            if (k > latest) latest = k;
        }
    return latest;
}

// The kernel that can take `id` and holds or follows everything that it reads; 0: none.
static position join_any(fusion *f, ftc_id id, position first) {
    const ftc_graph *g = f->g;
    bool again = g->nodes[id].phase == FTC_PHASE_RECOMPUTE;
    // The kernel of the latest operand; for the values of a tile, and for reductions, a later one will do as
    // well. Reductions of values that have nothing in common stay apart: so their kernels look alike, and are
    // emitted once.
    bool reduces = class_of(f, id) == FTC_CLASS_REDUCE, patient = f->in_tile[id] || reduces;
    uint32_t n_kernels = g->n_kernels ? g->n_kernels : 1, update = kernel_of_update(f, id);
    position p = 0;
    if (update >= KERNEL_OF(first) && g->kernels[update].kind != FTC_KERNEL_TILE)
        p = join_kernel(f, id, update, update == KERNEL_OF(first));
    for (uint32_t k = KERNEL_OF(first); !p && k < n_kernels && (k == KERNEL_OF(first) || patient); k++) {
        if (again && f->phase[k] == FTC_PHASE_FORWARD) continue; // it would be kept since then
        if (reduces && !f->in_tile[id] && !shares_operand(f, id, k)) continue;
        if (g->kernels[k].kind != FTC_KERNEL_TILE)
            p = join_kernel(f, id, k, k == KERNEL_OF(first));
        else if (f->in_tile[id] || k == KERNEL_OF(first))
            p = join_tile(f, id, k, first);
    }
    return p || !again ? p : join_late(f, id, first);
}

// A kernel that copies the new value, whose own kernel and all readers of the old one have run by then.
static position place_late(fusion *f, ftc_id assign) {
    return new_kernel(f, kernel_for(f, assign), "rows", f->g->nodes[assign].phase);
}

static bool place_unit(fusion *f, ftc_id id, ftc_diagnostics *d) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    if (ftc_node_class(node) == FTC_CLASS_ASSIGN) {
        f->place[id] = f->late[id] ? place_late(f, id) : f->place[node->arg[0]];
        return true;
    }
    position first = earliest(f, id);
    for (uint32_t u = f->user_start[id]; u < f->user_start[id + 1]; u++)
        for (ftc_id assign = first_update(f, f->users[u]); assign; assign = f->next_update[assign])
            first = earliest_assign(f, assign, first);

    position p = join_any(f, id, first);
    if (!p && f->in_tile[id]) {
        position kernel = new_tile(f, id);
        if (kernel) p = join_tile(f, id, KERNEL_OF(kernel), kernel);
    } else if (!p && ftc_node_class(node) == FTC_CLASS_DOT && ftc_region_is_matrix_product(g, node)) {
        ftc_dot_shape c = ftc_region_dot_shape(g, node);
        p = new_kernel(
            f, (ftc_kernel){.kind = FTC_KERNEL_DOT, .rows = c.rows, .cols = c.cols, .block = FTC_NO_AXIS},
            "dot", node->phase);
    } else if (!p) {
        static const char *const names[] = {
            [FTC_KERNEL_ROWS] = "rows", [FTC_KERNEL_COLUMNS] = "columns", [FTC_KERNEL_SCATTER] = "scatter"};
        ftc_kernel kernel = kernel_for(f, id);
        p = new_kernel(f, kernel, names[kernel.kind], node->phase);
    }
    if (!p || !stays_in_tile(f, id, p)) {
        const char *file = node->loc.line ? g->files[node->loc.file] : NULL;
        ftc_diag_add(d, file, NULL, (int)node->loc.line, 0,
                     "cannot form a kernel for this %s: it needs more than one row axis, one column axis and "
                     "one summed "
                     "axis for each cell of its batch axes; rewrite it with fewer axes",
                     ftc_op_get(node->op)->name);
        return false;
    }
    f->place[id] = p;
    return true;
}

// --- rebuild
// ------------------------------------------------------------------------------------------------------

typedef struct {
    fusion *f;
    ftc_graph *out;
    ftc_id *anchored_copy; // new id of leaves and anchored values
    ftc_id *inlined_copy;  // new id of inlined values in the current step
    uint32_t *inlined_in;  // … valid when this equals the current step's number
    uint32_t current;
    position place;
} rebuild;

static ftc_id copy_expression(rebuild *r, ftc_id id) {
    fusion *f = r->f;
    bool anchored = f->anchored[id] || class_of(f, id) == FTC_CLASS_LEAF;
    if (anchored && r->anchored_copy[id]) return r->anchored_copy[id];
    if (!anchored && r->inlined_in[id] == r->current) return r->inlined_copy[id];
    ftc_node copy = f->g->nodes[id];
    for (int i = 0; i < copy.n_args; i++) copy.arg[i] = copy_expression(r, copy.arg[i]);
    if (class_of(f, id) != FTC_CLASS_LEAF) {
        copy.kernel = KERNEL_OF(r->place);
        copy.step = STEP_OF(r->place);
    }
    ftc_id new = ftc_graph_append(r->out, copy);
    if (anchored) {
        r->anchored_copy[id] = new;
    } else {
        r->inlined_copy[id] = new;
        r->inlined_in[id] = r->current;
    }
    return new;
}

static int compare_places(const void *a, const void *b, void *context) {
    const fusion *f = context;
    ftc_id x = *(const ftc_id *)a, y = *(const ftc_id *)b;
    if (f->place[x] != f->place[y]) return f->place[x] < f->place[y] ? -1 : 1;
    return 0;
}

static void sort_by_place(fusion *f) {
    // A stable merge sort: within a step the order of `order` holds.
    ftc_id *sorted = calloc(f->n_order + 1, sizeof *sorted);
    for (uint32_t run = 1; run < f->n_order; run *= 2) {
        for (uint32_t start = 0; start < f->n_order; start += 2 * run) {
            uint32_t middle = start + run < f->n_order ? start + run : f->n_order;
            uint32_t end = start + 2 * run < f->n_order ? start + 2 * run : f->n_order;
            uint32_t i = start, j = middle, k = start;
            while (i < middle || j < end) {
                bool left = j == end || (i < middle && compare_places(&f->order[i], &f->order[j], f) <= 0);
                sorted[k++] = f->order[left ? i++ : j++];
            }
        }
        ftc_id *swap = f->order;
        f->order = sorted;
        sorted = swap;
    }
    free(sorted);
}

static void rebuild_graph(fusion *f) {
    ftc_graph *g = f->g;
    rebuild r = {.f = f, .out = ftc_graph_new_like(g)};
    r.anchored_copy = calloc(g->n_nodes, sizeof *r.anchored_copy);
    r.inlined_copy = calloc(g->n_nodes, sizeof *r.inlined_copy);
    r.inlined_in = calloc(g->n_nodes, sizeof *r.inlined_in);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (class_of(f, v) == FTC_CLASS_LEAF) copy_expression(&r, v);
    sort_by_place(f);
    for (uint32_t i = 0; i < f->n_order; i++) {
        if (r.current == 0 || f->place[f->order[i]] != r.place) {
            r.place = f->place[f->order[i]];
            r.current++;
        }
        copy_expression(&r, f->order[i]);
    }
    ftc_graph_replace_nodes(g, r.out, r.anchored_copy);
    free(r.anchored_copy);
    free(r.inlined_copy);
    free(r.inlined_in);
}

bool ftc_pass_fuse(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    fusion f = {.g = g, .options = options};
    uint32_t n_nodes = g->n_nodes;
    f.is_output = calloc(g->n_nodes, sizeof *f.is_output);
    f.anchored = calloc(g->n_nodes, sizeof *f.anchored);
    f.units = calloc(g->n_nodes, sizeof *f.units);
    f.order = calloc(g->n_nodes, sizeof *f.order);
    f.visited = calloc(g->n_nodes, sizeof *f.visited);
    f.entered = calloc(g->n_nodes, sizeof *f.entered);
    f.in_tile = calloc(g->n_nodes, sizeof *f.in_tile);
    f.cluster = calloc(g->n_nodes, sizeof *f.cluster);
    f.first_member = calloc(g->n_nodes, sizeof *f.first_member);
    f.next_member = calloc(g->n_nodes, sizeof *f.next_member);
    f.first_update = calloc(g->n_decls + 1, sizeof *f.first_update);
    f.next_update = calloc(g->n_nodes, sizeof *f.next_update);
    f.late = calloc(g->n_nodes, sizeof *f.late);
    f.stamp = calloc(g->n_nodes, sizeof *f.stamp);
    f.place = calloc(g->n_nodes, sizeof *f.place);
    find_users(&f);
    find_updates(&f);
    find_anchors(&f);
    find_readings(&f);
    find_readers(&f);
    find_late_assignments(&f);
    find_clusters(&f);
    find_order(&f);
    bool ok = true;
    for (uint32_t i = 0; i < f.n_order && ok; i++) ok = place_unit(&f, f.order[i], d);
    if (ok) rebuild_graph(&f);
    for (ftc_id v = 1; v < n_nodes; v++) free(f.units[v].reads);
    for (uint32_t k = 0; k < f.kernels_capacity; k++) free(f.tiles[k].steps);
    free(f.is_output);
    free(f.anchored);
    free(f.units);
    free(f.order);
    free(f.visited);
    free(f.entered);
    free(f.readers);
    free(f.in_tile);
    free(f.cluster);
    free(f.first_member);
    free(f.next_member);
    free(f.first_update);
    free(f.next_update);
    free(f.late);
    free(f.phase);
    free(f.stamp);
    free(f.place);
    free(f.user_start);
    free(f.users);
    free(f.tiles);
    return ok;
}
