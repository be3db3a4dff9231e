// What every emitter is written with: one LLVM module under construction and a small vocabulary for building
// functions, loops, branches, memory accesses and f32 vectors. compiler/codegen/scalar.h adds the scalar
// operations of the language (ir/scalar.h), compiler/codegen/object.h turns the module into an object file.
//
// Conventions. Sizes, indices and strides are i64 and count elements. A "vector" of one lane is the scalar
// type itself, so code written for any lane count also makes scalar code. Floating-point instructions carry
// the flag `contract` and no other: nothing is reassociated, so a result does not depend on how the loops
// around it were cut.
#ifndef FTC_CODEGEN_H
#define FTC_CODEGEN_H

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "compiler/codegen/target.h"
#include "ir/step_abi.h"

#define FTC_CG_MAX_CARRIED 64
#define FTC_CG_MAX_LANES   64

typedef struct ftc_codegen ftc_codegen;

// What a scalar builder points to (compiler/codegen/scalar.h).
typedef struct {
    ftc_codegen *cg;
    int lanes;
} ftc_cg_width;

struct ftc_codegen {
    const ftc_target *target;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    LLVMBuilderRef builder;
    LLVMValueRef function; // the one being built, NULL between functions
    int lanes;             // f32 lanes of a full vector: target->vector_bits / 32
    bool reads_exactly;    // built under ThreadSanitizer: no load reads more than what counts
    LLVMTypeRef void_type, i1, i8, i16, i32, i64, bf16, f32, f64, ptr;
    LLVMFastMathFlags fast_math;               // set on every floating-point instruction that ftc_cg_fp sees
    ftc_cg_width widths[FTC_CG_MAX_LANES + 1]; // by lane count
};

// A new, empty module for `target` (which must outlive it). Returns NULL and a message in *error (to be
// freed) when LLVM does not know the target.
ftc_codegen *ftc_codegen_new(const ftc_target *target, const char *module_name, char **error);
void ftc_codegen_free(ftc_codegen *cg);

// --- functions ----------------------------------------------------------------------------------------

typedef enum {
    FTC_CG_EXPORTED, // visible in the object file
    FTC_CG_INTERNAL, // LLVM may inline it
    FTC_CG_OUTLINED, // internal, never inlined: emitted once however often it is called
} ftc_cg_linkage;

// What stands between ftc_cg_function_begin and _end. Functions may be begun while another is being built.
typedef struct {
    LLVMValueRef function;
    LLVMValueRef outer;
    LLVMBasicBlockRef outer_block;
} ftc_cg_function;

// Starts a function with the target's attributes (CPU, features, full vector width, nounwind) and puts the
// builder into its entry block. `name` must be unused in the module. Parameters: LLVMGetParam(f.function, i);
// pointer parameters are noalias when `noalias` says so (only where the callers guarantee it).
ftc_cg_function ftc_cg_function_begin(ftc_codegen *cg, const char *name, LLVMTypeRef result,
                                      const LLVMTypeRef *params, int n_params, ftc_cg_linkage linkage,
                                      bool noalias);

// Ends it with `ret void` (result NULL) or `ret result`, and goes back to the function that was being built
// before.
void ftc_cg_function_end(ftc_codegen *cg, ftc_cg_function f, LLVMValueRef result);

// The function of that name, NULL when the module has none yet: `if (!(f = ftc_cg_function_find(…))) f =
// emit(…)`.
LLVMValueRef ftc_cg_function_find(ftc_codegen *cg, const char *name);

LLVMValueRef ftc_cg_call(ftc_codegen *cg, LLVMValueRef function, const LLVMValueRef *args, int n_args);

// Calls an overloaded LLVM intrinsic, e.g. "llvm.fma" with types = {<16 x float>}.
LLVMValueRef ftc_cg_intrinsic(ftc_codegen *cg, const char *name, const LLVMTypeRef *types, int n_types,
                              const LLVMValueRef *args, int n_args);

// --- control flow -------------------------------------------------------------------------------------

// for (i = start; i < end; i += step), all i64, step > 0. A loop whose first test is known to pass may say so
// with ftc_cg_loop_begin_nonempty: its body runs at least once and the test stands at the end.
typedef struct {
    LLVMValueRef index; // inside the loop
    LLVMValueRef end, step;
    LLVMBasicBlockRef entry, head, exit;
    bool nonempty;
    int n_carried;
    LLVMValueRef carried[FTC_CG_MAX_CARRIED]; // phi nodes, in the order of ftc_cg_loop_carry
    LLVMValueRef next[FTC_CG_MAX_CARRIED];
} ftc_cg_loop;

ftc_cg_loop ftc_cg_loop_begin(ftc_codegen *cg, LLVMValueRef start, LLVMValueRef end, LLVMValueRef step);
ftc_cg_loop ftc_cg_loop_begin_nonempty(ftc_codegen *cg, LLVMValueRef start, LLVMValueRef end,
                                       LLVMValueRef step);

// A value carried from one iteration to the next, `initial` in the first. Call right after _begin, for all of
// them before anything else is built. Inside the loop the returned value is the current one; ftc_cg_loop_next
// says what the next iteration gets (by default the same).
LLVMValueRef ftc_cg_loop_carry(ftc_codegen *cg, ftc_cg_loop *loop, LLVMValueRef initial);
void ftc_cg_loop_next(ftc_cg_loop *loop, LLVMValueRef carried, LLVMValueRef next);
void ftc_cg_loop_end(ftc_codegen *cg, ftc_cg_loop *loop);

// After _end: what a carried value became.
LLVMValueRef ftc_cg_loop_result(const ftc_cg_loop *loop, LLVMValueRef carried);

typedef struct {
    LLVMBasicBlockRef other, end; // other: the else block
} ftc_cg_if;

ftc_cg_if ftc_cg_if_begin(ftc_codegen *cg, LLVMValueRef condition);
void ftc_cg_if_else(ftc_codegen *cg, ftc_cg_if *branch); // optional
void ftc_cg_if_end(ftc_codegen *cg, ftc_cg_if *branch);

// A local variable in the function's entry block (a register after optimization): for values that differ by
// branch.
LLVMValueRef ftc_cg_variable(ftc_codegen *cg, LLVMTypeRef type);

// --- constants and integers ---------------------------------------------------------------------------

LLVMValueRef ftc_cg_i64(ftc_codegen *cg, int64_t value);
LLVMValueRef ftc_cg_i32(ftc_codegen *cg, int32_t value);
LLVMValueRef ftc_cg_f32(ftc_codegen *cg, float value);
LLVMValueRef ftc_cg_bool(ftc_codegen *cg, bool value);

LLVMValueRef ftc_cg_add(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ftc_cg_sub(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ftc_cg_mul(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ftc_cg_div(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b); // operands >= 0, b > 0
LLVMValueRef ftc_cg_rem(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b); // operands >= 0, b > 0
LLVMValueRef ftc_cg_min(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b); // signed
LLVMValueRef ftc_cg_max(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b); // signed
LLVMValueRef ftc_cg_ceil_div(ftc_codegen *cg, LLVMValueRef a, int64_t b); // a >= 0
LLVMValueRef ftc_cg_round_up(ftc_codegen *cg, LLVMValueRef a, int64_t b); // to a multiple of b; a >= 0
LLVMValueRef ftc_cg_compare(ftc_codegen *cg, LLVMIntPredicate p, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ftc_cg_select(ftc_codegen *cg, LLVMValueRef condition, LLVMValueRef a, LLVMValueRef b);

// --- vectors ------------------------------------------------------------------------------------------

// lanes 1: the element itself.
LLVMTypeRef ftc_cg_vector_type(ftc_codegen *cg, LLVMTypeRef element, int lanes);
int ftc_cg_lanes_of(LLVMTypeRef type); // 1 for a scalar
LLVMValueRef ftc_cg_splat(ftc_codegen *cg, LLVMValueRef scalar, int lanes);

// {first, first + 1, …}: integer vector of the scalar's type.
LLVMValueRef ftc_cg_iota(ftc_codegen *cg, LLVMValueRef first, int lanes);

// Sets the flags that the instruction may have; returns it. Everything below already did.
LLVMValueRef ftc_cg_fp(ftc_codegen *cg, LLVMValueRef instruction);
LLVMValueRef ftc_cg_fadd(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ftc_cg_fsub(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ftc_cg_fmul(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ftc_cg_fdiv(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);
// The other operand when one is NaN.
LLVMValueRef ftc_cg_fmax(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b);

// a * b + c: one rounding where the target has FMA, else two (never a library call).
LLVMValueRef ftc_cg_fma(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);

// Sum and maximum over the lanes of a vector by halves: lane i with lane i + lanes/2, and so on.
LLVMValueRef ftc_cg_sum_lanes(ftc_codegen *cg, LLVMValueRef vector);
LLVMValueRef ftc_cg_max_lanes(ftc_codegen *cg, LLVMValueRef vector);

// Lanes of `vector` chosen and ordered by `lanes` (constants), as LLVM's shufflevector of (a, b).
LLVMValueRef ftc_cg_shuffle(ftc_codegen *cg, LLVMValueRef a, LLVMValueRef b, const int *lanes, int n);

// --- memory -------------------------------------------------------------------------------------------

// &((element *)base)[index].
LLVMValueRef ftc_cg_at(ftc_codegen *cg, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef index);

// The alignment is that of one element unless the address is known better.
LLVMValueRef ftc_cg_load(ftc_codegen *cg, LLVMTypeRef type, LLVMValueRef address);
void ftc_cg_store(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef address);
LLVMValueRef ftc_cg_load_aligned(ftc_codegen *cg, LLVMTypeRef type, LLVMValueRef address, int alignment);
void ftc_cg_store_aligned(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef address, int alignment);

// Of what nobody writes as long as the function runs: stores do not keep it, and what is computed from it,
// within their loop.
LLVMValueRef ftc_cg_load_constant(ftc_codegen *cg, LLVMTypeRef type, LLVMValueRef address);

// Lanes below `count` (i64; may be negative or more than lanes) as <lanes x i1>.
LLVMValueRef ftc_cg_tail_mask(ftc_codegen *cg, LLVMValueRef count, int lanes);

// Masked-off lanes are not accessed; loads give zero there.
LLVMValueRef ftc_cg_load_masked(ftc_codegen *cg, LLVMTypeRef vector_type, LLVMValueRef address,
                                LLVMValueRef mask);
void ftc_cg_store_masked(ftc_codegen *cg, LLVMValueRef value, LLVMValueRef address, LLVMValueRef mask);

// A whole vector, of which the lanes in `mask` count (NULL: all): the others may be past the end, or being
// written by another thread. Under ThreadSanitizer, to which that is a race, they are masked off.
LLVMValueRef ftc_cg_load_overhanging(ftc_codegen *cg, LLVMTypeRef vector_type, LLVMValueRef address,
                                     LLVMValueRef mask);

// Brings the cache line of ((element *)base)[index] into a cache; the address may lie outside of everything.
typedef enum { FTC_CG_INTO_L2 = 2, FTC_CG_INTO_L1 = 3 } ftc_cg_cache; // llvm.prefetch's locality
void ftc_cg_prefetch(ftc_codegen *cg, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef index,
                     ftc_cg_cache into);

#endif
