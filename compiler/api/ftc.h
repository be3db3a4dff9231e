// ftc.h: compiled training for loops of one's own. Link with libftc (pkg-config ftc).
//
//   ftc_net        a model compiled for this machine: code and its description, no weights
//   ftc_tokenizer  turns texts into token ids
//   ftc_trainer    one training of a net: weights, optimizer moments, threads, and the batch at hand
//
// Errors. A function that can fail returns NULL, or an error that says what is wrong, where, and what to do;
// the caller frees it. After an error, what `out` parameters point to is as it was. Memory that the system
// refuses is an error like others; where LLVM ran out of it, the process can compile and load no more. NULL
// for a handle is a fault of the program, except that every free function takes it.
//
// Ownership. Arguments are borrowed for the call, unless it is said otherwise. Texts are UTF-8 and end with a
// zero byte. What a function gives belongs to its handle, is freed with it, and is not to be changed unless
// it is said so; only what an `out` parameter receives from _open, _load and _create is the caller's to free.
//
// Threads. Nothing is kept outside of the handles. A net and a tokenizer never change after they are made, so
// any number of threads and trainers may share them. A trainer is for one caller at a time; it brings its own
// threads. Different trainers may run at the same time. (The one exception: a net that was compiled with
// "gemm=openblas" brings OpenBLAS into the process, set to one thread.)
#ifndef FTC_H
#define FTC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ftc_error ftc_error;
typedef struct ftc_net ftc_net;
typedef struct ftc_tokenizer ftc_tokenizer;
typedef struct ftc_trainer ftc_trainer;
typedef struct ftc_interpretation ftc_interpretation;

// The version of the library, "0.1.0".
const char *ftc_version(void);

// --- errors -------------------------------------------------------------------------------------------

// For people; several lines when a model has several errors; without a newline at the end. Belongs to the
// error.
const char *ftc_error_message(const ftc_error *error);

// 1: the run itself failed (a loss that is not finite, no memory), 2: wrong usage or bad input. What the
// `ftc` command would exit with.
int ftc_error_status(const ftc_error *error);

void ftc_error_free(ftc_error *error);

// --- the net ------------------------------------------------------------------------------------------

// What a net can do in one call, as bits.
enum {
    FTC_CALL_STEP = 1,   // forward, backward and update in one: the fastest; no clipping, no accumulation
    FTC_CALL_GRAD = 2,   // forward and backward, added to the gradients
    FTC_CALL_UPDATE = 4, // clipping and update from the gradients, which are zero afterwards
    FTC_CALL_EVAL = 8,   // forward without dropout
};

// A graph that takes the place of a call's own: a dump of any stage (ftc_net_dumps, ftc_net_text, `ftc
// compile --dump-after`), as it is or changed.
typedef struct {
    unsigned call;    // FTC_CALL_…, exactly one
    const char *text; // of the dump
    const char *name; // what diagnostics call it; NULL: "graph of step"
} ftc_graph_text;

// How a model is compiled. All zero: as the model says.
typedef struct {
    const char *pretrained; // Hugging Face directory whose config.json gives the shapes, or NULL; its weights
                            // come with ftc_trainer_load
    int64_t batch;          // the most sequences in a batch, 0: as the model says
    int64_t max_length;     // the most tokens in a sequence, 0: as the model says
    unsigned calls;         // FTC_CALL_… that are compiled from a MODEL.ir or a directory, 0: all
    const char *const *options; // further options of `ftc compile` as "NAME=VALUE", "set=hidden=256" or
                                // "memory=2GB"; ends with NULL. NULL: none
    // The laboratory (docs/laboratory.md).
    const ftc_graph_text
        *graphs;      // [n_graphs], of different calls. What callers see stays the model's, else it
    int32_t n_graphs; // is an error with the place in the text
    const char *const
        *kernels;      // files with kernels that the model names by `extern`: C (.c, compiled by $CC),
                       // LLVM's text (.ll) or an object (.o); ends with NULL. NULL: none
    const char *edits; // of the schedule, a line each, "tile attention: block 64"; each must change a
                       // kernel. NULL: none
} ftc_net_options;

// Opens a model. *out is the caller's, for ftc_net_free; `options` may be NULL.
//
//   - MODEL.ir is compiled, which takes seconds.
//   - An artifact of `ftc compile` is loaded. If `options` ask for another structure, or this CPU lacks what
//     it was compiled for, it is compiled again from the source inside.
//   - A Hugging Face directory with a BERT classifier is compiled for the shapes in its config.json.
ftc_error *ftc_net_open(const char *path, const ftc_net_options *options, ftc_net **out);

// To be called after the trainers of the net were freed. NULL is allowed.
void ftc_net_free(ftc_net *net);

// The name that the model gives itself, "bert_cls".
const char *ftc_net_name(const ftc_net *net);

// The directory that the model was compiled against, NULL when none.
const char *ftc_net_pretrained(const ftc_net *net);

// Why an artifact was compiled again, for people; NULL when it was not.
const char *ftc_net_recompiled(const ftc_net *net);

// The most sequences in a batch; the most tokens in a sequence.
int64_t ftc_net_max_sequences(const ftc_net *net);
int64_t ftc_net_max_length(const ftc_net *net);

// The FTC_CALL_… that the net has.
unsigned ftc_net_calls(const ftc_net *net);

typedef enum {
    FTC_ELEMENT_F32,
    FTC_ELEMENT_BF16,
    FTC_ELEMENT_I32,
    FTC_ELEMENT_U32,
    FTC_ELEMENT_BOOL
} ftc_element;
typedef enum { FTC_TENSOR_PARAMETER, FTC_TENSOR_MOMENT, FTC_TENSOR_GRADIENT } ftc_tensor_kind;

// What a trainer keeps from call to call.
typedef struct {
    const char *name; // a parameter's is Hugging Face's; "<parameter>.grad", "<parameter>.exp_avg", …
    ftc_tensor_kind kind;
    ftc_element type;
    int rank;
    int64_t dims[4]; // [rank], row-major, in the form that is saved
    int trainable;   // 0: a frozen parameter
} ftc_tensor_desc;

// How long things are in a batch: of a batch-like axis the number of its elements ("B": sequences), or of an
// axis that is ragged over such a one a length for each of its elements ("S": tokens).
typedef struct {
    const char *name;        // "B", "S"
    const char *ragged_over; // "B"; NULL: a batch-like axis
    int64_t least, most;     // elements, or of a length
} ftc_extent_desc;

#define FTC_RANK 8

// An axis of an input or output: constant, or of an extent.
typedef struct {
    const char *name;
    const char *extent; // the name of the extent that says how long it is; NULL: it is constant
    int64_t size;       // of a constant axis, else 0
} ftc_axis_desc;

// Cells of inputs and outputs lie packed and row-major, in the order of the axes here. Of one that is ragged,
// the axis over which it is comes first, and each of its elements has a block of its own lengths, behind the
// one before: [B, S, H] is one row of H cells for each token of the batch.
typedef struct {
    const char *name; // "ids", "types", "label"
    const char *from; // what feeds it from rows of files: "tokens", "token_types", "label"; else "column"
    ftc_element type;
    int64_t bound; // values lie in 0 … bound-1; 0: any
    int rank;
    ftc_axis_desc axes[FTC_RANK]; // [rank]
} ftc_input_desc;

typedef struct {
    const char *name; // "lr", "beta1", "weight_decay", "accumulation", "max_grad_norm", "hidden_dropout", …
    double initial;   // until it is set
} ftc_scalar_desc;

typedef struct {
    const char *name; // "loss", "logits", "grad_norm"
    const char *as;   // what it is declared as: "loss", "scores", "embedding", "norm"; else "value"
    ftc_element type;
    unsigned calls; // FTC_CALL_… that write it
    int rank;
    ftc_axis_desc axes[FTC_RANK]; // [rank]
} ftc_output_desc;

// The lists, [*n] each.
const ftc_tensor_desc *ftc_net_tensors(const ftc_net *net, int32_t *n);
const ftc_extent_desc *ftc_net_extents(const ftc_net *net, int32_t *n);
const ftc_input_desc *ftc_net_inputs(const ftc_net *net, int32_t *n);
const ftc_scalar_desc *ftc_net_scalars(const ftc_net *net, int32_t *n);
const ftc_output_desc *ftc_net_outputs(const ftc_net *net, int32_t *n);

// The model as text, at a stage of one call (FTC_CALL_…, exactly one), compiled again as the net was:
//
//   - "source": the model's text with all values in place
//   - "expand": the graph of the call before the first pass; the name of a pass: after it; "kernels": after
//     the last
//   - "llvm", "asm": the generated code
//
// *text is the caller's, for ftc_text_free.
ftc_error *ftc_net_text(const ftc_net *net, unsigned call, const char *stage, char **text);
void ftc_text_free(char *text); // NULL is allowed

// Told of a stage, "expand" or the name of a pass, and of the graph after it, which is gone when it returns.
// Any function of this header may be called meanwhile.
typedef void ftc_dump_fn(void *context, const char *stage, const char *text);

// The graph of one call (FTC_CALL_…, exactly one) at all stages, in their order, which is cheaper than to ask
// for each. Each of the texts can be given back as a ftc_graph_text.
ftc_error *ftc_net_dumps(const ftc_net *net, unsigned call, ftc_dump_fn *told, void *context);

// Where the time went that compiling took: a pass, or "emit", "LLVM: optimize", "LLVM: code".
typedef struct {
    const char *name;
    int is_of_all; // done for all calls at once
    double
        seconds[4]; // of FTC_CALL_STEP, _GRAD, _UPDATE, _EVAL; of what is done for all at once: in the first
} ftc_time_desc;

// In the order of the work, [*n]; none of an artifact whose code was taken as it is.
const ftc_time_desc *ftc_net_times(const ftc_net *net, int32_t *n);

// --- texts --------------------------------------------------------------------------------------------

// Reads the tokenizer of a Hugging Face directory: tokenizer.json, or vocab.txt with tokenizer_config.json.
// *out is the caller's, for ftc_tokenizer_free.
ftc_error *ftc_tokenizer_load(const char *directory, ftc_tokenizer **out);
void ftc_tokenizer_free(ftc_tokenizer *tokenizer); // NULL is allowed

// The same; normalizer and pre-tokenizer are those that transformers 5 makes by the tokenizer's class, not
// those of tokenizer.json (docs/models.md).
ftc_error *ftc_tokenizer_load_by_class(const char *directory, ftc_tokenizer **out);

// Writes the tokenizer's files into a directory, which holds a model or is made, so that who reads them
// there, in whatever way, gets its tokens.
ftc_error *ftc_tokenizer_save(const ftc_tokenizer *tokenizer, const char *directory);

// Encodes `text`, or `text` and `pair` (NULL: none), special tokens included, cut to `max_length` tokens.
// Writes *count ids, and their types unless `types` is NULL: both have room for `max_length`. Fails when a
// text is no UTF-8 or `max_length` has no room for the special tokens.
ftc_error *ftc_tokenize(const ftc_tokenizer *tokenizer, const char *text, const char *pair,
                        int32_t max_length, int32_t *ids, int32_t *types, int32_t *count);

// --- the trainer --------------------------------------------------------------------------------------

// All zero: every processor that this process may use, everything that the net can do, seed 0.
typedef struct {
    int32_t threads; // 0: one a processor. The results are the same bits for any number
    uint64_t seed;   // of new weights and of dropout
    unsigned calls;  // FTC_CALL_… that will be made: memory is taken for these only. 0: all of the net's
} ftc_trainer_options;

// A trainer without weights: ftc_trainer_init or ftc_trainer_load gives it some. The net is borrowed until
// the trainer is freed. `options` may be NULL. *out is the caller's, for ftc_trainer_free.
ftc_error *ftc_trainer_create(const ftc_net *net, const ftc_trainer_options *options, ftc_trainer **out);
void ftc_trainer_free(ftc_trainer *trainer); // NULL is allowed

// Gives every parameter its initial value, a function of the trainer's seed and the parameter's name.
// Moments, gradients and the number of steps stay.
void ftc_trainer_init(ftc_trainer *trainer);

// Reads the parameters from DIR/model.safetensors, which ftc or Hugging Face has saved; what names mean, the
// family block of the model says. Or from DIR/adapter_model.safetensors and the base model that its
// adapter_config.json names. `directory` NULL: the net's own. A parameter of the encoder must be there
// in its shape; a head that is missing or of another shape gets its initial values. Moments, gradients and
// the number of steps stay. After an error the parameters are undefined.
ftc_error *ftc_trainer_load(ftc_trainer *trainer, const char *directory);

// Of the last ftc_trainer_load: the parameters that were initialised, and the directory's tensors that have
// no use. Both are [*n] and valid until the next load.
const char *const *ftc_trainer_initialized(const ftc_trainer *trainer, int32_t *n);
const char *const *ftc_trainer_unused(const ftc_trainer *trainer, int32_t *n);

// The values of a tensor (ftc_net_tensors), to be read and written between calls; the address stays. NULL
// when the net has none of this name, or none of the trainer's calls uses it.
void *ftc_trainer_tensor(ftc_trainer *trainer, const char *name);

// The same address for whoever reads and writes only between a ftc_trainer_sync and the next call. Where
// ftc_trainer_tensor makes every update go through all rows of an embedding's table from then on, with this
// one they still take only the rows that have had a gradient, and the others are behind until the next sync.
void *ftc_trainer_borrow(ftc_trainer *trainer, const char *name);

// Brings every parameter up to date.
void ftc_trainer_sync(ftc_trainer *trainer);

// The values of a parameter in the form that is saved.
typedef struct {
    const char *name;
    int rank;
    const int64_t *dims; // [rank]
    const float *values; // row-major
} ftc_weight;

// Gives every parameter a value, each once, in any order; fails, naming it, where one is missing, unknown, of
// another shape, or not finite: the parameters are undefined then. Moments, gradients and the number of steps
// stay.
ftc_error *ftc_trainer_assign(ftc_trainer *trainer, const ftc_weight *weights, int32_t n);

// Sets a scalar (ftc_net_scalars) for the calls to come. What follows from scalars alone the step computes in
// double, the rest in f32. Two of them:
//
//   - accumulation: what gradients are divided by, that is how many go into one ftc_trainer_update
//   - max_grad_norm: the largest norm that gradients have in an update; INFINITY for no clipping
//
// What depends on the number of the step (bias corrections) follows from ftc_trainer_steps. Fails when the
// net has no such scalar, or the value is none of its range: a number that a float holds; from 0 to below 1
// for probabilities, beta1, beta2 and label_smoothing; at least 1 for accumulation; above 0 for
// max_grad_norm.
ftc_error *ftc_trainer_set(ftc_trainer *trainer, const char *name, double value);

// The size of an extent in a batch: of a batch-like one, `n` elements and no offsets; of a ragged one, for
// each of the `n` elements of the axis that it is ragged over, length i is offsets[i + 1] - offsets[i].
typedef struct {
    const char *name;
    int64_t n;
    const int64_t *offsets; // [n + 1], NULL: batch-like
} ftc_extent_size;

// The cells of an input, as many as its axes have in the batch, in its own type (1 byte a bool).
typedef struct {
    const char *name;
    const void *cells;
} ftc_input_cells;

// Makes a batch the one at hand, for any net: all its extents and all its inputs, each once, in any order. A
// batch-like extent may be left out where a ragged one tells the number of its elements. Everything is
// copied. Fails, naming extent or input, when something is missing, unknown or does not fit the net; then no
// batch is at hand.
ftc_error *ftc_trainer_bind_inputs(ftc_trainer *trainer, const ftc_extent_size *extents, int32_t n_extents,
                                   const ftc_input_cells *inputs, int32_t n_inputs);

// The same for a net whose inputs are a text and its label (`from tokens`, `from token_types`, `from label`):
// makes a batch of `n` sequences the one at hand. Everything is copied.
//
//   - ids: [n] pointers to lengths[i] token ids each
//   - types: [n] pointers to lengths[i] token types each; NULL: all are 0
//   - lengths: [n] in tokens
//   - labels: [n] classes, or for a regression values; NULL: all are 0, and the loss means nothing
//
// Fails, naming the sequence, when something does not fit the net; then no batch is at hand.
ftc_error *ftc_trainer_bind(ftc_trainer *trainer, int32_t n, const int32_t *const *ids,
                            const int32_t *const *types, const int32_t *lengths, const float *labels);

// The same for sequences that lie one after the other: `offsets` is [n + 1], and the tokens of sequence i are
// those from offsets[i] up to offsets[i + 1]. It need not begin with 0, so that a batch can be a part of a
// packed data set: ftc_trainer_bind_packed(trainer, n, offsets + first, ids, types, labels + first).
ftc_error *ftc_trainer_bind_packed(ftc_trainer *trainer, int32_t n, const int64_t *offsets,
                                   const int32_t *ids, const int32_t *types, const float *labels);

// The calls, on the batch at hand (ftc_trainer_update needs none). Dropout differs from step to step, and
// from gradient to gradient within a step. A loss or norm that is not finite is an error of status 1; the
// outputs tell the value. An index that the model computes and that is no row of its table is one of status
// 2: then nothing has changed, and the call does not count.
ftc_error *ftc_trainer_step(ftc_trainer *trainer);
ftc_error *ftc_trainer_grad(ftc_trainer *trainer);
ftc_error *ftc_trainer_update(ftc_trainer *trainer);
ftc_error *ftc_trainer_eval(ftc_trainer *trainer);

// Where the calls write an output (ftc_net_outputs), in its own type; the address stays, so it can be asked
// for once. *cells: how many it has for the batch at hand (NULL: not asked for). Holds what the last call
// wrote that writes it. NULL when none of the trainer's calls writes an output of this name.
const void *ftc_trainer_output(const ftc_trainer *trainer, const char *name, int64_t *cells);

// The number of steps and updates so far; it counts in Adam's bias corrections and in dropout. Setting it,
// with the same weights and moments, continues another training bit by bit. A number that is not from 0 to
// 2³¹ - 2 makes the calls that follow fail.
int64_t ftc_trainer_steps(const ftc_trainer *trainer);
void ftc_trainer_set_steps(ftc_trainer *trainer, int64_t steps);

// --- the loop -----------------------------------------------------------------------------------------

// How a net that predicts masked tokens has them masked, anew in every step.
typedef struct {
    double probability;          // that a token is chosen
    double replaced, random;     // of the chosen ones become the mask token; a random one. The others stay
    uint64_t seed;               // besides that of the loop
    int32_t mask_id, vocabulary; // random tokens are below `vocabulary`
    const uint8_t *special;      // [vocabulary] 1: a token that is never chosen
} ftc_mask_options;

// Examples of a net whose inputs are a text and its label, or a label for each of its tokens, one after the
// other as for ftc_trainer_bind_packed. Borrowed.
typedef struct {
    int64_t n;
    const int64_t *offsets; // [n + 1], from 0
    const int32_t *ids;     // [offsets[n]]
    const int32_t *types;   // [offsets[n]]; NULL: all are 0
    const float *labels;    // [n] classes or values, or [n, several]; NULL: all are 0
    int64_t several;        // of a net that gives a text several labels: how many numbers it takes; else 0
    const int32_t *tags; // [offsets[n]] of a net that labels tokens: the class of each, or -100 where it has
                         // none; NULL: no token has one. Of a net that predicts masked tokens, and of ids
                         // that are masked already: what they were, or -100
    const ftc_mask_options *masks; // of a net that predicts masked tokens: how they are masked; else NULL
} ftc_examples;

// How the loop trains, as transformers' TrainingArguments say it. Numbers below 0: the model's or the
// schedule's own.
typedef struct {
    double epochs;        // fractions too
    int64_t max_steps;    // below 0: as the epochs say
    int64_t batch;        // examples a micro-batch
    int64_t accumulation; // micro-batches a step
    int drop_last;        // leave out an epoch's last batch when it is not full
    const char *order;    // "random", "sequential", "group_by_length"
    uint64_t seed, data_seed;
    const char *schedule; // "linear", "cosine", … of ftc run --schedule
    double lr;
    double warmup_steps; // below 1 a fraction of all
    double schedule_cycles, schedule_power, schedule_end, schedule_timescale;
    double schedule_min_lr, schedule_min_share;   // the least; as a share of lr
    int64_t schedule_decay, schedule_stable;      // steps of warmup_stable_decay
    const char *schedule_rise, *schedule_fall;    // its slopes, "linear", "cosine", "1-sqrt", or NULL
    double schedule_factor, schedule_threshold;   // of reduce_lr_on_plateau
    int64_t schedule_patience, schedule_cooldown; // in evaluations (ftc_trainer_evaluated)
    double weight_decay, beta1, beta2, eps, momentum;
    double max_grad_norm; // 0: no clipping
    double label_smoothing, dropout;
    int64_t steps_done;      // by a run that this one continues, with its weights and moments
    const double *evaluated; // [n_evaluated]: what that run has told ftc_trainer_evaluated
    int64_t n_evaluated;
} ftc_loop_options;

// Where a loop tells where it stands: the places at which transformers' Trainer calls its callbacks.
typedef enum {
    FTC_AT_EPOCH_BEGIN,
    FTC_AT_STEP_BEGIN,
    FTC_AT_SUBSTEP_END, // of a micro-batch that is not the last of its step
    FTC_AT_PRE_UPDATE,  // where forward, backward and update are one call: after it
    FTC_AT_UPDATED,
    FTC_AT_STEP_END,
    FTC_AT_EPOCH_END
} ftc_loop_moment;

// Of the last step, once there is one: the mean loss of its micro-batches, the gradients' norm (NaN: not
// known), the learning rate that it was made with, its tokens, its floating point operations as transformers
// estimates them: 6 times the parameters outside of embeddings times the tokens, with each text padded to the
// longest of its batch.
typedef struct {
    int64_t step, max_steps; // steps done, steps to do
    double epoch;
    double loss, grad_norm, learning_rate;
    int64_t tokens;
    double flos;
} ftc_loop_standing;

// 0: go on; 1: end after this step, as if it had been the last; 2: end at once, with an error. The trainer's
// other functions may be called meanwhile, but for those that train.
typedef int ftc_loop_fn(void *context, ftc_loop_moment moment, const ftc_loop_standing *standing);

// The loop of `ftc run`: order, micro-batches, learning rates, clipping; it logs, evaluates and saves
// nothing. `moment` may be NULL. The trainer needs FTC_CALL_STEP, or FTC_CALL_GRAD and FTC_CALL_UPDATE where
// the loop clips or accumulates.
ftc_error *ftc_trainer_run(ftc_trainer *trainer, const ftc_examples *examples,
                           const ftc_loop_options *options, ftc_loop_fn *moment, void *context);

// Takes in an evaluation's metric, of which less is better, for reduce_lr_on_plateau: to be called from
// `moment`, and holds from the next step on. Fails where no run with this schedule is at hand, or the metric
// is not a number.
ftc_error *ftc_trainer_evaluated(ftc_trainer *trainer, double metric);

// Told after each batch how many examples are done; what it returns, if not 0, ends the evaluation with an
// error.
typedef int ftc_evaluate_fn(void *context, int64_t done, int64_t total);

// Runs ftc_trainer_eval over the examples, `batch` at a time. *loss is the mean of the batches' losses, each
// weighed by its examples, as in transformers' Trainer: where a batch's loss is a mean over something else,
// as over tokens, it depends on `batch`. `scores`: of the output that is declared as scores, [n, as many as
// it has for a sequence], or of a net that labels tokens [offsets[n], as many as it has for a token]; may be
// NULL.
ftc_error *ftc_trainer_evaluate(ftc_trainer *trainer, const ftc_examples *examples, int64_t batch,
                                ftc_evaluate_fn *done, void *context, double *loss, float *scores);

// Writes the optimizer's moments as safetensors, or reads them back: what a run needs beside the weights and
// the number of steps to go on bit by bit.
ftc_error *ftc_trainer_save_moments(const ftc_trainer *trainer, const char *file);
ftc_error *ftc_trainer_load_moments(ftc_trainer *trainer, const char *file);

// --- looking ------------------------------------------------------------------------------------------

// A kernel of a call, in the order of execution.
typedef struct {
    const char *name, *phase; // "forward", "recompute", "backward", "update"
    const char *plain;        // why it computes by rows or columns what tiles are for; NULL: it does not
    int32_t line;             // of the model's text ("source"), 0: not known
    double flops;             // of contractions, as they are executed for the batch at hand; 2 a multiply-add
    double bytes;             // that it reads and writes, each once
    double seconds;           // mean of the calls so far, as thread 0 saw it; 0 before the first
} ftc_kernel_desc;

// The kernels of one call (FTC_CALL_…), [*n], valid until the next ftc_trainer_kernels. Without a batch at
// hand flops and bytes are those of the largest. NULL when the trainer has no such call.
const ftc_kernel_desc *ftc_trainer_kernels(ftc_trainer *trainer, unsigned call, int32_t *n);

// Tells of a kernel of one call (FTC_CALL_…, exactly one), as `ftc explain` does: its operations and their
// lines, what it reads, why it ends where it ends, what it costs at the bounds, and which peak of the
// trainer's threads binds it; these are measured, which takes a second. `kernel` NULL: of every kernel. *text
// is the caller's, for ftc_text_free. Fails where there is no kernel of this name.
ftc_error *ftc_trainer_explain(ftc_trainer *trainer, unsigned call, const char *kernel, char **text);

// Runs the model on the batch at hand by the interpreter, op by op in double, as ftc_trainer_grad would run
// it in step 1: seconds where that takes a millisecond. *out is the caller's, for ftc_interpretation_free.
ftc_error *ftc_trainer_interpret(ftc_trainer *trainer, ftc_interpretation **out);
void ftc_interpretation_free(ftc_interpretation *interpretation); // NULL is allowed

// The values of an output of ftc_trainer_grad, or of a gradient, "<parameter>.grad": [*cells]. NULL when
// there is none of this name.
const double *ftc_interpretation_value(const ftc_interpretation *interpretation, const char *name,
                                       int64_t *cells);

// Writes the model as a Hugging Face directory (config.json, model.safetensors, and model.ir), which `ftc`,
// ftc_net_open and transformers read. Files of these names are replaced when all are complete; others stay.
// Of a model with adapters (option lora) these alone, as PEFT saves them: adapter_model.safetensors and
// adapter_config.json, which names the directory of the last ftc_trainer_load.
//
//   - tokenizer: directory whose tokenizer files are copied along; NULL: none
//   - labels: the names of the classes, as many as the output that is declared as scores has for a sequence;
//     NULL: LABEL_0, LABEL_1, …
//
// Fails, writing nothing, when a parameter is not finite.
ftc_error *ftc_trainer_save(const ftc_trainer *trainer, const char *directory, const char *tokenizer,
                            const char *const *labels);

#ifdef __cplusplus
}
#endif

#endif
