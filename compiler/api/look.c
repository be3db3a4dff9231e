// libftc: what there is to see of a net: its text at every stage, its kernels, what the interpreter says.
#include "compiler/api/internal.h"

#include "compiler/driver/reference.h"
#include "ir/print.h"

#include <stdlib.h>
#include <string.h>

int ftc_api_entry(unsigned call) {
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (call == 1u << i) return i;
    return -1;
}

// --- texts of the stages ------------------------------------------------------------------------------

typedef struct {
    ftc_entry_kind entry;
    const char *stage;
    char *text; // NULL until it was met
} wanted;

static void after_pass(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                       double seconds) {
    (void)seconds;
    wanted *w = context;
    if (entry != w->entry || w->text || strcmp(pass ? pass->name : "expand", w->stage) != 0) return;
    w->text = ftc_print_text(g);
}

static char *stage_text(const ftc_model_source *source, ftc_compile_options *compile, ftc_entry_kind entry,
                        const char *stage, ftc_diagnostics *d) {
    static const char *const ALSO[] = {"expand", "source", "kernels", "llvm", "asm", NULL};
    wanted w = {entry, stage, NULL};
    char *code = NULL;
    if (!ftc_pass_check_name("stage", stage, ALSO, d)) return NULL;
    compile->entries = 1u << entry;
    if (strcmp(stage, "llvm") == 0 || strcmp(stage, "asm") == 0) {
        *(*stage == 'l' ? &compile->llvm : &compile->assembly) = &code;
        ftc_compiled compiled = {0};
        ftc_compile(source->graph, compile, &compiled, d);
        ftc_compiled_free(&compiled);
        return code;
    }
    compile->after = after_pass;
    compile->context = &w;
    ftc_graph *g = ftc_compile_plan(source->graph, entry, compile, d);
    if (g && strcmp(stage, "kernels") == 0) w.text = ftc_print_text(g);
    if (g && !w.text)
        ftc_diag_add(d, NULL, NULL, 0, 0, "stage \"%s\": the net was compiled without this pass", stage);
    if (g) ftc_graph_free(g);
    return w.text;
}

// The source that the net was compiled from, where all values are in place: no directory is needed. It and
// the options are to be freed.
static bool reopen(const ftc_net *net, ftc_model_options *options, ftc_model_source *source,
                   ftc_diagnostics *d) {
    const ftc_net_options asked = {.options = (const char *const *)net->options};
    const ftc_program *program = net->model.program;
    return ftc_api_set_options(&asked, options, d) &&
           ftc_model_read_text(program->model, program->source, options, source, d);
}

static ftc_error *net_text(const ftc_net *net, unsigned call, const char *stage, char **text) {
    int entry = ftc_api_entry(call);
    if (entry < 0) return INPUT_ERROR("call is %#x: expected one of FTC_CALL_STEP, …", call);
    if (strcmp(stage, "source") == 0) {
        *text = ftc_api_copy(net->model.program->source);
        return NULL;
    }
    ftc_diagnostics d = {0};
    ftc_model_options options = ftc_model_options_default();
    ftc_model_source source = {0};
    ftc_compile_options compile;
    ftc_tuned tuned;
    char *made = NULL;
    ftc_api_lock();
    if (reopen(net, &options, &source, &d) &&
        ftc_model_compile_options_as(&source, &options, &net->model, &compile, &tuned, &d)) {
        made = stage_text(&source, &compile, (ftc_entry_kind)entry, stage, &d);
        ftc_tuned_free(&tuned);
    }
    ftc_api_unlock();
    ftc_model_source_free(&source);
    ftc_model_options_free(&options);
    if (!made) return ftc_api_diagnostics(&d);
    *text = made;
    return NULL;
}

ftc_error *ftc_net_text(const ftc_net *net, unsigned call, const char *stage, char **text) {
    return FTC_GUARDED(net_text(net, call, stage, text));
}

void ftc_text_free(char *text) {
    free(text);
}

// --- kernels ------------------------------------------------------------------------------------------

static ftc_error *list_kernels(ftc_trainer *trainer, int entry) {
    const ftc_program *program = ftc_api_program(trainer);
    const ftc_entry *e = &program->entries[entry];
    double *counts = ftc_api_allocate((size_t)program->n_counts, sizeof *counts), total = 0;
    if (trainer->has_batch)
        memcpy(counts, trainer->batch.counts, (size_t)program->n_counts * sizeof *counts);
    else
        ftc_program_most_counts(program, counts);
    trainer->kernels = ftc_realloc(trainer->kernels, (size_t)e->n_kernels, sizeof *trainer->kernels);
    for (int32_t k = 0; k < e->n_kernels; k++) total += trainer->profile.cycles[entry][k];
    double each = total > 0 ? trainer->seconds[entry] / (double)trainer->made[entry] / total : 0;
    for (int32_t k = 0; k < e->n_kernels; k++) {
        const ftc_kernel_info *info = e->kernel_info ? &e->kernel_info[k] : NULL;
        ftc_kernel_desc *desc = &trainer->kernels[k];
        *desc = (ftc_kernel_desc){.name = e->kernels[k],
                                  .phase = info ? ftc_phase_name(info->phase) : "",
                                  .seconds = trainer->profile.cycles[entry][k] * each};
        if (!info) continue;
        desc->plain = info->plain;
        desc->line = info->line;
        desc->flops = ftc_program_cost(program, info->flops, counts);
        desc->bytes = ftc_program_cost(program, info->bytes, counts);
    }
    free(counts);
    return NULL;
}

const ftc_kernel_desc *ftc_trainer_kernels(ftc_trainer *trainer, unsigned call, int32_t *n) {
    const volatile int entry = ftc_api_entry(call); // the same on both ways out of the scope
    if (entry < 0 || !(trainer->calls & call)) return NULL;
    ftc_error *error = FTC_GUARDED(list_kernels(trainer, entry));
    ftc_error_free(error);
    if (error) return NULL;
    *n = ftc_api_program(trainer)->entries[entry].n_kernels;
    return trainer->kernels;
}

// --- the interpreter ----------------------------------------------------------------------------------

struct ftc_interpretation {
    const ftc_program *program;
    ftc_gradients values;
};

static ftc_error *trainer_interpret(ftc_trainer *trainer, ftc_interpretation **out) {
    if (!trainer->has_weights || !trainer->has_batch)
        return INPUT_ERROR("ftc_trainer_interpret: there %s",
                           trainer->has_weights ? "is no batch at hand; call ftc_trainer_bind first"
                                                : "are no weights; call ftc_trainer_init first");
    ftc_diagnostics d = {0};
    ftc_model_options options = ftc_model_options_default();
    ftc_model_source source = {0};
    ftc_graph *reference = NULL;
    if (reopen(trainer->net, &options, &source, &d)) reference = ftc_reference_graph(source.graph, &d);
    if (reference) {
        ftc_trainer_sync(trainer);
        ftc_interpretation *made = ftc_api_allocate(1, sizeof *made);
        *made = (ftc_interpretation){
            ftc_api_program(trainer),
            ftc_reference_interpret(reference, &trainer->stepper, &trainer->batch, 0, 0)};
        ftc_graph_free(reference);
        *out = made;
    }
    ftc_model_source_free(&source);
    ftc_model_options_free(&options);
    return reference ? NULL : ftc_api_diagnostics(&d);
}

ftc_error *ftc_trainer_interpret(ftc_trainer *trainer, ftc_interpretation **out) {
    return FTC_GUARDED(trainer_interpret(trainer, out));
}

void ftc_interpretation_free(ftc_interpretation *interpretation) {
    if (!interpretation) return;
    ftc_gradients_free(&interpretation->values);
    free(interpretation);
}

const double *ftc_interpretation_value(const ftc_interpretation *interpretation, const char *name,
                                       int64_t *cells) {
    const ftc_program *program = interpretation->program;
    const ftc_gradients *values = &interpretation->values;
    for (int32_t i = 0; i < program->n_outputs; i++) {
        const ftc_output_info *output = &program->outputs[i];
        if (ftc_api_is_internal(output) || strcmp(output->name, name) != 0) continue;
        *cells = values->cells[i];
        return values->outputs[i];
    }
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != FTC_ROLE_GRADIENT || strcmp(info->name, name) != 0) continue;
        *cells = ftc_tensor_elements(info);
        return values->gradients[info->of];
    }
    return NULL;
}
