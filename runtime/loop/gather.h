// New values of which each process has made some rows, on their way to all processes while the update and the
// next forward phase go on. Large ones go by themselves; small ones wait until some are together.
#ifndef FTC_RUNTIME_GATHER_H
#define FTC_RUNTIME_GATHER_H

#include "runtime/loop/traffic.h"

typedef struct ftc_gathering ftc_gathering;

// `traffic` outlives it.
ftc_status ftc_gathering_create(ftc_traffic *traffic, ftc_gathering **out);
void ftc_gathering_free(ftc_gathering *gathering);

// As ftc_gather_fn (ir/step_abi.h) says; row_bytes is a multiple of 4.
void ftc_gathering_add(ftc_gathering *gathering, void *values, int64_t rows, int64_t row_bytes);

// The update is over: what waits for others goes now.
void ftc_gathering_send(ftc_gathering *gathering);

// Returns when these values, if they are under way, are there; or all of them. Processes need not do so in
// the same order.
void ftc_gathering_await(ftc_gathering *gathering, const void *values);
void ftc_gathering_await_all(ftc_gathering *gathering);

#endif
