// ftc inspect: what is in an artifact, a model, a saved directory or a row of data.
#include "compiler/driver/commands.h"
#include "compiler/driver/data.h"
#include "compiler/driver/model.h"
#include "ir/base/name.h"
#include "ir/print.h"
#include "runtime/files.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/json.h"
#include "runtime/loop/model_state.h"
#include "runtime/hub/safetensors.h"
#include "runtime/hub/weights.h"
#include "runtime/text/shown.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    bool tensors, kernels, source, graph;
    int64_t row;
} inspect_options;

#define FIELD(name) offsetof(inspect_options, name)
static const ftc_option OPTIONS[] = {
    {"tensors", NULL, FTC_OPTION_FLAG, FIELD(tensors), NULL, 0, "list every tensor with its shape"},
    {"kernels", NULL, FTC_OPTION_FLAG, FIELD(kernels), NULL, 0, "list every entry's kernels in their order"},
    {"source", NULL, FTC_OPTION_FLAG, FIELD(source), NULL, 0, "print the model's text"},
    {"graph", NULL, FTC_OPTION_FLAG, FIELD(graph), NULL, 0, "print the step's final graph"},
    {"row", NULL, FTC_OPTION_INT, FIELD(row), "N", 0, "show row N of --train, from 0, with its tokens"},
    {0},
};
#undef FIELD

// --- a program ----------------------------------------------------------------------------------------

// "  name   value", both of a file.
static void print_line(const char *name, int width, const char *value) {
    char *shown_name = ftc_shown(name), *shown_value = ftc_shown(value);
    printf("  %-*s %s\n", width, shown_name, shown_value);
    free(shown_name);
    free(shown_value);
}

static void print_settings(const char *title, const ftc_setting *settings, int32_t n) {
    printf("%s\n", title);
    for (int32_t i = 0; i < n; i++) {
        if (settings[i].text) {
            print_line(settings[i].name, 20, settings[i].text);
        } else {
            printf("  %-20s %.6g\n", settings[i].name, settings[i].number);
        }
    }
}

static void print_tensors(const ftc_program *program) {
    char shape[128];
    printf("tensors\n");
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->role != FTC_ROLE_PARAM) continue;
        printf("  %-60s %-16s %s\n", t->name, ftc_shape_format(t->dims, t->rank, shape),
               t->trainable ? "" : "frozen");
    }
}

static void print_entries(const ftc_program *program, bool kernels) {
    static const char *const NAMES[FTC_ENTRY_COUNT] = {"step", "grad", "update", "eval"};
    printf("entries            kernels   arena MB    live MB   scratch MB a thread\n");
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        const ftc_entry *e = &program->entries[i];
        if (e->n_kernels == 0) continue;
        printf("  %-16s %7d %10.1f %10.1f %10.2f\n", NAMES[i], e->n_kernels, (double)e->arena_bytes / 1e6,
               (double)e->peak_live_bytes / 1e6, (double)e->scratch_bytes / 1e6);
        for (int32_t k = 0; kernels && k < e->n_kernels; k++) {
            const char *plain = e->kernel_info ? e->kernel_info[k].plain : NULL;
            printf("    %s%s%s\n", e->kernels[k], plain ? " plain: " : "", plain ? plain : "");
        }
    }
}

static void print_tuned(const ftc_manifest *m) {
    if (m->n_tuned) printf("tuned plans        gain\n");
    for (int32_t i = 0; i < m->n_tuned; i++)
        printf("  %-16.2f %s\n  %-16s %s\n", m->tuned[i].gain, m->tuned[i].contraction, "", m->tuned[i].plan);
}

static void print_program(const ftc_program *program, const inspect_options *o) {
    int64_t frozen = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->role == FTC_ROLE_PARAM && !t->trainable) frozen += ftc_tensor_elements(t);
    }
    printf("model              %s, %s, compiled for %s in %.2f s\n", program->model, program->precision,
           program->features, program->compile_seconds);
    printf("parameters         %lld (%lld frozen)\n", (long long)ftc_program_parameters(program),
           (long long)frozen);
    if (program->pretrained) printf("weights            %s\n", program->pretrained);
    printf("bounds            ");
    for (int32_t i = 0; i < program->n_extents; i++) {
        printf(" %s <= %lld%s", program->extents[i].name, (long long)program->extents[i].bound,
               i + 1 < program->n_extents ? "," : "\n");
    }
    print_entries(program, o->kernels);
    print_settings("config", program->config, program->n_config);
    print_settings("train", program->train, program->n_train);
    if (o->tensors) print_tensors(program);
}

// What the laboratory has changed in it.
static void print_changes(const ftc_manifest *m) {
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (m->dumps[i]) printf("graph of %-9s from a dump (--graph)\n", ftc_entry_name((ftc_entry_kind)i));
    for (int32_t i = 0; i < m->n_schedule; i++) printf("edit of schedule   %s\n", m->schedule[i]);
    for (int32_t i = 0; i < m->n_kernels; i++)
        printf("kernels of its own %.1f kB (--kernel)\n", (double)m->kernels[i].size / 1e3);
}

// `graph`: the step's final graph as text, where it is asked for.
static void print_asked(const ftc_manifest *m, const char *graph, const inspect_options *o) {
    if (o->source) {
        ftc_shown_write(stdout, m->program.source, strlen(m->program.source), false);
    } else if (o->graph) {
        ftc_shown_write(stdout, graph, strlen(graph), false);
    } else {
        print_program(&m->program, o);
        print_tuned(m);
        print_changes(m);
    }
}

static bool inspect_source(const char *path, const ftc_model_options *options, const inspect_options *o,
                           ftc_diagnostics *d) {
    ftc_model_source source;
    ftc_compiled compiled;
    if (!ftc_model_read(path, options, &source, d)) return false;
    bool ok = ftc_model_compile(&source, options, 0, &compiled, d);
    ftc_model_source_free(&source);
    if (!ok) return false;
    char *graph = o->graph ? ftc_print_text(compiled.graphs[FTC_ENTRY_STEP]) : NULL;
    print_asked(compiled.manifest, graph, o);
    free(graph);
    ftc_compiled_free(&compiled);
    return true;
}

static bool inspect_artifact(const char *path, const inspect_options *o, ftc_diagnostics *d) {
    ftc_object object;
    if (!ftc_artifact_read(path, &object, d)) return false;
    ftc_manifest *m = ftc_artifact_describe(&object, d);
    char *graph = m && o->graph ? ftc_artifact_section(&object, "graph", d) : NULL;
    bool ok = m && (graph || !o->graph);
    if (ok) print_asked(m, graph, o);
    free(graph);
    ftc_manifest_free(m);
    free(object.bytes);
    return ok;
}

// --- a directory --------------------------------------------------------------------------------------

static ftc_status inspect_directory(const char *dir) {
    ftc_hf_config *config;
    ftc_weights *file;
    FTC_RETURN_IF_ERROR(ftc_hf_config_read(dir, &config));
    const char *name;
    char *value, shape[128];
    printf("config\n");
    for (const struct cJSON *at = NULL; ftc_hf_config_next(config, &at, &name, &value);) {
        if (value) print_line(name, 30, value);
        free(value);
    }
    for (int32_t i = 0; i < ftc_hf_config_label_count(config); i++) {
        const char *label = ftc_hf_config_label(config, i);
        char id[24];
        snprintf(id, sizeof id, "label %d", i);
        if (label) print_line(id, 30, label);
    }
    ftc_hf_config_free(config);
    FTC_RETURN_IF_ERROR(ftc_weights_open(dir, &file));
    printf("tensors\n");
    for (int32_t i = 0; i < ftc_weights_count(file); i++) {
        const ftc_safetensor *t = ftc_weights_at(file, i);
        print_line(t->name, 60, ftc_shape_format(t->dims, t->rank, shape));
    }
    ftc_weights_close(file);
    return FTC_STATUS_OK;
}

// --- a row --------------------------------------------------------------------------------------------

static void print_quoted(const char *name, const char *text) {
    cJSON *string = cJSON_CreateString(text);
    char *quoted = cJSON_PrintUnformatted(string);
    printf("%-10s %s\n", name, quoted ? quoted : "");
    free(quoted);
    cJSON_Delete(string);
}

static void print_tokens(const ftc_tokenizer *tokenizer, const ftc_tokens *tokens) {
    printf("%-10s [", "input_ids");
    for (size_t i = 0; i < tokens->count; i++) printf("%s%d", i ? ", " : "", tokens->ids[i]);
    printf("]\n%-10s", "tokens");
    for (size_t i = 0; i < tokens->count; i++) {
        const char *text = ftc_tokenizer_token(tokenizer, tokens->ids[i]);
        putchar(' ');
        if (!text) text = "?";
        ftc_shown_write(stdout, text, strlen(text), true);
    }
    putchar('\n');
}

static ftc_status inspect_row(const ftc_data_options *data, int64_t row_number, int64_t max_length) {
    ftc_table *table;
    ftc_row row = {0};
    ftc_tokenizer *tokenizer = NULL;
    ftc_tokens tokens = {0};
    ftc_fields words = {0};
    FTC_RETURN_IF_ERROR(ftc_data_open(data->train, data, true, &table));
    ftc_status status = FTC_STATUS_OK;
    if ((size_t)row_number >= ftc_table_rows(table)) {
        status = ftc_status_make(FTC_BAD_INPUT, "%s has the rows 0 to %zu, no row %lld", data->train,
                                 ftc_table_rows(table) - 1, (long long)row_number);
    }
    if (status.code == FTC_OK) status = ftc_table_read(table, (size_t)row_number, &row);
    if (status.code == FTC_OK) {
        if (row.label) print_quoted("label", row.label);
        print_quoted("text", row.text);
        if (row.pair) print_quoted("pair", row.pair);
    }
    if (status.code == FTC_OK && data->tokenizer) {
        status = ftc_tokenizer_open_as(data->tokenizer, data->tokenizer_by_class, &tokenizer);
        int allowed = tokenizer ? ftc_tokenizer_model_max_length(tokenizer) : 0;
        int64_t length = max_length ? max_length : allowed ? allowed : INT32_MAX;
        if (status.code == FTC_OK && ftc_table_has_words(table))
            status = ftc_words_encode(tokenizer, row.text, (int)length, &words, &tokens);
        else if (status.code == FTC_OK)
            status = ftc_tokenizer_encode(tokenizer, row.text, row.pair, (int)length, &tokens);
        if (status.code == FTC_OK) print_tokens(tokenizer, &tokens);
    }
    ftc_fields_free(&words);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    ftc_row_free(&row);
    ftc_table_close(table);
    return status;
}

// --- the command --------------------------------------------------------------------------------------

static int inspect_path(const ftc_command *self, const char *path, const ftc_model_options *model,
                        const inspect_options *o) {
    struct stat info;
    ftc_diagnostics d = {0};
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return ftc_status_report(self->name, inspect_directory(path));
    bool ok =
        ftc_name_ends_with(path, ".ir") ? inspect_source(path, model, o, &d) : inspect_artifact(path, o, &d);
    return ok ? FTC_EXIT_OK : ftc_diag_report(self->name, &d);
}

int ftc_command_inspect(const ftc_command *self, int argc, char **argv) {
    inspect_options options = {.row = -1};
    ftc_data_options data = ftc_data_options_default();
    ftc_model_options model = ftc_model_options_default();
    ftc_option_group groups[] = {{"Options", OPTIONS, &options},
                                 {"Data", ftc_rows_option_table, &data},
                                 {"Columns", ftc_column_option_table, &data},
                                 {"Compiling (as for ftc compile)", ftc_model_option_table, &model},
                                 {"Weights (as for ftc compile)", ftc_weights_option_table, &model},
                                 {0}};
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    if (parsed != FTC_CLI_OK) {
        // told already
    } else if (options.row >= 0 && data.train && words.n == 0) {
        if (!data.tokenizer) data.tokenizer = model.pretrained;
        code = ftc_status_report(self->name, inspect_row(&data, options.row, model.max_length));
    } else if (words.n == 1 && options.row < 0) {
        code = inspect_path(self, words.items[0], &model, &options);
    } else {
        code = ftc_cli_error(self->name,
                             "give one artifact, MODEL.ir or model directory, or --train FILE --row N");
    }
    ftc_text_list_free(&words);
    ftc_model_options_free(&model);
    return code;
}
