// How a training went, step by step, in bounded memory.
#ifndef FTC_RUNTIME_CURVE_H
#define FTC_RUNTIME_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

enum { FTC_CURVE_MOST_POINTS = 1024 };

// Means over `steps` steps; the gradients' norm is NaN where the program does not tell it.
typedef struct {
    int64_t steps;
    double step, loss, grad_norm, learning_rate;
} ftc_curve_point;

typedef struct {
    ftc_curve_point *points; // [n] in order of steps
    int64_t n;
    int64_t width; // steps that a point stands for; the last one may have fewer
} ftc_curve;

// Adds a step. Where there is no room for another point, neighbours become one.
void ftc_curve_add(ftc_curve *curve, int64_t step, double loss, double grad_norm, double learning_rate);
void ftc_curve_free(ftc_curve *curve);

// As a checkpoint keeps it: {"width", "points": [[steps, step, loss, grad_norm, learning_rate], …]}.
cJSON *ftc_curve_to_json(const ftc_curve *curve);
// Reads it back; false, and `out` untouched: it is none whose steps end at `last`.
bool ftc_curve_from_json(const cJSON *json, int64_t last, ftc_curve *out);

#endif
