// bfloat16, the upper half of a float's bits.
#ifndef FTC_BASE_BF16_H
#define FTC_BASE_BF16_H

#include <stdint.h>
#include <string.h>

// The nearest one, of two as near the even one: off by 2⁻⁹ of the value at most, where that is no subnormal
// number. What is beyond the largest becomes infinite.
static inline uint16_t ftc_bf16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return (uint16_t)(bits >> 16 | 0x40); // stays no number
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float ftc_bf16_value(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
