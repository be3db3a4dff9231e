// Where the tests find their files, and how they make their own.
#ifndef FTC_TESTS_PATHS_H
#define FTC_TESTS_PATHS_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <criterion/criterion.h>

// FTC_SOURCE_ROOT is given by the build.
static inline char *test_join(const char *root, const char *name) {
    char *path;
    if (asprintf(&path, "%s/%s", root, name) < 0) abort();
    return path;
}

// "tests/golden/NAME" in the source tree; allocated.
__attribute__((unused)) static char *test_golden(const char *name) {
    return test_join(FTC_SOURCE_ROOT "/tests/golden", name);
}

// "../shared/data/NAME" beside the source tree, or in $FTC_SHARED_DATA; allocated. Skips the test when there
// is none.
__attribute__((unused)) static char *test_shared(const char *name) {
    const char *root = getenv("FTC_SHARED_DATA");
    char *path = test_join(root ? root : FTC_SOURCE_ROOT "/../shared/data", name);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "skipped: no ../shared/data\n");
        cr_skip_test("skipped: no ../shared/data");
    }
    return path;
}

// A new empty directory; allocated. test_remove removes it.
__attribute__((unused)) static char *test_directory(void) {
    const char *root = getenv("TMPDIR");
    char *path = test_join(root ? root : P_tmpdir, "ftc-test-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    return path;
}

// Writes a file into a directory; its path, allocated.
__attribute__((unused)) static char *test_write(const char *directory, const char *name, const char *data,
                                                size_t size) {
    char *path = test_join(directory, name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    fclose(file);
    return path;
}

#endif
