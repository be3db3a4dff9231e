#include "ir/print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/op.h"

// --- words --------------------------------------------------------------------------------------------

#define NAME_OF(value, ...)                                                                                  \
    static const char *const names[] = {__VA_ARGS__};                                                        \
    return (size_t)(value) < sizeof names / sizeof *names ? names[value] : NULL

const char *ftc_kernel_kind_name(ftc_kernel_kind kind) {
    NAME_OF(kind, [FTC_KERNEL_NONE] = "none", [FTC_KERNEL_ROWS] = "rows", [FTC_KERNEL_COLUMNS] = "columns",
            [FTC_KERNEL_DOT] = "dot", [FTC_KERNEL_TILE] = "tile", [FTC_KERNEL_SCATTER] = "scatter",
            [FTC_KERNEL_EXTERN] = "extern");
}

const char *ftc_kept_name(ftc_kept kept) {
    NAME_OF(kept, [FTC_KEPT_AS_IS_CHEAPEST] = "cheapest", [FTC_KEPT_STORED] = "stored",
            [FTC_KEPT_RECOMPUTED] = "recomputed");
}

const char *ftc_init_kind_name(ftc_init_kind kind) {
    static const char *const names[] = {"zeros", "ones", "normal", "uniform"};
    return kind <= FTC_INIT_UNIFORM ? names[kind] : NULL;
}

bool ftc_init_has_scale(ftc_init_kind kind) {
    return kind == FTC_INIT_NORMAL || kind == FTC_INIT_UNIFORM;
}

const char *ftc_decl_kind_name(ftc_decl_kind kind) {
    NAME_OF(kind, [FTC_DECL_PARAM] = "param", [FTC_DECL_MOMENT] = "moment", [FTC_DECL_GRADIENT] = "gradient",
            [FTC_DECL_TOUCHED] = "touched", [FTC_DECL_INPUT] = "input", [FTC_DECL_ARG] = "arg",
            [FTC_DECL_SCALAR] = "scalar");
}

// --- values -------------------------------------------------------------------------------------------

// The shortest decimal of at most 9 digits that reads back as x; false when there is none.
static bool short_decimal(double x, char text[40]) {
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, 40, "%.*g", digits, x);
        if (strtod(text, NULL) == x) return true;
    }
    return false;
}

void ftc_print_number(double x, FILE *f) {
    char text[40];
    if (isnan(x))
        fputs("nan", f);
    else if (isinf(x))
        fputs(x > 0 ? "inf" : "-inf", f);
    else if (short_decimal(x, text))
        fputs(text, f);
    else
        fprintf(f, "%a", x);
}

// `braces`: the text is an expression, where {name} is replaced.
static void print_string(const char *s, bool braces, FILE *f) {
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if (*s == '\n')
            fputs("\\n", f);
        else if (*s == '\t')
            fputs("\\t", f);
        else if ((unsigned char)*s < 32 || *s == 127)
            fprintf(f, "\\x%02x", (unsigned char)*s);
        else if (braces && (*s == '{' || *s == '}'))
            fprintf(f, "%c%c", *s, *s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

// A name where it is one, else in quotes.
static void print_name(const char *s, FILE *f) {
    bool is_name = *s && !(*s >= '0' && *s <= '9');
    for (const char *p = s; *p; p++)
        is_name &=
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_';
    if (is_name)
        fputs(s, f);
    else
        print_string(s, false, f);
}

static void print_axis_list(const ftc_graph *g, const ftc_axes *axes, const char *separator, FILE *f) {
    for (int i = 0; i < axes->n; i++) fprintf(f, "%s%s", i ? separator : "", g->axes[axes->at[i]].name);
}

static void print_axes(const ftc_graph *g, const ftc_axes *axes, FILE *f) {
    print_axis_list(g, axes, ", ", f);
}

static void print_type(const ftc_graph *g, const ftc_type *type, FILE *f) {
    fputs(ftc_dtype_name(type->dtype), f);
    if (!type->axes.n) return;
    fputc('[', f);
    print_axes(g, &type->axes, f);
    fputc(']', f);
}

void ftc_print_setting(const ftc_graph_setting *s, FILE *f) {
    char text[40];
    if (s->text)
        print_string(s->text, false, f);
    else if (s->is_integer)
        fprintf(f, "%.0f", s->number);
    else if (!short_decimal(s->number, text))
        fprintf(f, "%a", s->number);
    else
        fprintf(f, strpbrk(text, ".e") ? "%s" : "%s.0", text);
}

// --- declarations -------------------------------------------------------------------------------------

static void print_settings(const char *block, const ftc_graph_setting *list, uint32_t n, FILE *f) {
    if (!n) return;
    fprintf(f, "%s {\n", block);
    for (uint32_t i = 0; i < n; i++) {
        fprintf(f, "    %s = ", list[i].name);
        ftc_print_setting(&list[i], f);
        if (list[i].hf_name) fputc(' ', f), print_string(list[i].hf_name, false, f);
        if (list[i].role) fprintf(f, " as %s", ftc_config_role_name(list[i].role));
        fputc('\n', f);
    }
    fputs("}\n\n", f);
}

// Without the lines that are blank.
static void print_functions(const char *text, FILE *f) {
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = text + strcspn(text, "\n");
        if (strspn(text, " \t\r") < (size_t)(end - text)) fprintf(f, "%.*s\n", (int)(end - text), text);
    }
    fputc('\n', f);
}

static void print_axis_declarations(const ftc_graph *g, FILE *f) {
    for (uint32_t a = 0; a < g->n_axes; a++) {
        uint32_t same = 0; // the first axis with this extent
        while (g->axes[same].extent != g->axes[a].extent) same++;
        const ftc_extent_def *x = &g->extents[g->axes[a].extent];
        fprintf(f, "axis %s", g->axes[a].name);
        if (same != a)
            fprintf(f, " = %s\n", g->axes[same].name);
        else if (x->kind == FTC_EXTENT_CONST)
            fprintf(f, " = %lld\n", (long long)x->bound);
        else if (x->kind == FTC_EXTENT_SYMBOL)
            fprintf(f, " <= %lld\n", (long long)x->bound);
        else
            fprintf(f, " ragged %s <= %lld\n", g->axes[x->over].name, (long long)x->bound);
    }
    if (g->n_axes) fputc('\n', f);
}

static void print_loc(const ftc_graph *g, ftc_loc loc, FILE *f) {
    if (!loc.line || loc.file >= g->n_files) return;
    fputs(" loc(", f);
    print_string(g->files[loc.file], false, f);
    fprintf(f, ":%u)", loc.line);
}

static void print_declared_type(const ftc_graph *g, const ftc_decl_def *d, FILE *f) {
    fputs(ftc_dtype_name(d->type.dtype), f);
    if (d->kind == FTC_DECL_INPUT && d->type.axes.n) // it is not stored
        fputc('[', f), print_axis_list(g, &d->type.axes, ", ", f), fputc(']', f);
    if (!d->n_dims) return;
    fputc('[', f);
    for (int i = 0; i < d->n_dims; i++) {
        const char *open = d->dims[i].n == 1 ? "" : "(", *close = d->dims[i].n == 1 ? "" : ")";
        fprintf(f, "%s%s", i ? ", " : "", open);
        print_axis_list(g, &d->dims[i], " ", f);
        fputs(close, f);
    }
    fputc(']', f);
}

static void print_declaration(const ftc_graph *g, const ftc_decl_def *d, FILE *f) {
    bool named = d->kind == FTC_DECL_INPUT || d->kind == FTC_DECL_ARG;
    fprintf(f, "%s ", ftc_decl_kind_name(d->kind));
    if (named)
        fprintf(f, "%s :", d->name);
    else
        print_string(d->name, true, f);
    if (d->of != FTC_NO_DECL) fputs(" of ", f), print_string(g->decls[d->of].name, true, f);
    if (d->kind != FTC_DECL_SCALAR) fputc(' ', f), print_declared_type(g, d, f);
    if (d->kind == FTC_DECL_PARAM) {
        fprintf(f, " init %s", ftc_init_kind_name(d->init));
        if (ftc_init_has_scale(d->init)) fputc('(', f), ftc_print_number(d->init_scale, f), fputc(')', f);
        if (d->zero_row >= 0) fprintf(f, " zero_row %d", d->zero_row);
        if (d->frozen) fputs(" frozen", f);
    }
    if (d->bound != FTC_NO_AXIS) fprintf(f, " in %s", g->axes[d->bound].name);
    if (d->kind == FTC_DECL_INPUT) fprintf(f, " from %s", ftc_input_role_name(d->from));
    if (d->kind == FTC_DECL_INPUT && d->column) fputc(' ', f), print_string(d->column, true, f);
    if (d->kind == FTC_DECL_TOUCHED) fprintf(f, " by %s", g->decls[d->by].name);
    if (d->kind == FTC_DECL_ARG) fputs(" = ", f), ftc_print_number(d->value, f);
    if (d->role) fprintf(f, " as %s", ftc_scalar_role_name(d->role));
}

static void print_declarations(const ftc_graph *g, FILE *f) {
    for (uint32_t i = 0; i < g->n_decls; i++) {
        print_declaration(g, &g->decls[i], f);
        print_loc(g, g->decls[i].loc, f);
        fputc('\n', f);
    }
    if (g->n_decls) fputc('\n', f);
}

// --- nodes --------------------------------------------------------------------------------------------

// "(%3, V, %4, 0; B, S)": see ir/lang/elaborate_expr.c for the order.
static void print_operands(const ftc_graph *g, const ftc_node *n, const ftc_op_info *info, FILE *f) {
    const char *separator = "";
#define NEXT (fputs(separator, f), separator = ", ")
    fputc('(', f);
    if (n->n_args) NEXT, fprintf(f, "%%%u", n->arg[0]);
    if ((info->attrs & FTC_ATTR_AXIS) && !(info->attrs & FTC_ATTR_TO)) NEXT, fputs(g->axes[n->axis].name, f);
    for (int i = 1; i < n->n_args; i++) NEXT, fprintf(f, "%%%u", n->arg[i]);
    bool writes_index = info->attrs & FTC_ATTR_INDEX && (n->index >= 0 || info->attrs & FTC_ATTR_SIGNED);
    if (writes_index) NEXT, fprintf(f, "%lld", (long long)n->index);
    if (info->attrs & FTC_ATTR_VALUE) NEXT, ftc_print_number(n->value, f);
    if (info->attrs & FTC_ATTR_DTYPE) NEXT, fputs(ftc_dtype_name(n->type.dtype), f);
    if (info->attrs & FTC_ATTR_DECL) NEXT, print_string(g->decls[n->decl].name, true, f);
    if (info->attrs & FTC_ATTR_SYMBOL) NEXT, print_string(g->symbols[n->symbol], true, f);
#undef NEXT
    if (info->attrs & FTC_ATTR_TO && n->axis == n->to)
        fprintf(f, "; %s", g->axes[n->axis].name);
    else if (info->attrs & FTC_ATTR_TO)
        fprintf(f, "; %s -> %s", g->axes[n->axis].name, g->axes[n->to].name);
    else if (info->attrs & FTC_ATTR_AXES && (n->axes.n || !(info->attrs & FTC_ATTR_MAY_LACK_AXES)))
        fputs("; ", f), print_axes(g, &n->axes, f);
    fputc(')', f);
}

static void print_entries(uint32_t entries, FILE *f) {
    const char *separator = "";
    fputs(" entries(", f);
    for (int entry = 0; entry < FTC_ENTRY_COUNT; entry++) {
        if (!(entries >> entry & 1)) continue;
        fprintf(f, "%s%s", separator, ftc_entry_name((ftc_entry_kind)entry));
        separator = ", ";
    }
    fputc(')', f);
}

void ftc_print_node(const ftc_graph *g, ftc_id id, FILE *f) {
    const ftc_node *n = ftc_graph_node(g, id);
    const ftc_op_info *info = ftc_op_get(n->op);
    fprintf(f, "%%%u = %s%s", id, n->outer ? "outer " : "", info->name);
    print_operands(g, n, info, f);
    fputs(" : ", f);
    print_type(g, &n->type, f);
    if (n->phase != FTC_PHASE_FORWARD) fprintf(f, " %s", ftc_phase_name(n->phase));
    if (n->kept) fprintf(f, " %s", ftc_kept_name(n->kept));
    if (n->entries == FTC_ENTRIES_EACH_MICRO_BATCH)
        fputs(" each micro_batch", f);
    else if (n->entries)
        print_entries(n->entries, f);
    if (n->step) fprintf(f, " step %u", n->step);
    if (n->offset >= 0) fprintf(f, " @%lld", (long long)n->offset);
    print_loc(g, n->loc, f);
    fputc('\n', f);
}

static void print_kernel_header(const ftc_graph *g, uint32_t k, FILE *f) {
    const ftc_kernel *kernel = &g->kernels[k];
    fputs("kernel ", f);
    print_name(kernel->name, f);
    fprintf(f, " %s rows(", ftc_kernel_kind_name(kernel->kind));
    print_axes(g, &kernel->rows, f);
    fputs(") cols(", f);
    print_axes(g, &kernel->cols, f);
    fputc(')', f);
    if (kernel->block != FTC_NO_AXIS)
        fprintf(f, " block(%s, %d)", g->axes[kernel->block].name, kernel->block_size);
    if (kernel->has_window) fprintf(f, " window(%d, %d)", kernel->window_low, kernel->window_high);
    if (kernel->barrier) fputs(" barrier", f);
    if (kernel->plain) fputs(" plain ", f), print_string(kernel->plain, true, f);
}

// Nodes in order; those of one kernel stand in its region, which is continued where the order goes back to
// it.
static void print_nodes(const ftc_graph *g, FILE *f) {
    uint32_t declared = 0, open = 0; // kernels up to `declared` are printed; `open` is the current region
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        uint32_t k = g->nodes[id].kernel;
        if (k != open && open) fputs("}\n", f);
        if (k != open && k) {
            while (declared + 1 < k) print_kernel_header(g, ++declared, f), fputc('\n', f);
            if (k > declared) {
                print_kernel_header(g, ++declared, f);
            } else {
                fputs("kernel ", f);
                print_name(g->kernels[k].name, f);
            }
            fputs(" {\n", f);
        }
        open = k;
        if (open) fputs("    ", f);
        ftc_print_node(g, id, f);
    }
    if (open) fputs("}\n", f);
    while (declared + 1 < g->n_kernels) print_kernel_header(g, ++declared, f), fputc('\n', f);
}

char *ftc_print_declaration_text(const ftc_graph *g, ftc_decl decl) {
    ftc_text text;
    print_declaration(g, &g->decls[decl], ftc_text_open(&text));
    return ftc_text_close(&text, NULL);
}

char *ftc_print_output_text(const ftc_graph *g, const ftc_output *output) {
    ftc_text text;
    FILE *f = ftc_text_open(&text);
    fputs("output ", f);
    print_name(output->name, f);
    fputs(" : ", f);
    print_type(g, &(ftc_type){g->nodes[output->node].type.dtype, output->order}, f);
    fprintf(f, " as %s", ftc_output_role_name(output->role));
    if (output->of != FTC_NO_DECL) fputs(" of ", f), print_string(g->decls[output->of].name, true, f);
    print_entries(output->entries, f);
    return ftc_text_close(&text, NULL);
}

static void print_outputs(const ftc_graph *g, FILE *f) {
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ftc_output *output = &g->outputs[i];
        fputs("output ", f);
        print_name(output->name, f);
        fprintf(f, " = %%%u", output->node);
        if (output->role != FTC_OUTPUT_VALUE) fprintf(f, " as %s", ftc_output_role_name(output->role));
        if (output->of != FTC_NO_DECL) fputs(" of ", f), print_string(g->decls[output->of].name, true, f);
        print_entries(output->entries, f);
        if (memcmp(&output->order, &g->nodes[output->node].type.axes, sizeof output->order))
            fputs(" order(", f), print_axes(g, &output->order, f), fputc(')', f);
        fputc('\n', f);
    }
}

// --- graphs -------------------------------------------------------------------------------------------

void ftc_print_graph(const ftc_graph *g, FILE *f) {
    if (g->model && *g->model) fprintf(f, "model %s\n\n", g->model);
    print_settings("config", g->config, g->n_config, f);
    print_settings("family", g->family, g->n_family, f);
    if (g->functions) print_functions(g->functions, f);
    print_axis_declarations(g, f);
    print_declarations(g, f);
    if (g->stage) fprintf(f, "stage %s of %s\n", g->stage, ftc_entry_name(g->stage_of));
    if (g->next_site) fprintf(f, "sites %lld\n", (long long)g->next_site);
    if (g->arena_bytes || g->scratch_bytes || g->peak_live_bytes)
        fprintf(f, "memory arena %lld scratch %lld peak %lld\n", (long long)g->arena_bytes,
                (long long)g->scratch_bytes, (long long)g->peak_live_bytes);
    print_nodes(g, f);
    print_outputs(g, f);
    if (g->n_train) fputc('\n', f);
    print_settings("train", g->train, g->n_train, f);
}

char *ftc_print_text(const ftc_graph *g) {
    ftc_text text;
    ftc_print_graph(g, ftc_text_open(&text));
    return ftc_text_close(&text, NULL);
}
