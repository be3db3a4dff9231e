#include "tests/recurrences.h"

#include <stdio.h>
#include <stdlib.h>

#include "ir/lang/parse.h"

static const char DECLARATIONS[] = "axis B <= 5, H = 20, P = H, A = 2, D = 3, E = D, G = 3\n"
                                   "axis S ragged B <= 9\n"
                                   "input x : f32[B, S, H]\n"
                                   "input y : f32[B, S]\n"
                                   "input z : f32[B, S, A, D]\n"
                                   "input first : f32[B, H]\n"
                                   "input ids : i32[B, S] in H\n"
                                   "w = param \"w\" f32[H]\n"
                                   "u = param \"u\" f32[A, D]\n"
                                   "W = param \"W\" f32[H, P] * 0.2\n"
                                   "M = param \"M\" f32[A, D, E]\n"
                                   "N = param \"N\" f32[(G P), H]\n";

static const struct {
    const char *name, *text;
} MODELS[] = {
    {"average", "h = before(0, S)\ns = scan(h, 0.9 * h + 0.1 * y)\nloss = sum(s * s * mean(w; H); B, S)"},
    {"sum_from_the_end",
     "h = after(fill(0; H), S)\ns = scan(h, h + x * w)\nloss = 0.1 * sum(tanh(s); B, S, H)"},
    {"square_matrix", "h = before(fill(0; H), S)\ns = scan(h, tanh(x * w + rename(dot(h, W; H); P -> H)))\n"
                      "loss = sum(s * s; B, S, H)"},
    {"gated", "h = before(fill(0; H), S)\np = rename(h; H -> P)\nz = sigmoid(x + dot(p, W; P))\n"
              "n = tanh(w * x + z * dot(p, W * 1.5; P))\ns = scan(h, (1 - z) * n + z * h)\n"
              "loss = sum(mean(s; S) * w; B, H)"},
    // The second state is read by nobody else.
    {"two_states",
     "h = before(fill(0; H), S)\nc = before(w, S)\np = rename(h; H -> P)\ni = sigmoid(x + dot(p, W; P))\n"
     "m = i * c + (1 - i) * tanh(x - dot(p, W; P))\ns = scan(h, i * tanh(m))\nt = scan(c, m)\n"
     "loss = sum(s * s; B, S, H)"},
    {"states_by_scans",
     "h = before(first * w, S)\nc = before(fill(0.5; H), S)\nt = scan(c, 0.5 * c + 0.2 * h)\n"
     "s = scan(h, tanh(t * w + x))\nloss = sum(s; B, S, H) + sum(at(t, S, 0) * w; B, H)"},
    {"several_axes", "h = before(u, S)\ns = scan(h, tanh(z + rename(dot(h, M; D); E -> D)) * 0.5)\nloss = "
                     "sum(s * u; B, S, A, D)"},
    {"sum_over_all_axes", "h = after(u, S)\nn = rsqrt(1 + sum(h * h; A, D))\ns = scan(h, (h + z * u) * "
                          "n)\nloss = sum(s; B, S, A, D)"},
    {"softmax_in_each_step",
     "h = before(fill(0; H), S)\ns = scan(h, x * w + softmax(h + x; H))\nloss = sum(s * s; B, S, H)"},
    {"parts", "h = before(fill(0; H), S)\ng = dot(h, N * 0.2; H)\na = rename(at(g, G, 0); P -> H)\n"
              "b = rename(at(g, G, 1); P -> H)\nc = rename(at(g, G, 2); P -> H)\n"
              "s = scan(h, tanh(x + a) * sigmoid(b) + 0.5 * shift(c, 1; H))\nloss = sum(s * w; B, S, H)"},
    {"both_ways",
     "h = before(fill(0; H), S)\ns = scan(h, tanh(x + 0.5 * h * w))\nk = after(w, S)\n"
     "t = scan(k, tanh(s * w + 0.5 * rename(dot(k, W; H); P -> H)))\nloss = sum(t * s; B, S, H)"},
    {"what_lies_between", "h = before(first, S)\nn = tanh(h * w + x)\ns = scan(h, n * w)\nloss = sum(h * n; "
                          "B, S, H) + sum(s; B, S, H)"},
    {"nothing_between", "h = before(w, S)\ns = scan(h, x * w)\nloss = sum(s * h; B, S, H)"},
    {"with_dropout",
     "h = before(fill(0; H), S)\ns = scan(h, tanh(x * w + dropout(h, 0.3)))\nloss = sum(s; B, S, H)"},
    {"second_order", "h = before(first * w, S)\ns = scan(h, tanh(x + 0.5 * rename(dot(h, W; H); P -> H)))\n"
                     "d = grad(sum(s * s; B, S, H), first)\nloss = sum(d * d; B, H)"},
    {"zero_but_at_one_position", "h = before(w, S)\np = place(at(x, S, 0), S, 0; B, S, H)\n"
                                 "s = scan(h, tanh(x + h * p))\nloss = sum(s * w; B, S, H)"},
    {"looked_up", "h = before(first * w, S)\nb = sum(cast(outer (ids == index(H)), f32) * h; H)\n"
                  "s = scan(h, tanh(x + 0.5 * h * b))\nloss = sum(s; B, S, H)"},
    {"of_its_length", "h = before(0, S)\ns = scan(h, h + 1)\nloss = sum(s * sum(x * w; H); B, S)"},
};
enum { N_MODELS = sizeof MODELS / sizeof *MODELS };

ftc_graph *test_recurrence(int i) {
    ftc_diagnostics d = {0};
    char *text;
    if (i >= N_MODELS) return NULL;
    if (asprintf(&text, "model %s\n%s%s\noutput loss as loss\n", MODELS[i].name, DECLARATIONS,
                 MODELS[i].text) < 0)
        abort();
    ftc_graph *g = ftc_parse_text(MODELS[i].name, text, NULL, &d);
    for (int k = 0; !g && k < d.count; k++) fprintf(stderr, "%s: %s\n", MODELS[i].name, d.list[k].text);
    if (!g) abort();
    free(text);
    return g;
}
