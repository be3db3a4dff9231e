// Eager execution (compiler/eager) of a graph on the values of a test (tests/random_graph.h).
#ifndef FTC_TESTS_EAGER_VALUES_H
#define FTC_TESTS_EAGER_VALUES_H

#include "compiler/eager/eager.h"
#include "tests/random_graph.h"

typedef struct {
    ftc_eager_bindings bindings;
    ftc_eager *run;
    void **tensors; // for each declaration, as eager execution has them in memory
    uint32_t n_tensors;
} test_eager;

// Ready to be run. Changes no cell of the values, which must outlive it.
test_eager *test_eager_new(const ftc_graph *g, const test_values *v);
void test_eager_free(test_eager *e);

// OpenBLAS, for eager execution and for programs compiled with --gemm openblas.
void test_sgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
