#include "ir/lang/elaborate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/gradient.h"
#include "ir/lang/elaborator.h"
#include "ir/op.h"
#include "ir/recurrence.h"

// --- diagnostics --------------------------------------------------------------------------------------

enum { MOST_NOTES = 3 }; // calls between a place and the model

static void note(ftc_elaborator *e, const ftc_module *m, ftc_place place, const char *text,
                 const char *name) {
    ftc_diag_note(e->d, m->source.name, m->source.text, place.line, place.column, text, name);
}

void ftc_elab_error(ftc_elaborator *e, ftc_place place, const char *format, ...) {
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    // The first call, seen from the place of the error outward, that does not stand in a library file.
    int call = e->n_frames - 1;
    if (e->module->library)
        while (call >= 0 && e->frames[call].caller && e->frames[call].caller->library) call--;
    bool in_library = e->module->library && call >= 0 && e->frames[call].caller;
    if (in_library) {
        const ftc_frame *f = &e->frames[call];
        ftc_diag_add(e->d, f->caller->source.name, f->caller->source.text, f->place.line, f->place.column,
                     "in %s: %s", f->function->name, message);
        note(e, e->module, place, "it is here", NULL);
        call--;
    } else {
        ftc_diag_add(e->d, e->module->source.name, e->module->source.text, place.line, place.column, "%s",
                     message);
    }
    for (int shown = 0; call >= 0 && e->frames[call].caller; call--) {
        if (shown++ >= MOST_NOTES && call > 0) continue; // the outermost call is always shown
        note(e, e->frames[call].caller, e->frames[call].place, "%s is called here",
             e->frames[call].function->name);
    }
    if (e->d->count >= FTC_MAX_DIAGNOSTICS) e->stopped = true;
}

void ftc_elab_locate(ftc_elaborator *e, ftc_place place) {
    if (e->main && e->module == e->main) e->g->cursor_loc.line = (uint32_t)place.line;
}

bool ftc_elab_tick(ftc_elaborator *e, ftc_place place) {
    if (e->stopped) return false;
    if (++e->work <= FTC_ELAB_MAX_WORK) return true;
    e->stopped = true;
    ftc_elab_error(e, place, "this model takes more than %d steps to build; is a loop too long?",
                   FTC_ELAB_MAX_WORK);
    return false;
}

// --- variables ----------------------------------------------------------------------------------------

static ftc_binding *find(const ftc_elaborator *e, const char *name) {
    for (uint32_t i = e->n_bindings; i > e->base; i--)
        if (!strcmp(e->bindings[i - 1].name, name)) return &e->bindings[i - 1];
    return NULL;
}

const ftc_value *ftc_elab_find(const ftc_elaborator *e, const char *name) {
    const ftc_binding *b = find(e, name);
    return b ? &b->value : NULL;
}

static void push(ftc_elaborator *e, const char *name, ftc_value value) {
    if (e->n_bindings == e->bindings_capacity) {
        uint32_t capacity = e->bindings_capacity ? 2 * e->bindings_capacity : 64;
        ftc_binding *bindings = ftc_arena_alloc(e->arena, capacity * sizeof *bindings);
        if (e->n_bindings) memcpy(bindings, e->bindings, e->n_bindings * sizeof *bindings);
        e->bindings = bindings;
        e->bindings_capacity = capacity;
    }
    e->bindings[e->n_bindings++] = (ftc_binding){name, value};
}

void ftc_elab_bind(ftc_elaborator *e, const char *name, ftc_value value) {
    ftc_binding *b = find(e, name);
    if (b)
        b->value = value;
    else
        push(e, name, value);
}

// --- functions ----------------------------------------------------------------------------------------

static int count_parameters(const ftc_function *f) {
    int n = 0;
    for (const ftc_parameter *p = f->parameters; p; p = p->next) n++;
    return n;
}

static bool bind_arguments(ftc_elaborator *e, const ftc_function *f, const ftc_expr *call,
                           ftc_value values[FTC_ELAB_MAX_PARAMETERS]) {
    const ftc_expr *given[FTC_ELAB_MAX_PARAMETERS] = {0};
    const ftc_parameter *p = f->parameters;
    int i = 0, n = count_parameters(f);
    if (n > FTC_ELAB_MAX_PARAMETERS) {
        ftc_elab_error(e, call->place, "%s has more than %d parameters", f->name, FTC_ELAB_MAX_PARAMETERS);
        return false;
    }
    for (const ftc_expr *arg = call->args; arg; arg = arg->next, i++) {
        int at = i;
        if (arg->keyword) {
            at = 0;
            for (p = f->parameters; p && strcmp(p->name, arg->keyword); p = p->next) at++;
        }
        if (at >= n) {
            if (arg->keyword)
                ftc_elab_error(e, arg->place, "%s has no parameter '%s'", f->name, arg->keyword);
            else
                ftc_elab_error(e, arg->place, "%s takes %d arguments", f->name, n);
            return false;
        }
        if (given[at]) {
            ftc_elab_error(e, arg->place, "this parameter of %s is given twice", f->name);
            return false;
        }
        given[at] = arg;
    }
    bool ok = true;
    for (i = 0, p = f->parameters; p; p = p->next, i++) {
        if (!given[i] && !p->value) {
            ftc_elab_error(e, call->place, "%s needs its argument '%s'", f->name, p->name);
            return false;
        }
        values[i] = ftc_elab_expr(e, given[i] ? given[i] : p->value);
        ok &= values[i].kind != FTC_VALUE_ERROR;
        if (!ok && e->n_frames) return false;
    }
    return ok;
}

// The axes of a group with several names, of which two may stand for one axis: concat(x, y; A, A -> C). The
// first FTC_MAX_AXES of them in *axes.
static bool each_axis(ftc_elaborator *e, const ftc_axis_item *items, ftc_axes *axes, int *n) {
    *axes = (ftc_axes){0};
    *n = 0;
    for (const ftc_axis_item *item = items; item; item = item->next) {
        const ftc_axis_item lone = {.name = item->name, .value = item->value, .place = item->place};
        ftc_axes more;
        if (!ftc_elab_axes(e, &lone, &more)) return false;
        for (int i = 0; i < more.n; i++, ++*n)
            if (axes->n < FTC_MAX_AXES) axes->at[axes->n++] = more.at[i];
    }
    return true;
}

// A group of axis parameters with one name takes all axes of the call's group; with several names, one axis
// each. Returns the number of names, -1 after a diagnostic.
static int bind_axes(ftc_elaborator *e, const ftc_function *f, const ftc_expr *call,
                     ftc_binding bound[FTC_ELAB_MAX_PARAMETERS]) {
    const ftc_axis_list *given = call->axes;
    int total = 0;
    for (const ftc_axis_list *list = f->axes; list && given; list = list->next, given = given->next) {
        ftc_axes axes;
        int n = 0, n_given;
        for (const ftc_axis_item *item = list->items; item; item = item->next) n++;
        if (n == 1 ? !ftc_elab_axes(e, given->items, &axes) : !each_axis(e, given->items, &axes, &n_given))
            return -1;
        if (n == 1) n_given = axes.n;
        if (n == 1 ? n_given == 0 : n_given != n) {
            ftc_elab_error(e, given->items ? given->items->place : call->place, "%s takes %d %s here, not %d",
                           f->name, n, n == 1 ? "or more axes" : "axes", n_given);
            return -1;
        }
        int i = 0;
        for (const ftc_axis_item *item = list->items; item; item = item->next, i++) {
            if (total == FTC_ELAB_MAX_PARAMETERS) {
                ftc_elab_error(e, call->place, "%s has more than %d axis parameters", f->name,
                               FTC_ELAB_MAX_PARAMETERS);
                return -1;
            }
            bound[total++] = (ftc_binding){
                item->name, {.kind = FTC_VALUE_AXES, .axes = n == 1 ? axes : ftc_axes_of(axes.at[i])}};
        }
    }
    int lists[2] = {0};
    for (const ftc_axis_list *list = f->axes; list; list = list->next) lists[0]++;
    for (const ftc_axis_list *list = call->axes; list; list = list->next) lists[1]++;
    if (lists[0] == lists[1]) return total;
    if (lists[0] == 0)
        ftc_elab_error(e, call->place, "%s takes no axes", f->name);
    else if (lists[0] == 1)
        ftc_elab_error(e, call->place, "%s takes axes after ';': %s(…; A)", f->name, f->name);
    else
        ftc_elab_error(e, call->place, "%s takes axes after ';' with an arrow: %s(…; A -> B)", f->name,
                       f->name);
    return -1;
}

// Elaborates the body with the parameters bound. The frame's bindings start at `base`.
static ftc_value run_body(ftc_elaborator *e, const ftc_function *f, ftc_place place, uint32_t base) {
    const ftc_module *caller = e->module;
    uint32_t callers_base = e->base;
    e->frames[e->n_frames++] = (ftc_frame){f, caller, place};
    e->module = f->module;
    e->base = base;
    e->result = (ftc_value){.kind = FTC_VALUE_NONE};
    e->returned = false;
    int errors = e->d->count;
    ftc_elab_block(e, f->body);
    ftc_value result = e->result;
    if (e->d->count != errors || e->stopped) result.kind = FTC_VALUE_ERROR;
    e->returned = false;
    e->module = caller;
    e->base = callers_base;
    e->n_bindings = base;
    e->n_frames--;
    return result;
}

// Makes the parameters of a function visible; returns where its bindings start.
static uint32_t push_arguments(ftc_elaborator *e, const ftc_function *f, const ftc_binding *axes, int n_axes,
                               const ftc_value *values) {
    uint32_t base = e->n_bindings;
    for (int i = 0; i < n_axes; i++) push(e, axes[i].name, axes[i].value);
    for (const ftc_parameter *p = f->parameters; p; p = p->next) push(e, p->name, *values++);
    return base;
}

// --- kernels ------------------------------------------------------------------------------------------

// What a function whose text says `extern` passes to its kernel.
typedef struct {
    ftc_value at[FTC_MAX_ARGS]; // [n] the first one: the meaning
    int n;
    ftc_axes axes; // of the call
} kernel_operands;

static bool add_operand(ftc_elaborator *e, const ftc_function *text, uint32_t base, const char *name,
                        kernel_operands *operands) {
    uint32_t i = e->n_bindings;
    while (i > base && strcmp(e->bindings[i - 1].name, name)) i--;
    if (i == base) {
        ftc_elab_error(e, text->place, "kernel %s: %s has no parameter '%s'", text->symbol, text->name, name);
    } else if (operands->n == FTC_MAX_ARGS) {
        ftc_elab_error(e, text->place,
                       "kernel %s: a kernel takes at most %d operands; name those that it reads: "
                       "extern \"%s\" (x, w)",
                       text->symbol, FTC_MAX_ARGS - 1, text->symbol);
    } else {
        operands->at[operands->n++] = e->bindings[i - 1].value;
        return true;
    }
    return false;
}

static bool check_symbol(ftc_elaborator *e, const ftc_function *text) {
    const char *s = text->symbol;
    size_t length = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (length && !s[length] && !(*s >= '0' && *s <= '9') && strncmp(s, "ftc_", 4)) return true;
    ftc_elab_error(e, text->place, "'%s' is not the name of a C function, or begins with ftc_", s);
    return false;
}

// Those of `text`, which is f or gradient text of it, whose parameters are bound from `base` on.
static bool find_operands(ftc_elaborator *e, const ftc_function *f, const ftc_function *text, uint32_t base,
                          kernel_operands *operands) {
    operands->n = 1;
    bool ok = !text->symbol || check_symbol(e, text);
    for (const ftc_expr *x = text->operands; x && ok; x = x->next)
        ok = add_operand(e, text, base, x->kind == FTC_EXPR_NAME ? x->text : "…", operands);
    if (!text->symbol || text->operands) return ok;
    for (const ftc_parameter *p = f->parameters; p && ok; p = p->next)
        ok = add_operand(e, text, base, p->name, operands);
    for (const ftc_parameter *p = text->parameters; p && ok && text != f; p = p->next)
        ok = add_operand(e, text, base, p->name, operands);
    return ok;
}

// What the text returned, as the result of its kernel where it has one. Gradient texts of one kernel are its
// results 0, 1, … in their order.
static ftc_value by_kernel(ftc_elaborator *e, const ftc_function *f, const ftc_function *text,
                           ftc_place place, kernel_operands *operands, ftc_value meaning) {
    if (!text->symbol || meaning.kind == FTC_VALUE_ERROR) return meaning;
    int64_t result = 0;
    for (const ftc_function *other = f->gradients; other && text != f && other != text; other = other->next)
        result += other->symbol && !strcmp(other->symbol, text->symbol);
    operands->at[0] = meaning;
    return ftc_elab_extern(e, operands->n, operands->at, &operands->axes, text->symbol, result, place);
}

// The gradient of x over the axes of x alone: what a kernel is to compute.
static ftc_value summed_as(ftc_elaborator *e, ftc_value gradient, const ftc_value *x, ftc_place place) {
    ftc_id from, to;
    if (gradient.kind == FTC_VALUE_ERROR || !ftc_elab_as_node(e, &gradient, place, FTC_F32, &from) ||
        !ftc_elab_as_node(e, x, place, FTC_F32, &to))
        return (ftc_value){.kind = FTC_VALUE_ERROR};
    ftc_axes repeated = ftc_axes_minus(&e->g->nodes[from].type.axes, &e->g->nodes[to].type.axes);
    return (ftc_value){.kind = FTC_VALUE_NODE, .node = ftc_build_sum(e->g, from, &repeated)};
}

// Gives `result` the gradient for one parameter of its function f that the gradient text returns; dy is
// upstream of its value. The function's parameters are bound from `base` on.
static ftc_value with_gradient(ftc_elaborator *e, const ftc_function *f, const ftc_function *gradient,
                               ftc_place place, uint32_t base, const ftc_axes *axes, ftc_value dy,
                               ftc_value result) {
    const ftc_value failed = {.kind = FTC_VALUE_ERROR};
    ftc_value operands[] = {result, {0}, {0}};
    for (uint32_t i = base; i < e->n_bindings; i++)
        if (!strcmp(e->bindings[i].name, gradient->of)) operands[1] = e->bindings[i].value;
    bool is_number = operands[1].kind != FTC_VALUE_NODE && operands[1].kind != FTC_VALUE_DECL;
    if (is_number) { // it has no gradient
        e->n_bindings = base;
        return result;
    }
    push(e, gradient->parameters->name,
         (ftc_value){.kind = FTC_VALUE_NODE, .node = e->g->nodes[dy.node].arg[0]});
    push(e, gradient->parameters->next->name, dy);
    kernel_operands passed = {.axes = *axes};
    if (!find_operands(e, f, gradient, base, &passed)) return failed;
    e->in_gradient = true;
    operands[2] = run_body(e, gradient, place, base);
    e->in_gradient = false;
    if (gradient->symbol) operands[2] = summed_as(e, operands[2], &operands[1], place);
    operands[2] = by_kernel(e, f, gradient, place, &passed, operands[2]);
    const ftc_module *caller = e->module;
    e->frames[e->n_frames++] = (ftc_frame){gradient, caller, place};
    e->module = gradient->module;
    result = ftc_elab_apply(e, FTC_OP_own_gradient, 3, operands, gradient->place);
    e->module = caller;
    e->n_frames--;
    return result;
}

// Whether the function has declared no parameter since there were `n_decls`: nothing passes it to its kernel,
// and no gradient text is there for it.
static bool check_no_params(ftc_elaborator *e, const ftc_function *f, ftc_place place, uint32_t n_decls) {
    for (uint32_t i = n_decls; i < e->g->n_decls; i++) {
        if (e->g->decls[i].kind != FTC_DECL_PARAM) continue;
        ftc_elab_error(e, place,
                       f->symbol ? "%s has a kernel, which is not given \"%s\"; make that an argument"
                                 : "%s has gradient text, which gives none for \"%s\"; make that an argument",
                       f->name, e->g->decls[i].name);
        return false;
    }
    return true;
}

ftc_value ftc_elab_function(ftc_elaborator *e, const ftc_function *f, const ftc_expr *call) {
    const ftc_value failed = {.kind = FTC_VALUE_ERROR};
    ftc_value values[FTC_ELAB_MAX_PARAMETERS];
    if (e->n_frames == FTC_ELAB_DEEPEST_CALL) {
        ftc_elab_error(
            e, call->place,
            "calls are nested more than %d deep; a call is replaced by the function's body, so one that "
            "calls itself never ends",
            FTC_ELAB_DEEPEST_CALL);
        return failed;
    }
    if (call->outer) {
        ftc_elab_error(e, call->place, "`outer` marks a primitive operation, and %s is a function", f->name);
        return failed;
    }
    ftc_binding axes[FTC_ELAB_MAX_PARAMETERS];
    int n_axes = bind_arguments(e, f, call, values) ? bind_axes(e, f, call, axes) : -1;
    if (n_axes < 0) return failed;
    uint32_t base = push_arguments(e, f, axes, n_axes, values);
    ftc_elab_locate(e, call->place);
    const uint32_t n_decls = e->g->n_decls;
    kernel_operands passed = {0};
    for (int i = 0; i < n_axes; i++)
        for (int k = 0; k < axes[i].value.axes.n && passed.axes.n < FTC_MAX_AXES; k++)
            ftc_axes_add(&passed.axes, axes[i].value.axes.at[k]);
    if (!find_operands(e, f, f, base, &passed)) return failed;
    ftc_value result = by_kernel(e, f, f, call->place, &passed, run_body(e, f, call->place, base));
    if (f->symbol && !check_no_params(e, f, call->place, n_decls)) return failed;
    // Nothing differentiates gradient text.
    if (!f->gradients || e->in_gradient || (result.kind != FTC_VALUE_NODE && result.kind != FTC_VALUE_DECL))
        return result;
    result = ftc_elab_apply(e, FTC_OP_detach, 1, &result, call->place);
    const ftc_value dy = ftc_elab_apply(e, FTC_OP_upstream, 1, &result, call->place);
    if (dy.kind != FTC_VALUE_NODE) return failed;
    for (const ftc_function *gradient = f->gradients; gradient; gradient = gradient->next) {
        push_arguments(e, f, axes, n_axes, values);
        result = with_gradient(e, f, gradient, call->place, base, &passed.axes, dy, result);
    }
    return check_no_params(e, f, call->place, n_decls) ? result : failed;
}

// --- statements ---------------------------------------------------------------------------------------

static void elab_assign(ftc_elaborator *e, const ftc_stmt *s) {
    ftc_value v = ftc_elab_expr(e, s->expr);
    if (v.kind == FTC_VALUE_NONE) {
        ftc_elab_error(e, s->expr->place, "this returns nothing");
        v.kind = FTC_VALUE_ERROR;
    }
    ftc_elab_bind(e, s->name, v);
}

static void elab_scope(ftc_elaborator *e, const ftc_stmt *s) {
    const char *outer = e->prefix, *name;
    const bool was_shared = e->is_shared;
    if (!ftc_elab_text(e, s->last, &name)) return;
    if (strlen(outer) + strlen(name) + 1 > FTC_ELAB_LONGEST_TEXT) {
        ftc_elab_error(e, s->place, "this prefix is longer than %d bytes", FTC_ELAB_LONGEST_TEXT);
        return;
    }
    e->is_shared |= s->is_shared;
    e->prefix = *outer && *name ? ftc_graph_format(e->g, "%s.%s", outer, name) : *outer ? outer : name;
    ftc_elab_block(e, s->body);
    e->prefix = outer;
    e->is_shared = was_shared;
}

static void elab_for(ftc_elaborator *e, const ftc_stmt *s) {
    int64_t first, last;
    if (!ftc_elab_whole(e, s->expr, "the first value of a loop", INT32_MIN, INT32_MAX, &first) ||
        !ftc_elab_whole(e, s->last, "the end of a loop", INT32_MIN, INT32_MAX, &last))
        return;
    int errors = e->d->count; // one error would be repeated in every round
    for (int64_t i = first; i < last && e->d->count == errors && !e->returned; i++) {
        if (!ftc_elab_tick(e, s->place)) return;
        ftc_elab_bind(e, s->name, (ftc_value){.kind = FTC_VALUE_NUMBER, .number = (double)i});
        ftc_elab_block(e, s->body);
    }
}

static void elab_check(ftc_elaborator *e, const ftc_stmt *s) {
    double holds;
    const char *message;
    if (ftc_elab_number(e, s->expr, "a condition", &holds) && !holds && ftc_elab_text(e, s->last, &message))
        ftc_elab_error(e, s->place, "%s", message);
}

static void elab_statement(ftc_elaborator *e, const ftc_stmt *s) {
    double condition;
    ftc_value v;
    switch (s->kind) {
    case FTC_STMT_AXIS: ftc_elab_axis_statement(e, s); return;
    case FTC_STMT_DECL: ftc_elab_decl(e, s->decl); return;
    case FTC_STMT_INIT: ftc_elab_init(e, s->decl, &e->init, &e->init_scale); return;
    case FTC_STMT_ASSIGN: elab_assign(e, s); return;
    case FTC_STMT_CALL: ftc_elab_expr(e, s->expr); return;
    case FTC_STMT_SCOPE: elab_scope(e, s); return;
    case FTC_STMT_FOR: elab_for(e, s); return;
    case FTC_STMT_IF:
        if (ftc_elab_number(e, s->expr, "a condition", &condition))
            ftc_elab_block(e, condition ? s->body : s->other);
        return;
    case FTC_STMT_CHECK: elab_check(e, s); return;
    case FTC_STMT_FREEZE: ftc_elab_freeze(e, s); return;
    case FTC_STMT_RETURN:
        if (!e->n_frames) ftc_elab_error(e, s->place, "`return` stands in a function");
        v = ftc_elab_expr(e, s->expr);
        e->result = v;
        e->returned = e->n_frames > 0;
        return;
    case FTC_STMT_OUTPUT: ftc_elab_output(e, s); return;
    case FTC_STMT_STATE: ftc_elab_state(e, s); return;
    case FTC_STMT_NODE: ftc_elab_node(e, s); return;
    case FTC_STMT_KERNEL: ftc_elab_kernel(e, s); return;
    case FTC_STMT_STAGE:
        e->g->stage = ftc_graph_string(e->g, s->name);
        e->g->stage_of = s->stage_of;
        return;
    case FTC_STMT_SITES: e->g->next_site = (int64_t)s->sites; return;
    case FTC_STMT_MEMORY:
        e->g->arena_bytes = (int64_t)s->memory.arena;
        e->g->scratch_bytes = (int64_t)s->memory.scratch;
        e->g->peak_live_bytes = (int64_t)s->memory.peak;
        return;
    }
}

// In a function the first error ends it: what follows would repeat in every call.
void ftc_elab_block(ftc_elaborator *e, const ftc_stmt *s) {
    int errors = e->d->count;
    for (; s && !e->returned && ftc_elab_tick(e, s->place); s = s->next) {
        elab_statement(e, s);
        if (e->n_frames && e->d->count != errors) return;
    }
}

// --- modules ------------------------------------------------------------------------------------------

static void load_library(ftc_elaborator *e) {
    while (ftc_library_files[e->n_library].name) e->n_library++;
    e->library = ftc_arena_alloc(e->arena, (size_t)e->n_library * sizeof *e->library);
    for (int i = 0; i < e->n_library; i++) {
        const ftc_library_file *file = &ftc_library_files[i];
        ftc_module *m = ftc_parse_module(e->arena, (ftc_source){file->name, file->text}, e->d);
        m->library = true;
        e->library[i] = m;
    }
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void check_functions(ftc_elaborator *e) {
    for (const ftc_function *f = e->main->functions; f; f = f->next)
        for (const ftc_function *earlier = e->main->functions; earlier != f; earlier = earlier->next)
            if (!strcmp(earlier->name, f->name))
                ftc_elab_error(e, f->place, "there is a function '%s' already", f->name);
}

static bool is_called(const ftc_function *optimizer, const char *name) {
    bool found = !strcmp(optimizer->name, name);
    for (const ftc_expr *other = optimizer->also; other; other = other->next)
        found |= !strcmp(other->text, name);
    return found;
}

// The functions that the pass `optimizer` calls by name.
static bool is_called_by_pass(const char *name) {
    static const char *const names[] = {"learning_rate", "weight_decay_of", "accumulate", "clip_factor"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

// The functions and optimizers of a module that the pass may call, or NULL: its text, where all else is
// blank.
static const char *functions_text(const ftc_module *m, ftc_arena *arena) {
    bool needed = m->optimizers != NULL;
    for (const ftc_function *f = m->functions; f; f = f->next) needed |= is_called_by_pass(f->name);
    if (!needed) return NULL;
    char *text = ftc_arena_strdup(arena, m->source.text);
    for (char *c = text; *c; c++)
        if (*c != '\n') *c = ' ';
    const ftc_function *const lists[] = {m->functions, m->optimizers};
    for (int i = 0; i < 2; i++)
        for (const ftc_function *f = lists[i]; f; f = f->next)
            memcpy(text + f->start, m->source.text + f->start, f->end - f->start);
    return text;
}

// A function of the model that has the name of the optimizer it trains with is meant to be that.
static void check_optimizers(ftc_elaborator *e) {
    const char *name = "adamw";
    for (uint32_t i = 0; i < e->g->n_train; i++)
        if (!strcmp(e->g->train[i].name, "optimizer") && e->g->train[i].text) name = e->g->train[i].text;
    for (const ftc_function *f = e->main->optimizers; f; f = f->next) {
        if (is_called(f, name)) name = "";
        for (const ftc_function *earlier = e->main->optimizers; earlier != f; earlier = earlier->next)
            if (is_called(earlier, f->name))
                ftc_elab_error(e, f->place, "there is an optimizer '%s' already", f->name);
    }
    for (const ftc_function *f = e->main->functions; f; f = f->next)
        if (!strcmp(f->name, name))
            ftc_elab_error(
                e, f->place,
                "a function is no optimizer, and '%s' would be the library's; write optimizer %s(p, g, "
                "rate, decay) { state … }, or give the function another name",
                name, name);
}

// Declarations that nothing reads have a leaf too.
static void append_unused_leaves(ftc_elaborator *e) {
    const ftc_graph *g = e->g;
    bool *read = ftc_arena_alloc(e->arena, g->n_decls + 1);
    for (ftc_id id = 1; id < g->n_nodes; id++)
        if (ftc_node_class(&g->nodes[id]) == FTC_CLASS_LEAF) read[g->nodes[id].decl] = true;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_value v = {.kind = FTC_VALUE_DECL, .decl = (ftc_decl)i};
        ftc_id leaf;
        if (!read[i]) ftc_elab_as_node(e, &v, (ftc_place){0}, FTC_F32, &leaf);
    }
}

// A model with parameters, of which the loss depends on none, would be trained to no end.
static void check_loss_depends(ftc_elaborator *e) {
    const ftc_graph *g = e->g;
    const ftc_output *loss = ftc_graph_find_output(g, FTC_OUTPUT_LOSS);
    bool *trained = ftc_alloc(g->n_nodes, sizeof *trained), any = false;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        const ftc_decl_def *decl = ftc_node_class(node) == FTC_CLASS_LEAF ? &g->decls[node->decl] : NULL;
        trained[id] = decl && decl->kind == FTC_DECL_PARAM && !decl->frozen;
        any |= trained[id];
    }
    bool *active = ftc_gradient_active(g, trained, g->n_nodes);
    if (loss && any && !active[loss->node])
        ftc_diag_add(e->d, e->main->source.name, e->main->source.text,
                     ftc_model_line(&ftc_graph_node(g, loss->node)->loc), 0,
                     "the loss depends on no parameter that is trained, or only by what has no gradient "
                     "(comparisons, integers, detach)");
    free(trained);
    free(active);
}

static void report_recurrence(void *context, ftc_id wrong, const char *message) {
    const ftc_elaborator *e = context;
    const ftc_node *node = ftc_graph_node(e->g, wrong);
    ftc_diag_add(e->d, e->main->source.name, e->main->source.text, ftc_model_line(&node->loc), 0, "%s: %s",
                 ftc_op_get(node->op)->name, message);
}

// Positions of a recurrence see each other through states that have scans.
static void check_recurrences(ftc_elaborator *e) {
    ftc_recurrences r = ftc_recurrences_find(e->g);
    ftc_recurrences_check(e->g, &r, report_recurrence, e);
    ftc_recurrences_free(&r);
}

// The graph of a module. NULL after diagnostics.
static ftc_graph *elaborate(const ftc_module *module, const ftc_settings *overrides, bool own_places,
                            ftc_diagnostics *d) {
    int errors = d->count;
    ftc_elaborator e = {.d = d, .main = module, .module = module, .prefix = "", .arena = ftc_arena_new()};
    e.init = FTC_INIT_NORMAL;
    e.init_scale = 0.02;
    e.own_places = own_places && module->flat;
    e.g = ftc_graph_new(module->model ? module->model : "");
    ftc_build_cursor(e.g, (ftc_loc){0}, FTC_PHASE_FORWARD);
    if (module->uses)
        ftc_diag_add(d, module->source.name, module->source.text, module->uses->place.line,
                     module->uses->place.column, "another text can only be used from a file");
    else if (!module->model)
        ftc_diag_add(d, module->source.name, NULL, 0, 0,
                     "the text names no model; begin it with: model NAME");
    if (e.own_places) ftc_graph_add_file(e.g, module->source.name);
    if (!module->flat) {
        e.g->cursor_loc.file = (uint16_t)ftc_graph_add_file(e.g, base_name(module->source.name));
        load_library(&e);
    }
    ftc_elab_family(&e, overrides);
    ftc_elab_settings(&e, overrides);
    check_functions(&e);
    check_optimizers(&e);
    const char *functions = functions_text(module, e.arena);
    e.g->functions = ftc_graph_string(e.g, functions);
    e.g->functions_file = functions ? ftc_graph_string(e.g, module->source.name) : NULL;
    ftc_elab_block(&e, module->body);
    ftc_elab_settle_frozen(&e);
    if (d->count == errors && !module->flat) append_unused_leaves(&e);
    if (d->count == errors && !module->flat) check_recurrences(&e);
    if (d->count == errors && !module->flat) check_loss_depends(&e);
    if (d->count == errors && !module->flat) ftc_elab_check_family(&e);
    if (d->count == errors && !module->flat) ftc_elab_check_selected(&e);
    if (d->count == errors && !module->flat && !e.g->n_outputs)
        ftc_diag_add(d, module->source.name, NULL, 0, 0, "the model has no output; end it with: output loss");
    ftc_build_cursor(e.g, (ftc_loc){0}, FTC_PHASE_FORWARD);
    ftc_arena_free(e.arena);
    if (d->count == errors) return e.g;
    ftc_graph_free(e.g);
    return NULL;
}

static ftc_graph *parse(const char *name, const char *text, const ftc_settings *overrides, bool own_places,
                        ftc_diagnostics *d) {
    int errors = d->count;
    ftc_arena *arena = ftc_arena_new();
    const ftc_module *module = ftc_parse_module(arena, (ftc_source){name, text}, d);
    ftc_graph *g = d->count == errors ? elaborate(module, overrides, own_places, d) : NULL;
    ftc_arena_free(arena);
    return g;
}

ftc_graph *ftc_parse_text(const char *name, const char *text, const ftc_settings *overrides,
                          ftc_diagnostics *d) {
    return parse(name, text, overrides, false, d);
}

ftc_graph *ftc_parse_dump(const char *name, const char *text, ftc_diagnostics *d) {
    return parse(name, text, NULL, true, d);
}

ftc_graph *ftc_parse_file(const char *path, const ftc_settings *overrides, ftc_diagnostics *d) {
    char *name, *text = ftc_parse_read_model(path, NULL, &name, d);
    if (!text) return NULL;
    ftc_graph *g = ftc_parse_text(name, text, overrides, d);
    free(text);
    free(name);
    return g;
}

// --- the library for passes ---------------------------------------------------------------------------

struct ftc_library {
    ftc_elaborator e;
};

ftc_library *ftc_library_open(ftc_graph *g, ftc_diagnostics *d) {
    ftc_arena *arena = ftc_arena_new();
    ftc_library *library = ftc_arena_alloc(arena, sizeof *library);
    library->e = (ftc_elaborator){.g = g, .d = d, .prefix = "", .arena = arena};
    load_library(&library->e);
    if (g->functions)
        library->e.own = ftc_parse_module(arena, (ftc_source){g->functions_file, g->functions}, d);
    return library;
}

// Calls a function or an optimizer with values for its first parameters.
static ftc_id call(ftc_elaborator *e, const ftc_function *f, const ftc_value *args, int n_args) {
    const ftc_parameter *p = f->parameters;
    for (int j = 0; j < n_args && p; j++, p = p->next) push(e, p->name, args[j]);
    ftc_value v = run_body(e, f, f->place, 0);
    ftc_id id = 0;
    if (v.kind == FTC_VALUE_NODE || v.kind == FTC_VALUE_DECL || v.kind == FTC_VALUE_NUMBER) {
        e->module = f->module;
        ftc_elab_as_node(e, &v, f->place, FTC_F32, &id);
        e->module = NULL;
    }
    return id;
}

// Calls the model's own function of that name, or the library's.
static ftc_id call_by_name(ftc_elaborator *e, const char *name, const ftc_value *args, int n_args) {
    for (int i = -1; i < e->n_library; i++) {
        const ftc_module *m = ftc_elab_module(e, i);
        for (const ftc_function *f = m ? m->functions : NULL; f; f = f->next) {
            if (strcmp(f->name, name)) continue;
            if (count_parameters(f) == n_args && !f->axes) return call(e, f, args, n_args);
            ftc_diag_add(e->d, m->source.name, m->source.text, f->place.line, f->place.column,
                         "%s is called by the optimizer's pass, with %d arguments", f->name, n_args);
            return 0;
        }
    }
    ftc_diag_add(e->d, NULL, NULL, 0, 0, "the library has no function '%s'", name);
    return 0;
}

static ftc_value node_value(ftc_id node) {
    return (ftc_value){.kind = FTC_VALUE_NODE, .node = node};
}

ftc_id ftc_library_call(ftc_library *library, const char *function, const ftc_id *args, int n_args) {
    ftc_value values[FTC_ELAB_MAX_PARAMETERS];
    for (int i = 0; i < n_args; i++) values[i] = node_value(args[i]);
    return call_by_name(&library->e, function, values, n_args);
}

void ftc_library_close(ftc_library *library) {
    append_unused_leaves(&library->e);
    ftc_arena_free(library->e.arena);
}

// --- optimizers ---------------------------------------------------------------------------------------

const ftc_function *ftc_library_optimizer(const ftc_library *library, const char *name) {
    for (int i = -1; i < library->e.n_library; i++) {
        const ftc_module *m = ftc_elab_module(&library->e, i);
        for (const ftc_function *f = m ? m->optimizers : NULL; f; f = f->next)
            if (is_called(f, name)) return f;
    }
    return NULL;
}

int ftc_library_optimizers(const ftc_library *library, const char **names, int most) {
    int n = 0;
    for (int i = -1; i < library->e.n_library; i++) {
        const ftc_module *m = ftc_elab_module(&library->e, i);
        for (const ftc_function *f = m ? m->optimizers : NULL; f && n < most; f = f->next)
            if (ftc_library_optimizer(library, f->name) == f) names[n++] = f->name;
    }
    return n;
}

// Of (p, g, rate, decay) an optimizer may lack the last: there is no argument then that would change nothing.
ftc_id ftc_library_rate(ftc_library *library, const ftc_function *optimizer) {
    if (count_parameters(optimizer) < 3) return ftc_build_const(library->e.g, 0);
    return call_by_name(&library->e, "learning_rate", NULL, 0);
}

ftc_id ftc_library_decay(ftc_library *library, const ftc_function *optimizer, ftc_id p) {
    const ftc_parameter *decay = optimizer->parameters;
    if (count_parameters(optimizer) < 4) return ftc_build_const(library->e.g, 0);
    while (decay && !decay->value) decay = decay->next;
    ftc_value args[] = {node_value(p), {.kind = FTC_VALUE_NUMBER}};
    library->e.module = optimizer->module;
    bool ok = !decay || ftc_elab_number(&library->e, decay->value, "the weight decay", &args[1].number);
    library->e.module = NULL;
    return ok ? call_by_name(&library->e, "weight_decay_of", args, 2) : 0;
}

void ftc_library_update(ftc_library *library, const ftc_function *optimizer, const ftc_id args[4]) {
    ftc_value values[4];
    const ftc_graph *g = library->e.g;
    const int errors = library->e.d->count;
    for (int i = 0; i < 4; i++) values[i] = node_value(args[i]);
    library->e.in_optimizer = true;
    ftc_id id = g->n_nodes;
    call(&library->e, optimizer, values, 4);
    library->e.in_optimizer = false;
    const ftc_decl param = g->nodes[args[0]].decl;
    while (id < g->n_nodes &&
           !(ftc_node_class(&g->nodes[id]) == FTC_CLASS_ASSIGN && g->nodes[id].decl == param))
        id++;
    if (id < g->n_nodes || library->e.d->count != errors) return;
    const ftc_source *source = &optimizer->module->source;
    ftc_diag_add(library->e.d, source->name, source->text, optimizer->place.line, optimizer->place.column,
                 "optimizer %s gives %s no new value: assign(NEW, %s); what is not to be trained, the train "
                 "block's freeze names",
                 optimizer->name, g->decls[param].name, optimizer->parameters->name);
}
