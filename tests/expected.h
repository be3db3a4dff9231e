// What a graph computes, by the interpreter, and how far rounding may move each cell of it: the interpreter
// runs again with every computed value off by some roundings, which says it whatever the operations are.
// What is zero however it is rounded is zero; what is zero because terms cancel may be as far from it as
// the terms' roundings.
//
// The roundings are those of the graph that is compiled, if it is given: what the passes have made of the
// first one rounds elsewhere (the sum of p * dp over keys becomes a product of other rows, with roundings of
// its own), and to bf16 only what is cast to it.
#ifndef FTC_TESTS_EXPECTED_H
#define FTC_TESTS_EXPECTED_H

#include "tests/random_graph.h"

// The units of rounding, and how far apart two programs may be that both round.
typedef struct {
    double noise, bf16_noise; // largest relative error of a value (ftc_bindings)
    double factor;            // the difference allowed, in typical ones
    double vague;             // where more than this share of a tensor is allowed, comparing it says nothing
} test_rounding;

extern const test_rounding test_f32, test_bf16;

typedef struct test_expected test_expected;

// Runs the graph on test_values_new(g, seed). rounded: what is compiled of it, whose declarations and outputs
// have the same names, and which is freed with the result; NULL: the graph itself. all_touched: declarations
// whose values are 1 instead, by number; NULL: none.
test_expected *test_expected_new(const ftc_graph *g, ftc_graph *rounded, ftc_entry_kind entry, uint64_t seed,
                                 const test_rounding *rounding, const bool *all_touched);
void test_expected_free(test_expected *x);

const test_values *test_expected_values(const test_expected *x); // as they were before the run

// What comparisons have found so far.
typedef struct {
    int compared;
    int vague;       // in vain
    int by_interval; // off by more than is typical, so that each cell is held to what rounding makes of it
} test_counts;

// Compares a tensor with the value of node `id` in the order of `axes`, or, when id is 0, with what is
// assigned to declaration `decl`. Says what is wrong in `why`; NULL: nothing.
const char *test_expected_compare(const test_expected *x, ftc_id id, ftc_decl decl, const ftc_axes *axes,
                                  const float *got, int64_t n, test_counts *counts, char why[256]);

#endif
