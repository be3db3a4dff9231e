#include "runtime/loop/metrics.h"

#include "ir/base/alloc.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

// --- classes ------------------------------------------------------------------------------------------

ftc_one_class_scores ftc_metrics_class(const int64_t *confusion, int32_t classes, int32_t k) {
    ftc_one_class_scores scores = {0};
    for (int32_t j = 0; j < classes; j++) {
        scores.support += confusion[k * classes + j];
        scores.predicted += confusion[j * classes + k];
    }
    double hits = (double)confusion[k * classes + k], truth = (double)scores.support,
           predicted = (double)scores.predicted;
    scores.precision = ratio(hits, predicted);
    scores.recall = ratio(hits, truth);
    scores.f1 = ratio(2 * hits, truth + predicted);
    return scores;
}

ftc_class_scores ftc_metrics_classes(const int64_t *confusion, int32_t classes) {
    ftc_class_scores scores = {0};
    double total = 0, correct = 0, occurring = 0;
    double truth_by_prediction = 0, truth_squared = 0, prediction_squared = 0; // Σ tₖ pₖ, Σ tₖ², Σ pₖ²
    for (int32_t k = 0; k < classes; k++) {
        const ftc_one_class_scores one = ftc_metrics_class(confusion, classes, k);
        double truth = (double)one.support, predicted = (double)one.predicted;
        total += truth;
        correct += (double)confusion[k * classes + k];
        truth_by_prediction += truth * predicted;
        truth_squared += truth * truth;
        prediction_squared += predicted * predicted;
        if (classes == 2 && k == 1) {
            scores.precision = one.precision;
            scores.recall = one.recall;
            scores.f1 = one.f1;
        }
        scores.precision_weighted += truth * one.precision;
        scores.recall_weighted += truth * one.recall;
        scores.f1_weighted += truth * one.f1;
        if (truth + predicted == 0) continue;
        occurring++;
        scores.precision_macro += one.precision;
        scores.recall_macro += one.recall;
        scores.f1_macro += one.f1;
    }
    scores.accuracy = scores.f1_micro = ratio(correct, total);
    scores.precision_macro = ratio(scores.precision_macro, occurring);
    scores.recall_macro = ratio(scores.recall_macro, occurring);
    scores.f1_macro = ratio(scores.f1_macro, occurring);
    scores.precision_weighted = ratio(scores.precision_weighted, total);
    scores.recall_weighted = ratio(scores.recall_weighted, total);
    scores.f1_weighted = ratio(scores.f1_weighted, total);
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

// --- areas --------------------------------------------------------------------------------------------

static int by_number(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// How many of the sorted numbers are less than `value`; with `or_equal`, or equal to it.
static int64_t count_less(const double *sorted, int64_t n, double value, bool or_equal) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (sorted[middle] < value || (or_equal && sorted[middle] == value))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The area under the ROC by the scores of what is of a class, which become sorted, and of what is not: the
// share of pairs that are in order, and half of those that are equal. NaN: there are none.
static double area(double *of_class, int64_t n, const double *others, int64_t n_others) {
    double in_order = 0;
    qsort(of_class, (size_t)n, sizeof *of_class, by_number);
    for (int64_t i = 0; i < n_others; i++) {
        int64_t less = count_less(of_class, n, others[i], false), up_to = less;
        if (less < n && of_class[less] == others[i]) up_to = count_less(of_class, n, others[i], true);
        in_order += (double)(n - up_to) + 0.5 * (double)(up_to - less);
    }
    return n && n_others ? in_order / ((double)n * (double)n_others) : NAN;
}

static double log_sum_exp(const float *logits, int32_t n) {
    double most = (double)logits[0], sum = 0;
    for (int32_t k = 1; k < n; k++) most = fmax(most, (double)logits[k]);
    for (int32_t k = 0; k < n; k++) sum += exp((double)logits[k] - most);
    return most + log(sum);
}

double ftc_metrics_roc_auc(const float *labels, const float *logits, int64_t n, int32_t classes) {
    double *scores = ftc_alloc((size_t)(2 * n + 1), sizeof *scores), *below = scores + n;
    double sum = 0, occurring = 0;
    // A logit less this grows with the class' probability; of two, the distance of the logits, which does not
    // round to 1.
    for (int64_t i = 0; i < n; i++)
        below[i] = classes == 2 ? (double)logits[2 * i] : log_sum_exp(logits + i * classes, classes);
    for (int32_t k = classes == 2; k < classes; k++) {
        int64_t first = 0, last = n; // of the class from the beginning on, others from the end on
        for (int64_t i = 0; i < n; i++) {
            double score = (double)logits[i * classes + k] - below[i];
            scores[(int32_t)labels[i] == k ? first++ : --last] = score;
        }
        double one = area(scores, first, scores + first, n - first);
        if (isnan(one)) continue;
        sum += one;
        occurring++;
    }
    free(scores);
    return occurring > 0 ? sum / occurring : NAN;
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

// --- several labels -----------------------------------------------------------------------------------

// Of `n` cells from `first` on, `stride` apart.
static double area_of_label(const double *labels, const float *scores, int64_t first, int64_t stride,
                            int64_t n) {
    double *values = ftc_alloc((size_t)(n + 1), sizeof *values);
    int64_t has = 0, last = n;
    for (int64_t i = first; i < first + n * stride; i += stride)
        values[labels[i] > 0.5 ? has++ : --last] = (double)scores[i];
    double result = area(values, has, values + has, n - has);
    free(values);
    return result;
}

ftc_label_scores ftc_metrics_labels(const double *labels, const float *scores, int64_t n, int64_t count,
                                    ftc_one_class_scores *each) {
    ftc_label_scores s = {0};
    double hits = 0, predicted = 0, truth = 0, of_all = (double)count, with_auc = 0;
    for (int64_t k = 0; k < count; k++) {
        double mine[3] = {0}; // hits, predicted, truth
        for (int64_t i = k; i < n * count; i += count) {
            bool is = labels[i] > 0.5, said = scores[i] >= 0;
            mine[0] += is && said;
            mine[1] += said;
            mine[2] += is;
        }
        each[k] = (ftc_one_class_scores){.precision = ratio(mine[0], mine[1]),
                                         .recall = ratio(mine[0], mine[2]),
                                         .f1 = ratio(2 * mine[0], mine[1] + mine[2]),
                                         .support = (int64_t)mine[2],
                                         .predicted = (int64_t)mine[1]};
        s.precision_macro += each[k].precision / of_all;
        s.recall_macro += each[k].recall / of_all;
        s.f1_macro += each[k].f1 / of_all;
        hits += mine[0];
        predicted += mine[1];
        truth += mine[2];
        double auc = area_of_label(labels, scores, k, count, n);
        if (isnan(auc)) continue;
        with_auc++;
        s.roc_auc_macro += auc;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t right = 0;
        for (int64_t k = i * count; k < (i + 1) * count; k++) right += (labels[k] > 0.5) == (scores[k] >= 0);
        s.accuracy += right == count ? 1 / (double)n : 0;
    }
    s.precision_micro = ratio(hits, predicted);
    s.recall_micro = ratio(hits, truth);
    s.f1_micro = ratio(2 * hits, predicted + truth);
    s.roc_auc_micro = area_of_label(labels, scores, 0, 1, n * count);
    s.roc_auc_macro = with_auc > 0 ? s.roc_auc_macro / with_auc : NAN;
    return s;
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
