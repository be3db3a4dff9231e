// Leaves and sources: values that come from declarations or from coordinates alone.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/base/random.h"

// --- param, input, arg --------------------------------------------------------------------------------

static bool infer_leaf(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                       int error_size) {
    if (node->decl >= g->n_decls) {
        snprintf(error, (size_t)error_size, "it names no declaration");
        return false;
    }
    *type = g->decls[node->decl].type;
    return true;
}

static void interpret_leaf(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_bindings *b = ftc_interp_bindings(in);
    const ftc_node *node = ftc_graph_node(g, id);
    int64_t n = ftc_interp_cells(g, b, &node->type.axes);
    if (n) memcpy(ftc_interp_result(in, id), b->tensors[node->decl], (size_t)n * sizeof(double));
}

// An argument, or what is computed from arguments once a step.
static void interpret_scalar(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_bindings *b = ftc_interp_bindings(in);
    const ftc_decl decl = ftc_graph_node(g, id)->decl;
    const ftc_formula *formula = &g->decls[decl].formula;
    double *values = ftc_alloc(g->n_decls, sizeof *values), *out = ftc_interp_result(in, id);
    for (int32_t i = 0; i < formula->n; i++)
        if (formula->code[i].op == FTC_FORMULA_scalar)
            values[formula->code[i].scalar] = b->tensors[formula->code[i].scalar][0];
    *out = formula->n ? ftc_formula_value(formula, values, b->step) : b->tensors[decl][0];
    if (b->rounds_scalars) *out = (float)*out;
    free(values);
}

// An input declared `in` an axis is checked by the caller: it lies below the axis's largest extent.
static ftc_range range_input(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    (void)args;
    const ftc_decl_def *decl = &g->decls[node->decl];
    if (decl->bound == FTC_NO_AXIS) return ftc_range_any(decl->type.dtype);
    return ftc_range_between(0, (double)ftc_axis_extent(g, decl->bound)->bound - 1);
}

const ftc_op_info ftc_op_info_param = {
    .name = "param",
    .doc = "A tensor that stays from step to step: a weight, a moment of the optimizer or a gradient "
           "accumulator. Its "
           "declaration gives the stored form and the axes under which the graph reads it.",
    .example = "W = param \"dense.weight\" f32[I, H]",
    .class = FTC_CLASS_LEAF,
    .attrs = FTC_ATTR_DECL,
    .infer = infer_leaf,
    .interpret = interpret_leaf,
};

const ftc_op_info ftc_op_info_input = {
    .name = "input",
    .doc = "A tensor given at each call. Values of an integer input declared `in V` are positions of axis V.",
    .example = "input ids : i32[B, S] in V",
    .class = FTC_CLASS_LEAF,
    .attrs = FTC_ATTR_DECL,
    .infer = infer_leaf,
    .interpret = interpret_leaf,
    .range = range_input,
};

const ftc_op_info ftc_op_info_arg = {
    .name = "arg",
    .doc =
        "A number given at each call, such as the learning rate, with a default; or, in dumps, one that is "
        "computed from such numbers before each call.",
    .example = "arg dropout : f32 = 0.1",
    .class = FTC_CLASS_LEAF,
    .attrs = FTC_ATTR_DECL,
    .infer = infer_leaf,
    .interpret = interpret_scalar,
};

// --- const, fill --------------------------------------------------------------------------------------

static bool is_value_of(ftc_dtype dtype, double value) {
    switch (dtype) {
    case FTC_I32: return value == (double)(int32_t)fmax(fmin(value, INT32_MAX), INT32_MIN);
    case FTC_U32: return value == (double)(uint32_t)fmax(fmin(value, UINT32_MAX), 0);
    case FTC_BOOL: return value == 0 || value == 1;
    default: return true;
    }
}

static bool infer_fill(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                       int error_size) {
    (void)g;
    if (!is_value_of(node->type.dtype, node->value)) {
        snprintf(error, (size_t)error_size, "%g is no %s", node->value, ftc_dtype_name(node->type.dtype));
        return false;
    }
    *type = (ftc_type){.dtype = node->type.dtype, .axes = node->axes};
    return true;
}

static void interpret_fill(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    int64_t n = ftc_interp_cells(g, ftc_interp_bindings(in), &node->type.axes);
    double *out = ftc_interp_result(in, id);
    for (int64_t i = 0; i < n; i++) out[i] = node->value;
}

static ftc_range range_fill(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    (void)g, (void)args;
    return isnan(node->value) ? ftc_range_any(FTC_F32) : ftc_range_between(node->value, node->value);
}

const ftc_op_info ftc_op_info_const = {
    .name = "const",
    .doc = "A number.",
    .example = "h = x * 0.5",
    .class = FTC_CLASS_SOURCE,
    .attrs = FTC_ATTR_VALUE | FTC_ATTR_DTYPE,
    .infer = infer_fill,
    .interpret = interpret_fill,
    .range = range_fill,
};

const ftc_op_info ftc_op_info_fill = {
    .name = "fill",
    .doc = "One number in every cell of the axes, ragged ones too: sum(fill(1; B, S); S) is the length of "
           "each sequence.",
    .example = "ones = fill(1; B, S)",
    .class = FTC_CLASS_SOURCE,
    .attrs = FTC_ATTR_VALUE | FTC_ATTR_AXES | FTC_ATTR_DTYPE,
    .infer = infer_fill,
    .interpret = interpret_fill,
    .range = range_fill,
};

// --- index --------------------------------------------------------------------------------------------

static bool infer_index(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                        int error_size) {
    if (node->axis >= g->n_axes) {
        snprintf(error, (size_t)error_size, "it names no axis");
        return false;
    }
    ftc_axis over = ftc_axis_over(g, node->axis);
    *type = (ftc_type){.dtype = FTC_I32};
    if (over != FTC_NO_AXIS) ftc_axes_add(&type->axes, over);
    ftc_axes_add(&type->axes, node->axis);
    return true;
}

static void interpret_index(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_node *node = ftc_graph_node(g, id);
    double *out = ftc_interp_result(in, id);
    ftc_walk w;
    ftc_walk_begin(&w, g, ftc_interp_bindings(in), &node->type.axes, node->axis);
    int o = ftc_walk_view(&w, &node->type.axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) out[w.at[o] + j * w.step[o]] = (double)j;
    ftc_walk_end(&w);
}

static ftc_range range_index(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    (void)args;
    ftc_range r = ftc_range_between(0, (double)ftc_axis_extent(g, node->axis)->bound - 1);
    r.below = g->axes[node->axis].extent;
    return r;
}

const ftc_op_info ftc_op_info_index = {
    .name = "index",
    .doc = "The position along an axis, from 0. Along a ragged axis it starts again in each sequence, and "
           "the result has "
           "the axis that it is ragged over too.",
    .example = "p = index(S)",
    .class = FTC_CLASS_SOURCE,
    .attrs = FTC_ATTR_AXIS,
    .infer = infer_index,
    .interpret = interpret_index,
    .range = range_index,
};

// --- random -------------------------------------------------------------------------------------------

static bool infer_random(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    (void)g, (void)error, (void)error_size;
    *type = (ftc_type){.dtype = FTC_F32, .axes = node->axes};
    return true;
}

static void interpret_random(ftc_interp *in, ftc_id id) {
    const ftc_graph *g = ftc_interp_graph(in);
    const ftc_bindings *b = ftc_interp_bindings(in);
    const ftc_node *node = ftc_graph_node(g, id);
    double *out = ftc_interp_result(in, id);
    uint64_t site = ftc_random_fold(ftc_random_fold(ftc_random_fold(b->seed, b->step), b->micro_step),
                                    (uint64_t)node->index);
    ftc_walk w;
    ftc_walk_begin(&w, g, b, &node->axes, FTC_NO_AXIS);
    int o = ftc_walk_view(&w, &node->axes);
    while (ftc_walk_next(&w)) {
        for (int64_t j = 0; j < w.n; j++) {
            uint64_t key = site;
            uint32_t last = 0;
            for (int i = 0; i < node->axes.n; i++) {
                int k = ftc_axes_find(&w.axes, node->axes.at[i]);
                int64_t c = w.coordinate[k] + (k == w.axes.n - 1 ? j : 0) +
                            ftc_interp_first_slot(in, node->axes.at[i]);
                if (i == node->axes.n - 1)
                    last = (uint32_t)c;
                else
                    key = ftc_random_fold(key, (uint64_t)c);
            }
            out[w.at[o] + j * w.step[o]] = ftc_random_cell(key, last);
        }
    }
    ftc_walk_end(&w);
}

// Multiples of 2^-24 below 1.
static ftc_range range_random(const ftc_graph *g, const ftc_node *node, const ftc_range *args) {
    (void)g, (void)node, (void)args;
    return ftc_range_between(0, 1 - 0x1p-24);
}

const ftc_op_info ftc_op_info_random = {
    .name = "random",
    .doc = "Uniform numbers in [0, 1), a function of seed, step, micro-step, site and coordinates "
           "(ir/base/random.h). Each use in "
           "a model gets a site of its own, which is never changed afterwards.",
    .example = "keep = p <= random(; axes(x))",
    .class = FTC_CLASS_SOURCE,
    .attrs = FTC_ATTR_AXES | FTC_ATTR_INDEX,
    .infer = infer_random,
    .interpret = interpret_random,
    .range = range_random,
};

// --- training -----------------------------------------------------------------------------------------

static bool infer_training(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                           int error_size) {
    (void)g, (void)node, (void)error, (void)error_size;
    *type = (ftc_type){.dtype = FTC_BOOL};
    return true;
}

static void interpret_training(ftc_interp *in, ftc_id id) {
    *ftc_interp_result(in, id) = ftc_entry_trains(ftc_interp_bindings(in)->entry);
}

const ftc_op_info ftc_op_info_training = {
    .name = "training",
    .doc =
        "Whether this is a training step: true in step, grad and update, false in eval. It is written as a "
        "name, and a constant once the graph of an entry is made.",
    .example = "y = select(training, x * 2, x)",
    .class = FTC_CLASS_SOURCE,
    .infer = infer_training,
    .interpret = interpret_training,
    .of_entry = true,
};
