// Memory for small things, and the one way in which it runs out.
//
// What these functions return is there: nobody checks. Where there is none left, the work at hand is given
// up: what is in the care of this thread's innermost scope is released, and whoever opened the scope goes on
// behind it with an error. Scopes are opened where a caller comes in: by the functions of ftc.h, by the
// command, and by threads around their share. All of it is freed with free.
//
//     ftc_scope scope;
//     ftc_scope_open(&scope);
//     bool ok = ftc_scope_enter(&scope) && work();    // false a second time when work() is given up
//     ftc_scope_close(&scope);
//
// What is given up leaves its small things where they are, so an owner of more than a few pages, of a file or
// of a thread puts it in the scope's care until it is done with it.
#ifndef FTC_BASE_ALLOC_H
#define FTC_BASE_ALLOC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h> // free

// --- what is allocated --------------------------------------------------------------------------------

void *ftc_alloc(size_t n, size_t size);                  // zeroed; n may be 0
void *ftc_realloc(void *p, size_t n, size_t size);       // n may be 0
void *ftc_alloc_aligned(size_t alignment, size_t bytes); // zeroed; bytes is a multiple of the alignment
char *ftc_strdup(const char *s);
char *ftc_strndup(const char *s, size_t n);
char *ftc_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *ftc_format_args(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

// For what the size of a file decides: NULL where it does not fit, and whoever asks says what for.
void *ftc_alloc_or_null(size_t bytes);

// Makes room for `needed` elements of `size` bytes in a growing array; returns the array, moved or not.
void *ftc_grow(void *array, size_t *capacity, size_t needed, size_t size);

// A text that is written as to a file. Closing it returns the text, with a NUL behind its *size bytes (NULL:
// not asked for).
typedef struct {
    FILE *file;
    char *bytes;
    size_t size, capacity;
    int is_cut; // there was no memory for a part of it
} ftc_text;
FILE *ftc_text_open(ftc_text *text);
char *ftc_text_close(ftc_text *text, size_t *size);

// --- where it ends ------------------------------------------------------------------------------------

typedef void ftc_release_fn(void *object, size_t bytes);

typedef struct ftc_scope {
    jmp_buf back;
    struct ftc_scope *outer;
    struct ftc_care *cares; // [n_cares] what is released when the work is given up, the last first
    size_t n_cares, capacity;
    char why[256]; // for people, once the work is given up: "out of memory (96 bytes more)"
} ftc_scope;

void ftc_scope_open(ftc_scope *scope);
#define ftc_scope_enter(scope) (setjmp((scope)->back) == 0)
void ftc_scope_close(ftc_scope *scope); // what is still in its care goes to the one outside

// Puts an object in the care of the innermost scope, or takes it out of that of any scope of this thread.
// Without a scope, and where the object is in no care, nothing happens.
void ftc_care_begin(void *object, size_t bytes, ftc_release_fn *release);
void ftc_care_end(const void *object);

// Gives up the work of the innermost scope. Without one nobody takes the error, and the process aborts, or
// does what a program has said that it is to do: that does not return.
_Noreturn void ftc_give_up(const char *why);
_Noreturn void ftc_out_of_memory(size_t bytes); // so many more; 0: nobody knows
// Where ftc itself is at fault: "internal error: " and the message.
_Noreturn void ftc_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
int ftc_scope_is_open(void); // in this thread
void ftc_without_scope(void end(const char *why));

#endif
