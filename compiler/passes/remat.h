// Which values of the forward phase are kept for later phases, and which are computed again there.
#ifndef FTC_REMAT_H
#define FTC_REMAT_H

#include "ir/diag.h"
#include "ir/graph.h"

typedef enum {
    FTC_REMAT_UNUSED, // no later phase needs it
    FTC_REMAT_STORED,
    FTC_REMAT_AGAIN,
} ftc_remat_choice;

// What memory is worth. A contraction is computed again where that saves more than `bytes_per_flop` bytes for
// each floating-point operation; INFINITY: none is. Nodes from `until` on have a price of their own.
typedef struct {
    double bytes_per_flop, rest;
    ftc_id until;
} ftc_remat_prices;

// The cheapest choice for each node at these prices: choice[n_nodes].
void ftc_remat_choose(const ftc_graph *g, const ftc_remat_prices *prices, ftc_remat_choice *choice);

// Whether what nodes ask for (ftc_kept) can be had: of values of the forward phase, which later phases read.
// False after a diagnostic.
bool ftc_remat_check_kept(const ftc_graph *g, ftc_diagnostics *d);

// Rewrites the graph accordingly: later phases read copies, of the phase `recompute`, of what is not stored.
void ftc_remat_apply(ftc_graph *g, const ftc_remat_choice *choice);

// Whether the node is a contraction of the forward phase that may be computed again at a price.
bool ftc_remat_has_price(const ftc_graph *g, ftc_id id);

#endif
