// The laboratory (docs/laboratory.md): programs beside each other.
#include <criterion/criterion.h>

#include "compiler/driver/ratio.h"
#include "tests/command.h"

#define MODEL FTC_SOURCE_ROOT "/models/bert-cls.ir"
#define SMALL                                                                                                \
    "--set", "hidden=32", "--set", "heads=2", "--set", "intermediate=64", "--set", "vocab=500", "--batch",   \
        "4", "--max-length", "32"

// --- ratios -------------------------------------------------------------------------------------------

// Ratios 1 … n in any order: the interval is told by ranks alone. Those of n = 10 and n = 30 are in every
// table of the sign test (2 and 10 from the ends).
Test(ratio, the_interval_is_that_of_the_sign_test) {
    static const struct {
        int64_t n;
        double low, high;
    } CASES[] = {{6, 1, 6}, {8, 1, 8}, {9, 2, 8}, {10, 2, 9}, {30, 10, 21}, {100, 40, 61}};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        double a[100], b[100];
        int64_t n = CASES[c].n;
        for (int64_t i = 0; i < n; i++) {
            a[i] = (double)(i + 1);
            b[i] = a[i] * (double)(i * 7 % n + 1); // 7 and n have no common factor here
        }
        ftc_ratio ratio = ftc_ratio_of_pairs(a, b, n);
        cr_expect_float_eq(ratio.median, (double)(n + 1) / 2, 1e-9, "%g of %d", ratio.median, (int)n);
        cr_expect_float_eq(ratio.low, CASES[c].low, 1e-9, "%g of %d", ratio.low, (int)n);
        cr_expect_float_eq(ratio.high, CASES[c].high, 1e-9, "%g of %d", ratio.high, (int)n);
    }
}

// Random pairs without a difference: the interval misses 1 in less than one of twenty cases.
Test(ratio, of_the_same_times_differ_rarely) {
    enum { TRIALS = 2000, N = 30 };
    int differ = 0;
    uint64_t state = 1;
    for (int t = 0; t < TRIALS; t++) {
        double pairs[2][N];
        for (int i = 0; i < 2 * N; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            double u = (double)(state >> 11) * 0x1p-53;
            pairs[i / N][i % N] = 1 + u * u * u * u * 10; // a busy machine: a long tail
        }
        ftc_ratio ratio = ftc_ratio_of_pairs(pairs[0], pairs[1], N);
        differ += ftc_ratio_differs(&ratio);
    }
    cr_assert_geq(differ, TRIALS * 2 / 100, "%d: the interval is wider than it says", differ);
    cr_assert_leq(differ, TRIALS * 6 / 100, "%d", differ);
}

// --- programs beside each other -----------------------------------------------------------------------

static double number_of(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    cr_assert(cJSON_IsNumber(item), "no number %s", name);
    return item->valuedouble;
}

static void check_ratio(const cJSON *to_first) {
    double low = number_of(to_first, "low"), high = number_of(to_first, "high");
    cr_assert(low > 0 && low <= number_of(to_first, "ratio") && number_of(to_first, "ratio") <= high);
    const cJSON *differs = cJSON_GetObjectItemCaseSensitive(to_first, "differs");
    cr_assert_eq(cJSON_IsTrue(differs), low > 1 || high < 1);
}

Test(laboratory, programs_take_turns, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MODEL, SMALL, "--set", "layers=1", "-o", "one.ftc");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MODEL, SMALL, "--set", "layers=6", "-o", "six.ftc");
    outcome o = FTC(dir, "bench", "one.ftc", "six.ftc", "one.ftc", "--steps", "6", "--kernels", "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cJSON *json = cJSON_Parse(o.out), *sides = cJSON_GetObjectItemCaseSensitive(json, "sides");
    cr_assert_eq(cJSON_GetArraySize(sides), 3, "%s", o.out);
    const cJSON *six = cJSON_GetArrayItem(sides, 1), *again = cJSON_GetArrayItem(sides, 2);
    const cJSON *slower = cJSON_GetObjectItemCaseSensitive(six, "to_first");
    check_ratio(slower);
    check_ratio(cJSON_GetObjectItemCaseSensitive(again, "to_first"));
    cr_expect_gt(number_of(slower, "ratio"), 1, "six layers are as fast as one: %s", o.out);
    // Both have trained, by themselves: the same program from the same start ends where the first did.
    cr_expect_eq(number_of(again, "loss"), number_of(cJSON_GetArrayItem(sides, 0), "loss"));
    cr_expect_neq(number_of(six, "loss"), number_of(again, "loss"));
    const cJSON *lines = cJSON_GetObjectItemCaseSensitive(again, "kernels"), *line;
    cr_assert_gt(cJSON_GetArraySize(lines), 10);
    cJSON_ArrayForEach(line, lines) check_ratio(cJSON_GetObjectItemCaseSensitive(line, "to_first"));
    cJSON_Delete(json);
    forget(&o);
    ASSERT_FTC(dir, 0, out, "| line | phase | one.ftc | ms | six.ftc | ms |", "bench", "one.ftc", "six.ftc",
               "--steps", "6", "--kernels");
    ASSERT_FTC(dir, 2, err, "--steps 5: to compare, at least 6", "bench", "one.ftc", "six.ftc", "--steps",
               "5");
    ASSERT_FTC(dir, 2, err, "none.ftc", "bench", "one.ftc", "none.ftc", "--steps", "6");
    scratch_free(dir);
}

// --- graphs that somebody has changed -----------------------------------------------------------------

static const char MLP[] = FTC_SOURCE_ROOT "/models/mlp.ir";

// The loss at the end of a run of the artifact.
static double trained_loss(const char *dir, const char *artifact) {
    outcome o = FTC(dir, "run", artifact, "--max-steps", "4", "--metrics", "m.jsonl", "--threads", "1",
                    "--train", FTC_SOURCE_ROOT "/models/data/reviews-train.csv", "--tokenizer",
                    FTC_SOURCE_ROOT "/models/data/tokenizer", "--output", "out", "--overwrite",
                    "--logging-steps", "1");
    cr_assert_eq(o.status, 0, "%s%s", o.out, o.err);
    forget(&o);
    return metric(dir, "loss");
}

static void replace_in(const char *dir, const char *file, const char *old, const char *new) {
    char *path = ftc_path_join(dir, file), *text = NULL, *result = NULL;
    size_t bytes;
    ASSERT_OK(ftc_file_read(path, &text, &bytes));
    const char *at = strstr(text, old);
    cr_assert(at, "\"%s\" is not in %s", old, file);
    if (asprintf(&result, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) < 0) abort();
    write_file(dir, file, result);
    free(result);
    free(text);
    free(path);
}

// As it is a dump trains to the same loss; changed, to another. The artifact says so, and carries it on to
// where it is compiled again.
Test(laboratory, artifacts_remember_their_graphs, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MLP, "-o", "own.ftc", "--dump-after", "all", "--dump-dir",
               "dumps");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MLP, "--graph", "step=dumps/09-dce.ir", "-o", "same.ftc");
    replace_in(dir, "dumps/09-dce.ir", " = normal_cdf(", " = tanh(");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MLP, "--graph", "step=dumps/09-dce.ir", "-o", "other.ftc");
    double loss = trained_loss(dir, "own.ftc");
    cr_expect_eq(trained_loss(dir, "same.ftc"), loss);
    cr_expect_neq(trained_loss(dir, "other.ftc"), loss);
    ASSERT_FTC(dir, 0, out, "graph of step      from a dump", "inspect", "other.ftc");
    ASSERT_FTC(dir, 2, err, "the artifact's graph of step:", "bench", "other.ftc", "--batch", "1000");
    ASSERT_FTC(dir, 2, err, "--graph steps=x: expected ENTRY=FILE", "compile", MLP, "--graph", "steps=x");
    ASSERT_FTC(dir, 2, err, "this is a graph of step, it was given for eval", "compile", MLP, "--graph",
               "eval=dumps/10-scalars.ir");
    scratch_free(dir);
}

// --- explanations -------------------------------------------------------------------------------------

#define TINY FTC_SOURCE_ROOT "/docs/tiny.ir"

// What the step of docs/tiny.ir is made of, and every reason that it has for a kernel to end.
Test(laboratory, explain_says_why_kernels_end, .timeout = 240) {
    static const char *const SAID[] = {
        "dot2: dot rows(B) cols(H), forward phase, line 10, behind a barrier\n",
        " tanh         f32[B, H]                                line 10\n",
        "line 11, made again for the backward phase, also in dot2\n",
        "    reads  param \"hidden\" f32[X, H]\n",
        "    writes %39, the output loss\n",
        "    writes moment \"out.exp_avg\"\n",
        "    ends   at %30 for dot3: the contraction %31 reads each cell many times\n",
        "    ends   at %34 for columns4: sum %36 goes across what the threads share here\n",
        "    ends   at %45 for rows6: ",
        "48 FLOP, 136 B, 0.353 FLOP a byte: ",
        ", bound by memory\n",
    };
    char *dir = test_directory();
    outcome o = FTC(dir, "explain", TINY, "--threads", "1");
    cr_assert_eq(o.status, 0, "%s", o.err);
    for (size_t i = 0; i < sizeof SAID / sizeof *SAID; i++)
        cr_expect(strstr(o.out, SAID[i]), "\"%s\" is not in:\n%s", SAID[i], o.out);
    forget(&o);
    o = FTC(dir, "explain", TINY, "--kernel", "dot7", "--threads", "1");
    cr_expect(strstr(o.out, "\ndot7: ") && !strstr(o.out, "\ndot3: "), "%s", o.out);
    forget(&o);
    ASSERT_FTC(dir, 2, err, "--kernel dot99: there is none of this name", "explain", TINY, "--kernel",
               "dot99");
    scratch_free(dir);
}

// What follows a product, in a kernel of its own: another schedule, the same numbers.
Test(laboratory, kernels_may_be_taken_apart, .timeout = 240) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "step 15,", "compile", MLP, "-o", "own.ftc", "--dump-after", "fuse", "--dump-dir",
               "dumps");
    replace_in(dir, "dumps/15-fuse.ir", "    %51 = mul(",
               "}\nkernel apart rows rows(B) cols(C) {\n    %51 = mul(");
    ASSERT_FTC(dir, 0, out, "step 16,", "compile", MLP, "--graph", "step=dumps/15-fuse.ir", "-o",
               "apart.ftc");
    cr_expect_float_eq(trained_loss(dir, "apart.ftc"), trained_loss(dir, "own.ftc"), 1e-6);
    scratch_free(dir);
}

// A product that becomes a sum within a tile: read from a dump, it is the tile that it was.
static const char TAKEN_APART[] =
    "model pairs\n"
    "axis B <= 5, S ragged B <= 7, N <= 4, U ragged N <= 6, D = 3\n"
    "input a : f32[B, S, D]\ninput b : f32[N, U, D]\n"
    "q = a * param \"q\" f32[D] init ones\nd = b * param \"d\" f32[D] init ones\n"
    "loss = sum(max(dot(q, d; D); U); S, B, N)\noutput loss as loss\n";

Test(laboratory, tiles_of_products_are_read_from_dumps, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "pairs.ir", TAKEN_APART);
    ASSERT_FTC(dir, 0, out, "wrote", "compile", "pairs.ir", "-o", "own.ftc", "--dump-after", "all",
               "--dump-dir", "dumps");
    static const char *const DUMPS[] = {"step=dumps/14-lower.ir", "step=dumps/15-fuse.ir",
                                        "step=dumps/17-plan.ir"};
    for (size_t i = 0; i < sizeof DUMPS / sizeof *DUMPS; i++)
        ASSERT_FTC(dir, 0, out, "wrote", "compile", "pairs.ir", "--graph", DUMPS[i], "-o", "again.ftc");
    // On standard output there is nothing else.
    outcome o = FTC(dir, "compile", "pairs.ir", "-o", "own.ftc", "--dump-after", "fuse");
    cr_expect(strstr(o.err, "wrote own.ftc") && !strstr(o.out, "wrote"), "%s", o.out);
    write_file(dir, "fuse.ir", o.out);
    forget(&o);
    ASSERT_FTC(dir, 0, out, "wrote", "compile", "pairs.ir", "--graph", "step=fuse.ir", "-o", "again.ftc");
    scratch_free(dir);
}

// --- schedules ----------------------------------------------------------------------------------------

static int count_in(const char *text, const char *what) {
    int n = 0;
    for (; (text = strstr(text, what)); text++) n++;
    return n;
}

// Each edit makes other kernels, of the same numbers.
Test(laboratory, edits_of_the_schedule_find_their_kernels, .timeout = 240) {
    static const struct {
        const char *edit, *kernel;
        int more; // kernels of this kind
    } CASES[] = {
        {"tile attention: block 8", "block(S, 8)", 2},
        {"tile *: block 16 // all of them\n\n", "block(S, 16)", 2},
        {"dot *.intermediate: no epilogue", "kernel rows", 2},
        {"dot *.intermediate: recomputed", "I] recompute", 2},
        {"attention: stored", "kernel tile", 2},
    };
    char *dir = test_directory();
    outcome own = FTC(dir, "compile", MODEL, SMALL, "--set", "layers=2", "--emit", "kernels");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        write_file(dir, "edits", CASES[i].edit);
        outcome o = FTC(dir, "compile", MODEL, SMALL, "--set", "layers=2", "--kernel-schedule", "edits",
                        "--emit", "kernels");
        cr_assert_eq(o.status, 0, "%s", o.err);
        int more = count_in(o.out, CASES[i].kernel) - count_in(own.out, CASES[i].kernel);
        cr_expect_geq(more, CASES[i].more, "%s: %d more of %s", CASES[i].edit, more, CASES[i].kernel);
        forget(&o);
        ASSERT_FTC(dir, 0, out, "output", "verify", MODEL, SMALL, "--set", "layers=2", "--kernel-schedule",
                   "edits");
    }
    forget(&own);
    // The artifact keeps it, also where it is compiled again.
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MODEL, SMALL, "--kernel-schedule", "edits", "-o", "own.ftc");
    ASSERT_FTC(dir, 0, out, "\nedit of schedule   attention: stored\n", "inspect", "own.ftc");
    // Also where it changes nothing then: 64 rows are not more than 32.
    write_file(dir, "edits", "tile attention: block 64");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MODEL, SMALL, "--max-length", "64", "--kernel-schedule",
               "edits", "-o", "long.ftc");
    ASSERT_FTC(dir, 0, err, "compiled long.ftc again", "bench", "long.ftc", "--set", "max_length=32",
               "--steps", "1");
    outcome manifest = FTC(dir, "inspect", "own.ftc", "--graph");
    cr_expect(strstr(manifest.out, "kernel tile"));
    forget(&manifest);
    scratch_free(dir);
}

Test(laboratory, edits_of_the_schedule_that_find_nothing_are_refused, .timeout = 120) {
    static const char *const CASES[][2] = {
        {"dot *.nothing: recomputed", "matches no kernel; there are products with: "},
        {"// so\n dot *.nothing: recomputed", "edits:2:2: error: `dot *.nothing: recomputed` matches no"},
        {"dot *.intermediate: stored", "edits:1:1: error: `dot *.intermediate: stored` changes nothing: the "
                                       "kernels are the same"},
        {"tile *: block 16\ntile attention: block 16",
         "edits:2:1: error: `tile attention: block 16` changes nothing"},
        {"dot *.query: forgotten", "`dot PATTERN: recomputed`"},
        {"dot *.nothing: no epilogue", "matches no kernel; there are products with: "},
        {"tile attention: block 0", "edits:1:1: error: `tile attention: block 0`: expected `tile attention"},
        {"\n  attention stored // so\n", "\n    attention stored // so\n    ^\n"},
        {"dot : no epilogue", "expected"},
        {"tile attention: block 64 rows", "expected"},
    };
    char *dir = test_directory();
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        write_file(dir, "edits", CASES[i][0]);
        ASSERT_FTC(dir, 2, err, CASES[i][1], "compile", MODEL, SMALL, "--kernel-schedule", "edits");
    }
    write_file(dir, "edits", "attention: stored");
    ASSERT_FTC(dir, 2, err, "`attention: stored` matches no kernel", "compile", MLP, "--kernel-schedule",
               "edits");
    ASSERT_FTC(dir, 2, err, "none", "compile", MLP, "--kernel-schedule", "none");
    scratch_free(dir);
}

// --- the picture --------------------------------------------------------------------------------------

// One page that needs nothing but itself, with what is known of each kernel.
Test(laboratory, an_artifact_is_shown_as_one_page, .timeout = 120) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MLP, "-o", "mlp.ftc");
    ASSERT_FTC(dir, 0, out, "wrote page.html", "view", "mlp.ftc", "-o", "page.html", "--threads", "1");
    char *path = ftc_path_join(dir, "page.html"), *page = NULL;
    size_t bytes;
    ASSERT_OK(ftc_file_read(path, &page, &bytes));
    free(path);
    cr_expect(!strstr(page, "src=") && !strstr(page, "href=") && !strstr(page, "import "),
              "it asks for other files");
    char *data = strstr(page, "const data = {"), *end = data ? strstr(data, "};\n") : NULL;
    cr_assert(data && end && !strstr(page, "/*DATA*/"));
    end[1] = '\0';
    cJSON *json = cJSON_Parse(data + strlen("const data = "));
    cr_assert(json, "the page's data are no JSON");
    const cJSON *kernels = cJSON_GetObjectItemCaseSensitive(json, "kernels"), *kernel;
    outcome o = FTC(dir, "inspect", "mlp.ftc", "--graph");
    cr_expect_eq(cJSON_GetArraySize(kernels), count_in(o.out, "\nkernel "));
    forget(&o);
    cJSON_ArrayForEach(kernel, kernels) {
        cr_expect(strstr(cJSON_GetObjectItemCaseSensitive(kernel, "nodes")->valuestring, " = "));
        cr_expect_geq(number_of(kernel, "interval"), 1);
    }
    cr_expect_gt(number_of(json, "gflops"), 0);
    double memory = number_of(json, "gigabytes"), cache = number_of(json, "l2_gigabytes");
    cr_expect_gt(cache, 1.5 * memory, "L2 gives %g GB/s, memory %g: is it the loop that is measured?", cache,
                 memory);
    cr_expect(strstr(cJSON_GetObjectItemCaseSensitive(json, "source")->valuestring, "model mlp"));
    cJSON_Delete(json);
    free(page);
    ASSERT_FTC(dir, 2, err, "not an artifact", "view", MLP);
    ASSERT_FTC(dir, 2, err, "none.ftc", "view", "none.ftc");
    ASSERT_FTC(dir, 2, err, "expected one artifact", "view");
    scratch_free(dir);
}

// A graph that takes the place of an entry's is verified like the model's own.
Test(laboratory, a_graph_is_verified, .timeout = 120) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "wrote", "compile", MLP, "--entry", "grad", "--dump-after", "dce", "--dump-dir",
               "dumps", "-o", "mlp.ftc");
    ASSERT_FTC(dir, 0, out, "compiled", "verify", MLP, "--graph", "grad=dumps/09-dce.ir");
    replace_in(dir, "dumps/09-dce.ir", "normal_cdf(", "tanh(");
    ASSERT_FTC(dir, 1, err, "differ by more than rounding", "verify", MLP, "--graph", "grad=dumps/09-dce.ir");
    scratch_free(dir);
}
