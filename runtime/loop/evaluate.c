#include "runtime/loop/evaluate.h"

#include "ir/base/alloc.h"
#include "ir/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int32_t ftc_argmax(const float *logits, int64_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

bool ftc_program_scores_tokens(const ftc_program *program) {
    int32_t i = ftc_program_output(program, FTC_OUTPUT_SCORES);
    for (int32_t k = 0; i >= 0 && k < program->outputs[i].rank; k++) {
        int32_t extent = program->outputs[i].axes[k].extent;
        if (extent >= 0 && program->extents[extent].ragged_over >= 0) return true;
    }
    return false;
}

ftc_scoring ftc_program_scoring(const ftc_program *program) {
    ftc_label_kind label = ftc_program_label(program);
    int64_t columns = ftc_program_score_columns(program);
    if (columns > 1 && label == FTC_LABEL_TOKENS && ftc_program_scores_tokens(program))
        return FTC_SCORE_SPANS;
    if (columns == 1 && label == FTC_LABEL_VALUE) return FTC_SCORE_VALUES;
    if (columns == ftc_program_classes(program) && label == FTC_LABEL_SEVERAL) return FTC_SCORE_LABELS;
    return columns > 1 && label == FTC_LABEL_CLASS ? FTC_SCORE_CLASSES : FTC_SCORE_NOTHING;
}

const char *ftc_program_problem_type(const ftc_program *program) {
    switch (ftc_program_label(program)) {
    case FTC_LABEL_VALUE: return "regression";
    case FTC_LABEL_SEVERAL: return "multi_label_classification";
    case FTC_LABEL_CLASS: return "single_label_classification";
    default: return NULL;
    }
}

// What a batch gives; words of 64 bits, which processes exchange.
typedef struct {
    double loss, weight;
    int64_t tokens;
    int64_t words, correct; // labels of tokens, and those that are predicted
} batch_result;

// Classes of tokens as tags of spans.
typedef struct {
    ftc_span_tag *tags; // [columns]; NULL: the scores are not of spans
    const char **types; // [n_types]
    size_t n_types;
} span_names;

typedef struct {
    ftc_stepper *stepper;
    ftc_batch *batch;
    const ftc_dataset *dataset;
    int64_t batch_size, n_batches;
    const ftc_world *world;
    const ftc_evaluate_watch *watch;
    batch_result *results; // [n_batches]
    double *metrics;       // [n_batches, n_outputs] of outputs that are metrics
    span_names names;
    ftc_span_counts *spans; // [n_batches, n_types]
} work;

// The spans of the examples of a batch, whose logits are [tokens, columns].
static void count_spans(const work *w, const int64_t *examples, int64_t n, const float *logits,
                        int64_t columns, batch_result *result, ftc_span_counts *counts) {
    const ftc_dataset *d = w->dataset;
    size_t most = 0;
    for (int64_t i = 0; i < n; i++)
        if ((size_t)ftc_dataset_length(d, examples[i]) > most)
            most = (size_t)ftc_dataset_length(d, examples[i]);
    int32_t *labels = ftc_alloc(most + 1, sizeof *labels),
            *predictions = ftc_alloc(most + 1, sizeof *predictions);
    ftc_span *scratch = ftc_alloc(2 * most + 1, sizeof *scratch);
    for (int64_t i = 0; i < n; i++) {
        size_t words = 0;
        for (int64_t at = d->offsets[examples[i]]; at < d->offsets[examples[i] + 1];
             at++, logits += columns) {
            if (d->tags[at] == FTC_NO_LABEL) continue;
            labels[words] = d->tags[at];
            predictions[words] = ftc_argmax(logits, columns);
            result->correct += labels[words] == predictions[words];
            words++;
        }
        result->words += (int64_t)words;
        ftc_spans_count(w->names.tags, labels, predictions, words, scratch, w->names.types, w->names.n_types,
                        counts);
    }
    free(labels);
    free(predictions);
    free(scratch);
}

static bool is_metric(const ftc_program *program, int32_t output) {
    const ftc_output_info *o = &program->outputs[output];
    return o->role == FTC_OUTPUT_METRIC && o->entries & 1u << FTC_ENTRY_EVAL;
}

// The rows of logits before an example: one an example, or one a token.
static int64_t logit_rows(const work *w, int64_t example) {
    return ftc_program_scores_tokens(w->stepper->program) ? w->dataset->offsets[example] : example;
}

// Runs batch number `index`; `examples` is room for its examples.
static ftc_status run_batch(const work *w, int64_t index, int64_t *examples, ftc_evaluation *e) {
    ftc_stepper *stepper = w->stepper;
    int64_t at = index * w->batch_size, left = w->dataset->n - at,
            n = left < w->batch_size ? left : w->batch_size;
    for (int64_t i = 0; i < n; i++) examples[i] = at + i;
    w->batch->draw = (ftc_draw){.first_slot = at}; // always the same masks
    FTC_RETURN_IF_ERROR(ftc_batch_fill(w->batch, w->dataset, examples, n));
    if (w->watch && w->watch->stop && *w->watch->stop)
        return ftc_status_make(FTC_FAILED, "the evaluation was interrupted");
    FTC_RETURN_IF_ERROR(ftc_stepper_call(stepper, FTC_ENTRY_EVAL, w->batch, 1, 0));
    w->results[index] = (batch_result){
        .loss = (double)*ftc_stepper_result(stepper, FTC_OUTPUT_LOSS, FTC_ENTRY_EVAL),
        .weight = ftc_stepper_loss_weight(stepper, w->batch, FTC_ENTRY_EVAL),
        .tokens = w->batch->tokens,
    };
    int32_t n_outputs = stepper->program->n_outputs;
    for (int32_t i = 0; i < n_outputs; i++)
        if (is_metric(stepper->program, i))
            w->metrics[index * n_outputs + i] = (double)*(const float *)stepper->outputs[i];
    const float *logits = ftc_stepper_result(stepper, FTC_OUTPUT_SCORES, FTC_ENTRY_EVAL);
    int64_t first = logit_rows(w, at), rows = logit_rows(w, at + n) - first;
    if (logits) memcpy(e->logits + first * e->columns, logits, (size_t)(rows * e->columns) * sizeof *logits);
    if (logits && w->names.tags)
        count_spans(w, examples, n, logits, e->columns, &w->results[index],
                    w->spans + index * (int64_t)w->names.n_types);
    return FTC_STATUS_OK;
}

// The scores of all batches' spans: a row of each type that occurs.
static void score_spans(const work *w, ftc_evaluation *e) {
    size_t n_types = w->names.n_types;
    ftc_span_counts *counts = ftc_alloc(n_types + 1, sizeof *counts);
    int64_t words = 0, correct = 0;
    for (int64_t i = 0; i < w->n_batches; i++) {
        words += w->results[i].words;
        correct += w->results[i].correct;
        for (size_t k = 0; k < n_types; k++) {
            const ftc_span_counts *more = &w->spans[(size_t)i * n_types + k];
            counts[k].expected += more->expected;
            counts[k].predicted += more->predicted;
            counts[k].found += more->found;
        }
    }
    e->each = ftc_alloc(n_types + 1, sizeof *e->each);
    e->types = ftc_alloc(n_types + 1, sizeof *e->types);
    e->spans = ftc_spans_score(counts, n_types, e->each);
    e->spans.accuracy = words ? (double)correct / (double)words : 0;
    for (size_t k = 0; k < n_types; k++) {
        if (counts[k].expected + counts[k].predicted == 0) continue;
        e->each[e->n_each] = e->each[k];
        e->types[e->n_each++] = ftc_strdup(w->names.types[k]);
    }
    free(counts);
}

static void share_logits(const work *w, ftc_evaluation *e) {
    const ftc_world *world = w->world;
    int64_t *starts = ftc_alloc((size_t)world->size + 1, sizeof *starts), n = w->dataset->n;
    for (int32_t r = 0; r <= world->size; r++) {
        int64_t example = ftc_world_first(world, r, w->n_batches) * w->batch_size;
        starts[r] = logit_rows(w, example < n ? example : n) * e->columns;
    }
    world->share(e->logits, starts);
    free(starts);
}

// Runs this process' batches; fills logits, the sum of losses and the counts, of all.
static ftc_status run(const work *w, ftc_evaluation *e) {
    int64_t *examples = ftc_alloc((size_t)w->batch_size, sizeof *examples);
    ftc_status status = FTC_STATUS_OK;
    int64_t first = ftc_world_first(w->world, w->world->rank, w->n_batches),
            end = ftc_world_first(w->world, w->world->rank + 1, w->n_batches);
    for (int64_t i = first; i < end && status.code == FTC_OK; i++) {
        status = run_batch(w, i, examples, e);
        int64_t done = (i - first + 1) * w->world->size * w->batch_size; // about
        if (status.code == FTC_OK && w->watch && w->watch->progress)
            w->watch->progress(w->watch->context, done < w->dataset->n ? done : w->dataset->n, w->dataset->n);
    }
    free(examples);
    if (status.code != FTC_OK) return status;
    ftc_world_share(w->world, w->results, w->n_batches, sizeof *w->results);
    int32_t n_outputs = e->program->n_outputs;
    ftc_world_share(w->world, w->metrics, w->n_batches, (size_t)n_outputs * sizeof *w->metrics);
    if (e->columns) share_logits(w, e);
    ftc_world_share(w->world, w->spans, w->n_batches, w->names.n_types * sizeof *w->spans);
    for (int64_t i = 0; i < w->n_batches; i++) {
        int64_t at = i * w->batch_size, left = w->dataset->n - at;
        e->loss_by_examples += w->results[i].loss * (double)(left < w->batch_size ? left : w->batch_size) /
                               (double)w->dataset->n;
        e->loss += w->results[i].loss * w->results[i].weight;
        e->weight += w->results[i].weight;
        e->tokens += w->results[i].tokens;
        for (int32_t k = 0; k < n_outputs; k++)
            e->metrics[k] += w->metrics[i * n_outputs + k] * w->results[i].weight;
    }
    if (w->names.tags) score_spans(w, e);
    e->samples = w->dataset->n;
    e->batches = w->n_batches;
    return FTC_STATUS_OK;
}

static void score(const ftc_program *program, const ftc_dataset *dataset, ftc_evaluation *e) {
    const ftc_number_lists *several = ftc_program_several_labels(program, dataset);
    if (e->scoring == FTC_SCORE_LABELS && several)
        e->labels = ftc_metrics_labels(several->values, e->logits, e->samples, e->columns, e->each);
    if (e->scoring == FTC_SCORE_VALUES)
        e->values = ftc_metrics_values(dataset->labels, e->logits, e->samples);
    if (e->scoring != FTC_SCORE_CLASSES) return;
    for (int64_t i = 0; i < e->samples; i++) {
        int64_t label = (int64_t)dataset->labels[i];
        e->confusion[label * e->columns + ftc_argmax(e->logits + i * e->columns, e->columns)]++;
    }
    e->classes = ftc_metrics_classes(e->confusion, (int32_t)e->columns);
    for (int32_t k = 0; k < e->columns; k++)
        e->each[k] = ftc_metrics_class(e->confusion, (int32_t)e->columns, k);
    e->roc_auc = ftc_metrics_roc_auc(dataset->labels, e->logits, e->samples, (int32_t)e->columns);
}

static span_names names_of(const ftc_dataset *dataset, int64_t columns) {
    span_names names = {.tags = ftc_alloc((size_t)columns, sizeof *names.tags),
                        .types = ftc_alloc((size_t)columns, sizeof *names.types)};
    for (int64_t i = 0; i < columns; i++)
        names.tags[i] = ftc_span_tag_of(i < dataset->n_tag_names ? dataset->tag_names[i] : "O");
    names.n_types = ftc_spans_types(names.tags, (size_t)columns, names.types);
    return names;
}

ftc_status ftc_evaluate(ftc_stepper *stepper, ftc_batch *batch, const ftc_dataset *dataset,
                        int64_t batch_size, const ftc_world *world, const ftc_evaluate_watch *watch,
                        ftc_evaluation *out) {
    double start = ftc_clock_seconds();
    const ftc_program *program = stepper->program;
    if (!ftc_stepper_result(stepper, FTC_OUTPUT_LOSS, FTC_ENTRY_EVAL)) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s declares no output of eval as the loss: it cannot be evaluated",
                               program->model);
    }
    ftc_evaluation e = {.scoring = ftc_program_scoring(program), .program = program};
    if (ftc_stepper_result(stepper, FTC_OUTPUT_SCORES, FTC_ENTRY_EVAL))
        e.columns = ftc_program_score_columns(program);
    else
        e.scoring = FTC_SCORE_NOTHING;
    bool classes = e.scoring == FTC_SCORE_CLASSES;
    if (batch_size > dataset->n) batch_size = dataset->n ? dataset->n : 1;
    work w = {.stepper = stepper,
              .batch = batch,
              .dataset = dataset,
              .batch_size = batch_size,
              .n_batches = (dataset->n + batch_size - 1) / batch_size,
              .world = world,
              .watch = watch};
    int64_t rows = logit_rows(&w, dataset->n);
    if (world->size > 1 && rows + dataset->n > FTC_WORLD_MOST_WORDS / (e.columns + 1)) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%lld examples have more scores than the %d that processes exchange at a time; "
            "evaluate fewer",
            (long long)dataset->n, FTC_WORLD_MOST_WORDS);
    }
    e.logits = ftc_alloc((size_t)(rows * e.columns + 1), sizeof *e.logits);
    if (e.scoring == FTC_SCORE_SPANS && dataset->tags && dataset->tag_names)
        w.names = names_of(dataset, e.columns);
    e.confusion = classes ? ftc_alloc((size_t)(e.columns * e.columns), sizeof *e.confusion) : NULL;
    if (classes || e.scoring == FTC_SCORE_LABELS) {
        e.each = ftc_alloc((size_t)e.columns, sizeof *e.each);
        e.n_each = e.columns;
    }
    e.metrics = ftc_alloc((size_t)program->n_outputs + 1, sizeof *e.metrics);
    w.results = ftc_alloc((size_t)w.n_batches + 1, sizeof *w.results);
    w.metrics = ftc_alloc((size_t)(w.n_batches * program->n_outputs) + 1, sizeof *w.metrics);
    w.spans = ftc_alloc((size_t)w.n_batches * w.names.n_types + 1, sizeof *w.spans);
    ftc_status status = run(&w, &e);
    free(w.results);
    free(w.metrics);
    free(w.spans);
    free(w.names.tags);
    free(w.names.types);
    if (status.code != FTC_OK) {
        ftc_evaluation_free(&e);
        return status;
    }
    if (e.weight > 0) e.loss /= e.weight;
    for (int32_t i = 0; i < program->n_outputs && e.weight > 0; i++) e.metrics[i] /= e.weight;
    score(program, dataset, &e);
    e.seconds = ftc_clock_seconds() - start;
    *out = e;
    return FTC_STATUS_OK;
}

void ftc_evaluation_free(ftc_evaluation *evaluation) {
    free(evaluation->logits);
    free(evaluation->confusion);
    free(evaluation->each);
    for (int64_t k = 0; evaluation->types && k < evaluation->n_each; k++) free(evaluation->types[k]);
    free(evaluation->types);
    free(evaluation->metrics);
    *evaluation = (ftc_evaluation){0};
}

ftc_evaluation_table ftc_evaluation_table_of(const ftc_evaluation *e) {
    const ftc_class_scores *c = &e->classes;
    const ftc_label_scores *l = &e->labels;
    int64_t support = 0, predicted = 0;
    for (int64_t k = 0; k < e->n_each; k++) {
        support += e->each[k].support;
        predicted += e->each[k].predicted;
    }
    if (e->scoring == FTC_SCORE_SPANS)
        return (ftc_evaluation_table){"type",
                                      "spans",
                                      3,
                                      {{"all together", e->spans.micro},
                                       {"mean of types", e->spans.macro},
                                       {"mean of spans", e->spans.weighted}}};
    if (e->scoring == FTC_SCORE_LABELS)
        return (ftc_evaluation_table){
            "label",
            "examples",
            2,
            {{"mean of labels", {l->precision_macro, l->recall_macro, l->f1_macro, support, predicted}},
             {"all together", {l->precision_micro, l->recall_micro, l->f1_micro, support, predicted}}}};
    return (ftc_evaluation_table){
        "class",
        "examples",
        2,
        {{"mean of classes", {c->precision_macro, c->recall_macro, c->f1_macro, support, predicted}},
         {"mean of examples",
          {c->precision_weighted, c->recall_weighted, c->f1_weighted, support, predicted}}}};
}

void ftc_evaluation_report(const ftc_evaluation *e, cJSON *line) {
    cJSON_AddNumberToObject(line, "eval_loss", e->loss);
    if (ftc_program_masks(e->program)) cJSON_AddNumberToObject(line, "eval_perplexity", exp(e->loss));
    for (int32_t i = 0; i < e->program->n_outputs; i++) {
        char name[128];
        if (!is_metric(e->program, i)) continue;
        snprintf(name, sizeof name, "eval_%s", e->program->outputs[i].name);
        cJSON_AddNumberToObject(line, name, e->metrics ? e->metrics[i] : 0);
    }
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
        cJSON_AddNumberToObject(line, "eval_f1_weighted", e->classes.f1_weighted);
        cJSON_AddNumberToObject(line, "eval_matthews_correlation", e->classes.matthews);
        cJSON_AddNumberToObject(line, "eval_roc_auc", e->roc_auc);
    } else if (e->scoring == FTC_SCORE_LABELS) {
        cJSON_AddNumberToObject(line, "eval_accuracy", e->labels.accuracy);
        cJSON_AddNumberToObject(line, "eval_f1", e->labels.f1_micro);
        cJSON_AddNumberToObject(line, "eval_precision", e->labels.precision_micro);
        cJSON_AddNumberToObject(line, "eval_recall", e->labels.recall_micro);
        cJSON_AddNumberToObject(line, "eval_f1_micro", e->labels.f1_micro);
        cJSON_AddNumberToObject(line, "eval_f1_macro", e->labels.f1_macro);
        cJSON_AddNumberToObject(line, "eval_precision_macro", e->labels.precision_macro);
        cJSON_AddNumberToObject(line, "eval_recall_macro", e->labels.recall_macro);
        cJSON_AddNumberToObject(line, "eval_roc_auc", e->labels.roc_auc_micro);
        cJSON_AddNumberToObject(line, "eval_roc_auc_macro", e->labels.roc_auc_macro);
    }
    if (e->scoring == FTC_SCORE_SPANS) {
        cJSON_AddNumberToObject(line, "eval_accuracy", e->spans.accuracy);
        cJSON_AddNumberToObject(line, "eval_precision", e->spans.micro.precision);
        cJSON_AddNumberToObject(line, "eval_recall", e->spans.micro.recall);
        cJSON_AddNumberToObject(line, "eval_f1", e->spans.micro.f1);
        cJSON_AddNumberToObject(line, "eval_f1_macro", e->spans.macro.f1);
        cJSON_AddNumberToObject(line, "eval_f1_weighted", e->spans.weighted.f1);
    }
    cJSON_AddNumberToObject(line, "eval_samples", (double)e->samples);
    cJSON_AddNumberToObject(line, "eval_runtime", e->seconds);
    cJSON_AddNumberToObject(line, "eval_samples_per_second",
                            e->seconds > 0 ? (double)e->samples / e->seconds : 0);
    cJSON_AddNumberToObject(line, "eval_steps_per_second",
                            e->seconds > 0 ? (double)e->batches / e->seconds : 0);
}
