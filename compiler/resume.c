#include "compiler/resume.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/passes/plan.h"
#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "ir/verify.h"

// --- the dump -----------------------------------------------------------------------------------------

// The line of the text that begins with these words, from 1; 0: none.
static int line_of(const char *text, const char *words) {
    size_t n = strlen(words);
    for (int line = 1; *text; line++) {
        const char *start = text + strspn(text, " \t");
        if (!strncmp(start, words, n) && (!start[n] || strchr(" :,\r\n", start[n]))) return line;
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return 0;
}

static bool check_stage(const ftc_dump *dump, const ftc_graph *g, ftc_entry_kind entry, ftc_diagnostics *d) {
    int line = line_of(dump->text, "stage");
    if (!g->stage) {
        ftc_diag_add(
            d, dump->name, NULL, 0, 0,
            "this is no dump: a line `stage PASS of ENTRY` says what it has been through; make one with "
            "ftc compile MODEL.ir --entry %s --dump-after PASS",
            ftc_entry_name(entry));
    } else if (strcmp(g->stage, "expand") && !ftc_pass_find(g->stage)) {
        const char **names = ftc_alloc((size_t)ftc_n_passes, sizeof *names);
        for (int i = 0; i < ftc_n_passes; i++) names[i] = ftc_passes[i].name;
        const char *nearest = ftc_name_nearest(g->stage, names, ftc_n_passes);
        ftc_diag_add(d, dump->name, dump->text, line, 7, "there is no pass %s%s%s%s", g->stage,
                     nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
        free(names);
    } else if (g->stage_of != entry) {
        ftc_diag_add(d, dump->name, dump->text, line, 1, "this is a graph of %s, it was given for %s",
                     ftc_entry_name(g->stage_of), ftc_entry_name(entry));
    } else {
        return true;
    }
    return false;
}

// What nodes ask of remat is read by it alone, and the passes before it make other nodes.
static bool check_kept(const ftc_dump *dump, const ftc_graph *g, ftc_diagnostics *d) {
    const char *stage = ftc_pass_find("remat")[-1].name;
    for (ftc_id v = 1; v < g->n_nodes && strcmp(g->stage, stage); v++) {
        if (!g->nodes[v].kept) continue;
        ftc_diag_add(d, dump->name, dump->text, (int)g->nodes[v].loc.line, 1,
                     "`%s` is asked of the pass remat, in a dump of just before it: --dump-after %s",
                     ftc_kept_name(g->nodes[v].kept), stage);
        return false;
    }
    return true;
}

static void keep(ftc_resumed *r, ftc_loc at, ftc_loc told) {
    if (at.line < r->n_told) r->told[at.line] = told;
}

bool ftc_resume_read(const ftc_dump *dump, ftc_entry_kind entry, ftc_resumed *out, ftc_diagnostics *d) {
    ftc_resumed r = {.graph = ftc_parse_dump(dump->name, dump->text, d)};
    if (r.graph && check_stage(dump, r.graph, entry, d) && check_kept(dump, r.graph, d) &&
        ftc_verify_graph(r.graph, d))
        r.files = ftc_parse_text(dump->name, dump->text, NULL, d); // as before, at the places that it tells
    if (!r.files) {
        ftc_resume_free(&r);
        return false;
    }
    for (const char *p = dump->text; *p; p++) r.n_told += *p == '\n';
    r.n_told += 2;
    r.told = ftc_alloc(r.n_told, sizeof *r.told);
    for (ftc_id v = 1; v < r.graph->n_nodes; v++) keep(&r, r.graph->nodes[v].loc, r.files->nodes[v].loc);
    for (uint32_t i = 0; i < r.graph->n_decls; i++) keep(&r, r.graph->decls[i].loc, r.files->decls[i].loc);
    *out = r;
    return true;
}

void ftc_resume_free(ftc_resumed *r) {
    if (r->graph) ftc_graph_free(r->graph);
    if (r->files) ftc_graph_free(r->files);
    free(r->told);
    *r = (ftc_resumed){0};
}

void ftc_resume_put_back(const ftc_resumed *r, ftc_graph *g) {
    g->n_files = 0;
    for (uint32_t i = 0; i < r->files->n_files; i++) ftc_graph_add_file(g, r->files->files[i]);
    for (ftc_id v = 1; v < g->n_nodes; v++) {
        ftc_loc *loc = &g->nodes[v].loc;
        *loc = loc->file == 0 && loc->line < r->n_told ? r->told[loc->line] : (ftc_loc){0};
    }
    for (uint32_t i = 0; i < g->n_decls; i++) {
        ftc_loc *loc = &g->decls[i].loc;
        *loc = loc->file == 0 && loc->line < r->n_told ? r->told[loc->line] : (ftc_loc){0};
    }
}

// --- the interface ------------------------------------------------------------------------------------

typedef struct {
    const ftc_dump *dump;
    ftc_graph *g;
    const ftc_graph *own;
    ftc_diagnostics *d;
} check;

// Says that a line is not what the model has; `theirs` NULL: it has none, `ours` NULL: the dump has none.
// Frees both. False where they differ.
static bool same(const check *c, int line, char *ours, char *theirs) {
    bool equal = ours && theirs && !strcmp(ours, theirs);
    if (!equal && ours)
        ftc_diag_add(c->d, c->dump->name, line ? c->dump->text : NULL, line, line ? 1 : 0,
                     "the dump has `%s`, the model %s%s%s; change the model's text as well, or undo it here",
                     ours, theirs ? "`" : "nothing like it", theirs ? theirs : "", theirs ? "`" : "");
    else if (!equal)
        ftc_diag_add(c->d, c->dump->name, NULL, 0, 0,
                     "the model has `%s`, the dump nothing like it; put it back", theirs);
    free(ours);
    free(theirs);
    return equal;
}

// Step scalars are no part of it: each entry computes its own.
static bool check_declarations(const check *c) {
    bool ok = true;
    for (uint32_t i = 0; i < c->g->n_decls; i++) {
        const ftc_decl_def *decl = &c->g->decls[i];
        if (decl->kind == FTC_DECL_SCALAR) continue;
        ftc_decl there = ftc_graph_find_decl(c->own, decl->name);
        ok &= same(c, (int)decl->loc.line, ftc_print_declaration_text(c->g, (ftc_decl)i),
                   there == FTC_NO_DECL ? NULL : ftc_print_declaration_text(c->own, there));
    }
    for (uint32_t i = 0; i < c->own->n_decls; i++)
        if (c->own->decls[i].kind != FTC_DECL_SCALAR &&
            ftc_graph_find_decl(c->g, c->own->decls[i].name) == FTC_NO_DECL)
            ok = same(c, 0, NULL, ftc_print_declaration_text(c->own, (ftc_decl)i));
    return ok;
}

static const ftc_output *output_named(const ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) return &g->outputs[i];
    return NULL;
}

static bool check_outputs(const check *c) {
    bool ok = true;
    for (uint32_t i = 0; i < c->g->n_outputs; i++) {
        const ftc_output *output = &c->g->outputs[i], *there = output_named(c->own, output->name);
        const char *words = ftc_graph_format(c->g, "output %s", output->name);
        ok &= same(c, line_of(c->dump->text, words), ftc_print_output_text(c->g, output),
                   there ? ftc_print_output_text(c->own, there) : NULL);
    }
    for (uint32_t i = 0; i < c->own->n_outputs; i++)
        if (!output_named(c->g, c->own->outputs[i].name))
            ok = same(c, 0, NULL, ftc_print_output_text(c->own, &c->own->outputs[i]));
    return ok;
}

static bool same_extent(const ftc_graph *g, const ftc_extent_def *a, const ftc_graph *h,
                        const ftc_extent_def *b) {
    bool over = a->kind != FTC_EXTENT_RAGGED || !strcmp(g->axes[a->over].name, h->axes[b->over].name);
    return a->kind == b->kind && a->bound == b->bound && over;
}

// Of the axes that both have; what others of the dump's own are called and how long they are is its own.
static bool check_axes(const check *c) {
    bool ok = true;
    for (uint32_t i = 0; i < c->g->n_axes; i++) {
        ftc_axis there = ftc_graph_find_axis(c->own, c->g->axes[i].name);
        if (there == FTC_NO_AXIS) continue;
        ftc_extent_def *extent = &c->g->extents[c->g->axes[i].extent];
        const ftc_extent_def *theirs = ftc_axis_extent(c->own, there);
        if (!same_extent(c->g, extent, c->own, theirs)) {
            const char *words = ftc_graph_format(c->g, "axis %s", c->g->axes[i].name);
            ftc_diag_add(c->d, c->dump->name, c->dump->text, line_of(c->dump->text, words), 1,
                         "axis %s is another in the model, where it has at most %lld positions; compile the "
                         "model with "
                         "the options that the dump was made with",
                         c->g->axes[i].name, (long long)theirs->bound);
            ok = false;
        } else if (theirs->least > extent->least) {
            extent->least = theirs->least;
            extent->least_line = theirs->least_line;
        }
    }
    return ok;
}

bool ftc_resume_check(const ftc_dump *dump, const ftc_resumed *resumed, ftc_graph *g, const ftc_graph *own,
                      ftc_diagnostics *d) {
    check c = {dump, g, own, d};
    bool planned = resumed->graph->arena_bytes > 0; // by hand; the pass looks at its own plan itself
    return check_axes(&c) && check_declarations(&c) && check_outputs(&c) && ftc_kernels_check(g, own, d) &&
           ftc_schedule_check(g, d) && (!planned || ftc_plan_check(g, d));
}
