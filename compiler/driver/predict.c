// ftc predict: what a trained classifier says about texts; and what a model that predicts masked tokens puts
// in their places.
#include "compiler/driver/classifier.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/csv.h"
#include "compiler/driver/pairs.h"
#include "compiler/driver/sentence.h"
#include "compiler/driver/texts.h"
#include "ir/base/alloc.h"
#include "runtime/loop/metrics.h"
#include "runtime/text/shown.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Texts are read, answered and printed so many at a time: answers come while a file is read, however long it
// is. So there is no cache of token ids, which are found by the content of a whole file.
enum { GROUP = 256 };

typedef struct {
    bool csv;
    int64_t top_k;
    double threshold;
    bool embeddings;
    int32_t precision; // ftc_precision
} predict_options;

static const ftc_option OPTIONS[] = {
    {"csv", NULL, FTC_OPTION_FLAG, offsetof(predict_options, csv), NULL, 0,
     "print CSV: row, label, score, then every column of the file"},
    {"top-k", NULL, FTC_OPTION_INT, offsetof(predict_options, top_k), "N", 1,
     "the N most probable classes of each text; of masked tokens 5 unless set"},
    {"threshold", NULL, FTC_OPTION_SHARE, offsetof(predict_options, threshold), "X", 0,
     "of several labels a text, those of at least this probability; 0.5 unless set"},
    {"embeddings", NULL, FTC_OPTION_FLAG, offsetof(predict_options, embeddings), NULL, 0,
     "of a model for pairs, print the vector of each text as JSON instead of the pairs' scores"},
    {"precision", NULL, FTC_OPTION_CHOICE, offsetof(predict_options, precision), "fp32|bf16", 0,
     "numbers that are stored between kernels and multiplied; fp32 unless set"},
    {0},
};

// --- one answer ---------------------------------------------------------------------------------------

// What the model says of a text, or of a masked token, whose classes are the tokens of the vocabulary.
typedef struct {
    const float *logits; // [n]
    double *scores;      // [n] probabilities of the classes
    int32_t *order;      // [n] classes, the most probable first
    int64_t n;
    int64_t shown; // classes to be told; of several labels those that the text has
    bool is_number;
    bool is_several; // labels, each with a probability of its own
} answer;

static answer new_answer(int64_t n, int64_t shown) {
    return (answer){.scores = ftc_alloc((size_t)n, sizeof(double)),
                    .order = ftc_alloc((size_t)n, sizeof(int32_t)),
                    .n = n,
                    .shown = shown < n ? shown : n};
}

static void free_answer(answer *a) {
    free(a->scores);
    free(a->order);
}

// Fills scores and order, which have room.
static void rank(answer *a) {
    double sum = 0;
    int32_t best = ftc_argmax(a->logits, a->n);
    for (int64_t i = 0; i < a->n; i++) {
        a->scores[i] = exp((double)a->logits[i] - (double)a->logits[best]);
        sum += a->scores[i];
        a->order[i] = (int32_t)i;
    }
    for (int64_t i = 0; i < a->n; i++)
        a->scores[i] = a->is_several ? 1 / (1 + exp(-(double)a->logits[i])) : a->scores[i] / sum;
    for (int64_t i = 0; i < a->shown; i++) // the first of equals first
        for (int64_t k = i + 1; k < a->n; k++) {
            int32_t x = a->order[i], y = a->order[k];
            if (a->logits[y] < a->logits[x] || (a->logits[y] == a->logits[x] && y > x)) continue;
            a->order[i] = y;
            a->order[k] = x;
        }
}

// Of several labels, ranks all that may be told and tells those that the text has.
static void rank_several(answer *a, const predict_options *mine) {
    int64_t most = mine->top_k && mine->top_k < a->n ? mine->top_k : a->n;
    a->shown = most;
    rank(a);
    // Asked for the most probable ones, these are all that is asked for.
    bool asked = mine->top_k && isnan(mine->threshold);
    double threshold = isnan(mine->threshold) ? 0.5 : mine->threshold;
    for (a->shown = 0; a->shown < most && (asked || a->scores[a->order[a->shown]] >= threshold);) a->shown++;
}

// The name of a class: id2label's, else its number; of a token how it reads; allocated.
static char *class_name(const ftc_classifier *c, int32_t id) {
    if (ftc_program_masks(c->model.program)) {
        char *token = ftc_tokenizer_read(c->tokenizer, id);
        return token ? token : ftc_format("%d", id);
    }
    const char *name = ftc_hf_config_label(c->config, id);
    return name ? ftc_strdup(name) : ftc_format("%d", id);
}

static void add_class(cJSON *object, const ftc_classifier *c, const answer *a, int32_t id) {
    const char *name = ftc_hf_config_label(c->config, id);
    if (name)
        cJSON_AddStringToObject(object, "label", name);
    else
        cJSON_AddNumberToObject(object, "label", id);
    cJSON_AddNumberToObject(object, "score", a->scores[id]);
}

// Those to be told.
static void add_classes(cJSON *object, const char *name, const ftc_classifier *c, const answer *a) {
    cJSON *list = cJSON_AddArrayToObject(object, name);
    for (int64_t i = 0; i < a->shown; i++) {
        cJSON *item = cJSON_CreateObject();
        add_class(item, c, a, a->order[i]);
        cJSON_AddItemToArray(list, item);
    }
}

static void print_json(const ftc_classifier *c, const answer *a) {
    cJSON *line = cJSON_CreateObject();
    if (a->is_number)
        cJSON_AddNumberToObject(line, "label", (double)a->logits[0]);
    else if (a->is_several)
        add_classes(line, "labels", c, a);
    else
        add_class(line, c, a, a->order[0]);
    cJSON *list = cJSON_AddArrayToObject(line, "logits");
    for (int64_t i = 0; i < a->n; i++) cJSON_AddItemToArray(list, cJSON_CreateNumber((double)a->logits[i]));
    if (!a->is_number) {
        list = cJSON_AddArrayToObject(line, "probabilities");
        for (int64_t i = 0; i < a->n; i++) cJSON_AddItemToArray(list, cJSON_CreateNumber(a->scores[i]));
    }
    if (a->shown > 1 && !a->is_several) add_classes(line, "top", c, a);
    char *text = ftc_metrics_line(line);
    puts(text);
    free(text);
    cJSON_Delete(line);
}

// "good  0.93  The food was great"; "-" where a text has none of several labels.
static void print_text(const ftc_classifier *c, const answer *a, const char *text) {
    if (a->is_number) printf("%.4f  ", (double)a->logits[0]);
    if (a->is_several && !a->shown) printf("-  ");
    for (int64_t i = 0; i < a->shown && !a->is_number; i++) {
        char *name = class_name(c, a->order[i]);
        ftc_shown_write(stdout, name, strlen(name), true);
        printf("  %.4f  ", a->scores[a->order[i]]);
        free(name);
    }
    ftc_shown_write(stdout, text, strcspn(text, "\n"), false);
    puts(strchr(text, '\n') ? " …" : "");
}

// --- CSV ----------------------------------------------------------------------------------------------

// "label", or of the classes behind the first "label_2", ….
static void write_heading(const ftc_table *table, const char *name, int64_t rank) {
    char *numbered = rank ? ftc_format("%s_%lld", name, (long long)rank + 1) : ftc_strdup(name);
    ftc_csv_write_heading(stdout, table, numbered, false);
    free(numbered);
}

static void print_headings(const ftc_table *table, const answer *a) {
    ftc_csv_write_heading(stdout, table, "row", true);
    if (a->is_several) {
        write_heading(table, "labels", 0);
        write_heading(table, "scores", 0);
    }
    for (int64_t i = 0; i < a->shown && !a->is_several; i++) {
        write_heading(table, "label", i);
        if (!a->is_number) write_heading(table, "score", i);
    }
    ftc_csv_write_columns(stdout, table);
}

// The names and the scores of the labels that a text has, as two fields: "good|cheap,0.93|0.61".
static void write_several(const ftc_classifier *c, const answer *a) {
    ftc_text names, scores;
    FILE *name_file = ftc_text_open(&names), *score_file = ftc_text_open(&scores);
    for (int64_t i = 0; i < a->shown; i++) {
        char *name = class_name(c, a->order[i]);
        fprintf(name_file, "%s%s", i ? "|" : "", name);
        fprintf(score_file, "%s%.6g", i ? "|" : "", a->scores[a->order[i]]);
        free(name);
    }
    char *texts[] = {ftc_text_close(&names, NULL), ftc_text_close(&scores, NULL)};
    for (int i = 0; i < 2; i++) {
        ftc_csv_write(stdout, texts[i], false);
        free(texts[i]);
    }
}

// "17,good,0.93,…": `cells` are the fields of the row, written as CSV.
static void print_csv(const ftc_classifier *c, const answer *a, size_t row, const char *cells) {
    printf("%zu", row);
    if (a->is_number) printf(",%.9g", (double)a->logits[0]);
    if (a->is_several) write_several(c, a);
    for (int64_t i = 0; i < a->shown && !a->is_number && !a->is_several; i++) {
        char *name = class_name(c, a->order[i]);
        ftc_csv_write(stdout, name, false);
        printf(",%.6g", a->scores[a->order[i]]);
        free(name);
    }
    puts(cells);
}

// --- groups of texts ----------------------------------------------------------------------------------

// The texts of one group, with what is printed beside their answers: a copy, or with --csv the row's cells.
typedef struct {
    ftc_dataset examples;
    char *texts[GROUP];
    ftc_sentence sentences[GROUP]; // where tokens are labelled
    size_t first;                  // row of the first
    const ftc_table *table;        // NULL: the texts are words of the command
    ftc_row row;                   // to read cells with
    ftc_masking *masking;          // NULL: the model predicts no masked tokens
} group;

static ftc_status print_answers(ftc_classifier *c, const group *g, const ftc_text_options *options,
                                const predict_options *mine) {
    ftc_evaluation e;
    if (g->examples.n == 0) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(ftc_classifier_evaluate(c, &g->examples, &e));
    answer a = new_answer(e.columns, mine->top_k ? mine->top_k : 1);
    a.is_number = e.scoring == FTC_SCORE_VALUES;
    a.is_several = e.scoring == FTC_SCORE_LABELS;
    if (mine->csv && g->first == 0) print_headings(g->table, &a);
    for (int64_t i = 0; i < e.samples; i++) {
        a.logits = e.logits + i * e.columns;
        if (a.is_several)
            rank_several(&a, mine);
        else
            rank(&a);
        if (options->json)
            print_json(c, &a);
        else if (mine->csv)
            print_csv(c, &a, g->first + (size_t)i, g->texts[i]);
        else
            print_text(c, &a, g->texts[i]);
    }
    free_answer(&a);
    ftc_evaluation_free(&e);
    return FTC_STATUS_OK;
}

static ftc_status print_sentences(ftc_classifier *c, const group *g, ftc_answer_form form) {
    ftc_evaluation e;
    if (g->examples.n == 0) return FTC_STATUS_OK;
    FTC_RETURN_IF_ERROR(ftc_classifier_evaluate(c, &g->examples, &e));
    if (form == FTC_ANSWER_CSV && g->first == 0) ftc_sentence_print_headings(g->table);
    for (int64_t i = 0; i < e.samples; i++)
        ftc_sentence_print(c, &g->sentences[i], (size_t)ftc_dataset_length(&g->examples, i),
                           e.logits + g->examples.offsets[i] * e.columns, form, g->first + (size_t)i,
                           g->texts[i]);
    ftc_evaluation_free(&e);
    return FTC_STATUS_OK;
}

static ftc_answer_form form_of(const ftc_text_options *options, const predict_options *mine) {
    return options->json ? FTC_ANSWER_JSON : mine->csv ? FTC_ANSWER_CSV : FTC_ANSWER_TEXT;
}

// The tokens to be told, as transformers' fill-mask tells them.
static cJSON *list_tokens(const ftc_classifier *c, const answer *a) {
    cJSON *list = cJSON_CreateArray();
    for (int64_t i = 0; i < a->shown; i++) {
        cJSON *item = cJSON_CreateObject();
        char *text = class_name(c, a->order[i]);
        cJSON_AddNumberToObject(item, "score", a->scores[a->order[i]]);
        cJSON_AddNumberToObject(item, "token", a->order[i]);
        cJSON_AddStringToObject(item, "token_str", text);
        cJSON_AddItemToArray(list, item);
        free(text);
    }
    return list;
}

// Of each masked token an answer, and with --json a line for the masked tokens of a text.
static ftc_status print_masked(ftc_classifier *c, group *g, const ftc_text_options *options,
                               const predict_options *mine) {
    answer a = new_answer(ftc_program_score_columns(c->model.program), mine->top_k ? mine->top_k : 5);
    ftc_status status = FTC_STATUS_OK;
    g->examples.masking = g->masking;
    if (mine->csv && g->first == 0 && g->examples.n) print_headings(g->table, &a);
    for (int64_t i = 0; i < g->examples.n; i++) {
        status = ftc_batch_fill(&c->batch, &g->examples, &i, 1);
        if (status.code == FTC_OK) status = ftc_stepper_call(&c->stepper, FTC_ENTRY_EVAL, &c->batch, 1, 0);
        if (status.code != FTC_OK) break;
        cJSON *line = cJSON_CreateObject(), *masks = cJSON_AddArrayToObject(line, "masks");
        a.logits = ftc_stepper_result(&c->stepper, FTC_OUTPUT_SCORES, FTC_ENTRY_EVAL);
        const int32_t *ids = g->examples.ids + g->examples.offsets[i];
        int64_t n =
            ftc_masking_count(g->masking, &c->batch.draw, i, ids, ftc_dataset_length(&g->examples, i));
        for (; n; n--, a.logits += a.n) {
            rank(&a);
            if (options->json)
                cJSON_AddItemToArray(masks, list_tokens(c, &a));
            else if (mine->csv)
                print_csv(c, &a, g->first + (size_t)i, g->texts[i]);
            else
                print_text(c, &a, g->texts[i]);
        }
        char *text = options->json ? ftc_metrics_line(line) : NULL;
        if (text) puts(text);
        free(text);
        cJSON_Delete(line);
    }
    free_answer(&a);
    return status;
}

static ftc_status answer_group(ftc_classifier *c, group *g, const ftc_text_options *options,
                               const predict_options *mine) {
    if (g->masking) return print_masked(c, g, options, mine);
    if (!ftc_program_scores_tokens(c->model.program)) return print_answers(c, g, options, mine);
    return print_sentences(c, g, form_of(options, mine));
}

static void empty_group(group *g) {
    g->first += (size_t)g->examples.n;
    for (int64_t i = 0; i < g->examples.n; i++) {
        free(g->texts[i]);
        ftc_sentence_free(&g->sentences[i]);
    }
    ftc_dataset_free(&g->examples);
}

// What the options ask of a model for pairs; *done: it is one, and was asked.
static ftc_status predict_pairs(ftc_classifier *c, const ftc_text_options *options,
                                const predict_options *mine, const ftc_text_list *words, bool *done) {
    const ftc_program *program = c->model.program;
    *done = ftc_program_texts_per_row(program) > 1;
    if (!*done && mine->embeddings)
        return ftc_status_make(FTC_BAD_INPUT, "--embeddings: the model %s is none for pairs (--task pairs)",
                               program->model);
    if (!*done) return FTC_STATUS_OK;
    if (mine->top_k || !isnan(mine->threshold))
        return ftc_status_make(FTC_BAD_INPUT, "%s is for classes, and the model %s has none",
                               mine->top_k ? "--top-k" : "--threshold", program->model);
    if (mine->embeddings && mine->csv)
        return ftc_status_make(FTC_BAD_INPUT, "--embeddings are JSON: leave out --csv");
    return mine->embeddings ? ftc_pairs_print_embeddings(c, options, words)
                            : ftc_pairs_print_scores(c, options, words, form_of(options, mine));
}

// Where masked tokens are predicted, a text without one is a mistake, as for transformers.
static ftc_status check_masks(const ftc_classifier *c, const char *text, const ftc_tokens *tokens) {
    int32_t mask = ftc_tokenizer_mask_id(c->tokenizer);
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->ids[i] == mask) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT,
                           "the text \"%.60s\" has no %s among its first %zu tokens: the model %s predicts "
                           "what stands there",
                           text, ftc_tokenizer_token(c->tokenizer, mask), tokens->count,
                           c->model.program->model);
}

static ftc_status predict(ftc_classifier *c, const ftc_text_options *options, const predict_options *mine,
                          const ftc_text_list *words) {
    ftc_texts texts;
    const ftc_program *program = c->model.program;
    if (!c->tokenizer || ftc_program_score_columns(program) == 0) {
        return ftc_status_make(FTC_BAD_INPUT, "the model %s %s: there is nothing to predict of a text",
                               program->model,
                               c->tokenizer ? "declares no output as scores" : "reads no text");
    }
    bool of_masks = ftc_program_masks(program), of_tokens = !of_masks && ftc_program_scores_tokens(program),
         done;
    ftc_status asked = predict_pairs(c, options, mine, words, &done);
    if (done || asked.code != FTC_OK) return asked;
    if (!isnan(mine->threshold) && ftc_program_scoring(program) != FTC_SCORE_LABELS)
        return ftc_status_make(FTC_BAD_INPUT,
                               "--threshold is for several labels a text, and the model %s gives no such",
                               program->model);
    if (of_tokens && mine->top_k)
        return ftc_status_make(
            FTC_BAD_INPUT, "--top-k is for one class a text, and the model %s labels tokens", program->model);
    if (of_tokens && options->by_two)
        return ftc_status_make(FTC_BAD_INPUT,
                               "--pairs: the model %s labels the words of single texts; leave it out",
                               program->model);
    FTC_RETURN_IF_ERROR(ftc_texts_open(options, of_tokens, words, &texts));
    ftc_classifier_tell_pairs(c, texts.table ? ftc_table_has_pairs(texts.table) : texts.by_two);
    ftc_tokens tokens = {0};
    ftc_status status = texts.table ? ftc_data_check_words(program, texts.table) : FTC_STATUS_OK;
    const char *text, *pair;
    group g = {.table = texts.table};
    if (status.code == FTC_OK && of_masks) status = ftc_masking_create_done(c->tokenizer, &g.masking);
    while (status.code == FTC_OK && ftc_texts_next(&texts, &text, &pair, &status)) {
        status = of_tokens ? ftc_sentence_read(c, text, c->max_length, &tokens, &g.sentences[g.examples.n])
                           : ftc_tokenizer_encode(c->tokenizer, text, pair, c->max_length, &tokens);
        if (status.code == FTC_OK && of_masks) status = check_masks(c, text, &tokens);
        if (status.code != FTC_OK) break;
        if (mine->csv)
            status = ftc_texts_cells(&texts, text, &g.row, &g.texts[g.examples.n]);
        else
            g.texts[g.examples.n] = ftc_strdup(text);
        ftc_dataset_add(&g.examples, &tokens, 0);
        if (g.examples.n == GROUP) {
            status = answer_group(c, &g, options, mine);
            empty_group(&g);
        }
    }
    if (status.code == FTC_OK) status = answer_group(c, &g, options, mine);
    empty_group(&g);
    ftc_masking_free(g.masking);
    ftc_row_free(&g.row);
    ftc_tokens_free(&tokens);
    ftc_texts_close(&texts);
    return status;
}

int ftc_command_predict(const ftc_command *self, int argc, char **argv) {
    ftc_text_options options = ftc_text_options_default();
    predict_options mine = {.threshold = NAN, .precision = FTC_PRECISION_UNSET};
    ftc_option_group groups[] = {{"Options", ftc_text_option_table, &options},
                                 {"Answers", OPTIONS, &mine},
                                 {"Columns", ftc_column_option_table, &options.columns},
                                 {0}};
    ftc_model_options model = ftc_model_options_default();
    model.fills_masks = true;
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    ftc_classifier classifier;
    model.precision = mine.precision;
    if (parsed != FTC_CLI_OK) {
        // told already
    } else if (words.n == 0) {
        code = ftc_cli_error(self->name, "which model? give its directory first");
    } else if (options.json && mine.csv) {
        code = ftc_cli_error(self->name, "--json and --csv are two forms of the answers; give one");
    } else if ((code = ftc_classifier_open(self, words.items[0], &model, &options.columns, 0, &classifier)) ==
               FTC_EXIT_OK) {
        options.columns.is_silent = classifier.world->rank > 0;
        options.columns.txt_is_lines = ftc_program_masks(classifier.model.program) || mine.embeddings;
        code = ftc_status_report(self->name, predict(&classifier, &options, &mine, &words));
        ftc_classifier_close(&classifier, code);
    }
    ftc_text_list_free(&words);
    return code;
}
