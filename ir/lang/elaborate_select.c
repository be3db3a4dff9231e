// What the train block says to the text: setting(…), selected(…) and freeze.
#include <stdio.h>
#include <string.h>

#include "ir/base/name.h"
#include "ir/lang/elaborator.h"

static ftc_graph_setting *find_entry(ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_train; i++)
        if (!strcmp(g->train[i].name, name)) return &g->train[i];
    return NULL;
}

ftc_value ftc_elab_setting(ftc_elaborator *e, const ftc_expr *call) {
    const ftc_value failed = {.kind = FTC_VALUE_ERROR};
    const char *name;
    if (!call->args || !call->args->next || call->args->next->next || call->axes) {
        ftc_elab_error(e, call->place, "write setting(\"ENTRY\", DEFAULT)");
        return failed;
    }
    if (!ftc_elab_text(e, call->args, &name)) return failed;
    ftc_value otherwise = ftc_elab_expr(e, call->args->next);
    const ftc_graph_setting *entry = find_entry(e->g, name);
    if (!entry) return otherwise;
    if (!entry->text == (otherwise.kind == FTC_VALUE_TEXT)) {
        ftc_elab_error(e, call->place, "%s is %s in the train block; %s is expected", name,
                       entry->text ? "text" : "a number", entry->text ? "a number" : "text");
        return failed;
    }
    if (entry->text) return (ftc_value){.kind = FTC_VALUE_TEXT, .text = entry->text};
    return (ftc_value){.kind = FTC_VALUE_NUMBER, .number = entry->number};
}

// --- selected -----------------------------------------------------------------------------------------

// Whether `name` is the item, or ends in it behind a dot; "all-linear" is every name.
static bool is_named(const char *name, const char *item, size_t n) {
    size_t length = strlen(name);
    if (n == strlen("all-linear") && !strncmp(item, "all-linear", n)) return true;
    if (length < n || strncmp(name + length - n, item, n) != 0) return false;
    return length == n || name[length - n - 1] == '.';
}

static void remember(ftc_elaborator *e, const char *entry, const char *module) {
    ftc_asked *asked = ftc_arena_alloc(e->arena, sizeof *asked);
    *asked = (ftc_asked){entry, module, NULL};
    *(e->asked ? &e->last_asked->next : &e->asked) = asked;
    e->last_asked = asked;
}

ftc_value ftc_elab_selected(ftc_elaborator *e, const ftc_expr *call) {
    ftc_value v = {.kind = FTC_VALUE_ERROR};
    const char *name, *module, *item;
    size_t n;
    if (!call->args || !call->args->next || call->args->next->next || call->axes) {
        ftc_elab_error(e, call->place, "write selected(\"ENTRY\", NAME)");
        return v;
    }
    if (!ftc_elab_text(e, call->args, &name) || !ftc_elab_text(e, call->args->next, &module)) return v;
    v = (ftc_value){.kind = FTC_VALUE_NUMBER, .number = 0};
    const ftc_graph_setting *entry = find_entry(e->g, name);
    if (*e->prefix) module = ftc_graph_format(e->g, "%s.%s", e->prefix, module);
    if (!entry || ftc_graph_in_head(e->g, ftc_graph_format(e->g, "%s.", module))) return v;
    remember(e, entry->name, module);
    for (const char *list = entry->text; list && ftc_name_next(&list, ", ", &item, &n);)
        if (is_named(module, item, n)) v.number = 1;
    return v;
}

// The ends of the names that were asked about, each once, into `text`; their number.
static int list_asked(const ftc_elaborator *e, const char *entry, char *text, size_t size, const char **ends,
                      int most) {
    int n = 0;
    *text = 0;
    for (const ftc_asked *a = e->asked; a; a = a->next) {
        const char *dot = strrchr(a->module, '.'), *end = dot ? dot + 1 : a->module;
        int i = 0;
        while (i < n && strcmp(ends[i], end)) i++;
        if (strcmp(a->entry, entry) || i < n || n == most) continue;
        ends[n++] = end;
        if (strlen(text) + strlen(end) + 3 < size) strcat(strcat(text, *text ? ", " : ""), end);
    }
    return n;
}

// Every item of an entry that selects must have selected something.
static void check_entry(ftc_elaborator *e, const ftc_graph_setting *entry) {
    enum { MOST = 50 };
    const char *ends[MOST], *item;
    char list[600];
    size_t length;
    int n = list_asked(e, entry->name, list, sizeof list, ends, MOST);
    if (!entry->text)
        ftc_diag_add(e->d, e->g->model, NULL, 0, 0,
                     "%s = %g: names of modules are expected, as \"query, value\"", entry->name,
                     entry->number);
    for (const char *rest = entry->text; rest && ftc_name_next(&rest, ", ", &item, &length);) {
        bool found = false;
        for (const ftc_asked *a = e->asked; a; a = a->next)
            found |= !strcmp(a->entry, entry->name) && is_named(a->module, item, length);
        if (found) continue;
        item = ftc_arena_strndup(e->arena, item, length);
        const char *nearest = ftc_name_nearest(item, ends, n);
        ftc_diag_add(
            e->d, e->g->model, NULL, 0, 0,
            n ? "%s '%s': no module that it could select is named so, or ends so behind a dot%s%s%s; "
                "there are %s"
              : "%s '%s': there is nothing that it could select: the model calls neither linear nor "
                "product%s%s%s%s",
            entry->name, item, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "",
            list);
    }
}

void ftc_elab_check_selected(ftc_elaborator *e) {
    for (uint32_t i = 0; i < e->g->n_train; i++) {
        const ftc_graph_setting *entry = &e->g->train[i];
        bool selects = !strcmp(entry->name, "lora"); // of the library's linear and product
        for (const ftc_asked *a = e->asked; a && !selects; a = a->next)
            selects = !strcmp(a->entry, entry->name);
        if (selects) check_entry(e, entry);
    }
}

// --- freeze -------------------------------------------------------------------------------------------

// A statement's patterns count once, where the text comes to it first.
void ftc_elab_freeze(ftc_elaborator *e, const ftc_stmt *s) {
    ftc_patterns statement = {.before = e->frozen};
    if (!ftc_elab_text(e, s->expr, &statement.text)) return;
    for (const ftc_patterns *p = e->frozen; p; p = p->before)
        if (!strcmp(p->text, statement.text)) return;
    e->frozen = ftc_arena_alloc(e->arena, sizeof statement);
    *e->frozen = statement;
}

// All of them stand before those of the train block.
void ftc_elab_settle_frozen(ftc_elaborator *e) {
    ftc_graph_setting *entry = find_entry(e->g, "freeze");
    const char *patterns = entry ? entry->text : NULL;
    if (!e->frozen || (entry && !patterns)) return;
    for (const ftc_patterns *p = e->frozen; p; p = p->before)
        patterns =
            patterns ? ftc_graph_format(e->g, "%s, %s", p->text, patterns) : ftc_graph_string(e->g, p->text);
    if (entry)
        entry->text = patterns;
    else
        ftc_graph_add_train(e->g, (ftc_graph_setting){.name = "freeze", .text = patterns});
}
