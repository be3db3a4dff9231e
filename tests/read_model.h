// A model of the repository with other settings.
#ifndef FTC_TESTS_READ_MODEL_H
#define FTC_TESTS_READ_MODEL_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/lang/parse.h"

// The graph of a file below the root, with what it uses.
static inline ftc_graph *test_read_model(const char *name, const ftc_override *list, int n) {
    ftc_diagnostics d = {0};
    char path[512], *file;
    snprintf(path, sizeof path, "%s/%s", FTC_SOURCE_ROOT, name);
    char *text = ftc_parse_read_model(path, NULL, &file, &d);
    ftc_graph *g = text ? ftc_parse_text(file, text, &(ftc_settings){list, n}, &d) : NULL;
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    free(text);
    free(file);
    return g;
}

#endif
