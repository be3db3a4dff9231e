// Tables of embeddings whose untouched rows the compiled updates leave to the caller (FTC_ROLE_TOUCHED,
// ir/step_abi.h): keeps by what such a row would have been multiplied at each update, and does it when the
// row is needed, factor by factor, so that the bits are those of an update of every row.
#ifndef FTC_RUNTIME_EMBEDDINGS_H
#define FTC_RUNTIME_EMBEDDINGS_H

#include "ir/step_abi.h"
#include "runtime/data/batch.h"

#include <stdbool.h>

typedef struct ftc_embeddings ftc_embeddings;

// The tables of `program` among the resident tensors [n_tensors], both of which outlive them. No row is
// touched, and all are up to date. To be called before moments are touched, which come to lie in small pages.
ftc_embeddings *ftc_embeddings_new(const ftc_program *program, void *const *tensors);
void ftc_embeddings_free(ftc_embeddings *tables);

// Brings the rows that the batch names up to date; with `touch`, because they are about to get a gradient,
// leaves them to the updates from now on.
void ftc_embeddings_read(ftc_embeddings *tables, const ftc_batch *batch, int touch);

// The same for rows of the table with this index among the tensors, which are about to get a gradient.
void ftc_embeddings_touch(ftc_embeddings *tables, int32_t tensor, const int64_t *rows, int64_t n);

// After an update: keeps the factors that it wrote to `outputs` [n_outputs].
void ftc_embeddings_updated(ftc_embeddings *tables, void *const *outputs);

// Brings all rows of the tensor with this index up to date, if it is a table.
void ftc_embeddings_settle(ftc_embeddings *tables, int32_t tensor);

// The weights were replaced: all rows are up to date.
void ftc_embeddings_replaced(ftc_embeddings *tables);

// The moments were replaced: the rows are touched that have some.
void ftc_embeddings_touch_by_moments(ftc_embeddings *tables);

// Somebody may read and write the tensor of this index at any time from now on: if it is a table, or a moment
// of one, all its rows are left to the updates.
void ftc_embeddings_expose(ftc_embeddings *tables, int32_t tensor);

#endif
