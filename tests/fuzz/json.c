#include "json/value.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ftc_json_fault fault;
    char *text = malloc(size + 1); // ends where it ends: no NUL that one could rely on
    if (!text) abort();
    for (size_t i = 0; i < size; i++) text[i] = (char)data[i];
    cJSON *json = ftc_json_parse(text, size, &fault), *object = ftc_json_parse_object(text, size, NULL);
    if (!json && fault.kind == FTC_JSON_BROKEN && fault.at > size) abort();
    if (json) {
        char *printed = cJSON_PrintUnformatted(json);
        if (!printed) abort();
        const cJSON *item;
        int64_t count;
        cJSON_ArrayForEach(item, json) {
            free(ftc_json_text(item));
            if (ftc_json_count(item, &count) && count < 0) abort();
        }
        ftc_json_last(json);
        free(printed);
    }
    cJSON_Delete(json);
    cJSON_Delete(object);
    free(text);
    return 0;
}
