// ftc predict: what a trained classifier says about texts.
#include "compiler/driver/classifier.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/texts.h"
#include "ir/base/alloc.h"
#include "runtime/loop/metrics.h"
#include "runtime/text/shown.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Texts are read, answered and printed so many at a time: answers come while a file is read, however long it
// is. So there is no cache of token ids, which are found by the content of a whole file.
enum { GROUP = 256 };

// The name of a class: id2label's, else its number.
static void print_class(const ftc_classifier *c, int32_t id) {
    const char *name = ftc_hf_config_label(c->config, id);
    if (name) {
        ftc_shown_write(stdout, name, strlen(name), true);
    } else {
        printf("%d", id);
    }
}

static void print_json(const ftc_classifier *c, const float *logits, int64_t n, bool regression) {
    cJSON *line = cJSON_CreateObject();
    int32_t best = ftc_argmax(logits, n);
    const char *name = ftc_hf_config_label(c->config, best);
    if (regression) {
        cJSON_AddNumberToObject(line, "label", (double)logits[0]);
    } else if (name) {
        cJSON_AddStringToObject(line, "label", name);
    } else {
        cJSON_AddNumberToObject(line, "label", best);
    }
    cJSON *list = cJSON_AddArrayToObject(line, "logits");
    for (int64_t i = 0; i < n; i++) cJSON_AddItemToArray(list, cJSON_CreateNumber((double)logits[i]));
    char *text = ftc_metrics_line(line);
    puts(text);
    free(text);
    cJSON_Delete(line);
}

// "good  0.93  The food was great"
static void print_text(const ftc_classifier *c, const float *logits, int64_t n, bool regression,
                       const char *text) {
    if (regression) {
        printf("%.4f", (double)logits[0]);
    } else {
        int32_t best = ftc_argmax(logits, n);
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += exp((double)logits[i] - (double)logits[best]);
        print_class(c, best);
        printf("  %.4f", 1 / sum);
    }
    fputs("  ", stdout);
    ftc_shown_write(stdout, text, strcspn(text, "\n"), false);
    puts(strchr(text, '\n') ? " …" : "");
}

// The texts of one group, with copies for printing.
typedef struct {
    ftc_dataset examples;
    char *texts[GROUP];
} group;

static ftc_status answer(ftc_classifier *c, const group *g, bool json) {
    ftc_evaluation e;
    if (g->examples.n == 0) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(ftc_classifier_evaluate(c, &g->examples, &e));
    for (int64_t i = 0; i < e.samples; i++) {
        const float *logits = e.logits + i * e.columns;
        if (json) {
            print_json(c, logits, e.columns, e.scoring == FTC_SCORE_VALUES);
        } else {
            print_text(c, logits, e.columns, e.scoring == FTC_SCORE_VALUES, g->texts[i]);
        }
    }
    ftc_evaluation_free(&e);
    return FTC_STATUS_OK;
}

static void empty_group(group *g) {
    for (int64_t i = 0; i < g->examples.n; i++) free(g->texts[i]);
    ftc_dataset_free(&g->examples);
}

static ftc_status predict(ftc_classifier *c, const ftc_text_options *options, const ftc_text_list *words) {
    ftc_texts texts;
    const ftc_program *program = c->model.program;
    if (!c->tokenizer || ftc_program_score_columns(program) == 0) {
        return ftc_status_make(FTC_BAD_INPUT, "the model %s %s: there is nothing to predict of a text",
                               program->model,
                               c->tokenizer ? "declares no output as scores" : "reads no text");
    }
    FTC_RETURN_IF_ERROR(ftc_texts_open(options, words, &texts));
    int64_t length =
        options->max_length && options->max_length < c->max_length ? options->max_length : c->max_length;
    ftc_tokens tokens = {0};
    ftc_status status = FTC_STATUS_OK;
    const char *text, *pair;
    group g = {0};
    while (status.code == FTC_OK && ftc_texts_next(&texts, &text, &pair, &status)) {
        status = ftc_tokenizer_encode(c->tokenizer, text, pair, (int)length, &tokens);
        if (status.code != FTC_OK) break;
        g.texts[g.examples.n] = ftc_strdup(text);
        ftc_dataset_add(&g.examples, &tokens, 0);
        if (g.examples.n == GROUP) {
            status = answer(c, &g, options->json);
            empty_group(&g);
        }
    }
    if (status.code == FTC_OK) status = answer(c, &g, options->json);
    empty_group(&g);
    ftc_tokens_free(&tokens);
    ftc_texts_close(&texts);
    return status;
}

int ftc_command_predict(const ftc_command *self, int argc, char **argv) {
    ftc_text_options options = ftc_text_options_default();
    ftc_option_group groups[] = {{"Options", ftc_text_option_table, &options},
                                 {"Columns", ftc_column_option_table, &options.columns},
                                 {0}};
    ftc_model_options model = ftc_model_options_default();
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    ftc_classifier classifier;
    if (parsed != FTC_CLI_OK) {
        // told already
    } else if (words.n == 0) {
        code = ftc_cli_error(self->name, "which model? give its directory first");
    } else if ((code = ftc_classifier_open(self, words.items[0], &model, 0, &classifier)) == FTC_EXIT_OK) {
        code = ftc_status_report(self->name, predict(&classifier, &options, &words));
        ftc_classifier_close(&classifier);
    }
    ftc_text_list_free(&words);
    return code;
}
