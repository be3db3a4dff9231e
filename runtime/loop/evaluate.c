#include "runtime/loop/evaluate.h"

#include "ir/base/clock.h"

#include <stdlib.h>
#include <string.h>

int32_t ftc_argmax(const float *logits, int64_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

ftc_scoring ftc_program_scoring(const ftc_program *program) {
    ftc_label_kind label = ftc_program_label(program);
    int64_t columns = ftc_program_score_columns(program);
    if (columns == 1 && label == FTC_LABEL_VALUE) return FTC_SCORE_VALUES;
    return columns > 1 && label == FTC_LABEL_CLASS ? FTC_SCORE_CLASSES : FTC_SCORE_NOTHING;
}

bool ftc_program_is_regression(const ftc_program *program) {
    return ftc_program_label(program) == FTC_LABEL_VALUE;
}

// Runs the batches; fills logits, the sum of losses and the counts.
static ftc_status run(ftc_stepper *stepper, ftc_batch *batch, const ftc_dataset *dataset, int64_t batch_size,
                      const ftc_evaluate_watch *watch, ftc_evaluation *e) {
    const float *loss = ftc_stepper_result(stepper, FTC_OUTPUT_LOSS, FTC_ENTRY_EVAL);
    const float *logits = ftc_stepper_result(stepper, FTC_OUTPUT_SCORES, FTC_ENTRY_EVAL);
    int64_t *examples = malloc((size_t)batch_size * sizeof *examples);
    if (!examples) abort();
    ftc_status status = FTC_STATUS_OK;
    for (int64_t at = 0; at < dataset->n; at += batch_size) {
        int64_t n = dataset->n - at < batch_size ? dataset->n - at : batch_size;
        for (int64_t i = 0; i < n; i++) examples[i] = at + i;
        status = ftc_batch_fill(batch, dataset, examples, n);
        if (status.code == FTC_OK && watch && watch->stop && *watch->stop) {
            status = ftc_status_make(FTC_FAILED, "the evaluation was interrupted");
        }
        if (status.code == FTC_OK) status = ftc_stepper_call(stepper, FTC_ENTRY_EVAL, batch, 1, 0);
        if (status.code != FTC_OK) break;
        double weight = ftc_stepper_loss_weight(stepper, batch, FTC_ENTRY_EVAL);
        e->loss += (double)*loss * weight;
        e->weight += weight;
        e->samples += n;
        e->tokens += batch->tokens;
        e->batches++;
        if (logits) memcpy(e->logits + at * e->columns, logits, (size_t)(n * e->columns) * sizeof *logits);
        if (watch && watch->progress) watch->progress(watch->context, e->samples, dataset->n);
    }
    free(examples);
    return status;
}

static void score(const ftc_dataset *dataset, ftc_evaluation *e) {
    if (e->scoring == FTC_SCORE_VALUES)
        e->values = ftc_metrics_values(dataset->labels, e->logits, e->samples);
    if (e->scoring != FTC_SCORE_CLASSES) return;
    for (int64_t i = 0; i < e->samples; i++) {
        int64_t label = (int64_t)dataset->labels[i];
        e->confusion[label * e->columns + ftc_argmax(e->logits + i * e->columns, e->columns)]++;
    }
    e->classes = ftc_metrics_classes(e->confusion, (int32_t)e->columns);
}

ftc_status ftc_evaluate(ftc_stepper *stepper, ftc_batch *batch, const ftc_dataset *dataset,
                        int64_t batch_size, const ftc_evaluate_watch *watch, ftc_evaluation *out) {
    double start = ftc_clock_seconds();
    const ftc_program *program = stepper->program;
    if (!ftc_stepper_result(stepper, FTC_OUTPUT_LOSS, FTC_ENTRY_EVAL)) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s declares no output of eval as the loss: it cannot be evaluated",
                               program->model);
    }
    ftc_evaluation e = {.scoring = ftc_program_scoring(program)};
    if (ftc_stepper_result(stepper, FTC_OUTPUT_SCORES, FTC_ENTRY_EVAL))
        e.columns = ftc_program_score_columns(program);
    else
        e.scoring = FTC_SCORE_NOTHING;
    bool classes = e.scoring == FTC_SCORE_CLASSES;
    e.logits = malloc((size_t)(dataset->n * e.columns + 1) * sizeof *e.logits);
    e.confusion = classes ? calloc((size_t)(e.columns * e.columns), sizeof *e.confusion) : NULL;
    if (!e.logits || (classes && !e.confusion)) abort();
    ftc_status status = run(stepper, batch, dataset, batch_size, watch, &e);
    if (status.code != FTC_OK) {
        ftc_evaluation_free(&e);
        return status;
    }
    if (e.weight > 0) e.loss /= e.weight;
    score(dataset, &e);
    e.seconds = ftc_clock_seconds() - start;
    *out = e;
    return FTC_STATUS_OK;
}

void ftc_evaluation_free(ftc_evaluation *evaluation) {
    free(evaluation->logits);
    free(evaluation->confusion);
    *evaluation = (ftc_evaluation){0};
}

void ftc_evaluation_report(const ftc_evaluation *e, cJSON *line) {
    cJSON_AddNumberToObject(line, "eval_loss", e->loss);
    if (e->scoring == FTC_SCORE_VALUES) {
        cJSON_AddNumberToObject(line, "eval_mse", e->values.mse);
        cJSON_AddNumberToObject(line, "eval_pearson", e->values.pearson);
        cJSON_AddNumberToObject(line, "eval_spearmanr", e->values.spearman);
    } else if (e->scoring == FTC_SCORE_CLASSES) {
        cJSON_AddNumberToObject(line, "eval_accuracy", e->classes.accuracy);
        cJSON_AddNumberToObject(line, "eval_f1", e->classes.f1);
        cJSON_AddNumberToObject(line, "eval_precision", e->classes.precision);
        cJSON_AddNumberToObject(line, "eval_recall", e->classes.recall);
        cJSON_AddNumberToObject(line, "eval_f1_macro", e->classes.f1_macro);
        cJSON_AddNumberToObject(line, "eval_f1_micro", e->classes.f1_micro);
        cJSON_AddNumberToObject(line, "eval_matthews_correlation", e->classes.matthews);
    }
    cJSON_AddNumberToObject(line, "eval_samples", (double)e->samples);
    cJSON_AddNumberToObject(line, "eval_runtime", e->seconds);
    cJSON_AddNumberToObject(line, "eval_samples_per_second",
                            e->seconds > 0 ? (double)e->samples / e->seconds : 0);
    cJSON_AddNumberToObject(line, "eval_steps_per_second",
                            e->seconds > 0 ? (double)e->batches / e->seconds : 0);
}
