// The syntax of .ir text as a tree. Models, library files and dumps are all ftc_modules; what names mean is
// decided in ir/lang/elaborate.c. Lists are linked through `next`; everything lives in the arena that it was
// parsed into.
#ifndef FTC_AST_H
#define FTC_AST_H

#include "ir/graph.h"
#include "ir/lang/lex.h"

typedef struct ftc_expr ftc_expr;
typedef struct ftc_stmt ftc_stmt;
typedef struct ftc_module ftc_module;

// --- axes and types -----------------------------------------------------------------------------------

// An element of a list of axes: a name, or all axes of a value: axes(x).
typedef struct ftc_axis_item {
    ftc_place place;
    const char *name;
    ftc_expr *value; // axes(value), else NULL
    struct ftc_axis_item *next;
} ftc_axis_item;

// What stands between the arrows of "; A, D -> H", and a stored dimension of a type.
typedef struct ftc_axis_list {
    ftc_axis_item *items;
    struct ftc_axis_list *next;
} ftc_axis_list;

typedef struct {
    ftc_place place;
    ftc_dtype dtype;
    ftc_axis_list *dims; // f32[(A D), H]: two
} ftc_type_syntax;

// --- expressions --------------------------------------------------------------------------------------

typedef enum {
    FTC_EXPR_NUMBER, // 0.5
    FTC_EXPR_STRING, // "layer.{l}"
    FTC_EXPR_NAME,   // x, hidden, H
    FTC_EXPR_LABEL,  // %12
    FTC_EXPR_CALL,   // dot(x, W; H); x + y is a call of "+", -x of "neg"
    FTC_EXPR_PARAM,  // param "weight" f32[I, H]
} ftc_expr_kind;

typedef struct ftc_decl_syntax ftc_decl_syntax;

struct ftc_expr {
    ftc_expr_kind kind;
    ftc_place place;
    int height;            // of the tree below, from 1
    bool outer;            // call: marked as an outer product
    const char *text;      // string, name; call: the function
    double number;         // number, label
    const char *keyword;   // as an argument: "eps" in eps = 1e-5, else NULL
    ftc_expr *args;        // call
    uint32_t entries;      // call of assign: those that run it, a mask; 0: none are written
    ftc_axis_list *axes;   // call: after ';'
    ftc_decl_syntax *decl; // param
    ftc_expr *next;
};

// param, moment, gradient, input, arg.
struct ftc_decl_syntax {
    ftc_place place;
    ftc_decl_kind kind;
    ftc_expr *name; // a string or a name
    ftc_type_syntax type;
    bool has_init;
    ftc_init_kind init;
    ftc_expr *init_scale; // normal, uniform
    ftc_expr *zero_row;   // NULL: none
    bool frozen;
    ftc_expr *of;         // moment, gradient, touched
    const char *by;       // touched: name of an input
    ftc_axis_item *bound; // input … in V; NULL: none
    bool has_from;        // input … from tokens
    ftc_input_role from;
    const char *column;   // input … from column "score"
    ftc_expr *value;      // arg: default
    ftc_scalar_role role; // arg
    const char *loc_file; // NULL: where the declaration stands
    double loc_line;
};

// --- statements ---------------------------------------------------------------------------------------

typedef enum {
    FTC_STMT_AXIS,   // axis B <= batch
    FTC_STMT_DECL,   // input ids : i32[B, S] in V
    FTC_STMT_INIT,   // init normal(0.02)
    FTC_STMT_ASSIGN, // x = …
    FTC_STMT_CALL,   // assign(x, p)
    FTC_STMT_SCOPE,  // scope "bert" { … }
    FTC_STMT_FOR,    // for l in 0..layers { … }
    FTC_STMT_IF,     // if labels == 1 { … } else { … }
    FTC_STMT_CHECK,  // check labels > 0 "…"
    FTC_STMT_FREEZE, // freeze "*, !head"
    FTC_STMT_RETURN, // return x
    FTC_STMT_OUTPUT, // output loss
    FTC_STMT_STATE,  // state exp_avg like p
    // in dumps
    FTC_STMT_NODE,   // %12 = …
    FTC_STMT_KERNEL, // kernel k3 dot rows(B, S) { … }
    FTC_STMT_STAGE,  // stage cse of step
    FTC_STMT_SITES,  // sites 12
    FTC_STMT_MEMORY, // memory arena 4096 scratch 0 peak 4000
} ftc_stmt_kind;

struct ftc_stmt {
    ftc_stmt_kind kind;
    ftc_place place;
    const char *name; // axis, assign, for, output, kernel
    ftc_expr
        *expr; // axis: extent or bound; assign, call, check, freeze, if, return: the expression; for: first;
               // output: node; state: the parameter
    ftc_expr *last;        // for: one past the last; scope: the prefix; check: the message
    ftc_stmt *body;        // scope, for, if, kernel
    ftc_stmt *other;       // if: else
    bool is_shared;        // shared scope
    ftc_decl_syntax *decl; // declaration; init
    union {
        struct {
            enum { FTC_AXIS_EQUALS, FTC_AXIS_SYMBOL, FTC_AXIS_RAGGED } kind;
            ftc_axis_item *over; // ragged
        } axis;
        enum { FTC_STATE_WHOLE, FTC_STATE_ROWS, FTC_STATE_COLUMNS } state; // what dimensions it has
        struct {
            bool all;         // entries are not written
            uint32_t entries; // mask
            bool has_role;    // output … as loss
            ftc_output_role role;
            ftc_axis_item *classes; // as scores over C; NULL: not written
            ftc_expr *weight;       // as loss weight n; NULL: none
            const char *of;         // as factor of "PARAMETER"
            ftc_axis_list *order;   // in dumps: order(B, S); NULL: that of the node
        } output;
        struct {
            uint32_t label;
            ftc_type_syntax type;
            ftc_phase phase;
            ftc_kept kept;
            double step, offset; // offset -1: not in memory
            const char *loc_file;
            double loc_line;
        } node;
        struct {
            bool header; // kind and attributes are written
            ftc_kernel_kind kind;
            ftc_axis_list *rows, *cols;
            ftc_axis_item *block;
            double block_size;
            bool has_window;
            double window[2];
            bool barrier;
            const char *plain;
        } kernel;
        ftc_entry_kind stage_of;
        double sites;
        struct {
            double arena, scratch, peak;
        } memory;
    };
    ftc_stmt *next;
};

// --- modules ------------------------------------------------------------------------------------------

// + NAME or - 2 behind the value of an entry of the config block.
typedef struct ftc_setting_term {
    ftc_place place;
    double sign;
    const char *name; // of an earlier entry; NULL: the number
    double number;
    bool is_integer;
    struct ftc_setting_term *next;
} ftc_setting_term;

// NAME = VALUE in config, family and train blocks; in config with "hf_name" and as ROLE behind it.
typedef struct ftc_setting_syntax {
    ftc_place place;
    const char *name, *hf_name;
    const char *text; // a string or a bare name; NULL: a number
    bool bare;
    double number;
    bool is_integer;
    ftc_setting_term *terms;
    uint32_t start, end;  // bytes of the value in the source
    ftc_config_role role; // that is written; FTC_CONFIG_PLAIN: none is
    ftc_place role_place;
    struct ftc_setting_syntax *next;
} ftc_setting_syntax;

// A parameter of a function. Axis parameters stand after ';'.
typedef struct ftc_parameter {
    ftc_place place;
    const char *name;
    ftc_expr *value; // default, else NULL
    struct ftc_parameter *next;
} ftc_parameter;

typedef struct ftc_function {
    ftc_place place;
    uint32_t start, end; // bytes in the source
    const char *name;
    ftc_parameter *parameters;
    ftc_axis_list *axes; // names of axis parameters, in the groups of the call
    ftc_stmt *body;
    const ftc_module *module;
    // Gradient text: functions of the result and of the gradient that arrives at it.
    struct ftc_function *gradients;
    const char *of;     // in gradient text: the parameter whose gradient it returns, else NULL
    ftc_expr *also;     // optimizer: other names, in quotes
    const char *symbol; // extern: the function that computes it; NULL: the body does
    ftc_expr *operands; // … of these names; NULL: of the parameters, in gradient text and of its own two
    struct ftc_function *next;
} ftc_function;

// use "OTHER.ir"
typedef struct ftc_use_syntax {
    ftc_place place;
    uint32_t start, end; // bytes in the source
    const char *file;
    struct ftc_use_syntax *next;
} ftc_use_syntax;

struct ftc_module {
    ftc_source source;
    bool library;         // part of ir/std
    const char *model;    // NULL: none named
    ftc_use_syntax *uses; // in order
    ftc_setting_syntax *config, *family, *train;
    ftc_function *functions;
    ftc_function *optimizers; // functions of (parameter, gradient, rate, decay)
    ftc_stmt *body;
    bool flat; // holds nodes: a dump
};

// Parses one text. Statements with errors are reported and left out.
ftc_module *ftc_parse_module(ftc_arena *arena, ftc_source source, ftc_diagnostics *d);

#endif
