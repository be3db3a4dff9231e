// The scalar operations of the language (ir/scalar.h) as LLVM instructions on vectors of a chosen width.
#ifndef FTC_CODEGEN_SCALAR_H
#define FTC_CODEGEN_SCALAR_H

#include "compiler/codegen/codegen.h"
#include "ir/scalar.h"

// Every ftc_scalar it takes and gives is an LLVMValueRef of type f32, i32 or i1, or a vector of `lanes` (> 1)
// of these. Instructions go to where the builder of `cg` stands.
ftc_scalar_builder ftc_codegen_scalar_builder(ftc_codegen *cg, int lanes);

// bf16 as it lies in memory: i16, or a vector of these. To bf16, f32 is rounded to nearest, ties to even; a
// denormal may become zero.
LLVMValueRef ftc_cg_f32_from_bf16(ftc_codegen *cg, LLVMValueRef bits);
LLVMValueRef ftc_cg_bf16_from_f32(ftc_codegen *cg, LLVMValueRef x);

#endif
