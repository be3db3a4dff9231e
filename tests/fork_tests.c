// Runs Criterion's tests where Criterion itself cannot: a program under ThreadSanitizer has no place in its
// memory for what Criterion shares with its children. Each test is a child process, which fails with the
// first assertion that does not hold, or when the sanitizer has reported anything. --filter SUITE/TEST may
// have a `*`.
#include <criterion/criterion.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// What the macros Test and TestSuite put into these sections.
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));

enum { SKIPPED = 77 };

static const struct criterion_test *running;

static void run_fixtures(bool end) {
    const struct criterion_test_extra_data *data[2] = {NULL, running->data};
    for (struct criterion_suite **s = __start_cr_sts; s < __stop_cr_sts; s++)
        if (!strcmp((*s)->name, running->category)) data[0] = (*s)->data;
    for (int i = 0; i < 2; i++) {
        if (!data[i]) continue;
        if (!end && data[i]->init) data[i]->init();
        if (end && data[i]->fini) data[i]->fini();
    }
}

// --- what Criterion's macros call ---------------------------------------------------------------------

void criterion_internal_test_setup(void) {
    run_fixtures(false);
}

void criterion_internal_test_main(void (*test)(void)) {
    test();
}

void criterion_internal_test_teardown(void) {
    run_fixtures(true);
}

void criterion_send_assert(struct criterion_assert_stats *stats) {
    printf("%s:%u: an assertion does not hold: %s\n", stats->file, stats->line, stats->message);
}

void criterion_abort_test(void) {
    exit(EXIT_FAILURE);
}

void criterion_continue_test(void) {
    exit(EXIT_FAILURE);
}

void criterion_skip_test(const char *format, ...) {
    (void)format;
    exit(SKIPPED);
}

// ------------------------------------------------------------------------------------------------------

// The exit status of the test's process, or another one than EXIT_SUCCESS and SKIPPED.
static int run(const struct criterion_test *test) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        running = test;
        test->test();
        exit(EXIT_SUCCESS);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) return EXIT_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
    const char *filter = argc == 3 && !strcmp(argv[1], "--filter") ? argv[2] : "*";
    int passed = 0, failed = 0, skipped = 0;
    for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst; t++) {
        if (fnmatch(filter, (*t)->data->identifier_, 0) != 0) continue;
        int status = run(*t);
        passed += status == EXIT_SUCCESS;
        skipped += status == SKIPPED;
        if (status == EXIT_SUCCESS || status == SKIPPED) continue;
        failed++;
        printf("%s fails: status %d\n", (*t)->data->identifier_, status);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed || !passed;
}
