#include "runtime/data/words.h"

#include "ir/base/alloc.h"
#include "runtime/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char BLANKS[] = " \t\r\n";

bool ftc_words_read(const char *cell, ftc_fields *words) {
    ftc_fields_clear(words);
    if (cell[strspn(cell, BLANKS)] != '[') {
        for (size_t n; *(cell += strspn(cell, BLANKS)); cell += n) {
            n = strcspn(cell, BLANKS);
            ftc_fields_push(words, cell, n);
        }
        return true;
    }
    cJSON *list = ftc_json_parse(cell, strlen(cell), NULL);
    bool ok = cJSON_IsArray(list);
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        char *text = ftc_json_text(item);
        if (text) ftc_fields_push(words, text, strlen(text));
        ok &= text != NULL;
        free(text);
    }
    cJSON_Delete(list);
    return ok;
}

// --- sentences of lines -------------------------------------------------------------------------------

typedef struct {
    const char *at;
    size_t size; // without the line's end
    bool is_whole;
} line;

static line line_at(const char *data, size_t size, bool last, char line_end) {
    const char *end = memchr(data, line_end, size);
    size_t n = end ? (size_t)(end - data) : size;
    bool two_bytes = n && data[n - 1] == '\r';
    return (line){data, n - two_bytes, end || last};
}

// Nothing, or the mark of a document.
static bool is_between(line l) {
    static const char MARK[] = "-DOCSTART-";
    size_t blank = 0;
    while (blank < l.size && (l.at[blank] == ' ' || l.at[blank] == '\t')) blank++;
    return blank == l.size || (l.size >= strlen(MARK) && memcmp(l.at, MARK, strlen(MARK)) == 0);
}

// Cuts off the next column of the line; false: there is none.
static bool next_column(line *l, bool by_tabs, const char **cell, size_t *n) {
    if (!by_tabs)
        while (l->size && *l->at == ' ') l->at++, l->size--;
    if (!l->size) return false;
    const char *end = memchr(l->at, by_tabs ? '\t' : ' ', l->size);
    *cell = l->at;
    *n = end ? (size_t)(end - l->at) : l->size;
    size_t taken = *n + (end != NULL);
    l->at += taken;
    l->size -= taken;
    return true;
}

static size_t count_columns(line l, bool by_tabs) {
    const char *cell;
    size_t n, count = 0;
    while (next_column(&l, by_tabs, &cell, &n)) count++;
    return count;
}

static void write_cell(FILE *to, const char *cell, size_t n, bool first) {
    char *text = ftc_strndup(cell, n);
    cJSON *item = cJSON_CreateString(text);
    char *json = cJSON_PrintUnformatted(item);
    fprintf(to, "%s%s", first ? "[" : ", ", json);
    cJSON_free(json);
    cJSON_Delete(item);
    free(text);
}

// The column of all lines of the sentence as a list of JSON.
static void push_column(ftc_fields *fields, size_t column, const char *data, size_t size, char line_end) {
    ftc_text list;
    FILE *to = ftc_text_open(&list);
    for (size_t at = 0; at < size;) {
        line l = line_at(data + at, size - at, true, line_end), rest = l;
        bool by_tabs = memchr(l.at, '\t', l.size) != NULL;
        const char *cell = l.at;
        size_t n = 0;
        for (size_t i = 0; i <= column; i++) next_column(&rest, by_tabs, &cell, &n);
        write_cell(to, cell, n, at == 0);
        const char *end = memchr(data + at, line_end, size - at);
        at = end ? (size_t)(end - data) + 1 : size;
    }
    fputc(']', to);
    size_t bytes;
    char *text = ftc_text_close(&list, &bytes);
    ftc_fields_push(fields, text, bytes);
    free(text);
}

ftc_fields_result ftc_words_parse_sentence(const char *data, size_t size, bool last, char line_end,
                                           ftc_fields *fields, size_t *consumed) {
    ftc_fields_clear(fields);
    fields->needs_quotes = false;
    fields->is_bare = true;
    size_t at = 0, columns = 0;
    bool is_between_sentences = false;
    while (at < size) {
        line l = line_at(data + at, size - at, last, line_end);
        if (!l.is_whole) return FTC_FIELDS_MORE;
        bool between = is_between(l);
        if (at && between != is_between_sentences) break;
        is_between_sentences = between;
        size_t n = between ? 0 : count_columns(l, memchr(l.at, '\t', l.size) != NULL);
        if (at && n != columns) {
            *consumed = at;
            return FTC_FIELDS_UNEVEN;
        }
        columns = n;
        const char *end = memchr(data + at, line_end, size - at);
        at = end ? (size_t)(end - data) + 1 : size;
        if (at == size && !last) return FTC_FIELDS_MORE;
    }
    for (size_t i = 0; i < columns; i++) push_column(fields, i, data, at, line_end);
    *consumed = at;
    return FTC_FIELDS_ROW;
}
