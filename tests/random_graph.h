// Graphs made at random from the table of operations, and values for what they read. A new operation takes
// part without a line here.
#ifndef FTC_TESTS_RANDOM_GRAPH_H
#define FTC_TESTS_RANDOM_GRAPH_H

#include "ir/graph.h"
#include "ir/interpret.h"

// A small generator of pseudorandom numbers (splitmix64), the same everywhere.
typedef struct {
    uint64_t state;
    const uint8_t *bytes; // [n_bytes] the first numbers
    size_t n_bytes;
} test_random;

uint64_t test_random_next(test_random *r);
int test_random_below(test_random *r, int n);                        // 0 … n-1
double test_random_between(test_random *r, double low, double high); // an f32 value

// Axes that test graphs are made of, and their parameters and inputs. The extents of B and S are bounds.
typedef struct {
    ftc_graph *g;
    ftc_axis B, S, T, H, A, D, V; // B <= 4, S ragged B <= 5, T = S, H = 6, A = 2, D = 3, V = 7
    ftc_axis N, U, Q;             // of wide ones: N <= 3, U ragged B <= 4, Q ragged N <= 3; else FTC_NO_AXIS
} test_axes;

test_axes test_axes_new(const char *model);
test_axes test_axes_new_wide(const char *model);

// A leaf with its declaration. Parameters may only have H, A, D and V.
ftc_id test_param(ftc_graph *g, const char *name, ftc_axes axes);
ftc_id test_input(ftc_graph *g, const char *name, ftc_dtype dtype, ftc_axes axes, ftc_axis bound);
ftc_axes test_list(int n, ...); // of ftc_axis

typedef struct {
    int n_nodes;    // operations, about
    bool quadratic; // values over S and T, too
    bool wide;      // several batch-like and ragged axes, inputs and outputs of every order
    bool step_abi;  // outputs are such as ftc_step_args can give: f32, none over tokens unless it is wide
    const uint8_t *bytes; // [n_bytes] the first choices, before those of the seed
    size_t n_bytes;
    bool smooth; // no detach, no bf16 and no rows without gradient: gradients are derivatives
} test_graph_options;

// A graph with the scalar output "loss", in which all cells of the last values are summed, and two more
// outputs. All values stay within a few units, and nothing depends on the comparison of numbers that rounding
// could reorder.
ftc_graph *test_random_graph(uint64_t seed, const test_graph_options *options);

// Values for all declarations: lengths, tensors and numbers drawn with the seed, indices within bounds,
// everything exact in f32. Optimizer state and gradients are 0.
typedef struct {
    ftc_bindings b;
    int64_t *extents;
    int32_t **lengths;
    double **tensors;
    uint32_t n_extents, n_decls;
} test_values;

test_values *test_values_new(const ftc_graph *g, uint64_t seed);
void test_values_free(test_values *v);

// The cells of a value as they lie when its axes come in the order of `axes` (the same set), so that values
// can be compared whose axes are ordered differently. To be freed by the caller.
double *test_cells_as(const ftc_interp *in, const ftc_graph *g, const ftc_bindings *b, ftc_id id,
                      const ftc_axes *axes, int64_t *n);

// The cells of an input or output of this type as the step has them in memory, of cells in packed order. To
// be freed by the caller.
double *test_interface_cells(const ftc_graph *g, const ftc_bindings *b, const ftc_type *type,
                             const double *packed);

// The node of an output; 0: there is none of that name.
ftc_id test_output(const ftc_graph *g, const char *name);

#endif
