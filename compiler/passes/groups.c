#include "compiler/passes/groups.h"

#include "ir/base/alloc.h"
#include "ir/base/name.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ftc_graph_setting *find_setting(const ftc_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_train; i++)
        if (!strcmp(g->train[i].name, name)) return &g->train[i];
    return NULL;
}

// --- patterns -----------------------------------------------------------------------------------------

// The text without white space around it, cut off in place.
static char *trimmed(char *text) {
    text += strspn(text, " \t\n");
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1])) text[--n] = 0;
    return text;
}

// The next part of *rest up to one of `separators`, without white space around it; NULL at the end.
static char *next_part(char **rest, const char *separators) {
    char *part = strsep(rest, separators);
    return part ? trimmed(part) : NULL;
}

// The nearest of the parameters' names and of what they start with, as "bert.embeddings.*"; into `near`.
static void find_nearest(const ftc_graph *g, const char *pattern, char *near, size_t size) {
    char **known = NULL;
    int n = 0;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const char *name = g->decls[i].name;
        if (g->decls[i].kind != FTC_DECL_PARAM) continue;
        for (const char *end = strchr(name, '.');; end = strchr(end + 1, '.')) {
            known = ftc_realloc(known, (size_t)(n + 1), sizeof *known);
            size_t length = end ? (size_t)(end - name) : strlen(name);
            known[n] = ftc_alloc(length + 3, 1);
            memcpy(known[n], name, length);
            if (end) strcpy(known[n] + length, ".*");
            n++;
            if (!end) break;
        }
    }
    const char *nearest = ftc_name_nearest(pattern, (const char *const *)known, n);
    if (!nearest && n) nearest = known[n - 1];
    snprintf(near, size, "%s", nearest ? nearest : "");
    for (int i = 0; i < n; i++) free(known[i]);
    free(known);
}

// Calls found(context, parameter) for each parameter that the pattern matches: by its name, or as one of
// the "head" where that is the pattern. Matching none is an error of `entry`, but for a model without a head.
static bool match_parameters(const ftc_graph *g, const char *entry, const char *pattern,
                             void (*found)(void *context, ftc_decl param), void *context,
                             ftc_diagnostics *d) {
    bool is_head = !strcmp(pattern, "head"), any = is_head;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const char *name = g->decls[i].name;
        if (g->decls[i].kind != FTC_DECL_PARAM) continue;
        if (fnmatch(pattern, name, 0) && !(is_head && ftc_graph_in_head(g, name))) continue;
        any = true;
        found(context, (ftc_decl)i);
    }
    if (any) return true;
    char near[600];
    find_nearest(g, pattern, near, sizeof near);
    ftc_diag_add(d, g->model, NULL, 0, 0, "%s '%s': no parameter has such a name; there is '%s'", entry,
                 pattern, near);
    return false;
}

// --- freeze -------------------------------------------------------------------------------------------

static void set_frozen(void *context, ftc_decl param) {
    ((bool *)context)[param] = true;
}

static void clear_frozen(void *context, ftc_decl param) {
    ((bool *)context)[param] = false;
}

bool ftc_groups_freeze(const ftc_graph *g, bool *frozen, ftc_diagnostics *d) {
    const ftc_graph_setting *setting = find_setting(g, "freeze");
    if (!setting) return true;
    if (!setting->text) {
        ftc_diag_add(d, g->model, NULL, 0, 0,
                     "freeze = %g: patterns of names are expected, as \"bert.embeddings.*\"",
                     setting->number);
        return false;
    }
    char *copy = ftc_strdup(setting->text), *rest = copy, *pattern;
    bool ok = true;
    while (ok && (pattern = next_part(&rest, ",")))
        if (*pattern == '!')
            ok = match_parameters(g, "freeze", pattern + 1, clear_frozen, frozen, d);
        else if (*pattern)
            ok = match_parameters(g, "freeze", pattern, set_frozen, frozen, d);
    free(copy);
    return ok;
}

// --- groups -------------------------------------------------------------------------------------------

typedef struct {
    ftc_group *groups;
    bool sets_factor, sets_decay;
    ftc_group values;
} assignment;

static void set_group(void *context, ftc_decl param) {
    const assignment *a = context;
    ftc_group *group = &a->groups[param];
    if (a->sets_factor) group->lr_factor = a->values.lr_factor;
    if (!a->sets_decay) return;
    group->has_weight_decay = true;
    group->weight_decay = a->values.weight_decay;
}

// "lr=0.1x" or "weight_decay=0".
static bool read_value(const ftc_graph *g, const char *text, assignment *a, ftc_diagnostics *d) {
    const char *equals = strchr(text, '=');
    size_t name = equals ? (size_t)(equals - text) : 0;
    while (name && text[name - 1] == ' ') name--;
    char *end = NULL;
    double value = NAN;
    bool has_number = equals && ftc_name_number(equals + 1, &end, &value) && value >= 0;
    if (name == 2 && !strncmp(text, "lr", name) && has_number && !strcmp(end, "x")) {
        a->sets_factor = true;
        a->values.lr_factor = value;
    } else if (name == 12 && !strncmp(text, "weight_decay", name) && has_number && !*end) {
        a->sets_decay = true;
        a->values.weight_decay = value;
    } else {
        ftc_diag_add(
            d, g->model, NULL, 0, 0,
            "group value '%s': expected lr=FACTORx (as lr=0.1x: a tenth of the rate) or weight_decay=NUMBER",
            text);
        return false;
    }
    return true;
}

// "PATTERN: value, value".
static bool read_group(const ftc_graph *g, char *text, ftc_group *groups, ftc_diagnostics *d) {
    char *colon = strrchr(text, ':');
    if (!colon) {
        ftc_diag_add(d, g->model, NULL, 0, 0, "group '%s': expected PATTERN:VALUE, as \"bert.*:lr=0.1x\"",
                     text);
        return false;
    }
    *colon = 0;
    text = trimmed(text);
    assignment a = {.groups = groups};
    char *rest = colon + 1, *value;
    while ((value = next_part(&rest, ",")))
        if (!read_value(g, value, &a, d)) return false;
    return match_parameters(g, "group", text, set_group, &a, d);
}

static bool read_groups(const ftc_graph *g, ftc_group *groups, ftc_diagnostics *d) {
    const ftc_graph_setting *setting = find_setting(g, "group");
    if (!setting) return true;
    if (!setting->text) {
        ftc_diag_add(d, g->model, NULL, 0, 0, "group = %g: expected text, as \"bert.*: lr=0.1x\"",
                     setting->number);
        return false;
    }
    char *copy = ftc_strdup(setting->text), *rest = copy, *group;
    bool ok = true;
    while (ok && (group = next_part(&rest, ";")))
        if (*group) ok = read_group(g, group, groups, d);
    free(copy);
    return ok;
}

// --- layers -------------------------------------------------------------------------------------------

// The first part of a dotted name that is a number, -1: none.
static int64_t layer_of(const char *name) {
    for (const char *part = name; part; part = strchr(part, '.')) {
        part += *part == '.';
        size_t digits = strspn(part, "0123456789");
        if (digits && digits < 10 && (part[digits] == '.' || !part[digits])) return strtoll(part, NULL, 10);
    }
    return -1;
}

static bool decay_layers(const ftc_graph *g, ftc_group *groups, ftc_diagnostics *d) {
    const ftc_graph_setting *setting = find_setting(g, "layer_decay");
    if (!setting) return true;
    if (setting->text || setting->number <= 0) {
        ftc_diag_add(d, g->model, NULL, 0, 0, "layer_decay: a number above 0 is expected, as 0.9");
        return false;
    }
    int64_t layers = 0;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        int64_t layer = g->decls[i].kind == FTC_DECL_PARAM ? layer_of(g->decls[i].name) : -1;
        if (layer >= layers) layers = layer + 1;
    }
    if (!layers) {
        ftc_diag_add(d, g->model, NULL, 0, 0,
                     "layer_decay: no parameter has the number of a layer in its name");
        return false;
    }
    bool before_layers = true;
    for (uint32_t i = 0; i < g->n_decls; i++) {
        if (g->decls[i].kind != FTC_DECL_PARAM) continue;
        int64_t layer = layer_of(g->decls[i].name);
        if (layer >= 0) before_layers = false;
        if (layer >= 0 || before_layers)
            groups[i].lr_factor *= pow(setting->number, (double)(layer >= 0 ? layers - layer : layers + 1));
    }
    return true;
}

ftc_group *ftc_groups_read(const ftc_graph *g, ftc_diagnostics *d) {
    ftc_group *groups = ftc_alloc(g->n_decls + 1, sizeof *groups);
    for (uint32_t i = 0; i < g->n_decls; i++) groups[i].lr_factor = 1;
    if (read_groups(g, groups, d) && decay_layers(g, groups, d)) return groups;
    free(groups);
    return NULL;
}
