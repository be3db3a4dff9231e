// Formulas of step scalars (ftc_formula in ir/step_abi.h): where they come from, and their text.
//
// An expression over arguments, `step` and numbers alone is, by the language's definition, evaluated once a
// step in double and rounded once to f32. The text of a formula, "sub(1, pow(beta1, step))", is also the name
// of the declaration that stands for its value, so that equal formulas are one.
#ifndef FTC_FORMULA_H
#define FTC_FORMULA_H

#include "ir/graph.h"

enum { FTC_FORMULA_LONGEST = 400 }; // bytes of a text, which has more of them than its formula has operations

// A formula while it is made.
typedef struct {
    ftc_formula_code code[FTC_FORMULA_LONGEST];
    int32_t n, depth;
    bool varies; // it has an argument, or the step
} ftc_formula_builder;

// Whether a value is that of a formula: no axes, and nothing but operations of FTC_FORMULA_OPS on arguments,
// `step` and numbers, at least one that is no number. Then *out has it; false, too, where it would be too
// long.
bool ftc_formula_of(const ftc_graph *g, ftc_id id, ftc_formula_builder *out);

// The formula of a text; find(context, name) gives the index of an argument, below 0: there is none.
bool ftc_formula_parse(const char *text, int32_t (*find)(const void *context, const char *name),
                       const void *context, ftc_formula_builder *out);

// The declaration that stands for the formula's value, or for that of a text of one; declared if it is new.
// FTC_NO_DECL: the text is none over the graph's arguments.
ftc_decl ftc_formula_declare(ftc_graph *g, const ftc_formula_builder *formula);
ftc_decl ftc_formula_declare_text(ftc_graph *g, const char *text);

#endif
