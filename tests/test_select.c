// Permutations against NumPy's (goldens by tests/tools/make_select_goldens.py), and the choice of rows.
#include "runtime/data/select.h"

#include <string.h>

#include <criterion/criterion.h>

static const struct {
    uint64_t seed;
    size_t n;
    int64_t first[4];
    uint64_t hash;
} permutations[] = {
    {0ull, 4, {2, 0, 1, 3}, 0x3c923740d67a3a6eull},
    {0ull, 5, {2, 4, 3, 0}, 0x88862aac184d32efull},
    {0ull, 1000, {459, 206, 222, 162}, 0xdb6e802bfbbf5068ull},
    {0ull, 65537, {30033, 34725, 12778, 28263}, 0x1a253b94e18b2109ull},
    {1ull, 4, {0, 1, 2, 3}, 0xf9792455c84f1fe2ull},
    {1ull, 5, {4, 0, 1, 2}, 0x37ca184369d9e657ull},
    {1ull, 1000, {705, 649, 543, 927}, 0xb0d1c04247ed859cull},
    {1ull, 65537, {57252, 30778, 6049, 56093}, 0xc90d00cd83aca2ddull},
    {42ull, 4, {3, 2, 1, 0}, 0x5b64ee6a20e9e60aull},
    {42ull, 5, {4, 2, 3, 1}, 0x18afb296e2de0e0bull},
    {42ull, 1000, {978, 933, 859, 916}, 0x84d9db10584bac28ull},
    {42ull, 65537, {53304, 35663, 16109, 34182}, 0x0c110501b44e2e7dull},
    {4294967295ull, 4, {2, 0, 1, 3}, 0x3c923740d67a3a6eull},
    {4294967295ull, 5, {0, 4, 3, 2}, 0x126e56266fdddbb7ull},
    {4294967295ull, 1000, {886, 862, 591, 711}, 0x4231de5ea100bfecull},
    {4294967295ull, 65537, {51413, 27781, 12045, 7745}, 0x604d091a39fcfe8dull},
    {4294967296ull, 4, {3, 0, 2, 1}, 0x3b140dde03a3aeaeull},
    {4294967296ull, 5, {1, 4, 3, 0}, 0xaf42c6afc4cb0b3full},
    {4294967296ull, 1000, {144, 255, 317, 766}, 0xe186c944ab0b1aacull},
    {4294967296ull, 65537, {19706, 37159, 18802, 33228}, 0x20dacd04009d0c61ull},
    {18446744073709551615ull, 4, {0, 1, 2, 3}, 0xf9792455c84f1fe2ull},
    {18446744073709551615ull, 5, {4, 0, 3, 1}, 0x581af8cf87201db3ull},
    {18446744073709551615ull, 1000, {649, 664, 775, 331}, 0x4d289b0a7d4545b8ull},
    {18446744073709551615ull, 65537, {38854, 22451, 12878, 37222}, 0x1be522c77cea7161ull},
    {42ull, 200003, {71038, 107406, 174524, 106824}, 0xc243984209849836ull},
};

Test(select, permutations_as_numpy) {
    for (size_t k = 0; k < sizeof permutations / sizeof *permutations; k++) {
        size_t n = permutations[k].n;
        int64_t *order = malloc(n * sizeof *order);
        ftc_numpy_permutation(permutations[k].seed, n, order);
        uint64_t hash = 0;
        for (size_t i = 0; i < n; i++) hash = hash * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)order[i] + 1;
        cr_expect_arr_eq(order, permutations[k].first, sizeof permutations[k].first, "case %zu", k);
        cr_expect_eq(hash, permutations[k].hash, "case %zu", k);
        free(order);
    }
}

Test(select, nothing_and_one) {
    int64_t order[1] = {7};
    ftc_numpy_permutation(1, 0, order);
    cr_expect_eq(order[0], 7);
    ftc_numpy_permutation(1, 1, order);
    cr_expect_eq(order[0], 0);
}

static void expect_rows(ftc_selection *selection, const int64_t *rows, size_t count) {
    cr_assert_eq(selection->count, count, "%zu rows", selection->count);
    for (size_t i = 0; i < count; i++) cr_expect_eq(selection->rows[i], rows[i]);
    ftc_selection_free(selection);
}

Test(select, rows_in_file_order) {
    ftc_selection train = {0}, test = {0};
    cr_assert_eq(ftc_select_split(6, false, 42, 3, 2, &train, &test).code, FTC_OK);
    expect_rows(&train, (int64_t[]){0, 1, 2}, 3);
    expect_rows(&test, (int64_t[]){3, 4}, 2);
    cr_assert_eq(ftc_select_split(6, false, 42, FTC_SELECT_ALL, 2, &train, &test).code, FTC_OK);
    expect_rows(&train, (int64_t[]){0, 1, 2, 3}, 4);
    expect_rows(&test, (int64_t[]){4, 5}, 2);
    cr_assert_eq(ftc_select_split(3, false, 42, FTC_SELECT_ALL, 0, &train, NULL).code, FTC_OK);
    expect_rows(&train, (int64_t[]){0, 1, 2}, 3);
}

Test(select, shuffled_rows_are_the_permutation_cut) {
    int64_t order[100];
    ftc_numpy_permutation(7, 100, order);
    ftc_selection train = {0}, test = {0};
    cr_assert_eq(ftc_select_split(100, true, 7, 60, 25, &train, &test).code, FTC_OK);
    expect_rows(&train, order, 60);
    expect_rows(&test, order + 60, 25);
}

Test(select, more_rows_than_there_are) {
    static const struct {
        size_t rows, train, test;
        const char *message;
    } cases[] = {
        {10, 11, 0, "11 rows were asked for, but there are 10"},
        {10, 8, 3, "8 rows for training and 3 for testing were asked for, but there are 10"},
        {1, 2, 0, "2 rows were asked for, but there is 1"},
        {1, FTC_SELECT_ALL, 1, "1 row was asked for, but there is 1, and some must"},
        {10, FTC_SELECT_ALL, 10, "some must be left for training"},
        {10, 2, 11, "2 rows for training and 11 for testing"},
        {10, 0, 0, "choose at least 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ftc_selection train = {0}, test = {0};
        ftc_status status =
            ftc_select_split(cases[i].rows, true, 1, cases[i].train, cases[i].test, &train, &test);
        cr_assert_eq(status.code, FTC_BAD_INPUT);
        cr_expect_not_null(strstr(status.message, cases[i].message), "%s", status.message);
        cr_expect_null(train.rows);
        ftc_status_free(&status);
    }
}
