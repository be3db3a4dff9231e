#include "runtime/text/unigram.h"

#include "ir/base/alloc.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

struct ftc_unigram {
    const ftc_wordpiece *vocabulary;
    double *scores; // [n]
    int32_t unk_id;
    double unk_score;
};

static const double UNKNOWN_PENALTY = 10; // below the lowest score, as SentencePiece has it

ftc_unigram *ftc_unigram_new(const ftc_wordpiece *vocabulary, const double *scores, size_t n,
                             int32_t unk_id) {
    ftc_unigram *u = ftc_alloc(1, sizeof *u);
    u->scores = ftc_alloc(n, sizeof *u->scores);
    memcpy(u->scores, scores, n * sizeof *scores);
    u->vocabulary = vocabulary;
    u->unk_id = unk_id;
    u->unk_score = n ? scores[0] : 0;
    for (size_t i = 1; i < n; i++)
        if (scores[i] < u->unk_score) u->unk_score = scores[i];
    u->unk_score -= UNKNOWN_PENALTY;
    return u;
}

void ftc_unigram_free(ftc_unigram *u) {
    if (!u) return;
    free(u->scores);
    free(u);
}

// The best way to a byte of the word: its last token and where that begins.
typedef struct {
    double score;
    int32_t id, from; // from -1: there is none yet
} way;

static void offer(way *to, double score, int32_t id, size_t from) {
    if (to->from < 0 || score > to->score) *to = (way){score, id, (int32_t)from};
}

static void find_ways(const ftc_unigram *u, const char *word, size_t size, way *ways) {
    for (size_t i = 0; i <= size; i++) ways[i] = (way){.from = -1};
    for (size_t at = 0, n; at < size; at += n) {
        uint32_t c, node = 0;
        bool has_single = false;
        int32_t id;
        if (!(n = ftc_utf8_decode(word + at, size - at, &c))) n = 1; // what is normalized is UTF-8
        for (size_t i = at; i < size && ftc_wordpiece_step(u->vocabulary, (uint8_t)word[i], &node, &id);
             i++) {
            if (id < 0) continue;
            offer(&ways[i + 1], u->scores[id] + ways[at].score, id, at);
            has_single |= i + 1 == at + n;
        }
        if (!has_single) offer(&ways[at + n], u->unk_score + ways[at].score, u->unk_id, at);
    }
}

size_t ftc_unigram_cut(const ftc_unigram *u, const char *word, size_t size, int32_t *out) {
    enum { FEW = 128 };
    way few[FEW], *ways = size < FEW ? few : ftc_alloc(size + 1, sizeof *ways);
    find_ways(u, word, size, ways);
    size_t count = 0;
    for (size_t at = size; at > 0; at = (size_t)ways[at].from) { // from the last token to the first
        bool is_more_unknown = count && ways[at].id == u->unk_id && out[count - 1] == u->unk_id;
        if (!is_more_unknown) out[count++] = ways[at].id;
    }
    for (size_t i = 0; i < count / 2; i++) {
        int32_t id = out[i];
        out[i] = out[count - 1 - i];
        out[count - 1 - i] = id;
    }
    if (ways != few) free(ways);
    return count;
}
