// Learning-rate schedules against transformers' get_scheduler: tests/golden/parity/schedules.json.
#include "runtime/loop/schedule.h"
#include "tests/scratch.h"

#include <cjson/cJSON.h>
#include <math.h>

// The place of `name` in "a|b|c".
static int index_of(const char *names, const char *name) {
    char *copy = strdup(names), *rest = copy, *part;
    int index = 0;
    while ((part = strsep(&rest, "|")) && strcmp(part, name) != 0) index++;
    cr_assert_not_null(part, "no schedule is called %s", name);
    free(copy);
    return index;
}

static double number(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    cr_assert(cJSON_IsNumber(item), "the golden lacks %s", name);
    return item->valuedouble;
}

Test(schedule, equals_transformers) {
    char *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(FTC_SOURCE_ROOT "/tests/golden/parity/schedules.json", &text, &bytes));
    cJSON *golden = cJSON_Parse(text);
    cr_assert_gt(cJSON_GetArraySize(golden), FTC_SCHEDULE_INVERSE_SQRT);
    const cJSON *curve, *rate;
    cJSON_ArrayForEach(curve, golden) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(curve, "name"));
        ftc_schedule schedule =
            ftc_schedule_make((ftc_schedule_kind)index_of(FTC_SCHEDULE_NAMES, name), number(curve, "lr"),
                              (int64_t)number(curve, "warmup_steps"), (int64_t)number(curve, "total_steps"));
        int64_t step = 0;
        cJSON_ArrayForEach(rate, cJSON_GetObjectItemCaseSensitive(curve, "rates")) {
            double lr = ftc_schedule_lr(&schedule, ++step);
            cr_assert(fabs(lr - rate->valuedouble) <= 1e-12 * schedule.lr,
                      "%s, step %d: %.17g, expected %.17g", name, (int)step, lr, rate->valuedouble);
        }
        cr_assert_eq(step, schedule.total_steps);
    }
    cJSON_Delete(golden);
    free(text);
}

Test(schedule, restarts_restart) {
    ftc_schedule schedule = ftc_schedule_make(FTC_SCHEDULE_COSINE_WITH_RESTARTS, 1, 0, 100);
    schedule.cycles = 2;
    cr_assert_float_eq(ftc_schedule_lr(&schedule, 51), 1, 1e-12);
    cr_assert_float_eq(ftc_schedule_lr(&schedule, 26), 0.5, 1e-12);
    cr_assert_float_eq(ftc_schedule_lr(&schedule, 101), 0, 1e-12);
}
