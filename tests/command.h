// The ftc command as tests run it: in a folder, with its exit status and what it prints.
#ifndef FTC_TESTS_COMMAND_H
#define FTC_TESTS_COMMAND_H

#include "runtime/json.h"
#include "tests/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

// One invocation in the folder `dir`; standard output and error are kept.
typedef struct {
    int status; // exit status, 128 + signal when killed
    char *out, *err;
} outcome;

static inline pid_t start(const char *dir, const char *const *args) {
    const char *argv[48] = {"ftc"};
    int n = 1;
    for (; args[n - 1]; n++) argv[n] = args[n - 1];
    argv[n] = NULL;
    char *out = ftc_path_join(dir, "stdout"), *err = ftc_path_join(dir, "stderr");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, dir);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    // Signals mean what they usually do, also where the tests run under nohup.
    posix_spawnattr_t attributes;
    sigset_t usual;
    sigemptyset(&usual);
    static const int SIGNALS[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
    for (int i = 0; i < 4; i++) sigaddset(&usual, SIGNALS[i]);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    pid_t pid;
    cr_assert_eq(posix_spawn(&pid, FTC_COMMAND, &actions, &attributes, (char *const *)argv, environ), 0);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(out);
    free(err);
    return pid;
}

static inline char *read_text(const char *dir, const char *name) {
    char *path = ftc_path_join(dir, name), *text;
    size_t bytes;
    ASSERT_OK(ftc_file_read(path, &text, &bytes));
    free(path);
    return text;
}

static inline outcome finish(const char *dir, pid_t pid) {
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return (outcome){code, read_text(dir, "stdout"), read_text(dir, "stderr")};
}

static inline void forget(outcome *o) {
    free(o->out);
    free(o->err);
}

#define FTC(dir, ...) finish(dir, start(dir, (const char *const[]){__VA_ARGS__, NULL}))

// Runs ftc and asserts its exit status and that `stream` contains `text`; evaluates to nothing.
#define ASSERT_FTC(dir, expected, stream, text, ...)                                                         \
    do {                                                                                                     \
        outcome o_ = FTC(dir, __VA_ARGS__);                                                                  \
        cr_assert_eq(o_.status, expected, "exit status %d\n%s%s", o_.status, o_.out, o_.err);                \
        cr_assert(strstr(o_.stream, text), "\"%s\" is not in:\n%s", text, o_.stream);                        \
        forget(&o_);                                                                                         \
    } while (0)

static inline void write_file(const char *dir, const char *name, const char *text) {
    free(test_write(dir, name, text, strlen(text)));
}

static inline bool exists(const char *dir, const char *name) {
    char *path = ftc_path_join(dir, name);
    bool found = ftc_file_exists(path);
    free(path);
    return found;
}

static inline int count_files(const char *dir, const char *name) {
    char *path = ftc_path_join(dir, name);
    DIR *listing = opendir(path);
    int n = 0;
    for (const struct dirent *entry; listing && (entry = readdir(listing));) n += *entry->d_name != '.';
    if (listing) closedir(listing);
    free(path);
    return n;
}

// The number `name` in the JSON lines of `text`: of the last line that has it; NaN when none has.
static inline double last_number(const char *text, const char *name) {
    double value = NAN;
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        cJSON *json = cJSON_ParseWithLength(line, strcspn(line, "\n"));
        cr_assert_not_null(json, "no JSON: %.80s", line);
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
        if (item) value = item->valuedouble;
        cJSON_Delete(json);
    }
    return value;
}

// The last value of what `--metrics m.jsonl` has under this name.
static inline double metric(const char *dir, const char *name) {
    char *metrics = read_text(dir, "m.jsonl");
    double value = last_number(metrics, name);
    free(metrics);
    return value;
}

#endif
