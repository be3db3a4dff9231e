// demand and support: when only one position of an axis is read, or only one can be other than zero, only
// that position is computed. They are rules of simplify that look at the whole graph.
//
//   demand   at(x, S, i) moves up. When every reader of x wants position i of S alone, x is computed for it
//            alone, if its operation can be (maps, contractions, …); what it reads is wanted there alone,
//            too, unless others want more. So a head that reads the first token leaves the last layer one
//            query for each sequence.
//   support  place(x, S, i) moves down. Where an operand is zero but at position i and the operation keeps
//            that (products, contractions, …), the result is computed there alone. A contraction over S
//            becomes one without a sum. So the backward pass of that layer shrinks to one token, too.
//
// Neither passes an axis by which others of a value are ragged, nor leaves, nor random numbers, whose
// coordinates count; and support along the axis of a recurrence ends before it, which makes each position
// from that position alone.
#include <stdlib.h>

#include "compiler/passes/pattern.h"
#include "compiler/passes/simplify.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/recurrence.h"

// One position of an axis.
typedef struct {
    ftc_axis axis;
    int64_t index;
} position;

static bool same_position(position a, position b) {
    return a.axis == b.axis && a.index == b.index;
}

static const ftc_axes *axes_of(const ftc_graph *g, ftc_id id) {
    return &ftc_graph_node(g, id)->type.axes;
}

static bool is_ragged_over(const ftc_graph *g, const ftc_axes *axes, ftc_axis over) {
    for (int i = 0; i < axes->n; i++)
        if (ftc_axis_over(g, axes->at[i]) == over) return true;
    return false;
}

// No axis of the node or of its operands is ragged over the position's axis.
static bool can_fix(const ftc_graph *g, const ftc_node *node, ftc_axis axis) {
    if (is_ragged_over(g, &node->type.axes, axis)) return false;
    for (int i = 0; i < node->n_args; i++)
        if (is_ragged_over(g, axes_of(g, node->arg[i]), axis)) return false;
    return true;
}

// The node `node` (attributes and new operands), with the axis of the position removed from its own.
static ftc_id rebuilt(ftc_graph *g, ftc_node node, ftc_axis fixed) {
    ftc_build_cursor(g, node.loc, node.phase);
    if (ftc_node_class(&node) == FTC_CLASS_MAP)
        return ftc_build_map(g, node.op, node.type.dtype, node.n_args, node.arg);
    ftc_axes removed = ftc_axes_of(fixed);
    node.axes = ftc_axes_minus(&node.axes, &removed);
    if (ftc_node_class(&node) == FTC_CLASS_DOT) return ftc_build_dot(g, node.arg[0], node.arg[1], &node.axes);
    bool reduces_nothing = ftc_node_class(&node) == FTC_CLASS_REDUCE && !node.axes.n;
    return reduces_nothing ? node.arg[0] : ftc_build(g, node);
}

// --- demand -------------------------------------------------------------------------------------------

typedef enum { UNREAD, ONE_POSITION, EVERYWHERE } extent_read;

typedef struct {
    extent_read read;
    position where;
} demand;

static void add_demand(demand *d, extent_read read, position where) {
    if (d->read == UNREAD)
        *d = (demand){read, where};
    else if (d->read != read || !same_position(d->where, where))
        d->read = EVERYWHERE;
}

// Whether a function's gradient text (FTC_CLASS_CALL) makes each position along the axis from the same
// position of what it reads.
static bool is_pointwise_text(const ftc_graph *g, const ftc_node *call, ftc_axis axis) {
    ftc_id value = call->arg[0], dx = call->arg[2];
    while (ftc_node_class(ftc_graph_node(g, value)) == FTC_CLASS_CALL)
        value = ftc_graph_node(g, value)->arg[0];
    for (ftc_id id = value + 1; id <= dx; id++) {
        const ftc_node *node = ftc_graph_node(g, id);
        ftc_op_class class = ftc_node_class(node);
        bool keeps = class == FTC_CLASS_MAP || class == FTC_CLASS_DETACH || class == FTC_CLASS_CALL ||
                     class == FTC_CLASS_UPSTREAM || class == FTC_CLASS_REDUCE || class == FTC_CLASS_DOT ||
                     class == FTC_CLASS_SOURCE || class == FTC_CLASS_LEAF;
        if (!keeps || ftc_axes_has(&node->axes, axis)) return false;
    }
    return true;
}

// Whether the node can be computed at one position of an axis of its result.
static bool can_narrow(const ftc_graph *g, const ftc_node *node, ftc_axis axis) {
    if (!can_fix(g, node, axis)) return false;
    double value;
    switch (ftc_node_class(node)) {
    case FTC_CLASS_MAP:
    case FTC_CLASS_REDUCE:
    case FTC_CLASS_DOT:
    case FTC_CLASS_GATHER:
    case FTC_CLASS_PLACE:
    case FTC_CLASS_RENAME:
    case FTC_CLASS_DETACH:
    case FTC_CLASS_UPSTREAM: return true;
    // In one order: of each token a part, of one token.
    case FTC_CLASS_AT:
        return ftc_axis_over(g, axis) != FTC_NO_AXIS && ftc_axis_over(g, node->axis) == FTC_NO_AXIS;
    case FTC_CLASS_SHIFT: return axis != node->to; // at_shift does that
    case FTC_CLASS_CALL: return is_pointwise_text(g, node, axis);
    case FTC_CLASS_SOURCE: return ftc_known_at(node, axis, 0, &value);
    default: return false;
    }
}

// What a reader that is computed at `where` alone wants of its operands.
static position operand_position(const ftc_node *reader, position where) {
    if (ftc_node_class(reader) == FTC_CLASS_RENAME && reader->to == where.axis) where.axis = reader->axis;
    return where;
}

static demand *find_demands(const ftc_graph *g) {
    demand *demands = ftc_alloc(g->n_nodes, sizeof *demands);
    const position nowhere = {FTC_NO_AXIS, 0};
    for (uint32_t i = 0; i < g->n_outputs; i++) add_demand(&demands[g->outputs[i].node], EVERYWHERE, nowhere);
    for (ftc_id id = g->n_nodes; id-- > 1;) {
        const ftc_node *node = ftc_graph_node(g, id);
        demand *own = &demands[id];
        ftc_op_class class = ftc_node_class(node);
        // Of a scan the state reads each position, too.
        if (class == FTC_CLASS_ASSIGN || class == FTC_CLASS_LEAF || class == FTC_CLASS_SCAN)
            own->read = EVERYWHERE;
        if (own->read == ONE_POSITION && !can_narrow(g, node, own->where.axis)) own->read = EVERYWHERE;
        if (own->read == UNREAD) continue;
        for (int i = 0; i < node->n_args; i++) {
            position at = {node->axis, node->index};
            bool one = ftc_node_class(node) == FTC_CLASS_AT;
            if (own->read == ONE_POSITION) {
                at = operand_position(node, own->where);
                one = ftc_axes_has(axes_of(g, node->arg[i]), at.axis);
            }
            add_demand(&demands[node->arg[i]], one ? ONE_POSITION : EVERYWHERE, one ? at : nowhere);
        }
    }
    return demands;
}

typedef struct {
    const ftc_graph *from;
    ftc_graph *to;
    const demand *demands;
    ftc_id *map; // old id → the value, at one position where that is all that is read
} demand_rewriter;

// The operand `old` at the position; as it is when it lacks the axis.
static ftc_id value_at(const demand_rewriter *r, ftc_id old, position where) {
    bool narrowed = r->demands[old].read == ONE_POSITION;
    if (narrowed || !ftc_axes_has(axes_of(r->from, old), where.axis)) return r->map[old];
    return ftc_build_at(r->to, r->map[old], where.axis, where.index);
}

static ftc_id narrowed(const demand_rewriter *r, ftc_id id) {
    const ftc_node *node = ftc_graph_node(r->from, id);
    position where = r->demands[id].where, inner = operand_position(node, where);
    ftc_axes removed = ftc_axes_of(where.axis), rest = ftc_axes_minus(&node->type.axes, &removed);
    ftc_op_class class = ftc_node_class(node);
    ftc_build_cursor(r->to, node->loc, node->phase);
    double value;
    if (class == FTC_CLASS_SOURCE && ftc_known_at(node, where.axis, where.index, &value))
        return ftc_build_fill(r->to, value, node->type.dtype, &rest);
    if (class == FTC_CLASS_RENAME && node->to == where.axis) return value_at(r, node->arg[0], inner);
    if (class == FTC_CLASS_PLACE && node->axis == where.axis)
        return node->index == where.index ? r->map[node->arg[0]]
                                          : ftc_build_fill(r->to, 0, node->type.dtype, &rest);
    ftc_node copy = *node;
    for (int i = 0; i < node->n_args; i++) copy.arg[i] = value_at(r, node->arg[i], inner);
    return rebuilt(r->to, copy, where.axis);
}

bool ftc_sweep_demand(ftc_graph *g) {
    demand *demands = find_demands(g);
    bool changed = false;
    for (ftc_id id = 1; id < g->n_nodes; id++) changed |= demands[id].read == ONE_POSITION;
    if (changed) {
        ftc_graph *out = ftc_graph_new_like(g);
        demand_rewriter r = {g, out, demands, ftc_alloc(g->n_nodes, sizeof(ftc_id))};
        for (ftc_id id = 1; id < g->n_nodes; id++) {
            const ftc_node *node = ftc_graph_node(g, id);
            if (demands[id].read == UNREAD) continue;
            if (demands[id].read == ONE_POSITION)
                r.map[id] = narrowed(&r, id);
            else if (ftc_node_class(node) == FTC_CLASS_AT && demands[node->arg[0]].read == ONE_POSITION)
                r.map[id] = r.map[node->arg[0]];
            else
                r.map[id] = ftc_graph_copy_node(out, g, id, r.map);
        }
        ftc_graph_replace_nodes(g, out, r.map);
        free(r.map);
    }
    free(demands);
    return changed;
}

// --- support ------------------------------------------------------------------------------------------

typedef struct {
    bool one_position; // zero elsewhere
    position where;
} support;

// Mask of the operands that are zero but at the position.
static uint8_t supported_args(const ftc_graph *g, const support *supports, const ftc_node *node,
                              position where) {
    uint8_t mask = 0;
    for (int i = 0; i < node->n_args; i++) {
        const support *s = &supports[node->arg[i]];
        bool zero = ftc_is_zero(ftc_graph_node(g, node->arg[i]));
        if (zero || (s->one_position && same_position(s->where, where))) mask |= (uint8_t)(1 << i);
    }
    return mask;
}

// Whether the node can be computed from its operands at the position alone; if so, says whether its result
// lies there alone (else it lacks the axis).
static bool passes_support(const ftc_graph *g, const support *supports, const ftc_node *node, position where,
                           bool *result_has_axis) {
    const ftc_op_info *info = ftc_op_get(node->op);
    uint8_t mask = supported_args(g, supports, node, where);
    if (!can_fix(g, node, where.axis)) return false;
    *result_has_axis = ftc_axes_has(&node->type.axes, where.axis);
    switch (info->class) {
    case FTC_CLASS_MAP:
        return (mask & info->zero_any) || (info->zero_all && (mask & info->zero_all) == info->zero_all);
    case FTC_CLASS_REDUCE: return info->identity == 0;
    case FTC_CLASS_DOT: return true;
    case FTC_CLASS_SCATTER: return mask & 1;
    case FTC_CLASS_DETACH: return true;
    default: return false;
    }
}

// The position at which alone some operand is not zero; false when there is none.
static bool operand_support(const support *supports, const ftc_node *node, position *where) {
    for (int i = 0; i < node->n_args; i++) {
        if (!supports[node->arg[i]].one_position) continue;
        *where = supports[node->arg[i]].where;
        return true;
    }
    return false;
}

typedef struct {
    const ftc_graph *from;
    ftc_graph *to;
    support *supports;
    const uint32_t *recurrence; // by old id: the one that it is part of, whose positions are made one by one
    ftc_id *map;    // old id → the whole value; 0 for a supported one that nobody has read as a whole yet
    ftc_id *narrow; // old id → the value at the position, for supported ones
} support_rewriter;

static ftc_id whole(support_rewriter *r, ftc_id old) {
    const support *s = &r->supports[old];
    if (!r->map[old])
        r->map[old] =
            ftc_build_place(r->to, r->narrow[old], s->where.axis, s->where.index, axes_of(r->from, old));
    return r->map[old];
}

static ftc_id supported_at(support_rewriter *r, ftc_id old, position where) {
    const support *s = &r->supports[old];
    if (s->one_position && same_position(s->where, where)) return r->narrow[old];
    ftc_id value = whole(r, old);
    return ftc_axes_has(axes_of(r->from, old), where.axis)
               ? ftc_build_at(r->to, value, where.axis, where.index)
               : value;
}

// Rewrites one node; true when it is computed at one position now.
static bool rewrite_support(support_rewriter *r, ftc_id id) {
    const ftc_node *node = ftc_graph_node(r->from, id);
    ftc_op_class class = ftc_node_class(node);
    support *own = &r->supports[id];
    position where;
    bool has_axis;
    ftc_build_cursor(r->to, node->loc, node->phase);
    if (class == FTC_CLASS_PLACE && !is_ragged_over(r->from, &node->type.axes, node->axis)) {
        *own = (support){true, {node->axis, node->index}};
        r->narrow[id] = whole(r, node->arg[0]);
        return false;
    }
    const bool supported = operand_support(r->supports, node, &where);
    const bool stays = supported && r->recurrence[id] && ftc_axis_over(r->from, where.axis) != FTC_NO_AXIS;
    if (class == FTC_CLASS_RENAME && supported && !stays) {
        bool renames_it = node->axis == where.axis;
        ftc_id x = r->narrow[node->arg[0]];
        r->narrow[id] = renames_it ? x : ftc_build_rename(r->to, x, node->axis, node->to);
        if (renames_it) where.axis = node->to;
        *own = (support){true, where};
        return true;
    }
    if (supported && !stays && passes_support(r->from, r->supports, node, where, &has_axis)) {
        ftc_node copy = *node;
        for (int i = 0; i < node->n_args; i++) copy.arg[i] = supported_at(r, node->arg[i], where);
        ftc_id value = rebuilt(r->to, copy, where.axis);
        *own = (support){has_axis, where};
        *(has_axis ? &r->narrow[id] : &r->map[id]) = value;
        return true;
    }
    ftc_node copy = *node;
    for (int i = 0; i < node->n_args; i++) copy.arg[i] = whole(r, node->arg[i]);
    r->map[id] = ftc_graph_append(r->to, copy);
    return false;
}

bool ftc_sweep_support(ftc_graph *g) {
    bool changed = false;
    for (ftc_id id = 1; id < g->n_nodes; id++)
        changed |= ftc_node_class(ftc_graph_node(g, id)) == FTC_CLASS_PLACE;
    if (!changed) return false;
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_recurrences recurrences = ftc_recurrences_find(g);
    support_rewriter r = {.from = g, .to = out, .recurrence = recurrences.of};
    r.supports = ftc_alloc(g->n_nodes, sizeof *r.supports);
    r.map = ftc_alloc(g->n_nodes, sizeof *r.map);
    r.narrow = ftc_alloc(g->n_nodes, sizeof *r.narrow);
    changed = false;
    for (ftc_id id = 1; id < g->n_nodes; id++) changed |= rewrite_support(&r, id);
    for (uint32_t i = 0; i < g->n_outputs; i++) whole(&r, g->outputs[i].node);
    ftc_graph_replace_nodes(g, out, r.map);
    ftc_recurrences_free(&recurrences);
    free(r.supports);
    free(r.map);
    free(r.narrow);
    return changed;
}
