// Calls the entries of a compiled program on the values of a test (tests/random_graph.h), without the
// runtime's batches and data sets.
#ifndef FTC_TESTS_CALL_PROGRAM_H
#define FTC_TESTS_CALL_PROGRAM_H

#include "compiler/artifact.h"
#include "ir/graph.h"
#include "tests/random_graph.h"

typedef struct test_call test_call;

// Copies of all values that the graph's declarations name; tensors of which the graph knows nothing (moments,
// gradients) are zero. All that the program has not written is NaN, and each buffer is guarded
// (runtime/loop/guard.h).
test_call *test_call_new(const ftc_program *program, const ftc_graph *g, const test_values *v,
                         int32_t threads);
// For programs compiled with --gemm openblas.
void test_call_use_sgemm(test_call *c, ftc_sgemm_fn *sgemm);

// Who is told of complete gradients (ftc_step_args.ready).
void test_call_tell(test_call *c, ftc_ready_fn *ready, void *context);

// Lets it update its slice of the rows (ftc_step_args.slice).
void test_call_slice(test_call *c, ftc_slice slice, ftc_gather_fn *gather, ftc_await_fn *await,
                     void *context);

void test_call_free(test_call *c);

void test_call_run(test_call *c, ftc_entry_kind entry);

// Compiles the entries (bits 1 << ftc_entry_kind) of a graph and loads the program, a guarded one where
// FTC_TEST_GUARD is set and memory is not what matters; fails the test with the diagnostics. Code for another
// kind of machine is run by an emulator (tests/foreign.h). The program must be unloaded.
ftc_loaded_program *test_compile(const ftc_graph *source, const ftc_compile_options *options);

// The cells of a tensor or of an output; the test fails when there is none of that name.
const float *test_call_tensor(const test_call *c, const char *name, int64_t *n);
const float *test_call_output(const test_call *c, const char *name, int64_t *n);

// Those of an output of any dtype, as numbers. To be freed.
double *test_call_cells(const test_call *c, const char *name, int64_t *n);

#endif
