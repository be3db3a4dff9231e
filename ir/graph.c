#include "ir/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/arena.h"
#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/op.h"
#include "ir/recurrence.h"

// --- axes ---------------------------------------------------------------------------------------------

int ftc_axes_find(const ftc_axes *a, ftc_axis x) {
    for (int i = 0; i < a->n; i++)
        if (a->at[i] == x) return i;
    return -1;
}

bool ftc_axes_has(const ftc_axes *a, ftc_axis x) {
    return ftc_axes_find(a, x) >= 0;
}

bool ftc_axes_subset(const ftc_axes *a, const ftc_axes *b) {
    for (int i = 0; i < a->n; i++)
        if (!ftc_axes_has(b, a->at[i])) return false;
    return true;
}

bool ftc_axes_same_set(const ftc_axes *a, const ftc_axes *b) {
    return a->n == b->n && ftc_axes_subset(a, b);
}

void ftc_axes_add(ftc_axes *a, ftc_axis x) {
    if (ftc_axes_has(a, x)) return;
    if (a->n == FTC_MAX_AXES) ftc_fault("a value has more than %d axes", FTC_MAX_AXES);
    a->at[a->n++] = x;
}

ftc_axes ftc_axes_union(const ftc_axes *a, const ftc_axes *b) {
    ftc_axes u = *a;
    for (int i = 0; i < b->n; i++) ftc_axes_add(&u, b->at[i]);
    return u;
}

ftc_axes ftc_axes_minus(const ftc_axes *a, const ftc_axes *b) {
    ftc_axes m = {0};
    for (int i = 0; i < a->n; i++)
        if (!ftc_axes_has(b, a->at[i])) ftc_axes_add(&m, a->at[i]);
    return m;
}

ftc_axes ftc_axes_intersect(const ftc_axes *a, const ftc_axes *b) {
    ftc_axes m = {0};
    for (int i = 0; i < a->n; i++)
        if (ftc_axes_has(b, a->at[i])) ftc_axes_add(&m, a->at[i]);
    return m;
}

bool ftc_axes_are_constant(const ftc_graph *g, const ftc_axes *a) {
    for (int i = 0; i < a->n; i++)
        if (ftc_axis_extent(g, a->at[i])->kind != FTC_EXTENT_CONST) return false;
    return true;
}

ftc_axes ftc_axes_of(ftc_axis x) {
    return (ftc_axes){.n = 1, .at = {x}};
}

ftc_axis ftc_axis_over(const ftc_graph *g, ftc_axis a) {
    const ftc_extent_def *e = ftc_axis_extent(g, a);
    return e->kind == FTC_EXTENT_RAGGED ? e->over : FTC_NO_AXIS;
}

bool ftc_axes_ragged_complete(const ftc_graph *g, const ftc_axes *axes, ftc_axis *lone) {
    for (int i = 0; i < axes->n; i++) {
        ftc_axis over = ftc_axis_over(g, axes->at[i]);
        if (over != FTC_NO_AXIS && !ftc_axes_has(axes, over)) {
            *lone = axes->at[i];
            return false;
        }
    }
    return true;
}

static bool is_batch_axis(const ftc_graph *g, ftc_axis a) {
    if (ftc_axis_extent(g, a)->kind == FTC_EXTENT_SYMBOL) return true;
    for (uint32_t e = 0; e < g->n_extents; e++)
        if (g->extents[e].kind == FTC_EXTENT_RAGGED && g->extents[e].over == a) return true;
    return false;
}

ftc_axes ftc_axes_packed_order(const ftc_graph *g, const ftc_axes *axes) {
    ftc_axes order = {0};
    for (int i = 0; i < axes->n; i++) {
        if (!is_batch_axis(g, axes->at[i])) continue;
        ftc_axes_add(&order, axes->at[i]);
        for (int j = 0; j < axes->n; j++)
            if (ftc_axis_over(g, axes->at[j]) == axes->at[i]) ftc_axes_add(&order, axes->at[j]);
    }
    return ftc_axes_union(&order, axes);
}

ftc_axes ftc_axes_over(const ftc_graph *g, const ftc_axes *axes, ftc_axis over) {
    ftc_axes ragged = {0};
    for (int i = 0; i < axes->n; i++)
        if (ftc_axis_over(g, axes->at[i]) == over) ftc_axes_add(&ragged, axes->at[i]);
    return ragged;
}

ftc_axes ftc_axes_interface_order(const ftc_graph *g, const ftc_axes *axes) {
    ftc_axes first = {0};
    for (int i = 0; i < axes->n; i++) {
        ftc_axis over = ftc_axis_over(g, axes->at[i]);
        if (over != FTC_NO_AXIS) ftc_axes_add(&first, over);
    }
    for (int i = 0; i < axes->n && !first.n; i++)
        if (is_batch_axis(g, axes->at[i])) ftc_axes_add(&first, axes->at[i]);
    return ftc_axes_union(&first, axes);
}

// --- graph --------------------------------------------------------------------------------------------

// Makes room for one more element of `size` bytes and returns the (possibly moved) array.
static void *grown(void *array, uint32_t n, uint32_t *capacity, size_t size) {
    if (n < *capacity) return array;
    uint32_t larger = *capacity ? 2 * *capacity : 16;
    array = ftc_realloc(array, larger, size);
    *capacity = larger;
    return array;
}

#define GROW(g, array)                                                                                       \
    ((g)->array = grown((g)->array, (g)->n_##array, &(g)->array##_capacity, sizeof *(g)->array))

static void release(void *graph, size_t bytes) {
    (void)bytes;
    ftc_graph_free(graph);
}

ftc_graph *ftc_graph_new(const char *model) {
    ftc_arena *arena = ftc_arena_new();
    ftc_graph *g = ftc_arena_alloc(arena, sizeof *g);
    g->arena = arena;
    ftc_care_begin(g, 0, release);
    g->model = model ? ftc_arena_strdup(arena, model) : NULL;
    GROW(g, nodes);
    g->nodes[g->n_nodes++] = (ftc_node){.offset = -1};
    GROW(g, kernels);
    g->kernels[g->n_kernels++] = (ftc_kernel){.block = FTC_NO_AXIS};
    return g;
}

void ftc_graph_free(ftc_graph *g) {
    if (!g) return;
    ftc_care_end(g);
    free(g->nodes);
    free(g->axes);
    free(g->extents);
    free(g->decls);
    free(g->decl_slots);
    free(g->outputs);
    free(g->kernels);
    free(g->config);
    free(g->family);
    free(g->train);
    free(g->files);
    free(g->symbols);
    ftc_arena_free(g->arena); // g itself lives there
}

ftc_graph *ftc_graph_new_like(const ftc_graph *g) {
    ftc_graph *c = ftc_graph_new(g->model);
    for (uint32_t i = 0; i < g->n_extents; i++) ftc_graph_add_extent(c, g->extents[i]);
    for (uint32_t i = 0; i < g->n_axes; i++) ftc_graph_add_axis(c, g->axes[i].name, g->axes[i].extent);
    for (uint32_t i = 0; i < g->n_decls; i++) ftc_graph_add_decl(c, g->decls[i]);
    for (uint32_t i = 0; i < g->n_config; i++) ftc_graph_add_config(c, g->config[i]);
    for (uint32_t i = 0; i < g->n_family; i++) ftc_graph_add_family(c, g->family[i]);
    for (uint32_t i = 0; i < g->n_train; i++) ftc_graph_add_train(c, g->train[i]);
    for (uint32_t i = 0; i < g->n_files; i++) ftc_graph_add_file(c, g->files[i]);
    for (uint32_t i = 0; i < g->n_symbols; i++) ftc_graph_add_symbol(c, g->symbols[i]);
    c->functions = ftc_graph_string(c, g->functions);
    c->functions_file = ftc_graph_string(c, g->functions_file);
    c->stage = ftc_graph_string(c, g->stage);
    c->stage_of = g->stage_of;
    c->next_site = g->next_site;
    c->cursor_loc = g->cursor_loc;
    c->cursor_phase = g->cursor_phase;
    return c;
}

ftc_graph *ftc_graph_clone(const ftc_graph *g) {
    ftc_graph *c = ftc_graph_new_like(g);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_graph_append(c, g->nodes[id]);
        c->nodes[id].offset = g->nodes[id].offset;
    }
    for (uint32_t k = 1; k < g->n_kernels; k++) ftc_graph_add_kernel(c, g->kernels[k]);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ftc_output *from = &g->outputs[i];
        ftc_output *to = ftc_graph_add_output(c, from->name, from->node, from->entries);
        to->role = from->role;
        to->of = from->of;
        to->order = from->order;
    }
    c->arena_bytes = g->arena_bytes;
    c->scratch_bytes = g->scratch_bytes;
    c->peak_live_bytes = g->peak_live_bytes;
    return c;
}

const char *ftc_graph_string(ftc_graph *g, const char *s) {
    return s ? ftc_arena_strdup(g->arena, s) : NULL;
}

const char *ftc_graph_format(ftc_graph *g, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = ftc_format_args(format, args);
    va_end(args);
    const char *s = ftc_graph_string(g, text);
    free(text);
    return s;
}

ftc_extent ftc_graph_add_extent(ftc_graph *g, ftc_extent_def info) {
    GROW(g, extents);
    info.name = ftc_graph_string(g, info.name);
    g->extents[g->n_extents] = info;
    return (ftc_extent)g->n_extents++;
}

ftc_axis ftc_graph_add_axis(ftc_graph *g, const char *name, ftc_extent extent) {
    GROW(g, axes);
    g->axes[g->n_axes] = (ftc_axis_def){.name = ftc_graph_string(g, name), .extent = extent};
    return (ftc_axis)g->n_axes++;
}

ftc_axis ftc_graph_find_axis(const ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_axes; i++)
        if (!strcmp(g->axes[i].name, name)) return (ftc_axis)i;
    return FTC_NO_AXIS;
}

// The slot of the declaration of that name, or the free one where it belongs.
static ftc_decl *decl_slot(const ftc_graph *g, const char *name) {
    for (uint32_t hash = (uint32_t)ftc_name_hash(name);; hash++) {
        ftc_decl *slot = &g->decl_slots[hash & (g->n_decl_slots - 1)];
        if (*slot == FTC_NO_DECL || !strcmp(g->decls[*slot].name, name)) return slot;
    }
}

static void grow_decl_slots(ftc_graph *g) {
    uint32_t n = g->n_decl_slots ? 2 * g->n_decl_slots : 64;
    g->decl_slots = ftc_realloc(g->decl_slots, n, sizeof *g->decl_slots);
    g->n_decl_slots = n;
    for (uint32_t i = 0; i < g->n_decl_slots; i++) g->decl_slots[i] = FTC_NO_DECL;
    for (uint32_t i = 0; i < g->n_decls; i++) *decl_slot(g, g->decls[i].name) = (ftc_decl)i;
}

ftc_decl ftc_graph_add_decl(ftc_graph *g, ftc_decl_def info) {
    GROW(g, decls);
    if (2 * g->n_decls >= g->n_decl_slots) grow_decl_slots(g);
    info.name = ftc_graph_string(g, info.name);
    info.column = ftc_graph_string(g, info.column);
    info.leaf = 0;
    if (info.formula.n) {
        size_t bytes = (size_t)info.formula.n * sizeof *info.formula.code;
        info.formula.code = memcpy(ftc_arena_alloc(g->arena, bytes), info.formula.code, bytes);
    }
    *decl_slot(g, info.name) = (ftc_decl)g->n_decls;
    g->decls[g->n_decls] = info;
    return (ftc_decl)g->n_decls++;
}

ftc_decl ftc_graph_add_companion(ftc_graph *g, ftc_decl param, ftc_decl_kind kind, const char *name,
                                 int first, int n) {
    const ftc_decl_def *of = &g->decls[param];
    ftc_decl_def def = {.kind = kind,
                        .name = name,
                        .type.dtype = of->type.dtype,
                        .n_dims = (uint8_t)n,
                        .zero_row = -1,
                        .of = param,
                        .bound = FTC_NO_AXIS,
                        .loc = of->loc};
    for (int i = 0; i < n; i++) {
        def.dims[i] = of->dims[first + i];
        def.type.axes = ftc_axes_union(&def.type.axes, &def.dims[i]);
    }
    return ftc_graph_add_decl(g, def);
}

ftc_decl ftc_graph_find_decl(const ftc_graph *g, const char *name) {
    return g->n_decls ? *decl_slot(g, name) : FTC_NO_DECL;
}

uint32_t ftc_graph_add_kernel(ftc_graph *g, ftc_kernel kernel) {
    GROW(g, kernels);
    kernel.name = ftc_graph_string(g, kernel.name);
    kernel.plain = ftc_graph_string(g, kernel.plain);
    g->kernels[g->n_kernels] = kernel;
    return g->n_kernels++;
}

uint32_t ftc_graph_add_file(ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_files; i++)
        if (!strcmp(g->files[i], name)) return i;
    GROW(g, files);
    g->files[g->n_files] = ftc_graph_string(g, name);
    return g->n_files++;
}

uint16_t ftc_graph_add_symbol(ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_symbols; i++)
        if (!strcmp(g->symbols[i], name)) return (uint16_t)i;
    GROW(g, symbols);
    g->symbols[g->n_symbols] = ftc_graph_string(g, name);
    return (uint16_t)g->n_symbols++;
}

ftc_output *ftc_graph_add_output(ftc_graph *g, const char *name, ftc_id node, uint32_t entries) {
    GROW(g, outputs);
    ftc_output *output = &g->outputs[g->n_outputs++];
    *output = (ftc_output){.name = ftc_graph_string(g, name),
                           .node = node,
                           .entries = entries,
                           .of = FTC_NO_DECL,
                           .order = g->nodes[node].type.axes};
    return output;
}

const ftc_output *ftc_graph_find_output(const ftc_graph *g, ftc_output_role role) {
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].role == role) return &g->outputs[i];
    return NULL;
}

const ftc_output *ftc_graph_output_of(const ftc_graph *g, ftc_id node) {
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].node == node) return &g->outputs[i];
    return NULL;
}

const char *ftc_input_role_name(ftc_input_role role) {
    static const char *const names[] = {[FTC_FROM_COLUMN] = "column",
                                        [FTC_FROM_TOKENS] = "tokens",
                                        [FTC_FROM_TOKEN_TYPES] = "token_types",
                                        [FTC_FROM_LABEL] = "label",
                                        [FTC_FROM_MASKED_POSITIONS] = "masked_positions",
                                        [FTC_FROM_MASKED_TOKENS] = "masked_tokens",
                                        [FTC_FROM_PARTNER] = "partner",
                                        [FTC_FROM_CONFIG] = "config"};

    return (size_t)role < FTC_INPUT_ROLE_COUNT ? names[role] : NULL;
}

const char *ftc_output_role_name(ftc_output_role role) {
    static const char *const names[] = {
        [FTC_OUTPUT_VALUE] = "value",         [FTC_OUTPUT_LOSS] = "loss",
        [FTC_OUTPUT_WEIGHT] = "weight",       [FTC_OUTPUT_SCORES] = "scores",
        [FTC_OUTPUT_EMBEDDING] = "embedding", [FTC_OUTPUT_NORM] = "norm",
        [FTC_OUTPUT_FACTOR] = "factor",       [FTC_OUTPUT_FAULT] = "fault",
        [FTC_OUTPUT_METRIC] = "metric",       [FTC_OUTPUT_GRADIENT] = "gradient"};
    return (size_t)role < FTC_OUTPUT_ROLE_COUNT ? names[role] : NULL;
}

const char *ftc_config_role_name(ftc_config_role role) {
    static const char *const names[] = {[FTC_CONFIG_PLAIN] = "",
                                        [FTC_CONFIG_BATCH] = "batch",
                                        [FTC_CONFIG_MAX_LENGTH] = "max_length",
                                        [FTC_CONFIG_LONGEST] = "longest",
                                        [FTC_CONFIG_TASK] = "task",
                                        [FTC_CONFIG_LOSS] = "loss",
                                        [FTC_CONFIG_CLASS_WEIGHTS] = "class_weights",
                                        [FTC_CONFIG_TEXT_POOLING] = "text_pooling",
                                        [FTC_CONFIG_VOCAB_BLOCK] = "vocab_block"};
    return (size_t)role < FTC_CONFIG_ROLE_COUNT ? names[role] : NULL;
}

static ftc_graph_setting owned_setting(ftc_graph *g, ftc_graph_setting s) {
    s.name = ftc_graph_string(g, s.name);
    s.hf_name = ftc_graph_string(g, s.hf_name);
    s.text = ftc_graph_string(g, s.text);
    return s;
}

void ftc_graph_add_config(ftc_graph *g, ftc_graph_setting setting) {
    GROW(g, config);
    g->config[g->n_config++] = owned_setting(g, setting);
}

const ftc_graph_setting *ftc_graph_config(const ftc_graph *g, ftc_config_role role) {
    for (uint32_t i = 0; i < g->n_config; i++)
        if (g->config[i].role == role) return &g->config[i];
    return NULL;
}

void ftc_graph_add_family(ftc_graph *g, ftc_graph_setting setting) {
    GROW(g, family);
    g->family[g->n_family++] = owned_setting(g, setting);
}

void ftc_graph_add_train(ftc_graph *g, ftc_graph_setting setting) {
    GROW(g, train);
    g->train[g->n_train++] = owned_setting(g, setting);
}

bool ftc_graph_in_head(const ftc_graph *g, const char *parameter) {
    const ftc_graph_setting *task = ftc_graph_config(g, FTC_CONFIG_TASK);
    const char *head = "";
    int best = 0;
    for (uint32_t i = 0; i < g->n_family; i++) {
        int fit = ftc_name_for_task(g->family[i].name, "head", task ? task->text : NULL);
        if (fit <= best) continue;
        best = fit;
        head = g->family[i].text;
    }
    const char *item;
    for (size_t n; ftc_name_next(&head, ",", &item, &n);)
        if (!strncmp(parameter, item, n)) return true;
    return false;
}

static bool is_leaf(ftc_op op) {
    return op == FTC_OP_param || op == FTC_OP_input || op == FTC_OP_arg;
}

static bool names_position(ftc_op op) {
    ftc_op_class class = ftc_op_get(op)->class;
    return class == FTC_CLASS_AT || class == FTC_CLASS_PLACE;
}

ftc_id ftc_graph_append(ftc_graph *g, ftc_node node) {
    GROW(g, nodes);
    node.offset = -1;
    g->nodes[g->n_nodes] = node;
    if (is_leaf(node.op) && node.decl < g->n_decls && !g->decls[node.decl].leaf)
        g->decls[node.decl].leaf = g->n_nodes;
    if (names_position(node.op) && node.axis < g->n_axes) {
        ftc_extent_def *extent = &g->extents[g->axes[node.axis].extent];
        if (extent->least <= node.index) {
            extent->least = node.index + 1;
            extent->least_line = (uint32_t)ftc_model_line(&node.loc);
        }
    }
    return g->n_nodes++;
}

ftc_id ftc_graph_copy_node(ftc_graph *g, const ftc_graph *from, ftc_id id, const ftc_id *map) {
    ftc_node node = from->nodes[id];
    for (int i = 0; i < node.n_args; i++) node.arg[i] = map[node.arg[i]];
    ftc_id copy = ftc_graph_append(g, node);
    g->nodes[copy].offset = node.offset;
    return copy;
}

ftc_id ftc_graph_leaf(const ftc_graph *g, ftc_decl decl) {
    return g->decls[decl].leaf;
}

void ftc_graph_replace_nodes(ftc_graph *g, ftc_graph *from, const ftc_id *map) {
    for (uint32_t i = 0; i < g->n_outputs; i++) g->outputs[i].node = map[g->outputs[i].node];
    for (uint32_t i = 0; i < g->n_decls; i++) g->decls[i].leaf = i < from->n_decls ? from->decls[i].leaf : 0;
    free(g->nodes);
    g->nodes = from->nodes;
    g->n_nodes = from->n_nodes;
    g->nodes_capacity = from->nodes_capacity;
    g->next_site = from->next_site;
    from->nodes = NULL;
    ftc_graph_free(from);
}

void ftc_graph_count_uses(const ftc_graph *g, uint32_t *count) {
    memset(count, 0, g->n_nodes * sizeof *count);
    for (ftc_id id = 1; id < g->n_nodes; id++)
        for (int i = 0; i < g->nodes[id].n_args; i++) count[g->nodes[id].arg[i]]++;
    for (uint32_t i = 0; i < g->n_outputs; i++) count[g->outputs[i].node]++;
}

void ftc_graph_find_needed(const ftc_graph *g, bool *needed) {
    ftc_recurrences r = ftc_recurrences_find(g);
    memset(needed, 0, g->n_nodes * sizeof *needed);
    for (uint32_t i = 0; i < g->n_outputs; i++) needed[g->outputs[i].node] = true;
    for (bool again = true; again;) { // once more for a scan that its state alone needs
        again = false;
        for (ftc_id id = g->n_nodes; id-- > 1;) {
            const ftc_node *node = &g->nodes[id];
            ftc_op_class class = ftc_node_class(node);
            if (class == FTC_CLASS_LEAF || class == FTC_CLASS_ASSIGN) needed[id] = true;
            for (int i = 0; i < node->n_args; i++) needed[node->arg[i]] |= needed[id];
            again |= needed[id] && r.scan[id] && !needed[r.scan[id]];
            if (needed[id] && r.scan[id]) needed[r.scan[id]] = true;
        }
    }
    ftc_recurrences_free(&r);
}

// --- types --------------------------------------------------------------------------------------------

int64_t ftc_type_max_elements(const ftc_graph *g, const ftc_type *t) {
    int64_t n = 1;
    for (int i = 0; i < t->axes.n; i++) n *= ftc_axis_extent(g, t->axes.at[i])->bound;
    return n;
}

const char *ftc_dtype_name(ftc_dtype dtype) {
    static const char *const names[] = {"f32", "bf16", "i32", "u32", "bool"};
    return names[dtype];
}

bool ftc_dtype_named(const char *name, ftc_dtype *dtype) {
    for (ftc_dtype t = FTC_F32; t <= FTC_BOOL; t++)
        if (!strcmp(ftc_dtype_name(t), name)) {
            *dtype = t;
            return true;
        }
    return false;
}

char *ftc_axes_text(const ftc_graph *g, const ftc_axes *axes, char *text, int size) {
    int used = 0;
    text[0] = 0;
    for (int i = 0; i < axes->n && used < size; i++)
        used +=
            snprintf(text + used, (size_t)(size - used), "%s%s", i ? ", " : "", g->axes[axes->at[i]].name);
    return text;
}

char *ftc_type_text(const ftc_graph *g, const ftc_type *t, char *text, int size) {
    char axes[256];
    ftc_axes_text(g, &t->axes, axes, sizeof axes);
    snprintf(text, (size_t)size, t->axes.n ? "%s[%s]" : "%s", ftc_dtype_name(t->dtype), axes);
    return text;
}
