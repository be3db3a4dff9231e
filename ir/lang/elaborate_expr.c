// Expressions: names, text, arithmetic on what is known now, and calls of primitives. What a primitive takes
// comes from its ftc_op_info alone: first operand, indexed axis, other operands, integer, number, dtype,
// declaration, then ';' and axes. Sugar and dumps are the same calls; a dump only leaves nothing out.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/build.h"
#include "ir/formula.h"
#include "ir/gradient.h"
#include "ir/lang/elaborator.h"
#include "ir/op.h"
#include "ir/recurrence.h"

static const ftc_value ERROR = {.kind = FTC_VALUE_ERROR};

static ftc_value number_value(double x) {
    return (ftc_value){.kind = FTC_VALUE_NUMBER, .number = x};
}

// --- conversions --------------------------------------------------------------------------------------

static const char *kind_text(const ftc_value *v) {
    static const char *const names[] = {"nothing",  "an error", "a number", "text",
                                        "a tensor", "a tensor", "axes"};
    return names[v->kind];
}

// A number, or an axis of constant extent as its size.
static bool as_number(const ftc_elaborator *e, const ftc_value *v, double *x) {
    if (v->kind == FTC_VALUE_NUMBER) {
        *x = v->number;
        return true;
    }
    if (v->kind != FTC_VALUE_AXES || v->axes.n != 1) return false;
    const ftc_extent_def *extent = ftc_axis_extent(e->g, v->axes.at[0]);
    if (extent->kind != FTC_EXTENT_CONST) return false;
    *x = (double)extent->bound;
    return true;
}

// Whether the value is another one in evaluation than in training and depends on nothing else.
static bool is_about_training(const ftc_graph *g, ftc_id id) {
    const ftc_node *node = ftc_graph_node(g, id);
    bool about = ftc_op_get(node->op)->of_entry;
    for (int i = 0; i < node->n_args; i++) about |= is_about_training(g, node->arg[i]);
    return about && !node->type.axes.n;
}

bool ftc_elab_number(ftc_elaborator *e, const ftc_expr *expr, const char *what, double *x) {
    ftc_value v = ftc_elab_expr(e, expr);
    if (v.kind == FTC_VALUE_ERROR) return false;
    if (as_number(e, &v, x)) return true;
    if (v.kind == FTC_VALUE_NODE && is_about_training(e->g, v.node))
        ftc_elab_error(e, expr->place,
                       "%s is the same in training and evaluation, which run one text; "
                       "choose between two values instead: select(training, A, B)",
                       what);
    else if (v.kind == FTC_VALUE_AXES && v.axes.n == 1)
        ftc_elab_error(e, expr->place, "%s is a number, but axis %s has no fixed size", what,
                       e->g->axes[v.axes.at[0]].name);
    else
        ftc_elab_error(e, expr->place, "%s is a number that is known when the model is compiled, not %s",
                       what, kind_text(&v));
    return false;
}

bool ftc_elab_whole(ftc_elaborator *e, const ftc_expr *expr, const char *what, int64_t low, int64_t high,
                    int64_t *x) {
    double number;
    if (!ftc_elab_number(e, expr, what, &number)) return false;
    if (number == floor(number) && number >= (double)low && number <= (double)high) {
        *x = (int64_t)number;
        return true;
    }
    ftc_elab_error(e, expr->place, "%s is a whole number from %lld to %lld, not %.9g", what, (long long)low,
                   (long long)high, number);
    return false;
}

// Replaces each {name} by the number or text that it stands for; {{ and }} are braces.
static bool interpolate(ftc_elaborator *e, const ftc_expr *expr, const char **text) {
    char out[FTC_ELAB_LONGEST_TEXT + 1];
    size_t n = 0;
    for (const char *p = expr->text; *p; p++) {
        char piece[FTC_ELAB_LONGEST_TEXT + 1] = {*p, 0};
        if ((*p == '{' || *p == '}') && p[1] == *p) {
            p++;
        } else if (*p == '{') {
            size_t length = strcspn(++p, "}");
            ftc_expr name = {.kind = FTC_EXPR_NAME, .place = expr->place, .height = 1};
            name.text = ftc_arena_strndup(e->arena, p, length);
            if (!p[length]) {
                ftc_elab_error(e, expr->place, "'{' without '}' in a string; write {{ for a brace");
                return false;
            }
            ftc_value v = ftc_elab_expr(e, &name);
            double number;
            if (v.kind == FTC_VALUE_ERROR) return false;
            if (v.kind == FTC_VALUE_TEXT)
                snprintf(piece, sizeof piece, "%s", v.text);
            else if (as_number(e, &v, &number))
                snprintf(piece, sizeof piece, "%.10g", number);
            else {
                ftc_elab_error(e, expr->place, "{%s} is neither a number nor text", name.text);
                return false;
            }
            p += length;
        }
        if (n + strlen(piece) > FTC_ELAB_LONGEST_TEXT) {
            ftc_elab_error(e, expr->place, "this text is longer than %d bytes", FTC_ELAB_LONGEST_TEXT);
            return false;
        }
        memcpy(out + n, piece, strlen(piece));
        n += strlen(piece);
    }
    *text = ftc_arena_strndup(e->arena, out, n);
    return true;
}

bool ftc_elab_text(ftc_elaborator *e, const ftc_expr *expr, const char **text) {
    ftc_value v = ftc_elab_expr(e, expr);
    if (v.kind == FTC_VALUE_ERROR) return false;
    if (v.kind == FTC_VALUE_TEXT) {
        *text = v.text;
        return true;
    }
    ftc_elab_error(e, expr->place, "text is needed here, not %s", kind_text(&v));
    return false;
}

// --- nodes --------------------------------------------------------------------------------------------

static ftc_node blank(ftc_op op) {
    ftc_node node = {.op = op, .axis = FTC_NO_AXIS, .to = FTC_NO_AXIS, .decl = FTC_NO_DECL};
    if (ftc_op_get(op)->attrs & FTC_ATTR_INDEX) node.index = -1;
    return node;
}

// f32[B <= 8, S ragged B <= 128, H = 128], in the arena.
static const char *type_text(ftc_elaborator *e, const ftc_type *type) {
    const ftc_graph *g = e->g;
    if (!type->axes.n) return ftc_dtype_name(type->dtype);
    char text[1000];
    int n = snprintf(text, sizeof text, "%s[", ftc_dtype_name(type->dtype));
    for (int i = 0; i < type->axes.n && n < (int)sizeof text - 1; i++) {
        const ftc_extent_def *x = ftc_axis_extent(g, type->axes.at[i]);
        const char *name = g->axes[type->axes.at[i]].name;
        n += snprintf(text + n, sizeof text - (size_t)n, i ? ", %s" : "%s", name);
        if (n >= (int)sizeof text - 1) break;
        if (x->kind == FTC_EXTENT_RAGGED)
            n += snprintf(text + n, sizeof text - (size_t)n, " ragged %s", g->axes[x->over].name);
        else
            n += snprintf(text + n, sizeof text - (size_t)n,
                          x->kind == FTC_EXTENT_CONST ? " = %lld" : " <= %lld", (long long)x->bound);
    }
    if (n > (int)sizeof text - 2) n = (int)sizeof text - 2;
    strcpy(text + n, "]");
    return ftc_arena_strdup(e->arena, text);
}

// Under an error: what the operands are and where they were made.
static void note_operands(ftc_elaborator *e, const ftc_node *node) {
    for (int i = 0; i < node->n_args; i++) {
        const ftc_node *arg = ftc_graph_node(e->g, node->arg[i]);
        bool here = e->main && arg->loc.line && arg->loc.file < e->g->n_files &&
                    arg->loc.file == e->g->cursor_loc.file;
        ftc_diag_note(e->d, here ? e->main->source.name : NULL, here ? e->main->source.text : NULL,
                      here ? (int)arg->loc.line : 0, 0, "operand %d is %s", i + 1, type_text(e, &arg->type));
    }
}

static bool within_limits(ftc_elaborator *e, const ftc_node *node, ftc_place place) {
    if (e->g->n_nodes >= FTC_ELAB_MAX_NODES) {
        if (!e->stopped) ftc_elab_error(e, place, "the model has more than %d nodes", FTC_ELAB_MAX_NODES);
        e->stopped = true;
        return false;
    }
    ftc_axes all = node->axes;
    for (int i = 0; i < node->n_args; i++) {
        const ftc_axes *axes = &ftc_graph_node(e->g, node->arg[i])->type.axes;
        for (int j = 0; j < axes->n; j++) {
            if (all.n == FTC_MAX_AXES && !ftc_axes_has(&all, axes->at[j])) {
                ftc_elab_error(e, place, "%s over more than %d axes", ftc_op_get(node->op)->name,
                               FTC_MAX_AXES);
                note_operands(e, node);
                return false;
            }
            ftc_axes_add(&all, axes->at[j]);
        }
    }
    return true;
}

static ftc_value append(ftc_elaborator *e, ftc_node node, ftc_place place) {
    char error[512] = "";
    if (!within_limits(e, &node, place)) return ERROR;
    ftc_elab_locate(e, place);
    node.kernel = e->kernel;
    ftc_id id = ftc_build_try(e->g, node, error, sizeof error);
    if (!id) {
        ftc_elab_error(e, place, "%s: %s", ftc_op_get(node.op)->name, error);
        note_operands(e, &node);
        return ERROR;
    }
    return (ftc_value){.kind = FTC_VALUE_NODE, .node = id};
}

static ftc_value leaf(ftc_elaborator *e, ftc_decl decl, ftc_place place) {
    static const ftc_op ops[] = {[FTC_DECL_PARAM] = FTC_OP_param,    [FTC_DECL_MOMENT] = FTC_OP_param,
                                 [FTC_DECL_GRADIENT] = FTC_OP_param, [FTC_DECL_TOUCHED] = FTC_OP_param,
                                 [FTC_DECL_INPUT] = FTC_OP_input,    [FTC_DECL_ARG] = FTC_OP_arg,
                                 [FTC_DECL_SCALAR] = FTC_OP_arg};
    ftc_id id = ftc_graph_leaf(e->g, decl);
    if (id) return (ftc_value){.kind = FTC_VALUE_NODE, .node = id};
    ftc_node node = blank(ops[e->g->decls[decl].kind]);
    node.decl = decl;
    ftc_value v = append(e, node, place);
    if (v.kind == FTC_VALUE_NODE) ftc_graph_node(e->g, v.node)->loc = e->g->decls[decl].loc;
    return v;
}

bool ftc_elab_as_node(ftc_elaborator *e, const ftc_value *v, ftc_place place, ftc_dtype dtype, ftc_id *id) {
    ftc_value node = *v;
    double number;
    if (v->kind == FTC_VALUE_DECL) {
        node = leaf(e, v->decl, place);
    } else if (as_number(e, v, &number)) {
        ftc_node constant = blank(FTC_OP_const);
        constant.value = number;
        constant.type.dtype = dtype;
        node = append(e, constant, place);
    } else if (v->kind == FTC_VALUE_AXES && v->axes.n == 1) {
        const char *name = e->g->axes[v->axes.at[0]].name;
        ftc_elab_error(e, place, "axis %s has no fixed size; as a tensor it is count(; %s)", name, name);
        return false;
    } else if (v->kind != FTC_VALUE_NODE && v->kind != FTC_VALUE_ERROR) {
        ftc_elab_error(e, place, "a tensor is needed here, not %s", kind_text(v));
        return false;
    }
    if (node.kind != FTC_VALUE_NODE) return false;
    *id = node.node;
    return true;
}

ftc_value ftc_elab_extern(ftc_elaborator *e, int n_args, const ftc_value *operands, const ftc_axes *axes,
                          const char *symbol, int64_t result, ftc_place place) {
    ftc_node node = blank(FTC_OP_extern);
    node.n_args = (uint8_t)n_args;
    node.axes = *axes;
    node.index = result;
    node.symbol = ftc_graph_add_symbol(e->g, symbol);
    for (int i = 0; i < n_args; i++)
        if (!ftc_elab_as_node(e, &operands[i], place, FTC_F32, &node.arg[i])) return ERROR;
    return append(e, node, place);
}

ftc_value ftc_elab_apply(ftc_elaborator *e, ftc_op op, int n_args, const ftc_value *operands,
                         ftc_place place) {
    ftc_node node = blank(op);
    node.n_args = (uint8_t)n_args;
    for (int i = 0; i < n_args; i++)
        if (!ftc_elab_as_node(e, &operands[i], place, FTC_F32, &node.arg[i])) return ERROR;
    return append(e, node, place);
}

// --- names --------------------------------------------------------------------------------------------

static void report_unknown(ftc_elaborator *e, const ftc_expr *expr) {
    enum { MOST = 500 };
    const char *known[MOST];
    int n = 0;
    for (uint32_t i = e->base; i < e->n_bindings && n < MOST; i++) known[n++] = e->bindings[i].name;
    for (uint32_t i = 0; i < e->g->n_config && n < MOST; i++) known[n++] = e->g->config[i].name;
    for (uint32_t i = 0; i < e->g->n_axes && n < MOST; i++) known[n++] = e->g->axes[i].name;
    const char *nearest = ftc_name_nearest(expr->text, known, n);
    const ftc_stmt *later = e->n_frames ? NULL : e->module->body;
    while (later && (later->kind != FTC_STMT_ASSIGN || strcmp(later->name, expr->text))) later = later->next;
    bool is_callers = false;
    for (uint32_t i = 0; i < e->base; i++) is_callers |= !strcmp(e->bindings[i].name, expr->text);
    if (later)
        ftc_elab_error(e, expr->place, "unknown name '%s': line %d sets it, which comes later", expr->text,
                       later->place.line);
    else if (is_callers)
        ftc_elab_error(e, expr->place,
                       "unknown name '%s'; a function sees its parameters, config entries and axes, not the "
                       "variables of its caller: give it as an argument",
                       expr->text);
    else if (nearest)
        ftc_elab_error(e, expr->place, "unknown name '%s'; did you mean '%s'?", expr->text, nearest);
    else
        ftc_elab_error(e, expr->place, "unknown name '%s'", expr->text);
}

static ftc_value eval_name(ftc_elaborator *e, const ftc_expr *expr) {
    const ftc_value *v = ftc_elab_find(e, expr->text);
    if (v) return *v;
    for (uint32_t i = 0; i < e->g->n_config; i++) {
        const ftc_graph_setting *s = &e->g->config[i];
        if (strcmp(s->name, expr->text)) continue;
        return s->text ? (ftc_value){.kind = FTC_VALUE_TEXT, .text = s->text} : number_value(s->number);
    }
    ftc_axis axis = ftc_graph_find_axis(e->g, expr->text);
    if (axis != FTC_NO_AXIS) return (ftc_value){.kind = FTC_VALUE_AXES, .axes = ftc_axes_of(axis)};
    if (!strcmp(expr->text, "inf")) return number_value(INFINITY);
    if (!strcmp(expr->text, "nan")) return number_value(NAN);
    if (!strcmp(expr->text, "true")) return number_value(1);
    if (!strcmp(expr->text, "false")) return number_value(0);
    if (!strcmp(expr->text, "training")) return append(e, blank(FTC_OP_training), expr->place);
    if (!strcmp(expr->text, "step"))
        return (ftc_value){.kind = FTC_VALUE_DECL, .decl = ftc_formula_declare_text(e->g, "step")};
    report_unknown(e, expr);
    return ERROR;
}

static ftc_value eval_label(ftc_elaborator *e, const ftc_expr *expr) {
    ftc_id node = expr->number < e->n_labels ? e->labels[(uint32_t)expr->number] : 0;
    if (node == FTC_FAULTY_LABEL) return ERROR;
    if (node) return (ftc_value){.kind = FTC_VALUE_NODE, .node = node};
    ftc_elab_error(e, expr->place, "there is no node %%%.0f before this one", expr->number);
    return ERROR;
}

// --- primitives ---------------------------------------------------------------------------------------

// The declaration that an argument names: in quotes, or by a value that reads it.
static bool eval_decl(ftc_elaborator *e, const ftc_expr *arg, ftc_decl *decl) {
    ftc_value v = ftc_elab_expr(e, arg);
    if (v.kind == FTC_VALUE_ERROR) return false;
    ftc_decl found = FTC_NO_DECL;
    if (v.kind == FTC_VALUE_TEXT)
        found = ftc_graph_find_decl(e->g, v.text);
    else if (v.kind == FTC_VALUE_DECL)
        found = v.decl;
    else if (v.kind == FTC_VALUE_NODE && ftc_node_class(ftc_graph_node(e->g, v.node)) == FTC_CLASS_LEAF)
        found = ftc_graph_node(e->g, v.node)->decl;
    if (found == FTC_NO_DECL) {
        if (v.kind == FTC_VALUE_TEXT)
            ftc_elab_error(e, arg->place, "nothing is declared as \"%s\"", v.text);
        else
            ftc_elab_error(e, arg->place, "this is not a parameter, input or argument");
        return false;
    }
    *decl = found;
    return true;
}

// The axes after ';'.
static bool eval_axes_section(ftc_elaborator *e, const ftc_expr *call, const ftc_op_info *info,
                              ftc_node *node) {
    int lists = 0;
    for (const ftc_axis_list *list = call->axes; list; list = list->next) lists++;
    if (info->attrs & FTC_ATTR_TO) {
        bool one_each = lists == 1 || lists == 2;
        for (const ftc_axis_list *list = call->axes; list; list = list->next)
            one_each &= list->items && !list->items->next;
        const ftc_axis_list *to = lists == 2 ? call->axes->next : call->axes;
        if (one_each)
            return ftc_elab_axis(e, call->axes->items, &node->axis) && ftc_elab_axis(e, to->items, &node->to);
    } else if (info->attrs & FTC_ATTR_AXES) {
        if (lists == 1) return ftc_elab_axes(e, call->axes->items, &node->axes);
        if (lists == 0 && info->attrs & FTC_ATTR_MAY_LACK_AXES) return true;
    } else if (lists == 0) {
        return true;
    }
    ftc_elab_error(e, call->place, "%s is written like this: %s", info->name, info->example);
    return false;
}

// Numbers among the operands become constants of the dtype that the others have.
static bool operands_to_nodes(ftc_elaborator *e, const ftc_value *operands, const ftc_expr *const *at,
                              ftc_node *node) {
    ftc_dtype dtype = FTC_F32;
    for (int i = 0; i < node->n_args; i++) {
        if (operands[i].kind == FTC_VALUE_ERROR) return false;
        const ftc_type *type = operands[i].kind == FTC_VALUE_NODE
                                   ? &ftc_graph_node(e->g, operands[i].node)->type
                               : operands[i].kind == FTC_VALUE_DECL ? &e->g->decls[operands[i].decl].type
                                                                    : NULL;
        if (type && type->dtype != FTC_BOOL) dtype = type->dtype;
    }
    for (int i = 0; i < node->n_args; i++)
        if (!ftc_elab_as_node(e, &operands[i], at[i]->place, dtype, &node->arg[i])) return false;
    return true;
}

// A map of numbers is a number.
static bool fold(const ftc_elaborator *e, const ftc_op_info *info, const ftc_value *operands,
                 ftc_value *result) {
    double x[FTC_MAX_ARGS];
    if (info->class != FTC_CLASS_MAP || !info->eval || (info->attrs & FTC_ATTR_DTYPE)) return false;
    for (int i = 0; i < info->n_args; i++)
        if (!as_number(e, &operands[i], &x[i])) return false;
    const ftc_map_types types = {FTC_F32, {FTC_F32, FTC_F32, FTC_F32}};
    *result = number_value(info->eval(&types, x));
    return true;
}

static bool eval_operand(ftc_elaborator *e, const ftc_expr *call, const ftc_op_info *info,
                         const ftc_expr **next, ftc_value *value, const ftc_expr **at) {
    if (!*next) {
        ftc_elab_error(e, call->place, "%s takes more operands: %s", info->name, info->example);
        return false;
    }
    *at = *next;
    *next = (*next)->next;
    *value = ftc_elab_expr(e, *at);
    return value->kind != FTC_VALUE_ERROR;
}

// Of an operation that takes any number: what the call has, less its attributes.
static uint8_t count_operands(const ftc_expr *call, const ftc_op_info *info) {
    int n = 0;
    for (const ftc_expr *arg = call->args; arg; arg = arg->next) n++;
    for (uint32_t attrs = info->attrs & (FTC_ATTR_INDEX | FTC_ATTR_SYMBOL); attrs; attrs &= attrs - 1) n--;
    return (uint8_t)(n < info->n_args ? info->n_args : n > FTC_MAX_ARGS ? FTC_MAX_ARGS : n);
}

static bool eval_symbol(ftc_elaborator *e, const ftc_expr *call, const ftc_op_info *info,
                        const ftc_expr **next, ftc_node *node) {
    const char *symbol;
    if (!*next) ftc_elab_error(e, call->place, "%s is written like this: %s", info->name, info->example);
    if (!*next || !ftc_elab_text(e, *next, &symbol)) return false;
    node->symbol = ftc_graph_add_symbol(e->g, symbol);
    *next = (*next)->next;
    return true;
}

static ftc_value eval_primitive(ftc_elaborator *e, const ftc_expr *call, ftc_op op) {
    const ftc_op_info *info = ftc_op_get(op);
    ftc_value operands[FTC_MAX_ARGS], result;
    const ftc_expr *at[FTC_MAX_ARGS], *next = call->args;
    ftc_node node = blank(op);
    node.n_args = info->variadic ? count_operands(call, info) : info->n_args;
    node.outer = call->outer;
    for (const ftc_expr *arg = call->args; arg; arg = arg->next)
        if (arg->keyword) {
            ftc_elab_error(e, arg->place, "%s has no parameter '%s'", info->name, arg->keyword);
            return ERROR;
        }
    if (node.n_args > 0 && !eval_operand(e, call, info, &next, &operands[0], &at[0])) return ERROR;
    if ((info->attrs & FTC_ATTR_AXIS) && !(info->attrs & FTC_ATTR_TO)) {
        if (!next || next->kind != FTC_EXPR_NAME) {
            ftc_elab_error(e, next ? next->place : call->place, "%s needs an axis: %s", info->name,
                           info->example);
            return ERROR;
        }
        const ftc_axis_item item = {.place = next->place, .name = next->text};
        if (!ftc_elab_axis(e, &item, &node.axis)) return ERROR;
        next = next->next;
    }
    for (int i = 1; i < node.n_args; i++)
        if (!eval_operand(e, call, info, &next, &operands[i], &at[i])) return ERROR;
    if (!call->outer && fold(e, info, operands, &result) && !next && !call->axes) return result;
    if (info->attrs & FTC_ATTR_SIGNED && !next) {
        ftc_elab_error(e, call->place, "%s needs a number: %s", info->name, info->example);
        return ERROR;
    }
    if ((info->attrs & FTC_ATTR_INDEX) && next) {
        int64_t least = info->attrs & FTC_ATTR_SIGNED ? -INT32_MAX : 0;
        if (!ftc_elab_whole(e, next, "this attribute", least, INT32_MAX, &node.index)) return ERROR;
        next = next->next;
    }
    if (info->attrs & FTC_ATTR_VALUE) {
        if (!next) ftc_elab_error(e, call->place, "%s needs a number: %s", info->name, info->example);
        if (!next || !ftc_elab_number(e, next, "the value", &node.value)) return ERROR;
        next = next->next;
    }
    if ((info->attrs & FTC_ATTR_DTYPE) && next) {
        if (next->kind != FTC_EXPR_NAME || !ftc_dtype_named(next->text, &node.type.dtype)) {
            ftc_elab_error(e, next->place, "expected f32, bf16, i32, u32 or bool");
            return ERROR;
        }
        next = next->next;
    }
    if (info->attrs & FTC_ATTR_DECL) {
        if (!next) ftc_elab_error(e, call->place, "%s is written like this: %s", info->name, info->example);
        if (!next || !eval_decl(e, next, &node.decl)) return ERROR;
        next = next->next;
    }
    if (info->attrs & FTC_ATTR_SYMBOL && !eval_symbol(e, call, info, &next, &node)) return ERROR;
    if (next) {
        ftc_elab_error(e, next->place, "%s does not take this: %s", info->name, info->example);
        return ERROR;
    }
    if (!eval_axes_section(e, call, info, &node) || !operands_to_nodes(e, operands, at, &node)) return ERROR;
    node.entries = (uint8_t)call->entries;
    if (op == FTC_OP_assign && !ftc_elab_check_assign(e, call, &node)) return ERROR;
    if (op == FTC_OP_updated && !ftc_elab_check_updated(e, call, &node)) return ERROR;
    if (op == FTC_OP_random || info->class == FTC_CLASS_BEFORE) {
        if (node.index < 0) node.index = e->g->next_site;
        if (node.index >= e->g->next_site) e->g->next_site = node.index + 1;
    }
    return append(e, node, call->place);
}

// --- what is known while compiling --------------------------------------------------------------------

// divides(heads, hidden): whether the second is a multiple of the first.
static ftc_value eval_divides(ftc_elaborator *e, const ftc_expr *call) {
    double divisor, number;
    if (!call->args || !call->args->next || call->args->next->next) {
        ftc_elab_error(e, call->place, "write divides(DIVISOR, NUMBER)");
        return ERROR;
    }
    if (!ftc_elab_number(e, call->args, "the divisor", &divisor) ||
        !ftc_elab_number(e, call->args->next, "the number", &number))
        return ERROR;
    return number_value(divisor != 0 && fmod(number, divisor) == 0);
}

// dims(p): the number of stored dimensions of a parameter.
static ftc_value eval_dims(ftc_elaborator *e, const ftc_expr *call) {
    ftc_decl decl;
    if (!call->args || call->args->next) {
        ftc_elab_error(e, call->place, "write dims(PARAMETER)");
        return ERROR;
    }
    if (!eval_decl(e, call->args, &decl)) return ERROR;
    return number_value(e->g->decls[decl].n_dims);
}

// ragged(; A, S): whether a sum over the axes may find nothing there, an axis being ragged.
static ftc_value eval_ragged(ftc_elaborator *e, const ftc_expr *call) {
    ftc_axes axes;
    if (call->args || !call->axes || call->axes->next) {
        ftc_elab_error(e, call->place, "write ragged(; AXES)");
        return ERROR;
    }
    if (!ftc_elab_axes(e, call->axes->items, &axes)) return ERROR;
    bool is_ragged = false;
    for (int i = 0; i < axes.n; i++) is_ragged |= ftc_axis_over(e->g, axes.at[i]) != FTC_NO_AXIS;
    return number_value(is_ragged);
}

// count(; A, S): the number of elements that a sum over these axes adds; a tensor where an axis is not
// constant.
static ftc_value eval_count(ftc_elaborator *e, const ftc_expr *call) {
    ftc_axes axes, counted = {0};
    if (call->args || !call->axes || call->axes->next) {
        ftc_elab_error(e, call->place, "write count(; AXES)");
        return ERROR;
    }
    if (!ftc_elab_axes(e, call->axes->items, &axes)) return ERROR;
    double known = 1;
    for (int i = 0; i < axes.n; i++) {
        const ftc_extent_def *x = ftc_axis_extent(e->g, axes.at[i]);
        if (x->kind == FTC_EXTENT_CONST)
            known *= (double)x->bound;
        else
            ftc_axes_add(&counted, axes.at[i]);
    }
    if (!counted.n) return number_value(known);
    ftc_node fill = blank(FTC_OP_fill), sum = blank(FTC_OP_sum);
    fill.value = known;
    fill.axes = counted;
    ftc_axis lone;
    while (!ftc_axes_ragged_complete(e->g, &fill.axes, &lone)) {
        if (fill.axes.n == FTC_MAX_AXES) {
            ftc_elab_error(e, call->place, "count over more than %d axes", FTC_MAX_AXES);
            return ERROR;
        }
        ftc_axes_add(&fill.axes, ftc_axis_over(e->g, lone));
    }
    fill.axes = ftc_axes_packed_order(e->g, &fill.axes);
    ftc_value ones = append(e, fill, call->place);
    if (ones.kind != FTC_VALUE_NODE) return ERROR;
    sum.axes = counted;
    sum.n_args = 1;
    sum.arg[0] = ones.node;
    return append(e, sum, call->place);
}

// --- gradients ----------------------------------------------------------------------------------------

// Of a call grad(y, x): the two values; false after a diagnostic.
static bool eval_grad_operands(ftc_elaborator *e, const ftc_expr *call, ftc_id *y, ftc_id *x) {
    const ftc_expr *of = call->args, *to = of ? of->next : NULL;
    if (!to || to->next || call->axes || of->keyword || to->keyword) {
        ftc_elab_error(e, call->place, "write grad(VALUE, WITH_RESPECT_TO)");
        return false;
    }
    ftc_value y_value = ftc_elab_expr(e, of), x_value = ftc_elab_expr(e, to);
    if (!ftc_elab_as_node(e, &x_value, to->place, FTC_F32, x) ||
        !ftc_elab_as_node(e, &y_value, of->place, FTC_F32, y))
        return false;
    for (int i = 0; i < 2; i++) {
        const ftc_type *type = &ftc_graph_node(e->g, i ? *x : *y)->type;
        if (type->dtype == FTC_F32) continue;
        ftc_elab_error(e, (i ? to : of)->place, "a gradient is of f32, by f32; this is %s",
                       type_text(e, type));
        return false;
    }
    return true;
}

// Whether the value is computed from a state that has no scan yet.
static bool is_in_open_recurrence(const ftc_graph *g, ftc_id y) {
    bool *needed = ftc_alloc(y + 1, sizeof *needed), open = false;
    ftc_recurrences r = ftc_recurrences_find(g);
    needed[y] = true;
    for (ftc_id id = y; id > 0; id--) {
        const ftc_node *node = ftc_graph_node(g, id);
        open |= needed[id] && ftc_node_class(node) == FTC_CLASS_BEFORE && !r.scan[id];
        for (int i = 0; i < node->n_args && needed[id]; i++) needed[node->arg[i]] = true;
    }
    ftc_recurrences_free(&r);
    free(needed);
    return open;
}

// grad(y, x): what the sum of y over all its cells changes by with each cell of x. It is appended here, as
// part of the forward phase, so that whatever follows sees values like others.
static ftc_value eval_grad(ftc_elaborator *e, const ftc_expr *call) {
    ftc_graph *g = e->g;
    ftc_id y, x;
    if (!eval_grad_operands(e, call, &y, &x)) return ERROR;
    if (is_in_open_recurrence(g, y)) {
        ftc_elab_error(e, call->args->place,
                       "this value depends on a state whose scan comes later: take gradients behind it");
        return ERROR;
    }
    const ftc_id end = g->n_nodes;
    bool *marked = ftc_alloc(end, sizeof *marked);
    marked[x] = true;
    bool *active = ftc_gradient_active(g, marked, end);
    ftc_value result = ERROR;
    if (active[y]) {
        const ftc_loc loc = g->cursor_loc;
        const ftc_phase phase = g->cursor_phase;
        ftc_id seed = ftc_build_fill(g, 1, FTC_F32, &ftc_graph_node(g, y)->type.axes);
        ftc_id *gradient = ftc_gradient_append(g, y, seed, active, end, phase);
        result = (ftc_value){.kind = FTC_VALUE_NODE, .node = gradient[x]};
        free(gradient);
        ftc_build_cursor(g, loc, phase);
    } else {
        ftc_elab_error(
            e, call->place,
            "the first value does not depend on the second, or only by what has no gradient (comparisons, "
            "integers, detach)");
    }
    free(active);
    free(marked);
    return result;
}

// --- calls --------------------------------------------------------------------------------------------

// The primitive of an infix operator; `swap` when the operands change places, `negate` when the result does.
static ftc_op infix_op(const char *symbol, bool *swap, bool *negate) {
    *swap = !strcmp(symbol, ">") || !strcmp(symbol, ">=");
    *negate = !strcmp(symbol, "!=");
    if (*swap) symbol = symbol[1] ? "<=" : "<";
    if (*negate) symbol = "==";
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++) {
        const ftc_op_info *info = ftc_op_get((ftc_op)op);
        if (info->symbol && info->n_args == 2 && !strcmp(info->symbol, symbol)) return (ftc_op)op;
    }
    return FTC_OP_NONE;
}

static ftc_value eval_infix(ftc_elaborator *e, const ftc_expr *call, ftc_op op, bool swap, bool negate) {
    const ftc_op_info *info = ftc_op_get(op);
    const ftc_expr *at[2] = {call->args, call->args->next};
    ftc_value operands[2], result;
    operands[0] = ftc_elab_expr(e, at[0]);
    if (operands[0].kind == FTC_VALUE_ERROR && e->n_frames) return ERROR;
    operands[1] = ftc_elab_expr(e, at[1]);
    if (operands[0].kind == FTC_VALUE_ERROR || operands[1].kind == FTC_VALUE_ERROR) return ERROR;
    if (operands[0].kind == FTC_VALUE_TEXT && operands[1].kind == FTC_VALUE_TEXT && op == FTC_OP_eq)
        return number_value(!strcmp(operands[0].text, operands[1].text) != negate);
    if (swap) {
        ftc_value v = operands[0];
        operands[0] = operands[1];
        operands[1] = v;
        at[0] = call->args->next;
        at[1] = call->args;
    }
    if (fold(e, info, operands, &result)) return number_value(negate ? !result.number : result.number);
    ftc_node node = blank(op);
    node.n_args = 2;
    node.outer = call->outer;
    if (!operands_to_nodes(e, operands, at, &node)) return ERROR;
    result = append(e, node, call->place);
    if (!negate || result.kind != FTC_VALUE_NODE) return result;
    ftc_node not = blank(FTC_OP_not);
    not.n_args = 1;
    not.arg[0] = result.node;
    return append(e, not, call->place);
}

// The model's own functions come before the library's, but not in the text of the library: what is called
// there does not change with the names of a model.
static const ftc_function *find_function(const ftc_elaborator *e, const char *name) {
    for (int i = e->module->library ? 0 : -1; i < e->n_library; i++) {
        const ftc_module *m = ftc_elab_module(e, i);
        for (const ftc_function *f = m ? m->functions : NULL; f; f = f->next)
            if (!strcmp(f->name, name)) return f;
    }
    return NULL;
}

// How a function of other languages is written here (docs/language.md, "How to say it"); NULL: by a name that
// is like its own, or not at all.
static const char *foreign_function(const char *name) {
    static const char *const known[][2] = {
        {"min", "-max(-x; AXIS)"},
        {"where", "select(CONDITION, x, y)"},
        {"masked_fill", "select(CONDITION, y, x)"},
        {"matmul", "dot(x, y; AXIS)"},
        {"bmm", "dot(x, y; AXIS)"},
        {"einsum", "dot(x, y; AXES)"},
        {"transpose", "x: axes have names and no order"},
        {"permute", "x: axes have names and no order"},
        {"reshape", "x: axes have names and no order"},
        {"view", "x: axes have names and no order"},
        {"squeeze", "at(x, AXIS, 0)"},
        {"unsqueeze", "x: a value is repeated along axes that it lacks"},
        {"argmax", "cast(x >= max(x; AXIS), f32), as one-hot"},
        {"one_hot", "cast(outer (label == index(AXIS)), f32)"},
        {"cumsum", "dot(cast(outer (index(T) <= index(S)), f32), rename(x; S -> T); T), or before and scan"},
        {"clamp", "minimum(maximum(x, LOW), HIGH)"},
        {"clip", "minimum(maximum(x, LOW), HIGH)"},
        {"var", "mean(x * x; AXIS) - mean(x; AXIS) * mean(x; AXIS)"},
        {"std", "the root of mean(x * x; AXIS) - mean(x; AXIS) * mean(x; AXIS)"},
        {"cat", "concat(x, y; A, B -> C)"},
        {"randn", "sqrt(-2 * log(1 - random(; AXES))) * cos(6.2831853 * random(; AXES))"},
        {"conv1d", "sums of dot(shift(x, n; S), W; FEATURES)"},
        {"lstm", "before and scan"},
        {"rnn", "before and scan"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i][0], name)) return known[i][1];
    return NULL;
}

static void report_unknown_function(ftc_elaborator *e, const ftc_expr *call) {
    enum { MOST = 500 };
    const char *known[MOST];
    int n = 0;
    for (int i = -1; i < e->n_library; i++) {
        const ftc_module *m = ftc_elab_module(e, i);
        for (const ftc_function *f = m ? m->functions : NULL; f && n < MOST; f = f->next)
            known[n++] = f->name;
    }
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT && n < MOST; op++)
        known[n++] = ftc_op_get((ftc_op)op)->name;
    const char *nearest = ftc_name_nearest(call->text, known, n), *here = foreign_function(call->text);
    if (here)
        ftc_elab_error(e, call->place, "unknown function '%s'; it is written %s", call->text, here);
    else if (nearest)
        ftc_elab_error(e, call->place, "unknown function '%s'; did you mean '%s'?", call->text, nearest);
    else
        ftc_elab_error(e, call->place, "unknown function '%s'", call->text);
}

static ftc_value eval_call(ftc_elaborator *e, const ftc_expr *call) {
    bool swap, negate;
    ftc_op op = infix_op(call->text, &swap, &negate);
    if (op && call->args && call->args->next && !call->args->next->next && !call->axes)
        return eval_infix(e, call, op, swap, negate);
    const ftc_function *f = find_function(e, call->text);
    if (f) return ftc_elab_function(e, f, call);
    if (!strcmp(call->text, "count")) return eval_count(e, call);
    if (!strcmp(call->text, "divides")) return eval_divides(e, call);
    if (!strcmp(call->text, "dims")) return eval_dims(e, call);
    if (!strcmp(call->text, "ragged")) return eval_ragged(e, call);
    if (!strcmp(call->text, "grad")) return eval_grad(e, call);
    if (!strcmp(call->text, "setting")) return ftc_elab_setting(e, call);
    if (!strcmp(call->text, "selected")) return ftc_elab_selected(e, call);
    op = ftc_op_find(call->text);
    if (op) return eval_primitive(e, call, op);
    report_unknown_function(e, call);
    return ERROR;
}

ftc_value ftc_elab_expr(ftc_elaborator *e, const ftc_expr *expr) {
    if (!ftc_elab_tick(e, expr->place)) return ERROR;
    ftc_value v = {.kind = FTC_VALUE_TEXT};
    switch (expr->kind) {
    case FTC_EXPR_NUMBER: return number_value(expr->number);
    case FTC_EXPR_STRING: return interpolate(e, expr, &v.text) ? v : ERROR;
    case FTC_EXPR_NAME: return eval_name(e, expr);
    case FTC_EXPR_LABEL: return eval_label(e, expr);
    case FTC_EXPR_CALL: return eval_call(e, expr);
    case FTC_EXPR_PARAM: return ftc_elab_decl(e, expr->decl);
    }
    return ERROR;
}

// --- nodes of dumps -----------------------------------------------------------------------------------

// The node of a label; FTC_FAULTY_LABEL after a diagnostic.
static ftc_id labelled_node(ftc_elaborator *e, const ftc_stmt *s) {
    ftc_op op = ftc_op_find(s->expr->text);
    if (!op) {
        ftc_elab_error(e, s->expr->place, "'%s' is not a primitive operation", s->expr->text);
        return FTC_FAULTY_LABEL;
    }
    ftc_graph *g = e->g;
    g->cursor_phase = s->node.phase;
    ftc_value v = eval_primitive(e, s->expr, op);
    ftc_type type;
    if (v.kind == FTC_VALUE_ERROR || !ftc_elab_type(e, &s->node.type, &type, NULL, NULL))
        return FTC_FAULTY_LABEL;
    if (v.kind != FTC_VALUE_NODE) {
        ftc_elab_error(e, s->place, "the operands of a labelled node are nodes");
        return FTC_FAULTY_LABEL;
    }
    ftc_node *node = ftc_graph_node(g, v.node);
    if (type.dtype != node->type.dtype || !ftc_axes_same_set(&type.axes, &node->type.axes)) {
        ftc_elab_error(e, s->node.type.place, "the operation gives %s", type_text(e, &node->type));
        return FTC_FAULTY_LABEL;
    }
    node->type = type; // the same axes, in the order of the text
    node->offset = (int64_t)s->node.offset;
    node->step = (uint16_t)s->node.step;
    node->kept = s->node.kept;
    node->loc = (ftc_loc){0};
    if (e->own_places)
        node->loc = (ftc_loc){0, (uint32_t)s->place.line};
    else if (s->node.loc_file)
        node->loc = (ftc_loc){(uint16_t)ftc_graph_add_file(g, s->node.loc_file), (uint32_t)s->node.loc_line};
    return v.node;
}

void ftc_elab_node(ftc_elaborator *e, const ftc_stmt *s) {
    enum { HIGHEST_LABEL = 16 * FTC_ELAB_MAX_NODES };
    if (s->node.label >= HIGHEST_LABEL) {
        ftc_elab_error(e, s->place, "labels end at %%%d", HIGHEST_LABEL - 1);
        return;
    }
    if (s->node.label < e->n_labels && e->labels[s->node.label]) {
        ftc_elab_error(e, s->place, "there is a node %%%u already", s->node.label);
        return;
    }
    ftc_id node = labelled_node(e, s);
    if (s->node.label >= e->n_labels) {
        uint32_t n = 2 * s->node.label + 64;
        ftc_id *labels = ftc_arena_alloc(e->arena, n * sizeof *labels);
        if (e->n_labels) memcpy(labels, e->labels, e->n_labels * sizeof *labels);
        e->labels = labels;
        e->n_labels = n;
    }
    e->labels[s->node.label] = node;
}
