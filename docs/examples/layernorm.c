// Two kernels of one's own for docs/examples/layernorm.ir: LayerNorm along one axis, and its gradients.
//
//     ftc compile docs/examples/layernorm.ir --kernel docs/examples/layernorm.c -o layernorm.ftc
#include "ftc_kernel.h"

#include <math.h>
#include <stddef.h>

// The rows of a value whose last axis is the normalized one: all its cells side by side, as ftc lays them.
typedef struct {
    float *cells;
    int64_t n, width;
} rows;

static rows rows_of(const ftc_kernel_tensor *x) {
    rows r = {x->data, 1, x->axes[x->n_axes - 1].size};
    for (int i = 0; i + 1 < x->n_axes; i++)
        if (!x->axes[i].is_batch)
            r.n *= x->axes[i].size; // of a batch axis the lengths are counted, by the ragged one
    return r;
}

// mean and 1 / sqrt(variance + eps)
static void moments(const float *x, int64_t n, float eps, float *mean, float *scale) {
    float sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    *mean = sum / (float)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *scale = 1 / sqrtf(squares / (float)n + eps);
}

// Operands x, w, b, eps; the result has the type of x. Each thread takes its share of the rows.
void layernorm_forward(const ftc_kernel_args *args) {
    rows x = rows_of(&args->operands[0]), y = rows_of(&args->results[0]);
    const float *w = args->operands[1].data, *b = args->operands[2].data, *eps = args->operands[3].data;
    int64_t end = x.n * (args->thread + 1) / args->threads;
    for (int64_t row = x.n * args->thread / args->threads; row < end; row++) {
        const float *from = x.cells + row * x.width;
        float *to = y.cells + row * x.width, mean, scale;
        moments(from, x.width, *eps, &mean, &scale);
        for (int64_t i = 0; i < x.width; i++) to[i] = (from[i] - mean) * scale * w[i] + b[i];
    }
}

// What a thread has in its scratch of some columns: sums over the rows.
enum { MOST_COLUMNS = FTC_KERNEL_SCRATCH / 2 / sizeof(float) };

// The columns from `begin` on of the gradients of w and b, NULL where nobody reads them. Every thread goes
// over all rows for columns of its own, so that a sum has the same order with any number of threads.
static void column_gradients(rows x, rows dy, float eps, int64_t begin, int64_t end, float *sums, float *dw,
                             float *db) {
    float *w_sums = sums, *b_sums = sums + MOST_COLUMNS;
    for (int64_t i = begin; i < end; i++) w_sums[i - begin] = b_sums[i - begin] = 0;
    for (int64_t row = 0; row < x.n; row++) {
        const float *cells = x.cells + row * x.width, *upstream = dy.cells + row * x.width;
        float mean, scale;
        moments(cells, x.width, eps, &mean, &scale);
        for (int64_t i = begin; i < end; i++) {
            w_sums[i - begin] += upstream[i] * (cells[i] - mean) * scale;
            b_sums[i - begin] += upstream[i];
        }
    }
    for (int64_t i = begin; i < end && dw; i++) dw[i] = w_sums[i - begin];
    for (int64_t i = begin; i < end && db; i++) db[i] = b_sums[i - begin];
}

static void row_gradient(const float *x, const float *dy, const float *w, float eps, int64_t n, float *dx) {
    float mean, scale, sum = 0, along = 0;
    moments(x, n, eps, &mean, &scale);
    for (int64_t i = 0; i < n; i++) {
        sum += dy[i] * w[i];
        along += dy[i] * w[i] * (x[i] - mean) * scale;
    }
    for (int64_t i = 0; i < n; i++)
        dx[i] = scale * (dy[i] * w[i] - (sum + along * (x[i] - mean) * scale) / (float)n);
}

// Operands x, w, eps, dy; results dx, dw, db.
void layernorm_backward(const ftc_kernel_args *args) {
    rows x = rows_of(&args->operands[0]), dy = rows_of(&args->operands[3]);
    const float *w = args->operands[1].data, *eps = args->operands[2].data;
    float *dx = args->results[0].data, *dw = args->results[1].data, *db = args->results[2].data;
    int64_t end = x.n * (args->thread + 1) / args->threads;
    for (int64_t row = x.n * args->thread / args->threads; row < end && dx; row++)
        row_gradient(x.cells + row * x.width, dy.cells + row * x.width, w, *eps, x.width, dx + row * x.width);
    end = x.width * (args->thread + 1) / args->threads;
    for (int64_t begin = x.width * args->thread / args->threads; begin < end; begin += MOST_COLUMNS) {
        int64_t stop = begin + MOST_COLUMNS < end ? begin + MOST_COLUMNS : end;
        column_gradients(x, dy, *eps, begin, stop, (float *)args->scratch, dw, db);
    }
}
