#include "ir/formula.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/op.h"
#include "ir/print.h"

static const struct {
    const char *name;
    int32_t n_args;
} operations[] = {[FTC_FORMULA_number] = {"", 0},
                  [FTC_FORMULA_scalar] = {"", 0},
                  [FTC_FORMULA_step] = {"step", 0},
#define OP(name, n_args, value) [FTC_FORMULA_##name] = {#name, n_args},
                  FTC_FORMULA_OPS(OP)
#undef OP
};
enum { N_OPERATIONS = sizeof operations / sizeof *operations };

// The operation of this name with operands; FTC_FORMULA_number: there is none.
static ftc_formula_op find_operation(const char *name) {
    int op = FTC_FORMULA_step + 1;
    while (op < N_OPERATIONS && strcmp(operations[op].name, name)) op++;
    return op < N_OPERATIONS ? (ftc_formula_op)op : FTC_FORMULA_number;
}

static bool push(ftc_formula_builder *b, ftc_formula_code code) {
    if (b->n == FTC_FORMULA_LONGEST) return false;
    b->depth += 1 - operations[code.op].n_args;
    b->varies |= code.op == FTC_FORMULA_scalar || code.op == FTC_FORMULA_step;
    b->code[b->n++] = code;
    return b->depth <= FTC_FORMULA_DEPTH;
}

// --- of nodes -----------------------------------------------------------------------------------------

static bool push_leaf(const ftc_graph *g, const ftc_node *leaf, ftc_formula_builder *b) {
    const ftc_decl_def *decl = &g->decls[leaf->decl];
    if (decl->kind == FTC_DECL_ARG) return push(b, (ftc_formula_code){FTC_FORMULA_scalar, leaf->decl, 0});
    if (decl->kind != FTC_DECL_SCALAR) return false;
    for (int32_t i = 0; i < decl->formula.n; i++)
        if (!push(b, decl->formula.code[i])) return false;
    return true;
}

static bool push_node(const ftc_graph *g, ftc_id id, ftc_formula_builder *b) {
    const ftc_node *node = ftc_graph_node(g, id);
    if (node->type.axes.n || (node->type.dtype != FTC_F32 && node->type.dtype != FTC_BOOL)) return false;
    if (ftc_node_class(node) == FTC_CLASS_LEAF) return push_leaf(g, node, b);
    if (ftc_is_constant(node)) return push(b, (ftc_formula_code){FTC_FORMULA_number, 0, node->value});
    ftc_formula_op op = find_operation(ftc_op_get(node->op)->name);
    if (!op) return false;
    for (int i = 0; i < node->n_args; i++)
        if (!push_node(g, node->arg[i], b)) return false;
    return push(b, (ftc_formula_code){op, 0, 0});
}

bool ftc_formula_of(const ftc_graph *g, ftc_id id, ftc_formula_builder *out) {
    out->n = out->depth = 0;
    out->varies = false;
    return push_node(g, id, out) && out->varies;
}

// --- of text ------------------------------------------------------------------------------------------

typedef struct {
    const char *at;
    int32_t (*find)(const void *context, const char *name);
    const void *context;
    ftc_formula_builder *out;
} reader;

static bool accept(reader *r, const char *mark) {
    bool here = !strncmp(r->at, mark, strlen(mark));
    if (here) r->at += strlen(mark);
    return here;
}

static bool read_term(reader *r) {
    char name[FTC_FORMULA_LONGEST + 1], *end;
    size_t n = 0;
    while (isalnum((unsigned char)r->at[n]) || r->at[n] == '_') n++;
    snprintf(name, sizeof name, "%.*s", (int)n, r->at);
    if (n && !isdigit((unsigned char)*name) && strcmp(name, "inf") && strcmp(name, "nan")) {
        r->at += n;
        if (!accept(r, "(")) {
            if (!strcmp(name, "step")) return push(r->out, (ftc_formula_code){FTC_FORMULA_step, 0, 0});
            int32_t scalar = r->find(r->context, name);
            return scalar >= 0 && push(r->out, (ftc_formula_code){FTC_FORMULA_scalar, scalar, 0});
        }
        ftc_formula_op op = find_operation(name);
        if (!op) return false;
        for (int32_t i = 0; i < operations[op].n_args; i++)
            if ((i && !accept(r, ", ")) || !read_term(r)) return false;
        return accept(r, ")") && push(r->out, (ftc_formula_code){op, 0, 0});
    }
    double number = strtod(r->at, &end);
    if (end == r->at) return false;
    r->at = end;
    return push(r->out, (ftc_formula_code){FTC_FORMULA_number, 0, number});
}

bool ftc_formula_parse(const char *text, int32_t (*find)(const void *context, const char *name),
                       const void *context, ftc_formula_builder *out) {
    out->n = out->depth = 0;
    out->varies = false;
    reader r = {text, find, context, out};
    return strlen(text) <= FTC_FORMULA_LONGEST && read_term(&r) && !*r.at && out->varies;
}

// --- to text ------------------------------------------------------------------------------------------

// Where the term begins that ends with code number `last`.
static int32_t term_start(const ftc_formula_builder *b, int32_t last) {
    int32_t missing = 1;
    for (; missing; last--) missing += operations[b->code[last].op].n_args - 1;
    return last + 1;
}

static void print_term(const ftc_graph *g, const ftc_formula_builder *b, int32_t last, FILE *f) {
    const ftc_formula_code *code = &b->code[last];
    int32_t n_args = operations[code->op].n_args, ends[FTC_MAX_ARGS];
    switch (code->op) {
    case FTC_FORMULA_number: ftc_print_number(code->number, f); return;
    case FTC_FORMULA_scalar: fputs(g->decls[code->scalar].name, f); return;
    default: fputs(operations[code->op].name, f);
    }
    for (int32_t i = n_args - 1, end = last - 1; i >= 0; i--) {
        ends[i] = end;
        end = term_start(b, end) - 1;
    }
    for (int32_t i = 0; i < n_args; i++) {
        fputs(i ? ", " : "(", f);
        print_term(g, b, ends[i], f);
    }
    if (n_args) fputc(')', f);
}

ftc_decl ftc_formula_declare(ftc_graph *g, const ftc_formula_builder *formula) {
    ftc_text printed;
    size_t size;
    print_term(g, formula, formula->n - 1, ftc_text_open(&printed));
    char *text = ftc_text_close(&printed, &size);
    ftc_decl decl = size <= FTC_FORMULA_LONGEST ? ftc_graph_find_decl(g, text) : FTC_NO_DECL;
    if (decl == FTC_NO_DECL && size <= FTC_FORMULA_LONGEST)
        decl = ftc_graph_add_decl(g, (ftc_decl_def){.kind = FTC_DECL_SCALAR,
                                                    .name = text,
                                                    .type.dtype = FTC_F32,
                                                    .zero_row = -1,
                                                    .of = FTC_NO_DECL,
                                                    .bound = FTC_NO_AXIS,
                                                    .formula = {formula->n, formula->code}});
    free(text);
    return decl;
}

static int32_t find_argument(const void *context, const char *name) {
    const ftc_graph *g = context;
    ftc_decl decl = ftc_graph_find_decl(g, name);
    return decl != FTC_NO_DECL && g->decls[decl].kind == FTC_DECL_ARG ? decl : -1;
}

ftc_decl ftc_formula_declare_text(ftc_graph *g, const char *text) {
    ftc_formula_builder formula;
    return ftc_formula_parse(text, find_argument, g, &formula) ? ftc_formula_declare(g, &formula)
                                                               : FTC_NO_DECL;
}
