// Token ids against Hugging Face's (goldens by tests/tools/make_tokenizer_goldens.py).
#include "ir/base/alloc.h"
#include "ir/base/clock.h"
#include "runtime/files.h"
#include "runtime/text/normalize.h"
#include "runtime/data/table.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/tokenizer_internal.h"
#include "runtime/text/unicode.h"
#include "tests/paths.h"

#include <pthread.h>
#include <string.h>

#include <cjson/cJSON.h>

#define MULTIPLIER UINT64_C(0x9E3779B97F4A7C15)

static ftc_tokenizer *open_golden(const char *name) {
    char *path = test_join(FTC_SOURCE_ROOT "/tests/golden/tokenizer", name);
    ftc_tokenizer *tokenizer = NULL;
    ftc_status status = ftc_tokenizer_open(path, &tokenizer);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    free(path);
    return tokenizer;
}

static cJSON *read_golden(const char *name) {
    char *path = test_golden(name), *text;
    size_t bytes;
    cr_assert_eq(ftc_file_read(path, &text, &bytes).code, FTC_OK);
    cJSON *json = cJSON_Parse(text);
    cr_assert_not_null(json);
    free(text);
    free(path);
    return json;
}

// --- small goldens ------------------------------------------------------------------------------------

static void expect_ids(const cJSON *expected, const int32_t *got, size_t count, const char *line) {
    size_t i = 0;
    const cJSON *id;
    cr_assert_eq((size_t)cJSON_GetArraySize(expected), count, "%zu tokens: %s", count, line);
    cJSON_ArrayForEach(id, expected) {
        cr_assert_eq(id->valueint, got[i], "position %zu has %d: %s", i, got[i], line);
        i++;
    }
}

Test(tokenizer, torture_texts_as_hugging_face) {
    char *path = test_golden("tokenizer/small.jsonl"), *text;
    size_t bytes, cases = 0;
    cr_assert_eq(ftc_file_read(path, &text, &bytes).code, FTC_OK);
    ftc_tokenizer *tokenizer = NULL;
    char *open = strdup("");
    ftc_tokens tokens = {0};
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), cases++) {
        cJSON *json = cJSON_Parse(line);
        const char *name = cJSON_GetObjectItem(json, "tokenizer")->valuestring;
        if (strcmp(open, name) != 0) {
            ftc_tokenizer_close(tokenizer);
            tokenizer = open_golden(name);
            free(open);
            open = strdup(name);
        }
        const cJSON *types = cJSON_GetObjectItem(json, "types");
        ftc_status status = ftc_tokenizer_encode(tokenizer, cJSON_GetObjectItem(json, "text")->valuestring,
                                                 cJSON_GetStringValue(cJSON_GetObjectItem(json, "pair")),
                                                 cJSON_GetObjectItem(json, "max_length")->valueint, &tokens);
        cr_assert_eq(status.code, FTC_OK, "%s: %s", status.message, line);
        expect_ids(cJSON_GetObjectItem(json, "ids"), tokens.ids, tokens.count, line);
        if (types)
            expect_ids(types, tokens.types, tokens.count, line);
        else
            for (size_t i = 0; i < tokens.count; i++) cr_assert_eq(tokens.types[i], 0);
        cJSON_Delete(json);
    }
    cr_assert_gt(cases, 900);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    free(open);
    free(text);
    free(path);
}

// --- every code point ---------------------------------------------------------------------------------

static uint64_t hash_codepoints(uint64_t value, const uint32_t *c, size_t count) {
    for (size_t i = 0; i < count; i++) value = value * MULTIPLIER + c[i] + 1;
    return value;
}

static const struct {
    const char *name;
    ftc_normalize_kind steps[2];
    size_t count;
} normalizers[] = {
    {"clean", {FTC_NORMALIZE_CLEAN}, 1},
    {"chinese", {FTC_NORMALIZE_SPACE_CHINESE}, 1},
    {"strip_nonspacing", {FTC_NORMALIZE_NFD, FTC_NORMALIZE_STRIP_NONSPACING}, 2},
    {"lower", {FTC_NORMALIZE_LOWER}, 1},
    {"nfd", {FTC_NORMALIZE_NFD}, 1},
    {"nfc", {FTC_NORMALIZE_NFC}, 1},
    {"nfkd", {FTC_NORMALIZE_NFKD}, 1},
    {"nfkc", {FTC_NORMALIZE_NFKC}, 1},
    {"strip_marks", {FTC_NORMALIZE_STRIP_MARKS}, 1},
};

static const struct {
    const char *name;
    unsigned split;
} splits[] = {
    {"bert", FTC_SPLIT_SPACES | FTC_SPLIT_PUNCTUATION},
    {"whitespace", FTC_SPLIT_SPACES | FTC_SPLIT_SYMBOLS},
    {"whitespace_split", FTC_SPLIT_SPACES},
    {"punctuation", FTC_SPLIT_PUNCTUATION},
};

static uint64_t hash_normalized(size_t n, uint32_t c, uint64_t value) {
    static ftc_codepoints text, spare;
    ftc_normalizer normalizer = {0};
    for (size_t i = 0; i < normalizers[n].count; i++)
        ftc_normalizer_add(&normalizer, normalizers[n].steps[i]);
    text.count = 0;
    ftc_codepoints_push(&text, 0x345);
    ftc_codepoints_push(&text, c);
    ftc_codepoints_push(&text, 0x301);
    ftc_normalizer_apply(&normalizer, &text, &spare);
    return hash_codepoints(value, text.data, text.count) * MULTIPLIER;
}

// The words of "a", the character, "a", with a line feed between them.
static uint64_t hash_words(size_t n, uint32_t c, uint64_t value) {
    uint32_t words[5];
    size_t count = 0;
    int class = ftc_split_class(splits[n].split, c);
    words[count++] = 'a';
    if (class != FTC_CHAR_WORD) words[count++] = '\n';
    if (class != FTC_CHAR_SPACE) words[count++] = c;
    if (class == FTC_CHAR_ALONE || class == FTC_CHAR_SYMBOL) words[count++] = '\n';
    words[count++] = 'a';
    return hash_codepoints(value, words, count) * MULTIPLIER;
}

static uint64_t hash_block(const char *name, uint32_t block) {
    uint64_t value = 0;
    for (uint32_t c = block ? block : 1; c < block + 0x4000; c++) {
        if (c >= 0xD800 && c < 0xE000) continue;
        for (size_t n = 0; n < sizeof normalizers / sizeof *normalizers; n++)
            if (strcmp(name, normalizers[n].name) == 0) value = hash_normalized(n, c, value);
        for (size_t n = 0; n < sizeof splits / sizeof *splits; n++)
            if (strcmp(name, splits[n].name) == 0) value = hash_words(n, c, value);
    }
    return value;
}

Test(tokenizer, every_code_point_as_hugging_face) {
    char *path = test_golden("tokenizer/codepoints.txt");
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    char name[32];
    unsigned block;
    unsigned long long expected;
    size_t lines = 0;
    for (; fscanf(file, "%31s %x %llx", name, &block, &expected) == 3; lines++)
        cr_expect_eq(hash_block(name, block), expected, "%s differs in U+%04X to U+%04X", name, block,
                     block + 0x3FFF);
    cr_assert_eq(lines, 13 * 68);
    fclose(file);
    free(path);
}

// --- shared data --------------------------------------------------------------------------------------

static ftc_tokenizer *open_shared_vocabulary(const char *vocabulary) {
    char *name = NULL, *text;
    size_t bytes;
    ftc_tokenizer *tokenizer = NULL;
    cr_assert(asprintf(&name, "vocab/bert-base-%s.txt", vocabulary) > 0);
    char *path = test_shared(name), *directory = test_directory();
    cr_assert_eq(ftc_file_read(path, &text, &bytes).code, FTC_OK);
    free(test_write(directory, "vocab.txt", text, bytes));
    const char *config = strcmp(vocabulary, "cased") == 0 ? "{\"do_lower_case\": false}" : "{}";
    free(test_write(directory, "tokenizer_config.json", config, strlen(config)));
    ftc_status status = ftc_tokenizer_open(directory, &tokenizer);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
    free(name);
    free(path);
    free(text);
    return tokenizer;
}

typedef struct {
    const ftc_table *table;
    const ftc_tokenizer *tokenizer;
    int max_length;
    size_t begin, end;
    uint64_t *hashes; // [rows]
    size_t tokens;
} hash_job;

static void *hash_rows(void *argument) {
    hash_job *job = argument;
    ftc_row row = {0};
    ftc_tokens tokens = {0};
    for (size_t i = job->begin; i < job->end; i++) {
        ftc_status status = ftc_table_read(job->table, i, &row);
        if (status.code == FTC_OK)
            status = ftc_tokenizer_encode(job->tokenizer, row.text, row.pair, job->max_length, &tokens);
        cr_assert_eq(status.code, FTC_OK, "%s", status.message);
        uint64_t power = 1, value = 0;
        for (size_t k = 0; k < tokens.count; k++) {
            power *= MULTIPLIER;
            value += ((uint64_t)tokens.ids[k] * 2 + (uint64_t)tokens.types[k] + 1) * power;
        }
        job->hashes[i] = value;
        job->tokens += tokens.count;
    }
    ftc_tokens_free(&tokens);
    ftc_row_free(&row);
    return NULL;
}

// Two threads share the table and the tokenizer.
static void expect_hash(const cJSON *golden, const ftc_tokenizer *tokenizer) {
    const char *file = cJSON_GetObjectItem(golden, "file")->valuestring;
    char *path = test_shared(file);
    ftc_table_options options = {.text_column = cJSON_GetStringValue(cJSON_GetObjectItem(golden, "text")),
                                 .pair_column = cJSON_GetStringValue(cJSON_GetObjectItem(golden, "pair")),
                                 .without_label = true};
    ftc_table *table = NULL;
    ftc_status status = ftc_table_open(path, &options, &table);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    size_t rows = ftc_table_rows(table);
    cr_expect_eq(rows, (size_t)cJSON_GetObjectItem(golden, "rows")->valueint, "%s has %zu rows", file, rows);

    uint64_t *hashes = calloc(rows, sizeof *hashes), total = 0;
    hash_job jobs[2];
    pthread_t threads[2];
    for (size_t t = 0; t < 2; t++) {
        jobs[t] = (hash_job){table,
                             tokenizer,
                             cJSON_GetObjectItem(golden, "max_length")->valueint,
                             rows * t / 2,
                             rows * (t + 1) / 2,
                             hashes,
                             0};
        cr_assert_eq(pthread_create(&threads[t], NULL, hash_rows, &jobs[t]), 0);
    }
    for (size_t t = 0; t < 2; t++) pthread_join(threads[t], NULL);
    for (size_t i = 0; i < rows; i++) total = total * MULTIPLIER + hashes[i];
    char hexadecimal[17];
    snprintf(hexadecimal, sizeof hexadecimal, "%016llx", (unsigned long long)total);
    cr_expect_eq(jobs[0].tokens + jobs[1].tokens, (size_t)cJSON_GetObjectItem(golden, "tokens")->valueint,
                 "%s", file);
    cr_expect_str_eq(hexadecimal, cJSON_GetObjectItem(golden, "hash")->valuestring, "%s", file);
    free(hashes);
    ftc_table_close(table);
    free(path);
}

static void expect_hashes(const char *vocabulary) {
    ftc_tokenizer *tokenizer = open_shared_vocabulary(vocabulary);
    cJSON *goldens = read_golden("tokenizer/shared.json");
    const cJSON *golden;
    size_t count = 0;
    cJSON_ArrayForEach(golden, goldens) {
        if (strcmp(cJSON_GetObjectItem(golden, "vocabulary")->valuestring, vocabulary) != 0) continue;
        expect_hash(golden, tokenizer);
        count++;
    }
    cr_assert_eq(count, 6);
    cJSON_Delete(goldens);
    ftc_tokenizer_close(tokenizer);
}

Test(tokenizer, data_sets_uncased_as_hugging_face) {
    expect_hashes("uncased");
}

Test(tokenizer, data_sets_cased_as_hugging_face) {
    expect_hashes("cased");
}

// torchtext's ids. It sees a special token in a text only if that is among `never_split`; Hugging Face always
// does.
Test(tokenizer, torchtext_ids) {
    static const char *const special[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    char *path = test_shared("tokenizer/torchtext_bert.json"), *text;
    size_t bytes, compared = 0;
    cr_assert_eq(ftc_file_read(path, &text, &bytes).code, FTC_OK);
    cJSON *cases = cJSON_Parse(text);
    const cJSON *item, *entry;
    ftc_tokenizer *tokenizers[2] = {open_shared_vocabulary("uncased"), open_shared_vocabulary("cased")};
    ftc_tokens tokens = {0};
    cJSON_ArrayForEach(item, cases) {
        const char *input = cJSON_GetObjectItem(item, "text")->valuestring;
        bool same_rules = true;
        for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
            bool kept = strstr(input, special[i]) == NULL;
            cJSON_ArrayForEach(entry, cJSON_GetObjectItem(item, "never_split"))
                kept |= strcmp(entry->valuestring, special[i]) == 0;
            same_rules &= kept;
        }
        if (!same_rules) continue;
        bool cased = strcmp(cJSON_GetObjectItem(item, "vocab")->valuestring, "bert-base-cased") == 0;
        ftc_status status = ftc_tokenizer_encode(tokenizers[cased], input, NULL, 512, &tokens);
        cr_assert_eq(status.code, FTC_OK, "%s", status.message);
        size_t added = cJSON_IsTrue(cJSON_GetObjectItem(item, "special_tokens_added")) ? 0 : 1;
        expect_ids(cJSON_GetObjectItem(item, "ids"), tokens.ids + added, tokens.count - 2 * added, input);
        compared++;
    }
    cr_expect_geq(compared, 18, "%zu", compared);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizers[0]);
    ftc_tokenizer_close(tokenizers[1]);
    cJSON_Delete(cases);
    free(text);
    free(path);
}

// --- other families -----------------------------------------------------------------------------------

// The first of the fields that the entry has.
static const cJSON *first_field(const cJSON *entry, const char *const *names) {
    const cJSON *found = NULL;
    for (; *names && !found; names++) found = cJSON_GetObjectItem(entry, *names);
    return found;
}

// Every entry of a family's goldens. `id_fields`, `type_fields`: those in which its ids and types are sought.
static void expect_entries(const char *directory, const char *goldens, bool by_class,
                           const char *const *id_fields, const char *const *type_fields) {
    ftc_tokenizer *tokenizer = NULL;
    ftc_status status = ftc_tokenizer_open_as(directory, by_class, &tokenizer);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    char *text;
    size_t bytes, compared = 0;
    cr_assert_eq(ftc_file_read(goldens, &text, &bytes).code, FTC_OK);
    for (char *nul; (nul = strstr(text, "\\u0000"));) memcpy(nul, "a NUL:", 6); // no text of C
    cJSON *json = cJSON_Parse(text);
    const cJSON *entry;
    ftc_tokens tokens = {0};
    cJSON_ArrayForEach(entry, cJSON_GetObjectItem(json, "entries")) {
        const char *input = cJSON_GetObjectItem(entry, "text")->valuestring;
        const char *pair = cJSON_GetStringValue(cJSON_GetObjectItem(entry, "pair"));
        if (strncmp(input, "a NUL:", 6) == 0) continue;
        const cJSON *ids = first_field(entry, id_fields), *types = first_field(entry, type_fields);
        status = ftc_tokenizer_encode(tokenizer, input, pair, 100000, &tokens);
        cr_assert_eq(status.code, FTC_OK, "%s", status.message);
        expect_ids(ids, tokens.ids, tokens.count, input);
        if (cJSON_IsArray(types)) expect_ids(types, tokens.types, tokens.count, input);
        compared++;
    }
    cr_expect_eq(compared, 85, "%zu", compared);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    cJSON_Delete(json);
    free(text);
}

// Where transformers 4 and 5 differ, tokenizer.json is what 4 follows. `field`: what holds the ids where that
// is in the entry.
static void expect_goldens(const char *directory, const char *goldens, const char *field) {
    const char *const ids[] = {field, "v4_input_ids", "input_ids", NULL};
    static const char *const types[] = {"v4_token_type_ids", "token_type_ids", NULL};
    expect_entries(directory, goldens, false, ids, types);
}

static void expect_goldens_by_class(const char *directory, const char *goldens, const char *field) {
    const char *const ids[] = {field, "input_ids", NULL};
    static const char *const types[] = {"token_type_ids", NULL};
    expect_entries(directory, goldens, true, ids, types);
}

// `class`: by which transformers 5 cuts otherwise; NULL: it does not.
static void expect_other_class(const char *directory, const char *class) {
    ftc_tokenizer *tokenizer = NULL;
    cr_assert_eq(ftc_tokenizer_open(directory, &tokenizer).code, FTC_OK);
    const char *other = ftc_tokenizer_other_class(tokenizer);
    cr_expect(class ? other && strcmp(class, other) == 0 : !other, "%s: %s", directory,
              other ? other : "none");
    ftc_tokenizer_close(tokenizer);
}

// Chunks that are kept are what encoding the whole text gives: each text of the goldens behind another one,
// with and without them. The second round finds what the first has kept.
static void expect_chunks_change_nothing(const char *directory, const char *goldens) {
    ftc_tokenizer *by_chunks = NULL, *as_whole = NULL;
    cr_assert_eq(ftc_tokenizer_open(directory, &by_chunks).code, FTC_OK);
    cr_assert_eq(ftc_tokenizer_open(directory, &as_whole).code, FTC_OK);
    cr_assert(as_whole->chunks, "%s: nothing is kept of chunks any more", directory);
    ftc_chunk_cache_free(as_whole->chunks);
    as_whole->chunks = NULL;
    char *text;
    size_t bytes;
    cr_assert_eq(ftc_file_read(goldens, &text, &bytes).code, FTC_OK);
    cJSON *json = cJSON_Parse(text);
    const cJSON *entries = cJSON_GetObjectItem(json, "entries"), *left, *right;
    ftc_tokens a = {0}, b = {0};
    for (int round = 0; round < 2; round++)
        cJSON_ArrayForEach(left, entries)
            cJSON_ArrayForEach(right, entries) {
                const char *ends[] = {cJSON_GetObjectItem(left, "text")->valuestring,
                                      cJSON_GetObjectItem(right, "text")->valuestring};
                if (strlen(ends[0]) > 200 || strlen(ends[1]) > 200) continue;
                char both[512];
                snprintf(both, sizeof both, "%s %s", ends[0], ends[1]);
                cr_assert_eq(ftc_tokenizer_encode(by_chunks, both, NULL, 100000, &a).code, FTC_OK);
                cr_assert_eq(ftc_tokenizer_encode(as_whole, both, NULL, 100000, &b).code, FTC_OK);
                cr_expect(a.count == b.count && memcmp(a.ids, b.ids, a.count * sizeof *a.ids) == 0, "%s",
                          both);
            }
    ftc_tokens_free(&a);
    ftc_tokens_free(&b);
    ftc_tokenizer_close(by_chunks);
    ftc_tokenizer_close(as_whole);
    cJSON_Delete(json);
    free(text);
}

// Where a word is cut with the blank before it, there are no chunks.
static void expect_no_chunks(const char *directory) {
    ftc_tokenizer *tokenizer = NULL;
    cr_assert_eq(ftc_tokenizer_open(directory, &tokenizer).code, FTC_OK);
    cr_expect_null(tokenizer->chunks, "%s has chunks: expect that they change nothing", directory);
    ftc_tokenizer_close(tokenizer);
}

static void expect_family(const char *name, bool has_chunks, const char *other_class) {
    char file[64];
    snprintf(file, sizeof file, "tokenizer/%s", name);
    char *directory = test_shared(file), *goldens = test_join(directory, "goldens.json");
    expect_goldens(directory, goldens, "");
    expect_goldens_by_class(directory, goldens, "");
    expect_other_class(directory, other_class);
    if (has_chunks)
        expect_chunks_change_nothing(directory, goldens);
    else
        expect_no_chunks(directory);
    free(goldens);
    free(directory);
}

// A special token that is sought in normalized text is not sought before as well, whatever role it has.
Test(tokenizer, normalized_special_tokens_leave_the_blank_before_them) {
    char *directory = test_shared("tokenizer/deberta-v3");
    ftc_tokenizer *tokenizer = NULL;
    ftc_tokens tokens = {0};
    cr_assert_eq(ftc_tokenizer_open(directory, &tokenizer).code, FTC_OK);
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, "\u0187dog [UNK]", NULL, 512, &tokens).code, FTC_OK);
    const int32_t ids[] = {1, 507, 3, 16194, 507, 3, 2}; // by tokenizers 0.23.3
    cr_expect(tokens.count == 7 && memcmp(tokens.ids, ids, sizeof ids) == 0);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    free(directory);
}

Test(tokenizer, roberta_as_hugging_face) {
    expect_family("roberta", false, NULL);
}

Test(tokenizer, gpt2_as_hugging_face) {
    expect_family("gpt2", false, NULL);
}

Test(tokenizer, modernbert_as_hugging_face) {
    expect_family("modernbert", false, NULL);
}

Test(tokenizer, mpnet_as_hugging_face) {
    expect_family("mpnet", true, NULL);
}

Test(tokenizer, xlm_roberta_as_hugging_face) {
    expect_family("xlm-roberta", true, "XLMRobertaTokenizer");
}

Test(tokenizer, albert_as_hugging_face) {
    expect_family("albert", true, "AlbertTokenizer");
}

Test(tokenizer, deberta_v3_as_hugging_face) {
    expect_family("deberta-v3", true, "DebertaV2Tokenizer");
}

// A directory with some files of a family alone. To be freed.
static char *copy_files(const char *from, const char *const *files) {
    char *directory = test_directory();
    for (; *files; files++) {
        char *source = test_join(from, *files), *target = test_join(directory, *files);
        cr_assert_eq(ftc_file_copy(source, target).code, FTC_OK);
        free(source);
        free(target);
    }
    return directory;
}

static void expect_bare(const char *family, const char *const *files, const char *config) {
    char name[64];
    snprintf(name, sizeof name, "tokenizer/%s", family);
    char *from = test_shared(name), *directory = copy_files(from, files),
         *goldens = test_join(from, "goldens.json");
    free(test_write(directory, "tokenizer_config.json", config, strlen(config)));
    expect_goldens(directory, goldens, "v4_bare_input_ids");
    expect_goldens_by_class(directory, goldens, "bare_input_ids");
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(goldens);
    free(directory);
    free(from);
}

Test(tokenizer, roberta_without_tokenizer_json) {
    static const char *const FILES[] = {"vocab.json", "merges.txt", NULL};
    expect_bare("roberta", FILES, "{\"tokenizer_class\": \"RobertaTokenizer\"}");
}

// The names of its special tokens and its template are those of the class.
Test(tokenizer, mpnet_without_tokenizer_json) {
    static const char *const FILES[] = {"vocab.txt", NULL};
    expect_bare("mpnet", FILES, "{\"tokenizer_class\": \"MPNetTokenizer\"}");
}

// Of files that name no special tokens, the family tells them: what masks texts needs one.
Test(tokenizer, knows_special_tokens_of_the_family) {
    char *directory = test_shared("tokenizer/roberta");
    ftc_tokenizer *tokenizer = NULL;
    cr_assert_eq(ftc_tokenizer_open(directory, &tokenizer).code, FTC_OK);
    cr_expect_eq(ftc_tokenizer_mask_id(tokenizer), 50264);
    cr_expect_eq(ftc_tokenizer_pad_id(tokenizer), 1);
    cr_expect_eq(ftc_tokenizer_unk_id(tokenizer), 3);
    ftc_tokenizer_close(tokenizer);
    free(directory);
}

// Its tokenizer.json lies there packed.
Test(tokenizer, qwen3_as_hugging_face) {
    char *from = test_shared("tokenizer/qwen3"), *directory = test_directory(),
         *goldens = test_join(from, "goldens.json");
    char *command;
    cr_assert(asprintf(&command, "gzip -dc '%s/tokenizer.json.gz' >'%s/tokenizer.json'", from, directory) >
              0);
    cr_assert_eq(system(command), 0);
    expect_goldens(directory, goldens, "");
    const char config[] = "{\"tokenizer_class\": \"Qwen2Tokenizer\"}";
    free(test_write(directory, "tokenizer_config.json", config, strlen(config)));
    expect_goldens_by_class(directory, goldens, "");
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(command);
    free(goldens);
    free(directory);
    free(from);
}

// --- time ---------------------------------------------------------------------------------------------

// Seconds of this thread that encoding `n` combining marks takes: of falling and of rising classes in turns.
static double seconds_for_marks(const ftc_tokenizer *tokenizer, size_t n) {
    static const char *const MARKS[] = {"\u0301", "\u0323", "\u0345", "\u0327"}; // 230, 220, 240, 202
    char *text = malloc(2 * n + 2), *at = text;
    *at++ = 'a';
    for (size_t i = 0; i < n; i++, at += 2) memcpy(at, MARKS[i * 7919 % 4], 2);
    *at = 0;
    ftc_tokens tokens = {0};
    double start = ftc_clock_cpu_seconds();
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, text, NULL, 64, &tokens).code, FTC_OK);
    double seconds = ftc_clock_cpu_seconds() - start;
    ftc_tokens_free(&tokens);
    free(text);
    return seconds;
}

// Sixteen times as many marks take sixteen times as long, not 256.
Test(tokenizer, time_grows_as_the_text_does) {
    static const char *const NAMES[] = {"uncased", "nfkc"};
    for (int i = 0; i < 2; i++) {
        ftc_tokenizer *tokenizer = open_golden(NAMES[i]);
        seconds_for_marks(tokenizer, 20000);
        double few = seconds_for_marks(tokenizer, 20000), many = seconds_for_marks(tokenizer, 320000);
        cr_expect_lt(many, few * 16 * 5, "%s: %.4f s become %.4f s", NAMES[i], few, many);
        ftc_tokenizer_close(tokenizer);
    }
}

static ftc_tokenizer *open_text(char *directory, const char *json) {
    ftc_tokenizer *tokenizer = NULL;
    free(test_write(directory, "tokenizer.json", json, strlen(json)));
    ftc_status status = ftc_tokenizer_open(directory, &tokenizer);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    return tokenizer;
}

// Seconds of this thread that opening a directory with `n` added tokens takes: in tokenizer.json, or in
// added_tokens.json, where other files say which are special.
static double seconds_for_added(size_t n, bool older) {
    static const char VOCABULARY[] = "[UNK]\n[CLS]\n[SEP]\na\n";
    char *directory = test_directory(), *texts[2];
    ftc_text text, map;
    FILE *f = ftc_text_open(&text), *special = ftc_text_open(&map);
    fputs(older ? "{" : "{\"added_tokens\":[", f);
    fputs("{\"additional_special_tokens\":[", special);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, older ? "%s\"<%zu>\":%zu" : "%s{\"content\":\"<%zu>\",\"id\":%zu}", i ? "," : "", i,
                4 + i);
        fprintf(special, "%s\"<%zu>\"", i ? "," : "", i);
    }
    fputs(
        older
            ? "}"
            : "],\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3}}}",
        f);
    fputs("]}", special);
    texts[0] = ftc_text_close(&text, NULL);
    texts[1] = ftc_text_close(&map, NULL);
    free(test_write(directory, older ? "added_tokens.json" : "tokenizer.json", texts[0], strlen(texts[0])));
    if (older) {
        free(test_write(directory, "vocab.txt", VOCABULARY, strlen(VOCABULARY)));
        free(test_write(directory, "special_tokens_map.json", texts[1], strlen(texts[1])));
    }
    ftc_tokenizer *tokenizer = NULL;
    double start = ftc_clock_cpu_seconds();
    ftc_status status = ftc_tokenizer_open(directory, &tokenizer);
    double seconds = ftc_clock_cpu_seconds() - start;
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    cr_expect_eq(ftc_tokenizer_vocab_size(tokenizer), (int32_t)(4 + n));
    ftc_tokenizer_close(tokenizer);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    for (int i = 0; i < 2; i++) free(texts[i]);
    free(directory);
    return seconds;
}

Test(tokenizer, time_grows_as_the_added_tokens_do) {
    for (int older = 0; older < 2; older++) {
        seconds_for_added(3000, older);
        double few = seconds_for_added(3000, older), many = seconds_for_added(48000, older);
        cr_expect_lt(many, few * 16 * 4, "%s: %.4f s become %.4f s", older ? "older" : "json", few, many);
    }
}

// Of steps that each hand on a changed piece, one does not write where another still reads.
Test(tokenizer, steps_that_change_pieces_follow_each_other) {
    static const char JSON[] =
        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
        "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"never\",\"split\":false},"
        "{\"type\":\"Punctuation\"},"
        "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"always\",\"split\":true}]},"
        "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":"
        "[[\"<unk>\",-9],[\"\u2581a\",-1],[\"\u2581,\",-1],[\"\u2581bc\",-1],[\"\u2581\",-1]]}}";
    char *directory = test_directory(), blanks[5000];
    ftc_tokenizer *tokenizer = open_text(directory, JSON);
    ftc_tokens tokens = {0};
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, "a,bc,a", NULL, 64, &tokens).code, FTC_OK);
    const int32_t expected[] = {1, 2, 3, 2, 1};
    cr_assert_eq(tokens.count, 5);
    cr_expect_arr_eq(tokens.ids, expected, sizeof expected);
    memset(blanks, ' ', sizeof blanks - 1);
    blanks[sizeof blanks - 1] = '\0';
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, blanks, NULL, 8192, &tokens).code, FTC_OK);
    cr_assert_eq(tokens.count, sizeof blanks - 1);
    for (size_t i = 0; i < tokens.count; i++) cr_assert_eq(tokens.ids[i], 4);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}

// A token without letters has its id, too.
Test(tokenizer, unknown_may_be_empty) {
    char *directory = test_directory();
    ftc_tokenizer *tokenizer = open_text(
        directory, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0],[\"\",0]]}}");
    ftc_tokens tokens = {0};
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, "", NULL, 9, &tokens).code, FTC_OK);
    cr_expect_eq(tokens.count, 0);
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, "b", NULL, 9, &tokens).code, FTC_OK);
    cr_assert(tokens.count == 1 && tokens.ids[0] == 1 && ftc_tokenizer_vocab_size(tokenizer) == 2);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}

// Marks are sorted by class, those of one class stay in order; few of them and many.
Test(unicode, marks_are_sorted_stably) {
    for (size_t n = 1; n <= 40; n++) {
        uint32_t text[42] = {'a'}, expected[42] = {'a'};
        static const uint32_t CLASSES[3][2] = {
            {0x327, 0x328}, {0x323, 0x324}, {0x301, 0x300}}; // 202, 220, 230
        size_t count = 1;
        for (size_t i = 0; i < n; i++) text[1 + i] = CLASSES[i * 5 % 3][i % 2];
        for (int class = 0; class < 3; class ++)
            for (size_t i = 0; i < n; i++)
                if (i * 5 % 3 == (size_t)class) expected[count++] = CLASSES[class][i % 2];
        text[1 + n] = expected[1 + n] = 'b';
        ftc_unicode_reorder(text, n + 2);
        cr_expect_arr_eq(text, expected, (n + 2) * sizeof *text, "%zu marks", n);
    }
}

// --- what it tells ------------------------------------------------------------------------------------

Test(tokenizer, tells_its_vocabulary) {
    ftc_tokenizer *uncased = open_golden("uncased"), *added = open_golden("added");
    cr_expect_eq(ftc_tokenizer_pad_id(uncased), 0);
    cr_expect_eq(ftc_tokenizer_unk_id(uncased), 1);
    cr_expect_str_eq(ftc_tokenizer_token(uncased, 4), "[MASK]");
    cr_expect_str_eq(ftc_tokenizer_token(uncased, 5), "!");
    cr_expect_null(ftc_tokenizer_token(uncased, -1));
    cr_expect_null(ftc_tokenizer_token(uncased, ftc_tokenizer_vocab_size(uncased)));
    cr_expect_eq(ftc_tokenizer_model_max_length(uncased), 64);
    cr_expect_eq(ftc_tokenizer_model_max_length(added), 0);
    // Five added tokens are new, "good" is in the vocabulary.
    int32_t size = ftc_tokenizer_vocab_size(uncased);
    cr_expect_eq(ftc_tokenizer_vocab_size(added), size + 5);
    cr_expect_str_eq(ftc_tokenizer_token(added, size), "<new>");
    ftc_tokenizer_close(uncased);
    ftc_tokenizer_close(added);
}

// --- bad input ----------------------------------------------------------------------------------------

static void expect_message(ftc_status status, const char *part) {
    cr_assert_eq(status.code, FTC_BAD_INPUT, "expected \"%s\"", part);
    cr_expect_not_null(strstr(status.message, part), "\"%s\" is not in: %s", part, status.message);
    cr_expect_null(strchr(status.message, '\n'), "%s", status.message);
    ftc_status_free(&status);
}

Test(tokenizer, refuses_what_it_cannot_encode) {
    ftc_tokenizer *tokenizer = open_golden("uncased");
    ftc_tokens tokens = {0};
    expect_message(ftc_tokenizer_encode(tokenizer, "good \xE9t\xE9", NULL, 64, &tokens),
                   "byte 0xe9 at offset 5");
    expect_message(ftc_tokenizer_encode(tokenizer, "ok", "overlong \xC0\x80", 64, &tokens),
                   "byte 0xc0 at offset 9");
    expect_message(ftc_tokenizer_encode(tokenizer, "cut \xF0\x9F\x99", NULL, 64, &tokens),
                   "byte 0xf0 at offset 4");
    expect_message(ftc_tokenizer_encode(tokenizer, "surrogate \xED\xA0\x80", NULL, 64, &tokens), "byte 0xed");
    expect_message(ftc_tokenizer_encode(tokenizer, "good", NULL, 1, &tokens), "maximum length of 1");
    expect_message(ftc_tokenizer_encode(tokenizer, "good", "bad", 2, &tokens), "maximum length of 2");
    for (int length = 2; length <= 3; length++) { // of two tokens, none is the text's
        ftc_status status = ftc_tokenizer_encode(tokenizer, "good", NULL, length, &tokens);
        cr_expect_eq(status.code, FTC_OK);
        cr_expect_eq(tokens.count, (size_t)length);
    }
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
}

#define VOCABULARY "\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3}"
#define BYTE_LEVEL "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"
#define WORDPIECE  "\"model\":{\"type\":\"WordPiece\"," VOCABULARY "}"

#define TEXT(id) "{\"Sequence\":{\"id\":\"" id "\",\"type_id\":0}}"
#define TEMPLATE(single, pair)                                                                               \
    "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"special_tokens\":{"                              \
    "\"[X]\":{\"id\":\"[X]\",\"ids\":[1,2],\"tokens\":[\"a\",\"b\"]}},"                                      \
    "\"single\":[" single "],\"pair\":[" pair "]}," WORDPIECE "}"

#define TEN   "aaaaaaaaaa"
#define TIMES "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"" TEN TEN TEN TEN TEN "\"}"
#define MULTIPLIED                                                                                           \
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" TIMES "," TIMES "," TIMES "," TIMES "]},"

// What a file's normalizer makes of a text stays within bounds; an added token is normalized, too.
Test(tokenizer, refuses_a_normalizer_that_multiplies_the_text) {
    char *directory = test_directory();
    ftc_tokenizer *tokenizer = open_text(directory, MULTIPLIED WORDPIECE "}");
    ftc_tokens tokens = {0};
    expect_message(ftc_tokenizer_encode(tokenizer, "b a", NULL, 64, &tokens),
                   "the normalizer makes it too long");
    cr_expect_eq(ftc_tokenizer_encode(tokenizer, "b", NULL, 64, &tokens).code, FTC_OK);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}

static const struct {
    const char *file, *text, *message;
} BAD_DIRECTORIES[] = {
    {"tokenizer.json", MULTIPLIED "\"added_tokens\":[{\"content\":\"<a>\",\"id\":7}]," WORDPIECE "}",
     "the added token \"<a>\": the normalizer makes it too long"},
    {"other.txt", "", "neither"},
    {"tokenizer.json", "{\"model\":", "not valid JSON at byte"},
    {"tokenizer.json", "[]", "a JSON object is expected"},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordLevel\"}}", "the model \"WordLevel\" is not supported"},
    {"tokenizer.json", "{\"model\":{\"type\":\"BPE\"}}", "behind the pre-tokenizer \"ByteLevel\" only"},
    {"tokenizer.json", BYTE_LEVEL ",\"model\":{\"type\":\"BPE\",\"dropout\":0.1}}",
     "\"BPE\" with \"dropout\""},
    {"tokenizer.json", BYTE_LEVEL ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
     "the merge of \"a\" and \"b\" is not of tokens to a token"},
    {"tokenizer.json", BYTE_LEVEL ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}",
     "no token for the byte 0x00"},
    {"tokenizer.json",
     "{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"(\"}}"
     "," WORDPIECE "}",
     "the pattern \"(\" of the pre-tokenizer: missing closing parenthesis"},
    {"tokenizer.json",
     "{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"MergedWithNext\"}," WORDPIECE "}",
     "not \"MergedWithNext\""},
    {"tokenizer.json", "{\"pre_tokenizer\":{\"type\":\"Metaspace\"}," WORDPIECE "}",
     "\"Metaspace\" is supported with replacement"},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}", "there is no \"vocab\""},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":-1}}}",
     "the token \"a\" has no valid id"},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\\n\\u001b[2J\":-1}}}",
     "the token \"a\\n\\x1b[2J\" has no valid id"},
    {"tokenizer.json",
     "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"ab\"}," WORDPIECE "}",
     "the \"precompiled_charsmap\" of the normalizer is none"},
    {"tokenizer.json", "{\"normalizer\":{\"type\":\"Prepend\"}," WORDPIECE "}", "the normalizer \"Prepend\""},
    {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}", "has no unk_id"},
    {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\"]]}}",
     "entry 0 of \"vocab\""},
    {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\",\"byte_fallback\":true}}",
     "over bytes is not supported"},
    {"spiece.model", "", "SentencePiece's own file is not read"},
    {"tokenizer.json",
     "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}," WORDPIECE "}",
     "the pattern \"(\" of the normalizer: missing closing parenthesis"},
    {"tokenizer.json", "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," WORDPIECE "}",
     "\"ByteLevel\" is supported before the model \"BPE\" only"},
    {"tokenizer.json",
     "{\"pre_tokenizer\":{\"type\":\"Punctuation\",\"behavior\":\"Removed\"}," WORDPIECE "}",
     "not \"Removed\""},
    {"tokenizer.json", "{\"post_processor\":{\"type\":\"RobertaProcessing\"}," WORDPIECE "}",
     "no first token \"\""},
    {"tokenizer.json", "{\"post_processor\":{\"type\":\"Other\"}," WORDPIECE "}",
     "the post-processor \"Other\""},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"[CLS]\":1}}}",
     "no separator token \"[SEP]\""},
    {"tokenizer.json", "{\"added_tokens\":[{\"content\":\"<x>\"}]," WORDPIECE "}",
     "the added token \"<x>\" has no valid id"},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":1.5}}}",
     "the token \"a\" has no valid id"},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"max_input_chars_per_word\":-1," VOCABULARY "}}",
     "\"max_input_chars_per_word\" is no whole number"},
    {"tokenizer.json", "{\"added_tokens\":[{\"content\":\"<x>\",\"id\":1e10}]," WORDPIECE "}",
     "the added token \"<x>\" has no valid id"},
    {"tokenizer.json", TEMPLATE(TEXT("A") "," TEXT("A"), TEXT("A") "," TEXT("B")),
     "the template \"single\" names the text \"A\" 2 times"},
    {"tokenizer.json", TEMPLATE(TEXT("A"), TEXT("A") "," TEXT("A") "," TEXT("B")),
     "the template \"pair\" names the text \"A\" 2 times"},
    {"tokenizer.json", TEMPLATE(TEXT("A"), TEXT("B")), "the template \"pair\" names the text \"A\" 0 times"},
    {"tokenizer.json", TEMPLATE(TEXT("B"), TEXT("A") "," TEXT("B")),
     "the template \"single\" names the text \"B\""},
    {"tokenizer.json", TEMPLATE("{\"SpecialToken\":{\"id\":\"a\",\"type_id\":0}}", TEXT("A")),
     "the token \"a\", which its \"special_tokens\" lack"},
    {"tokenizer.json",
     "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"special_tokens\":{\"[X]\":{\"ids\":[2,4]}},"
     "\"single\":[{\"SpecialToken\":{\"id\":\"[X]\",\"type_id\":0}}]}," WORDPIECE "}",
     "the token \"[X]\" with the id 4, which is beyond the vocabulary"},
    {"tokenizer.json", TEMPLATE("{\"Sequence\":{\"id\":\"A\",\"type_id\":-1}}", TEXT("A")),
     "\"type_id\" is no whole number"},
    {"vocab.txt", "[CLS]\n[SEP]\na\n", "no unknown token \"[UNK]\""},
    {"vocab.txt", "[UNK]\n\xFF\n", "not UTF-8 at byte 6"},
    {"vocab.json", "{\"a\":0}", "merges.txt"},
};

Test(tokenizer, refuses_directories_by_name_of_what_is_wrong) {
    for (size_t i = 0; i < sizeof BAD_DIRECTORIES / sizeof *BAD_DIRECTORIES; i++) {
        char *directory = test_directory();
        free(test_write(directory, BAD_DIRECTORIES[i].file, BAD_DIRECTORIES[i].text,
                        strlen(BAD_DIRECTORIES[i].text)));
        ftc_tokenizer *tokenizer = NULL;
        expect_message(ftc_tokenizer_open(directory, &tokenizer), BAD_DIRECTORIES[i].message);
        cr_expect_null(tokenizer);
        cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
        free(directory);
    }
}

// What transformers 5 makes of a class is for who asks for it.
Test(tokenizer, refuses_classes_that_it_does_not_know_by_name) {
    static const struct {
        const char *config, *message;
    } cases[] = {{"{\"tokenizer_class\": \"OtherTokenizer\"}", "OtherTokenizer"},
                 {"{}", "neither tokenizer_config.json nor config.json names"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *directory = test_directory();
        free(test_write(directory, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\n", 18));
        free(test_write(directory, "tokenizer_config.json", cases[i].config, strlen(cases[i].config)));
        ftc_tokenizer *tokenizer = NULL;
        expect_message(ftc_tokenizer_open_as(directory, true, &tokenizer), cases[i].message);
        cr_assert_eq(ftc_tokenizer_open(directory, &tokenizer).code, FTC_OK);
        ftc_tokenizer_close(tokenizer);
        cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
        free(directory);
    }
}

// A special token of a template may stand for several, as its "ids" say.
Test(tokenizer, puts_all_ids_of_a_special_token) {
    static const char text[] =
        TEMPLATE(TEXT("A") ",{\"SpecialToken\":{\"id\":\"[X]\",\"type_id\":1}}", TEXT("A") "," TEXT("B"));
    char *directory = test_directory();
    free(test_write(directory, "tokenizer.json", text, strlen(text)));
    ftc_tokenizer *tokenizer = NULL;
    ftc_status status = ftc_tokenizer_open(directory, &tokenizer);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    ftc_tokens tokens = {0};
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, "a", NULL, 4, &tokens).code, FTC_OK);
    static const int32_t ids[] = {3, 1, 2}, types[] = {0, 1, 1};
    cr_assert_eq(tokens.count, 3);
    cr_assert_arr_eq(tokens.ids, ids, sizeof ids);
    cr_assert_arr_eq(tokens.types, types, sizeof types);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}

// Tokens that were added to a vocabulary alone, in a file of their own; other files say which are special.
Test(tokenizer, added_tokens_of_older_files) {
    static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nsoup\n",
                      added[] = "{\"[ENT]\": 7, \"covid19\": 8}",
                      map[] = "{\"additional_special_tokens\": [{\"content\": \"[ENT]\"}]}";
    char *directory = test_directory();
    free(test_write(directory, "vocab.txt", vocabulary, sizeof vocabulary - 1));
    free(test_write(directory, "added_tokens.json", added, sizeof added - 1));
    free(test_write(directory, "special_tokens_map.json", map, sizeof map - 1));
    ftc_tokenizer *tokenizer;
    ftc_tokens tokens = {0};
    cr_assert_eq(ftc_tokenizer_open(directory, &tokenizer).code, FTC_OK);
    // A special token is looked for as it is written, another in lower case.
    cr_assert_eq(ftc_tokenizer_encode(tokenizer, "The [ENT] COVID19 [ent] soup", NULL, 64, &tokens).code,
                 FTC_OK);
    static const int32_t expected[] = {2, 5, 7, 8, 1, 1, 1, 6, 3};
    cr_assert_eq(tokens.count, 9);
    cr_expect_arr_eq(tokens.ids, expected, sizeof expected);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}

// A vocab.txt alone is BERT's, uncased; white space at the ends of its lines does not count.
Test(tokenizer, needs_no_configuration) {
    static const char vocabulary[] = "[PAD]\r\n[UNK] \n[CLS]\n[SEP]\na\n##b";
    char *directory = test_directory();
    free(test_write(directory, "vocab.txt", vocabulary, sizeof vocabulary - 1));
    ftc_tokenizer *tokenizer = NULL;
    ftc_status status = ftc_tokenizer_open(directory, &tokenizer);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    ftc_tokens tokens = {0};
    cr_assert_eq(ftc_tokenizer_encode(tokenizer,
                                      "\xC3\x84"
                                      "bb [MASK] [UNK]",
                                      NULL, 16, &tokens)
                     .code,
                 FTC_OK);
    static const int32_t expected[] = {2, 4, 5, 5, 1, 1, 1, 1, 3}; // no [MASK] in the vocabulary: [, mask, ]
    cr_assert_eq(tokens.count, 9, "%zu", tokens.count);
    cr_expect_arr_eq(tokens.ids, expected, sizeof expected);
    ftc_tokens_free(&tokens);
    ftc_tokenizer_close(tokenizer);
    cr_assert_eq(ftc_dir_remove(directory).code, FTC_OK);
    free(directory);
}
