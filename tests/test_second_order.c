// grad(y, x) of the language: against differences of y, and, as part of a loss, of the loss.
#include "ir/base/alloc.h"
#include "tests/api.h"

#include <math.h>

enum { ELEMENTS = 3, X = 3 };

// A network whose slope by its input is penalized, and the square of a loss' gradient by a parameter; f has a
// gradient in text.
static const char PENALTY[] =
    "model penalty\n"
    "axis B <= 3\n"
    "axis X = 3, H = 4\n"
    "input x : f32[B, X]\n"
    "init normal(0.7)\n"
    "fn f(x) {\n    return x * x * x\n} gradient(y, dy -> x) {\n"
    "    return 3 * dy * x * x\n}\n"
    "h = gelu(linear(\"mid\", tanh(linear(\"in\", x; X -> H)); H -> X))\n"
    "y = sum(softmax(h; X) * f(h); X)\n"
    "slope = grad(y, x)\n"
    "w = param \"out\" f32[X]\n"
    "z = dot(y * x, w; X)\n"
    "pull = grad(z * z, w)\n"
    "output loss = mean(z * z; B) + 3 * mean(sum(slope * slope; X); B) + sum(pull * pull; X) as loss\n"
    "output y = y as value\n"
    "output slope = slope as value\n"
    "train { optimizer = adamw  lr = 0.01 }\n";

// The net of a text, or why there is none.
static ftc_error *open_text(const char *text, ftc_net **net) {
    char *dir = test_directory(), *path = ftc_path_join(dir, "model.ir");
    ASSERT_OK(ftc_file_write(path, text, strlen(text)));
    ftc_error *error = ftc_net_open(path, &(ftc_net_options){.calls = FTC_CALL_GRAD}, net);
    free(path);
    scratch_free(dir);
    return error;
}

static void bind_x(ftc_trainer *trainer, const float *x) {
    const ftc_extent_size extent = {.name = "B", .n = ELEMENTS};
    const ftc_input_cells input = {"x", x};
    OK(ftc_trainer_bind_inputs(trainer, &extent, 1, &input, 1));
}

// The sum of an output's cells, in double.
static double interpreted(ftc_trainer *trainer, const char *output) {
    ftc_interpretation *values;
    int64_t cells;
    double sum = 0;
    OK(ftc_trainer_interpret(trainer, &values));
    const double *at = ftc_interpretation_value(values, output, &cells);
    for (int64_t i = 0; i < cells; i++) sum += at[i];
    ftc_interpretation_free(values);
    return sum;
}

// What the output changes by with a float: by a central difference, of what the float's neighbours are.
static double difference(ftc_trainer *trainer, float *at, const float *x, const char *output) {
    const float was = *at, step = 0x1p-9f;
    double sums[2], places[2];
    for (int i = 0; i < 2; i++) {
        *at = i ? was + step : was - step;
        places[i] = (double)*at;
        bind_x(trainer, x);
        sums[i] = interpreted(trainer, output);
    }
    *at = was;
    bind_x(trainer, x);
    return (sums[1] - sums[0]) / (places[1] - places[0]);
}

static void expect_near(double value, double difference, const char *what, int64_t i) {
    cr_expect_float_eq(value, difference, 1e-4 * (1 + fabs(difference)), "%s, cell %d: %g, by differences %g",
                       what, (int)i, value, difference);
}

Test(second_order, gradients_are_what_differences_say, .timeout = 240) {
    ftc_net *net;
    OK(open_text(PENALTY, &net));
    ftc_trainer *trainer = create(net, 1);
    float x[ELEMENTS * X] = {0.5f, -0.75f, 1.25f, -0.25f, 1, 0.375f, -1.5f, 0.125f, 0.875f};
    bind_x(trainer, x);
    ftc_interpretation *right;
    OK(ftc_trainer_interpret(trainer, &right));
    int64_t n;
    const double *slope = ftc_interpretation_value(right, "slope", &n);
    cr_assert_eq(n, ELEMENTS * X);
    for (int64_t i = 0; i < n; i++) expect_near(slope[i], difference(trainer, &x[i], x, "y"), "slope", i);

    int32_t n_tensors;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n_tensors);
    OK(ftc_trainer_grad(trainer));
    for (int32_t t = 0; t < n_tensors; t++) {
        if (tensors[t].kind != FTC_TENSOR_PARAMETER) continue;
        char *name = ftc_format("%s.grad", tensors[t].name);
        const double *gradient = ftc_interpretation_value(right, name, &n);
        const float *compiled = ftc_trainer_tensor(trainer, name);
        float *values = ftc_trainer_tensor(trainer, tensors[t].name);
        for (int64_t i = 0; i < n; i++) {
            expect_near(gradient[i], difference(trainer, &values[i], x, "loss"), name, i);
            expect_near((double)compiled[i], gradient[i], name, i);
        }
        free(name);
    }
    ftc_interpretation_free(right);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

Test(second_order, wrong_uses_are_refused) {
    static const char *const CASES[][2] = {
        {"grad(x)", "model.ir:5:5: error: write grad(VALUE, WITH_RESPECT_TO)"},
        {"grad(x, x; B)", "write grad(VALUE, WITH_RESPECT_TO)"},
        {"grad(x > 0, x)", "model.ir:5:12: error: a gradient is of f32, by f32; this is bool[B <= 3, X = 3]"},
        {"grad(x * x, x * 2)", "model.ir:5:5: error: the first value does not depend on the second"},
        {"grad(cast(x > 0, f32), x)", "does not depend on the second, or only by what has no gradient"},
        {"grad(detach(x), x)", "does not depend on the second"},
        {"grad(nothing, x)", "unknown name 'nothing'"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = ftc_format("model m\naxis B <= 3\naxis X = 3\ninput x : f32[B, X]\ng = %s\n"
                                "output loss = mean(sum(g * param \"w\" f32[X]; X); B) as loss\n",
                                CASES[i][0]);
        ftc_net *net = NULL;
        ftc_error *error = open_text(text, &net);
        free(text);
        cr_assert(error, "%s", CASES[i][0]);
        cr_expect(strstr(ftc_error_message(error), CASES[i][1]), "%s", ftc_error_message(error));
        ftc_error_free(error);
    }
}
