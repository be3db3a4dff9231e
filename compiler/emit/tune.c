// The search is one choice after the other: the block of C in registers, then whether packed B is kept and
// how tall tiles are, then the length of a chunk of k, then the width of tiles. The candidates of one choice
// are compiled for all contractions at once; those of one contraction are measured in turns, each by its
// shortest time, so that a slow moment of the machine falls on all of them. In the end the best meets the
// default once more.
#include "compiler/emit/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/emit/emit.h"
#include "compiler/codegen/object.h"
#include "ir/base/alloc.h"
#include "ir/base/clock.h"

enum { MOST_CANDIDATES = 8, LEAST_ROUNDS = 5, MOST_ROUNDS = 60 };

static const double LEAST_SHARE = 0.005; // of the step's products: smaller contractions keep the default
static const double LEAST_GAIN = 1.02;   // what is closer may be noise
static const double ENOUGH_FLOPS = 2e8;  // of one measurement
static const double SECONDS = 0.15;      // for each candidate, rounds permitting

void ftc_tuned_add(ftc_tuned *tuned, const char *contraction, const char *plan, double gain) {
    tuned->list = ftc_realloc(tuned->list, (size_t)(tuned->n + 1), sizeof *tuned->list);
    ftc_tuned_plan *p = &tuned->list[tuned->n++];
    *p = (ftc_tuned_plan){ftc_strdup(contraction), ftc_strdup(plan), gain};
}

void ftc_tuned_free(ftc_tuned *tuned) {
    for (int i = 0; i < tuned->n; i++) {
        free(tuned->list[i].contraction);
        free(tuned->list[i].plan);
    }
    free(tuned->list);
    *tuned = (ftc_tuned){0};
}

ftc_contraction_plan ftc_tuned_plan_for(const ftc_tuned *tuned, const ftc_target *target,
                                        const ftc_contraction_case *c) {
    ftc_contraction_plan plan = ftc_contraction_plan_for(target, c);
    char text[FTC_CONTRACTION_TEXT];
    const char *why;
    ftc_contraction_case_text(c, text);
    for (int i = 0; tuned && i < tuned->n; i++)
        if (!strcmp(tuned->list[i].contraction, text))
            ftc_contraction_plan_parse(target, c, tuned->list[i].plan, &plan, &why);
    return plan;
}

// --- what is measured ---------------------------------------------------------------------------------

typedef struct {
    ftc_contraction_case what;
    int calls; // in a step
    ftc_contraction_plan best, candidates[MOST_CANDIDATES];
    int n_candidates;
    double seconds[MOST_CANDIDATES];
} search;

typedef struct {
    search *list;
    int n;
} searches;

static double flops_of(const search *s) {
    return 2.0 * (double)s->what.m * (double)s->what.n * (double)s->what.k;
}

// The distinct contractions of a step after all passes.
static searches find_contractions(const ftc_graph *g, const ftc_target *target) {
    searches all = {0};
    double total = 0;
    for (ftc_id first = 1, last; first < g->n_nodes; first = last) {
        uint32_t kernel = g->nodes[first].kernel;
        for (last = first + 1; last < g->n_nodes && g->nodes[last].kernel == kernel;) last++;
        if (!kernel || g->kernels[kernel].kind != FTC_KERNEL_DOT) continue;
        ftc_id dot;
        search s = {.what = ftc_contraction_case_of(g, first, last, &dot), .calls = 1};
        s.best = ftc_contraction_plan_for(target, &s.what);
        char text[FTC_CONTRACTION_TEXT], other[FTC_CONTRACTION_TEXT];
        ftc_contraction_case_text(&s.what, text);
        int i = 0;
        for (; i < all.n; i++) {
            ftc_contraction_case_text(&all.list[i].what, other);
            if (!strcmp(text, other)) break;
        }
        total += flops_of(&s);
        if (i < all.n) {
            all.list[i].calls++;
            continue;
        }
        all.list = ftc_realloc(all.list, (size_t)(all.n + 1), sizeof *all.list);
        all.list[all.n++] = s;
    }
    int kept = 0;
    for (int i = 0; i < all.n; i++)
        if (flops_of(&all.list[i]) * all.list[i].calls >= LEAST_SHARE * total) all.list[kept++] = all.list[i];
    all.n = kept;
    return all;
}

// --- candidates ---------------------------------------------------------------------------------------

// A plan by its text, unless the target cannot execute it or it is there already.
static void add_candidate(search *s, const ftc_target *target, ftc_contraction_plan plan) {
    char text[FTC_CONTRACTION_TEXT], other[FTC_CONTRACTION_TEXT];
    const char *why;
    plan.cols = plan.cols / plan.shape.cols * plan.shape.cols;
    ftc_contraction_plan_text(&plan, text);
    if (!ftc_contraction_plan_parse(target, &s->what, text, &plan, &why)) return;
    ftc_contraction_plan_text(&plan, text);
    for (int i = 0; i < s->n_candidates; i++) {
        ftc_contraction_plan_text(&s->candidates[i], other);
        if (!strcmp(text, other)) return;
    }
    if (s->n_candidates < MOST_CANDIDATES) s->candidates[s->n_candidates++] = plan;
}

static void add_blocks(search *s, const ftc_target *target) {
    static const struct {
        int rows, vectors;
    } blocks[] = {{8, 3}, {14, 2}, {6, 4}, {9, 3}, {6, 2}, {4, 3}, {12, 1}};
    bool many = target->vector_registers >= 32;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        ftc_contraction_plan plan = s->best;
        if (blocks[i].rows * blocks[i].vectors < (many ? 24 : 12)) continue; // leaves registers idle
        if (!ftc_gemm_shape_resize(target, &plan.shape, blocks[i].rows, blocks[i].vectors)) continue;
        plan.cols = (s->best.cols + plan.shape.cols - 1) / plan.shape.cols * plan.shape.cols;
        add_candidate(s, target, plan);
    }
}

static void add_tiles(search *s, const ftc_target *target) {
    static const struct {
        int64_t rows;
        bool keep_b;
    } tiles[] = {{64, true}, {128, true}, {256, true}, {512, false}, {1536, false}, {4096, false}};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        ftc_contraction_plan plan = s->best;
        plan.rows = tiles[i].rows;
        plan.keep_b = tiles[i].keep_b;
        add_candidate(s, target, plan);
    }
}

static void add_chunks(search *s, const ftc_target *target) {
    static const int64_t chunks[] = {192, 256, 384, 512, 768};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        ftc_contraction_plan plan = s->best;
        plan.k_chunk = chunks[i] * plan.shape.k_per_word;
        if (plan.k_chunk < 2 * s->what.k) add_candidate(s, target, plan);
    }
}

static void add_widths(search *s, const ftc_target *target) {
    for (int64_t cols = 96; cols <= 1536; cols *= 2) {
        ftc_contraction_plan plan = s->best;
        plan.cols = cols < plan.shape.cols ? plan.shape.cols : cols;
        add_candidate(s, target, plan);
    }
}

// --- measuring ----------------------------------------------------------------------------------------

typedef struct {
    ftc_contraction_fn *fn;
    const ftc_contraction_case *what;
    void *a, *b;
    float *c;
    char *scratch;
    int64_t scratch_bytes;
    int repetitions; // small ones are over before all threads have begun
} call;

static void call_on_thread(void *context, int32_t thread, int32_t threads) {
    const call *x = context;
    char *scratch = x->scratch + thread * x->scratch_bytes;
    for (int i = 0; i < x->repetitions; i++)
        x->fn(x->what->m, x->what->n, x->what->k, x->a, x->b, x->c, scratch, thread, threads);
}

// Aligned memory with small numbers in it, and slack behind.
static void *filled(int64_t floats) {
    size_t bytes = ((size_t)floats * sizeof(float) + FTC_STEP_SLACK_BYTES + 63) / 64 * 64;
    float *memory = ftc_alloc_aligned(64, bytes);
    for (size_t i = 0; i < bytes / sizeof *memory; i++) memory[i] = (float)(i % 7) - 3;
    return memory;
}

static void measure(search *s, ftc_contraction_fn *const *fns, const int64_t *scratch_bytes,
                    const ftc_tune_options *tune) {
    int64_t most = 0;
    for (int i = 0; i < s->n_candidates; i++)
        if (scratch_bytes[i] > most) most = scratch_bytes[i];
    call x = {.what = &s->what, .scratch_bytes = most, .repetitions = 1 + (int)(ENOUGH_FLOPS / flops_of(s))};
    x.a = filled(s->what.m * s->what.k);
    x.b = filled(s->what.k * s->what.n);
    x.c = filled(s->what.m * FTC_ALONE_LD(s->what.n));
    x.scratch = filled(most * tune->threads / (int64_t)sizeof(float));
    double begin = ftc_clock_seconds(), enough = SECONDS * s->n_candidates;
    for (int round = 0; round <= MOST_ROUNDS; round++) { // the first one does not count
        if (round > LEAST_ROUNDS && ftc_clock_seconds() - begin > enough) break;
        for (int i = 0; i < s->n_candidates; i++) {
            x.fn = fns[i];
            double start = ftc_clock_seconds();
            tune->run(tune->pool, call_on_thread, &x);
            double seconds = (ftc_clock_seconds() - start) / x.repetitions;
            if (round <= 1 || seconds < s->seconds[i]) s->seconds[i] = seconds;
        }
    }
    free(x.a);
    free(x.b);
    free(x.c);
    free(x.scratch);
}

// Compiles and measures all candidates. False: *error says why not.
static bool measure_all(searches *all, const ftc_target *target, const ftc_tune_options *tune, char **error) {
    ftc_codegen *cg = ftc_codegen_new(target, "tune", error);
    if (!cg) return false;
    int64_t(*scratch_bytes)[MOST_CANDIDATES] = ftc_alloc((size_t)all->n + 1, sizeof *scratch_bytes);
    char symbol[48];
    for (int s = 0; s < all->n; s++)
        for (int i = 0; i < all->list[s].n_candidates; i++) {
            snprintf(symbol, sizeof symbol, "contraction_%d_%d", s, i);
            scratch_bytes[s][i] =
                ftc_emit_contraction_alone(cg, symbol, &all->list[s].what, &all->list[s].candidates[i]);
        }
    size_t size;
    char *object = ftc_object_optimize(cg, error) ? ftc_object_emit(cg, &size, error) : NULL;
    ftc_loaded_object *code = object ? ftc_object_load(object, size, error) : NULL;
    bool ok = code != NULL;
    for (int s = 0; ok && s < all->n; s++) {
        ftc_contraction_fn *fns[MOST_CANDIDATES];
        for (int i = 0; ok && i < all->list[s].n_candidates; i++) {
            snprintf(symbol, sizeof symbol, "contraction_%d_%d", s, i);
            ok = (fns[i] = (ftc_contraction_fn *)ftc_object_lookup(code, symbol, error)) != NULL;
        }
        if (ok) measure(&all->list[s], fns, scratch_bytes[s], tune);
    }
    if (code) ftc_object_unload(code);
    free(object);
    free(scratch_bytes);
    ftc_codegen_free(cg);
    return ok;
}

// One choice for all contractions: the best so far against what `add` proposes.
static bool choose(searches *all, void (*add)(search *, const ftc_target *), const ftc_target *target,
                   const ftc_tune_options *tune, char **error) {
    for (int s = 0; s < all->n; s++) {
        all->list[s].candidates[0] = all->list[s].best;
        all->list[s].n_candidates = 1;
        add(&all->list[s], target);
    }
    if (!measure_all(all, target, tune, error)) return false;
    for (int s = 0; s < all->n; s++) {
        search *x = &all->list[s];
        int best = 0;
        for (int i = 1; i < x->n_candidates; i++)
            if (x->seconds[i] < x->seconds[best]) best = i;
        if (x->seconds[0] > LEAST_GAIN * x->seconds[best]) x->best = x->candidates[best];
    }
    return true;
}

static void add_best(search *s, const ftc_target *target) {
    ftc_contraction_plan best = s->candidates[0];
    s->candidates[0] = ftc_contraction_plan_for(target, &s->what);
    add_candidate(s, target, best);
}

static void keep_winner(const search *s, const ftc_tune_options *tune, ftc_tuned *tuned) {
    char what[FTC_CONTRACTION_TEXT], plan[FTC_CONTRACTION_TEXT];
    int winner = s->n_candidates > 1 && s->seconds[0] > LEAST_GAIN * s->seconds[1];
    ftc_contraction_case_text(&s->what, what);
    ftc_contraction_plan_text(&s->candidates[winner], plan);
    if (winner) ftc_tuned_add(tuned, what, plan, s->seconds[0] / s->seconds[1]);
    if (tune->told) tune->told(tune->context, what, plan, s->seconds[0], s->seconds[winner]);
}

bool ftc_tune(const ftc_graph *source, const ftc_compile_options *options, const ftc_tune_options *tune,
              ftc_tuned *tuned, ftc_diagnostics *d) {
    const ftc_target *target = options->target ? options->target : ftc_target_host();
    if (options->use_blas || !ftc_target_supported_here(target)) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "--tune measures this machine's own kernels: %s",
                     options->use_blas ? "leave out --gemm openblas"
                                       : "it cannot execute those of the --target");
        return false;
    }
    ftc_graph *g = ftc_compile_plan(source, FTC_ENTRY_STEP, options, d);
    searches all = {0};
    char *error = NULL;
    bool ok = g != NULL;
    if (ok) {
        all = find_contractions(g, target);
        ok = choose(&all, add_blocks, target, tune, &error) &&
             choose(&all, add_tiles, target, tune, &error) &&
             choose(&all, add_chunks, target, tune, &error) &&
             choose(&all, add_widths, target, tune, &error) && choose(&all, add_best, target, tune, &error);
        if (!ok) ftc_diag_add(d, NULL, NULL, 0, 0, "--tune: %s", error ? error : "out of memory");
        for (int s = 0; ok && s < all.n; s++) keep_winner(&all.list[s], tune, tuned);
    }
    free(error);
    free(all.list);
    if (g) ftc_graph_free(g);
    return ok;
}
