// Safetensors files: 8 bytes with the length of a JSON header, the header (name → dtype, shape,
// data_offsets), the tensors' bytes. Format: https://huggingface.co/docs/safetensors.
#ifndef FTC_RUNTIME_SAFETENSORS_H
#define FTC_RUNTIME_SAFETENSORS_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FTC_SAFETENSORS_MAX_RANK 8

// Element types; FTC_SAFE_OTHER stands for those that ftc never reads.
typedef enum {
    FTC_SAFE_F32,
    FTC_SAFE_F16,
    FTC_SAFE_BF16,
    FTC_SAFE_F64,
    FTC_SAFE_I32,
    FTC_SAFE_U32,
    FTC_SAFE_OTHER
} ftc_safe_dtype;

// One tensor, row-major. In a file that was read, everything belongs to the file.
typedef struct {
    const char *name;
    ftc_safe_dtype dtype;
    int32_t rank;
    int64_t dims[FTC_SAFETENSORS_MAX_RANK];
    const void *data;
    int64_t bytes;
    bool is_copy; // `data` is no part of a mapped file
    // Of one to be written: NULL, or what brings the values, as ftc_file_part.bring does.
    const void *(*bring)(const void *data);
} ftc_safetensor;

typedef struct ftc_safetensors ftc_safetensors;

// Maps a file and checks its header: valid JSON, and tensors that cover the data without gap or overlap, each
// as long as its shape says.
ftc_status ftc_safetensors_open(const char *path, ftc_safetensors **out);
void ftc_safetensors_close(ftc_safetensors *file);

int32_t ftc_safetensors_count(const ftc_safetensors *file);
// In the order of their data.
const ftc_safetensor *ftc_safetensors_at(const ftc_safetensors *file, int32_t index);
const ftc_safetensor *ftc_safetensors_find(const ftc_safetensors *file, const char *name); // NULL: none
const char *ftc_safetensors_path(const ftc_safetensors *file);

// Converts an F32, F16, BF16 or F64 tensor to `out`, which has room for all of its elements. Pages of `out`
// that hold an F32 tensor's values already are not written: where these are zeros (moments of rows that no
// token has touched), untouched memory stays untouched.
ftc_status ftc_safetensors_read_f32(const ftc_safetensor *tensor, float *out);

// Gives back the memory that reading the tensor of a file took: the file's mapped pages. It can be read
// again.
void ftc_safetensors_release(const ftc_safetensor *tensor);

// Writes a file with metadata {"format": "pt"}, durably. Of each tensor `bytes` is computed.
ftc_status ftc_safetensors_write(const char *path, const ftc_safetensor *tensors, int32_t n);

// "[30522, 384]" into `text` (at least 128 bytes); returns it.
const char *ftc_shape_format(const int64_t *dims, int32_t rank, char *text);

#endif
