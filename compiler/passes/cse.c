// cse: computes equal values once.
//
// Two nodes are equal when operation, operands, attributes and type are; operands of commutative operations
// in either order (which is kept as it was: equal layers then give equal kernels). The site of a random node
// is an attribute, so different sites never meet. Effects are not values: each stays. The first of equal
// nodes remains, in its phase.
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/simplify.h"
#include "ir/base/alloc.h"
#include "ir/op.h"

static bool same_axes(const ftc_axes *a, const ftc_axes *b) {
    return a->n == b->n && !memcmp(a->at, b->at, a->n * sizeof *a->at);
}

static bool same_args(const ftc_node *a, const ftc_node *b) {
    if (a->n_args == b->n_args && !memcmp(a->arg, b->arg, a->n_args * sizeof *a->arg)) return true;
    return ftc_op_get(a->op)->commutative && a->arg[0] == b->arg[1] && a->arg[1] == b->arg[0];
}

static bool same_value(const ftc_node *a, const ftc_node *b) {
    return a->op == b->op && same_args(a, b) && a->type.dtype == b->type.dtype &&
           same_axes(&a->type.axes, &b->type.axes) && same_axes(&a->axes, &b->axes) && a->axis == b->axis &&
           a->to == b->to && !memcmp(&a->value, &b->value, sizeof a->value) && a->index == b->index &&
           a->decl == b->decl && a->symbol == b->symbol;
}

static uint64_t hashed(const ftc_node *node) {
    struct {
        ftc_op op;
        ftc_dtype dtype;
        ftc_id arg[FTC_MAX_ARGS];
        ftc_axis axis, to, of_type[FTC_MAX_AXES], axes[FTC_MAX_AXES];
        ftc_decl decl;
        double value;
        int64_t index;
    } key;
    memset(&key, 0, sizeof key); // padding, too
    key.op = node->op;
    key.dtype = node->type.dtype;
    memcpy(key.arg, node->arg, node->n_args * sizeof *node->arg);
    if (ftc_op_get(node->op)->commutative && key.arg[0] > key.arg[1]) {
        key.arg[0] = node->arg[1];
        key.arg[1] = node->arg[0];
    }
    key.axis = node->axis;
    key.to = node->to;
    memcpy(key.of_type, node->type.axes.at, node->type.axes.n * sizeof *key.of_type);
    memcpy(key.axes, node->axes.at, node->axes.n * sizeof *key.axes);
    key.decl = node->decl;
    key.value = node->value;
    key.index = node->index;
    return XXH3_64bits(&key, sizeof key);
}

typedef struct {
    ftc_graph *out;
    ftc_id *slot; // open addressing: ids of `out`, 0: free
    uint32_t n_slots;
} table;

// The slot of a node equal to this one, or the free slot where it belongs.
static ftc_id *find_slot(const table *t, const ftc_node *node) {
    uint32_t s = (uint32_t)hashed(node) & (t->n_slots - 1);
    while (t->slot[s] && !same_value(ftc_graph_node(t->out, t->slot[s]), node))
        s = (s + 1) & (t->n_slots - 1);
    return &t->slot[s];
}

static ftc_id shared(const table *t, ftc_node node) {
    ftc_id *slot = find_slot(t, &node);
    if (*slot && ftc_node_class(&node) != FTC_CLASS_ASSIGN) return *slot;
    ftc_node inner;
    ftc_axis from, to;
    if (ftc_unrenamed(t->out, &node, &inner, &from, &to)) {
        ftc_id known = *find_slot(t, &inner);
        if (known && !ftc_axes_has(&node.type.axes, to)) return known;
        if (known) {
            ftc_node rename = {.op = FTC_OP_rename, .n_args = 1, .arg = {known}, .axis = from, .to = to};
            rename.decl = FTC_NO_DECL;
            rename.type = node.type;
            rename.loc = node.loc;
            rename.phase = node.phase;
            return shared(t, rename);
        }
    }
    return *slot = ftc_graph_append(t->out, node);
}

bool ftc_pass_cse(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    (void)options, (void)d;
    table t = {.out = ftc_graph_new_like(g), .n_slots = 16};
    while (t.n_slots < 4 * g->n_nodes) t.n_slots *= 2;
    t.slot = ftc_alloc(t.n_slots, sizeof *t.slot);
    ftc_id *map = ftc_alloc(g->n_nodes, sizeof *map);
    for (ftc_id id = 1; id < g->n_nodes; id++) {
        ftc_node node = *ftc_graph_node(g, id);
        for (int i = 0; i < node.n_args; i++) node.arg[i] = map[node.arg[i]];
        map[id] = shared(&t, node);
    }
    ftc_graph_replace_nodes(g, t.out, map);
    free(map);
    free(t.slot);
    return true;
}
