// What tests of the runtime do with directories of their own and with statuses.
#ifndef FTC_TESTS_SCRATCH_H
#define FTC_TESTS_SCRATCH_H

#include "runtime/files.h"
#include "tests/paths.h"

#include <criterion/criterion.h>
#include <string.h>

// Removes what test_directory (tests/paths.h) made.
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
