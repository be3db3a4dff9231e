// Files as people have them, as text in UTF-8: unpacked (gzip), converted (iconv), and out of pipes.
#ifndef FTC_RUNTIME_DECODE_H
#define FTC_RUNTIME_DECODE_H

#include "runtime/status.h"

// Opens a file, "-" for standard input. *fd can be read at any offset: it is the file itself, or a copy
// without a name in $TMPDIR (/tmp) where the bytes had to be unpacked, converted or taken from a pipe, which
// then is empty: who reads a file several times keeps *fd.
// `encoding` is a name that iconv knows; NULL: UTF-8, or UTF-16 or UTF-32 with their byte order mark. Bytes
// of UTF-8 are not checked.
ftc_status ftc_decode_open(const char *path, const char *encoding, int *fd);

// What messages call the file: "standard input" for "-".
const char *ftc_decode_name(const char *path);

#endif
