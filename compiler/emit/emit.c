// emit: kernels to LLVM functions, and the entry point that calls them in order.
#include "compiler/emit/emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/op.h"

static const struct {
    const char *name;
    void (*emit)(ftc_emitter *e);
} kinds[] = {
    [FTC_KERNEL_ROWS] = {"rows", ftc_emit_rows_kernel},
    [FTC_KERNEL_COLUMNS] = {"columns", ftc_emit_columns_kernel},
    [FTC_KERNEL_DOT] = {"dot", ftc_emit_dot_kernel},
    [FTC_KERNEL_TILE] = {"tile", ftc_emit_tile_kernel},
    [FTC_KERNEL_SCATTER] = {"scatter", ftc_emit_scatter_kernel},
};

const ftc_output *ftc_emit_output_of(const ftc_graph *g, ftc_id id) {
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].node == id) return &g->outputs[i];
    return NULL;
}

bool ftc_emit_has_buffer(const ftc_graph *g, ftc_id id) {
    ftc_op_class class = ftc_node_class(&g->nodes[id]);
    return class == FTC_CLASS_LEAF || class == FTC_CLASS_ASSIGN || g->nodes[id].offset >= 0 ||
           ftc_emit_output_of(g, id);
}

// --- what a kernel is called with ---------------------------------------------------------------------

static int bind(ftc_emitter *e, ftc_id id) {
    for (int i = 0; i < e->n_bindings; i++)
        if (e->bindings[i] == id) return i;
    if (e->n_bindings == e->bindings_capacity) {
        e->bindings_capacity = e->bindings_capacity ? e->bindings_capacity * 2 : 16;
        e->bindings = realloc(e->bindings, (size_t)e->bindings_capacity * sizeof *e->bindings);
    }
    e->bindings[e->n_bindings] = id;
    return e->n_bindings++;
}

static void write_axes(FILE *f, const ftc_graph *g, const ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++) fprintf(f, ",%s", g->axes[axes->at[i]].name);
    fputc(';', f);
}

// The kernel's text with its own nodes, bindings and sites numbered from zero: equal texts, equal code.
static char *kernel_key(ftc_emitter *e) {
    const ftc_graph *g = e->g;
    const ftc_kernel *kernel = &g->kernels[e->kernel];
    char *key;
    size_t size;
    FILE *f = open_memstream(&key, &size);
    fprintf(f, "%s %d ", kinds[kernel->kind].name, kernel->block_size);
    write_axes(f, g, &kernel->rows);
    write_axes(f, g, &kernel->cols);
    if (kernel->block != FTC_NO_AXIS) fprintf(f, "block %s", g->axes[kernel->block].name);
    for (ftc_id id = e->first; id < e->last; id++) {
        const ftc_node *n = &g->nodes[id];
        bool is_random = ftc_op_get(n->op)->attrs & FTC_ATTR_INDEX && ftc_node_class(n) == FTC_CLASS_SOURCE;
        fprintf(f, "\n%s %d %u:", ftc_op_get(n->op)->name, n->type.dtype, n->step);
        write_axes(f, g, &n->type.axes);
        write_axes(f, g, &n->axes);
        fprintf(f, "%s %s %a", n->axis == FTC_NO_AXIS ? "" : g->axes[n->axis].name,
                n->to == FTC_NO_AXIS ? "" : g->axes[n->to].name, n->value);
        if (is_random) {
            if (e->n_sites == e->sites_capacity) {
                e->sites_capacity = e->sites_capacity ? e->sites_capacity * 2 : 4;
                e->sites = realloc(e->sites, (size_t)e->sites_capacity * sizeof *e->sites);
            }
            e->sites[e->n_sites++] = id;
        } else {
            fprintf(f, " %lld", (long long)n->index);
        }
        for (int i = 0; i < n->n_args; i++) {
            ftc_id arg = n->arg[i];
            if (g->nodes[arg].kernel == e->kernel) {
                fprintf(f, " %u", arg - e->first);
            } else {
                // Its memory order and dtype are part of the code.
                fprintf(f, " b%d %d", bind(e, arg), g->nodes[arg].type.dtype);
                write_axes(f, g, &g->nodes[arg].type.axes);
            }
        }
        if (ftc_emit_has_buffer(g, id)) fprintf(f, " = b%d", bind(e, id));
    }
    fclose(f);
    return key;
}

// --- one kernel ---------------------------------------------------------------------------------------

static LLVMValueRef emit_kernel(ftc_emitter *e, const char *name) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    e->storage = calloc(g->n_nodes, sizeof *e->storage);
    e->ready = calloc(g->n_nodes, sizeof *e->ready);
    e->site = calloc(g->n_nodes, sizeof *e->site);
    LLVMTypeRef params[] = {cg->ptr, cg->i32, cg->i32, cg->ptr, cg->ptr};
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 5, FTC_CG_OUTLINED, false);
    e->args = LLVMGetParam(f.function, 0);
    e->thread = LLVMBuildSExt(cg->builder, LLVMGetParam(f.function, 1), cg->i64, "");
    e->threads = LLVMBuildSExt(cg->builder, LLVMGetParam(f.function, 2), cg->i64, "");
    e->scratch = LLVMGetParam(f.function, 3);
    LLVMValueRef operands = LLVMGetParam(f.function, 4);
    for (int i = 0; i < e->n_bindings; i++) {
        ftc_id id = e->bindings[i];
        LLVMValueRef base = ftc_cg_load(cg, cg->ptr, ftc_cg_at(cg, cg->ptr, operands, ftc_cg_i64(cg, i)));
        e->storage[id] = (ftc_storage){FTC_STORED_MEMORY, base, NULL};
        e->ready[id] = g->nodes[id].kernel != e->kernel;
    }
    for (int i = 0; i < e->n_sites; i++) {
        LLVMValueRef at = ftc_cg_at(cg, cg->i64, operands, ftc_cg_i64(cg, e->n_bindings + i));
        e->site[e->sites[i]] = ftc_emit_random_key(e, ftc_cg_load(cg, cg->i64, at));
    }
    kinds[g->kernels[e->kernel].kind].emit(e);
    ftc_cg_function_end(cg, f, NULL);
    free(e->storage);
    free(e->ready);
    free(e->site);
    return f.function;
}

void ftc_kernel_cache_free(ftc_kernel_cache *cache) {
    for (int i = 0; i < cache->n; i++) free(cache->list[i].key);
    free(cache->list);
    *cache = (ftc_kernel_cache){0};
}

// One call of a kernel in an entry.
typedef struct {
    LLVMValueRef function;
    ftc_id *bindings, *sites;
    int n_bindings, n_sites;
} kernel_call;

// Finds or emits the function of kernel k; false: e->error says why not.
static bool make_call(ftc_emitter *e, ftc_kernel_cache *cache, const char *symbol, kernel_call *call) {
    char *key = kernel_key(e);
    int at = 0;
    while (at < cache->n && strcmp(cache->list[at].key, key)) at++;
    if (at == cache->n) {
        char name[128];
        snprintf(name, sizeof name, "%s_%s", symbol, e->g->kernels[e->kernel].name);
        LLVMValueRef function = emit_kernel(e, name);
        if (cache->n == cache->capacity) {
            cache->capacity = cache->capacity ? cache->capacity * 2 : 64;
            cache->list = realloc(cache->list, (size_t)cache->capacity * sizeof *cache->list);
        }
        cache->list[cache->n].key = key;
        cache->list[cache->n].function = function;
        cache->list[cache->n++].scratch_bytes = e->scratch_bytes;
    } else {
        free(key);
    }
    *call = (kernel_call){cache->list[at].function, e->bindings, e->sites, e->n_bindings, e->n_sites};
    e->scratch_bytes = cache->list[at].scratch_bytes;
    return e->error[0] == 0;
}

// --- the entry ----------------------------------------------------------------------------------------

// The entry is a loop over constant tables, so that its code does not grow with the number of kernels:
//
//     call     function, first operand, number of operands, whether to wait before it, how many gradients are
//              complete once it did
//     gradient index into ftc_program.tensors, in the order of the kernels that write them last
//     operand  {table, value}: what the field at byte offset `table` of ftc_step_args points to. In the arena
//              and the scalars `value` bytes further on; of the other tables, of addresses, element `value`.
//              IMMEDIATE: the value itself
#define IMMEDIATE (-1)
enum { CALL_FIELDS = 5 };

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

static LLVMValueRef operand_entry(ftc_codegen *cg, int64_t table, int64_t value) {
    LLVMValueRef fields[] = {ftc_cg_i64(cg, table), ftc_cg_i64(cg, value)};
    return constant_struct(cg, fields, 2);
}

// Where the bound buffer is in a call.
static LLVMValueRef buffer_entry(ftc_emitter *e, ftc_id id) {
    const ftc_graph *g = e->g;
    const ftc_node *node = &g->nodes[id];
    const ftc_output *output = ftc_emit_output_of(g, id);
    ftc_op_class class = ftc_node_class(node);
    if (class == FTC_CLASS_LEAF || class == FTC_CLASS_ASSIGN) {
        const ftc_decl_def *decl = &g->decls[node->decl];
        int64_t i = ftc_interface_decl(e->interface, decl);
        if (decl->kind == FTC_DECL_ARG || decl->kind == FTC_DECL_SCALAR)
            return operand_entry(e->cg, offsetof(ftc_step_args, scalars), i * (int64_t)sizeof(float));
        size_t table =
            decl->kind == FTC_DECL_INPUT ? offsetof(ftc_step_args, inputs) : offsetof(ftc_step_args, tensors);
        return operand_entry(e->cg, (int64_t)table, i);
    }
    if (output)
        return operand_entry(e->cg, offsetof(ftc_step_args, outputs),
                             ftc_interface_output(e->interface, output->name));
    return operand_entry(e->cg, offsetof(ftc_step_args, arena), node->offset);
}

static void emit_barrier(ftc_emitter *e, LLVMValueRef thread) {
    ftc_codegen *cg = e->cg;
    LLVMTypeRef params[] = {cg->ptr, cg->i32};
    LLVMValueRef args[] = {ftc_emit_field(e, offsetof(ftc_step_args, barrier_context), cg->ptr), thread};
    LLVMTypeRef type = LLVMFunctionType(cg->void_type, params, 2, 0);
    LLVMBuildCall2(cg->builder, type, ftc_emit_field(e, offsetof(ftc_step_args, barrier), cg->ptr), args, 2,
                   "");
}

// ticks[i] = the cycle counter, on thread 0 of a call that asks for it.
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

// The gradient tensors that an entry writes, in the order in which they are complete.
typedef struct {
    LLVMValueRef *tensors; // [n] i32
    uint32_t *kernel;      // [n] that writes it last
    int64_t n;
} gradient_list;

static gradient_list list_gradients(ftc_emitter *e) {
    const ftc_graph *g = e->g;
    uint32_t *last = calloc(g->n_decls, sizeof *last);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_ASSIGN || g->decls[node->decl].kind != FTC_DECL_GRADIENT)
            continue;
        if (node->kernel > last[node->decl]) last[node->decl] = node->kernel;
    }
    gradient_list list = {calloc(g->n_decls + 1, sizeof *list.tensors),
                          calloc(g->n_decls + 1, sizeof *list.kernel), 0};
    for (uint32_t k = 1; k < g->n_kernels; k++)
        for (ftc_decl i = 0; i < g->n_decls; i++) {
            if (last[i] != k) continue;
            list.tensors[list.n] = ftc_cg_i32(e->cg, ftc_interface_decl(e->interface, &g->decls[i]));
            list.kernel[list.n++] = k;
        }
    free(last);
    return list;
}

// Announces, on thread 0 of a call that asks for it, the gradients of the table from *done to the one before
// `complete`.
static void emit_ready(ftc_emitter *e, LLVMValueRef asked, LLVMValueRef table, LLVMValueRef done,
                       LLVMValueRef complete) {
    ftc_codegen *cg = e->cg;
    LLVMTypeRef params[] = {cg->ptr, cg->i32};
    ftc_cg_if branch = ftc_cg_if_begin(cg, asked);
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_load(cg, cg->i64, done), complete, ftc_cg_i64(cg, 1));
    LLVMValueRef args[] = {ftc_emit_field(e, offsetof(ftc_step_args, ready_context), cg->ptr),
                           ftc_cg_load(cg, cg->i32, ftc_cg_at(cg, cg->i32, table, loop.index))};
    LLVMBuildCall2(cg->builder, LLVMFunctionType(cg->void_type, params, 2, 0),
                   ftc_emit_field(e, offsetof(ftc_step_args, ready), cg->ptr), args, 2, "");
    ftc_cg_loop_end(cg, &loop);
    ftc_cg_store(cg, complete, done);
    ftc_cg_if_end(cg, &branch);
}

typedef struct {
    LLVMValueRef calls, operands, gradients;
    LLVMTypeRef call, operand;
    uint32_t n_calls;
    int64_t most_operands; // of a call
    int64_t n_gradients;
} call_tables;

static call_tables build_tables(ftc_emitter *e, const kernel_call *calls, const char *symbol,
                                ftc_entry_kind entry) {
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
                call_fields[] = {cg->ptr, cg->i64, cg->i64, cg->i64, cg->i64};
    LLVMTypeRef operand_type = LLVMStructTypeInContext(cg->context, operand_fields, 2, 0);
    LLVMTypeRef call_type = LLVMStructTypeInContext(cg->context, call_fields, CALL_FIELDS, 0);
    LLVMValueRef *operand_values = calloc((size_t)n_operands + 1, sizeof *operand_values);
    LLVMValueRef *call_values = calloc(n_calls + 1, sizeof *call_values);
    gradient_list gradients = entry == FTC_ENTRY_GRAD ? list_gradients(e) : (gradient_list){0};
    int64_t at = 0, complete = 0;
    for (uint32_t k = 1; k <= n_calls; k++) {
        const kernel_call *call = &calls[k];
        while (complete < gradients.n && gradients.kernel[complete] < k) complete++;
        LLVMValueRef fields[] = {call->function, ftc_cg_i64(cg, at),
                                 ftc_cg_i64(cg, call->n_bindings + call->n_sites),
                                 ftc_cg_i64(cg, g->kernels[k].barrier), ftc_cg_i64(cg, complete)};
        call_values[k - 1] = constant_struct(cg, fields, CALL_FIELDS);
        for (int i = 0; i < call->n_bindings; i++) operand_values[at++] = buffer_entry(e, call->bindings[i]);
        for (int i = 0; i < call->n_sites; i++)
            operand_values[at++] = operand_entry(cg, IMMEDIATE, g->nodes[call->sites[i]].index);
    }
    call_tables tables = {
        .calls = constant_table(cg, symbol, "calls", call_type, call_values, n_calls),
        .operands =
            constant_table(cg, symbol, "operands", operand_type, operand_values, (uint64_t)n_operands),
        .call = call_type,
        .operand = operand_type,
        .n_calls = n_calls,
        .most_operands = most,
        .n_gradients = gradients.n,
    };
    if (gradients.n)
        tables.gradients =
            constant_table(cg, symbol, "gradients", cg->i32, gradients.tensors, (uint64_t)gradients.n);
    free(operand_values);
    free(call_values);
    free(gradients.tensors);
    free(gradients.kernel);
    return tables;
}

static void emit_calls(ftc_emitter *e, const call_tables *tables, const char *symbol, int64_t scratch_bytes) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    LLVMTypeRef params[] = {cg->ptr, cg->i32, cg->i32};
    ftc_cg_function f = ftc_cg_function_begin(cg, symbol, cg->void_type, params, 3, FTC_CG_EXPORTED, false);
    e->args = LLVMGetParam(f.function, 0);
    LLVMValueRef thread = LLVMGetParam(f.function, 1), threads = LLVMGetParam(f.function, 2);
    LLVMValueRef arena = ftc_emit_field(e, offsetof(ftc_step_args, arena), cg->ptr);
    LLVMValueRef own =
        ftc_cg_mul(cg, LLVMBuildSExt(cg->builder, thread, cg->i64, ""), ftc_cg_i64(cg, scratch_bytes));
    LLVMValueRef scratch = ftc_cg_at(cg, cg->i8, arena, ftc_cg_add(cg, own, ftc_cg_i64(cg, g->arena_bytes)));
    LLVMValueRef operands = ftc_cg_variable(cg, LLVMArrayType2(cg->i64, (uint64_t)tables->most_operands + 1));
    LLVMValueRef ticks = ftc_emit_field(e, offsetof(ftc_step_args, ticks), cg->ptr);
    LLVMValueRef asked = LLVMBuildIsNotNull(cg->builder, ticks, "");
    LLVMValueRef first_thread = ftc_cg_compare(cg, LLVMIntEQ, thread, ftc_cg_i32(cg, 0));
    LLVMValueRef measured = LLVMBuildAnd(cg->builder, asked, first_thread, ""), one = ftc_cg_i64(cg, 1);
    LLVMValueRef told = NULL, tells = NULL, done = NULL; // whether ready is asked for; the same on thread 0
    if (tables->n_gradients) {
        told =
            LLVMBuildIsNotNull(cg->builder, ftc_emit_field(e, offsetof(ftc_step_args, ready), cg->ptr), "");
        tells = LLVMBuildAnd(cg->builder, told, first_thread, "");
        done = ftc_cg_variable(cg, cg->i64);
        ftc_cg_store(cg, ftc_cg_i64(cg, 0), done);
    }
    emit_tick(e, measured, ticks, ftc_cg_i64(cg, 0));
    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), ftc_cg_i64(cg, tables->n_calls), one);
    LLVMValueRef call = ftc_cg_at(cg, tables->call, tables->calls, loop.index), field[CALL_FIELDS];
    for (int i = 0; i < CALL_FIELDS; i++)
        field[i] = ftc_cg_load(cg, i ? cg->i64 : cg->ptr, ftc_cg_at(cg, cg->i64, call, ftc_cg_i64(cg, i)));
    emit_resolve(e, tables->operand, tables->operands, field[1], field[2], operands);
    ftc_cg_if waits = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntNE, field[3], ftc_cg_i64(cg, 0)));
    emit_barrier(e, thread);
    if (tables->n_gradients) emit_ready(e, tells, tables->gradients, done, field[4]);
    ftc_cg_if_end(cg, &waits);
    LLVMTypeRef kernel_params[] = {cg->ptr, cg->i32, cg->i32, cg->ptr, cg->ptr};
    LLVMValueRef kernel_args[] = {e->args, thread, threads, scratch, operands};
    LLVMBuildCall2(cg->builder, LLVMFunctionType(cg->void_type, kernel_params, 5, 0), field[0], kernel_args,
                   5, "");
    emit_tick(e, measured, ticks, ftc_cg_add(cg, loop.index, one));
    ftc_cg_loop_end(cg, &loop);
    if (tables->n_gradients) {
        ftc_cg_if branch = ftc_cg_if_begin(cg, told);
        emit_barrier(e, thread);
        emit_ready(e, tells, tables->gradients, done, ftc_cg_i64(cg, tables->n_gradients));
        ftc_cg_if_end(cg, &branch);
    }
    ftc_cg_function_end(cg, f, NULL);
}

bool ftc_emit_entry(ftc_codegen *cg, ftc_kernel_cache *cache, const ftc_graph *g,
                    const ftc_interface *interface, bool use_blas, const struct ftc_tuned *tuned,
                    ftc_entry_kind entry, int64_t *scratch_bytes, char **error) {
    char symbol[32];
    snprintf(symbol, sizeof symbol, "ftc_%s", ftc_entry_name(entry));
    kernel_call *calls = calloc(g->n_kernels + 1, sizeof *calls);
    ftc_id *first = calloc(g->n_kernels + 1, sizeof *first), *last = calloc(g->n_kernels + 1, sizeof *last);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        uint32_t k = g->nodes[id].kernel;
        if (!first[k]) first[k] = id;
        last[k] = id + 1;
    }
    int64_t scratch = 0;
    bool ok = true;
    for (uint32_t k = 1; k < g->n_kernels && ok; k++) {
        ftc_emitter e = {
            .cg = cg, .g = g, .interface = interface, .use_blas = use_blas, .tuned = tuned, .kernel = k};
        e.first = first[k];
        e.last = last[k];
        if (!e.first) continue;
        ok = make_call(&e, cache, symbol, &calls[k]);
        if (e.scratch_bytes > scratch) scratch = e.scratch_bytes;
        if (!ok) *error = strdup(e.error);
    }
    if (ok) {
        ftc_emitter e = {.cg = cg, .g = g, .interface = interface};
        call_tables tables = build_tables(&e, calls, symbol, entry);
        emit_calls(&e, &tables, symbol, scratch);
        *scratch_bytes = scratch;
    }
    for (uint32_t k = 1; k < g->n_kernels; k++) {
        free(calls[k].bindings);
        free(calls[k].sites);
    }
    free(first);
    free(last);
    free(calls);
    return ok;
}
