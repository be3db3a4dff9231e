// Compiled programs of another kind of machine, which an emulator of user programs runs: their code is linked
// with tests/foreign_main.c by a cross compiler, and what stands for it here hands each call to that.
#ifndef FTC_TESTS_FOREIGN_H
#define FTC_TESTS_FOREIGN_H

#include "compiler/artifact.h"
#include "compiler/codegen/target.h"

// Skips the test, with a reason, where neither this machine nor an emulator runs code for the target.
void test_skip_unless_runs(const ftc_target *target);

// Whether an emulator is needed.
bool test_is_foreign(const ftc_target *target);

// As ftc_program_take, for a foreign target. Its entries tell nobody of gradients and update all rows.
ftc_loaded_program *test_foreign_take(ftc_compiled *compiled, const ftc_target *target);

#endif
