// The passes: each a function in a file of its own, listed in one table (compiler/pipeline.c).
//
// A pass changes the graph in place. It returns false after adding a diagnostic when what the user asked for
// cannot be done (a budget that cannot be met, an optimizer that does not exist); anything else that goes
// wrong is a bug and aborts.
#ifndef FTC_PASSES_H
#define FTC_PASSES_H

#include "ir/diag.h"
#include "ir/graph.h"

#define FTC_LEAST_MEMORY 1

typedef struct {
    ftc_entry_kind entry; // which entry point the graph becomes
    // remat: the most bytes that the arena, the graph's parameters and the like, `resident_bytes` of tensors
    // that the graph does not know, and `scratch_bytes` of all threads may take together; 0: any number,
    // FTC_LEAST_MEMORY: as few as can be.
    int64_t memory_budget_bytes, resident_bytes, scratch_bytes;
    bool budget_is_a_wish; // no error when it cannot be met
    int32_t tile_rows;     // fuse: rows of a block in a tile kernel, 0: choose
    bool guard;            // plan: every value has pages of its own (ftc_guarded_bytes)
    bool keeps_meanings;   // differentiate: kernels that are not the compiler's stay what they mean, to be
                           // interpreted
    bool bf16;             // remat, precision: contractions on bf16, values kept for later as bf16
    const char *const *rules_left_out; // shrink, simplify: names of rules that are not applied
    int n_rules_left_out;
    const char *const *edits; // fuse: edits of the schedule (compiler/passes/edits.h)
    bool *edits_matched;      // [n_edits] set where one has found its kernel
    int n_edits;
} ftc_pass_options;

// What a graph has been through, as it shows; bits.
typedef enum {
    FTC_HAS_GRADIENTS = 1 << 0, // nodes of the backward phase
    FTC_HAS_UPDATES = 1 << 1,   // nodes of the update
    FTC_HAS_KERNELS = 1 << 2,
    FTC_HAS_MEMORY = 1 << 3, // an arena
} ftc_stage;

typedef bool ftc_pass_fn(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d);

typedef struct {
    const char *name;
    ftc_pass_fn *run;
    bool optional;        // --no-pass may switch it off
    unsigned needs, bars; // ftc_stage: what the graph must have, and must not have
    const char *summary;  // one line: what it does and what holds after it
} ftc_pass;

ftc_pass_fn ftc_pass_freeze, ftc_pass_bounds, ftc_pass_differentiate, ftc_pass_optimizer, ftc_pass_assign,
    ftc_pass_simplify, ftc_pass_cse, ftc_pass_dce, ftc_pass_scalars, ftc_pass_remat, ftc_pass_precision,
    ftc_pass_layout, ftc_pass_lower, ftc_pass_fuse, ftc_pass_schedule, ftc_pass_plan;

// The table, in the order in which `ftc compile` runs it. A pass may occur more than once.
extern const ftc_pass ftc_passes[];
extern const int ftc_n_passes;

const ftc_pass *ftc_pass_find(const char *name); // NULL: unknown

// What the graph's tensors of a kind take in memory, as a budget counts them.
int64_t ftc_resident_bytes(const ftc_graph *g, ftc_decl_kind kind);

// Whether there is a pass of this name, or a word `also` (up to a NULL; NULL: no more words); false after a
// diagnostic that names the option which asks for it, and the nearest name.
bool ftc_pass_check_name(const char *option, const char *name, const char *const *also, ftc_diagnostics *d);

// Whether --no-pass may name it: an optional pass, or a rule of one, as "simplify:demand". False after a
// diagnostic.
bool ftc_pass_check_skip(const char *name, ftc_diagnostics *d);

#endif
