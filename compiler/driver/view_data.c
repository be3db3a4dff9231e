#include "compiler/driver/ratio.h"
#include "compiler/driver/view.h"
#include "compiler/passes/plan.h"
#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/print.h"
#include "runtime/data/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// Text as JSON that may stand in a page: no `<` ends it.
static void write_text(FILE *f, const char *text) {
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '\n')
            fputs("\\n", f);
        else if (*c < 32 || *c == '<' || *c == '"' || *c == '\\')
            fprintf(f, "\\u%04x", *c);
        else
            fputc(*c, f);
    }
    fputc('"', f);
}

static void write_field(FILE *f, const char *name, const char *text) {
    fprintf(f, ",\"%s\":", name);
    write_text(f, text);
}

// --- kernels ------------------------------------------------------------------------------------------

// "lines": those of the model's text, each once; "reads": the kernels, from 0, whose values it reads;
// "nodes": as a dump has them.
static void write_nodes(FILE *f, const ftc_graph *g, uint32_t k) {
    ftc_text nodes;
    FILE *text = ftc_text_open(&nodes);
    bool *reads = ftc_alloc(g->n_kernels, sizeof *reads);
    int32_t last = 0;
    fputs(",\"lines\":[", f);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (g->nodes[v].kernel != k) continue;
        ftc_print_node(g, v, text);
        for (int i = 0; i < g->nodes[v].n_args; i++) reads[g->nodes[g->nodes[v].arg[i]].kernel] = true;
        int32_t line = ftc_model_line(&g->nodes[v].loc);
        if (line && line != last) fprintf(f, "%s%d", last ? "," : "", line);
        if (line) last = line;
    }
    fputs("],\"reads\":[", f);
    for (uint32_t r = 1, n = 0; r < g->n_kernels; r++)
        if (reads[r] && r != k) fprintf(f, "%s%u", n++ ? "," : "", r - 1);
    fputc(']', f);
    char *all = ftc_text_close(&nodes, NULL);
    write_field(f, "nodes", all);
    free(all);
    free(reads);
}

// The median of the steps, in microseconds.
static double measured_us(const ftc_view *view, uint32_t k) {
    const int32_t n = ftc_bench_kernels(view->measured);
    double *seconds = ftc_alloc((size_t)view->steps, sizeof *seconds);
    for (int64_t i = 0; i < view->steps; i++)
        seconds[i] = view->measured->kernel_seconds[i * n + (int64_t)k - 1];
    double median = ftc_median(seconds, view->steps);
    free(seconds);
    return 1e6 * median;
}

static void write_kernel(FILE *f, const ftc_view *view, uint32_t k, uint32_t interval) {
    const ftc_program *program = &view->manifest->program;
    const ftc_kernel *kernel = &view->g->kernels[k];
    const ftc_kernel_info *info = &program->entries[FTC_ENTRY_STEP].kernel_info[k - 1];
    ftc_text why;
    ftc_explain_kernel(&view->why, k, ftc_text_open(&why));
    char *text = ftc_text_close(&why, NULL);
    fputs("\n{\"name\":", f);
    write_text(f, kernel->name);
    fprintf(f,
            ",\"kind\":\"%s\",\"phase\":\"%s\",\"line\":%d,\"barrier\":%d,\"interval\":%u,\"live\":%lld,"
            "\"flops\":%.6g,\"bytes\":%.6g",
            ftc_kernel_kind_name(kernel->kind), ftc_phase_name(info->phase), info->line, kernel->barrier,
            interval, (long long)info->live_bytes, ftc_program_cost(program, info->flops, view->why.counts),
            ftc_program_cost(program, info->bytes, view->why.counts));
    if (view->listing.n_functions) fprintf(f, ",\"function\":%d", view->listing.calls[k - 1]);
    if (view->measured) fprintf(f, ",\"us\":%.6g", measured_us(view, k));
    write_field(f, "why", text);
    write_nodes(f, view->g, k);
    fputc('}', f);
    free(text);
}

static void write_kernels(FILE *f, const ftc_view *view) {
    uint32_t interval = 1;
    fputs(",\"kernels\":[", f);
    for (uint32_t k = 1; k < view->g->n_kernels; k++) {
        interval += view->g->kernels[k].barrier;
        if (k > 1) fputc(',', f);
        write_kernel(f, view, k, interval);
    }
    fputs("]", f);
}

static void write_listing(FILE *f, const ftc_listing *listing) {
    fputs(",\n\"functions\":[", f);
    for (int32_t i = 0; i < listing->n_functions; i++) {
        const ftc_listed_function *function = &listing->functions[i];
        fprintf(f, "%s\n{\"name\":", i ? "," : "");
        write_text(f, function->name);
        fputs(",\"loops\":[", f);
        for (int32_t k = 0; k < function->n_loops; k++) fprintf(f, "%s%d", k ? "," : "", function->loops[k]);
        fputs("]}", f);
    }
    fputs("],\n\"loops\":[", f);
    for (int32_t i = 0; i < listing->n_loops; i++) {
        const ftc_listed_loop *loop = &listing->loops[i];
        fprintf(f, "%s\n{\"offset\":%lld,\"instructions\":%d,\"arithmetic\":%d", i ? "," : "",
                (long long)loop->offset, loop->instructions, loop->arithmetic);
        write_field(f, "function", loop->function);
        write_field(f, "text", loop->text);
        fputc('}', f);
    }
    fputc(']', f);
}

// --- memory -------------------------------------------------------------------------------------------

static void write_buffers(FILE *f, const ftc_graph *g) {
    int n;
    ftc_buffer *buffers = ftc_plan_buffers(g, &n);
    fputs(",\n\"buffers\":[", f);
    for (int i = 0; i < n; i++) {
        const ftc_node *node = &g->nodes[buffers[i].node];
        char type[256];
        fprintf(f, "%s\n{\"node\":%u,\"from\":%u,\"to\":%u,\"offset\":%lld,\"bytes\":%lld,\"kernel\":%u",
                i ? "," : "", buffers[i].node, buffers[i].from, buffers[i].to, (long long)buffers[i].offset,
                (long long)buffers[i].bytes, node->kernel - 1);
        write_field(f, "what", ftc_type_text(g, &node->type, type, sizeof type));
        fputc('}', f);
    }
    fputs("]", f);
    free(buffers);
}

// --- stages -------------------------------------------------------------------------------------------

static void write_base64(FILE *f, const unsigned char *bytes, size_t n) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned group =
            bytes[i] << 16 | (i + 1 < n ? bytes[i + 1] << 8 : 0) | (i + 2 < n ? bytes[i + 2] : 0);
        fputc(DIGITS[group >> 18], f);
        fputc(DIGITS[group >> 12 & 63], f);
        fputc(i + 1 < n ? DIGITS[group >> 6 & 63] : '=', f);
        fputc(i + 2 < n ? DIGITS[group & 63] : '=', f);
    }
}

// The texts of all stages, a NUL behind each, packed as zlib does: they are much alike, and few look at them.
static void write_stages(FILE *f, const ftc_view *view) {
    ftc_text texts;
    FILE *all = ftc_text_open(&texts);
    fputs(",\n\"stages\":[", f);
    for (int32_t i = 0; i < view->n_stages; i++) {
        const ftc_view_stage *stage = &view->stages[i];
        fprintf(f, "%s\n{\"pass\":\"%s\",\"ms\":%.3g,\"nodes\":%d,\"changed\":%s}", i ? "," : "", stage->pass,
                1e3 * stage->seconds, stage->n_nodes, stage->nodes ? "true" : "false");
        if (stage->nodes) fwrite(stage->nodes, 1, strlen(stage->nodes) + 1, all);
    }
    size_t size;
    char *bytes = ftc_text_close(&texts, &size);
    uLongf packed_size = compressBound(size);
    unsigned char *packed = ftc_alloc(packed_size + 1, 1);
    if (compress(packed, &packed_size, (const Bytef *)bytes, size) != Z_OK) ftc_out_of_memory(size);
    fputs("],\n\"texts\":\"", f);
    write_base64(f, packed, packed_size);
    fputc('"', f);
    free(packed);
    free(bytes);
}

// --- all of it ----------------------------------------------------------------------------------------

char *ftc_view_data(const ftc_view *view, ftc_threads *threads) {
    const ftc_program *program = &view->manifest->program;
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    fputs("{\"model\":", f);
    write_text(f, program->model);
    write_field(f, "cpu", program->features);
    fprintf(f,
            ",\"precision\":\"%s\",\"threads\":%d,\"gflops\":%.6g,\"bf16_gflops\":%.6g,\"gigabytes\":%.6g,"
            "\"l2_gigabytes\":%.6g,\"arena\":%lld,\"peak\":%lld",
            program->precision, ftc_threads_count(threads), view->why.gflops, view->bf16_gflops,
            view->why.gigabytes, view->l2_gigabytes, (long long)view->g->arena_bytes,
            (long long)view->g->peak_live_bytes);
    if (view->measured)
        fprintf(f, ",\"steps\":%lld,\"step_ms\":%.6g", (long long)view->steps,
                1e3 * ftc_median(view->measured->seconds, view->steps));
    write_kernels(f, view);
    write_listing(f, &view->listing);
    write_buffers(f, view->g);
    write_stages(f, view);
    fputs(",\n\"source\":", f);
    write_text(f, program->source);
    fputc('}', f);
    return ftc_text_close(&text, NULL);
}
