// The artifact (.ftc): an ELF object file, followed by a trailer with a hash of it.
//
// objdump, perf and gdb work on it; the trailer is what is checked before anything in it is believed or executed.
#ifndef FTC_ARTIFACT_H
#define FTC_ARTIFACT_H

#include "compiler/compile.h"
#include "compiler/emit/tune.h"
#include "ir/step_abi.h"

// Writes the object to `path`, beside it first and renamed when complete. False after a diagnostic; an artifact that was
// there is then as it was.
bool ftc_artifact_write(const char *path, const ftc_object *object, ftc_diagnostics *d);

// Reads an artifact's bytes and checks them; *object is to be freed. False after a diagnostic.
bool ftc_artifact_read(const char *path, ftc_object *object, ftc_diagnostics *d);

// A text section of an object: "manifest", "source" or "graph". To be freed; NULL after a diagnostic.
char *ftc_artifact_section(const ftc_object *object, const char *name, ftc_diagnostics *d);

// A program ready to run. The code is in memory until ftc_program_unload.
typedef struct ftc_loaded_program ftc_loaded_program;

// Loads an object. When its code is for CPU features that this machine lacks, it is compiled again from the source graph
// inside, and *recompiled is set. NULL after diagnostics.
ftc_loaded_program *ftc_program_load(const ftc_object *object, bool *recompiled, ftc_diagnostics *d);

// The same without the code, which is neither looked at nor compiled again: the entries' functions are NULL.
ftc_loaded_program *ftc_program_describe(const ftc_object *object, ftc_diagnostics *d);

// What the program was compiled with, for compiling it again: all of its options but target, tuned plans and
// whatever tells about the work. Borrows from `loaded`.
ftc_compile_options ftc_program_options(const ftc_loaded_program *loaded);

// The plans that the program's contractions were tuned to, for compiling it again: what lies in the manifest when
// `target`'s CPU is the one that they were measured on, else none. To be freed.
ftc_tuned ftc_program_tuned(const ftc_loaded_program *loaded, const ftc_target *target);

const ftc_program *ftc_program_of(const ftc_loaded_program *loaded);
void ftc_program_unload(ftc_loaded_program *loaded);

#endif
