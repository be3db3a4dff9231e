// From a module to machine code: optimization, the ELF object file, adding sections to it and reading them
// back without executing anything, and loading it into this process.
//
// Functions that can fail return NULL (or false) and a one-line message in *error, to be freed by the caller.
#ifndef FTC_OBJECT_H
#define FTC_OBJECT_H

#include <stddef.h>

#include "compiler/codegen/codegen.h"

// Runs LLVM's optimizer on the module: what code that is already vectorized still profits from.
bool ftc_object_optimize(ftc_codegen *cg, char **error);

// The module as an ELF object file / as assembly text / as LLVM IR text. The bytes are allocated; text ends
// with a NUL that *size does not count.
char *ftc_object_emit(ftc_codegen *cg, size_t *size, char **error);
char *ftc_object_emit_assembly(ftc_codegen *cg, size_t *size, char **error);
char *ftc_object_print_ir(ftc_codegen *cg, size_t *size);

// An object file of LLVM IR text that somebody wrote, optimized.
char *ftc_object_from_text(const char *text, size_t text_size, const ftc_target *target, size_t *size,
                           char **error);

// A section to be added to an object file; its name and bytes are the caller's.
typedef struct {
    const char *name; // ".ftc.source"
    const void *bytes;
    size_t size;
} ftc_object_section;

// A copy of an object file that ftc_object_emit made, with `n` more sections. To be freed.
char *ftc_object_add_sections(const char *object, size_t object_size, const ftc_object_section *sections,
                              int n, size_t *size);

// Objects that are put into another one, to be linked with it: section FTC_OBJECT_KERNEL with their number,
// from 0.
#define FTC_OBJECT_KERNEL ".ftc.kernel.%d"

// What keeps the object from being linked with code for this kind of machine; NULL: nothing that its header
// tells.
const char *ftc_object_problem(const void *object, size_t object_size, const ftc_arch *arch);

// The kind of machine that the object is for; NULL: none that ftc compiles for, or it is no object.
const ftc_arch *ftc_object_arch(const void *object, size_t object_size);

// Whether the object has a symbol of its own of this name.
bool ftc_object_defines(const void *object, size_t object_size, const char *symbol);

// A copy of the bytes of section `name`, followed by a NUL that *size does not count.
char *ftc_object_read_section(const void *object, size_t object_size, const char *name, size_t *size,
                              char **error);

// The same of the object number `i` that was put into this one; NULL: there are no more.
char *ftc_object_read_kernel(const void *object, size_t object_size, int i, size_t *size);

// An object file loaded into this process; its functions, to be cast to their types.
typedef struct ftc_loaded_object ftc_loaded_object;
typedef void ftc_code(void);

ftc_loaded_object *ftc_object_load(const void *object, size_t size, char **error); // copies the bytes
ftc_code *ftc_object_lookup(ftc_loaded_object *loaded, const char *symbol, char **error);
void ftc_object_unload(ftc_loaded_object *loaded); // its functions may no longer be called

#endif
