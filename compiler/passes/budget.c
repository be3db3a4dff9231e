// remat: what is stored for the backward phase, and what is computed again there (compiler/passes/remat.c),
// so that the plan meets the memory budget.
//
// Without a budget no contraction is computed again. With one, the price of memory rises step by step: first
// what saves much for little work is recomputed (the context of attention, the inner values of a feed-forward
// layer), in the end all but the residual stream, whole layers at a time. How much memory a choice takes is
// not estimated: the passes that follow run on a copy, and the plan says it. Between the last price that is
// too low and the first that will do, the higher one is asked of the first layers only, as many as the budget
// needs: their values are kept longest.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/passes/edits.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/remat.h"
#include "ir/base/alloc.h"
#include "ir/step_abi.h"

// Prices in bytes of memory for a floating-point operation: from more than anything costs down to less.
#define DEAREST  2.0
#define CHEAPEST 1e-7

static const ftc_remat_prices FASTEST = {INFINITY, INFINITY, 0};

// The arena of the plan that follows from the choice; INT64_MAX when the passes cannot make one.
static int64_t arena_of(const ftc_graph *g, const ftc_remat_choice *choice, const ftc_pass_options *options) {
    ftc_graph *copy = ftc_graph_clone(g);
    ftc_diagnostics d = {0};
    ftc_remat_apply(copy, choice);
    bool ok = true;
    for (const ftc_pass *pass = ftc_pass_find("remat") + 1; ok && pass < ftc_passes + ftc_n_passes; pass++)
        ok = pass->run(copy, options, &d);
    int64_t bytes = ok ? copy->arena_bytes : INT64_MAX;
    ftc_diag_free(&d);
    ftc_graph_free(copy);
    return bytes;
}

typedef struct {
    ftc_remat_prices prices;
    int64_t arena_bytes;
} plan;

typedef struct {
    const ftc_graph *g;
    const ftc_pass_options *options;
    ftc_remat_choice *choice, *last; // of the prices tried last; `last` of those before
} search;

// The plan at these prices; `before` when they lead to the same choice as the prices tried before.
static plan try_prices(search *s, ftc_remat_prices prices, const plan *before) {
    ftc_remat_choice *swap = s->last;
    s->last = s->choice;
    s->choice = swap;
    ftc_remat_choose(s->g, &prices, s->choice);
    bool same = before && !memcmp(s->choice, s->last, s->g->n_nodes * sizeof *s->choice);
    return (plan){prices, same ? before->arena_bytes : arena_of(s->g, s->choice, s->options)};
}

// Of the contractions that have a price, asks the higher price of memory of as few as will do, from the first
// on.
static plan refine(search *s, plan enough, double too_little, int64_t most_bytes) {
    const ftc_graph *g = s->g;
    ftc_id *priced = ftc_alloc(g->n_nodes, sizeof *priced);
    uint32_t n = 0, low = 0;
    for (ftc_id v = 1; v < g->n_nodes; v++)
        if (ftc_remat_has_price(g, v)) priced[n++] = v;
    for (uint32_t high = n; low + 1 < high;) {
        uint32_t middle = (low + high) / 2;
        ftc_remat_prices prices = {enough.prices.bytes_per_flop, too_little, priced[middle]};
        plan p = try_prices(s, prices, NULL);
        if (p.arena_bytes <= most_bytes) {
            enough = p;
            high = middle;
        } else {
            low = middle;
        }
    }
    free(priced);
    return enough;
}

// The fastest plan found whose arena has at most `most_bytes`, else the smallest.
static plan find_plan(search *s, int64_t most_bytes) {
    plan smallest = try_prices(s, FASTEST, NULL), before = smallest;
    double above_smallest = INFINITY; // the price tried before the smallest plan's
    for (double price = DEAREST; price > CHEAPEST && smallest.arena_bytes > most_bytes; price /= 2) {
        plan p = try_prices(s, (ftc_remat_prices){price, price, s->g->n_nodes}, &before);
        if (p.arena_bytes < smallest.arena_bytes) {
            smallest = p;
            above_smallest = before.prices.bytes_per_flop;
        }
        before = p;
    }
    if (smallest.prices.bytes_per_flop == INFINITY) return smallest;
    if (most_bytes < smallest.arena_bytes) most_bytes = smallest.arena_bytes;
    return refine(s, smallest, above_smallest, most_bytes);
}

int64_t ftc_resident_bytes(const ftc_graph *g, ftc_decl_kind kind) {
    int64_t bytes = 0;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_type *type = &g->decls[i].type;
        if (g->decls[i].kind != kind) continue;
        int64_t own = ftc_type_max_elements(g, type) * ftc_dtype_bytes(type->dtype) + FTC_STEP_SLACK_BYTES;
        bytes += (own + FTC_STEP_ALIGN - 1) / FTC_STEP_ALIGN * FTC_STEP_ALIGN;
    }
    return bytes;
}

static int64_t count_resident(const ftc_graph *g, const ftc_pass_options *options) {
    int64_t bytes = options->resident_bytes;
    for (int kind = 0; kind < FTC_DECL_INPUT; kind++) bytes += ftc_resident_bytes(g, (ftc_decl_kind)kind);
    return bytes;
}

static bool report(const ftc_graph *g, const ftc_pass_options *options, int64_t resident, int64_t arena,
                   ftc_diagnostics *d) {
    bool grad = options->entry == FTC_ENTRY_GRAD;
    int64_t scratch = options->scratch_bytes;
    ftc_diag_add(
        d, g->model, NULL, 0, 0,
        "the memory budget of %.1f MB cannot be met: the smallest is %.1f MB (%s %.1f, scratch of threads "
        "%.1f, arena %.1f with layers computed again); choose a smaller batch or length, or an optimizer "
        "with less state",
        (double)options->memory_budget_bytes / 1e6, (double)(resident + scratch + arena) / 1e6,
        grad ? "parameters, optimizer state and gradients" : "parameters and optimizer state",
        (double)resident / 1e6, (double)scratch / 1e6, (double)arena / 1e6);
    return false;
}

bool ftc_pass_remat(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    bool is_asked = false;
    for (ftc_id v = 1; v < g->n_nodes; v++) is_asked |= g->nodes[v].kept != FTC_KEPT_AS_IS_CHEAPEST;
    if (is_asked && !ftc_remat_check_kept(g, d)) return false;
    ftc_edits_keep(options, g);
    search s = {.g = g, .options = options};
    s.choice = ftc_alloc(g->n_nodes, sizeof *s.choice);
    s.last = ftc_alloc(g->n_nodes, sizeof *s.last);
    plan best = {.prices = FASTEST};
    bool ok = true;
    bool trains = options->entry == FTC_ENTRY_STEP || options->entry == FTC_ENTRY_GRAD;
    if (options->memory_budget_bytes && trains) {
        int64_t resident = count_resident(g, options), budget = options->memory_budget_bytes;
        best = find_plan(&s, budget - resident - options->scratch_bytes);
        bool must = budget != FTC_LEAST_MEMORY && !options->budget_is_a_wish;
        if (must && resident + options->scratch_bytes + best.arena_bytes > budget)
            ok = report(g, options, resident, best.arena_bytes, d);
    }
    if (ok) {
        ftc_remat_choose(g, &best.prices, s.choice);
        ftc_remat_apply(g, s.choice);
    }
    free(s.choice);
    free(s.last);
    return ok;
}
