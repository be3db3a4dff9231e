// From what the label column says to what the model is trained on: class ids 0 … count-1, or numbers.
#ifndef FTC_RUNTIME_LABELS_H
#define FTC_RUNTIME_LABELS_H

#include "runtime/status.h"
#include "runtime/data/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    FTC_LABELS_NUMBERS, // regression: the label is the number itself
    FTC_LABELS_NAMES,   // the names that the model's directory gives (id2label)
    FTC_LABELS_IDS,     // the labels are ids already
    FTC_LABELS_UNUSED,  // the model takes no label: whatever the data says is 0
    FTC_LABELS_SORTED,  // the sorted distinct labels of the training file: stars 1 … 5 → 0 … 4
    FTC_LABELS_COLUMNS, // several labels: each has a column of its own
    FTC_LABELS_LISTS,   // several labels: each text has a list of numbers, one for each label
} ftc_labels_kind;

// Labels are compared as texts without white space around them, numbers by value ("3.0" is "3").
typedef struct {
    ftc_labels_kind kind;
    bool several;  // a text has any number of them
    int count;     // the model's number of labels; 1: regression
    int occurring; // of them, in the data that this was learned from; 0 for NUMBERS and UNUSED
    char **values; // [count] what the data says for each id; NULL: nothing does. values itself is NULL for
                   // NUMBERS
    char **names;  // [count] what to save as id2label. NULL for NUMBERS
} ftc_labels;

// Looks at the label of every row, or every word, and chooses the mapping for a model with `count` labels:
//   - `count` is 1: numbers;
//   - `id2label` ([count] names, or NULL) if each label is one of its names;
//   - ids, if each label is an integer 0 … count-1;
//   - else, if `may_sort` (the file is for training), the sorted distinct labels: by value if all are
//     numbers, else as texts. Fails if there are more than `count` of them, or fewer and one is -1 beside
//     0, 1, ….
ftc_status ftc_labels_learn(const ftc_table *table, int count, const char *const *id2label, bool may_sort,
                            ftc_labels *out);
void ftc_labels_free(ftc_labels *labels);

// How many classes the labels of a table are: how many different ones there are. Fails where they are no
// classes (numbers with fractions, more than 1000), and where -1 stands beside 0, 1, …, which may be a class
// or, as in files for tests, say that there is no label.
ftc_status ftc_labels_count(const ftc_table *table, int *out);

// The label of a row of any table: the class id, or for FTC_LABELS_NUMBERS the number. Fails, naming the row,
// if the mapping does not have it.
ftc_status ftc_labels_find(const ftc_labels *labels, const ftc_table *table, size_t index, const char *text,
                           float *out);

// The class of each word of a sentence (ftc_table_has_words), FTC_NO_LABEL where the label is -100, as many
// as `n_words`, into classes[n_words].
enum { FTC_NO_LABEL = -100 };
ftc_status ftc_labels_find_words(const ftc_labels *labels, const ftc_table *table, size_t index,
                                 const char *text, size_t n_words, int32_t *classes);

// --- several labels a text ----------------------------------------------------------------------------
//
// The label is a list: of names or ids (as JSON writes it, or "a|b"), or of numbers, one for each label, 1
// where the text has it. Lists of whole numbers are ids where one is above 1 or their lengths differ, unless
// all are as long as the model has labels. An empty one says that the text has none.

// Whether a label of the table is a list of JSON, or each label has a column of its own.
bool ftc_labels_are_lists(const ftc_table *table);

// As ftc_labels_count and ftc_labels_learn.
ftc_status ftc_labels_count_several(const ftc_table *table, int *out);
ftc_status ftc_labels_learn_several(const ftc_table *table, int count, const char *const *id2label,
                                    bool may_sort, ftc_labels *out);

// The list of a row as numbers, one for each label: into numbers[labels->count].
ftc_status ftc_labels_find_several(const ftc_labels *labels, const ftc_table *table, size_t index,
                                   const char *text, double *numbers);

// One line for people: "1 → 0, 2 → 1"; allocated.
char *ftc_labels_describe(const ftc_labels *labels);

#endif
