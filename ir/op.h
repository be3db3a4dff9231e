// What an operation is: one ftc_op_info describes everything that the parser, verifier, differentiation,
// interpreter, emitter, tests and documentation know about it. To add an operation: write one block in
// ir/ops, add one line to ir/ops/ops.def.
#ifndef FTC_OP_H
#define FTC_OP_H

#include "ir/graph.h"
#include "ir/range.h"
#include "ir/scalar.h"

// How an operation relates its operands' cells to its result's. Passes and emitters ask for this and for
// traits (ftc_op_info), never which operation a node is; patterns of rules, which are algebra, name
// operations.
typedef enum {
    FTC_CLASS_LEAF,     // reads a declaration: param, input, arg
    FTC_CLASS_SOURCE,   // computed from coordinates alone, as its attributes say
    FTC_CLASS_MAP,      // one cell from the cells at the same coordinates; narrower operands are repeated
    FTC_CLASS_REDUCE,   // sum, max over `axes`
    FTC_CLASS_DOT,      // sum of products over `axes`
    FTC_CLASS_GATHER,   // cell whose coordinate on `axis` is the value of operand 1
    FTC_CLASS_SCATTER,  // adds into the cell whose coordinate on `axis` is the value of operand 1, over the
                        // axes of operand 1 that are not in `axes`
    FTC_CLASS_AT,       // cell whose coordinate on `axis` is `index`
    FTC_CLASS_PLACE,    // zero but where the coordinate on `axis` is `index`
    FTC_CLASS_RENAME,   // the same cells under another axis name
    FTC_CLASS_SHIFT,    // cell whose coordinate on `axis` is that on `to` minus `index`, or zero
    FTC_CLASS_BEFORE,   // the cell that its scan has one position before on `axis`, or else that of operand 0
    FTC_CLASS_SCAN,     // operand 1, which is computed from operand 0, its value one position before
    FTC_CLASS_DETACH,   // the same cells, no gradient
    FTC_CLASS_CALL,     // operand 0; operand 2 is the gradient of operand 1. Gone after `differentiate`
    FTC_CLASS_UPSTREAM, // in such an operand 2: the gradient that arrives at operand 0
    FTC_CLASS_EXTERN, // what a function that is not the compiler's makes of operands 1 …, meant to be operand
                      // 0, which only gives the type once there are gradients
    FTC_CLASS_UPDATED, // operand 0, a parameter's leaf, after the optimizer: what `assign` puts in its place
    FTC_CLASS_ASSIGN,  // writes operand 0 to the declaration's tensor at the end of the step
} ftc_op_class;

// Which attributes a node of the operation has (printed and parsed from this mask). A source is the number in
// each cell (FTC_ATTR_VALUE), the position along the axis (FTC_ATTR_AXIS), a random number of the site
// (FTC_ATTR_INDEX), or what the entry makes it (of_entry).
enum {
    FTC_ATTR_AXES = 1 << 0,  // after ';' in the operand list
    FTC_ATTR_AXIS = 1 << 1,  // the indexed axis
    FTC_ATTR_TO = 1 << 2,    // the axis that takes its place: "; S -> T", or "; S" for itself
    FTC_ATTR_VALUE = 1 << 3, // a number
    FTC_ATTR_INDEX = 1 << 4, // an integer
    FTC_ATTR_DECL = 1 << 5,  // a declaration
    // The result's dtype cannot be derived (cast, const, fill): set in node.type.dtype.
    FTC_ATTR_DTYPE = 1 << 6,
    FTC_ATTR_MAY_LACK_AXES = 1 << 7, // without axes, no ';' is written
    FTC_ATTR_SIGNED = 1 << 8,        // the integer may be negative, and is always written
    FTC_ATTR_SYMBOL = 1 << 9,        // the name of a function, in quotes
};

typedef struct ftc_interp ftc_interp;

// Computes the type of `node` (its operands and attributes are set) or describes what is wrong in `error`
// (one line, without a place; names the axes and extents concerned).
typedef bool ftc_infer_fn(const ftc_graph *g, const ftc_node *node, ftc_type *type, char *error,
                          int error_size);

// Appends the gradient of node `id` with respect to each operand, given the gradient `grad` of its result (of
// the result's type), and stores them in out[] (0: none). A result may have axes that the operand lacks: the
// caller sums over them; it may not lack any. Gradients are f32, also those of bf16 values. Nodes are built
// with ir/build.h.
typedef void ftc_gradient_fn(ftc_graph *g, ftc_id id, ftc_id grad, ftc_id out[FTC_MAX_ARGS]);

// What the result of `node` can be when its operands are what `args` says, in exact arithmetic; what the
// dtype does to it is added by ftc_range_find.
typedef ftc_range ftc_range_fn(const ftc_graph *g, const ftc_node *node, const ftc_range *args);

// The dtypes of a map: of its result and of its operands.
typedef struct {
    ftc_dtype to, from[FTC_MAX_ARGS];
} ftc_map_types;

// Map: the result from one cell of each operand, in double (integers and bools as numbers).
typedef double ftc_eval_fn(const ftc_map_types *types, const double *x);

// Everything else: computes all cells of the node's value (ir/interpret.h).
typedef void ftc_interpret_fn(ftc_interp *in, ftc_id id);

// Map: the same as an expression for the emitter. Handles of f32 and bf16 values are f32, of i32 and u32
// values i32.
typedef ftc_scalar ftc_body_fn(const ftc_scalar_builder *b, const ftc_map_types *types, const ftc_scalar *x);

typedef struct {
    const char *name;
    const char *doc;     // one paragraph for the language reference
    const char *example; // one line of .ir
    ftc_op_class class;
    uint8_t n_args;
    bool variadic; // n_args or more, up to FTC_MAX_ARGS
    uint32_t attrs;
    ftc_infer_fn *infer;
    ftc_gradient_fn *gradient;   // NULL: not differentiable (integers, comparisons, effects)
    ftc_eval_fn *eval;           // maps
    ftc_interpret_fn *interpret; // all but maps
    ftc_body_fn *body;           // maps; reductions: combines the value so far (x[0]) with one more (x[1])
    ftc_range_fn *range;         // NULL: the result can be whatever its dtype can hold
    double identity;             // reductions: the value of an empty one
    bool rounds; // computes anew: the last bit of an f32 result depends on what it is fused with
    // Maps: masks of operands. The result is zero when any, or when all of these are zero.
    uint8_t zero_any, zero_all;
    // Maps and reductions: masks of operands. The result is linear in each of these while the others stay, or
    // in all of these together.
    uint8_t linear_any, linear_all;
    bool of_difference;       // maps of two numbers: looks at their difference alone
    bool chooses;             // maps: operand 1 where operand 0 is true, else operand 2
    bool from_end;            // states: of a recurrence from the last position to the first
    bool of_entry;            // sources: one value in all cells, which the entry alone decides
    double low, high;         // operands for tests are drawn from here, away from kinks
    const char *const symbol; // infix form, NULL: none
    bool commutative;
} ftc_op_info;

const ftc_op_info *ftc_op_get(ftc_op op);
ftc_op ftc_op_find(const char *name); // FTC_OP_NONE: unknown

ftc_map_types ftc_node_map_types(const ftc_graph *g, const ftc_node *map);

static inline ftc_op_class ftc_node_class(const ftc_node *n) {
    return ftc_op_get(n->op)->class;
}

// One number in every cell: node->value.
static inline bool ftc_is_constant(const ftc_node *n) {
    return ftc_node_class(n) == FTC_CLASS_SOURCE && ftc_op_get(n->op)->attrs & FTC_ATTR_VALUE;
}

static inline bool ftc_is_zero(const ftc_node *n) {
    return ftc_is_constant(n) && n->value == 0;
}

// A reduction that is linear adds.
static inline bool ftc_is_sum(const ftc_node *n) {
    return ftc_node_class(n) == FTC_CLASS_REDUCE && ftc_op_get(n->op)->linear_any;
}

// Whether the node is its other operand times what operand `factor` says: x * r, r * x, x / r. The operation
// applied to another x and r, in this order, is that x times the same.
static inline bool ftc_scales_by(const ftc_node *n, int factor) {
    const ftc_op_info *info = ftc_op_get(n->op);
    return info->class == FTC_CLASS_MAP && info->n_args == 2 && info->linear_any & 1 &&
           (factor == 1 || info->commutative);
}

#endif
