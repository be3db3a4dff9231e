#include "compiler/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/cost.h"
#include "compiler/emit/emit.h"
#include "compiler/codegen/object.h"
#include "compiler/manifest.h"
#include "compiler/resume.h"
#include "compiler/passes/bounds.h"
#include "compiler/passes/edits.h"
#include "compiler/passes/plan.h"
#include "compiler/passes/provenance.h"
#include "compiler/passes/regions.h"
#include "compiler/emit/tune.h"
#include "ir/base/alloc.h"
#include "ir/base/clock.h"
#include "ir/ftc_kernel.h"
#include "ir/op.h"
#include "ir/print.h"

// --- passes -------------------------------------------------------------------------------------------

// Where an entry's graph comes from.
typedef struct {
    const ftc_graph *source;
    ftc_entry_kind entry;
    const ftc_resumed *resumed; // the dump that takes its place; NULL: it is made from the source
} origin;

typedef struct {
    const ftc_compile_options *options;
    const origin *from;
} entry_context;

static void add_time(ftc_compile_times *times, const char *name, bool is_of_all, ftc_entry_kind entry,
                     double seconds) {
    int i = 0;
    while (i < times->n && strcmp(times->list[i].name, name) != 0) i++;
    if (i == FTC_MOST_COMPILE_TIMES) return;
    if (i == times->n) times->list[times->n++] = (ftc_compile_time){.name = name, .is_of_all = is_of_all};
    times->list[i].seconds[is_of_all ? 0 : entry] += seconds;
}

// Whoever watches sees the places in the model's text.
static void forward_after(void *context, const ftc_pass *pass, const ftc_graph *g, double seconds) {
    const entry_context *c = context;
    if (c->options->times && pass) add_time(c->options->times, pass->name, false, c->from->entry, seconds);
    if (!c->options->after) return;
    ftc_graph *shown = c->from->resumed ? ftc_graph_clone(g) : NULL;
    if (shown) ftc_resume_put_back(c->from->resumed, shown);
    c->options->after(c->options->context, c->from->entry, pass, shown ? shown : g, seconds);
    if (shown) ftc_graph_free(shown);
}

// Runs the passes on an entry's graph. `graphs` (NULL: none) has those that are done: what the state takes
// that this entry does not know counts as well. Whoever can call the step need not call grad, which then only
// comes as near to the budget as it can.
static bool run_passes(ftc_graph *g, const origin *from, ftc_graph *const *graphs, int64_t scratch_bytes,
                       const ftc_compile_options *options, ftc_diagnostics *d) {
    const ftc_entry_kind entry = from->entry;
    entry_context context = {options, from};
    ftc_pipeline_options pipeline = {.pass = {.entry = entry,
                                              .memory_budget_bytes = options->memory_budget_bytes,
                                              .scratch_bytes = scratch_bytes,
                                              .tile_rows = options->tile_rows,
                                              .guard = options->guard,
                                              .bf16 = options->bf16,
                                              .edits = options->schedule,
                                              .edits_matched = options->schedule_matched,
                                              .n_edits = options->n_schedule},
                                     .skip = options->skip,
                                     .n_skip = options->n_skip,
                                     .check_text = options->check_text};
    const ftc_graph *update = graphs ? graphs[FTC_ENTRY_UPDATE] : NULL;
    if (update && entry == FTC_ENTRY_GRAD)
        pipeline.pass.resident_bytes =
            ftc_resident_bytes(update, FTC_DECL_MOMENT) + ftc_resident_bytes(update, FTC_DECL_TOUCHED);
    if (graphs && entry == FTC_ENTRY_GRAD && graphs[FTC_ENTRY_STEP]) pipeline.pass.budget_is_a_wish = true;
    if (options->after || options->times) {
        if (!from->resumed) forward_after(&context, NULL, g, 0);
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
    ftc_emit_options emit = {options->use_blas, options->guard, options->tuned};
    bool ok = ftc_emit_entry(cg, &cache, g, &in, &emit, entry, bytes, &error);
    ftc_kernel_cache_free(&cache);
    ftc_interface_free(&in);
    ftc_codegen_free(cg);
    return ok || failed(d, error);
}

// What the pass bounds has made sure of, whatever was made of the indices since: nothing is emitted without.
static bool check_indices(const ftc_graph *g, const origin *from, ftc_diagnostics *d) {
    ftc_id unproven;
    if (ftc_bounds_proven(g, &unproven)) return true;
    const ftc_node *node = &g->nodes[unproven];
    if (from->resumed)
        ftc_diag_add(d, g->files[0], NULL, (int)node->loc.line, 0,
                     "the indices of %s may lie outside of axis %s: clamp them, as the pass bounds does, or "
                     "change a dump of before it",
                     ftc_op_get(node->op)->name, g->axes[node->axis].name);
    else
        ftc_diag_add(d, g->model, NULL, (int)ftc_model_line(&node->loc), 0,
                     "internal error: the indices of %s into axis %s are no longer known to be rows",
                     ftc_op_get(node->op)->name, g->axes[node->axis].name);
    return false;
}

// A round of ftc_plan_entry: a graph whose plan leaves room for *scratch bytes, and what it then needs.
static ftc_graph *plan_round(const origin *from, ftc_graph *const *graphs, const ftc_compile_options *options,
                             const ftc_target *target, int64_t *scratch, ftc_diagnostics *d) {
    ftc_graph *g = from->resumed ? ftc_graph_clone(from->resumed->graph)
                                 : ftc_compile_entry_graph(from->source, from->entry);
    int64_t thread_bytes = 0;
    bool ok = run_passes(g, from, graphs, *scratch, options, d) && check_indices(g, from, d);
    if (ok && options->threads) ok = measure_scratch(g, from->entry, options, target, &thread_bytes, d);
    if (ok) {
        *scratch = options->threads * thread_bytes;
        return g;
    }
    ftc_graph_free(g);
    return NULL;
}

// With a budget, room is left for the scratch that the plan without one needs, and for more when it turns out
// that the plan needs more.
static ftc_graph *plan_from(const origin *from, ftc_graph *const *graphs, const ftc_compile_options *options,
                            ftc_diagnostics *d) {
    const ftc_target *target = options->target ? options->target : ftc_target_host();
    ftc_compile_options round = *options;
    const ftc_entry_kind entry = from->entry;
    bool trains = entry == FTC_ENTRY_STEP || entry == FTC_ENTRY_GRAD;
    bool is_budget =
        options->memory_budget_bytes && options->memory_budget_bytes != FTC_LEAST_MEMORY && trains;
    int64_t reserved = 0, needed = 0;
    if (!is_budget || from->resumed) round.threads = 0;
    if (round.threads) {
        round.memory_budget_bytes = 0;
        round.after = NULL;
        round.times = NULL;
        ftc_graph *g = plan_round(from, graphs, &round, target, &needed, d);
        if (!g) return NULL;
        ftc_graph_free(g);
        round.memory_budget_bytes = options->memory_budget_bytes;
        round.after = options->after;
        round.times = options->times;
    }
    for (;;) {
        reserved = needed;
        ftc_graph *g = plan_round(from, graphs, &round, target, &needed, d);
        if (!g || needed <= reserved) return g;
        ftc_graph_free(g);
    }
}

// From the dump of the entry, if there is one: it must be callable as the model's own graph is.
static ftc_graph *plan_entry(const ftc_graph *source, ftc_entry_kind entry, ftc_graph *const *graphs,
                             const ftc_compile_options *options, ftc_diagnostics *d) {
    const ftc_dump *dump = &options->dumps[entry];
    origin from = {.source = source, .entry = entry};
    if (!dump->text) return plan_from(&from, graphs, options, d);
    ftc_compile_options quiet = *options;
    quiet.after = NULL;
    quiet.times = NULL;
    ftc_graph *own = plan_from(&from, graphs, &quiet, d), *g = NULL;
    ftc_resumed resumed = {0};
    d->file = dump->name;
    d->source = dump->text;
    bool ok = own && ftc_resume_read(dump, entry, &resumed, d);
    if (ok && options->guard && resumed.graph->arena_bytes) {
        ok = false;
        ftc_diag_add(d, dump->name, NULL, 0, 0,
                     "a program with --guard has another plan: give a dump of before `plan`");
    }
    if (ok) {
        from.resumed = &resumed;
        g = plan_from(&from, graphs, options, d);
    }
    if (g && !ftc_resume_check(dump, &resumed, g, own, d)) {
        ftc_graph_free(g);
        g = NULL;
    }
    d->file = d->source = NULL;
    if (g) ftc_resume_put_back(&resumed, g);
    ftc_resume_free(&resumed);
    if (own) ftc_graph_free(own);
    return g;
}

// A planned graph as text, without what remat was asked for, which is done by now.
static char *planned_text(ftc_graph *g) {
    for (ftc_id v = 1; v < g->n_nodes; v++) g->nodes[v].kept = FTC_KEPT_AS_IS_CHEAPEST;
    return ftc_print_text(g);
}

// Whether one of the graphs would be another without edit `left_out`.
static bool edit_counts(const ftc_graph *source, const ftc_compile_options *options, int left_out,
                        ftc_graph *const graphs[FTC_ENTRY_COUNT]) {
    const char **others = ftc_alloc((size_t)options->n_schedule, sizeof *others);
    bool *matched = ftc_alloc((size_t)options->n_schedule, sizeof *matched), counts = false;
    ftc_compile_options without = *options;
    without.after = NULL;
    without.times = NULL;
    without.schedule = others;
    without.schedule_matched = matched;
    without.n_schedule = 0;
    for (int i = 0; i < options->n_schedule; i++)
        if (i != left_out) others[without.n_schedule++] = options->schedule[i];
    for (int e = 0; e < FTC_ENTRY_COUNT && !counts; e++) {
        if (!graphs[e]) continue;
        ftc_diagnostics ignored = {0};
        ftc_graph *g = plan_entry(source, (ftc_entry_kind)e, graphs, &without, &ignored);
        ftc_diag_free(&ignored);
        char *with = planned_text(graphs[e]), *text = g ? planned_text(g) : NULL;
        counts = !text || strcmp(text, with) != 0;
        if (g) ftc_graph_free(g);
        free(text);
        free(with);
    }
    free(matched);
    free(others);
    return counts;
}

// Whether every edit of the schedule has found a kernel and, where it is new, made it another one.
static bool check_schedule(const ftc_graph *source, const ftc_compile_options *options,
                           ftc_graph *const graphs[FTC_ENTRY_COUNT], ftc_diagnostics *d) {
    const ftc_pass_options edits = {.edits = options->schedule,
                                    .edits_matched = options->schedule_matched,
                                    .n_edits = options->n_schedule};
    const ftc_edit_place *places = options->schedule_places;
    bool all = ftc_edits_all_matched(&edits, places, graphs, FTC_ENTRY_COUNT, d);
    for (int i = 0; i < options->n_schedule && !options->schedule_is_kept; i++) {
        if (!options->schedule_matched[i] || edit_counts(source, options, i, graphs)) continue;
        ftc_edits_refuse(options->schedule[i], places ? &places[i] : NULL,
                         "changes nothing: the kernels are the same without it", d);
        all = false;
    }
    return all;
}

ftc_graph *ftc_compile_plan(const ftc_graph *source, ftc_entry_kind entry, const ftc_compile_options *options,
                            ftc_diagnostics *d) {
    ftc_compile_options own = *options;
    own.schedule_matched = ftc_alloc((size_t)options->n_schedule + 1, sizeof *own.schedule_matched);
    ftc_graph *g = plan_entry(source, entry, NULL, &own, d);
    ftc_graph *graphs[FTC_ENTRY_COUNT] = {0};
    graphs[entry] = g;
    if (g && entry == FTC_ENTRY_STEP && !check_schedule(source, &own, graphs, d)) { // which has every kernel
        ftc_graph_free(g);
        g = NULL;
    }
    free(own.schedule_matched);
    return g;
}

// --- code ---------------------------------------------------------------------------------------------

// A compilation under way.
typedef struct {
    const ftc_graph *source;
    const ftc_compile_options *options;
    const ftc_target *target;
    ftc_graph *graphs[FTC_ENTRY_COUNT]; // after the last pass; NULL: not asked for
    ftc_interface interface;            // of all of them
    int64_t scratch_bytes[FTC_ENTRY_COUNT];
} compilation;

// Notes how long the part that ends now has taken since *start, which becomes now; FTC_ENTRY_COUNT: of all
// entries at once.
static void time_part(const ftc_compile_options *options, const char *part, ftc_entry_kind entry,
                      double *start) {
    double now = ftc_clock_seconds();
    if (options->times) add_time(options->times, part, entry == FTC_ENTRY_COUNT, entry, now - *start);
    *start = now;
}

// Each entry through the passes, the update first: what it needs counts against the memory of the others.
static bool plan_entries(compilation *c, ftc_diagnostics *d) {
    static const ftc_entry_kind order[] = {FTC_ENTRY_UPDATE, FTC_ENTRY_STEP, FTC_ENTRY_GRAD, FTC_ENTRY_EVAL};
    const uint32_t asked = c->options->entries ? c->options->entries : (1u << FTC_ENTRY_COUNT) - 1;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        ftc_entry_kind entry = order[i];
        if (!(asked >> entry & 1)) continue;
        c->graphs[entry] = plan_entry(c->source, entry, c->graphs, c->options, d);
        if (!c->graphs[entry]) return false;
    }
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (c->graphs[i]) ftc_interface_add_graph(&c->interface, c->graphs[i], (ftc_entry_kind)i);
    ftc_interface_add_checks(&c->interface, c->source);
    ftc_interface_mark_tables(&c->interface, c->source);
    ftc_interface_add_counts(&c->interface, c->source);
    return true;
}

static bool emit_entries(compilation *c, ftc_codegen *cg, double *part, char **error) {
    ftc_kernel_cache cache = {0};
    ftc_emit_options emit = {c->options->use_blas, c->options->guard, c->options->tuned};
    bool ok = true;
    for (int i = 0; i < FTC_ENTRY_COUNT && ok; i++) {
        ftc_graph *g = c->graphs[i];
        if (!g) continue;
        ok = ftc_emit_entry(cg, &cache, g, &c->interface, &emit, (ftc_entry_kind)i, &c->scratch_bytes[i],
                            error);
        time_part(c->options, "emit", (ftc_entry_kind)i, part);
    }
    ftc_kernel_cache_free(&cache);
    return ok;
}

// The object that has the symbol; NULL: none.
static const ftc_kernel_file *find_kernel(const ftc_compile_options *options, const char *symbol) {
    for (int i = 0; i < options->n_kernels; i++)
        if (ftc_object_defines(options->kernels[i].bytes, options->kernels[i].size, symbol))
            return &options->kernels[i];
    return NULL;
}

// Whether all kernels that the graph calls are there.
static bool check_symbols(const ftc_graph *g, const ftc_compile_options *options, ftc_diagnostics *d) {
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        if (ftc_node_class(node) != FTC_CLASS_EXTERN || find_kernel(options, g->symbols[node->symbol]))
            continue;
        bool known = node->loc.line && node->loc.file < g->n_files;
        ftc_diag_add(d, known ? g->files[node->loc.file] : NULL, NULL, (int)node->loc.line, 0,
                     "no file of --kernel has the function %s, which this calls", g->symbols[node->symbol]);
        return false;
    }
    return true;
}

// Whether the loader finds all that kernels call, where it can be asked: on a machine like the target.
static bool check_links(const compilation *c, const ftc_object *object, ftc_diagnostics *d) {
    if (!ftc_target_supported_here(c->target)) return true;
    char *error = NULL;
    ftc_loaded_object *loaded = ftc_object_load(object->bytes, object->size, &error);
    for (int i = 0; i < FTC_ENTRY_COUNT && loaded && !error; i++) {
        char symbol[32];
        snprintf(symbol, sizeof symbol, "ftc_%s", ftc_entry_name((ftc_entry_kind)i));
        if (c->graphs[i]) ftc_object_lookup(loaded, symbol, &error);
    }
    ftc_object_unload(loaded);
    const bool ok = !error;
    if (!ok) ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel: this cannot be linked: %s", error);
    free(error);
    return ok;
}

// Puts the kernels that are not the compiler's beside its own.
static bool add_kernels(const compilation *c, ftc_object *object, ftc_diagnostics *d) {
    const ftc_compile_options *options = c->options;
    const int n = options->n_kernels;
    for (int i = 0; i < n; i++) {
        const ftc_kernel_file *file = &options->kernels[i];
        const char *problem = ftc_object_problem(file->bytes, file->size, c->target->arch);
        if (!problem && !ftc_object_defines(file->bytes, file->size, FTC_KERNEL_ABI_SYMBOL))
            problem = "it was not made with this version's ftc_kernel.h (it lacks " FTC_KERNEL_ABI_SYMBOL ")";
        if (!problem) continue;
        ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel %s: %s", file->name, problem);
        return false;
    }
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (c->graphs[i] && !options->is_looked_at && !check_symbols(c->graphs[i], options, d)) return false;
    if (!n) return true;
    ftc_object_section *sections = ftc_alloc((size_t)n, sizeof *sections);
    char **names = ftc_alloc((size_t)n, sizeof *names);
    for (int i = 0; i < n; i++) {
        names[i] = ftc_format(FTC_OBJECT_KERNEL, i);
        sections[i] = (ftc_object_section){names[i], options->kernels[i].bytes, options->kernels[i].size};
    }
    char *code = object->bytes;
    object->bytes = ftc_object_add_sections(code, object->size, sections, n, &object->size);
    for (int i = 0; i < n; i++) free(names[i]);
    free(names);
    free(sections);
    free(code);
    return check_links(c, object, d);
}

// From the planned graphs to an object, and to the texts that are asked for.
static bool generate(compilation *c, ftc_object *object, ftc_diagnostics *d) {
    const ftc_compile_options *options = c->options;
    double part = ftc_clock_seconds();
    char *error = NULL;
    ftc_codegen *cg = ftc_codegen_new(c->target, c->source->model, &error);
    if (!cg) return failed(d, error);
    bool ok = emit_entries(c, cg, &part, &error) && ftc_object_optimize(cg, &error);
    time_part(options, "LLVM: optimize", FTC_ENTRY_COUNT, &part);
    size_t size;
    if (ok && options->llvm) *options->llvm = ftc_object_print_ir(cg, &size);
    if (ok && options->assembly)
        ok = (*options->assembly = ftc_object_emit_assembly(cg, &size, &error)) != NULL;
    if (ok) ok = (object->bytes = ftc_object_emit(cg, &object->size, &error)) != NULL;
    time_part(options, "LLVM: code", FTC_ENTRY_COUNT, &part);
    ftc_codegen_free(cg);
    return ok ? add_kernels(c, object, d) : failed(d, error);
}

// --- the description ----------------------------------------------------------------------------------

// Settings as programs have them.
static const ftc_setting *settings_of(ftc_arena *arena, const ftc_graph_setting *settings, uint32_t n) {
    ftc_setting *list = ftc_arena_alloc(arena, n * sizeof *list);
    for (uint32_t i = 0; i < n; i++)
        list[i] = (ftc_setting){settings[i].name, settings[i].hf_name, settings[i].text, settings[i].number,
                                settings[i].role};
    return list;
}

// What lies in the arena of a guarded program.
static const ftc_buffer_info *describe_buffers(ftc_arena *arena, const ftc_graph *g, int32_t *n) {
    ftc_buffer *buffers = ftc_plan_buffers(g, n);
    ftc_buffer_info *list = ftc_arena_alloc(arena, (size_t)*n * sizeof *list);
    for (int32_t i = 0; i < *n; i++) {
        const ftc_node *node = &g->nodes[buffers[i].node];
        char name[128];
        snprintf(name, sizeof name, "%%%u, %s of kernel %s", buffers[i].node, ftc_op_get(node->op)->name,
                 g->kernels[node->kernel].name);
        list[i] = (ftc_buffer_info){ftc_arena_strdup(arena, name), buffers[i].offset, buffers[i].bytes};
    }
    free(buffers);
    return list;
}

static ftc_entry describe_entry(ftc_arena *arena, const ftc_interface *in, const ftc_graph *g,
                                const ftc_compile_options *options, int64_t scratch_bytes) {
    ftc_entry entry = {
        .arena_bytes = g->arena_bytes, .scratch_bytes = scratch_bytes, .peak_live_bytes = g->peak_live_bytes};
    if (options->guard) entry.buffers = describe_buffers(arena, g, &entry.n_buffers);
    entry.kernel_info = ftc_provenance_kernels(arena, in, g, &entry.n_kernels);
    size_t n = (size_t)entry.n_kernels;
    const char **names = ftc_arena_alloc(arena, n * sizeof *names);
    for (size_t k = 0; k < n; k++) names[k] = g->kernels[k + 1].name;
    entry.kernels = names;
    return entry;
}

// What was asked for and how the caller is to call it. Owns what it says: the graphs may go.
static ftc_manifest *describe(const compilation *c) {
    const ftc_graph *source = c->source;
    const ftc_compile_options *options = c->options;
    const ftc_interface *in = &c->interface;
    const bool is_native = strcmp(c->target->name, "native") == 0;
    ftc_manifest *m = ftc_manifest_new();
    m->cpu_features = c->target->features;
    m->memory_budget_bytes = options->memory_budget_bytes;
    m->skip = options->skip;
    m->n_skip = options->n_skip;
    m->schedule = options->schedule;
    m->n_schedule = options->n_schedule;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) m->dumps[i] = options->dumps[i].text;
    m->tuned = options->tuned ? options->tuned->list : NULL;
    m->n_tuned = options->tuned ? options->tuned->n : 0;
    ftc_manifest_keep_kernels(m, options->kernels, options->n_kernels);
    m->program = (ftc_program){.model = source->model,
                               .pretrained = options->pretrained,
                               .precision = options->bf16 ? "bf16" : "fp32",
                               .features = is_native ? c->target->cpu : c->target->march,
                               .needs_sgemm = options->use_blas,
                               .guarded = options->guard,
                               .tensors = in->tensors,
                               .n_tensors = in->n_tensors,
                               .inputs = in->inputs,
                               .n_inputs = in->n_inputs,
                               .scalars = in->scalars,
                               .n_scalars = in->n_scalars,
                               .outputs = in->outputs,
                               .n_outputs = in->n_outputs,
                               .extents = in->extents,
                               .n_extents = in->n_extents,
                               .checks = in->checks,
                               .n_checks = in->n_checks,
                               .counts = in->counts,
                               .n_counts = in->n_counts,
                               .config = settings_of(m->arena, source->config, source->n_config),
                               .n_config = (int32_t)source->n_config,
                               .family = settings_of(m->arena, source->family, source->n_family),
                               .n_family = (int32_t)source->n_family,
                               .train = settings_of(m->arena, source->train, source->n_train),
                               .n_train = (int32_t)source->n_train};
    double *nominal = ftc_arena_alloc(m->arena, (size_t)in->n_counts * sizeof *nominal);
    ftc_cost_nominal(in, source, nominal);
    m->program.nominal_flops = nominal;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        if (!c->graphs[i]) continue;
        m->entries |= 1u << i;
        m->program.entries[i] = describe_entry(m->arena, in, c->graphs[i], options, c->scratch_bytes[i]);
    }
    ftc_manifest_own(m);
    char *text = options->source_text ? NULL : ftc_print_text(source);
    m->program.source = ftc_arena_strdup(m->arena, text ? text : options->source_text);
    free(text);
    return m;
}

// --- all of it ----------------------------------------------------------------------------------------

bool ftc_compile(const ftc_graph *source, const ftc_compile_options *options, ftc_compiled *compiled,
                 ftc_diagnostics *d) {
    double start = ftc_clock_seconds();
    const ftc_target *target = options->target ? options->target : ftc_target_host();
    ftc_compile_options own = *options;
    own.schedule_matched = ftc_alloc((size_t)options->n_schedule + 1, sizeof *own.schedule_matched);
    compilation c = {.source = source, .options = &own, .target = target};
    ftc_object code = {0};
    bool ok = plan_entries(&c, d) && check_schedule(source, &own, c.graphs, d) && generate(&c, &code, d);
    if (ok) {
        *compiled = (ftc_compiled){.code = code, .manifest = describe(&c)};
        memcpy(compiled->graphs, c.graphs, sizeof c.graphs);
        compiled->manifest->program.compile_seconds = ftc_clock_seconds() - start;
    } else {
        free(code.bytes);
        for (int i = 0; i < FTC_ENTRY_COUNT; i++)
            if (c.graphs[i]) ftc_graph_free(c.graphs[i]);
    }
    ftc_interface_free(&c.interface);
    free(own.schedule_matched);
    return ok;
}

void ftc_compiled_free(ftc_compiled *compiled) {
    free(compiled->code.bytes);
    ftc_manifest_free(compiled->manifest);
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (compiled->graphs[i]) ftc_graph_free(compiled->graphs[i]);
    *compiled = (ftc_compiled){0};
}
