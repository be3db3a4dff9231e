// What a training run was and came to, as plain data, and the two files that tell people: the model card
// README.md and report.html.
#ifndef FTC_RUNTIME_SUMMARY_H
#define FTC_RUNTIME_SUMMARY_H

#include "runtime/data/dataset.h"
#include "runtime/loop/train.h"

#include <stdio.h>

// The caller owns everything.
typedef struct {
    const ftc_program *program;
    const ftc_train_options *options;
    const ftc_train_result *result;
    bool is_adapter;        // what is saved are adapters of it
    const char *base_model; // what the weights are from; NULL: they were random
    const char *train_file;
    const char *test_file; // NULL: the training file, or none
    const ftc_labels *labels;
    const ftc_dataset *train;
    const ftc_table *test_table; // NULL: the test rows are not at hand to be shown
    const int64_t *test_rows;    // [evaluated samples] rows of test_table, in the order of evaluation
    const ftc_dataset *test;     // the same, tokenized; NULL: none
    int32_t max_length, threads;
    ftc_slice slice; // of the moments that processes share, what this one has
    int64_t peak_rss_bytes;
} ftc_summary;

// Writes README.md and, if asked for, report.html into options->output, over those of an earlier run.
ftc_status ftc_summary_save(const ftc_summary *summary, bool with_report);

// The files themselves. The report fails when a row of the test file cannot be read again.
void ftc_card_write(const ftc_summary *summary, FILE *out);
ftc_status ftc_report_write(const ftc_summary *summary, FILE *out);

// --- what both tell -----------------------------------------------------------------------------------

// The name of a class, or its number, for which there must be room.
const char *ftc_summary_label(const ftc_summary *summary, int64_t label, char number[static 24]);

// What row `row` of evaluation->each is of: a type of spans, or the name of a class as above.
const char *ftc_summary_row(const ftc_summary *summary, const ftc_evaluation *evaluation, int64_t row,
                            char number[static 24]);

// The evaluation of the weights that were saved; NULL: there was none.
const ftc_evaluation *ftc_summary_evaluation(const ftc_summary *summary);

// The last part of a path; "model" for one that has none. Allocated.
char *ftc_summary_base_name(const char *path);

// The hyperparameters under transformers' names, one after the other.
typedef void ftc_summary_fact(void *context, const char *name, const char *value);
void ftc_summary_hyperparameters(const ftc_summary *summary, ftc_summary_fact *tell, void *context);

// The next evaluation's line of the log at or after `line`; NULL: there is none. Start with the log's first
// child.
const cJSON *ftc_summary_next_evaluation(const cJSON *line);

// Whether an entry of such a line is a score (no loss, count or speed) that a table has room for.
bool ftc_summary_is_score(const cJSON *entry);

// "eval_matthews_correlation" → "Matthews Correlation".
void ftc_summary_title(const char *metric, char *title, size_t bytes);

// The value of `name` in a line; NaN where it has none.
double ftc_summary_value(const cJSON *line, const char *name);

#endif
