// emit: kernels to LLVM functions.
#include "compiler/emit/emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
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
    [FTC_KERNEL_EXTERN] = {"extern", ftc_emit_extern_kernel},
};

bool ftc_emit_has_buffer(const ftc_graph *g, ftc_id id) {
    ftc_op_class class = ftc_node_class(&g->nodes[id]);
    return class == FTC_CLASS_LEAF || class == FTC_CLASS_ASSIGN || g->nodes[id].offset >= 0 ||
           ftc_graph_output_of(g, id);
}

// --- what a kernel is called with ---------------------------------------------------------------------

static int bind(ftc_emitter *e, ftc_id id) {
    for (int i = 0; i < e->n_bindings; i++)
        if (e->bindings[i] == id) return i;
    if (e->n_bindings == e->bindings_capacity) {
        e->bindings_capacity = e->bindings_capacity ? e->bindings_capacity * 2 : 16;
        e->bindings = ftc_realloc(e->bindings, (size_t)e->bindings_capacity, sizeof *e->bindings);
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
    ftc_text key;
    FILE *f = ftc_text_open(&key);
    fprintf(f, "%s %d ", kinds[kernel->kind].name, kernel->block_size);
    write_axes(f, g, &kernel->rows);
    write_axes(f, g, &kernel->cols);
    if (kernel->block != FTC_NO_AXIS) fprintf(f, "block %s", g->axes[kernel->block].name);
    if (e->slice_rows) fprintf(f, "slice of %lld", (long long)e->slice_rows);
    if (kernel->has_window) fprintf(f, " window %d %d", kernel->window_low, kernel->window_high);
    for (ftc_id id = e->first; id < e->last; id++) {
        const ftc_node *n = &g->nodes[id];
        bool is_random = ftc_op_get(n->op)->attrs & FTC_ATTR_INDEX && ftc_node_class(n) == FTC_CLASS_SOURCE;
        bool is_state = ftc_node_class(n) == FTC_CLASS_BEFORE; // whose site is only another one
        fprintf(f, "\n%s %d %u:", ftc_op_get(n->op)->name, n->type.dtype, n->step);
        write_axes(f, g, &n->type.axes);
        write_axes(f, g, &n->axes);
        fprintf(f, "%s %s %a", n->axis == FTC_NO_AXIS ? "" : g->axes[n->axis].name,
                n->to == FTC_NO_AXIS ? "" : g->axes[n->to].name, n->value);
        if (is_random) {
            if (e->n_sites == e->sites_capacity) {
                e->sites_capacity = e->sites_capacity ? e->sites_capacity * 2 : 4;
                e->sites = ftc_realloc(e->sites, (size_t)e->sites_capacity, sizeof *e->sites);
            }
            e->sites[e->n_sites++] = id;
        } else if (!is_state) {
            fprintf(f, " %lld", (long long)n->index);
        }
        if (ftc_node_class(n) == FTC_CLASS_EXTERN) fprintf(f, " %s", g->symbols[n->symbol]);
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
    return ftc_text_close(&key, NULL);
}

// --- one kernel ---------------------------------------------------------------------------------------

static LLVMValueRef emit_kernel(ftc_emitter *e, const char *name) {
    ftc_codegen *cg = e->cg;
    const ftc_graph *g = e->g;
    e->storage = ftc_alloc(g->n_nodes, sizeof *e->storage);
    e->ready = ftc_alloc(g->n_nodes, sizeof *e->ready);
    e->site = ftc_alloc(g->n_nodes, sizeof *e->site);
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

bool ftc_emit_kernel(ftc_emitter *e, ftc_kernel_cache *cache, const char *symbol, ftc_kernel_call *call) {
    char *key = kernel_key(e);
    int at = 0;
    while (at < cache->n && strcmp(cache->list[at].key, key)) at++;
    if (at == cache->n) {
        char name[128];
        snprintf(name, sizeof name, "%s_%s", symbol, e->g->kernels[e->kernel].name);
        LLVMValueRef function = emit_kernel(e, name);
        if (cache->n == cache->capacity) {
            cache->capacity = cache->capacity ? cache->capacity * 2 : 64;
            cache->list = ftc_realloc(cache->list, (size_t)cache->capacity, sizeof *cache->list);
        }
        cache->list[cache->n].key = key;
        cache->list[cache->n].function = function;
        cache->list[cache->n++].scratch_bytes = e->scratch_bytes;
    } else {
        free(key);
    }
    *call = (ftc_kernel_call){cache->list[at].function, e->bindings, e->sites, e->n_bindings, e->n_sites};
    e->scratch_bytes = cache->list[at].scratch_bytes;
    return e->error[0] == 0;
}
