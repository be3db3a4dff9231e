// fuse: groups the nodes into kernels.
//
//   anchor    decides which values are computed once, by one kernel, and which again wherever they are read
//   order     lists the anchored values so that every one follows what it reads
//   place     walks this list and puts each value into the kernel of its latest operand when that kernel can
//             take it, else into a new one: so no cycle can arise
//   rebuild   writes the nodes kernel by kernel, inlined expressions copied into each
//
// The first three are files of their own (compiler/passes/fuse_anchor.c, fuse_order.c, fuse_place.c).
//
// Values over two ragged axes (attention scores) live inside tile kernels where they can: one work item for
// each (sequence, head), rows in blocks, everything in scratch. Contractions with batch axes go there too. A
// tile kernel is a list of steps, each a small contraction or a group of row operations. What no tile
// computes becomes a kernel of rows or columns like any other value, a *plain* one: it reads and writes such
// values in memory, and says why (ftc_kernel.plain).
#include "compiler/passes/fuse.h"

#include <stdlib.h>

#include "compiler/passes/regions.h"
#include "compiler/passes/window.h"
#include "ir/recurrence.h"

typedef struct {
    const ftc_fusion *f;
    ftc_graph *out;
    ftc_id *anchored_copy; // new id of leaves and anchored values
    ftc_id *inlined_copy;  // new id of inlined values in the current step
    uint32_t *inlined_in;  // … valid when this equals the current step's number
    uint32_t current;
    ftc_fuse_place place;
} rebuild;

static ftc_id copy_expression(rebuild *r, ftc_id id) {
    const ftc_fusion *f = r->f;
    bool is_leaf = ftc_fuse_class(f, id) == FTC_CLASS_LEAF, is_once = f->anchored[id] || is_leaf;
    if (is_once && r->anchored_copy[id]) return r->anchored_copy[id];
    if (!is_once && r->inlined_in[id] == r->current) return r->inlined_copy[id];
    ftc_node copy = f->g->nodes[id];
    for (int i = 0; i < copy.n_args; i++) copy.arg[i] = copy_expression(r, copy.arg[i]);
    if (!is_leaf) {
        copy.kernel = FTC_KERNEL_OF(r->place);
        copy.step = FTC_STEP_OF(r->place);
    }
    ftc_id new = ftc_graph_append(r->out, copy);
    if (is_once) {
        r->anchored_copy[id] = new;
    } else {
        r->inlined_copy[id] = new;
        r->inlined_in[id] = r->current;
    }
    return new;
}

typedef struct {
    ftc_fuse_place place;
    uint32_t rank; // in `order`, which holds within a step
} position;

static int compare_positions(const void *a, const void *b) {
    const position *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return x->rank < y->rank ? -1 : 1;
}

static void rebuild_graph(ftc_fusion *f) {
    ftc_graph *g = f->g;
    rebuild r = {.f = f, .out = ftc_graph_new_like(g), .current = 1};
    r.anchored_copy = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *r.anchored_copy);
    r.inlined_copy = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *r.inlined_copy);
    r.inlined_in = ftc_arena_alloc(f->memory, g->n_nodes * sizeof *r.inlined_in);
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (ftc_fuse_class(f, v) == FTC_CLASS_LEAF) copy_expression(&r, v);
    position *positions = ftc_arena_alloc(f->memory, (f->n_order + 1) * sizeof *positions);
    for (uint32_t i = 0; i < f->n_order; i++) positions[i] = (position){f->place[f->order[i]], i};
    qsort(positions, f->n_order, sizeof *positions, compare_positions);
    for (uint32_t i = 0; i < f->n_order; i++) {
        if (positions[i].place != r.place) {
            r.place = positions[i].place;
            r.current++;
        }
        copy_expression(&r, f->order[positions[i].rank]);
    }
    ftc_graph_replace_nodes(g, r.out, r.anchored_copy);
}

// Whether lower has nothing left to do: what it rewrites, no kernel computes.
static bool check_lowered(const ftc_graph *g, ftc_diagnostics *d) {
    const char *what = NULL;
    for (uint32_t i = 0; i < g->n_outputs && !what; i++)
        if (!ftc_region_is_own_output(g, i)) what = g->outputs[i].name;
    for (ftc_id v = 1; v < g->n_nodes && !what; v++) {
        const ftc_node *node = &g->nodes[v];
        if (ftc_node_class(node) == FTC_CLASS_DOT && !ftc_region_has_kernel(g, node))
            what = ftc_op_get(node->op)->name;
    }
    if (what)
        ftc_diag_add(d, NULL, NULL, 0, 0, "pass fuse: no kernel computes %s as it is; run lower before",
                     what);
    return !what;
}

// A model may give an entry nothing to do.
static bool check_work(const ftc_graph *g, ftc_entry_kind entry, ftc_diagnostics *d) {
    bool trains = ftc_entry_trains(entry);
    if (g->n_kernels > 1) return true;
    ftc_diag_add(d, g->model, NULL, 0, 0, "there is nothing to compute in the entry %s: %s",
                 ftc_entry_name(entry),
                 trains ? "the model has no parameter that is trained, and assigns nothing"
                        : "no output is given there, as output NAME or output NAME entries(eval) says");
    return false;
}

static void refuse_recurrence(const ftc_graph *g, ftc_id id, ftc_diagnostics *d) {
    const ftc_node *node = &g->nodes[id];
    char type[256];
    ftc_diag_add(d, node->loc.line ? g->files[node->loc.file] : g->model, NULL, (int)node->loc.line, 0,
                 "%s, %s, cannot be computed position by position within its recurrence",
                 ftc_op_get(node->op)->name, ftc_type_text(g, &node->type, type, sizeof type));
}

bool ftc_pass_fuse(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    // What remat has copied for all of its readers, nobody needs any more; a value without a reader has no
    // place.
    if (!check_lowered(g, d) || !ftc_pass_dce(g, options, d)) return false;
    ftc_fusion f = {.g = g, .options = options, .memory = ftc_arena_new()};
    f.stamp = ftc_arena_alloc(f.memory, g->n_nodes * sizeof *f.stamp);
    ftc_recurrences recurrences = ftc_recurrences_find(g);
    f.recurrence = recurrences.of;
    ftc_fuse_anchor(&f);
    ftc_fuse_order(&f);
    ftc_id without_place = ftc_fuse_place_units(&f);
    if (without_place)
        refuse_recurrence(g, without_place, d);
    else
        rebuild_graph(&f);
    ftc_window_find(g);
    ftc_recurrences_free(&recurrences);
    ftc_arena_free(f.memory);
    return !without_place && check_work(g, options->entry, d);
}
