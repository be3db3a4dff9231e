// The transcendental bodies (ir/ops/math.c), compiled for each vector width, against the C library in double.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/scalar.h"
#include "compiler/codegen/object.h"
#include "ir/ops/math.h"

typedef void apply_fn(const float *x, float *y, int64_t n);

static double normal_cdf(double x) {
    return 0.5 * erfc(-x * M_SQRT1_2);
}
static double sine(double x) {
    return fabs(x) <= (double)FTC_MATH_LARGEST_ANGLE ? sin(x) : NAN;
}
static double cosine(double x) {
    return fabs(x) <= (double)FTC_MATH_LARGEST_ANGLE ? cos(x) : NAN;
}

static const struct {
    const char *name;
    ftc_scalar_unary *body;
    double (*reference)(double);
    double absolute; // below zero an error as small as this is allowed
    double most_ulp;
} functions[] = {
    {"exp", ftc_math_exp, exp, 0, 2},     {"log", ftc_math_log, log, 0, 2},
    {"erf", ftc_math_erf, erf, 0, 2},     {"normal_cdf", ftc_math_normal_cdf, normal_cdf, 0x1p-24, 2},
    {"tanh", ftc_math_tanh, tanh, 0, 2},  {"sin", ftc_math_sin, sine, 0, 2.5},
    {"cos", ftc_math_cos, cosine, 0, 2.5}};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

// void <name>(x, y, n): y[i] = body(x[i]), `lanes` at a time.
static void emit_apply(ftc_codegen *cg, const char *name, ftc_scalar_unary *body, int lanes) {
    LLVMTypeRef params[] = {cg->ptr, cg->ptr, cg->i64}, vector = ftc_cg_vector_type(cg, cg->f32, lanes);
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 3, FTC_CG_EXPORTED, true);
    ftc_cg_loop loop =
        ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), LLVMGetParam(f.function, 2), ftc_cg_i64(cg, lanes));
    ftc_scalar_builder b = ftc_codegen_scalar_builder(cg, lanes);
    LLVMValueRef x = ftc_cg_load(cg, vector, ftc_cg_at(cg, cg->f32, LLVMGetParam(f.function, 0), loop.index));
    ftc_cg_store(cg, body(&b, x), ftc_cg_at(cg, cg->f32, LLVMGetParam(f.function, 1), loop.index));
    ftc_cg_loop_end(cg, &loop);
    ftc_cg_function_end(cg, f, NULL);
}

// Sampled floats: both signs of every exponent (subnormals, infinity and NaN too), and evenly where the
// functions bend.
static float *make_samples(int64_t *n) {
    enum { PER_EXPONENT = 1 << 10, EVEN = 1 << 19 };
    *n = 512 * PER_EXPONENT + 3 * EVEN;
    float *x = malloc((size_t)*n * sizeof *x);
    int64_t at = 0;
    uint32_t random = 12345;
    for (uint32_t high = 0; high < 512; high++)
        for (int i = 0; i < PER_EXPONENT; i++) {
            random = random * 1664525 + 1013904223;
            uint32_t mantissa = i < 2 ? (i ? 0x7fffff : 0) : random >> 9, bits = high << 23 | mantissa;
            memcpy(&x[at++], &bits, sizeof bits);
        }
    for (int i = 0; i < EVEN; i++) x[at++] = -4.5f + 9.0f * (float)i / EVEN;
    for (int i = 0; i < EVEN; i++) x[at++] = -110.0f + 220.0f * (float)i / EVEN;
    for (int i = 0; i < EVEN; i++) x[at++] = (float)((i - EVEN / 2) * (M_PI / 8)); // near quarters of a turn
    return x;
}

// Distance in units of the last place of the true value; 0 when both are the same infinity or both NaN.
static double ulp_error(float value, double truth) {
    if (isnan(truth) || isnan(value)) return isnan(truth) && isnan(value) ? 0 : INFINITY;
    if ((double)value == truth || value == (float)truth) return 0;
    if (isinf((float)truth) && fabs((double)value) < 3.4e38) return INFINITY;
    if (isinf(value)) return fabs(truth) >= 0x1.fffffep127 ? 0 : INFINITY;
    int exponent;
    frexp(truth, &exponent);
    return fabs(value - truth) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void check_target(const char *target_name, int lanes) {
    const ftc_target *target = ftc_target_named(target_name);
    if (!ftc_target_supported_here(target)) cr_skip_test("this CPU cannot execute %s code", target_name);
    char *error = NULL;
    ftc_codegen *cg = ftc_codegen_new(target, "math", &error);
    cr_assert(cg, "%s", error);
    for (int i = 0; i < N_FUNCTIONS; i++)
        emit_apply(cg, functions[i].name, functions[i].body, lanes ? lanes : cg->lanes);
    cr_assert(ftc_object_optimize(cg, &error), "%s", error);
    size_t size;
    char *object = ftc_object_emit(cg, &size, &error);
    cr_assert(object, "%s", error);
    ftc_loaded_object *loaded = ftc_object_load(object, size, &error);
    cr_assert(loaded, "%s", error);

    int64_t n;
    float *x = make_samples(&n), *y = malloc((size_t)n * sizeof *y);
    for (int i = 0; i < N_FUNCTIONS; i++) {
        apply_fn *apply = (apply_fn *)ftc_object_lookup(loaded, functions[i].name, &error);
        cr_assert(apply, "%s", error);
        apply(x, y, n);
        double worst = 0;
        float where = 0;
        for (int64_t j = 0; j < n; j++) {
            double truth = functions[i].reference(x[j]), e = ulp_error(y[j], truth);
            if (x[j] < 0 && fabs(y[j] - truth) <= functions[i].absolute) continue;
            if (e > worst) worst = e, where = x[j];
        }
        cr_log_info("%s %s: at most %.3f ulp (at %a)", target_name, functions[i].name, worst, where);
        cr_expect(worst <= functions[i].most_ulp, "%s for %s: %g ulp at %a", functions[i].name, target_name,
                  worst, where);
    }
    free(x);
    free(y);
    ftc_object_unload(loaded);
    free(object);
    ftc_codegen_free(cg);
}

Test(math, native) {
    check_target("native", 0);
}
Test(math, native_scalar) {
    check_target("native", 1);
}
Test(math, avx2) {
    check_target("avx2", 0);
}
Test(math, generic) {
    check_target("generic", 0);
}
Test(math, generic_scalar) {
    check_target("generic", 1);
}
