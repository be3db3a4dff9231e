#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/files.h"

char *fuzz_text(const uint8_t *data, size_t size) {
    char *text = strndup((const char *)data, size);
    if (!text) abort();
    return text;
}

static char dir[64];

static void remove_dir(void) {
    ftc_status status = ftc_dir_remove(dir);
    ftc_status_free(&status);
}

const char *fuzz_dir(void) {
    if (dir[0]) return dir;
    snprintf(dir, sizeof dir, "/dev/shm/ftc-fuzz-%d", (int)getpid());
    if (mkdir(dir, 0700) != 0) abort();
    atexit(remove_dir);
    return dir;
}

char *fuzz_file(const char *name, const uint8_t *data, size_t size) {
    char *path = ftc_path_join(fuzz_dir(), name);
    FILE *f = fopen(path, "wb");
    if (!f || (size && fwrite(data, 1, size, f) != size) || fclose(f) != 0) abort();
    return path;
}

size_t fuzz_part(const uint8_t **data, size_t *size, const uint8_t **part) {
    *part = *data;
    const uint8_t *end = *size ? memchr(*data, 0, *size) : NULL;
    size_t n = end ? (size_t)(end - *data) : *size, taken = end ? n + 1 : n;
    *data += taken;
    *size -= taken;
    return n;
}

void fuzz_status(ftc_status status) {
    if (status.code != FTC_OK && (!status.message || !*status.message || strchr(status.message, '\n')))
        abort();
    ftc_status_free(&status);
}
