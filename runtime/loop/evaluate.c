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

bool ftc_program_is_regression(const ftc_program *program) {
    for (int32_t i = 0; i < program->n_inputs; i++) {
        if (strcmp(program->inputs[i].name, "label") == 0) return program->inputs[i].dtype == FTC_F32;
    }
    return false;
}

// Runs the batches; fills logits, the sum of losses and the counts.
static ftc_status run(ftc_stepper *stepper, ftc_batch *batch, const ftc_dataset *dataset, int64_t batch_size,
                      const ftc_evaluate_watch *watch, ftc_evaluation *e) {
    const float *loss = ftc_stepper_output(stepper, "loss", FTC_ENTRY_EVAL);
    const float *logits = ftc_stepper_output(stepper, "logits", FTC_ENTRY_EVAL);
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
        e->loss += (double)*loss * (double)n;
        e->samples += n;
        e->tokens += batch->tokens;
        e->batches++;
        memcpy(e->logits + at * e->columns, logits, (size_t)(n * e->columns) * sizeof *logits);
        if (watch && watch->progress) watch->progress(watch->context, e->samples, dataset->n);
    }
    free(examples);
    return status;
}

static void score(const ftc_dataset *dataset, ftc_evaluation *e) {
    if (e->regression) {
        e->values = ftc_metrics_values(dataset->labels, e->logits, e->samples);
        return;
    }
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
    if (!ftc_stepper_output(stepper, "loss", FTC_ENTRY_EVAL) ||
        !ftc_stepper_output(stepper, "logits", FTC_ENTRY_EVAL)) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s lacks the output \"loss\" or \"logits\": it cannot be "
                               "evaluated",
                               program->model);
    }
    ftc_evaluation e = {.columns = ftc_stepper_output_columns(stepper, "logits"),
                        .regression = ftc_program_is_regression(program)};
    e.logits = malloc((size_t)(dataset->n * e.columns + 1) * sizeof *e.logits);
    e.confusion = e.regression ? NULL : calloc((size_t)(e.columns * e.columns), sizeof *e.confusion);
    if (!e.logits || (!e.regression && !e.confusion)) abort();
    ftc_status status = run(stepper, batch, dataset, batch_size, watch, &e);
    if (status.code != FTC_OK) {
        ftc_evaluation_free(&e);
        return status;
    }
    if (e.samples) e.loss /= (double)e.samples;
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
    if (e->regression) {
        cJSON_AddNumberToObject(line, "eval_mse", e->values.mse);
        cJSON_AddNumberToObject(line, "eval_pearson", e->values.pearson);
        cJSON_AddNumberToObject(line, "eval_spearmanr", e->values.spearman);
    } else {
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
