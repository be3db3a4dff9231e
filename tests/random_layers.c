#include "tests/random_layers.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/lang/parse.h"
#include "tests/random_graph.h"

typedef struct {
    FILE *out;
    test_random random;
    int layer;
    bool has_other;  // a second text, over U
    bool has_scores; // of an earlier layer over T, which may be passed on
} writer;

static void put(writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(w->out, format, args);
    va_end(args);
}

static int below(writer *w, int n) {
    return test_random_below(&w->random, n);
}

static bool one_in(writer *w, int n) {
    return below(w, n) == 0;
}

#define PICK(w, ...)                                                                                         \
    (((const char *const[]){                                                                                 \
        __VA_ARGS__})[below(w, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)))])

// --- attention ----------------------------------------------------------------------------------------

// What one attention is made of.
typedef struct {
    const char *features; // of a head
    const char *keys;     // the axis: T, or U for those of the other text
    bool masked;
} attention;

// q, k and v, by three parameters, or by slices of one, or of what one makes.
static void put_projections(writer *w, const attention *a) {
    static const char *const names = "qkv";
    bool other = a->keys[0] == 'U';
    int form = other ? 0 : below(w, 3);
    const char *f = a->features;
    if (form > 0) put(w, "w = param \"w%d\" f32[(Q A %s), H]\n", w->layer, f[0] == 'D' ? "D" : "F E");
    if (form == 2) put(w, "qkv = dot(x, w; H)\n");
    for (int i = 0; i < 3; i++) {
        const char *from = other && i > 0 ? "z" : "x";
        put(w, "%c = ", names[i]);
        if (form == 0) put(w, "dot(%s, param \"w%c%d\" f32[H, A, %s]; H)", from, names[i], w->layer, f);
        if (form == 1) put(w, "dot(x, at(w, Q, %d); H)", i);
        if (form == 2) put(w, "at(qkv, Q, %d)", i);
        put(w, "\n");
        if (!other && i > 0) put(w, "%c = rename(%c; S -> T)\n", names[i], names[i]);
    }
}

// A bias that is looked up by the distance of two tokens, or in a row of the query's own.
static void put_bias(writer *w, const attention *a) {
    const char *heads = PICK(w, "R, A", "R"), *dead = PICK(w, "", "", ", 4");
    switch (below(w, 6)) {
    case 0: put(w, "r = minimum(maximum(d, -4), 4) + 4\n"); break;
    case 1:
        put(w, "f = maximum(d, -d)\nr = select(f < 3, f, 3 + cast(f > 6, i32)) + cast(d > 0, i32) * 4\n");
        break;
    case 2: put(w, "r = select(d < -4, -4, select(d > 4, 4, d)) + 4\n"); break;
    case 3: {
        put(w, "r = minimum(maximum(-d, -3), 5) + 3\n");
        put(w, "c = dot(q, param \"rq%d\" f32[R, A, %s]; %s)\ns = s + 0.3 * gather(c, R, r)\n", w->layer,
            a->features, a->features);
        return;
    }
    default: return;
    }
    put(w, "s = outer (s + gather(param \"rb%d\" f32[%s], R, r%s))\n", w->layer, heads, dead);
}

// Rows of scores keep at least the cell of the token itself. The other text has none such: it may be shorter.
static void put_mask(writer *w, attention *a) {
    int near = below(w, 40);
    bool other = a->keys[0] == 'U';
    int form = other ? 6 + below(w, 3) : below(w, 10);
    a->masked = form < 5;
    switch (form) {
    case 0: put(w, "s = select(d <= 0, s, -inf)\n"); break;
    case 1: put(w, "s = select(and(d <= %d, d >= -%d), s, -inf)\n", near, below(w, 40)); break;
    case 2: put(w, "s = s + select(abs(cast(d, f32)) <= %d.5, 0, -inf)\n", near); break;
    case 3: put(w, "s = select(outer (index(T) <= index(S)), s, -inf)\n"); break;
    case 4:
        put(w, "s = select(abs(outer (cast(index(T), f32) - cast(index(S), f32))) < %d.5, s, -inf)\n", near);
        break;
    case 5: put(w, "s = s * select(abs(cast(d, f32)) < %d, 1.0, 0.0)\n", near + 1); break;
    case 6: put(w, "s = select(and(d <= %d, d >= -%d), s, -100)\n", near, near); break;
    default: break;
    }
}

// What else reads the probabilities.
static void put_second_reader(writer *w, const attention *a) {
    bool other = a->keys[0] == 'U';
    switch (below(w, 8)) {
    case 0:
        put(w, "m = mean(p; A)\nx = x + 0.2 * dot(m, %s; %s)\n", other ? "z" : "rename(x; S -> T)", a->keys);
        break;
    case 1: put(w, "loss = loss + mean(sum(p * p; %s); B, S, A)\n", a->keys); break;
    case 2: put(w, "loss = loss + 0.1 * mean(sum(p; S); B, %s, A)\n", a->keys); break;
    case 3: put(w, "y = y + 0.3 * dot(p * p, v; %s)\n", a->keys); break;
    default: break;
    }
}

static void put_attention(writer *w) {
    attention a = {.features = PICK(w, "D", "D", "F, E"), .keys = w->has_other && one_in(w, 3) ? "U" : "T"};
    put_projections(w, &a);
    put(w, "d = outer (index(%s) - index(S))\n", a.keys);
    put(w, "s = dot(q, k; %s) * 0.15\n", a.features);
    bool own = a.keys[0] == 'T';
    put_bias(w, &a);
    if (own && w->has_scores && one_in(w, 3)) put(w, "s = s + 0.5 * passed\n");
    if (one_in(w, 10)) put(w, "s = rename(dot(s, param \"th%d\" f32[A2, A]; A); A2 -> A)\n", w->layer);
    if (own && one_in(w, 5)) put(w, "passed = s\n"), w->has_scores = true;
    put_mask(w, &a);
    bool over_heads = !a.masked && one_in(w, 12);
    put(w, "p = softmax(s; %s)\n", over_heads ? "A" : a.keys);
    if (one_in(w, 3)) put(w, "p = dropout(p, 0.2)\n");
    put(w, "y = dot(p, v; %s)%s\n", a.keys, over_heads ? " * 0.1" : "");
    put_second_reader(w, &a);
    put(w, "x = tanh(x + 0.5 * dot(y, param \"wo%d\" f32[A, %s, H]; A, %s))\n", w->layer, a.features,
        a.features);
}

// --- other layers -------------------------------------------------------------------------------------

static void put_gated(writer *w) {
    const char *act = PICK(w, "gelu", "silu", "tanh");
    put(w, "w = param \"w%d\" f32[(G I), H]\n", w->layer);
    if (one_in(w, 2))
        put(w, "a = dot(x, at(w, G, 0); H)\nb = dot(x, at(w, G, 1); H)\n");
    else
        put(w, "ab = dot(x, w; H)\na = at(ab, G, 0)\nb = at(ab, G, 1)\n");
    put(w, "x = tanh(x + 0.3 * dot(%s(a) * b, param \"wo%d\" f32[I, H]; I))\n", act, w->layer);
}

static void put_neighbours(writer *w) {
    int by = 1 + below(w, 4);
    switch (below(w, 4)) {
    case 0:
        put(w, "x = tanh(x + 0.5 * shift(x, %d; S) * param \"w%d\" f32[H])\n", one_in(w, 2) ? by : -by,
            w->layer);
        break;
    case 1:
        put(w,
            "x = tanh(dot(shift(x, %d; S), param \"wl%d\" f32[H2, H]; H) + dot(shift(x, -%d; S), param "
            "\"wr%d\" f32[H2, H]; H))\nx = rename(x; H2 -> H)\n",
            by, w->layer, by, w->layer);
        break;
    case 2:
        put(w,
            "c = concat(x, dot(x, param \"wi%d\" f32[H, I]; H); H, I -> P)\n"
            "x = rename(tanh(0.5 * dot(c, param \"wp%d\" f32[P, H2]; P)); H2 -> H)\n",
            w->layer, w->layer);
        break;
    default:
        put(w,
            "w = param \"w%d\" f32[P, H]\n"
            "a = dot(x, shift(w, 0; P -> I); H)\nb = dot(tanh(a), shift(w, -%d; P -> I); I)\n"
            "x = tanh(x + 0.3 * b)\n",
            w->layer, 1 + below(w, 2));
        break;
    }
}

static void put_pooling(writer *w) {
    switch (below(w, 5)) {
    case 0: put(w, "pooled = mean(x; S)\n"); break;
    case 1: put(w, "pooled = at(x, S, 0)\n"); break;
    case 2: put(w, "pooled = max(x; S)\n"); break;
    case 3: put(w, "pooled = dot(softmax(dot(x, param \"u\" f32[H]; H); S), x; S)\n"); break;
    default: put(w, "pooled = mean(x; S) + at(shift(x, -1; S), S, 0)\n"); break;
    }
    if (w->has_other) put(w, "pooled = pooled + mean(z; U)\n");
}

// --- models -------------------------------------------------------------------------------------------

static void put_axes(writer *w) {
    static const int lengths[] = {1, 2, 5, 9, 17, 33, 45, 70, 120, 200};
    int longest = lengths[below(w, 10)];
    int a = 1 + below(w, 3), i = 4 + below(w, 6), h = (const int[]){6, 8, 5, 16}[below(w, 4)];
    put(w, "model layers\naxis B <= %d\naxis S ragged B <= %d\naxis T = S\n",
        longest > 50 ? 2 : 1 + below(w, 4), longest);
    put(w, "axis H = %d, H2 = H, A = %d, A2 = A, D = %d, F = 2, E = %d\n", h, a,
        (const int[]){4, 3, 8, 17}[below(w, 4)], 1 + below(w, 4));
    put(w, "axis R = 9, Q = 3, G = 2, I = %d, P = %d, V = 7\n", i, h + i);
    w->has_other = one_in(w, 3);
    if (w->has_other)
        put(w, "axis U ragged B <= %d\ninput z : f32[B, U, H]\n", lengths[below(w, longest > 50 ? 6 : 9)]);
}

char *test_random_layers_text(uint64_t seed) {
    char *text;
    size_t n;
    writer w = {.out = open_memstream(&text, &n), .random = {.state = seed}};
    put_axes(&w);
    put(&w, "input x : f32[B, S, H]\ninput ids : i32[B, S] in V\nloss = 0\n");
    if (one_in(&w, 2)) put(&w, "x = x + gather(param \"words\" f32[V, H], V, ids, 0)\n");
    int n_layers = 1 + below(&w, 3);
    for (w.layer = 0; w.layer < n_layers; w.layer++) {
        int kind = w.layer ? below(&w, 5) : 0;
        if (kind < 3)
            put_attention(&w);
        else if (kind == 3)
            put_gated(&w);
        else
            put_neighbours(&w);
    }
    put_pooling(&w);
    put(&w, "output pooled\nloss = loss + mean(tanh(pooled); B, H)\noutput loss as loss\n");
    fclose(w.out);
    return text;
}

ftc_graph *test_random_layers(uint64_t seed) {
    ftc_diagnostics d = {0};
    char *text = test_random_layers_text(seed);
    ftc_graph *g = ftc_parse_text("layers", text, NULL, &d);
    cr_assert(g, "seed %llu: %s\n%s", (unsigned long long)seed, d.count ? d.list[0].text : "", text);
    free(text);
    return g;
}
