#include "runtime/text/tokenizer_class.h"

#include "ir/base/alloc.h"

#include <stdlib.h>
#include <string.h>

typedef enum { OF_BERT, OF_BYTES, OF_SENTENCEPIECE, OF_ALBERT, OF_DEBERTA, OF_QWEN } kind;

static const ftc_tokenizer_names BERT = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]", false},
                                 ALBERT = {"[CLS]", "[SEP]", "<unk>", "<pad>", "[MASK]", false},
                                 MPNET = {"<s>", "</s>", "[UNK]", "<pad>", "<mask>", true},
                                 ROBERTA = {"<s>", "</s>", "<unk>", "<pad>", "<mask>", true},
                                 GPT = {"<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL, NULL, false};

struct ftc_tokenizer_class {
    const char *name;
    kind kind;
    const ftc_tokenizer_names *tokens;
    bool has_types;    // of the texts of a pair, for models that read them
    int32_t unk_id;    // that it takes without looking; -1: the file's
    const char *model; // the model_type whose class it is where none is named; NULL: of none
};

static const ftc_tokenizer_class CLASSES[] = {
    {"BertTokenizer", OF_BERT, &BERT, true, -1, "bert"},
    {"DistilBertTokenizer", OF_BERT, &BERT, false, -1, "distilbert"},
    {"ElectraTokenizer", OF_BERT, &BERT, true, -1, "electra"},
    {"MPNetTokenizer", OF_BERT, &MPNET, false, -1, "mpnet"},
    {"RobertaTokenizer", OF_BYTES, &ROBERTA, false, -1, "roberta"},
    {"GPT2Tokenizer", OF_BYTES, &GPT, false, -1, "gpt2"},
    {"XLMRobertaTokenizer", OF_SENTENCEPIECE, &ROBERTA, false, 3, "xlm-roberta"},
    {"CamembertTokenizer", OF_SENTENCEPIECE, &ROBERTA, false, -1, "camembert"},
    {"AlbertTokenizer", OF_ALBERT, &ALBERT, true, 1, "albert"},
    {"DebertaV2Tokenizer", OF_DEBERTA, &BERT, true, -1, "deberta-v2"},
    {"Qwen2Tokenizer", OF_QWEN, &GPT, false, -1, NULL},
};
enum { N_CLASSES = sizeof CLASSES / sizeof *CLASSES };

// --- which it is --------------------------------------------------------------------------------------

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *string_of(const cJSON *object, const char *name) {
    return cJSON_GetStringValue(member(object, name));
}

// Whether `name` is `class`, or that with "Fast" behind it.
static bool is_named(const char *name, const char *class) {
    size_t n = strlen(class);
    return strncmp(name, class, n) == 0 && (!name[n] || strcmp(name + n, "Fast") == 0);
}

ftc_status ftc_tokenizer_class_find(const cJSON *config, const cJSON *model,
                                    const ftc_tokenizer_class **out) {
    const char *name = string_of(config, "tokenizer_class"), *type = string_of(model, "model_type");
    if (!name) name = string_of(model, "tokenizer_class");
    *out = NULL;
    // Of ModernBERT it does not believe what is named.
    if (type && strcmp(type, "modernbert") == 0) return FTC_STATUS_OK;
    if (name && (is_named(name, "PreTrainedTokenizer") || is_named(name, "TokenizersBackend")))
        return FTC_STATUS_OK;
    for (int i = 0; i < N_CLASSES && !*out; i++) {
        const char *by_type = type ? CLASSES[i].model : NULL;
        if (name ? is_named(name, CLASSES[i].name) : by_type && strcmp(by_type, type) == 0)
            *out = &CLASSES[i];
    }
    if (*out) return FTC_STATUS_OK;
    if (name)
        return ftc_status_make(FTC_BAD_INPUT,
                               "what transformers 5 makes of the tokenizer_class %s is not known "
                               "here",
                               name);
    return ftc_status_make(FTC_BAD_INPUT,
                           "neither tokenizer_config.json nor config.json names a tokenizer_class that "
                           "transformers 5 would read the tokenizer by");
}

const ftc_tokenizer_names *ftc_tokenizer_class_names(const ftc_tokenizer_class *class) {
    return class->tokens;
}

const char *ftc_tokenizer_class_name(const ftc_tokenizer_class *class) {
    return class->name;
}

// --- its parts ----------------------------------------------------------------------------------------

static cJSON *literal(const char *text) {
    return ftc_json_parse_object(text, strlen(text), NULL);
}

// Frees the text.
static cJSON *parse(char *text) {
    cJSON *json = literal(text);
    free(text);
    return json;
}

static const char *bool_text(bool value) {
    return value ? "true" : "false";
}

static cJSON *sequence_of(const char *steps) {
    cJSON *json = literal("{\"type\":\"Sequence\"}");
    cJSON_AddArrayToObject(json, steps);
    return json;
}

static void add_part(cJSON *sequence, cJSON *part) {
    cJSON_AddItemToArray(sequence->child->next, part);
}

// SentencePiece's map, out of the file's normalizer or a step of it; NULL: it has none.
static cJSON *copy_charsmap(const cJSON *normalizer) {
    const char *type = string_of(normalizer, "type");
    const cJSON *step;
    if (type && strcmp(type, "Precompiled") == 0) return cJSON_Duplicate(normalizer, true);
    cJSON_ArrayForEach(step, member(normalizer, "normalizers")) {
        cJSON *map = copy_charsmap(step);
        if (map) return map;
    }
    return NULL;
}

static cJSON *albert_normalizer(const cJSON *config, cJSON *map) {
    cJSON *all = sequence_of("normalizers");
    add_part(all, literal("{\"type\":\"Replace\",\"pattern\":{\"String\":\"``\"},\"content\":\"\\\"\"}"));
    add_part(all, literal("{\"type\":\"Replace\",\"pattern\":{\"String\":\"''\"},\"content\":\"\\\"\"}"));
    if (!ftc_json_is_true(config, "keep_accents", false)) {
        add_part(all, literal("{\"type\":\"NFKD\"}"));
        add_part(all, literal("{\"type\":\"StripAccents\"}"));
    }
    if (ftc_json_is_true(config, "do_lower_case", true)) add_part(all, literal("{\"type\":\"Lowercase\"}"));
    if (map) add_part(all, map);
    return all;
}

static cJSON *deberta_normalizer(const cJSON *config) {
    cJSON *all = sequence_of("normalizers");
    if (ftc_json_is_true(config, "do_lower_case", false)) add_part(all, literal("{\"type\":\"Lowercase\"}"));
    add_part(all, literal("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s{2,}|[\\\\n\\\\r\\\\t]\"},"
                          "\"content\":\" \"}"));
    add_part(all, literal("{\"type\":\"NFC\"}"));
    add_part(all, literal("{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":true}"));
    return all;
}

static cJSON *bert_normalizer(const cJSON *config) {
    const cJSON *accents = member(config, "strip_accents");
    return parse(ftc_format(
        "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":%s,\"strip_accents\":%s,"
        "\"lowercase\":%s}",
        bool_text(ftc_json_is_true(config, "tokenize_chinese_chars", true)),
        cJSON_IsBool(accents) ? bool_text(cJSON_IsTrue(accents)) : "null",
        bool_text(ftc_json_is_true(config, "do_lower_case", true))));
}

static cJSON *make_normalizer(const ftc_tokenizer_class *class, const cJSON *config, const cJSON *was) {
    switch (class->kind) {
    case OF_BERT: return bert_normalizer(config);
    case OF_SENTENCEPIECE: return copy_charsmap(was);
    case OF_ALBERT: return albert_normalizer(config, copy_charsmap(was));
    case OF_DEBERTA: return deberta_normalizer(config);
    case OF_QWEN: return literal("{\"type\":\"NFC\"}");
    case OF_BYTES: break;
    }
    return NULL;
}

static cJSON *metaspace(const char *scheme) {
    return parse(ftc_format(
        "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"%s\",\"split\":true}",
        scheme));
}

static cJSON *byte_level(bool prefix_space, bool use_regex) {
    return parse(
        ftc_format("{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":true,\"use_regex\":%s}",
                   bool_text(prefix_space), bool_text(use_regex)));
}

static cJSON *make_pre_tokenizer(const ftc_tokenizer_class *class, const cJSON *config) {
    static const char QWEN[] =
        "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{"
        "N}]?"
        "\\\\p{L}+|\\\\p{N}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
        "\"behavior\":\"Isolated\",\"invert\":false}";
    bool is_bytes = class->kind == OF_BYTES || class->kind == OF_QWEN;
    bool prefix = ftc_json_is_true(config, "add_prefix_space", !is_bytes);
    if (class->kind == OF_BERT) return literal("{\"type\":\"BertPreTokenizer\"}");
    if (class->kind == OF_BYTES) return byte_level(prefix, true);
    cJSON *all = sequence_of("pretokenizers");
    if (class->kind == OF_QWEN) {
        add_part(all, literal(QWEN));
        add_part(all, byte_level(prefix, false));
    } else if (class->kind == OF_DEBERTA) {
        if (ftc_json_is_true(config, "split_by_punct", false))
            add_part(all, literal("{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"}"));
        add_part(all, metaspace(prefix ? "always" : "first"));
    } else {
        add_part(all, literal("{\"type\":\"WhitespaceSplit\"}"));
        add_part(all, metaspace(prefix ? "always" : "never"));
    }
    return all;
}

// --- whether it is another ----------------------------------------------------------------------------

static void set_default(cJSON *object, const char *name, cJSON *value) {
    if (member(object, name))
        cJSON_Delete(value);
    else
        cJSON_AddItemToObject(object, name, value);
}

// Brings a part into one form: members that a file may leave out, those of older files, those without meaning
// for ids.
static void settle(cJSON *part) {
    const char *type = string_of(part, "type");
    if (type && strcmp(type, "Metaspace") == 0) {
        bool prefix = ftc_json_is_true(part, "add_prefix_space", true);
        set_default(part, "prepend_scheme", cJSON_CreateString(prefix ? "always" : "never"));
        set_default(part, "split", cJSON_CreateTrue());
        cJSON_DeleteItemFromObjectCaseSensitive(part, "add_prefix_space");
        cJSON_DeleteItemFromObjectCaseSensitive(part, "str_rep");
    } else if (type && strcmp(type, "ByteLevel") == 0) {
        set_default(part, "use_regex", cJSON_CreateTrue());
        cJSON_DeleteItemFromObjectCaseSensitive(part, "trim_offsets");
    } else if (type && strcmp(type, "BertNormalizer") == 0) {
        bool accents = ftc_json_is_true(part, "strip_accents", ftc_json_is_true(part, "lowercase", true));
        cJSON_DeleteItemFromObjectCaseSensitive(part, "strip_accents");
        cJSON_AddBoolToObject(part, "strip_accents", accents);
    }
    static const char *const LISTS[] = {"normalizers", "pretokenizers"};
    cJSON *step;
    for (int i = 0; i < 2; i++)
        cJSON_ArrayForEach(step, member(part, LISTS[i])) settle(step);
}

// The one step of a sequence, else the part itself.
static const cJSON *single(const cJSON *part, const char *steps) {
    const cJSON *list = member(part, steps);
    return cJSON_GetArraySize(list) == 1 ? single(list->child, steps) : part;
}

static bool is_same(const cJSON *a, const cJSON *b, const char *steps) {
    if (!a || !b || cJSON_IsNull(a) || cJSON_IsNull(b))
        return (!a || cJSON_IsNull(a)) == (!b || cJSON_IsNull(b));
    cJSON *x = cJSON_Duplicate(a, true), *y = cJSON_Duplicate(b, true);
    settle(x);
    settle(y);
    bool same = cJSON_Compare(single(x, steps), single(y, steps), true);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return same;
}

// --- all together -------------------------------------------------------------------------------------

// Puts `value` (NULL: null) in the place of a member. Returns whether it cuts otherwise.
static bool replace(cJSON *tokenizer, const char *name, const char *steps, cJSON *value) {
    bool same = is_same(member(tokenizer, name), value, steps);
    cJSON_DeleteItemFromObjectCaseSensitive(tokenizer, name);
    cJSON_AddItemToObject(tokenizer, name, value ? value : cJSON_CreateNull());
    return !same;
}

// ALBERT's class returns no types, so that the model takes them for 0. Returns whether some were not.
static bool drop_types(cJSON *tokenizer) {
    bool changed = false;
    const cJSON *part;
    cJSON_ArrayForEach(part, member(member(tokenizer, "post_processor"), "pair")) {
        cJSON *type = (cJSON *)member(part->child, "type_id");
        if (!cJSON_IsNumber(type) || type->valuedouble == 0) continue;
        cJSON_SetNumberValue(type, 0);
        changed = true;
    }
    return changed;
}

bool ftc_tokenizer_class_apply(const ftc_tokenizer_class *class, const cJSON *config, cJSON *tokenizer) {
    cJSON *normalizer = make_normalizer(class, config, member(tokenizer, "normalizer"));
    bool changed = replace(tokenizer, "normalizer", "normalizers", normalizer);
    changed |= replace(tokenizer, "pre_tokenizer", "pretokenizers", make_pre_tokenizer(class, config));
    if (class->kind == OF_ALBERT) changed |= drop_types(tokenizer);
    cJSON *unk = (cJSON *)member(member(tokenizer, "model"), "unk_id");
    if (class->unk_id >= 0 && cJSON_IsNumber(unk) && unk->valueint != class->unk_id) {
        cJSON_SetNumberValue(unk, class->unk_id);
        changed = true;
    }
    return changed;
}

bool ftc_tokenizer_class_differs(const ftc_tokenizer_class *class, const cJSON *config,
                                 const cJSON *tokenizer) {
    static const char *const PARTS[] = {"normalizer", "pre_tokenizer", "post_processor"};
    const cJSON *unk = member(member(tokenizer, "model"), "unk_id");
    cJSON *parts = cJSON_CreateObject(), *model = cJSON_AddObjectToObject(parts, "model");
    for (int i = 0; i < 3; i++)
        if (member(tokenizer, PARTS[i]))
            cJSON_AddItemToObject(parts, PARTS[i], cJSON_Duplicate(member(tokenizer, PARTS[i]), true));
    if (unk) cJSON_AddItemToObject(model, "unk_id", cJSON_Duplicate(unk, true));
    bool differs = ftc_tokenizer_class_apply(class, config, parts);
    cJSON_Delete(parts);
    return differs;
}

void ftc_tokenizer_class_pin(const ftc_tokenizer_class *class, cJSON *config) {
    const ftc_tokenizer_names *names = class->tokens;
    const char *const roles[][2] = {{"bos_token", names->begin},   {"cls_token", names->begin},
                                    {"eos_token", names->end},     {"sep_token", names->end},
                                    {"unk_token", names->unknown}, {"pad_token", names->pad},
                                    {"mask_token", names->mask}};
    cJSON_DeleteItemFromObjectCaseSensitive(config, "tokenizer_class");
    cJSON_AddStringToObject(config, "tokenizer_class", "PreTrainedTokenizerFast");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (roles[i][1]) set_default(config, roles[i][0], cJSON_CreateString(roles[i][1]));
    if (member(config, "model_input_names")) return;
    cJSON *inputs = cJSON_AddArrayToObject(config, "model_input_names");
    cJSON_AddItemToArray(inputs, cJSON_CreateString("input_ids"));
    cJSON_AddItemToArray(inputs, cJSON_CreateString("attention_mask"));
    if (class->has_types) cJSON_AddItemToArray(inputs, cJSON_CreateString("token_type_ids"));
}
