#include "ir/base/alloc.h"
#include "runtime/text/tokenizer_internal.h"

#include "runtime/files.h"
#include "runtime/json.h"
#include "runtime/text/tokenizer_class.h"
#include "runtime/text/unicode.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define MAX_VOCABULARY_BYTES (1 << 24)

// The names that special tokens have where no file names them; NULL: none.
typedef struct {
    const char *unk, *sep, *pad, *cls, *mask;
} special_names;

static const special_names BERT_NAMES = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};

// Where the pieces come from, for messages; `config` is an empty object if there is no tokenizer_config.json.
typedef struct {
    const char *directory;
    char *json_path, *vocab_path, *config_path;
    char *bpe_vocab_path, *merges_path; // vocab.json, merges.txt
    cJSON *json, *config;
    bool by_class;                          // as transformers 5 does, not as the files say
    bool is_byte_level;                     // the pre-tokenizer ends with ByteLevel
    const ftc_tokenizer_names *class_names; // NULL: no class is known
    special_names names;
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

// A pattern that a file has; NULL after an error.
static ftc_status make_regex(const loader *l, const char *what, const char *pattern, ftc_regex **out) {
    char *problem;
    if ((*out = ftc_regex_new(pattern, &problem))) return FTC_STATUS_OK;
    ftc_status status = ftc_status_make(FTC_BAD_INPUT, "%s: the pattern \"%s\" of the %s: %s", l->json_path,
                                        pattern, what, problem);
    free(problem);
    return status;
}

static ftc_status add_replace(loader *l, const cJSON *json) {
    const cJSON *pattern = member(json, "pattern");
    const char *string = member_string(pattern, "String"), *regex = member_string(pattern, "Regex");
    if (!*string && !*regex)
        return ftc_status_make(FTC_BAD_INPUT, "%s: the normalizer \"Replace\" has no pattern", l->json_path);
    if (strcmp(regex, " {2,}") == 0 && strcmp(member_string(json, "content"), " ") == 0)
        return add_step(l, FTC_NORMALIZE_SQUEEZE);
    ftc_normalize_step *step = ftc_normalizer_add(
        &l->tokenizer->normalizer, *regex ? FTC_NORMALIZE_REPLACE_REGEX : FTC_NORMALIZE_REPLACE);
    if (!step) return too_many_steps(l);
    push_string(&step->pattern, string);
    push_string(&step->content, member_string(json, "content"));
    return *regex ? make_regex(l, "normalizer", regex, &step->regex) : FTC_STATUS_OK;
}

static ftc_status add_charsmap(loader *l, const cJSON *json) {
    const char *text = member_string(json, "precompiled_charsmap");
    if (!*text) return FTC_STATUS_OK;
    ftc_normalize_step *step = ftc_normalizer_add(&l->tokenizer->normalizer, FTC_NORMALIZE_CHARSMAP);
    if (!step) return too_many_steps(l);
    step->map = ftc_charsmap_new(text);
    if (step->map) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: the \"precompiled_charsmap\" of the normalizer is none",
                           l->json_path);
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
        bool lower = ftc_json_is_true(json, "lowercase", true);
        return add_bert_normalizer(l, ftc_json_is_true(json, "clean_text", true),
                                   ftc_json_is_true(json, "handle_chinese_chars", true),
                                   ftc_json_is_true(json, "strip_accents", lower), lower);
    }
    if (strcmp(type, "Strip") == 0) {
        if (ftc_json_is_true(json, "strip_left", true))
            FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_STRIP_LEFT));
        if (ftc_json_is_true(json, "strip_right", true))
            FTC_RETURN_IF_ERROR(add_step(l, FTC_NORMALIZE_STRIP_RIGHT));
        return FTC_STATUS_OK;
    }
    if (strcmp(type, "Replace") == 0) return add_replace(l, json);
    if (strcmp(type, "Precompiled") == 0) return add_charsmap(l, json);
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *step;
        cJSON_ArrayForEach(step, member(json, "normalizers")) FTC_RETURN_IF_ERROR(add_normalizer(l, step));
        return FTC_STATUS_OK;
    }
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: the normalizer \"%s\" is not supported (BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, "
        "StripAccents, Strip, Replace, Precompiled and Sequence are)",
        l->json_path, type);
}

// --- pre-tokenizer ------------------------------------------------------------------------------------

// What ByteLevel cuts by, and GPT-2 did.
static const char BYTE_LEVEL_PATTERN[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static ftc_status add_cut(loader *l, ftc_cut cut) {
    ftc_tokenizer *t = l->tokenizer;
    if (t->n_cuts == FTC_MAX_CUTS) {
        ftc_regex_free(cut.regex);
        return ftc_status_make(FTC_BAD_INPUT, "%s: the pre-tokenizer has more than %d steps", l->json_path,
                               FTC_MAX_CUTS);
    }
    t->cuts[t->n_cuts++] = cut;
    return FTC_STATUS_OK;
}

// Classes of neighbouring steps are one step.
static ftc_status add_classes(loader *l, unsigned split) {
    ftc_tokenizer *t = l->tokenizer;
    ftc_cut *last = t->n_cuts ? &t->cuts[t->n_cuts - 1] : NULL;
    if (!last || last->kind != FTC_CUT_CLASSES)
        return add_cut(l, (ftc_cut){.kind = FTC_CUT_CLASSES, .split = split});
    last->split |= split;
    return FTC_STATUS_OK;
}

static ftc_status add_regex(loader *l, const char *pattern, bool drops_matches, bool drops_others) {
    ftc_cut cut = {.kind = FTC_CUT_REGEX, .drops_matches = drops_matches, .drops_others = drops_others};
    FTC_RETURN_IF_ERROR(make_regex(l, "pre-tokenizer", pattern, &cut.regex));
    return add_cut(l, cut);
}

// Split with a pattern that is a regular expression or a plain string.
static ftc_status add_split(loader *l, const cJSON *json) {
    const cJSON *pattern = member(json, "pattern");
    const char *regex = member_string(pattern, "Regex"), *string = member_string(pattern, "String");
    const char *behavior = member_string(json, "behavior");
    bool removes = strcmp(behavior, "Removed") == 0, invert = ftc_json_is_true(json, "invert", false);
    if (!removes && strcmp(behavior, "Isolated") != 0)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: the pre-tokenizer \"Split\" is supported with behavior \"Isolated\" and "
                               "\"Removed\" only, not \"%s\"",
                               l->json_path, behavior);
    if (!*regex && (!*string || strstr(string, "\\E")))
        return ftc_status_make(
            FTC_BAD_INPUT, "%s: the pre-tokenizer \"Split\" has no pattern that is supported", l->json_path);
    char *quoted = NULL;
    if (!*regex) quoted = ftc_format("\\Q%s\\E", string);
    ftc_status status = add_regex(l, quoted ? quoted : regex, removes && !invert, removes && invert);
    free(quoted);
    return status;
}

static ftc_status add_byte_level(loader *l, bool prefix_space, bool use_regex) {
    l->is_byte_level = true;
    if (prefix_space) FTC_RETURN_IF_ERROR(add_cut(l, (ftc_cut){.kind = FTC_CUT_PREFIX_SPACE}));
    return use_regex ? add_regex(l, BYTE_LEVEL_PATTERN, false, false) : FTC_STATUS_OK;
}

static ftc_status add_metaspace(loader *l, const cJSON *json) {
    const char *scheme = member_string(json, "prepend_scheme"),
               *replacement = member_string(json, "replacement");
    bool always = *scheme ? strcmp(scheme, "always") == 0 : ftc_json_is_true(json, "add_prefix_space", true);
    if ((*scheme && !always && strcmp(scheme, "never") != 0) || strcmp(replacement, "\u2581") != 0)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: the pre-tokenizer \"Metaspace\" is supported with replacement \"\u2581\" and "
            "prepend_scheme \"always\" or \"never\" only, not \"%s\" and \"%s\"",
            l->json_path, replacement, scheme);
    return add_cut(l, (ftc_cut){.kind = FTC_CUT_METASPACE,
                                .prepends = always,
                                .splits = ftc_json_is_true(json, "split", true)});
}

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
    if (l->is_byte_level)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: the pre-tokenizer \"%s\" stands behind \"ByteLevel\", which is last",
                               l->json_path, type);
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *step;
        cJSON_ArrayForEach(step, member(json, "pretokenizers"))
            FTC_RETURN_IF_ERROR(add_pre_tokenizer(l, step));
        return FTC_STATUS_OK;
    }
    if (strcmp(type, "Split") == 0) return add_split(l, json);
    if (strcmp(type, "Metaspace") == 0) return add_metaspace(l, json);
    if (strcmp(type, "ByteLevel") == 0)
        return add_byte_level(l, ftc_json_is_true(json, "add_prefix_space", true),
                              ftc_json_is_true(json, "use_regex", true));
    const char *behavior = member_string(json, "behavior");
    if (strcmp(type, "Punctuation") == 0 && *behavior && strcmp(behavior, "Isolated") != 0)
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: the pre-tokenizer \"Punctuation\" is supported with behavior "
                               "\"Isolated\" only, not \"%s\"",
                               l->json_path, behavior);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0) return add_classes(l, known[i].split);
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: the pre-tokenizer \"%s\" is not supported (BertPreTokenizer, ByteLevel, Metaspace, Split, "
        "Whitespace, WhitespaceSplit, Punctuation and Sequence are)",
        l->json_path, type);
}

// --- vocabulary ---------------------------------------------------------------------------------------

// Goes through a "vocab": every token gets its id.
static ftc_status read_vocabulary(const loader *l, const char *path, const cJSON *vocab,
                                  void (*add)(ftc_tokenizer *t, const char *token, int32_t id)) {
    size_t total = 0;
    const cJSON *entry;
    if (!cJSON_IsObject(vocab) || !vocab->child)
        return ftc_status_make(FTC_BAD_INPUT, "%s: there is no \"vocab\"", path);
    cJSON_ArrayForEach(entry, vocab) {
        int64_t id;
        total += strlen(entry->string);
        if (!ftc_json_count(entry, &id) || id > FTC_WORDPIECE_MAX_ID)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the token \"%s\" has no valid id", path,
                                   entry->string);
        if (total >= MAX_VOCABULARY_BYTES)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the vocabulary has more than 16 MiB", path);
        if (*entry->string) add(l->tokenizer, entry->string, (int32_t)id);
    }
    return FTC_STATUS_OK;
}

static void add_piece(ftc_tokenizer *t, const char *token, int32_t id) {
    ftc_wordpiece_add(t->vocabulary, token, strlen(token), id);
}

static ftc_status add_wordpiece(loader *l, const cJSON *model) {
    if (l->is_byte_level)
        return ftc_status_make(
            FTC_BAD_INPUT, "%s: the pre-tokenizer \"ByteLevel\" is supported before the model \"BPE\" only",
            l->json_path);
    const cJSON *prefix = member(model, "continuing_subword_prefix");
    int32_t max = 100;
    FTC_RETURN_IF_ERROR(read_number(l, member(model, "max_input_chars_per_word"),
                                    "\"max_input_chars_per_word\"", INT32_MAX, &max));
    l->tokenizer->vocabulary = ftc_wordpiece_new(cJSON_IsString(prefix) ? prefix->valuestring : "##", max);
    l->names = BERT_NAMES;
    return read_vocabulary(l, l->json_path, member(model, "vocab"), add_piece);
}

static void add_byte_token(ftc_tokenizer *t, const char *token, int32_t id) {
    size_t n;
    char *bytes = ftc_bpe_bytes_of(token, &n);
    if (bytes) ftc_bpe_add_token(t->bpe, bytes, n, id);
    ftc_wordpiece_add_name(t->vocabulary, token, strlen(token), id);
    free(bytes);
}

// A merge of two tokens by their names.
static ftc_status add_merge(const loader *l, const char *path, const char *left, const char *right) {
    size_t n_left = 0, n = 0;
    char *start = ftc_bpe_bytes_of(left, &n_left), *whole = ftc_format("%s%s", left, right);
    char *bytes = ftc_bpe_bytes_of(whole, &n);
    bool ok =
        start && bytes && n_left && n_left < n && ftc_bpe_add_merge(l->tokenizer->bpe, bytes, n, n_left);
    free(start);
    free(bytes);
    free(whole);
    if (ok) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: the merge of \"%s\" and \"%s\" is not of tokens to a token",
                           path, left, right);
}

// A merge as "left right".
static ftc_status add_merge_line(const loader *l, const char *path, char *line) {
    char *space = strchr(line, ' ');
    if (!space || strchr(space + 1, ' '))
        return ftc_status_make(FTC_BAD_INPUT, "%s: the merge \"%s\" is not two tokens", path, line);
    *space = '\0';
    return add_merge(l, path, line, space + 1);
}

static ftc_status finish_bpe(const loader *l, const char *path) {
    int missing = ftc_bpe_prepare(l->tokenizer->bpe);
    if (missing < 0) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: the vocabulary has no token for the byte 0x%02x", path,
                           missing);
}

static ftc_status add_bpe(loader *l, const cJSON *model) {
    static const char *const none[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                       "end_of_word_suffix", "byte_fallback"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        const cJSON *item = member(model, none[i]);
        bool unused = !item || cJSON_IsNull(item) || cJSON_IsFalse(item) ||
                      (cJSON_IsString(item) && !*item->valuestring) ||
                      (cJSON_IsNumber(item) && item->valuedouble == 0) || strcmp(none[i], "unk_token") == 0;
        if (!unused)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the model \"BPE\" with \"%s\" is not supported",
                                   l->json_path, none[i]);
    }
    if (!l->is_byte_level)
        return ftc_status_make(
            FTC_BAD_INPUT, "%s: the model \"BPE\" is supported behind the pre-tokenizer \"ByteLevel\" only",
            l->json_path);
    l->tokenizer->vocabulary = ftc_wordpiece_new("", 0);
    l->tokenizer->bpe = ftc_bpe_new(ftc_json_is_true(model, "ignore_merges", false));
    FTC_RETURN_IF_ERROR(read_vocabulary(l, l->json_path, member(model, "vocab"), add_byte_token));
    const cJSON *merge;
    cJSON_ArrayForEach(merge, member(model, "merges")) {
        const char *left = cJSON_GetStringValue(cJSON_GetArrayItem(merge, 0)),
                   *right = cJSON_GetStringValue(cJSON_GetArrayItem(merge, 1));
        if (cJSON_IsString(merge))
            FTC_RETURN_IF_ERROR(add_merge_line(l, l->json_path, merge->valuestring));
        else if (left && right)
            FTC_RETURN_IF_ERROR(add_merge(l, l->json_path, left, right));
        else
            return ftc_status_make(FTC_BAD_INPUT, "%s: a merge is not two tokens", l->json_path);
    }
    return finish_bpe(l, l->json_path);
}

// The "vocab" of a unigram model: a list of [token, score], by id.
static ftc_status read_scores(const loader *l, const cJSON *vocab, double *scores) {
    const cJSON *entry;
    size_t total = 0;
    int32_t id = 0;
    cJSON_ArrayForEach(entry, vocab) {
        const cJSON *token = cJSON_GetArrayItem(entry, 0), *score = cJSON_GetArrayItem(entry, 1);
        if (!cJSON_IsString(token) || !cJSON_IsNumber(score))
            return ftc_status_make(FTC_BAD_INPUT, "%s: entry %d of \"vocab\" is no token with its score",
                                   l->json_path, (int)id);
        total += strlen(token->valuestring);
        if (id > FTC_WORDPIECE_MAX_ID || total >= MAX_VOCABULARY_BYTES)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the vocabulary has more than 16 MiB", l->json_path);
        if (*token->valuestring)
            add_piece(l->tokenizer, token->valuestring, id);
        else
            ftc_wordpiece_add_name(l->tokenizer->vocabulary, "", 0, id); // which has its id
        scores[id++] = score->valuedouble;
    }
    return FTC_STATUS_OK;
}

static ftc_status add_unigram(loader *l, const cJSON *model) {
    const cJSON *vocab = member(model, "vocab");
    int n = cJSON_IsArray(vocab) ? cJSON_GetArraySize(vocab) : 0;
    int32_t unk = -1;
    if (l->is_byte_level || ftc_json_is_true(model, "byte_fallback", false))
        return ftc_status_make(FTC_BAD_INPUT, "%s: the model \"Unigram\" over bytes is not supported",
                               l->json_path);
    FTC_RETURN_IF_ERROR(read_number(l, member(model, "unk_id"), "\"unk_id\"", n - 1, &unk));
    if (unk < 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: the model \"Unigram\" has no unk_id, or no vocab",
                               l->json_path);
    double *scores = ftc_alloc((size_t)n, sizeof *scores);
    l->tokenizer->vocabulary = ftc_wordpiece_new("", 0);
    ftc_status status = read_scores(l, vocab, scores);
    l->tokenizer->unk_id = unk;
    if (status.code == FTC_OK)
        l->tokenizer->unigram = ftc_unigram_new(l->tokenizer->vocabulary, scores, (size_t)n, unk);
    free(scores);
    return status;
}

static ftc_status add_json_vocabulary(loader *l) {
    const cJSON *model = member(l->json, "model");
    const char *type = member_string(model, "type");
    if (!*type) // files from before there was a type
        type = member(model, "merges")                 ? "BPE"
               : cJSON_IsArray(member(model, "vocab")) ? "Unigram"
                                                       : "WordPiece";
    if (strcmp(type, "WordPiece") == 0) return add_wordpiece(l, model);
    if (strcmp(type, "BPE") == 0) return add_bpe(l, model);
    if (strcmp(type, "Unigram") == 0) return add_unigram(l, model);
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s: the model \"%s\" is not supported (WordPiece, BPE and Unigram are)",
                           l->json_path, type);
}

// vocab.json and merges.txt, as RoBERTa and GPT-2 have them where there is no tokenizer.json.
static ftc_status add_bpe_files(loader *l) {
    const char *class = member_string(l->config, "tokenizer_class");
    bool is_gpt2 = strncmp(class, "GPT2Tokenizer", 13) == 0,
         is_roberta = !*class || strncmp(class, "RobertaTokenizer", 16) == 0;
    if (!is_gpt2 && !is_roberta)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: tokenizer_class \"%s\" is not supported by vocab.json and merges.txt alone "
            "(RobertaTokenizer and GPT2Tokenizer are); save its tokenizer.json",
            l->config_path, class);
    l->names = is_gpt2 ? (special_names){.unk = "<|endoftext|>"}
                       : (special_names){"<unk>", "</s>", "<pad>", "<s>", "<mask>"};
    FTC_RETURN_IF_ERROR(add_byte_level(l, ftc_json_is_true(l->config, "add_prefix_space", false), true));
    cJSON *vocab;
    char *text, *rest;
    size_t bytes;
    FTC_RETURN_IF_ERROR(read_json(l, l->bpe_vocab_path, &vocab));
    l->tokenizer->vocabulary = ftc_wordpiece_new("", 0);
    l->tokenizer->bpe = ftc_bpe_new(false);
    ftc_status status = read_vocabulary(l, l->bpe_vocab_path, vocab, add_byte_token);
    cJSON_Delete(vocab);
    if (status.code != FTC_OK) return status;
    FTC_RETURN_IF_ERROR(read_file(l, l->merges_path, &text, &bytes));
    rest = text;
    for (char *line; status.code == FTC_OK && (line = strsep(&rest, "\r\n"));)
        if (*line && strncmp(line, "#version", 8) != 0) status = add_merge_line(l, l->merges_path, line);
    free(text);
    return status.code == FTC_OK ? finish_bpe(l, l->bpe_vocab_path) : status;
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

// The text of a special token in tokenizer_config.json: a string, or an object with "content". NULL: none.
static const char *special_token(const loader *l, const char *role, const char *otherwise) {
    const cJSON *item = member(l->config, role);
    const char *text = cJSON_IsObject(item) ? member_string(item, "content") : cJSON_GetStringValue(item);
    return text && *text ? text : otherwise;
}

static const ftc_added_token *find_added(const ftc_added_tokens *list, const char *text) {
    int32_t place = list->places ? ftc_wordpiece_id(list->places, text, strlen(text)) : -1;
    return place < 0 ? NULL : &list->tokens[place];
}

static bool is_added(const ftc_tokenizer *t, int32_t id) {
    const ftc_added_tokens *lists[] = {&t->raw, &t->normalized};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++)
            if (lists[l]->tokens[i].id == id) return true;
    return false;
}

// The id of a token that the model has, -1: none.
static int32_t model_id(const ftc_tokenizer *t, const char *text) {
    if (!t->bpe) return ftc_wordpiece_id(t->vocabulary, text, strlen(text));
    size_t n;
    char *bytes = ftc_bpe_bytes_of(text, &n);
    int32_t id = bytes && n ? ftc_bpe_id(t->bpe, bytes, n) : -1;
    free(bytes);
    return id;
}

static int32_t token_id(const ftc_tokenizer *t, const char *text) {
    int32_t id = text ? model_id(t, text) : -1;
    const ftc_added_token *added = id < 0 && text ? find_added(&t->raw, text) : NULL;
    return added ? added->id : id;
}

// Appends the token to one of the lists, unless its text is there already.
static ftc_status push_token(const char *path, ftc_added_tokens *list, ftc_added_token token) {
    if (!token.size || find_added(list, token.text)) return FTC_STATUS_OK;
    if (list->bytes + token.size >= MAX_VOCABULARY_BYTES)
        return ftc_status_make(FTC_BAD_INPUT, "%s: the added tokens have more than 16 MiB", path);
    ftc_added_tokens_push(list, token);
    return FTC_STATUS_OK;
}

// The same for one that is sought in normalized text.
static ftc_status push_normalized(const char *path, ftc_tokenizer *t, ftc_added_token token) {
    ftc_codepoints normal = {0}, spare = {0};
    push_string(&normal, token.text);
    const char *problem = ftc_normalizer_apply(&t->normalizer, &normal, &spare);
    char *utf8 = ftc_alloc(normal.count * 4 + 1, 1);
    token.size = 0;
    for (size_t i = 0; i < normal.count; i++)
        token.size += ftc_utf8_encode(normal.data[i], utf8 + token.size);
    utf8[token.size] = '\0';
    ftc_status status =
        problem ? ftc_status_make(FTC_BAD_INPUT, "%s: the added token \"%s\": %s", path, token.text, problem)
                : FTC_STATUS_OK;
    token.text = utf8;
    if (status.code == FTC_OK) status = push_token(path, &t->normalized, token);
    free(utf8);
    ftc_codepoints_free(&normal);
    ftc_codepoints_free(&spare);
    return status;
}

// `otherwise` is the id of a token that is not in the vocabulary; any number, as a file may have it.
static ftc_status add_token(loader *l, const cJSON *json, const char *path, int64_t otherwise) {
    ftc_tokenizer *t = l->tokenizer;
    const char *text = member_string(json, "content");
    size_t size = strlen(text);
    if (!size || find_added(&t->raw, text)) return FTC_STATUS_OK;
    int32_t id = model_id(t, text);
    if (id < 0) {
        if (otherwise < 0 || otherwise > FTC_WORDPIECE_MAX_ID)
            return ftc_status_make(FTC_BAD_INPUT, "%s: the added token \"%s\" has no valid id", path, text);
        id = (int32_t)otherwise;
        ftc_wordpiece_add_name(t->vocabulary, text, size, id);
    }
    ftc_added_token token = {.text = (char *)text, .size = size, .id = id};
    token.single_word = ftc_json_is_true(json, "single_word", false);
    token.lstrip = ftc_json_is_true(json, "lstrip", false);
    token.rstrip = ftc_json_is_true(json, "rstrip", false);
    token.special = ftc_json_is_true(json, "special", false);
    bool normalized = ftc_json_is_true(json, "normalized", !token.special);
    return normalized ? push_normalized(path, t, token) : push_token(path, &t->raw, token);
}

// Adds what the object lists as its additional special tokens to a set of them.
static void collect_special(const cJSON *map, ftc_wordpiece *set) {
    const cJSON *item;
    cJSON_ArrayForEach(item, member(map, "additional_special_tokens")) {
        const char *listed =
            cJSON_IsObject(item) ? member_string(item, "content") : cJSON_GetStringValue(item);
        if (listed && *listed) ftc_wordpiece_add(set, listed, strlen(listed), 0);
    }
}

// {"TOKEN": ID, …}: the tokens that were added to a vocabulary alone, as older files have them. Which are
// special, other files say.
static ftc_status add_older_tokens(loader *l, const char *path, const cJSON *tokens, const cJSON *map) {
    const cJSON *entry;
    ftc_wordpiece *special = ftc_wordpiece_new("", 0);
    ftc_status status = FTC_STATUS_OK;
    collect_special(map, special);
    collect_special(l->config, special);
    cJSON_ArrayForEach(entry, tokens) {
        int64_t id;
        if (status.code != FTC_OK) break;
        if (!ftc_json_count(entry, &id)) id = -1;
        cJSON *token = cJSON_CreateObject();
        cJSON_AddStringToObject(token, "content", entry->string);
        cJSON_AddBoolToObject(token, "special",
                              ftc_wordpiece_id(special, entry->string, strlen(entry->string)) >= 0);
        status = add_token(l, token, path, id);
        cJSON_Delete(token);
    }
    ftc_wordpiece_free(special);
    return status;
}

static ftc_status read_older_tokens(loader *l) {
    char *path = ftc_path_join(l->directory, "added_tokens.json"),
         *map_path = ftc_path_join(l->directory, "special_tokens_map.json");
    cJSON *tokens = NULL, *map = NULL;
    ftc_status status = ftc_file_exists(path) ? read_json(l, path, &tokens) : FTC_STATUS_OK;
    if (status.code == FTC_OK && tokens && ftc_file_exists(map_path)) status = read_json(l, map_path, &map);
    if (status.code == FTC_OK) status = add_older_tokens(l, path, tokens, map);
    cJSON_Delete(tokens);
    cJSON_Delete(map);
    free(path);
    free(map_path);
    return status;
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
        if (!member(l->config, "added_tokens_decoder")) FTC_RETURN_IF_ERROR(read_older_tokens(l));
    }
    const char *const roles[][2] = {{"unk_token", l->names.unk},
                                    {"sep_token", l->names.sep},
                                    {"pad_token", l->names.pad},
                                    {"cls_token", l->names.cls},
                                    {"mask_token", l->names.mask}};
    bool eats_space = t->bpe && !l->json && !l->by_class; // RoBERTa's <mask> is written like a word
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        const char *text = special_token(l, roles[i][0], roles[i][1]);
        int32_t id = token_id(t, text);
        if (id >= 0 && !is_added(t, id))
            ftc_added_tokens_push(
                &t->raw, (ftc_added_token){.text = (char *)text,
                                           .size = strlen(text),
                                           .id = id,
                                           .special = true,
                                           .lstrip = eats_space && strcmp(roles[i][0], "mask_token") == 0});
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
        if (part.id >= ftc_wordpiece_size(l->tokenizer->vocabulary))
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s: the template \"%s\" has the token \"%s\" with the id %d, which is "
                                   "beyond the vocabulary",
                                   l->json_path, name, token, part.id);
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

// [CLS] A [SEP], or <s> A </s></s> B </s>.
static void make_roberta_templates(ftc_template templates[2], int32_t cls, int32_t sep) {
    templates[FTC_TEMPLATE_SINGLE] = (ftc_template){{{-1, cls, 0}, {0, 0, 0}, {-1, sep, 0}}, 3};
    templates[FTC_TEMPLATE_PAIR] =
        (ftc_template){{{-1, cls, 0}, {0, 0, 0}, {-1, sep, 0}, {-1, sep, 0}, {1, 0, 0}, {-1, sep, 0}}, 6};
}

// The texts and nothing else.
static void make_plain_templates(ftc_template templates[2]) {
    templates[FTC_TEMPLATE_SINGLE] = (ftc_template){{{0, 0, 0}}, 1};
    templates[FTC_TEMPLATE_PAIR] = (ftc_template){{{0, 0, 0}, {1, 0, 1}}, 2};
}

// By the names of the tokens; NULL: those of tokenizer_config.json, or the usual ones.
static ftc_status add_named_templates(loader *l, const char *cls, const char *sep, bool as_roberta) {
    int32_t cls_id, sep_id;
    if (!cls) cls = special_token(l, "cls_token", l->names.cls);
    if (!sep) sep = special_token(l, "sep_token", l->names.sep);
    FTC_RETURN_IF_ERROR(required_id(l, "first", cls ? cls : "", &cls_id));
    FTC_RETURN_IF_ERROR(required_id(l, "separator", sep ? sep : "", &sep_id));
    if (as_roberta)
        make_roberta_templates(l->tokenizer->templates, cls_id, sep_id);
    else
        make_bert_templates(l->tokenizer->templates, cls_id, sep_id);
    return FTC_STATUS_OK;
}

static ftc_status add_processor(loader *l, const cJSON *processor) {
    ftc_tokenizer *t = l->tokenizer;
    const char *type = member_string(processor, "type");
    const char *cls = cJSON_GetStringValue(cJSON_GetArrayItem(member(processor, "cls"), 0));
    const char *sep = cJSON_GetStringValue(cJSON_GetArrayItem(member(processor, "sep"), 0));
    if (strcmp(type, "TemplateProcessing") == 0) {
        FTC_RETURN_IF_ERROR(read_template(l, processor, "single", 1, &t->templates[FTC_TEMPLATE_SINGLE]));
        return read_template(l, processor, "pair", 2, &t->templates[FTC_TEMPLATE_PAIR]);
    }
    if (strcmp(type, "BertProcessing") == 0)
        return add_named_templates(l, cls ? cls : "", sep ? sep : "", false);
    if (strcmp(type, "RobertaProcessing") == 0)
        return add_named_templates(l, cls ? cls : "", sep ? sep : "", true);
    if (strcmp(type, "ByteLevel") == 0) return FTC_STATUS_OK; // only offsets
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *step;
        cJSON_ArrayForEach(step, member(processor, "processors")) FTC_RETURN_IF_ERROR(add_processor(l, step));
        return FTC_STATUS_OK;
    }
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: the post-processor \"%s\" is not supported (TemplateProcessing, BertProcessing, "
        "RobertaProcessing, ByteLevel and Sequence are)",
        l->json_path, type);
}

static ftc_status add_templates(loader *l) {
    const cJSON *processor = member(l->json, "post_processor");
    make_plain_templates(l->tokenizer->templates);
    if (processor && !cJSON_IsNull(processor)) return add_processor(l, processor);
    bool is_roberta = l->tokenizer->bpe && l->names.cls;
    bool is_named = is_roberta || (!l->tokenizer->bpe && !l->tokenizer->unigram);
    is_roberta |= l->class_names && l->class_names->ends_twice;
    return is_named ? add_named_templates(l, NULL, NULL, is_roberta) : FTC_STATUS_OK;
}

// --- all of it ----------------------------------------------------------------------------------------

// From vocab.txt.
static ftc_status add_wordpiece_file(loader *l) {
    bool lower = ftc_json_is_true(l->config, "do_lower_case", true);
    l->names = BERT_NAMES;
    FTC_RETURN_IF_ERROR(add_bert_normalizer(l, true,
                                            ftc_json_is_true(l->config, "tokenize_chinese_chars", true),
                                            ftc_json_is_true(l->config, "strip_accents", lower), lower));
    FTC_RETURN_IF_ERROR(add_classes(l, FTC_SPLIT_SPACES | FTC_SPLIT_PUNCTUATION));
    return add_text_vocabulary(l);
}

// Lets tokenizer.json be what transformers 5 makes of it, or finds that it would be something else.
static ftc_status apply_class(loader *l) {
    ftc_tokenizer *t = l->tokenizer;
    const ftc_tokenizer_class *class;
    cJSON *model = NULL;
    char *path = ftc_path_join(l->directory, "config.json");
    ftc_status status = ftc_file_exists(path) ? ftc_json_read(path, &model) : FTC_STATUS_OK;
    free(path);
    if (status.code == FTC_OK) status = ftc_tokenizer_class_find(l->config, model, &class);
    cJSON_Delete(model);
    if (status.code == FTC_OK && class) l->class_names = ftc_tokenizer_class_names(class);
    if (status.code != FTC_OK) {
        if (l->by_class) return ftc_status_annotate(status, "%s", l->directory);
        ftc_status_free(&status); // it is not asked for
    } else if (class && l->by_class) {
        const char *name = ftc_tokenizer_class_name(class);
        if (l->json) ftc_tokenizer_class_apply(class, l->config, l->json);
        t->fingerprint = XXH3_64bits_withSeed(name, strlen(name), t->fingerprint);
    } else if (class && l->json && ftc_tokenizer_class_differs(class, l->config, l->json)) {
        t->other_class = ftc_tokenizer_class_name(class);
    }
    return FTC_STATUS_OK;
}

static ftc_status add_model(loader *l) {
    bool has_json = ftc_file_exists(l->json_path);
    if (has_json) FTC_RETURN_IF_ERROR(read_json(l, l->json_path, &l->json));
    FTC_RETURN_IF_ERROR(apply_class(l));
    if (has_json) {
        FTC_RETURN_IF_ERROR(add_normalizer(l, member(l->json, "normalizer")));
        FTC_RETURN_IF_ERROR(add_pre_tokenizer(l, member(l->json, "pre_tokenizer")));
        return add_json_vocabulary(l);
    }
    if (ftc_file_exists(l->vocab_path)) return add_wordpiece_file(l);
    if (ftc_file_exists(l->bpe_vocab_path)) return add_bpe_files(l);
    static const char *const SENTENCEPIECE[] = {"spiece.model", "spm.model", "sentencepiece.bpe.model"};
    for (size_t i = 0; i < sizeof SENTENCEPIECE / sizeof *SENTENCEPIECE; i++) {
        char *path = ftc_path_join(l->directory, SENTENCEPIECE[i]);
        ftc_status status = FTC_STATUS_OK;
        if (ftc_file_exists(path))
            status =
                ftc_status_make(FTC_BAD_INPUT,
                                "%s: SentencePiece's own file is not read; save tokenizer.json beside it "
                                "(AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))",
                                path);
        free(path);
        if (status.code != FTC_OK) return status;
    }
    return ftc_status_make(FTC_BAD_INPUT,
                           "there is neither %s nor %s: name a Hugging Face directory with a tokenizer",
                           l->json_path, l->vocab_path);
}

// What the class calls the tokens that no file names: of WordPiece all, since MPNet's are not BERT's; else
// those that stand in no template.
static void add_class_names(loader *l) {
    const ftc_tokenizer_names *class = l->class_names;
    const ftc_tokenizer *t = l->tokenizer;
    if (!class) return;
    if (!t->bpe && !t->unigram) {
        l->names = (special_names){class->unknown, class->end, class->pad, class->begin, class->mask};
        return;
    }
    if (!l->names.unk) l->names.unk = class->unknown;
    if (!l->names.pad) l->names.pad = class->pad;
    if (!l->names.mask) l->names.mask = class->mask;
}

static ftc_status load(loader *l) {
    ftc_tokenizer *t = l->tokenizer;
    if (ftc_file_exists(l->config_path)) {
        FTC_RETURN_IF_ERROR(read_json(l, l->config_path, &l->config));
    }
    const char *side = member_string(l->config, "truncation_side");
    if (*side && strcmp(side, "right") != 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: truncation_side \"%s\" is not supported, only \"right\"",
                               l->config_path, side);
    FTC_RETURN_IF_ERROR(add_model(l));
    add_class_names(l);
    FTC_RETURN_IF_ERROR(add_tokens(l));
    const char *model_unk = member_string(member(l->json, "model"), "unk_token");
    const char *unk = *model_unk ? model_unk : special_token(l, "unk_token", l->names.unk);
    if (!t->unigram) t->unk_id = token_id(t, unk);
    if (!t->bpe && !t->unigram)
        FTC_RETURN_IF_ERROR(required_id(l, "unknown", unk, &t->unk_id)); // bytes are never unknown
    t->pad_id = token_id(t, special_token(l, "pad_token", l->names.pad));
    t->mask_id = token_id(t, special_token(l, "mask_token", l->names.mask));
    FTC_RETURN_IF_ERROR(add_templates(l));
    const cJSON *length = member(l->config, "model_max_length");
    if (cJSON_IsNumber(length) && length->valuedouble >= 1 && length->valuedouble < INT_MAX)
        t->model_max_length = length->valueint;
    ftc_tokenizer_prepare(t);
    return FTC_STATUS_OK;
}

ftc_status ftc_tokenizer_open_as(const char *directory, bool by_class, ftc_tokenizer **out) {
    loader l = {.directory = directory,
                .by_class = by_class,
                .json_path = ftc_path_join(directory, "tokenizer.json"),
                .vocab_path = ftc_path_join(directory, "vocab.txt"),
                .bpe_vocab_path = ftc_path_join(directory, "vocab.json"),
                .merges_path = ftc_path_join(directory, "merges.txt"),
                .config_path = ftc_path_join(directory, "tokenizer_config.json"),
                .tokenizer = ftc_alloc(1, sizeof(ftc_tokenizer))};
    l.tokenizer->directory = ftc_strdup(directory);
    l.tokenizer->is_by_class = by_class;
    ftc_status status = load(&l);
    if (status.code == FTC_OK)
        *out = l.tokenizer;
    else
        ftc_tokenizer_close(l.tokenizer);
    cJSON_Delete(l.json);
    cJSON_Delete(l.config);
    free(l.json_path);
    free(l.vocab_path);
    free(l.bpe_vocab_path);
    free(l.merges_path);
    free(l.config_path);
    return status;
}

ftc_status ftc_tokenizer_open(const char *directory, ftc_tokenizer **out) {
    return ftc_tokenizer_open_as(directory, false, out);
}
