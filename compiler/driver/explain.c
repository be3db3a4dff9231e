// ftc explain: of each kernel of the step what it computes, from which lines, what of it again, why it ends
// where it ends, what it costs, and what bounds it.
#include "compiler/cost.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/explain.h"
#include "compiler/driver/model.h"
#include "compiler/driver/peak.h"
#include "compiler/passes/ends.h"
#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/print.h"
#include "runtime/data/batch.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *kernel;
    int64_t threads;
} explain_options;

#define FIELD(name) offsetof(explain_options, name)
static const ftc_option OPTIONS[] = {
    {"kernel", NULL, FTC_OPTION_TEXT, FIELD(kernel), "NAME", 0, "only this one, as dot8"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1,
     "whose peaks are measured; one a processor unless set"},
    {0},
};
#undef FIELD

// --- nodes --------------------------------------------------------------------------------------------

// "line 76", or where the compiler made it.
static void print_line_of(FILE *f, const ftc_node *node) {
    int32_t line = ftc_model_line(&node->loc);
    if (line)
        fprintf(f, "line %d", line);
    else
        fprintf(f, "no line of the model's");
}

// "f32[B, S, H] of dot8", "param "w" f32[H, I]"
static void print_origin(FILE *f, const ftc_graph *g, ftc_id id) {
    const ftc_node *node = &g->nodes[id];
    char type[256];
    ftc_type_text(g, &node->type, type, sizeof type);
    if (ftc_node_class(node) == FTC_CLASS_LEAF)
        fprintf(f, "%s \"%s\" %s", ftc_decl_kind_name(g->decls[node->decl].kind), g->decls[node->decl].name,
                type);
    else
        fprintf(f, "%%%u %s of %s", id, type, g->kernels[node->kernel].name);
}

static void print_computed(FILE *f, const ftc_explanation *x, uint32_t k) {
    const ftc_graph *g = x->g;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (node->kernel != k || ftc_op_get(node->op)->attrs & FTC_ATTR_VALUE) continue;
        char type[256];
        fprintf(f, "    %%%-5u %-12s %-40s ", v, ftc_op_get(node->op)->name,
                ftc_type_text(g, &node->type, type, sizeof type));
        print_line_of(f, node);
        if (node->phase == FTC_PHASE_RECOMPUTE) fprintf(f, ", made again for the backward phase");
        if (x->repeats[v]) fprintf(f, ", also in %s", g->kernels[g->nodes[x->repeats[v]].kernel].name);
        fprintf(f, "\n");
    }
}

// What comes from outside, each once.
static void print_read(FILE *f, const ftc_explanation *x, uint32_t k) {
    const ftc_graph *g = x->g;
    bool *told = ftc_alloc(g->n_nodes, sizeof *told);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (g->nodes[v].kernel != k) continue;
        for (int i = 0; i < g->nodes[v].n_args; i++) {
            ftc_id arg = g->nodes[v].arg[i];
            if (g->nodes[arg].kernel == k || told[arg]) continue;
            told[arg] = true;
            fprintf(f, "    reads  ");
            print_origin(f, g, arg);
            fprintf(f, "\n");
        }
    }
    free(told);
}

// What leaves: values that other kernels read, with the first reader and why it is not here; outputs;
// tensors.
static void print_ends(FILE *f, const ftc_explanation *x, uint32_t k) {
    const ftc_graph *g = x->g;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (node->kernel != k) continue;
        const ftc_output *output = ftc_graph_output_of(g, v);
        if (output) fprintf(f, "    writes %%%u, the output %s\n", v, output->name);
        if (ftc_node_class(node) == FTC_CLASS_ASSIGN)
            fprintf(f, "    writes %s \"%s\"\n", ftc_decl_kind_name(g->decls[node->decl].kind),
                    g->decls[node->decl].name);
        ftc_id reader = 0;
        for (ftc_id r = v + 1; r < g->n_nodes && !reader; r++)
            for (int i = 0; i < g->nodes[r].n_args; i++)
                if (g->nodes[r].arg[i] == v && g->nodes[r].kernel != k) reader = r;
        if (!reader || !g->nodes[reader].kernel) continue;
        fprintf(f, "    ends   at %%%u for %s: ", v, g->kernels[g->nodes[reader].kernel].name);
        ftc_ends_why(g, v, reader, f);
        fprintf(f, "\n");
    }
}

// --- kernels ------------------------------------------------------------------------------------------

static void print_loops(FILE *f, const ftc_graph *g, const ftc_kernel *kernel) {
    char rows[256], cols[256];
    fprintf(f, " rows(%s) cols(%s)", ftc_axes_text(g, &kernel->rows, rows, sizeof rows),
            ftc_axes_text(g, &kernel->cols, cols, sizeof cols));
    if (kernel->block != FTC_NO_AXIS)
        fprintf(f, " blocks of %d along %s", kernel->block_size, g->axes[kernel->block].name);
}

// "1.21 GFLOP"
static void print_scaled(FILE *f, double x, const char *unit) {
    static const char *const PREFIXES[] = {"", "k", "M", "G", "T"};
    int i = 0;
    while (x >= 999.5 && i < 4) x /= 1000, i++;
    fprintf(f, "%.3g %s%s", x, PREFIXES[i], unit);
}

static void print_work(FILE *f, const ftc_explanation *x, const ftc_kernel_info *info) {
    double flops = ftc_program_cost(x->program, info->flops, x->counts);
    double bytes = ftc_program_cost(x->program, info->bytes, x->counts);
    double arithmetic = flops / x->gflops, memory = bytes / x->gigabytes;
    fprintf(f, "    work   ");
    print_scaled(f, flops, "FLOP");
    fprintf(f, ", ");
    print_scaled(f, bytes, "B");
    if (bytes > 0) fprintf(f, ", %.3g FLOP a byte", flops / bytes);
    fprintf(f, ": %.3g us, bound by %s\n", (arithmetic > memory ? arithmetic : memory) / 1e3,
            arithmetic > memory ? "arithmetic" : "memory");
}

void ftc_explain_kernel(const ftc_explanation *x, uint32_t k, FILE *f) {
    const ftc_kernel *kernel = &x->g->kernels[k];
    const ftc_kernel_info *info = &x->program->entries[FTC_ENTRY_STEP].kernel_info[k - 1];
    fprintf(f, "%s: %s", kernel->name, ftc_kernel_kind_name(kernel->kind));
    print_loops(f, x->g, kernel);
    fprintf(f, ", %s phase, line %d%s\n", ftc_phase_name(info->phase), info->line,
            kernel->barrier ? ", behind a barrier" : "");
    if (kernel->plain) fprintf(f, "    plain: %s\n", kernel->plain);
    print_computed(f, x, k);
    print_read(f, x, k);
    print_ends(f, x, k);
    print_work(f, x, info);
}

ftc_explanation ftc_explanation_make(const ftc_graph *g, const ftc_program *program, ftc_threads *threads) {
    ftc_explanation x = {.g = g,
                         .program = program,
                         .counts = ftc_alloc((size_t)program->n_counts + 1, sizeof *x.counts),
                         .gflops = ftc_peak_gflops(threads),
                         .gigabytes = ftc_peak_gigabytes(threads),
                         .repeats = ftc_ends_repeats(g)};
    ftc_program_most_counts(program, x.counts);
    return x;
}

void ftc_explanation_free(ftc_explanation *x) {
    free(x->counts);
    free(x->repeats);
}

// --- the command --------------------------------------------------------------------------------------

static bool explain_graph(const ftc_explanation *x, const explain_options *o) {
    bool found = !o->kernel;
    for (uint32_t k = 1; k < x->g->n_kernels; k++) {
        if (o->kernel && strcmp(o->kernel, x->g->kernels[k].name) != 0) continue;
        found = true;
        ftc_explain_kernel(x, k, stdout);
        if (!o->kernel) printf("\n");
    }
    return found;
}

static int explain(const ftc_command *self, const char *path, const ftc_model_options *model,
                   const explain_options *o) {
    ftc_diagnostics d = {0};
    ftc_model_source source;
    ftc_compiled compiled;
    ftc_threads *threads;
    if (!ftc_model_read(path, model, &source, &d)) return ftc_diag_report(&d);
    bool ok = ftc_model_compile(&source, model, 1u << FTC_ENTRY_STEP, &compiled, &d);
    ftc_model_source_free(&source);
    if (!ok) return ftc_diag_report(&d);
    int32_t n = o->threads ? (int32_t)o->threads : ftc_threads_available();
    int code = ftc_status_report(self->name, ftc_threads_create(n, &threads));
    if (code == FTC_EXIT_OK) {
        const ftc_program *program = &compiled.manifest->program;
        ftc_explanation x = ftc_explanation_make(compiled.step, program, threads);
        printf("%s: %d kernels a step; at the bounds; %d threads do %.1f GFLOP/s and %.1f GB/s here: above "
               "%.1f FLOP "
               "a byte arithmetic binds, below memory\n\n",
               program->model, (int)x.g->n_kernels - 1, n, x.gflops, x.gigabytes, x.gflops / x.gigabytes);
        if (!explain_graph(&x, o))
            code = ftc_cli_error(self->name,
                                 "--kernel %s: there is none of this name; ftc inspect --kernels lists them",
                                 o->kernel);
        ftc_explanation_free(&x);
        ftc_threads_free(threads);
    }
    ftc_compiled_free(&compiled);
    return code;
}

int ftc_command_explain(const ftc_command *self, int argc, char **argv) {
    explain_options options = {0};
    ftc_model_options model = ftc_model_options_default();
    model.is_looked_at = true;
    ftc_option_group groups[] = {{"Options", OPTIONS, &options},
                                 {"Compiling (as for ftc compile)", ftc_model_option_table, &model},
                                 {"Weights (as for ftc compile)", ftc_weights_option_table, &model},
                                 {0}};
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    if (parsed == FTC_CLI_OK && words.n != 1)
        code =
            ftc_cli_error(self->name, "expected one model, as in: ftc explain models/mlp.ir --kernel dot1");
    else if (parsed == FTC_CLI_OK)
        code = explain(self, words.items[0], &model, &options);
    ftc_text_list_free(&words);
    ftc_model_options_free(&model);
    return code;
}
