#include "compiler/interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/bounds.h"

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
    ((in)->table = realloc((in)->table, (size_t)((in)->n_##table + 1) * sizeof *(in)->table),                \
     (in)->table[(in)->n_##table++] = __VA_ARGS__)

static void add_extent(ftc_interface *in, const ftc_graph *g, const ftc_extent_def *extent) {
    if (extent->kind == FTC_EXTENT_CONST || FIND(in, extents, extent->name) >= 0) return;
    int32_t over = -1;
    if (extent->kind == FTC_EXTENT_RAGGED) {
        const ftc_extent_def *parent = ftc_axis_extent(g, extent->over);
        add_extent(in, g, parent);
        over = FIND(in, extents, parent->name);
    }
    int64_t least = extent->least;
    if (extent->kind == FTC_EXTENT_SYMBOL && !least) least = 1; // there is no batch of nothing
    APPEND(in, extents,
           (ftc_extent_info){extent->name, over, extent->bound, least, (int32_t)extent->least_line});
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
                            .init_std = decl->init_std};
    for (int i = 0; i < decl->n_dims; i++) {
        info.dims[i] = 1;
        for (int j = 0; j < decl->dims[i].n; j++)
            info.dims[i] *= ftc_axis_extent(g, decl->dims[i].at[j])->bound;
    }
    if (decl->of != FTC_NO_DECL) info.of = FIND(in, tensors, g->decls[decl->of].name);
    if (decl->kind == FTC_DECL_TOUCHED) info.by = FIND(in, inputs, g->decls[decl->by].name);
    APPEND(in, tensors, info);
}

static void add_decl(ftc_interface *in, const ftc_graph *g, const ftc_decl_def *decl);

static bool over_tokens(const ftc_graph *g, const ftc_type *type) {
    for (int i = 0; i < type->axes.n; i++)
        if (ftc_axis_extent(g, type->axes.at[i])->kind == FTC_EXTENT_RAGGED) return true;
    return false;
}

// A scalar that is computed from others, which the interface has or gets first.
static void add_formula(ftc_interface *in, const ftc_graph *g, const ftc_decl_def *decl) {
    ftc_formula_code *code = calloc((size_t)decl->formula.n, sizeof *code);
    if (!code) abort();
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
        if (FIND(in, inputs, decl->name) < 0)
            APPEND(in, inputs,
                   (ftc_input_info){decl->name, decl->type.dtype, over_tokens(g, &decl->type),
                                    decl->bound == FTC_NO_AXIS ? 0 : ftc_axis_extent(g, decl->bound)->bound});
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

void ftc_interface_add_graph(ftc_interface *in, const ftc_graph *g, ftc_entry_kind entry) {
    for (uint32_t i = 0; i < g->n_extents; i++) add_extent(in, g, &g->extents[i]);
    for (uint32_t i = 0; i < g->n_decls; i++) add_decl(in, g, &g->decls[i]);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ftc_type *type = &g->nodes[g->outputs[i].node].type;
        int32_t at = FIND(in, outputs, g->outputs[i].name);
        if (at < 0) {
            ftc_output_info info = {.name = g->outputs[i].name, .dtype = type->dtype, .columns = 1};
            for (int a = 0; a < type->axes.n; a++) {
                const ftc_extent_def *extent = ftc_axis_extent(g, type->axes.at[a]);
                if (extent->kind == FTC_EXTENT_CONST)
                    info.columns *= extent->bound;
                else
                    info.per_sequence = 1;
            }
            at = in->n_outputs;
            APPEND(in, outputs, info);
        }
        in->outputs[at].entries |= 1u << entry;
    }
}

void ftc_interface_add_checks(ftc_interface *in, const ftc_graph *source) {
    for (int32_t i = 0; i < in->n_outputs; i++) {
        if (strncmp(in->outputs[i].name, FTC_FAULT_PREFIX, strlen(FTC_FAULT_PREFIX)) != 0) continue;
        const char *extent;
        ftc_check_info info = ftc_bounds_describe(source, in->outputs[i].name, &extent);
        info.extent = extent ? FIND(in, extents, extent) : -1;
        info.output = i;
        APPEND(in, checks, info);
    }
}

void ftc_interface_free(ftc_interface *in) {
    free(in->tensors);
    free(in->inputs);
    for (int32_t i = 0; i < in->n_scalars; i++) free((void *)in->scalars[i].formula.code);
    free(in->scalars);
    free(in->checks);
    free(in->outputs);
    free(in->extents);
    *in = (ftc_interface){0};
}

static int32_t found(int32_t index, const char *name) {
    if (index >= 0) return index;
    fprintf(stderr, "internal error: %s is not part of the program's interface\n", name);
    abort();
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
