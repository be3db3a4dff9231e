// The config and train blocks, whose values may come from outside.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/lang/elaborator.h"
#include "ir/lang/parse.h"
#include "ir/print.h"

static bool is_by_role(const ftc_override *o) {
    return o->kind == FTC_OVERRIDE_ROLE || o->kind == FTC_OVERRIDE_OPTIONAL_ROLE;
}

static bool must_be_there(const ftc_override *o) {
    return o->kind == FTC_OVERRIDE_CONFIG || o->kind == FTC_OVERRIDE_ROLE;
}

// The role that an entry of the config block has as it is written: where none is, that by which it is called,
// unless another entry is written to have it.
static ftc_config_role role_of(const ftc_module *m, const ftc_setting_syntax *s) {
    ftc_config_role role = FTC_CONFIG_PLAIN + 1;
    if (s->role) return s->role;
    while (role < FTC_CONFIG_ROLE_COUNT && strcmp(ftc_config_role_name(role), s->name)) role++;
    if (role == FTC_CONFIG_ROLE_COUNT) return FTC_CONFIG_PLAIN;
    for (const ftc_setting_syntax *other = m->config; other; other = other->next)
        if (other->role == role) return FTC_CONFIG_PLAIN;
    return role;
}

// Whether the override is for this entry. The other name may be "NAME[]", of a list.
static bool names(const ftc_module *m, const ftc_setting_syntax *s, const ftc_override *o) {
    size_t n = strlen(o->name);
    if (is_by_role(o)) return !strcmp(ftc_config_role_name(role_of(m, s)), o->name);
    return !strcmp(s->name, o->name) || (s->hf_name && !strncmp(s->hf_name, o->name, n) &&
                                         (!s->hf_name[n] || !strcmp(s->hf_name + n, "[]")));
}

static void report_at(const ftc_module *m, ftc_diagnostics *d, const ftc_setting_syntax *s,
                      const char *message) {
    ftc_diag_add(d, m->source.name, m->source.text, s->place.line, s->place.column, "%s: %s", s->name,
                 message);
}

static void report_unknown(const ftc_module *m, ftc_diagnostics *d, const ftc_override *o) {
    enum { MOST = 100 };
    const char *known[MOST] = {0};
    int n = 0;
    for (const ftc_setting_syntax *s = m->config; s && n < MOST; s = s->next) known[n++] = s->name;
    const char *nearest = ftc_name_nearest(o->name, known, n);
    ftc_diag_add(d, m->source.name, NULL, 0, 0, "%s %s=%s: the config block has no entry '%s'%s%s%s",
                 o->origin, o->name, o->value, o->name, nearest ? "; did you mean '" : "",
                 nearest ? nearest : "", nearest ? "'?" : "");
    if (nearest || !n) return;
    char list[400] = "";
    for (int i = 0; i < n && strlen(list) + strlen(known[i]) + 2 < sizeof list; i++)
        strcat(strcat(list, i ? " " : ""), known[i]);
    ftc_diag_note(d, NULL, NULL, 0, 0, "the entries are: %s", list);
}

static bool parse_number(const char *text, double *number) {
    if (!strcmp(text, "true") || !strcmp(text, "false")) {
        *number = !strcmp(text, "true");
        return true;
    }
    char *end;
    double x;
    if (!ftc_name_number(text, &end, &x) || *end) return false;
    *number = x;
    return true;
}

static bool is_for_config(const ftc_override *o) {
    return must_be_there(o) || o->kind == FTC_OVERRIDE_OPTIONAL || o->kind == FTC_OVERRIDE_OPTIONAL_ROLE;
}

static const ftc_graph_setting *find(const ftc_graph_setting *list, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

// Adds the terms behind an entry's first name or number.
static bool add_terms(const ftc_module *m, const ftc_setting_syntax *s, const ftc_graph_setting *before,
                      int n_before, ftc_diagnostics *d, ftc_graph_setting *r) {
    const char *problem = s->terms && r->text ? r->text : NULL;
    ftc_place place = s->place;
    for (const ftc_setting_term *term = s->terms; term && !problem; term = term->next) {
        const ftc_graph_setting *named = term->name ? find(before, n_before, term->name) : NULL;
        bool is_number = !term->name || (named && !named->text);
        if (!is_number) problem = term->name;
        place = term->place;
        r->number += term->sign * (named ? named->number : term->number);
        r->is_integer = r->is_integer && (named ? named->is_integer : term->is_integer);
    }
    if (problem)
        ftc_diag_add(d, m->source.name, m->source.text, place.line, place.column,
                     "%s: '%s' is no number of an earlier entry, which could be added", s->name, problem);
    return !problem;
}

static bool is_text_role(ftc_config_role role) {
    return role == FTC_CONFIG_TASK || role == FTC_CONFIG_LOSS || role == FTC_CONFIG_CLASS_WEIGHTS ||
           role == FTC_CONFIG_TEXT_POOLING;
}

// What the entry is for. One that is only called as a role does not have it where its value is of another
// kind.
static bool add_role(const ftc_module *m, const ftc_setting_syntax *s, ftc_diagnostics *d,
                     ftc_graph_setting *r) {
    ftc_config_role role = role_of(m, s);
    const char *name = ftc_config_role_name(role), *problem = NULL;
    if (is_text_role(role) && !r->text) problem = "it must be text";
    if (!is_text_role(role) && (r->text || !r->is_integer)) problem = "it must be a whole number";
    for (const ftc_setting_syntax *other = m->config; s->role && other != s; other = other->next)
        if (other->role == role) problem = "there is another entry already";
    if (!role || (problem && !s->role)) return true;
    if (problem)
        ftc_diag_add(d, m->source.name, m->source.text, s->role_place.line, s->role_place.column,
                     "%s: as %s %s", s->name, name, problem);
    r->role = role;
    return !problem;
}

// An override's value in place of the text's. One that is refused leaves the text's own, so that nothing
// else is wrong for lack of the entry.
static void override_value(const ftc_module *m, const ftc_setting_syntax *s, const ftc_override *o,
                           ftc_diagnostics *d, ftc_graph_setting *r) {
    double number;
    if (r->text)
        r->text = o->value;
    else if (!parse_number(o->value, &number))
        ftc_diag_add(d, m->source.name, m->source.text, s->place.line, s->place.column,
                     "%s %s=%s: '%s' is a number", o->origin, o->name, o->value, s->name);
    else if (r->is_integer && number != floor(number))
        ftc_diag_add(d, m->source.name, m->source.text, s->place.line, s->place.column,
                     "%s %s=%s: '%s' is a whole number", o->origin, o->name, o->value, s->name);
    else
        r->number = number;
}

// The value that an entry ends up with: the override's, that of the entry it names, or the text's own. A
// number has text NULL.
static bool resolve(const ftc_module *m, const ftc_setting_syntax *s, const ftc_settings *overrides,
                    const ftc_graph_setting *before, int n_before, ftc_diagnostics *d,
                    ftc_graph_setting *result) {
    ftc_graph_setting r = {s->name, s->hf_name, s->text, s->number, s->is_integer, FTC_CONFIG_PLAIN};
    const ftc_graph_setting *named = s->bare ? find(before, n_before, s->text) : NULL;
    if (named) {
        r.text = named->text;
        r.number = named->number;
        r.is_integer = named->is_integer;
    }
    if (!add_terms(m, s, before, n_before, d, &r)) return false;
    for (int i = 0; overrides && i < overrides->n; i++) {
        const ftc_override *o = &overrides->list[i];
        if (is_for_config(o) && names(m, s, o)) override_value(m, s, o, d, &r);
    }
    *result = r;
    return add_role(m, s, d, result);
}

static int count(const ftc_setting_syntax *s) {
    int n = 0;
    for (; s; s = s->next) n++;
    return n;
}

static bool repeated(const ftc_setting_syntax *first, const ftc_setting_syntax *s) {
    for (; first != s; first = first->next)
        if (!strcmp(first->name, s->name)) return true;
    return false;
}

// All entries of the config block, in order, in the arena. Reports what is wrong with them and with the
// overrides.
static ftc_graph_setting *resolve_all(const ftc_module *m, const ftc_settings *overrides, ftc_arena *arena,
                                      ftc_diagnostics *d, int *n_resolved) {
    ftc_graph_setting *list = ftc_arena_alloc(arena, sizeof *list * (size_t)(count(m->config) + 1));
    int n = 0;
    for (const ftc_setting_syntax *s = m->config; s; s = s->next) {
        if (repeated(m->config, s))
            report_at(m, d, s, "this entry is there already");
        else if (resolve(m, s, overrides, list, n, d, &list[n]))
            n++;
    }
    for (int i = 0; overrides && i < overrides->n; i++) {
        const ftc_override *o = &overrides->list[i];
        if (!is_for_config(o)) continue;
        const ftc_setting_syntax *s = m->config;
        while (s && !names(m, s, o)) s = s->next;
        if (!s && must_be_there(o))
            report_unknown(m, d, o);
        else if (s && m->flat && must_be_there(o))
            ftc_diag_add(
                d, m->source.name, NULL, 0, 0,
                "%s %s=%s: this text is a dump, its values are final; set them where the model is compiled",
                o->origin, o->name, o->value);
    }
    *n_resolved = n;
    return list;
}

// An entry of the family or train block as the text has it.
static ftc_graph_setting block_setting(const ftc_setting_syntax *s) {
    return (ftc_graph_setting){
        .name = s->name, .text = s->text, .number = s->number, .is_integer = s->is_integer};
}

// What an override of the train block sets: a number where its value is one, not true or false.
static ftc_graph_setting train_setting(const char *name, const char *value) {
    ftc_graph_setting setting = {.name = name};
    bool is_word = !strcmp(value, "true") || !strcmp(value, "false");
    if (!is_word && parse_number(value, &setting.number))
        setting.is_integer = !strpbrk(value, ".eEpP");
    else
        setting.text = value;
    return setting;
}

// The entries of the train block, in order, in the arena; what overrides add comes last.
static ftc_graph_setting *train_entries(const ftc_module *m, const ftc_settings *overrides, ftc_arena *arena,
                                        ftc_diagnostics *d, int *n_entries) {
    int n = 0, room = count(m->train) + (overrides ? overrides->n : 0) + 1;
    ftc_graph_setting *list = ftc_arena_alloc(arena, sizeof *list * (size_t)room);
    for (const ftc_setting_syntax *s = m->train; s; s = s->next) {
        if (repeated(m->train, s))
            report_at(m, d, s, "this entry is there already");
        else
            list[n++] = block_setting(s);
    }
    for (int i = 0; overrides && i < overrides->n; i++) {
        const ftc_override *o = &overrides->list[i];
        if (o->kind != FTC_OVERRIDE_TRAIN) continue;
        int at = 0;
        while (at < n && strcmp(list[at].name, o->name)) at++;
        list[at] = train_setting(o->name, o->value);
        if (at == n) n++;
    }
    *n_entries = n;
    return list;
}

// The entries of the family block, in order, in the arena.
static ftc_graph_setting *family_entries(const ftc_module *m, const ftc_settings *overrides, ftc_arena *arena,
                                         ftc_diagnostics *d) {
    int n = 0;
    ftc_graph_setting *list = ftc_arena_alloc(arena, sizeof *list * (size_t)(count(m->family) + 1));
    for (const ftc_setting_syntax *s = m->family; s; s = s->next) list[n++] = block_setting(s);
    for (int i = 0; overrides && i < overrides->n; i++) {
        const ftc_override *o = &overrides->list[i];
        if (o->kind != FTC_OVERRIDE_FAMILY) continue;
        int at = 0;
        while (at < n && strcmp(list[at].name, o->name)) at++;
        if (at < n)
            list[at].text = o->value;
        else
            ftc_diag_add(d, NULL, NULL, 0, 0, "%s the family block of %s has no entry '%s'", o->origin,
                         m->source.name, o->name);
    }
    return list;
}

void ftc_elab_settings(ftc_elaborator *e, const ftc_settings *overrides) {
    int n;
    const ftc_graph_setting *config = resolve_all(e->main, overrides, e->arena, e->d, &n);
    for (int i = 0; i < n; i++) ftc_graph_add_config(e->g, config[i]);
    const ftc_graph_setting *train = train_entries(e->main, overrides, e->arena, e->d, &n);
    for (int i = 0; i < n; i++) ftc_graph_add_train(e->g, train[i]);
}

// Bytes of the text that become something else: a value, or nothing that becomes entries of the train block.
typedef struct {
    uint32_t start, end;
    const ftc_graph_setting *setting;
    int n_added; // entries from `setting` on; 0: its value
} edit;

static int by_start(const void *a, const void *b) {
    uint32_t x = ((const edit *)a)->start, y = ((const edit *)b)->start;
    return x < y ? -1 : x > y;
}

static bool is_overridden(const ftc_module *m, const ftc_setting_syntax *s, const ftc_settings *overrides) {
    for (int i = 0; i < overrides->n; i++)
        if (names(m, s, &overrides->list[i])) return true;
    return false;
}

// Values of the entries of a block that are not what the text says. With `referring`, an entry that says the
// name of another goes on saying it unless it is one of those overridden. Returns how many edits there are
// now.
static int edit_values(const ftc_module *m, edit *edits, int n, const ftc_setting_syntax *s,
                       const ftc_graph_setting *setting, const ftc_settings *referring) {
    for (; s; s = s->next, setting++) {
        if (referring && (s->bare || s->terms) && !is_overridden(m, s, referring)) continue;
        bool same = setting->text ? s->text && !strcmp(s->text, setting->text)
                                  : !s->text && s->number == setting->number;
        if (!same) edits[n++] = (edit){s->start, s->end, setting, 0};
    }
    return n;
}

static void print_entries(FILE *f, const ftc_graph_setting *list, int n) {
    for (int i = 0; i < n; i++) {
        fprintf(f, "\n    %s = ", list[i].name);
        ftc_print_setting(&list[i], f);
    }
}

static void print_edited(FILE *f, const ftc_module *m, const ftc_graph_setting *config,
                         const ftc_graph_setting *family, const ftc_graph_setting *train, int n_train,
                         const ftc_settings *referring, ftc_arena *arena) {
    int n_in_text = count(m->train), n_added = n_train - n_in_text;
    int most = count(m->config) + count(m->family) + n_in_text + 1;
    edit *edits = ftc_arena_alloc(arena, sizeof *edits * (size_t)most);
    int n = edit_values(m, edits, 0, m->config, config, referring);
    n = edit_values(m, edits, n, m->family, family, NULL);
    n = edit_values(m, edits, n, m->train, train, referring);
    const ftc_setting_syntax *last = m->train;
    while (last && last->next) last = last->next;
    if (last && n_added) edits[n++] = (edit){last->end, last->end, train + n_in_text, n_added};
    qsort(edits, (size_t)n, sizeof *edits, by_start);
    const char *text = m->source.text;
    uint32_t done = 0;
    for (int i = 0; i < n; i++) {
        fprintf(f, "%.*s", (int)(edits[i].start - done), text + done);
        if (!edits[i].n_added) ftc_print_setting(edits[i].setting, f);
        print_entries(f, edits[i].setting, edits[i].n_added);
        done = edits[i].end;
    }
    fputs(text + done, f);
    if (last || !n_added) return;
    fputs("\ntrain {", f);
    print_entries(f, train, n_train);
    fputs("\n}\n", f);
}

static char *edit_text(const char *name, const char *text, const ftc_settings *overrides, bool keep_names,
                       ftc_diagnostics *d) {
    int errors = d->count, n_config, n_train;
    ftc_arena *arena = ftc_arena_new();
    const ftc_module *m = ftc_parse_module(arena, (ftc_source){name, text}, d);
    const ftc_graph_setting *config = resolve_all(m, overrides, arena, d, &n_config);
    const ftc_graph_setting *train = train_entries(m, overrides, arena, d, &n_train);
    const ftc_graph_setting *family = family_entries(m, overrides, arena, d);
    char *result = NULL;
    if (d->count == errors) {
        ftc_text edited;
        print_edited(ftc_text_open(&edited), m, config, family, train, n_train, keep_names ? overrides : NULL,
                     arena);
        result = ftc_text_close(&edited, NULL);
    }
    ftc_arena_free(arena);
    return result;
}

char *ftc_parse_resolve(const char *name, const char *text, const ftc_settings *overrides,
                        ftc_diagnostics *d) {
    return edit_text(name, text, overrides, false, d);
}

char *ftc_parse_override(const char *name, const char *text, const ftc_settings *overrides,
                         ftc_diagnostics *d) {
    return edit_text(name, text, overrides, true, d);
}
