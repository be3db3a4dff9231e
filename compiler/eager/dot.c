// Contractions as matrix products: C[rows, cols] = Σ A[rows, sums] · B[sums, cols], one for each position of
// the axes that both operands have and that are not summed (the batch).
//
// Within a position of the batch an operand's cells lie at distances ("strides") along each of its other
// axes. Where a group of axes is one long axis and one group has stride 1, the BLAS reads the operand where
// it is; else it gets a copy.
//
// Several axes that are ragged over one which is not in the batch make one axis with it only where all three
// values have them in the same order. What has them in another one is copied: operands before the products,
// the result after them.
#include "compiler/eager/eager.h"

#include <string.h>

#include "compiler/passes/regions.h"

// An axis within a position of the batch. When the axis that others are ragged over is not in the batch, all
// of them are one axis, the tokens.
typedef struct {
    ftc_axis axis;
    int64_t count, stride;
} dim;

typedef struct {
    dim at[FTC_MAX_AXES]; // outermost first
    int n;
} dims;

// A position of the batch.
typedef struct {
    const ftc_axes *axes;
    int64_t coordinate[FTC_MAX_AXES];
} position;

typedef struct {
    ftc_cell *cells;
    int64_t row_stride, col_stride; // one of them is 1
} matrix;

static void add_outer(dims *d, ftc_axis axis, int64_t count, int64_t stride) {
    for (int i = d->n++; i > 0; i--) d->at[i] = d->at[i - 1];
    d->at[0] = (dim){axis, count, stride};
}

// The axes of a value over `axes` at a position of the batch.
static dims dims_of(const ftc_eager *e, const ftc_axes *axes, const position *p) {
    const ftc_graph *g = ftc_eager_graph(e);
    const ftc_bindings *b = ftc_eager_walk_bindings(e);
    ftc_axes order = ftc_axes_packed_order(g, axes);
    dims d = {.n = 0};
    int64_t stride = 1, inner = 1; // inner: cells behind the tokens
    for (int i = order.n - 1; i >= 0; i--) {
        ftc_axis axis = order.at[i], over = ftc_axis_over(g, axis);
        int batch = ftc_axes_find(p->axes, over == FTC_NO_AXIS ? axis : over);
        if (over != FTC_NO_AXIS) {
            if (i + 1 == order.n || ftc_axis_over(g, order.at[i + 1]) != over) inner = stride;
            if (batch < 0) continue; // counted with the axis that it is ragged over
            int64_t length = b->lengths[g->axes[axis].extent][p->coordinate[batch]];
            if (!ftc_axes_has(p->axes, axis)) add_outer(&d, axis, length, stride);
            stride *= length;
            continue;
        }
        ftc_axes tokens = ftc_axes_of(axis);
        for (int k = 0; k < order.n; k++)
            if (ftc_axis_over(g, order.at[k]) == axis) ftc_axes_add(&tokens, order.at[k]);
        if (tokens.n > 1) stride = inner;
        int64_t count = ftc_interp_cells(g, b, &tokens);
        if (batch < 0) add_outer(&d, axis, count, stride);
        stride *= count;
    }
    return d;
}

// The dims of the axes in `group`, in the order of `d`.
static dims group_of(const dims *d, const ftc_axes *group) {
    dims r = {.n = 0};
    for (int i = 0; i < d->n; i++)
        if (ftc_axes_has(group, d->at[i].axis)) r.at[r.n++] = d->at[i];
    return r;
}

// The same axes in the order of `order`, as they lie in `d`.
static dims in_order(const dims *d, const dims *order) {
    dims r = {.n = 0};
    for (int i = 0; i < order->n; i++)
        for (int k = 0; k < d->n; k++)
            if (d->at[k].axis == order->at[i].axis) r.at[r.n++] = d->at[k];
    return r;
}

static int64_t count_of(const dims *d) {
    int64_t n = 1;
    for (int i = 0; i < d->n; i++) n *= d->at[i].count;
    return n;
}

// The distance between neighbours when the group is one long axis, 0 when it is none.
static int64_t stride_of(const dims *group) {
    int64_t stride = 0, expected = 0;
    for (int i = group->n - 1; i >= 0; i--) {
        if (group->at[i].count == 1) continue;
        if (!stride) stride = expected = group->at[i].stride;
        if (group->at[i].stride != expected) return 0;
        expected *= group->at[i].count;
    }
    return stride ? stride : 1;
}

// Copies between the cells at the group's strides and cells that lie together.
static ftc_cell *copy(const dims *group, int depth, ftc_cell *strided, ftc_cell *dense, bool to_dense) {
    if (depth == group->n) {
        if (to_dense)
            *dense = *strided;
        else
            *strided = *dense;
        return dense + 1;
    }
    for (int64_t i = 0; i < group->at[depth].count; i++)
        dense = copy(group, depth + 1, strided + i * group->at[depth].stride, dense, to_dense);
    return dense;
}

static dims joined(const dims *rows, const dims *cols) {
    dims both = *rows;
    for (int i = 0; i < cols->n; i++) both.at[both.n++] = cols->at[i];
    return both;
}

// The operand as the BLAS can read it where it is; false when its axes lie otherwise.
static bool as_matrix(const dims *rows, const dims *cols, ftc_cell *cells, matrix *m) {
    int64_t row_stride = stride_of(rows), col_stride = stride_of(cols);
    if (!row_stride || !col_stride) return false;
    int64_t n_rows = count_of(rows), n_cols = count_of(cols);
    if (n_cols == 1)
        col_stride = 1;
    else if (n_rows == 1 && col_stride != 1)
        row_stride = 1;
    if (col_stride != 1 && row_stride != 1) return false;
    // The distance of a group of one is never walked, but the BLAS wants to see a possible one.
    if (col_stride == 1 && row_stride < n_cols)
        row_stride = n_cols;
    else if (col_stride != 1 && col_stride < n_rows)
        col_stride = n_rows;
    *m = (matrix){cells, row_stride, col_stride};
    return true;
}

static void multiply(ftc_sgemm_fn *sgemm, int64_t m, int64_t n, int64_t k, matrix a, matrix b, matrix c) {
    if (c.col_stride != 1) { // the product of the transposed operands
        matrix a_was = a;
        a = (matrix){b.cells, b.col_stride, b.row_stride};
        b = (matrix){a_was.cells, a_was.col_stride, a_was.row_stride};
        c = (matrix){c.cells, c.col_stride, c.row_stride};
        int64_t m_was = m;
        m = n;
        n = m_was;
    }
    bool ta = a.col_stride != 1, tb = b.col_stride != 1;
    sgemm(ta, tb, m, n, k, &a.cells->f, ta ? a.col_stride : a.row_stride, &b.cells->f,
          tb ? b.col_stride : b.row_stride, 0, &c.cells->f, c.row_stride);
}

// An operand, or the result: the axes in the order in which the products see them, and the cells.
typedef struct {
    ftc_axes axes;
    ftc_cell *cells;
} value;

// `axes`, with those that are ragged over an axis which is not in the batch in the order of `model`.
static ftc_axes in_order_of(const ftc_graph *g, const ftc_axes *axes, const ftc_axes *model,
                            const ftc_axes *batch) {
    ftc_axes r = *axes;
    for (int i = 0; i < r.n; i++)
        for (int k = i + 1; k < r.n; k++) {
            ftc_axis axis = r.at[i], over = ftc_axis_over(g, axis);
            int found = ftc_axes_find(model, axis), next = ftc_axes_find(model, r.at[k]);
            if (over == FTC_NO_AXIS || over != ftc_axis_over(g, r.at[k])) continue;
            if (ftc_axes_has(batch, over) || next < 0 || found <= next) continue;
            r.at[i] = r.at[k];
            r.at[k] = axis;
        }
    return r;
}

static bool same_order(const ftc_axes *a, const ftc_axes *b) {
    return memcmp(a->at, b->at, sizeof a->at[0] * (size_t)a->n) == 0;
}

// Copies the cells of a value over the axes `from` to where they lie over `to`: the same axes, in another
// order.
static void reorder(ftc_eager *e, ftc_cell *target, const ftc_axes *to, const ftc_cell *source,
                    const ftc_axes *from) {
    ftc_walk w;
    ftc_walk_begin(&w, ftc_eager_graph(e), ftc_eager_walk_bindings(e), to, FTC_NO_AXIS);
    int t = ftc_walk_view(&w, to), s = ftc_walk_view(&w, from);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++) target[w.at[t] + j * w.step[t]] = source[w.at[s] + j * w.step[s]];
    ftc_walk_end(&w);
}

// The product at one position of the batch, whose cells begin at `at`. v: both operands and the result.
static void run_position(ftc_eager *e, const ftc_dot_shape *shape, const value v[3], const position *p,
                         const int64_t at[3]) {
    dims a = dims_of(e, &v[0].axes, p), b = dims_of(e, &v[1].axes, p), c = dims_of(e, &v[2].axes, p);
    dims rows = group_of(&a, &shape->rows), sums = group_of(&a, &shape->sums),
         cols = group_of(&b, &shape->cols);
    dims b_sums = in_order(&b, &sums), c_rows = in_order(&c, &rows), c_cols = in_order(&c, &cols);
    int64_t m = count_of(&rows), n = count_of(&cols), k = count_of(&sums);
    if (m == 0 || n == 0) return;
    ftc_cell *in_a = v[0].cells + at[0], *in_b = v[1].cells + at[1], *in_c = v[2].cells + at[2];
    dims whole_a = joined(&rows, &sums), whole_b = joined(&b_sums, &cols), whole_c = joined(&c_rows, &c_cols);
    matrix x, y, z;
    if (!as_matrix(&rows, &sums, in_a, &x)) {
        x = (matrix){ftc_eager_scratch(e, 0, m * k), k, 1};
        copy(&whole_a, 0, in_a, x.cells, true);
    }
    if (!as_matrix(&b_sums, &cols, in_b, &y)) {
        y = (matrix){ftc_eager_scratch(e, 1, k * n), n, 1};
        copy(&whole_b, 0, in_b, y.cells, true);
    }
    bool in_place = as_matrix(&c_rows, &c_cols, in_c, &z);
    if (!in_place) z = (matrix){ftc_eager_scratch(e, 2, m * n), n, 1};
    if (k > 0) {
        multiply(ftc_eager_bindings_of(e)->sgemm, m, n, k, x, y, z);
    } else {
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) z.cells[i * z.row_stride + j * z.col_stride].f = 0;
    }
    if (!in_place) copy(&whole_c, 0, in_c, z.cells, false);
}

void ftc_eager_dot(ftc_eager *e, ftc_id id) {
    const ftc_graph *g = ftc_eager_graph(e);
    ftc_dot_shape shape = ftc_region_dot_shape(g, &g->nodes[id]);
    const ftc_axes *b_axes = &g->nodes[shape.b].type.axes, *c_axes = &g->nodes[id].type.axes;
    value v[3] = {{g->nodes[shape.a].type.axes, ftc_eager_cells(e, shape.a)},
                  {*b_axes, ftc_eager_cells(e, shape.b)},
                  {*c_axes, ftc_eager_cells(e, id)}};
    v[1].axes = in_order_of(g, &v[1].axes, &v[0].axes, &shape.batch);
    v[2].axes = in_order_of(g, &v[2].axes, &v[0].axes, &shape.batch);
    v[2].axes = in_order_of(g, &v[2].axes, &v[1].axes, &shape.batch);
    const ftc_bindings *bindings = ftc_eager_walk_bindings(e);
    if (!same_order(&v[1].axes, b_axes)) {
        v[1].cells = ftc_eager_scratch(e, 3, ftc_interp_cells(g, bindings, b_axes));
        reorder(e, v[1].cells, &v[1].axes, ftc_eager_cells(e, shape.b), b_axes);
    }
    bool moves_c = !same_order(&v[2].axes, c_axes);
    if (moves_c) v[2].cells = ftc_eager_scratch(e, 4, ftc_interp_cells(g, bindings, c_axes));

    position p = {.axes = &shape.batch};
    ftc_walk w;
    ftc_walk_begin(&w, g, bindings, &shape.batch, FTC_NO_AXIS);
    w.by_cell = true;
    for (int i = 0; i < 3; i++) ftc_walk_view(&w, &v[i].axes);
    while (ftc_walk_next(&w)) {
        for (int i = 0; i < shape.batch.n; i++)
            p.coordinate[i] = w.coordinate[ftc_axes_find(&w.axes, shape.batch.at[i])];
        run_position(e, &shape, v, &p, w.at);
    }
    ftc_walk_end(&w);
    if (moves_c) reorder(e, ftc_eager_cells(e, id), c_axes, v[2].cells, &v[2].axes);
}
