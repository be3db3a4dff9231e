#include "ir/diag.h"

#include "ir/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_EXCERPT = 120, BEFORE_CARET = 80 }; // code points of a source line that are shown

// Whether it continues a code point.
static bool continues(char c) {
    return ((unsigned char)c & 0xc0) == 0x80;
}

// The source line and, under it, a caret below code point `column`. Tabs are kept so that both lines align;
// of a long line only what surrounds the caret is shown.
static void print_excerpt(FILE *f, const char *source, int line, int column) {
    for (int i = 1; i < line; i++) {
        source = strchr(source, '\n');
        if (!source) return;
        source++;
    }
    const char *end = source + strcspn(source, "\r\n"), *shown = source;
    int skipped = column > BEFORE_CARET ? column - BEFORE_CARET : 0, n = 0;
    for (int i = 0; i < skipped && shown < end; i++) do
            shown++;
        while (shown < end && continues(*shown));
    const char *stop = shown;
    while (stop < end && (n < LONGEST_EXCERPT || continues(*stop))) n += !continues(*stop++);
    fprintf(f, "  %s%.*s%s\n", skipped ? "..." : "", (int)(stop - shown), shown, stop < end ? "..." : "");
    if (column <= 0) return;
    fputs(skipped ? "     " : "  ", f);
    for (const char *p = shown; column - 1 > skipped && p < stop; column--) {
        fputc(*p == '\t' ? '\t' : ' ', f);
        do p++;
        while (p < stop && continues(*p));
    }
    fputs("^\n", f);
}

static char *render(const char *kind, const char *file, const char *source, int line, int column,
                    const char *format, va_list args) __attribute__((format(printf, 6, 0), nonnull(6)));
static char *render(const char *kind, const char *file, const char *source, int line, int column,
                    const char *format, va_list args) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    if (file) fprintf(f, "%s:", file);
    if (line > 0) fprintf(f, "%d:", line);
    if (line > 0 && column > 0) fprintf(f, "%d:", column);
    fprintf(f, "%s%s: ", file || line > 0 ? " " : "", kind);
    vfprintf(f, format, args);
    fputc('\n', f);
    if (source && line > 0) print_excerpt(f, source, line, column);
    return ftc_text_close(&text, NULL);
}

// The column of the first word of a line.
static int first_column(const char *source, int line) {
    for (int i = 1; i < line && source; i++) source = strchr(source, '\n') ? strchr(source, '\n') + 1 : NULL;
    return source ? (int)strspn(source, " \t") + 1 : 0;
}

void ftc_diag_add(ftc_diagnostics *d, const char *file, const char *source, int line, int column,
                  const char *format, ...) {
    if (d->count++ >= FTC_MAX_DIAGNOSTICS) return;
    if (!source && line > 0 && file && d->file && !strcmp(file, d->file)) {
        source = d->source;
        column = column ? column : first_column(source, line);
    }
    va_list args;
    va_start(args, format);
    d->list[d->count - 1].text = render("error", file, source, line, column, format, args);
    va_end(args);
}

void ftc_diag_note(ftc_diagnostics *d, const char *file, const char *source, int line, int column,
                   const char *format, ...) {
    if (d->count == 0 || d->count > FTC_MAX_DIAGNOSTICS) return;
    char **text = &d->list[d->count - 1].text;
    va_list args;
    va_start(args, format);
    char *note = render("note", file, source, line, column, format, args);
    va_end(args);
    char *joined = ftc_format("%s%s", *text, note);
    free(*text);
    free(note);
    *text = joined;
}

void ftc_diag_free(ftc_diagnostics *d) {
    for (int i = 0; i < d->count && i < FTC_MAX_DIAGNOSTICS; i++) free(d->list[i].text);
    *d = (ftc_diagnostics){0};
}
