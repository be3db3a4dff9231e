// What the files of the parser share (ir/lang/parse*.c); nobody else includes it.
//
// Recursive descent over the tokens. After an error inside a statement the text is as if it ended there, so
// that every function returns; the loop over statements goes on at the next line that begins one.
#ifndef FTC_PARSER_H
#define FTC_PARSER_H

#include "ir/lang/ast.h"

enum { FTC_SYN_DEEPEST = 100 }; // nesting of expressions and blocks

typedef struct {
    ftc_arena *arena;
    ftc_diagnostics *d;
    ftc_module *module;
    const ftc_token *tokens, *next;
    bool failed; // inside a statement with an error
    int depth;
} ftc_parser;

// --- tokens -------------------------------------------------------------------------------------------

// The next token, or the one `ahead` of it; after an error the end of the text. take goes behind it.
const ftc_token *ftc_syn_peek(const ftc_parser *p);
const ftc_token *ftc_syn_peek_at(const ftc_parser *p, int ahead);
const ftc_token *ftc_syn_take(ftc_parser *p);

// Whether a token is this; accept_… go behind it where it is the next. A word: a keyword here, which is not
// being assigned to.
bool ftc_syn_token_is(const ftc_token *t, ftc_token_kind kind, const char *text);
bool ftc_syn_at_mark(const ftc_parser *p, const char *mark);
bool ftc_syn_accept_mark(ftc_parser *p, const char *mark);
bool ftc_syn_at_word(const ftc_parser *p, const char *word);
bool ftc_syn_accept_word(ftc_parser *p, const char *word);

#define FTC_SYN_FAIL(p, at, ...)                                                                             \
    do {                                                                                                     \
        if (!(p)->failed)                                                                                    \
            ftc_diag_add((p)->d, (p)->module->source.name, (p)->module->source.text, (at).line, (at).column, \
                         __VA_ARGS__);                                                                       \
        (p)->failed = true;                                                                                  \
    } while (0)

// "expected X, not Y" at the next token; where that stands on a later line, at the end of the last one.
void ftc_syn_fail_expected(ftc_parser *p, const char *what);
void ftc_syn_fail_expected_at(ftc_parser *p, ftc_place place, const char *what);

// The next token, which must be of this kind; after a diagnostic "" or 0. A count is a whole number from 0 to
// `most`, a distance one with a sign.
void ftc_syn_expect_mark(ftc_parser *p, const char *mark);
const char *ftc_syn_expect_name(ftc_parser *p, const char *what);
const char *ftc_syn_expect_string(ftc_parser *p, const char *what);
double ftc_syn_expect_count(ftc_parser *p, const char *what, double most);
double ftc_syn_expect_distance(ftc_parser *p);

// Zeros.
void *ftc_syn_new_node(ftc_parser *p, size_t size);

// Nesting: enter returns false, after a diagnostic, where it is too deep.
bool ftc_syn_enter(ftc_parser *p);
void ftc_syn_leave(ftc_parser *p);

// --- what statements are made of ----------------------------------------------------------------------

ftc_axis_item *ftc_syn_axis_item(ftc_parser *p);
ftc_axis_item *ftc_syn_axis_items(ftc_parser *p, bool commas);       // A, B, C; merged ones: A B C
ftc_axis_list *ftc_syn_axis_lists(ftc_parser *p, const char *close); // A, D -> H; nothing before `close`
ftc_type_syntax ftc_syn_type(ftc_parser *p);
void ftc_syn_init(ftc_parser *p, ftc_decl_syntax *decl);
void ftc_syn_loc(ftc_parser *p, const char **file, double *line);
ftc_decl_syntax *ftc_syn_decl(ftc_parser *p, ftc_decl_kind kind, ftc_place place);
ftc_expr *ftc_syn_new_expr(ftc_parser *p, ftc_expr_kind kind); // at the next token
void ftc_syn_args(ftc_parser *p, ftc_expr *call);              // (x, y; A -> B)
ftc_expr *ftc_syn_primary(ftc_parser *p);
ftc_expr *ftc_syn_expr(ftc_parser *p);

#endif
