#include "runtime/hub/weights.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"
#include "runtime/hub/adapter.h"
#include "runtime/hub/torch_file.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// One of the files.
typedef struct {
    ftc_safetensors *safetensors; // or
    ftc_torch_file *torch;
} part;

struct ftc_weights {
    char *path;
    part *parts; // [n_parts]
    int32_t n_parts;
    ftc_safetensor *tensors; // [n] of all parts; what they point to is the parts'
    int32_t n;
    int32_t *by_name; // [n] their numbers in the order of their names, once all are there
    bool has_adapter;
};

static int32_t part_count(const part *p) {
    return p->safetensors ? ftc_safetensors_count(p->safetensors) : ftc_torch_file_count(p->torch);
}

static const ftc_safetensor *part_at(const part *p, int32_t index) {
    return p->safetensors ? ftc_safetensors_at(p->safetensors, index) : ftc_torch_file_at(p->torch, index);
}

// Adds a file and its tensors.
static ftc_status add_part(ftc_weights *w, const char *path, bool is_torch) {
    part p = {0};
    FTC_RETURN_IF_ERROR(is_torch ? ftc_torch_file_open(path, &p.torch)
                                 : ftc_safetensors_open(path, &p.safetensors));
    int32_t n = part_count(&p);
    w->parts = ftc_realloc(w->parts, (size_t)w->n_parts + 1, sizeof *w->parts);
    w->tensors = ftc_realloc(w->tensors, (size_t)(w->n + n) + 1, sizeof *w->tensors);
    w->parts[w->n_parts++] = p;
    for (int32_t i = 0; i < n; i++) w->tensors[w->n++] = *part_at(&p, i);
    return FTC_STATUS_OK;
}

// --- names --------------------------------------------------------------------------------------------

// Of one name, the first goes first.
static int compare_names(const void *a, const void *b, void *tensors) {
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    const ftc_safetensor *list = tensors;
    int order = strcmp(list[i].name, list[k].name);
    return order ? order : (i > k) - (i < k);
}

static void sort_names(ftc_weights *w) {
    free(w->by_name);
    w->by_name = ftc_alloc((size_t)w->n + 1, sizeof *w->by_name);
    for (int32_t i = 0; i < w->n; i++) w->by_name[i] = i;
    qsort_r(w->by_name, (size_t)w->n, sizeof *w->by_name, compare_names, w->tensors);
}

// The number of the first of the `n` sorted tensors that has the name; -1: none has.
static int32_t find_name(const ftc_weights *w, int32_t n, const char *name) {
    int32_t low = 0, high = n;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (strcmp(w->tensors[w->by_name[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < n && strcmp(w->tensors[w->by_name[low]].name, name) == 0;
    return found ? w->by_name[low] : -1;
}

// --- shards -------------------------------------------------------------------------------------------

static ftc_status check_unique(const ftc_weights *w) {
    for (int32_t i = 1; i < w->n; i++) {
        const char *name = w->tensors[w->by_name[i]].name;
        if (strcmp(w->tensors[w->by_name[i - 1]].name, name) == 0)
            return ftc_status_make(FTC_BAD_INPUT, "%s: two of its files have the tensor \"%s\"", w->path,
                                   name);
    }
    return FTC_STATUS_OK;
}

// Opens the file of the index's entry unless it is one of the `opened`, which are as many as there are parts.
static ftc_status add_shard(ftc_weights *w, const char *dir, const cJSON *entry, bool is_torch,
                            const char **opened) {
    const char *name = cJSON_GetStringValue(entry);
    if (!name || !*name || strchr(name, '/'))
        return ftc_status_make(FTC_BAD_INPUT, "%s: \"%s\" lies in no file of this folder", w->path,
                               entry->string);
    for (int32_t i = w->n_parts; i > 0; i--)
        if (strcmp(opened[i - 1], name) == 0) return FTC_STATUS_OK;
    opened[w->n_parts] = name;
    char *path = ftc_path_join(dir, name);
    ftc_status status = add_part(w, path, is_torch);
    free(path);
    return status;
}

// Every tensor that the index names must be there; what else the files have is theirs.
static ftc_status check_complete(const ftc_weights *w, const cJSON *map) {
    const cJSON *entry;
    cJSON_ArrayForEach(entry, map) {
        if (!ftc_weights_find(w, entry->string))
            return ftc_status_make(FTC_BAD_INPUT, "%s: \"%s\" is not in %s", w->path, entry->string,
                                   cJSON_GetStringValue(entry));
    }
    return check_unique(w);
}

static ftc_status open_shards(ftc_weights *w, const char *dir, bool is_torch) {
    cJSON *index = NULL;
    FTC_RETURN_IF_ERROR(ftc_json_read(w->path, &index));
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map"), *entry;
    ftc_status status = FTC_STATUS_OK;
    if (!cJSON_IsObject(map) || !map->child)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: \"weight_map\" names no files", w->path);
    const char **opened = ftc_alloc((size_t)cJSON_GetArraySize(map) + 1, sizeof *opened);
    cJSON_ArrayForEach(entry, map) {
        if (status.code == FTC_OK) status = add_shard(w, dir, entry, is_torch, opened);
    }
    free(opened);
    if (status.code == FTC_OK) {
        sort_names(w);
        status = check_complete(w, map);
    }
    cJSON_Delete(index);
    return status;
}

// --- open, close --------------------------------------------------------------------------------------

static ftc_weights *new_weights(const char *path) {
    ftc_weights *w = ftc_alloc(1, sizeof *w);
    w->path = ftc_strdup(path);
    return w;
}

static ftc_status finish(ftc_weights *w, ftc_status status, ftc_weights **out) {
    if (status.code == FTC_OK) {
        sort_names(w);
        *out = w;
    } else {
        ftc_weights_close(w);
    }
    return status;
}

// The tensors of a model's own files.
static ftc_status open_model(const char *dir, ftc_weights **out) {
    static const struct {
        const char *name;
        bool is_torch, is_index;
    } FILES[] = {{"model.safetensors", false, false},
                 {"model.safetensors.index.json", false, true},
                 {"pytorch_model.bin", true, false},
                 {"pytorch_model.bin.index.json", true, true}};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char *path = ftc_path_join(dir, FILES[i].name);
        bool exists = ftc_file_exists(path);
        ftc_weights *w = exists ? new_weights(path) : NULL;
        free(path);
        if (!exists) continue;
        ftc_status status = FILES[i].is_index ? open_shards(w, dir, FILES[i].is_torch)
                                              : add_part(w, w->path, FILES[i].is_torch);
        return finish(w, status, out);
    }
    return ftc_status_make(
        FTC_BAD_INPUT, "%s: has neither model.safetensors nor pytorch_model.bin, whole or in shards", dir);
}

// Puts the tensors of an adapter's file, by their names in the base model, over those that are there.
static ftc_status add_adapter(ftc_weights *w, const char *path, bool is_torch) {
    const size_t prefix = strlen(FTC_ADAPTER_PREFIX);
    int32_t n_base = w->n, n = 0;
    FTC_RETURN_IF_ERROR(add_part(w, path, is_torch));
    bool *replaced = ftc_alloc((size_t)n_base + 1, sizeof *replaced);
    ftc_status status = FTC_STATUS_OK;
    free(w->path);
    w->path = ftc_strdup(path);
    for (int32_t i = n_base; i < w->n && status.code == FTC_OK; i++) {
        ftc_safetensor *tensor = &w->tensors[i];
        if (strncmp(tensor->name, FTC_ADAPTER_PREFIX, prefix) != 0) {
            status = ftc_status_make(FTC_BAD_INPUT, "%s: \"%s\" is no name of PEFT's, which begin with %s",
                                     path, tensor->name, FTC_ADAPTER_PREFIX);
            break;
        }
        tensor->name += prefix;
        w->has_adapter |= ftc_adapter_owns(tensor->name);
        int32_t base = find_name(w, n_base, tensor->name);
        if (base >= 0) replaced[base] = true;
    }
    for (int32_t i = 0; i < w->n; i++)
        if (i >= n_base || !replaced[i]) w->tensors[n++] = w->tensors[i];
    w->n = n;
    free(replaced);
    return status;
}

static ftc_status open_adapter(const char *dir, ftc_weights **out) {
    ftc_adapter adapter;
    ftc_weights *w;
    FTC_RETURN_IF_ERROR(ftc_adapter_read(dir, &adapter));
    ftc_status status = open_model(adapter.base, &w);
    ftc_adapter_free(&adapter);
    FTC_RETURN_IF_ERROR(status);
    char *path = ftc_path_join(dir, "adapter_model.safetensors"),
         *torch = ftc_path_join(dir, "adapter_model.bin");
    bool is_torch = !ftc_file_exists(path) && ftc_file_exists(torch);
    status = add_adapter(w, is_torch ? torch : path, is_torch);
    free(path);
    free(torch);
    return finish(w, status, out);
}

ftc_status ftc_weights_open(const char *dir, ftc_weights **out) {
    return ftc_adapter_is(dir) ? open_adapter(dir, out) : open_model(dir, out);
}

bool ftc_weights_have_adapter(const ftc_weights *w) {
    return w->has_adapter;
}

ftc_status ftc_weights_open_file(const char *path, ftc_weights **out) {
    ftc_weights *w = new_weights(path);
    return finish(w, add_part(w, path, false), out);
}

void ftc_weights_close(ftc_weights *w) {
    if (!w) return;
    for (int32_t i = 0; i < w->n_parts; i++) {
        ftc_safetensors_close(w->parts[i].safetensors);
        ftc_torch_file_close(w->parts[i].torch);
    }
    free(w->parts);
    free(w->tensors);
    free(w->by_name);
    free(w->path);
    free(w);
}

int32_t ftc_weights_count(const ftc_weights *w) {
    return w->n;
}

const ftc_safetensor *ftc_weights_at(const ftc_weights *w, int32_t index) {
    return &w->tensors[index];
}

const ftc_safetensor *ftc_weights_find(const ftc_weights *w, const char *name) {
    int32_t i = find_name(w, w->n, name);
    return i < 0 ? NULL : &w->tensors[i];
}

const char *ftc_weights_path(const ftc_weights *w) {
    return w->path;
}
