// optimizer: appends what happens to the gradients, so that it is part of the compiled step. The arithmetic
// is text, the model's own or the library's (ir/std/optimizers.ir); this file only says to which tensors it
// is applied:
//
//   step    each gradient goes into the update of its parameter at once
//   grad    each gradient is added to its accumulator, "<parameter>.grad"
//   update  the accumulators' global norm, clipping, the updates; the accumulators go back to zero. Where the
//           loss says how much it weighs, the accumulators are divided by what all calls weighed together
//   eval    nothing
//
// A step whose loss (update: whose norm) is not finite, and any call with an index outside of its table
// (compiler/passes/bounds.c), changes nothing: each of its assignments writes back what was there. So it is
// with the rows of a table that no gradient has reached, where the optimizer would only multiply them by a
// number: the caller does that when it needs them (FTC_ROLE_TOUCHED, ir/step_abi.h).
//
// differentiate hands over each gradient as an output, which is taken away here.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/bounds.h"
#include "compiler/passes/groups.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/pattern.h"
#include "compiler/passes/simplify.h"
#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/build.h"
#include "ir/formula.h"
#include "ir/lang/elaborate.h"
#include "ir/op.h"

// What the pass works with.
typedef struct {
    ftc_graph *g;
    ftc_library *library;
    const ftc_function *optimizer;
    ftc_group *groups; // by declaration
    ftc_id faultless;  // whether all indices were rows of their tables; 0: they are
    ftc_id finite;     // that, and whether anything is to be updated; 0: always
    ftc_diagnostics *d;
} updater;

// The leaf of a declaration, appended where the graph has none yet.
static ftc_id leaf_of(ftc_graph *g, ftc_decl decl) {
    ftc_id leaf = ftc_graph_leaf(g, decl);
    if (leaf) return leaf;
    ftc_decl_kind kind = g->decls[decl].kind;
    ftc_op op = kind == FTC_DECL_ARG || kind == FTC_DECL_SCALAR ? FTC_OP_arg : FTC_OP_param;
    return ftc_build(g, (ftc_node){.op = op, .decl = decl, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS});
}

static ftc_id accumulator(ftc_graph *g, ftc_decl param) {
    const char *name = ftc_graph_format(g, "%s.grad", g->decls[param].name);
    ftc_decl decl = ftc_graph_find_decl(g, name);
    if (decl == FTC_NO_DECL)
        decl = ftc_graph_add_companion(g, param, FTC_DECL_GRADIENT, name, 0, g->decls[param].n_dims);
    return leaf_of(g, decl);
}

// The leaf of a step argument that holds a number of a group: "lr_factor_0p1". An argument and no constant,
// so that parameters of different groups share their kernels.
static ftc_id group_argument(ftc_graph *g, const char *what, double value) {
    char name[64];
    snprintf(name, sizeof name, "%s_%.9g", what, (double)(float)value);
    for (char *c = name; *c; c++) *c = *c == '.' ? 'p' : *c == '-' ? 'm' : *c == '+' ? '_' : *c;
    ftc_decl decl = ftc_graph_find_decl(g, name);
    if (decl == FTC_NO_DECL)
        decl = ftc_graph_add_decl(g, (ftc_decl_def){.kind = FTC_DECL_ARG,
                                                    .name = name,
                                                    .type.dtype = FTC_F32,
                                                    .zero_row = -1,
                                                    .of = FTC_NO_DECL,
                                                    .bound = FTC_NO_AXIS,
                                                    .value = value});
    return leaf_of(g, decl);
}

// The input by whose values alone the parameter's rows are read, as those of a table; FTC_NO_DECL: none.
static ftc_decl looked_up_by(const ftc_graph *g, ftc_decl param) {
    const ftc_decl_def *table = &g->decls[param];
    ftc_id leaf = ftc_graph_leaf(g, param);
    ftc_decl by = FTC_NO_DECL;
    if (table->n_dims != 2 || table->dims[0].n != 1) return FTC_NO_DECL;
    if (ftc_graph_output_of(g, leaf)) return FTC_NO_DECL; // all of it is given away
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        for (int i = 0; i < node->n_args; i++) {
            if (node->arg[i] != leaf) continue;
            bool looks_up =
                ftc_node_class(node) == FTC_CLASS_GATHER && i == 0 && node->axis == table->dims[0].at[0];
            const ftc_node *rows = looks_up ? ftc_graph_node(g, node->arg[1]) : NULL;
            if (!rows || ftc_node_class(rows) != FTC_CLASS_LEAF ||
                g->decls[rows->decl].kind != FTC_DECL_INPUT || (by != FTC_NO_DECL && by != rows->decl))
                return FTC_NO_DECL;
            by = rows->decl;
        }
    }
    return by;
}

static ftc_decl find_touched(ftc_graph *g, ftc_decl param) {
    return ftc_graph_find_decl(g, ftc_graph_format(g, "%s.touched", g->decls[param].name));
}

// Leaves the update of the table's untouched rows to the caller, who multiplies them by `factor`.
static void spare_untouched_rows(updater *u, ftc_decl table, ftc_decl by, ftc_id factor) {
    ftc_graph *g = u->g;
    ftc_decl_def info = g->decls[table];
    info.kind = FTC_DECL_TOUCHED;
    info.name = ftc_graph_format(g, "%s.touched", info.name);
    info.type = (ftc_type){FTC_BOOL, info.dims[0]};
    info.n_dims = 1;
    info.init = FTC_INIT_ZEROS;
    info.zero_row = -1;
    info.of = table;
    info.by = by;
    ftc_graph_add_decl(g, info);
    if (u->finite) factor = ftc_build_select(g, u->finite, factor, ftc_build_const(g, 1));
    ftc_output *output = ftc_graph_add_output(g, ftc_graph_format(g, "%s.untouched", g->decls[table].name),
                                              factor, 1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_UPDATE);
    output->role = FTC_OUTPUT_FACTOR;
    output->of = table;
}

static bool is_read(const ftc_graph *g, ftc_id value) {
    for (ftc_id id = 1; id < g->n_nodes; id++)
        for (int i = 0; i < ftc_graph_node(g, id)->n_args; i++)
            if (ftc_graph_node(g, id)->arg[i] == value) return true;
    return false;
}

// Appends what the optimizer does to a parameter.
static void append_optimizer(updater *u, ftc_decl param, ftc_id gradient) {
    const ftc_group *group = &u->groups[param];
    ftc_id args[4] = {leaf_of(u->g, param), gradient};
    args[2] = ftc_library_rate(u->library, u->optimizer);
    if (args[2] && group->lr_factor != 1)
        args[2] =
            ftc_build_map2(u->g, FTC_OP_mul, args[2], group_argument(u->g, "lr_factor", group->lr_factor));
    args[3] = group->has_weight_decay ? group_argument(u->g, "weight_decay", group->weight_decay)
                                      : ftc_library_decay(u->library, u->optimizer, args[0]);
    if (!args[2] || !args[3]) return;
    ftc_library_update(u->library, u->optimizer, args);
    const char *unread = group->lr_factor != 1 && !is_read(u->g, args[2])     ? "lr"
                         : group->has_weight_decay && !is_read(u->g, args[3]) ? "weight_decay"
                                                                              : NULL;
    if (unread)
        ftc_diag_add(u->d, u->g->model, NULL, 0, 0,
                     "the %s of %s changes nothing: the optimizer %s takes none", unread,
                     u->g->decls[param].name, u->optimizer->name);
}

// --- untouched rows -----------------------------------------------------------------------------------

// The optimizer's text on a table alone, with a gradient and state that are zero, simplified. NULL where it
// does not work cell by cell, or has state that is not a row's own: what becomes of a row may then depend on
// others.
static ftc_graph *update_of_nothing(const updater *u, ftc_decl table) {
    ftc_graph *h = ftc_graph_new_like(u->g);
    updater alone = {.g = h, .groups = u->groups, .d = u->d};
    ftc_build_cursor(h, (ftc_loc){0}, FTC_PHASE_UPDATE);
    alone.library = ftc_library_open(h, u->d);
    alone.optimizer = ftc_library_optimizer(alone.library, u->optimizer->name);
    leaf_of(h, table);
    append_optimizer(&alone, table, ftc_build_fill(h, 0, FTC_F32, &h->decls[table].type.axes));
    ftc_library_close(alone.library);
    ftc_graph *out = ftc_graph_new_like(h);
    ftc_id *map = ftc_alloc(h->n_nodes, sizeof *map);
    bool by_cells = true;
    for (ftc_id id = 1; id < h->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(h, id);
        ftc_op_class class = ftc_node_class(node);
        bool is_state = class == FTC_CLASS_LEAF && h->decls[node->decl].kind == FTC_DECL_MOMENT &&
                        h->decls[node->decl].of == table;
        by_cells &= class == FTC_CLASS_LEAF || class == FTC_CLASS_SOURCE || class == FTC_CLASS_MAP ||
                    class == FTC_CLASS_ASSIGN;
        by_cells &= !is_state || ftc_axes_subset(&h->decls[table].dims[0], &node->type.axes);
        map[id] = is_state ? ftc_build_fill(out, 0, node->type.dtype, &node->type.axes)
                           : ftc_graph_copy_node(out, h, id, map);
    }
    ftc_graph_replace_nodes(h, out, map);
    free(map);
    if (by_cells) {
        ftc_simplify(h, ftc_simplify_rules, ftc_n_simplify_rules, true, NULL);
        return h;
    }
    ftc_graph_free(h);
    return NULL;
}

// A step scalar of h, of the same expression in g, which has its arguments.
static ftc_id copy_scalar(ftc_graph *g, const ftc_graph *h, ftc_id id) {
    ftc_node node = *ftc_graph_node(h, id);
    if (ftc_node_class(&node) == FTC_CLASS_LEAF)
        return leaf_of(g, ftc_graph_find_decl(g, h->decls[node.decl].name));
    for (int i = 0; i < node.n_args; i++) node.arg[i] = copy_scalar(g, h, node.arg[i]);
    return ftc_build(g, node);
}

// By what the new value of the table, in h, multiplies the old one; 0: it is no product with a step scalar.
static ftc_id factor_of(ftc_graph *h, ftc_decl table, ftc_id value) {
    ftc_id old = ftc_graph_leaf(h, table);
    if (value == old) return ftc_build_const(h, 1);
    const ftc_pattern product = ftc_pattern_parse("mul(x, y)");
    ftc_pattern_match match;
    if (!ftc_pattern_matches(&product, h, value, &match)) return 0;
    ftc_id x = match.node['x'], y = match.node['y'], factor = x == old ? y : x;
    if (x != old && y != old) return 0;
    ftc_formula_builder formula;
    bool is_scalar = ftc_formula_of(h, factor, &formula) ||
                     (ftc_is_constant(ftc_graph_node(h, factor)) && !ftc_graph_node(h, factor)->type.axes.n);
    return is_scalar ? factor : 0;
}

// The node of h by which an update multiplies a row of the table whose gradient and state have been zero so
// far, as long as that is all that it does to it; else 0.
static ftc_id untouched_factor(ftc_graph *h, ftc_decl table) {
    ftc_id factor = 0;
    uint32_t n_nodes = h->n_nodes;
    for (ftc_id id = 1; id < n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(h, id);
        ftc_id value = node->arg[0];
        if (ftc_node_class(node) != FTC_CLASS_ASSIGN) continue;
        bool known = node->decl == table ? (factor = factor_of(h, table, value)) != 0
                                         : ftc_is_zero(ftc_graph_node(h, value));
        if (!known) return 0;
    }
    return factor;
}

static bool append_update(updater *u, ftc_decl param, ftc_id gradient) {
    int errors = u->d->count;
    ftc_decl by = looked_up_by(u->g, param);
    ftc_graph *nothing = by != FTC_NO_DECL ? update_of_nothing(u, param) : NULL;
    if (u->d->count == errors) append_optimizer(u, param, gradient);
    bool ok = u->d->count == errors;
    ftc_id factor = ok && nothing ? untouched_factor(nothing, param) : 0;
    if (factor) spare_untouched_rows(u, param, by, copy_scalar(u->g, nothing, factor));
    ftc_graph_free(nothing);
    return ok;
}

static void set_cursor(ftc_graph *g, ftc_decl param) {
    ftc_build_cursor(g, g->decls[param].loc, FTC_PHASE_UPDATE);
}

// step, grad: what becomes of the gradients that differentiate left.
static void consume_gradients(updater *u, ftc_entry_kind entry) {
    ftc_graph *g = u->g;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        ftc_output output = g->outputs[i];
        if (output.role != FTC_OUTPUT_GRADIENT) {
            g->outputs[kept++] = output;
            continue;
        }
        ftc_decl param = output.of;
        set_cursor(g, param);
        if (entry == FTC_ENTRY_STEP) {
            if (!append_update(u, param, output.node)) return;
        } else {
            ftc_id args[] = {accumulator(g, param), output.node};
            ftc_library_call(u->library, "accumulate", args, 2);
        }
    }
    g->n_outputs = kept;
}

// Whether no check of the entry tells of a fault; 0: there is no check.
static ftc_id is_faultless(ftc_graph *g) {
    ftc_id most = 0;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i].role != FTC_OUTPUT_FAULT) continue;
        ftc_id fault = g->outputs[i].node;
        ftc_build_cursor(g, ftc_graph_node(g, fault)->loc, FTC_PHASE_UPDATE);
        most = most ? ftc_build_map2(g, FTC_OP_maximum, most, fault) : fault;
    }
    return most ? ftc_build_map2(g, FTC_OP_eq, most, ftc_build_const(g, -INFINITY)) : 0;
}

// Both conditions, each 0 where it always holds.
static ftc_id both(ftc_graph *g, ftc_id x, ftc_id y) {
    return x && y ? ftc_build_map2(g, FTC_OP_and, x, y) : x ? x : y;
}

static ftc_id is_finite(ftc_graph *g, ftc_id scalar) {
    ftc_build_cursor(g, ftc_graph_node(g, scalar)->loc, FTC_PHASE_UPDATE);
    return ftc_build_map2(g, FTC_OP_lt, ftc_build_map1(g, FTC_OP_abs, scalar), ftc_build_const(g, INFINITY));
}

// Along the last axis first, as it lies in memory: all threads and lanes take part in that.
static ftc_id square_sum(ftc_graph *g, ftc_id x) {
    ftc_axes rest = ftc_graph_node(g, x)->type.axes, last = {0};
    if (rest.n) last = ftc_axes_of(rest.at[--rest.n]);
    ftc_id sum = ftc_build_sum(g, ftc_build_map2(g, FTC_OP_mul, x, x), &last);
    return rest.n ? ftc_build_sum(g, sum, &rest) : sum;
}

// update: accumulators to parameters.
static void update_from_accumulators(updater *u) {
    ftc_graph *g = u->g;
    uint32_t n_decls = g->n_decls;
    ftc_id total = 0;
    for (uint32_t i = 0; i < n_decls; i++) {
        if (g->decls[i].kind != FTC_DECL_PARAM || g->decls[i].frozen) continue;
        set_cursor(g, (ftc_decl)i);
        ftc_id square = square_sum(g, accumulator(g, (ftc_decl)i));
        total = total ? ftc_build_map2(g, FTC_OP_add, total, square) : square;
    }
    if (!total) return;
    ftc_build_cursor(g, (ftc_loc){0}, FTC_PHASE_UPDATE);
    ftc_id norm = ftc_build_map1(g, FTC_OP_sqrt, total), share = 0;
    if (ftc_graph_find_output(g, FTC_OUTPUT_WEIGHT)) {
        share = ftc_library_call(u->library, "weight_share", NULL, 0);
        norm = ftc_build_map2(g, FTC_OP_mul, norm, share);
    }
    u->finite = both(g, is_finite(g, norm), u->faultless);
    ftc_graph_add_output(g, "grad_norm", norm, 1u << FTC_ENTRY_UPDATE)->role = FTC_OUTPUT_NORM;
    ftc_id factor = ftc_library_call(u->library, "clip_factor", &norm, 1);
    if (share) factor = ftc_build_map2(g, FTC_OP_mul, factor, share);
    for (uint32_t i = 0; i < n_decls; i++) {
        if (g->decls[i].kind != FTC_DECL_PARAM || g->decls[i].frozen) continue;
        set_cursor(g, (ftc_decl)i);
        ftc_id gradient = accumulator(g, (ftc_decl)i);
        if (!append_update(u, (ftc_decl)i, ftc_build_map2(g, FTC_OP_mul, gradient, factor))) return;
        ftc_type type = ftc_graph_node(g, gradient)->type;
        ftc_id zero = ftc_build_fill(g, 0, type.dtype, &type.axes);
        ftc_build(g, (ftc_node){.op = FTC_OP_assign,
                                .n_args = 1,
                                .arg = {zero},
                                .axis = FTC_NO_AXIS,
                                .to = FTC_NO_AXIS,
                                .decl = ftc_graph_node(g, gradient)->decl});
    }
}

// What an assignment to a parameter or moment depends on: that the step is to change anything, and for a
// table, row by row, that a gradient has reached it. 0: nothing.
static ftc_id condition_of(ftc_graph *g, ftc_decl assigned, ftc_id finite) {
    ftc_decl of = g->decls[assigned].of, touched = find_touched(g, of == FTC_NO_DECL ? assigned : of);
    return touched == FTC_NO_DECL ? finite : both(g, leaf_of(g, touched), finite);
}

// Lets the assignments to parameters and moments keep the old values where their condition does not hold, and
// those to accumulators where an index was no row.
static void guard_assignments(ftc_graph *g, ftc_id faultless, ftc_id finite) {
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_node_class(ftc_graph_node(g, id)) != FTC_CLASS_ASSIGN)
            map[id] = ftc_graph_copy_node(out, g, id, map);
    // Assignments, which nobody reads, come last: a model's own may stand before its loss.
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_node node = *ftc_graph_node(g, id);
        if (ftc_node_class(&node) != FTC_CLASS_ASSIGN) continue;
        node.arg[0] = map[node.arg[0]];
        bool is_sum = g->decls[node.decl].kind == FTC_DECL_GRADIENT;
        ftc_build_cursor(out, node.loc, is_sum ? node.phase : FTC_PHASE_UPDATE);
        ftc_id condition = is_sum ? map[faultless] : condition_of(out, node.decl, map[finite]);
        if (condition) node.arg[0] = ftc_build_select(out, condition, node.arg[0], leaf_of(out, node.decl));
        map[id] = ftc_build(out, node);
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
}

// The optimizer that the train block names, adamw if it has none; NULL after a diagnostic.
static const ftc_function *find_optimizer(const ftc_graph *g, const ftc_library *library,
                                          ftc_diagnostics *d) {
    enum { MOST = 100 };
    const char *name = "adamw", *names[MOST];
    for (uint32_t i = 0; i < g->n_train; i++)
        if (!strcmp(g->train[i].name, "optimizer")) name = g->train[i].text ? g->train[i].text : "";
    const ftc_function *optimizer = ftc_library_optimizer(library, name);
    if (optimizer) return optimizer;
    char list[400] = "";
    int n = ftc_library_optimizers(library, names, MOST);
    for (int i = 0; i < n && strlen(list) + strlen(names[i]) + 2 < sizeof list; i++)
        strcat(strcat(list, i ? ", " : ""), names[i]);
    const char *near = ftc_name_nearest(name, names, n);
    ftc_diag_add(d, g->model, NULL, 0, 0, "optimizer '%s' is not known%s%s%s; there are %s", name,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'" : "", list);
    return NULL;
}

// A parameter has one new value: the optimizer's, or the model's own.
static bool check_assignments(const ftc_graph *g, ftc_diagnostics *d) {
    int errors = d->count;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_ASSIGN) continue;
        const ftc_decl_def *decl = &g->decls[node->decl];
        if (decl->kind != FTC_DECL_PARAM || decl->frozen) continue;
        ftc_diag_add(d, node->loc.line ? g->files[node->loc.file] : NULL, NULL, (int)node->loc.line, 0,
                     "%s is assigned here and trained, too; declare it frozen, or leave out assign",
                     decl->name);
    }
    return d->count == errors;
}

static bool has_assignments(const ftc_graph *g) {
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_node_class(&g->nodes[id]) == FTC_CLASS_ASSIGN) return true;
    return false;
}

bool ftc_pass_optimizer(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    ftc_id faultless = is_faultless(g);
    if (!check_assignments(g, d)) return false;
    if (options->entry == FTC_ENTRY_EVAL) {
        if (faultless) guard_assignments(g, faultless, faultless);
        g->functions = NULL;
        return true;
    }
    // Gradients are accumulated even so; only what the model assigns each micro-batch is not.
    const bool guards = options->entry != FTC_ENTRY_GRAD || has_assignments(g);
    int errors = d->count;
    updater u = {
        .g = g, .library = ftc_library_open(g, d), .faultless = faultless, .finite = faultless, .d = d};
    u.optimizer = find_optimizer(g, u.library, d);
    u.groups = ftc_groups_read(g, d);
    if (!u.optimizer || !u.groups) {
        // said already
    } else if (options->entry == FTC_ENTRY_UPDATE) {
        update_from_accumulators(&u);
    } else {
        const ftc_output *loss = ftc_graph_find_output(g, FTC_OUTPUT_LOSS);
        if (loss && guards) u.finite = both(g, is_finite(g, loss->node), faultless);
        consume_gradients(&u, options->entry);
    }
    ftc_library_close(u.library);
    free(u.groups);
    g->functions = NULL; // nobody calls them any more
    if (d->count != errors) return false;
    if (guards || faultless) guard_assignments(g, faultless, u.finite);
    // The forward phase told only how the tables are read.
    return options->entry != FTC_ENTRY_UPDATE || ftc_pass_dce(g, options, d);
}
