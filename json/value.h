// JSON values, on top of cJSON: whatever ftc parses, it parses here. Lists and objects are walked
// (cJSON_ArrayForEach), since cJSON finds an element by going through those before it.
#ifndef FTC_JSON_VALUE_H
#define FTC_JSON_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

// What is wrong with a text.
typedef struct {
    enum {
        FTC_JSON_BROKEN,    // no valid JSON, or more than one value
        FTC_JSON_NO_OBJECT, // another value than an object
        FTC_JSON_NUL,       // a string with a NUL, where cJSON's strings end
        FTC_JSON_ESCAPE,    // a \u without four hexadecimal digits, which cJSON takes for a NUL
        FTC_JSON_RANGE,     // a number that a double does not hold; only ftc_json_check_range finds it
    } kind;
    size_t at; // the byte; of FTC_JSON_NO_OBJECT none
} ftc_json_fault;

// What a string holds that cannot be read, for messages; NULL where the fault is another.
const char *ftc_json_fault_text(const ftc_json_fault *fault);

// Parses a text that is one JSON value; the caller frees it with cJSON_Delete. NULL: *fault, where it is
// asked for, says why. May be called by several threads, which cJSON_Parse may not.
cJSON *ftc_json_parse(const char *text, size_t bytes, ftc_json_fault *fault);

// The same for a text that is one JSON object.
cJSON *ftc_json_parse_object(const char *text, size_t bytes, ftc_json_fault *fault);

// Whether a text that has been parsed writes no number beyond the largest double, and none but zero that
// would become zero: cJSON takes 1e400 for infinity and 1e-400 for 0. Else *fault says where. For settings:
// data are rounded as any number is.
bool ftc_json_check_range(const char *text, size_t bytes, ftc_json_fault *fault);

// The last element of an array, NULL when it has none.
const cJSON *ftc_json_last(const cJSON *array);

// The value as text, allocated: a string, true, false or a number; NULL for null, lists and objects.
char *ftc_json_text(const cJSON *item);

// The elements as such texts with the separator between them, allocated; NULL where one is a list, an object
// or null.
char *ftc_json_join(const cJSON *list, const char *separator);

// The value of an integer from 0 to 2⁵³ into *out; returns 0 when `item` is anything else (NULL too).
int ftc_json_count(const cJSON *item, int64_t *out);

// The member of an object that is true or false; `otherwise` when there is none, or it is neither.
bool ftc_json_is_true(const cJSON *object, const char *name, bool otherwise);

#endif
