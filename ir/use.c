// use "OTHER.ir": a model that calls the functions of another text, or a text that only changes the settings
// of another one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ir/base/alloc.h"
#include "ir/lang/ast.h"
#include "ir/lang/parse.h"

enum { MOST_USES = 8 }; // one in the other

// What one text and those that it uses are read with.
typedef struct {
    const ftc_library_file *installed; // NULL: there are none
    ftc_arena *arena;
    ftc_diagnostics *d;
    int depth;
} reader;

static void report(const reader *r, const ftc_module *m, const ftc_use_syntax *use, const char *message) {
    ftc_diag_add(r->d, m->source.name, m->source.text, use->place.line, use->place.column, "%s", message);
}

// --- where texts are ----------------------------------------------------------------------------------

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const ftc_library_file *find_installed(const reader *r, const char *file) {
    for (const ftc_library_file *at = r->installed; at && at->name; at++)
        if (!strcmp(base_name(at->name), file)) return at;
    return NULL;
}

// Whether the name of a text is that of an installed one, and not of a file.
static bool is_installed(const reader *r, const char *name) {
    for (const ftc_library_file *at = r->installed; at && at->name; at++)
        if (at->name == name) return true;
    return false;
}

// What a text uses: a file beside it, else an installed text. *name lives as long as the arena.
static char *read_used(const reader *r, const ftc_module *m, const ftc_use_syntax *use, const char **name) {
    const char *file = use->file;
    const ftc_library_file *installed = find_installed(r, file);
    const char *user = m->source.name, *slash = strrchr(user, '/');
    size_t folder = slash ? (size_t)(slash + 1 - user) : 0, rest = strlen(file) + 1;
    char *path = ftc_arena_alloc(r->arena, folder + rest);
    memcpy(path, user, folder);
    memcpy(path + folder, file, rest);
    if (installed && (is_installed(r, user) || access(path, F_OK) != 0)) {
        *name = installed->name;
        return ftc_strdup(installed->text);
    }
    *name = path;
    if (access(path, F_OK) == 0) return ftc_parse_read(path, r->d);
    report(r, m, use, "no such file lies beside this text, and none of the installed ones has the name");
    return NULL;
}

// --- a text with the values of another ----------------------------------------------------------------

// The value of an entry as the text says it, without quotes.
static const char *value_of(const ftc_module *m, const ftc_setting_syntax *s, ftc_arena *arena) {
    return s->text ? s->text : ftc_arena_strndup(arena, m->source.text + s->start, s->end - s->start);
}

static int add_overrides(const ftc_module *m, const ftc_setting_syntax *s, ftc_override_kind kind,
                         ftc_arena *arena, ftc_override *list, int n) {
    for (; s; s = s->next) {
        size_t room = strlen(m->source.name) + 16;
        char *origin = ftc_arena_alloc(arena, room);
        snprintf(origin, room, "%s:%u:", m->source.name, s->place.line);
        list[n++] = (ftc_override){s->name, value_of(m, s, arena), origin, kind};
    }
    return n;
}

static int count(const ftc_setting_syntax *s) {
    int n = 0;
    for (; s; s = s->next) n++;
    return n;
}

// The text of the used model with the values of module m.
static char *apply_values(const reader *r, const ftc_module *m, const char *name, const char *text) {
    int most = count(m->config) + count(m->family) + count(m->train) + 1;
    ftc_override *list = ftc_arena_alloc(r->arena, sizeof *list * (size_t)most);
    int n = add_overrides(m, m->config, FTC_OVERRIDE_CONFIG, r->arena, list, 0);
    n = add_overrides(m, m->family, FTC_OVERRIDE_FAMILY, r->arena, list, n);
    n = add_overrides(m, m->train, FTC_OVERRIDE_TRAIN, r->arena, list, n);
    return ftc_parse_override(name, text, &(ftc_settings){list, n}, r->d);
}

static char *resolve(reader *r, const char *path, char *text, const char **name);

static char *read_variant(reader *r, const ftc_module *m, const char **name) {
    if (m->uses->next || m->body || m->functions || m->optimizers) {
        report(
            r, m, m->uses,
            "a text that names no model has nothing but config, family and train blocks beside the one text "
            "that it uses");
        return NULL;
    }
    for (const ftc_setting_syntax *s = m->config; s; s = s->next) {
        if (!s->role && !s->hf_name && !s->terms) continue;
        ftc_diag_add(r->d, m->source.name, m->source.text, s->place.line, s->place.column,
                     "%s: a text that names no model says a value here and nothing more: the name in "
                     "config.json and the role are those of the text that it uses",
                     s->name);
        return NULL;
    }
    const char *used;
    char *text = read_used(r, m, m->uses, &used);
    text = text ? resolve(r, used, text, name) : NULL;
    char *result = text ? apply_values(r, m, *name, text) : NULL;
    free(text);
    return result;
}

// --- a model with the functions of others -------------------------------------------------------------

// Appends the functions that a model uses: so lines of the model keep their numbers, and what is saved is one
// text.
static char *read_imports(reader *r, const ftc_module *m) {
    char *result = ftc_strdup(m->source.text);
    for (const ftc_use_syntax *use = m->uses; use && result; use = use->next) {
        const char *name, *whole;
        char *text = read_used(r, m, use, &name);
        text = text ? resolve(r, name, text, &whole) : NULL;
        const ftc_module *used = text ? ftc_parse_module(r->arena, (ftc_source){name, text}, r->d) : NULL;
        if (used && (used->model || used->config || used->family || used->train || used->body)) {
            report(r, m, use, "a model uses texts that consist of functions and optimizers alone");
            used = NULL;
        }
        memset(result + use->start, ' ', use->end - use->start);
        char *longer = used ? ftc_format("%s\n// %s\n%s", result, use->file, text) : NULL;
        free(result);
        free(text);
        result = longer;
    }
    return result;
}

// --- both ---------------------------------------------------------------------------------------------

// The text with what it uses; takes it. *name is the text that it is from, of the arena.
static char *resolve(reader *r, const char *path, char *text, const char **name) {
    ftc_diagnostics errors = {0};
    const ftc_module *m = ftc_parse_module(r->arena, (ftc_source){path, text}, &errors);
    char *result = text;
    *name = path;
    if (m->uses) { // what is wrong with a model that uses none is reported where it is read as one
        if (errors.count)
            ftc_parse_module(r->arena, (ftc_source){path, text}, r->d);
        else if (strchr(m->uses->file, '/'))
            report(r, m, m->uses, "the file must lie in the same folder; leave the folder out");
        else if (r->depth == MOST_USES)
            report(r, m, m->uses, "this goes in a circle, or too deep");
        r->depth++;
        bool ok = !errors.count && !strchr(m->uses->file, '/') && r->depth <= MOST_USES;
        result = !ok ? NULL : m->model ? read_imports(r, m) : read_variant(r, m, name);
        r->depth--;
        free(text);
    }
    ftc_diag_free(&errors);
    return result;
}

static char *read_model(const char *path, char *text, const ftc_library_file *installed, char **name,
                        ftc_diagnostics *d) {
    if (!text) return NULL;
    reader r = {.installed = installed, .arena = ftc_arena_new(), .d = d};
    const char *from;
    char *result = resolve(&r, path, text, &from);
    if (result) *name = ftc_strdup(from);
    ftc_arena_free(r.arena);
    return result;
}

char *ftc_parse_read_model(const char *path, const ftc_library_file *installed, char **name,
                           ftc_diagnostics *d) {
    return read_model(path, ftc_parse_read(path, d), installed, name, d);
}

char *ftc_parse_installed(const ftc_library_file *file, const ftc_library_file *installed, char **name,
                          ftc_diagnostics *d) {
    char *text = ftc_strdup(file->text);
    return read_model(file->name, text, installed, name, d);
}

char *ftc_parse_model_type(const ftc_library_file *file) {
    ftc_arena *arena = ftc_arena_new();
    ftc_diagnostics errors = {0};
    const ftc_module *m = ftc_parse_module(arena, (ftc_source){file->name, file->text}, &errors);
    const char *found = NULL;
    for (const ftc_setting_syntax *s = m->family; s; s = s->next)
        if (!strcmp(s->name, "model_type")) found = s->text;
    char *copy = found ? ftc_strdup(found) : NULL;
    ftc_diag_free(&errors);
    ftc_arena_free(arena);
    return copy;
}
