// From a module to machine code: optimization, the ELF object file, reading its sections back without
// executing anything, and loading it into this process.
//
// Functions that can fail return NULL (or false) and a one-line message in *error, to be freed by the caller.
#ifndef FTC_OBJECT_H
#define FTC_OBJECT_H

#include <stddef.h>

#include "compiler/codegen/codegen.h"

// Runs LLVM's optimizer on the module: what code that is already vectorized still profits from.
bool ftc_object_optimize(ftc_codegen *cg, char **error);

// Adds a section of that name with those bytes (copied) to the object file that the module becomes.
void ftc_object_add_section(ftc_codegen *cg, const char *name, const void *bytes, size_t size);

// The module as an ELF object file / as assembly text / as LLVM IR text. The bytes are allocated; text ends
// with a NUL that *size does not count.
char *ftc_object_emit(ftc_codegen *cg, size_t *size, char **error);
char *ftc_object_emit_assembly(ftc_codegen *cg, size_t *size, char **error);
char *ftc_object_print_ir(ftc_codegen *cg, size_t *size);

// A copy of the bytes of section `name`, followed by a NUL that *size does not count.
char *ftc_object_read_section(const void *object, size_t object_size, const char *name, size_t *size,
                              char **error);

// An object file loaded into this process; its functions, to be cast to their types.
typedef struct ftc_loaded_object ftc_loaded_object;
typedef void ftc_code(void);

ftc_loaded_object *ftc_object_load(const void *object, size_t size, char **error); // copies the bytes
ftc_code *ftc_object_lookup(ftc_loaded_object *loaded, const char *symbol, char **error);
void ftc_object_unload(ftc_loaded_object *loaded); // its functions may no longer be called

#endif
