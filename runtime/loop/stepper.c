#include "runtime/loop/stepper.h"
#include "runtime/loop/guard.h"

#include "ir/base/alloc.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The entry's arena, the scratch of all threads included.
static int64_t room_of(const ftc_entry *entry, int32_t threads) {
    return entry->arena_bytes + threads * entry->scratch_bytes;
}

const ftc_entry *ftc_program_largest(const ftc_program *program, uint32_t entries, int32_t threads) {
    const ftc_entry *largest = NULL;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        const ftc_entry *entry = &program->entries[i];
        if (!(entries & 1u << i)) continue;
        if (!largest || room_of(entry, threads) > room_of(largest, threads)) largest = entry;
    }
    return largest;
}

static int64_t arena_bytes(const ftc_program *program, uint32_t entries, int32_t threads) {
    const ftc_entry *largest = ftc_program_largest(program, entries, threads);
    return largest ? room_of(largest, threads) : 0;
}

int64_t ftc_program_memory(const ftc_program *program, uint32_t entries, int32_t threads, ftc_slice slice) {
    return ftc_model_state_bytes(program, entries, slice) + arena_bytes(program, entries, threads);
}

ftc_status ftc_program_check_memory(const ftc_program *program, uint32_t entries, int32_t threads,
                                    ftc_slice slice) {
    return ftc_memory_check(ftc_program_memory(program, entries, threads, slice), program->model,
                            "compile with a smaller --batch or --max-length, or choose a smaller model");
}

static ftc_status map_arena(ftc_stepper *stepper, uint32_t entries) {
    const ftc_program *program = stepper->program;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        if (!(entries & 1u << i) || program->entries[i].fn) continue;
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s was compiled without the entry \"%s\"; compile it again",
                               program->model, ftc_entry_name((ftc_entry_kind)i));
    }
    int32_t threads = ftc_threads_count(stepper->threads);
    if (!program->guarded)
        return ftc_memory_map((size_t)arena_bytes(program, entries, threads), "the step's arena",
                              stepper->arenas);
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (entries & 1u << i)
            FTC_RETURN_IF_ERROR(ftc_guard_map_arena(&program->entries[i], threads, &stepper->arenas[i]));
    return FTC_STATUS_OK;
}

static double bytes_of(const ftc_output_info *output, const double *counts) {
    return (double)output->each * counts[output->count] * ftc_dtype_bytes(output->dtype);
}

static ftc_status map_outputs(ftc_stepper *stepper) {
    const ftc_program *program = stepper->program;
    double *most = ftc_alloc((size_t)program->n_counts + 1, sizeof *most);
    ftc_program_most_counts(program, most);
    ftc_status status = FTC_STATUS_OK;
    for (int pass = 0; pass < 2 && status.code == FTC_OK; pass++) { // first sizes, then addresses
        size_t at = 0;
        for (int32_t i = 0; i < program->n_outputs; i++) {
            size_t bytes = (size_t)bytes_of(&program->outputs[i], most);
            size_t place = ftc_memory_place(bytes, program->guarded, &at);
            if (pass) stepper->outputs[i] = stepper->output_block.data + place;
            if (pass && program->guarded) ftc_guard_add(stepper->outputs[i], bytes, program->outputs[i].name);
        }
        if (!pass) status = ftc_memory_map(at, "the step's outputs", &stepper->output_block);
    }
    free(most);
    return status;
}

ftc_status ftc_stepper_create(const ftc_program *program, ftc_model_state *state, ftc_threads *threads,
                              uint32_t entries, ftc_sgemm_fn *sgemm, ftc_stepper *out) {
    if (program->needs_sgemm && !sgemm) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s was compiled with --gemm openblas, which this build lacks",
                               program->model);
    }
    ftc_stepper stepper = {
        .program = program,
        .state = state,
        .threads = threads,
        .sgemm = sgemm,
        .arguments = ftc_alloc((size_t)program->n_scalars + 1, sizeof *stepper.arguments),
        .scalars = ftc_alloc((size_t)program->n_scalars + 1, sizeof *stepper.scalars),
        .outputs = ftc_alloc((size_t)program->n_outputs + 1, sizeof *stepper.outputs),
    };
    for (int32_t i = 0; i < program->n_scalars; i++) stepper.arguments[i] = program->scalars[i].value;
    ftc_status status = map_arena(&stepper, entries);
    if (status.code == FTC_OK) status = map_outputs(&stepper);
    if (status.code != FTC_OK) {
        ftc_stepper_free(&stepper);
        return status;
    }
    *out = stepper;
    return FTC_STATUS_OK;
}

void ftc_stepper_free(ftc_stepper *stepper) {
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) ftc_memory_unmap(&stepper->arenas[i]);
    ftc_memory_unmap(&stepper->output_block);
    free(stepper->arguments);
    free(stepper->scalars);
    free(stepper->outputs);
    *stepper = (ftc_stepper){0};
}

// --- by name ------------------------------------------------------------------------------------------

static int32_t find_argument(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_scalars; i++) {
        if (!program->scalars[i].formula.n && strcmp(program->scalars[i].name, name) == 0) return i;
    }
    return -1;
}

ftc_status ftc_scalar_check(const ftc_scalar_info *scalar, double value) {
    static const char *const SHARES[] = {"beta1", "beta2", "label_smoothing"};
    const char *name = scalar->name;
    bool is_share = scalar->role == FTC_SCALAR_DROPOUT, is_norm = strcmp(name, "max_grad_norm") == 0;
    for (size_t k = 0; k < sizeof SHARES / sizeof *SHARES; k++) is_share |= strcmp(name, SHARES[k]) == 0;
    if (is_share && !(value >= 0 && (float)value < 1))
        return ftc_status_make(FTC_BAD_INPUT, "%s is %g: expected a number from 0 to below 1", name, value);
    if (is_norm && !(value > 0))
        return ftc_status_make(FTC_BAD_INPUT, "%s is %g: expected a number above 0, or infinity", name,
                               value);
    if (strcmp(name, "accumulation") == 0 && !(value >= 1))
        return ftc_status_make(FTC_BAD_INPUT, "%s is %g: expected a number from 1 on", name, value);
    if (!is_norm && !(fabs(value) <= (double)FLT_MAX))
        return ftc_status_make(FTC_BAD_INPUT, "%s is %g: expected a number from -%g to %g", name, value,
                               (double)FLT_MAX, (double)FLT_MAX);
    return FTC_STATUS_OK;
}

int ftc_stepper_set(ftc_stepper *stepper, const char *name, double value) {
    int32_t i = find_argument(stepper->program, name);
    if (i < 0) return 0;
    stepper->arguments[i] = value;
    return 1;
}

ftc_status ftc_stepper_set_dropout(ftc_stepper *stepper, double probability) {
    const ftc_program *program = stepper->program;
    bool found = probability == 0;
    for (int32_t i = 0; i < program->n_scalars; i++) {
        if (program->scalars[i].role != FTC_SCALAR_DROPOUT) continue;
        stepper->arguments[i] = probability;
        found = true;
    }
    if (found) return FTC_STATUS_OK;
    return ftc_status_make(
        FTC_BAD_INPUT,
        "the model %s has no dropout that can be set; declare its probability in the model: "
        "arg p : f32 = 0.1 as dropout",
        program->model);
}

double ftc_stepper_get(const ftc_stepper *stepper, const char *name, double otherwise) {
    int32_t i = find_argument(stepper->program, name);
    return i < 0 ? otherwise : stepper->arguments[i];
}

static int32_t find_output(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_outputs; i++) {
        if (strcmp(program->outputs[i].name, name) == 0) return i;
    }
    return -1;
}

const void *ftc_stepper_output(const ftc_stepper *stepper, const char *name, ftc_entry_kind entry) {
    int32_t i = find_output(stepper->program, name);
    return i >= 0 && stepper->program->outputs[i].entries & 1u << entry ? stepper->outputs[i] : NULL;
}

const float *ftc_stepper_result(const ftc_stepper *stepper, ftc_output_role role, ftc_entry_kind entry) {
    int32_t i = ftc_program_output(stepper->program, role);
    return i >= 0 && stepper->program->outputs[i].entries & 1u << entry ? stepper->outputs[i] : NULL;
}

int32_t ftc_program_output(const ftc_program *program, ftc_output_role role) {
    for (int32_t i = 0; i < program->n_outputs; i++)
        if (program->outputs[i].role == role) return i;
    return -1;
}

int64_t ftc_program_score_columns(const ftc_program *program) {
    int32_t i = ftc_program_output(program, FTC_OUTPUT_SCORES);
    return i < 0 ? 0 : program->outputs[i].each;
}

int64_t ftc_program_classes(const ftc_program *program) {
    int64_t columns = ftc_program_score_columns(program);
    for (int32_t i = 0; i < program->n_inputs && !columns; i++)
        if (program->inputs[i].role == FTC_FROM_LABEL)
            columns = program->inputs[i].bound                          ? program->inputs[i].bound
                      : ftc_program_label(program) == FTC_LABEL_SEVERAL ? program->inputs[i].each
                                                                        : 0;
    return columns;
}

bool ftc_program_weighs_loss(const ftc_program *program) {
    return ftc_program_output(program, FTC_OUTPUT_WEIGHT) >= 0;
}

double ftc_stepper_loss_weight(const ftc_stepper *stepper, const ftc_batch *batch, ftc_entry_kind entry) {
    const float *weight = ftc_stepper_result(stepper, FTC_OUTPUT_WEIGHT, entry);
    return weight ? (double)*weight : batch->sequences ? (double)batch->sequences : 1;
}

// --- the call -----------------------------------------------------------------------------------------

typedef struct {
    ftc_entry_fn *fn;
    const ftc_step_args *args;
} call;

static void enter(void *context, int32_t thread, int32_t threads) {
    const call *c = context;
    c->fn(c->args, thread, threads);
}

static void compute_scalars(ftc_stepper *stepper, uint32_t step) {
    const ftc_program *program = stepper->program;
    for (int32_t i = 0; i < program->n_scalars; i++) {
        const ftc_formula *formula = &program->scalars[i].formula;
        double value =
            formula->n ? ftc_formula_value(formula, stepper->arguments, step) : stepper->arguments[i];
        stepper->scalars[i] = (float)value;
    }
}

ftc_status ftc_stepper_find_fault(const ftc_stepper *stepper, ftc_entry_kind entry) {
    const ftc_program *program = stepper->program;
    for (int32_t i = 0; i < program->n_checks; i++) {
        const ftc_check_info *check = &program->checks[i];
        double fault = (double)*(const float *)stepper->outputs[check->output];
        if (!(program->outputs[check->output].entries & 1u << entry) || fault == -INFINITY) continue;
        char who[64] = "", where[48] = "", advice[96] = "";
        if (check->extent >= 0)
            snprintf(who, sizeof who, "sequence %.0f along axis %s: ", -fault,
                     program->extents[check->extent].name);
        if (check->line) snprintf(where, sizeof where, " (line %d of the model)", check->line);
        if (check->of < 0)
            snprintf(advice, sizeof advice, ", or let it limit the index, as in minimum(maximum(i, 0), %lld)",
                     (long long)check->bound - 1);
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%san index into \"%s\" lies outside of axis %s, which has the positions 0 to %lld%s%s. "
            "Nothing has changed: give data that the model has room for%s",
            who, check->what, check->axis, (long long)check->bound - 1,
            check->of < 0 ? "" : " at most, and as many as a batch gives it", where, advice);
    }
    return FTC_STATUS_OK;
}

// What the loss of a call weighs in its window: the program multiplied the gradient by that.
static void add_weight(ftc_stepper *stepper, ftc_entry_kind entry) {
    const float *weight = ftc_stepper_result(stepper, FTC_OUTPUT_WEIGHT, entry);
    if (entry == FTC_ENTRY_UPDATE) stepper->window_weight = 0;
    if (entry == FTC_ENTRY_GRAD && weight)
        stepper->window_weight += (double)*weight / ftc_stepper_get(stepper, "accumulation", 1);
}

// Of a guarded program: nothing that the entry is to write is there yet, and outputs end where they do in
// this batch.
static void prepare_guards(ftc_stepper *stepper, ftc_entry_kind entry, const ftc_batch *batch) {
    const ftc_program *program = stepper->program;
    ftc_guard_spoil(&stepper->arenas[entry]);
    for (int32_t i = 0; i < program->n_outputs; i++)
        if (program->outputs[i].entries & 1u << entry)
            stepper->outputs[i] =
                ftc_guard_resize(stepper->outputs[i], (size_t)bytes_of(&program->outputs[i], batch->counts));
}

ftc_status ftc_stepper_call(ftc_stepper *stepper, ftc_entry_kind entry, const ftc_batch *batch, uint32_t step,
                            uint32_t micro_step) {
    // Nothing has been added up where nothing weighed anything.
    if (entry == FTC_ENTRY_UPDATE)
        ftc_stepper_set(stepper, "window_weight", stepper->window_weight > 0 ? stepper->window_weight : 1);
    compute_scalars(stepper, step);
    if (stepper->program->guarded) prepare_guards(stepper, entry, batch);
    ftc_step_args args = {
        .arena = stepper->arenas[stepper->program->guarded ? entry : 0].data,
        .tensors = stepper->state->tensors,
        .inputs = (const void *const *)batch->inputs,
        .outputs = stepper->outputs,
        .scalars = stepper->scalars,
        .extents = batch->extents,
        .offsets = (const int32_t *const *)batch->offsets,
        .prefixes = (const int64_t *const *)batch->prefixes,
        .first_slots = batch->first_slots,
        .seed = stepper->seed,
        .step = step,
        .micro_step = micro_step,
        .barrier = ftc_threads_barrier,
        .barrier_context = stepper->threads,
        .sgemm = stepper->sgemm,
        .ticks = stepper->ticks,
        .ready = stepper->shards ? ftc_shards_ready : NULL,
        .ready_context = stepper->shards,
        .slice = ftc_world_slice(stepper->state->world),
        .gather = stepper->shards ? ftc_shards_gather : NULL,
        .await = stepper->shards ? ftc_shards_await : NULL,
        .gather_context = stepper->shards,
    };
    call c = {stepper->program->entries[entry].fn, &args};
    if (entry != FTC_ENTRY_UPDATE)
        ftc_embeddings_read(stepper->state->tables, batch, entry != FTC_ENTRY_EVAL);
    ftc_threads_run(stepper->threads, enter, &c);
    if (stepper->shards && entry == FTC_ENTRY_UPDATE) ftc_shards_updated(stepper->shards);
    if (stepper->program->guarded) FTC_RETURN_IF_ERROR(ftc_guard_check(ftc_entry_name(entry)));
    if (entry == FTC_ENTRY_STEP || entry == FTC_ENTRY_UPDATE)
        ftc_embeddings_updated(stepper->state->tables, stepper->outputs);
    add_weight(stepper, entry);
    return ftc_stepper_find_fault(stepper, entry);
}
