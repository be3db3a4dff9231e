// "Did you mean": the name that a mistyped one was probably meant to be.
#ifndef FTC_RUNTIME_NEAREST_H
#define FTC_RUNTIME_NEAREST_H

#include <stddef.h>

// The name at the smallest edit distance (letter case ignored), NULL if none is close: the distance must be
// at most a third of the longer name, or 1.
const char *ftc_nearest_name(const char *name, const char *const *names, size_t count);

#endif
