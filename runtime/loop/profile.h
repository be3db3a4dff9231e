// Where the time of steps goes, by kernel, as thread 0's cycle counter saw it.
#ifndef FTC_RUNTIME_PROFILE_H
#define FTC_RUNTIME_PROFILE_H

#include "ir/step_abi.h"

typedef struct {
    const ftc_program *program;
    uint64_t *ticks;                 // where entries write ftc_step_args.ticks: room for any of them
    double *cycles[FTC_ENTRY_COUNT]; // [n_kernels] sums over the calls that were added
} ftc_profile;

void ftc_profile_create(const ftc_program *program, ftc_profile *out);
void ftc_profile_free(ftc_profile *profile);

// Adds the call of `entry` whose ticks were just written.
void ftc_profile_add(ftc_profile *profile, ftc_entry_kind entry);

#endif
