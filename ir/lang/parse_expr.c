// From tokens to expressions: axes, types, declarations, operands and operators.
#include <math.h>
#include <string.h>

#include "ir/lang/parser.h"
#include "ir/print.h"

// --- tokens -------------------------------------------------------------------------------------------

const ftc_token *ftc_syn_peek_at(const ftc_parser *p, int ahead) {
    static const ftc_token end = {.kind = FTC_TOKEN_END, .text = ""};
    if (p->failed) return &end;
    for (const ftc_token *t = p->next;; t++)
        if (t->kind == FTC_TOKEN_END || !ahead--) return t;
}

const ftc_token *ftc_syn_peek(const ftc_parser *p) {
    return ftc_syn_peek_at(p, 0);
}

const ftc_token *ftc_syn_take(ftc_parser *p) {
    const ftc_token *t = ftc_syn_peek(p);
    if (t->kind != FTC_TOKEN_END) p->next++;
    return t;
}

bool ftc_syn_token_is(const ftc_token *t, ftc_token_kind kind, const char *text) {
    return t->kind == kind && !strcmp(t->text, text);
}

bool ftc_syn_at_mark(const ftc_parser *p, const char *mark) {
    return ftc_syn_token_is(ftc_syn_peek(p), FTC_TOKEN_MARK, mark);
}

bool ftc_syn_accept_mark(ftc_parser *p, const char *mark) {
    bool here = ftc_syn_at_mark(p, mark);
    if (here) p->next++;
    return here;
}

// A word that is a keyword here, and is not being assigned to.
bool ftc_syn_at_word(const ftc_parser *p, const char *word) {
    return ftc_syn_token_is(ftc_syn_peek(p), FTC_TOKEN_NAME, word) &&
           !ftc_syn_token_is(ftc_syn_peek_at(p, 1), FTC_TOKEN_MARK, "=");
}

bool ftc_syn_accept_word(ftc_parser *p, const char *word) {
    bool here = ftc_syn_at_word(p, word);
    if (here) p->next++;
    return here;
}

void ftc_syn_fail_expected_at(ftc_parser *p, ftc_place place, const char *what) {
    // What marks of other languages are here.
    static const char *const foreign[][2] = {{"[", "; axes have names: at(x, AXIS, 0), gather(x, AXIS, ids)"},
                                             {"@", "; a product is dot(x, y; AXIS)"},
                                             {"*", "; a power is pow(x, y)"}};
    const ftc_token *t = p->next;
    const char *hint = "";
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (ftc_syn_token_is(t, FTC_TOKEN_MARK, foreign[i][0])) hint = foreign[i][1];
    if (t->kind == FTC_TOKEN_END)
        FTC_SYN_FAIL(p, place, "expected %s, but the text ends here", what);
    else if (t->kind == FTC_TOKEN_STRING)
        FTC_SYN_FAIL(p, place, "expected %s, not a string", what);
    else if (t->kind == FTC_TOKEN_LABEL)
        FTC_SYN_FAIL(p, place, "expected %s, not '%%%.0f'", what, t->number);
    else
        FTC_SYN_FAIL(p, place, "expected %s, not '%s'%s", what, t->text, hint);
}

// "expected X, not Y" at the next token; where that stands on a later line, at the end of the last one.
void ftc_syn_fail_expected(ftc_parser *p, const char *what) {
    const ftc_token *t = p->next;
    bool later = t > p->tokens && t[-1].place.line < t->place.line;
    ftc_syn_fail_expected_at(p, later ? (ftc_place){t[-1].place.line, t[-1].end_column} : t->place, what);
}

void ftc_syn_expect_mark(ftc_parser *p, const char *mark) {
    char what[8] = {'\'', 0};
    if (ftc_syn_accept_mark(p, mark)) return;
    strcat(strcat(what, mark), "'");
    ftc_syn_fail_expected(p, what);
}

const char *ftc_syn_expect_name(ftc_parser *p, const char *what) {
    if (ftc_syn_peek(p)->kind == FTC_TOKEN_NAME) return ftc_syn_take(p)->text;
    ftc_syn_fail_expected(p, what);
    return "";
}

const char *ftc_syn_expect_string(ftc_parser *p, const char *what) {
    if (ftc_syn_peek(p)->kind == FTC_TOKEN_STRING) return ftc_syn_take(p)->text;
    ftc_syn_fail_expected(p, what);
    return "";
}

static double expect_number(ftc_parser *p, const char *what) {
    bool negative = ftc_syn_accept_mark(p, "-");
    if (ftc_syn_peek(p)->kind == FTC_TOKEN_NUMBER) {
        double number = ftc_syn_take(p)->number;
        return negative ? -number : number;
    }
    ftc_syn_fail_expected(p, what);
    return 0;
}

// A whole number from 0 to `most`.
double ftc_syn_expect_count(ftc_parser *p, const char *what, double most) {
    const ftc_token *t = ftc_syn_peek(p);
    double number = expect_number(p, what);
    if (!p->failed && !(number >= 0 && number <= most && number == floor(number)))
        FTC_SYN_FAIL(p, t->place, "%s is a whole number from 0 to %.0f", what, most);
    return p->failed ? 0 : number;
}

// A whole number with a sign.
double ftc_syn_expect_distance(ftc_parser *p) {
    const ftc_token *t = ftc_syn_peek(p);
    double number = expect_number(p, "a distance");
    if (!p->failed && !(fabs(number) <= INT32_MAX && number == floor(number)))
        FTC_SYN_FAIL(p, t->place, "a distance is a whole number");
    return p->failed ? 0 : number;
}

void *ftc_syn_new_node(ftc_parser *p, size_t size) {
    return ftc_arena_alloc(p->arena, size);
}

// Nesting: enter returns false, after a diagnostic, where it is too deep.
bool ftc_syn_enter(ftc_parser *p) {
    if (p->depth >= FTC_SYN_DEEPEST) {
        FTC_SYN_FAIL(p, p->next->place, "this is nested more than %d levels deep", FTC_SYN_DEEPEST);
        return false;
    }
    p->depth++;
    return true;
}

void ftc_syn_leave(ftc_parser *p) {
    p->depth--;
}

// --- axes and types -----------------------------------------------------------------------------------

ftc_axis_item *ftc_syn_axis_item(ftc_parser *p) {
    ftc_axis_item *item = ftc_syn_new_node(p, sizeof *item);
    item->place = ftc_syn_peek(p)->place;
    item->name = ftc_syn_expect_name(p, "the name of an axis");
    if (!strcmp(item->name, "axes") && ftc_syn_accept_mark(p, "(")) {
        item->value = ftc_syn_expr(p);
        ftc_syn_expect_mark(p, ")");
    }
    return item;
}

// A, B, C — with commas, or without between the parentheses of a merged dimension.
ftc_axis_item *ftc_syn_axis_items(ftc_parser *p, bool commas) {
    ftc_axis_item *first = NULL, **tail = &first;
    do {
        *tail = ftc_syn_axis_item(p);
        tail = &(*tail)->next;
    } while (commas ? ftc_syn_accept_mark(p, ",") : ftc_syn_peek(p)->kind == FTC_TOKEN_NAME);
    return first;
}

// A, D -> H. Also the empty list before `close`.
ftc_axis_list *ftc_syn_axis_lists(ftc_parser *p, const char *close) {
    ftc_axis_list *first = NULL, **tail = &first;
    do {
        *tail = ftc_syn_new_node(p, sizeof **tail);
        if (!ftc_syn_at_mark(p, close)) (*tail)->items = ftc_syn_axis_items(p, true);
        tail = &(*tail)->next;
    } while (ftc_syn_accept_mark(p, "->"));
    return first;
}

ftc_type_syntax ftc_syn_type(ftc_parser *p) {
    ftc_type_syntax type = {.place = ftc_syn_peek(p)->place};
    if (ftc_syn_peek(p)->kind != FTC_TOKEN_NAME || !ftc_dtype_named(ftc_syn_peek(p)->text, &type.dtype)) {
        ftc_syn_fail_expected(p, "a type, such as f32[B, S, H] (f32, bf16, i32, u32 or bool)");
        return type;
    }
    ftc_syn_take(p);
    if (!ftc_syn_accept_mark(p, "[")) return type;
    ftc_axis_list **tail = &type.dims;
    if (!ftc_syn_at_mark(p, "]")) do {
            *tail = ftc_syn_new_node(p, sizeof **tail);
            if (ftc_syn_accept_mark(p, "(")) {
                (*tail)->items = ftc_syn_axis_items(p, false);
                ftc_syn_expect_mark(p, ")");
            } else {
                (*tail)->items = ftc_syn_axis_item(p);
            }
            tail = &(*tail)->next;
        } while (ftc_syn_accept_mark(p, ","));
    ftc_syn_expect_mark(p, "]");
    return type;
}

// --- declarations -------------------------------------------------------------------------------------

void ftc_syn_init(ftc_parser *p, ftc_decl_syntax *decl) {
    decl->has_init = true;
    while (ftc_init_kind_name(decl->init) && !ftc_syn_accept_word(p, ftc_init_kind_name(decl->init)))
        decl->init++;
    if (!ftc_init_kind_name(decl->init)) {
        ftc_syn_fail_expected(p, "zeros, ones, normal(STANDARD_DEVIATION) or uniform(BOUND)");
    } else if (ftc_init_has_scale(decl->init)) {
        ftc_syn_expect_mark(p, "(");
        decl->init_scale = ftc_syn_expr(p);
        ftc_syn_expect_mark(p, ")");
    }
}

void ftc_syn_loc(ftc_parser *p, const char **file, double *line) {
    ftc_syn_expect_mark(p, "(");
    *file = ftc_syn_expect_string(p, "a file name in quotes");
    ftc_syn_expect_mark(p, ":");
    *line = ftc_syn_expect_count(p, "a line number", INT32_MAX);
    ftc_syn_expect_mark(p, ")");
}

static ftc_scalar_role parse_scalar_role(ftc_parser *p) {
    const ftc_token *t = ftc_syn_peek(p);
    const char *name = ftc_syn_expect_name(p, "the role of an argument");
    for (ftc_scalar_role role = 0; role < FTC_SCALAR_ROLE_COUNT; role++)
        if (ftc_scalar_role_name(role) && !strcmp(ftc_scalar_role_name(role), name)) return role;
    FTC_SYN_FAIL(p, t->place, "'%s' is no role of an argument; there is dropout", name);
    return FTC_SCALAR_PLAIN;
}

// tokens, token_types, masked_positions, masked_tokens, partner, label, column "NAME", config "NAME".
static void parse_input_role(ftc_parser *p, ftc_decl_syntax *decl) {
    const ftc_token *t = ftc_syn_peek(p);
    for (ftc_input_role role = 0; ftc_input_role_name(role); role++) {
        if (!ftc_syn_accept_word(p, ftc_input_role_name(role))) continue;
        decl->has_from = true;
        decl->from = role;
        if (role == FTC_FROM_COLUMN || role == FTC_FROM_CONFIG)
            decl->column = ftc_syn_expect_string(p, "a name in quotes");
        return;
    }
    ftc_syn_fail_expected_at(
        p, t->place,
        "tokens, token_types, masked_positions, masked_tokens, partner, label, column or config");
}

ftc_decl_syntax *ftc_syn_decl(ftc_parser *p, ftc_decl_kind kind, ftc_place place) {
    ftc_decl_syntax *decl = ftc_syn_new_node(p, sizeof *decl);
    decl->kind = kind;
    decl->place = place;
    bool named = kind == FTC_DECL_INPUT || kind == FTC_DECL_ARG;
    decl->name = ftc_syn_new_node(p, sizeof *decl->name);
    decl->name->kind = named ? FTC_EXPR_NAME : FTC_EXPR_STRING;
    decl->name->place = ftc_syn_peek(p)->place;
    decl->name->height = 1;
    decl->name->text =
        named ? ftc_syn_expect_name(p, "a name") : ftc_syn_expect_string(p, "a name in quotes");
    if (kind == FTC_DECL_SCALAR) return decl;
    if (named) ftc_syn_expect_mark(p, ":");
    if (!named && kind != FTC_DECL_PARAM) {
        if (!ftc_syn_accept_word(p, "of")) ftc_syn_fail_expected(p, "of \"PARAMETER\"");
        decl->of = ftc_syn_expr(p);
    }
    decl->type = ftc_syn_type(p);
    for (;;) {
        if (kind == FTC_DECL_PARAM && ftc_syn_accept_word(p, "init"))
            ftc_syn_init(p, decl);
        else if (kind == FTC_DECL_PARAM && ftc_syn_accept_word(p, "zero_row"))
            decl->zero_row = ftc_syn_expr(p);
        else if (kind == FTC_DECL_PARAM && ftc_syn_accept_word(p, "frozen"))
            decl->frozen = true;
        else if (kind == FTC_DECL_INPUT && ftc_syn_accept_word(p, "in"))
            decl->bound = ftc_syn_axis_item(p);
        else if (kind == FTC_DECL_INPUT && ftc_syn_accept_word(p, "from"))
            parse_input_role(p, decl);
        else if (kind == FTC_DECL_TOUCHED && ftc_syn_accept_word(p, "by"))
            decl->by = ftc_syn_expect_name(p, "the name of an input");
        else if (kind == FTC_DECL_ARG && ftc_syn_accept_mark(p, "="))
            decl->value = ftc_syn_expr(p);
        else if (kind == FTC_DECL_ARG && ftc_syn_accept_word(p, "as"))
            decl->role = parse_scalar_role(p);
        else if (ftc_syn_accept_word(p, "loc"))
            ftc_syn_loc(p, &decl->loc_file, &decl->loc_line);
        else
            return decl;
    }
}

// --- expressions --------------------------------------------------------------------------------------

ftc_expr *ftc_syn_new_expr(ftc_parser *p, ftc_expr_kind kind) {
    ftc_expr *e = ftc_syn_new_node(p, sizeof *e);
    e->kind = kind;
    e->place = ftc_syn_peek(p)->place;
    e->height = 1;
    e->text = "";
    return e;
}

static void grow(ftc_parser *p, ftc_expr *parent, const ftc_expr *child) {
    if (child->height >= parent->height) parent->height = child->height + 1;
    if (parent->height > FTC_SYN_DEEPEST)
        FTC_SYN_FAIL(p, parent->place, "this expression is more than %d operations deep", FTC_SYN_DEEPEST);
}

void ftc_syn_args(ftc_parser *p, ftc_expr *call) {
    ftc_expr **tail = &call->args;
    ftc_syn_expect_mark(p, "(");
    if (!ftc_syn_at_mark(p, ")") && !ftc_syn_at_mark(p, ";")) do {
            const char *keyword = NULL;
            if (ftc_syn_peek(p)->kind == FTC_TOKEN_NAME &&
                ftc_syn_token_is(ftc_syn_peek_at(p, 1), FTC_TOKEN_MARK, "=")) {
                keyword = ftc_syn_take(p)->text;
                ftc_syn_take(p);
            }
            ftc_expr *arg = ftc_syn_expr(p);
            arg->keyword = keyword;
            grow(p, call, arg);
            *tail = arg;
            tail = &arg->next;
        } while (ftc_syn_accept_mark(p, ","));
    if (ftc_syn_accept_mark(p, ";")) call->axes = ftc_syn_axis_lists(p, ")");
    ftc_syn_expect_mark(p, ")");
}

ftc_expr *ftc_syn_primary(ftc_parser *p) {
    ftc_expr *e = ftc_syn_new_expr(p, FTC_EXPR_NUMBER);
    if (!ftc_syn_enter(p)) return e;
    const ftc_token *t = ftc_syn_peek(p), *after = ftc_syn_peek_at(p, 1);
    if (t->kind == FTC_TOKEN_NUMBER) {
        e->number = ftc_syn_take(p)->number;
    } else if (t->kind == FTC_TOKEN_LABEL) {
        e->kind = FTC_EXPR_LABEL;
        e->number = ftc_syn_take(p)->number;
    } else if (t->kind == FTC_TOKEN_STRING) {
        e->kind = FTC_EXPR_STRING;
        e->text = ftc_syn_take(p)->text;
    } else if (ftc_syn_accept_mark(p, "(")) {
        e = ftc_syn_expr(p);
        ftc_syn_expect_mark(p, ")");
    } else if (ftc_syn_accept_mark(p, "-")) {
        ftc_expr *x = ftc_syn_primary(p);
        if (x->kind == FTC_EXPR_NUMBER) {
            e->number = -x->number;
        } else {
            e->kind = FTC_EXPR_CALL;
            e->text = "neg";
            e->args = x;
            grow(p, e, x);
        }
    } else if (ftc_syn_token_is(t, FTC_TOKEN_NAME, "param") && after->kind == FTC_TOKEN_STRING) {
        ftc_syn_take(p);
        e->kind = FTC_EXPR_PARAM;
        e->decl = ftc_syn_decl(p, FTC_DECL_PARAM, e->place);
    } else if (ftc_syn_token_is(t, FTC_TOKEN_NAME, "outer") &&
               (after->kind == FTC_TOKEN_NAME || ftc_syn_token_is(after, FTC_TOKEN_MARK, "("))) {
        ftc_syn_take(p);
        e = ftc_syn_primary(p);
        if (e->kind != FTC_EXPR_CALL)
            FTC_SYN_FAIL(p, t->place, "`outer` marks an operation: outer (x * y), outer mul(x, y)");
        e->outer = true;
    } else if (ftc_syn_token_is(t, FTC_TOKEN_NAME, "not") && !ftc_syn_token_is(after, FTC_TOKEN_MARK, "(")) {
        e->kind = FTC_EXPR_CALL;
        e->text = ftc_syn_take(p)->text;
        e->args = ftc_syn_primary(p);
        grow(p, e, e->args);
    } else if (t->kind == FTC_TOKEN_NAME) {
        e->text = ftc_syn_take(p)->text;
        e->kind = ftc_syn_at_mark(p, "(") ? FTC_EXPR_CALL : FTC_EXPR_NAME;
        if (e->kind == FTC_EXPR_CALL) ftc_syn_args(p, e);
    } else {
        ftc_syn_fail_expected(p, "an expression");
    }
    ftc_syn_leave(p);
    return e;
}

// The infix operators, by precedence; those of one level group from the left.
static const char *const LEVELS[][7] = {
    {"or"}, {"and"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/"},
};
enum { N_LEVELS = sizeof LEVELS / sizeof *LEVELS };

static bool at_infix(const ftc_parser *p, int level) {
    const ftc_token *t = ftc_syn_peek(p);
    if (t->kind != FTC_TOKEN_MARK && t->kind != FTC_TOKEN_NAME) return false;
    for (int i = 0; LEVELS[level][i]; i++)
        if (!strcmp(t->text, LEVELS[level][i])) return true;
    return false;
}

static ftc_expr *parse_infix(ftc_parser *p, int level) {
    if (level == N_LEVELS) return ftc_syn_primary(p);
    ftc_expr *left = parse_infix(p, level + 1);
    while (at_infix(p, level)) {
        ftc_expr *e = ftc_syn_new_expr(p, FTC_EXPR_CALL);
        e->text = ftc_syn_take(p)->text;
        e->args = left;
        left->next = parse_infix(p, level + 1);
        grow(p, e, left);
        grow(p, e, left->next);
        left = e;
    }
    return left;
}

ftc_expr *ftc_syn_expr(ftc_parser *p) {
    return parse_infix(p, 0);
}
