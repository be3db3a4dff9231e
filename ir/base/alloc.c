#include "ir/base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ftc_care {
    void *object;
    size_t bytes;
    ftc_release_fn *release;
} care;

// Where it lies must cost no memory either, as the default does in a library that is loaded late.
static _Thread_local ftc_scope *innermost __attribute__((tls_model("initial-exec")));

// --- what is allocated --------------------------------------------------------------------------------

void *ftc_alloc(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) ftc_out_of_memory(n * size);
    return p;
}

void *ftc_realloc(void *p, size_t n, size_t size) {
    p = reallocarray(p, n ? n : 1, size ? size : 1);
    if (!p) ftc_out_of_memory(n * size);
    return p;
}

void *ftc_alloc_aligned(size_t alignment, size_t bytes) {
    void *p = aligned_alloc(alignment, bytes);
    if (!p) ftc_out_of_memory(bytes);
    return memset(p, 0, bytes);
}

void *ftc_alloc_or_null(size_t bytes) {
    return malloc(bytes ? bytes : 1);
}

char *ftc_strndup(const char *s, size_t n) {
    char *copy = strndup(s, n);
    if (!copy) ftc_out_of_memory(strnlen(s, n) + 1);
    return copy;
}

char *ftc_strdup(const char *s) {
    return ftc_strndup(s, strlen(s));
}

char *ftc_format_args(const char *format, va_list args) {
    char *text;
    if (vasprintf(&text, format, args) < 0) ftc_out_of_memory(0);
    return text;
}

char *ftc_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = ftc_format_args(format, args);
    va_end(args);
    return text;
}

void *ftc_grow(void *array, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) return array;
    size_t larger = *capacity ? *capacity : 16;
    while (larger < needed && larger <= SIZE_MAX / 2) larger *= 2;
    array = ftc_realloc(array, larger < needed ? needed : larger, size);
    *capacity = larger;
    return array;
}

// --- texts --------------------------------------------------------------------------------------------

// What is in stdio's hands cannot be given up: it is told when the text is closed. open_memstream would not.
static ssize_t append(void *context, const char *bytes, size_t n) {
    ftc_text *text = context;
    if (text->capacity - text->size <= n) {
        size_t capacity = 2 * (text->size + n) + 64;
        char *larger = realloc(text->bytes, capacity);
        text->is_cut |= !larger;
        if (!larger) return 0;
        text->bytes = larger;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->size, bytes, n);
    text->size += n;
    return (ssize_t)n;
}

// For ftell.
static int tell(void *context, off64_t *offset, int from) {
    const ftc_text *text = context;
    if (from != SEEK_CUR || *offset) return -1;
    *offset = (off64_t)text->size;
    return 0;
}

static void drop_text(void *context, size_t bytes) {
    (void)bytes;
    ftc_text *text = context;
    fclose(text->file);
    free(text->bytes);
}

FILE *ftc_text_open(ftc_text *text) {
    *text = (ftc_text){0};
    text->file = fopencookie(text, "w", (cookie_io_functions_t){.write = append, .seek = tell});
    if (!text->file) ftc_out_of_memory(0);
    ftc_care_begin(text, 0, drop_text);
    return text->file;
}

char *ftc_text_close(ftc_text *text, size_t *size) {
    ftc_care_end(text);
    fclose(text->file);
    append(text, "", 0); // there is room for the NUL
    if (text->is_cut) {
        free(text->bytes);
        ftc_out_of_memory(text->size);
    }
    text->bytes[text->size] = '\0';
    if (size) *size = text->size;
    return text->bytes;
}

// --- where it ends ------------------------------------------------------------------------------------

void ftc_scope_open(ftc_scope *scope) {
    scope->outer = innermost;
    scope->cares = NULL;
    scope->n_cares = scope->capacity = 0;
    scope->why[0] = '\0';
    innermost = scope;
}

void ftc_scope_close(ftc_scope *scope) {
    innermost = scope->outer;
    while (scope->n_cares) {
        care c = scope->cares[--scope->n_cares];
        ftc_care_begin(c.object, c.bytes, c.release);
    }
    free(scope->cares);
    scope->cares = NULL;
}

void ftc_care_begin(void *object, size_t bytes, ftc_release_fn *release) {
    ftc_scope *scope = innermost;
    if (!scope) return;
    if (scope->n_cares == scope->capacity) {
        size_t capacity = scope->capacity ? 2 * scope->capacity : 16;
        care *larger = reallocarray(scope->cares, capacity, sizeof *larger);
        if (!larger) {
            release(object, bytes);
            ftc_out_of_memory(capacity * sizeof *larger);
        }
        scope->cares = larger;
        scope->capacity = capacity;
    }
    scope->cares[scope->n_cares++] = (care){object, bytes, release};
}

void ftc_care_end(const void *object) {
    for (ftc_scope *scope = innermost; scope; scope = scope->outer)
        for (size_t i = scope->n_cares; i-- > 0;)
            if (scope->cares[i].object == object) {
                scope->n_cares--;
                memmove(scope->cares + i, scope->cares + i + 1, (scope->n_cares - i) * sizeof *scope->cares);
                return;
            }
}

static void (*end_process)(const char *why);

void ftc_without_scope(void end(const char *why)) {
    end_process = end;
}

int ftc_scope_is_open(void) {
    return innermost != NULL;
}

void ftc_give_up(const char *why) {
    ftc_scope *scope = innermost;
    if (!scope) {
        if (end_process) end_process(why);
        fprintf(stderr, "ftc: %s\n", why);
        abort();
    }
    snprintf(scope->why, sizeof scope->why, "%s", why);
    while (
        scope->n_cares) { // one that runs out of memory itself comes by here again, for those that are left
        care c = scope->cares[--scope->n_cares];
        c.release(c.object, c.bytes);
    }
    longjmp(scope->back, 1);
}

void ftc_fault(const char *format, ...) {
    char why[sizeof innermost->why] = "internal error: ";
    size_t at = strlen(why);
    va_list args;
    va_start(args, format);
    vsnprintf(why + at, sizeof why - at, format, args);
    va_end(args);
    ftc_give_up(why);
}

void ftc_out_of_memory(size_t bytes) {
    char why[80] = "out of memory";
    if (bytes) snprintf(why, sizeof why, "out of memory (%zu bytes more)", bytes);
    ftc_give_up(why);
}
