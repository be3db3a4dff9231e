// Edits of the schedule by pattern of kernel (--kernel-schedule), which fuse follows:
//
//     tile attention: block 64      blocks of 64 rows; `tile *` are all tile kernels
//     dot PATTERN: no epilogue      of products with such a parameter: what follows is another kernel's
//     dot PATTERN: recomputed       such a product, and what is made of it and of parameters alone, is made
//                                   again for the backward pass; `stored`: never
//     attention: stored             scores in memory: each contraction and each step of the softmax by itself
#ifndef FTC_EDITS_H
#define FTC_EDITS_H

#include "compiler/passes/passes.h"

// Where an edit stands: what is said of it names this.
typedef struct ftc_edit_place {
    const char *file;
    int line, column;
} ftc_edit_place;

// Whether the line is an edit; else false after a diagnostic at that line and column of the file, whose text
// is `source`.
bool ftc_edits_check(const char *line, const char *file, const char *source, int at, int column,
                     ftc_diagnostics *d);

// What the options' edits ask of the graph; the edits that match are marked (ftc_pass_options.edits_matched).
int32_t ftc_edits_block(const ftc_pass_options *options, bool is_attention); // 0: nothing
bool ftc_edits_end_at(const ftc_pass_options *options, const ftc_graph *g, ftc_id dot);
void ftc_edits_keep(const ftc_pass_options *options, ftc_graph *g); // before remat: sets ftc_node.kept
bool ftc_edits_store(const ftc_pass_options *options);

// Adds a diagnostic for each edit that matched nothing, with what there is in the planned graphs [n], of
// which some may be NULL. Whether there was none. `places`: [n_edits], or NULL.
bool ftc_edits_all_matched(const ftc_pass_options *options, const ftc_edit_place *places,
                           ftc_graph *const *graphs, int n, ftc_diagnostics *d);

// Adds the diagnostic "EDIT why" at the edit's place; NULL: it stands in no file.
void ftc_edits_refuse(const char *edit, const ftc_edit_place *place, const char *why, ftc_diagnostics *d);

#endif
