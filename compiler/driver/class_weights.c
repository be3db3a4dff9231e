#include "compiler/driver/class_weights.h"

#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "runtime/files.h"
#include "runtime/json.h"
#include "runtime/text/shown.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A class that no row has weighs 1: no loss has it. Of classes, each row, or word, has one.
static void balance(bool several, int32_t count, double rows, double *weights) {
    double all = 0;
    for (int32_t k = 0; k < count; k++) all += weights[k];
    for (int32_t k = 0; k < count; k++) {
        double having = weights[k];
        weights[k] = having == 0 ? 1 : several ? (rows - having) / having : all / (count * having);
    }
}

// Takes the weight of one class, which is called `name` in the file.
static ftc_status set_weight(const ftc_labels *labels, const char *path, const char *name, double weight,
                             double *weights) {
    int32_t id = 0;
    while (id < labels->count && strcmp(labels->names[id], name) != 0 &&
           !(labels->values[id] && strcmp(labels->values[id], name) == 0))
        id++;
    if (id == labels->count)
        return ftc_status_make(FTC_BAD_INPUT, "%s: \"%s\" is no class of the training data", path, name);
    if (!(weight >= 0 && isfinite((float)weight)))
        return ftc_status_make(FTC_BAD_INPUT, "%s: the weight of \"%s\" is %g: expected a number from 0 on",
                               path, name, weight);
    if (!isnan(weights[id])) return ftc_status_make(FTC_BAD_INPUT, "%s: \"%s\" has two weights", path, name);
    weights[id] = weight;
    return FTC_STATUS_OK;
}

static ftc_status read_object(const ftc_labels *labels, const char *path, double *weights) {
    cJSON *json;
    FTC_RETURN_IF_ERROR(ftc_json_read(path, &json));
    ftc_status status = FTC_STATUS_OK;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (status.code != FTC_OK) break;
        status =
            set_weight(labels, path, item->string, cJSON_IsNumber(item) ? item->valuedouble : NAN, weights);
    }
    cJSON_Delete(json);
    return status;
}

static ftc_status read_rows(const ftc_labels *labels, const char *path, double *weights) {
    ftc_table *table;
    ftc_row row = {0};
    FTC_RETURN_IF_ERROR(
        ftc_table_open(path, &(ftc_table_options){.text_column = "0", .label_column = "1"}, &table));
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < ftc_table_rows(table) && status.code == FTC_OK; i++) {
        char *end;
        status = ftc_table_read(table, i, &row);
        if (status.code != FTC_OK) break;
        double weight;
        bool fits = ftc_name_number(row.label, &end, &weight) && !*end;
        status = set_weight(labels, path, row.text, fits ? weight : NAN, weights);
    }
    ftc_row_free(&row);
    ftc_table_close(table);
    return status;
}

// The weights of a file, which has one for each class.
static ftc_status read_file(const ftc_labels *labels, const char *path, double *weights) {
    char *text = NULL;
    size_t bytes = 0;
    FTC_RETURN_IF_ERROR(ftc_file_read(path, &text, &bytes));
    bool is_object = text[strspn(text, " \t\r\n")] == '{';
    free(text);
    for (int32_t k = 0; k < labels->count; k++) weights[k] = NAN;
    FTC_RETURN_IF_ERROR(is_object ? read_object(labels, path, weights) : read_rows(labels, path, weights));
    double sum = 0;
    for (int32_t k = 0; k < labels->count; k++) {
        if (isnan(weights[k]))
            return ftc_status_make(FTC_BAD_INPUT, "%s: the class \"%s\" has no weight", path,
                                   labels->names[k]);
        sum += weights[k];
    }
    return sum > 0 ? FTC_STATUS_OK : ftc_status_make(FTC_BAD_INPUT, "%s: all weights are 0", path);
}

// Tells the weights and writes them as config has them.
static char *write_weights(const ftc_labels *labels, const double *weights, bool is_silent) {
    enum { SHOWN = 12 };
    ftc_text text;
    FILE *out = ftc_text_open(&text);
    if (!is_silent) fprintf(stderr, "class weights:");
    for (int32_t k = 0; k < labels->count; k++) {
        fprintf(out, "%s%.9g", k ? "|" : "", weights[k]);
        if (is_silent || k >= SHOWN) continue;
        char *name = ftc_shown(labels->names[k]);
        fprintf(stderr, "%s %s %.4g", k ? "," : "", name, weights[k]);
        free(name);
    }
    if (!is_silent) fprintf(stderr, "%s\n", labels->count > SHOWN ? ", …" : "");
    return ftc_text_close(&text, NULL);
}

ftc_status ftc_class_weights(const ftc_data_options *options, const char *asked, bool several, int32_t count,
                             const char *dir, char **out) {
    ftc_labels labels = {0};
    double rows, *weights = ftc_alloc((size_t)count, sizeof *weights);
    ftc_status status = ftc_data_label_counts(options, several, count, dir, &labels, &rows, weights);
    if (status.code == FTC_OK && strcmp(asked, "balanced") == 0)
        balance(several, count, rows, weights);
    else if (status.code == FTC_OK)
        status = read_file(&labels, asked, weights);
    if (status.code == FTC_OK) *out = write_weights(&labels, weights, options->is_silent);
    ftc_labels_free(&labels);
    free(weights);
    return status;
}
