// The pass optimizer, interpreted: one step equals accumulating and then updating, and what clipping does.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/passes/passes.h"
#include "ir/interpret.h"
#include "ir/lang/parse.h"
#include "ir/verify.h"

static const char MODEL[] = "model tiny\n"
                            "axis B <= 2, H = 3, C = 2, V = 4\n"
                            "axis S ragged B <= 3\n"
                            "input ids : i32[B, S] in V\n"
                            "input label : i32[B] in C\n"
                            "fixed = param \"fixed\" f32[H] frozen\n"
                            "x = mean(embedding(\"table\", ids; V -> H); S) * fixed\n"
                            "loss = mean(cross_entropy(linear(\"head\", x; H -> C), label; C); B)\n"
                            "output loss\n";

static const int32_t LENGTHS[] = {2, 3};
static const int64_t EXTENTS[] = {2, 2, 2, 2, 2, 2, 2, 2};
static const int32_t *const RAGGED[] = {LENGTHS, LENGTHS, LENGTHS, LENGTHS,
                                        LENGTHS, LENGTHS, LENGTHS, LENGTHS};

// Tensors by name, shared by the entries.
typedef struct {
    const char *name;
    double cells[16];
} tensor;
typedef struct {
    tensor list[64];
    int n;
} state;

static double *cells(state *s, const char *name) {
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->list[i].name, name)) return s->list[i].cells;
    cr_assert(s->n < 64);
    s->list[s->n].name = strdup(name);
    return s->list[s->n++].cells;
}

static void forget(state *s) {
    for (int i = 0; i < s->n; i++) free((void *)s->list[i].name);
    *s = (state){0};
}

static state start(void) {
    static const double ids[] = {1, 3, 0, 3, 3}, labels[] = {1, 0};
    state s = {0};
    memcpy(cells(&s, "ids"), ids, sizeof ids);
    memcpy(cells(&s, "label"), labels, sizeof labels);
    for (int i = 0; i < 12; i++) cells(&s, "table.weight")[i] = sin(3 * i);
    for (int i = 0; i < 4; i++) cells(&s, "table.weight.touched")[i] = 1;
    for (int i = 0; i < 6; i++) cells(&s, "head.weight")[i] = cos(5 * i);
    for (int i = 0; i < 2; i++) cells(&s, "head.bias")[i] = 0.1 * i;
    for (int i = 0; i < 3; i++) cells(&s, "fixed")[i] = 1 + i;
    cells(&s, "lr")[0] = 0.1;
    cells(&s, "accumulation")[0] = 1;
    cells(&s, "max_grad_norm")[0] = 1e9;
    cells(&s, "beta1")[0] = 0.9;
    cells(&s, "beta2")[0] = 0.999;
    cells(&s, "eps")[0] = 1e-8;
    cells(&s, "weight_decay")[0] = 0.5;
    cells(&s, "weight_decay_no_decay")[0] = 0;
    return s;
}

// Builds the graph of an entry and runs it on the state. The value of output `name`.
static double run(state *s, ftc_entry_kind entry, const char *name) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("tiny.ir", MODEL, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    ftc_graph *source = g;
    g = ftc_compile_entry_graph(source, entry);
    ftc_graph_free(source);
    ftc_pass_options options = {.entry = entry};
    cr_assert(ftc_pass_differentiate(g, &options, &d) && ftc_pass_optimizer(g, &options, &d), "%s",
              d.count ? d.list[0].text : "");
    cr_assert(ftc_verify_graph(g, &d), "%s", d.count ? d.list[0].text : "");
    double *tensors[64], result = NAN;
    cr_assert(g->n_decls <= 64 && g->n_extents <= 8);
    for (uint32_t i = 0; i < g->n_decls; i++) tensors[i] = cells(s, g->decls[i].name);
    ftc_bindings b = {.extents = EXTENTS, .lengths = RAGGED, .tensors = tensors, .step = 1};
    ftc_interp *in = ftc_interp_new(g, &b);
    ftc_interp_run(in);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        cr_expect(strncmp(g->outputs[i].name, "grad:", 5), "%s is still an output", g->outputs[i].name);
        if (!strcmp(g->outputs[i].name, name)) result = *ftc_interp_value(in, g->outputs[i].node, NULL);
    }
    ftc_interp_free(in);
    ftc_graph_free(g);
    return result;
}

static const struct {
    const char *name, *grad;
    int n;
} PARAMS[] = {{"table.weight", "table.weight.grad", 12},
              {"head.weight", "head.weight.grad", 6},
              {"head.bias", "head.bias.grad", 2}};

Test(optimizer, a_step_is_accumulation_and_update) {
    state once = start(), twice = start();
    double loss = run(&once, FTC_ENTRY_STEP, "loss");
    // The same batch two times: the mean of the gradients is the gradient.
    cells(&twice, "accumulation")[0] = 2;
    cr_expect_eq(run(&twice, FTC_ENTRY_GRAD, "loss"), loss);
    cr_expect_eq(run(&twice, FTC_ENTRY_GRAD, "loss"), loss);
    double square = 0;
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < PARAMS[p].n; i++) square += pow(cells(&twice, PARAMS[p].grad)[i], 2);
    double norm = run(&twice, FTC_ENTRY_UPDATE, "grad_norm");
    cr_expect(fabs(norm - sqrt(square)) < 1e-12 && norm > 0.1, "norm %g, not %g", norm, sqrt(square));
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < PARAMS[p].n; i++) {
            double a = cells(&once, PARAMS[p].name)[i], b = cells(&twice, PARAMS[p].name)[i];
            cr_expect(fabs(a - b) < 1e-12, "%s[%d]: %.17g and %.17g", PARAMS[p].name, i, a, b);
            cr_expect_eq(cells(&twice, PARAMS[p].grad)[i], 0, "the accumulator is not empty");
        }
    for (int i = 0; i < 3; i++) cr_expect_eq(cells(&once, "fixed")[i], 1 + i, "a frozen parameter changed");
    forget(&once);
    forget(&twice);
}

Test(optimizer, decay_leaves_biases_alone) {
    state s = start(), undecayed = start();
    cells(&undecayed, "weight_decay")[0] = 0;
    run(&s, FTC_ENTRY_STEP, "loss");
    run(&undecayed, FTC_ENTRY_STEP, "loss");
    const state before = start();
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < PARAMS[p].n; i++) {
            double decay = PARAMS[p].n == 2 ? 0 : 0.1 * 0.5 * cells((state *)&before, PARAMS[p].name)[i];
            double got = cells(&undecayed, PARAMS[p].name)[i] - cells(&s, PARAMS[p].name)[i];
            cr_expect(fabs(got - decay) < 1e-12, "%s[%d]: %g, not %g", PARAMS[p].name, i, got, decay);
        }
    forget(&s);
    forget(&undecayed);
    forget((state *)&before);
}

// No token has id 2: the caller may do what the step would do to its row.
static void check_untouched(ftc_entry_kind entry) {
    state dense = start(), lazy = start(), before = start();
    cells(&lazy, "table.weight.touched")[2] = 0;
    if (entry == FTC_ENTRY_UPDATE) {
        run(&dense, FTC_ENTRY_GRAD, "loss");
        run(&lazy, FTC_ENTRY_GRAD, "loss");
    }
    run(&dense, entry, "");
    double factor = run(&lazy, entry, "table.weight.untouched");
    cr_expect_float_eq(factor, 1 - 0.1 * 0.5, 1e-7);
    for (int i = 0; i < 12; i++) {
        double got = cells(&lazy, "table.weight")[i], old = cells(&before, "table.weight")[i];
        cr_expect_eq(got, i / 3 == 2 ? old : cells(&dense, "table.weight")[i]);
        cr_expect_float_eq(i / 3 == 2 ? got * factor : got, cells(&dense, "table.weight")[i], 1e-12);
        cr_expect_eq(cells(&lazy, "table.weight.exp_avg_sq")[i], cells(&dense, "table.weight.exp_avg_sq")[i]);
    }
    forget(&dense);
    forget(&lazy);
    forget(&before);
}

Test(optimizer, leaves_untouched_rows_to_the_caller) {
    check_untouched(FTC_ENTRY_STEP);
    check_untouched(FTC_ENTRY_UPDATE);
}

Test(optimizer, changes_nothing_where_the_loss_is_not_finite) {
    state s = start();
    cells(&s, "head.bias")[0] = INFINITY;
    state before = s;
    cr_expect_eq(run(&s, FTC_ENTRY_STEP, "table.weight.untouched"), 1);
    for (int i = 0; i < 12; i++)
        cr_expect_eq(cells(&s, "table.weight")[i], cells(&before, "table.weight")[i]);
    forget(&s);
}

Test(optimizer, clipping_scales_the_gradient) {
    state s = start();
    run(&s, FTC_ENTRY_GRAD, "loss");
    double g[12], norm;
    memcpy(g, cells(&s, "table.weight.grad"), sizeof g);
    cells(&s, "max_grad_norm")[0] = 0.01;
    norm = run(&s, FTC_ENTRY_UPDATE, "grad_norm");
    cr_assert(norm > 0.01);
    for (int i = 0; i < 12; i++) {
        double clipped = g[i] * 0.01 / (norm + 1e-6);
        cr_expect(fabs(cells(&s, "table.weight.exp_avg")[i] - 0.1 * clipped) < 1e-12);
    }
    forget(&s);
}

// What a model assigns itself, before its loss, is kept back with the rest where the loss is not finite.
Test(optimizer, assignments_of_the_model_are_guarded) {
    static const char text[] =
        "model average\naxis B <= 2, H = 3\ninput x : f32[B, H]\n"
        "seen = param \"seen\" f32[H] frozen\nassign(mean(x; B), seen) each micro_batch\n"
        "y = x * param \"w\" f32[H] - seen\n"
        "output loss = mean(sum(y * y; H); B)\n";
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("average", text, NULL, &d);
    ftc_pass_options options = {.entry = FTC_ENTRY_STEP};
    bool ok = g && ftc_pass_differentiate(g, &options, &d) && ftc_pass_optimizer(g, &options, &d) &&
              ftc_verify_graph(g, &d);
    cr_assert(ok, "%s", d.count ? d.list[0].text : "no diagnostic");
    int n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        if (g->nodes[id].op != FTC_OP_assign) continue;
        n++;
        cr_expect_eq(g->nodes[g->nodes[id].arg[0]].op, FTC_OP_select);
    }
    cr_expect_eq(n, 4, "seen, w and its moments; there are %d", n);
    ftc_graph_free(g);
}

Test(optimizer, unknown_optimizers_are_refused) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text(
        "m.ir", "model m\nw = param \"w\" f32\noutput loss = w * w\ntrain { optimizer = lyon }\n", NULL, &d);
    cr_assert_not_null(g);
    ftc_pass_options options = {.entry = FTC_ENTRY_STEP};
    cr_expect(!ftc_pass_optimizer(g, &options, &d));
    cr_assert_eq(d.count, 1);
    cr_expect_not_null(strstr(d.list[0].text, "optimizer 'lyon' is not known; did you mean 'lion'"));
    ftc_diag_free(&d);
    ftc_graph_free(g);
}
