// Why the kernels of an entry are what they are: what `ftc explain` and ftc_trainer_explain tell.
#ifndef FTC_DRIVER_EXPLANATION_H
#define FTC_DRIVER_EXPLANATION_H

#include <stdio.h>

#include "ir/graph.h"
#include "ir/step_abi.h"
#include "runtime/loop/threads.h"

typedef struct {
    const ftc_graph *g; // of the entry, planned; the caller's, as the program
    const ftc_program *program;
    ftc_entry_kind entry;
    int32_t threads;
    double *counts;           // at the bounds
    double gflops, gigabytes; // a second, what the machine can do
    ftc_id *repeats;
} ftc_explanation;

// Measures the peaks of the pool's threads.
ftc_explanation ftc_explanation_make(const ftc_graph *g, const ftc_program *program, ftc_entry_kind entry,
                                     ftc_threads *threads);
void ftc_explanation_free(ftc_explanation *explanation);

// Of kernel k (from 1): its operations with their lines, what it reads, where it ends and why, what it costs.
void ftc_explain_kernel(const ftc_explanation *explanation, uint32_t k, FILE *f);

// What the machine can do, and the kernel of this name; NULL: every kernel. False where there is none of it.
bool ftc_explain(const ftc_explanation *explanation, const char *kernel, FILE *f);

#endif
