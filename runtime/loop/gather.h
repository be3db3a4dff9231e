// New values of which each process has made some rows, on their way to all processes while the update goes
// on. Large ones go by themselves; small ones wait until some are together.
#ifndef FTC_RUNTIME_GATHER_H
#define FTC_RUNTIME_GATHER_H

#include "runtime/loop/traffic.h"

typedef struct ftc_gathering ftc_gathering;

// `traffic` outlives it.
ftc_status ftc_gathering_create(ftc_traffic *traffic, ftc_gathering **out);
void ftc_gathering_free(ftc_gathering *gathering);

// As ftc_gather_fn (ir/step_abi.h) says; row_bytes is a multiple of 4.
void ftc_gathering_add(ftc_gathering *gathering, void *values, int64_t rows, int64_t row_bytes);

#endif
