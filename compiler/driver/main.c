// ftc: compiles the training of a model, and trains it.
#include "compiler/codegen/llvm.h"
#include "compiler/driver/cli.h"
#include "compiler/driver/commands.h"
#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const ftc_command COMMANDS[] = {
    {"compile", ftc_command_compile, "Compile a model's training into an artifact.",
     "ftc compile MODEL.ir | --pretrained DIR [-o FILE.ftc] [options]"},
    {"opt", ftc_command_opt, "Run chosen passes on a model or a dump and print what they make of it.",
     "ftc opt FILE.ir --passes=a,b,c [--entry step|grad|update|eval]"},
    {"run", ftc_command_run, "Train a model.",
     "ftc run [ARTIFACT.ftc | MODEL.ir | --pretrained DIR] [options]\n"
     "An artifact is code: run only what you, or somebody you trust, have compiled."},
    {"eval", ftc_command_eval, "Evaluate a trained classifier on labelled data.",
     "ftc eval DIR --test FILE [--json] [options]"},
    {"predict", ftc_command_predict, "Classify texts.",
     "ftc predict DIR [--json] TEXT... | --file FILE [--text-column NAME]"},
    {"bench", ftc_command_bench, "Time the training step, or the steps of several programs in turns.",
     "ftc bench ARTIFACT.ftc | MODEL.ir ... [--batch N] [--length N] [--steps N] [--kernels] [--json]"},
    {"explain", ftc_command_explain,
     "Tell of each kernel what it computes, why it ends there and what bounds it.",
     "ftc explain MODEL.ir [--kernel NAME]"},
    {"view", ftc_command_view,
     "Show an artifact's kernels as a page: costs, roofline, memory, lines of the text.",
     "ftc view ARTIFACT.ftc [-o view.html]"},
    {"verify", ftc_command_verify, "Compare interpreter, eager and compiled code on one batch.",
     "ftc verify MODEL.ir | --pretrained DIR [--train FILE] [--batch N] [--dump-grads FILE] [--json] "
     "[options]"},
    {"inspect", ftc_command_inspect,
     "Show what is in an artifact, a model, a saved directory or a row of data.",
     "ftc inspect ARTIFACT.ftc | MODEL.ir | DIR | --train FILE --row N --tokenizer DIR"},
    {"tokenize", ftc_command_tokenize, "Print the token ids of texts.",
     "ftc tokenize DIR [--json] TEXT... | --file FILE --text-column NAME"},
};

enum { N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS };

static void print_commands(FILE *to) {
    fprintf(to, "usage: ftc COMMAND ...\n\n");
    for (int i = 0; i < N_COMMANDS; i++) fprintf(to, "  %-10s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    fprintf(to, "\nftc COMMAND --help lists a command's options.\n");
}

// The exit status of a command whose output must have arrived.
static int flushed(const char *command, int status) {
    errno = 0;
    bool arrived = fflush(stdout) == 0 && !ferror(stdout);
    if (arrived) return status;
    fprintf(stderr, "ftc %s: standard output: cannot write%s%s\n", command, errno ? ": " : " all of it",
            errno ? strerror(errno) : "");
    return status == FTC_EXIT_OK ? FTC_EXIT_USAGE : status;
}

// Gives the streams that are closed a place, so that no file that is opened takes it: reading finds nothing,
// writing fails.
static void fill_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", O_RDONLY); // takes the lowest that is free
}

// Memory may run out before `main`, while libraries set themselves up: this runs before they do.
static void end_without_scope(const char *why) {
    dprintf(STDERR_FILENO, "ftc: %s\n", why);
    _exit(FTC_EXIT_USAGE);
}

static void begin_process(void) {
    ftc_without_scope(end_without_scope);
    ftc_llvm_enter();
}

__attribute__((section(".preinit_array"), used)) static void (*const begin)(void) = begin_process;

// The exit status of a command; where its work is given up, says why.
static int run(const ftc_command *command, int argc, char **argv) {
    volatile int status = FTC_EXIT_USAGE;
    ftc_scope scope;
    ftc_scope_open(&scope);
    if (ftc_scope_enter(&scope)) {
        status = command->run(command, argc, argv);
    } else {
        fprintf(stderr, "ftc %s: %s\n", command->name, scope.why);
    }
    ftc_scope_close(&scope);
    return status;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : NULL, *names[N_COMMANDS];
    fill_streams();
    signal(SIGXFSZ, SIG_IGN); // a file beyond the limit is an error like a full disk
    if (!name) {
        print_commands(stderr);
        return FTC_EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_commands(stdout);
        return FTC_EXIT_OK;
    }
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = COMMANDS[i].name;
        if (strcmp(name, names[i]) == 0) return flushed(name, run(&COMMANDS[i], argc - 1, argv + 1));
    }
    const char *near = ftc_name_nearest(name, names, N_COMMANDS);
    fprintf(stderr, "ftc: unknown command %s%s%s%s; ftc --help lists all\n", name,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return FTC_EXIT_USAGE;
}
