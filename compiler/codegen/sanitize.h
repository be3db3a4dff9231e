// In builds under ThreadSanitizer (-Db_sanitize=thread) generated code tells of the memory that it reads and
// writes, as the C code around it does. Other builds leave it as it is.
#ifndef FTC_SANITIZE_H
#define FTC_SANITIZE_H

#include "compiler/codegen/codegen.h"

// Adds calls of the sanitizer's run-time library to every function of an optimized module. False and a
// message in
// *error, to be freed: there is an instruction of which the sanitizer would not be told.
#ifdef FTC_SANITIZE_THREAD
#define FTC_SANITIZES_THREADS true
bool ftc_sanitize_threads(ftc_codegen *cg, char **error);
#else
#define FTC_SANITIZES_THREADS false
static inline bool ftc_sanitize_threads(ftc_codegen *cg, char **error) {
    (void)cg;
    (void)error;
    return true;
}
#endif

#endif
