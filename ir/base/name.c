#include "ir/base/name.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 63 }; // names beyond it are near to none

bool ftc_name_starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

bool ftc_name_ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool ftc_name_next(const char **list, const char *ends, const char **name, size_t *length) {
    *name = *list + strspn(*list, ", ");
    *length = strcspn(*name, ends);
    *list = *name + *length;
    return *length > 0;
}

uint64_t ftc_name_hash(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

bool ftc_name_number(const char *text, char **end, double *out) {
    errno = 0;
    *out = strtod(text, end);
    return *end != text && isfinite(*out) && !(*out == 0 && errno == ERANGE);
}

int64_t ftc_name_numbers(const char *text, double *numbers, int64_t most) {
    int64_t n = 0;
    for (char *end;; text = end + 1) {
        double number;
        if (!ftc_name_number(text, &end, &number) || (*end && *end != '|')) return -1;
        if (n < most) numbers[n] = number;
        n++;
        if (!*end) return n;
    }
}

int ftc_name_for_task(const char *entry, const char *name, const char *task) {
    size_t n = strlen(name);
    if (strncmp(entry, name, n) != 0 || (entry[n] && entry[n] != ' ')) return 0;
    return !entry[n] ? 1 : task && strcmp(entry + n + 1, task) == 0 ? 2 : 0;
}

static int minimum(int a, int b) {
    return a < b ? a : b;
}

static bool same_letter(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static int edit_distance(const char *a, const char *b) {
    int row[LONGEST + 1], m = (int)strlen(a), n = (int)strlen(b);
    if (m > LONGEST || n > LONGEST) return LONGEST;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; i <= m; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int replaced = diagonal + !same_letter(a[i - 1], b[j - 1]);
            diagonal = row[j];
            row[j] = minimum(replaced, minimum(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const char *ftc_name_nearest(const char *name, const char *const *names, int n) {
    const char *nearest = NULL;
    int length = (int)strlen(name);
    int best = minimum(length, length / 3 + 2); // one more than what counts as near
    for (int i = 0; i < n; i++) {
        int distance = edit_distance(name, names[i]);
        if (distance < best) best = distance, nearest = names[i];
    }
    return nearest;
}
