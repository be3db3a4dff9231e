// use "OTHER.ir": a text that only changes the settings of another one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/lang/ast.h"
#include "ir/lang/parse.h"

enum { MOST_USES = 8 }; // one in the other

static void report(const ftc_module *m, ftc_diagnostics *d, const char *message) {
    ftc_diag_add(d, m->source.name, m->source.text, m->use_place.line, m->use_place.column, "%s", message);
}

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

// "models/a.ir", "b.ir" → "models/b.ir". Allocated.
static char *beside(const char *path, const char *file) {
    const char *slash = strrchr(path, '/');
    char *result;
    if (asprintf(&result, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, file) < 0) abort();
    return result;
}

static char *read_model(const char *path, int depth, char **name, ftc_diagnostics *d);

// The text of the used file with the values of module m.
static char *read_used(const ftc_module *m, ftc_arena *arena, int depth, char **name, ftc_diagnostics *d) {
    if (m->model || m->family || m->body || m->functions || m->optimizers) {
        report(m, d, "a text that uses another has nothing but config and train blocks besides");
    } else if (strchr(m->use, '/')) {
        report(m, d, "the file must lie in the same folder; leave the folder out");
    } else if (depth == MOST_USES) {
        report(m, d, "this goes in a circle, or too deep");
    } else {
        char *path = beside(m->source.name, m->use), *text = read_model(path, depth + 1, name, d),
             *result = NULL;
        if (text) {
            ftc_override *list =
                ftc_arena_alloc(arena, sizeof *list * (size_t)(count(m->config) + count(m->train) + 1));
            int n = add_overrides(m, m->config, FTC_OVERRIDE_CONFIG, arena, list, 0);
            n = add_overrides(m, m->train, FTC_OVERRIDE_TRAIN, arena, list, n);
            result = ftc_parse_override(*name, text, &(ftc_settings){list, n}, d);
            if (!result) free(*name);
        }
        free(text);
        free(path);
        return result;
    }
    return NULL;
}

static char *read_model(const char *path, int depth, char **name, ftc_diagnostics *d) {
    char *text = ftc_parse_read(path, d);
    if (!text) return NULL;
    ftc_arena *arena = ftc_arena_new();
    ftc_diagnostics errors = {0};
    const ftc_module *m = ftc_parse_module(arena, (ftc_source){path, text}, &errors);
    char *result;
    if (!m->use) { // what is wrong with a model is reported where it is read as one
        result = text;
        if (!(*name = strdup(path))) abort();
    } else {
        if (errors.count) ftc_parse_module(arena, (ftc_source){path, text}, d);
        result = errors.count ? NULL : read_used(m, arena, depth, name, d);
        free(text);
    }
    ftc_diag_free(&errors);
    ftc_arena_free(arena);
    return result;
}

char *ftc_parse_read_model(const char *path, char **name, ftc_diagnostics *d) {
    return read_model(path, 0, name, d);
}
