// What tests of libftc share: checks of errors, models/mlp.ir as an artifact and examples for it.
#ifndef FTC_TESTS_API_H
#define FTC_TESTS_API_H

#include "compiler/api/ftc.h"
#include "tests/scratch.h"

#define MODEL     FTC_SOURCE_ROOT "/models/mlp.ir"
#define TOKENIZER FTC_SOURCE_ROOT "/models/data/tokenizer"

enum { N = 24, BATCH = 8, LABELS = 5 };

// Asserts success.
#define OK(expr)                                                                                             \
    do {                                                                                                     \
        ftc_error *error_ = (expr);                                                                          \
        cr_assert_null(error_, "%s", ftc_error_message(error_));                                             \
    } while (0)

// Asserts that `expr` fails with this status and a message that contains `text`.
#define FAILS(expr, status, text)                                                                            \
    do {                                                                                                     \
        ftc_error *error_ = (expr);                                                                          \
        cr_assert_not_null(error_);                                                                          \
        cr_assert_eq(ftc_error_status(error_), status);                                                      \
        cr_assert(strstr(ftc_error_message(error_), text), "\"%s\" lacks \"%s\"", ftc_error_message(error_), \
                  text);                                                                                     \
        ftc_error_free(error_);                                                                              \
    } while (0)

static inline ftc_net *open_artifact(void) {
    ftc_net *net;
    OK(ftc_net_open(FTC_TEST_ARTIFACT, NULL, &net));
    return net;
}

static inline ftc_trainer *create(const ftc_net *net, int32_t threads) {
    ftc_trainer *trainer;
    OK(ftc_trainer_create(net, &(ftc_trainer_options){.threads = threads, .seed = 7}, &trainer));
    ftc_trainer_init(trainer);
    return trainer;
}

// N sequences of 3 to 9 tokens, packed; the first token tells the label.
typedef struct {
    int64_t offsets[N + 1];
    int32_t ids[N * 9];
    float labels[N];
} examples;

static inline examples make_examples(void) {
    examples e = {0};
    for (int i = 0; i < N; i++) {
        int64_t at = e.offsets[i];
        int length = 3 + i * 5 % 7;
        e.labels[i] = (float)(i % LABELS);
        for (int k = 0; k < length; k++)
            e.ids[at + k] = k == 0 ? 100 + i % LABELS : 200 + (i * 31 + k * 17) % 300;
        e.offsets[i + 1] = at + length;
    }
    return e;
}

// A loop to vary.
static const ftc_loop_options LOOP = {.epochs = 2,
                                      .max_steps = -1,
                                      .batch = 5,
                                      .accumulation = 2,
                                      .order = "sequential",
                                      .schedule = "constant",
                                      .lr = 1e-3,
                                      .schedule_cycles = -1,
                                      .schedule_power = -1,
                                      .schedule_end = -1,
                                      .schedule_timescale = -1,
                                      .weight_decay = 0.1,
                                      .beta1 = -1,
                                      .beta2 = -1,
                                      .eps = -1,
                                      .momentum = -1,
                                      .max_grad_norm = 1,
                                      .dropout = 0};

static inline void bind(ftc_trainer *trainer, const examples *e, int first, int n) {
    OK(ftc_trainer_bind_packed(trainer, n, e->offsets + first, e->ids, NULL, e->labels + first));
}

static inline void train(ftc_trainer *trainer, const examples *e, int steps) {
    OK(ftc_trainer_set(trainer, "lr", 5e-3));
    for (int i = 0; i < steps; i++) {
        bind(trainer, e, i * BATCH % N, BATCH);
        OK(ftc_trainer_step(trainer));
    }
}

static inline int64_t elements(const ftc_tensor_desc *tensor) {
    int64_t n = 1;
    for (int i = 0; i < tensor->rank; i++) n *= tensor->dims[i];
    return n;
}

// Copies every tensor between two trainers of one net.
static inline void copy_tensors(const ftc_net *net, ftc_trainer *from, ftc_trainer *to) {
    int32_t n;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    for (int32_t i = 0; i < n; i++) {
        memcpy(ftc_trainer_tensor(to, tensors[i].name), ftc_trainer_tensor(from, tensors[i].name),
               (size_t)elements(&tensors[i]) * sizeof(float));
    }
}

static inline void assert_same_tensors(const ftc_net *net, ftc_trainer *a, ftc_trainer *b) {
    int32_t n;
    const ftc_tensor_desc *tensors = ftc_net_tensors(net, &n);
    for (int32_t i = 0; i < n; i++) {
        const char *name = tensors[i].name;
        cr_assert_arr_eq(ftc_trainer_tensor(a, name), ftc_trainer_tensor(b, name),
                         (size_t)elements(&tensors[i]) * sizeof(float), "%s", name);
    }
}

#endif
