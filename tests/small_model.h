// The small model that tests of the command compile and train, on the corpus of models/data.
//
// All tests have one timeout: Criterion loses memory, which LeakSanitizer finds, where the timeouts of a
// suite differ.
#ifndef FTC_TESTS_SMALL_MODEL_H
#define FTC_TESTS_SMALL_MODEL_H

#include "tests/command.h"

static const char MODEL[] = FTC_SOURCE_ROOT "/models/bert-cls.ir";
static const char TRAIN[] = FTC_SOURCE_ROOT "/models/data/reviews-train.csv";
static const char TEST[] = FTC_SOURCE_ROOT "/models/data/reviews-test.csv";
static const char TOKENIZER[] = FTC_SOURCE_ROOT "/models/data/tokenizer";

#define SMALL "--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"

static inline void compile_small(const char *dir) {
    ASSERT_FTC(dir, 0, out, "", "compile", MODEL, SMALL, "-o", "small.ftc");
}

#endif
