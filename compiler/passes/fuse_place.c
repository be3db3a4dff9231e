// fuse, third part: which kernel, and which step of it, computes each unit.
//
// The units come one after the other. Each goes into the kernel of its latest operand when that kernel can
// take it, else into a new one. That always can be made: where no tile takes a value over several ragged
// axes, a plain kernel does.
#include <stdlib.h>

#include "compiler/passes/edits.h"
#include "compiler/passes/fuse.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/print.h"

typedef struct {
    bool is_rows; // else a contraction
    ftc_axes cols;
    ftc_axes outer;   // of a recurrence: rows along `cols` for each position on these
    bool accumulates; // sums over the blocked axis: complete only when the kernel ends
} tile_step;

// What is known of a kernel beside its description in the graph.
typedef struct {
    ftc_phase phase;     // of the value that it was made for
    ftc_id cluster;      // tile: whose values it holds
    uint32_t recurrence; // … that it computes; 0: none
    ftc_id call;         // extern: its first result
    tile_step *steps;
    int n_steps, capacity;
} kernel_state;

typedef struct {
    ftc_fusion *f;
    kernel_state *kernels; // by kernel; a kernel is made for a unit, so there are no more than nodes
    uint32_t *kernel_of;   // by recurrence; 0: none yet
} placing;

// --- axes ---------------------------------------------------------------------------------------------

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

// Whether the node moves cells along an axis of the group: one index does not say where to.
static bool moves_within(const ftc_node *node, const ftc_axes *group) {
    return ftc_node_class(node) == FTC_CLASS_SHIFT && ftc_axes_has(group, node->to);
}

// Whether every value in the expression of `id` has none of `group`'s axes or all of them side by side in its
// order, so that one flat index runs over the group.
static bool expression_is_flat(ftc_fusion *f, ftc_id id, const ftc_axes *group) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    ftc_axes common = ftc_axes_intersect(&node->type.axes, group);
    if (common.n > 0) {
        if (common.n != group->n) return false;
        ftc_axes order = ftc_region_memory_order(g, id);
        if (!ftc_region_starts_with(&order, ftc_axes_find(&order, group->at[0]), group)) return false;
        ftc_op_class class = ftc_node_class(node);
        // `index` and `random` need the coordinates one by one.
        if (class == FTC_CLASS_SOURCE &&
            (ftc_op_get(node->op)->attrs & FTC_ATTR_INDEX || node->axis != FTC_NO_AXIS))
            return false;
        if (moves_within(node, group)) return false;
    }
    if (f->stamp[id] == f->current_stamp) return true;
    f->stamp[id] = f->current_stamp;
    if (f->anchored[id] || ftc_node_class(node) == FTC_CLASS_LEAF) return true;
    for (int i = 0; i < node->n_args; i++)
        if (!expression_is_flat(f, node->arg[i], group)) return false;
    return true;
}

// The same for what is computed of `id` itself: its operands' expressions and its result.
static bool operands_are_flat(ftc_fusion *f, ftc_id id, const ftc_axes *group) {
    const ftc_node *node = &f->g->nodes[id];
    if (group->n <= 1) return true;
    if (!ftc_axes_are_constant(f->g, group)) return false; // one index runs over as many cells in every call
    f->current_stamp++;
    if (ftc_node_class(node) == FTC_CLASS_SOURCE || moves_within(node, group)) return false;
    for (int i = 0; i < node->n_args; i++)
        if (!expression_is_flat(f, node->arg[i], group)) return false;
    ftc_axes order = ftc_region_memory_order(f->g, id);
    int at = ftc_axes_find(&order, group->at[0]);
    return at < 0 || ftc_region_starts_with(&order, at, group);
}

static bool is_token_group(const ftc_graph *g, const ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++)
        if (!ftc_region_is_token_axis(g, axes, axes->at[i])) return false;
    return true;
}

// --- new kernels --------------------------------------------------------------------------------------

static ftc_fuse_place new_kernel_called(placing *p, ftc_kernel kernel, ftc_phase phase, const char *what) {
    ftc_graph *g = p->f->g;
    kernel.name = ftc_graph_format(g, "%s%u", what, g->n_kernels ? g->n_kernels : 1);
    uint32_t k = ftc_graph_add_kernel(g, kernel);
    p->kernels[k].phase = phase;
    return FTC_AT_STEP(k, 0);
}

static ftc_fuse_place new_kernel(placing *p, ftc_kernel kernel, ftc_phase phase) {
    return new_kernel_called(p, kernel, phase, ftc_kernel_kind_name(kernel.kind));
}

ftc_kernel ftc_fuse_kernel_for(ftc_fusion *f, ftc_id id) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    ftc_axes space = ftc_fuse_space(f, id), cols = {0};
    ftc_kernel k = {.kind = FTC_KERNEL_ROWS, .block = FTC_NO_AXIS};
    if (ftc_node_class(node) == FTC_CLASS_EXTERN) {
        k.kind = FTC_KERNEL_EXTERN;
        return k;
    }
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

// Rows of a block; no more than there are.
static int32_t block_size(const ftc_fusion *f, ftc_id id, ftc_axis block) {
    int32_t asked = ftc_edits_block(f->options, ftc_region_touches_quadratic(f->g, &f->g->nodes[id]));
    int64_t most = ftc_axis_extent(f->g, block)->bound;
    if (asked > most && asked > 32) return (int32_t)(most > 32 ? most : 32);
    return asked ? asked : f->options->tile_rows ? f->options->tile_rows : 32;
}

// A new tile kernel for a value, if one can compute it.
static ftc_kernel tile_for(const ftc_fusion *f, ftc_id id) {
    const ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    ftc_kernel kernel = {.kind = FTC_KERNEL_TILE, .block = FTC_NO_AXIS, .block_size = 1};
    if (ftc_node_class(node) == FTC_CLASS_DOT) {
        ftc_dot_shape c = ftc_region_dot_shape(g, node);
        kernel.rows = c.batch;
        if (c.rows.n == 1) kernel.block = c.rows.at[0]; // several are one index
    } else {
        ftc_axes space = ftc_fuse_space(f, id);
        for (int i = 0; i < space.n; i++) {
            bool ragged = ftc_axis_extent(g, space.at[i])->kind == FTC_EXTENT_RAGGED;
            if (!ragged)
                ftc_axes_add(&kernel.rows, space.at[i]);
            else if (kernel.block == FTC_NO_AXIS)
                kernel.block = space.at[i];
        }
    }
    if (kernel.block != FTC_NO_AXIS) kernel.block_size = block_size(f, id, kernel.block);
    return kernel;
}

// A new one for the recurrence of a value: one work item for each sequence, one position after the other.
static ftc_kernel recurrence_for(const ftc_fusion *f, ftc_id id) {
    const ftc_axes *axes = &f->g->nodes[id].type.axes;
    ftc_kernel kernel = {.kind = FTC_KERNEL_TILE, .block = FTC_NO_AXIS, .block_size = 1};
    for (int i = 0; i < axes->n; i++)
        if (ftc_axis_over(f->g, axes->at[i]) != FTC_NO_AXIS) kernel.block = axes->at[i];
    kernel.rows = ftc_axes_of(ftc_axis_over(f->g, kernel.block));
    return kernel;
}

// --- how early ----------------------------------------------------------------------------------------

// The first place at which what `id` reads is complete.
static ftc_fuse_place after_reads(const placing *p, ftc_id id) {
    const ftc_fusion *f = p->f;
    const ftc_fuse_unit *u = &f->units[id];
    ftc_fuse_place first = FTC_AT_STEP(1, 0);
    for (uint32_t i = 0; i < u->n_reads; i++) {
        if (!f->anchored[u->reads[i].id]) continue;
        ftc_fuse_place at = f->place[u->reads[i].id];
        uint32_t k = FTC_KERNEL_OF(at);
        ftc_kernel_kind kind = f->g->kernels[k].kind;
        if (kind == FTC_KERNEL_TILE) {
            const tile_step *step = &p->kernels[k].steps[FTC_STEP_OF(at)];
            bool together = f->recurrence[id] && f->recurrence[id] == p->kernels[k].recurrence;
            bool elsewhere = u->reads[i].moved && ftc_fuse_class(f, id) != FTC_CLASS_DOT;
            bool incomplete = step->accumulates || ftc_fuse_scatters_in_tile(f->g, u->reads[i].id);
            bool moves = u->reads[i].renamed || elsewhere;
            if (!together && (incomplete || moves))
                at = FTC_AFTER_KERNEL(k);
            else if (moves) // along other axes than the recurrence's
                at++;
            else if (!step->is_rows || ftc_fuse_class(f, id) == FTC_CLASS_DOT)
                at++;
        } else if (u->reads[i].moved || kind == FTC_KERNEL_EXTERN ||
                   (kind == FTC_KERNEL_COLUMNS && ftc_fuse_class(f, id) == FTC_CLASS_REDUCE)) {
            at = FTC_AFTER_KERNEL(k);
        }
        if (at > first) first = at;
    }
    return first;
}

// The same for an update, no earlier than `first`: it must come after every reader of the old value that is
// not the same cell of the same kernel.
static ftc_fuse_place after_readers(const ftc_fusion *f, ftc_id assign, ftc_fuse_place first) {
    const ftc_graph *g = f->g;
    ftc_id value = g->nodes[assign].arg[0], leaf = ftc_graph_leaf(g, g->nodes[assign].decl);
    const ftc_fuse_unit *old = &f->units[leaf];
    for (uint32_t i = 0; i < old->n_readers; i++) {
        ftc_fuse_read r = old->readers[i];
        ftc_fuse_place at = f->place[r.id];
        if (r.id == value || !at) continue;
        if (!ftc_fuse_reads_own_cells(f, r, leaf)) at = FTC_AFTER_KERNEL(FTC_KERNEL_OF(at));
        if (at > first) first = at;
    }
    return first;
}

// Of a value that is assigned: the first place after the readers of all that is updated with it, in *first,
// and the latest kernel that updates one of these tensors. Their new values read each other's old ones, so
// they belong together. 0: none yet.
static uint32_t find_update(const ftc_fusion *f, ftc_id id, ftc_fuse_place *first) {
    const ftc_graph *g = f->g;
    uint32_t latest = 0;
    for (uint32_t u = f->user_start[id]; u < f->user_start[id + 1]; u++) {
        if (ftc_fuse_class(f, f->users[u]) != FTC_CLASS_ASSIGN) continue;
        for (ftc_id v = ftc_fuse_first_update(f, f->users[u]); v; v = f->next_update[v]) {
            *first = after_readers(f, v, *first);
            uint32_t k = FTC_KERNEL_OF(f->place[ftc_region_source(g, g->nodes[v].arg[0])]);
            if (k > latest) latest = k;
        }
    }
    return latest;
}

// --- joining a kernel ---------------------------------------------------------------------------------

static ftc_fuse_place new_step(placing *p, uint32_t k, tile_step step) {
    kernel_state *state = &p->kernels[k];
    if (state->n_steps == state->capacity) {
        state->capacity = state->capacity ? state->capacity * 2 : 8;
        state->steps = ftc_realloc(state->steps, (size_t)state->capacity, sizeof *state->steps);
    }
    state->steps[state->n_steps] = step;
    return FTC_AT_STEP(k, (uint16_t)state->n_steps++);
}

// Where the kernel k of a recurrence computes `id`, at or after `first`; 0 when it cannot.
static ftc_fuse_place join_recurrence(placing *p, ftc_id id, uint32_t k, ftc_fuse_place first) {
    const ftc_fusion *f = p->f;
    const ftc_node *node = &f->g->nodes[id];
    const ftc_kernel *kernel = &f->g->kernels[k];
    kernel_state *state = &p->kernels[k];
    const bool own = f->recurrence[id] == state->recurrence;
    switch (ftc_node_class(node)) {
    case FTC_CLASS_DOT: {
        if (!own || !ftc_region_is_step_product(f->g, node, kernel->block)) return 0;
        return new_step(p, k, (tile_step){.cols = ftc_region_dot_shape(f->g, node).cols});
    }
    case FTC_CLASS_REDUCE:
        if (node->axes.n > 1) return 0;
        break;
    case FTC_CLASS_MAP:
    case FTC_CLASS_SOURCE: break;
    default:
        if (!own) return 0;
    }
    ftc_axes space = ftc_fuse_space(f, id), outer, cols;
    if (!ftc_axes_subset(&kernel->rows, &space) || !ftc_axes_has(&space, kernel->block)) return 0;
    const bool across =
        ftc_axes_intersect(&node->axes, &kernel->rows).n || ftc_axes_has(&node->axes, kernel->block);
    if (ftc_node_class(node) == FTC_CLASS_REDUCE && across) return 0;
    ftc_region_step_loops(f->g, node, kernel, &outer, &cols);
    if (ftc_region_constant_size(f->g, &outer) < 0 || ftc_region_constant_size(f->g, &cols) < 0) return 0;
    for (int i = FTC_KERNEL_OF(first) == k ? FTC_STEP_OF(first) : 0; i < state->n_steps; i++) {
        tile_step *step = &state->steps[i];
        if (!step->is_rows || !ftc_axes_same_set(&outer, &step->outer)) continue;
        if (cols.n && step->cols.n && !ftc_axes_same_set(&cols, &step->cols)) continue;
        if (!cols.n && outer.n) continue;
        if (cols.n) step->cols = cols;
        return FTC_AT_STEP(k, (uint16_t)i);
    }
    return new_step(p, k, (tile_step){.is_rows = true, .cols = cols, .outer = outer});
}

// Where tile kernel k computes `id`, at or after `first`; 0 when it cannot.
static ftc_fuse_place join_tile(placing *p, ftc_id id, uint32_t k, ftc_fuse_place first) {
    const ftc_fusion *f = p->f;
    const ftc_node *node = &f->g->nodes[id];
    const ftc_kernel *kernel = &f->g->kernels[k];
    ftc_op_class class = ftc_node_class(node);
    if (FTC_KERNEL_OF(first) > k || (f->in_tile[id] && p->kernels[k].cluster != f->cluster[id])) return 0;
    if (p->kernels[k].recurrence) return join_recurrence(p, id, k, first);
    if (class == FTC_CLASS_DOT) {
        ftc_dot_shape c = ftc_region_dot_shape(f->g, node);
        if (!ftc_axes_same_set(&c.batch, &kernel->rows)) return 0;
        bool accumulates = ftc_axes_has(&c.sums, kernel->block);
        ftc_axes own = ftc_axes_union(&c.rows, &c.cols);
        if (!accumulates && kernel->block != FTC_NO_AXIS && !ftc_axes_has(&own, kernel->block)) return 0;
        return new_step(p, k, (tile_step){.cols = c.cols, .accumulates = accumulates});
    }
    bool scatters = ftc_fuse_scatters_in_tile(f->g, id);
    if (class != FTC_CLASS_MAP && class != FTC_CLASS_REDUCE && class != FTC_CLASS_SOURCE && !scatters)
        return 0;
    ftc_axes space = ftc_fuse_space(f, id), local = ftc_axes_minus(&space, &kernel->rows);
    if (!ftc_axes_subset(&kernel->rows, &space)) return 0;
    if (kernel->block != FTC_NO_AXIS) {
        if (!ftc_axes_has(&local, kernel->block)) return 0;
        ftc_axes block = ftc_axes_of(kernel->block);
        local = ftc_axes_minus(&local, &block);
    }
    // In scratch, the rows of a value are those of the block.
    bool is_group = kernel->block != FTC_NO_AXIS && ftc_region_constant_size(f->g, &local) >= 0 &&
                    operands_are_flat(p->f, id, &local);
    if (local.n > 1 && !is_group) return 0;
    if (class == FTC_CLASS_REDUCE && !ftc_axes_same_set(&node->axes, &local)) return 0;
    const kernel_state *state = &p->kernels[k];
    for (int i = FTC_KERNEL_OF(first) == k ? FTC_STEP_OF(first) : 0; i < state->n_steps; i++) {
        tile_step *step = &state->steps[i];
        if (!step->is_rows) continue;
        if (local.n && step->cols.n && !ftc_axes_same_set(&local, &step->cols)) continue;
        if (local.n) step->cols = local;
        return FTC_AT_STEP(k, (uint16_t)i);
    }
    return new_step(p, k, (tile_step){.is_rows = true, .cols = local});
}

// Whether an edit leaves nothing but the product to the dot kernel.
static bool ends_at_product(const ftc_fusion *f, uint32_t k) {
    for (ftc_id v = 1; v < f->g->n_nodes; v++)
        if (FTC_KERNEL_OF(f->place[v]) == k && ftc_fuse_class(f, v) == FTC_CLASS_DOT)
            return ftc_edits_end_at(f->options, f->g, v);
    return false;
}

bool ftc_fuse_fits(ftc_fusion *f, ftc_id id, uint32_t k, bool follows_operand) {
    const ftc_graph *g = f->g;
    const ftc_kernel *kernel = &g->kernels[k];
    const ftc_node *node = &g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    ftc_axes space = ftc_fuse_space(f, id), loops = ftc_axes_union(&kernel->rows, &kernel->cols);
    bool whole = ftc_axes_same_set(&space, &loops);
    bool is_map = class != FTC_CLASS_REDUCE && class != FTC_CLASS_DOT && class != FTC_CLASS_SCATTER;
    switch (kernel->kind) {
    case FTC_KERNEL_ROWS:
        if (is_map && !whole) return follows_operand && ftc_axes_same_set(&space, &kernel->rows);
        return (is_map || (class == FTC_CLASS_REDUCE && ftc_axes_same_set(&node->axes, &kernel->cols))) &&
               whole && operands_are_flat(f, id, &kernel->cols);
    case FTC_KERNEL_COLUMNS:
        if (is_map) return follows_operand && ftc_axes_same_set(&space, &kernel->cols);
        return class == FTC_CLASS_REDUCE && whole && ftc_axes_same_set(&node->axes, &kernel->rows);
    case FTC_KERNEL_DOT:
        if (f->options->n_edits && ends_at_product(f, k)) return false;
        return is_map && follows_operand && whole && operands_are_flat(f, id, &kernel->cols) &&
               (is_token_group(g, &kernel->rows) || operands_are_flat(f, id, &kernel->rows));
    case FTC_KERNEL_SCATTER:
        return is_map && follows_operand && whole && operands_are_flat(f, id, &kernel->cols);
    default: return false;
    }
}

// Computes a value once more as late as can be: in the newest kernel, or in the latest one that reads its
// operand cell by cell.
static ftc_fuse_place join_late(const placing *p, ftc_id id, ftc_fuse_place first) {
    ftc_fusion *f = p->f;
    const ftc_fuse_unit *u = &f->units[id];
    ftc_axes space = ftc_fuse_space(f, id);
    uint32_t latest = 0, newest = f->g->n_kernels ? f->g->n_kernels - 1 : 0;
    for (uint32_t i = 0; i < u->n_reads; i++) {
        const ftc_fuse_unit *operand = &f->units[u->reads[i].id];
        if (u->reads[i].moved || !ftc_axes_same_set(&f->g->nodes[u->reads[i].id].type.axes, &space)) continue;
        for (uint32_t j = 0; j < operand->n_readers; j++) {
            ftc_fuse_read r = operand->readers[j];
            if (!r.moved && FTC_KERNEL_OF(f->place[r.id]) > latest) latest = FTC_KERNEL_OF(f->place[r.id]);
        }
    }
    uint32_t candidates[] = {newest, latest};
    for (int i = 0; i < 2; i++) {
        uint32_t k = candidates[i];
        if (k < FTC_KERNEL_OF(first) || p->kernels[k].phase == FTC_PHASE_FORWARD) continue;
        const ftc_kernel *kernel = &f->g->kernels[k];
        ftc_axes loops = ftc_axes_union(&kernel->rows, &kernel->cols);
        if (ftc_axes_same_set(&space, &loops) && ftc_fuse_fits(f, id, k, true)) return FTC_AT_STEP(k, 0);
    }
    return 0;
}

// Whether kernel k holds something that `id` reads, or reads it too; a count reads nothing and fits anywhere.
static bool shares_operand(const ftc_fusion *f, ftc_id id, uint32_t k) {
    const ftc_fuse_unit *u = &f->units[id];
    if (u->n_reads == 0) return true;
    for (uint32_t i = 0; i < u->n_reads; i++) {
        const ftc_fuse_unit *operand = &f->units[u->reads[i].id];
        if (FTC_KERNEL_OF(f->place[u->reads[i].id]) == k) return true;
        for (uint32_t j = 0; j < operand->n_readers; j++) {
            ftc_id reader = operand->readers[j].id;
            if (reader != id && FTC_KERNEL_OF(f->place[reader]) == k) return true;
        }
    }
    return false;
}

// The kernel of the same call, of which `id` is another result; 0: there is none yet.
static ftc_fuse_place join_call(const placing *p, ftc_id id) {
    const ftc_graph *g = p->f->g;
    const ftc_node *node = &g->nodes[id];
    for (uint32_t k = 1; k < g->n_kernels; k++) {
        if (!p->kernels[k].call) continue;
        const ftc_node *call = &g->nodes[p->kernels[k].call];
        bool same = call->symbol == node->symbol && call->n_args == node->n_args &&
                    call->index != node->index && ftc_axes_same_set(&call->axes, &node->axes);
        for (int i = 1; i < node->n_args && same; i++) same = call->arg[i] == node->arg[i];
        if (same) return FTC_AT_STEP(k, 0);
    }
    return 0;
}

// Whether an edit gives a value of pairs of positions, or what is made of one, a kernel of its own.
static bool stands_apart(const ftc_fusion *f, ftc_id id) {
    return ftc_region_touches_quadratic(f->g, &f->g->nodes[id]) && ftc_edits_store(f->options);
}

// Where a kernel that is there already computes `id`, at or after `first`; 0: nowhere. `update`: the kernel
// that updates what is updated together with `id`, if any.
static ftc_fuse_place join_any(placing *p, ftc_id id, ftc_fuse_place first, uint32_t update) {
    ftc_fusion *f = p->f;
    const ftc_graph *g = f->g;
    uint32_t k_first = FTC_KERNEL_OF(first), n_kernels = g->n_kernels ? g->n_kernels : 1;
    bool again = g->nodes[id].phase == FTC_PHASE_RECOMPUTE;
    if (ftc_fuse_class(f, id) == FTC_CLASS_EXTERN) return join_call(p, id);
    if (f->recurrence[id]) {
        uint32_t k = p->kernel_of[f->recurrence[id]];
        return k ? join_tile(p, id, k, first) : 0;
    }
    // The kernel of the latest operand; for the values of a tile, and for reductions, a later one will do as
    // well. Reductions of values that have nothing in common stay apart: so their kernels look alike, and are
    // emitted once.
    bool reduces = ftc_fuse_class(f, id) == FTC_CLASS_REDUCE, patient = f->in_tile[id] || reduces;
    if (update >= k_first && ftc_fuse_fits(f, id, update, update == k_first)) return FTC_AT_STEP(update, 0);
    for (uint32_t k = k_first; k < n_kernels && (k == k_first || patient); k++) {
        if (again && p->kernels[k].phase == FTC_PHASE_FORWARD) continue; // it would be kept since then
        if (reduces && !f->in_tile[id] && !shares_operand(f, id, k)) continue;
        ftc_fuse_place at = 0;
        if (g->kernels[k].kind != FTC_KERNEL_TILE)
            at = ftc_fuse_fits(f, id, k, k == k_first) ? FTC_AT_STEP(k, 0) : 0;
        else if ((f->in_tile[id] || k == k_first) && !stands_apart(f, id))
            at = join_tile(p, id, k, first);
        if (at) return at;
    }
    return again ? join_late(p, id, first) : 0;
}

// --- one unit after the other -------------------------------------------------------------------------

// Why no tile kernel computes a value over several ragged axes, or what is made of one; NULL: one does, or it
// is another value.
static const char *why_no_tile(ftc_fusion *f, ftc_id id) {
    ftc_graph *g = f->g;
    const ftc_node *node = &g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    bool always = (class == FTC_CLASS_DOT && f->in_tile[id]) || ftc_fuse_scatters_in_tile(g, id);
    if (!ftc_region_touches_quadratic(g, node) || always) return NULL;
    ftc_axes space = ftc_fuse_space(f, id);
    ftc_kernel tile = tile_for(f, id);
    ftc_axes block = ftc_axes_of(tile.block), cols = ftc_axes_minus(&space, &tile.rows);
    cols = ftc_axes_minus(&cols, &block);
    char over[256], along[256];
    ftc_axes_text(g, &space, over, sizeof over);
    ftc_axes_text(g, &node->axes, along, sizeof along);
    const char *name = ftc_op_get(node->op)->name;
    if (class != FTC_CLASS_MAP && class != FTC_CLASS_REDUCE && class != FTC_CLASS_SOURCE)
        return node->axes.n ? ftc_graph_format(g, "a tile has no %s along %s", name, along)
                            : ftc_graph_format(g, "a tile has no %s", name);
    if (cols.n > 1) return ftc_graph_format(g, "a tile has two ragged axes, not those of %s", over);
    if (class != FTC_CLASS_REDUCE || ftc_axes_same_set(&node->axes, &cols)) return NULL;
    return ftc_graph_format(g, "a tile has no %s along %s of %s", name, along, over);
}

// A kernel of its own; 0: it must be in that of its recurrence.
static ftc_fuse_place make_kernel(placing *p, ftc_id id) {
    ftc_fusion *f = p->f;
    const ftc_node *node = &f->g->nodes[id];
    if (f->recurrence[id]) {
        uint32_t *k = &p->kernel_of[f->recurrence[id]];
        if (*k) return 0;
        ftc_fuse_place first = new_kernel_called(p, recurrence_for(f, id), node->phase, "scan");
        *k = FTC_KERNEL_OF(first);
        p->kernels[*k].cluster = f->cluster[id];
        p->kernels[*k].recurrence = f->recurrence[id];
        return join_tile(p, id, *k, first);
    }
    const char *why = why_no_tile(f, id);
    if (f->in_tile[id] && !why) {
        ftc_fuse_place first = new_kernel(p, tile_for(f, id), node->phase);
        p->kernels[FTC_KERNEL_OF(first)].cluster = f->cluster[id];
        return join_tile(p, id, FTC_KERNEL_OF(first), first);
    }
    if (ftc_node_class(node) == FTC_CLASS_DOT) {
        ftc_dot_shape c = ftc_region_dot_shape(f->g, node);
        ftc_kernel dot = {
            .kind = FTC_KERNEL_DOT, .rows = c.rows, .cols = c.cols, .block = FTC_NO_AXIS, .plain = why};
        return new_kernel(p, dot, node->phase);
    }
    ftc_kernel kernel = ftc_fuse_kernel_for(f, id);
    kernel.plain = why;
    ftc_fuse_place at = new_kernel(p, kernel, node->phase);
    if (kernel.kind == FTC_KERNEL_EXTERN) p->kernels[FTC_KERNEL_OF(at)].call = id;
    return at;
}

static void place_unit(placing *p, ftc_id id) {
    ftc_fusion *f = p->f;
    const ftc_node *node = &f->g->nodes[id];
    if (ftc_node_class(node) == FTC_CLASS_ASSIGN) {
        // A late one copies the new value, whose own kernel and all readers of the old one have run by then.
        f->place[id] =
            f->late[id] ? new_kernel(p, ftc_fuse_kernel_for(f, id), node->phase) : f->place[node->arg[0]];
        return;
    }
    ftc_fuse_place first = after_reads(p, id);
    uint32_t update = find_update(f, id, &first);
    ftc_fuse_place at = join_any(p, id, first, update);
    f->place[id] = at ? at : make_kernel(p, id);
}

ftc_id ftc_fuse_place_units(ftc_fusion *f) {
    placing p = {.f = f, .kernels = ftc_arena_alloc(f->memory, (f->g->n_nodes + 1) * sizeof *p.kernels)};
    f->place = ftc_arena_alloc(f->memory, f->g->n_nodes * sizeof *f->place);
    p.kernel_of = ftc_arena_alloc(f->memory, f->g->n_nodes * sizeof *p.kernel_of);
    ftc_id without = 0;
    for (uint32_t i = 0; i < f->n_order && !without; i++) {
        place_unit(&p, f->order[i]);
        if (f->recurrence[f->order[i]] && !f->place[f->order[i]]) without = f->order[i];
    }
    for (uint32_t k = 0; k <= f->g->n_nodes; k++) free(p.kernels[k].steps);
    return without;
}
