// Diagnostics about text that people wrote: what, where (file, line, column, the line itself with a caret),
// what to do.
//
// Passes and parsers add diagnostics and go on where they can; the driver prints them. At most
// FTC_MAX_DIAGNOSTICS are kept, the rest are counted.
#ifndef FTC_DIAG_H
#define FTC_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#define FTC_MAX_DIAGNOSTICS 20

typedef struct {
    char *text; // complete, several lines, ends with a newline
} ftc_diagnostic;

typedef struct {
    ftc_diagnostic list[FTC_MAX_DIAGNOSTICS];
    int count; // all errors, also those that were not kept
    // A file that is being compiled, and its text: for those who know a file and a line only. NULL: none.
    const char *file, *source;
} ftc_diagnostics;

// Adds "file:line:column: error: message", then the source line and a caret under the column when `source`
// (the whole file's text) is given. line and column count from 1; 0 leaves them out. A line of d->file
// without `source` is shown of d->source, the caret under its first word. file may be NULL.
void ftc_diag_add(ftc_diagnostics *d, const char *file, const char *source, int line, int column,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));

// Adds a line of explanation, with its own place, to the diagnostic added last (no effect when that was not
// kept): "file:line:column: note: message". The arguments are those of ftc_diag_add.
void ftc_diag_note(ftc_diagnostics *d, const char *file, const char *source, int line, int column,
                   const char *format, ...) __attribute__((format(printf, 6, 7)));

void ftc_diag_free(ftc_diagnostics *d);

#endif
