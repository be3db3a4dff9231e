#include "compiler/codegen/scalar.h"

static ftc_codegen *codegen_of(const ftc_scalar_builder *b) {
    return ((ftc_cg_width *)b->self)->cg;
}
static int lanes_of(const ftc_scalar_builder *b) {
    return ((ftc_cg_width *)b->self)->lanes;
}

static LLVMTypeRef f32_type(const ftc_scalar_builder *b) {
    return ftc_cg_vector_type(codegen_of(b), codegen_of(b)->f32, lanes_of(b));
}

static LLVMTypeRef i32_type(const ftc_scalar_builder *b) {
    return ftc_cg_vector_type(codegen_of(b), codegen_of(b)->i32, lanes_of(b));
}

static ftc_scalar const_f32(const ftc_scalar_builder *b, float value) {
    return ftc_cg_splat(codegen_of(b), ftc_cg_f32(codegen_of(b), value), lanes_of(b));
}

static ftc_scalar const_i32(const ftc_scalar_builder *b, int32_t value) {
    return ftc_cg_splat(codegen_of(b), ftc_cg_i32(codegen_of(b), value), lanes_of(b));
}

static ftc_scalar const_bool(const ftc_scalar_builder *b, int value) {
    return ftc_cg_splat(codegen_of(b), ftc_cg_bool(codegen_of(b), value), lanes_of(b));
}

// --- one LLVM instruction each ------------------------------------------------------------------------

#define BINARY(name, build)                                                                                  \
    static ftc_scalar name(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar y) {                        \
        return ftc_cg_fp(codegen_of(b), build(codegen_of(b)->builder, x, y, ""));                            \
    }
BINARY(add_f32, LLVMBuildFAdd)
BINARY(sub_f32, LLVMBuildFSub)
BINARY(mul_f32, LLVMBuildFMul)
BINARY(div_f32, LLVMBuildFDiv)
BINARY(iadd, LLVMBuildAdd)
BINARY(isub, LLVMBuildSub)
BINARY(imul, LLVMBuildMul)
BINARY(shl, LLVMBuildShl)
BINARY(lshr, LLVMBuildLShr)
BINARY(ashr, LLVMBuildAShr)
BINARY(iand, LLVMBuildAnd)
BINARY(ior, LLVMBuildOr)
BINARY(ixor, LLVMBuildXor)

#define CONVERSION(name, build, type)                                                                        \
    static ftc_scalar name(const ftc_scalar_builder *b, ftc_scalar x) {                                      \
        return build(codegen_of(b)->builder, x, type(b), "");                                                \
    }
CONVERSION(bits_from_f32, LLVMBuildBitCast, i32_type)
CONVERSION(f32_from_bits, LLVMBuildBitCast, f32_type)
CONVERSION(f32_from_i32, LLVMBuildSIToFP, f32_type)
CONVERSION(f32_from_u32, LLVMBuildUIToFP, f32_type)
CONVERSION(f32_from_bool, LLVMBuildUIToFP, f32_type)
CONVERSION(i32_from_bool, LLVMBuildZExt, i32_type)

#define INTRINSIC(name, llvm_name)                                                                           \
    static ftc_scalar name(const ftc_scalar_builder *b, ftc_scalar x) {                                      \
        LLVMTypeRef type = f32_type(b);                                                                      \
        LLVMValueRef arg = x;                                                                                \
        return ftc_cg_fp(codegen_of(b), ftc_cg_intrinsic(codegen_of(b), llvm_name, &type, 1, &arg, 1));      \
    }
INTRINSIC(absolute, "llvm.fabs")
INTRINSIC(square_root, "llvm.sqrt")
INTRINSIC(round_even, "llvm.roundeven")

static ftc_scalar negative(const ftc_scalar_builder *b, ftc_scalar x) {
    return ftc_cg_fp(codegen_of(b), LLVMBuildFNeg(codegen_of(b)->builder, x, ""));
}

static ftc_scalar not(const ftc_scalar_builder *b, ftc_scalar x) {
    return LLVMBuildNot(codegen_of(b)->builder, x, "");
}

static ftc_scalar choose(const ftc_scalar_builder *b, ftc_scalar condition, ftc_scalar x, ftc_scalar y) {
    return ftc_cg_select(codegen_of(b), condition, x, y);
}

static ftc_scalar fma3(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar y, ftc_scalar z) {
    return ftc_cg_fma(codegen_of(b), x, y, z);
}

static ftc_scalar icmp(const ftc_scalar_builder *b, ftc_predicate p, ftc_scalar x, ftc_scalar y) {
    static const LLVMIntPredicate predicates[] = {
        [FTC_EQ] = LLVMIntEQ,  [FTC_NE] = LLVMIntNE,  [FTC_LT] = LLVMIntSLT,
        [FTC_LE] = LLVMIntSLE, [FTC_GT] = LLVMIntSGT, [FTC_GE] = LLVMIntSGE,
    };
    return ftc_cg_compare(codegen_of(b), predicates[p], x, y);
}

static ftc_scalar fcmp(const ftc_scalar_builder *b, ftc_predicate p, ftc_scalar x, ftc_scalar y) {
    static const LLVMRealPredicate predicates[] = {
        [FTC_EQ] = LLVMRealOEQ, [FTC_NE] = LLVMRealUNE, [FTC_LT] = LLVMRealOLT,
        [FTC_LE] = LLVMRealOLE, [FTC_GT] = LLVMRealOGT, [FTC_GE] = LLVMRealOGE,
    };
    return ftc_cg_fp(codegen_of(b), LLVMBuildFCmp(codegen_of(b)->builder, predicates[p], x, y, ""));
}

// --- what takes more than one -------------------------------------------------------------------------

static ftc_scalar fmax2(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar y) {
    return ftc_cg_fmax(codegen_of(b), x, y);
}

static ftc_scalar fmin2(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar y) {
    LLVMTypeRef type = f32_type(b);
    return ftc_cg_fp(codegen_of(b),
                     ftc_cg_intrinsic(codegen_of(b), "llvm.minnum", &type, 1, (LLVMValueRef[]){x, y}, 2));
}

// Without SSE 4.1 LLVM would call the C library: adding 2^23 to |x| drops the fraction instead.
static ftc_scalar round_even_by_adding(const ftc_scalar_builder *b, ftc_scalar x) {
    ftc_scalar shift = const_f32(b, 0x1p23f), magnitude = absolute(b, x);
    ftc_scalar rounded = sub_f32(b, add_f32(b, magnitude, shift), shift);
    ftc_scalar sign = iand(b, bits_from_f32(b, x), const_i32(b, INT32_MIN));
    rounded = f32_from_bits(b, ior(b, bits_from_f32(b, rounded), sign));
    return choose(b, fcmp(b, FTC_LT, magnitude, shift), rounded, x);
}

// vscalefps, one register after the other.
static ftc_scalar scale_by_register(const ftc_scalar_builder *b, ftc_scalar x, ftc_scalar n) {
    ftc_codegen *cg = codegen_of(b);
    LLVMValueRef parts[FTC_CG_MAX_LANES];
    int n_parts = 0, list[FTC_CG_MAX_LANES];
    for (int first = 0; first < lanes_of(b); first += cg->lanes) {
        for (int i = 0; i < cg->lanes; i++) list[i] = first + i;
        LLVMValueRef part = ftc_cg_shuffle(cg, x, x, list, cg->lanes);
        // The last two: all lanes; rounding as set.
        LLVMValueRef args[] = {part, ftc_cg_shuffle(cg, n, n, list, cg->lanes), part,
                               LLVMConstAllOnes(cg->i16), ftc_cg_i32(cg, 4)};
        parts[n_parts++] = ftc_cg_intrinsic(cg, "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0, args, 5);
    }
    for (int width = cg->lanes; n_parts > 1; n_parts /= 2, width *= 2)
        for (int i = 0; i < n_parts / 2; i++) {
            for (int j = 0; j < 2 * width; j++) list[j] = j;
            parts[i] = ftc_cg_shuffle(cg, parts[2 * i], parts[2 * i + 1], list, 2 * width);
        }
    return parts[0];
}

// Out of range (and for NaN) LLVM's conversion is undefined; frozen it is some integer.
static ftc_scalar i32_from_f32(const ftc_scalar_builder *b, ftc_scalar x) {
    LLVMBuilderRef builder = codegen_of(b)->builder;
    return LLVMBuildFreeze(builder, LLVMBuildFPToSI(builder, x, i32_type(b), ""), "");
}

LLVMValueRef ftc_cg_f32_from_bf16(ftc_codegen *cg, LLVMValueRef bits) {
    int lanes = ftc_cg_lanes_of(LLVMTypeOf(bits));
    LLVMValueRef wide = LLVMBuildZExt(cg->builder, bits, ftc_cg_vector_type(cg, cg->i32, lanes), "");
    wide = LLVMBuildShl(cg->builder, wide, ftc_cg_splat(cg, ftc_cg_i32(cg, 16), lanes), "");
    return LLVMBuildBitCast(cg->builder, wide, ftc_cg_vector_type(cg, cg->f32, lanes), "");
}

// To nearest, ties to even, on the upper half of the bits; NaN only loses its lower half (and stays NaN:
// quiet).
LLVMValueRef ftc_cg_bf16_from_f32(ftc_codegen *cg, LLVMValueRef x) {
    int lanes = ftc_cg_lanes_of(LLVMTypeOf(x));
    LLVMTypeRef type = ftc_cg_vector_type(cg, cg->i16, lanes);
    if (cg->target->has_avx512_bf16) {
        LLVMValueRef rounded = LLVMBuildFPTrunc(cg->builder, x, ftc_cg_vector_type(cg, cg->bf16, lanes), "");
        return LLVMBuildBitCast(cg->builder, rounded, type, "");
    }
    ftc_scalar_builder builder = ftc_codegen_scalar_builder(cg, lanes), *b = &builder;
    ftc_scalar bits = bits_from_f32(b, x);
    ftc_scalar odd = iand(b, lshr(b, bits, const_i32(b, 16)), const_i32(b, 1));
    ftc_scalar rounded = iadd(b, bits, iadd(b, odd, const_i32(b, 0x7fff)));
    ftc_scalar quiet = ior(b, bits, const_i32(b, 0x400000));
    bits = choose(b, fcmp(b, FTC_EQ, x, x), rounded, quiet);
    return LLVMBuildTrunc(cg->builder, lshr(b, bits, const_i32(b, 16)), type, "");
}

static ftc_scalar round_to_bf16(const ftc_scalar_builder *b, ftc_scalar x) {
    return ftc_cg_f32_from_bf16(codegen_of(b), ftc_cg_bf16_from_f32(codegen_of(b), x));
}

ftc_scalar_builder ftc_codegen_scalar_builder(ftc_codegen *cg, int lanes) {
    ftc_cg_width *width = &cg->widths[lanes];
    bool has_scale = cg->target->vector_bits == 512 && lanes % cg->lanes == 0;
    *width = (ftc_cg_width){cg, lanes};
    return (ftc_scalar_builder){
        .self = width,
        .const_f32 = const_f32,
        .const_i32 = const_i32,
        .const_bool = const_bool,
        .fadd = add_f32,
        .fsub = sub_f32,
        .fmul = mul_f32,
        .fdiv = div_f32,
        .fmin = fmin2,
        .fmax = fmax2,
        .fma = fma3,
        .fneg = negative,
        .fabs = absolute,
        .fsqrt = square_root,
        .frint = cg->target->rounds ? round_even : round_even_by_adding,
        .fscale = has_scale ? scale_by_register : NULL,
        .fcmp = fcmp,
        .iadd = iadd,
        .isub = isub,
        .imul = imul,
        .shl = shl,
        .lshr = lshr,
        .ashr = ashr,
        .iand = iand,
        .ior = ior,
        .ixor = ixor,
        .icmp = icmp,
        .band = iand,
        .bor = ior,
        .bnot = not,
        .select = choose,
        .bits_from_f32 = bits_from_f32,
        .f32_from_bits = f32_from_bits,
        .f32_from_i32 = f32_from_i32,
        .f32_from_u32 = f32_from_u32,
        .i32_from_f32 = i32_from_f32,
        .f32_from_bool = f32_from_bool,
        .i32_from_bool = i32_from_bool,
        .round_to_bf16 = round_to_bf16,
    };
}
