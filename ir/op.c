#include "ir/op.h"

#include <string.h>

#define OP(name) extern const ftc_op_info ftc_op_info_##name;
#include "ir/ops/ops.def"
#undef OP

static const ftc_op_info *const table[FTC_OP_COUNT] = {
#define OP(name) [FTC_OP_##name] = &ftc_op_info_##name,
#include "ir/ops/ops.def"
#undef OP
};

const ftc_op_info *ftc_op_get(ftc_op op) {
    return table[op];
}

ftc_op ftc_op_find(const char *name) {
    for (int op = FTC_OP_NONE + 1; op < FTC_OP_COUNT; op++)
        if (!strcmp(table[op]->name, name)) return (ftc_op)op;
    return FTC_OP_NONE;
}

ftc_map_types ftc_node_map_types(const ftc_graph *g, const ftc_node *map) {
    ftc_map_types types = {.to = map->type.dtype};
    for (int i = 0; i < map->n_args; i++) types.from[i] = g->nodes[map->arg[i]].type.dtype;
    return types;
}
