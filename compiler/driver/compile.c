// ftc compile: a model's text to an artifact, and what there is to see on the way.
#include "compiler/driver/commands.h"
#include "compiler/driver/data.h"
#include "compiler/driver/model.h"
#include "ir/base/alloc.h"
#include "ir/print.h"
#include "runtime/data/batch.h"
#include "runtime/files.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/loop/memory.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/stepper.h"
#include "runtime/loop/threads.h"

#include <errno.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// In the order of the choice's alternatives.
enum { EMIT_ARTIFACT = -1, EMIT_IR, EMIT_KERNELS, EMIT_LLVM, EMIT_ASM };

typedef struct {
    const char *output;
    int32_t emit;
    ftc_text_list dump_after;
    const char *dump_dir;
    bool time_passes;
    int32_t entry; // ftc_entry_kind: whose graphs are shown
    int64_t ranks; // processes whose memory is told, beside that of one alone
} compile_options;

#define FIELD(name) offsetof(compile_options, name)
static const ftc_option OPTIONS[] = {
    {"output", NULL, FTC_OPTION_TEXT, FIELD(output), "FILE", 0,
     "the file to write, also -o; default: the model's name with .ftc, in the current folder"},
    {"emit", NULL, FTC_OPTION_CHOICE, FIELD(emit), "ir|kernels|llvm|asm", 0,
     "write this text (to --output or standard output) and no artifact"},
    {"entry", NULL, FTC_OPTION_CHOICE, FIELD(entry), "step|grad|update|eval", 0,
     "whose graph --dump-after and --emit kernels show; default: step"},
    {"dump-after", NULL, FTC_OPTION_LIST, FIELD(dump_after), "PASS", 0,
     "print the entry's graph after this pass; expand: before the first, all: after each"},
    {"dump-dir", NULL, FTC_OPTION_TEXT, FIELD(dump_dir), "DIR", 0, "write the dumps there, as NN-PASS.ir"},
    {"ranks", NULL, FTC_OPTION_INT, FIELD(ranks), "N", 1,
     "also print the memory of each of N processes that train together (docs/distributed.md)"},
    {"time-passes", NULL, FTC_OPTION_FLAG, FIELD(time_passes), NULL, 0, "print how long each pass took"},
    {0},
};
#undef FIELD

// --- watching -----------------------------------------------------------------------------------------

// What is gathered while the compiler works.
typedef struct {
    const compile_options *options;
    int n_passes; // of the entry that is shown, so far
    bool failed;  // a dump could not be written
} watch;

static bool is_asked_for(const compile_options *options, const char *pass) {
    for (size_t i = 0; i < options->dump_after.n; i++) {
        const char *name = options->dump_after.items[i];
        if (strcmp(name, "all") == 0 || strcmp(name, pass) == 0) return true;
    }
    return false;
}

// Standard output when path is NULL.
static int write_text(const char *path, const char *text) {
    if (path) return ftc_status_report("compile", ftc_file_write(path, text, strlen(text)));
    return fputs(text, stdout) >= 0 ? FTC_EXIT_OK : FTC_EXIT_USAGE; // main reports
}

static void dump(watch *w, const char *pass, const ftc_graph *g) {
    if (!w->options->dump_dir) {
        printf("// ---- after %s\n", pass);
        ftc_print_graph(g, stdout);
        return;
    }
    char *path = ftc_format("%s/%02d-%s.ir", w->options->dump_dir, w->n_passes, pass);
    char *text = ftc_print_text(g);
    if (!w->failed) w->failed = write_text(path, text) != FTC_EXIT_OK; // the first failure says enough
    free(text);
    free(path);
}

static void after_pass(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                       double seconds) {
    (void)seconds;
    watch *w = context;
    const char *name = pass ? pass->name : "expand";
    if (entry != (ftc_entry_kind)w->options->entry) return;
    w->n_passes = pass ? (int)(pass - ftc_passes) + 1 : 0;
    if (is_asked_for(w->options, name)) dump(w, name, g);
}

static void print_times(FILE *to, const ftc_compile_times *times) {
    double total = 0;
    fprintf(to, "  %-16s", "milliseconds");
    for (int e = 0; e < FTC_ENTRY_COUNT; e++) fprintf(to, " %8s", ftc_entry_name((ftc_entry_kind)e));
    fprintf(to, "\n");
    for (int i = 0; i < times->n; i++) {
        const ftc_compile_time *time = &times->list[i];
        fprintf(to, "  %-16s", time->name);
        for (int e = 0; e < FTC_ENTRY_COUNT; e++) {
            total += time->seconds[e];
            if (e == 0 || !time->is_of_all) fprintf(to, " %8.1f", 1e3 * time->seconds[e]);
        }
        fprintf(to, "\n");
    }
    fprintf(to, "  %-16s %8.1f\n", "all", 1e3 * total);
}

// --- the summary --------------------------------------------------------------------------------------

static double megabytes(int64_t bytes) {
    return (double)bytes / 1e6;
}

// Prints what the calls of `entries` take at the bounds: tensors, and the arena with the threads' scratch
// behind it, which is that of the entry that needs most; in a process with this slice of the moments.
static void print_memory(FILE *to, const ftc_program *program, uint32_t entries, int32_t threads,
                         ftc_slice slice) {
    static const struct {
        ftc_tensor_role role;
        const char *name;
    } PARTS[] = {
        {FTC_ROLE_PARAM, "parameters"}, {FTC_ROLE_MOMENT, "moments"}, {FTC_ROLE_GRADIENT, "gradients"}};
    const ftc_entry *largest = ftc_program_largest(program, entries, threads);
    fprintf(to, " %.1f MB:", megabytes(ftc_program_memory(program, entries, threads, slice)));
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        int64_t bytes = ftc_model_role_bytes(program, PARTS[i].role, entries, slice);
        if (bytes) fprintf(to, " %s %.1f,", PARTS[i].name, megabytes(bytes));
    }
    fprintf(to, " arena %.1f (live at most %.1f), scratch %d x %.2f\n", megabytes(largest->arena_bytes),
            megabytes(largest->peak_live_bytes), threads, megabytes(largest->scratch_bytes));
}

// What each of so many processes sends in a step, on average: gradients of what it does not own, and to each
// other process what it has made of its own (runtime/loop/shards.h). Of tables whose untouched rows wait,
// rows that some text names.
static void print_traffic(FILE *to, const ftc_program *program, int64_t ranks) {
    const double bytes = 2 * sizeof(float) * (double)(ranks - 1) / (double)ranks; // of a number
    int64_t dense = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role == FTC_ROLE_GRADIENT) dense += ftc_tensor_elements(info);
        if (info->role == FTC_ROLE_TOUCHED) dense -= ftc_tensor_elements(&program->tensors[info->of]);
    }
    fprintf(to, "  each sends %.2f MB a step", bytes * (double)dense / 1e6);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (program->tensors[i].role != FTC_ROLE_TOUCHED) continue;
        const ftc_tensor_info *table = &program->tensors[program->tensors[i].of];
        int64_t rows = table->dims[0];
        fprintf(to, ", %.0f bytes for each of the %lld rows of %s that texts name",
                bytes * (double)(ftc_tensor_elements(table) / rows), (long long)rows, table->name);
    }
    fprintf(to, "\n");
}

// "  a step of 8 sequences of 128 tokens", and the bounds of further extents.
static void print_bounds(FILE *to, const ftc_program *program) {
    ftc_row_extents rows = ftc_program_row_extents(program);
    fprintf(to, "  a step");
    if (rows.sequences >= 0)
        fprintf(to, " of %lld sequences", (long long)program->extents[rows.sequences].bound);
    if (rows.tokens >= 0) fprintf(to, " of %lld tokens", (long long)program->extents[rows.tokens].bound);
    for (int32_t i = 0; i < program->n_extents; i++)
        if (i != rows.sequences && i != rows.tokens)
            fprintf(to, ", %s %lld", program->extents[i].name, (long long)program->extents[i].bound);
}

// Prints what the program takes; whether this machine has the memory for it.
static bool summarize(FILE *to, const ftc_program *program, const ftc_target *target, int64_t ranks) {
    int32_t threads = ftc_threads_available();
    double *counts = ftc_alloc((size_t)program->n_counts + 1, sizeof *counts);
    ftc_program_most_counts(program, counts);
    double flops = ftc_program_cost(program, program->nominal_flops, counts);
    ftc_work work = ftc_entry_work(program, FTC_ENTRY_STEP, counts);
    free(counts);
    uint32_t evaluates = 1u << FTC_ENTRY_EVAL, in_one_call = 1u << FTC_ENTRY_STEP | evaluates;
    uint32_t in_two_calls = 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_UPDATE | evaluates;
    int64_t peak = ftc_program_memory(program, in_one_call, threads, FTC_ALL_ROWS),
            available = ftc_memory_available();
    fprintf(to, "%s: %lld parameters, compiled for %s in %.2f s\n", program->model,
            (long long)ftc_program_parameters(program), program->features, program->compile_seconds);
    print_bounds(to, program);
    fprintf(to, ": %.2f GFLOP (nominal), %.2f executed, %.1f MB moved\n", flops / 1e9, work.flops / 1e9,
            work.bytes / 1e6);
    fprintf(to, "  memory");
    print_memory(to, program, in_one_call, threads, FTC_ALL_ROWS);
    fprintf(to, "  with accumulation or clipping");
    print_memory(to, program, in_two_calls, threads, FTC_ALL_ROWS);
    if (ranks > 1) { // the last slice is the largest
        fprintf(to, "  in each of %lld processes", (long long)ranks);
        print_memory(to, program, in_two_calls, threads, (ftc_slice){ranks - 1, ranks});
        print_traffic(to, program, ranks);
    }
    if (strcmp(program->precision, "bf16") == 0) fprintf(to, "  bf16: %s\n", ftc_gemm_bf16_text(target));
    fprintf(to, "  kernels:");
    for (int e = 0; e < FTC_ENTRY_COUNT; e++)
        fprintf(to, "%s %s %d", e ? "," : "", ftc_entry_name((ftc_entry_kind)e),
                program->entries[e].n_kernels);
    fprintf(to, "\n");
    if (peak > available) {
        ftc_cli_error(
            "compile",
            "%s needs %.1f MB of memory, but only %.1f MB is free; compile with a smaller --batch or "
            "--max-length, or choose a smaller model",
            program->model, megabytes(peak), megabytes(available));
        return false;
    }
    fprintf(to, "  fits: %.1f MB is free\n", megabytes(available));
    return true;
}

// --- writing ------------------------------------------------------------------------------------------

// Whether a run could load the weights, and the tokenizer if there is one: told now, not when there is data
// and time for a run.
static bool check_pretrained(const ftc_program *program) {
    const char *dir = program->pretrained;
    ftc_tokenizer *tokenizer = NULL;
    int32_t max_length;
    ftc_data_options options = ftc_data_options_default();
    if (!dir) return true;
    ftc_status status = ftc_model_state_check(program, dir);
    if (status.code == FTC_OK && ftc_program_reads_text(program) && ftc_hf_has_tokenizer(dir))
        status = ftc_data_tokenizer(program, dir, &options, &tokenizer, &max_length);
    ftc_tokenizer_close(tokenizer);
    return ftc_status_report("compile", status) == FTC_EXIT_OK;
}

// "models/bert-cls.ir" → "bert-cls.ftc"; allocated.
static char *default_output(const char *model) {
    char *copy = ftc_strdup(model), *path;
    char *name = basename(copy), *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = '\0';
    path = ftc_format("%s.ftc", name);
    free(copy);
    return path;
}

// An entry's graph after all passes.
static char *kernels_text(const ftc_model_source *source, ftc_entry_kind entry,
                          const ftc_compile_options *compile, ftc_diagnostics *d) {
    ftc_graph *g = ftc_compile_plan(source->graph, entry, compile, d);
    char *text = g ? ftc_print_text(g) : NULL;
    if (g) ftc_graph_free(g);
    return text;
}

static char *emitted_text(const ftc_model_source *source, const compile_options *options,
                          ftc_compile_options *compile, ftc_diagnostics *d) {
    if (options->emit == EMIT_IR) return ftc_print_text(source->graph);
    if (options->emit == EMIT_KERNELS)
        return kernels_text(source, (ftc_entry_kind)options->entry, compile, d);
    char *text = NULL;
    *(options->emit == EMIT_LLVM ? &compile->llvm : &compile->assembly) = &text;
    ftc_compiled compiled = {0};
    if (!ftc_compile(source->graph, compile, &compiled, d)) {
        free(text);
        text = NULL;
    }
    ftc_compiled_free(&compiled);
    return text;
}

static int make_artifact(const ftc_model_source *source, const compile_options *options,
                         ftc_compile_options *compile, ftc_diagnostics *d) {
    watch w = {.options = options};
    ftc_compile_times times = {0};
    ftc_compiled compiled = {0};
    compile->after = after_pass;
    compile->context = &w;
    compile->times = &times;
    FILE *to = options->dump_after.n && !options->dump_dir ? stderr : stdout; // a dump there stays one
    int status = FTC_EXIT_USAGE;
    if (ftc_compile(source->graph, compile, &compiled, d) && !w.failed &&
        check_pretrained(&compiled.manifest->program) &&
        summarize(to, &compiled.manifest->program, compile->target, options->ranks)) {
        if (options->time_passes) print_times(to, &times);
        char *output = options->output ? ftc_strdup(options->output) : default_output(source->graph->model);
        if (ftc_artifact_write(output, &compiled, d)) {
            fprintf(to, "wrote %s\n", output);
            status = FTC_EXIT_OK;
        }
        free(output);
    }
    ftc_compiled_free(&compiled);
    return status;
}

// --- the command --------------------------------------------------------------------------------------

// Options that would do nothing are refused.
static bool check_shown(const compile_options *options, ftc_diagnostics *d) {
    const char *idle = options->dump_after.n  ? "--dump-after"
                       : options->time_passes ? "--time-passes"
                       : options->ranks       ? "--ranks"
                                              : NULL;
    if (options->emit != EMIT_ARTIFACT && idle)
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "%s is for artifacts, and --emit writes a text alone; leave one out", idle);
    else if (options->dump_dir && !options->dump_after.n)
        ftc_diag_add(d, NULL, NULL, 0, 0, "--dump-dir %s: which dumps? name --dump-after PASS, or all",
                     options->dump_dir);
    else
        return true;
    return false;
}

// Not only when there is something to write.
static bool check_output(const compile_options *options, ftc_diagnostics *d) {
    bool beside = options->emit == EMIT_ARTIFACT;
    if (!options->output || ftc_file_can_be_written(options->output, beside)) return true;
    ftc_diag_add(d, options->output, NULL, 0, 0, "cannot write there: %s; choose another place with -o",
                 strerror(errno));
    return false;
}

static bool check_dumps(const compile_options *options, ftc_diagnostics *d) {
    static const char *const also[] = {"all", "expand", NULL};
    for (size_t i = 0; i < options->dump_after.n; i++)
        if (!ftc_pass_check_name("--dump-after", options->dump_after.items[i], also, d)) return false;
    if (options->dump_dir && mkdir(options->dump_dir, 0777) != 0 && errno != EEXIST) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "--dump-dir %s: %s", options->dump_dir, strerror(errno));
        return false;
    }
    return true;
}

static int compile_model(const char *path, const ftc_model_options *model, compile_options *options) {
    ftc_diagnostics d = {0};
    ftc_model_source source = {0};
    ftc_compile_options compile;
    ftc_tuned tuned = {0};
    char *pretrained = ftc_model_absolute(model->pretrained);
    char *named = options->emit == EMIT_ARTIFACT && !options->output && path ? default_output(path) : NULL;
    if (named) options->output = named;
    int status = FTC_EXIT_USAGE;
    if (check_shown(options, &d) && check_output(options, &d) && check_dumps(options, &d) &&
        ftc_model_read(path, model, &source, &d) && ftc_model_compile_options(&source, model, &compile, &d) &&
        (!model->tune || ftc_model_tune(&source, &compile, &tuned, &d))) {
        ftc_model_tell_length(source.graph, model);
        compile.tuned = &tuned;
        if (options->emit == EMIT_ARTIFACT) {
            ftc_model_source_settle(&source);
            compile.pretrained = pretrained;
            status = make_artifact(&source, options, &compile, &d);
        } else {
            char *text = emitted_text(&source, options, &compile, &d);
            if (text) status = write_text(options->output, text);
            free(text);
        }
    }
    ftc_model_source_free(&source);
    ftc_tuned_free(&tuned);
    free(pretrained);
    free(named);
    if (d.count) status = ftc_diag_report("compile", &d);
    return status;
}

int ftc_command_compile(const ftc_command *self, int argc, char **argv) {
    ftc_model_options model = ftc_model_options_default();
    compile_options options = {.emit = EMIT_ARTIFACT};
    ftc_option_group groups[] = {{"What is written", OPTIONS, &options},
                                 {"The model", ftc_model_option_table, &model},
                                 {"Its weights", ftc_weights_option_table, &model},
                                 {0}};
    ftc_text_list models = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &models);
    int status = FTC_EXIT_USAGE;
    if (parsed != FTC_CLI_OK) {
        status = ftc_cli_exit(parsed);
    } else if (models.n > 1 || (!models.n && !model.pretrained)) {
        ftc_cli_error(self->name,
                      "expected one model, as in: ftc compile models/bert-cls.ir; or --pretrained DIR");
    } else {
        status = compile_model(models.n ? models.items[0] : NULL, &model, &options);
    }
    ftc_text_list_free(&models);
    ftc_text_list_free(&options.dump_after);
    ftc_model_options_free(&model);
    return status;
}
