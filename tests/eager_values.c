#include "tests/eager_values.h"

#include <cblas.h>
#include <stdlib.h>

#include "ir/op.h"

void test_sgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (blasint)m,
                (blasint)n, (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

static void *eager_cells(ftc_dtype dtype, const double *values, int64_t n) {
    ftc_cell *cells = calloc((size_t)n + 1, sizeof *cells);
    for (int64_t i = 0; i < n; i++) {
        if (dtype == FTC_F32)
            cells[i].f = (float)values[i];
        else if (dtype == FTC_BOOL)
            ((uint8_t *)cells)[i] = values[i] != 0;
        else
            cells[i].i = (int32_t)(uint32_t)(int64_t)values[i];
    }
    return cells;
}

test_eager *test_eager_new(const ftc_graph *g, const test_values *v) {
    test_eager *e = malloc(sizeof *e);
    *e = (test_eager){.tensors = calloc(g->n_decls + 1, sizeof *e->tensors), .n_tensors = g->n_decls};
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_type *type = &g->decls[i].type;
        e->tensors[i] = eager_cells(type->dtype, v->tensors[i], ftc_interp_cells(g, &v->b, &type->axes));
    }
    e->bindings = (ftc_eager_bindings){.extents = v->extents,
                                       .lengths = v->b.lengths,
                                       .tensors = e->tensors,
                                       .seed = v->b.seed,
                                       .step = v->b.step,
                                       .micro_step = v->b.micro_step,
                                       .sgemm = test_sgemm};
    e->run = ftc_eager_new(g, &e->bindings);
    return e;
}

void test_eager_free(test_eager *e) {
    ftc_eager_free(e->run);
    for (uint32_t i = 0; i < e->n_tensors; i++) free(e->tensors[i]);
    free(e->tensors);
    free(e);
}
