// optimizer: appends what happens to the gradients, so that it is part of the compiled step. The arithmetic
// is library text (ir/std/adamw.ir); this file only says to which tensors it is applied:
//
//   step    each gradient goes into the update of its parameter at once
//   grad    each gradient is added to its accumulator, "<parameter>.grad"
//   update  the accumulators' global norm, clipping, the updates; the accumulators go back to zero
//   eval    nothing
//
// differentiate hands over each gradient as an output "grad:<parameter>", which is taken away here.
#include <string.h>

#include "compiler/passes.h"
#include "ir/build.h"
#include "ir/elaborate.h"

static const char GRADIENT_PREFIX[] = "grad:";

// The leaf of a declaration, appended where the graph has none yet.
static ftc_id leaf_of(ftc_graph *g, ftc_decl decl) {
    ftc_id leaf = ftc_graph_leaf(g, decl);
    if (leaf) return leaf;
    return ftc_build(g, (ftc_node){.op = FTC_OP_param, .decl = decl, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS});
}

// The leaf of a tensor of the parameter's shape, "<parameter>.<slot>", declared if it is new.
static ftc_id companion(ftc_graph *g, ftc_decl param, ftc_decl_kind kind, const char *slot) {
    ftc_decl_def info = g->decls[param];
    info.name = ftc_graph_format(g, "%s.%s", g->decls[param].name, slot);
    ftc_decl decl = ftc_graph_find_decl(g, info.name);
    if (decl == FTC_NO_DECL) {
        info.kind = kind;
        info.of = param;
        info.init = FTC_INIT_ZEROS;
        info.zero_row = -1;
        decl = ftc_graph_add_decl(g, info);
    }
    return leaf_of(g, decl);
}

static bool append_update(ftc_library *library, ftc_graph *g, ftc_decl param, ftc_id gradient,
                          ftc_diagnostics *d) {
    int errors = d->count;
    ftc_id args[] = {leaf_of(g, param), gradient, companion(g, param, FTC_DECL_MOMENT, "exp_avg"),
                     companion(g, param, FTC_DECL_MOMENT, "exp_avg_sq")};
    ftc_library_call(library, "adamw", args, 4);
    return d->count == errors;
}

static void set_cursor(ftc_graph *g, ftc_decl param) {
    ftc_build_cursor(g, g->decls[param].loc, FTC_PHASE_UPDATE);
}

// step, grad: what becomes of the gradients that differentiate left.
static bool consume_gradients(ftc_library *library, ftc_graph *g, ftc_entry_kind entry, ftc_diagnostics *d) {
    int errors = d->count;
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
            append_update(library, g, param, output.node, d);
        } else {
            ftc_id args[] = {companion(g, param, FTC_DECL_GRADIENT, "grad"), output.node};
            ftc_library_call(library, "accumulate", args, 2);
        }
    }
    g->n_outputs = kept;
    return d->count == errors;
}

static ftc_id square_sum(ftc_graph *g, ftc_id x) {
    ftc_axes axes = ftc_graph_node(g, x)->type.axes;
    return ftc_build_sum(g, ftc_build_map2(g, FTC_OP_mul, x, x), &axes);
}

// update: accumulators to parameters.
static bool update_from_accumulators(ftc_library *library, ftc_graph *g, ftc_diagnostics *d) {
    int errors = d->count;
    uint32_t n_decls = g->n_decls;
    ftc_id total = 0;
    for (uint32_t i = 0; i < n_decls; i++) {
        if (g->decls[i].kind != FTC_DECL_PARAM || g->decls[i].frozen) continue;
        set_cursor(g, (ftc_decl)i);
        ftc_id square = square_sum(g, companion(g, (ftc_decl)i, FTC_DECL_GRADIENT, "grad"));
        total = total ? ftc_build_map2(g, FTC_OP_add, total, square) : square;
    }
    if (!total) return true;
    ftc_build_cursor(g, (ftc_loc){0}, FTC_PHASE_UPDATE);
    ftc_id norm = ftc_build_map1(g, FTC_OP_sqrt, total);
    ftc_graph_add_output(g, "grad_norm", norm, 1u << FTC_ENTRY_UPDATE);
    ftc_id factor = ftc_library_call(library, "clip_factor", &norm, 1);
    for (uint32_t i = 0; i < n_decls && d->count == errors; i++) {
        if (g->decls[i].kind != FTC_DECL_PARAM || g->decls[i].frozen) continue;
        set_cursor(g, (ftc_decl)i);
        ftc_id gradient = companion(g, (ftc_decl)i, FTC_DECL_GRADIENT, "grad");
        if (!append_update(library, g, (ftc_decl)i, ftc_build_map2(g, FTC_OP_mul, gradient, factor), d))
            break;
        ftc_type type = ftc_graph_node(g, gradient)->type;
        ftc_id zero = ftc_build_fill(g, 0, type.dtype, &type.axes);
        ftc_build(g, (ftc_node){.op = FTC_OP_assign,
                                .n_args = 1,
                                .arg = {zero},
                                .axis = FTC_NO_AXIS,
                                .to = FTC_NO_AXIS,
                                .decl = ftc_graph_node(g, gradient)->decl});
    }
    return d->count == errors;
}

// The train block's optimizer, if it names one, must be one that the library has.
static bool check_optimizer(const ftc_graph *g, ftc_diagnostics *d) {
    for (uint32_t i = 0; i < g->n_train; i++) {
        const ftc_graph_setting *s = &g->train[i];
        if (strcmp(s->name, "optimizer") || (s->text && !strcmp(s->text, "adamw"))) continue;
        ftc_diag_add(d, g->model, NULL, 0, 0, "train { optimizer = %s }: there is only adamw",
                     s->text ? s->text : "NUMBER");
        return false;
    }
    return true;
}

bool ftc_pass_optimizer(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    if (options->entry == FTC_ENTRY_EVAL) return true;
    if (!check_optimizer(g, d)) return false;
    ftc_library *library = ftc_library_open(g, d);
    bool ok = options->entry == FTC_ENTRY_UPDATE ? update_from_accumulators(library, g, d)
                                                 : consume_gradients(library, g, options->entry, d);
    ftc_library_close(library);
    return ok;
}
