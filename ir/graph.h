// The graph: a training step as tensor operations over named axes.
//
// Everything that the compiler says about a model is in this one structure, and all of it can be printed as
// .ir text and parsed back (ir/print.h, ir/lang/parse.h). Nodes, axes, extents and declarations are small ids
// into arrays; a node's operands always come before it, so the array order is a valid order of evaluation at
// every stage.
//
// Sizes. An axis is a name plus an extent; an extent is a constant, a symbol (known at each call, up to a
// bound) or ragged: a length of its own for every element of another axis. Two axes with the same extent (S,
// and T = S) have the same lengths.
//
// Memory. The graph owns its arrays and strings (ftc_graph_free releases all at once). Pointers into the
// arrays are valid until the next node is added: hold ids, not pointers.
#ifndef FTC_GRAPH_H
#define FTC_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/step_abi.h"

typedef uint32_t ftc_id;     // a node; 0 is no node
typedef uint16_t ftc_axis;   // an axis; FTC_NO_AXIS is none
typedef uint16_t ftc_extent; // an extent
typedef uint16_t ftc_decl;   // a declaration; FTC_NO_DECL is none

#define FTC_NO_AXIS   ((ftc_axis)0xffff)
#define FTC_NO_DECL   ((ftc_decl)0xffff)
#define FTC_NO_EXTENT ((ftc_extent)0xffff)
#define FTC_MAX_AXES  8 // of a value
#define FTC_MAX_ARGS  16

#define FTC_MAX_GRAPH_AXES 256 // that a graph may declare

// An ordered list of distinct axes. The order is for people and for defaults; whether two lists are the same
// set is what the language asks.
typedef struct {
    uint8_t n;
    ftc_axis at[FTC_MAX_AXES];
} ftc_axes;

// Where a node comes from: file is an index into graph->files, line from 1 (0: made by the compiler).
typedef struct {
    uint16_t file;
    uint32_t line;
} ftc_loc;

// The line of the model's own text, which is the first file; 0: not known, or in another file.
static inline int32_t ftc_model_line(const ftc_loc *loc) {
    return loc->file == 0 ? (int32_t)loc->line : 0;
}

typedef enum { FTC_EXTENT_CONST, FTC_EXTENT_SYMBOL, FTC_EXTENT_RAGGED } ftc_extent_kind;

typedef struct {
    ftc_extent_kind kind;
    const char *name;    // name of the first axis that has it
    int64_t bound;       // constant: the size; symbol, ragged: the largest size planned for
    ftc_axis over;       // ragged: the axis whose every element has its own length, else FTC_NO_AXIS
    int64_t least;       // so many positions the nodes name by number (at, place); set by ftc_graph_append
    uint32_t least_line; // where they do, in the model's own text; 0: not known
} ftc_extent_def;

typedef struct {
    const char *name;
    ftc_extent extent;
} ftc_axis_def;

typedef struct {
    ftc_dtype dtype;
    ftc_axes axes;
} ftc_type;

typedef enum {
    FTC_DECL_PARAM,    // a weight
    FTC_DECL_MOMENT,   // optimizer state of a weight, named "<weight>.<slot>"
    FTC_DECL_GRADIENT, // gradient accumulator of a weight, named "<weight>.grad"
    FTC_DECL_TOUCHED,  // which rows of a table of weights have had a gradient, named "<weight>.touched"
    FTC_DECL_INPUT,    // given at each call: tensor
    FTC_DECL_ARG,      // given at each call: f32 scalar with a default
    FTC_DECL_SCALAR, // computed before each call by a formula over arguments and the step; named by its text
} ftc_decl_kind;

// What the graph reads from outside. Each declaration has exactly one leaf node (param, input or arg).
typedef struct {
    ftc_decl_kind kind;
    const char *name;
    ftc_type type;  // as the graph reads it: the dims' axes one after the other
    uint8_t n_dims; // the stored form, which inputs have none of: each dimension is one axis or merged, (A D)
    ftc_axes dims[FTC_MAX_DIMS];
    ftc_init_kind init;
    double init_scale;    // FTC_INIT_NORMAL: standard deviation; FTC_INIT_UNIFORM: from -it to it
    int32_t zero_row;     // row without gradient that starts at zero (padding_idx), else -1
    bool frozen;          // gets no gradient and no update
    bool is_shared;       // stands in a shared scope: declared again there, it is the same parameter
    ftc_decl of;          // moment, gradient, touched: the weight
    ftc_decl by;          // touched: the input whose values are the rows that a call reads
    ftc_axis bound;       // integer input: values index this axis; else FTC_NO_AXIS
    ftc_input_role from;  // input: what feeds it
    const char *column;   // input from a column, or an entry of config: its name
    double value;         // arg: default
    ftc_scalar_role role; // arg
    ftc_formula formula;  // scalar; its scalars are args, by declaration
    ftc_loc loc;
    ftc_id leaf; // its leaf node, 0: none yet; set by ftc_graph_append
} ftc_decl_def;

// What somebody wants of a value of the forward phase that later phases read: that it is kept in memory until
// then, or computed again.
typedef enum {
    FTC_KEPT_AS_IS_CHEAPEST,
    FTC_KEPT_STORED,
    FTC_KEPT_RECOMPUTED,
} ftc_kept;

// ir/ops/ops.def lists the operations, each described by one ftc_op_info (ir/op.h).
typedef enum {
    FTC_OP_NONE,
#define OP(name) FTC_OP_##name,
#include "ir/ops/ops.def"
#undef OP
    FTC_OP_COUNT
} ftc_op;

typedef struct {
    ftc_op op;
    ftc_type type;
    uint8_t n_args;
    ftc_id arg[FTC_MAX_ARGS];
    // Attributes; which of them an operation has is in its ftc_op_info.
    // Summed axes of sum, max, dot; axes of fill, random, place; those that scatter_add does not add over.
    ftc_axes axes;
    ftc_axis axis;   // the indexed axis of gather, scatter_add, at, place, index; the renamed axis of rename;
                     // that of a recurrence: before, after
    ftc_axis to;     // the new axis of rename
    bool outer;      // a map whose operands' axes are not a subset of one operand's: the union is meant
    double value;    // const, fill
    int64_t index;   // at, place: the position; random, before, after: the site; gather, scatter_add: row
                     // without gradient, else -1
    ftc_decl decl;   // param, input, arg, assign (the tensor written)
    uint16_t symbol; // extern: index into graph->symbols
    uint8_t
        entries; // assign: a mask of the entries that run it, 0: once an optimizer step; in the graph of an
                 // entry, which has no others, 0
    // Provenance and what the later passes decide.
    ftc_loc loc;
    ftc_phase phase;
    ftc_kept kept;   // asked of the pass remat; afterwards nothing
    uint32_t kernel; // index into graph->kernels, 0: none yet
    uint16_t step;   // tile kernels: the step within the kernel, from 0
    int64_t offset;  // bytes from the start of the arena; -1: not in memory
} ftc_node;

// When an assignment runs that does not say it, and one each micro-batch.
#define FTC_ENTRIES_ONCE_A_STEP      (1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_UPDATE)
#define FTC_ENTRIES_EACH_MICRO_BATCH (1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_GRAD)

// A named result. `entries` is a mask of 1 << ftc_entry_kind.
typedef struct {
    const char *name;
    ftc_id node;
    uint32_t entries;
    ftc_output_role role;
    ftc_decl of;    // factor, gradient: the parameter; else FTC_NO_DECL
    ftc_axes order; // of the axes when it became an output: so the caller gets it, whatever node makes it
} ftc_output;

typedef enum {
    FTC_KERNEL_NONE,
    FTC_KERNEL_ROWS,    // maps and reductions within a row; rows are split among threads
    FTC_KERNEL_COLUMNS, // reductions over rows; columns are split among threads, rows are added in order
    FTC_KERNEL_DOT,     // one contraction as a matrix product, and maps applied to its tiles
    FTC_KERNEL_TILE,    // contractions, maps and reductions on tiles that live in scratch, one work item per
                        // `rows` cell
    FTC_KERNEL_SCATTER, // rows added into a table, each destination row owned by one thread
    FTC_KERNEL_EXTERN,  // somebody else's function, called by every thread (ir/ftc_kernel.h)
} ftc_kernel_kind;

// A group of nodes executed together. Its nodes are those with node.kernel == its index, in array order.
typedef struct {
    ftc_kernel_kind kind;
    const char *name; // unique within the graph: what profiles, diagnostics and symbols show
    ftc_axes rows;    // the axes of the work items
    ftc_axes cols;    // the axes of the innermost loop
    ftc_axis block;   // tile: the axis that is cut into blocks of `block_size`, else FTC_NO_AXIS
    int32_t block_size;
    // Tile: of its cells, at position i on the block's axis and j on the other ragged one, those alone count
    // for which window_low <= j - i <= window_high.
    bool has_window;
    int32_t window_low, window_high;
    bool barrier;      // all threads wait before it: it reads what another thread wrote
    const char *plain; // why it computes by rows or columns what tiles are for; NULL: it does not
} ftc_kernel;

// An entry of the model's config, family or train block, in source order.
typedef struct {
    const char *name, *hf_name; // hf_name NULL: Hugging Face has none
    const char *text;           // a string or name; NULL: a number
    double number;
    bool is_integer;
    ftc_config_role role; // of the config block's
} ftc_graph_setting;

typedef struct ftc_arena ftc_arena;

typedef struct {
    ftc_arena *arena; // owns the strings
    const char *model;
    ftc_node *nodes; // nodes[0] is unused
    uint32_t n_nodes, nodes_capacity;
    ftc_axis_def *axes;
    uint32_t n_axes, axes_capacity;
    ftc_extent_def *extents;
    uint32_t n_extents, extents_capacity;
    ftc_decl_def *decls;
    uint32_t n_decls, decls_capacity;
    // [n_decl_slots] by the hash of their names, open addressing, FTC_NO_DECL where free.
    ftc_decl *decl_slots;
    uint32_t n_decl_slots;
    ftc_output *outputs;
    uint32_t n_outputs, outputs_capacity;
    ftc_kernel *kernels; // kernels[0] is unused
    uint32_t n_kernels, kernels_capacity;
    ftc_graph_setting *config, *family, *train;
    uint32_t n_config, config_capacity, n_family, family_capacity, n_train, train_capacity;
    // Text of the model's own functions and optimizers that the pass `optimizer` may call, with all else of
    // its file blank, so that places in it are those in the file; NULL: there are none, or the pass has been.
    const char *functions, *functions_file;
    const char **files;
    uint32_t n_files, files_capacity;
    const char **symbols; // of functions that are not the compiler's (extern)
    uint32_t n_symbols, symbols_capacity;
    // Of an entry's graph: the pass that it has been through last, "expand" before the first, and the entry;
    // NULL: it is no entry's. Passes put it there, dumps say it.
    const char *stage;
    ftc_entry_kind stage_of;
    int64_t next_site;  // the next unused site of a random number or a recurrence's state
    ftc_loc cursor_loc; // given to nodes that are appended next (ir/build.h)
    ftc_phase cursor_phase;
    int64_t arena_bytes;   // after plan: size of the arena, else 0
    int64_t scratch_bytes; // after plan: scratch of one thread
    int64_t peak_live_bytes;
} ftc_graph;

// --- axes ---------------------------------------------------------------------------------------------

bool ftc_axes_has(const ftc_axes *a, ftc_axis x);
bool ftc_axes_subset(const ftc_axes *a, const ftc_axes *b); // a ⊆ b
bool ftc_axes_same_set(const ftc_axes *a, const ftc_axes *b);
ftc_axes ftc_axes_union(const ftc_axes *a, const ftc_axes *b);     // a's order, then what only b has
ftc_axes ftc_axes_minus(const ftc_axes *a, const ftc_axes *b);     // in a's order
ftc_axes ftc_axes_intersect(const ftc_axes *a, const ftc_axes *b); // in a's order
bool ftc_axes_are_constant(const ftc_graph *g, const ftc_axes *a); // the extents of all are
ftc_axes ftc_axes_of(ftc_axis x);
void ftc_axes_add(ftc_axes *a, ftc_axis x);       // no effect when it is there; aborts beyond FTC_MAX_AXES
int ftc_axes_find(const ftc_axes *a, ftc_axis x); // position, -1: absent

// --- graph --------------------------------------------------------------------------------------------

ftc_graph *ftc_graph_new(const char *model);
void ftc_graph_free(ftc_graph *g);

// A graph with the same axes, extents, declarations, settings and files, and no nodes, outputs or kernels.
ftc_graph *ftc_graph_new_like(const ftc_graph *g);
ftc_graph *ftc_graph_clone(const ftc_graph *g);

// Copies a string into the graph's memory.
const char *ftc_graph_string(ftc_graph *g, const char *s);
const char *ftc_graph_format(ftc_graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

ftc_extent ftc_graph_add_extent(ftc_graph *g, ftc_extent_def info);
ftc_axis ftc_graph_add_axis(ftc_graph *g, const char *name, ftc_extent extent);
ftc_axis ftc_graph_find_axis(const ftc_graph *g, const char *name); // FTC_NO_AXIS: none
ftc_decl ftc_graph_add_decl(ftc_graph *g, ftc_decl_def info);
// Declares a tensor that belongs to a parameter and has `n` of its stored dimensions, from number `first` on.
ftc_decl ftc_graph_add_companion(ftc_graph *g, ftc_decl param, ftc_decl_kind kind, const char *name,
                                 int first, int n);
ftc_decl ftc_graph_find_decl(const ftc_graph *g, const char *name); // FTC_NO_DECL: none
uint32_t ftc_graph_add_kernel(ftc_graph *g, ftc_kernel kernel);
uint32_t ftc_graph_add_file(ftc_graph *g, const char *name); // index of the file, added if new
uint16_t ftc_graph_add_symbol(ftc_graph *g, const char *name);
// The new output, valid until the next one is added; its role is FTC_OUTPUT_VALUE until it is set.
ftc_output *ftc_graph_add_output(ftc_graph *g, const char *name, ftc_id node, uint32_t entries);
const ftc_output *ftc_graph_find_output(const ftc_graph *g, ftc_output_role role); // NULL: none has it
const ftc_output *ftc_graph_output_of(const ftc_graph *g,
                                      ftc_id node); // the first that is this node; NULL: none

// As they are written in .ir text; NULL outside of the enumeration.
const char *ftc_input_role_name(ftc_input_role role);
const char *ftc_output_role_name(ftc_output_role role);
const char *ftc_config_role_name(ftc_config_role role); // of FTC_CONFIG_PLAIN, which has none, ""
void ftc_graph_add_config(ftc_graph *g, ftc_graph_setting setting);
const ftc_graph_setting *ftc_graph_config(const ftc_graph *g, ftc_config_role role); // NULL: none has it
void ftc_graph_add_family(ftc_graph *g, ftc_graph_setting setting);
void ftc_graph_add_train(ftc_graph *g, ftc_graph_setting setting);

// Whether a parameter is of the head, as the family block says for the config entry `task`.
bool ftc_graph_in_head(const ftc_graph *g, const char *parameter);

// Appends a node whose type is set already; offset is set to -1. No check: ftc_verify_graph (ir/verify.h)
// does that.
ftc_id ftc_graph_append(ftc_graph *g, ftc_node node);

// Copies node `id` of `from` to the end of `g`, its operands replaced through map[]; g must come from
// ftc_graph_new_like(from). Returns the new id. Does not write map.
ftc_id ftc_graph_copy_node(ftc_graph *g, const ftc_graph *from, ftc_id id, const ftc_id *map);

static inline ftc_node *ftc_graph_node(const ftc_graph *g, ftc_id id) {
    return &g->nodes[id];
}
static inline const ftc_extent_def *ftc_axis_extent(const ftc_graph *g, ftc_axis a) {
    return &g->extents[g->axes[a].extent];
}

// The leaf node of a declaration; 0 when the graph has none.
ftc_id ftc_graph_leaf(const ftc_graph *g, ftc_decl decl);

// Replaces the nodes of `g` by those of `from` (made by ftc_graph_new_like(g)), whose other tables are
// discarded with it; outputs of `g` follow map (old id → new id). Frees `from`.
void ftc_graph_replace_nodes(ftc_graph *g, ftc_graph *from, const ftc_id *map);

// Uses of each node: count[id] is the number of operand slots and outputs that name it. count has n_nodes
// entries.
void ftc_graph_count_uses(const ftc_graph *g, uint32_t *count);

// Which nodes the outputs and assignments need, and the leaf of every declaration. needed has n_nodes
// entries.
void ftc_graph_find_needed(const ftc_graph *g, bool *needed);

// Number of elements of a type at the upper bounds (ragged axes at their bound). Used for planning.
int64_t ftc_type_max_elements(const ftc_graph *g, const ftc_type *t);
const char *ftc_dtype_name(ftc_dtype dtype);
bool ftc_dtype_named(const char *name, ftc_dtype *dtype); // false when no dtype has the name

// "f32[B, S, H]" or "B, S, H" written into `text`, cut off where it is full. Returns text.
char *ftc_type_text(const ftc_graph *g, const ftc_type *t, char *text, int size);
char *ftc_axes_text(const ftc_graph *g, const ftc_axes *axes, char *text, int size);

// The axis over which `a` is ragged, FTC_NO_AXIS when its extent is one for all.
ftc_axis ftc_axis_over(const ftc_graph *g, ftc_axis a);

// Those of the list that are ragged over `over`.
ftc_axes ftc_axes_over(const ftc_graph *g, const ftc_axes *axes, ftc_axis over);

// Whether each ragged axis of the list comes with the axis that it is ragged over; if not, `lone` is one that
// does not.
bool ftc_axes_ragged_complete(const ftc_graph *g, const ftc_axes *axes, ftc_axis *lone);

// The order of a type's axes in memory, outermost first: the batch axis and the ragged axes over it (packed:
// one row for each token), then the others in type order. Every buffer in memory has this order, parameters
// the order of their stored form.
ftc_axes ftc_axes_packed_order(const ftc_graph *g, const ftc_axes *axes);

// The order in which an input or output over `axes` lies in memory (ir/step_abi.h): the batch axis first
// (that which others are ragged over, or else the first), the rest as declared.
ftc_axes ftc_axes_interface_order(const ftc_graph *g, const ftc_axes *axes);

#endif
