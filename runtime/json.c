#include "runtime/json.h"

#include "runtime/files.h"

#include <stdlib.h>
#include <string.h>

ftc_status ftc_json_read(const char *path, cJSON **out) {
    char *text;
    size_t bytes;
    FTC_RETURN_IF_ERROR(ftc_file_read(path, &text, &bytes));
    const char *end = text;
    cJSON *json = cJSON_ParseWithLengthOpts(text, bytes, &end, 0);
    ftc_status status = FTC_STATUS_OK;
    if (!json) {
        status = ftc_status_make(FTC_BAD_INPUT, "%s: not valid JSON at byte %td; is the file complete?", path,
                                 end - text);
    } else if (!cJSON_IsObject(json)) {
        status = ftc_status_make(FTC_BAD_INPUT, "%s: a JSON object is expected", path);
        cJSON_Delete(json);
    } else {
        *out = json;
    }
    free(text);
    return status;
}

ftc_status ftc_json_write(const char *path, const cJSON *json) {
    char *text = cJSON_Print(json);
    if (!text) return ftc_status_make(FTC_FAILED, "%s: out of memory", path);
    size_t n = strlen(text);
    text[n] = '\n'; // in place of the zero byte
    ftc_status status = ftc_file_write(path, text, n + 1);
    free(text);
    return status;
}

int ftc_json_count(const cJSON *item, int64_t *out) {
    if (!cJSON_IsNumber(item)) return 0;
    double value = item->valuedouble;
    if (!(value >= 0 && value <= 9007199254740992.0) || value != (double)(int64_t)value) return 0;
    *out = (int64_t)value;
    return 1;
}
