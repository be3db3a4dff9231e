// What the entries of one model do differently: `training`, and which outputs and assignments they have.
// Compiled, beside the interpreter and eager.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/eager/eager.h"
#include "ir/lang/parse.h"
#include "ir/op.h"
#include "tests/call_program.h"
#include "tests/random_graph.h"

static ftc_graph *parsed(const char *text) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("model", text, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    return g;
}

static double first_of(const test_call *call, const char *output) {
    int64_t n;
    return (double)*test_call_output(call, output, &n);
}

// --- training -----------------------------------------------------------------------------------------

static const char MODES[] = "model modes\n"
                            "axis B <= 4, H = 3\n"
                            "input x : f32[B, H]\n"
                            "y = x * param \"w\" f32[H]\n"
                            "z = select(not training, y, outer (2 * y))\n"
                            "output loss = sum(z; B, H), mode = select(training, 1, 0)\n"
                            "output both = select(training and training, 3, 4)\n"
                            "output rows = select(training, 1, sum(x; H))\n"
                            "output of_eval = sum(y; B, H) entries(eval)\n";

Test(training, is_what_the_entry_says, .timeout = 60) {
    static const ftc_entry_kind entries[] = {FTC_ENTRY_GRAD, FTC_ENTRY_STEP, FTC_ENTRY_EVAL};
    ftc_graph *source = parsed(MODES);
    ftc_loaded_program *loaded = test_compile(source, &(ftc_compile_options){.check_text = true});
    test_values *v = test_values_new(source, 1);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        v->b.entry = entries[i];
        bool trains = entries[i] != FTC_ENTRY_EVAL;
        ftc_graph *g = ftc_compile_entry_graph(source, entries[i]);
        test_call *call = test_call_new(ftc_program_of(loaded), source, v, 2);
        ftc_interp *given = ftc_interp_new(source, &v->b), *made = ftc_interp_new(g, &v->b);
        test_call_run(call, entries[i]);
        ftc_interp_run(given);
        ftc_interp_run(made);
        cr_expect_eq(first_of(call, "mode"), trains);
        cr_expect_eq(first_of(call, "both"), trains ? 3 : 4);
        for (uint32_t k = 0; k < source->n_outputs; k++) {
            int64_t n;
            const double *expected = ftc_interp_value(given, source->outputs[k].node, &n),
                         *again = ftc_interp_value(made, g->outputs[k].node, &n);
            if (!(source->outputs[k].entries >> entries[i] & 1)) continue;
            const float *got = test_call_output(call, source->outputs[k].name, &n);
            for (int64_t c = 0; c < n; c++) {
                cr_expect_eq(expected[c], again[c]);
                cr_expect_float_eq((double)got[c], expected[c], 1e-5, "%s in %s: %g, not %g",
                                   source->outputs[k].name, ftc_entry_name(entries[i]), (double)got[c],
                                   expected[c]);
            }
        }
        ftc_interp_free(given);
        ftc_interp_free(made);
        test_call_free(call);
        ftc_graph_free(g);
    }
    const ftc_program *p = ftc_program_of(loaded);
    for (int32_t i = 0; i < p->n_outputs; i++)
        if (!strcmp(p->outputs[i].name, "of_eval")) cr_expect_eq(p->outputs[i].entries, 1u << FTC_ENTRY_EVAL);
    test_values_free(v);
    ftc_program_unload(loaded);
    ftc_graph_free(source);
}

// Eager takes it from its bindings, as the interpreter does.
Test(training, is_known_to_eager) {
    ftc_graph *g = parsed("model m\naxis H = 2\noutput mode = select(training, 1, 0)\n");
    for (ftc_entry_kind entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
        ftc_eager *e = ftc_eager_new(g, &(ftc_eager_bindings){.entry = entry});
        ftc_eager_run(e);
        cr_expect_eq(ftc_eager_value(e, g->outputs[0].node, NULL)->f, (float)(entry != FTC_ENTRY_EVAL));
        ftc_eager_free(e);
    }
    ftc_graph_free(g);
}

static int count_of(const ftc_graph *g, ftc_op op) {
    int n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) n += g->nodes[id].op == op;
    return n;
}

// Whatever its probability is called, and where it is a literal: no random number is left in evaluation.
Test(training, alone_has_dropout, .timeout = 60) {
    static const char *const probabilities[] = {"0.5", "rate"};
    for (int i = 0; i < 2; i++) {
        char text[500];
        snprintf(text, sizeof text,
                 "model m\naxis B <= 4, H = 8\ninput x : f32[B, H]\narg rate : f32 = 0.5\n"
                 "y = dropout(x * param \"w\" f32[H], %s)\noutput loss = sum(y * y; B, H), y\n",
                 probabilities[i]);
        ftc_graph *source = parsed(text), *plans[FTC_ENTRY_COUNT];
        ftc_diagnostics d = {0};
        for (ftc_entry_kind entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
            plans[entry] = ftc_compile_plan(source, entry, &(ftc_compile_options){0}, &d);
            cr_assert(plans[entry], "%s", d.count ? d.list[0].text : "");
            cr_expect_eq(count_of(plans[entry], FTC_OP_training), 0);
            bool has_forward = entry != FTC_ENTRY_UPDATE;
            cr_expect_eq(count_of(plans[entry], FTC_OP_random) > 0, has_forward && entry != FTC_ENTRY_EVAL,
                         "%s, p = %s", ftc_entry_name(entry), probabilities[i]);
            ftc_graph_free(plans[entry]);
        }
        ftc_graph_free(source);
    }
}
