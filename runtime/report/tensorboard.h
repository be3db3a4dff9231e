// Event files that TensorBoard reads, under the tags of transformers' TensorBoardCallback.
#ifndef FTC_RUNTIME_TENSORBOARD_H
#define FTC_RUNTIME_TENSORBOARD_H

#include "runtime/status.h"

#include <stdio.h>

#include <cjson/cJSON.h>

typedef struct {
    char *path; // of the file; NULL: none is open, and what is told is dropped
    FILE *file;
} ftc_tensorboard;

// Where Trainer puts them unless told otherwise: "OUTPUT/runs/Nov28_21-45-37_HOST". Allocated.
char *ftc_tensorboard_dir(const char *output);

// Begins a file of its own in `dir`, which is made; those of earlier runs stay, and TensorBoard shows them
// as one.
ftc_status ftc_tensorboard_open(const char *dir, ftc_tensorboard *out);

// A text under "TAG/text_summary".
void ftc_tensorboard_text(ftc_tensorboard *to, const char *tag, const char *text);

// The numbers of a log line at its "step": eval_loss as "eval/loss", all others as "train/NAME".
void ftc_tensorboard_log(ftc_tensorboard *to, const cJSON *line);

// Closes the file, if one is open; fails when not all has arrived.
ftc_status ftc_tensorboard_close(ftc_tensorboard *to);

#endif
