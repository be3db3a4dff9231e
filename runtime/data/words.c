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

typedef struct {
    const char *at;
    size_t size;
} cell;

// The cells of all lines of a sentence, line after line.
typedef struct {
    cell *items;
    size_t n, capacity;
} cells;

// Appends those of a line; how many.
static size_t add_line(cells *all, line l) {
    bool by_tabs = memchr(l.at, '\t', l.size) != NULL;
    size_t before = all->n;
    for (cell c; next_column(&l, by_tabs, &c.at, &c.size);) {
        if (all->n == all->capacity) {
            all->capacity = all->capacity ? 2 * all->capacity : 64;
            all->items = ftc_realloc(all->items, all->capacity, sizeof *all->items);
        }
        all->items[all->n++] = c;
    }
    return all->n - before;
}

static void write_cell(FILE *to, cell c, bool first) {
    char *text = ftc_strndup(c.at, c.size);
    cJSON *item = cJSON_CreateString(text);
    char *json = cJSON_PrintUnformatted(item);
    fprintf(to, "%s%s", first ? "[" : ", ", json);
    cJSON_free(json);
    cJSON_Delete(item);
    free(text);
}

// A column of all lines of the sentence as a list of JSON.
static void push_column(ftc_fields *fields, const cells *all, size_t column, size_t columns) {
    ftc_text list;
    FILE *to = ftc_text_open(&list);
    for (size_t i = column; i < all->n; i += columns) write_cell(to, all->items[i], i == column);
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
    cells all = {0};
    ftc_fields_result result = FTC_FIELDS_ROW;
    size_t at = 0, columns = 0;
    bool is_between_sentences = false;
    while (at < size) {
        line l = line_at(data + at, size - at, last, line_end);
        if (!l.is_whole) {
            result = FTC_FIELDS_MORE;
            break;
        }
        bool between = is_between(l);
        if (at && between != is_between_sentences) break;
        is_between_sentences = between;
        size_t n = between ? 0 : add_line(&all, l);
        if (at && n != columns) {
            result = FTC_FIELDS_UNEVEN;
            break;
        }
        columns = n;
        const char *end = memchr(data + at, line_end, size - at);
        at = end ? (size_t)(end - data) + 1 : size;
    }
    if (at == size && !last && result == FTC_FIELDS_ROW)
        result = FTC_FIELDS_MORE; // the next line may belong to it
    for (size_t i = 0; i < columns && result == FTC_FIELDS_ROW; i++) push_column(fields, &all, i, columns);
    free(all.items);
    *consumed = at;
    return result;
}
