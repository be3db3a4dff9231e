// The folder that a run writes into: claimed by one run at a time, and only if what lies in it is from
// earlier runs. OUTPUT/.ftc-run says so: its first line the run that holds or held the folder, below it the
// checkpoints that this run made, one a line.
#ifndef FTC_RUNTIME_FOLDER_H
#define FTC_RUNTIME_FOLDER_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *dir, *record;
    int file; // the record, locked
    bool made_dir, made_record;
    bool is_kept; // something is left in it although no model was saved: event files
} ftc_folder;

typedef struct {
    const char *dir;
    bool continues;      // an earlier run of this folder, whose checkpoints then are this run's
    bool overwrite;      // files of others, too
    const char *metrics; // a file that may lie there; NULL: none
    const char *events;  // the folder of event files, which may lie there; NULL: none, or as usual
} ftc_folder_request;

// Makes the folder and locks it until ftc_folder_release, or until the process ends however. Refuses a folder
// that another process holds, naming that one, and one with files that no earlier run has written; the
// metrics, event files, standard output, standard error and the folders of other runs may lie in it. Removes
// what interrupted runs left half-done.
ftc_status ftc_folder_claim(const ftc_folder_request *request, ftc_folder *out);

// Gives the folder back. If nothing was saved there, what the claim made goes: the folder stays another's.
// All zero is allowed.
void ftc_folder_release(ftc_folder *output, bool saved);

// Whether `name` is "checkpoint-<step>", as runs write it, and, behind that, `ending`.
bool ftc_folder_checkpoint(const char *name, const char *ending, int64_t *step);

// Records a checkpoint, before it is written.
ftc_status ftc_folder_add(const char *dir, int64_t step);

// The steps of the recorded checkpoints, whether or not they exist. To be freed.
int64_t *ftc_folder_steps(const char *dir, size_t *n);

#endif
