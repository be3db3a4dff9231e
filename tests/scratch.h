// A directory of a test's own, removed at its end, and what tests do with statuses.
#ifndef FTC_TESTS_SCRATCH_H
#define FTC_TESTS_SCRATCH_H

#include "runtime/files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A new empty directory; allocated.
static inline char *scratch_make(void) {
    const char *base = getenv("TMPDIR");
    char *name = ftc_path_join(base ? base : P_tmpdir, "ftc-test-XXXXXX");
    cr_assert_not_null(mkdtemp(name));
    return name;
}

static inline void scratch_free(char *dir) {
    cr_assert_eq(ftc_dir_remove(dir).code, FTC_OK);
    free(dir);
}

#define ASSERT_OK(expr)                                                                                      \
    do {                                                                                                     \
        ftc_status status_ = (expr);                                                                         \
        cr_assert(status_.code == FTC_OK, "%s", status_.message);                                            \
    } while (0)

// Asserts that `expr` fails with this code and a message that contains `text`.
#define ASSERT_FAILS(expr, expected_code, text)                                                              \
    do {                                                                                                     \
        ftc_status status_ = (expr);                                                                         \
        cr_assert_eq(status_.code, expected_code);                                                           \
        cr_assert(strstr(status_.message, text), "\"%s\" lacks \"%s\"", status_.message, text);              \
        ftc_status_free(&status_);                                                                           \
    } while (0)

#endif
