// Which parameters several processes may share the update of. Each then computes the new values of some rows,
// has moments for these alone, and gets the others' new values (ftc_slice of ir/step_abi.h).
//
// That is decided here, of the planned graph of the entry update, for each trained parameter with two stored
// dimensions or more but tables whose rows may wait (FTC_DECL_TOUCHED): every kernel that reads or writes its
// gradient or its state must go by its rows, and compute each of them from that row. So the update of AdamW
// is cut; that of Adafactor, whose state holds sums over rows, is not.
//
// A value that a kernel has made for some rows is brought together where another kernel, which does not go by
// the same rows, reads it: so are the sums of squares from which the gradients' norm is made.
#ifndef FTC_SLICES_H
#define FTC_SLICES_H

#include "ir/graph.h"

typedef struct {
    // [n_kernels] the axes of the rows that a call makes its slice of, the first ones of the kernel's own;
    // none: each call does all of the kernel's work.
    ftc_axes *rows;
} ftc_slices;

ftc_slices ftc_slices_find(const ftc_graph *g, ftc_entry_kind entry);
void ftc_slices_free(ftc_slices *slices);

// Of how many rows kernel k makes a slice; 0: of none.
int64_t ftc_slices_rows(const ftc_slices *slices, const ftc_graph *g, uint32_t k);

// Whether what the node writes to memory is to be brought together from all slices: a parameter's new values,
// or a value for another kernel.
bool ftc_slices_gathers(const ftc_slices *slices, const ftc_graph *g, ftc_id id);

#endif
