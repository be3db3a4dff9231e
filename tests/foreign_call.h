// How a call is handed to a program on another machine: this, then blocks, each as its size in bytes
// (int64_t, -1: NULL) and its bytes. Back come the blocks of tensors and outputs.
//
//     scalars, extents, first_slots, then lists: tensors, inputs, outputs, offsets, prefixes
#ifndef FTC_TESTS_FOREIGN_CALL_H
#define FTC_TESTS_FOREIGN_CALL_H

#include <stdint.h>

typedef struct {
    int64_t entry, threads, arena_bytes; // entry: ftc_entry_kind; the arena with each thread's scratch
    int64_t n_kernels, n_tensors, n_inputs, n_outputs, n_extents, n_counts;
    uint64_t seed;
    uint32_t step, micro_step;
} foreign_call;

#endif
