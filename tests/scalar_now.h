// A scalar builder that computes at once, in f32 and i32 as the emitted code does.
#ifndef FTC_TESTS_SCALAR_NOW_H
#define FTC_TESTS_SCALAR_NOW_H

#include <stdbool.h>

#include "ir/scalar.h"

extern const ftc_scalar_builder test_scalar_now;

// Values in and out; a value is valid until the next reset. Asserts that handles are of the type that is
// asked for.
void test_scalar_reset(void);
ftc_scalar test_scalar_f32(float x);
ftc_scalar test_scalar_i32(int32_t x);
ftc_scalar test_scalar_bool(bool x);
float test_f32_of(ftc_scalar x);
int32_t test_i32_of(ftc_scalar x);
bool test_bool_of(ftc_scalar x);

#endif
