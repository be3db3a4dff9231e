// Texts of others as people see them: nothing in a text, label or name moves a cursor, hides or turns what
// stands beside it.
#ifndef FTC_RUNTIME_SHOWN_H
#define FTC_RUNTIME_SHOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Whether a character is not seen itself, but changes what is seen: controls, marks of direction, separators
// of lines. A line end or tab is none.
bool ftc_shown_is_hidden(uint32_t c);

// Writes `bytes` bytes of text. Hidden characters and bytes that are no UTF-8 stand as \x1b and \u202e; line
// ends and tabs as well if it is to be `one_line`.
void ftc_shown_write(FILE *out, const char *text, size_t bytes, bool one_line);

// The same as one line, allocated.
char *ftc_shown(const char *text);

// How many columns of a terminal such a line takes: of its first *bytes bytes, which take at most so many.
int ftc_shown_columns(const char *shown, int most, size_t *bytes);

#endif
