// LLVM's pass tells of loads and stores of up to 16 bytes, and silently passes over all others: wider
// vectors, masked accesses, tiles. These are told of here, before LLVM's pass comes.
#include "compiler/codegen/sanitize.h"

#include "ir/base/alloc.h"

#include <stdio.h>
#include <string.h>

#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>

enum {
    LLVM_TELLS_BYTES = 16, // of at most
    TILE_ROWS = 16,        // of AMX, as compiler/emit/amx.c configures it
    TILE_BYTES = 64,
};

// What an intrinsic does with memory: which argument is the address (or a vector of them), which one the
// mask, and the stride of tiles. Of what `type` says: the result, or the argument that is stored.
typedef enum { NOTHING, MASKED, EACH_LANE, TILE, TOLD_BY_LLVM } access_kind;
typedef struct {
    const char *prefix;
    access_kind kind;
    bool writes;
    unsigned address, mask, stride;
} access_rule;

static const access_rule RULES[] = {
    {.prefix = "llvm.masked.load.", .kind = MASKED, .address = 0, .mask = 2},
    {.prefix = "llvm.masked.store.", .kind = MASKED, .writes = true, .address = 1, .mask = 3},
    {.prefix = "llvm.masked.gather.", .kind = EACH_LANE, .address = 0, .mask = 2},
    {.prefix = "llvm.masked.scatter.", .kind = EACH_LANE, .writes = true, .address = 1, .mask = 3},
    {.prefix = "llvm.x86.tileloadd64", .kind = TILE, .address = 1, .stride = 2},
    {.prefix = "llvm.x86.tilestored64", .kind = TILE, .writes = true, .address = 1, .stride = 2},
    {.prefix = "llvm.x86.ldtilecfg", .kind = NOTHING}, // reads a constant
    {.prefix = "llvm.prefetch.", .kind = NOTHING},
    {.prefix = "llvm.lifetime.", .kind = NOTHING},
    {.prefix = "llvm.mem", .kind = TOLD_BY_LLVM},
};

// `bytes` (i64) from `address` on are read or written.
static void tell(ftc_codegen *cg, bool writes, LLVMValueRef address, LLVMValueRef bytes) {
    const char *name = writes ? "__tsan_write_range" : "__tsan_read_range";
    LLVMValueRef function = ftc_cg_function_find(cg, name);
    LLVMTypeRef params[] = {cg->ptr, cg->i64};
    if (!function)
        function = LLVMAddFunction(cg->module, name, LLVMFunctionType(cg->void_type, params, 2, 0));
    ftc_cg_call(cg, function, (LLVMValueRef[]){address, bytes}, 2);
}

static int64_t bytes_of(ftc_codegen *cg, LLVMTypeRef type) {
    return (int64_t)LLVMABISizeOfType(LLVMGetModuleDataLayout(cg->module), type);
}

// Of lanes that are masked off no bytes.
static void tell_lanes(ftc_codegen *cg, const access_rule *rule, LLVMValueRef call) {
    LLVMTypeRef vector = LLVMTypeOf(rule->writes ? LLVMGetOperand(call, 0) : call);
    LLVMTypeRef element = LLVMGetElementType(vector);
    LLVMValueRef address = LLVMGetOperand(call, rule->address), mask = LLVMGetOperand(call, rule->mask);
    LLVMValueRef bytes = ftc_cg_i64(cg, bytes_of(cg, element)), none = ftc_cg_i64(cg, 0);
    for (unsigned i = 0; i < LLVMGetVectorSize(vector); i++) {
        LLVMValueRef lane = ftc_cg_i64(cg, i), at;
        if (rule->kind == EACH_LANE)
            at = LLVMBuildExtractElement(cg->builder, address, lane, "");
        else
            at = ftc_cg_at(cg, element, address, lane);
        LLVMValueRef active = LLVMBuildExtractElement(cg->builder, mask, lane, "");
        tell(cg, rule->writes, at, ftc_cg_select(cg, active, bytes, none));
    }
}

static void tell_tile(ftc_codegen *cg, const access_rule *rule, LLVMValueRef call) {
    LLVMValueRef address = LLVMGetOperand(call, rule->address), stride = LLVMGetOperand(call, rule->stride);
    for (int row = 0; row < TILE_ROWS; row++) {
        LLVMValueRef offset = ftc_cg_mul(cg, stride, ftc_cg_i64(cg, row));
        tell(cg, rule->writes, ftc_cg_at(cg, cg->i8, address, offset), ftc_cg_i64(cg, TILE_BYTES));
    }
}

static void tell_wide(ftc_codegen *cg, bool writes, LLVMValueRef address, LLVMTypeRef type) {
    int64_t bytes = bytes_of(cg, type);
    bool told_by_llvm = bytes <= LLVM_TELLS_BYTES && (bytes & (bytes - 1)) == 0;
    if (!told_by_llvm) tell(cg, writes, address, ftc_cg_i64(cg, bytes));
}

static bool has_address(LLVMValueRef call) {
    for (unsigned i = 0; i < LLVMGetNumArgOperands(call); i++) {
        LLVMTypeRef type = LLVMTypeOf(LLVMGetOperand(call, i));
        if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) type = LLVMGetElementType(type);
        if (LLVMGetTypeKind(type) == LLVMPointerTypeKind) return true;
    }
    return false;
}

static bool tell_intrinsic(ftc_codegen *cg, LLVMValueRef call, char **error) {
    size_t length;
    const char *name = LLVMGetValueName2(LLVMGetCalledValue(call), &length);
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        const access_rule *rule = &RULES[i];
        if (strncmp(name, rule->prefix, strlen(rule->prefix)) != 0) continue;
        if (rule->kind == MASKED || rule->kind == EACH_LANE) tell_lanes(cg, rule, call);
        if (rule->kind == TILE) tell_tile(cg, rule, call);
        return true;
    }
    if (!has_address(call)) return true;
    *error = ftc_format("ThreadSanitizer would not know what %s reads and writes", name);
    return false;
}

static bool tell_instruction(ftc_codegen *cg, LLVMValueRef instruction, char **error) {
    LLVMPositionBuilderBefore(cg->builder, instruction);
    switch (LLVMGetInstructionOpcode(instruction)) {
    case LLVMLoad: tell_wide(cg, false, LLVMGetOperand(instruction, 0), LLVMTypeOf(instruction)); return true;
    case LLVMStore:
        tell_wide(cg, true, LLVMGetOperand(instruction, 1), LLVMTypeOf(LLVMGetOperand(instruction, 0)));
        return true;
    case LLVMCall:
        return LLVMGetIntrinsicID(LLVMGetCalledValue(instruction)) == 0 ||
               tell_intrinsic(cg, instruction, error);
    default: return true;
    }
}

static bool tell_function(ftc_codegen *cg, LLVMValueRef function, char **error) {
    static const char attribute[] = "sanitize_thread"; // LLVM's pass looks at no other function
    unsigned kind = LLVMGetEnumAttributeKindForName(attribute, strlen(attribute));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(cg->context, kind, 0));
    LLVMBasicBlockRef block = LLVMGetFirstBasicBlock(function);
    for (; block; block = LLVMGetNextBasicBlock(block))
        for (LLVMValueRef i = LLVMGetFirstInstruction(block); i; i = LLVMGetNextInstruction(i))
            if (!tell_instruction(cg, i, error)) return false;
    return true;
}

// GCC's run-time library lacks these functions of LLVM's. It watches what they are called as in C.
static void call_as_in_c(ftc_codegen *cg) {
    static const char *const names[] = {"memset", "memcpy", "memmove"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char told[32];
        snprintf(told, sizeof told, "__tsan_%s", names[i]);
        LLVMValueRef function = ftc_cg_function_find(cg, told);
        if (function) LLVMSetValueName2(function, names[i], strlen(names[i]));
    }
}

bool ftc_sanitize_threads(ftc_codegen *cg, char **error) {
    LLVMValueRef f = LLVMGetFirstFunction(cg->module);
    for (; f; f = LLVMGetNextFunction(f))
        if (!LLVMIsDeclaration(f) && !tell_function(cg, f, error)) return false;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failure = LLVMRunPasses(cg->module, "function(tsan)", cg->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!failure) {
        call_as_in_c(cg);
        return true;
    }
    char *message = LLVMGetErrorMessage(failure);
    *error = ftc_format("instrumenting the module: %s", message);
    LLVMDisposeErrorMessage(message);
    return false;
}
