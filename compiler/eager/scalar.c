#include "compiler/eager/scalar.h"

#include "ir/base/alloc.h"

#include <stdlib.h>

// Vectors that every CPU has, as GCC and Clang write them. Cells may lie anywhere.
enum { VECTOR = 4, MOST_HANDLES = 512 };
typedef float floats __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));

struct ftc_eager_lanes {
    ftc_scalar_builder builder;
    int n_vectors, n_handles;
    ftc_cell (*handles)[FTC_EAGER_LANES]; // [MOST_HANDLES]
};

static ftc_eager_lanes *lanes_of(const ftc_scalar_builder *b) {
    return b->self;
}

ftc_cell *ftc_eager_lanes_take(ftc_eager_lanes *lanes) {
    if (lanes->n_handles == MOST_HANDLES)
        ftc_fault("the body of an operation has more than %d steps", MOST_HANDLES);
    return lanes->handles[lanes->n_handles++];
}

// The result of an operation on vectors x[v], y[v], z[v] of the types given, into a new handle.
#define EACH(result_type, expression)                                                                        \
    result_type *r = (result_type *)ftc_eager_lanes_take(lanes_of(b));                                       \
    for (int v = 0; v < lanes_of(b)->n_vectors; v++) r[v] = (expression);                                    \
    return r;

#define CONSTANT(name, c_type, vector)                                                                       \
    static ftc_scalar name(const ftc_scalar_builder *b, c_type value) {                                      \
        EACH(vector, (vector){0} + value)                                                                    \
    }
CONSTANT(const_f32, float, floats)
CONSTANT(const_i32, int32_t, ints)
CONSTANT(const_bool, int, ints)

#define BINARY(name, vector, operator)                                                                       \
    static ftc_scalar name(const ftc_scalar_builder *b, ftc_scalar first, ftc_scalar second) {               \
        const vector *x = first, *y = second;                                                                \
        EACH(vector, x[v] operator y[v])                                                                     \
    }
BINARY(add_f32, floats, +)
BINARY(sub_f32, floats, -)
BINARY(mul_f32, floats, *)
BINARY(div_f32, floats, /)
BINARY(iadd, words, +)
BINARY(isub, words, -)
BINARY(imul, words, *)
BINARY(shl, words, <<)
BINARY(lshr, words, >>)
BINARY(ashr, ints, >>)
BINARY(iand, words, &)
BINARY(ior, words, |)
BINARY(ixor, words, ^)

// x where the mask (0 or -1) is set, else y.
static ints blend(ints mask, ints x, ints y) {
    return (mask & x) | (~mask & y);
}

#define CHOOSING(name, operator)                                                                             \
    static ftc_scalar name(const ftc_scalar_builder *b, ftc_scalar first, ftc_scalar second) {               \
        const floats *x = first, *y = second;                                                                \
        EACH(ints, blend((x[v] operator y[v]) | (y[v] != y[v]), (ints)x[v], (ints)y[v]))                     \
    }
CHOOSING(fmin2, <)
CHOOSING(fmax2, >)

static ftc_scalar fma3(const ftc_scalar_builder *b, ftc_scalar first, ftc_scalar second, ftc_scalar third) {
    const floats *x = first, *y = second, *z = third;
    EACH(floats, x[v] * y[v] + z[v])
}

static ftc_scalar choose(const ftc_scalar_builder *b, ftc_scalar condition, ftc_scalar first,
                         ftc_scalar second) {
    const ints *c = condition, *x = first, *y = second;
    EACH(ints, blend((ints) - (words)c[v], x[v], y[v])) // unsigned: lanes beyond the last cell hold anything
}

#define UNARY(name, from, to, expression)                                                                    \
    static ftc_scalar name(const ftc_scalar_builder *b, ftc_scalar operand) {                                \
        const from *x = operand;                                                                             \
        EACH(to, expression)                                                                                 \
    }
UNARY(negative, floats, floats, -x[v])
UNARY(absolute, ints, ints, x[v] & INT32_MAX)
UNARY(not, ints, ints, 1 - x[v])
UNARY(f32_from_i32, ints, floats, __builtin_convertvector(x[v], floats))
UNARY(f32_from_u32, words, floats, __builtin_convertvector(x[v], floats))
UNARY(i32_from_f32, floats, ints, __builtin_convertvector(x[v], ints))

static floats square_roots(floats x) {
    for (int i = 0; i < VECTOR; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
}
UNARY(square_root, floats, floats, square_roots(x[v]))

// Below 2^23, where there are fractions, adding 2^23 to |x| rounds them away.
static ints rounded(floats x) {
    ints bits = (ints)x, magnitude = bits & INT32_MAX;
    floats shifted = (floats)magnitude + 0x1p23f;
    ints whole = (ints)(shifted - 0x1p23f) | (bits & INT32_MIN);
    return blend((floats)magnitude < 0x1p23f, whole, bits);
}
UNARY(round_even, floats, ints, rounded(x[v]))

// To nearest, ties to even, on the upper half of the bits; a NaN stays one.
static words to_bf16(floats x) {
    words bits = (words)x;
    words nearest = bits + ((bits >> 16) & 1) + 0x7fff;
    return (words)blend(x == x, (ints)nearest, (ints)(bits | 0x400000)) & 0xffff0000u;
}
UNARY(round_to_bf16, floats, words, to_bf16(x[v]))

// The same bits seen as another type.
static ftc_scalar same(const ftc_scalar_builder *b, ftc_scalar x) {
    (void)b;
    return x;
}

#define COMPARE(name, vector)                                                                                \
    static ftc_scalar name(const ftc_scalar_builder *b, ftc_predicate p, ftc_scalar first,                   \
                           ftc_scalar second) {                                                              \
        const vector *x = first, *y = second;                                                                \
        switch (p) {                                                                                         \
        case FTC_EQ: {                                                                                       \
            EACH(ints, -(x[v] == y[v]))                                                                      \
        }                                                                                                    \
        case FTC_NE: {                                                                                       \
            EACH(ints, -(x[v] != y[v]))                                                                      \
        }                                                                                                    \
        case FTC_LT: {                                                                                       \
            EACH(ints, -(x[v] < y[v]))                                                                       \
        }                                                                                                    \
        case FTC_LE: {                                                                                       \
            EACH(ints, -(x[v] <= y[v]))                                                                      \
        }                                                                                                    \
        case FTC_GT: {                                                                                       \
            EACH(ints, -(x[v] > y[v]))                                                                       \
        }                                                                                                    \
        case FTC_GE: {                                                                                       \
            EACH(ints, -(x[v] >= y[v]))                                                                      \
        }                                                                                                    \
        }                                                                                                    \
        ftc_fault("there is no comparison %d", (int)p);                                                      \
    }
COMPARE(fcmp, floats)
COMPARE(icmp, ints)

ftc_eager_lanes *ftc_eager_lanes_new(void) {
    ftc_eager_lanes *lanes = ftc_alloc(1, sizeof *lanes);
    lanes->handles = ftc_alloc(MOST_HANDLES, sizeof *lanes->handles);
    lanes->builder = (ftc_scalar_builder){
        .self = lanes,
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
        .frint = round_even,
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
        .bits_from_f32 = same,
        .f32_from_bits = same,
        .f32_from_i32 = f32_from_i32,
        .f32_from_u32 = f32_from_u32,
        .i32_from_f32 = i32_from_f32,
        .f32_from_bool = f32_from_i32,
        .i32_from_bool = same,
        .round_to_bf16 = round_to_bf16,
    };
    return lanes;
}

void ftc_eager_lanes_free(ftc_eager_lanes *lanes) {
    if (!lanes) return;
    free(lanes->handles);
    free(lanes);
}

void ftc_eager_lanes_reset(ftc_eager_lanes *lanes, int n) {
    lanes->n_vectors = (n + VECTOR - 1) / VECTOR;
    lanes->n_handles = 0;
}

const ftc_scalar_builder *ftc_eager_lanes_builder(ftc_eager_lanes *lanes) {
    return &lanes->builder;
}
