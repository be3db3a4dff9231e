// The machine code of an object as text: the function of each kernel of an entry, and the innermost loops
// that it runs, in itself and in what it calls. Nothing is executed.
#ifndef FTC_LISTING_H
#define FTC_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A loop that no other loop is in: what a jump back jumps over.
typedef struct {
    const char *function; // whose it is
    int64_t offset;       // from the function's start, in bytes
    int32_t instructions;
    int32_t arithmetic; // of these: additions, multiplications, … of vectors; a multiply-add counts two
    char *text;         // the assembler's (x86: AT&T syntax), a line each, jumped-to places as ".L1a0:"
} ftc_listed_loop;

typedef struct {
    const char *name; // the symbol
    int32_t *loops;   // [n_loops] that it reaches, most arithmetic first
    int32_t n_loops;
} ftc_listed_function;

typedef struct {
    ftc_listed_loop *loops;
    ftc_listed_function *functions; // of kernels
    int32_t *calls;                 // [n_calls] the function of each kernel of the entry; -1: it has none
    int32_t n_loops, n_functions, n_calls;
    struct ftc_code_image *images; // what owns the symbols
    int32_t n_images;
} ftc_listing;

// Of the entry whose function is `symbol` ("ftc_step"), with `n_calls` kernels. `features` are those that the
// code was compiled for, as LLVM writes them. The object's bytes must outlive the listing. False after a
// message in *error, to be freed.
bool ftc_listing_make(const void *object, size_t size, const char *symbol, int32_t n_calls,
                      const char *features, ftc_listing *out, char **error);
void ftc_listing_free(ftc_listing *listing); // zeros are allowed

#endif
