#include "runtime/loop/adapted.h"

#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "runtime/hub/adapter.h"
#include "runtime/hub/names.h"

#include <stdlib.h>
#include <string.h>

// The tensors of a file, and what was made for it.
typedef struct {
    ftc_safetensor *tensors; // [n]
    int32_t n;
    void **made; // [n_made]
    int32_t n_made;
} contents;

static contents begin(const ftc_program *program) {
    return (contents){.tensors = ftc_alloc((size_t)program->n_tensors + 1, sizeof(ftc_safetensor)),
                      .made = ftc_alloc((size_t)program->n_tensors + 1, sizeof(void *))};
}

static void *keep(contents *c, void *made) {
    return c->made[c->n_made++] = made;
}

static ftc_status finish(contents *c, const char *path) {
    ftc_status status = ftc_safetensors_write(path, c->tensors, c->n);
    for (int32_t i = 0; i < c->n_made; i++) free(c->made[i]);
    free(c->made);
    free(c->tensors);
    return status;
}

// The name of a parameter in the family's class: one without a head is the encoder itself, which has no
// prefix.
static const char *name_in_class(const ftc_program *program, const char *name) {
    const char *prefix = ftc_family_text(program, "prefix");
    bool is_within = *ftc_family_text(program, "head") || !ftc_name_starts_with(name, prefix);
    return is_within ? name : name + strlen(prefix);
}

ftc_status ftc_adapted_save(const ftc_model_state *state, const char *base, const char *path) {
    const ftc_program *program = state->program;
    bool *is_base;
    FTC_RETURN_IF_ERROR(ftc_model_state_find(program, base, &is_base));
    contents c = begin(program);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != FTC_ROLE_PARAM || (!info->trainable && is_base[i])) continue;
        c.tensors[c.n] = ftc_model_state_describe(state, i);
        char *name = ftc_format("%s%s", FTC_ADAPTER_PREFIX, name_in_class(program, info->name));
        c.tensors[c.n++].name = keep(&c, name);
    }
    free(is_base);
    return finish(&c, path);
}

// --- merging ------------------------------------------------------------------------------------------

static int32_t find_param(const ftc_program *program, const char *module, const char *end) {
    size_t n = strlen(module);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role == FTC_ROLE_PARAM && strncmp(info->name, module, n) == 0 &&
            strcmp(info->name + n, end) == 0)
            return i;
    }
    return -1;
}

// W + scale B A, in the form that W is stored in: a row for each output. Allocated.
static float *merge(const ftc_model_state *state, int32_t w, int32_t a, int32_t b, double scale) {
    const ftc_tensor_info *info = &state->program->tensors[w];
    const float *W = ftc_model_state_tensor(state, w), *A = ftc_model_state_tensor(state, a),
                *B = ftc_model_state_tensor(state, b);
    int64_t outputs = info->dims[0], inputs = info->dims[1], rank = state->program->tensors[a].dims[0];
    float *merged = ftc_alloc((size_t)(outputs * inputs), sizeof *merged);
    double *row = ftc_alloc((size_t)inputs, sizeof *row);
    for (int64_t o = 0; o < outputs; o++) {
        memset(row, 0, (size_t)inputs * sizeof *row);
        for (int64_t r = 0; r < rank; r++)
            for (int64_t i = 0; i < inputs; i++)
                row[i] += (double)B[o * rank + r] * (double)A[r * inputs + i];
        for (int64_t i = 0; i < inputs; i++)
            merged[o * inputs + i] = (float)((double)W[o * inputs + i] + scale * row[i]);
    }
    free(row);
    return merged;
}

ftc_status ftc_adapted_save_merged(const ftc_model_state *state, const char *path) {
    const ftc_program *program = state->program;
    contents c = begin(program);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != FTC_ROLE_PARAM || ftc_adapter_owns(info->name)) continue;
        ftc_safetensor *tensor = &c.tensors[c.n++];
        *tensor = ftc_model_state_describe(state, i);
        if (!ftc_name_ends_with(info->name, ".weight")) continue;
        char *module = ftc_strndup(info->name, strlen(info->name) - strlen(".weight"));
        int32_t a = find_param(program, module, ".lora_A.weight"),
                b = find_param(program, module, ".lora_B.weight");
        if (a >= 0 && b >= 0) tensor->data = keep(&c, merge(state, i, a, b, ftc_adapter_scale(program)));
        free(module);
    }
    return finish(&c, path);
}
