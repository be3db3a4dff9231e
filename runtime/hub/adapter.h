// Adapters as PEFT saves them (low-rank adaptation, LoRA): a directory with adapter_config.json, which names
// the directory of a base model, and adapter_model.safetensors, which holds what was trained. Their
// parameters are "MODULE.lora_A.weight" [rank, in] and "MODULE.lora_B.weight" [out, rank]; MODULE.weight
// [out, in] acts as if lora_alpha / lora_rank B A were added to it.
#ifndef FTC_RUNTIME_ADAPTER_H
#define FTC_RUNTIME_ADAPTER_H

#include "ir/step_abi.h"
#include "runtime/status.h"

#include <stdbool.h>

// What names of a base model's tensors have before them in the file of an adapter.
extern const char FTC_ADAPTER_PREFIX[];

// Whether a directory holds an adapter.
bool ftc_adapter_is(const char *dir);

typedef struct {
    char *base;       // the base model's directory, which is there
    char *modules;    // target_modules: "query, value"
    const char *task; // the family's task; NULL: its first one
    double rank, alpha, dropout;
} ftc_adapter;

// Reads DIR/adapter_config.json; refuses by name what is no plain LoRA, and a base model that is not there.
ftc_status ftc_adapter_read(const char *dir, ftc_adapter *out);
void ftc_adapter_free(ftc_adapter *adapter);

// The directory that config.json, tokenizer and weights are taken from where `dir` has none: the base model
// of an adapter, else `dir` itself. Allocated.
ftc_status ftc_adapter_base(const char *dir, char **base);

// Whether a parameter is one of an adapter, by its name; whether the program has some.
bool ftc_adapter_owns(const char *parameter);
bool ftc_adapter_in(const ftc_program *program);

// What is multiplied with B A: lora_alpha / lora_rank of its train block.
double ftc_adapter_scale(const ftc_program *program);

// Writes adapter_config.json for the program's adapters of the model in `base`.
ftc_status ftc_adapter_write(const ftc_program *program, const char *base, const char *path);

#endif
