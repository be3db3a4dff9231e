// What the processes that train together must have in common: where one differs, it computes something else,
// or waits for an exchange that the others do not make.
#ifndef FTC_RUNTIME_AGREE_H
#define FTC_RUNTIME_AGREE_H

#include "runtime/loop/train.h"

// To be called by all processes before the first step, with the weights at hand and so many steps done. Fails
// in those that differ from the first one.
ftc_status ftc_agree(const ftc_training *training, const ftc_world *world, const ftc_train_identity *identity,
                     const ftc_schedule *schedule, const ftc_stepper *stepper, int64_t steps_done);

#endif
