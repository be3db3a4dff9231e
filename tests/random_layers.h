// Models made at random of what encoders are made of: attention in all its forms, gated layers, tokens that
// see their neighbours, pooling. Their graphs have what graphs of random operations (tests/random_graph.h) do
// not come to: several feature axes, scores that several read, tables by distance, windows, two texts, slices
// of parameters, and sequences of up to 200 tokens.
#ifndef FTC_TESTS_RANDOM_LAYERS_H
#define FTC_TESTS_RANDOM_LAYERS_H

#include "ir/graph.h"

// The text, to be freed. All values stay within a few units.
char *test_random_layers_text(uint64_t seed);

ftc_graph *test_random_layers(uint64_t seed);

#endif
