#include "runtime/text/shown.h"

#include "ir/base/alloc.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

bool ftc_shown_is_hidden(uint32_t c) {
    if (c == '\n' || c == '\t') return false;
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x61C || c == 0x200E || c == 0x200F || c == 0x2028 ||
           c == 0x2029 || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

static void write_hidden(FILE *out, uint32_t c) {
    if (c == '\n') {
        fputs("\\n", out);
    } else if (c == '\t') {
        fputs("\\t", out);
    } else if (c == '\r') {
        fputs("\\r", out);
    } else {
        fprintf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
    }
}

void ftc_shown_write(FILE *out, const char *text, size_t bytes, bool one_line) {
    size_t written = 0;
    for (size_t at = 0, n; at < bytes; at += n) {
        uint32_t c;
        n = ftc_utf8_decode(text + at, bytes - at, &c);
        bool is_text = n > 0;
        if (!is_text) {
            n = 1;
            c = (uint8_t)text[at];
        }
        if (is_text && !ftc_shown_is_hidden(c) && !(one_line && (c == '\n' || c == '\t'))) continue;
        fwrite(text + written, 1, at - written, out);
        write_hidden(out, c);
        written = at + n;
    }
    fwrite(text + written, 1, bytes - written, out);
}

char *ftc_shown(const char *text) {
    ftc_text shown;
    ftc_shown_write(ftc_text_open(&shown), text, strlen(text), true);
    return ftc_text_close(&shown, NULL);
}

int ftc_shown_columns(const char *shown, int most, size_t *bytes) {
    int columns = 0;
    *bytes = 0;
    for (const char *at = shown; *at;) {
        uint32_t c;
        size_t n = ftc_utf8_decode(at, strnlen(at, 4), &c);
        int width = utf8proc_charwidth((utf8proc_int32_t)c);
        if (columns + width > most) break;
        columns += width;
        at += n;
        *bytes = (size_t)(at - shown);
    }
    return columns;
}
