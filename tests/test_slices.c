// The update of a parameter that several processes share: each makes the new values of its rows.
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "ir/base/alloc.h"
#include "ir/lang/parse.h"
#include "tests/call_program.h"
#include "tests/random_graph.h"

// A table, matrices of 10 rows, of one, and of 7 columns in two axes, and what has one dimension.
static const char MODEL[] = "model m\n"
                            "axis B <= 4, V = 9, H = 6, A = 2, D = 5, C = 1\n"
                            "input ids : i32[B] in V\n"
                            "x = embedding(\"words\", ids; V -> H)\n"
                            "y = tanh(linear(\"first\", x; H -> A, D))\n"
                            "z = tanh(linear(\"second\", y; A, D -> H))\n"
                            "w = linear(\"third\", x + z; H -> C)\n"
                            "output loss = sum(w * w; B, C)\n"
                            "train { optimizer = \"%s\" }\n";

static ftc_loaded_program *compiled(const char *optimizer, ftc_graph **source) {
    char text[1000];
    snprintf(text, sizeof text, MODEL, optimizer);
    ftc_diagnostics d = {0};
    *source = ftc_parse_text("model", text, NULL, &d);
    cr_assert(*source, "%s", d.count ? d.list[0].text : "");
    return test_compile(*source, &(ftc_compile_options){.check_text = true});
}

// --- which --------------------------------------------------------------------------------------------

Test(slices, are_cut_where_each_row_stays_with_itself) {
    static const struct {
        const char *optimizer, *sliced; // parameters
    } cases[] = {
        {"adamw", " first.weight second.weight third.weight"},
        {"sgd", " words.weight first.weight second.weight third.weight"}, // by which no row may wait
        {"adafactor", ""}, // its state holds sums over the rows
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ftc_graph *source;
        ftc_loaded_program *loaded = compiled(cases[i].optimizer, &source);
        const ftc_program *p = ftc_program_of(loaded);
        char sliced[200] = "";
        for (int32_t k = 0; k < p->n_tensors; k++)
            if (p->tensors[k].is_sliced) strcat(strcat(sliced, " "), p->tensors[k].name);
        cr_expect_str_eq(sliced, cases[i].sliced, "%s: %s", cases[i].optimizer, sliced);
        ftc_program_unload(loaded);
        ftc_graph_free(source);
    }
}

// State that is read under other names of its axes is read at rows that others have.
static const char TURNED[] = "model m\n"
                             "axis B <= 4, H = 6\n"
                             "axis K = H, T = H\n"
                             "optimizer turned(p, g, rate, decay) {\n"
                             "    state m like p\n"
                             "    assign(m + g, m)\n"
                             "    assign(p - rate * rename(dot(rename(m; H -> T), m; K); T -> K), p)\n"
                             "}\n"
                             "input x : f32[B, H]\n"
                             "y = dot(x, param \"w\" f32[H, K]; H)\n"
                             "output loss = sum(y * y; B, K)\n"
                             "train { optimizer = turned }\n";

Test(slices, are_not_cut_where_rows_are_columns) {
    ftc_diagnostics d = {0};
    ftc_graph *source = ftc_parse_text("model", TURNED, NULL, &d);
    cr_assert(source, "%s", d.count ? d.list[0].text : "");
    ftc_loaded_program *loaded = test_compile(source, &(ftc_compile_options){0});
    const ftc_program *p = ftc_program_of(loaded);
    for (int32_t k = 0; k < p->n_tensors; k++)
        cr_expect_eq(p->tensors[k].is_sliced, 0, "%s", p->tensors[k].name);
    ftc_program_unload(loaded);
    ftc_graph_free(source);
}

// --- together -----------------------------------------------------------------------------------------

enum { SLICES = 3, STEPS = 3, SLICED = 3, MOST_TENSORS = 32 };

// Processes, played by threads.
typedef struct {
    pthread_barrier_t meet;
    char *values[SLICES]; // what each is bringing together
} meeting;

typedef struct {
    meeting *with;
    ftc_slice slice;
    const ftc_program *program;
    test_call *call;
    char *late[MOST_TENSORS]; // of a parameter: values that come once it is awaited; NULL: they are there
    int gathered, waits, awaited;
} process;

// The parameter that has these values; -1: none.
static int32_t parameter_of(const process *p, const void *values) {
    int64_t n;
    for (int32_t i = 0; i < p->program->n_tensors; i++)
        if (p->program->tensors[i].role == FTC_ROLE_PARAM &&
            test_call_tensor(p->call, p->program->tensors[i].name, &n) == values)
            return i;
    return -1;
}

static void gather(void *context, void *values, int64_t rows, int64_t row_bytes) {
    process *p = context;
    meeting *with = p->with;
    p->waits += !values; // it is all there
    if (!values) return;
    with->values[p->slice.index] = values;
    pthread_barrier_wait(&with->meet);
    for (int64_t i = 0; i < SLICES; i++) {
        ftc_slice slice = {i, SLICES};
        int64_t first = ftc_slice_first(slice, rows) * row_bytes,
                end = ftc_slice_end(slice, rows) * row_bytes;
        if (i != p->slice.index)
            memcpy((char *)values + first, with->values[i] + first, (size_t)(end - first));
    }
    pthread_barrier_wait(&with->meet);
    p->gathered++;
    int32_t parameter = parameter_of(p, values);
    if (parameter < 0) return;
    size_t bytes = (size_t)(rows * row_bytes), first = (size_t)(ftc_slice_first(p->slice, rows) * row_bytes),
           end = (size_t)(ftc_slice_end(p->slice, rows) * row_bytes);
    p->late[parameter] = memcpy(ftc_alloc(1, bytes), values, bytes);
    memset(values, 0xff, first); // NaN
    memset((char *)values + end, 0xff, bytes - end);
}

static void await(void *context, int32_t tensor) {
    process *p = context;
    if (!p->late[tensor]) return;
    int64_t n;
    float *values = (float *)test_call_tensor(p->call, p->program->tensors[tensor].name, &n);
    memcpy(values, p->late[tensor], (size_t)n * sizeof *values);
    free(p->late[tensor]);
    p->late[tensor] = NULL;
    p->awaited++;
}

static void *update(void *context) {
    process *p = context;
    test_call_run(p->call, FTC_ENTRY_UPDATE);
    return NULL;
}

// Of moments and gradients that are cut, no call may read or write rows outside of its slice.
static void spoil(const ftc_program *program, test_call *call, ftc_slice slice) {
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->of < 0 || !program->tensors[t->of].is_sliced || t->role == FTC_ROLE_PARAM) continue;
        int64_t n, first = ftc_slice_first(slice, t->dims[0]), end = ftc_slice_end(slice, t->dims[0]);
        float *values = (float *)test_call_tensor(call, t->name, &n);
        for (int64_t k = 0; k < n; k++)
            if (k / (n / t->dims[0]) < first || k / (n / t->dims[0]) >= end) values[k] = NAN;
    }
}

// The gradients' accumulators are zero.
static void clear(const ftc_program *program, test_call *call) {
    for (int32_t i = 0; i < program->n_tensors; i++) {
        int64_t n;
        float *values = (float *)test_call_tensor(call, program->tensors[i].name, &n);
        if (program->tensors[i].role == FTC_ROLE_GRADIENT) memset(values, 0, (size_t)n * sizeof *values);
    }
}

// Whether a call has what the whole update has: all parameters, its rows of moments, and no others of these.
static void compare(const ftc_program *program, const test_call *whole, const test_call *call,
                    ftc_slice slice) {
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->role != FTC_ROLE_PARAM && t->role != FTC_ROLE_MOMENT) continue;
        bool is_cut = t->role == FTC_ROLE_MOMENT && program->tensors[t->of].is_sliced;
        int64_t n, first = is_cut ? ftc_slice_first(slice, t->dims[0]) : 0;
        int64_t end = is_cut ? ftc_slice_end(slice, t->dims[0]) : t->dims[0];
        const float *expected = test_call_tensor(whole, t->name, &n),
                    *got = test_call_tensor(call, t->name, &n);
        int64_t wrong = 0;
        for (int64_t k = 0; k < n; k++) {
            int64_t row = k / (n / t->dims[0]);
            wrong +=
                row >= first && row < end ? memcmp(&got[k], &expected[k], sizeof *got) != 0 : !isnan(got[k]);
        }
        cr_expect_eq(wrong, 0, "slice %d: %lld of %lld cells of %s", (int)slice.index, (long long)wrong,
                     (long long)n, t->name);
    }
    int64_t n; // the loss of eval, which has read all parameters
    float expected = *test_call_output(whole, "loss", &n), got = *test_call_output(call, "loss", &n);
    cr_expect_eq(got, expected, "slice %d: a loss of %g, not %g", (int)slice.index, (double)got,
                 (double)expected);
}

static void check_bits(const char *optimizer) {
    ftc_graph *source;
    ftc_loaded_program *loaded = compiled(optimizer, &source);
    const ftc_program *program = ftc_program_of(loaded);
    test_values *v = test_values_new(source, 1);
    test_call *whole = test_call_new(program, source, v, 2);
    meeting with;
    pthread_barrier_init(&with.meet, NULL, SLICES);
    process p[SLICES];
    for (int i = 0; i < SLICES; i++) {
        p[i] = (process){&with, {i, SLICES}, program, .call = test_call_new(program, source, v, 2)};
        test_call_slice(p[i].call, p[i].slice, gather, await, &p[i]);
    }
    for (int step = 0; step < STEPS; step++) {
        pthread_t threads[SLICES];
        test_call_run(whole, FTC_ENTRY_GRAD);
        test_call_run(whole, FTC_ENTRY_UPDATE);
        for (int i = 0; i < SLICES; i++) {
            clear(program, p[i].call);
            test_call_run(p[i].call, FTC_ENTRY_GRAD);
            spoil(program, p[i].call, p[i].slice);
        }
        for (int i = 0; i < SLICES; i++) cr_assert_eq(pthread_create(&threads[i], NULL, update, &p[i]), 0);
        for (int i = 0; i < SLICES; i++) pthread_join(threads[i], NULL);
        if (step == 1) continue; // what is late, the next `grad` awaits
        test_call_run(whole, FTC_ENTRY_EVAL);
        for (int i = 0; i < SLICES; i++) {
            test_call_run(p[i].call, FTC_ENTRY_EVAL);
            compare(program, whole, p[i].call, p[i].slice);
        }
    }
    cr_expect_eq(p[0].gathered, STEPS * SLICED * 2, "%d gatherings", p[0].gathered); // norms and new values
    cr_expect_eq(p[0].waits, STEPS, "%d times all waited", p[0].waits);              // for the norm
    cr_expect_eq(p[0].awaited, STEPS * SLICED, "%d awaited", p[0].awaited);
    for (int i = 0; i < SLICES; i++) test_call_free(p[i].call);
    pthread_barrier_destroy(&with.meet);
    test_call_free(whole);
    test_values_free(v);
    ftc_program_unload(loaded);
    ftc_graph_free(source);
}

Test(slices, make_the_bits_of_the_whole) {
    check_bits("adamw");
    check_bits("lion");
}
