#include "runtime/loop/profile.h"

#include "ir/base/alloc.h"

#include <stdlib.h>

void ftc_profile_create(const ftc_program *program, ftc_profile *out) {
    ftc_profile profile = {.program = program};
    int32_t most = 0;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        int32_t n = program->entries[i].n_kernels;
        profile.cycles[i] = ftc_alloc((size_t)n + 1, sizeof *profile.cycles[i]);
        if (n > most) most = n;
    }
    profile.ticks = ftc_alloc((size_t)most + 1, sizeof *profile.ticks);
    *out = profile;
}

void ftc_profile_free(ftc_profile *profile) {
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) free(profile->cycles[i]);
    free(profile->ticks);
    *profile = (ftc_profile){0};
}

void ftc_profile_add(ftc_profile *profile, ftc_entry_kind entry) {
    for (int32_t k = 0; k < profile->program->entries[entry].n_kernels; k++) {
        profile->cycles[entry][k] += (double)(profile->ticks[k + 1] - profile->ticks[k]);
    }
}
