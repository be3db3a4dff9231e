// Two kernels of one's own for docs/examples/attention.ir: attention of all tokens of a text to all, and its
// gradients. A work item is a text and a head; nothing of size length² is stored.
//
//     ftc compile docs/examples/attention.ir --kernel docs/examples/attention.c -o attention.ftc
#include "ftc_kernel.h"

#include <math.h>
#include <stddef.h>

// The features of one head of one text: those of token i begin at cells + i * token, `feature` apart.
typedef struct {
    float *cells;
    int64_t token, feature;
} head;

// Axes of the tensor: B, S, A, D.
static head head_of(const ftc_kernel_tensor *x, int64_t text, int64_t number) {
    const ftc_kernel_axis *axes = x->axes;
    float *cells = x->data;
    if (cells) cells += axes[0].offsets[text] * axes[0].stride + number * axes[2].stride;
    return (head){cells, axes[1].stride, axes[3].stride};
}

static float product(head x, int64_t i, head y, int64_t j, int64_t features) {
    float sum = 0;
    for (int64_t d = 0; d < features; d++)
        sum += x.cells[i * x.token + d * x.feature] * y.cells[j * y.token + d * y.feature];
    return sum;
}

// Row i of x += factor * row j of y.
static void add(head x, int64_t i, head y, int64_t j, float factor, int64_t features) {
    for (int64_t d = 0; d < features; d++)
        x.cells[i * x.token + d * x.feature] += factor * y.cells[j * y.token + d * y.feature];
}

static void clear(head x, int64_t tokens, int64_t features) {
    for (int64_t i = 0; i < tokens && x.cells; i++)
        for (int64_t d = 0; d < features; d++) x.cells[i * x.token + d * x.feature] = 0;
}

// How much token i attends to each.
static void probabilities(head q, int64_t i, head k, int64_t tokens, int64_t features, float scale,
                          float *p) {
    float most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < tokens; j++) {
        p[j] = scale * product(q, i, k, j, features);
        most = p[j] > most ? p[j] : most;
    }
    for (int64_t j = 0; j < tokens; j++) sum += p[j] = expf(p[j] - most);
    for (int64_t j = 0; j < tokens; j++) p[j] /= sum;
}

// Operands q, k, v, scale.
void attention_forward(const ftc_kernel_args *args) {
    const ftc_kernel_tensor *x = args->operands;
    const int64_t heads = x[0].axes[2].size, features = x[0].axes[3].size, items = x[0].axes[0].size * heads;
    float *p = (float *)args->scratch;
    for (int64_t item = args->thread; item < items; item += args->threads) {
        int64_t text = item / heads, number = item % heads;
        int64_t tokens = x[0].axes[0].offsets[text + 1] - x[0].axes[0].offsets[text];
        head q = head_of(&x[0], text, number), k = head_of(&x[1], text, number),
             v = head_of(&x[2], text, number), y = head_of(&args->results[0], text, number);
        clear(y, tokens, features);
        for (int64_t i = 0; i < tokens; i++) {
            probabilities(q, i, k, tokens, features, *(const float *)x[3].data, p);
            for (int64_t j = 0; j < tokens; j++) add(y, i, v, j, p[j], features);
        }
    }
}

// Of one text and head; a gradient whose cells are NULL is not wanted.
static void head_gradients(head q, head k, head v, head dy, head dq, head dk, head dv, int64_t tokens,
                           int64_t features, float scale, float *p, float *dp) {
    clear(dq, tokens, features);
    clear(dk, tokens, features);
    clear(dv, tokens, features);
    for (int64_t i = 0; i < tokens; i++) {
        float along = 0;
        probabilities(q, i, k, tokens, features, scale, p);
        for (int64_t j = 0; j < tokens; j++) along += p[j] * (dp[j] = product(dy, i, v, j, features));
        for (int64_t j = 0; j < tokens; j++) {
            float ds = scale * p[j] * (dp[j] - along);
            if (dq.cells) add(dq, i, k, j, ds, features);
            if (dk.cells) add(dk, j, q, i, ds, features);
            if (dv.cells) add(dv, j, dy, i, p[j], features);
        }
    }
}

// Operands q, k, v, scale, dy; results dq, dk, dv.
void attention_backward(const ftc_kernel_args *args) {
    const ftc_kernel_tensor *x = args->operands, *r = args->results;
    const int64_t heads = x[0].axes[2].size, features = x[0].axes[3].size, items = x[0].axes[0].size * heads;
    float *p = (float *)args->scratch, *dp = p + FTC_KERNEL_SCRATCH / 2 / sizeof *p;
    for (int64_t item = args->thread; item < items; item += args->threads) {
        int64_t text = item / heads, n = item % heads;
        int64_t tokens = x[0].axes[0].offsets[text + 1] - x[0].axes[0].offsets[text];
        head_gradients(head_of(&x[0], text, n), head_of(&x[1], text, n), head_of(&x[2], text, n),
                       head_of(&x[4], text, n), head_of(&r[0], text, n), head_of(&r[1], text, n),
                       head_of(&r[2], text, n), tokens, features, *(const float *)x[3].data, p, dp);
    }
}
