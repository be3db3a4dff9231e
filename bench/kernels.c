// ftc-kernels: the compiled contractions alone, on every matrix product of BERT's layers in its three roles,
// as GFLOP/s and as a share of the FMA peak measured on the spot, beside OpenBLAS.
//
//     ftc-kernels [--target NAME] [--precision fp32|bf16] [--threads N] [--cpu-time] [--serve]
//                 [--tokens N]...
//
// Times are minima over repetitions of about 0.1 s in total; B (and what the epilogue would do) is packed
// anew each time. With --cpu-time, of one thread, it is the time that the thread had a processor: what others
// do on a busy machine counts only as far as they share caches and memory. The peak is that of the target's
// vectors, and so are OpenBLAS's kernels. In bf16 activations and gradients are such, weights are rounded as
// they are packed, and OpenBLAS stays fp32. With --serve the process prints the table's head and how many
// rows there are, then for each line of standard input the row of that number (from 0), or for "peak" the
// peak measured again, so that bench/kernels can take turns with another contender.
#include <cblas.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/peak.h"
#include "compiler/emit/contraction_loops.h"
#include "compiler/codegen/object.h"
#include "ir/base/clock.h"

enum { MAX_TOKENS = 1 << 14, MAX_THREADS = 256, N_WEIGHTS = 6, N_ROLES = 3 };

// y[tokens, out] = x[tokens, in] · W[out, in]ᵀ
static const struct {
    const char *model;
    int64_t in, out;
} weights[N_WEIGHTS] = {{"MiniLM", 384, 384}, {"MiniLM", 384, 1536}, {"MiniLM", 1536, 384},
                        {"BERT", 768, 768},   {"BERT", 768, 3072},   {"BERT", 3072, 768}};
static const char *const roles[N_ROLES] = {"forward", "input gradient", "weight gradient"};

// One product: C[m × n] = op(A) · op(B); m or k is the number of tokens.
typedef struct {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
    int64_t lda, ldb;
    ftc_contraction_fn *compiled;
    int64_t scratch_bytes;
} product;

static product product_of(int weight, int role, int64_t tokens) {
    int64_t in = weights[weight].in, out = weights[weight].out;
    switch (role) {
    case 0: return (product){.m = tokens, .n = out, .k = in, .b_transposed = true, .lda = in, .ldb = in};
    case 1: return (product){.m = tokens, .n = in, .k = out, .lda = out, .ldb = in};
    default: return (product){.m = out, .n = in, .k = tokens, .a_transposed = true, .lda = out, .ldb = in};
    }
}

static void *must(void *pointer, const char *error) {
    if (pointer) return pointer;
    fprintf(stderr, "ftc-kernels: %s\n", error);
    exit(1);
}

// --- code ---------------------------------------------------------------------------------------------

static void symbol_name(char *name, size_t size, int weight, int role) {
    snprintf(name, size, "product_%d_%d", weight, role);
}

// Extents that the model fixes are constants, the tokens are a parameter: as in a compiled step.
static int64_t emit_product(ftc_codegen *cg, int weight, int role, bool in_bf16) {
    char name[32];
    symbol_name(name, sizeof name, weight, role);
    product p = product_of(weight, role, MAX_TOKENS);
    ftc_contraction_case what = {.m = p.m,
                                 .n = p.n,
                                 .k = p.k,
                                 .a_transposed = p.a_transposed,
                                 .b_transposed = p.b_transposed,
                                 .role = roles[role]};
    if (in_bf16) {
        what.a = FTC_FORM_BF16;
        what.b = role == 2 ? FTC_FORM_BF16 : FTC_FORM_ROUNDED;
    }
    what.extents[role == 2 ? 2 : 0] = "tokens";
    ftc_contraction_plan plan = ftc_contraction_plan_for(cg->target, &what);
    return ftc_emit_contraction_alone(cg, name, &what, &plan);
}

// What all rows of the table share.
typedef struct {
    const ftc_target *target;
    bool in_bf16;
    double (*clock)(void);
    ftc_loaded_object *code;
    int64_t scratch_bytes[N_WEIGHTS][N_ROLES], tokens[16];
    int n_tokens, threads;
    double peak_gflops;
    float *a, *b, *c, *scratch;
} table;

// The code of all products; the most bytes of scratch that one of them takes.
static int64_t compile_products(table *t) {
    char *error = NULL;
    ftc_codegen *cg = must(ftc_codegen_new(t->target, "kernels", &error), error);
    int64_t most_scratch = 0;
    for (int w = 0; w < N_WEIGHTS; w++)
        for (int role = 0; role < N_ROLES; role++) {
            t->scratch_bytes[w][role] = emit_product(cg, w, role, t->in_bf16);
            if (t->scratch_bytes[w][role] > most_scratch) most_scratch = t->scratch_bytes[w][role];
        }
    if (!ftc_object_optimize(cg, &error)) must(NULL, error);
    size_t size;
    char *object = must(ftc_object_emit(cg, &size, &error), error);
    t->code = must(ftc_object_load(object, size, &error), error);
    free(object);
    ftc_codegen_free(cg);
    return most_scratch;
}

// --- measuring ----------------------------------------------------------------------------------------

typedef struct {
    product p;
    int64_t tokens, thread, threads;
    const float *a, *b;
    float *c, *scratch;
    pthread_barrier_t *barrier;
    double (*clock)(void);
    double seconds; // thread 0: the shortest
} job;

// Each thread multiplies a share of the rows. OpenBLAS's own threads are not used: nothing keeps them off the
// cores of ours, and where two met, it reached half.
static void run_openblas(const job *j) {
    const product *p = &j->p;
    int64_t begin = p->m * j->thread / j->threads, end = p->m * (j->thread + 1) / j->threads;
    cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                p->b_transposed ? CblasTrans : CblasNoTrans, (blasint)(end - begin), (blasint)p->n,
                (blasint)p->k, 1, j->a + begin * (p->a_transposed ? 1 : p->lda), (blasint)p->lda, j->b,
                (blasint)p->ldb, 0, j->c + begin * p->n, (blasint)p->n);
}

// All threads do the same number of repetitions; a repetition's time is from barrier to barrier.
static void *run_job(void *context) {
    job *j = context;
    double flops = 2.0 * (double)j->p.m * (double)j->p.n * (double)j->p.k;
    int repetitions = (int)(0.1 / (flops / (100e9 * (double)j->threads))) + 3;
    j->seconds = 1e30;
    for (int r = 0; r < repetitions; r++) {
        pthread_barrier_wait(j->barrier);
        double start = j->clock();
        if (j->p.compiled)
            j->p.compiled(j->p.m, j->p.n, j->p.k, j->a, j->b, j->c, j->scratch, j->thread, j->threads);
        else
            run_openblas(j);
        pthread_barrier_wait(j->barrier);
        double seconds = j->clock() - start;
        if (seconds < j->seconds) j->seconds = seconds;
    }
    return NULL;
}

static double measure_gflops(const table *t, product p, int64_t tokens) {
    static job jobs[MAX_THREADS];
    static pthread_t ids[MAX_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)t->threads);
    for (int i = 0; i < t->threads; i++) {
        float *own = t->scratch + i * (p.scratch_bytes / (int64_t)sizeof(float));
        jobs[i] = (job){p, tokens, i, t->threads, t->a, t->b, t->c, own, &barrier, t->clock, 0};
        if (i > 0 && pthread_create(&ids[i], NULL, run_job, &jobs[i])) must(NULL, "cannot create a thread");
    }
    run_job(&jobs[0]);
    for (int i = 1; i < t->threads; i++) pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&barrier);
    return 2e-9 * (double)p.m * (double)p.n * (double)p.k / jobs[0].seconds;
}

static float *random_floats(int64_t n) {
    float *x = must(aligned_alloc(64, ((size_t)n * sizeof *x + FTC_STEP_SLACK_BYTES + 63) / 64 * 64),
                    "out of memory");
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * 7919 % 1000) / 500.0f - 1.0f;
    return x;
}

// OpenBLAS chooses its kernels before main, and older ones do not know newer CPUs: name the kernels and start
// again.
static void choose_openblas_kernels(const ftc_target *target, char **argv) {
    if (getenv("OPENBLAS_CORETYPE")) return;
    // Zen 4 does a vector of 512 bits in two halves: OpenBLAS's kernels for AVX2 reach more on it.
    bool wide = target->vector_bits == 512 && strcmp(ftc_target_host()->cpu, "znver4") != 0;
    setenv("OPENBLAS_CORETYPE", wide ? "SkylakeX" : target->vector_bits >= 256 ? "Haswell" : "Nehalem", 1);
    execv("/proc/self/exe", argv);
}

static double measure_peak_gflops(const table *t) {
    ftc_threads *pool = NULL;
    ftc_status status = ftc_threads_create(t->threads, &pool);
    must(pool, status.message);
    double gflops = ftc_peak_gflops_by(pool, t->target->vector_bits, t->clock);
    ftc_threads_free(pool); // its threads would be in the way of ours
    return gflops;
}

static int count_rows(const table *t) {
    return N_ROLES * N_WEIGHTS * t->n_tokens;
}

static void print_row(const table *t, int row) {
    int role = row / (N_WEIGHTS * t->n_tokens), w = row / t->n_tokens % N_WEIGHTS;
    int64_t tokens = t->tokens[row % t->n_tokens];
    char name[32], *error = NULL;
    symbol_name(name, sizeof name, w, role);
    product p = product_of(w, role, tokens);
    double theirs = measure_gflops(t, p, tokens);
    p.compiled = (ftc_contraction_fn *)ftc_object_lookup(t->code, name, &error);
    p.scratch_bytes = t->scratch_bytes[w][role];
    double ours = measure_gflops(t, p, tokens);
    printf("| %-15s | %-6s | %4ld | %4ld | %6ld | %7.1f | %5.1f %% | %8.1f | %5.1f %% |\n", roles[role],
           weights[w].model, (long)weights[w].in, (long)weights[w].out, (long)tokens, ours,
           100 * ours / t->peak_gflops, theirs, 100 * theirs / t->peak_gflops);
    fflush(stdout);
}

static void serve(table *t) {
    char line[32], *end;
    printf("%d rows\n", count_rows(t));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "peak\n") == 0) {
            t->peak_gflops = measure_peak_gflops(t);
            printf("%.1f\n", t->peak_gflops);
            fflush(stdout);
            continue;
        }
        long row = strtol(line, &end, 10);
        if (end == line || row < 0 || row >= count_rows(t)) must(NULL, "there is no row of this number");
        print_row(t, (int)row);
    }
}

int main(int argc, char **argv) {
    const char *target_name = "native";
    bool serves = false;
    table t = {.tokens = {300, 1024, 4096}, .threads = 1, .clock = ftc_clock_seconds};
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (strcmp(option, "--serve") == 0) {
            serves = true;
            continue;
        }
        if (strcmp(option, "--cpu-time") == 0) {
            t.clock = ftc_clock_cpu_seconds;
            continue;
        }
        const char *value = i + 1 < argc ? argv[++i] : "";
        if (strcmp(option, "--target") == 0)
            target_name = value;
        else if (strcmp(option, "--precision") == 0 &&
                 (strcmp(value, "fp32") == 0 || strcmp(value, "bf16") == 0))
            t.in_bf16 = strcmp(value, "bf16") == 0;
        else if (strcmp(option, "--threads") == 0)
            t.threads = atoi(value);
        else if (strcmp(option, "--tokens") == 0 && t.n_tokens < 16)
            t.tokens[t.n_tokens++] = atol(value);
        else
            must(NULL, "usage: ftc-kernels [--target NAME] [--precision fp32|bf16] [--threads N] "
                       "[--cpu-time] [--serve] [--tokens N]...");
    }
    if (t.n_tokens == 0) t.n_tokens = 3;
    for (int i = 0; i < t.n_tokens; i++)
        if (t.tokens[i] < 1 || t.tokens[i] > MAX_TOKENS) must(NULL, "--tokens takes 1 to 16384");
    if (t.threads < 1 || t.threads > MAX_THREADS) must(NULL, "--threads takes 1 to 256");
    if (t.threads > 1 && t.clock == ftc_clock_cpu_seconds) must(NULL, "--cpu-time is of one thread");
    const ftc_target *target = t.target = ftc_target_named(target_name);
    if (!target || !ftc_target_supported_here(target))
        must(NULL, "--target takes " FTC_TARGET_NAMES ", as far as this CPU can execute it");
    choose_openblas_kernels(target, argv);

    int64_t most_scratch = compile_products(&t);
    t.peak_gflops = measure_peak_gflops(&t);
    openblas_set_num_threads(1);
    printf("%s (%s), %d thread%s%s, FMA peak %.1f GFLOP/s; OpenBLAS kernels: %s\n\n", target->name,
           target->cpu, t.threads, t.threads > 1 ? "s" : "",
           t.clock == ftc_clock_cpu_seconds ? ", CPU time" : "", t.peak_gflops, openblas_get_corename());
    printf("| role            | model  |   in |  out | tokens | GFLOP/s | of peak | OpenBLAS | of peak |\n");
    printf("|-----------------|--------|-----:|-----:|-------:|--------:|--------:|---------:|--------:|\n");

    int64_t most = 0;
    for (int i = 0; i < t.n_tokens; i++) most = t.tokens[i] > most ? t.tokens[i] : most;
    most = (most > 768 ? most : 768) * 3072;
    t.a = random_floats(most);
    t.b = random_floats(most);
    t.c = random_floats(most);
    t.scratch = random_floats(most_scratch / (int64_t)sizeof(float) * t.threads);
    if (serves) serve(&t);
    for (int row = 0; !serves && row < count_rows(&t); row++) print_row(&t, row);
    free(t.a);
    free(t.b);
    free(t.c);
    free(t.scratch);
    ftc_object_unload(t.code);
    return 0;
}
