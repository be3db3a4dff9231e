// Which values --precision bf16 keeps in bf16: asked by remat, which counts their bytes, and by the pass
// itself.
#ifndef FTC_PRECISION_H
#define FTC_PRECISION_H

#include "ir/graph.h"

// By node: whether an f32 value of the forward phase becomes bf16 if it is kept for a later phase. To be
// freed.
bool *ftc_precision_find_narrow(const ftc_graph *g);

#endif
