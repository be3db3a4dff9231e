#include "compiler/passes/edits.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

typedef enum { NO_EDIT, BLOCK, NO_EPILOGUE, STORED, KEPT } action;

typedef struct {
    action action;
    char pattern[200];
    int32_t size;  // BLOCK
    ftc_kept kept; // KEPT
} edit;

static edit read_edit(const char *line) {
    edit e = {.action = NO_EDIT};
    int end = 0;
    if (sscanf(line, " attention : stored %n", &end) == 0 && end && !line[end])
        e.action = STORED;
    else if (sscanf(line, " tile %199[^: ] : block %d %n", e.pattern, &e.size, &end) == 2 && end &&
             !line[end] && (!strcmp(e.pattern, "attention") || !strcmp(e.pattern, "*")) && e.size >= 1 &&
             e.size <= 4096)
        e.action = BLOCK;
    else if (sscanf(line, " dot %199[^: ] : no epilogue %n", e.pattern, &end) == 1 && end && !line[end])
        e.action = NO_EPILOGUE;
    else if (sscanf(line, " dot %199[^: ] : stored %n", e.pattern, &end) == 1 && end && !line[end])
        e.action = KEPT, e.kept = FTC_KEPT_STORED;
    else if (sscanf(line, " dot %199[^: ] : recomputed %n", e.pattern, &end) == 1 && end && !line[end])
        e.action = KEPT, e.kept = FTC_KEPT_RECOMPUTED;
    return e;
}

bool ftc_edits_check(const char *line, const char *file, const char *source, int at, int column,
                     ftc_diagnostics *d) {
    if (read_edit(line).action != NO_EDIT) return true;
    ftc_diag_add(d, file, source, at, column,
                 "`%s`: expected `tile attention: block N` (1 to 4096), `tile *: block N`, `dot PATTERN: no "
                 "epilogue`, `dot PATTERN: stored`, `dot PATTERN: recomputed` or `attention: stored`",
                 line);
    return false;
}

int32_t ftc_edits_block(const ftc_pass_options *options, bool is_attention) {
    int32_t size = 0;
    for (int i = 0; i < options->n_edits; i++) {
        edit e = read_edit(options->edits[i]);
        if (e.action != BLOCK || (!is_attention && strcmp(e.pattern, "*"))) continue;
        size = e.size;
        options->edits_matched[i] = true;
    }
    return size;
}

// The parameter that a product reads as an operand; FTC_NO_DECL: none.
static ftc_decl parameter_of(const ftc_graph *g, ftc_id dot) {
    for (int i = 0; i < 2; i++) {
        const ftc_node *operand = &g->nodes[ftc_region_operand(g, g->nodes[dot].arg[i])];
        if (ftc_node_class(operand) == FTC_CLASS_LEAF && g->decls[operand->decl].kind == FTC_DECL_PARAM)
            return operand->decl;
    }
    return FTC_NO_DECL;
}

// The name itself, or what it begins with up to a dot.
static bool matches(const char *pattern, const char *name) {
    char *longer = ftc_format("%s.*", pattern);
    bool matched = !fnmatch(pattern, name, 0) || !fnmatch(longer, name, 0);
    free(longer);
    return matched;
}

bool ftc_edits_end_at(const ftc_pass_options *options, const ftc_graph *g, ftc_id dot) {
    bool ends = false;
    for (int i = 0; i < options->n_edits; i++) {
        edit e = read_edit(options->edits[i]);
        ftc_decl parameter = e.action == NO_EPILOGUE ? parameter_of(g, dot) : FTC_NO_DECL;
        if (parameter == FTC_NO_DECL || !matches(e.pattern, g->decls[parameter].name)) continue;
        ends = options->edits_matched[i] = true;
    }
    return ends;
}

// Marks for recomputation what maps make of node `dot` and of parameters alone: bias, activation, dropout.
static void recompute_made_of(ftc_graph *g, ftc_id dot, const bool *decisive) {
    bool *of = ftc_alloc(g->n_nodes, sizeof *of), *other = ftc_alloc(g->n_nodes, sizeof *other);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        const bool computes =
            ftc_node_class(node) != FTC_CLASS_LEAF && ftc_node_class(node) != FTC_CLASS_SOURCE;
        for (int i = 0; i < node->n_args; i++) {
            of[v] |= of[node->arg[i]];
            other[v] |= other[node->arg[i]];
        }
        if (v == dot)
            of[v] = true, other[v] = false;
        else if (computes && ftc_node_class(node) != FTC_CLASS_MAP)
            of[v] = false, other[v] = true;
        if (of[v] && !other[v] && node->phase == FTC_PHASE_FORWARD && !decisive[v])
            g->nodes[v].kept = FTC_KEPT_RECOMPUTED;
    }
    free(of);
    free(other);
}

void ftc_edits_keep(const ftc_pass_options *options, ftc_graph *g) {
    bool *decisive = options->n_edits ? ftc_region_find_decisive(g) : NULL;
    for (int i = 0; i < options->n_edits; i++) {
        edit e = read_edit(options->edits[i]);
        for (ftc_id v = 1; e.action == KEPT && v < g->n_nodes; v++) {
            if (ftc_node_class(&g->nodes[v]) != FTC_CLASS_DOT || g->nodes[v].phase != FTC_PHASE_FORWARD)
                continue;
            ftc_decl parameter = parameter_of(g, v);
            if (parameter == FTC_NO_DECL || !matches(e.pattern, g->decls[parameter].name)) continue;
            options->edits_matched[i] = true;
            if (e.kept == FTC_KEPT_STORED)
                g->nodes[v].kept = e.kept;
            else
                recompute_made_of(g, v, decisive);
        }
    }
    free(decisive);
}

bool ftc_edits_store(const ftc_pass_options *options) {
    bool stored = false;
    for (int i = 0; i < options->n_edits; i++) {
        if (read_edit(options->edits[i]).action != STORED) continue;
        stored = options->edits_matched[i] = true;
    }
    return stored;
}

// The parameters that products of these graphs read, each once: "a, b, c"; to be freed.
static char *list_parameters(ftc_graph *const *graphs, int n) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    for (int i = 0; i < n; i++) {
        const ftc_graph *g = graphs[i];
        bool *told = ftc_alloc(g ? g->n_decls + 1 : 1, sizeof *told);
        for (ftc_id v = 1; g && v < g->n_nodes; v++) {
            bool is_product = g->kernels[g->nodes[v].kernel].kind == FTC_KERNEL_DOT &&
                              ftc_node_class(&g->nodes[v]) == FTC_CLASS_DOT;
            ftc_decl parameter = is_product ? parameter_of(g, v) : FTC_NO_DECL;
            if (parameter == FTC_NO_DECL || told[parameter]) continue;
            told[parameter] = true;
            fprintf(f, "%s%s", ftell(f) ? ", " : "", g->decls[parameter].name);
        }
        free(told);
        if (ftell(f)) break; // the others read the same
    }
    return ftc_text_close(&text, NULL);
}

void ftc_edits_refuse(const char *edit, const ftc_edit_place *place, const char *why, ftc_diagnostics *d) {
    if (place)
        ftc_diag_add(d, place->file, NULL, place->line, place->column, "`%s` %s", edit, why);
    else
        ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel-schedule: `%s` %s", edit, why);
}

bool ftc_edits_all_matched(const ftc_pass_options *options, const ftc_edit_place *places,
                           ftc_graph *const *graphs, int n, ftc_diagnostics *d) {
    bool all = true;
    for (int i = 0; i < options->n_edits; i++) {
        if (options->edits_matched[i]) continue;
        all = false;
        action asked = read_edit(options->edits[i]).action;
        bool is_of_products = asked == NO_EPILOGUE || asked == KEPT;
        char *known = is_of_products ? list_parameters(graphs, n) : NULL;
        char *why =
            is_of_products
                ? ftc_format("matches no kernel; there are products with: %s",
                             *known ? known : "no parameter")
                : ftc_strdup("matches no kernel: the model has no values over two ragged axes that a tile "
                             "kernel computes; ftc inspect MODEL.ir --kernels lists what there is");
        ftc_edits_refuse(options->edits[i], places ? &places[i] : NULL, why, d);
        free(why);
        free(known);
    }
    return all;
}
