// What a kernel of your own is called with (docs/kernels.md): a function
//
//     void NAME(const ftc_kernel_args *args)
//
// that a model names (`fn f(x, w; A) extern "NAME" { … }`) and `ftc compile --kernel FILE` is given. Every
// thread of the step calls it, with a `thread` of its own; all of them have returned before anybody reads a
// result.
//
// This header alone is needed to write one. Including it marks the object with the version of this interface.
#ifndef FTC_KERNEL_ABI_H
#define FTC_KERNEL_ABI_H

#include <stdint.h>

#define FTC_KERNEL_ABI_VERSION 2
#define FTC_KERNEL_ABI_SYMBOL  "ftc_kernel_abi_2"
#define FTC_KERNEL_MOST        16     // operands, results
#define FTC_KERNEL_AXES        8      // of an operand or result
#define FTC_KERNEL_SCRATCH     262144 // bytes of ftc_kernel_args.scratch

// Objects of another version lack it.
static const int32_t ftc_kernel_abi_2 __attribute__((used)) = FTC_KERNEL_ABI_VERSION;

typedef enum {
    FTC_KERNEL_F32,
    FTC_KERNEL_BF16,
    FTC_KERNEL_I32,
    FTC_KERNEL_U32,
    FTC_KERNEL_BOOL, // a byte, 0 or 1
} ftc_kernel_dtype;

// Position p of the axis lies p * stride elements behind position 0; of an axis that another axis of the
// tensor is ragged over (is_batch), offsets[p] * stride.
typedef struct {
    int64_t size;   // positions; of a ragged axis the sum of the lengths
    int64_t stride; // in elements
    const int32_t
        *offsets; // ragged, is_batch: prefix sums; element e has offsets[e + 1] - offsets[e] positions
    int32_t is_ragged, is_batch;
} ftc_kernel_axis;

// First the axes that the function does not name: the batch axis, those ragged over it, others. Then those
// that it names behind `;`, in its order, where the tensor has them.
typedef struct {
    void *data; // aligned to 64 bytes where the compiler made it; NULL: a result that nobody reads
    int32_t dtype, n_axes;
    ftc_kernel_axis axes[FTC_KERNEL_AXES];
} ftc_kernel_tensor;

typedef struct {
    int32_t thread, threads; // 0 <= thread < threads
    int32_t n_operands, n_results;
    // Waits until all threads are here: barrier(barrier_context, thread). All must call it equally often.
    void (*barrier)(void *context, int32_t thread);
    void *barrier_context;
    char *
        scratch; // FTC_KERNEL_SCRATCH bytes of this thread, aligned to 64; what is in them is lost afterwards
    // [n_operands] to be read: in the order of the text; a number is an operand without axes
    ftc_kernel_tensor operands[FTC_KERNEL_MOST];
    // [n_results] to be written, every cell: result 0 is the function's value; in gradient text the results
    // are the gradients that name this kernel, in the order of the text
    ftc_kernel_tensor results[FTC_KERNEL_MOST];
} ftc_kernel_args;

typedef void ftc_kernel_fn(const ftc_kernel_args *args);

#endif
