// ftc opt: runs chosen passes on a model or on a dump of any stage, and prints the graph that they leave.
#include "compiler/driver/commands.h"
#include "compiler/driver/model.h"
#include "compiler/pipeline.h"
#include "ir/base/alloc.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    ftc_text_list passes; // lists separated by commas
    int32_t entry;        // ftc_entry_kind
} opt_options;

static const ftc_option OPTIONS[] = {
    {"passes", NULL, FTC_OPTION_LIST, offsetof(opt_options, passes), "PASS,...", 0,
     "the passes to run, in this order"},
    {"entry", NULL, FTC_OPTION_CHOICE, offsetof(opt_options, entry), "step|grad|update|eval", 0,
     "the entry point that the graph is to become; default: step"},
    {0},
};

// Runs the passes of one list, verifying the graph and its text after each.
static bool run_list(ftc_graph *g, const char *list, ftc_entry_kind entry, ftc_diagnostics *d) {
    ftc_pipeline_options pipeline = {.pass = {.entry = entry}, .check_text = true};
    char *names = ftc_strdup(list), *rest = NULL;
    bool ok = true;
    for (char *name = strtok_r(names, ",", &rest); name && ok; name = strtok_r(NULL, ",", &rest))
        ok = ftc_pass_check_name("--passes", name, NULL, d) &&
             ftc_pipeline_run_pass(g, ftc_pass_find(name), &pipeline, d);
    free(names);
    return ok;
}

static int run(const char *path, const opt_options *options) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_file(path, NULL, &d);
    bool ok = g && ftc_verify_graph(g, &d);
    for (size_t i = 0; i < options->passes.n && ok; i++)
        ok = run_list(g, options->passes.items[i], (ftc_entry_kind)options->entry, &d);
    if (ok) ftc_print_graph(g, stdout);
    if (g) ftc_graph_free(g);
    return ok ? FTC_EXIT_OK : ftc_diag_report("opt", &d);
}

int ftc_command_opt(const ftc_command *self, int argc, char **argv) {
    opt_options options = {.entry = FTC_ENTRY_STEP};
    ftc_option_group groups[] = {{"Options", OPTIONS, &options}, {0}};
    ftc_text_list files = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &files);
    int status = FTC_EXIT_USAGE;
    if (parsed != FTC_CLI_OK) {
        status = ftc_cli_exit(parsed);
    } else if (files.n != 1) {
        ftc_cli_error(self->name,
                      "expected one file, as in: ftc opt models/mlp.ir --passes=differentiate,optimizer");
    } else {
        status = run(files.items[0], &options);
    }
    ftc_text_list_free(&files);
    ftc_text_list_free(&options.passes);
    return status;
}
