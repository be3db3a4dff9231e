// Safetensors: what is written comes back, and every damage is named.
#include "runtime/loop/memory.h"
#include "runtime/hub/safetensors.h"
#include "tests/scratch.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static const float VALUES[6] = {1, -2, 3.5f, 0, 1e-30f, INFINITY};

static void write_example(const char *path) {
    ftc_safetensor tensors[2] = {
        {.name = "a.weight", .dtype = FTC_SAFE_F32, .rank = 2, .dims = {2, 3}, .data = VALUES},
        {.name = "\"quoted\"", .dtype = FTC_SAFE_U32, .rank = 1, .dims = {1}, .data = VALUES},
    };
    ASSERT_OK(ftc_safetensors_write(path, tensors, 2));
}

Test(safetensors, comes_back) {
    char *dir = test_directory(), *path = ftc_path_join(dir, "x.safetensors");
    write_example(path);
    ftc_safetensors *file;
    ASSERT_OK(ftc_safetensors_open(path, &file));
    cr_assert_eq(ftc_safetensors_count(file), 2);
    const ftc_safetensor *a = ftc_safetensors_find(file, "a.weight");
    cr_assert_not_null(a);
    cr_assert_eq(a->rank, 2);
    cr_assert_eq(a->dims[0], 2);
    cr_assert_eq(a->dims[1], 3);
    float back[6];
    ASSERT_OK(ftc_safetensors_read_f32(a, back));
    cr_assert_eq(memcmp(back, VALUES, sizeof back), 0);
    cr_assert_not_null(ftc_safetensors_find(file, "\"quoted\""));
    cr_assert_null(ftc_safetensors_find(file, "b"));
    ftc_safetensors_close(file);
    free(path);
    scratch_free(dir);
}

// Bytes of this process that are in memory now.
static int64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long all, resident;
    cr_assert_eq(fscanf(file, "%ld %ld", &all, &resident), 2);
    fclose(file);
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

// A tensor of 16 MB with one row that is not zero: reading it takes neither memory for the file's pages nor
// for the pages of zeros in what it is read to.
Test(safetensors, reading_takes_no_memory_but_for_what_it_writes) {
    enum { ROWS = 4096, COLUMNS = 1024, BYTES = ROWS * COLUMNS * 4, FEW = 1 << 21 };
    char *dir = test_directory(), *path = ftc_path_join(dir, "x.safetensors");
    float *values = calloc(ROWS * COLUMNS, sizeof *values);
    cr_assert_not_null(values);
    for (int i = 0; i < COLUMNS; i++) values[7 * COLUMNS + i] = (float)i;
    ftc_safetensor tensor = {
        .name = "x", .dtype = FTC_SAFE_F32, .rank = 2, .dims = {ROWS, COLUMNS}, .data = values};
    ASSERT_OK(ftc_safetensors_write(path, &tensor, 1));
    ftc_safetensors *file;
    ASSERT_OK(ftc_safetensors_open(path, &file));
    const ftc_safetensor *x = ftc_safetensors_at(file, 0);
    ftc_memory back, full;
    ASSERT_OK(ftc_memory_map(BYTES, "x", &back));
    ASSERT_OK(ftc_memory_map(BYTES, "x", &full));
    ftc_memory_use_small_pages(back.data, BYTES);
    memset(full.data, 1, BYTES);

    int64_t before = resident_bytes();
    ASSERT_OK(ftc_safetensors_read_f32(x, (float *)back.data));
    int64_t read = resident_bytes();
    ftc_safetensors_release(x);
    int64_t released = resident_bytes();
    cr_expect_lt(read - before, BYTES + FEW, "%lld bytes more", (long long)(read - before));
    cr_expect_lt(released - before, FEW, "%lld bytes more", (long long)(released - before));
    cr_expect_gt(read - released, BYTES / 2, "%lld bytes released", (long long)(read - released));
    cr_expect_eq(memcmp(back.data, values, BYTES), 0);

    // Over other numbers; released, it is there again.
    ASSERT_OK(ftc_safetensors_read_f32(x, (float *)full.data));
    cr_expect_eq(memcmp(full.data, values, BYTES), 0);
    ftc_memory_unmap(&back);
    ftc_memory_unmap(&full);
    ftc_safetensors_close(file);
    free(values);
    free(path);
    scratch_free(dir);
}

// Writes a file with this header and `data_bytes` bytes of data, and opens it.
static ftc_status open_made(const char *dir, const char *header, const void *data, size_t data_bytes,
                            ftc_safetensors **out) {
    char *path = ftc_path_join(dir, "made.safetensors");
    uint64_t header_bytes = strlen(header);
    ftc_file_part parts[3] = {
        {&header_bytes, 8, NULL}, {header, header_bytes, NULL}, {data, data_bytes, NULL}};
    ASSERT_OK(ftc_file_write_parts(path, parts, 3));
    ftc_status status = ftc_safetensors_open(path, out);
    free(path);
    return status;
}

Test(safetensors, damage_is_named) {
    static const char zeros[64] = {0};
    static const struct {
        const char *header, *message;
        size_t data_bytes;
    } CASES[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,16]}}",
         "bytes of data; is it complete?", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "\"a\" of shape [3]", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "lies at bytes 8 to 0", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "invalid shape", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],\"data_offsets\":[0,4]}}",
         "invalid shape", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "lacks dtype, shape or data_offsets", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "overlaps", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "leaves a gap", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "behind the last tensor", 8},
        {"{\"a\":", "not valid JSON", 8},
        {"[]", "not valid JSON", 0},
    };
    char *dir = test_directory();
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ftc_safetensors *file = NULL;
        ASSERT_FAILS(open_made(dir, CASES[i].header, zeros, CASES[i].data_bytes, &file), FTC_BAD_INPUT,
                     CASES[i].message);
        cr_assert_null(file);
    }
    scratch_free(dir);
}

Test(safetensors, every_truncation_is_an_error) {
    char *dir = test_directory(), *path = ftc_path_join(dir, "x.safetensors"),
         *cut = ftc_path_join(dir, "cut");
    write_example(path);
    char *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(path, &text, &bytes));
    for (size_t n = 0; n < bytes; n++) {
        ASSERT_OK(ftc_file_write(cut, text, n));
        ftc_safetensors *file = NULL;
        ASSERT_FAILS(ftc_safetensors_open(cut, &file), FTC_BAD_INPUT, "cut: ");
    }
    free(text);
    free(path);
    free(cut);
    scratch_free(dir);
}

Test(safetensors, converts_other_precisions) {
    char *dir = test_directory();
    static const uint16_t HALF[6] = {0x3c00, 0xc000, 0x0001, 0x8000, 0x7c00, 0x7bff};
    static const float FROM_HALF[6] = {1, -2, 0x1p-24f, -0.0f, INFINITY, 65504};
    ftc_safetensors *file;
    ASSERT_OK(
        open_made(dir, "{\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[0,12]}}", HALF, 12, &file));
    float back[6];
    ASSERT_OK(ftc_safetensors_read_f32(ftc_safetensors_find(file, "h"), back));
    cr_assert_eq(memcmp(back, FROM_HALF, sizeof back), 0);
    ftc_safetensors_close(file);

    static const uint16_t BRAIN[2] = {0x3f80, 0xc040};
    ASSERT_OK(
        open_made(dir, "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", BRAIN, 4, &file));
    ASSERT_OK(ftc_safetensors_read_f32(ftc_safetensors_find(file, "b"), back));
    cr_assert_eq(back[0], 1.0f);
    cr_assert_eq(back[1], -3.0f);
    ftc_safetensors_close(file);

    static const double DOUBLE[2] = {0.1, -1e300};
    ASSERT_OK(open_made(dir, "{\"d\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}", DOUBLE, 16,
                        &file));
    ASSERT_OK(ftc_safetensors_read_f32(ftc_safetensors_find(file, "d"), back));
    cr_assert_eq(back[0], 0.1f);
    cr_assert_eq(back[1], -INFINITY);
    ftc_safetensors_close(file);

    ASSERT_OK(
        open_made(dir, "{\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", VALUES, 8, &file));
    ASSERT_FAILS(ftc_safetensors_read_f32(ftc_safetensors_find(file, "i"), back), FTC_BAD_INPUT, "\"i\"");
    ftc_safetensors_close(file);
    scratch_free(dir);
}
