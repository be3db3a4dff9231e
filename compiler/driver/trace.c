#include "compiler/driver/trace.h"

#include "compiler/driver/blas.h"
#include "compiler/driver/reference.h"
#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The kernel of the step that computes a node: the one with the same operation from the same line over as
// many axes; NULL: none, the passes have made something else of it.
static char *kernel_of(const ftc_model_source *source, const ftc_model_options *options,
                       const ftc_node *wanted) {
    ftc_diagnostics d = {0};
    ftc_compile_options compile;
    char *name = NULL;
    ftc_graph *g = ftc_compile_entry_graph(source->graph, FTC_ENTRY_GRAD);
    if (ftc_model_compile_options(source, options, &compile, &d)) {
        ftc_pipeline_options pipeline = {
            .pass = {.entry = FTC_ENTRY_GRAD, .memory_budget_bytes = compile.memory_budget_bytes},
            .skip = compile.skip,
            .n_skip = compile.n_skip,
        };
        bool ok = ftc_pipeline_run(g, &pipeline, &d);
        for (ftc_id id = 1; ok && !name && id < g->n_nodes; id++) {
            const ftc_node *node = &g->nodes[id];
            if (!node->kernel || node->op != wanted->op || node->phase != wanted->phase ||
                node->loc.line != wanted->loc.line || node->loc.file != wanted->loc.file ||
                node->type.axes.n != wanted->type.axes.n)
                continue;
            name = ftc_strdup(g->kernels[node->kernel].name);
        }
    }
    ftc_diag_free(&d);
    ftc_graph_free(g);
    return name;
}

// Line `number` of a text, without its indentation.
static void print_line(const char *text, uint32_t number, FILE *f) {
    for (uint32_t i = 1; i < number && (text = strchr(text, '\n')); i++) text++;
    if (!text) return;
    text += strspn(text, " ");
    fprintf(f, "\"%.*s\"", (int)strcspn(text, "\n"), text);
}

static void print_value(const ftc_graph *g, const ftc_not_finite *found, FILE *f) {
    const ftc_node *node = &g->nodes[found->node];
    char type[200];
    ftc_type_text(g, &node->type, type, sizeof type);
    fprintf(f, "%g in ", found->value);
    if (ftc_node_class(node) == FTC_CLASS_LEAF) {
        const ftc_decl_def *decl = &g->decls[node->decl];
        fprintf(f, "the %s \"%s\" : %s", ftc_decl_kind_name(decl->kind), decl->name, type);
        return;
    }
    fprintf(f, "%s(…) : %s", ftc_op_get(node->op)->name, type);
    if (node->phase == FTC_PHASE_BACKWARD) fprintf(f, " of the gradient");
    for (int i = 0; i < node->n_args; i++) {
        const ftc_node *operand = &g->nodes[node->arg[i]];
        if (ftc_node_class(operand) == FTC_CLASS_LEAF && g->decls[operand->decl].kind == FTC_DECL_PARAM)
            fprintf(f, " with \"%s\"", g->decls[operand->decl].name);
    }
}

static char *describe(const char *path, const ftc_model_source *source, const ftc_model_options *options,
                      const ftc_graph *g, const ftc_not_finite *found) {
    const ftc_node *node = &g->nodes[found->node];
    char *kernel = kernel_of(source, options, node);
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    fprintf(f, "First value that is not finite: ");
    print_value(g, found, f);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (node->loc.line && strcmp(g->files[node->loc.file], name) == 0) {
        fprintf(f, " at %s:%u, ", path, node->loc.line);
        print_line(source->text, node->loc.line, f);
    }
    if (kernel) fprintf(f, " (kernel %s)", kernel);
    for (int i = 0; i < found->axes.n; i++)
        fprintf(f, "%s%s=%lld", i ? " " : ", cell ", g->axes[found->axes.at[i]].name,
                (long long)found->coordinate[i]);
    free(kernel);
    return ftc_text_close(&text, NULL);
}

char *ftc_trace_not_finite(const char *path, const ftc_model_options *options, const ftc_stepper *stepper,
                           const ftc_batch *batch, uint32_t step, uint32_t micro_step) {
    ftc_diagnostics d = {0};
    ftc_model_options own = *options;
    ftc_model_source source = {0};
    ftc_graph *g = NULL;
    ftc_not_finite found;
    ftc_sgemm_fn *sgemm;
    char *text = NULL;
    if (!own.pretrained) own.pretrained = stepper->program->pretrained;
    ftc_status status = ftc_blas_open(&sgemm);
    if (status.code == FTC_OK && ftc_model_read_text(path, stepper->program->source, &own, &source, &d) &&
        (g = ftc_reference_graph(source.graph, &d)) &&
        ftc_reference_find_not_finite(g, stepper, batch, sgemm, step, micro_step, &found))
        text = describe(path, &source, &own, g, &found);
    ftc_status_free(&status);
    ftc_diag_free(&d);
    if (g) ftc_graph_free(g);
    ftc_model_source_free(&source);
    return text;
}
