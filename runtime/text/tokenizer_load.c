#include "runtime/text/tokenizer_internal.h"

#include "runtime/files.h"
#include "runtime/json.h"
#include "runtime/text/unicode.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define MAX_VOCABULARY_BYTES (1 << 24)

// Where the pieces come from, for messages; `config` is an empty object if there is no tokenizer_config.json.
typedef struct {
    char *json_path, *vocab_path, *config_path;
    cJSON *json, *config;
    ftc_tokenizer *tokenizer;
} loader;

// --- JSON ---------------------------------------------------------------------------------------------

// Reads a file that belongs to the tokenizer.
static ftc_status read_file(loader *l, const char *path, char **text, size_t *bytes) {
    FTC_RETURN_IF_ERROR(ftc_file_read(path, text, bytes));
    l->tokenizer->fingerprint = XXH3_64bits_withSeed(*text, *bytes, l->tokenizer->fingerprint);
    return FTC_STATUS_OK;
}

static ftc_status read_json(loader *l, const char *path, cJSON **out) {
    char *text;
    size_t bytes;
    FTC_RETURN_IF_ERROR(read_file(l, path, &text, &bytes));
    ftc_status status = ftc_json_parse_file(path, text, bytes, out);
    free(text);
    return status;
}

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool member_is_true(const cJSON *object, const char *name, bool otherwise) {
    const cJSON *item = member(object, name);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : otherwise;
}

static const char *member_string(const cJSON *object, const char *name) {
    const char *string = cJSON_GetStringValue(member(object, name));
    return string ? string : "";
}

// The value of a whole number from 0 to `most` into *out, as the tokenizers library has it; *out stays where
// there is none.
static ftc_status read_number(const loader *l, const cJSON *item, const char *what, int64_t most,
                              int32_t *out) {
    int64_t value;
    if (!item) return FTC_STATUS_OK;
    if (!ftc_json_count(item, &value) || value > most)
        return ftc_status_make(FTC_BAD_INPUT, "%s: %s is no whole number from 0 to %lld", l->json_path, what,
                               (long long)most);
    *out = (int32_t)value;
    return FTC_STATUS_OK;
}

// --- normalizer ---------------------------------------------------------------------------------------

static ftc_status too_many_steps(const loader *l) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: the normalizer has more than %d steps", l->json_path,
                           FTC_NORMALIZE_MAX_STEPS);
}

static ftc_status add_step(loader *l, ftc_normalize_kind kind) {
    return ftc_normalizer_add(&l->tokenizer->normalizer, kind) ? FTC_STATUS_OK : too_many_steps(l);
}

static ftc_status add_bert_normalizer(loader *l, bool clean, bool chinese, bool strip_accents, bool lower) {
    if (clean) FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_CLEAN));
    if (chinese) FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_SPACE_CHINESE));
    if (strip_accents) {
        FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_NFD));
        FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_STRIP_NONSPACING));
    }
    if (lower) FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_LOWER));
    return FTC_STATUS_OK;
}

static void push_string(ftc_codepoints *out, const char *string) {
    size_t size = strlen(string), n;
    uint32_t c;
    for (; (n = ftc_utf8_decode(string, size, &c)) != 0; string += n, size -= n) ftc_codepoints_push(out, c);
}

static ftc_status add_replace(loader *l, const cJSON *json) {
    const char *pattern = member_string(member(json, "pattern"), "String");
    if (!*pattern)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: the normalizer \"Replace\" is supported with a pattern that is a plain string only",
            l->json_path);
    ftc_normalize_step *step = ftc_normalizer_add(&l->tokenizer->normalizer, FTC_NORMALIZE_REPLACE);
    if (!step) return too_many_steps(l);
    push_string(&step->pattern, pattern);
    push_string(&step->content, member_string(json, "content"));
    return FTC_STATUS_OK;
}

static ftc_status add_normalizer(loader *l, const cJSON *json) {
    static const struct {
        const char *type;
        ftc_normalize_kind kind;
    } simple[] = {
        {"NFD", FTC_NORMALIZE_NFD},         {"NFC", FTC_NORMALIZE_NFC},
        {"NFKD", FTC_NORMALIZE_NFKD},       {"NFKC", FTC_NORMALIZE_NFKC},
        {"Lowercase", FTC_NORMALIZE_LOWER}, {"StripAccents", FTC_NORMALIZE_STRIP_MARKS},
    };
    if (!json || cJSON_IsNull(json)) return FTC_STATUS_OK;
    const char *type = member_string(json, "type");
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (strcmp(type, simple[i].type) == 0) return add_step(l, simple[i].kind);
    if (strcmp(type, "BertNormalizer") == 0) {
        bool lower = member_is_true(json, "lowercase", true);
        return add_bert_normalizer(l, member_is_true(json, "clean_text", true),
                                   member_is_true(json, "handle_chinese_chars", true),
                                   member_is_true(json, "strip_accents", lower), lower);
    }
    if (strcmp(type, "Strip") == 0) {
        if (member_is_true(json, "strip_left", true))
            FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_STRIP_LEFT));
        if (member_is_true(json, "strip_right", true))
            FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_STRIP_RIGHT));
        return FTC_STATUS_OK;
    }
    if (strcmp(type, "Replace") == 0) return add_replace(l, json);
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *step;
        cJSON_ArrayForEach(step, member(json, "normalizers")) FTC_RETURN_IF_ERROR(add_normalizer(l, step));
        return FTC_STATUS_OK;
    }
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: the normalizer \"%s\" is not supported (BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, "
        "StripAccents, Strip, Replace and Sequence are)",
        l->json_path, type);
}

// --- pre-tokenizer ------------------------------------------------------------------------------------

static ftc_status add_pre_tokenizer(loader *l, const cJSON *json) {
    static const struct {
        const char *type;
        unsigned split;
    } known[] = {
        {"BertPreTokenizer", FTC_SPLIT_SPACES | FTC_SPLIT_PUNCTUATION},
        {"Whitespace", FTC_SPLIT_SPACES | FTC_SPLIT_SYMBOLS},
        {"WhitespaceSplit", FTC_SPLIT_SPACES},
        {"Punctuation", FTC_SPLIT_PUNCTUATION},
    };
    if (!json || cJSON_IsNull(json)) return FTC_STATUS_OK;
    const char *type = member_string(json, "type");
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *step;
        cJSON_ArrayForEach(step, member(json, "pretokenizers"))
            FTC_RETURN_IF_ERROR(add_pre_tokenizer(l, step));
        return FTC_STATUS_OK;
    }
    const char *behavior = member_string(json, "behavior");
    if (strcmp(type, "Punctuation") == 0 && *behavior && strcmp(behavior, "Isolated") != 0)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: the pre-tokenizer \"Punctuation\" is supported with behavior "
                               "\"Isolated\" only, not \"%s\"",
                               l->json_path, behavior);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(type, known[i].type) != 0) continue;
        l->tokenizer->split |= known[i].split;
        return FTC_STATUS_OK;
    }
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: the pre-tokenizer \"%s\" is not supported (BertPreTokenizer, Whitespace, WhitespaceSplit, "
        "Punctuation and Sequence are)",
        l->json_path, type);
}

// --- vocabulary ---------------------------------------------------------------------------------------

static ftc_status add_json_vocabulary(loader *l) {
    const cJSON *model = member(l->json, "model"), *vocab = member(model, "vocab");
    const char *type = member_string(model, "type");
    if (strcmp(type, "WordPiece") != 0)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: the model \"%s\" is not supported: ftc trains BERT, whose tokenizer is a WordPiece",
            l->json_path, type);
    if (!cJSON_IsObject(vocab) || !vocab->child)
        return ftc_status_make(FTC_BAD_INPUT, "%s: \"model\" has no \"vocab\"", l->json_path);
    const cJSON *prefix = member(model, "continuing_subword_prefix");
    int32_t max = 100;
    FTC_RETURN_IF_ERROR(read_number(l, member(model, "max_input_chars_per_word"),
                                    "\"max_input_chars_per_word\"", INT32_MAX, &max));
    l->tokenizer->vocabulary = ftc_wordpiece_new(cJSON_IsString(prefix) ? prefix->valuestring : "##", max);
    size_t total = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, vocab) {
        size_t size = strlen(entry->string);
        int64_t id;
        total += size;
        if (!ftc_json_count(entry, &id) || id > FTC_WORDPIECE_MAX_ID)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the token \"%s\" has no valid id", l->json_path,
                                   entry->string);
        if (total >= MAX_VOCABULARY_BYTES)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the vocabulary has more than 16 MiB", l->json_path);
        if (size) ftc_wordpiece_add(l->tokenizer->vocabulary, entry->string, size, (int32_t)id);
    }
    return FTC_STATUS_OK;
}

// The length of a line without the white space at its end.
static size_t trimmed_length(const char *line, size_t size) {
    while (size > 0) {
        size_t start = size;
        while (start > 0 && ((uint8_t)line[--start] & 0xC0) == 0x80) {
        }
        uint32_t c;
        if (ftc_utf8_decode(line + start, size - start, &c) != size - start || !ftc_unicode_is_space(c))
            break;
        size = start;
    }
    return size;
}

static ftc_status add_text_vocabulary(loader *l) {
    char *text;
    size_t bytes;
    FTC_RETURN_IF_ERROR(read_file(l, l->vocab_path, &text, &bytes));
    ftc_status status = FTC_STATUS_OK;
    size_t bad = ftc_utf8_check(text, bytes);
    if (bad < bytes)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: not UTF-8 at byte %zu", l->vocab_path, bad);
    else if (bytes >= MAX_VOCABULARY_BYTES)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: the vocabulary has more than 16 MiB", l->vocab_path);
    l->tokenizer->vocabulary = ftc_wordpiece_new("##", 100);
    int32_t id = 0;
    for (size_t at = 0; at < bytes && status.code == FTC_OK; id++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t length = end ? (size_t)(end - text) - at : bytes - at;
        size_t size = trimmed_length(text + at, length);
        if (id > FTC_WORDPIECE_MAX_ID)
            status = ftc_status_make(FTC_BAD_INPUT, "%s: more than %d tokens", l->vocab_path, id);
        else if (size)
            ftc_wordpiece_add(l->tokenizer->vocabulary, text + at, size, id);
        at += length + 1;
    }
    free(text);
    return status;
}

// --- added tokens -------------------------------------------------------------------------------------

// The text of a special token in tokenizer_config.json: a string, or an object with "content".
static const char *special_token(const loader *l, const char *role, const char *otherwise) {
    const cJSON *item = member(l->config, role);
    const char *text = cJSON_IsObject(item) ? member_string(item, "content") : cJSON_GetStringValue(item);
    return text && *text ? text : otherwise;
}

static const ftc_added_token *find_added(const ftc_added_tokens *list, const char *text) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->tokens[i].text, text) == 0) return &list->tokens[i];
    return NULL;
}

static int32_t token_id(const ftc_tokenizer *t, const char *text) {
    int32_t id = ftc_wordpiece_id(t->vocabulary, text, strlen(text));
    const ftc_added_token *added = id < 0 ? find_added(&t->raw, text) : NULL;
    return added ? added->id : id;
}

// `otherwise` is the id of a token that is not in the vocabulary; any number, as a file may have it.
static ftc_status add_token(loader *l, const cJSON *json, const char *path, int64_t otherwise) {
    ftc_tokenizer *t = l->tokenizer;
    const char *text = member_string(json, "content");
    size_t size = strlen(text);
    if (!size || find_added(&t->raw, text)) return FTC_STATUS_OK;
    int32_t id = ftc_wordpiece_id(t->vocabulary, text, size);
    if (id < 0) {
        if (otherwise < 0 || otherwise > FTC_WORDPIECE_MAX_ID)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the added token \"%s\" has no valid id", path, text);
        id = (int32_t)otherwise;
        ftc_wordpiece_add_name(t->vocabulary, text, size, id);
    }
    ftc_added_token token = {.text = (char *)text, .size = size, .id = id};
    token.single_word = member_is_true(json, "single_word", false);
    token.lstrip = member_is_true(json, "lstrip", false);
    token.rstrip = member_is_true(json, "rstrip", false);
    if (!member_is_true(json, "normalized", !member_is_true(json, "special", false))) {
        ftc_added_tokens_push(&t->raw, token);
        return FTC_STATUS_OK;
    }
    ftc_codepoints normal = {0}, spare = {0};
    push_string(&normal, text);
    ftc_normalizer_apply(&t->normalizer, &normal, &spare);
    char *utf8 = malloc(normal.count * 4 + 1);
    if (!utf8) abort();
    token.text = utf8;
    token.size = 0;
    for (size_t i = 0; i < normal.count; i++)
        token.size += ftc_utf8_encode(normal.data[i], utf8 + token.size);
    utf8[token.size] = '\0';
    if (token.size && !find_added(&t->normalized, utf8)) ftc_added_tokens_push(&t->normalized, token);
    free(utf8);
    ftc_codepoints_free(&normal);
    ftc_codepoints_free(&spare);
    return FTC_STATUS_OK;
}

static ftc_status add_tokens(loader *l) {
    ftc_tokenizer *t = l->tokenizer;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, member(l->json, "added_tokens")) {
        int64_t id;
        if (!ftc_json_count(member(entry, "id"), &id)) id = -1;
        FTC_RETURN_IF_ERROR(add_token(l, entry, l->json_path, id));
    }
    if (!l->json) {
        cJSON_ArrayForEach(entry, member(l->config, "added_tokens_decoder")) {
            char *end;
            long long id = strtoll(entry->string, &end, 10);
            FTC_RETURN_IF_ERROR(add_token(l, entry, l->config_path, *end ? -1 : id));
        }
    }
    static const char *const roles[][2] = {{"unk_token", "[UNK]"},
                                           {"sep_token", "[SEP]"},
                                           {"pad_token", "[PAD]"},
                                           {"cls_token", "[CLS]"},
                                           {"mask_token", "[MASK]"}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        const char *text = special_token(l, roles[i][0], roles[i][1]);
        int32_t id = token_id(t, text);
        if (id >= 0 && !find_added(&t->raw, text))
            ftc_added_tokens_push(&t->raw,
                                  (ftc_added_token){.text = (char *)text, .size = strlen(text), .id = id});
    }
    return FTC_STATUS_OK;
}

// --- template -----------------------------------------------------------------------------------------

static ftc_status required_id(const loader *l, const char *role, const char *text, int32_t *out) {
    int32_t id = token_id(l->tokenizer, text);
    if (id < 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: the vocabulary has no %s token \"%s\"; name it in %s",
                               l->json ? l->json_path : l->vocab_path, role, text, l->config_path);
    *out = id;
    return FTC_STATUS_OK;
}

static void make_bert_templates(ftc_template templates[2], int32_t cls, int32_t sep) {
    templates[FTC_TEMPLATE_SINGLE] = (ftc_template){{{-1, cls, 0}, {0, 0, 0}, {-1, sep, 0}}, 3};
    templates[FTC_TEMPLATE_PAIR] =
        (ftc_template){{{-1, cls, 0}, {0, 0, 0}, {-1, sep, 0}, {1, 0, 1}, {-1, sep, 1}}, 5};
}

static ftc_status add_part(const loader *l, const char *name, ftc_template_part part, ftc_template *out) {
    if (out->count == FTC_TEMPLATE_MAX_PARTS)
        return ftc_status_make(FTC_BAD_INPUT, "%s: the template \"%s\" has more than %d parts", l->json_path,
                               name, FTC_TEMPLATE_MAX_PARTS);
    out->parts[out->count++] = part;
    return FTC_STATUS_OK;
}

// A special token of a template: the ids that the post-processor's "special_tokens" gives it.
static ftc_status add_special_part(const loader *l, const cJSON *processor, const char *name,
                                   const char *token, int32_t type, ftc_template *out) {
    const cJSON *ids = member(member(member(processor, "special_tokens"), token), "ids"), *id;
    if (!cJSON_IsArray(ids))
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: the template \"%s\" has the token \"%s\", which its \"special_tokens\" "
                               "lack",
                               l->json_path, name, token);
    cJSON_ArrayForEach(id, ids) {
        ftc_template_part part = {-1, 0, type};
        FTC_RETURN_IF_ERROR(
            read_number(l, id, "an id of \"special_tokens\"", FTC_WORDPIECE_MAX_ID, &part.id));
        FTC_RETURN_IF_ERROR(add_part(l, name, part, out));
    }
    return FTC_STATUS_OK;
}

// A template names each of its `texts` once: what a text is cut to follows from that.
static ftc_status read_template(const loader *l, const cJSON *processor, const char *name, int texts,
                                ftc_template *out) {
    ftc_template result = {.count = 0};
    int named[2] = {0};
    const cJSON *entry;
    cJSON_ArrayForEach(entry, member(processor, name)) {
        const cJSON *special = member(entry, "SpecialToken"), *text = member(entry, "Sequence");
        const char *id = member_string(special ? special : text, "id");
        int32_t type = 0;
        FTC_RETURN_IF_ERROR(read_number(l, member(special ? special : text, "type_id"),
                                        "a template's \"type_id\"", INT32_MAX, &type));
        if (special) {
            FTC_RETURN_IF_ERROR(add_special_part(l, processor, name, id, type, &result));
            continue;
        }
        int which = strcmp(id, "A") == 0 ? 0 : strcmp(id, "B") == 0 ? 1 : texts;
        if (which >= texts)
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s: the template \"%s\" names the text \"%s\"; expected %s", l->json_path,
                                   name, id, texts == 1 ? "A" : "A and B");
        named[which]++;
        FTC_RETURN_IF_ERROR(add_part(l, name, (ftc_template_part){which, 0, type}, &result));
    }
    for (int i = 0; i < texts; i++) {
        if (named[i] == 1) continue;
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: the template \"%s\" names the text \"%c\" %d times; once is supported",
                               l->json_path, name, 'A' + i, named[i]);
    }
    *out = result;
    return FTC_STATUS_OK;
}

static ftc_status add_templates(loader *l) {
    ftc_tokenizer *t = l->tokenizer;
    const cJSON *processor = member(l->json, "post_processor");
    const char *type = member_string(processor, "type");
    if (strcmp(type, "TemplateProcessing") == 0) {
        FTC_RETURN_IF_ERROR(read_template(l, processor, "single", 1, &t->templates[FTC_TEMPLATE_SINGLE]));
        return read_template(l, processor, "pair", 2, &t->templates[FTC_TEMPLATE_PAIR]);
    }
    const char *cls = special_token(l, "cls_token", "[CLS]"), *sep = special_token(l, "sep_token", "[SEP]");
    if (strcmp(type, "BertProcessing") == 0) {
        cls = cJSON_GetStringValue(cJSON_GetArrayItem(member(processor, "cls"), 0));
        sep = cJSON_GetStringValue(cJSON_GetArrayItem(member(processor, "sep"), 0));
    } else if (*type) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: the post-processor \"%s\" is not supported (TemplateProcessing and BertProcessing are)",
            l->json_path, type);
    }
    int32_t cls_id, sep_id;
    FTC_RETURN_IF_ERROR(required_id(l, "first", cls ? cls : "", &cls_id));
    FTC_RETURN_IF_ERROR(required_id(l, "separator", sep ? sep : "", &sep_id));
    make_bert_templates(t->templates, cls_id, sep_id);
    return FTC_STATUS_OK;
}

// --- all of it ----------------------------------------------------------------------------------------

static ftc_status load(loader *l) {
    ftc_tokenizer *t = l->tokenizer;
    if (ftc_file_exists(l->config_path)) {
        FTC_RETURN_IF_ERROR(read_json(l, l->config_path, &l->config));
    }
    const char *side = member_string(l->config, "truncation_side");
    if (*side && strcmp(side, "right") != 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: truncation_side \"%s\" is not supported, only \"right\"",
                               l->config_path, side);
    const char *unk = special_token(l, "unk_token", "[UNK]");
    if (ftc_file_exists(l->json_path)) {
        FTC_RETURN_IF_ERROR(read_json(l, l->json_path, &l->json));
        FTC_RETURN_IF_ERROR(add_normalizer(l, member(l->json, "normalizer")));
        FTC_RETURN_IF_ERROR(add_pre_tokenizer(l, member(l->json, "pre_tokenizer")));
        FTC_RETURN_IF_ERROR(add_json_vocabulary(l));
        const char *model_unk = member_string(member(l->json, "model"), "unk_token");
        if (*model_unk) unk = model_unk;
    } else if (ftc_file_exists(l->vocab_path)) {
        bool lower = member_is_true(l->config, "do_lower_case", true);
        FTC_RETURN_IF_ERROR(add_bert_normalizer(l, true,
                                                member_is_true(l->config, "tokenize_chinese_chars", true),
                                                member_is_true(l->config, "strip_accents", lower), lower));
        t->split = FTC_SPLIT_SPACES | FTC_SPLIT_PUNCTUATION;
        FTC_RETURN_IF_ERROR(add_text_vocabulary(l));
    } else {
        return ftc_status_make(FTC_BAD_INPUT,
                               "there is neither %s nor %s: name a Hugging Face directory with a tokenizer",
                               l->json_path, l->vocab_path);
    }
    FTC_RETURN_IF_ERROR(add_tokens(l));
    FTC_RETURN_IF_ERROR(required_id(l, "unknown", unk, &t->unk_id));
    t->pad_id = token_id(t, special_token(l, "pad_token", "[PAD]"));
    FTC_RETURN_IF_ERROR(add_templates(l));
    const cJSON *length = member(l->config, "model_max_length");
    if (cJSON_IsNumber(length) && length->valuedouble >= 1 && length->valuedouble < INT_MAX)
        t->model_max_length = length->valueint;
    ftc_tokenizer_prepare(t);
    return FTC_STATUS_OK;
}

ftc_status ftc_tokenizer_open(const char *directory, ftc_tokenizer **out) {
    loader l = {.json_path = ftc_path_join(directory, "tokenizer.json"),
                .vocab_path = ftc_path_join(directory, "vocab.txt"),
                .config_path = ftc_path_join(directory, "tokenizer_config.json"),
                .tokenizer = calloc(1, sizeof(ftc_tokenizer))};
    if (!l.tokenizer) abort();
    ftc_status status = load(&l);
    if (status.code == FTC_OK)
        *out = l.tokenizer;
    else
        ftc_tokenizer_close(l.tokenizer);
    cJSON_Delete(l.json);
    cJSON_Delete(l.config);
    free(l.json_path);
    free(l.vocab_path);
    free(l.config_path);
    return status;
}
