#include "compiler/driver/explanation.h"

#include "compiler/cost.h"
#include "compiler/driver/peak.h"
#include "compiler/passes/ends.h"
#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/print.h"
#include "runtime/data/batch.h"

#include <stdlib.h>
#include <string.h>

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
    const ftc_kernel_info *info = &x->program->entries[x->entry].kernel_info[k - 1];
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

bool ftc_explain(const ftc_explanation *x, const char *kernel, FILE *f) {
    bool found = !kernel;
    fprintf(
        f,
        "%s: %d kernels in %s; at the bounds; %d threads do %.1f GFLOP/s and %.1f GB/s here: above %.1f FLOP "
        "a byte arithmetic binds, below memory\n\n",
        x->program->model, (int)x->g->n_kernels - 1, ftc_entry_name(x->entry), (int)x->threads, x->gflops,
        x->gigabytes, x->gflops / x->gigabytes);
    for (uint32_t k = 1; k < x->g->n_kernels; k++) {
        if (kernel && strcmp(kernel, x->g->kernels[k].name) != 0) continue;
        found = true;
        ftc_explain_kernel(x, k, f);
        if (!kernel) fprintf(f, "\n");
    }
    return found;
}

ftc_explanation ftc_explanation_make(const ftc_graph *g, const ftc_program *program, ftc_entry_kind entry,
                                     ftc_threads *threads) {
    ftc_explanation x = {.g = g,
                         .program = program,
                         .entry = entry,
                         .threads = ftc_threads_count(threads),
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
