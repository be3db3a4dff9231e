// Dumps that take the place of an entry's graph (compiler/resume.h): as they are they change nothing,
// whatever stage they are of; changed, they do what they say, or are refused where they stand.
#include <criterion/criterion.h>

#include "compiler/compile.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "tests/read_model.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// --- unchanged ----------------------------------------------------------------------------------------

enum { MOST_STAGES = 32 };

typedef struct {
    char *texts[FTC_ENTRY_COUNT][MOST_STAGES]; // by pass of the table + 1; NULL: none
} stages;

static void keep_stage(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                       double seconds) {
    (void)seconds;
    stages *s = context;
    char **text = &s->texts[entry][pass ? pass - ftc_passes + 1 : 0];
    free(*text);
    *text = ftc_print_text(g);
}

// Every stage of every entry goes on to the plan that the model itself gets, at the same lines of the model;
// and every few stages to the same machine code.
static void check_all_stages(const char *name, const ftc_override *list, int n) {
    ftc_diagnostics d = {0};
    ftc_graph *source = test_read_model(name, list, n);
    stages s = {0};
    ftc_compiled own, again;
    ftc_compile_options options = {.after = keep_stage, .context = &s};
    cr_assert(ftc_compile(source, &options, &own, &d), "%s: %s", name, d.list[0].text);
    for (int stage = 0; stage <= ftc_n_passes; stage++) {
        options = (ftc_compile_options){0};
        for (int entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
            options.dumps[entry] = (ftc_dump){"dump.ir", s.texts[entry][stage]};
            ftc_graph *g = ftc_compile_plan(source, (ftc_entry_kind)entry, &options, &d);
            cr_assert_not_null(g, "%s, stage %d of %s: %s", name, stage,
                               ftc_entry_name((ftc_entry_kind)entry), d.count ? d.list[0].text : "");
            char *text = ftc_print_text(g);
            cr_assert_str_eq(text, s.texts[entry][ftc_n_passes], "%s, stage %d of %s", name, stage,
                             ftc_entry_name((ftc_entry_kind)entry));
            free(text);
            ftc_graph_free(g);
        }
        if (stage % 8 && stage < ftc_n_passes) continue;
        cr_assert(ftc_compile(source, &options, &again, &d), "%s: %s", name, d.list[0].text);
        cr_assert_eq(again.code.size, own.code.size, "%s, stage %d", name, stage);
        cr_assert_arr_eq(again.code.bytes, own.code.bytes, own.code.size, "%s, stage %d", name, stage);
        ftc_compiled_free(&again);
    }
    ftc_compiled_free(&own);
    for (int entry = 0; entry < FTC_ENTRY_COUNT; entry++)
        for (int stage = 0; stage <= ftc_n_passes; stage++) free(s.texts[entry][stage]);
    ftc_graph_free(source);
}

Test(resume, every_stage_goes_on_to_the_same_code, .timeout = 600) {
    static const ftc_override SMALL[] = {{.name = "layers", .value = "1", .origin = "the test"},
                                         {.name = "hidden", .value = "32", .origin = "the test"},
                                         {.name = "heads", .value = "2", .origin = "the test"},
                                         {.name = "intermediate", .value = "64", .origin = "the test"},
                                         {.name = "vocab", .value = "500", .origin = "the test"}};
    check_all_stages("docs/tiny.ir", NULL, 0);
    check_all_stages("models/mlp.ir", NULL, 0);
    check_all_stages("models/gru.ir", NULL, 0);
    check_all_stages("models/bert-cls.ir", SMALL, sizeof SMALL / sizeof *SMALL);
    check_all_stages("models/bert-cola.ir", SMALL, sizeof SMALL / sizeof *SMALL);
    check_all_stages("models/roberta.ir", SMALL, sizeof SMALL / sizeof *SMALL);
}

// --- changed ------------------------------------------------------------------------------------------

// The text of a stage of tiny.ir's step.
static char *stage_text(const ftc_graph *source, const char *pass) {
    ftc_diagnostics d = {0};
    stages s = {0};
    const ftc_compile_options options = {.after = keep_stage, .context = &s};
    ftc_graph *g = ftc_compile_plan(source, FTC_ENTRY_STEP, &options, &d);
    cr_assert_not_null(g);
    ftc_graph_free(g);
    int wanted = (int)(ftc_pass_find(pass) - ftc_passes) + 1;
    char *text = strdup(s.texts[FTC_ENTRY_STEP][wanted]);
    for (int stage = 0; stage <= ftc_n_passes; stage++) free(s.texts[FTC_ENTRY_STEP][stage]);
    return text;
}

// The text with the first `old` replaced; to be freed.
static char *edited(const char *text, const char *old, const char *new) {
    const char *at = strstr(text, old);
    cr_assert_not_null(at, "\"%s\" is not in:\n%s", old, text);
    char *result;
    cr_assert_geq(asprintf(&result, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)), 0);
    return result;
}

static void assert_refused(const ftc_graph *source, ftc_entry_kind entry, const char *text,
                           const char *message, bool caret) {
    ftc_diagnostics d = {0};
    ftc_compile_options options = {0};
    options.dumps[entry] = (ftc_dump){"edited.ir", text};
    ftc_graph *g = ftc_compile_plan(source, entry, &options, &d);
    cr_assert_null(g, "nobody minds: %s", message);
    cr_assert_gt(d.count, 0);
    cr_expect(strstr(d.list[0].text, message), "\"%s\" is not in:\n%s", message, d.list[0].text);
    cr_expect(strstr(d.list[0].text, "edited.ir"), "%s", d.list[0].text);
    cr_expect(!caret || strstr(d.list[0].text, " ^\n"), "no caret:\n%s", d.list[0].text);
    ftc_diag_free(&d);
}

Test(resume, wrong_edits_are_refused_where_they_stand) {
    static const struct {
        const char *pass, *old, *new, *message;
        bool caret;
    } CASES[] = {
        {"cse", "stage cse of", "stage cze of", "there is no pass cze; did you mean cse?", true},
        {"cse", "stage cse of step\n", "", "a line `stage PASS of ENTRY`", false},
        {"cse", "stage cse of step", "stage cse of grad", "this is a graph of grad, it was given for step",
         true},
        {"optimizer", "arg lr : f32 = 5e-05", "arg lr : f32 = 0.5", "the model `arg lr : f32 = 5e-05`", true},
        {"cse", "init normal(0.5)", "init zeros", "the dump has `param \"hidden\" f32[X, H] init zeros`",
         true},
        {"dce", "output loss = ", "output lost = ", "the dump has `output lost : f32", true},
        {"cse", "axis B <= 4", "axis B <= 5", "axis B is another in the model, where it has at most 4", true},
        {"cse", "tanh(", "dot(", "", true},
        {"cse", " : f32[B, H]", " : f32[B]", "the operation gives f32[B <= 4, H = 2]", true},
        {"fuse", "kernel dot2 dot rows(B) cols(H)", "kernel dot2 rows rows(B) cols(H)",
         "kernel dot2, rows over its axes, cannot compute it", true},
        {"fuse", "kernel dot2 dot rows(B) cols(H)", "kernel dot2 dot rows(H) cols(B)",
         "nothing in kernel dot2 is computed by dot over its axes", true},
        {"fuse", "}\nkernel dot2 dot rows(B) cols(H) {\n", "",
         "nothing in kernel rows1 is computed by rows over its axes", true},
        {"schedule", " barrier", "", "must wait for what others write: put `barrier`", true},
        {"plan", "memory arena 512", "memory arena 256", "the arena has 256 bytes, 512 are needed", false},
        {"plan", " @0", "", "has no place in the arena", true},
        {"plan", " @64", " @63", "its offset is not aligned", true},
        {"scalars", "sum(%18; B) : f32", "sum(%18; B) : f32 recomputed",
         "%19 = sum cannot be recomputed: only contractions, maps and the like", true},
        {"scalars", "div(%23, %21) : f32 backward", "div(%23, %21) : f32 backward stored",
         "%24 = div cannot be stored: only what the forward phase computes", true},
        {"scalars", "random(0; B, S, H) : f32[B, S, H]", "random(0; B, S, H) : f32[B, S, H] stored",
         "%6 = random cannot be stored: no later phase needs it", true},
        {"cse", " : f32[B, H]", " : f32[B, H] stored", "in a dump of just before it: --dump-after scalars",
         true},
        {"plan", " : f32[B, H]", " : f32[B, H] recomputed", "`recomputed` is asked of the pass remat", true},
        {"plan", " @64", " @0", "lies in the same place of the arena", true},
    };
    ftc_graph *source = test_read_model("docs/tiny.ir", NULL, 0);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = stage_text(source, CASES[i].pass), *wrong = edited(text, CASES[i].old, CASES[i].new);
        assert_refused(source, FTC_ENTRY_STEP, wrong, CASES[i].message, CASES[i].caret);
        free(wrong);
        free(text);
    }
    ftc_graph_free(source);
}

// What a recurrence is computed by stays as it is.
Test(resume, recurrences_stay_position_by_position) {
    static const struct {
        const char *pass, *old, *new, *message;
    } CASES[] = {
        {"fuse", "block(S, 1)", "block(S, 16)", "position by position: its block has size 1"},
        {"fuse", "tile rows(B) cols() block(S, 1)", "rows rows(B, S) cols(H)",
         "no kernel of the model computes a recurrence as scan3 does"},
        {"cse", " = scan(", " = add(", "no scan says what the state is"},
    };
    ftc_graph *source = test_read_model("models/gru.ir", NULL, 0);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = stage_text(source, CASES[i].pass), *wrong = edited(text, CASES[i].old, CASES[i].new);
        assert_refused(source, FTC_ENTRY_STEP, wrong, CASES[i].message, true);
        free(wrong);
        free(text);
    }
    ftc_graph_free(source);
}

// A barrier more than is needed costs time and is no fault, nor is what comes behind a product in a kernel of
// its own; another function is another model.
Test(resume, right_edits_stay) {
    static const struct {
        const char *pass, *old, *new, *shown;
    } CASES[] = {{"schedule", ") {\n", ") barrier {\n", ") barrier {\n"},
                 {"fuse", "    %24 = tanh(", "}\nkernel own rows rows(B) cols(H) {\n    %24 = tanh(",
                  "kernel own rows rows(B) cols(H) barrier {"},
                 {"scalars", " = dot(%3, %2; X) : f32[B, H]", " = dot(%3, %2; X) : f32[B, H] recomputed",
                  "; X) : f32[B, H] recompute "},
                 {"scalars", " = tanh(%4) : f32[B, H]", " = tanh(%4) : f32[B, H] recomputed",
                  ") : f32[B, H] recompute "},
                 {"cse", " = tanh(", " = erf(", " = erf("}};
    ftc_graph *source = test_read_model("docs/tiny.ir", NULL, 0);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ftc_diagnostics d = {0};
        char *text = stage_text(source, CASES[i].pass), *changed = edited(text, CASES[i].old, CASES[i].new);
        ftc_compile_options options = {0};
        options.dumps[FTC_ENTRY_STEP] = (ftc_dump){"edited.ir", changed};
        ftc_graph *g = ftc_compile_plan(source, FTC_ENTRY_STEP, &options, &d);
        cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
        char *plan = ftc_print_text(g);
        cr_expect(strstr(plan, CASES[i].shown), "\"%s\" is not in:\n%s", CASES[i].shown, plan);
        free(plan);
        free(changed);
        free(text);
        ftc_graph_free(g);
    }
    ftc_graph_free(source);
}

// --- at random ----------------------------------------------------------------------------------------

static uint64_t drawn(uint64_t *state, uint64_t below) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

// The text with something changed: a line taken out, doubled or moved, asked to be stored or recomputed, or a
// word replaced by one from another place. To be freed.
static char *disturbed(const char *text, uint64_t *state) {
    size_t n = strlen(text), n_lines = 0, n_words = 0;
    const char **lines = calloc(n + 1, sizeof *lines), **words = calloc(n + 1, sizeof *words);
    char *result = NULL;
    for (const char *p = text; *p; p++) {
        if (p == text || p[-1] == '\n') lines[n_lines++] = p;
        if (isalnum((unsigned char)*p) && (p == text || !isalnum((unsigned char)p[-1]))) words[n_words++] = p;
    }
    const char *line = lines[drawn(state, n_lines)], *other = lines[drawn(state, n_lines)];
    const char *word = words[drawn(state, n_words)], *source = words[drawn(state, n_words)];
    int length = (int)strcspn(line, "\n") + 1, in_word = 0, in_source = 0, written = -1;
    while (isalnum((unsigned char)word[in_word])) in_word++;
    while (isalnum((unsigned char)source[in_source])) in_source++;
    static const char *const KEPT[] = {" stored", " recomputed"};
    switch (drawn(state, 5)) {
    case 0: written = asprintf(&result, "%.*s%s", (int)(line - text), text, line + length); break;
    case 1: written = asprintf(&result, "%.*s%.*s%s", (int)(other - text), text, length, line, other); break;
    case 2: // at the end of the line
        written = asprintf(&result, "%.*s%s%s", (int)(line + length - 1 - text), text, KEPT[drawn(state, 2)],
                           line + length - 1);
        break;
    default:
        written =
            asprintf(&result, "%.*s%.*s%s", (int)(word - text), text, in_source, source, word + in_word);
    }
    cr_assert_geq(written, 0);
    free(lines);
    free(words);
    return result;
}

// Whatever is done to a dump, it is compiled or refused: nothing crashes.
static void disturb(const char *model, int edits) {
    static const char *const PASSES[] = {"fuse", "plan", "layout", "scalars", "cse", "shrink"};
    enum { N_PASSES = sizeof PASSES / sizeof *PASSES };
    ftc_graph *source = test_read_model(model, NULL, 0);
    uint64_t state = 20;
    int compiled_at_all = 0;
    for (size_t p = 0; p < N_PASSES; p++) {
        char *text = stage_text(source, PASSES[p]);
        for (int i = 0; i < edits; i++) {
            ftc_diagnostics d = {0};
            ftc_compiled compiled;
            char *changed = disturbed(text, &state);
            ftc_compile_options options = {.entries = 1u << FTC_ENTRY_STEP};
            options.dumps[FTC_ENTRY_STEP] = (ftc_dump){"edited.ir", changed};
            bool ok = ftc_compile(source, &options, &compiled, &d);
            cr_assert(ok || d.count, "refused without a word:\n%s", changed);
            for (int k = 0; k < d.count && k < FTC_MAX_DIAGNOSTICS; k++)
                cr_assert(!strstr(d.list[k].text, "internal error"), "%s\n%s", d.list[k].text, changed);
            if (ok) ftc_compiled_free(&compiled);
            compiled_at_all += ok;
            ftc_diag_free(&d);
            free(changed);
        }
        free(text);
    }
    cr_expect(compiled_at_all > 0 && compiled_at_all < N_PASSES * edits, "%d", compiled_at_all);
    ftc_graph_free(source);
}

Test(resume, any_edit_is_compiled_or_refused, .timeout = 600) {
    disturb("docs/tiny.ir", 60);
}

Test(resume, any_edit_of_a_recurrence_is_compiled_or_refused, .timeout = 600) {
    disturb("models/gru.ir", 20);
}
