// A program of one compiled model: takes a call (tests/foreign_call.h) from standard input, makes it, looks
// at the ticks of its kernels, and writes what tensors and outputs are then to standard output. It needs libc
// and the model's object.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/step_abi.h"
#include "tests/foreign_call.h"

// Those that the model has.
__attribute__((weak)) ftc_entry_fn ftc_step, ftc_grad, ftc_update, ftc_eval;

typedef struct {
    void *data;
    int64_t bytes;
} block;

static void take(void *to, size_t bytes) {
    if (fread(to, 1, bytes, stdin) == bytes) return;
    fprintf(stderr, "the call is cut short\n");
    exit(1);
}

// Memory full of NaN with slack behind it.
static void *memory(int64_t bytes) {
    size_t size = ((size_t)bytes + FTC_STEP_SLACK_BYTES) / FTC_PAGE_BYTES * FTC_PAGE_BYTES + FTC_PAGE_BYTES;
    void *data = aligned_alloc(FTC_PAGE_BYTES, size);
    if (!data) exit(1);
    return memset(data, 0xff, size);
}

static block take_block(void) {
    block b = {0};
    take(&b.bytes, sizeof b.bytes);
    if (b.bytes < 0) return b;
    b.data = memory(b.bytes);
    take(b.data, (size_t)b.bytes);
    return b;
}

static block *take_list(int64_t n, void ***pointers) {
    block *list = calloc((size_t)n + 1, sizeof *list);
    *pointers = calloc((size_t)n + 1, sizeof **pointers);
    for (int64_t i = 0; i < n; i++) list[i] = take_block(), (*pointers)[i] = list[i].data;
    return list;
}

static void give_list(const block *list, int64_t n) {
    for (int64_t i = 0; i < n; i++) fwrite(list[i].data, 1, (size_t)list[i].bytes, stdout);
}

static foreign_call call;
static ftc_step_args args;
static pthread_barrier_t barrier;

static void wait_for_all(void *context, int32_t thread) {
    (void)thread;
    pthread_barrier_wait(context);
}

static void *enter(void *thread) {
    ftc_entry_fn *const entries[] = {ftc_step, ftc_grad, ftc_update, ftc_eval};
    entries[call.entry](&args, *(int32_t *)thread, (int32_t)call.threads);
    return NULL;
}

int main(void) {
    void **tensors, **inputs, **outputs, **offsets, **prefixes;
    take(&call, sizeof call);
    block scalars = take_block(), extents = take_block(), first_slots = take_block();
    args = (ftc_step_args){.scalars = scalars.data,
                           .extents = extents.data,
                           .first_slots = first_slots.data,
                           .seed = call.seed,
                           .step = call.step,
                           .micro_step = call.micro_step,
                           .arena = memory(call.arena_bytes),
                           .barrier = wait_for_all,
                           .barrier_context = &barrier,
                           .slice = FTC_ALL_ROWS};
    block *tensor_blocks = take_list(call.n_tensors, &tensors);
    take_list(call.n_inputs, &inputs);
    block *output_blocks = take_list(call.n_outputs, &outputs);
    take_list(call.n_extents, &offsets);
    take_list(call.n_counts, &prefixes);
    args.ticks = calloc((size_t)call.n_kernels + 1, sizeof *args.ticks);
    args.tensors = tensors;
    args.inputs = (const void *const *)inputs;
    args.outputs = outputs;
    args.offsets = (const int32_t *const *)offsets;
    args.prefixes = (const int64_t *const *)prefixes;
    pthread_barrier_init(&barrier, NULL, (unsigned)call.threads);
    pthread_t *workers = calloc((size_t)call.threads, sizeof *workers);
    int32_t *numbers = calloc((size_t)call.threads, sizeof *numbers);
    for (int32_t i = 1; i < call.threads; i++) {
        numbers[i] = i;
        if (pthread_create(&workers[i], NULL, enter, &numbers[i]) != 0) return 1;
    }
    enter(&numbers[0]);
    for (int32_t i = 1; i < call.threads; i++) pthread_join(workers[i], NULL);
    for (int64_t i = 0; i < call.n_kernels; i++)
        if (!args.ticks[i] || args.ticks[i] > args.ticks[i + 1]) {
            fprintf(stderr, "the counter goes from %llu to %llu in kernel %lld\n",
                    (unsigned long long)args.ticks[i], (unsigned long long)args.ticks[i + 1], (long long)i);
            return 1;
        }
    give_list(tensor_blocks, call.n_tensors);
    give_list(output_blocks, call.n_outputs);
    return fflush(stdout) != 0;
}
