// Statements of models, of libraries and of dumps; the blocks and functions that they make; modules.
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/lang/parser.h"
#include "ir/print.h"

static const double LARGEST_COUNT = 1e15; // of bytes

static ftc_stmt *parse_block(ftc_parser *p), *parse_statement(ftc_parser *p);

// --- statements of models and libraries ---------------------------------------------------------------

static ftc_stmt *new_stmt(ftc_parser *p, ftc_stmt_kind kind, ftc_place place) {
    ftc_stmt *s = ftc_syn_new_node(p, sizeof *s);
    s->kind = kind;
    s->place = place;
    return s;
}

// The list that `axis` starts; *last is its end.
static ftc_stmt *parse_axis_statement(ftc_parser *p, ftc_place place, ftc_stmt **last) {
    ftc_stmt *first = NULL, **tail = &first;
    do {
        ftc_stmt *s = new_stmt(p, FTC_STMT_AXIS, first ? ftc_syn_peek(p)->place : place);
        s->name = ftc_syn_expect_name(p, "the name of an axis");
        if (ftc_syn_accept_word(p, "ragged")) {
            s->axis.kind = FTC_AXIS_RAGGED;
            s->axis.over = ftc_syn_axis_item(p);
        } else if (!ftc_syn_accept_mark(p, "=")) {
            s->axis.kind = FTC_AXIS_SYMBOL;
        }
        if (s->axis.kind != FTC_AXIS_EQUALS && !ftc_syn_accept_mark(p, "<="))
            ftc_syn_fail_expected(p, "'<=' and the largest size to plan for, or '=' and the size");
        s->expr = ftc_syn_expr(p);
        *tail = *last = s;
        tail = &s->next;
    } while (ftc_syn_accept_mark(p, ","));
    return first;
}

static ftc_axis_list *parse_axes_in_parentheses(ftc_parser *p) {
    ftc_axis_list *list = ftc_syn_new_node(p, sizeof *list);
    ftc_syn_expect_mark(p, "(");
    if (!ftc_syn_at_mark(p, ")")) list->items = ftc_syn_axis_items(p, true);
    ftc_syn_expect_mark(p, ")");
    return list;
}

// loss weight n, scores over C, embedding, factor of "PARAMETER", …
static void parse_output_role(ftc_parser *p, ftc_stmt *s) {
    ftc_output_role role = 0;
    while (ftc_output_role_name(role) && !ftc_syn_accept_word(p, ftc_output_role_name(role))) role++;
    if (!ftc_output_role_name(role)) {
        ftc_syn_fail_expected(p, "loss, scores, metric, embedding, or value");
        return;
    }
    s->output.has_role = true;
    s->output.role = role;
    if (role == FTC_OUTPUT_LOSS && ftc_syn_accept_word(p, "weight")) s->output.weight = ftc_syn_expr(p);
    if (role == FTC_OUTPUT_SCORES && ftc_syn_accept_word(p, "over")) s->output.classes = ftc_syn_axis_item(p);
    if (ftc_syn_accept_word(p, "of"))
        s->output.of = ftc_syn_expect_string(p, "the name of a parameter in quotes");
}

// (step, eval) behind `entries`: a mask.
static uint32_t parse_entries(ftc_parser *p) {
    uint32_t entries = 0;
    ftc_syn_expect_mark(p, "(");
    while (ftc_syn_peek(p)->kind == FTC_TOKEN_NAME) {
        const ftc_token *t = ftc_syn_take(p);
        int entry = 0;
        while (entry < FTC_ENTRY_COUNT && strcmp(ftc_entry_name(entry), t->text)) entry++;
        if (entry == FTC_ENTRY_COUNT)
            FTC_SYN_FAIL(p, t->place, "'%s' is none of step, grad, update, eval", t->text);
        else
            entries |= 1u << entry;
        if (!ftc_syn_accept_mark(p, ",")) break;
    }
    ftc_syn_expect_mark(p, ")");
    return entries;
}

// Behind assign(…): each micro_batch, or entries(step, update, eval). False: neither stands here.
static bool parse_when(ftc_parser *p, ftc_expr *call) {
    const ftc_token *t = ftc_syn_peek(p);
    if (ftc_syn_accept_word(p, "each")) {
        if (!ftc_syn_accept_word(p, "micro_batch")) ftc_syn_fail_expected(p, "micro_batch");
        call->entries = FTC_ENTRIES_EACH_MICRO_BATCH;
    } else if (ftc_syn_accept_word(p, "entries")) {
        call->entries = parse_entries(p);
        if (!p->failed && !call->entries) FTC_SYN_FAIL(p, t->place, "an assignment that no entry runs");
    } else {
        return false;
    }
    if (!p->failed && (call->kind != FTC_EXPR_CALL || strcmp(call->text, "assign")))
        FTC_SYN_FAIL(p, t->place, "only an assignment says when it runs: assign(x, p) each micro_batch");
    return true;
}

static ftc_stmt *parse_output_statement(ftc_parser *p, ftc_place place, ftc_stmt **last) {
    ftc_stmt *first = NULL, **tail = &first;
    do {
        ftc_stmt *s = new_stmt(p, FTC_STMT_OUTPUT, place);
        s->place = ftc_syn_peek(p)->place;
        s->expr = ftc_syn_new_expr(p, FTC_EXPR_NAME);
        s->name = ftc_syn_peek(p)->kind == FTC_TOKEN_STRING ? ftc_syn_take(p)->text
                                                            : ftc_syn_expect_name(p, "the name of an output");
        s->expr->text = s->name;
        if (ftc_syn_accept_mark(p, "=")) s->expr = ftc_syn_expr(p);
        if (ftc_syn_accept_word(p, "as")) parse_output_role(p, s);
        s->output.all = !ftc_syn_accept_word(p, "entries");
        if (!s->output.all) s->output.entries = parse_entries(p);
        if (p->module->flat && ftc_syn_accept_word(p, "order"))
            s->output.order = parse_axes_in_parentheses(p);
        *tail = *last = s;
        tail = &s->next;
    } while (ftc_syn_accept_mark(p, ","));
    return first;
}

// state NAME [ ( "like" | "over" ( "rows" | "columns" ) "of" ) NAME ]
static ftc_stmt *parse_state(ftc_parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_STATE, place);
    s->name = ftc_syn_expect_name(p, "the name of a state");
    if (ftc_syn_accept_word(p, "over")) {
        s->state = ftc_syn_accept_word(p, "rows") ? FTC_STATE_ROWS : FTC_STATE_COLUMNS;
        if (s->state == FTC_STATE_COLUMNS && !ftc_syn_accept_word(p, "columns"))
            ftc_syn_fail_expected(p, "rows or columns");
        if (!ftc_syn_accept_word(p, "of")) ftc_syn_fail_expected(p, "of PARAMETER");
    } else if (!ftc_syn_accept_word(p, "like")) {
        ftc_syn_fail_expected(p, "like PARAMETER, over rows of PARAMETER or over columns of PARAMETER");
    }
    s->expr = ftc_syn_primary(p);
    return s;
}

// scope "…" { … }, or shared scope "…" { … }. NULL: neither stands here.
static ftc_stmt *parse_scope(ftc_parser *p) {
    const ftc_token *t = ftc_syn_peek(p), *after = ftc_syn_peek_at(p, 1);
    bool is_shared =
        ftc_syn_token_is(t, FTC_TOKEN_NAME, "shared") && ftc_syn_token_is(after, FTC_TOKEN_NAME, "scope");
    if (is_shared) ftc_syn_take(p);
    if (!ftc_syn_accept_word(p, "scope")) return NULL;
    ftc_stmt *s = new_stmt(p, FTC_STMT_SCOPE, t->place);
    s->is_shared = is_shared;
    if (ftc_syn_peek(p)->kind != FTC_TOKEN_STRING) ftc_syn_fail_expected(p, "a prefix in quotes");
    s->last = ftc_syn_primary(p);
    s->body = parse_block(p);
    return s;
}

static ftc_stmt *parse_for(ftc_parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_FOR, place);
    s->name = ftc_syn_expect_name(p, "the name of the loop's variable");
    if (!ftc_syn_accept_word(p, "in")) ftc_syn_fail_expected(p, "'in'");
    s->expr = ftc_syn_expr(p);
    ftc_syn_expect_mark(p, "..");
    s->last = ftc_syn_expr(p);
    s->body = parse_scope(p);
    if (!s->body) s->body = parse_block(p);
    return s;
}

static ftc_stmt *parse_if(ftc_parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_IF, place);
    if (!ftc_syn_enter(p)) return s;
    s->expr = ftc_syn_expr(p);
    s->body = parse_block(p);
    if (ftc_syn_accept_word(p, "else")) {
        const ftc_token *t = ftc_syn_peek(p);
        s->other = ftc_syn_accept_word(p, "if") ? parse_if(p, t->place) : parse_block(p);
    }
    ftc_syn_leave(p);
    return s;
}

// --- statements of dumps ------------------------------------------------------------------------------

static ftc_stmt *parse_node(ftc_parser *p) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_NODE, ftc_syn_peek(p)->place);
    p->module->flat = true;
    if (ftc_syn_peek(p)->number > INT32_MAX) FTC_SYN_FAIL(p, s->place, "this label is too large");
    s->node.label = (uint32_t)ftc_syn_take(p)->number;
    ftc_syn_expect_mark(p, "=");
    s->expr = ftc_syn_expr(p);
    if (!p->failed && s->expr->kind != FTC_EXPR_CALL)
        FTC_SYN_FAIL(p, s->place, "a labelled node is one operation: %%3 = add(%%1, %%2) : f32[B]");
    ftc_syn_expect_mark(p, ":");
    s->node.type = ftc_syn_type(p);
    s->node.offset = -1;
    for (;;) {
        if (ftc_syn_accept_mark(p, "@"))
            s->node.offset = ftc_syn_expect_count(p, "an offset in bytes", LARGEST_COUNT);
        else if (ftc_syn_accept_word(p, "step"))
            s->node.step = ftc_syn_expect_count(p, "the number of a step", UINT16_MAX);
        else if (ftc_syn_accept_word(p, "loc"))
            ftc_syn_loc(p, &s->node.loc_file, &s->node.loc_line);
        else if (!parse_when(p, s->expr)) {
            bool found = false;
            for (ftc_phase phase = 0; ftc_phase_name(phase); phase++)
                if (ftc_syn_accept_word(p, ftc_phase_name(phase))) s->node.phase = phase, found = true;
            for (ftc_kept kept = FTC_KEPT_STORED; ftc_kept_name(kept); kept++)
                if (ftc_syn_accept_word(p, ftc_kept_name(kept))) s->node.kept = kept, found = true;
            if (!found) return s;
        }
    }
}

static ftc_stmt *parse_kernel(ftc_parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_KERNEL, place);
    s->name = ftc_syn_peek(p)->kind == FTC_TOKEN_STRING ? ftc_syn_take(p)->text
                                                        : ftc_syn_expect_name(p, "the name of a kernel");
    for (ftc_kernel_kind kind = 0; !s->kernel.header && ftc_kernel_kind_name(kind); kind++)
        if (ftc_syn_accept_word(p, ftc_kernel_kind_name(kind)))
            s->kernel.kind = kind, s->kernel.header = true;
    if (s->kernel.header) {
        if (ftc_syn_accept_word(p, "rows")) s->kernel.rows = parse_axes_in_parentheses(p);
        if (ftc_syn_accept_word(p, "cols")) s->kernel.cols = parse_axes_in_parentheses(p);
        if (ftc_syn_accept_word(p, "block")) {
            ftc_syn_expect_mark(p, "(");
            s->kernel.block = ftc_syn_axis_item(p);
            ftc_syn_expect_mark(p, ",");
            s->kernel.block_size = ftc_syn_expect_count(p, "the size of a block", INT32_MAX);
            ftc_syn_expect_mark(p, ")");
        }
        if (ftc_syn_accept_word(p, "window")) {
            s->kernel.has_window = true;
            ftc_syn_expect_mark(p, "(");
            s->kernel.window[0] = ftc_syn_expect_distance(p);
            ftc_syn_expect_mark(p, ",");
            s->kernel.window[1] = ftc_syn_expect_distance(p);
            ftc_syn_expect_mark(p, ")");
        }
        s->kernel.barrier = ftc_syn_accept_word(p, "barrier");
        if (ftc_syn_accept_word(p, "plain")) s->kernel.plain = ftc_syn_expect_string(p, "a reason in quotes");
    }
    if (!s->kernel.header || ftc_syn_at_mark(p, "{")) s->body = parse_block(p);
    return s;
}

static ftc_stmt *parse_memory(ftc_parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_MEMORY, place);
    for (;;) {
        if (ftc_syn_accept_word(p, "arena"))
            s->memory.arena = ftc_syn_expect_count(p, "a number of bytes", LARGEST_COUNT);
        else if (ftc_syn_accept_word(p, "scratch"))
            s->memory.scratch = ftc_syn_expect_count(p, "a number of bytes", LARGEST_COUNT);
        else if (ftc_syn_accept_word(p, "peak"))
            s->memory.peak = ftc_syn_expect_count(p, "a number of bytes", LARGEST_COUNT);
        else
            return s;
    }
}

// PASS of ENTRY
static ftc_stmt *parse_stage(ftc_parser *p, ftc_place place) {
    ftc_stmt *s = new_stmt(p, FTC_STMT_STAGE, place);
    s->name = ftc_syn_expect_name(p, "the name of a pass");
    if (!ftc_syn_accept_word(p, "of")) ftc_syn_fail_expected(p, "of ENTRY");
    while (s->stage_of < FTC_ENTRY_COUNT && !ftc_syn_accept_word(p, ftc_entry_name(s->stage_of)))
        s->stage_of++;
    if (s->stage_of == FTC_ENTRY_COUNT) ftc_syn_fail_expected(p, "step, grad, update or eval");
    return s;
}

// --- blocks -------------------------------------------------------------------------------------------

// One statement; `axis` and `output` may make several, linked. NULL at what begins none.
static ftc_stmt *parse_statement_list(ftc_parser *p, ftc_stmt **last) {
    ftc_place place = ftc_syn_peek(p)->place;
    if (ftc_syn_accept_word(p, "axis")) return parse_axis_statement(p, place, last);
    if (ftc_syn_accept_word(p, "output")) return parse_output_statement(p, place, last);
    return *last = parse_statement(p);
}

static ftc_stmt *parse_statement(ftc_parser *p) {
    const ftc_token *t = ftc_syn_peek(p), *after = ftc_syn_peek_at(p, 1);
    ftc_stmt *s = NULL;
    for (ftc_decl_kind kind = 0; ftc_decl_kind_name(kind); kind++)
        if (ftc_syn_accept_word(p, ftc_decl_kind_name(kind))) {
            s = new_stmt(p, FTC_STMT_DECL, t->place);
            s->decl = ftc_syn_decl(p, kind, t->place);
            return s;
        }
    if (t->kind == FTC_TOKEN_LABEL) return parse_node(p);
    if ((s = parse_scope(p))) return s;
    if (ftc_syn_accept_word(p, "for")) return parse_for(p, t->place);
    if (ftc_syn_accept_word(p, "if")) return parse_if(p, t->place);
    if (ftc_syn_accept_word(p, "kernel")) return parse_kernel(p, t->place);
    if (ftc_syn_accept_word(p, "memory")) return parse_memory(p, t->place);
    if (after->kind == FTC_TOKEN_NAME && ftc_syn_accept_word(p, "state")) return parse_state(p, t->place);
    if (after->kind == FTC_TOKEN_NAME && ftc_syn_accept_word(p, "stage")) return parse_stage(p, t->place);
    if (ftc_syn_accept_word(p, "init")) {
        s = new_stmt(p, FTC_STMT_INIT, t->place);
        s->decl = ftc_syn_new_node(p, sizeof *s->decl);
        ftc_syn_init(p, s->decl);
    } else if (ftc_syn_accept_word(p, "check")) {
        s = new_stmt(p, FTC_STMT_CHECK, t->place);
        s->expr = ftc_syn_expr(p);
        if (ftc_syn_peek(p)->kind != FTC_TOKEN_STRING) ftc_syn_fail_expected(p, "the message in quotes");
        s->last = ftc_syn_primary(p);
    } else if (after->kind == FTC_TOKEN_STRING && ftc_syn_accept_word(p, "freeze")) {
        s = new_stmt(p, FTC_STMT_FREEZE, t->place);
        s->expr = ftc_syn_primary(p);
    } else if (ftc_syn_accept_word(p, "return")) {
        s = new_stmt(p, FTC_STMT_RETURN, t->place);
        s->expr = ftc_syn_expr(p);
    } else if (ftc_syn_accept_word(p, "sites")) {
        s = new_stmt(p, FTC_STMT_SITES, t->place);
        s->sites = ftc_syn_expect_count(p, "the number of random sites", INT32_MAX);
    } else if (t->kind == FTC_TOKEN_NAME && ftc_syn_token_is(after, FTC_TOKEN_MARK, "=")) {
        s = new_stmt(p, FTC_STMT_ASSIGN, t->place);
        s->name = ftc_syn_take(p)->text;
        ftc_syn_take(p);
        s->expr = ftc_syn_expr(p);
    } else if (t->kind == FTC_TOKEN_NAME && ftc_syn_token_is(after, FTC_TOKEN_MARK, "(")) {
        s = new_stmt(p, FTC_STMT_CALL, t->place);
        s->expr = ftc_syn_expr(p);
        parse_when(p, s->expr);
    } else {
        ftc_syn_fail_expected_at(p, t->place, "a statement");
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
    return ftc_syn_token_is(t + 1, FTC_TOKEN_MARK, "=");
}

// After an error: on to the next statement, or to the '}' that ends the block.
static void recover(ftc_parser *p, const ftc_token *start) {
    int depth = 0;
    p->failed = false;
    if (p->next == start && p->next->kind != FTC_TOKEN_END && !ftc_syn_at_mark(p, "}")) {
        depth += ftc_syn_at_mark(p, "{");
        p->next++;
    }
    for (; p->next->kind != FTC_TOKEN_END; p->next++) {
        if (depth == 0 && (ftc_syn_at_mark(p, "}") || begins_statement(p->next))) return;
        depth += ftc_syn_at_mark(p, "{") - ftc_syn_at_mark(p, "}");
    }
}

static ftc_stmt *parse_block(ftc_parser *p) {
    ftc_stmt *first = NULL, **tail = &first;
    ftc_syn_expect_mark(p, "{");
    if (p->failed || !ftc_syn_enter(p)) return NULL;
    while (ftc_syn_peek(p)->kind != FTC_TOKEN_END && !ftc_syn_at_mark(p, "}")) {
        const ftc_token *start = p->next;
        ftc_stmt *last = NULL, *s = parse_statement_list(p, &last);
        if (p->failed) {
            recover(p, start);
        } else {
            *tail = s;
            tail = &last->next;
        }
    }
    ftc_syn_expect_mark(p, "}");
    ftc_syn_leave(p);
    return first;
}

// --- modules ------------------------------------------------------------------------------------------

// positions - pad - 1: what follows the first name or number.
static void parse_terms(ftc_parser *p, ftc_setting_syntax *s) {
    if (s->text && !s->bare) return;
    for (ftc_setting_term **tail = &s->terms;
         !p->failed && (ftc_syn_at_mark(p, "+") || ftc_syn_at_mark(p, "-")); tail = &(*tail)->next) {
        ftc_setting_term *term = *tail = ftc_syn_new_node(p, sizeof *term);
        term->sign = ftc_syn_accept_mark(p, "-") ? -1 : 1;
        if (term->sign > 0) ftc_syn_take(p);
        const ftc_token *t = ftc_syn_peek(p);
        term->place = t->place;
        s->end = t->end;
        if (t->kind == FTC_TOKEN_NAME) {
            term->name = ftc_syn_take(p)->text;
        } else if (t->kind == FTC_TOKEN_NUMBER) {
            term->number = t->number;
            term->is_integer = t->is_integer;
            ftc_syn_take(p);
        } else {
            ftc_syn_fail_expected(p, "a number, or the name of an earlier entry");
        }
    }
}

typedef enum { CONFIG_BLOCK, FAMILY_BLOCK, TRAIN_BLOCK } settings_block;

// In a family block the name of a task may follow: "architecture tokens".
static const char *parse_setting_name(ftc_parser *p, settings_block block) {
    const char *name = ftc_syn_expect_name(p, "NAME = VALUE or '}'");
    if (p->failed || block != FAMILY_BLOCK || ftc_syn_peek(p)->kind != FTC_TOKEN_NAME) return name;
    char *both = ftc_format("%s %s", name, ftc_syn_take(p)->text), *kept = ftc_arena_strdup(p->arena, both);
    free(both);
    return kept;
}

static void fail_expected_role(ftc_parser *p) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    for (ftc_config_role role = FTC_CONFIG_PLAIN + 1; ftc_config_role_name(role); role++)
        fprintf(f, "%s%s",
                role == FTC_CONFIG_PLAIN + 1     ? ""
                : ftc_config_role_name(role + 1) ? ", "
                                                 : " or ",
                ftc_config_role_name(role));
    char *names = ftc_text_close(&text, NULL);
    ftc_syn_fail_expected(p, names);
    free(names);
}

// batch, task, … behind `as`.
static void parse_config_role(ftc_parser *p, ftc_setting_syntax *s) {
    ftc_config_role role = FTC_CONFIG_PLAIN + 1;
    s->role_place = ftc_syn_peek(p)->place;
    while (ftc_config_role_name(role) && !ftc_syn_accept_word(p, ftc_config_role_name(role))) role++;
    s->role = ftc_config_role_name(role) ? role : FTC_CONFIG_PLAIN;
    if (!s->role) fail_expected_role(p);
}

// { NAME = VALUE "hf_name" as ROLE … }, appended to *tail.
static void parse_settings(ftc_parser *p, ftc_setting_syntax **tail, settings_block block) {
    while (*tail) tail = &(*tail)->next;
    ftc_syn_expect_mark(p, "{");
    while (!p->failed && !ftc_syn_at_mark(p, "}")) {
        ftc_setting_syntax *s = ftc_syn_new_node(p, sizeof *s);
        s->place = ftc_syn_peek(p)->place;
        s->name = parse_setting_name(p, block);
        ftc_syn_expect_mark(p, "=");
        s->start = ftc_syn_peek(p)->start;
        bool negative = ftc_syn_accept_mark(p, "-");
        const ftc_token *t = ftc_syn_peek(p);
        s->end = t->end;
        if (t->kind == FTC_TOKEN_NUMBER) {
            s->number = negative ? -t->number : t->number;
            s->is_integer = t->is_integer;
        } else if (!negative && (t->kind == FTC_TOKEN_NAME || t->kind == FTC_TOKEN_STRING)) {
            s->text = t->text;
            s->bare = t->kind == FTC_TOKEN_NAME;
        } else {
            ftc_syn_fail_expected(p, "a number, a name or a string");
        }
        ftc_syn_take(p);
        if (block == CONFIG_BLOCK) parse_terms(p, s);
        if (block == CONFIG_BLOCK && ftc_syn_peek(p)->kind == FTC_TOKEN_STRING)
            s->hf_name = ftc_syn_take(p)->text;
        if (block == CONFIG_BLOCK && ftc_syn_accept_word(p, "as")) parse_config_role(p, s);
        if (p->failed) return;
        *tail = s;
        tail = &s->next;
    }
    ftc_syn_expect_mark(p, "}");
}

static ftc_parameter *parse_parameters(ftc_parser *p) {
    ftc_parameter *first = NULL, *last = NULL, **tail = &first;
    do {
        ftc_parameter *q = ftc_syn_new_node(p, sizeof *q);
        q->place = ftc_syn_peek(p)->place;
        q->name = ftc_syn_expect_name(p, "the name of a parameter");
        if (ftc_syn_accept_mark(p, "="))
            q->value = ftc_syn_expr(p);
        else if (last && last->value)
            FTC_SYN_FAIL(p, q->place, "'%s' needs a default: a parameter before it has one", q->name);
        *tail = last = q;
        tail = &q->next;
    } while (ftc_syn_accept_mark(p, ","));
    return first;
}

static bool has_parameter(const ftc_function *f, const char *name) {
    for (const ftc_parameter *q = f->parameters; q; q = q->next)
        if (!strcmp(q->name, name)) return true;
    return false;
}

// extern "symbol" (x, w), which may stand before a body.
static void parse_extern(ftc_parser *p, ftc_function *f) {
    if (!ftc_syn_accept_word(p, "extern")) return;
    f->symbol = ftc_syn_expect_string(p, "the name of a function in quotes");
    ftc_expr operands = {0};
    if (ftc_syn_at_mark(p, "(")) ftc_syn_args(p, &operands);
    f->operands = operands.args;
}

// gradient(y, dy -> x) { … } after the body of function f.
static ftc_function *parse_gradient(ftc_parser *p, const ftc_function *f) {
    ftc_function *gradient = ftc_syn_new_node(p, sizeof *gradient);
    gradient->module = p->module;
    gradient->place = ftc_syn_peek(p)->place;
    gradient->name = f->name;
    ftc_syn_expect_mark(p, "(");
    gradient->parameters = parse_parameters(p);
    const ftc_parameter *names = gradient->parameters;
    if (!p->failed && (!names->next || names->next->next))
        FTC_SYN_FAIL(p, names->place, "write gradient(RESULT, ITS_GRADIENT -> PARAMETER)");
    ftc_syn_expect_mark(p, "->");
    ftc_place place = ftc_syn_peek(p)->place;
    gradient->of = ftc_syn_expect_name(p, "a parameter of the function");
    if (!has_parameter(f, gradient->of))
        FTC_SYN_FAIL(p, place, "%s has no parameter '%s'", f->name, gradient->of);
    for (const ftc_parameter *q = names; q && !p->failed; q = q->next)
        if (has_parameter(f, q->name) || (q != names && !strcmp(q->name, names->name)))
            FTC_SYN_FAIL(p, q->place, "'%s' is the name of a parameter already", q->name);
    for (const ftc_function *before = f->gradients; before; before = before->next)
        if (!strcmp(before->of, gradient->of))
            FTC_SYN_FAIL(p, place, "the gradient of '%s' is given already", gradient->of);
    ftc_syn_expect_mark(p, ")");
    parse_extern(p, gradient);
    gradient->body = parse_block(p);
    return gradient;
}

// optimizer adamw(p, g, rate, decay = 0.01) also "adamw_torch" { … }, after the parameters.
static void parse_other_names(ftc_parser *p, ftc_function *f) {
    ftc_expr **tail = &f->also;
    if (ftc_syn_accept_word(p, "also")) do {
            if (ftc_syn_peek(p)->kind != FTC_TOKEN_STRING) ftc_syn_fail_expected(p, "another name in quotes");
            *tail = ftc_syn_primary(p);
            tail = &(*tail)->next;
        } while (ftc_syn_accept_mark(p, ","));
    int n = 0;
    for (const ftc_parameter *q = f->parameters; q; q = q->next, n++)
        if (q->value && n != 3)
            FTC_SYN_FAIL(p, q->place, "only the fourth parameter has a default, the weight decay");
    if (n < 2 || n > 4 || f->axes)
        FTC_SYN_FAIL(p, f->place,
                     "an optimizer takes 2 to 4 parameters: optimizer %s(p, g, rate, decay = 0.01) { … }",
                     f->name);
}

static void parse_function(ftc_parser *p, ftc_function ***tail, bool is_optimizer) {
    ftc_function *f = ftc_syn_new_node(p, sizeof *f);
    f->module = p->module;
    f->start = p->next[-1].start;
    f->place = ftc_syn_peek(p)->place;
    f->name = ftc_syn_expect_name(p, "the name of a function");
    ftc_syn_expect_mark(p, "(");
    if (!ftc_syn_at_mark(p, ")") && !ftc_syn_at_mark(p, ";")) f->parameters = parse_parameters(p);
    if (ftc_syn_accept_mark(p, ";")) f->axes = ftc_syn_axis_lists(p, ")");
    ftc_syn_expect_mark(p, ")");
    is_optimizer ? parse_other_names(p, f) : parse_extern(p, f);
    f->body = parse_block(p);
    // In dumps, `gradient "name"` declares a tensor.
    for (ftc_function **last = &f->gradients; !is_optimizer && ftc_syn_at_word(p, "gradient") &&
                                              ftc_syn_token_is(ftc_syn_peek_at(p, 1), FTC_TOKEN_MARK, "(");
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
static ftc_use_syntax **parse_use(ftc_parser *p, ftc_use_syntax **tail) {
    ftc_use_syntax *use = ftc_syn_new_node(p, sizeof *use);
    use->start = p->next[-1].start;
    use->place = ftc_syn_peek(p)->place;
    use->end = ftc_syn_peek(p)->end;
    use->file = ftc_syn_expect_string(p, "the name of a file in quotes");
    if (p->failed) return tail;
    *tail = use;
    return &use->next;
}

static void parse_items(ftc_parser *p) {
    ftc_function **functions = &p->module->functions, **optimizers = &p->module->optimizers;
    ftc_use_syntax **uses = &p->module->uses;
    ftc_stmt **tail = &p->module->body;
    while (p->next->kind != FTC_TOKEN_END) {
        const ftc_token *start = p->next;
        if (ftc_syn_accept_word(p, "model")) {
            if (p->module->model)
                FTC_SYN_FAIL(p, start->place, "the text names its model already: %s", p->module->model);
            p->module->model = ftc_syn_expect_name(p, "the name of the model");
        } else if (ftc_syn_accept_word(p, "use"))
            uses = parse_use(p, uses);
        else if (ftc_syn_accept_word(p, "config"))
            parse_settings(p, &p->module->config, CONFIG_BLOCK);
        else if (ftc_syn_accept_word(p, "family"))
            parse_settings(p, &p->module->family, FAMILY_BLOCK);
        else if (ftc_syn_accept_word(p, "train"))
            parse_settings(p, &p->module->train, TRAIN_BLOCK);
        else if (ftc_syn_accept_word(p, "fn"))
            parse_function(p, &functions, false);
        else if (ftc_syn_accept_word(p, "optimizer"))
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
        if (ftc_syn_at_mark(p, "}")) p->next++;
    }
}

ftc_module *ftc_parse_module(ftc_arena *arena, ftc_source source, ftc_diagnostics *d) {
    ftc_module *module = ftc_arena_alloc(arena, sizeof *module);
    module->source = source;
    ftc_parser p = {.arena = arena, .d = d, .module = module};
    p.tokens = p.next = ftc_lex(arena, &module->source, d);
    parse_items(&p);
    return module;
}
