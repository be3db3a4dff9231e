// Dumps that take the place of entries' graphs, and edits of the schedule: from files, as --graph and
// --kernel-schedule name them, or from texts, as callers of libftc have them.
#ifndef FTC_DRIVER_LABORATORY_H
#define FTC_DRIVER_LABORATORY_H

#include "compiler/driver/model.h"

// The dumps that the options ask for, as texts to be freed. False after a diagnostic.
bool ftc_laboratory_dumps(const ftc_model_options *options, ftc_dump dumps[FTC_ENTRY_COUNT],
                          ftc_diagnostics *d);

// The edits, a line each, without comments (//) and blanks around them: the source's schedule. False after a
// diagnostic at the line that is none.
bool ftc_laboratory_edits(const ftc_model_options *options, ftc_model_source *out, ftc_diagnostics *d);

#endif
