// The memory plan: executed on paper, kernel by kernel, it never overwrites a value that is still read; and
// it is small.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compile.h"
#include "compiler/passes/plan.h"
#include "compiler/passes/regions.h"
#include "ir/op.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "tests/paths.h"
#include "tests/random_graph.h"

// A graph after all passes.
static ftc_graph *planned(const ftc_graph *source, ftc_entry_kind entry) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(source, entry);
    ftc_pipeline_options options = {.pass = {.entry = entry}};
    cr_assert(ftc_pipeline_run(g, &options, &d), "%s", d.count ? d.list[0].text : "");
    return g;
}

static int64_t bytes_of(const ftc_graph *g, ftc_id id) {
    return ftc_type_max_elements(g, &g->nodes[id].type) * ftc_dtype_bytes(g->nodes[id].type.dtype);
}

static bool overlap(const ftc_graph *g, ftc_id a, ftc_id b) {
    int64_t x = g->nodes[a].offset, y = g->nodes[b].offset;
    return x < y + bytes_of(g, b) && y < x + bytes_of(g, a);
}

static bool is_output(const ftc_graph *g, ftc_id id) {
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].node == id) return true;
    return false;
}

// What a kernel reads from the arena, or writes to it.
typedef struct {
    ftc_id *nodes;
    int n;
} node_list;

static void add(node_list *list, ftc_id id) {
    for (int i = 0; i < list->n; i++)
        if (list->nodes[i] == id) return;
    list->nodes = realloc(list->nodes, (size_t)(list->n + 1) * sizeof *list->nodes);
    list->nodes[list->n++] = id;
}

static void find_traffic(const ftc_graph *g, node_list *reads, node_list *writes) {
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (node->offset >= 0) add(&writes[node->kernel], v);
        for (int i = 0; i < node->n_args; i++) {
            ftc_id arg = node->arg[i];
            if (!g->nodes[arg].kernel || g->nodes[arg].kernel == node->kernel || is_output(g, arg)) continue;
            cr_assert_geq(g->nodes[arg].offset, 0, "%%%u is read by another kernel and has no place", arg);
            add(&reads[node->kernel], arg);
        }
    }
}

// Executes the plan: `valid` holds the values that the arena holds. Kernels without a barrier between them
// run at the same time.
static void execute(const ftc_graph *g) {
    node_list *reads = calloc(g->n_kernels + 1, sizeof *reads),
              *writes = calloc(g->n_kernels + 1, sizeof *writes);
    bool *valid = calloc(g->n_nodes, sizeof *valid);
    find_traffic(g, reads, writes);
    for (uint32_t start = 1, end; start < g->n_kernels; start = end) {
        for (end = start + 1; end < g->n_kernels && !g->kernels[end].barrier;) end++;
        for (uint32_t k = start; k < end; k++)
            for (int i = 0; i < reads[k].n; i++)
                cr_assert(valid[reads[k].nodes[i]], "kernel %s reads %%%u, which is not there",
                          g->kernels[k].name, reads[k].nodes[i]);
        for (uint32_t k = start; k < end; k++) {
            for (int i = 0; i < writes[k].n; i++) {
                ftc_id made = writes[k].nodes[i];
                for (uint32_t other = start; other < end; other++) {
                    for (int j = 0; j < reads[other].n; j++)
                        cr_assert(!overlap(g, made, reads[other].nodes[j]),
                                  "%%%u is written where %%%u is read at the same time", made,
                                  reads[other].nodes[j]);
                    for (int j = 0; j < writes[other].n; j++)
                        cr_assert(made == writes[other].nodes[j] ||
                                  !overlap(g, made, writes[other].nodes[j]));
                }
                for (ftc_id v = 1; v < g->n_nodes; v++) valid[v] = valid[v] && !overlap(g, made, v);
            }
        }
        for (uint32_t k = start; k < end; k++)
            for (int i = 0; i < writes[k].n; i++) valid[writes[k].nodes[i]] = true;
    }
    for (uint32_t k = 0; k < g->n_kernels; k++) free(reads[k].nodes), free(writes[k].nodes);
    free(reads);
    free(writes);
    free(valid);
}

static void check_plan(const ftc_graph *g) {
    int n;
    ftc_buffer *buffers = ftc_plan_buffers(g, &n);
    int64_t largest = 0;
    for (int i = 0; i < n; i++) {
        cr_assert_eq(buffers[i].offset % FTC_STEP_ALIGN, 0);
        cr_assert_geq(buffers[i].bytes, bytes_of(g, buffers[i].node));
        cr_assert_leq(buffers[i].offset + bytes_of(g, buffers[i].node), g->arena_bytes);
        cr_assert_leq(buffers[i].from, buffers[i].to);
        if (buffers[i].bytes > largest) largest = buffers[i].bytes;
        for (int j = 0; j < i; j++) {
            const ftc_buffer *a = &buffers[i], *b = &buffers[j];
            bool together = a->from <= b->to && b->from <= a->to;
            bool apart = a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset;
            cr_assert(!together || apart, "%%%u and %%%u overlap", a->node, b->node);
        }
    }
    free(buffers);
    cr_assert_geq(g->arena_bytes, g->peak_live_bytes);
    cr_assert_geq(g->peak_live_bytes, largest);
    execute(g);
}

Test(plan, no_live_value_is_overwritten) {
    enum { FIRST = 1, GRAPHS = 600 };
    static const ftc_entry_kind entries[] = {FTC_ENTRY_STEP, FTC_ENTRY_GRAD, FTC_ENTRY_EVAL};
    for (uint64_t seed = FIRST; seed < FIRST + GRAPHS; seed++) {
        test_graph_options options = {
            .n_nodes = 10 + (int)(seed % 30), .quadratic = seed % 4 == 0, .step_abi = true};
        ftc_graph *source = test_random_graph(seed, &options);
        ftc_graph *g = planned(source, entries[seed % 3]);
        check_plan(g);
        ftc_graph_free(g);
        ftc_graph_free(source);
    }
}

// bert-cls.ir with MiniLM's shapes, or smaller.
static ftc_graph *bert(const char *hidden, const char *layers, const char *heads, const char *length) {
    ftc_diagnostics d = {0};
    char intermediate[32];
    snprintf(intermediate, sizeof intermediate, "%d", 4 * atoi(hidden));
    const ftc_override list[] = {{"hidden", hidden, "test", false},
                                 {"layers", layers, "test", false},
                                 {"heads", heads, "test", false},
                                 {"vocab", "30522", "test", false},
                                 {"positions", "512", "test", false},
                                 {"max_length", length, "test", false},
                                 {"intermediate", intermediate, "test", false}};
    const ftc_settings settings = {list, sizeof list / sizeof *list};
    ftc_graph *g = ftc_parse_file(FTC_SOURCE_ROOT "/models/bert-cls.ir", &settings, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    return g;
}

Test(plan, of_bert_is_close_to_the_least_possible) {
    static const char *const shapes[][4] = {{"128", "2", "2", "128"},
                                            {"384", "6", "12", "128"},
                                            {"384", "6", "12", "512"},
                                            {"768", "12", "12", "512"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        ftc_graph *source = bert(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
        for (int entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
            ftc_graph *g = planned(source, (ftc_entry_kind)entry);
            check_plan(g);
            if (entry == FTC_ENTRY_STEP)
                cr_expect((double)g->arena_bytes <= 1.05 * (double)g->peak_live_bytes,
                          "hidden %s, length %s: the arena has %lld bytes, at most %lld are alive",
                          shapes[i][0], shapes[i][3], (long long)g->arena_bytes,
                          (long long)g->peak_live_bytes);
            ftc_graph_free(g);
        }
        ftc_graph_free(source);
    }
}

// What a plain kernel computes and what pairs of tokens take in memory is for models that no tile fits.
static void expect_tiles_alone(const char *model, const char *task) {
    char path[512];
    ftc_diagnostics d = {0};
    const ftc_override setting = {"task", task, "test", false};
    const ftc_settings settings = {&setting, task != NULL};
    snprintf(path, sizeof path, FTC_SOURCE_ROOT "/models/%s.ir", model);
    ftc_graph *source = ftc_parse_file(path, &settings, &d);
    cr_assert(source, "%s", d.count ? d.list[0].text : "");
    for (int entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
        ftc_graph *g = planned(source, (ftc_entry_kind)entry);
        for (uint32_t k = 1; k < g->n_kernels; k++)
            cr_expect_null(g->kernels[k].plain, "%s for %s, kernel %s: %s", model, task, g->kernels[k].name,
                           g->kernels[k].plain);
        for (ftc_id v = 1; v < g->n_nodes; v++)
            cr_expect(g->nodes[v].offset < 0 || !ftc_region_is_quadratic(g, &g->nodes[v].type),
                      "%s for %s: %%%u is stored", model, task, v);
        ftc_graph_free(g);
    }
    ftc_graph_free(source);
}

Test(plan, of_shipped_models_has_no_pairs_of_tokens) {
    static const char *const families[] = {"bert-cls", "roberta", "xlm-roberta", "camembert",  "distilbert",
                                           "electra",  "albert",  "mpnet",       "deberta-v2", "modernbert"},
                             *const tasks[] = {"classification", "multi_label", "tokens", "pairs", "mlm"};
    expect_tiles_alone("mlp", NULL);
    expect_tiles_alone("bert-cola", NULL);
    expect_tiles_alone("gru", NULL);
    for (size_t t = 0; t < sizeof tasks / sizeof *tasks; t++)
        for (size_t i = 0; i < sizeof families / sizeof *families; i++)
            expect_tiles_alone(families[i], tasks[t]);
}

// Slices of parameters are views of these, and slices of what is made of tokens too: nothing stores them,
// unless the whole would be kept for them.
Test(plan, stores_no_slices) {
    static const struct {
        const char *name, *text;
        int kept; // slices that the backward phase reads instead of the whole
    } models[] = {
        {"slices of a parameter",
         "w = param \"w\" f32[(Q A D), H]\nq = dot(x, at(w, Q, 0); H)\nk = rename(dot(x, at(w, Q, 1); H); S "
         "-> T)\n"
         "v = rename(dot(x, at(w, Q, 2); H); S -> T)\ny = dot(softmax(dot(q, k; D); T), v; T)",
         0},
        {"parts of a parameter",
         "w = param \"w\" f32[P, H]\nq = dot(x, shift(w, 0; P -> D); H)\nk = rename(dot(x, shift(w, -4; P -> "
         "D); H); S -> T)\n"
         "y = outer (dot(softmax(dot(q, k; D); T), k; T) * param \"u\" f32[A])",
         0},
        {"slices of what a parameter makes",
         "w = param \"w\" f32[(Q A D), H]\nz = dot(x, w; H)\nq = at(z, Q, 0)\nk = rename(at(z, Q, 1); S -> "
         "T)\n"
         "v = rename(at(z, Q, 2); S -> T)\ny = dot(softmax(dot(q, k; D); T), v; T)",
         0},
        {"gated",
         "w = param \"w\" f32[(Q A D), H]\nz = dot(x, w; H)\ny = gelu(at(z, Q, 0)) * at(z, Q, 1) * at(z, Q, "
         "2)",
         0},
        {"gated by slices of a parameter",
         "w = param \"w\" f32[(Q A D), H]\ny = gelu(dot(x, at(w, Q, 0); H)) * dot(x, at(w, Q, 1); H)", 0},
        {"one of three",
         "w = param \"w\" f32[(Q A D), H]\nz = dot(x, w; H)\n"
         "y = outer (at(z, Q, 0) * tanh(at(z, Q, 1)) + sum(z; Q, A, D))",
         1},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        ftc_diagnostics d = {0};
        char text[2000];
        snprintf(text, sizeof text,
                 "model slices\naxis B <= 4\naxis S ragged B <= 20\naxis T = S, H = 6, A = 2, D = 4, Q = 3, "
                 "P = 8\n"
                 "input x : f32[B, S, H]\n%s\noutput loss = sum(tanh(y); B, S, A, D)\n",
                 models[i].text);
        ftc_graph *source = ftc_parse_text(models[i].name, text, NULL, &d);
        cr_assert(source, "%s: %s", models[i].name, d.count ? d.list[0].text : "");
        ftc_graph *g = planned(source, FTC_ENTRY_STEP);
        int kept = 0, between = 0;
        for (ftc_id v = 1; v < g->n_nodes; v++)
            between += g->nodes[v].phase == FTC_PHASE_FORWARD &&
                       g->kernels[g->nodes[v].kernel].kind == FTC_KERNEL_ROWS &&
                       ftc_axes_has(&g->nodes[v].type.axes, ftc_graph_find_axis(g, "S"));
        bool fuses = strstr(models[i].text, "gelu(dot") != NULL; // all of it in the products' kernels
        cr_expect(!fuses || between == 0, "%s: rows compute %d values", models[i].name, between);
        for (ftc_id v = 1; v < g->n_nodes; v++) {
            if (ftc_region_is_part(g, &g->nodes[v]))
                cr_expect(g->nodes[v].offset < 0, "%s: %%%u is stored", models[i].name, v);
            for (int a = 0; a < g->nodes[v].n_args && g->nodes[v].offset >= 0; a++)
                kept += g->nodes[v].op == FTC_OP_mul &&
                        ftc_region_is_part(g, &g->nodes[g->nodes[v].arg[a]]) &&
                        ftc_is_constant(&g->nodes[g->nodes[v].arg[1 - a]]);
        }
        cr_expect_eq(kept, models[i].kept, "%s: %d copies", models[i].name, kept);
        ftc_graph_free(g);
        ftc_graph_free(source);
    }
}

// Gradients die in their updates: the arena of a whole step does not hold one for each weight.
Test(plan, of_the_step_holds_no_gradients) {
    ftc_graph *source = bert("384", "6", "12", "16"), *g = planned(source, FTC_ENTRY_STEP);
    int64_t weights = 0;
    for (uint32_t i = 0; i < g->n_decls; i++)
        if (g->decls[i].kind == FTC_DECL_PARAM) weights += ftc_type_max_elements(g, &g->decls[i].type) * 4;
    cr_expect_lt(g->arena_bytes, weights / 2 + (int64_t)30522 * 384 * 4);
    ftc_graph_free(g);
    ftc_graph_free(source);
}

// With adapters, nothing is computed for what is frozen: the base model has no gradient, no moments, no
// update of rows, and no value of the backward phase has the axes of one of its weights.
Test(plan, adapters_train_alone) {
    const ftc_override lora = {"lora", "query, value", "--lora", FTC_OVERRIDE_TRAIN};
    const char *const models[] = {FTC_SOURCE_ROOT "/models/bert-cls.ir",
                                  FTC_SOURCE_ROOT "/models/electra.ir"};
    for (int m = 0; m < 2; m++) {
        ftc_diagnostics d = {0};
        char *name, *text = ftc_parse_read_model(models[m], NULL, &name, &d);
        ftc_graph *source = ftc_parse_text(name, text, &(ftc_settings){&lora, 1}, &d);
        cr_assert_not_null(source, "%s", d.count ? d.list[0].text : "");
        for (ftc_entry_kind entry = FTC_ENTRY_STEP; entry <= FTC_ENTRY_UPDATE; entry++) {
            ftc_graph *g = planned(source, entry);
            uint32_t trained = 0;
            for (uint32_t i = 0; i < g->n_decls; i++) {
                const ftc_decl_def *decl = &g->decls[i];
                bool trains = strstr(decl->name, ".lora_") || !strncmp(decl->name, "classifier.", 11);
                if (decl->kind == FTC_DECL_PARAM) cr_expect_eq(decl->frozen, !trains, "%s", decl->name);
                if (decl->of != FTC_NO_DECL) cr_expect(trains, "%s", decl->name);
                trained += decl->of != FTC_NO_DECL;
                for (ftc_id id = 1; id < g->n_nodes && decl->frozen && decl->n_dims == 2; id++)
                    cr_expect(g->nodes[id].phase != FTC_PHASE_BACKWARD ||
                                  !ftc_axes_same_set(&g->nodes[id].type.axes, &decl->type.axes),
                              "%%%u is as large as %s", id, decl->name);
            }
            cr_expect_gt(trained, 0);
            ftc_graph_free(g);
        }
        ftc_graph_free(source);
        free(text);
        free(name);
    }
}
