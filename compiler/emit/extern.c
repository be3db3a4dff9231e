// extern: calls a kernel that is not the compiler's (ir/ftc_kernel.h).
//
// Its nodes are results of one call; their operands are in memory, or numbers. The arguments are filled in on
// the stack of each thread.
#include "compiler/emit/emit.h"

#include <stddef.h>
#include <stdio.h>

#include "compiler/passes/regions.h"
#include "ir/ftc_kernel.h"
#include "ir/op.h"

static void set(ftc_emitter *e, LLVMValueRef base, size_t offset, LLVMValueRef value) {
    ftc_cg_store(e->cg, value, ftc_cg_at(e->cg, e->cg->i8, base, ftc_cg_i64(e->cg, (int64_t)offset)));
}

static void set_i32(ftc_emitter *e, LLVMValueRef base, size_t offset, int64_t value) {
    set(e, base, offset, ftc_cg_i32(e->cg, (int32_t)value));
}

// The axis of the node's source that is called `axis` at the node.
static ftc_axis source_axis(const ftc_graph *g, ftc_id id, ftc_axis axis) {
    for (ftc_id source = ftc_region_source(g, id); id != source; id = g->nodes[id].arg[0])
        if (ftc_node_class(&g->nodes[id]) == FTC_CLASS_RENAME && g->nodes[id].to == axis)
            axis = g->nodes[id].axis;
    return axis;
}

// Elements from a position on the axis at `at` of the order to the next; NULL where that depends on the
// element.
static LLVMValueRef stride_of(ftc_emitter *e, const ftc_axes *order, int at) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef stride = ftc_cg_i64(cg, 1);
    const ftc_env none = ftc_env_empty(e);
    for (int i = order->n - 1; i > at; i--) {
        ftc_axis inner = order->at[i], over = ftc_axis_over(e->g, inner);
        ftc_axes blocks = ftc_axes_over(e->g, order, inner);
        if (over != FTC_NO_AXIS && ftc_axes_find(order, over) < at) return NULL;
        if (over != FTC_NO_AXIS) continue; // counted with the axis that it is ragged over, or by its offsets
        if (blocks.n) ftc_axes_add(&blocks, inner);
        LLVMValueRef n = blocks.n ? ftc_emit_total(e, &blocks) : ftc_emit_extent(e, inner, &none);
        stride = ftc_cg_mul(cg, stride, n);
    }
    return stride;
}

static bool fill_axis(ftc_emitter *e, LLVMValueRef base, const ftc_axes *order, ftc_axis axis) {
    const ftc_graph *g = e->g;
    const ftc_env none = ftc_env_empty(e);
    ftc_axis over = ftc_axis_over(g, axis);
    ftc_axes blocks = ftc_axes_over(g, order, axis), pair = ftc_axes_of(over);
    if (over != FTC_NO_AXIS) ftc_axes_add(&pair, axis);
    LLVMValueRef stride = stride_of(e, order, ftc_axes_find(order, axis));
    if (!stride || blocks.n > 1) return false;
    set(e, base, offsetof(ftc_kernel_axis, size),
        over != FTC_NO_AXIS ? ftc_emit_total(e, &pair) : ftc_emit_extent(e, axis, &none));
    set(e, base, offsetof(ftc_kernel_axis, stride), stride);
    LLVMValueRef offsets = over != FTC_NO_AXIS ? ftc_emit_offsets(e, axis)
                           : blocks.n          ? ftc_emit_offsets(e, blocks.at[0])
                                               : LLVMConstNull(e->cg->ptr);
    set(e, base, offsetof(ftc_kernel_axis, offsets), offsets);
    set_i32(e, base, offsetof(ftc_kernel_axis, is_ragged), over != FTC_NO_AXIS);
    set_i32(e, base, offsetof(ftc_kernel_axis, is_batch), blocks.n > 0);
    return true;
}

static LLVMValueRef address_of(ftc_emitter *e, ftc_id source) {
    const ftc_node *node = &e->g->nodes[source];
    if (e->storage[source].kind == FTC_STORED_MEMORY) return e->storage[source].base;
    LLVMValueRef number = LLVMAddGlobal(e->cg->module, e->cg->f32, "number");
    LLVMSetInitializer(number, ftc_cg_f32(e->cg, (float)node->value));
    LLVMSetGlobalConstant(number, 1);
    LLVMSetLinkage(number, LLVMInternalLinkage);
    return number;
}

// Describes value `id`, an operand or a result of `call`.
static void fill_tensor(ftc_emitter *e, LLVMValueRef base, const ftc_node *call, ftc_id id) {
    const ftc_graph *g = e->g;
    const ftc_node *node = &g->nodes[id];
    ftc_id source = ftc_region_source(g, id);
    ftc_axes order = ftc_region_memory_order(g, source), packed = ftc_axes_packed_order(g, &node->type.axes),
             others = ftc_axes_minus(&packed, &call->axes), named = ftc_axes_intersect(&call->axes, &packed),
             shown = ftc_axes_union(&others, &named);
    set(e, base, offsetof(ftc_kernel_tensor, data), address_of(e, source));
    set_i32(e, base, offsetof(ftc_kernel_tensor, dtype), node->type.dtype);
    set_i32(e, base, offsetof(ftc_kernel_tensor, n_axes), shown.n);
    for (int i = 0; i < shown.n; i++) {
        size_t at = offsetof(ftc_kernel_tensor, axes) + (size_t)i * sizeof(ftc_kernel_axis);
        LLVMValueRef axis = ftc_cg_at(e->cg, e->cg->i8, base, ftc_cg_i64(e->cg, (int64_t)at));
        if (fill_axis(e, axis, &order, source_axis(g, id, shown.at[i]))) continue;
        char type[256];
        snprintf(e->error, sizeof e->error,
                 "kernel %s, which line %d calls: %s lies in memory with other axes between an axis and one "
                 "that is "
                 "ragged over it; declare the axes in the order of their lengths, as B, S, H",
                 g->symbols[call->symbol], (int)ftc_model_line(&call->loc),
                 ftc_type_text(g, &node->type, type, sizeof type));
    }
}

static LLVMValueRef tensor_at(ftc_emitter *e, LLVMValueRef args, size_t list, int64_t i) {
    int64_t at = (int64_t)list + i * (int64_t)sizeof(ftc_kernel_tensor);
    return ftc_cg_at(e->cg, e->cg->i8, args, ftc_cg_i64(e->cg, at));
}

static void call_function(ftc_emitter *e, const char *symbol, LLVMValueRef args) {
    ftc_codegen *cg = e->cg;
    LLVMTypeRef type = LLVMFunctionType(cg->void_type, &cg->ptr, 1, 0);
    LLVMValueRef function = LLVMGetNamedFunction(cg->module, symbol);
    if (!function) function = LLVMAddFunction(cg->module, symbol, type);
    LLVMBuildCall2(cg->builder, type, function, &args, 1, "");
}

void ftc_emit_extern_kernel(ftc_emitter *e) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    const ftc_node *call = NULL;
    LLVMValueRef args =
        ftc_cg_variable(cg, LLVMArrayType2(cg->i64, sizeof(ftc_kernel_args) / sizeof(int64_t)));
    LLVMBuildMemSet(cg->builder, args, LLVMConstInt(cg->i8, 0, 0), ftc_cg_i64(cg, sizeof(ftc_kernel_args)),
                    8);
    int64_t n_results = 0;
    for (ftc_id id = e->first; id < e->last; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_EXTERN) continue;
        if (node->index < 0 || node->index >= FTC_KERNEL_MOST) {
            snprintf(e->error, sizeof e->error, "kernel %s: it has no result %lld", g->symbols[node->symbol],
                     (long long)node->index);
            return;
        }
        call = node;
        if (node->index >= n_results) n_results = node->index + 1;
        fill_tensor(e, tensor_at(e, args, offsetof(ftc_kernel_args, results), node->index), node, id);
    }
    for (int i = 1; i < call->n_args; i++)
        fill_tensor(e, tensor_at(e, args, offsetof(ftc_kernel_args, operands), i - 1), call, call->arg[i]);
    set(e, args, offsetof(ftc_kernel_args, thread), LLVMBuildTrunc(cg->builder, e->thread, cg->i32, ""));
    set(e, args, offsetof(ftc_kernel_args, threads), LLVMBuildTrunc(cg->builder, e->threads, cg->i32, ""));
    set_i32(e, args, offsetof(ftc_kernel_args, n_operands), call->n_args - 1);
    set_i32(e, args, offsetof(ftc_kernel_args, n_results), n_results);
    set(e, args, offsetof(ftc_kernel_args, barrier),
        ftc_emit_field(e, offsetof(ftc_step_args, barrier), cg->ptr));
    set(e, args, offsetof(ftc_kernel_args, barrier_context),
        ftc_emit_field(e, offsetof(ftc_step_args, barrier_context), cg->ptr));
    set(e, args, offsetof(ftc_kernel_args, scratch), ftc_emit_scratch(e, FTC_KERNEL_SCRATCH));
    call_function(e, g->symbols[call->symbol], args);
}
