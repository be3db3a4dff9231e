// Maps: each cell of the result is a function of the operands' cells at the same coordinates.
//
// The axes of the operands are subsets of one operand's axes, which are the result's; a narrower operand is
// repeated. With `outer` the result has the union of the operands' axes. bf16 is a storage type: arithmetic
// is done in f32.
#include <math.h>
#include <stdio.h>

#include "ir/build.h"
#include "ir/op.h"
#include "ir/ops/map.h"
#include "ir/ops/map_range.h"
#include "ir/ops/math.h"

// --- types --------------------------------------------------------------------------------------------

static const ftc_type *operand(const ftc_graph *g, const ftc_node *node, int i) {
    return &ftc_graph_node(g, node->arg[i])->type;
}

// The result's axes: the widest operand's, in its order.
static bool infer_axes(const ftc_graph *g, const ftc_node *node, ftc_axes *axes, char *error,
                       int error_size) {
    ftc_axes all = {0};
    const ftc_axes *widest = &operand(g, node, 0)->axes;
    for (int i = 0; i < node->n_args; i++) {
        const ftc_axes *a = &operand(g, node, i)->axes;
        if (all.n + ftc_axes_minus(a, &all).n > FTC_MAX_AXES) {
            snprintf(error, (size_t)error_size, "the result has more than %d axes", FTC_MAX_AXES);
            return false;
        }
        all = ftc_axes_union(&all, a);
        if (a->n > widest->n) widest = a;
    }
    if (widest->n == all.n) {
        *axes = *widest;
        return true;
    }
    if (node->outer) {
        *axes = all;
        return true;
    }
    for (int i = 0; i < node->n_args; i++) {
        ftc_axes missing = ftc_axes_minus(&operand(g, node, i)->axes, widest);
        if (!missing.n) continue;
        char wide[256], narrow[256];
        ftc_type type = {.dtype = operand(g, node, i)->dtype, .axes = *widest};
        snprintf(error, (size_t)error_size,
                 "operand %d, %s, has axis %s, which %s lacks; write `outer` if the product of both is meant",
                 i + 1, ftc_type_text(g, operand(g, node, i), narrow, sizeof narrow),
                 g->axes[missing.at[0]].name, ftc_type_text(g, &type, wide, sizeof wide));
        return false;
    }
    return false;
}

enum {
    F32 = 1 << FTC_F32,
    I32 = 1 << FTC_I32,
    U32 = 1 << FTC_U32,
    BOOL = 1 << FTC_BOOL,
    NUMBER = F32 | I32 | U32
};

// Operands from `first` on are of one dtype, which is in the mask `allowed`; gives it in *dtype.
static bool check_dtypes(const ftc_graph *g, const ftc_node *node, int first, unsigned allowed,
                         ftc_dtype *dtype, char *error, int error_size) {
    ftc_dtype t = operand(g, node, first)->dtype;
    if (!(allowed >> t & 1)) {
        snprintf(error, (size_t)error_size, "operand %d is %s; %s takes %s%s", first + 1, ftc_dtype_name(t),
                 ftc_op_get(node->op)->name,
                 allowed == F32    ? "f32"
                 : allowed == BOOL ? "bool"
                                   : "f32, i32 and u32",
                 t == FTC_BF16 ? " (cast it: bf16 is for storage)" : "");
        return false;
    }
    for (int i = first + 1; i < node->n_args; i++) {
        if (operand(g, node, i)->dtype == t) continue;
        snprintf(error, (size_t)error_size,
                 "operand %d is %s, operand %d is %s: they must be the same; cast(x, f32) is x in f32",
                 first + 1, ftc_dtype_name(t), i + 1, ftc_dtype_name(operand(g, node, i)->dtype));
        return false;
    }
    *dtype = t;
    return true;
}

bool ftc_map_infer_float(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    ftc_type t;
    if (!check_dtypes(g, node, 0, F32, &t.dtype, error, error_size)) return false;
    if (!infer_axes(g, node, &t.axes, error, error_size)) return false;
    *type = t;
    return true;
}

static bool infer_number(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    ftc_type t;
    if (!check_dtypes(g, node, 0, NUMBER, &t.dtype, error, error_size)) return false;
    if (!infer_axes(g, node, &t.axes, error, error_size)) return false;
    *type = t;
    return true;
}

static bool infer_compare(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                          int error_size) {
    ftc_type t;
    if (!infer_number(g, node, &t, error, error_size)) return false;
    *type = (ftc_type){.dtype = FTC_BOOL, .axes = t.axes};
    return true;
}

static bool infer_logic(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                        int error_size) {
    ftc_type t;
    if (!check_dtypes(g, node, 0, BOOL, &t.dtype, error, error_size)) return false;
    if (!infer_axes(g, node, &t.axes, error, error_size)) return false;
    *type = t;
    return true;
}

// --- helpers of the blocks ----------------------------------------------------------------------------

static double wrapped(ftc_dtype dtype, uint64_t x) {
    return dtype == FTC_I32 ? (double)(int32_t)(uint32_t)x : (double)(uint32_t)x;
}

static bool is_float(const ftc_map_types *t) {
    return t->from[0] == FTC_F32;
}

// Unsigned order is signed order with the top bit flipped.
static ftc_scalar compare(const ftc_scalar_builder *b, const ftc_map_types *t, ftc_predicate p,
                          const ftc_scalar *x) {
    if (is_float(t)) return b->fcmp(b, p, x[0], x[1]);
    if (t->from[0] == FTC_I32) return b->icmp(b, p, x[0], x[1]);
    ftc_scalar top = b->const_i32(b, INT32_MIN);
    return b->icmp(b, p, b->ixor(b, x[0], top), b->ixor(b, x[1], top));
}

// Operand i of node id. Nodes move when others are built: read operands first.
static ftc_id arg(const ftc_graph *g, ftc_id id, int i) {
    return ftc_graph_node(g, id)->arg[i];
}

static ftc_id mul(ftc_graph *g, ftc_id x, ftc_id y) {
    return ftc_build_map2(g, FTC_OP_mul, x, y);
}
static ftc_id neg(ftc_graph *g, ftc_id x) {
    return ftc_build_map1(g, FTC_OP_neg, x);
}
static ftc_id scaled(ftc_graph *g, ftc_id x, double factor) {
    return mul(g, x, ftc_build_const(g, factor));
}
static ftc_id zero(ftc_graph *g) {
    return ftc_build_const(g, 0);
}

// --- arithmetic ---------------------------------------------------------------------------------------

static double eval_add(const ftc_map_types *t, const double *x) {
    return is_float(t) ? x[0] + x[1] : wrapped(t->to, (uint64_t)(int64_t)x[0] + (uint64_t)(int64_t)x[1]);
}

static ftc_scalar body_add(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    return is_float(t) ? b->fadd(b, x[0], x[1]) : b->iadd(b, x[0], x[1]);
}

static void gradient_add(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    (void)g, (void)id;
    out[0] = grad;
    out[1] = grad;
}

const ftc_op_info ftc_op_info_add = {
    .name = "add",
    .doc = "The sum of two values. Integers wrap around.",
    .example = "z = x + y",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_number,
    .gradient = gradient_add,
    .eval = eval_add,
    .body = body_add,
    .range = ftc_range_add,
    .zero_all = 3,
    .linear_all = 3,
    .rounds = true,
    .low = -2,
    .high = 2,
    .symbol = "+",
    .commutative = true,
};

static double eval_sub(const ftc_map_types *t, const double *x) {
    return is_float(t) ? x[0] - x[1] : wrapped(t->to, (uint64_t)(int64_t)x[0] - (uint64_t)(int64_t)x[1]);
}

static ftc_scalar body_sub(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    return is_float(t) ? b->fsub(b, x[0], x[1]) : b->isub(b, x[0], x[1]);
}

static void gradient_sub(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    (void)id;
    out[0] = grad;
    out[1] = neg(g, grad);
}

const ftc_op_info ftc_op_info_sub = {
    .name = "sub",
    .doc = "The first value minus the second. Integers wrap around.",
    .example = "z = x - y",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_number,
    .gradient = gradient_sub,
    .eval = eval_sub,
    .body = body_sub,
    .range = ftc_range_sub,
    .zero_all = 3,
    .linear_all = 3,
    .of_difference = true,
    .rounds = true,
    .low = -2,
    .high = 2,
    .symbol = "-",
};

static double eval_mul(const ftc_map_types *t, const double *x) {
    return is_float(t) ? x[0] * x[1] : wrapped(t->to, (uint64_t)(int64_t)x[0] * (uint64_t)(int64_t)x[1]);
}

static ftc_scalar body_mul(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    return is_float(t) ? b->fmul(b, x[0], x[1]) : b->imul(b, x[0], x[1]);
}

static void gradient_mul(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = arg(g, id, 0), y = arg(g, id, 1);
    out[0] = mul(g, grad, y);
    out[1] = mul(g, grad, x);
}

const ftc_op_info ftc_op_info_mul = {
    .name = "mul",
    .doc = "The product of two values, cell by cell. Integers wrap around.",
    .example = "z = x * y",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_number,
    .gradient = gradient_mul,
    .eval = eval_mul,
    .body = body_mul,
    .range = ftc_range_mul,
    .zero_any = 3,
    .linear_any = 3,
    .rounds = true,
    .low = -2,
    .high = 2,
    .symbol = "*",
    .commutative = true,
};

static double eval_div(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] / x[1];
}

static ftc_scalar body_div(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return b->fdiv(b, x[0], x[1]);
}

static void gradient_div(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id y = arg(g, id, 1);
    out[0] = ftc_build_map2(g, FTC_OP_div, grad, y);
    out[1] = neg(g, mul(g, out[0], id));
}

const ftc_op_info ftc_op_info_div = {
    .name = "div",
    .doc = "The first value divided by the second.",
    .example = "z = x / y",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = ftc_map_infer_float,
    .gradient = gradient_div,
    .eval = eval_div,
    .body = body_div,
    .range = ftc_range_div,
    .zero_any = 1,
    .linear_any = 1,
    .rounds = true,
    .low = 0.5,
    .high = 2,
    .symbol = "/",
};

static double eval_neg(const ftc_map_types *t, const double *x) {
    return is_float(t) ? -x[0] : wrapped(t->to, -(uint64_t)(int64_t)x[0]);
}

static ftc_scalar body_neg(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    return is_float(t) ? b->fneg(b, x[0]) : b->isub(b, b->const_i32(b, 0), x[0]);
}

static void gradient_neg(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    (void)id;
    out[0] = neg(g, grad);
}

const ftc_op_info ftc_op_info_neg = {
    .name = "neg",
    .doc = "The value with the other sign.",
    .example = "y = -x",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = infer_number,
    .gradient = gradient_neg,
    .eval = eval_neg,
    .body = body_neg,
    .range = ftc_range_neg,
    .zero_any = 1,
    .linear_any = 1,
    .linear_all = 1,
    .low = -2,
    .high = 2,
};

static double eval_abs(const ftc_map_types *t, const double *x) {
    return x[0] < 0 ? eval_neg(t, x) : is_float(t) ? fabs(x[0]) : x[0];
}

static ftc_scalar body_abs(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    if (is_float(t)) return b->fabs(b, x[0]);
    ftc_scalar with_zero[] = {x[0], b->const_i32(b, 0)};
    return b->select(b, compare(b, t, FTC_LT, with_zero), body_neg(b, t, x), x[0]);
}

static void gradient_abs(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = arg(g, id, 0), nothing = zero(g);
    ftc_id positive = ftc_build_map2(g, FTC_OP_lt, nothing, x),
           negative = ftc_build_map2(g, FTC_OP_lt, x, nothing);
    out[0] = ftc_build_select(g, positive, grad, ftc_build_select(g, negative, neg(g, grad), nothing));
}

const ftc_op_info ftc_op_info_abs = {
    .name = "abs",
    .doc = "The value without its sign; of the least i32, which has none, itself. The gradient at 0 is 0.",
    .example = "y = abs(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = infer_number,
    .gradient = gradient_abs,
    .eval = eval_abs,
    .body = body_abs,
    .range = ftc_range_abs,
    .zero_any = 1,
    .low = -2,
    .high = -0.2,
};

static double eval_minimum(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] < x[1] || isnan(x[1]) ? x[0] : x[1];
}

static ftc_scalar body_minimum(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    if (is_float(t)) return b->fmin(b, x[0], x[1]);
    return b->select(b, compare(b, t, FTC_LT, x), x[0], x[1]);
}

static void gradient_minimum(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = arg(g, id, 0), y = arg(g, id, 1), nothing = zero(g);
    ftc_id first = ftc_build_map2(g, FTC_OP_lt, x, y);
    out[0] = ftc_build_select(g, first, grad, nothing);
    out[1] = ftc_build_select(g, first, nothing, grad);
}

const ftc_op_info ftc_op_info_minimum = {
    .name = "minimum",
    .doc = "The smaller of two values; the other one where one is NaN. Where they are equal the gradient "
           "goes to the second.",
    .example = "z = minimum(x, 1)",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_number,
    .gradient = gradient_minimum,
    .eval = eval_minimum,
    .body = body_minimum,
    .range = ftc_range_minimum,
    .zero_all = 3,
    .low = -2,
    .high = 2,
    .commutative = true,
};

static double eval_maximum(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] > x[1] || isnan(x[1]) ? x[0] : x[1];
}

static ftc_scalar body_maximum(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    if (is_float(t)) return b->fmax(b, x[0], x[1]);
    return b->select(b, compare(b, t, FTC_GT, x), x[0], x[1]);
}

static void gradient_maximum(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = arg(g, id, 0), y = arg(g, id, 1), nothing = zero(g);
    ftc_id first = ftc_build_map2(g, FTC_OP_lt, y, x);
    out[0] = ftc_build_select(g, first, grad, nothing);
    out[1] = ftc_build_select(g, first, nothing, grad);
}

const ftc_op_info ftc_op_info_maximum = {
    .name = "maximum",
    .doc = "The larger of two values; the other one where one is NaN. Where they are equal the gradient goes "
           "to the second, "
           "so that maximum(x, 0) has gradient 0 at 0.",
    .example = "relu = maximum(x, 0)",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_number,
    .gradient = gradient_maximum,
    .eval = eval_maximum,
    .body = body_maximum,
    .range = ftc_range_maximum,
    .zero_all = 3,
    .low = -2,
    .high = 2,
    .commutative = true,
};

// --- functions ----------------------------------------------------------------------------------------

static double eval_exp(const ftc_map_types *t, const double *x) {
    (void)t;
    return exp(x[0]);
}

static ftc_scalar body_exp(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return ftc_math_exp(b, x[0]);
}

static void gradient_exp(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    out[0] = mul(g, grad, id);
}

const ftc_op_info ftc_op_info_exp = {
    .name = "exp",
    .doc = "e to the power of the value.",
    .example = "y = exp(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_exp,
    .eval = eval_exp,
    .body = body_exp,
    .range = ftc_range_exp,
    .rounds = true,
    .low = -2,
    .high = 2,
};

static double eval_log(const ftc_map_types *t, const double *x) {
    (void)t;
    return log(x[0]);
}

static ftc_scalar body_log(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return ftc_math_log(b, x[0]);
}

static void gradient_log(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    out[0] = ftc_build_map2(g, FTC_OP_div, grad, arg(g, id, 0));
}

const ftc_op_info ftc_op_info_log = {
    .name = "log",
    .doc = "The natural logarithm.",
    .example = "y = log(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_log,
    .eval = eval_log,
    .body = body_log,
    .rounds = true,
    .low = 0.5,
    .high = 3,
};

static double eval_pow(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] < 0 ? NAN : pow(x[0], x[1]);
}

// exp(y log x), which loses log2 |y log x| bits. x⁰ is 1 for every x.
static ftc_scalar body_pow(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    ftc_scalar power = ftc_math_exp(b, b->fmul(b, x[1], ftc_math_log(b, x[0])));
    ftc_scalar is_one = b->fcmp(b, FTC_EQ, x[1], b->const_f32(b, 0)),
               is_none = b->fcmp(b, FTC_LT, x[0], b->const_f32(b, 0));
    power = b->select(b, is_one, b->const_f32(b, 1), power);
    return b->select(b, is_none, b->const_f32(b, NAN), power);
}

static void gradient_pow(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = arg(g, id, 0), y = arg(g, id, 1);
    ftc_id less = ftc_build_map2(g, FTC_OP_sub, y, ftc_build_const(g, 1));
    ftc_id slope = mul(g, y, ftc_build_map2(g, FTC_OP_pow, x, less));
    out[0] = mul(g, grad, slope);
    out[1] = mul(g, grad, mul(g, id, ftc_build_map1(g, FTC_OP_log, x)));
}

const ftc_op_info ftc_op_info_pow = {
    .name = "pow",
    .doc = "The first value to the power of the second. NaN where the first is below 0.",
    .example = "z = pow(x, 1.5)",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = ftc_map_infer_float,
    .gradient = gradient_pow,
    .eval = eval_pow,
    .body = body_pow,
    .rounds = true,
    .low = 0.5,
    .high = 2,
};

static double eval_erf(const ftc_map_types *t, const double *x) {
    (void)t;
    return erf(x[0]);
}

static ftc_scalar body_erf(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return ftc_math_erf(b, x[0]);
}

// erf'(x) = 2/√π exp(-x²)
static void gradient_erf(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = arg(g, id, 0);
    ftc_id bell = ftc_build_map1(g, FTC_OP_exp, neg(g, mul(g, x, x)));
    out[0] = mul(g, grad, scaled(g, bell, 2 / sqrt(M_PI)));
}

const ftc_op_info ftc_op_info_erf = {
    .name = "erf",
    .doc = "The error function, 2/√π ∫₀ˣ exp(-t²) dt.",
    .example = "y = erf(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_erf,
    .eval = eval_erf,
    .body = body_erf,
    .zero_any = 1,
    .rounds = true,
    .low = -2,
    .high = 2,
};

static double eval_normal_cdf(const ftc_map_types *t, const double *x) {
    (void)t;
    return 0.5 * erfc(-x[0] * M_SQRT1_2);
}

static ftc_scalar body_normal_cdf(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return ftc_math_normal_cdf(b, x[0]);
}

// Φ'(x) = 1/√(2π) exp(-x²/2)
static void gradient_normal_cdf(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id x = arg(g, id, 0);
    ftc_id bell = ftc_build_map1(g, FTC_OP_exp, scaled(g, mul(g, x, x), -0.5));
    out[0] = mul(g, grad, scaled(g, bell, 0.5 * M_SQRT1_2 * M_2_SQRTPI));
}

const ftc_op_info ftc_op_info_normal_cdf = {
    .name = "normal_cdf",
    .doc = "The distribution function of the standard normal distribution, (1 + erf(x / √2)) / 2.",
    .example = "y = normal_cdf(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_normal_cdf,
    .eval = eval_normal_cdf,
    .body = body_normal_cdf,
    .rounds = true,
    .low = -2,
    .high = 2,
};

static double eval_tanh(const ftc_map_types *t, const double *x) {
    (void)t;
    return tanh(x[0]);
}

static ftc_scalar body_tanh(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return ftc_math_tanh(b, x[0]);
}

static void gradient_tanh(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    out[0] = mul(g, grad, ftc_build_map2(g, FTC_OP_sub, ftc_build_const(g, 1), mul(g, id, id)));
}

const ftc_op_info ftc_op_info_tanh = {
    .name = "tanh",
    .doc = "The hyperbolic tangent.",
    .example = "y = tanh(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_tanh,
    .eval = eval_tanh,
    .body = body_tanh,
    .zero_any = 1,
    .rounds = true,
    .low = -2,
    .high = 2,
};

static double eval_sqrt(const ftc_map_types *t, const double *x) {
    (void)t;
    return sqrt(x[0]);
}

static ftc_scalar body_sqrt(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return b->fsqrt(b, x[0]);
}

static void gradient_sqrt(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    out[0] = ftc_build_map2(g, FTC_OP_div, scaled(g, grad, 0.5), id);
}

const ftc_op_info ftc_op_info_sqrt = {
    .name = "sqrt",
    .doc = "The square root.",
    .example = "y = sqrt(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_sqrt,
    .eval = eval_sqrt,
    .body = body_sqrt,
    .zero_any = 1,
    .rounds = true,
    .low = 0.5,
    .high = 3,
};

static double eval_rsqrt(const ftc_map_types *t, const double *x) {
    (void)t;
    return 1 / sqrt(x[0]);
}

static ftc_scalar body_rsqrt(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return b->fdiv(b, b->const_f32(b, 1), b->fsqrt(b, x[0]));
}

static void gradient_rsqrt(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    out[0] = mul(g, grad, scaled(g, mul(g, id, mul(g, id, id)), -0.5));
}

const ftc_op_info ftc_op_info_rsqrt = {
    .name = "rsqrt",
    .doc = "One divided by the square root.",
    .example = "y = rsqrt(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = ftc_map_infer_float,
    .gradient = gradient_rsqrt,
    .eval = eval_rsqrt,
    .body = body_rsqrt,
    .rounds = true,
    .low = 0.5,
    .high = 3,
};

// --- comparisons and logic ----------------------------------------------------------------------------

static double eval_eq(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] == x[1];
}

static ftc_scalar body_eq(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    return compare(b, t, FTC_EQ, x);
}

const ftc_op_info ftc_op_info_eq = {
    .name = "eq",
    .doc = "Whether two values are equal.",
    .example = "hit = outer (label == index(C))",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_compare,
    .eval = eval_eq,
    .body = body_eq,
    .range = ftc_range_eq,
    .of_difference = true,
    .low = -1,
    .high = 1,
    .symbol = "==",
    .commutative = true,
};

static double eval_lt(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] < x[1];
}

static ftc_scalar body_lt(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    return compare(b, t, FTC_LT, x);
}

const ftc_op_info ftc_op_info_lt = {
    .name = "lt",
    .doc = "Whether the first value is less than the second.",
    .example = "small = x < 1",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_compare,
    .eval = eval_lt,
    .body = body_lt,
    .range = ftc_range_lt,
    .of_difference = true,
    .low = -1,
    .high = 1,
    .symbol = "<",
};

static double eval_le(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] <= x[1];
}

static ftc_scalar body_le(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    return compare(b, t, FTC_LE, x);
}

const ftc_op_info ftc_op_info_le = {
    .name = "le",
    .doc = "Whether the first value is less than or equal to the second.",
    .example = "keep = p <= random(; axes(x))",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_compare,
    .eval = eval_le,
    .body = body_le,
    .range = ftc_range_le,
    .of_difference = true,
    .low = -1,
    .high = 1,
    .symbol = "<=",
};

static double eval_and(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] != 0 && x[1] != 0;
}

static ftc_scalar body_and(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return b->band(b, x[0], x[1]);
}

const ftc_op_info ftc_op_info_and = {
    .name = "and",
    .doc = "Whether both are true.",
    .example = "z = and(x, y)",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_logic,
    .eval = eval_and,
    .body = body_and,
    .range = ftc_range_and,
    .zero_any = 3,
    .low = 0,
    .high = 1,
    .commutative = true,
};

static double eval_or(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] != 0 || x[1] != 0;
}

static ftc_scalar body_or(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return b->bor(b, x[0], x[1]);
}

const ftc_op_info ftc_op_info_or = {
    .name = "or",
    .doc = "Whether at least one is true.",
    .example = "z = or(x, y)",
    .class = FTC_CLASS_MAP,
    .n_args = 2,
    .infer = infer_logic,
    .eval = eval_or,
    .body = body_or,
    .range = ftc_range_or,
    .zero_all = 3,
    .low = 0,
    .high = 1,
    .commutative = true,
};

static double eval_not(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] == 0;
}

static ftc_scalar body_not(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return b->bnot(b, x[0]);
}

const ftc_op_info ftc_op_info_not = {
    .name = "not",
    .doc = "Whether it is false.",
    .example = "y = not(x)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .infer = infer_logic,
    .eval = eval_not,
    .body = body_not,
    .range = ftc_range_not,
    .low = 0,
    .high = 1,
};

// --- select, cast -------------------------------------------------------------------------------------

static bool infer_select(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                         int error_size) {
    ftc_type t;
    if (operand(g, node, 0)->dtype != FTC_BOOL) {
        snprintf(error, (size_t)error_size, "the condition is %s, it must be bool",
                 ftc_dtype_name(operand(g, node, 0)->dtype));
        return false;
    }
    if (!check_dtypes(g, node, 1, NUMBER | BOOL, &t.dtype, error, error_size)) return false;
    if (!infer_axes(g, node, &t.axes, error, error_size)) return false;
    *type = t;
    return true;
}

static double eval_select(const ftc_map_types *t, const double *x) {
    (void)t;
    return x[0] != 0 ? x[1] : x[2];
}

static ftc_scalar body_select(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    (void)t;
    return b->select(b, x[0], x[1], x[2]);
}

static void gradient_select(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_id condition = arg(g, id, 0), nothing = zero(g);
    out[1] = ftc_build_select(g, condition, grad, nothing);
    out[2] = ftc_build_select(g, condition, nothing, grad);
}

const ftc_op_info ftc_op_info_select = {
    .name = "select",
    .doc = "The second value where the first (bool) is true, else the third.",
    .example = "z = select(x < 0, 0, x)",
    .class = FTC_CLASS_MAP,
    .n_args = 3,
    .infer = infer_select,
    .gradient = gradient_select,
    .eval = eval_select,
    .body = body_select,
    .range = ftc_range_select,
    .zero_all = 6,
    .linear_all = 6,
    .chooses = true,
    .low = -2,
    .high = 2,
};

static bool infer_cast(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                       int error_size) {
    const ftc_type *from = operand(g, node, 0);
    bool from_float = ftc_dtype_is_float(from->dtype);
    if (from_float && node->type.dtype == FTC_U32) {
        snprintf(error, (size_t)error_size, "there is no cast from %s to u32; cast to i32 first",
                 ftc_dtype_name(from->dtype));
        return false;
    }
    *type = (ftc_type){.dtype = node->type.dtype, .axes = from->axes};
    return true;
}

// To the nearest value with 8 significant bits, ties to even; beyond the largest: infinity.
static double rounded_to_bf16(double x) {
    if (!isfinite(x) || x == 0) return x;
    int exponent = ilogb(x) < -126 ? -126 : ilogb(x);
    double unit = ldexp(1, exponent - 7), y = nearbyint(x / unit) * unit;
    return fabs(y) >= 0x1p128 ? copysign(INFINITY, x) : y;
}

static double eval_cast(const ftc_map_types *t, const double *x) {
    bool from_float = ftc_dtype_is_float(t->from[0]);
    switch (t->to) {
    case FTC_BF16: return rounded_to_bf16(x[0]);
    case FTC_I32: return from_float ? trunc(ftc_within_i32(x[0])) : wrapped(FTC_I32, (uint64_t)(int64_t)x[0]);
    case FTC_U32: return wrapped(FTC_U32, (uint64_t)(int64_t)x[0]);
    case FTC_BOOL: return x[0] != 0;
    default: return x[0];
    }
}

static ftc_scalar body_cast(const ftc_scalar_builder *b, const ftc_map_types *t, const ftc_scalar *x) {
    ftc_dtype from = t->from[0], to = t->to;
    bool from_float = ftc_dtype_is_float(from);
    switch (to) {
    case FTC_F32:
    case FTC_BF16: {
        ftc_scalar f = from_float        ? x[0]
                       : from == FTC_I32 ? b->f32_from_i32(b, x[0])
                       : from == FTC_U32 ? b->f32_from_u32(b, x[0])
                                         : b->f32_from_bool(b, x[0]);
        return to == FTC_BF16 ? b->round_to_bf16(b, f) : f;
    }
    case FTC_I32:
    case FTC_U32: {
        if (!from_float) return from == FTC_BOOL ? b->i32_from_bool(b, x[0]) : x[0];
        ftc_scalar least = b->const_f32(b, FTC_LEAST_INTEGER), most = b->const_f32(b, FTC_MOST_INTEGER);
        return b->i32_from_f32(b, b->fmin(b, b->fmax(b, x[0], least), most));
    }
    default:
        if (from == FTC_BOOL) return x[0];
        return from_float ? b->fcmp(b, FTC_NE, x[0], b->const_f32(b, 0))
                          : b->icmp(b, FTC_NE, x[0], b->const_i32(b, 0));
    }
}

static void gradient_cast(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]) {
    ftc_dtype to = ftc_graph_node(g, id)->type.dtype;
    if (ftc_dtype_is_float(to)) out[0] = grad;
}

const ftc_op_info ftc_op_info_cast = {
    .name = "cast",
    .doc = "The value in another dtype: to an integer it loses its fraction and becomes the nearest that "
           "there is (NaN the "
           "least), to bf16 it is rounded to "
           "nearest (the gradient "
           "passes as if it were not), to bool it is whether it is not zero.",
    .example = "y = cast(hit, f32)",
    .class = FTC_CLASS_MAP,
    .n_args = 1,
    .attrs = FTC_ATTR_DTYPE,
    .infer = infer_cast,
    .gradient = gradient_cast,
    .eval = eval_cast,
    .body = body_cast,
    .range = ftc_range_cast,
    .zero_any = 1,
    .low = -2,
    .high = 2,
};
