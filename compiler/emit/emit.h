// How a kernel becomes code: what the files of compiler/emit share.
//
// A kernel is a function  void kernel(args, thread, threads, scratch, operands)  whose operands are the
// addresses of the buffers that it reads and writes, in the order of first occurrence among its nodes (its
// *bindings*), and the sites of its random nodes. Kernels that differ only in these are emitted once and
// called with others, so that code does not grow with depth.
//
// Values are built on demand: ftc_emit_value gives the LLVM value of a node at the coordinates of an
// environment, which binds every axis to an index; one axis (or a group of axes side by side in memory) may
// run over the lanes of a vector.
#ifndef FTC_EMIT_H
#define FTC_EMIT_H

#include "compiler/codegen/codegen.h"
#include "compiler/emit/contraction_loops.h"
#include "compiler/interface.h"
#include "ir/graph.h"
#include "ir/scalar.h"

// Several axes that lie side by side in memory, addressed by one index.
typedef struct {
    ftc_axes axes;
    LLVMValueRef index; // i64
} ftc_flat;

typedef struct {
    LLVMValueRef index[FTC_MAX_GRAPH_AXES]; // i64 of each bound axis; of a vector axis its first lane's
    LLVMValueRef lane_index; // i32 vector: coordinate on `indexed` of each lane, when they differ freely
    ftc_axis indexed;
    ftc_axis vector_axis; // the axis that runs over the lanes; FTC_NO_AXIS: none
    ftc_flat rows, cols;  // groups of several axes; cols runs over the lanes when it is not empty
    int lanes;
    LLVMValueRef mask;      // lanes that are inside of the data; NULL: all
    bool reads_mask_alone;  // what lies at the other lanes may be no memory of the program's
    LLVMValueRef block_row; // row within the block of a tile kernel, sequence within the group of a
                            // recurrence; NULL outside
    LLVMValueRef local_col; // column within local storage
} ftc_env;

typedef enum {
    FTC_STORED_NOWHERE,
    FTC_STORED_MEMORY, // in the arena, a tensor, an input or an output: addressed by coordinates in packed
                       // order
    FTC_STORED_LOCAL,  // in scratch: base[block_row * ld + local_col]
    FTC_STORED_STEP,   // in scratch: of a recurrence, cells of one position of the sequence `block_row`, at
                       // base[block_row * ld + …], addressed by their other coordinates
} ftc_storage_kind;

typedef struct {
    ftc_storage_kind kind;
    LLVMValueRef base;
    LLVMValueRef ld; // local: elements from row to row
} ftc_storage;
typedef struct {
    bool use_blas;                 // contractions call ftc_step_args.sgemm
    bool guard;                    // each thread's scratch lies as ftc_guarded_offset has it
    const struct ftc_tuned *tuned; // plans of contractions (compiler/emit/tune.h); NULL: the default ones
} ftc_emit_options;

typedef struct {
    ftc_codegen *cg;
    const ftc_graph *g;
    const ftc_interface *interface;
    ftc_emit_options options;
    uint32_t kernel;
    ftc_id first, last; // the kernel's nodes: first … last - 1
    int64_t slice_rows; // of so many rows a call makes its slice (compiler/passes/slices.h); 0: it makes all
    ftc_id *bindings;   // values in memory, leaves and assigns whose buffers it is called with
    int n_bindings, bindings_capacity;
    ftc_id *sites; // its random nodes
    int n_sites, sites_capacity;

    // While the function is being built
    LLVMValueRef args, thread, threads, scratch; // threads as i64
    ftc_storage *storage;                        // by node id
    bool *ready;                                 // by node id: its cells can be loaded from its storage
    LLVMValueRef *site;    // by node id: key of a random node before its coordinates are mixed in
    int64_t scratch_bytes; // used so far: the frame of row buffers and tiles
    char error[256];
} ftc_emitter;

// Values that are known already, by node id: NULL where not. A cache is valid for one place in the code.
typedef struct {
    LLVMValueRef *uniform; // scalars that hold for the whole row
    LLVMValueRef *vector;  // of the current iteration
    bool in_loop;          // new values go to `vector`: they do not hold outside of the iteration
} ftc_values;

// --- dot.c
ftc_gemm_form ftc_emit_form(const ftc_graph *g, ftc_id operand); // how a contraction reads its operand

// The contraction of a dot kernel, whose nodes are first … last - 1, and its node.
ftc_contraction_case ftc_contraction_case_of(const ftc_graph *g, ftc_id first, ftc_id last, ftc_id *dot);

// One side of a contraction with its axes' strides.
typedef struct {
    LLVMValueRef base, row_stride, col_stride;
} ftc_operand;

// A value in memory, or in scratch by coordinates, looked through its views, at env, which binds all of its
// axes; the strides are those of the last axis of each side, 0 where it has none.
ftc_operand ftc_emit_operand(ftc_emitter *e, ftc_id id, const ftc_env *at, const ftc_axes *row,
                             const ftc_axes *col);

// From row to row of a matrix in scratch, in elements: whole lines of the cache, and no multiple of 1024
// bytes, at which the lines of a column would share few of its sets.
int64_t ftc_emit_row_distance(int64_t cols);

// --- recurrence.c
ftc_id ftc_emit_find_state(const ftc_emitter *e); // of a tile kernel that is a recurrence; 0: it is none
void ftc_emit_recurrence(ftc_emitter *e, ftc_id state);

// --- emit.c
bool ftc_emit_has_buffer(const ftc_graph *g, ftc_id id); // the value is in memory that outlives its kernel

// --- value.c
// Loads a field of ftc_step_args.
LLVMValueRef ftc_emit_field(ftc_emitter *e, size_t offset, LLVMTypeRef type);
LLVMValueRef ftc_emit_extent(ftc_emitter *e, ftc_axis axis, const ftc_env *env); // ragged: of env's sequence
// The token row, i64.
LLVMValueRef ftc_emit_sequence_start(ftc_emitter *e, ftc_axis ragged, LLVMValueRef sequence);
// The address of the prefix sums of the lengths of a ragged axis, i32.
LLVMValueRef ftc_emit_offsets(ftc_emitter *e, ftc_axis ragged);
// Number of cells over the axes in this call.
LLVMValueRef ftc_emit_total(ftc_emitter *e, const ftc_axes *axes);
LLVMTypeRef ftc_emit_stored_type(ftc_emitter *e, ftc_dtype dtype); // as it lies in memory

// Stride in elements of `axis` in packed order `order` (i64; 0 when it is not there), in env's sequence.
LLVMValueRef ftc_emit_stride(ftc_emitter *e, const ftc_axes *order, ftc_axis axis, const ftc_env *env);
// Address of the cell of stored value `id` at env (of the first lane); lane_stride gets the distance from
// lane to lane (NULL: all lanes read this cell), lane_offsets the free per-lane offsets (i64 vector) or NULL.
LLVMValueRef ftc_emit_address(ftc_emitter *e, ftc_id id, const ftc_env *env, LLVMValueRef *lane_stride,
                              LLVMValueRef *lane_offsets);

bool ftc_emit_is_uniform(const ftc_emitter *e, ftc_id id, const ftc_env *env); // the same in every lane
LLVMValueRef ftc_emit_value(ftc_emitter *e, ftc_id id, const ftc_env *env, ftc_values *values);
LLVMValueRef ftc_emit_random_key(ftc_emitter *e, LLVMValueRef site); // of (seed, step, micro-step, site), i64
LLVMValueRef ftc_emit_load(ftc_emitter *e, ftc_id id, const ftc_env *env);
void ftc_emit_store(ftc_emitter *e, ftc_id id, LLVMValueRef value, const ftc_env *env);
ftc_values ftc_values_new(const ftc_emitter *e);
void ftc_values_clear_vectors(const ftc_emitter *e, ftc_values *v);
void ftc_values_free(ftc_values *v);

// Binds the axes of `order` (packed) to the flat row index `row`. For tokens, and for cells over several
// ragged axes, the sequence is found by advancing *sequence (an i64 variable that starts at 0 and only grows
// while rows ascend).
void ftc_emit_bind_rows(ftc_emitter *e, ftc_env *env, const ftc_axes *order, LLVMValueRef row,
                        LLVMValueRef sequence);
ftc_env ftc_env_empty(const ftc_emitter *e);
ftc_env ftc_env_first_lane(const ftc_env *env); // the same place for the first lane alone

// Takes `bytes` of the thread's scratch; the same for every call of the kernel.
LLVMValueRef ftc_emit_scratch(ftc_emitter *e, int64_t bytes);

// Range of this thread among `n` equal pieces of work: [begin, end).
void ftc_emit_split(ftc_emitter *e, LLVMValueRef n, LLVMValueRef *begin, LLVMValueRef *end);

// --- one emitter for each kind of kernel
void ftc_emit_rows_kernel(ftc_emitter *e);
void ftc_emit_columns_kernel(ftc_emitter *e);
void ftc_emit_dot_kernel(ftc_emitter *e);
void ftc_emit_tile_kernel(ftc_emitter *e);
void ftc_emit_scatter_kernel(ftc_emitter *e);
void ftc_emit_extern_kernel(ftc_emitter *e);

// --- scatter.c: within the rows of a tile, into memory that the work item alone writes
// Sets a value in memory to zero at all positions on the axes that env does not bind.
void ftc_emit_clear(ftc_emitter *e, ftc_id id, const ftc_env *env);
// Adds the lanes of env, of which the first `count` (i64) are inside of the data.
void ftc_emit_scatter_lanes(ftc_emitter *e, ftc_id scatter, const ftc_env *env, LLVMValueRef count,
                            ftc_values *values);

// The row operations of the nodes that belong to `step`, for the row that env binds, over columns begin … end
// - 1 of the group `cols` (rows.c).
typedef struct {
    uint16_t step;
    ftc_axes cols;
    LLVMValueRef begin, end; // i64
    LLVMValueRef origin;     // of one column axis: position on it of column 0; NULL: 0
    int64_t granule;         // end - begin is a multiple of this
    int64_t max_cols;        // upper bound of end
    ftc_id tile_node;        // dot, scatter kernel: the node whose values are tile[column - begin]; else 0
    LLVMValueRef tile;
    ftc_id holds; // a condition that is known to hold; 0: none
    // By node id: what a condition is known to be in the columns known_begin … known_end - 1
    // (compiler/passes/window.h). NULL: nothing is known.
    const uint8_t *known;
    LLVMValueRef known_begin, known_end; // i64, between `begin` and `end`
} ftc_row;
void ftc_emit_row(ftc_emitter *e, const ftc_row *row, const ftc_env *env);
// Of rows whose operations only assign, and only where a condition of the row holds: the condition (i1),
// under which ftc_emit_row is then to be called. NULL: they do something in any case.
LLVMValueRef ftc_emit_row_condition(ftc_emitter *e, ftc_row *row, const ftc_env *env);
ftc_row ftc_row_of(ftc_emitter *e, const ftc_axes *cols, const ftc_env *env); // all columns, step 0
LLVMValueRef ftc_emit_reduce_identity(ftc_emitter *e, ftc_id reduce, int lanes);
LLVMValueRef ftc_emit_combine(ftc_emitter *e, ftc_id reduce, LLVMValueRef a, LLVMValueRef b);
void ftc_emit_accumulate(ftc_emitter *e, ftc_id reduce, LLVMValueRef accumulator, const ftc_env *env,
                         ftc_values *values);

// --- emit.c
// Kernel functions that the module has already, shared by all entries.
typedef struct {
    struct {
        char *key; // the kernel's text with bindings and sites numbered
        LLVMValueRef function;
        int64_t scratch_bytes;
    } *list;
    int n, capacity;
} ftc_kernel_cache;
void ftc_kernel_cache_free(ftc_kernel_cache *cache);

// One call of a kernel in an entry. The lists are to be freed.
typedef struct {
    LLVMValueRef function;
    ftc_id *bindings, *sites;
    int n_bindings, n_sites;
} ftc_kernel_call;

// Finds or emits the function of kernel e->kernel; `symbol` begins the name of a new one. false: e->error
// says why not.
bool ftc_emit_kernel(ftc_emitter *e, ftc_kernel_cache *cache, const char *symbol, ftc_kernel_call *call);

// --- entry.c
// Emits the kernels of `g` that the cache lacks and the function ftc_<entry> (ftc_entry_fn) that calls them
// all in order. *scratch_bytes: what one thread needs. Returns false and a message to be freed when a kernel
// cannot be emitted.
bool ftc_emit_entry(ftc_codegen *cg, ftc_kernel_cache *cache, const ftc_graph *g,
                    const ftc_interface *interface, const ftc_emit_options *options, ftc_entry_kind entry,
                    int64_t *scratch_bytes, char **error);

#endif
