// What the parts of fuse share (compiler/passes/fuse*.c); nobody else includes it.
//
// A value is either *anchored*, computed once by one kernel, or inlined: its expression is repeated in every
// kernel that reads it. Anchored values and assignments are the units of the pass.
#ifndef FTC_FUSE_H
#define FTC_FUSE_H

#include "compiler/passes/passes.h"
#include "ir/arena.h"
#include "ir/op.h"

// A kernel, and a step within it where it is a tile kernel. Compared as one number; 0 is nowhere.
typedef uint64_t ftc_fuse_place;
#define FTC_AT_STEP(kernel, step) (((ftc_fuse_place)(kernel) << 16) | (step))
#define FTC_KERNEL_OF(place)      ((uint32_t)((place) >> 16))
#define FTC_STEP_OF(place)        ((uint16_t)((place) & 0xffff))
#define FTC_AFTER_KERNEL(k)       FTC_AT_STEP((k) + 1, 0)

// That one unit reads another, or a leaf, once the inlined expressions are looked through.
typedef struct {
    ftc_id id;    // what is read; in a list of readers: what reads
    bool moved;   // at other coordinates than the reader's own (at, gather, rename, operand of a contraction)
    bool renamed; // under another name of an axis, or shifted, or a part: at positions that others make
} ftc_fuse_read;

typedef struct {
    ftc_fuse_read *reads;
    uint32_t n_reads;
    ftc_fuse_read *readers;
    uint32_t n_readers;
} ftc_fuse_unit;

// Arrays are by node id unless they say otherwise, and live in `memory`.
typedef struct {
    ftc_graph *g;
    const ftc_pass_options *options;
    ftc_arena *memory;
    const uint32_t *recurrence;     // the recurrence that the node is part of, 0: none
    uint32_t *stamp, current_stamp; // which nodes a walk has met already

    // ftc_fuse_anchor
    uint32_t *user_start;
    ftc_id *users; // users of id: users[user_start[id]] … users[user_start[id + 1] - 1]
    bool *is_output, *anchored;
    ftc_fuse_unit *units; // of leaves the readers alone
    // Assignments to a parameter and its state: by declaration, and by node.
    ftc_id *first_update, *next_update;

    // ftc_fuse_order
    bool *late;      // of assignments: it copies its value at the end, behind all that read the old one
    bool *in_tile;   // belongs into a tile kernel, if one can compute it
    ftc_id *cluster; // the values of one tile kernel have the same
    ftc_id *order;   // [n_order] the units, every one after what it reads
    uint32_t n_order;

    // ftc_fuse_place_units
    ftc_fuse_place *place;
} ftc_fusion;

// Decides which values are anchored, and finds what each unit reads.
void ftc_fuse_anchor(ftc_fusion *f);

// Lists the units.
void ftc_fuse_order(ftc_fusion *f);

// Makes the kernels and puts every unit into one. The unit of a recurrence that its kernel cannot take; 0:
// there is none.
ftc_id ftc_fuse_place_units(ftc_fusion *f);

// Kind and loops of a new kernel for a value that is no contraction.
ftc_kernel ftc_fuse_kernel_for(ftc_fusion *f, ftc_id id);

// Whether kernel k, no tile kernel, which holds or follows everything that `id` reads, can compute it too.
bool ftc_fuse_fits(ftc_fusion *f, ftc_id id, uint32_t k, bool follows_operand);

static inline ftc_op_class ftc_fuse_class(const ftc_fusion *f, ftc_id id) {
    return ftc_node_class(&f->g->nodes[id]);
}

// Whether it is the scatter_add of a tile: one within sequences, as lower leaves them.
static inline bool ftc_fuse_scatters_in_tile(const ftc_graph *g, ftc_id id) {
    return ftc_node_class(&g->nodes[id]) == FTC_CLASS_SCATTER && g->nodes[id].axes.n > 0;
}

// The axes that a value loops over.
static inline ftc_axes ftc_fuse_space(const ftc_fusion *f, ftc_id id) {
    const ftc_node *node = &f->g->nodes[id];
    bool adds_up = ftc_fuse_class(f, id) == FTC_CLASS_REDUCE || ftc_fuse_scatters_in_tile(f->g, id);
    const ftc_type *type = adds_up ? &f->g->nodes[node->arg[0]].type : &node->type;
    return ftc_axes_packed_order(f->g, &type->axes);
}

// Whether the reader `r` reads each cell of the tensor where it computes the same cell.
static inline bool ftc_fuse_reads_own_cells(const ftc_fusion *f, ftc_fuse_read r, ftc_id leaf) {
    ftc_axes space = ftc_fuse_space(f, r.id);
    return !r.moved && ftc_axes_same_set(&space, &f->g->nodes[leaf].type.axes);
}

// Of an assignment: the first to the same parameter or its state, from which next_update leads on.
static inline ftc_id ftc_fuse_first_update(const ftc_fusion *f, ftc_id assign) {
    ftc_decl decl = f->g->nodes[assign].decl, of = f->g->decls[decl].of;
    return f->first_update[of == FTC_NO_DECL ? decl : of];
}

#endif
