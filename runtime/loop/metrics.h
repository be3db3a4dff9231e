// What a model's predictions are worth, and the JSON lines that say it.
#ifndef FTC_RUNTIME_METRICS_H
#define FTC_RUNTIME_METRICS_H

#include <stdint.h>

#include <cjson/cJSON.h>

// Of a classification. A score that would divide by zero is 0, as in scikit-learn.
typedef struct {
    double accuracy;
    double precision, recall, f1; // of class 1 when there are two classes, else the macro average
    // Means over the classes that occur in labels or predictions.
    double precision_macro, recall_macro, f1_macro;
    double precision_weighted, recall_weighted, f1_weighted; // means by how often a class is the label
    double f1_micro;                                         // over all classes together: the accuracy
    double matthews; // correlation coefficient (R_k for more than two classes)
} ftc_class_scores;

// confusion[label * classes + prediction] counts examples.
ftc_class_scores ftc_metrics_classes(const int64_t *confusion, int32_t classes);

// Of one class, or of one of several labels, as in scikit-learn's classification_report.
typedef struct {
    double precision, recall, f1;
    int64_t support, predicted; // examples of the class, and those that were said to be
} ftc_one_class_scores;

ftc_one_class_scores ftc_metrics_class(const int64_t *confusion, int32_t classes, int32_t k);

// The area under the ROC, by logits [n, classes]: of class 1 when there are two, else the mean of each class
// against the rest, as scikit-learn's roc_auc_score has it (multi_class="ovr"). Classes that no label has, or
// all, have none and are left out; NaN when that leaves nothing.
double ftc_metrics_roc_auc(const float *labels, const float *logits, int64_t n, int32_t classes);

// Of a regression.
typedef struct {
    double mse, pearson, spearman;
} ftc_value_scores;

ftc_value_scores ftc_metrics_values(const float *labels, const float *predictions, int64_t n);

// Of several labels a text. Micro: over all texts and labels together; macro: the mean over the labels, each
// by itself.
typedef struct {
    double accuracy; // of texts whose labels are all right
    double precision_micro, recall_micro, f1_micro;
    double precision_macro, recall_macro, f1_macro;
    double roc_auc_micro, roc_auc_macro; // over labels that some texts have and some have not; NaN: none is
} ftc_label_scores;

// labels and scores: [n, count]. A text has the labels whose number is above a half, and is said to have
// those whose score is not below 0. Fills each[count].
ftc_label_scores ftc_metrics_labels(const double *labels, const float *scores, int64_t n, int64_t count,
                                    ftc_one_class_scores *each);

// A JSON object as one line: floats with 9 significant digits (not finite: null), integers exact. Allocated.
char *ftc_metrics_line(const cJSON *object);

#endif
