// Guarded programs: that each buffer has pages of its own, and that what leaves a buffer is found and named.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/artifact.h"
#include "compiler/compile.h"
#include "ir/lang/parse.h"
#include "runtime/loop/guard.h"
#include "runtime/loop/stepper.h"
#include "tests/call_program.h"

static const char MODEL[] = "model guarded\n"
                            "axis B <= 4, H = 20, I = 8\n"
                            "axis S ragged B <= 6\n"
                            "input x : f32[B, S, H]\n"
                            "y = softmax(dot(x, param \"w\" f32[I, H]; H); S)\n"
                            "output y = y\n"
                            "output loss = mean(dot(y, exp(y * y); I); B, S)\n";

typedef struct {
    ftc_loaded_program *loaded;
    const ftc_program *program;
    ftc_threads *threads;
    ftc_model_state state;
    ftc_stepper stepper;
    ftc_batch batch;
} guarded;

#define ASSERT_OK(call)                                                                                      \
    do {                                                                                                     \
        ftc_status status_ = (call);                                                                         \
        cr_assert_eq(status_.code, FTC_OK, "%s", status_.message);                                           \
    } while (0)

// The model with a batch of sequences of 6, 0 and 6 positions.
static void open_model(guarded *m, int32_t threads) {
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("test", MODEL, NULL, &d);
    cr_assert(g, "%s", d.count ? d.list[0].text : "");
    const uint32_t entries = 1u << FTC_ENTRY_GRAD | 1u << FTC_ENTRY_EVAL;
    m->loaded = test_compile(g, &(ftc_compile_options){.entries = entries, .guard = true});
    ftc_graph_free(g);
    m->program = ftc_program_of(m->loaded);
    cr_assert(m->program->guarded);
    ASSERT_OK(ftc_threads_create(threads, &m->threads));
    ASSERT_OK(ftc_model_state_create(m->program, entries, &ftc_world_alone, &m->state));
    ftc_model_state_init(&m->state, 1);
    ASSERT_OK(ftc_stepper_create(m->program, &m->state, m->threads, entries, NULL, &m->stepper));
    ASSERT_OK(ftc_batch_create(m->program, &m->batch));
    int64_t elements[2] = {3, 3};
    const int32_t lengths[] = {6, 0, 6}, *of_extents[] = {lengths, lengths};
    ASSERT_OK(ftc_batch_resize(&m->batch, elements, of_extents, NULL));
    memset(m->batch.inputs[0], 0, (size_t)ftc_batch_cells(&m->batch, 0) * sizeof(float));
}

static void close_model(guarded *m) {
    ftc_batch_free(&m->batch);
    ftc_stepper_free(&m->stepper);
    ftc_model_state_free(&m->state);
    ftc_threads_free(m->threads);
    ftc_program_unload(m->loaded);
}

Test(guard, values_share_no_page) {
    guarded m;
    open_model(&m, 2);
    const ftc_entry *entry = &m.program->entries[FTC_ENTRY_GRAD];
    cr_assert_gt(entry->n_buffers, 1);
    for (int32_t i = 0; i < entry->n_buffers; i++) {
        const ftc_buffer_info *a = &entry->buffers[i];
        int64_t begin = a->offset - ftc_guarded_offset(a->bytes), end = begin + ftc_guarded_bytes(a->bytes);
        cr_assert_eq(begin % FTC_PAGE_BYTES, 0);
        cr_assert_leq(end, entry->arena_bytes);
        for (int32_t k = 0; k < entry->n_buffers; k++)
            cr_assert(k == i || entry->buffers[k].offset < begin || entry->buffers[k].offset >= end);
    }
    close_model(&m);
}

Test(guard, what_ends_where_it_should_is_found_right) {
    guarded m;
    open_model(&m, 2);
    for (int i = 0; i < 3; i++) { // of entries in turn, each with an arena of its own
        ASSERT_OK(ftc_stepper_call(&m.stepper, FTC_ENTRY_GRAD, &m.batch, 1, 0));
        ASSERT_OK(ftc_stepper_call(&m.stepper, FTC_ENTRY_EVAL, &m.batch, 1, 0));
    }
    float loss = *ftc_stepper_result(&m.stepper, FTC_OUTPUT_LOSS, FTC_ENTRY_EVAL);
    cr_assert(loss > 0, "%g", (double)loss);
    close_model(&m);
}

// Writes a byte `distance` bytes behind the end of something, or before its begin where that is negative.
static void check_told(guarded *m, void *data, int64_t bytes, int64_t distance, const char *text) {
    char *at = (char *)data + (distance < 0 ? distance : bytes + distance), was = *at;
    *at ^= 1;
    ftc_status status = ftc_stepper_call(&m->stepper, FTC_ENTRY_EVAL, &m->batch, 1, 0);
    cr_assert_eq(status.code, FTC_BAD_INPUT);
    cr_assert(strstr(status.message, text), "%s", status.message);
    ftc_status_free(&status);
    *at = was;
    ASSERT_OK(ftc_stepper_call(&m->stepper, FTC_ENTRY_EVAL, &m->batch, 1, 0));
}

Test(guard, a_write_into_the_slack_is_told_with_the_name) {
    guarded m;
    open_model(&m, 2);
    int64_t bytes = ftc_batch_cells(&m.batch, 0) * (int64_t)sizeof(float);
    cr_assert_eq(bytes, 12 * 20 * 4);
    check_told(&m, m.batch.inputs[0], bytes, 0,
               "eval has written 0 bytes behind the end of a buffer: x, 960 bytes");
    check_told(&m, m.batch.inputs[0], bytes, FTC_STEP_SLACK_BYTES - 1,
               "255 bytes behind the end of a buffer: x");
    check_told(&m, m.batch.inputs[0], bytes, -1, "1 bytes before the begin of a buffer: x");
    check_told(&m, m.state.tensors[0], 20 * 8 * 4, 3, "3 bytes behind the end of a buffer: w");
    const ftc_entry *entry = &m.program->entries[FTC_ENTRY_GRAD];
    check_told(&m, m.stepper.arenas[FTC_ENTRY_GRAD].data + entry->buffers[0].offset, entry->buffers[0].bytes,
               9, entry->buffers[0].name);
    close_model(&m);
}

// What a child process says on standard error before SIGSEGV ends it: in a call whose input ends too early,
// or whose output does.
static void check_dies(bool input, const char *what, const char *where) {
    int ends[2], status;
    guarded m;
    signal(SIGSEGV, SIG_DFL); // nothing of Criterion or of a sanitizer
    open_model(&m, 1);
    if (input) m.batch.inputs[0] = ftc_guard_resize(m.batch.inputs[0], 0);
    for (int32_t i = 0; i < m.program->n_counts && !input; i++) m.batch.counts[i] = 0;
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        ftc_status never = ftc_stepper_call(&m.stepper, FTC_ENTRY_EVAL, &m.batch, 1, 0);
        _exit((int)never.code);
    }
    close(ends[1]);
    char said[4096];
    size_t n = 0;
    ssize_t got;
    while ((got = read(ends[0], said + n, sizeof said - 1 - n)) > 0) n += (size_t)got;
    said[n] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %x: %s", status, said);
    cr_assert(strstr(said, what) && strstr(said, where), "%s", said);
    close_model(&m);
}

Test(guard, what_leaves_the_slack_dies_with_the_name) {
    check_dies(true, "guard: something is read ", " bytes behind the end of a buffer: x, 0 bytes\n");
    check_dies(false, "guard: something is written ", " bytes behind the end of a buffer: y, 0 bytes\n");
}
