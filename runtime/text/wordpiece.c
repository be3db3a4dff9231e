#include "runtime/text/wordpiece.h"

#include "ir/base/alloc.h"

#include <stdbool.h>
#include <string.h>

// The vocabulary is a trie over bytes, its edges in one open-addressing hash table. A piece that continues a
// word stands in the trie with its prefix, so such pieces are sought from the node that the prefix leads to.
typedef struct {
    uint32_t key;   // parent node << 8 | byte, plus 1; 0: free slot
    uint32_t child; // node
    int32_t token;  // id of the token that ends here, -1: none
} ftc_trie_edge;

struct ftc_wordpiece {
    ftc_trie_edge *edges;
    size_t slots, used; // slots is a power of two, at least twice `used`
    char *prefix;
    size_t max_chars;
    char **tokens; // by id
    size_t size, capacity;
};

enum { ROOT = 0 };

static ftc_trie_edge *edge_slot(const ftc_wordpiece *v, uint32_t node, uint8_t byte) {
    uint32_t key = (node << 8 | byte) + 1;
    size_t slot = (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (v->slots - 1);
    while (v->edges[slot].key != key && v->edges[slot].key != 0) slot = (slot + 1) & (v->slots - 1);
    return &v->edges[slot];
}

// The edge at the end of the path that spells `token` from the root, NULL if it leads nowhere.
static const ftc_trie_edge *edge_at(const ftc_wordpiece *v, const char *token, size_t size) {
    const ftc_trie_edge *edge = NULL;
    uint32_t node = ROOT;
    for (size_t i = 0; i < size; i++) {
        edge = edge_slot(v, node, (uint8_t)token[i]);
        if (edge->key == 0) return NULL;
        node = edge->child;
    }
    return edge;
}

static void make_room(ftc_wordpiece *v) {
    if (v->edges && v->used * 2 < v->slots) return;
    ftc_wordpiece larger = *v;
    larger.slots = v->slots ? v->slots * 2 : 1024;
    larger.edges = ftc_alloc(larger.slots, sizeof *larger.edges);
    for (size_t i = 0; i < v->slots; i++) {
        uint32_t key = v->edges[i].key;
        if (key) *edge_slot(&larger, (key - 1) >> 8, (key - 1) & 0xFF) = v->edges[i];
    }
    free(v->edges);
    *v = larger;
}

ftc_wordpiece *ftc_wordpiece_new(const char *prefix, int max_chars) {
    ftc_wordpiece *v = ftc_alloc(1, sizeof *v);
    v->prefix = ftc_strdup(prefix);
    v->max_chars = max_chars < 0 ? 0 : (size_t)max_chars;
    make_room(v);
    return v;
}

void ftc_wordpiece_free(ftc_wordpiece *v) {
    if (!v) return;
    for (size_t i = 0; i < v->size; i++) free(v->tokens[i]);
    free(v->tokens);
    free(v->edges);
    free(v->prefix);
    free(v);
}

void ftc_wordpiece_add(ftc_wordpiece *v, const char *token, size_t size, int32_t id) {
    ftc_trie_edge *edge = NULL;
    uint32_t node = ROOT;
    for (size_t i = 0; i < size; i++) {
        make_room(v);
        edge = edge_slot(v, node, (uint8_t)token[i]);
        if (edge->key == 0)
            *edge = (ftc_trie_edge){(node << 8 | (uint8_t)token[i]) + 1, (uint32_t)++v->used, -1};
        node = edge->child;
    }
    edge->token = id;
    ftc_wordpiece_add_name(v, token, size, id);
}

void ftc_wordpiece_add_name(ftc_wordpiece *v, const char *token, size_t size, int32_t id) {
    size_t old = v->capacity;
    v->tokens = ftc_grow(v->tokens, &v->capacity, (size_t)id + 1, sizeof *v->tokens);
    memset(v->tokens + old, 0, (v->capacity - old) * sizeof *v->tokens);
    free(v->tokens[id]);
    v->tokens[id] = ftc_strndup(token, size);
    if ((size_t)id >= v->size) v->size = (size_t)id + 1;
}

int32_t ftc_wordpiece_id(const ftc_wordpiece *v, const char *token, size_t size) {
    const ftc_trie_edge *edge = edge_at(v, token, size);
    return edge ? edge->token : -1;
}

bool ftc_wordpiece_step(const ftc_wordpiece *v, uint8_t byte, uint32_t *node, int32_t *token) {
    const ftc_trie_edge *edge = edge_slot(v, *node, byte);
    if (edge->key == 0) return false;
    *node = edge->child;
    *token = edge->token;
    return true;
}

const char *ftc_wordpiece_token(const ftc_wordpiece *v, int32_t id) {
    return id < 0 || (size_t)id >= v->size ? NULL : v->tokens[id];
}

int32_t ftc_wordpiece_size(const ftc_wordpiece *v) {
    return (int32_t)v->size;
}

static bool too_long(const char *word, size_t size, size_t max_chars) {
    if (size <= max_chars) return false;
    size_t chars = 0;
    for (size_t i = 0; i < size; i++) chars += ((unsigned char)word[i] & 0xC0) != 0x80;
    return chars > max_chars;
}

size_t ftc_wordpiece_cut(const ftc_wordpiece *v, const char *word, size_t size, int32_t *out) {
    if (too_long(word, size, v->max_chars)) return 0;
    size_t count = 0;
    uint32_t start = ROOT;
    for (size_t at = 0; at < size;) {
        int32_t longest = -1;
        size_t end = at;
        uint32_t node = start;
        for (size_t i = at; i < size; i++) {
            const ftc_trie_edge *edge = edge_slot(v, node, (uint8_t)word[i]);
            if (edge->key == 0) break;
            node = edge->child;
            if (edge->token >= 0) {
                longest = edge->token;
                end = i + 1;
            }
        }
        if (longest < 0) return 0;
        out[count++] = longest;
        at = end;
        if (start == ROOT && at < size) {
            const ftc_trie_edge *prefix = edge_at(v, v->prefix, strlen(v->prefix));
            if (prefix)
                start = prefix->child;
            else if (*v->prefix)
                return 0;
        }
    }
    return count;
}
