// PyTorch's random numbers on a CPU (ATen/core/MT19937RNGEngine.h, and randperm in
// ATen/native/TensorFactories.cpp): what Trainer's order of the examples comes from.
#ifndef FTC_RUNTIME_TORCH_RANDOM_H
#define FTC_RUNTIME_TORCH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

// The Mersenne Twister of Matsumoto and Nishimura, MT19937.
enum { FTC_TORCH_RANDOM_WORDS = 624 };
typedef struct {
    uint32_t words[FTC_TORCH_RANDOM_WORDS];
    int next; // of the words; FTC_TORCH_RANDOM_WORDS: all are used up
} ftc_torch_random;

// torch.manual_seed: of the seed, only the lower 32 bits count.
void ftc_torch_random_seed(uint64_t seed, ftc_torch_random *out);

uint32_t ftc_torch_random_next(ftc_torch_random *random);

// torch.randperm(n): writes n indices to `out`.
void ftc_torch_permutation(ftc_torch_random *random, int64_t n, int64_t *out);

// How many numbers of 32 bits that draws.
int64_t ftc_torch_permutation_draws(int64_t n);

// torch.empty((), dtype=torch.int64).random_(), as DataLoader seeds its workers at the start of each pass.
enum { FTC_TORCH_DRAWS_OF_PASS = 2 };

#endif
