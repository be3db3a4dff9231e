// OpenBLAS as the program's matrix product (--gemm openblas).
#ifndef FTC_DRIVER_BLAS_H
#define FTC_DRIVER_BLAS_H

#include "ir/step_abi.h"
#include "runtime/status.h"

// Loads OpenBLAS and gives its cblas_sgemm on one thread. OpenBLAS chooses its kernels when it is loaded, but
// knows no CPU newer than itself and then takes its slowest ones; so it is told which to take
// (OPENBLAS_CORETYPE, unless that is set already).
ftc_status ftc_blas_open(ftc_sgemm_fn **out);

// The kernels that run, "SkylakeX"; NULL before ftc_blas_open.
const char *ftc_blas_kernels(void);

#endif
