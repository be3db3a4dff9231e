// An optimizer of the model's own: its text is used, its state is named and kept, what is wrong in it is
// shown where it stands; and whether a table's untouched rows may wait follows from the text.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/passes/passes.h"
#include "ir/interpret.h"
#include "ir/lang/parse.h"
#include "ir/op.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/paths.h"

static const char MODEL[] = "model own\naxis B = 2, H = 3, V = 4\ninput ids : i32[B] in V\n"
                            "x = gather(param \"table\" f32[V, H], V, ids) * param \"scale\" f32[H]\n"
                            "output loss = mean(sum(x * x; H); B)\n";

// The model with some more text.
static ftc_graph *parse(const char *more, ftc_diagnostics *d) {
    char *text;
    cr_assert(asprintf(&text, "%s%s\n", MODEL, more) > 0);
    ftc_graph *g = ftc_parse_text("own.ir", text, NULL, d);
    free(text);
    return g;
}

// Its graph with the update; NULL after diagnostics.
static ftc_graph *with_update(const char *more, ftc_entry_kind entry, ftc_diagnostics *d) {
    ftc_graph *source = parse(more, d), *g = source ? ftc_compile_entry_graph(source, entry) : NULL;
    if (source) ftc_graph_free(source);
    ftc_pass_options options = {.entry = entry};
    if (g && ftc_pass_differentiate(g, &options, d) && ftc_pass_optimizer(g, &options, d)) {
        cr_assert(ftc_verify_graph(g, d), "%s", d->list[0].text);
        return g;
    }
    if (g) ftc_graph_free(g);
    return NULL;
}

// --- use ----------------------------------------------------------------------------------------------

// The example of docs/language.md.
static char *example(void) {
    char *path = test_join(FTC_SOURCE_ROOT, "docs/language.md"), *text = NULL;
    size_t size;
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    cr_assert(getdelim(&text, &size, 0, f) > 0);
    fclose(f);
    free(path);
    char *start = strstr(text, "\noptimizer signum("), *end = start ? strstr(start, "\n```") : NULL;
    cr_assert(end, "docs/language.md has no such example");
    char *block = strndup(start + 1, (size_t)(end - start));
    free(text);
    return block;
}

enum { MOST_DECLS = 32, MOST_CELLS = 12 };

typedef struct {
    ftc_graph *g;
    double cells[MOST_DECLS][MOST_CELLS], *tensors[MOST_DECLS];
} values;

static double *cells(values *v, const char *name) {
    ftc_decl decl = ftc_graph_find_decl(v->g, name);
    cr_assert_neq(decl, FTC_NO_DECL, "%s", name);
    return v->cells[decl];
}

static double sign(double x) {
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}

// Three steps of it, by the interpreter and by hand.
Test(own_optimizer, does_what_its_text_says) {
    static const int64_t extents[16] = {0};
    ftc_diagnostics d = {0};
    char *text = example(), *more;
    cr_assert(asprintf(&more,
                       "%sfn learning_rate() {\n arg lr : f32 = 0.5\n return lr / step\n}\n"
                       "train { optimizer = sign_momentum momentum = 0.75 }\n",
                       text) > 0);
    values v = {.g = with_update(more, FTC_ENTRY_STEP, &d)};
    cr_assert_not_null(v.g, "%s", d.count ? d.list[0].text : "");
    cr_assert_leq(v.g->n_decls, MOST_DECLS);
    for (uint32_t i = 0; i < v.g->n_decls; i++) {
        v.tensors[i] = v.cells[i];
        v.cells[i][0] = v.g->decls[i].value;
    }
    double scale[] = {1, -2, 0.5}, average[3] = {0}, *table = cells(&v, "table");
    memcpy(cells(&v, "scale"), scale, sizeof scale);
    cells(&v, "ids")[1] = 2;
    for (int i = 0; i < MOST_CELLS; i++) table[i] = sin(i + 1), cells(&v, "table.touched")[i % 4] = 1;
    for (uint32_t step = 1; step <= 3; step++) {
        double g[3] = {0}, rate = 0.5 / step;
        for (int h = 0; h < 3; h++) g[h] = (table[h] * table[h] + table[6 + h] * table[6 + h]) * scale[h];
        ftc_bindings b = {.extents = extents, .tensors = v.tensors, .step = step};
        ftc_interp *in = ftc_interp_new(v.g, &b);
        ftc_interp_run(in);
        ftc_interp_free(in);
        for (int h = 0; h < 3; h++) {
            average[h] = 0.75 * average[h] + 0.25 * g[h];
            scale[h] = scale[h] * (1 - rate * 0.1) - rate * sign(average[h]);
            cr_expect_float_eq(cells(&v, "scale.average")[h], average[h], 1e-12);
            cr_expect_float_eq(cells(&v, "scale")[h], scale[h], 1e-12);
        }
    }
    cr_expect_eq(v.g->decls[ftc_graph_find_decl(v.g, "table.average")].of, ftc_graph_find_decl(v.g, "table"));
    cr_expect_null(v.g->functions);
    ftc_graph_free(v.g);
    free(more);
    free(text);
}

// By any of its names, whatever the library has under them.
Test(own_optimizer, goes_before_the_librarys) {
    static const char body[] =
        "(p, g, rate, decay) { state mine like p\n assign(p - rate * g, p) assign(g, mine) }\n";
    static const char *const heads[][2] = {{"optimizer adamw", ""},
                                           {"optimizer lion", "train { optimizer = lion }"},
                                           {"optimizer x", "train { optimizer = x }"}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        ftc_diagnostics d = {0};
        char more[300];
        snprintf(more, sizeof more, "%s%s%s", heads[i][0], body, heads[i][1]);
        ftc_graph *g = with_update(more, FTC_ENTRY_STEP, &d);
        cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
        cr_expect_neq(ftc_graph_find_decl(g, "scale.mine"), FTC_NO_DECL);
        cr_expect_eq(ftc_graph_find_decl(g, "scale.exp_avg"), FTC_NO_DECL);
        ftc_graph_free(g);
    }
}

// Where it takes no weight decay, the program has no argument to set in vain.
Test(own_optimizer, takes_no_more_than_it_says) {
    static const char *const parameters[] = {"p, g, rate", "p, g, rate, decay"};
    for (int takes_decay = 0; takes_decay < 2; takes_decay++) {
        ftc_diagnostics d = {0};
        char more[200];
        snprintf(more, sizeof more, "optimizer adamw(%s) { assign(p - rate * g, p) }",
                 parameters[takes_decay]);
        ftc_graph *g = with_update(more, FTC_ENTRY_STEP, &d);
        cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
        cr_expect_neq(ftc_graph_find_decl(g, "lr"), FTC_NO_DECL);
        cr_expect_eq(ftc_graph_find_decl(g, "weight_decay") != FTC_NO_DECL, takes_decay);
        ftc_graph_free(g);
    }
}

// Up to the pass, a dump has the text and compiles to the same update.
Test(own_optimizer, is_in_dumps_until_it_is_used) {
    ftc_diagnostics d = {0};
    char *more = example(), why[300];
    ftc_graph *g = parse(more, &d), *again, *full, *second;
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    char *text = ftc_print_text(g);
    again = ftc_parse_text("dump.ir", text, NULL, &d);
    cr_assert_not_null(again, "%s", d.count ? d.list[0].text : "");
    cr_expect(ftc_graph_equal(g, again, why, sizeof why), "%s", why);
    ftc_pass_options options = {.entry = FTC_ENTRY_STEP};
    full = ftc_compile_entry_graph(g, FTC_ENTRY_STEP);
    second = ftc_compile_entry_graph(again, FTC_ENTRY_STEP);
    cr_assert(ftc_pass_differentiate(full, &options, &d) && ftc_pass_optimizer(full, &options, &d));
    cr_assert(ftc_pass_differentiate(second, &options, &d) && ftc_pass_optimizer(second, &options, &d));
    cr_expect(ftc_graph_equal(full, second, why, sizeof why), "%s", why);
    again->functions = NULL;
    cr_expect(!ftc_graph_equal(g, again, why, sizeof why));
    ftc_graph *const all[] = {g, again, full, second};
    for (int i = 0; i < 4; i++) ftc_graph_free(all[i]);
    free(text);
    free(more);
}

// --- what is wrong ------------------------------------------------------------------------------------

Test(own_optimizer, errors_are_shown_where_they_stand) {
    static const struct {
        const char *more, *message;
        int line; // after the model
    } wrong[] = {
        {"fn adamw(p, g) {\n}\n", "a function is no optimizer, and 'adamw' would be the library's", 1},
        {"\noptimizer x(p) {\n}\n", "an optimizer takes 2 to 4 parameters", 2},
        {"optimizer x(p, g = 1, rate = 2, decay = 3) {\n}\n", "only the fourth parameter has a default", 1},
        {"optimizer x(p, g) also y {\n}\n", "expected another name in quotes, not 'y'", 1},
        {"optimizer x(p, g) {\n}\noptimizer x(p, g) {\n}\n", "there is an optimizer 'x' already", 3},
        {"optimizer adamw(p, g) {\n state a\n}\n", "expected like PARAMETER", 2},
        {"optimizer adamw(p, g) {\n state a over cells of p\n}\n", "expected rows or columns", 2},
        {"optimizer adamw(p, g) {\n state a like g\n}\n", "a state belongs to the optimizer's parameter", 2},
        {"optimizer adamw(p, g) {\n state a over rows of p\n assign(g, p)\n}\n", "\"scale\" is no matrix", 2},
        {"optimizer adamw(p, g) {\n state a like p\n\n state a like p\n}\n", "is declared already", 4},
        {"optimizer adamw(p, g) {\n state grad like p\n}\n", "is declared already", 2},
        {"optimizer adamw(p, g) {\n state a like p\n assign(g, a)\n}\n", "gives table no new value", 1},
        {"optimizer adamw(p, g) {\n assign(p - rat * g, p)\n}\n", "unknown name 'rat'", 2},
        {"optimizer adamw(p, g) {\n assign(sum(g; axes(g)), p)\n}\n", "is f32[", 2},
        {"optimizer adamw(p, g, rate, decay = rat) {\n}\n", "unknown name 'rat'", 1},
        {"fn learning_rate(p) {\n return 1\n}\n", "is called by the optimizer's pass, with 0 arguments", 1},
        {"state a like x\n", "`state` stands in an optimizer", 1},
        {"train { optimizer = signun }\noptimizer signum(p, g) {\n}\n",
         "did you mean 'signum'; there are signum, adamw", 0},
        {"train { group = \"scale: weight_decay=0.1\" optimizer = x }\noptimizer x(p, g, rate) {\n assign(p "
         "- rate * g, p)\n}\n",
         "the weight_decay of scale changes nothing: the optimizer x takes none", 0},
        {"train { group = \"scale: lr=2x\" optimizer = x }\noptimizer x(p, g, r, d) {\n assign(p - d * g, "
         "p)\n}\n",
         "the lr of scale changes nothing: the optimizer x takes none", 0},
    };
    int first = 0;
    for (const char *c = MODEL; *c; c++) first += *c == '\n';
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ftc_diagnostics d = {0};
        ftc_graph *g = with_update(wrong[i].more, FTC_ENTRY_STEP, &d);
        cr_expect_null(g, "%s", wrong[i].more);
        cr_assert_geq(d.count, 1);
        char place[32];
        snprintf(place, sizeof place, "own.ir:%d:", first + wrong[i].line);
        cr_expect_not_null(strstr(d.list[0].text, wrong[i].message), "%s\n%s", wrong[i].more, d.list[0].text);
        cr_expect(!wrong[i].line || !strncmp(d.list[0].text, place, strlen(place)), "%s: %s", place,
                  d.list[0].text);
        ftc_diag_free(&d);
    }
}

// Who takes neither rate nor decay has no arguments that change nothing: a run tells of them then.
Test(own_optimizer, asks_for_what_it_takes) {
    static const struct {
        const char *parameters;
        bool rate, decay;
    } cases[] = {{"p, g", false, false}, {"p, g, rate", true, false}, {"p, g, rate, decay", true, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ftc_diagnostics d = {0};
        char *more;
        cr_assert(asprintf(&more, "optimizer adamw(%s) { assign(p - g, p) }", cases[i].parameters) > 0);
        ftc_graph *g = with_update(more, FTC_ENTRY_STEP, &d);
        cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
        cr_expect_eq(ftc_graph_find_decl(g, "lr") != FTC_NO_DECL, cases[i].rate, "%s", more);
        cr_expect_eq(ftc_graph_find_decl(g, "weight_decay") != FTC_NO_DECL, cases[i].decay, "%s", more);
        ftc_graph_free(g);
        free(more);
    }
}

// --- untouched rows -----------------------------------------------------------------------------------

// Tables of these optimizers leave rows that no gradient has reached for later, or do not.
Test(own_optimizer, what_waits_is_derived_from_the_text) {
    static const struct {
        const char *more;
        bool waits;
    } cases[] = {
        {"train { optimizer = adamw }", true},
        {"train { optimizer = lion }", true},
        {"train { optimizer = adam }", false},       // the decay is part of the gradient
        {"train { optimizer = adam_keras }", false}, // p - p * decay * rate: not the bits of a product
        {"train { optimizer = sgd }", false},
        {"train { optimizer = adafactor }", false},
        {"optimizer adamw(p, g, rate) { assign(p - rate * g, p) }", true}, // by 1
        {"optimizer adamw(p, g, rate) { assign(p * 0.5 - rate * g, p) }", true},
        {"optimizer adamw(p, g, rate) { assign((p - g) * (1 - rate / step), p) }", true},
        {"optimizer adamw(p, g, rate) { assign(p - rate * g - 0.1, p) }", false},
        {"optimizer adamw(p, g, rate) { assign(p * p - rate * g, p) }", false},
        {"optimizer adamw(p, g, rate) { state a like p\n assign(p - rate * a, p) assign(a * 0.5 + g, a) }",
         true},
        {"optimizer adamw(p, g, rate) { state a like p\n assign(p - rate * a, p) assign(a + 1, a) }", false},
        {"optimizer adamw(p, g, rate) { state a like p\n assign(p - rate * a, p) assign(p, a) }", false},
        // not cell by cell: a row without a gradient sees those of others
        {"optimizer adamw(p, g, rate) { assign(p * (1 - sum(g * g; axes(g))), p) }", false},
        {"optimizer adamw(p, g, rate) { if dims(p) == 2 { state a over columns of p\n assign(a * 1, a) }\n"
         "assign(p - rate * g, p) }",
         false},
        {"optimizer adamw(p, g, rate) { if dims(p) == 2 { state a over rows of p\n assign(a * 1, a) }\n"
         "assign(p - rate * g, p) }",
         true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 2; k++) {
            ftc_diagnostics d = {0};
            ftc_graph *g = with_update(cases[i].more, k ? FTC_ENTRY_UPDATE : FTC_ENTRY_STEP, &d);
            cr_assert_not_null(g, "%s: %s", cases[i].more, d.count ? d.list[0].text : "");
            bool waits = ftc_graph_find_decl(g, "table.touched") != FTC_NO_DECL;
            cr_expect_eq(waits, cases[i].waits, "%s", cases[i].more);
            cr_expect_eq(ftc_graph_find_decl(g, "scale.touched"), FTC_NO_DECL);
            ftc_graph_free(g);
        }
}
