// ftc explain: of each kernel of an entry what it computes, from which lines, what of it again, why it ends
// where it ends, what it costs, and what bounds it.
#include "compiler/driver/commands.h"
#include "compiler/driver/explanation.h"
#include "compiler/driver/model.h"

#include <stddef.h>
#include <stdio.h>

typedef struct {
    const char *kernel;
    int32_t entry; // ftc_entry_kind
    int64_t threads;
} explain_options;

#define FIELD(name) offsetof(explain_options, name)
static const ftc_option OPTIONS[] = {
    {"kernel", NULL, FTC_OPTION_TEXT, FIELD(kernel), "NAME", 0, "only this one, as dot8"},
    {"entry", NULL, FTC_OPTION_CHOICE, FIELD(entry), "step|grad|update|eval", 0,
     "whose kernels; default: step"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1,
     "whose peaks are measured; one a processor unless set"},
    {0},
};
#undef FIELD

static int explain(const ftc_command *self, const char *path, const ftc_model_options *model,
                   const explain_options *o) {
    const ftc_entry_kind entry = (ftc_entry_kind)o->entry;
    ftc_diagnostics d = {0};
    ftc_model_source source;
    ftc_compiled compiled;
    ftc_threads *threads;
    if (!ftc_model_read(path, model, &source, &d)) return ftc_diag_report(self->name, &d);
    bool ok = ftc_model_compile(&source, model, 1u << entry, &compiled, &d);
    ftc_model_source_free(&source);
    if (!ok) return ftc_diag_report(self->name, &d);
    int32_t n = o->threads ? (int32_t)o->threads : ftc_threads_available();
    int code = ftc_status_report(self->name, ftc_threads_create(n, &threads));
    if (code == FTC_EXIT_OK) {
        const ftc_program *program = &compiled.manifest->program;
        ftc_explanation x = ftc_explanation_make(compiled.graphs[entry], program, entry, threads);
        if (!ftc_explain(&x, o->kernel, stdout))
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
