#include "runtime/loop/history.h"

#include "ir/base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

ftc_history ftc_history_make(void) {
    return (ftc_history){.lines = cJSON_CreateArray(), .stride = 1};
}

static void close_file(void *file, size_t bytes) {
    (void)bytes;
    fclose(file);
}

ftc_status ftc_history_open(ftc_history *history, const char *dir) {
    int fd = ftc_file_nameless(dir);
    history->all = fd >= 0 ? fdopen(fd, "w+") : NULL;
    if (history->all) {
        ftc_care_begin(history->all, 0, close_file);
        return FTC_STATUS_OK;
    }
    ftc_status status =
        ftc_status_make(FTC_BAD_INPUT, "%s: no file for the log can be made here: %s", dir, strerror(errno));
    if (fd >= 0) close(fd);
    return status;
}

static bool is_of_steps(const cJSON *line) {
    return cJSON_HasObjectItem(line, "loss");
}

// Leaves out every other line of steps.
static void thin(ftc_history *history) {
    int64_t i = 0;
    for (cJSON *line = history->lines->child, *next; line; line = next) {
        next = line->next;
        if (is_of_steps(line) && i++ % 2) {
            cJSON_Delete(cJSON_DetachItemViaPointer(history->lines, line));
            history->kept--;
        }
    }
    history->stride *= 2;
}

void ftc_history_add(ftc_history *history, cJSON *line) {
    if (history->all) {
        char *text = cJSON_PrintUnformatted(line);
        fprintf(history->all, "%s\n\t\t%s", ftell(history->all) ? "," : "", text);
        cJSON_free(text);
    }
    if (is_of_steps(line)) {
        if (history->steps++ % history->stride) {
            cJSON_Delete(line);
            return;
        }
        if (history->kept == FTC_HISTORY_STEPS) thin(history);
        history->kept++;
    }
    cJSON_AddItemToArray(history->lines, line);
}

ftc_status ftc_history_write(const ftc_history *history, const cJSON *object, const char *path) {
    if (fflush(history->all) || ferror(history->all))
        return ftc_status_make(FTC_BAD_INPUT, "%s: the log of the steps up to here could not be kept: %s",
                               path, strerror(errno));
    static const char BEFORE[] = ",\n\t\"log_history\":\t[", AFTER[] = "\n\t]\n}\n";
    char *text = cJSON_Print(object);
    size_t bytes = (size_t)ftell(history->all);
    void *lines = bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fileno(history->all), 0) : NULL;
    const ftc_file_part parts[] = {{text, strlen(text) - strlen("\n}"), NULL},
                                   {BEFORE, sizeof BEFORE - 1, NULL},
                                   {lines, bytes, NULL},
                                   {AFTER, sizeof AFTER - 1, NULL}};
    ftc_status status = lines == MAP_FAILED ? ftc_status_make(FTC_BAD_INPUT, "%s: cannot map the log: %s",
                                                              path, strerror(errno))
                                            : ftc_file_write_parts(path, parts, sizeof parts / sizeof *parts);
    if (lines && lines != MAP_FAILED) munmap(lines, bytes);
    cJSON_free(text);
    return status;
}

void ftc_history_free(ftc_history *history) {
    cJSON_Delete(history->lines);
    if (history->all) {
        ftc_care_end(history->all);
        fclose(history->all);
    }
    *history = (ftc_history){0};
}
