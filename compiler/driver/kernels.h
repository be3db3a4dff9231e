// The files of --kernel: from C, LLVM's text or object files to objects that can be put into an artifact.
#ifndef FTC_DRIVER_KERNELS_H
#define FTC_DRIVER_KERNELS_H

#include "compiler/compile.h"
#include "compiler/driver/cli.h"

// `target` as in --target; NULL: this machine. False after a diagnostic; the list is to be freed in any case.
bool ftc_kernels_read(const ftc_text_list *files, const char *target, ftc_kernel_file **kernels, int *n,
                      ftc_diagnostics *d);
void ftc_kernels_free(ftc_kernel_file *kernels, int n);

#endif
