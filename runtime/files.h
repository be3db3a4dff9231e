// Whole files and directories: read, written durably, copied, replaced in one step.
#ifndef FTC_RUNTIME_FILES_H
#define FTC_RUNTIME_FILES_H

#include "runtime/status.h"

#include <stdbool.h>
#include <stddef.h>

// Reads a whole file; *text is allocated and has a zero byte behind its *bytes bytes. Refuses Git LFS
// pointers.
ftc_status ftc_file_read(const char *path, char **text, size_t *bytes);

// How a Git LFS pointer begins: what git leaves in the place of a large file that was not fetched. Reading
// one is an error that says so.
#define FTC_LFS_POINTER "version https://git-lfs.github.com/spec/"
ftc_status ftc_lfs_pointer(const char *path);

typedef struct {
    const void *data;
    size_t bytes;
    // NULL: they lie at `data`. Else this is called with `data` when their turn has come, and tells where
    // they lie until the next part's turn.
    const void *(*bring)(const void *data);
} ftc_file_part;

// Writes a file that is on the disk when this returns; none is left when that fails. An existing file is
// overwritten in place: write into a directory from ftc_dir_begin, or under a temporary name.
ftc_status ftc_file_write(const char *path, const void *data, size_t bytes);

// The same for a file that is put together from parts.
ftc_status ftc_file_write_parts(const char *path, const ftc_file_part *parts, size_t n);

ftc_status ftc_file_copy(const char *from, const char *to);

bool ftc_file_exists(const char *path);

// Whether a file could be written at `path`, or beside it to take its place; if not, errno says why. For
// files that have work before them; leaves nothing behind.
bool ftc_file_can_be_written(const char *path, bool beside);

// Whether ftc_dir_make could make the directory, and files could be written in it; if not, errno says why.
bool ftc_dir_can_be_made(const char *path);

// Opens a file in `dir` that has no name and goes with its last descriptor, to be read and written; -1 with
// errno.
int ftc_file_nameless(const char *dir);

// "dir/name", allocated. Aborts when memory is exhausted.
char *ftc_path_join(const char *dir, const char *name);

// Makes a directory and those above it.
ftc_status ftc_dir_make(const char *path);

// Removes a directory and all that is in it; does nothing when there is none.
ftc_status ftc_dir_remove(const char *path);

// Makes an empty directory beside `path` to write into: *temporary (allocated) is "path.saving", without
// anything that an interrupted run may have left in it.
ftc_status ftc_dir_begin(const char *path, char **temporary);

// Renames `temporary` to `path` so that at every moment `path` is the old or the new directory, whole.
ftc_status ftc_dir_commit(const char *temporary, const char *path);

// Moves every file of `temporary`, and of the folders in it, into the existing directory `path`, each over
// its old version in one step, and removes `temporary`. Other files in `path` stay.
ftc_status ftc_dir_merge(const char *temporary, const char *path);

// Ends what ftc_dir_begin began: if it was `written` well, finishes it by one of the two above. If not, or if
// that fails, nothing is left of it. Frees `temporary`; returns the first failure.
ftc_status ftc_dir_end(ftc_status written, char *temporary, ftc_status finish(const char *, const char *),
                       const char *path);

#endif
