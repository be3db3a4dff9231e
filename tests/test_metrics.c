// Scores beside scikit-learn's (tests/golden/metrics.json), and the lines that say them.
#include "ir/base/alloc.h"
#include "runtime/json.h"
#include "runtime/loop/metrics.h"
#include "tests/scratch.h"

#include <math.h>

// --- of classes ---------------------------------------------------------------------------------------

static const cJSON *get(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    cr_assert_not_null(item, "%s", name);
    return item;
}

static void assert_row(const cJSON *row, double precision, double recall, double f1, const char *what) {
    const cJSON *number = row->child;
    const double values[] = {precision, recall, f1};
    for (int i = 0; i < 3; i++, number = number->next)
        cr_assert_float_eq(values[i], number->valuedouble, 1e-12, "%s: %g, not %g", what, values[i],
                           number->valuedouble);
}

// The numbers of a list as floats, to be freed.
static float *floats(const cJSON *list, int64_t *n) {
    float *values = ftc_alloc((size_t)cJSON_GetArraySize(list), sizeof *values);
    const cJSON *item;
    *n = 0;
    cJSON_ArrayForEach(item, list) values[(*n)++] = (float)item->valuedouble;
    return values;
}

static void check_case(const cJSON *one) {
    const char *name = get(one, "name")->valuestring;
    int32_t classes = (int32_t)get(one, "classes")->valuedouble;
    int64_t n, n_logits;
    float *labels = floats(get(one, "labels"), &n), *logits = floats(get(one, "logits"), &n_logits);
    cr_assert_eq(n_logits, n * classes);
    int64_t *confusion = ftc_alloc((size_t)(classes * classes), sizeof *confusion);
    for (int64_t i = 0; i < n; i++) {
        int32_t best = 0;
        for (int32_t k = 1; k < classes; k++)
            if (logits[i * classes + k] > logits[i * classes + best]) best = k;
        confusion[(int64_t)labels[i] * classes + best]++;
    }
    int32_t k = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, get(one, "report")) {
        ftc_one_class_scores s = ftc_metrics_class(confusion, classes, k++);
        assert_row(row, s.precision, s.recall, s.f1, name);
        cr_assert_eq(s.support, (int64_t)ftc_json_last(row)->valuedouble);
    }
    cr_assert_eq(k, classes);
    ftc_class_scores s = ftc_metrics_classes(confusion, classes);
    assert_row(get(one, "macro"), s.precision_macro, s.recall_macro, s.f1_macro, name);
    assert_row(get(one, "weighted"), s.precision_weighted, s.recall_weighted, s.f1_weighted, name);
    double auc = ftc_metrics_roc_auc(labels, logits, n, classes), expected = get(one, "roc_auc")->valuedouble;
    cr_assert_float_eq(auc, expected, 1e-12, "%s: area %.17g, not %.17g", name, auc, expected);
    free(labels);
    free(logits);
    free(confusion);
}

Test(metrics, classes_as_scikit_learn) {
    cJSON *golden;
    const cJSON *one;
    ASSERT_OK(ftc_json_read(FTC_SOURCE_ROOT "/tests/golden/metrics.json", &golden));
    int cases = 0;
    cJSON_ArrayForEach(one, get(golden, "cases")) {
        check_case(one);
        cases++;
    }
    cr_assert_geq(cases, 5);
    cJSON_Delete(golden);
}

Test(metrics, areas_at_their_ends) {
    static const float LABELS[] = {0, 0, 1, 1}, APART[] = {0, -1, 0, -900, 0, 900, 0, 901},
                       EQUAL[] = {1, 2, 1, 2, 1, 2, 1, 2}, ONES[] = {1, 1, 1, 1};
    cr_assert_float_eq(ftc_metrics_roc_auc(LABELS, APART, 4, 2), 1, 0);
    cr_assert_float_eq(ftc_metrics_roc_auc(LABELS, EQUAL, 4, 2), 0.5, 0);
    cr_assert(isnan(ftc_metrics_roc_auc(ONES, APART, 4, 2)), "of one class there is no area");
    cr_assert(isnan(ftc_metrics_roc_auc(LABELS, APART, 0, 2)), "of nothing there is no area");
    static const float FAR[] = {0, 40, 0, 41, 0, 42, 0, 43}; // probabilities that round to 1
    cr_assert_float_eq(ftc_metrics_roc_auc(LABELS, FAR, 4, 2), 1, 0);
}

Test(metrics, small_matrices_and_values_as_scikit_learn) {
    static const int64_t THREE[9] = {5, 1, 0, 2, 3, 1, 0, 2, 6}, TWO[4] = {3, 1, 2, 4};
    ftc_class_scores s = ftc_metrics_classes(THREE, 3);
    cr_assert_float_eq(s.accuracy, 0.7, 1e-12);
    cr_assert_float_eq(s.f1_macro, 0.6897435897435896, 1e-12);
    cr_assert_float_eq(s.matthews, 0.5509473189696001, 1e-12);
    s = ftc_metrics_classes(TWO, 2);
    cr_assert_float_eq(s.precision, 0.8, 1e-12);
    cr_assert_float_eq(s.recall, 2 / 3.0, 1e-12);
    cr_assert_float_eq(s.f1, 0.7272727272727273, 1e-12);
    cr_assert_float_eq(s.matthews, 0.408248290463863, 1e-12);
    static const float X[5] = {1, 2, 3, 4, 5}, Y[5] = {1, 3, 3, 2, 9};
    ftc_value_scores v = ftc_metrics_values(X, Y, 5);
    cr_assert_float_eq(v.mse, 4.2, 1e-12);
    cr_assert_float_eq(v.pearson, 0.7576144084141582, 1e-9);
    cr_assert_float_eq(v.spearman, 0.6668859288553503, 1e-9);
}

// --- lines --------------------------------------------------------------------------------------------

Test(metrics, lines_have_nine_digits) {
    cJSON *line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "step", 3);
    cJSON_AddNumberToObject(line, "loss", 1.0 / 3);
    cJSON_AddNumberToObject(line, "learning_rate", 5e-5);
    cJSON_AddNumberToObject(line, "nan", NAN);
    cJSON_AddStringToObject(line, "text", "a\"b");
    char *text = ftc_metrics_line(line);
    cr_assert_str_eq(text, "{\"step\": 3, \"loss\": 0.333333333, \"learning_rate\": 5e-05, \"nan\": null, "
                           "\"text\": \"a\\\"b\"}");
    free(text);
    cJSON_Delete(line);
}

// tests/tools/make_label_scores.py has scikit-learn's.
Test(metrics, scores_of_several_labels_equal_scikit_learn) {
    FILE *f = fopen(FTC_SOURCE_ROOT "/tests/golden/labels/scores.txt", "r");
    cr_assert_not_null(f);
    long long n, count;
    int cases = 0;
    for (; fscanf(f, "%lld %lld", &n, &count) == 2; cases++) {
        enum { MOST = 2000, VALUES = 9 };
        double labels[MOST], expected[VALUES];
        float scores[MOST];
        cr_assert_leq(n * count, MOST);
        for (long long i = 0; i < n * count; i++) cr_assert_eq(fscanf(f, "%lf", &labels[i]), 1);
        for (long long i = 0; i < n * count; i++) cr_assert_eq(fscanf(f, "%f", &scores[i]), 1);
        for (int i = 0; i < VALUES; i++) cr_assert_eq(fscanf(f, "%lf", &expected[i]), 1);
        ftc_one_class_scores each[16], sum = {0};
        ftc_label_scores s = ftc_metrics_labels(labels, scores, n, count, each);
        for (long long k = 0; k < count; k++) {
            sum.recall += each[k].recall / (double)count;
            sum.support += each[k].support;
        }
        cr_expect_float_eq(sum.recall, s.recall_macro, 1e-12);
        for (long long i = 0; i < n * count; i++) sum.support -= labels[i] > 0.5;
        cr_expect_eq(sum.support, 0);
        const double got[VALUES] = {s.accuracy,     s.precision_micro, s.recall_micro,
                                    s.f1_micro,     s.roc_auc_micro,   s.precision_macro,
                                    s.recall_macro, s.f1_macro,        s.roc_auc_macro};
        for (int i = 0; i < VALUES; i++)
            cr_expect_float_eq(got[i], expected[i], 1e-12, "case %d, value %d: %.17g, not %.17g", cases, i,
                               got[i], expected[i]);
    }
    cr_expect_eq(cases, 4);
    fclose(f);
    // A label that every text has: there is no area.
    const double all[2] = {1, 1};
    ftc_label_scores s = ftc_metrics_labels(all, (const float[]){1, -1}, 2, 1, &(ftc_one_class_scores){0});
    cr_expect(isnan(s.roc_auc_micro) && isnan(s.roc_auc_macro));
    cr_expect_eq(s.recall_micro, 0.5);
}
