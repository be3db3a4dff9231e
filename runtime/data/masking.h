// Masked language modelling: which tokens of a text a model has to predict, and what stands in their places.
// Each token that is not special is chosen with a probability; of the chosen ones some become the mask token,
// some a random token, the rest stay. What is drawn is a function of seed, step, micro-step, the text's place
// in the global batch and the token's in the text, by the numbers of ir/base/random.h, so that threads,
// shards and resuming do not matter.
#ifndef FTC_RUNTIME_MASKING_H
#define FTC_RUNTIME_MASKING_H

#include "runtime/status.h"
#include "runtime/text/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool is_done; // the texts have mask tokens, which are what is to be predicted; nothing else is chosen
    double probability;
    double replaced, random;     // of the chosen ones become the mask token; a random one
    uint64_t seed;               // besides the draw's
    int32_t mask_id, vocabulary; // random tokens are below `vocabulary`
    uint8_t *is_special;         // [vocabulary]
} ftc_masking;

// 80 % become the mask token, 10 % a random one. Fails when the tokenizer has no mask token.
ftc_status ftc_masking_create(const ftc_tokenizer *tokenizer, double probability, ftc_masking **out);
// The same for texts that are masked already.
ftc_status ftc_masking_create_done(const ftc_tokenizer *tokenizer, ftc_masking **out);
void ftc_masking_free(ftc_masking *masking);

// Where a batch stands. Step 0 is no step of a training: evaluations draw there, always the same.
typedef struct {
    uint64_t seed;
    uint32_t step, micro_step;
    int64_t first_slot; // place of the batch's first text in the global batch
} ftc_draw;

// Masks the `n` tokens of the text that is number `text` of the batch, in place; says which were chosen and
// what they were, into positions and tokens [n]. Returns how many.
int64_t ftc_masking_apply(const ftc_masking *masking, const ftc_draw *draw, int64_t text, int32_t *ids,
                          int64_t n, int32_t *positions, int32_t *tokens);

// How many that are.
int64_t ftc_masking_count(const ftc_masking *masking, const ftc_draw *draw, int64_t text, const int32_t *ids,
                          int64_t n);

#endif
