#include "compiler/interface.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/passes/bounds.h"
#include "compiler/passes/slices.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

// Finds `name` in a table whose elements start with a name.
static int32_t find(const void *table, int32_t n, size_t size, const char *name) {
    for (int32_t i = 0; i < n; i++) {
        const char *const *candidate = (const void *)((const char *)table + (size_t)i * size);
        if (!strcmp(*candidate, name)) return i;
    }
    return -1;
}

#define FIND(in, table, name) find((in)->table, (in)->n_##table, sizeof *(in)->table, name)
#define APPEND(in, table, ...)                                                                               \
    ((in)->table = ftc_realloc((in)->table, (size_t)(in)->n_##table + 1, sizeof *(in)->table),               \
     (in)->table[(in)->n_##table++] = __VA_ARGS__)

static int32_t found(int32_t index, const char *name) {
    if (index >= 0) return index;
    ftc_fault("%s is not part of the program's interface", name);
}

static void add_extent(ftc_interface *in, const ftc_graph *g, const ftc_extent_def *extent) {
    if (FIND(in, extents, extent->name) >= 0) return;
    ftc_extent_info info = {.name = extent->name, .ragged_over = -1, .bound = extent->bound};
    if (extent->kind == FTC_EXTENT_CONST) info.least = extent->bound;
    if (extent->kind == FTC_EXTENT_RAGGED) {
        const ftc_extent_def *parent = ftc_axis_extent(g, extent->over);
        add_extent(in, g, parent);
        info.ragged_over = FIND(in, extents, parent->name);
    }
    info.least = info.least ? info.least : extent->least;
    info.least_line = (int32_t)extent->least_line;
    if (extent->kind == FTC_EXTENT_SYMBOL && !info.least) info.least = 1; // there is no batch of nothing
    APPEND(in, extents, info);
}

static bool lie_over(const ftc_graph *g, const ftc_axes *axes, ftc_extent extent) {
    for (int i = 0; i < axes->n; i++)
        if (g->axes[axes->at[i]].extent == extent) return true;
    return false;
}

// Whether something is over it; who calls need not say how long an axis is that nothing is over.
static bool is_used(const ftc_graph *g, ftc_extent extent) {
    for (uint32_t i = 0; i < g->n_decls; i++)
        if (lie_over(g, &g->decls[i].type.axes, extent)) return true;
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (lie_over(g, &g->nodes[id].type.axes, extent) || lie_over(g, &g->nodes[id].axes, extent))
            return true;
    return false;
}

static void add_extents(ftc_interface *in, const ftc_graph *g) {
    for (uint32_t i = 0; i < g->n_extents; i++)
        if (g->extents[i].kind != FTC_EXTENT_CONST && is_used(g, (ftc_extent)i))
            add_extent(in, g, &g->extents[i]);
}

static void add_tensor(ftc_interface *in, const ftc_graph *g, const ftc_decl_def *decl) {
    static const ftc_tensor_role roles[] = {[FTC_DECL_PARAM] = FTC_ROLE_PARAM,
                                            [FTC_DECL_MOMENT] = FTC_ROLE_MOMENT,
                                            [FTC_DECL_GRADIENT] = FTC_ROLE_GRADIENT,
                                            [FTC_DECL_TOUCHED] = FTC_ROLE_TOUCHED};
    ftc_tensor_info info = {.name = decl->name,
                            .role = roles[decl->kind],
                            .dtype = decl->type.dtype,
                            .rank = decl->n_dims,
                            .of = -1,
                            .by = -1,
                            .trainable = !decl->frozen,
                            .zero_row = decl->zero_row,
                            .init = decl->init,
                            .init_scale = decl->init_scale};
    for (int i = 0; i < decl->n_dims; i++) {
        info.dims[i] = 1;
        for (int j = 0; j < decl->dims[i].n; j++)
            info.dims[i] *= ftc_axis_extent(g, decl->dims[i].at[j])->bound;
    }
    if (decl->of != FTC_NO_DECL) info.of = FIND(in, tensors, g->decls[decl->of].name);
    if (decl->kind == FTC_DECL_TOUCHED) info.by = FIND(in, inputs, g->decls[decl->by].name);
    APPEND(in, tensors, info);
}

// --- counts -------------------------------------------------------------------------------------------

static int compare_indices(const void *a, const void *b) {
    return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b);
}

// The extents that cells over the axes are counted by: an axis that others are ragged over is counted with
// them.
static ftc_count_info count_of(const ftc_interface *in, const ftc_graph *g, const ftc_axes *axes) {
    ftc_count_info count = {0};
    for (int i = 0; i < axes->n; i++) {
        const ftc_extent_def *extent = ftc_axis_extent(g, axes->at[i]);
        if (extent->kind != FTC_EXTENT_CONST && !ftc_axes_over(g, axes, axes->at[i]).n)
            count.extents[count.n++] = ftc_interface_extent(in, extent);
    }
    qsort(count.extents, (size_t)count.n, sizeof *count.extents, compare_indices);
    return count;
}

static int32_t find_count(const ftc_interface *in, const ftc_count_info *count) {
    for (int32_t i = 0; i < in->n_counts; i++) {
        size_t bytes = (size_t)count->n * sizeof *count->extents;
        if (in->counts[i].n == count->n && !memcmp(in->counts[i].extents, count->extents, bytes)) return i;
    }
    return -1;
}

static int32_t add_count(ftc_interface *in, const ftc_graph *g, const ftc_axes *axes) {
    ftc_count_info count = count_of(in, g, axes);
    int32_t i = find_count(in, &count);
    if (i >= 0) return i;
    APPEND(in, counts, count);
    return in->n_counts - 1;
}

// The caller knows where the blocks of a value in memory begin that has several ragged axes.
static void add_prefix(ftc_interface *in, const ftc_graph *g, const ftc_axes *axes) {
    for (int i = 0; i < axes->n; i++) {
        ftc_axes ragged = ftc_axes_over(g, axes, axes->at[i]);
        if (ragged.n < 2) continue;
        int32_t at = add_count(in, g, &ragged);
        in->counts[at].has_prefix = 1;
    }
}

void ftc_interface_add_counts(ftc_interface *in, const ftc_graph *g) {
    add_extents(in, g);
    add_count(in, g, &(ftc_axes){0});
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        add_count(in, g, &node->type.axes);
        if (node->offset >= 0) add_prefix(in, g, &node->type.axes);
        if (ftc_node_class(node) == FTC_CLASS_SCATTER) add_prefix(in, g, &g->nodes[node->arg[1]].type.axes);
        ftc_axes worked = ftc_axes_union(&node->type.axes, &node->axes);
        if (ftc_node_class(node) == FTC_CLASS_DOT) add_count(in, g, &worked);
    }
    for (uint32_t k = 1; k < g->n_kernels; k++) { // which cut their rows
        add_prefix(in, g, &g->kernels[k].rows);
        add_prefix(in, g, &g->kernels[k].cols);
    }
}

int64_t ftc_interface_each(const ftc_graph *g, const ftc_axes *axes) {
    int64_t each = 1;
    for (int i = 0; i < axes->n; i++) {
        const ftc_extent_def *extent = ftc_axis_extent(g, axes->at[i]);
        if (extent->kind == FTC_EXTENT_CONST && !ftc_axes_over(g, axes, axes->at[i]).n) each *= extent->bound;
    }
    return each;
}

int32_t ftc_interface_count(const ftc_interface *in, const ftc_graph *g, const ftc_axes *axes) {
    ftc_count_info count = count_of(in, g, axes);
    return found(find_count(in, &count), "a count");
}

// --- inputs and outputs -------------------------------------------------------------------------------

static void add_decl(ftc_interface *in, const ftc_graph *g, const ftc_decl_def *decl);

// The index of the axis' extent; -1: each call has as many positions.
static int32_t extent_of(const ftc_interface *in, const ftc_graph *g, ftc_axis axis) {
    return axis == FTC_NO_AXIS ? -1 : FIND(in, extents, ftc_axis_extent(g, axis)->name);
}

// The axes of an input or output, in the order of memory.
static void describe_axes(const ftc_interface *in, const ftc_graph *g, const ftc_axes *axes,
                          ftc_axis_info *out) {
    ftc_axes order = ftc_axes_interface_order(g, axes);
    for (int i = 0; i < order.n; i++) {
        int32_t extent = extent_of(in, g, order.at[i]);
        int64_t size = extent < 0 ? ftc_axis_extent(g, order.at[i])->bound : 0;
        out[i] = (ftc_axis_info){g->axes[order.at[i]].name, extent, size};
    }
}

static void add_input(ftc_interface *in, const ftc_graph *g, const ftc_decl_def *decl) {
    ftc_input_info info = {.name = decl->name,
                           .dtype = decl->type.dtype,
                           .role = decl->from,
                           .column = decl->column,
                           .bound = decl->bound == FTC_NO_AXIS ? 0 : ftc_axis_extent(g, decl->bound)->bound,
                           .of = extent_of(in, g, decl->bound)};
    const ftc_axes *axes = &decl->type.axes;
    info.each = ftc_interface_each(g, axes);
    info.count = add_count(in, g, axes);
    info.rank = axes->n;
    describe_axes(in, g, axes, info.axes);
    add_prefix(in, g, axes);
    APPEND(in, inputs, info);
}

// A scalar that is computed from others, which the interface has or gets first.
static void add_formula(ftc_interface *in, const ftc_graph *g, const ftc_decl_def *decl) {
    ftc_formula_code *code = ftc_alloc((size_t)decl->formula.n, sizeof *code);
    for (int32_t i = 0; i < decl->formula.n; i++) {
        code[i] = decl->formula.code[i];
        if (code[i].op != FTC_FORMULA_scalar) continue;
        const ftc_decl_def *argument = &g->decls[code[i].scalar];
        add_decl(in, g, argument);
        code[i].scalar = FIND(in, scalars, argument->name);
    }
    APPEND(in, scalars, (ftc_scalar_info){.name = decl->name, .formula = {decl->formula.n, code}});
}

static void add_decl(ftc_interface *in, const ftc_graph *g, const ftc_decl_def *decl) {
    switch (decl->kind) {
    case FTC_DECL_INPUT:
        if (FIND(in, inputs, decl->name) < 0) add_input(in, g, decl);
        break;
    case FTC_DECL_ARG:
        if (FIND(in, scalars, decl->name) < 0)
            APPEND(in, scalars,
                   (ftc_scalar_info){.name = decl->name, .value = decl->value, .role = decl->role});
        break;
    case FTC_DECL_SCALAR:
        if (FIND(in, scalars, decl->name) < 0) add_formula(in, g, decl);
        break;
    default:
        if (FIND(in, tensors, decl->name) < 0) add_tensor(in, g, decl);
    }
}

static int32_t add_output(ftc_interface *in, const ftc_graph *g, const ftc_output *output) {
    int32_t at = FIND(in, outputs, output->name);
    if (at >= 0) return at;
    ftc_output_info info = {.name = output->name,
                            .dtype = g->nodes[output->node].type.dtype,
                            .role = output->role,
                            .of = output->of == FTC_NO_DECL ? -1
                                                            : FIND(in, tensors, g->decls[output->of].name)};
    info.each = ftc_interface_each(g, &output->order);
    info.count = add_count(in, g, &output->order);
    info.rank = output->order.n;
    describe_axes(in, g, &output->order, info.axes);
    add_prefix(in, g, &output->order);
    APPEND(in, outputs, info);
    return in->n_outputs - 1;
}

// Marks the parameters that grad assigns.
static void add_assignments(ftc_interface *in, const ftc_graph *grad) {
    for (ftc_id id = 1; id < grad->n_nodes; id++) {
        const ftc_node *node = &grad->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_ASSIGN) continue;
        const ftc_decl_def *decl = &grad->decls[node->decl];
        if (decl->kind == FTC_DECL_PARAM) in->tensors[FIND(in, tensors, decl->name)].each_micro_batch = 1;
    }
}

// Marks the parameters of which the graph of an entry makes the new values by slices of rows.
static void mark_sliced(ftc_interface *in, const ftc_graph *g, ftc_entry_kind entry) {
    ftc_slices slices = ftc_slices_find(g, entry);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_ASSIGN || !ftc_slices_gathers(&slices, g, id)) continue;
        in->tensors[FIND(in, tensors, g->decls[node->decl].name)].is_sliced = 1;
    }
    ftc_slices_free(&slices);
}

void ftc_interface_add_graph(ftc_interface *in, const ftc_graph *g, ftc_entry_kind entry) {
    add_extents(in, g);
    for (uint32_t i = 0; i < g->n_decls; i++) add_decl(in, g, &g->decls[i]);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        int32_t at = add_output(in, g, &g->outputs[i]);
        in->outputs[at].entries |= 1u << entry;
    }
    if (entry == FTC_ENTRY_GRAD) add_assignments(in, g);
    mark_sliced(in, g, entry);
    ftc_interface_add_counts(in, g);
}

void ftc_interface_add_checks(ftc_interface *in, const ftc_graph *source) {
    for (int32_t i = 0; i < in->n_outputs; i++) {
        if (in->outputs[i].role != FTC_OUTPUT_FAULT) continue;
        ftc_axis batch, indexed;
        ftc_check_info info = ftc_bounds_describe(source, in->outputs[i].name, &batch, &indexed);
        info.extent = extent_of(in, source, batch);
        info.of = extent_of(in, source, indexed);
        info.output = i;
        APPEND(in, checks, info);
    }
}

// Whether the node takes rows of what is indexed by something else than the label, whose score a loss takes.
static bool looks_up(const ftc_graph *g, const ftc_node *node) {
    if (ftc_node_class(node) == FTC_CLASS_AT)
        return ftc_axes_are_constant(g, &ftc_graph_node(g, node->arg[0])->type.axes);
    if (ftc_node_class(node) != FTC_CLASS_GATHER) return false;
    const ftc_node *index = ftc_graph_node(g, node->arg[1]);
    if (ftc_node_class(index) != FTC_CLASS_LEAF) return true;
    ftc_input_role from = g->decls[index->decl].from;
    return from != FTC_FROM_LABEL && from != FTC_FROM_MASKED_TOKENS;
}

// Whether rows of the parameter are looked up, as they are or as what is computed of each by itself (as a
// normalization). `holds_rows` is room for a flag a node.
static bool is_table(const ftc_graph *g, const ftc_decl_def *param, ftc_id leaf, bool *holds_rows) {
    if (param->n_dims != 2 || param->dims[0].n != 1) return false;
    const ftc_axis rows = param->dims[0].at[0];
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        holds_rows[id] = id == leaf;
        for (int i = 0; i < node->n_args; i++) holds_rows[id] |= holds_rows[node->arg[i]];
        if (node->axis == rows && node->n_args && holds_rows[node->arg[0]] && looks_up(g, node)) return true;
        holds_rows[id] &= ftc_axes_has(&node->type.axes, rows);
    }
    return false;
}

void ftc_interface_mark_tables(ftc_interface *in, const ftc_graph *source) {
    bool *holds_rows = ftc_alloc(source->n_nodes + 1, sizeof *holds_rows);
    for (uint32_t i = 0; i < source->n_decls; i++) {
        const ftc_decl_def *param = &source->decls[i];
        int32_t at = param->kind == FTC_DECL_PARAM ? FIND(in, tensors, param->name) : -1;
        if (at < 0) continue;
        in->tensors[at].is_table = is_table(source, param, ftc_graph_leaf(source, (ftc_decl)i), holds_rows);
    }
    free(holds_rows);
}

void ftc_interface_free(ftc_interface *in) {
    free(in->tensors);
    free(in->inputs);
    for (int32_t i = 0; i < in->n_scalars; i++) free((void *)in->scalars[i].formula.code);
    free(in->scalars);
    free(in->checks);
    free(in->outputs);
    free(in->extents);
    free(in->counts);
    *in = (ftc_interface){0};
}

int32_t ftc_interface_decl(const ftc_interface *in, const ftc_decl_def *decl) {
    switch (decl->kind) {
    case FTC_DECL_INPUT: return found(FIND(in, inputs, decl->name), decl->name);
    case FTC_DECL_ARG:
    case FTC_DECL_SCALAR: return found(FIND(in, scalars, decl->name), decl->name);
    default: return found(FIND(in, tensors, decl->name), decl->name);
    }
}

int32_t ftc_interface_output(const ftc_interface *in, const char *name) {
    return found(FIND(in, outputs, name), name);
}

int32_t ftc_interface_extent(const ftc_interface *in, const ftc_extent_def *extent) {
    return found(FIND(in, extents, extent->name), extent->name);
}
