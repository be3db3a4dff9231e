// The weights of directories: shards, and what torch.save wrote, whole, damaged and hostile.
#include "runtime/hub/torch_file.h"
#include "runtime/hub/weights.h"
#include "runtime/json.h"
#include "tests/paths.h"
#include "tests/scratch.h"

#include <sys/mman.h>
#include <unistd.h>

// --- torch.save ---------------------------------------------------------------------------------------

static cJSON *golden_tensors(void) {
    char *path = test_golden("torch/tensors.json");
    cJSON *json;
    ASSERT_OK(ftc_json_read(path, &json));
    free(path);
    return json;
}

static void expect_tensor(const ftc_safetensor *tensor, const cJSON *golden) {
    const cJSON *dims = cJSON_GetObjectItem(golden, "dims"), *values = cJSON_GetObjectItem(golden, "values"),
                *value;
    float read[64];
    cr_assert_eq(tensor->rank, cJSON_GetArraySize(dims), "%s", tensor->name);
    for (int32_t i = 0; i < tensor->rank; i++)
        cr_expect_eq(tensor->dims[i], cJSON_GetArrayItem(dims, i)->valueint, "%s", tensor->name);
    if (tensor->dtype == FTC_SAFE_OTHER) return; // integers
    ASSERT_OK(ftc_safetensors_read_f32(tensor, read));
    int i = 0;
    cJSON_ArrayForEach(value, values) {
        cr_expect_eq(read[i], (float)value->valuedouble, "%s[%d]", tensor->name, i);
        i++;
    }
}

Test(weights, torch_files_are_what_torch_says) {
    static const char *const NAMES[] = {"torch/zip.bin", "torch/older.bin"};
    cJSON *golden = golden_tensors();
    for (int k = 0; k < 2; k++) {
        char *path = test_golden(NAMES[k]);
        ftc_torch_file *file;
        ASSERT_OK(ftc_torch_file_open(path, &file));
        cr_expect_eq(ftc_torch_file_count(file), cJSON_GetArraySize(golden));
        for (int32_t i = 0; i < ftc_torch_file_count(file); i++) {
            const ftc_safetensor *tensor = ftc_torch_file_at(file, i);
            const cJSON *expected = cJSON_GetObjectItemCaseSensitive(golden, tensor->name);
            cr_assert_not_null(expected, "%s", tensor->name);
            expect_tensor(tensor, expected);
        }
        ftc_torch_file_close(file);
        free(path);
    }
    cJSON_Delete(golden);
}

Test(weights, what_asks_for_more_than_tensors_is_refused_by_name) {
    static const char *const CASES[][2] = {
        {"torch/evil.bin", "asks for __builtin__.print, which is refused"},
        {"torch/evil-older.bin", "asks for __builtin__.print, which is refused"},
        {"torch/module.bin", "asks for torch.nn.modules.linear.Linear, which is refused"},
        {"torch/list.bin", "is no dictionary of tensors"},
        {"torch/nested.bin", "its tensors lie in its entry \"state_dict\""},
        {"torch/protocol4.bin", "has the opcode 0x95 at byte 2, which is refused"},
        {"torch/tensors.json", "not a file that torch.save wrote"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *path = test_golden(CASES[i][0]);
        ftc_torch_file *file;
        ASSERT_FAILS(ftc_torch_file_open(path, &file), FTC_BAD_INPUT, CASES[i][1]);
        free(path);
    }
}

// Every byte set to others, and the file cut everywhere: what still opens can be read. The file is one in
// memory.
static void open_damaged(int fd, const char *bytes, size_t size) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_assert_eq(pwrite(fd, bytes, size, 0), (ssize_t)size);
    ftc_torch_file *file;
    ftc_status status = ftc_torch_file_open(path, &file);
    if (status.code == FTC_OK) {
        for (int32_t i = 0; i < ftc_torch_file_count(file); i++) {
            const ftc_safetensor *tensor = ftc_torch_file_at(file, i);
            volatile char sum = 0;
            for (int64_t k = 0; k < tensor->bytes; k++) sum = (char)(sum + ((const char *)tensor->data)[k]);
        }
        ftc_torch_file_close(file);
    } else {
        cr_expect_eq(status.code, FTC_BAD_INPUT);
        cr_expect_not_null(strstr(status.message, path), "%s", status.message);
    }
    ftc_status_free(&status);
}

Test(weights, damaged_torch_files_are_refused_or_read) {
    static const char *const NAMES[] = {"torch/zip.bin", "torch/older.bin"};
    static const unsigned char OTHERS[] = {0, 1, 0x7F, 0xFF, '.', 'R', '('};
    int fd = memfd_create("damaged", 0);
    cr_assert_geq(fd, 0);
    for (int k = 0; k < 2; k++) {
        char *path = test_golden(NAMES[k]), *bytes;
        size_t size;
        ASSERT_OK(ftc_file_read(path, &bytes, &size));
        for (size_t at = 0; at < size; at++) {
            char was = bytes[at];
            for (size_t o = 0; o < sizeof OTHERS; o++) {
                bytes[at] = (char)OTHERS[o];
                open_damaged(fd, bytes, size);
            }
            bytes[at] = was;
            open_damaged(fd, bytes, at);
        }
        free(bytes);
        free(path);
    }
    close(fd);
}

// --- directories --------------------------------------------------------------------------------------

static void write_text(const char *dir, const char *name, const char *text) {
    free(test_write(dir, name, text, strlen(text)));
}

static void write_shard(const char *dir, const char *name, const char *tensor, float value) {
    const ftc_safetensor t = {.name = tensor, .dtype = FTC_SAFE_F32, .rank = 1, .dims = {1}, .data = &value};
    char *path = ftc_path_join(dir, name);
    ASSERT_OK(ftc_safetensors_write(path, &t, 1));
    free(path);
}

static float value_of(const ftc_weights *weights, const char *name) {
    const ftc_safetensor *tensor = ftc_weights_find(weights, name);
    float value;
    cr_assert_not_null(tensor, "%s", name);
    ASSERT_OK(ftc_safetensors_read_f32(tensor, &value));
    return value;
}

#define INDEX "model.safetensors.index.json"

Test(weights, shards_are_one) {
    char *dir = test_directory();
    ftc_weights *weights;
    ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT,
                 "has neither model.safetensors nor pytorch_model.bin");
    write_shard(dir, "1.safetensors", "a", 1);
    write_shard(dir, "2.safetensors", "A", 2);
    write_text(dir, INDEX, "{\"weight_map\": {\"a\": \"1.safetensors\", \"A\": \"2.safetensors\"}}");
    ASSERT_OK(ftc_weights_open(dir, &weights));
    cr_expect_eq(ftc_weights_count(weights), 2);
    cr_expect_eq(value_of(weights, "a"), 1);
    cr_expect_eq(value_of(weights, "A"), 2);
    cr_expect_null(ftc_weights_find(weights, "b"));
    ftc_weights_close(weights);

    write_text(dir, INDEX, "{\"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"2.safetensors\"}}");
    ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT, INDEX ": \"b\" is not in 2.safetensors");
    write_text(dir, INDEX, "{\"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"3.safetensors\"}}");
    ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT, "3.safetensors: cannot open");
    write_text(dir, INDEX, "{\"weight_map\": {\"a\": \"../1.safetensors\"}}");
    ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT, "\"a\" lies in no file of this folder");
    write_text(dir, INDEX, "{\"weight_map\": {}}");
    ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT, "\"weight_map\" names no files");
    write_shard(dir, "2.safetensors", "a", 3);
    write_text(dir, INDEX, "{\"weight_map\": {\"a\": \"1.safetensors\", \"a \": \"2.safetensors\"}}");
    ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT, "\"a \" is not in 2.safetensors");
    write_text(dir, INDEX, "{\"weight_map\": {\"a\": \"1.safetensors\", \"a\": \"2.safetensors\"}}");
    ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT, "two of its files have the tensor \"a\"");
    scratch_free(dir);
}

// What sought each tensor among all, and each file among the entries before, took minutes for so many.
Test(weights, many_tensors_in_shards_are_found_at_once, .timeout = 20) {
    enum { N = 100000 };
    char *dir = test_directory(), *header, *index, name[32];
    size_t bytes, index_bytes;
    FILE *map = open_memstream(&index, &index_bytes);
    fputs("{\"weight_map\": {", map);
    for (int file = 0; file < 2; file++) {
        FILE *f = open_memstream(&header, &bytes);
        fwrite(&(uint64_t){0}, 8, 1, f);
        for (int i = 0; i < N; i++) {
            fprintf(f, "%c\"%d.%d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? ',' : '{',
                    file, i);
            fprintf(map, "%s\"%d.%d\": \"%d.safetensors\"", file || i ? ", " : "", file, i, file);
        }
        fputs("}", f);
        fclose(f);
        uint64_t size = bytes - 8;
        memcpy(header, &size, 8);
        snprintf(name, sizeof name, "%d.safetensors", file);
        free(test_write(dir, name, header, bytes));
        free(header);
    }
    fputs("}}", map);
    fclose(map);
    free(test_write(dir, "model.safetensors.index.json", index, index_bytes));
    free(index);
    ftc_weights *weights;
    ASSERT_OK(ftc_weights_open(dir, &weights));
    cr_assert_eq(ftc_weights_count(weights), 2 * N);
    for (int i = 0; i < 2 * N; i += 7) {
        snprintf(name, sizeof name, "%d.%d", i / N, i % N);
        const ftc_safetensor *tensor = ftc_weights_find(weights, name);
        cr_assert(tensor && strcmp(tensor->name, name) == 0, "%s", name);
    }
    cr_expect_null(ftc_weights_find(weights, "2.0"));
    ftc_weights_close(weights);
    scratch_free(dir);
}

Test(weights, git_lfs_pointers_are_said) {
    static const char POINTER[] =
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 440449768\n";
    static const char *const NAMES[] = {"pytorch_model.bin", "model.safetensors"};
    char *dir = test_directory();
    ftc_weights *weights;
    cJSON *json;
    for (int i = 0; i < 2; i++) {
        write_text(dir, NAMES[i], POINTER);
        ASSERT_FAILS(ftc_weights_open(dir, &weights), FTC_BAD_INPUT, "is a Git LFS pointer");
    }
    char *path = ftc_path_join(dir, NAMES[0]);
    ASSERT_FAILS(ftc_json_read(path, &json), FTC_BAD_INPUT,
                 "is a Git LFS pointer, not what it points to; fetch that");
    free(path);
    scratch_free(dir);
}
