// Which model a command means, and how it is compiled: the options that compile, run, bench, verify and
// inspect share, and the way from a file to a program that can be called.
#ifndef FTC_DRIVER_MODEL_H
#define FTC_DRIVER_MODEL_H

#include "compiler/artifact.h"
#include "compiler/compile.h"
#include "compiler/driver/cli.h"
#include "ir/diag.h"
#include "ir/graph.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/status.h"

// Choices that an artifact keeps when they are not set: where its model is compiled again, too.
typedef enum { FTC_GEMM_UNSET = -1, FTC_GEMM_NATIVE, FTC_GEMM_OPENBLAS } ftc_gemm;
typedef enum { FTC_PRECISION_UNSET = -1, FTC_PRECISION_FP32, FTC_PRECISION_BF16 } ftc_precision;

typedef struct {
    ftc_text_list set;      // "NAME=VALUE"
    const char *pretrained; // Hugging Face directory, or NULL
    int64_t batch;          // most sequences in a batch; 0: as the model says
    int64_t max_length;     // most tokens in a sequence; 0: as the model says
    ftc_text_list no_pass;
    ftc_text_list kernels;     // files
    bool is_used;              // not trained: a class for pretraining is its task, too; no option
    bool fills_masks;          // tells scores of masked tokens, of one text at a time; no option
    const char *schedule;      // a file of edits; NULL: none
    ftc_text_list graphs;      // "ENTRY=FILE": dumps that take the place of entries' graphs
    int32_t gemm;              // ftc_gemm
    int32_t precision;         // ftc_precision
    const char *target;        // a name for ftc_target_named; NULL: native
    bool tune;                 // measure the plans of contractions
    bool guard;                // buffers before protected pages
    const char *memory;        // budget of tensors, arena and scratch, "2GB" or "least"; NULL: none
    const char *loss;          // entry of the config block; NULL: as the model says
    const char *class_weights; // the same, "0.5|2"
    const char *task;          // the same; NULL: as the directory's class says, else the model
    int64_t labels; // classes of the data, where neither --set nor a directory says it; 0: as the model says
    // Entries of the train block; NULL, empty or 0: as the model says.
    const char *optim;
    ftc_text_list freeze; // patterns
    ftc_text_list group;  // "PATTERN:lr=0.1x,weight_decay=0"
    double layer_decay;
    const char *lora; // names of modules, with commas between
    int64_t lora_rank;
    double lora_alpha, lora_dropout; // dropout -1: as the model says
    // No options of the command.
    bool is_looked_at;                     // ftc_compile_options.is_looked_at
    ftc_compile_times *times;              // ftc_compile_options.times
    ftc_dump graph_texts[FTC_ENTRY_COUNT]; // dumps that are no files
    const char *schedule_text;             // edits, a line each, that are no file; NULL: none
} ftc_model_options;

// The tables for an ftc_model_options: the model and how it is computed; its weights, how they are trained.
extern const ftc_option ftc_model_option_table[], ftc_weights_option_table[];

ftc_model_options ftc_model_options_default(void);
// The defaults, for parsing once more: lists keep their memory, and are begun anew by that.
void ftc_model_options_again(ftc_model_options *options);
void ftc_model_options_free(ftc_model_options *options); // its lists

// A model's text with all values in place, and its graph.
typedef struct {
    char *text;       // the config block resolved: what artifacts and saved models keep as source
    ftc_graph *graph; // relative paths of the train block are relative to the current folder
    ftc_dump dumps[FTC_ENTRY_COUNT]; // of --graph
    ftc_kernel_file *kernels;        // of --kernel
    int n_kernels;
    char **schedule;                        // lines of --kernel-schedule
    struct ftc_edit_place *schedule_places; // [n_schedule], of files that the options name
    int n_schedule;
} ftc_model_source;

// Reads MODEL.ir; path NULL: the installed text of the family that --pretrained's config.json names. Values
// of the config block come from --pretrained's config.json, then --set, --batch, --max-length, --loss,
// --task; --optim, --freeze, --group, --layer-decay and --lora… replace entries of the train block.
bool ftc_model_read(const char *path, const ftc_model_options *options, ftc_model_source *out,
                    ftc_diagnostics *d);

// The same for a text: a model.ir that lies in an artifact. Paths of the train block stay.
bool ftc_model_read_text(const char *name, const char *text, const ftc_model_options *options,
                         ftc_model_source *out, ftc_diagnostics *d);
void ftc_model_source_free(ftc_model_source *source);

// Tells on standard error when --max-length asks for more tokens than the model has positions.
void ftc_model_tell_length(const ftc_graph *graph, const ftc_model_options *options);

// Makes the paths of the train block absolute, for an artifact, which may be run in any folder.
void ftc_model_source_settle(ftc_model_source *source);

// The path as it is from the root, allocated; NULL for NULL.
char *ftc_model_absolute(const char *path);

// The CPU that --target names. NULL after a diagnostic.
const ftc_target *ftc_model_target(const ftc_model_options *options, ftc_diagnostics *d);

// What the options ask of the compiler, for all entries; borrows from both. False after a diagnostic.
bool ftc_model_compile_options(const ftc_model_source *source, const ftc_model_options *options,
                               ftc_compile_options *out, ftc_diagnostics *d);

// --tune: measures on all processors, tells on standard error what it finds, and adds it to *tuned (to be
// freed). False after a diagnostic.
bool ftc_model_tune(const ftc_model_source *source, const ftc_compile_options *compile, ftc_tuned *tuned,
                    ftc_diagnostics *d);

// Compiles the entries in `entries` (bits 1 << ftc_entry_kind; 0: all).
bool ftc_model_compile(const ftc_model_source *source, const ftc_model_options *options, uint32_t entries,
                       ftc_compiled *compiled, ftc_diagnostics *d);

// A program that can be called.
typedef struct {
    ftc_loaded_program *loaded;
    const ftc_program *program;
} ftc_model;

// ftc_model_compile_options where what `options` leave open is as `like` has it: what an artifact is compiled
// again with. *tuned, which `out` borrows, is to be freed.
bool ftc_model_compile_options_as(const ftc_model_source *source, const ftc_model_options *options,
                                  const ftc_model *like, ftc_compile_options *out, ftc_tuned *tuned,
                                  ftc_diagnostics *d);

// What MODEL.ir is read from.
typedef struct {
    char *name, *text;      // the file that the text is from, and the text
    const char *pretrained; // the caller's; NULL: none
    ftc_hf_config *config;  // of that directory
} ftc_model_texts;

// A model that was found but is perhaps not compiled yet: its defaults are known, what is asked of it may
// still change.
typedef struct {
    const char *path;        // the caller's; NULL: the installed text for `pretrained`
    ftc_model_texts texts;   // of MODEL.ir
    ftc_model_source source; // of these, by the options so far; graph NULL for an artifact
    ftc_model artifact;      // as it lies in the file; loaded NULL for MODEL.ir
    bool is_recompiled;      // the artifact's code was for another CPU
    ftc_setting *train;      // [n_train] the train block
    int32_t n_train;
    int64_t batch;          // the config block's, 0: it has none
    const char *pretrained; // of the options, else the artifact's; NULL: none
} ftc_model_candidate;

// Reads MODEL.ir, or loads an artifact; path NULL: as ftc_model_read.
bool ftc_model_find(const char *path, const ftc_model_options *options, ftc_model_candidate *out,
                    ftc_diagnostics *d);

// Makes the program: compiles MODEL.ir in memory, hands out the artifact's, or, when `options` ask for
// another structure than the artifact has, compiles again from the source inside. Takes the candidate. *why
// (allocated; NULL after a failure, too) tells people why an artifact was compiled again.
bool ftc_model_finish(ftc_model_candidate *candidate, const ftc_model_options *options, uint32_t entries,
                      ftc_model *out, char **why, ftc_diagnostics *d);
void ftc_model_candidate_free(ftc_model_candidate *candidate);

// Compiles the classifier of a Hugging Face directory for its own shapes: its model.ir, else the installed
// text of its family.
bool ftc_model_open_dir(const char *dir, const ftc_model_options *options, uint32_t entries, ftc_model *out,
                        ftc_diagnostics *d);
void ftc_model_close(ftc_model *model);

// What the program learns, where its text has several tasks; else NULL.
const char *ftc_program_task(const ftc_program *program);

// The value of an entry of a program's train block; NULL or `otherwise` when it has none.
const char *ftc_setting_text(const ftc_setting *settings, int32_t n, const char *name);
double ftc_setting_number(const ftc_setting *settings, int32_t n, const char *name, double otherwise);

// Prints diagnostics and frees them; returns FTC_EXIT_USAGE. One that is of no place in a text begins with
// "ftc COMMAND: ".
int ftc_diag_report(const char *command, ftc_diagnostics *d);

// Prints a failed status as "ftc COMMAND: message" and frees it; returns the exit status that belongs to its
// code.
int ftc_status_report(const char *command, ftc_status status);

#endif
