// The bodies of scalar operations (ir/scalar.h) executed at once on arrays of up to FTC_EAGER_LANES cells.
#ifndef FTC_EAGER_SCALAR_H
#define FTC_EAGER_SCALAR_H

#include "compiler/eager/eager.h"
#include "ir/op.h"

#define FTC_EAGER_LANES 256

// A handle points to FTC_EAGER_LANES cells, of which the first `n` of the last reset are computed, rounded up
// to full vectors. Bools are 0 and 1.
typedef struct ftc_eager_lanes ftc_eager_lanes;

ftc_eager_lanes *ftc_eager_lanes_new(void);
void ftc_eager_lanes_free(ftc_eager_lanes *lanes);

// Forgets all handles; the next ones have n lanes.
void ftc_eager_lanes_reset(ftc_eager_lanes *lanes, int n);
ftc_cell *ftc_eager_lanes_take(ftc_eager_lanes *lanes); // a handle to fill

const ftc_scalar_builder *ftc_eager_lanes_builder(ftc_eager_lanes *lanes);

#endif
