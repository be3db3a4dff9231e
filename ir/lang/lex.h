// From text to tokens. White space and line ends only separate; a comment runs from // to the end of the
// line.
#ifndef FTC_LEX_H
#define FTC_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/arena.h"
#include "ir/diag.h"

typedef enum {
    FTC_TOKEN_END,
    FTC_TOKEN_NAME,   // letters, digits and _, not starting with a digit
    FTC_TOKEN_LABEL,  // %12
    FTC_TOKEN_NUMBER, // 12, 0.5, 1e-5, 0x1.8p+3
    FTC_TOKEN_STRING, // "…" with \" \\ \n \t \xHH
    FTC_TOKEN_MARK,   // punctuation, up to two characters
} ftc_token_kind;

// A place in a source: line and column count from 1, columns in code points.
typedef struct {
    int line, column;
} ftc_place;

typedef struct {
    ftc_token_kind kind;
    ftc_place place;
    int end_column;      // just past it
    bool first;          // the first token on its line
    bool is_integer;     // number: written without point or exponent
    const char *text;    // name and mark as written; a string's contents
    double number;       // number, label
    uint32_t start, end; // bytes of the source
} ftc_token;

// A text and the name under which diagnostics show it.
typedef struct {
    const char *name;
    const char *text;
} ftc_source;

// All tokens, the last of kind FTC_TOKEN_END. What is no token is reported and skipped.
ftc_token *ftc_lex(ftc_arena *arena, const ftc_source *source, ftc_diagnostics *d);

#endif
