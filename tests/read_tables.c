// Reads the files that tests/structure/tables.py writes. Each line of standard input is an object: the file's
// "path", and of "format", "header", "quoting" and "delimiter" (a number of its character) and "encoding"
// what is not to be found out. Prints a line for each: its rows as [text, label, …], or what is wrong.
#include "json/value.h"
#include "runtime/data/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const cJSON *json, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? item->valueint : 0;
}

static const char *string(const cJSON *json, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static ftc_status read_rows(const cJSON *request, cJSON *rows) {
    const ftc_table_options options = {.format = (ftc_table_format)number(request, "format"),
                                       .header = (ftc_table_header)number(request, "header"),
                                       .quoting = (ftc_table_quoting)number(request, "quoting"),
                                       .delimiter = (char)number(request, "delimiter"),
                                       .encoding = string(request, "encoding"),
                                       .text_column = string(request, "text"),
                                       .label_column = string(request, "label")};
    ftc_table *table;
    ftc_row row = {0};
    FTC_RETURN_IF_ERROR(ftc_table_open(string(request, "path"), &options, &table));
    ftc_status status = FTC_STATUS_OK;
    for (size_t i = 0; i < ftc_table_rows(table) && status.code == FTC_OK; i++) {
        status = ftc_table_read(table, i, &row);
        if (status.code != FTC_OK) break;
        cJSON_AddItemToArray(rows, cJSON_CreateString(row.text));
        cJSON_AddItemToArray(rows, cJSON_CreateString(row.label));
    }
    ftc_row_free(&row);
    ftc_table_close(table);
    return status;
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        cJSON *request = ftc_json_parse_object(line, (size_t)n, NULL);
        if (!request) return 2;
        cJSON *answer = cJSON_CreateArray();
        ftc_status status = read_rows(request, answer);
        if (status.code != FTC_OK) {
            cJSON_Delete(answer);
            answer = cJSON_CreateString(status.message);
        }
        char *text = cJSON_PrintUnformatted(answer);
        if (!text) abort();
        puts(text);
        free(text);
        cJSON_Delete(answer);
        cJSON_Delete(request);
        ftc_status_free(&status);
    }
    free(line);
    return 0;
}
