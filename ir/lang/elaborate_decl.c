// Axes, types, declarations, outputs and kernels.
#include <math.h>
#include <string.h>

#include "ir/base/name.h"
#include "ir/formula.h"
#include "ir/lang/elaborator.h"
#include "ir/op.h"
#include "ir/print.h"

static const int64_t LARGEST_SIZE = INT32_MAX; // of an axis
static const double LARGEST_TENSOR = 1e12;     // elements

// --- axes ---------------------------------------------------------------------------------------------

static void report_unknown_axis(ftc_elaborator *e, const ftc_axis_item *item) {
    enum { MOST = 500 };
    const char *known[MOST];
    int n = 0;
    for (uint32_t i = e->base; i < e->n_bindings && n < MOST; i++)
        if (e->bindings[i].value.kind == FTC_VALUE_AXES) known[n++] = e->bindings[i].name;
    for (uint32_t i = 0; i < e->g->n_axes && n < MOST; i++) known[n++] = e->g->axes[i].name;
    const char *nearest = ftc_name_nearest(item->name, known, n);
    if (nearest)
        ftc_elab_error(e, item->place, "there is no axis '%s'; did you mean '%s'?", item->name, nearest);
    else
        ftc_elab_error(e, item->place, "there is no axis '%s'; declare it: axis %s = SIZE", item->name,
                       item->name);
}

// The axes that one element of a list stands for.
static bool item_axes(ftc_elaborator *e, const ftc_axis_item *item, ftc_axes *axes) {
    if (item->value) {
        ftc_value v = ftc_elab_expr(e, item->value);
        ftc_id id;
        if (!ftc_elab_as_node(e, &v, item->place, FTC_F32, &id)) return false;
        *axes = ftc_graph_node(e->g, id)->type.axes;
        return true;
    }
    const ftc_value *v = ftc_elab_find(e, item->name);
    if (v && v->kind == FTC_VALUE_ERROR) return false;
    if (v && v->kind == FTC_VALUE_AXES) {
        *axes = v->axes;
        return true;
    }
    ftc_axis axis = ftc_graph_find_axis(e->g, item->name);
    if (axis == FTC_NO_AXIS) {
        report_unknown_axis(e, item);
        return false;
    }
    *axes = ftc_axes_of(axis);
    return true;
}

// Appends the axes of a list to `axes`; none may be there already.
static bool append_axes(ftc_elaborator *e, const ftc_axis_item *items, ftc_axes *axes) {
    for (const ftc_axis_item *item = items; item; item = item->next) {
        ftc_axes more;
        if (!item_axes(e, item, &more)) return false;
        for (int i = 0; i < more.n; i++) {
            const char *name = e->g->axes[more.at[i]].name;
            if (ftc_axes_has(axes, more.at[i])) {
                ftc_elab_error(e, item->place,
                               "axis %s occurs twice; give the other side a name: axis %s2 = %s", name, name,
                               name);
                return false;
            }
            if (axes->n == FTC_MAX_AXES) {
                ftc_elab_error(e, item->place, "more than %d axes", FTC_MAX_AXES);
                return false;
            }
            ftc_axes_add(axes, more.at[i]);
        }
    }
    return true;
}

bool ftc_elab_axes(ftc_elaborator *e, const ftc_axis_item *items, ftc_axes *axes) {
    ftc_axes all = {0};
    if (!append_axes(e, items, &all)) return false;
    *axes = all;
    return true;
}

bool ftc_elab_axis(ftc_elaborator *e, const ftc_axis_item *item, ftc_axis *axis) {
    ftc_axes axes;
    if (!item_axes(e, item, &axes)) return false;
    if (axes.n != 1) {
        ftc_elab_error(e, item->place, "one axis is needed here, '%s' stands for %d", item->name, axes.n);
        return false;
    }
    *axis = axes.at[0];
    return true;
}

// A function may declare a constant axis in each of its calls, with the same size.
static bool is_same_axis(ftc_elaborator *e, const ftc_stmt *s, ftc_axis before) {
    const ftc_extent_def *extent = ftc_axis_extent(e->g, before);
    int64_t size;
    return e->n_frames && s->axis.kind == FTC_AXIS_EQUALS && extent->kind == FTC_EXTENT_CONST &&
           ftc_elab_whole(e, s->expr, "the size of an axis", 1, LARGEST_SIZE, &size) && size == extent->bound;
}

void ftc_elab_axis_statement(ftc_elaborator *e, const ftc_stmt *s) {
    ftc_graph *g = e->g;
    ftc_axis before = ftc_graph_find_axis(g, s->name);
    if (before != FTC_NO_AXIS && !is_same_axis(e, s, before)) {
        ftc_elab_error(e, s->place, "axis %s is declared already", s->name);
        return;
    }
    if (before != FTC_NO_AXIS) return;
    if (g->n_axes >= FTC_MAX_GRAPH_AXES) {
        if (!e->stopped) ftc_elab_error(e, s->place, "more than %d axes are declared", FTC_MAX_GRAPH_AXES);
        e->stopped = true;
        return;
    }
    ftc_extent_def extent = {.kind = FTC_EXTENT_CONST, .name = s->name, .over = FTC_NO_AXIS};
    if (s->axis.kind == FTC_AXIS_EQUALS && s->expr->kind == FTC_EXPR_NAME &&
        !ftc_elab_find(e, s->expr->text)) {
        ftc_axis same = ftc_graph_find_axis(g, s->expr->text);
        bool is_config = false;
        for (uint32_t i = 0; i < g->n_config; i++) is_config |= !strcmp(g->config[i].name, s->expr->text);
        if (same != FTC_NO_AXIS && !is_config) {
            ftc_graph_add_axis(g, s->name, g->axes[same].extent);
            return;
        }
    }
    if (s->axis.kind == FTC_AXIS_SYMBOL) extent.kind = FTC_EXTENT_SYMBOL;
    if (s->axis.kind == FTC_AXIS_RAGGED) {
        extent.kind = FTC_EXTENT_RAGGED;
        if (!ftc_elab_axis(e, s->axis.over, &extent.over)) return;
        if (ftc_axis_extent(g, extent.over)->kind == FTC_EXTENT_RAGGED) {
            ftc_elab_error(e, s->axis.over->place,
                           "axis %s is ragged itself; an axis can be ragged over one that is not",
                           s->axis.over->name);
            return;
        }
    }
    const char *what =
        extent.kind == FTC_EXTENT_CONST ? "the size of an axis" : "the largest size of an axis";
    if (ftc_elab_whole(e, s->expr, what, 1, LARGEST_SIZE, &extent.bound))
        ftc_graph_add_axis(g, s->name, ftc_graph_add_extent(g, extent));
    else // what uses it is not wrong for that
        ftc_elab_bind(e, s->name, (ftc_value){.kind = FTC_VALUE_ERROR});
}

// --- types --------------------------------------------------------------------------------------------

// dims NULL: the type of a value, whose axes may be more than a stored tensor has dimensions.
bool ftc_elab_type(ftc_elaborator *e, const ftc_type_syntax *s, ftc_type *type, ftc_axes *dims,
                   uint8_t *n_dims) {
    ftc_type t = {.dtype = s->dtype};
    int n = 0;
    double elements = 1;
    for (const ftc_axis_list *dim = s->dims; dim; dim = dim->next) {
        ftc_axes before = t.axes;
        if (!append_axes(e, dim->items, &t.axes)) return false;
        if (!dims) continue;
        if (n == FTC_MAX_DIMS) {
            ftc_elab_error(e, s->place, "a stored tensor has at most %d dimensions", FTC_MAX_DIMS);
            return false;
        }
        dims[n++] = ftc_axes_minus(&t.axes, &before);
    }
    for (int i = 0; i < t.axes.n; i++) elements *= (double)ftc_axis_extent(e->g, t.axes.at[i])->bound;
    if (elements > LARGEST_TENSOR) {
        ftc_elab_error(e, s->place, "this tensor has %.3g elements, more than %.0g", elements,
                       LARGEST_TENSOR);
        return false;
    }
    ftc_axis lone;
    if (!ftc_axes_ragged_complete(e->g, &t.axes, &lone)) {
        ftc_elab_error(e, s->place, "axis %s is ragged over %s, which is missing", e->g->axes[lone].name,
                       e->g->axes[ftc_axis_over(e->g, lone)].name);
        return false;
    }
    *type = t;
    if (n_dims) *n_dims = (uint8_t)n;
    return true;
}

// --- declarations -------------------------------------------------------------------------------------

void ftc_elab_init(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_init_kind *init, double *scale) {
    const char *what = s->init == FTC_INIT_NORMAL ? "the standard deviation" : "the bound";
    double number = 0;
    if (ftc_init_has_scale(s->init)) {
        if (!ftc_elab_number(e, s->init_scale, what, &number)) return;
        if (!(number >= 0 && isfinite(number))) {
            ftc_elab_error(e, s->init_scale->place, "%s is a number from 0, not %g", what, number);
            return;
        }
    }
    *init = s->init;
    *scale = number;
}

static bool param_attributes(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_decl_def *decl) {
    decl->init = e->init;
    decl->init_scale = e->init_scale;
    decl->frozen = s->frozen;
    if (s->has_init) ftc_elab_init(e, s, &decl->init, &decl->init_scale);
    for (int i = 0; i < decl->type.axes.n; i++)
        if (ftc_axis_extent(e->g, decl->type.axes.at[i])->kind != FTC_EXTENT_CONST) {
            ftc_elab_error(e, s->type.place, "a parameter has a fixed size, but axis %s has not",
                           e->g->axes[decl->type.axes.at[i]].name);
            return false;
        }
    if (!s->zero_row) return true;
    int64_t row, rows = 1;
    for (int i = 0; decl->n_dims && i < decl->dims[0].n; i++)
        rows *= ftc_axis_extent(e->g, decl->dims[0].at[i])->bound;
    if (!ftc_elab_whole(e, s->zero_row, "the row that stays zero", 0, rows - 1, &row)) return false;
    decl->zero_row = (int32_t)row;
    return true;
}

// How many axes of each kind of extent a type has.
typedef struct {
    int constants, symbols, ragged;
} axis_kinds;

static axis_kinds count_kinds(const ftc_graph *g, const ftc_axes *axes) {
    axis_kinds n = {0};
    for (int i = 0; i < axes->n; i++) {
        ftc_extent_kind kind = ftc_axis_extent(g, axes->at[i])->kind;
        n.constants += kind == FTC_EXTENT_CONST;
        n.symbols += kind == FTC_EXTENT_SYMBOL;
        n.ragged += kind == FTC_EXTENT_RAGGED;
    }
    return n;
}

// All ragged axes of what a caller gives or gets are ragged over one axis (ir/step_abi.h).
static bool check_blocks(ftc_elaborator *e, ftc_place place, const char *what, const ftc_axes *axes) {
    ftc_axis over = FTC_NO_AXIS;
    for (int i = 0; i < axes->n; i++) {
        ftc_axis other = ftc_axis_over(e->g, axes->at[i]);
        if (over != FTC_NO_AXIS && other != FTC_NO_AXIS && other != over) {
            ftc_elab_error(e, place, "%s is ragged over %s and over %s; it can be ragged over one axis", what,
                           e->g->axes[over].name, e->g->axes[other].name);
            return false;
        }
        if (other != FTC_NO_AXIS) over = other;
    }
    return true;
}

// Whether a type is that of a text's tokens: i32[B, S].
static bool is_of_tokens(const ftc_graph *g, const ftc_type *type) {
    axis_kinds n = count_kinds(g, &type->axes);
    return type->dtype == FTC_I32 && n.symbols == 1 && n.ragged == 1 && n.constants == 0;
}

// Where no role is written, an input that is called as a role was meant before roles were: ids and types over
// tokens, label. All others are the column of their name.
static void default_input_role(const ftc_graph *g, ftc_decl_def *decl) {
    bool tokens = is_of_tokens(g, &decl->type), beside_ids = false;
    for (uint32_t i = 0; i < g->n_decls; i++)
        beside_ids |= g->decls[i].kind == FTC_DECL_INPUT && g->decls[i].from == FTC_FROM_TOKENS &&
                      ftc_axes_same_set(&g->decls[i].type.axes, &decl->type.axes);
    if (tokens && !strcmp(decl->name, "ids"))
        decl->from = FTC_FROM_TOKENS;
    else if (tokens && beside_ids && !strcmp(decl->name, "types"))
        decl->from = FTC_FROM_TOKEN_TYPES;
    else if (!strcmp(decl->name, "label"))
        decl->from = FTC_FROM_LABEL;
    else
        decl->column = decl->name;
}

// Whether a type is that of tokens chosen from each text: of another ragged axis than the text's own, over
// the same batch.
static bool is_of_masked_tokens(const ftc_graph *g, const ftc_type *type) {
    for (uint32_t i = 0; i < g->n_decls && is_of_tokens(g, type); i++) {
        const ftc_decl_def *decl = &g->decls[i];
        if (decl->kind != FTC_DECL_INPUT || decl->from != FTC_FROM_TOKENS) continue;
        ftc_axes shared = ftc_axes_intersect(&decl->type.axes, &type->axes);
        return shared.n == 1 && ftc_axis_over(g, shared.at[0]) == FTC_NO_AXIS;
    }
    return false;
}

// Whether a type is i32 over the batch of the texts whose tokens an input before it takes.
static bool is_one_a_text(const ftc_graph *g, const ftc_type *type) {
    for (uint32_t i = 0; i < g->n_decls && type->dtype == FTC_I32 && type->axes.n == 1; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        if (decl->kind == FTC_DECL_INPUT && decl->from == FTC_FROM_TOKENS &&
            ftc_axes_has(&decl->type.axes, type->axes.at[0]) &&
            ftc_axis_over(g, type->axes.at[0]) == FTC_NO_AXIS)
            return true;
    }
    return false;
}

// Whether the numbers of a config entry are what the input takes.
static bool check_from_config(ftc_elaborator *e, const ftc_decl_syntax *s, const ftc_decl_def *decl) {
    const ftc_graph_setting *entry = NULL;
    axis_kinds n = count_kinds(e->g, &decl->type.axes);
    for (uint32_t i = 0; i < e->g->n_config; i++)
        if (!strcmp(e->g->config[i].name, decl->column)) entry = &e->g->config[i];
    if (!entry) {
        ftc_elab_error(e, s->type.place, "there is no config entry '%s'", decl->column);
        return false;
    }
    if (decl->type.dtype != FTC_F32 || n.constants != 1 || n.symbols || n.ragged) {
        ftc_elab_error(e, s->type.place,
                       "from config come f32 numbers over one axis of constant size: f32[C]");
        return false;
    }
    int64_t size = ftc_axis_extent(e->g, decl->type.axes.at[0])->bound;
    int64_t count = entry->text ? ftc_name_numbers(entry->text, NULL, 0) : 1;
    if (count == size) return true;
    ftc_elab_error(e, s->type.place,
                   "the config entry '%s' must be %lld numbers with | between them, one for each %s",
                   decl->column, (long long)size, e->g->axes[decl->type.axes.at[0]].name);
    return false;
}

static bool input_role(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_decl_def *decl) {
    decl->from = s->from;
    decl->column = s->column;
    if (!s->has_from) default_input_role(e->g, decl);
    if (decl->from == FTC_FROM_CONFIG) return check_from_config(e, s, decl);
    bool tokens = decl->from == FTC_FROM_TOKENS || decl->from == FTC_FROM_TOKEN_TYPES;
    bool masked = decl->from == FTC_FROM_MASKED_POSITIONS || decl->from == FTC_FROM_MASKED_TOKENS;
    if (masked && !is_of_masked_tokens(e->g, &decl->type)) {
        ftc_elab_error(e, s->type.place,
                       "from %s come i32 numbers over the text's batch and another axis that is ragged over "
                       "it: i32[B, M]; the input from tokens stands before",
                       ftc_input_role_name(decl->from));
        return false;
    }
    if (decl->from == FTC_FROM_PARTNER && !is_one_a_text(e->g, &decl->type)) {
        ftc_elab_error(e, s->type.place,
                       "from partner come i32 numbers over the text's batch: i32[B]; the input from tokens "
                       "stands before");
        return false;
    }
    if (!tokens || is_of_tokens(e->g, &decl->type)) return true;
    ftc_elab_error(
        e, s->type.place,
        "from %s come i32 numbers over a batch and one axis that is ragged over it: i32[B, S]; what a column "
        "holds is declared so: from column \"%s\"",
        ftc_input_role_name(decl->from), decl->name);
    return false;
}

static bool input_attributes(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_decl_def *decl) {
    if (!check_blocks(e, s->type.place, decl->name, &decl->type.axes) || !input_role(e, s, decl))
        return false;
    if (!s->bound) return true;
    if (decl->type.dtype != FTC_I32) {
        ftc_elab_error(e, s->bound->place, "only values of type i32 can index an axis");
        return false;
    }
    return ftc_elab_axis(e, s->bound, &decl->bound);
}

static bool arg_attributes(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_decl_def *decl) {
    if (decl->type.dtype != FTC_F32 || decl->type.axes.n) {
        ftc_elab_error(e, s->type.place, "a step argument is an f32 without axes");
        return false;
    }
    double value = 0;
    if (s->value && !ftc_elab_number(e, s->value, "the default", &value)) return false;
    for (uint32_t i = 0; i < e->g->n_train && !(e->main && e->main->flat); i++) {
        const ftc_graph_setting *train = &e->g->train[i];
        if (!strcmp(train->name, decl->name) && !train->text) value = train->number;
    }
    decl->value = value;
    decl->role = s->role;
    return true;
}

static bool of_attribute(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_decl_def *decl) {
    const char *name;
    if (!ftc_elab_text(e, s->of, &name)) return false;
    decl->of = ftc_graph_find_decl(e->g, name);
    if (decl->of != FTC_NO_DECL && e->g->decls[decl->of].kind == FTC_DECL_PARAM) return true;
    ftc_elab_error(e, s->of->place, "there is no parameter \"%s\"", name);
    return false;
}

static bool touched_attributes(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_decl_def *decl) {
    decl->by = s->by ? ftc_graph_find_decl(e->g, s->by) : FTC_NO_DECL;
    if (decl->by != FTC_NO_DECL && e->g->decls[decl->by].kind == FTC_DECL_INPUT) return true;
    ftc_elab_error(e, s->place, "a list of touched rows says which input names them: by INPUT");
    return false;
}

// In dumps: scalar "sub(1, pow(beta1, step))".
static ftc_value scalar_decl(ftc_elaborator *e, const ftc_decl_syntax *s) {
    ftc_decl decl = ftc_formula_declare_text(e->g, s->name->text);
    if (decl != FTC_NO_DECL) return (ftc_value){.kind = FTC_VALUE_DECL, .decl = decl};
    ftc_elab_error(e, s->name->place, "this is no formula over arguments, step and numbers");
    return (ftc_value){.kind = FTC_VALUE_ERROR};
}

static ftc_loc decl_loc(ftc_elaborator *e, const ftc_decl_syntax *s) {
    if (e->own_places) return (ftc_loc){0, (uint32_t)s->place.line};
    if (s->loc_file) return (ftc_loc){(uint16_t)ftc_graph_add_file(e->g, s->loc_file), (uint32_t)s->loc_line};
    if (e->main && e->main->flat) return (ftc_loc){0};
    ftc_elab_locate(e, s->place);
    return e->g->cursor_loc;
}

// Whether a parameter of a shared scope is declared again, and says the same.
static bool is_same_parameter(const ftc_decl_def *before, const ftc_decl_def *now) {
    bool same = before->type.dtype == now->type.dtype && before->n_dims == now->n_dims &&
                before->init == now->init && before->init_scale == now->init_scale &&
                before->zero_row == now->zero_row && before->frozen == now->frozen;
    for (int i = 0; same && i < now->n_dims; i++)
        same = before->dims[i].n == now->dims[i].n &&
               !memcmp(before->dims[i].at, now->dims[i].at, now->dims[i].n * sizeof *now->dims[i].at);
    return same;
}

// The parameter that is declared again in a shared scope; an error when it says something else.
static ftc_value declared_again(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_decl before,
                                ftc_decl_def *now) {
    const ftc_decl_def *first = &e->g->decls[before];
    bool ok = ftc_elab_type(e, &s->type, &now->type, now->dims, &now->n_dims) && param_attributes(e, s, now);
    if (ok && is_same_parameter(first, now)) return (ftc_value){.kind = FTC_VALUE_DECL, .decl = before};
    if (ok) {
        ftc_elab_error(e, s->place, "\"%s\" is shared, but declared in another way here", first->name);
        if (e->main && first->loc.line)
            ftc_diag_note(e->d, e->main->source.name, e->main->source.text, (int)first->loc.line, 0, "here");
    }
    return (ftc_value){.kind = FTC_VALUE_ERROR};
}

static void report_declared(ftc_elaborator *e, const ftc_decl_syntax *s, const ftc_decl_def *before) {
    bool is_param = before->kind == FTC_DECL_PARAM;
    ftc_elab_error(e, s->place,
                   is_param
                       ? "\"%s\" is declared already; to use a parameter twice, keep it in a variable, or "
                         "declare it in a shared scope"
                       : "'%s' is declared already",
                   before->name);
    if (e->main && before->loc.line)
        ftc_diag_note(e->d, e->main->source.name, e->main->source.text, (int)before->loc.line, 0, "here");
}

ftc_value ftc_elab_decl(ftc_elaborator *e, const ftc_decl_syntax *s) {
    ftc_graph *g = e->g;
    const ftc_value failed = {.kind = FTC_VALUE_ERROR};
    ftc_decl_def decl = {.kind = s->kind, .zero_row = -1, .of = FTC_NO_DECL, .bound = FTC_NO_AXIS};
    bool named = s->kind == FTC_DECL_INPUT || s->kind == FTC_DECL_ARG;
    if (s->kind == FTC_DECL_SCALAR) return scalar_decl(e, s);
    if (named)
        decl.name = s->name->text;
    else if (!ftc_elab_text(e, s->name, &decl.name))
        return failed;
    if (s->kind == FTC_DECL_PARAM && *e->prefix)
        decl.name = ftc_graph_format(g, "%s.%s", e->prefix, decl.name);
    if (strlen(decl.name) > FTC_ELAB_LONGEST_TEXT) {
        ftc_elab_error(e, s->place, "this name is longer than %d bytes", FTC_ELAB_LONGEST_TEXT);
        return failed;
    }
    if (!strcmp(decl.name, "step")) {
        ftc_elab_error(e, s->place, "'step' is the number of the optimizer step; take another name");
        return failed;
    }
    ftc_decl before = ftc_graph_find_decl(g, decl.name);
    if (before != FTC_NO_DECL) {
        ftc_value v = {.kind = FTC_VALUE_DECL, .decl = before};
        // A step argument may be declared wherever it is used.
        if (s->kind == FTC_DECL_ARG && g->decls[before].kind == FTC_DECL_ARG) {
            if (s->role) g->decls[before].role = s->role;
            ftc_elab_bind(e, decl.name, v);
            return v;
        }
        if (s->kind == FTC_DECL_PARAM && e->is_shared && g->decls[before].is_shared)
            return declared_again(e, s, before, &decl);
        report_declared(e, s, &g->decls[before]);
        return failed;
    }
    // The optimizer gives each parameter up to three more.
    uint32_t most = e->main && e->main->flat ? 4 * FTC_ELAB_MAX_DECLS : FTC_ELAB_MAX_DECLS;
    if (g->n_decls >= most) {
        if (!e->stopped) ftc_elab_error(e, s->place, "more than %u parameters and inputs", most);
        e->stopped = true;
        return failed;
    }
    ftc_value v = {.kind = FTC_VALUE_DECL, .decl = (ftc_decl)g->n_decls};
    bool is_value = s->kind == FTC_DECL_INPUT;
    bool ok = ftc_elab_type(e, &s->type, &decl.type, is_value ? NULL : decl.dims, &decl.n_dims);
    if (ok && s->kind == FTC_DECL_PARAM) ok = param_attributes(e, s, &decl);
    decl.is_shared = s->kind == FTC_DECL_PARAM && e->is_shared;
    if (ok && s->kind == FTC_DECL_INPUT) ok = input_attributes(e, s, &decl);
    if (ok && s->kind == FTC_DECL_ARG) ok = arg_attributes(e, s, &decl);
    if (ok && s->kind == FTC_DECL_TOUCHED) ok = touched_attributes(e, s, &decl);
    if (ok && s->of) ok = of_attribute(e, s, &decl);
    if (ok) {
        decl.loc = decl_loc(e, s);
        ftc_graph_add_decl(g, decl);
    } else {
        v = failed;
    }
    if (named) ftc_elab_bind(e, s->name->text, v);
    return v;
}

// A tensor "<parameter>.<name>" of an optimizer.
void ftc_elab_state(ftc_elaborator *e, const ftc_stmt *s) {
    ftc_graph *g = e->g;
    if (!e->in_optimizer) {
        ftc_elab_error(e, s->place,
                       "`state` stands in an optimizer: optimizer NAME(p, g, rate, decay) { … }");
        return;
    }
    ftc_value p = ftc_elab_expr(e, s->expr);
    if (p.kind == FTC_VALUE_NODE) p.decl = ftc_graph_node(g, p.node)->decl;
    bool is_leaf = p.kind == FTC_VALUE_DECL ||
                   (p.kind == FTC_VALUE_NODE && ftc_node_class(ftc_graph_node(g, p.node)) == FTC_CLASS_LEAF);
    if (p.kind == FTC_VALUE_ERROR) return;
    if (!is_leaf || g->decls[p.decl].kind != FTC_DECL_PARAM) {
        ftc_elab_error(e, s->expr->place, "a state belongs to the optimizer's parameter, its first one");
        return;
    }
    if (s->state != FTC_STATE_WHOLE && g->decls[p.decl].n_dims != 2) {
        ftc_elab_error(e, s->expr->place, "\"%s\" is no matrix: ask before, if dims(p) == 2 { … }",
                       g->decls[p.decl].name);
        return;
    }
    const char *name = ftc_graph_format(g, "%s.%s", g->decls[p.decl].name, s->name);
    if (ftc_graph_find_decl(g, name) != FTC_NO_DECL || !strcmp(s->name, "grad") ||
        !strcmp(s->name, "touched")) {
        ftc_elab_error(e, s->place, "\"%s\" is declared already; give the state another name", name);
        return;
    }
    if (g->n_decls >= 4 * FTC_ELAB_MAX_DECLS) {
        if (!e->stopped) ftc_elab_error(e, s->place, "more than %d tensors of state", 3 * FTC_ELAB_MAX_DECLS);
        e->stopped = true;
        return;
    }
    ftc_decl decl = ftc_graph_add_companion(g, p.decl, FTC_DECL_MOMENT, name, s->state == FTC_STATE_COLUMNS,
                                            s->state == FTC_STATE_WHOLE ? g->decls[p.decl].n_dims : 1);
    ftc_elab_bind(e, s->name, (ftc_value){.kind = FTC_VALUE_DECL, .decl = decl});
}

// --- outputs and kernels ------------------------------------------------------------------------------

// An output called as its role is has it unless another is written: loss, logits.
static ftc_output_role role_of_output(const ftc_elaborator *e, const ftc_stmt *s) {
    if (s->output.has_role || (e->main && e->main->flat)) return s->output.role;
    return !strcmp(s->name, "loss")     ? FTC_OUTPUT_LOSS
           : !strcmp(s->name, "logits") ? FTC_OUTPUT_SCORES
                                        : FTC_OUTPUT_VALUE;
}

// What a role needs of the value. The loop reads the loss, its weight, scores and embeddings.
static bool check_output(ftc_elaborator *e, const ftc_stmt *s, ftc_output_role role, const ftc_type *type) {
    axis_kinds n = count_kinds(e->g, &type->axes);
    const char *needs = NULL;
    char text[256];
    bool is_mean = role == FTC_OUTPUT_LOSS || role == FTC_OUTPUT_WEIGHT || role == FTC_OUTPUT_METRIC;
    if (is_mean && type->axes.n) needs = "one f32 number: take its mean or sum";
    if (role == FTC_OUTPUT_SCORES && !(n.symbols == 1 && n.ragged <= n.constants && n.constants <= 1))
        needs = "f32[B, C], f32[B, S, C] for the tokens, or f32[B] for a predicted value";
    if (role == FTC_OUTPUT_EMBEDDING && !(n.symbols == 1 && n.ragged == 0 && n.constants == 1))
        needs = "f32[B, H]";
    if (role != FTC_OUTPUT_VALUE && role != FTC_OUTPUT_GRADIENT && type->dtype != FTC_F32 && !needs)
        needs = "f32 numbers";
    if (needs) {
        ftc_elab_error(e, s->place, "output '%s' is %s; as %s it must be %s%s", s->name,
                       ftc_type_text(e->g, type, text, sizeof text), ftc_output_role_name(role), needs,
                       s->output.has_role ? "" : " (as value: no more than a value)");
        return false;
    }
    ftc_axis classes;
    if (s->output.classes && !ftc_elab_axis(e, s->output.classes, &classes)) return false;
    if (s->output.classes && !ftc_axes_has(&type->axes, classes)) {
        ftc_elab_error(e, s->output.classes->place, "the scores have no axis %s: they are %s",
                       e->g->axes[classes].name, ftc_type_text(e->g, type, text, sizeof text));
        return false;
    }
    return check_blocks(e, s->place, s->name, &type->axes);
}

static void add_output(ftc_elaborator *e, const ftc_stmt *s, const char *name, ftc_expr *expr,
                       ftc_output_role role) {
    const uint32_t forward = 1u << FTC_ENTRY_STEP | 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_EVAL;
    ftc_value v = ftc_elab_expr(e, expr);
    ftc_id id;
    if (!ftc_elab_as_node(e, &v, expr->place, FTC_F32, &id)) return;
    ftc_type type = ftc_graph_node(e->g, id)->type;
    if (!check_output(e, s, role, &type)) return;
    if (role == FTC_OUTPUT_LOSS && !ftc_elab_check_loss(e, expr->place, id)) return;
    ftc_output *output = ftc_graph_add_output(e->g, name, id, s->output.all ? forward : s->output.entries);
    output->role = role;
    if (s->output.order && ftc_elab_axes(e, s->output.order->items, &output->order) &&
        !ftc_axes_same_set(&output->order, &type.axes))
        ftc_elab_error(e, s->place, "the order of '%s' names other axes than it has", name);
    output->of = s->output.of ? ftc_graph_find_decl(e->g, s->output.of) : FTC_NO_DECL;
    if (s->output.of && output->of == FTC_NO_DECL)
        ftc_elab_error(e, s->place, "there is no parameter \"%s\"", s->output.of);
}

// Roles that a model may give; the others are the compiler's own, and stand in dumps.
static bool is_models_role(ftc_output_role role) {
    return role == FTC_OUTPUT_VALUE || role == FTC_OUTPUT_LOSS || role == FTC_OUTPUT_SCORES ||
           role == FTC_OUTPUT_EMBEDDING || role == FTC_OUTPUT_METRIC;
}

void ftc_elab_output(ftc_elaborator *e, const ftc_stmt *s) {
    ftc_output_role role = role_of_output(e, s);
    if (!is_models_role(role) && !(e->main && e->main->flat)) {
        ftc_elab_error(e, s->place, "output '%s': only the compiler makes one as %s; take as value", s->name,
                       ftc_output_role_name(role));
        return;
    }
    const ftc_output *same =
        role == FTC_OUTPUT_LOSS || role == FTC_OUTPUT_SCORES ? ftc_graph_find_output(e->g, role) : NULL;
    for (uint32_t i = 0; i < e->g->n_outputs; i++)
        if (!strcmp(e->g->outputs[i].name, s->name)) {
            ftc_elab_error(e, s->place, "there is an output '%s' already", s->name);
            return;
        }
    if (same) {
        ftc_elab_error(e, s->place, "the output '%s' has the role %s already", same->name,
                       ftc_output_role_name(role));
        return;
    }
    add_output(e, s, s->name, s->expr, role);
    if (s->output.weight)
        add_output(e, s, ftc_graph_format(e->g, "%s.weight", s->name), s->output.weight, FTC_OUTPUT_WEIGHT);
}

// The first occurrence of a name declares the kernel; later ones continue it.
void ftc_elab_kernel(ftc_elaborator *e, const ftc_stmt *s) {
    ftc_graph *g = e->g;
    uint32_t k = 1;
    while (k < g->n_kernels && strcmp(g->kernels[k].name, s->name)) k++;
    if (s->kernel.header != (k == g->n_kernels)) {
        ftc_elab_error(e, s->place,
                       s->kernel.header ? "there is a kernel '%s' already" : "kernel '%s' has no kind yet",
                       s->name);
        return;
    }
    if (s->kernel.header) {
        ftc_kernel kernel = {.kind = s->kernel.kind,
                             .name = s->name,
                             .block = FTC_NO_AXIS,
                             .block_size = (int32_t)s->kernel.block_size,
                             .has_window = s->kernel.has_window,
                             .window_low = (int32_t)s->kernel.window[0],
                             .window_high = (int32_t)s->kernel.window[1],
                             .barrier = s->kernel.barrier,
                             .plain = s->kernel.plain};
        if (s->kernel.rows && !ftc_elab_axes(e, s->kernel.rows->items, &kernel.rows)) return;
        if (s->kernel.cols && !ftc_elab_axes(e, s->kernel.cols->items, &kernel.cols)) return;
        if (s->kernel.block && !ftc_elab_axis(e, s->kernel.block, &kernel.block)) return;
        if (kernel.kind == FTC_KERNEL_TILE && !s->kernel.block) kernel.block_size = 1; // all in one
        ftc_graph_add_kernel(g, kernel);
    }
    uint32_t outer = e->kernel;
    e->kernel = k;
    ftc_elab_block(e, s->body);
    e->kernel = outer;
}
