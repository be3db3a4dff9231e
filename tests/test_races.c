// ThreadSanitizer sees what generated code does: every kind of access is reported where two threads meet
// without a barrier, and so is each barrier that is taken out of a step. Built under ThreadSanitizer only.
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/codegen/object.h"
#include "ir/lang/parse.h"
#include "tests/call_program.h"
#include "tests/random_graph.h"

enum { REPORTED = 66 }; // the exit status of a process in which ThreadSanitizer has seen a race

// Read by the sanitizer when the program starts: one report is enough.
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "halt_on_error=1";
}

// Whether the sanitizer reports a race in a child process that does this.
static bool races(void (*act)(const void *context), const void *context) {
    FILE *report = tmpfile();
    cr_assert(report);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(report), STDERR_FILENO);
        act(context);
        exit(EXIT_SUCCESS);
    }
    int status;
    cr_assert(child > 0 && waitpid(child, &status, 0) == child);
    char text[4096] = "";
    rewind(report);
    size_t length = fread(text, 1, sizeof text - 1, report);
    text[length] = '\0';
    fclose(report);
    bool reported = WIFEXITED(status) && WEXITSTATUS(status) == REPORTED;
    cr_assert(reported ? strstr(text, "WARNING: ThreadSanitizer: data race") != NULL
                       : WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS,
              "status 0x%x: %s", (unsigned)status, text);
    return reported;
}

// --- accesses -----------------------------------------------------------------------------------------

typedef struct {
    const char *name;
    enum { PLAIN, MASKED, EACH_LANE, BYTES } how;
    bool whole_vector; // of as many lanes as the target has; else 4
    bool writes;
} access_kind;

static const access_kind ACCESSES[] = {
    {"load of 16 bytes", PLAIN, false, false},
    {"store of 16 bytes", PLAIN, false, true},
    {"load of a vector", PLAIN, true, false},
    {"store of a vector", PLAIN, true, true},
    {"masked load", MASKED, true, false},
    {"masked store", MASKED, true, true},
    {"gather of four", EACH_LANE, false, false},
    {"scatter of four", EACH_LANE, false, true},
    {"gather of a vector", EACH_LANE, true, false},
    {"scatter of a vector", EACH_LANE, true, true},
    {"memset", BYTES, true, true},
};
enum { N_ACCESSES = sizeof ACCESSES / sizeof *ACCESSES };

// void NAME(p, active): accesses the floats at p, of which only the first `active` are not masked off.
static void emit_access(ftc_codegen *cg, const access_kind *x, const char *name) {
    LLVMTypeRef params[] = {cg->ptr, cg->i64};
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 2, FTC_CG_EXPORTED, false);
    int lanes = x->whole_vector ? cg->lanes : 4;
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, lanes);
    LLVMValueRef p = LLVMGetParam(f.function, 0), zero = LLVMConstNull(vector), value = zero;
    LLVMValueRef mask = ftc_cg_tail_mask(cg, LLVMGetParam(f.function, 1), lanes);
    LLVMValueRef at[FTC_CG_MAX_LANES], pointers = NULL;
    for (int i = 0; i < lanes; i++) at[i] = ftc_cg_at(cg, cg->f32, p, ftc_cg_i64(cg, i));
    if (x->how == EACH_LANE) {
        pointers = LLVMGetUndef(LLVMVectorType(cg->ptr, (unsigned)lanes));
        for (int i = 0; i < lanes; i++)
            pointers = LLVMBuildInsertElement(cg->builder, pointers, at[i], ftc_cg_i64(cg, i), "");
    }
    LLVMTypeRef types[] = {vector, LLVMVectorType(cg->ptr, (unsigned)lanes)};
    if (x->how == PLAIN && x->writes) ftc_cg_store(cg, value, p);
    if (x->how == PLAIN && !x->writes) value = ftc_cg_load(cg, vector, p);
    if (x->how == MASKED && x->writes) ftc_cg_store_masked(cg, value, p, mask);
    if (x->how == MASKED && !x->writes) value = ftc_cg_load_masked(cg, vector, p, mask);
    if (x->how == EACH_LANE && x->writes) {
        LLVMValueRef args[] = {value, pointers, ftc_cg_i32(cg, 4), mask};
        ftc_cg_intrinsic(cg, "llvm.masked.scatter", types, 2, args, 4);
    }
    if (x->how == EACH_LANE && !x->writes) {
        LLVMValueRef args[] = {pointers, ftc_cg_i32(cg, 4), mask, zero};
        value = ftc_cg_intrinsic(cg, "llvm.masked.gather", types, 2, args, 4);
    }
    if (x->how == BYTES) {
        LLVMValueRef bytes = ftc_cg_i64(cg, lanes * (int)sizeof(float));
        LLVMBuildMemSet(cg->builder, p, LLVMConstNull(cg->i8), bytes, 4);
    }
    // What is read must have a use.
    if (!x->writes) ftc_cg_store(cg, value, ftc_cg_at(cg, cg->f32, p, ftc_cg_i64(cg, FTC_CG_MAX_LANES)));
    ftc_cg_function_end(cg, f, NULL);
}

typedef struct {
    void (*access)(float *p, int64_t active);
    const access_kind *is;
    int lanes, other; // another thread touches the float `other`
    int64_t active;
    float *floats; // a vector that is accessed, and room for what was read
} meeting;

static void *access_generated(void *context) {
    const meeting *m = context;
    m->access(m->floats, m->active);
    return NULL;
}

static void *access_in_c(void *context) {
    const meeting *m = context;
    volatile float *x = &m->floats[m->other];
    if (m->is->writes) {
        float read = *x;
        (void)read;
    } else {
        *x = 1;
    }
    return NULL;
}

static void meet(const void *context) {
    meeting m = *(const meeting *)context;
    m.floats = calloc(2 * FTC_CG_MAX_LANES, sizeof *m.floats);
    void *(*const works[])(void *) = {access_generated, access_in_c};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, works[i], &m)) abort();
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    free(m.floats);
}

static void check_accesses(const ftc_target *target) {
    char *error = NULL, name[32];
    size_t size;
    ftc_codegen *cg = ftc_codegen_new(target, "accesses", &error);
    cr_assert(cg, "%s", error ? error : "");
    for (int i = 0; i < N_ACCESSES; i++) {
        snprintf(name, sizeof name, "access_%d", i);
        emit_access(cg, &ACCESSES[i], name);
    }
    cr_assert(ftc_object_optimize(cg, &error), "%s", error ? error : "");
    char *bytes = ftc_object_emit(cg, &size, &error);
    ftc_loaded_object *loaded = bytes ? ftc_object_load(bytes, size, &error) : NULL;
    cr_assert(loaded, "%s", error ? error : "");
    for (int i = 0; i < N_ACCESSES; i++) {
        const access_kind *is = &ACCESSES[i];
        int lanes = is->whole_vector ? cg->lanes : 4;
        snprintf(name, sizeof name, "access_%d", i);
        meeting m = {.is = is, .lanes = lanes, .other = lanes - 1, .active = lanes};
        m.access = (void (*)(float *, int64_t))ftc_object_lookup(loaded, name, &error);
        cr_assert(m.access, "%s", error ? error : "");
        cr_expect(races(meet, &m), "%s, %s: no race is reported in the last lane", target->name, is->name);
        m.other = lanes; // behind the vector
        cr_expect(!races(meet, &m), "%s, %s: a race with what it does not touch", target->name, is->name);
        if (is->how != MASKED && is->how != EACH_LANE) continue;
        m.other = lanes - 1;
        m.active = lanes - 1;
        cr_expect(!races(meet, &m), "%s, %s: a race in a lane that is off", target->name, is->name);
    }
    ftc_object_unload(loaded);
    free(bytes);
    ftc_codegen_free(cg);
}

Test(races, of_every_kind_of_access_are_seen) {
    check_accesses(ftc_target_host());
    check_accesses(ftc_target_named("generic"));
}

// --- programs -----------------------------------------------------------------------------------------

enum { ALL = -1, NONE = -2, THREADS = 3 };

typedef struct {
    const ftc_graph *source;
    int without;   // the number of the barrier that is taken out, or ALL, or NONE
    int *barriers; // how many there are; NULL: not told
} step;

// After the pass that sets barriers, before the plan is made of them.
static void take_out(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *planned,
                     double seconds) {
    (void)entry, (void)seconds;
    const step *s = context;
    if (!pass || strcmp(pass->name, "schedule") != 0) return;
    ftc_graph *g = (ftc_graph *)planned;
    int n = 0;
    for (uint32_t k = 1; k < g->n_kernels; k++) {
        if (!g->kernels[k].barrier) continue;
        if (s->without == ALL || s->without == n) g->kernels[k].barrier = false;
        n++;
    }
    if (s->barriers) *s->barriers = n;
}

static void run_step(const void *context) {
    step s = *(const step *)context;
    ftc_compile_options options = {.entries = 1u << FTC_ENTRY_STEP, .after = take_out, .context = &s};
    ftc_loaded_program *loaded = test_compile(s.source, &options);
    test_values *v = test_values_new(s.source, 3);
    test_call *call = test_call_new(ftc_program_of(loaded), s.source, v, THREADS);
    test_call_run(call, FTC_ENTRY_STEP);
    test_call_free(call);
    test_values_free(v);
    ftc_program_unload(loaded);
}

static const char BAG[] = "model bag\n"
                          "axis B <= 6, H = 12, I = 40, C = 3, V = 20\n"
                          "axis S ragged B <= 8\n"
                          "input ids : i32[B, S] in V\n"
                          "input label : i32[B] in C\n"
                          "x = mean(embedding(\"table\", ids; V -> H); S)\n"
                          "x = gelu(linear(\"inner\", x; H -> I))\n"
                          "logits = linear(\"head\", x; I -> C)\n"
                          "loss = mean(cross_entropy(logits, label; C); B)\n"
                          "output loss, logits\n";

Test(races, without_a_barrier_are_seen) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("bag", BAG, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    int barriers = 0, seen = 0;
    run_step(&(step){g, NONE, &barriers}); // the test fails if it is reported
    cr_expect_gt(barriers, 5);
    cr_expect(races(run_step, &(step){g, ALL, NULL}));
    // Where two kernels cut their work in the same way, nothing happens without the barrier between them.
    for (int i = 0; i < barriers && seen < 3; i++) seen += races(run_step, &(step){g, i, NULL});
    cr_expect_eq(seen, 3);
    ftc_graph_free(g);
}

Test(races, random_graphs_have_none) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ftc_graph *g = test_random_graph(
            seed, &(test_graph_options){.n_nodes = 12, .quadratic = seed % 2, .step_abi = true});
        run_step(&(step){g, NONE, NULL});
        ftc_graph_free(g);
    }
}
