// What the files of maps share.
#ifndef FTC_OPS_MAP_H
#define FTC_OPS_MAP_H

#include "ir/op.h"

ftc_infer_fn ftc_map_infer_float; // of f32 operands, an f32 result

#endif
