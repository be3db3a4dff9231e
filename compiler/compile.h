// From a source graph to machine code: every entry point through all passes, into one object and its
// description.
#ifndef FTC_COMPILE_H
#define FTC_COMPILE_H

#include <stddef.h>

#include "compiler/pipeline.h"
#include "compiler/codegen/target.h"

// Called with the graph of an entry after a pass; pass NULL: before the first.
typedef void ftc_compile_after(void *context, ftc_entry_kind entry, const ftc_pass *pass, const ftc_graph *g,
                               double seconds);

// How long a pass took, or a part of the work that is no pass: emitting, LLVM's optimization, its generation
// of code.
typedef struct {
    const char *name;                // static
    double seconds[FTC_ENTRY_COUNT]; // of what is done for all entries at once: all of it in the first
    bool is_of_all;                  // done for all entries at once
} ftc_compile_time;

enum { FTC_MOST_COMPILE_TIMES = 64 };

typedef struct {
    ftc_compile_time list[FTC_MOST_COMPILE_TIMES];
    int n; // in the order of the work
} ftc_compile_times;

// A dump that takes the place of an entry's graph (compiler/resume.h): its file, for diagnostics, and its
// text.
typedef struct {
    const char *name, *text; // NULL: there is none
} ftc_dump;

// An object file with kernels that are not the compiler's (ir/ftc_kernel.h): what it is called in
// diagnostics, and its bytes.
typedef struct ftc_kernel_file {
    const char *name;
    char *bytes;
    size_t size;
} ftc_kernel_file;

typedef struct {
    uint32_t entries;                // mask of 1 << ftc_entry_kind; 0: all
    const ftc_target *target;        // NULL: the host
    ftc_dump dumps[FTC_ENTRY_COUNT]; // recorded, too
    const ftc_kernel_file *kernels;  // put into the object
    int n_kernels;
    bool is_looked_at;       // and not run: kernels that are not the compiler's need not be there
    const char *const *skip; // passes switched off
    int n_skip;
    const char *const *schedule; // edits of the schedule (compiler/passes/edits.h); recorded, too
    const struct ftc_edit_place *schedule_places; // [n_schedule]; NULL: in no file
    int n_schedule;
    bool schedule_is_kept;         // an artifact's: edits need not change a kernel again, at other sizes
    bool *schedule_matched;        // set by the compiler
    bool use_blas;                 // --gemm openblas: matrix products call ftc_step_args.sgemm
    const struct ftc_tuned *tuned; // plans of contractions, recorded too; NULL: the default ones
    bool bf16;                     // --precision bf16
    bool check_text;               // print and parse back after every pass
    int32_t tile_rows;             // of a block in tile kernels (ftc_pass_options); 0: as is best
    bool guard;                    // --guard: ftc_program.guarded
    int64_t memory_budget_bytes;   // at the bounds (ftc_pass_options); 0: none
    int32_t threads;               // whose scratch a budget counts; 0: none's
    const char *pretrained;        // recorded in the artifact; NULL: none
    const char *source_text;       // recorded (ftc_parse_resolve); NULL: a print of the source graph
    ftc_compile_after *after;      // NULL: not called
    void *context;                 // of `after`
    ftc_compile_times *times;      // what it took is added to them; NULL: not asked for
    char **assembly, **llvm;       // when not NULL: receive the module as text, to be freed
} ftc_compile_options;

// An ELF object file.
typedef struct {
    char *bytes;
    size_t size;
} ftc_object;

// What a compilation makes. The description comes from the graphs and needs no file and no JSON: whoever runs
// the program in this process takes it as it is (ftc_program_take), and only an artifact has it as text
// (ftc_artifact_write). The code is an object in both cases, because that is what LLVM's code generator
// makes, and what its loader links.
typedef struct {
    ftc_object code;
    struct ftc_manifest *manifest;      // with the model's text as its program's source
    ftc_graph *graphs[FTC_ENTRY_COUNT]; // after the last pass; NULL: not compiled
} ftc_compiled;

// Compiles the model whose source graph (as parsed, forward only) is `source`. False after diagnostics;
// *compiled is untouched then.
bool ftc_compile(const ftc_graph *source, const ftc_compile_options *options, ftc_compiled *compiled,
                 ftc_diagnostics *d);
void ftc_compiled_free(ftc_compiled *compiled); // zeros are allowed

// An entry's graph after the last pass, as ftc_compile would emit it if it were the only one. NULL after
// diagnostics.
ftc_graph *ftc_compile_plan(const ftc_graph *source, ftc_entry_kind entry, const ftc_compile_options *options,
                            ftc_diagnostics *d);

// The graph of an entry before the first pass, where `training` is a constant. UPDATE: without outputs of its
// own; the forward phase tells how parameters are read.
ftc_graph *ftc_compile_entry_graph(const ftc_graph *source, ftc_entry_kind entry);

#endif
