// From syntax to graph (the pass `expand`): inlines functions, unrolls loops, decides compile-time
// conditions, resolves names, and appends nodes with their types inferred. Also applies library functions to
// a graph that exists already.
#ifndef FTC_ELABORATE_H
#define FTC_ELABORATE_H

#include "ir/lang/ast.h"
#include "ir/lang/parse.h"

// Passes that append library text (the optimizer's update) open the library on their graph, call its
// functions, and close it. Nodes get the graph's cursor_loc and cursor_phase.
typedef struct ftc_library ftc_library;

ftc_library *ftc_library_open(ftc_graph *g, ftc_diagnostics *d);

// Calls a function with nodes as its arguments, the model's own before the library's. Returns what it
// returns, 0 when that is nothing or after a diagnostic.
ftc_id ftc_library_call(ftc_library *library, const char *function, const ftc_id *args, int n_args);

void ftc_library_close(ftc_library *library);

// The optimizer of this name, or with this other name; the model's own come before the library's. NULL: there
// is none. And the names of all, at most `most`; how many.
const ftc_function *ftc_library_optimizer(const ftc_library *library, const char *name);
int ftc_library_optimizers(const ftc_library *library, const char **names, int most);

// The learning rate; the number 0 where the optimizer takes none. 0 after a diagnostic.
ftc_id ftc_library_rate(ftc_library *library, const ftc_function *optimizer);

// The weight decay of parameter p: an argument, whose default the optimizer's text says; the number 0 where
// it takes none. 0 after a diagnostic.
ftc_id ftc_library_decay(ftc_library *library, const ftc_function *optimizer, ftc_id p);

// Appends what it does to a parameter: args are the parameter, its gradient, learning rate and weight decay.
void ftc_library_update(ftc_library *library, const ftc_function *optimizer, const ftc_id args[4]);

// The names and texts of ir/std, embedded at build time.
extern const ftc_library_file ftc_library_files[];

#endif
