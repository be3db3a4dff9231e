#include "compiler/compile.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/cost.h"
#include "compiler/emit/emit.h"
#include "compiler/codegen/object.h"
#include "compiler/passes/provenance.h"
#include "compiler/passes/regions.h"
#include "compiler/emit/tune.h"
#include "ir/base/clock.h"
#include "ir/base/name.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/print.h"

// The node of `g` for node `v` of the source. `training`, which has none until something needs it, is a constant.
static ftc_id in_entry(ftc_graph *g, const ftc_graph *source, ftc_id v, ftc_entry_kind entry, ftc_id *map) {
    const ftc_axes none = {0};
    if (source->nodes[v].op == FTC_OP_training && !map[v])
        map[v] = ftc_build_fill(g, ftc_entry_trains(entry), FTC_BOOL, &none);
    return map[v];
}

// What `training` chooses where node `v` is a select on it; 0: nothing, or less than all axes of the result.
static ftc_id chosen_by_training(const ftc_graph *g, const ftc_graph *source, ftc_id v, ftc_entry_kind entry,
                                 const ftc_id *map) {
    const ftc_node *node = &source->nodes[v];
    if (node->op != FTC_OP_select || source->nodes[node->arg[0]].op != FTC_OP_training) return 0;
    ftc_id chosen = map[node->arg[ftc_entry_trains(entry) ? 1 : 2]];
    return chosen && ftc_axes_same_set(&g->nodes[chosen].type.axes, &node->type.axes) ? chosen : 0;
}

ftc_graph *ftc_compile_entry_graph(const ftc_graph *source, ftc_entry_kind entry) {
    ftc_graph *g = ftc_graph_new_like(source);
    ftc_id *map = calloc(source->n_nodes, sizeof *map);
    if (!map) abort();
    for (ftc_id v = 1; v < source->n_nodes; v++) {
        ftc_node node = source->nodes[v];
        ftc_build_cursor(g, node.loc, node.phase);
        map[v] = chosen_by_training(g, source, v, entry, map);
        if (map[v] || node.op == FTC_OP_training) continue;
        for (int i = 0; i < node.n_args; i++) node.arg[i] = in_entry(g, source, node.arg[i], entry, map);
        map[v] = ftc_graph_append(g, node);
    }
    // The update needs the forward phase only to see how parameters are read.
    const uint32_t never = entry == FTC_ENTRY_UPDATE ? 1u << FTC_ENTRY_UPDATE : 0;
    for (uint32_t i = 0; i < source->n_outputs; i++) {
        const ftc_output *output = &source->outputs[i];
        ftc_id node = in_entry(g, source, output->node, entry, map);
        ftc_graph_add_output(g, output->name, node, output->entries & ~never);
        g->outputs[i].order = output->order;
    }
    free(map);
    return g;
}

// --- manifest -----------------------------------------------------------------------------------------

static cJSON *add_object(cJSON *array) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(array, o);
    return o;
}

static void add_settings(cJSON *manifest, const char *name, const ftc_graph_setting *settings, uint32_t n) {
    cJSON *array = cJSON_AddArrayToObject(manifest, name);
    for (uint32_t i = 0; i < n; i++) {
        cJSON *o = add_object(array);
        cJSON_AddStringToObject(o, "name", settings[i].name);
        if (settings[i].hf_name) cJSON_AddStringToObject(o, "hf_name", settings[i].hf_name);
        if (settings[i].text)
            cJSON_AddStringToObject(o, "text", settings[i].text);
        else
            cJSON_AddNumberToObject(o, "number", settings[i].number);
    }
}

// Eleven numbers a kernel: line, phase, live bytes, then both costs.
static void add_kernel_info(cJSON *entry, const ftc_graph *g) {
    int n;
    ftc_kernel_info *infos = ftc_provenance_kernels(g, &n);
    cJSON *array = cJSON_AddArrayToObject(entry, "kernel_info");
    for (int k = 0; k < n; k++) {
        const ftc_cost *flops = &infos[k].flops, *bytes = &infos[k].bytes;
        const double numbers[] = {
            infos[k].line,       infos[k].phase,   (double)infos[k].live_bytes, flops->fixed,
            flops->per_sequence, flops->per_token, flops->per_token_squared,    bytes->fixed,
            bytes->per_sequence, bytes->per_token, bytes->per_token_squared};
        cJSON_AddItemToArray(array, cJSON_CreateDoubleArray(numbers, sizeof numbers / sizeof *numbers));
    }
    free(infos);
}

static void add_tuned(cJSON *manifest, const ftc_tuned *tuned) {
    cJSON *array = cJSON_AddArrayToObject(manifest, "tuned");
    for (int i = 0; tuned && i < tuned->n; i++) {
        cJSON *o = add_object(array);
        cJSON_AddStringToObject(o, "contraction", tuned->list[i].contraction);
        cJSON_AddStringToObject(o, "plan", tuned->list[i].plan);
        cJSON_AddNumberToObject(o, "gain", tuned->list[i].gain);
    }
}

// The time that compiling takes is known when the object file is complete: the manifest holds room for it, filled in there.
static const char SECONDS_KEY[] = "\"compile_seconds\":", SECONDS_ROOM[] = "            0";

static void record_seconds(ftc_object *object, double seconds) {
    char *key = memmem(object->bytes, object->size, SECONDS_KEY, strlen(SECONDS_KEY));
    size_t behind = object->size - (size_t)(key - object->bytes);
    char *room = memmem(key, behind, SECONDS_ROOM, strlen(SECONDS_ROOM)), text[64];
    int width = (int)strlen(SECONDS_ROOM);
    if (snprintf(text, sizeof text, "%*.6f", width, seconds) == width) memcpy(room, text, strlen(text));
}

// The manifest of the entries compiled: what compiler/artifact.c reads back into an ftc_program.
static char *make_manifest(const ftc_graph *source, const ftc_compile_options *options,
                           const ftc_target *target, const ftc_interface *in, const ftc_graph *const *graphs,
                           const int64_t *scratch_bytes) {
    cJSON *m = cJSON_CreateObject();
    cJSON_AddNumberToObject(m, "abi", FTC_STEP_ABI_VERSION);
    cJSON_AddStringToObject(m, "model", source->model);
    if (options->pretrained) cJSON_AddStringToObject(m, "pretrained", options->pretrained);
    cJSON_AddStringToObject(m, "precision", options->bf16 ? "bf16" : "fp32");
    cJSON_AddBoolToObject(m, "needs_sgemm", options->use_blas);
    cJSON_AddNumberToObject(m, "memory_budget_bytes", (double)options->memory_budget_bytes);
    cJSON_AddItemToObject(m, "skip", cJSON_CreateStringArray(options->skip, options->n_skip));
    cJSON_AddStringToObject(m, "cpu", target->cpu);
    cJSON_AddStringToObject(m, "features", target->features);
    cJSON_AddRawToObject(m, "compile_seconds", SECONDS_ROOM);
    add_tuned(m, options->tuned);
    double per_token, per_token_squared;
    ftc_cost_nominal(source, &per_token, &per_token_squared);
    cJSON_AddNumberToObject(m, "flops_per_token", per_token);
    cJSON_AddNumberToObject(m, "flops_per_token_squared", per_token_squared);
    cJSON *array = cJSON_AddArrayToObject(m, "entries");
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        cJSON *o = add_object(array);
        if (!graphs[i]) continue;
        cJSON_AddStringToObject(o, "symbol", ftc_entry_name((ftc_entry_kind)i));
        cJSON_AddNumberToObject(o, "arena_bytes", (double)graphs[i]->arena_bytes);
        cJSON_AddNumberToObject(o, "scratch_bytes", (double)scratch_bytes[i]);
        cJSON_AddNumberToObject(o, "peak_live_bytes", (double)graphs[i]->peak_live_bytes);
        cJSON *kernels = cJSON_AddArrayToObject(o, "kernels");
        for (uint32_t k = 1; k < graphs[i]->n_kernels; k++)
            cJSON_AddItemToArray(kernels, cJSON_CreateString(graphs[i]->kernels[k].name));
        add_kernel_info(o, graphs[i]);
    }
    array = cJSON_AddArrayToObject(m, "tensors");
    for (int i = 0; i < in->n_tensors; i++) {
        const ftc_tensor_info *t = &in->tensors[i];
        cJSON *o = add_object(array);
        cJSON_AddStringToObject(o, "name", t->name);
        cJSON_AddNumberToObject(o, "role", t->role);
        cJSON_AddNumberToObject(o, "dtype", t->dtype);
        cJSON *dims = cJSON_AddArrayToObject(o, "dims");
        for (int j = 0; j < t->rank; j++) cJSON_AddItemToArray(dims, cJSON_CreateNumber((double)t->dims[j]));
        cJSON_AddNumberToObject(o, "of", t->of);
        cJSON_AddNumberToObject(o, "by", t->by);
        cJSON_AddNumberToObject(o, "trainable", t->trainable);
        cJSON_AddNumberToObject(o, "zero_row", t->zero_row);
        cJSON_AddNumberToObject(o, "init", t->init);
        cJSON_AddNumberToObject(o, "init_std", t->init_std);
    }
    array = cJSON_AddArrayToObject(m, "inputs");
    for (int i = 0; i < in->n_inputs; i++) {
        cJSON *o = add_object(array);
        cJSON_AddStringToObject(o, "name", in->inputs[i].name);
        cJSON_AddNumberToObject(o, "dtype", in->inputs[i].dtype);
        cJSON_AddNumberToObject(o, "per_token", in->inputs[i].per_token);
        cJSON_AddNumberToObject(o, "bound", (double)in->inputs[i].bound);
    }
    array = cJSON_AddArrayToObject(m, "scalars");
    for (int i = 0; i < in->n_scalars; i++) {
        cJSON *o = add_object(array);
        cJSON_AddStringToObject(o, "name", in->scalars[i].name);
        cJSON_AddNumberToObject(o, "value", in->scalars[i].value);
        cJSON_AddNumberToObject(o, "role", in->scalars[i].role);
    }
    array = cJSON_AddArrayToObject(m, "outputs");
    for (int i = 0; i < in->n_outputs; i++) {
        cJSON *o = add_object(array);
        cJSON_AddStringToObject(o, "name", in->outputs[i].name);
        cJSON_AddNumberToObject(o, "dtype", in->outputs[i].dtype);
        cJSON_AddNumberToObject(o, "per_sequence", in->outputs[i].per_sequence);
        cJSON_AddNumberToObject(o, "columns", (double)in->outputs[i].columns);
        cJSON_AddNumberToObject(o, "entries", in->outputs[i].entries);
    }
    array = cJSON_AddArrayToObject(m, "extents");
    for (int i = 0; i < in->n_extents; i++) {
        cJSON *o = add_object(array);
        cJSON_AddStringToObject(o, "name", in->extents[i].name);
        cJSON_AddNumberToObject(o, "ragged_over", in->extents[i].ragged_over);
        cJSON_AddNumberToObject(o, "bound", (double)in->extents[i].bound);
    }
    add_settings(m, "config", source->config, source->n_config);
    add_settings(m, "train", source->train, source->n_train);
    char *text = cJSON_Print(m);
    cJSON_Delete(m);
    return text;
}

// --- compile ------------------------------------------------------------------------------------------

typedef struct {
    const ftc_compile_options *options;
    ftc_entry_kind entry;
} entry_context;

static void forward_after(void *context, const ftc_pass *pass, const ftc_graph *g, double seconds) {
    const entry_context *c = context;
    c->options->after(c->options->context, c->entry, pass, g, seconds);
}

// Runs the passes on an entry's graph. `graphs` (NULL: none) has those that are done: what the state takes that this
// entry does not know counts as well. Whoever can call the step need not call grad, which then only comes as near to
// the budget as it can.
static bool run_passes(ftc_graph *g, ftc_entry_kind entry, ftc_graph *const *graphs, int64_t scratch_bytes,
                       const ftc_compile_options *options, ftc_diagnostics *d) {
    entry_context context = {options, entry};
    ftc_pipeline_options pipeline = {.pass = {.entry = entry,
                                              .memory_budget_bytes = options->memory_budget_bytes,
                                              .scratch_bytes = scratch_bytes,
                                              .tile_rows = options->tile_rows,
                                              .bf16 = options->bf16},
                                     .skip = options->skip,
                                     .n_skip = options->n_skip,
                                     .check_text = options->check_text};
    const ftc_graph *update = graphs ? graphs[FTC_ENTRY_UPDATE] : NULL;
    if (update && entry == FTC_ENTRY_GRAD)
        pipeline.pass.resident_bytes =
            ftc_resident_bytes(update, FTC_DECL_MOMENT) + ftc_resident_bytes(update, FTC_DECL_TOUCHED);
    if (graphs && entry == FTC_ENTRY_GRAD && graphs[FTC_ENTRY_STEP]) pipeline.pass.budget_is_a_wish = true;
    if (options->after) {
        options->after(options->context, entry, NULL, g, 0);
        pipeline.after = forward_after;
        pipeline.context = &context;
    }
    return ftc_pipeline_run(g, &pipeline, d);
}

static bool failed(ftc_diagnostics *d, char *error) {
    ftc_diag_add(d, NULL, NULL, 0, 0, "%s", error ? error : "out of memory");
    free(error);
    return false;
}

// What the kernels of a planned graph need of each thread, which is known when they are emitted.
static bool measure_scratch(const ftc_graph *g, ftc_entry_kind entry, const ftc_compile_options *options,
                            const ftc_target *target, int64_t *bytes, ftc_diagnostics *d) {
    char *error = NULL;
    ftc_codegen *cg = ftc_codegen_new(target, g->model, &error);
    if (!cg) return failed(d, error);
    ftc_interface in = {0};
    ftc_kernel_cache cache = {0};
    ftc_interface_add_graph(&in, g, entry);
    bool ok = ftc_emit_entry(cg, &cache, g, &in, options->use_blas, options->tuned, ftc_entry_name(entry),
                             bytes, &error);
    ftc_kernel_cache_free(&cache);
    ftc_interface_free(&in);
    ftc_codegen_free(cg);
    return ok || failed(d, error);
}

// A round of ftc_plan_entry: a graph whose plan leaves room for *scratch bytes, and what it then needs.
static ftc_graph *plan_round(const ftc_graph *source, ftc_entry_kind entry, ftc_graph *const *graphs,
                             const ftc_compile_options *options, const ftc_target *target, int64_t *scratch,
                             ftc_diagnostics *d) {
    ftc_graph *g = ftc_compile_entry_graph(source, entry);
    int64_t thread_bytes = 0;
    bool ok = run_passes(g, entry, graphs, *scratch, options, d);
    if (ok && options->threads) ok = measure_scratch(g, entry, options, target, &thread_bytes, d);
    if (ok) {
        *scratch = options->threads * thread_bytes;
        return g;
    }
    ftc_graph_free(g);
    return NULL;
}

// With a budget, room is left for the scratch that the plan without one needs, and for more when it turns out that the
// plan needs more.
static ftc_graph *plan_entry(const ftc_graph *source, ftc_entry_kind entry, ftc_graph *const *graphs,
                             const ftc_compile_options *options, ftc_diagnostics *d) {
    const ftc_target *target = options->target ? options->target : ftc_target_host();
    ftc_compile_options round = *options;
    bool trains = entry == FTC_ENTRY_STEP || entry == FTC_ENTRY_GRAD;
    bool is_budget =
        options->memory_budget_bytes && options->memory_budget_bytes != FTC_LEAST_MEMORY && trains;
    int64_t reserved = 0, needed = 0;
    if (!is_budget) round.threads = 0;
    if (round.threads) {
        round.memory_budget_bytes = 0;
        round.after = NULL;
        ftc_graph *g = plan_round(source, entry, graphs, &round, target, &needed, d);
        if (!g) return NULL;
        ftc_graph_free(g);
        round.memory_budget_bytes = options->memory_budget_bytes;
        round.after = options->after;
    }
    for (;;) {
        reserved = needed;
        ftc_graph *g = plan_round(source, entry, graphs, &round, target, &needed, d);
        if (!g || needed <= reserved) return g;
        ftc_graph_free(g);
    }
}

ftc_graph *ftc_compile_plan(const ftc_graph *source, ftc_entry_kind entry, const ftc_compile_options *options,
                            ftc_diagnostics *d) {
    return plan_entry(source, entry, NULL, options, d);
}

// Tells how long the part that ends now has taken since *start, which becomes now.
static void time_part(const ftc_compile_options *options, const char *part, double *start) {
    double now = ftc_clock_seconds();
    if (options->timed) options->timed(options->context, part, now - *start);
    *start = now;
}

// Emits all entries and turns the module into an object.
static bool emit_object(const ftc_graph *source, ftc_graph *const *graphs, const ftc_compile_options *options,
                        const ftc_target *target, double start, ftc_object *object, ftc_diagnostics *d) {
    double part = ftc_clock_seconds();
    char *error = NULL;
    ftc_codegen *cg = ftc_codegen_new(target, source->model, &error);
    if (!cg) return failed(d, error);
    ftc_interface in = {0};
    ftc_kernel_cache cache = {0};
    int64_t scratch_bytes[FTC_ENTRY_COUNT] = {0};
    bool ok = true;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (graphs[i]) ftc_interface_add_graph(&in, graphs[i], (ftc_entry_kind)i);
    for (int i = 0; i < FTC_ENTRY_COUNT && ok; i++) {
        if (!graphs[i]) continue;
        const char *symbol = ftc_graph_format(graphs[i], "ftc_%s", ftc_entry_name((ftc_entry_kind)i));
        ok = ftc_emit_entry(cg, &cache, graphs[i], &in, options->use_blas, options->tuned, symbol,
                            &scratch_bytes[i], &error);
        time_part(options, ftc_graph_format(graphs[i], "emit %s", ftc_entry_name((ftc_entry_kind)i)), &part);
    }
    ok = ok && ftc_object_optimize(cg, &error);
    time_part(options, "LLVM: optimize", &part);
    size_t size;
    if (ok && options->llvm) *options->llvm = ftc_object_print_ir(cg, &size);
    if (ok && options->assembly)
        ok = (*options->assembly = ftc_object_emit_assembly(cg, &size, &error)) != NULL;
    if (ok) {
        char *text = options->source_text ? strdup(options->source_text) : ftc_print_text(source);
        ftc_object_add_section(cg, ".ftc.source", text, strlen(text));
        free(text);
        if (graphs[FTC_ENTRY_STEP]) {
            text = ftc_print_text(graphs[FTC_ENTRY_STEP]);
            ftc_object_add_section(cg, ".ftc.graph", text, strlen(text));
            free(text);
        }
        const ftc_graph *const *planned = (const ftc_graph *const *)graphs;
        text = make_manifest(source, options, target, &in, planned, scratch_bytes);
        ftc_object_add_section(cg, ".ftc.manifest", text, strlen(text));
        free(text);
        ftc_object made = {0};
        made.bytes = ftc_object_emit(cg, &made.size, &error);
        ok = made.bytes != NULL;
        time_part(options, "LLVM: code", &part);
        if (ok) record_seconds(&made, ftc_clock_seconds() - start);
        if (ok) *object = made;
    }
    ftc_kernel_cache_free(&cache);
    ftc_interface_free(&in);
    ftc_codegen_free(cg);
    return ok || failed(d, error);
}

bool ftc_compile(const ftc_graph *source, const ftc_compile_options *options, ftc_object *object,
                 ftc_diagnostics *d) {
    double start = ftc_clock_seconds();
    uint32_t entries = options->entries ? options->entries : (1u << FTC_ENTRY_COUNT) - 1;
    ftc_graph *graphs[FTC_ENTRY_COUNT] = {0};
    static const ftc_entry_kind order[] = {FTC_ENTRY_UPDATE, FTC_ENTRY_STEP, FTC_ENTRY_GRAD, FTC_ENTRY_EVAL};
    bool ok = true;
    for (int i = 0; i < FTC_ENTRY_COUNT && ok; i++) {
        ftc_entry_kind entry = order[i];
        if (!(entries >> entry & 1)) continue;
        graphs[entry] = plan_entry(source, entry, graphs, options, d);
        ok = graphs[entry] != NULL;
    }
    const ftc_target *target = options->target ? options->target : ftc_target_host();
    ok = ok && emit_object(source, graphs, options, target, start, object, d);
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (graphs[i]) ftc_graph_free(graphs[i]);
    return ok;
}
