// Runs a model over a data set without training, and scores it.
#ifndef FTC_RUNTIME_EVALUATE_H
#define FTC_RUNTIME_EVALUATE_H

#include "runtime/data/batch.h"
#include "runtime/loop/metrics.h"
#include "runtime/loop/spans.h"
#include "runtime/loop/stepper.h"
#include "runtime/loop/world.h"

#include <signal.h>
#include <stdbool.h>

// What scores are compared with labels as.
typedef enum {
    FTC_SCORE_NOTHING, // the program tells no scores, or takes no label that they can be compared with
    FTC_SCORE_CLASSES,
    FTC_SCORE_VALUES, // a regression
    FTC_SCORE_SPANS,  // classes of tokens, and the spans that they say
    FTC_SCORE_LABELS, // several labels a text
} ftc_scoring;

// Whether the program's scores are those of tokens.
bool ftc_program_scores_tokens(const ftc_program *program);

ftc_scoring ftc_program_scoring(const ftc_program *program);

typedef struct {
    int64_t samples, tokens, batches;
    double loss, weight; // the mean, and over how many examples (ftc_stepper_loss_weight)
    // The mean of the batches' losses by their examples, as transformers' Trainer has it.
    double loss_by_examples;
    double seconds;
    int64_t columns;            // scores a sample: classes, or 1 of a regression; 0: none
    const ftc_program *program; // names the metrics
    double *metrics;            // [n_outputs] of the outputs that are metrics: their means; else NULL
    ftc_scoring scoring;
    float *logits;      // [samples, columns]; of tokens [tokens, columns]
    int64_t *confusion; // of classes: [columns, columns], label by prediction; else NULL
    // [n_each]: a row for each class, each of several labels, or each type of spans that occurs; else NULL.
    ftc_one_class_scores *each;
    int64_t n_each;
    char **types;             // [n_each] of spans: what the types are called; else NULL
    ftc_class_scores classes; // of classes
    double roc_auc;           // of classes; NaN: no class has examples and others beside it
    ftc_value_scores values;  // of values
    ftc_span_scores spans;    // of spans
    ftc_label_scores labels;  // of several labels
} ftc_evaluation;

// What an evaluation may be watched and stopped with. All may be NULL.
typedef struct {
    void (*progress)(void *context, int64_t done, int64_t total); // samples
    void *context;
    const volatile sig_atomic_t *stop; // ends with FTC_FAILED when it becomes non-zero
} ftc_evaluate_watch;

// Evaluates `dataset` in its order, `batch_size` examples at a time. The stepper must have been made for
// FTC_ENTRY_EVAL. The processes of `world` share the batches, and all get the evaluation; a process that is
// stopped leaves the others waiting, so that only a world of one may be.
ftc_status ftc_evaluate(ftc_stepper *stepper, ftc_batch *batch, const ftc_dataset *dataset,
                        int64_t batch_size, const ftc_world *world, const ftc_evaluate_watch *watch,
                        ftc_evaluation *out);
void ftc_evaluation_free(ftc_evaluation *evaluation);

// The table of evaluation->each in words, and what stands below it, over all of its rows.
enum { FTC_EVALUATION_MEANS = 3 };
typedef struct {
    const char *row, *support; // what a row is of and counts: "class", "examples"
    int n_means;
    struct {
        const char *name;
        ftc_one_class_scores scores;
    } means[FTC_EVALUATION_MEANS];
} ftc_evaluation_table;
ftc_evaluation_table ftc_evaluation_table_of(const ftc_evaluation *evaluation);

// Adds eval_loss, eval_accuracy, … under the names that Hugging Face's Trainer gives them.
void ftc_evaluation_report(const ftc_evaluation *evaluation, cJSON *line);

// The class with the largest of `n` logits.
int32_t ftc_argmax(const float *logits, int64_t n);

// What Hugging Face calls the program's problem in config.json; NULL: the labels are not those of whole
// texts.
const char *ftc_program_problem_type(const ftc_program *program);

#endif
