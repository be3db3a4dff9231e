#include "runtime/loop/curve.h"

#include "ir/base/alloc.h"

#include <stdbool.h>
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
