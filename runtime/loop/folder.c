#include "runtime/loop/folder.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"
#include "runtime/hub/pooling.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char RECORD[] = ".ftc-run", NEW_RECORD[] = ".ftc-run.saving";

static ftc_status system_error(const char *path, const char *doing) {
    return ftc_status_make(FTC_BAD_INPUT, "%s: cannot %s: %s", path, doing, strerror(errno));
}

// --- what runs write ----------------------------------------------------------------------------------

bool ftc_folder_checkpoint(const char *name, const char *ending, int64_t *step) {
    static const char PREFIX[] = "checkpoint-";
    enum { MOST_DIGITS = 18 }; // of 64 bits
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) return false;
    name += strlen(PREFIX);
    size_t digits = strspn(name, "0123456789");
    bool is_number = digits && digits <= MOST_DIGITS && (*name != '0' || digits == 1);
    if (!is_number || strcmp(name + digits, ending) != 0) return false;
    *step = strtoll(name, NULL, 10);
    return true;
}

static bool is_checkpoint(const char *name, const char *ending) {
    int64_t step;
    return ftc_folder_checkpoint(name, ending, &step);
}

// What a run that was interrupted while it wrote or removed a directory leaves.
static bool is_half_done(const char *name) {
    return strcmp(name, NEW_RECORD) == 0 || strcmp(name, "model.saving") == 0 ||
           strcmp(name, "summary.saving") == 0 || is_checkpoint(name, ".saving") ||
           is_checkpoint(name, ".removing");
}

static bool is_written_by_runs(const char *name) {
    static const char *const NAMES[] = {"config.json",
                                        "model.safetensors",
                                        "model.ir",
                                        "README.md",
                                        "report.html",
                                        "vocab.txt",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "added_tokens.json",
                                        "special_tokens_map.json",
                                        "adapter_config.json",
                                        "adapter_model.safetensors",
                                        "runs"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(name, NAMES[i]) == 0) return true;
    for (const char *const *file = ftc_pooling_files; *file; file++)
        if (strcmp(name, *file) == 0) return true;
    return is_half_done(name) || is_checkpoint(name, "");
}

// Whether an entry is where this run's own lines go.
static bool is_a_stream(const struct stat *entry, const char *metrics) {
    struct stat info;
    bool same =
        metrics && stat(metrics, &info) == 0 && info.st_ino == entry->st_ino && info.st_dev == entry->st_dev;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        same |= fstat(fd, &info) == 0 && info.st_ino == entry->st_ino && info.st_dev == entry->st_dev;
    return same;
}

// Whether this run's event files go into the entry `path`, or below it.
static bool is_above_events(const char *path, const char *events) {
    size_t n = strlen(path);
    return events && strncmp(events, path, n) == 0 && (events[n] == '/' || events[n] == '\0');
}

// Whether an entry is the folder of another run, as output/b of a run into `output` after one into output/b.
// What a run writes has none of its names.
static bool is_a_run(const char *path, const char *name) {
    char *record = ftc_path_join(path, RECORD);
    bool found = !is_written_by_runs(name) && ftc_file_exists(record);
    free(record);
    return found;
}

// --- the entries of the folder ------------------------------------------------------------------------

// Goes through all entries but the record: removes what is half done, if a run was here before, and returns
// the name of the first one that is of others, allocated; NULL: there is none.
static char *find_foreign(const ftc_folder_request *request, bool is_known) {
    DIR *dir = opendir(request->dir);
    char *foreign = NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, RECORD) == 0) continue;
        char *path = ftc_path_join(request->dir, name);
        struct stat info;
        if (is_known && is_half_done(name)) {
            ftc_status removed = ftc_dir_remove(path); // in the way of nobody if it stays
            ftc_status_free(&removed);
        } else if (lstat(path, &info) == 0) {
            bool ours = (is_known && is_written_by_runs(name)) || is_a_stream(&info, request->metrics) ||
                        is_above_events(path, request->events) || is_a_run(path, name);
            if (!ours && !foreign) foreign = ftc_strdup(name);
        }
        free(path);
    }
    if (dir) closedir(dir);
    return foreign;
}

static ftc_status check_entries(const ftc_folder_request *request, bool is_known) {
    char *foreign = find_foreign(request, is_known);
    bool allowed = !foreign || request->overwrite || request->continues;
    ftc_status status =
        allowed ? FTC_STATUS_OK
                : ftc_status_make(FTC_BAD_INPUT,
                                  "%s: holds %s, which no earlier ftc run has written; choose another "
                                  "--output, or --overwrite to write there anyway",
                                  request->dir, foreign);
    free(foreign);
    return status;
}

// --- the record ---------------------------------------------------------------------------------------

int64_t *ftc_folder_steps(const char *dir, size_t *n) {
    char *path = ftc_path_join(dir, RECORD), line[64];
    FILE *file = fopen(path, "re");
    int64_t *steps = NULL;
    *n = 0;
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        int64_t step;
        if (!ftc_folder_checkpoint(line, "", &step)) continue;
        steps = ftc_realloc(steps, *n + 1, sizeof *steps);
        steps[(*n)++] = step;
    }
    if (file) fclose(file);
    free(path);
    return steps;
}

ftc_status ftc_folder_add(const char *dir, int64_t step) {
    char *path = ftc_path_join(dir, RECORD);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && dprintf(fd, "checkpoint-%lld\n", (long long)step) > 0 && fsync(fd) == 0;
    ftc_status status = ok ? FTC_STATUS_OK : system_error(path, "write");
    if (fd >= 0) close(fd);
    free(path);
    return status;
}

// Begins the record anew, with the steps that stay: beside the old one, locked, and then in its place, so
// that there is one at every moment.
static ftc_status write_record(ftc_folder *output, const int64_t *steps, size_t n) {
    char started[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(started, sizeof started, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &local));
    char *beside = ftc_path_join(output->dir, NEW_RECORD);
    int file = open(beside, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    bool ok = file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0 &&
              dprintf(file, "process %lld, started %s\n", (long long)getpid(), started) > 0;
    for (size_t i = 0; ok && i < n; i++) ok = dprintf(file, "checkpoint-%lld\n", (long long)steps[i]) > 0;
    ok = ok && fsync(file) == 0 && rename(beside, output->record) == 0;
    ftc_status status = ok ? FTC_STATUS_OK : system_error(output->record, "write");
    int other = ok ? output->file : file;
    if (other >= 0) close(other);
    if (ok) output->file = file;
    if (!ok) unlink(beside);
    free(beside);
    return status;
}

static ftc_status refuse_second(const char *dir, int record) {
    char holder[80] = "";
    ssize_t n = pread(record, holder, sizeof holder - 1, 0);
    if (n < 0) n = 0;
    holder[n] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return ftc_status_make(
        FTC_BAD_INPUT, "%s: another ftc run (%s) writes there; wait for its end, or choose another --output",
        dir, *holder ? holder : "which has just begun");
}

// --- the claim ----------------------------------------------------------------------------------------

// Opens and locks the record. It may be removed between the two, by a run that ends without a result.
static ftc_status lock_record(ftc_folder *o) {
    for (;;) {
        bool is_new = !ftc_file_exists(o->record);
        o->file = open(o->record, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (o->file < 0) return system_error(o->record, "create");
        struct stat ours, named;
        if (flock(o->file, LOCK_EX | LOCK_NB) != 0)
            return errno == EWOULDBLOCK ? refuse_second(o->dir, o->file) : system_error(o->record, "lock");
        if (fstat(o->file, &ours) == 0 && stat(o->record, &named) == 0 && ours.st_ino == named.st_ino) {
            o->made_record = is_new;
            return FTC_STATUS_OK;
        }
        close(o->file);
    }
}

// Whether the record names a checkpoint: a line behind the first.
static bool has_checkpoints(const ftc_folder *o) {
    char begin[256];
    ssize_t n = pread(o->file, begin, sizeof begin, 0);
    const char *line = n > 0 ? memchr(begin, '\n', (size_t)n) : NULL;
    return line && line + 1 < begin + n;
}

// When the run is given up: needs no memory.
static void release(void *folder, size_t bytes) {
    (void)bytes;
    ftc_folder *o = folder;
    int dir = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool saved = faccessat(dir, "model.safetensors", F_OK, 0) == 0 ||
                 faccessat(dir, "adapter_model.safetensors", F_OK, 0) == 0;
    if (dir >= 0) close(dir);
    ftc_folder_release(o, saved);
}

static ftc_status claim(const ftc_folder_request *request, ftc_folder *o) {
    FTC_RETURN_IF_ERROR(ftc_dir_make(o->dir));
    FTC_RETURN_IF_ERROR(lock_record(o));
    if (access(o->dir, W_OK | X_OK) != 0) return system_error(o->dir, "write into");
    FTC_RETURN_IF_ERROR(check_entries(request, !o->made_record));
    size_t n = 0;
    int64_t *steps = request->continues ? ftc_folder_steps(o->dir, &n) : NULL;
    ftc_status status = write_record(o, steps, n);
    free(steps);
    return status;
}

ftc_status ftc_folder_claim(const ftc_folder_request *request, ftc_folder *out) {
    *out = (ftc_folder){
        .dir = ftc_strdup(request->dir), .record = ftc_path_join(request->dir, RECORD), .file = -1};
    out->made_dir = !ftc_file_exists(request->dir);
    ftc_care_begin(out, 0, release);
    ftc_status status = claim(request, out);
    if (status.code != FTC_OK) ftc_folder_release(out, false);
    return status;
}

void ftc_folder_release(ftc_folder *o, bool saved) {
    if (!o->dir) return;
    ftc_care_end(o);
    bool undo = !saved && !o->is_kept && !has_checkpoints(o);
    if (undo && o->made_record) unlink(o->record);
    if (undo && o->made_dir) rmdir(o->dir); // fails where there is something in it after all
    if (o->file >= 0) close(o->file);
    free(o->dir);
    free(o->record);
    *o = (ftc_folder){0};
}
