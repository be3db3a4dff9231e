// The scalar operations of the language (ir/scalar.h) as LLVM instructions on vectors of a chosen width.
#ifndef FTC_CODEGEN_SCALAR_H
#define FTC_CODEGEN_SCALAR_H

#include "compiler/codegen.h"
#include "ir/scalar.h"

// Every ftc_scalar it takes and gives is an LLVMValueRef of type f32, i32 or i1, or a vector of `lanes` (> 1)
// of these. Instructions go to where the builder of `cg` stands.
ftc_scalar_builder ftc_codegen_scalar_builder(ftc_codegen *cg, int lanes);

#endif
