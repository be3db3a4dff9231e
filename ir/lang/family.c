// The family block: how Hugging Face's files name what the model has. Read by runtime/hub/names.h.
#include <string.h>

#include "ir/base/name.h"
#include "ir/lang/elaborator.h"

enum { MODEL_TYPE, ARCHITECTURE, PRETRAINING, PREFIX, HEAD, MAY_LACK, ALIASES, N_ENTRIES };
static const char *const NAMES[N_ENTRIES] = {"model_type", "architecture", "pretraining", "prefix",
                                             "head",       "may_lack",     "aliases"};

// What config.json says the model type is where that is another; else NULL.
static const char *other_model_type(const ftc_settings *overrides, const char *own) {
    for (int i = 0; overrides && i < overrides->n; i++) {
        const ftc_override *o = &overrides->list[i];
        if (o->kind == FTC_OVERRIDE_OPTIONAL && !strcmp(o->name, NAMES[MODEL_TYPE]) && strcmp(o->value, own))
            return o->value;
    }
    return NULL;
}

// By its name without that of a task, which those may have that say something of a head.
static int entry_named(const char *name) {
    size_t n = strcspn(name, " ");
    int at = 0;
    while (at < N_ENTRIES && (strlen(NAMES[at]) != n || strncmp(name, NAMES[at], n))) at++;
    bool may_have_task = at == ARCHITECTURE || at == HEAD || at == MAY_LACK;
    return name[n] && !may_have_task ? N_ENTRIES : at;
}

// The entry, or one for a single task, counts in this graph.
static bool counts(const ftc_graph *g, const char *entry) {
    const ftc_graph_setting *setting = ftc_graph_config(g, FTC_CONFIG_TASK);
    const char *task = setting ? setting->text : NULL, *name = NAMES[entry_named(entry)];
    int fit = ftc_name_for_task(entry, name, task);
    for (uint32_t i = 0; i < g->n_family; i++)
        if (ftc_name_for_task(g->family[i].name, name, task) > fit) return false;
    return fit > 0;
}

static bool repeated(const ftc_setting_syntax *first, const ftc_setting_syntax *s) {
    for (; first != s; first = first->next)
        if (!strcmp(first->name, s->name)) return true;
    return false;
}

static void report_unknown(ftc_elaborator *e, const ftc_setting_syntax *s) {
    const char *near = ftc_name_nearest(s->name, NAMES, N_ENTRIES);
    ftc_elab_error(
        e, s->place,
        "the family block has no entry '%s'%s%s%s; there are model_type, architecture, pretraining, "
        "prefix, head, may_lack and aliases, and architecture, head and may_lack for a task, as "
        "architecture tokens",
        s->name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

void ftc_elab_family(ftc_elaborator *e, const ftc_settings *overrides) {
    for (const ftc_setting_syntax *s = e->main->family; s; s = s->next) {
        int entry = entry_named(s->name);
        bool may_be_empty = (entry == HEAD || entry == MAY_LACK) && strchr(s->name, ' '); // the task has none
        const char *other = entry == MODEL_TYPE && s->text ? other_model_type(overrides, s->text) : NULL;
        if (entry == N_ENTRIES)
            report_unknown(e, s);
        else if (repeated(e->main->family, s))
            ftc_elab_error(e, s->place, "%s: this entry is there already", s->name);
        else if (!s->text || (!*s->text && !may_be_empty))
            ftc_elab_error(e, s->place, "%s: text is expected, such as \"bert.\"", s->name);
        else if (other)
            ftc_elab_error(e, s->place, "config.json: model_type is \"%s\", this model is a \"%s\"", other,
                           s->text);
        else
            ftc_graph_add_family(e->g, (ftc_graph_setting){.name = s->name, .text = s->text});
    }
}

static bool starts_parameter(const ftc_graph *g, const char *start, size_t n) {
    for (uint32_t i = 0; i < g->n_decls; i++)
        if (g->decls[i].kind == FTC_DECL_PARAM && !strncmp(g->decls[i].name, start, n)) return true;
    return false;
}

void ftc_elab_check_family(ftc_elaborator *e) {
    for (const ftc_setting_syntax *s = e->main->family; s; s = s->next) {
        int entry = entry_named(s->name);
        for (const char *item = s->text; entry >= PREFIX && counts(e->g, s->name) && *item;) {
            item += strspn(item, ", ");
            size_t n = strcspn(item, ",");
            if (entry == ALIASES && !memchr(item, ':', n))
                ftc_elab_error(e, s->place, "aliases: expected OLD: NEW, OLD: NEW, … with ends of names");
            else if (entry != ALIASES && !starts_parameter(e->g, item, n))
                ftc_elab_error(e, s->place, "%s: no parameter's name starts with \"%.*s\"", s->name, (int)n,
                               item);
            item += n;
        }
    }
}
