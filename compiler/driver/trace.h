// Where a loss that is not finite comes from.
#ifndef FTC_DRIVER_TRACE_H
#define FTC_DRIVER_TRACE_H

#include "compiler/driver/model.h"
#include "runtime/data/batch.h"
#include "runtime/loop/stepper.h"

// Runs the batch op by op and tells people of the first value that is not finite: what, where in the text
// of the model at `path`, in which kernel, at which coordinates. Allocated; NULL when all values are finite
// (another order of summation may avoid an overflow) or the model's text cannot be run this way.
char *ftc_trace_not_finite(const char *path, const ftc_model_options *options, const ftc_stepper *stepper,
                           const ftc_batch *batch, uint32_t step, uint32_t micro_step);

#endif
