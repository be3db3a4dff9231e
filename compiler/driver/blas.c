#include "compiler/driver/blas.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// cblas.h's, with its enumerations and blasint as int.
typedef void cblas_sgemm_fn(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                            const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

static cblas_sgemm_fn *cblas_sgemm;
static const char *kernels;

// OpenBLAS's name of the best kernels for this CPU, or NULL when it should choose itself.
static const char *best_kernels(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return "SkylakeX";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return __builtin_cpu_is("amd") ? "Zen" : "Haswell";
    }
#endif
    return NULL;
}

static void sgemm(int32_t transpose_a, int32_t transpose_b, int64_t m, int64_t n, int64_t k, const float *a,
                  int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    cblas_sgemm(ROW_MAJOR, transpose_a ? TRANSPOSE : NO_TRANSPOSE, transpose_b ? TRANSPOSE : NO_TRANSPOSE,
                (int)m, (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

// Sets *function (a pointer to a function pointer) to the symbol, or to NULL.
static void find(void *library, const char *name, void *function) {
    void *symbol = library ? dlsym(library, name) : NULL;
    memcpy(function, &symbol, sizeof symbol);
}

ftc_status ftc_blas_open(ftc_sgemm_fn **out) {
    const char *wanted = best_kernels();
    if (wanted) setenv("OPENBLAS_CORETYPE", wanted, 0);
    setenv("OPENBLAS_NUM_THREADS", "1", 1); // the step's threads each call it for tiles of their own
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    char *(*corename)(void);
    find(library, "openblas_get_corename", &corename);
    find(library, "cblas_sgemm", &cblas_sgemm);
    if (!cblas_sgemm || !corename) {
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model was compiled with --gemm openblas, but OpenBLAS cannot be loaded "
                               "(%s): install libopenblas0, or compile with --gemm native",
                               library ? "it lacks cblas_sgemm" : dlerror());
    }
    kernels = corename();
    *out = sgemm;
    return FTC_STATUS_OK;
}

const char *ftc_blas_kernels(void) {
    return kernels;
}
