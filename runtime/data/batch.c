#include "runtime/data/batch.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- creation -----------------------------------------------------------------------------------------

void ftc_program_extents(const ftc_program *program, int32_t *sequences, int32_t *tokens) {
    *sequences = *tokens = -1;
    for (int32_t i = 0; i < program->n_extents; i++) {
        int32_t over = program->extents[i].ragged_over;
        if (over >= 0 && *tokens < 0) {
            *tokens = i;
            *sequences = over;
        }
    }
    for (int32_t i = 0; *sequences < 0 && i < program->n_extents; i++) *sequences = i;
}

typedef enum { FEED_IDS, FEED_TYPES, FEED_LABEL, FEED_NOTHING } feed;

static feed feed_of(const ftc_input_info *input) {
    static const char *const NAMES[] = {[FEED_IDS] = "ids", [FEED_TYPES] = "types", [FEED_LABEL] = "label"};
    for (int i = 0; i < FEED_NOTHING; i++) {
        if (strcmp(input->name, NAMES[i]) == 0) return (feed)i;
    }
    return FEED_NOTHING;
}

static ftc_status check_inputs(const ftc_program *program) {
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        feed f = feed_of(input);
        if (f == FEED_NOTHING) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "the model %s has an input \"%s\"; data files feed \"ids\", \"types\" and \"label\"",
                program->model, input->name);
        }
        bool fits = f == FEED_LABEL
                        ? !input->per_token && (input->dtype == FTC_I32 || input->dtype == FTC_F32)
                        : input->per_token && input->dtype == FTC_I32;
        if (!fits) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "the model %s declares \"%s\" in another form than data files feed: ids and types are "
                "i32[B, S], label is i32[B] or f32[B]",
                program->model, input->name);
        }
    }
    return FTC_STATUS_OK;
}

// Hands out the next piece of a block; with a NULL block only counts.
static void *take(char *block, size_t *at, size_t bytes) {
    void *piece = block ? block + *at : NULL;
    *at += ftc_memory_stride(bytes);
    return piece;
}

// Lays the buffers out in the block; returns its size.
static size_t lay_out(ftc_batch *batch) {
    const ftc_program *program = batch->program;
    size_t at = 0, sequences = (size_t)batch->max_sequences, tokens = sequences * (size_t)batch->max_length;
    batch->token_offsets = take(batch->block.data, &at, (sequences + 1) * sizeof *batch->token_offsets);
    batch->token_square_offsets =
        take(batch->block.data, &at, (sequences + 1) * sizeof *batch->token_square_offsets);
    for (int32_t i = 0; i < program->n_inputs; i++) {
        size_t values = program->inputs[i].per_token ? tokens : sequences;
        batch->inputs[i] = take(batch->block.data, &at, values * sizeof(int32_t));
        bool is_class = feed_of(&program->inputs[i]) == FEED_LABEL && program->inputs[i].dtype == FTC_I32;
        if (is_class) batch->classes = batch->inputs[i];
    }
    return at;
}

ftc_status ftc_batch_create(const ftc_program *program, ftc_batch *out) {
    FTC_RETURN_IF_ERROR(check_inputs(program));
    int32_t sequences, tokens;
    ftc_program_extents(program, &sequences, &tokens);
    if (sequences < 0) {
        return ftc_status_make(FTC_BAD_INPUT, "the model %s has no batch axis", program->model);
    }
    size_t n = (size_t)program->n_extents;
    ftc_batch batch = {
        .program = program,
        .max_sequences = program->extents[sequences].bound,
        .max_length = tokens >= 0 ? program->extents[tokens].bound : 0,
        .inputs = calloc((size_t)program->n_inputs + 1, sizeof *batch.inputs),
        .extents = calloc(n, sizeof *batch.extents),
        .offsets = calloc(n, sizeof *batch.offsets),
        .square_offsets = calloc(n, sizeof *batch.square_offsets),
    };
    if (!batch.inputs || !batch.extents || !batch.offsets || !batch.square_offsets) abort();
    ftc_status status = ftc_memory_map(lay_out(&batch), "a batch", &batch.block);
    if (status.code != FTC_OK) {
        ftc_batch_free(&batch);
        return status;
    }
    lay_out(&batch);
    for (int32_t i = 0; i < program->n_extents; i++) {
        if (program->extents[i].ragged_over < 0) continue;
        batch.offsets[i] = batch.token_offsets;
        batch.square_offsets[i] = batch.token_square_offsets;
    }
    *out = batch;
    return FTC_STATUS_OK;
}

void ftc_batch_free(ftc_batch *batch) {
    ftc_memory_unmap(&batch->block);
    free(batch->inputs);
    free(batch->extents);
    free(batch->offsets);
    free(batch->square_offsets);
    *batch = (ftc_batch){0};
}

// --- filling ------------------------------------------------------------------------------------------

// Whether `who` (such as "example 3") has all positions of an extent that the model names.
static ftc_status check_least(const ftc_program *program, int32_t extent, const char *who, int64_t size) {
    const ftc_extent_info *info = &program->extents[extent];
    if (size >= info->least) return FTC_STATUS_OK;
    if (info->least == 1 && !info->least_line)
        return ftc_status_make(FTC_BAD_INPUT, "%s has nothing along axis %s", who, info->name);
    char where[64] = "";
    if (info->least_line) snprintf(where, sizeof where, " (line %d)", info->least_line);
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s has %lld position%s along axis %s, but the model %s names position %lld of "
                           "it%s: leave out what is "
                           "shorter than %lld, or let the model name a position that is always there",
                           who, (long long)size, size == 1 ? "" : "s", info->name, program->model,
                           (long long)info->least - 1, where, (long long)info->least);
}

static ftc_status check_sizes(const ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples,
                              int64_t n) {
    if (n > batch->max_sequences) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "a batch of %lld examples, but the model was compiled for at most %lld: compile with "
            "--batch %lld",
            (long long)n, (long long)batch->max_sequences, (long long)n);
    }
    int32_t sequences, tokens;
    ftc_program_extents(batch->program, &sequences, &tokens);
    FTC_RETURN_IF_ERROR(check_least(batch->program, sequences, "the batch", n));
    for (int64_t i = 0; tokens >= 0 && i < n; i++) {
        int64_t length = ftc_dataset_length(dataset, examples[i]);
        char who[48];
        snprintf(who, sizeof who, "example %lld", (long long)examples[i]);
        FTC_RETURN_IF_ERROR(check_least(batch->program, tokens, who, length));
        if (length > batch->max_length) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "example %lld has %lld tokens, but the model was compiled for at most %lld: compile "
                "with --max-length %lld",
                (long long)examples[i], (long long)length, (long long)batch->max_length, (long long)length);
        }
    }
    return FTC_STATUS_OK;
}

// Appends one example's tokens to an input over tokens.
static ftc_status pack_tokens(const ftc_input_info *input, const int32_t *values, int64_t n, int64_t example,
                              int32_t *to) {
    for (int64_t i = 0; i < n; i++) {
        if (values[i] < 0 || (input->bound && values[i] >= input->bound)) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "example %lld, token %lld: \"%s\" is %d, the model takes 0 to %lld; do tokenizer and "
                "model belong together?",
                (long long)example, (long long)i, input->name, values[i], (long long)input->bound - 1);
        }
        to[i] = values[i];
    }
    return FTC_STATUS_OK;
}

static ftc_status pack_label(const ftc_input_info *input, float label, int64_t example, void *to,
                             int64_t at) {
    if (input->dtype == FTC_F32) {
        ((float *)to)[at] = label;
        return FTC_STATUS_OK;
    }
    if (!(label >= 0) || label != floorf(label) || (input->bound && label >= (float)input->bound)) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "example %lld has the label %.9g, the model takes the classes 0 to %lld: set the number of "
            "labels with --set labels=N",
            (long long)example, (double)label, (long long)input->bound - 1);
    }
    ((int32_t *)to)[at] = (int32_t)label;
    return FTC_STATUS_OK;
}

ftc_status ftc_batch_fill(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples, int64_t n) {
    FTC_RETURN_IF_ERROR(check_sizes(batch, dataset, examples, n));
    const ftc_program *program = batch->program;
    int64_t tokens = 0, squares = 0, longest = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t example = examples[i], length = ftc_dataset_length(dataset, example);
        batch->token_offsets[i] = (int32_t)tokens;
        batch->token_square_offsets[i] = squares;
        for (int32_t k = 0; k < program->n_inputs; k++) {
            const ftc_input_info *input = &program->inputs[k];
            feed f = feed_of(input);
            if (f == FEED_LABEL) {
                FTC_RETURN_IF_ERROR(
                    pack_label(input, dataset->labels[example], example, batch->inputs[k], i));
            } else {
                const int32_t *values =
                    (f == FEED_IDS ? dataset->ids : dataset->types) + dataset->offsets[example];
                FTC_RETURN_IF_ERROR(
                    pack_tokens(input, values, length, example, (int32_t *)batch->inputs[k] + tokens));
            }
        }
        tokens += length;
        squares += length * length;
        if (length > longest) longest = length;
    }
    batch->token_offsets[n] = (int32_t)tokens;
    batch->token_square_offsets[n] = squares;
    batch->sequences = n;
    batch->tokens = tokens;
    batch->longest = longest;
    for (int32_t i = 0; i < program->n_extents; i++) {
        batch->extents[i] = program->extents[i].ragged_over < 0 ? n : tokens;
    }
    return FTC_STATUS_OK;
}
