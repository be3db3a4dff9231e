#include "runtime/hub/pooling.h"

#include "runtime/files.h"
#include "runtime/json.h"

#include <stdlib.h>
#include <string.h>

const char *const ftc_pooling_files[] = {"modules.json", "1_Pooling", "sentence_bert_config.json", NULL};

// The words for the modes, and the flags of before there were such.
static const struct {
    const char *word, *flag;
} MODES[] = {{"mean", "pooling_mode_mean_tokens"},
             {"cls", "pooling_mode_cls_token"},
             {"max", "pooling_mode_max_tokens"},
             {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
             {"weightedmean", "pooling_mode_weightedmean_tokens"},
             {"lasttoken", "pooling_mode_lasttoken"}};
enum { N_MODES = sizeof MODES / sizeof *MODES };

// --- reading ------------------------------------------------------------------------------------------

// An object in a file that may be missing or broken: it is only told about.
static cJSON *read_if_there(const char *dir, const char *name) {
    char *path = ftc_path_join(dir, name), *text = NULL;
    size_t bytes;
    cJSON *json = NULL;
    ftc_status status = ftc_file_exists(path) ? ftc_file_read(path, &text, &bytes) : FTC_STATUS_OK;
    if (text) json = ftc_json_parse(text, bytes, NULL);
    ftc_status_free(&status);
    free(text);
    free(path);
    return json;
}

// The mode of a pooling's configuration: one alone.
static const char *mode_in(const cJSON *pooling) {
    const char *named = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pooling, "pooling_mode"));
    const char *found = NULL;
    for (int i = 0; i < N_MODES; i++) {
        bool is_set = named ? strcmp(named, MODES[i].word) == 0
                            : cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(pooling, MODES[i].flag));
        if (is_set && found) return "unknown";
        if (is_set) found = MODES[i].word;
    }
    return found ? found : "unknown";
}

const char *ftc_pooling_of(const char *dir) {
    cJSON *modules = read_if_there(dir, "modules.json"), *pooling = NULL;
    const cJSON *module;
    cJSON_ArrayForEach(module, modules) {
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(module, "type"));
        const char *folder = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(module, "path"));
        if (pooling || !type || !folder || !strstr(type, "Pooling")) continue;
        char *path = ftc_path_join(dir, folder);
        pooling = read_if_there(path, "config.json");
        free(path);
    }
    const char *mode = modules ? mode_in(pooling) : NULL;
    cJSON_Delete(modules);
    cJSON_Delete(pooling);
    return mode;
}

// --- writing ------------------------------------------------------------------------------------------

static ftc_status write(const char *dir, const char *name, cJSON *json) {
    char *path = ftc_path_join(dir, name);
    ftc_status status = ftc_json_write(path, json);
    free(path);
    cJSON_Delete(json);
    return status;
}

static void add_module(cJSON *modules, const char *name, const char *path, const char *type) {
    cJSON *module = cJSON_CreateObject();
    cJSON_AddNumberToObject(module, "idx", cJSON_GetArraySize(modules));
    cJSON_AddStringToObject(module, "name", name);
    cJSON_AddStringToObject(module, "path", path);
    cJSON_AddStringToObject(module, "type", type);
    cJSON_AddItemToArray(modules, module);
}

// The old names of classes and flags, which every release reads.
ftc_status ftc_pooling_write(const char *dir, const char *mode, int64_t width, int64_t max_length) {
    cJSON *modules = cJSON_CreateArray(), *pooling = cJSON_CreateObject();
    add_module(modules, "0", "", "sentence_transformers.models.Transformer");
    add_module(modules, "1", "1_Pooling", "sentence_transformers.models.Pooling");
    add_module(modules, "2", "2_Normalize", "sentence_transformers.models.Normalize");
    cJSON_AddNumberToObject(pooling, "word_embedding_dimension", (double)width);
    for (int i = 0; i < N_MODES; i++)
        cJSON_AddBoolToObject(pooling, MODES[i].flag, strcmp(mode, MODES[i].word) == 0);
    char *folder = ftc_path_join(dir, "1_Pooling");
    ftc_status status = ftc_dir_make(folder);
    if (status.code == FTC_OK)
        status = write(folder, "config.json", pooling);
    else
        cJSON_Delete(pooling);
    free(folder);
    if (status.code == FTC_OK)
        status = write(dir, "modules.json", modules);
    else
        cJSON_Delete(modules);
    if (status.code != FTC_OK || !max_length) return status;
    cJSON *limit = cJSON_CreateObject();
    cJSON_AddNumberToObject(limit, "max_seq_length", (double)max_length);
    cJSON_AddBoolToObject(limit, "do_lower_case", false);
    return write(dir, "sentence_bert_config.json", limit);
}
