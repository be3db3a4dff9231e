#include "runtime/hub/torch_file.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"
#include "runtime/hub/pickle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// A stretch of the file by its name: a member of the zip, or a storage of the older form.
typedef struct {
    const char *name; // [name_bytes], in the file or the pickle
    size_t name_bytes;
    const char *data;
    int64_t bytes;
} member;

struct ftc_torch_file {
    char *path, *map;
    size_t map_bytes;
    member *members; // [n_members]
    size_t n_members;
    ftc_pickle *pickle;
    ftc_safetensor *tensors; // [n]
    void **copies;           // [n] of tensors that do not lie row by row in their storage, else NULL
    int32_t n;
};

static ftc_status broken(const ftc_torch_file *f, const char *what) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: %s; is the file complete?", f->path, what);
}

// --- the zip ------------------------------------------------------------------------------------------

// Little-endian, at an offset that the caller has checked.
static uint64_t number_at(const char *data, size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++) number |= (uint64_t)(uint8_t)data[i] << 8 * i;
    return number;
}

// Where the directory of the zip is, and how many entries it has.
typedef struct {
    uint64_t at, bytes, entries;
} directory;

enum { END_BYTES = 22, LOCATOR_BYTES = 20, END64_BYTES = 56, ENTRY_BYTES = 46, HEADER_BYTES = 30 };
enum { LONGEST_COMMENT = 65535 };

static bool find_directory(const ftc_torch_file *f, directory *out) {
    const char *map = f->map;
    size_t at = f->map_bytes < END_BYTES ? 0 : f->map_bytes - END_BYTES;
    size_t least = at > LONGEST_COMMENT ? at - LONGEST_COMMENT : 0;
    while (at > least && memcmp(map + at, "PK\5\6", 4) != 0) at--;
    if (f->map_bytes < END_BYTES || memcmp(map + at, "PK\5\6", 4) != 0) return false;
    *out = (directory){number_at(map + at + 16, 4), number_at(map + at + 12, 4), number_at(map + at + 10, 2)};
    if (at >= LOCATOR_BYTES && memcmp(map + at - LOCATOR_BYTES, "PK\6\7", 4) == 0) { // of more than 4 GB
        uint64_t end = number_at(map + at - LOCATOR_BYTES + 8, 8);
        if (end > f->map_bytes || f->map_bytes - end < END64_BYTES || memcmp(map + end, "PK\6\6", 4) != 0)
            return false;
        *out = (directory){number_at(map + end + 48, 8), number_at(map + end + 40, 8),
                           number_at(map + end + 32, 8)};
    }
    return out->at <= f->map_bytes && out->bytes <= f->map_bytes - out->at &&
           out->entries <= out->bytes / ENTRY_BYTES;
}

// The sizes and offset of an entry that do not fit into 32 bits stand in its extra field.
static bool read_wide(const char *extra, size_t bytes, uint64_t *values[3]) {
    while (bytes >= 4) {
        size_t id = number_at(extra, 2), size = number_at(extra + 2, 2);
        if (size > bytes - 4) return false;
        const char *at = extra + 4, *end = at + size;
        for (int i = 0; id == 1 && i < 3; i++) {
            if (*values[i] != UINT32_MAX) continue;
            if (end - at < 8) return false;
            *values[i] = number_at(at, 8);
            at += 8;
        }
        extra += 4 + size;
        bytes -= 4 + size;
    }
    return true;
}

// The entry at `at` of the directory, which has `room` bytes from there on; *bytes is its length.
static ftc_status read_entry(const ftc_torch_file *f, const char *at, size_t room, member *out,
                             size_t *bytes) {
    if (room < ENTRY_BYTES || memcmp(at, "PK\1\2", 4) != 0)
        return broken(f, "the directory of its zip is broken");
    uint64_t method = number_at(at + 10, 2), packed = number_at(at + 20, 4), size = number_at(at + 24, 4);
    uint64_t header = number_at(at + 42, 4), name = number_at(at + 28, 2), extra = number_at(at + 30, 2);
    *bytes = ENTRY_BYTES + name + extra + number_at(at + 32, 2);
    uint64_t *wide[] = {&size, &packed, &header};
    if (*bytes > room || !read_wide(at + ENTRY_BYTES + name, extra, wide))
        return broken(f, "the directory of its zip is broken");
    if (method != 0 || packed != size)
        return ftc_status_make(
            FTC_BAD_INPUT, "%s: a member of its zip is compressed, as torch.save does not write it", f->path);
    if (header > f->map_bytes || f->map_bytes - header < HEADER_BYTES ||
        memcmp(f->map + header, "PK\3\4", 4) != 0)
        return broken(f, "a member of its zip is not where the directory says");
    uint64_t data =
        header + HEADER_BYTES + number_at(f->map + header + 26, 2) + number_at(f->map + header + 28, 2);
    if (data > f->map_bytes || size > f->map_bytes - data)
        return broken(f, "a member of its zip ends behind the file");
    *out = (member){at + ENTRY_BYTES, name, f->map + data, (int64_t)size};
    return FTC_STATUS_OK;
}

static ftc_status read_directory(ftc_torch_file *f) {
    directory d;
    if (!find_directory(f, &d)) return broken(f, "its zip has no directory");
    f->members = ftc_alloc(d.entries + 1, sizeof *f->members);
    const char *at = f->map + d.at, *end = at + d.bytes;
    for (uint64_t i = 0; i < d.entries; i++) {
        size_t bytes = 0;
        FTC_RETURN_IF_ERROR(read_entry(f, at, (size_t)(end - at), &f->members[f->n_members], &bytes));
        f->n_members++;
        at += bytes;
    }
    return FTC_STATUS_OK;
}

// The member PREFIX/NAME, whatever the prefix, which all members have; NULL: there is none.
static const member *find_member(const ftc_torch_file *f, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < f->n_members; i++) {
        const member *m = &f->members[i];
        const char *slash = memchr(m->name, '/', m->name_bytes);
        size_t prefix = slash ? (size_t)(slash - m->name) + 1 : 0;
        if (m->name_bytes - prefix == n && memcmp(m->name + prefix, name, n) == 0) return m;
    }
    return NULL;
}

static ftc_status open_zip(ftc_torch_file *f) {
    FTC_RETURN_IF_ERROR(read_directory(f));
    const member *pickle = find_member(f, "data.pkl"), *order = find_member(f, "byteorder");
    if (!pickle)
        return ftc_status_make(FTC_BAD_INPUT, "%s: its zip has no data.pkl: torch.save has not written it",
                               f->path);
    if (order && order->bytes == 3 && memcmp(order->data, "big", 3) == 0)
        return ftc_status_make(FTC_BAD_INPUT, "%s: its numbers have the bytes of a big-endian machine",
                               f->path);
    size_t consumed;
    return ftc_pickle_read(f->path, pickle->data, (size_t)pickle->bytes, &f->pickle, &consumed);
}

// --- the older form -----------------------------------------------------------------------------------

// Pickles: a number, a version, what the machine was; then the object, the list of its storages' keys; then
// of each storage the number of its elements and the elements.
static ftc_status open_older(ftc_torch_file *f) {
    const char *at = f->map, *end = at + f->map_bytes;
    size_t consumed;
    for (int i = 0; i < 4; i++) {
        ftc_pickle_free(f->pickle);
        f->pickle = NULL;
        FTC_RETURN_IF_ERROR(ftc_pickle_read(f->path, at, (size_t)(end - at), &f->pickle, &consumed));
        at += consumed;
    }
    ftc_pickle *keys;
    FTC_RETURN_IF_ERROR(ftc_pickle_read(f->path, at, (size_t)(end - at), &keys, &consumed));
    at += consumed;
    size_t n = 0;
    while (ftc_pickle_text(keys, n)) n++;
    f->members = ftc_alloc(n + 1, sizeof *f->members);
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < n && status.code == FTC_OK; i++) {
        int64_t elements, bytes;
        char *name = ftc_strdup(ftc_pickle_text(keys, i));
        f->members[f->n_members++] = (member){name, strlen(name), at, 0};
        int32_t element = ftc_pickle_storage(f->pickle, name, &elements);
        bool ok = element && end - at >= 8 && number_at(at, 8) == (uint64_t)elements &&
                  !__builtin_mul_overflow(elements, (int64_t)element, &bytes) && bytes <= end - at - 8;
        if (!ok) {
            status = broken(f, "its storages do not fit its tensors");
            break;
        }
        f->members[i].data = at + 8;
        f->members[i].bytes = bytes;
        at += 8 + bytes;
    }
    ftc_pickle_free(keys);
    return status;
}

// --- tensors ------------------------------------------------------------------------------------------

static ftc_status wrong_tensor(const ftc_torch_file *f, const ftc_pickle_tensor *t, const char *what) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: tensor \"%s\" %s", f->path, t->name, what);
}

// Elements of the tensor, and whether they lie within its storage and row by row.
static bool measure(const ftc_pickle_tensor *t, int64_t *elements, bool *by_rows) {
    int64_t last = t->offset, count = 1;
    *by_rows = true;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        int64_t step;
        if (t->dims[i] > 1 && t->strides[i] != count) *by_rows = false;
        if (__builtin_mul_overflow(count, t->dims[i], &count)) return false;
        if (t->dims[i] > 0 && (__builtin_mul_overflow(t->dims[i] - 1, t->strides[i], &step) ||
                               __builtin_add_overflow(last, step, &last)))
            return false;
    }
    *elements = count;
    return count == 0 || (last < t->storage_elements && count <= t->storage_elements);
}

// The elements row by row; to be freed.
static void *copy_by_rows(const ftc_pickle_tensor *t, const char *storage, int64_t elements) {
    size_t bytes = (size_t)t->element_bytes;
    char *copy = ftc_alloc_or_null((size_t)elements * bytes + 1);
    int64_t index[FTC_SAFETENSORS_MAX_RANK] = {0}, at = t->offset;
    for (int64_t i = 0; copy && i < elements; i++) {
        memcpy(copy + (size_t)i * bytes, storage + (size_t)at * bytes, bytes);
        for (int32_t d = t->rank - 1; d >= 0; d--) {
            at += t->strides[d];
            if (++index[d] < t->dims[d]) break;
            at -= t->dims[d] * t->strides[d];
            index[d] = 0;
        }
    }
    return copy;
}

static const member *find_storage(const ftc_torch_file *f, const char *key, bool is_zip) {
    char name[64];
    if (strlen(key) > 40) return NULL;
    strcat(strcpy(name, is_zip ? "data/" : ""), key);
    return find_member(f, name);
}

static ftc_status add_tensor(ftc_torch_file *f, const ftc_pickle_tensor *t, bool is_zip) {
    const member *storage = find_storage(f, t->storage, is_zip);
    int64_t elements, bytes;
    bool by_rows;
    if (!storage) return wrong_tensor(f, t, "has no storage in the file; is it complete?");
    if (!measure(t, &elements, &by_rows)) return wrong_tensor(f, t, "reaches beyond its storage");
    if (__builtin_mul_overflow(t->storage_elements, (int64_t)t->element_bytes, &bytes) ||
        bytes > storage->bytes)
        return wrong_tensor(f, t, "has a storage with fewer bytes than it says; is the file complete?");
    ftc_safetensor *out = &f->tensors[f->n];
    *out = (ftc_safetensor){.name = t->name,
                            .dtype = t->dtype,
                            .rank = t->rank,
                            .data = storage->data + (elements ? t->offset * t->element_bytes : 0),
                            .bytes = elements * t->element_bytes};
    memcpy(out->dims, t->dims, sizeof out->dims);
    if (!by_rows) {
        out->is_copy = true;
        out->data = f->copies[f->n] = copy_by_rows(t, storage->data, elements);
        if (!out->data) return wrong_tensor(f, t, "does not fit into memory");
    }
    f->n++;
    return FTC_STATUS_OK;
}

static ftc_status add_tensors(ftc_torch_file *f, bool is_zip) {
    const ftc_pickle_tensor *list;
    int32_t n;
    FTC_RETURN_IF_ERROR(ftc_pickle_tensors(f->pickle, &list, &n));
    f->tensors = ftc_alloc((size_t)n + 1, sizeof *f->tensors);
    f->copies = ftc_alloc((size_t)n + 1, sizeof *f->copies);
    for (int32_t i = 0; i < n; i++) FTC_RETURN_IF_ERROR(add_tensor(f, &list[i], is_zip));
    return FTC_STATUS_OK;
}

// --- open, close --------------------------------------------------------------------------------------

static ftc_status map_file(ftc_torch_file *f) {
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    struct stat info = {0};
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) {
        ftc_status status =
            fd < 0 ? ftc_status_make(FTC_BAD_INPUT, "%s: cannot open: %s", f->path, strerror(errno))
                   : ftc_status_make(FTC_BAD_INPUT, "%s: not a file, or empty", f->path);
        if (fd >= 0) close(fd);
        return status;
    }
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return ftc_status_make(FTC_BAD_INPUT, "%s: cannot map: %s", f->path, strerror(errno));
    f->map = map;
    f->map_bytes = (size_t)info.st_size;
    return FTC_STATUS_OK;
}

static bool begins_with(const ftc_torch_file *f, const char *bytes, size_t n) {
    return f->map_bytes >= n && memcmp(f->map, bytes, n) == 0;
}

static ftc_status read_file(ftc_torch_file *f) {
    static const char OLDER[] = "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19\x2E"; // its number
    FTC_RETURN_IF_ERROR(map_file(f));
    if (begins_with(f, FTC_LFS_POINTER, strlen(FTC_LFS_POINTER))) return ftc_lfs_pointer(f->path);
    bool is_zip = begins_with(f, "PK\3\4", 4);
    if (!is_zip && !begins_with(f, OLDER, sizeof OLDER - 1))
        return ftc_status_make(FTC_BAD_INPUT, "%s: not a file that torch.save wrote (since 2017)", f->path);
    FTC_RETURN_IF_ERROR(is_zip ? open_zip(f) : open_older(f));
    return add_tensors(f, is_zip);
}

ftc_status ftc_torch_file_open(const char *path, ftc_torch_file **out) {
    ftc_torch_file *f = ftc_alloc(1, sizeof *f);
    f->path = ftc_strdup(path);
    ftc_status status = read_file(f);
    if (status.code == FTC_OK)
        *out = f;
    else
        ftc_torch_file_close(f);
    return status;
}

void ftc_torch_file_close(ftc_torch_file *f) {
    if (!f) return;
    bool is_zip = begins_with(f, "PK\3\4", 4);
    for (size_t i = 0; i < f->n_members && !is_zip; i++) free((char *)f->members[i].name);
    for (int32_t i = 0; i < f->n; i++) free(f->copies[i]);
    free(f->copies);
    free(f->tensors);
    free(f->members);
    ftc_pickle_free(f->pickle);
    if (f->map) munmap(f->map, f->map_bytes);
    free(f->path);
    free(f);
}

int32_t ftc_torch_file_count(const ftc_torch_file *f) {
    return f->n;
}

const ftc_safetensor *ftc_torch_file_at(const ftc_torch_file *f, int32_t index) {
    return &f->tensors[index];
}
