#include "compiler/driver/synthetic.h"

#include "ir/base/alloc.h"
#include "runtime/loop/stepper.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t at_most(int64_t n, int64_t bound) {
    return n < bound ? n : bound;
}

// The length of element i along an extent: all, half, one in turns, other turns for other extents.
static int32_t length_of(const ftc_extent_info *extent, int32_t e, int64_t i, const ftc_synthetic *s) {
    int64_t longest = at_most(s->length, extent->bound);
    int64_t length = s->varied ? longest - (longest - 1) * ((i + e) % 3) / 2 : longest;
    return (int32_t)(length < extent->least ? extent->least : length);
}

static ftc_status resize(ftc_batch *batch, const ftc_synthetic *s) {
    const ftc_program *program = batch->program;
    int64_t *elements = ftc_alloc((size_t)program->n_extents + 1, sizeof *elements);
    int32_t **lengths = ftc_alloc((size_t)program->n_extents + 1, sizeof *lengths);
    for (int32_t e = 0; e < program->n_extents; e++) {
        const ftc_extent_info *extent = &program->extents[e];
        if (extent->ragged_over >= 0) continue;
        elements[e] = at_most(s->sequences, extent->bound);
        if (elements[e] < extent->least) elements[e] = extent->least;
    }
    for (int32_t e = 0; e < program->n_extents; e++) {
        const ftc_extent_info *extent = &program->extents[e];
        if (extent->ragged_over < 0) continue;
        int64_t n = elements[extent->ragged_over];
        lengths[e] = ftc_alloc((size_t)n + 1, sizeof **lengths);
        for (int64_t i = 0; i < n; i++) lengths[e][i] = length_of(extent, e, i, s);
    }
    ftc_status status = ftc_batch_resize(batch, elements, (const int32_t *const *)lengths, NULL);
    for (int32_t e = 0; e < program->n_extents; e++) free(lengths[e]);
    free(lengths);
    free(elements);
    return status;
}

static uint64_t next(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void fill_types(ftc_batch *batch, int32_t i) {
    int64_t kinds = batch->program->inputs[i].bound ? batch->program->inputs[i].bound : 1, at = 0;
    int32_t *cells = batch->inputs[i], over = batch->program->inputs[i].axes[0].extent;
    const int32_t *offsets = batch->offsets[batch->program->inputs[i].axes[1].extent];
    for (int64_t b = 0; b < batch->extents[over]; b++) {
        int64_t length = offsets[b + 1] - offsets[b];
        for (int64_t k = 0; k < length; k++) cells[at++] = (int32_t)(k * kinds / length);
    }
}

static void fill(ftc_batch *batch, int32_t i, uint64_t *state) {
    const ftc_input_info *input = &batch->program->inputs[i];
    bool is_label = input->role == FTC_FROM_LABEL;
    int64_t classes = ftc_program_score_columns(batch->program); // of tokens have no bound: -100 is allowed
    int64_t bound = ftc_batch_bound(batch, i);
    uint64_t range = bound                                                ? (uint64_t)bound
                     : is_label && input->dtype == FTC_I32 && classes > 0 ? (uint64_t)classes
                                                                          : 10;
    int64_t n = ftc_batch_cells(batch, i);
    for (int64_t k = 0; k < n; k++) {
        // Not one of each class: gradients of biases would cancel.
        uint64_t number = is_label ? (uint64_t)(k + 1) / 2 : next(state);
        switch (input->dtype) {
        case FTC_F32:
            ((float *)batch->inputs[i])[k] =
                is_label ? (float)(number % range) : (float)(number >> 7) * 0x1p-23f - 1;
            break;
        case FTC_BF16: ((uint16_t *)batch->inputs[i])[k] = number & 1 ? 0x3f80 : 0xbf00; break; // 1, -0.5
        case FTC_BOOL: ((uint8_t *)batch->inputs[i])[k] = number & 1; break;
        default: ((int32_t *)batch->inputs[i])[k] = (int32_t)(number % range); break;
        }
    }
}

ftc_status ftc_synthetic_fill(ftc_batch *batch, const ftc_synthetic *sizes) {
    uint64_t state = sizes->seed;
    FTC_RETURN_IF_ERROR(resize(batch, sizes));
    for (int32_t i = 0; i < batch->program->n_inputs; i++) {
        if (batch->program->inputs[i].role == FTC_FROM_TOKEN_TYPES)
            fill_types(batch, i);
        else if (batch->program->inputs[i].role == FTC_FROM_PARTNER)
            ftc_batch_fill_partners(batch, i);
        else if (batch->program->inputs[i].role != FTC_FROM_CONFIG)
            fill(batch, i, &state);
    }
    return ftc_batch_check(batch, NULL);
}

char *ftc_synthetic_sizes(const ftc_batch *batch) {
    const ftc_program *program = batch->program;
    if (batch->rows.tokens >= 0) return ftc_format("%lld tokens", (long long)batch->tokens);
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    for (int32_t i = 0; i < program->n_extents; i++) {
        const ftc_extent_info *extent = &program->extents[i];
        bool is_ragged = extent->ragged_over >= 0;
        int64_t n = is_ragged ? batch->offsets[i][batch->extents[extent->ragged_over]] : batch->extents[i];
        fprintf(f, "%s%s %lld", ftell(f) ? ", " : "", extent->name, (long long)n);
    }
    return ftc_text_close(&text, NULL);
}
