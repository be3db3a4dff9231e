// Parser, elaborator and printer: the models, texts that say everything, diagnostics, and texts made of
// noise. With FTC_UPDATE_GOLDEN set, expected texts are written instead of compared.
#include <dirent.h>
#include <math.h>
#include <string.h>

#include "ir/base/clock.h"
#include "ir/op.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/paths.h"

static char *read_text(const char *path) {
    ftc_diagnostics d = {0};
    char *text = ftc_parse_read(path, &d);
    cr_assert_not_null(text, "%s", d.count ? d.list[0].text : path);
    return text;
}

// Compares with a golden file, or writes it.
static void expect_golden(const char *path, const char *got) {
    if (getenv("FTC_UPDATE_GOLDEN")) {
        FILE *f = fopen(path, "w");
        cr_assert_not_null(f, "%s", path);
        fputs(got, f);
        fclose(f);
        return;
    }
    char *expected = read_text(path);
    cr_expect_str_eq(got, expected, "%s: expected\n%s\ngot\n%s", path, expected, got);
    free(expected);
}

static ftc_graph *parse(const char *path, const ftc_override *overrides, int n) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_file(path, &(ftc_settings){overrides, n}, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : path);
    cr_assert(ftc_verify_graph(g, &d), "%s", d.count ? d.list[0].text : "");
    return g;
}

// print → parse → compare.
static void expect_round_trip(const ftc_graph *g) {
    char *text = ftc_print_text(g), why[512];
    ftc_diagnostics d = {0};
    ftc_graph *again = ftc_parse_text("printed", text, NULL, &d);
    cr_assert_not_null(again, "%s", d.count ? d.list[0].text : "");
    cr_expect(ftc_graph_equal(g, again, why, sizeof why), "%s", why);
    ftc_graph_free(again);
    free(text);
}

#define MODEL(name) (FTC_SOURCE_ROOT "/models/" name)

// Values have up to eight axes, though a stored tensor has at most four dimensions.
Test(language, values_of_many_axes_survive_their_text) {
    static const char text[] = "model wide\naxis B <= 4\naxis H = 2, I = 3, J = 2, K = 3, L = 2\n"
                               "input x : f32[B, H, I]\ninput y : f32[J, K, L]\n"
                               "output all = outer mul(x, y)\n";
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("wide", text, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    cr_assert_eq(g->nodes[g->outputs[0].node].type.axes.n, 6);
    expect_round_trip(g);
    ftc_graph_free(g);
}

// --- models -------------------------------------------------------------------------------------------

// Parameters of a shared scope are those of a model that keeps them in variables.
Test(language, shared_scopes_declare_parameters_once) {
    static const char
        head[] = "model shared\naxis B <= 4\naxis H = 8, K = 8\ninput x : f32[B, H]\ny = x\n",
        shared[] = "for l in 0..3 shared scope \"layer\" { y = rename(linear(\"w\", y; H -> K); K -> H) }\n",
        kept[] = "W = param \"layer.w.weight\" f32[K, H]\nb = param \"layer.w.bias\" f32[K] init zeros\n"
                 "for l in 0..3 { y = rename(dot(y, W; H) + b; K -> H) }\n";
    const char *const bodies[] = {shared, kept};
    ftc_graph *g[2];
    for (int i = 0; i < 2; i++) {
        char text[1000];
        ftc_diagnostics d = {0};
        snprintf(text, sizeof text, "%s%soutput loss = sum(y; B, H)\n", head, bodies[i]);
        g[i] = ftc_parse_text("shared", text, NULL, &d);
        cr_assert_not_null(g[i], "%s", d.count ? d.list[0].text : "");
        expect_round_trip(g[i]);
    }
    char why[512];
    cr_expect(ftc_graph_equal(g[0], g[1], why, sizeof why), "%s", why);
    cr_expect_eq(g[0]->n_decls, 3);
    ftc_graph_free(g[0]);
    ftc_graph_free(g[1]);
}

// One axis may stand for two names of a group: both parts of concat have it.
Test(language, one_axis_stands_for_two_names) {
    static const char text[] = "model twice\naxis B <= 4\naxis H = 3, C = 6\ninput x : f32[B, H]\n"
                               "output y = concat(x, 2 * x; H, H -> C)\n";
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("twice", text, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    cr_expect_eq(g->nodes[g->outputs[0].node].type.axes.n, 2);
    expect_round_trip(g);
    ftc_graph_free(g);
}

// What the library computes does not change with the names of a model's functions.
Test(language, names_of_a_model_do_not_reach_into_the_library) {
    static const char head[] = "model own\naxis B <= 4\naxis H = 3\ninput x : f32[B, H]\n",
                      own[] = "fn mean(x; A) { return max(x; A) }\nfn softmax(x) { return x }\n",
                      use[] = "y = layernorm(\"norm\", x; H)\noutput y\n";
    ftc_graph *g[2];
    char why[512];
    for (int i = 0; i < 2; i++) {
        char text[500];
        ftc_diagnostics d = {0};
        snprintf(text, sizeof text, "%s%s%s", head, i ? own : "", use);
        g[i] = ftc_parse_text("own", text, NULL, &d);
        cr_assert_not_null(g[i], "%s", d.count ? d.list[0].text : "");
    }
    cr_expect(ftc_graph_equal(g[0], g[1], why, sizeof why), "%s", why);
    ftc_graph_free(g[0]);
    ftc_graph_free(g[1]);
}

// Some editors begin a file with a byte order mark.
Test(language, a_byte_order_mark_is_no_text) {
    static const char text[] = "\xef\xbb\xbfmodel m\noutput y = 1\n";
    char *folder = test_directory(), *path = test_write(folder, "m.ir", text, strlen(text));
    ftc_graph *g = parse(path, NULL, 0);
    cr_expect_str_eq(g->model, "m");
    ftc_graph_free(g);
    remove(path);
    remove(folder);
    free(path);
    free(folder);
}

Test(language, models_survive_their_text) {
    static const ftc_override large[] = {{"layers", "12", "--set", FTC_OVERRIDE_CONFIG},
                                         {"hidden", "768", "--set", FTC_OVERRIDE_CONFIG}},
                              regression[] = {{"num_labels", "1", "config.json", FTC_OVERRIDE_OPTIONAL}},
                              relu[] = {{"hidden_act", "relu", "config.json", FTC_OVERRIDE_OPTIONAL}};
    ftc_graph *graphs[] = {parse(MODEL("bert-cls.ir"), NULL, 0), parse(MODEL("bert-cls.ir"), large, 2),
                           parse(MODEL("bert-cls.ir"), regression, 1), parse(MODEL("bert-cls.ir"), relu, 1),
                           parse(MODEL("mlp.ir"), NULL, 0)};
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        expect_round_trip(graphs[i]);
        ftc_graph_free(graphs[i]);
    }
}

Test(language, bert_has_the_tensors_of_hugging_face) {
    ftc_graph *g = parse(MODEL("bert-cls.ir"), NULL, 0);
    char *path = test_golden("language/bert-names.txt"), name[200];
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    uint32_t expected = 0, params = 0;
    while (fscanf(f, "%199s", name) == 1) {
        ftc_decl decl = ftc_graph_find_decl(g, name);
        cr_assert_neq(decl, FTC_NO_DECL, "%s is missing", name);
        const ftc_decl_def *param = &g->decls[decl];
        for (int i = 0; i < param->n_dims; i++) {
            int64_t size = 1;
            long long dim = 0;
            for (int j = 0; j < param->dims[i].n; j++)
                size *= ftc_axis_extent(g, param->dims[i].at[j])->bound;
            cr_expect(fscanf(f, "%lld", &dim) == 1 && dim == size, "%s: dimension %d is %lld, not %lld", name,
                      i, (long long)size, dim);
        }
        expected++;
    }
    for (uint32_t i = 0; i < g->n_decls; i++) params += g->decls[i].kind == FTC_DECL_PARAM;
    cr_expect_eq(params, expected);
    fclose(f);
    free(path);
    ftc_graph_free(g);
}

// --- dumps --------------------------------------------------------------------------------------------

// The flat form of a model, and a text that uses every part of the grammar of dumps.
Test(language, printed_form_is_stable) {
    char *path = test_golden("language/mlp.flat.ir");
    ftc_graph *g = parse(MODEL("mlp.ir"), NULL, 0);
    char *text = ftc_print_text(g);
    expect_golden(path, text);
    free(text);
    free(path);
    ftc_graph_free(g);

    path = test_golden("language/everything.ir");
    char *expected = read_text(path);
    ftc_diagnostics d = {0};
    g = ftc_parse_text("everything.ir", expected, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    text = ftc_print_text(g);
    cr_expect_str_eq(text, expected, "%s", text);
    free(text);
    free(expected);
    free(path);
    ftc_graph_free(g);
}

static const char *const CHANGES[][2] = {
    {"model everything", "model other"},
    {"hidden = 8 ", "hidden = 9 "},
    {"\"hidden_size\"", "\"size\""},
    {"rate = 2.0", "rate = 2"},
    {"0x1.5555555555555p-2\n", "0x1.5555555555556p-2\n"},
    {"{c}\\n", "{c}\\t"},
    {" as batch", ""},
    {"as task", "as text_pooling"},
    {"axis B <= 4", "axis B <= 5"},
    {"ragged B <= 16", "ragged B <= 17"},
    {"axis pool = 8", "axis pool = H"},
    {"i32[B, S] in V", "i32[B, S] in H"},
    {"y : f32[B]", "y : i32[B]"},
    {"lr : f32 = 5e-05", "lr : f32 = 6e-05"},
    {"zero_row 0", "zero_row 1"},
    {"normal(0.02)", "normal(0.03)"},
    {"[(A D), H]", "[A, D, H]"},
    {"zeros frozen", "zeros"},
    {"init ones", "init zeros"},
    {"half\" bf16", "half\" f32"},
    {"moment \"table.exp_avg\" of \"table\"", "gradient \"table.exp_avg\" of \"table\""},
    {"sites 9", "sites 10"},
    {"arena 4096", "arena 4160"},
    {"scratch 256", "scratch 320"},
    {"peak 4000", "peak 4001"},
    {"%2, 0) : f32[B, S, H] @0", "%2) : f32[B, S, H] @0"},
    {"f32[B, S, H] @0", "f32[B, S, H] @64"},
    {"f32[S, B, A, D] loc", "f32[B, S, A, D] loc"},
    {"T] step 1\n    %11", "T] step 2\n    %11"},
    {"block(S, 64)", "block(S, 32)"},
    {"barrier ", ""},
    {"rows(B, A)", "rows(A, B)"},
    {"cols(H) {\n    %7", "cols() {\n    %7"},
    {"kernel gather rows", "kernel gather dot"},
    {"const(-0,", "const(0,"},
    {"const(nan,", "const(inf,"},
    {"const(inf,", "const(-inf,"},
    {"0x1.999999999999bp-3", "0x1.999999999999cp-3"},
    {"fill(1, bool", "fill(0, bool"},
    {"random(8;", "random(7;"},
    {"outer add(%12, %7)", "outer sub(%12, %7)"},
    {"outer add(%12, %7)", "outer add(%7, %12)"},
    {"at(%7, S, 0)", "at(%7, S, 1)"},
    {"shift(%7, -1; S)", "shift(%7, 1; S)"},
    {"shift(%7, 2; H -> pool)", "shift(%7, 3; H -> pool)"},
    {"f32[B, S, H] backward", "f32[B, S, H]"},
    {"\"table.exp_avg\") : f32[V, H] update\n}", "\"table.grad\") : f32[V, H] update\n}"},
    {"entries(step, eval)", "entries(step)"},
    {"output loss = %24", "output loss = %23"},
    {"in V from tokens", "in V from token_types"},
    {"from column \"y\"", "from label"},
    {"from column \"y\"", "from column \"x\""},
    {"as loss", "as value"},
    {"as weight", "as norm"},
    {"as scores", "as embedding"},
    {"as embedding", "as value"},
    {"as norm", "as fault"},
    {"as factor of \"table\"", "as factor of \"bias\""},
    {"as gradient of \"table\"", "as factor of \"table\""},
    {"\"grad:table\"", "\"grad:chair\""},
    {"inf as dropout", "inf"},
    {" each micro_batch", ""},
    {"entries(step, update, eval)", "entries(eval)"},
    {"updated(%1)", "detach(%1)"},
    {"epochs = 3", "epochs = 4"},
    {"adamw", "sgd"},
    {"kernel \"odd name\"", "kernel \"even name\""},
    {"kernel last none rows() cols()\n", ""},
};

// Each line of that text matters: the graph of the text without it, or with a word changed, is another one.
Test(language, comparison_sees_every_difference) {
    char *path = test_golden("language/everything.ir"), *text = read_text(path), why[512];
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("everything.ir", text, NULL, &d);
    cr_assert_not_null(g);
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
        char *at = strstr(text, CHANGES[i][0]), *changed;
        cr_assert_not_null(at, "no \"%s\" in the text", CHANGES[i][0]);
        cr_assert(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, CHANGES[i][1],
                           at + strlen(CHANGES[i][0])) > 0);
        ftc_graph *other = ftc_parse_text("changed.ir", changed, NULL, &d);
        cr_assert_not_null(other, "\"%s\": %s", CHANGES[i][1], d.count ? d.list[0].text : "");
        why[0] = 0;
        cr_expect(!ftc_graph_equal(g, other, why, sizeof why), "\"%s\" instead of \"%s\" goes unseen",
                  CHANGES[i][1], CHANGES[i][0]);
        cr_expect(why[0]);
        ftc_graph_free(other);
        free(changed);
    }
    free(text);
    free(path);
    ftc_graph_free(g);
}

Test(language, locations_do_not_count) {
    static const char *const texts[] = {
        "model m\naxis B <= 4\ninput x : f32[B] loc(\"a.ir\":1)\n%1 = input(\"x\") : f32[B] "
        "loc(\"a.ir\":2)\n",
        "model m\naxis B <= 4\ninput x : f32[B]\n%7 = input(\"x\") : f32[B] loc(\"b.ir\":9)\n"};
    ftc_diagnostics d = {0};
    ftc_graph *a = ftc_parse_text("a", texts[0], NULL, &d), *b = ftc_parse_text("b", texts[1], NULL, &d);
    char why[512] = "";
    cr_assert(a && b);
    cr_expect(ftc_graph_equal(a, b, why, sizeof why), "%s", why);
    cr_expect_eq(a->nodes[1].loc.line, 2);
    cr_expect_str_eq(a->files[a->nodes[1].loc.file], "a.ir");
    ftc_graph_free(a);
    ftc_graph_free(b);
}

// --- settings -----------------------------------------------------------------------------------------

static double config_number(const ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_config; i++)
        if (!strcmp(g->config[i].name, name)) return g->config[i].number;
    cr_assert_fail("no config entry %s", name);
    return 0;
}

Test(language, settings_replace_values_of_the_config_block) {
    const ftc_override list[] = {
        {"hidden_size", "384", "config.json", FTC_OVERRIDE_OPTIONAL},
        {"hidden_dropout_prob", "0.25", "config.json", FTC_OVERRIDE_OPTIONAL},
        {"torch_dtype", "float32", "config.json", FTC_OVERRIDE_OPTIONAL}, // no such entry, and none needed
        {"num_labels", "7", "config.json", FTC_OVERRIDE_OPTIONAL},
        {"labels", "3", "--set", FTC_OVERRIDE_CONFIG}};
    ftc_graph *g = parse(MODEL("bert-cls.ir"), list, 5);
    cr_expect_eq(config_number(g, "hidden"), 384);
    cr_expect_eq(config_number(g, "labels"), 3);
    cr_expect_eq(config_number(g, "classifier_dropout"), 0.25); // follows `dropout`
    cr_expect_eq(ftc_axis_extent(g, ftc_graph_find_axis(g, "D"))->bound, 192);
    cr_expect_eq(g->decls[ftc_graph_find_decl(g, "hidden_dropout")].value, 0.25f);
    expect_round_trip(g);
    ftc_graph_free(g);
}

Test(language, resolved_text_keeps_the_values) {
    const ftc_override list[] = {
        {"hidden", "64", "--set", FTC_OVERRIDE_CONFIG},       {"layers", "3", "--set", FTC_OVERRIDE_CONFIG},
        {"activation", "relu", "--set", FTC_OVERRIDE_CONFIG}, {"eps", "1e-05", "--set", FTC_OVERRIDE_CONFIG},
        {"max_length", "77", "--set", FTC_OVERRIDE_CONFIG},   {"dropout", "0", "--set", FTC_OVERRIDE_CONFIG}};
    char *text = read_text(MODEL("bert-cls.ir")), why[512];
    ftc_diagnostics d = {0};
    char *resolved = ftc_parse_resolve("bert-cls.ir", text, &(ftc_settings){list, 6}, &d);
    cr_assert_not_null(resolved, "%s", d.count ? d.list[0].text : "");
    ftc_graph *a = parse(MODEL("bert-cls.ir"), list, 6),
              *b = ftc_parse_text("bert-cls.ir", resolved, NULL, &d);
    cr_assert_not_null(b, "%s", d.count ? d.list[0].text : "");
    cr_expect(ftc_graph_equal(a, b, why, sizeof why), "%s", why);
    cr_expect_not_null(strstr(resolved, "// BERT with a classification head"), "comments are lost");
    ftc_graph_free(a);
    ftc_graph_free(b);
    free(resolved);
    free(text);
}

static const char *train_text(const ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_train; i++)
        if (!strcmp(g->train[i].name, name)) return g->train[i].text;
    return "no such entry";
}

Test(language, a_text_may_use_another) {
    static const ftc_override dropout = {"dropout", "0.3", "--set", FTC_OVERRIDE_CONFIG};
    ftc_graph *g = parse(MODEL("bert-cola.ir"), &dropout, 1);
    cr_expect_str_eq(g->model, "bert_cls");
    cr_expect_eq(config_number(g, "labels"), 2);
    cr_expect_eq(config_number(g, "hidden"), 128);
    cr_expect_eq(config_number(g, "classifier_dropout"), 0.3); // still says: dropout
    cr_expect_str_eq(train_text(g, "optimizer"), "adam_keras");
    cr_expect_str_eq(train_text(g, "drop_last"), "true");
    cr_expect_str_eq(train_text(g, "tokenizer"), "data/tokenizer"); // of the text that is used
    ftc_graph_free(g);
}

Test(language, wrong_uses_are_refused) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"use \"model.ir\" axis B <= 8", "nothing but config, family and train blocks"},
        {"use \"model.ir\" family { prefix = \"a.\" }", "the family block of"},
        {"use \"model.ir\" optimizer adamw(p, g) {\n}", "nothing but config, family and train blocks"},
        {"use \"model.ir\" use \"model.ir\"", "nothing but config, family and train blocks"},
        {"model m use \"model.ir\"", "consist of functions and optimizers alone"},
        {"use \"../model.ir\"", "must lie in the same folder"},
        {"use \"missing.ir\"", "user.ir:1:5: error: no such file lies beside this text"},
        {"use \"user.ir\"", "goes in a circle"},
        {"use model", "the name of a file in quotes"},
        {"use \"model.ir\"\nconfig {\n  hiden = 3\n}",
         "user.ir:3: hiden=3: the config block has no entry 'hiden'; did you mean 'hidden'?"},
        {"use \"model.ir\" config { hidden = gelu }", "'hidden' is a number"},
        {"use \"model.ir\" config { hidden = 8 as batch }", "says a value here and nothing more"},
        {"use \"model.ir\" config { hidden = 8 \"size\" }", "says a value here and nothing more"},
    };
    char *folder = test_directory();
    static const char model[] = "model m config { hidden = 2 } output loss = 1";
    char *used = test_write(folder, "model.ir", model, strlen(model));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ftc_diagnostics d = {0};
        char *path = test_write(folder, "user.ir", cases[i].text, strlen(cases[i].text));
        cr_expect_null(ftc_parse_file(path, NULL, &d), "%s", cases[i].text);
        cr_assert_gt(d.count, 0);
        cr_expect_not_null(strstr(d.list[0].text, cases[i].message), "\"%s\" is not in: %s", cases[i].message,
                           d.list[0].text);
        ftc_diag_free(&d);
        remove(path);
        free(path);
    }
    ftc_diagnostics d = {0};
    cr_expect_null(ftc_parse_text("in memory", cases[0].text, NULL, &d));
    cr_expect_not_null(strstr(d.list[0].text, "can only be used from a file"), "%s", d.list[0].text);
    ftc_diag_free(&d);
    remove(used);
    remove(folder);
    free(used);
    free(folder);
}

Test(language, models_use_functions_and_variants_change_families) {
    static const ftc_library_file installed[] = {
        {"models/functions.ir", "fn twice(x) { return x + x }"},
        {"models/base.ir", "model m use \"functions.ir\"\n"
                           "config { rows = 8 \"rows\" pad = 1 longest = rows - pad + 2 most = longest }\n"
                           "family { model_type = base prefix = \"a.\" }\naxis H = most\n"
                           "output y = twice(sum(param \"a.w\" f32[H]; H))"},
        {"models/variant.ir", "use \"base.ir\" config { pad = 3 } family { model_type = \"va-riant\" }"},
        {0}};
    char *folder = test_directory(), *name;
    static const char own[] = "use \"variant.ir\" config { rows = 9 }";
    char *path = test_write(folder, "own.ir", own, strlen(own));
    ftc_diagnostics d = {0};
    for (int from_file = 0; from_file < 2; from_file++) {
        char *text = from_file ? ftc_parse_read_model(path, installed, &name, &d)
                               : ftc_parse_installed(&installed[2], installed, &name, &d);
        cr_assert_not_null(text);
        cr_expect_str_eq(name, "models/base.ir");
        ftc_graph *g = ftc_parse_text(name, text, NULL, &d);
        cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
        cr_expect_eq(config_number(g, "most"), from_file ? 8 : 7); // rows - pad + 2
        cr_expect_str_eq(g->family[0].text, "va-riant");
        cr_expect_str_eq(g->family[1].text, "a.");
        ftc_graph_free(g);
        free(text);
        free(name);
    }
    char *type = ftc_parse_model_type(&installed[2]);
    cr_expect_str_eq(type, "va-riant");
    cr_expect_null(ftc_parse_model_type(&installed[0]));
    free(type);
    remove(path);
    remove(folder);
    free(path);
    free(folder);
}

Test(language, wrong_families_are_refused) {
    static const struct {
        const char *family, *message;
    } cases[] = {
        {"prefix = \"berd.\"", "prefix: no parameter's name starts with \"berd.\""},
        {"may_lack = \"bert.a, bert.b\"", "may_lack: no parameter's name starts with \"bert.b\""},
        {"head = classifier", "head: no parameter's name starts with \"classifier\""},
        {"aliases = \"a: b, c\"", "aliases: expected OLD: NEW"},
        {"prefixes = \"bert.\"", "no entry 'prefixes'; did you mean 'prefix'?"},
        {"weights = \"bert.\"", "no entry 'weights'; there are model_type,"},
        {"prefix = 3", "prefix: text is expected"},
        {"prefix = \"bert.\" prefix = \"bert.\"", "prefix: this entry is there already"},
        {"model_type = bert",
         "m.ir:1:18: error: config.json: model_type is \"roberta\", this model is a \"bert\""},
    };
    const ftc_override other = {"model_type", "roberta", "config.json", FTC_OVERRIDE_OPTIONAL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ftc_diagnostics d = {0};
        char *text;
        cr_assert(asprintf(&text,
                           "model m family { %s }\naxis H = 2\noutput y = sum(param \"bert.a\" f32[H]; H)",
                           cases[i].family) > 0);
        cr_expect_null(ftc_parse_text("m.ir", text, &(ftc_settings){&other, 1}, &d), "%s", text);
        cr_assert_gt(d.count, 0, "%s", text);
        cr_expect_not_null(strstr(d.list[0].text, cases[i].message), "\"%s\" is not in: %s", cases[i].message,
                           d.list[0].text);
        ftc_diag_free(&d);
        free(text);
    }
}

static void expect_frozen(const ftc_graph *g, const char *patterns) {
    const ftc_graph_setting *freeze = NULL;
    for (uint32_t i = 0; i < g->n_train; i++)
        if (!strcmp(g->train[i].name, "freeze")) freeze = &g->train[i];
    cr_assert_not_null(freeze);
    cr_expect_str_eq(freeze->text, patterns);
}

// --lora: adapters where the names say so, by PEFT's rule, and by the names of PEFT.
Test(language, adapters) {
    const ftc_override list[] = {{"lora", "self.query, layer.1.output.dense", "--lora", FTC_OVERRIDE_TRAIN},
                                 {"lora_rank", "4", "--lora-rank", FTC_OVERRIDE_TRAIN},
                                 {"freeze", "classifier.bias", "--freeze", FTC_OVERRIDE_TRAIN}};
    ftc_graph *g = parse(MODEL("bert-cls.ir"), list, 3);
    static const char *const adapted[] = {"bert.encoder.layer.0.attention.self.query",
                                          "bert.encoder.layer.1.attention.self.query",
                                          "bert.encoder.layer.1.output.dense"};
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_decls; i++) n += strstr(g->decls[i].name, ".lora_") != NULL;
    cr_assert_eq(n, 6);
    for (int i = 0; i < 3; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s.lora_A.weight", adapted[i]);
        ftc_decl a = ftc_graph_find_decl(g, name);
        cr_assert_neq(a, FTC_NO_DECL, "%s", name);
        cr_expect_eq(g->decls[a].init, FTC_INIT_UNIFORM);
        cr_expect_float_eq(g->decls[a].init_scale, 1 / sqrt(i < 2 ? 128 : 512),
                           1e-15); // of a kaiming_uniform with sqrt(5)
        cr_expect_eq(ftc_axis_extent(g, g->decls[a].dims[0].at[0])->bound, 4);
        snprintf(name, sizeof name, "%s.lora_B.weight", adapted[i]);
        ftc_decl b = ftc_graph_find_decl(g, name);
        cr_assert_neq(b, FTC_NO_DECL, "%s", name);
        cr_expect_eq(g->decls[b].init, FTC_INIT_ZEROS);
    }
    expect_frozen(g, "*, !head, !*.lora_A.weight, !*.lora_B.weight, classifier.bias");
    ftc_graph_free(g);
}

// Of masked tokens the head stays as it is: its statement comes after the adapters'.
Test(language, adapters_of_masked_tokens) {
    const ftc_override list[] = {{"lora", "query", "--lora", FTC_OVERRIDE_TRAIN},
                                 {"task", "mlm", "--task", FTC_OVERRIDE_CONFIG}};
    ftc_graph *g = parse(MODEL("bert-cls.ir"), list, 2);
    expect_frozen(g, "*, !head, !*.lora_A.weight, !*.lora_B.weight, head");
    ftc_graph_free(g);
}

static void expect_refused(const ftc_override *o, const char *part) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_file(MODEL("bert-cls.ir"), &(ftc_settings){o, 1}, &d);
    cr_expect_null(g);
    cr_assert(d.count > 0);
    cr_expect_not_null(strstr(d.list[0].text, part), "\"%s\" is not in: %s", part, d.list[0].text);
    ftc_diag_free(&d);
}

// All but the head: query, key, value and three dense ones in each of two layers, and the pooler.
Test(language, adapters_everywhere) {
    const ftc_override all = {"lora", "all-linear", "--lora", FTC_OVERRIDE_TRAIN};
    ftc_graph *g = parse(MODEL("bert-cls.ir"), &all, 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        n += strstr(g->decls[i].name, ".lora_A.") != NULL;
        cr_expect_null(strstr(g->decls[i].name, "classifier.lora"));
    }
    cr_expect_eq(n, 2 * 6 + 1);
    ftc_graph_free(g);
}

Test(language, wrong_adapters_are_refused) {
    const char *const names = "there are query, key, value, dense";
    expect_refused(&(ftc_override){"lora", "query, valu", "--lora", FTC_OVERRIDE_TRAIN},
                   "lora 'valu': no module that it could select is named so, or ends so behind a dot; did "
                   "you mean 'value'?");
    expect_refused(&(ftc_override){"lora", "uery", "--lora", FTC_OVERRIDE_TRAIN}, names); // no dot before it
    expect_refused(&(ftc_override){"lora", "classifier", "--lora", FTC_OVERRIDE_TRAIN}, names); // the head
    expect_refused(&(ftc_override){"lora", "word_embeddings", "--lora", FTC_OVERRIDE_TRAIN},
                   names); // no product
    expect_refused(&(ftc_override){"lora", "3", "--lora", FTC_OVERRIDE_TRAIN},
                   "lora = 3: names of modules are expected");
    ftc_diagnostics d = {0};
    const ftc_override lora = {"lora", "a", "--lora", FTC_OVERRIDE_TRAIN},
                       rank[] = {lora, {"lora_rank", "0", "", FTC_OVERRIDE_TRAIN}},
                       dropout[] = {lora, {"lora_dropout", "1", "", FTC_OVERRIDE_TRAIN}};
    const char *const
        plain = "model m axis B <= 2, H = 2, C = 3 input x : f32[B, H] output y = dot(x, param \"w\" f32[H, "
                "C]; H)",
        *const linear =
            "model m axis B <= 2, H = 2, C = 3 input x : f32[B, H] output y = linear(\"a\", x; H -> C)";
    cr_expect_null(ftc_parse_text("m.ir", plain, &(ftc_settings){&lora, 1}, &d));
    cr_expect_null(ftc_parse_text("m.ir", linear, &(ftc_settings){rank, 2}, &d));
    cr_expect_null(ftc_parse_text("m.ir", linear, &(ftc_settings){dropout, 2}, &d));
    cr_expect_null(ftc_parse_text("m.ir", "model m axis H = 2 output y = setting(\"x\")", NULL, &d));
    cr_expect_null(
        ftc_parse_text("m.ir", "model m fn f() { axis H = 2 axis H = 3 return 1 } output y = f()", NULL, &d));
    cr_assert_eq(d.count, 5);
    cr_expect_not_null(strstr(d.list[0].text, "the model calls neither linear nor product"));
    cr_expect_not_null(strstr(d.list[1].text, "lora_rank (0) must be at least 1"));
    cr_expect_not_null(strstr(d.list[2].text, "lora_dropout (1) must be from 0 to below 1"));
    cr_expect_not_null(strstr(d.list[3].text, "write setting(\"ENTRY\", DEFAULT)"));
    cr_expect_not_null(strstr(d.list[4].text, "axis H is declared already"));
    ftc_diag_free(&d);
}

Test(language, wrong_settings_are_refused) {
    expect_refused(&(ftc_override){"hiden", "3", "--set", FTC_OVERRIDE_CONFIG}, "did you mean 'hidden'?");
    ftc_diagnostics d = {0};
    cr_expect_null(ftc_parse_text("m.ir", "model m config { a = gelu b = a - 1 } output loss = b", NULL, &d));
    cr_expect_not_null(strstr(d.list[0].text, "b: 'gelu' is no number of an earlier entry"));
    ftc_diag_free(&d);
    cr_expect_null(ftc_parse_text("m.ir", "model m config { a = 1 as b\n}\n", NULL, &d));
    cr_expect_not_null(strstr(d.list[0].text, "m.ir:1:27: error: expected batch, max_length, ") &&
                           strstr(d.list[0].text, "text_pooling or vocab_block, not 'b'\n"),
                       "%s", d.list[0].text);
    ftc_diag_free(&d);
    cr_expect_null(ftc_parse_text("m.ir", "model m config { a = 1e-999\n}\n", NULL, &d));
    cr_expect_not_null(strstr(d.list[0].text, "m.ir:1:22: error: '1e-999' is nearer to 0 than any number"),
                       "%s", d.list[0].text);
    ftc_diag_free(&d);
    expect_refused(&(ftc_override){"zzz", "3", "--set", FTC_OVERRIDE_CONFIG},
                   "the entries are: hidden layers heads");
    expect_refused(&(ftc_override){"hidden", "many", "--set", FTC_OVERRIDE_CONFIG}, "'hidden' is a number");
    cr_expect_null(ftc_parse_file(
        MODEL("bert-cls.ir"),
        &(ftc_settings){&(ftc_override){"layers", "two", "--set", FTC_OVERRIDE_CONFIG}, 1}, &d));
    cr_expect_eq(d.count, 1, "what reads the entry is not wrong, too");
    ftc_diag_free(&d);
    expect_refused(&(ftc_override){"hidden", "1e999", "--set", FTC_OVERRIDE_CONFIG}, "'hidden' is a number");
    expect_refused(&(ftc_override){"hidden", "1e-999", "--set", FTC_OVERRIDE_CONFIG}, "'hidden' is a number");
    expect_refused(&(ftc_override){"hidden", "0.5", "--set", FTC_OVERRIDE_CONFIG},
                   "'hidden' is a whole number");
    expect_refused(&(ftc_override){"heads", "3", "--set", FTC_OVERRIDE_CONFIG},
                   "hidden (128) must be a multiple of heads (3)");
    expect_refused(&(ftc_override){"heads", "0", "--set", FTC_OVERRIDE_CONFIG},
                   "must be a multiple of heads (0)");
    expect_refused(&(ftc_override){"layers", "-1", "--set", FTC_OVERRIDE_CONFIG}, "must not be negative");
    expect_refused(&(ftc_override){"dropout", "1", "--set", FTC_OVERRIDE_CONFIG}, "from 0 to below 1");
    expect_refused(&(ftc_override){"attention_dropout", "-0.1", "--set", FTC_OVERRIDE_CONFIG},
                   "from 0 to below 1");
    expect_refused(&(ftc_override){"classifier_dropout", "2", "config.json", FTC_OVERRIDE_OPTIONAL},
                   "from 0 to below 1");
    expect_refused(&(ftc_override){"layer_norm_eps", "-1", "config.json", FTC_OVERRIDE_OPTIONAL},
                   "must not be negative");
    expect_refused(&(ftc_override){"initializer_range", "-1", "--set", FTC_OVERRIDE_CONFIG},
                   "must not be negative");
    expect_refused(&(ftc_override){"hidden_act", "mish", "config.json", FTC_OVERRIDE_OPTIONAL},
                   "activation 'mish' is not known");
    expect_refused(&(ftc_override){"position_type", "rotary", "--set", FTC_OVERRIDE_CONFIG},
                   "position type 'rotary'");
    expect_refused(&(ftc_override){"loss", "mse", "--set", FTC_OVERRIDE_CONFIG}, "needs one label, not 5");
}

// --- bad input ----------------------------------------------------------------------------------------

// Every text of tests/golden/language/errors gives the diagnostics that are written beside it.
Test(language, diagnostics_say_what_and_where) {
    char *folder = test_golden("language/errors");
    DIR *dir = opendir(folder);
    cr_assert_not_null(dir);
    int tested = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *dot = strrchr(entry->d_name, '.'), *expected_path, *got = NULL;
        size_t size;
        if (!dot || strcmp(dot, ".ir")) continue;
        char *path = test_join(folder, entry->d_name), *text = read_text(path);
        ftc_diagnostics d = {0};
        ftc_graph *g = ftc_parse_text(entry->d_name, text, NULL, &d);
        cr_expect_null(g, "%s has no errors", entry->d_name);
        FILE *f = open_memstream(&got, &size);
        for (int i = 0; i < d.count && i < FTC_MAX_DIAGNOSTICS; i++) fputs(d.list[i].text, f);
        fclose(f);
        cr_assert(asprintf(&expected_path, "%.*s.txt", (int)(strlen(path) - 3), path) > 0);
        expect_golden(expected_path, got);
        ftc_diag_free(&d);
        free(got);
        free(text);
        free(path);
        free(expected_path);
        tested++;
    }
    closedir(dir);
    free(folder);
    cr_expect(tested >= 7);
}

// Seconds of this thread that reading a line of so many strings takes.
static double seconds_for_line(size_t n) {
    char *text = malloc(3 * n + 1);
    for (size_t i = 0; i < n; i++) memcpy(text + 3 * i, "\"\" ", 3);
    text[3 * n] = '\0';
    ftc_diagnostics d = {0};
    double start = ftc_clock_cpu_seconds();
    cr_assert_null(ftc_parse_text("line.ir", text, NULL, &d));
    double seconds = ftc_clock_cpu_seconds() - start;
    ftc_diag_free(&d);
    free(text);
    return seconds;
}

Test(language, time_grows_as_a_line_does) {
    seconds_for_line(1000);
    double few = seconds_for_line(1000), many = seconds_for_line(16000);
    cr_expect_lt(many, few * 16 * 5, "%.4f s become %.4f s", few, many);
}

Test(language, at_most_twenty_diagnostics_are_kept) {
    char text[4000] = "model m\n";
    for (int i = 0; i < 100; i++) strcat(text, "x = unknown_name\n");
    ftc_diagnostics d = {0};
    cr_expect_null(ftc_parse_text("m.ir", text, NULL, &d));
    cr_expect_eq(d.count, FTC_MAX_DIAGNOSTICS);
    ftc_diag_free(&d);
}

Test(language, unreadable_files_are_reported) {
    char *folder = test_directory(), *binary = test_write(folder, "binary.ir", "model\0x", 7),
         *missing = test_join(folder, "missing.ir");
    const char *const cases[][2] = {
        {missing, "No such file"}, {folder, "Is a directory"}, {binary, "NUL bytes"}};
    for (int i = 0; i < 3; i++) {
        ftc_diagnostics d = {0};
        cr_expect_null(ftc_parse_file(cases[i][0], NULL, &d));
        cr_assert_eq(d.count, 1);
        cr_expect_not_null(strstr(d.list[0].text, cases[i][1]), "%s", d.list[0].text);
        ftc_diag_free(&d);
    }
    remove(binary);
    remove(folder);
    free(binary);
    free(missing);
    free(folder);
}

// --- noise --------------------------------------------------------------------------------------------

static uint32_t draw(uint64_t *state, size_t n) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % n);
}

// Cuts, inserts, repeats or overwrites a piece of the text; `size` is the room there is.
static void mutate(char *text, size_t size, uint64_t *state) {
    static const char *const pieces[] = {"axis",
                                         "(",
                                         ")",
                                         "{",
                                         "}",
                                         "->",
                                         ";",
                                         "%3",
                                         "9e99",
                                         "-1",
                                         "nan",
                                         "outer ",
                                         "param \"x\" f32[H]",
                                         "for i in 0..999999 {",
                                         "\"{l}\"",
                                         "axes(x)",
                                         "=",
                                         "..",
                                         "fn f(x) { return f(x) }",
                                         "H",
                                         "if",
                                         "output loss",
                                         "scope \"a\" {",
                                         "* x"};
    char piece[64] = "";
    size_t length = strlen(text), at = draw(state, length + 1), n = draw(state, 40);
    switch (draw(state, 4)) {
    case 0:
        if (n > length - at) n = length - at;
        memmove(text + at, text + at + n, length - at - n + 1);
        return;
    case 1: strcpy(piece, pieces[draw(state, sizeof pieces / sizeof *pieces)]); break;
    case 2: snprintf(piece, n + 1, "%s", text + draw(state, length + 1)); break;
    case 3:
        if (at < length) text[at] = (char)(1 + draw(state, 255));
        return;
    }
    n = strlen(piece);
    if (length + n >= size) return;
    memmove(text + at + n, text + at, length - at + 1);
    memcpy(text + at, piece, n);
}

Test(language, noise_gives_a_graph_or_a_diagnostic) {
    char *paths[] = {test_join(FTC_SOURCE_ROOT, "models/bert-cls.ir"),
                     test_join(FTC_SOURCE_ROOT, "models/mlp.ir"), test_golden("language/everything.ir"),
                     test_golden("language/library.ir")};
    static char text[1 << 16];
    uint64_t state = 1;
    int valid = 0, refused = 0;
    for (int round = 0; round < 1200; round++) {
        char *original = read_text(paths[round % 4]);
        snprintf(text, sizeof text, "%s", original);
        free(original);
        if (draw(&state, 5) == 0) text[draw(&state, strlen(text))] = 0;
        for (uint32_t n = draw(&state, 3); n != UINT32_MAX; n--) mutate(text, sizeof text, &state);
        ftc_diagnostics d = {0};
        ftc_graph *g = ftc_parse_text("noise.ir", text, NULL, &d);
        cr_assert((g != NULL) == (d.count == 0), "round %d", round);
        if (g)
            expect_round_trip(g), valid++;
        else
            refused++;
        ftc_graph_free(g);
        ftc_diag_free(&d);
    }
    cr_expect(valid > 20 && refused > 200, "%d valid, %d refused", valid, refused);
    for (int i = 0; i < 4; i++) free(paths[i]);
}

// --- documentation ------------------------------------------------------------------------------------

// docs/language.md lists the primitives as their blocks describe them.
Test(language, reference_lists_the_primitives) {
    static const char start[] = "<!-- primitives -->\n", end[] = "<!-- end of primitives -->\n";
    char *path = test_join(FTC_SOURCE_ROOT, "docs/language.md"), *page = read_text(path), *got = NULL;
    size_t size;
    char *from = strstr(page, start), *to = strstr(page, end);
    cr_assert(from && to);
    FILE *f = open_memstream(&got, &size);
    fprintf(f, "%.*s\n", (int)(from - page + strlen(start)), page);
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        fprintf(f, "- **%s** `%s`  \n  %s\n", info->name, info->example, info->doc);
    }
    fprintf(f, "\n%s", to);
    fclose(f);
    expect_golden(path, got);
    free(got);
    free(page);
    free(path);
}

// What stands under "How to say it" is read, and reads what it says that the model has.
Test(language, recipes_are_valid) {
    static const char start[] = "<!-- recipes -->\n```\n";
    static const char given[] =
        "model recipes\naxis B <= 4\naxis S ragged B <= 16\naxis T = S, other = B\naxis H = 8, C = 5\n"
        "input x : f32[B, S, H]\ninput i : i32[B] in S\ninput m : bool[B, S]\ninput label : i32[B] in C\n";
    char *path = test_join(FTC_SOURCE_ROOT, "docs/language.md"), *page = read_text(path), *text = NULL;
    char *from = strstr(page, start), *to = from ? strstr(from, "\n```\n\n") : NULL;
    cr_assert(to);
    from += strlen(start);
    cr_assert(asprintf(&text, "%s%.*s\noutput y = batch\n", given, (int)(to - from), from) > 0);
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("recipes", text, NULL, &d);
    cr_expect_not_null(g, "%s", d.count ? d.list[0].text : "");
    ftc_graph_free(g);
    ftc_diag_free(&d);
    free(text);
    free(page);
    free(path);
}

// The examples in that list are right.
Test(language, examples_of_primitives_are_valid) {
    static const char axes[] = "model example\naxis B <= 4\naxis S ragged B <= 16\naxis T = S\n"
                               "axis H = 8, I = 8, C = 5, V = 11\n";
    static const char values[] =
        "input x : f32[B, S, H]\ninput y : f32[B, S, H]\ninput dx : f32[B, S, H]\ninput dcls : f32[B, H]\n"
        "input ids : i32[B, S] in V\ninput label : i32[B] in C\ninput hit : bool[B, C]\ninput dW : f32[I, "
        "H]\n"
        "input k : f32[B, S, H]\narg p : f32\narg lr : f32\nW = param \"W\" f32[I, H]\n"
        "E = param \"E\" f32[I, H] frozen\ntable = param \"table\" f32[V, H]\n";
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        bool declares = info->class == FTC_CLASS_LEAF,
             logical = op == FTC_OP_and || op == FTC_OP_or || op == FTC_OP_not;
        char text[2000];
        const char *given = declares ? "" : logical ? "input x : bool[B, S]\ninput y : bool[B, S]\n" : values;
        snprintf(text, sizeof text, "%s%s%s\noutput one = 1\n", axes, given, info->example);
        // Over keys.
        if (strstr(info->example, "; T)")) memcpy(strstr(text, "x : f32[B, S"), "x : f32[B, T", 12);
        ftc_diagnostics d = {0};
        ftc_graph *g = ftc_parse_text(info->name, text, NULL, &d);
        cr_expect_not_null(g, "%s", d.count ? d.list[0].text : "");
        bool found = declares;
        for (ftc_id id = 1; g && id < g->n_nodes; id++) found |= g->nodes[id].op == (ftc_op)op;
        cr_expect(found, "%s does not use %s", info->example, info->name);
        ftc_graph_free(g);
        ftc_diag_free(&d);
    }
}
