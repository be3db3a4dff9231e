// The options of `ftc run`, and the two other places that set them: a TrainingArguments file (--args) and the
// model's train block.
#ifndef FTC_DRIVER_RUN_OPTIONS_H
#define FTC_DRIVER_RUN_OPTIONS_H

#include "compiler/driver/cli.h"
#include "compiler/driver/data.h"
#include "compiler/driver/model.h"
#include "runtime/loop/train_options.h"

// To whom metrics are told beside the lines of --metrics. Names in the order of the values.
typedef enum { FTC_REPORT_TO_NONE, FTC_REPORT_TO_TENSORBOARD, FTC_REPORT_TO_ALL } ftc_report_to;
#define FTC_REPORT_TO_NAMES "none|tensorboard|all"

// What only `ftc run` has, beside the loop's options.
typedef struct {
    ftc_train_options train;
    const char *args;    // TrainingArguments file
    const char *metrics; // file for the metrics; NULL: standard output
    int64_t shards;      // 0: one a process
    int64_t threads;     // 0: one a processor
    bool no_shuffle, group_by_length;
    bool resume;
    const char *resume_from; // TrainingArguments' resume_from_checkpoint: a directory, "true" or "false"
    bool gradient_checkpointing;
    bool bf16;
    bool disable_progress;
    bool no_report;
    int32_t report_to;         // ftc_report_to
    const char *logging_dir;   // of the event files; NULL: Trainer's default under the output
    bool lora_merge;           // save a model without adapters, which are added to its weights
    bool overwrite;            // write into a folder with files of others
    const char *class_weights; // "balanced", or a file; NULL: none
    bool trust_model;          // its text may name paths anywhere
} ftc_run_flags;

typedef struct {
    ftc_run_flags run;
    ftc_data_options data;
    ftc_model_options model;
    ftc_text_list owned; // texts of the --args file that the fields above point to
} ftc_run_options;

ftc_run_options ftc_run_options_default(void);

// The groups of all tables for `options`.
enum { FTC_RUN_OPTION_GROUPS = 6 };
void ftc_run_option_groups(ftc_run_options *options, ftc_option_group groups[FTC_RUN_OPTION_GROUPS]);

// Everything that says how `ftc run` goes: defaults, then the candidate's train block, then the --args file,
// then the command line, which `options` must have been parsed from once already (to find the candidate).
// With --args the defaults are those of Trainer, and the train block gives only data and tokenizer. False
// after a diagnostic was printed.
bool ftc_run_options_resolve(const ftc_command *self, int argc, char **argv,
                             const ftc_model_candidate *candidate, ftc_run_options *options);

void ftc_run_options_free(ftc_run_options *options);

#endif
