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

// The files, named within their directories, have the same bytes.
static inline void assert_same_file(const char *dir_a, const char *a, const char *dir_b, const char *b) {
    char *path_a = ftc_path_join(dir_a, a), *path_b = ftc_path_join(dir_b, b), *text_a, *text_b;
    size_t bytes_a, bytes_b;
    ASSERT_OK(ftc_file_read(path_a, &text_a, &bytes_a));
    ASSERT_OK(ftc_file_read(path_b, &text_b, &bytes_b));
    cr_assert(bytes_a == bytes_b && memcmp(text_a, text_b, bytes_a) == 0, "%s and %s differ", path_a, path_b);
    free(text_a);
    free(text_b);
    free(path_a);
    free(path_b);
}

#endif
