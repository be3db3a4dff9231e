#include "ir/lang/lex.h"

#include "ir/base/name.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    ftc_arena *arena;
    const ftc_source *source;
    ftc_diagnostics *d;
    const char *p;
    int line;
    const char *known; // on this line, whose column is
    int column;
    ftc_token *tokens;
    uint32_t n, capacity;
} lexer;

// Own classification: <ctype.h> depends on the locale.
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool begins_character(char c) {
    return ((unsigned char)c & 0xc0) != 0x80;
}

static ftc_place place_of(lexer *l, const char *p) {
    for (; l->known < p; l->known++) l->column += begins_character(*l->known);
    for (; l->known > p; l->known--) l->column -= begins_character(l->known[-1]);
    return (ftc_place){l->line, l->column};
}

#define REPORT(l, at, ...)                                                                                   \
    do {                                                                                                     \
        ftc_place where_ = place_of(l, at);                                                                  \
        ftc_diag_add((l)->d, (l)->source->name, (l)->source->text, where_.line, where_.column, __VA_ARGS__); \
    } while (0)

static void skip_space(lexer *l) {
    for (;; l->p++) {
        if (*l->p == '\n') {
            l->line++;
            l->known = l->p + 1;
            l->column = 1;
        } else if (l->p[0] == '/' && l->p[1] == '/') {
            l->p += strcspn(l->p, "\n");
            l->p--;
        } else if (*l->p != ' ' && *l->p != '\t' && *l->p != '\r') {
            return;
        }
    }
}

static const char *scan_digits(const char *p, bool hex) {
    while (hex ? is_hex(*p) : is_digit(*p)) p++;
    return p;
}

static void lex_number(lexer *l, ftc_token *t) {
    const char *p = l->p;
    bool hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
    if (hex) p += 2;
    p = scan_digits(p, hex);
    t->is_integer = !hex;
    if (p[0] == '.' && p[1] != '.') { // not the range 0..n
        p = scan_digits(p + 1, hex);
        t->is_integer = false;
    }
    if (hex ? *p == 'p' || *p == 'P' : *p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        p = scan_digits(p, false);
        t->is_integer = false;
    }
    while (is_letter(*p) || is_digit(*p)) p++;
    t->kind = FTC_TOKEN_NUMBER;
    t->text = ftc_arena_strndup(l->arena, l->p, (size_t)(p - l->p));
    char *end;
    bool fits = ftc_name_number(t->text, &end, &t->number);
    if (*end)
        REPORT(l, l->p, "'%s' is not a number", t->text);
    else if (isinf(t->number))
        REPORT(l, l->p, "'%s' is larger than any number; infinity is written inf", t->text);
    else if (!fits)
        REPORT(l, l->p, "'%s' is nearer to 0 than any number", t->text);
    l->p = p;
}

static void lex_string(lexer *l, ftc_token *t) {
    const char *start = l->p++, *end = l->p;
    while (*end && *end != '\n' && *end != '"')
        end += *end == '\\' && (end[1] == '"' || end[1] == '\\') ? 2 : 1;
    size_t length = 0;
    char *text = ftc_arena_alloc(l->arena, (size_t)(end - l->p) + 1);
    t->kind = FTC_TOKEN_STRING;
    t->text = text;
    while (*l->p != '"') {
        if (*l->p == '\n' || !*l->p) {
            REPORT(l, start, "this string has no end; write \" on the same line");
            return;
        }
        char c = *l->p++;
        if (c == '\\') {
            char escape = *l->p;
            if (escape == '"' || escape == '\\')
                c = escape, l->p++;
            else if (escape == 'n')
                c = '\n', l->p++;
            else if (escape == 't')
                c = '\t', l->p++;
            else if (escape == 'x' && is_hex(l->p[1]) && is_hex(l->p[2]) &&
                     (l->p[1] != '0' || l->p[2] != '0')) {
                c = (char)strtol((char[]){l->p[1], l->p[2], 0}, NULL, 16);
                l->p += 3;
            } else {
                REPORT(l, l->p - 1, "unknown escape in a string; there are \\\" \\\\ \\n \\t and \\xHH");
            }
        }
        text[length++] = c;
    }
    if (ftc_utf8_check(text, length) < length)
        REPORT(l, start, "this string is not UTF-8, as names in files of weights have to be");
    l->p++;
}

static bool lex_mark(lexer *l, ftc_token *t) {
    static const char *const marks[] = {"->", "..", "==", "!=", "<=", ">=", "{", "}", "(", ")", "[", "]",
                                        ",",  ";",  ":",  "=",  "+",  "-",  "*", "/", "<", ">", "@"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t length = strlen(marks[i]);
        if (strncmp(l->p, marks[i], length)) continue;
        t->kind = FTC_TOKEN_MARK;
        t->text = marks[i];
        l->p += length;
        return true;
    }
    return false;
}

static ftc_token *push(lexer *l) {
    if (l->n == l->capacity) {
        uint32_t capacity = l->capacity ? 2 * l->capacity : 256;
        ftc_token *tokens = ftc_arena_alloc(l->arena, capacity * sizeof *tokens);
        if (l->n) memcpy(tokens, l->tokens, l->n * sizeof *tokens);
        l->tokens = tokens;
        l->capacity = capacity;
    }
    return &l->tokens[l->n++];
}

// What a character of other languages would be here.
static const char *meant_by(char c) {
    switch (c) {
    case '#': return "; a comment begins with //";
    case '^': return "; a power is pow(x, y)";
    case '&': return "; write: x and y";
    case '|': return "; write: x or y";
    case '!': return "; write: not x";
    case '?': return "; write select(CONDITION, x, y)";
    case '.': return "; functions are called so: sum(x; AXIS)";
    case '\'': return "; text stands in double quotes";
    default: return "";
    }
}

ftc_token *ftc_lex(ftc_arena *arena, const ftc_source *source, ftc_diagnostics *d) {
    lexer l = {.arena = arena,
               .source = source,
               .d = d,
               .p = source->text,
               .known = source->text,
               .line = 1,
               .column = 1};
    int last_line = 0;
    for (;;) {
        skip_space(&l);
        ftc_token t = {.place = place_of(&l, l.p), .text = ""};
        t.first = t.place.line != last_line;
        last_line = t.place.line;
        t.start = (uint32_t)(l.p - source->text);
        const char *start = l.p;
        if (!*l.p) {
            *push(&l) = t;
            return l.tokens;
        }
        if (is_letter(*l.p)) {
            while (is_letter(*l.p) || is_digit(*l.p)) l.p++;
            t.kind = FTC_TOKEN_NAME;
            t.text = ftc_arena_strndup(arena, start, (size_t)(l.p - start));
        } else if (is_digit(*l.p)) {
            lex_number(&l, &t);
        } else if (*l.p == '%' && is_digit(l.p[1])) {
            t.kind = FTC_TOKEN_LABEL;
            t.number = (double)strtoul(l.p + 1, (char **)&l.p, 10);
        } else if (*l.p == '"') {
            lex_string(&l, &t);
        } else if (!lex_mark(&l, &t)) {
            do l.p++;
            while (!begins_character(*l.p));
            REPORT(&l, start, "'%.*s' has no meaning here%s", (int)(l.p - start), start, meant_by(*start));
            if (*start == '#') l.p += strcspn(l.p, "\n");
            continue;
        }
        t.end = (uint32_t)(l.p - source->text);
        t.end_column = place_of(&l, l.p).column;
        *push(&l) = t;
    }
}
