#include "runtime/loop/curve.h"

#include "ir/base/alloc.h"
#include "runtime/json.h"

#include <math.h>
#include <stdlib.h>

static void merge(ftc_curve_point *into, const ftc_curve_point *point) {
    double share = (double)point->steps / (double)(into->steps + point->steps);
    into->steps += point->steps;
    into->step += (point->step - into->step) * share;
    into->loss += (point->loss - into->loss) * share;
    into->grad_norm += (point->grad_norm - into->grad_norm) * share;
    into->learning_rate += (point->learning_rate - into->learning_rate) * share;
}

static void halve(ftc_curve *c) {
    for (int64_t i = 0; i < c->n / 2; i++) {
        c->points[i] = c->points[2 * i];
        merge(&c->points[i], &c->points[2 * i + 1]);
    }
    c->n /= 2;
    c->width *= 2;
}

void ftc_curve_add(ftc_curve *c, int64_t step, double loss, double grad_norm, double learning_rate) {
    const ftc_curve_point point = {1, (double)step, loss, grad_norm, learning_rate};
    if (!c->points) {
        c->points = ftc_alloc(FTC_CURVE_MOST_POINTS, sizeof *c->points);
        c->width = 1;
    }
    bool is_begun = c->n > 0 && c->points[c->n - 1].steps < c->width;
    if (!is_begun && c->n == FTC_CURVE_MOST_POINTS) halve(c);
    if (is_begun)
        merge(&c->points[c->n - 1], &point);
    else
        c->points[c->n++] = point;
}

void ftc_curve_free(ftc_curve *curve) {
    free(curve->points);
    *curve = (ftc_curve){0};
}

// --- JSON ---------------------------------------------------------------------------------------------

enum { NUMBERS = 5 }; // of a point

static cJSON *point_to_json(const ftc_curve_point *p) {
    const double numbers[NUMBERS] = {(double)p->steps, p->step, p->loss, p->grad_norm, p->learning_rate};
    cJSON *json = cJSON_CreateArray();
    for (int i = 0; i < NUMBERS; i++)
        cJSON_AddItemToArray(json,
                             isfinite(numbers[i]) ? cJSON_CreateNumber(numbers[i]) : cJSON_CreateNull());
    return json;
}

cJSON *ftc_curve_to_json(const ftc_curve *curve) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "width", (double)curve->width);
    cJSON *points = cJSON_AddArrayToObject(json, "points");
    for (int64_t i = 0; i < curve->n; i++) cJSON_AddItemToArray(points, point_to_json(&curve->points[i]));
    return json;
}

static bool point_from_json(const cJSON *json, int64_t width, ftc_curve_point *out) {
    double numbers[NUMBERS];
    const cJSON *item = json ? json->child : NULL;
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != NUMBERS) return false;
    for (int i = 0; i < NUMBERS; i++, item = item->next) {
        if (!cJSON_IsNumber(item) && !cJSON_IsNull(item)) return false;
        numbers[i] = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    }
    bool is_count = numbers[0] >= 1 && numbers[0] <= (double)width && numbers[0] == floor(numbers[0]);
    if (!is_count || !(numbers[1] >= 1)) return false;
    *out = (ftc_curve_point){(int64_t)numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};
    return true;
}

bool ftc_curve_from_json(const cJSON *json, int64_t last, ftc_curve *out) {
    const cJSON *points = cJSON_GetObjectItemCaseSensitive(json, "points"), *item;
    int64_t width;
    ftc_curve curve = {0};
    if (!ftc_json_count(cJSON_GetObjectItemCaseSensitive(json, "width"), &width)) return false;
    if (!cJSON_IsArray(points) || cJSON_GetArraySize(points) > FTC_CURVE_MOST_POINTS) return false;
    double before = 0;
    bool ok = true;
    if (points->child) curve.points = ftc_alloc(FTC_CURVE_MOST_POINTS, sizeof *curve.points);
    cJSON_ArrayForEach(item, points) {
        ftc_curve_point *point = &curve.points[curve.n++];
        ok = ok && point_from_json(item, width, point) && point->step > before && point->step <= (double)last;
        before = point->step;
    }
    curve.width = width;
    if (ok)
        *out = curve;
    else
        ftc_curve_free(&curve);
    return ok;
}
