// What the files of the elaborator share (ir/lang/elaborate*.c); nobody else includes it.
#ifndef FTC_ELABORATOR_H
#define FTC_ELABORATOR_H

#include "ir/arena.h"
#include "ir/lang/ast.h"
#include "ir/diag.h"
#include "ir/graph.h"
#include "ir/lang/parse.h"

enum {
    FTC_ELAB_DEEPEST_CALL = 32,
    FTC_ELAB_MAX_PARAMETERS = 16,
    FTC_ELAB_LONGEST_TEXT = 500,
    FTC_ELAB_MAX_DECLS = 16000,
    FTC_ELAB_MAX_NODES = 1000000,
    FTC_ELAB_MAX_WORK = 20000000, // expressions and statements
};

// What an expression stands for while the graph is built.
typedef struct {
    enum {
        FTC_VALUE_NONE,   // a function that returns nothing
        FTC_VALUE_ERROR,  // reported already
        FTC_VALUE_NUMBER, // known now
        FTC_VALUE_TEXT,   // known now
        FTC_VALUE_NODE,   // known when the step runs
        FTC_VALUE_DECL,   // an input, argument or parameter: its leaf node is appended when it is first used
        FTC_VALUE_AXES,   // axes bound to an axis parameter, or one axis by its name
    } kind;
    double number;
    const char *text;
    ftc_id node;
    ftc_decl decl;
    ftc_axes axes;
} ftc_value;

typedef struct {
    const char *name;
    ftc_value value;
} ftc_binding;

typedef struct {
    const ftc_function *function;
    const ftc_module *caller; // NULL: a pass
    ftc_place place;          // of the call
} ftc_frame;

// A module that the text has asked about: selected("ENTRY", NAME).
typedef struct ftc_asked {
    const char *entry, *module; // the module's name with the scopes around it
    struct ftc_asked *next;
} ftc_asked;

// A freeze statement.
typedef struct ftc_patterns {
    const char *text;
    struct ftc_patterns *before;
} ftc_patterns;

#define FTC_FAULTY_LABEL UINT32_MAX

typedef struct {
    ftc_graph *g;
    ftc_diagnostics *d;
    ftc_arena *arena;
    const ftc_module *main;   // NULL: a pass uses the library
    const ftc_module *own;    // a pass: the model's own functions; NULL: it has none that a pass may call
    bool in_optimizer;        // the text is that of an optimizer
    const ftc_module *module; // whose text is being elaborated
    const ftc_module **library;
    int n_library;
    ftc_frame frames[FTC_ELAB_DEEPEST_CALL];
    int n_frames;
    ftc_binding *bindings; // all frames' variables; those from `base` on are visible
    uint32_t n_bindings, bindings_capacity, base;
    const char *prefix; // of parameter names
    bool is_shared;     // parameters declared here may be declared again
    ftc_init_kind init; // of parameters that name none
    double init_scale;
    ftc_asked *asked, *last_asked;
    ftc_patterns *frozen; // what the text freezes, the last statement first
    bool own_places;      // a dump's nodes and declarations are where they stand in it
    bool in_gradient;     // the text is gradient text
    bool returned;        // the function that is being elaborated has returned `result`
    ftc_value result;
    bool stopped; // too much work or too many errors
    int64_t work;
    uint32_t kernel; // region that nodes belong to
    // The node of each label of a dump; 0: none, FTC_FAULTY_LABEL: it has been told why there is none.
    ftc_id *labels;
    uint32_t n_labels;
} ftc_elaborator;

// Reports an error at a place of the text that is being elaborated; inside of a library function the user's
// call comes first. Notes follow with the calls in between.
void ftc_elab_error(ftc_elaborator *e, ftc_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Says where the nodes and declarations that follow come from. Those of library functions have the place of
// the call in the model.
void ftc_elab_locate(ftc_elaborator *e, ftc_place place);

// Counts one unit of work; false when elaboration is to stop.
bool ftc_elab_tick(ftc_elaborator *e, ftc_place place);

// The modules in which a function is looked for, in order, from -1 to n_library - 1: the model's own text,
// which may be NULL, and the library.
static inline const ftc_module *ftc_elab_module(const ftc_elaborator *e, int i) {
    return i >= 0 ? e->library[i] : e->main ? e->main : e->own;
}

ftc_value ftc_elab_expr(ftc_elaborator *e, const ftc_expr *expr);
ftc_value ftc_elab_function(ftc_elaborator *e, const ftc_function *f, const ftc_expr *call); // elaborate.c
void ftc_elab_block(ftc_elaborator *e, const ftc_stmt *s);                                   // elaborate.c
void ftc_elab_node(ftc_elaborator *e, const ftc_stmt *s);

// Sets or finds a variable of the current frame.
void ftc_elab_bind(ftc_elaborator *e, const char *name, ftc_value value);
const ftc_value *ftc_elab_find(const ftc_elaborator *e, const char *name);

// Conversions; false after a diagnostic (silently for FTC_VALUE_ERROR).
bool ftc_elab_number(ftc_elaborator *e, const ftc_expr *expr, const char *what, double *x);
bool ftc_elab_whole(ftc_elaborator *e, const ftc_expr *expr, const char *what, int64_t low, int64_t high,
                    int64_t *x);
bool ftc_elab_text(ftc_elaborator *e, const ftc_expr *expr, const char **text); // {names} replaced
// An operation without attributes, on values.
// Result number `result` of the kernel `symbol`; operand 0 is what it means. `axes`: those of the call.
ftc_value ftc_elab_extern(ftc_elaborator *e, int n_args, const ftc_value *operands, const ftc_axes *axes,
                          const char *symbol, int64_t result, ftc_place place);
ftc_value ftc_elab_apply(ftc_elaborator *e, ftc_op op, int n_args, const ftc_value *operands,
                         ftc_place place);
bool ftc_elab_as_node(ftc_elaborator *e, const ftc_value *v, ftc_place place, ftc_dtype dtype, ftc_id *id);

// Declarations (elaborate_decl.c).
bool ftc_elab_axes(ftc_elaborator *e, const ftc_axis_item *items, ftc_axes *axes);
bool ftc_elab_axis(ftc_elaborator *e, const ftc_axis_item *item, ftc_axis *axis);
bool ftc_elab_type(ftc_elaborator *e, const ftc_type_syntax *s, ftc_type *type, ftc_axes *dims,
                   uint8_t *n_dims);
ftc_value ftc_elab_decl(ftc_elaborator *e, const ftc_decl_syntax *s);
void ftc_elab_axis_statement(ftc_elaborator *e, const ftc_stmt *s);
void ftc_elab_init(ftc_elaborator *e, const ftc_decl_syntax *s, ftc_init_kind *init, double *scale);
void ftc_elab_state(ftc_elaborator *e, const ftc_stmt *s);
void ftc_elab_output(ftc_elaborator *e, const ftc_stmt *s);
void ftc_elab_kernel(ftc_elaborator *e, const ftc_stmt *s);

// What the train block says to the text (elaborate_select.c). When all is read, every name that an entry
// selects by must have selected something.
ftc_value ftc_elab_setting(ftc_elaborator *e, const ftc_expr *call);
ftc_value ftc_elab_selected(ftc_elaborator *e, const ftc_expr *call);
void ftc_elab_freeze(ftc_elaborator *e, const ftc_stmt *s);
void ftc_elab_settle_frozen(ftc_elaborator *e);
void ftc_elab_check_selected(ftc_elaborator *e);

// What an assignment, updated(…) or the loss may depend on; false after a diagnostic (elaborate_assign.c).
bool ftc_elab_check_assign(ftc_elaborator *e, const ftc_expr *call, const ftc_node *node);
bool ftc_elab_check_updated(ftc_elaborator *e, const ftc_expr *call, const ftc_node *node);
bool ftc_elab_check_loss(ftc_elaborator *e, ftc_place place, ftc_id loss);

// Config and train blocks (settings.c): adds them to the graph.
void ftc_elab_settings(ftc_elaborator *e, const ftc_settings *overrides);

// The family block (family.c): adds it to the graph; checks, when all parameters are declared, that they have
// the names that it speaks of.
void ftc_elab_family(ftc_elaborator *e, const ftc_settings *overrides);
void ftc_elab_check_family(ftc_elaborator *e);

#endif
