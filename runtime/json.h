// JSON files and values, on top of cJSON: whatever the runtime parses, it parses here. Lists and objects are
// walked (cJSON_ArrayForEach), since cJSON finds an element by going through those before it.
#ifndef FTC_RUNTIME_JSON_H
#define FTC_RUNTIME_JSON_H

#include "runtime/status.h"

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

// What is wrong with a text that should be one JSON object.
typedef struct {
    enum {
        FTC_JSON_BROKEN,    // no valid JSON, or more than one value
        FTC_JSON_NO_OBJECT, // another value than an object
        FTC_JSON_NUL,       // a string with a NUL, where cJSON's strings end
    } kind;
    size_t at; // FTC_JSON_BROKEN: the byte
} ftc_json_fault;

// Parses a text that is one JSON object; the caller frees it with cJSON_Delete. NULL: *fault, where it is
// asked for, says why. May be called by several threads.
cJSON *ftc_json_parse(const char *text, size_t bytes, ftc_json_fault *fault);

// The same for the bytes of a file, which the error names.
ftc_status ftc_json_parse_file(const char *path, const char *text, size_t bytes, cJSON **out);

// Reads a file that holds one JSON object.
ftc_status ftc_json_read(const char *path, cJSON **out);

// Writes `json` with indentation and a final newline, durably (ftc_file_write).
ftc_status ftc_json_write(const char *path, const cJSON *json);

// The last element of an array, NULL when it has none.
const cJSON *ftc_json_last(const cJSON *array);

// The value as text, allocated: a string, true, false or a number; NULL for null, lists and objects.
char *ftc_json_text(const cJSON *item);

// The value of an integer from 0 to 2⁵³ into *out; returns 0 when `item` is anything else (NULL too).
int ftc_json_count(const cJSON *item, int64_t *out);

#endif
