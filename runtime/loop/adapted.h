// What a model with adapters (runtime/hub/adapter.h) is saved as: the adapters alone, or a model without any.
#ifndef FTC_RUNTIME_ADAPTED_H
#define FTC_RUNTIME_ADAPTED_H

#include "runtime/loop/model_state.h"

// Writes adapter_model.safetensors: the parameters that train, and those that the weights of the base model
// in directory `base` lack.
ftc_status ftc_adapted_save(const ftc_model_state *state, const char *base, const char *path);

// Writes model.safetensors of the model without adapters, which are added to the weights that they belong to.
ftc_status ftc_adapted_save_merged(const ftc_model_state *state, const char *path);

#endif
