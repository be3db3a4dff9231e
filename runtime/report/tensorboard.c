// Records as TFRecord frames them (tensorflow/core/lib/io/record_writer.h), each an Event of
// tensorflow/core/util/event.proto with the few fields that TensorBoard asks for.
#include "runtime/report/tensorboard.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// --- protobuf -----------------------------------------------------------------------------------------

typedef enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 } wire_type;

static void put_little_endian(FILE *to, uint64_t bits, int bytes) {
    for (int i = 0; i < bytes; i++) fputc((int)(bits >> 8 * i & 0xff), to);
}

static void put_varint(FILE *to, uint64_t value) {
    for (; value >= 0x80; value >>= 7) fputc((int)(value & 0x7f) | 0x80, to);
    fputc((int)value, to);
}

static void put_key(FILE *to, unsigned field, wire_type type) {
    put_varint(to, field << 3 | type);
}

static void put_integer(FILE *to, unsigned field, int64_t value) {
    put_key(to, field, VARINT);
    put_varint(to, (uint64_t)value);
}

static void put_double(FILE *to, unsigned field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(to, field, FIXED64);
    put_little_endian(to, bits, sizeof bits);
}

static void put_float(FILE *to, unsigned field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(to, field, FIXED32);
    put_little_endian(to, bits, sizeof bits);
}

static void put_bytes(FILE *to, unsigned field, const char *bytes, size_t n) {
    put_key(to, field, BYTES);
    put_varint(to, n);
    fwrite(bytes, 1, n, to);
}

static void put_text(FILE *to, unsigned field, const char *text) {
    put_bytes(to, field, text, strlen(text));
}

// Ends a message that was begun by ftc_text_open, and makes it a field of another one.
static void end_message(ftc_text *message, FILE *to, unsigned field) {
    size_t n;
    char *bytes = ftc_text_close(message, &n);
    put_bytes(to, field, bytes, n);
    free(bytes);
}

// --- records ------------------------------------------------------------------------------------------

// The CRC of Castagnoli's polynomial, bit by bit: records are short. Masked, as a CRC of what holds CRCs
// says little.
static uint32_t masked_crc32c(const char *bytes, size_t n) {
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t)bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

static void put_record(FILE *to, const char *bytes, size_t n) {
    char length[8];
    for (int i = 0; i < 8; i++) length[i] = (char)((uint64_t)n >> 8 * i & 0xff);
    fwrite(length, 1, sizeof length, to);
    put_little_endian(to, masked_crc32c(length, sizeof length), 4);
    fwrite(bytes, 1, n, to);
    put_little_endian(to, masked_crc32c(bytes, n), 4);
    fflush(to); // TensorBoard looks on while the training runs
}

// The fields of the messages, by their numbers.
enum { EVENT_WALL_TIME = 1, EVENT_STEP, EVENT_FILE_VERSION, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1 };
enum { VALUE_TAG = 1, VALUE_NUMBER, VALUE_TENSOR = 8, VALUE_METADATA };
enum { METADATA_PLUGIN = 1, PLUGIN_NAME = 1 };
enum { TENSOR_DTYPE = 1, TENSOR_SHAPE, TENSOR_TEXT = 8, SHAPE_DIM = 2, DIM_SIZE = 1, DTYPE_TEXT = 7 };

static FILE *begin_event(ftc_text *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    FILE *to = ftc_text_open(event);
    put_double(to, EVENT_WALL_TIME, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    return to;
}

static void end_event(ftc_text *event, ftc_tensorboard *to) {
    size_t n;
    char *bytes = ftc_text_close(event, &n);
    put_record(to->file, bytes, n);
    free(bytes);
}

// --- what is told -------------------------------------------------------------------------------------

char *ftc_tensorboard_dir(const char *output) {
    char when[32], host[256] = "";
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%b%d_%H-%M-%S", localtime_r(&now, &local));
    gethostname(host, sizeof host - 1);
    return ftc_format("%s/runs/%s_%s", output, when, host);
}

ftc_status ftc_tensorboard_open(const char *dir, ftc_tensorboard *out) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    FTC_RETURN_IF_ERROR(ftc_dir_make(dir));
    ftc_tensorboard t = {0};
    for (int number = 0; !t.file; number++) {
        free(t.path);
        t.path = ftc_format("%s/events.out.tfevents.%010lld.%s.%lld.%d", dir, (long long)time(NULL), host,
                            (long long)getpid(), number);
        t.file = fopen(t.path, "wbxe"); // never over another one
        if (!t.file && errno != EEXIST) break;
    }
    if (!t.file) {
        ftc_status status =
            ftc_status_make(FTC_BAD_INPUT, "%s: cannot write the events: %s", t.path, strerror(errno));
        free(t.path);
        return status;
    }
    ftc_text event;
    put_text(begin_event(&event), EVENT_FILE_VERSION, "brain.Event:2");
    end_event(&event, &t);
    *out = t;
    return FTC_STATUS_OK;
}

void ftc_tensorboard_text(ftc_tensorboard *t, const char *tag, const char *text) {
    if (!t->file) return;
    ftc_text event, summary, value, metadata, plugin, tensor, shape, dim;
    char *name = ftc_format("%s/text_summary", tag);
    FILE *to_event = begin_event(&event), *to_summary = ftc_text_open(&summary),
         *to_value = ftc_text_open(&value), *to_metadata = ftc_text_open(&metadata),
         *to_tensor = ftc_text_open(&tensor), *to_shape = ftc_text_open(&shape);
    put_text(to_value, VALUE_TAG, name);
    put_integer(to_tensor, TENSOR_DTYPE, DTYPE_TEXT);
    put_integer(ftc_text_open(&dim), DIM_SIZE, 1);
    end_message(&dim, to_shape, SHAPE_DIM);
    end_message(&shape, to_tensor, TENSOR_SHAPE);
    put_text(to_tensor, TENSOR_TEXT, text);
    end_message(&tensor, to_value, VALUE_TENSOR);
    put_text(ftc_text_open(&plugin), PLUGIN_NAME, "text");
    end_message(&plugin, to_metadata, METADATA_PLUGIN);
    end_message(&metadata, to_value, VALUE_METADATA);
    end_message(&value, to_summary, SUMMARY_VALUE);
    end_message(&summary, to_event, EVENT_SUMMARY);
    end_event(&event, t);
    free(name);
}

void ftc_tensorboard_log(ftc_tensorboard *t, const cJSON *line) {
    if (!t->file) return;
    ftc_text event, summary, value;
    FILE *to_event = begin_event(&event), *to_summary = ftc_text_open(&summary);
    const cJSON *entry, *step = cJSON_GetObjectItemCaseSensitive(line, "step");
    if (step) put_integer(to_event, EVENT_STEP, (int64_t)step->valuedouble);
    cJSON_ArrayForEach(entry, line) {
        if (entry == step || !cJSON_IsNumber(entry)) continue;
        bool is_test = strncmp(entry->string, "eval_", 5) == 0;
        char *tag = ftc_format("%s/%s", is_test ? "eval" : "train", entry->string + (is_test ? 5 : 0));
        FILE *to_value = ftc_text_open(&value);
        put_text(to_value, VALUE_TAG, tag);
        put_float(to_value, VALUE_NUMBER, (float)entry->valuedouble);
        end_message(&value, to_summary, SUMMARY_VALUE);
        free(tag);
    }
    end_message(&summary, to_event, EVENT_SUMMARY);
    end_event(&event, t);
}

ftc_status ftc_tensorboard_close(ftc_tensorboard *t) {
    if (!t->file) return FTC_STATUS_OK;
    bool arrived = !ferror(t->file);
    errno = 0;
    arrived = fclose(t->file) == 0 && arrived;
    ftc_status status =
        arrived ? FTC_STATUS_OK
                : ftc_status_make(FTC_BAD_INPUT, "%s: cannot write all of the events%s%s", t->path,
                                  errno ? ": " : "; is the disk full?", errno ? strerror(errno) : "");
    free(t->path);
    *t = (ftc_tensorboard){0};
    return status;
}
