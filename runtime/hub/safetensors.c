#include "runtime/hub/safetensors.h"

#include "ir/base/alloc.h"
#include "ir/base/bf16.h"
#include "runtime/files.h"
#include "runtime/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_HEADER_BYTES 100000000 // the format's own limit

struct ftc_safetensors {
    char *path;
    char *map;
    size_t map_bytes;
    cJSON *header;           // owns the names
    ftc_safetensor *tensors; // [n], by address
    int32_t n;
};

static const struct {
    const char *name;
    int bytes;
} DTYPES[FTC_SAFE_OTHER] = {
    [FTC_SAFE_F32] = {"F32", 4}, [FTC_SAFE_F16] = {"F16", 2}, [FTC_SAFE_BF16] = {"BF16", 2},
    [FTC_SAFE_F64] = {"F64", 8}, [FTC_SAFE_I32] = {"I32", 4}, [FTC_SAFE_U32] = {"U32", 4},
};

const char *ftc_shape_format(const int64_t *dims, int32_t rank, char *text) {
    int n = sprintf(text, "[");
    for (int32_t i = 0; i < rank && i < FTC_SAFETENSORS_MAX_RANK; i++) {
        n += snprintf(text + n, 14, "%s%lld", i ? ", " : "", (long long)dims[i]);
        n = (int)strlen(text);
    }
    sprintf(text + n, "]");
    return text;
}

// --- reading ------------------------------------------------------------------------------------------

// The tensor that a header's entry describes; its data lies within data[0 … data_bytes).
static ftc_status read_entry(const char *path, const cJSON *entry, const char *data, int64_t data_bytes,
                             ftc_safetensor *out) {
    const char *name = entry->string;
    const char *dtype = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "dtype"));
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    int64_t begin, end;
    if (!dtype || !cJSON_IsArray(shape) || cJSON_GetArraySize(offsets) != 2 ||
        !ftc_json_count(cJSON_GetArrayItem(offsets, 0), &begin) ||
        !ftc_json_count(cJSON_GetArrayItem(offsets, 1), &end)) {
        return ftc_status_make(
            FTC_BAD_INPUT, "%s: the header's entry \"%s\" lacks dtype, shape or data_offsets", path, name);
    }
    if (begin > end || end > data_bytes) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: tensor \"%s\" lies at bytes %lld to %lld, but the file has %lld bytes of data; "
            "is it complete?",
            path, name, (long long)begin, (long long)end, (long long)data_bytes);
    }
    ftc_safetensor tensor = {
        .name = name, .dtype = FTC_SAFE_OTHER, .data = data + begin, .bytes = end - begin};
    for (int i = 0; i < FTC_SAFE_OTHER; i++) {
        if (strcmp(dtype, DTYPES[i].name) == 0) tensor.dtype = (ftc_safe_dtype)i;
    }
    int64_t elements = 1;
    const cJSON *item;
    cJSON_ArrayForEach(item, shape) {
        int64_t dim;
        if (tensor.rank == FTC_SAFETENSORS_MAX_RANK || !ftc_json_count(item, &dim) ||
            __builtin_mul_overflow(elements, dim, &elements)) {
            return ftc_status_make(FTC_BAD_INPUT, "%s: tensor \"%s\" has an invalid shape", path, name);
        }
        tensor.dims[tensor.rank++] = dim;
    }
    if (tensor.dtype != FTC_SAFE_OTHER) {
        int64_t needed;
        if (__builtin_mul_overflow(elements, DTYPES[tensor.dtype].bytes, &needed) || needed != tensor.bytes) {
            char text[128];
            return ftc_status_make(
                FTC_BAD_INPUT, "%s: tensor \"%s\" of shape %s and type %s has %lld bytes of data", path, name,
                ftc_shape_format(tensor.dims, tensor.rank, text), dtype, (long long)tensor.bytes);
        }
    }
    *out = tensor;
    return FTC_STATUS_OK;
}

static int by_address(const void *a, const void *b) {
    const ftc_safetensor *x = a, *y = b;
    const char *p = x->data, *q = y->data;
    if (p != q) return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); // an empty tensor stands before the one behind it
}

// Fills file->tensors from the header; `data` has `data_bytes` bytes.
static ftc_status read_header(ftc_safetensors *file, const char *data, int64_t data_bytes) {
    file->tensors = ftc_alloc((size_t)cJSON_GetArraySize(file->header) + 1, sizeof *file->tensors);
    if (!file->tensors) return ftc_status_make(FTC_FAILED, "%s: out of memory", file->path);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, file->header) {
        if (strcmp(entry->string, "__metadata__") == 0) continue;
        FTC_RETURN_IF_ERROR(read_entry(file->path, entry, data, data_bytes, &file->tensors[file->n]));
        file->n++;
    }
    qsort(file->tensors, (size_t)file->n, sizeof *file->tensors, by_address);
    const char *at = data;
    for (int32_t i = 0; i < file->n; i++) {
        const ftc_safetensor *tensor = &file->tensors[i];
        if (tensor->data != at) {
            return ftc_status_make(FTC_BAD_INPUT, "%s: tensor \"%s\" %s the tensor before it", file->path,
                                   tensor->name,
                                   (const char *)tensor->data < at ? "overlaps" : "leaves a gap behind");
        }
        at += tensor->bytes;
    }
    if (at != data + data_bytes) {
        return ftc_status_make(FTC_BAD_INPUT, "%s: %td bytes behind the last tensor", file->path,
                               data + data_bytes - at);
    }
    return FTC_STATUS_OK;
}

static ftc_status open_checked(ftc_safetensors *file) {
    const char *path = file->path;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        ftc_status status = ftc_status_make(FTC_BAD_INPUT, "%s: cannot open: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode) || info.st_size < 8) {
        close(fd);
        return ftc_status_make(FTC_BAD_INPUT, "%s: no safetensors file (%lld bytes)", path,
                               (long long)info.st_size);
    }
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        return ftc_status_make(FTC_BAD_INPUT, "%s: cannot map: %s", path, strerror(errno));
    }
    file->map = map;
    file->map_bytes = (size_t)info.st_size;
    size_t pointer = strlen(FTC_LFS_POINTER);
    if (file->map_bytes > pointer && memcmp(file->map, FTC_LFS_POINTER, pointer) == 0)
        return ftc_lfs_pointer(path);
    uint64_t header_bytes;
    memcpy(&header_bytes, file->map, 8); // little-endian, as are the machines that ftc runs on
    if (header_bytes > file->map_bytes - 8 || header_bytes > MAX_HEADER_BYTES) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "%s: the header claims %llu bytes, the file has %zu; no safetensors file, or truncated", path,
            (unsigned long long)header_bytes, file->map_bytes);
    }
    file->header = ftc_json_parse_object(file->map + 8, header_bytes, NULL);
    if (!file->header) return ftc_status_make(FTC_BAD_INPUT, "%s: the header is not valid JSON", path);
    size_t data_at = 8 + (size_t)header_bytes;
    return read_header(file, file->map + data_at, (int64_t)(file->map_bytes - data_at));
}

ftc_status ftc_safetensors_open(const char *path, ftc_safetensors **out) {
    ftc_safetensors *file = ftc_alloc(1, sizeof *file);
    file->path = ftc_strdup(path);
    ftc_status status = open_checked(file);
    if (status.code != FTC_OK) {
        ftc_safetensors_close(file);
        return status;
    }
    *out = file;
    return FTC_STATUS_OK;
}

void ftc_safetensors_close(ftc_safetensors *file) {
    if (!file) return;
    if (file->map) munmap(file->map, file->map_bytes);
    cJSON_Delete(file->header);
    free(file->tensors);
    free(file->path);
    free(file);
}

int32_t ftc_safetensors_count(const ftc_safetensors *file) {
    return file->n;
}
const ftc_safetensor *ftc_safetensors_at(const ftc_safetensors *file, int32_t index) {
    return &file->tensors[index];
}
const char *ftc_safetensors_path(const ftc_safetensors *file) {
    return file->path;
}

const ftc_safetensor *ftc_safetensors_find(const ftc_safetensors *file, const char *name) {
    for (int32_t i = 0; i < file->n; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    }
    return NULL;
}

// --- conversion ---------------------------------------------------------------------------------------

static float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// IEEE half precision: sign 1, exponent 5 (bias 15), fraction 10.
static float float_from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 31) return float_from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent) return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float value = (float)fraction * 0x1p-24f; // subnormal
    return sign ? -value : value;
}

// Copies what differs, page by page.
static void copy_changed(char *to, const char *from, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t at = 0, n; at < bytes; at += n) {
        n = page - (uintptr_t)(to + at) % page;
        if (n > bytes - at) n = bytes - at;
        if (memcmp(to + at, from + at, n) != 0) memcpy(to + at, from + at, n);
    }
}

void ftc_safetensors_release(const ftc_safetensor *tensor) {
    if (tensor->is_copy) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)tensor->data;
    uintptr_t end = begin + (uintptr_t)tensor->bytes;
    begin = (begin + page - 1) / page * page;
    end = end / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED); // only a hint: the file has them
}

ftc_status ftc_safetensors_read_f32(const ftc_safetensor *tensor, float *out) {
    const char *bytes = tensor->data; // not necessarily aligned
    if (tensor->dtype == FTC_SAFE_F32) {
        copy_changed((char *)out, bytes, (size_t)tensor->bytes);
        return FTC_STATUS_OK;
    }
    if (tensor->dtype == FTC_SAFE_F64) {
        for (int64_t i = 0; i < tensor->bytes / 8; i++) {
            double value;
            memcpy(&value, bytes + 8 * i, 8);
            out[i] = (float)value;
        }
        return FTC_STATUS_OK;
    }
    if (tensor->dtype != FTC_SAFE_F16 && tensor->dtype != FTC_SAFE_BF16) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "tensor \"%s\" has no floating-point type that ftc reads (F32, F16, BF16, F64); save the "
            "weights as one of these",
            tensor->name);
    }
    for (int64_t i = 0; i < tensor->bytes / 2; i++) {
        uint16_t bits;
        memcpy(&bits, bytes + 2 * i, 2);
        out[i] = tensor->dtype == FTC_SAFE_BF16 ? ftc_bf16_value(bits) : float_from_half(bits);
    }
    return FTC_STATUS_OK;
}

// --- writing ------------------------------------------------------------------------------------------

static int64_t tensor_bytes(const ftc_safetensor *tensor) {
    int64_t bytes = DTYPES[tensor->dtype].bytes;
    for (int32_t i = 0; i < tensor->rank; i++) bytes *= tensor->dims[i];
    return bytes;
}

// The header, padded with spaces to a multiple of 8 bytes.
static char *make_header(const ftc_safetensor *tensors, int32_t n) {
    cJSON *header = cJSON_CreateObject();
    cJSON_AddStringToObject(cJSON_AddObjectToObject(header, "__metadata__"), "format", "pt");
    int64_t at = 0;
    for (int32_t i = 0; i < n; i++) {
        const ftc_safetensor *tensor = &tensors[i];
        cJSON *entry = cJSON_AddObjectToObject(header, tensor->name);
        cJSON_AddStringToObject(entry, "dtype", DTYPES[tensor->dtype].name);
        cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
        for (int32_t d = 0; d < tensor->rank; d++) {
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)tensor->dims[d]));
        }
        cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)at));
        at += tensor_bytes(tensor);
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)at));
    }
    char *text = cJSON_PrintUnformatted(header);
    cJSON_Delete(header);
    char *padded = ftc_format("%-*s", (int)((strlen(text) + 7) / 8 * 8), text);
    free(text);
    return padded;
}

ftc_status ftc_safetensors_write(const char *path, const ftc_safetensor *tensors, int32_t n) {
    char *header = make_header(tensors, n);
    uint64_t header_bytes = strlen(header);
    ftc_file_part *parts = ftc_alloc((size_t)n + 2, sizeof *parts);
    parts[0] = (ftc_file_part){.data = &header_bytes, .bytes = 8};
    parts[1] = (ftc_file_part){.data = header, .bytes = header_bytes};
    for (int32_t i = 0; i < n; i++) {
        parts[i + 2] = (ftc_file_part){
            .data = tensors[i].data, .bytes = (size_t)tensor_bytes(&tensors[i]), .bring = tensors[i].bring};
    }
    ftc_status status = ftc_file_write_parts(path, parts, (size_t)n + 2);
    free(parts);
    free(header);
    return status;
}
