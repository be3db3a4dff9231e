// What the entries of one model do differently: `training`, and which outputs and assignments they have.
// Compiled, beside the interpreter and eager.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/eager/eager.h"
#include "compiler/pipeline.h"
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

// --- assignments --------------------------------------------------------------------------------------

#define STATE (FTC_SOURCE_ROOT "/tests/golden/language/state.ir")

static ftc_graph *state_model(void) {
    static const ftc_override small = {"vocab", "20", "test", FTC_OVERRIDE_CONFIG};
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_file(STATE, &(ftc_settings){&small, 1}, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    return g;
}

// The graph of an entry with all that it updates.
static ftc_graph *updating(const ftc_graph *source, ftc_entry_kind entry) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(source, entry);
    ftc_pipeline_options options = {.pass.entry = entry, .check_text = true};
    for (int i = 0; i < ftc_n_passes; i++) {
        cr_assert(ftc_pipeline_run_pass(g, &ftc_passes[i], &options, &d), "%s",
                  d.count ? d.list[0].text : "");
        if (ftc_passes[i].run == ftc_pass_assign) break;
    }
    cr_assert_eq(count_of(g, FTC_OP_updated), 0);
    return g;
}

static double *cells_of(const ftc_graph *g, const test_values *v, const char *name) {
    ftc_decl decl = ftc_graph_find_decl(g, name);
    cr_assert_neq(decl, FTC_NO_DECL, "%s", name);
    return v->tensors[decl];
}

static float *tensor(const test_call *call, const char *name) {
    int64_t n;
    return (float *)(uintptr_t)test_call_tensor(call, name, &n);
}

static void fill(double *cells, int64_t n, uint64_t seed) {
    test_random random = {.state = seed};
    for (int64_t i = 0; i < n; i++) cells[i] = test_random_between(&random, -0.1, 0.1);
}

static void expect_cells(const double *expected, const float *got, int64_t n, const char *name,
                         const char *where) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)got[i] - expected[i]));
    cr_expect(worst < 2e-5, "%s after %s: off by %g", name, where, worst);
}

// What each entry leaves in every tensor, and that it assigns what it says and nothing else.
Test(assignments, compiled_entries_agree_with_the_interpreter, .timeout = 60) {
    static const struct {
        const char *name;
        uint32_t entries;
    } counters[] = {{"steps", FTC_ENTRIES_ONCE_A_STEP},
                    {"batches", FTC_ENTRIES_EACH_MICRO_BATCH},
                    {"evals", 1u << FTC_ENTRY_EVAL},
                    {"both", FTC_ENTRIES_ONCE_A_STEP | 1u << FTC_ENTRY_EVAL}};
    ftc_graph *source = state_model();
    ftc_loaded_program *loaded = test_compile(source, &(ftc_compile_options){.check_text = true});
    for (ftc_entry_kind entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
        ftc_graph *g = updating(source, entry);
        test_values *v = test_values_new(g, 7);
        for (uint32_t i = 0; i < g->n_decls; i++) {
            const ftc_decl_def *decl = &g->decls[i];
            if (decl->kind == FTC_DECL_GRADIENT)
                fill(v->tensors[i], ftc_interp_cells(g, &v->b, &decl->type.axes), i);
            if (decl->kind == FTC_DECL_ARG) v->tensors[i][0] = (double)decl->value;
        }
        for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) *cells_of(g, v, counters[i].name) = 3;
        test_call *call = test_call_new(ftc_program_of(loaded), g, v, 2);
        ftc_interp *in = ftc_interp_new(g, &v->b);
        ftc_interp_run(in);
        test_call_run(call, entry);
        for (uint32_t i = 0; i < g->n_decls; i++) {
            const ftc_decl_def *decl = &g->decls[i];
            bool is_state = decl->kind == FTC_DECL_PARAM || decl->kind == FTC_DECL_MOMENT ||
                            decl->kind == FTC_DECL_GRADIENT;
            if (!is_state) continue;
            int64_t n = ftc_interp_cells(g, &v->b, &decl->type.axes);
            expect_cells(v->tensors[i], tensor(call, decl->name), n, decl->name, ftc_entry_name(entry));
        }
        for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
            cr_expect_eq(*tensor(call, counters[i].name), 3 + (counters[i].entries >> entry & 1),
                         "%s after %s", counters[i].name, ftc_entry_name(entry));
        ftc_interp_free(in);
        test_call_free(call);
        test_values_free(v);
        ftc_graph_free(g);
    }
    ftc_program_unload(loaded);
    ftc_graph_free(source);
}

// Averages of weights beside a plain loop, through steps in one call and in several, with evaluations between
// them.
Test(assignments, average_weights_as_a_plain_loop_does, .timeout = 60) {
    static const ftc_entry_kind calls[] = {FTC_ENTRY_STEP,   FTC_ENTRY_EVAL, FTC_ENTRY_GRAD, FTC_ENTRY_GRAD,
                                           FTC_ENTRY_UPDATE, FTC_ENTRY_EVAL, FTC_ENTRY_STEP};
    enum { CALLS = sizeof calls / sizeof *calls, CELLS = 5 * 8, ROWS = 20 * 8 };
    ftc_graph *source = state_model(), *g = updating(source, FTC_ENTRY_STEP);
    ftc_loaded_program *loaded = test_compile(source, &(ftc_compile_options){0});
    test_values *v = test_values_new(g, 3);
    for (uint32_t i = 0; i < g->n_decls; i++)
        if (g->decls[i].kind == FTC_DECL_ARG) v->tensors[i][0] = (double)g->decls[i].value;
    test_call *call = test_call_new(ftc_program_of(loaded), g, v, 2);
    double mean[CELLS], before[CELLS], rows[ROWS];
    for (int i = 0; i < CELLS; i++) mean[i] = (double)tensor(call, "head.mean")[i];
    for (int i = 0; i < CELLS; i++) before[i] = (double)tensor(call, "head.before")[i];
    for (int i = 0; i < ROWS; i++) rows[i] = (double)tensor(call, "table.mean")[i];
    for (int c = 0; c < CALLS; c++) {
        float W[CELLS];
        memcpy(W, tensor(call, "head"), sizeof W);
        test_call_run(call, calls[c]);
        const char *where = ftc_entry_name(calls[c]);
        bool steps = calls[c] == FTC_ENTRY_STEP || calls[c] == FTC_ENTRY_UPDATE;
        double moved = 0;
        for (int i = 0; i < CELLS; i++) moved += (double)tensor(call, "head")[i] - (double)W[i];
        cr_expect_eq(steps, moved != 0, "%s", where);
        for (int i = 0; i < CELLS && steps; i++)
            mean[i] = 0.9 * mean[i] + 0.1 * (double)tensor(call, "head")[i];
        for (int i = 0; i < CELLS && steps; i++) before[i] = (double)W[i];
        for (int i = 0; i < ROWS && steps; i++)
            rows[i] = 0.9 * rows[i] + 0.1 * (double)tensor(call, "table")[i];
        expect_cells(mean, tensor(call, "head.mean"), CELLS, "head.mean", where);
        expect_cells(before, tensor(call, "head.before"), CELLS, "head.before", where);
        expect_cells(rows, tensor(call, "table.mean"), ROWS, "table.mean", where);
        if (calls[c] == FTC_ENTRY_STEP) cr_expect_float_eq(first_of(call, "moved"), moved, 1e-4);
        if (calls[c] == FTC_ENTRY_EVAL) cr_expect_eq(first_of(call, "moved"), 0);
    }
    test_call_free(call);
    test_values_free(v);
    ftc_program_unload(loaded);
    ftc_graph_free(g);
    ftc_graph_free(source);
}

// A step that is not finite, and a micro-batch that is not, assign nothing.
Test(assignments, change_nothing_where_the_loss_is_not_finite, .timeout = 60) {
    static const char *const names[] = {"head.mean", "head.before", "steps", "batches", "activity", "both"};
    ftc_graph *source = state_model(), *g = updating(source, FTC_ENTRY_STEP);
    ftc_loaded_program *loaded = test_compile(source, &(ftc_compile_options){0});
    test_values *v = test_values_new(g, 3);
    test_call *call = test_call_new(ftc_program_of(loaded), g, v, 2);
    for (int i = 0; i < 5 * 8; i++) tensor(call, "head")[i] = NAN;
    static const ftc_entry_kind calls[] = {FTC_ENTRY_STEP, FTC_ENTRY_GRAD, FTC_ENTRY_UPDATE};
    for (int c = 0; c < 3; c++) {
        test_call_run(call, calls[c]);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            expect_cells(cells_of(g, v, names[i]), tensor(call, names[i]), names[i][0] == 'a' ? 8 : 5,
                         names[i], ftc_entry_name(calls[c]));
    }
    test_call_free(call);
    test_values_free(v);
    ftc_program_unload(loaded);
    ftc_graph_free(g);
    ftc_graph_free(source);
}

// Rows of a table may be left for later only where no entry reads them as they lie there.
Test(assignments, of_any_entry_are_readers_of_a_table, .timeout = 60) {
    static const struct {
        const char *text;
        bool waits;
    } cases[] = {{"", true},
                 {"assign(table, copy)\n", false},
                 {"assign(table, copy) entries(eval)\n", false},
                 {"assign(updated(table), copy) entries(eval)\n", false},
                 {"output whole = table entries(eval)\n", false},
                 {"assign(copy + sum(x; B), copy) each micro_batch\n", true},
                 {"assign(copy + table * sum(x; B, V, H), copy) each micro_batch\n", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[800];
        snprintf(text, sizeof text,
                 "model m\naxis B <= 4, V = 9, H = 8\ninput ids : i32[B] in V\ninput x : f32[B, V, H]\n"
                 "table = param \"table\" f32[V, H]\ncopy = param \"copy\" f32[V, H] frozen\n"
                 "y = gather(table, V, ids)\n%soutput loss = sum(y * y; B, H)\n",
                 cases[i].text);
        ftc_graph *source = parsed(text);
        for (ftc_entry_kind entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
            bool updates = FTC_ENTRIES_ONCE_A_STEP >> entry & 1;
            ftc_graph *g = updating(source, entry);
            bool waits = ftc_graph_find_decl(g, "table.touched") != FTC_NO_DECL;
            cr_expect_eq(waits, updates && cases[i].waits, "%s in %s", cases[i].text, ftc_entry_name(entry));
            ftc_graph_free(g);
        }
        ftc_graph_free(source);
    }
}

// Where the train block freezes it, nothing trains a parameter, and its new value is its value.
Test(assignments, of_a_frozen_parameter_take_its_value, .timeout = 60) {
    ftc_graph *source = parsed("model m\naxis B <= 4, H = 3\ninput x : f32[B, H]\n"
                               "w = param \"w\" f32[H]\nu = param \"u\" f32[H]\n"
                               "copy = param \"copy\" f32[H] frozen\nassign(updated(w) * 2, copy)\n"
                               "output loss = sum(x * u * w; B, H)\ntrain { freeze = \"w\" }\n");
    ftc_loaded_program *loaded = test_compile(source, &(ftc_compile_options){.check_text = true});
    test_values *v = test_values_new(source, 5);
    test_call *call = test_call_new(ftc_program_of(loaded), source, v, 1);
    test_call_run(call, FTC_ENTRY_STEP);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(tensor(call, "w")[i], (float)cells_of(source, v, "w")[i]);
        cr_expect_eq(tensor(call, "copy")[i], 2 * tensor(call, "w")[i]);
    }
    test_call_free(call);
    test_values_free(v);
    ftc_program_unload(loaded);
    ftc_graph_free(source);
}

// --- gradients ----------------------------------------------------------------------------------------

enum { MOST_TENSORS = 64 };

typedef struct {
    const test_call *call;
    const ftc_program *program;
    int times[MOST_TENSORS];    // each tensor was announced
    float *cells[MOST_TENSORS]; // what it was then
    bool unfinished;            // something was announced while another gradient was still as before the call
} announced;

static void announce(void *context, int32_t t) {
    announced *a = context;
    cr_assert(a->program->tensors[t].role == FTC_ROLE_GRADIENT && t < MOST_TENSORS);
    int64_t n;
    const float *cells = test_call_tensor(a->call, a->program->tensors[t].name, &n);
    if (!a->times[t]++)
        a->cells[t] = memcpy(malloc((size_t)n * sizeof *cells), cells, (size_t)n * sizeof *cells);
    for (int32_t i = 0; i < a->program->n_tensors; i++) {
        if (a->program->tensors[i].role != FTC_ROLE_GRADIENT) continue;
        cells = test_call_tensor(a->call, a->program->tensors[i].name, &n);
        int64_t zeros = 0;
        while (zeros < n && cells[zeros] == 0) zeros++;
        a->unfinished |= zeros == n;
    }
}

// Each that the entry writes once, with nothing to come, and some while others are still to be made.
Test(gradients, are_announced_when_they_are_complete, .timeout = 60) {
    ftc_graph *source =
        parsed("model m\naxis B <= 4\naxis S ragged B <= 9\naxis V = 20, H = 40, K = 40\n"
               "input ids : i32[B, S] in V\ny = gather(param \"table\" f32[V, H], V, ids)\n"
               "for l in 0..3 scope \"{l}\" { y = tanh(rename(linear(\"w\", y; H -> K); K -> H)) }\n"
               "u = param \"unused\" f32[H]\noutput loss = sum(y * y; B, S, H)\n");
    ftc_loaded_program *loaded = test_compile(source, &(ftc_compile_options){.check_text = true});
    const ftc_program *p = ftc_program_of(loaded);
    test_values *v = test_values_new(source, 3);
    for (int32_t threads = 1; threads <= 3; threads++) {
        test_call *call = test_call_new(p, source, v, threads);
        announced a = {.call = call, .program = p};
        test_call_tell(call, announce, &a);
        test_call_run(call, FTC_ENTRY_GRAD);
        for (int32_t i = 0; i < p->n_tensors; i++) {
            bool is_made =
                p->tensors[i].role == FTC_ROLE_GRADIENT && strcmp(p->tensors[i].name, "unused.grad");
            cr_expect_eq(a.times[i], is_made, "%s: %d times", p->tensors[i].name, a.times[i]);
            if (!a.times[i]) continue;
            int64_t n;
            const float *cells = test_call_tensor(call, p->tensors[i].name, &n);
            cr_expect_arr_eq(a.cells[i], cells, (size_t)n * sizeof *cells, "%s", p->tensors[i].name);
            free(a.cells[i]);
        }
        cr_expect(a.unfinished);
        memset(a.times, 0, sizeof a.times);
        test_call_run(call, FTC_ENTRY_UPDATE);
        for (int32_t i = 0; i < p->n_tensors; i++) cr_expect_eq(a.times[i], 0);
        test_call_free(call);
    }
    test_values_free(v);
    ftc_program_unload(loaded);
    ftc_graph_free(source);
}
