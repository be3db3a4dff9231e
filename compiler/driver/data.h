// The data of a command: the options that name files, columns and rows, and the way from them to tokenized
// examples.
#ifndef FTC_DRIVER_DATA_H
#define FTC_DRIVER_DATA_H

#include "compiler/driver/cli.h"
#include "ir/step_abi.h"
#include "runtime/data/dataset.h"
#include "runtime/data/labels.h"
#include "runtime/data/select.h"
#include "runtime/data/table.h"
#include "runtime/loop/threads.h"
#include "runtime/text/tokenizer.h"

typedef struct {
    const char *train, *test; // files; NULL: none
    double split_test;        // test rows taken from the training file; below 1 a share of all, 0: none
    const char *text_column, *pair_column, *label_column;
    const char *label_columns;        // with commas between; NULL: the label is one column
    int32_t format, header, quoting;  // ftc_table_format, ftc_table_header, ftc_table_quoting
    const char *delimiter, *encoding; // NULL: as the format has it, UTF-8
    const char *missing_label;        // NULL: none but nothing and NaN
    bool skip_bad_rows;
    bool blank_lines, txt_is_lines;    // ftc_table_options
    bool pairs;                        // rows are two texts that stand apart
    bool words;                        // rows are sentences of words with a label each
    bool label_all_tokens;             // all tokens of a word have its label, not the first alone
    bool is_silent;                    // another process of the same run tells what the files are taken for
    int64_t shuffle_seed;              // -1: file order
    int64_t select_train, select_test; // -1: all rows
    const char *tokenizer;             // directory; NULL: that of the weights
    bool tokenizer_by_class;           // ftc_tokenizer_open_as
    const char *cache;                 // directory for token ids, "none": none; NULL: the user's
    int64_t max_length;                // most tokens of an example; 0: what program and tokenizer allow
    double mlm_probability;            // of a token to be masked
    int decoded;                       // the training file, by ftc_data_decode; -1: whoever reads it opens it
} ftc_data_options;

// Options that say how a file is read; and those that say which files and rows a training takes.
extern const ftc_option ftc_column_option_table[], ftc_rows_option_table[];

ftc_data_options ftc_data_options_default(void);

// Decodes the training file once for all that read it by these options afterwards: a pipe is empty after the
// first time, and unpacking takes its time. `decoded` is for the caller to close.
ftc_status ftc_data_decode(ftc_data_options *options);

// Whether the program has an input that is fed from the text.
bool ftc_program_reads_text(const ftc_program *program);

// Opens a file, and tells on standard error what was taken for its header, its columns and which rows were
// left out. With the options' columns: text and pair, perhaps the label; or those of them that the program
// reads.
ftc_status ftc_data_open(const char *path, const ftc_data_options *options, bool with_label, ftc_table **out);
ftc_status ftc_data_open_for(const ftc_program *program, const char *path, const ftc_data_options *options,
                             ftc_table **out);

// Refuses sentences of words for a program that does not label tokens.
ftc_status ftc_data_check_words(const ftc_program *program, const ftc_table *table);

// Whether the rows of the training file are sentences of words: by its form, or because a column called
// tokens or words, or the text column, holds lists.
ftc_status ftc_data_has_words(const ftc_data_options *options, bool *out);

// How many classes there are in the label column of the training file. *several: whether a text may have
// several of them; with `may_find`, the data say whether.
ftc_status ftc_data_count_classes(const ftc_data_options *options, bool may_find, bool *several, int *out);

// What the labels of the training rows become in a model for `count` of them whose weights are from `dir` (or
// NULL), how many rows there are, and how many of them, or of their words, have each label: having[count],
// zero. `labels` is to be freed, also after a failure.
ftc_status ftc_data_label_counts(const ftc_data_options *options, bool several, int32_t count,
                                 const char *dir, ftc_labels *labels, double *rows, double *having);

// What a training needs of its data. `labels` is learned from the training rows.
typedef struct {
    ftc_tokenizer *tokenizer;
    const char *tokenizer_dir;
    ftc_labels labels;
    ftc_dataset train, test;
    bool has_test;
    // Files, open; test_table NULL: the test rows are the training file's.
    ftc_table *train_table, *test_table;
    ftc_selection test_rows; // rows of the one or the other, in the order of `test`
    double seconds;          // that tokenization took
    bool from_cache;         // it did not take place: all token ids were in the cache
    int32_t max_length;
    ftc_masking *masking; // NULL: the program masks nothing
} ftc_training_data;

// Reads training and test data for a program. `id2label_dir` (or NULL) is a directory whose id2label is taken
// where it fits.
ftc_status ftc_data_read(const ftc_program *program, const ftc_data_options *options,
                         const char *id2label_dir, ftc_threads *threads, ftc_training_data *out);
void ftc_training_data_free(ftc_training_data *data);

// How the program's texts are masked, NULL where it masks nothing. To be freed.
ftc_status ftc_data_masking(const ftc_program *program, const ftc_data_options *options,
                            const ftc_tokenizer *tokenizer, ftc_masking **out);

// The rows of a file to evaluate on, by --shuffle-seed and --select-test.
ftc_status ftc_data_select_test(const ftc_data_options *options, const ftc_table *test, ftc_selection *out);

// Tokenizes rows, or finds their ids in the cache that --cache names (ftc_data_options); *from_cache says
// which. Reads the columns that feed the program's other inputs.
ftc_status ftc_data_tokenize(const ftc_program *program, const ftc_dataset_source *source, const char *cache,
                             ftc_threads *threads, ftc_dataset *out, bool *from_cache);

// Opens the tokenizer in `dir` and finds the most tokens that an example may have: options->max_length, or
// what the tokenizer allows where that is 0, and no more than the program was compiled for, which is told on
// standard error where more are asked for.
ftc_status ftc_data_tokenizer(const ftc_program *program, const char *dir, const ftc_data_options *options,
                              ftc_tokenizer **tokenizer, int32_t *max_length);

// The labels of a directory's config.json for a program: its id2label, or ids, or numbers. For data that is
// not trained on.
ftc_status ftc_data_labels(const ftc_program *program, const ftc_table *table, const char *dir, bool may_sort,
                           ftc_labels *out);

#endif
