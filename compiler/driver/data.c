#include "compiler/driver/data.h"

#include "ir/base/alloc.h"
#include "runtime/data/batch.h"
#include "runtime/loop/stepper.h"
#include "ir/base/clock.h"
#include "runtime/data/decode.h"
#include "runtime/data/words.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/text/shown.h"
#include "runtime/text/token_cache.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double MLM_PROBABILITY = 0.15; // unless it is set: BERT's

#define FIELD(name) offsetof(ftc_data_options, name)
const ftc_option ftc_column_option_table[] = {
    {"text-column", NULL, FTC_OPTION_TEXT, FIELD(text_column), "NAME", 0,
     "column with the text (name, or number from 0)"},
    {"pair-column", NULL, FTC_OPTION_TEXT, FIELD(pair_column), "NAME", 0,
     "column with the second text of a pair"},
    {"label-column", NULL, FTC_OPTION_TEXT, FIELD(label_column), "NAME", 0, "column with the label"},
    {"label-columns", NULL, FTC_OPTION_TEXT, FIELD(label_columns), "A,B,C", 0,
     "columns that are a label each: 1 where the text has it, else 0"},
    {"format", NULL, FTC_OPTION_CHOICE, FIELD(format), "auto|csv|tsv|json|conll|lines", 0,
     "form of the files (auto: by name); lines: a text a line"},
    {"header", NULL, FTC_OPTION_CHOICE, FIELD(header), "auto|yes|no", 0,
     "whether the first row names the columns"},
    {"delimiter", "sep", FTC_OPTION_TEXT, FIELD(delimiter), "CHAR", 0,
     "between the fields of a row, as ';' or tab; unless set, a comma in CSV, a tab in TSV"},
    {"quoting", NULL, FTC_OPTION_CHOICE, FIELD(quoting), "auto|yes|no", 0,
     "whether fields may be quoted, or quotes are characters (auto: by form and contents)"},
    {"encoding", NULL, FTC_OPTION_TEXT, FIELD(encoding), "NAME", 0,
     "of the files, as latin1, cp1252 or UTF-16 (iconv -l lists all); UTF-8 unless set"},
    {"missing-label", NULL, FTC_OPTION_TEXT, FIELD(missing_label), "LABEL", 0,
     "what the label is where there is none, as -1; empty and NaN are none anyway"},
    {"label-all-tokens", NULL, FTC_OPTION_FLAG, FIELD(label_all_tokens), NULL, 0,
     "of labelled words, give all tokens of a word its label, not the first alone"},
    {"skip-bad-rows", NULL, FTC_OPTION_FLAG, FIELD(skip_bad_rows), NULL, 0,
     "leave out rows that cannot be read or have no label, and count them"},
    {"tokenizer-by-class", NULL, FTC_OPTION_FLAG, FIELD(tokenizer_by_class), NULL, 0,
     "normalize and cut texts as transformers 5 does by the tokenizer's class, not as tokenizer.json says"},
    {"mlm-probability", NULL, FTC_OPTION_PROBABILITY, FIELD(mlm_probability), "P", 0,
     "mask each token with this probability, where the model predicts masked ones; 0.15 unless set"},
    {0},
};

const ftc_option ftc_rows_option_table[] = {
    {"train", "data", FTC_OPTION_ROWS, FIELD(train), "FILE", 0,
     "rows to train on (CSV, TSV or JSON, packed by gzip or not)"},
    {"test", NULL, FTC_OPTION_ROWS, FIELD(test), "FILE", 0, "rows to evaluate on"},
    {"split-test", NULL, FTC_OPTION_STEPS, FIELD(split_test), "N", 0,
     "take N rows of the training file as test rows; below 1 a fraction of all"},
    {"shuffle-seed", NULL, FTC_OPTION_SEED, FIELD(shuffle_seed), "N", 0,
     "shuffle the rows first, as datasets' shuffle(seed=N)"},
    {"select-train", NULL, FTC_OPTION_INT, FIELD(select_train), "N", 1, "train on the first N rows only"},
    {"select-test", NULL, FTC_OPTION_INT, FIELD(select_test), "N", 1, "evaluate on the first N rows only"},
    {"tokenizer", NULL, FTC_OPTION_TEXT, FIELD(tokenizer), "DIR", 0,
     "directory with vocab.txt or tokenizer.json"},
    {"cache", NULL, FTC_OPTION_TEXT, FIELD(cache), "DIR", 0,
     "keep token ids there between runs; none: nowhere; unless set in the user's cache, ~/.cache/ftc/tokens"},
    {0},
};
#undef FIELD

ftc_data_options ftc_data_options_default(void) {
    return (ftc_data_options){.shuffle_seed = -1,
                              .select_train = -1,
                              .select_test = -1,
                              .mlm_probability = MLM_PROBABILITY,
                              .decoded = -1};
}

// --- files and labels ---------------------------------------------------------------------------------

// The one byte that --delimiter means.
static ftc_status read_delimiter(const char *text, char *out) {
    bool is_tab = strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0;
    if (!is_tab && (strlen(text) != 1 || strchr("\"\r\n", *text) || !isascii((unsigned char)*text)))
        return ftc_status_make(
            FTC_BAD_INPUT, "--delimiter %s: expected one character of ASCII that is no quote, or tab", text);
    *out = is_tab ? '\t' : *text;
    return FTC_STATUS_OK;
}

static ftc_status check_test(const ftc_data_options *o) {
    if (o->test && o->split_test > 0)
        return ftc_status_make(FTC_BAD_INPUT,
                               "--test and --split-test both say what the test rows are; give one");
    if (o->split_test >= 1 && o->split_test != floor(o->split_test))
        return ftc_status_make(FTC_BAD_INPUT,
                               "--split-test %.9g: expected a number of rows, or a fraction below 1",
                               o->split_test);
    if (o->test && strcmp(o->train, "-") == 0 && strcmp(o->test, "-") == 0)
        return ftc_status_make(FTC_BAD_INPUT, "--train and --test are both standard input, which is read "
                                              "once; --split-test N takes rows of the training file");
    return FTC_STATUS_OK;
}

ftc_status ftc_data_decode(ftc_data_options *options) {
    FTC_RETURN_IF_ERROR(check_test(options));
    return ftc_decode_open(options->train, options->encoding, &options->decoded);
}

// How to read the file at `path`, by the columns of all roles.
static ftc_status table_options(const ftc_data_options *options, const char *path, ftc_table_options *out) {
    bool is_decoded = options->decoded >= 0 && path == options->train;
    *out = (ftc_table_options){.format = (ftc_table_format)options->format,
                               .header = (ftc_table_header)options->header,
                               .quoting = (ftc_table_quoting)options->quoting,
                               .encoding = options->encoding,
                               .decoded = is_decoded ? &options->decoded : NULL,
                               .text_column = options->text_column,
                               .pair_column = options->pair_column,
                               .label_column = options->label_column,
                               .label_columns = options->label_columns,
                               .missing_label = options->missing_label,
                               .words = options->words,
                               .pairs = options->pairs,
                               .skip_bad_rows = options->skip_bad_rows,
                               .blank_lines = options->blank_lines,
                               .txt_is_lines = options->txt_is_lines};
    return options->delimiter ? read_delimiter(options->delimiter, &out->delimiter) : FTC_STATUS_OK;
}

// Opens a table and tells on standard error what it was taken for.
static ftc_status open_table(const char *path, const ftc_table_options *options, bool is_silent,
                             ftc_table **out) {
    FTC_RETURN_IF_ERROR(ftc_table_open(path, options, out));
    if (is_silent) return FTC_STATUS_OK;
    const ftc_table_skipped *skipped = ftc_table_skipped_rows(*out);
    char *what = ftc_table_describe(*out), *shown = ftc_shown(what);
    fprintf(stderr, "%s: %s\n", ftc_table_path(*out), shown);
    free(shown);
    free(what);
    if (!skipped->count) return FTC_STATUS_OK;
    fprintf(stderr, "%s: %zu row%s left out\n", ftc_table_path(*out), skipped->count,
            skipped->count == 1 ? " is" : "s are");
    for (size_t i = 0; i < skipped->count && i < FTC_TABLE_SKIPPED_NAMED; i++) {
        shown = ftc_shown(skipped->why[i]);
        fprintf(stderr, "  %s\n", shown);
        free(shown);
    }
    if (skipped->count > FTC_TABLE_SKIPPED_NAMED)
        fprintf(stderr, "  and %zu more\n", skipped->count - FTC_TABLE_SKIPPED_NAMED);
    return FTC_STATUS_OK;
}

bool ftc_program_reads_text(const ftc_program *program) {
    return ftc_program_reads(program, FTC_FROM_TOKENS) || ftc_program_reads(program, FTC_FROM_TOKEN_TYPES);
}

ftc_status ftc_data_check_words(const ftc_program *program, const ftc_table *table) {
    if (!ftc_table_has_words(table) || ftc_program_label(program) == FTC_LABEL_TOKENS) return FTC_STATUS_OK;
    return ftc_status_make(
        FTC_BAD_INPUT,
        "%s: the rows are sentences of words, and the model %s does not label tokens: pass --task "
        "tokens where it can, or texts in another form",
        ftc_table_path(table), program->model);
}

ftc_status ftc_data_open_for(const ftc_program *program, const char *path, const ftc_data_options *options,
                             ftc_table **out) {
    ftc_table_options table;
    FTC_RETURN_IF_ERROR(table_options(options, path, &table));
    table.without_label = !options->label_column && !ftc_program_reads(program, FTC_FROM_LABEL);
    table.without_text = !ftc_program_reads_text(program);
    table.txt_is_lines |= ftc_program_masks(program);
    table.pairs |= ftc_program_texts_per_row(program) > 1;
    ftc_label_kind label = ftc_program_label(program);
    table.words = label == FTC_LABEL_TOKENS;
    table.several_labels = label == FTC_LABEL_SEVERAL;
    table.list_labels = table.several_labels || label == FTC_LABEL_NONE;
    if (options->label_columns && !table.several_labels)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "--label-columns: the model %s does not take several labels a text; pass --task "
            "multi_label",
            program->model);
    if (options->label_column && table.pairs)
        return ftc_status_make(
            FTC_BAD_INPUT,
            "--label-column: the model %s learns from pairs of texts that belong together, "
            "which have no label",
            program->model);
    FTC_RETURN_IF_ERROR(open_table(path, &table, options->is_silent, out));
    ftc_status status = ftc_data_check_words(program, *out);
    if (status.code == FTC_OK) return status;
    ftc_table_close(*out);
    *out = NULL;
    return status;
}

ftc_status ftc_data_open(const char *path, const ftc_data_options *options, bool with_label,
                         ftc_table **out) {
    ftc_table_options table;
    FTC_RETURN_IF_ERROR(table_options(options, path, &table));
    table.without_label = !with_label;
    return open_table(path, &table, options->is_silent, out);
}

ftc_status ftc_data_has_words(const ftc_data_options *options, bool *out) {
    ftc_table_options table;
    ftc_table *train;
    size_t column;
    FTC_RETURN_IF_ERROR(table_options(options, options->train, &table));
    table.without_text = table.without_label = true;
    table.text_column = table.pair_column = NULL;
    FTC_RETURN_IF_ERROR(ftc_table_open(options->train, &table, &train));
    *out = ftc_table_has_words(train);
    const char *const names[] = {options->text_column, "tokens", "words"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !*out; i++) {
        const char *cell;
        ftc_row row = {0};
        if (!names[i]) continue;
        ftc_status status = ftc_table_find_column(train, names[i], &column);
        if (status.code == FTC_OK) status = ftc_table_read_cell(train, 0, column, &row, &cell);
        *out = status.code == FTC_OK && cell[strspn(cell, " \t")] == '[';
        ftc_status_free(&status); // who reads the rows tells
        ftc_row_free(&row);
    }
    ftc_table_close(train);
    return FTC_STATUS_OK;
}

ftc_status ftc_data_count_classes(const ftc_data_options *options, bool may_find, bool *several, int *out) {
    ftc_table_options table;
    ftc_table *train;
    FTC_RETURN_IF_ERROR(table_options(options, options->train, &table));
    table.without_text = true;
    table.several_labels = *several || options->label_columns;
    table.list_labels = may_find || table.several_labels;
    FTC_RETURN_IF_ERROR(ftc_table_open(options->train, &table, &train));
    ftc_status status = FTC_STATUS_OK;
    if (table.several_labels) {
        *several = true;
    } else if (may_find && (*several = ftc_labels_are_lists(train))) {
        ftc_table_close(train);
        return ftc_data_count_classes(options, false, several, out);
    }
    if (out) status = *several ? ftc_labels_count_several(train, out) : ftc_labels_count(train, out);
    ftc_table_close(train);
    return status;
}

// The labels of a table, by the names of a directory's config.json where they fit.
static ftc_status learn_labels(const ftc_table *table, bool several, int32_t count, const char *dir,
                               bool may_sort, ftc_labels *out) {
    const char **names = NULL;
    ftc_hf_config *config = NULL;
    if (dir) FTC_RETURN_IF_ERROR(ftc_hf_config_read(dir, &config));
    if (config && ftc_hf_config_label_count(config) == count && ftc_hf_config_label(config, 0)) {
        names = ftc_alloc((size_t)count, sizeof *names);
        for (int32_t i = 0; i < count; i++) {
            names[i] = ftc_hf_config_label(config, i);
            if (names[i]) continue;
            free(names);
            names = NULL; // ids with gaps name nothing
            break;
        }
    }
    ftc_status status = several ? ftc_labels_learn_several(table, count, names, may_sort, out)
                                : ftc_labels_learn(table, count, names, may_sort, out);
    free(names);
    ftc_hf_config_free(config);
    return status;
}

ftc_status ftc_data_labels(const ftc_program *program, const ftc_table *table, const char *dir, bool may_sort,
                           ftc_labels *out) {
    ftc_label_kind label = ftc_program_label(program);
    int32_t count = (int32_t)ftc_program_classes(program);
    if (label == FTC_LABEL_NONE) {
        *out = (ftc_labels){.kind = FTC_LABELS_UNUSED, .count = count};
        return FTC_STATUS_OK;
    }
    if (label == FTC_LABEL_VALUE || !count) count = 1; // numbers
    return learn_labels(table, label == FTC_LABEL_SEVERAL, count, dir, may_sort, out);
}

ftc_status ftc_data_tokenizer(const ftc_program *program, const char *dir, const ftc_data_options *o,
                              ftc_tokenizer **tokenizer, int32_t *max_length) {
    if (!dir) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "no tokenizer: the model %s names none; give --tokenizer DIR (with vocab.txt "
                               "or tokenizer.json) or --pretrained DIR",
                               program->model);
    }
    char *from;
    FTC_RETURN_IF_ERROR(ftc_hf_tokenizer_dir(dir, &from));
    ftc_status status = ftc_tokenizer_open_as(from, o->tokenizer_by_class, tokenizer);
    free(from);
    FTC_RETURN_IF_ERROR(status);
    ftc_row_extents rows = ftc_program_row_extents(program);
    int64_t length = rows.tokens >= 0 ? program->extents[rows.tokens].bound : 512;
    int64_t wanted = o->max_length ? o->max_length : ftc_tokenizer_model_max_length(*tokenizer);
    if (o->max_length > length && !o->is_silent)
        fprintf(stderr,
                "--max-length %lld: the model %s takes at most %lld tokens, so texts are cut to these\n",
                (long long)o->max_length, program->model, (long long)length);
    *max_length = (int32_t)(wanted > 0 && wanted < length ? wanted : length);
    return FTC_STATUS_OK;
}

// Whether a table of so many rows has more than padding behind the tokens.
static bool is_beyond_padding(int64_t rows, int64_t tokens) {
    enum { MULTIPLE = 128, SHARE = 100 }; // rows are padded to a multiple, or by less than one in a hundred
    int64_t padded = (tokens + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    return rows > padded && (rows - tokens) * SHARE >= rows;
}

// A tokenizer that did not come with the weights may be another model's: its ids then mean nothing there, and
// a training learns them anew without a word.
static void tell_other_tokenizer(const ftc_program *program, const char *dir,
                                 const ftc_tokenizer *tokenizer) {
    int64_t tokens = ftc_tokenizer_vocab_size(tokenizer), rows = 0;
    if (!program->pretrained || strcmp(program->pretrained, dir) == 0) return;
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (program->inputs[i].role == FTC_FROM_TOKENS) rows = program->inputs[i].bound;
    if (rows && (tokens > rows || is_beyond_padding(rows, tokens)))
        fprintf(
            stderr,
            "warning: the tokenizer of %s has %lld tokens, and the weights of %s are of %lld: do they belong "
            "together?\n",
            dir, (long long)tokens, program->pretrained, (long long)rows);
}

// --- a training's data --------------------------------------------------------------------------------

static size_t count_or_all(int64_t n) {
    return n < 0 ? FTC_SELECT_ALL : (size_t)n;
}

// As many rows as `train_test_split(test_size=…)` of datasets and scikit-learn takes.
static size_t count_test_rows(double split_test, size_t rows) {
    return (size_t)(split_test < 1 ? ceil(split_test * (double)rows) : split_test);
}

ftc_status ftc_data_select_test(const ftc_data_options *o, const ftc_table *test, ftc_selection *out) {
    bool shuffle = o->shuffle_seed >= 0;
    uint64_t seed = shuffle ? (uint64_t)o->shuffle_seed : 0;
    ftc_status status =
        ftc_select_split(ftc_table_rows(test), shuffle, seed, count_or_all(o->select_test), 0, out, NULL);
    status = ftc_status_annotate(status, "%s", ftc_table_path(test));
    return o->select_test < 0 ? status
                              : ftc_status_annotate(status, "--select-test %lld", (long long)o->select_test);
}

// The rows of one file, or of both parts of the training file.
static ftc_status select_rows(const ftc_data_options *o, const ftc_table *train, const ftc_table *test,
                              ftc_selection *train_rows, ftc_selection *test_rows) {
    bool shuffle = o->shuffle_seed >= 0;
    uint64_t seed = shuffle ? (uint64_t)o->shuffle_seed : 0;
    size_t rows = ftc_table_rows(train), held_out = count_test_rows(o->split_test, rows);
    ftc_status status =
        ftc_select_split(rows, shuffle, seed, count_or_all(o->select_train), held_out, train_rows, test_rows);
    status = ftc_status_annotate(status, "%s", ftc_table_path(train));
    if (o->split_test > 0) status = ftc_status_annotate(status, "--split-test %.9g", o->split_test);
    if (o->select_train >= 0)
        status = ftc_status_annotate(status, "--select-train %lld", (long long)o->select_train);
    if (status.code != FTC_OK || !test) return status;
    ftc_selection_free(test_rows);
    return ftc_data_select_test(o, test, test_rows);
}

// Counts the words of a sentence that have each label.
static ftc_status count_words(const ftc_table *table, const ftc_labels *labels, size_t at, const char *text,
                              double *having) {
    ftc_fields words = {0};
    ftc_words_read(text, &words); // whether it is a list is for ftc_labels_find_words to say
    int32_t *classes = ftc_alloc(words.count + 1, sizeof *classes);
    ftc_status status = ftc_labels_find_words(labels, table, at, text, words.count, classes);
    for (size_t i = 0; i < words.count && status.code == FTC_OK; i++)
        if (classes[i] != FTC_NO_LABEL) having[classes[i]]++;
    free(classes);
    ftc_fields_free(&words);
    return status;
}

// Counts the training rows, or their words, that have each label: into having[labels->count].
static ftc_status count_labels(const ftc_table *table, const ftc_labels *labels, const ftc_selection *rows,
                               double *having) {
    double *numbers = ftc_alloc((size_t)labels->count, sizeof *numbers);
    ftc_row row = {0};
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < rows->count && status.code == FTC_OK; i++) {
        size_t at = (size_t)rows->rows[i];
        float label = 0;
        status = ftc_table_read_label(table, at, &row);
        if (status.code != FTC_OK) break;
        if (ftc_table_has_words(table)) {
            status = count_words(table, labels, at, row.label, having);
        } else if (labels->several) {
            status = ftc_labels_find_several(labels, table, at, row.label, numbers);
            for (int k = 0; k < labels->count; k++) having[k] += numbers[k] > 0.5;
        } else {
            status = ftc_labels_find(labels, table, at, row.label, &label);
            if (status.code == FTC_OK) having[(int)label]++;
        }
    }
    free(numbers);
    ftc_row_free(&row);
    return status;
}

ftc_status ftc_data_label_counts(const ftc_data_options *options, bool several, int32_t count,
                                 const char *dir, ftc_labels *labels, double *rows, double *having) {
    ftc_table_options table;
    ftc_table *train;
    ftc_selection train_rows = {0}, test_rows = {0};
    FTC_RETURN_IF_ERROR(table_options(options, options->train, &table));
    table.without_text = true;
    table.several_labels = table.list_labels = several;
    FTC_RETURN_IF_ERROR(ftc_table_open(options->train, &table, &train));
    ftc_status status = learn_labels(train, several, count, dir, true, labels);
    if (status.code == FTC_OK) status = select_rows(options, train, NULL, &train_rows, &test_rows);
    if (status.code == FTC_OK) status = count_labels(train, labels, &train_rows, having);
    *rows = (double)train_rows.count;
    ftc_selection_free(&train_rows);
    ftc_selection_free(&test_rows);
    ftc_table_close(train);
    return status;
}

// Where token ids are kept, allocated; NULL: nowhere.
static char *cache_dir(const char *asked_for) {
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir = NULL;
    if (asked_for) {
        if (strcmp(asked_for, "none") != 0) dir = ftc_strdup(asked_for);
    } else if (base && *base == '/') {
        dir = ftc_format("%s/ftc/tokens", base);
    } else if (home && *home == '/') {
        dir = ftc_format("%s/.cache/ftc/tokens", home);
    }
    return dir;
}

// Whether each row fits the program: better now than in the middle of a training.
static ftc_status check_rows(const ftc_program *program, const ftc_dataset_source *source,
                             const ftc_dataset *examples) {
    int64_t bad = 0;
    ftc_status found = ftc_batch_check_dataset(program, examples, &bad), status = found;
    if (found.code == FTC_BAD_INPUT && bad < examples->n) {
        status = ftc_table_error(source->table, (size_t)source->rows[bad], "%s", found.message);
        ftc_status_free(&found);
    }
    return status;
}

ftc_status ftc_data_tokenize(const ftc_program *program, const ftc_dataset_source *source, const char *cache,
                             ftc_threads *threads, ftc_dataset *out, bool *from_cache) {
    char *dir = cache_dir(cache);
    const char **columns = ftc_alloc((size_t)program->n_inputs + 1, sizeof *columns);
    int32_t n_columns = ftc_program_columns(program, columns);
    ftc_dataset read = {0};
    bool keeps = source->tokenizer && !ftc_table_has_words(source->table); // a cache has no words
    ftc_status status = keeps ? ftc_token_cache_read(source, dir, threads, &read, from_cache)
                              : ftc_dataset_read(source, threads, &read);
    if (status.code == FTC_OK) status = ftc_dataset_read_columns(source, columns, n_columns, &read);
    read.masking = source->masking;
    if (status.code == FTC_OK) status = check_rows(program, source, &read);
    free(columns);
    free(dir);
    if (status.code == FTC_OK)
        *out = read;
    else
        ftc_dataset_free(&read);
    return status;
}

static void tell_cut(const ftc_training_data *data, const ftc_dataset *d, const char *path) {
    if (d->cut)
        fprintf(stderr,
                "%s: %lld of the %lld sentences %s cut to %d tokens; labels of words behind are not seen\n",
                path, (long long)d->cut, (long long)d->n, d->cut == 1 ? "is" : "are", data->max_length);
}

// Whether an example, or one of its texts that stand apart, has no more than `nothing` tokens.
static bool has_empty_text(const ftc_dataset *d, int64_t example, int64_t nothing) {
    int64_t length = ftc_dataset_length(d, example), first = d->firsts ? d->firsts[example] : 0;
    return length - first <= nothing || (d->firsts && first <= nothing);
}

// Texts that come to nothing are trained on; people should know.
static void tell_empty(const ftc_training_data *data, const ftc_dataset *d, const char *path) {
    ftc_tokens nothing = {0};
    int64_t empty = 0;
    ftc_status status = ftc_tokenizer_encode(data->tokenizer, "", NULL, data->max_length, &nothing);
    bool can_tell = status.code == FTC_OK && nothing.count < (size_t)data->max_length;
    for (int64_t i = 0; can_tell && i < d->n; i++) empty += has_empty_text(d, i, (int64_t)nothing.count);
    if (empty)
        fprintf(stderr, "%s: %lld of the %lld examples %s no token of a text: %s empty\n", path,
                (long long)empty, (long long)d->n, empty == 1 ? "has" : "have",
                empty == 1 ? "its text is" : "their texts are");
    ftc_status_free(&status);
    ftc_tokens_free(&nothing);
}

ftc_status ftc_data_masking(const ftc_program *program, const ftc_data_options *options,
                            const ftc_tokenizer *tokenizer, ftc_masking **out) {
    *out = NULL;
    if (!ftc_program_masks(program)) return FTC_STATUS_OK;
    return ftc_masking_create(tokenizer, options->mlm_probability, out);
}

// Options that the program's task does not read.
static void tell_unread(const ftc_program *program, const ftc_data_options *o) {
    if (o->label_all_tokens && ftc_program_label(program) != FTC_LABEL_TOKENS)
        fprintf(stderr, "--label-all-tokens changes nothing: the model %s finds no labels of tokens\n",
                program->model);
    if (o->mlm_probability != MLM_PROBABILITY && !ftc_program_masks(program))
        fprintf(stderr, "--mlm-probability changes nothing: the model %s predicts no masked tokens\n",
                program->model);
}

static ftc_status read_both(const ftc_program *program, const ftc_data_options *o, const char *id2label_dir,
                            ftc_threads *threads, ftc_training_data *data) {
    const ftc_table *train = data->train_table, *test = data->test_table;
    ftc_selection train_rows = {0};
    ftc_status status = select_rows(o, train, test, &train_rows, &data->test_rows);
    if (status.code == FTC_OK) status = ftc_data_labels(program, train, id2label_dir, true, &data->labels);
    ftc_dataset_source source = {train,
                                 train_rows.rows,
                                 train_rows.count,
                                 data->tokenizer,
                                 data->max_length,
                                 &data->labels,
                                 o->label_all_tokens ? FTC_TAG_ALL : FTC_TAG_FIRST,
                                 data->masking,
                                 ftc_program_texts_per_row(program) > 1};
    bool hit = true;
    if (status.code == FTC_OK)
        status = ftc_data_tokenize(program, &source, o->cache, threads, &data->train, &data->from_cache);
    data->has_test = test || o->split_test > 0;
    if (status.code == FTC_OK && data->has_test) {
        source.table = test ? test : train;
        source.rows = data->test_rows.rows;
        source.n = data->test_rows.count;
        status = ftc_data_tokenize(program, &source, o->cache, threads, &data->test, &hit);
    }
    if (status.code == FTC_OK && data->tokenizer && !o->is_silent) {
        tell_empty(data, &data->train, ftc_table_path(train));
        tell_empty(data, &data->test, ftc_table_path(source.table));
        tell_cut(data, &data->train, ftc_table_path(train));
        tell_cut(data, &data->test, ftc_table_path(source.table));
    }
    data->from_cache &= hit;
    ftc_selection_free(&train_rows);
    return status;
}

ftc_status ftc_data_read(const ftc_program *program, const ftc_data_options *o, const char *id2label_dir,
                         ftc_threads *threads, ftc_training_data *out) {
    double start = ftc_clock_seconds();
    if (!o->train) {
        return ftc_status_make(FTC_BAD_INPUT, "no training data: the model %s names none; give --train FILE",
                               program->model);
    }
    FTC_RETURN_IF_ERROR(check_test(o));
    FTC_RETURN_IF_ERROR(ftc_batch_check_feed(program)); // before a column is missed that could not feed it
    ftc_training_data data = {.tokenizer_dir = o->tokenizer};
    ftc_status status = ftc_data_open_for(program, o->train, o, &data.train_table);
    if (status.code == FTC_OK && o->test) status = ftc_data_open_for(program, o->test, o, &data.test_table);
    if (status.code == FTC_OK && ftc_program_reads_text(program))
        status = ftc_data_tokenizer(program, o->tokenizer, o, &data.tokenizer, &data.max_length);
    if (!o->is_silent) tell_unread(program, o);
    if (data.tokenizer && !o->is_silent) tell_other_tokenizer(program, o->tokenizer, data.tokenizer);
    if (status.code == FTC_OK) status = ftc_data_masking(program, o, data.tokenizer, &data.masking);
    if (status.code == FTC_OK) status = read_both(program, o, id2label_dir, threads, &data);
    if (status.code != FTC_OK) {
        ftc_training_data_free(&data);
        return status;
    }
    data.seconds = ftc_clock_seconds() - start;
    *out = data;
    return FTC_STATUS_OK;
}

void ftc_training_data_free(ftc_training_data *data) {
    ftc_tokenizer_close(data->tokenizer);
    ftc_masking_free(data->masking);
    ftc_labels_free(&data->labels);
    ftc_dataset_free(&data->train);
    ftc_dataset_free(&data->test);
    ftc_selection_free(&data->test_rows);
    ftc_table_close(data->train_table);
    ftc_table_close(data->test_table);
    *data = (ftc_training_data){0};
}
