// The graph as .ir text in its flat form: declarations, then one node a line. ir/lang/parse.h reads it back.
#ifndef FTC_PRINT_H
#define FTC_PRINT_H

#include <stdio.h>

#include "ir/graph.h"

// Every attribute of every node, kernels, offsets and settings included: parsing the text gives an equal
// graph.
void ftc_print_graph(const ftc_graph *g, FILE *f);
char *ftc_print_text(const ftc_graph *g); // the same; to be freed, NULL when memory is exhausted

void ftc_print_node(const ftc_graph *g, ftc_id id, FILE *f); // one line: %12 = dot(%3, %4; H) : f32[B, I]

// What callers see of a declaration, or of an output: its line without its place, and its name and type
// instead of its node. To be freed.
char *ftc_print_declaration_text(const ftc_graph *g, ftc_decl decl);
char *ftc_print_output_text(const ftc_graph *g, const ftc_output *output);

void ftc_print_number(double x, FILE *f); // decimal where that is short and exact, else hexadecimal; inf, nan
void ftc_print_setting(const ftc_graph_setting *setting, FILE *f); // its value: 128, 1e-12, "gelu"

// Whether two graphs say the same. Locations are ignored. If not, describes the first difference in `why`.
bool ftc_graph_equal(const ftc_graph *a, const ftc_graph *b, char *why, int why_size);

// The words of the language for these values; NULL outside of the enumeration.
const char *ftc_kernel_kind_name(ftc_kernel_kind kind); // "rows", "columns", "dot", "tile", "scatter"
const char *ftc_kept_name(ftc_kept kept);               // "stored", "recomputed"
const char *ftc_init_kind_name(ftc_init_kind kind);     // "zeros", "ones", …; NULL behind the last
bool ftc_init_has_scale(ftc_init_kind kind);            // normal, uniform
const char *ftc_decl_kind_name(ftc_decl_kind kind);     // "param", "moment", "gradient", "input", "arg", …

#endif
