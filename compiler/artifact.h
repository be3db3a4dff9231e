// The artifact (.ftc): an ELF object file with code, manifest and texts, followed by a trailer with a hash of
// it. And programs that can be called, from artifacts or from compilations in this process.
//
// objdump, perf and gdb work on an artifact; the trailer is what is checked before anything in it is believed
// or executed. docs/artifact.md describes the format.
#ifndef FTC_ARTIFACT_H
#define FTC_ARTIFACT_H

#include "compiler/compile.h"
#include "compiler/emit/tune.h"
#include "compiler/manifest.h"
#include "ir/step_abi.h"

// --- artifacts ----------------------------------------------------------------------------------------

// Writes what was compiled to `path`, beside it first and renamed when complete. False after a diagnostic; an
// artifact that was there is then as it was.
bool ftc_artifact_write(const char *path, const ftc_compiled *compiled, ftc_diagnostics *d);

// The object in it: the code with the sections .ftc.source, .ftc.manifest and .ftc.graph. Its bytes are to be
// freed.
ftc_object ftc_artifact_object(const ftc_compiled *compiled);

// Reads an artifact's object and checks it; its bytes are to be freed. False after a diagnostic.
bool ftc_artifact_read(const char *path, ftc_object *object, ftc_diagnostics *d);

// A text section of an object: "manifest", "source" or "graph". To be freed; NULL after a diagnostic.
char *ftc_artifact_section(const ftc_object *object, const char *name, ftc_diagnostics *d);

// What an artifact's object says of its program, whose functions are NULL: the code is not looked at. NULL
// after a diagnostic.
ftc_manifest *ftc_artifact_describe(const ftc_object *object, ftc_diagnostics *d);

// --- compiling again ----------------------------------------------------------------------------------

// What a program was compiled with: all of its options but target, tuned plans and whatever tells about the
// work. Borrows from the manifest.
ftc_compile_options ftc_manifest_options(const ftc_manifest *manifest);

// The plans that its contractions were tuned to: what lies in the manifest when `target`'s CPU is the one
// that they were measured on, else none. To be freed.
ftc_tuned ftc_manifest_tuned(const ftc_manifest *manifest, const ftc_target *target);

// --- programs -----------------------------------------------------------------------------------------

// A program ready to run. The code is in memory until ftc_program_unload.
typedef struct ftc_loaded_program ftc_loaded_program;

// Loads what was compiled, for this machine, in this process, without making an artifact of it. Takes
// *compiled, which is zeros afterwards. NULL after a diagnostic.
ftc_loaded_program *ftc_program_take(ftc_compiled *compiled, ftc_diagnostics *d);

// Loads an artifact's object. When its code is for CPU features that this machine lacks, it is compiled again
// from the text inside, and *recompiled is set. NULL after diagnostics.
ftc_loaded_program *ftc_program_load(const ftc_object *object, bool *recompiled, ftc_diagnostics *d);

const ftc_manifest *ftc_program_manifest(const ftc_loaded_program *loaded);
const ftc_program *ftc_program_of(const ftc_loaded_program *loaded);
void ftc_program_unload(ftc_loaded_program *loaded);

#endif
