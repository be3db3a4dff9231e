// Regular expressions of tokenizers, over UTF-8, by PCRE2. Their classes are Unicode's: \s is White_Space, \d
// a decimal digit.
#ifndef FTC_RUNTIME_REGEX_H
#define FTC_RUNTIME_REGEX_H

#include <stddef.h>

typedef struct ftc_regex ftc_regex;

// NULL: the pattern is none; *problem, to be freed, says why.
ftc_regex *ftc_regex_new(const char *pattern, char **problem);
void ftc_regex_free(ftc_regex *regex);

// What a thread needs to find matches: all zero at first, used again for any expression, freed at the end.
typedef struct {
    void *data;
} ftc_regex_match;

void ftc_regex_match_free(ftc_regex_match *match);

// The first match that is not empty, from byte `at` of `text` on, which is valid UTF-8 of `size` bytes.
// Leaves *begin and *end where there is none. Returns NULL, or why it gave up.
const char *ftc_regex_find(const ftc_regex *regex, ftc_regex_match *match, const char *text, size_t size,
                           size_t at, size_t *begin, size_t *end);

#endif
