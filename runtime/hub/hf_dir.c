#include "runtime/hub/hf_dir.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"
#include "runtime/hub/adapter.h"
#include "runtime/hub/names.h"
#include "runtime/hub/weights.h"
#include "runtime/json.h"
#include "runtime/text/tokenizer_class.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Our own entry of config.json; transformers keeps it.
static const char OF_PAIRS[] = "ftc_pairs";

struct ftc_hf_config {
    cJSON *json;
    const char **labels; // [n_labels] id2label's names by id, NULL where it has none
    int32_t n_labels;
    bool is_base; // of the base model of an adapter that has none of its own
};

static const cJSON *entry(const ftc_hf_config *config, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(config->json, name);
}

// --- reading ------------------------------------------------------------------------------------------

static ftc_status check_is_encoder(const ftc_hf_config *config, const char *path) {
    if (cJSON_IsTrue(entry(config, "is_decoder")) || cJSON_IsTrue(entry(config, "add_cross_attention"))) {
        return ftc_status_make(FTC_BAD_INPUT, "%s: the model is a decoder; ftc trains encoders", path);
    }
    return FTC_STATUS_OK;
}

// Keys of id2label are numbers as text.
static void list_labels(ftc_hf_config *config) {
    const cJSON *names = entry(config, "id2label"), *name;
    if (!cJSON_IsObject(names)) return;
    config->n_labels = cJSON_GetArraySize(names);
    config->labels = ftc_alloc((size_t)config->n_labels + 1, sizeof *config->labels);
    cJSON_ArrayForEach(name, names) {
        char *end;
        long id = strtol(name->string, &end, 10);
        if (end != name->string && !*end && id >= 0 && id < config->n_labels)
            config->labels[id] = cJSON_GetStringValue(name);
    }
}

// The config.json of a directory; of an adapter without one, that of its base model (*is_base). Allocated.
static ftc_status config_path(const char *dir, char **path, bool *is_base) {
    char *own = ftc_path_join(dir, "config.json"), *base;
    *is_base = !ftc_file_exists(own) && ftc_adapter_is(dir);
    if (!*is_base) {
        *path = own;
        return FTC_STATUS_OK;
    }
    free(own);
    FTC_RETURN_IF_ERROR(ftc_adapter_base(dir, &base));
    *path = ftc_path_join(base, "config.json");
    free(base);
    return FTC_STATUS_OK;
}

// Why a config.json could not be read, where `dir` tells more than the attempt.
static ftc_status tell_unread(const char *dir, const char *path, ftc_status status) {
    char *transformer = ftc_path_join(dir, "0_Transformer/config.json");
    bool is_above = !ftc_file_exists(path) && ftc_file_exists(transformer);
    free(transformer);
    struct stat info;
    bool is_file = stat(dir, &info) == 0 && !S_ISDIR(info.st_mode);
    if (!is_above && !is_file) return status;
    ftc_status_free(&status);
    if (is_file)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s is a file; name the directory of a model, as ftc run and Hugging Face's "
                               "libraries save it",
                               dir);
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s is a folder of sentence-transformers, whose encoder lies in its folder "
                           "0_Transformer; name that",
                           dir);
}

ftc_status ftc_hf_config_read(const char *dir, ftc_hf_config **out) {
    char *path;
    bool is_base;
    FTC_RETURN_IF_ERROR(config_path(dir, &path, &is_base));
    ftc_hf_config *config = ftc_alloc(1, sizeof *config);
    config->is_base = is_base;
    ftc_status status = ftc_json_read(path, &config->json);
    if (status.code != FTC_OK) status = tell_unread(dir, path, status);
    if (status.code == FTC_OK) status = check_is_encoder(config, path);
    free(path);
    if (status.code != FTC_OK) {
        ftc_hf_config_free(config);
        return status;
    }
    list_labels(config);
    *out = config;
    return FTC_STATUS_OK;
}

void ftc_hf_config_free(ftc_hf_config *config) {
    if (!config) return;
    cJSON_Delete(config->json);
    free(config->labels);
    free(config);
}

bool ftc_hf_config_number(const ftc_hf_config *config, const char *name, double *out) {
    const cJSON *item = entry(config, name);
    if (!cJSON_IsNumber(item)) return false;
    *out = item->valuedouble;
    return true;
}

bool ftc_hf_config_text(const ftc_hf_config *config, const char *name, const char **out) {
    const char *text = cJSON_GetStringValue(entry(config, name));
    if (!text) return false;
    *out = text;
    return true;
}

bool ftc_hf_config_is_of_pairs(const ftc_hf_config *config) {
    return ftc_json_is_true(config->json, OF_PAIRS, false);
}

bool ftc_hf_config_has_class(const ftc_hf_config *config, const char *name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, entry(config, "architectures")) {
        const char *text = cJSON_GetStringValue(item);
        if (text && strcmp(text, name) == 0) return true;
    }
    return false;
}

bool ftc_hf_config_next(const ftc_hf_config *config, const struct cJSON **at, const char **name,
                        char **value) {
    const cJSON *item = *at = *at ? (*at)->next : config->json->child;
    if (!item) return false;
    *name = item->string;
    *value = ftc_json_text(item);
    return true;
}

static void tell_entries(const cJSON *object, const char *prefix,
                         void (*tell)(void *context, const char *name, const char *value), void *context) {
    enum { LONGEST = 256 }; // a name that a model asks for; longer ones would add up
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        if (strlen(prefix) + strlen(item->string) > LONGEST) continue;
        char *name = ftc_format("%s%s%s", prefix, *prefix ? "." : "", item->string);
        char *value = cJSON_IsArray(item) ? ftc_json_join(item, "|") : ftc_json_text(item);
        if (cJSON_IsObject(item))
            tell_entries(item, name, tell, context);
        else
            tell(context, name, value);
        free(value);
        free(name);
    }
}

void ftc_hf_config_each(const ftc_hf_config *config,
                        void (*tell)(void *context, const char *name, const char *value), void *context) {
    tell_entries(config->json, "", tell, context);
}

int32_t ftc_hf_config_label_count(const ftc_hf_config *config) {
    int64_t n = 0;
    if (config->labels) return config->n_labels;
    return ftc_json_count(entry(config, FTC_HF_LABELS), &n) && n <= INT32_MAX ? (int32_t)n : 0;
}

const char *ftc_hf_config_label(const ftc_hf_config *config, int32_t id) {
    return id >= 0 && id < config->n_labels ? config->labels[id] : NULL;
}

int32_t ftc_hf_label_count(const char *dir, const ftc_hf_config *config) {
    static const char *const HEADS[] = {"classifier.weight", "classifier.out_proj.weight"};
    int32_t stated = ftc_hf_config_label_count(config), rows = 0;
    ftc_weights *weights;
    if (stated && !config->is_base) return stated;
    ftc_status status = ftc_weights_open(dir, &weights);
    if (status.code != FTC_OK) {
        ftc_status_free(&status); // who loads the weights tells
        return stated;
    }
    for (size_t i = 0; i < sizeof HEADS / sizeof *HEADS && !rows; i++) {
        const ftc_safetensor *head = ftc_weights_find(weights, HEADS[i]);
        if (head && head->rank == 2 && head->dims[0] <= INT32_MAX) rows = (int32_t)head->dims[0];
    }
    ftc_weights_close(weights);
    return rows ? rows : stated;
}

// --- writing ------------------------------------------------------------------------------------------

// Sets `name`, replacing what was there.
static void set(cJSON *json, const char *name, cJSON *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(json, name);
    cJSON_AddItemToObject(json, name, value);
}

// Numbers with a point or an exponent are carried over as they are written: transformers refuses 2 where it
// wants 2.0. While the file is changed they are strings that begin so.
static const char FLOAT_MARK[] = "\x01#", FLOAT_MARK_ESCAPED[] = "\\u0001#";

static bool is_float(const cJSON *item) {
    return cJSON_IsString(item) && strncmp(item->valuestring, FLOAT_MARK, strlen(FLOAT_MARK)) == 0;
}

static cJSON *make_float(double number) {
    char text[40];
    snprintf(text, sizeof text, "%.17g", number);
    char *marked = ftc_format("%s%s%s", FLOAT_MARK, text, strpbrk(text, ".en") ? "" : ".0");
    cJSON *item = cJSON_CreateString(marked);
    free(marked);
    return item;
}

// JSON with such numbers as marked strings. Allocated.
static char *mark_floats(const char *text, size_t *size) {
    ftc_text result;
    FILE *f = ftc_text_open(&result);
    for (const char *at = text, *end; *at; at = end) {
        end = at + 1;
        bool is_number = *at == '-' || (*at >= '0' && *at <= '9');
        if (*at == '"') {
            while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
            end += *end == '"';
        } else if (is_number) {
            end = at + strspn(at, "0123456789+-.eE");
        }
        bool floats = is_number && strspn(at, "0123456789+-") < (size_t)(end - at);
        fprintf(f, floats ? "\"%s%.*s\"" : "%s%.*s", floats ? FLOAT_MARK_ESCAPED : "", (int)(end - at), at);
    }
    return ftc_text_close(&result, size);
}

static void unmark_floats(cJSON *item) {
    cJSON *child;
    if (is_float(item)) {
        size_t mark = strlen(FLOAT_MARK);
        memmove(item->valuestring, item->valuestring + mark, strlen(item->valuestring) - mark + 1);
        item->type = cJSON_Raw;
    }
    cJSON_ArrayForEach(child, item) unmark_floats(child);
}

static ftc_status read_marked(const char *path, cJSON **out) {
    char *text, *marked;
    size_t bytes;
    FTC_RETURN_IF_ERROR(ftc_file_read(path, &text, &bytes));
    marked = mark_floats(text, &bytes);
    ftc_status status = ftc_json_parse_file(path, marked, bytes, out);
    free(marked);
    free(text);
    return status;
}

// The config.json that is carried over: without what the saved model no longer is.
static ftc_status read_base(const char *dir, cJSON **out) {
    static const char *const DROPPED[] = {"_name_or_path", "transformers_version", "torch_dtype",
                                          FTC_HF_LABELS};
    char *path;
    bool is_base;
    FTC_RETURN_IF_ERROR(config_path(dir, &path, &is_base));
    ftc_status status = ftc_file_exists(path) ? read_marked(path, out) : FTC_STATUS_OK;
    free(path);
    if (*out) {
        for (size_t i = 0; i < sizeof DROPPED / sizeof *DROPPED; i++) {
            cJSON_DeleteItemFromObjectCaseSensitive(*out, DROPPED[i]);
        }
    }
    return status;
}

// A model without classes says nothing of them: whoever reads it has as many as transformers' default.
static void set_labels(cJSON *json, const ftc_hf_config_extra *extra) {
    static const char *const NAMES[] = {"id2label", "label2id", "problem_type", OF_PAIRS};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(json, NAMES[i]);
    if (extra->problem_type) set(json, "problem_type", cJSON_CreateString(extra->problem_type));
    if (extra->of_pairs) set(json, OF_PAIRS, cJSON_CreateTrue());
    if (extra->n_labels == 0) return;
    cJSON *id2label = cJSON_CreateObject(), *label2id = cJSON_CreateObject();
    for (int32_t i = 0; i < extra->n_labels; i++) {
        char key[16], generic[24];
        snprintf(key, sizeof key, "%d", i);
        snprintf(generic, sizeof generic, "LABEL_%d", i);
        const char *name = extra->labels && extra->labels[i] ? extra->labels[i] : generic;
        cJSON_AddStringToObject(id2label, key, name);
        cJSON_AddNumberToObject(label2id, name, i);
    }
    set(json, "id2label", id2label);
    set(json, "label2id", label2id);
}

// "a|b" as ["a", "b"].
static cJSON *split_list(const char *text) {
    cJSON *list = cJSON_CreateArray();
    for (size_t n; *text; text += n + (text[n] == '|')) {
        n = strcspn(text, "|");
        char *item = ftc_strndup(text, n);
        cJSON_AddItemToArray(list, cJSON_CreateString(item));
        free(item);
    }
    return list;
}

// `old`: what config.json had there; NULL: nothing.
static cJSON *value_of(const ftc_setting *setting, const cJSON *old) {
    const char *text = setting->text;
    if (!text) return is_float(old) ? make_float(setting->number) : cJSON_CreateNumber(setting->number);
    bool is_bool = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    return is_bool ? cJSON_CreateBool(*text == 't') : cJSON_CreateString(text);
}

static void set_entry(cJSON *json, const ftc_setting *setting) {
    char *name = ftc_strdup(setting->hf_name), *part = name, *brackets = strstr(name, "[]");
    if (brackets) *brackets = '\0';
    for (char *dot; json && (dot = strchr(part, '.')); part = dot + 1) {
        *dot = '\0';
        json = cJSON_GetObjectItemCaseSensitive(json, part);
    }
    const cJSON *old = cJSON_GetObjectItemCaseSensitive(json, part);
    bool same = is_float(old) && !setting->text &&
                strtod(old->valuestring + strlen(FLOAT_MARK), NULL) == setting->number;
    if (cJSON_IsObject(json) && !same && (!brackets || (setting->text && *setting->text)))
        set(json, part, brackets ? split_list(setting->text) : value_of(setting, old));
    free(name);
}

ftc_status ftc_hf_config_make(const ftc_program *program, const ftc_hf_config_extra *extra, cJSON **out) {
    cJSON *json = NULL;
    if (extra->base_dir) FTC_RETURN_IF_ERROR(read_base(extra->base_dir, &json));
    if (!json) json = cJSON_CreateObject();
    const char *type = ftc_family_text(program, "model_type");
    const char *architecture = ftc_family_text(program, "architecture");
    if (*type) set(json, "model_type", cJSON_CreateString(type));
    if (*architecture) set(json, "architectures", cJSON_CreateStringArray(&architecture, 1));
    set(json, "dtype", cJSON_CreateString("float32"));
    for (int32_t i = 0; i < program->n_config; i++) {
        const ftc_setting *setting = &program->config[i];
        if (!setting->hf_name || strcmp(setting->hf_name, FTC_HF_LABELS) == 0) continue; // id2label says it
        set_entry(json, setting);
    }
    set_labels(json, extra);
    unmark_floats(json);
    *out = json;
    return FTC_STATUS_OK;
}

ftc_status ftc_hf_config_write(const ftc_program *program, const ftc_hf_config_extra *extra,
                               const char *path) {
    cJSON *json;
    FTC_RETURN_IF_ERROR(ftc_hf_config_make(program, extra, &json));
    ftc_status status = ftc_json_write(path, json);
    cJSON_Delete(json);
    return status;
}

// The files of a tokenizer: vocabularies, then what says more about them.
static const char *const TOKENIZER_FILES[] = {"vocab.txt",
                                              "vocab.json",
                                              "spiece.model",
                                              "spm.model",
                                              "sentencepiece.bpe.model",
                                              "tokenizer.json",
                                              "merges.txt",
                                              "tokenizer_config.json",
                                              "special_tokens_map.json",
                                              "added_tokens.json"};
enum { N_TOKENIZER_FILES = sizeof TOKENIZER_FILES / sizeof *TOKENIZER_FILES, N_VOCABULARIES = 6 };

bool ftc_hf_has_tokenizer(const char *dir) {
    bool has = false;
    for (int i = 0; i < N_VOCABULARIES && !has; i++) {
        char *path = ftc_path_join(dir, TOKENIZER_FILES[i]);
        has = ftc_file_exists(path);
        free(path);
    }
    return has;
}

ftc_status ftc_hf_tokenizer_dir(const char *dir, char **out) {
    if (ftc_adapter_is(dir) && !ftc_hf_has_tokenizer(dir)) return ftc_adapter_base(dir, out);
    *out = ftc_strdup(dir);
    return FTC_STATUS_OK;
}

static ftc_status copy_tokenizer(const char *from, const char *to) {
    size_t copied = 0;
    for (int i = 0; i < N_TOKENIZER_FILES; i++) {
        char *source = ftc_path_join(from, TOKENIZER_FILES[i]),
             *target = ftc_path_join(to, TOKENIZER_FILES[i]);
        bool exists = ftc_file_exists(source);
        ftc_status status = exists ? ftc_file_copy(source, target) : FTC_STATUS_OK;
        copied += exists;
        free(source);
        free(target);
        if (status.code != FTC_OK) return status;
    }
    if (copied) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s: has none of the files of a tokenizer (vocab.txt, tokenizer.json, …)", from);
}

// tokenizer_config.json of `dir`, without entries where there is none, and its path.
static ftc_status read_tokenizer_config(const char *dir, cJSON **json, char **path) {
    *path = ftc_path_join(dir, "tokenizer_config.json");
    *json = NULL;
    ftc_status status = ftc_file_exists(*path) ? ftc_json_read(*path, json) : FTC_STATUS_OK;
    if (!*json) *json = cJSON_CreateObject();
    return status;
}

// The class by which transformers 5 reads the tokenizer in `dir`; *out is NULL where that is not known.
static ftc_status find_class(const char *dir, const cJSON *config, const ftc_tokenizer_class **out) {
    char *path = ftc_path_join(dir, "config.json");
    cJSON *model = NULL;
    ftc_status status = ftc_file_exists(path) ? ftc_json_read(path, &model) : FTC_STATUS_OK;
    free(path);
    *out = NULL;
    if (status.code != FTC_OK) return status;
    status = ftc_tokenizer_class_find(config, model, out);
    cJSON_Delete(model);
    ftc_status_free(&status);
    return FTC_STATUS_OK;
}

// tokenizer.json, with its configuration, in `to`; `class` (or NULL) makes it what it is to be.
static ftc_status settle_tokenizer(const char *to, const char *path, const ftc_tokenizer_class *class) {
    cJSON *json, *config;
    char *config_path;
    FTC_RETURN_IF_ERROR(ftc_json_read(path, &json));
    ftc_status status = read_tokenizer_config(to, &config, &config_path);
    if (status.code == FTC_OK && class && ftc_tokenizer_class_apply(class, config, json))
        status = ftc_json_write(path, json);
    if (status.code == FTC_OK) status = find_class(to, config, &class);
    if (status.code == FTC_OK && class && ftc_tokenizer_class_differs(class, config, json)) {
        ftc_tokenizer_class_pin(class, config);
        status = ftc_json_write(config_path, config);
    }
    cJSON_Delete(json);
    cJSON_Delete(config);
    free(config_path);
    return status;
}

static ftc_status copy_settled(const char *from, bool by_class, const char *to) {
    const ftc_tokenizer_class *class = NULL;
    cJSON *config;
    char *path;
    FTC_RETURN_IF_ERROR(copy_tokenizer(from, to));
    ftc_status status = read_tokenizer_config(from, &config, &path);
    free(path);
    if (status.code == FTC_OK && by_class) status = find_class(from, config, &class);
    cJSON_Delete(config);
    if (status.code != FTC_OK) return status;
    path = ftc_path_join(to, "tokenizer.json");
    if (ftc_file_exists(path)) status = settle_tokenizer(to, path, class);
    free(path);
    return status;
}

ftc_status ftc_hf_tokenizer_copy(const char *from, bool by_class, const char *to) {
    char *dir;
    FTC_RETURN_IF_ERROR(ftc_hf_tokenizer_dir(from, &dir));
    ftc_status status = copy_settled(dir, by_class, to);
    free(dir);
    return status;
}

ftc_status ftc_hf_tokenizer_limit(const char *dir, int64_t max_length) {
    char *path;
    cJSON *json;
    ftc_status status = read_tokenizer_config(dir, &json, &path);
    const cJSON *was = cJSON_GetObjectItemCaseSensitive(json, "model_max_length");
    if (status.code == FTC_OK && !(cJSON_IsNumber(was) && was->valuedouble == (double)max_length)) {
        set(json, "model_max_length", cJSON_CreateNumber((double)max_length));
        status = ftc_json_write(path, json);
    }
    cJSON_Delete(json);
    free(path);
    return status;
}

// Whether the pre-tokenizer is ByteLevel alone; it then puts a blank before each text.
static bool add_prefix_space(cJSON *tokenizer) {
    cJSON *cut = cJSON_GetObjectItemCaseSensitive(tokenizer, "pre_tokenizer");
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(cut, "type"));
    if (!type || strcmp(type, "ByteLevel") != 0) return false;
    set(cut, "add_prefix_space", cJSON_CreateTrue());
    return true;
}

// Of tokenizer.json, where there is one; else of vocab.json and merges.txt, whose texts need no change.
static ftc_status write_prefix_space(const char *dir, bool *is_byte_level) {
    char *path = ftc_path_join(dir, "tokenizer.json"), *merges = ftc_path_join(dir, "merges.txt");
    cJSON *json = NULL;
    ftc_status status = ftc_file_exists(path) ? ftc_json_read(path, &json) : FTC_STATUS_OK;
    *is_byte_level = json ? add_prefix_space(json) : ftc_file_exists(merges);
    if (json && *is_byte_level) status = ftc_json_write(path, json);
    cJSON_Delete(json);
    free(merges);
    free(path);
    return status;
}

ftc_status ftc_hf_tokenizer_for_words(const char *dir) {
    bool is_byte_level;
    FTC_RETURN_IF_ERROR(write_prefix_space(dir, &is_byte_level));
    if (!is_byte_level) return FTC_STATUS_OK;
    char *path;
    cJSON *json;
    ftc_status status = read_tokenizer_config(dir, &json, &path);
    set(json, "add_prefix_space", cJSON_CreateTrue());
    if (status.code == FTC_OK) status = ftc_json_write(path, json);
    cJSON_Delete(json);
    free(path);
    return status;
}
