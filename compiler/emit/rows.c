// Row kernels, and the row operations inside of the others.
//
// A row is executed as a sequence of loops over its columns. Reductions cut the sequence: what depends on the
// result of a reduction of loop l is computed in loop l + 1 or later (its *level*). Values that hold for the
// whole row are computed between the loops. A value that a later loop needs again is loaded from where it is
// stored, kept in a row of scratch when it is costly, and computed again otherwise.
#include <stdlib.h>

#include "compiler/codegen/scalar.h"
#include "compiler/emit/emit.h"
#include "compiler/passes/regions.h"
#include "compiler/passes/window.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

typedef struct {
    ftc_emitter *e;
    const ftc_row *row;
    ftc_env probe; // which axes are the columns
    ftc_id *nodes; // of this step, in order
    int n;
    int *level; // by node id
    int n_levels;
    ftc_values values;
    LLVMValueRef *accumulator; // by node id: vector variables of reductions
    bool *kept;                // by node id: it has a row of scratch for later loops alone
} row_emitter;

static bool in_step(const row_emitter *r, ftc_id id) {
    const ftc_node *node = &r->e->g->nodes[id];
    return node->kernel == r->e->kernel && node->step == r->row->step;
}

static bool is_vector(const row_emitter *r, ftc_id id) {
    ftc_op_class class = ftc_node_class(&r->e->g->nodes[id]);
    if (class == FTC_CLASS_ASSIGN) id = r->e->g->nodes[id].arg[0];
    return !ftc_emit_is_uniform(r->e, id, &r->probe);
}

static bool is_reduce(const row_emitter *r, ftc_id id) {
    return ftc_node_class(&r->e->g->nodes[id]) == FTC_CLASS_REDUCE;
}

// Within the rows of a tile.
static bool is_scatter(const row_emitter *r, ftc_id id) {
    return ftc_node_class(&r->e->g->nodes[id]) == FTC_CLASS_SCATTER && id != r->row->tile_node;
}

static void find_levels(row_emitter *r) {
    const ftc_graph *g = r->e->g;
    r->n_levels = 1;
    for (int i = 0; i < r->n; i++) {
        const ftc_node *node = &g->nodes[r->nodes[i]];
        int level = 0;
        for (int a = 0; a < node->n_args; a++) {
            if (!in_step(r, node->arg[a])) continue;
            int after = r->level[node->arg[a]] + is_reduce(r, node->arg[a]);
            if (after > level) level = after;
        }
        r->level[r->nodes[i]] = level;
        if (level + 1 > r->n_levels) r->n_levels = level + 1;
        if (is_reduce(r, r->nodes[i]) && level + 2 > r->n_levels) r->n_levels = level + 2;
    }
    // The old value must be read by everybody before it is overwritten.
    for (int i = 0; i < r->n; i++)
        if (ftc_node_class(&g->nodes[r->nodes[i]]) == FTC_CLASS_ASSIGN)
            r->level[r->nodes[i]] = r->n_levels - 1;
}

// Number of operations behind a value that is not stored, as far as 8.
static int cost_of(const row_emitter *r, ftc_id id) {
    const ftc_node *node = &r->e->g->nodes[id];
    if (!in_step(r, id) || r->e->storage[id].kind != FTC_STORED_NOWHERE || !is_vector(r, id)) return 0;
    int cost = ftc_node_class(node) == FTC_CLASS_SOURCE ? 2 : 1;
    for (int a = 0; a < node->n_args && cost < 8; a++) cost += cost_of(r, node->arg[a]);
    return cost;
}

// Gives a row of scratch to the values that a later loop needs again, where they are costly, or where it
// decides by their last bit.
static void keep_values(row_emitter *r) {
    const ftc_graph *g = r->e->g;
    for (int i = 0; i < r->n; i++) {
        const ftc_node *node = &g->nodes[r->nodes[i]];
        for (int a = 0; a < node->n_args; a++) {
            ftc_id arg = node->arg[a];
            if (!in_step(r, arg) || !is_vector(r, arg) || r->level[arg] >= r->level[r->nodes[i]]) continue;
            if (r->e->storage[arg].kind != FTC_STORED_NOWHERE || arg == r->row->tile_node) continue;
            if (g->nodes[arg].type.dtype != FTC_F32) continue;
            if (cost_of(r, arg) <= 2 && !ftc_region_decides(g, node)) continue;
            r->kept[arg] = true;
            r->e->storage[arg] = (ftc_storage){FTC_STORED_LOCAL, ftc_emit_scratch(r->e, r->row->max_cols * 4),
                                               ftc_cg_i64(r->e->cg, 0)};
        }
    }
}

// Whether the row has a position on each of the value's axes. What is read through a rename or at another
// position may have others.
static bool is_here(const row_emitter *r, ftc_id id, const ftc_env *env) {
    const ftc_axes *axes = &r->e->g->nodes[id].type.axes;
    for (int i = 0; i < axes->n; i++)
        if (!env->index[axes->at[i]] && !ftc_axes_has(&r->row->cols, axes->at[i])) return false;
    return true;
}

// Values of the whole row that loop `level` and the stores before it need.
static void emit_uniform_values(row_emitter *r, int level, const ftc_env *env) {
    ftc_emitter *e = r->e;
    for (int i = 0; i < r->n; i++) {
        ftc_id id = r->nodes[i];
        const ftc_node *node = &e->g->nodes[id];
        if (r->level[id] > level || id == r->row->tile_node) continue;
        bool moves = ftc_node_class(node) == FTC_CLASS_RENAME || ftc_node_class(node) == FTC_CLASS_AT ||
                     ftc_node_class(node) == FTC_CLASS_SHIFT;
        bool moves_table = ftc_node_class(node) == FTC_CLASS_GATHER;
        for (int a = 0; a < node->n_args; a++) {
            ftc_id arg = node->arg[a];
            bool available = !in_step(r, arg) || (!is_reduce(r, arg) && r->level[arg] <= level);
            if (available && is_here(r, arg, env) && !is_vector(r, arg) && !moves && !(moves_table && a == 0))
                ftc_emit_value(e, arg, env, &r->values);
        }
        if (is_vector(r, id) || is_reduce(r, id) || is_scatter(r, id) || r->level[id] != level) continue;
        if (e->storage[id].kind != FTC_STORED_NOWHERE)
            ftc_emit_store(e, id, ftc_emit_value(e, id, env, &r->values), env);
    }
}

static bool has_vector_work(const row_emitter *r, int level) {
    for (int i = 0; i < r->n; i++) {
        ftc_id id = r->nodes[i];
        if (r->level[id] != level) continue;
        bool stores = is_vector(r, id) && r->e->storage[id].kind != FTC_STORED_NOWHERE;
        if (is_reduce(r, id) || is_scatter(r, id) || stores) return true;
    }
    return false;
}

LLVMValueRef ftc_emit_combine(ftc_emitter *e, ftc_id reduce, LLVMValueRef a, LLVMValueRef b) {
    ftc_scalar_builder builder = ftc_codegen_scalar_builder(e->cg, ftc_cg_lanes_of(LLVMTypeOf(a)));
    ftc_scalar x[] = {a, b};
    ftc_map_types types = {FTC_F32, {FTC_F32, FTC_F32}};
    return ftc_op_get(e->g->nodes[reduce].op)->body(&builder, &types, x);
}

LLVMValueRef ftc_emit_reduce_identity(ftc_emitter *e, ftc_id reduce, int lanes) {
    return ftc_cg_splat(e->cg, ftc_cg_f32(e->cg, (float)ftc_op_get(e->g->nodes[reduce].op)->identity), lanes);
}

// Adds the current vector of the operand into the accumulator; lanes outside of the data count as the
// identity.
void ftc_emit_accumulate(ftc_emitter *e, ftc_id reduce, LLVMValueRef accumulator, const ftc_env *env,
                         ftc_values *values) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef v = ftc_emit_value(e, e->g->nodes[reduce].arg[0], env, values);
    if (ftc_cg_lanes_of(LLVMTypeOf(v)) != env->lanes) v = ftc_cg_splat(cg, v, env->lanes);
    LLVMTypeRef type = ftc_cg_vector_type(cg, cg->f32, env->lanes);
    LLVMValueRef old = ftc_cg_load(cg, type, accumulator);
    LLVMValueRef sum = ftc_emit_combine(e, reduce, old, v);
    if (env->mask) sum = ftc_cg_select(cg, env->mask, sum, old);
    ftc_cg_store(cg, sum, accumulator);
}

static LLVMValueRef combine_lanes(ftc_emitter *e, ftc_id reduce, LLVMValueRef v) {
    ftc_codegen *cg = e->cg;
    for (int lanes = ftc_cg_lanes_of(LLVMTypeOf(v)); lanes > 1; lanes /= 2) {
        int low[FTC_CG_MAX_LANES], high[FTC_CG_MAX_LANES];
        for (int i = 0; i < lanes / 2; i++) {
            low[i] = i;
            high[i] = lanes / 2 + i;
        }
        LLVMValueRef a, b;
        if (lanes == 2) {
            a = LLVMBuildExtractElement(cg->builder, v, ftc_cg_i32(cg, 0), "");
            b = LLVMBuildExtractElement(cg->builder, v, ftc_cg_i32(cg, 1), "");
        } else {
            a = ftc_cg_shuffle(cg, v, v, low, lanes / 2);
            b = ftc_cg_shuffle(cg, v, v, high, lanes / 2);
        }
        v = ftc_emit_combine(e, reduce, a, b);
    }
    return v;
}

// What the value is in columns whose conditions are known: itself, or the operand that it chooses.
static ftc_id chosen(const row_emitter *r, ftc_id id) {
    const ftc_node *node = &r->e->g->nodes[id];
    if (!ftc_op_get(node->op)->chooses || !r->row->known[node->arg[0]]) return id;
    return node->arg[r->row->known[node->arg[0]] == FTC_KNOWN_TRUE ? 1 : 2];
}

// Binds the conditions that are known, and reads what they choose where that lies, if it does, instead of
// keeping it.
static void bind_known(row_emitter *r, const ftc_env *env) {
    ftc_emitter *e = r->e;
    for (int i = 0; i < r->n; i++) {
        ftc_id id = r->nodes[i], from = chosen(r, id);
        uint8_t known = r->row->known[id];
        if (known) r->values.vector[id] = ftc_cg_bool(e->cg, known == FTC_KNOWN_TRUE);
        if (from != id && r->kept[id] && e->ready[from])
            r->values.vector[id] = ftc_emit_value(e, from, env, &r->values);
    }
}

// One vector of columns: stores and accumulates what belongs to this loop. `known`: they are among those
// whose conditions are known.
static void emit_columns(row_emitter *r, int level, ftc_env *env, LLVMValueRef column, bool known) {
    ftc_emitter *e = r->e;
    ftc_codegen *cg = e->cg;
    const ftc_axes *cols = &r->row->cols;
    if (cols->n == 1) {
        env->index[cols->at[0]] = r->row->origin ? ftc_cg_add(cg, r->row->origin, column) : column;
        env->vector_axis = cols->at[0];
    } else {
        env->cols = (ftc_flat){*cols, column};
    }
    env->local_col = column;
    ftc_values_clear_vectors(e, &r->values);
    r->values.in_loop = true;
    if (r->row->tile_node) {
        LLVMValueRef offset = ftc_cg_sub(cg, column, r->row->begin);
        LLVMTypeRef type = ftc_cg_vector_type(cg, cg->f32, env->lanes);
        r->values.vector[r->row->tile_node] =
            ftc_cg_load(cg, type, ftc_cg_at(cg, cg->f32, r->row->tile, offset));
    }
    if (known) bind_known(r, env);
    for (int i = 0; i < r->n; i++) {
        ftc_id id = r->nodes[i];
        if (r->level[id] != level) continue;
        if (known && r->kept[id] && chosen(r, id) != id && e->ready[chosen(r, id)]) continue;
        if (is_reduce(r, id)) {
            ftc_emit_accumulate(e, id, r->accumulator[id], env, &r->values);
        } else if (is_scatter(r, id)) {
            LLVMValueRef count = ftc_cg_i64(cg, env->lanes);
            if (env->mask) count = ftc_cg_min(cg, ftc_cg_sub(cg, r->row->end, column), count);
            ftc_emit_scatter_lanes(e, id, env, count, &r->values);
        } else if (is_vector(r, id) && e->storage[id].kind != FTC_STORED_NOWHERE) {
            LLVMValueRef v = ftc_emit_value(e, id, env, &r->values);
            if (ftc_cg_lanes_of(LLVMTypeOf(v)) != env->lanes) v = ftc_cg_splat(cg, v, env->lanes);
            ftc_emit_store(e, id, v, env);
        }
    }
    r->values.in_loop = false;
}

static void emit_vectors(row_emitter *r, int level, const ftc_env *row_env, int lanes, LLVMValueRef begin,
                         LLVMValueRef end, bool known) {
    ftc_codegen *cg = r->e->cg;
    ftc_env env = *row_env;
    env.lanes = lanes;
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, begin, end, ftc_cg_i64(cg, lanes));
    emit_columns(r, level, &env, loop.index, known);
    ftc_cg_loop_end(cg, &loop);
}

// Whole vectors: those before, within and behind the columns whose conditions are known.
static void emit_whole_vectors(row_emitter *r, int level, const ftc_env *env, int lanes, LLVMValueRef end) {
    ftc_codegen *cg = r->e->cg;
    const ftc_row *row = r->row;
    if (!row->known) {
        emit_vectors(r, level, env, lanes, row->begin, end, false);
        return;
    }
    LLVMValueRef unit = ftc_cg_i64(cg, lanes), first = ftc_cg_sub(cg, row->known_begin, row->begin);
    first = ftc_cg_add(cg, row->begin, ftc_cg_round_up(cg, first, lanes));
    LLVMValueRef last = ftc_cg_sub(cg, row->known_end, row->begin);
    last = ftc_cg_sub(cg, row->known_end, ftc_cg_rem(cg, last, unit));
    first = ftc_cg_min(cg, first, end), last = ftc_cg_max(cg, first, last);
    if (row->known_begin != row->begin) emit_vectors(r, level, env, lanes, row->begin, first, false);
    emit_vectors(r, level, env, lanes, first, last, true);
    emit_vectors(r, level, env, lanes, last, end, false);
}

static void emit_loop(row_emitter *r, int level, const ftc_env *row_env, int lanes) {
    ftc_emitter *e = r->e;
    ftc_codegen *cg = e->cg;
    LLVMTypeRef type = ftc_cg_vector_type(cg, cg->f32, lanes);
    for (int i = 0; i < r->n; i++)
        if (is_reduce(r, r->nodes[i]) && r->level[r->nodes[i]] == level) {
            r->accumulator[r->nodes[i]] = ftc_cg_variable(cg, type);
            ftc_cg_store(cg, ftc_emit_reduce_identity(e, r->nodes[i], lanes), r->accumulator[r->nodes[i]]);
        }
    LLVMValueRef count = ftc_cg_sub(cg, r->row->end, r->row->begin), step = ftc_cg_i64(cg, lanes);
    bool exact = r->row->granule % lanes == 0;
    LLVMValueRef whole = exact ? count : ftc_cg_sub(cg, count, ftc_cg_rem(cg, count, step));
    LLVMValueRef whole_end = ftc_cg_add(cg, r->row->begin, whole);
    emit_whole_vectors(r, level, row_env, lanes, whole_end);
    if (!exact) {
        ftc_cg_if rest = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSLT, whole_end, r->row->end));
        ftc_env env = *row_env;
        env.lanes = lanes;
        if (lanes > 1) env.mask = ftc_cg_tail_mask(cg, ftc_cg_sub(cg, r->row->end, whole_end), lanes);
        emit_columns(r, level, &env, whole_end, false);
        ftc_cg_if_end(cg, &rest);
    }
    for (int i = 0; i < r->n; i++) {
        ftc_id id = r->nodes[i];
        if (is_reduce(r, id) && r->level[id] == level) {
            LLVMValueRef v = combine_lanes(e, id, ftc_cg_load(cg, type, r->accumulator[id]));
            r->values.uniform[id] = v;
            if (e->storage[id].kind != FTC_STORED_NOWHERE) ftc_emit_store(e, id, v, row_env);
        } else if (!is_reduce(r, id) && is_vector(r, id) && r->level[id] == level &&
                   ftc_node_class(&e->g->nodes[id]) != FTC_CLASS_ASSIGN) {
            e->ready[id] = e->storage[id].kind != FTC_STORED_NOWHERE;
        }
    }
}

static row_emitter begin(ftc_emitter *e, const ftc_row *row, const ftc_env *env) {
    const ftc_graph *g = e->g;
    row_emitter r = {.e = e, .row = row, .probe = *env, .values = ftc_values_new(e)};
    r.nodes = ftc_alloc(e->last - e->first + 1, sizeof *r.nodes);
    r.level = ftc_alloc(g->n_nodes, sizeof *r.level);
    r.accumulator = ftc_alloc(g->n_nodes, sizeof *r.accumulator);
    r.kept = ftc_alloc(g->n_nodes, sizeof *r.kept);
    for (ftc_id id = e->first; id < e->last; id++)
        if (g->nodes[id].step == row->step) r.nodes[r.n++] = id;
    if (row->cols.n == 1)
        r.probe.vector_axis = row->cols.at[0];
    else
        r.probe.cols.axes = row->cols;
    find_levels(&r);
    return r;
}

static void end(row_emitter *r) {
    ftc_values_free(&r->values);
    free(r->nodes);
    free(r->level);
    free(r->accumulator);
    free(r->kept);
}

// The condition c of assign(select(c, x, w), w); 0: the assignment is another, or of a value made before.
static ftc_id assigns_where(const ftc_graph *g, const ftc_node *assign) {
    const ftc_node *value = &g->nodes[assign->arg[0]];
    bool keeps = ftc_op_get(value->op)->chooses && value->arg[2] == ftc_graph_leaf(g, assign->decl);
    return keeps && value->kernel == assign->kernel ? value->arg[0] : 0;
}

LLVMValueRef ftc_emit_row_condition(ftc_emitter *e, ftc_row *row, const ftc_env *env) {
    row_emitter r = begin(e, row, env);
    ftc_id condition = 0;
    bool same = true;
    for (int i = 0; i < r.n && same; i++) {
        const ftc_node *node = &e->g->nodes[r.nodes[i]];
        if (e->storage[r.nodes[i]].kind == FTC_STORED_NOWHERE) continue;
        ftc_id where = ftc_node_class(node) == FTC_CLASS_ASSIGN ? assigns_where(e->g, node) : 0;
        same = where && (!condition || where == condition);
        condition = where;
    }
    LLVMValueRef value = NULL;
    if (same && condition && !is_vector(&r, condition) && r.level[condition] == 0) {
        value = ftc_emit_value(e, condition, env, NULL);
        row->holds = condition;
    }
    end(&r);
    return value;
}

void ftc_emit_row(ftc_emitter *e, const ftc_row *row, const ftc_env *env) {
    row_emitter r = begin(e, row, env);
    keep_values(&r);
    if (row->holds) r.values.uniform[row->holds] = ftc_cg_bool(e->cg, true);
    if (row->tile_node && row->cols.n == 0) {
        LLVMValueRef value = ftc_cg_load(e->cg, e->cg->f32, row->tile);
        r.values.uniform[row->tile_node] = value;
        if (e->storage[row->tile_node].kind != FTC_STORED_NOWHERE)
            ftc_emit_store(e, row->tile_node, value, env);
    }
    // Two vectors at once hide the latency of sums; whole vectors only, where that needs no tail.
    int lanes = e->cg->lanes;
    if (row->granule % (2 * lanes) == 0)
        lanes *= 2;
    else if (row->max_cols == 1)
        lanes = 1;
    for (int level = 0; level < r.n_levels; level++) {
        emit_uniform_values(&r, level, env);
        if (row->cols.n > 0 && has_vector_work(&r, level)) emit_loop(&r, level, env, lanes);
    }
    for (int i = 0; i < r.n; i++)
        if (e->storage[r.nodes[i]].kind != FTC_STORED_NOWHERE) e->ready[r.nodes[i]] = true;
    end(&r);
}

static int64_t max_size(const ftc_graph *g, const ftc_axes *axes) {
    int64_t size = 1;
    for (int i = 0; i < axes->n; i++) size *= ftc_axis_extent(g, axes->at[i])->bound;
    return size;
}

ftc_row ftc_row_of(ftc_emitter *e, const ftc_axes *cols, const ftc_env *env) {
    ftc_row row = {.cols = *cols, .begin = ftc_cg_i64(e->cg, 0), .max_cols = max_size(e->g, cols)};
    int64_t size = ftc_region_constant_size(e->g, cols);
    row.granule = size > 0 ? size : 1;
    row.end = size >= 0 ? ftc_cg_i64(e->cg, size) : ftc_emit_extent(e, cols->at[0], env);
    return row;
}

// Range of this thread among the rows that this call has of the kernel's `total`: all, or its slice.
static void split_rows(ftc_emitter *e, LLVMValueRef total, LLVMValueRef *begin, LLVMValueRef *end) {
    ftc_codegen *cg = e->cg;
    if (!e->slice_rows) {
        ftc_emit_split(e, total, begin, end);
        return;
    }
    size_t slice = offsetof(ftc_step_args, slice);
    LLVMValueRef index = ftc_emit_field(e, slice + offsetof(ftc_slice, index), cg->i64);
    LLVMValueRef count = ftc_emit_field(e, slice + offsetof(ftc_slice, count), cg->i64);
    LLVMValueRef rows = ftc_cg_i64(cg, e->slice_rows), each = ftc_cg_div(cg, total, rows);
    LLVMValueRef next = ftc_cg_add(cg, index, ftc_cg_i64(cg, 1));
    LLVMValueRef first = ftc_cg_mul(cg, ftc_cg_div(cg, ftc_cg_mul(cg, rows, index), count), each);
    LLVMValueRef last = ftc_cg_mul(cg, ftc_cg_div(cg, ftc_cg_mul(cg, rows, next), count), each);
    ftc_emit_split(e, ftc_cg_sub(cg, last, first), begin, end);
    *begin = ftc_cg_add(cg, first, *begin);
    *end = ftc_cg_add(cg, first, *end);
}

void ftc_emit_rows_kernel(ftc_emitter *e) {
    ftc_codegen *cg = e->cg;
    const ftc_kernel *kernel = &e->g->kernels[e->kernel];
    LLVMValueRef begin, end, sequence = ftc_cg_variable(cg, cg->i64);
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), sequence);
    split_rows(e, ftc_emit_total(e, &kernel->rows), &begin, &end);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, begin, end, ftc_cg_i64(cg, 1));
    ftc_env env = ftc_env_empty(e);
    ftc_emit_bind_rows(e, &env, &kernel->rows, loop.index, sequence);
    ftc_row row = ftc_row_of(e, &kernel->cols, &env);
    ftc_cg_if wanted = {0};
    LLVMValueRef condition = ftc_emit_row_condition(e, &row, &env);
    if (condition) wanted = ftc_cg_if_begin(cg, condition);
    ftc_emit_row(e, &row, &env);
    if (condition) ftc_cg_if_end(cg, &wanted);
    ftc_cg_loop_end(cg, &loop);
}
