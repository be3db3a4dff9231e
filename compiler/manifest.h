// What an artifact says of its code: the manifest, as a structure and as JSON.
//
// The fields of ftc_manifest, and of all structures that it reaches, stand in the tables of manifest.c, each
// in one line. Writing, reading and copying walk these tables and know no field by name.
#ifndef FTC_MANIFEST_H
#define FTC_MANIFEST_H

#include <stddef.h>

#include "compiler/emit/tune.h"
#include "ir/arena.h"
#include "ir/diag.h"
#include "ir/step_abi.h"

typedef struct ftc_manifest {
    int32_t abi;              // FTC_STEP_ABI_VERSION
    const char *cpu_features; // that the code needs, as LLVM writes them: "+avx2,+fma,…"
    uint32_t entries;         // mask of 1 << ftc_entry_kind: what was compiled
    ftc_program program;      // its functions and its source are not written: they are sections of their own
    // What is needed to compile it again as it was.
    int64_t memory_budget_bytes;
    int32_t n_skip, n_schedule, n_tuned;
    const char *const *skip;     // [n_skip] passes left out
    const char *const *schedule; // [n_schedule] edits of the schedule
    const ftc_tuned_plan *tuned;
    const char *dumps[FTC_ENTRY_COUNT]; // the texts that took the place of entries' graphs; NULL: none did
    // Its own kernels; not written: sections of their own (.ftc.kernel.0 …).
    const struct ftc_kernel_file *kernels;
    int32_t n_kernels;
    ftc_arena *arena; // owns the manifest and all that it points to
} ftc_manifest;

// An empty manifest. What its pointers are set to is the caller's until ftc_manifest_own copies it.
ftc_manifest *ftc_manifest_new(void);
void ftc_manifest_own(ftc_manifest *manifest);
void ftc_manifest_keep_kernels(ftc_manifest *manifest, const struct ftc_kernel_file *kernels,
                               int n);          // copies them
void ftc_manifest_free(ftc_manifest *manifest); // NULL is allowed

// The manifest as JSON text; to be freed.
char *ftc_manifest_write(const ftc_manifest *manifest);

// Reads it back, with nothing missing, nothing unknown, all numbers in the ranges of the tables. NULL after a
// diagnostic that names the field.
ftc_manifest *ftc_manifest_read(const char *text, ftc_diagnostics *d);

// --- the tables ---------------------------------------------------------------------------------------

// In JSON: text or null; a number, or "inf", "-inf", "nan"; an object.
typedef enum {
    FTC_FIELD_TEXT, // const char *
    FTC_FIELD_I32,
    FTC_FIELD_U32, // enumerations, too
    FTC_FIELD_I64,
    FTC_FIELD_F32,
    FTC_FIELD_F64,
    FTC_FIELD_STRUCT, // its fields are in a table of their own
} ftc_field_type;

// In JSON all but the first are arrays.
typedef enum {
    FTC_FIELD_ONE,    // the value itself
    FTC_FIELD_ALL,    // an array in the structure
    FTC_FIELD_PREFIX, // the first elements of an array in the structure; an int32_t beside it says how many
    FTC_FIELD_LIST,   // a pointer to elements; an int32_t beside it says how many
} ftc_field_shape;

typedef struct ftc_field {
    const char *name; // of the member, and in JSON; NULL ends a table
    ftc_field_type type;
    ftc_field_shape shape;
    size_t offset;                  // of the member
    size_t size;                    // of one element, in bytes
    size_t room;                    // elements that an array in the structure has
    size_t count;                   // offset of the number of elements
    const struct ftc_field *fields; // of a STRUCT
    bool optional;                  // TEXT: may be NULL
    double least, most;             // of numbers; both 0: what the type can hold
    size_t below;                   // an index into a list, or -1: where ftc_program counts that list; else 0
} ftc_field;

extern const ftc_field ftc_manifest_fields[];

#endif
