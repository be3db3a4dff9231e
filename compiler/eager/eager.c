// Eager execution of everything but contractions: walks rows of cells that lie together in all operands, and
// executes the operation's scalar body on pieces of them.
#include "compiler/eager/eager.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/eager/scalar.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/base/random.h"
#include "ir/recurrence.h"

enum { N_SCRATCH = 5 };

struct ftc_eager {
    const ftc_graph *g;
    const ftc_eager_bindings *b;
    ftc_bindings walk;
    ftc_cell **value; // [n_nodes] NULL: not computed yet, or no longer needed
    bool *owned;      // [n_nodes] value is a buffer of the node's own, not another's or the caller's
    ftc_id *holder;   // [n_nodes] the node whose buffer the value is
    ftc_recurrences recurrences;
    ftc_id *order; // [n_nodes - 1] in which nodes are run
    uint32_t
        *last_read; // [n_nodes] of holders: when the buffer is read last, in `order`; n_nodes: it is kept
    ftc_eager_lanes *lanes;
    struct {
        ftc_cell *cells;
        int64_t n;
    } scratch[N_SCRATCH];
};

static int64_t cells_of(const ftc_eager *e, ftc_id id) {
    return ftc_interp_cells(e->g, &e->walk, &e->g->nodes[id].type.axes);
}

// --- rows ---------------------------------------------------------------------------------------------

// A walk over a space in rows as long as possible: trailing axes that lie together in every view, or that a
// view lacks, make one row; else a row runs along one axis, with a distance between cells in each view.
typedef struct {
    int64_t n, at[FTC_WALK_VIEWS], step[FTC_WALK_VIEWS]; // the current row
    ftc_walk walk; // merged: over the other axes and, as its rows, the last inner one; only where rows begin
                   // matters
    bool merged;   // rows are the cells of `inner`
    ftc_axes inner;
    int64_t inner_step[FTC_WALK_VIEWS]; // merged: 1 or 0
    const ftc_eager *e;
} rows;

// Rows of at least so many cells are not worth looking for longer ones with distances between cells.
enum { LONG_ROW = 64 };

// Whether a view's axes end with exactly those of `inner` (1), have none of them (0), or neither (-1).
static int step_in(const ftc_graph *g, const ftc_axes *view, const ftc_axes *inner) {
    ftc_axes order = ftc_axes_packed_order(g, view), common = ftc_axes_intersect(&order, inner);
    if (!common.n) return 0;
    return ftc_region_starts_with(&order, order.n - inner->n, inner) ? 1 : -1;
}

static bool has_ragged_children(const ftc_graph *g, const ftc_axes *axes, ftc_axis parent) {
    for (int i = 0; i < axes->n; i++)
        if (ftc_axis_over(g, axes->at[i]) == parent) return true;
    return false;
}

// The axis with the most positions, of those that a row may run along.
static ftc_axis longest_axis(const ftc_graph *g, const ftc_axes *space) {
    ftc_axis longest = FTC_NO_AXIS;
    for (int i = 0; i < space->n; i++) {
        ftc_axis axis = space->at[i];
        if (has_ragged_children(g, space, axis)) continue;
        if (longest == FTC_NO_AXIS || ftc_axis_extent(g, axis)->bound >= ftc_axis_extent(g, longest)->bound)
            longest = axis;
    }
    return longest;
}

static void rows_begin(rows *r, const ftc_eager *e, const ftc_axes *space, const ftc_axes *const *views,
                       int n_views) {
    *r = (rows){.e = e};
    ftc_axes order = ftc_axes_packed_order(e->g, space);
    for (int k = order.n; k >= 1 && !r->merged; k--) {
        r->inner = (ftc_axes){0};
        for (int i = order.n - k; i < order.n; i++) ftc_axes_add(&r->inner, order.at[i]);
        r->merged = true;
        for (int v = 0; v < n_views; v++) {
            int step = step_in(e->g, views[v], &r->inner);
            if (step < 0) r->merged = false;
            r->inner_step[v] = step;
        }
    }
    ftc_type inner = {.axes = r->inner};
    ftc_axis along = longest_axis(e->g, &order);
    if (r->merged && along != FTC_NO_AXIS && ftc_type_max_elements(e->g, &inner) < LONG_ROW &&
        ftc_axis_extent(e->g, along)->bound > ftc_type_max_elements(e->g, &inner))
        r->merged = false;
    if (r->merged) {
        order = ftc_axes_minus(&order, &r->inner);
        along = FTC_NO_AXIS;
    }
    ftc_walk_begin(&r->walk, e->g, &e->walk, &order, along);
    r->walk.by_cell = r->merged;
    for (int v = 0; v < n_views; v++) ftc_walk_view(&r->walk, views[v]);
}

// Cells of the inner axes at the walk's position.
static int64_t inner_cells(const rows *r) {
    const ftc_graph *g = r->e->g;
    int64_t n = 1;
    ftc_axes whole = {0}; // axes whose sizes do not depend on the position
    for (int i = 0; i < r->inner.n; i++) {
        ftc_axis axis = r->inner.at[i], over = ftc_axis_over(g, axis);
        if (over == FTC_NO_AXIS || ftc_axes_has(&r->inner, over))
            ftc_axes_add(&whole, axis);
        else
            n *= r->e->walk
                     .lengths[g->axes[axis].extent][r->walk.coordinate[ftc_axes_find(&r->walk.axes, over)]];
    }
    return n * ftc_interp_cells(g, &r->e->walk, &whole);
}

static bool rows_next(rows *r) {
    if (!ftc_walk_next(&r->walk)) return false;
    memcpy(r->at, r->walk.at, sizeof r->at);
    memcpy(r->step, r->merged ? r->inner_step : r->walk.step, sizeof r->step);
    r->n = r->merged ? inner_cells(r) : r->walk.n;
    return true;
}

static void rows_end(rows *r) {
    ftc_walk_end(&r->walk);
}

// --- pieces of rows -----------------------------------------------------------------------------------

// The n cells from x on, `step` apart, as a handle.
static const ftc_cell *load(ftc_eager *e, const ftc_cell *x, int64_t step, int n) {
    if (step == 1 && n == FTC_EAGER_LANES) return x;
    ftc_cell *handle = ftc_eager_lanes_take(e->lanes);
    if (step == 1) {
        memcpy(handle, x, (size_t)n * sizeof *x);
        return handle;
    }
    for (int i = 0; i < n; i++) handle[i] = x[i * step];
    return handle;
}

static void store(ftc_cell *to, int64_t step, const ftc_cell *handle, int n) {
    if (step == 1) {
        memcpy(to, handle, (size_t)n * sizeof *to);
        return;
    }
    for (int i = 0; i < n; i++) to[i * step] = handle[i];
}

static int piece_at(int64_t j, int64_t n) {
    return (int)(n - j < FTC_EAGER_LANES ? n - j : FTC_EAGER_LANES);
}

// --- the classes of operations ------------------------------------------------------------------------

static const ftc_axes *axes_of(const ftc_eager *e, ftc_id id) {
    return &e->g->nodes[id].type.axes;
}

static void run_map(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    ftc_body_fn *body = ftc_op_get(node->op)->body;
    const ftc_scalar_builder *builder = ftc_eager_lanes_builder(e->lanes);
    ftc_map_types types = ftc_node_map_types(e->g, node);
    const ftc_axes *views[FTC_WALK_VIEWS];
    int n = node->n_args;
    for (int i = 0; i < n; i++) views[i] = axes_of(e, node->arg[i]);
    views[n] = axes_of(e, id);
    rows r;
    rows_begin(&r, e, axes_of(e, id), views, n + 1);
    while (rows_next(&r)) {
        for (int64_t j = 0; j < r.n; j += FTC_EAGER_LANES) {
            int lanes = piece_at(j, r.n);
            ftc_scalar x[FTC_MAX_ARGS];
            ftc_eager_lanes_reset(e->lanes, lanes);
            for (int i = 0; i < n; i++)
                x[i] =
                    (ftc_scalar)load(e, e->value[node->arg[i]] + r.at[i] + j * r.step[i], r.step[i], lanes);
            store(e->value[id] + r.at[n] + j * r.step[n], r.step[n], body(builder, &types, x), lanes);
        }
    }
    rows_end(&r);
}

// Combines the cells of a row into one, which holds a value already.
static void reduce_row(ftc_eager *e, const ftc_node *node, const ftc_cell *x, int64_t step, int64_t n,
                       ftc_cell *to) {
    ftc_body_fn *body = ftc_op_get(node->op)->body;
    const ftc_scalar_builder *builder = ftc_eager_lanes_builder(e->lanes);
    ftc_cell sums[FTC_EAGER_LANES];
    for (int i = 0; i < FTC_EAGER_LANES; i++) sums[i].f = (float)ftc_op_get(node->op)->identity;
    for (int64_t j = 0; j < n; j += FTC_EAGER_LANES) {
        int lanes = piece_at(j, n);
        ftc_eager_lanes_reset(e->lanes, lanes);
        ftc_scalar operands[] = {sums, (ftc_scalar)load(e, x + j * step, step, lanes)};
        store(sums, 1, body(builder, NULL, operands), lanes);
    }
    for (int width = FTC_EAGER_LANES / 2; width >= 1; width /= 2) {
        ftc_eager_lanes_reset(e->lanes, width);
        ftc_scalar operands[] = {sums, sums + width};
        store(sums, 1, body(builder, NULL, operands), width);
    }
    ftc_eager_lanes_reset(e->lanes, 1);
    ftc_scalar operands[] = {(ftc_scalar)load(e, to, 1, 1), sums};
    store(to, 1, body(builder, NULL, operands), 1);
}

static void run_reduce(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_op_info *info = ftc_op_get(node->op);
    const ftc_scalar_builder *builder = ftc_eager_lanes_builder(e->lanes);
    const ftc_axes *views[] = {axes_of(e, node->arg[0]), axes_of(e, id)};
    int64_t n_cells = cells_of(e, id);
    for (int64_t i = 0; i < n_cells; i++) e->value[id][i].f = (float)info->identity;
    rows r;
    rows_begin(&r, e, views[0], views, 2);
    while (rows_next(&r)) {
        const ftc_cell *x = e->value[node->arg[0]] + r.at[0];
        ftc_cell *to = e->value[id] + r.at[1];
        if (r.step[1] == 0) {
            reduce_row(e, node, x, r.step[0], r.n, to);
            continue;
        }
        for (int64_t j = 0; j < r.n; j += FTC_EAGER_LANES) {
            int lanes = piece_at(j, r.n);
            ftc_eager_lanes_reset(e->lanes, lanes);
            ftc_scalar operands[] = {(ftc_scalar)load(e, to + j * r.step[1], r.step[1], lanes),
                                     (ftc_scalar)load(e, x + j * r.step[0], r.step[0], lanes)};
            store(to + j * r.step[1], r.step[1], info->body(builder, NULL, operands), lanes);
        }
    }
    rows_end(&r);
}

// The row that an index means: its own, or the nearest where it is none.
static int64_t row_of(ftc_dtype dtype, ftc_cell index, int64_t count) {
    int64_t row = dtype == FTC_U32 ? (int64_t)(uint32_t)index.i : index.i;
    return row < 0 ? 0 : row < count ? row : count - 1;
}

static void run_gather(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_cell *table = e->value[node->arg[0]], *ids = e->value[node->arg[1]];
    ftc_dtype dtype = e->g->nodes[node->arg[1]].type.dtype;
    ftc_cell *out = e->value[id];
    const ftc_axes *views[] = {axes_of(e, node->arg[0]), axes_of(e, node->arg[1]), axes_of(e, id)};
    rows r;
    rows_begin(&r, e, axes_of(e, id), views, 3);
    int64_t stride = ftc_walk_stride(&r.walk, 0, node->axis), count = ftc_walk_count(&r.walk, node->axis);
    while (rows_next(&r)) {
        for (int64_t j = 0, row = 0; j < r.n; j++) {
            if (j == 0 || r.step[1]) row = row_of(dtype, ids[r.at[1] + j * r.step[1]], count);
            out[r.at[2] + j * r.step[2]] = table[r.at[0] + j * r.step[0] + row * stride];
        }
    }
    rows_end(&r);
}

static void run_scatter(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_cell *x = e->value[node->arg[0]], *ids = e->value[node->arg[1]];
    ftc_dtype dtype = e->g->nodes[node->arg[1]].type.dtype;
    ftc_cell *out = e->value[id];
    const ftc_axes *views[] = {axes_of(e, node->arg[0]), axes_of(e, node->arg[1]), axes_of(e, id)};
    int64_t n_cells = cells_of(e, id);
    if (n_cells) memset(out, 0, (size_t)n_cells * sizeof *out);
    rows r;
    rows_begin(&r, e, views[0], views, 3);
    int64_t stride = ftc_walk_stride(&r.walk, 2, node->axis), count = ftc_walk_count(&r.walk, node->axis);
    while (rows_next(&r)) {
        for (int64_t j = 0, row = 0; j < r.n; j++) {
            ftc_cell index = ids[r.at[1] + j * r.step[1]];
            if (j == 0 || r.step[1]) row = row_of(dtype, index, count);
            if (row != node->index && (int32_t)row == index.i)
                out[r.at[2] + j * r.step[2] + row * stride].f += x[r.at[0] + j * r.step[0]].f;
        }
    }
    rows_end(&r);
}

// at and place: copies the cells whose position on the node's axis is its index; `wide` has the axis.
static void run_position(ftc_eager *e, ftc_id id, const ftc_axes *wide) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_cell *x = e->value[node->arg[0]];
    ftc_cell *out = e->value[id];
    int64_t n_cells = cells_of(e, id);
    if (n_cells) memset(out, 0, (size_t)n_cells * sizeof *out);
    ftc_walk w;
    ftc_walk_begin(&w, e->g, &e->walk, wide, FTC_NO_AXIS);
    int from = ftc_walk_view(&w, axes_of(e, node->arg[0])), to = ftc_walk_view(&w, axes_of(e, id));
    int k = ftc_axes_find(&w.axes, node->axis);
    while (ftc_walk_next(&w)) {
        int64_t first = 0, end = w.n;
        if (k == w.axes.n - 1)
            first = node->index, end = first < w.n ? first + 1 : w.n;
        else if (w.coordinate[k] != node->index)
            continue;
        for (int64_t j = first; j < end; j++)
            out[w.at[to] + j * w.step[to]] = x[w.at[from] + j * w.step[from]];
    }
    ftc_walk_end(&w);
}

// The same cells under another name of an axis, where that changes their order.
static void run_rename(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    ftc_walk w;
    ftc_walk_begin(&w, e->g, &e->walk, axes_of(e, node->arg[0]), FTC_NO_AXIS);
    int from = ftc_walk_view(&w, axes_of(e, node->arg[0]));
    int to = ftc_walk_view_as(&w, axes_of(e, id), node->to, node->axis);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++)
            e->value[id][w.at[to] + j * w.step[to]] = e->value[node->arg[0]][w.at[from] + j * w.step[from]];
    ftc_walk_end(&w);
}

static void run_shift(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_extent_def *from = ftc_axis_extent(e->g, node->axis);
    const ftc_cell *x = e->value[node->arg[0]];
    ftc_cell *out = e->value[id];
    ftc_walk w;
    ftc_walk_begin(&w, e->g, &e->walk, axes_of(e, id), node->to);
    int a = ftc_walk_view_as(&w, axes_of(e, node->arg[0]), node->axis, node->to);
    int o = ftc_walk_view(&w, axes_of(e, id));
    while (ftc_walk_next(&w)) {
        int64_t count = from->kind == FTC_EXTENT_CONST ? from->bound : w.n;
        for (int64_t j = 0; j < w.n; j++) {
            int64_t i = j - node->index;
            out[w.at[o] + j * w.step[o]] =
                i >= 0 && i < count ? x[w.at[a] + i * w.step[a]] : (ftc_cell){.i = 0};
        }
    }
    ftc_walk_end(&w);
}

static ftc_cell cell_of(ftc_dtype dtype, double value) {
    if (ftc_dtype_is_float(dtype)) return (ftc_cell){.f = (float)value};
    return (ftc_cell){.i = (int32_t)(uint32_t)(int64_t)value};
}

// Sources: values from coordinates alone.
static void run_fill(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    ftc_cell cell = cell_of(node->type.dtype, node->value);
    int64_t n = cells_of(e, id);
    for (int64_t i = 0; i < n; i++) e->value[id][i] = cell;
}

static void run_index(ftc_eager *e, ftc_id id) {
    ftc_walk w;
    ftc_walk_begin(&w, e->g, &e->walk, axes_of(e, id), e->g->nodes[id].axis);
    int to = ftc_walk_view(&w, axes_of(e, id));
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) e->value[id][w.at[to] + j * w.step[to]].i = (int32_t)j;
    ftc_walk_end(&w);
}

static void run_random(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_axes *order = &node->axes;
    uint64_t site = ftc_random_fold(
        ftc_random_fold(ftc_random_fold(e->b->seed, e->b->step), e->b->micro_step), (uint64_t)node->index);
    ftc_walk w;
    ftc_walk_begin(&w, e->g, &e->walk, order, order->n ? order->at[order->n - 1] : FTC_NO_AXIS);
    int to = ftc_walk_view(&w, axes_of(e, id)), place[FTC_MAX_AXES];
    int64_t first[FTC_MAX_AXES]; // where coordinates begin
    for (int i = 0; i < order->n; i++) {
        bool batch_like = ftc_axis_extent(e->g, order->at[i])->kind == FTC_EXTENT_SYMBOL && e->b->first_slots;
        first[i] = batch_like ? e->b->first_slots[e->g->axes[order->at[i]].extent] : 0;
        place[i] = ftc_axes_find(&w.axes, order->at[i]);
    }
    // Where rows cannot run along the last axis, each cell has a key of its own.
    bool one_key = order->n == 0 || place[order->n - 1] == order->n - 1;
    while (ftc_walk_next(&w)) {
        uint64_t key = site;
        for (int64_t j = 0; j < w.n; j++) {
            int64_t last = 0;
            for (int i = 0; i < order->n && (j == 0 || !one_key); i++) {
                int64_t c = w.coordinate[place[i]] + (place[i] == order->n - 1 ? j : 0) + first[i];
                if (i == order->n - 1)
                    last = c;
                else
                    key = ftc_random_fold(i ? key : site, (uint64_t)c);
            }
            int64_t cell = one_key ? j + (order->n ? first[order->n - 1] : 0) : last;
            e->value[id][w.at[to] + j * w.step[to]].f = ftc_random_cell(key, (uint32_t)cell);
        }
    }
    ftc_walk_end(&w);
}

// --- leaves and assignments ---------------------------------------------------------------------------

// Whether values of the type lie in memory as cells do.
static bool is_cell_type(ftc_dtype dtype) {
    return ftc_dtype_bytes(dtype) == (int32_t)sizeof(ftc_cell);
}

static void widen(ftc_dtype dtype, const void *tensor, int64_t n, ftc_cell *cells) {
    for (int64_t i = 0; i < n; i++) {
        if (dtype == FTC_BF16)
            cells[i].i = (int32_t)((uint32_t)((const uint16_t *)tensor)[i] << 16);
        else
            cells[i].i = ((const uint8_t *)tensor)[i];
    }
}

// Writes an assigned value, whose axes may come in another order, to the declaration's tensor.
static void assign(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_decl_def *decl = &e->g->decls[node->decl];
    void *tensor = e->b->tensors[node->decl];
    ftc_walk w;
    ftc_walk_begin(&w, e->g, &e->walk, axes_of(e, id), FTC_NO_AXIS);
    int from = ftc_walk_view(&w, axes_of(e, id)), to = ftc_walk_view(&w, &decl->type.axes);
    while (ftc_walk_next(&w)) {
        for (int64_t j = 0; j < w.n; j++) {
            ftc_cell cell = e->value[id][w.at[from] + j * w.step[from]];
            int64_t at = w.at[to] + j * w.step[to];
            if (is_cell_type(decl->type.dtype))
                ((ftc_cell *)tensor)[at] = cell;
            else if (decl->type.dtype == FTC_BF16)
                ((uint16_t *)tensor)[at] = (uint16_t)((uint32_t)cell.i >> 16);
            else
                ((uint8_t *)tensor)[at] = (uint8_t)cell.i;
        }
    }
    ftc_walk_end(&w);
}

// --- the executor -------------------------------------------------------------------------------------

// The operand whose buffer the node's value is; 0: it has one of its own, or the caller's.
static ftc_id shared_operand(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    switch (ftc_node_class(node)) {
    case FTC_CLASS_DETACH:
    case FTC_CLASS_UPDATED:
    case FTC_CLASS_CALL:
    case FTC_CLASS_EXTERN:
    case FTC_CLASS_UPSTREAM: return node->arg[0];
    case FTC_CLASS_ASSIGN:
        // A tensor may change before it is read.
        if (ftc_node_class(&g->nodes[ftc_region_source(g, node->arg[0])]) == FTC_CLASS_LEAF) return 0;
        return node->arg[0];
    case FTC_CLASS_RENAME: {
        ftc_axes from = ftc_axes_packed_order(g, &g->nodes[node->arg[0]].type.axes);
        ftc_axes to = ftc_axes_packed_order(g, &node->type.axes);
        from.at[ftc_axes_find(&from, node->axis)] = node->to;
        return memcmp(from.at, to.at, to.n * sizeof *to.at) ? 0 : node->arg[0];
    }
    default: return 0;
    }
}

ftc_eager *ftc_eager_new(const ftc_graph *g, const ftc_eager_bindings *b) {
    ftc_eager *e = ftc_alloc(1, sizeof *e);
    *e = (ftc_eager){.g = g, .b = b};
    e->value = ftc_alloc(g->n_nodes, sizeof *e->value);
    e->owned = ftc_alloc(g->n_nodes, sizeof *e->owned);
    e->holder = ftc_alloc(g->n_nodes, sizeof *e->holder);
    e->last_read = ftc_alloc(g->n_nodes, sizeof *e->last_read);
    e->order = ftc_alloc(g->n_nodes, sizeof *e->order);
    e->lanes = ftc_eager_lanes_new();
    e->recurrences = ftc_recurrences_find(g);
    ftc_recurrences_order(g, &e->recurrences, e->order);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_id shared = shared_operand(g, id);
        e->holder[id] = shared ? e->holder[shared] : id;
    }
    for (uint32_t i = 0, end; i < g->n_nodes - 1; i = end) {
        end = ftc_recurrences_end(g, &e->recurrences, e->order, i);
        for (uint32_t k = i; k < end; k++) {
            const ftc_id id = e->order[k];
            const ftc_node *node = &g->nodes[id];
            uint32_t *last = &e->last_read[e->holder[id]];
            if (*last < end - 1) *last = end - 1;
            if (ftc_node_class(node) == FTC_CLASS_ASSIGN) *last = g->n_nodes;
            for (int a = 0; a < node->n_args; a++) {
                last = &e->last_read[e->holder[node->arg[a]]];
                if (*last < end - 1) *last = end - 1;
            }
        }
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) e->last_read[e->holder[g->outputs[i].node]] = g->n_nodes;
    return e;
}

static void forget(ftc_eager *e, ftc_id id) {
    if (e->owned[id]) free(e->value[id]);
    e->owned[id] = false;
    e->value[id] = NULL;
}

static ftc_cell *own_buffer(ftc_eager *e, ftc_id id) {
    int64_t n = cells_of(e, id);
    ftc_cell *cells = ftc_alloc((size_t)n, sizeof *cells);
    e->owned[id] = true;
    return cells;
}

// The cells of `from`, over other axes or these in another order, as the node's value.
static void copy_value(ftc_eager *e, ftc_id id, const ftc_cell *from, const ftc_axes *axes) {
    ftc_walk w;
    ftc_walk_begin(&w, e->g, &e->walk, axes_of(e, id), FTC_NO_AXIS);
    int x = ftc_walk_view(&w, axes), o = ftc_walk_view(&w, axes_of(e, id));
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++)
            e->value[id][w.at[o] + j * w.step[o]] = from[w.at[x] + j * w.step[x]];
    ftc_walk_end(&w);
}

static void run_node(ftc_eager *e, ftc_id id) {
    const ftc_node *node = &e->g->nodes[id];
    ftc_op_class class = ftc_node_class(node);
    uint32_t attrs = ftc_op_get(node->op)->attrs;
    if (e->holder[id] != id) {
        e->value[id] = e->value[node->arg[0]];
        return;
    }
    if (class == FTC_CLASS_LEAF && is_cell_type(node->type.dtype)) {
        e->value[id] = e->b->tensors[node->decl];
        return;
    }
    e->value[id] = own_buffer(e, id);
    switch (class) {
    case FTC_CLASS_LEAF:
        widen(node->type.dtype, e->b->tensors[node->decl], cells_of(e, id), e->value[id]);
        break;
    case FTC_CLASS_SOURCE:
        if (attrs & FTC_ATTR_VALUE)
            run_fill(e, id);
        else if (attrs & FTC_ATTR_AXIS)
            run_index(e, id);
        else if (attrs & FTC_ATTR_AXES)
            run_random(e, id);
        else
            e->value[id]->i = ftc_entry_trains(e->b->entry);
        break;
    case FTC_CLASS_MAP: run_map(e, id); break;
    case FTC_CLASS_REDUCE: run_reduce(e, id); break;
    case FTC_CLASS_DOT: ftc_eager_dot(e, id); break;
    case FTC_CLASS_GATHER: run_gather(e, id); break;
    case FTC_CLASS_SCATTER: run_scatter(e, id); break;
    case FTC_CLASS_AT: run_position(e, id, axes_of(e, node->arg[0])); break;
    case FTC_CLASS_PLACE: run_position(e, id, axes_of(e, id)); break;
    case FTC_CLASS_RENAME: run_rename(e, id); break;
    case FTC_CLASS_SHIFT: run_shift(e, id); break;
    case FTC_CLASS_SCAN: copy_value(e, id, e->value[node->arg[1]], axes_of(e, node->arg[1])); break;
    case FTC_CLASS_BEFORE: // run by its recurrence
    case FTC_CLASS_DETACH:
    case FTC_CLASS_UPDATED:
    case FTC_CLASS_CALL:
    case FTC_CLASS_EXTERN:
    case FTC_CLASS_UPSTREAM: break; // always shared
    case FTC_CLASS_ASSIGN:
        memcpy(e->value[id], e->value[node->arg[0]], (size_t)cells_of(e, id) * sizeof(ftc_cell));
        break;
    }
}

// --- recurrences --------------------------------------------------------------------------------------
//
// The nodes are run on the cells of one position as if these were all: each element has the length 1, or 0
// where it has no such position.

typedef struct {
    ftc_eager *e;
    const ftc_id *nodes; // [n] of the recurrence
    uint32_t n;
    ftc_axis axis;
    bool from_end;
    ftc_cell **whole; // by node: the cells of all positions
    bool *is_given;   // by node: it is read along the axis, and made outside
    const int32_t *lengths;
    int64_t n_elements, steps; // so many positions from where it begins
} recurrence;

// Copies between the cells of one position and those of all; of the one `back` steps ago.
static void copy_position(const recurrence *r, ftc_id id, int64_t back, ftc_cell *here, bool to_whole) {
    ftc_axes own = {.n = 2, .at = {ftc_axis_over(r->e->g, r->axis), r->axis}};
    ftc_axes rest = ftc_axes_minus(axes_of(r->e, id), &own);
    const int64_t n = ftc_interp_cells(r->e->g, &r->e->walk, &rest), steps = r->steps - back;
    ftc_cell *element = r->whole[id];
    for (int64_t i = 0; i < r->n_elements; element += r->lengths[i++] * n) {
        if (r->steps >= r->lengths[i]) continue;
        ftc_cell *cells = element + (r->from_end ? r->lengths[i] - 1 - steps : steps) * n;
        memcpy(to_whole ? cells : here, to_whole ? here : cells, (size_t)n * sizeof *cells);
        here += n;
    }
}

static void run_position_of(recurrence *r) {
    ftc_eager *e = r->e;
    for (uint32_t i = 0; i < r->n; i++) {
        const ftc_id id = r->nodes[i], first = e->g->nodes[id].arg[0], scan = e->recurrences.scan[id];
        if (scan && r->steps > 0) {
            ftc_cell *before = ftc_eager_scratch(e, 0, cells_of(e, scan));
            copy_position(r, scan, 1, before, false);
            e->value[id] = own_buffer(e, id);
            copy_value(e, id, before, axes_of(e, scan));
        } else if (scan) {
            e->value[id] = own_buffer(e, id);
            copy_value(e, id, e->value[first], axes_of(e, first));
        } else {
            run_node(e, id);
        }
        if (e->holder[id] == id) copy_position(r, id, 0, e->value[id], true);
    }
    for (uint32_t i = 0; i < r->n; i++) forget(e, r->nodes[i]);
}

static void run_recurrence(ftc_eager *e, const ftc_id *nodes, uint32_t n) {
    const ftc_graph *g = e->g;
    const ftc_node *state = &g->nodes[nodes[0]];
    recurrence r = {.e = e, .nodes = nodes, .n = n, .axis = state->axis};
    r.from_end = ftc_op_get(state->op)->from_end;
    r.whole = ftc_alloc(g->n_nodes, sizeof *r.whole);
    r.is_given = ftc_alloc(g->n_nodes, sizeof *r.is_given);
    const ftc_axes over = ftc_axes_of(ftc_axis_over(g, r.axis));
    const ftc_extent extent = g->axes[r.axis].extent;
    r.n_elements = ftc_interp_cells(g, &e->walk, &over);
    r.lengths = e->walk.lengths[extent];
    for (uint32_t i = 0; i < n; i++) {
        const ftc_node *node = &g->nodes[nodes[i]];
        r.whole[nodes[i]] = ftc_alloc((size_t)cells_of(e, nodes[i]), sizeof(ftc_cell));
        for (int a = 0; a < node->n_args; a++) {
            bool inside = e->recurrences.of[node->arg[a]] == e->recurrences.of[nodes[0]];
            if (inside || !ftc_axes_has(axes_of(e, node->arg[a]), r.axis)) continue;
            r.is_given[node->arg[a]] = true;
            r.whole[node->arg[a]] = e->value[node->arg[a]];
        }
    }
    const ftc_bindings all = e->walk;
    const int32_t **lengths = ftc_alloc(g->n_extents, sizeof *lengths);
    int32_t *here = ftc_alloc((size_t)r.n_elements, sizeof *here), longest = 0;
    memcpy(lengths, all.lengths, g->n_extents * sizeof *lengths);
    lengths[extent] = here;
    e->walk.lengths = lengths;
    for (int64_t i = 0; i < r.n_elements; i++)
        if (r.lengths[i] > longest) longest = r.lengths[i];
    for (; r.steps < longest; r.steps++) {
        for (int64_t i = 0; i < r.n_elements; i++) here[i] = r.steps < r.lengths[i];
        for (ftc_id id = 1; id < g->n_nodes; id++) {
            if (!r.is_given[id]) continue;
            e->value[id] = ftc_alloc((size_t)cells_of(e, id), sizeof(ftc_cell));
            copy_position(&r, id, 0, e->value[id], false);
        }
        run_position_of(&r);
        for (ftc_id id = 1; id < g->n_nodes; id++)
            if (r.is_given[id]) free(e->value[id]);
    }
    e->walk = all;
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (r.is_given[id]) e->value[id] = r.whole[id];
    for (uint32_t i = 0; i < n; i++) {
        const ftc_id id = nodes[i];
        e->owned[id] = e->holder[id] == id;
        e->value[id] = e->owned[id] ? r.whole[id] : e->value[e->holder[id]];
        if (!e->owned[id]) free(r.whole[id]);
    }
    free(r.whole);
    free(r.is_given);
    free(lengths);
    free(here);
}

void ftc_eager_run(ftc_eager *e) {
    const ftc_graph *g = e->g;
    for (ftc_id id = 1; id < g->n_nodes; id++) forget(e, id); // what the last run kept
    e->walk = (ftc_bindings){.extents = e->b->extents, .lengths = e->b->lengths};
    for (uint32_t i = 0, end; i < g->n_nodes - 1; i = end) {
        end = ftc_recurrences_end(g, &e->recurrences, e->order, i);
        if (e->recurrences.of[e->order[i]])
            run_recurrence(e, &e->order[i], end - i);
        else
            run_node(e, e->order[i]);
        for (uint32_t k = i; k < end && e->b->visit; k++)
            if (!e->b->visit(e->b->context, e->order[k], e->value[e->order[k]], cells_of(e, e->order[k])))
                return;
        for (uint32_t k = i; k < end; k++) {
            const ftc_node *node = &g->nodes[e->order[k]];
            for (int a = 0; a < node->n_args; a++)
                if (e->last_read[e->holder[node->arg[a]]] == end - 1) forget(e, e->holder[node->arg[a]]);
            if (e->last_read[e->order[k]] == end - 1) forget(e, e->order[k]);
        }
    }
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_node_class(&g->nodes[id]) == FTC_CLASS_ASSIGN) assign(e, id);
}

const ftc_cell *ftc_eager_value(const ftc_eager *e, ftc_id id, int64_t *n_cells) {
    if (n_cells) *n_cells = cells_of(e, id);
    return e->value[e->holder[id]];
}

const ftc_graph *ftc_eager_graph(const ftc_eager *e) {
    return e->g;
}
const ftc_eager_bindings *ftc_eager_bindings_of(const ftc_eager *e) {
    return e->b;
}
const ftc_bindings *ftc_eager_walk_bindings(const ftc_eager *e) {
    return &e->walk;
}
ftc_cell *ftc_eager_cells(const ftc_eager *e, ftc_id id) {
    return e->value[id];
}

ftc_cell *ftc_eager_scratch(ftc_eager *e, int which, int64_t n) {
    if (e->scratch[which].n < n) {
        free(e->scratch[which].cells);
        e->scratch[which].cells = ftc_alloc((size_t)n, sizeof(ftc_cell));
        e->scratch[which].n = n;
    }
    return e->scratch[which].cells;
}

void ftc_eager_free(ftc_eager *e) {
    if (!e) return;
    for (ftc_id id = 0; id < e->g->n_nodes; id++)
        if (e->owned[id]) free(e->value[id]);
    for (int i = 0; i < N_SCRATCH; i++) free(e->scratch[i].cells);
    ftc_eager_lanes_free(e->lanes);
    free(e->value);
    free(e->owned);
    free(e->holder);
    free(e->last_read);
    free(e->order);
    ftc_recurrences_free(&e->recurrences);
    free(e);
}
