#include "runtime/hub/names.h"

#include "ir/base/alloc.h"
#include "ir/base/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *ftc_family_text(const ftc_program *program, const char *name) {
    const ftc_setting *task = ftc_program_config(program, FTC_CONFIG_TASK);
    const char *text = "";
    int best = 0;
    for (int32_t i = 0; i < program->n_family; i++) {
        int fit = ftc_name_for_task(program->family[i].name, name, task ? task->text : NULL);
        if (fit <= best) continue;
        best = fit;
        text = program->family[i].text;
    }
    return text;
}

// Whether the name starts with an item of the list.
static bool starts_with_any(const char *name, const char *list) {
    const char *item;
    size_t n;
    while (ftc_name_next(&list, ",", &item, &n))
        if (strncmp(name, item, n) == 0) return true;
    return false;
}

bool ftc_family_in_head(const ftc_program *program, const char *parameter) {
    return starts_with_any(parameter, ftc_family_text(program, "head"));
}

bool ftc_family_may_lack(const ftc_program *program, const char *parameter) {
    return starts_with_any(parameter, ftc_family_text(program, "may_lack"));
}

char *ftc_family_name(const ftc_program *program, const char *name) {
    const char *prefix = ftc_family_text(program, "prefix"), *list = ftc_family_text(program, "aliases"),
               *item;
    if (ftc_name_starts_with(name, prefix)) name += strlen(prefix);
    size_t length = strlen(name), n;
    char *result = NULL;
    while (!result && ftc_name_next(&list, ",", &item, &n)) { // "OLD: NEW", ends of names
        size_t old = strcspn(item, ":");
        if (old >= n || length < old || memcmp(name + length - old, item, old) != 0) continue;
        size_t at = old + 1 + strspn(item + old + 1, " ");
        result = ftc_format("%.*s%.*s", (int)(length - old), name, (int)(n - at), item + at);
    }
    if (!result) result = ftc_strdup(name);
    return result;
}
