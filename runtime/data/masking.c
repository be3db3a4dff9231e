#include "runtime/data/masking.h"

#include "ir/base/alloc.h"
#include "ir/base/random.h"

#include <stdlib.h>

// Sites of random numbers, which those of models, numbered from 0, do not reach.
enum { CHOOSE = 0x7ffffff0, KIND, TOKEN };

ftc_status ftc_masking_create(const ftc_tokenizer *tokenizer, double probability, ftc_masking **out) {
    ftc_masking masking = {.probability = probability,
                           .replaced = 0.8,
                           .random = 0.1,
                           .mask_id = ftc_tokenizer_mask_id(tokenizer),
                           .vocabulary = ftc_tokenizer_vocab_size(tokenizer)};
    if (masking.mask_id < 0)
        return ftc_status_make(FTC_BAD_INPUT, "the tokenizer has no mask token, which masked language "
                                              "modelling needs; name it in tokenizer_config.json, as "
                                              "\"mask_token\": \"[MASK]\"");
    masking.is_special = ftc_alloc((size_t)masking.vocabulary, sizeof *masking.is_special);
    ftc_tokenizer_mark_special(tokenizer, masking.is_special);
    *out = ftc_alloc(1, sizeof **out);
    **out = masking;
    return FTC_STATUS_OK;
}

ftc_status ftc_masking_create_done(const ftc_tokenizer *tokenizer, ftc_masking **out) {
    FTC_RETURN_IF_ERROR(ftc_masking_create(tokenizer, 0, out));
    (*out)->is_done = true;
    return FTC_STATUS_OK;
}

void ftc_masking_free(ftc_masking *masking) {
    if (masking) free(masking->is_special);
    free(masking);
}

// The row key of ir/base/random.h over the texts of a batch; its cells are the tokens.
static uint64_t key_of(const ftc_masking *m, const ftc_draw *draw, uint32_t site, int64_t text) {
    uint64_t key = ftc_random_fold(draw->seed ^ m->seed, draw->step);
    key = ftc_random_fold(key, draw->micro_step);
    key = ftc_random_fold(key, site);
    return ftc_random_fold(key, (uint64_t)(draw->first_slot + text));
}

static bool is_chosen(const ftc_masking *m, uint64_t key, int32_t id, int64_t at) {
    if (m->is_done) return id == m->mask_id;
    bool is_special = id >= 0 && id < m->vocabulary && m->is_special[id];
    return !is_special && (double)ftc_random_cell(key, (uint32_t)at) < m->probability;
}

int64_t ftc_masking_count(const ftc_masking *m, const ftc_draw *draw, int64_t text, const int32_t *ids,
                          int64_t n) {
    uint64_t key = key_of(m, draw, CHOOSE, text);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += is_chosen(m, key, ids[i], i);
    return count;
}

int64_t ftc_masking_apply(const ftc_masking *m, const ftc_draw *draw, int64_t text, int32_t *ids, int64_t n,
                          int32_t *positions, int32_t *tokens) {
    uint64_t choose = key_of(m, draw, CHOOSE, text), kind = key_of(m, draw, KIND, text),
             token = key_of(m, draw, TOKEN, text);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!is_chosen(m, choose, ids[i], i)) continue;
        positions[count] = (int32_t)i;
        tokens[count++] = ids[i];
        if (m->is_done) continue;
        float what = ftc_random_cell(kind, (uint32_t)i);
        if (what < (float)m->replaced)
            ids[i] = m->mask_id;
        else if (what < (float)(m->replaced + m->random))
            ids[i] = (int32_t)(ftc_random_cell(token, (uint32_t)i) * (float)m->vocabulary);
    }
    return count;
}
