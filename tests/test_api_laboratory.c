// The laboratory through libftc: graphs given back, edits of the schedule, kernels of one's own,
// explanations.
#include "tests/api.h"

#define LAYERNORM FTC_SOURCE_ROOT "/docs/examples/layernorm"

static ftc_net *open_step(const char *model, ftc_net_options options) {
    ftc_net *net;
    options.calls = FTC_CALL_STEP;
    OK(ftc_net_open(model, &options, &net));
    return net;
}

static float trained_loss(const ftc_net *net) {
    ftc_trainer *trainer = create(net, 1);
    const examples e = make_examples();
    train(trainer, &e, 3);
    float loss = *(const float *)ftc_trainer_output(trainer, "loss", NULL);
    ftc_trainer_free(trainer);
    return loss;
}

static int count_kernels(const ftc_net *net) {
    ftc_trainer *trainer = create(net, 1);
    int32_t n = 0;
    cr_assert(ftc_trainer_kernels(trainer, FTC_CALL_STEP, &n));
    ftc_trainer_free(trainer);
    return n;
}

// --- graphs -------------------------------------------------------------------------------------------

typedef struct {
    char *stages[32], *texts[32];
    int n;
} dumps;

static void keep(void *context, const char *stage, const char *text) {
    dumps *list = context;
    list->stages[list->n] = strdup(stage);
    list->texts[list->n++] = strdup(text);
}

static const char *find(const dumps *list, const char *stage) {
    int i = 0;
    while (i < list->n && strcmp(list->stages[i], stage) != 0) i++;
    cr_assert_lt(i, list->n, "no stage %s", stage);
    return list->texts[i];
}

// The text with the first `old` replaced.
static char *replaced(const char *text, const char *old, const char *new) {
    const char *at = strstr(text, old);
    char *result = NULL;
    cr_assert(at, "\"%s\" is not in the text", old);
    if (asprintf(&result, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) < 0) abort();
    return result;
}

Test(laboratory, graphs_go_out_and_come_back, .timeout = 240) {
    ftc_net *own = open_step(MODEL, (ftc_net_options){0});
    dumps list = {0};
    OK(ftc_net_dumps(own, FTC_CALL_STEP, keep, &list));
    cr_expect_str_eq(list.stages[0], "expand");
    cr_expect_str_eq(list.stages[list.n - 1], "plan");
    char *one;
    OK(ftc_net_text(own, FTC_CALL_STEP, "fuse", &one));
    cr_expect_str_eq(one, find(&list, "fuse"));
    ftc_text_free(one);

    const float loss = trained_loss(own);
    char *other = replaced(find(&list, "dce"), " = normal_cdf(", " = tanh(");
    const char *const texts[] = {find(&list, "expand"), find(&list, "plan"), other};
    for (int i = 0; i < 3; i++) {
        const ftc_graph_text graph = {.call = FTC_CALL_STEP, .text = texts[i]};
        ftc_net *net = open_step(MODEL, (ftc_net_options){.graphs = &graph, .n_graphs = 1});
        cr_expect_eq(trained_loss(net) == loss, texts[i] != other, "%d", i);
        char *kept; // what it is looked at by, too
        OK(ftc_net_text(net, FTC_CALL_STEP, "kernels", &kept));
        cr_expect_eq(strstr(kept, "normal_cdf") != NULL, texts[i] != other);
        ftc_text_free(kept);
        ftc_net_free(net);
    }
    free(other);
    for (int i = 0; i < list.n; i++) free(list.stages[i]), free(list.texts[i]);
    ftc_net_free(own);
}

static ftc_error *open_graphs(const ftc_graph_text *graphs, int32_t n) {
    ftc_net *net = NULL;
    return ftc_net_open(MODEL, &(ftc_net_options){.calls = FTC_CALL_STEP, .graphs = graphs, .n_graphs = n},
                        &net);
}

Test(laboratory, graphs_that_do_not_fit_are_refused) {
    ftc_graph_text graphs[] = {{.call = FTC_CALL_STEP, .text = "model mlp\n%1 = nothing()\n"},
                               {.call = FTC_CALL_STEP, .text = "", .name = "mine.ir"}};
    FAILS(open_graphs(graphs, 1), 2, "graph of step:");
    FAILS(open_graphs(graphs + 1, 1), 2, "mine.ir:");
    FAILS(open_graphs(graphs, 2), 2, "graphs[1]: there is another graph of step before");
    graphs[0].call = FTC_CALL_STEP | FTC_CALL_EVAL;
    FAILS(open_graphs(graphs, 1), 2, "graphs[0].call is 0x9");
    graphs[0] = (ftc_graph_text){.call = FTC_CALL_STEP};
    FAILS(open_graphs(graphs, 1), 2, "graphs[0].text is NULL");
    ftc_net *net = open_artifact();
    FAILS(ftc_net_dumps(net, 3, keep, NULL), 2, "call is 0x3");
    ftc_net_free(net);
}

// --- schedules and kernels ----------------------------------------------------------------------------

Test(laboratory, edits_change_kernels, .timeout = 240) {
    static const char EDITS[] = "// GELU by itself\n\ndot hidden.*: no epilogue";
    ftc_net *own = open_step(MODEL, (ftc_net_options){0});
    ftc_net *net = open_step(MODEL, (ftc_net_options){.edits = EDITS});
    cr_expect_gt(count_kernels(net), count_kernels(own));
    cr_expect_float_eq(trained_loss(net), trained_loss(own), 1e-5f);
    ftc_net_free(net);
    net = NULL;
    FAILS(ftc_net_open(MODEL, &(ftc_net_options){.edits = "\ndot hidden: apart"}, &net), 2,
          "edits:2:1: error: `dot hidden: apart`: expected");
    FAILS(ftc_net_open(MODEL, &(ftc_net_options){.edits = "dot nothing: no epilogue"}, &net), 2,
          "matches no kernel; there are products with: ");
    cr_expect_null(net);
    ftc_net_free(own);
}

Test(laboratory, kernels_of_ones_own_are_called, .timeout = 240) {
    const char *const files[] = {LAYERNORM ".c", NULL};
    ftc_net *net = open_step(LAYERNORM ".ir", (ftc_net_options){.kernels = files});
    cr_expect(trained_loss(net) > 0);
    char *text; // the files are not asked for again
    OK(ftc_net_text(net, FTC_CALL_STEP, "kernels", &text));
    cr_expect(strstr(text, "kernel extern"), "%s", text);
    ftc_text_free(text);
    ftc_net_free(net);
    net = NULL;
    FAILS(ftc_net_open(LAYERNORM ".ir", &(ftc_net_options){.calls = FTC_CALL_EVAL}, &net), 2,
          "layernorm_forward");
    cr_expect_null(net);
}

// --- looking ------------------------------------------------------------------------------------------

Test(laboratory, tells_where_compiling_takes_its_time) {
    static const char *const PARTS[] = {"fuse", "plan", "emit", "LLVM: optimize", "LLVM: code"};
    ftc_net *net = open_step(MODEL, (ftc_net_options){0});
    int32_t n;
    const ftc_time_desc *times = ftc_net_times(net, &n);
    for (size_t p = 0; p < sizeof PARTS / sizeof *PARTS; p++) {
        int32_t i = 0;
        while (i < n && strcmp(times[i].name, PARTS[p]) != 0) i++;
        cr_assert_lt(i, n, "no %s", PARTS[p]);
        cr_expect(times[i].seconds[0] > 0 && times[i].seconds[3] == 0, "%s", PARTS[p]); // no eval
        cr_expect_eq(times[i].is_of_all, *PARTS[p] == 'L');
    }
    ftc_net_free(net);
    net = open_artifact();
    ftc_net_times(net, &n);
    cr_expect_eq(n, 0);
    ftc_net_free(net);
}

Test(laboratory, explains_kernels) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    char *all, *one;
    OK(ftc_trainer_explain(trainer, FTC_CALL_EVAL, NULL, &all));
    cr_expect(strstr(all, " kernels in eval; at the bounds; 1 threads do "), "%s", all);
    cr_expect(strstr(all, "    ends   at %") && strstr(all, ", bound by "), "%s", all);
    int32_t n;
    const ftc_kernel_desc *kernels = ftc_trainer_kernels(trainer, FTC_CALL_EVAL, &n);
    for (int32_t i = 0; i < n; i++) cr_expect(strstr(all, kernels[i].name), "%s", kernels[i].name);
    OK(ftc_trainer_explain(trainer, FTC_CALL_EVAL, kernels[1].name, &one));
    cr_expect(strstr(one, kernels[1].name) && strlen(one) < strlen(all));
    ftc_text_free(all);
    ftc_text_free(one);
    FAILS(ftc_trainer_explain(trainer, FTC_CALL_STEP, "dot99", &all), 2, "there is no kernel \"dot99\"");
    FAILS(ftc_trainer_explain(trainer, 3, NULL, &all), 2, "call is 0x3");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}
