// Tensors of files that torch.save wrote (pytorch_model.bin): a zip with a pickle, or, before PyTorch 1.6,
// pickles one after the other. Nothing of a file is executed: the pickles may hold dictionaries of tensors,
// and what else they ask for is refused by name (runtime/hub/pickle.h).
//
// PyTorch never compresses the members of its zips and aligns them, so tensors are read where they lie in the
// mapped file; a library for zips would copy each of them.
#ifndef FTC_RUNTIME_TORCH_FILE_H
#define FTC_RUNTIME_TORCH_FILE_H

#include "runtime/hub/safetensors.h"
#include "runtime/status.h"

#include <stdint.h>

typedef struct ftc_torch_file ftc_torch_file;

// Maps the file and finds its tensors, each checked against its storage.
ftc_status ftc_torch_file_open(const char *path, ftc_torch_file **out);
void ftc_torch_file_close(ftc_torch_file *file);

int32_t ftc_torch_file_count(const ftc_torch_file *file);
const ftc_safetensor *ftc_torch_file_at(const ftc_torch_file *file,
                                        int32_t index); // in the order of the pickle

#endif
