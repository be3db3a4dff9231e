// From a source graph to an artifact and back: what an artifact holds, what is refused, and that the number
// of threads and the optional passes do not change the results.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "compiler/artifact.h"
#include "compiler/codegen/object.h"
#include "compiler/passes/simplify.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/call_program.h"
#include "tests/paths.h"
#include "tests/scratch.h"

static ftc_graph *parsed(const char *text) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("model", text, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    return g;
}

static const char TINY[] = "model tiny\n"
                           "config { hidden = 6 \"hidden_size\"  activation = gelu }\n"
                           "axis B <= 3, H = hidden, C = 2, V = 5\n"
                           "axis S ragged B <= 4\n"
                           "input ids : i32[B, S] in V\n"
                           "input label : i32[B] in C\n"
                           "x = mean(embedding(\"table\", ids; V -> H); S)\n"
                           "logits = linear(\"head\", x; H -> C)\n"
                           "loss = mean(cross_entropy(logits, label; C); B)\n"
                           "output loss, logits\n"
                           "train { lr = 0.5 }\n";

static ftc_compiled compiled(const ftc_compile_options *options) {
    ftc_diagnostics d = {0};
    ftc_compiled compiled;
    ftc_graph *g = parsed(TINY);
    cr_assert(ftc_compile(g, options, &compiled, &d), "%s", d.count ? d.list[0].text : "");
    ftc_graph_free(g);
    return compiled;
}

// The object of its artifact.
static ftc_object object_of(const ftc_compile_options *options) {
    ftc_compiled c = compiled(options);
    ftc_object object = ftc_artifact_object(&c);
    ftc_compiled_free(&c);
    return object;
}

static ftc_graph *tiny_bert_of(const char *layers) {
    ftc_diagnostics d = {0};
    const ftc_override list[] = {{"hidden", "48", "test", false}, {"layers", layers, "test", false},
                                 {"heads", "3", "test", false},   {"intermediate", "80", "test", false},
                                 {"vocab", "50", "test", false},  {"positions", "40", "test", false},
                                 {"batch", "6", "test", false},   {"labels", "3", "test", false}};
    const ftc_settings settings = {list, sizeof list / sizeof *list};
    ftc_graph *g = ftc_parse_file(FTC_SOURCE_ROOT "/models/bert-cls.ir", &settings, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    return g;
}

static ftc_graph *tiny_bert(void) {
    return tiny_bert_of("2");
}

// Asserts one diagnostic that contains `text`; forgets it.
static void expect_diagnostic(ftc_diagnostics *d, const char *text) {
    cr_assert_geq(d->count, 1);
    cr_expect(strstr(d->list[0].text, text), "\"%s\" lacks \"%s\"", d->list[0].text, text);
    ftc_diag_free(d);
    *d = (ftc_diagnostics){0};
}

// --- artifacts ----------------------------------------------------------------------------------------

Test(artifact, comes_back_as_it_was_written) {
    ftc_diagnostics d = {0};
    ftc_compiled c = compiled(&(ftc_compile_options){0});
    ftc_object object = ftc_artifact_object(&c), again;
    char *dir = test_directory(), *path = ftc_path_join(dir, "tiny.ftc");
    cr_assert(ftc_artifact_write(path, &c, &d));
    cr_assert(ftc_artifact_write(path, &c, &d)); // over the old one
    cr_assert(ftc_artifact_read(path, &again, &d));
    cr_assert_eq(object.size, again.size);
    cr_assert_arr_eq(object.bytes, again.bytes, object.size);
    cr_assert_arr_eq(again.bytes, "\177ELF", 4);
    free(again.bytes);
    free(object.bytes);
    ftc_compiled_free(&c);
    free(path);
    scratch_free(dir);
}

Test(artifact, holds_manifest_source_and_graph) {
    ftc_diagnostics d = {0};
    ftc_object object = object_of(&(ftc_compile_options){.pretrained = "somewhere", .source_text = TINY});
    char *source = ftc_artifact_section(&object, "source", &d),
         *graph = ftc_artifact_section(&object, "graph", &d);
    char *manifest = ftc_artifact_section(&object, "manifest", &d);
    cr_assert_str_eq(source, TINY);
    cJSON *json = cJSON_Parse(manifest);
    cr_assert(json, "the manifest is no JSON");
    const cJSON *program = cJSON_GetObjectItem(json, "program");
    cr_expect_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(program, "pretrained")), "somewhere");
    cr_expect_gt(cJSON_GetNumberValue(cJSON_GetObjectItem(program, "compile_seconds")), 0);
    ftc_graph *g = ftc_parse_text("graph", graph, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    cr_expect(ftc_verify_graph(g, &d) && g->n_kernels > 1 && g->arena_bytes > 0);
    cr_expect_null(ftc_artifact_section(&object, "nothing", &d));
    expect_diagnostic(&d, ".ftc.nothing");
    ftc_graph_free(g);
    cJSON_Delete(json);
    free(manifest);
    free(graph);
    free(source);
    free(object.bytes);
}

Test(artifact, describes_its_program) {
    ftc_diagnostics d = {0};
    ftc_object object =
        object_of(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_EVAL | 1u << FTC_ENTRY_GRAD});
    ftc_manifest *described = ftc_artifact_describe(&object, &d);
    const ftc_program *p = &described->program;
    cr_expect_str_eq(p->model, "tiny");
    cr_expect_null(p->pretrained);
    cr_expect_null(p->entries[FTC_ENTRY_EVAL].fn);
    cr_expect_gt(p->entries[FTC_ENTRY_EVAL].n_kernels, 0);
    cr_expect_gt(p->entries[FTC_ENTRY_GRAD].arena_bytes, 0);
    cr_expect_eq(p->entries[FTC_ENTRY_STEP].n_kernels, 0);
    cr_expect_eq(p->n_config, 2);
    cr_expect_str_eq(p->config[0].hf_name, "hidden_size");
    cr_expect_eq(p->config[0].number, 6);
    cr_expect_str_eq(p->config[1].text, "gelu");
    cr_expect_eq(p->n_train, 1);
    cr_expect_eq(p->n_inputs, 2);
    cr_expect(p->inputs[0].rank == 2 && p->inputs[0].bound == 5);
    int params = 0, gradients = 0;
    for (int32_t i = 0; i < p->n_tensors; i++) {
        params += p->tensors[i].role == FTC_ROLE_PARAM;
        gradients += p->tensors[i].role == FTC_ROLE_GRADIENT;
        if (p->tensors[i].role == FTC_ROLE_GRADIENT)
            cr_expect_eq(p->tensors[p->tensors[i].of].role, FTC_ROLE_PARAM);
    }
    cr_expect(params == 3 && gradients == 3);
    ftc_manifest_free(described);
    bool recompiled;
    ftc_loaded_program *loaded = ftc_program_load(&object, &recompiled, &d);
    cr_assert(loaded);
    cr_expect(!recompiled);
    cr_expect(ftc_program_of(loaded)->entries[FTC_ENTRY_EVAL].fn);
    cr_expect_null(ftc_program_of(loaded)->entries[FTC_ENTRY_UPDATE].fn);
    ftc_program_unload(loaded);
    free(object.bytes);
}

// Writes `size` bytes and asserts that they are refused as an artifact.
static void expect_refused(const char *dir, const char *bytes, size_t size) {
    ftc_diagnostics d = {0};
    ftc_object object = {0};
    char *path = test_write(dir, "bad.ftc", bytes, size);
    cr_assert(!ftc_artifact_read(path, &object, &d), "%zu bytes are accepted", size);
    cr_expect_null(object.bytes);
    expect_diagnostic(&d, "bad.ftc");
    free(path);
}

Test(artifact, is_refused_when_damaged) {
    ftc_diagnostics d = {0};
    ftc_compiled c = compiled(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_EVAL});
    ftc_object none = {0};
    char *dir = test_directory(), *path = ftc_path_join(dir, "good.ftc"), *bytes,
         *missing = ftc_path_join(dir, "no.ftc");
    size_t size;
    cr_assert(ftc_artifact_write(path, &c, &d));
    ASSERT_OK(ftc_file_read(path, &bytes, &size));
    for (size_t at = 0; at < size; at += size / 50) { // a flipped bit anywhere
        bytes[at] ^= 4;
        expect_refused(dir, bytes, size);
        bytes[at] ^= 4;
    }
    for (size_t at = size - 32; at < size; at++) { // … in the trailer: magic, size, hash
        bytes[at] ^= 1;
        expect_refused(dir, bytes, size);
        bytes[at] ^= 1;
    }
    const size_t cuts[] = {0, 1, 31, 32, 33, size / 2, size - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) expect_refused(dir, bytes, cuts[i]);
    cr_assert(!ftc_artifact_read(missing, &none, &d));
    expect_diagnostic(&d, "no.ftc");
    cr_assert(!ftc_artifact_read(dir, &none, &d));
    expect_diagnostic(&d, dir);
    free(missing);
    free(bytes);
    free(path);
    ftc_compiled_free(&c);
    scratch_free(dir);
}

Test(artifact, that_cannot_be_written_leaves_nothing) {
    ftc_diagnostics d = {0};
    ftc_compiled c = compiled(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_EVAL});
    char *dir = test_directory(), *path = ftc_path_join(dir, "no/where.ftc");
    cr_assert(!ftc_artifact_write(path, &c, &d));
    expect_diagnostic(&d, "cannot write the artifact");
    free(path);
    ftc_compiled_free(&c);
    cr_assert_eq(rmdir(dir), 0); // empty
    free(dir);
}

// As root, a device would be replaced, too.
Test(artifact, does_not_take_the_place_of_a_pipe) {
    ftc_diagnostics d = {0};
    ftc_compiled c = compiled(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_EVAL});
    char *dir = test_directory(), *path = ftc_path_join(dir, "pipe");
    cr_assert_eq(mkfifo(path, 0666), 0);
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0 && fcntl(fd, F_SETPIPE_SZ, 1 << 20) > 0);
    cr_assert(ftc_artifact_write(path, &c, &d), "%s", d.count ? d.list[0].text : "");
    struct stat info;
    cr_expect(stat(path, &info) == 0 && S_ISFIFO(info.st_mode));
    close(fd);
    free(path);
    ftc_compiled_free(&c);
    scratch_free(dir);
}

// The first `text` in the object behind `key`, to be overwritten.
static char *find(const ftc_object *object, const char *key, const char *text) {
    char *at = memmem(object->bytes, object->size, key, strlen(key));
    cr_assert(at, "the object has no %s", key);
    at = memmem(at, object->size - (size_t)(at - object->bytes), text, strlen(text));
    cr_assert(at, "%s is not followed by %s", key, text);
    return at;
}

Test(artifact, of_another_version_is_refused) {
    ftc_diagnostics d = {0};
    bool recompiled;
    ftc_object object = object_of(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_EVAL});
    char current[16];
    snprintf(current, sizeof current, "%d", FTC_STEP_ABI_VERSION);
    char *version = find(&object, "\"abi\":", current);
    *version = '9';
    cr_expect_null(ftc_program_load(&object, &recompiled, &d));
    expect_diagnostic(&d, "another version");
    free(object.bytes);
}

Test(artifact, for_another_cpu_is_compiled_again) {
    ftc_diagnostics d = {0};
    bool recompiled = false;
    const ftc_target *avx2 = ftc_target_named("avx2");
    ftc_object object = object_of(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_EVAL, .target = avx2});
    char *feature = find(&object, "\"cpu_features\":", "+");
    memcpy(feature, "+q", 2); // there is no such feature
    ftc_loaded_program *loaded = ftc_program_load(&object, &recompiled, &d);
    cr_assert(loaded, "%s", d.count ? d.list[0].text : "");
    cr_expect(recompiled);
    cr_expect(ftc_program_of(loaded)->entries[FTC_ENTRY_EVAL].fn);
    ftc_program_unload(loaded);
    free(object.bytes);
}

// Plans lie in the artifact, are taken when it is compiled again for this CPU, and change nothing but how the
// sums over k are cut.
Test(artifact, remembers_tuned_plans) {
    ftc_diagnostics d = {0};
    static const char contraction[] = "forward: batch x 2, sum of 6, a, b.t";
    ftc_tuned tuned = {0};
    ftc_tuned_add(&tuned, contraction, "1x1, tile 3x64, k 5, keep b", 1.25);
    ftc_tuned_add(&tuned, "forward: of another model", "no plan", 2);
    char *llvm[2];
    ftc_object plain = object_of(&(ftc_compile_options){.llvm = &llvm[0]}),
               object = object_of(&(ftc_compile_options){.tuned = &tuned, .llvm = &llvm[1]});
    cr_expect_null(strstr(llvm[0], "ftc.gemm.block.1x1"), "the default plan is the odd one");
    cr_expect(strstr(llvm[1], "ftc.gemm.block.1x1"), "the plan for \"%s\" was not taken", contraction);
    ftc_manifest *described = ftc_artifact_describe(&object, &d);
    ftc_tuned again = ftc_manifest_tuned(described, ftc_target_host()),
              elsewhere = ftc_manifest_tuned(described, ftc_target_named("generic"));
    cr_assert_eq(again.n, 2);
    cr_expect_str_eq(again.list[0].contraction, contraction);
    cr_expect_str_eq(again.list[0].plan, tuned.list[0].plan);
    cr_expect_float_eq(again.list[0].gain, 1.25, 1e-9);
    cr_expect_eq(elsewhere.n, 0);
    ftc_manifest_free(described);
    ftc_tuned_free(&again);
    ftc_tuned_free(&tuned);
    for (int i = 0; i < 2; i++) free(llvm[i]);
    free(plain.bytes);
    free(object.bytes);
}

// Whether a count is of one extent, which has this name.
static bool is_count_of(const ftc_program *p, int32_t count, const char *name) {
    const ftc_count_info *info = &p->counts[count];
    return info->n == 1 && strcmp(p->extents[info->extents[0]].name, name) == 0;
}

// The head alone multiplies: 6 * 2 cells for each sequence, forward and for its weights' gradient; and its
// input's.
Test(artifact, counts_what_its_kernels_execute) {
    ftc_diagnostics d = {0};
    ftc_object object =
        object_of(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_EVAL});
    ftc_manifest *described = ftc_artifact_describe(&object, &d);
    double flops[FTC_ENTRY_COUNT] = {0}, bytes = 0;
    const ftc_program *p = &described->program;
    for (int e = 0; e < FTC_ENTRY_COUNT; e++) {
        const ftc_entry *entry = &described->program.entries[e];
        for (int32_t k = 0; k < entry->n_kernels; k++) {
            const ftc_kernel_info *info = &entry->kernel_info[k];
            for (int32_t c = 0; c < p->n_counts; c++) {
                if (is_count_of(p, c, "B"))
                    flops[e] += info->flops[c];
                else
                    cr_expect_eq(info->flops[c], 0);
                if (is_count_of(p, c, "S")) bytes += info->bytes[c];
            }
        }
    }
    cr_expect_eq(flops[FTC_ENTRY_EVAL], 2 * 6 * 2);
    cr_expect_eq(flops[FTC_ENTRY_STEP], 3 * 2 * 6 * 2);
    cr_expect_gt(bytes, 6 * 4); // each token's row of the table is read
    ftc_manifest_free(described);
    free(object.bytes);
}

static ftc_compiled compiled_graph(const ftc_graph *g, const ftc_compile_options *options) {
    ftc_diagnostics d = {0};
    ftc_compiled made;
    cr_assert(ftc_compile(g, options, &made, &d), "%s", d.count ? d.list[0].text : "");
    return made;
}

Test(artifact, keeps_its_options_when_it_is_compiled_again) {
    ftc_diagnostics d = {0};
    bool recompiled = false;
    ftc_graph *g = tiny_bert();
    for (uint32_t i = 0; i < g->n_train; i++)
        if (!strcmp(g->train[i].name, "data")) g->train[i].text = "elsewhere/train.csv";
    static const char *const skip[] = {"shrink", "simplify"};
    ftc_compile_options options = {.target = ftc_target_named("avx2"), .entries = 1u << FTC_ENTRY_STEP};
    ftc_compiled made[3];
    made[0] = compiled_graph(g, &options);
    options.skip = skip;
    options.n_skip = 2;
    made[1] = compiled_graph(g, &options);
    options.memory_budget_bytes = FTC_LEAST_MEMORY;
    made[2] = compiled_graph(g, &options);
    ftc_object object = ftc_artifact_object(&made[2]);
    memcpy(find(&object, "\"cpu_features\":", "+"), "+q", 2); // there is no such feature
    ftc_loaded_program *loaded = ftc_program_load(&object, &recompiled, &d);
    cr_assert(loaded && recompiled, "%s", d.count ? d.list[0].text : "");
    const ftc_program *again = ftc_program_of(loaded);
    ftc_entry steps[4] = {[3] = again->entries[FTC_ENTRY_STEP]};
    for (int i = 0; i < 3; i++) steps[i] = made[i].manifest->program.entries[FTC_ENTRY_STEP];
    cr_expect_neq(steps[0].n_kernels, steps[1].n_kernels, "the passes do nothing here");
    cr_expect_gt(steps[1].arena_bytes, steps[2].arena_bytes, "the budget does nothing here");
    cr_expect_eq(steps[3].n_kernels, steps[2].n_kernels);
    cr_expect_eq(steps[3].arena_bytes, steps[2].arena_bytes);
    cr_expect_null(again->entries[FTC_ENTRY_EVAL].fn);
    cr_expect_str_eq(again->source, made[2].manifest->program.source);
    for (int32_t i = 0; i < again->n_train; i++)
        if (!strcmp(again->train[i].name, "data"))
            cr_expect_str_eq(again->train[i].text, "elsewhere/train.csv");
    ftc_program_unload(loaded);
    free(object.bytes);
    for (int i = 0; i < 3; i++) ftc_compiled_free(&made[i]);
    ftc_graph_free(g);
}

// What a program in memory is said to be is what its artifact says.
Test(artifact, describes_what_was_compiled) {
    static const char *const skip[] = {"cse"};
    ftc_diagnostics d = {0};
    ftc_graph *g = tiny_bert();
    ftc_compiled made =
        compiled_graph(g, &(ftc_compile_options){.skip = skip, .n_skip = 1, .pretrained = "somewhere"});
    ftc_object object = ftc_artifact_object(&made);
    ftc_manifest *read = ftc_artifact_describe(&object, &d);
    cr_assert(read, "%s", d.count ? d.list[0].text : "");
    char *texts[] = {ftc_manifest_write(made.manifest), ftc_manifest_write(read)};
    cr_expect_str_eq(texts[0], texts[1]);
    cr_expect_str_eq(made.manifest->program.source, read->program.source);
    for (int i = 0; i < 2; i++) free(texts[i]);
    ftc_manifest_free(read);
    free(object.bytes);
    ftc_compiled_free(&made);
    ftc_graph_free(g);
}

Test(artifact, for_another_cpu_is_not_run_where_it_was_compiled) {
    ftc_diagnostics d = {0};
    ftc_compiled made = compiled(&(ftc_compile_options){.entries = 1u << FTC_ENTRY_EVAL});
    made.manifest->cpu_features = "+made-up";
    cr_expect_null(ftc_program_take(&made, &d));
    cr_expect_null(made.manifest);
    expect_diagnostic(&d, "tiny is compiled for CPU features that this machine lacks");
}

// --- what does not change the results -----------------------------------------------------------------

Test(compile, results_are_the_same_bits_for_any_number_of_threads) {
    ftc_graph *g = tiny_bert();
    test_values *v = test_values_new(g, 11);
    ftc_loaded_program *loaded = test_compile(g, &(ftc_compile_options){0});
    const ftc_program *p = ftc_program_of(loaded);
    static const ftc_entry_kind order[] = {FTC_ENTRY_STEP, FTC_ENTRY_GRAD, FTC_ENTRY_GRAD, FTC_ENTRY_UPDATE,
                                           FTC_ENTRY_EVAL};
    test_call *one = test_call_new(p, g, v, 1);
    for (int i = 0; i < 5; i++) test_call_run(one, order[i]);
    int64_t n;
    cr_assert(isfinite(*test_call_output(one, "loss", &n)));
    for (int threads = 2; threads <= 4; threads++) {
        test_call *many = test_call_new(p, g, v, threads);
        for (int i = 0; i < 5; i++) test_call_run(many, order[i]);
        for (int32_t i = 0; i < p->n_tensors; i++) {
            const float *a = test_call_tensor(one, p->tensors[i].name, &n);
            const float *b = test_call_tensor(many, p->tensors[i].name, &n);
            cr_expect(!memcmp(a, b, (size_t)n * sizeof *a), "%s differs with %d threads", p->tensors[i].name,
                      threads);
        }
        for (int32_t i = 0; i < p->n_outputs; i++) {
            const float *a = test_call_output(one, p->outputs[i].name, &n);
            const float *b = test_call_output(many, p->outputs[i].name, &n);
            cr_expect(!memcmp(a, b, (size_t)n * sizeof *a), "%s differs with %d threads", p->outputs[i].name,
                      threads);
        }
        test_call_free(many);
    }
    test_call_free(one);
    ftc_program_unload(loaded);
    test_values_free(v);
    ftc_graph_free(g);
}

// The gradients of tiny BERT, compiled without these passes, one after the other; *n of them. To be freed.
static float *gradients(const ftc_graph *g, const test_values *v, const char *const *skip, int n_skip,
                        int64_t *n) {
    ftc_loaded_program *loaded = test_compile(
        g, &(ftc_compile_options){.entries = 1u << FTC_ENTRY_GRAD, .skip = skip, .n_skip = n_skip});
    const ftc_program *p = ftc_program_of(loaded);
    test_call *call = test_call_new(p, g, v, 2);
    test_call_run(call, FTC_ENTRY_GRAD);
    float *all = NULL;
    *n = 0;
    for (int32_t i = 0; i < p->n_tensors; i++) {
        int64_t m;
        if (p->tensors[i].role != FTC_ROLE_GRADIENT) continue;
        const float *x = test_call_tensor(call, p->tensors[i].name, &m);
        all = realloc(all, (size_t)(*n + m) * sizeof *all);
        memcpy(all + *n, x, (size_t)m * sizeof *x);
        *n += m;
    }
    test_call_free(call);
    ftc_program_unload(loaded);
    return all;
}

// The gradients without these passes are those of all passes.
static void expect_same_gradients(const ftc_graph *g, const test_values *v, const float *all_passes,
                                  int64_t n, const char *const *skip, int n_skip, const char *name) {
    int64_t m;
    float *fewer = gradients(g, v, skip, n_skip, &m);
    cr_assert_eq(n, m);
    double sum = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)fewer[i] - (double)all_passes[i];
        sum += d * d;
        norm += (double)all_passes[i] * (double)all_passes[i];
    }
    cr_expect(sqrt(sum / norm) < 1e-5, "without %s: differs by %g", name, sqrt(sum / norm));
    free(fewer);
}

Test(compile, optional_passes_change_nothing_but_rounding) {
    ftc_graph *g = tiny_bert();
    test_values *v = test_values_new(g, 12);
    int64_t n;
    float *all_passes = gradients(g, v, NULL, 0, &n);
    const char *optional[64];
    int n_optional = 0;
    for (int i = 0; i < ftc_n_passes; i++)
        if (ftc_passes[i].optional) optional[n_optional++] = ftc_passes[i].name;
    cr_assert_gt(n_optional, 0);
    for (int i = 0; i < n_optional; i++)
        expect_same_gradients(g, v, all_passes, n, &optional[i], 1, optional[i]);
    expect_same_gradients(g, v, all_passes, n, optional, n_optional, "all of them");
    free(all_passes);
    test_values_free(v);
    ftc_graph_free(g);
}

// The final graph of tiny BERT's gradients without these passes and rules. To be freed.
static char *final_text(const ftc_graph *source, const char *const *skip, int n_skip) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_compile_entry_graph(source, FTC_ENTRY_GRAD);
    ftc_pipeline_options options = {.pass = {.entry = FTC_ENTRY_GRAD}, .skip = skip, .n_skip = n_skip};
    bool ok = ftc_pipeline_run(g, &options, &d);
    cr_assert(ok, "without %s: %s", n_skip ? skip[0] : "nothing", ok ? "" : d.list[0].text);
    char *text = ftc_print_text(g);
    ftc_graph_free(g);
    return text;
}

Test(compile, rules_left_out_change_nothing_but_rounding) {
    ftc_graph *g = tiny_bert();
    test_values *v = test_values_new(g, 12);
    int64_t n;
    float *all_rules = gradients(g, v, NULL, 0, &n);
    char *all_rules_text = final_text(g, NULL, 0);
    int n_matter = 0;
    for (int r = 0; r < ftc_n_simplify_rules; r++) {
        char shrink[64], simplify[64];
        snprintf(shrink, sizeof shrink, "shrink:%s", ftc_simplify_rules[r].name);
        snprintf(simplify, sizeof simplify, "simplify:%s", ftc_simplify_rules[r].name);
        const char *skip[] = {shrink, simplify};
        char *text = final_text(g, skip, 2);
        if (strcmp(text, all_rules_text) != 0) {
            n_matter++;
            expect_same_gradients(g, v, all_rules, n, skip, 2, ftc_simplify_rules[r].name);
        }
        free(text);
    }
    cr_expect_gt(n_matter, 5); // others never apply to this model
    free(all_rules_text);
    free(all_rules);
    test_values_free(v);
    ftc_graph_free(g);
}

// Functions and bytes of code of tiny BERT, all entries.
static void count_code(const char *layers, int *functions, size_t *bytes) {
    ftc_diagnostics d = {0};
    ftc_compiled made;
    char *llvm = NULL, *error = NULL;
    ftc_graph *g = tiny_bert_of(layers);
    cr_assert(ftc_compile(g, &(ftc_compile_options){.llvm = &llvm}, &made, &d));
    *functions = 0;
    for (const char *at = llvm; (at = strstr(at, "\ndefine ")); at++) ++*functions;
    char *code = ftc_object_read_section(made.code.bytes, made.code.size, ".text", bytes, &error);
    cr_assert(code, "%s", error);
    free(code);
    ftc_compiled_free(&made);
    free(llvm);
    ftc_graph_free(g);
}

// With three layers there is a first, a last and one between: more layers are more calls of the same
// functions.
Test(compile, code_does_not_grow_with_depth) {
    int few, many;
    size_t few_bytes, many_bytes;
    count_code("3", &few, &few_bytes);
    count_code("6", &many, &many_bytes);
    cr_expect_gt(few, 50);
    cr_expect_eq(many, few, "%d functions with six layers, %d with three", many, few);
    cr_expect_eq(many_bytes, few_bytes, "%zu bytes of code with six layers, %zu with three", many_bytes,
                 few_bytes);
}

// n axes, of which the last ones are used.
static char *model_of_axes(int n) {
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "model wide\n");
    for (int i = 1; i <= n; i++) fprintf(f, "axis A%d = 2\n", i);
    fprintf(f, "w = param \"w\" f32[A%d, A%d]\noutput loss = sum(exp(w); A%d, A%d)\n", n - 1, n, n - 1, n);
    fclose(f);
    return text;
}

Test(compile, models_with_as_many_axes_as_there_may_be) {
    char *most = model_of_axes(FTC_MAX_GRAPH_AXES), *more = model_of_axes(FTC_MAX_GRAPH_AXES + 1);
    ftc_graph *g = parsed(most);
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_GRAD};
    ftc_program_unload(test_compile(g, &options));
    ftc_graph_free(g);
    ftc_diagnostics d = {0};
    cr_assert_not(ftc_parse_text("model", more, NULL, &d));
    cr_expect(strstr(d.list[0].text, "model:258:1: error: more than 256 axes are declared"), "%s",
              d.list[0].text);
    ftc_diag_free(&d);
    free(most);
    free(more);
}

Test(compile, bad_models_are_diagnosed) {
    static const char *const models[][2] = {
        {"model none\naxis H = 3\nx = sum(param \"w\" f32[H]; H)\noutput x\n", "as the loss"},
        {"model none\naxis H = 3\nw = param \"w\" f32[H]\nloss = sum(w; H)\nassign(w * 2, w)\noutput loss\n",
         "model:5: error: w is assigned here and trained, too"},
        {"model none\naxis H = 3\nloss = sum(param \"w\" f32[H]; H)\noutput loss\ntrain { optimizer = magic "
         "}\n",
         "magic"},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        ftc_diagnostics d = {0};
        ftc_compiled made = {0};
        ftc_graph *g = parsed(models[i][0]);
        cr_expect(!ftc_compile(g, &(ftc_compile_options){0}, &made, &d), "%s", models[i][0]);
        cr_expect_null(made.manifest);
        expect_diagnostic(&d, models[i][1]);
        ftc_graph_free(g);
    }
}
