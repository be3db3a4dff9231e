// An entry of a compiled program beside the interpreter, on values of a seed.
#ifndef FTC_TESTS_COMPARE_OUTPUTS_H
#define FTC_TESTS_COMPARE_OUTPUTS_H

#include "ir/step_abi.h"
#include "tests/expected.h"

// Runs the entry on some threads and compares every output of its graph, gradients in the order of their
// parameters. The test fails, with `what`, where they differ by more than roundings do.
void test_compare_outputs(const ftc_graph *g, ftc_entry_kind entry, const ftc_program *program, uint64_t seed,
                          int32_t threads, const char *what, test_counts *counts);

#endif
