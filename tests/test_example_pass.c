// The pass that docs/adding-an-operation.md adds, in the place of the table that it says: it runs in every
// entry of the models that are shipped, and does what the page says.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "ir/lang/parse.h"
#include "ir/op.h"
#include "tests/paths.h"

static const char *const MODELS[] = {"models/mlp.ir", "models/bert-cls.ir", "docs/examples/two-texts.ir"};

static int count_detached(const ftc_graph *g) {
    int n = 0;
    for (ftc_id id = 1; id < g->n_nodes; id++) n += ftc_node_class(&g->nodes[id]) == FTC_CLASS_DETACH;
    return n;
}

// How many there are after the pass.
static void note(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                 double seconds) {
    int *left = context;
    (void)seconds;
    if (pass && !strcmp(pass->name, "undetach")) left[entry] = count_detached(g);
}

Test(example, the_pass_runs_in_every_entry) {
    for (size_t m = 0; m < sizeof MODELS / sizeof *MODELS; m++) {
        ftc_diagnostics d = {0};
        char *path = test_join(FTC_SOURCE_ROOT, MODELS[m]);
        ftc_graph *source = ftc_parse_file(path, NULL, &d);
        cr_assert(source, "%s: %s", path, d.count ? d.list[0].text : "");
        int left[FTC_ENTRY_COUNT] = {-1, -1, -1, -1};
        ftc_compile_options options = {.after = note, .context = left, .check_text = true};
        for (int entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
            ftc_graph *g = ftc_compile_plan(source, (ftc_entry_kind)entry, &options, &d);
            cr_assert(g, "%s, %s: %s", path, ftc_entry_name((ftc_entry_kind)entry),
                      d.count ? d.list[0].text : "");
            cr_expect_eq(left[entry], 0, "%s, %s", path, ftc_entry_name((ftc_entry_kind)entry));
            ftc_graph_free(g);
        }
        ftc_graph_free(source);
        free(path);
    }
}

// Without simplify, which drops them by a rule of its own, and without the pass there would be some.
Test(example, the_pass_is_what_drops_them) {
    static const char *const skip[] = {"shrink", "simplify", "undetach"};
    ftc_diagnostics d = {0};
    char *path = test_join(FTC_SOURCE_ROOT, "models/mlp.ir");
    ftc_graph *source = ftc_parse_file(path, NULL, &d);
    cr_assert(source);
    for (int with = 0; with < 2; with++) {
        ftc_compile_options options = {.skip = skip, .n_skip = with ? 2 : 3};
        ftc_graph *g = ftc_compile_plan(source, FTC_ENTRY_EVAL, &options, &d);
        cr_assert(g, "%s", d.count ? d.list[0].text : "");
        cr_expect_eq(count_detached(g) == 0, with);
        ftc_graph_free(g);
    }
    ftc_graph_free(source);
    free(path);
}
