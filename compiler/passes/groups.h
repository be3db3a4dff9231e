// Which parameters are trained, and how: the entries freeze, group and layer_decay of the train block.
//
//   freeze = "bert.embeddings.*, *.layer.0.*"                  these keep their values
//   group = "bert.*: lr=0.1x, weight_decay=0; *.bias: lr=2x"   a factor of the learning rate, a weight decay
//   layer_decay = 0.9                                          the rate falls from layer to layer
//
// Patterns are those of the shell (fnmatch(3)) on a parameter's whole name. Of several groups that say
// something about a parameter the last one counts. With layer_decay X, layer l of n (the first number in the
// name) learns at X^(n - l), what was declared before the first layer at X^(n + 1), what follows the layers
// at the full rate.
#ifndef FTC_GROUPS_H
#define FTC_GROUPS_H

#include "ir/diag.h"
#include "ir/graph.h"

typedef struct {
    double lr_factor;
    bool has_weight_decay;
    double weight_decay; // instead of the step's argument
} ftc_group;

// The group of each declaration, [n_decls], to be freed; NULL after a diagnostic.
ftc_group *ftc_groups_read(const ftc_graph *g, ftc_diagnostics *d);

// frozen[decl], [n_decls], set where a pattern of `freeze` matches a parameter. False after a diagnostic.
bool ftc_groups_freeze(const ftc_graph *g, bool *frozen, ftc_diagnostics *d);

#endif
