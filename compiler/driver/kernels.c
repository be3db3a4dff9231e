#include "compiler/driver/kernels.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/codegen/object.h"
#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/lang/elaborate.h"
#include "runtime/files.h"

extern const ftc_library_file ftc_kernel_headers[]; // ftc_kernel.h, embedded at build time
extern char **environ;

static bool add_status(ftc_diagnostics *d, const char *file, ftc_status status) {
    if (status.code == FTC_OK) return true;
    ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel %s: %s", file,
                 status.message ? status.message : "out of memory");
    ftc_status_free(&status);
    return false;
}

// Whether the C compiler ended well. What it has to say goes to standard error.
static bool run_compiler(const char *file, const ftc_target *target, const char *folder, const char *object,
                         ftc_diagnostics *d) {
    // $CC and $CFLAGS are words; the file's name is one whatever is in it.
    char *machine = ftc_format("-march=%s", target->march);
    char *const words[] = {
        "sh",
        "-c",
        "exec ${CC:-cc} -O3 \"$2\" -ffp-contract=fast -fPIC $CFLAGS -I \"$3\" -c \"$1\" -o \"$4\"",
        "sh",
        (char *)file,
        machine,
        (char *)folder,
        (char *)object,
        NULL};
    pid_t child;
    int status, error = posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ);
    if (!error)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    free(machine);
    if (!error && WIFEXITED(status) && !WEXITSTATUS(status)) return true;
    ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel %s: %s could not compile it%s%s", file,
                 getenv("CC") ? getenv("CC") : "cc", error ? ": " : "", error ? strerror(error) : "");
    return false;
}

// The object of a C file, made in a folder of its own, where ftc_kernel.h lies, too.
static bool compile_c(const char *file, const ftc_target *target, ftc_kernel_file *out, ftc_diagnostics *d) {
    const char *base = getenv("TMPDIR");
    char *folder = ftc_format("%s/ftc-kernel-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel %s: cannot make the folder %s: %s", file, folder,
                     strerror(errno));
        free(folder);
        return false;
    }
    char *header = ftc_format("%s/ftc_kernel.h", folder), *object = ftc_format("%s/kernel.o", folder);
    const char *text = ftc_kernel_headers[0].text;
    bool ok = add_status(d, file, ftc_file_write(header, text, strlen(text))) &&
              run_compiler(file, target, folder, object, d) &&
              add_status(d, file, ftc_file_read(object, &out->bytes, &out->size));
    unlink(object);
    unlink(header);
    rmdir(folder);
    free(object);
    free(header);
    free(folder);
    return ok;
}

static bool compile_ll(const char *file, const ftc_target *target, ftc_kernel_file *out, ftc_diagnostics *d) {
    char *text = NULL, *error = NULL;
    size_t size;
    if (!add_status(d, file, ftc_file_read(file, &text, &size))) return false;
    out->bytes = ftc_object_from_text(text, size, target, &out->size, &error);
    if (!out->bytes) ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel %s: %s", file, error);
    free(error);
    free(text);
    return out->bytes != NULL;
}

static bool read_one(const char *file, const ftc_target *target, ftc_kernel_file *out, ftc_diagnostics *d) {
    if (ftc_name_ends_with(file, ".c")) return compile_c(file, target, out, d);
    if (ftc_name_ends_with(file, ".ll")) return compile_ll(file, target, out, d);
    if (ftc_name_ends_with(file, ".o"))
        return add_status(d, file, ftc_file_read(file, &out->bytes, &out->size));
    ftc_diag_add(d, NULL, NULL, 0, 0, "--kernel %s: expected a .c, .ll or .o file", file);
    return false;
}

bool ftc_kernels_read(const ftc_text_list *files, const char *target, ftc_kernel_file **kernels, int *n,
                      ftc_diagnostics *d) {
    const ftc_target *machine = target ? ftc_target_named(target) : ftc_target_host();
    if (!machine) machine = ftc_target_host(); // whoever compiles the model says so
    *kernels = ftc_alloc(files->n + 1, sizeof **kernels);
    for (*n = 0; *n < (int)files->n; ++*n) {
        (*kernels)[*n].name = ftc_strdup(files->items[*n]);
        if (read_one(files->items[*n], machine, &(*kernels)[*n], d)) continue;
        ++*n; // what there is of it is to be freed
        return false;
    }
    return true;
}

void ftc_kernels_free(ftc_kernel_file *kernels, int n) {
    for (int i = 0; i < n; i++) {
        free((char *)kernels[i].name);
        free(kernels[i].bytes);
    }
    free(kernels);
}
