#include "runtime/data/decode.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK_BYTES = 1 << 16 };

const char *ftc_decode_name(const char *path) {
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

// --- copies -------------------------------------------------------------------------------------------

// One copy in the making.
typedef struct {
    const char *name; // of the file, for messages
    int from, to;
} copying;

static ftc_status cannot_read(const copying *c) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: cannot read: %s", c->name, strerror(errno));
}

static ftc_status write_all(const copying *c, const char *data, size_t bytes) {
    while (bytes) {
        ssize_t n = write(c->to, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s: cannot keep a copy of it in %s: %s; $TMPDIR names another folder",
                                   c->name, getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir, strerror(errno));
        data += n;
        bytes -= (size_t)n;
    }
    return FTC_STATUS_OK;
}

// Up to BLOCK_BYTES; 0 at the end.
static ftc_status read_block(const copying *c, char *block, size_t *bytes) {
    ssize_t n;
    while ((n = read(c->from, block, BLOCK_BYTES)) < 0 && errno == EINTR) {
    }
    if (n < 0) return cannot_read(c);
    *bytes = (size_t)n;
    return FTC_STATUS_OK;
}

static ftc_status copy_as_it_is(const copying *c, const char *unused) {
    (void)unused;
    char block[BLOCK_BYTES];
    for (size_t n;;) {
        FTC_RETURN_IF_ERROR(read_block(c, block, &n));
        if (n == 0) return FTC_STATUS_OK;
        FTC_RETURN_IF_ERROR(write_all(c, block, n));
    }
}

// --- gzip ---------------------------------------------------------------------------------------------

static ftc_status unpack(const copying *c, const char *unused) {
    (void)unused;
    char block[BLOCK_BYTES];
    int fd = dup(c->from), n, code;
    gzFile file = fd >= 0 ? gzdopen(fd, "rb") : NULL;
    if (!file) return cannot_read(c);
    ftc_status status = FTC_STATUS_OK;
    while (status.code == FTC_OK && (n = gzread(file, block, sizeof block)) > 0)
        status = write_all(c, block, (size_t)n);
    const char *why = gzerror(file, &code);
    if (status.code == FTC_OK && code != Z_OK && code != Z_STREAM_END)
        status = ftc_status_make(FTC_BAD_INPUT, "%s: cannot unpack: %s", c->name,
                                 code == Z_BUF_ERROR
                                     ? "the file ends before its packed contents do; is it complete?"
                                 : code == Z_ERRNO ? strerror(errno)
                                                   : why);
    gzclose(file);
    return status;
}

// --- encodings ----------------------------------------------------------------------------------------

// One conversion: what is left of the block before stands at the start of `in`.
typedef struct {
    iconv_t converter;
    char in[BLOCK_BYTES + 16], out[2 * BLOCK_BYTES];
    size_t left;     // bytes in `in` that are not converted yet
    uint64_t offset; // of in[0] in the file
} conversion;

// Converts in[0 … left), all of it but what may be the start of a character.
static ftc_status convert_block(const copying *c, conversion *v, const char *encoding) {
    char *in = v->in;
    for (bool more = v->left > 0; more;) {
        char *out = v->out;
        size_t room = sizeof v->out;
        size_t result = iconv(v->converter, &in, &v->left, &out, &room);
        int error = result == (size_t)-1 ? errno : 0;
        FTC_RETURN_IF_ERROR(write_all(c, v->out, (size_t)(out - v->out)));
        if (error == EILSEQ)
            return ftc_status_make(
                FTC_BAD_INPUT, "%s: byte 0x%02x at offset %llu is no %s; --encoding names another", c->name,
                (unsigned char)*in, (unsigned long long)v->offset + (unsigned long long)(in - v->in),
                encoding);
        more = error == E2BIG;
    }
    v->offset += (uint64_t)(in - v->in);
    memmove(v->in, in, v->left);
    return FTC_STATUS_OK;
}

static ftc_status convert_all(const copying *c, conversion *v, const char *encoding) {
    for (size_t n;;) {
        FTC_RETURN_IF_ERROR(read_block(c, v->in + v->left, &n));
        if (n == 0) break;
        v->left += n;
        FTC_RETURN_IF_ERROR(convert_block(c, v, encoding));
    }
    if (v->left == 0) return FTC_STATUS_OK;
    return ftc_status_make(FTC_BAD_INPUT, "%s: the file ends within a character of %s; is it complete?",
                           c->name, encoding);
}

// A converter by iconv's name or by Python's, which has other dashes: utf-16-le, iso8859_1.
static iconv_t open_converter(const char *encoding) {
    iconv_t converter = *encoding ? iconv_open("UTF-8", encoding) : (iconv_t)-1; // "" is the locale's
    if (converter != (iconv_t)-1 || !*encoding) return converter;
    char *plain = ftc_strdup(encoding);
    size_t n = 0;
    for (const char *c = encoding; *c; c++)
        if (*c != '-' && *c != '_') plain[n++] = *c;
    plain[n] = '\0';
    converter = iconv_open("UTF-8", plain);
    free(plain);
    return converter;
}

static ftc_status convert(const copying *c, const char *encoding) {
    conversion *v = ftc_alloc(1, sizeof *v);
    v->converter = open_converter(encoding);
    ftc_status status;
    if (v->converter == (iconv_t)-1) {
        status = ftc_status_make(
            FTC_BAD_INPUT, "there is no encoding \"%s\"; iconv -l lists them, as latin1, cp1252, UTF-16",
            encoding);
    } else {
        status = convert_all(c, v, encoding);
        iconv_close(v->converter);
    }
    free(v);
    return status;
}

// --- all of it ----------------------------------------------------------------------------------------

// Puts a copy in the place of *fd.
static ftc_status replace(const char *name, int *fd, ftc_status copy(const copying *, const char *),
                          const char *encoding) {
    const char *dir = getenv("TMPDIR");
    copying c = {name, *fd, ftc_file_nameless(dir && *dir ? dir : P_tmpdir)};
    if (c.to < 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: cannot keep a copy of it: %s", name, strerror(errno));
    ftc_status status = copy(&c, encoding);
    if (status.code == FTC_OK) {
        close(*fd);
        *fd = c.to;
        lseek(*fd, 0, SEEK_SET);
    } else {
        close(c.to);
    }
    return status;
}

static bool is_utf8(const char *encoding) {
    return strcasecmp(encoding, "utf-8") == 0 || strcasecmp(encoding, "utf8") == 0 ||
           strcasecmp(encoding, "utf-8-sig") == 0;
}

// The encoding whose byte order mark the file begins with; NULL: none, or that of UTF-8.
static const char *marked_encoding(const unsigned char *start, ssize_t n) {
    if (n >= 4 && memcmp(start, "\xFF\xFE\0\0", 4) == 0) return "UTF-32";
    if (n >= 4 && memcmp(start, "\0\0\xFE\xFF", 4) == 0) return "UTF-32";
    if (n >= 2 && (memcmp(start, "\xFF\xFE", 2) == 0 || memcmp(start, "\xFE\xFF", 2) == 0)) return "UTF-16";
    return NULL;
}

static ftc_status decode(const char *name, const char *encoding, int *fd) {
    unsigned char start[4];
    struct stat info;
    if (fstat(*fd, &info) != 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: cannot read: %s", name, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return ftc_status_make(FTC_BAD_INPUT,
                               "%s: a folder, not a file; make one file of what it holds (cat FOLDER/*.jsonl "
                               "> all.jsonl; of Parquet and Arrow: python3 -m ftc rows FOLDER > all.jsonl)",
                               name);
    if (!S_ISREG(info.st_mode)) FTC_RETURN_IF_ERROR(replace(name, fd, copy_as_it_is, NULL));
    if (S_ISFIFO(info.st_mode) && lseek(*fd, 0, SEEK_END) == 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: nothing comes out of this pipe; start its writer first",
                               name);
    ssize_t n = pread(*fd, start, sizeof start, 0);
    if (n >= 3 && memcmp(start, "\x1F\x8B\x08", 3) == 0) {
        lseek(*fd, 0, SEEK_SET);
        FTC_RETURN_IF_ERROR(replace(name, fd, unpack, NULL));
        n = pread(*fd, start, sizeof start, 0);
    }
    if (!encoding) encoding = marked_encoding(start, n);
    if (!encoding || is_utf8(encoding)) return FTC_STATUS_OK;
    lseek(*fd, 0, SEEK_SET);
    return replace(name, fd, convert, encoding);
}

ftc_status ftc_decode_open(const char *path, const char *encoding, int *fd) {
    const char *name = ftc_decode_name(path);
    int file;
    if (strcmp(path, "-") == 0) {
        file = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    } else {
        file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); // does not wait for the writer of a named pipe
        if (file >= 0) fcntl(file, F_SETFL, O_RDONLY);        // but for what it writes
    }
    if (file < 0) return ftc_status_make(FTC_BAD_INPUT, "%s: cannot open: %s", name, strerror(errno));
    ftc_status status = decode(name, encoding, &file);
    if (status.code == FTC_OK)
        *fd = file;
    else
        close(file);
    return status;
}
