#include "runtime/nearest.h"

#include <ctype.h>
#include <string.h>

enum { MAX_LENGTH = 63 };

// Levenshtein's distance; names longer than MAX_LENGTH are cut.
static size_t distance(const char *a, const char *b) {
    size_t n = strnlen(a, MAX_LENGTH), m = strnlen(b, MAX_LENGTH), row[MAX_LENGTH + 1];
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced =
                diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            size_t inserted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replaced < inserted ? replaced : inserted;
        }
    }
    return row[m];
}

const char *ftc_nearest_name(const char *name, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(name, names[i]), longer = strlen(name);
        if (strlen(names[i]) > longer) longer = strlen(names[i]);
        size_t limit = longer / 3 > 1 ? longer / 3 : 1;
        if (d <= limit && (!nearest || d < best)) {
            nearest = names[i];
            best = d;
        }
    }
    return nearest;
}
