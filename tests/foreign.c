#include "tests/foreign.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/codegen/object.h"
#include "runtime/files.h"
#include "tests/foreign_call.h"
#include "tests/paths.h"

extern char **environ;

// By the name of the target: what links programs for it, and what runs them, on the plainest of its CPUs.
static const struct {
    const char *target, *compiler, *emulator, *cpu;
} MACHINES[] = {{"aarch64", "aarch64-linux-gnu-gcc", "qemu-aarch64", "cortex-a53"},
                {"sve256", "aarch64-linux-gnu-gcc", "qemu-aarch64", "max,sve128=on,sve256=on"}};

static int machine_of(const ftc_target *target) {
    for (int i = 0; i < (int)(sizeof MACHINES / sizeof *MACHINES); i++)
        if (!strcmp(MACHINES[i].target, target->name)) return i;
    return -1;
}

bool test_is_foreign(const ftc_target *target) {
    return target->arch != ftc_target_host()->arch;
}

static bool is_installed(const char *program) {
    char command[64];
    snprintf(command, sizeof command, "command -v %s >/dev/null", program);
    return system(command) == 0;
}

static void skip(const char *what, const char *name) {
    fprintf(stderr, "skipped: %s %s\n", what, name);
    cr_skip_test("skipped: %s %s", what, name);
}

void test_skip_unless_runs(const ftc_target *target) {
    int machine = machine_of(target);
    if (!test_is_foreign(target)) {
        if (!ftc_target_supported_here(target)) skip("this CPU does not have", target->name);
    } else if (machine < 0) {
        skip("no emulator is known for", target->name);
    } else if (!is_installed(MACHINES[machine].compiler)) {
        skip("no", MACHINES[machine].compiler);
    } else if (!is_installed(MACHINES[machine].emulator)) {
        skip("no", MACHINES[machine].emulator);
    }
}

// A program, as long as the test runs.
typedef struct foreign {
    const ftc_program *program;
    int machine;
    int executable; // a file without a name
    struct foreign *next;
} foreign;

static foreign *all;

static void run(char *const *words, int input, int output) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, 0);
    if (output >= 0) posix_spawn_file_actions_adddup2(&actions, output, 1);
    pid_t pid;
    int status;
    cr_assert_eq(posix_spawnp(&pid, words[0], &actions, NULL, words, environ), 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "%s ended with status %x", words[0], (unsigned)status);
    posix_spawn_file_actions_destroy(&actions);
}

// Links the object with main; what comes of it is open, and has no name any more.
static int link_program(const ftc_object *object, const char *compiler) {
    char *folder = test_directory(), *path = test_write(folder, "model.o", object->bytes, object->size);
    char *program = test_join(folder, "program");
    char *words[] = {(char *)compiler,
                     "-std=gnu17",
                     "-O1",
                     "-static",
                     "-pthread",
                     "-I" FTC_SOURCE_ROOT,
                     "-o",
                     program,
                     FTC_SOURCE_ROOT "/tests/foreign_main.c",
                     path,
                     NULL};
    run(words, -1, -1);
    int executable = open(program, O_RDONLY);
    cr_assert_geq(executable, 0);
    cr_assert_eq(ftc_dir_remove(folder).code, FTC_OK);
    free(program);
    free(path);
    free(folder);
    return executable;
}

// --- a call -------------------------------------------------------------------------------------------

static void give_block(FILE *f, const void *data, int64_t bytes) {
    if (!data) bytes = -1;
    fwrite(&bytes, sizeof bytes, 1, f);
    if (bytes > 0) fwrite(data, 1, (size_t)bytes, f);
}

static int64_t tensor_bytes(const ftc_tensor_info *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dims[i];
    return n * ftc_dtype_bytes(t->dtype);
}

// How much of what a count counts the call has (ftc_count_info).
static int64_t counted(const ftc_program *p, const ftc_step_args *args, int32_t count) {
    const ftc_count_info *info = &p->counts[count];
    int32_t over = -1; // of the ragged ones, all of which are ragged over one axis
    int64_t n = 1, products = 0;
    for (int32_t i = 0; i < info->n; i++) {
        const ftc_extent_info *extent = &p->extents[info->extents[i]];
        if (extent->ragged_over < 0)
            n *= args->extents[info->extents[i]];
        else
            over = extent->ragged_over;
    }
    for (int64_t b = 0; over >= 0 && b < args->extents[over]; b++) {
        int64_t product = 1;
        for (int32_t i = 0; i < info->n; i++) {
            int32_t e = info->extents[i];
            if (p->extents[e].ragged_over >= 0) product *= args->offsets[e][b + 1] - args->offsets[e][b];
        }
        products += product;
    }
    return over >= 0 ? n * products : n;
}

static void give_call(FILE *f, const ftc_program *p, ftc_entry_kind entry, const ftc_step_args *args,
                      int32_t threads) {
    const ftc_entry *e = &p->entries[entry];
    foreign_call call = {.entry = (int64_t)entry,
                         .threads = threads,
                         .arena_bytes = e->arena_bytes + threads * e->scratch_bytes,
                         .n_kernels = e->n_kernels,
                         .n_tensors = p->n_tensors,
                         .n_inputs = p->n_inputs,
                         .n_outputs = p->n_outputs,
                         .n_extents = p->n_extents,
                         .n_counts = p->n_counts,
                         .seed = args->seed,
                         .step = args->step,
                         .micro_step = args->micro_step};
    fwrite(&call, sizeof call, 1, f);
    give_block(f, args->scalars, p->n_scalars * (int64_t)sizeof *args->scalars);
    give_block(f, args->extents, p->n_extents * (int64_t)sizeof *args->extents);
    give_block(f, args->first_slots, p->n_extents * (int64_t)sizeof *args->first_slots);
    for (int32_t i = 0; i < p->n_tensors; i++) give_block(f, args->tensors[i], tensor_bytes(&p->tensors[i]));
    for (int32_t i = 0; i < p->n_inputs; i++) {
        const ftc_input_info *input = &p->inputs[i];
        give_block(f, args->inputs[i],
                   input->each * counted(p, args, input->count) * ftc_dtype_bytes(input->dtype));
    }
    for (int32_t i = 0; i < p->n_outputs; i++) {
        const ftc_output_info *output = &p->outputs[i];
        give_block(f, args->outputs[i],
                   output->each * counted(p, args, output->count) * ftc_dtype_bytes(output->dtype));
    }
    for (int32_t i = 0; i < p->n_extents; i++) {
        int32_t over = p->extents[i].ragged_over;
        give_block(f, over < 0 ? NULL : args->offsets[i],
                   over < 0 ? 0 : (args->extents[over] + 1) * (int64_t)sizeof **args->offsets);
    }
    for (int32_t i = 0; i < p->n_counts; i++) {
        const ftc_count_info *count = &p->counts[i];
        int32_t over = -1;
        for (int32_t k = 0; k < count->n; k++)
            if (p->extents[count->extents[k]].ragged_over >= 0)
                over = p->extents[count->extents[k]].ragged_over;
        give_block(f, over < 0 || !count->has_prefix ? NULL : args->prefixes[i],
                   over < 0 ? 0 : (args->extents[over] + 1) * (int64_t)sizeof **args->prefixes);
    }
}

static void take_back(FILE *f, void *to, int64_t bytes) {
    cr_assert_eq(fread(to, 1, (size_t)bytes, f), (size_t)bytes, "the emulated program gave too little");
}

// Stands for an entry; the thread 0 makes the call for all.
static void enter(foreign *x, int32_t entry, const ftc_step_args *args, int32_t thread, int32_t threads) {
    const ftc_program *p = x->program;
    if (thread) return;
    cr_assert(!args->ready && !args->gather && !args->await && !args->ticks && !p->needs_sgemm);
    FILE *to = tmpfile(), *from = tmpfile();
    cr_assert(to && from);
    give_call(to, p, (ftc_entry_kind)entry, args, threads);
    rewind(to);
    char program[32];
    snprintf(program, sizeof program, "/proc/self/fd/%d", x->executable);
    char *words[] = {(char *)MACHINES[x->machine].emulator, "-cpu", (char *)MACHINES[x->machine].cpu, program,
                     NULL};
    run(words, fileno(to), fileno(from));
    rewind(from);
    for (int32_t i = 0; i < p->n_tensors; i++)
        take_back(from, args->tensors[i], tensor_bytes(&p->tensors[i]));
    for (int32_t i = 0; i < p->n_outputs; i++) {
        const ftc_output_info *output = &p->outputs[i];
        take_back(from, args->outputs[i],
                  output->each * counted(p, args, output->count) * ftc_dtype_bytes(output->dtype));
    }
    fclose(to);
    fclose(from);
}

ftc_loaded_program *test_foreign_take(ftc_compiled *compiled, const ftc_target *target) {
    foreign *x = calloc(1, sizeof *x);
    x->machine = machine_of(target);
    x->executable = link_program(&compiled->code, MACHINES[x->machine].compiler);
    x->next = all;
    all = x;
    char *text = NULL, *error = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        fprintf(f,
                "define void @ftc_%s(ptr %%args, i32 %%thread, i32 %%threads) {\n"
                "  call void inttoptr (i64 %lld to ptr)(ptr inttoptr (i64 %lld to ptr), i32 %d, ptr %%args, "
                "i32 %%thread, i32 %%threads)\n  ret void\n}\n",
                ftc_entry_name((ftc_entry_kind)i), (long long)(intptr_t)enter, (long long)(intptr_t)x, i);
    fclose(f);
    free(compiled->code.bytes);
    compiled->code.bytes = ftc_object_from_text(text, size, ftc_target_host(), &compiled->code.size, &error);
    cr_assert(compiled->code.bytes, "%s", error);
    free(text);
    compiled->manifest->cpu_features = "";
    ftc_diagnostics d = {0};
    ftc_loaded_program *loaded = ftc_program_take(compiled, &d);
    cr_assert(loaded, "%s", d.count ? d.list[0].text : "");
    x->program = ftc_program_of(loaded);
    return loaded;
}
