// What every room does with names and short texts.
#ifndef FTC_NAME_H
#define FTC_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool ftc_name_starts_with(const char *text, const char *start);
bool ftc_name_ends_with(const char *text, const char *end);

// Goes through names with commas and blanks between, "a, b": the next one of *list and its length, up to one
// of the characters `ends`; false behind the last.
bool ftc_name_next(const char **list, const char *ends, const char **name, size_t *length);

// FNV-1a of a name: for tables of names, and for random numbers that are a function of a name. (What hashes
// data takes xxhash.)
uint64_t ftc_name_hash(const char *name);

// How an entry of a family block, "NAME" or "NAME TASK", is `name` for this task: 2 for it alone, 1 for every
// task, 0 not. The entry with the highest counts.
int ftc_name_for_task(const char *entry, const char *name, const char *task);

// The number at the start of a text, as C writes them, into *out, and *end behind it, at `text` where there
// is none. false: there is none, or no double holds it: it is infinite, or would be 0 and is not.
bool ftc_name_number(const char *text, char **end, double *out);

// Numbers with | between them, as "0.5|2|1e-3": how many there are, of which the first `most` are written;
// -1: it is something else.
int64_t ftc_name_numbers(const char *text, double *numbers, int64_t most);

// "Did you mean": the one of `n` names at the smallest edit distance (Levenshtein's, letter case ignored) to
// a mistyped one. NULL when none is near: the distance is at most a third of the length + 1, and something is
// in common.
const char *ftc_name_nearest(const char *name, const char *const *names, int n);

#endif
