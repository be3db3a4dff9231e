#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "ir/lang/parse.h"

enum { LARGEST_FILE = 256 << 20 }; // bytes

char *ftc_parse_read(const char *path, ftc_diagnostics *d) {
    errno = 0;
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    size_t size = 0, capacity = 0;
    bool too_large = false;
    while (f && !too_large) {
        if (size + 1 >= capacity) {
            capacity = capacity ? 2 * capacity : 1 << 14;
            too_large = capacity > LARGEST_FILE;
            if (too_large) break;
            text = ftc_realloc(text, capacity, 1);
        }
        size_t n = fread(text + size, 1, capacity - 1 - size, f);
        if (!n) break;
        size += n;
    }
    const char *problem = too_large ? "the file is too large for a model" : NULL;
    if (!problem && (!f || ferror(f) || !text)) problem = strerror(errno ? errno : EIO);
    if (!problem) {
        text[size] = 0;
        if (strlen(text) != size) problem = "the file holds NUL bytes; it is no text";
        const char mark[] = "\xef\xbb\xbf"; // some editors begin UTF-8 with a byte order mark
        if (!strncmp(text, mark, strlen(mark))) memmove(text, text + strlen(mark), size + 1 - strlen(mark));
    }
    if (f) fclose(f);
    if (!problem) return text;
    ftc_diag_add(d, path, NULL, 0, 0, "%s", problem);
    free(text);
    return NULL;
}
