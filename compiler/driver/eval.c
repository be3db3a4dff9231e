// ftc eval: how good a trained classifier is on labelled data.
#include "compiler/driver/classifier.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/data.h"
#include "ir/base/alloc.h"
#include "runtime/loop/metrics.h"
#include "runtime/text/shown.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

typedef struct {
    const char *test;
    bool json;
    int64_t threads;
    const char *cache; // ftc_data_options
} eval_options;

#define FIELD(name) offsetof(eval_options, name)
static const ftc_option OPTIONS[] = {
    {"test", NULL, FTC_OPTION_ROWS, FIELD(test), "FILE", 0,
     "labelled rows to evaluate on (CSV, TSV or JSON lines)"},
    {"json", NULL, FTC_OPTION_FLAG, FIELD(json), NULL, 0, "print one JSON object"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1, "threads; one a processor unless set"},
    {"cache", NULL, FTC_OPTION_TEXT, FIELD(cache), "DIR", 0,
     "token ids are kept there, as by ftc run; none: nowhere"},
    {0},
};
#undef FIELD
#define FIELD(name) offsetof(ftc_data_options, name)
static const ftc_option ROWS[] = {
    {"shuffle-seed", NULL, FTC_OPTION_SEED, FIELD(shuffle_seed), "N", 0,
     "shuffle the rows first, as datasets' shuffle(seed=N)"},
    {"select-test", NULL, FTC_OPTION_INT, FIELD(select_test), "N", 1, "evaluate on the first N rows only"},
    {0},
};
#undef FIELD

static const char *row_name(const ftc_evaluation *e, const ftc_labels *labels, int64_t row) {
    return e->types ? e->types[row] : labels->names[row];
}

static void add_rows(const ftc_evaluation *e, const ftc_labels *labels, cJSON *line) {
    cJSON *rows = cJSON_AddArrayToObject(line, e->types ? "eval_types" : "eval_classes");
    for (int64_t k = 0; k < e->n_each; k++) {
        const ftc_one_class_scores one = e->each[k];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, e->types ? "type" : "label", row_name(e, labels, k));
        cJSON_AddNumberToObject(object, "precision", one.precision);
        cJSON_AddNumberToObject(object, "recall", one.recall);
        cJSON_AddNumberToObject(object, "f1", one.f1);
        cJSON_AddNumberToObject(object, "support", (double)one.support);
        cJSON_AddItemToArray(rows, object);
    }
}

static void print_json(const ftc_evaluation *e, const ftc_labels *labels) {
    cJSON *line = cJSON_CreateObject();
    ftc_evaluation_report(e, line);
    if (e->confusion) {
        cJSON *matrix = cJSON_AddArrayToObject(line, "eval_confusion_matrix");
        for (int64_t i = 0; i < e->columns; i++) {
            cJSON *row = cJSON_CreateArray();
            for (int64_t k = 0; k < e->columns; k++) {
                cJSON_AddItemToArray(row, cJSON_CreateNumber((double)e->confusion[i * e->columns + k]));
            }
            cJSON_AddItemToArray(matrix, row);
        }
    }
    if (e->each) add_rows(e, labels, line);
    char *text = ftc_metrics_line(line);
    puts(text);
    free(text);
    cJSON_Delete(line);
}

// How many columns of a terminal a name takes, hidden characters escaped.
static int columns_of(const char *name) {
    char *shown = ftc_shown(name);
    size_t bytes;
    int columns = ftc_shown_columns(shown, INT_MAX, &bytes);
    free(shown);
    return columns;
}

// A name in so many columns, cut where it is longer, before or behind blanks.
static void print_name(const char *name, int width, bool is_right) {
    char *shown = ftc_shown(name);
    size_t bytes;
    int columns = ftc_shown_columns(shown, width, &bytes), blanks = width - columns;
    printf("%*s%.*s%*s", is_right ? blanks : 0, "", (int)bytes, shown, is_right ? 0 : blanks, "");
    free(shown);
}

static void print_confusion(const ftc_evaluation *e, const ftc_labels *labels) {
    printf("\n%-16s", "label \\ answer");
    for (int64_t k = 0; k < e->columns; k++) {
        putchar(' ');
        print_name(labels->names[k], 8, true);
    }
    putchar('\n');
    for (int64_t i = 0; i < e->columns; i++) {
        print_name(labels->names[i], 16, false);
        for (int64_t k = 0; k < e->columns; k++)
            printf(" %8lld", (long long)e->confusion[i * e->columns + k]);
        putchar('\n');
    }
}

static void print_row(int width, const char *name, const ftc_one_class_scores *s) {
    print_name(name, width, false);
    printf(" %9.4f %9.4f %9.4f %9lld\n", s->precision, s->recall, s->f1, (long long)s->support);
}

// As scikit-learn's classification_report, as wide as the longest name asks for.
static void print_each(const ftc_evaluation *e, const ftc_labels *labels) {
    enum { LEAST = 16, MOST = 40 };
    const ftc_evaluation_table table = ftc_evaluation_table_of(e);
    int width = LEAST;
    for (int64_t k = 0; k < e->n_each; k++) {
        int wide = columns_of(row_name(e, labels, k));
        width = wide > MOST ? MOST : wide > width ? wide : width;
    }
    printf("\n%-*s %9s %9s %9s %9s\n", width, table.row, "precision", "recall", "f1", table.support);
    for (int64_t k = 0; k < e->n_each; k++) print_row(width, row_name(e, labels, k), &e->each[k]);
    for (int i = 0; i < table.n_means; i++) print_row(width, table.means[i].name, &table.means[i].scores);
}

static void print_labels(const ftc_label_scores *s) {
    printf("accuracy   %.4f (all labels of a text right)\n", s->accuracy);
    printf("           micro   macro\n");
    printf("precision  %.4f  %.4f\n", s->precision_micro, s->precision_macro);
    printf("recall     %.4f  %.4f\n", s->recall_micro, s->recall_macro);
    printf("f1         %.4f  %.4f\n", s->f1_micro, s->f1_macro);
    printf("roc auc    %.4f  %.4f\n", s->roc_auc_micro, s->roc_auc_macro);
}

static void print_text(const ftc_evaluation *e, const ftc_labels *labels) {
    printf("%lld examples in %.1f s (%.0f tokens/s)\n", (long long)e->samples, e->seconds,
           (double)e->tokens / e->seconds);
    printf("loss       %.4f\n", e->loss);
    if (ftc_program_masks(e->program)) printf("perplexity %.4f\n", exp(e->loss));
    for (int32_t i = 0; i < e->program->n_outputs; i++)
        if (e->program->outputs[i].role == FTC_OUTPUT_METRIC)
            printf("%-10s %.4f\n", e->program->outputs[i].name, e->metrics[i]);
    if (e->scoring == FTC_SCORE_VALUES)
        printf("mse        %.4f\npearson    %.4f\nspearman   %.4f\n", e->values.mse, e->values.pearson,
               e->values.spearman);
    if (e->scoring == FTC_SCORE_SPANS)
        printf("accuracy   %.4f\nprecision  %.4f\nrecall     %.4f\nf1         %.4f\n", e->spans.accuracy,
               e->spans.micro.precision, e->spans.micro.recall, e->spans.micro.f1);
    if (e->scoring == FTC_SCORE_LABELS) print_labels(&e->labels);
    if (e->scoring == FTC_SCORE_CLASSES) {
        const ftc_class_scores *s = &e->classes;
        printf("accuracy   %.4f\nprecision  %.4f\nrecall     %.4f\nf1         %.4f\nmatthews   %.4f\n",
               s->accuracy, s->precision, s->recall, s->f1, s->matthews);
        if (!isnan(e->roc_auc)) printf("roc auc    %.4f\n", e->roc_auc);
        if (e->columns <= 16) print_confusion(e, labels);
    }
    if (e->each) print_each(e, labels);
}

// Which label is which class: of names that are numbers, too, nobody could tell otherwise.
static void tell_labels(const ftc_labels *labels) {
    if (labels->kind == FTC_LABELS_UNUSED) return;
    char *text = ftc_labels_describe(labels);
    fprintf(stderr, "labels: %s\n", text);
    free(text);
}

static ftc_status evaluate(ftc_classifier *c, const char *dir, const eval_options *o,
                           const ftc_data_options *columns) {
    ftc_table *table;
    ftc_labels labels = {0};
    ftc_dataset dataset = {0};
    ftc_evaluation e;
    bool from_cache;
    FTC_RETURN_IF_ERROR(ftc_data_open_for(c->model.program, o->test, columns, &table));
    ftc_classifier_tell_pairs(c, ftc_table_has_pairs(table));
    ftc_selection rows = {0};
    ftc_status status = ftc_data_select_test(columns, table, &rows);
    if (status.code == FTC_OK) status = ftc_data_labels(c->model.program, table, dir, false, &labels);
    if (status.code == FTC_OK && !columns->is_silent) tell_labels(&labels);
    ftc_masking *masking = NULL;
    if (status.code == FTC_OK) status = ftc_data_masking(c->model.program, columns, c->tokenizer, &masking);
    ftc_dataset_source source = {table,
                                 rows.rows,
                                 rows.count,
                                 c->tokenizer,
                                 c->max_length,
                                 &labels,
                                 columns->label_all_tokens ? FTC_TAG_ALL : FTC_TAG_FIRST,
                                 masking,
                                 ftc_program_texts_per_row(c->model.program) > 1};
    if (status.code == FTC_OK)
        status = ftc_data_tokenize(c->model.program, &source, o->cache, c->threads, &dataset, &from_cache);
    if (status.code == FTC_OK) status = ftc_classifier_evaluate(c, &dataset, &e);
    if (status.code == FTC_OK) {
        if (o->json) {
            print_json(&e, &labels);
        } else {
            print_text(&e, &labels);
        }
        ftc_evaluation_free(&e);
    }
    ftc_dataset_free(&dataset);
    ftc_masking_free(masking);
    ftc_labels_free(&labels);
    ftc_table_close(table);
    ftc_selection_free(&rows);
    return status;
}

int ftc_command_eval(const ftc_command *self, int argc, char **argv) {
    eval_options options = {0};
    ftc_data_options columns = ftc_data_options_default();
    ftc_model_options model = ftc_model_options_default();
    ftc_option_group groups[] = {{"Options", OPTIONS, &options},
                                 {"Rows", ROWS, &columns},
                                 {"Columns", ftc_column_option_table, &columns},
                                 {"Compiling (as for ftc compile)", ftc_model_option_table, &model},
                                 {0}};
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    int code = ftc_cli_exit(parsed);
    ftc_classifier classifier;
    if (parsed != FTC_CLI_OK) {
        // told already
    } else if (words.n != 1) {
        code = ftc_cli_error(self->name, "one model directory is expected, %zu are given", words.n);
    } else if (!options.test) {
        code = ftc_cli_error(self->name, "which data? give --test FILE");
    } else if ((code = ftc_classifier_open(self, words.items[0], &model, &columns, options.threads,
                                           &classifier)) == FTC_EXIT_OK) {
        columns.is_silent = classifier.world->rank > 0;
        code = ftc_status_report(self->name, evaluate(&classifier, words.items[0], &options, &columns));
        ftc_classifier_close(&classifier, code);
    }
    ftc_text_list_free(&words);
    ftc_model_options_free(&model);
    return code;
}
