// The pool and its barrier: every thread enters, nobody passes early, also with more threads than processors.
#include "runtime/loop/threads.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <unistd.h>

enum { PHASES = 200, MOST = 9 };

typedef struct {
    ftc_threads *pool;
    atomic_int arrived[PHASES];
    atomic_int too_early;
    atomic_int entered[MOST];
} phases;

static void go_through_phases(void *context, int32_t thread, int32_t threads) {
    phases *p = context;
    atomic_fetch_add(&p->entered[thread], 1);
    for (int i = 0; i < PHASES; i++) {
        atomic_fetch_add(&p->arrived[i], 1);
        ftc_threads_barrier(p->pool, thread);
        if (atomic_load(&p->arrived[i]) != threads) atomic_fetch_add(&p->too_early, 1);
    }
}

static void check_pool(int32_t threads) {
    ftc_threads *pool;
    cr_assert_eq(ftc_threads_create(threads, &pool).code, FTC_OK);
    cr_assert_eq(ftc_threads_count(pool), threads);
    for (int run = 0; run < 20; run++) {
        phases p = {.pool = pool};
        ftc_threads_run(pool, go_through_phases, &p);
        cr_assert_eq(atomic_load(&p.too_early), 0);
        for (int i = 0; i < threads; i++) cr_assert_eq(atomic_load(&p.entered[i]), 1);
        if (run == 10) usleep(20000); // the workers fall asleep and must wake up again
    }
    ftc_threads_free(pool);
}

Test(threads, one) {
    check_pool(1);
}
Test(threads, two) {
    check_pool(2);
}
Test(threads, more_than_processors, .timeout = 60) {
    check_pool(MOST);
}

Test(threads, none_is_an_error) {
    ftc_threads *pool = NULL;
    ftc_status status = ftc_threads_create(0, &pool);
    cr_assert_eq(status.code, FTC_BAD_INPUT);
    cr_assert_null(pool);
    ftc_status_free(&status);
}
