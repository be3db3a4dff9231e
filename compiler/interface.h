// The numbering that a program's entry points share: which index of ftc_step_args.tensors, inputs, scalars,
// outputs and extents means what. Each entry is compiled from a graph of its own; declarations meet here by
// name.
#ifndef FTC_INTERFACE_H
#define FTC_INTERFACE_H

#include "ir/graph.h"

typedef struct {
    ftc_tensor_info *tensors;
    ftc_input_info *inputs;
    ftc_scalar_info *scalars;
    ftc_output_info *outputs;
    ftc_extent_info *extents;
    ftc_check_info *checks;
    ftc_count_info *counts;
    int32_t n_tensors, n_inputs, n_scalars, n_outputs, n_extents, n_checks, n_counts;
} ftc_interface;

// Adds what `g` declares and is not there yet; outputs of `entry` get its bit. Strings are borrowed from the
// graph, which must live as long as the interface.
void ftc_interface_add_graph(ftc_interface *in, const ftc_graph *g, ftc_entry_kind entry);

// Adds what the outputs check by which the entries at hand tell of an index outside of its table. `source` is
// the graph from which they were made, and lives as long.
void ftc_interface_add_checks(ftc_interface *in, const ftc_graph *source);
// Marks the parameters of which `source` looks rows up (ftc_tensor_info.is_table).
void ftc_interface_mark_tables(ftc_interface *in, const ftc_graph *source);
// Adds what the costs of its nodes are counted by (compiler/cost.h).
void ftc_interface_add_counts(ftc_interface *in, const ftc_graph *g);

void ftc_interface_free(ftc_interface *in);

// The index of a declaration in the table of its kind; aborts when it was not added.
int32_t ftc_interface_decl(const ftc_interface *in, const ftc_decl_def *decl);
int32_t ftc_interface_output(const ftc_interface *in, const char *name);
int32_t ftc_interface_extent(const ftc_interface *in, const ftc_extent_def *extent);

// How many cells there are over these axes: each * count, the index of which in ftc_program.counts is given.
int64_t ftc_interface_each(const ftc_graph *g, const ftc_axes *axes);
int32_t ftc_interface_count(const ftc_interface *in, const ftc_graph *g, const ftc_axes *axes);

#endif
