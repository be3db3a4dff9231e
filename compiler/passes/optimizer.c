// optimizer: appends what happens to the gradients, so that it is part of the compiled step. The arithmetic
// is library text (ir/std/optimizers.ir); this file only says to which tensors it is applied:
//
//   step    each gradient goes into the update of its parameter at once
//   grad    each gradient is added to its accumulator, "<parameter>.grad"
//   update  the accumulators' global norm, clipping, the updates; the accumulators go back to zero
//   eval    nothing
//
// A step whose loss (update: whose norm) is not finite changes nothing: each of its assignments writes back
// what was there. So it is with the rows of a table that no gradient has reached, where the optimizer would
// only multiply them by a number: the caller does that when it needs them (FTC_ROLE_TOUCHED, ir/step_abi.h).
//
// differentiate hands over each gradient as an output "grad:<parameter>", which is taken away here.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/groups.h"
#include "compiler/passes/passes.h"
#include "ir/base/name.h"
#include "ir/build.h"
#include "ir/lang/elaborate.h"
#include "ir/op.h"

enum { MOST_SLOTS = 2 };

// A tensor of state that goes with each parameter, and which of its stored dimensions it has.
typedef struct {
    const char *name;
    enum { WHOLE, ROWS, COLUMNS } dims;
} slot;

// The optimizers, by the name in the train block or by one that transformers has for it. Of several lines
// with one name the first one counts whose `matrix` fits: for parameters of two stored dimensions only.
static const struct {
    const char *name, *others; // "|adamw_torch|"
    const char *function;      // (parameter, gradient, rate, decay, slots...)
    const char *decay;         // (parameter): its weight decay unless a group says otherwise
    const char *untouched;     // (rate, decay): what a row without moments and gradient is multiplied by
    slot slots[MOST_SLOTS];
    bool matrix;
} optimizers[] = {
    {"adamw",
     "|adamw_torch|adamw_torch_fused|",
     "adamw",
     "decay_of_adamw",
     "untouched_by_adamw",
     {{"exp_avg", WHOLE}, {"exp_avg_sq", WHOLE}},
     false},
    {"adam", "", "adam", "decay_if_asked", NULL, {{"exp_avg", WHOLE}, {"exp_avg_sq", WHOLE}}, false},
    {"adam_keras", "", "adam_keras", "decay_if_asked", NULL, {{"m", WHOLE}, {"v", WHOLE}}, false},
    {"sgd", "", "sgd", "decay_if_asked", NULL, {{"momentum_buffer", WHOLE}}, false},
    {"lion", "|lion_32bit|", "lion", "decay_if_asked", "untouched_by_lion", {{"exp_avg", WHOLE}}, false},
    {"adafactor",
     "",
     "adafactor",
     "decay_if_asked",
     NULL,
     {{"exp_avg_sq_row", ROWS}, {"exp_avg_sq_col", COLUMNS}},
     true},
    {"adafactor", "", "adafactor_vector", "decay_if_asked", NULL, {{"exp_avg_sq", WHOLE}}, false},
};
enum { N_OPTIMIZERS = sizeof optimizers / sizeof *optimizers };

// What the pass works with.
typedef struct {
    ftc_graph *g;
    ftc_library *library;
    const char *optimizer; // name in the table
    ftc_group *groups;     // by declaration
    ftc_id finite;         // whether anything is to be updated; 0: always
    ftc_diagnostics *d;
} updater;

static const char GRADIENT_PREFIX[] = "grad:";

// The leaf of a declaration, appended where the graph has none yet.
static ftc_id leaf_of(ftc_graph *g, ftc_decl decl) {
    ftc_id leaf = ftc_graph_leaf(g, decl);
    if (leaf) return leaf;
    return ftc_build(g, (ftc_node){.op = FTC_OP_param, .decl = decl, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS});
}

// The leaf of a tensor "<parameter>.<slot>" with the parameter's dimensions or one of them, declared if it is
// new.
static ftc_id companion(ftc_graph *g, ftc_decl param, ftc_decl_kind kind, slot slot) {
    ftc_decl_def info = g->decls[param];
    info.name = ftc_graph_format(g, "%s.%s", g->decls[param].name, slot.name);
    ftc_decl decl = ftc_graph_find_decl(g, info.name);
    if (decl == FTC_NO_DECL) {
        if (slot.dims != WHOLE) {
            info.dims[0] = info.type.axes = info.dims[slot.dims == COLUMNS];
            info.n_dims = 1;
        }
        info.kind = kind;
        info.of = param;
        info.init = FTC_INIT_ZEROS;
        info.zero_row = -1;
        decl = ftc_graph_add_decl(g, info);
    }
    return leaf_of(g, decl);
}

static ftc_id accumulator(ftc_graph *g, ftc_decl param) {
    return companion(g, param, FTC_DECL_GRADIENT, (slot){"grad", WHOLE});
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
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].node == leaf) return FTC_NO_DECL; // all of it is given away
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
    ftc_graph_add_output(g, ftc_graph_format(g, "%s.untouched", g->decls[table].name), factor,
                         1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_UPDATE);
}

static bool append_update(updater *u, ftc_decl param, ftc_id gradient) {
    int errors = u->d->count, o = 0, n = 4;
    bool is_matrix = u->g->decls[param].n_dims == 2;
    while (strcmp(optimizers[o].name, u->optimizer) || (optimizers[o].matrix && !is_matrix)) o++;
    const ftc_group *group = &u->groups[param];
    ftc_decl by = optimizers[o].untouched ? looked_up_by(u->g, param) : FTC_NO_DECL;
    ftc_id args[4 + MOST_SLOTS] = {leaf_of(u->g, param), gradient};
    args[2] = ftc_library_call(u->library, "learning_rate", NULL, 0);
    if (group->lr_factor != 1)
        args[2] =
            ftc_build_map2(u->g, FTC_OP_mul, args[2], group_argument(u->g, "lr_factor", group->lr_factor));
    args[3] = group->has_weight_decay ? group_argument(u->g, "weight_decay", group->weight_decay)
                                      : ftc_library_call(u->library, optimizers[o].decay, args, 1);
    for (int i = 0; i < MOST_SLOTS && optimizers[o].slots[i].name; i++)
        args[n++] = companion(u->g, param, FTC_DECL_MOMENT, optimizers[o].slots[i]);
    ftc_library_call(u->library, optimizers[o].function, args, n);
    if (by != FTC_NO_DECL)
        spare_untouched_rows(u, param, by,
                             ftc_library_call(u->library, optimizers[o].untouched, &args[2], 2));
    return u->d->count == errors;
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
        if (strncmp(output.name, GRADIENT_PREFIX, strlen(GRADIENT_PREFIX))) {
            g->outputs[kept++] = output;
            continue;
        }
        ftc_decl param = ftc_graph_find_decl(g, output.name + strlen(GRADIENT_PREFIX));
        set_cursor(g, param);
        if (entry == FTC_ENTRY_STEP) {
            append_update(u, param, output.node);
        } else {
            ftc_id args[] = {accumulator(g, param), output.node};
            ftc_library_call(u->library, "accumulate", args, 2);
        }
    }
    g->n_outputs = kept;
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
    ftc_id norm = ftc_build_map1(g, FTC_OP_sqrt, total);
    u->finite = is_finite(g, norm);
    ftc_graph_add_output(g, "grad_norm", norm, 1u << FTC_ENTRY_UPDATE);
    ftc_id factor = ftc_library_call(u->library, "clip_factor", &norm, 1);
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
    if (touched == FTC_NO_DECL) return finite;
    return finite ? ftc_build_map2(g, FTC_OP_and, leaf_of(g, touched), finite) : leaf_of(g, touched);
}

// Lets the assignments to parameters and moments keep the old values where their condition does not hold.
static void guard_assignments(ftc_graph *g, ftc_id finite) {
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = calloc(g->n_nodes, sizeof *map);
    if (!map) abort();
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_node_class(ftc_graph_node(g, id)) != FTC_CLASS_ASSIGN)
            map[id] = ftc_graph_copy_node(out, g, id, map);
    // Assignments, which nobody reads, come last: a model's own may stand before its loss.
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_node node = *ftc_graph_node(g, id);
        if (ftc_node_class(&node) != FTC_CLASS_ASSIGN) continue;
        node.arg[0] = map[node.arg[0]];
        ftc_build_cursor(out, node.loc, node.phase);
        if (g->decls[node.decl].kind != FTC_DECL_GRADIENT) {
            ftc_build_cursor(out, node.loc, FTC_PHASE_UPDATE);
            ftc_id condition = condition_of(out, node.decl, map[finite]);
            if (condition)
                node.arg[0] = ftc_build_select(out, condition, node.arg[0], leaf_of(out, node.decl));
        }
        map[id] = ftc_build(out, node);
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
}

static ftc_id find_output(const ftc_graph *g, const char *name) { // 0: none
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) return g->outputs[i].node;
    return 0;
}

// Whether line `o` of the table has this name.
static bool is_called(int o, const char *name) {
    char between[80];
    snprintf(between, sizeof between, "|%s|", name);
    return !strcmp(optimizers[o].name, name) || strstr(optimizers[o].others, between);
}

const char *ftc_optimizer_name(const char *name) {
    for (int o = 0; o < N_OPTIMIZERS; o++)
        if (is_called(o, name)) return optimizers[o].name;
    return NULL;
}

// The name in the table of the train block's optimizer, adamw if it has none; NULL after a diagnostic.
static const char *find_optimizer(const ftc_graph *g, ftc_diagnostics *d) {
    const char *name = "adamw", *names[N_OPTIMIZERS];
    for (uint32_t i = 0; i < g->n_train; i++)
        if (!strcmp(g->train[i].name, "optimizer")) name = g->train[i].text ? g->train[i].text : "";
    if (ftc_optimizer_name(name)) return ftc_optimizer_name(name);
    char list[200] = "";
    int n = 0;
    for (int o = 0; o < N_OPTIMIZERS; o++) {
        if (optimizers[o].matrix) continue; // the next line has the same name
        names[n++] = optimizers[o].name;
        if (n > 1) strcat(list, ", ");
        strcat(list, optimizers[o].name);
    }
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
    if (!check_assignments(g, d)) return false;
    if (options->entry == FTC_ENTRY_EVAL) return true;
    // Gradients are accumulated even so; only what the model assigns each micro-batch is not.
    const bool guards = options->entry != FTC_ENTRY_GRAD || has_assignments(g);
    int errors = d->count;
    updater u = {.g = g, .optimizer = find_optimizer(g, d), .d = d};
    if (!u.optimizer || !(u.groups = ftc_groups_read(g, d))) return false;
    u.library = ftc_library_open(g, d);
    if (options->entry == FTC_ENTRY_UPDATE) {
        update_from_accumulators(&u);
    } else {
        ftc_id loss = find_output(g, "loss");
        if (loss && guards) u.finite = is_finite(g, loss);
        consume_gradients(&u, options->entry);
    }
    ftc_library_close(u.library);
    free(u.groups);
    if (d->count != errors) return false;
    if (guards) guard_assignments(g, u.finite);
    // The forward phase told only how the tables are read.
    return options->entry != FTC_ENTRY_UPDATE || ftc_pass_dce(g, options, d);
}
