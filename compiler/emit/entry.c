// entry: the entry point (ftc_entry_fn) that calls the kernels of a planned graph in order.
//
// It is a loop over constant tables, so that its code does not grow with the number of kernels:
//
//     call     function, first operand, number of operands, whether to wait before it, how much of what the
//              caller is told of is complete then, whether some of what has not been told must be gathered,
//              how much of what is awaited it and those before it read
//     told     grad: indices of gradients in ftc_program.tensors. update: values that are made by slices
//              (compiler/passes/slices.h): an operand, how many rows it has, bytes of a row. In the order of
//              the kernels that write them last. Parameters, which nobody reads any more, need not be
//              gathered in this call
//     awaited  grad, eval: indices of parameters that are made by slices, in the order of the kernels that
//              read them first
//     operand  {table, value}: what the field at byte offset `table` of ftc_step_args points to. In the arena
//              and the scalars `value` bytes further on; of the other tables, of addresses, element `value`.
//              IMMEDIATE: the value itself
#include "compiler/emit/emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/slices.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

#define IMMEDIATE (-1)
enum { CALL_FIELDS = 7 };

static LLVMValueRef constant_struct(ftc_codegen *cg, LLVMValueRef *fields, unsigned n) {
    return LLVMConstStructInContext(cg->context, fields, n, 0);
}

static LLVMValueRef constant_table(ftc_codegen *cg, const char *symbol, const char *what, LLVMTypeRef element,
                                   LLVMValueRef *values, uint64_t n) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", symbol, what);
    LLVMValueRef table = LLVMAddGlobal(cg->module, LLVMArrayType2(element, n), name);
    LLVMSetInitializer(table, LLVMConstArray2(element, values, n));
    LLVMSetGlobalConstant(table, 1);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    return table;
}

typedef struct {
    int64_t table, value;
} operand;

static LLVMValueRef operand_entry(ftc_codegen *cg, operand o) {
    LLVMValueRef fields[] = {ftc_cg_i64(cg, o.table), ftc_cg_i64(cg, o.value)};
    return constant_struct(cg, fields, 2);
}

// Where the bound buffer is in a call.
static operand operand_of(ftc_emitter *e, ftc_id id) {
    const ftc_graph *g = e->g;
    const ftc_node *node = &g->nodes[id];
    const ftc_output *output = ftc_graph_output_of(g, id);
    ftc_op_class class = ftc_node_class(node);
    if (class == FTC_CLASS_LEAF || class == FTC_CLASS_ASSIGN) {
        const ftc_decl_def *decl = &g->decls[node->decl];
        int64_t i = ftc_interface_decl(e->interface, decl);
        if (decl->kind == FTC_DECL_ARG || decl->kind == FTC_DECL_SCALAR)
            return (operand){offsetof(ftc_step_args, scalars), i * (int64_t)sizeof(float)};
        size_t table =
            decl->kind == FTC_DECL_INPUT ? offsetof(ftc_step_args, inputs) : offsetof(ftc_step_args, tensors);
        return (operand){(int64_t)table, i};
    }
    if (output)
        return (operand){offsetof(ftc_step_args, outputs), ftc_interface_output(e->interface, output->name)};
    return (operand){offsetof(ftc_step_args, arena), node->offset};
}

static void emit_barrier(ftc_emitter *e, LLVMValueRef thread) {
    ftc_codegen *cg = e->cg;
    LLVMTypeRef params[] = {cg->ptr, cg->i32};
    LLVMValueRef args[] = {ftc_emit_field(e, offsetof(ftc_step_args, barrier_context), cg->ptr), thread};
    LLVMTypeRef type = LLVMFunctionType(cg->void_type, params, 2, 0);
    LLVMBuildCall2(cg->builder, type, ftc_emit_field(e, offsetof(ftc_step_args, barrier), cg->ptr), args, 2,
                   "");
}

// ticks[i] = the counter (x86-64: of cycles, AArch64: of time), on thread 0 of a call that asks for it.
static void emit_tick(ftc_emitter *e, LLVMValueRef measured, LLVMValueRef ticks, LLVMValueRef i) {
    ftc_codegen *cg = e->cg;
    ftc_cg_if branch = ftc_cg_if_begin(cg, measured);
    LLVMValueRef now = ftc_cg_intrinsic(cg, "llvm.readcyclecounter", NULL, 0, NULL, 0);
    ftc_cg_store(cg, now, ftc_cg_at(cg, cg->i64, ticks, i));
    ftc_cg_if_end(cg, &branch);
}

// operands[i] = what the table's entry first + i stands for, i < n.
static void emit_resolve(ftc_emitter *e, LLVMTypeRef type, LLVMValueRef table, LLVMValueRef first,
                         LLVMValueRef n, LLVMValueRef operands) {
    ftc_codegen *cg = e->cg;
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), n, ftc_cg_i64(cg, 1));
    LLVMValueRef entry = ftc_cg_at(cg, type, table, ftc_cg_add(cg, first, loop.index));
    LLVMValueRef field = ftc_cg_load(cg, cg->i64, entry);
    LLVMValueRef value = ftc_cg_load(cg, cg->i64, ftc_cg_at(cg, cg->i64, entry, ftc_cg_i64(cg, 1)));
    LLVMValueRef to = ftc_cg_at(cg, cg->i64, operands, loop.index);
    ftc_cg_if immediate =
        ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntEQ, field, ftc_cg_i64(cg, IMMEDIATE)));
    ftc_cg_store(cg, value, to);
    ftc_cg_if_else(cg, &immediate);
    LLVMValueRef base = ftc_cg_load(cg, cg->ptr, ftc_cg_at(cg, cg->i8, e->args, field));
    LLVMValueRef in_arena =
        ftc_cg_compare(cg, LLVMIntEQ, field, ftc_cg_i64(cg, offsetof(ftc_step_args, arena)));
    LLVMValueRef in_scalars =
        ftc_cg_compare(cg, LLVMIntEQ, field, ftc_cg_i64(cg, offsetof(ftc_step_args, scalars)));
    ftc_cg_if in_bytes = ftc_cg_if_begin(cg, LLVMBuildOr(cg->builder, in_arena, in_scalars, ""));
    ftc_cg_store(cg, ftc_cg_at(cg, cg->i8, base, value), to);
    ftc_cg_if_else(cg, &in_bytes);
    ftc_cg_store(cg, ftc_cg_load(cg, cg->ptr, ftc_cg_at(cg, cg->ptr, base, value)), to);
    ftc_cg_if_end(cg, &in_bytes);
    ftc_cg_if_end(cg, &immediate);
    ftc_cg_loop_end(cg, &loop);
}

// What the caller is told of, in the order in which it is complete; or asked for, as it is read.
typedef struct {
    LLVMTypeRef type;     // of the table's elements
    LLVMValueRef *values; // [n] these
    uint32_t *kernel;     // [n] that writes it last, or reads it first
    bool *is_read;        // [n] by other kernels, once it is gathered
    int64_t n;
} told_list;

static told_list new_list(LLVMTypeRef type, size_t most) {
    return (told_list){.type = type,
                       .values = ftc_alloc(most + 1, sizeof(LLVMValueRef)),
                       .kernel = ftc_alloc(most + 1, sizeof(uint32_t)),
                       .is_read = ftc_alloc(most + 1, sizeof(bool))};
}

static void free_list(told_list *list) {
    free(list->values);
    free(list->kernel);
    free(list->is_read);
}

// The gradient tensors that an entry writes.
static told_list list_gradients(ftc_emitter *e) {
    const ftc_graph *g = e->g;
    uint32_t *last = ftc_alloc(g->n_decls, sizeof *last);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_ASSIGN || g->decls[node->decl].kind != FTC_DECL_GRADIENT)
            continue;
        if (node->kernel > last[node->decl]) last[node->decl] = node->kernel;
    }
    told_list list = new_list(e->cg->i32, g->n_decls);
    for (uint32_t k = 1; k < g->n_kernels; k++)
        for (ftc_decl i = 0; i < g->n_decls; i++) {
            if (last[i] != k) continue;
            list.values[list.n] = ftc_cg_i32(e->cg, ftc_interface_decl(e->interface, &g->decls[i]));
            list.kernel[list.n++] = k;
        }
    free(last);
    return list;
}

enum { SLICED_ROWS = 2, SLICED_BYTES, SLICED_FIELDS }; // behind the operand's two

static void add_sliced(ftc_emitter *e, const ftc_slices *slices, ftc_id id, told_list *list) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    const ftc_type *type = &g->nodes[id].type;
    int64_t rows = ftc_slices_rows(slices, g, g->nodes[id].kernel);
    int64_t bytes = ftc_type_max_elements(g, type) / rows * ftc_dtype_bytes(type->dtype);
    operand o = operand_of(e, id);
    LLVMValueRef value[] = {ftc_cg_i64(cg, o.table), ftc_cg_i64(cg, o.value), ftc_cg_i64(cg, rows),
                            ftc_cg_i64(cg, bytes)};
    list->values[list->n] = constant_struct(cg, value, SLICED_FIELDS);
    list->is_read[list->n] = ftc_node_class(&g->nodes[id]) != FTC_CLASS_ASSIGN;
    list->kernel[list->n++] = g->nodes[id].kernel;
}

// The values that are made by slices and brought together.
static told_list list_sliced(ftc_emitter *e, const ftc_slices *slices) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    LLVMTypeRef fields[] = {cg->i64, cg->i64, cg->i64, cg->i64};
    told_list list = new_list(LLVMStructTypeInContext(cg->context, fields, SLICED_FIELDS, 0), g->n_nodes);
    for (ftc_id id = 1; id < g->n_nodes; id++) // which stand in the order of their kernels
        if (ftc_slices_gathers(slices, g, id)) add_sliced(e, slices, id, &list);
    return list;
}

// The parameters whose rows several have made, and of which this entry is called before all are there.
static told_list list_awaited(ftc_emitter *e, const ftc_kernel_call *calls, ftc_entry_kind entry) {
    const ftc_graph *g = e->g;
    told_list list = new_list(e->cg->i32, g->n_decls);
    bool *is_listed = ftc_alloc(g->n_decls + 1, sizeof *is_listed);
    bool awaits = entry == FTC_ENTRY_GRAD || entry == FTC_ENTRY_EVAL;
    for (uint32_t k = 1; k < g->n_kernels && awaits; k++)
        for (int i = 0; i < calls[k].n_bindings; i++) {
            const ftc_node *node = &g->nodes[calls[k].bindings[i]];
            if (ftc_node_class(node) != FTC_CLASS_LEAF || is_listed[node->decl]) continue;
            const ftc_decl_def *decl = &g->decls[node->decl];
            if (decl->kind != FTC_DECL_PARAM) continue;
            int32_t tensor = ftc_interface_decl(e->interface, decl);
            is_listed[node->decl] = true;
            if (!e->interface->tensors[tensor].is_sliced) continue;
            list.values[list.n] = ftc_cg_i32(e->cg, tensor);
            list.kernel[list.n++] = k;
        }
    free(is_listed);
    return list;
}

typedef struct {
    LLVMValueRef calls, operands, told, awaited;
    LLVMTypeRef call, operand, told_type;
    uint32_t n_calls;
    int64_t most_operands; // of a call
    int64_t n_told, n_awaited;
    bool gathers;      // what the caller is told of is made by slices
    bool ends_gathers; // some of what is complete at the end must be gathered then
} call_tables;

static call_tables build_tables(ftc_emitter *e, const ftc_kernel_call *calls, const ftc_slices *slices,
                                const char *symbol, ftc_entry_kind entry) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    uint32_t n_calls = g->n_kernels ? g->n_kernels - 1 : 0;
    int64_t n_operands = 0, most = 0;
    for (uint32_t k = 1; k <= n_calls; k++) {
        int64_t n = calls[k].n_bindings + calls[k].n_sites;
        n_operands += n;
        if (n > most) most = n;
    }
    LLVMTypeRef operand_fields[] = {cg->i64, cg->i64},
                call_fields[] = {cg->ptr, cg->i64, cg->i64, cg->i64, cg->i64, cg->i64, cg->i64};
    LLVMTypeRef operand_type = LLVMStructTypeInContext(cg->context, operand_fields, 2, 0);
    LLVMTypeRef call_type = LLVMStructTypeInContext(cg->context, call_fields, CALL_FIELDS, 0);
    LLVMValueRef *operand_values = ftc_alloc((size_t)n_operands + 1, sizeof *operand_values);
    LLVMValueRef *call_values = ftc_alloc(n_calls + 1, sizeof *call_values);
    told_list told = entry == FTC_ENTRY_GRAD ? list_gradients(e) : list_sliced(e, slices);
    told_list awaited = list_awaited(e, calls, entry);
    int64_t at = 0, complete = 0, read = 0;
    for (uint32_t k = 1; k <= n_calls; k++) {
        const ftc_kernel_call *call = &calls[k];
        bool is_read = false;
        while (complete < told.n && told.kernel[complete] < k) {
            // What others read waits until somebody may, and goes together then.
            if (told.is_read[complete] && !g->kernels[k].barrier) break;
            is_read |= told.is_read[complete++];
        }
        while (read < awaited.n && awaited.kernel[read] == k) read++;
        LLVMValueRef fields[] = {call->function,
                                 ftc_cg_i64(cg, at),
                                 ftc_cg_i64(cg, call->n_bindings + call->n_sites),
                                 ftc_cg_i64(cg, g->kernels[k].barrier),
                                 ftc_cg_i64(cg, complete),
                                 ftc_cg_i64(cg, is_read),
                                 ftc_cg_i64(cg, read)};
        call_values[k - 1] = constant_struct(cg, fields, CALL_FIELDS);
        for (int i = 0; i < call->n_bindings; i++)
            operand_values[at++] = operand_entry(cg, operand_of(e, call->bindings[i]));
        for (int i = 0; i < call->n_sites; i++)
            operand_values[at++] = operand_entry(cg, (operand){IMMEDIATE, g->nodes[call->sites[i]].index});
    }
    call_tables tables = {
        .calls = constant_table(cg, symbol, "calls", call_type, call_values, n_calls),
        .operands =
            constant_table(cg, symbol, "operands", operand_type, operand_values, (uint64_t)n_operands),
        .call = call_type,
        .operand = operand_type,
        .n_calls = n_calls,
        .most_operands = most,
        .told_type = told.type,
        .n_told = told.n,
        .n_awaited = awaited.n,
        .gathers = entry != FTC_ENTRY_GRAD,
    };
    for (; complete < told.n; complete++) tables.ends_gathers |= told.is_read[complete];
    if (told.n) tables.told = constant_table(cg, symbol, "told", told.type, told.values, (uint64_t)told.n);
    if (awaited.n)
        tables.awaited =
            constant_table(cg, symbol, "awaited", awaited.type, awaited.values, (uint64_t)awaited.n);
    free(operand_values);
    free(call_values);
    free_list(&told);
    free_list(&awaited);
    return tables;
}

// callback(context, the tensor's index), of these fields of the arguments.
static void emit_callback(ftc_emitter *e, size_t callback, size_t context, LLVMValueRef tensor) {
    ftc_codegen *cg = e->cg;
    LLVMTypeRef params[] = {cg->ptr, cg->i32};
    LLVMValueRef args[] = {ftc_emit_field(e, context, cg->ptr), ftc_cg_load(cg, cg->i32, tensor)};
    LLVMBuildCall2(cg->builder, LLVMFunctionType(cg->void_type, params, 2, 0),
                   ftc_emit_field(e, callback, cg->ptr), args, 2, "");
}

// gather(context, values, rows, bytes of a row).
static void emit_gather(ftc_emitter *e, LLVMValueRef values, LLVMValueRef rows, LLVMValueRef bytes) {
    ftc_codegen *cg = e->cg;
    LLVMTypeRef params[] = {cg->ptr, cg->ptr, cg->i64, cg->i64};
    LLVMValueRef args[] = {ftc_emit_field(e, offsetof(ftc_step_args, gather_context), cg->ptr), values, rows,
                           bytes};
    LLVMBuildCall2(cg->builder, LLVMFunctionType(cg->void_type, params, 4, 0),
                   ftc_emit_field(e, offsetof(ftc_step_args, gather), cg->ptr), args, 4, "");
}

// Of entry i of the table.
static void emit_gather_told(ftc_emitter *e, const call_tables *tables, LLVMValueRef i) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef sliced = ftc_cg_at(cg, tables->told_type, tables->told, i);
    LLVMValueRef values = ftc_cg_variable(cg, cg->ptr);
    emit_resolve(e, tables->told_type, tables->told, i, ftc_cg_i64(cg, 1), values);
    emit_gather(e, ftc_cg_load(cg, cg->ptr, values),
                ftc_cg_load(cg, cg->i64, ftc_cg_at(cg, cg->i64, sliced, ftc_cg_i64(cg, SLICED_ROWS))),
                ftc_cg_load(cg, cg->i64, ftc_cg_at(cg, cg->i64, sliced, ftc_cg_i64(cg, SLICED_BYTES))));
}

// What a thread knows of telling the caller, or of asking it.
typedef struct {
    LLVMValueRef thread, is_first; // its number; whether it is the one that tells
    LLVMValueRef asked;            // whether the caller wants to be told, or asked
    LLVMValueRef done;             // variable, i64: how much it has been
} teller;

static teller emit_teller(ftc_emitter *e, size_t callback, LLVMValueRef thread) {
    ftc_codegen *cg = e->cg;
    teller t = {.thread = thread,
                .is_first = ftc_cg_compare(cg, LLVMIntEQ, thread, ftc_cg_i32(cg, 0)),
                .asked = LLVMBuildIsNotNull(cg->builder, ftc_emit_field(e, callback, cg->ptr), ""),
                .done = ftc_cg_variable(cg, cg->i64)};
    ftc_cg_store(cg, ftc_cg_i64(cg, 0), t.done);
    return t;
}

// Whether a caller asks for it, and there is something to tell before number `complete`.
static LLVMValueRef emit_has_news(ftc_emitter *e, const teller *t, LLVMValueRef complete) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef any = ftc_cg_compare(cg, LLVMIntSLT, ftc_cg_load(cg, cg->i64, t->done), complete);
    return LLVMBuildAnd(cg->builder, t->asked, any, "");
}

// Tells the caller of what comes before number `complete` and has not been told. All threads have waited for
// that; where some of it must be gathered, they go on once all is.
static void emit_tell(ftc_emitter *e, const call_tables *tables, const teller *t, LLVMValueRef complete,
                      LLVMValueRef is_read) {
    ftc_codegen *cg = e->cg;
    LLVMValueRef gathers = ftc_cg_compare(cg, LLVMIntNE, is_read, ftc_cg_i64(cg, 0));
    ftc_cg_if first = ftc_cg_if_begin(cg, t->is_first);
    LLVMValueRef done = ftc_cg_load(cg, cg->i64, t->done);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, done, complete, ftc_cg_i64(cg, 1));
    if (tables->gathers)
        emit_gather_told(e, tables, loop.index);
    else
        emit_callback(e, offsetof(ftc_step_args, ready), offsetof(ftc_step_args, ready_context),
                      ftc_cg_at(cg, cg->i32, tables->told, loop.index));
    ftc_cg_loop_end(cg, &loop);
    if (tables->gathers) {
        ftc_cg_if all = ftc_cg_if_begin(cg, gathers);
        emit_gather(e, LLVMConstNull(cg->ptr), ftc_cg_i64(cg, 0), ftc_cg_i64(cg, 0));
        ftc_cg_if_end(cg, &all);
    }
    ftc_cg_if_end(cg, &first);
    ftc_cg_store(cg, complete, t->done);
    if (tables->gathers) {
        ftc_cg_if all = ftc_cg_if_begin(cg, gathers);
        emit_barrier(e, t->thread);
        ftc_cg_if_end(cg, &all);
    }
}

// Asks the caller for what comes before number `read` and has not been asked for; all threads go on once it
// is there.
static void emit_await(ftc_emitter *e, const call_tables *tables, const teller *t, LLVMValueRef read) {
    ftc_codegen *cg = e->cg;
    ftc_cg_if news = ftc_cg_if_begin(cg, emit_has_news(e, t, read));
    ftc_cg_if first = ftc_cg_if_begin(cg, t->is_first);
    LLVMValueRef done = ftc_cg_load(cg, cg->i64, t->done);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, done, read, ftc_cg_i64(cg, 1));
    emit_callback(e, offsetof(ftc_step_args, await), offsetof(ftc_step_args, gather_context),
                  ftc_cg_at(cg, cg->i32, tables->awaited, loop.index));
    ftc_cg_loop_end(cg, &loop);
    ftc_cg_if_end(cg, &first);
    ftc_cg_store(cg, read, t->done);
    emit_barrier(e, t->thread);
    ftc_cg_if_end(cg, &news);
}

// Each thread has `scratch_bytes`, of which its kernels use what lies from `scratch_offset` on.
static void emit_calls(ftc_emitter *e, const call_tables *tables, const char *symbol, int64_t scratch_bytes,
                       int64_t scratch_offset) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    LLVMTypeRef params[] = {cg->ptr, cg->i32, cg->i32};
    ftc_cg_function f = ftc_cg_function_begin(cg, symbol, cg->void_type, params, 3, FTC_CG_EXPORTED, false);
    e->args = LLVMGetParam(f.function, 0);
    LLVMValueRef thread = LLVMGetParam(f.function, 1), threads = LLVMGetParam(f.function, 2);
    LLVMValueRef arena = ftc_emit_field(e, offsetof(ftc_step_args, arena), cg->ptr);
    LLVMValueRef own =
        ftc_cg_mul(cg, LLVMBuildSExt(cg->builder, thread, cg->i64, ""), ftc_cg_i64(cg, scratch_bytes));
    LLVMValueRef first = ftc_cg_i64(cg, g->arena_bytes + scratch_offset);
    LLVMValueRef scratch = ftc_cg_at(cg, cg->i8, arena, ftc_cg_add(cg, own, first));
    LLVMValueRef operands = ftc_cg_variable(cg, LLVMArrayType2(cg->i64, (uint64_t)tables->most_operands + 1));
    LLVMValueRef ticks = ftc_emit_field(e, offsetof(ftc_step_args, ticks), cg->ptr);
    LLVMValueRef asked = LLVMBuildIsNotNull(cg->builder, ticks, "");
    LLVMValueRef first_thread = ftc_cg_compare(cg, LLVMIntEQ, thread, ftc_cg_i32(cg, 0));
    LLVMValueRef measured = LLVMBuildAnd(cg->builder, asked, first_thread, ""), one = ftc_cg_i64(cg, 1);
    size_t callback = tables->gathers ? offsetof(ftc_step_args, gather) : offsetof(ftc_step_args, ready);
    teller t = {0}, asker = {0};
    if (tables->n_told) t = emit_teller(e, callback, thread);
    if (tables->n_awaited) asker = emit_teller(e, offsetof(ftc_step_args, await), thread);
    emit_tick(e, measured, ticks, ftc_cg_i64(cg, 0));
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), ftc_cg_i64(cg, tables->n_calls), one);
    LLVMValueRef call = ftc_cg_at(cg, tables->call, tables->calls, loop.index), field[CALL_FIELDS];
    for (int i = 0; i < CALL_FIELDS; i++)
        field[i] = ftc_cg_load(cg, i ? cg->i64 : cg->ptr, ftc_cg_at(cg, cg->i64, call, ftc_cg_i64(cg, i)));
    emit_resolve(e, tables->operand, tables->operands, field[1], field[2], operands);
    LLVMValueRef waits = ftc_cg_compare(cg, LLVMIntNE, field[3], ftc_cg_i64(cg, 0)), has_news = NULL;
    if (tables->n_told) {
        has_news = emit_has_news(e, &t, field[4]);
        waits = LLVMBuildOr(cg->builder, waits, has_news, "");
    }
    ftc_cg_if barrier = ftc_cg_if_begin(cg, waits);
    emit_barrier(e, thread);
    ftc_cg_if_end(cg, &barrier);
    if (tables->n_told) {
        ftc_cg_if news = ftc_cg_if_begin(cg, has_news);
        emit_tell(e, tables, &t, field[4], field[5]);
        ftc_cg_if_end(cg, &news);
    }
    if (tables->n_awaited) emit_await(e, tables, &asker, field[6]);
    LLVMTypeRef kernel_params[] = {cg->ptr, cg->i32, cg->i32, cg->ptr, cg->ptr};
    LLVMValueRef kernel_args[] = {e->args, thread, threads, scratch, operands};
    LLVMBuildCall2(cg->builder, LLVMFunctionType(cg->void_type, kernel_params, 5, 0), field[0], kernel_args,
                   5, "");
    emit_tick(e, measured, ticks, ftc_cg_add(cg, loop.index, one));
    ftc_cg_loop_end(cg, &loop);
    if (tables->n_told) {
        ftc_cg_if branch = ftc_cg_if_begin(cg, t.asked);
        emit_barrier(e, thread);
        emit_tell(e, tables, &t, ftc_cg_i64(cg, tables->n_told), ftc_cg_i64(cg, tables->ends_gathers));
        ftc_cg_if_end(cg, &branch);
    }
    ftc_cg_function_end(cg, f, NULL);
}

bool ftc_emit_entry(ftc_codegen *cg, ftc_kernel_cache *cache, const ftc_graph *g,
                    const ftc_interface *interface, const ftc_emit_options *options, ftc_entry_kind entry,
                    int64_t *scratch_bytes, char **error) {
    char symbol[32];
    snprintf(symbol, sizeof symbol, "ftc_%s", ftc_entry_name(entry));
    ftc_kernel_call *calls = ftc_alloc(g->n_kernels + 1, sizeof *calls);
    ftc_id *first = ftc_alloc(g->n_kernels + 1, sizeof *first),
           *last = ftc_alloc(g->n_kernels + 1, sizeof *last);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        uint32_t k = g->nodes[id].kernel;
        if (!first[k]) first[k] = id;
        last[k] = id + 1;
    }
    ftc_slices slices = ftc_slices_find(g, entry);
    int64_t scratch = 0;
    bool ok = true;
    for (uint32_t k = 1; k < g->n_kernels && ok; k++) {
        ftc_emitter e = {.cg = cg, .g = g, .interface = interface, .options = *options, .kernel = k};
        e.first = first[k];
        e.last = last[k];
        e.slice_rows = ftc_slices_rows(&slices, g, k);
        if (!e.first) continue;
        ok = ftc_emit_kernel(&e, cache, symbol, &calls[k]);
        if (e.scratch_bytes > scratch) scratch = e.scratch_bytes;
        if (!ok) *error = ftc_strdup(e.error);
    }
    if (ok) {
        ftc_emitter e = {.cg = cg, .g = g, .interface = interface};
        call_tables tables = build_tables(&e, calls, &slices, symbol, entry);
        *scratch_bytes = options->guard ? ftc_guarded_bytes(scratch) : scratch;
        emit_calls(&e, &tables, symbol, *scratch_bytes, options->guard ? ftc_guarded_offset(scratch) : 0);
    }
    for (uint32_t k = 1; k < g->n_kernels; k++) {
        free(calls[k].bindings);
        free(calls[k].sites);
    }
    ftc_slices_free(&slices);
    free(first);
    free(last);
    free(calls);
    return ok;
}
