#include "runtime/hub/adapter.h"

#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "runtime/files.h"
#include "runtime/hub/names.h"
#include "runtime/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char FTC_ADAPTER_PREFIX[] = "base_model.model.";

static const char CONFIG[] = "adapter_config.json";

bool ftc_adapter_is(const char *dir) {
    char *path = ftc_path_join(dir, CONFIG);
    bool is = ftc_file_exists(path);
    free(path);
    return is;
}

bool ftc_adapter_owns(const char *parameter) {
    return ftc_name_ends_with(parameter, ".lora_A.weight") || ftc_name_ends_with(parameter, ".lora_B.weight");
}

bool ftc_adapter_in(const ftc_program *program) {
    for (int32_t i = 0; i < program->n_tensors; i++)
        if (program->tensors[i].role == FTC_ROLE_PARAM && ftc_adapter_owns(program->tensors[i].name))
            return true;
    return false;
}

// --- reading ------------------------------------------------------------------------------------------

// Entries that make an adapter another one than a plain LoRA, unless they are null, false or empty.
static const char *const OTHERS[] = {"use_rslora",
                                     "use_dora",
                                     "use_qalora",
                                     "use_bdlora",
                                     "lora_bias",
                                     "fan_in_fan_out",
                                     "rank_pattern",
                                     "alpha_pattern",
                                     "exclude_modules",
                                     "layers_to_transform",
                                     "layer_replication",
                                     "loftq_config",
                                     "target_parameters",
                                     "trainable_token_indices",
                                     "alora_invocation_tokens"};

static bool says_nothing(const cJSON *item) {
    if (!item || cJSON_IsNull(item) || cJSON_IsFalse(item)) return true;
    if (cJSON_IsString(item)) return !*item->valuestring;
    return (cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child;
}

static const cJSON *entry(const cJSON *json, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static const char *text_of(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(entry(json, name));
    return text ? text : "";
}

// Ways to begin that change the base's weights, whose values the directory then does not hold.
static bool changes_base(const char *init) {
    return !strncmp(init, "pissa", 5) || !strcmp(init, "olora") || !strcmp(init, "corda") ||
           !strcmp(init, "loftq");
}

// PEFT's words for what a model does, and how its class is named and which task of a family that is.
static const struct {
    const char *type, *ending, *task;
} TASKS[] = {{"SEQ_CLS", "ForSequenceClassification", NULL},
             {"TOKEN_CLS", "ForTokenClassification", "tokens"},
             {"FEATURE_EXTRACTION", "Model", "pairs"}};
enum { N_TASKS = sizeof TASKS / sizeof *TASKS };

static ftc_status read_task(const cJSON *json, const char *path, const char **task) {
    const char *type = text_of(json, "task_type");
    int i = 0;
    while (i < N_TASKS && strcmp(TASKS[i].type, type) != 0) i++;
    if (*type && i == N_TASKS)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: task_type is \"%s\"; there are SEQ_CLS, TOKEN_CLS and FEATURE_EXTRACTION",
                               path, type);
    *task = *type ? TASKS[i].task : NULL;
    return FTC_STATUS_OK;
}

static ftc_status check_kind(const cJSON *json, const char *path) {
    const char *bias = text_of(json, "bias"), *init = text_of(json, "init_lora_weights");
    if (strcmp(text_of(json, "peft_type"), "LORA") != 0)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: peft_type is \"%s\"; of PEFT's adapters there is LORA alone here", path,
                               text_of(json, "peft_type"));
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (!says_nothing(entry(json, OTHERS[i])))
            return ftc_status_make(FTC_BAD_INPUT, "%s: %s is set, which is not supported", path, OTHERS[i]);
    if (*bias && strcmp(bias, "none") != 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: bias is \"%s\"; there is none alone", path, bias);
    if (changes_base(init))
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: init_lora_weights is \"%s\", which changes the base's weights; that is not supported", path,
            init);
    return FTC_STATUS_OK;
}

// "query, value"; NULL where it is no list of names.
static char *join_modules(const cJSON *list) {
    const cJSON *item;
    if (cJSON_IsString(list)) // else a regular expression
        return strcmp(list->valuestring, "all-linear") == 0 ? ftc_strdup(list->valuestring) : NULL;
    cJSON_ArrayForEach(item, list)
        if (!cJSON_IsString(item)) return NULL;
    char *joined = ftc_json_join(list, ", ");
    if (joined && *joined) return joined;
    free(joined);
    return NULL;
}

// A directory: as it is written, else within that of the adapter.
static char *find_base(const char *dir, const char *base) {
    char *within = ftc_path_join(dir, base);
    const char *const candidates[] = {base, within};
    char *found = NULL;
    for (int i = 0; i < 2 && !found && *base; i++) {
        char *config = ftc_path_join(candidates[i], "config.json");
        if (ftc_file_exists(config)) found = ftc_strdup(candidates[i]);
        free(config);
    }
    free(within);
    return found;
}

static double number_of(const cJSON *json, const char *name, double otherwise) {
    const cJSON *item = entry(json, name);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

static ftc_status read_entries(const cJSON *json, const char *dir, const char *path, ftc_adapter *out) {
    FTC_RETURN_IF_ERROR(check_kind(json, path));
    FTC_RETURN_IF_ERROR(read_task(json, path, &out->task));
    const char *base = text_of(json, "base_model_name_or_path");
    out->rank = number_of(json, "r", 8);
    out->alpha = number_of(json, "lora_alpha", 8);
    out->dropout = number_of(json, "lora_dropout", 0);
    out->modules = join_modules(entry(json, "target_modules"));
    if (!out->modules)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: target_modules is no list of names, which is not supported", path);
    out->base = find_base(dir, base);
    if (out->base) return FTC_STATUS_OK;
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: the base model (base_model_name_or_path) is \"%s\", which is no directory with a "
        "config.json here; write there where it lies now",
        path, base);
}

ftc_status ftc_adapter_read(const char *dir, ftc_adapter *out) {
    char *path = ftc_path_join(dir, CONFIG);
    cJSON *json = NULL;
    ftc_adapter adapter = {0};
    ftc_status status = ftc_json_read(path, &json);
    if (status.code == FTC_OK) status = read_entries(json, dir, path, &adapter);
    cJSON_Delete(json);
    free(path);
    if (status.code == FTC_OK)
        *out = adapter;
    else
        ftc_adapter_free(&adapter);
    return status;
}

void ftc_adapter_free(ftc_adapter *adapter) {
    free(adapter->base);
    free(adapter->modules);
    *adapter = (ftc_adapter){0};
}

ftc_status ftc_adapter_base(const char *dir, char **base) {
    ftc_adapter adapter = {0};
    if (ftc_adapter_is(dir)) FTC_RETURN_IF_ERROR(ftc_adapter_read(dir, &adapter));
    *base = ftc_strdup(adapter.base ? adapter.base : dir);
    ftc_adapter_free(&adapter);
    return FTC_STATUS_OK;
}

// --- writing ------------------------------------------------------------------------------------------

// The parts of the head of which something trains.
static cJSON *trained_parts(const ftc_program *program) {
    const char *list = ftc_family_text(program, "head"), *item;
    cJSON *names = cJSON_CreateArray();
    for (size_t n; ftc_name_next(&list, ", ", &item, &n);) {
        bool trains = false;
        for (int32_t i = 0; i < program->n_tensors; i++)
            trains |= program->tensors[i].trainable && !strncmp(program->tensors[i].name, item, n);
        char *name = ftc_strndup(item, n - (item[n - 1] == '.'));
        if (trains) cJSON_AddItemToArray(names, cJSON_CreateString(name));
        free(name);
    }
    if (names->child) return names;
    cJSON_Delete(names);
    return cJSON_CreateNull();
}

// "a, b" as ["a", "b"].
static cJSON *split(const char *list) {
    cJSON *names = cJSON_CreateArray();
    const char *item;
    for (size_t n; ftc_name_next(&list, ", ", &item, &n);) {
        char *name = ftc_strndup(item, n);
        cJSON_AddItemToArray(names, cJSON_CreateString(name));
        free(name);
    }
    return names;
}

static const ftc_setting *setting(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_train; i++)
        if (strcmp(program->train[i].name, name) == 0) return &program->train[i];
    return NULL;
}

static double number(const ftc_program *program, const char *name, double otherwise) {
    const ftc_setting *s = setting(program, name);
    return s && !s->text ? s->number : otherwise;
}

// PEFT's word for what the family's class does; NULL: it has none.
static const char *task_of(const char *architecture) {
    for (int i = 0; i < N_TASKS; i++)
        if (ftc_name_ends_with(architecture, TASKS[i].ending)) return TASKS[i].type;
    return NULL;
}

double ftc_adapter_scale(const ftc_program *program) {
    return number(program, "lora_alpha", 8) / number(program, "lora_rank", 8);
}

ftc_status ftc_adapter_write(const ftc_program *program, const char *base, const char *path) {
    const ftc_setting *modules = setting(program, "lora");
    const char *names = modules && modules->text ? modules->text : "";
    const char *task = task_of(ftc_family_text(program, "architecture"));
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "peft_type", "LORA");
    cJSON_AddItemToObject(json, "task_type", task ? cJSON_CreateString(task) : cJSON_CreateNull());
    cJSON_AddStringToObject(json, "base_model_name_or_path", base);
    cJSON_AddNumberToObject(json, "r", number(program, "lora_rank", 8));
    cJSON_AddNumberToObject(json, "lora_alpha", number(program, "lora_alpha", 8));
    cJSON_AddNumberToObject(json, "lora_dropout", number(program, "lora_dropout", 0));
    cJSON_AddItemToObject(json, "target_modules",
                          strcmp(names, "all-linear") == 0 ? cJSON_CreateString(names) : split(names));
    cJSON_AddItemToObject(json, "modules_to_save", trained_parts(program));
    cJSON_AddStringToObject(json, "bias", "none");
    cJSON_AddBoolToObject(json, "inference_mode", true);
    cJSON_AddBoolToObject(json, "init_lora_weights", true);
    ftc_status status = ftc_json_write(path, json);
    cJSON_Delete(json);
    return status;
}
