// Runs a model over a data set without training, and scores it.
#ifndef FTC_RUNTIME_EVALUATE_H
#define FTC_RUNTIME_EVALUATE_H

#include "runtime/data/batch.h"
#include "runtime/loop/metrics.h"
#include "runtime/loop/stepper.h"

#include <signal.h>
#include <stdbool.h>

typedef struct {
    int64_t samples, tokens, batches;
    double loss; // mean over the samples
    double seconds;
    int64_t columns; // values a sample: classes, or 1 for a regression
    bool regression;
    float *logits;      // [samples, columns]
    int64_t *confusion; // [columns, columns], label by prediction; NULL for a regression
    ftc_class_scores classes;
    ftc_value_scores values;
} ftc_evaluation;

// What an evaluation may be watched and stopped with. All may be NULL.
typedef struct {
    void (*progress)(void *context, int64_t done, int64_t total); // samples
    void *context;
    const volatile sig_atomic_t *stop; // ends with FTC_FAILED when it becomes non-zero
} ftc_evaluate_watch;

// Evaluates `dataset` in its order, `batch_size` examples at a time. The stepper must have been made for
// FTC_ENTRY_EVAL.
ftc_status ftc_evaluate(ftc_stepper *stepper, ftc_batch *batch, const ftc_dataset *dataset,
                        int64_t batch_size, const ftc_evaluate_watch *watch, ftc_evaluation *out);
void ftc_evaluation_free(ftc_evaluation *evaluation);

// Adds eval_loss, eval_accuracy, … under the names that Hugging Face's Trainer gives them.
void ftc_evaluation_report(const ftc_evaluation *evaluation, cJSON *line);

// The class with the largest of `n` logits.
int32_t ftc_argmax(const float *logits, int64_t n);

// Whether the program's label is a number and not a class.
bool ftc_program_is_regression(const ftc_program *program);

#endif
