// Scatter kernels: rows added into a table at given indices (the gradient of an embedding), and the maps that
// follow, applied to each row of the table as soon as it is complete.
//
// Destination row v belongs to thread v mod threads, which adds to it in the order of the tokens, so that the
// result does not depend on the number of threads: first it lists the tokens of each of its rows (a
// counting sort), then it goes through its rows.
//
// In the rows of a tile the destination is in memory, and the item's own: lanes are added to it as they come.
#include "compiler/emit/emit.h"
#include "compiler/passes/regions.h"
#include "ir/op.h"

typedef struct {
    ftc_emitter *e;
    const ftc_node *node;
    ftc_axes from, cols;   // the indices' axes, the rows' axes
    LLVMValueRef starts;   // in scratch, i32[rows + 2]: where the tokens of a row start among `tokens`
    LLVMValueRef tokens;   // in scratch, i32[most tokens]
    LLVMValueRef sum;      // in scratch, f32: a row
    LLVMValueRef sequence; // variable: the sequence of the current token
} scatter;

static LLVMValueRef load_i32(ftc_codegen *cg, LLVMValueRef table, LLVMValueRef at) {
    LLVMValueRef value = ftc_cg_load(cg, cg->i32, ftc_cg_at(cg, cg->i32, table, at));
    return LLVMBuildSExt(cg->builder, value, cg->i64, "");
}

static void store_i32(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef table, LLVMValueRef at) {
    ftc_cg_store(cg, LLVMBuildTrunc(cg->builder, value, cg->i32, ""), ftc_cg_at(cg, cg->i32, table, at));
}

static void add_i32(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef table, LLVMValueRef at) {
    store_i32(cg, ftc_cg_add(cg, load_i32(cg, table, at), value), table, at);
}

// A loop over the tokens whose rows are this thread's.
typedef struct {
    ftc_cg_loop tokens;
    ftc_cg_if mine;
    LLVMValueRef row, token;
} own_tokens;

static own_tokens own_tokens_begin(const scatter *s) {
    ftc_emitter *e = s->e;
    ftc_codegen *cg = e->cg;
    own_tokens own;
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), s->sequence);
    own.tokens = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), ftc_emit_total(e, &s->from), ftc_cg_i64(cg, 1));
    own.token = own.tokens.index;
    ftc_env env = ftc_env_empty(e);
    ftc_emit_bind_rows(e, &env, &s->from, own.token, s->sequence);
    own.row = LLVMBuildSExt(cg->builder, ftc_emit_value(e, s->node->arg[1], &env, NULL), cg->i64, "");
    LLVMValueRef mine = ftc_cg_compare(cg, LLVMIntEQ, ftc_cg_rem(cg, own.row, e->threads), e->thread);
    if (s->node->index >= 0) {
        LLVMValueRef live = ftc_cg_compare(cg, LLVMIntNE, own.row, ftc_cg_i64(cg, s->node->index));
        mine = LLVMBuildAnd(cg->builder, mine, live, "");
    }
    own.mine = ftc_cg_if_begin(cg, mine);
    return own;
}

static void own_tokens_end(const scatter *s, own_tokens *own) {
    ftc_cg_if_end(s->e->cg, &own->mine);
    ftc_cg_loop_end(s->e->cg, &own->tokens);
}

// Afterwards the tokens of row r are tokens[starts[r]] … tokens[starts[r + 1] - 1].
static void list_tokens(const scatter *s, LLVMValueRef n_rows) {
    ftc_codegen *cg = s->e->cg;
    LLVMValueRef one = ftc_cg_i64(cg, 1), two = ftc_cg_i64(cg, 2), size = ftc_cg_add(cg, n_rows, two);
    LLVMBuildMemSet(cg->builder, s->starts, LLVMConstInt(cg->i8, 0, 0),
                    ftc_cg_mul(cg, size, ftc_cg_i64(cg, sizeof(int32_t))), FTC_STEP_ALIGN);
    own_tokens count = own_tokens_begin(s);
    add_i32(cg, one, s->starts, ftc_cg_add(cg, count.row, two));
    own_tokens_end(s, &count);
    ftc_cg_loop sum = ftc_cg_loop_begin(cg, two, size, one);
    add_i32(cg, load_i32(cg, s->starts, ftc_cg_sub(cg, sum.index, one)), s->starts, sum.index);
    ftc_cg_loop_end(cg, &sum);
    own_tokens list = own_tokens_begin(s);
    LLVMValueRef next = ftc_cg_add(cg, list.row, one);
    store_i32(cg, list.token, s->tokens, load_i32(cg, s->starts, next));
    add_i32(cg, one, s->starts, next);
    own_tokens_end(s, &list);
}

// sum += what is scattered for the token: one axis over the lanes, the others in loops of their own.
static void add_token(const scatter *s, LLVMValueRef row, LLVMValueRef token) {
    ftc_emitter *e = s->e;
    ftc_codegen *cg = e->cg;
    ftc_env env = ftc_env_empty(e);
    ftc_emit_bind_rows(e, &env, &s->from, token, s->sequence);
    env.index[s->node->axis] = row;
    ftc_cg_loop loop[FTC_MAX_AXES];
    LLVMValueRef column = ftc_cg_i64(cg, 0);
    int lanes = 1;
    for (int i = 0; i < s->cols.n; i++) {
        ftc_axis axis = s->cols.at[i];
        int64_t extent = ftc_axis_extent(e->g, axis)->bound;
        bool is_last = i + 1 == s->cols.n;
        if (is_last && extent % cg->lanes == 0) lanes = cg->lanes;
        loop[i] = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), ftc_cg_i64(cg, extent),
                                    ftc_cg_i64(cg, is_last ? lanes : 1));
        env.index[axis] = loop[i].index;
        if (lanes > 1) env.vector_axis = axis;
        column = ftc_cg_add(cg, ftc_cg_mul(cg, column, ftc_cg_i64(cg, extent)), loop[i].index);
    }
    env.lanes = lanes;
    LLVMValueRef v = ftc_emit_value(e, s->node->arg[0], &env, NULL);
    if (ftc_cg_lanes_of(LLVMTypeOf(v)) != lanes) v = ftc_cg_splat(cg, v, lanes);
    LLVMValueRef at = ftc_cg_at(cg, cg->f32, s->sum, column);
    LLVMValueRef before = ftc_cg_load(cg, ftc_cg_vector_type(cg, cg->f32, lanes), at);
    ftc_cg_store(cg, ftc_cg_fadd(cg, before, v), at);
    for (int i = s->cols.n - 1; i >= 0; i--) ftc_cg_loop_end(cg, &loop[i]);
}

// The sum over the row's tokens.
static void emit_sum(const scatter *s, LLVMValueRef row) {
    ftc_codegen *cg = s->e->cg;
    int64_t width = ftc_region_constant_size(s->e->g, &s->cols);
    LLVMValueRef one = ftc_cg_i64(cg, 1);
    LLVMBuildMemSet(cg->builder, s->sum, LLVMConstInt(cg->i8, 0, 0),
                    ftc_cg_i64(cg, width * (int64_t)sizeof(float)), FTC_STEP_ALIGN);
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), s->sequence);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, load_i32(cg, s->starts, row),
                                         load_i32(cg, s->starts, ftc_cg_add(cg, row, one)), one);
    add_token(s, row, load_i32(cg, s->tokens, loop.index));
    ftc_cg_loop_end(cg, &loop);
}

void ftc_emit_scatter_kernel(ftc_emitter *e) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    const ftc_kernel *kernel = &g->kernels[e->kernel];
    ftc_id id = e->first;
    while (ftc_node_class(&g->nodes[id]) != FTC_CLASS_SCATTER) id++;
    const ftc_node *node = &g->nodes[id];
    ftc_type indices = g->nodes[node->arg[1]].type;
    scatter s = {.e = e,
                 .node = node,
                 .from = ftc_axes_packed_order(g, &indices.axes),
                 .cols = kernel->cols,
                 .sequence = ftc_cg_variable(cg, cg->i64)};
    int64_t n_rows = ftc_axis_extent(g, node->axis)->bound;
    s.starts = ftc_emit_scratch(e, (n_rows + 2) * (int64_t)sizeof(int32_t));
    s.tokens = ftc_emit_scratch(e, ftc_type_max_elements(g, &indices) * (int64_t)sizeof(int32_t));
    s.sum = ftc_emit_scratch(e, ftc_region_constant_size(g, &s.cols) * (int64_t)sizeof(float));
    list_tokens(&s, ftc_cg_i64(cg, n_rows));

    ftc_cg_loop rows = ftc_cg_loop_begin(cg, e->thread, ftc_cg_i64(cg, n_rows), e->threads);
    ftc_env env = ftc_env_empty(e);
    env.index[node->axis] = rows.index;
    ftc_row row = ftc_row_of(e, &s.cols, &env);
    row.tile_node = id;
    row.tile = s.sum;
    ftc_cg_if wanted = {0};
    LLVMValueRef condition = ftc_emit_row_condition(e, &row, &env);
    if (condition) wanted = ftc_cg_if_begin(cg, condition);
    emit_sum(&s, rows.index);
    ftc_emit_row(e, &row, &env);
    if (condition) ftc_cg_if_end(cg, &wanted);
    ftc_cg_loop_end(cg, &rows);
}

// --- within the rows of a tile ------------------------------------------------------------------------

void ftc_emit_clear(ftc_emitter *e, ftc_id id, const ftc_env *env) {
    ftc_codegen *cg = e->cg;
    ftc_axes order = ftc_region_memory_order(e->g, id);
    int side_by_side = order.n; // all cells on the axes from this one on lie there
    while (side_by_side > 0 && !env->index[order.at[side_by_side - 1]] &&
           !ftc_axes_over(e->g, &order, order.at[side_by_side - 1]).n)
        side_by_side--;
    ftc_env at = *env;
    ftc_cg_loop loop[FTC_MAX_AXES];
    LLVMValueRef bytes = ftc_cg_i64(cg, ftc_dtype_bytes(e->g->nodes[id].type.dtype)), stride, offsets;
    int n = 0;
    for (int i = 0; i < order.n; i++) {
        ftc_axis axis = order.at[i];
        if (at.index[axis]) continue;
        LLVMValueRef extent = ftc_emit_extent(e, axis, &at);
        at.index[axis] = ftc_cg_i64(cg, 0);
        if (i >= side_by_side) {
            bytes = ftc_cg_mul(cg, bytes, extent);
        } else {
            loop[n] = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), extent, ftc_cg_i64(cg, 1));
            at.index[axis] = loop[n++].index;
        }
    }
    LLVMBuildMemSet(cg->builder, ftc_emit_address(e, id, &at, &stride, &offsets), LLVMConstInt(cg->i8, 0, 0),
                    bytes, (unsigned)ftc_dtype_bytes(e->g->nodes[id].type.dtype));
    while (n > 0) ftc_cg_loop_end(cg, &loop[--n]);
}

// One lane after the other: several may have the same row.
static void add_one_by_one(ftc_emitter *e, const ftc_node *node, ftc_id scatter, const ftc_env *env,
                           LLVMValueRef row, LLVMValueRef v, LLVMValueRef count) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef rows = ftc_cg_variable(cg, LLVMTypeOf(row)), values = ftc_cg_variable(cg, LLVMTypeOf(v));
    ftc_cg_store(cg, row, rows);
    ftc_cg_store(cg, v, values);
    ftc_env one = ftc_env_first_lane(env);
    ftc_cg_loop lane = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), count, ftc_cg_i64(cg, 1));
    one.index[node->axis] = load_i32(cg, rows, lane.index);
    LLVMValueRef sum = ftc_emit_load(e, scatter, &one),
                 more = ftc_cg_load(cg, cg->f32, ftc_cg_at(cg, cg->f32, values, lane.index));
    ftc_emit_store(e, scatter, ftc_cg_fadd(cg, sum, more), &one);
    ftc_cg_loop_end(cg, &lane);
}

static LLVMValueRef in_each_lane(ftc_emitter *e, LLVMValueRef v, int lanes) {
    return ftc_cg_lanes_of(LLVMTypeOf(v)) == lanes ? v : ftc_cg_splat(e->cg, v, lanes);
}

void ftc_emit_scatter_lanes(ftc_emitter *e, ftc_id scatter, const ftc_env *env, LLVMValueRef count,
                            ftc_values *values) {
    ftc_codegen *cg = e->cg;
    const ftc_node *node = &e->g->nodes[scatter];
    LLVMValueRef v = in_each_lane(e, ftc_emit_value(e, node->arg[0], env, values), env->lanes);
    LLVMValueRef row = in_each_lane(e, ftc_emit_value(e, node->arg[1], env, values), env->lanes);
    if (node->index >= 0) { // nothing is added to the dead row
        LLVMValueRef dead = ftc_cg_splat(cg, ftc_cg_i32(cg, (int32_t)node->index), env->lanes);
        v = ftc_cg_select(cg, ftc_cg_compare(cg, LLVMIntEQ, row, dead), LLVMConstNull(LLVMTypeOf(v)), v);
    }
    ftc_env at = *env;
    double slope;
    if (ftc_axes_has(&node->type.axes, env->vector_axis)) { // each lane has a place of its own
        if (env->mask) row = ftc_cg_select(cg, env->mask, row, LLVMConstNull(LLVMTypeOf(row)));
        at.lane_index = row;
        at.indexed = node->axis;
    } else if (ftc_region_slope(e->g, node->arg[1], env->vector_axis, &slope) && slope == 1) { // side by side
        ftc_env first = ftc_env_first_lane(env);
        LLVMValueRef start = ftc_emit_value(e, node->arg[1], &first, NULL);
        at.index[node->axis] = LLVMBuildSExt(cg->builder, start, cg->i64, "");
        at.vector_axis = node->axis;
    } else {
        add_one_by_one(e, node, scatter, env, row, v, count);
        return;
    }
    ftc_emit_store(e, scatter, ftc_cg_fadd(cg, ftc_emit_load(e, scatter, &at), v), &at);
}
