#include "runtime/loop/model_state.h"
#include "runtime/loop/guard.h"

#include "ir/base/alloc.h"
#include "runtime/data/random.h"
#include "runtime/hub/adapter.h"
#include "runtime/hub/names.h"
#include "runtime/hub/safetensors.h"
#include "runtime/hub/weights.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t ftc_first_not_finite(const float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return i;
    return -1;
}

int64_t ftc_tensor_elements(const ftc_tensor_info *info) {
    int64_t elements = 1;
    for (int32_t i = 0; i < info->rank; i++) elements *= info->dims[i];
    return elements;
}

ftc_work ftc_entry_work(const ftc_program *program, ftc_entry_kind entry, const double *counts) {
    const ftc_entry *e = &program->entries[entry];
    ftc_work work = {0};
    for (int32_t k = 0; k < e->n_kernels && e->kernel_info; k++) {
        work.flops += ftc_program_cost(program, e->kernel_info[k].flops, counts);
        work.bytes += ftc_program_cost(program, e->kernel_info[k].bytes, counts);
    }
    return work;
}

int64_t ftc_program_parameters(const ftc_program *program) {
    int64_t elements = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (program->tensors[i].role == FTC_ROLE_PARAM) elements += ftc_tensor_elements(&program->tensors[i]);
    }
    return elements;
}

int64_t ftc_tensor_bytes(const ftc_tensor_info *info) {
    return ftc_tensor_elements(info) * ftc_dtype_bytes(info->dtype);
}

// --- memory -------------------------------------------------------------------------------------------

static const struct {
    const char *what;
    uint32_t entries; // that use it
} ROLES[FTC_ROLE_COUNT] = {
    [FTC_ROLE_PARAM] = {"the parameters", ~0u},
    [FTC_ROLE_MOMENT] = {"the optimizer's moments", 1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_UPDATE},
    [FTC_ROLE_GRADIENT] = {"the gradients", 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_UPDATE},
    [FTC_ROLE_TOUCHED] = {"the lists of touched rows", 1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_UPDATE},
};

// The part of a tensor that is in memory.
typedef struct {
    int64_t first, n, row_bytes; // rows
} stretch;

// Whether several processes each have some rows of it.
static bool is_shared(const ftc_program *program, int32_t index) {
    const ftc_tensor_info *info = &program->tensors[index];
    return info->role == FTC_ROLE_MOMENT && info->of >= 0 && program->tensors[info->of].is_sliced;
}

static stretch stretch_of(const ftc_program *program, int32_t index, ftc_slice slice) {
    const ftc_tensor_info *info = &program->tensors[index];
    if (!is_shared(program, index) || slice.count == 1) return (stretch){0, 1, ftc_tensor_bytes(info)};
    stretch s = {.first = ftc_slice_first(slice, info->dims[0])};
    s.n = ftc_slice_end(slice, info->dims[0]) - s.first;
    s.row_bytes = info->dims[0] ? ftc_tensor_bytes(info) / info->dims[0] : 0;
    return s;
}

static size_t role_bytes(const ftc_program *program, ftc_tensor_role role, ftc_slice slice) {
    size_t bytes = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (program->tensors[i].role != role) continue;
        stretch s = stretch_of(program, i, slice);
        ftc_memory_place((size_t)(s.n * s.row_bytes), program->guarded, &bytes);
    }
    return bytes;
}

int64_t ftc_model_role_bytes(const ftc_program *program, ftc_tensor_role role, uint32_t entries,
                             ftc_slice slice) {
    return ROLES[role].entries & entries ? (int64_t)role_bytes(program, role, slice) : 0;
}

int64_t ftc_model_state_bytes(const ftc_program *program, uint32_t entries, ftc_slice slice) {
    int64_t bytes = 0;
    for (int role = 0; role < FTC_ROLE_COUNT; role++)
        bytes += ftc_model_role_bytes(program, (ftc_tensor_role)role, entries, slice);
    return bytes;
}

static ftc_status map_role(ftc_model_state *state, ftc_tensor_role role) {
    const ftc_program *program = state->program;
    ftc_slice slice = ftc_world_slice(state->world);
    FTC_RETURN_IF_ERROR(
        ftc_memory_map(role_bytes(program, role, slice), ROLES[role].what, &state->blocks[role]));
    size_t at = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != role) continue;
        stretch s = stretch_of(program, i, slice);
        size_t bytes = (size_t)(s.n * s.row_bytes);
        char *data = state->blocks[role].data + ftc_memory_place(bytes, program->guarded, &at);
        state->tensors[i] = (void *)((uintptr_t)data - (uintptr_t)(s.first * s.row_bytes));
        if (program->guarded) ftc_guard_add(data, bytes, info->name);
    }
    return FTC_STATUS_OK;
}

ftc_status ftc_model_state_create(const ftc_program *program, uint32_t entries, const ftc_world *world,
                                  ftc_model_state *out) {
    ftc_model_state state = {.program = program,
                             .world = world,
                             .tensors = ftc_alloc((size_t)program->n_tensors + 1, sizeof *state.tensors)};
    for (int role = 0; role < FTC_ROLE_COUNT; role++) {
        if (!(ROLES[role].entries & entries)) continue;
        ftc_status status = map_role(&state, (ftc_tensor_role)role);
        if (status.code != FTC_OK) {
            ftc_model_state_free(&state);
            return status;
        }
    }
    state.tables = ftc_embeddings_new(program, state.tensors);
    *out = state;
    return FTC_STATUS_OK;
}

void ftc_model_state_free(ftc_model_state *state) {
    for (int role = 0; role < FTC_ROLE_COUNT; role++) ftc_memory_unmap(&state->blocks[role]);
    ftc_embeddings_free(state->tables);
    free(state->tensors);
    *state = (ftc_model_state){0};
}

void *ftc_model_state_tensor(const ftc_model_state *state, int32_t index) {
    ftc_embeddings_settle(state->tables, index);
    if (state->arriving) ftc_gathering_await(state->arriving, state->tensors[index]);
    return state->tensors[index];
}

// --- initial values -----------------------------------------------------------------------------------

static void init_param(ftc_model_state *state, int32_t index, uint64_t seed) {
    const ftc_tensor_info *info = &state->program->tensors[index];
    float *values = state->tensors[index];
    int64_t n = ftc_tensor_elements(info);
    switch (info->init) {
    case FTC_INIT_ZEROS: memset(values, 0, (size_t)n * sizeof *values); break;
    case FTC_INIT_ONES:
        for (int64_t i = 0; i < n; i++) values[i] = 1;
        break;
    case FTC_INIT_NORMAL:
    case FTC_INIT_UNIFORM: {
        ftc_random random = ftc_random_named(seed, info->name);
        double (*draw)(ftc_random *) = info->init == FTC_INIT_NORMAL ? ftc_random_normal : ftc_random_uniform;
        for (int64_t i = 0; i < n; i++) values[i] = (float)(info->init_scale * draw(&random));
        break;
    }
    }
    if (info->zero_row >= 0 && info->rank == 2) {
        memset(values + info->zero_row * info->dims[1], 0, (size_t)info->dims[1] * sizeof *values);
    }
}

void ftc_model_state_init(ftc_model_state *state, uint64_t seed) {
    for (int32_t i = 0; i < state->program->n_tensors; i++) {
        if (state->program->tensors[i].role == FTC_ROLE_PARAM) init_param(state, i, seed);
    }
    ftc_embeddings_replaced(state->tables);
}

// --- loading ------------------------------------------------------------------------------------------

static bool same_shape(const ftc_tensor_info *info, const ftc_safetensor *tensor) {
    if (info->rank != tensor->rank) return false;
    return memcmp(info->dims, tensor->dims, (size_t)info->rank * sizeof *info->dims) == 0;
}

static ftc_status shape_error(const ftc_weights *file, const ftc_tensor_info *info,
                              const ftc_safetensor *tensor) {
    char theirs[128], ours[128];
    return ftc_status_make(FTC_BAD_INPUT, "%s: tensor \"%s\" has shape %s, the model's \"%s\" has %s",
                           ftc_weights_path(file), tensor->name,
                           ftc_shape_format(tensor->dims, tensor->rank, theirs), info->name,
                           ftc_shape_format(info->dims, info->rank, ours));
}

// Some rows of a tensor of a file.
static ftc_safetensor rows_of(const ftc_safetensor *tensor, int64_t first, int64_t n) {
    ftc_safetensor rows = *tensor;
    int64_t row_bytes = tensor->bytes / tensor->dims[0];
    rows.dims[0] = n;
    rows.data = (const char *)tensor->data + first * row_bytes;
    rows.bytes = n * row_bytes;
    return rows;
}

// Fills what this process has of the state's tensor with this index.
static ftc_status copy_tensor(const ftc_weights *file, const ftc_model_state *state, int32_t index,
                              const ftc_safetensor *tensor) {
    const ftc_tensor_info *info = &state->program->tensors[index];
    if (!same_shape(info, tensor)) return shape_error(file, info, tensor);
    stretch s = stretch_of(state->program, index, ftc_world_slice(state->world));
    bool is_whole = s.n * s.row_bytes == ftc_tensor_bytes(info);
    ftc_safetensor part = is_whole ? *tensor : rows_of(tensor, s.first, s.n);
    char *to = (char *)state->tensors[index] + s.first * s.row_bytes;
    if (info->dtype == FTC_F32) {
        FTC_RETURN_IF_ERROR(
            ftc_status_annotate(ftc_safetensors_read_f32(&part, (float *)to), "%s", ftc_weights_path(file)));
        ftc_safetensors_release(&part);
        int64_t at = ftc_first_not_finite((const float *)to, s.n * s.row_bytes / (int64_t)sizeof(float));
        if (at < 0) return FTC_STATUS_OK;
        return ftc_status_make(
            FTC_BAD_INPUT, "%s: element %lld of \"%s\" is %g; take weights from before it diverged",
            ftc_weights_path(file), (long long)at, tensor->name, (double)((const float *)to)[at]);
    }
    if (part.bytes != s.n * s.row_bytes) {
        return ftc_status_make(FTC_BAD_INPUT, "%s: tensor \"%s\" was saved in another precision",
                               ftc_weights_path(file), tensor->name);
    }
    memcpy(to, part.data, (size_t)part.bytes);
    ftc_safetensors_release(&part);
    return FTC_STATUS_OK;
}

// A tensor of a file by its name in the family.
typedef struct {
    char *name;
    int32_t index;
} named_tensor;

static int by_name(const void *a, const void *b) {
    const named_tensor *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int compare_name(const void *name, const void *tensor) {
    return strcmp(name, ((const named_tensor *)tensor)->name);
}

// Which tensor of the file each parameter is, NULL: none. [n_tensors], allocated.
static const ftc_safetensor **match_names(const ftc_program *program, const ftc_weights *file) {
    int32_t n = ftc_weights_count(file);
    named_tensor *list = ftc_alloc((size_t)n + 1, sizeof *list);
    const ftc_safetensor **matches = ftc_alloc((size_t)program->n_tensors + 1, sizeof *matches);
    for (int32_t i = 0; i < n; i++)
        list[i] = (named_tensor){ftc_family_name(program, ftc_weights_at(file, i)->name), i};
    qsort(list, (size_t)n, sizeof *list, by_name);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (program->tensors[i].role != FTC_ROLE_PARAM) continue;
        char *name = ftc_family_name(program, program->tensors[i].name);
        const named_tensor *found = bsearch(name, list, (size_t)n, sizeof *list, compare_name);
        if (found) matches[i] = ftc_weights_at(file, found->index);
        free(name);
    }
    for (int32_t i = 0; i < n; i++) free(list[i].name);
    free(list);
    return matches;
}

static ftc_status lacks_error(const ftc_weights *file, const char *missing, int32_t n_missing,
                              int32_t n_found) {
    const char *path = ftc_weights_path(file);
    if (n_found == 0) {
        const char *theirs = ftc_weights_count(file) ? ftc_weights_at(file, 0)->name : "";
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: none of its tensors has the name of a parameter of the encoder, such as \"%s\"; "
            "they have names such as \"%s\": these are the weights of another model",
            path, missing, theirs);
    }
    char more[32] = "";
    if (n_missing > 1) snprintf(more, sizeof more, " and %d more", n_missing - 1);
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: lacks \"%s\"%s of the encoder; what may be missing and is then initialised, the "
        "family block of the model's text names: head and may_lack",
        path, missing, more);
}

// Whether a file may lack a parameter of the encoder: what the family says, and adapters that are new.
static bool may_lack(const ftc_program *program, const ftc_weights *file, const char *parameter) {
    return ftc_family_may_lack(program, parameter) ||
           (ftc_adapter_owns(parameter) && !ftc_weights_have_adapter(file));
}

// The encoder's parameters must be there in their shapes.
static ftc_status check_encoder(const ftc_program *program, const ftc_weights *file,
                                const ftc_safetensor *const *matches) {
    const char *missing = NULL;
    int32_t n_missing = 0, n_found = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != FTC_ROLE_PARAM || ftc_family_in_head(program, info->name)) continue;
        if (matches[i] && !same_shape(info, matches[i])) return shape_error(file, info, matches[i]);
        if (matches[i]) {
            n_found++;
        } else if (!may_lack(program, file, info->name)) {
            if (!n_missing++) missing = info->name;
        }
    }
    return missing ? lacks_error(file, missing, n_missing, n_found) : FTC_STATUS_OK;
}

// Buffers that Hugging Face once saved beside the weights.
static bool is_buffer(const char *name) {
    const char *last = strrchr(name, '.');
    last = last ? last + 1 : name;
    return strcmp(last, "position_ids") == 0 || strcmp(last, "token_type_ids") == 0;
}

static ftc_status load_params(ftc_model_state *state, const ftc_weights *file, uint64_t seed,
                              const ftc_safetensor *const *matches, ftc_load_report *report) {
    const ftc_program *program = state->program;
    FTC_RETURN_IF_ERROR(check_encoder(program, file, matches));
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != FTC_ROLE_PARAM) continue;
        if (matches[i] && same_shape(info, matches[i])) {
            FTC_RETURN_IF_ERROR(copy_tensor(file, state, i, matches[i]));
        } else {
            init_param(state, i, seed);
            if (!ftc_adapter_owns(info->name)) report->initialized[report->n_initialized++] = info->name;
        }
    }
    return FTC_STATUS_OK;
}

// The tensors of the file that are no parameter.
static void list_unused(const ftc_program *program, const ftc_weights *file,
                        const ftc_safetensor *const *matches, ftc_load_report *report) {
    int32_t n = ftc_weights_count(file);
    const ftc_safetensor *first = n ? ftc_weights_at(file, 0) : NULL;
    bool *used = ftc_alloc((size_t)n + 1, sizeof *used);
    for (int32_t i = 0; i < program->n_tensors; i++)
        if (matches[i]) used[matches[i] - first] = true;
    for (int32_t i = 0; i < n; i++) {
        if (used[i] || is_buffer(first[i].name)) continue;
        report->unused[report->n_unused++] = ftc_strdup(first[i].name);
    }
    free(used);
}

ftc_status ftc_model_state_load(ftc_model_state *state, const char *dir, uint64_t seed,
                                ftc_load_report *report) {
    ftc_weights *file;
    FTC_RETURN_IF_ERROR(ftc_weights_open(dir, &file));
    ftc_load_report found = {
        .initialized = ftc_alloc((size_t)state->program->n_tensors + 1, sizeof *found.initialized),
        .unused = ftc_alloc((size_t)ftc_weights_count(file) + 1, sizeof *found.unused),
    };
    const ftc_safetensor **matches = match_names(state->program, file);
    ftc_status status = load_params(state, file, seed, matches, &found);
    ftc_embeddings_replaced(state->tables);
    if (status.code == FTC_OK) list_unused(state->program, file, matches, &found);
    free(matches);
    ftc_weights_close(file);
    if (status.code != FTC_OK) {
        ftc_load_report_free(&found);
        return status;
    }
    *report = found;
    return FTC_STATUS_OK;
}

ftc_status ftc_model_state_check(const ftc_program *program, const char *dir) {
    ftc_weights *file;
    FTC_RETURN_IF_ERROR(ftc_weights_open(dir, &file));
    const ftc_safetensor **matches = match_names(program, file);
    ftc_status status = check_encoder(program, file, matches);
    free(matches);
    ftc_weights_close(file);
    return status;
}

ftc_status ftc_model_state_find(const ftc_program *program, const char *dir, bool **found) {
    ftc_weights *file;
    FTC_RETURN_IF_ERROR(ftc_weights_open(dir, &file));
    const ftc_safetensor **matches = match_names(program, file);
    *found = ftc_alloc((size_t)program->n_tensors + 1, sizeof **found);
    for (int32_t i = 0; i < program->n_tensors; i++)
        (*found)[i] = matches[i] && same_shape(&program->tensors[i], matches[i]);
    free(matches);
    ftc_weights_close(file);
    return FTC_STATUS_OK;
}

void ftc_load_report_free(ftc_load_report *report) {
    for (int32_t i = 0; i < report->n_unused; i++) free(report->unused[i]);
    free(report->unused);
    free(report->initialized);
    *report = (ftc_load_report){0};
}

// --- saving -------------------------------------------------------------------------------------------

static ftc_safe_dtype safe_dtype(ftc_dtype dtype) {
    switch (dtype) {
    case FTC_F32: return FTC_SAFE_F32;
    case FTC_BF16: return FTC_SAFE_BF16;
    case FTC_I32: return FTC_SAFE_I32;
    case FTC_U32: return FTC_SAFE_U32;
    case FTC_BOOL: break; // no resident tensor is of this type
    }
    return FTC_SAFE_OTHER;
}

ftc_safetensor ftc_model_state_describe(const ftc_model_state *state, int32_t index) {
    const ftc_tensor_info *info = &state->program->tensors[index];
    ftc_safetensor tensor = {.name = info->name,
                             .dtype = safe_dtype(info->dtype),
                             .rank = info->rank,
                             .data = ftc_model_state_tensor(state, index)};
    memcpy(tensor.dims, info->dims, (size_t)info->rank * sizeof *info->dims);
    return tensor;
}

// A moment of which each process has some rows, to be brought together in `room`.
typedef struct {
    const ftc_model_state *state;
    int32_t index;
    char *room;
} shared_moment;

static const void *bring_together(const void *data) {
    const shared_moment *m = data;
    const ftc_model_state *state = m->state;
    stretch s = stretch_of(state->program, m->index, ftc_world_slice(state->world));
    int64_t at = s.first * s.row_bytes;
    memcpy(m->room + at, (const char *)state->tensors[m->index] + at, (size_t)(s.n * s.row_bytes));
    ftc_world_share(state->world, m->room, state->program->tensors[m->index].dims[0], (size_t)s.row_bytes);
    return m->room;
}

// The moments that processes share, which are brought together in one room; to be freed with free_shared.
typedef struct {
    shared_moment *list; // [n] in the order of the program's tensors
    int32_t n;
    ftc_memory room;
} shared_moments;

static ftc_status list_shared(const ftc_model_state *state, shared_moments *out) {
    const ftc_program *program = state->program;
    shared_moments shared = {.list = ftc_alloc((size_t)program->n_tensors + 1, sizeof *shared.list)};
    int64_t most = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (!is_shared(program, i) || state->world->size == 1) continue;
        shared.list[shared.n++] = (shared_moment){state, i, NULL};
        if (ftc_tensor_bytes(info) > most) most = ftc_tensor_bytes(info);
    }
    ftc_status status = ftc_memory_map((size_t)most, "a moment of all processes", &shared.room);
    for (int32_t i = 0; i < shared.n; i++) shared.list[i].room = shared.room.data;
    *out = shared;
    return status;
}

static void free_shared(shared_moments *shared) {
    ftc_memory_unmap(&shared->room);
    free(shared->list);
}

ftc_status ftc_model_state_lend(const ftc_model_state *state) {
    shared_moments shared;
    ftc_status status = list_shared(state, &shared);
    for (int32_t i = 0; i < shared.n && status.code == FTC_OK; i++) bring_together(&shared.list[i]);
    free_shared(&shared);
    return status;
}

ftc_status ftc_model_state_save(const ftc_model_state *state, ftc_tensor_role role, const char *path) {
    const ftc_program *program = state->program;
    ftc_safetensor *tensors = ftc_alloc((size_t)program->n_tensors + 1, sizeof *tensors);
    shared_moments shared;
    ftc_status status = list_shared(state, &shared);
    int32_t n = 0, next = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (program->tensors[i].role != role) continue;
        tensors[n] = ftc_model_state_describe(state, i);
        if (next < shared.n && shared.list[next].index == i) {
            tensors[n].data = &shared.list[next++];
            tensors[n].bring = bring_together;
        }
        n++;
    }
    if (status.code == FTC_OK) status = ftc_safetensors_write(path, tensors, n);
    free_shared(&shared);
    free(tensors);
    return status;
}

ftc_status ftc_model_state_restore(ftc_model_state *state, ftc_tensor_role role, const char *path) {
    ftc_weights *file;
    FTC_RETURN_IF_ERROR(ftc_weights_open_file(path, &file));
    const ftc_program *program = state->program;
    ftc_status status = FTC_STATUS_OK;
    for (int32_t i = 0; status.code == FTC_OK && i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != role) continue;
        const ftc_safetensor *tensor = ftc_weights_find(file, info->name);
        if (tensor) {
            status = copy_tensor(file, state, i, tensor);
        } else {
            status = ftc_status_make(FTC_BAD_INPUT, "%s: lacks the tensor \"%s\"", path, info->name);
        }
    }
    ftc_weights_close(file);
    if (role == FTC_ROLE_PARAM) ftc_embeddings_replaced(state->tables);
    if (role == FTC_ROLE_MOMENT) ftc_embeddings_touch_by_moments(state->tables);
    return status;
}
