// A batch of examples in the form that the step's ABI takes: packed inputs, extents and offsets, checked
// against the bounds of the program.
#ifndef FTC_RUNTIME_BATCH_H
#define FTC_RUNTIME_BATCH_H

#include "ir/step_abi.h"
#include "runtime/data/dataset.h"
#include "runtime/loop/memory.h"
#include "runtime/status.h"

// Room for one batch up to the program's bounds. The arrays are what the fields of ftc_step_args of the same
// names point to.
typedef struct {
    const ftc_program *program;
    int64_t sequences, tokens;         // of the batch at hand
    int64_t longest;                   // tokens of its longest sequence
    void **inputs;                     // [n_inputs]
    int64_t *extents;                  // [n_extents]
    const int32_t **offsets;           // [n_extents]
    const int64_t **square_offsets;    // [n_extents]
    int64_t max_sequences, max_length; // the program's bounds
    int32_t *token_offsets;            // [max_sequences + 1]
    int64_t *token_square_offsets;     // [max_sequences + 1]
    const int32_t *classes;            // [sequences] the labels; NULL when the program's label is no class
    ftc_memory block;                  // holds all but the pointers
} ftc_batch;

// Fails when the program has an input that no dataset can feed.
ftc_status ftc_batch_create(const ftc_program *program, ftc_batch *out);
void ftc_batch_free(ftc_batch *batch);

// Packs `n` examples of the dataset, given by index, in this order. Fails, naming the example, when one does
// not fit the program: a token id, a type or a label out of range, too many tokens, too many examples.
ftc_status ftc_batch_fill(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples, int64_t n);

// The extent that counts sequences, and the one that counts each sequence's tokens (-1: the model reads no
// tokens).
void ftc_program_extents(const ftc_program *program, int32_t *sequences, int32_t *tokens);

#endif
