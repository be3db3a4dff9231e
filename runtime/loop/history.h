// The lines that a training run logs, as trainer_state.json keeps them. All of them lie as text in a file
// without a name in the run's folder, from which each checkpoint is written; in memory stay as many as a
// report can draw.
#ifndef FTC_RUNTIME_HISTORY_H
#define FTC_RUNTIME_HISTORY_H

#include "runtime/files.h"
#include "runtime/status.h"

#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

// The most lines of steps that stay in memory.
#define FTC_HISTORY_STEPS 4096

typedef struct {
    // Array of log lines: all evaluations and what a run says at its end, and every stride-th line of steps.
    cJSON *lines;
    int64_t stride, steps; // of the lines of steps: one in how many stays; how many were added
    int64_t kept;          // how many of them are in `lines`
    FILE *all;             // NULL: nobody will ask for them
} ftc_history;

// An empty history, of whose lines only those in memory are kept until ftc_history_open.
ftc_history ftc_history_make(void);

// Keeps all lines from now on, in the existing folder `dir`. To be called before any are added.
ftc_status ftc_history_open(ftc_history *history, const char *dir);

// Adds a line; takes it. What cannot be written is told by ftc_history_write.
void ftc_history_add(ftc_history *history, cJSON *line);

// Writes `object`, a JSON object, to `path` with all lines as a further member "log_history"
// (ftc_file_write).
ftc_status ftc_history_write(const ftc_history *history, const cJSON *object, const char *path);

void ftc_history_free(ftc_history *history);

#endif
