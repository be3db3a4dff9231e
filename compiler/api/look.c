// libftc: what there is to see of a net: its text at every stage, its kernels, what the interpreter says.
#include "compiler/api/internal.h"

#include "compiler/driver/explanation.h"
#include "compiler/driver/reference.h"
#include "ir/print.h"

#include <stdlib.h>
#include <string.h>

int ftc_api_entry(unsigned call) {
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (call == 1u << i) return i;
    return -1;
}

// --- compiled once more -------------------------------------------------------------------------------

// What a net was compiled from, and how.
typedef struct {
    ftc_model_options options;
    ftc_model_source source; // with all values in place: no directory is needed
    ftc_compile_options compile;
    ftc_tuned tuned;
} recipe;

// To be freed in any case. What the laboratory changed lies in the net: its files are not read again.
static bool read_recipe(const ftc_net *net, recipe *r, ftc_diagnostics *d) {
    const ftc_net_options asked = {.options = (const char *const *)net->options};
    const ftc_program *program = net->model.program;
    *r = (recipe){.options = ftc_model_options_default()};
    if (!ftc_api_set_options(&asked, &r->options, d)) return false;
    r->options.graphs.n = r->options.kernels.n = 0;
    r->options.schedule = NULL;
    return ftc_model_read_text(program->model, program->source, &r->options, &r->source, d) &&
           ftc_model_compile_options_as(&r->source, &r->options, &net->model, &r->compile, &r->tuned, d);
}

static void free_recipe(recipe *r) {
    ftc_tuned_free(&r->tuned);
    ftc_model_source_free(&r->source);
    ftc_model_options_free(&r->options);
}

// --- texts of the stages ------------------------------------------------------------------------------

// The texts of an entry's stages.
typedef struct {
    ftc_entry_kind entry;
    const char *only; // this stage; NULL: all
    const char **stages;
    char **texts; // [n]
    int n;
} dumps;

static void after_pass(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                       double seconds) {
    (void)seconds;
    dumps *list = context;
    const char *stage = pass ? pass->name : "expand";
    if (entry != list->entry || (list->only && (list->n || strcmp(stage, list->only) != 0))) return;
    list->stages = ftc_realloc(list->stages, (size_t)list->n + 1, sizeof *list->stages);
    list->texts = ftc_realloc(list->texts, (size_t)list->n + 1, sizeof *list->texts);
    list->stages[list->n] = stage;
    list->texts[list->n++] = ftc_print_text(g);
}

static void free_dumps(dumps *list) {
    for (int i = 0; i < list->n; i++) free(list->texts[i]);
    free(list->texts);
    free(list->stages);
}

// The entry's graph after the last pass; NULL after diagnostics. *list receives what it asks for.
static ftc_graph *plan_recipe(recipe *r, dumps *list, ftc_diagnostics *d) {
    r->compile.after = after_pass;
    r->compile.context = list;
    return ftc_compile_plan(r->source.graph, list->entry, &r->compile, d);
}

// "llvm" or "asm".
static char *code_text(recipe *r, ftc_entry_kind entry, const char *stage, ftc_diagnostics *d) {
    char *code = NULL;
    r->compile.entries = 1u << entry;
    *(*stage == 'l' ? &r->compile.llvm : &r->compile.assembly) = &code;
    ftc_compiled compiled = {0};
    ftc_compile(r->source.graph, &r->compile, &compiled, d);
    ftc_compiled_free(&compiled);
    return code;
}

static char *stage_text(recipe *r, ftc_entry_kind entry, const char *stage, ftc_diagnostics *d) {
    static const char *const ALSO[] = {"expand", "source", "kernels", "llvm", "asm", NULL};
    if (!ftc_pass_check_name("stage", stage, ALSO, d)) return NULL;
    if (strcmp(stage, "llvm") == 0 || strcmp(stage, "asm") == 0) return code_text(r, entry, stage, d);
    dumps list = {.entry = entry, .only = stage};
    ftc_graph *g = plan_recipe(r, &list, d);
    char *text = NULL;
    if (g && strcmp(stage, "kernels") == 0)
        text = ftc_print_text(g);
    else if (g && list.n)
        text = ftc_strdup(list.texts[0]);
    else if (g)
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "stage \"%s\": the net was compiled without this pass, or from a graph of after it",
                     stage);
    free_dumps(&list);
    if (g) ftc_graph_free(g);
    return text;
}

static ftc_error *net_text(const ftc_net *net, unsigned call, const char *stage, char **text) {
    int entry = ftc_api_entry(call);
    if (entry < 0) return INPUT_ERROR("call is %#x: expected one of FTC_CALL_STEP, …", call);
    if (strcmp(stage, "source") == 0) {
        *text = ftc_api_copy(net->model.program->source);
        return NULL;
    }
    ftc_diagnostics d = {0};
    recipe r;
    ftc_api_lock();
    char *made = read_recipe(net, &r, &d) ? stage_text(&r, (ftc_entry_kind)entry, stage, &d) : NULL;
    ftc_api_unlock();
    free_recipe(&r);
    if (!made) return ftc_api_diagnostics(&d);
    *text = made;
    return NULL;
}

ftc_error *ftc_net_text(const ftc_net *net, unsigned call, const char *stage, char **text) {
    return FTC_GUARDED(net_text(net, call, stage, text));
}

static ftc_error *net_dumps(const ftc_net *net, unsigned call, ftc_dump_fn *told, void *context) {
    int entry = ftc_api_entry(call);
    if (entry < 0) return INPUT_ERROR("call is %#x: expected one of FTC_CALL_STEP, …", call);
    ftc_diagnostics d = {0};
    recipe r;
    dumps list = {.entry = (ftc_entry_kind)entry};
    ftc_api_lock();
    ftc_graph *g = read_recipe(net, &r, &d) ? plan_recipe(&r, &list, &d) : NULL;
    ftc_api_unlock();
    free_recipe(&r);
    for (int i = 0; g && i < list.n; i++) told(context, list.stages[i], list.texts[i]);
    free_dumps(&list);
    if (!g) return ftc_api_diagnostics(&d);
    ftc_graph_free(g);
    return NULL;
}

ftc_error *ftc_net_dumps(const ftc_net *net, unsigned call, ftc_dump_fn *told, void *context) {
    return FTC_GUARDED(net_dumps(net, call, told, context));
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

// The text of `kernel`, or of all; NULL after diagnostics.
static char *explain(ftc_trainer *trainer, const ftc_graph *g, ftc_entry_kind entry, const char *kernel,
                     ftc_diagnostics *d) {
    const ftc_program *program = ftc_api_program(trainer);
    if ((int32_t)g->n_kernels - 1 != program->entries[entry].n_kernels) {
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "ftc_trainer_explain: the artifact's kernels are others than they would be here, where "
                     "its memory budget holds for another number of threads; compile it here");
        return NULL;
    }
    ftc_text text;
    ftc_explanation x = ftc_explanation_make(g, program, entry, trainer->threads);
    bool found = ftc_explain(&x, kernel, ftc_text_open(&text));
    char *told = ftc_text_close(&text, NULL);
    ftc_explanation_free(&x);
    if (found) return told;
    free(told);
    ftc_diag_add(d, NULL, NULL, 0, 0,
                 "ftc_trainer_explain: there is no kernel \"%s\"; ftc_trainer_kernels lists them", kernel);
    return NULL;
}

static ftc_error *trainer_explain(ftc_trainer *trainer, unsigned call, const char *kernel, char **text) {
    int entry = ftc_api_entry(call);
    if (entry < 0) return INPUT_ERROR("call is %#x: expected one of FTC_CALL_STEP, …", call);
    if (!(ftc_net_calls(trainer->net) & call))
        return INPUT_ERROR("ftc_trainer_explain: the net was compiled without this call");
    ftc_diagnostics d = {0};
    recipe r;
    ftc_graph *g = NULL;
    ftc_api_lock();
    if (read_recipe(trainer->net, &r, &d))
        g = ftc_compile_plan(r.source.graph, (ftc_entry_kind)entry, &r.compile, &d);
    ftc_api_unlock();
    free_recipe(&r);
    char *made = g ? explain(trainer, g, (ftc_entry_kind)entry, kernel, &d) : NULL;
    if (g) ftc_graph_free(g);
    if (!made) return ftc_api_diagnostics(&d);
    *text = made;
    return NULL;
}

ftc_error *ftc_trainer_explain(ftc_trainer *trainer, unsigned call, const char *kernel, char **text) {
    return FTC_GUARDED(trainer_explain(trainer, call, kernel, text));
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
    recipe r;
    ftc_graph *reference = read_recipe(trainer->net, &r, &d) ? ftc_reference_graph(r.source.graph, &d) : NULL;
    if (reference) {
        ftc_trainer_sync(trainer);
        ftc_interpretation *made = ftc_api_allocate(1, sizeof *made);
        *made = (ftc_interpretation){
            ftc_api_program(trainer),
            ftc_reference_interpret(reference, &trainer->stepper, &trainer->batch, 0, 0)};
        ftc_graph_free(reference);
        *out = made;
    }
    free_recipe(&r);
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
