#include "runtime/loop/stepper.h"

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

int64_t ftc_program_memory(const ftc_program *program, uint32_t entries, int32_t threads) {
    return ftc_model_state_bytes(program, entries) + arena_bytes(program, entries, threads);
}

ftc_status ftc_program_check_memory(const ftc_program *program, uint32_t entries, int32_t threads) {
    return ftc_memory_check(ftc_program_memory(program, entries, threads), program->model,
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
    int64_t bytes = arena_bytes(program, entries, ftc_threads_count(stepper->threads));
    return ftc_memory_map((size_t)bytes, "the step's arena", &stepper->arena);
}

static ftc_status map_outputs(ftc_stepper *stepper) {
    const ftc_program *program = stepper->program;
    int32_t sequences, tokens;
    ftc_program_extents(program, &sequences, &tokens);
    size_t rows = sequences >= 0 ? (size_t)program->extents[sequences].bound : 1, bytes = 0;
    for (int pass = 0; pass < 2; pass++) { // first sizes, then addresses
        size_t at = 0;
        for (int32_t i = 0; i < program->n_outputs; i++) {
            const ftc_output_info *output = &program->outputs[i];
            if (pass) stepper->outputs[i] = stepper->output_block.data + at;
            at += ftc_memory_stride((output->per_sequence ? rows : 1) * (size_t)output->columns *
                                    sizeof(float));
        }
        bytes = at;
        if (!pass) FTC_RETURN_IF_ERROR(ftc_memory_map(bytes, "the step's outputs", &stepper->output_block));
    }
    return FTC_STATUS_OK;
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
        .scalars = calloc((size_t)program->n_scalars + 1, sizeof *stepper.scalars),
        .outputs = calloc((size_t)program->n_outputs + 1, sizeof *stepper.outputs),
    };
    if (!stepper.scalars || !stepper.outputs) abort();
    for (int32_t i = 0; i < program->n_scalars; i++) stepper.scalars[i] = program->scalars[i].value;
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
    ftc_memory_unmap(&stepper->arena);
    ftc_memory_unmap(&stepper->output_block);
    free(stepper->scalars);
    free(stepper->outputs);
    *stepper = (ftc_stepper){0};
}

// --- by name ------------------------------------------------------------------------------------------

static int32_t find_scalar(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_scalars; i++) {
        if (strcmp(program->scalars[i].name, name) == 0) return i;
    }
    return -1;
}

int ftc_stepper_set(ftc_stepper *stepper, const char *name, double value) {
    int32_t i = find_scalar(stepper->program, name);
    if (i < 0) return 0;
    stepper->scalars[i] = (float)value;
    return 1;
}

ftc_status ftc_stepper_set_dropout(ftc_stepper *stepper, double probability) {
    const ftc_program *program = stepper->program;
    bool found = probability == 0;
    for (int32_t i = 0; i < program->n_scalars; i++) {
        if (program->scalars[i].role != FTC_SCALAR_DROPOUT) continue;
        stepper->scalars[i] = (float)probability;
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
    int32_t i = find_scalar(stepper->program, name);
    return i < 0 ? otherwise : (double)stepper->scalars[i];
}

// A scalar as a person wrote it: 0.999 and not the nearest float, whose distance to 1 is another by 1e-5 of
// it.
static double as_written(const ftc_stepper *stepper, const char *name) {
    char text[32];
    snprintf(text, sizeof text, "%.7g", ftc_stepper_get(stepper, name, 0));
    return strtod(text, NULL);
}

void ftc_stepper_set_step(ftc_stepper *stepper, int64_t step) {
    double beta1 = as_written(stepper, "beta1"), beta2 = as_written(stepper, "beta2");
    ftc_stepper_set(stepper, "bias_correction1", 1 - pow(beta1, (double)step));
    ftc_stepper_set(stepper, "bias_correction2_sqrt", sqrt(1 - pow(beta2, (double)step)));
    ftc_stepper_set(stepper, "adafactor_beta2", 1 - pow((double)step, -0.8));
}

static int32_t find_output(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_outputs; i++) {
        if (strcmp(program->outputs[i].name, name) == 0) return i;
    }
    return -1;
}

const float *ftc_stepper_output(const ftc_stepper *stepper, const char *name, ftc_entry_kind entry) {
    int32_t i = find_output(stepper->program, name);
    return i >= 0 && stepper->program->outputs[i].entries & 1u << entry ? stepper->outputs[i] : NULL;
}

int64_t ftc_stepper_output_columns(const ftc_stepper *stepper, const char *name) {
    int32_t i = find_output(stepper->program, name);
    return i < 0 ? 0 : stepper->program->outputs[i].columns;
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

void ftc_stepper_call(ftc_stepper *stepper, ftc_entry_kind entry, const ftc_batch *batch, uint32_t step,
                      uint32_t micro_step) {
    ftc_step_args args = {
        .arena = stepper->arena.data,
        .tensors = stepper->state->tensors,
        .inputs = (const void *const *)batch->inputs,
        .outputs = stepper->outputs,
        .scalars = stepper->scalars,
        .extents = batch->extents,
        .offsets = batch->offsets,
        .square_offsets = batch->square_offsets,
        .seed = stepper->seed,
        .step = step,
        .micro_step = micro_step,
        .barrier = ftc_threads_barrier,
        .barrier_context = stepper->threads,
        .sgemm = stepper->sgemm,
        .ticks = stepper->ticks,
    };
    call c = {stepper->program->entries[entry].fn, &args};
    if (entry != FTC_ENTRY_UPDATE)
        ftc_embeddings_read(stepper->state->tables, batch, entry != FTC_ENTRY_EVAL);
    ftc_threads_run(stepper->threads, enter, &c);
    if (entry == FTC_ENTRY_STEP || entry == FTC_ENTRY_UPDATE)
        ftc_embeddings_updated(stepper->state->tables, stepper->outputs);
}
