// The same models for another kind of machine: code for AArch64, which an emulator runs, beside this
// machine's. Random graphs for it are among those of tests/test_differential.c and tests/test_interface.c.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/listing.h"
#include "compiler/codegen/object.h"
#include "tests/call_program.h"
#include "tests/foreign.h"
#include "tests/read_model.h"

#define SETTING(name_, value_)                                                                               \
    {.name = (name_), .value = (value_), .origin = "the test", .kind = FTC_OVERRIDE_OPTIONAL}

// As far as a model has them.
static const ftc_override SMALL[] = {
    SETTING("pad", "1"),   SETTING("hidden", "32"),       SETTING("layers", "1"),
    SETTING("heads", "2"), SETTING("intermediate", "64"), SETTING("vocab", "100"),
    SETTING("batch", "4"), SETTING("positions", "40"),    SETTING("max_length", "30"),
};

static ftc_graph *small_model(const char *name) {
    return test_read_model(name, SMALL, sizeof SMALL / sizeof *SMALL);
}

static const char *const MODELS[] = {"models/bert-cls.ir",    "models/bert-cola.ir",  "models/roberta.ir",
                                     "models/xlm-roberta.ir", "models/camembert.ir",  "models/distilbert.ir",
                                     "models/electra.ir",     "models/albert.ir",     "models/mpnet.ir",
                                     "models/deberta-v2.ir",  "models/modernbert.ir", "models/mlp.ir",
                                     "models/gru.ir"};

// --- compiled -----------------------------------------------------------------------------------------

// An object for that machine, whose kernels have loops that multiply and add by vectors.
static void check_compiled(const char *name, const char *target, bool bf16, uint32_t entries) {
    ftc_graph *g = small_model(name);
    const ftc_compile_options options = {
        .target = ftc_target_named(target), .bf16 = bf16, .entries = entries};
    ftc_diagnostics d = {0};
    ftc_compiled compiled;
    cr_assert(ftc_compile(g, &options, &compiled, &d), "%s: %s", name, d.count ? d.list[0].text : "");
    const ftc_object *code = &compiled.code;
    const ftc_program *program = &compiled.manifest->program;
    cr_expect_str_eq(ftc_object_arch(code->bytes, code->size)->name, "AArch64");
    cr_expect_str_eq(program->features, options.target->march);
    ftc_listing listing;
    char *error = NULL;
    cr_assert(ftc_listing_make(code->bytes, code->size, "ftc_step",
                               program->entries[FTC_ENTRY_STEP].n_kernels, compiled.manifest->cpu_features,
                               &listing, &error),
              "%s: %s", name, error);
    int32_t most = 0;
    for (int32_t k = 0; k < listing.n_loops; k++)
        if (listing.loops[k].arithmetic > most) most = listing.loops[k].arithmetic;
    // Four words of k, of each a block of 8 × 3 multiply-adds.
    cr_expect_geq(most, 2 * 4 * 8 * 3, "%s: %d operations in one of %d loops", name, most, listing.n_loops);
    for (int32_t k = 0; k < listing.n_calls; k++) cr_expect_geq(listing.calls[k], 0);
    ftc_listing_free(&listing);
    cr_expect_null(ftc_program_take(&compiled, &d), "it is no code for this machine");
    cr_expect(d.count == 1 && strstr(d.list[0].text, "compiled for AArch64"), "%s", d.list[0].text);
    ftc_diag_free(&d);
    ftc_graph_free(g);
}

Test(aarch64, shipped_models_are_compiled, .timeout = 600) {
    for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++)
        check_compiled(MODELS[i], "aarch64", false, 1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_EVAL);
    check_compiled("models/bert-cls.ir", "aarch64", true, 0);
    check_compiled("models/bert-cls.ir", "sve256", false, 0);
}

// --- run ----------------------------------------------------------------------------------------------

enum { STEPS = 3 };

static double norm(const float *x, const float *minus, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)x[i] - (minus ? (double)minus[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

static double largest_norm(const test_call *call, const ftc_program *program, ftc_tensor_role role) {
    double most = 0;
    for (int i = 0; i < program->n_tensors; i++) {
        int64_t n;
        if (program->tensors[i].role != role) continue;
        const float *x = test_call_tensor(call, program->tensors[i].name, &n);
        most = fmax(most, norm(x, NULL, n));
    }
    return most;
}

// Some steps of training on both machines, there on one thread and on two: losses, parameters and moments are
// the same but for rounding, and the same bits on any number of threads. Gradients that would be zero in real
// numbers are measured by the largest ones.
static void check_steps(const char *name, const char *target, bool bf16, double tolerance) {
    test_skip_unless_runs(ftc_target_named(target));
    ftc_graph *g = small_model(name);
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_STEP, .bf16 = bf16};
    ftc_loaded_program *here = test_compile(g, &options);
    options.target = ftc_target_named(target);
    ftc_loaded_program *there = test_compile(g, &options);
    const ftc_program *program = ftc_program_of(there);
    test_values *v = test_values_new(g, 11);
    test_call *calls[] = {test_call_new(ftc_program_of(here), g, v, 2), test_call_new(program, g, v, 1),
                          test_call_new(program, g, v, 2)};
    for (int step = 0; step < STEPS; step++) {
        int64_t n;
        for (int i = 0; i < 3; i++) test_call_run(calls[i], FTC_ENTRY_STEP);
        const float expected = *test_call_output(calls[0], "loss", &n),
                    loss = *test_call_output(calls[1], "loss", &n);
        cr_expect(fabsf(loss - expected) <= tolerance * fabsf(expected), "%s, step %d: loss %.9g, not %.9g",
                  name, step, (double)loss, (double)expected);
    }
    for (int i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        int64_t n;
        const float *x = test_call_tensor(calls[0], t->name, &n),
                    *one = test_call_tensor(calls[1], t->name, &n),
                    *two = test_call_tensor(calls[2], t->name, &n);
        cr_expect(!memcmp(one, two, (size_t)n * (size_t)ftc_dtype_bytes(t->dtype)),
                  "%s, %s: other bits on two threads", name, t->name);
        if (t->dtype != FTC_F32) continue;
        double error = norm(one, x, n),
               size = fmax(norm(x, NULL, n), 1e-3 * largest_norm(calls[0], program, t->role));
        cr_expect(error <= tolerance * size, "%s, %s: off by %.3g of %.3g", name, t->name, error, size);
    }
    for (int i = 0; i < 3; i++) test_call_free(calls[i]);
    test_values_free(v);
    ftc_program_unload(here);
    ftc_program_unload(there);
    ftc_graph_free(g);
}

Test(aarch64, models_train_as_here, .timeout = 600) {
    check_steps("models/mlp.ir", "aarch64", false, 1e-5);
    check_steps("models/gru.ir", "aarch64", false, 1e-4);
    check_steps("models/bert-cls.ir", "aarch64", false, 5e-4);
    check_steps("models/albert.ir", "aarch64", false, 5e-4);
    check_steps("models/deberta-v2.ir", "aarch64", false, 5e-4);
    check_steps("models/modernbert.ir", "aarch64", false, 5e-4);
}

Test(aarch64, bf16_trains_as_here, .timeout = 600) {
    check_steps("models/bert-cls.ir", "aarch64", true, 2e-2);
}

Test(aarch64, sve_trains_as_here, .timeout = 600) {
    check_steps("models/bert-cls.ir", "sve256", false, 5e-4);
}

// Masks of dropout are bits.
Test(aarch64, random_numbers_are_the_same_bits, .timeout = 600) {
    static const char TEXT[] = "model m\naxis B <= 5\naxis S ragged B <= 30\naxis H = 37\n"
                               "w = param \"w\" f32[H] init normal(1)\ninput x : f32[B, S, H]\n"
                               "output r = random(; B, S, H)\n"
                               "output loss = sum(x * w; B, S, H)\n";
    const ftc_target *targets[] = {ftc_target_host(), ftc_target_named("aarch64")};
    test_skip_unless_runs(targets[1]);
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("random", TEXT, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    test_values *v = test_values_new(g, 5);
    double *cells[2];
    int64_t n;
    for (int i = 0; i < 2; i++) {
        ftc_loaded_program *loaded =
            test_compile(g, &(ftc_compile_options){.target = targets[i], .entries = 1u << FTC_ENTRY_EVAL});
        test_call *call = test_call_new(ftc_program_of(loaded), g, v, 2);
        test_call_run(call, FTC_ENTRY_EVAL);
        cells[i] = test_call_cells(call, "r", &n);
        test_call_free(call);
        ftc_program_unload(loaded);
    }
    cr_assert(n > 0 && cells[0][0] > 0 && cells[0][0] < 1);
    cr_expect_arr_eq(cells[0], cells[1], (size_t)n * sizeof **cells);
    free(cells[0]);
    free(cells[1]);
    test_values_free(v);
    ftc_graph_free(g);
}
