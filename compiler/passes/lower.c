// lower: rewrites what no kernel does into what kernels do.
//
//   - A contraction with more than one row, column or summed axis at each position of its batch axes, or
//     without any column, or whose operands are no matrices in memory, becomes a sum of products.
//     Within sequences, where only one operand has heads, it becomes one for each head instead.
//   - Within a recurrence, what is no row times a matrix at each position becomes a sum of products, and a
//     reduction along several axes one after the other.
//   - A slice of a value over tokens becomes a copy where a matrix product reads it, and where a later phase
//     reads less than the whole, which would be kept for it.
//   - A scatter_add of what a tile makes, as the gradient of a bias by relative position, becomes one within
//     each sequence, which the tile does, and a sum of these; one of a sum of what several tiles make
//     becomes a sum of such. Any other within sequences, or into rows that have no constant size, becomes a
//     sum over all tokens.
//   - A reduction of a value over two ragged axes along several axes becomes two: along the last ragged
//     one, which makes a value that can be in memory, then along the others.
//   - A sum of such a value, made of contractions, along the first ragged axis, which tile kernels cut into
//     blocks, becomes a contraction with ones, which they add up block by block.
//   - An output that is a parameter or an input, another name for a value, or the same value as another
//     output becomes a copy, since each output has memory of its own; so does one whose axes lie in another
//     order.
//   - A parameter, an input or another name that is assigned becomes a copy, since an assignment stands where
//     its value is computed. A constant that is assigned to several tensors becomes one for each, so that
//     their kernels have nothing in common.
#include <stdlib.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/regions.h"
#include "ir/base/alloc.h"
#include "ir/build.h"
#include "ir/op.h"
#include "ir/recurrence.h"

static bool is_ragged(const ftc_graph *g, ftc_axis axis) {
    return ftc_axis_over(g, axis) != FTC_NO_AXIS;
}

// Of axes that stand beside a ragged one: the others.
static ftc_axes beside_ragged(const ftc_graph *g, const ftc_axes *axes) {
    ftc_axes others = {0};
    for (int i = 0; i < axes->n; i++)
        if (!is_ragged(g, axes->at[i])) ftc_axes_add(&others, axes->at[i]);
    return others.n < axes->n ? others : (ftc_axes){0};
}

// x times one: in f32 where it is bf16, which has no arithmetic.
static ftc_id times_one(ftc_graph *g, ftc_id x, const ftc_axes *along) {
    ftc_dtype dtype = g->nodes[x].type.dtype, wide = dtype == FTC_BF16 ? FTC_F32 : dtype;
    ftc_id one = ftc_build_fill(g, 1, wide, along);
    return ftc_build_cast(g, dtype, ftc_build_map2(g, FTC_OP_mul, ftc_build_cast(g, wide, x), one));
}

static ftc_id repeated(ftc_graph *g, ftc_id x, const ftc_axes *along) {
    return along->n ? times_one(g, x, along) : x;
}

// A contraction within sequences where only one operand has heads, as queries on shared keys: one for each
// head. 0: it is none.
static ftc_id for_each_head(ftc_graph *g, const ftc_node *dot, ftc_id a, ftc_id b) {
    ftc_node mapped = *dot;
    mapped.arg[0] = a;
    mapped.arg[1] = b;
    ftc_dot_shape c = ftc_region_dot_shape(g, &mapped);
    ftc_axes rows = beside_ragged(g, &c.rows), cols = beside_ragged(g, &c.cols),
             sums = beside_ragged(g, &c.sums);
    if (c.batch.n == 0 || rows.n + cols.n + sums.n == 0 || c.rows.n - rows.n > 1 || c.cols.n - cols.n != 1 ||
        c.sums.n - sums.n > 1)
        return 0;
    ftc_build_cursor(g, dot->loc, dot->phase);
    ftc_axes along = ftc_axes_minus(&dot->axes, &sums);
    ftc_id product = ftc_build_dot(g, repeated(g, c.a, &cols), repeated(g, c.b, &rows), &along);
    if (sums.n) product = ftc_build_sum(g, product, &sums);
    g->nodes[product].type.axes = dot->type.axes; // the layout that was chosen
    return product;
}

// scatter_add as a sum over all tokens: what is not added to a row counts as zero there.
static ftc_id sum_of_hits(ftc_graph *g, const ftc_node *scatter, ftc_id x, ftc_id indices) {
    ftc_build_cursor(g, scatter->loc, scatter->phase);
    ftc_type type = g->nodes[indices].type;
    ftc_id row = ftc_build(
        g, (ftc_node){.op = FTC_OP_index, .axis = scatter->axis, .to = FTC_NO_AXIS, .decl = FTC_NO_DECL});
    ftc_id hit = ftc_build_map2(g, FTC_OP_eq, indices, ftc_build_cast(g, type.dtype, row));
    if (scatter->index >= 0) {
        ftc_id dead = ftc_build_fill(g, (double)scatter->index, type.dtype, &(ftc_axes){0});
        hit = ftc_build_map2(g, FTC_OP_and, hit,
                             ftc_build_map1(g, FTC_OP_not, ftc_build_map2(g, FTC_OP_eq, indices, dead)));
    }
    ftc_axes summed = ftc_axes_minus(&type.axes, &scatter->axes);
    ftc_id sum = ftc_build_sum(g, ftc_build_select(g, hit, x, ftc_build_const(g, 0)), &summed);
    g->nodes[sum].type.axes = scatter->type.axes; // the layout that was chosen
    return sum;
}

// Whether a scatter kernel adds up over all indices, and has room for a row of the table.
static bool has_constant_rows(const ftc_graph *g, const ftc_node *scatter) {
    return scatter->axes.n == 0 && ftc_region_constant_size(g, &scatter->type.axes) >= 0;
}

// A sum of a value over two ragged axes along others, as heads.
static bool is_sum_within_pairs(const ftc_graph *g, const ftc_node *node) {
    bool along_ragged = false;
    for (int i = 0; i < node->axes.n; i++) along_ragged |= is_ragged(g, node->axes.at[i]);
    return ftc_is_sum(node) && !along_ragged && ftc_region_is_quadratic(g, &node->type);
}

// The contractions for each of its cells that make a value over two ragged axes, or, with `sums`, what it is
// the sum of along other axes, which a tile kernel computes; by node, to be freed. *any: there are some, so
// it is not of maps alone, which each reader may repeat.
static bool *find_contractions(const ftc_graph *g, ftc_id x, bool sums, bool *any) {
    bool *asked = ftc_alloc(x + 1, sizeof *asked), *found = ftc_alloc(g->n_nodes, sizeof *found);
    *any = false;
    asked[x] = true;
    for (ftc_id v = x; v > 0; v--) {
        const ftc_node *node = &g->nodes[v];
        ftc_op_class class = ftc_node_class(node);
        if (!asked[v]) continue;
        found[v] = class == FTC_CLASS_DOT;
        *any |= found[v];
        bool is_view = class == FTC_CLASS_RENAME || class == FTC_CLASS_DETACH;
        is_view |= sums && is_sum_within_pairs(g, node);
        for (int i = 0; i < node->n_args && (is_view || class == FTC_CLASS_MAP); i++)
            asked[node->arg[i]] |=
                is_view || ftc_axes_same_set(&g->nodes[node->arg[i]].type.axes, &node->type.axes);
    }
    free(asked);
    return found;
}

static bool is_made_by_tile(const ftc_graph *g, ftc_id x) {
    bool any;
    free(find_contractions(g, x, false, &any));
    return any;
}

// Whether it is a sum or difference of values that are made of different contractions: by several tiles.
static bool is_sum_of_tiles(const ftc_graph *g, ftc_id x) {
    const ftc_node *node = &g->nodes[x];
    const ftc_op_info *info = ftc_op_get(node->op);
    if (info->class != FTC_CLASS_MAP || info->n_args != 2 || info->linear_all != 3) return false;
    bool any[2], apart = true, *made[2];
    for (int i = 0; i < 2; i++) {
        made[i] = find_contractions(g, node->arg[i], true, &any[i]);
        apart &= any[i] && ftc_axes_same_set(&g->nodes[node->arg[i]].type.axes, &node->type.axes);
    }
    for (ftc_id v = 1; v <= x; v++) apart &= !made[0][v] || !made[1][v];
    free(made[0]);
    free(made[1]);
    return apart;
}

// Whether a tile that makes x can add it up: the sum is over ragged axes of a sequence.
static bool scatters_in_tile(const ftc_graph *g, const ftc_node *scatter, ftc_id x, ftc_id indices) {
    ftc_axes ragged = {0}, *axes = &g->nodes[x].type.axes;
    for (int i = 0; i < axes->n; i++)
        if (is_ragged(g, axes->at[i])) ftc_axes_add(&ragged, axes->at[i]);
    ftc_axes summed = ftc_axes_minus(&g->nodes[indices].type.axes, &scatter->axes);
    return ragged.n == 2 && ftc_axes_over(g, &ragged, ftc_axis_over(g, ragged.at[0])).n == 2 &&
           ftc_axes_intersect(&summed, &ragged).n > 0 &&
           ftc_region_is_quadratic(g, &g->nodes[indices].type) &&
           ftc_region_constant_size(g, &(ftc_axes){.n = 1, .at = {scatter->axis}}) > 0;
}

// … within each sequence, and at each position of the indices' other axes, then over these.
static ftc_id scattered_in_tile(ftc_graph *g, const ftc_node *scatter, ftc_id x, ftc_id indices) {
    ftc_axes kept = {0}, all = g->nodes[indices].type.axes, row = ftc_axes_of(scatter->axis);
    for (int i = 0; i < all.n; i++) {
        bool stays = !is_ragged(g, all.at[i]) || ftc_axes_has(&scatter->axes, all.at[i]);
        if (stays) ftc_axes_add(&kept, all.at[i]);
    }
    ftc_id sum = ftc_build_scatter_add(g, x, scatter->axis, indices, scatter->index, &kept);
    ftc_axes others = ftc_axes_minus(&g->nodes[sum].type.axes, &row);
    g->nodes[sum].type.axes = ftc_axes_union(&others, &row); // cells of a row lie side by side
    ftc_axes over = ftc_axes_minus(&kept, &scatter->axes);
    return ftc_build_sum(g, sum, &over);
}

static ftc_id scattered(ftc_graph *g, const ftc_node *scatter, ftc_id x, ftc_id indices) {
    ftc_build_cursor(g, scatter->loc, scatter->phase);
    if (is_sum_of_tiles(g, x)) {
        ftc_node sum = g->nodes[x];
        for (int i = 0; i < 2; i++) sum.arg[i] = scattered(g, scatter, sum.arg[i], indices);
        return ftc_build_map2(g, sum.op, sum.arg[0], sum.arg[1]);
    }
    if (is_sum_within_pairs(g, &g->nodes[x]) && is_made_by_tile(g, g->nodes[x].arg[0])) {
        ftc_axes along = g->nodes[x].axes;
        ftc_id sum = scattered(g, scatter, g->nodes[x].arg[0], indices);
        return ftc_build_sum(g, sum, &along);
    }
    if (scatters_in_tile(g, scatter, x, indices) && is_made_by_tile(g, x))
        return scattered_in_tile(g, scatter, x, indices);
    if (!has_constant_rows(g, scatter)) return sum_of_hits(g, scatter, x, indices);
    return ftc_build_scatter_add(g, x, scatter->axis, indices, scatter->index, &scatter->axes);
}

// x, which has two ragged axes, reduced along one axis.
static ftc_id reduced_along(ftc_graph *g, const ftc_node *reduce, ftc_id x, ftc_axis axis) {
    ftc_axes order = ftc_axes_packed_order(g, &g->nodes[x].type.axes), ones = {0}, along = ftc_axes_of(axis);
    bool in_blocks = false; // another ragged axis follows
    for (int i = 0; i < order.n; i++) {
        bool other = is_ragged(g, order.at[i]) && order.at[i] != axis;
        if (!other) ftc_axes_add(&ones, order.at[i]);
        in_blocks |= other && is_ragged(g, axis) && i > ftc_axes_find(&order, axis);
    }
    if (in_blocks && ftc_is_sum(reduce) && is_made_by_tile(g, x))
        return ftc_build_dot(g, x, ftc_build_fill(g, 1, FTC_F32, &ones), &along);
    ftc_node node = *reduce;
    node.axes = along;
    node.arg[0] = x;
    return ftc_build(g, node);
}

// x, which has two ragged axes, reduced along the last ragged axis that is asked for, then along the others.
static ftc_id reduced(ftc_graph *g, const ftc_node *reduce, ftc_id x) {
    ftc_axes order = ftc_axes_packed_order(g, &g->nodes[x].type.axes), rest = reduce->axes;
    ftc_build_cursor(g, reduce->loc, reduce->phase);
    for (int i = order.n - 1; i >= 0; i--) {
        if (!ftc_axes_has(&rest, order.at[i]) || (rest.n > 1 && !is_ragged(g, order.at[i]))) continue;
        ftc_axes first = ftc_axes_of(order.at[i]);
        x = reduced_along(g, reduce, x, order.at[i]);
        rest = ftc_axes_minus(&rest, &first);
        break;
    }
    if (rest.n) {
        ftc_node node = *reduce;
        node.axes = rest;
        node.arg[0] = x;
        x = ftc_build(g, node);
    }
    g->nodes[x].type.axes = reduce->type.axes; // the layout that was chosen
    return x;
}

// A product over two ragged axes is summed axis by axis.
static ftc_id sum_of_products(ftc_graph *g, const ftc_node *dot, ftc_id a, ftc_id b) {
    ftc_build_cursor(g, dot->loc, dot->phase);
    a = ftc_build_cast(g, FTC_F32, a);
    b = ftc_build_cast(g, FTC_F32, b);
    ftc_id product = ftc_build_map2(g, FTC_OP_mul, a, b);
    ftc_node sum = {.op = FTC_OP_sum,
                    .type = dot->type,
                    .n_args = 1,
                    .axes = dot->axes,
                    .axis = FTC_NO_AXIS,
                    .to = FTC_NO_AXIS,
                    .decl = FTC_NO_DECL};
    if (ftc_region_is_quadratic(g, &g->nodes[product].type)) return reduced(g, &sum, product);
    ftc_id id = ftc_build_sum(g, product, &dot->axes);
    g->nodes[id].type.axes = dot->type.axes; // the layout that was chosen
    return id;
}

// x reduced along one axis after the other.
static ftc_id reduced_in_turn(ftc_graph *g, const ftc_node *reduce, ftc_id x) {
    ftc_build_cursor(g, reduce->loc, reduce->phase);
    for (int i = reduce->axes.n; i-- > 0;) {
        ftc_node node = *reduce;
        node.axes = ftc_axes_of(reduce->axes.at[i]);
        node.arg[0] = x;
        x = ftc_build(g, node);
    }
    g->nodes[x].type.axes = reduce->type.axes; // the layout that was chosen
    return x;
}

// A node of a recurrence that is not computed as it is; 0: it is.
static ftc_id lowered_in_recurrence(ftc_graph *out, const ftc_graph *g, const ftc_node *node,
                                    const ftc_id *map) {
    ftc_axis along = FTC_NO_AXIS; // the only one that is ragged
    for (int i = 0; i < node->type.axes.n; i++)
        if (is_ragged(g, node->type.axes.at[i])) along = node->type.axes.at[i];
    if (ftc_node_class(node) == FTC_CLASS_REDUCE && node->axes.n > 1)
        return reduced_in_turn(out, node, map[node->arg[0]]);
    if (ftc_node_class(node) != FTC_CLASS_DOT || ftc_region_is_step_product(g, node, along)) return 0;
    ftc_id product = sum_of_products(out, node, map[node->arg[0]], map[node->arg[1]]);
    ftc_node sum = out->nodes[product];
    return sum.axes.n > 1 ? reduced_in_turn(out, &sum, sum.arg[0]) : product;
}

static ftc_id copy_of(ftc_graph *g, ftc_id x) {
    const ftc_node *node = &g->nodes[x];
    ftc_build_cursor(g, node->loc, node->phase);
    return node->type.dtype == FTC_BOOL ? ftc_build_map2(g, FTC_OP_or, x, x)
                                        : times_one(g, x, &(ftc_axes){0});
}

// By node: whether it is a slice that becomes a copy, so that the rest need not be kept. To be freed.
static bool *find_kept_slices(const ftc_graph *g) {
    bool *kept = ftc_alloc(g->n_nodes, sizeof *kept), *read_later = ftc_alloc(g->n_nodes, sizeof *read_later);
    int64_t *cells = ftc_alloc(g->n_nodes, sizeof *cells); // of the whole, that a later phase reads
    for (ftc_id v = g->n_nodes; v-- > 1;) {
        const ftc_node *node = &g->nodes[v];
        bool is_view = ftc_region_source(g, v) != v, is_slice = is_view && ftc_region_is_part(g, node);
        bool later = node->phase != FTC_PHASE_FORWARD || (is_view && !is_slice && read_later[v]);
        for (int i = 0; i < node->n_args; i++) read_later[node->arg[i]] |= later;
        kept[v] = is_slice && ftc_region_is_slice_of_tokens(g, v) && !later && read_later[v];
        if (kept[v] || (!is_view && read_later[v]))
            cells[ftc_region_source(g, v)] += ftc_type_max_elements(g, &node->type);
    }
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        ftc_id whole = ftc_region_source(g, v);
        kept[v] &= cells[whole] < ftc_type_max_elements(g, &g->nodes[whole].type);
    }
    free(read_later);
    free(cells);
    return kept;
}

// The operand of a matrix product.
static ftc_id as_matrix(ftc_graph *out, const ftc_graph *g, ftc_id id, const ftc_id *map) {
    return ftc_region_is_slice_of_tokens(g, id) ? copy_of(out, map[id]) : map[id];
}

// The value that an assignment of g writes, as a node of `out` of its own where it needs one.
static ftc_id assigned(ftc_graph *out, const ftc_graph *g, const ftc_node *assign, const ftc_id *map) {
    ftc_id value = assign->arg[0];
    if (ftc_node_class(&g->nodes[value]) == FTC_CLASS_SOURCE) return ftc_graph_copy_node(out, g, value, map);
    bool in_kernel = ftc_node_class(&g->nodes[value]) == FTC_CLASS_EXTERN; // which assigns nothing
    if (!ftc_region_is_view(g, value) && !in_kernel) return map[value];
    ftc_id copy = copy_of(out, map[value]);
    out->nodes[copy].type.axes = assign->type.axes;
    return copy;
}

// Whether an input lies in another order than kernels take operands in. One over several ragged axes is read
// cell by cell.
static bool is_ordered_otherwise(const ftc_graph *g, const ftc_node *node) {
    if (ftc_node_class(node) != FTC_CLASS_LEAF || g->decls[node->decl].kind != FTC_DECL_INPUT) return false;
    if (ftc_region_is_quadratic(g, &node->type)) return false;
    ftc_axes given = ftc_axes_interface_order(g, &g->decls[node->decl].type.axes),
             packed = ftc_axes_packed_order(g, &node->type.axes);
    for (int i = 0; i < given.n; i++)
        if (given.at[i] != packed.at[i]) return true;
    return false;
}

// Gives a copy to outputs that need one. Whether there was any: what a copy reads may need one now, too.
static bool copy_outputs(ftc_graph *g) {
    bool copied = false;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        if (ftc_region_is_own_output(g, i)) continue;
        ftc_id copy = copy_of(g, g->outputs[i].node);
        g->nodes[copy].type.axes = g->outputs[i].order;
        g->outputs[i].node = copy;
        copied = true;
    }
    return copied;
}

bool ftc_pass_lower(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)options;
    (void)d;
    ftc_graph *out = ftc_graph_new_like(g);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    bool *kept = find_kept_slices(g);
    ftc_recurrences recurrences = ftc_recurrences_find(g);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        const ftc_node *node = &g->nodes[v];
        map[v] = recurrences.of[v] ? lowered_in_recurrence(out, g, node, map) : 0;
        if (map[v]) continue;
        if (ftc_node_class(node) == FTC_CLASS_DOT && !ftc_region_has_kernel(g, node)) {
            map[v] = for_each_head(out, node, map[node->arg[0]], map[node->arg[1]]);
            if (!map[v]) map[v] = sum_of_products(out, node, map[node->arg[0]], map[node->arg[1]]);
        } else if (ftc_node_class(node) == FTC_CLASS_DOT && ftc_region_is_matrix_product(g, node)) {
            ftc_node copy = *node;
            for (int i = 0; i < 2; i++) copy.arg[i] = as_matrix(out, g, node->arg[i], map);
            map[v] = ftc_graph_append(out, copy);
        } else if (ftc_node_class(node) == FTC_CLASS_SCATTER) {
            map[v] = scattered(out, node, map[node->arg[0]], map[node->arg[1]]);
            bool in_tile = ftc_node_class(&out->nodes[map[v]]) == FTC_CLASS_SCATTER &&
                           !has_constant_rows(out, &out->nodes[map[v]]);
            if (!in_tile) out->nodes[map[v]].type.axes = node->type.axes; // the layout that was chosen
        } else if (ftc_node_class(node) == FTC_CLASS_REDUCE &&
                   ftc_region_is_quadratic(g, &g->nodes[node->arg[0]].type))
            map[v] = reduced(out, node, map[node->arg[0]]);
        else if (ftc_node_class(node) == FTC_CLASS_ASSIGN) {
            ftc_node copy = *node;
            copy.arg[0] = assigned(out, g, node, map);
            map[v] = ftc_graph_append(out, copy);
        } else {
            map[v] = ftc_graph_copy_node(out, g, v, map);
            if (kept[v] || is_ordered_otherwise(g, node)) map[v] = copy_of(out, map[v]);
        }
    }
    ftc_graph_replace_nodes(g, out, map);
    free(map);
    free(kept);
    ftc_recurrences_free(&recurrences);
    while (copy_outputs(g)) continue;
    return true;
}
