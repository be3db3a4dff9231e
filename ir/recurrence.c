#include "ir/recurrence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/op.h"

// --- finding ------------------------------------------------------------------------------------------
//
// State i leads to scan j where scan j is computed from it. Scans that lead to each other, by their states,
// are of one recurrence.

typedef uint64_t word; // 64 scans

typedef struct {
    const ftc_graph *g;
    uint32_t n_scans, n_words;
    word *from;          // [n_nodes][n_words] the states, by their scans, that the node is computed from
    word *into;          // … the scans that are computed from it
    word *leads;         // [n_scans][n_words] the scans that the state of this one leads to
    uint32_t *component; // [n_scans] the recurrence
} search;

static bool has(const word *set, uint32_t i) {
    return set[i / 64] >> i % 64 & 1;
}

static void add(word *set, uint32_t i) {
    set[i / 64] |= (word)1 << i % 64;
}

static void add_all(const search *s, word *set, const word *more) {
    for (uint32_t i = 0; i < s->n_words; i++) set[i] |= more[i];
}

static word *row(const search *s, word *sets, uint32_t i) {
    return sets + (size_t)i * s->n_words;
}

// number[state] and number[scan] are the scan's.
static void find_paths(search *s, const uint32_t *number) {
    const ftc_graph *g = s->g;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        if (ftc_node_class(node) == FTC_CLASS_BEFORE && number[v] != UINT32_MAX)
            add(row(s, s->from, v), number[v]);
        for (int i = 0; i < node->n_args; i++) add_all(s, row(s, s->from, v), row(s, s->from, node->arg[i]));
    }
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        const ftc_node *node = &g->nodes[v];
        if (ftc_node_class(node) == FTC_CLASS_SCAN) add(row(s, s->into, v), number[v]);
        for (int i = 0; i < node->n_args; i++) add_all(s, row(s, s->into, node->arg[i]), row(s, s->into, v));
    }
}

static uint32_t find_components(search *s, const ftc_id *scans) {
    for (uint32_t j = 0; j < s->n_scans; j++)
        for (uint32_t i = 0; i < s->n_scans; i++)
            if (has(row(s, s->from, scans[j]), i)) add(row(s, s->leads, i), j);
    for (uint32_t k = 0; k < s->n_scans; k++)
        for (uint32_t i = 0; i < s->n_scans; i++)
            if (has(row(s, s->leads, i), k)) add_all(s, row(s, s->leads, i), row(s, s->leads, k));
    uint32_t n = 0;
    for (uint32_t j = 0; j < s->n_scans; j++) {
        for (uint32_t i = 0; i < j && !s->component[j]; i++)
            if (has(row(s, s->leads, i), j) && has(row(s, s->leads, j), i)) s->component[j] = s->component[i];
        if (!s->component[j]) s->component[j] = ++n;
    }
    return n;
}

// The recurrence that the node lies on: it is computed from a state of it, and a scan of it from the node.
static uint32_t recurrence_of(search *s, ftc_id id) {
    const word *from = row(s, s->from, id), *into = row(s, s->into, id);
    for (uint32_t i = 0; i < s->n_scans; i++)
        for (uint32_t j = 0; has(from, i) && j < s->n_scans; j++)
            if (has(into, j) && s->component[i] == s->component[j]) return s->component[i];
    return 0;
}

ftc_recurrences ftc_recurrences_find(const ftc_graph *g) {
    ftc_recurrences r = {.of = ftc_alloc(g->n_nodes, sizeof *r.of),
                         .scan = ftc_alloc(g->n_nodes, sizeof *r.scan)};
    search s = {.g = g};
    for (ftc_id v = 1; v < g->n_nodes; v++) s.n_scans += ftc_node_class(&g->nodes[v]) == FTC_CLASS_SCAN;
    if (!s.n_scans) return r;
    s.n_words = (s.n_scans + 63) / 64;
    uint32_t *number = ftc_alloc(g->n_nodes, sizeof *number), n = 0;
    ftc_id *scans = ftc_alloc(s.n_scans, sizeof *scans);
    memset(number, 0xff, g->n_nodes * sizeof *number);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        if (ftc_node_class(&g->nodes[v]) != FTC_CLASS_SCAN) continue;
        if (!r.scan[g->nodes[v].arg[0]]) r.scan[g->nodes[v].arg[0]] = v;
        number[v] = number[g->nodes[v].arg[0]] = n;
        scans[n++] = v;
    }
    const size_t width = s.n_words * sizeof(word);
    s.from = ftc_alloc(g->n_nodes, width);
    s.into = ftc_alloc(g->n_nodes, width);
    s.leads = ftc_alloc(s.n_scans, width);
    s.component = ftc_alloc(s.n_scans, sizeof *s.component);
    find_paths(&s, number);
    r.n = find_components(&s, scans);
    for (ftc_id v = 1; v < g->n_nodes; v++) r.of[v] = recurrence_of(&s, v);
    free(number);
    free(scans);
    free(s.from);
    free(s.into);
    free(s.leads);
    free(s.component);
    return r;
}

void ftc_recurrences_free(ftc_recurrences *r) {
    free(r->of);
    free(r->scan);
    *r = (ftc_recurrences){0};
}

// --- the order of evaluation --------------------------------------------------------------------------

typedef struct {
    const ftc_graph *g;
    const ftc_recurrences *r;
    ftc_id *first, *next; // the nodes of a recurrence: by recurrence, and by node
    bool *listed;         // by node
    ftc_id *order;
    uint32_t n;
} ordering;

// Whether all that the node reads from outside of its recurrence is listed.
static bool is_ready(const ordering *o, ftc_id id) {
    const ftc_node *node = &o->g->nodes[id];
    for (int i = 0; i < node->n_args; i++) {
        bool inside = o->r->of[id] && o->r->of[node->arg[i]] == o->r->of[id];
        if (!inside && !o->listed[node->arg[i]]) return false;
    }
    return true;
}

static void list(ordering *o, ftc_id id) {
    o->listed[id] = true;
    o->order[o->n++] = id;
}

static void list_recurrence(ordering *o, uint32_t recurrence) {
    for (ftc_id v = o->first[recurrence]; v; v = o->next[v])
        if (!is_ready(o, v)) return;
    for (ftc_id v = o->first[recurrence]; v; v = o->next[v]) list(o, v);
}

void ftc_recurrences_order(const ftc_graph *g, const ftc_recurrences *r, ftc_id *order) {
    ordering o = {.g = g, .r = r, .order = order};
    o.first = ftc_alloc(r->n + 1, sizeof *o.first);
    o.next = ftc_alloc(g->n_nodes, sizeof *o.next);
    o.listed = ftc_alloc(g->n_nodes, sizeof *o.listed);
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        if (!r->of[v]) continue;
        o.next[v] = o.first[r->of[v]];
        o.first[r->of[v]] = v;
    }
    while (o.n < g->n_nodes - 1) // once more for each recurrence that stands before what it reads
        for (ftc_id v = 1; v < g->n_nodes; v++) {
            if (o.listed[v]) continue;
            if (r->of[v])
                list_recurrence(&o, r->of[v]);
            else if (is_ready(&o, v))
                list(&o, v);
        }
    free(o.first);
    free(o.next);
    free(o.listed);
}

uint32_t ftc_recurrences_end(const ftc_graph *g, const ftc_recurrences *r, const ftc_id *order, uint32_t i) {
    const uint32_t recurrence = r->of[order[i]];
    for (i++; recurrence && i < g->n_nodes - 1 && r->of[order[i]] == recurrence;) i++;
    return i;
}

// --- what can be computed position by position --------------------------------------------------------

// Whether the node makes each position on the axis from the same position of what it reads.
static bool is_pointwise(const ftc_graph *g, const ftc_node *node, ftc_axis axis) {
    ftc_axis over = ftc_axis_over(g, axis);
    if (!ftc_axes_has(&node->type.axes, axis)) return false;
    switch (ftc_node_class(node)) {
    case FTC_CLASS_BEFORE:
    case FTC_CLASS_SCAN:
    case FTC_CLASS_MAP:
    case FTC_CLASS_DETACH:
    case FTC_CLASS_CALL:
    case FTC_CLASS_UPSTREAM: return true;
    case FTC_CLASS_REDUCE:
    case FTC_CLASS_DOT: return !ftc_axes_has(&node->axes, axis) && !ftc_axes_has(&node->axes, over);
    case FTC_CLASS_AT:
    case FTC_CLASS_PLACE: return node->axis != axis && node->axis != over;
    case FTC_CLASS_RENAME:
    case FTC_CLASS_SHIFT:
        return node->axis != axis && node->axis != over && node->to != axis && node->to != over;
    default: return false;
    }
}

// Why the node of a recurrence that goes the way of `state` cannot be part of it; false: it can.
static bool is_wrong(const ftc_graph *g, const ftc_node *node, const ftc_node *state, char *error,
                     int error_size) {
    const char *axis = g->axes[state->axis].name;
    if (ftc_node_class(node) == FTC_CLASS_BEFORE && (node->op != state->op || node->axis != state->axis)) {
        snprintf(error, (size_t)error_size,
                 "states that need each other go the same way along the same axis, this one by %s along %s, "
                 "another by %s along %s",
                 ftc_op_get(node->op)->name, g->axes[node->axis].name, ftc_op_get(state->op)->name, axis);
        return true;
    }
    for (int i = 0; i < node->type.axes.n; i++) {
        ftc_axis own = node->type.axes.at[i];
        bool fits = own == state->axis || own == ftc_axis_over(g, state->axis) ||
                    ftc_axis_extent(g, own)->kind == FTC_EXTENT_CONST;
        if (fits) continue;
        snprintf(error, (size_t)error_size,
                 "it is part of a recurrence along %s, whose values have constant axes beside it; %s is none",
                 axis, g->axes[own].name);
        return true;
    }
    if (is_pointwise(g, node, state->axis)) return false;
    snprintf(error, (size_t)error_size,
             "it is part of a recurrence along %s, in which positions see each other through states alone: "
             "of maps, and of "
             "contractions, reductions and moves along other axes",
             axis);
    return true;
}

bool ftc_recurrences_check(const ftc_graph *g, const ftc_recurrences *r, ftc_recurrence_report *report,
                           void *context) {
    ftc_id *state = ftc_alloc(r->n + 1, sizeof *state); // by recurrence: its first one
    bool *told = ftc_alloc(r->n + 1, sizeof *told);     // by recurrence: what follows from a fault is none
    bool ok = true;
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        const uint32_t own = r->of[v];
        ftc_op_class class = ftc_node_class(node);
        char error[512] = "";
        if (own && !state[own]) state[own] = v; // operands come first
        if (class == FTC_CLASS_BEFORE && !r->scan[v])
            snprintf(error, sizeof error, "no scan says what the state is: NAME = scan(STATE, NEXT)");
        else if (class == FTC_CLASS_SCAN && r->scan[node->arg[0]] != v)
            snprintf(error, sizeof error, "its state has another scan already");
        else if (own && !told[own])
            is_wrong(g, node, &g->nodes[state[own]], error, sizeof error);
        if (!*error) continue;
        report(context, v, error);
        told[own] = true;
        ok = false;
    }
    free(state);
    free(told);
    return ok;
}
