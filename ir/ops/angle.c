// Maps of angles.
#include <math.h>

#include "ir/build.h"
#include "ir/op.h"
#include "ir/ops/map.h"
#include "ir/ops/math.h"

static ftc_id times(ftc_graph *g, ftc_id x, ftc_id y) {
    return ftc_build_map2(g, FTC_OP_mul, x, y);
}

static bool is_angle(double x) {
    return fabs(x) <= (double)FTC_MATH_LARGEST_ANGLE;
}

static double eval_sin(const ftc_map_types *t, const double *x) {
    (void)t;
    return is_angle(x[0]) ? sin(x[0]) : NAN;
}

static double eval_cos(const ftc_map_types *t, const double *x) {
    (void)t;
    return is_angle(x[0]) ? cos(x[0]) : NAN;
}

static ftc_scalar body_sin(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return ftc_math_sin(b, x[0]);
}

static ftc_scalar body_cos(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return ftc_math_cos(b, x[0]);
}

static void gradient_sin(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    out[0] = times(g, grad, ftc_build_map1(g, FTC_OP_cos, ftc_graph_node(g, id)->arg[0]));
}

static void gradient_cos(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    out[0] = ftc_build_map1(g, FTC_OP_neg,
                            times(g, grad, ftc_build_map1(g, FTC_OP_sin, ftc_graph_node(g, id)->arg[0])));
}

const ftc_op_info ftc_op_info_sin = {
    .name = "sin",
    .doc = "The sine of an angle in radians, up to 100,000; NaN beyond.",
    .example = "y = sin(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_sin,
    .eval = eval_sin,
    .body = body_sin,
    .zero_any = 1,
    .rounds = true,
    .low = -3,
    .high = 3,
};

const ftc_op_info ftc_op_info_cos = {
    .name = "cos",
    .doc = "The cosine of an angle in radians, up to 100,000; NaN beyond.",
    .example = "y = cos(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_cos,
    .eval = eval_cos,
    .body = body_cos,
    .rounds = true,
    .low = -3,
    .high = 3,
};
