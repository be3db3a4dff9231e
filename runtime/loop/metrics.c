#include "runtime/loop/metrics.h"

#include "ir/base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

// --- classes ------------------------------------------------------------------------------------------

ftc_class_scores ftc_metrics_classes(const int64_t *confusion, int32_t classes) {
    ftc_class_scores scores = {0};
    double total = 0, correct = 0, occurring = 0;
    double truth_by_prediction = 0, truth_squared = 0, prediction_squared = 0; // Σ tₖ pₖ, Σ tₖ², Σ pₖ²
    for (int32_t k = 0; k < classes; k++) {
        double hits = (double)confusion[k * classes + k], truth = 0, predicted = 0;
        for (int32_t j = 0; j < classes; j++) {
            truth += (double)confusion[k * classes + j];
            predicted += (double)confusion[j * classes + k];
        }
        total += truth;
        correct += hits;
        truth_by_prediction += truth * predicted;
        truth_squared += truth * truth;
        prediction_squared += predicted * predicted;
        double precision = ratio(hits, predicted), recall = ratio(hits, truth),
               f1 = ratio(2 * hits, truth + predicted);
        if (classes == 2 && k == 1) {
            scores.precision = precision;
            scores.recall = recall;
            scores.f1 = f1;
        }
        if (truth + predicted == 0) continue;
        occurring++;
        scores.precision_macro += precision;
        scores.recall_macro += recall;
        scores.f1_macro += f1;
    }
    scores.accuracy = scores.f1_micro = ratio(correct, total);
    scores.precision_macro = ratio(scores.precision_macro, occurring);
    scores.recall_macro = ratio(scores.recall_macro, occurring);
    scores.f1_macro = ratio(scores.f1_macro, occurring);
    if (classes != 2) {
        scores.precision = scores.precision_macro;
        scores.recall = scores.recall_macro;
        scores.f1 = scores.f1_macro;
    }
    // Gorodkin: Comparing two K-category assignments by a K-category correlation coefficient, 2004.
    double spread = (total * total - prediction_squared) * (total * total - truth_squared);
    scores.matthews = spread > 0 ? (correct * total - truth_by_prediction) / sqrt(spread) : 0;
    return scores;
}

// --- values -------------------------------------------------------------------------------------------

static double correlation(const double *x, const double *y, int64_t n) {
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        mean_x += x[i] / (double)n;
        mean_y += y[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        double a = x[i] - mean_x, b = y[i] - mean_y;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

typedef struct {
    double value;
    int64_t at;
} ranked;

static int by_value(const void *a, const void *b) {
    double x = ((const ranked *)a)->value, y = ((const ranked *)b)->value;
    return (x > y) - (x < y);
}

// Ranks from 1; equal values share the mean of their ranks.
static void rank(const double *values, int64_t n, ranked *scratch, double *ranks) {
    for (int64_t i = 0; i < n; i++) scratch[i] = (ranked){values[i], i};
    qsort(scratch, (size_t)n, sizeof *scratch, by_value);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && scratch[end].value == scratch[i].value;) end++;
        for (int64_t j = i; j < end; j++) ranks[scratch[j].at] = 0.5 * (double)(i + end + 1);
    }
}

ftc_value_scores ftc_metrics_values(const float *labels, const float *predictions, int64_t n) {
    ftc_value_scores scores = {0};
    double *x = ftc_alloc((size_t)(4 * n + 1), sizeof *x), *y = x + n, *rank_x = y + n, *rank_y = rank_x + n;
    ranked *scratch = ftc_alloc((size_t)(n + 1), sizeof *scratch);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)labels[i];
        y[i] = (double)predictions[i];
        scores.mse += (x[i] - y[i]) * (x[i] - y[i]) / (double)n;
    }
    rank(x, n, scratch, rank_x);
    rank(y, n, scratch, rank_y);
    scores.pearson = correlation(x, y, n);
    scores.spearman = correlation(rank_x, rank_y, n);
    free(x);
    free(scratch);
    return scores;
}

// --- JSON lines ---------------------------------------------------------------------------------------

static void print_value(FILE *to, const cJSON *item) {
    if (cJSON_IsNumber(item)) {
        double value = item->valuedouble;
        if (!isfinite(value)) {
            fputs("null", to);
        } else if (value == floor(value) && fabs(value) < 9e15) {
            fprintf(to, "%.0f", value);
        } else {
            fprintf(to, "%.9g", value);
        }
        return;
    }
    if (cJSON_IsArray(item)) {
        fputc('[', to);
        for (const cJSON *child = item->child; child; child = child->next) {
            print_value(to, child);
            if (child->next) fputs(", ", to);
        }
        fputc(']', to);
        return;
    }
    if (cJSON_IsObject(item)) {
        fputc('{', to);
        for (const cJSON *child = item->child; child; child = child->next) {
            cJSON *name = cJSON_CreateString(child->string);
            print_value(to, name);
            cJSON_Delete(name);
            fputs(": ", to);
            print_value(to, child);
            if (child->next) fputs(", ", to);
        }
        fputc('}', to);
        return;
    }
    char *text = cJSON_PrintUnformatted(item);
    fputs(text ? text : "null", to);
    free(text);
}

char *ftc_metrics_line(const cJSON *object) {
    ftc_text line;
    print_value(ftc_text_open(&line), object);
    return ftc_text_close(&line, NULL);
}
