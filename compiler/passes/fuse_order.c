// fuse, second part: in which order the units are placed.
//
// Every unit follows what it reads, an update follows every reader of the old weight, and a gradient stands
// just before its update, so that it dies there.
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/edits.h"
#include "compiler/passes/fuse.h"
#include "compiler/passes/regions.h"

// --- clusters: what must share a tile kernel ----------------------------------------------------------

static bool is_tile_unit(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    if (ftc_node_class(node) == FTC_CLASS_DOT) return ftc_region_dot_shape(g, node).batch.n > 0;
    if (ftc_region_is_quadratic(g, &node->type) || ftc_fuse_scatters_in_tile(g, id)) return true;
    return ftc_node_class(node) == FTC_CLASS_REDUCE &&
           ftc_region_is_quadratic(g, &g->nodes[node->arg[0]].type);
}

static ftc_id cluster_of(const ftc_fusion *f, ftc_id id) {
    while (f->cluster[id] != id) id = f->cluster[id];
    return id;
}

// Tile values that read one another share a kernel: clusters, by union-find. A contraction that stands alone
// before them may be read from memory, and its kernel may be cut into blocks along another axis, or not at
// all. A recurrence is a cluster of its own.
static void find_clusters(ftc_fusion *f) {
    const ftc_graph *g = f->g;
    ftc_id *first = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *first); // by recurrence
    f->in_tile = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *f->in_tile);
    f->cluster = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *f->cluster);
    bool stored = false;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const uint32_t recurrence = f->recurrence[v];
        if (recurrence && !first[recurrence]) first[recurrence] = v;
        f->cluster[v] = recurrence ? first[recurrence] : v;
        f->in_tile[v] = f->anchored[v] && (recurrence || is_tile_unit(g, v));
        if (f->in_tile[v] && ftc_region_touches_quadratic(g, &g->nodes[v]) && ftc_edits_store(f->options)) {
            stored = true;
            f->in_tile[v] = ftc_fuse_class(f, v) == FTC_CLASS_DOT || ftc_fuse_scatters_in_tile(g, v);
        }
    }
    if (stored) return; // each by itself
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (!f->in_tile[v] || f->recurrence[v]) continue;
        for (uint32_t i = 0; i < f->units[v].n_reads; i++) {
            ftc_id read = f->units[v].reads[i].id;
            if (f->recurrence[read]) continue;
            // It is neither needed with nor made from values that only its kernel holds.
            bool alone = f->cluster[read] == read && !ftc_region_touches_quadratic(g, &g->nodes[read]);
            if (f->in_tile[read] && !alone && g->nodes[read].phase == g->nodes[v].phase)
                f->cluster[cluster_of(f, v)] = cluster_of(f, read);
        }
    }
    for (ftc_id v = g->n_nodes; v-- > 1;) f->cluster[v] = cluster_of(f, v);
}

// --- late assignments ---------------------------------------------------------------------------------

typedef enum { UNSEEN, ON_PATH, DONE } mark;

typedef struct {
    ftc_fusion *f;
    mark *marks;  // by node
    ftc_id *path; // [n] units, each needed before the one before it
    ftc_id *via;  // … because this assignment overwrites what it reads; 0: its value is read
    uint32_t n;
    bool found;
} cycle_search;

static void follow(cycle_search *c, ftc_id id, ftc_id via) {
    ftc_fusion *f = c->f;
    if (c->found || c->marks[id] == DONE) return;
    if (c->marks[id] == ON_PATH) { // one of the assignments on the way has to wait
        for (uint32_t i = c->n; !via && c->path[i - 1] != id;) via = c->via[--i];
        f->late[via] = c->found = true;
        return;
    }
    c->marks[id] = ON_PATH;
    c->path[c->n] = id;
    c->via[c->n++] = via;
    const ftc_fuse_unit *u = &f->units[id];
    for (uint32_t i = 0; i < u->n_reads; i++)
        if (f->anchored[u->reads[i].id]) follow(c, u->reads[i].id, 0);
    for (uint32_t i = f->user_start[id]; i < f->user_start[id + 1]; i++) {
        ftc_id assign = f->users[i];
        if (ftc_fuse_class(f, assign) != FTC_CLASS_ASSIGN || f->late[assign]) continue;
        const ftc_fuse_unit *old = &f->units[ftc_graph_leaf(f->g, f->g->nodes[assign].decl)];
        for (uint32_t k = 0; k < old->n_readers; k++)
            if (old->readers[k].id != id) follow(c, old->readers[k].id, assign);
    }
    c->marks[id] = DONE;
    c->n--;
}

// A new value is written where it is computed, after all that read the old one. Where these need the new
// value themselves, or new values need each other's old ones, or the value the old one of other cells, it is
// computed like any other value and copied at the end.
static void find_late_assignments(ftc_fusion *f) {
    const ftc_graph *g = f->g;
    f->late = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *f->late);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (ftc_fuse_class(f, v) != FTC_CLASS_ASSIGN) continue;
        ftc_id leaf = ftc_graph_leaf(g, g->nodes[v].decl), value = g->nodes[v].arg[0];
        const ftc_fuse_unit *old = &f->units[leaf];
        for (uint32_t i = 0; i < old->n_readers; i++)
            f->late[v] |= old->readers[i].id == value && !ftc_fuse_reads_own_cells(f, old->readers[i], leaf);
    }
    cycle_search c = {.f = f};
    c.marks = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *c.marks);
    c.path = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *c.path);
    c.via = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *c.via);
    do {
        memset(c.marks, 0, g->n_nodes * sizeof *c.marks);
        c.n = 0;
        c.found = false;
        for (ftc_id v = 1; v < g->n_nodes; v++)
            if (f->anchored[v]) follow(&c, v, 0);
    } while (c.found);
}

// --- the order: a depth-first walk from what is wanted ------------------------------------------------

typedef struct {
    ftc_fusion *f;
    bool *visited, *listed;             // by node; what is on the way to be listed is visited
    bool *entered;                      // by cluster
    ftc_id *first_member, *next_member; // of a cluster, in the order of the graph: by cluster, and by node
} ordering;

static void append(ordering *o, ftc_id id) {
    o->listed[id] = true;
    o->f->order[o->f->n_order++] = id;
}

// Whether computing `id` needs a member of the cluster. Stamped nodes are known not to.
static bool needs_cluster(ftc_fusion *f, ftc_id id, ftc_id cluster, uint32_t stamp) {
    if (!f->anchored[id] || f->stamp[id] == stamp) return false;
    if (f->in_tile[id] && f->cluster[id] == cluster) return true;
    for (uint32_t i = 0; i < f->units[id].n_reads; i++)
        if (needs_cluster(f, f->units[id].reads[i].id, cluster, stamp)) return true;
    f->stamp[id] = stamp;
    return false;
}

static bool reads_only_listed(const ordering *o, const ftc_fuse_unit *u) {
    for (uint32_t i = 0; i < u->n_reads; i++)
        if (o->f->anchored[u->reads[i].id] && !o->listed[u->reads[i].id]) return false;
    return true;
}

static void visit(ordering *o, ftc_id id);

// The first visit of a cluster: everything from outside comes first, then all contractions that are ready. So
// the tile kernel is complete once it starts, and has few steps.
static void enter_cluster(ordering *o, ftc_id cluster) {
    ftc_fusion *f = o->f;
    uint32_t stamp = ++f->current_stamp;
    for (ftc_id member = o->first_member[cluster]; member; member = o->next_member[member]) {
        const ftc_fuse_unit *u = &f->units[member];
        for (uint32_t i = 0; i < u->n_reads; i++)
            if (f->anchored[u->reads[i].id] && !needs_cluster(f, u->reads[i].id, cluster, stamp))
                visit(o, u->reads[i].id);
    }
    for (ftc_id member = o->first_member[cluster]; member; member = o->next_member[member])
        if (!o->visited[member] && ftc_fuse_class(f, member) == FTC_CLASS_DOT &&
            reads_only_listed(o, &f->units[member])) {
            o->visited[member] = true;
            append(o, member);
        }
}

// Everything that reads what the assignment overwrites.
static void visit_readers(ordering *o, ftc_id assign) {
    const ftc_node *node = &o->f->g->nodes[assign];
    const ftc_fuse_unit *old = &o->f->units[ftc_graph_leaf(o->f->g, node->decl)];
    for (uint32_t i = 0; i < old->n_readers; i++)
        if (old->readers[i].id != node->arg[0] || o->f->late[assign]) visit(o, old->readers[i].id);
}

static void visit(ordering *o, ftc_id id) {
    ftc_fusion *f = o->f;
    if (o->visited[id]) return;
    if (f->in_tile[id] && !o->entered[f->cluster[id]]) {
        o->entered[f->cluster[id]] = true;
        enter_cluster(o, f->cluster[id]);
        if (o->visited[id]) return;
    }
    o->visited[id] = true;
    if (ftc_fuse_class(f, id) == FTC_CLASS_ASSIGN && f->late[id]) visit_readers(o, id);
    for (uint32_t i = f->user_start[id]; i < f->user_start[id + 1]; i++)
        if (ftc_fuse_class(f, f->users[i]) == FTC_CLASS_ASSIGN && !f->late[f->users[i]])
            visit_readers(o, f->users[i]);
    const ftc_fuse_unit *u = &f->units[id];
    for (uint32_t i = 0; i < u->n_reads; i++)
        if (f->anchored[u->reads[i].id]) visit(o, u->reads[i].id);
    append(o, id);
}

// --- updates ------------------------------------------------------------------------------------------

// The last value of the backward phase that an update needs: updates are ordered by it.
static ftc_id last_gradient(const ftc_fusion *f, ftc_id id) {
    const ftc_fuse_unit *u = &f->units[id];
    ftc_id last = 0;
    for (uint32_t i = 0; i < u->n_reads; i++) {
        ftc_id read = u->reads[i].id;
        if (!f->anchored[read]) continue;
        ftc_id candidate = f->g->nodes[read].phase == FTC_PHASE_UPDATE ? last_gradient(f, read) : read;
        if (candidate > last) last = candidate;
    }
    return last;
}

// A new value may be made of parts, as a gradient of slices: values that it reads at other coordinates, so
// that they are complete before its kernel begins. Visits the part with this number (NULL: none); gives how
// many there are, and `before`. Looks once at what has not got this stamp.
static int visit_part(ordering *o, ftc_fusion *f, ftc_id id, int number, int before, uint32_t stamp) {
    const ftc_fuse_unit *u = &f->units[id];
    int n = before;
    if (f->stamp[id] == stamp) return n;
    f->stamp[id] = stamp;
    for (uint32_t i = 0; i < u->n_reads; i++) {
        ftc_id read = u->reads[i].id;
        if (!f->anchored[read] || f->g->nodes[read].type.axes.n == 0) continue;
        if (u->reads[i].moved) {
            if (o && n == number) visit(o, read);
            n++;
        } else if (ftc_fuse_class(f, read) == FTC_CLASS_MAP) {
            n = visit_part(o, f, read, number, n, stamp);
        }
    }
    return n;
}

typedef struct {
    ftc_id assign, gradient;
    int n_parts;
    int rank; // the weight before its moments
} update;

static int compare_updates(const void *a, const void *b) {
    const update *x = a, *y = b;
    if (!x->n_parts != !y->n_parts) return x->n_parts ? 1 : -1;
    if (x->gradient != y->gradient) return x->gradient < y->gradient ? -1 : 1;
    if (x->rank != y->rank) return x->rank - y->rank;
    return x->assign < y->assign ? -1 : 1;
}

static ftc_id new_value(const ftc_graph *g, ftc_id assign) {
    return ftc_region_source(g, g->nodes[assign].arg[0]);
}

// Those that are made of parts come last, and all parts before them, in turns: what the first part of a
// weight and of a bias are made of dies with these. (An update waits for the readers of the old value, and so
// would keep what other parts are made of.)
static void visit_updates(ordering *o) {
    const ftc_graph *g = o->f->g;
    update *updates = ftc_arena_alloc(o->f->memory, g->n_nodes * sizeof *updates);
    uint32_t n = 0;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (ftc_fuse_class(o->f, v) != FTC_CLASS_ASSIGN) continue;
        int rank = g->decls[g->nodes[v].decl].kind != FTC_DECL_PARAM;
        int n_parts = visit_part(NULL, o->f, new_value(g, v), 0, 0, ++o->f->current_stamp);
        updates[n++] = (update){v, last_gradient(o->f, v), n_parts, rank};
    }
    qsort(updates, n, sizeof *updates, compare_updates);
    uint32_t first = 0; // that has parts
    int most = 0;
    for (; first < n && !updates[first].n_parts; first++) visit(o, updates[first].assign);
    for (uint32_t i = first; i < n; i++)
        if (updates[i].n_parts > most) most = updates[i].n_parts;
    for (int part = 0; part < most; part++)
        for (uint32_t i = first; i < n; i++)
            visit_part(o, o->f, new_value(g, updates[i].assign), part, 0, ++o->f->current_stamp);
    for (uint32_t i = first; i < n; i++) visit(o, updates[i].assign);
}

// Sums of the update over what it is given come before what is made of them: processes that have made some
// rows of each bring all of them together at once (compiler/passes/slices.h).
static void visit_sums(ordering *o) {
    const ftc_fusion *f = o->f;
    for (ftc_id v = 1; v < f->g->n_nodes; v++) {
        bool sums = f->anchored[v] && f->g->nodes[v].phase == FTC_PHASE_UPDATE &&
                    ftc_fuse_class(f, v) == FTC_CLASS_REDUCE;
        if (sums && reads_only_listed(o, &f->units[v]) && f->g->nodes[v].type.axes.n > 0) visit(o, v);
    }
}

void ftc_fuse_order(ftc_fusion *f) {
    const ftc_graph *g = f->g;
    find_late_assignments(f);
    find_clusters(f);
    ordering o = {.f = f};
    o.visited = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *o.visited);
    o.listed = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *o.listed);
    o.entered = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *o.entered);
    o.first_member = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *o.first_member);
    o.next_member = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *o.next_member);
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        if (!f->in_tile[v]) continue;
        o.next_member[v] = o.first_member[f->cluster[v]];
        o.first_member[f->cluster[v]] = v;
    }
    f->order = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *f->order);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        ftc_id output = g->outputs[i].node;
        if (g->nodes[output].phase == FTC_PHASE_FORWARD) visit(&o, output);
    }
    visit_sums(&o);
    visit_updates(&o);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (f->anchored[v]) visit(&o, v);
}
