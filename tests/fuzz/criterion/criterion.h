// In place of Criterion, where what tests share is part of a fuzz target: an assertion that fails ends the
// process.
#ifndef FTC_TESTS_FUZZ_CRITERION_H
#define FTC_TESTS_FUZZ_CRITERION_H

#include <stdio.h>
#include <stdlib.h>

#define FUZZ_FAIL(...)                                                                                       \
    do {                                                                                                     \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                      \
        fprintf(stderr, "" __VA_ARGS__);                                                                     \
        fputc('\n', stderr);                                                                                 \
        abort();                                                                                             \
    } while (0)
#define FUZZ_CHECK(condition, ...)                                                                           \
    do {                                                                                                     \
        if (!(condition)) FUZZ_FAIL(__VA_ARGS__);                                                            \
    } while (0)

#define cr_assert(condition, ...)  FUZZ_CHECK(condition, __VA_ARGS__)
#define cr_assert_not_null(p, ...) FUZZ_CHECK((p) != NULL, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)    FUZZ_CHECK((a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...)   FUZZ_CHECK((a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...)    FUZZ_CHECK((a) < (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...)   FUZZ_CHECK((a) >= (b), __VA_ARGS__)
#define cr_assert_fail(...)        FUZZ_FAIL(__VA_ARGS__)
#define cr_expect_fail(...)        FUZZ_FAIL(__VA_ARGS__)
#define cr_skip_test(...)          FUZZ_FAIL(__VA_ARGS__) // no target asks for what may be lacking

#endif
