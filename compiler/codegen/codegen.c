#include "compiler/codegen/codegen.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/llvm.h"
#include "compiler/codegen/sanitize.h"
#include "ir/base/alloc.h"

static void release(void *cg, size_t bytes) {
    (void)bytes;
    ftc_codegen_free(cg);
}

ftc_codegen *ftc_codegen_new(const ftc_target *target, const char *module_name, char **error) {
    ftc_llvm_enter();
    ftc_arch_initialize(target->arch);

    const char *triple = target->arch->triple;
    char *message = NULL;
    LLVMTargetRef llvm_target;
    if (LLVMGetTargetFromTriple(triple, &llvm_target, &message)) {
        *error = ftc_format("LLVM cannot compile for %s: %s", triple, message);
        LLVMDisposeMessage(message);
        ftc_llvm_leave();
        return NULL;
    }
    ftc_codegen *cg = ftc_alloc(1, sizeof *cg);
    cg->target = target;
    // The emitters place code as it should run: a higher level takes a third longer and makes no step faster.
    cg->machine = LLVMCreateTargetMachine(llvm_target, triple, target->cpu, target->features,
                                          LLVMCodeGenLevelLess, LLVMRelocPIC, LLVMCodeModelDefault);
    cg->context = LLVMContextCreate();
    cg->module = LLVMModuleCreateWithNameInContext(module_name, cg->context);
    cg->builder = LLVMCreateBuilderInContext(cg->context);
    LLVMSetTarget(cg->module, triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(cg->machine);
    LLVMSetModuleDataLayout(cg->module, layout);
    LLVMDisposeTargetData(layout);

    cg->lanes = target->vector_bits / 32;
    cg->reads_exactly = FTC_SANITIZES_THREADS;
    cg->fast_math = LLVMFastMathAllowContract;
    cg->void_type = LLVMVoidTypeInContext(cg->context);
    cg->i1 = LLVMInt1TypeInContext(cg->context);
    cg->i8 = LLVMInt8TypeInContext(cg->context);
    cg->i16 = LLVMInt16TypeInContext(cg->context);
    cg->i32 = LLVMInt32TypeInContext(cg->context);
    cg->i64 = LLVMInt64TypeInContext(cg->context);
    cg->bf16 = LLVMBFloatTypeInContext(cg->context);
    cg->f32 = LLVMFloatTypeInContext(cg->context);
    cg->f64 = LLVMDoubleTypeInContext(cg->context);
    cg->ptr = LLVMPointerTypeInContext(cg->context, 0);
    ftc_care_begin(cg, 0, release);
    return cg;
}

void ftc_codegen_free(ftc_codegen *cg) {
    if (!cg) return;
    ftc_care_end(cg);
    if (!ftc_llvm_is_lost()) {
        LLVMDisposeBuilder(cg->builder);
        LLVMDisposeModule(cg->module);
        LLVMContextDispose(cg->context);
        LLVMDisposeTargetMachine(cg->machine);
    }
    free(cg);
    ftc_llvm_leave();
}

// --- functions ----------------------------------------------------------------------------------------

static LLVMAttributeRef enum_attribute(ftc_codegen *cg, const char *name) {
    return LLVMCreateEnumAttribute(cg->context, LLVMGetEnumAttributeKindForName(name, strlen(name)), 0);
}

static void add_text_attribute(ftc_codegen *cg, LLVMValueRef function, const char *name, const char *value) {
    LLVMAddAttributeAtIndex(
        function, LLVMAttributeFunctionIndex,
        LLVMCreateStringAttribute(cg->context, name, (unsigned)strlen(name), value, (unsigned)strlen(value)));
}

ftc_cg_function ftc_cg_function_begin(ftc_codegen *cg, const char *name, LLVMTypeRef result,
                                      const LLVMTypeRef *params, int n_params, ftc_cg_linkage linkage,
                                      bool noalias) {
    LLVMTypeRef type = LLVMFunctionType(result, (LLVMTypeRef *)params, (unsigned)n_params, 0);
    assert(!LLVMGetNamedFunction(cg->module, name));
    LLVMValueRef function = LLVMAddFunction(cg->module, name, type);
    if (linkage != FTC_CG_EXPORTED) LLVMSetLinkage(function, LLVMInternalLinkage);
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, enum_attribute(cg, "nounwind"));
    if (linkage == FTC_CG_OUTLINED)
        LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, enum_attribute(cg, "noinline"));
    add_text_attribute(cg, function, "target-cpu", cg->target->cpu);
    add_text_attribute(cg, function, "target-features", cg->target->features);
    // Without these two LLVM halves 512-bit vectors.
    char width[16];
    snprintf(width, sizeof width, "%d", cg->target->vector_bits);
    add_text_attribute(cg, function, "prefer-vector-width", width);
    add_text_attribute(cg, function, "min-legal-vector-width", width);
    if (cg->target->sve) {
        unsigned kind = LLVMGetEnumAttributeKindForName("vscale_range", strlen("vscale_range"));
        uint64_t scale = (uint64_t)cg->target->vector_bits / 128; // the least and the most: the same
        LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                                LLVMCreateEnumAttribute(cg->context, kind, scale << 32 | scale));
    }
    for (int i = 0; noalias && i < n_params; i++)
        if (params[i] == cg->ptr)
            LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)(i + 1), enum_attribute(cg, "noalias"));

    ftc_cg_function f = {function, cg->function, cg->function ? LLVMGetInsertBlock(cg->builder) : NULL};
    cg->function = function;
    LLVMPositionBuilderAtEnd(cg->builder, LLVMAppendBasicBlockInContext(cg->context, function, "entry"));
    return f;
}

void ftc_cg_function_end(ftc_codegen *cg, ftc_cg_function f, LLVMValueRef result) {
    if (result)
        LLVMBuildRet(cg->builder, result);
    else
        LLVMBuildRetVoid(cg->builder);
    cg->function = f.outer;
    if (f.outer) LLVMPositionBuilderAtEnd(cg->builder, f.outer_block);
}

LLVMValueRef ftc_cg_function_find(ftc_codegen *cg, const char *name) {
    return LLVMGetNamedFunction(cg->module, name);
}

LLVMValueRef ftc_cg_call(ftc_codegen *cg, LLVMValueRef function, const LLVMValueRef *args, int n_args) {
    return LLVMBuildCall2(cg->builder, LLVMGlobalGetValueType(function), function, (LLVMValueRef *)args,
                          (unsigned)n_args, "");
}

LLVMValueRef ftc_cg_intrinsic(ftc_codegen *cg, const char *name, const LLVMTypeRef *types, int n_types,
                              const LLVMValueRef *args, int n_args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    assert(id);
    LLVMValueRef function =
        LLVMGetIntrinsicDeclaration(cg->module, id, (LLVMTypeRef *)types, (size_t)n_types);
    return ftc_cg_call(cg, function, args, n_args);
}

// --- control flow -------------------------------------------------------------------------------------

static LLVMBasicBlockRef new_block(ftc_codegen *cg, const char *name) {
    return LLVMAppendBasicBlockInContext(cg->context, cg->function, name);
}

// Blocks: entry → head (phis, test) → body … → head, head → exit; nonempty: entry → head (phis, body …, test)
// → exit.
static ftc_cg_loop loop_begin(ftc_codegen *cg, LLVMValueRef start, LLVMValueRef end, LLVMValueRef step,
                              bool nonempty) {
    ftc_cg_loop loop = {.end = end, .step = step, .nonempty = nonempty};
    loop.entry = LLVMGetInsertBlock(cg->builder);
    loop.head = new_block(cg, "loop");
    loop.exit = new_block(cg, "done");
    LLVMBuildBr(cg->builder, loop.head);
    LLVMPositionBuilderAtEnd(cg->builder, loop.head);
    loop.index = LLVMBuildPhi(cg->builder, cg->i64, "i");
    LLVMAddIncoming(loop.index, &start, &loop.entry, 1);
    if (!nonempty) {
        LLVMBasicBlockRef body = new_block(cg, "body");
        LLVMBuildCondBr(cg->builder, ftc_cg_compare(cg, LLVMIntSLT, loop.index, end), body, loop.exit);
        LLVMPositionBuilderAtEnd(cg->builder, body);
    }
    return loop;
}

ftc_cg_loop ftc_cg_loop_begin(ftc_codegen *cg, LLVMValueRef start, LLVMValueRef end, LLVMValueRef step) {
    return loop_begin(cg, start, end, step, false);
}

ftc_cg_loop ftc_cg_loop_begin_nonempty(ftc_codegen *cg, LLVMValueRef start, LLVMValueRef end,
                                       LLVMValueRef step) {
    return loop_begin(cg, start, end, step, true);
}

LLVMValueRef ftc_cg_loop_carry(ftc_codegen *cg, ftc_cg_loop *loop, LLVMValueRef initial) {
    assert(loop->n_carried < FTC_CG_MAX_CARRIED);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->builder);
    LLVMPositionBuilderBefore(cg->builder, LLVMGetFirstInstruction(loop->head));
    LLVMValueRef phi = LLVMBuildPhi(cg->builder, LLVMTypeOf(initial), "");
    LLVMAddIncoming(phi, &initial, &loop->entry, 1);
    LLVMPositionBuilderAtEnd(cg->builder, here);
    loop->carried[loop->n_carried] = loop->next[loop->n_carried] = phi;
    loop->n_carried++;
    return phi;
}

static int carried_index(const ftc_cg_loop *loop, LLVMValueRef carried) {
    for (int i = 0; i < loop->n_carried; i++)
        if (loop->carried[i] == carried) return i;
    ftc_fault("a value is not carried by its loop");
}

void ftc_cg_loop_next(ftc_cg_loop *loop, LLVMValueRef carried, LLVMValueRef next) {
    loop->next[carried_index(loop, carried)] = next;
}

void ftc_cg_loop_end(ftc_codegen *cg, ftc_cg_loop *loop) {
    LLVMBasicBlockRef last = LLVMGetInsertBlock(cg->builder);
    LLVMValueRef next = ftc_cg_add(cg, loop->index, loop->step);
    LLVMAddIncoming(loop->index, &next, &last, 1);
    for (int i = 0; i < loop->n_carried; i++) LLVMAddIncoming(loop->carried[i], &loop->next[i], &last, 1);
    if (loop->nonempty)
        LLVMBuildCondBr(cg->builder, ftc_cg_compare(cg, LLVMIntSLT, next, loop->end), loop->head, loop->exit);
    else
        LLVMBuildBr(cg->builder, loop->head);
    LLVMPositionBuilderAtEnd(cg->builder, loop->exit);
}

LLVMValueRef ftc_cg_loop_result(const ftc_cg_loop *loop, LLVMValueRef carried) {
    return loop->nonempty ? loop->next[carried_index(loop, carried)] : carried;
}

ftc_cg_if ftc_cg_if_begin(ftc_codegen *cg, LLVMValueRef condition) {
    LLVMBasicBlockRef then = new_block(cg, "then");
    ftc_cg_if branch = {.other = new_block(cg, "else"), .end = new_block(cg, "endif")};
    LLVMBuildCondBr(cg->builder, condition, then, branch.other);
    LLVMPositionBuilderAtEnd(cg->builder, then);
    return branch;
}

void ftc_cg_if_else(ftc_codegen *cg, ftc_cg_if *branch) {
    LLVMBuildBr(cg->builder, branch->end);
    LLVMPositionBuilderAtEnd(cg->builder, branch->other);
    branch->other = NULL;
}

void ftc_cg_if_end(ftc_codegen *cg, ftc_cg_if *branch) {
    if (branch->other) ftc_cg_if_else(cg, branch);
    LLVMBuildBr(cg->builder, branch->end);
    LLVMPositionBuilderAtEnd(cg->builder, branch->end);
}

LLVMValueRef ftc_cg_variable(ftc_codegen *cg, LLVMTypeRef type) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->builder);
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(cg->function);
    LLVMValueRef first = LLVMGetFirstInstruction(entry);
    if (first) LLVMPositionBuilderBefore(cg->builder, first);
    LLVMValueRef variable = LLVMBuildAlloca(cg->builder, type, "");
    LLVMPositionBuilderAtEnd(cg->builder, here);
    return variable;
}

// --- constants and integers ---------------------------------------------------------------------------

LLVMValueRef ftc_cg_i64(ftc_codegen *cg, int64_t value) {
    return LLVMConstInt(cg->i64, (uint64_t)value, 1);
}
LLVMValueRef ftc_cg_i32(ftc_codegen *cg, int32_t value) {
    return LLVMConstInt(cg->i32, (uint64_t)(int64_t)value, 1);
}
LLVMValueRef ftc_cg_f32(ftc_codegen *cg, float value) {
    return LLVMConstReal(cg->f32, value);
}
LLVMValueRef ftc_cg_bool(ftc_codegen *cg, bool value) {
    return LLVMConstInt(cg->i1, value, 0);
}

LLVMValueRef ftc_cg_add(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildAdd(cg->builder, a, b, "");
}
LLVMValueRef ftc_cg_sub(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSub(cg->builder, a, b, "");
}
LLVMValueRef ftc_cg_mul(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildMul(cg->builder, a, b, "");
}

LLVMValueRef ftc_cg_div(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildUDiv(cg->builder, a, b, "");
}

LLVMValueRef ftc_cg_rem(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildURem(cg->builder, a, b, "");
}

LLVMValueRef ftc_cg_min(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return ftc_cg_select(cg, ftc_cg_compare(cg, LLVMIntSLT, a, b), a, b);
}

LLVMValueRef ftc_cg_max(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return ftc_cg_select(cg, ftc_cg_compare(cg, LLVMIntSGT, a, b), a, b);
}

LLVMValueRef ftc_cg_ceil_div(ftc_codegen *cg, LLVMValueRef a, int64_t b) {
    return ftc_cg_div(cg, ftc_cg_add(cg, a, ftc_cg_i64(cg, b - 1)), ftc_cg_i64(cg, b));
}

LLVMValueRef ftc_cg_round_up(ftc_codegen *cg, LLVMValueRef a, int64_t b) {
    return ftc_cg_mul(cg, ftc_cg_ceil_div(cg, a, b), ftc_cg_i64(cg, b));
}

LLVMValueRef ftc_cg_compare(ftc_codegen *cg, LLVMIntPredicate p, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(cg->builder, p, a, b, "");
}

LLVMValueRef ftc_cg_select(ftc_codegen *cg, LLVMValueRef condition, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(cg->builder, condition, a, b, "");
}

// --- vectors ------------------------------------------------------------------------------------------

LLVMTypeRef ftc_cg_vector_type(ftc_codegen *cg, LLVMTypeRef element, int lanes) {
    (void)cg;
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

int ftc_cg_lanes_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(type) : 1;
}

LLVMValueRef ftc_cg_splat(ftc_codegen *cg, LLVMValueRef scalar, int lanes) {
    if (lanes == 1) return scalar;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    LLVMValueRef first =
        LLVMBuildInsertElement(cg->builder, LLVMGetPoison(type), scalar, ftc_cg_i64(cg, 0), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(cg->i32, (unsigned)lanes));
    return LLVMBuildShuffleVector(cg->builder, first, LLVMGetPoison(type), zeros, "");
}

LLVMValueRef ftc_cg_iota(ftc_codegen *cg, LLVMValueRef first, int lanes) {
    if (lanes == 1) return first;
    LLVMValueRef numbers[FTC_CG_MAX_LANES];
    assert(lanes <= FTC_CG_MAX_LANES);
    for (int i = 0; i < lanes; i++) numbers[i] = LLVMConstInt(LLVMTypeOf(first), (uint64_t)i, 0);
    return ftc_cg_add(cg, ftc_cg_splat(cg, first, lanes), LLVMConstVector(numbers, (unsigned)lanes));
}

LLVMValueRef ftc_cg_fp(ftc_codegen *cg, LLVMValueRef instruction) {
    if (LLVMIsAInstruction(instruction) && LLVMCanValueUseFastMathFlags(instruction))
        LLVMSetFastMathFlags(instruction, cg->fast_math);
    return instruction;
}

LLVMValueRef ftc_cg_fadd(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return ftc_cg_fp(cg, LLVMBuildFAdd(cg->builder, a, b, ""));
}

LLVMValueRef ftc_cg_fsub(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return ftc_cg_fp(cg, LLVMBuildFSub(cg->builder, a, b, ""));
}

LLVMValueRef ftc_cg_fmul(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return ftc_cg_fp(cg, LLVMBuildFMul(cg->builder, a, b, ""));
}

LLVMValueRef ftc_cg_fdiv(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    return ftc_cg_fp(cg, LLVMBuildFDiv(cg->builder, a, b, ""));
}

LLVMValueRef ftc_cg_fmax(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return ftc_cg_fp(cg, ftc_cg_intrinsic(cg, "llvm.maxnum", &type, 1, (LLVMValueRef[]){a, b}, 2));
}

LLVMValueRef ftc_cg_fma(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMTypeRef type = LLVMTypeOf(a);
    const char *name = cg->target->fma ? "llvm.fma" : "llvm.fmuladd";
    return ftc_cg_fp(cg, ftc_cg_intrinsic(cg, name, &type, 1, (LLVMValueRef[]){a, b, c}, 3));
}

LLVMValueRef ftc_cg_shuffle(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b, const int *lanes, int n) {
    LLVMValueRef constants[FTC_CG_MAX_LANES];
    assert(n <= FTC_CG_MAX_LANES);
    for (int i = 0; i < n; i++) constants[i] = ftc_cg_i32(cg, lanes[i]);
    return LLVMBuildShuffleVector(cg->builder, a, b, LLVMConstVector(constants, (unsigned)n), "");
}

static LLVMValueRef reduce_by_halves(ftc_codegen *cg, LLVMValueRef vector,
                                     LLVMValueRef combine(ftc_codegen *, LLVMValueRef, LLVMValueRef)) {
    int lanes = ftc_cg_lanes_of(LLVMTypeOf(vector));
    if (lanes == 1) return vector;
    LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(vector));
    int low[FTC_CG_MAX_LANES], high[FTC_CG_MAX_LANES];
    for (int i = 0; i < lanes / 2; i++) low[i] = i, high[i] = lanes / 2 + i;
    if (lanes == 2)
        return combine(cg, LLVMBuildExtractElement(cg->builder, vector, ftc_cg_i64(cg, 0), ""),
                       LLVMBuildExtractElement(cg->builder, vector, ftc_cg_i64(cg, 1), ""));
    return reduce_by_halves(cg,
                            combine(cg, ftc_cg_shuffle(cg, vector, none, low, lanes / 2),
                                    ftc_cg_shuffle(cg, vector, none, high, lanes / 2)),
                            combine);
}

LLVMValueRef ftc_cg_sum_lanes(ftc_codegen *cg, LLVMValueRef vector) {
    return reduce_by_halves(cg, vector, ftc_cg_fadd);
}

LLVMValueRef ftc_cg_max_lanes(ftc_codegen *cg, LLVMValueRef vector) {
    return reduce_by_halves(cg, vector, ftc_cg_fmax);
}

// --- memory -------------------------------------------------------------------------------------------

static int element_bytes(ftc_codegen *cg, LLVMTypeRef type) {
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) type = LLVMGetElementType(type);
    return (int)LLVMABISizeOfType(LLVMGetModuleDataLayout(cg->module), type);
}

LLVMValueRef ftc_cg_at(ftc_codegen *cg, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef index) {
    return LLVMBuildInBoundsGEP2(cg->builder, element, base, &index, 1, "");
}

LLVMValueRef ftc_cg_load(ftc_codegen *cg, LLVMTypeRef type, LLVMValueRef address) {
    return ftc_cg_load_aligned(cg, type, address, element_bytes(cg, type));
}

void ftc_cg_store(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef address) {
    ftc_cg_store_aligned(cg, value, address, element_bytes(cg, LLVMTypeOf(value)));
}

LLVMValueRef ftc_cg_load_aligned(ftc_codegen *cg, LLVMTypeRef type, LLVMValueRef address, int alignment) {
    LLVMValueRef load = LLVMBuildLoad2(cg->builder, type, address, "");
    LLVMSetAlignment(load, (unsigned)alignment);
    return load;
}

LLVMValueRef ftc_cg_load_constant(ftc_codegen *cg, LLVMTypeRef type, LLVMValueRef address) {
    static const char name[] = "invariant.load";
    LLVMValueRef load = ftc_cg_load(cg, type, address);
    LLVMMetadataRef none = LLVMMDNodeInContext2(cg->context, NULL, 0);
    LLVMSetMetadata(load, LLVMGetMDKindIDInContext(cg->context, name, sizeof name - 1),
                    LLVMMetadataAsValue(cg->context, none));
    return load;
}

void ftc_cg_store_aligned(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef address, int alignment) {
    LLVMSetAlignment(LLVMBuildStore(cg->builder, value, address), (unsigned)alignment);
}

LLVMValueRef ftc_cg_tail_mask(ftc_codegen *cg, LLVMValueRef count, int lanes) {
    LLVMValueRef bounded = ftc_cg_max(cg, ftc_cg_min(cg, count, ftc_cg_i64(cg, lanes)), ftc_cg_i64(cg, 0));
    LLVMValueRef narrow = LLVMBuildTrunc(cg->builder, bounded, cg->i32, "");
    return ftc_cg_compare(cg, LLVMIntSLT, ftc_cg_iota(cg, ftc_cg_i32(cg, 0), lanes),
                          ftc_cg_splat(cg, narrow, lanes));
}

LLVMValueRef ftc_cg_load_masked(ftc_codegen *cg, LLVMTypeRef vector_type, LLVMValueRef address,
                                LLVMValueRef mask) {
    LLVMTypeRef types[] = {vector_type, cg->ptr};
    LLVMValueRef args[] = {address, ftc_cg_i32(cg, element_bytes(cg, vector_type)), mask,
                           LLVMConstNull(vector_type)};
    return ftc_cg_intrinsic(cg, "llvm.masked.load", types, 2, args, 4);
}

void ftc_cg_store_masked(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef address, LLVMValueRef mask) {
    LLVMTypeRef types[] = {LLVMTypeOf(value), cg->ptr};
    LLVMValueRef args[] = {value, address, ftc_cg_i32(cg, element_bytes(cg, LLVMTypeOf(value))), mask};
    ftc_cg_intrinsic(cg, "llvm.masked.store", types, 2, args, 4);
}

LLVMValueRef ftc_cg_load_overhanging(ftc_codegen *cg, LLVMTypeRef vector_type, LLVMValueRef address,
                                     LLVMValueRef mask) {
    if (mask && cg->reads_exactly) return ftc_cg_load_masked(cg, vector_type, address, mask);
    return ftc_cg_load(cg, vector_type, address);
}

void ftc_cg_prefetch(ftc_codegen *cg, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef index,
                     ftc_cg_cache into) {
    LLVMValueRef address = LLVMBuildGEP2(cg->builder, element, base, &index, 1, "");
    // The last three: read, keep, data.
    LLVMValueRef args[] = {address, ftc_cg_i32(cg, 0), ftc_cg_i32(cg, into), ftc_cg_i32(cg, 1)};
    ftc_cg_intrinsic(cg, "llvm.prefetch", &cg->ptr, 1, args, 4);
}
