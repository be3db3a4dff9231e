// Recursive descent over the tokens. After an error inside a statement the text is as if it ended there, so
// that every function returns; the loop over statements goes on at the next line that begins one.
#include <math.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/lang/ast.h"
#include "ir/print.h"

enum { DEEPEST = 100 };                   // nesting of expressions and blocks
static const double LARGEST_COUNT = 1e15; // of bytes

typedef struct {
    ftc_arena *arena;
    ftc_diagnostics *d;
    ftc_module *module;
    const ftc_token *tokens, *next;
    bool failed; // inside a statement with an error
    int depth;
} parser;

static ftc_stmt *parse_block(parser *p), *parse_statement(parser *p);
static ftc_expr *parse_expr(parser *p);

// --- tokens -------------------------------------------------------------------------------------------

static const ftc_token *peek_at(const parser *p, int ahead) {
    static const ftc_token end = {.kind = FTC_TOKEN_END, .text = ""};
    if (p->failed) return &end;
    for (const ftc_token *t = p->next;; t++)
        if (t->kind == FTC_TOKEN_END || !ahead--) return t;
}

static const ftc_token *peek(const parser *p) {
    return peek_at(p, 0);
}

static const ftc_token *take(parser *p) {
    const ftc_token *t = peek(p);
    if (t->kind != FTC_TOKEN_END) p->next++;
    return t;
}

static bool token_is(const ftc_token *t, ftc_token_kind kind, const char *text) {
    return t->kind == kind && !strcmp(t->text, text);
}

static bool at_mark(const parser *p, const char *mark) {
    return token_is(peek(p), FTC_TOKEN_MARK, mark);
}

static bool accept_mark(parser *p, const char *mark) {
    bool here = at_mark(p, mark);
    if (here) p->next++;
    return here;
}

// A word that is a keyword here, and is not being assigned to.
static bool at_word(const parser *p, const char *word) {
    return token_is(peek(p), FTC_TOKEN_NAME, word) && !token_is(peek_at(p, 1), FTC_TOKEN_MARK, "=");
}

static bool accept_word(parser *p, const char *word) {
    bool here = at_word(p, word);
    if (here) p->next++;
    return here;
}

#define FAIL(p, at, ...)                                                                                     \
    do {                                                                                                     \
        if (!(p)->failed)                                                                                    \
            ftc_diag_add((p)->d, (p)->module->source.name, (p)->module->source.text, (at).line, (at).column, \
                         __VA_ARGS__);                                                                       \
        (p)->failed = true;                                                                                  \
    } while (0)

static void fail_expected_at(parser *p, ftc_place place, const char *what) {
    const ftc_token *t = p->next;
    if (t->kind == FTC_TOKEN_END)
        FAIL(p, place, "expected %s, but the text ends here", what);
    else if (t->kind == FTC_TOKEN_STRING)
        FAIL(p, place, "expected %s, not a string", what);
    else if (t->kind == FTC_TOKEN_LABEL)
        FAIL(p, place, "expected %s, not '%%%.0f'", what, t->number);
    else
        FAIL(p, place, "expected %s, not '%s'", what, t->text);
}

// "expected X, not Y" at the next token; where that stands on a later line, at the end of the last one.
static void fail_expected(parser *p, const char *what) {
    const ftc_token *t = p->next;
    bool later = t > p->tokens && t[-1].place.line < t->place.line;
    fail_expected_at(p, later ? (ftc_place){t[-1].place.line, t[-1].end_column} : t->place, what);
}

static void expect_mark(parser *p, const char *mark) {
    char what[8] = {'\'', 0};
    if (accept_mark(p, mark)) return;
    strcat(strcat(what, mark), "'");
    fail_expected(p, what);
}

static const char *expect_name(parser *p, const char *what) {
    if (peek(p)->kind == FTC_TOKEN_NAME) return take(p)->text;
    fail_expected(p, what);
    return "";
}

static const char *expect_string(parser *p, const char *what) {
    if (peek(p)->kind == FTC_TOKEN_STRING) return take(p)->text;
    fail_expected(p, what);
    return "";
}

static double expect_number(parser *p, const char *what) {
    bool negative = accept_mark(p, "-");
    if (peek(p)->kind == FTC_TOKEN_NUMBER) {
        double number = take(p)->number;
        return negative ? -number : number;
    }
    fail_expected(p, what);
    return 0;
}

// A whole number from 0 to `most`.
static double expect_count(parser *p, const char *what, double most) {
    const ftc_token *t = peek(p);
    double number = expect_number(p, what);
    if (!p->failed && !(number >= 0 && number <= most && number == floor(number)))
        FAIL(p, t->place, "%s is a whole number from 0 to %.0f", what, most);
    return p->failed ? 0 : number;
}

// A whole number with a sign.
static double expect_distance(parser *p) {
    const ftc_token *t = peek(p);
    double number = expect_number(p, "a distance");
    if (!p->failed && !(fabs(number) <= INT32_MAX && number == floor(number)))
        FAIL(p, t->place, "a distance is a whole number");
    return p->failed ? 0 : number;
}

static void *new_node(parser *p, size_t size) {
    return ftc_arena_alloc(p->arena, size);
}

// Nesting: enter returns false, after a diagnostic, where it is too deep.
static bool enter(parser *p) {
    if (p->depth >= DEEPEST) {
        FAIL(p, p->next->place, "this is nested more than %d levels deep", DEEPEST);
        return false;
    }
    p->depth++;
    return true;
}

static void leave(parser *p) {
    p->depth--;
}

// --- axes and types -----------------------------------------------------------------------------------

static ftc_axis_item *parse_axis_item(parser *p) {
    ftc_axis_item *item = new_node(p, sizeof *item);
    item->place = peek(p)->place;
    item->name = expect_name(p, "the name of an axis");
    if (!strcmp(item->name, "axes") && accept_mark(p, "(")) {
        item->value = parse_expr(p);
        expect_mark(p, ")");
    }
    return item;
}

// A, B, C — with commas, or without between the parentheses of a merged dimension.
static ftc_axis_item *parse_axis_items(parser *p, bool commas) {
    ftc_axis_item *first = NULL, **tail = &first;
    do {
        *tail = parse_axis_item(p);
        tail = &(*tail)->next;
    } while (commas ? accept_mark(p, ",") : peek(p)->kind == FTC_TOKEN_NAME);
    return first;
}

// A, D -> H. Also the empty list before `close`.
static ftc_axis_list *parse_axis_lists(parser *p, const char *close) {
    ftc_axis_list *first = NULL, **tail = &first;
    do {
        *tail = new_node(p, sizeof **tail);
        if (!at_mark(p, close)) (*tail)->items = parse_axis_items(p, true);
        tail = &(*tail)->next;
    } while (accept_mark(p, "->"));
    return first;
}

static ftc_type_syntax parse_type(parser *p) {
    ftc_type_syntax type = {.place = peek(p)->place};
    if (peek(p)->kind != FTC_TOKEN_NAME || !ftc_dtype_named(peek(p)->text, &type.dtype)) {
        fail_expected(p, "a type, such as f32[B, S, H] (f32, bf16, i32, u32 or bool)");
        return type;
    }
    take(p);
    if (!accept_mark(p, "[")) return type;
    ftc_axis_list **tail = &type.dims;
    if (!at_mark(p, "]")) do {
            *tail = new_node(p, sizeof **tail);
            if (accept_mark(p, "(")) {
                (*tail)->items = parse_axis_items(p, false);
                expect_mark(p, ")");
            } else {
                (*tail)->items = parse_axis_item(p);
            }
            tail = &(*tail)->next;
        } while (accept_mark(p, ","));
    expect_mark(p, "]");
    return type;
}

// --- declarations -------------------------------------------------------------------------------------

static void parse_init(parser *p, ftc_decl_syntax *decl) {
    decl->has_init = true;
    while (ftc_init_kind_name(decl->init) && !accept_word(p, ftc_init_kind_name(decl->init))) decl->init++;
    if (!ftc_init_kind_name(decl->init)) {
        fail_expected(p, "zeros, ones, normal(STANDARD_DEVIATION) or uniform(BOUND)");
    } else if (ftc_init_has_scale(decl->init)) {
        expect_mark(p, "(");
        decl->init_scale = parse_expr(p);
        expect_mark(p, ")");
    }
}

static void parse_loc(parser *p, const char **file, double *line) {
    expect_mark(p, "(");
    *file = expect_string(p, "a file name in quotes");
    expect_mark(p, ":");
    *line = expect_count(p, "a line number", INT32_MAX);
    expect_mark(p, ")");
}

static ftc_scalar_role parse_scalar_role(parser *p) {
    const ftc_token *t = peek(p);
    const char *name = expect_name(p, "the role of an argument");
    for (ftc_scalar_role role = 0; role < FTC_SCALAR_ROLE_COUNT; role++)
        if (ftc_scalar_role_name(role) && !strcmp(ftc_scalar_role_name(role), name)) return role;
    FAIL(p, t->place, "'%s' is no role of an argument; there is dropout", name);
    return FTC_SCALAR_PLAIN;
}

// tokens, token_types, masked_positions, masked_tokens, label, column "NAME", config "NAME".
static void parse_input_role(parser *p, ftc_decl_syntax *decl) {
    const ftc_token *t = peek(p);
    for (ftc_input_role role = 0; ftc_input_role_name(role); role++) {
        if (!accept_word(p, ftc_input_role_name(role))) continue;
        decl->has_from = true;
        decl->from = role;
        if (role == FTC_FROM_COLUMN || role == FTC_FROM_CONFIG)
            decl->column = expect_string(p, "a name in quotes");
        return;
    }
    fail_expected_at(p, t->place,
                     "tokens, token_types, masked_positions, masked_tokens, label, column or config");
}

static ftc_decl_syntax *parse_decl(parser *p, ftc_decl_kind kind, ftc_place place) {
    ftc_decl_syntax *decl = new_node(p, sizeof *decl);
    decl->kind = kind;
    decl->place = place;
    bool named = kind == FTC_DECL_INPUT || kind == FTC_DECL_ARG;
    decl->name = new_node(p, sizeof *decl->name);
    decl->name->kind = named ? FTC_EXPR_NAME : FTC_EXPR_STRING;
    decl->name->place = peek(p)->place;
    decl->name->height = 1;
    decl->name->text = named ? expect_name(p, "a name") : expect_string(p, "a name in quotes");
    if (kind == FTC_DECL_SCALAR) return decl;
    if (named) expect_mark(p, ":");
    if (!named && kind != FTC_DECL_PARAM) {
        if (!accept_word(p, "of")) fail_expected(p, "of \"PARAMETER\"");
        decl->of = parse_expr(p);
    }
    decl->type = parse_type(p);
    for (;;) {
        if (kind == FTC_DECL_PARAM && accept_word(p, "init"))
            parse_init(p, decl);
        else if (kind == FTC_DECL_PARAM && accept_word(p, "zero_row"))
            decl->zero_row = parse_expr(p);
        else if (kind == FTC_DECL_PARAM && accept_word(p, "frozen"))
            decl->frozen = true;
        else if (kind == FTC_DECL_INPUT && accept_word(p, "in"))
            decl->bound = parse_axis_item(p);
        else if (kind == FTC_DECL_INPUT && accept_word(p, "from"))
            parse_input_role(p, decl);
        else if (kind == FTC_DECL_TOUCHED && accept_word(p, "by"))
            decl->by = expect_name(p, "the name of an input");
        else if (kind == FTC_DECL_ARG && accept_mark(p, "="))
            decl->value = parse_expr(p);
        else if (kind == FTC_DECL_ARG && accept_word(p, "as"))
            decl->role = parse_scalar_role(p);
        else if (accept_word(p, "loc"))
            parse_loc(p, &decl->loc_file, &decl->loc_line);
        else
            return decl;
    }
}

// --- expressions --------------------------------------------------------------------------------------

static ftc_expr *new_expr(parser *p, ftc_expr_kind kind) {
    ftc_expr *e = new_node(p, sizeof *e);
    e->kind = kind;
    e->place = peek(p)->place;
    e->height = 1;
    e->text = "";
    return e;
}

static void grow(parser *p, ftc_expr *parent, const ftc_expr *child) {
    if (child->height >= parent->height) parent->height = child->height + 1;
    if (parent->height > DEEPEST)
        FAIL(p, parent->place, "this expression is more than %d operations deep", DEEPEST);
}

static void parse_args(parser *p, ftc_expr *call) {
    ftc_expr **tail = &call->args;
    expect_mark(p, "(");
    if (!at_mark(p, ")") && !at_mark(p, ";")) do {
            const char *keyword = NULL;
            if (peek(p)->kind == FTC_TOKEN_NAME && token_is(peek_at(p, 1), FTC_TOKEN_MARK, "=")) {
                keyword = take(p)->text;
                take(p);
            }
            ftc_expr *arg = parse_expr(p);
            arg->keyword = keyword;
            grow(p, call, arg);
            *tail = arg;
            tail = &arg->next;
        } while (accept_mark(p, ","));
    if (accept_mark(p, ";")) call->axes = parse_axis_lists(p, ")");
    expect_mark(p, ")");
}

static ftc_expr *parse_primary(parser *p) {
    ftc_expr *e = new_expr(p, FTC_EXPR_NUMBER);
    if (!enter(p)) return e;
    const ftc_token *t = peek(p), *after = peek_at(p, 1);
    if (t->kind == FTC_TOKEN_NUMBER) {
        e->number = take(p)->number;
    } else if (t->kind == FTC_TOKEN_LABEL) {
        e->kind = FTC_EXPR_LABEL;
        e->number = take(p)->number;
    } else if (t->kind == FTC_TOKEN_STRING) {
        e->kind = FTC_EXPR_STRING;
        e->text = take(p)->text;
    } else if (accept_mark(p, "(")) {
        e = parse_expr(p);
        expect_mark(p, ")");
    } else if (accept_mark(p, "-")) {
        ftc_expr *x = parse_primary(p);
        if (x->kind == FTC_EXPR_NUMBER) {
            e->number = -x->number;
        } else {
            e->kind = FTC_EXPR_CALL;
            e->text = "neg";
            e->args = x;
            grow(p, e, x);
        }
    } else if (token_is(t, FTC_TOKEN_NAME, "param") && after->kind == FTC_TOKEN_STRING) {
        take(p);
        e->kind = FTC_EXPR_PARAM;
        e->decl = parse_decl(p, FTC_DECL_PARAM, e->place);
    } else if (token_is(t, FTC_TOKEN_NAME, "outer") &&
               (after->kind == FTC_TOKEN_NAME || token_is(after, FTC_TOKEN_MARK, "("))) {
        take(p);
        e = parse_primary(p);
        if (e->kind != FTC_EXPR_CALL)
            FAIL(p, t->place, "`outer` marks an operation: outer (x * y), outer mul(x, y)");
        e->outer = true;
    } else if (token_is(t, FTC_TOKEN_NAME, "not") && !token_is(after, FTC_TOKEN_MARK, "(")) {
        e->kind = FTC_EXPR_CALL;
        e->text = take(p)->text;
        e->args = parse_primary(p);
        grow(p, e, e->args);
    } else if (t->kind == FTC_TOKEN_NAME) {
        e->text = take(p)->text;
        e->kind = at_mark(p, "(") ? FTC_EXPR_CALL : FTC_EXPR_NAME;
        if (e->kind == FTC_EXPR_CALL) parse_args(p, e);
    } else {
        fail_expected(p, "an expression");
    }
    leave(p);
    return e;
}

// The infix operators, by precedence; those of one level group from the left.
static const char *const LEVELS[][7] = {
    {"or"}, {"and"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/"},
};
enum { N_LEVELS = sizeof LEVELS / sizeof *LEVELS };

static bool at_infix(const parser *p, int level) {
    const ftc_token *t = peek(p);
    if (t->kind != FTC_TOKEN_MARK && t->kind != FTC_TOKEN_NAME) return false;
    for (int i = 0; LEVELS[level][i]; i++)
        if (!strcmp(t->text, LEVELS[level][i])) return true;
    return false;
}

static ftc_expr *parse_infix(parser *p, int level) {
    if (level == N_LEVELS) return parse_primary(p);
    ftc_expr *left = parse_infix(p, level + 1);
    while (at_infix(p, level)) {
        ftc_expr *e = new_expr(p, FTC_EXPR_CALL);
        e->text = take(p)->text;
        e->args = left;
        left->next = parse_infix(p, level + 1);
        grow(p, e, left);
        grow(p, e, left->next);
        left = e;
    }
    return left;
}

static ftc_expr *parse_expr(parser *p) {
    return parse_infix(p, 0);
}

// --- statements of models and libraries ---------------------------------------------------------------

static ftc_stmt *new_stmt(parser *p, ftc_stmt_kind kind, ftc_place place) {
    ftc_stmt *s = new_node(p, sizeof *s);
    s->kind = kind;
    s->place = place;
    return s;
}

// The list that `axis` starts; *last is its end.
static ftc_stmt *parse_axis_statement(parser *p, ftc_place place, ftc_stmt **last) {
    ftc_stmt *first = NULL, **tail = &first;
    do {
        ftc_stmt *s = new_stmt(p, FTC_STMT_AXIS, first ? peek(p)->place : place);
        s->name = expect_name(p, "the name of an axis");
        if (accept_word(p, "ragged")) {
            s->axis.kind = FTC_AXIS_RAGGED;
            s->axis.over = parse_axis_item(p);
        } else if (!accept_mark(p, "=")) {
            s->axis.kind = FTC_AXIS_SYMBOL;
        }
        if (s->axis.kind != FTC_AXIS_EQUALS && !accept_mark(p, "<="))
            fail_expected(p, "'<=' and the largest size to plan for, or '=' and the size");
        s->expr = parse_expr(p);
        *tail = *last = s;
        tail = &s->next;
    } while (accept_mark(p, ","));
    return first;
}

static ftc_axis_list *parse_axes_in_parentheses(parser *p) {
    ftc_axis_list *list = new_node(p, sizeof *list);
    expect_mark(p, "(");
    if (!at_mark(p, ")")) list->items = parse_axis_items(p, true);
    expect_mark(p, ")");
    return list;
}

// loss weight n, scores over C, embedding, factor of "PARAMETER", …
static void parse_output_role(parser *p, ftc_stmt *s) {
    ftc_output_role role = 0;
    while (ftc_output_role_name(role) && !accept_word(p, ftc_output_role_name(role))) role++;
    if (!ftc_output_role_name(role)) {
        fail_expected(p, "loss, scores, metric, embedding, or value");
        return;
    }
    s->output.has_role = true;
    s->output.role = role;
    if (role == FTC_OUTPUT_LOSS && accept_word(p, "weight")) s->output.weight = parse_expr(p);
    if (role == FTC_OUTPUT_SCORES && accept_word(p, "over")) s->output.classes = parse_axis_item(p);
    if (accept_word(p, "of")) s->output.of = expect_string(p, "the name of a parameter in quotes");
}

// (step, eval) behind `entries`: a mask.
static uint32_t parse_entries(parser *p) {
    uint32_t entries = 0;
    expect_mark(p, "(");
    while (peek(p)->kind == FTC_TOKEN_NAME) {
        const ftc_token *t = take(p);
        int entry = 0;
        while (entry < FTC_ENTRY_COUNT && strcmp(ftc_entry_name(entry), t->text)) entry++;
        if (entry == FTC_ENTRY_COUNT)
            FAIL(p, t->place, "'%s' is none of step, grad, update, eval", t->text);
        else
            entries |= 1u << entry;
        if (!accept_mark(p, ",")) break;
    }
    expect_mark(p, ")");
    return entries;
}

// Behind assign(…): each micro_batch, or entries(step, update, eval). False: neither stands here.
static bool parse_when(parser *p, ftc_expr *call) {
    const ftc_token *t = peek(p);
    if (accept_word(p, "each")) {
        if (!accept_word(p, "micro_batch")) fail_expected(p, "micro_batch");
        call->entries = FTC_ENTRIES_EACH_MICRO_BATCH;
    } else if (accept_word(p, "entries")) {
        call->entries = parse_entries(p);
        if (!p->failed && !call->entries) FAIL(p, t->place, "an assignment that no entry runs");
    } else {
        return false;
    }
    if (!p->failed && (call->kind != FTC_EXPR_CALL || strcmp(call->text, "assign")))
        FAIL(p, t->place, "only an assignment says when it runs: assign(x, p) each micro_batch");
    return true;
}

static ftc_stmt *parse_output_statement(parser *p, ftc_place place, ftc_stmt **last) {
    ftc_stmt *first = NULL, **tail = &first;
    do {
        ftc_stmt *s = new_stmt(p, FTC_STMT_OUTPUT, place);
        s->place = peek(p)->place;
        s->expr = new_expr(p, FTC_EXPR_NAME);
        s->name = peek(p)->kind == FTC_TOKEN_STRING ? take(p)->text : expect_name(p, "the name of an output");
        s->expr->text = s->name;
        if (accept_mark(p, "=")) s->expr = parse_expr(p);
        if (accept_word(p, "as")) parse_output_role(p, s);
        s->output.all = !accept_word(p, "entries");
        if (!s->output.all) s->output.entries = parse_entries(p);
        if (p->module->flat && accept_word(p, "order")) s->output.order = parse_axes_in_parentheses(p);
        *tail = *last = s;
        tail = &s->next;
    } while (accept_mark(p, ","));
    return first;
}

// state NAME [ ( "like" | "over" ( "rows" | "columns" ) "of" ) NAME ]
static ftc_stmt *parse_state(parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_STATE, place);
    s->name = expect_name(p, "the name of a state");
    if (accept_word(p, "over")) {
        s->state = accept_word(p, "rows") ? FTC_STATE_ROWS : FTC_STATE_COLUMNS;
        if (s->state == FTC_STATE_COLUMNS && !accept_word(p, "columns")) fail_expected(p, "rows or columns");
        if (!accept_word(p, "of")) fail_expected(p, "of PARAMETER");
    } else if (!accept_word(p, "like")) {
        fail_expected(p, "like PARAMETER, over rows of PARAMETER or over columns of PARAMETER");
    }
    s->expr = parse_primary(p);
    return s;
}

// scope "…" { … }, or shared scope "…" { … }. NULL: neither stands here.
static ftc_stmt *parse_scope(parser *p) {
    const ftc_token *t = peek(p), *after = peek_at(p, 1);
    bool is_shared = token_is(t, FTC_TOKEN_NAME, "shared") && token_is(after, FTC_TOKEN_NAME, "scope");
    if (is_shared) take(p);
    if (!accept_word(p, "scope")) return NULL;
    ftc_stmt *s = new_stmt(p, FTC_STMT_SCOPE, t->place);
    s->is_shared = is_shared;
    if (peek(p)->kind != FTC_TOKEN_STRING) fail_expected(p, "a prefix in quotes");
    s->last = parse_primary(p);
    s->body = parse_block(p);
    return s;
}

static ftc_stmt *parse_for(parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_FOR, place);
    s->name = expect_name(p, "the name of the loop's variable");
    if (!accept_word(p, "in")) fail_expected(p, "'in'");
    s->expr = parse_expr(p);
    expect_mark(p, "..");
    s->last = parse_expr(p);
    s->body = parse_scope(p);
    if (!s->body) s->body = parse_block(p);
    return s;
}

static ftc_stmt *parse_if(parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_IF, place);
    if (!enter(p)) return s;
    s->expr = parse_expr(p);
    s->body = parse_block(p);
    if (accept_word(p, "else")) {
        const ftc_token *t = peek(p);
        s->other = accept_word(p, "if") ? parse_if(p, t->place) : parse_block(p);
    }
    leave(p);
    return s;
}

// --- statements of dumps ------------------------------------------------------------------------------

static ftc_stmt *parse_node(parser *p) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_NODE, peek(p)->place);
    p->module->flat = true;
    if (peek(p)->number > INT32_MAX) FAIL(p, s->place, "this label is too large");
    s->node.label = (uint32_t)take(p)->number;
    expect_mark(p, "=");
    s->expr = parse_expr(p);
    if (!p->failed && s->expr->kind != FTC_EXPR_CALL)
        FAIL(p, s->place, "a labelled node is one operation: %%3 = add(%%1, %%2) : f32[B]");
    expect_mark(p, ":");
    s->node.type = parse_type(p);
    s->node.offset = -1;
    for (;;) {
        if (accept_mark(p, "@"))
            s->node.offset = expect_count(p, "an offset in bytes", LARGEST_COUNT);
        else if (accept_word(p, "step"))
            s->node.step = expect_count(p, "the number of a step", UINT16_MAX);
        else if (accept_word(p, "loc"))
            parse_loc(p, &s->node.loc_file, &s->node.loc_line);
        else if (!parse_when(p, s->expr)) {
            bool found = false;
            for (ftc_phase phase = 0; ftc_phase_name(phase); phase++)
                if (accept_word(p, ftc_phase_name(phase))) s->node.phase = phase, found = true;
            for (ftc_kept kept = FTC_KEPT_STORED; ftc_kept_name(kept); kept++)
                if (accept_word(p, ftc_kept_name(kept))) s->node.kept = kept, found = true;
            if (!found) return s;
        }
    }
}

static ftc_stmt *parse_kernel(parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_KERNEL, place);
    s->name = peek(p)->kind == FTC_TOKEN_STRING ? take(p)->text : expect_name(p, "the name of a kernel");
    for (ftc_kernel_kind kind = 0; !s->kernel.header && ftc_kernel_kind_name(kind); kind++)
        if (accept_word(p, ftc_kernel_kind_name(kind))) s->kernel.kind = kind, s->kernel.header = true;
    if (s->kernel.header) {
        if (accept_word(p, "rows")) s->kernel.rows = parse_axes_in_parentheses(p);
        if (accept_word(p, "cols")) s->kernel.cols = parse_axes_in_parentheses(p);
        if (accept_word(p, "block")) {
            expect_mark(p, "(");
            s->kernel.block = parse_axis_item(p);
            expect_mark(p, ",");
            s->kernel.block_size = expect_count(p, "the size of a block", INT32_MAX);
            expect_mark(p, ")");
        }
        if (accept_word(p, "window")) {
            s->kernel.has_window = true;
            expect_mark(p, "(");
            s->kernel.window[0] = expect_distance(p);
            expect_mark(p, ",");
            s->kernel.window[1] = expect_distance(p);
            expect_mark(p, ")");
        }
        s->kernel.barrier = accept_word(p, "barrier");
        if (accept_word(p, "plain")) s->kernel.plain = expect_string(p, "a reason in quotes");
    }
    if (!s->kernel.header || at_mark(p, "{")) s->body = parse_block(p);
    return s;
}

static ftc_stmt *parse_memory(parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_MEMORY, place);
    for (;;) {
        if (accept_word(p, "arena"))
            s->memory.arena = expect_count(p, "a number of bytes", LARGEST_COUNT);
        else if (accept_word(p, "scratch"))
            s->memory.scratch = expect_count(p, "a number of bytes", LARGEST_COUNT);
        else if (accept_word(p, "peak"))
            s->memory.peak = expect_count(p, "a number of bytes", LARGEST_COUNT);
        else
            return s;
    }
}

// PASS of ENTRY
static ftc_stmt *parse_stage(parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_STAGE, place);
    s->name = expect_name(p, "the name of a pass");
    if (!accept_word(p, "of")) fail_expected(p, "of ENTRY");
    while (s->stage_of < FTC_ENTRY_COUNT && !accept_word(p, ftc_entry_name(s->stage_of))) s->stage_of++;
    if (s->stage_of == FTC_ENTRY_COUNT) fail_expected(p, "step, grad, update or eval");
    return s;
}

// --- blocks -------------------------------------------------------------------------------------------

// One statement; `axis` and `output` may make several, linked. NULL at what begins none.
static ftc_stmt *parse_statement_list(parser *p, ftc_stmt **last) {
    ftc_place place = peek(p)->place;
    if (accept_word(p, "axis")) return parse_axis_statement(p, place, last);
    if (accept_word(p, "output")) return parse_output_statement(p, place, last);
    return *last = parse_statement(p);
}

static ftc_stmt *parse_statement(parser *p) {
    const ftc_token *t = peek(p), *after = peek_at(p, 1);
    ftc_stmt *s = NULL;
    for (ftc_decl_kind kind = 0; ftc_decl_kind_name(kind); kind++)
        if (accept_word(p, ftc_decl_kind_name(kind))) {
            s = new_stmt(p, FTC_STMT_DECL, t->place);
            s->decl = parse_decl(p, kind, t->place);
            return s;
        }
    if (t->kind == FTC_TOKEN_LABEL) return parse_node(p);
    if ((s = parse_scope(p))) return s;
    if (accept_word(p, "for")) return parse_for(p, t->place);
    if (accept_word(p, "if")) return parse_if(p, t->place);
    if (accept_word(p, "kernel")) return parse_kernel(p, t->place);
    if (accept_word(p, "memory")) return parse_memory(p, t->place);
    if (after->kind == FTC_TOKEN_NAME && accept_word(p, "state")) return parse_state(p, t->place);
    if (after->kind == FTC_TOKEN_NAME && accept_word(p, "stage")) return parse_stage(p, t->place);
    if (accept_word(p, "init")) {
        s = new_stmt(p, FTC_STMT_INIT, t->place);
        s->decl = new_node(p, sizeof *s->decl);
        parse_init(p, s->decl);
    } else if (accept_word(p, "check")) {
        s = new_stmt(p, FTC_STMT_CHECK, t->place);
        s->expr = parse_expr(p);
        if (peek(p)->kind != FTC_TOKEN_STRING) fail_expected(p, "the message in quotes");
        s->last = parse_primary(p);
    } else if (after->kind == FTC_TOKEN_STRING && accept_word(p, "freeze")) {
        s = new_stmt(p, FTC_STMT_FREEZE, t->place);
        s->expr = parse_primary(p);
    } else if (accept_word(p, "return")) {
        s = new_stmt(p, FTC_STMT_RETURN, t->place);
        s->expr = parse_expr(p);
    } else if (accept_word(p, "sites")) {
        s = new_stmt(p, FTC_STMT_SITES, t->place);
        s->sites = expect_count(p, "the number of random sites", INT32_MAX);
    } else if (t->kind == FTC_TOKEN_NAME && token_is(after, FTC_TOKEN_MARK, "=")) {
        s = new_stmt(p, FTC_STMT_ASSIGN, t->place);
        s->name = take(p)->text;
        take(p);
        s->expr = parse_expr(p);
    } else if (t->kind == FTC_TOKEN_NAME && token_is(after, FTC_TOKEN_MARK, "(")) {
        s = new_stmt(p, FTC_STMT_CALL, t->place);
        s->expr = parse_expr(p);
        parse_when(p, s->expr);
    } else {
        fail_expected_at(p, t->place, "a statement");
    }
    return s;
}

// Whether a token that is first on its line looks like the beginning of a statement.
static bool begins_statement(const ftc_token *t) {
    static const char *const words[] = {"axis",   "output", "param",  "moment", "gradient", "touched",
                                        "input",  "arg",    "scope",  "shared", "for",      "if",
                                        "kernel", "memory", "init",   "check",  "return",   "sites",
                                        "fn",     "config", "family", "train",  "model",    "use"};
    if (!t->first) return false;
    if (t->kind == FTC_TOKEN_LABEL) return true;
    if (t->kind != FTC_TOKEN_NAME) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(t->text, words[i])) return true;
    return token_is(t + 1, FTC_TOKEN_MARK, "=");
}

// After an error: on to the next statement, or to the '}' that ends the block.
static void recover(parser *p, const ftc_token *start) {
    int depth = 0;
    p->failed = false;
    if (p->next == start && p->next->kind != FTC_TOKEN_END && !at_mark(p, "}")) {
        depth += at_mark(p, "{");
        p->next++;
    }
    for (; p->next->kind != FTC_TOKEN_END; p->next++) {
        if (depth == 0 && (at_mark(p, "}") || begins_statement(p->next))) return;
        depth += at_mark(p, "{") - at_mark(p, "}");
    }
}

static ftc_stmt *parse_block(parser *p) {
    ftc_stmt *first = NULL, **tail = &first;
    expect_mark(p, "{");
    if (p->failed || !enter(p)) return NULL;
    while (peek(p)->kind != FTC_TOKEN_END && !at_mark(p, "}")) {
        const ftc_token *start = p->next;
        ftc_stmt *last = NULL, *s = parse_statement_list(p, &last);
        if (p->failed) {
            recover(p, start);
        } else {
            *tail = s;
            tail = &last->next;
        }
    }
    expect_mark(p, "}");
    leave(p);
    return first;
}

// --- modules ------------------------------------------------------------------------------------------

// positions - pad - 1: what follows the first name or number.
static void parse_terms(parser *p, ftc_setting_syntax *s) {
    if (s->text && !s->bare) return;
    for (ftc_setting_term **tail = &s->terms; !p->failed && (at_mark(p, "+") || at_mark(p, "-"));
         tail = &(*tail)->next) {
        ftc_setting_term *term = *tail = new_node(p, sizeof *term);
        term->sign = accept_mark(p, "-") ? -1 : 1;
        if (term->sign > 0) take(p);
        const ftc_token *t = peek(p);
        term->place = t->place;
        s->end = t->end;
        if (t->kind == FTC_TOKEN_NAME) {
            term->name = take(p)->text;
        } else if (t->kind == FTC_TOKEN_NUMBER) {
            term->number = t->number;
            term->is_integer = t->is_integer;
            take(p);
        } else {
            fail_expected(p, "a number, or the name of an earlier entry");
        }
    }
}

typedef enum { CONFIG_BLOCK, FAMILY_BLOCK, TRAIN_BLOCK } settings_block;

// In a family block the name of a task may follow: "architecture tokens".
static const char *parse_setting_name(parser *p, settings_block block) {
    const char *name = expect_name(p, "NAME = VALUE or '}'");
    if (p->failed || block != FAMILY_BLOCK || peek(p)->kind != FTC_TOKEN_NAME) return name;
    char *both = ftc_format("%s %s", name, take(p)->text), *kept = ftc_arena_strdup(p->arena, both);
    free(both);
    return kept;
}

// { NAME = VALUE "hf_name" … }, appended to *tail.
static void parse_settings(parser *p, ftc_setting_syntax **tail, settings_block block) {
    while (*tail) tail = &(*tail)->next;
    expect_mark(p, "{");
    while (!p->failed && !at_mark(p, "}")) {
        ftc_setting_syntax *s = new_node(p, sizeof *s);
        s->place = peek(p)->place;
        s->name = parse_setting_name(p, block);
        expect_mark(p, "=");
        s->start = peek(p)->start;
        bool negative = accept_mark(p, "-");
        const ftc_token *t = peek(p);
        s->end = t->end;
        if (t->kind == FTC_TOKEN_NUMBER) {
            s->number = negative ? -t->number : t->number;
            s->is_integer = t->is_integer;
        } else if (!negative && (t->kind == FTC_TOKEN_NAME || t->kind == FTC_TOKEN_STRING)) {
            s->text = t->text;
            s->bare = t->kind == FTC_TOKEN_NAME;
        } else {
            fail_expected(p, "a number, a name or a string");
        }
        take(p);
        if (block == CONFIG_BLOCK) parse_terms(p, s);
        if (block == CONFIG_BLOCK && peek(p)->kind == FTC_TOKEN_STRING) s->hf_name = take(p)->text;
        if (p->failed) return;
        *tail = s;
        tail = &s->next;
    }
    expect_mark(p, "}");
}

static ftc_parameter *parse_parameters(parser *p) {
    ftc_parameter *first = NULL, *last = NULL, **tail = &first;
    do {
        ftc_parameter *q = new_node(p, sizeof *q);
        q->place = peek(p)->place;
        q->name = expect_name(p, "the name of a parameter");
        if (accept_mark(p, "="))
            q->value = parse_expr(p);
        else if (last && last->value)
            FAIL(p, q->place, "'%s' needs a default: a parameter before it has one", q->name);
        *tail = last = q;
        tail = &q->next;
    } while (accept_mark(p, ","));
    return first;
}

static bool has_parameter(const ftc_function *f, const char *name) {
    for (const ftc_parameter *q = f->parameters; q; q = q->next)
        if (!strcmp(q->name, name)) return true;
    return false;
}

// extern "symbol" (x, w), which may stand before a body.
static void parse_extern(parser *p, ftc_function *f) {
    if (!accept_word(p, "extern")) return;
    f->symbol = expect_string(p, "the name of a function in quotes");
    ftc_expr operands = {0};
    if (at_mark(p, "(")) parse_args(p, &operands);
    f->operands = operands.args;
}

// gradient(y, dy -> x) { … } after the body of function f.
static ftc_function *parse_gradient(parser *p, const ftc_function *f) {
    ftc_function *gradient = new_node(p, sizeof *gradient);
    gradient->module = p->module;
    gradient->place = peek(p)->place;
    gradient->name = f->name;
    expect_mark(p, "(");
    gradient->parameters = parse_parameters(p);
    const ftc_parameter *names = gradient->parameters;
    if (!p->failed && (!names->next || names->next->next))
        FAIL(p, names->place, "write gradient(RESULT, ITS_GRADIENT -> PARAMETER)");
    expect_mark(p, "->");
    ftc_place place = peek(p)->place;
    gradient->of = expect_name(p, "a parameter of the function");
    if (!has_parameter(f, gradient->of)) FAIL(p, place, "%s has no parameter '%s'", f->name, gradient->of);
    for (const ftc_parameter *q = names; q && !p->failed; q = q->next)
        if (has_parameter(f, q->name) || (q != names && !strcmp(q->name, names->name)))
            FAIL(p, q->place, "'%s' is the name of a parameter already", q->name);
    for (const ftc_function *before = f->gradients; before; before = before->next)
        if (!strcmp(before->of, gradient->of))
            FAIL(p, place, "the gradient of '%s' is given already", gradient->of);
    expect_mark(p, ")");
    parse_extern(p, gradient);
    gradient->body = parse_block(p);
    return gradient;
}

// optimizer adamw(p, g, rate, decay = 0.01) also "adamw_torch" { … }, after the parameters.
static void parse_other_names(parser *p, ftc_function *f) {
    ftc_expr **tail = &f->also;
    if (accept_word(p, "also")) do {
            if (peek(p)->kind != FTC_TOKEN_STRING) fail_expected(p, "another name in quotes");
            *tail = parse_primary(p);
            tail = &(*tail)->next;
        } while (accept_mark(p, ","));
    int n = 0;
    for (const ftc_parameter *q = f->parameters; q; q = q->next, n++)
        if (q->value && n != 3)
            FAIL(p, q->place, "only the fourth parameter has a default, the weight decay");
    if (n < 2 || n > 4 || f->axes)
        FAIL(p, f->place,
             "an optimizer takes 2 to 4 parameters: optimizer %s(p, g, rate, decay = 0.01) { … }", f->name);
}

static void parse_function(parser *p, ftc_function ***tail, bool is_optimizer) {
    ftc_function *f = new_node(p, sizeof *f);
    f->module = p->module;
    f->start = p->next[-1].start;
    f->place = peek(p)->place;
    f->name = expect_name(p, "the name of a function");
    expect_mark(p, "(");
    if (!at_mark(p, ")") && !at_mark(p, ";")) f->parameters = parse_parameters(p);
    if (accept_mark(p, ";")) f->axes = parse_axis_lists(p, ")");
    expect_mark(p, ")");
    is_optimizer ? parse_other_names(p, f) : parse_extern(p, f);
    f->body = parse_block(p);
    // In dumps, `gradient "name"` declares a tensor.
    for (ftc_function **last = &f->gradients;
         !is_optimizer && at_word(p, "gradient") && token_is(peek_at(p, 1), FTC_TOKEN_MARK, "(");
         last = &(*last)->next) {
        p->next++;
        *last = parse_gradient(p, f);
    }
    if (p->failed) return;
    f->end = p->next[-1].end;
    **tail = f;
    *tail = &f->next;
}

// After the word; where the next one is to go.
static ftc_use_syntax **parse_use(parser *p, ftc_use_syntax **tail) {
    ftc_use_syntax *use = new_node(p, sizeof *use);
    use->start = p->next[-1].start;
    use->place = peek(p)->place;
    use->end = peek(p)->end;
    use->file = expect_string(p, "the name of a file in quotes");
    if (p->failed) return tail;
    *tail = use;
    return &use->next;
}

static void parse_items(parser *p) {
    ftc_function **functions = &p->module->functions, **optimizers = &p->module->optimizers;
    ftc_use_syntax **uses = &p->module->uses;
    ftc_stmt **tail = &p->module->body;
    while (p->next->kind != FTC_TOKEN_END) {
        const ftc_token *start = p->next;
        if (accept_word(p, "model"))
            p->module->model = expect_name(p, "the name of the model");
        else if (accept_word(p, "use"))
            uses = parse_use(p, uses);
        else if (accept_word(p, "config"))
            parse_settings(p, &p->module->config, CONFIG_BLOCK);
        else if (accept_word(p, "family"))
            parse_settings(p, &p->module->family, FAMILY_BLOCK);
        else if (accept_word(p, "train"))
            parse_settings(p, &p->module->train, TRAIN_BLOCK);
        else if (accept_word(p, "fn"))
            parse_function(p, &functions, false);
        else if (accept_word(p, "optimizer"))
            parse_function(p, &optimizers, true);
        else {
            ftc_stmt *last = NULL, *s = parse_statement_list(p, &last);
            if (!p->failed) {
                *tail = s;
                tail = &last->next;
            }
        }
        if (!p->failed) continue;
        recover(p, start);
        if (at_mark(p, "}")) p->next++;
    }
}

ftc_module *ftc_parse_module(ftc_arena *arena, ftc_source source, ftc_diagnostics *d) {
    ftc_module *module = ftc_arena_alloc(arena, sizeof *module);
    module->source = source;
    parser p = {.arena = arena, .d = d, .module = module};
    p.tokens = p.next = ftc_lex(arena, &module->source, d);
    parse_items(&p);
    return module;
}
