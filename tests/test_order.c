// The order of the examples against torch.randperm and Trainer's data loaders:
// tests/golden/parity/orders.json, made by tests/parity/make_orders.py.
#include "runtime/data/order.h"
#include "runtime/data/torch_random.h"
#include "tests/scratch.h"

#include <cjson/cJSON.h>

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    cr_assert_not_null(item, "the golden lacks %s", name);
    return item;
}

static uint64_t number(const cJSON *object, const char *name) {
    return (uint64_t)member(object, name)->valuedouble;
}

static cJSON *read_golden(void) {
    char *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(FTC_SOURCE_ROOT "/tests/golden/parity/orders.json", &text, &bytes));
    cJSON *golden = cJSON_Parse(text);
    cr_assert_not_null(golden);
    free(text);
    return golden;
}

// Compares n indices with the first of them, and a hash of all.
static void expect_order(const int64_t *order, int64_t n, const cJSON *golden, const char *what) {
    int64_t i = 0;
    const cJSON *first;
    cJSON_ArrayForEach(first, member(golden, "first")) {
        cr_expect_eq(order[i], (int64_t)first->valuedouble, "%s: place %d has %d", what, (int)i,
                     (int)order[i]);
        i++;
    }
    uint64_t hash = 0;
    for (i = 0; i < n; i++) hash = hash * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)order[i] + 1;
    cr_expect_eq(hash, strtoull(cJSON_GetStringValue(member(golden, "hash")), NULL, 16), "%s", what);
}

Test(order, permutations_as_torch) {
    cJSON *golden = read_golden();
    const cJSON *entry;
    cJSON_ArrayForEach(entry, member(golden, "permutations")) {
        int64_t n = (int64_t)number(entry, "n"), *order = malloc((size_t)n * sizeof *order);
        // 2^63 - 1 is no double: its lower 32 bits are all ones.
        double seed = member(entry, "seed")->valuedouble;
        ftc_torch_random random;
        ftc_torch_random_seed(seed > 0x1p62 ? (uint64_t)INT64_MAX : (uint64_t)seed, &random);
        ftc_torch_permutation(&random, n, order);
        char *what = cJSON_PrintUnformatted(entry);
        expect_order(order, n, entry, what);
        free(what);
        free(order);
    }
    cJSON_Delete(golden);
}

static ftc_sampling sampling_of(const char *name) {
    if (strcmp(name, "random") == 0) return FTC_SAMPLING_RANDOM;
    return strcmp(name, "sequential") == 0 ? FTC_SAMPLING_SEQUENTIAL : FTC_SAMPLING_GROUP_BY_LENGTH;
}

static ftc_dataset make_texts(int64_t n) {
    int32_t zeros[61] = {0};
    ftc_dataset texts = {0};
    for (int64_t i = 0; i < n; i++) {
        ftc_tokens tokens = {.ids = zeros, .types = zeros, .count = 1 + (7919 * (i + 1) % 104729) % 61};
        ftc_dataset_add(&texts, &tokens, 0);
    }
    return texts;
}

Test(order, epochs_as_trainer) {
    cJSON *golden = read_golden();
    const cJSON *entry, *epoch;
    cJSON_ArrayForEach(entry, member(golden, "epochs")) {
        ftc_order order = {
            .sampling = sampling_of(cJSON_GetStringValue(member(entry, "sampling"))),
            .batch = (int64_t)number(entry, "batch"),
            .seed = number(entry, "seed"),
            .data_seed = number(entry, "data_seed"),
        };
        int64_t n = (int64_t)number(entry, "n"), tests = (int64_t)number(entry, "tests");
        int64_t *examples = malloc((size_t)n * sizeof *examples), number_of_epoch = 0, drawn = 0;
        ftc_dataset texts = make_texts(n);
        char *what = cJSON_PrintUnformatted(entry);
        cJSON_ArrayForEach(epoch, member(entry, "orders")) {
            ftc_order_epoch(&order, &texts, number_of_epoch++, drawn, examples);
            expect_order(examples, n, epoch, what);
            drawn += ftc_order_draws(&order, n) + (tests ? ftc_order_draws(&order, 0) : 0);
        }
        free(what);
        ftc_dataset_free(&texts);
        free(examples);
    }
    cJSON_Delete(golden);
}
