// A compiled model made by hand: softmax regression on bags of tokens with AdamW, its entries written in C
// against ir/step_abi.h alone. The runtime is tested with it, without a compiler.
//
//     logits[b] = mean over the tokens of W[token], dropout on each token + bias
#ifndef FTC_TESTS_BAG_MODEL_H
#define FTC_TESTS_BAG_MODEL_H

#include "ir/step_abi.h"
#include "runtime/data/dataset.h"

enum { BAG_VOCAB = 50, BAG_CLASSES = 3, BAG_MAX_BATCH = 16, BAG_MAX_LENGTH = 12 };

// Tensors, scalars and outputs, in the program's order.
enum {
    BAG_W,
    BAG_BIAS,
    BAG_W_AVG,
    BAG_BIAS_AVG,
    BAG_W_SQ,
    BAG_BIAS_SQ,
    BAG_W_GRAD,
    BAG_BIAS_GRAD,
    BAG_TENSORS
};

extern const ftc_program BAG_PROGRAM;

// `n` examples of random tokens whose label depends on them, with some noise. The same for the same seed.
ftc_dataset bag_dataset(int64_t n, uint64_t seed);

#endif
