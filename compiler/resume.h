// Going on from a dump: the graph that somebody has changed in text takes the place of an entry's own.
#ifndef FTC_RESUME_H
#define FTC_RESUME_H

#include "compiler/compile.h"

// A dump that was read. Its nodes are where they stand in it, so that diagnostics are about the text that was
// changed; what they say of the model's lines is kept aside.
typedef struct {
    ftc_graph *graph; // before the passes that are missing
    ftc_loc *told;    // [n_told] by line of the dump: the place in the model's text
    ftc_graph *files; // whose files these are
    uint32_t n_told;
} ftc_resumed;

// Reads the dump of `entry`. False after diagnostics, which show the dump.
bool ftc_resume_read(const ftc_dump *dump, ftc_entry_kind entry, ftc_resumed *out, ftc_diagnostics *d);
void ftc_resume_free(ftc_resumed *resumed); // zeros are allowed

// Gives the nodes and declarations of a graph that was made from it the places in the model's text.
void ftc_resume_put_back(const ftc_resumed *resumed, ftc_graph *g);

// Whether a finished graph can be called as `own` can, the model's; and whether nothing in it is computed
// before what it needs, or lies where something else lies. False after diagnostics. What `own` asks of the
// lengths of sequences holds for it, too.
bool ftc_resume_check(const ftc_dump *dump, const ftc_resumed *resumed, ftc_graph *g, const ftc_graph *own,
                      ftc_diagnostics *d);

#endif
