#include "runtime/files.h"

#include "ir/base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ftc_status system_error(const char *path, const char *doing) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: cannot %s: %s", path, doing, strerror(errno));
}

char *ftc_path_join(const char *dir, const char *name) {
    char *path;
    size_t n = strlen(dir);
    path = ftc_format("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
    return path;
}

bool ftc_file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

bool ftc_file_can_be_written(const char *path, bool beside) {
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (!exists && errno != ENOENT) return false;
    if (exists && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return false;
    }
    if (exists && !(beside && S_ISREG(info.st_mode))) return access(path, W_OK) == 0;
    char *copy = ftc_strdup(path);
    bool can = access(dirname(copy), W_OK | X_OK) == 0;
    int error = errno;
    free(copy);
    errno = error;
    return can;
}

bool ftc_dir_can_be_made(const char *path) {
    char *copy = ftc_strdup(path), *above = copy; // the lowest directory that is there
    while (access(above, F_OK) != 0 && errno == ENOENT) above = dirname(above);
    bool can = access(above, W_OK | X_OK) == 0;
    struct stat info;
    if (can && (stat(above, &info) != 0 || !S_ISDIR(info.st_mode))) {
        can = false;
        errno = ENOTDIR;
    }
    int error = errno;
    free(copy);
    errno = error;
    return can;
}

int ftc_file_nameless(const char *dir) {
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    char *path = ftc_path_join(dir, ".ftc-XXXXXX"); // a file system without O_TMPFILE
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    free(path);
    return fd;
}

// --- files --------------------------------------------------------------------------------------------

ftc_status ftc_lfs_pointer(const char *path) {
    return ftc_status_make(
        FTC_BAD_INPUT, "%s: the file is a Git LFS pointer, not what it points to; fetch that (git lfs pull)",
        path);
}

ftc_status ftc_file_read(const char *path, char **text, size_t *bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        ftc_status status = system_error(path, "open");
        if (fd >= 0) close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return ftc_status_make(FTC_BAD_INPUT, "%s: not a file", path);
    }
    size_t size = (size_t)info.st_size, done = 0;
    char *data = ftc_alloc_or_null(size + 1);
    if (!data) {
        close(fd);
        return ftc_status_make(FTC_BAD_INPUT, "%s: %zu bytes do not fit into memory", path, size);
    }
    while (done < size) {
        ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            ftc_status status = system_error(path, "read");
            free(data);
            close(fd);
            return status;
        }
        if (n == 0) break; // it became shorter meanwhile
        done += (size_t)n;
    }
    close(fd);
    data[done] = '\0';
    if (strncmp(data, FTC_LFS_POINTER, strlen(FTC_LFS_POINTER)) == 0) {
        free(data);
        return ftc_lfs_pointer(path);
    }
    *text = data;
    *bytes = done;
    return FTC_STATUS_OK;
}

ftc_status ftc_file_write(const char *path, const void *data, size_t bytes) {
    return ftc_file_write_parts(path, &(ftc_file_part){.data = data, .bytes = bytes}, 1);
}

static bool write_all(int fd, const char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        data += n;
        bytes -= (size_t)n;
    }
    return true;
}

ftc_status ftc_file_write_parts(const char *path, const ftc_file_part *parts, size_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return system_error(path, "create");
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        const ftc_file_part *part = &parts[i];
        ok = write_all(fd, part->bring ? part->bring(part->data) : part->data, part->bytes);
    }
    struct stat info;
    bool is_file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode); // others (/dev/null, a pipe) keep nothing
    ok = ok && (!is_file || fsync(fd) == 0);
    ftc_status status = ok ? FTC_STATUS_OK : system_error(path, "write");
    if (close(fd) != 0 && status.code == FTC_OK) status = system_error(path, "write");
    if (status.code != FTC_OK && is_file) unlink(path);
    return status;
}

ftc_status ftc_file_copy(const char *from, const char *to) {
    char *text;
    size_t bytes;
    FTC_RETURN_IF_ERROR(ftc_file_read(from, &text, &bytes));
    ftc_status status = ftc_file_write(to, text, bytes);
    free(text);
    return status;
}

// --- directories --------------------------------------------------------------------------------------

ftc_status ftc_dir_make(const char *path) {
    char *part = ftc_strdup(path);
    ftc_status status = FTC_STATUS_OK;
    for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            status = system_error(part, "make the directory");
            break;
        }
        if (!slash) break;
        *slash = '/';
    }
    struct stat info;
    if (status.code == FTC_OK && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))) {
        status =
            ftc_status_make(FTC_BAD_INPUT, "%s: there is a file of this name, a directory is needed", path);
    }
    free(part);
    return status;
}

// Removes what is in a directory, and closes it. Needs no memory: this is also done when there is none.
static bool empty_directory(int dir) {
    char entries[4096];
    bool ok = dir >= 0, removes = true;
    while (ok && removes) { // again from the start, since what is removed moves the rest
        removes = false;
        ok = lseek(dir, 0, SEEK_SET) == 0;
        for (ssize_t n; ok && (n = getdents64(dir, entries, sizeof entries)) != 0;) {
            ok = n > 0;
            for (ssize_t at = 0; ok && at < n;) {
                const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
                at += entry->d_reclen;
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
                removes = true;
                if (unlinkat(dir, entry->d_name, 0) == 0 || errno == ENOENT) continue;
                int inner = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                ok = empty_directory(inner) && unlinkat(dir, entry->d_name, AT_REMOVEDIR) == 0;
            }
        }
    }
    if (dir >= 0) close(dir);
    return ok;
}

static bool remove_directory(const char *path) {
    if (!ftc_file_exists(path)) return true;
    return empty_directory(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) && rmdir(path) == 0;
}

ftc_status ftc_dir_remove(const char *path) {
    return remove_directory(path) ? FTC_STATUS_OK : system_error(path, "remove");
}

// Makes the names in a directory durable.
static ftc_status sync_dir(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return system_error(path, "open");
    ftc_status status = fsync(fd) == 0 ? FTC_STATUS_OK : system_error(path, "sync");
    close(fd);
    return status;
}

static ftc_status sync_parent(const char *path) {
    char *copy = ftc_strdup(path);
    ftc_status status = sync_dir(dirname(copy));
    free(copy);
    return status;
}

static void remove_temporary(void *path, size_t bytes) {
    (void)bytes;
    remove_directory(path);
    free(path);
}

ftc_status ftc_dir_begin(const char *path, char **temporary) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    char *name = ftc_format("%.*s.saving", (int)n, path);
    ftc_status status = ftc_dir_remove(name);
    if (status.code == FTC_OK) status = ftc_dir_make(name);
    if (status.code != FTC_OK) {
        free(name);
        return status;
    }
    ftc_care_begin(name, 0, remove_temporary);
    *temporary = name;
    return FTC_STATUS_OK;
}

ftc_status ftc_dir_commit(const char *temporary, const char *path) {
    FTC_RETURN_IF_ERROR(sync_dir(temporary));
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0) return sync_parent(path);
    if (errno != EEXIST) return system_error(path, "rename the finished directory to");
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) != 0) {
        return system_error(path, "replace");
    }
    FTC_RETURN_IF_ERROR(sync_parent(path));
    return ftc_dir_remove(temporary); // the old one
}

ftc_status ftc_dir_merge(const char *temporary, const char *path) {
    DIR *dir = opendir(temporary);
    if (!dir) return system_error(temporary, "open");
    ftc_status status = FTC_STATUS_OK;
    for (struct dirent *entry; status.code == FTC_OK && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *from = ftc_path_join(temporary, entry->d_name), *to = ftc_path_join(path, entry->d_name);
        if (rename(from, to) != 0)
            status =
                errno == ENOTEMPTY || errno == EEXIST ? ftc_dir_merge(from, to) : system_error(to, "replace");
        free(from);
        free(to);
    }
    closedir(dir);
    if (status.code == FTC_OK) status = sync_dir(path);
    if (status.code == FTC_OK) status = ftc_dir_remove(temporary);
    return status;
}

ftc_status ftc_dir_end(ftc_status written, char *temporary, ftc_status finish(const char *, const char *),
                       const char *path) {
    ftc_status status = written.code == FTC_OK ? finish(temporary, path) : written;
    ftc_care_end(temporary);
    if (status.code != FTC_OK) {
        remove_temporary(temporary, 0);
    } else {
        free(temporary);
    }
    return status;
}
