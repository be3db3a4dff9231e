#include "json/value.h"

#include "ir/base/alloc.h"
#include "ir/base/name.h"

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// cJSON keeps the position of the last error in a global variable.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// Finds a NUL in a string of the text, as it is or escaped, or a broken escape: cJSON's strings would end
// there.
static bool find_nul(const char *text, size_t bytes, ftc_json_fault *fault) {
    const char *end = text + bytes, *nul = memchr(text, '\0', bytes);
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), "\\u", 2)); at += 2) {
        const char *first = at; // of the backslashes: of two, one is the other's escape
        while (first > text && first[-1] == '\\') first--;
        if ((at - first) % 2) continue;
        int digits = 0, zeros = 0;
        for (const char *p = at + 2; p < end && digits < 4 && isxdigit((unsigned char)*p); p++) {
            digits++;
            zeros += *p == '0';
        }
        if (digits == 4 && zeros < 4) continue;
        *fault = (ftc_json_fault){digits < 4 ? FTC_JSON_ESCAPE : FTC_JSON_NUL, (size_t)(at - text)};
        return true;
    }
    if (nul) *fault = (ftc_json_fault){FTC_JSON_NUL, (size_t)(nul - text)};
    return nul != NULL;
}

const char *ftc_json_fault_text(const ftc_json_fault *fault) {
    if (fault->kind == FTC_JSON_NUL) return "a string with \\u0000 cannot be read";
    if (fault->kind == FTC_JSON_ESCAPE) return "a string with \\u needs four hexadecimal digits behind it";
    if (fault->kind == FTC_JSON_RANGE) return "a number beyond what a double holds, or nearer to 0";
    return NULL;
}

// cJSON's own memory, so that it runs out in the same way. Who else in the process uses cJSON, outside of any
// scope, is told as before.
static void *allocate(size_t bytes) {
    return ftc_scope_is_open() ? ftc_alloc(1, bytes) : ftc_alloc_or_null(bytes);
}

__attribute__((constructor)) static void use_allocator(void) {
    cJSON_InitHooks(&(cJSON_Hooks){allocate, free});
}

static void unlock(void *mutex, size_t bytes) {
    (void)bytes;
    pthread_mutex_unlock(mutex);
}

// The value, or NULL and what is wrong.
static cJSON *parse(const char *text, size_t bytes, ftc_json_fault *fault) {
    if (find_nul(text, bytes, fault)) return NULL;
    const char *end = text;
    pthread_mutex_lock(&lock);
    ftc_care_begin(&lock, 0, unlock);
    cJSON *json = cJSON_ParseWithLengthOpts(text, bytes, &end, false);
    ftc_care_end(&lock);
    pthread_mutex_unlock(&lock);
    size_t at = (size_t)(end - text);
    while (json && at < bytes && strchr(" \t\r\n", text[at])) at++;
    if (json && at == bytes) return json;
    *fault = (ftc_json_fault){FTC_JSON_BROKEN, at};
    cJSON_Delete(json);
    return NULL;
}

cJSON *ftc_json_parse(const char *text, size_t bytes, ftc_json_fault *fault) {
    ftc_json_fault any;
    return parse(text, bytes, fault ? fault : &any);
}

cJSON *ftc_json_parse_object(const char *text, size_t bytes, ftc_json_fault *fault) {
    cJSON *json = ftc_json_parse(text, bytes, fault);
    if (!json || cJSON_IsObject(json)) return json;
    if (fault) fault->kind = FTC_JSON_NO_OBJECT;
    cJSON_Delete(json);
    return NULL;
}

bool ftc_json_check_range(const char *text, size_t bytes, ftc_json_fault *fault) {
    bool in_string = false;
    for (size_t at = 0; at < bytes; at++) {
        if (text[at] == '"') in_string = !in_string;
        if (in_string) {
            at += text[at] == '\\';
            continue;
        }
        if (!isdigit((unsigned char)text[at])) continue;
        char number[64] = "", *end; // cJSON reads no longer ones
        size_t n = 0;
        while (at + n < bytes && n + 1 < sizeof number &&
               (isdigit((unsigned char)text[at + n]) || strchr("+-.eE", text[at + n]))) {
            number[n] = text[at + n];
            n++;
        }
        double value;
        if (strpbrk(number, "eE") && !ftc_name_number(number, &end, &value)) {
            *fault = (ftc_json_fault){FTC_JSON_RANGE, at};
            return false;
        }
        at += n - 1;
    }
    return true;
}

const cJSON *ftc_json_last(const cJSON *array) {
    return array && array->child ? array->child->prev : NULL; // cJSON's lists are circular backwards
}

char *ftc_json_text(const cJSON *item) {
    if (cJSON_IsString(item)) return ftc_strdup(item->valuestring);
    if (cJSON_IsBool(item)) return ftc_strdup(cJSON_IsTrue(item) ? "true" : "false");
    if (cJSON_IsNumber(item)) return ftc_format("%.17g", item->valuedouble);
    return NULL;
}

char *ftc_json_join(const cJSON *list, const char *separator) {
    ftc_text all;
    FILE *to = ftc_text_open(&all);
    const cJSON *item;
    bool ok = true;
    cJSON_ArrayForEach(item, list) {
        char *text = ftc_json_text(item);
        if (text) fprintf(to, "%s%s", item == list->child ? "" : separator, text);
        ok &= text != NULL;
        free(text);
    }
    char *joined = ftc_text_close(&all, NULL);
    if (ok) return joined;
    free(joined);
    return NULL;
}

int ftc_json_count(const cJSON *item, int64_t *out) {
    if (!cJSON_IsNumber(item)) return 0;
    double value = item->valuedouble;
    if (!(value >= 0 && value <= 9007199254740992.0) || value != (double)(int64_t)value) return 0;
    *out = (int64_t)value;
    return 1;
}

bool ftc_json_is_true(const cJSON *object, const char *name, bool otherwise) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : otherwise;
}
