// A batch in the form that the step's ABI takes: sizes, packed inputs, offsets, checked against the program.
//
// Binding one has three steps, in this order: ftc_batch_resize says how many elements there are and how long
// each is; the caller writes the cells of `inputs` (but those from config, which are there already), in the
// order of ir/step_abi.h; ftc_batch_check looks at them. ftc_batch_fill does all three for examples of a data
// set.
#ifndef FTC_RUNTIME_BATCH_H
#define FTC_RUNTIME_BATCH_H

#include "ir/step_abi.h"
#include "runtime/data/dataset.h"
#include "runtime/loop/memory.h"
#include "runtime/status.h"

#include <stdbool.h>

// Which extents of a program the rows of a file are: -1 where it has none.
typedef struct {
    int32_t sequences; // the batch-like one that rows feed
    int32_t tokens;    // ragged over it: the tokens of each row
} ftc_row_extents;

ftc_row_extents ftc_program_row_extents(const ftc_program *program);

// Room for one batch up to the program's bounds. The arrays are what the fields of ftc_step_args of the same
// names point to.
typedef struct {
    const ftc_program *program;
    void **inputs;        // [n_inputs]
    int64_t *extents;     // [n_extents]
    int32_t **offsets;    // [n_extents] of ragged extents, else NULL
    int64_t **prefixes;   // [n_counts] of counts that have one, else NULL
    int64_t *first_slots; // [n_extents] zeros until set
    double *counts;       // [n_counts] of the batch at hand
    ftc_draw draw;        // by which ftc_batch_fill masks
    ftc_memory block;     // holds inputs, offsets and prefixes
    // Of the rows' extents:
    ftc_row_extents rows;
    int64_t texts_per_row;             // ftc_program_texts_per_row
    int64_t max_sequences, max_length; // the program's bounds; 0: it has none
    int64_t max_rows;                  // of a file, in a batch
    int64_t sequences, tokens;         // of the batch at hand
    int64_t longest;                   // tokens of its longest sequence
    const int32_t *classes; // [sequences] the labels; NULL when no input takes the label as a class
} ftc_batch;

ftc_status ftc_batch_create(const ftc_program *program, ftc_batch *out);
void ftc_batch_free(ftc_batch *batch);

// Sizes: elements[e] of each batch-like extent, lengths[e] (elements of the axis it is ragged over) of each
// ragged one; others are not read. `names` are numbers by which messages name the elements of
// `rows.sequences`; NULL: their positions. Fails when a size is beyond the program's bound or below what it
// needs; no batch is at hand then.
ftc_status ftc_batch_resize(ftc_batch *batch, const int64_t *elements, const int32_t *const *lengths,
                            const int64_t *names);

// Cells of input i in the batch at hand.
int64_t ftc_batch_cells(const ftc_batch *batch, int32_t input);

// Below what the values of input i lie: the elements at hand where they number those, else what the program
// declares. 0: any are taken. (Positions of a ragged axis may be too large for their element: the call says
// so.)
int64_t ftc_batch_bound(const ftc_batch *batch, int32_t input);

// Fails, naming input and element, where a value is out of the range that the program declares for its input.
ftc_status ftc_batch_check(const ftc_batch *batch, const int64_t *names);

// --- rows of files ------------------------------------------------------------------------------------

// Fails, naming the input, when the program has one that no row of a file can feed.
ftc_status ftc_batch_check_feed(const ftc_program *program);

// The columns that feed inputs of the program besides text, token types, and the label as a class or value,
// into names[n_inputs] in the order of those inputs (NULL: the label column); their number.
int32_t ftc_program_columns(const ftc_program *program, const char **names);

// Whether an input has this role.
bool ftc_program_reads(const ftc_program *program, ftc_input_role role);

// What inputs take the label of a row as.
typedef enum {
    FTC_LABEL_NONE,    // none does, or as numbers of a column
    FTC_LABEL_CLASS,   // i32[B]
    FTC_LABEL_VALUE,   // f32[B]
    FTC_LABEL_SEVERAL, // f32[B, C]: a number for each of C labels, 1 where the text has it
    FTC_LABEL_TOKENS,  // i32[B, S]: the class of each token, -100 where it has none
} ftc_label_kind;
ftc_label_kind ftc_program_label(const ftc_program *program);

// The numbers of FTC_LABEL_SEVERAL in a data set for the program; NULL where it has none.
const ftc_number_lists *ftc_program_several_labels(const ftc_program *program, const ftc_dataset *dataset);

// Whether the program has the tokens of its texts masked.
bool ftc_program_masks(const ftc_program *program);

// Sequences that a row of a file is: 2 where the program has the texts of a pair apart, else 1.
int32_t ftc_program_texts_per_row(const ftc_program *program);

// Fills an input from partner: the second half of the sequences at hand are the partners of the first; the
// last of an odd number is its own.
void ftc_batch_fill_partners(ftc_batch *batch, int32_t input);

// Binds `n` examples of the dataset, given by index, in this order; masks them by `batch->draw` where the
// program asks for it. Where texts are apart, the sequences are the first texts of all examples, then the
// second ones. Fails, naming the example, when one does not fit the program.
ftc_status ftc_batch_fill(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples, int64_t n);

// Whether each example of the dataset fits the program; if not, fails, and *example is the first that does
// not (messages call it "the row").
ftc_status ftc_batch_check_dataset(const ftc_program *program, const ftc_dataset *dataset, int64_t *example);

// --- sizes --------------------------------------------------------------------------------------------

// The largest counts that the program's bounds allow, [n_counts].
void ftc_program_most_counts(const ftc_program *program, double *counts);

// Σ coefficients[i] * counts[i], [n_counts] each: what something costs (ftc_kernel_info).
double ftc_program_cost(const ftc_program *program, const double *coefficients, const double *counts);

#endif
