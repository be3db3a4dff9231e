#include "runtime/json.h"

#include "runtime/files.h"

#include <stdlib.h>
#include <string.h>

ftc_status ftc_json_parse_file(const char *path, const char *text, size_t bytes, cJSON **out) {
    ftc_json_fault fault;
    cJSON *json = ftc_json_parse_object(text, bytes, &fault);
    if (json && ftc_json_check_range(text, bytes, &fault)) {
        *out = json;
        return FTC_STATUS_OK;
    }
    cJSON_Delete(json);
    const char *what = ftc_json_fault_text(&fault);
    if (what) return ftc_status_make(FTC_BAD_INPUT, "%s: at byte %zu: %s", path, fault.at, what);
    if (fault.kind == FTC_JSON_NO_OBJECT)
        return ftc_status_make(FTC_BAD_INPUT, "%s: a JSON object is expected", path);
    return ftc_status_make(FTC_BAD_INPUT, "%s: not valid JSON at byte %zu; is the file complete?", path,
                           fault.at);
}

ftc_status ftc_json_read(const char *path, cJSON **out) {
    char *text;
    size_t bytes;
    FTC_RETURN_IF_ERROR(ftc_file_read(path, &text, &bytes));
    ftc_status status = ftc_json_parse_file(path, text, bytes, out);
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
