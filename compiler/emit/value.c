#include "compiler/emit/emit.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/scalar.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// --- the call's arguments -----------------------------------------------------------------------------

LLVMValueRef ftc_emit_field(ftc_emitter *e, size_t offset, LLVMTypeRef type) {
    LLVMValueRef field = ftc_cg_at(e->cg, e->cg->i8, e->args, ftc_cg_i64(e->cg, (int64_t)offset));
    return ftc_cg_load_constant(e->cg, type, field);
}

static LLVMValueRef extent_element(ftc_emitter *e, size_t table, const ftc_extent_def *extent,
                                   LLVMTypeRef type) {
    LLVMValueRef base = ftc_emit_field(e, table, e->cg->ptr);
    int32_t i = ftc_interface_extent(e->interface, extent);
    return ftc_cg_load_constant(e->cg, type, ftc_cg_at(e->cg, type, base, ftc_cg_i64(e->cg, i)));
}

LLVMValueRef ftc_emit_offsets(ftc_emitter *e, ftc_axis ragged) {
    return extent_element(e, offsetof(ftc_step_args, offsets), ftc_axis_extent(e->g, ragged), e->cg->ptr);
}

LLVMValueRef ftc_emit_sequence_start(ftc_emitter *e, ftc_axis ragged, LLVMValueRef sequence) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef offsets = ftc_emit_offsets(e, ragged);
    LLVMValueRef start = ftc_cg_load_constant(cg, cg->i32, ftc_cg_at(cg, cg->i32, offsets, sequence));
    return LLVMBuildSExt(cg->builder, start, cg->i64, "");
}

LLVMValueRef ftc_emit_extent(ftc_emitter *e, ftc_axis axis, const ftc_env *env) {
    const ftc_extent_def *extent = ftc_axis_extent(e->g, axis);
    switch (extent->kind) {
    case FTC_EXTENT_CONST: return ftc_cg_i64(e->cg, extent->bound);
    case FTC_EXTENT_SYMBOL: return extent_element(e, offsetof(ftc_step_args, extents), extent, e->cg->i64);
    default: break;
    }
    LLVMValueRef sequence = env->index[extent->over];
    LLVMValueRef next = ftc_cg_add(e->cg, sequence, ftc_cg_i64(e->cg, 1));
    return ftc_cg_sub(e->cg, ftc_emit_sequence_start(e, axis, next),
                      ftc_emit_sequence_start(e, axis, sequence));
}

// Where the block of each element begins, in cells over `ragged`: the address of the table, whose numbers are
// of *type.
static LLVMValueRef block_table(ftc_emitter *e, const ftc_axes *ragged, LLVMTypeRef *type) {
    ftc_codegen *cg = e->cg;
    *type = ragged->n == 1 ? cg->i32 : cg->i64;
    if (ragged->n == 1) return ftc_emit_offsets(e, ragged->at[0]);
    LLVMValueRef tables = ftc_emit_field(e, offsetof(ftc_step_args, prefixes), cg->ptr);
    int32_t count = ftc_interface_count(e->interface, e->g, ragged);
    return ftc_cg_load_constant(cg, cg->ptr, ftc_cg_at(cg, cg->ptr, tables, ftc_cg_i64(cg, count)));
}

static LLVMValueRef block_start(ftc_emitter *e, const ftc_axes *ragged, LLVMValueRef element) {
    LLVMTypeRef type;
    LLVMValueRef table = block_table(e, ragged, &type);
    LLVMValueRef start = ftc_cg_load_constant(e->cg, type, ftc_cg_at(e->cg, type, table, element));
    return ragged->n == 1 ? LLVMBuildSExt(e->cg->builder, start, e->cg->i64, "") : start;
}

LLVMValueRef ftc_emit_total(ftc_emitter *e, const ftc_axes *axes) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef total = ftc_cg_i64(cg, 1);
    for (int i = 0; i < axes->n; i++) {
        ftc_axis axis = axes->at[i], over = ftc_axis_over(e->g, axis);
        ftc_env none = ftc_env_empty(e);
        LLVMValueRef size;
        if (over != FTC_NO_AXIS) {
            ftc_axes block = ftc_axes_over(e->g, axes, over);
            if (block.at[0] != axis) continue; // counted with the first
            size = block_start(e, &block, ftc_emit_extent(e, over, &none));
        } else if (ftc_axes_over(e->g, axes, axis).n) {
            continue; // counted by its ragged axes
        } else {
            size = ftc_emit_extent(e, axis, &none);
        }
        total = ftc_cg_mul(cg, total, size);
    }
    return total;
}

void ftc_emit_split(ftc_emitter *e, LLVMValueRef n, LLVMValueRef *begin, LLVMValueRef *end) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef next = ftc_cg_add(cg, e->thread, ftc_cg_i64(cg, 1));
    *begin = ftc_cg_div(cg, ftc_cg_mul(cg, n, e->thread), e->threads);
    *end = ftc_cg_div(cg, ftc_cg_mul(cg, n, next), e->threads);
}

LLVMValueRef ftc_emit_scratch(ftc_emitter *e, int64_t bytes) {
    LLVMValueRef at = ftc_cg_at(e->cg, e->cg->i8, e->scratch, ftc_cg_i64(e->cg, e->scratch_bytes));
    e->scratch_bytes += (bytes + FTC_STEP_SLACK_BYTES + FTC_STEP_ALIGN - 1) / FTC_STEP_ALIGN * FTC_STEP_ALIGN;
    return at;
}

// --- environments -------------------------------------------------------------------------------------

ftc_env ftc_env_empty(const ftc_emitter *e) {
    (void)e;
    return (ftc_env){.vector_axis = FTC_NO_AXIS, .indexed = FTC_NO_AXIS, .lanes = 1};
}

ftc_env ftc_env_first_lane(const ftc_env *env) {
    ftc_env scalar = *env;
    scalar.vector_axis = FTC_NO_AXIS;
    scalar.indexed = FTC_NO_AXIS;
    scalar.cols = (ftc_flat){0};
    scalar.lanes = 1;
    scalar.mask = NULL;
    return scalar;
}

// Binds `ragged`, which are ragged over one axis, and this axis to a cell of its blocks: advances *sequence
// to the block that has it. `again`: cells may begin anew.
static void bind_block(ftc_emitter *e, ftc_env *env, const ftc_axes *ragged, LLVMValueRef cell,
                       LLVMValueRef sequence, bool again) {
    ftc_codegen *cg = e->cg;
    if (again) {
        LLVMValueRef b = ftc_cg_load(cg, cg->i64, sequence);
        LLVMValueRef before = ftc_cg_compare(cg, LLVMIntSLT, cell, block_start(e, ragged, b));
        ftc_cg_store(cg, ftc_cg_select(cg, before, ftc_cg_i64(cg, 0), b), sequence);
    }
    LLVMBasicBlockRef head = LLVMAppendBasicBlockInContext(cg->context, cg->function, "sequence");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(cg->context, cg->function, "sequence.next");
    LLVMBasicBlockRef found = LLVMAppendBasicBlockInContext(cg->context, cg->function, "sequence.found");
    LLVMBuildBr(cg->builder, head);
    LLVMPositionBuilderAtEnd(cg->builder, head);
    LLVMValueRef b = ftc_cg_load(cg, cg->i64, sequence);
    LLVMValueRef next = ftc_cg_add(cg, b, ftc_cg_i64(cg, 1));
    LLVMValueRef past = ftc_cg_compare(cg, LLVMIntSGE, cell, block_start(e, ragged, next));
    LLVMBuildCondBr(cg->builder, past, body, found);
    LLVMPositionBuilderAtEnd(cg->builder, body);
    ftc_cg_store(cg, next, sequence);
    LLVMBuildBr(cg->builder, head);
    LLVMPositionBuilderAtEnd(cg->builder, found);
    env->index[ftc_axis_over(e->g, ragged->at[0])] = b;
    LLVMValueRef index = ftc_cg_sub(cg, cell, block_start(e, ragged, b));
    for (int i = ragged->n - 1; i > 0; i--) {
        LLVMValueRef length = ftc_emit_extent(e, ragged->at[i], env);
        env->index[ragged->at[i]] = ftc_cg_rem(cg, index, length);
        index = ftc_cg_div(cg, index, length);
    }
    env->index[ragged->at[0]] = index;
}

void ftc_emit_bind_rows(ftc_emitter *e, ftc_env *env, const ftc_axes *order, LLVMValueRef row,
                        LLVMValueRef sequence) {
    ftc_codegen *cg = e->cg;
    bool all_constant = order->n > 1 && ftc_region_constant_size(e->g, order) >= 0;
    if (all_constant) env->rows = (ftc_flat){*order, row};
    bool shared = false; // `sequence` serves other blocks, too
    for (int i = order->n - 1; i >= 0; i--) {
        ftc_axis axis = order->at[i], over = ftc_axis_over(e->g, axis);
        bool is_token = over != FTC_NO_AXIS; // the axis that it is ragged over stands before it
        ftc_axes ragged = is_token ? ftc_axes_over(e->g, order, over) : (ftc_axes){0};
        int first = i - ragged.n;
        LLVMValueRef index = row;
        if (first > 0) {
            LLVMValueRef size = is_token ? ftc_emit_total(e, &ragged) : ftc_emit_extent(e, axis, env);
            index = ftc_cg_rem(cg, row, size);
            row = ftc_cg_div(cg, row, size);
        }
        if (is_token)
            bind_block(e, env, &ragged, index, sequence, first > 0 || shared);
        else
            env->index[axis] = index;
        shared |= is_token;
        i = first;
    }
}

// --- addresses ----------------------------------------------------------------------------------------

static bool group_covers(const ftc_flat *group, ftc_axis axis) {
    return group->axes.n > 1 && group->index && ftc_axes_has(&group->axes, axis);
}

// Whether `order` holds all of the group side by side, the last one at position i.
static bool group_ends_at(const ftc_flat *group, const ftc_axes *order, int i) {
    int first = i + 1 - group->axes.n;
    if (first < 0) return false;
    for (int j = 0; j < group->axes.n; j++)
        if (order->at[first + j] != group->axes.at[j]) return false;
    return true;
}

static LLVMValueRef bound_index(const ftc_emitter *e, const ftc_env *env, ftc_axis axis) {
    if (env->index[axis]) return env->index[axis];
    ftc_fault("axis %s is not bound in kernel %s", e->g->axes[axis].name, e->g->kernels[e->kernel].name);
}

LLVMValueRef ftc_emit_stride(ftc_emitter *e, const ftc_axes *order, ftc_axis axis, const ftc_env *env) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef stride = ftc_cg_i64(cg, 1);
    int at = ftc_axes_find(order, axis);
    if (at < 0) return ftc_cg_i64(cg, 0);
    for (int i = order->n - 1; i > at; i--) {
        ftc_axis inner = order->at[i], over = ftc_axis_over(e->g, inner);
        ftc_axes blocks = ftc_axes_over(e->g, order, inner);
        if (over != FTC_NO_AXIS && ftc_axes_find(order, over) > at) continue; // counted with all blocks
        stride = ftc_cg_mul(cg, stride,
                            blocks.n ? block_start(e, &blocks, ftc_emit_extent(e, inner, env))
                                     : ftc_emit_extent(e, inner, env));
    }
    return stride;
}

// block_start for lanes that run over the axis that others are ragged over; i64 vector.
static LLVMValueRef block_starts(ftc_emitter *e, const ftc_axes *ragged, LLVMValueRef first,
                                 const ftc_env *env) {
    ftc_codegen *cg = e->cg;
    LLVMTypeRef element, wide = ftc_cg_vector_type(cg, cg->i64, env->lanes);
    LLVMValueRef table = block_table(e, ragged, &element), at = ftc_cg_at(cg, element, table, first);
    LLVMTypeRef type = ftc_cg_vector_type(cg, element, env->lanes);
    LLVMValueRef starts = env->mask ? ftc_cg_load_masked(cg, type, at, env->mask) : ftc_cg_load(cg, type, at);
    return ragged->n == 1 ? LLVMBuildSExt(cg->builder, starts, wide, "") : starts;
}

// *offsets += positions * stride, lane by lane.
static void add_lane_offsets(ftc_emitter *e, LLVMValueRef *offsets, LLVMValueRef positions,
                             LLVMValueRef stride) {
    ftc_codegen *cg = e->cg;
    int lanes = ftc_cg_lanes_of(LLVMTypeOf(positions));
    LLVMValueRef more = LLVMBuildMul(cg->builder, positions, ftc_cg_splat(cg, stride, lanes), "");
    *offsets = *offsets ? LLVMBuildAdd(cg->builder, *offsets, more, "") : more;
}

// The axes that say where a cell is.
static ftc_axes stored_order(const ftc_emitter *e, ftc_id id) {
    if (e->storage[id].kind != FTC_STORED_STEP) return ftc_region_memory_order(e->g, id);
    const ftc_kernel *kernel = &e->g->kernels[e->kernel];
    ftc_axes order = ftc_axes_packed_order(e->g, &e->g->nodes[id].type.axes),
             block = ftc_axes_of(kernel->block);
    order = ftc_axes_minus(&order, &kernel->rows);
    return ftc_axes_minus(&order, &block);
}

LLVMValueRef ftc_emit_address(ftc_emitter *e, ftc_id id, const ftc_env *env, LLVMValueRef *lane_stride,
                              LLVMValueRef *lane_offsets) {
    ftc_codegen *cg = e->cg;
    const ftc_storage *storage = &e->storage[id];
    ftc_axes order = stored_order(e, id);
    LLVMTypeRef type = ftc_emit_stored_type(e, e->g->nodes[id].type.dtype);
    *lane_stride = *lane_offsets = NULL;
    if (storage->kind == FTC_STORED_LOCAL) {
        LLVMValueRef offset =
            env->block_row ? ftc_cg_mul(cg, env->block_row, storage->ld) : ftc_cg_i64(cg, 0);
        if (!ftc_emit_is_uniform(e, id, env)) {
            offset = ftc_cg_add(cg, offset, env->local_col);
            *lane_stride = ftc_cg_i64(cg, 1);
        }
        return ftc_cg_at(cg, type, storage->base, offset);
    }
    // `stride` is the distance along the axis at hand; `plain` is what lies behind it without ragged axes: a
    // block has as many times its ragged cells.
    LLVMValueRef offset = ftc_cg_i64(cg, 0), stride = ftc_cg_i64(cg, 1), plain = stride;
    if (storage->kind == FTC_STORED_STEP) offset = ftc_cg_mul(cg, env->block_row, storage->ld);
    for (int i = order.n - 1; i >= 0; i--) {
        ftc_axis axis = order.at[i], over = ftc_axis_over(e->g, axis);
        const ftc_flat *group = group_covers(&env->cols, axis)   ? &env->cols
                                : group_covers(&env->rows, axis) ? &env->rows
                                                                 : NULL;
        if (group && group_ends_at(group, &order, i)) {
            offset = ftc_cg_add(cg, offset, ftc_cg_mul(cg, group->index, stride));
            if (group == &env->cols) *lane_stride = stride;
            LLVMValueRef size = ftc_cg_i64(cg, ftc_region_constant_size(e->g, &group->axes));
            stride = ftc_cg_mul(cg, stride, size);
            plain = ftc_cg_mul(cg, plain, size);
            i -= group->axes.n - 1;
            continue;
        }
        ftc_axes blocks = ftc_axes_over(e->g, &order, over == FTC_NO_AXIS ? axis : over);
        bool is_parent = over == FTC_NO_AXIS && blocks.n,
             in_lanes = env->lanes > 1 && env->vector_axis == axis;
        // One row for each token: the ragged axis lies right behind the one that it is ragged over.
        bool is_row = over != FTC_NO_AXIS && blocks.n == 1 && i > 0 && order.at[i - 1] == over;
        if (is_row) in_lanes = env->lanes > 1 && env->vector_axis == over;
        LLVMValueRef index = ftc_cg_i64(cg, 0);
        if (env->indexed == axis) {
            LLVMValueRef wide =
                LLVMBuildSExt(cg->builder, env->lane_index, ftc_cg_vector_type(cg, cg->i64, env->lanes), "");
            add_lane_offsets(e, lane_offsets, wide, stride);
        } else {
            index = bound_index(e, env, axis);
        }
        if (is_row || is_parent) {
            LLVMValueRef element = bound_index(e, env, is_row ? over : axis);
            if (in_lanes) add_lane_offsets(e, lane_offsets, block_starts(e, &blocks, element, env), plain);
            LLVMValueRef start = in_lanes ? ftc_cg_i64(cg, 0) : block_start(e, &blocks, element);
            index = is_row ? ftc_cg_add(cg, index, start) : start;
        }
        offset = ftc_cg_add(cg, offset, ftc_cg_mul(cg, index, is_parent ? plain : stride));
        if (env->vector_axis == axis && !is_parent) *lane_stride = stride;
        i -= is_row;
        if (i == 0) break;
        LLVMValueRef size = is_row || is_parent
                                ? block_start(e, &blocks, ftc_emit_extent(e, is_row ? over : axis, env))
                                : ftc_emit_extent(e, axis, env);
        stride = ftc_cg_mul(cg, is_parent ? plain : stride, size);
        if (is_row || is_parent)
            plain = stride;
        else if (over == FTC_NO_AXIS)
            plain = ftc_cg_mul(cg, plain, size);
    }
    return ftc_cg_at(cg, type, storage->base, offset);
}

// --- loads and stores ---------------------------------------------------------------------------------

LLVMTypeRef ftc_emit_stored_type(ftc_emitter *e, ftc_dtype dtype) {
    switch (dtype) {
    case FTC_F32: return e->cg->f32;
    case FTC_BF16: return e->cg->i16;
    case FTC_BOOL: return e->cg->i8;
    default: return e->cg->i32;
    }
}

// From the form in memory to the form in registers: f32, i32 or i1.
static LLVMValueRef from_stored(ftc_emitter *e, ftc_dtype dtype, LLVMValueRef v) {
    ftc_codegen *cg = e->cg;
    int lanes = ftc_cg_lanes_of(LLVMTypeOf(v));
    if (dtype == FTC_BF16) return ftc_cg_f32_from_bf16(cg, v);
    if (dtype == FTC_BOOL) return LLVMBuildTrunc(cg->builder, v, ftc_cg_vector_type(cg, cg->i1, lanes), "");
    return v;
}

static LLVMValueRef to_stored(ftc_emitter *e, ftc_dtype dtype, LLVMValueRef v) {
    ftc_codegen *cg = e->cg;
    int lanes = ftc_cg_lanes_of(LLVMTypeOf(v));
    if (dtype == FTC_BF16) { // it is rounded: what makes it did that
        LLVMValueRef bits = LLVMBuildBitCast(cg->builder, v, ftc_cg_vector_type(cg, cg->i32, lanes), "");
        bits = LLVMBuildLShr(cg->builder, bits, ftc_cg_splat(cg, ftc_cg_i32(cg, 16), lanes), "");
        return LLVMBuildTrunc(cg->builder, bits, ftc_cg_vector_type(cg, cg->i16, lanes), "");
    }
    if (dtype == FTC_BOOL) return LLVMBuildZExt(cg->builder, v, ftc_cg_vector_type(cg, cg->i8, lanes), "");
    return v;
}

static bool is_one(LLVMValueRef stride) {
    return LLVMIsAConstantInt(stride) && LLVMConstIntGetSExtValue(stride) == 1;
}

// Addresses of all lanes, for accesses that are not contiguous.
static LLVMValueRef lane_addresses(ftc_emitter *e, LLVMTypeRef type, LLVMValueRef address,
                                   LLVMValueRef lane_stride, LLVMValueRef lane_offsets, int lanes) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef offsets = lane_offsets;
    if (lane_stride) {
        LLVMValueRef steps = LLVMBuildMul(cg->builder, ftc_cg_iota(cg, ftc_cg_i64(cg, 0), lanes),
                                          ftc_cg_splat(cg, lane_stride, lanes), "");
        offsets = offsets ? LLVMBuildAdd(cg->builder, offsets, steps, "") : steps;
    }
    return LLVMBuildGEP2(cg->builder, type, address, &offsets, 1, "");
}

static LLVMValueRef full_mask(ftc_emitter *e, const ftc_env *env) {
    return env->mask ? env->mask : ftc_cg_splat(e->cg, ftc_cg_bool(e->cg, true), env->lanes);
}

LLVMValueRef ftc_emit_load(ftc_emitter *e, ftc_id id, const ftc_env *env) {
    ftc_codegen *cg = e->cg;
    ftc_dtype dtype = e->g->nodes[id].type.dtype;
    LLVMTypeRef type = ftc_emit_stored_type(e, dtype);
    LLVMValueRef lane_stride, lane_offsets;
    LLVMValueRef address = ftc_emit_address(e, id, env, &lane_stride, &lane_offsets);
    if (env->lanes == 1 || (!lane_stride && !lane_offsets))
        return from_stored(e, dtype, ftc_cg_load(cg, type, address));
    LLVMTypeRef vector = ftc_cg_vector_type(cg, type, env->lanes);
    if (!lane_offsets && is_one(lane_stride))
        return from_stored(e, dtype,
                           env->reads_mask_alone ? ftc_cg_load_masked(cg, vector, address, env->mask)
                                                 : ftc_cg_load_overhanging(cg, vector, address, env->mask));
    LLVMValueRef addresses = lane_addresses(e, type, address, lane_stride, lane_offsets, env->lanes);
    LLVMTypeRef types[] = {vector, LLVMTypeOf(addresses)};
    LLVMValueRef args[] = {addresses, ftc_cg_i32(cg, ftc_dtype_bytes(dtype)), full_mask(e, env),
                           LLVMConstNull(vector)};
    return from_stored(e, dtype, ftc_cg_intrinsic(cg, "llvm.masked.gather", types, 2, args, 4));
}

void ftc_emit_store(ftc_emitter *e, ftc_id id, LLVMValueRef value, const ftc_env *env) {
    ftc_codegen *cg = e->cg;
    ftc_dtype dtype = e->g->nodes[id].type.dtype;
    LLVMTypeRef type = ftc_emit_stored_type(e, dtype);
    value = to_stored(e, dtype, value);
    LLVMValueRef lane_stride, lane_offsets;
    LLVMValueRef address = ftc_emit_address(e, id, env, &lane_stride, &lane_offsets);
    if (env->lanes == 1 || (!lane_stride && !lane_offsets)) {
        ftc_cg_store(cg, value, address);
    } else if (!lane_offsets && is_one(lane_stride)) {
        if (env->mask)
            ftc_cg_store_masked(cg, value, address, env->mask);
        else
            ftc_cg_store(cg, value, address);
    } else {
        LLVMValueRef addresses = lane_addresses(e, type, address, lane_stride, lane_offsets, env->lanes);
        LLVMTypeRef types[] = {LLVMTypeOf(value), LLVMTypeOf(addresses)};
        LLVMValueRef args[] = {value, addresses, ftc_cg_i32(cg, ftc_dtype_bytes(dtype)), full_mask(e, env)};
        ftc_cg_intrinsic(cg, "llvm.masked.scatter", types, 2, args, 4);
    }
}

// --- values -------------------------------------------------------------------------------------------

ftc_values ftc_values_new(const ftc_emitter *e) {
    return (ftc_values){.uniform = ftc_alloc(e->g->n_nodes, sizeof(LLVMValueRef)),
                        .vector = ftc_alloc(e->g->n_nodes, sizeof(LLVMValueRef))};
}

void ftc_values_clear_vectors(const ftc_emitter *e, ftc_values *v) {
    memset(v->vector, 0, e->g->n_nodes * sizeof *v->vector);
}

void ftc_values_free(ftc_values *v) {
    free(v->uniform);
    free(v->vector);
}

bool ftc_emit_is_uniform(const ftc_emitter *e, ftc_id id, const ftc_env *env) {
    const ftc_axes *axes = &e->g->nodes[id].type.axes;
    if (env->lanes == 1 && env->vector_axis == FTC_NO_AXIS && env->cols.axes.n == 0) return true;
    if (env->vector_axis != FTC_NO_AXIS && ftc_axes_has(axes, env->vector_axis)) return false;
    if (env->indexed != FTC_NO_AXIS && ftc_axes_has(axes, env->indexed)) return false;
    for (int i = 0; i < env->cols.axes.n; i++)
        if (ftc_axes_has(axes, env->cols.axes.at[i])) return false;
    return true;
}

// The mixing step of the key of a row of random numbers (ir/base/random.h): the finalizer of splitmix64.
static LLVMValueRef mix_key(ftc_emitter *e, LLVMValueRef key, LLVMValueRef word) {
    ftc_codegen *cg = e->cg;
    LLVMBuilderRef b = cg->builder;
    LLVMValueRef x = LLVMBuildAdd(b, word, LLVMConstInt(cg->i64, 0x9E3779B97F4A7C15ull, 0), "");
    x = LLVMBuildXor(b, key, x, "");
    x = LLVMBuildXor(b, x, LLVMBuildLShr(b, x, ftc_cg_i64(cg, 30), ""), "");
    x = LLVMBuildMul(b, x, LLVMConstInt(cg->i64, 0xbf58476d1ce4e5b9ull, 0), "");
    x = LLVMBuildXor(b, x, LLVMBuildLShr(b, x, ftc_cg_i64(cg, 27), ""), "");
    x = LLVMBuildMul(b, x, LLVMConstInt(cg->i64, 0x94d049bb133111ebull, 0), "");
    return LLVMBuildXor(b, x, LLVMBuildLShr(b, x, ftc_cg_i64(cg, 31), ""), "");
}

LLVMValueRef ftc_emit_random_key(ftc_emitter *e, LLVMValueRef site) {
    LLVMValueRef key = ftc_emit_field(e, offsetof(ftc_step_args, seed), e->cg->i64);
    LLVMValueRef step = ftc_emit_field(e, offsetof(ftc_step_args, step), e->cg->i32);
    LLVMValueRef micro_step = ftc_emit_field(e, offsetof(ftc_step_args, micro_step), e->cg->i32);
    key = mix_key(e, key, LLVMBuildZExt(e->cg->builder, step, e->cg->i64, ""));
    key = mix_key(e, key, LLVMBuildZExt(e->cg->builder, micro_step, e->cg->i64, ""));
    return mix_key(e, key, site);
}

// The position on an axis that random numbers are a function of: on a batch-like axis, the place in the
// global batch.
static LLVMValueRef random_coordinate(ftc_emitter *e, const ftc_env *env, ftc_axis axis) {
    LLVMValueRef index = bound_index(e, env, axis);
    const ftc_extent_def *extent = ftc_axis_extent(e->g, axis);
    if (extent->kind != FTC_EXTENT_SYMBOL) return index;
    return ftc_cg_add(e->cg, index,
                      extent_element(e, offsetof(ftc_step_args, first_slots), extent, e->cg->i64));
}

static LLVMValueRef random_value(ftc_emitter *e, ftc_id id, const ftc_env *env) {
    ftc_codegen *cg = e->cg;
    const ftc_axes *axes = &e->g->nodes[id].axes;
    int last = axes->n - 1;
    bool indexed = env->indexed != FTC_NO_AXIS;
    if (env->lanes > 1 &&
        (indexed || last < 0 || env->vector_axis != axes->at[last] || env->cols.axes.n > 1)) {
        // The lanes run over another axis than the last coordinate: one lane at a time.
        LLVMValueRef result = LLVMGetUndef(ftc_cg_vector_type(cg, cg->f32, env->lanes));
        for (int lane = 0; lane < env->lanes; lane++) {
            ftc_env one = ftc_env_first_lane(env);
            LLVMValueRef at = ftc_cg_i32(cg, lane);
            if (env->vector_axis != FTC_NO_AXIS)
                one.index[env->vector_axis] =
                    ftc_cg_add(cg, env->index[env->vector_axis], ftc_cg_i64(cg, lane));
            if (indexed)
                one.index[env->indexed] = LLVMBuildSExt(
                    cg->builder, LLVMBuildExtractElement(cg->builder, env->lane_index, at, ""), cg->i64, "");
            result = LLVMBuildInsertElement(cg->builder, result, random_value(e, id, &one), at, "");
        }
        return result;
    }
    LLVMValueRef key = e->site[id];
    for (int i = 0; i < last; i++) key = mix_key(e, key, random_coordinate(e, env, axes->at[i]));
    LLVMValueRef k0 = LLVMBuildTrunc(cg->builder, key, cg->i32, "");
    LLVMValueRef k1 =
        LLVMBuildTrunc(cg->builder, LLVMBuildLShr(cg->builder, key, ftc_cg_i64(cg, 32), ""), cg->i32, "");
    LLVMValueRef j = ftc_cg_i32(cg, 0), factor = ftc_cg_i32(cg, (int32_t)0x9E3779B1u);
    if (last >= 0) j = LLVMBuildTrunc(cg->builder, random_coordinate(e, env, axes->at[last]), cg->i32, "");
    int n = env->lanes;
    ftc_scalar_builder b = ftc_codegen_scalar_builder(cg, n);
    // The first lane's by an integer unit, which has nothing else to do.
    ftc_scalar x = LLVMBuildAdd(cg->builder, LLVMBuildMul(cg->builder, j, factor, ""), k0, "");
    if (n > 1) {
        LLVMValueRef lanes = ftc_cg_iota(cg, ftc_cg_i32(cg, 0), n);
        x = b.iadd(&b, ftc_cg_splat(cg, x, n), b.imul(&b, lanes, ftc_cg_splat(cg, factor, n)));
    }
    x = b.ixor(&b, x, b.lshr(&b, x, b.const_i32(&b, 16)));
    x = b.imul(&b, x, b.const_i32(&b, 0x21f0aaad));
    x = b.ixor(&b, x, b.lshr(&b, x, b.const_i32(&b, 15)));
    x = b.imul(&b, b.iadd(&b, x, ftc_cg_splat(cg, k1, n)), b.const_i32(&b, 0x735a2d97));
    x = b.ixor(&b, x, b.lshr(&b, x, b.const_i32(&b, 15)));
    x = b.f32_from_i32(&b, b.lshr(&b, x, b.const_i32(&b, 8)));
    return b.fmul(&b, x, b.const_f32(&b, 0x1p-24f));
}

static LLVMValueRef constant(ftc_emitter *e, ftc_dtype dtype, double value, int lanes) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef v = ftc_dtype_is_float(dtype) ? ftc_cg_f32(cg, (float)value)
                     : dtype == FTC_BOOL       ? ftc_cg_bool(cg, value != 0)
                                               : ftc_cg_i32(cg, (int32_t)(int64_t)value);
    if (dtype == FTC_BF16) v = ftc_cg_f32_from_bf16(cg, ftc_cg_bf16_from_f32(cg, v));
    return ftc_cg_splat(cg, v, lanes);
}

// The coordinate on `axis` of each lane, i32.
static LLVMValueRef coordinate(ftc_emitter *e, ftc_axis axis, const ftc_env *env, int lanes) {
    ftc_codegen *cg = e->cg;
    if (lanes > 1 && env->indexed == axis) return env->lane_index;
    LLVMValueRef first = LLVMBuildTrunc(cg->builder, bound_index(e, env, axis), cg->i32, "");
    if (lanes == 1) return first;
    return env->vector_axis == axis ? ftc_cg_iota(cg, first, lanes) : ftc_cg_splat(cg, first, lanes);
}

static LLVMValueRef source_value(ftc_emitter *e, ftc_id id, const ftc_env *env, int lanes) {
    const ftc_node *node = &e->g->nodes[id];
    uint32_t attrs = ftc_op_get(node->op)->attrs;
    if (attrs & FTC_ATTR_VALUE) return constant(e, node->type.dtype, node->value, lanes);
    if (attrs & FTC_ATTR_AXIS) return coordinate(e, node->axis, env, lanes);
    return random_value(e, id, env);
}

static LLVMValueRef map_value(ftc_emitter *e, ftc_id id, const ftc_env *env, int lanes, ftc_values *values) {
    const ftc_node *node = &e->g->nodes[id];
    const ftc_op_info *info = ftc_op_get(node->op);
    ftc_scalar x[FTC_MAX_ARGS];
    for (int i = 0; i < node->n_args; i++) {
        LLVMValueRef v = ftc_emit_value(e, node->arg[i], env, values);
        x[i] = lanes > 1 && ftc_cg_lanes_of(LLVMTypeOf(v)) == 1 ? ftc_cg_splat(e->cg, v, lanes) : v;
    }
    ftc_map_types types = ftc_node_map_types(e->g, node);
    ftc_scalar_builder b = ftc_codegen_scalar_builder(e->cg, lanes);
    return info->body(&b, &types, x);
}

// The same place but for the position on one axis.
static ftc_env moved_env(const ftc_env *env, ftc_axis axis, LLVMValueRef index) {
    ftc_env moved = *env;
    moved.index[axis] = index;
    // Its flat index is that of the old position.
    if (group_covers(&env->rows, axis)) moved.rows = (ftc_flat){0};
    return moved;
}

// Cells of the table side by side, where the indices of the lanes are; NULL: they are not.
static LLVMValueRef gather_run(ftc_emitter *e, const ftc_node *gather, const ftc_env *env) {
    double slope;
    if (env->lanes == 1 || env->vector_axis == FTC_NO_AXIS || env->indexed != FTC_NO_AXIS) return NULL;
    if (ftc_axes_has(&e->g->nodes[gather->arg[0]].type.axes, env->vector_axis)) return NULL;
    if (!ftc_region_slope(e->g, gather->arg[1], env->vector_axis, &slope) || slope != 1) return NULL;
    ftc_env first = ftc_env_first_lane(env), run = moved_env(env, gather->axis, NULL);
    LLVMValueRef index = ftc_emit_value(e, gather->arg[1], &first, NULL);
    run.index[gather->axis] = LLVMBuildSExt(e->cg->builder, index, e->cg->i64, "");
    run.vector_axis = gather->axis;
    return ftc_emit_value(e, gather->arg[0], &run, NULL);
}

static LLVMValueRef gather_value(ftc_emitter *e, ftc_id id, const ftc_env *env, ftc_values *values) {
    const ftc_node *node = &e->g->nodes[id];
    LLVMValueRef run = gather_run(e, node, env);
    if (run) return run;
    LLVMValueRef index = ftc_emit_value(e, node->arg[1], env, values);
    ftc_env at = moved_env(env, node->axis, NULL);
    if (ftc_cg_lanes_of(LLVMTypeOf(index)) == 1) {
        at.index[node->axis] = LLVMBuildSExt(e->cg->builder, index, e->cg->i64, "");
    } else {
        if (env->mask) index = ftc_cg_select(e->cg, env->mask, index, LLVMConstNull(LLVMTypeOf(index)));
        at.lane_index = index;
        at.indexed = node->axis;
    }
    return ftc_emit_value(e, node->arg[0], &at, NULL);
}

// Where the axis is in lanes, each reads its own cell, or none; else all read the same one.
static LLVMValueRef shift_value(ftc_emitter *e, const ftc_node *node, const ftc_env *env, int lanes) {
    ftc_codegen *cg = e->cg;
    ftc_scalar_builder b = ftc_codegen_scalar_builder(cg, lanes);
    bool in_lanes = lanes > 1 && (env->vector_axis == node->to || env->indexed == node->to);
    LLVMValueRef by = ftc_cg_i32(cg, (int32_t)node->index), count = ftc_emit_extent(e, node->axis, env);
    LLVMValueRef position = coordinate(e, node->to, env, lanes);
    position = LLVMBuildSub(cg->builder, position, ftc_cg_splat(cg, by, lanes), "");
    count = ftc_cg_splat(cg, LLVMBuildTrunc(cg->builder, count, cg->i32, ""), lanes);
    // As unsigned numbers, those below 0 are the largest.
    LLVMValueRef inside = LLVMBuildICmp(cg->builder, LLVMIntULT, position, count, "");
    ftc_env moved = moved_env(env, node->axis, NULL);
    bool is_whole = ftc_region_is_part(e->g, node); // no cell is missing
    if (in_lanes) {
        if (env->indexed != node->to)
            moved.index[node->axis] = ftc_cg_sub(cg, env->index[node->to], ftc_cg_i64(cg, node->index));
        if (env->indexed == node->to)
            moved.lane_index = ftc_cg_select(cg, inside, position, LLVMConstNull(LLVMTypeOf(position)));
        if (env->vector_axis == node->to) moved.vector_axis = node->axis;
        if (env->indexed == node->to) moved.indexed = node->axis;
        if (!is_whole) moved.mask = env->mask ? LLVMBuildAnd(cg->builder, env->mask, inside, "") : inside;
        moved.reads_mask_alone |= !is_whole;
    } else {
        LLVMValueRef at = ftc_cg_sub(cg, bound_index(e, env, node->to), ftc_cg_i64(cg, node->index));
        LLVMValueRef is_there = ftc_cg_compare(cg, LLVMIntULT, at, ftc_emit_extent(e, node->axis, env));
        moved.index[node->axis] = ftc_cg_select(cg, is_there, at, ftc_cg_i64(cg, 0));
    }
    LLVMValueRef inner = ftc_emit_value(e, node->arg[0], &moved, NULL);
    if (is_whole) return inner;
    if (lanes > 1 && ftc_cg_lanes_of(LLVMTypeOf(inner)) == 1) inner = ftc_cg_splat(cg, inner, lanes);
    return b.select(&b, inside, inner, constant(e, node->type.dtype, 0, lanes));
}

// What the scan has in memory at the position that was computed before.
static LLVMValueRef state_value(ftc_emitter *e, ftc_id id, const ftc_env *env, int lanes,
                                ftc_values *values) {
    ftc_codegen *cg = e->cg;
    const ftc_node *node = &e->g->nodes[id];
    const bool from_end = ftc_op_get(node->op)->from_end;
    ftc_id scan = id + 1;
    while (ftc_node_class(&e->g->nodes[scan]) != FTC_CLASS_SCAN || e->g->nodes[scan].arg[0] != id) scan++;
    LLVMValueRef one = ftc_cg_i64(cg, 1), position = bound_index(e, env, node->axis);
    LLVMValueRef begin =
        from_end ? ftc_cg_sub(cg, ftc_emit_extent(e, node->axis, env), one) : ftc_cg_i64(cg, 0);
    LLVMValueRef is_first = ftc_cg_compare(cg, LLVMIntEQ, position, begin);
    LLVMValueRef last = from_end ? ftc_cg_add(cg, position, one) : ftc_cg_sub(cg, position, one);
    ftc_env moved = moved_env(env, node->axis, ftc_cg_select(cg, is_first, position, last));
    LLVMValueRef before = ftc_emit_load(e, scan, &moved),
                 initial = ftc_emit_value(e, node->arg[0], env, values);
    if (lanes > 1 && ftc_cg_lanes_of(LLVMTypeOf(initial)) == 1) initial = ftc_cg_splat(cg, initial, lanes);
    return ftc_cg_select(cg, is_first, initial, before);
}

static LLVMValueRef compute(ftc_emitter *e, ftc_id id, const ftc_env *env, int lanes, ftc_values *values) {
    ftc_codegen *cg = e->cg;
    const ftc_node *node = &e->g->nodes[id];
    switch (ftc_node_class(node)) {
    case FTC_CLASS_SOURCE: return source_value(e, id, env, lanes);
    case FTC_CLASS_MAP: return map_value(e, id, env, lanes, values);
    case FTC_CLASS_ASSIGN:
    case FTC_CLASS_DETACH: return ftc_emit_value(e, node->arg[0], env, values);
    case FTC_CLASS_GATHER: return gather_value(e, id, env, values);
    case FTC_CLASS_RENAME: {
        ftc_env renamed = moved_env(env, node->axis, env->index[node->to]);
        if (env->vector_axis == node->to) renamed.vector_axis = node->axis;
        if (env->indexed == node->to) renamed.indexed = node->axis;
        return ftc_emit_value(e, node->arg[0], &renamed, NULL);
    }
    case FTC_CLASS_AT: {
        ftc_env at = moved_env(env, node->axis, ftc_cg_i64(cg, node->index));
        return ftc_emit_value(e, node->arg[0], &at, NULL);
    }
    case FTC_CLASS_SHIFT: return shift_value(e, node, env, lanes);
    case FTC_CLASS_BEFORE: return state_value(e, id, env, lanes, values);
    case FTC_CLASS_SCAN: return ftc_emit_value(e, node->arg[1], env, values);
    case FTC_CLASS_PLACE: {
        LLVMValueRef inner = ftc_emit_value(e, node->arg[0], env, values);
        if (lanes > 1 && ftc_cg_lanes_of(LLVMTypeOf(inner)) == 1) inner = ftc_cg_splat(cg, inner, lanes);
        ftc_scalar_builder b = ftc_codegen_scalar_builder(cg, lanes);
        LLVMValueRef here = coordinate(e, node->axis, env, lanes);
        LLVMValueRef there = ftc_cg_splat(cg, ftc_cg_i32(cg, (int32_t)node->index), lanes);
        return b.select(&b, b.icmp(&b, FTC_EQ, here, there), inner, constant(e, node->type.dtype, 0, lanes));
    }
    default: break;
    }
    ftc_fault("%%%u (%s) has no value in kernel %s", id, ftc_op_get(node->op)->name,
              e->g->kernels[e->kernel].name);
}

LLVMValueRef ftc_emit_value(ftc_emitter *e, ftc_id id, const ftc_env *env, ftc_values *values) {
    if (values && values->uniform[id]) return values->uniform[id];
    if (values && values->vector[id]) return values->vector[id];
    bool uniform = ftc_emit_is_uniform(e, id, env);
    ftc_env scalar;
    if (uniform && env->lanes > 1) {
        scalar = ftc_env_first_lane(env);
        env = &scalar;
    }
    LLVMValueRef v;
    if (e->ready[id])
        v = ftc_emit_load(e, id, env);
    else
        v = compute(e, id, env, env->lanes, values);
    if (values) (values->in_loop ? values->vector : values->uniform)[id] = v;
    return v;
}
