#include "tests/scalar_now.h"

#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct {
    enum { IS_F32, IS_I32, IS_BOOL } kind;
    float f;
    int32_t i;
} cell;

enum { POOL = 1024 };
static cell pool[POOL];
static int pool_used;

void test_scalar_reset(void) {
    pool_used = 0;
}

static ftc_scalar push(cell c) {
    assert(pool_used < POOL);
    pool[pool_used] = c;
    return &pool[pool_used++];
}
ftc_scalar test_scalar_f32(float f) {
    return push((cell){.kind = IS_F32, .f = f});
}
ftc_scalar test_scalar_i32(int32_t i) {
    return push((cell){.kind = IS_I32, .i = i});
}
ftc_scalar test_scalar_bool(bool b) {
    return push((cell){.kind = IS_BOOL, .i = b});
}

float test_f32_of(ftc_scalar x) {
    assert(((cell *)x)->kind == IS_F32);
    return ((cell *)x)->f;
}
int32_t test_i32_of(ftc_scalar x) {
    assert(((cell *)x)->kind == IS_I32);
    return ((cell *)x)->i;
}
bool test_bool_of(ftc_scalar x) {
    assert(((cell *)x)->kind == IS_BOOL);
    return ((cell *)x)->i;
}

#define B const ftc_scalar_builder *b
#define F2(name, expression)                                                                                 \
    static ftc_scalar name(B, ftc_scalar p, ftc_scalar q) {                                                  \
        (void)b;                                                                                             \
        float x = test_f32_of(p), y = test_f32_of(q);                                                        \
        return test_scalar_f32(expression);                                                                  \
    }
#define F1(name, expression)                                                                                 \
    static ftc_scalar name(B, ftc_scalar p) {                                                                \
        (void)b;                                                                                             \
        float x = test_f32_of(p);                                                                            \
        return test_scalar_f32(expression);                                                                  \
    }
#define I2(name, expression)                                                                                 \
    static ftc_scalar name(B, ftc_scalar p, ftc_scalar q) {                                                  \
        (void)b;                                                                                             \
        uint32_t x = (uint32_t)test_i32_of(p), y = (uint32_t)test_i32_of(q);                                 \
        return test_scalar_i32((int32_t)(expression));                                                       \
    }
F2(now_fadd, x + y)
F2(now_fsub, x - y)
F2(now_fmul, x *y)
F2(now_fdiv, x / y)
F2(now_fmin, fminf(x, y))
F2(now_fmax, fmaxf(x, y))
F1(now_fneg, -x)
F1(now_fabs, fabsf(x))
F1(now_fsqrt, sqrtf(x))
F1(now_frint, rintf(x))
I2(now_iadd, x + y)
I2(now_isub, x - y)
I2(now_imul, x *y)
I2(now_shl, x << y)
I2(now_lshr, x >> y)
I2(now_ashr, (int32_t)x >> y)
I2(now_iand, x &y)
I2(now_ior, x | y)
I2(now_ixor, x ^ y)

static ftc_scalar now_const_f32(B, float value) {
    return (void)b, test_scalar_f32(value);
}
static ftc_scalar now_const_i32(B, int32_t value) {
    return (void)b, test_scalar_i32(value);
}
static ftc_scalar now_const_bool(B, int value) {
    return (void)b, test_scalar_bool(value);
}
static ftc_scalar now_fma(B, ftc_scalar x, ftc_scalar y, ftc_scalar z) {
    return (void)b, test_scalar_f32(fmaf(test_f32_of(x), test_f32_of(y), test_f32_of(z)));
}
static bool compared(ftc_predicate p, double x, double y) {
    const bool results[] = {[FTC_EQ] = x == y,
                            [FTC_NE] = x != y,
                            [FTC_LT] = x<y, [FTC_LE] = x <= y, [FTC_GT] = x> y,
                            [FTC_GE] = x >= y};
    return results[p];
}
static ftc_scalar now_fcmp(B, ftc_predicate p, ftc_scalar x, ftc_scalar y) {
    return (void)b, test_scalar_bool(compared(p, test_f32_of(x), test_f32_of(y)));
}
static ftc_scalar now_icmp(B, ftc_predicate p, ftc_scalar x, ftc_scalar y) {
    return (void)b, test_scalar_bool(compared(p, test_i32_of(x), test_i32_of(y)));
}
static ftc_scalar now_band(B, ftc_scalar x, ftc_scalar y) {
    return (void)b, test_scalar_bool(test_bool_of(x) && test_bool_of(y));
}
static ftc_scalar now_bor(B, ftc_scalar x, ftc_scalar y) {
    return (void)b, test_scalar_bool(test_bool_of(x) || test_bool_of(y));
}
static ftc_scalar now_bnot(B, ftc_scalar x) {
    return (void)b, test_scalar_bool(!test_bool_of(x));
}
static ftc_scalar now_select(B, ftc_scalar c, ftc_scalar x, ftc_scalar y) {
    return (void)b, test_bool_of(c) ? x : y;
}
static ftc_scalar now_bits_from_f32(B, ftc_scalar x) {
    int32_t i;
    float f = test_f32_of(x);
    memcpy(&i, &f, sizeof i);
    return (void)b, test_scalar_i32(i);
}
static ftc_scalar now_f32_from_bits(B, ftc_scalar x) {
    float f;
    int32_t i = test_i32_of(x);
    memcpy(&f, &i, sizeof f);
    return (void)b, test_scalar_f32(f);
}
static ftc_scalar now_f32_from_i32(B, ftc_scalar x) {
    return (void)b, test_scalar_f32((float)test_i32_of(x));
}
static ftc_scalar now_f32_from_u32(B, ftc_scalar x) {
    return (void)b, test_scalar_f32((float)(uint32_t)test_i32_of(x));
}
static ftc_scalar now_i32_from_f32(B, ftc_scalar x) {
    return (void)b, test_scalar_i32((int32_t)test_f32_of(x));
}
static ftc_scalar now_f32_from_bool(B, ftc_scalar x) {
    return (void)b, test_scalar_f32(test_bool_of(x));
}
static ftc_scalar now_i32_from_bool(B, ftc_scalar x) {
    return (void)b, test_scalar_i32(test_bool_of(x));
}
static ftc_scalar now_round_to_bf16(B, ftc_scalar x) {
    uint32_t u;
    float f = test_f32_of(x);
    memcpy(&u, &f, sizeof u);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&f, &u, sizeof f);
    return (void)b, test_scalar_f32(f);
}

const ftc_scalar_builder test_scalar_now = {
    .const_f32 = now_const_f32,
    .const_i32 = now_const_i32,
    .const_bool = now_const_bool,
    .fadd = now_fadd,
    .fsub = now_fsub,
    .fmul = now_fmul,
    .fdiv = now_fdiv,
    .fmin = now_fmin,
    .fmax = now_fmax,
    .fma = now_fma,
    .fneg = now_fneg,
    .fabs = now_fabs,
    .fsqrt = now_fsqrt,
    .frint = now_frint,
    .fcmp = now_fcmp,
    .iadd = now_iadd,
    .isub = now_isub,
    .imul = now_imul,
    .shl = now_shl,
    .lshr = now_lshr,
    .ashr = now_ashr,
    .iand = now_iand,
    .ior = now_ior,
    .ixor = now_ixor,
    .icmp = now_icmp,
    .band = now_band,
    .bor = now_bor,
    .bnot = now_bnot,
    .select = now_select,
    .bits_from_f32 = now_bits_from_f32,
    .f32_from_bits = now_f32_from_bits,
    .f32_from_i32 = now_f32_from_i32,
    .f32_from_u32 = now_f32_from_u32,
    .i32_from_f32 = now_i32_from_f32,
    .f32_from_bool = now_f32_from_bool,
    .i32_from_bool = now_i32_from_bool,
    .round_to_bf16 = now_round_to_bf16,
};

#undef B
