// Recurrences: the cycles of a graph.
//
// A state, before(h0, S) or after(h0, S), is what its scan is one position before, or behind, and h0 where
// there is none. The scan is computed from the state, so that the two are a cycle, gone round position by
// position. What lies on it is a recurrence: one or several states that need each other, their scans, and
// what is between. All of these are values over S like any other; only the order in which their cells are
// computed is another. In the array a state stands before what reads it and its scan behind, which alone
// names the state.
#ifndef FTC_RECURRENCE_H
#define FTC_RECURRENCE_H

#include "ir/graph.h"

typedef struct {
    uint32_t n;
    uint32_t *of; // by node: the recurrence that it is part of, from 1; 0: none
    ftc_id *scan; // by node: of a state, its scan; else 0
} ftc_recurrences;

ftc_recurrences ftc_recurrences_find(const ftc_graph *g);
void ftc_recurrences_free(ftc_recurrences *r);

// The nodes in an order of evaluation, [n_nodes - 1]: those of a recurrence follow one another, behind all
// that they read from outside. Without recurrences that is the order of the array.
void ftc_recurrences_order(const ftc_graph *g, const ftc_recurrences *r, ftc_id *order);

// Behind the nodes of the recurrence that stands at order[i], or behind the node there.
uint32_t ftc_recurrences_end(const ftc_graph *g, const ftc_recurrences *r, const ftc_id *order, uint32_t i);

typedef void ftc_recurrence_report(void *context, ftc_id wrong, const char *message);

// Whether each state has one scan, and each recurrence can be computed position by position. If not, says
// what is wrong (one line), and with which node: one for each recurrence.
bool ftc_recurrences_check(const ftc_graph *g, const ftc_recurrences *r, ftc_recurrence_report *report,
                           void *context);

#endif
