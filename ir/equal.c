// Whether two graphs say the same (declared in ir/print.h): what print → parse is checked with.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/print.h"

static bool same_text(const char *a, const char *b) {
    return a && b ? !strcmp(a, b) : a == b;
}

// Equal bits, but all NaNs are the same.
static bool same_number(double a, double b) {
    return (a != a && b != b) || !memcmp(&a, &b, sizeof a);
}

static bool same_axes(const ftc_axes *a, const ftc_axes *b) {
    return a->n == b->n && !memcmp(a->at, b->at, a->n * sizeof *a->at);
}

static bool same_type(const ftc_type *a, const ftc_type *b) {
    return a->dtype == b->dtype && same_axes(&a->axes, &b->axes);
}

static bool same_extent(const ftc_extent_def *a, const ftc_extent_def *b) {
    return a->kind == b->kind && a->bound == b->bound && (a->kind != FTC_EXTENT_RAGGED || a->over == b->over);
}

static bool same_decl(const ftc_decl_def *a, const ftc_decl_def *b) {
    if (a->n_dims != b->n_dims) return false;
    for (int i = 0; i < a->n_dims; i++)
        if (!same_axes(&a->dims[i], &b->dims[i])) return false;
    bool param = a->kind == FTC_DECL_PARAM;
    return a->kind == b->kind && same_text(a->name, b->name) && same_type(&a->type, &b->type) &&
           (!param || (a->init == b->init && a->zero_row == b->zero_row && a->frozen == b->frozen)) &&
           (!param || same_number(a->init_scale, b->init_scale)) && a->of == b->of &&
           (a->kind != FTC_DECL_TOUCHED || a->by == b->by) && a->bound == b->bound &&
           (a->kind != FTC_DECL_INPUT || (a->from == b->from && same_text(a->column, b->column))) &&
           (a->kind != FTC_DECL_ARG || same_number(a->value, b->value)) && a->role == b->role;
}

static bool same_node(const ftc_graph *g, const ftc_node *a, const ftc_graph *h, const ftc_node *b) {
    uint32_t attrs = ftc_op_get(a->op)->attrs;
    return a->op == b->op &&
           (!(attrs & FTC_ATTR_SYMBOL) || same_text(g->symbols[a->symbol], h->symbols[b->symbol])) &&
           same_type(&a->type, &b->type) && a->n_args == b->n_args &&
           !memcmp(a->arg, b->arg, a->n_args * sizeof *a->arg) &&
           (!(attrs & FTC_ATTR_AXES) || same_axes(&a->axes, &b->axes)) &&
           (!(attrs & FTC_ATTR_AXIS) || a->axis == b->axis) && (!(attrs & FTC_ATTR_TO) || a->to == b->to) &&
           (!(attrs & FTC_ATTR_VALUE) || same_number(a->value, b->value)) &&
           (!(attrs & FTC_ATTR_INDEX) || a->index == b->index) &&
           (!(attrs & FTC_ATTR_DECL) || a->decl == b->decl) && a->entries == b->entries &&
           a->outer == b->outer && a->phase == b->phase && a->kept == b->kept && a->kernel == b->kernel &&
           a->step == b->step && a->offset == b->offset;
}

static bool same_kernel(const ftc_kernel *a, const ftc_kernel *b) {
    return a->kind == b->kind && same_text(a->name, b->name) && same_axes(&a->rows, &b->rows) &&
           same_axes(&a->cols, &b->cols) && a->block == b->block &&
           (a->block == FTC_NO_AXIS || a->block_size == b->block_size) && a->has_window == b->has_window &&
           a->window_low == b->window_low && a->window_high == b->window_high && a->barrier == b->barrier &&
           same_text(a->plain, b->plain);
}

static bool same_setting(const ftc_graph_setting *a, const ftc_graph_setting *b) {
    return same_text(a->name, b->name) && same_text(a->hf_name, b->hf_name) && same_text(a->text, b->text) &&
           a->role == b->role &&
           (a->text || (same_number(a->number, b->number) && a->is_integer == b->is_integer));
}

static bool same_output(const ftc_output *a, const ftc_output *b) {
    return same_text(a->name, b->name) && a->node == b->node && a->entries == b->entries &&
           a->role == b->role && a->of == b->of;
}

// The same but for blanks.
static bool same_functions(const char *a, const char *b) {
    if (!a || !b) return a == b;
    while (*a && *b) {
        a += strspn(a, " \t\r\n"), b += strspn(b, " \t\r\n");
        if (*a != *b) return false;
        if (*a) a++, b++;
    }
    return !a[strspn(a, " \t\r\n")] && !b[strspn(b, " \t\r\n")];
}

static bool same_axis(const ftc_axis_def *a, const ftc_axis_def *b) {
    return same_text(a->name, b->name) && a->extent == b->extent;
}

static void describe_node(const ftc_graph *a, const ftc_graph *b, ftc_id id, char *why, int why_size) {
    ftc_text both;
    FILE *f = ftc_text_open(&both);
    fputs("node ", f);
    ftc_print_node(a, id, f);
    fputs("is not ", f);
    ftc_print_node(b, id, f);
    char *text = ftc_text_close(&both, NULL);
    snprintf(why, (size_t)why_size, "%s", text);
    free(text);
}

bool ftc_graph_equal(const ftc_graph *a, const ftc_graph *b, char *why, int why_size) {
#define DIFFERENT(...) return snprintf(why, (size_t)why_size, __VA_ARGS__), false
#define COMPARE(first, count, list, same)                                                                    \
    do {                                                                                                     \
        if (a->count != b->count) DIFFERENT("%u and %u %s", a->count, b->count, #list);                      \
        for (uint32_t i = first; i < a->count; i++)                                                          \
            if (!same(&a->list[i], &b->list[i])) DIFFERENT("%s[%u] differs", #list, i);                      \
    } while (0)
    if (!same_text(a->model, b->model)) DIFFERENT("models %s and %s", a->model, b->model);
    COMPARE(0, n_extents, extents, same_extent);
    COMPARE(0, n_axes, axes, same_axis);
    COMPARE(0, n_decls, decls, same_decl);
    if (a->n_nodes != b->n_nodes) DIFFERENT("%u and %u nodes", a->n_nodes - 1, b->n_nodes - 1);
    for (ftc_id id = 1; id < a->n_nodes; id++)
        if (!same_node(a, &a->nodes[id], b, &b->nodes[id]))
            return describe_node(a, b, id, why, why_size), false;
    COMPARE(0, n_outputs, outputs, same_output);
    COMPARE(1, n_kernels, kernels, same_kernel);
    COMPARE(0, n_config, config, same_setting);
    if (!same_functions(a->functions, b->functions)) DIFFERENT("the model's own functions differ");
    COMPARE(0, n_family, family, same_setting);
    COMPARE(0, n_train, train, same_setting);
    if (a->next_site != b->next_site)
        DIFFERENT("%lld and %lld random sites", (long long)a->next_site, (long long)b->next_site);
    if (a->arena_bytes != b->arena_bytes || a->scratch_bytes != b->scratch_bytes ||
        a->peak_live_bytes != b->peak_live_bytes)
        DIFFERENT("the sizes of the arena differ");
    return true;
#undef COMPARE
#undef DIFFERENT
}
