// Learning-rate schedules against transformers' get_scheduler: tests/golden/parity/schedules.json.
#include "runtime/loop/train_options.h"
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

static double number_or(const cJSON *object, const char *name, double otherwise) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

static ftc_slope slope_or(const cJSON *object, const char *name, ftc_slope otherwise) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? (ftc_slope)index_of(FTC_SLOPE_NAMES, text) : otherwise;
}

// A curve's lr_scheduler_kwargs, as `ftc run` takes them.
static ftc_schedule schedule_of(const cJSON *curve) {
    const cJSON *kwargs = cJSON_GetObjectItemCaseSensitive(curve, "kwargs");
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(curve, "name"));
    ftc_train_options options = ftc_train_options_native();
    options.schedule = index_of(FTC_SCHEDULE_NAMES, name);
    options.lr = number(curve, "lr");
    options.warmup_steps = number(curve, "warmup_steps");
    options.schedule_cycles = number_or(kwargs, "num_cycles", -1);
    options.schedule_min_lr = number_or(kwargs, "min_lr", -1);
    options.schedule_min_share = number_or(kwargs, "min_lr_rate", number_or(kwargs, "min_lr_ratio", -1));
    options.schedule_decay = (int64_t)number_or(kwargs, "num_decay_steps", -1);
    options.schedule_stable = (int64_t)number_or(kwargs, "num_stable_steps", -1);
    options.schedule_rise = slope_or(kwargs, "warmup_type", FTC_SLOPE_LINEAR);
    options.schedule_fall = slope_or(kwargs, "decay_type", FTC_SLOPE_COSINE);
    options.schedule_factor = number_or(kwargs, "factor", -1);
    options.schedule_threshold = number_or(kwargs, "threshold", -1);
    options.schedule_patience = (int64_t)number_or(kwargs, "patience", -1);
    options.schedule_cooldown = (int64_t)number_or(kwargs, "cooldown", -1);
    return ftc_train_schedule(&options, (int64_t)number(curve, "total_steps"));
}

Test(schedule, equals_transformers) {
    char *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(FTC_SOURCE_ROOT "/tests/golden/parity/schedules.json", &text, &bytes));
    cJSON *golden = cJSON_Parse(text);
    cr_assert_gt(cJSON_GetArraySize(golden), FTC_SCHEDULE_REDUCE_LR_ON_PLATEAU);
    const cJSON *curve, *rate;
    cJSON_ArrayForEach(curve, golden) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(curve, "name"));
        ftc_schedule schedule = schedule_of(curve);
        const cJSON *metric = cJSON_GetObjectItemCaseSensitive(curve, "metrics");
        metric = metric ? metric->child : NULL;
        ftc_plateau plateau = ftc_plateau_begin(&schedule);
        int64_t step = 0;
        cJSON_ArrayForEach(rate, cJSON_GetObjectItemCaseSensitive(curve, "rates")) {
            double lr = ftc_schedule_lr(&schedule, ++step);
            if (metric) {
                ftc_plateau_step(&plateau, &schedule, metric->valuedouble);
                lr = plateau.lr;
                metric = metric->next;
            }
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
