#include "runtime/text/regex.h"

#include "ir/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct ftc_regex {
    pcre2_code *code;
};

// PCRE2's \s has U+180E, which is no White_Space.
static char *with_unicode_spaces(const char *pattern) {
    char *result = ftc_alloc(11 * strlen(pattern) + 1, 1), *to = result;
    for (const char *c = pattern; *c; c++) {
        if (*c != '\\' || !c[1]) {
            *to++ = *c;
        } else if (c[1] == 's' || c[1] == 'S') {
            to += sprintf(to, "\\%c{wspace}", c[1] == 's' ? 'p' : 'P');
            c++;
        } else {
            *to++ = *c++;
            *to++ = *c;
        }
    }
    *to = '\0';
    return result;
}

ftc_regex *ftc_regex_new(const char *pattern, char **problem) {
    int error;
    PCRE2_SIZE at;
    char *text = with_unicode_spaces(pattern);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
    free(text);
    if (!code) {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(error, message, sizeof message);
        *problem = ftc_strdup((char *)message);
        return NULL;
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); // where the machine has none it goes without
    ftc_regex *regex = ftc_alloc(1, sizeof *regex);
    regex->code = code;
    return regex;
}

void ftc_regex_free(ftc_regex *regex) {
    if (!regex) return;
    pcre2_code_free(regex->code);
    free(regex);
}

void ftc_regex_match_free(ftc_regex_match *match) {
    pcre2_match_data_free(match->data);
    match->data = NULL;
}

const char *ftc_regex_find(const ftc_regex *regex, ftc_regex_match *match, const char *text, size_t size,
                           size_t at, size_t *begin, size_t *end) {
    enum { OFFSETS = 1 }; // of the whole match alone
    if (!match->data && !(match->data = pcre2_match_data_create(OFFSETS, NULL))) ftc_out_of_memory(0);
    int n = pcre2_match(regex->code, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                        match->data, NULL);
    if (n == PCRE2_ERROR_NOMATCH) return NULL;
    if (n < 0)
        return n == PCRE2_ERROR_JIT_STACKLIMIT || n == PCRE2_ERROR_MATCHLIMIT ? "a match takes too long"
                                                                              : "no match can be found";
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(match->data);
    *begin = found[0];
    *end = found[1];
    return NULL;
}
