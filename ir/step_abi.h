// The contract between the code that ftc generates and whoever calls it: plain C, no dependencies.
//
// A compiled model is a set of entry points (step, grad, update, eval). Every entry is entered by every
// thread of the caller at once (SPMD): each kernel splits its tiles by `thread`, and barriers stand where
// data flows across threads. Entries allocate nothing and take no lock. They read and write only what the
// arguments point to.
//
// The emitter (compiler/emit) builds code against this header and the runtime fills the structures in;
// what a particular model needs (its tensors, inputs, scalars, outputs, arena sizes) is listed in its
// ftc_program.
//
// Sizes. An *extent* is a number of positions that is known at each call: of a batch-like axis (B:
// sequences), or ragged over a batch-like one: each of its elements has a length of its own (S: tokens).
// Where the axis that others are ragged over is constant, it is an extent that is always the same. The axes
// of an input or output are constants or extents.
//
// Order in memory. An input or output lies packed: its batch axis first, then a block for each of its
// elements, row-major in declared order. The batch axis is the batch-like one over which other axes are
// ragged, or else the first. A block has the lengths of its own element: f32[B, A, S] is, for each sequence,
// A rows of as many cells as it has tokens. All ragged axes of an input or output are ragged over one axis.
// ftc_axis_info lists the axes in this order.
#ifndef FTC_STEP_ABI_H
#define FTC_STEP_ABI_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FTC_STEP_ABI_VERSION 6

// The alignment, in bytes, of the arena, of every tensor and of every input and output buffer. Buffers are
// readable FTC_STEP_SLACK_BYTES past their end, so that a vector load may overhang the last element.
#define FTC_STEP_ALIGN       64
#define FTC_STEP_SLACK_BYTES 256

// In a guarded program (ftc_program.guarded) every buffer has pages of its own, the last of which may not be
// touched: the buffer lies before that one as closely as its alignment and its slack allow.
#define FTC_PAGE_BYTES 4096

static inline int64_t ftc_guarded_room(int64_t bytes) { // of a buffer with its slack, in whole pages
    bytes = (bytes + FTC_STEP_ALIGN - 1) / FTC_STEP_ALIGN * FTC_STEP_ALIGN + FTC_STEP_SLACK_BYTES;
    return (bytes + FTC_PAGE_BYTES - 1) / FTC_PAGE_BYTES * FTC_PAGE_BYTES;
}

static inline int64_t ftc_guarded_bytes(int64_t bytes) { // with the page that is not to be touched
    return ftc_guarded_room(bytes) + FTC_PAGE_BYTES;
}

static inline int64_t ftc_guarded_offset(int64_t bytes) { // where in these the buffer begins
    return ftc_guarded_room(bytes) - FTC_STEP_SLACK_BYTES -
           (bytes + FTC_STEP_ALIGN - 1) / FTC_STEP_ALIGN * FTC_STEP_ALIGN;
}

typedef enum { FTC_F32, FTC_BF16, FTC_I32, FTC_U32, FTC_BOOL } ftc_dtype;

static inline bool ftc_dtype_is_float(ftc_dtype dtype) {
    return dtype == FTC_F32 || dtype == FTC_BF16;
}

static inline int32_t ftc_dtype_bytes(ftc_dtype dtype) {
    return dtype == FTC_BF16 ? 2 : dtype == FTC_BOOL ? 1 : 4;
}

// Waits until all threads of the call have arrived. `context` is ftc_step_args.barrier_context.
typedef void ftc_barrier_fn(void *context, int32_t thread);

// C[m, n] = beta * C + op(A) * op(B), row-major, single-threaded; transposition by flag (cblas_sgemm with
// alpha 1). Called only by code compiled with --gemm openblas.
typedef void ftc_sgemm_fn(int32_t transpose_a, int32_t transpose_b, int64_t m, int64_t n, int64_t k,
                          const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                          int64_t ldc);

// The gradient tensor with the index `tensor` has all that this call of the entry grad adds to it. Called by
// thread 0, once for each that the entry writes, while the other threads go on; nothing of the call waits for
// what it does. `context` is ftc_step_args.ready_context.
typedef void ftc_ready_fn(void *context, int32_t tensor);

// Which of how many slices the rows of a tensor (along its first stored dimension) are cut into. Slice i of n
// has the rows from ftc_slice_first of i to before that of i + 1.
typedef struct {
    int64_t index, count;
} ftc_slice;

#define FTC_ALL_ROWS ((ftc_slice){0, 1})

static inline int64_t ftc_slice_first(ftc_slice slice, int64_t rows) {
    return rows * slice.index / slice.count;
}

static inline int64_t ftc_slice_end(ftc_slice slice, int64_t rows) {
    return ftc_slice_first((ftc_slice){slice.index + 1, slice.count}, rows);
}

// Of `rows` rows of `row_bytes` bytes each, this call of the entry update has made those of its slice; brings
// the others from those who have made them. They need not be there before the next call with `values` NULL,
// which follows where the update reads them, returns; those of parameters may come after the update
// (ftc_await_fn). Called by thread 0, for the same values in the same order in every slice's call, while the
// other threads wait. `context` is ftc_step_args.gather_context.
typedef void ftc_gather_fn(void *context, void *values, int64_t rows, int64_t row_bytes);

// The parameter with the index `tensor`, which is_sliced, is about to be read for the first time in this call
// of the entry grad or eval: returns when all its rows are there. Called by thread 0, while the other threads
// wait. `context` is ftc_step_args.gather_context.
typedef void ftc_await_fn(void *context, int32_t tensor);

// The arguments of one call. The caller owns everything; nothing is kept after the return.
// The order of the fields is the ABI: the emitter addresses them by offset.
typedef struct {
    char *arena;               // entry's arena_bytes, then threads * scratch_bytes
    void *const *tensors;      // [n_tensors] resident tensors in stored form, contiguous, row-major
    const void *const *inputs; // [n_inputs] packed
    void *const *outputs;      // [n_outputs] packed; written by the entries of the output's `entries`
    const float *scalars;      // [n_scalars] step arguments and what is computed from them (ftc_scalar_info)
    const int64_t *extents;    // [n_extents] batch-like: elements in this call; ragged: sum of the lengths
    // [n_extents] ragged: elements + 1 prefix sums of the lengths; else NULL
    const int32_t *const *offsets;
    // [n_counts] where ftc_count_info.has_prefix: elements + 1 prefix sums of the products of the lengths;
    // else NULL
    const int64_t *const *prefixes;
    // [n_extents] batch-like: place of this call's first element in the global batch, for coordinates of
    // random numbers
    const int64_t *first_slots;
    uint64_t seed;       // random numbers are a function of (seed, step, micro_step, site, coordinates)
    uint32_t step;       // optimizer step, from 1
    uint32_t micro_step; // micro-batch within the optimizer step, from 0
    ftc_barrier_fn *barrier;
    void *barrier_context;
    ftc_sgemm_fn *sgemm; // NULL unless the program asks for it
    uint64_t *ticks;     // NULL, or [n_kernels + 1]: thread 0's counter at the start and after each kernel
    ftc_ready_fn *ready; // NULL, or told of each gradient as soon as a barrier has passed after its last part
    void *ready_context;
    ftc_slice slice;       // what the entry update does of parameters that are ftc_tensor_info.is_sliced
    ftc_gather_fn *gather; // NULL where that is all rows
    ftc_await_fn *await;   // NULL where all rows are there
    void *gather_context;  // of both
} ftc_step_args;

// An entry point. Called by all `threads` threads with the same `args`; thread in 0 … threads-1.
typedef void ftc_entry_fn(const ftc_step_args *args, int32_t thread, int32_t threads);

typedef enum {
    FTC_ENTRY_STEP,   // forward, backward, update in one: no clipping, no accumulation
    FTC_ENTRY_GRAD,   // forward, backward: adds gradient / scalar "accumulation" into the gradient tensors;
                      // with an output FTC_OUTPUT_WEIGHT, times that
    FTC_ENTRY_UPDATE, // global norm, clipping by scalar "max_grad_norm", update; then zeroes the gradient
                      // tensors. With FTC_OUTPUT_WEIGHT, they are divided by scalar "window_weight" first.
                      // Of parameters that are sliced, it reads gradients and moments of its slice's rows
                      // alone; the caller has moments for these, at the addresses of the whole
    FTC_ENTRY_EVAL,   // forward, where `training` is false
    FTC_ENTRY_COUNT
} ftc_entry_kind;

// What `training` is in an entry.
static inline int32_t ftc_entry_trains(ftc_entry_kind entry) {
    return entry != FTC_ENTRY_EVAL;
}

static inline const char *ftc_entry_name(ftc_entry_kind entry) { // NULL outside of the enumeration
    static const char *const names[] = {"step", "grad", "update", "eval"};
    return (size_t)entry < FTC_ENTRY_COUNT ? names[entry] : NULL;
}

typedef enum {
    FTC_PHASE_FORWARD,
    FTC_PHASE_RECOMPUTE, // a value of the forward phase, computed once more where the backward phase needs it
    FTC_PHASE_BACKWARD,
    FTC_PHASE_UPDATE,
    FTC_PHASE_COUNT
} ftc_phase;

static inline const char *ftc_phase_name(ftc_phase phase) { // NULL outside of the enumeration
    static const char *const names[] = {"forward", "recompute", "backward", "update"};
    return (size_t)phase < FTC_PHASE_COUNT ? names[phase] : NULL;
}

#define FTC_MAX_RANK 8 // axes of an input or output

// A set of extents, perhaps with one several times, over which cells are counted. Each batch-like extent of
// the set counts its elements; those that are ragged over the same axis, which the set does not name beside
// them, count the sum of the products of their lengths: {} is 1, {B} sequences, {S} tokens, {S, S} Σ length²,
// {S, N} tokens times N.
typedef struct {
    int32_t n;
    int32_t extents[FTC_MAX_RANK]; // ascending
    int32_t has_prefix; // the set is of several extents ragged over one axis, and values lie over it
} ftc_count_info;

// What reports say of a kernel.
typedef struct {
    int32_t line; // of ftc_program.source: where its contraction, or else its last result, was asked for; 0:
                  // not known
    ftc_phase phase;    // of that
    int64_t live_bytes; // of the arena, while it runs: at the upper bounds of batch and length
    const char *plain;  // why it computes by rows or columns what tiles are for; NULL: it does not
    // Coefficients, [n_counts] as the program has: Σ flops[i] * counts[i]. Of contractions as they are
    // executed, 2 a multiply-add; of what it reads and writes in memory, each once, caches aside.
    int32_t n_counts;
    const double *flops, *bytes;
} ftc_kernel_info;

// A value in the arena.
typedef struct {
    const char *name; // for people
    int64_t offset, bytes;
} ftc_buffer_info;

typedef struct {
    ftc_entry_fn *fn;      // NULL when the program was compiled without it
    int64_t arena_bytes;   // at the upper bounds of batch and length; multiple of FTC_STEP_ALIGN
    int64_t scratch_bytes; // per thread; multiple of FTC_STEP_ALIGN
    int64_t
        peak_live_bytes; // largest sum of the live buffers at any point (what arena_bytes is compared with)
    int32_t n_kernels;
    const char *const *kernels;         // [n_kernels] their names, in the order of execution
    const ftc_kernel_info *kernel_info; // [n_kernels], or NULL
    int32_t n_buffers;
    const ftc_buffer_info *buffers; // [n_buffers] the arena's, of a guarded program; of others none
} ftc_entry;

typedef enum {
    FTC_ROLE_PARAM,    // a weight, under its Hugging Face name
    FTC_ROLE_MOMENT,   // optimizer state of parameter `of`; starts at zero
    FTC_ROLE_GRADIENT, // gradient accumulator of parameter `of`: only grad and update touch it; starts at
                       // zero
    FTC_ROLE_TOUCHED,  // bool, one for each row of the table `of`, which is read only by the rows that input
                       // `by` names: 0 for a row without moments and gradient so far. step and update leave
                       // such rows as they are, and write to the output with FTC_OUTPUT_FACTOR by what a row
                       // would have been multiplied. Before a call of step or grad names a row for the first
                       // time, the caller multiplies it by the factor of each update before, in their order,
                       // and sets its flag; before anything else reads the table, it does so for all rows
                       // (without setting flags). The bits are those of an update of every row.
    FTC_ROLE_COUNT
} ftc_tensor_role;

typedef enum { FTC_INIT_ZEROS, FTC_INIT_ONES, FTC_INIT_NORMAL, FTC_INIT_UNIFORM } ftc_init_kind;

#define FTC_MAX_DIMS 4

typedef struct {
    const char
        *name; // a moment is "<parameter>.exp_avg", "<parameter>.exp_avg_sq"; a gradient "<parameter>.grad"
    ftc_tensor_role role;
    ftc_dtype dtype;
    int32_t rank;
    int64_t dims[FTC_MAX_DIMS]; // the stored form
    int32_t of;                 // index of the parameter (moments, gradients, touched), else -1
    int32_t by;                 // touched: index of the input, else -1
    int32_t trainable;          // parameters: 0 when frozen
    int32_t each_micro_batch;   // parameters: 1 when the entry grad assigns it, besides step
    int32_t is_table;           // parameters: 1 where rows of it are looked up, as of an embedding
    int32_t is_sliced;  // parameters: 1 where a call of the entry update may be given a slice of the rows
    int32_t zero_row;   // row that starts at zero and gets no gradient (padding_idx), else -1
    ftc_init_kind init; // for a parameter that the pretrained directory lacks
    double init_scale;  // FTC_INIT_NORMAL: standard deviation, mean 0; FTC_INIT_UNIFORM: from -it to it
} ftc_tensor_info;

// An axis of an input or output.
typedef struct {
    const char *name; // "S"
    int32_t extent;   // index into ftc_program.extents; -1: constant
    int64_t size;     // positions of a constant axis, else 0
} ftc_axis_info;

// What feeds an input where rows of a file are the batch.
typedef enum {
    FTC_FROM_COLUMN,      // the column `column`: a number, or a list of numbers
    FTC_FROM_TOKENS,      // the ids of the text's tokens: i32[B, S]
    FTC_FROM_TOKEN_TYPES, // their types (0 for the text, 1 for its pair): i32[B, S]
    FTC_FROM_LABEL,       // the label: i32[B] a class, f32[B] a value, else as a column
    // Which tokens of the text the caller has chosen to be predicted, and what they were: i32[B, M]. In a
    // program that reads these, what comes from the text's tokens has others in their places.
    FTC_FROM_MASKED_POSITIONS,
    FTC_FROM_MASKED_TOKENS,
    // Where in the batch the other text of its row stands: i32[B]. In a program that reads these the two
    // texts of a row are two elements of the batch: the first texts of all rows, then the second ones.
    FTC_FROM_PARTNER,
    FTC_FROM_CONFIG, // the config entry `column`, numbers with | between them: f32[C], the same in each call
    FTC_INPUT_ROLE_COUNT
} ftc_input_role;

typedef struct {
    const char *name;
    ftc_dtype dtype;
    ftc_input_role role;
    const char *column; // FTC_FROM_COLUMN, FTC_FROM_CONFIG, else NULL
    int64_t bound;      // values lie in 0 … bound-1 (checked by the runtime before the call); 0: any
    int32_t of;         // index of the extent whose positions the values are, at most `bound`; -1: of none
    int64_t each;       // it has each * counts[count] cells
    int32_t count, rank;
    ftc_axis_info axes[FTC_MAX_RANK]; // in memory order
} ftc_input_info;

// What a step argument is to those who do not know its name, by `as` in its declaration.
typedef enum {
    FTC_SCALAR_PLAIN,
    FTC_SCALAR_DROPOUT, // a probability: --dropout sets it
    FTC_SCALAR_ROLE_COUNT
} ftc_scalar_role;

static inline const char *ftc_scalar_role_name(ftc_scalar_role role) { // NULL: it has none
    return role == FTC_SCALAR_DROPOUT ? "dropout" : NULL;
}

// The operations of formulas: name, operands, and the value for the operands x; booleans are 0 and 1. They
// are the language's operations of the same names, in double.
#define FTC_FORMULA_OPS(OP)                                                                                  \
    OP(add, 2, x[0] + x[1])                                                                                  \
    OP(sub, 2, x[0] - x[1])                                                                                  \
    OP(mul, 2, x[0] * x[1])                                                                                  \
    OP(div, 2, x[0] / x[1])                                                                                  \
    OP(neg, 1, -x[0])                                                                                        \
    OP(abs, 1, fabs(x[0]))                                                                                   \
    OP(minimum, 2, x[0] < x[1] || isnan(x[1]) ? x[0] : x[1])                                                 \
    OP(maximum, 2, x[0] > x[1] || isnan(x[1]) ? x[0] : x[1])                                                 \
    OP(exp, 1, exp(x[0]))                                                                                    \
    OP(log, 1, log(x[0]))                                                                                    \
    OP(pow, 2, x[0] < 0 ? NAN : pow(x[0], x[1]))                                                             \
    OP(sqrt, 1, sqrt(x[0]))                                                                                  \
    OP(rsqrt, 1, 1 / sqrt(x[0]))                                                                             \
    OP(erf, 1, erf(x[0]))                                                                                    \
    OP(normal_cdf, 1, 0.5 * erfc(-x[0] * M_SQRT1_2))                                                         \
    OP(tanh, 1, tanh(x[0]))                                                                                  \
    OP(eq, 2, x[0] == x[1])                                                                                  \
    OP(lt, 2, x[0] < x[1])                                                                                   \
    OP(le, 2, x[0] <= x[1])                                                                                  \
    OP(and, 2, x[0] != 0 && x[1] != 0)                                                                       \
    OP(or, 2, x[0] != 0 || x[1] != 0)                                                                        \
    OP(not, 1, x[0] == 0)                                                                                    \
    OP(select, 3, x[0] != 0 ? x[1] : x[2])                                                                   \
    OP(sin, 1, fabs(x[0]) <= 1e5 ? sin(x[0]) : NAN)                                                          \
    OP(cos, 1, fabs(x[0]) <= 1e5 ? cos(x[0]) : NAN)

typedef enum {
    FTC_FORMULA_number, // pushes `number`
    FTC_FORMULA_scalar, // pushes the scalar with the index `scalar`, which has no formula, unrounded
    FTC_FORMULA_step,   // pushes the number of the optimizer step, from 1
#define OP(name, n_args, value)                                                                              \
    FTC_FORMULA_##name, // pops its operands, the last one first, and pushes its value
    FTC_FORMULA_OPS(OP)
#undef OP
        FTC_FORMULA_COUNT
} ftc_formula_op;

typedef struct {
    ftc_formula_op op;
    int32_t scalar;
    double number;
} ftc_formula_code;

#define FTC_FORMULA_DEPTH 64

// A postfix formula that leaves one number, and never has more than FTC_FORMULA_DEPTH on its stack. n 0:
// none.
typedef struct {
    int32_t n;
    const ftc_formula_code *code;
} ftc_formula;

// Makes one number of an operation's operands, which lie at the end of the stack; gives how many they were.
static inline int32_t ftc_formula_apply(ftc_formula_op op, double *end) {
    switch (op) {
#define OP(name, n_args, value)                                                                              \
    case FTC_FORMULA_##name: {                                                                               \
        double *x = end - (n_args);                                                                          \
        x[0] = value;                                                                                        \
        return n_args;                                                                                       \
    }
        FTC_FORMULA_OPS(OP)
#undef OP
    default: return 0;
    }
}

// The value of a formula, in double; `scalars` are the values by index.
static inline double ftc_formula_value(const ftc_formula *formula, const double *scalars, double step) {
    double stack[FTC_FORMULA_DEPTH] = {0}, *end = stack;
    for (int32_t i = 0; i < formula->n; i++) {
        const ftc_formula_code *code = &formula->code[i];
        switch (code->op) {
        case FTC_FORMULA_number: *end++ = code->number; break;
        case FTC_FORMULA_scalar: *end++ = scalars[code->scalar]; break;
        case FTC_FORMULA_step: *end++ = step; break;
        default: end += 1 - ftc_formula_apply(code->op, end);
        }
    }
    return stack[0];
}

// A number of the step: an argument, which the caller sets, or a value of a formula over arguments, which the
// caller computes before each call. Both are doubles, rounded once to ftc_step_args.scalars.
typedef struct {
    const char *name;     // "lr", "beta1", "eps", "weight_decay", …; or the formula's text
    double value;         // of an argument: default
    ftc_scalar_role role; // of an argument
    ftc_formula formula;  // n 0: an argument
} ftc_scalar_info;

// What an output means to the loop.
typedef enum {
    FTC_OUTPUT_VALUE,  // nothing: whoever asks for it by name gets it
    FTC_OUTPUT_LOSS,   // f32: what training makes small, a mean over examples
    FTC_OUTPUT_WEIGHT, // f32: over how many of them this call's loss is the mean; without one, the sequences
    FTC_OUTPUT_SCORES, // f32[B, C] of each class, or f32[B], f32[B, 1] the predicted value
    FTC_OUTPUT_EMBEDDING, // f32[B, H]: a vector that stands for the text
    FTC_OUTPUT_METRIC,    // f32: a mean over the same examples as the loss, reported by its name
    FTC_OUTPUT_NORM,      // f32: the gradients' global norm, before clipping
    FTC_OUTPUT_FACTOR,    // f32: by what untouched rows of `of` would have been multiplied (FTC_ROLE_TOUCHED)
    FTC_OUTPUT_FAULT,     // f32: what a check tells (ftc_check_info)
    FTC_OUTPUT_GRADIENT,  // of parameter `of`: only between two passes of the compiler
    FTC_OUTPUT_ROLE_COUNT
} ftc_output_role;

typedef struct {
    const char *name;
    ftc_dtype dtype;
    ftc_output_role role;
    int32_t of;       // FTC_OUTPUT_FACTOR: index of the table, else -1
    uint32_t entries; // bit mask of 1 << ftc_entry_kind: who writes it
    int64_t each;     // it has each * counts[count] cells
    int32_t count, rank;
    ftc_axis_info axes[FTC_MAX_RANK]; // in memory order
} ftc_output_info;

typedef struct {
    const char *name;    // "B", "S"
    int32_t ragged_over; // index of the extent whose every element has a length of its own, else -1
    int64_t bound;       // most elements, or the largest length, that the arena was planned for
    // Fewest elements, or the smallest length, with which every position is there that the model reads or
    // writes by number; checked by the runtime before the call.
    int64_t least;
    int32_t least_line; // of ftc_program.source: where that position is named; 0: not known
} ftc_extent_info;

// What an output "fault:…" tells, which entries with indices computed in the graph write. -inf: all of them
// were rows of the table. Else the call changed no tensor (it read the nearest rows), and minus the value is
// the lowest position along `extent` with an index outside.
typedef struct {
    const char *what; // the table's name; of one that is no tensor, the operation
    const char *axis; // that is indexed
    int64_t bound;    // of its extent
    int32_t of;       // index of its extent, which each batch gives; -1: it is constant
    int32_t line;     // of ftc_program.source; 0: not known
    int32_t extent;   // index of the extent, else -1
    int32_t output;   // index of the output
} ftc_check_info;

// What an entry of the config block is to those who do not know its name, by `as` in the text.
typedef enum {
    FTC_CONFIG_PLAIN,
    FTC_CONFIG_BATCH,      // the most rows in a batch: --batch sets it
    FTC_CONFIG_MAX_LENGTH, // the most tokens in a sequence: --max-length
    FTC_CONFIG_LONGEST,    // to how many the model's positions limit that
    FTC_CONFIG_TASK, // what is learned: --task; entries of the family block may be for one of its values
    FTC_CONFIG_LOSS, // --loss; "auto": as task and labels have it
    FTC_CONFIG_CLASS_WEIGHTS, // --class-weights: a number for each class, with | between them
    FTC_CONFIG_TEXT_POOLING,  // how a text's vector is made of its tokens', in sentence-transformers' words
    FTC_CONFIG_VOCAB_BLOCK,   // of how many tokens of a vocabulary there are scores at once; 0: of all
    FTC_CONFIG_ROLE_COUNT
} ftc_config_role;

// One entry of the model's `config`, `family` or `train` block. A number has text NULL.
typedef struct {
    const char *name;    // "hidden"
    const char *hf_name; // "hidden_size", NULL when Hugging Face has none
    const char *text;
    double number;
    ftc_config_role role; // of the config block's
} ftc_setting;

// Everything about a compiled model. Immutable; owned by whoever loaded it; valid until it is unloaded.
typedef struct {
    const char *model;      // "bert_cls"
    const char *source;     // resolved source graph as .ir text
    const char *pretrained; // Hugging Face directory that the model was compiled against, NULL when none
    const char *precision;  // "fp32", "bf16"
    const char *features;   // CPU that the code was compiled for, for people
    int32_t needs_sgemm;
    int32_t
        guarded; // buffers lie as ftc_guarded_offset has it, those of the arena and each thread's scratch too
    ftc_entry entries[FTC_ENTRY_COUNT];
    int32_t n_tensors, n_inputs, n_scalars, n_outputs, n_extents, n_counts, n_checks, n_config, n_family,
        n_train;
    const ftc_tensor_info *tensors;
    const ftc_input_info *inputs;
    const ftc_scalar_info *scalars;
    const ftc_output_info *outputs;
    const ftc_extent_info *extents;
    const ftc_check_info *checks;
    const ftc_count_info *counts; // the first is {}
    const ftc_setting *config;
    const ftc_setting *family; // text: how Hugging Face's files name what the model has (runtime/hub/names.h)
    const ftc_setting *train;
    // [n_counts] of one step, nominal: each contraction three times (forward, both gradients).
    const double *nominal_flops;
    double compile_seconds;
} ftc_program;

// The entry of the config block that has the role; NULL: none has.
static inline const ftc_setting *ftc_program_config(const ftc_program *program, ftc_config_role role) {
    for (int32_t i = 0; i < program->n_config; i++)
        if (program->config[i].role == role) return &program->config[i];
    return 0;
}

#endif
