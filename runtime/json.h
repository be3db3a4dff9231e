// JSON files.
#ifndef FTC_RUNTIME_JSON_H
#define FTC_RUNTIME_JSON_H

#include "json/value.h"
#include "runtime/status.h"

// Parses the bytes of a file that are one JSON object; the caller frees it with cJSON_Delete. Errors name the
// file.
ftc_status ftc_json_parse_file(const char *path, const char *text, size_t bytes, cJSON **out);

// Reads a file that holds one JSON object.
ftc_status ftc_json_read(const char *path, cJSON **out);

// Writes `json` with indentation and a final newline, durably (ftc_file_write).
ftc_status ftc_json_write(const char *path, const cJSON *json);

#endif
