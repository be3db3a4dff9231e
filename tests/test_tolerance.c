// `ftc verify`: what it allows.
#include <criterion/criterion.h>

#include "tests/command.h"

#define BEFORE                                                                                               \
    "model m\naxis B <= 8\naxis S ragged B <= 16\naxis V = 40, H = 8, C = 5\n"                               \
    "input ids : i32[B, S] in V from tokens\ninit normal(0.5)\n"                                             \
    "scores = linear(\"out\", mean(embedding(\"words\", ids; V -> H); S); H -> C)\n"

// Where terms cancel, no tolerance fits that is relative to the result: differences are held to what rounding
// does to the very values, and that is told. What does not cancel needs none of it.
Test(verify, tolerates_what_rounding_explains) {
    static const char *const LOSSES[][2] = {
        {"log(sum(exp(scores); C)) - log(sum(exp(scores) * 3; C))", "gradient of out.bias differs by"},
        {"sum((scores * 3000 + 4000000) - 3999999; C)", "loss differs by"},
        {"sum(scores * scores; C)", NULL},
    };
    for (size_t i = 0; i < sizeof LOSSES / sizeof *LOSSES; i++) {
        char *dir = test_directory(), *text;
        cr_assert(asprintf(&text, BEFORE "loss = mean(%s; B)\noutput loss as loss\n", LOSSES[i][0]) > 0);
        write_file(dir, "m.ir", text);
        outcome r = FTC(dir, "verify", "m.ir");
        cr_assert_eq(r.status, 0, "%s%s", r.out, r.err);
        cr_assert_eq(strstr(r.out, "rounding alone moves it by") != NULL, LOSSES[i][1] != NULL, "%s", r.out);
        cr_assert(!LOSSES[i][1] || strstr(r.out, LOSSES[i][1]), "%s", r.out);
        forget(&r);
        free(text);
        scratch_free(dir);
    }
}
