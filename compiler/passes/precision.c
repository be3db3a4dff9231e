// precision: --precision bf16, as PyTorch's autocast on CPUs. Parameters, moments and gradients of parameters
// stay f32, and so does all arithmetic; rounded to bf16 are
//
//   operands  of contractions, which add their products in f32
//   kept      values of the forward phase that remat keeps for later phases: these read the rounded value.
//             When it is computed from contractions and parameters alone, as the output of a linear layer,
//             the forward phase reads the rounded value too (as under autocast), so that what the backward
//             phase recomputes from it is the same
//   summed    gradients that a contraction reads as well: a bias takes the sum of the rounded ones, so that
//             one buffer serves both
//
// Not rounded are statistics (maxima and sums of rows, and what is computed from them alone) and values of
// few cells: there is nothing to save, and softmax and normalization need them.
//
// The rounding stands in the graph as casts, so that the interpreter does it too. A parameter's cast is never
// stored: it is applied as a contraction reads it (ftc_region_operand).
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

#define FEW_CELLS 4096

static bool is_few(const ftc_graph *g, ftc_id id) {
    return ftc_type_max_elements(g, &g->nodes[id].type) < FEW_CELLS;
}

// By node: whether an f32 value of the forward phase becomes bf16 if kept for a later phase. To be freed.
static bool *find_narrow(const ftc_graph *g) {
    bool *narrow = ftc_alloc(g->n_nodes, sizeof *narrow),
         *statistic = ftc_alloc(g->n_nodes, sizeof *statistic);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        ftc_op_class class = ftc_node_class(node);
        statistic[v] = class == FTC_CLASS_REDUCE;
        if (class != FTC_CLASS_REDUCE && class != FTC_CLASS_DOT) {
            bool only = true;
            for (int i = 0; i < node->n_args; i++) {
                statistic[v] |= statistic[node->arg[i]];
                only &= statistic[node->arg[i]] || g->nodes[node->arg[i]].type.axes.n == 0;
            }
            statistic[v] &= only;
        }
        narrow[v] = node->phase == FTC_PHASE_FORWARD && node->type.dtype == FTC_F32 && !statistic[v] &&
                    class != FTC_CLASS_LEAF && class != FTC_CLASS_SOURCE && !is_few(g, v);
    }
    free(statistic);
    return narrow;
}

typedef struct {
    const ftc_graph *g;
    ftc_graph *out;
    ftc_id *map;      // by node of g: its copy in out
    ftc_id *narrow;   // … its bf16 form, 0: none yet
    ftc_id *wide[2];  // … this as f32 again, read by the forward phase and by later ones
    bool *contracted; // … a contraction reads it
    bool *at_once;    // … the forward phase reads it rounded, too, if a later phase does
    bool *kept;       // … a later phase reads it, as bf16
} rounding;

// The value in bf16. Views stay above the cast, so that all readers share it.
static ftc_id narrow_of(rounding *r, ftc_id id) {
    const ftc_node *node = &r->g->nodes[id];
    if (node->type.dtype == FTC_BF16) return r->map[id];
    if (r->narrow[id]) return r->narrow[id];
    ftc_op_class class = ftc_node_class(node);
    ftc_id arg = node->n_args ? node->arg[0] : 0;
    // Of a widened one what it was.
    if (class == FTC_CLASS_MAP && node->n_args == 1 && r->g->nodes[arg].type.dtype == FTC_BF16)
        return r->map[arg];
    if (ftc_region_source(r->g, id) == id) {
        ftc_build_cursor(r->out, node->loc, node->phase);
        return r->narrow[id] = ftc_build_cast(r->out, FTC_BF16, r->map[id]);
    }
    ftc_node copy = *node;
    copy.type.dtype = FTC_BF16;
    copy.arg[0] = narrow_of(r, arg);
    return r->narrow[id] = ftc_graph_append(r->out, copy);
}

// The value rounded to bf16, as f32, for a reader in `phase`.
static ftc_id wide_of(rounding *r, ftc_id id, ftc_phase phase) {
    ftc_id *wide = &r->wide[phase != FTC_PHASE_FORWARD][id];
    if (*wide) return *wide;
    ftc_id narrow = narrow_of(r, id);
    ftc_build_cursor(r->out, r->g->nodes[id].loc, phase);
    return *wide = ftc_build_cast(r->out, FTC_F32, narrow);
}

static ftc_id operand_for(rounding *r, const ftc_node *reader, ftc_id id) {
    bool is_later = reader->phase != FTC_PHASE_FORWARD;
    if (ftc_node_class(reader) == FTC_CLASS_DOT) return narrow_of(r, id);
    if (r->kept[id] && (is_later || r->at_once[id])) return wide_of(r, id, reader->phase);
    bool is_sum = ftc_node_class(reader) == FTC_CLASS_REDUCE && is_later;
    return is_sum && r->contracted[id] && !is_few(r->g, id) ? wide_of(r, id, reader->phase) : r->map[id];
}

static void find_properties(rounding *r) {
    const ftc_graph *g = r->g;
    bool *narrow = find_narrow(g), *decisive = ftc_region_find_decisive(g);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        ftc_op_class class = ftc_node_class(node);
        r->at_once[v] = class == FTC_CLASS_DOT;
        bool only = class == FTC_CLASS_MAP;
        for (int i = 0; i < node->n_args; i++) {
            ftc_id arg = node->arg[i];
            r->at_once[v] |= r->at_once[arg];
            only &= r->at_once[arg] || ftc_node_class(&g->nodes[arg]) == FTC_CLASS_LEAF ||
                    g->nodes[arg].type.axes.n == 0;
            if (class == FTC_CLASS_DOT) r->contracted[ftc_region_source(g, arg)] = true;
            r->kept[arg] |= narrow[arg] && node->phase != FTC_PHASE_FORWARD;
        }
        r->at_once[v] &= only || class == FTC_CLASS_DOT;
    }
    for (ftc_id v = 1; v < g->n_nodes; v++) r->at_once[v] |= decisive[v];
    free(narrow);
    free(decisive);
}

bool ftc_pass_precision(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    if (!options->bf16) return true;
    uint32_t n = g->n_nodes;
    rounding r = {.g = g,
                  .out = ftc_graph_new_like(g),
                  .map = ftc_alloc(n, sizeof *r.map),
                  .narrow = ftc_alloc(n, sizeof *r.narrow),
                  .wide = {ftc_alloc(n, sizeof **r.wide), ftc_alloc(n, sizeof **r.wide)},
                  .contracted = ftc_alloc(n, sizeof *r.contracted),
                  .at_once = ftc_alloc(n, sizeof *r.at_once),
                  .kept = ftc_alloc(n, sizeof *r.kept)};
    find_properties(&r);
    for (ftc_id v = 1; v < n; v++) {
        ftc_node copy = g->nodes[v];
        for (int i = 0; i < copy.n_args; i++) copy.arg[i] = operand_for(&r, &g->nodes[v], copy.arg[i]);
        r.map[v] = ftc_graph_append(r.out, copy);
    }
    ftc_graph_replace_nodes(g, r.out, r.map);
    free(r.map);
    free(r.narrow);
    free(r.wide[0]);
    free(r.wide[1]);
    free(r.contracted);
    free(r.at_once);
    free(r.kept);
    return ftc_pass_dce(g, options, d); // renames whose readers have all turned to the bf16 form
}
