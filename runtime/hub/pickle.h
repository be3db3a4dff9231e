// Pickles of tensors, read by a machine that executes nothing: it knows the opcodes that torch.save writes,
// and these names: OrderedDict, the functions that make tensors and parameters, the classes of storages.
#ifndef FTC_RUNTIME_PICKLE_H
#define FTC_RUNTIME_PICKLE_H

#include "runtime/hub/safetensors.h"
#include "runtime/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ftc_pickle ftc_pickle;

// Reads the pickle at the start of `data`; *consumed is its length. `path`, for messages, and `data` must
// live as long as the pickle.
ftc_status ftc_pickle_read(const char *path, const char *data, size_t size, ftc_pickle **out,
                           size_t *consumed);
void ftc_pickle_free(ftc_pickle *pickle);

// A tensor of a dictionary: elements of a storage, which is a member of the file.
typedef struct {
    const char *name, *storage; // the storage's key
    const char *storage_class;  // "FloatStorage"
    ftc_safe_dtype dtype;
    int32_t element_bytes;
    int64_t storage_elements; // of the whole storage
    int64_t offset;           // of the first element
    int32_t rank;
    int64_t dims[FTC_SAFETENSORS_MAX_RANK], strides[FTC_SAFETENSORS_MAX_RANK]; // in elements
} ftc_pickle_tensor;

// The tensors of the dictionary that the pickle is, [*n]; other values of it are passed over. Fails when it
// is none, or has no tensor. The list belongs to the pickle.
ftc_status ftc_pickle_tensors(ftc_pickle *pickle, const ftc_pickle_tensor **out, int32_t *n);

// The texts of the list that the pickle is; NULL behind the last, or when it is no list of texts.
const char *ftc_pickle_text(const ftc_pickle *pickle, size_t index);

// Element bytes of a storage that some tensor of the pickle lies in; 0: no such storage. With its elements.
int32_t ftc_pickle_storage(const ftc_pickle *pickle, const char *key, int64_t *elements);

#endif
