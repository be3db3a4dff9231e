// ftc view: one page that shows the kernels of an artifact's step (compiler/driver/view.html, filled with
// what is known of them).
#include "compiler/artifact.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/model.h"
#include "compiler/driver/peak.h"
#include "compiler/manifest.h"
#include "compiler/passes/plan.h"
#include "ir/base/alloc.h"
#include "ir/lang/elaborate.h"
#include "ir/lang/parse.h"
#include "ir/op.h"
#include "ir/print.h"
#include "runtime/data/batch.h"
#include "runtime/files.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const ftc_library_file ftc_view_page[]; // view.html, embedded at build time

typedef struct {
    const char *output;
    int64_t threads;
} view_options;

#define FIELD(name) offsetof(view_options, name)
static const ftc_option OPTIONS[] = {
    {"output", NULL, FTC_OPTION_TEXT, FIELD(output), "FILE", 0, "the page, also -o; default: view.html"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1,
     "whose peaks are measured; one a processor unless set"},
    {0},
};
#undef FIELD

// Text as JSON that may stand in a page: no `<` ends it.
static void write_text(FILE *f, const char *text) {
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 32 || *c == '<' || *c == '"' || *c == '\\')
            fprintf(f, "\\u%04x", *c);
        else
            fputc(*c, f);
    }
    fputc('"', f);
}

// "lines": those of the model's text, each once; "nodes": as a dump has them.
static void write_nodes(FILE *f, const ftc_graph *g, uint32_t k) {
    ftc_text nodes;
    FILE *text = ftc_text_open(&nodes);
    int32_t last = 0;
    fputs("\"lines\":[", f);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (g->nodes[v].kernel != k) continue;
        ftc_print_node(g, v, text);
        int32_t line = ftc_model_line(&g->nodes[v].loc);
        if (line && line != last) fprintf(f, "%s%d", last ? "," : "", line);
        if (line) last = line;
    }
    char *all = ftc_text_close(&nodes, NULL);
    fputs("],\"nodes\":", f);
    write_text(f, all);
    free(all);
}

static void write_kernels(FILE *f, const ftc_graph *g, const ftc_program *program) {
    double *counts = ftc_alloc((size_t)program->n_counts + 1, sizeof *counts);
    ftc_program_most_counts(program, counts);
    uint32_t interval = 1;
    for (uint32_t k = 1; k < g->n_kernels; k++) {
        const ftc_kernel *kernel = &g->kernels[k];
        const ftc_kernel_info *info = &program->entries[FTC_ENTRY_STEP].kernel_info[k - 1];
        interval += kernel->barrier;
        fprintf(f, "%s\n{\"name\":", k > 1 ? "," : "");
        write_text(f, kernel->name);
        fprintf(f,
                ",\"kind\":\"%s\",\"phase\":\"%s\",\"line\":%d,\"barrier\":%d,\"interval\":%u,\"live\":%lld,"
                "\"flops\":%.6g,\"bytes\":%.6g,",
                ftc_kernel_kind_name(kernel->kind), ftc_phase_name(info->phase), info->line, kernel->barrier,
                interval, (long long)info->live_bytes, ftc_program_cost(program, info->flops, counts),
                ftc_program_cost(program, info->bytes, counts));
        write_nodes(f, g, k);
        fputc('}', f);
    }
    free(counts);
}

static void write_buffers(FILE *f, const ftc_graph *g) {
    int n;
    ftc_buffer *buffers = ftc_plan_buffers(g, &n);
    for (int i = 0; i < n; i++) {
        const ftc_node *node = &g->nodes[buffers[i].node];
        char type[256];
        fprintf(f, "%s\n{\"node\":%u,\"from\":%u,\"to\":%u,\"bytes\":%lld,\"what\":", i ? "," : "",
                buffers[i].node, buffers[i].from, buffers[i].to, (long long)buffers[i].bytes);
        write_text(f, ftc_type_text(g, &node->type, type, sizeof type));
        fputs(",\"kernel\":", f);
        write_text(f, g->kernels[node->kernel].name);
        fputc('}', f);
    }
    free(buffers);
}

static char *make_data(const ftc_graph *g, const ftc_program *program, ftc_threads *threads) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    fputs("{\"model\":", f);
    write_text(f, program->model);
    fputs(",\"cpu\":", f);
    write_text(f, program->features);
    fprintf(f,
            ",\"precision\":\"%s\",\"threads\":%d,\"gflops\":%.6g,\"gigabytes\":%.6g,\"arena\":%lld,\"peak\":"
            "%lld",
            program->precision, ftc_threads_count(threads), ftc_peak_gflops(threads),
            ftc_peak_gigabytes(threads), (long long)g->arena_bytes, (long long)g->peak_live_bytes);
    fputs(",\"kernels\":[", f);
    write_kernels(f, g, program);
    fputs("],\n\"buffers\":[", f);
    write_buffers(f, g);
    fputs("],\n\"source\":", f);
    write_text(f, program->source);
    fputc('}', f);
    return ftc_text_close(&text, NULL);
}

static int write_page(const ftc_command *self, const char *path, const char *data) {
    static const char mark[] = "/*DATA*/";
    const char *page = ftc_view_page[0].text, *at = strstr(page, mark);
    const ftc_file_part parts[] = {
        {page, (size_t)(at - page)}, {data, strlen(data)}, {at + strlen(mark), strlen(at + strlen(mark))}};
    return ftc_status_report(self->name, ftc_file_write_parts(path, parts, 3));
}

static int view(const ftc_command *self, const char *path, const view_options *o) {
    ftc_diagnostics d = {0};
    ftc_object object = {0};
    ftc_threads *threads = NULL;
    if (!ftc_artifact_read(path, &object, &d)) return ftc_diag_report(&d);
    ftc_manifest *m = ftc_artifact_describe(&object, &d);
    char *text = m ? ftc_artifact_section(&object, "graph", &d) : NULL;
    ftc_graph *g = text ? ftc_parse_text("the artifact's graph", text, NULL, &d) : NULL;
    int code = g ? FTC_EXIT_OK : ftc_diag_report(&d);
    if (g && (int32_t)g->n_kernels - 1 != m->program.entries[FTC_ENTRY_STEP].n_kernels)
        code = ftc_cli_error(self->name, "%s: its graph is not that of its code", path);
    if (code == FTC_EXIT_OK)
        code = ftc_status_report(
            self->name,
            ftc_threads_create(o->threads ? (int32_t)o->threads : ftc_threads_available(), &threads));
    if (code == FTC_EXIT_OK) {
        char *data = make_data(g, &m->program, threads);
        code = write_page(self, o->output ? o->output : "view.html", data);
        if (code == FTC_EXIT_OK) printf("wrote %s\n", o->output ? o->output : "view.html");
        free(data);
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
    else if (parsed == FTC_CLI_OK)
        code = view(self, words.items[0], &options);
    ftc_text_list_free(&words);
    return code;
}
