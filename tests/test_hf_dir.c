// Hugging Face directories: config.json both ways, names with and without prefix, every refusal.
#include "runtime/hub/hf_dir.h"
#include "runtime/hub/pooling.h"
#include "runtime/hub/names.h"
#include "runtime/hub/safetensors.h"
#include "runtime/json.h"
#include "runtime/loop/model_state.h"
#include "tests/bag_model.h"
#include "tests/scratch.h"

#include <math.h>

static void write_text(const char *dir, const char *name, const char *text) {
    char *path = ftc_path_join(dir, name);
    ASSERT_OK(ftc_file_write(path, text, strlen(text)));
    free(path);
}

Test(hf_dir, config_is_read) {
    char *dir = test_directory();
    write_text(dir, "config.json",
               "{\"model_type\": \"bert\", \"hidden_size\": 384, \"hidden_act\": \"gelu\", "
               "\"classifier_dropout\": null,"
               " \"id2label\": {\"0\": \"bad\", \"1\": \"good\"}}");
    ftc_hf_config *config;
    ASSERT_OK(ftc_hf_config_read(dir, &config));
    double number;
    const char *text;
    cr_assert(ftc_hf_config_number(config, "hidden_size", &number));
    cr_assert_eq(number, 384);
    cr_assert(ftc_hf_config_text(config, "hidden_act", &text));
    cr_assert_str_eq(text, "gelu");
    cr_assert_not(ftc_hf_config_number(config, "classifier_dropout", &number));
    cr_assert_not(ftc_hf_config_number(config, "hidden_act", &number));
    cr_assert_eq(ftc_hf_config_label_count(config), 2);
    cr_assert_str_eq(ftc_hf_config_label(config, 1), "good");
    cr_assert_null(ftc_hf_config_label(config, 2));
    ftc_hf_config_free(config);
    scratch_free(dir);
}

Test(hf_dir, what_is_no_encoder_is_refused) {
    static const char *const CASES[][2] = {
        {"{\"is_decoder\": true}", "decoder"},
        {"{\"model_type\": ", "not valid JSON"},
        {"[1]", "a JSON object is expected"},
        {"{} {}", "not valid JSON at byte 3"},
        {"{\"hidden_act\": \"ge\\u0000lu\"}", "a string with \\u0000 cannot be read"},
        {"{\"hidden_act\": \"a\\\\\\u0000\"}", "a string with \\u0000 cannot be read"},
        {"{\"hidden_act\": \"gelu\\u00\"}", "at byte 20: a string with \\u needs four"},
        {"{\"hidden_act\": \"gelu\\u", "at byte 20: a string with \\u needs four"},
        {"{\"layer_norm_eps\": 1e-400}", "at byte 19: a number beyond what a double holds, or nearer to 0"},
    };
    char *dir = test_directory();
    ftc_hf_config *config = NULL;
    ASSERT_FAILS(ftc_hf_config_read(dir, &config), FTC_BAD_INPUT, "config.json: cannot open");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        write_text(dir, "config.json", CASES[i][0]);
        ASSERT_FAILS(ftc_hf_config_read(dir, &config), FTC_BAD_INPUT, CASES[i][1]);
        cr_assert_null(config);
    }
    scratch_free(dir);
}

// Entries and labels are walked: what sought each by its place or its name took minutes for so many.
Test(hf_dir, large_configs_are_read_once, .timeout = 20) {
    enum { N = 200000 };
    char *dir = test_directory(), *text, *path = ftc_path_join(dir, "config.json");
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    fputs("{\"hidden_act\": \"a\\\\u0000\"", f); // a backslash and letters: no NUL
    for (int i = 0; i < N; i++) fprintf(f, ", \"key%d\": %d", i, i);
    fputs(", \"id2label\": {\"0\": \"name0\"", f);
    for (int i = 1; i < N; i++) fprintf(f, ", \"%d\": \"name%d\"", i, i);
    fputs("}}", f);
    fclose(f);
    ASSERT_OK(ftc_file_write(path, text, bytes));

    ftc_hf_config *config;
    ASSERT_OK(ftc_hf_config_read(dir, &config));
    const char *name;
    char *value;
    int n = 0;
    for (const struct cJSON *at = NULL; ftc_hf_config_next(config, &at, &name, &value); n++) {
        if (n == 0) cr_expect_str_eq(value, "a\\u0000");
        if (n == N) cr_expect(strcmp(name, "key199999") == 0 && strcmp(value, "199999") == 0);
        free(value);
    }
    cr_expect_eq(n, N + 2);
    cr_assert_eq(ftc_hf_config_label_count(config), N);
    for (int i = 0; i < N; i++) cr_assert_eq(atoi(ftc_hf_config_label(config, i) + strlen("name")), i);
    cr_expect_null(ftc_hf_config_label(config, N));
    cr_expect_null(ftc_hf_config_label(config, -1));
    ftc_hf_config_free(config);
    free(text);
    free(path);
    scratch_free(dir);
}

static void add_length(void *context, const char *name, const char *value) {
    *(size_t *)context += strlen(name) + (value ? strlen(value) : 0);
}

// Nor does a list, when it is read and when it is carried over, or what lies below a long name.
Test(hf_dir, large_lists_are_read_once, .timeout = 20) {
    enum { N = 400000, NAME = 100000 };
    char *dir = test_directory(), *text, *path = ftc_path_join(dir, "config.json");
    size_t bytes, length = 0;
    FILE *f = open_memstream(&text, &bytes);
    fprintf(f, "{\"hidden_act\": \"gelu\", \"%0*d\": {\"a\": 0", NAME, 0);
    for (int i = 1; i < N; i++) fputs(", \"a\": 0", f);
    fputs("}, \"custom\": [7", f);
    for (int i = 1; i < N; i++) fputs(", 7", f);
    fputs("]}", f);
    fclose(f);
    ASSERT_OK(ftc_file_write(path, text, bytes));
    ftc_hf_config *config;
    ASSERT_OK(ftc_hf_config_read(dir, &config));
    ftc_hf_config_each(config, add_length, &length);
    cr_expect_eq(length, strlen("hidden_act"
                                "gelu"
                                "custom") +
                             2 * N - 1);
    ftc_hf_config_free(config);
    ftc_hf_config_extra extra = {.base_dir = dir};
    ASSERT_OK(ftc_hf_config_write(&BAG_PROGRAM, &extra, path));
    free(text);
    free(path);
    scratch_free(dir);
}

Test(hf_dir, config_is_written) {
    char *dir = test_directory(), *path = ftc_path_join(dir, "config.json");
    write_text(dir, "config.json",
               "{\"model_type\": \"bert\", \"vocab_size\": 7, \"_name_or_path\": \"x\", \"custom\": [1, 2], "
               "\"other\": {\"factor\": 2.0, \"text\": \"3.0\", \"small\": 1e-05}}");
    const char *labels[BAG_CLASSES] = {"bad", NULL, "good"};
    ftc_hf_config_extra extra = {.base_dir = dir,
                                 .labels = labels,
                                 .n_labels = BAG_CLASSES,
                                 .problem_type = "single_label_classification"};
    ASSERT_OK(ftc_hf_config_write(&BAG_PROGRAM, &extra, path));

    cJSON *json;
    ASSERT_OK(ftc_json_read(path, &json));
    cr_assert_eq(cJSON_GetObjectItemCaseSensitive(json, "vocab_size")->valuedouble, BAG_VOCAB);
    cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(json, "hidden_act")->valuestring, "gelu");
    cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "custom")), 2);
    cr_assert_null(cJSON_GetObjectItemCaseSensitive(json, "_name_or_path"));
    char *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(path, &text, &bytes));
    cr_expect_not_null(strstr(text, "2.0"), "a number with a point loses it: %s", text);
    cr_expect_not_null(strstr(text, "\"3.0\""), "text is no number: %s", text);
    cr_expect_not_null(strstr(text, "1e-05"), "%s", text);
    free(text);
    cr_assert_null(cJSON_GetObjectItemCaseSensitive(json, "num_labels"));
    const cJSON *architectures = cJSON_GetObjectItemCaseSensitive(json, "architectures");
    cr_assert_str_eq(cJSON_GetArrayItem(architectures, 0)->valuestring, "BertForSequenceClassification");
    cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(json, "problem_type")->valuestring,
                     "single_label_classification");
    const cJSON *label2id = cJSON_GetObjectItemCaseSensitive(json, "label2id");
    cr_assert_eq(cJSON_GetObjectItemCaseSensitive(label2id, "good")->valuedouble, 2);
    cJSON_Delete(json);

    ftc_hf_config *config;
    ASSERT_OK(ftc_hf_config_read(dir, &config));
    cr_assert_eq(ftc_hf_config_label_count(config), BAG_CLASSES);
    cr_assert_str_eq(ftc_hf_config_label(config, 0), "bad");
    cr_assert_str_eq(ftc_hf_config_label(config, 1), "LABEL_1");
    ftc_hf_config_free(config);

    // Without classes there is none of those that a directory has had, nor "no classes".
    extra = (ftc_hf_config_extra){.base_dir = dir};
    ASSERT_OK(ftc_hf_config_write(&BAG_PROGRAM, &extra, path));
    ASSERT_OK(ftc_json_read(path, &json));
    static const char *const OF_CLASSES[] = {"id2label", "label2id", "num_labels", "problem_type"};
    for (size_t i = 0; i < sizeof OF_CLASSES / sizeof *OF_CLASSES; i++)
        cr_expect_null(cJSON_GetObjectItemCaseSensitive(json, OF_CLASSES[i]), "%s", OF_CLASSES[i]);
    cJSON_Delete(json);
    free(path);
    scratch_free(dir);
}

// --- weights ------------------------------------------------------------------------------------------

static float W[BAG_VOCAB * BAG_CLASSES], BIAS[BAG_CLASSES] = {1, 2, 3};

static void write_weights(const char *dir, const ftc_safetensor *tensors, int32_t n) {
    char *path = ftc_path_join(dir, "model.safetensors");
    ASSERT_OK(ftc_safetensors_write(path, tensors, n));
    free(path);
}

static ftc_safetensor matrix(const char *name, int64_t rows, int64_t columns) {
    for (int i = 0; i < BAG_VOCAB * BAG_CLASSES; i++) W[i] = (float)i;
    return (ftc_safetensor){.name = name, .rank = 2, .dims = {rows, columns}, .data = W};
}

static ftc_safetensor vector(const char *name, int64_t n) {
    return (ftc_safetensor){.name = name, .rank = 1, .dims = {n}, .data = BIAS};
}

Test(hf_dir, weights_with_or_without_prefix) {
    static const char *const NAMES[] = {"bert.embeddings.word_embeddings.weight",
                                        "embeddings.word_embeddings.weight"};
    char *dir = test_directory();
    for (int i = 0; i < 2; i++) {
        ftc_safetensor tensors[] = {matrix(NAMES[i], BAG_VOCAB, BAG_CLASSES), vector("classifier.bias", 3),
                                    vector("cls.predictions.bias", 2), vector("embeddings.position_ids", 1)};
        write_weights(dir, tensors, 4);
        ftc_model_state state;
        ftc_load_report report;
        ASSERT_OK(ftc_model_state_create(&BAG_PROGRAM, 1u << FTC_ENTRY_EVAL, &ftc_world_alone, &state));
        ASSERT_OK(ftc_model_state_load(&state, dir, 1, &report));
        cr_assert_eq(memcmp(ftc_model_state_tensor(&state, BAG_W), W, sizeof W), 0);
        cr_assert_eq(memcmp(ftc_model_state_tensor(&state, BAG_BIAS), BIAS, sizeof BIAS), 0);
        cr_assert_eq(report.n_initialized, 0);
        cr_assert_eq(report.n_unused, 1);
        cr_assert_str_eq(report.unused[0], "cls.predictions.bias");
        cr_assert_null(ftc_model_state_tensor(&state, BAG_W_AVG)); // an evaluation needs no moments
        ftc_load_report_free(&report);
        ftc_model_state_free(&state);
    }
    scratch_free(dir);
}

Test(hf_dir, weights_that_are_not_finite_are_refused) {
    char *dir = test_directory();
    ftc_model_state state;
    ftc_load_report report;
    ftc_safetensor tensors[] = {matrix("bert.embeddings.word_embeddings.weight", BAG_VOCAB, BAG_CLASSES),
                                vector("classifier.bias", 3)};
    W[4] = NAN;
    write_weights(dir, tensors, 2);
    ASSERT_OK(ftc_model_state_create(&BAG_PROGRAM, 1u << FTC_ENTRY_EVAL, &ftc_world_alone, &state));
    ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT,
                 "element 4 of \"bert.embeddings.word_embeddings.weight\" is nan");
    ftc_model_state_free(&state);
    scratch_free(dir);
}

// transformers leaves two labels, its default, out of config.json.
Test(hf_dir, labels_are_counted_at_the_head_where_config_json_says_nothing) {
    char *dir = test_directory();
    ftc_hf_config *config;
    write_text(dir, "config.json", "{\"model_type\": \"bert\"}");
    ASSERT_OK(ftc_hf_config_read(dir, &config));
    cr_assert_eq(ftc_hf_label_count(dir, config), 0); // no weights
    const ftc_safetensor tensors[] = {matrix("classifier.weight", 2, 3), vector("classifier.bias", 2)};
    write_weights(dir, tensors + 1, 1);
    cr_assert_eq(ftc_hf_label_count(dir, config), 0); // no head
    write_weights(dir, tensors, 2);
    cr_assert_eq(ftc_hf_label_count(dir, config), 2);
    ftc_hf_config_free(config);
    write_text(dir, "config.json", "{\"num_labels\": 4}");
    ASSERT_OK(ftc_hf_config_read(dir, &config));
    cr_assert_eq(ftc_hf_label_count(dir, config), 4);
    ftc_hf_config_free(config);
    scratch_free(dir);
}

Test(hf_dir, missing_head_is_initialized_and_wrong_shape_refused) {
    char *dir = test_directory();
    ftc_model_state state;
    ftc_load_report report;
    ASSERT_OK(ftc_model_state_create(&BAG_PROGRAM, 1u << FTC_ENTRY_EVAL, &ftc_world_alone, &state));
    ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT,
                 "has neither model.safetensors nor");

    ftc_safetensor other_head[] = {matrix("embeddings.word_embeddings.weight", BAG_VOCAB, BAG_CLASSES),
                                   vector("classifier.bias", 2)};
    write_weights(dir, other_head, 2);
    ASSERT_OK(ftc_model_state_load(&state, dir, 1, &report));
    cr_assert_eq(report.n_initialized, 1);
    cr_assert_str_eq(report.initialized[0], "classifier.bias");
    cr_assert_eq(report.n_unused, 0);
    ftc_load_report_free(&report);

    ftc_safetensor wrong = matrix("embeddings.word_embeddings.weight", BAG_CLASSES, BAG_VOCAB);
    write_weights(dir, &wrong, 1);
    ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT,
                 "\"embeddings.word_embeddings.weight\" has shape [3, 50], the model's "
                 "\"bert.embeddings.word_embeddings.weight\" has [50, 3]");
    ftc_model_state_free(&state);
    scratch_free(dir);
}

// What may be missing is what the family block says: a tensor of the encoder that a file lacks, under every
// name that the family does not have, is an error.
Test(hf_dir, an_encoder_that_a_file_does_not_fill_is_refused) {
    static const struct {
        const char *name, *error;
    } CASES[] = {
        {"roberta.embeddings.word_embeddings.weight",
         "none of its tensors has the name of a parameter of the encoder, such as "
         "\"bert.embeddings.word_embeddings.weight\"; they have names such as"},
        {"word_embeddings.weight", "none of its tensors"},
        {"bert.bert.embeddings.word_embeddings.weight", "none of its tensors"},
        {"classifier.weight", "none of its tensors"},
    };
    char *dir = test_directory();
    ftc_model_state state;
    ftc_load_report report;
    ASSERT_OK(ftc_model_state_create(&BAG_PROGRAM, 1u << FTC_ENTRY_EVAL, &ftc_world_alone, &state));
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ftc_safetensor tensors[] = {matrix(CASES[i].name, BAG_VOCAB, BAG_CLASSES),
                                    vector("classifier.bias", 3)};
        write_weights(dir, tensors, 2);
        ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT, CASES[i].error);
    }
    write_weights(dir, NULL, 0);
    ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT, "none of its tensors");
    ftc_model_state_free(&state);
    scratch_free(dir);
}

// Without a family block nothing may be missing, and names are what they are.
Test(hf_dir, without_a_family_everything_must_be_there) {
    ftc_program program = BAG_PROGRAM;
    program.n_family = 0;
    char *dir = test_directory();
    ftc_model_state state;
    ftc_load_report report;
    ASSERT_OK(ftc_model_state_create(&program, 1u << FTC_ENTRY_EVAL, &ftc_world_alone, &state));
    ftc_safetensor tensors[] = {matrix("bert.embeddings.word_embeddings.weight", BAG_VOCAB, BAG_CLASSES),
                                vector("classifier.bias", 2)};
    write_weights(dir, tensors, 1);
    ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT, "lacks \"classifier.bias\"");
    write_weights(dir, tensors, 2);
    ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT, "has shape [2]");
    tensors[0].name += strlen("bert.");
    tensors[1].dims[0] = 3;
    write_weights(dir, tensors, 2);
    ASSERT_FAILS(ftc_model_state_load(&state, dir, 1, &report), FTC_BAD_INPUT, "lacks \"bert.");
    ftc_model_state_free(&state);
    scratch_free(dir);
}

Test(hf_dir, names_of_a_family) {
    static const char *const NAMES[][2] = {
        {"bert.x.LayerNorm.gamma", "x.LayerNorm.weight"},
        {"x.LayerNorm.gamma", "x.LayerNorm.weight"},
        {"bert.x.words.old", "x.words.weight"},
        {"x.words.old.bias", "x.words.old.bias"},
        {"gamma", "gamma"},
        {"classifier.bias", "classifier.bias"},
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char *name = ftc_family_name(&BAG_PROGRAM, NAMES[i][0]);
        cr_expect_str_eq(name, NAMES[i][1]);
        free(name);
    }
    cr_expect_not(ftc_family_in_head(&BAG_PROGRAM, "bert.pooler.dense.bias"));
    cr_expect(ftc_family_in_head(&BAG_PROGRAM, "classifier.bias"));
    cr_expect(ftc_family_may_lack(&BAG_PROGRAM, "bert.pooler.dense.bias"));
    cr_expect(ftc_family_may_lack(&BAG_PROGRAM, "bert.extra.w"));
    cr_expect_not(ftc_family_may_lack(&BAG_PROGRAM, "bert.encoder.w"));
}

Test(hf_dir, initial_values_follow_the_declaration) {
    ftc_model_state a, b;
    ASSERT_OK(ftc_model_state_create(&BAG_PROGRAM, ~0u, &ftc_world_alone, &a));
    ASSERT_OK(ftc_model_state_create(&BAG_PROGRAM, ~0u, &ftc_world_alone, &b));
    ftc_model_state_init(&a, 7);
    ftc_model_state_init(&b, 8);
    const float *w = a.tensors[BAG_W], *other = b.tensors[BAG_W];
    double sum = 0, squares = 0;
    for (int i = 0; i < BAG_CLASSES; i++) cr_assert_eq(w[i], 0); // zero_row
    for (int i = BAG_CLASSES; i < BAG_VOCAB * BAG_CLASSES; i++) {
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
        cr_assert_neq(w[i], other[i]);
    }
    double n = (BAG_VOCAB - 1) * BAG_CLASSES;
    cr_assert_float_eq(sum / n, 0, 0.15);
    cr_assert_float_eq(squares / n, 0.25, 0.08); // init_scale 0.5
    ftc_model_state_free(&a);
    ftc_model_state_free(&b);
}

// The limit of a run's texts is saved, whatever it was: what was asked for may be more.
Test(hf_dir, tokenizers_are_limited) {
    char *dir = test_directory(), *path = ftc_path_join(dir, "tokenizer_config.json"), *text;
    size_t bytes;
    ASSERT_OK(ftc_hf_tokenizer_limit(dir, 64));
    ASSERT_OK(ftc_hf_tokenizer_limit(dir, 128));
    ASSERT_OK(ftc_file_read(path, &text, &bytes));
    cr_expect(strstr(text, "\"model_max_length\":\t128"), "%s", text);
    free(text);
    ASSERT_OK(ftc_hf_tokenizer_limit(dir, 32));
    ASSERT_OK(ftc_file_read(path, &text, &bytes));
    cr_expect(strstr(text, "\"model_max_length\":\t32"), "%s", text);
    free(text);
    free(path);
    scratch_free(dir);
}

static void expect_entry(const char *dir, const char *name, const char *entry, bool expected) {
    char *path = ftc_path_join(dir, name), *text = NULL;
    size_t bytes;
    if (ftc_file_exists(path)) ASSERT_OK(ftc_file_read(path, &text, &bytes));
    cr_expect_eq(text && strstr(text, entry), expected, "%s: %s", name, text ? text : "");
    free(text);
    free(path);
}

// A tokenizer over bytes is saved so that transformers takes words as ftc does; others stay as they are.
Test(hf_dir, tokenizers_are_made_for_words) {
    static const char ENTRY[] = "\"add_prefix_space\":\ttrue";
    static const struct {
        const char *name, *text;
        bool is_changed, is_said;
    } cases[] = {
        {"tokenizer.json", "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}}",
         true, true},
        {"tokenizer.json", "{\"pre_tokenizer\": {\"type\": \"Whitespace\"}}", false, false},
        {"tokenizer.json", "{\"pre_tokenizer\": null}", false, false},
        {"merges.txt", "a b\n", false, true},
        {"vocab.txt", "a\n", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = test_directory(), *path = ftc_path_join(dir, cases[i].name);
        ASSERT_OK(ftc_file_write(path, cases[i].text, strlen(cases[i].text)));
        ASSERT_OK(ftc_hf_tokenizer_for_words(dir));
        expect_entry(dir, cases[i].name, ENTRY, cases[i].is_changed);
        expect_entry(dir, "tokenizer_config.json", ENTRY, cases[i].is_said);
        free(path);
        scratch_free(dir);
    }
}

#define BERT_JSON(lowercase)                                                                                 \
    "{\"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, " \
    "\"strip_accents\": null, \"lowercase\": " lowercase                                                     \
    "}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}}"
#define METASPACE_JSON "{\"type\": \"Metaspace\", \"replacement\": \"\u2581\", \"add_prefix_space\": true}"

// What is saved is cut by transformers 5 as it was in training: by a class that follows tokenizer.json where
// its own one does not, or by its own one, which tokenizer.json then says, too.
Test(hf_dir, saved_tokenizers_are_read_the_same_by_all) {
    static const char FILE_CLASS[] = "\"tokenizer_class\":\t\"PreTrainedTokenizerFast\"";
    static const struct {
        const char *json, *config, *by_class; // what tokenizer.json then has; NULL: it stays
    } cases[] = {
        {BERT_JSON("true"), "{\"tokenizer_class\": \"BertTokenizer\"}", NULL},
        {BERT_JSON("true"), "{\"tokenizer_class\": \"BertTokenizerFast\", \"strip_accents\": true}", NULL},
        {BERT_JSON("true"), "{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": false}",
         "\"lowercase\":\tfalse"},
        {BERT_JSON("false"), "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}", NULL},
        {"{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
         "\"WhitespaceSplit\"}, " METASPACE_JSON "]}}",
         "{\"tokenizer_class\": \"XLMRobertaTokenizer\"}", NULL},
        {"{\"pre_tokenizer\": " METASPACE_JSON "}", "{\"tokenizer_class\": \"XLMRobertaTokenizer\"}",
         "\"WhitespaceSplit\""},
        {"{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": "
         "false}}",
         "{\"tokenizer_class\": \"RobertaTokenizer\"}", "\"add_prefix_space\":\tfalse"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *from = test_directory(), *file = test_directory(), *class = test_directory();
        write_text(from, "tokenizer.json", cases[i].json);
        write_text(from, "tokenizer_config.json", cases[i].config);
        ASSERT_OK(ftc_hf_tokenizer_copy(from, false, file));
        expect_entry(file, "tokenizer.json", cases[i].json, true);
        expect_entry(file, "tokenizer_config.json", FILE_CLASS, cases[i].by_class != NULL);
        ASSERT_OK(ftc_hf_tokenizer_copy(from, true, class));
        expect_entry(class, "tokenizer.json", cases[i].by_class ? cases[i].by_class : cases[i].json, true);
        expect_entry(class, "tokenizer_config.json", cases[i].config, true);
        scratch_free(from);
        scratch_free(file);
        scratch_free(class);
    }
}

// A class that follows the file is given the names and inputs that its own class stood for.
Test(hf_dir, special_tokens_outlive_their_class) {
    char *from = test_directory(), *to = test_directory();
    write_text(from, "tokenizer.json", "{\"pre_tokenizer\": " METASPACE_JSON "}");
    write_text(to, "config.json", "{\"model_type\": \"deberta-v2\"}");
    ASSERT_OK(ftc_hf_tokenizer_copy(from, false, to));
    expect_entry(to, "tokenizer_config.json", "\"mask_token\":\t\"[MASK]\"", true);
    expect_entry(to, "tokenizer_config.json", "\"input_ids\", \"attention_mask\", \"token_type_ids\"", true);
    scratch_free(from);
    scratch_free(to);
}

Test(hf_dir, pooling_of_sentence_transformers_is_named) {
    char *dir = test_directory(), *folder = ftc_path_join(dir, "1_Pooling");
    cr_expect_null(ftc_pooling_of(dir));
    write_text(dir, "modules.json",
               "[{\"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"}, "
               "{\"path\": \"1_Pooling\", \"type\": \"sentence_transformers.models.Pooling\"}]");
    cr_expect_str_eq(ftc_pooling_of(dir), "unknown");
    ASSERT_OK(ftc_dir_make(folder));
    write_text(folder, "config.json",
               "{\"pooling_mode_cls_token\": false, \"pooling_mode_mean_tokens\": true}");
    cr_expect_str_eq(ftc_pooling_of(dir), "mean");
    write_text(folder, "config.json", "{\"embedding_dimension\": 8, \"pooling_mode\": \"cls\"}");
    cr_expect_str_eq(ftc_pooling_of(dir), "cls");
    write_text(folder, "config.json",
               "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}");
    cr_expect_str_eq(ftc_pooling_of(dir), "unknown", "two of them");
    ASSERT_OK(ftc_pooling_write(dir, "cls", 8, 16));
    cr_expect_str_eq(ftc_pooling_of(dir), "cls", "what is written");
    free(folder);
    folder = ftc_path_join(dir, "0_Transformer");
    ASSERT_OK(ftc_dir_make(folder));
    write_text(folder, "config.json", "{}");
    ftc_hf_config *config;
    ASSERT_FAILS(ftc_hf_config_read(dir, &config), FTC_BAD_INPUT,
                 "whose encoder lies in its folder 0_Transformer");
    free(folder);
    scratch_free(dir);
}
