#include "compiler/driver/laboratory.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/passes/edits.h"
#include "ir/base/alloc.h"
#include "ir/lang/parse.h"

// The entry of a name that has n characters; FTC_ENTRY_COUNT: there is none.
static int find_entry(const char *name, size_t n) {
    int entry = 0;
    while (entry < FTC_ENTRY_COUNT && (strlen(ftc_entry_name((ftc_entry_kind)entry)) != n ||
                                       strncmp(name, ftc_entry_name((ftc_entry_kind)entry), n) != 0))
        entry++;
    return entry;
}

bool ftc_laboratory_dumps(const ftc_model_options *options, ftc_dump dumps[FTC_ENTRY_COUNT],
                          ftc_diagnostics *d) {
    for (int entry = 0; entry < FTC_ENTRY_COUNT; entry++)
        if (options->graph_texts[entry].text)
            dumps[entry] =
                (ftc_dump){options->graph_texts[entry].name, ftc_strdup(options->graph_texts[entry].text)};
    for (size_t i = 0; i < options->graphs.n; i++) {
        const char *item = options->graphs.items[i], *equals = strchr(item, '=');
        int entry = equals ? find_entry(item, (size_t)(equals - item)) : FTC_ENTRY_COUNT;
        if (entry == FTC_ENTRY_COUNT) {
            ftc_diag_add(d, NULL, NULL, 0, 0,
                         "--graph %s: expected ENTRY=FILE, where ENTRY is step, grad, update or eval", item);
            return false;
        }
        if (dumps[entry].text) {
            ftc_diag_add(d, NULL, NULL, 0, 0, "--graph %s: there is another graph of this entry before",
                         item);
            return false;
        }
        dumps[entry] = (ftc_dump){equals + 1, ftc_parse_read(equals + 1, d)}; // named as the option does
        if (!dumps[entry].text) return false;
    }
    return true;
}

// Adds the edits of a text, of which it makes pieces.
static bool add_edits(char *text, const char *file, ftc_model_source *out, ftc_diagnostics *d) {
    bool ok = true;
    char *source = ftc_strdup(text), *line;
    for (int at = 1; (line = strsep(&text, "\n")); at++) {
        const char *begin = line;
        char *comment = strstr(line, "//");
        if (comment) *comment = '\0';
        line += strspn(line, " \t\r");
        size_t length = strlen(line);
        while (length && strchr(" \t\r", line[length - 1])) line[--length] = '\0';
        if (!length) continue;
        const ftc_edit_place place = {file, at, (int)(line - begin) + 1};
        size_t n = (size_t)out->n_schedule++;
        out->schedule = ftc_realloc(out->schedule, n + 1, sizeof *out->schedule);
        out->schedule[n] = ftc_strdup(line);
        out->schedule_places = ftc_realloc(out->schedule_places, n + 1, sizeof *out->schedule_places);
        out->schedule_places[n] = place;
        ok &= ftc_edits_check(line, file, source, place.line, place.column, d);
    }
    free(source);
    return ok;
}

bool ftc_laboratory_edits(const ftc_model_options *options, ftc_model_source *out, ftc_diagnostics *d) {
    char *texts[] = {options->schedule ? ftc_parse_read(options->schedule, d) : NULL,
                     options->schedule_text ? ftc_strdup(options->schedule_text) : NULL};
    bool ok = (!options->schedule || texts[0]) &&
              (!texts[0] || add_edits(texts[0], options->schedule, out, d)) &&
              (!texts[1] || add_edits(texts[1], "edits", out, d));
    free(texts[0]);
    free(texts[1]);
    return ok;
}
