// The weights of a Hugging Face directory, whatever files they lie in: model.safetensors, its shards, or what
// PyTorch wrote.
#ifndef FTC_RUNTIME_WEIGHTS_H
#define FTC_RUNTIME_WEIGHTS_H

#include "runtime/hub/safetensors.h"
#include "runtime/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ftc_weights ftc_weights;

// Opens the first of these that the directory has: model.safetensors, model.safetensors.index.json with its
// shards, pytorch_model.bin, pytorch_model.bin.index.json with its shards. A tensor that two shards have is
// an error. Of an adapter's directory (runtime/hub/adapter.h) the tensors of the base model with those of
// the adapter in their place and beside them, by the base model's names.
ftc_status ftc_weights_open(const char *dir, ftc_weights **out);

// Opens one file of safetensors.
ftc_status ftc_weights_open_file(const char *path, ftc_weights **out);
void ftc_weights_close(ftc_weights *weights);

int32_t ftc_weights_count(const ftc_weights *weights);
const ftc_safetensor *ftc_weights_at(const ftc_weights *weights, int32_t index);      // by file, then address
const ftc_safetensor *ftc_weights_find(const ftc_weights *weights, const char *name); // NULL: none
bool ftc_weights_have_adapter(const ftc_weights *weights); // tensors of one are among them
const char *ftc_weights_path(const ftc_weights *weights);  // of the file, of several the index

#endif
