#include "compiler/codegen/llvm.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <llvm-c/ErrorHandling.h>

#include "ir/base/alloc.h"

// C++'s std::set_new_handler, which C has no header for; LLVM's library brings it along.
typedef void new_handler(void);
typedef new_handler *set_new_handler(new_handler *handler);

// LLVM's own allocations by malloc; of C++ alone, too.
typedef void bad_alloc_handler(void *context, const char *reason, bool is_crash);
void install_bad_alloc_error_handler(bad_alloc_handler *handler, void *context) __asm__(
    "_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_");

static _Thread_local int depth __attribute__((tls_model("initial-exec"))); // of enter in this thread
static atomic_bool is_lost, is_installed;
static set_new_handler *set_handler;
static new_handler *previous;

static void lose_memory(void) {
    atomic_store(&is_lost, true);
    ftc_out_of_memory(0);
}

// Of the whole process: memory that somebody else asks for, on another thread, is not our concern.
static void on_new(void) {
    if (depth) lose_memory();
    if (previous) {
        previous();
    } else {
        set_handler(NULL); // and `new` throws
    }
}

static void on_bad_alloc(void *context, const char *reason, bool is_crash) {
    (void)context, (void)is_crash;
    if (depth) lose_memory();
    fprintf(stderr, "LLVM ERROR: %s\n", reason);
    abort();
}

static void on_fatal_error(const char *reason) {
    if (!depth) return; // LLVM ends the process
    char why[200];
    snprintf(why, sizeof why, "LLVM: %s", reason);
    atomic_store(&is_lost, true);
    ftc_give_up(why);
}

static void install(void) {
    if (!set_handler) *(void **)&set_handler = dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");
    new_handler *before = set_handler ? set_handler(on_new) : NULL;
    if (before != on_new) previous = before;
    if (atomic_exchange(&is_installed, true)) return;
    install_bad_alloc_error_handler(on_bad_alloc, NULL);
    LLVMInstallFatalErrorHandler(on_fatal_error);
}

static void leave(void *object, size_t bytes) {
    (void)object, (void)bytes;
    depth--;
}

void ftc_llvm_enter(void) {
    if (atomic_load(&is_lost)) {
        ftc_give_up(
            "LLVM ran out of memory before, or failed: this process can compile and load no model any more; "
            "start another one");
    }
    if (!depth++) install();
    ftc_care_begin(&depth, 0, leave);
}

void ftc_llvm_leave(void) {
    ftc_care_end(&depth);
    depth--;
}

bool ftc_llvm_is_lost(void) {
    return atomic_load(&is_lost);
}
