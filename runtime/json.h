// JSON files and values, on top of cJSON.
#ifndef FTC_RUNTIME_JSON_H
#define FTC_RUNTIME_JSON_H

#include "runtime/status.h"

#include <stdint.h>

#include <cjson/cJSON.h>

// Reads a file that holds one JSON object; the caller frees it with cJSON_Delete.
ftc_status ftc_json_read(const char *path, cJSON **out);

// Writes `json` with indentation and a final newline, durably (ftc_file_write).
ftc_status ftc_json_write(const char *path, const cJSON *json);

// The value of an integer from 0 to 2⁵³ into *out; returns 0 when `item` is anything else (NULL too).
int ftc_json_count(const cJSON *item, int64_t *out);

#endif
