// distances: what depends on the distance of two positions alone, as a bias by relative position does, is
// computed once for each distance. A rule of simplify that looks at the whole graph.
//
//   gather(table, R, f(index(T) - index(S)))  →  gather(row, S_to_T, index(T) - index(S) + (bound - 1))
//   where                              row    =  gather(table, R, f(index(S_to_T) - (bound - 1)))
//
// S and T have one extent, of `bound` positions at most; the new axis S_to_T has a position for each
// distance. Whoever reads the value at the cells of one S reads its row side by side; gradients are added up
// by distance first, then by what f makes of distances. What costs little more than a load, as a mask, stays.
#include <stdlib.h>

#include "compiler/passes/simplify.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"

typedef enum {
    OTHER,
    FREE,     // has constant axes alone
    POSITION, // the index along `to`, in i32 or exact in f32
    DISTANCE, // made of the distance from the position on `from` to that on `to`, and of what is free
} kind;

typedef struct {
    kind kind;
    ftc_axis from, to; // one extent; from < to
    bool linear;       // a distance: plus or minus it, plus a constant
    bool dear;         // a distance: costs more than to load it
    int cost;          // a distance: about so many operations
} dependence;

enum { CHEAP = 8 }; // operations that cost about as much as a load: those of a mask

static const int64_t MOST_POSITIONS = 1 << 23; // whose distances f32 holds

static bool is_number(ftc_dtype dtype) {
    return dtype == FTC_F32 || dtype == FTC_I32;
}

// Of two positions on axes of one extent: a distance, if the operation looks at nothing else.
static dependence of_positions(const ftc_graph *g, const ftc_node *node, const dependence *x,
                               const dependence *y) {
    const ftc_op_info *info = ftc_op_get(node->op);
    if (!info->of_difference || x->to == y->to || g->axes[x->to].extent != g->axes[y->to].extent ||
        ftc_axis_extent(g, x->to)->bound > MOST_POSITIONS)
        return (dependence){.kind = OTHER};
    ftc_axis from = x->to < y->to ? x->to : y->to, to = x->to < y->to ? y->to : x->to;
    return (dependence){.kind = DISTANCE, .from = from, .to = to, .linear = info->linear_all != 0, .cost = 1};
}

// Of distances along the same axes and free values.
static dependence of_distances(const ftc_graph *g, const ftc_node *node, const dependence *of) {
    const ftc_op_info *info = ftc_op_get(node->op);
    dependence result = {.kind = DISTANCE, .from = FTC_NO_AXIS, .to = FTC_NO_AXIS, .cost = 1};
    result.linear = info->linear_all != 0;
    for (int i = 0; i < node->n_args; i++) {
        const dependence *arg = &of[node->arg[i]];
        if (arg->kind == FREE) {
            result.linear &= ftc_is_constant(&g->nodes[node->arg[i]]);
            continue;
        }
        bool other = result.from != FTC_NO_AXIS && (result.from != arg->from || result.to != arg->to);
        if (arg->kind != DISTANCE || other) return (dependence){.kind = OTHER};
        result.from = arg->from;
        result.to = arg->to;
        result.linear &= arg->linear;
        result.dear |= arg->dear;
        result.cost += arg->cost;
    }
    return result;
}

static dependence dependence_of(const ftc_graph *g, const ftc_node *node, const dependence *of) {
    const ftc_op_info *info = ftc_op_get(node->op);
    const dependence *x = node->n_args ? &of[node->arg[0]] : NULL;
    bool is_cast = info->class == FTC_CLASS_MAP && info->attrs & FTC_ATTR_DTYPE;
    if (info->class == FTC_CLASS_SOURCE && info->attrs & FTC_ATTR_INDEX)
        return (dependence){.kind = OTHER}; // random
    if (info->class == FTC_CLASS_SOURCE && info->attrs & FTC_ATTR_AXIS &&
        !ftc_axes_are_constant(g, &node->type.axes))
        return (dependence){.kind = POSITION, .to = node->axis};
    if (info->class != FTC_CLASS_CALL && info->class != FTC_CLASS_ASSIGN &&
        ftc_axes_are_constant(g, &node->type.axes))
        return (dependence){.kind = FREE};
    if (x && is_cast && x->kind == POSITION && is_number(node->type.dtype)) return *x;
    if (info->class == FTC_CLASS_MAP && node->n_args == 2 && x->kind == POSITION &&
        of[node->arg[1]].kind == POSITION)
        return of_positions(g, node, x, &of[node->arg[1]]);
    if (info->class != FTC_CLASS_MAP && info->class != FTC_CLASS_GATHER && info->class != FTC_CLASS_DOT &&
        info->class != FTC_CLASS_REDUCE)
        return (dependence){.kind = OTHER};
    dependence result = of_distances(g, node, of);
    ftc_axes both = ftc_axes_of(result.from);
    if (result.kind != DISTANCE || result.from == FTC_NO_AXIS) return (dependence){.kind = OTHER};
    ftc_axes_add(&both, result.to);
    ftc_axes_add(&both, ftc_axis_over(g, result.to));
    if (ftc_axes_intersect(&node->axes, &both).n)
        return (dependence){.kind = OTHER}; // summed or maximized over
    if (info->class == FTC_CLASS_MAP) {
        result.dear |= result.cost > CHEAP;
        return result;
    }
    // What this rule leaves behind: the row of all distances, read by distance.
    bool is_row = info->class == FTC_CLASS_GATHER && of[node->arg[1]].kind == DISTANCE &&
                  of[node->arg[1]].linear && ftc_node_class(&g->nodes[node->arg[0]]) != FTC_CLASS_LEAF;
    if (info->class == FTC_CLASS_GATHER && x->kind != FREE) return (dependence){.kind = OTHER};
    result.dear |= !is_row;
    result.linear = false;
    return result;
}

typedef struct {
    const ftc_graph *from;
    ftc_graph *to;
    const dependence *of; // by old id
    ftc_id *map, *rows;   // old id → the value; the value by distance, 0: none yet
    ftc_axis *axis;       // by axis: that of distances from it; FTC_NO_AXIS: none yet
} rewriter;

static int64_t last_position(const rewriter *r, ftc_axis axis) {
    return ftc_axis_extent(r->from, axis)->bound - 1;
}

static ftc_id i32_constant(ftc_graph *g, int64_t value) {
    return ftc_build_fill(g, (double)value, FTC_I32, &(ftc_axes){0});
}

static ftc_id index_along(ftc_graph *g, ftc_axis axis) {
    return ftc_build(g, (ftc_node){.op = FTC_OP_index, .axis = axis, .to = FTC_NO_AXIS, .decl = FTC_NO_DECL});
}

// The value for each distance.
static ftc_id row_of(rewriter *r, ftc_id old) {
    const ftc_node *node = &r->from->nodes[old];
    const dependence *own = &r->of[old];
    if (own->kind == FREE) return r->map[old];
    if (r->rows[old]) return r->rows[old];
    ftc_node copy = *node;
    ftc_axis axis = r->axis[own->from];
    for (int i = 0; i < node->n_args; i++) {
        const dependence *arg = &r->of[node->arg[i]];
        if (arg->kind != POSITION) {
            copy.arg[i] = row_of(r, node->arg[i]);
            continue;
        }
        ftc_id distance = ftc_build_map2(r->to, FTC_OP_sub, index_along(r->to, axis),
                                         i32_constant(r->to, last_position(r, own->from)));
        ftc_dtype dtype = r->from->nodes[node->arg[i]].type.dtype;
        ftc_id zero = ftc_build_fill(r->to, 0, dtype, &(ftc_axes){0});
        copy.arg[i] = arg->to == own->to ? ftc_build_cast(r->to, dtype, distance) : zero;
    }
    ftc_build_cursor(r->to, node->loc, node->phase);
    if (ftc_node_class(&copy) == FTC_CLASS_MAP)
        r->rows[old] = ftc_build_map(r->to, copy.op, copy.type.dtype, copy.n_args, copy.arg);
    else
        r->rows[old] = ftc_build(r->to, copy);
    return r->rows[old];
}

// The value, read from the row of all distances.
static ftc_id read_by_distance(rewriter *r, ftc_id old) {
    const dependence *own = &r->of[old];
    const ftc_node *node = &r->from->nodes[old];
    ftc_id row = row_of(r, old);
    ftc_build_cursor(r->to, node->loc, node->phase);
    ftc_id distance =
        ftc_build_map2(r->to, FTC_OP_sub, index_along(r->to, own->to), index_along(r->to, own->from));
    ftc_id place =
        ftc_build_map2(r->to, FTC_OP_add, distance, i32_constant(r->to, last_position(r, own->from)));
    return ftc_build_gather(r->to, row, r->axis[own->from], place, -1);
}

// The axis of the distances from `from` to `to`.
static ftc_axis add_axis(ftc_graph *g, ftc_axis from, ftc_axis to) {
    const char *name = ftc_graph_format(g, "%s_to_%s", g->axes[from].name, g->axes[to].name);
    while (ftc_graph_find_axis(g, name) != FTC_NO_AXIS) name = ftc_graph_format(g, "%s_", name);
    int64_t count = 2 * ftc_axis_extent(g, from)->bound - 1;
    ftc_extent_def extent = {.kind = FTC_EXTENT_CONST, .name = name, .bound = count, .over = FTC_NO_AXIS};
    return ftc_graph_add_axis(g, name, ftc_graph_add_extent(g, extent));
}

bool ftc_sweep_distances(ftc_graph *g) {
    dependence *of = ftc_alloc(g->n_nodes, sizeof *of);
    bool *wanted = ftc_alloc(g->n_nodes, sizeof *wanted), changed = false;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        const ftc_node *node = &g->nodes[id];
        of[id] = dependence_of(g, node, of);
        if (of[id].kind == DISTANCE) continue;
        for (int i = 0; i < node->n_args; i++)
            wanted[node->arg[i]] |= of[node->arg[i]].kind == DISTANCE && of[node->arg[i]].dear;
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        wanted[g->outputs[i].node] |= of[g->outputs[i].node].kind == DISTANCE && of[g->outputs[i].node].dear;
    ftc_axis *axis = ftc_alloc(FTC_MAX_GRAPH_AXES, sizeof *axis);
    for (int i = 0; i < FTC_MAX_GRAPH_AXES; i++) axis[i] = FTC_NO_AXIS;
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        wanted[id] &= axis[of[id].from] != FTC_NO_AXIS || g->n_axes < FTC_MAX_GRAPH_AXES;
        if (!wanted[id]) continue;
        changed = true;
        if (axis[of[id].from] == FTC_NO_AXIS) axis[of[id].from] = add_axis(g, of[id].from, of[id].to);
    }
    if (changed) {
        rewriter r = {g,
                      ftc_graph_new_like(g),
                      of,
                      ftc_alloc(g->n_nodes, sizeof *r.map),
                      ftc_alloc(g->n_nodes, sizeof *r.rows),
                      axis};
        for (ftc_id id = 1; id < g->n_nodes; id++)
            r.map[id] = wanted[id] ? read_by_distance(&r, id) : ftc_graph_copy_node(r.to, g, id, r.map);
        ftc_graph_replace_nodes(g, r.to, r.map);
        free(r.map);
        free(r.rows);
    }
    free(axis);
    free(wanted);
    free(of);
    return changed;
}
