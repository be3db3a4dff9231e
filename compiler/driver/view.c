// ftc view: one page that shows the kernels of an artifact's step: compiler/driver/view.html, filled with
// what is known of them (compiler/driver/view_data.c).
#include "compiler/driver/commands.h"
#include "compiler/driver/model.h"
#include "compiler/driver/peak.h"
#include "compiler/driver/view.h"
#include "ir/base/alloc.h"
#include "ir/lang/elaborate.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "runtime/files.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const ftc_library_file ftc_view_page[]; // view.html, embedded at build time

typedef struct {
    const char *output;
    int64_t threads, measure;
} view_options;

#define FIELD(name) offsetof(view_options, name)
static const ftc_option OPTIONS[] = {
    {"output", NULL, FTC_OPTION_TEXT, FIELD(output), "FILE", 0, "the page, also -o; default: view.html"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1,
     "whose peaks are measured; one a processor unless set"},
    {"measure", NULL, FTC_OPTION_INT, FIELD(measure), "N", 1,
     "run N steps on made-up data, as ftc bench does, and show what each kernel takes"},
    {0},
};
#undef FIELD

// --- the stages ---------------------------------------------------------------------------------------

// The nodes as a dump has them, without their kernels' braces. To be freed.
static char *print_nodes(const ftc_graph *g) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    for (ftc_id v = 1; v < g->n_nodes; v++) ftc_print_node(g, v, f);
    return ftc_text_close(&text, NULL);
}

typedef struct {
    ftc_view *view;
    char *last; // the nodes after the pass before; one of the stages'
} stage_list;

static void keep_stage(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                       double seconds) {
    stage_list *list = context;
    ftc_view *view = list->view;
    if (entry != FTC_ENTRY_STEP) return;
    char *nodes = print_nodes(g);
    view->stages = ftc_realloc(view->stages, (size_t)view->n_stages + 1, sizeof *view->stages);
    ftc_view_stage *stage = &view->stages[view->n_stages++];
    *stage = (ftc_view_stage){pass ? pass->name : "expand", seconds, (int32_t)g->n_nodes - 1, nodes};
    if (list->last && !strcmp(list->last, nodes)) {
        free(nodes);
        stage->nodes = NULL;
    } else {
        list->last = nodes;
    }
}

// Sends the artifact's text through the passes once more, as it was compiled.
static bool keep_stages(ftc_view *view, ftc_diagnostics *d) {
    ftc_graph *source = ftc_parse_text("the artifact's text", view->manifest->program.source, NULL, d);
    if (!source) return false;
    stage_list list = {.view = view};
    ftc_compile_options options = ftc_manifest_options(view->manifest);
    options.after = keep_stage;
    options.context = &list;
    options.is_looked_at = true;
    ftc_graph *g = ftc_compile_plan(source, FTC_ENTRY_STEP, &options, d);
    if (g) ftc_graph_free(g);
    ftc_graph_free(source);
    return g != NULL;
}

// --- the measurement ----------------------------------------------------------------------------------

// Steps of the very code that the page shows.
static int measure(const ftc_command *self, const char *path, const view_options *o, ftc_view *view,
                   ftc_bench_side *side, ftc_threads *threads) {
    ftc_diagnostics d = {0};
    ftc_model_options model = ftc_model_options_default();
    const ftc_bench_options bench = {
        .steps = o->measure, .warmup = 2, .kernels = true, .world = &ftc_world_alone};
    bool ok = ftc_bench_open(path, &model, &bench, side, &d);
    ftc_model_options_free(&model);
    if (!ok) return ftc_diag_report(self->name, &d);
    if (strcmp(side->model.program->features, view->manifest->program.features) != 0)
        return ftc_cli_error(
            self->name,
            "--measure: the code in %s is for another CPU (%s) than this; compile it here, or leave "
            "--measure out",
            path, view->manifest->program.features);
    int code = ftc_status_report(self->name, ftc_bench_measure(side, 1, &bench, threads));
    if (code == FTC_EXIT_OK) {
        view->measured = side;
        view->steps = o->measure;
    }
    return code;
}

// --- the page -----------------------------------------------------------------------------------------

static int write_page(const ftc_command *self, const char *path, const char *data) {
    static const char mark[] = "/*DATA*/";
    const char *page = ftc_view_page[0].text, *at = strstr(page, mark);
    const ftc_file_part parts[] = {{page, (size_t)(at - page), NULL},
                                   {data, strlen(data), NULL},
                                   {at + strlen(mark), strlen(at + strlen(mark)), NULL}};
    return ftc_status_report(self->name, ftc_file_write_parts(path, parts, 3));
}

static int fill_and_write(const ftc_command *self, const char *path, const view_options *o, ftc_view *view,
                          const ftc_object *object, ftc_threads *threads) {
    ftc_bench_side side = {0};
    ftc_diagnostics d = {0};
    char *error = NULL;
    const char *output = o->output ? o->output : "view.html";
    int code = o->measure ? measure(self, path, o, view, &side, threads) : FTC_EXIT_OK;
    if (code == FTC_EXIT_OK && !keep_stages(view, &d)) code = ftc_diag_report(self->name, &d);
    if (code == FTC_EXIT_OK &&
        !ftc_listing_make(object->bytes, object->size, "ftc_step", (int32_t)view->g->n_kernels - 1,
                          view->manifest->cpu_features, &view->listing, &error))
        code = ftc_cli_error(self->name, "%s: %s", path, error);
    free(error);
    if (code == FTC_EXIT_OK) {
        view->why = ftc_explanation_make(view->g, &view->manifest->program, FTC_ENTRY_STEP, threads);
        view->l2_gigabytes = ftc_peak_l2_gigabytes(threads);
        view->bf16_gflops = ftc_peak_bf16_gflops(threads);
        char *data = ftc_view_data(view, threads);
        code = write_page(self, output, data);
        if (code == FTC_EXIT_OK) printf("wrote %s\n", output);
        free(data);
        ftc_explanation_free(&view->why);
    }
    ftc_bench_close(&side);
    return code;
}

static int view(const ftc_command *self, const char *path, const view_options *o) {
    ftc_diagnostics d = {0};
    ftc_object object = {0};
    ftc_threads *threads = NULL;
    if (!ftc_artifact_read(path, &object, &d)) return ftc_diag_report(self->name, &d);
    ftc_manifest *m = ftc_artifact_describe(&object, &d);
    char *text = m ? ftc_artifact_section(&object, "graph", &d) : NULL;
    ftc_graph *g = text ? ftc_parse_text("the artifact's graph", text, NULL, &d) : NULL;
    int code = g ? FTC_EXIT_OK : ftc_diag_report(self->name, &d);
    if (g && (int32_t)g->n_kernels - 1 != m->program.entries[FTC_ENTRY_STEP].n_kernels)
        code = ftc_cli_error(self->name, "%s: its graph is not that of its code", path);
    if (code == FTC_EXIT_OK)
        code = ftc_status_report(
            self->name,
            ftc_threads_create(o->threads ? (int32_t)o->threads : ftc_threads_available(), &threads));
    if (code == FTC_EXIT_OK) {
        ftc_view page = {.manifest = m, .g = g};
        code = fill_and_write(self, path, o, &page, &object, threads);
        for (int32_t i = 0; i < page.n_stages; i++) free(page.stages[i].nodes);
        free(page.stages);
        ftc_listing_free(&page.listing);
        ftc_threads_free(threads);
    }
    if (g) ftc_graph_free(g);
    free(text);
    ftc_manifest_free(m);
    free(object.bytes);
    return code;
}

int ftc_command_view(const ftc_command *self, int argc, char **argv) {
    view_options options = {0};
    ftc_option_group groups[] = {{"Options", OPTIONS, &options}, {0}};
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    if (parsed == FTC_CLI_OK && words.n != 1)
        code = ftc_cli_error(self->name, "expected one artifact, as in: ftc view model.ftc -o view.html");
    else if (parsed == FTC_CLI_OK && options.output && !ftc_file_can_be_written(options.output, false))
        code = ftc_cli_error(self->name, "%s: cannot write there: %s; choose another place with -o",
                             options.output, strerror(errno));
    else if (parsed == FTC_CLI_OK)
        code = view(self, words.items[0], &options);
    ftc_text_list_free(&words);
    return code;
}
