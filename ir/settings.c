// The config block, whose values may come from outside, and the train block.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/elaborator.h"
#include "ir/parse.h"
#include "ir/print.h"

static bool names(const ftc_setting_syntax *s, const char *name) {
    return !strcmp(s->name, name) || (s->hf_name && !strcmp(s->hf_name, name));
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
    const char *nearest = ftc_diag_nearest(o->name, known, n);
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
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x)) return false;
    *number = x;
    return true;
}

// The value that an entry ends up with: the override's, that of the entry it names, or the text's own. A
// number has text NULL.
static bool resolve(const ftc_module *m, const ftc_setting_syntax *s, const ftc_settings *overrides,
                    const ftc_graph_setting *before, int n_before, ftc_diagnostics *d,
                    ftc_graph_setting *result) {
    ftc_graph_setting r = {s->name, s->hf_name, s->text, s->number, s->is_integer};
    for (int i = 0; s->bare && i < n_before; i++)
        if (!strcmp(before[i].name, s->text)) {
            r.text = before[i].text;
            r.number = before[i].number;
            r.is_integer = before[i].is_integer;
            break;
        }
    for (int i = 0; overrides && i < overrides->n; i++) {
        const ftc_override *o = &overrides->list[i];
        if (!names(s, o->name)) continue;
        if (r.text) {
            r.text = o->value;
        } else if (!parse_number(o->value, &r.number)) {
            ftc_diag_add(d, m->source.name, m->source.text, s->place.line, s->place.column,
                         "%s %s=%s: '%s' is a number", o->origin, o->name, o->value, s->name);
            return false;
        } else if (r.is_integer && r.number != floor(r.number)) {
            ftc_diag_add(d, m->source.name, m->source.text, s->place.line, s->place.column,
                         "%s %s=%s: '%s' is a whole number", o->origin, o->name, o->value, s->name);
            return false;
        }
    }
    *result = r;
    return true;
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
        const ftc_setting_syntax *s = m->config;
        while (s && !names(s, o->name)) s = s->next;
        if (!s && !o->optional)
            report_unknown(m, d, o);
        else if (s && m->flat && !o->optional)
            ftc_diag_add(
                d, m->source.name, NULL, 0, 0,
                "%s %s=%s: this text is a dump, its values are final; set them where the model is compiled",
                o->origin, o->name, o->value);
    }
    *n_resolved = n;
    return list;
}

void ftc_elab_settings(ftc_elaborator *e, const ftc_settings *overrides) {
    const ftc_module *m = e->main;
    int n;
    const ftc_graph_setting *config = resolve_all(m, overrides, e->arena, e->d, &n);
    for (int i = 0; i < n; i++) ftc_graph_add_config(e->g, config[i]);
    for (const ftc_setting_syntax *s = m->train; s; s = s->next) {
        if (repeated(m->train, s))
            report_at(m, e->d, s, "this entry is there already");
        else
            ftc_graph_add_train(e->g, (ftc_graph_setting){s->name, NULL, s->text, s->number, s->is_integer});
    }
}

char *ftc_parse_resolve(const char *name, const char *text, const ftc_settings *overrides,
                        ftc_diagnostics *d) {
    int errors = d->count, n;
    ftc_arena *arena = ftc_arena_new();
    const ftc_module *m = ftc_parse_module(arena, (ftc_source){name, text}, d);
    const ftc_graph_setting *config = resolve_all(m, overrides, arena, d, &n);
    char *result = NULL;
    size_t size;
    FILE *f = d->count == errors ? open_memstream(&result, &size) : NULL;
    if (f) {
        uint32_t done = 0;
        const ftc_setting_syntax *s = m->config;
        for (int i = 0; i < n; i++, s = s->next) {
            bool same = config[i].text ? s->text && !strcmp(s->text, config[i].text)
                                       : !s->text && s->number == config[i].number;
            if (same) continue;
            fprintf(f, "%.*s", (int)(s->start - done), text + done);
            ftc_print_setting(&config[i], f);
            done = s->end;
        }
        fputs(text + done, f);
        fclose(f);
    }
    ftc_arena_free(arena);
    return result;
}
